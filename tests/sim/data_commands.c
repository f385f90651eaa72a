#include "data_commands.h"
#include "data_os.h"
#include <stdio.h>

typedef void fn(const struct resp_command *cmd, struct cell *c, struct buf *reply);

/* ---- sets --------------------------------------------------------------------------------------
 */

/* The member at *at, which moves behind it. False: there is none. */
static bool next_member(struct slice set, size_t *at, int64_t *member)
{
    size_t from = *at;
    while (*at < set.len && set.ptr[*at] != ',')
        ++*at;
    if (*at == set.len)
        return false;
    bool ok = slice_to_i64(slice_of(set.ptr + from, *at - from), member);
    ++*at;
    return ok;
}

static size_t count_members(struct slice set)
{
    size_t at = 0, n = 0;
    for (int64_t m; next_member(set, &at, &m);)
        n++;
    return n;
}

/* The set without this member, or with it. True: that is another set. */
static bool put_member(struct cell *c, int64_t member, bool in)
{
    struct buf out = BUF_INIT;
    size_t at = 0;
    bool was = false, done = !in;
    for (int64_t m; next_member(c->value, &at, &m);) {
        was |= m == member;
        if (!done && m >= member) {
            buf_printf(&out, "%lld,", (long long)member);
            done = true;
        }
        if (m != member)
            buf_printf(&out, "%lld,", (long long)m);
    }
    if (!done)
        buf_printf(&out, "%lld,", (long long)member);
    buf_reset(c->scratch, SIZE_MAX);
    buf_add(c->scratch, buf_head(&out), out.len);
    buf_fini(&out);
    c->value = buf_slice(c->scratch);
    return was != in;
}

static void change_set(const struct resp_command *cmd, struct cell *c, struct buf *reply, bool in)
{
    int64_t n = 0, member;
    for (size_t i = 2; i < cmd->argc; i++)
        if (slice_to_i64(cmd->argv[i], &member))
            n += put_member(c, member, in);
    c->effect = n ? CELL_CHANGED : CELL_KEPT;
    c->exists = c->value.len > 0;
    resp_add_int(reply, n);
}

static void run_sadd(const struct resp_command *cmd, struct cell *c, struct buf *reply)
{
    change_set(cmd, c, reply, true);
}

static void run_srem(const struct resp_command *cmd, struct cell *c, struct buf *reply)
{
    change_set(cmd, c, reply, false);
}

/* So many, none twice, from a place by chance on. */
static void run_srandmember(const struct resp_command *cmd, struct cell *c, struct buf *reply)
{
    int64_t n = 0, m;
    size_t all = count_members(c->value);
    if (!slice_to_i64(cmd->argv[2], &n))
        n = 1;
    n = n < (int64_t)all ? n : (int64_t)all;
    size_t skip = all ? (size_t)chance_below(os_chance(), all) : 0, at = 0;
    resp_add_array(reply, (size_t)n);
    while (skip-- && next_member(c->value, &at, &m)) {
    }
    for (; n > 0; n--) {
        if (!next_member(c->value, &at, &m)) {
            at = 0;
            (void)next_member(c->value, &at, &m);
        }
        char text[24];
        snprintf(text, sizeof text, "%lld", (long long)m);
        resp_add_bulk_str(reply, text);
    }
}

/* ---- a script, and copies ----------------------------------------------------------------------
 */

static void run_eval(const struct resp_command *cmd, struct cell *c, struct buf *reply)
{
    struct buf piece = BUF_INIT;
    buf_printf(&piece, "%.*s%c,", (int)cmd->argv[4].len, (const char *)cmd->argv[4].ptr,
               'a' + (char)chance_below(os_chance(), 26));
    buf_reset(c->scratch, SIZE_MAX);
    buf_add(c->scratch, c->value.ptr, c->value.len);
    buf_add(c->scratch, buf_head(&piece), piece.len);
    resp_add_bulk(reply, buf_slice(&piece));
    buf_fini(&piece);
    c->value = buf_slice(c->scratch);
    c->exists = true;
    c->effect = CELL_CHANGED;
}

static void run_dump(const struct resp_command *cmd, struct cell *c, struct buf *reply)
{
    (void)cmd;
    if (c->exists)
        resp_add_bulk(reply, c->value);
    else
        resp_add_nil(reply);
}

static void run_restore(const struct resp_command *cmd, struct cell *c, struct buf *reply)
{
    c->value = cmd->argv[3];
    c->exists = true;
    c->effect = CELL_OVERWRITTEN;
    resp_add_status(reply, "OK");
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    size_t args; /* at least, its name one of them */
    fn *run;
} commands[] = {{"SADD", 3, run_sadd}, {"SREM", 3, run_srem}, {"SRANDMEMBER", 3, run_srandmember},
                {"EVAL", 5, run_eval}, {"DUMP", 2, run_dump}, {"RESTORE", 4, run_restore}};

size_t data_command_key(const struct resp_command *cmd)
{
    return slice_is(cmd->argv[0], "EVAL") ? 3 : 1;
}

bool data_command_run(const struct resp_command *cmd, const struct string_access *access,
                      struct buf *reply)
{
    size_t i = 0;
    while (i < ARRAY_LEN(commands) && !slice_is(cmd->argv[0], commands[i].name))
        i++;
    if (i == ARRAY_LEN(commands) || cmd->argc < commands[i].args)
        return false;
    struct cell c = {.scratch = access->scratch};
    struct slice key = cmd->argv[data_command_key(cmd)];
    if (!access->open(access->arg, key, &c))
        return false;
    commands[i].run(cmd, &c, reply);
    return c.effect == CELL_KEPT || access->close(access->arg, key, &c);
}
