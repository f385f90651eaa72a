/* Stamps never go back and follow others only so far; the steady clock runs with the monotonic one.
 */
#include "core/clock.h"
#include "unit.h"

#define MS(n) ((uint64_t)(n) << 16)

START_TEST(stamps_grow_whatever_the_wall_does)
{
    struct hlc c = {0};
    unsigned seed = unit_seed();
    uint64_t wall = 1000000, last = 0;
    for (int i = 0; i < 100000; i++) {
        wall += (uint64_t)(rand_r(&seed) % 3);
        if (rand_r(&seed) % 1000 == 0)
            wall -= (unsigned)rand_r(&seed) % 5000; /* set back */
        if (rand_r(&seed) % 10 == 0)
            hlc_follow(&c, MS(wall) + (uint64_t)rand_r(&seed), wall);
        uint64_t stamp = hlc_next(&c, wall * 1000 + (unsigned)rand_r(&seed) % 1000);
        ck_assert_uint_gt(stamp, last);
        ck_assert_uint_ge(hlc_ms(stamp), wall);
        last = stamp;
    }
}
END_TEST

START_TEST(stamps_within_one_millisecond)
{
    struct hlc c = {0};
    ck_assert_uint_eq(hlc_next(&c, 5000), MS(5));
    ck_assert_uint_eq(hlc_next(&c, 5000), MS(5) + 1);
    ck_assert_uint_eq(hlc_next(&c, 4000), MS(5) + 2);
    ck_assert_uint_eq(hlc_next(&c, 5500), MS(5) + 0x8000);
    c.last = MS(5) + 0xffff;
    ck_assert_uint_eq(hlc_next(&c, 5999), MS(6)); /* the counter runs over into the next one */
    ck_assert_uint_eq(hlc_next(&c, 7000), MS(7));
}
END_TEST

/* Two clocks that agree, of nodes that haven't heard of each other: what comes later is newer. */
START_TEST(stamps_of_two_nodes_within_one_millisecond)
{
    struct hlc busy = {0}, idle = {0};
    for (uint64_t us = 5000; us < 5300; us++)
        hlc_next(&busy, us);
    ck_assert_uint_gt(hlc_next(&idle, 5301), busy.last);
}
END_TEST

START_TEST(follows_ten_seconds_and_no_further)
{
    struct hlc c = {.last = MS(100000)};
    hlc_follow(&c, MS(99999), 100000); /* behind: nothing */
    ck_assert_uint_eq(c.last, MS(100000));
    hlc_follow(&c, MS(110000) + 0xffff, 100000);
    ck_assert_uint_eq(c.last, MS(110000) + 0xffff);
    hlc_follow(&c, MS(110001), 100000);
    ck_assert_uint_eq(c.last, MS(110000) + 0xffff);
    hlc_follow(&c, UINT64_MAX, 100000);
    ck_assert_uint_eq(c.last, MS(110000) + 0xffff);
    hlc_follow(&c, MS(110001), 100001);
    ck_assert_uint_eq(c.last, MS(110001));
    ck_assert_uint_gt(hlc_next(&c, 100001000), MS(110001));
}
END_TEST

START_TEST(clocks_agree)
{
    uint64_t wall = clock_wall_ms(), steady = clock_steady_ms(), mono = clock_mono_ms();
    ck_assert_uint_ge(wall, 1600000000000ull);
    ck_assert_uint_lt(steady > wall ? steady - wall : wall - steady, 1000);
    ck_assert_uint_ge(clock_mono_us() / 1000, mono);
    for (int i = 0; i < 1000; i++) {
        uint64_t next = clock_steady_ms();
        ck_assert_uint_ge(next, steady);
        steady = next;
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, stamps_grow_whatever_the_wall_does);
    tcase_add_test(c, stamps_within_one_millisecond);
    tcase_add_test(c, stamps_of_two_nodes_within_one_millisecond);
    tcase_add_test(c, follows_ten_seconds_and_no_further);
    tcase_add_test(c, clocks_agree);
}

int main(void)
{
    return unit_main("clock", add_cases);
}
