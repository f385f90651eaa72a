#include "wire/command.h"
#include "wire/command_table.h"
#include "wire/memcache_command.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

/* command_normalize: the checks, their order and their words are those of Redis 7.0. */

/* How a lifetime is written. */
struct lifetime {
    int64_t unit;  /* milliseconds */
    bool relative; /* from now on */
};

/* The command that is being made; numbers are written into its own room. */
struct line {
    struct slice argv[8];
    size_t argc;
    char number[24];
};

static void add(struct line *l, struct slice arg)
{
    l->argv[l->argc++] = arg;
}

static void add_word(struct line *l, const char *word)
{
    add(l, slice_str(word));
}

static void add_number(struct line *l, int64_t v)
{
    int n = snprintf(l->number, sizeof l->number, "%" PRId64, v);
    add(l, slice_of(l->number, (size_t)n));
}

static bool write_out(const struct line *l, struct buf *out)
{
    resp_add_command(out, l->argv, l->argc);
    return true;
}

static bool syntax_error(struct error *e)
{
    return error_set(e, "ERR syntax error");
}

static bool expire_error(const struct command_spec *spec, struct error *e)
{
    char lower[32];
    size_t n = 0;
    for (const char *p = spec->name; *p && n < sizeof lower; p++)
        lower[n++] = (char)tolower(*p);
    return error_set(e, "ERR invalid expire time in '%.*s' command", (int)n, lower);
}

static bool integer(struct slice text, int64_t *v, struct error *e)
{
    return slice_to_i64(text, v) || error_set(e, "ERR value is not an integer or out of range");
}

/* `v` as it was given to the time since 1970 in ms; false: too large. */
static bool absolute(int64_t v, const struct lifetime *how, uint64_t now_ms, int64_t *at)
{
    int64_t base = how->relative ? (int64_t)now_ms : 0;
    return !__builtin_mul_overflow(v, how->unit, &v) && !__builtin_add_overflow(v, base, at);
}

/* A lifetime that must lie above zero. */
static bool positive_lifetime(const struct command_spec *spec, struct slice text,
                              const struct lifetime *how, uint64_t now_ms, int64_t *at,
                              struct error *e)
{
    int64_t v;
    if (!integer(text, &v, e))
        return false;
    return (v > 0 && absolute(v, how, now_ms, at)) || expire_error(spec, e);
}

/* ---- SET, GETEX ----------------------------------------------------------------------------- */

struct string_options {
    bool nx, xx, get, keepttl, persist;
    const struct lifetime *how; /* NULL: no lifetime given */
    struct slice lifetime;
};

/* EX, PX, EXAT, PXAT with a value behind. The same one may come twice, the last one counts. */
static bool take_lifetime(const struct resp_command *cmd, size_t i, struct string_options *o)
{
    static const struct {
        const char *word;
        struct lifetime how;
    } forms[] = {
        {"EX", {1000, true}}, {"PX", {1, true}}, {"EXAT", {1000, false}}, {"PXAT", {1, false}}};
    if (i + 1 >= cmd->argc || o->keepttl || o->persist)
        return false;
    for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
        if (!slice_is(cmd->argv[i], forms[f].word) || (o->how && o->how != &forms[f].how))
            continue;
        o->how = &forms[f].how;
        o->lifetime = cmd->argv[i + 1];
        return true;
    }
    return false;
}

static bool take_set_option(struct slice arg, struct string_options *o)
{
    if (slice_is(arg, "NX") && !o->xx)
        o->nx = true;
    else if (slice_is(arg, "XX") && !o->nx)
        o->xx = true;
    else if (slice_is(arg, "GET"))
        o->get = true;
    else if (slice_is(arg, "KEEPTTL") && !o->how)
        o->keepttl = true;
    else
        return false;
    return true;
}

static bool take_getex_option(struct slice arg, struct string_options *o)
{
    if (!slice_is(arg, "PERSIST") || o->how)
        return false;
    o->persist = true;
    return true;
}

static bool parse_string_options(const struct resp_command *cmd, size_t from,
                                 bool (*take)(struct slice, struct string_options *),
                                 struct string_options *o)
{
    for (size_t i = from; i < cmd->argc; i++) {
        if (take_lifetime(cmd, i, o))
            i++;
        else if (!take(cmd->argv[i], o))
            return false;
    }
    return true;
}

static bool pass_on(const struct resp_command *cmd, struct buf *out)
{
    resp_add_command(out, cmd->argv, cmd->argc);
    return true;
}

static bool normalize_set(const struct command_spec *spec, const struct resp_command *cmd,
                          uint64_t now_ms, struct buf *out, struct error *e)
{
    struct string_options o = {0};
    if (!parse_string_options(cmd, 3, take_set_option, &o))
        return syntax_error(e);
    if (!o.how)
        return pass_on(cmd, out);
    int64_t at;
    if (!positive_lifetime(spec, o.lifetime, o.how, now_ms, &at, e))
        return false;
    struct line l = {.argc = 0};
    add_word(&l, "SET");
    add(&l, cmd->argv[1]);
    add(&l, cmd->argv[2]);
    if (o.nx || o.xx)
        add_word(&l, o.nx ? "NX" : "XX");
    if (o.get)
        add_word(&l, "GET");
    add_word(&l, "PXAT");
    add_number(&l, at);
    return write_out(&l, out);
}

static bool normalize_setex(const struct command_spec *spec, const struct resp_command *cmd,
                            uint64_t now_ms, struct buf *out, struct error *e)
{
    struct lifetime how = {spec->rule == RULE_SETEX ? 1000 : 1, true};
    int64_t at;
    if (!positive_lifetime(spec, cmd->argv[2], &how, now_ms, &at, e))
        return false;
    struct line l = {.argc = 0};
    add_word(&l, "SET");
    add(&l, cmd->argv[1]);
    add(&l, cmd->argv[3]);
    add_word(&l, "PXAT");
    add_number(&l, at);
    return write_out(&l, out);
}

static bool normalize_getex(const struct command_spec *spec, const struct resp_command *cmd,
                            uint64_t now_ms, struct buf *out, struct error *e)
{
    struct string_options o = {0};
    if (!parse_string_options(cmd, 2, take_getex_option, &o))
        return syntax_error(e);
    struct line l = {.argc = 0};
    add_word(&l, "GETEX");
    add(&l, cmd->argv[1]);
    if (o.persist)
        add_word(&l, "PERSIST"); /* Redis takes it more than once */
    if (!o.how)
        return write_out(&l, out);
    int64_t at;
    if (!positive_lifetime(spec, o.lifetime, o.how, now_ms, &at, e))
        return false;
    add_word(&l, "PXAT");
    add_number(&l, at);
    return write_out(&l, out);
}

#define LONG_AGO_MS 1600000000000 /* every clock has passed it */

bool command_getex_only_reads(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct string_options o = {0};
    struct error ignored;
    int64_t at;
    if (cmd->argc == 2)
        return true;
    return parse_string_options(cmd, 2, take_getex_option, &o) && o.how &&
           !positive_lifetime(spec, o.lifetime, o.how, LONG_AGO_MS, &at, &ignored);
}

/* ---- EXPIRE and its like -------------------------------------------------------------------- */

struct expire_conditions {
    bool nx, xx, gt, lt;
};

static bool parse_conditions(const struct resp_command *cmd, struct expire_conditions *c,
                             struct error *e)
{
    for (size_t i = 3; i < cmd->argc; i++) {
        struct slice arg = cmd->argv[i];
        bool *which = slice_is(arg, "NX")   ? &c->nx
                      : slice_is(arg, "XX") ? &c->xx
                      : slice_is(arg, "GT") ? &c->gt
                      : slice_is(arg, "LT") ? &c->lt
                                            : NULL;
        if (!which)
            return error_set(e, "ERR Unsupported option %.*s", (int)(arg.len < 128 ? arg.len : 128),
                             (const char *)arg.ptr);
        *which = true;
    }
    if (c->nx && (c->xx || c->gt || c->lt))
        return error_set(e, "ERR NX and XX, GT or LT options at the same time are not compatible");
    if (c->gt && c->lt)
        return error_set(e, "ERR GT and LT options at the same time are not compatible");
    return true;
}

/* A time that is past stays one: Redis deletes the key. */
static bool normalize_expire(const struct command_spec *spec, const struct resp_command *cmd,
                             const struct lifetime *how, uint64_t now_ms, struct buf *out,
                             struct error *e)
{
    struct expire_conditions c = {false, false, false, false};
    int64_t v, at;
    if (!parse_conditions(cmd, &c, e) || !integer(cmd->argv[2], &v, e))
        return false;
    if (!absolute(v, how, now_ms, &at))
        return expire_error(spec, e);
    struct line l = {.argc = 0};
    add_word(&l, "PEXPIREAT");
    add(&l, cmd->argv[1]);
    add_number(&l, at);
    if (c.nx)
        add_word(&l, "NX");
    if (c.xx)
        add_word(&l, "XX");
    if (c.gt)
        add_word(&l, "GT");
    if (c.lt)
        add_word(&l, "LT");
    return write_out(&l, out);
}

/* ---- RESTORE -------------------------------------------------------------------------------- */

struct restore_options {
    bool replace, absttl;
    const char *word; /* IDLETIME or FREQ; NULL: none */
    struct slice value;
};

/* IDLETIME and FREQ are figures for Redis's eviction: at most one of them. */
static bool check_eviction_figure(const char *word, struct slice text, struct error *e)
{
    int64_t v;
    if (!integer(text, &v, e))
        return false;
    if (word[0] == 'I')
        return v >= 0 || error_set(e, "ERR Invalid IDLETIME value, must be >= 0");
    return (v >= 0 && v <= 255) || error_set(e, "ERR Invalid FREQ value, must be >= 0 and <= 255");
}

static bool parse_restore(const struct resp_command *cmd, struct restore_options *o,
                          struct error *e)
{
    for (size_t i = 4; i < cmd->argc; i++) {
        struct slice arg = cmd->argv[i];
        const char *word = slice_is(arg, "IDLETIME") ? "IDLETIME"
                           : slice_is(arg, "FREQ")   ? "FREQ"
                                                     : NULL;
        if (slice_is(arg, "REPLACE")) {
            o->replace = true;
        } else if (slice_is(arg, "ABSTTL")) {
            o->absttl = true;
        } else if (word && i + 1 < cmd->argc && (!o->word || o->word[0] == word[0])) {
            o->word = word;
            o->value = cmd->argv[++i];
            if (!check_eviction_figure(word, o->value, e))
                return false;
        } else {
            return syntax_error(e);
        }
    }
    return true;
}

static bool normalize_restore(const struct resp_command *cmd, uint64_t now_ms, struct buf *out,
                              struct error *e)
{
    static const struct lifetime how = {1, true};
    struct restore_options o = {0};
    int64_t ttl, at;
    if (!parse_restore(cmd, &o, e))
        return false;
    bool good = slice_to_i64(cmd->argv[2], &ttl) && ttl >= 0;
    if (good ? ttl == 0 || o.absttl : !o.replace)
        return pass_on(cmd, out); /* that there is a key is a mistake before a wrong lifetime is */
    if (!integer(cmd->argv[2], &ttl, e))
        return false;
    if (ttl < 0)
        return error_set(e, "ERR Invalid TTL value, must be >= 0");
    if (!absolute(ttl, &how, now_ms, &at))
        at = 1; /* what doesn't fit has been over for long, to Redis */
    struct line l = {.argc = 0};
    add_word(&l, "RESTORE");
    add(&l, cmd->argv[1]);
    add_number(&l, at);
    add(&l, cmd->argv[3]);
    if (o.replace)
        add_word(&l, "REPLACE");
    add_word(&l, "ABSTTL");
    if (o.word) {
        add_word(&l, o.word);
        add(&l, o.value);
    }
    return write_out(&l, out);
}

/* ---- XCLAIM --------------------------------------------------------------------------------- */

/* When its entries count as delivered: what stands last counts, IDLE or TIME; neither: now. False:
 * a TIME, or something that Redis will refuse. */
static bool delivered(const struct resp_command *cmd, uint64_t now_ms, int64_t *at)
{
    int64_t now = (int64_t)now_ms, idle = 0;
    bool given = false;
    for (size_t i = 6; i + 1 < cmd->argc; i++) {
        if (slice_is(cmd->argv[i], "TIME"))
            given = true;
        else if (!slice_is(cmd->argv[i], "IDLE"))
            continue;
        else if (given = false, !slice_to_i64(cmd->argv[i + 1], &idle))
            return false;
        i++;
    }
    *at = idle >= 0 && idle <= now ? now - idle : now;
    return !given;
}

/* Its last word is an option that lacks its value: what is put behind it would be taken for one. */
static bool ends_open(const struct resp_command *cmd)
{
    static const char *const options[] = {"IDLE", "TIME", "RETRYCOUNT", "LASTID"};
    bool open = false;
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        open |= slice_is(cmd->argv[cmd->argc - 1], options[i]);
    return open;
}

static bool normalize_xclaim(const struct resp_command *cmd, uint64_t now_ms, struct buf *out)
{
    int64_t at;
    char number[24];
    if (ends_open(cmd) || !delivered(cmd, now_ms, &at))
        return pass_on(cmd, out);
    snprintf(number, sizeof number, "%" PRId64, at);
    resp_add_array(out, cmd->argc + 2);
    for (size_t i = 0; i < cmd->argc; i++)
        resp_add_bulk(out, cmd->argv[i]);
    resp_add_bulk_str(out, "TIME");
    resp_add_bulk_str(out, number);
    return true;
}

/* ---- XADD, XTRIM ---------------------------------------------------------------------------- */

/* About so many is what each replica's store finds convenient; exactly so many is allowed, too. But
 * where a LIMIT says how much work it may be. */
static bool trim_exactly(const struct resp_command *cmd, size_t about, struct buf *out)
{
    resp_add_array(out, cmd->argc);
    for (size_t i = 0; i < cmd->argc; i++)
        resp_add_bulk(out, i == about ? slice_str("=") : cmd->argv[i]);
    return true;
}

static bool normalize_xadd(const struct resp_command *cmd, struct buf *out)
{
    struct xadd_parts p;
    command_xadd_parts(cmd, &p);
    if (!p.about || p.id != p.threshold + 1)
        return pass_on(cmd, out);
    return trim_exactly(cmd, p.threshold - 1, out);
}

static bool normalize_xtrim(const struct command_spec *spec, const struct resp_command *cmd,
                            struct buf *out)
{
    if (!command_undetermined(spec, cmd) || cmd->argc != 5)
        return pass_on(cmd, out);
    return trim_exactly(cmd, 3, out);
}

bool command_normalize(const struct command_spec *spec, const struct resp_command *cmd,
                       uint64_t now_ms, struct buf *out, struct error *e)
{
    if (spec->flags & COMMAND_MEMCACHE)
        return memcache_normalize(cmd, now_ms, out, e);
    switch (spec->rule) {
    case RULE_SET:
        return normalize_set(spec, cmd, now_ms, out, e);
    case RULE_SETEX:
    case RULE_PSETEX:
        return normalize_setex(spec, cmd, now_ms, out, e);
    case RULE_GETEX:
        return normalize_getex(spec, cmd, now_ms, out, e);
    case RULE_EXPIRE:
        return normalize_expire(spec, cmd, &(struct lifetime){1000, true}, now_ms, out, e);
    case RULE_PEXPIRE:
        return normalize_expire(spec, cmd, &(struct lifetime){1, true}, now_ms, out, e);
    case RULE_EXPIREAT:
        return normalize_expire(spec, cmd, &(struct lifetime){1000, false}, now_ms, out, e);
    case RULE_PEXPIREAT:
        return normalize_expire(spec, cmd, &(struct lifetime){1, false}, now_ms, out, e);
    case RULE_RESTORE:
        return normalize_restore(cmd, now_ms, out, e);
    case RULE_XADD:
        return normalize_xadd(cmd, out);
    case RULE_XTRIM:
        return normalize_xtrim(spec, cmd, out);
    case RULE_XCLAIM:
        return normalize_xclaim(cmd, now_ms, out);
    default:
        return pass_on(cmd, out);
    }
}
