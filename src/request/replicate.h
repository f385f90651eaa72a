/* request/replicate: a write of this node into the logs of the other replicas, and word to their
 * senders. The writer's thread; owned by the writer. */
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
    struct mail_appended **mail; /* who waits for what was appended since the last nudge */
    bool *nudged;
};

void replicate_init(struct replicate *r, const struct config *c, const struct peers *peers);
void replicate_fini(struct replicate *r);

/* Appends the write `m`, stamped, to one replica's log. What became of it there: VERDICT_LOGGED
 * (the peer is up), VERDICT_NONE (it is a hint: the sender tells the worker when it is durable) or
 * VERDICT_REFUSED, and why. */
enum verdict replicate_to(struct replicate *r, unsigned node, const struct mail_write *m,
                          uint64_t stamp, uint16_t tag, enum refusal *why);
/* Tells the senders what was appended. */
void replicate_nudge(struct replicate *r);

#endif
