#include "request/batch.h"
#include "core/mem.h"
#include <string.h>

#define REPLIES_KEEP (1024u * 1024)
#define ITEMS_MIN    64

struct mail_write *mail_write_new(unsigned replicas)
{
    struct mail_write *m = mem_calloc(1, sizeof *m + replicas * sizeof m->replica[0]);
    m->msg.type = MAIL_WRITE;
    m->room = (uint16_t)replicas;
    return m;
}

void mail_write_free(struct mail_write *m)
{
    buf_fini(&m->command);
    buf_fini(&m->chosen);
    buf_fini(&m->own_reply);
    mem_free(m);
}

void mail_inbound_free(struct mail_inbound *m)
{
    blob_unref(m->frames);
    mem_free(m);
}

void mail_mend_free(struct mail_mend *m)
{
    blob_unref(m->command);
    mem_free(m);
}

struct item *batch_add(struct batch *b)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : ITEMS_MIN;
        b->items = mem_realloc(b->items, cap * sizeof *b->items);
        memset(b->items + b->cap, 0, (cap - b->cap) * sizeof *b->items);
        b->cap = cap;
    }
    struct item *it = &b->items[b->n++];
    if (b->n > b->peak)
        b->peak = b->n;
    *it = (struct item){.cmd = it->cmd};
    return it;
}

void batch_keep(struct batch *b, struct mail_inbound *m)
{
    if (b->ninbound == b->cap_inbound) {
        b->cap_inbound = b->cap_inbound ? b->cap_inbound * 2 : 16;
        b->inbound = mem_realloc(b->inbound, b->cap_inbound * sizeof *b->inbound);
    }
    b->inbound[b->ninbound++] = m;
}

void batch_remove(struct batch *b, bool (*drop)(void *arg, struct item *it), void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (drop(arg, &b->items[i]))
            continue;
        struct item gone = b->items[kept]; /* its cmd's memory stays with the batch */
        b->items[kept++] = b->items[i];
        if (kept - 1 != i)
            b->items[i] = gone;
    }
    b->n = kept;
}

static unsigned source_of(const struct item *it)
{
    return it->kind == ITEM_OWN || it->kind == ITEM_PROBE ? 0 : it->node + 1u;
}

static void fill_write(struct item *it, struct store_write *to)
{
    *to = (struct store_write){.skip = it->kind == ITEM_SKIP || !it->spec,
                               .source = source_of(it),
                               .mend = it->mend ? &it->mend->mend : NULL,
                               .seq = it->seq,
                               .stamp = it->stamp,
                               .tag = it->tag,
                               .spec = it->spec,
                               .cmd = &it->cmd};
    it->at_store = to;
}

size_t batch_for_store(struct batch *b)
{
    if (b->cap_writes < b->n) {
        b->cap_writes = b->cap;
        b->store.writes = mem_realloc(b->store.writes, b->cap_writes * sizeof *b->store.writes);
    }
    b->store.n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (!b->items[i].passing)
            fill_write(&b->items[i], &b->store.writes[b->store.n++]);
    return b->store.n;
}

void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->ninbound; i++)
        mail_inbound_free(b->inbound[i]);
    b->n = b->ninbound = 0;
    buf_reset(&b->store.replies, REPLIES_KEEP);
}

void batch_fini(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].order)
            mail_write_free(b->items[i].order);
        if (b->items[i].mend)
            mail_mend_free(b->items[i].mend);
    }
    batch_clear(b);
    for (size_t i = 0; i < b->cap; i++)
        resp_command_fini(&b->items[i].cmd);
    mem_free(b->items);
    mem_free(b->inbound);
    mem_free(b->store.writes);
    buf_fini(&b->store.replies);
    *b = (struct batch){0};
}

void batch_tidy(struct batch *b)
{
    bool spacious = b->cap > ITEMS_MIN && b->peak < b->cap / 4;
    b->peak = b->n;
    if (b->n || b->ninbound || !spacious)
        return;
    batch_fini(b);
}
