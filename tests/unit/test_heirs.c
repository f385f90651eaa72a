/* Who gets the hints of a node that has left the ring. */
#include "ring/heirs.h"
#include "unit.h"

#define N(a) (sizeof(a) / sizeof *(a))

static const uint32_t t0[] = {0}, t100[] = {100}, t200[] = {200}, t150[] = {150},
                      t50_250[] = {50, 250}, t7[] = {7};

static struct ring_node at(const char *dc, const char *rack, const uint32_t *tokens, size_t n)
{
    return (struct ring_node){
        .address = rack, .datacenter = dc, .rack = rack, .tokens = tokens, .ntokens = n};
}

static struct topology *build(const struct ring_node *nodes, size_t n)
{
    struct error e;
    struct topology *t = topology_new(nodes, (unsigned)n, 0, &e);
    ck_assert_msg(t != NULL, "%s", e.text);
    return t;
}

struct change {
    struct topology *then, *now;
    struct heirs *heirs;
};

static struct change change(const struct ring_node *then, size_t nthen, unsigned departed,
                            const struct ring_node *now, size_t nnow)
{
    struct change c = {.then = build(then, nthen), .now = build(now, nnow)};
    c.heirs = heirs_new(c.then, departed, c.now);
    ck_assert_ptr_nonnull(c.heirs);
    return c;
}

static void end(struct change *c)
{
    heirs_free(c->heirs);
    topology_free(c->then);
    topology_free(c->now);
}

/* The heirs as a set of bits. */
static unsigned heirs(const struct change *c, uint32_t token)
{
    uint16_t out[RING_REPLICAS_MAX];
    unsigned n = heirs_of(c->heirs, c->now, token, out), bits = 0;
    for (unsigned i = 0; i < n; i++) {
        ck_assert_msg(!(bits & 1u << out[i]), "node %u twice", out[i]);
        bits |= 1u << out[i];
    }
    return bits;
}

/* Racks of 1, 2 and 3 nodes, several tokens: a neighbour in its rack gets it, and nobody else. */
START_TEST(the_next_in_its_rack)
{
    struct ring_node then[] = {at("d", "r1", t7, 1),   at("d", "r2", t0, 1),
                               at("d", "r2", t100, 1), at("d", "r3", t150, 1),
                               at("d", "r3", t200, 1), at("d", "r3", t50_250, 2)};
    struct ring_node now[] = {then[0], then[1], then[2], then[3], then[4]};
    struct change c = change(then, N(then), 5, now, N(now));
    ck_assert_uint_eq(heirs(&c, 20), 1u << 3);   /* was 50's */
    ck_assert_uint_eq(heirs(&c, 50), 1u << 3);   /* was 50's */
    ck_assert_uint_eq(heirs(&c, 240), 1u << 3);  /* was 250's: wraps round to 150 */
    ck_assert_uint_eq(heirs(&c, 4000), 1u << 3); /* wrapped to 50 */
    end(&c);
    struct ring_node without_two[] = {then[0], then[2], then[3], then[4], then[5]};
    c = change(then, N(then), 1, without_two, N(without_two));
    ck_assert_uint_eq(heirs(&c, 300), 1u << 1);
    end(&c);
}
END_TEST

/* Its rack has gone with it: who holds the key now had it then. */
START_TEST(nobody_where_its_rack_is_gone)
{
    struct ring_node then[] = {at("d", "r1", t0, 1), at("d", "r2", t0, 1), at("d", "r3", t0, 1)};
    struct change c = change(then, N(then), 2, then, 2);
    ck_assert_uint_eq(heirs(&c, 77), 0);
    end(&c);
}
END_TEST

/* Two datacenters with racks of one name: they aren't one rack. */
START_TEST(racks_of_two_datacenters)
{
    struct ring_node then[] = {at("a", "r1", t0, 1), at("a", "r1", t100, 1), at("b", "r1", t0, 1),
                               at("b", "r1", t100, 1)};
    struct ring_node now[] = {then[0], then[1], then[2]};
    struct change c = change(then, N(then), 3, now, N(now));
    ck_assert_uint_eq(heirs(&c, 50), 1u << 2);
    end(&c);
}
END_TEST

/* A node that came into its rack at the same time, and one in a rack that is new. */
START_TEST(nodes_that_are_new)
{
    struct ring_node then[] = {at("d", "r1", t0, 1), at("d", "r2", t0, 1), at("d", "r2", t100, 1)};
    struct ring_node now[] = {then[0], then[1], at("d", "r2", t50_250, 2), at("d", "r4", t7, 1)};
    struct change c = change(then, N(then), 2, now, N(now));
    ck_assert_uint_eq(heirs(&c, 40), 1u << 2 | 1u << 3);
    ck_assert_uint_eq(heirs(&c, 99), 1u << 2 | 1u << 3); /* 250's */
    end(&c);
}
END_TEST

/* Two have left, and a hint of one write lies in the logs of both: each heir gets it from one of
 * them, whoever of the two is asked. */
START_TEST(two_that_have_left)
{
    struct ring_node then[] = {at("d", "r1", t0, 1), at("d", "r1", t100, 1), at("d", "r2", t0, 1),
                               at("d", "r2", t100, 1)};
    struct ring_node now[] = {then[0], then[2], at("d", "r3", t0, 1)};
    struct change a = change(then, N(then), 1, now, N(now)),
                  b = change(then, N(then), 3, now, N(now));
    ck_assert_uint_eq(heirs(&a, 50), 1u << 0 | 1u << 2); /* the new rack: the first by name */
    ck_assert_uint_eq(heirs(&b, 50), 1u << 1);
    end(&a);
    end(&b);
}
END_TEST

/* A node that has only other tokens now has what was written to it. */
START_TEST(a_node_that_moved)
{
    static const char id[] = "11111111-1111-4111-8111-111111111111";
    struct ring_node then[] = {at("d", "r1", t0, 1), at("d", "r2", t0, 1), at("d", "r2", t150, 1),
                               at("d", "r1", t100, 1)};
    memcpy(then[0].id, id, sizeof id);
    struct ring_node now[] = {then[0], then[1], then[3]};
    now[0].tokens = t200;
    struct change c = change(then, N(then), 2, now, N(now));
    ck_assert_uint_eq(heirs(&c, 120), 1u << 1);
    end(&c);
}
END_TEST

/* Over all tokens: the heir in its rack is who holds the key there now; no heir held it then. */
START_TEST(any_rings)
{
    srandom(unit_seed());
    for (int round = 0; round < 300; round++) {
        static const char *const racks[] = {"r1", "r2", "r3"};
        uint32_t tokens[12][2];
        struct ring_node then[12], now[12];
        size_t n = 4 + (size_t)random() % 9, departed = 1 + (size_t)random() % (n - 1), left = 0;
        for (size_t i = 0; i < n; i++) {
            tokens[i][0] = (uint32_t)(random() % 1000 * 24 + (long)i);
            tokens[i][1] = (uint32_t)(random() % 1000 * 24 + 12 + (long)i);
            then[i] = at("d", racks[random() % 3], tokens[i], 1 + (size_t)random() % 2);
            if (i != departed)
                now[left++] = then[i];
        }
        struct change c = change(then, n, (unsigned)departed, now, left);
        for (uint32_t token = 0; token < 24000; token += 97) {
            uint16_t before[RING_REPLICAS_MAX], after[RING_REPLICAS_MAX];
            unsigned nbefore = topology_replicas(c.then, token, before), want = 0;
            unsigned nafter = topology_replicas(c.now, token, after);
            bool its = false;
            for (unsigned i = 0; i < nbefore; i++)
                its |= before[i] == departed;
            for (unsigned i = 0; i < nafter; i++)
                if (heirs_same_rack(&c.now->nodes[after[i]], &then[departed]))
                    want |= 1u << after[i];
            if (its)
                ck_assert_uint_eq(heirs(&c, token), want);
        }
        end(&c);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, the_next_in_its_rack);
    tcase_add_test(c, nobody_where_its_rack_is_gone);
    tcase_add_test(c, racks_of_two_datacenters);
    tcase_add_test(c, nodes_that_are_new);
    tcase_add_test(c, two_that_have_left);
    tcase_add_test(c, a_node_that_moved);
    tcase_add_test(c, any_rings);
}

int main(void)
{
    return unit_main("heirs", add_cases);
}
