/* wire/reply: do two replicas that have the same give these two replies? For most commands only if
 * they are equal byte by byte; a set may be told in any order, a remaining lifetime goes down while
 * it is told, and some replies say nothing about what is stored. The command table says which
 * (command_spec.compare). Pure; any thread. */
#ifndef WIRE_REPLY_H
#define WIRE_REPLY_H

#include "core/buf.h"
#include <stdbool.h>

enum reply_compare {
    REPLY_EXACT,
    REPLY_ELEMENTS,     /* an array in any order: SMEMBERS */
    REPLY_PAIRS,        /* of two elements each, in any order: HGETALL */
    REPLY_SECONDS,      /* a lifetime, on clocks that may be REPLY_CLOCKS_MS apart: TTL */
    REPLY_MILLISECONDS, /* PTTL */
    REPLY_KIND,         /* at random, or of a node's inside: only whether there is something, or an
                           error */
    REPLY_MEMCACHE, /* of MG (wire/memcache_command.h): uniques and last accesses are a store's own,
                       so is who has been told of a stale value first; t is a lifetime; a number
                       that has become shorter may have blanks behind it */
};

#define REPLY_CLOCKS_MS                                                                            \
    11000 /* what clocks of nodes may differ, and some time between the answers */

/* Whole RESP2 replies. Of arrays of another shape than the row says, and of errors, equal bytes are
 * the same. */
bool reply_same(enum reply_compare how, struct slice a, struct slice b);

#endif
