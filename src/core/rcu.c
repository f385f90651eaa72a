#include "core/rcu.h"
#include <assert.h>
#include <pthread.h>

static struct call_rcu_data *reclaimer;
static __thread bool registered;
static char grace; /* stands for "a grace period has passed" */

void rcu_start(void)
{
    reclaimer = urcu_memb_create_call_rcu_data(0, -1);
    assert(reclaimer);
    rcu_thread_register();
}

void rcu_stop(void)
{
    urcu_memb_barrier();
    rcu_thread_unregister();
    /* 0.13.2 doesn't join the thread; without the join, leak checkers and exit race with it */
    pthread_t thread = urcu_memb_get_call_rcu_thread(reclaimer);
    urcu_memb_call_rcu_data_free(reclaimer);
    pthread_join(thread, NULL);
    reclaimer = NULL;
}

void rcu_thread_register(void)
{
    assert(!registered);
    urcu_memb_register_thread();
    if (reclaimer)
        urcu_memb_set_thread_call_rcu_data(reclaimer);
    registered = true;
}

void rcu_thread_unregister(void)
{
    assert(registered);
    urcu_memb_set_thread_call_rcu_data(NULL);
    urcu_memb_unregister_thread();
    registered = false;
}

void rcu_read_begin(void)
{
    assert(registered);
    urcu_memb_read_lock();
}

void rcu_read_end(void)
{
    TSAN_RELEASE(&grace);
    urcu_memb_read_unlock();
}

#ifdef RCU_TSAN
/* Wraps each callback so that the tool sees: readers' ends and the defer happen before the free. */
#include "core/mem.h"
struct deferred {
    struct rcu_head head;
    struct rcu_head *inner;
    void (*fn)(struct rcu_head *);
};

static void run_deferred(struct rcu_head *head)
{
    struct deferred *d = (struct deferred *)(void *)head;
    TSAN_ACQUIRE(d);
    TSAN_ACQUIRE(&grace);
    d->fn(d->inner);
    mem_free(d);
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    struct deferred *d = MEM_NEW(struct deferred);
    d->inner = head;
    d->fn = fn;
    TSAN_RELEASE(d);
    urcu_memb_call_rcu(&d->head, run_deferred);
}
#else
void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    assert(registered);
    urcu_memb_call_rcu(head, fn);
}
#endif

void rcu_drain(void)
{
    urcu_memb_barrier();
}
