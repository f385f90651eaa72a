/* hint/commit: many who wait for the disk share its syncs. The first who finds no sync under way
 * makes one, for all that was written before it began; who comes meanwhile waits for that one's end
 * and the next one's. Any thread, not inside an RCU read section.
 *
 *     commit_wait(&c, my_number, sync_up_to_now, arg)
 */
#ifndef HINT_COMMIT_H
#define HINT_COMMIT_H

#include "core/compiler.h"
#include "core/lock.h"
#include <stdbool.h>
#include <stdint.h>

struct commit { /* zeroed at the start; all atomic */
    struct gate done;
    unsigned busy;     /* somebody syncs: what he changes is his until he is done */
    uint64_t synced;   /* numbers up to here are on disk */
    uint64_t failed;   /* of those above, the ones up to here were in a sync that failed */
    unsigned fails;    /* so many syncs failed */
    uint64_t syncs;    /* so many were made */
    uint64_t took_us;  /* the last one */
    unsigned expected; /* so many it was for, or came while it was made */
    unsigned arrived CACHE_ALIGNED; /* and since */
};

/* Syncs all that was written before it is called; *upto: the number up to which that is (also where
 * it fails). */
typedef bool commit_sync(void *arg, uint64_t *upto);

/* Returns when `seq`, which has been written, is on disk; false: a sync of it failed since the
 * call, and the next call tries again. */
bool commit_wait(struct commit *c, uint64_t seq, commit_sync *sync, void *arg) MUST_USE;

#endif
