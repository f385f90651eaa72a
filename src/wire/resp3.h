/* wire/resp3: RESP3 (https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md)
 * for clients that have said HELLO 3. Everything behind the client room speaks RESP2; this makes of
 * a reply in RESP2 the bytes that Redis 7.0 gives for the same command in RESP3. Pure; any thread.
 *
 *     shape = resp3_shape(spec, &cmd)      when the command is dispatched: its bytes are gone later
 *     resp3_add(shape, reply, &out)        when the reply is there
 *
 * Nulls become `_` wherever they are. What else changes depends on the command: a map where RESP2
 * has a flat list, a set, doubles, pairs of member and score, verbatim text. Errors, numbers and
 * strings stay as they are.
 *
 * One thing can't be told from a reply in RESP2: that a script returned a table of {double=},
 * {map=}, {set=}, {big_number=} or {verbatim_string=}, or called redis.setresp(3). Its client gets
 * what RESP2 has for it. */
#ifndef WIRE_RESP3_H
#define WIRE_RESP3_H

#include "wire/command.h"

/* What the replies of a command look like; a small number, for struct rendering. RESP3_PLAIN: only
 * the nulls change. */
#define RESP3_PLAIN 0u
unsigned resp3_shape(const struct command_spec *spec, const struct resp_command *cmd);

/* Appends one whole reply, of any depth that resp_reply_scan takes, in RESP3. Where it hasn't the
 * shape that its command's replies have (an error, a null), it only loses its nulls. */
void resp3_add(unsigned shape, struct slice reply, struct buf *out);

/* The same bytes in RESP3: true for most replies, and seen at one look. False says nothing. */
static inline bool resp3_same(unsigned shape, struct slice reply)
{
    if (shape != RESP3_PLAIN || reply.len < 2)
        return false;
    return reply.ptr[0] != '*' && !(reply.ptr[0] == '$' && reply.ptr[1] == '-');
}

#endif
