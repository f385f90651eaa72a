/* The figures of gossip, as tables in markdown on stdout (`make sim`): they stand in
 * ARCHITECTURE.md. Takes as long as it takes; progress goes to stderr.
 *
 *     sim_figures [kill] [join] [rest] [cost] [faults]     only these tables
 *     sim_figures mixed claims                             only these rows of the last one
 *     SEED=n       the first seed (1)
 *     SIM_SEEDS=n  instead of 1,000
 *     SIM_SECONDS=n  at most so long for each row (600) */
#include "gossip_many.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static uint64_t env(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given ? strtoull(given, NULL, 10) : otherwise;
}

static int nwanted;
static char **wanted;

static bool is_wanted(const char *table, const char *row)
{
    for (int i = 0; i < nwanted; i++)
        if (strcmp(wanted[i], table) == 0 || strcmp(wanted[i], row) == 0)
            return true;
    return nwanted == 0;
}

static uint64_t base_seed(void)
{
    return env("SEED", 1);
}

static unsigned seeds(void)
{
    return (unsigned)env("SIM_SEEDS", 1000);
}

static unsigned seconds(void)
{
    return (unsigned)env("SIM_SECONDS", 600);
}

static void print_s(uint64_t ms)
{
    if (ms == RUN_NEVER)
        printf(" never |");
    else
        printf(" %.2f |", (double)ms / 1000);
}

/* The last row's seeds that were worst. */
static void complain(const struct many *m, const char *what, uint64_t limit, bool deaths)
{
    for (unsigned i = 0, said = 0; i < m->done && said < 5; i++) {
        const struct run_result *r = &m->results[i];
        if (r->ms <= limit && !(deaths && r->figures.false_deaths))
            continue;
        said++;
        fprintf(stderr, "  %s, seed %lu: %ld ms, %lu false deaths\n", what,
                (unsigned long)m->seeds[i], r->ms == RUN_NEVER ? -1L : (long)r->ms,
                (unsigned long)r->figures.false_deaths);
    }
}

static void print_kill(void)
{
    static const struct {
        unsigned nodes;
        uint64_t limit;
    } rows[] = {{3, 5000}, {10, 5000}, {30, 5000}, {100, 7000}, {1000, 10000}};
    printf("\nA node is killed: seconds until it is DOWN for the first and for every live node.\n\n"
           "| nodes | seeds | first, median | first, p99 | all, median | all, p99 | all, worst | "
           "allowed p99 | false deaths |\n|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct many m =
            many_run(run_kill, (struct run){rows[i].nodes, 0, 0}, seeds(), base_seed(), seconds());
        printf("| %u | %u |", rows[i].nodes, m.done);
        print_s(many_first(&m, 0.5));
        print_s(many_first(&m, 0.99));
        print_s(many_quantile(&m, 0.5));
        print_s(many_quantile(&m, 0.99));
        print_s(many_quantile(&m, 1));
        print_s(rows[i].limit);
        printf(" %lu |\n", (unsigned long)many_figures(&m).false_deaths);
        fflush(stdout);
        complain(&m, "kill", rows[i].limit, true);
        many_free(&m);
    }
}

static void print_join(void)
{
    static const struct {
        unsigned nodes;
        uint64_t limit;
    } rows[] = {{10, 2000}, {100, 2000}, {1000, 3000}};
    printf("\nA node joins: seconds until the first and every node knows it.\n\n"
           "| nodes | seeds | first, p99 | all, median | all, p99 | all, worst | allowed |\n"
           "|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct many m =
            many_run(run_join, (struct run){rows[i].nodes, 0, 0}, seeds(), base_seed(), seconds());
        printf("| %u | %u |", rows[i].nodes, m.done);
        print_s(many_first(&m, 0.99));
        print_s(many_quantile(&m, 0.5));
        print_s(many_quantile(&m, 0.99));
        print_s(many_quantile(&m, 1));
        print_s(rows[i].limit);
        printf("\n");
        fflush(stdout);
        complain(&m, "join", rows[i].limit, true);
        many_free(&m);
    }
}

static void print_rest(void)
{
    static const unsigned rows[] = {3, 10, 30, 100, 300, 1000};
    const uint64_t for_ms = 60000;
    printf(
        "\nAt rest, one minute: what a node sends. Bytes are those of whole frames, proofs "
        "included.\n\n"
        "| nodes | messages per node and second | bytes per node and second | largest message |\n"
        "|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct many m = many_run(run_rest, (struct run){rows[i], for_ms, 0}, 4, base_seed(), 0);
        struct gossip_figures f = many_figures(&m);
        double each = (double)m.done * rows[i] * (double)for_ms / 1000;
        printf("| %u | %.2f | %.0f | %lu |\n", rows[i], (double)f.messages / each,
               (double)f.bytes / each, (unsigned long)f.largest);
        fflush(stdout);
        many_free(&m);
    }
}

static uint64_t peak_mb(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (uint64_t)u.ru_maxrss / 1024;
}

static void print_cost(void)
{
    static const unsigned rows[] = {100, 300, 1000, 3000, 10000};
    setenv("SIM_JOBS", "1", 1);
    printf("\nWhat gossip costs a node at rest: CPU time of its core for one round of 1000 ms, "
           "alone in a process.\n\n"
           "| nodes | microseconds per node and round | of a node that is everybody's seed | "
           "memory of the simulation, MB |\n"
           "|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const uint64_t for_ms = 30000;
        struct many m = many_run(run_cost, (struct run){rows[i], for_ms, 0}, 1, base_seed(), 0);
        printf("| %u | %.1f | %.1f | %lu |\n", rows[i], (double)many_quantile(&m, 1) / 1000,
               (double)many_first(&m, 1) / 1000, (unsigned long)peak_mb());
        fflush(stdout);
        many_free(&m);
    }
    unsetenv("SIM_JOBS");
}

static void print_faults(void)
{
    const struct {
        const char *what, *name;
        run_fn *fn;
        struct run r;
        unsigned seeds;
        bool deaths; /* of live nodes count as false */
    } rows[] = {
        {"an hour with 10 % loss, 30 % of 30 nodes paused at any time, each for 5 s",
         "rough-30",
         run_rough,
         {30, 3600000, 0},
         seeds() / 100,
         true},
        {"an hour with 10 % loss, 30 % of 100 nodes paused at any time, each for 5 s",
         "rough-100",
         run_rough,
         {100, 3600000, 0},
         seeds() / 500,
         true},
        {"a minute of one-way cuts, 3 nodes", "one-way-3", run_one_way, {3, 0, 0}, seeds(), true},
        {"a minute of one-way cuts, 10 nodes",
         "one-way-10",
         run_one_way,
         {10, 0, 0},
         seeds(),
         true},
        {"a partition, 5 nodes", "partition-5", run_partition, {5, 0, 0}, seeds(), false},
        {"a partition, 30 nodes", "partition-30", run_partition, {30, 0, 0}, seeds(), false},
        {"a partition, 100 nodes",
         "partition-100",
         run_partition,
         {100, 0, 0},
         seeds() / 10,
         false},
        {"restarts on other addresses, 8 nodes", "moves-8", run_moves, {8, 0, 0}, seeds(), false},
        {"300 messages of bad input, 10 nodes",
         "bad-input-10",
         run_bad_input,
         {10, 0, 0},
         seeds(),
         true},
        {"two processes with one id, 5 nodes", "twins-5", run_twins, {5, 0, 0}, seeds(), false},
        {"all faults mixed, 3 to 24 nodes", "mixed", run_mixed, {0, 0, 0}, seeds(), false},
        {"the same, and newcomers that claim a place of another",
         "claims",
         run_claims,
         {0, 0, 0},
         seeds(),
         false},
    };
    bool begun = false;
    const char *head =
        "\nFaults: seconds from the last one until all live nodes have the same, true list.\n\n"
        "| fault | seeds | in agreement | median | p99 | worst | false deaths | of nodes just "
        "woken | of paused nodes |\n"
        "|---|---|---|---|---|---|---|---|---|\n";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!is_wanted("faults", rows[i].name))
            continue;
        if (!begun)
            printf("%s", head);
        begun = true;
        unsigned n = rows[i].seeds ? rows[i].seeds : 1;
        struct many m = many_run(rows[i].fn, rows[i].r, n, base_seed(), seconds());
        unsigned agreed = 0;
        for (unsigned j = 0; j < m.done; j++)
            agreed += m.results[j].ms != RUN_NEVER;
        printf("| %s | %u | %u |", rows[i].what, m.done, agreed);
        print_s(many_quantile(&m, 0.5));
        print_s(many_quantile(&m, 0.99));
        print_s(many_quantile(&m, 1));
        struct gossip_figures f = many_figures(&m);
        if (rows[i].deaths)
            printf(" %lu | %lu | %lu |\n", (unsigned long)f.false_deaths,
                   (unsigned long)f.woken_deaths, (unsigned long)f.paused_deaths);
        else
            printf(" - | - | - |\n");
        fflush(stdout);
        complain(&m, rows[i].name, 10000, rows[i].deaths);
        many_free(&m);
    }
}

int main(int argc, char **argv)
{
    nwanted = argc - 1;
    wanted = argv + 1;
    static const struct {
        const char *name;
        void (*print)(void);
    } tables[] = {{"kill", print_kill},
                  {"join", print_join},
                  {"rest", print_rest},
                  {"cost", print_cost},
                  {"faults", print_faults}};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        /* Of the last table, single rows. */
        if (i + 1 == ARRAY_LEN(tables) || is_wanted(tables[i].name, tables[i].name))
            tables[i].print();
    }
    return EXIT_SUCCESS;
}
