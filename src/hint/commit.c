#include "hint/commit.h"
#include "core/clock.h"
#include <sched.h>

#define GATHER_MAX_US 2000

#define GET(x)    __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define PUT(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/* Those whom the last sync let go on are about to come back: the first of them waits for the
 * others, for as long as a sync takes at most. Else there would be two parties, each of which syncs
 * while the other comes back. */
static void gather(const struct commit *c)
{
    uint64_t limit = c->took_us < GATHER_MAX_US ? c->took_us : GATHER_MAX_US;
    if (__atomic_load_n(&c->arrived, __ATOMIC_RELAXED) >= c->expected)
        return;
    for (uint64_t end = clock_mono_us() + limit; clock_mono_us() < end;) {
        if (__atomic_load_n(&c->arrived, __ATOMIC_RELAXED) >= c->expected)
            return;
        sched_yield();
    }
}

static void lead(struct commit *c, commit_sync *sync, void *arg)
{
    uint64_t upto = 0;
    gather(c);
    unsigned arrived = __atomic_exchange_n(&c->arrived, 0, __ATOMIC_RELAXED);
    uint64_t before = clock_mono_us();
    bool ok = sync(arg, &upto);
    c->took_us = clock_mono_us() - before;
    c->expected = arrived + __atomic_load_n(&c->arrived, __ATOMIC_RELAXED);
    PUT(c->syncs, c->syncs + 1);
    if (ok && upto > c->synced)
        PUT(c->synced, upto);
    if (ok)
        return;
    if (upto > c->failed)
        PUT(c->failed, upto);
    PUT(c->fails, c->fails + 1);
}

/* `fails`: at the call. What failed before isn't this one's affair. */
static bool is_decided(const struct commit *c, uint64_t seq, unsigned fails)
{
    return GET(c->synced) >= seq || (GET(c->fails) != fails && GET(c->failed) >= seq);
}

bool commit_wait(struct commit *c, uint64_t seq, commit_sync *sync, void *arg)
{
    unsigned fails = GET(c->fails);
    (void)__atomic_fetch_add(&c->arrived, 1, __ATOMIC_RELAXED);
    for (;;) {
        unsigned seen = gate_look(&c->done);
        if (is_decided(c, seq, fails))
            return GET(c->synced) >= seq;
        if (__atomic_exchange_n(&c->busy, 1, __ATOMIC_ACQ_REL)) {
            gate_wait(&c->done, seen);
            continue;
        }
        if (!is_decided(c, seq, fails)) /* else the one before has just finished with it */
            lead(c, sync, arg);
        PUT(c->busy, 0);
        gate_open(&c->done);
    }
}
