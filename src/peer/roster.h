/* peer/roster: who is in the ring when a node starts: itself, the nodes of dyn_seeds, and, with
 * gossip, the members that it knew when it ran last:
 *
 *     data_dir/members    the ring as membership made it, in keep_ring's form
 *
 * Main thread at the start; roster_keep later by the writer. */
#ifndef PEER_ROSTER_H
#define PEER_ROSTER_H

#include "config/config.h"
#include "peer/handshake.h"

/* This node is the first one; the others' ids stand where they are known. A node that has left for
 * good stays out, though dyn_seeds may name its place, until membership brings it back. */
struct topology *roster_load(const struct config *c, const struct identity *me,
                             struct error *e) MUST_USE;
/* The ring has changed. */
bool roster_keep(const struct config *c, const struct topology *t, struct error *e) MUST_USE;

#endif
