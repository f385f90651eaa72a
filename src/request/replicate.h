/* request/replicate: a write of this node into the logs of its replicas, and word to the senders of
 * the others. The writer's thread; owned by the writer. */
#ifndef REQUEST_REPLICATE_H
#define REQUEST_REPLICATE_H

#include "config/config.h"
#include "peer/mail.h"
#include "peer/peer.h"

struct replicate {
    const struct config *config;
    const struct peers *peers;
    uint64_t *mark_wanted; /* see request/writer.h */
    const uint64_t *mark_kept;
    /* its own, by node */
    struct nudge {
        struct mail_appended *mail; /* who waits for what was appended since the last one */
        bool due, held;
        uint64_t last_us, last_bytes; /* when it was, and the log's end then */
    } * nudges;
    uint64_t now_ms; /* steady, of this turn; 0: not asked yet */
};

void replicate_init(struct replicate *r, const struct config *c, const struct peers *peers);
void replicate_fini(struct replicate *r);

/* A stamped write, and who wants to hear of it. */
struct replicate_write {
    struct actor *worker; /* NULL: nobody waits for it */
    uint64_t ticket;
    bool want_replies;
    struct slice command; /* copied */
    uint64_t stamp;
    uint16_t tag;
};
/* Appends it to one replica's log, under the number *seq. What became of it there: VERDICT_LOGGED
 * (the peer is up), VERDICT_NONE (it is a hint: the sender tells the worker when it is durable) or
 * VERDICT_REFUSED, and why. VERDICT_KEPT: it has left the ring since the worker looked, and counts
 * neither for the write nor against it. */
enum verdict replicate_to(struct replicate *r, unsigned node, const struct replicate_write *w,
                          uint64_t *seq, enum refusal *why);
/* The same for the own store's log, which has no sender. */
enum verdict replicate_to_own(struct replicate *r, const struct replicate_write *w, uint64_t *seq,
                              enum refusal *why);
/* A verdict is wanted after all on what was VERDICT_LOGGED. */
void replicate_await(struct replicate *r, unsigned node, const struct mail_waiter *waiter);
/* The peer lacks something that it should have got: its sender marks it. */
void replicate_want_repair(struct replicate *r, unsigned node, const char *reason);
/* A log whose numbers run out goes on at a new upper half. */
void replicate_renew_numbers(struct replicate *r, struct hint_log *log);
/* Appends a record of another log as it is; its sender isn't told before replicate_release, also
 * not of what is appended behind it. memory_ok: it may lie in memory where the disk is full. */
enum hint_put replicate_hand(struct replicate *r, unsigned node, const struct frame *f,
                             bool memory_ok);
void replicate_release(struct replicate *r, unsigned node);
/* Tells senders what was appended; each word wakes threads here and at the peer. False: some
 * weren't told. */
#define REPLICATE_LAZY_US 1000
enum nudge_whom {
    NUDGE_URGENT, /* of whom somebody waits for a verdict, or for whom lazy_bytes have gathered */
    NUDGE_DUE,    /* and those that weren't told for REPLICATE_LAZY_US */
    NUDGE_ALL
};
bool replicate_nudge(struct replicate *r, enum nudge_whom whom);

#endif
