/* peer/receiver: an inbound link: another node's sender at the other end. It lives on a worker,
 * which owns it; checks the handshake, hands writes to the writer in the order in which they came,
 * answers reads from this node's store. What the writer wants said on the link comes back by mail
 * (MAIL_LINK).
 *
 *     HELLO --> CHALLENGE ... PROOF --> (writer) --> WELCOME --> writes, reads, heartbeats
 *
 * or another node's gossip connection: its messages go to the gossip actor as they are. */
#ifndef PEER_RECEIVER_H
#define PEER_RECEIVER_H

#include "core/slots.h"
#include "core/stream.h"
#include "peer/handshake.h"
#include "peer/mail.h"
#include "peer/peer.h"
#include "wire/frame.h"

/* What all links of one worker share. */
struct receivers {
    struct actor *worker, *writer;
    struct actor *gossip; /* takes MAIL_GOSSIP, and who isn't known may become known; NULL: this
                             node doesn't gossip */
    const struct identity *me;
    struct topology *const *topology;
    const struct peers *peers;
    struct store_reader *reader;
    /* What the rooms above answer (FRAME_EXECUTE, FRAME_COPY, FRAME_MEND): calls fn(arg, reply)
     * once, now or later, in this thread. False: it isn't one of these. */
    bool (*serve)(void *server, const struct frame *f, store_read_fn *fn, void *arg);
    void *server;
    unsigned silence_ms; /* a link on which nothing came, nor was taken, for so long is closed */
    struct slots links;
};

/* Takes an accepted socket. */
void receiver_accept(struct receivers *all, int fd);
void receiver_mail(struct receivers *all, struct mail_link *m); /* takes the message */
void receivers_tick(struct receivers *all, uint64_t now_ms);    /* about once a second */
void receivers_flush(struct receivers *all);                    /* at the turn's end */
void receivers_close(struct receivers *all);                    /* at the worker's stop */
void receivers_fini(struct receivers *all);                     /* after the loop */

#endif
