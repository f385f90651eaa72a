#include "peer/waiters.h"
#include "core/mem.h"

void waiters_fini(struct waiters *w)
{
    for (size_t i = 0; i < w->nout; i++) {
        if (w->out[i].mail)
            buf_fini(&w->out[i].mail->replies);
        mem_free(w->out[i].mail);
    }
    mem_free(w->out);
    mem_free(w->at);
    *w = (struct waiters){0};
}

static struct mail_waiter *place(const struct waiters *w, size_t i)
{
    return &w->at[(w->head + i) & (w->cap - 1)];
}

void waiters_add(struct waiters *w, const struct mail_waiter *new)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 64;
        struct mail_waiter *at = mem_calloc(cap, sizeof *at);
        for (size_t i = 0; i < w->n; i++)
            at[i] = *place(w, i);
        mem_free(w->at);
        w->at = at;
        w->cap = cap;
        w->head = 0;
    }
    size_t at = w->n++;
    for (; at && place(w, at - 1)->seq > new->seq; at--)
        *place(w, at) = *place(w, at - 1);
    *place(w, at) = *new;
}

static struct outbox *outbox(struct waiters *w, struct actor *worker)
{
    for (size_t i = 0; i < w->nout; i++)
        if (w->out[i].worker == worker)
            return &w->out[i];
    w->out = mem_realloc(w->out, (w->nout + 1) * sizeof *w->out);
    w->out[w->nout] = (struct outbox){.worker = worker};
    return &w->out[w->nout++];
}

/* Most writes of a turn get the same reply: it stands there once. */
static void add_reply(const struct outbox *o, struct mail_verdict *v, struct slice reply)
{
    struct mail_verdict *before = o->n ? &o->mail->v[o->n - 1] : NULL;
    v->reply_len = (uint32_t)reply.len;
    if (before && slice_eq(reply, mail_verdict_reply(o->mail, before))) {
        v->reply_at = before->reply_at;
        return;
    }
    v->reply_at = o->mail->replies.len;
    buf_add(&o->mail->replies, reply.ptr, reply.len);
}

static void give(struct waiters *w, const struct mail_waiter *who, struct mail_verdict v,
                 struct slice reply)
{
    struct outbox *o = outbox(w, who->worker);
    if (!o->mail || o->n == o->cap) {
        bool fresh = !o->mail;
        o->cap = fresh ? 16 : o->cap * 2;
        o->mail = mem_realloc(o->mail, sizeof *o->mail + o->cap * sizeof o->mail->v[0]);
        if (fresh)
            *o->mail = (struct mail_verdicts){.msg.type = MAIL_VERDICTS};
    }
    if (reply.len)
        add_reply(o, &v, reply);
    v.ticket = who->ticket;
    o->mail->v[o->n++] = v;
}

static void drop_settled(struct waiters *w)
{
    while (w->n && place(w, 0)->worker == NULL) {
        w->head = (w->head + 1) & (w->cap - 1);
        w->n--;
    }
}

static void settle(struct waiters *w, struct mail_waiter *who, struct mail_verdict v,
                   struct slice reply)
{
    if (!who->worker)
        return;
    give(w, who, v, reply);
    who->worker = NULL;
}

void waiters_settle(struct waiters *w, uint16_t node, uint64_t seq, enum verdict v,
                    enum refusal why)
{
    struct slice none = {0};
    for (size_t i = 0; i < w->n && place(w, i)->seq <= seq; i++)
        settle(w, place(w, i),
               (struct mail_verdict){.node = node, .verdict = (uint8_t)v, .why = (uint8_t)why},
               none);
    drop_settled(w);
}

void waiters_settle_hints(struct waiters *w, uint16_t node, uint64_t seq, enum verdict v,
                          enum refusal why)
{
    struct slice none = {0};
    for (size_t i = 0; i < w->n && place(w, i)->seq <= seq; i++)
        if (place(w, i)->hint)
            settle(w, place(w, i),
                   (struct mail_verdict){.node = node, .verdict = (uint8_t)v, .why = (uint8_t)why},
                   none);
    drop_settled(w);
}

void waiters_reply(struct waiters *w, uint16_t node, uint64_t first, uint64_t last,
                   struct slice reply)
{
    struct mail_verdict v = {.node = node, .verdict = VERDICT_APPLIED};
    /* replies come in order, so that what is passed over is little */
    for (size_t i = 0; i < w->n && place(w, i)->seq <= last; i++)
        if (place(w, i)->seq >= first)
            settle(w, place(w, i), v, reply);
    drop_settled(w);
}

void waiters_flush(struct waiters *w)
{
    for (size_t i = 0; i < w->nout; i++) {
        struct outbox *o = &w->out[i];
        if (!o->mail)
            continue;
        o->mail->n = o->n;
        actor_send(o->worker, &o->mail->msg);
        o->mail = NULL;
        o->n = o->cap = 0;
    }
}
