/* How a delivery of hints is paced, in virtual time against a peer that is modelled; and the rate
 * that is shown. */
#include "peer/meter.h"
#include "peer/pace.h"
#include "unit.h"

#define MAX (4u << 20)

START_TEST(it_begins_wide_open)
{
    struct pace p;
    pace_init(&p, MAX);
    ck_assert_uint_eq(p.window, MAX);
    pace_usual(&p, 200);
    pace_begin(&p);
    for (int i = 0; i < 100; i++)
        pace_sample(&p, 2 * 200 + PACE_SLACK_US);
    ck_assert_uint_eq(p.window, MAX);
}
END_TEST

START_TEST(it_halves_while_replies_are_slow)
{
    struct pace p;
    pace_init(&p, MAX);
    pace_usual(&p, 200);
    pace_begin(&p);
    pace_sample(&p, 2 * 200 + PACE_SLACK_US + 1);
    ck_assert_uint_eq(p.window, MAX / 2);
    for (int i = 0; i < 100; i++)
        pace_sample(&p, 100000);
    ck_assert_uint_eq(p.window, PACE_MIN);
    for (int i = 0; i < 100; i++)
        pace_sample(&p, 300);
    ck_assert_uint_eq(p.window, MAX);
}
END_TEST

/* Nothing was measured before the first delivery: the lowest of it stands in. */
START_TEST(without_a_usual_time_the_lowest_counts)
{
    struct pace p;
    pace_init(&p, MAX);
    pace_begin(&p);
    pace_sample(&p, 30000);
    ck_assert_uint_eq(p.window, MAX);
    pace_sample(&p, 500);
    pace_sample(&p, 30000);
    ck_assert_uint_eq(p.window, MAX / 2);
}
END_TEST

/* A peer far away, looked at each PACE_EVERY_MS: what has been waited for so far isn't its reply
 * time. */
START_TEST(a_reply_on_its_way_says_nothing_good)
{
    struct pace p;
    pace_init(&p, MAX);
    pace_begin(&p);
    for (int i = 0; i < 20; i++) {
        pace_waited(&p, 50000);
        pace_waited(&p, 100000);
        pace_sample(&p, 120000);
    }
    ck_assert_uint_eq(p.window, MAX);
    pace_waited(&p, 2 * 120000 + PACE_SLACK_US + 1);
    ck_assert_uint_eq(p.window, MAX / 2);
    for (int i = 0; i < 20; i++)
        pace_waited(&p, 50000);
    ck_assert_uint_eq(p.window, MAX / 2);
}
END_TEST

/* A usual time is smoothed: one slow reply doesn't make all that follow look fast. */
START_TEST(the_usual_time_is_smoothed)
{
    struct pace p;
    pace_init(&p, MAX);
    for (int i = 0; i < 50; i++)
        pace_usual(&p, 1000);
    pace_usual(&p, 9000);
    ck_assert_uint_eq(p.usual_us, 2000);
    for (int i = 0; i < 50; i++)
        pace_usual(&p, 1000);
    ck_assert_uint_lt(p.usual_us, 1100);
}
END_TEST

START_TEST(a_small_send_window_is_kept)
{
    struct pace p;
    pace_init(&p, 2000);
    pace_usual(&p, 1);
    pace_begin(&p);
    for (int i = 0; i < 10; i++)
        pace_sample(&p, 1000000);
    ck_assert_uint_eq(p.window, 2000);
}
END_TEST

/* A peer that takes 20 MB a second: what is in flight waits in line before the reply. The window
 * settles where the reply takes about twice its time, and opens when the peer gets faster. */
START_TEST(it_settles_at_what_the_peer_takes)
{
    const uint64_t usual = 2000;
    struct pace p;
    pace_init(&p, MAX);
    pace_usual(&p, usual);
    pace_begin(&p);
    uint64_t sum = 0, slowest = 0;
    for (int i = 0; i < 400; i++) {
        uint64_t reply = usual + (uint64_t)p.window * 1000000 / (20u << 20);
        pace_sample(&p, reply);
        sum += i >= 200 ? p.window : 0;
        slowest = i >= 200 && reply > slowest ? reply : slowest;
    }
    ck_assert_uint_le(slowest, 3 * usual + PACE_SLACK_US);
    ck_assert_uint_ge(sum / 200, PACE_MIN / 2);
    for (int i = 0; i < 40; i++)
        pace_sample(&p, usual + (uint64_t)p.window * 1000000 / (4000u << 20));
    ck_assert_uint_eq(p.window, MAX);
}
END_TEST

START_TEST(a_meter_follows)
{
    struct meter m = {0};
    uint64_t total = 1000000, rate = meter_look(&m, total, 5000);
    ck_assert_uint_eq(rate, 0);
    for (uint64_t ms = 5050; ms <= 5500; ms += 50)
        rate = meter_look(&m, total += 5000, ms);
    ck_assert_uint_ge(rate, 99000); /* 100 bytes a ms, and no second to find out */
    ck_assert_uint_le(rate, 101000);
    for (uint64_t ms = 5550; ms <= 9500; ms += 50)
        rate = meter_look(&m, total += 500, ms);
    ck_assert_uint_le(rate, 13000);
    ck_assert_uint_ge(rate, 9900);
    ck_assert_uint_eq(meter_look(&m, total, 9500), rate); /* no time has passed */
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, it_begins_wide_open);
    tcase_add_test(c, it_halves_while_replies_are_slow);
    tcase_add_test(c, without_a_usual_time_the_lowest_counts);
    tcase_add_test(c, a_reply_on_its_way_says_nothing_good);
    tcase_add_test(c, the_usual_time_is_smoothed);
    tcase_add_test(c, a_small_send_window_is_kept);
    tcase_add_test(c, it_settles_at_what_the_peer_takes);
    tcase_add_test(c, a_meter_follows);
}

int main(void)
{
    return unit_main("pace", add_cases);
}
