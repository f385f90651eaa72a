/* request/writer: the one actor through which every write of this node passes, those that its
 * clients send and those that other nodes send. So one node's writes have one order, everywhere.
 *
 *     worker --WRITE--> stamp, log of each replica --> sender
 *                                 | the own one       \                      / reply --> worker
 *                                 v                    > one batch at a time <
 *     link  --INBOUND--> check the number             /   to the own store    \ ACK --> link
 *
 * While a batch is at the store, the next one gathers (group commit). A client's write goes into
 * the logs of all its replicas at once, the own store's included (request/own.h), and then to the
 * own store. While that is away, the worker is answered at once, and what becomes of the write
 * there is told by verdicts, as those of senders.
 *
 * A node without such a log (embedded, or alone) applies a write to its own store first, and then
 * puts it into the logs of the others: what the own store refuses is written nowhere. While a batch
 * hangs at a store that is gone, writes that need only other nodes pass it by: each key's keep
 * their order, those of different keys may not. */
#ifndef REQUEST_WRITER_H
#define REQUEST_WRITER_H

#include "config/config.h"
#include "peer/handshake.h"
#include "peer/mail.h"
#include "peer/orphans.h"
#include "peer/peer.h"

struct writer;
struct writer_options {
    const struct config *config;
    const struct identity *me;
    struct topology **topology; /* the writer publishes a new one when a peer's id becomes known */
    const struct peers *peers;  /* `add` adds to them */
    struct orphans *orphans;    /* NULL: none */
    const char *own_hint_dir;   /* of the own store's log; NULL: memory, or there is none */
    struct store *store;
    bool used_data_dir;
    uint64_t clock_floor;  /* no stamp below this: the bound kept by the last run */
    uint64_t *mark_wanted; /* atomic, out: numbers run out; keep a start mark of at least this */
    const uint64_t *mark_kept;  /* atomic, in: the newest that is kept */
    uint32_t *clock_trusted;    /* atomic, out: the wall clock agrees with a peer's */
    uint32_t *own_state;        /* atomic, out: enum node_state */
    uint64_t *clock_now;        /* atomic, out: the newest stamp given */
    uint64_t *watermark;        /* atomic, out: see request/pulse.h */
    uint64_t *settled_below;    /* atomic, out: all writes below this stamp are where they belong;
                                   NULL: nobody asks */
    int64_t *clock_off;         /* atomic, out: ms that the wall clock is ahead of the peers' */
    const uint64_t *clock_kept; /* atomic, in, ms: the bound from which the next start goes on */
    /* In the writer's thread: */
    /* Stamps have come to that bound (they follow those of a peer, or this process stood still):
     * move it above `ms` and keep it before this returns. */
    void (*keep_clock)(void *arg, uint64_t ms);
    /* A peer's id was learnt, or the ring has changed: remember it (data_dir/peers). */
    void (*met)(void *arg, const struct topology *t);
    /* Membership names a peer that isn't known: makes it, with its log and its sender, at the next
     * index, and publishes it (peers_publish); the ring that names it comes after that. False: it
     * can't be. */
    bool (*add)(void *arg, const struct ring_node *n, struct error *e);
    /* Before the first peer of a node that was alone: the own store gets its log, if it is to have
     * one (peers->own). *dir: that log's; NULL: memory. */
    bool (*add_own)(void *arg, const char **dir, struct error *e);
    /* After that: sends each worker a MAIL_SETTLE. Returns how many. */
    unsigned (*settle)(void *arg);
    void *arg;        /* of all of them */
    uint32_t *serves; /* atomic, out: 1: it has taken a client's write; NULL: nobody asks */
};
struct writer *writer_start(const struct writer_options *o, struct error *e) MUST_USE;
struct actor *writer_actor(struct writer *w);
void writer_stop(struct writer *w);
void writer_join(struct writer *w); /* waits for its end */
void writer_free(struct writer *w); /* when nobody can send to it any more */

#endif
