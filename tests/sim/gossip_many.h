/* sim/gossip_many: one kind of run from many seeds, spread over processes, and what comes out. */
#ifndef SIM_GOSSIP_MANY_H
#define SIM_GOSSIP_MANY_H

#include "gossip_runs.h"

struct many {
    unsigned n, done; /* seeds that were asked for, and run before the time was over */
    struct run_result *results;
    uint64_t *seeds;
    uint64_t *sorted; /* ms, of the runs that were done */
    uint64_t *firsts; /* the same, of `first` */
};

/* The seeds are base, base + 1, ... Runs that are begun are ended; none begins after `seconds` (0:
 * no end). A run that dies counts as RUN_NEVER, and its seed is printed. */
struct many many_run(run_fn *fn, struct run r, unsigned seeds, uint64_t base, unsigned seconds);
void many_free(struct many *m);

/* The value below or at which `part` of them lie; RUN_NEVER: not so many have one. */
uint64_t many_quantile(const struct many *m, double part);
uint64_t many_first(const struct many *m, double part);
/* The sums. */
struct gossip_figures many_figures(const struct many *m);

/* SIM_JOBS in the environment, or the CPUs. */
unsigned many_jobs(void);

#endif
