#include "request/effect.h"
#include "core/clock.h"
#include "core/mem.h"
#include "store/redis_reply.h"
#include "wire/transaction.h"
#include <inttypes.h>
#include <stdio.h>

#define PART_ARGS  1024u          /* of one SREM, XCLAIM or XACK; a large pop is several */
#define PART_BYTES (1024u * 1024) /* and no more bytes than that, but for a single one */

/* ---- commands of many arguments ----------------------------------------------------------------
 */

/* A command with these words in front, any number of arguments, and these behind: several of them
 * where there are many arguments. */
struct parts {
    struct buf *out;
    const struct slice *front, *behind;
    size_t nfront, nbehind;
    struct buf args;
    size_t n;
    int made;
};

static void end_part(struct parts *p)
{
    if (p->n == 0)
        return;
    resp_add_array(p->out, p->nfront + p->n + p->nbehind);
    for (size_t i = 0; i < p->nfront; i++)
        resp_add_bulk(p->out, p->front[i]);
    buf_add(p->out, buf_head(&p->args), p->args.len);
    for (size_t i = 0; i < p->nbehind; i++)
        resp_add_bulk(p->out, p->behind[i]);
    buf_reset(&p->args, PART_BYTES);
    p->n = 0;
    p->made++;
}

static void add_arg(struct parts *p, struct slice arg)
{
    if (p->n >= PART_ARGS || (p->n && p->args.len + arg.len > PART_BYTES))
        end_part(p);
    resp_add_bulk(&p->args, arg);
    p->n++;
}

static int end_parts(struct parts *p)
{
    end_part(p);
    buf_fini(&p->args);
    return p->made;
}

static void add_words(struct buf *out, const struct slice *words, size_t n)
{
    resp_add_command(out, words, n);
}

static struct slice number(char text[24], uint64_t v)
{
    int n = snprintf(text, 24, "%" PRIu64, v);
    return slice_of(text, (size_t)n);
}

/* ---- streams --------------------------------------------------------------------------------- */

struct stream_id {
    uint64_t ms, seq;
};

static bool read_part(const uint8_t *from, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n; i++)
        if (from[i] < '0' || from[i] > '9' || __builtin_mul_overflow(*v, 10u, v) ||
            __builtin_add_overflow(*v, (uint64_t)(from[i] - '0'), v))
            return false;
    return n > 0;
}

static bool read_id(struct slice text, struct stream_id *id)
{
    const uint8_t *dash = text.len ? memchr(text.ptr, '-', text.len) : NULL;
    size_t n = dash ? (size_t)(dash - text.ptr) : text.len;
    id->seq = 0;
    return read_part(text.ptr, n, &id->ms) &&
           (!dash || read_part(dash + 1, text.len - n - 1, &id->seq));
}

static bool same_id(struct slice a, struct slice b)
{
    struct stream_id x, y;
    return read_id(a, &x) && read_id(b, &y) && x.ms == y.ms && x.seq == y.seq;
}

static void probe_first(struct slice key, struct buf *out)
{
    const struct slice words[] = {slice_str("XRANGE"), key,
                                  slice_str("-"),      slice_str("+"),
                                  slice_str("COUNT"),  slice_str("1")};
    add_words(out, words, ARRAY_LEN(words));
}

/* The id of an entry: an array of it and its fields, or (JUSTID) itself. */
static bool id_of(struct slice entry, struct slice *id)
{
    struct redis_array a;
    return resp_reply_bulk(entry, id) ||
           (redis_array_open(entry, &a) && redis_array_next(&a, &entry) &&
            resp_reply_bulk(entry, id));
}

/* What to trim to: three words. XRANGE's answer names the first entry that is left, or none. False:
 * it is an error. */
static bool trim_words(struct slice range, struct slice words[3])
{
    struct redis_array a;
    struct slice entry;
    if (!redis_array_open(range, &a))
        return false;
    words[0] = slice_str("MAXLEN");
    words[1] = slice_str("=");
    words[2] = slice_str("0");
    if (redis_array_next(&a, &entry) && id_of(entry, &words[2]))
        words[0] = slice_str("MINID");
    return true;
}

static int tell_xadd(const struct resp_command *cmd, const struct effect_replies *r,
                     struct buf *out)
{
    struct xadd_parts p;
    struct slice id, trim[3];
    command_xadd_parts(cmd, &p);
    if (!resp_reply_bulk(r->own, &id) || p.id == 0)
        return 0;
    if (p.about && !trim_words(r->behind[0], trim))
        return -1;
    if (p.trim && !p.about) {
        trim[0] = cmd->argv[p.trim];
        trim[1] = slice_str("=");
        trim[2] = cmd->argv[p.threshold];
    }
    size_t more = p.trim ? 3 : 0;
    resp_add_array(out, 2 + more + cmd->argc - p.id);
    resp_add_bulk_str(out, "XADD");
    resp_add_bulk(out, cmd->argv[1]);
    for (size_t i = 0; i < more; i++)
        resp_add_bulk(out, trim[i]);
    resp_add_bulk(out, id);
    for (size_t i = p.id + 1; i < cmd->argc; i++)
        resp_add_bulk(out, cmd->argv[i]);
    return 1;
}

static int tell_xtrim(const struct resp_command *cmd, const struct effect_replies *r,
                      struct buf *out)
{
    int64_t gone;
    struct slice words[5] = {slice_str("XTRIM"), cmd->argv[1]};
    if (!resp_reply_int(r->own, &gone) || gone == 0)
        return 0;
    if (!trim_words(r->behind[0], words + 2))
        return -1;
    add_words(out, words, ARRAY_LEN(words));
    return 1;
}

/* ---- entries that are pending ---------------------------------------------------------------- */

static size_t ids_end(const struct resp_command *cmd)
{
    struct stream_id id;
    size_t i = 5;
    while (i < cmd->argc && read_id(cmd->argv[i], &id))
        i++;
    return i;
}

/* The argument of LASTID; an empty one: there is none. */
static struct slice last_id(const struct resp_command *cmd, size_t from)
{
    struct slice last = {.ptr = NULL};
    for (size_t i = from; i + 1 < cmd->argc; i++)
        if (slice_is(cmd->argv[i], "LASTID"))
            last = cmd->argv[i + 1];
    return last;
}

static int tell_claimed(const struct resp_command *cmd, size_t end, struct redis_array a,
                        struct buf *out)
{
    struct slice front[] = {slice_str("XCLAIM"), cmd->argv[1], cmd->argv[2], cmd->argv[3],
                            slice_str("0")};
    struct slice entry, id;
    size_t n = cmd->argc - end;
    struct slice *behind = mem_calloc(n + 1, sizeof *behind);
    for (size_t i = 0; i < n; i++)
        behind[i] = cmd->argv[end + i];
    behind[n] = slice_str("FORCE");
    struct parts p = {.out = out, .front = front, .nfront = 5, .behind = behind, .nbehind = n + 1};
    while (redis_array_next(&a, &entry))
        if (id_of(entry, &id))
            add_arg(&p, id);
    int made = end_parts(&p);
    mem_free(behind);
    return made;
}

/* The store answers in the order in which they are named. */
static int tell_unclaimed(const struct resp_command *cmd, size_t end, struct redis_array a,
                          struct buf *out)
{
    struct slice front[] = {slice_str("XCLAIM"), cmd->argv[1], cmd->argv[2], cmd->argv[3],
                            slice_str(COMMAND_CLAIM_NONE)};
    struct slice behind[] = {slice_str("JUSTID"), slice_str("LASTID"), last_id(cmd, end)};
    struct parts p = {.out = out,
                      .front = front,
                      .nfront = 5,
                      .behind = behind,
                      .nbehind = behind[2].ptr ? 3 : 1};
    struct slice entry, next = {.ptr = NULL};
    for (size_t i = 5; i < end; i++) {
        while (!next.ptr && redis_array_next(&a, &entry))
            if (!id_of(entry, &next))
                next.ptr = NULL;
        if (next.ptr && same_id(next, cmd->argv[i]))
            next.ptr = NULL;
        else
            add_arg(&p, cmd->argv[i]);
    }
    return end_parts(&p);
}

static int tell_xclaim(const struct resp_command *cmd, struct slice reply, struct buf *out)
{
    struct redis_array a;
    size_t end = ids_end(cmd);
    if (!redis_array_open(reply, &a))
        return 0;
    return tell_claimed(cmd, end, a, out) + tell_unclaimed(cmd, end, a, out);
}

/* As many as it may have looked at. */
static uint64_t looked_at(const struct resp_command *cmd)
{
    int64_t count = 100, n;
    for (size_t i = 6; i + 1 < cmd->argc; i++)
        if (slice_is(cmd->argv[i], "COUNT") && slice_to_i64(cmd->argv[i + 1], &n))
            count = n;
    return count < 1 ? 1 : count > INT64_MAX / 10 ? INT64_MAX : (uint64_t)count * 10;
}

static void probe_pending(const struct resp_command *cmd, struct buf *out)
{
    char text[24];
    const struct slice words[] = {
        slice_str("XPENDING"),        cmd->argv[1], cmd->argv[2], cmd->argv[5], slice_str("+"),
        number(text, looked_at(cmd)), cmd->argv[3]};
    add_words(out, words, ARRAY_LEN(words));
}

/* The next row of XPENDING that is about this entry: how often it was delivered. Both are in the
 * order of ids. */
static uint64_t deliveries(struct redis_array *rows, struct slice id)
{
    struct slice row, field[4];
    int64_t n = 1;
    while (redis_array_next(rows, &row)) {
        struct redis_array a;
        if (!redis_array_open(row, &a))
            continue;
        for (size_t i = 0; i < 4; i++)
            if (!redis_array_next(&a, &field[i]))
                field[i] = slice_of(NULL, 0);
        if (!resp_reply_bulk(field[0], &row) || !same_id(row, id))
            continue;
        return resp_reply_int(field[3], &n) && n > 0 ? (uint64_t)n : 1;
    }
    return 1;
}

/* Entries that follow one another and were delivered equally often go together. */
static int tell_taken(const struct resp_command *cmd, struct redis_array taken,
                      struct redis_array rows, uint64_t now_ms, struct buf *out)
{
    char time[24], times[24];
    struct slice front[] = {slice_str("XCLAIM"), cmd->argv[1], cmd->argv[2], cmd->argv[3],
                            slice_str("0")};
    struct slice behind[] = {slice_str("TIME"), number(time, now_ms), slice_str("RETRYCOUNT"),
                             slice_str("1"),    slice_str("FORCE"),   slice_str("JUSTID")};
    struct parts p = {.out = out, .front = front, .nfront = 5, .behind = behind, .nbehind = 6};
    struct slice entry, id;
    uint64_t before = 0;
    while (redis_array_next(&taken, &entry)) {
        if (!id_of(entry, &id))
            continue;
        uint64_t n = deliveries(&rows, id);
        if (n != before)
            end_part(&p);
        behind[3] = number(times, before = n);
        add_arg(&p, id);
    }
    return end_parts(&p);
}

static int tell_gone(const struct resp_command *cmd, struct redis_array gone, struct buf *out)
{
    struct slice front[] = {slice_str("XACK"), cmd->argv[1], cmd->argv[2]}, entry, id;
    struct parts p = {.out = out, .front = front, .nfront = 3};
    while (redis_array_next(&gone, &entry))
        if (id_of(entry, &id))
            add_arg(&p, id);
    return end_parts(&p);
}

/* The reply: where to go on, what was taken and, since Redis 7.0, which of them are gone. */
static int tell_xautoclaim(const struct resp_command *cmd, const struct effect_replies *r,
                           struct buf *out)
{
    struct redis_array a, taken, rows, gone;
    struct slice element;
    if (!redis_array_open(r->own, &a) || !redis_array_next(&a, &element) ||
        !redis_array_next(&a, &element) || !redis_array_open(element, &taken))
        return 0;
    if (!redis_array_open(r->behind[0], &rows))
        return -1;
    int n = tell_taken(cmd, taken, rows, r->now_ms, out);
    if (redis_array_next(&a, &element) && redis_array_open(element, &gone))
        n += tell_gone(cmd, gone, out);
    return n;
}

/* ---- whole keys ------------------------------------------------------------------------------ */

static void add_pair(struct buf *out, const char *word, struct slice key)
{
    const struct slice words[] = {slice_str(word), key};
    add_words(out, words, 2);
}

void effect_add_key_probes(struct slice key, struct buf *out)
{
    add_pair(out, "DUMP", key);
    add_pair(out, "PEXPIRETIME", key);
    add_pair(out, "PTTL", key); /* Redis 6.2 hasn't the other */
}

/* When it expires, ms; 0: never. */
static uint64_t expires_at(const struct slice *replies, uint64_t now_ms)
{
    int64_t at;
    if (resp_reply_int(replies[1], &at))
        return at > 0 ? (uint64_t)at : 0;
    return resp_reply_int(replies[2], &at) && at > 0 ? now_ms + (uint64_t)at : 0;
}

bool effect_add_copy(struct slice key, const struct slice *replies, uint64_t now_ms,
                     struct buf *out)
{
    char text[24];
    struct slice dump;
    if (redis_is_nil(replies[0])) {
        add_pair(out, "DEL", key);
        return true;
    }
    if (!resp_reply_bulk(replies[0], &dump))
        return false;
    const struct slice words[] = {slice_str("RESTORE"),
                                  key,
                                  number(text, expires_at(replies, now_ms)),
                                  dump,
                                  slice_str("REPLACE"),
                                  slice_str("ABSTTL")};
    add_words(out, words, ARRAY_LEN(words));
    return true;
}

bool effect_is_as_before(const struct slice *before, const struct slice *behind)
{
    return slice_eq(before[0], behind[0]) && slice_eq(before[1], behind[1]) &&
           (redis_is_nil(behind[0]) || !resp_reply_is_error(behind[1]));
}

static int tell_script(const struct command_spec *spec, const struct resp_command *cmd,
                       const struct effect_replies *r, struct buf *out)
{
    size_t first, n = command_keys(spec, cmd, &first, 1);
    int told = 0;
    for (size_t i = 0; i < n; i++) {
        const struct slice *before = r->before + i * EFFECT_KEY_PROBES;
        const struct slice *behind = r->behind + i * EFFECT_KEY_PROBES;
        if (effect_is_as_before(before, behind))
            continue;
        if (!effect_add_copy(cmd->argv[first + i], behind, r->now_ms, out))
            return -1;
        told++;
    }
    return told;
}

/* ---- all of them ----------------------------------------------------------------------------- */

enum kind { XADD, XTRIM, XCLAIM, XAUTOCLAIM, SCRIPT, SPOP, RECORD };

static enum kind kind_of(const struct command_spec *spec)
{
    static const char *const names[] = {"XADD", "XTRIM", "XCLAIM", "XAUTOCLAIM"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(spec->name, names[i]) == 0)
            return (enum kind)i;
    if (transaction_is(spec))
        return RECORD;
    return strcmp(spec->name, "SPOP") == 0 ? SPOP : SCRIPT;
}

struct effect_probes effect_probes(const struct command_spec *spec, const struct resp_command *cmd,
                                   struct buf *out)
{
    struct effect_probes p = {0, 0};
    struct xadd_parts parts;
    size_t first, n;
    switch (kind_of(spec)) {
    case SPOP:
    case XCLAIM:
        break;
    case XADD:
        command_xadd_parts(cmd, &parts);
        p.behind = parts.about;
        if (parts.about)
            probe_first(cmd->argv[1], out);
        break;
    case XTRIM:
        p.behind = 1;
        probe_first(cmd->argv[1], out);
        break;
    case XAUTOCLAIM:
        p.behind = 1;
        probe_pending(cmd, out);
        break;
    case SCRIPT:
        n = command_keys(spec, cmd, &first, 1);
        for (size_t i = 0; i < 2 * n; i++)
            effect_add_key_probes(cmd->argv[first + i % n], out);
        p.before = p.behind = (unsigned)n * EFFECT_KEY_PROBES;
        break;
    case RECORD:
        if (!transaction_has_undetermined(cmd))
            break;
        p.before = effect_transaction_probes(cmd, out);
        p.behind = effect_transaction_probes(cmd, out);
        break;
    }
    return p;
}

struct effect effect_tell(const struct command_spec *spec, const struct resp_command *cmd,
                          const struct effect_replies *r, struct buf *out)
{
    struct effect e = {.n = 0};
    switch (kind_of(spec)) {
    case SPOP:
        break; /* one that isn't chosen is an error */
    case XADD:
        e.n = tell_xadd(cmd, r, out);
        break;
    case XTRIM:
        e.n = tell_xtrim(cmd, r, out);
        break;
    case XCLAIM:
        e.n = tell_xclaim(cmd, r->own, out);
        break;
    case XAUTOCLAIM:
        e.n = tell_xautoclaim(cmd, r, out);
        e.also_here = true; /* when it took them, only the store knows */
        break;
    case SCRIPT:
        e.n = tell_script(spec, cmd, r, out);
        break;
    case RECORD:
        e = effect_transaction_tell(cmd, r, out);
        break;
    }
    return e;
}

/* ---- what became of it isn't known -------------------------------------------------------------
 */

/* Entries that may have its id: those of its millisecond. */
static void probe_entries(const struct resp_command *cmd, struct buf *out)
{
    struct xadd_parts p;
    command_xadd_parts(cmd, &p);
    struct slice id = p.id ? cmd->argv[p.id] : slice_str("*");
    const uint8_t *dash = id.len ? memchr(id.ptr, '-', id.len) : NULL;
    struct slice ms = dash ? slice_of(id.ptr, (size_t)(dash - id.ptr)) : slice_str("-");
    const struct slice words[] = {slice_str("XRANGE"), cmd->argv[1], ms,
                                  dash ? ms : slice_str("+")};
    add_words(out, words, ARRAY_LEN(words));
}

static int recover_entries(const struct resp_command *cmd, struct slice range, struct buf *out)
{
    struct redis_array a, entry, fields;
    struct slice element, id, field;
    int n = 0;
    if (!redis_array_open(range, &a))
        return -1;
    while (redis_array_next(&a, &element)) {
        if (!redis_array_open(element, &entry) || !redis_array_next(&entry, &element) ||
            !resp_reply_bulk(element, &id) || !redis_array_next(&entry, &element) ||
            !redis_array_open(element, &fields))
            continue;
        resp_add_array(out, 3 + fields.left);
        resp_add_bulk_str(out, "XADD");
        resp_add_bulk(out, cmd->argv[1]);
        resp_add_bulk(out, id);
        while (redis_array_next(&fields, &element))
            resp_add_bulk(out, resp_reply_bulk(element, &field) ? field : slice_str(""));
        n++;
    }
    return n;
}

static void probe_claimed(const struct resp_command *cmd, struct buf *out)
{
    for (size_t i = 5, end = ids_end(cmd); i < end; i++) {
        const struct slice words[] = {slice_str("XPENDING"), cmd->argv[1], cmd->argv[2],
                                      cmd->argv[i],          cmd->argv[i], slice_str("1"),
                                      cmd->argv[3]};
        add_words(out, words, ARRAY_LEN(words));
    }
}

/* The rows of XPENDING are those of its consumer: they go to the others as they are. */
static int recover_pending(const struct resp_command *cmd, struct slice rows_reply, uint64_t now_ms,
                           struct buf *out)
{
    struct redis_array rows;
    if (!redis_array_open(rows_reply, &rows))
        return resp_reply_is_error(rows_reply) ? 0 : -1; /* the group has gone */
    return tell_taken(cmd, rows, rows, now_ms, out);
}

unsigned effect_recovery_probes(const struct command_spec *spec, const struct resp_command *cmd,
                                struct buf *out)
{
    size_t first, n;
    switch (kind_of(spec)) {
    case SPOP:
        return 0;
    case XADD:
        probe_entries(cmd, out);
        return 1;
    case XTRIM:
        probe_first(cmd->argv[1], out);
        return 1;
    case XCLAIM:
        probe_claimed(cmd, out);
        return (unsigned)(ids_end(cmd) - 5);
    case XAUTOCLAIM:
        probe_pending(cmd, out);
        return 1;
    case SCRIPT:
        n = command_keys(spec, cmd, &first, 1);
        for (size_t i = 0; i < n; i++)
            effect_add_key_probes(cmd->argv[first + i], out);
        return (unsigned)n * EFFECT_KEY_PROBES;
    case RECORD:
        return effect_transaction_probes(cmd, out);
    }
    return 0;
}

static int recover_script(const struct command_spec *spec, const struct resp_command *cmd,
                          const struct slice *replies, uint64_t now_ms, struct buf *out)
{
    size_t first, n = command_keys(spec, cmd, &first, 1);
    for (size_t i = 0; i < n; i++)
        if (!effect_add_copy(cmd->argv[first + i], replies + i * EFFECT_KEY_PROBES, now_ms, out))
            return -1;
    return (int)n;
}

struct effect effect_recover(const struct command_spec *spec, const struct resp_command *cmd,
                             const struct slice *replies, uint64_t now_ms, struct buf *out)
{
    struct effect e = {.n = 0};
    struct slice words[5] = {slice_str("XTRIM"), cmd->argv[1]};
    switch (kind_of(spec)) {
    case SPOP:
        break;
    case XADD:
        e.n = recover_entries(cmd, replies[0], out);
        break;
    case XTRIM:
        e.n = trim_words(replies[0], words + 2) ? 1 : -1;
        if (e.n > 0)
            add_words(out, words, ARRAY_LEN(words));
        break;
    case XCLAIM:
        for (size_t i = 5; i < ids_end(cmd); i++)
            e.n += recover_pending(cmd, replies[i - 5], now_ms, out);
        e.also_here = true;
        break;
    case XAUTOCLAIM:
        e.n = recover_pending(cmd, replies[0], now_ms, out);
        e.also_here = true;
        break;
    case SCRIPT:
        e.n = recover_script(spec, cmd, replies, now_ms, out);
        break;
    case RECORD:
        e.n = effect_transaction_recover(cmd, replies, now_ms, out);
        break;
    }
    return e;
}

/* ---- what is chosen ---------------------------------------------------------------------------
 */

static int64_t pop_count(const struct resp_command *cmd)
{
    int64_t n = 1;
    if (cmd->argc > 3 || (cmd->argc == 3 && !slice_to_i64(cmd->argv[2], &n)))
        return -1;
    return n;
}

bool effect_is_chosen(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct xadd_parts p;
    if (kind_of(spec) == SPOP)
        return pop_count(cmd) >= 0;
    if (kind_of(spec) != XADD)
        return false;
    command_xadd_parts(cmd, &p);
    return p.id && !p.about && slice_is(cmd->argv[p.id], "*");
}

static uint64_t asked_for(const struct resp_command *cmd, size_t more)
{
    int64_t n = pop_count(cmd);
    return __builtin_add_overflow(n, (int64_t)more, &n) ? INT64_MAX : (uint64_t)n;
}

void effect_add_question(const struct command_spec *spec, const struct resp_command *cmd,
                         size_t more, struct buf *out)
{
    char text[24];
    struct slice words[3] = {slice_str("XINFO"), slice_str("STREAM"), cmd->argv[1]};
    if (kind_of(spec) == SPOP) {
        words[0] = slice_str("SRANDMEMBER");
        words[1] = cmd->argv[1];
        words[2] = number(text, asked_for(cmd, more));
    }
    add_words(out, words, 3);
}

static void read_stream(struct effect_pool *p, struct slice reply)
{
    struct redis_array a;
    struct slice name, value, id;
    struct stream_id last;
    if (!redis_array_open(reply, &a)) {
        if (!redis_error_is(redis_text(reply), "ERR")) /* no such key */
            p->error = reply;
        return;
    }
    p->exists = true;
    while (redis_array_next(&a, &name) && redis_array_next(&a, &value))
        if (resp_reply_bulk(name, &name) && slice_is(name, "last-generated-id") &&
            resp_reply_bulk(value, &id) && read_id(id, &last)) {
            p->last_ms = last.ms;
            p->last_seq = last.seq;
        }
}

void effect_pool_fill(struct effect_pool *p, const struct command_spec *spec,
                      const struct resp_command *cmd, size_t more, struct slice answer)
{
    struct redis_array a;
    *p = (struct effect_pool){.exists = false};
    buf_add(&p->reply, answer.ptr, answer.len);
    struct slice reply = buf_slice(&p->reply);
    if (kind_of(spec) == XADD) {
        read_stream(p, reply);
    } else if (redis_array_open(reply, &a)) {
        p->members = a.rest;
        p->nmembers = a.left;
        p->all = a.left < asked_for(cmd, more);
    } else {
        p->error = reply;
    }
}

void effect_pool_fini(struct effect_pool *p)
{
    buf_fini(&p->reply);
    *p = (struct effect_pool){.exists = false};
}

static int pop(struct effect_pool *p, const struct resp_command *cmd, struct buf *out,
               struct buf *reply)
{
    size_t n = (size_t)pop_count(cmd);
    if (n > p->nmembers && !p->all)
        return -1;
    n = n < p->nmembers ? n : p->nmembers;
    struct slice front[] = {slice_str("SREM"), cmd->argv[1]}, element, member;
    struct parts parts = {.out = out, .front = front, .nfront = 2};
    struct redis_array a = {.rest = p->members, .left = p->nmembers};
    if (cmd->argc == 3)
        resp_add_array(reply, n);
    else if (n == 0)
        resp_add_nil(reply);
    for (size_t i = 0; i < n && redis_array_next(&a, &element); i++) {
        buf_add(reply, element.ptr, element.len);
        if (resp_reply_bulk(element, &member))
            add_arg(&parts, member);
    }
    p->members = a.rest;
    p->nmembers = a.left;
    return end_parts(&parts);
}

/* False: there is none behind the last one. */
static bool next_id(struct effect_pool *p, uint64_t stamp)
{
    uint64_t ms = hlc_ms(stamp), seq = stamp & 0xffff;
    if (ms > p->last_ms || (ms == p->last_ms && seq > p->last_seq)) {
        p->last_ms = ms;
        p->last_seq = seq;
    } else if (p->last_seq < UINT64_MAX) {
        p->last_seq++;
    } else if (p->last_ms < UINT64_MAX) {
        p->last_ms++;
        p->last_seq = 0;
    } else {
        return false;
    }
    return true;
}

static int append(struct effect_pool *p, const struct resp_command *cmd, uint64_t stamp,
                  struct buf *out, struct buf *reply)
{
    struct xadd_parts parts;
    char id[48];
    command_xadd_parts(cmd, &parts);
    bool only_there = false;
    for (size_t i = 2; i < parts.id; i++)
        only_there |= slice_is(cmd->argv[i], "NOMKSTREAM");
    if (only_there && !p->exists) {
        resp_add_nil(reply);
        return 0;
    }
    if (!next_id(p, stamp)) {
        resp_add_error(reply, "ERR The stream has exhausted the last possible ID, unable to add "
                              "more items");
        return 0;
    }
    p->exists = true;
    snprintf(id, sizeof id, "%" PRIu64 "-%" PRIu64, p->last_ms, p->last_seq);
    resp_add_array(out, cmd->argc);
    for (size_t i = 0; i < cmd->argc; i++)
        resp_add_bulk(out, i == parts.id ? slice_str(id) : cmd->argv[i]);
    resp_add_bulk_str(reply, id);
    return 1;
}

int effect_choose(struct effect_pool *p, const struct command_spec *spec,
                  const struct resp_command *cmd, uint64_t stamp, struct buf *out,
                  struct buf *reply)
{
    if (p->error.len) {
        buf_add(reply, p->error.ptr, p->error.len);
        return 0;
    }
    return kind_of(spec) == SPOP ? pop(p, cmd, out, reply) : append(p, cmd, stamp, out, reply);
}

bool effect_next(struct slice *bytes, struct slice *command, struct resp_command *cmd)
{
    struct resp_parser parser = {0};
    struct error e;
    bool more =
        bytes->len && resp_request_parse(&parser, bytes->ptr, bytes->len, cmd, &e) == RESP_OK;
    resp_parser_fini(&parser);
    if (!more)
        return false;
    *command = slice_of(bytes->ptr, cmd->size);
    *bytes = slice_of(bytes->ptr + cmd->size, bytes->len - cmd->size);
    return true;
}
