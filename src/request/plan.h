/* request/plan: to whom a request goes, and whether it can succeed at all (DESIGN.md section 8).
 * Pure. */
#ifndef REQUEST_PLAN_H
#define REQUEST_PLAN_H

#include "request/level.h"
#include "ring/topology.h"

/* One replica of the key, or a node that joins, as this node sees it now, nearest first. */
struct replica_view {
    uint16_t node;
    uint8_t datacenter; /* topology_datacenter: 0 is this node's own */
    uint8_t distance;   /* of a peer, peer/distance.h */
    bool own;           /* this node's own store */
    bool up;            /* it answers: link and store are there */
    bool normal;        /* NODE_NORMAL; STANDBY replicas are read last and written as hints */
    bool told_down;     /* membership says that it is down: read when all others were */
    bool told_standby;  /* membership says that it lacks writes: read last */
    bool joining;       /* it gets writes, and is no replica yet: it counts nowhere */
    bool behind;        /* more than send_window, paused, held up by a rate, or the own log must be
                           replayed: written as a hint */
};

struct read_plan {
    unsigned n;     /* the replicas that count; at DC_ONE all */
    unsigned can;   /* the first so many of them may be asked, in this order; the others are away */
    unsigned first; /* of them, in front: nothing is known that speaks against reading them */
    uint16_t node[RING_REPLICAS_MAX];
    uint8_t group[RING_REPLICAS_MAX]; /* whose answers are counted together: the datacenter */
    unsigned groups;                  /* they lie below this; at DC_ONE all are in group 0 */
};
/* False: too few can be asked; *lacking says where. */
bool plan_read(enum consistency level, const struct replica_view *v, unsigned n,
               struct read_plan *out, struct shortfall *lacking);

/* It applies a write now; what it gets otherwise is a hint. */
bool plan_applies(const struct replica_view *v);
/* False: the level can't be met by what is up and by hints that count; *lacking says where.
 * hints_count: a hint is durable and may stand for a replica that is down, where the level and
 * `sloppy` let it. blind: the command's reply is known without the data. */
bool plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                const struct replica_view *v, unsigned n, struct shortfall *lacking);

#endif
