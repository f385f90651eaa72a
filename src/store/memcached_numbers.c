#include "store/memcached_numbers.h"
#include "store/stamps.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC      0x314d554e434d5944ull /* "DYMCNUM1" */
#define HEAD_BYTES 4096u
#define FILE_BYTES (HEAD_BYTES + MEMCACHED_NUMBERS_MAX * sizeof(struct memcached_number))

struct memcached_numbers_head {
    uint64_t magic;
    uint64_t n; /* slots in use */
    struct memcached_start start;
    char host[64]; /* of the last connection; "": it has no name */
    uint64_t port;
};

static_assert(sizeof(struct memcached_number) == 96, "the file's format");

#define STORE(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

/* ---- the file ------------------------------------------------------------------------------- */

/* Its space is on the disk: a full one is an error here and not a signal later. */
static bool make_empty(int fd, struct error *e)
{
    if (ftruncate(fd, 0) < 0)
        return error_set(e, "%s", strerror(errno));
    int rc = posix_fallocate(fd, 0, (off_t)FILE_BYTES);
    return rc == 0 || error_set(e, "%s", strerror(rc));
}

static bool map(struct memcached_numbers *m, int fd, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(e, "%s", strerror(errno));
    bool fresh = st.st_size == 0;
    if (fresh && !make_empty(fd, e))
        return false;
    if (!fresh && (size_t)st.st_size != FILE_BYTES)
        return error_set(e, "found %lld bytes; allowed %zu", (long long)st.st_size, FILE_BYTES);
    uint8_t *p = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return error_set(e, "%s", strerror(errno));
    m->head = (struct memcached_numbers_head *)(void *)p;
    m->all = (struct memcached_number *)(void *)(p + HEAD_BYTES);
    /* a kill between the two leaves a file of zeroes */
    if (m->head->magic == 0 && m->head->n == 0)
        STORE(m->head->magic, MAGIC);
    return (m->head->magic == MAGIC && m->head->n <= MEMCACHED_NUMBERS_MAX) ||
           error_set(e, "it is damaged, or isn't what this server wrote");
}

bool memcached_numbers_open(struct memcached_numbers *m, const char *path, struct error *e)
{
    struct error why;
    *m = (struct memcached_numbers){0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(e, "%s: %s", path, strerror(errno));
    bool ok = map(m, fd, &why);
    close(fd);
    if (ok)
        return true;
    memcached_numbers_close(m);
    return error_set(e, "%s: %s", path, why.text);
}

void memcached_numbers_close(struct memcached_numbers *m)
{
    if (!m->head)
        return;
    (void)msync(m->head, FILE_BYTES, MS_SYNC);
    munmap(m->head, FILE_BYTES);
    m->head = NULL;
}

/* ---- whose they are ------------------------------------------------------------------------- */

static bool in_use(const struct memcached_numbers *m, size_t i)
{
    for (size_t s = 0; s < STORE_SOURCES_MAX; s++)
        if (m->of_source[s] == i + 1)
            return true;
    return false;
}

/* Of a node that has been away for longest: a number's upper half is the time of a start. */
static size_t oldest(const struct memcached_numbers *m)
{
    size_t found = 0;
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < m->head->n; i++)
        if (m->all[i].last < lowest && !in_use(m, i)) {
            lowest = m->all[i].last;
            found = i;
        }
    return found;
}

/* Once per node and connection, and there are at most some thousand. */
static size_t find_or_add(struct memcached_numbers *m, const char *id)
{
    uint64_t hash = stamps_hash(slice_str(id));
    for (size_t i = 0; i < m->head->n; i++)
        if (m->all[i].hash == hash && strncmp(m->all[i].id, id, MEMCACHED_ID_MAX) == 0)
            return i;
    bool full = m->head->n == MEMCACHED_NUMBERS_MAX;
    size_t i = full ? oldest(m) : m->head->n;
    struct memcached_number *x = &m->all[i];
    memset(x, 0, sizeof *x);
    memcpy(x->id, id, strlen(id)); /* without a NUL where it is that long */
    x->hash = hash;
    if (!full)
        STORE(m->head->n, m->head->n + 1); /* counts only when it is whole */
    return i;
}

uint64_t memcached_numbers_name(struct memcached_numbers *m, unsigned source, const char *id)
{
    assert(source < STORE_SOURCES_MAX && strlen(id) <= MEMCACHED_ID_MAX);
    size_t i = find_or_add(m, id);
    m->of_source[source] = (uint32_t)i + 1;
    return m->all[i].last;
}

struct memcached_number *memcached_numbers_of(struct memcached_numbers *m, unsigned source)
{
    assert(source < STORE_SOURCES_MAX && m->of_source[source]);
    return &m->all[m->of_source[source] - 1];
}

uint64_t memcached_numbers_by_hash(const struct memcached_numbers *m, uint64_t hash)
{
    for (size_t i = 0; i < m->head->n; i++)
        if (m->all[i].hash == hash)
            return m->all[i].last;
    return 0;
}

/* ---- moving --------------------------------------------------------------------------------- */

bool memcached_numbers_give(struct memcached_numbers *m, unsigned source, uint64_t seq)
{
    struct memcached_number *x = seq ? memcached_numbers_of(m, source) : NULL;
    if (!x)
        return false;
    if (seq <= x->given)
        return true;
    STORE(x->given, seq);
    return false;
}

bool memcached_numbers_is_open(struct memcached_numbers *m, unsigned source, uint64_t seq)
{
    const struct memcached_number *x = seq ? memcached_numbers_of(m, source) : NULL;
    return x && seq > x->last && seq <= x->given;
}

void memcached_numbers_move(struct memcached_numbers *m, unsigned source, uint64_t seq)
{
    struct memcached_number *x = seq ? memcached_numbers_of(m, source) : NULL;
    if (x && seq > x->last)
        STORE(x->last, seq);
}

bool memcached_numbers_in_flight(const struct memcached_numbers *m)
{
    for (size_t i = 0; i < m->head->n; i++)
        if (m->all[i].given > m->all[i].last)
            return true;
    return false;
}

struct memcached_start memcached_numbers_start(const struct memcached_numbers *m)
{
    return m->head->start;
}

void memcached_numbers_set_start(struct memcached_numbers *m, struct memcached_start s)
{
    m->head->start = s;
}

void memcached_numbers_set_connection(struct memcached_numbers *m, const struct address *local)
{
    struct memcached_numbers_head *h = m->head;
    bool named = local && strlen(local->host) < sizeof h->host;
    memset(h->host, 0, sizeof h->host);
    if (named)
        memcpy(h->host, local->host, strlen(local->host));
    h->port = named ? local->port : 0;
}

bool memcached_numbers_connection(const struct memcached_numbers *m, struct address *out)
{
    const struct memcached_numbers_head *h = m->head;
    *out = (struct address){.kind = ADDRESS_TCP, .port = (uint16_t)h->port};
    memcpy(out->host, h->host, sizeof h->host - 1);
    return out->host[0] != 0;
}
