/* When a second replica is asked: the pure core by itself, and clients in virtual time whose first
 * replica is slow now and then. */
#include "core/compiler.h"
#include "request/hedge.h"
#include "unit.h"

static void know(struct hedges *h, uint16_t node, unsigned n, uint64_t us)
{
    for (unsigned i = 0; i < n; i++) {
        struct hedge_wait w = {0};
        hedges_ask(h, &w, node, true, 1000000);
        hedges_answered(h, &w, 1000000 + us);
    }
}

START_TEST(percentiles)
{
    static const struct {
        unsigned fast, slow;
        uint64_t fast_us, slow_us;
        uint32_t least, most;
    } cases[] = {
        {HEDGE_SAMPLES - 1, 0, 500, 0, 0, 0}, /* too few */
        {HEDGE_SAMPLES, 0, 500, 0, 500, 640},
        {500, 0, 10, 0, 64, 64},
        {495, 5, 500, 80000, 500, 640},
        {400, 100, 500, 80000, 80000, 98304},
        {200, 0, 0, 0, 64, 64},
        {200, 0, 3600000000u, 0, 16000000, 17000000}, /* longer than any bucket */
        {200, 0, 2000000, 0, 2000000, 2500000},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct hedge_times t = {0};
        for (unsigned k = 0; k < cases[i].slow; k++)
            hedge_times_add(&t, cases[i].slow_us);
        for (unsigned k = 0; k < cases[i].fast; k++)
            hedge_times_add(&t, cases[i].fast_us);
        ck_assert_msg(t.p99_us >= cases[i].least && t.p99_us <= cases[i].most, "case %zu: %u us", i,
                      t.p99_us);
    }
}
END_TEST

/* Every length lies in a bucket that ends above it, by at most a quarter. */
START_TEST(buckets)
{
    for (uint64_t us = 64; us < 16000000; us += us / 7 + 1) {
        struct hedge_times t = {0};
        for (unsigned k = 0; k < HEDGE_SAMPLES; k++)
            hedge_times_add(&t, us);
        ck_assert_msg(t.p99_us > us && t.p99_us <= us + us / 4 + 1, "%u for %u", t.p99_us,
                      (unsigned)us);
    }
}
END_TEST

START_TEST(what_was_is_forgotten)
{
    struct hedge_times t = {0};
    for (unsigned k = 0; k < 100000; k++)
        hedge_times_add(&t, 50000);
    for (unsigned k = 0; k < 6 * HEDGE_RECENT; k++)
        hedge_times_add(&t, 700);
    ck_assert_uint_lt(t.p99_us, 1000);
    for (unsigned k = 0; k < HEDGE_RECENT / 50; k++) /* and what is new is believed at once */
        hedge_times_add(&t, 50000);
    ck_assert_uint_gt(t.p99_us, 50000);
}
END_TEST

START_TEST(one_that_is_slower_than_usual)
{
    struct hedges h = {0};
    struct hedge_wait w = {0};
    know(&h, 3, 400, 2000);
    ck_assert(hedges_due(&h) == HEDGE_NEVER);
    hedges_ask(&h, &w, 3, true, 5000000);
    uint64_t due = hedges_due(&h);
    ck_assert_uint_gt(due, 5002000);
    ck_assert_uint_le(due, 5002500);
    ck_assert_ptr_null(hedges_next(&h, due - 1));
    ck_assert_ptr_eq(hedges_next(&h, due), &w);
    ck_assert_ptr_null(hedges_next(&h, due + 1000000)); /* once */
    ck_assert(hedges_due(&h) == HEDGE_NEVER);
    hedges_answered(&h, &w, due + 1);
    hedges_fini(&h);
}
END_TEST

START_TEST(no_hedge)
{
    struct hedges h = {0};
    struct hedge_wait w[4] = {0};
    know(&h, 0, 400, 100);
    know(&h, 1, HEDGE_SAMPLES - 1, 100);
    hedges_ask(&h, &w[0], 0, false, 5000000); /* there is no second one */
    hedges_ask(&h, &w[1], 1, true, 5000000);  /* nobody knows what is usual there */
    hedges_ask(&h, &w[2], 2, true, 5000000);
    ck_assert(hedges_due(&h) == HEDGE_NEVER);
    hedges_ask(&h, &w[3], 0, true, 5000000);
    ck_assert_uint_eq(hedges_due(&h), 5000000 + HEDGE_LEAST_US); /* never sooner */
    hedges_over(&h, &w[3]);
    hedges_over(&h, &w[3]);
    ck_assert_ptr_null(hedges_next(&h, 9000000));
    hedges_over(&h, &w[0]);
    hedges_fini(&h);
}
END_TEST

/* The oldest first, over all nodes, and only those that are paid for. */
START_TEST(whose_turn_it_is)
{
    struct hedges h = {0};
    struct hedge_wait w[40] = {0};
    know(&h, 0, 200, 100);
    know(&h, 7, 200, 10000);
    while (h.credit >= HEDGE_COST)
        h.credit -= HEDGE_COST;
    for (unsigned i = 0; i < 36; i++)
        hedges_ask(&h, &w[i], i % 2 ? 7 : 0, true, 5000000 + i);
    h.credit = 3 * HEDGE_COST - 4;
    ck_assert_ptr_eq(hedges_next(&h, 6000000), &w[0]);
    hedges_answered(&h, &w[2], 5000500); /* from the middle of the list */
    ck_assert_ptr_eq(hedges_next(&h, 6000000), &w[4]);
    ck_assert_ptr_null(hedges_next(&h, 6000000)); /* no credit */
    ck_assert(hedges_due(&h) == HEDGE_NEVER);
    for (unsigned i = 36; i < 40; i++)
        hedges_ask(&h, &w[i], 0, true, 5000000 + i);
    ck_assert_uint_lt(hedges_due(&h), 6000000);
    ck_assert_ptr_eq(hedges_next(&h, 6000000), &w[6]);
    h.credit = 16 * HEDGE_COST;
    for (unsigned i = 0; i < 40; i += i < 36 ? 2 : 1) /* all of node 0 */
        hedges_over(&h, &w[i]);
    for (unsigned i = 1; i < 36; i += 2) {
        struct hedge_wait *next = hedges_next(&h, 6000000);
        ck_assert_ptr_eq(next, i / 2 < 16 ? &w[i] : NULL);
    }
    for (unsigned i = 0; i < 40; i++)
        hedges_over(&h, &w[i]);
    ck_assert_ptr_null(h.busy);
    hedges_fini(&h);
}
END_TEST

/* ---- clients in virtual time ------------------------------------------------------------------
 */

#define CLIENTS  20
#define STEP_US  100
#define TIMER_US 1000 /* the loop's timers are no finer */
#define READS    50000

struct client {
    struct hedge_wait w;                    /* first: what hedges_next gives */
    uint64_t asked_us, first_us, second_us; /* when they answer; second 0: not asked */
};
struct world {
    struct hedges h;
    struct client client[CLIENTS];
    uint64_t now_us;
    uint32_t random;
    uint32_t per_mille, slow_us;       /* of the first replica's answers so many take so long */
    uint32_t stall_every_us, stall_us; /* or all of them, now and then */
    bool hedging;
    uint32_t *took;
    size_t n, hedged, won;
    uint32_t p99_us, p999_us;
};

static uint32_t rnd(struct world *m)
{
    m->random = m->random * 1664525u + 1013904223u;
    return m->random >> 8;
}

static uint64_t stall_end(const struct world *m, uint64_t at)
{
    uint64_t into = m->stall_every_us ? at % m->stall_every_us : 0;
    bool in = m->stall_every_us && into < m->stall_us;
    return in ? at - into + m->stall_us : at;
}

static void ask(struct world *m, struct client *c)
{
    bool slow = rnd(m) % 1000 < m->per_mille;
    c->asked_us = m->now_us;
    c->first_us = stall_end(m, m->now_us) + 300 + rnd(m) % 400 + (slow ? m->slow_us : 0);
    c->second_us = 0;
    hedges_ask(&m->h, &c->w, 0, m->hedging, m->now_us);
}

static void look_at(struct world *m, struct client *c)
{
    bool first = c->first_us <= m->now_us, second = c->second_us && c->second_us <= m->now_us;
    if (!first && !second)
        return;
    if (first)
        hedges_answered(&m->h, &c->w, m->now_us);
    else
        hedges_over(&m->h, &c->w);
    m->won += !first;
    m->took[m->n++] = (uint32_t)(m->now_us - c->asked_us);
    ck_assert_uint_le(m->hedged * HEDGE_COST, m->n + CLIENTS); /* at any moment */
    ask(m, c);
}

static void on_timer(struct world *m)
{
    for (struct hedge_wait *w; (w = hedges_next(&m->h, m->now_us)); m->hedged++)
        ((struct client *)(void *)w)->second_us = m->now_us + 400 + rnd(m) % 400;
}

static void run(struct world *m)
{
    m->took = calloc(READS + CLIENTS, sizeof *m->took);
    for (int i = 0; i < CLIENTS; i++)
        ask(m, &m->client[i]);
    while (m->n < READS) {
        m->now_us += STEP_US;
        for (int i = 0; i < CLIENTS && m->n < READS; i++)
            look_at(m, &m->client[i]);
        if (m->now_us % TIMER_US == 0)
            on_timer(m);
    }
    for (int i = 0; i < CLIENTS; i++)
        hedges_over(&m->h, &m->client[i].w);
    ck_assert_ptr_null(m->h.busy);
    hedges_fini(&m->h);
}

static int by_length(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Of the second half, when it is known what is usual. */
static void weigh(struct world *m)
{
    uint32_t *half = m->took + READS / 2;
    qsort(half, READS / 2, sizeof *half, by_length);
    m->p99_us = half[READS / 2 / 100 * 99];
    m->p999_us = half[READS / 2 / 1000 * 999];
    free(m->took);
}

static void both(const char *what, struct world *with, struct world *without)
{
    with->hedging = true;
    *without = *with;
    without->hedging = false;
    run(with);
    run(without);
    weigh(with);
    weigh(without);
    printf("%s: p99 %u us, without %u; p99.9 %u, without %u; hedged %zu of %zu, won %zu\n", what,
           with->p99_us, without->p99_us, with->p999_us, without->p999_us, with->hedged, with->n,
           with->won);
    ck_assert_uint_eq(without->hedged, 0);
}

/* A few answers in a hundred are slow: nearly all of those reads become fast. */
static const uint32_t slow_per_mille[] = {5, 10, 20, 30, 40};
START_TEST(slow_now_and_then)
{
    uint32_t per_mille = slow_per_mille[_i];
    struct world with = {.random = 7, .per_mille = per_mille, .slow_us = 80000}, without;
    both("slow now and then", &with, &without);
    ck_assert_uint_lt(with.p99_us, 4000);
    ck_assert_uint_lt(with.p999_us, 4000);
    ck_assert_uint_gt(without.p999_us, 80000);
    if (per_mille > 15)
        ck_assert_uint_gt(without.p99_us, 80000);
    ck_assert_uint_gt(with.won, with.n / 2 * per_mille / 1000);
}
END_TEST

/* Always slow: that is usual then, and nothing is gained by asking others. */
START_TEST(always_slow)
{
    struct world with = {.random = 9, .per_mille = 1000, .slow_us = 80000}, without;
    both("always slow", &with, &without);
    ck_assert_uint_lt(with.hedged, READS / 100);
}
END_TEST

/* One answer in ten: more than hedges may help. */
START_TEST(slow_too_often)
{
    struct world with = {.random = 11, .per_mille = 100, .slow_us = 80000}, without;
    both("slow too often", &with, &without);
}
END_TEST

/* It stands still for 50 ms each second: there is credit saved up for those who meet it first. */
START_TEST(standing_still)
{
    struct world with = {.random = 13, .stall_every_us = 1000000, .stall_us = 50000}, without;
    both("standing still", &with, &without);
    ck_assert_uint_ge(with.won, HEDGE_BURST * (with.now_us / 1000000));
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, percentiles);
    tcase_add_test(c, buckets);
    tcase_add_test(c, what_was_is_forgotten);
    tcase_add_test(c, one_that_is_slower_than_usual);
    tcase_add_test(c, no_hedge);
    tcase_add_test(c, whose_turn_it_is);
    tcase_add_loop_test(c, slow_now_and_then, 0, ARRAY_LEN(slow_per_mille));
    tcase_add_test(c, always_slow);
    tcase_add_test(c, slow_too_often);
    tcase_add_test(c, standing_still);
}

int main(void)
{
    return unit_main("hedge", add_cases);
}
