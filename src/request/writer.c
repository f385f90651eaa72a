#include "request/writer.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/inbound.h"
#include "peer/standby.h"
#include "request/batch.h"
#include "request/handoff.h"
#include "request/own.h"
#include "request/pulse.h"
#include "request/replicate.h"
#include "request/sources.h"
#include <inttypes.h>
#include <string.h>

#define BATCH_MAX  4096            /* writes in one batch */
#define OWN_PART   (BATCH_MAX / 4) /* of a batch, at least, is the own log's when it is replayed */
#define TICK_MS    100
#define TIDY_TICKS 10
#define LAZY_MS    1    /* what nobody waits for: acknowledgements, word to senders */
#define BUSY_US    5000 /* that word, at most, while the own store has a batch */
#define RETRY_MS   1000 /* a store that refused is asked again */

struct writer {
    struct actor actor;
    struct writer_options o;
    uint16_t tag;
    unsigned self;
    struct hlc clock;
    uint64_t own_seq; /* without an own log: the last number */
    struct own own;
    struct sources sources; /* by node */
    struct replicate replicate;
    struct batch batches[2];
    struct batch *gathering, *at_store; /* at_store: NULL when none is */
    uint64_t given_us;                  /* when it was given to the store */
    bool store_up, refusing; /* refusing: a write failed by the store's state; retry later */
    bool greetings_due; /* the store was away: the peers must greet again and name their hints */
    char refusal[200];
    struct pulse pulse;
    struct pulse_now now; /* read once in a turn */
    bool now_known;
    struct standby standby;
    struct handoff *handoff;
    enum node_state state; /* what is told: also STANDBY while the own log has to be replayed */
    uint64_t forbidden;    /* of the store's count of such writes: what the mark knows of */
    uv_timer_t tick, retry, lazy;
    unsigned ticks;
};

static bool serving(const struct writer *w)
{
    return w->store_up && !w->refusing;
}

static void read_clocks(struct writer *w)
{
    if (w->now_known)
        return;
    w->now_known = true;
    w->now = (struct pulse_now){.wall_ms = clock_wall_ms(), .steady_ms = clock_steady_ms()};
    pulse_look(&w->pulse, &w->now);
}

/* ---- what the peers are told -------------------------------------------------------------------
 */

static struct source *source_of(struct writer *w, unsigned node)
{
    return &w->sources.at[node];
}

static void announce(struct writer *w)
{
    for (unsigned i = 0; i < w->sources.n; i++)
        source_announce(source_of(w, i), w->state, serving(w));
    if (!own_has_log(&w->own))
        return;
    PEER_STORE(w->own.peer, link_up, serving(w));
    PEER_STORE(w->own.peer, state, (uint32_t)(serving(w) ? w->state : NODE_DOWN));
}

static void decide_state(struct writer *w)
{
    enum node_state before = w->state;
    standby_decide(&w->standby, clock_mono_ms());
    w->state = peers_own_is_current(w->o.peers) ? w->standby.state : NODE_STANDBY;
    if (w->state == before)
        return;
    __atomic_store_n(w->o.own_state, (uint32_t)w->state, __ATOMIC_RELEASE);
    log_notice("this node: %s -> %s", node_state_name(before), node_state_name(w->state));
    announce(w);
}

/* The store takes writes again: what it missed lies with the peers, which say so when they greet.
 */
static void ask_for_greetings(struct writer *w)
{
    w->greetings_due = false;
    standby_begin(&w->standby, clock_mono_ms());
    for (unsigned i = 0; i < w->sources.n; i++) {
        source_hang_up(source_of(w, i));
        if (w->o.peers->at[i])
            PEER_STORE(w->o.peers->at[i], greeted, 0);
    }
}

/* What was gathered of this sender and isn't at the store is thrown away: it will send it again. */
static bool is_of_source(void *arg, struct item *it)
{
    return it->kind != ITEM_OWN && it->node == *(unsigned *)arg;
}

static void forget_gathered(struct writer *w, unsigned node)
{
    batch_remove(w->gathering, is_of_source, &node);
    source_stands_at(source_of(w, node), source_of(w, node)->applied);
}

static void answer_greetings(struct writer *w)
{
    if (w->at_store)
        return;
    for (unsigned i = 0; i < w->sources.n; i++)
        if (source_of(w, i)->greet_due)
            source_greet(source_of(w, i), w->state, serving(w));
}

/* ---- identities ---------------------------------------------------------------------------------
 */

/* The steady clock, by which deadlines are judged, is what has to agree: it keeps the error that
 * the wall clock had at the start. */
static void trust_clock(struct writer *w, uint64_t their_wall_ms)
{
    uint64_t ours = clock_steady_ms();
    uint64_t apart = ours > their_wall_ms ? ours - their_wall_ms : their_wall_ms - ours;
    if (apart <= HLC_AHEAD_MAX_MS)
        __atomic_store_n(w->o.clock_trusted, 1, __ATOMIC_RELAXED);
    else
        log_limited(60000, LOG_LEVEL_WARN,
                    "the clock is %" PRIu64 " ms off a peer's; allowed %d ms", apart,
                    HLC_AHEAD_MAX_MS);
}

/* The ring with this node's id in it becomes the ring. */
static void learn_id(struct writer *w, unsigned node, const char *id)
{
    struct topology *old = *w->o.topology;
    if (strcmp(old->nodes[node].id, id) == 0)
        return;
    struct error e;
    struct topology *fresh = topology_new(old->nodes, old->n, old->self, &e);
    if (!fresh) {
        log_error("ring: %s", e.text);
        return;
    }
    snprintf(fresh->nodes[node].id, NODE_ID_SIZE, "%s", id);
    RCU_SET(*w->o.topology, fresh);
    rcu_defer(&old->rcu, topology_reclaim);
    w->o.met(w->o.met_arg, fresh);
    if (w->store_up)
        source_stands_at(source_of(w, node), store_last(w->o.store, node + 1, id));
}

static bool is_at_store(const struct writer *w, unsigned node)
{
    for (size_t i = 0; w->at_store && i < w->at_store->n; i++)
        if (w->at_store->items[i].kind != ITEM_OWN && w->at_store->items[i].node == node)
            return true;
    return false;
}

/* May a node that isn't the one we know at this place have it? */
static bool may_replace(struct writer *w, unsigned node, struct error *e)
{
    const char *known = (*w->o.topology)->nodes[node].id;
    if (source_of(w, node)->has_link || PEER_LOAD(w->o.peers->at[node], link_up))
        return error_set(e, "it is at a place that belongs to node %s, which is linked", known);
    if (is_at_store(w, node)) /* its numbers would be taken for the newcomer's */
        return error_set(e, "the last writes of node %s, whose place it takes, are at the store",
                         known);
    return true;
}

static bool is_newcomer(const struct writer *w, unsigned node, const char *id)
{
    const char *known = (*w->o.topology)->nodes[node].id;
    return *known && strcmp(known, id) != 0;
}

/* The sender gives it the log first: what is in there stays named by somebody, whenever a kill
 * comes. */
static void start_replacing(struct writer *w, unsigned node, const char *id)
{
    struct mail_replace *m = MEM_NEW(struct mail_replace);
    m->msg.type = MAIL_REPLACE;
    m->node = (uint16_t)node;
    memcpy(m->before, (*w->o.topology)->nodes[node].id, NODE_ID_SIZE);
    memcpy(m->id, id, NODE_ID_SIZE);
    actor_send(w->o.peers->at[node]->sender, &m->msg);
}

static void refuse_greeting(struct mail_greet *m, const char *no)
{
    log_limited(1000, LOG_LEVEL_WARN, "node %s refused: %s", m->id, no);
    source_refuse(m, no);
    mem_free(m);
}

/* A newcomer's greeting waits until it has the log. */
static void greet_newcomer(struct writer *w, struct mail_greet *m)
{
    struct source *s = source_of(w, m->node);
    struct error e;
    bool ok = may_replace(w, m->node, &e);
    if (ok && s->held)
        ok = error_set(&e, "another new node takes this place");
    if (!ok) {
        refuse_greeting(m, e.text);
        return;
    }
    s->held = m;
    start_replacing(w, m->node, m->id);
}

static void on_greet(struct writer *w, struct mail_greet *m)
{
    struct source *s = source_of(w, m->node);
    if (is_newcomer(w, m->node, m->id)) {
        greet_newcomer(w, m);
        return;
    }
    if (s->has_link && m->start_mark < s->start_mark) {
        refuse_greeting(
            m, "a node with this id that started later is linked: its data_dir was copied");
        return;
    }
    source_linked(s, m);
    PEER_STORE(w->o.peers->at[m->node], greeted, 1);
    forget_gathered(w, m->node);
    learn_id(w, m->node, m->id);
    trust_clock(w, m->wall_ms);
    standby_greeted(&w->standby, m->node, m->hints_upto, s->applied, clock_mono_ms());
    decide_state(w);
    mem_free(m);
}

static void replace(struct writer *w, const struct mail_replace *m)
{
    struct peer *p = w->o.peers->at[m->node];
    log_warn("node %s takes the place of node %s, which isn't linked: it gets what is in its log",
             m->id, m->before);
    memcpy(p->log_name, m->id, NODE_ID_SIZE);
    forget_gathered(w, m->node);
    learn_id(w, m->node, m->id);
    pulse_replaced(&w->pulse, m->node);
}

/* The log has the newcomer's name. If the node before came back meanwhile, it greets again. */
static void on_replaced(struct writer *w, struct mail_replace *m)
{
    struct mail_greet *held = source_of(w, m->node)->held;
    struct error e;
    bool fresh = is_newcomer(w, m->node, m->id);
    bool ok = m->done || error_set(&e, "the log of node %s can't get its name", m->before);
    source_of(w, m->node)->held = NULL;
    ok = ok && (!fresh || may_replace(w, m->node, &e));
    if (ok && fresh)
        replace(w, m);
    mem_free(m);
    if (held && !ok)
        refuse_greeting(held, e.text);
    else if (held)
        on_greet(w, held);
}

static void on_met(struct writer *w, struct mail_met *m)
{
    struct error e;
    bool fresh = is_newcomer(w, m->node, m->id);
    if (!fresh)
        learn_id(w, m->node, m->id);
    else if (!may_replace(w, m->node, &e))
        log_limited(1000, LOG_LEVEL_WARN, "node %s refused: %s", m->id, e.text);
    else if (!source_of(w, m->node)->held) /* else it is under way */
        start_replacing(w, m->node, m->id);
    trust_clock(w, m->wall_ms);
    mem_free(m);
}

static void on_link_gone(struct writer *w, struct mail_link_gone *m)
{
    struct source *s = source_of(w, m->node);
    if (s->held && s->held->link.worker == m->link.worker &&
        s->held->link.ticket == m->link.ticket) {
        mem_free(s->held);
        s->held = NULL;
    }
    source_unlinked(s, m->link);
    PEER_STORE(w->o.peers->at[m->node], greeted, s->has_link);
    mem_free(m);
}

/* ---- what peers send
 * ------------------------------------------------------------------------------ */

static void take_frame(struct writer *w, uint16_t node, const struct frame *f)
{
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_SKIP;
    it->node = node;
    it->seq = f->seq;
    it->stamp = f->stamp;
    it->tag = f->tag;
    if (f->kind == FRAME_SKIP)
        return;
    it->want_reply = f->flags & FRAME_WANT_REPLY;
    if (pulse_too_old(&w->pulse, node, f->stamp, &w->now)) {
        PEER_ADD(w->o.peers->at[node], too_late, 1);
        source_of(w, node)->late = true;
        return;
    }
    if (resp_command_parse(f->payload, &it->cmd) && it->cmd.argc)
        it->spec = command_find(it->cmd.argv[0]);
    if (it->spec && inbound_is_write(it->spec, &it->cmd))
        it->kind = ITEM_WRITE;
    else
        log_error("a write of %zu bytes from node %u isn't one and is passed over", f->payload.len,
                  node);
    hlc_follow(&w->clock, f->stamp, w->now.wall_ms);
}

static void on_inbound(struct writer *w, struct mail_inbound *m)
{
    struct source *s = source_of(w, m->node);
    bool current = source_is_link(s, m->link) && !s->greet_due;
    if (!current || !serving(w)) {
        if (current)
            s->credit += m->size;
        mail_inbound_free(m);
        return;
    }
    const uint8_t *p = m->frames->data, *end = p + m->frames->len;
    size_t before = w->gathering->n;
    while (p < end) {
        struct frame f;
        size_t size = 0;
        if (frame_parse_checked(p, (size_t)(end - p), FRAME_PAYLOAD_MAX, &f, &size) != FRAME_OK)
            break;
        if (source_take(s, &f) == NUMBER_APPLY)
            take_frame(w, m->node, &f);
        p += size;
    }
    if (w->gathering->n > before) {
        batch_keep(w->gathering, m);
        return;
    }
    s->credit += m->size; /* nothing of it was taken */
    mail_inbound_free(m);
}

/* ---- what clients send
 * ---------------------------------------------------------------------------- */

static void answer(struct mail_write *m)
{
    actor_send(m->worker, &m->msg);
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
static void leave_to_log(struct writer *w, struct mail_write *m)
{
    int own = own_place(w, m);
    await_others(w, m);
    if (own >= 0 && m->replica[own].verdict != VERDICT_REFUSED) {
        bool waits = own_wait(&w->own, m->replica[own].seq, m);
        m->replica[own].verdict = waits ? VERDICT_NONE : VERDICT_REFUSED;
        m->replica[own].why = waits ? REFUSAL_NONE : REFUSAL_DISABLED;
    }
    answer(m);
}

/* All logs first; then the own store, if it can take it. */
static void log_write(struct writer *w, struct mail_write *m)
{
    uint64_t stamp = hlc_next(&w->clock, clock_wall_us()); /* not the turn's: others stamp too */
    int own = own_place(w, m);
    m->own_outcome = STORE_APPLIED; /* its memory may be that of a refused one */
    m->want_replies |= own >= 0 && own_is_behind(&w->own);
    pass_to_replicas(w, m, stamp, w->tag);
    if (own < 0 || m->replica[own].verdict != VERDICT_LOGGED) {
        leave_to_log(w, m);
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
    answer(m);
    return true;
}

static void on_write(struct writer *w, struct mail_write *m)
{
    if (refuse_by_clock(w, m))
        return;
    if (own_has_log(&w->own)) {
        log_write(w, m);
        return;
    }
    bool own = own_place(w, m) >= 0;
    if (own && !w->store_up) {
        m->own_down = true;
        answer(m);
        return;
    }
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_OWN;
    it->passing = !own;
    it->order = m;
    it->tag = w->tag;
    it->stamp = hlc_next(&w->clock, clock_wall_us()); /* not the turn's: other nodes stamp too */
    if (own) {
        it->seq = ++w->own_seq;
        if (!resp_command_parse(buf_slice(&m->command), &it->cmd))
            log_error("a write that this node encoded can't be read back");
        it->spec = command_find(it->cmd.argv[0]);
    }
}

/* ---- when the store has answered ---------------------------------------------------------------
 */

static bool has_effect(enum store_outcome o)
{
    return o == STORE_APPLIED || o == STORE_STALE;
}

/* Nothing can be written now by the store's state. */
static void note_refusal(struct writer *w, const struct store_write *at_store)
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
    if (at_store)
        buf_add(&m->own_reply, at_store->reply.ptr, at_store->reply.len);
}

/* A write that lies in the own log, too, if it is a client's or replayed. */
static void finish_logged(struct writer *w, struct item *it)
{
    struct mail_write *m = it->order;
    it->order = NULL;
    if (!m)
        return;
    if (!m->worker) {
        mail_write_free(m);
    } else if (has_effect(it->at_store->outcome)) {
        take_own_word(m, it->at_store);
        m->replica[own_place(w, m)].verdict = VERDICT_APPLIED;
        answer(m);
    } else {
        leave_to_log(w, m);
    }
}

/* Where there is no own log: the own store has it, or isn't a replica; now the logs of the others,
 * then the worker. */
static void finish_own(struct writer *w, struct item *it)
{
    struct mail_write *m = it->order;
    it->order = NULL;
    take_own_word(m, it->at_store);
    if (has_effect(m->own_outcome))
        pass_to_replicas(w, m, it->stamp, it->tag);
    answer(m);
}

static bool finish_inbound(struct writer *w, struct item *it)
{
    struct source *s = source_of(w, it->node);
    if (!has_effect(it->at_store->outcome)) {
        note_refusal(w, it->at_store);
        return false;
    }
    source_applied(s, it->seq);
    if (it->want_reply && it->kind == ITEM_WRITE)
        source_reply(s, it->seq, it->at_store->reply);
    return true;
}

/* What the links sent is dealt with: credit for it. */
static void give_credit(struct writer *w, const struct batch *b)
{
    for (size_t i = 0; i < b->ninbound; i++) {
        struct source *s = source_of(w, b->inbound[i]->node);
        if (source_is_link(s, b->inbound[i]->link))
            s->credit += b->inbound[i]->size;
    }
}

/* ---- the store
 * ------------------------------------------------------------------------------------ */

/* While the own store is at work, senders that have time would only take the core that it needs. */
static enum nudge_whom whom_to_nudge(const struct writer *w)
{
    bool busy = own_has_log(&w->own) && w->at_store && clock_mono_us() - w->given_us < BUSY_US;
    return busy ? NUDGE_URGENT : NUDGE_DUE;
}

/* A batch without work for the store is done at once. */
static void on_store_done(void *arg, struct store_batch *sb);

/* A batch waits for a store that is gone. What was gathered since needs no store (give_back,
 * on_inbound): it doesn't wait; or nothing is left in it and only its memory goes. */
static void pass_gathered(struct writer *w)
{
    struct batch *b = w->gathering;
    for (size_t i = 0; i < b->n; i++)
        finish_own(w, &b->items[i]);
    give_credit(w, b);
    batch_clear(b);
}

static void submit(struct writer *w)
{
    struct batch *b = w->gathering;
    if (own_has_log(&w->own) && !w->at_store && serving(w))
        own_fill(&w->own, b, b->n < BATCH_MAX - OWN_PART ? BATCH_MAX : b->n + OWN_PART,
                 __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED));
    if (b->n == 0 || (w->at_store && !w->store_up))
        pass_gathered(w);
    if (w->at_store || b->n == 0)
        return;
    answer_greetings(w);
    w->at_store = b;
    w->given_us = clock_mono_us();
    w->gathering = b == &w->batches[0] ? &w->batches[1] : &w->batches[0];
    if (batch_for_store(b))
        store_apply(w->o.store, &b->store);
    else
        on_store_done(w, &b->store);
}

static void start_refusing(struct writer *w)
{
    log_limited(1000, LOG_LEVEL_ERROR, "the store refuses writes: %s", w->refusal);
    for (unsigned i = 0; i < w->sources.n; i++)
        forget_gathered(w, i);
    announce(w);
}

static bool leave_gathered(void *arg, struct item *it)
{
    struct writer *w = arg;
    if (it->kind != ITEM_OWN)
        return false;
    struct mail_write *m = it->order;
    it->order = NULL;
    if (m && m->worker)
        leave_to_log(w, m);
    else if (m)
        mail_write_free(m);
    return true;
}

/* The own store doesn't take what it is given: the log has it, and what is gathered, too. */
static void go_behind(struct writer *w)
{
    own_go_behind(&w->own);
    batch_remove(w->gathering, leave_gathered, w);
    decide_state(w); /* before anybody can be told that a write is done without the own store */
}

/* How far the own store has come, before the workers hear of it. False: some of it failed. */
static bool note_own_progress(struct writer *w, const struct batch *b, bool *took)
{
    uint64_t last = 0;
    bool all = true;
    for (size_t i = 0; i < b->n; i++) {
        const struct item *it = &b->items[i];
        if (it->kind != ITEM_OWN)
            continue;
        if (!has_effect(it->at_store->outcome)) {
            note_refusal(w, it->at_store);
            all = false;
            continue;
        }
        last = it->seq;
        if (it->order && !it->order->worker)
            own_replied(&w->own, it->seq, it->at_store->reply);
    }
    *took |= last != 0;
    own_applied(&w->own, last, all);
    return all;
}

static void finish_all_logged(struct writer *w, struct batch *b, bool *took)
{
    bool all = note_own_progress(w, b, took);
    if (!all)
        own_go_behind(&w->own);
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].kind == ITEM_OWN)
            finish_logged(w, &b->items[i]);
    if (!all)
        go_behind(w);
}

static void on_retry(uv_timer_t *t);

static void on_store_done(void *arg, struct store_batch *sb)
{
    struct writer *w = arg;
    struct batch *b = w->at_store;
    bool was_refusing = w->refusing, took = false;
    (void)sb;
    if (own_has_log(&w->own))
        finish_all_logged(w, b, &took);
    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        if (it->kind == ITEM_OWN && it->order)
            finish_own(w, it);
        else if (it->kind == ITEM_HANDED)
            handoff_applied(w->handoff, it->at_store);
        else if (it->kind != ITEM_OWN)
            took |= finish_inbound(w, it);
    }
    w->at_store = NULL;
    give_credit(w, b);
    batch_clear(b);
    for (unsigned i = 0; i < w->sources.n; i++)
        standby_progress(&w->standby, i, source_of(w, i)->applied);
    if (w->refusing && !was_refusing) {
        start_refusing(w);
        uv_timer_start(&w->retry, on_retry, RETRY_MS, 0);
    } else if (w->greetings_due && !w->refusing && took) {
        ask_for_greetings(w);
    }
    replicate_nudge(&w->replicate, NUDGE_DUE);
}

/* Gathered writes of clients that need the own store can't be had now. */
static bool give_back(void *arg, struct item *it)
{
    (void)arg;
    if (it->kind != ITEM_OWN || it->passing)
        return false;
    it->order->own_down = true;
    answer(it->order);
    it->order = NULL;
    return true;
}

static void on_store_up(void *arg)
{
    struct writer *w = arg;
    w->store_up = true;
    w->refusing = false;
    const struct topology *t = *w->o.topology;
    for (unsigned i = 0; i < t->n; i++) {
        const char *id = t->nodes[i].id;
        if (i != w->self && *id)
            source_stands_at(source_of(w, i), store_last(w->o.store, i + 1, id));
    }
    uint64_t own = store_last(w->o.store, 0, w->o.me->id);
    if (own_has_log(&w->own))
        own_stands_at(&w->own, own);
    else if (own > w->own_seq)
        w->own_seq = own;
    log_notice("the store is up");
    if (w->greetings_due)
        ask_for_greetings(w);
    decide_state(w);
    announce(w);
}

static void on_store_down(void *arg, const char *reason)
{
    struct writer *w = arg;
    w->greetings_due = true;
    if (!w->store_up)
        return;
    w->store_up = false;
    log_error("the store is down: %s", reason);
    for (unsigned i = 0; i < w->sources.n; i++)
        forget_gathered(w, i);
    if (own_has_log(&w->own))
        go_behind(w);
    else
        batch_remove(w->gathering, give_back, NULL);
    handoff_forget(w->handoff, w->gathering);
    for (size_t i = 0; w->at_store && i < w->at_store->n; i++)
        if (w->at_store->items[i].passing)
            finish_own(w, &w->at_store->items[i]);
    announce(w);
}

static void on_retry(uv_timer_t *t)
{
    struct writer *w = t->data;
    if (!w->refusing || !w->store_up)
        return;
    w->refusing = false;
    standby_begin(&w->standby, clock_mono_ms()); /* not read until it is known what it lacks */
    decide_state(w);
    announce(w);
}

static void look_after_own(struct writer *w)
{
    uint64_t forbidden = __atomic_load_n(&store_stats(w->o.store)->forbidden, __ATOMIC_RELAXED);
    if (forbidden > w->forbidden)
        own_mark_repair(&w->own, "the backend's user may not run writes that peers sent");
    w->forbidden = forbidden;
    own_tick(&w->own, serving(w), __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED));
}

/* ---- heartbeats -------------------------------------------------------------------------------
 */

static uint64_t first_stamp(const struct batch *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (b->items[i].kind == ITEM_OWN && b->items[i].order)
            return b->items[i].stamp;
    return UINT64_MAX;
}

/* The lowest stamp of what waits for the own store before it goes into the logs. */
static uint64_t waiting_stamp(const struct writer *w)
{
    uint64_t at_store = first_stamp(w->at_store);
    return at_store < UINT64_MAX ? at_store : first_stamp(w->gathering);
}

/* What needs no guarding any more is forgotten, and the peers are told how far we are. */
static void move_watermark(struct writer *w)
{
    bool trusted = __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED);
    pulse_publish(&w->pulse, &w->clock, waiting_stamp(w), &w->now);
    __atomic_store_n(w->o.clock_now, w->clock.last, __ATOMIC_RELAXED);
    store_forget_below(w->o.store, pulse_forgettable(&w->pulse, trusted, &w->now));
}

static void on_tick(uv_timer_t *t)
{
    struct writer *w = t->data;
    read_clocks(w);
    pulse_tick(&w->pulse, &w->now);
    move_watermark(w);
    decide_state(w);
    handoff_tick(w->handoff);
    if (++w->ticks % TIDY_TICKS != 0)
        return;
    for (unsigned i = 0; i < ARRAY_LEN(w->batches) && !w->at_store; i++)
        batch_tidy(&w->batches[i]);
    if (own_has_log(&w->own))
        look_after_own(w);
}

/* ---- the actor
 * ------------------------------------------------------------------------------------- */

static void start(void *self)
{
    struct writer *w = self;
    uv_timer_init(&w->actor.loop, &w->tick);
    uv_timer_init(&w->actor.loop, &w->retry);
    uv_timer_init(&w->actor.loop, &w->lazy);
    w->tick.data = w->retry.data = w->lazy.data = w;
    uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
    struct store_events events = {
        .up = on_store_up, .down = on_store_down, .done = on_store_done, .arg = w};
    store_writer_start(w->o.store, &w->actor.loop, &events);
}

/* About the own store, or an orphan. */
static void take_order(struct writer *w, struct mail_order *m)
{
    if (m->node == w->self)
        own_order(&w->own, m);
    else
        handoff_take(w->handoff, m);
}

static void receive(void *self, struct msg *msg)
{
    struct writer *w = self;
    read_clocks(w);
    switch ((enum mail_type)msg->type) {
    case MAIL_WRITE:
        on_write(w, container_of_(msg, struct mail_write, msg));
        break;
    case MAIL_INBOUND:
        on_inbound(w, container_of_(msg, struct mail_inbound, msg));
        break;
    case MAIL_GREET:
        on_greet(w, container_of_(msg, struct mail_greet, msg));
        break;
    case MAIL_REPLACED:
        on_replaced(w, container_of_(msg, struct mail_replace, msg));
        break;
    case MAIL_LINK_GONE:
        on_link_gone(w, container_of_(msg, struct mail_link_gone, msg));
        break;
    case MAIL_BEAT: {
        struct mail_beat *m = container_of_(msg, struct mail_beat, msg);
        pulse_heard(&w->pulse, m, &w->now);
        mem_free(m);
        break;
    }
    case MAIL_MET:
        on_met(w, container_of_(msg, struct mail_met, msg));
        break;
    case MAIL_ORDER:
        take_order(w, container_of_(msg, struct mail_order, msg));
        break;
    case MAIL_SYNC:
        handoff_synced(w->handoff, container_of_(msg, struct mail_sync, msg));
        break;
    case MAIL_REPAIR:
        own_mark_repair(&w->own, container_of_(msg, struct mail_repair, msg)->reason);
        mem_free(container_of_(msg, struct mail_repair, msg));
        break;
    default:
        log_error("writer: unexpected message %u", msg->type);
        mem_free(msg);
    }
    if (w->gathering->n >= BATCH_MAX)
        submit(w);
}

/* What had time has had it. */
static void on_lazy(uv_timer_t *t)
{
    struct writer *w = t->data;
    enum nudge_whom whom = whom_to_nudge(w);
    sources_acknowledge(&w->sources); /* the turn's end sends them */
    replicate_nudge(&w->replicate, whom == NUDGE_DUE ? NUDGE_ALL : whom);
}

static void turn_end(void *self)
{
    struct writer *w = self;
    __atomic_store_n(w->o.clock_now, w->clock.last, __ATOMIC_RELAXED);
    answer_greetings(w);
    if (handoff_turn(w->handoff, w->gathering, serving(w)))
        actor_again(&w->actor);
    submit(w);
    if (!w->at_store && w->gathering->n)
        actor_again(&w->actor);
    if (own_has_log(&w->own)) {
        replicate_renew_numbers(&w->replicate, w->own.peer->log);
        own_turn_end(&w->own);
    }
    bool told = replicate_nudge(&w->replicate, whom_to_nudge(w));
    decide_state(w);
    bool said = sources_flush(&w->sources);
    if (!(told && said) && !uv_is_active((uv_handle_t *)&w->lazy))
        uv_timer_start(&w->lazy, on_lazy, LAZY_MS, 0);
    w->now_known = false;
}

static void stop(void *self)
{
    struct writer *w = self;
    submit(w);
    replicate_nudge(&w->replicate, NUDGE_ALL);
    sources_acknowledge(&w->sources);
    sources_flush(&w->sources);
    store_writer_stop(w->o.store);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->retry, NULL);
    uv_close((uv_handle_t *)&w->lazy, NULL);
}

static void drop(struct msg *msg)
{
    if (msg->type == MAIL_WRITE)
        mail_write_free(container_of_(msg, struct mail_write, msg));
    else if (msg->type == MAIL_INBOUND)
        mail_inbound_free(container_of_(msg, struct mail_inbound, msg));
    else
        mem_free(msg);
}

static const struct actor_ops writer_ops = {.name = "writer",
                                            .start = start,
                                            .receive = receive,
                                            .turn_end = turn_end,
                                            .stop = stop,
                                            .drop = drop};

/* 16 bits that tell stamps of different nodes apart. */
static uint16_t tag_of(const char *id)
{
    uint32_t h = 2166136261u;
    for (; *id; id++)
        h = (h ^ (uint8_t)*id) * 16777619u;
    return (uint16_t)(h ^ h >> 16);
}

struct writer *writer_start(const struct writer_options *o, struct error *e)
{
    struct writer *w = MEM_NEW(struct writer);
    unsigned n = o->peers->n;
    actor_init(&w->actor, &writer_ops, w);
    w->o = *o;
    w->self = o->peers->self;
    w->tag = tag_of(o->me->id);
    w->clock.last = o->clock_floor;
    w->own_seq = o->me->start_mark << 32;
    sources_init(&w->sources, n, o->config->send_window);
    replicate_init(&w->replicate, o->config, o->peers);
    w->replicate.mark_wanted = o->mark_wanted;
    w->replicate.mark_kept = o->mark_kept;
    w->handoff = handoff_new(&(struct handoff_options){.config = o->config,
                                                       .topology = o->topology,
                                                       .peers = o->peers,
                                                       .orphans = o->orphans,
                                                       .store = o->store,
                                                       .replicate = &w->replicate,
                                                       .writer = &w->actor,
                                                       .clock_trusted = o->clock_trusted});
    pulse_init(&w->pulse, o->config, o->peers);
    w->pulse.watermark = o->watermark;
    w->pulse.clock_off = o->clock_off;
    w->gathering = &w->batches[0];
    standby_init(&w->standby, n, o->used_data_dir, o->config->gos_interval, clock_mono_ms());
    own_init(&w->own, o->config, o->peers->own, o->own_hint_dir, &w->actor.loop);
    if (own_has_log(&w->own))
        w->own.peer->sender = &w->actor;
    w->state = peers_own_is_current(o->peers) ? w->standby.state : NODE_STANDBY;
    __atomic_store_n(o->own_state, (uint32_t)w->state, __ATOMIC_RELEASE);
    if (actor_start(&w->actor, e))
        return w;
    mem_free(w);
    return NULL;
}

struct actor *writer_actor(struct writer *w)
{
    return &w->actor;
}

void writer_stop(struct writer *w)
{
    actor_stop(&w->actor);
}

void writer_join(struct writer *w)
{
    actor_join(&w->actor);
}

void writer_free(struct writer *w)
{
    actor_fini(&w->actor);
    batch_fini(&w->batches[0]);
    batch_fini(&w->batches[1]);
    sources_fini(&w->sources);
    replicate_fini(&w->replicate);
    handoff_free(w->handoff);
    standby_fini(&w->standby);
    own_fini(&w->own);
    pulse_fini(&w->pulse);
    mem_free(w);
}
