/* client/doorman: who answers clients while the node starts. Its logs and its store are read before
 * anybody else runs, and that may take long; a client that connects meanwhile would wait without a
 * word. Who comes in the first second waits all the same: most starts are over by then.
 *
 *     struct doorman *d = doorman_start(client_fd, memcache, &e);   the port is bound, nobody
 *                                                                   accepts there
 *     ... each command is answered by -LOADING, or SERVER_ERROR LOADING ...
 *     doorman_stop(d, take, arg);                         take(arg, fd, in) for each connection
 *
 * An actor of its own. What a connection has said and nobody has answered (half a command, or one
 * too large for the doorman) goes with it. Main thread. */
#ifndef CLIENT_DOORMAN_H
#define CLIENT_DOORMAN_H

#include "core/buf.h"
#include "core/error.h"

struct doorman;
/* fd stays the caller's. memcache: the clients speak memcached's protocol, and not Redis's. */
struct doorman *doorman_start(int fd, bool memcache, struct error *e) MUST_USE;
/* Waits for its end. `take` gets fd and in, to keep; a connection that doesn't read its answers is
 * closed. Takes NULL. */
void doorman_stop(struct doorman *d, void (*take)(void *arg, int fd, struct buf *in), void *arg);

#endif
