/* gossip/gossip_internal: what the actor's files share. gossip.c is the actor: time, messages,
 * what swim's events become; gossip_orders.c what dyn-admin asks for. Nobody else includes it; all
 * of it is the actor's thread. */
#ifndef GOSSIP_GOSSIP_INTERNAL_H
#define GOSSIP_GOSSIP_INTERNAL_H

#include "core/actor.h"
#include "gossip/conns.h"
#include "gossip/gossip.h"
#include "gossip/seeds.h"
#include "gossip/swim.h"
#include "peer/keep.h"

struct gossip {
    struct actor actor;
    struct gossip_options o;
    struct swim *swim;
    struct conns conns;
    struct seeds *seeds;
    uv_timer_t tick, goodbye;
    struct keep_membership kept;
    uint64_t look_ms;           /* when to look next at what others publish */
    uint64_t contacted_ms;      /* the seeds, last */
    bool *was_linked;           /* by node: its link stood when we looked last */
    struct mail_order *leaving; /* who waits for this node to have left; NULL: nobody */
    bool stopping;
    uint64_t left_ms; /* since when it has left; 0: it hasn't */
};

/* ---- gossip.c ---------------------------------------------------------------------------------
 */

/* This node's word changes: told to all, and kept. */
void gossip_say(struct gossip *g, enum node_state state);
/* It is about to leave: the writer refuses clients' writes from now on, and takes this node out of
 * its ring when all that it took before is in the logs. */
void gossip_take_no_more(struct gossip *g);

/* ---- gossip_orders.c --------------------------------------------------------------------------
 */

void gossip_order(struct gossip *g, struct mail_order *m); /* takes it */
void gossip_go_on_leaving(struct gossip *g, uint64_t now_ms);
void gossip_orders_end(struct gossip *g);

#endif
