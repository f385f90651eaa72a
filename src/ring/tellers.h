/* ring/tellers: whom to ask, one after the other, to hear of every key of the ring exactly once
 * (SCAN, KEYS, DBSIZE, RANDOMKEY). Pure; immutable once made.
 *
 * The racks stand in an order that all nodes of a datacenter share: its own racks by name, then the
 * others by datacenter and name. All keys that belong to one node in each of the first d racks are
 * a *step* of depth d, told by the last of these nodes. A step's keys are those of the steps within
 * it, which stand behind it:
 *
 *     a        keys of a in the first rack            told by a
 *       a p    of these, those of p in the second     told by p, where a can't
 *       a q                                           told by q, where a can't
 *     b
 *       b q
 *
 * So what is told where depends on the ring alone; who is up only decides how deep one goes. One
 * who is asked tells what its store has, and the one who asks takes what belongs to the step:
 * nothing that another tells, or that a store still has of a range which isn't its node's any more.
 *
 *     for (walk = {0}; tellers_settle(t, &walk, can_tell, arg) && !tellers_ended(t, &walk);)
 *         ask tellers_asked(t, &walk) from walk.cursor on; take what tellers_tells(t, walk.step,
 * ...) walk.cursor = what it says; if that is 0: tellers_go_on(t, &walk)
 */
#ifndef RING_TELLERS_H
#define RING_TELLERS_H

#include "core/buf.h"
#include "ring/topology.h"

#define TELLERS_CURSOR_BITS 36u        /* of a store's own cursor */
#define TELLERS_STEPS_MAX   (1u << 18) /* racks at the end are left out until it is so few */

struct tellers;

struct tellers *tellers_new(const struct topology *t);
/* One more holder, in the same thread; each gives it back by tellers_free. */
struct tellers *tellers_ref(struct tellers *t) MUST_USE;
void tellers_free(struct tellers *t); /* NULL is fine */
/* Of the topology that it was made of: whether another one is still the same. */
uint64_t tellers_serial(const struct tellers *t);

unsigned tellers_steps(const struct tellers *t);
unsigned tellers_depth(const struct tellers *t, unsigned step); /* 1 or more */
/* The owner of its keys in one of the first tellers_depth racks, and the one who tells: the last of
 * them. Indexes of the topology. */
unsigned tellers_owner(const struct tellers *t, unsigned step, unsigned rack);
unsigned tellers_node(const struct tellers *t, unsigned step);
/* All racks are in its depth: these keys have the same owners everywhere. */
bool tellers_is_whole(const struct tellers *t, unsigned step);
/* Is a key with this token one of the step's? */
bool tellers_tells(const struct tellers *t, unsigned step, uint32_t token);
/* The step of depth 1 of which a token's keys are. */
unsigned tellers_place(const struct tellers *t, uint32_t token);
/* The first step that isn't within this one. */
unsigned tellers_behind(const struct tellers *t, unsigned step);
/* Are all keys that its node owns in its rack the step's? */
bool tellers_tells_all(const struct tellers *t, unsigned step);

/* Where a walk stands. Zeroed: at the beginning. */
struct tellers_walk {
    unsigned step;
    unsigned instead; /* all its owners may lack writes: this one tells, counted from 1; 0: no */
    uint64_t cursor;  /* of the step's node's store */
};
static inline bool tellers_ended(const struct tellers *t, const struct tellers_walk *w)
{
    return w->step >= tellers_steps(t);
}
/* May this node be asked? lacking: also if it may lack writes. */
typedef bool tellers_can_fn(void *arg, unsigned node, bool lacking);
/* To where somebody can be asked; who has begun to tell a step goes on with it while that is
 * possible at all. A step whose node can't be is taken up again from its beginning, so what was
 * told of it may be told twice. False: nobody can tell some keys. */
bool tellers_settle(const struct tellers *t, struct tellers_walk *w, tellers_can_fn *can,
                    void *arg) MUST_USE;
/* Who is asked there. */
unsigned tellers_asked(const struct tellers *t, const struct tellers_walk *w);
/* This step is told. */
void tellers_go_on(const struct tellers *t, struct tellers_walk *w);

/* A walk as the cursor that a client holds: less than 2^63, 0 at the beginning and at the end. It
 * means the same to all nodes of the datacenter.
 *
 *     | 0 | 5 bits of the ring | instead, 4 bits | step, 18 bits | the store's cursor, 36 bits |
 *
 * Where the ring is another by now it is the beginning: what was told already is told again. */
uint64_t tellers_write(const struct tellers *t, const struct tellers_walk *w);
/* False: it never was such a cursor. */
bool tellers_read(const struct tellers *t, uint64_t cursor, struct tellers_walk *w) MUST_USE;

#endif
