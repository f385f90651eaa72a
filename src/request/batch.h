/* request/batch: the writes that go to the own store together, in order, and the memory that they
 * point into. The writer has two: one gathers while the other is at the store. The writer's thread.
 */
#ifndef REQUEST_BATCH_H
#define REQUEST_BATCH_H

#include "peer/mail.h"
#include "store/store.h"

enum item_kind {
    ITEM_OWN,    /* of a client of this node */
    ITEM_WRITE,  /* of a peer */
    ITEM_SKIP,   /* of a peer: numbers that will not come */
    ITEM_PROBE,  /* a question to the own store (request/writer_effects.c) */
    ITEM_HANDED, /* a hint of a node that has left (request/handoff.h) */
    ITEM_MEND,   /* of a read repair (request/mend.h); node: STORE_SOURCE_MENDS - 1 */
};

struct item {
    enum item_kind kind;
    uint16_t node;            /* whose number; not of ITEM_OWN and ITEM_PROBE */
    bool want_reply, passing; /* passing: not for the own store */
    uint64_t seq, stamp;
    uint16_t tag;
    struct mail_write *order; /* ITEM_OWN: the batch's until somebody takes it; of no worker: it is
                                 replayed (request/own.h) */
    struct mail_mend *mend;   /* ITEM_MEND: as `order` */
    struct resp_command cmd;  /* its memory is kept from use to use */
    const struct command_spec *spec;
    struct store_write *at_store; /* NULL: passing, or not there yet */
};

struct batch {
    struct item *items;
    size_t n, cap, peak;           /* peak: the largest n since batch_tidy looked */
    struct mail_inbound **inbound; /* what the items' commands point into */
    size_t ninbound, cap_inbound;
    struct store_batch store;
    size_t cap_writes;
};

struct item *batch_add(struct batch *b); /* zeroed but for cmd */
void batch_keep(struct batch *b, struct mail_inbound *m);
/* Takes out what `drop` says, in order. */
void batch_remove(struct batch *b, bool (*drop)(void *arg, struct item *it), void *arg);
/* Fills `store` from what isn't passing; how many. */
size_t batch_for_store(struct batch *b);
void batch_clear(struct batch *b); /* memory is kept; the inbound is freed */
void batch_fini(struct batch *b);  /* empty, and usable afterwards */
/* About once a second, when it isn't at the store: gives the memory back that a burst took and what
 * came since doesn't need. */
void batch_tidy(struct batch *b);

struct mail_write *mail_write_new(unsigned replicas); /* room for so many */
void mail_write_free(struct mail_write *m);
void mail_inbound_free(struct mail_inbound *m);

#endif
