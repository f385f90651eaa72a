/* Where the keys of a command line stand. */
#include "wire/command_table.h"

/* ---- what arguments say -------------------------------------------------------------------- */

size_t command_sort_destination(const struct resp_command *cmd, bool *pattern)
{
    size_t destination = 0;
    *pattern = false;
    for (size_t i = 2; i < cmd->argc; i++) {
        bool more = i + 1 < cmd->argc;
        if (slice_is(cmd->argv[i], "LIMIT")) {
            i += 2;
        } else if (more && slice_is(cmd->argv[i], "STORE")) {
            destination = ++i;
        } else if (more && (slice_is(cmd->argv[i], "BY") || slice_is(cmd->argv[i], "GET"))) {
            i++;
            if (cmd->argv[i].len && memchr(cmd->argv[i].ptr, '*', cmd->argv[i].len))
                *pattern = true;
        }
    }
    return destination;
}

/* Options of GEORADIUS begin behind the fifth argument at the earliest. */
size_t command_georadius_destination(const struct resp_command *cmd)
{
    size_t destination = 0;
    for (size_t i = 5; i + 1 < cmd->argc; i++)
        if (slice_is(cmd->argv[i], "STORE") || slice_is(cmd->argv[i], "STOREDIST"))
            destination = ++i;
    return destination;
}

size_t command_count_at(const struct command_spec *spec)
{
    switch (spec->rule) {
    case RULE_POP:
    case RULE_CARD:
    case RULE_ZSETS:
        return 1;
    case RULE_EVAL:
    case RULE_FCALL:
    case RULE_ZSETS_STORE:
    case RULE_BLOCKING_POP:
    case RULE_TRANSACTION:
        return 2;
    default:
        return 0;
    }
}

bool command_xread_parts(const struct resp_command *cmd, struct xread_parts *p)
{
    *p = (struct xread_parts){.group = 0};
    for (size_t i = 1; i < cmd->argc; i++) {
        size_t more = cmd->argc - i - 1;
        if (slice_is(cmd->argv[i], "BLOCK") && more) {
            p->block = ++i;
        } else if (slice_is(cmd->argv[i], "COUNT") && more) {
            p->count = ++i;
        } else if (slice_is(cmd->argv[i], "GROUP") && more >= 2) {
            p->group = i + 1;
            i += 2;
        } else if (slice_is(cmd->argv[i], "NOACK")) {
            p->noack = true;
        } else if (slice_is(cmd->argv[i], "STREAMS") && more) {
            p->first = i + 1;
            p->n = more / 2;
            return more % 2 == 0;
        } else {
            return false;
        }
    }
    return false;
}

/* ---- keys ----------------------------------------------------------------------------------- */

struct key_list {
    size_t *indexes;
    size_t max, n;
};

static void key_add(struct key_list *l, size_t index)
{
    if (l->n < l->max)
        l->indexes[l->n] = index;
    l->n++;
}

static void add_fixed_keys(const struct command_spec *spec, size_t argc, struct key_list *l)
{
    if (spec->first == 0)
        return;
    int64_t last = spec->last < 0 ? (int64_t)argc + spec->last : spec->last;
    for (int64_t i = spec->first; i <= last && i < (int64_t)argc; i += spec->step)
        key_add(l, (size_t)i);
}

/* None where there are fewer arguments than it says. */
static void add_counted_keys(const struct command_spec *spec, const struct resp_command *cmd,
                             struct key_list *l)
{
    size_t at = command_count_at(spec);
    int64_t n;
    if (at >= cmd->argc || !slice_to_i64(cmd->argv[at], &n) || n > (int64_t)(cmd->argc - at - 1))
        return;
    for (size_t i = at + 1; n > 0; i++, n--)
        key_add(l, i);
}

static void add_streams(const struct resp_command *cmd, struct key_list *l)
{
    struct xread_parts p;
    if (!command_xread_parts(cmd, &p))
        return;
    for (size_t i = 0; i < p.n; i++)
        key_add(l, p.first + i);
}

/* MIGRATE has one key, or '' and many behind KEYS. */
static void add_migrated(const struct resp_command *cmd, struct key_list *l)
{
    size_t i = 6;
    if (cmd->argv[3].len) {
        key_add(l, 3);
        return;
    }
    while (i < cmd->argc && !slice_is(cmd->argv[i], "KEYS"))
        i += slice_is(cmd->argv[i], "AUTH2") ? 3 : slice_is(cmd->argv[i], "AUTH") ? 2 : 1;
    while (++i < cmd->argc)
        key_add(l, i);
}

static void add_sub_key(const struct command_spec *spec, const struct resp_command *cmd,
                        struct key_list *l)
{
    const struct command_sub *sub = command_find_sub(spec, cmd);
    if (sub && sub->key && (size_t)sub->key < cmd->argc)
        key_add(l, (size_t)sub->key);
}

/* The key that an option names; 0: none. */
static size_t optional_destination(const struct command_spec *spec, const struct resp_command *cmd)
{
    bool pattern;
    if (spec->rule == RULE_SORT)
        return command_sort_destination(cmd, &pattern);
    return spec->rule == RULE_GEORADIUS ? command_georadius_destination(cmd) : 0;
}

size_t command_keys(const struct command_spec *spec, const struct resp_command *cmd,
                    size_t *indexes, size_t max)
{
    struct key_list l = {indexes, max, 0};
    size_t destination;
    switch (spec->rule) {
    case RULE_SUBCOMMAND:
        add_sub_key(spec, cmd, &l);
        return l.n;
    case RULE_XREAD:
        add_streams(cmd, &l);
        return l.n;
    case RULE_MIGRATE:
        add_migrated(cmd, &l);
        return l.n;
    case RULE_SORT:
    case RULE_GEORADIUS:
        add_fixed_keys(spec, cmd->argc, &l);
        destination = optional_destination(spec, cmd);
        if (destination)
            key_add(&l, destination);
        return l.n;
    default:
        add_fixed_keys(spec, cmd->argc, &l); /* of what has a number of keys: the destination */
        add_counted_keys(spec, cmd, &l);
        return l.n;
    }
}

size_t command_overwritten(const struct command_spec *spec, const struct resp_command *cmd,
                           size_t *indexes, size_t max)
{
    if (command_class_of(spec, cmd) != COMMAND_OVERWRITE)
        return 0;
    struct key_list l = {indexes, max, 0};
    switch (spec->rule) {
    case RULE_SORT:
    case RULE_GEORADIUS:
        key_add(&l, optional_destination(spec, cmd));
        break;
    case RULE_DESTINATION:
    case RULE_ZSETS_STORE:
        key_add(&l, (size_t)spec->first);
        break;
    case RULE_COPY:
        key_add(&l, (size_t)spec->last);
        break;
    default:
        add_fixed_keys(spec, cmd->argc, &l);
    }
    return l.n;
}
