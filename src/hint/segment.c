#include "hint/segment.h"
#include "core/bytes.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     "DYNHINTS"
#define WINDOW    (256u * 1024)
#define AT_FIRST  16
#define AT_PEER   24
#define AT_CRC    64
#define AT_GONE   68
#define AT_ACKED  72
#define NAME_SIZE 24
#define HUGE      (8u * 1024 * 1024) /* anonymous segments from this size on */
#define TOUCH     (64u * 1024)       /* pages of anonymous memory asked for at a time */
#define LET_GO    (256u * 1024)      /* and given back */

/* ---- the header ---------------------------------------------------------------------------------
 */

static void write_header(uint8_t *to, const char *peer, uint64_t first)
{
    uint8_t h[SEGMENT_HEAD] = MAGIC; /* built aside: what is mapped changes in one go */
    h[8] = SEGMENT_VERSION;
    put64(h + AT_FIRST, first);
    snprintf((char *)h + AT_PEER, SEGMENT_PEER, "%s", peer);
    put32(h + AT_CRC, crc32c(0, h, AT_CRC));
    put64(h + AT_ACKED, first - 1);
    memcpy(to, h, sizeof h);
}

static bool check_header(const uint8_t *h, const char *name, const char *peer, struct error *e)
{
    uint32_t crc = get32(h + AT_CRC), version = get32(h + 8);
    if (memcmp(h, MAGIC, 8) != 0)
        return error_set(e, "segment %s: isn't one of ours", name);
    if (version > SEGMENT_VERSION)
        return error_set(e, "segment %s: version %u found; allowed up to %u", name, version,
                         SEGMENT_VERSION);
    if (crc != crc32c(0, h, AT_CRC))
        return error_set(e, "segment %s: its header is damaged", name);
    if (peer && strncmp((const char *)h + AT_PEER, peer, SEGMENT_PEER) != 0)
        return error_set(e, "segment %s: belongs to peer %.40s; allowed %s", name, h + AT_PEER,
                         peer);
    return true;
}

void segment_end(uint8_t *map, uint64_t size, uint64_t at)
{
    if (at + sizeof(uint32_t) <= size)
        memset(map + at, 0, sizeof(uint32_t));
}

static void name_of(uint64_t first, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "%016" PRIx64 ".log", first);
}

/* ---- making
 * -------------------------------------------------------------------------------------- */

static struct segment *new_struct(uint64_t first, size_t size, int fd, int dir, uint8_t *map)
{
    struct segment *s = MEM_NEW(struct segment);
    s->first = s->named = first;
    s->last = first - 1;
    s->end = SEGMENT_HEAD;
    s->size = size;
    s->fd = fd;
    s->dir = dir;
    s->map = map;
    s->touched = fd >= 0 ? size : 0;
    s->oldest = s->dead.oldest = UINT64_MAX;
    return s;
}

void segment_note_deadline(struct segment *s, uint64_t deadline)
{
    if (deadline == 0)
        deadline = UINT64_MAX;
    if (deadline < s->newest)
        __atomic_store_n(&s->mixed, true, __ATOMIC_RELEASE);
    if (deadline < s->oldest)
        __atomic_store_n(&s->oldest, deadline, __ATOMIC_RELEASE);
    if (deadline > s->newest)
        __atomic_store_n(&s->newest, deadline, __ATOMIC_RELEASE);
}

static enum segment_make reason(int err, const char *what, struct error *e)
{
    error_set(e, "%s: %s", what, strerror(err));
    return err == ENOSPC || err == EDQUOT || err == EFBIG ? SEGMENT_NO_SPACE : SEGMENT_IO_ERROR;
}

/* The space is there before the first byte is written through the mapping: a full disk is an error
 * here and not a SIGBUS later. */
static int allocate(int fd, size_t size)
{
    int rc;
    do
        rc = posix_fallocate(fd, 0, (off_t)size);
    while (rc == EINTR);
    return rc;
}

enum segment_make segment_create(int dir, const char *peer, uint64_t first, size_t size,
                                 struct segment **out, struct error *e)
{
    char name[NAME_SIZE];
    name_of(first, name);
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return reason(errno, name, e);
    int err = allocate(fd, size);
    uint8_t *map = MAP_FAILED;
    if (!err) {
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        err = map == MAP_FAILED ? errno : 0;
    }
    if (err) {
        close(fd);
        unlinkat(dir, name, 0);
        return reason(err, name, e);
    }
    write_header(map, peer, first);
    *out = new_struct(first, size, fd, dir, map);
    return SEGMENT_MADE;
}

enum segment_make segment_create_memory(uint64_t first, size_t size, struct segment **out,
                                        struct error *e)
{
    uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return reason(errno, "anonymous segment", e);
    if (size >= HUGE)
        (void)madvise(map, size,
                      MADV_HUGEPAGE); /* a third of what small pages cost, if there are */
    write_header(map, "", first);
    *out = new_struct(first, size, -1, -1, map);
    return SEGMENT_MADE;
}

void segment_touch(struct segment *s, uint64_t upto)
{
    if (s->fd >= 0 || upto <= s->touched)
        return;
    size_t from = s->touched;
    s->touched = (upto + TOUCH - 1) / TOUCH * TOUCH;
    s->touched = s->touched < s->size ? s->touched : s->size;
#ifdef MADV_POPULATE_WRITE
    /* a kernel before 5.14 refuses: then the pages come one fault at a time */
    (void)madvise(s->map + from, s->touched - from, MADV_POPULATE_WRITE);
#else
    (void)from;
#endif
}

/* Large anonymous memory in pieces: who asks for memory meanwhile waits for one piece at most. */
static void give_back(uint8_t *map, size_t size, bool anonymous)
{
    for (size_t at = 0; anonymous && at + LET_GO < size; at += LET_GO)
        (void)madvise(map + at, LET_GO, MADV_DONTNEED);
    munmap(map, size);
}

static void free_struct(struct rcu_head *head)
{
    mem_free(container_of_(head, struct segment, rcu));
}

static void free_segment(struct rcu_head *head)
{
    struct segment *s = container_of_(head, struct segment, rcu);
    if (s->map)
        give_back(s->map, s->size, s->dir < 0);
    mem_free(s);
}

static void let_go(struct segment *s)
{
    if (s->fd >= 0)
        close(s->fd);
    rcu_defer(&s->rcu, free_segment);
}

struct segment *segment_recycle(struct segment *old, const char *peer, uint64_t first)
{
    char from[NAME_SIZE], to[NAME_SIZE];
    name_of(old->named, from);
    name_of(first, to);
    if (old->fd >= 0 && renameat(old->dir, from, old->dir, to) < 0) {
        segment_discard(old);
        return NULL;
    }
    /* the header first: until then its old one says a lower first number, which is harmless */
    write_header(old->map, peer, first);
    segment_end(old->map, old->size, SEGMENT_HEAD);
    struct segment *s = new_struct(first, old->size, old->fd, old->dir, old->map);
    s->touched = old->touched;
    rcu_defer(&old->rcu, free_struct);
    return s;
}

void segment_discard(struct segment *s)
{
    char name[NAME_SIZE];
    name_of(s->named, name);
    if (s->fd >= 0)
        unlinkat(s->dir, name, 0);
    let_go(s);
}

void segment_close(struct segment *s)
{
    let_go(s);
}

void segment_unmap(struct segment *s)
{
    if (!s->map || s->fd < 0)
        return;
    munmap(s->map, s->size);
    s->map = NULL;
}

/* Where that fails, a restart counts once more what is acknowledged (the receiver knows better), or
 * takes for missing what has expired. */
static void put_header(struct segment *s, const uint8_t *bytes, size_t n, unsigned at)
{
    if (s->map)
        memcpy(s->map + at, bytes, n);
    else if (s->fd >= 0 && pwrite(s->fd, bytes, n, at) < 0)
        return;
}

void segment_set_acked(struct segment *s, uint64_t seq)
{
    uint8_t bytes[8];
    put64(bytes, seq);
    put_header(s, bytes, sizeof bytes, AT_ACKED);
}

void segment_add_gone(struct segment *s, const struct segment *before)
{
    uint8_t bytes[4];
    uint64_t half = s->first >> 32 << 32; /* numbers of another upper half aren't missed anyway */
    uint64_t from = before->first - before->gone;
    s->gone = (uint32_t)(s->first - (from > half ? from : half + 1));
    put32(bytes, s->gone);
    put_header(s, bytes, sizeof bytes, AT_GONE);
}

/* ---- reading
 * ------------------------------------------------------------------------------------- */

/* At least `want` bytes at `at`, fewer only at `end`. */
static struct slice bytes_at(struct segment *s, struct segment_window *w, uint64_t end, uint64_t at,
                             size_t want)
{
    if (end > s->size)
        end = s->size;
    if (at >= end)
        return slice_of("", 0);
    if (s->map)
        return slice_of(s->map + at, end - at);
    if (want > end - at)
        want = end - at;
    if (w->of != s || at < w->from || at + want > w->from + w->bytes.len) {
        size_t n = want > WINDOW ? want : (end - at < WINDOW ? end - at : WINDOW);
        buf_reset(&w->bytes, WINDOW);
        ssize_t got = pread(s->fd, buf_reserve(&w->bytes, n), n, (off_t)at);
        buf_commit(&w->bytes, got > 0 ? (size_t)got : 0);
        w->of = s;
        w->from = at;
    }
    size_t skip = at - w->from;
    return slice_of(buf_head(&w->bytes) + skip, w->bytes.len - skip);
}

/* Could a frame with a number above `above` begin here? Cheap: no CRC. */
static bool plausible(struct slice b, uint64_t above, uint64_t room)
{
    return b.len >= FRAME_HEAD && get32(b.ptr) >= FRAME_HEAD && get32(b.ptr) <= room &&
           b.ptr[8] == FRAME_WRITE && get32(b.ptr + 12) == 0 && get64(b.ptr + 16) > above;
}

/* The frame at exactly this place. */
static bool read_here(struct segment *s, struct segment_window *w, uint64_t end, uint64_t above,
                      bool check, uint64_t at, struct frame *f, struct slice *out)
{
    struct slice b = bytes_at(s, w, end, at, FRAME_HEAD);
    if (!plausible(b, above, end - at))
        return false;
    size_t size = get32(b.ptr);
    if (b.len < size)
        b = bytes_at(s, w, end, at, size);
    if (b.len < size)
        return false;
    if (check) {
        if (frame_parse(b.ptr, size, FRAME_PAYLOAD_MAX, f, &size) != FRAME_OK)
            return false;
    } else {
        *f = (struct frame){.kind = b.ptr[8],
                            .flags = b.ptr[9],
                            .tag = get16(b.ptr + 10),
                            .seq = get64(b.ptr + 16),
                            .stamp = get64(b.ptr + 24),
                            .deadline = get64(b.ptr + 32),
                            .payload = slice_of(b.ptr + FRAME_HEAD, size - FRAME_HEAD)};
    }
    *out = slice_of(b.ptr, size);
    return true;
}

bool segment_read(struct segment *s, struct segment_window *w, uint64_t end, uint64_t above,
                  bool check, uint64_t *at, struct frame *f, struct slice *bytes)
{
    if (read_here(s, w, end, above, check, *at, f, bytes))
        return true;
    /* damage, or the end: look for the next frame that holds */
    for (uint64_t p = *at + 1; p + FRAME_HEAD <= end; p++) {
        if (!read_here(s, w, end, above, true, p, f, bytes))
            continue;
        *at = p;
        return true;
    }
    return false;
}

/* ---- opening
 * ------------------------------------------------------------------------------------- */

/* A record that was begun, or whose head is damaged: behind the last one stand four zeros
 * (segment_end), or the file's end. */
static uint64_t torn_tail(const struct segment *s, uint64_t at)
{
    uint64_t room = s->size - at, size = room >= sizeof(uint32_t) ? get32(s->map + at) : 0;
    if (size == 0)
        return 0;
    size = size > FRAME_HEAD ? size : FRAME_HEAD;
    return size < room ? size : room;
}

static void note_stamp(struct segment_scan *scan, uint64_t stamp)
{
    scan->dips |= stamp < scan->newest_stamp;
    if (stamp > scan->newest_stamp)
        scan->newest_stamp = stamp;
    if (stamp < scan->lowest_stamp)
        scan->lowest_stamp = stamp;
}

void segment_scan(struct segment *s, uint64_t acked, struct segment_scan *scan)
{
    struct segment_window none = {0};
    uint64_t at = SEGMENT_HEAD, prev = s->first - 1;
    struct frame f;
    struct slice bytes;
    *scan = (struct segment_scan){0};
    while (segment_read(s, &none, s->size, prev, true, &at, &f, &bytes)) {
        if (f.seq > acked) {
            uint64_t from = prev > acked ? prev : acked;
            if (f.seq >> 32 == prev >> 32)
                scan->damaged += f.seq - from - 1;
            if (!scan->records++)
                scan->oldest_stamp = scan->lowest_stamp = f.stamp;
            note_stamp(scan, f.stamp);
            scan->bytes += f.payload.len;
            segment_note_deadline(s, f.deadline);
        }
        prev = f.seq;
        at += bytes.len;
    }
    s->last = prev;
    s->end = at;
    scan->torn = torn_tail(s, at);
}

bool segment_peer_of_file(int dir, const char *name, char out[SEGMENT_PEER])
{
    uint8_t h[SEGMENT_HEAD];
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ours = pread(fd, h, sizeof h, 0) == (ssize_t)sizeof h && memcmp(h, MAGIC, 8) == 0 &&
                get32(h + AT_CRC) == crc32c(0, h, AT_CRC);
    close(fd);
    if (!ours)
        return false;
    memcpy(out, h + AT_PEER, SEGMENT_PEER);
    out[SEGMENT_PEER - 1] = 0;
    return true;
}

static bool is_unfilled(const uint8_t *head, off_t size)
{
    static const uint8_t zeros[SEGMENT_HEAD];
    return size == 0 || (size >= SEGMENT_HEAD && memcmp(head, zeros, SEGMENT_HEAD) == 0);
}

static uint8_t *map_found(int fd, const struct stat *st, const char *name, struct error *e)
{
    if (st->st_size < SEGMENT_HEAD) {
        error_set(e, "segment %s: %jd bytes found; allowed at least %u", name,
                  (intmax_t)st->st_size, SEGMENT_HEAD);
        return NULL;
    }
    uint8_t *map = mmap(NULL, (size_t)st->st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        return map;
    error_set(e, "segment %s: %s", name, strerror(errno));
    return NULL;
}

void segment_peer(const struct segment *s, char out[SEGMENT_PEER])
{
    snprintf(out, SEGMENT_PEER, "%.*s", (int)SEGMENT_PEER - 1, (const char *)s->map + AT_PEER);
}

enum segment_found segment_open(int dir, const char *name, const char *peer, struct segment **out,
                                uint64_t *acked, struct error *e)
{
    struct stat st;
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        error_set(e, "segment %s: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return SEGMENT_STRANGE;
    }
    uint8_t *map = map_found(fd, &st, name, e);
    if (map && check_header(map, name, peer, e)) {
        struct segment *s = new_struct(get64(map + AT_FIRST), (size_t)st.st_size, fd, dir, map);
        s->found = true;
        s->named = strtoull(name, NULL, 16);
        s->gone = get32(map + AT_GONE);
        *acked = get64(map + AT_ACKED);
        *out = s;
        return SEGMENT_OPENED;
    }
    bool unfilled = is_unfilled(map, st.st_size);
    if (unfilled)
        unlinkat(dir, name, 0);
    if (map)
        munmap(map, (size_t)st.st_size);
    close(fd);
    return unfilled ? SEGMENT_UNFILLED : SEGMENT_STRANGE;
}
