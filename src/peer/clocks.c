#include "peer/clocks.h"
#include "core/mem.h"
#include "ring/topology.h"
#include <stdlib.h>

void clocks_init(struct clocks *c, unsigned nodes, uint64_t fresh_ms)
{
    *c = (struct clocks){.n = nodes,
                         .fresh_ms = fresh_ms,
                         .of = mem_calloc(RING_NODES_MAX, sizeof *c->of),
                         .sorted = mem_calloc(RING_NODES_MAX, sizeof *c->sorted)};
}

void clocks_fini(struct clocks *c)
{
    mem_free(c->of);
    mem_free(c->sorted);
}

void clocks_heard(struct clocks *c, unsigned node, int64_t ahead_ms, uint64_t now_ms)
{
    c->of[node] = (struct peer_clock){.ahead_ms = ahead_ms, .heard_ms = now_ms, .heard = true};
}

void clocks_forget(struct clocks *c, unsigned node)
{
    c->of[node] = (struct peer_clock){0};
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void clocks_settle(struct clocks *c, uint64_t now_ms)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->n; i++)
        if (c->of[i].heard && now_ms - c->of[i].heard_ms <= c->fresh_ms)
            c->sorted[n++] = c->of[i].ahead_ms;
    c->known = n > 0;
    if (n == 0)
        return;
    qsort(c->sorted, n, sizeof *c->sorted, by_value);
    c->low = c->sorted[(n - 1) / 2];
    c->high = c->sorted[n / 2];
}

int64_t clocks_median(const struct clocks *c, int64_t ahead_ms)
{
    return ahead_ms - c->low < c->high - ahead_ms ? c->low : c->high;
}

int64_t clocks_of(const struct clocks *c, unsigned node)
{
    return c->of[node].ahead_ms;
}
