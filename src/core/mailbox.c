#include "core/mailbox.h"
#include "core/rcu.h"
#include <sched.h>

void mailbox_init(struct mailbox *m)
{
    cds_wfcq_init(&m->head, &m->tail);
}

void mailbox_fini(struct mailbox *m)
{
    cds_wfcq_destroy(&m->head, &m->tail);
}

void mailbox_put(struct mailbox *m, struct msg *msg)
{
    cds_wfcq_node_init(&msg->node);
    TSAN_RELEASE(msg);
    cds_wfcq_enqueue(&m->head, &m->tail, &msg->node);
}

struct msg *mailbox_take(struct mailbox *m)
{
    for (;;) {
        struct cds_wfcq_node *n = __cds_wfcq_dequeue_nonblocking(&m->head, &m->tail);
        if (n == CDS_WFCQ_WOULDBLOCK) {
            sched_yield(); /* a producer stands between its two steps; the blocking call would
                              sleep 10 ms */
            continue;
        }
        if (!n)
            return NULL;
        struct msg *msg = container_of_(n, struct msg, node);
        TSAN_ACQUIRE(msg);
        return msg;
    }
}

bool mailbox_empty(struct mailbox *m)
{
    return cds_wfcq_empty(&m->head, &m->tail);
}
