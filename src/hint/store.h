/* hint/store: all hints of a node: a log for each peer, one cap over all of them, and what has
 * expired. It needs no server: an embedder has a store, puts what a peer misses, and takes it when
 * the peer is back.
 *
 *     rcu_start(); (in main; each other thread: rcu_thread_register)
 *     struct hint_store *s = hint_store_open(&(struct hint_store_options){.dir = "hints"}, &e);
 *     struct hint_peer *p = hint_store_peer(s, "10.0.0.5", NULL, &e);
 *     hint_store_put(p, slice_str("..."), 86400000);          any thread
 *     hint_store_take(p, deliver, NULL);                      when the peer is back
 *     hint_store_expire(s, clock_steady_ms());                every second or so
 *     hint_store_close(s);
 *
 *     store --- cap, and each peer's share of it (hint/share.h)
 *       |
 *       peers (RCU table by name)
 *         |
 *         peer "a": log (hint/log.h)   acknowledged          counted     appended
 *         |                                 |---- hints --------|--- live ---|
 *         |                       head -> [segment] -> [segment] -> [segment] <- tail
 *         |                                    consumer: take, next, ack, expire
 *         |                                    producer: put, append
 *         peer "b": ...
 *
 * Each peer has one producer and one consumer at a time, which don't wait for each other: a short
 * lock each, or the caller's promise that one thread does all of it (single_writer, single_reader:
 * the server, whose writer appends and whose senders, one for each peer, do the rest). Figures,
 * lists and lengths are for any thread at any time and hold up nobody: the table of peers and the
 * segments of a log are RCU lists, freed through call_rcu, and what is counted is atomic.
 *
 * What counts as a hint: what lies unacknowledged for a peer, unless the caller says that the peer
 * is up (hint_peer_set_hinting(p, false)): then what was appended before that, and what is appended
 * as a hint later. The rest is live: on its way, under no cap. Peers start as hinting.
 *
 * Fairness: half of the cap is shared, first come, first served; the other half is reserved in
 * equal parts for the peers that exist. The sum of what was put never exceeds the cap. What was
 * appended live and becomes hints may. */
#ifndef HINT_STORE_H
#define HINT_STORE_H

#include "core/error.h"
#include "hint/log.h"

struct hint_store;
struct hint_peer;

enum hint_sync_policy {
    HINT_SYNC_ALWAYS,   /* a hint that was stored is on disk: many puts share one fdatasync */
    HINT_SYNC_INTERVAL, /* the owner calls hint_store_sync every second */
    HINT_SYNC_NEVER     /* when the system sees fit */
};

struct hint_store_options {
    const char *dir;   /* made if missing: a directory in it for each peer; NULL: memory only */
    uint64_t cap;      /* payload bytes of hints, all peers; 0: no cap */
    uint64_t cap_peer; /* each peer; 0: no cap */
    enum hint_sync_policy sync;
    size_t segment_min, segment_max; /* 0: 64 KB, 16 MB */
    size_t record_max;               /* bytes of one payload; 0 (and at most): FRAME_PAYLOAD_MAX */
    size_t live_limit; /* bytes that may lie unacknowledged for a peer, hints or not; 0: no limit */
    uint64_t floor;    /* numbers go on above it (the start mark << 32) */
    bool single_writer; /* promise: for each peer one thread at a time appends */
    bool single_reader; /* promise: for each peer one thread at a time is the consumer */
};

/* ---- the store. One thread opens and closes, with nobody else at work. ------------------------
 */

/* Replays what `dir` holds: each directory with a log that still owes something (or is damaged) is
 * a peer from now on, whether anybody names it or not, and what lies there counts toward the caps
 * (which it may exceed). */
struct hint_store *hint_store_open(const struct hint_store_options *o, struct error *e) MUST_USE;
/* Syncs as the policy says (true: all is on disk, or need not be) and closes; files stay. */
bool hint_store_close(struct hint_store *s, struct error *e);

/* Any thread. Takes effect with the next put; what is there stays. */
void hint_store_set_caps(struct hint_store *s, uint64_t cap, uint64_t cap_peer);

/* ---- peers. Any thread. -----------------------------------------------------------------------
 */

/* Finds a peer or makes it: `name` names its directory (no '/', no dot at its beginning, at most
 * 200 bytes). `header` goes into its segments and is checked there; NULL: the name, and what is
 * found is believed. A log that was replayed under another header is opened again with this one:
 * before its first put. The peer lives until it is removed or the store is closed. NULL: its log
 * can't be opened. */
struct hint_peer *hint_store_peer(struct hint_store *s, const char *name, const char *header,
                                  struct error *e) MUST_USE;
struct hint_peer *hint_store_find(struct hint_store *s, const char *name); /* NULL: there is none */
/* fn for each peer, within an RCU read section: it doesn't sleep. False ends it. */
void hint_store_each(struct hint_store *s, bool (*fn)(struct hint_peer *p, void *arg), void *arg);

/* While neither its producer nor its consumer is at work. False: the directory can't be renamed, or
 * the name is taken. */
bool hint_peer_rename(struct hint_peer *p, const char *name, struct error *e) MUST_USE;
/* The same; nobody uses p any more. False: it holds hints. Its share goes to the others. The
 * directory goes too, unless there is anything in it that isn't a segment. */
bool hint_peer_remove(struct hint_peer *p, struct error *e) MUST_USE;

/* Copies the name (cut to `size`). */
void hint_peer_name(const struct hint_peer *p, char *out, size_t size);
const char *hint_peer_header(const struct hint_peer *p);
/* For reading, and its numbers; what is put and taken goes through the store. */
struct hint_log *hint_peer_log(struct hint_peer *p);
struct hint_store *hint_peer_store(const struct hint_peer *p);
/* Other than the store's segment_min and live_limit (0: no limit). Before its first put. */
void hint_peer_tune(struct hint_peer *p, size_t segment_min, size_t live_limit);
/* What was found when its log was opened. */
const struct hint_log_report *hint_peer_report(const struct hint_peer *p);

/* ---- putting ----------------------------------------------------------------------------------
 */

enum hint_put {
    HINT_PUT_STORED,
    /* rejected: nothing changed but its counter */
    HINT_PUT_OVER_CAP,      /* over capacity: all peers, or all that isn't reserved for others */
    HINT_PUT_OVER_PEER_CAP, /* over capacity: this peer */
    HINT_PUT_ZERO_TTL,
    HINT_PUT_EMPTY,
    HINT_PUT_TOO_LARGE, /* payload over the record limit */
    HINT_PUT_NO_SPACE,  /* the disk (or live_limit) is full */
    HINT_PUT_IO_ERROR,  /* anything else the system refused; hint_peer_error() */
    /* not rejected: stored, and the sync that would have made it durable failed */
    HINT_PUT_UNSYNCED,
    HINT_PUT_RESULTS
};
const char *hint_put_name(enum hint_put r); /* over_capacity, ...: a label */

/* Any thread. Copies the payload; it expires ttl_ms from now (clock_steady_ms, to the tick of the
 * system's coarse clock, a few ms). With HINT_SYNC_ALWAYS on disk it returns when the hint is
 * durable; with single_reader that is the consumer's to see to (hint_peer_sync). */
enum hint_put hint_store_put(struct hint_peer *p, struct slice payload, uint64_t ttl_ms);

/* The producer: a whole frame (kind FRAME_WRITE, stamp, tag, flags, deadline; seq is set), as a
 * hint or as live. Never waits for the disk's syncs. Live ones may lie in memory where the disk is
 * full.
 */
enum hint_as {
    HINT_AS_HINT,
    HINT_AS_LIVE,
    HINT_AS_MOVED, /* was another peer's hint: it counts, but isn't held against the caps, under
                      which it was before; on disk, as a hint */
};
enum hint_put hint_peer_append(struct hint_peer *p, struct frame *f, enum hint_as as);
/* The producer asks what the next record is: a hint, where the peer counts as hinting or more than
 * `window` bytes lie unacknowledged. */
enum hint_as hint_peer_as(const struct hint_peer *p, uint64_t window);
const char *hint_peer_error(const struct hint_peer *p); /* the producer's; of the last refusal */

/* ---- taking -----------------------------------------------------------------------------------
 */

/* Everything pending for a peer now, oldest first; what has expired is dropped and counted. What fn
 * was given and returned true for is acknowledged; false ends it. Returns how many were taken. fn
 * may put, for the same peer too; it mustn't call a consumer's function on it, nor make, rename or
 * remove peers. */
typedef bool hint_take_fn(void *arg, const struct frame *hint);
uint64_t hint_store_take(struct hint_peer *p, hint_take_fn *fn, void *arg);

/* The cursor, for who delivers over a link. The consumer's functions; where single_reader isn't
 * promised, between hold and release, also as long as `bytes` are looked at. */
void hint_peer_hold(struct hint_peer *p);
void hint_peer_release(struct hint_peer *p);
/* As hint_log_next and hint_log_ack; the figures and the shares follow. */
bool hint_peer_next(struct hint_peer *p, uint64_t after, struct frame *head, struct slice *bytes);
void hint_peer_ack(struct hint_peer *p, uint64_t seq);
/* Drops what has expired by now_ms, wherever it lies; returns how many. */
uint64_t hint_peer_expire(struct hint_peer *p, uint64_t now_ms);
/* As hint_log_expires: will it drop something for good? */
bool hint_peer_expires(struct hint_peer *p, uint64_t now_ms, bool *oldest);
/* So many records that had expired were passed over and go next: they count as expired, and not as
 * delivered or dropped. For who finds them on its way; hint_peer_expire looks for them. */
void hint_peer_passed(struct hint_peer *p, uint64_t records);
/* Drops what is there up to this number; returns how many records. They don't count as delivered.
 */
uint64_t hint_peer_drop(struct hint_peer *p, uint64_t upto);
/* The number up to which what isn't acknowledged counts as hints. */
uint64_t hint_peer_end(const struct hint_peer *p);
/* True: everything unacknowledged counts as hints from now on, also what was appended live. False:
 * what is there now stays hints, what is appended live from now on isn't. */
void hint_peer_set_hinting(struct hint_peer *p, bool hinting);
bool hint_peer_hinting(const struct hint_peer *p); /* any thread */
/* It is hinting, or some of what was there when that ended still is. */
bool hint_peer_was_away(const struct hint_peer *p);

/* Everything appended before the call is on disk when this returns true; *synced: up to which
 * number. Calls at the same time share the syncs. Any thread, without a hold; with single_reader
 * the consumer's. Nothing is done in memory, or with HINT_SYNC_NEVER. */
bool hint_peer_sync(struct hint_peer *p, uint64_t *synced, struct error *e) MUST_USE;

/* All peers, each peer's consumer being asked for in turn: not with single_reader. */
uint64_t hint_store_expire(struct hint_store *s, uint64_t now_ms);
bool hint_store_sync(struct hint_store *s, struct error *e) MUST_USE;

/* ---- figures. Any thread, any time; nobody waits for it. --------------------------------------
 */

struct hint_figures {
    uint64_t pending, bytes; /* hints, and their payload */
    uint64_t oldest_ms;      /* wall ms of the stamp of the oldest; 0: none */
    uint64_t behind;         /* payload bytes unacknowledged, live ones too */
    /* since the store was made */
    uint64_t stored;    /* put, or appended as hints */
    uint64_t converted; /* found at the start, or appended live and hints since the peer went down,
                           or fell behind; stored + converted never goes back, and is pending +
                           delivered + expired + dropped + lost */
    uint64_t delivered, expired, dropped;
    uint64_t lost;    /* went with what was acknowledged or expired, and couldn't be read */
    uint64_t damaged; /* were there and couldn't be read (and segments, at the start) */
    uint64_t rejected[HINT_PUT_RESULTS];
    uint64_t syncs; /* that puts waited for */
};
void hint_peer_figures(struct hint_peer *p, struct hint_figures *f);

struct hint_totals {
    struct hint_figures sum; /* oldest_ms: the oldest of all */
    unsigned peers, peers_with_hints;
    uint64_t cap, cap_peer;
};
void hint_store_totals(struct hint_store *s, struct hint_totals *t);

#endif
