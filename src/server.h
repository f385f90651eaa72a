/* server: builds the actors and wires them: the one file that knows all of them.
 *
 *     server_start    bind, lock, open, then: senders, writer, workers, admin
 *     server_stop     the mirror
 *
 * Order and why: ports first, so that "taken" is said before anything is touched; the store and
 * logs before the actors that own them; admin and HTTP answer before the client port opens. */
#ifndef SERVER_H
#define SERVER_H

#include "config/config.h"
#include "core/error.h"
#include "peer/handshake.h"
#include "peer/peer.h"

struct server;
/* `c` is changed where dyn-admin says so (config_set). False: could not start (exit status 2);
 * nothing is left running. Main thread, after rcu_start. */
struct server *server_start(struct config *c, struct error *e) MUST_USE;
/* Stops accepting, finishes what is in flight, flushes, frees. */
void server_stop(struct server *s);
/* The configuration was read again. Main thread. */
void server_changed(struct server *s);
/* Now and then (about each second), from main: keeps the clock's bound. */
void server_tick(struct server *s);

/* For whoever tells it of members (MAIL_MEMBER to the writer) and looks at what becomes of that. */
struct actor *server_writer(struct server *s);
struct topology *const *server_ring(const struct server *s); /* RCU */
const struct peers *server_peers(const struct server *s);
const struct identity *server_identity(const struct server *s);
const struct store *server_store(const struct server *s);
bool server_serves(const struct server *s); /* it has taken a client's write */

#endif
