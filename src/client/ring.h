/* client/ring: commands that name no key and cover the whole ring (COMMAND_RING). Internal to the
 * room; the worker's thread.
 *
 *     SCAN KEYS DBSIZE RANDOMKEY     ring_walk.c: each key is told by one of its replicas, which
 *                                    ring/tellers.h chooses, and so exactly once
 *     FLUSHALL FLUSHDB               ring_write.c: one write with one stamp for all nodes
 *     SCRIPT FUNCTION                ring_write.c: the same, or asked of one node or of each
 *
 * While such a command of a connection runs, its later ones wait (client.solo). */
#ifndef CLIENT_RING_H
#define CLIENT_RING_H

#include "client/call.h"

/* Starts one. False: it must wait for the connection's earlier ones. */
bool ring_command(struct client *c, const struct command_spec *spec);
/* The connection's earlier commands are done, and all nodes that are up have what it has written:
 * its walk may begin. */
bool ring_may_start(struct client *c);
/* The one call of a connection that runs such a command, and its reply. */
struct call *ring_call(struct client *c, const struct command_spec *spec);
void ring_reply(struct call *call, struct slice reply);
void ring_reply_error(struct call *call, const char *text);

/* Whom to ask, in this node's ring as it is now. The worker's, until the next call. */
struct tellers *ring_tellers(struct clients *all);
/* May the store of this node be asked? lacking: also if it may lack writes. */
bool ring_can_ask(const struct requests *rs, unsigned node, bool lacking);

bool ring_walk(struct client *c, const struct command_spec *spec);
/* At each turn's end: what can be asked next is asked, and who has waited for too long is answered.
 */
void ring_walks_go_on(struct clients *all);
/* At the worker's stop: none goes on. */
void ring_walks_end(struct clients *all);

/* Empties all nodes' stores of what was last overwritten before now: FLUSHALL, and the memcached
 * protocol's flush_all. spec: the row of FLUSHALL. As ring_command. */
bool ring_flush(struct client *c, const struct command_spec *spec);
bool ring_library(struct client *c, const struct command_spec *spec); /* SCRIPT, FUNCTION */

#endif
