/* sim/data_commands: what the model of an external store knows besides strings, for commands whose
 * effect their arguments don't tell (request/effect.h): sets, of which something is taken by
 * chance, and a script that appends its argument and a letter by chance.
 *
 *     SADD SREM SRANDMEMBER     a set is its members, which are numbers, ascending: "3,17,"
 *     EVAL any 1 key piece      "<piece><letter>,"
 *     DUMP RESTORE              a copy is the value as it is; nothing expires
 *
 * Types aren't looked at: a key has only commands of one kind. */
#ifndef SIM_DATA_COMMANDS_H
#define SIM_DATA_COMMANDS_H

#include "store/strings.h"

/* False: there is no such command. Else as string_run. */
bool data_command_run(const struct resp_command *cmd, const struct string_access *access,
                      struct buf *reply);
/* Which argument is its key. */
size_t data_command_key(const struct resp_command *cmd);

#endif
