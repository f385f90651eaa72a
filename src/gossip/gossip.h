/* gossip/gossip: the actor of membership. It drives the core (gossip/swim) with time and messages,
 * carries its messages (out by gossip/conns; in on the peers' port, by way of a worker), and tells
 * the writer what membership says of each node (MAIL_MEMBER), which brings ring, peers and senders
 * there.
 *
 *     seeds, other nodes --> swim --> MAIL_MEMBER --> writer --> ring
 *     writer's state, links that break, dyn-admin state --> swim --> other nodes
 *
 * It is there only with enable_gossip. */
#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include "config/config.h"
#include "gossip/figures.h"
#include "peer/handshake.h"
#include "peer/mail.h"
#include "peer/peer.h"

struct gossip;
struct gossip_options {
    const struct config *config;
    const struct identity *me;
    struct topology *const *topology;
    const struct peers *peers;
    struct actor *writer;
    const uint32_t *own_state; /* atomic, the writer's: NORMAL or STANDBY */
    const uint32_t *serves;    /* atomic, the writer's: a client's write was taken */
    const uint64_t *clock_now; /* atomic, the writer's: the newest stamp given */
    uint32_t *own_member;      /* atomic, out: enum node_state, JOINING LEAVING RESET by membership;
                                  NODE_UNKNOWN: own_state tells */
    struct gossip_figures *figures; /* it alone counts there */
};
struct gossip *gossip_start(const struct gossip_options *o, struct error *e) MUST_USE;
struct actor *gossip_actor(struct gossip *g);
/* Says goodbye to the members, then ends. */
void gossip_stop(struct gossip *g);
void gossip_join(struct gossip *g);
void gossip_free(struct gossip *g); /* when nobody can send to it any more */

#endif
