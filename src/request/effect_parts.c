#include "request/effect_parts.h"
#include <inttypes.h>
#include <stdio.h>

#define PART_ARGS  1024u          /* of one SREM, XCLAIM or XACK; a large pop is several */
#define PART_BYTES (1024u * 1024) /* and no more bytes than that, but for a single one */

void effect_parts_cut(struct effect_parts *p)
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

void effect_parts_add(struct effect_parts *p, struct slice arg)
{
    if (p->n >= PART_ARGS || (p->n && p->args.len + arg.len > PART_BYTES))
        effect_parts_cut(p);
    resp_add_bulk(&p->args, arg);
    p->n++;
}

int effect_parts_end(struct effect_parts *p)
{
    effect_parts_cut(p);
    buf_fini(&p->args);
    return p->made;
}

struct slice effect_number(char text[24], uint64_t v)
{
    int n = snprintf(text, 24, "%" PRIu64, v);
    return slice_of(text, (size_t)n);
}

static bool read_part(const uint8_t *from, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n; i++)
        if (from[i] < '0' || from[i] > '9' || __builtin_mul_overflow(*v, 10u, v) ||
            __builtin_add_overflow(*v, (uint64_t)(from[i] - '0'), v))
            return false;
    return n > 0;
}

bool effect_read_id(struct slice text, struct effect_id *id)
{
    const uint8_t *dash = text.len ? memchr(text.ptr, '-', text.len) : NULL;
    size_t n = dash ? (size_t)(dash - text.ptr) : text.len;
    id->seq = 0;
    return read_part(text.ptr, n, &id->ms) &&
           (!dash || read_part(dash + 1, text.len - n - 1, &id->seq));
}

bool effect_same_id(struct slice a, struct slice b)
{
    struct effect_id x, y;
    return effect_read_id(a, &x) && effect_read_id(b, &y) && x.ms == y.ms && x.seq == y.seq;
}

bool effect_id_of(struct slice entry, struct slice *id)
{
    struct redis_array a;
    return resp_reply_bulk(entry, id) ||
           (redis_array_open(entry, &a) && redis_array_next(&a, &entry) &&
            resp_reply_bulk(entry, id));
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
        if (!resp_reply_bulk(field[0], &row) || !effect_same_id(row, id))
            continue;
        return resp_reply_int(field[3], &n) && n > 0 ? (uint64_t)n : 1;
    }
    return 1;
}

/* Entries that follow one another and were delivered equally often go together. */
int effect_tell_pending(const struct effect_consumer *c, struct redis_array entries,
                        struct redis_array rows, uint64_t now_ms, struct buf *out)
{
    char time[24], times[24];
    struct slice front[] = {slice_str("XCLAIM"), c->key, c->group, c->name, slice_str("0")};
    struct slice behind[] = {slice_str("TIME"),       effect_number(time, now_ms),
                             slice_str("RETRYCOUNT"), slice_str("1"),
                             slice_str("FORCE"),      slice_str("JUSTID")};
    struct effect_parts p = {
        .out = out, .front = front, .nfront = 5, .behind = behind, .nbehind = 6};
    struct slice entry, id;
    uint64_t before = 0;
    while (redis_array_next(&entries, &entry)) {
        if (!effect_id_of(entry, &id))
            continue;
        uint64_t n = deliveries(&rows, id);
        if (n != before)
            effect_parts_cut(&p);
        behind[3] = effect_number(times, before = n);
        effect_parts_add(&p, id);
    }
    return effect_parts_end(&p);
}
