#include "store/wal.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "wire/frame.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER     "store"             /* what stands as the peer's name in the segments' headers */
#define WAL_MORE  1u                  /* a frame's flag: the batch goes on in the next one */
#define FRAME_CUT (64u * 1024 * 1024) /* a batch that is larger gets another frame */
#define END_MARK  sizeof(uint32_t)

struct wal_item wal_item_at(const uint8_t *p)
{
    size_t key = get16(p + 4);
    return (struct wal_item){.kind = get16(p + 6),
                             .key = slice_of(p + WAL_ITEM_HEAD, key),
                             .body = slice_of(p + WAL_ITEM_HEAD + key, get32(p))};
}

static size_t item_size(const struct wal_item *i)
{
    return WAL_ITEM_HEAD + i->key.len + i->body.len;
}

/* ---- writing ------------------------------------------------------------------------------- */
static struct wal_place frame_at(size_t at)
{
    return (struct wal_place){at, at + FRAME_HEAD};
}

void wal_start(struct wal_tail *t, struct segment *file, uint64_t number)
{
    *t = (struct wal_tail){.file = file, .number = number, .now = frame_at(file->end)};
}

static void close_frame(struct wal_tail *t, uint8_t flags)
{
    const uint8_t *payload = t->file->map + t->now.frame + FRAME_HEAD;
    struct frame f = {.kind = FRAME_BATCH,
                      .flags = flags,
                      .seq = t->number,
                      .payload = slice_of(payload, t->now.at - t->now.frame - FRAME_HEAD)};
    frame_head(&f, t->file->map + t->now.frame);
}

uint8_t *wal_add(struct wal_tail *t, enum wal_kind kind, struct slice key, size_t size, size_t *at)
{
    size_t filled = t->now.at - t->now.frame - FRAME_HEAD, whole = WAL_ITEM_HEAD + key.len + size;
    bool another = filled > 0 && filled + whole > FRAME_CUT;
    size_t need = whole + END_MARK + (another ? FRAME_HEAD : 0);
    if (t->now.at > t->file->size || need > t->file->size - t->now.at)
        return NULL;
    if (another) {
        close_frame(t, WAL_MORE);
        t->now = frame_at(t->now.at);
    }
    uint8_t *p = t->file->map + t->now.at;
    put32(p, (uint32_t)size);
    put16(p + 4, (uint16_t)key.len);
    put16(p + 6, (uint16_t)kind);
    memcpy(p + WAL_ITEM_HEAD, key.ptr, key.len);
    *at = t->now.at;
    t->now.at += whole;
    return p + WAL_ITEM_HEAD + key.len;
}

void wal_rewind(struct wal_tail *t, struct wal_place to)
{
    t->now = to;
}

bool wal_is_empty(const struct wal_tail *t)
{
    return t->now.at == t->file->end + FRAME_HEAD;
}

void wal_finish(struct wal_tail *t)
{
    segment_end(t->file->map, t->file->size, t->now.at);
    close_frame(t, 0);
}

void wal_commit(struct wal_tail *t)
{
    t->file->end = t->now.at;
    t->file->last = t->number;
}

void wal_take_back(struct wal_tail *t)
{
    segment_end(t->file->map, t->file->size, t->file->end);
}

/* ---- files --------------------------------------------------------------------------------- */
enum segment_make wal_make(int dir, struct segment *old, uint64_t first, size_t size, bool safe,
                           struct segment **out, struct error *e)
{
    if (old && old->size == size) { /* by a power cut it may keep its old name: the header counts */
        *out = segment_recycle(old, OWNER, first);
        if (*out)
            return SEGMENT_MADE;
    } else if (old) {
        segment_discard(old);
    }
    enum segment_make made = segment_create(dir, OWNER, first, size, out, e);
    if (made == SEGMENT_MADE && safe && fsync(dir) != 0) {
        error_set(e, "store.wal: %s", strerror(errno));
        segment_discard(*out);
        return SEGMENT_IO_ERROR;
    }
    return made;
}

int wal_sync(struct segment *file, uint64_t last)
{
    int rc;
    do
        rc = fdatasync(file->fd) == 0 ? 0 : errno;
    while (rc == EINTR);
    if (rc == 0)
        segment_set_acked(file, last);
    return rc;
}

/* ---- opening ------------------------------------------------------------------------------- */
/* Items must fill the frame: a CRC that holds over something else is somebody else's frame. */
static bool items_fill(struct slice payload)
{
    size_t at = 0;
    while (payload.len - at >= WAL_ITEM_HEAD) {
        uint64_t size =
            (uint64_t)WAL_ITEM_HEAD + get16(payload.ptr + at + 4) + get32(payload.ptr + at);
        if (size > payload.len - at)
            return false;
        at += size;
    }
    return at == payload.len;
}

static bool read_frame(const struct segment *s, size_t at, struct frame *f, size_t *size)
{
    return at < s->size &&
           frame_parse(s->map + at, s->size - at, FRAME_PAYLOAD_MAX, f, size) == FRAME_OK &&
           f->kind == FRAME_BATCH && items_fill(f->payload);
}

/* Finds the whole batches from the front on: first, last and end. */
static void measure(struct segment *s)
{
    uint64_t expected = 0;
    size_t at = SEGMENT_HEAD, size;
    struct frame f;
    while (read_frame(s, at, &f, &size) && (expected == 0 || f.seq == expected)) {
        if (expected == 0)
            s->first = f.seq;
        at += size;
        expected = f.seq;
        if (f.flags & WAL_MORE)
            continue;
        s->last = f.seq;
        s->end = at;
        expected++;
    }
    if (s->end == SEGMENT_HEAD)
        s->last = s->first - 1;
}

struct found {
    struct segment **at;
    size_t n, cap;
    uint64_t synced; /* the highest mark of them all */
};

static void add_found(struct found *all, struct segment *s, uint64_t mark)
{
    if (all->n == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 8;
        all->at = mem_realloc(all->at, all->cap * sizeof(struct segment *));
    }
    all->at[all->n++] = s;
    if (mark >= s->first && mark > all->synced) /* first - 1 is what a new file says */
        all->synced = mark;
}

static bool open_all(int dir, DIR *d, struct found *all, struct error *e)
{
    for (struct dirent *entry; (entry = readdir(d));) {
        struct segment *s;
        uint64_t mark;
        size_t len = strlen(entry->d_name);
        if (len < 4 || strcmp(entry->d_name + len - 4, ".log") != 0)
            continue;
        switch (segment_open(dir, entry->d_name, OWNER, &s, &mark, e)) {
        case SEGMENT_OPENED:
            add_found(all, s, mark);
            measure(s);
            break;
        case SEGMENT_UNFILLED:
            break;
        case SEGMENT_STRANGE:
            return false;
        }
    }
    return true;
}

static int by_first(const void *a, const void *b)
{
    const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts into `out` what follows `applied` without a hole, and removes the rest. */
static bool choose(struct found *all, uint64_t applied, struct wal_files *out, struct error *e)
{
    uint64_t last = applied;
    bool *keep = mem_calloc(all->n + 1, sizeof *keep);
    if (all->n)
        qsort(all->at, all->n, sizeof(struct segment *), by_first);
    for (size_t i = 0; i < all->n; i++) {
        keep[i] = all->at[i]->last > last && all->at[i]->first <= last + 1;
        if (keep[i])
            last = all->at[i]->last;
    }
    bool whole = all->synced <= last;
    for (size_t i = 0; whole && i < all->n; i++) {
        if (keep[i])
            out->at[out->n++] = all->at[i];
        else
            segment_discard(all->at[i]);
    }
    mem_free(keep);
    return whole || error_set(e,
                              "batches %" PRIu64 " to %" PRIu64 " are damaged or missing; move the "
                              "directory away to start without what was written since",
                              last + 1, all->synced);
}

/* Its name is on disk, and with it those of the other new files beside it. */
static bool make_directory(const char *path, struct error *e)
{
    if (mkdir(path, 0700) < 0)
        return errno == EEXIST || error_set(e, "%s: %s", path, strerror(errno));
    char *parent = mem_strdup(path), *slash = strrchr(parent, '/');
    assert(slash);
    *slash = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        error_set(e, "%s: %s", parent, strerror(errno));
    if (fd >= 0)
        close(fd);
    mem_free(parent);
    return ok;
}

bool wal_open(const char *path, uint64_t applied, int *dir, struct wal_files *out, struct error *e)
{
    struct error why;
    struct found all = {0};
    if (!make_directory(path, e))
        return false;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = opendir(path);
    bool ok = fd >= 0 && d;
    if (!ok)
        error_set(&why, "%s", strerror(errno));
    ok = ok && open_all(fd, d, &all, &why);
    *out = (struct wal_files){.at = mem_calloc(all.n + 1, sizeof(struct segment *))};
    ok = ok && choose(&all, applied, out, &why);
    if (d)
        closedir(d);
    if (ok) {
        *dir = fd;
        for (size_t i = 0; i < out->n; i++)
            segment_end(out->at[i]->map, out->at[i]->size, out->at[i]->end);
    } else {
        for (size_t i = 0; i < all.n; i++)
            segment_close(all.at[i]);
        if (fd >= 0)
            close(fd);
        mem_free(out->at);
        error_set(e, "%s: %s", path, why.text);
    }
    mem_free(all.at);
    return ok;
}

void wal_walk(const struct segment *file, wal_item_fn *fn, void *arg)
{
    for (size_t at = SEGMENT_HEAD; at < file->end;) {
        size_t end = at + get32(file->map + at);
        for (size_t p = at + FRAME_HEAD; p < end;) {
            struct wal_item item = wal_item_at(file->map + p);
            fn(arg, p, &item);
            p += item_size(&item);
        }
        at = end;
    }
}
