/* peer/carrier: the reads that a sender carries to its peer for the workers, since it has the link:
 * out as frames, the answers back by the turn, one message for each worker. The sender actor's. */
#ifndef PEER_CARRIER_H
#define PEER_CARRIER_H

#include "peer/reads.h"
#include "wire/frame.h"

struct carrier {
    uint16_t node; /* the peer */
    /* its own */
    struct carried reads;
    struct carrier_answers *answers; /* one for each worker that was ever answered */
    size_t nanswers;
};

/* A worker's reads go out to the peer: frames are appended to `out`. NULL: the peer can't be asked,
 * and they fail. Takes the message. */
void carrier_ask(struct carrier *c, struct mail_reads *m, struct buf *out);
/* The peer answers one. */
void carrier_answer(struct carrier *c, const struct frame *f);
/* Is there something that it was asked and hasn't answered? */
static inline bool carrier_waits(const struct carrier *c)
{
    return c->reads.first != c->reads.next;
}
/* The peer won't answer what it was asked. */
void carrier_fail(struct carrier *c);
/* At the turn's end: what was answered in it. */
void carrier_send(struct carrier *c);
void carrier_fini(struct carrier *c);

#endif
