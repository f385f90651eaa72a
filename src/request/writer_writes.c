/* Writes of this node's clients: into the logs and a batch, and what the store made of them. */
#include "core/log.h"
#include "request/writer_internal.h"
#include "wire/transaction.h"

/* ---- what clients send
 * ---------------------------------------------------------------------------- */

void writer_answer(struct mail_write *m)
{
    actor_send(m->worker, &m->msg);
}

static bool is_named(const struct mail_write *m, unsigned node)
{
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node == node)
            return true;
    return false;
}

/* Of a write for all nodes. */
static void pass_to_all_newer(struct writer *w, const struct mail_write *m,
                              const struct replicate_write *write)
{
    for (unsigned i = m->nodes; i < (*w->o.topology)->n; i++) {
        enum refusal why;
        uint64_t seq;
        if (i != w->self)
            (void)replicate_to(&w->replicate, i, write, &seq, &why);
    }
}

/* Nodes that came into the ring while the write was on its way here: they don't count for it, but
 * what is answered from now on is in their logs. New ones stand behind those that were there. */
void writer_pass_to_newer(struct writer *w, const struct mail_write *m,
                          const struct replicate_write *write)
{
    const struct topology *t = *w->o.topology;
    uint16_t nodes[RING_WRITES_MAX];
    unsigned joining;
    if (m->nodes >= t->n)
        return;
    if (m->ring) {
        pass_to_all_newer(w, m, write);
        return;
    }
    unsigned n = topology_writes(t, m->token, nodes, &joining);
    for (unsigned i = 0; i < n; i++) {
        enum refusal why;
        uint64_t seq;
        if (nodes[i] >= m->nodes && nodes[i] != w->self && !is_named(m, nodes[i]))
            (void)replicate_to(&w->replicate, nodes[i], write, &seq, &why);
    }
}

/* Into the logs of its replicas, the own store's included if it has one. */
static void pass_to_replicas(struct writer *w, struct mail_write *m, uint64_t stamp, uint16_t tag)
{
    const struct replicate_write write = {.worker = m->worker,
                                          .ticket = m->ticket,
                                          .want_replies = m->want_replies,
                                          .command = buf_slice(&m->command),
                                          .stamp = stamp,
                                          .tag = tag};
    for (unsigned i = 0; i < m->nreplicas; i++) {
        enum refusal why = REFUSAL_NONE;
        unsigned node = m->replica[i].node;
        uint64_t *seq = &m->replica[i].seq;
        if (node != w->self)
            m->replica[i].verdict = (uint8_t)replicate_to(&w->replicate, node, &write, seq, &why);
        else if (own_has_log(&w->own))
            m->replica[i].verdict = (uint8_t)replicate_to_own(&w->replicate, &write, seq, &why);
        else
            m->replica[i].verdict = VERDICT_APPLIED;
        m->replica[i].why = (uint8_t)why;
    }
    writer_pass_to_newer(w, m, &write);
}

/* The index of the own store among the replicas of a write; -1: it isn't one. */
static int own_place(const struct writer *w, const struct mail_write *m)
{
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node == w->self)
            return (int)i;
    return -1;
}

/* It was meant to be answered by the own store: of a level that needs no more, nobody else has been
 * asked for a word. */
static void await_others(struct writer *w, struct mail_write *m)
{
    for (unsigned i = 0; i < m->nreplicas && !m->want_replies; i++)
        if (m->replica[i].node != w->self && m->replica[i].verdict == VERDICT_LOGGED)
            replicate_await(&w->replicate, m->replica[i].node,
                            &(struct mail_waiter){.seq = m->replica[i].seq,
                                                  .ticket = m->ticket,
                                                  .worker = m->worker});
}

/* The own store doesn't have the write, or perhaps: the worker is told where else it lies, and
 * hears the rest by verdicts. */
void writer_leave_to_log(struct writer *w, struct mail_write *m)
{
    int own = own_place(w, m);
    await_others(w, m);
    if (own >= 0 && m->replica[own].verdict != VERDICT_REFUSED) {
        bool waits = own_wait(&w->own, m->replica[own].seq, m);
        m->replica[own].verdict = waits ? VERDICT_NONE : VERDICT_REFUSED;
        m->replica[own].why = waits ? REFUSAL_NONE : REFUSAL_DISABLED;
    }
    writer_answer(m);
}

/* A start after a kill goes on at the bound that is kept: no stamp is given above it. */
uint64_t writer_next_stamp(struct writer *w)
{
    uint64_t stamp = hlc_next(&w->clock, clock_wall_us()); /* not the turn's: others stamp too */
    if (hlc_ms(stamp) >= __atomic_load_n(w->o.clock_kept, __ATOMIC_ACQUIRE))
        w->o.keep_clock(w->o.arg, hlc_ms(stamp));
    return stamp;
}

/* All logs first; then the own store, if it can take it. */
void writer_log(struct writer *w, struct mail_write *m)
{
    uint64_t stamp = m->stamp = writer_next_stamp(w);
    int own = own_place(w, m);
    /* nothing against it: its memory may be that of a refused one */
    m->own_outcome = STORE_APPLIED;
    m->want_replies |= own >= 0 && own_is_behind(&w->own);
    pass_to_replicas(w, m, stamp, w->tag);
    if (own < 0 || m->replica[own].verdict != VERDICT_LOGGED) {
        writer_leave_to_log(w, m);
        return;
    }
    m->replica[own].verdict = VERDICT_NONE;
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_OWN;
    it->order = m;
    it->tag = w->tag;
    it->stamp = stamp;
    it->seq = m->replica[own].seq;
    if (!resp_command_parse(buf_slice(&m->command), &it->cmd))
        log_error("a write that this node encoded can't be read back");
    it->spec = command_find(it->cmd.argv[0]);
}

static bool refuse_by_clock(struct writer *w, struct mail_write *m)
{
    if (!pulse_refuses(&w->pulse, &m->own_reply))
        return false;
    m->own_outcome = STORE_FAILED;
    writer_answer(m);
    return true;
}

/* Nobody would take it from this node any more. */
static bool refuse_since_left(struct writer *w, struct mail_write *m)
{
    if (!w->leaves)
        return false;
    resp_add_error(&m->own_reply, "ERR this node has left the ring; nothing was written");
    m->own_outcome = STORE_FAILED;
    writer_answer(m);
    return true;
}

void writer_write(struct writer *w, struct mail_write *m)
{
    if (refuse_by_clock(w, m) || refuse_since_left(w, m))
        return;
    if (w->o.serves && !__atomic_load_n(w->o.serves, __ATOMIC_RELAXED))
        __atomic_store_n(w->o.serves, 1, __ATOMIC_RELEASE);
    if (m->stamp > w->clock.last) /* what comes behind another node's write is newer */
        hlc_follow(&w->clock, m->stamp, clock_wall_ms());
    if (effects_concern(&w->effects, m) && writer_effects_take(w, m))
        return;
    if (m->barrier) {
        writer_answer(m);
        return;
    }
    if (own_has_log(&w->own)) {
        writer_log(w, m);
        return;
    }
    bool own = own_place(w, m) >= 0;
    if (own && !w->store_up) {
        m->own_down = true;
        writer_answer(m);
        return;
    }
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_OWN;
    it->passing = !own;
    it->order = m;
    it->tag = w->tag;
    it->stamp = writer_next_stamp(w);
    if (own) {
        it->seq = ++w->own_seq;
        if (!resp_command_parse(buf_slice(&m->command), &it->cmd))
            log_error("a write that this node encoded can't be read back");
        it->spec = command_find(it->cmd.argv[0]);
    }
}

/* ---- when the store has answered ---------------------------------------------------------------
 */

/* Nothing can be written now by the store's state. */
void writer_note_refusal(struct writer *w, const struct store_write *at_store)
{
    bool refused = at_store->outcome == STORE_FULL || at_store->outcome == STORE_FAILED;
    if (!refused || w->refusing)
        return;
    snprintf(w->refusal, sizeof w->refusal, "%.*s", (int)at_store->reply.len,
             (const char *)at_store->reply.ptr);
    w->refusing = w->greetings_due = true;
}

static void take_own_word(struct mail_write *m, const struct store_write *at_store)
{
    m->own_outcome = at_store ? at_store->outcome : STORE_APPLIED;
    if (at_store && m->chosen.len && !resp_reply_is_error(at_store->reply))
        buf_add(&m->own_reply, buf_head(&m->chosen), m->chosen.len);
    else if (at_store)
        buf_add(&m->own_reply, at_store->reply.ptr, at_store->reply.len);
}

/* A write that lies in the own log, too, if it is a client's or replayed. */
void writer_finish_logged(struct writer *w, struct item *it)
{
    struct mail_write *m = it->order;
    it->order = NULL;
    if (!m)
        return;
    if (!m->worker) {
        mail_write_free(m);
    } else if (m->effect) {
        writer_answer(m); /* as writer_effects_done has found */
    } else if (writer_has_effect(it->at_store->outcome)) {
        take_own_word(m, it->at_store);
        m->replica[own_place(w, m)].verdict = VERDICT_APPLIED;
        writer_answer(m);
    } else {
        writer_leave_to_log(w, m);
    }
}

/* A transaction that watches is for the own store alone. The others get it without that, and
 * without what it has only read; or nothing: it wasn't done. False: nothing. */
static bool settle_watched(struct mail_write *m, const struct item *it)
{
    struct buf settled = BUF_INIT;
    if (!transaction_is(it->spec) || !it->at_store || transaction_watches(&it->cmd).len == 0)
        return true;
    if (!slice_is(it->at_store->reply, "*-1\r\n"))
        transaction_settled(&it->cmd, &settled);
    buf_fini(&m->command); /* the item points there, and isn't looked at any more */
    m->command = settled;
    for (unsigned i = 0; i < m->nreplicas && settled.len == 0; i++)
        m->replica[i].verdict = VERDICT_APPLIED;
    return settled.len > 0;
}

/* Where there is no own log: the own store has it, or isn't a replica; now the logs of the others,
 * then the worker. */
void writer_finish_own(struct writer *w, struct item *it)
{
    struct mail_write *m = it->order;
    it->order = NULL;
    take_own_word(m, it->at_store);
    if (writer_has_effect(m->own_outcome) && settle_watched(m, it))
        pass_to_replicas(w, m, it->stamp, it->tag);
    writer_answer(m);
}

bool writer_finish_inbound(struct writer *w, struct item *it)
{
    struct source *s = writer_source(w, it->node);
    if (!writer_has_effect(it->at_store->outcome)) {
        writer_note_refusal(w, it->at_store);
        return false;
    }
    source_applied(s, it->seq);
    if (it->want_reply && it->kind == ITEM_WRITE)
        source_reply(s, it->seq, it->at_store->reply);
    return true;
}

/* What the links sent is dealt with: credit for it. */
void writer_give_credit(struct writer *w, const struct batch *b)
{
    for (size_t i = 0; i < b->ninbound; i++) {
        struct source *s = writer_source(w, b->inbound[i]->node);
        if (source_is_link(s, b->inbound[i]->link))
            s->credit += b->inbound[i]->size;
    }
}
