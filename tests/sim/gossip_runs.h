/* sim/gossip_runs: what gossip is put through, one run from one seed each; the check program and
 * the one that makes the figures judge what comes out. */
#ifndef SIM_GOSSIP_RUNS_H
#define SIM_GOSSIP_RUNS_H

#include "gossip.h"

#define RUN_NEVER UINT64_MAX

/* Of every run. */
struct run_result {
    uint64_t ms;    /* how long it took until all saw it, or agreed; RUN_NEVER */
    uint64_t first; /* ms: until the first saw it */
    struct gossip_figures figures;
    uint64_t trace;
    unsigned members; /* that live at the end */
};

struct run {
    unsigned nodes;
    uint64_t for_ms;
    uint64_t seed;
};
typedef struct run_result run_fn(const struct run *r);

/* One of an agreed ring's nodes is killed. */
run_fn run_kill;
/* A node joins an agreed ring. */
run_fn run_join;
/* Nodes start within a second and find each other; ms until all agree. */
run_fn run_start;
/* Nothing happens, for_ms long. */
run_fn run_rest;
/* As well, with more than 50 nodes; `ms` are the ns of CPU time that a node's core takes each
 * second, `first` those of a node that is everybody's seed. */
run_fn run_cost;
/* for_ms long with 10 % loss, and 30 % of the nodes paused at any time, each for 5 s; then calm,
 * and ms until all agree. */
run_fn run_rough;
/* A node can't send to some of the others, or they not to it, for a minute; ms until all agree. */
run_fn run_one_way;
/* A partition of a random shape for 5 to 120 s; ms from its end until all agree. */
run_fn run_partition;
/* Nodes start again on other addresses, also on each other's; ms until all agree. */
run_fn run_moves;
/* For some time there are two processes with one id; ms from its end until all agree; RUN_NEVER
 * also if nobody noticed. */
run_fn run_twins;
/* Messages of every kind that nobody should send; ms until all agree. */
run_fn run_bad_input;
/* Everything at once, 3 to 24 nodes whatever r->nodes says; ms from the last fault until all agree.
 */
run_fn run_mixed;
/* As well, and some newcomers claim a place that is another's, who may be dead, cut off, or well.
 */
run_fn run_claims;

/* Prints what happens in the runs that follow. */
void run_loudly(bool loud);

#endif
