/* Who tells of which keys: over all small rings, whoever is down, each key exactly once; cursors.
 */
#include "ring/tellers.h"
#include "unit.h"

#define NODES  6
#define TOKENS 8

/* A ring of TOKENS tokens that matter: the keys have tokens 0 .. TOKENS, the last one wraps. */
struct world {
    uint32_t tokens[NODES][2];
    struct ring_node nodes[NODES];
    unsigned n, self;
    struct topology *topology;
    struct tellers *tellers;
    unsigned down, lacking; /* masks */
};

static const char *const racks[] = {"a", "b", "c"};

static void build(struct world *w, unsigned self)
{
    struct error e;
    w->topology = topology_new(w->nodes, w->n, self, &e);
    ck_assert_msg(w->topology != NULL, "%s", e.text);
    w->tellers = tellers_new(w->topology);
}

static void drop(struct world *w)
{
    tellers_free(w->tellers);
    topology_free(w->topology);
}

static void add(struct world *w, const char *dc, const char *rack, uint32_t first, uint32_t second)
{
    uint32_t *t = w->tokens[w->n];
    t[0] = first;
    t[1] = second;
    w->nodes[w->n++] = (struct ring_node){.address = "x",
                                          .datacenter = dc,
                                          .rack = rack,
                                          .tokens = t,
                                          .ntokens = first == second ? 1 : 2};
}

static bool can(void *arg, unsigned node, bool lacking)
{
    const struct world *w = arg;
    return !(w->down >> node & 1) && (lacking || !(w->lacking >> node & 1));
}

static unsigned is_up(const struct world *w, unsigned token)
{
    uint16_t nodes[RING_REPLICAS_MAX];
    unsigned up = 0, n = topology_replicas(w->topology, token, nodes);
    for (unsigned i = 0; i < n; i++)
        up += !(w->down >> nodes[i] & 1);
    return up;
}

static bool holds(const struct world *w, unsigned node, unsigned token)
{
    uint16_t nodes[RING_REPLICAS_MAX];
    unsigned n = topology_replicas(w->topology, token, nodes);
    for (unsigned i = 0; i < n; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

/* Walks the ring; how often each token's keys are told. Each step may only be told by who holds its
 * keys. False: it can't be done. */
static bool walk(struct world *w, unsigned told[TOKENS + 1])
{
    struct tellers_walk at = {0};
    memset(told, 0, (TOKENS + 1) * sizeof *told);
    for (;;) {
        if (!tellers_settle(w->tellers, &at, can, w))
            return false;
        if (tellers_ended(w->tellers, &at))
            return true;
        unsigned node = tellers_asked(w->tellers, &at);
        ck_assert(!(w->down >> node & 1));
        for (unsigned k = 0; k <= TOKENS; k++)
            if (tellers_tells(w->tellers, at.step, k)) {
                ck_assert(holds(w, node, k));
                told[k]++;
            }
        tellers_go_on(w->tellers, &at);
    }
}

/* The same over cursors that go from one node of the ring to the next, which names them by other
 * indexes. */
static void check_cursors(struct world *w, struct world *other)
{
    unsigned told[TOKENS + 1] = {0}, turn = 0;
    uint64_t cursor = 0;
    other->down = other->lacking = 0;
    for (unsigned i = 0; i < w->n; i++) {
        other->down |= (w->down >> i & 1) << (w->n - 1 - i);
        other->lacking |= (w->lacking >> i & 1) << (w->n - 1 - i);
    }
    do {
        struct world *now = turn++ % 2 ? other : w;
        struct tellers_walk at;
        ck_assert(tellers_read(now->tellers, cursor, &at));
        ck_assert(tellers_settle(now->tellers, &at, can, now));
        for (unsigned k = 0; k <= TOKENS && at.cursor == 0; k++)
            if (!tellers_ended(now->tellers, &at))
                told[k] += tellers_tells(now->tellers, at.step, k);
        if (at.cursor == 0 && !tellers_ended(now->tellers, &at))
            at.cursor = 1 + turn; /* a page, and one more */
        else
            tellers_go_on(now->tellers, &at);
        cursor = tellers_write(now->tellers, &at);
        ck_assert(cursor < 1ull << 63);
    } while (cursor);
    for (unsigned k = 0; k <= TOKENS; k++)
        ck_assert_msg(told[k] == 1, "token %u is told %u times", k, told[k]);
}

static void check(struct world *w, struct world *other)
{
    unsigned told[TOKENS + 1];
    bool all = true;
    for (unsigned k = 0; k <= TOKENS; k++)
        all &= is_up(w, k) > 0;
    ck_assert(walk(w, told) == all);
    for (unsigned k = 0; k <= TOKENS && all; k++)
        ck_assert_msg(told[k] == 1, "token %u is told %u times", k, told[k]);
    if (all)
        check_cursors(w, other);
}

/* Every set of nodes down, and each of the others lacking writes. */
static void check_all(struct world *w)
{
    struct world other = {0};
    for (unsigned i = w->n; i-- > 0;)
        add(&other, w->nodes[i].datacenter, w->nodes[i].rack, w->tokens[i][0],
            w->tokens[i][w->nodes[i].ntokens - 1]);
    build(w, 0);
    build(&other, w->n - 1);
    for (w->down = 0; w->down < 1u << w->n; w->down++)
        for (unsigned i = 0; i <= w->n; i++) {
            w->lacking = i == w->n ? 0 : i == 0 ? ~0u : 1u << i;
            check(w, &other);
        }
    drop(w);
    drop(&other);
}

/* One to six nodes in one to three racks, each with one or two of the tokens: all ways to give out
 * the racks, and for each of these the tokens by a counter that goes through many. */
START_TEST(each_key_is_told_once)
{
    unsigned rings = 0;
    for (unsigned n = 1; n <= NODES; n++)
        for (unsigned shape = 0, shapes = n < 3 ? 9 : 27; shape < shapes; shape++) {
            struct world w = {0};
            uint32_t used[3] = {0};
            bool ok = true;
            for (unsigned i = 0, code = shape; i < n; i++, code = code / 3 ? code / 3 : shape + i) {
                unsigned rack = code % 3;
                uint32_t a = (i * 5 + shape) % TOKENS, b = (i * 3 + shape * 7 + n) % TOKENS;
                ok &= !(used[rack] & (1u << a | 1u << b));
                used[rack] |= 1u << a | 1u << b;
                add(&w, i % 3 == 2 && shape % 2 ? "far" : "near", racks[rack], a, b);
            }
            if (!ok || strcmp(w.nodes[0].datacenter, "near") != 0)
                continue;
            rings++;
            check_all(&w);
        }
    ck_assert_uint_gt(rings, 40);
}
END_TEST

START_TEST(a_cursor_of_a_lone_node_is_its_stores)
{
    struct world w = {0};
    add(&w, "d", "a", 0, 0);
    build(&w, 0);
    struct tellers_walk at = {.cursor = 12345};
    ck_assert_uint_eq(tellers_write(w.tellers, &at), 12345);
    ck_assert(tellers_read(w.tellers, 12345, &at));
    ck_assert_uint_eq(at.cursor, 12345);
    ck_assert(tellers_tells_all(w.tellers, 0));
    drop(&w);
}
END_TEST

START_TEST(a_cursor_that_never_was_is_found)
{
    struct world w = {0};
    struct tellers_walk at = {.step = 1, .cursor = 9};
    add(&w, "d", "a", 0, 0);
    add(&w, "d", "a", 4, 4);
    build(&w, 0);
    uint64_t good = tellers_write(w.tellers, &at);
    ck_assert(tellers_read(w.tellers, good, &at));
    ck_assert_uint_eq(at.step, 1);
    ck_assert(!tellers_read(w.tellers, UINT64_MAX, &at));
    ck_assert(!tellers_read(w.tellers, good | 1ull << 63, &at));
    ck_assert(!tellers_read(w.tellers, good | 7ull << 40, &at)); /* no such step */
    /* another ring: from the beginning */
    ck_assert(tellers_read(w.tellers, good ^ 1ull << 62, &at));
    ck_assert_uint_eq(at.step + at.cursor, 0);
    drop(&w);
}
END_TEST

/* A step is taken up again from its beginning where its node goes away, and the others aren't. */
START_TEST(who_goes_away_is_stood_in_for)
{
    struct world w = {0};
    struct tellers_walk at = {0};
    add(&w, "d", "a", 0, 0);
    add(&w, "d", "a", 4, 4);
    add(&w, "d", "b", 0, 0);
    add(&w, "d", "b", 4, 4);
    build(&w, 0);
    ck_assert(tellers_settle(w.tellers, &at, can, &w));
    tellers_go_on(w.tellers, &at);
    at.cursor = 7;
    ck_assert_uint_eq(tellers_asked(w.tellers, &at), 1);
    w.down = 1u << 1;
    ck_assert(tellers_settle(w.tellers, &at, can, &w));
    ck_assert_uint_eq(tellers_asked(w.tellers, &at), 3);
    ck_assert_uint_eq(at.cursor, 0);
    ck_assert(tellers_tells_all(w.tellers, at.step));
    at.cursor = 5;
    w.down = 0; /* it goes on where it is */
    ck_assert(tellers_settle(w.tellers, &at, can, &w));
    ck_assert_uint_eq(tellers_asked(w.tellers, &at), 3);
    ck_assert_uint_eq(at.cursor, 5);
    tellers_go_on(w.tellers, &at);
    ck_assert(tellers_ended(w.tellers, &at));
    w.down = 0xa;
    at = (struct tellers_walk){0};
    tellers_go_on(w.tellers, &at);
    ck_assert(!tellers_settle(w.tellers, &at, can, &w)); /* nobody is left for its keys */
    drop(&w);
}
END_TEST

/* Who joins or has left tells nothing. */
START_TEST(only_members_tell)
{
    struct world w = {0};
    struct tellers_walk at = {0};
    add(&w, "d", "a", 0, 0);
    add(&w, "d", "a", 4, 4);
    add(&w, "d", "a", 6, 6);
    w.nodes[1].role = RING_JOINING;
    w.nodes[2].role = RING_GONE;
    build(&w, 0);
    ck_assert_uint_eq(tellers_steps(w.tellers), 1);
    ck_assert_uint_eq(tellers_asked(w.tellers, &at), 0);
    ck_assert(tellers_tells(w.tellers, 0, 3));
    drop(&w);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_test(c, each_key_is_told_once);
    tcase_add_test(c, a_cursor_of_a_lone_node_is_its_stores);
    tcase_add_test(c, a_cursor_that_never_was_is_found);
    tcase_add_test(c, who_goes_away_is_stood_in_for);
    tcase_add_test(c, only_members_tell);
}

int main(void)
{
    return unit_main("tellers", add_cases);
}
