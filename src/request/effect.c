#include "request/effect.h"
#include "core/clock.h"
#include "core/mem.h"
#include "request/effect_parts.h"
#include "store/redis_reply.h"
#include "wire/transaction.h"
#include <inttypes.h>
#include <stdio.h>

static void probe_first(struct slice key, struct buf *out)
{
    const struct slice words[] = {slice_str("XRANGE"), key,
                                  slice_str("-"),      slice_str("+"),
                                  slice_str("COUNT"),  slice_str("1")};
    resp_add_command(out, words, ARRAY_LEN(words));
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
    if (redis_array_next(&a, &entry) && effect_id_of(entry, &words[2]))
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
    resp_add_command(out, words, ARRAY_LEN(words));
    return 1;
}

/* ---- entries that are pending ---------------------------------------------------------------- */

static size_t ids_end(const struct resp_command *cmd)
{
    struct effect_id id;
    size_t i = 5;
    while (i < cmd->argc && effect_read_id(cmd->argv[i], &id))
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
    struct effect_parts p = {
        .out = out, .front = front, .nfront = 5, .behind = behind, .nbehind = n + 1};
    while (redis_array_next(&a, &entry))
        if (effect_id_of(entry, &id))
            effect_parts_add(&p, id);
    int made = effect_parts_end(&p);
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
    struct effect_parts p = {.out = out,
                             .front = front,
                             .nfront = 5,
                             .behind = behind,
                             .nbehind = behind[2].ptr ? 3 : 1};
    struct slice entry, next = {.ptr = NULL};
    for (size_t i = 5; i < end; i++) {
        while (!next.ptr && redis_array_next(&a, &entry))
            if (!effect_id_of(entry, &next))
                next.ptr = NULL;
        if (next.ptr && effect_same_id(next, cmd->argv[i]))
            next.ptr = NULL;
        else
            effect_parts_add(&p, cmd->argv[i]);
    }
    return effect_parts_end(&p);
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
    const struct slice words[] = {slice_str("XPENDING"), cmd->argv[1],
                                  cmd->argv[2],          cmd->argv[5],
                                  slice_str("+"),        effect_number(text, looked_at(cmd)),
                                  cmd->argv[3]};
    resp_add_command(out, words, ARRAY_LEN(words));
}

static int tell_gone(const struct resp_command *cmd, struct redis_array gone, struct buf *out)
{
    struct slice front[] = {slice_str("XACK"), cmd->argv[1], cmd->argv[2]}, entry, id;
    struct effect_parts p = {.out = out, .front = front, .nfront = 3};
    while (redis_array_next(&gone, &entry))
        if (effect_id_of(entry, &id))
            effect_parts_add(&p, id);
    return effect_parts_end(&p);
}

/* The reply: where to go on, what was taken and, since Redis 7.0, which of them are gone. */
static int tell_xautoclaim(const struct resp_command *cmd, const struct effect_replies *r,
                           struct buf *out)
{
    const struct effect_consumer words = {cmd->argv[1], cmd->argv[2], cmd->argv[3]};
    struct redis_array a, taken, rows, gone;
    struct slice element;
    if (!redis_array_open(r->own, &a) || !redis_array_next(&a, &element) ||
        !redis_array_next(&a, &element) || !redis_array_open(element, &taken))
        return 0;
    if (!redis_array_open(r->behind[0], &rows))
        return -1;
    int n = effect_tell_pending(&words, taken, rows, r->now_ms, out);
    if (redis_array_next(&a, &element) && redis_array_open(element, &gone))
        n += tell_gone(cmd, gone, out);
    return n;
}

/* ---- whole keys ------------------------------------------------------------------------------ */

static void add_pair(struct buf *out, const char *word, struct slice key)
{
    const struct slice words[] = {slice_str(word), key};
    resp_add_command(out, words, 2);
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
                                  effect_number(text, expires_at(replies, now_ms)),
                                  dump,
                                  slice_str("REPLACE"),
                                  slice_str("ABSTTL")};
    resp_add_command(out, words, ARRAY_LEN(words));
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

enum kind { XADD, XTRIM, XCLAIM, XAUTOCLAIM, XREADGROUP, SCRIPT, SPOP, RECORD };

static enum kind kind_of(const struct command_spec *spec)
{
    static const char *const names[] = {"XADD", "XTRIM", "XCLAIM", "XAUTOCLAIM", "XREADGROUP"};
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
    if (spec->flags & COMMAND_MEMCACHE)
        return effect_memcache_probes(cmd, out);
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
    case XREADGROUP:
        return effect_group_probes(cmd, out);
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
    if (spec->flags & COMMAND_MEMCACHE) {
        e.n = effect_memcache_tell(cmd, r, out);
        return e;
    }
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
    case XREADGROUP:
        e.n = effect_group_tell(cmd, r, out);
        e.also_here = true;
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
    resp_add_command(out, words, ARRAY_LEN(words));
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
        resp_add_command(out, words, ARRAY_LEN(words));
    }
}

/* The rows of XPENDING are those of its consumer: they go to the others as they are. */
static int recover_pending(const struct resp_command *cmd, struct slice rows_reply, uint64_t now_ms,
                           struct buf *out)
{
    const struct effect_consumer words = {cmd->argv[1], cmd->argv[2], cmd->argv[3]};
    struct redis_array rows;
    if (!redis_array_open(rows_reply, &rows))
        return resp_reply_is_error(rows_reply) ? 0 : -1; /* the group has gone */
    return effect_tell_pending(&words, rows, rows, now_ms, out);
}

unsigned effect_recovery_probes(const struct command_spec *spec, const struct resp_command *cmd,
                                struct buf *out)
{
    size_t first, n;
    if (spec->flags & COMMAND_MEMCACHE)
        return effect_memcache_recovery_probes(cmd, out);
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
    case XREADGROUP:
        return effect_group_recovery_probes(cmd, out);
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
    if (spec->flags & COMMAND_MEMCACHE) {
        e.n = effect_memcache_recover(cmd, replies, now_ms, out);
        return e;
    }
    switch (kind_of(spec)) {
    case SPOP:
        break;
    case XADD:
        e.n = recover_entries(cmd, replies[0], out);
        break;
    case XTRIM:
        e.n = trim_words(replies[0], words + 2) ? 1 : -1;
        if (e.n > 0)
            resp_add_command(out, words, ARRAY_LEN(words));
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
    case XREADGROUP:
        e.n = effect_group_recover(cmd, replies, now_ms, out);
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

/* An XADD in which nothing can be wrong but the key's type: the store, which isn't asked about its
 * arguments, must take it. Fields in pairs, and no options but NOMKSTREAM and MAXLEN [=] n. */
static bool xadd_is_right(const struct resp_command *cmd, const struct xadd_parts *p)
{
    int64_t max;
    for (size_t i = 2; i < p->id; i++) {
        bool trims = i == p->trim;
        if (trims && !(slice_is(cmd->argv[i], "MAXLEN") &&
                       slice_to_i64(cmd->argv[p->threshold], &max) && max >= 0))
            return false;
        if (!trims && !slice_is(cmd->argv[i], "NOMKSTREAM"))
            return false;
        i = trims ? p->threshold : i;
    }
    size_t fields = cmd->argc - p->id - 1;
    return fields > 0 && fields % 2 == 0;
}

bool effect_is_chosen(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct xadd_parts p;
    if (spec->flags & COMMAND_MEMCACHE)
        return false;
    if (kind_of(spec) == SPOP)
        return pop_count(cmd) >= 0;
    if (kind_of(spec) != XADD)
        return false;
    command_xadd_parts(cmd, &p);
    return p.id && !p.about && slice_is(cmd->argv[p.id], "*") && xadd_is_right(cmd, &p);
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
        words[2] = effect_number(text, asked_for(cmd, more));
    }
    resp_add_command(out, words, 3);
}

static void read_stream(struct effect_pool *p, struct slice reply)
{
    struct redis_array a;
    struct slice name, value, id;
    struct effect_id last;
    if (!redis_array_open(reply, &a)) {
        if (!redis_error_is(redis_text(reply), "ERR")) /* no such key */
            p->error = reply;
        return;
    }
    p->exists = true;
    while (redis_array_next(&a, &name) && redis_array_next(&a, &value))
        if (resp_reply_bulk(name, &name) && slice_is(name, "last-generated-id") &&
            resp_reply_bulk(value, &id) && effect_read_id(id, &last)) {
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
    struct effect_parts parts = {.out = out, .front = front, .nfront = 2};
    struct redis_array a = {.rest = p->members, .left = p->nmembers};
    if (cmd->argc == 3)
        resp_add_array(reply, n);
    else if (n == 0)
        resp_add_nil(reply);
    for (size_t i = 0; i < n && redis_array_next(&a, &element); i++) {
        buf_add(reply, element.ptr, element.len);
        if (resp_reply_bulk(element, &member))
            effect_parts_add(&parts, member);
    }
    p->members = a.rest;
    p->nmembers = a.left;
    return effect_parts_end(&parts);
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
