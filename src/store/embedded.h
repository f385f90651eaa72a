/* store/embedded: the store that is built in, on LMDB (http://www.lmdb.tech/doc/), in one file,
 * <data_dir>/store.mdb. Four tables:
 *
 *     keys     LMDB key of store/record.h -> record
 *     due      time (ms, big-endian), LMDB key -> nothing      what the sweeper finds
 *     numbers  node id -> u64                                  the last number applied
 *     meta     "totals" -> struct embedded_totals
 *
 * Every change to them goes through one write transaction per batch, in the writer's thread.
 * Readers have a snapshot each and wait for nobody.
 *
 * What a power cut can take, by store_sync: `always` nothing (two flushes a commit). `interval`
 * the last commit, at most for a second: LMDB's MDB_NOMETASYNC, which flushes the data before it
 * writes the page that points to it, so the file stays whole; plain MDB_NOSYNC could leave a page
 * that points to garbage. `never` is that MDB_NOSYNC: a power cut can cost the file. The death of
 * the process takes nothing in any of them.
 *
 *     embedded.c        open, close, check of the file
 *     embedded_table.c  records, the index and the totals within a transaction
 *     embedded_batch.c  the writing side's batches
 *     embedded_sweep.c  lapsed keys and old tombstones, syncing, coming back from a failure
 *     embedded_read.c   the reading side; embedded_scan.c SCAN
 */
#ifndef STORE_EMBEDDED_H
#define STORE_EMBEDDED_H

#include "store/internal.h"
#include "store/record.h"
#include <lmdb.h>

struct embedded_totals {
    uint64_t format;
    uint64_t keys, bytes; /* records that aren't tombstones: how many, their keys and values */
};

struct embedded_source {
    char id[65]; /* "": not known yet */
    uint64_t last;
    /* within an attempt at a batch (of that number, or they mean nothing) */
    uint64_t moved_in, stopped_in;
    uint64_t fresh;
};

struct embedded {
    struct store base;
    MDB_env *env;
    MDB_dbi keys, due, numbers, meta;
    size_t page; /* bytes */
    uint64_t max_bytes;
    uint64_t reserve; /* bytes only deletes may take, so that a full store can be emptied */
    uint64_t tombstone_ms;
    int sync; /* enum sync_policy */

    /* the writer's */
    struct store_events events;
    uv_timer_t sweeper, syncer;
    struct embedded_totals totals;
    uint64_t next_due; /* nothing in `due` is earlier; wall ms */
    bool unsynced;
    bool applying;
    struct store_batch *waiting; /* given by `done` while applying */
    struct embedded_source *sources;
    unsigned *moved; /* sources whose number this attempt moves */
    size_t n_moved;
    uint64_t attempt;
    struct buf scratch;
    size_t *starts; /* of the replies in the batch's buffer */
    size_t starts_cap;
};

/* ---- embedded_table.c: one write transaction ------------------------------------------------ */
struct embedded_txn {
    struct embedded *s;
    MDB_txn *txn;
    struct embedded_totals totals;
    uint64_t next_due;
    uint64_t room;    /* bytes that may still be taken */
    bool room_exact;  /* freed pages are in it */
    uint64_t dropped; /* stale writes */
    bool changed;
    bool poisoned; /* LMDB refused a change: only an abort is left */
};

/* These return 0 or an error of LMDB or errno. */
int embedded_begin(struct embedded *s, struct embedded_txn *t) MUST_USE;
/* Writes the totals and commits; on failure the transaction is gone as well. */
int embedded_commit(struct embedded_txn *t) MUST_USE;
void embedded_abort(struct embedded_txn *t);

/* MDB_NOTFOUND; MDB_CORRUPTED: what stands there is no record. Slices point into the file and hold
 * until the transaction's next change. */
int embedded_get(MDB_txn *txn, MDB_dbi keys, const struct record_key *key,
                 struct record *out) MUST_USE;
/* old: what stands there, or NULL. fresh's slices must not point into the file. MDB_MAP_FULL
 * without `poisoned`: refused beforehand, nothing has happened. */
int embedded_put(struct embedded_txn *t, const struct record_key *key, const struct record *old,
                 const struct record *fresh) MUST_USE;
int embedded_remove(struct embedded_txn *t, const struct record_key *key,
                    const struct record *old) MUST_USE;
/* When the sweeper must see a record with these contents. */
uint64_t embedded_sweep_time(const struct embedded *s, const struct record *r);

static inline MDB_val mdb_val_of(const void *p, size_t n)
{
    return (MDB_val){.mv_size = n, .mv_data = (void *)(uintptr_t)p};
}

/* ---- the rest of the writing side ----------------------------------------------------------- */
void embedded_apply(struct store *s, struct store_batch *batch);
/* A transaction failed for a reason that isn't a full store: down, until a commit works again. */
void embedded_broken(struct embedded *s, const char *what, int rc);
bool embedded_full_error(int rc); /* the map, the disk or the quota */
void embedded_sweeper_start(struct embedded *s, uv_loop_t *loop);
void embedded_sweeper_stop(struct embedded *s);

/* ---- reading side --------------------------------------------------------------------------- */
struct embedded_reader {
    struct store_reader base;
    MDB_txn *txn; /* reset between reads */
    struct buf reply, scratch;
};
struct store_reader *embedded_reader_new(struct store *s, uv_loop_t *loop);
void embedded_reader_free(struct store_reader *r);
void embedded_read(struct store_reader *r, const struct command_spec *spec,
                   const struct resp_command *cmd, store_read_fn *fn, void *arg);
void embedded_inspect(struct store_reader *r, struct slice key, store_read_fn *fn, void *arg);
/* embedded_scan.c: SCAN cursor [MATCH pattern] [COUNT n] [TYPE type] within the reader's snapshot.
 */
int embedded_scan(struct embedded_reader *r, const struct resp_command *cmd, uint64_t now,
                  struct buf *reply) MUST_USE;

#endif
