/* gossip/conns: the connections on which this node's gossip goes out: one to each of the addresses
 * that it had something for lately, made when there is something and closed when there wasn't for a
 * while. What comes in arrives on the connections that others make (peer/receiver). The gossip
 * actor's.
 *
 * Gossip is of the moment: what can't go out soon is dropped, not kept, and a connection on which
 * nothing moves is given up early (TCP would try for a quarter of an hour, and by then with pauses
 * of two minutes; the next message after a cut has healed must not wait for that). */
#ifndef GOSSIP_CONNS_H
#define GOSSIP_CONNS_H

#include "core/buf.h"
#include <stdint.h>
#include <uv.h>

#define CONNS_MAX 64

struct conn;
struct conns {
    uv_loop_t *loop;
    unsigned stuck_ms; /* without progress for so long: given up */
    struct conn *at[CONNS_MAX];
    unsigned n;
    bool closing;
};

/* Takes the frames: they go out at the turn's end, or are dropped. */
void conns_send(struct conns *c, const char *address, const struct buf *frames);
void conns_flush(struct conns *c); /* at the turn's end */
void conns_tick(struct conns *c);  /* now and then */
void conns_close(struct conns *c); /* sends what the sockets take at once; nothing after it */

#endif
