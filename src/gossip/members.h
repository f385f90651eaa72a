/* gossip/members: a node's table of members: for each a word (gossip/words) and what only this node
 * knows of it; with sums over the words by which two nodes see whether they agree, and the order in
 * which members are probed. Nothing here takes longer with more members, but where it says so.
 *
 *     at[number]   word, clock, since, ...      number: of the name, dense in the process
 *     order[]      numbers | probed in this pass | not yet |
 *                                                ^ turn: the next one is drawn from behind it */
#ifndef GOSSIP_MEMBERS_H
#define GOSSIP_MEMBERS_H

#include "gossip/words.h"

#define BUCKETS 64 /* of a digest: a name's is the lower bits of its hash */

struct entry {
    struct word *word; /* NULL: not a member */
    uint64_t clock;
    uint64_t since : 44; /* ms */
    uint64_t probed : 1; /* a probe of it is on its way */
    uint32_t placed;     /* its place is known since then: ms, the lower 32 bits */
    uint32_t concern;    /* index + 1 of what there is to do about it: struct concern; 0: nothing */
};

struct members {
    struct entry *at;
    uint32_t cap; /* of at */
    uint32_t *order, n, order_cap, turn;
    uint64_t hash;          /* over all that haven't left */
    uint64_t sums[BUCKETS]; /* the same, by bucket */
    unsigned downs;         /* how many of them are DOWN */
    unsigned left;          /* and how many have left (RESET) */
};

void members_fini(struct members *m);
/* As another one has it. Takes a time that grows with the members. */
void members_copy(struct members *m, const struct members *from);

/* NULL: isn't a member. Valid until members_put. */
struct entry *members_at(const struct members *m, uint32_t number);
struct entry *members_find(const struct members *m, const uint8_t id[GOSSIP_ID]);
/* Its word is this one from now on; takes the reference. A new one gets a place in the order. */
struct entry *members_put(struct members *m, struct word *w, uint64_t now);
/* Takes away the one at order[i]. */
void members_drop(struct members *m, uint32_t i);

/* The next one in turn, drawn at random from those that weren't yet in this pass: each has its turn
 * within two passes. m->n must not be 0. Returns its place in the order. */
uint32_t members_next(struct members *m, uint64_t random);

static inline unsigned name_bucket(const struct name *name)
{
    return (unsigned)(name->in.hash % BUCKETS);
}
/* How many can be expected to answer, this node among them. */
static inline unsigned members_live(const struct members *m)
{
    return m->n - m->downs - m->left;
}

#endif
