/* wire/command_syntax: how the arguments of Redis 7.0's commands are written, for COMMAND DOCS,
 * from which redis-cli takes its hints. Pure; any thread.
 *
 * Arguments are separated by blanks, each is NAME,TYPE@KEYSPEC?*+=TOKEN(ARGUMENTS), of which all
 * but name and type may be missing: the key specification that it belongs to; optional, multiple,
 * the token is said each time; the word that stands before it, or that it is; what it consists of.
 */
#ifndef WIRE_COMMAND_SYNTAX_H
#define WIRE_COMMAND_SYNTAX_H

#include "core/buf.h"
#include <stdbool.h>

struct command_syntax {
    const char *name; /* upper case; of a subcommand "CONFIG|GET" */
    const char *since, *group;
    const char *arguments;
};
/* NULL: Redis 7.0 has none of that name, which is in upper case. */
const struct command_syntax *command_syntax_find(const char *name);

struct command_argument {
    struct slice name, token;
    const char *type; /* as Redis calls it */
    int keyspec;      /* -1: none */
    bool optional, multiple, multiple_token, has_token;
    const char *inside; /* its own arguments; NULL: none */
};
/* The one at `*at`, which moves behind it. False: there is none, or the list ends. */
bool command_argument_next(const char **at, struct command_argument *a);

#endif
