/* admin/admin: the actor that people and monitors talk to: dyn-admin's socket (admin/rpc) and HTTP
 * (admin/http). It owns nothing of the data path: it reads published snapshots and counters, and
 * asks a worker by message where it needs the data path (`dyn-admin key`). */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "config/config.h"
#include "core/actor.h"
#include "gossip/figures.h"
#include "peer/handshake.h"
#include "peer/peer.h"
#include "request/stats.h"
#include "store/store.h"

/* Where everything is; all of it outlives the actor. */
struct admin_sources {
    struct config *config; /* dyn-admin changes what may change */
    const struct identity *me;
    struct topology *const *topology; /* RCU_GET(*topology) inside a read section */
    const struct peers *peers;
    const struct store *store;
    struct stats *const *stats; /* one per worker */
    unsigned nworkers;
    struct actor *worker; /* takes MAIL_INSPECT */
    struct actor *writer; /* takes MAIL_ORDER about orphans */
    struct actor *gossip; /* takes MAIL_ORDER about this node's state; NULL: the writer does */
    const struct gossip_figures *figures;
    const uint32_t *own_state;  /* atomic, enum node_state */
    const uint32_t *own_member; /* atomic: what membership says instead, JOINING LEAVING RESET;
                                   NULL or NODE_UNKNOWN: own_state tells */
    const int64_t *clock_off;   /* atomic, see request/pulse.h */
    uint64_t started_ms;        /* mono */
};

struct admin;
/* Binds both addresses; before anything else is opened, so that a taken port changes nothing.
 * Errors name the address (exit status 2). A stale unix socket is replaced, one that answers is
 * not. admin_listen '' is <data_dir>/admin.sock. */
struct admin *admin_bind(const struct config *c, struct error *e) MUST_USE;
bool admin_start(struct admin *a, const struct admin_sources *sources, struct error *e) MUST_USE;
void admin_stop(struct admin *a); /* doesn't wait */
void admin_join(struct admin *a);
void admin_free(struct admin *a); /* when no sender runs that could answer it */

#endif
