#include "store/redis_numbers.h"
#include "core/mem.h"
#include "store/redis_reply.h"
#include "store/stamps.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void redis_numbers_fini(struct redis_numbers *m)
{
    mem_free(m->all);
    mem_free(m->touched);
    *m = (struct redis_numbers){0};
}

/* The index of this id, which is made known if it isn't. A linear search: once per node and
 * connection, and there are at most some thousand. */
static uint32_t find_or_add(struct redis_numbers *m, struct slice id)
{
    assert(id.len <= REDIS_ID_MAX);
    uint64_t hash = stamps_hash(id);
    for (size_t i = 0; i < m->n; i++)
        if (m->all[i].id_hash == hash && slice_eq(id, slice_str(m->all[i].id)))
            return (uint32_t)i;
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 16;
        m->all = mem_realloc(m->all, m->cap * sizeof *m->all);
    }
    struct redis_number *fresh = &m->all[m->n];
    *fresh = (struct redis_number){.id_hash = hash};
    memcpy(fresh->id, id.ptr, id.len);
    return (uint32_t)m->n++;
}

/* As snprintf's PRIu64 writes it, nothing else. Above INT64_MAX are the numbers of all starts from
 * 2038 on: their upper half is the time. */
static bool parse_number(struct slice text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.ptr[i] - (unsigned)'0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool redis_numbers_load(struct redis_numbers *m, struct slice reply)
{
    struct redis_array a;
    struct slice element, id, value;
    if (!redis_array_open(reply, &a))
        return false;
    for (size_t i = 0; i < m->n; i++)
        m->all[i].last = 0;
    while (redis_array_next(&a, &element)) {
        uint64_t v;
        if (!resp_reply_bulk(element, &id) || !redis_array_next(&a, &element) ||
            !resp_reply_bulk(element, &value))
            return false;
        if (id.len == 0 || id.len > REDIS_ID_MAX || slice_eq(id, slice_str(REDIS_FENCE_FIELD)) ||
            !parse_number(value, &v))
            continue; /* nobody but us writes there; a stranger's field is no number */
        uint32_t i = find_or_add(m, id); /* may move m->all */
        m->all[i].last = v;
    }
    return a.left == 0;
}

uint64_t redis_numbers_name(struct redis_numbers *m, unsigned source, const char *id)
{
    assert(source < STORE_SOURCES_MAX);
    uint32_t i = find_or_add(m, slice_str(id));
    m->of_source[source] = i + 1;
    return m->all[i].last;
}

struct redis_number *redis_numbers_of(struct redis_numbers *m, unsigned source)
{
    assert(source < STORE_SOURCES_MAX && m->of_source[source]);
    return &m->all[m->of_source[source] - 1];
}

uint64_t redis_numbers_by_hash(const struct redis_numbers *m, uint64_t id_hash)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->all[i].id_hash == id_hash)
            return m->all[i].last;
    return 0;
}

static void touch(struct redis_numbers *m, struct redis_number *x, uint64_t next)
{
    if (!x->next) {
        if (m->n_touched == m->touched_cap) {
            m->touched_cap = m->touched_cap ? m->touched_cap * 2 : 16;
            m->touched = mem_realloc(m->touched, m->touched_cap * sizeof *m->touched);
        }
        m->touched[m->n_touched++] = (uint32_t)(x - m->all);
    }
    if (next > x->next)
        x->next = next;
}

void redis_numbers_move(struct redis_numbers *m, unsigned source, uint64_t seq)
{
    if (seq)
        touch(m, redis_numbers_of(m, source), seq);
}

bool redis_numbers_encode(const struct redis_numbers *m, struct buf *out)
{
    if (m->n_touched == 0)
        return false;
    resp_add_array(out, 2 + 2 * m->n_touched);
    resp_add_bulk_str(out, "HSET");
    resp_add_bulk_str(out, REDIS_NUMBERS_KEY);
    for (size_t i = 0; i < m->n_touched; i++) {
        const struct redis_number *x = &m->all[m->touched[i]];
        char text[24];
        snprintf(text, sizeof text, "%" PRIu64, x->next);
        resp_add_bulk_str(out, x->id);
        resp_add_bulk_str(out, text);
    }
    return true;
}

void redis_numbers_encode_all(const struct redis_numbers *m, const char *fence, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->all[i].last || m->all[i].next;
    resp_add_array(out, 4 + 2 * n);
    resp_add_bulk_str(out, "HSET");
    resp_add_bulk_str(out, REDIS_NUMBERS_KEY);
    resp_add_bulk_str(out, REDIS_FENCE_FIELD);
    resp_add_bulk_str(out, fence);
    for (size_t i = 0; i < m->n; i++) {
        const struct redis_number *x = &m->all[i];
        char text[24];
        if (!x->last && !x->next)
            continue;
        snprintf(text, sizeof text, "%" PRIu64, x->next ? x->next : x->last);
        resp_add_bulk_str(out, x->id);
        resp_add_bulk_str(out, text);
    }
}

void redis_numbers_settle(struct redis_numbers *m, bool applied)
{
    for (size_t i = 0; i < m->n_touched; i++) {
        struct redis_number *x = &m->all[m->touched[i]];
        if (applied)
            x->last = x->next;
        x->next = 0;
    }
    m->n_touched = 0;
}
