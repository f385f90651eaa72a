#include "core/lock.h"
#include <assert.h>
#include <stddef.h>

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
