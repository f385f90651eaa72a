/* store/memtable: the newest record of each key that one file of the write-ahead log holds. An
 * index only: the records lie in the file's mapping.
 *
 *     buckets   by the upper bits of a key's order (store/record.h)
 *     | 0 | 7 | 0 | 3 | ...
 *           |       `-> entry 3 -> entry 9       a chain is in order, and so is the whole table
 *           `-> entry 7: order, next, record, staged
 *
 * One thread writes, the store's writer; any thread reads, inside an RCU read section and without
 * waiting. A batch is staged first, which only the writer sees, and then published, or taken back.
 * Entries are never taken out: a table lives until its records are in LMDB and goes as a whole. */
#ifndef STORE_MEMTABLE_H
#define STORE_MEMTABLE_H

#include "core/rcu.h"
#include "hint/segment.h"
#include "store/record.h"

struct memtable_entry {
    uint64_t order;
    uint32_t next;   /* atomic; an entry's number; 0: the end */
    uint32_t record; /* atomic; its place in the file, see wal_item_at; 0: nothing published */
    uint32_t staged; /* the writer's; 0: nothing staged */
};

struct memtable_undo {
    uint32_t entry, before;
};

struct memtable_number {
    char id[65];
    uint64_t last;
};

struct memtable {
    struct rcu_head rcu;
    const uint8_t *map;             /* of `file` */
    unsigned shift;                 /* an order shifted by it is a bucket */
    uint32_t *buckets;              /* atomic */
    struct memtable_entry **chunks; /* entry n is chunks[n / chunk][n % chunk] */
    uint32_t chunk;

    /* the writer's */
    struct segment *file;
    uint32_t entries; /* the first that isn't in use */
    bool crowded;     /* a chain has become long: somebody chooses keys for that */
    bool sealed;      /* found at a start: takes no more batches */
    bool quiet;       /* atomic: memtable_drop was called and no reader is left */
    struct memtable_undo *undo;
    size_t undone_cap, staged; /* of undo; staged: in use */
    uint64_t next_due;         /* no record's `sweep` is earlier */
    uint64_t began_ms;         /* monotonic: the first batch */
    uint64_t growth;           /* bytes of LMDB's file that its records may take, an estimate */
    struct memtable_number *numbers; /* once frozen, or found */
    size_t n_numbers;
    struct stamp flush; /* once frozen, or found: of the last one so far */
};

struct memtable *memtable_new(struct segment *file);
/* The last reader may still be in it; when it isn't any more, `quiet` is true, only the struct and
 * `file` are left, and these are the caller's. */
void memtable_drop(struct memtable *t);

/* Slices point into the file. RECORD_GONE: the key isn't in LMDB either. Any thread. */
bool memtable_get(const struct memtable *t, const struct record_key *key, struct record *out);

/* ---- the writer ---------------------------------------------------------------------------- */
bool memtable_get_staged(const struct memtable *t, const struct record_key *key,
                         struct record *out);
/* Does the record, one that was read from this store, lie in this table? */
static inline bool memtable_holds(const struct memtable *t, const struct record *r)
{
    return r->value.ptr >= t->map && r->value.ptr < t->map + t->file->size;
}
/* For one more entry: what is taken back again and again uses them up, and no room in the file. */
bool memtable_has_room(const struct memtable *t);
void memtable_stage(struct memtable *t, const struct record_key *key, size_t record);
/* Takes back what was staged since `staged` was n. */
void memtable_rewind(struct memtable *t, size_t n);
void memtable_publish(struct memtable *t);
void memtable_set_number(struct memtable *t, const char *id, size_t id_len, uint64_t last);
const uint64_t *memtable_number(const struct memtable *t, const char *id); /* NULL: not there */
static inline bool memtable_is_empty(const struct memtable *t)
{
    return t->file->end == SEGMENT_HEAD;
}

/* ---- walking, in order; any thread, in a read section ---------------------------------------- */
struct memtable_walk {
    const struct memtable *table;
    uint32_t bucket, entry;
    /* where it stands */
    uint64_t order;
    struct slice lmdb_key;
    struct slice bytes; /* of the record */
};
/* To the first published entry at or behind `order`; false: there is none. table may be NULL. */
bool memtable_walk_from(struct memtable_walk *w, const struct memtable *table, uint64_t order);
bool memtable_walk_next(struct memtable_walk *w);

#endif
