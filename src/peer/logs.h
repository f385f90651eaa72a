/* peer/logs: the logs of all peers at the start: which directory belongs to whom, whatever the last
 * runs have left, and what nobody owns any more.
 *
 *     <hint_dir>/<id>      of a peer that was met, also where its id was forgotten since: the
 *                          segments name the place
 *     <hint_dir>/new-...   of one that wasn't met before this start
 *     <hint_dir>/<own id>  of the own store (request/own.h)
 *     the rest             orphans
 *
 * Main thread, before the actors and after them; logs_add the writer's, while they run. */
#ifndef PEER_LOGS_H
#define PEER_LOGS_H

#include "peer/handshake.h"
#include "peer/orphans.h"

struct logs {
    const struct config *config;
    const struct identity *me;
    const struct topology *topology; /* of the start */
    /* filled */
    struct peers peers;
    struct orphans orphans;
    char **dirs; /* by node, room for RING_NODES_MAX; NULL: memory */
};

/* Opens the hint store, and in it what each peer of the topology needs. */
bool logs_open(struct logs *l, struct error *e) MUST_USE;
/* Makes the peer of this node, which has an id, at the next index, with its log; for others it
 * isn't there before peers_publish. Refused: hints for it lie here that were made for it at another
 * place (its id was a peer's or an orphan's before), or the log can't be opened. A peer with this
 * id that has gone must have let go of its log. */
struct peer *logs_add(struct logs *l, const struct ring_node *n, struct error *e) MUST_USE;
/* The log of the own store, where it is to have one and has none: the first peer comes. Published.
 */
bool logs_add_own(struct logs *l, const struct topology *now, struct error *e) MUST_USE;
void logs_undo_add(struct logs *l, struct peer *p); /* before peers_publish */
void logs_close(struct logs *l);
/* An id became known. The writer's thread. */
bool logs_keep_ring(const struct logs *l, const struct topology *t, struct error *e) MUST_USE;

#endif
