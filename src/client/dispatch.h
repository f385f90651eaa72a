/* client/dispatch: from a parsed command to requests: which keys, whether it may run at all, one
 * part or many. Internal to the room. The worker's thread. */
#ifndef CLIENT_DISPATCH_H
#define CLIENT_DISPATCH_H

#include "client/call.h"

/* Starts c->cmd, which is whole and has these keys (places in argv), in a call that has
 * c->rendering. write: its class, by its arguments. What is split has one part a key; of a row with
 * COMMAND_MEMCACHE each part has what stands behind the last key, too. False: it must wait for
 * earlier calls; then nothing was started. */
bool dispatch_keys(struct client *c, const struct command_spec *spec, const size_t *keys, size_t n,
                   bool write);

#endif
