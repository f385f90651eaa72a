/* What dyn-admin asks of the writer: about the own store's log, about orphans, and for STANDBY. */
#include "core/log.h"
#include "peer/orders.h"
#include "request/writer_internal.h"

static void order_standby(struct writer *w, struct mail_order *m)
{
    bool on = m->order == ORDER_STANDBY;
    if (on != w->standby.ordered)
        log_notice("this node: %s (dyn-admin)",
                   on ? "STANDBY until `state normal`" : "STANDBY no longer ordered");
    standby_order(&w->standby, on);
    writer_decide_state(w);
    order_answer(m, NULL);
}

void writer_order(struct writer *w, struct mail_order *m)
{
    if (m->order == ORDER_STANDBY || m->order == ORDER_NORMAL)
        order_standby(w, m);
    else if (m->order == ORDER_LEAVE)
        order_answer(
            m, "leaving needs gossip: without it the ring is what the nodes' configurations say");
    else if (m->node == w->self)
        own_order(&w->own, m);
    else
        handoff_take(w->handoff, m);
}
