/* hint/share: who may store how much under one cap, fairly. Bytes of the cap are tokens; each byte
 * stored holds one, and tokens are neither made nor lost:
 *
 *     cap = pool + sum of all peers' (room + credit + held)
 *
 *     pool                        peer 1              peer 2             ...
 *     [free for who needs more]   [room][ held  ]     [ room ][held]
 *
 * Half of the cap is reserved in equal parts for the peers that exist: a peer's room is filled up
 * so that room + held reaches its part, and as long as it stays within that, a put touches nothing
 * but its own peer's room (one atomic subtraction). Beyond it tokens come from the pool, first
 * come, first served. Where the pool has too few, one pass over all peers takes back the room that
 * they have beyond their part (what they delivered). So the sum of what is held never exceeds the
 * cap, whatever the order, and a peer's part is there for it whatever the others do, once it was:
 * where a peer comes to a store that is full already, or the cap shrinks, parts are owed, and what
 * is given back goes to them first.
 *
 * Each peer has one producer (take, force, undo) and one consumer (give back), which may be two
 * threads. Everything else: any thread. */
#ifndef HINT_SHARE_H
#define HINT_SHARE_H

#include "core/compiler.h"
#include "core/lock.h"
#include <stdbool.h>
#include <stdint.h>

struct share {                       /* one peer's */
    int64_t room CACHE_ALIGNED;      /* atomic; below 0 only within a call */
    unsigned epoch;                  /* the producer's: of its credit */
    uint64_t credit;                 /* the producer's: tokens taken ahead, where there is plenty */
    uint64_t charged;                /* the producer's, atomic: tokens used so far */
    struct share *next;              /* under the lock */
    uint64_t returned CACHE_ALIGNED; /* the consumer's, atomic: and given back */
};

struct shares {
    int64_t pool CACHE_ALIGNED; /* atomic; below 0 where more is held than the cap has become */
    int64_t owed;               /* atomic: what the pool keeps for peers below their part */
    unsigned epoch; /* atomic: changes with the parts; credit from before it goes back */
    unsigned slack; /* atomic: peers may have more room than their part */
    struct lock lock;
    struct share *first;
    int64_t cap, n;
    int64_t part; /* reserved for each */
};

void shares_init(struct shares *s, uint64_t cap); /* 0: no cap */
void shares_fini(struct shares *s);
void shares_set_cap(struct shares *s, uint64_t cap);
void shares_join(struct shares *s, struct share *p); /* p is zeroed */
/* With nothing held, and neither a producer nor a consumer at work. */
void shares_leave(struct shares *s, struct share *p);

/* The producer takes tokens for `size` bytes; false: the cap doesn't allow it, nothing is taken.
 * They count as held from share_charge on, which comes after the bytes are counted. */
bool share_take_more(struct shares *s, struct share *p, uint64_t size) MUST_USE;
static inline bool share_take(struct shares *s, struct share *p, uint64_t size)
{
    if (p->credit < size || p->epoch != __atomic_load_n(&s->epoch, __ATOMIC_RELAXED))
        return share_take_more(s, p, size);
    p->credit -= size;
    return true;
}
/* What was taken isn't needed after all: others may have it. */
void share_undo(struct shares *s, struct share *p, uint64_t size);
/* As share_take for what is stored already: where the cap doesn't allow it, nobody has room until
 * enough is given back. */
void share_force(struct shares *s, struct share *p, uint64_t size);
static inline void share_charge(struct share *p, uint64_t size)
{
    __atomic_store_n(&p->charged, p->charged + size, __ATOMIC_RELEASE);
}

/* The consumer: of all that was charged by the time `charged` was asked for, `held` bytes are still
 * there. Ask first, look at what is there then: a put in between is seen as there, not as charged.
 */
static inline uint64_t share_charged(const struct share *p)
{
    return __atomic_load_n(&p->charged, __ATOMIC_ACQUIRE);
}
void share_give_back(struct shares *s, struct share *p, uint64_t charged, uint64_t held);

#endif
