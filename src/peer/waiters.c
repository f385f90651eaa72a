#include "peer/waiters.h"
#include "core/mem.h"

void waiters_fini(struct waiters *w)
{
    for (size_t i = 0; i < w->nout; i++)
        mem_free(w->out[i].mail);
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
    w->n++;
    *place(w, w->n - 1) = *new;
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

static void give(struct waiters *w, const struct mail_waiter *who, struct mail_verdict v)
{
    struct outbox *o = outbox(w, who->worker);
    if (!o->mail || o->n == o->cap) {
        o->cap = o->mail ? o->cap * 2 : 16;
        o->mail = mem_realloc(o->mail, sizeof *o->mail + o->cap * sizeof o->mail->v[0]);
    }
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

static void settle(struct waiters *w, struct mail_waiter *who, struct mail_verdict v)
{
    if (!who->worker)
        return;
    give(w, who, v);
    who->worker = NULL;
}

void waiters_settle(struct waiters *w, uint16_t node, uint64_t seq, enum verdict v,
                    enum refusal why)
{
    for (size_t i = 0; i < w->n && place(w, i)->seq <= seq; i++)
        settle(w, place(w, i),
               (struct mail_verdict){.node = node, .verdict = (uint8_t)v, .why = (uint8_t)why});
    drop_settled(w);
}

void waiters_settle_hints(struct waiters *w, uint16_t node, uint64_t seq, enum verdict v,
                          enum refusal why)
{
    for (size_t i = 0; i < w->n && place(w, i)->seq <= seq; i++)
        if (place(w, i)->hint)
            settle(w, place(w, i),
                   (struct mail_verdict){.node = node, .verdict = (uint8_t)v, .why = (uint8_t)why});
    drop_settled(w);
}

void waiters_reply(struct waiters *w, uint16_t node, uint64_t seq, struct blob *reply)
{
    /* replies come in order, so that the search is short */
    for (size_t i = 0; i < w->n && place(w, i)->seq <= seq; i++) {
        struct mail_waiter *who = place(w, i);
        if (who->seq != seq || !who->worker)
            continue;
        settle(w, who,
               (struct mail_verdict){.node = node, .verdict = VERDICT_APPLIED, .reply = reply});
        drop_settled(w);
        return;
    }
    blob_unref(reply);
}

void waiters_flush(struct waiters *w)
{
    for (size_t i = 0; i < w->nout; i++) {
        struct outbox *o = &w->out[i];
        if (!o->mail)
            continue;
        o->mail->n = o->n;
        o->mail->msg.type = MAIL_VERDICTS;
        actor_send(o->worker, &o->mail->msg);
        o->mail = NULL;
        o->n = o->cap = 0;
    }
}
