#include "request/writer.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "hint/numbers.h"
#include "peer/standby.h"
#include "wire/frame.h"
#include <inttypes.h>
#include <string.h>

#define BATCH_MAX      4096             /* writes in one batch */
#define RETRY_MS       1000             /* a store that refused is asked again */
#define LATE_MARGIN_MS (3600ull * 1000) /* tombstones outlive hints by this much */

/* What this node knows of one node that sends to it. */
struct source {
    uint64_t applied; /* its last number in our store */
    uint64_t queued;  /* its last number taken into a batch */
    bool has_link;
    struct link_ref link;
    uint64_t start_mark;
    bool rewinding; /* a gap was reported; wait for what was asked */
    bool greet_due; /* WELCOME as soon as no batch is at the store */
    bool ack_due;
    size_t credit;  /* bytes of frames dealt with since the last mail to the link */
    struct buf out; /* frames for the link */
};

enum item_kind { ITEM_OWN, ITEM_WRITE, ITEM_SKIP };

/* One write of a batch. */
struct item {
    enum item_kind kind;
    uint16_t node;
    bool want_reply, passing; /* passing: not for the own store */
    uint64_t seq, stamp;
    uint16_t tag;
    struct mail_write *order; /* ITEM_OWN */
    struct resp_command cmd;  /* kept from batch to batch */
    const struct command_spec *spec;
    struct store_write *at_store;
};

/* A batch: its items in order, and the inbound frames that the items point into. */
struct batch {
    struct item *items;
    size_t n, cap;
    struct mail_inbound **inbound;
    size_t ninbound, cap_inbound;
    struct store_batch store;
    size_t cap_writes;
};

struct writer {
    struct actor actor;
    struct writer_options o;
    uint16_t tag;
    unsigned self;
    struct hlc clock;
    uint64_t own_seq;
    struct source *sources; /* by node */
    struct batch batches[2];
    struct batch *gathering, *at_store; /* at_store: NULL when none is */
    bool store_up, refusing; /* refusing: a write failed by the store's state; retry later */
    char refusal[200];
    struct standby standby;
    uv_timer_t tick, retry;
    struct mail_appended **appended; /* by peer: what this turn's batch put into its log */
    bool *nudged;
    struct buf text;
    bool stopping;
};

static bool serving(const struct writer *w)
{
    return w->store_up && !w->refusing;
}

/* ---- batches -----------------------------------------------------------------------------------
 */

static struct item *add_item(struct batch *b)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        b->items = mem_realloc(b->items, cap * sizeof *b->items);
        memset(b->items + b->cap, 0, (cap - b->cap) * sizeof *b->items);
        b->cap = cap;
    }
    struct item *it = &b->items[b->n++];
    struct resp_command cmd = it->cmd;
    *it = (struct item){.cmd = cmd};
    return it;
}

static void keep_inbound(struct batch *b, struct mail_inbound *m)
{
    if (b->ninbound == b->cap_inbound) {
        b->cap_inbound = b->cap_inbound ? b->cap_inbound * 2 : 16;
        b->inbound = mem_realloc(b->inbound, b->cap_inbound * sizeof *b->inbound);
    }
    b->inbound[b->ninbound++] = m;
}

static void free_inbound(struct mail_inbound *m)
{
    blob_unref(m->frames);
    mem_free(m);
}

static void empty_batch(struct writer *w, struct batch *b)
{
    for (size_t i = 0; i < b->ninbound; i++) {
        struct mail_inbound *m = b->inbound[i];
        struct source *s = &w->sources[m->node];
        if (s->has_link && s->link.worker == m->link.worker && s->link.ticket == m->link.ticket)
            s->credit += m->size;
        free_inbound(m);
    }
    b->n = b->ninbound = 0;
    buf_reset(&b->store.replies, 1024 * 1024);
}

static void free_batch(struct batch *b)
{
    for (size_t i = 0; i < b->ninbound; i++)
        free_inbound(b->inbound[i]);
    for (size_t i = 0; i < b->cap; i++)
        resp_command_fini(&b->items[i].cmd);
    mem_free(b->items);
    mem_free(b->inbound);
    mem_free(b->store.writes);
    buf_fini(&b->store.replies);
}

/* ---- links: what the writer says on them
 * --------------------------------------------------------- */

static void send_link(struct source *s, bool welcome, bool close)
{
    if (!s->has_link)
        return;
    struct mail_link *m = MEM_NEW(struct mail_link);
    m->msg.type = MAIL_LINK;
    m->ticket = s->link.ticket;
    m->welcome = welcome;
    m->close = close;
    m->credit = s->credit;
    m->frames = s->out;
    s->out = (struct buf)BUF_INIT;
    s->credit = 0;
    actor_send(s->link.worker, &m->msg);
}

static void flush_links(struct writer *w)
{
    for (unsigned i = 0; i < w->o.peers->n; i++) {
        struct source *s = &w->sources[i];
        if (s->ack_due)
            frame_add(&s->out, &(struct frame){.kind = FRAME_ACK, .seq = s->applied});
        s->ack_due = false;
        if (s->has_link && (s->out.len || s->credit))
            send_link(s, false, false);
        else if (!s->has_link)
            buf_reset(&s->out, 0);
    }
}

static void announce(struct writer *w)
{
    for (unsigned i = 0; i < w->o.peers->n; i++)
        if (w->sources[i].has_link)
            handshake_add_state(&w->sources[i].out, w->sources[i].applied, w->standby.state,
                                serving(w));
}

static void decide_state(struct writer *w)
{
    enum node_state before = w->standby.state;
    if (!standby_decide(&w->standby, clock_mono_ms()))
        return;
    __atomic_store_n(w->o.own_state, (uint32_t)w->standby.state, __ATOMIC_RELEASE);
    log_notice("this node: %s -> %s", node_state_name(before), node_state_name(w->standby.state));
    announce(w);
}

static void close_link(struct source *s, const char *reason)
{
    if (!s->has_link)
        return;
    handshake_add_refuse(&s->out, reason);
    send_link(s, false, true);
    s->has_link = false;
}

/* Whatever was gathered of this sender and isn't at the store is thrown away: it will send it
 * again. */
static void forget_gathered(struct writer *w, unsigned node)
{
    struct batch *b = w->gathering;
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].kind != ITEM_OWN && b->items[i].node == node)
            continue;
        if (kept != i) {
            struct item moved = b->items[kept];
            b->items[kept] = b->items[i];
            b->items[i] = moved; /* keeps its cmd memory */
        }
        kept++;
    }
    b->n = kept;
}

static void greet(struct writer *w, unsigned node)
{
    struct source *s = &w->sources[node];
    s->greet_due = false;
    s->queued = s->applied;
    s->rewinding = false;
    handshake_add_welcome(&s->out, s->applied, w->standby.state, serving(w));
    send_link(s, true, false);
}

static void answer_greetings(struct writer *w)
{
    if (w->at_store)
        return;
    for (unsigned i = 0; i < w->o.peers->n; i++)
        if (w->sources[i].greet_due)
            greet(w, i);
}

/* ---- identities ---------------------------------------------------------------------------------
 */

static void trust_clock(struct writer *w, uint64_t their_wall_ms)
{
    uint64_t ours = clock_wall_ms();
    uint64_t apart = ours > their_wall_ms ? ours - their_wall_ms : their_wall_ms - ours;
    if (apart <= HLC_AHEAD_MAX_MS)
        __atomic_store_n(w->o.clock_trusted, 1, __ATOMIC_RELAXED);
    else
        log_limited(60000, LOG_LEVEL_WARN,
                    "the wall clock is %" PRIu64 " ms off a peer's; allowed %d ms", apart,
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
        w->sources[node].applied = w->sources[node].queued = store_last(w->o.store, node + 1, id);
}

static void on_greet(struct writer *w, struct mail_greet *m)
{
    struct source *s = &w->sources[m->node];
    const char *known = (*w->o.topology)->nodes[m->node].id, *refusal = NULL;
    if (*known && strcmp(known, m->id) != 0)
        refusal = "another node id is known at this place";
    else if (s->has_link && m->start_mark < s->start_mark)
        refusal = "a node with this id that started later is linked: its data_dir was copied";
    if (refusal) {
        log_warn("node %s refused: %s", m->id, refusal);
        struct source once = {.has_link = true, .link = m->link};
        close_link(&once, refusal);
        mem_free(m);
        return;
    }
    if (s->has_link)
        close_link(s, m->start_mark == s->start_mark
                          ? "a new link of this sender replaces it"
                          : "a node with this id that started later is linked");
    learn_id(w, m->node, m->id);
    trust_clock(w, m->wall_ms);
    buf_reset(&s->out, 0);
    s->has_link = true;
    s->link = m->link;
    s->start_mark = m->start_mark;
    s->credit = 0;
    s->greet_due = true;
    forget_gathered(w, m->node);
    standby_greeted(&w->standby, m->node, m->hints_upto, s->applied, clock_mono_ms());
    decide_state(w);
    mem_free(m);
}

static void on_met(struct writer *w, struct mail_met *m)
{
    const char *known = (*w->o.topology)->nodes[m->node].id;
    if (!*known)
        learn_id(w, m->node, m->id);
    trust_clock(w, m->wall_ms);
    mem_free(m);
}

static void on_link_gone(struct writer *w, struct mail_link_gone *m)
{
    struct source *s = &w->sources[m->node];
    if (s->has_link && s->link.worker == m->link.worker && s->link.ticket == m->link.ticket) {
        s->has_link = s->greet_due = false;
        buf_reset(&s->out, 0);
        s->credit = 0;
    }
    mem_free(m);
}

/* ---- what peers send
 * ------------------------------------------------------------------------------ */

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* A write so old that its key's tombstone may be gone: it can't be judged any more. */
static bool too_old(const struct writer *w, const struct frame *f)
{
    uint64_t life = (uint64_t)w->o.config->hint_ttl_seconds * 1000 + LATE_MARGIN_MS;
    return hlc_ms(f->stamp) + life < clock_steady_ms() &&
           __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED);
}

static void take_frame(struct writer *w, uint16_t node, const struct frame *f)
{
    struct item *it = add_item(w->gathering);
    it->kind = ITEM_SKIP;
    it->node = node;
    it->seq = f->seq;
    it->stamp = f->stamp;
    it->tag = f->tag;
    if (f->kind == FRAME_SKIP)
        return;
    it->want_reply = f->flags & FRAME_WANT_REPLY;
    if (too_old(w, f)) {
        PEER_ADD(w->o.peers->at[node], expired, 1);
        return;
    }
    if (resp_command_parse(f->payload, &it->cmd) && it->cmd.argc)
        it->spec = command_find(it->cmd.argv[0]);
    if (it->spec)
        it->kind = ITEM_WRITE;
    else
        log_error("a write of %zu bytes from node %u can't be read and is passed over",
                  f->payload.len, node);
    hlc_follow(&w->clock, f->stamp, clock_wall_ms());
}

static void check_frame(struct writer *w, uint16_t node, const struct frame *f)
{
    struct source *s = &w->sources[node];
    bool skip = f->kind == FRAME_SKIP;
    uint64_t from = skip && f->payload.len == 8 ? get_u64(f->payload.ptr) : 0;
    switch (number_check(s->queued, skip, from, f->seq)) {
    case NUMBER_APPLY:
        s->rewinding = false;
        s->queued = f->seq;
        take_frame(w, node, f);
        break;
    case NUMBER_DUPLICATE:
        s->ack_due = true;
        break;
    case NUMBER_GAP:
        if (!s->rewinding)
            frame_add(&s->out, &(struct frame){.kind = FRAME_REWIND, .seq = s->queued});
        s->rewinding = true;
        break;
    }
}

static void on_inbound(struct writer *w, struct mail_inbound *m)
{
    struct source *s = &w->sources[m->node];
    bool current = s->has_link && s->link.worker == m->link.worker &&
                   s->link.ticket == m->link.ticket && !s->greet_due;
    if (!current || !serving(w)) {
        if (current)
            s->credit += m->size;
        free_inbound(m);
        return;
    }
    const uint8_t *p = m->frames->data, *end = p + m->frames->len;
    while (p < end) {
        struct frame f;
        size_t size = 0;
        if (frame_parse(p, (size_t)(end - p), FRAME_PAYLOAD_MAX, &f, &size) != FRAME_OK)
            break; /* the receiver has checked it */
        check_frame(w, m->node, &f);
        p += size;
    }
    keep_inbound(w->gathering, m);
}

/* ---- what clients send
 * ---------------------------------------------------------------------------- */

static void answer(struct mail_write *m)
{
    actor_send(m->worker, &m->msg);
}

static bool own_replica(const struct writer *w, const struct mail_write *m)
{
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node == w->self)
            return true;
    return false;
}

static void on_write(struct writer *w, struct mail_write *m)
{
    bool own = own_replica(w, m);
    if (own && !w->store_up) {
        m->own_down = true;
        answer(m);
        return;
    }
    struct item *it = add_item(w->gathering);
    it->kind = ITEM_OWN;
    it->passing = !own;
    it->order = m;
    it->spec = m->spec;
    it->tag = w->tag;
    it->stamp = hlc_next(&w->clock, clock_wall_ms());
    if (own) {
        it->seq = ++w->own_seq;
        if (!resp_command_parse(blob_slice(m->command), &it->cmd))
            log_error("a write that this node encoded can't be read back");
    }
}

/* ---- to the logs
 * --------------------------------------------------------------------------------- */

static void tell_sender(struct writer *w, unsigned node, const struct mail_waiter *waiter)
{
    w->nudged[node] = true;
    struct mail_appended *m = w->appended[node];
    if (!waiter)
        return;
    if (!m || (m->n & (m->n - 1)) == 0) { /* room doubles at each power of two */
        size_t n = m ? m->n : 0;
        m = mem_realloc(m, sizeof *m + (n ? 2 * n : 1) * sizeof m->waiter[0]);
        m->n = n;
        w->appended[node] = m;
    }
    m->waiter[m->n++] = *waiter;
}

static void nudge_senders(struct writer *w)
{
    for (unsigned i = 0; i < w->o.peers->n; i++) {
        if (!w->nudged[i])
            continue;
        struct mail_appended *m = w->appended[i] ? w->appended[i] : MEM_NEW(struct mail_appended);
        m->msg.type = MAIL_APPENDED;
        m->upto = hint_log_appended(w->o.peers->at[i]->log).seq;
        w->appended[i] = NULL;
        w->nudged[i] = false;
        actor_send(w->o.peers->at[i]->sender, &m->msg);
    }
}

static void want_repair(struct peer *p, const char *reason)
{
    if (PEER_LOAD(p, repair_since_ms))
        return;
    struct mail_repair *m = MEM_NEW(struct mail_repair);
    m->msg.type = MAIL_REPAIR;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    actor_send(p->sender, &m->msg);
}

static enum refusal reject(struct peer *p, enum peer_reject why, enum refusal refusal,
                           const char *reason)
{
    PEER_ADD(p, rejected[why], 1);
    want_repair(p, reason);
    return refusal;
}

static enum refusal refuse_hint(struct writer *w, struct peer *p, bool hinting, size_t size)
{
    const struct config *c = w->o.config;
    if (!c->enable_hinted_handoff)
        return hinting ? reject(p, REJECT_DISABLED, REFUSAL_DISABLED,
                                "writes for it were refused: hinted handoff is off")
                       : REFUSAL_NONE;
    uint64_t max = c->hint_store_max_bytes;
    if (max && peers_hint_bytes(w->o.peers) + size > max)
        return reject(p, REJECT_CAPACITY, REFUSAL_FULL,
                      "writes for it were refused: the hint store is full");
    return REFUSAL_NONE;
}

static void count_late(struct peer *p)
{
    struct hint_position end = hint_log_appended(p->log);
    PEER_STORE(p, late_bytes, end.bytes);
    PEER_STORE(p, late_records, end.records);
}

/* One write into one replica's log; says what became of it there. */
static enum verdict log_for(struct writer *w, const struct item *it, unsigned node,
                            enum refusal *why)
{
    struct peer *p = w->o.peers->at[node];
    const struct mail_write *m = it->order;
    bool hinting = __atomic_load_n(&p->hinting, __ATOMIC_SEQ_CST);
    bool late = !hinting && peer_behind(p) > w->o.config->send_window;
    if ((hinting || late) && (*why = refuse_hint(w, p, hinting, m->command->len)) != REFUSAL_NONE)
        return VERDICT_REFUSED;
    struct frame f = {.kind = FRAME_WRITE,
                      .flags = m->want_replies ? FRAME_WANT_REPLY : 0,
                      .tag = it->tag,
                      .stamp = it->stamp,
                      .deadline =
                          clock_steady_ms() + (uint64_t)w->o.config->hint_ttl_seconds * 1000,
                      .payload = blob_slice(m->command)};
    enum hint_append rc = hint_log_append(p->log, &f, !hinting && !late);
    if (rc != HINT_APPENDED) {
        log_limited(1000, LOG_LEVEL_ERROR, "log of peer %s: %s", p->log_name,
                    hint_log_error(p->log));
        *why = reject(p, rc == HINT_NO_SPACE ? REJECT_NO_SPACE : REJECT_IO_ERROR, REFUSAL_DISK,
                      "writes for it were refused: its log can't be written");
        return VERDICT_REFUSED;
    }
    if (hinting || late)
        PEER_ADD(p, stored, 1);
    if (late)
        count_late(p);
    bool wait = hinting || late || m->want_replies;
    struct mail_waiter waiter = {
        .seq = f.seq, .ticket = m->ticket, .worker = m->worker, .late = late};
    tell_sender(w, node, wait ? &waiter : NULL);
    return hinting || late ? VERDICT_NONE : VERDICT_LOGGED;
}

/* The own store has it, or isn't a replica: now the other replicas' logs, then the worker. */
static void pass_to_replicas(struct writer *w, const struct item *it)
{
    struct mail_write *m = it->order;
    for (unsigned i = 0; i < m->nreplicas; i++) {
        enum refusal why = REFUSAL_NONE;
        if (m->replica[i].node == w->self)
            m->replica[i].verdict = VERDICT_APPLIED;
        else
            m->replica[i].verdict = (uint8_t)log_for(w, it, m->replica[i].node, &why);
        m->replica[i].why = (uint8_t)why;
    }
    answer(m);
}

static void finish_own(struct writer *w, struct item *it)
{
    struct mail_write *m = it->order;
    it->order = NULL;
    struct item done = *it;
    done.order = m;
    m->own_outcome = STORE_APPLIED;
    if (it->at_store) {
        m->own_outcome = it->at_store->outcome;
        m->own_reply = blob_new(it->at_store->reply.ptr, it->at_store->reply.len);
    }
    if (m->own_outcome == STORE_APPLIED || m->own_outcome == STORE_STALE)
        pass_to_replicas(w, &done);
    else
        answer(m);
}

static void finish_inbound(struct writer *w, struct item *it)
{
    struct source *s = &w->sources[it->node];
    enum store_outcome outcome = it->at_store->outcome;
    if (outcome != STORE_APPLIED && outcome != STORE_STALE) {
        snprintf(w->refusal, sizeof w->refusal, "%.*s", (int)it->at_store->reply.len,
                 (const char *)it->at_store->reply.ptr);
        w->refusing = true;
        return;
    }
    s->applied = it->seq;
    s->ack_due = true;
    if (!it->want_reply || it->kind != ITEM_WRITE)
        return;
    struct frame f = {.kind = FRAME_REPLY, .seq = it->seq, .payload = it->at_store->reply};
    frame_add(&s->out, &f);
}

/* ---- the store
 * ------------------------------------------------------------------------------------ */

static void fill_write(struct item *it, struct store_write *to)
{
    *to = (struct store_write){.skip = it->kind == ITEM_SKIP,
                               .source = it->kind == ITEM_OWN ? 0 : it->node + 1u,
                               .seq = it->seq,
                               .stamp = it->stamp,
                               .tag = it->tag,
                               .spec = it->spec,
                               .cmd = &it->cmd};
    it->at_store = to;
}

/* A batch without work for the store is done at once. */
static void on_store_done(void *arg, struct store_batch *sb);

static void submit(struct writer *w)
{
    struct batch *b = w->gathering;
    if (w->at_store || b->n == 0)
        return;
    if (b->cap_writes < b->n) {
        b->cap_writes = b->cap;
        b->store.writes = mem_realloc(b->store.writes, b->cap_writes * sizeof *b->store.writes);
    }
    b->store.n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (!b->items[i].passing)
            fill_write(&b->items[i], &b->store.writes[b->store.n++]);
    w->at_store = b;
    w->gathering = b == &w->batches[0] ? &w->batches[1] : &w->batches[0];
    __atomic_store_n(w->o.clock_now, w->clock.last, __ATOMIC_RELAXED);
    if (b->store.n)
        store_apply(w->o.store, &b->store);
    else
        on_store_done(w, &b->store);
}

static void start_refusing(struct writer *w)
{
    log_limited(1000, LOG_LEVEL_ERROR, "the store refuses writes of peers: %s", w->refusal);
    for (unsigned i = 0; i < w->o.peers->n; i++) {
        forget_gathered(w, i);
        w->sources[i].queued = w->sources[i].applied;
    }
    announce(w);
}

static void on_retry(uv_timer_t *t);

static void on_store_done(void *arg, struct store_batch *sb)
{
    struct writer *w = arg;
    struct batch *b = w->at_store;
    bool was_refusing = w->refusing;
    (void)sb;
    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        if (it->kind == ITEM_OWN)
            finish_own(w, it);
        else
            finish_inbound(w, it);
        it->at_store = NULL;
    }
    w->at_store = NULL;
    empty_batch(w, b);
    for (unsigned i = 0; i < w->o.peers->n; i++)
        standby_progress(&w->standby, i, w->sources[i].applied);
    if (w->refusing && !was_refusing) {
        start_refusing(w);
        uv_timer_start(&w->retry, on_retry, RETRY_MS, 0);
    }
    nudge_senders(w);
}

/* Gathered writes of clients that need the own store can't be had now. */
static void give_back_own(struct writer *w)
{
    struct batch *b = w->gathering;
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        if (it->kind == ITEM_OWN && !it->passing) {
            it->order->own_down = true;
            answer(it->order);
            it->order = NULL;
            continue;
        }
        if (kept != i) {
            struct item moved = b->items[kept];
            b->items[kept] = *it;
            *it = moved;
        }
        kept++;
    }
    b->n = kept;
}

static void on_store_up(void *arg)
{
    struct writer *w = arg;
    w->store_up = true;
    w->refusing = false;
    const struct topology *t = *w->o.topology;
    for (unsigned i = 0; i < t->n; i++) {
        struct source *s = &w->sources[i];
        if (i == w->self || !t->nodes[i].id[0])
            continue;
        s->applied = s->queued = store_last(w->o.store, i + 1, t->nodes[i].id);
        s->rewinding = false;
    }
    uint64_t own = store_last(w->o.store, 0, w->o.me->id);
    if (own > w->own_seq)
        w->own_seq = own;
    announce(w);
    log_notice("the store is up");
}

static void on_store_down(void *arg, const char *reason)
{
    struct writer *w = arg;
    if (!w->store_up)
        return;
    w->store_up = false;
    log_error("the store is down: %s", reason);
    for (unsigned i = 0; i < w->o.peers->n; i++)
        forget_gathered(w, i);
    give_back_own(w);
    announce(w);
}

static void on_retry(uv_timer_t *t)
{
    struct writer *w = t->data;
    if (!w->refusing || !w->store_up)
        return;
    w->refusing = false;
    announce(w);
}

static void on_tick(uv_timer_t *t)
{
    decide_state(t->data);
}

/* ---- the actor
 * ------------------------------------------------------------------------------------- */

static void start(void *self)
{
    struct writer *w = self;
    uv_timer_init(&w->actor.loop, &w->tick);
    uv_timer_init(&w->actor.loop, &w->retry);
    w->tick.data = w->retry.data = w;
    uv_timer_start(&w->tick, on_tick, 100, 100);
    struct store_events events = {
        .up = on_store_up, .down = on_store_down, .done = on_store_done, .arg = w};
    store_writer_start(w->o.store, &w->actor.loop, &events);
}

static void receive(void *self, struct msg *msg)
{
    struct writer *w = self;
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
    case MAIL_LINK_GONE:
        on_link_gone(w, container_of_(msg, struct mail_link_gone, msg));
        break;
    case MAIL_MET:
        on_met(w, container_of_(msg, struct mail_met, msg));
        break;
    default:
        log_error("writer: unexpected message %u", msg->type);
        mem_free(msg);
    }
    if (w->gathering->n >= BATCH_MAX)
        submit(w);
}

static void turn_end(void *self)
{
    struct writer *w = self;
    answer_greetings(w);
    submit(w);
    if (!w->at_store && w->gathering->n)
        actor_again(&w->actor);
    nudge_senders(w);
    decide_state(w);
    flush_links(w);
}

static void stop(void *self)
{
    struct writer *w = self;
    submit(w);
    flush_links(w);
    store_writer_stop(w->o.store);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->retry, NULL);
}

static void free_write(struct mail_write *m)
{
    blob_unref(m->command);
    blob_unref(m->own_reply);
    mem_free(m);
}

static void drop(struct msg *msg)
{
    if (msg->type == MAIL_WRITE)
        free_write(container_of_(msg, struct mail_write, msg));
    else if (msg->type == MAIL_INBOUND)
        free_inbound(container_of_(msg, struct mail_inbound, msg));
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
    w->sources = mem_calloc(n, sizeof *w->sources);
    w->appended = mem_calloc(n, sizeof(struct mail_appended *));
    w->nudged = mem_calloc(n, sizeof *w->nudged);
    w->gathering = &w->batches[0];
    standby_init(&w->standby, n, o->used_data_dir, o->config->gos_interval, clock_mono_ms());
    __atomic_store_n(o->own_state, (uint32_t)w->standby.state, __ATOMIC_RELEASE);
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
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < w->batches[k].n; i++)
            if (w->batches[k].items[i].order)
                free_write(w->batches[k].items[i].order);
        free_batch(&w->batches[k]);
    }
    for (unsigned i = 0; i < w->o.peers->n; i++) {
        buf_fini(&w->sources[i].out);
        mem_free(w->appended[i]);
    }
    standby_fini(&w->standby);
    mem_free(w->sources);
    mem_free(w->appended);
    mem_free(w->nudged);
    mem_free(w);
}
