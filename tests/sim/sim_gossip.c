/* Gossip in the simulator, part of `make check`: what is promised of it, in runs from many seeds.
 *
 *     sim_gossip               all kinds of runs, from the same seeds each time
 *     SIM_NEW=1 sim_gossip     from new seeds, whose first is printed (make check-faults)
 *     sim_gossip kill-30       only this kind
 *     SEED=n sim_gossip mixed  this seed only, and what happens in it: a run that failed, again
 *     SIM_JOBS=n               so many processes; else the CPUs */
#include "gossip_many.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A sanitizer makes all of it many times slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LESS 20
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LESS 20
#endif
#endif
#ifndef LESS
#define LESS 1
#endif

struct kind {
    const char *name;
    run_fn *fn;
    unsigned nodes;
    uint64_t for_ms;
    unsigned seeds;
    uint64_t limit_ms;
    double part;    /* of the runs has to be within the limit */
    bool no_deaths; /* none may be false */
};

static const struct kind kinds[] = {
    {"start-3", run_start, 3, 0, 50, 10000, 1, true},
    {"start-30", run_start, 30, 0, 20, 10000, 1, true},
    {"kill-3", run_kill, 3, 0, 500, 5000, 0.99, true},
    {"kill-10", run_kill, 10, 0, 300, 5000, 0.99, true},
    {"kill-30", run_kill, 30, 0, 200, 5000, 0.99, true},
    {"kill-100", run_kill, 100, 0, 100, 7000, 0.99, true},
    {"join-100", run_join, 100, 0, 30, 2000, 1, true},
    {"rough-10", run_rough, 10, 300000, 10, 10000, 1, true},
    {"rough-50", run_rough, 50, 120000, 4, 10000, 1, true},
    {"one-way-3", run_one_way, 3, 0, 50, 10000, 1, true},
    {"one-way-10", run_one_way, 10, 0, 50, 10000, 1, true},
    {"partition-5", run_partition, 5, 0, 200, 10000, 1, false},
    {"partition-30", run_partition, 30, 0, 40, 10000, 1, false},
    {"moves-8", run_moves, 8, 0, 100, 10000, 1, false},
    {"twins-5", run_twins, 5, 0, 50, 10000, 1, false},
    {"bad-input-10", run_bad_input, 10, 0, 50, 10000, 1, true},
    {"mixed", run_mixed, 0, 0, 400, 30000, 1, false},
    {"claims", run_claims, 0, 0, 200, 30000, 1, false},
};

static uint64_t first_seed(void)
{
    const char *given = getenv("SEED");
    if (given)
        return strtoull(given, NULL, 10);
    return getenv("SIM_NEW") ? (uint64_t)time(NULL) * 100000 : 1;
}

static bool is_good(const struct kind *k, const struct run_result *r)
{
    return r->ms <= k->limit_ms && !(k->no_deaths && r->figures.false_deaths);
}

static void print_ms(const char *before, uint64_t ms)
{
    if (ms == RUN_NEVER)
        printf("%snever", before);
    else
        printf("%s%lu ms", before, (unsigned long)ms);
}

/* The run again, with what happens in it. */
static bool replay(const struct kind *k, uint64_t seed)
{
    run_loudly(true);
    struct run_result r = k->fn(&(struct run){k->nodes, k->for_ms, seed});
    run_loudly(false);
    printf("%s seed %lu:", k->name, (unsigned long)seed);
    print_ms(" ", r.ms);
    printf(" (allowed: %lu), %lu false deaths, trace %016lx: %s\n", (unsigned long)k->limit_ms,
           (unsigned long)r.figures.false_deaths, (unsigned long)r.trace,
           is_good(k, &r) ? "good" : "BAD");
    return is_good(k, &r);
}

static bool run_kind(const struct kind *k, uint64_t base)
{
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    unsigned seeds = k->seeds / LESS ? k->seeds / LESS : 1;
    struct many m = many_run(k->fn, (struct run){k->nodes, k->for_ms, 0}, seeds, base, 0);
    unsigned late = 0, dead = 0;
    const struct run_result *worst = NULL;
    for (unsigned i = 0; i < m.done; i++) {
        const struct run_result *r = &m.results[i];
        late += r->ms > k->limit_ms;
        dead += k->no_deaths && r->figures.false_deaths;
        if (!worst || (!is_good(k, r) && (is_good(k, worst) || r->ms > worst->ms)))
            worst = r;
    }
    unsigned may_be_late = (unsigned)((1 - k->part) * seeds + 0.999);
    bool good = m.done == seeds && !dead && late <= may_be_late;
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%-13s %4u seeds,", k->name, seeds);
    print_ms(" half in ", many_quantile(&m, 0.5));
    print_ms(", 99 % in ", many_quantile(&m, 0.99));
    print_ms(", all in ", many_quantile(&m, 1));
    printf(" (%g s)%s\n", (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9,
           good ? "" : " FAILED");
    if (!good && worst) {
        uint64_t seed = m.seeds[worst - m.results];
        printf("%u too late, %u with false deaths; SEED=%lu sim_gossip %s replays:\n", late, dead,
               (unsigned long)seed, k->name);
        replay(k, seed);
    }
    many_free(&m);
    return good;
}

/* What ran before in this process makes no difference either. */
static bool is_repeatable(uint64_t base)
{
    struct run_result a = run_mixed(&(struct run){0, 0, base});
    struct run_result b = run_mixed(&(struct run){0, 0, base + 1});
    struct run_result c = run_mixed(&(struct run){0, 0, base});
    bool good = a.trace == c.trace && a.ms == c.ms && a.trace != b.trace;
    printf("repeatable    seed %lu: traces %016lx %016lx, of the next one %016lx%s\n",
           (unsigned long)base, (unsigned long)a.trace, (unsigned long)c.trace,
           (unsigned long)b.trace, good ? "" : " FAILED");
    return good;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    uint64_t base = first_seed();
    printf("seed %lu\n", (unsigned long)base);
    bool good = true;
    if (is_wanted("repeatable", argc, argv))
        good = is_repeatable(base);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!is_wanted(kinds[i].name, argc, argv))
            continue;
        good = (getenv("SEED") ? replay(&kinds[i], base) : run_kind(&kinds[i], base)) && good;
        fflush(stdout);
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
