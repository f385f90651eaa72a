/* store/redis_script: how a Redis that is full is written to. With maxmemory reached it refuses all
 * commands inside MULTI, and HSET of our numbers anywhere, so not even a DEL would go through. A
 * script may do it: memory is looked at before its first write only. So each write goes alone, as
 *
 *     EVAL: still our fence and our number? -> the command -> its number -> the command's reply
 *
 * A command that Redis doesn't take while it is full (SET, ...) is refused by it in the script, and
 * so is the number behind it. Replies have the shape that the command's own would have had. Pure,
 * any thread. */
#ifndef STORE_REDIS_SCRIPT_H
#define STORE_REDIS_SCRIPT_H

#include "store/redis_numbers.h"

#define REDIS_SCRIPT_ARGS_MAX 7000 /* Lua passes on no more than 8000 */

/* Appends the script for one write; `cmd` NULL: only the number moves. `number` NULL: none does. */
void redis_script_add(struct buf *out, const char *fence, const struct redis_number *number,
                      const struct resp_command *cmd);
/* Appends the script that puts up a fence. */
/* The same of a FLUSHALL, which our numbers and the fence survive. */
void redis_script_add_flush(struct buf *out, const char *fence, const struct redis_number *number,
                            const struct resp_command *cmd);
void redis_script_add_fence(struct buf *out, const char *fence);

/* The fence or the number wasn't ours any more; nothing happened. */
bool redis_script_was_fenced(struct slice reply);
/* The reply as the command alone would have given it. */
struct slice redis_script_reply(const struct resp_command *cmd, struct slice reply);

#endif
