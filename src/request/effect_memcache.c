/* The effects of memcached's commands that name a unique or ask for one (C and c, see
 * wire/memcache_command.h). Uniques are one store's own: the command runs there, and from what it
 * answers the others get the same without them:
 *
 *     MS C5 c, MS ME c   it is stored: MS. With I and an older unique it is stored as stale: MS, MD
 * I MS MA c            MS MA MD C5 (I)          it is gone (or stale): MD (I) MA C5 c v          MA
 *     MG c N T R         MG N T R
 *
 * Where the answer was lost, they get a copy of what there is. Of a key that isn't there they hear
 * nothing: a memcached that has started anew has none, and they keep theirs. */
#include "request/effect_parts.h"
#include "wire/memcache_command.h"
#include <stdio.h>
#include <stdlib.h>

#define UNIQUE_MASK (((uint64_t)1 << MEMCACHE_UNIQUE_BITS) - 1)

static char kind(const struct resp_command *cmd)
{
    return (char)(cmd->argv[0].ptr[1] & ~0x20);
}

/* The second part of [code, value, flag...]; false: it isn't such an array, or nil. */
static bool reply_parts(struct slice reply, struct slice *code, struct slice *value,
                        struct slice *flag)
{
    struct redis_array a;
    struct slice e;
    *value = *flag = slice_of("", 0);
    if (!redis_array_open(reply, &a) || !redis_array_next(&a, &e) || !resp_reply_bulk(e, code))
        return false;
    bool has = redis_array_next(&a, &e) && resp_reply_bulk(e, value);
    if (redis_array_next(&a, &e))
        (void)!resp_reply_bulk(e, flag);
    return has;
}

static bool had_effect(struct slice reply)
{
    struct slice code, value, flag;
    (void)reply_parts(reply, &code, &value, &flag);
    return !resp_reply_is_error(reply) &&
           (slice_eq(code, slice_str("HD")) || slice_eq(code, slice_str("VA")));
}

/* What doesn't change a store, and what only one store understands. */
static bool is_passed_on(const struct resp_command *cmd, struct slice flag)
{
    static const char *const changing[] = {
        ['G' - 'A'] = "NTR", ['S' - 'A'] = "FT", ['D' - 'A'] = "IT", ['A' - 'A'] = "NJDTM"};
    if (kind(cmd) == 'S' && flag.len == 2 && flag.ptr[0] == 'M')
        return flag.ptr[1] == 'A' || flag.ptr[1] == 'P'; /* of the others it is known by now */
    return flag.len && strchr(changing[kind(cmd) - 'A'], flag.ptr[0]);
}

static void pass_on(const struct resp_command *cmd, struct buf *out)
{
    size_t flags = memcache_flags_at(cmd), n = flags;
    for (size_t i = flags; i < cmd->argc; i++)
        n += is_passed_on(cmd, cmd->argv[i]);
    resp_add_array(out, n);
    for (size_t i = 0; i < cmd->argc; i++)
        if (i < flags || is_passed_on(cmd, cmd->argv[i]))
            resp_add_bulk(out, cmd->argv[i]);
}

/* ---- stored, although the unique was an older one ---------------------------------------------
 */

static bool may_go_stale(const struct resp_command *cmd)
{
    return kind(cmd) == 'S' && memcache_flag(cmd, 'I') && memcache_flag(cmd, 'C');
}

/* Of an item's text ("exp=-1 la=2 cas=7 ..."). */
static bool named_number(struct slice text, const char *name, int64_t *out)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n < text.len; i++) {
        if ((i && text.ptr[i - 1] != ' ') || memcmp(text.ptr + i, name, n) != 0)
            continue;
        char number[24];
        snprintf(number, sizeof number, "%.*s",
                 (int)(text.len - i - n < 20 ? text.len - i - n : 20),
                 (const char *)text.ptr + i + n);
        *out = strtoll(number, NULL, 10); /* a blank ends it */
        return true;
    }
    return false;
}

static bool went_stale(const struct resp_command *cmd, struct slice before)
{
    struct slice code, text, flag, token = cmd->argv[memcache_flag(cmd, 'C')];
    char number[24];
    int64_t unique;
    if (!reply_parts(before, &code, &text, &flag) || !named_number(text, "cas=", &unique))
        return false;
    snprintf(number, sizeof number, "%.*s", (int)(token.len < 22 ? token.len - 1 : 21),
             (const char *)token.ptr + 1);
    return (strtoull(number, NULL, 10) & UNIQUE_MASK) != ((uint64_t)unique & UNIQUE_MASK);
}

static void add_words(struct buf *out, const char *name, struct slice key, const char *flag)
{
    struct slice words[] = {slice_str(name), key, slice_str(flag)};
    resp_add_command(out, words, *flag ? 3 : 2);
}

struct effect_probes effect_memcache_probes(const struct resp_command *cmd, struct buf *out)
{
    if (!may_go_stale(cmd))
        return (struct effect_probes){0, 0};
    add_words(out, "MG", cmd->argv[1], "E");
    return (struct effect_probes){1, 0};
}

int effect_memcache_tell(const struct resp_command *cmd, const struct effect_replies *r,
                         struct buf *out)
{
    if (!had_effect(r->own))
        return 0;
    pass_on(cmd, out);
    if (!may_go_stale(cmd) || !went_stale(cmd, r->before[0]))
        return 1;
    add_words(out, "MD", cmd->argv[1], "I");
    return 2;
}

/* ---- a copy -----------------------------------------------------------------------------------
 */

unsigned effect_memcache_recovery_probes(const struct resp_command *cmd, struct buf *out)
{
    struct slice words[] = {slice_str("MG"), cmd->argv[1], slice_str("v"), slice_str("f")};
    resp_add_command(out, words, ARRAY_LEN(words));
    add_words(out, "MG", cmd->argv[1], "E");
    return 2;
}

int effect_memcache_recover(const struct resp_command *cmd, const struct slice *replies,
                            uint64_t now_ms, struct buf *out)
{
    struct slice code, value, flags, text, none;
    char client_flags[24], lifetime[24];
    int64_t expires = -1;
    if (resp_reply_is_error(replies[0]) || resp_reply_is_error(replies[1]))
        return -1;
    if (!reply_parts(replies[0], &code, &value, &flags))
        return 0;
    if (reply_parts(replies[1], &code, &text, &none))
        (void)!named_number(text, "exp=", &expires);
    snprintf(client_flags, sizeof client_flags, "F%.*s",
             (int)(flags.len > 1 && flags.len < 20 ? flags.len - 1 : 0),
             (const char *)flags.ptr + 1);
    snprintf(lifetime, sizeof lifetime, "T%lld",
             expires == -1 ? 0 : (long long)(now_ms / 1000) + llabs(expires));
    struct slice words[] = {slice_str("MS"), cmd->argv[1], value,
                            slice_str(client_flags[1] ? client_flags : "F0"), slice_str(lifetime)};
    resp_add_command(out, words, ARRAY_LEN(words));
    return 1;
}
