/* store/store: the one interface to the store behind a node; store/embedded.c (LMDB),
 * store/redis.c and store/memcached.c are behind it. A store has one writing side, owned by the
 * writer actor, and any number of reading sides, one in each worker. Both are driven by the loop of
 * the thread that made them; callbacks come in that thread, possibly before the call returns.
 *
 * Numbers. The store keeps, for each sending node, the number of the last write applied, in the
 * same transaction as the writes (DESIGN.md section 7). A source is a sending node's id; source 0
 * is this node itself. Stamps. A write strictly older than the last overwrite of its key is dropped
 * (STORE_STALE).
 *
 * A flush (FLUSHALL, FLUSHDB: a COMMAND_OVERWRITE with COMMAND_RING) is an overwrite of every key:
 * what was last overwritten before it is gone, what comes and is older, another flush too, is
 * STORE_STALE whatever its key, and what is newer stays. Numbers survive it. Its reply is +OK.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "core/buf.h"
#include "core/error.h"
#include "wire/command.h"
#include "wire/resp.h"
#include <uv.h>

struct store;
struct store_reader;

#define STORE_SOURCES_MAX  1024
#define STORE_SOURCE_MENDS (STORE_SOURCES_MAX - 2u) /* of mends, which have no sender's number */

enum store_outcome {
    STORE_APPLIED, /* done, or the command's own fault (-WRONGTYPE): reply says which */
    STORE_STALE,   /* older than the key's last overwrite: dropped; the reply is what an applied one
                      would most likely give (+OK / :0) */
    STORE_FULL, /* -OOM; nothing of this write happened; for a replicated write delivery stops here
                 */
    STORE_FAILED,  /* the store's state (read-only, loading, I/O): nothing of this write happened */
    STORE_UNKNOWN, /* it went away meanwhile: last() of its source tells after the next up */
};

/* A write's place among all writes: the clock's stamp, then the tag of the node that stamped. */
struct store_stamp {
    uint64_t time; /* 0: none */
    uint16_t tag;
};
static inline bool store_stamp_before(struct store_stamp a, struct store_stamp b)
{
    return a.time < b.time || (a.time == b.time && a.tag < b.tag);
}

/* Besides the command (SET, DEL, RESTORE ... REPLACE ABSTTL) and its stamp, which is that of the
 * last overwrite in the copy that it brings (0: it has none). */
struct store_mend {
    struct store_stamp upto;   /* STORE_STALE where anything newer has touched the key */
    struct store_stamp newest; /* of the newest write that is in the copy, where that is known */
};

/* One write, in a batch. */
struct store_write {
    bool skip;                     /* only moves the number (FRAME_SKIP) */
    const struct store_mend *mend; /* NULL: it isn't one. Its source is STORE_SOURCE_MENDS, seq 0 */
    unsigned source;               /* whose number */
    uint64_t seq; /* its number afterwards; 0: leave the number alone. A COMMAND_READ without number
                     is asked in its place among the writes */
    uint64_t stamp;
    uint16_t tag;
    const struct command_spec *spec; /* not for skips */
    const struct resp_command
        *cmd; /* normalized: lifetimes are absolute; lives until the batch is done */
    enum store_outcome outcome; /* out */
    struct slice reply;         /* out: RESP, in batch->replies */
};

/* Writes that become visible and durable in order, and together if they aren't very large. Owned by
 * the writer actor; at most one is at the store at a time. */
struct store_batch {
    struct store_write *writes;
    size_t n;
    struct buf replies; /* out; the owner resets it */
};

struct store_stats { /* atomics, read by anyone */
    uint64_t stale_dropped, unguarded, errors;
    uint64_t forbidden;   /* writes of peers that the backend's user may not run */
    uint64_t keys, bytes; /* live records; 0 where unknown (redis) */
    uint64_t stamps;      /* of external ones: overwrites whose stamps are kept beside it */
    uint64_t ambiguous; /* memcached: writes done again, since it wasn't known whether they were */
    uint64_t emptied;   /* memcached: times that it had started anew, and what it had was gone */
};

struct store_events {
    /* The store can take batches. last(source) may be asked from now on. Again after each break. */
    void (*up)(void *arg);
    /* It can't: why. The batch at the store, if any, is done soon all the same: with STORE_FAILED
     * or STORE_UNKNOWN for what wasn't settled. */
    void (*down)(void *arg, const char *reason);
    /* The batch given to store_apply is dealt with; what is applied is as durable as store_sync
     * says. */
    void (*done)(void *arg, struct store_batch *batch);
    void *arg;
};

struct store_options {
    const char *data_dir;
    const char *self_id;
    /* embedded */
    int sync; /* enum sync_policy of config/config.h: always, interval, never */
    uint64_t max_bytes;
    uint64_t log_bytes; /* of recent writes, before they go into the file; 0: as it should be */
    /* bytes that what a transaction's commands answer may have together: beyond them errors take
       the place of replies, and nothing more is read. 0: any */
    uint64_t replies_max;
    /* redis, memcached */
    const char *host; /* or a unix path in `unix_path` */
    uint16_t port;
    const char *unix_path, *user, *password;
    uint64_t stamp_table_bytes;
    unsigned timeout_ms, company_timeout_ms; /* the second: while it isn't alone; 0: the first */
    uint64_t clock_floor;                    /* no write of an earlier run has a higher stamp */
    bool alone; /* no other node has copies, nor hints of one that has left: nobody compares stamps,
                   and writes may go anywhere */
};

/* Exits of open are configuration or start errors (directory, damaged, too old); a redis that can't
 * be reached isn't one. Main thread, before the actors. */
struct store *store_open_embedded(const struct store_options *o, struct error *e) MUST_USE;
struct store *store_open_redis(const struct store_options *o, struct error *e) MUST_USE;
struct store *store_open_memcached(const struct store_options *o, struct error *e) MUST_USE;
void store_close(struct store *s); /* after both sides have ended */
const struct store_stats *store_stats(const struct store *s);
bool store_is_up(const struct store *s); /* atomic; any thread */
/* Why it isn't, for -BACKEND and /readyz; "" when up. Copies at most n bytes. Any thread. */
void store_why_down(const struct store *s, char *out, size_t n);
/* The largest value that it takes, in bytes, with what it keeps beside it; 0: it has no bound of
 * its own. Any thread. */
uint64_t store_value_max(const struct store *s);

/* ---- writing side: the writer actor -------------------------------------------------------- */
/* `up` comes when it is ready: before this returns for the embedded store. */
void store_writer_start(struct store *s, uv_loop_t *loop, const struct store_events *events);
void store_writer_stop(
    struct store *s); /* closes handles on the loop; `done` isn't called any more */
/* The number of this source, named by its node id; makes it known. Answer is true from `up` until
 * `down`. Sources are numbered by the caller; ids are up to 64 bytes. */
uint64_t store_last(struct store *s, unsigned source, const char *node_id);
void store_apply(struct store *s, struct store_batch *batch);
/* A key of this store was overwritten by a write that it was given as a change (a script): from now
 * on, and for who reads it, that stamp counts. Between two batches only. Nothing where stamps stand
 * in the records. */
void store_note_overwrite(struct store *s, struct slice key, uint64_t stamp, uint16_t tag);
/* No write below this stamp comes any more: what was kept only to guard against such (tombstones,
 * the stamps of external stores) is free to go, and goes little by little. One that comes all the
 * same, to a key of which nothing is known any more, is applied and counted as `unguarded`. At any
 * time; a lower stamp than before changes nothing. */
void store_forget_below(struct store *s, uint64_t stamp);

/* ---- reading side: one per worker ----------------------------------------------------------- */
struct store_read_reply {
    bool ok;            /* false: the store can't serve; `reply` is an -BACKEND error */
    struct slice reply; /* RESP; valid during the callback */
    uint64_t stamp;     /* of the key's newest write that is known; 0: unknown or no such key */
    uint16_t tag;
};
typedef void store_read_fn(void *arg, const struct store_read_reply *r);

struct store_reader *store_reader_new(struct store *s, uv_loop_t *loop);
/* Closes; outstanding reads get ok = false before this returns. */
void store_reader_free(struct store_reader *r);
/* Runs a COMMAND_READ, or a COMMAND_LOCAL with COMMAND_NODE_STORE. SCAN and DBSIZE don't tell of
 * keys that begin with `__dynomited:`; who names them is refused by the caller. cmd may go away
 * after the call. Replies come in the order of the calls. */
void store_read(struct store_reader *r, const struct command_spec *spec,
                const struct resp_command *cmd, store_read_fn *fn, void *arg);
/* The same where nobody compares the answer with another: its stamp may be 0. Beside a Redis that
 * saves a look into a table that no cache holds. */
void store_read_unstamped(struct store_reader *r, const struct command_spec *spec,
                          const struct resp_command *cmd, store_read_fn *fn, void *arg);
/* Does `fn` always come before store_read returns? */
bool store_answers_at_once(const struct store *s);
/* May COMMAND_OVERWRITE and COMMAND_CHANGE be given to store_read, as the client wrote them? Only
 * to the store of a node that is alone, and whose store gives the writes of many connections an
 * order by itself. They have no number and no stamp; when the connection breaks, what was on its
 * way gets a -BACKEND error that says that its effect is unknown. */
bool store_takes_writes_anywhere(const struct store *s);
/* Where that is so, WATCH is the store's own: a connection by itself for a client that watches,
 * from WATCH to EXEC. The reading side's thread. */
struct store_watch;
struct store_watch *store_watch_new(struct store_reader *r);
/* WATCH, or the record of a transaction (wire/transaction.h), as store_read. When the connection
 * has broken since the first WATCH, EXEC's answer is `*-1`. One at a time. */
void store_watch_run(struct store_watch *w, const struct command_spec *spec,
                     const struct resp_command *cmd, store_read_fn *fn, void *arg);
void store_watch_free(struct store_watch *w); /* NULL is fine; what was asked is answered before */
/* The node isn't alone any more: stamps matter from now on. The writer's thread; what the reading
 * sides were given before is theirs to see through. */
void store_gets_company(struct store *s);
/* What this store has of a key, for `dyn-admin key`: reply is an array of
 * :exists +type :bytes :stamp $digest (16 hex digits of XXH64 over type, value and expiry; "" if it
 * isn't there). */
void store_inspect(struct store_reader *r, struct slice key, store_read_fn *fn, void *arg);

/* What this store has of a key, for read repair: everything that is to be known of it, and the
 * command that makes the same of it elsewhere. */
struct store_copy {
    bool ok; /* false: it can't be had now, or not of this key */
    bool exists;
    uint64_t digest; /* over type and value; of equal values the same wherever they are */
    uint64_t weight; /* a string that is an integer: greater for a greater one; else its bytes */
    uint64_t bytes;
    uint64_t expires;             /* wall ms; 0: never */
    bool expires_roughly;         /* an old Redis says it to a second or so */
    struct store_stamp overwrite; /* the last one; 0: none is known */
    struct store_stamp newest;    /* no newer write is in it */
    bool newest_exact;            /* one of this stamp is */
    uint64_t forgotten; /* where no overwrite is known, there may have been one up to this stamp */
    struct slice command; /* RESP; valid during the callback; empty if it wasn't wanted */
};
typedef void store_copy_fn(void *arg, const struct store_copy *c);
void store_copy(struct store_reader *r, struct slice key, bool command, store_copy_fn *fn,
                void *arg);

#define STORE_HIDDEN_PREFIX "__dynomited:"

#endif
