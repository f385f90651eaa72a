/* store/embedded: the store that is built in. Recent writes stand in a log and in memory, all
 * others in one file of LMDB (http://www.lmdb.tech/doc/).
 *
 *     writer's batch ---> store.wal/ (store/wal.h)          one frame; fdatasync as store_sync says
 *                           | the records lie in its mapping
 *                         memtable `active`                 store/memtable.h, one over each file
 *                           | full, old, or something in it is due
 *                         memtable `frozen`
 *                           | the checkpoint actor, in the order of the keys
 *                         store.mdb                         keys, due, numbers, totals, position
 *
 *     a read looks into   active, frozen, LMDB              in this order; the first that has it
 *
 * The tables of <data_dir>/store.mdb:
 *
 *     keys     LMDB key of store/record.h -> record
 *     due      time (ms, big-endian), LMDB key -> nothing      what the sweeper finds: when a key
 *              lapses; for a tombstone RECORD_GUARDS and the time below which it guards
 *     numbers  node id -> u64                                  the last number applied
 *     meta     "totals" -> struct embedded_totals, "wal" -> u64, the last batch that is in here,
 *              "forgotten" -> u64, the newest stamp that went with a tombstone, "flush" -> the
 * stamp of the last one, "purged" -> u64, the flush whose victims have all gone
 *
 * Records in the log are whole ones, so writing some of them to LMDB twice changes nothing: a
 * checkpoint may take many transactions, and only its last one moves numbers and position. At a
 * start the log behind that position becomes memtables again. Its file is used again when the
 * position is on disk and no reader is left in it.
 *
 * What a power cut can take, by store_sync: `always` nothing: each batch is on disk before it is
 * done. `interval` the last second. `never` more: what the system hadn't written yet, and a
 * checkpoint that wasn't written whole can cost the file. In the first two a prefix of the batches
 * survives, effects and numbers together. The death of the process takes nothing in any of them.
 *
 *     embedded.c             open, close, check of the file
 *     embedded_replay.c      what lies in the log at a start
 *     embedded_batch.c       the writing side's batches
 *     embedded_log.c         from a batch's record to log and memtable; freezing
 *     embedded_checkpoint.c  from a memtable to LMDB; syncs of `interval`: an actor
 *     embedded_table.c       one transaction of that
 *     embedded_flush.c       FLUSHALL: one stamp, below which all records are dead
 *     embedded_room.c        what still fits below store_max_bytes
 *     embedded_sweep.c       lapsed keys and old tombstones, timers, coming back from a failure
 *     embedded_read.c        the reading side; embedded_scan.c SCAN
 */
#ifndef STORE_EMBEDDED_H
#define STORE_EMBEDDED_H

#include "core/actor.h"
#include "store/internal.h"
#include "store/memtable.h"
#include "store/record.h"
#include "store/strings.h"
#include "store/wal.h"
#include "wire/transaction.h"
#include <lmdb.h>

struct embedded_totals {
    uint64_t format;
    uint64_t keys, bytes; /* records that aren't tombstones: how many, their keys and values */
};

struct embedded_source {
    char id[65]; /* "": not known yet */
    bool moved;  /* since the last freeze */
    uint64_t last;
    /* within an attempt at a batch (of that number, or they mean nothing) */
    uint64_t moved_in, stopped_in;
    uint64_t fresh;
};

/* The checkpoint of one memtable. Belongs to the checkpoint actor while `state` is CHECKPOINT_RUNS,
 * and else to the writer. */
enum checkpoint_state { CHECKPOINT_IDLE, CHECKPOINT_RUNS, CHECKPOINT_ENDED };
struct checkpoint {
    unsigned state;         /* atomic, enum checkpoint_state */
    struct memtable *table; /* NULL: only to see whether LMDB can be written */
    struct memtable_walk walk;
    bool begun, more; /* more: the walk stands at a record that isn't in LMDB yet */
    int rc;
    uint64_t used; /* out: bytes of LMDB's file that hold something */
};

/* Any record last overwritten before this is dead. */
struct embedded_flush {
    struct rcu_head rcu;
    struct stamp at;
};

struct embedded {
    struct store base;
    MDB_env *env;
    MDB_dbi keys, due, numbers, meta;
    size_t page; /* bytes */
    uint64_t max_bytes;
    uint64_t replies_max;  /* see struct store_options */
    uint64_t reserve;      /* bytes only deletes may take, so that a full store can be emptied */
    uint64_t forget_below; /* atomic, the writer's: no write with a lower stamp comes any more */
    uint64_t forgotten;    /* atomic: the newest stamp that went with a tombstone */
    int sync;              /* enum sync_policy */
    int wal_dir;
    uint64_t log_bytes; /* a file of the log; larger only for one batch that is */
    const struct string_command **commands; /* by place in command_table */

    /* the writer publishes, readers load in this order */
    struct memtable *active, *frozen; /* RCU; may be NULL */
    uint64_t changing; /* atomic: odd while a change becomes visible, record after record */
    struct embedded_flush *flush; /* RCU; NULL: there was none */
    uint64_t generation;          /* atomic: goes up before `frozen` goes, its records in LMDB */

    /* the writer's */
    struct store_events events;
    uv_timer_t sweeper, syncer;
    struct embedded_totals totals; /* with what is in the memtables, */
    struct embedded_totals dead;   /* and what of it a flush has killed, as far as that is known */
    uint64_t newest_overwrite;     /* no record has a newer one */
    uint64_t purged;               /* atomic: what this flush has killed isn't in LMDB any more */
    struct embedded_purge {
        uint64_t after;                   /* it begins when this batch is in LMDB */
        uint8_t from[RECORD_KEY_MAX + 1]; /* it has been through what is before */
        size_t from_len;
    } purge;
    MDB_txn *reading; /* its view of LMDB, while `reads`; no longer than a change */
    bool reads;
    uint64_t batches;            /* the number of the last one */
    uint64_t written;            /* the last one that is in LMDB */
    uint64_t used;               /* checkpoint.used of the last one */
    struct memtable *retired[4]; /* dropped: files to be used again once they are quiet */
    bool applying;
    /* of the batch in `waiting` */
    size_t in_log, replies_in_log; /* how many of its writes, and bytes of their replies */
    size_t needed;                 /* a file of at least this size for the rest */
    uint64_t room_from; /* the batch in `waiting` waits for room: until this batch is in LMDB */
    bool blocked;       /* the batch in `waiting` waits for the checkpoint */
    bool stuck;         /* the last checkpoint found LMDB's file or the disk full */
    struct store_batch *waiting; /* given by `done` while applying */
    struct embedded_source *sources;
    unsigned *moved; /* sources whose number this attempt moves */
    size_t n_moved;
    uint64_t attempt;
    struct buf scratch;
    size_t *starts; /* of the replies in the batch's buffer */
    size_t starts_cap;
    struct embedded_due {
        uint64_t next;                        /* nothing behind `from` is earlier */
        uint8_t from[8 + RECORD_KEY_MAX + 1]; /* the sweeper has looked at what is before */
        size_t from_len;
    } lapsing, guarding; /* the two parts of LMDB's `due` */

    /* the checkpoint actor's, and before it starts and after it has ended the main thread's */
    struct checkpoint checkpoint;
    struct embedded_totals kept; /* of what is in LMDB */

    struct actor actor;
    bool actor_runs;
    bool checkpointing; /* the actor's: there is a step to do */
    uv_async_t told;    /* the actor has something for the writer */
    struct msg start_checkpoint, start_sync;
    unsigned syncing; /* atomic; 1: start_sync is on its way, 2: done */
    int sync_rc;      /* of the last one; written before `syncing` goes down */
    struct memtable *sync_frozen, *sync_active;
    uint64_t sync_upto; /* of sync_active */
    bool unsynced;
};

/* The replies of a transaction begin at `start`. Is the one at `last` too much? Then an error takes
 * its place. embedded_read.c; any thread. */
bool embedded_cut_reply(const struct embedded *s, struct buf *replies, size_t start, size_t last,
                        bool wrote);
/* That error. */
void embedded_add_cut(const struct embedded *s, struct buf *replies, bool wrote);

static inline MDB_val mdb_val_of(const void *p, size_t n)
{
    return (MDB_val){.mv_size = n, .mv_data = (void *)(uintptr_t)p};
}
static inline MDB_val mdb_val_slice(struct slice s)
{
    return mdb_val_of(s.ptr, s.len);
}

/* ---- embedded_table.c: one write transaction of LMDB; the checkpoint's thread ---------------- */
struct embedded_txn {
    struct embedded *s;
    MDB_txn *txn;
    MDB_cursor *keys;
    struct embedded_totals kept;
};

/* These return 0 or an error of LMDB or errno. */
int embedded_begin(struct embedded *s, struct embedded_txn *t) MUST_USE;
/* Writes the totals and commits; on failure the transaction is gone as well. */
int embedded_commit(struct embedded_txn *t) MUST_USE;
void embedded_abort(struct embedded_txn *t);
/* Writes what the walk stands at; *pages: how many it may have touched besides the record's own. */
int embedded_store(struct embedded_txn *t, const struct memtable_walk *w, uint64_t *pages) MUST_USE;
int embedded_store_number(struct embedded_txn *t, const struct memtable_number *n) MUST_USE;
int embedded_store_position(struct embedded_txn *t, uint64_t batch) MUST_USE;
int embedded_store_forgotten(struct embedded_txn *t) MUST_USE;

/* In LMDB's snapshot. MDB_NOTFOUND; MDB_CORRUPTED: what stands there is no record. Slices point
 * into the file and hold as long as the transaction reads. */
int embedded_get(MDB_txn *txn, MDB_dbi keys, const struct record_key *key,
                 struct record *out) MUST_USE;
void embedded_count(struct embedded_totals *t, const struct record *r, struct slice lmdb_key,
                    bool in);

/* ---- embedded_log.c: the writer's changes ---------------------------------------------------- */
/* One batch, a part of a very large one, or one slice of the sweeper's. */
struct embedded_change {
    struct embedded *s;
    struct wal_tail tail; /* of the active table's file, if there is one */
    bool open;
    struct stamp flush; /* of the last one, of this change too */
    struct embedded_totals totals, dead;
    uint64_t growth;
    uint64_t next_due;
    uint64_t dropped;   /* stale writes */
    uint64_t unguarded; /* late writes that couldn't be judged */
    size_t wanted;      /* bytes, when there was no space */
};
/* A place to come back to when a write of many keys ends halfway. */
struct embedded_mark {
    struct wal_place tail;
    size_t staged;
    struct embedded_totals totals, dead;
    uint64_t growth;
};
/* Besides errors of LMDB and errno: */
enum {
    EMBEDDED_NO_SPACE = -1, /* the active table's file is full, or there is none */
    EMBEDDED_NO_ROOM = -2,  /* it doesn't fit below max_bytes, but may after a checkpoint */
    EMBEDDED_REFUSED = -3,  /* it doesn't fit */
};

void embedded_change_begin(struct embedded *s, struct embedded_change *c);
struct embedded_mark embedded_mark(const struct embedded_change *c);
void embedded_rewind(struct embedded_change *c, struct embedded_mark to);
/* The newest there is, of this change too. 0, MDB_NOTFOUND or an error. */
int embedded_find(struct embedded_change *c, const struct record_key *key,
                  struct record *out) MUST_USE;
/* old: what stands there, or NULL. */
int embedded_put(struct embedded_change *c, const struct record_key *key, const struct record *old,
                 const struct record *fresh) MUST_USE;
int embedded_put_number(struct embedded_change *c, const char *id, uint64_t last) MUST_USE;
/* Makes it durable as store_sync says, and visible. On failure nothing of it has happened. */
/* FLUSHALL: from now on what is older is dead. */
int embedded_put_flush(struct embedded_change *c, struct stamp at) MUST_USE;
int embedded_change_commit(struct embedded_change *c) MUST_USE;
void embedded_change_abort(struct embedded_change *c);
/* The writer's snapshot of LMDB, until the change ends. */
int embedded_reading(struct embedded *s, MDB_txn **out) MUST_USE;
/* When the sweeper must see a record with these contents: its place in `due`. */
uint64_t embedded_sweep_time(const struct record *r);

/* The numbers that moved since the last freeze go into the active table; one of them. */
void embedded_take_numbers(struct embedded *s);
void embedded_keep_number(struct embedded *s, struct embedded_source *source);
/* The active table becomes the frozen one, of which there must be none, and is written to LMDB. */
void embedded_freeze(struct embedded *s);
/* An active table with `wanted` bytes of room. */
#define EMBEDDED_LOG_MAX ((size_t)UINT32_MAX / 65536 * 65536) /* a table's places have 32 bits */
enum embedded_space {
    EMBEDDED_READY,
    EMBEDDED_WAIT, /* for the checkpoint */
    EMBEDDED_FULL, /* the disk is */
    EMBEDDED_BROKEN
};
enum embedded_space embedded_make_space(struct embedded *s, size_t wanted, int *rc) MUST_USE;
/* The frozen table's records are in LMDB. */
void embedded_thaw(struct embedded *s);
void embedded_tidy(struct embedded *s);

/* A record's version, for WATCH: of what is there or, by the time `now`, isn't any more. NULL: no
 * record. */
void embedded_version(const struct record *r, uint64_t now, uint8_t out[TRANSACTION_VERSION]);
/* ---- embedded_flush.c -------------------------------------------------------------------------
 */
/* The stamp of the last flush; {0}: there was none. Any thread. */
struct stamp embedded_flush_of(const struct embedded *s);
static inline bool embedded_is_dead(const struct record *r, struct stamp flush)
{
    return stamp_before(r->overwrite, flush);
}
/* Becomes it, if none is newer. The writer, or before it starts. */
void embedded_flush_set(struct embedded *s, struct stamp at);
/* Is there something left that it has killed? Then a slice of it goes. */
bool embedded_wants_purge(const struct embedded *s);
int embedded_purge(struct embedded_change *c) MUST_USE;
/* Figures, without what is dead. */
void embedded_show_totals(struct embedded *s);
int embedded_read_flush(struct embedded *s, MDB_txn *txn) MUST_USE;
int embedded_store_flush(struct embedded_txn *t, struct stamp at) MUST_USE;

/* ---- embedded_room.c --------------------------------------------------------------------------
 */
/* How much the record may make LMDB's file grow, an estimate. */
uint64_t embedded_growth(const struct embedded *s, const struct record_key *key,
                         const struct record *r);
/* May the file grow by this much? Deletes may take the reserve. */
bool embedded_has_room(const struct embedded_change *c, uint64_t growth, bool deletes);
/* Could it after a checkpoint? */
bool embedded_may_get_room(const struct embedded *s, uint64_t growth);
int embedded_used(const struct embedded *s, uint64_t *out) MUST_USE;

/* ---- embedded_checkpoint.c --------------------------------------------------------------------
 */
bool embedded_checkpointer_start(struct embedded *s, uv_loop_t *loop, struct error *e) MUST_USE;
void embedded_checkpointer_stop(struct embedded *s);
/* The writer; state must be idle. */
void embedded_checkpoint_start(struct embedded *s, struct memtable *table);
/* All of it at once, without the actor. ETIMEDOUT: not all of it until then (clock_mono_ms). */
int embedded_checkpoint_now(struct embedded *s, struct memtable *table, uint64_t until) MUST_USE;
void embedded_sync_start(struct embedded *s);

/* Not from an actor: waits for the last reader. */
void embedded_free_table(struct memtable *t, bool keep_file);

/* ---- embedded_replay.c ------------------------------------------------------------------------
 */
bool embedded_replay(struct embedded *s, const char *wal, uint64_t applied,
                     struct error *e) MUST_USE;

/* ---- the rest of the writing side -------------------------------------------------------------
 */
void embedded_apply(struct store *s, struct store_batch *batch);
void embedded_go_on(struct embedded *s); /* with the batch that was blocked */
/* Something failed for a reason that isn't a full store: down, until a checkpoint works again. */
void embedded_broken(struct embedded *s, const char *what, int rc);
bool embedded_full_error(int rc); /* the map, the disk or the quota */
void embedded_checkpoint_ended(struct embedded *s);
void embedded_sync_ended(struct embedded *s);
void embedded_sweeper_start(struct embedded *s, uv_loop_t *loop);
void embedded_sweeper_stop(struct embedded *s);
void embedded_forget_below(struct store *s, uint64_t stamp);
/* Is it a tombstone that guards against nothing any more? Then it goes, and its stamp is noted as
 * forgotten. Any thread. */
bool embedded_guards_nothing(struct embedded *s, const struct record *r);
/* A tombstone with this stamp is gone. Any thread. */
void embedded_note_forgotten(struct embedded *s, uint64_t stamp);

/* ---- reading side -----------------------------------------------------------------------------
 */
struct embedded_reader {
    struct store_reader base;
    MDB_txn *txn;
    bool live; /* txn has a snapshot: of this generation, for this turn of the loop */
    uint64_t generation;
    uv_idle_t turn_over;
    struct buf reply, scratch;
};
struct store_reader *embedded_reader_new(struct store *s, uv_loop_t *loop);
void embedded_reader_free(struct store_reader *r);
void embedded_read(struct store_reader *r, const struct command_spec *spec,
                   const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg);
void embedded_inspect(struct store_reader *r, struct slice key, store_read_fn *fn, void *arg);
void embedded_copy(struct store_reader *r, struct slice key, bool command, store_copy_fn *fn,
                   void *arg);
/* A snapshot of LMDB not older than the memtables that were loaded before the call. */
int embedded_snapshot(struct embedded_reader *r) MUST_USE;
/* embedded_scan.c: SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]. Within a read section. */
int embedded_scan(struct embedded_reader *r, const struct resp_command *cmd, uint64_t now,
                  struct buf *reply) MUST_USE;
/* RANDOMKEY. The same. */
int embedded_randomkey(struct embedded_reader *r, uint64_t now, struct buf *reply) MUST_USE;
const struct string_command *embedded_command(const struct embedded *s,
                                              const struct command_spec *spec, struct slice name);

#endif
