/* An alarm rings at its time, once, at the earliest one that it was set for; with a descriptor and
 * without one. */
#include "core/alarm.h"
#include "core/clock.h"
#include "unit.h"
#include <stdbool.h>
#include <sys/resource.h>

struct heard {
    struct alarm alarm;
    unsigned times;
    uint64_t at_us;
};

static void on_alarm(void *arg)
{
    struct heard *h = arg;
    h->times++;
    h->at_us = clock_mono_us();
}

static void wait_for(uv_loop_t *loop, struct heard *h, unsigned times)
{
    while (h->times < times)
        uv_run(loop, UV_RUN_ONCE);
}

/* The loop waits for nothing else: it would hang if the alarm didn't ring. */
static void rings(bool descriptor)
{
    uv_loop_t loop;
    struct heard h = {0};
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    uv_loop_init(&loop);
    if (!descriptor)
        setrlimit(RLIMIT_NOFILE, &none);
    alarm_init(&h.alarm, &loop, on_alarm, &h);
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(h.alarm.fd >= 0, descriptor);
    for (unsigned i = 1; i <= 5; i++) {
        uint64_t now = clock_mono_us();
        alarm_set(&h.alarm, now + 60000);
        alarm_set(&h.alarm, now + 3000);
        alarm_set(&h.alarm, now + 90000);
        wait_for(&loop, &h, i);
        if (descriptor)
            ck_assert_uint_ge(h.at_us, now + 3000);
        ck_assert_uint_eq(h.alarm.set_us, 0);
    }
    alarm_set(&h.alarm, 1); /* long past */
    wait_for(&loop, &h, 6);
    for (int i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    alarm_set(&h.alarm, clock_mono_us() + 50000);
    alarm_close(&h.alarm);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(h.times, 6);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

START_TEST(with_a_descriptor)
{
    rings(true);
}
END_TEST

START_TEST(without_one)
{
    rings(false);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, with_a_descriptor);
    tcase_add_test(c, without_one);
}

int main(void)
{
    return unit_main("alarm", add_cases);
}
