#include "ring/tellers.h"
#include "core/mem.h"
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define STEP_BITS    18u
#define INSTEAD_BITS 4u
#define RING_BITS    5u
#define INSTEAD_MAX  ((1u << INSTEAD_BITS) - 1)

/* Nodes are told apart by their rank, which is the same at all nodes: by rack, then by their lowest
 * token. Their indexes in a topology aren't. */
struct place {
    uint32_t token;
    uint16_t rank;
};

/* One rack: its members' tokens, in order. */
struct level {
    const char *datacenter, *rack; /* while it is made */
    bool local;
    struct place *places;
    size_t n;
};

struct step {
    uint32_t owners; /* index of a row of `rows` */
    uint16_t depth;
};

struct tellers {
    unsigned refs;
    uint64_t serial;
    unsigned ring; /* RING_BITS of a hash */
    unsigned nlevels;
    struct level levels[RING_REPLICAS_MAX];
    uint16_t *nodes; /* by rank */
    unsigned nranks;
    uint16_t *rows; /* nlevels owners each, sorted, no two alike */
    size_t nrows;
    struct step *steps;
    unsigned nsteps;
};

/* ---- racks -------------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
    const struct level *x = a, *y = b;
    if (x->local != y->local)
        return x->local ? -1 : 1;
    int order = strcmp(x->datacenter, y->datacenter);
    return order ? order : strcmp(x->rack, y->rack);
}

static int by_token(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

static struct level *level_of(struct tellers *t, const struct topology *ring, unsigned node)
{
    const struct ring_node *n = &ring->nodes[node];
    for (unsigned i = 0; i < t->nlevels; i++)
        if (strcmp(t->levels[i].datacenter, n->datacenter) == 0 &&
            strcmp(t->levels[i].rack, n->rack) == 0)
            return &t->levels[i];
    struct level *l = &t->levels[t->nlevels++];
    *l = (struct level){.datacenter = n->datacenter,
                        .rack = n->rack,
                        .local = topology_datacenter(ring, node) == 0};
    return l;
}

static void add_levels(struct tellers *t, const struct topology *ring)
{
    for (unsigned i = 0; i < ring->n; i++) {
        const struct ring_node *n = &ring->nodes[i];
        if (n->role != RING_MEMBER)
            continue;
        struct level *l = level_of(t, ring, i);
        l->places = mem_realloc(l->places, (l->n + n->ntokens) * sizeof *l->places);
        for (size_t k = 0; k < n->ntokens; k++)
            l->places[l->n++] = (struct place){.token = n->tokens[k], .rank = (uint16_t)i};
    }
    qsort(t->levels, t->nlevels, sizeof t->levels[0], by_name);
    for (unsigned i = 0; i < t->nlevels; i++)
        qsort(t->levels[i].places, t->levels[i].n, sizeof t->levels[i].places[0], by_token);
}

/* So far the places have indexes. */
static void rank_nodes(struct tellers *t, const struct topology *ring)
{
    uint16_t *ranks = mem_calloc(ring->n, sizeof *ranks); /* by index, plus one; 0: none yet */
    t->nodes = mem_calloc(ring->n, sizeof *t->nodes);
    for (unsigned i = 0; i < t->nlevels; i++)
        for (size_t k = 0; k < t->levels[i].n; k++) {
            struct place *p = &t->levels[i].places[k];
            uint16_t node = p->rank;
            if (!ranks[node]) {
                t->nodes[t->nranks++] = node;
                ranks[node] = (uint16_t)t->nranks;
            }
            p->rank = (uint16_t)(ranks[node] - 1);
        }
    mem_free(ranks);
}

static unsigned owner(const struct level *l, uint32_t token)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->places[mid].token < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return l->places[lo == l->n ? 0 : lo].rank;
}

/* ---- steps -------------------------------------------------------------------------------------
 */

static size_t row_size(const struct tellers *t)
{
    return t->nlevels * sizeof *t->rows;
}

static uint16_t *row(const struct tellers *t, size_t i)
{
    return t->rows + i * t->nlevels;
}

static int by_owner(const void *a, const void *b, void *arg)
{
    const uint16_t *x = a, *y = b;
    for (unsigned i = 0, n = *(const unsigned *)arg; i < n; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* Between two tokens of any rack all keys have the same owners. */
static void add_rows(struct tellers *t)
{
    size_t n = 0, kept = 0;
    for (unsigned i = 0; i < t->nlevels; i++)
        n += t->levels[i].n;
    t->rows = mem_calloc(n ? n * t->nlevels : 1, sizeof *t->rows);
    for (unsigned i = 0; i < t->nlevels; i++)
        for (size_t k = 0; k < t->levels[i].n; k++, t->nrows++)
            for (unsigned l = 0; l < t->nlevels; l++)
                row(t, t->nrows)[l] = (uint16_t)owner(&t->levels[l], t->levels[i].places[k].token);
    qsort_r(t->rows, t->nrows, row_size(t), by_owner, &t->nlevels);
    for (size_t i = 0; i < t->nrows; i++)
        if (i == 0 || memcmp(row(t, i), row(t, kept - 1), row_size(t)) != 0)
            memmove(row(t, kept++), row(t, i), row_size(t));
    t->nrows = kept;
}

/* How many of its first owners a row has in common with the one before it. */
static unsigned in_common(const struct tellers *t, size_t i)
{
    unsigned n = 0;
    while (i > 0 && n < t->nlevels && row(t, i)[n] == row(t, i - 1)[n])
        n++;
    return n;
}

static size_t count_steps(const struct tellers *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->nrows; i++)
        n += t->nlevels - in_common(t, i);
    return n;
}

static void add_steps(struct tellers *t)
{
    t->steps = mem_calloc(count_steps(t) + 1, sizeof *t->steps);
    for (size_t i = 0; i < t->nrows; i++)
        for (unsigned depth = in_common(t, i); depth < t->nlevels; depth++)
            t->steps[t->nsteps++] =
                (struct step){.owners = (uint32_t)i, .depth = (uint16_t)(depth + 1)};
}

static XXH64_hash_t hash_level(const struct level *l, XXH64_hash_t h)
{
    h = XXH64(l->datacenter, strlen(l->datacenter), h);
    h = XXH64(l->rack, strlen(l->rack), h);
    for (size_t k = 0; k < l->n; k++) {
        const uint32_t place[2] = {l->places[k].token, l->places[k].rank};
        h = XXH64(place, sizeof place, h);
    }
    return h;
}

/* A single node's cursors are its store's. */
static unsigned hash_ring(const struct tellers *t)
{
    XXH64_hash_t h = t->nlevels;
    for (unsigned i = 0; i < t->nlevels; i++)
        h = hash_level(&t->levels[i], h);
    return t->nsteps < 2 ? 0 : (unsigned)(h >> (64 - RING_BITS));
}

struct tellers *tellers_new(const struct topology *ring)
{
    struct tellers *t = MEM_NEW(struct tellers);
    t->refs = 1;
    t->serial = ring->serial;
    add_levels(t, ring);
    rank_nodes(t, ring);
    for (;;) {
        add_rows(t);
        if (count_steps(t) < TELLERS_STEPS_MAX)
            break;
        mem_free(t->levels[--t->nlevels].places);
        mem_free(t->rows);
        t->rows = NULL;
        t->nrows = 0;
    }
    add_steps(t);
    t->ring = hash_ring(t);
    return t;
}

struct tellers *tellers_ref(struct tellers *t)
{
    t->refs++;
    return t;
}

void tellers_free(struct tellers *t)
{
    if (!t || --t->refs)
        return;
    for (unsigned i = 0; i < t->nlevels; i++)
        mem_free(t->levels[i].places);
    mem_free(t->nodes);
    mem_free(t->rows);
    mem_free(t->steps);
    mem_free(t);
}

uint64_t tellers_serial(const struct tellers *t)
{
    return t->serial;
}

unsigned tellers_steps(const struct tellers *t)
{
    return t->nsteps;
}

unsigned tellers_depth(const struct tellers *t, unsigned step)
{
    return t->steps[step].depth;
}

static const uint16_t *owners_of(const struct tellers *t, unsigned step)
{
    return row(t, t->steps[step].owners);
}

unsigned tellers_owner(const struct tellers *t, unsigned step, unsigned rack)
{
    return t->nodes[owners_of(t, step)[rack]];
}

unsigned tellers_node(const struct tellers *t, unsigned step)
{
    return tellers_owner(t, step, t->steps[step].depth - 1u);
}

bool tellers_is_whole(const struct tellers *t, unsigned step)
{
    return t->steps[step].depth == t->nlevels;
}

bool tellers_tells(const struct tellers *t, unsigned step, uint32_t token)
{
    const uint16_t *owners = owners_of(t, step);
    for (unsigned i = 0; i < t->steps[step].depth; i++)
        if (owner(&t->levels[i], token) != owners[i])
            return false;
    return true;
}

unsigned tellers_behind(const struct tellers *t, unsigned step)
{
    unsigned depth = t->steps[step].depth;
    while (++step < t->nsteps && t->steps[step].depth > depth)
        ;
    return step;
}

unsigned tellers_place(const struct tellers *t, uint32_t token)
{
    unsigned step = 0;
    while (step < t->nsteps && !tellers_tells(t, step, token))
        step = tellers_behind(t, step);
    return step;
}

/* All rows that its node is in have the owners before it, too. */
bool tellers_tells_all(const struct tellers *t, unsigned step)
{
    const uint16_t *owners = owners_of(t, step);
    unsigned depth = t->steps[step].depth;
    for (size_t i = 0; i < t->nrows; i++)
        if (row(t, i)[depth - 1] == owners[depth - 1] &&
            memcmp(row(t, i), owners, (depth - 1) * sizeof *owners) != 0)
            return false;
    return true;
}

/* ---- walking -----------------------------------------------------------------------------------
 */

static bool has_inner(const struct tellers *t, unsigned step)
{
    return step + 1 < t->nsteps && t->steps[step + 1].depth > t->steps[step].depth;
}

unsigned tellers_asked(const struct tellers *t, const struct tellers_walk *w)
{
    return w->instead ? tellers_owner(t, w->step, w->instead - 1u) : tellers_node(t, w->step);
}

/* One of a step's owners that may lack writes. */
static bool settle_for_another(const struct tellers *t, struct tellers_walk *w, tellers_can_fn *can,
                               void *arg)
{
    unsigned depth = tellers_depth(t, w->step), most = depth < INSTEAD_MAX ? depth : INSTEAD_MAX;
    if (w->instead && can(arg, tellers_asked(t, w), true))
        return true;
    w->cursor = 0;
    for (w->instead = 1; w->instead <= most; w->instead++)
        if (can(arg, tellers_asked(t, w), true))
            return true;
    w->instead = 0;
    return false;
}

bool tellers_settle(const struct tellers *t, struct tellers_walk *w, tellers_can_fn *can, void *arg)
{
    while (!tellers_ended(t, w)) {
        if (!w->instead && can(arg, tellers_node(t, w->step), w->cursor != 0))
            return true; /* one that has begun had all that was there when it did */
        if (w->instead || !has_inner(t, w->step))
            return settle_for_another(t, w, can, arg);
        w->cursor = 0;
        w->step++;
    }
    return true;
}

void tellers_go_on(const struct tellers *t, struct tellers_walk *w)
{
    *w = (struct tellers_walk){.step = tellers_behind(t, w->step)};
}

/* ---- cursors -----------------------------------------------------------------------------------
 */

static uint64_t bits(uint64_t word, unsigned from, unsigned n)
{
    return word >> from & ((1ull << n) - 1);
}

uint64_t tellers_write(const struct tellers *t, const struct tellers_walk *w)
{
    if (tellers_ended(t, w) || (w->step == 0 && w->cursor == 0 && w->instead == 0))
        return 0;
    uint64_t front = (uint64_t)t->ring << INSTEAD_BITS | w->instead;
    return (front << STEP_BITS | w->step) << TELLERS_CURSOR_BITS | w->cursor;
}

bool tellers_read(const struct tellers *t, uint64_t cursor, struct tellers_walk *w)
{
    const unsigned step = TELLERS_CURSOR_BITS, instead = step + STEP_BITS,
                   ring = instead + INSTEAD_BITS;
    *w = (struct tellers_walk){.step = 0};
    if (cursor >> 63)
        return false;
    if (cursor == 0 || bits(cursor, ring, RING_BITS) != t->ring)
        return true;
    *w = (struct tellers_walk){.step = (unsigned)bits(cursor, step, STEP_BITS),
                               .instead = (unsigned)bits(cursor, instead, INSTEAD_BITS),
                               .cursor = bits(cursor, 0, TELLERS_CURSOR_BITS)};
    return w->step < t->nsteps && w->instead <= t->steps[w->step].depth;
}
