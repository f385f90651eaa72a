/* What dyn-admin asks of one peer's hints. */
#include "core/clock.h"
#include "core/log.h"
#include "peer/sender_internal.h"

/* ---- what dyn-admin asks for -------------------------------------------------------------------
 */

static void pause_delivery(struct sender *s, struct mail_order *m, bool pause)
{
    if (pause && !s->o.config->enable_hinted_handoff) {
        order_answer(m, "hinted handoff is off");
        return;
    }
    if (pause != sender_is_paused(s)) {
        char address[300];
        log_notice("peer %s: delivery is %s", sender_peer_address(s, address),
                   pause ? "paused" : "resumed");
        PEER_STORE(s->peer, paused, pause);
        hinting_follow(&s->hinting, peer_state(s->peer), sender_accepting(s));
    }
    order_answer(m, NULL);
}

/* Done when it is linked: whoever is linked and not paused is being delivered to. */
static void drain_now(struct sender *s, struct mail_order *m)
{
    if (sender_is_paused(s))
        order_answer(m, "delivery to it is paused");
    else if (sender_accepting(s))
        order_answer(m, NULL);
    else if (s->phase == UP)
        order_answer(m, "it is down: its store can't serve");
    else {
        orders_keep(&s->orders, m);
        sender_dial_back(s);
    }
}

static void truncate_hints(struct sender *s, struct mail_order *m)
{
    if (s->hinting.cut.open) {
        order_answer(m, "its hints are being truncated already");
        return;
    }
    orders_keep(&s->orders, m);
    if (hinting_truncate(&s->hinting, sender_accepting(s)))
        sender_answer_truncated(s);
    sender_look_at_waits(s);
}

static void wait_for_hints(struct sender *s, struct mail_order *m)
{
    m->upto = hinting_end(&s->hinting);
    orders_keep(&s->orders, m);
    sender_look_at_waits(s);
}

void sender_order(struct sender *s, struct mail_order *m)
{
    struct error e;
    switch (m->order) {
    case ORDER_PAUSE:
    case ORDER_RESUME:
        pause_delivery(s, m, m->order == ORDER_PAUSE);
        break;
    case ORDER_DRAIN:
        drain_now(s, m);
        break;
    case ORDER_TRUNCATE:
        truncate_hints(s, m);
        break;
    case ORDER_WAIT:
        wait_for_hints(s, m);
        break;
    case ORDER_REPAIRED:
        order_answer(m, hinting_repaired(&s->hinting, &e) ? NULL : e.text);
        break;
    case ORDER_HANDOFF:
        order_answer(m, "it is configured: it gets its hints itself");
        break;
    case ORDER_STANDBY:
    case ORDER_NORMAL:
    case ORDER_LEAVE:
        order_answer(m, "a node's state is its own affair");
        break;
    }
}
