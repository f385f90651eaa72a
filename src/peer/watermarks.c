#include "peer/watermarks.h"
#include "core/mem.h"
#include "ring/topology.h"

void watermarks_init(struct watermarks *w, unsigned nodes)
{
    *w = (struct watermarks){.n = nodes, .of = mem_calloc(RING_NODES_MAX, sizeof *w->of)};
}

void watermarks_fini(struct watermarks *w)
{
    mem_free(w->of);
}

void watermarks_heard(struct watermarks *w, unsigned node, uint64_t stamp)
{
    if (w->of[node] != UINT64_MAX) /* it has left: what was on its way doesn't count */
        w->of[node] = stamp;
}

void watermarks_leave(struct watermarks *w, unsigned node)
{
    w->of[node] = UINT64_MAX;
}

void watermarks_forget(struct watermarks *w, unsigned node)
{
    w->of[node] = 0;
}

uint64_t watermarks_lowest(const struct watermarks *w, unsigned self, uint64_t own)
{
    uint64_t lowest = own;
    for (unsigned i = 0; i < w->n; i++)
        if (i != self && w->of[i] < lowest)
            lowest = w->of[i];
    return lowest;
}
