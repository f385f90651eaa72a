/* sim/gossip_bad: messages that no node of ours sends. */
#ifndef SIM_GOSSIP_BAD_H
#define SIM_GOSSIP_BAD_H

#include "gossip.h"

enum gossip_bad {
    BAD_CLUSTER,     /* of another cluster */
    BAD_INVENTED,    /* a list of nodes that aren't there */
    BAD_INCARNATION, /* of a member, from the far future */
    BAD_CLOCK,       /* of a member, from the far future */
    BAD_TOKENS,      /* a node that isn't there has a member's place */
    BAD_SHAPE,       /* ids of any length, no or unsorted tokens, states that there aren't */
    BAD_SELF,        /* somebody else has the receiver's id */
    BAD_KINDS
};

/* Comes to that node, as if from a node of the list or from nowhere. */
void gossip_send_bad(struct gossip_sim *g, unsigned node, enum gossip_bad what);

#endif
