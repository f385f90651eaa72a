/* request/plan: to whom a request goes, and whether it can succeed at all (DESIGN.md section 8).
 * Pure. */
#ifndef REQUEST_PLAN_H
#define REQUEST_PLAN_H

#include "config/config.h"
#include "ring/topology.h"

/* One replica of the key, or a node that joins, as this node sees it now, nearest first. */
struct replica_view {
    uint16_t node;
    bool own;          /* this node's own store */
    bool local;        /* in this node's datacenter */
    bool up;           /* it answers: link and store are there */
    bool normal;       /* NODE_NORMAL; STANDBY replicas are read last and written as hints */
    bool told_down;    /* membership says that it is down: read when all others were */
    bool told_standby; /* membership says that it lacks writes: read last */
    bool joining;      /* it gets writes, and is no replica yet: not local to anybody */
    bool behind;       /* more than send_window, paused, held up by a rate, or the own log must be
                          replayed: written as a hint */
};

/* floor(n/2)+1 of all n replicas in the local datacenter; 1 at DC_ONE. */
unsigned plan_need(enum consistency level, const struct replica_view *v, unsigned n);

struct read_plan {
    unsigned need;  /* answers that decide */
    unsigned n;     /* candidates */
    unsigned first; /* of them, in front: nothing is known that speaks against reading them */
    uint16_t order[RING_REPLICAS_MAX]; /* in which they are asked */
};
/* False: fewer candidates than needed; out->n of out->need could answer. */
bool plan_read(enum consistency level, const struct replica_view *v, unsigned n,
               struct read_plan *out);

struct write_plan {
    unsigned need, have;
};
/* False: the level can't be met by what is up and by hints that count; have of need. hints_count: a
 * hint is durable and may stand for a replica that is down. blind: the command's reply is known
 * without the data. */
bool plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                const struct replica_view *v, unsigned n, struct write_plan *out);

#endif
