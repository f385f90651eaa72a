#include "request/hedge.h"
#include "core/mem.h"

struct hedge_node {
    struct hedge_times times;
    struct hedge_wait *oldest, *newest;
    struct hedge_node *before, *after; /* in `busy`, while some wait */
};

/* ---- how long answers take
 * ---------------------------------------------------------------------- */

#define LOWEST_BITS 6 /* bucket 0 ends at 64 us */
#define FRESH_MAX   16

static unsigned bucket_of(uint64_t us)
{
    if (us < 1u << LOWEST_BITS)
        return 0;
    unsigned bits = 63u - (unsigned)__builtin_clzll(us);
    unsigned quarter = (unsigned)(us >> (bits - 2)) & 3;
    unsigned i = 1 + (bits - LOWEST_BITS) * 4 + quarter;
    return i < HEDGE_BUCKETS ? i : HEDGE_BUCKETS - 1;
}

/* What is in the bucket took less. */
static uint32_t bucket_end(unsigned i)
{
    if (i == 0)
        return 1u << LOWEST_BITS;
    unsigned bits = LOWEST_BITS + (i - 1) / 4, quarter = (i - 1) % 4;
    return (5 + quarter) << (bits - 2);
}

static void find_p99(struct hedge_times *t)
{
    unsigned below = 0, i = 0;
    t->fresh = 0;
    for (; i < HEDGE_BUCKETS; i++) {
        below += t->bucket[i];
        if (below * 100 >= t->count * 99u)
            break;
    }
    t->p99_us = bucket_end(i);
}

static void age(struct hedge_times *t)
{
    t->count = 0;
    for (unsigned i = 0; i < HEDGE_BUCKETS; i++) {
        t->bucket[i] /= 2;
        t->count = (uint16_t)(t->count + t->bucket[i]);
    }
}

void hedge_times_add(struct hedge_times *t, uint64_t us)
{
    t->bucket[bucket_of(us)]++;
    t->count++;
    t->fresh++;
    if (t->count >= HEDGE_RECENT)
        age(t);
    if (t->count >= HEDGE_SAMPLES && (t->fresh >= FRESH_MAX || t->p99_us == 0))
        find_p99(t);
}

/* ---- what waits
 * --------------------------------------------------------------------------------- */

static struct hedge_node *node_of(struct hedges *h, uint16_t node)
{
    if (node >= h->n) {
        h->node = mem_realloc(h->node, (node + 1u) * sizeof(struct hedge_node *));
        while (h->n <= node)
            h->node[h->n++] = NULL;
    }
    if (!h->node[node])
        h->node[node] = MEM_NEW(struct hedge_node);
    return h->node[node];
}

static void become_busy(struct hedges *h, struct hedge_node *n)
{
    n->before = NULL;
    n->after = h->busy;
    if (h->busy)
        h->busy->before = n;
    h->busy = n;
}

static void become_idle(struct hedges *h, struct hedge_node *n)
{
    *(n->before ? &n->before->after : &h->busy) = n->after;
    if (n->after)
        n->after->before = n->before;
}

static void start_waiting(struct hedges *h, struct hedge_node *n, struct hedge_wait *w)
{
    w->waiting = true;
    w->older = n->newest;
    w->newer = NULL;
    if (n->newest)
        n->newest->newer = w;
    else
        n->oldest = w;
    n->newest = w;
    if (n->oldest == w)
        become_busy(h, n);
}

static void stop_waiting(struct hedges *h, struct hedge_node *n, struct hedge_wait *w)
{
    w->waiting = false;
    *(w->older ? &w->older->newer : &n->oldest) = w->newer;
    *(w->newer ? &w->newer->older : &n->newest) = w->older;
    if (!n->oldest)
        become_idle(h, n);
}

void hedges_ask(struct hedges *h, struct hedge_wait *w, uint16_t node, bool may, uint64_t now_us)
{
    struct hedge_node *n = node_of(h, node);
    w->asked_us = now_us;
    w->node = node;
    if (h->credit < HEDGE_BURST * HEDGE_COST)
        h->credit++;
    if (may && n->times.p99_us)
        start_waiting(h, n, w);
}

void hedges_over(struct hedges *h, struct hedge_wait *w)
{
    if (w->waiting)
        stop_waiting(h, h->node[w->node], w);
}

void hedges_answered(struct hedges *h, struct hedge_wait *w, uint64_t now_us)
{
    hedges_over(h, w);
    if (w->asked_us)
        hedge_times_add(&h->node[w->node]->times, now_us - w->asked_us);
    w->asked_us = 0;
}

/* ---- whose turn it is
 * -------------------------------------------------------------------------------------- */

static uint64_t node_due(const struct hedge_node *n)
{
    uint64_t usual = n->times.p99_us;
    return n->oldest->asked_us + (usual > HEDGE_LEAST_US ? usual : HEDGE_LEAST_US);
}

/* The busy node whose oldest read is due first; NULL: none is busy. */
static struct hedge_node *first_due(const struct hedges *h)
{
    struct hedge_node *first = h->busy;
    for (struct hedge_node *n = h->busy; n; n = n->after)
        if (node_due(n) < node_due(first))
            first = n;
    return first;
}

uint64_t hedges_due(const struct hedges *h)
{
    const struct hedge_node *n = h->credit >= HEDGE_COST ? first_due(h) : NULL;
    return n ? node_due(n) : HEDGE_NEVER;
}

struct hedge_wait *hedges_next(struct hedges *h, uint64_t now_us)
{
    if (hedges_due(h) > now_us)
        return NULL;
    struct hedge_node *n = first_due(h);
    struct hedge_wait *w = n->oldest;
    stop_waiting(h, n, w);
    h->credit -= HEDGE_COST;
    return w;
}

void hedges_fini(struct hedges *h)
{
    for (unsigned i = 0; i < h->n; i++)
        mem_free(h->node[i]);
    mem_free(h->node);
    *h = (struct hedges){0};
}
