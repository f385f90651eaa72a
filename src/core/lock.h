/* core/lock: for the few places where threads share what is neither an actor's own nor a snapshot.
 * Never taken, nor waited for, inside an RCU read section. Any thread.
 *
 *     lock_take(&l); ... lock_give(&l);                     a mutex
 *     spinlock_take(&l); ... spinlock_give(&l);             for some ten ns, by millions
 *
 *     for (;;) {                                            a gate: many wait for one event
 *         unsigned seen = gate_look(&g);
 *         if (happened())
 *             break;
 *         gate_wait(&g, seen);                              until gate_open, or it was opened since
 *     }
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};
struct gate {
    unsigned opened; /* atomic: so many times */
};

void lock_init(struct lock *l);
void lock_fini(struct lock *l);
static inline unsigned gate_look(const struct gate *g)
{
    return __atomic_load_n(&g->opened, __ATOMIC_ACQUIRE);
}
void gate_wait(struct gate *g, unsigned seen);
void gate_open(struct gate *g); /* wakes all who wait */

/* For what is held for some ten ns, by millions: one locked instruction instead of two. Who finds
 * it taken spins, then lets others run. */
struct spinlock {
    unsigned taken; /* atomic */
};
void spinlock_wait(struct spinlock *l);
static inline void spinlock_take(struct spinlock *l)
{
    if (__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE))
        spinlock_wait(l);
}
static inline void spinlock_give(struct spinlock *l)
{
    __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
}

static inline void lock_take(struct lock *l)
{
    (void)pthread_mutex_lock(&l->mutex);
}
static inline void lock_give(struct lock *l)
{
    (void)pthread_mutex_unlock(&l->mutex);
}

#endif
