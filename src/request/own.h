/* request/own: the node's own store as a replica like the others: it has a log (hint/log.h) and a
 * number of its own, so that what it misses while it is away, or what was on its way when its
 * connection broke, is applied later, once.
 *
 *     acknowledged          sent                    appended
 *          |-- at the store ---|---- in a batch, or to be replayed ----|     the own log
 *
 * The writer is the log's producer and its consumer. Two modes:
 *
 *     DIRECT   what is appended goes into the next batch from memory; when that is done the log is
 *              acknowledged up to its last number.
 *     BEHIND   the store is away, refuses, or hasn't caught up: what is appended only lies there,
 * as a hint (caps, figures, on disk before its verdict). When the store says its number, the log is
 * acknowledged up to it and what lies behind is replayed in batches; the batch that reaches the
 * log's end makes it DIRECT again.
 *
 * An fdatasync would hold up all writes: it runs in libuv's thread pool, and while it does the log
 * is only appended to (acknowledgements and replay wait for its end).
 *
 * A node that is alone (unless it isn't through with the log from when it had peers), and one with
 * the embedded store, whose own log is all it needs, have no such log (peer is NULL). All functions
 * are the writer's thread's. */
#ifndef REQUEST_OWN_H
#define REQUEST_OWN_H

#include "config/config.h"
#include "peer/orders.h"
#include "peer/peer.h"
#include "peer/waiters.h"
#include "request/batch.h"

struct own {
    struct peer *peer; /* its log and figures; hinting is BEHIND; NULL: there is none */
    const struct config *config;
    const char *dir; /* the log's; NULL: memory */
    uv_loop_t *loop;
    struct hint_mark *mark;
    struct waiters waiters;
    struct orders waits; /* for its hints to be gone */
    uint64_t sent;       /* the last number that was put into a batch */
    uint64_t heard;      /* the highest that the store is known to have */
    uint64_t ack_due;    /* to be acknowledged when the sync has ended, and nothing is held */
    uint64_t unkept;     /* who waited for numbers up to this one knows that they aren't on disk */
    uint64_t damaged;    /* of the log's damage: what the mark knows of */
    uint64_t expired_upto; /* the newest record counted as expired */
    bool sync_wanted, syncing, held;
    uv_work_t work;
    struct { /* what the pool's thread found */
        bool ok;
        uint64_t upto;
        struct error error;
    } synced;
};

void own_init(struct own *o, const struct config *c, struct peer *p, const char *dir,
              uv_loop_t *loop);
void own_fini(struct own *o); /* when the loop has ended: no sync runs */

static inline bool own_has_log(const struct own *o)
{
    return o->peer != NULL;
}
static inline bool own_is_behind(const struct own *o)
{
    return o->peer && peer_hinting(o->peer);
}

/* The store can't be written, or has lost a batch: what lies unacknowledged counts as hints now, or
 * is thrown away where none are kept (enable_hinted_handoff: false). */
void own_go_behind(struct own *o);
/* A write lies in the log as a hint: who wants to hear when it is durable, or applied. False: no
 * hints are kept; it is refused. */
bool own_wait(struct own *o, uint64_t seq, const struct mail_write *m) MUST_USE;
/* The store is up and says its number; what it has is acknowledged, the rest will be replayed. */
void own_stands_at(struct own *o, uint64_t seq);
/* While BEHIND and the store serves: what comes next in the log goes to the end of this batch, as
 * far as there is room; with the last of it the mode becomes DIRECT. trusted: records may expire.
 * A record whose effect its arguments don't tell is passed over: it didn't happen, and its client
 * has been told that it may not. */
void own_fill(struct own *o, struct batch *b, size_t room, bool trusted);
/* Nothing is acknowledged until it is released: what the store has may not be with the others yet,
 * and a start after a kill must find the records of it. */
void own_hold(struct own *o);
void own_release(struct own *o);
/* A replayed write was applied; with this reply. */
void own_replied(struct own *o, uint64_t seq, struct slice reply);
/* A batch is done: the store has everything up to this number. all: nothing of it failed. If not,
 * replay goes on behind that number. */
void own_applied(struct own *o, uint64_t seq, bool all);
void own_mark_repair(struct own *o, const char *reason);
/* dyn-admin: wait, repaired. Takes the message. */
void own_order(struct own *o, struct mail_order *m);
/* Starts what is to be synced, sends the verdicts that have gathered. */
void own_turn_end(struct own *o);
/* About once a second; serving: the store takes writes. */
void own_tick(struct own *o, bool serving, bool trusted);

#endif
