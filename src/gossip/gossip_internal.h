/* gossip/gossip_internal: what the actor's files share. gossip.c is the actor, its time and its
 * messages, gossip_members.c what swim says of members and this node of itself, gossip_orders.c
 * what dyn-admin asks for. Nobody else includes it; all of it is the actor's thread. */
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

/* ---- gossip_members.c -------------------------------------------------------------------------
 */

void gossip_event(void *arg, const struct swim_event *e); /* swim_sink's */
void gossip_tell_writer(const struct gossip *g, const struct member *m, const char *reason);
struct ring_node gossip_own_place(const struct gossip *g); /* without address and id */
void gossip_keep(struct gossip *g);                        /* g->kept, in data_dir */
void gossip_show_own(struct gossip *g);
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
