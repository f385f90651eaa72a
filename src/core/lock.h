/* core/lock: a mutex and a condition, for the few places where threads share what is neither an
 * actor's own nor a snapshot. Never taken inside an RCU read section. Any thread.
 *
 *     lock_take(&x->lock);
 *     while (!x->ready)
 *         lock_wait(&x->lock, &x->changed);     gives the lock away while it sleeps
 *     lock_give(&x->lock);
 */
#ifndef CORE_LOCK_H
#define CORE_LOCK_H

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};
struct condition {
    pthread_cond_t cond;
};

void lock_init(struct lock *l);
void lock_fini(struct lock *l);
void condition_init(struct condition *c);
void condition_fini(struct condition *c);

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
static inline void lock_wait(struct lock *l, struct condition *c)
{
    (void)pthread_cond_wait(&c->cond, &l->mutex);
}
static inline void condition_all(struct condition *c)
{
    (void)pthread_cond_broadcast(&c->cond);
}

#endif
