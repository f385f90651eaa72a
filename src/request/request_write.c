#include "core/mem.h"
#include "request/batch.h"
#include "request/flight.h"
#include <inttypes.h>
#include <string.h>

#define SPARE_MAX   1024u /* mails for writes, and bytes of each of their buffers, kept */
#define SPARE_BYTES 1024u

/* ---- what becomes of it ------------------------------------------------------------------------
 */

bool request_hints_count(const struct config *c)
{
    return c->enable_hinted_handoff && CONFIG_LIVE(c, hint_sync) == SYNC_ALWAYS &&
           strcmp(c->hint_dir, "memory") != 0;
}

/* Once the writer has answered, what wasn't refused is applied or lies in a log; what was refused
 * by the writer itself is nowhere. */
const char *request_took_effect(const struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].verdict != VERDICT_REFUSED)
            return "; it took effect on some";
    return r->unsure ? "; it may still take effect" : "; nothing was written";
}

void request_fail_nohint(struct request *r)
{
    enum refusal why = REFUSAL_NONE;
    for (unsigned i = 0; i < r->n; i++)
        why = r->why[i] ? (enum refusal)r->why[i] : why;
    struct buf *b = request_scratch(r->rs);
    if (why == REFUSAL_FULL)
        resp_add_error(b, "NOHINT hint store is full (%" PRIu64 " bytes)%s",
                       CONFIG_LIVE(r->rs->config, hint_store_max_bytes), request_took_effect(r));
    else if (why == REFUSAL_FULL_PEER)
        resp_add_error(b, "NOHINT hint store is full for a replica (%" PRIu64 " bytes)%s",
                       CONFIG_LIVE(r->rs->config, hint_store_max_bytes_per_peer),
                       request_took_effect(r));
    else if (why == REFUSAL_WINDOW)
        resp_add_error(b, "NOHINT a replica has been down for longer than hints live%s",
                       request_took_effect(r));
    else if (why == REFUSAL_TRUNCATED)
        resp_add_error(b, "NOHINT hints were truncated%s", request_took_effect(r));
    else if (why == REFUSAL_DISABLED)
        resp_add_error(b, "NOHINT hinted handoff is off%s", request_took_effect(r));
    else
        resp_add_error(b, "NOHINT the hint store can't be written%s", request_took_effect(r));
    request_finish_error(r);
}

static int applied_node(const struct request *r)
{
    for (unsigned i = 0; i < r->replicas; i++) /* who joins isn't read */
        if (r->words[i].verdict == VERDICT_APPLIED)
            return r->node[i];
    return -1;
}

static void finish_write(struct request *r)
{
    struct blob *reply = quorum_write_reply(r->level, r->words, r->n);
    reply = reply ? reply : r->known;
    if (reply) {
        request_finish(r, blob_slice(reply), applied_node(r));
        return;
    }
    request_finish_unsaid(r, applied_node(r));
}

/* At DC_ONE the own store would have answered it, if it is a replica. */
static bool own_is_missed(const struct request *r)
{
    bool missed = false;
    for (unsigned i = 0; i < r->replicas; i++)
        missed |= r->words[i].own && r->words[i].verdict != VERDICT_APPLIED;
    return missed && r->level == CONSISTENCY_DC_ONE;
}

static void fail_quorum(struct request *r, const struct shortfall *lacking)
{
    bool applied[RING_WRITES_MAX];
    for (unsigned i = 0; i < r->n; i++)
        applied[i] = r->words[i].verdict == VERDICT_APPLIED;
    if (own_is_missed(r)) {
        request_add_backend_error(r->rs, request_took_effect(r));
        request_finish_error(r);
    } else {
        request_fail_quorum(r, lacking, applied, false, request_took_effect(r));
    }
}

/* A peer's client that goes on when it is answered goes on with writes which that peer coordinates:
 * they would meet this one on its way to the replicas. */
static bool lingers(const struct request *r)
{
    bool on_its_way = false;
    for (unsigned i = 0; i < r->n; i++)
        on_its_way |= r->words[i].verdict <= VERDICT_LOGGED;
    return r->everywhere && on_its_way;
}

static void weigh_write(struct request *r)
{
    struct shortfall lacking;
    if (r->ring) {
        request_weigh_ring(r);
        return;
    }
    switch (quorum_write(r->level, r->sloppy, r->blind, r->words, r->n, &lacking)) {
    case QUORUM_WAIT:
        break;
    case QUORUM_DONE:
    case QUORUM_BLIND:
        if (!lingers(r))
            finish_write(r);
        break;
    case QUORUM_NOHINT:
        request_fail_nohint(r);
        break;
    case QUORUM_NOQUORUM:
        fail_quorum(r, &lacking);
        break;
    }
}

void request_linger_no_more(struct request *r)
{
    r->everywhere = false;
    weigh_write(r);
}

static void take_verdict(struct request *r, uint16_t node, uint8_t verdict, uint8_t why,
                         struct blob *reply)
{
    for (unsigned i = 0; i < r->n; i++) {
        struct write_word *w = &r->words[i];
        if (r->node[i] != node || verdict <= w->verdict)
            continue;
        w->verdict = verdict;
        r->why[i] = why;
        w->reply = reply;
        return;
    }
    blob_unref(reply);
}

static void fail_own(struct request *r, bool own_down, struct slice reply)
{
    struct buf *b = request_scratch(r->rs);
    if (own_down)
        request_add_backend_error(r->rs, "; nothing was written");
    else if (reply.len)
        buf_add(b, reply.ptr, reply.len);
    else
        resp_add_error(b, "BACKEND the store behind this node can't serve; nothing was written");
    request_finish_error(r);
}

/* The own store's word was the last that was wanted, and there is no other reply to weigh it
 * against. */
static bool ends_with_own(struct request *r, struct slice reply)
{
    struct shortfall lacking;
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].reply || (r->words[i].own && i >= r->replicas))
            return false; /* who joins may lack what the reply depends on */
    if (!reply.len || r->everywhere || r->ring ||
        quorum_write(r->level, r->sloppy, r->blind, r->words, r->n, &lacking) != QUORUM_DONE)
        return false;
    request_finish(r, reply, applied_node(r));
    return true;
}

static void take_own_answer(struct request *r, const struct mail_write *m)
{
    struct slice reply = buf_slice(&m->own_reply);
    if (m->own_down || (m->own_outcome != STORE_APPLIED && m->own_outcome != STORE_STALE)) {
        fail_own(r, m->own_down, reply);
        return;
    }
    for (unsigned i = 0; i < m->nreplicas; i++)
        take_verdict(r, m->replica[i].node, m->replica[i].verdict, m->replica[i].why, NULL);
    r->known = m->chosen.len ? blob_new(buf_head(&m->chosen), m->chosen.len) : NULL;
    if (ends_with_own(r, reply))
        return;
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].own && reply.len)
            r->words[i].reply = blob_new(reply.ptr, reply.len);
    weigh_write(r);
}

void request_mail_write(struct requests *rs, struct mail_write *m)
{
    struct request *r = slots_get(&rs->live, m->ticket);
    rs->newest_stamp = m->stamp > rs->newest_stamp ? m->stamp : rs->newest_stamp;
    if (r && m->barrier)
        request_carry_on(r);
    else if (r)
        take_own_answer(r, m);
    requests_put_mail(rs, m);
}

/* The replicas' replies are mostly the same. */
static struct blob *reply_blob(const struct request *r, struct slice reply)
{
    if (reply.len == 0)
        return NULL;
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].reply && slice_eq(blob_slice(r->words[i].reply), reply))
            return blob_ref(r->words[i].reply);
    return blob_new(reply.ptr, reply.len);
}

void request_mail_verdicts(struct requests *rs, struct mail_verdicts *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct mail_verdict *v = &m->v[i];
        struct request *r = slots_get(&rs->live, v->ticket);
        if (!r || !r->write)
            continue;
        r->unsure |= v->verdict == VERDICT_REFUSED;
        struct slice reply = r->effect ? slice_of(NULL, 0) : mail_verdict_reply(m, v);
        take_verdict(r, v->node, v->verdict, v->why, reply_blob(r, reply));
        weigh_write(r);
    }
    buf_fini(&m->replies);
    mem_free(m);
}

/* ---- the mail that a write travels in ---------------------------------------------------------
 */

struct mail_write *requests_new_mail(struct requests *rs)
{
    struct mail_write *m = rs->spare;
    if (!m) {
        unsigned n = peers_count(rs->peers);
        return mail_write_new(n < RING_WRITES_MAX ? n : RING_WRITES_MAX);
    }
    rs->spare = m->next;
    rs->nspare--;
    return m;
}

void requests_put_mail(struct requests *rs, struct mail_write *m)
{
    if (rs->nspare >= SPARE_MAX || m->room > RING_WRITES_MAX) {
        mail_write_free(m);
        return;
    }
    buf_reset(&m->command, SPARE_BYTES);
    buf_reset(&m->own_reply, SPARE_BYTES);
    buf_fini(&m->chosen);
    m->own_down = m->effect = m->barrier = m->ring = false;
    m->stamp = 0;
    m->next = rs->spare;
    rs->spare = m;
    rs->nspare++;
}

void requests_free_spares(struct requests *rs)
{
    for (struct mail_write *m; (m = rs->spare);) {
        rs->spare = m->next;
        mail_write_free(m);
    }
    rs->nspare = 0;
}

/* One from when there were fewer peers. */
struct mail_write *request_mail_with_room(struct mail_write *m, unsigned n)
{
    if (n <= m->room)
        return m;
    struct mail_write *larger = mail_write_new(n);
    larger->command = m->command;
    larger->effect = m->effect;
    m->command = (struct buf)BUF_INIT;
    mail_write_free(m);
    return larger;
}

void request_send_to_writer(struct request *r, struct mail_write *m, bool want_replies)
{
    m->worker = r->rs->worker;
    m->ticket = request_ticket(r);
    m->want_replies = want_replies;
    m->stamp = r->rs->newest_stamp;
    m->nreplicas = (uint16_t)r->n;
    for (unsigned i = 0; i < r->n; i++) {
        m->replica[i].node = r->node[i];
        m->replica[i].verdict = VERDICT_NONE;
        m->replica[i].why = REFUSAL_NONE;
    }
    actor_send(r->rs->writer, &m->msg);
}

/* Nothing is sent: too few can apply it, and too few hints would count. */
static void refuse_write(struct request *r, const struct replica_view *v,
                         const struct shortfall *lacking)
{
    bool could[RING_WRITES_MAX];
    for (unsigned i = 0; i < r->n; i++)
        could[i] = plan_applies(&v[i]);
    if (own_is_missed(r)) {
        request_add_backend_error(r->rs, "; nothing was written");
        request_finish_error(r);
    } else {
        request_fail_quorum(r, lacking, could, true, "; nothing was written");
    }
}

static void fill_words(struct request *r, const struct replica_view *v)
{
    for (unsigned i = 0; i < r->n; i++) {
        r->node[i] = v[i].node;
        r->words[i] = (struct write_word){
            .datacenter = v[i].datacenter, .own = v[i].own, .joining = v[i].joining};
        r->replicas += !v[i].joining;
    }
}

/* This node is a replica, and its word alone decides. */
static bool own_decides(const struct request *r)
{
    for (unsigned i = 0; i < r->replicas; i++)
        if (r->words[i].own)
            return r->level == CONSISTENCY_DC_ONE;
    return false;
}

void request_write(struct requests *rs, const struct operation *op, struct mail_write *m)
{
    struct replica_view v[RING_WRITES_MAX];
    struct shortfall lacking;
    unsigned nodes, n = request_view_writes(rs, op->token, v, &nodes);
    struct request *r = request_new(rs, op, true, n);
    r->blind = command_blind_reply(op->spec, op->cmd);
    r->effect = m->effect;
    r->everywhere = op->everywhere;
    r->ask_on_ms = r->deadline_ms - rs->config->timeout + rs->config->timeout / 4;
    r->sloppy = CONFIG_LIVE(rs->config, sloppy_quorum);
    fill_words(r, v);
    if (!plan_write(r->level, r->sloppy, request_hints_count(rs->config), r->blind, v, n,
                    &lacking)) {
        refuse_write(r, v, &lacking);
        requests_put_mail(rs, m);
    } else {
        /* a reply that isn't known must come from another replica if the own store goes away */
        bool must_know = peers_own(rs->peers) && !r->blind && !r->effect;
        m = request_mail_with_room(m, n);
        m->token = op->token;
        m->nodes = nodes;
        request_send_to_writer(r, m, !own_decides(r) || must_know || r->everywhere);
    }
}

/* ---- writes past the writer --------------------------------------------------------------------
 */

static void on_direct_write(void *arg, const struct store_read_reply *reply)
{
    struct request *r = arg;
    r->own_asked = false;
    r->rs->ndirect--;
    if (r->over)
        mem_free(r);
    else
        request_finish(r, reply->reply, (int)r->rs->peers->self);
}

void request_write_direct(struct requests *rs, const struct operation *op)
{
    struct request *r = request_new(rs, op, true, 0);
    if (!store_is_up(rs->store)) {
        fail_own(r, true, slice_of(NULL, 0)); /* its connection may stand: that isn't enough */
        return;
    }
    if (rs->serves && !__atomic_load_n(rs->serves, __ATOMIC_RELAXED))
        __atomic_store_n(rs->serves, 1, __ATOMIC_RELEASE);
    r->own_asked = true;
    rs->ndirect++;
    store_read(rs->reader, op->spec, op->cmd, on_direct_write, r);
}
