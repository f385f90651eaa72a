/* peer/clocks: what the peers' wall clocks show, and how far this node's is off their median. Pure;
 * the writer actor owns it and gives it the time.
 *
 * A peer's clock is kept as its distance from this node's steady clock, which no jump moves: a jump
 * of our own wall clock shows at once, not with the next heartbeat. Only peers heard within
 * `fresh_ms` count. Of an even number there are two in the middle; the one that is nearer to our
 * clock counts, so that one wrong clock among three makes only its own node wrong. */
#ifndef PEER_CLOCKS_H
#define PEER_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct clocks {
    unsigned n;
    uint64_t fresh_ms;
    struct peer_clock {
        int64_t ahead_ms; /* its wall clock minus our steady clock */
        uint64_t heard_ms;
        bool heard;
    } * of;          /* by node */
    int64_t *sorted; /* room for them */
    bool known;      /* somebody was heard in time; else nothing is known */
    int64_t low, high;
};

void clocks_init(struct clocks *c, unsigned nodes, uint64_t fresh_ms);
/* There are so many now; at most RING_NODES_MAX. */
static inline void clocks_grow(struct clocks *c, unsigned nodes)
{
    c->n = nodes;
}
void clocks_fini(struct clocks *c);
void clocks_heard(struct clocks *c, unsigned node, int64_t ahead_ms, uint64_t now_ms);
void clocks_forget(struct clocks *c, unsigned node); /* somebody else is this node now */
/* Finds the middle anew: after clocks_heard, and now and then, since what was heard ages. */
void clocks_settle(struct clocks *c, uint64_t now_ms);
/* The median that counts for a clock that is `ahead_ms` before our steady clock. Only if known. */
int64_t clocks_median(const struct clocks *c, int64_t ahead_ms);
/* Of a peer whose clock was heard at some time; else 0. */
int64_t clocks_of(const struct clocks *c, unsigned node);

#endif
