/* Owners as in Netflix Dynomite, refusals, shares, STANDBY. */
#include "peer/standby.h"
#include "ring/topology.h"
#include "unit.h"

static const uint32_t t0[] = {0}, t100[] = {100}, t200[] = {200}, t5_300[] = {5, 300};

static struct ring_node node(const char *dc, const char *rack, const uint32_t *tokens, size_t n)
{
    return (struct ring_node){
        .address = rack, .datacenter = dc, .rack = rack, .tokens = tokens, .ntokens = n};
}

static struct topology *build(const struct ring_node *nodes, unsigned n, unsigned self)
{
    struct error e;
    struct topology *t = topology_new(nodes, n, self, &e);
    ck_assert_msg(t != NULL, "%s", e.text);
    return t;
}

START_TEST(owner_is_the_next_token)
{
    struct ring_node nodes[] = {node("d", "r", t0, 1), node("d", "r", t100, 1),
                                node("d", "r", t200, 1)};
    static const struct {
        uint32_t token;
        uint16_t owner;
    } cases[] = {{0, 0}, {1, 1}, {100, 1}, {101, 2}, {200, 2}, {201, 0}, {4294967295u, 0}};
    struct topology *t = build(nodes, 3, 0);
    uint16_t out[RING_REPLICAS_MAX];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_uint_eq(topology_replicas(t, cases[i].token, out), 1);
        ck_assert_msg(out[0] == cases[i].owner, "token %u", cases[i].token);
    }
    topology_free(t);
}
END_TEST

START_TEST(nearest_first)
{
    struct ring_node nodes[] = {node("far", "a", t0, 1), node("near", "b", t0, 1),
                                node("near", "c", t0, 1), node("far", "d", t5_300, 2)};
    struct topology *t = build(nodes, 4, 2);
    uint16_t out[RING_REPLICAS_MAX];
    ck_assert_uint_eq(topology_replicas(t, 7, out), 4);
    ck_assert_uint_eq(out[0], 2);
    ck_assert_uint_eq(out[1], 1);
    ck_assert_uint_eq(out[2], 0);
    ck_assert_uint_eq(out[3], 3);
    ck_assert_uint_eq(topology_datacenter(t, 1), 0);
    ck_assert_uint_eq(topology_datacenter(t, 2), 0);
    ck_assert_uint_eq(topology_datacenter(t, 0), 1);
    ck_assert_uint_eq(topology_datacenter(t, 3), 1);
    ck_assert_int_eq(topology_find_place(t, "far", "d", (uint32_t[]){300, 5}, 2), 3);
    ck_assert_int_eq(topology_find_place(t, "far", "d", t0, 1), -1);
    ck_assert(topology_share(t, 2, 0) == 1.0);
    double sum = topology_share(t, 3, 5) + topology_share(t, 3, 300);
    ck_assert(sum > 0.999999 && sum < 1.000001);
    topology_free(t);
}
END_TEST

START_TEST(one_token_twice_is_refused)
{
    struct error e;
    struct ring_node nodes[] = {node("d", "r", t5_300, 2), node("d", "r", t5_300, 2)};
    ck_assert_ptr_null(topology_new(nodes, 2, 0, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "token 5"));
    nodes[1] = node("d", "r", NULL, 0);
    ck_assert_ptr_null(topology_new(nodes, 2, 0, &e));
}
END_TEST

static struct ring_node with_role(struct ring_node n, enum ring_role role)
{
    n.role = role;
    return n;
}

/* Replicas and those that join: what each of them would own if it became a member next. */
START_TEST(who_joins_gets_writes_and_is_no_replica)
{
    static const uint32_t t150[] = {150}, t180[] = {180};
    struct ring_node nodes[] = {node("d", "r", t100, 1),
                                node("d", "r", t200, 1),
                                with_role(node("d", "r", t150, 1), RING_JOINING),
                                with_role(node("d", "r", t180, 1), RING_JOINING),
                                node("d", "s", t0, 1),
                                with_role(node("d", "new", t5_300, 2), RING_JOINING)};
    static const struct {
        uint32_t token;
        unsigned n;
        uint16_t nodes[4];
    } cases[] = {{100, 3, {0, 4, 5}},    {101, 4, {1, 4, 2, 3}}, {150, 4, {1, 4, 2, 3}},
                 {151, 4, {1, 4, 3, 5}}, {181, 3, {1, 4, 5}},    {201, 3, {0, 4, 5}}};
    struct topology *t = build(nodes, 6, 0);
    uint16_t out[RING_WRITES_MAX];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned joining = 0, n = topology_writes(t, cases[i].token, out, &joining);
        ck_assert_uint_eq(topology_replicas(t, cases[i].token, out), 2);
        ck_assert_uint_ge(joining, 1);
        ck_assert_uint_eq(n, 2 + joining);
        n = topology_writes(t, cases[i].token, out, &joining);
        for (unsigned k = 0; k < 2; k++)
            ck_assert_uint_eq(out[k], cases[i].nodes[k]);
        ck_assert_uint_eq(out[n - 1], 5); /* the only one of its rack, whatever the token */
        for (unsigned k = 2; k + 1 < n; k++)
            ck_assert_uint_eq(out[k], cases[i].nodes[k]);
        ck_assert_uint_eq(n, cases[i].nodes[cases[i].n - 1] == 5 ? cases[i].n : cases[i].n + 1);
    }
    ck_assert(topology_share(t, 1, 200) > topology_share(t, 0, 100) / 1e9);
    ck_assert(topology_share(t, 2, 150) == 0 && topology_share(t, 5, 5) == 0);
    topology_free(t);
}
END_TEST

START_TEST(who_has_gone_keeps_its_index_and_nothing_else)
{
    struct error e;
    struct ring_node nodes[] = {
        node("d", "r", t100, 1), with_role(node("d", "r", t200, 1), RING_GONE),
        with_role(node("d", "s", NULL, 0), RING_GONE), node("d", "r", t0, 1)};
    memcpy(nodes[1].id, "11111111-1111-4111-8111-111111111111", NODE_ID_SIZE);
    struct topology *t = build(nodes, 4, 0);
    uint16_t out[RING_REPLICAS_MAX];
    ck_assert_uint_eq(topology_replicas(t, 150, out), 1);
    ck_assert_uint_eq(out[0], 3);
    ck_assert_int_eq(topology_find_place(t, "d", "r", t200, 1), -1);
    ck_assert_int_eq(topology_find_id(t, nodes[1].id), -1);
    ck_assert(topology_share(t, 1, 200) == 0);
    topology_free(t);
    nodes[3] = node("d", "r", t200, 1); /* its tokens are free */
    topology_free(build(nodes, 4, 0));
    nodes[0].role = nodes[3].role = RING_GONE; /* nobody is left */
    t = build(nodes, 4, 0);
    ck_assert_uint_eq(topology_replicas(t, 150, out), 0);
    topology_free(t);
    nodes[0] = node("d", "r", t100, 1);
    nodes[3] = with_role(node("d", "r", t100, 1), RING_JOINING); /* who joins collides, too */
    ck_assert_ptr_null(topology_new(nodes, 4, 0, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "token 100"));
}
END_TEST

START_TEST(so_many_may_join_at_one_time)
{
    struct ring_node nodes[RING_JOINING_MAX + 2];
    uint32_t tokens[RING_JOINING_MAX + 2];
    uint16_t out[RING_WRITES_MAX];
    unsigned joining;
    struct error e;
    for (unsigned i = 0; i < ARRAY_LEN(nodes); i++) {
        tokens[i] = i;
        nodes[i] = with_role(node("d", "r", &tokens[i], 1), i ? RING_JOINING : RING_MEMBER);
    }
    ck_assert_ptr_null(topology_new(nodes, RING_JOINING_MAX + 2, 0, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "join at one time"));
    struct topology *t = build(nodes, RING_JOINING_MAX + 1, 0);
    ck_assert_uint_eq(topology_writes(t, 1, out, &joining), RING_JOINING_MAX + 1);
    ck_assert_uint_eq(joining, RING_JOINING_MAX);
    topology_free(t);
}
END_TEST

/* ---- uneven rings ------------------------------------------------------------------------------
 */

#define PLACES     40 /* nodes at most */
#define TOKENS_MAX 5

static uint32_t chance_state;

static uint32_t chance(uint32_t n)
{
    chance_state = chance_state * 1664525u + 1013904223u;
    return (chance_state >> 8) % n;
}

struct uneven {
    unsigned n;
    struct ring_node nodes[PLACES];
    uint32_t tokens[PLACES][TOKENS_MAX];
};

/* 1 to 4 datacenters of 1 to 3 racks of 1 to 3 nodes with 1 to 5 tokens, in any order; tokens of a
 * rack differ. Some have gone, some join. */
static void make_uneven(struct uneven *u)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    u->n = 0;
    for (unsigned dc = 0, dcs = 1 + chance(4); dc < dcs; dc++)
        for (unsigned rack = 0, racks = 1 + chance(3); rack < racks; rack++)
            for (unsigned k = 0, n = 1 + chance(3); k < n; k++) {
                unsigned i = u->n++, count = 1 + chance(TOKENS_MAX), role = chance(8);
                for (unsigned t = 0; t < count; t++)
                    u->tokens[i][t] = (chance(1u << 20) * 4 + k) * 8 + t;
                u->nodes[i] = node(names[dc], names[rack], u->tokens[i], count);
                u->nodes[i].role = role == 0 ? RING_GONE : role == 1 ? RING_JOINING : RING_MEMBER;
            }
    for (unsigned i = u->n; i > 1; i--) {
        unsigned k = chance(i);
        struct ring_node t = u->nodes[i - 1];
        u->nodes[i - 1] = u->nodes[k];
        u->nodes[k] = t;
    }
}

static bool same_place(const struct ring_node *a, const struct ring_node *b)
{
    return strcmp(a->datacenter, b->datacenter) == 0 && strcmp(a->rack, b->rack) == 0;
}

/* How far round the ring its first token at or above lies. */
static uint64_t way_to(const struct ring_node *n, uint32_t token)
{
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < n->ntokens; i++) {
        uint64_t way = (uint32_t)(n->tokens[i] - token);
        best = way < best ? way : best;
    }
    return best;
}

static bool owns(const struct uneven *u, unsigned node, uint32_t token)
{
    const struct ring_node *n = &u->nodes[node];
    for (unsigned i = 0; i < u->n; i++)
        if (u->nodes[i].role == RING_MEMBER && same_place(&u->nodes[i], n) &&
            way_to(&u->nodes[i], token) < way_to(n, token))
            return false;
    return n->role == RING_MEMBER;
}

static void check_owners(const struct uneven *u, const struct topology *t, uint32_t token)
{
    uint16_t out[RING_REPLICAS_MAX];
    unsigned n = topology_replicas(t, token, out), want = 0, last = 0;
    for (unsigned i = 0; i < u->n; i++)
        want += owns(u, i, token);
    if (n != want)
        ck_abort_msg("token %u: %u replicas, not %u", token, n, want);
    for (unsigned i = 0; i < n; i++) {
        bool local = topology_datacenter(t, out[i]) == 0;
        bool own_rack = same_place(&u->nodes[out[i]], &u->nodes[t->self]);
        unsigned far = local ? !own_rack : 2;
        if (!owns(u, out[i], token) || far < last)
            ck_abort_msg("token %u: %u at place %u", token, out[i], i);
        last = far;
    }
}

static void check_datacenters(const struct uneven *u, const struct topology *t)
{
    for (unsigned i = 0; i < u->n; i++)
        for (unsigned k = 0; k < u->n && u->nodes[i].role != RING_GONE; k++) {
            bool same = strcmp(u->nodes[i].datacenter, u->nodes[k].datacenter) == 0;
            if (u->nodes[k].role == RING_GONE)
                continue;
            ck_assert((topology_datacenter(t, i) == topology_datacenter(t, k)) == same);
            if (k == t->self)
                ck_assert((topology_datacenter(t, i) == 0) == same);
        }
}

START_TEST(uneven_rings)
{
    struct uneven u;
    chance_state = unit_seed();
    for (unsigned k = 0; k < 150; k++) {
        make_uneven(&u);
        struct topology *t = build(u.nodes, u.n, chance(u.n));
        check_datacenters(&u, t);
        for (unsigned i = 0; i < 100; i++)
            check_owners(&u, t, chance(1u << 24) * 256 + chance(256));
        for (unsigned i = 0; i < u.n; i++) { /* at a token, and on either side */
            uint32_t token = u.nodes[i].tokens[0];
            check_owners(&u, t, token);
            check_owners(&u, t, token + 1);
            check_owners(&u, t, token - 1);
        }
        topology_free(t);
    }
}
END_TEST

START_TEST(standby_until_the_named_records_are_in)
{
    struct standby s;
    standby_init(&s, 3, true, 1000, 0);
    ck_assert_int_eq(s.state, NODE_STANDBY);
    ck_assert(!standby_decide(&s, 1999)); /* waits for greetings */
    standby_greeted(&s, 1, 50, 40, 1999);
    ck_assert(!standby_decide(&s, 2500));
    standby_progress(&s, 1, 49);
    ck_assert(!standby_decide(&s, 2600));
    standby_progress(&s, 1, 50);
    ck_assert(standby_decide(&s, 2700));
    ck_assert_int_eq(s.state, NODE_NORMAL);
    standby_greeted(&s, 2, 9, 0, 5000); /* later hints make it STANDBY again */
    ck_assert(standby_decide(&s, 5000));
    ck_assert_int_eq(s.state, NODE_STANDBY);
    ck_assert(!standby_decide(&s, 5000 + STANDBY_MAX_MS - 1));
    ck_assert(standby_decide(&s, 5000 + STANDBY_MAX_MS)); /* in any case */
    ck_assert_int_eq(s.state, NODE_NORMAL);
    standby_fini(&s);
    standby_init(&s, 3, false, 1000, 0);
    ck_assert_int_eq(s.state, NODE_NORMAL); /* a first start */
    standby_fini(&s);
}
END_TEST

START_TEST(an_operators_standby_lasts)
{
    struct standby s;
    standby_init(&s, 3, false, 1000, 0);
    standby_order(&s, true);
    ck_assert_int_eq(standby_state(&s), NODE_STANDBY);
    standby_decide(&s, 2 * STANDBY_MAX_MS); /* the cap is for what is missing */
    ck_assert_int_eq(standby_state(&s), NODE_STANDBY);
    /* what it lacks meanwhile keeps it back afterwards, from then on and not from the order on */
    standby_greeted(&s, 1, 50, 40, 2 * STANDBY_MAX_MS);
    standby_decide(&s, 2 * STANDBY_MAX_MS);
    standby_order(&s, false);
    standby_decide(&s, 3 * STANDBY_MAX_MS - 1);
    ck_assert_int_eq(standby_state(&s), NODE_STANDBY);
    standby_order(&s, true);
    standby_progress(&s, 1, 50);
    standby_decide(&s, 3 * STANDBY_MAX_MS - 1);
    ck_assert_int_eq(standby_state(&s), NODE_STANDBY);
    standby_order(&s, false); /* it lacks nothing: at once */
    ck_assert_int_eq(standby_state(&s), NODE_NORMAL);
    standby_fini(&s);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, owner_is_the_next_token);
    tcase_add_test(c, nearest_first);
    tcase_add_test(c, one_token_twice_is_refused);
    tcase_add_test(c, who_joins_gets_writes_and_is_no_replica);
    tcase_add_test(c, who_has_gone_keeps_its_index_and_nothing_else);
    tcase_add_test(c, so_many_may_join_at_one_time);
    tcase_add_test(c, uneven_rings);
    tcase_add_test(c, standby_until_the_named_records_are_in);
    tcase_add_test(c, an_operators_standby_lasts);
}

int main(void)
{
    return unit_main("ring", add_cases);
}
