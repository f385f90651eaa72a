/* peer/logs: the logs of all peers at the start: which directory belongs to whom, whatever the last
 * runs have left, and what nobody owns any more.
 *
 *     <hint_dir>/<id>      of a peer that was met, also where its id was forgotten since: the
 *                          segments name the place
 *     <hint_dir>/new-...   of one that wasn't met before this start
 *     <hint_dir>/<own id>  of the own store (request/own.h)
 *     the rest             orphans
 *
 * Main thread, before the actors and after them. */
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
    char **dirs; /* by node; NULL: memory */
};

/* Opens the hint store, and in it what each peer of the topology needs. */
bool logs_open(struct logs *l, struct error *e) MUST_USE;
void logs_close(struct logs *l);
/* An id became known. The writer's thread. */
bool logs_keep_ring(const struct logs *l, const struct topology *t, struct error *e) MUST_USE;

#endif
