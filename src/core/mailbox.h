/* core/mailbox: many producers, one consumer, no lock: liburcu's wait-free concurrent queue
 * (wfcqueue; Desnoyers and Jiangshan, liburcu). Messages of one producer arrive in its order.
 *
 * The mailbox doesn't wake anybody; core/actor.h does. */
#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include "core/compiler.h"
#include <stdbool.h>
#include <urcu/wfcqueue.h>

/* The first member of every message. Belongs to the sender until it is sent, then to the receiver,
 * which frees it or sends it on. */
struct msg {
    struct cds_wfcq_node node;
    unsigned type; /* the receiver's business */
};

struct mailbox {
    struct cds_wfcq_head head CACHE_ALIGNED; /* the consumer's */
    struct cds_wfcq_tail tail CACHE_ALIGNED; /* the producers' */
};

void mailbox_init(struct mailbox *m);
void mailbox_fini(struct mailbox *m);
void mailbox_put(struct mailbox *m, struct msg *msg); /* any thread */
struct msg *mailbox_take(struct mailbox *m);          /* the consumer; NULL: empty */
bool mailbox_empty(struct mailbox *m);                /* the consumer */

#endif
