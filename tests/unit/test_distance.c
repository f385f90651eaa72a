/* How far away peers are, and in which order replicas elsewhere are asked. */
#include "core/compiler.h"
#include "peer/distance.h"
#include "request/nearest.h"
#include "unit.h"

static unsigned after(struct distance *d, unsigned n, uint64_t us)
{
    unsigned step = 0;
    for (unsigned i = 0; i < n; i++)
        step = distance_sample(d, us);
    return step;
}

START_TEST(steps)
{
    static const struct {
        uint64_t us;
        unsigned step;
    } cases[] = {{0, 1},   {255, 1},    {256, 2},    {361, 2},        {362, 3},   {511, 3},
                 {512, 4}, {10000, 12}, {20000, 14}, {100000000, 39}, {~0ull, 40}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct distance d = {0};
        ck_assert_msg(distance_sample(&d, cases[i].us) == cases[i].step, "%zu: %u", i, d.step);
    }
}
END_TEST

/* Half as much again is further, wherever it lies. */
START_TEST(what_is_told_apart)
{
    for (uint64_t us = 256; us < 1000000; us += us / 5) {
        struct distance near = {0}, far = {0};
        ck_assert_uint_lt(distance_sample(&near, us), distance_sample(&far, us + us / 2));
    }
}
END_TEST

START_TEST(it_does_not_flap)
{
    for (uint64_t us = 200; us < 1000000; us += us / 3) {
        struct distance d = {0};
        unsigned step = distance_sample(&d, us);
        for (unsigned i = 0; i < 1000; i++)
            ck_assert_uint_eq(distance_sample(&d, us - us / 10 + i * 7919 % (us / 5)), step);
        for (unsigned i = 0; i < 10; i++) { /* a bad moment now and then */
            ck_assert_uint_eq(distance_sample(&d, us * 2), step);
            ck_assert_uint_eq(after(&d, 8, us), step);
        }
    }
}
END_TEST

START_TEST(it_follows)
{
    struct distance d = {0};
    ck_assert_uint_eq(after(&d, 1, 40000), 16);
    ck_assert_uint_eq(after(&d, 1, 500), 3); /* nearer at once */
    ck_assert_uint_lt(after(&d, 1, 40000), 16);
    ck_assert_uint_ge(after(&d, 30, 40000), 15); /* further when it stays so */
}
END_TEST

/* Replicas as datacenter and step, and the indexes of them in the order in which they are asked. */
START_TEST(nearest)
{
    static const struct {
        const char *datacenters, *steps, *order;
    } cases[] = {
        {"", "", ""},
        {"0", "0", "0"},
        {"000", "095", "012"}, /* in one datacenter distance doesn't count */
        {"001122", "005533", "014523"},
        {"001212", "004242", "013524"}, /* those of one datacenter stand together */
        {"012", "055", "012"},
        {"01212", "05555", "01324"},
        {"01212", "04565", "01324"}, /* as far as its nearest */
        {"01212", "06554", "02413"},
        {"012", "005", "021"}, /* nothing is known of that one */
        {"01212", "00506", "02413"},
        {"1122", "7733", "2301"}, /* none in the own one */
        {"0123", "0321", "0321"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct replica_view v[RING_REPLICAS_MAX] = {{0}};
        unsigned n = (unsigned)strlen(cases[i].order);
        char order[RING_REPLICAS_MAX + 1] = "";
        for (unsigned k = 0; k < n; k++)
            v[k] = (struct replica_view){.node = (uint16_t)k,
                                         .datacenter = (uint8_t)(cases[i].datacenters[k] - '0'),
                                         .distance = (uint8_t)(cases[i].steps[k] - '0')};
        nearest_sort(v, n);
        for (unsigned k = 0; k < n; k++)
            order[k] = (char)('0' + v[k].node);
        ck_assert_msg(strcmp(order, cases[i].order) == 0, "case %zu: %s", i, order);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, steps);
    tcase_add_test(c, what_is_told_apart);
    tcase_add_test(c, it_does_not_flap);
    tcase_add_test(c, it_follows);
    tcase_add_test(c, nearest);
}

int main(void)
{
    return unit_main("distance", add_cases);
}
