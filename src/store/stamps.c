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

#define MAGIC       0x31504d4154534e59ull /* "YNSTAMP1" */
#define HEAD_BYTES  4096u
#define WAYS        4u
#define HASH48      0xffffffffffffull
#define CHAINS      2048u /* of the index over the intents; a power of two */
#define MAP_WORDS   256u  /* of 64 places each: 16384 pages with the default size */
#define PLACES      (MAP_WORDS * 64)
#define PAGE_SLOTS  (4096u / sizeof(struct slot))
#define SWEEP_SLOTS (128u * PAGE_SLOTS) /* in one call: half a megabyte */

struct slot {
    uint64_t key; /* hash << 16 | tag */
    uint64_t stamp;
};

struct head {
    uint64_t magic, buckets;
    uint64_t check;           /* over the two above: the head isn't somebody else's file */
    uint64_t floor;           /* the newest stamp that was given up */
    uint64_t intents;         /* how many are noted */
    char boot[40];            /* the boot in which the table is open; "" after a clean close */
    uint64_t mapped;          /* 1: `used` is true; 0: a file that was made without it */
    uint64_t entries;         /* slots in use */
    uint64_t used[MAP_WORDS]; /* a bit for each place in which something may stand */
    /* of the last flush, the tags as keys of such slots: that went out, and that is done */
    struct slot flush, flushed;
};

struct stamps {
    struct head *head;
    struct stamp_intent *intents;
    struct slot *slots;
    size_t size;
    size_t place; /* slots of one */
    uint64_t evicted;
    uint64_t below;         /* stamps_forget: what is lower goes */
    uint64_t round;         /* `below` when the round began */
    unsigned at;            /* the next place of the round; PLACES: it has ended */
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

/* `key` is only believed between two equal looks at `stamp`: see slot_set */
static struct stamp slot_get(const struct slot *s, uint64_t hash)
{
    uint64_t before = LOAD(s->stamp, ACQUIRE);
    uint64_t key = LOAD(s->key, ACQUIRE);
    if (before && key >> 16 == (hash & HASH48) && LOAD(s->stamp, RELAXED) == before)
        return (struct stamp){.stamp = before, .tag = (uint16_t)key};
    return (struct stamp){0};
}

static struct stamp find(const struct stamps *t, uint64_t hash)
{
    const struct slot *b = bucket_of(t, hash);
    struct stamp have = {0};
    for (unsigned i = 0; i < WAYS && !have.stamp; i++)
        have = slot_get(&b[i], hash);
    return have;
}

struct stamp stamps_get(const struct stamps *t, uint64_t hash)
{
    struct stamp have = find(t, hash), flush = slot_get(&t->head->flushed, 0);
    return older(have.stamp, have.tag, flush.stamp, flush.tag) ? flush : have;
}

/* Who sees the new key sees 0 or the new stamp behind it, never the old one. */
static void slot_set(struct slot *s, uint64_t hash, struct stamp v)
{
    STORE(s->stamp, 0, RELAXED);
    STORE(s->key, (hash & HASH48) << 16 | v.tag, RELEASE);
    STORE(s->stamp, v.stamp, RELEASE);
}

/* The place is marked before the entry stands in it, and its mark goes when it is empty: whenever a
 * kill comes, no entry lies where nobody looks. */
static void mark(struct stamps *t, const struct slot *s)
{
    size_t place = (size_t)(s - t->slots) / t->place;
    uint64_t bit = 1ull << place % 64, *word = &t->head->used[place / 64];
    if (!(*word & bit))
        STORE(*word, *word | bit, RELEASE);
}

static void count(struct stamps *t, uint64_t entries)
{
    STORE(t->head->entries, entries, RELAXED);
}

static void give_up(struct stamps *t, const struct slot *s)
{
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
    if (victim->stamp) {
        t->evicted++;
        give_up(t, victim);
    } else {
        mark(t, victim);
        count(t, t->head->entries + 1);
    }
    slot_set(victim, hash, v);
}

/* --- flushes ---------------------------------------------------------------------------------- */

bool stamps_is_flushed_later(const struct stamps *t, struct stamp s)
{
    struct stamp flush = slot_get(&t->head->flush, 0);
    return older(s.stamp, s.tag, flush.stamp, flush.tag);
}

void stamps_flush(struct stamps *t, struct stamp s)
{
    slot_set(&t->head->flush, 0, s);
}

void stamps_flush_done(struct stamps *t)
{
    slot_set(&t->head->flushed, 0, slot_get(&t->head->flush, 0));
}

bool stamps_outlives(const struct stamps *t, uint64_t hash, struct stamp s)
{
    struct stamp have = find(t, hash);
    return have.stamp && !older(have.stamp, have.tag, s.stamp, s.tag);
}

/* --- forgetting -------------------------------------------------------------------------------
 */

static size_t slots_of(const struct stamps *t)
{
    return t->head->buckets * WAYS;
}

/* False: something stays. */
static bool sweep_place(struct stamps *t, size_t place, uint64_t below)
{
    size_t from = place * t->place, end = from + t->place, gone = 0, left = 0;
    end = end < slots_of(t) ? end : slots_of(t);
    for (size_t i = from; i < end; i++) {
        struct slot *s = &t->slots[i];
        if (s->stamp && s->stamp < below) {
            give_up(t, s);
            STORE(s->stamp, 0, RELEASE);
            gone++;
        }
        left += s->stamp != 0;
    }
    count(t, gone < t->head->entries ? t->head->entries - gone : 0);
    return left == 0;
}

static bool is_marked(const struct stamps *t, unsigned place)
{
    return t->head->used[place / 64] >> place % 64 & 1;
}

/* The next one in which something may stand, at or behind `at`. */
static unsigned next_place(const struct stamps *t, unsigned at)
{
    while (at < PLACES && !is_marked(t, at))
        at += t->head->used[at / 64] >> at % 64 ? 1 : 64 - at % 64;
    return at;
}

/* A round goes through all places that are in use. The next one begins when there is something new
 * to forget. */
void stamps_forget(struct stamps *t, uint64_t below)
{
    t->below = below > t->below ? below : t->below;
    if (t->at == PLACES && t->below > t->round) {
        t->at = 0;
        t->round = t->below;
    }
    for (size_t looked = 0; looked < SWEEP_SLOTS; looked += t->place) {
        unsigned place = t->at = next_place(t, t->at);
        if (place == PLACES)
            return;
        if (sweep_place(t, place, t->below))
            STORE(t->head->used[place / 64], t->head->used[place / 64] & ~(1ull << place % 64),
                  RELEASE);
        t->at++;
    }
}

uint64_t stamps_count(const struct stamps *t)
{
    return LOAD(t->head->entries, RELAXED);
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
    struct stamp have = find(t, hash);
    if (stamps_is_flushed_later(t, s))
        return STAMP_OLDER;
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

void stamps_give_up(struct stamps *t, uint64_t stamp)
{
    if (stamp > t->head->floor)
        STORE(t->head->floor, stamp, RELEASE);
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

uint64_t stamps_floor(const struct stamps *t)
{
    return LOAD(t->head->floor, ACQUIRE);
}

void stamps_note(struct stamps *t, uint64_t hash, struct stamp s)
{
    put(t, hash, s);
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

/* Where the map isn't true (an older file, a power cut that may have taken a part of it) each place
 * is looked into once. */
static void read_map(struct stamps *t, bool fresh)
{
    struct head *h = t->head;
    t->at = PLACES;
    t->place = (slots_of(t) + PLACES - 1) / PLACES;
    t->place = t->place < PAGE_SLOTS ? PAGE_SLOTS : t->place;
    if (!fresh && !h->mapped) {
        memset(h->used, 0, sizeof h->used);
        h->entries = 0;
        for (size_t i = 0; i < slots_of(t); i++)
            if (t->slots[i].stamp) {
                mark(t, &t->slots[i]);
                h->entries++;
            }
    }
    STORE(h->mapped, 1, RELEASE);
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
        t->head->mapped = 0;
    }
    memcpy(t->head->boot, boot, sizeof boot);
    read_map(t, fresh);
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
