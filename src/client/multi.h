/* client/multi: MULTI EXEC DISCARD WATCH UNWATCH of one connection. Between MULTI and EXEC commands
 * are only checked and kept; EXEC makes one command of them (wire/transaction.h), which goes the
 * way of a command of many keys. Those that a node answers itself are answered at EXEC, and take
 * their places in its reply.
 *
 *     WATCH k  --> VERSIONS k, of the first replica (request_first_replica)     k's version
 *     GET k    --> that replica, and no other
 *     EXEC     --> that replica: compares, runs, and the others get what it did
 *
 * A node that is alone in front of a Redis leaves watching to it: store_watch.
 * Internal to the room; the worker's thread. docs/transactions.md says what is promised. */
#ifndef CLIENT_MULTI_H
#define CLIENT_MULTI_H

#include "client/call.h"

struct multi; /* struct client has one from its first MULTI or WATCH on, and none again afterwards
               */

/* WATCH or EXEC hasn't been answered, and what follows must not overtake it. */
bool multi_waits(const struct client *c);
/* Is this command kept for EXEC? */
bool multi_queues(const struct client *c, const struct command_spec *spec);
void multi_queue(struct client *c, const struct command_spec *spec); /* keeps it, and answers */
/* A command was answered by an error before it could be kept: EXEC will be refused. */
void multi_abort(struct client *c);
/* EXEC with arguments: ends the transaction as Redis does. False: another command. */
bool multi_wrong_arity(struct client *c, const struct command_spec *spec, const struct error *e);
bool multi_is(const struct command_spec *spec); /* MULTI EXEC DISCARD WATCH UNWATCH */
/* One of the five. False: it must wait. */
bool multi_command(struct client *c, const struct command_spec *spec);
/* Does c->cmd read what is watched, so that only the replica which compares may be asked? */
bool multi_reads_watched(struct client *c, const struct command_spec *spec);
/* What is kept and what is watched is forgotten: RESET, the connection's end. */
void client_discard(struct client *c);

#endif
