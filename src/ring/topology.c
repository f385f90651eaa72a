#include "ring/topology.h"
#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

struct point {
    uint32_t token;
    uint16_t node;
};

struct ring_rack {
    const char *datacenter, *rack;
    uint8_t number;       /* of its datacenter */
    struct point *points; /* of members, by token */
    size_t npoints;
    struct point *all; /* of members and of those that join, by token; NULL: nobody joins */
    size_t nall;
};

const char *node_state_name(enum node_state s)
{
    static const char *const names[NODE_STATES] = {"UNKNOWN", "JOINING", "NORMAL", "STANDBY",
                                                   "DOWN",    "RESET",   "LEAVING"};
    return s < NODE_STATES ? names[s] : "UNKNOWN";
}

static int by_token(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

static bool same_rack(const struct ring_rack *r, const struct ring_node *n)
{
    return strcmp(r->datacenter, n->datacenter) == 0 && strcmp(r->rack, n->rack) == 0;
}

static void copy_node(struct ring_node *to, const struct ring_node *from)
{
    *to = *from;
    to->address = mem_strdup(from->address);
    to->datacenter = mem_strdup(from->datacenter);
    to->rack = mem_strdup(from->rack);
    to->tokens = mem_dup(from->tokens, from->ntokens * sizeof *from->tokens);
}

static struct ring_rack *rack_of(struct topology *t, const struct ring_node *n)
{
    for (unsigned i = 0; i < t->nracks; i++)
        if (same_rack(&t->racks[i], n))
            return &t->racks[i];
    t->racks = mem_realloc(t->racks, (t->nracks + 1) * sizeof *t->racks);
    struct ring_rack *r = &t->racks[t->nracks++];
    *r = (struct ring_rack){.datacenter = n->datacenter, .rack = n->rack};
    return r;
}

static void add_points(const struct topology *t, unsigned node, struct point **points, size_t *n)
{
    const struct ring_node *of = &t->nodes[node];
    *points = mem_realloc(*points, (*n + of->ntokens) * sizeof **points);
    for (size_t i = 0; i < of->ntokens; i++)
        (*points)[(*n)++] = (struct point){.token = of->tokens[i], .node = (uint16_t)node};
}

static bool add_node(struct topology *t, unsigned node, struct error *e)
{
    const struct ring_node *n = &t->nodes[node];
    if (n->role == RING_GONE)
        return true;
    if (n->ntokens == 0)
        return error_set(e, "node %s has no token; allowed at least one", n->address);
    struct ring_rack *r = rack_of(t, n);
    if (n->role == RING_MEMBER)
        add_points(t, node, &r->points, &r->npoints);
    else
        t->njoining++;
    return true;
}

/* Of the racks where somebody joins. */
static void add_joining(struct topology *t)
{
    for (unsigned i = 0; i < t->n && t->njoining; i++)
        if (t->nodes[i].role == RING_JOINING) {
            struct ring_rack *r = rack_of(t, &t->nodes[i]);
            add_points(t, i, &r->all, &r->nall);
        }
    for (unsigned i = 0; i < t->n && t->njoining; i++) {
        struct ring_rack *r = t->nodes[i].role == RING_MEMBER ? rack_of(t, &t->nodes[i]) : NULL;
        if (r && r->all)
            add_points(t, i, &r->all, &r->nall);
    }
}

/* 0: own rack, 1: own datacenter, 2: elsewhere */
static int distance(const struct topology *t, const struct ring_rack *r)
{
    const struct ring_node *self = &t->nodes[t->self];
    if (strcmp(r->datacenter, self->datacenter) != 0)
        return 2;
    return strcmp(r->rack, self->rack) != 0;
}

static void sort_racks(struct topology *t)
{
    /* insertion sort: few racks, and the order among equals must stay as configured */
    for (unsigned i = 1; i < t->nracks; i++) {
        struct ring_rack r = t->racks[i];
        unsigned at = i;
        for (; at > 0 && distance(t, &t->racks[at - 1]) > distance(t, &r); at--)
            t->racks[at] = t->racks[at - 1];
        t->racks[at] = r;
    }
}

static uint8_t number_of(const struct topology *t, unsigned rack, uint8_t *next)
{
    if (distance(t, &t->racks[rack]) < 2)
        return 0;
    for (unsigned i = 0; i < rack; i++)
        if (strcmp(t->racks[i].datacenter, t->racks[rack].datacenter) == 0)
            return t->racks[i].number;
    return (*next)++;
}

static void number_datacenters(struct topology *t)
{
    uint8_t next = 1;
    for (unsigned i = 0; i < t->nracks; i++)
        t->racks[i].number = number_of(t, i, &next);
    t->datacenters = mem_calloc(t->n, sizeof *t->datacenters);
    for (unsigned i = 0; i < t->n; i++)
        if (t->nodes[i].role != RING_GONE)
            t->datacenters[i] = rack_of(t, &t->nodes[i])->number;
}

static bool check_points(const struct topology *t, const struct ring_rack *r, struct point *points,
                         size_t n, struct error *e)
{
    if (n)
        qsort(points, n, sizeof *points, by_token);
    for (size_t i = 1; i < n; i++) {
        const struct point *a = &points[i - 1], *b = &points[i];
        if (a->token == b->token)
            return error_set(
                e,
                "token %u is found twice in rack %s of %s, at %s and at %s; allowed once "
                "per rack",
                a->token, r->rack, r->datacenter, t->nodes[a->node].address,
                t->nodes[b->node].address);
    }
    return true;
}

static bool build(struct topology *t, struct error *e)
{
    for (unsigned i = 0; i < t->n; i++)
        if (!add_node(t, i, e))
            return false;
    add_joining(t);
    if (t->nracks > RING_REPLICAS_MAX)
        return error_set(e, "%u racks found; allowed at most %d", t->nracks, RING_REPLICAS_MAX);
    if (t->njoining > RING_JOINING_MAX)
        return error_set(e, "%u nodes join at one time; allowed at most %d", t->njoining,
                         RING_JOINING_MAX);
    for (unsigned i = 0; i < t->nracks; i++) {
        struct ring_rack *r = &t->racks[i];
        if (!check_points(t, r, r->points, r->npoints, e) ||
            !check_points(t, r, r->all, r->nall, e))
            return false;
    }
    sort_racks(t);
    number_datacenters(t);
    return true;
}

struct topology *topology_new(const struct ring_node *nodes, unsigned n, unsigned self,
                              struct error *e)
{
    if (n == 0 || n > RING_NODES_MAX) {
        error_set(e, "%u nodes found; allowed 1 to %d", n, RING_NODES_MAX);
        return NULL;
    }
    static uint64_t serial;
    struct topology *t = MEM_NEW(struct topology);
    t->serial = __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED);
    t->n = n;
    t->self = self;
    t->nodes = mem_calloc(n, sizeof *t->nodes);
    for (unsigned i = 0; i < n; i++)
        copy_node(&t->nodes[i], &nodes[i]);
    if (!build(t, e)) {
        topology_free(t);
        return NULL;
    }
    return t;
}

void topology_free(struct topology *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < t->nracks; i++) {
        mem_free(t->racks[i].points);
        mem_free(t->racks[i].all);
    }
    for (unsigned i = 0; i < t->n; i++) {
        const struct ring_node *n = &t->nodes[i];
        mem_free((void *)(uintptr_t)n->address);
        mem_free((void *)(uintptr_t)n->datacenter);
        mem_free((void *)(uintptr_t)n->rack);
        mem_free((void *)(uintptr_t)n->tokens);
    }
    mem_free(t->racks);
    mem_free(t->datacenters);
    mem_free(t->nodes);
    mem_free(t);
}

void topology_reclaim(struct rcu_head *head)
{
    topology_free(container_of_(head, struct topology, rcu));
}

/* The first point at or above token, wrapping; there is one. */
static size_t first_from(const struct point *points, size_t n, uint32_t token)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (points[mid].token < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == n ? 0 : lo;
}

unsigned topology_replicas(const struct topology *t, uint32_t token,
                           uint16_t out[RING_REPLICAS_MAX])
{
    unsigned n = 0;
    for (unsigned i = 0; i < t->nracks; i++) {
        const struct ring_rack *r = &t->racks[i];
        if (r->npoints)
            out[n++] = r->points[first_from(r->points, r->npoints, token)].node;
    }
    return n;
}

static unsigned add_once(uint16_t node, uint16_t *out, unsigned from, unsigned n)
{
    for (unsigned i = from; i < n; i++)
        if (out[i] == node)
            return n;
    out[n] = node;
    return n + 1;
}

unsigned topology_writes(const struct topology *t, uint32_t token, uint16_t out[RING_WRITES_MAX],
                         unsigned *joining)
{
    unsigned replicas = topology_replicas(t, token, out), n = replicas;
    for (unsigned i = 0; i < t->nracks && t->njoining; i++) {
        const struct ring_rack *r = &t->racks[i];
        size_t at = r->nall ? first_from(r->all, r->nall, token) : 0;
        for (size_t k = 0; k < r->nall; k++, at = at + 1 < r->nall ? at + 1 : 0) {
            if (t->nodes[r->all[at].node].role == RING_MEMBER)
                break; /* who joins behind it would own what begins there */
            n = add_once(r->all[at].node, out, replicas, n);
        }
    }
    *joining = n - replicas;
    return n;
}

static bool has_token(const struct ring_node *n, uint32_t token)
{
    for (size_t i = 0; i < n->ntokens; i++)
        if (n->tokens[i] == token)
            return true;
    return false;
}

bool ring_same_place(const struct ring_node *a, const struct ring_node *b)
{
    if (strcmp(a->datacenter, b->datacenter) != 0 || strcmp(a->rack, b->rack) != 0 ||
        a->ntokens != b->ntokens)
        return false;
    size_t k = 0;
    while (k < b->ntokens && has_token(a, b->tokens[k]))
        k++;
    return k == b->ntokens;
}

int topology_find_place(const struct topology *t, const char *datacenter, const char *rack,
                        const uint32_t *tokens, size_t ntokens)
{
    const struct ring_node place = {
        .datacenter = datacenter, .rack = rack, .tokens = tokens, .ntokens = ntokens};
    for (unsigned i = 0; i < t->n; i++)
        if (t->nodes[i].role != RING_GONE && ring_same_place(&t->nodes[i], &place))
            return (int)i;
    return -1;
}

int topology_find_id(const struct topology *t, const char *id)
{
    for (unsigned i = 0; i < t->n; i++)
        if (*id && t->nodes[i].role != RING_GONE && strcmp(t->nodes[i].id, id) == 0)
            return (int)i;
    return -1;
}

double topology_share(const struct topology *t, unsigned node, uint32_t token)
{
    for (unsigned i = 0; i < t->nracks; i++) {
        const struct ring_rack *r = &t->racks[i];
        if (!same_rack(r, &t->nodes[node]))
            continue;
        for (size_t k = 0; k < r->npoints; k++) {
            if (r->points[k].token != token || r->points[k].node != node)
                continue;
            if (r->npoints == 1)
                return 1.0;
            uint32_t before = r->points[k ? k - 1 : r->npoints - 1].token;
            return (double)(uint32_t)(token - before) / 4294967296.0;
        }
    }
    return 0;
}
