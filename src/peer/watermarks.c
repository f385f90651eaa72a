#include "peer/watermarks.h"
#include "core/mem.h"

void watermarks_init(struct watermarks *w, unsigned nodes, uint64_t now_ms)
{
    *w = (struct watermarks){.n = nodes, .of = mem_calloc(nodes, sizeof *w->of)};
    for (unsigned i = 0; i < nodes; i++)
        watermarks_forget(w, i, now_ms);
}

void watermarks_fini(struct watermarks *w)
{
    mem_free(w->of);
}

void watermarks_heard(struct watermarks *w, unsigned node, uint64_t stamp, uint64_t now_ms)
{
    w->of[node] = (struct watermark){.stamp = stamp, .heard_ms = now_ms};
}

void watermarks_forget(struct watermarks *w, unsigned node, uint64_t now_ms)
{
    watermarks_heard(w, node, 0, now_ms);
}

uint64_t watermarks_lowest(const struct watermarks *w, unsigned self, uint64_t own,
                           uint64_t window_ms, uint64_t now_ms)
{
    uint64_t lowest = own;
    for (unsigned i = 0; i < w->n; i++) {
        const struct watermark *m = &w->of[i];
        if (i != self && now_ms - m->heard_ms <= window_ms && m->stamp < lowest)
            lowest = m->stamp;
    }
    return lowest;
}
