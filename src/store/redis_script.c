#include "store/redis_script.h"
#include "store/redis_reply.h"
#include <inttypes.h>
#include <stdio.h>

#define FENCED "FENCED"

/* KEYS: the numbers. ARGV: fence, node id, its number before, its number afterwards ('': leave it),
 * the command. 6.2 puts the line of the script before the text of some errors. */
#define RETURN_ERRORS                                                                              \
    "if type(reply) == 'table' and reply.err then\n"                                               \
    "  return {err = string.match(reply.err, '^@user_script: %d+: %-(.*)') or reply.err}\n"        \
    "end\n"

static const char write_script[] =
    "local have = redis.pcall('HMGET', KEYS[1], '" REDIS_FENCE_FIELD "', ARGV[2])\n"
    "if have.err or have[1] ~= ARGV[1] or (ARGV[4] ~= '' and (have[2] or '0') ~= ARGV[3]) then\n"
    "  return {err = '" FENCED " another connection has taken over'}\n"
    "end\n"
    "local reply\n"
    "if ARGV[5] then reply = redis.pcall(unpack(ARGV, 5))\n"
    "else reply = redis.pcall('HDEL', KEYS[1], '') end\n" RETURN_ERRORS
    "if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], ARGV[2], ARGV[4]) end\n"
    "return reply\n";

static const char flush_script[] =
    "local all = redis.pcall('HGETALL', KEYS[1])\n"
    "local have = all.err and {} or redis.call('HMGET', KEYS[1], '" REDIS_FENCE_FIELD
    "', ARGV[2])\n"
    "if have[1] ~= ARGV[1] or (ARGV[4] ~= '' and (have[2] or '0') ~= ARGV[3]) then\n"
    "  return {err = '" FENCED " another connection has taken over'}\n"
    "end\n"
    "local reply = redis.pcall(unpack(ARGV, 5))\n" RETURN_ERRORS
    "redis.call('HSET', KEYS[1], unpack(all))\n"
    "if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], ARGV[2], ARGV[4]) end\n"
    "return reply\n";

static const char fence_script[] = "local reply = redis.pcall('HDEL', KEYS[1], '')\n" RETURN_ERRORS
                                   "redis.call('HSET', KEYS[1], '" REDIS_FENCE_FIELD "', ARGV[1])\n"
                                   "return redis.status_reply('OK')\n";

static void add_start(struct buf *out, size_t args, const char *script)
{
    resp_add_array(out, 4 + args);
    resp_add_bulk_str(out, "EVAL");
    resp_add_bulk_str(out, script);
    resp_add_bulk_str(out, "1");
    resp_add_bulk_str(out, REDIS_NUMBERS_KEY);
}

static void add_number(struct buf *out, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    resp_add_bulk_str(out, text);
}

static void add_script(struct buf *out, const char *script, const char *fence,
                       const struct redis_number *number, const struct resp_command *cmd)
{
    size_t argc = cmd ? cmd->argc : 0;
    add_start(out, 4 + argc, script);
    resp_add_bulk_str(out, fence);
    resp_add_bulk_str(out, number ? number->id : "");
    if (number) {
        add_number(out, number->last);
        add_number(out, number->next);
    } else {
        resp_add_bulk_str(out, "");
        resp_add_bulk_str(out, "");
    }
    for (size_t i = 0; i < argc; i++)
        resp_add_bulk(out, cmd->argv[i]);
}

void redis_script_add(struct buf *out, const char *fence, const struct redis_number *number,
                      const struct resp_command *cmd)
{
    add_script(out, write_script, fence, number, cmd);
}

void redis_script_add_flush(struct buf *out, const char *fence, const struct redis_number *number,
                            const struct resp_command *cmd)
{
    add_script(out, flush_script, fence, number, cmd);
}

void redis_script_add_fence(struct buf *out, const char *fence)
{
    add_start(out, 1, fence_script);
    resp_add_bulk_str(out, fence);
}

bool redis_script_was_fenced(struct slice reply)
{
    size_t n = sizeof FENCED;
    return resp_reply_is_error(reply) && reply.len > n && memcmp(reply.ptr + 1, FENCED " ", n) == 0;
}

/* What a script lost of a reply: Lua knows one nil, RESP2 has two. A number above 2^53 would come
 * back rounded, but commands that give such (INCRBY, ...) aren't taken by a full Redis. */
struct slice redis_script_reply(const struct resp_command *cmd, struct slice reply)
{
    bool pops =
        cmd->argc == 3 && (slice_is(cmd->argv[0], "LPOP") || slice_is(cmd->argv[0], "RPOP"));
    return pops && redis_is_nil(reply) ? slice_str("*-1\r\n") : reply;
}
