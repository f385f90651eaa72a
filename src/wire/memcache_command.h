/* wire/memcache_command: the rows of the command table with COMMAND_MEMCACHE, which is how what
 * memcached's clients ask for looks inside of this server: in the queues, the logs and on the
 * links, RESP encoded as all else. There are four, with the meaning of memcached 1.6's meta
 * commands (doc/protocol.txt there):
 *
 *     MG key [flag...]          a read; a change with T, N or R
 *     MS key value [flag...]    an overwrite; a change with M and another mode than S
 *     MD key [flag...]          an overwrite; a change with I or T
 *     MA key [flag...]          a change
 *
 * A flag is an argument as on memcached's wire: "v", "T100", "F5", "MA". Those that concern only
 * how a client is spoken to (b k O q, P and L of proxies) have been dealt with at the front and
 * stand in no command; keys are the bytes that b's base64 stands for. Names are upper case.
 *
 * What names a value's unique (C compares it, c asks for it) is a matter between a client and one
 * store, for each memcached has uniques of its own: such a write is undetermined
 * (command_undetermined), and what the others get is the same without.
 *
 * A reply is an array [code, value, flag...]: the code a string of two letters (HD VA EN NS EX NF),
 * the value nil where there is none; or an error, "-CLIENT_ERROR ...", "-SERVER_ERROR ...", or one
 * of this server's own. Pure, any thread. */
#ifndef WIRE_MEMCACHE_COMMAND_H
#define WIRE_MEMCACHE_COMMAND_H

#include "wire/command.h"

#define MEMCACHE_KEY_MAX 250 /* bytes, as the client wrote it */
#define MEMCACHE_UNIQUE_BITS                                                                       \
    48 /* of a unique that clients are told: its lower ones are memcached's,                       \
          those above say which memcached's it is */

/* Where a flag stands in argv, 0: nowhere. */
size_t memcache_flag(const struct resp_command *cmd, char flag);
/* Where the flags of this command begin. */
static inline size_t memcache_flags_at(const struct resp_command *cmd)
{
    return cmd->argv[0].len == 2 && (cmd->argv[0].ptr[1] | 0x20) == 's' ? 3 : 2;
}
/* It names a unique, or asks for one. */
bool memcache_names_unique(const struct resp_command *cmd);

/* What a write answers that does nothing because a newer one was there before: as if it had come
 * first. */
const char *memcache_stale_reply(const struct resp_command *cmd);

/* For wire/command.c and wire/normalize.c: the functions of wire/command.h for these rows. */
enum command_class memcache_class_of(const struct resp_command *cmd);
bool memcache_undetermined(const struct resp_command *cmd);
const char *memcache_blind_reply(const struct resp_command *cmd);
bool memcache_normalize(const struct resp_command *cmd, uint64_t now_ms, struct buf *out,
                        struct error *e) MUST_USE;

#endif
