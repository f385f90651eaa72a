/* request/repair_queue: the keys that a worker's read repair is to look at, and how fast it may.
 * Pure: time comes in.
 *
 *     note --> | key, due | ... |        at most REPAIR_QUEUE; a key is in it once
 *                   `--> next: one that is due, while there is credit for keys and for bytes
 *
 * A key that differs waits for REPAIR_WAIT_MS first: most differences are writes on their way. One
 * large value may take more credit than there is, and all that come after it wait until it is paid
 * for. */
#ifndef REQUEST_REPAIR_QUEUE_H
#define REQUEST_REPAIR_QUEUE_H

#include "core/buf.h"

#define REPAIR_QUEUE    1024u
#define REPAIR_WAIT_MS  200u
#define REPAIR_TRIES    5u   /* of one key; each waits twice as long as the one before */
#define REPAIR_KEYS     250u /* a second and worker */
#define REPAIR_BYTES    (16u * 1024 * 1024)          /* the same, of values read and written */
#define REPAIR_BURST_MS 200u                         /* of both, that may gather */
#define REPAIR_DEBT     (64 * (int64_t)REPAIR_BYTES) /* the most that is owed: a peer may lie */

struct repair_key {
    struct blob *key;
    uint64_t hash, due_ms;
    unsigned tries; /* so far */
};

struct repair_queue {
    struct repair_key *keys; /* REPAIR_QUEUE of them; NULL: none yet */
    unsigned n;
    int64_t key_credit, byte_credit; /* thousandths of keys; bytes */
    uint64_t credit_ms;              /* when they were last added to; 0: never */
};

void repair_queue_fini(struct repair_queue *q);
/* False: it is full. True also where the key is in it already. */
bool repair_queue_note(struct repair_queue *q, struct slice key, uint64_t now_ms) MUST_USE;
/* Once more, later. Takes the key's reference. False: it is full, the key is gone. */
bool repair_queue_again(struct repair_queue *q, struct blob *key, unsigned tries,
                        uint64_t now_ms) MUST_USE;
/* The one that has been due for longest; it is the caller's. False: nothing is due, or there is no
 * credit. */
bool repair_queue_next(struct repair_queue *q, uint64_t now_ms, struct repair_key *out) MUST_USE;
/* So many bytes were read or written. */
void repair_queue_spend(struct repair_queue *q, uint64_t bytes);

#endif
