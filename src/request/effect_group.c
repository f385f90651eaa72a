/* What XREADGROUP did to the groups of its streams, as Redis tells its own replicas:
 *
 *     new entries (>)   XCLAIM ... TIME RETRYCOUNT 1 FORCE JUSTID, and XGROUP SETID: how far the
 *                       group has read
 *     NOACK             XGROUP CREATECONSUMER, where it is a new one, and XGROUP SETID
 *
 * and what Redis doesn't tell, so that all replicas stay the same:
 *
 *     history (an id)   XCLAIM ...: when they were delivered, and how often
 *
 * The reply names the entries, XINFO GROUPS right before and right behind the rest. */
#include "request/effect_parts.h"

#define ALL_OF_THEM "9223372036854775807"

/* The highest id there is stands for > in Redis, too. */
static bool is_new(struct slice id)
{
    struct effect_id i;
    return slice_is(id, ">") ||
           (effect_read_id(id, &i) && i.ms == UINT64_MAX && i.seq == UINT64_MAX);
}

static struct effect_consumer consumer_of(const struct resp_command *cmd,
                                          const struct xread_parts *p, size_t stream)
{
    return (struct effect_consumer){cmd->argv[p->first + stream], cmd->argv[p->group],
                                    cmd->argv[p->group + 1]};
}

static struct slice id_at(const struct resp_command *cmd, const struct xread_parts *p,
                          size_t stream)
{
    return cmd->argv[p->first + p->n + stream];
}

/* ---- probes -----------------------------------------------------------------------------------
 */

static void probe_groups(struct slice key, struct buf *out)
{
    const struct slice words[] = {slice_str("XINFO"), slice_str("GROUPS"), key};
    resp_add_command(out, words, ARRAY_LEN(words));
}

static void probe_rows(const struct effect_consumer *c, struct slice from, struct slice count,
                       struct buf *out)
{
    const struct slice words[] = {slice_str("XPENDING"), c->key, c->group, from,
                                  slice_str("+"),        count,  c->name};
    resp_add_command(out, words, ARRAY_LEN(words));
}

/* As many rows as it may have delivered entries. */
static void probe_history(const struct resp_command *cmd, const struct xread_parts *p,
                          size_t stream, struct buf *out)
{
    const struct effect_consumer c = consumer_of(cmd, p, stream);
    struct slice id = id_at(cmd, p, stream);
    struct buf from = BUF_INIT;
    int64_t n;
    bool all = !p->count || !slice_to_i64(cmd->argv[p->count], &n) || n <= 0;
    buf_add_str(&from, "(");
    buf_add(&from, id.ptr, id.len);
    probe_rows(&c, buf_slice(&from), all ? slice_str(ALL_OF_THEM) : cmd->argv[p->count], out);
    buf_fini(&from);
}

struct effect_probes effect_group_probes(const struct resp_command *cmd, struct buf *out)
{
    struct effect_probes n = {0, 0};
    struct xread_parts p;
    if (!command_xread_parts(cmd, &p) || !p.group)
        return n;
    for (; n.before < p.n; n.before++)
        probe_groups(cmd->argv[p.first + n.before], out);
    for (size_t i = 0; i < p.n; i++, n.behind++) {
        probe_groups(cmd->argv[p.first + i], out);
        if (is_new(id_at(cmd, &p, i)))
            continue;
        probe_history(cmd, &p, i, out);
        n.behind++;
    }
    return n;
}

/* ---- a group ----------------------------------------------------------------------------------
 */

struct group {
    struct slice consumers, last, read; /* raw replies; read: empty before Redis 7.0 */
};

static bool read_fields(struct slice reply, struct slice name, struct group *g)
{
    struct redis_array a;
    struct slice field, value, is = {.ptr = NULL};
    *g = (struct group){.last = slice_of(NULL, 0)};
    if (!redis_array_open(reply, &a))
        return false;
    while (redis_array_next(&a, &field) && redis_array_next(&a, &value)) {
        if (!resp_reply_bulk(field, &field))
            continue;
        if (slice_is(field, "name"))
            is = resp_reply_bulk(value, &field) ? field : is;
        else if (slice_is(field, "consumers"))
            g->consumers = value;
        else if (slice_is(field, "last-delivered-id"))
            g->last = value;
        else if (slice_is(field, "entries-read"))
            g->read = value;
    }
    return is.ptr && slice_eq(is, name);
}

/* False: XINFO GROUPS doesn't tell of it. */
static bool find_group(struct slice reply, struct slice name, struct group *g)
{
    struct redis_array a;
    struct slice element;
    bool found = false;
    if (!redis_array_open(reply, &a))
        return false;
    while (!found && redis_array_next(&a, &element))
        found = read_fields(element, name, g);
    return found;
}

static int tell_consumer(const struct effect_consumer *c, struct buf *out)
{
    const struct slice words[] = {slice_str("XGROUP"), slice_str("CREATECONSUMER"), c->key,
                                  c->group, c->name};
    resp_add_command(out, words, ARRAY_LEN(words));
    return 1;
}

static int tell_position(const struct effect_consumer *c, const struct group *g, struct buf *out)
{
    struct slice last;
    char text[24];
    int64_t n;
    if (!resp_reply_bulk(g->last, &last))
        return 0;
    const struct slice words[] = {
        slice_str("XGROUP"),
        slice_str("SETID"),
        c->key,
        c->group,
        last,
        slice_str("ENTRIESREAD"),
        resp_reply_int(g->read, &n) && n >= 0 ? effect_number(text, (uint64_t)n) : slice_str("-1")};
    resp_add_command(out, words, ARRAY_LEN(words) - (g->read.len ? 0 : 2));
    return 1;
}

/* ---- what it did ------------------------------------------------------------------------------
 */

/* What the reply has of streams that aren't told yet. */
struct served {
    struct redis_array streams;
    size_t history; /* so many of them were asked for with an id: each of these is there */
};

/* The entries that it delivered of a stream; none: it isn't in the reply. Of new ones (fresh) only
 * what moves the group on is. */
static struct redis_array take_stream(struct served *s, struct slice key, bool fresh, bool moved)
{
    struct redis_array a = {.left = 0}, before = s->streams;
    struct slice element, name;
    if (!fresh)
        s->history--;
    else if (!moved || s->streams.left <= s->history)
        return a;
    bool taken = redis_array_next(&s->streams, &element) && redis_array_open(element, &a) &&
                 redis_array_next(&a, &element) && resp_reply_bulk(element, &name) &&
                 slice_eq(name, key) && redis_array_next(&a, &element) &&
                 redis_array_open(element, &a);
    if (taken)
        return a;
    s->streams = before;
    return (struct redis_array){.left = 0};
}

/* A pending entry may be gone from its stream: it wasn't delivered again. */
static struct redis_array without_gone(struct redis_array entries, struct buf *kept)
{
    struct redis_array entry, left = {.left = 0};
    struct slice element, fields;
    while (redis_array_next(&entries, &element)) {
        if (redis_array_open(element, &entry) && redis_array_next(&entry, &fields) &&
            redis_array_next(&entry, &fields) && redis_is_nil(fields))
            continue;
        buf_add(kept, element.ptr, element.len);
        left.left++;
    }
    left.rest = buf_slice(kept);
    return left;
}

static int tell_entries(const struct effect_consumer *c, struct redis_array entries,
                        struct slice rows_reply, uint64_t now_ms, struct buf *out)
{
    struct redis_array rows = {.left = 0};
    struct buf kept = BUF_INIT;
    if (rows_reply.len && !redis_array_open(rows_reply, &rows))
        return -1;
    int n = effect_tell_pending(c, without_gone(entries, &kept), rows, now_ms, out);
    buf_fini(&kept);
    return n;
}

/* rows: of history, else empty. */
static int tell_stream(const struct effect_consumer *c, const struct group *before,
                       const struct group *behind, struct redis_array entries, struct slice rows,
                       uint64_t now_ms, struct buf *out)
{
    int n = tell_entries(c, entries, rows, now_ms, out);
    if (n == 0 && !slice_eq(before->consumers, behind->consumers))
        n = tell_consumer(c, out);
    if (n < 0 || (slice_eq(before->last, behind->last) && slice_eq(before->read, behind->read)))
        return n;
    return n + tell_position(c, behind, out);
}

int effect_group_tell(const struct resp_command *cmd, const struct effect_replies *r,
                      struct buf *out)
{
    struct xread_parts p;
    struct served s = {.history = 0};
    const struct slice *behind = r->behind;
    int told = 0;
    if (resp_reply_is_error(r->own) || !command_xread_parts(cmd, &p))
        return 0;
    (void)!redis_array_open(r->own, &s.streams); /* nil: nothing was served */
    for (size_t i = 0; i < p.n; i++)
        s.history += !is_new(id_at(cmd, &p, i));
    for (size_t i = 0; i < p.n; i++) {
        const struct effect_consumer c = consumer_of(cmd, &p, i);
        bool fresh = is_new(id_at(cmd, &p, i));
        struct group was, is;
        bool known = find_group(r->before[i], c.group, &was);
        known = find_group(*behind++, c.group, &is) && known;
        struct slice rows = fresh ? slice_of(NULL, 0) : *behind++;
        if (!known)
            return -1;
        struct redis_array entries = take_stream(&s, c.key, fresh, !slice_eq(was.last, is.last));
        if (fresh && p.noack)
            entries.left = 0;
        int n = tell_stream(&c, &was, &is, entries, rows, r->now_ms, out);
        if (n < 0)
            return -1;
        told += n;
    }
    return told;
}

/* ---- what became of it isn't known -------------------------------------------------------------
 */

unsigned effect_group_recovery_probes(const struct resp_command *cmd, struct buf *out)
{
    struct xread_parts p;
    if (!command_xread_parts(cmd, &p) || !p.group)
        return 0;
    for (size_t i = 0; i < p.n; i++) {
        const struct effect_consumer c = consumer_of(cmd, &p, i);
        probe_groups(c.key, out);
        probe_rows(&c, slice_str("-"), slice_str(ALL_OF_THEM), out);
    }
    return 2 * (unsigned)p.n;
}

/* The consumer's entries and where the group stands. No such group: it did nothing. */
int effect_group_recover(const struct resp_command *cmd, const struct slice *replies,
                         uint64_t now_ms, struct buf *out)
{
    struct xread_parts p;
    int told = 0;
    if (!command_xread_parts(cmd, &p))
        return 0;
    for (size_t i = 0; i < p.n; i++) {
        const struct effect_consumer c = consumer_of(cmd, &p, i);
        struct group is;
        struct redis_array rows;
        if (!find_group(replies[2 * i], c.group, &is))
            continue;
        if (!redis_array_open(replies[2 * i + 1], &rows))
            return -1;
        int n = effect_tell_pending(&c, rows, rows, now_ms, out);
        told += (n ? n : tell_consumer(&c, out)) + tell_position(&c, &is, out);
    }
    return told;
}
