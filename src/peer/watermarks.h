/* peer/watermarks: up to where the writes of every member are here (DESIGN.md section 7). Pure; the
 * writer actor owns it.
 *
 * Each heartbeat carries a watermark: no write with a lower stamp will come from its sender any
 * more. Stamps and tombstones below the lowest of all members' guard against nothing. A member that
 * is away counts with its last one, one that wasn't heard since the start with 0, for as long as it
 * is away: it may live, unheard by us, and make hints for us all the time. What of those has
 * expired is the caller's to say. */
#ifndef PEER_WATERMARKS_H
#define PEER_WATERMARKS_H

#include <stdint.h>

struct watermarks {
    unsigned n;
    uint64_t *of; /* by node */
};

void watermarks_init(struct watermarks *w, unsigned nodes);
/* There are so many now; at most RING_NODES_MAX. */
static inline void watermarks_grow(struct watermarks *w, unsigned nodes)
{
    w->n = nodes;
}
void watermarks_fini(struct watermarks *w);
void watermarks_heard(struct watermarks *w, unsigned node, uint64_t stamp);
/* This node has left for good: nothing comes from it any more. */
void watermarks_leave(struct watermarks *w, unsigned node);
/* Somebody else is this node now. */
void watermarks_forget(struct watermarks *w, unsigned node);
/* The lowest of all, where node `self` has `own`. */
uint64_t watermarks_lowest(const struct watermarks *w, unsigned self, uint64_t own);

#endif
