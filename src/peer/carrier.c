#include "peer/carrier.h"
#include "core/mem.h"

#define ANSWERS_MAX (64u * 1024) /* bytes of answers in one message; one may have any size */

/* What the peer answered in this turn to the reads of one worker. */
struct carrier_answers {
    struct actor *worker;
    struct mail_reads *mail;
};

static struct carrier_answers *answers_of(struct carrier *c, struct actor *worker)
{
    for (size_t i = 0; i < c->nanswers; i++)
        if (c->answers[i].worker == worker)
            return &c->answers[i];
    c->answers = mem_realloc(c->answers, (c->nanswers + 1) * sizeof *c->answers);
    c->answers[c->nanswers] = (struct carrier_answers){.worker = worker};
    return &c->answers[c->nanswers++];
}

static void answer_read(struct carrier *c, struct actor *worker, const struct read_item *it)
{
    struct carrier_answers *a = answers_of(c, worker);
    reads_add(&a->mail, worker, c->node, it);
    if (a->mail->items.len >= ANSWERS_MAX)
        reads_send(&a->mail, worker);
}

void carrier_send(struct carrier *c)
{
    for (size_t i = 0; i < c->nanswers; i++)
        reads_send(&c->answers[i].mail, c->answers[i].worker);
}

static void fail_read(struct carrier *c, const struct carried_read *r)
{
    answer_read(c, r->worker,
                &(struct read_item){.ticket = r->ticket, .kind = r->kind, .failed = true});
}

void carrier_fail(struct carrier *c)
{
    for (struct carried_read r; carried_pop(&c->reads, &r);)
        fail_read(c, &r);
}

static void make_room(struct carrier *c)
{
    struct carried_read oldest;
    if (carried_is_full(&c->reads) && carried_pop(&c->reads, &oldest))
        fail_read(c, &oldest);
}

void carrier_ask(struct carrier *c, struct mail_reads *m, struct buf *out)
{
    struct read_item it;
    for (size_t at = 0; reads_next(m, &at, &it);) {
        struct carried_read r = {.worker = m->worker, .ticket = it.ticket, .kind = it.kind};
        if (!out) {
            fail_read(c, &r);
            continue;
        }
        make_room(c);
        frame_add(out, &(struct frame){.kind = it.kind,
                                       .tag = it.tag,
                                       .seq = carried_put(&c->reads, &r),
                                       .payload = it.bytes});
    }
    reads_free(m);
}

void carrier_answer(struct carrier *c, const struct frame *f)
{
    struct carried_read r;
    if (carried_take(&c->reads, f->seq, &r))
        answer_read(c, r.worker,
                    &(struct read_item){.ticket = r.ticket,
                                        .kind = r.kind,
                                        .failed = f->flags & FRAME_FAILED,
                                        .stamp = f->stamp,
                                        .tag = f->tag,
                                        .bytes = f->payload});
}

void carrier_fini(struct carrier *c)
{
    carried_fini(&c->reads);
    mem_free(c->answers);
}
