#include "core/lock.h"
#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

/* By futex: who is woken goes on at once, where those of a condition first queue for its mutex. */
void gate_wait(struct gate *g, unsigned seen)
{
    while (gate_look(g) == seen)
        (void)syscall(SYS_futex, &g->opened, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

void gate_open(struct gate *g)
{
    (void)__atomic_fetch_add(&g->opened, 1, __ATOMIC_SEQ_CST);
    (void)syscall(SYS_futex, &g->opened, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
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
