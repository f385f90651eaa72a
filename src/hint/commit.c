#include "hint/commit.h"
#include "core/clock.h"
#include <sched.h>

#define GATHER_MAX_US 2000

void commit_init(struct commit *c)
{
    *c = (struct commit){0};
    lock_init(&c->lock);
    condition_init(&c->done);
}

void commit_fini(struct commit *c)
{
    condition_fini(&c->done);
    lock_fini(&c->lock);
}

/* Those whom the last sync let go on are about to come back: the first of them waits for the
 * others, for a part of the time that a sync takes. Else every second sync would be for one alone.
 */
static void gather(const struct commit *c)
{
    uint64_t limit = c->took_us / 2 < GATHER_MAX_US ? c->took_us / 2 : GATHER_MAX_US;
    if (__atomic_load_n(&c->arrived, __ATOMIC_RELAXED) >= c->expected)
        return;
    for (uint64_t end = clock_mono_us() + limit; clock_mono_us() < end;) {
        if (__atomic_load_n(&c->arrived, __ATOMIC_RELAXED) >= c->expected)
            return;
        sched_yield();
    }
}

/* Called with the lock, which is given away meanwhile. */
static void lead(struct commit *c, commit_sync *sync, void *arg)
{
    uint64_t upto = 0;
    c->busy = true;
    lock_give(&c->lock);
    gather(c);
    unsigned arrived = __atomic_exchange_n(&c->arrived, 0, __ATOMIC_RELAXED);
    uint64_t before = clock_mono_us();
    bool ok = sync(arg, &upto);
    uint64_t took = clock_mono_us() - before;
    lock_take(&c->lock);
    __atomic_store_n(&c->syncs, c->syncs + 1, __ATOMIC_RELAXED);
    c->took_us = took;
    c->expected = arrived;
    uint64_t *reached = ok ? &c->synced : &c->failed;
    *reached = upto > *reached ? upto : *reached;
    c->busy = false;
    condition_all(&c->done);
}

bool commit_wait(struct commit *c, uint64_t seq, commit_sync *sync, void *arg)
{
    (void)__atomic_fetch_add(&c->arrived, 1, __ATOMIC_RELAXED);
    lock_take(&c->lock);
    while (c->synced < seq && c->failed < seq) {
        if (c->busy)
            lock_wait(&c->lock, &c->done);
        else
            lead(c, sync, arg);
    }
    bool ok = c->synced >= seq;
    lock_give(&c->lock);
    return ok;
}
