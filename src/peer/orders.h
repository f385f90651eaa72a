/* peer/orders: what dyn-admin has asked of a sender and what hasn't come about yet. The sender
 * actor's; see struct mail_order in peer/mail.h. */
#ifndef PEER_ORDERS_H
#define PEER_ORDERS_H

#include "peer/mail.h"
#include "peer/peer.h"

struct orders {
    struct mail_order *first;
    unsigned n;
};

/* Sends it back. reason NULL: done. */
void order_answer(struct mail_order *m, const char *reason);
/* Keeps it until it comes about; one more than there may be is refused. */
void orders_keep(struct orders *o, struct mail_order *m);
/* Waits: everything up to `acked` is gone from the log. */
void orders_gone(struct orders *o, uint64_t acked);
/* The same, of a peer's log. (Where nothing is pending the
 * number says little: that of a new start, which no record has yet, is acknowledged by nobody.) */
void orders_look(struct orders *o, const struct peer *p);
/* All of this kind are answered. records, bytes: as in mail_order. */
void orders_answer(struct orders *o, enum order kind, const char *reason, uint64_t records,
                   uint64_t bytes);
/* Is there one of this kind? */
bool orders_have(const struct orders *o, enum order kind);
/* Frees those for which nobody waits any more. */
void orders_forget(struct orders *o, uint64_t now_ms);
/* Frees all; the one who asked has ended. */
void orders_fini(struct orders *o);

#endif
