#include "wire/memcache_command.h"
#include <inttypes.h>
#include <stdio.h>

#define RELATIVE_MAX (60 * 60 * 24 * 30) /* seconds; a larger lifetime is a time since 1970 */

static char letter(const struct resp_command *cmd)
{
    return (char)(cmd->argv[0].ptr[1] & ~0x20);
}

size_t memcache_flag(const struct resp_command *cmd, char flag)
{
    for (size_t i = memcache_flags_at(cmd); i < cmd->argc; i++)
        if (cmd->argv[i].len && cmd->argv[i].ptr[0] == (uint8_t)flag)
            return i;
    return 0;
}

bool memcache_names_unique(const struct resp_command *cmd)
{
    return memcache_flag(cmd, 'c') || memcache_flag(cmd, 'C');
}

/* Of MS: "" and S are the same. */
static bool sets(const struct resp_command *cmd)
{
    size_t at = memcache_flag(cmd, 'M');
    return at == 0 || slice_eq(cmd->argv[at], slice_str("MS"));
}

enum command_class memcache_class_of(const struct resp_command *cmd)
{
    bool touches = memcache_flag(cmd, 'T');
    switch (letter(cmd)) {
    case 'G':
        return touches || memcache_flag(cmd, 'N') || memcache_flag(cmd, 'R') ? COMMAND_CHANGE
                                                                             : COMMAND_READ;
    case 'S':
        return sets(cmd) ? COMMAND_OVERWRITE : COMMAND_CHANGE;
    case 'D':
        return touches || memcache_flag(cmd, 'I') ? COMMAND_CHANGE : COMMAND_OVERWRITE;
    default:
        return COMMAND_CHANGE;
    }
}

bool memcache_undetermined(const struct resp_command *cmd)
{
    return memcache_names_unique(cmd) && memcache_class_of(cmd) != COMMAND_READ;
}

const char *memcache_blind_reply(const struct resp_command *cmd)
{
    bool known = letter(cmd) == 'S' && sets(cmd) && !memcache_names_unique(cmd);
    return known ? "*2\r\n$2\r\nHD\r\n$-1\r\n" : NULL;
}

const char *memcache_stale_reply(const struct resp_command *cmd)
{
    switch (letter(cmd)) {
    case 'G':
        return "*2\r\n$2\r\nEN\r\n$-1\r\n";
    case 'S':
        return sets(cmd) ? "*2\r\n$2\r\nHD\r\n$-1\r\n" : "*2\r\n$2\r\nNS\r\n$-1\r\n";
    default:
        return "*2\r\n$2\r\nNF\r\n$-1\r\n";
    }
}

/* ---- lifetimes ----------------------------------------------------------------------------- */

struct lifetime {
    char text[24];
};

/* Decimal, maybe with a minus, as memcached's strtol reads it; zeros may stand before it. */
static bool number(struct slice text, int64_t *out)
{
    bool negative = text.len && text.ptr[0] == '-';
    int64_t v = 0;
    for (size_t i = negative; i < text.len; i++) {
        unsigned digit = text.ptr[i] - (unsigned)'0';
        if (digit > 9 || v > INT64_MAX / 100)
            return false;
        v = v * 10 + digit;
    }
    *out = negative ? -v : v;
    return text.len > negative;
}

/* The same flag with a time since 1970, in seconds. 0 is "never", what lies before is "at once". */
static bool make_absolute(struct slice flag, uint64_t now_ms, struct lifetime *out, struct error *e)
{
    int64_t v;
    if (!number(slice_of(flag.ptr + 1, flag.len - 1), &v))
        return error_set(e, "CLIENT_ERROR bad token in command line format");
    if (v < 0)
        v = -1;
    else if (v > 0 && v <= RELATIVE_MAX)
        v += (int64_t)(now_ms / 1000);
    snprintf(out->text, sizeof out->text, "%c%" PRId64, flag.ptr[0], v);
    return true;
}

/* R is a lifetime, too: what has less left than that. */
static bool is_lifetime(struct slice flag)
{
    return flag.len && (flag.ptr[0] == 'T' || flag.ptr[0] == 'N' || flag.ptr[0] == 'R');
}

bool memcache_normalize(const struct resp_command *cmd, uint64_t now_ms, struct buf *out,
                        struct error *e)
{
    struct lifetime absolute;
    size_t flags = memcache_flags_at(cmd), before = out->len;
    resp_add_array(out, cmd->argc);
    for (size_t i = 0; i < cmd->argc; i++) {
        if (i < flags || !is_lifetime(cmd->argv[i])) {
            resp_add_bulk(out, cmd->argv[i]);
        } else if (make_absolute(cmd->argv[i], now_ms, &absolute, e)) {
            resp_add_bulk_str(out, absolute.text);
        } else {
            out->len = before;
            return false;
        }
    }
    return true;
}
