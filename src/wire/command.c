#include "wire/command.h"
#include "wire/command_table.h"
#include "wire/memcache_command.h"
#include "wire/transaction.h"
#include <ctype.h>
#include <stdlib.h>

#define NAME_ROOM 32 /* more than the longest name of a command or subcommand, and its NUL */

/* ---- finding -------------------------------------------------------------------------------- */

/* Where a name's row stands, plus one: open addressing, filled once before main. */
#define INDEX_BITS 10u
static uint16_t name_index[1u << INDEX_BITS];

static inline uint32_t fold(uint8_t c)
{
    return c | 0x20u; /* lower case; what isn't a letter stays different from the others used */
}

/* Multiplicative hashing (Knuth, TAOCP 6.4) of length, first, middle and last two letters. */
static inline uint32_t name_hash(const uint8_t *p, size_t n)
{
    uint32_t v = fold(p[0]) << 24 | fold(p[n / 2]) << 16 | fold(p[n - 1]) << 8;
    v ^= fold(p[n > 1 ? n - 2 : 0]) + (uint32_t)n * 0x9e5u;
    return v * 2654435769u >> (32 - INDEX_BITS);
}

static inline bool name_is(const struct slice name, const char *upper)
{
    size_t i = 0;
    for (; i < name.len && upper[i]; i++) {
        uint8_t c = name.ptr[i];
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        if (c != (uint8_t)upper[i])
            return false;
    }
    return i == name.len && upper[i] == '\0';
}

__attribute__((constructor)) static void fill_index(void)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    for (size_t i = 0; i < n; i++) {
        uint32_t at = name_hash((const uint8_t *)table[i].name, strlen(table[i].name));
        while (name_index[at])
            at = (at + 1) % ARRAY_LEN(name_index);
        name_index[at] = (uint16_t)(i + 1);
    }
}

const struct command_spec *command_find(struct slice name)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    if (name.len == 0 || name.len >= NAME_ROOM)
        return NULL;
    for (uint32_t at = name_hash(name.ptr, name.len); name_index[at];
         at = (at + 1) % ARRAY_LEN(name_index))
        if (name_is(name, table[name_index[at] - 1].name))
            return &table[name_index[at] - 1];
    return NULL;
}

const struct command_sub *command_find_sub(const struct command_spec *spec,
                                           const struct resp_command *cmd)
{
    size_t n;
    const struct command_sub *subs = command_subs(&n);
    for (size_t i = 0; i < n && cmd->argc > 1; i++)
        if (strcmp(subs[i].container, spec->name) == 0 && slice_is(cmd->argv[1], subs[i].name))
            return &subs[i];
    return NULL;
}

/* ---- number of arguments -------------------------------------------------------------------- */

static bool count_ok(size_t argc, int arity)
{
    return arity < 0 ? argc >= (size_t)-arity : argc == (size_t)arity;
}

static bool arity_error(struct error *e, const char *name, const char *sub)
{
    char lower[2 * NAME_ROOM];
    size_t n = 0;
    for (const char *p = name; *p; p++)
        lower[n++] = (char)tolower(*p);
    if (sub)
        lower[n++] = '|';
    for (const char *p = sub; p && *p; p++)
        lower[n++] = (char)tolower(*p);
    return error_set(e, "ERR wrong number of arguments for '%.*s' command", (int)n, lower);
}

static bool sub_arity_ok(const struct command_spec *spec, const struct resp_command *cmd,
                         struct error *e)
{
    const struct command_sub *sub = command_find_sub(spec, cmd);
    if (cmd->argc == 1)
        return true; /* COMMAND can do without */
    if (!sub && strcmp(spec->name, "CLIENT") == 0)
        return true; /* it has more than Redis 7.0's */
    if (!sub)
        return error_set(e, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                         (int)(cmd->argv[1].len < 128 ? cmd->argv[1].len : 128),
                         (const char *)cmd->argv[1].ptr, spec->name);
    return count_ok(cmd->argc, sub->arity) || arity_error(e, spec->name, sub->name);
}

static bool syntax_error(struct error *e)
{
    return error_set(e, "ERR syntax error");
}

/* ---- numbers of keys: checks and words of Redis ---------------------------------------------- */

static bool script_count_ok(const struct command_spec *spec, const struct resp_command *cmd,
                            bool is_number, int64_t n, int64_t room, struct error *e)
{
    bool by_hash = strncmp(spec->name, "EVALSHA", 7) == 0;
    if (by_hash && cmd->argv[1].len != 40)
        return error_set(e, "NOSCRIPT No matching script. Please use EVAL.");
    if (!is_number)
        return error_set(e, "ERR value is not an integer or out of range");
    if (n > room)
        return error_set(e, "ERR Number of keys can't be greater than number of args");
    return n >= 0 || error_set(e, "ERR Number of keys can't be negative");
}

static bool zsets_count_ok(const struct command_spec *spec, bool is_number, int64_t n, int64_t room,
                           struct error *e)
{
    char lower[NAME_ROOM] = {0};
    if (!is_number)
        return error_set(e, "ERR value is not an integer or out of range");
    if (n > 0)
        return n <= room || syntax_error(e);
    for (size_t i = 0; spec->name[i]; i++)
        lower[i] = (char)tolower(spec->name[i]);
    return error_set(e, "ERR at least 1 input key is needed for '%s' command", lower);
}

static bool pop_count_ok(const struct command_spec *spec, bool is_number, int64_t n, int64_t room,
                         struct error *e)
{
    if (!is_number || n < 1)
        return error_set(e, "ERR numkeys should be greater than 0");
    if (spec->rule == RULE_POP)
        return n < room || syntax_error(e); /* from which end stands behind them */
    return n <= room || error_set(e, "ERR Number of keys can't be greater than number of args");
}

static bool key_count_ok(const struct command_spec *spec, const struct resp_command *cmd,
                         struct error *e)
{
    size_t at = command_count_at(spec);
    int64_t n, room = (int64_t)(cmd->argc - at - 1);
    bool is_number = slice_to_i64(cmd->argv[at], &n);
    switch (spec->rule) {
    case RULE_EVAL:
        return script_count_ok(spec, cmd, is_number, n, room, e);
    case RULE_ZSETS:
    case RULE_ZSETS_STORE:
        return zsets_count_ok(spec, is_number, n, room, e);
    case RULE_POP:
    case RULE_CARD:
        return pop_count_ok(spec, is_number, n, room, e);
    default:
        return true; /* whether there is such a function is looked at first, by the store */
    }
}

/* ---- XREAD and XREADGROUP ---------------------------------------------------------------------
 */

static bool only_of_groups(const struct command_spec *spec, const char *option, struct error *e)
{
    return strcmp(spec->name, "XREADGROUP") == 0 ||
           error_set(e,
                     "ERR The %s option is only supported by XREADGROUP. You called XREAD instead.",
                     option);
}

/* What stands at an argument that isn't the place of a value. */
static bool xread_option_ok(const struct command_spec *spec, const struct resp_command *cmd,
                            size_t *i, struct error *e)
{
    int64_t n;
    size_t more = cmd->argc - *i - 1;
    struct slice option = cmd->argv[*i];
    if (slice_is(option, "BLOCK") && more) {
        ++*i; /* refused, whatever it says */
        return true;
    }
    if (slice_is(option, "COUNT") && more)
        return slice_to_i64(cmd->argv[++*i], &n) ||
               error_set(e, "ERR value is not an integer or out of range");
    if (slice_is(option, "GROUP") && more >= 2) {
        *i += 2;
        return only_of_groups(spec, "GROUP", e);
    }
    return slice_is(option, "NOACK") ? only_of_groups(spec, "NOACK", e) : syntax_error(e);
}

static bool xread_ok(const struct command_spec *spec, const struct resp_command *cmd,
                     struct error *e)
{
    struct xread_parts p;
    bool whole = command_xread_parts(cmd, &p);
    for (size_t i = 1; i < (p.first ? p.first - 1 : cmd->argc); i++)
        if (!xread_option_ok(spec, cmd, &i, e))
            return false;
    if (!p.first)
        return syntax_error(e);
    if (!whole)
        return error_set(e, "ERR Unbalanced XREAD list of streams: for each stream key an ID or "
                            "'$' must be specified.");
    return p.group || strcmp(spec->name, "XREADGROUP") != 0 ||
           error_set(e, "ERR Missing GROUP option for XREADGROUP");
}

bool command_arity_ok(const struct command_spec *spec, const struct resp_command *cmd,
                      struct error *e)
{
    if (!count_ok(cmd->argc, spec->arity))
        return arity_error(e, spec->name, NULL);
    if (spec->class_ == COMMAND_REFUSED)
        return true;
    switch (spec->rule) {
    case RULE_PAIRS:
        return cmd->argc % 2 == 1 || arity_error(e, spec->name, NULL);
    case RULE_SUBCOMMAND:
    case RULE_LIBRARY:
        return sub_arity_ok(spec, cmd, e);
    case RULE_TRANSACTION:
        return transaction_ok(cmd, e);
    case RULE_XREAD:
        return xread_ok(spec, cmd, e);
    default:
        return !command_count_at(spec) || key_count_ok(spec, cmd, e);
    }
}

bool command_may_be_queued(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct error ignored;
    bool container = spec->rule == RULE_SUBCOMMAND || spec->rule == RULE_LIBRARY;
    return count_ok(cmd->argc, spec->arity) && (!container || sub_arity_ok(spec, cmd, &ignored));
}

/* ---- arguments that decide ------------------------------------------------------------------ */

static bool has_option(const struct resp_command *cmd, size_t from, const char *word)
{
    for (size_t i = from; i < cmd->argc; i++)
        if (slice_is(cmd->argv[i], word))
            return true;
    return false;
}

/* What is no number at all, the store says. */
static bool other_database(const struct resp_command *cmd)
{
    int64_t db;
    for (size_t i = 3; i + 1 < cmd->argc; i++)
        if (slice_is(cmd->argv[i], "DB") && slice_to_i64(cmd->argv[i + 1], &db) && db != 0)
            return true;
    return false;
}

void command_xadd_parts(const struct resp_command *cmd, struct xadd_parts *p)
{
    size_t i = 2;
    *p = (struct xadd_parts){.id = 0};
    while (i + 1 < cmd->argc) {
        struct slice next = cmd->argv[i + 1];
        if (slice_is(cmd->argv[i], "NOMKSTREAM")) {
            i++;
        } else if (slice_is(cmd->argv[i], "LIMIT")) {
            i += 2;
        } else if (slice_is(cmd->argv[i], "MAXLEN") || slice_is(cmd->argv[i], "MINID")) {
            p->trim = i;
            p->about = slice_is(next, "~");
            p->threshold = i + (p->about || slice_is(next, "=") ? 2 : 1);
            i = p->threshold + 1;
        } else {
            break;
        }
    }
    p->id = i < cmd->argc ? i : 0;
}

/* The id is *, or a time whose sequence number the stream chooses, or as many entries go as the
 * store finds convenient (~). */
static bool xadd_undetermined(const struct resp_command *cmd, bool about)
{
    struct xadd_parts p;
    command_xadd_parts(cmd, &p);
    if (about || p.id == 0)
        return about;
    struct slice id = cmd->argv[p.id];
    return slice_is(id, "*") || (id.len >= 2 && memcmp(id.ptr + id.len - 2, "-*", 2) == 0);
}

/* Whether an entry has been pending for long enough, each replica's clock says: determined is only
 * a claim that takes all that it names, from the same moment, or none of it. */
static bool xclaim_undetermined(const struct resp_command *cmd, bool has_time)
{
    if (slice_is(cmd->argv[4], COMMAND_CLAIM_NONE))
        return false;
    return !slice_is(cmd->argv[4], "0") || !has_option(cmd, 6, "FORCE") || !has_time;
}

/* The time is given, or command_normalize can give it. */
static bool xclaim_gets_time(const struct resp_command *cmd)
{
    int64_t ignored;
    for (size_t i = 6; i + 1 < cmd->argc; i++)
        if (slice_is(cmd->argv[i], "IDLE") && !slice_to_i64(cmd->argv[i + 1], &ignored))
            return has_option(cmd, 6, "TIME");
    return true;
}

/* ---- class ---------------------------------------------------------------------------------- */

static enum command_class sort_class(const struct command_spec *spec,
                                     const struct resp_command *cmd)
{
    bool pattern;
    size_t destination = command_sort_destination(cmd, &pattern);
    if (pattern)
        return COMMAND_REFUSED;
    return destination && spec->class_ != COMMAND_READ ? COMMAND_OVERWRITE : COMMAND_READ;
}

static enum command_class copy_class(const struct resp_command *cmd)
{
    if (other_database(cmd))
        return COMMAND_REFUSED;
    return has_option(cmd, 3, "REPLACE") ? COMMAND_OVERWRITE : COMMAND_CHANGE;
}

static const char *sub_refusal(const struct command_spec *spec, const struct resp_command *cmd)
{
    const struct command_sub *sub = command_find_sub(spec, cmd);
    return sub ? sub->refusal : NULL;
}

/* What has no key, tells a text. */
static enum command_class sub_class(const struct command_spec *spec, const struct resp_command *cmd)
{
    const struct command_sub *sub = command_find_sub(spec, cmd);
    if (sub && sub->refusal)
        return COMMAND_REFUSED;
    return spec->class_ == COMMAND_LOCAL || (sub && sub->key) ? spec->class_ : COMMAND_READ;
}

static enum command_class library_class(const struct command_spec *spec,
                                        const struct resp_command *cmd)
{
    static const char *const changes[] = {"LOAD", "DELETE", "FLUSH", "RESTORE"};
    if (sub_refusal(spec, cmd))
        return COMMAND_REFUSED;
    for (size_t i = 0; cmd->argc > 1 && i < ARRAY_LEN(changes); i++)
        if (slice_is(cmd->argv[1], changes[i]))
            return COMMAND_CHANGE;
    return COMMAND_READ;
}

enum command_class command_class_of(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct xread_parts streams;
    if (spec->flags & COMMAND_MEMCACHE && spec->class_ != COMMAND_LOCAL)
        return memcache_class_of(cmd);
    switch (spec->rule) {
    case RULE_LIBRARY:
        return library_class(spec, cmd);
    case RULE_SET:
        return has_option(cmd, 3, "NX") || has_option(cmd, 3, "XX") ? COMMAND_CHANGE
                                                                    : COMMAND_OVERWRITE;
    case RULE_GETEX:
        return command_getex_only_reads(spec, cmd) ? COMMAND_READ : COMMAND_CHANGE;
    case RULE_RESTORE:
        return has_option(cmd, 4, "REPLACE") ? COMMAND_OVERWRITE : COMMAND_CHANGE;
    case RULE_GEORADIUS:
        return command_georadius_destination(cmd) ? COMMAND_OVERWRITE : COMMAND_READ;
    case RULE_SORT:
        return sort_class(spec, cmd);
    case RULE_COPY:
        return copy_class(cmd);
    case RULE_SUBCOMMAND:
        return sub_class(spec, cmd);
    case RULE_TRANSACTION:
        return transaction_class(cmd);
    case RULE_XREAD:
        return command_xread_parts(cmd, &streams) && streams.block ? COMMAND_REFUSED : spec->class_;
    default:
        return spec->class_;
    }
}

const char *command_refusal(const struct command_spec *spec, const struct resp_command *cmd)
{
    bool has_subs = spec->rule == RULE_SUBCOMMAND || spec->rule == RULE_LIBRARY;
    const char *why = has_subs ? sub_refusal(spec, cmd) : NULL;
    return why ? why : spec->refusal;
}

bool command_is_script(const struct command_spec *spec)
{
    return spec->rule == RULE_EVAL || spec->rule == RULE_FCALL;
}

bool command_undetermined(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct xadd_parts p;
    if (spec->flags & COMMAND_MEMCACHE)
        return memcache_undetermined(cmd);
    if (spec->rule == RULE_XADD) {
        command_xadd_parts(cmd, &p);
        return xadd_undetermined(cmd, p.about);
    }
    if (spec->rule == RULE_TRANSACTION)
        return transaction_undetermined(cmd);
    if (spec->rule == RULE_XTRIM)
        return cmd->argc > 3 && slice_is(cmd->argv[3], "~");
    if (spec->rule == RULE_XCLAIM)
        return xclaim_undetermined(cmd, has_option(cmd, 6, "TIME"));
    return spec->flags & COMMAND_UNDETERMINED;
}

bool command_stays_undetermined(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct xadd_parts p;
    if (spec->rule == RULE_XADD) {
        command_xadd_parts(cmd, &p);
        return xadd_undetermined(cmd, p.about && p.id != p.threshold + 1);
    }
    if (spec->rule == RULE_XCLAIM)
        return xclaim_undetermined(cmd, xclaim_gets_time(cmd));
    return command_undetermined(spec, cmd) && (spec->rule != RULE_XTRIM || cmd->argc != 5);
}

const char *command_blind_reply(const struct command_spec *spec, const struct resp_command *cmd)
{
    bool known = (spec->flags & COMMAND_RING) && spec->class_ == COMMAND_OVERWRITE; /* FLUSHALL */
    if (spec->flags & COMMAND_MEMCACHE)
        return memcache_blind_reply(cmd);
    if (spec->rule == RULE_SET)
        known = command_class_of(spec, cmd) == COMMAND_OVERWRITE && !has_option(cmd, 3, "GET");
    else if (spec->rule == RULE_PAIRS)
        known = spec->class_ == COMMAND_OVERWRITE; /* MSETNX isn't */
    else
        known = known || spec->rule == RULE_SETEX || spec->rule == RULE_PSETEX;
    return known ? "+OK\r\n" : NULL;
}
