#include "ring/heirs.h"
#include "core/mem.h"
#include <string.h>

struct heirs {
    struct topology *then;
    unsigned departed;
    int *now_of; /* by node of `then`: its index now; -1: it has left */
};

bool heirs_same_rack(const struct ring_node *a, const struct ring_node *b)
{
    return strcmp(a->rack, b->rack) == 0 && strcmp(a->datacenter, b->datacenter) == 0;
}

static int find_now(const struct topology *now, const struct ring_node *n)
{
    int known = topology_find_id(now, n->id);
    return known >= 0 ? known
                      : topology_find_place(now, n->datacenter, n->rack, n->tokens, n->ntokens);
}

struct heirs *heirs_new(const struct topology *then, unsigned departed, const struct topology *now)
{
    struct error ignored;
    struct topology *copy = topology_new(then->nodes, then->n, then->self, &ignored);
    if (!copy)
        return NULL;
    struct heirs *h = MEM_NEW(struct heirs);
    h->then = copy;
    h->departed = departed;
    h->now_of = mem_calloc(then->n, sizeof *h->now_of);
    for (unsigned i = 0; i < then->n; i++)
        h->now_of[i] = find_now(now, &then->nodes[i]);
    h->now_of[departed] = -1;
    return h;
}

void heirs_free(struct heirs *h)
{
    if (!h)
        return;
    topology_free(h->then);
    mem_free(h->now_of);
    mem_free(h);
}

/* Its holders then. In the departed node's rack that is the departed node, whatever the tokens say:
 * the write lies in its log. */
static unsigned holders_then(const struct heirs *h, uint32_t token, uint16_t out[RING_REPLICAS_MAX])
{
    const struct ring_node *nodes = h->then->nodes;
    unsigned n = topology_replicas(h->then, token, out);
    for (unsigned i = 0; i < n; i++)
        if (heirs_same_rack(&nodes[out[i]], &nodes[h->departed]))
            out[i] = (uint16_t)h->departed;
    return n;
}

static bool held_it(const struct heirs *h, const uint16_t *then, unsigned n, unsigned node)
{
    for (unsigned i = 0; i < n; i++)
        if (h->now_of[then[i]] == (int)node)
            return true;
    return false;
}

static bool rack_before(const struct ring_node *a, const struct ring_node *b)
{
    int dc = strcmp(a->datacenter, b->datacenter);
    return dc ? dc < 0 : strcmp(a->rack, b->rack) < 0;
}

static unsigned in_charge(const struct heirs *h, const uint16_t *then, unsigned n,
                          const struct ring_node *heir)
{
    const struct ring_node *nodes = h->then->nodes;
    int first = -1;
    for (unsigned i = 0; i < n; i++) {
        if (h->now_of[then[i]] >= 0)
            continue;
        if (heirs_same_rack(&nodes[then[i]], heir))
            return then[i];
        if (first < 0 || rack_before(&nodes[then[i]], &nodes[first]))
            first = then[i];
    }
    return (unsigned)first; /* the departed node is among them */
}

unsigned heirs_of(const struct heirs *h, const struct topology *now, uint32_t token,
                  uint16_t out[RING_REPLICAS_MAX])
{
    uint16_t then[RING_REPLICAS_MAX], holders[RING_REPLICAS_MAX];
    unsigned nthen = holders_then(h, token, then), n = topology_replicas(now, token, holders);
    unsigned heirs = 0;
    for (unsigned i = 0; i < n; i++)
        if (!held_it(h, then, nthen, holders[i]) &&
            in_charge(h, then, nthen, &now->nodes[holders[i]]) == h->departed)
            out[heirs++] = holders[i];
    return heirs;
}
