/* Tickets: each finds its own thing while that is there, and nothing afterwards. */
#include "core/slots.h"
#include "unit.h"

#define N 500

START_TEST(tickets_at_random)
{
    struct slots s = {0};
    uint64_t live[N], dead[N];
    size_t nlive = 0, ndead = 0;
    int things[N];
    unsigned seed = unit_seed();
    for (int i = 0; i < 50000; i++) {
        if (nlive < N && rand_r(&seed) % 2) {
            live[nlive] = slots_put(&s, &things[nlive]);
            ck_assert_uint_ne(live[nlive], 0);
            nlive++;
        } else if (nlive) {
            uint64_t t = live[--nlive]; /* the last, so that things[i] stays that of live[i] */
            slots_drop(&s, t);
            dead[ndead++ % N] = t;
        }
        slots_rest(&s); /* does something only when it is empty */
        size_t k = (unsigned)rand_r(&seed) % N;
        if (k < nlive)
            ck_assert_ptr_eq(slots_get(&s, live[k]), &things[k]);
        if (k < ndead)
            ck_assert_ptr_null(slots_get(&s, dead[k]));
        ck_assert_uint_eq(s.used, nlive);
    }
    ck_assert_uint_le(s.n, N); /* slots are used again */
    slots_fini(&s);
}
END_TEST

START_TEST(rested_slots_are_small_and_know_no_old_ticket)
{
    struct slots s = {0};
    uint64_t old[N], fresh[N];
    int thing;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++)
            old[i] = slots_put(&s, &thing);
        slots_rest(&s);
        ck_assert_ptr_eq(slots_get(&s, old[N - 1]), &thing);
        for (size_t i = 0; i < N; i++)
            slots_drop(&s, old[i]);
        slots_rest(&s);
        ck_assert_uint_eq(s.cap, 0);
        for (size_t i = 0; i < N; i++)
            fresh[i] = slots_put(&s, &thing);
        for (size_t i = 0; i < N; i++) {
            ck_assert_ptr_null(slots_get(&s, old[i]));
            slots_drop(&s, fresh[i]);
        }
    }
    slots_fini(&s);
}
END_TEST

START_TEST(strange_tickets)
{
    struct slots s = {0};
    int thing;
    ck_assert_ptr_null(slots_get(&s, 0));
    ck_assert_ptr_null(slots_get(&s, UINT64_MAX));
    slots_drop(&s, 0);
    slots_drop(&s, UINT64_MAX);
    uint64_t t = slots_put(&s, &thing);
    ck_assert_ptr_null(slots_get(&s, 0));
    ck_assert_ptr_null(slots_get(&s, t ^ 1));
    ck_assert_ptr_null(slots_get(&s, t + (1ull << 32)));
    slots_drop(&s, t);
    slots_drop(&s, t); /* twice is harmless */
    ck_assert_uint_eq(s.used, 0);
    uint64_t u = slots_put(&s, &thing), v = slots_put(&s, &s);
    ck_assert_uint_ne(u, t);
    ck_assert_ptr_eq(slots_get(&s, u), &thing);
    ck_assert_ptr_eq(slots_get(&s, v), &s);
    slots_fini(&s);
}
END_TEST

START_TEST(walks_over_all_that_are_there)
{
    struct slots s = {0};
    int things[10];
    uint64_t t[10];
    uint32_t at = 0;
    ck_assert_ptr_null(slots_next(&s, &at));
    for (int i = 0; i < 10; i++)
        t[i] = slots_put(&s, &things[i]);
    for (int i = 0; i < 10; i += 3)
        slots_drop(&s, t[i]);
    unsigned seen = 0;
    at = 0;
    for (int *p; (p = slots_next(&s, &at));) {
        seen |= 1u << (p - things);
        slots_drop(&s, t[p - things]); /* dropping while walking is fine */
    }
    ck_assert_uint_eq(seen, 0x3ffu & ~(1u << 0 | 1u << 3 | 1u << 6 | 1u << 9));
    ck_assert_uint_eq(s.used, 0);
    slots_fini(&s);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, tickets_at_random);
    tcase_add_test(c, rested_slots_are_small_and_know_no_old_ticket);
    tcase_add_test(c, strange_tickets);
    tcase_add_test(c, walks_over_all_that_are_there);
}

int main(void)
{
    return unit_main("slots", add_cases);
}
