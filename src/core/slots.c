#include "core/slots.h"
#include "core/mem.h"

#define SLOTS_MIN 64u

void slots_fini(struct slots *s)
{
    mem_free(s->slot);
    *s = (struct slots){0};
}

uint64_t slots_put(struct slots *s, void *ptr)
{
    uint32_t i;
    if (s->free_head) {
        i = s->free_head - 1;
        s->free_head = s->slot[i].next_free;
    } else {
        if (s->n == s->cap) {
            s->cap = s->cap ? s->cap * 2 : SLOTS_MIN;
            s->slot = mem_realloc(s->slot, s->cap * sizeof *s->slot);
        }
        i = s->n++;
        s->slot[i].generation = s->born;
    }
    s->slot[i].ptr = ptr;
    s->slot[i].generation++;
    s->used++;
    return (uint64_t)s->slot[i].generation << 32 | i;
}

void *slots_get(const struct slots *s, uint64_t ticket)
{
    uint32_t i = (uint32_t)ticket;
    if (i >= s->n || s->slot[i].generation != (uint32_t)(ticket >> 32))
        return NULL;
    return s->slot[i].ptr;
}

void slots_drop(struct slots *s, uint64_t ticket)
{
    uint32_t i = (uint32_t)ticket;
    if (!slots_get(s, ticket))
        return;
    s->slot[i].ptr = NULL;
    s->slot[i].next_free = s->free_head;
    s->free_head = i + 1;
    s->used--;
}

void slots_rest(struct slots *s)
{
    if (s->used || s->cap <= SLOTS_MIN)
        return;
    uint32_t born = s->born;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->slot[i].generation > born)
            born = s->slot[i].generation;
    mem_free(s->slot);
    *s = (struct slots){.born = born};
}

void *slots_next(const struct slots *s, uint32_t *at)
{
    while (*at < s->n) {
        void *p = s->slot[(*at)++].ptr;
        if (p)
            return p;
    }
    return NULL;
}
