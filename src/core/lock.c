#include "core/lock.h"
#include <assert.h>
#include <sched.h>
#include <stddef.h>
#include <time.h>

/* Who finds it taken spins for a moment first: it is held for less than a sleep costs. */
void lock_init(struct lock *l)
{
    pthread_mutexattr_t a;
    int rc = pthread_mutexattr_init(&a);
    assert(rc == 0);
    rc = pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ADAPTIVE_NP);
    assert(rc == 0);
    rc = pthread_mutex_init(&l->mutex, &a);
    assert(rc == 0);
    (void)rc;
    (void)pthread_mutexattr_destroy(&a);
}

void lock_fini(struct lock *l)
{
    (void)pthread_mutex_destroy(&l->mutex);
}

void condition_init(struct condition *c)
{
    int rc = pthread_cond_init(&c->cond, NULL);
    assert(rc == 0);
    (void)rc;
}

void condition_fini(struct condition *c)
{
    (void)pthread_cond_destroy(&c->cond);
}

/* The holder may be off its core, or in the system for more memory: first a little time, then the
 * core, then a sleep. */
void spinlock_wait(struct spinlock *l)
{
    const struct timespec nap = {.tv_nsec = 50000};
    for (unsigned i = 0;; i++) {
        if (!__atomic_load_n(&l->taken, __ATOMIC_RELAXED) &&
            !__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE))
            return;
        if (i > 1000)
            nanosleep(&nap, NULL);
        else if (i > 50)
            sched_yield();
    }
}
