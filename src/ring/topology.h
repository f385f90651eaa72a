/* ring/topology: who is in the ring and who holds a key. An immutable snapshot, built whole,
 * published through RCU, never edited. Pure; any thread may read one inside a read section or while
 * it otherwise knows that it lives.
 *
 * Each rack of each datacenter holds every key once: in a rack, a key belongs to the node with the
 * first token greater than or equal to the key's, wrapping round (as in Netflix Dynomite's vnode
 * search). A key's replicas are therefore one node per rack.
 *
 *        rack r1:  --o------o-----------o--      o = a token; a key's owner is the next o on its
 * right rack r2:  -----o------o----o------ key            ^ owner in r1: the 2nd o, in r2: the 1st
 */
#ifndef RING_TOPOLOGY_H
#define RING_TOPOLOGY_H

#include "core/error.h"
#include "core/rcu.h"
#include <stddef.h>
#include <stdint.h>

#define RING_REPLICAS_MAX    64 /* racks over all datacenters */
#define RING_DATACENTERS_MAX (RING_REPLICAS_MAX + 1)
#define RING_JOINING_MAX     64 /* nodes that join at one time */
#define RING_WRITES_MAX      (RING_REPLICAS_MAX + RING_JOINING_MAX)
#define RING_NODES_MAX       1000
#define RING_VERSION_SIZE    32
#define NODE_ID_SIZE         37 /* a UUID and its NUL */

enum node_state {
    NODE_UNKNOWN,
    NODE_JOINING,
    NODE_NORMAL,
    NODE_STANDBY,
    NODE_DOWN,
    NODE_RESET,
    NODE_LEAVING,
    NODE_STATES
};
const char *node_state_name(enum node_state s);

/* What a node is to the ring (gossip/swim decides, or the configuration). */
enum ring_role {
    RING_MEMBER,  /* owns what its tokens say */
    RING_JOINING, /* gets the writes of what it would own, and isn't a replica yet: not read, in no
                     quorum; the owners without it stay */
    RING_GONE     /* owns nothing: it has left; its index isn't used again */
};

struct ring_node {
    enum ring_role role;
    char id[NODE_ID_SIZE];           /* "" until it was met */
    char version[RING_VERSION_SIZE]; /* of its program, as membership tells; "": it doesn't */
    const char *address;             /* host:port that peers dial */
    const char *datacenter, *rack;
    const uint32_t *tokens;
    size_t ntokens;
};

struct ring_rack;
struct topology {
    struct rcu_head rcu;
    uint64_t serial;  /* of all topologies of this process no other one has it */
    unsigned n, self; /* nodes[self] is this node */
    struct ring_node
        *nodes; /* order: as given, so an index means the same node in every snapshot */
    unsigned njoining;
    unsigned nracks;
    struct ring_rack *racks; /* nearest first: own rack, own datacenter, the others */
    uint8_t *datacenters;    /* by node: topology_datacenter */
};

/* Copies everything. Refused: two nodes with one token in one rack, a node without tokens, more
 * nodes, racks or joining nodes than the limits above. A node that has gone counts for nothing but
 * its index. */
struct topology *topology_new(const struct ring_node *nodes, unsigned n, unsigned self,
                              struct error *e) MUST_USE;
void topology_free(struct topology *t);
/* rcu_defer(&t->rcu, topology_reclaim) */
void topology_reclaim(struct rcu_head *head);

/* The nodes that hold `token`, in the order in which this node would ask them (nearest first): one
 * RING_MEMBER of each rack that has any. Returns how many; 0: nobody holds it. */
unsigned topology_replicas(const struct topology *t, uint32_t token,
                           uint16_t out[RING_REPLICAS_MAX]);
/* The nodes that get a write of `token`: its replicas, and behind them the joining nodes that would
 * hold it if they were members, whichever of them becomes one first. *joining: how many of those.
 */
unsigned topology_writes(const struct topology *t, uint32_t token, uint16_t out[RING_WRITES_MAX],
                         unsigned *joining);
/* The datacenter of a node that hasn't gone, as an index below RING_DATACENTERS_MAX that means the
 * same for all nodes of one snapshot: 0 is this node's own. */
static inline unsigned topology_datacenter(const struct topology *t, unsigned node)
{
    return t->datacenters[node];
}
/* The node at this place, or -1: same datacenter, rack and tokens (in any order). Nobody who has
 * gone is found, by place or by id. */
int topology_find_place(const struct topology *t, const char *datacenter, const char *rack,
                        const uint32_t *tokens, size_t ntokens);
int topology_find_id(const struct topology *t, const char *id);
bool ring_same_place(const struct ring_node *a, const struct ring_node *b);
/* The share of its rack's ring (0..1) that ends at this token of this node; 0: it is no member. */
double topology_share(const struct topology *t, unsigned node, uint32_t token);

#endif
