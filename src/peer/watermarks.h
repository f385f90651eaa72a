/* peer/watermarks: up to where the writes of every member are here (DESIGN.md section 7). Pure; the
 * writer actor owns it and gives it the time.
 *
 * Each heartbeat carries a watermark: no write with a lower stamp will come from its sender any
 * more. Stamps and tombstones below the lowest of all members' guard against nothing. A member that
 * is away counts with its last one until the hint window has passed since it was heard: what it
 * holds for us has expired then. One that wasn't heard since the start counts with 0 until then. */
#ifndef PEER_WATERMARKS_H
#define PEER_WATERMARKS_H

#include <stdint.h>

struct watermarks {
    unsigned n;
    struct watermark {
        uint64_t stamp, heard_ms;
    } * of; /* by node */
};

void watermarks_init(struct watermarks *w, unsigned nodes, uint64_t now_ms);
void watermarks_fini(struct watermarks *w);
void watermarks_heard(struct watermarks *w, unsigned node, uint64_t stamp, uint64_t now_ms);
/* Somebody else is this node now. */
void watermarks_forget(struct watermarks *w, unsigned node, uint64_t now_ms);
/* The lowest of all, where node `self` has `own`. */
uint64_t watermarks_lowest(const struct watermarks *w, unsigned self, uint64_t own,
                           uint64_t window_ms, uint64_t now_ms);

#endif
