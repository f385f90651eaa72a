/* peer/reads: what workers ask of a peer and its link carries: mostly reads. A worker packs what
 * one turn has for a peer into one message, the sender what the peer answered in one turn into
 * another:
 *
 *     worker   reads_add(&m, &(struct read_item){.ticket = t, .bytes = command}) ... send
 *     sender   while (reads_next(m, &at, &it)) id = carried_put(...), a frame with this id
 *              on its answer: carried_take(id, &who), reads_add to the message for who.worker
 *     worker   while (reads_next(m, &at, &it)) it.ticket's answer is it.bytes
 *
 * `carried` is the sender's list of what has no answer yet: a ring by id. Ids count up and are
 * never used twice, so that an answer which comes after its read was given up finds nothing. */
#ifndef PEER_READS_H
#define PEER_READS_H

#include "peer/mail.h"

struct read_item {
    uint64_t ticket;    /* the worker's */
    uint64_t stamp;     /* of an answer: the value's */
    uint16_t tag;       /* the same; of FRAME_EXECUTE, when it is asked: the level */
    uint8_t kind;       /* what is asked: FRAME_READ, or another that FRAME_READ_REPLY answers */
    bool failed;        /* an answer that is none: the peer couldn't, or can't be reached */
    struct slice bytes; /* the command, RESP; or the answer. Borrowed */
    struct blob *blob;  /* the message's own: the bytes, where they are many */
};
/* The bytes to keep, for the caller to unref: copied where they are few. */
struct blob *read_item_keep(const struct read_item *it);

/* Appends to *m, which is made if it is NULL; bytes are copied. */
void reads_add(struct mail_reads **m, struct actor *worker, uint16_t node,
               const struct read_item *it);
/* The item at *at (0 is the first); false: there are no more. */
bool reads_next(const struct mail_reads *m, size_t *at, struct read_item *it) MUST_USE;
void reads_send(struct mail_reads **m, struct actor *to); /* *m becomes NULL; NULL: nothing */
void reads_free(struct mail_reads *m);                    /* NULL is fine */

struct carried_read {
    struct actor *worker; /* NULL: answered */
    uint64_t ticket;
    uint8_t kind;
};
#define CARRIED_MAX (1u << 20) /* ids from the oldest without an answer to the newest */
struct carried {
    struct carried_read *at; /* `cap` places, a power of two; id's is id % cap */
    uint64_t first, next;    /* ids: the oldest without an answer, the next to give */
    size_t cap;
};
void carried_fini(struct carried *c);
uint64_t carried_put(struct carried *c, const struct carried_read *r); /* its id */
/* One more would make the ring too long: a peer may never answer the oldest, which holds the places
 * of all behind it. carried_pop it. */
bool carried_is_full(const struct carried *c);
/* False: it is none of those that wait. */
bool carried_take(struct carried *c, uint64_t id, struct carried_read *r) MUST_USE;
/* Any that still waits, oldest first: for giving up all. */
bool carried_pop(struct carried *c, struct carried_read *r) MUST_USE;

#endif
