#include "wire/resp3.h"
#include <stdlib.h>
#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------------
 * What a reply, or a part of one, has in RESP2 and becomes in RESP3. */

enum kind {
    PLAIN,
    DOUBLE,   /* $text       -> ,text */
    VERBATIM, /* $text       -> =txt:text */
    EACH,     /* [a, b]      -> [a, b], each element has `of` */
    SET,      /* [a, b]      -> ~a, b, the same */
    NONE_SET, /* as EACH, but an empty one as SET: the subcommands of COMMAND INFO */
    MAP,      /* [k, v, ...] -> %k v ..., a value has the shape of its name in `fields`, or `of` */
    ENTRIES,  /* [[k, v]...] -> %k v ..., a value has `of` */
    PAIRS,    /* [a, b, ...] -> [[a, b], ...], b has `of` */
    PLACES,   /* [a, b, ...]: the first, second, ... element has the shape at its place */
};

struct field {
    const char *name;
    const struct shape *of;
};

struct shape {
    enum kind kind;
    const struct shape *of;            /* NULL: plain */
    const struct field *fields;        /* of a MAP; the last one has no name */
    const struct shape *const *places; /* of PLACES, and how many */
    size_t nplaces;
};

static const struct shape plain = {.kind = PLAIN};
static const struct shape flat_double = {.kind = DOUBLE};
static const struct shape verbatim = {.kind = VERBATIM};
static const struct shape set = {.kind = SET};
static const struct shape map = {.kind = MAP};
static const struct shape maps = {.kind = EACH, .of = &map};
static const struct shape map_of_maps = {.kind = MAP, .of = &map};
static const struct shape doubles = {.kind = EACH, .of = &flat_double};
static const struct shape entries = {.kind = ENTRIES};
static const struct shape pairs = {.kind = PAIRS};
static const struct shape scored = {.kind = PAIRS, .of = &flat_double};

#define FIELDS(...)                                                                                \
    (const struct field[])                                                                         \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }
#define IN_PLACES(...)                                                                             \
    .kind = PLACES, .places = (const struct shape *const[]){__VA_ARGS__},                          \
    .nplaces = sizeof((const struct shape *const[]){__VA_ARGS__}) / sizeof(struct shape *)

/* [member, score] */
static const struct shape member_score = {IN_PLACES(&plain, &flat_double)};
/* [key, [[member, score]...]] */
static const struct shape member_scores = {.kind = EACH, .of = &member_score};
static const struct shape key_scored = {IN_PLACES(&plain, &member_scores)};

/* [[longitude, latitude]...], and the same at the end of [name, distance, hash, coordinates]. */
static const struct shape coordinates = {.kind = EACH, .of = &doubles};
static const struct shape found_with_all = {IN_PLACES(&plain, &doubles, &doubles, &doubles)};
static const struct shape places_found = {.kind = EACH, .of = &found_with_all};

static const struct shape hello = {.kind = MAP, .fields = FIELDS({"modules", &maps})};
static const struct shape tracking = {.kind = MAP, .fields = FIELDS({"flags", &set})};

static const struct shape acl_user = {.kind = MAP,
                                      .fields = FIELDS({"flags", &set}, {"selectors", &maps})};

static const struct shape xinfo_group = {.kind = MAP, .fields = FIELDS({"consumers", &maps})};
static const struct shape xinfo_groups = {.kind = EACH, .of = &xinfo_group};
static const struct shape xinfo_full = {.kind = MAP, .fields = FIELDS({"groups", &xinfo_groups})};

static const struct shape function = {.kind = MAP, .fields = FIELDS({"flags", &set})};
static const struct shape functions = {.kind = EACH, .of = &function};
static const struct shape library = {.kind = MAP, .fields = FIELDS({"functions", &functions})};
static const struct shape libraries = {.kind = EACH, .of = &library};
static const struct shape function_stats = {
    .kind = MAP, .fields = FIELDS({"running_script", &map}, {"engines", &map_of_maps})};

static const struct shape key_step = {.kind = MAP, .fields = FIELDS({"spec", &map})};
static const struct shape key_spec = {
    .kind = MAP,
    .fields = FIELDS({"flags", &set}, {"begin_search", &key_step}, {"find_keys", &key_step})};
static const struct shape key_specs = {.kind = SET, .of = &key_spec};
static const struct shape subcommands_info;
static const struct shape command_info = {IN_PLACES(&plain, &plain, &set, &plain, &plain, &plain,
                                                    &set, &set, &key_specs, &subcommands_info)};
static const struct shape subcommands_info = {.kind = NONE_SET, .of = &command_info};
static const struct shape commands_info = {.kind = EACH, .of = &command_info};
static const struct shape key_flags = {IN_PLACES(&plain, &set)};
static const struct shape keys_flags = {.kind = EACH, .of = &key_flags};

static const struct shape arguments;
static const struct shape argument = {.kind = MAP,
                                      .fields = FIELDS({"flags", &set}, {"arguments", &arguments})};
static const struct shape arguments = {.kind = EACH, .of = &argument};
static const struct shape commands_docs;
static const struct shape command_docs = {.kind = MAP,
                                          .fields = FIELDS({"doc_flags", &set}, {"history", &set},
                                                           {"arguments", &arguments},
                                                           {"subcommands", &commands_docs})};
static const struct shape commands_docs = {.kind = MAP, .of = &command_docs};

static const struct shape shard = {.kind = MAP, .fields = FIELDS({"nodes", &maps})};
static const struct shape shards = {.kind = EACH, .of = &shard};
static const struct shape slot_node = {IN_PLACES(&plain, &plain, &plain, &map)};
static const struct shape slot_range = {.kind = EACH, .of = &slot_node};
static const struct shape slot_ranges = {.kind = EACH, .of = &slot_range};

static const struct shape memory_stats = {
    .kind = MAP,
    .of = &map, /* db.0 */
    .fields = FIELDS({"dataset.percentage", &flat_double}, {"peak.percentage", &flat_double},
                     {"allocator-fragmentation.ratio", &flat_double},
                     {"allocator-rss.ratio", &flat_double}, {"rss-overhead.ratio", &flat_double},
                     {"fragmentation", &flat_double})};

/* ---- which command has which -------------------------------------------------------------------
 */

static bool has_word(const struct resp_command *cmd, size_t from, const char *word)
{
    for (size_t i = from; i < cmd->argc; i++)
        if (slice_is(cmd->argv[i], word))
            return true;
    return false;
}

static bool is_alone(const struct resp_command *cmd)
{
    return cmd->argc == 1;
}

static bool has_count(const struct resp_command *cmd)
{
    return cmd->argc == 3;
}

static bool has_no_count(const struct resp_command *cmd)
{
    return cmd->argc == 2;
}

static bool with_values(const struct resp_command *cmd)
{
    return cmd->argc == 4 && slice_is(cmd->argv[3], "WITHVALUES");
}

static bool with_scores(const struct resp_command *cmd)
{
    return cmd->argc == 4 && slice_is(cmd->argv[3], "WITHSCORES");
}

static bool range_with_scores(const struct resp_command *cmd)
{
    return has_word(cmd, 4, "WITHSCORES");
}

/* Behind the keys, one of which may have any name. */
static bool keys_with_scores(const struct resp_command *cmd)
{
    int64_t n;
    return slice_to_i64(cmd->argv[1], &n) && n > 0 && n < (int64_t)cmd->argc &&
           has_word(cmd, 2 + (size_t)n, "WITHSCORES");
}

static bool adds_increment(const struct resp_command *cmd)
{
    static const char *const options[] = {"NX", "XX", "GT", "LT", "CH"};
    for (size_t i = 2; i < cmd->argc; i++) {
        bool option = false;
        if (slice_is(cmd->argv[i], "INCR"))
            return true;
        for (size_t k = 0; k < ARRAY_LEN(options); k++)
            option |= slice_is(cmd->argv[i], options[k]);
        if (!option)
            return false;
    }
    return false;
}

static bool has_idx(const struct resp_command *cmd)
{
    return has_word(cmd, 3, "IDX");
}

static bool radius_with_coordinates(const struct resp_command *cmd)
{
    return has_word(cmd, 6, "WITHCOORD");
}

static bool member_with_coordinates(const struct resp_command *cmd)
{
    return has_word(cmd, 5, "WITHCOORD");
}

/* The member that it begins at may have any name. */
static bool search_with_coordinates(const struct resp_command *cmd)
{
    for (size_t i = 2; i < cmd->argc; i++) {
        if (slice_is(cmd->argv[i], "WITHCOORD"))
            return true;
        if (slice_is(cmd->argv[i], "FROMMEMBER"))
            i++;
    }
    return false;
}

/* Sorted by name. Where a name has several rows, the first that holds is taken. */
static const struct row {
    const char *name, *sub; /* sub NULL: whatever its first argument is */
    bool (*holds)(const struct resp_command *cmd);
    const struct shape *shape;
} rows[] = {
    {NULL, NULL, NULL, &plain},
    {"ACL", "GETUSER", NULL, &acl_user},
    {"CLIENT", "INFO", NULL, &verbatim},
    {"CLIENT", "LIST", NULL, &verbatim},
    {"CLIENT", "TRACKINGINFO", NULL, &tracking},
    {"CLUSTER", "INFO", NULL, &verbatim},
    {"CLUSTER", "LINKS", NULL, &maps},
    {"CLUSTER", "NODES", NULL, &verbatim},
    {"CLUSTER", "SHARDS", NULL, &shards},
    {"CLUSTER", "SLOTS", NULL, &slot_ranges},
    {"COMMAND", NULL, is_alone, &commands_info},
    {"COMMAND", "DOCS", NULL, &commands_docs},
    {"COMMAND", "GETKEYSANDFLAGS", NULL, &keys_flags},
    {"COMMAND", "INFO", NULL, &commands_info},
    {"CONFIG", "GET", NULL, &map},
    {"FUNCTION", "LIST", NULL, &libraries},
    {"FUNCTION", "STATS", NULL, &function_stats},
    {"GEOPOS", NULL, NULL, &coordinates},
    {"GEORADIUS", NULL, radius_with_coordinates, &places_found},
    {"GEORADIUSBYMEMBER", NULL, member_with_coordinates, &places_found},
    {"GEORADIUSBYMEMBER_RO", NULL, member_with_coordinates, &places_found},
    {"GEORADIUS_RO", NULL, radius_with_coordinates, &places_found},
    {"GEOSEARCH", NULL, search_with_coordinates, &places_found},
    {"HELLO", NULL, NULL, &hello},
    {"HGETALL", NULL, NULL, &map},
    {"HRANDFIELD", NULL, with_values, &pairs},
    {"INFO", NULL, NULL, &verbatim},
    {"LCS", NULL, has_idx, &map},
    {"LOLWUT", NULL, NULL, &verbatim},
    {"MEMORY", "DOCTOR", NULL, &verbatim},
    {"MEMORY", "MALLOC-STATS", NULL, &verbatim},
    {"MEMORY", "STATS", NULL, &memory_stats},
    {"MODULE", "LIST", NULL, &maps},
    {"SDIFF", NULL, NULL, &set},
    {"SINTER", NULL, NULL, &set},
    {"SMEMBERS", NULL, NULL, &set},
    {"SPOP", NULL, has_count, &set},
    {"SUNION", NULL, NULL, &set},
    {"XINFO", "CONSUMERS", NULL, &maps},
    {"XINFO", "GROUPS", NULL, &maps},
    {"XINFO", "STREAM", NULL, &xinfo_full},
    {"XREAD", NULL, NULL, &entries},
    {"XREADGROUP", NULL, NULL, &entries},
    {"ZADD", NULL, adds_increment, &flat_double},
    {"ZDIFF", NULL, keys_with_scores, &scored},
    {"ZINCRBY", NULL, NULL, &flat_double},
    {"ZINTER", NULL, keys_with_scores, &scored},
    {"ZMPOP", NULL, NULL, &key_scored},
    {"ZMSCORE", NULL, NULL, &doubles},
    {"ZPOPMAX", NULL, has_count, &scored},
    {"ZPOPMAX", NULL, has_no_count, &member_score},
    {"ZPOPMIN", NULL, has_count, &scored},
    {"ZPOPMIN", NULL, has_no_count, &member_score},
    {"ZRANDMEMBER", NULL, with_scores, &scored},
    {"ZRANGE", NULL, range_with_scores, &scored},
    {"ZRANGEBYSCORE", NULL, range_with_scores, &scored},
    {"ZREVRANGE", NULL, range_with_scores, &scored},
    {"ZREVRANGEBYSCORE", NULL, range_with_scores, &scored},
    {"ZSCORE", NULL, NULL, &flat_double},
    {"ZUNION", NULL, keys_with_scores, &scored},
};

/* The first row of each command, by its place in the command table; 0: it has none. */
static uint8_t first_row[512];

__attribute__((constructor)) static void find_first_rows(void)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    for (size_t at = 0; at < n && at < ARRAY_LEN(first_row); at++)
        for (size_t i = ARRAY_LEN(rows) - 1; i > 0; i--)
            if (strcmp(rows[i].name, table[at].name) == 0)
                first_row[at] = (uint8_t)i;
}

static bool row_holds(const struct row *r, const struct resp_command *cmd)
{
    if (r->sub && !(cmd->argc > 1 && slice_is(cmd->argv[1], r->sub)))
        return false;
    return !r->holds || r->holds(cmd);
}

unsigned resp3_shape(const struct command_spec *spec, const struct resp_command *cmd)
{
    size_t n, at = (size_t)(spec - command_table(&n));
    unsigned row = at < ARRAY_LEN(first_row) ? first_row[at] : 0;
    if (!row)
        return RESP3_PLAIN;
    const char *name = rows[row].name;
    for (; row < ARRAY_LEN(rows) && strcmp(rows[row].name, name) == 0; row++)
        if (row_holds(&rows[row], cmd))
            return row;
    return RESP3_PLAIN;
}

/* ---- one item of a reply -----------------------------------------------------------------------
 */

/* An array's header, or anything else as a whole. */
struct item {
    uint8_t type;
    int64_t n; /* of '$' and '*' */
    size_t head, size;
};

/* The first one in `in`. What isn't a whole one ends the reply. */
static struct item item_at(struct slice in)
{
    struct item it = {.head = in.len, .size = in.len};
    const uint8_t *end = in.len ? memchr(in.ptr, '\n', in.len) : NULL;
    if (!end)
        return it;
    it.type = in.ptr[0];
    it.head = it.size = (size_t)(end - in.ptr) + 1;
    if (it.type != '$' && it.type != '*')
        return it;
    if (it.head < 4 || !slice_to_i64(slice_of(in.ptr + 1, it.head - 3), &it.n))
        return (struct item){.head = in.len, .size = in.len};
    if (it.type == '$' && it.n >= 0) {
        size_t rest = in.len - it.head;
        it.size += (uint64_t)it.n + 2 <= rest ? (size_t)it.n + 2 : rest;
    }
    return it;
}

/* A reply on its way from `in` to `out`. */
struct copy {
    struct slice in;
    struct buf *out;
};

static void skip(struct copy *c, size_t n)
{
    c->in = slice_of(c->in.ptr + n, c->in.len - n);
}

static void pass(struct copy *c, size_t n)
{
    buf_add(c->out, c->in.ptr, n);
    skip(c, n);
}

/* Takes n whole items, nested ones with what is in them, as they are but for their nulls. */
static void copy_plain(struct copy *c, uint64_t n)
{
    size_t same = 0; /* bytes at the front that haven't been passed on */
    for (; n && same < c->in.len; n--) {
        struct item it = item_at(slice_of(c->in.ptr + same, c->in.len - same));
        if (it.n >= 0) {
            n += it.type == '*' ? (uint64_t)it.n : 0;
            same += it.size;
            continue;
        }
        pass(c, same);
        same = 0;
        skip(c, it.size);
        buf_add_str(c->out, "_\r\n");
    }
    pass(c, same);
}

static void add_header(struct copy *c, char type, int64_t n)
{
    buf_printf(c->out, "%c%lld\r\n", type, (long long)n);
}

static void copy_shape(struct copy *c, const struct shape *shape);

static void copy_of(struct copy *c, const struct shape *of, uint64_t n)
{
    if (!of) {
        copy_plain(c, n);
        return;
    }
    while (n-- && c->in.len)
        copy_shape(c, of);
}

static const struct shape *field_shape(const struct shape *map_, struct slice name)
{
    for (const struct field *f = map_->fields; f && f->name; f++)
        if (slice_eq(name, slice_str(f->name)))
            return f->of;
    return map_->of;
}

static void copy_map(struct copy *c, const struct shape *shape, uint64_t n)
{
    if (!shape->fields && !shape->of) {
        copy_plain(c, 2 * n);
        return;
    }
    while (n-- && c->in.len) {
        struct item key = item_at(c->in);
        struct slice name = key.type == '$' && key.size >= key.head + 2
                                ? slice_of(c->in.ptr + key.head, key.size - key.head - 2)
                                : slice_of("", 0);
        const struct shape *of = field_shape(shape, name);
        copy_plain(c, 1);
        copy_of(c, of, 1);
    }
}

static void copy_entries(struct copy *c, const struct shape *shape, uint64_t n)
{
    while (n-- && c->in.len) {
        struct item it = item_at(c->in);
        bool pair = it.type == '*' && it.n == 2;
        skip(c, pair ? it.head : 0);
        copy_plain(c, 1);
        if (pair)
            copy_of(c, shape->of, 1);
        else
            buf_add_str(c->out, "_\r\n");
    }
}

static void copy_pairs(struct copy *c, const struct shape *shape, uint64_t n)
{
    while (n-- && c->in.len) {
        buf_add_str(c->out, "*2\r\n");
        copy_plain(c, 1);
        copy_of(c, shape->of, 1);
    }
}

static void copy_places(struct copy *c, const struct shape *shape, uint64_t n)
{
    for (uint64_t i = 0; i < n && c->in.len; i++)
        copy_of(c, i < shape->nplaces ? shape->places[i] : NULL, 1);
}

static void copy_string(struct copy *c, const struct shape *shape, const struct item *it)
{
    bool text = shape->kind == VERBATIM;
    skip(c, it->head);
    if (text)
        add_header(c, '=', it->n + 4);
    buf_add_str(c->out, text ? "txt:" : ",");
    pass(c, it->size - it->head);
}

static void copy_array(struct copy *c, const struct shape *shape, const struct item *it)
{
    uint64_t n = (uint64_t)it->n;
    bool as_set;
    skip(c, it->head);
    switch (shape->kind) {
    case EACH:
    case SET:
    case NONE_SET:
        as_set = shape->kind == SET || (shape->kind == NONE_SET && n == 0);
        add_header(c, as_set ? '~' : '*', it->n);
        copy_of(c, shape->of, n);
        break;
    case MAP:
        add_header(c, '%', it->n / 2);
        copy_map(c, shape, n / 2);
        break;
    case ENTRIES:
        add_header(c, '%', it->n);
        copy_entries(c, shape, n);
        break;
    case PAIRS:
        add_header(c, '*', it->n / 2);
        copy_pairs(c, shape, n / 2);
        break;
    case PLACES:
        add_header(c, '*', it->n);
        copy_places(c, shape, n);
        break;
    case PLAIN:
    case DOUBLE:
    case VERBATIM:
        break;
    }
}

/* What isn't a number stays text: it may contain anything, also an end of line. */
static bool is_double(struct slice in, const struct item *it)
{
    char text[64], *end;
    bool is = it->type == '$' && it->n > 0 && it->n < (int64_t)sizeof text &&
              it->size == it->head + (size_t)it->n + 2;
    if (!is)
        return false;
    memcpy(text, in.ptr + it->head, (size_t)it->n);
    text[it->n] = 0;
    (void)strtod(text, &end);
    return end == text + it->n && strspn(text, "0123456789+-.einfa") == (size_t)it->n;
}

/* One element: of its shape, where it has one of these types. */
static void copy_shape(struct copy *c, const struct shape *shape)
{
    struct item it = item_at(c->in);
    bool string = shape->kind == DOUBLE || shape->kind == VERBATIM;
    bool in_twos = shape->kind == MAP || shape->kind == PAIRS;
    bool readable = shape->kind != DOUBLE || is_double(c->in, &it);
    bool fits = shape->kind != PLAIN && it.n >= 0 && it.type == (string ? '$' : '*') &&
                !(in_twos && it.n % 2) && readable;
    if (!fits)
        copy_plain(c, 1);
    else if (string)
        copy_string(c, shape, &it);
    else
        copy_array(c, shape, &it);
}

void resp3_add(unsigned shape, struct slice reply, struct buf *out)
{
    struct copy c = {.in = reply, .out = out};
    if (resp3_same(shape, reply))
        buf_add(out, reply.ptr, reply.len);
    else
        copy_shape(&c, rows[shape].shape);
}
