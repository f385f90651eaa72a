/* peer/standby: does this node lack writes? Pure; the writer actor owns it and gives it the time.
 *
 * STANDBY from a start on a used data_dir, from the return of a store that was away, and from any
 * greeting in which a sender names hints that we don't have yet, until the records so named are in.
 * After a start or a return we wait for greetings for two heartbeats; 30 s after it began, STANDBY
 * ends in any case (DESIGN.md section 8). */
#ifndef PEER_STANDBY_H
#define PEER_STANDBY_H

#include "ring/topology.h"

#define STANDBY_MAX_MS 30000

struct standby {
    enum node_state state; /* NODE_NORMAL or NODE_STANDBY: by what it lacks */
    bool ordered;          /* STANDBY by an operator, as long as he likes */
    uint64_t began_ms, greet_until_ms, greet_ms;
    unsigned n;
    uint64_t *need; /* by node: its number that we must reach; 0: none */
};

void standby_init(struct standby *s, unsigned nodes, bool used_data_dir, uint64_t gos_interval_ms,
                  uint64_t now_ms);
/* There are so many now; at most RING_NODES_MAX. */
static inline void standby_grow(struct standby *s, unsigned nodes)
{
    s->n = nodes;
}
void standby_fini(struct standby *s);
/* Writes may have been missed: as after a start. Decide afterwards. */
void standby_begin(struct standby *s, uint64_t now_ms);
/* A sender says that it holds hints for us up to `upto` (0: none); we have applied `applied` of
 * its. */
void standby_greeted(struct standby *s, unsigned node, uint64_t upto, uint64_t applied,
                     uint64_t now_ms);
void standby_progress(struct standby *s, unsigned node, uint64_t applied);
/* An operator takes the node out of reads, or back in: STANDBY all the while, besides what it
 * lacks.
 */
void standby_order(struct standby *s, bool on);
/* What to tell. */
enum node_state standby_state(const struct standby *s);
/* Decides by what it lacks; true: that has changed. */
bool standby_decide(struct standby *s, uint64_t now_ms);

#endif
