#include "request/handoff.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/orders.h"
#include "request/handoff_chunk.h"
#include <inttypes.h>
#include <string.h>

#define ASKED_MAX 256
#define RETRY_MS  1000 /* a store that refused is asked again */

enum step { IDLE, READ, STORE, APPEND, SYNC };

struct handoff {
    struct handoff_options o;
    struct mail_order **asked; /* the first tells the job; others may be for the same */
    size_t n_asked;
    enum step step;
    struct orphan *orphan;
    bool truncate;
    uint64_t handed, dropped, expired; /* so far */
    uint64_t bytes;                    /* when it began */
    struct handoff_chunk chunk;
    size_t at_store; /* items that its answer is awaited for */
    bool store_refused;
    uint64_t retry_ms; /* mono */
    unsigned unsynced; /* senders that haven't answered */
    char stopped[200]; /* the chunk is the last, and why */
    bool *touched;     /* by node: the chunk went into its log */
    bool due;          /* something may have changed since it had to wait */
};

struct handoff *handoff_new(const struct handoff_options *o)
{
    struct handoff *h = MEM_NEW(struct handoff);
    h->o = *o;
    h->touched = mem_calloc(RING_NODES_MAX, sizeof *h->touched);
    return h;
}

void handoff_free(struct handoff *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n_asked; i++)
        mem_free(h->asked[i]);
    mem_free(h->asked);
    mem_free(h->touched);
    handoff_chunk_fini(&h->chunk);
    mem_free(h);
}

bool handoff_is_busy(const struct handoff *h)
{
    return h->step != IDLE;
}

/* ---- who asks -----------------------------------------------------------------------------------
 */

static struct orphan *orphan_of(const struct handoff *h, const struct mail_order *m)
{
    return &h->o.orphans->at[m->node - RING_NODES_MAX];
}

/* NULL: it can be done. */
static const char *refusal(const struct handoff *h, const struct mail_order *m)
{
    const struct orphan *o = orphan_of(h, m);
    if (orphan_is_gone(o))
        return "nothing is left of its hints";
    if (h->n_asked == ASKED_MAX)
        return "too many wait for it already";
    for (size_t i = 0; i < h->n_asked; i++)
        if (orphan_of(h, h->asked[i]) == o && h->asked[i]->order != m->order)
            return m->order == ORDER_TRUNCATE ? "its hints are being handed off"
                                              : "its hints are being truncated";
    if (m->order == ORDER_HANDOFF && !o->heirs)
        return "where it stood in the ring isn't known, so neither is who holds its keys now";
    return NULL;
}

static void start_job(struct handoff *h);

/* Somebody waits until its hints are gone. */
static void look_at_waits(struct orphan *o)
{
    orders_gone(&o->waits, orphan_is_gone(o) ? UINT64_MAX : hint_log_acked(o->log).seq);
    orders_forget(&o->waits, clock_mono_ms());
}

void handoff_take(struct handoff *h, struct mail_order *m)
{
    if (m->order == ORDER_WAIT) {
        struct orphan *o = orphan_of(h, m);
        m->upto = orphan_is_gone(o) ? 0 : hint_log_appended(o->log).seq;
        orders_keep(&o->waits, m);
        look_at_waits(o);
        return;
    }
    const char *no = refusal(h, m);
    if (no) {
        order_answer(m, no);
        return;
    }
    h->asked = mem_realloc(h->asked, (h->n_asked + 1) * sizeof *h->asked);
    h->asked[h->n_asked++] = m;
    if (h->step == IDLE)
        start_job(h);
}

/* Tells all who asked for this job. reason NULL: done. */
static void end_job(struct handoff *h, const char *reason)
{
    size_t left = 0;
    for (size_t i = 0; i < h->n_asked; i++) {
        struct mail_order *m = h->asked[i];
        if (orphan_of(h, m) != h->orphan) {
            h->asked[left++] = m;
            continue;
        }
        m->records = h->truncate ? h->dropped : h->handed;
        m->bytes = h->bytes;
        m->dropped = h->dropped;
        m->expired = h->expired;
        order_answer(m, reason);
    }
    h->n_asked = left;
    log_notice("%s: %s: %" PRIu64 " hints handed off, %" PRIu64 " dropped, %" PRIu64 " expired%s%s",
               h->orphan->dir, h->truncate ? "truncated" : "handoff", h->handed, h->dropped,
               h->expired, reason ? "; stopped: " : "", reason ? reason : "");
    h->step = IDLE;
    if (h->n_asked)
        start_job(h);
}

static void start_job(struct handoff *h)
{
    struct error e;
    h->orphan = orphan_of(h, h->asked[0]);
    h->truncate = h->asked[0]->order == ORDER_TRUNCATE;
    h->handed = h->dropped = h->expired = 0;
    h->bytes = orphan_hints(h->orphan).bytes;
    h->stopped[0] = 0;
    h->step = READ;
    h->due = true;
    if (orphan_is_gone(h->orphan))
        end_job(h, NULL);
    else if (!h->truncate && !handoff_begin(h->orphan, *h->o.topology, h->o.peers, &e))
        end_job(h, e.text);
    else
        orphan_mark(h->orphan, h->truncate
                                   ? "hints for it were truncated while it wasn't configured"
                                   : "hints for it were handed off while it wasn't configured");
}

/* ---- READ ---------------------------------------------------------------------------------------
 */

static bool clock_trusted(const struct handoff *h)
{
    return __atomic_load_n(h->o.clock_trusted, __ATOMIC_RELAXED);
}

/* Nothing is left that can be read. */
static void finish(struct handoff *h)
{
    struct orphan *o = h->orphan;
    if (h->truncate)
        hint_peer_drop(o->hints, hint_log_appended(o->log).seq);
    else
        hint_peer_ack(o->hints, hint_log_appended(o->log).seq);
    if (o->unreadable && !h->truncate) {
        snprintf(h->stopped, sizeof h->stopped,
                 "%" PRIu64 " segments of its log can't be read by this program; they are kept",
                 o->unreadable);
        handoff_end(o);
        end_job(h, h->stopped);
        return;
    }
    orphan_remove(o);
    end_job(h, NULL);
}

static void read_chunk(struct handoff *h)
{
    uint64_t now = clock_trusted(h) ? clock_steady_ms() : 0;
    const struct heirs *heirs = h->truncate ? NULL : h->orphan->heirs;
    if (h->stopped[0]) {
        handoff_end(h->orphan);
        end_job(h, h->stopped);
    } else if (!handoff_chunk_read(&h->chunk, h->orphan, heirs, h->o.config, *h->o.topology, now)) {
        finish(h);
    } else {
        h->step = STORE;
    }
}

/* ---- STORE --------------------------------------------------------------------------------------
 */

static bool is_for(const struct handoff *h, const struct handoff_record *r, unsigned node)
{
    for (unsigned i = 0; i < r->n; i++)
        if (h->chunk.heir[r->first + i].node == node)
            return true;
    return false;
}

static bool goes_to_store(const struct handoff *h)
{
    for (size_t i = 0; i < h->chunk.n; i++)
        if (is_for(h, &h->chunk.record[i], h->o.peers->self))
            return true;
    return false;
}

static uint64_t last_at_store(const struct handoff *h)
{
    char id[64];
    snprintf(id, sizeof id, "handoff-%s", h->orphan->name);
    return store_last(h->o.store, HANDOFF_NODE + 1, id);
}

static void gather_one(struct handoff *h, struct batch *gathering, const struct handoff_record *r)
{
    struct frame f = handoff_frame(&h->chunk, r);
    struct item *it = batch_add(gathering);
    it->kind = ITEM_HANDED;
    it->node = HANDOFF_NODE;
    it->seq = f.seq;
    it->stamp = f.stamp;
    it->tag = f.tag;
    if (!resp_command_parse(f.payload, &it->cmd)) /* it was, when it was read */
        log_error("a hint that is handed off can't be read back");
    it->spec = command_find(it->cmd.argv[0]);
    h->at_store++;
}

/* What the store doesn't have yet. */
static void gather(struct handoff *h, struct batch *gathering)
{
    uint64_t last = last_at_store(h);
    h->store_refused = false;
    for (size_t i = 0; i < h->chunk.n; i++) {
        const struct handoff_record *r = &h->chunk.record[i];
        if (r->frame.seq > last && is_for(h, r, h->o.peers->self))
            gather_one(h, gathering, r);
    }
    if (!h->at_store)
        h->step = APPEND;
}

static bool has_room(const struct handoff *h, const struct peer *p)
{
    const struct config *c = h->o.config;
    uint64_t behind = peer_behind(p), more = h->chunk.bytes.len;
    uint64_t cap = CONFIG_LIVE(c, hint_store_max_bytes_per_peer);
    if (peer_hinting(p)) /* over all peers there are as many as before */
        return !cap || peer_hints(p).bytes + more <= cap;
    return behind == 0 || behind + more <= c->send_window;
}

static bool all_have_room(const struct handoff *h)
{
    for (size_t i = 0; i < h->chunk.n_heirs; i++) {
        const struct peer *p = h->o.peers->at[h->chunk.heir[i].node];
        if (p && !has_room(h, p))
            return false;
    }
    return true;
}

/* It may never be back: who waits for it can do nothing else with these hints. */
static bool stops_for_closed(struct handoff *h)
{
    for (size_t i = 0; i < h->chunk.n_heirs; i++) {
        const struct peer *p = h->o.peers->at[h->chunk.heir[i].node];
        if (!p || !PEER_LOAD(p, closed))
            continue;
        snprintf(h->stopped, sizeof h->stopped,
                 "peer %s, to which some go, has been down for longer than its hints live",
                 p->log_name);
        handoff_end(h->orphan);
        end_job(h, h->stopped);
        return true;
    }
    return false;
}

/* Room is waited for first: a chunk isn't left half done for long. Its numbers at the store would
 * be taken for all of it by a start whose ring gives this node more of it. */
static void apply_own(struct handoff *h, struct batch *gathering, bool store_serves)
{
    if (h->at_store || stops_for_closed(h) || !all_have_room(h))
        return;
    if (!goes_to_store(h))
        h->step = APPEND;
    else if (store_serves && clock_mono_ms() >= h->retry_ms)
        gather(h, gathering);
}

void handoff_applied(struct handoff *h, const struct store_write *w)
{
    if (w->outcome != STORE_APPLIED && w->outcome != STORE_STALE && !h->store_refused) {
        h->store_refused = true;
        h->retry_ms = clock_mono_ms() + RETRY_MS;
        log_limited(1000, LOG_LEVEL_WARN, "%s: the handoff waits: the store refuses: %.*s",
                    h->orphan->dir, (int)w->reply.len, (const char *)w->reply.ptr);
    }
    if (--h->at_store == 0 && !h->store_refused) {
        h->step = APPEND;
        h->due = true;
    }
}

static bool is_handed(void *arg, struct item *it)
{
    struct handoff *h = arg;
    if (it->kind != ITEM_HANDED)
        return false;
    h->at_store--;
    return true;
}

void handoff_forget(struct handoff *h, struct batch *gathering)
{
    batch_remove(gathering, is_handed, h);
}

/* ---- APPEND -------------------------------------------------------------------------------------
 */

static void stop_at(struct handoff *h, const struct peer *p)
{
    snprintf(h->stopped, sizeof h->stopped, "log of peer %s: %.100s", p->log_name,
             hint_peer_error(p->hints));
}

/* Into the logs of its heirs, all or none: where the second refuses it, it may lie in memory.
 * False: none. */
static bool append_record(struct handoff *h, const struct handoff_record *r)
{
    bool some = false;
    for (unsigned i = 0; i < r->n; i++) {
        unsigned node = h->chunk.heir[r->first + i].node;
        struct peer *p = h->o.peers->at[node];
        struct frame f = handoff_frame(&h->chunk, r);
        if (!p) {
            some = true; /* the store has it */
            continue;
        }
        h->touched[node] = true;
        if (replicate_hand(h->o.replicate, node, &f, some) != HINT_PUT_STORED) {
            stop_at(h, p);
            if (!some)
                return false;
        }
        some = true;
    }
    return true;
}

static void ask_for_sync(struct handoff *h)
{
    for (unsigned i = 0; i < h->o.peers->n; i++) {
        if (!h->touched[i])
            continue;
        struct mail_sync *m = MEM_NEW(struct mail_sync);
        m->msg.type = MAIL_SYNC;
        m->asker = h->o.writer;
        actor_send(h->o.peers->at[i]->sender, &m->msg);
        h->unsynced++;
    }
}

static void acknowledge(struct handoff *h);

static void append(struct handoff *h)
{
    struct handoff_chunk *c = &h->chunk;
    size_t n = 0;
    while (n < c->n && !h->stopped[0] && append_record(h, &c->record[n]))
        n++;
    if (n < c->n) /* a log refused: what comes behind stays */
        handoff_chunk_cut(c, n);
    h->handed += n;
    h->step = SYNC;
    ask_for_sync(h);
    if (!h->unsynced)
        acknowledge(h);
}

/* ---- SYNC ---------------------------------------------------------------------------------------
 */

static void acknowledge(struct handoff *h)
{
    hint_peer_passed(h->orphan->hints, h->chunk.expired);
    hint_peer_ack(h->orphan->hints, h->chunk.upto);
    h->dropped += h->chunk.dropped;
    h->expired += h->chunk.expired;
    for (unsigned i = 0; i < h->o.peers->n; i++)
        if (h->touched[i])
            replicate_release(h->o.replicate, i);
    memset(h->touched, 0, h->o.peers->n * sizeof *h->touched);
    h->step = READ;
    h->due = true;
}

/* What isn't durable has been appended all the same: it isn't appended again, and the job ends. */
void handoff_synced(struct handoff *h, struct mail_sync *m)
{
    if (!m->ok)
        snprintf(h->stopped, sizeof h->stopped, "%s", m->why);
    mem_free(m);
    if (--h->unsynced == 0)
        acknowledge(h);
}

/* ---- turns --------------------------------------------------------------------------------------
 */

bool handoff_turn(struct handoff *h, struct batch *gathering, bool store_serves)
{
    if (!h->due)
        return false;
    h->due = false;
    if (h->step == READ)
        read_chunk(h);
    if (h->step == STORE)
        apply_own(h, gathering, store_serves);
    if (h->step == APPEND)
        append(h);
    return h->due;
}

void handoff_tick(struct handoff *h)
{
    for (unsigned i = 0; h->o.orphans && i < h->o.orphans->n; i++)
        if (h->o.orphans->at[i].waits.n)
            look_at_waits(&h->o.orphans->at[i]);
    h->due = h->step != IDLE;
    if (!h->due && h->o.orphans && clock_trusted(h))
        orphans_expire(h->o.orphans, clock_steady_ms());
}
