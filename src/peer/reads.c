#include "peer/reads.h"
#include "core/mem.h"
#include <string.h>

#define ROOM_FIRST 4096         /* bytes: some tens of small reads */
#define LARGE      (16u * 1024) /* bytes that are copied only once, on the way to who keeps them */

/* ---- packing ----------------------------------------------------------------------------------
 */

void reads_add(struct mail_reads **m, struct actor *worker, uint16_t node,
               const struct read_item *it)
{
    if (!*m) {
        *m = MEM_NEW(struct mail_reads);
        (*m)->msg.type = MAIL_READS;
        (*m)->worker = worker;
        (*m)->node = node;
        buf_reserve(&(*m)->items, ROOM_FIRST);
    }
    struct read_item head = *it; /* its pointer to the bytes means nothing there */
    head.blob = it->bytes.len >= LARGE ? blob_new(it->bytes.ptr, it->bytes.len) : NULL;
    buf_add(&(*m)->items, &head, sizeof head);
    if (!head.blob)
        buf_add(&(*m)->items, it->bytes.ptr, it->bytes.len);
    (*m)->large |= head.blob != NULL;
}

bool reads_next(const struct mail_reads *m, size_t *at, struct read_item *it)
{
    if (*at >= m->items.len)
        return false;
    const uint8_t *p = buf_head(&m->items) + *at;
    memcpy(it, p, sizeof *it);
    it->bytes.ptr = it->blob ? it->blob->data : p + sizeof *it;
    *at += sizeof *it + (it->blob ? 0 : it->bytes.len);
    return true;
}

struct blob *read_item_keep(const struct read_item *it)
{
    return it->blob ? blob_ref(it->blob) : blob_new(it->bytes.ptr, it->bytes.len);
}

void reads_send(struct mail_reads **m, struct actor *to)
{
    if (*m)
        actor_send(to, &(*m)->msg);
    *m = NULL;
}

void reads_free(struct mail_reads *m)
{
    struct read_item it;
    if (!m)
        return;
    for (size_t at = 0; m->large && reads_next(m, &at, &it);)
        blob_unref(it.blob);
    buf_fini(&m->items);
    mem_free(m);
}

/* ---- what waits for an answer -----------------------------------------------------------------
 */

static struct carried_read *place(const struct carried *c, uint64_t id)
{
    return &c->at[id & (c->cap - 1)];
}

void carried_fini(struct carried *c)
{
    mem_free(c->at);
    *c = (struct carried){0};
}

static void grow(struct carried *c)
{
    struct carried wider = {.cap = c->cap ? 2 * c->cap : 64, .first = c->first, .next = c->next};
    wider.at = mem_calloc(wider.cap, sizeof *wider.at);
    for (uint64_t id = c->first; id < c->next; id++)
        *place(&wider, id) = *place(c, id);
    mem_free(c->at);
    *c = wider;
}

uint64_t carried_put(struct carried *c, const struct carried_read *r)
{
    if (c->next - c->first == c->cap)
        grow(c);
    *place(c, c->next) = *r;
    return c->next++;
}

bool carried_is_full(const struct carried *c)
{
    return c->next - c->first >= CARRIED_MAX;
}

static void pass_answered(struct carried *c)
{
    while (c->first < c->next && !place(c, c->first)->worker)
        c->first++;
}

bool carried_take(struct carried *c, uint64_t id, struct carried_read *r)
{
    if (id < c->first || id >= c->next || !place(c, id)->worker)
        return false;
    *r = *place(c, id);
    place(c, id)->worker = NULL;
    pass_answered(c);
    return true;
}

bool carried_pop(struct carried *c, struct carried_read *r)
{
    return carried_take(c, c->first, r);
}
