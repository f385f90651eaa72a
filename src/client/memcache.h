/* client/memcache (memcache.c: the dialect; memcache_inside.c: from what a client asks to what the
 * stores are asked; memcache_reply.c: from what they say to what it reads; memcache_stats.c): the
 * clients of memcached's text protocol, all there are with data_store memcache. Internal to the
 * room. The worker's thread.
 *
 *     bytes -> wire/memcache -> MG MS MD MA -> the same ways as Redis's commands (client/dispatch)
 *                            -> answered here: version, stats, ...
 *
 * Inside of the server there is no text of memcached's: wire/memcache_command.h has the four. */
#ifndef CLIENT_MEMCACHE_H
#define CLIENT_MEMCACHE_H

#include "client/call.h"
#include "wire/memcache.h"

#define MEMCACHE_VERSION_TOLD "1.6.18" /* whose commands and errors we speak */

/* What a connection needs for it, besides `struct client`. */
struct memcache_client {
    struct memcache_parser parser;
    struct memcache_command cmd;
    char numbers[8][24]; /* of the flags in the client's `cmd` */
    unsigned nnumbers;
};

/* Bytes that a value may have: what the memcached behind this node takes, or, before it has said
 * that, what memcached takes if it isn't told otherwise. Larger ones are thrown away. */
size_t memcache_value_max(const struct clients *all);

/* How much more the log tells than the node was started with, or dyn-admin has set since. */
unsigned memcache_verbosity(const struct clients *all);

/* Fills c->cmd with what the stores are asked: one key, or, of a get, all keys from argv[1] on and
 * the flags behind them. Returns the number of keys. The slices are good as long as the command's.
 */
size_t memcache_inside(struct client *c);
/* The same where a value is too large: what it was to replace goes, as in memcached. */
void memcache_inside_too_large(struct client *c);
/* The same of a flush_all. */
void memcache_inside_flush(struct client *c);

/* Sets c->rendering for the command that c->cmd was made of. */
void memcache_render(struct client *c);

/* The answer to a `stats`. */
void memcache_stats(struct client *c, struct buf *out);

#endif
