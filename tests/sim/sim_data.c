/* The data path in the simulator: seed after seed, in the time given; then each damage, which must
 * be found.
 *
 *     sim_data [seeds [from]]      SIM_DATA_SECONDS=n: no longer than that
 *     GOSSIP=1 sim_data            with membership on
 *     SEED=n sim_data              only this one; SHOW=1: with the servers' logs, DAMAGE=name: with
 * it
 */
#include "core/mem.h"
#include "data.h"
#include "wire/command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CHECKED 1
#endif
#endif

#ifdef CHECKED /* by a tool that makes it slow */
#define SEEDS   100
#define SECONDS 20
#define DAMAGED 0 /* the checks are the same */
#else
#define SEEDS   2400
#define SECONDS 60
#define DAMAGED 1
#endif
#define FOUND_WITHIN 600 /* seeds: a damage */

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static unsigned long number(const char *text, unsigned long fallback)
{
    return text && *text ? strtoul(text, NULL, 10) : fallback;
}

static enum data_damage damage_from(const char *name)
{
    for (int d = 0; name && d < DAMAGES; d++)
        if (strcmp(name, data_damage_name((enum data_damage)d)) == 0)
            return (enum data_damage)d;
    return DAMAGE_NONE;
}

static void show(uint64_t seed, const struct data_result *r)
{
    printf("seed %llu: %u nodes, %u faults, %llu ms, %u writes (%u answered, %u refused, %u "
           "without an answer), %u reads (%u at quorum checked, %u hedged), %u keys: %u checked, "
           "%u left out, "
           "%u need repair; trace %016llx\n",
           (unsigned long long)seed, r->nodes, r->faults, (unsigned long long)r->virtual_ms,
           r->writes, r->answered, r->refused, r->unanswered, r->reads, r->quorum_reads, r->hedged,
           r->keys, r->checked, r->left_out, r->repair, (unsigned long long)r->trace);
}

static void sum_up(struct data_result *all, const struct data_result *r)
{
    all->nodes += r->nodes;
    all->writes += r->writes;
    all->reads += r->reads;
    all->answered += r->answered;
    all->refused += r->refused;
    all->unanswered += r->unanswered;
    all->keys += r->keys;
    all->checked += r->checked;
    all->left_out += r->left_out;
    all->repair += r->repair;
    all->faults += r->faults;
    all->quorum_reads += r->quorum_reads;
    all->hedged += r->hedged;
    all->virtual_ms += r->virtual_ms;
}

static bool one(uint64_t seed, enum data_damage damage, struct data_result *r)
{
    struct data_options o = {.seed = seed, .damage = damage, .show = getenv("SHOW") != NULL};
    bool ok = data_run(&o, r);
    if (!ok && damage == DAMAGE_NONE)
        printf("seed %llu: %s\n    SEED=%llu SHOW=1 sim_data replays it\n",
               (unsigned long long)seed, r->why, (unsigned long long)seed);
    return ok;
}

/* In the time given; how many failed. */
static unsigned search(uint64_t from, unsigned long seeds, double limit)
{
    struct data_result all = {.why = ""}, r;
    double began = seconds();
    unsigned failed = 0;
    unsigned long n = 0;
    for (; n < seeds && failed < 5 && seconds() - began < limit; n++) {
        failed += !one(from + n, DAMAGE_NONE, &r);
        sum_up(&all, &r);
    }
    printf("%lu seeds from %llu in %.1f s: %u faults, %u writes (%u answered, %u refused, %u "
           "without an answer), %u reads (%u at quorum checked, %u hedged); %u keys checked, %u "
           "left out, %u "
           "need repair; %u failed\n",
           n, (unsigned long long)from, seconds() - began, all.faults, all.writes, all.answered,
           all.refused, all.unanswered, all.reads, all.quorum_reads, all.hedged, all.checked,
           all.left_out, all.repair, failed);
    return failed;
}

/* The same seed is the same run. */
static bool replays(uint64_t seed)
{
    struct data_result a, b;
    (void)one(seed, DAMAGE_NONE, &a);
    (void)one(seed, DAMAGE_NONE, &b);
    if (a.trace == b.trace)
        return true;
    printf("seed %llu: two runs differ\n", (unsigned long long)seed);
    return false;
}

static bool is_found(enum data_damage d)
{
    struct data_result r;
    for (uint64_t seed = 1; seed <= FOUND_WITHIN; seed++) {
        if (one(seed, d, &r))
            continue;
        printf("damage %s: found by seed %llu: %s\n", data_damage_name(d), (unsigned long long)seed,
               r.why);
        return true;
    }
    printf("damage %s: not found by %d seeds\n", data_damage_name(d), FOUND_WITHIN);
    return false;
}

int main(int argc, char **argv)
{
    struct data_result r;
    enum data_damage damage = damage_from(getenv("DAMAGE"));
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("SEED")) {
        uint64_t seed = number(getenv("SEED"), 1);
        bool ok = one(seed, damage, &r);
        show(seed, &r);
        if (!ok)
            printf("%s\n", r.why);
        return ok ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    unsigned long seeds = number(argc > 1 ? argv[1] : getenv("SIM_DATA_SEEDS"), SEEDS);
    uint64_t from = number(argc > 2 ? argv[2] : NULL, 1);
    double limit = (double)number(getenv("SIM_DATA_SECONDS"), SECONDS);
    unsigned failed = search(from, seeds, limit);
    failed += !replays(from);
    for (int d = DAMAGE_NONE + 1; DAMAGED && d < DAMAGES; d++)
        failed += !is_found((enum data_damage)d);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
