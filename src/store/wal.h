/* store/wal: the embedded store's write-ahead log: batches of records, numbered from 1 without
 * holes, in files of hint/segment under <data_dir>/store.wal. One memtable stands over each file
 * (store/memtable.h) and reads the records where they lie, through the mapping.
 *
 *     segment header | frame | frame | ... | four zeros
 *     frame          | head of wire/frame.h, seq: the batch | item | item | ...
 *     item           | u32 size of body | u16 size of key | u16 kind | key | body |
 *
 * An item is a record (key: its LMDB key, body: store/record.h) or the number of a sending node
 * (key: the node's id, body: u64), or the stamp of a flush (key: "flush", body: u64, u64 tag). A
 * batch is one frame, or several of which all but the last say WAL_MORE; it is there when all of it
 * is. Written means safe from the death of the process.
 *
 * How far the log is known to be on disk stands in the segment's header (`acknowledged`), written
 * after each sync. A batch up to there that can't be read is damage, and the store doesn't start;
 * behind it, it is what a power cut left, and is cut off together with all that follows.
 *
 * Files are the writer's, but for that mark, which is the thread's that syncs. */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "core/buf.h"
#include "core/error.h"
#include "hint/segment.h"

#define WAL_ITEM_HEAD 8u

enum wal_kind { WAL_RECORD = 1, WAL_NUMBER = 2, WAL_FLUSH = 3 };

struct wal_item {
    unsigned kind; /* enum wal_kind */
    struct slice key, body;
};
/* The item that stands here; one that was written whole. */
struct wal_item wal_item_at(const uint8_t *p);

/* ---- writing ------------------------------------------------------------------------------- */
struct wal_place {
    size_t frame; /* where the frame that is being filled begins */
    size_t at;    /* where the next item goes */
};

/* One batch on its way into a file. wal_start, wal_add ..., wal_finish, wal_commit. */
struct wal_tail {
    struct segment *file;
    uint64_t number;
    struct wal_place now;
};

void wal_start(struct wal_tail *t, struct segment *file, uint64_t number);
/* Room for an item, key and head written: where its body goes. *at: its place in the file, for
 * wal_item_at. NULL: the file has no room for it. */
uint8_t *wal_add(struct wal_tail *t, enum wal_kind kind, struct slice key, size_t size,
                 size_t *at) MUST_USE;
/* Takes back what was added since t->now was `to`. */
void wal_rewind(struct wal_tail *t, struct wal_place to);
bool wal_is_empty(const struct wal_tail *t);
/* Writes the batch's frames: from now on the death of the process doesn't take it. Then, maybe
 * after a sync, one of the two. */
void wal_finish(struct wal_tail *t);
void wal_commit(struct wal_tail *t);
void wal_take_back(struct wal_tail *t);

/* ---- files --------------------------------------------------------------------------------- */
/* A file for batches from `first` on. old: one whose batches have gone and whose readers too, or
 * NULL; it is used again if it has exactly this size, and else removed. `safe`: the file's name is
 * on disk when this returns. */
enum segment_make wal_make(int dir, struct segment *old, uint64_t first, size_t size, bool safe,
                           struct segment **out, struct error *e);
/* fdatasync, and the mark. 0 or errno. */
int wal_sync(struct segment *file, uint64_t last) MUST_USE;

/* ---- opening ------------------------------------------------------------------------------- */
struct wal_files {
    struct segment **at; /* in the order of their batches, which have no holes */
    size_t n;
};
/* Opens the directory (made when it isn't there) and what lies in it behind batch `applied`; older
 * files, and what a power cut left behind a hole, are removed. False: not readable, or damaged. */
bool wal_open(const char *path, uint64_t applied, int *dir, struct wal_files *out,
              struct error *e) MUST_USE;
/* fn for each item of a file that wal_open gave. */
typedef void wal_item_fn(void *arg, size_t at, const struct wal_item *item);
void wal_walk(const struct segment *file, wal_item_fn *fn, void *arg);

#endif
