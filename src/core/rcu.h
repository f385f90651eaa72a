/* core/rcu: the only door to liburcu (flavour memb). Readers never wait; a writer replaces a whole
 * snapshot and gives the old one to rcu_defer, which frees it when no reader can still see it.
 *
 *     rcu_read_begin();                       any registered thread; no sleep, no lock inside
 *     struct ring *r = RCU_GET(the_ring);
 *     ... use r ...
 *     rcu_read_end();
 *
 *     struct ring *old = RCU_SWAP(the_ring, fresh);     the owner of the_ring
 *     rcu_defer(&old->rcu, free_ring);                  callback: frees memory and nothing else
 *
 * Every thread made by thread_start (core/actor.h) is registered. The macros are plain
 * atomics so that ThreadSanitizer understands them; the tsan calls tell it about the grace period
 * that it can't see inside liburcu. */
#ifndef CORE_RCU_H
#define CORE_RCU_H

#include <stdbool.h>
#include <stddef.h>
#include <urcu/urcu-memb.h>

#if defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#endif

#ifdef RCU_TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
#define TSAN_ACQUIRE(p) __tsan_acquire(p)
#define TSAN_RELEASE(p) __tsan_release(p)
#else
#define TSAN_ACQUIRE(p) ((void)(p))
#define TSAN_RELEASE(p) ((void)(p))
#endif

#define RCU_GET(p)     __atomic_load_n(&(p), __ATOMIC_CONSUME)
#define RCU_SET(p, v)  __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define RCU_SWAP(p, v) __atomic_exchange_n(&(p), (v), __ATOMIC_ACQ_REL)

/* Once, in main, before the first thread; and as the last thing, after every thread has been
 * joined: waits for all deferred frees and ends the reclaimer. */
void rcu_start(void);
void rcu_stop(void);

void rcu_thread_register(void);
void rcu_thread_unregister(void);

void rcu_read_begin(void);
void rcu_read_end(void);

/* fn(head) later, on the reclaimer thread. `head` is embedded in what is freed. */
void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *));
/* Waits until every fn given so far has run. Not from an actor. */
void rcu_drain(void);

#endif
