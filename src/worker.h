/* worker: the actor that holds clients, inbound peer links and the requests in flight. There are
 * `workers` of them; the first one also accepts and deals the sockets out in turn. */
#ifndef WORKER_H
#define WORKER_H

#include "client/client.h"
#include "peer/receiver.h"
#include "request/request.h"

struct worker;
struct worker_options {
    unsigned index, n;
    const struct config *config;
    const struct identity *me;
    struct topology *const *topology;
    const struct peers *peers;
    struct store *store;
    struct actor *writer;
    struct actor *gossip;       /* NULL: there is none */
    const uint32_t *own_member; /* atomic: LEAVING and RESET take no new clients */
    const uint32_t *own_state;
    struct stats *const *stats; /* one per worker */
    struct worker *const *all;  /* of the first: whom to deal to */
    unsigned serving;           /* how many of them get clients, while the node is alone */
    int client_fd, peer_fd;     /* the first's listening sockets; else -1. Taken over */
    uint64_t started_ms;
    const uint64_t *settled_below; /* atomic; see request/writer.h */
    uint32_t *serves;              /* see request/writer.h */
};

struct worker *worker_new(void); /* its actor can be named before it starts */
bool worker_start(struct worker *w, const struct worker_options *o, struct error *e) MUST_USE;
struct actor *worker_actor(struct worker *w);
/* Stops accepting and taking commands, waits for what is in flight, at most `timeout` ms; then
 * ends. */
void worker_stop(struct worker *w);
void worker_join(struct worker *w); /* waits for its end */
void worker_free(struct worker *w); /* when nobody can send to it any more */

#endif
