/* request/hedge: which reads that wait for one replica a second one is asked for too, because the
 * first is slower than usual (Dean and Barroso, "The Tail at Scale", 2013). A worker has one
 * `hedges`; each of its reads at DC_ONE has a `hedge_wait`:
 *
 *     hedges_ask(&h, &w, node, may, now)      node was asked first
 *     hedges_answered(&h, &w, now)            it has answered, and that was the read's answer
 *     hedges_over(&h, &w)                     the read is over, or asks others for another reason
 *
 *     hedges_due(&h)                          at this time: while ((w = hedges_next(&h, now)))
 *                                                 ask a second one for w's read
 *
 * Usual is the 99th percentile of how long the node's recent answers took, once there are enough of
 * them to tell. A read that the second replica answered leaves no trace in it: what is measured is
 * what a replica does when it is well, and not how long it takes when it isn't, or a few slow
 * answers in a hundred would soon be usual, and waited for.
 *
 * A hedge costs HEDGE_COST reads of credit, and each read brings one: so since the start at most
 * one hedge has been made for HEDGE_COST reads, and in a bad moment at most HEDGE_BURST more than
 * the reads of that moment pay for. Without credit reads wait on, and the one that has waited
 * longest gets the next.
 *
 * Pure: times (microseconds, of any clock that doesn't go back) are handed in. The worker's thread.
 */
#ifndef REQUEST_HEDGE_H
#define REQUEST_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#define HEDGE_COST     20u   /* reads that pay for a hedge: at most 5 % */
#define HEDGE_BURST    100u  /* hedges that can be saved up */
#define HEDGE_SAMPLES  100u  /* answers that tell a percentile; with fewer a node isn't hedged */
#define HEDGE_RECENT   1024u /* so many answers, then the old ones count half */
#define HEDGE_LEAST_US 1000u /* nothing that is faster is slow */
#define HEDGE_BUCKETS  73u

/* How long one node's recent answers took: bucket 0 below 64 us, then four to each doubling, up to
 * 16 s. */
struct hedge_times {
    uint16_t bucket[HEDGE_BUCKETS];
    uint16_t count;  /* in all buckets */
    uint16_t fresh;  /* of them since p99_us was found */
    uint32_t p99_us; /* 0: too few answers are known */
};
void hedge_times_add(struct hedge_times *t, uint64_t us);

/* Of one read; zeroed before its first use. */
struct hedge_wait {
    struct hedge_wait *older, *newer;
    uint64_t asked_us; /* 0: nobody was asked */
    uint16_t node;
    bool waiting; /* it is in the list of its node */
};

struct hedge_node;
struct hedges { /* zeroed: nothing known */
    struct hedge_node **node;
    unsigned n;              /* of them; grows with the highest that is asked */
    struct hedge_node *busy; /* those with reads that wait */
    unsigned credit;
};
/* may: there is a second one that may be asked. */
void hedges_ask(struct hedges *h, struct hedge_wait *w, uint16_t node, bool may, uint64_t now_us);
void hedges_answered(struct hedges *h, struct hedge_wait *w, uint64_t now_us);
void hedges_over(struct hedges *h, struct hedge_wait *w);
/* When hedges_next has something; HEDGE_NEVER: not before another read is asked. */
#define HEDGE_NEVER UINT64_MAX
uint64_t hedges_due(const struct hedges *h);
/* A read that has waited long enough, out of its list and paid for; NULL: none, or no credit. */
struct hedge_wait *hedges_next(struct hedges *h, uint64_t now_us);
/* When no read is in flight. */
void hedges_fini(struct hedges *h);

#endif
