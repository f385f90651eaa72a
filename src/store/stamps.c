#include "store/stamps.h"
#include "core/log.h"
#include "core/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC      0x31504d4154534e59ull /* "YNSTAMP1" */
#define HEAD_BYTES 4096u
#define WAYS       4u
#define HASH48     0xffffffffffffull
#define CHAINS     2048u /* of the index over the intents; a power of two */

struct slot {
    uint64_t key; /* hash << 16 | tag */
    uint64_t stamp;
};

struct head {
    uint64_t magic, buckets;
    uint64_t check;   /* over the two above: the head isn't somebody else's file */
    uint64_t floor;   /* the newest stamp that was given up */
    uint64_t intents; /* how many are noted */
    char boot[40];    /* the boot in which the table is open; "" after a clean close */
};

struct stamps {
    struct head *head;
    struct stamp_intent *intents;
    struct slot *slots;
    size_t size;
    uint64_t evicted;
    uint16_t chain[CHAINS]; /* index + 1 of the newest intent in it */
    uint16_t next[STAMPS_INTENTS];
};

static_assert(sizeof(struct slot) == 16, "the file's format");
static_assert(sizeof(struct stamp_intent) == 40, "the file's format");
static_assert(sizeof(struct head) <= HEAD_BYTES, "the file's format");

#define LOAD(p, order)     __atomic_load_n(&(p), __ATOMIC_##order)
#define STORE(p, v, order) __atomic_store_n(&(p), (v), __ATOMIC_##order)

static bool older(uint64_t stamp, uint16_t tag, uint64_t than_stamp, uint16_t than_tag)
{
    return stamp < than_stamp || (stamp == than_stamp && tag < than_tag);
}

static struct slot *bucket_of(const struct stamps *t, uint64_t hash)
{
    return t->slots + (((hash >> 32) * t->head->buckets) >> 32) * WAYS;
}

uint64_t stamps_hash(struct slice bytes)
{
    return XXH3_64bits(bytes.ptr, bytes.len);
}

void stamps_expect(const struct stamps *t, uint64_t hash)
{
    __builtin_prefetch(bucket_of(t, hash));
}

/* --- slots ----------------------------------------------------------------------------------- */

struct stamp stamps_get(const struct stamps *t, uint64_t hash)
{
    const struct slot *b = bucket_of(t, hash);
    for (unsigned i = 0; i < WAYS; i++) {
        /* `key` is only believed between two equal looks at `stamp`: see slot_set */
        uint64_t before = LOAD(b[i].stamp, ACQUIRE);
        uint64_t key = LOAD(b[i].key, ACQUIRE);
        if (before && key >> 16 == (hash & HASH48) && LOAD(b[i].stamp, RELAXED) == before)
            return (struct stamp){.stamp = before, .tag = (uint16_t)key};
    }
    return (struct stamp){0};
}

/* Who sees the new key sees 0 or the new stamp behind it, never the old one. */
static void slot_set(struct slot *s, uint64_t hash, struct stamp v)
{
    STORE(s->stamp, 0, RELAXED);
    STORE(s->key, (hash & HASH48) << 16 | v.tag, RELEASE);
    STORE(s->stamp, v.stamp, RELEASE);
}

static void give_up(struct stamps *t, const struct slot *s)
{
    t->evicted++;
    if (s->stamp > t->head->floor)
        STORE(t->head->floor, s->stamp,
              RELEASE); /* before the entry goes: a kill must not lose it */
}

static void put(struct stamps *t, uint64_t hash, struct stamp v)
{
    struct slot *b = bucket_of(t, hash), *victim = b;
    for (unsigned i = 0; i < WAYS; i++) {
        if (b[i].stamp && b[i].key >> 16 == (hash & HASH48)) {
            if (older(b[i].stamp, (uint16_t)b[i].key, v.stamp, v.tag))
                slot_set(&b[i], hash, v);
            return;
        }
        if (b[i].stamp < victim->stamp)
            victim = &b[i];
    }
    if (victim->stamp)
        give_up(t, victim);
    slot_set(victim, hash, v);
}

/* --- intents ---------------------------------------------------------------------------------- */

static bool is_pending_newer(const struct stamps *t, uint64_t hash, struct stamp s)
{
    for (unsigned i = t->chain[hash % CHAINS]; i; i = t->next[i - 1]) {
        const struct stamp_intent *p = &t->intents[i - 1];
        if (p->hash == hash && older(s.stamp, s.tag, p->stamp, p->tag))
            return true;
    }
    return false;
}

enum stamp_verdict stamps_judge(const struct stamps *t, uint64_t hash, struct stamp s)
{
    struct stamp have = stamps_get(t, hash);
    if (have.stamp && older(s.stamp, s.tag, have.stamp, have.tag))
        return STAMP_OLDER;
    if (is_pending_newer(t, hash, s))
        return STAMP_PENDING;
    return !have.stamp && s.stamp <= t->head->floor ? STAMP_UNKNOWN : STAMP_FRESH;
}

static void chain_in(struct stamps *t, size_t i)
{
    uint16_t *first = &t->chain[t->intents[i].hash % CHAINS];
    t->next[i] = *first;
    *first = (uint16_t)(i + 1);
}

size_t stamps_room(const struct stamps *t)
{
    return STAMPS_INTENTS - t->head->intents;
}

bool stamps_intend(struct stamps *t, const struct stamp_intent *i)
{
    uint64_t n = t->head->intents;
    if (n >= STAMPS_INTENTS)
        return false;
    t->intents[n] = *i;
    chain_in(t, n);
    STORE(t->head->intents, n + 1, RELEASE); /* counts only when it is whole */
    return true;
}

void stamps_settle(struct stamps *t, bool (*applied)(void *arg, const struct stamp_intent *i),
                   void *arg)
{
    for (uint64_t i = 0; i < t->head->intents; i++) {
        const struct stamp_intent *p = &t->intents[i];
        if (applied(arg, p))
            put(t, p->hash, (struct stamp){.stamp = p->stamp, .tag = p->tag});
        t->chain[p->hash % CHAINS] = 0;
    }
    STORE(t->head->intents, 0, RELEASE); /* the entries stand before the intents go */
}

uint64_t stamps_evicted(const struct stamps *t)
{
    return t->evicted;
}

/* --- the file --------------------------------------------------------------------------------- */

static uint64_t head_check(const struct head *h)
{
    return XXH3_64bits(h, offsetof(struct head, check));
}

static bool head_ok(const struct head *h, uint64_t buckets)
{
    return h->magic == MAGIC && h->buckets == buckets && h->check == head_check(h) &&
           h->intents <= STAMPS_INTENTS;
}

/* What a boot is called; "" where the system doesn't say. */
static void boot_name(char out[40])
{
    memset(out, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, 36);
    close(fd);
    if (n != 36)
        memset(out, 0, 40);
}

/* Makes the file `size` zeroed bytes, with their space on the disk: a full disk is an error here
 * and not a signal later. */
static bool make_empty(int fd, size_t size, struct error *e)
{
    if (ftruncate(fd, 0) < 0)
        return error_set(e, "%s", strerror(errno));
    int rc = posix_fallocate(fd, 0, (off_t)size);
    if (rc != 0)
        return error_set(e, "%s", strerror(rc));
    return true;
}

static bool map(struct stamps *t, int fd, struct error *e)
{
    uint8_t *p = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return error_set(e, "%s", strerror(errno));
    t->head = (struct head *)(void *)p;
    t->intents = (struct stamp_intent *)(void *)(p + HEAD_BYTES);
    t->slots =
        (struct slot *)(void *)(p + HEAD_BYTES + STAMPS_INTENTS * sizeof(struct stamp_intent));
    return true;
}

static void head_init(struct head *h, uint64_t buckets, uint64_t wall_ms)
{
    memset(h, 0, sizeof *h);
    h->buckets = buckets;
    h->floor = wall_ms << 16;
    h->magic = MAGIC;
    h->check = head_check(h);
}

/* Takes the file as it is, or starts it anew; then it is ours for this boot. */
static bool adopt(struct stamps *t, int fd, const char *path, uint64_t buckets, uint64_t wall_ms,
                  struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(e, "%s", strerror(errno));
    bool fresh = (size_t)st.st_size != t->size;
    if (fresh && !make_empty(fd, t->size, e))
        return false;
    if (!map(t, fd, e))
        return false;
    char boot[40];
    boot_name(boot);
    if (!fresh && !head_ok(t->head, buckets)) {
        memset(t->head, 0, t->size);
        fresh = true;
    }
    if (fresh) {
        if (st.st_size)
            log_warn("%s: damaged or of another size; started anew", path);
        head_init(t->head, buckets, wall_ms);
    } else if (t->head->boot[0] && memcmp(t->head->boot, boot, sizeof boot) != 0) {
        log_warn("%s: the machine stopped while it was open; stamps may be missing", path);
        if (t->head->floor < wall_ms << 16)
            t->head->floor = wall_ms << 16;
    }
    memcpy(t->head->boot, boot, sizeof boot);
    for (uint64_t i = 0; i < t->head->intents; i++)
        chain_in(t, i);
    return true;
}

struct stamps *stamps_open(const char *path, uint64_t bytes, uint64_t wall_ms, struct error *e)
{
    uint64_t buckets =
        (bytes < STAMPS_MIN_BYTES ? STAMPS_MIN_BYTES : bytes) / (WAYS * sizeof(struct slot));
    if (buckets > UINT32_MAX)
        buckets = UINT32_MAX;
    struct error why;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct stamps *t = MEM_NEW(struct stamps);
    t->size = HEAD_BYTES + STAMPS_INTENTS * sizeof(struct stamp_intent) +
              buckets * WAYS * sizeof(struct slot);
    bool ok = adopt(t, fd, path, buckets, wall_ms, &why);
    close(fd);
    if (ok)
        return t;
    error_set(e, "%s: %s", path, why.text);
    if (t->head)
        munmap(t->head, t->size);
    mem_free(t);
    return NULL;
}

void stamps_close(struct stamps *t)
{
    if (!t)
        return;
    if (msync(t->head, t->size, MS_SYNC) == 0) {
        memset(t->head->boot, 0, sizeof t->head->boot);
        (void)msync(t->head, HEAD_BYTES, MS_SYNC); /* if not: taken for a power cut, no harm */
    }
    munmap(t->head, t->size);
    mem_free(t);
}
