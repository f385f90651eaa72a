/* store/redis_numbers: for each sending node the number of its last write that the Redis behind
 * this node has applied. They live there, in one hash: field = node id, value = number in decimal;
 * here is what was read from it, and what a transaction on its way is going to make of it. A field
 * more is the fence: who has greeted last (store/redis.h). The writer's thread. */
#ifndef STORE_REDIS_NUMBERS_H
#define STORE_REDIS_NUMBERS_H

#include "store/store.h"

#define REDIS_NUMBERS_KEY STORE_HIDDEN_PREFIX "seq"
#define REDIS_FENCE_FIELD "fence"
#define REDIS_ID_MAX      64

struct redis_number {
    char id[REDIS_ID_MAX + 1];
    uint64_t id_hash;
    uint64_t last; /* what the backend has; 0: nothing of this node */
    uint64_t next; /* what it will have after the transaction on its way; 0: no change */
};

struct redis_numbers {
    struct redis_number *all; /* also of nodes that have no source yet */
    size_t n, cap;
    uint32_t of_source[STORE_SOURCES_MAX]; /* index in `all` plus one; 0: not known */
    uint32_t *touched;                     /* indexes of those with a `next` */
    size_t n_touched, touched_cap;
};

void redis_numbers_fini(struct redis_numbers *m);
/* Takes the answer to HGETALL; what isn't in it becomes 0. The fence and what isn't a number are
 * passed over. False: not such an answer. */
bool redis_numbers_load(struct redis_numbers *m, struct slice reply) MUST_USE;
/* Makes a source known; returns its number. */
uint64_t redis_numbers_name(struct redis_numbers *m, unsigned source, const char *id);
/* A source that is known. */
struct redis_number *redis_numbers_of(struct redis_numbers *m, unsigned source);
/* Of the node whose id has this hash; 0 if there is none. */
uint64_t redis_numbers_by_hash(const struct redis_numbers *m, uint64_t id_hash);

/* The transaction on its way sets this source's number; the larger one wins. */
void redis_numbers_move(struct redis_numbers *m, unsigned source, uint64_t seq);
/* Appends the HSET that does it. False: nothing moves, nothing was appended. */
bool redis_numbers_encode(const struct redis_numbers *m, struct buf *out) MUST_USE;
/* Appends the HSET that puts all of them back, and the fence, behind a FLUSHALL. */
void redis_numbers_encode_all(const struct redis_numbers *m, const char *fence, struct buf *out);
/* How it ended. */
void redis_numbers_settle(struct redis_numbers *m, bool applied);

#endif
