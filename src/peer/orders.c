#include "peer/orders.h"
#include "core/mem.h"
#include <stdio.h>

#define ORDERS_MAX 256

void order_answer(struct mail_order *m, const char *reason)
{
    m->done = !reason;
    snprintf(m->reason, sizeof m->reason, "%s", reason ? reason : "");
    actor_send(m->asker, &m->msg);
}

void orders_keep(struct orders *o, struct mail_order *m)
{
    if (o->n == ORDERS_MAX) {
        order_answer(m, "too many wait for it already");
        return;
    }
    m->next = o->first;
    o->first = m;
    o->n++;
}

static struct mail_order *unlink_order(struct orders *o, struct mail_order **at)
{
    struct mail_order *m = *at;
    *at = m->next;
    o->n--;
    return m;
}

void orders_gone(struct orders *o, uint64_t acked)
{
    for (struct mail_order **at = &o->first; *at;) {
        if ((*at)->order == ORDER_WAIT && (*at)->upto <= acked)
            order_answer(unlink_order(o, at), NULL);
        else
            at = &(*at)->next;
    }
}

void orders_look(struct orders *o, const struct peer *p)
{
    if (o->n)
        orders_gone(o, peer_hints(p).pending ? hint_log_acked(p->log).seq : UINT64_MAX);
}

void orders_answer(struct orders *o, enum order kind, const char *reason, uint64_t records,
                   uint64_t bytes)
{
    for (struct mail_order **at = &o->first; *at;) {
        if ((*at)->order != kind) {
            at = &(*at)->next;
            continue;
        }
        struct mail_order *m = unlink_order(o, at);
        m->records = records;
        m->bytes = bytes;
        order_answer(m, reason);
    }
}

bool orders_have(const struct orders *o, enum order kind)
{
    for (const struct mail_order *m = o->first; m; m = m->next)
        if (m->order == kind)
            return true;
    return false;
}

void orders_forget(struct orders *o, uint64_t now_ms)
{
    for (struct mail_order **at = &o->first; *at;) {
        if ((*at)->until_ms < now_ms)
            mem_free(unlink_order(o, at));
        else
            at = &(*at)->next;
    }
}

void orders_fini(struct orders *o)
{
    orders_forget(o, UINT64_MAX);
}
