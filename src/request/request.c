#include "request/request.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "request/batch.h"
#include "request/plan.h"
#include "request/quorum.h"
#include <inttypes.h>
#include <string.h>

#define SPARE_MAX                                                                                  \
    1024u /* mails for writes, and bytes of each of their buffers, kept for use again */
#define SPARE_BYTES 1024u

/* Below it, in the same memory: its replicas' words. */
struct request {
    struct requests *rs;
    uint64_t ticket; /* 0: nobody was told it */
    uint64_t deadline_ms;
    struct request *older, *newer;
    request_done *done;
    void *arg;
    enum consistency level;
    bool write;
    unsigned n;     /* replicas: of a write all, of a read those that may be asked */
    uint16_t *node; /* n */
    /* write */
    const char *blind;
    struct write_word *words; /* n */
    uint8_t *why;             /* n; enum refusal */
    bool unsure; /* a sender has thrown away what a log had: it may have gone out before */
    /* read */
    const struct command_spec *spec;
    const struct resp_command *cmd; /* while request_read runs */
    struct blob *command;           /* for peers, and for later */
    unsigned need, asked;
    struct read_word *reads;  /* n */
    bool own_asked, over;     /* the store answers to this memory: it stays until then */
    struct blob *own_failure; /* what the own store said when it couldn't */
};

/* ---- life --------------------------------------------------------------------------------------
 */

static struct request *new_request(struct requests *rs, const struct operation *op,
                                   enum consistency level, bool write, unsigned n)
{
    size_t word = write ? sizeof(struct write_word) : sizeof(struct read_word);
    struct request *r = mem_calloc(1, sizeof *r + n * (word + sizeof *r->node + sizeof *r->why));
    void *words = r + 1;
    rs->quiet = false;
    r->rs = rs;
    r->done = op->done;
    r->arg = op->arg;
    r->spec = op->spec;
    r->cmd = op->cmd;
    r->level = level;
    r->write = write;
    r->n = n;
    r->words = write ? words : NULL;
    r->reads = write ? NULL : words;
    r->node = (uint16_t *)(void *)((uint8_t *)words + n * word);
    r->why = (uint8_t *)(r->node + n);
    r->deadline_ms = clock_mono_ms() + rs->config->timeout;
    r->older = rs->newest;
    if (rs->newest)
        rs->newest->newer = r;
    else
        rs->oldest = r;
    rs->newest = r;
    return r;
}

/* What others answer to: finds nobody once the request is over. */
static uint64_t ticket_of(struct request *r)
{
    if (!r->ticket)
        r->ticket = slots_put(&r->rs->live, r);
    return r->ticket;
}

static void free_request(struct request *r)
{
    struct requests *rs = r->rs;
    *(r->older ? &r->older->newer : &rs->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &rs->newest) = r->older;
    if (r->ticket)
        slots_drop(&rs->live, r->ticket);
    for (unsigned i = 0; i < r->n; i++)
        blob_unref(r->write ? r->words[i].reply : r->reads[i].reply);
    blob_unref(r->command);
    blob_unref(r->own_failure);
    r->over = true;
    if (!r->own_asked)
        mem_free(r);
}

static void finish(struct request *r, struct slice reply, int node)
{
    struct request_result result = {.reply = reply, .node = node};
    r->done(r->arg, &result);
    free_request(r);
}

static void finish_error(struct request *r)
{
    finish(r, buf_slice(&r->rs->scratch), -1);
}

/* Begin an error reply in the scratch buffer. */
static struct buf *fresh(struct requests *rs)
{
    buf_reset(&rs->scratch, 4096);
    return &rs->scratch;
}

static void fail_quorum(struct request *r, unsigned have, unsigned need, const char *second_half)
{
    resp_add_error(fresh(r->rs), "NOQUORUM %u of %u needed replicas answered (%s %s)%s", have, need,
                   consistency_name(r->level), r->write ? "write" : "read", second_half);
    finish_error(r);
}

static void add_backend_error(struct requests *rs, const char *second_half)
{
    char reason[256];
    store_why_down(rs->store, reason, sizeof reason);
    resp_add_error(fresh(rs), "BACKEND %s%s",
                   *reason ? reason : "the store behind this node can't serve", second_half);
}

/* Nobody answers a read. At DC_ONE, where the own store was asked or would have been, its reason is
 * the one to name. */
static void fail_read(struct request *r, unsigned have, unsigned need)
{
    if (r->level == CONSISTENCY_DC_ONE && r->own_failure) {
        finish(r, blob_slice(r->own_failure), -1);
    } else if (r->level == CONSISTENCY_DC_ONE && !store_is_up(r->rs->store)) {
        add_backend_error(r->rs, "");
        finish_error(r);
    } else {
        fail_quorum(r, have, need, "");
    }
}

/* ---- the replicas of a key
 * ------------------------------------------------------------------------ */

uint32_t request_token(const struct requests *rs, struct slice key)
{
    return hash_token(rs->hash, hash_tagged(key, rs->config->hash_tag));
}

bool request_same_owner(struct requests *rs, const struct resp_command *cmd, const size_t *keys,
                        size_t n)
{
    uint16_t first[RING_REPLICAS_MAX], other[RING_REPLICAS_MAX];
    bool same = true;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    for (size_t i = 0; i < n && same; i++) {
        unsigned count =
            topology_replicas(t, request_token(rs, cmd->argv[keys[i]]), i ? other : first);
        same = i == 0 || memcmp(first, other, count * sizeof *first) == 0;
    }
    rcu_read_end();
    return same;
}

static void view_own(const struct requests *rs, struct replica_view *v)
{
    v->own = true;
    v->up = store_is_up(rs->store);
    v->normal = __atomic_load_n(rs->own_state, __ATOMIC_ACQUIRE) == NODE_NORMAL;
}

static void view_peer(const struct requests *rs, struct replica_view *v)
{
    const struct peer *p = rs->peers->at[v->node];
    enum node_state state = peer_state(p);
    v->up = PEER_LOAD(p, link_up) && state != NODE_DOWN;
    v->normal = state == NODE_NORMAL;
    v->behind = peer_behind(p) > rs->config->send_window;
}

static unsigned view_replicas(const struct requests *rs, uint32_t token,
                              struct replica_view v[RING_REPLICAS_MAX])
{
    uint16_t nodes[RING_REPLICAS_MAX];
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    unsigned n = topology_replicas(t, token, nodes);
    for (unsigned i = 0; i < n; i++)
        v[i] = (struct replica_view){.node = nodes[i], .local = topology_is_local(t, nodes[i])};
    rcu_read_end();
    for (unsigned i = 0; i < n; i++) {
        if (v[i].node == rs->peers->self)
            view_own(rs, &v[i]);
        else
            view_peer(rs, &v[i]);
    }
    return n;
}

/* ---- reads
 * ----------------------------------------------------------------------------------------- */

static void ask_next(struct request *r);

static unsigned answers(const struct request *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->n; i++)
        n += r->reads[i].reply != NULL;
    return n;
}

static unsigned outstanding(const struct request *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->asked; i++)
        n += !r->reads[i].answered;
    return n;
}

/* Enough words? Decide; else ask on. */
static void weigh_read(struct request *r)
{
    unsigned have = answers(r);
    bool all = r->asked == r->n && outstanding(r) == 0;
    if (have >= r->need) {
        int chosen = quorum_read(r->reads, r->n, all);
        if (chosen >= 0) {
            finish(r, blob_slice(r->reads[chosen].reply), -1);
            return;
        }
    }
    if (all) {
        fail_read(r, have, r->need);
        return;
    }
    if (outstanding(r) == 0)
        ask_next(r); /* one failed, or they differ */
}

static int read_place(const struct request *r, uint16_t node)
{
    for (unsigned i = 0; i < r->asked; i++)
        if (r->node[i] == node)
            return (int)i;
    return -1;
}

static void take_word(struct request *r, uint16_t node, bool ok, uint64_t stamp, uint16_t tag,
                      struct blob *reply)
{
    int i = read_place(r, node);
    if (i < 0 || r->reads[i].answered) {
        blob_unref(reply);
        return;
    }
    r->reads[i] = (struct read_word){
        .answered = true, .failed = !ok, .stamp = stamp, .tag = tag, .reply = ok ? reply : NULL};
    if (!ok && node == r->rs->peers->self)
        r->own_failure = reply;
    else if (!ok)
        blob_unref(reply);
    weigh_read(r);
}

static void on_own_read(void *arg, const struct store_read_reply *reply)
{
    struct request *r = arg;
    r->own_asked = false;
    if (r->over)
        mem_free(r);
    else if (reply->ok && r->need == 1)
        finish(r, reply->reply, -1); /* nothing to compare it with */
    else
        take_word(r, (uint16_t)r->rs->peers->self, reply->ok, reply->stamp, reply->tag,
                  blob_new(reply->reply.ptr, reply->reply.len));
}

/* The command for whoever is asked later than request_read runs. */
static struct blob *keep_command(struct request *r)
{
    if (r->command)
        return r->command;
    struct buf *b = fresh(r->rs);
    resp_pass_command(b, r->cmd);
    return r->command = blob_new(buf_head(b), b->len);
}

static void ask_own(struct request *r)
{
    r->own_asked = true;
    if (r->cmd) {
        store_read(r->rs->reader, r->spec, r->cmd, on_own_read, r);
        return;
    }
    struct resp_command cmd = {0};
    if (resp_command_parse(blob_slice(r->command), &cmd))
        store_read(r->rs->reader, r->spec, &cmd, on_own_read, r);
    resp_command_fini(&cmd);
}

static void ask_peer(struct request *r, uint16_t node)
{
    requests_ask(r->rs, node,
                 &(struct read_item){.ticket = ticket_of(r), .bytes = blob_slice(keep_command(r))});
}

static void ask_next(struct request *r)
{
    uint16_t node = r->node[r->asked++];
    if (node == r->rs->peers->self)
        ask_own(r);
    else
        ask_peer(r, node);
}

/* Puts the preferred node in front, if it can answer. */
static void prefer(struct read_plan *p, int node)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->order[i] != node)
            continue;
        memmove(p->order + 1, p->order, i * sizeof *p->order);
        p->order[0] = (uint16_t)node;
        return;
    }
}

/* Asks as many as are needed; the answers may come at once, and end it. */
static void start_reading(struct request *r)
{
    struct requests *rs = r->rs;
    if (r->need == 1 && r->n == 1) {
        ask_next(r);
        return;
    }
    uint64_t ticket = ticket_of(r);
    unsigned need = r->need;
    (void)keep_command(r);
    for (unsigned i = 0; i < need && slots_get(&rs->live, ticket); i++)
        if (r->asked <= i)
            ask_next(r);
    if (slots_get(&rs->live, ticket))
        r->cmd = NULL;
}

void request_read(struct requests *rs, const struct operation *op)
{
    struct replica_view v[RING_REPLICAS_MAX];
    struct read_plan plan;
    unsigned n = view_replicas(rs, op->token, v);
    enum consistency level = rs->config->read_consistency;
    bool possible = plan_read(level, v, n, &plan);
    struct request *r = new_request(rs, op, level, false, plan.n);
    r->need = plan.need;
    if (!possible) {
        fail_read(r, plan.n, plan.need);
        return;
    }
    prefer(&plan, op->prefer);
    memcpy(r->node, plan.order, plan.n * sizeof *plan.order);
    start_reading(r);
}

/* ---- what the own store answers without a plan ----------------------------------------------- */

struct at_once {
    struct buf *out;
    bool ok;
};

static void on_reply_at_once(void *arg, const struct store_read_reply *reply)
{
    struct at_once *a = arg;
    a->ok = reply->ok;
    if (a->ok)
        buf_add(a->out, reply->reply.ptr, reply->reply.len);
}

static bool own_is_replica(const struct requests *rs, uint32_t token)
{
    uint16_t nodes[RING_REPLICAS_MAX];
    bool own = rs->peers->n == 1;
    if (own)
        return true;
    rcu_read_begin();
    unsigned n = topology_replicas(RCU_GET(*rs->topology), token, nodes);
    rcu_read_end();
    for (unsigned i = 0; i < n && !own; i++)
        own = nodes[i] == rs->peers->self;
    return own;
}

bool request_read_at_once(struct requests *rs, const struct operation *op, struct buf *out)
{
    bool own = store_answers_at_once(rs->store) &&
               rs->config->read_consistency == CONSISTENCY_DC_ONE &&
               (op->prefer < 0 || op->prefer == (int)rs->peers->self) &&
               __atomic_load_n(rs->own_state, __ATOMIC_ACQUIRE) == NODE_NORMAL &&
               own_is_replica(rs, op->token);
    struct at_once a = {.out = out};
    if (own)
        store_read(rs->reader, op->spec, op->cmd, on_reply_at_once, &a);
    return a.ok;
}

/* ---- reads of peers' stores --------------------------------------------------------------------
 */

void requests_ask(struct requests *rs, uint16_t node, const struct read_item *it)
{
    if (!rs->asks)
        rs->asks = mem_calloc(rs->peers->n, sizeof(struct mail_reads *));
    reads_add(&rs->asks[node], rs->worker, node, it);
    rs->asking = true;
}

void requests_flush(struct requests *rs)
{
    if (!rs->asking)
        return;
    rs->asking = false;
    for (unsigned i = 0; i < rs->peers->n; i++)
        if (rs->asks[i])
            reads_send(&rs->asks[i], rs->peers->at[i]->sender);
}

void request_mail_read(struct requests *rs, uint16_t node, const struct read_item *it)
{
    struct request *r = slots_get(&rs->live, it->ticket);
    if (r)
        take_word(r, node, !it->failed, it->stamp, it->tag, it->failed ? NULL : read_item_keep(it));
}

/* ---- writes
 * ---------------------------------------------------------------------------------------- */

static bool hints_count(const struct config *c)
{
    return c->enable_hinted_handoff && c->hint_sync == SYNC_ALWAYS &&
           strcmp(c->hint_dir, "memory") != 0;
}

/* Once the writer has answered, what wasn't refused is applied or lies in a log; what was refused
 * by the writer itself is nowhere. */
static const char *took_effect(const struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].verdict != VERDICT_REFUSED)
            return "; it took effect on some";
    return r->unsure ? "; it may still take effect" : "; nothing was written";
}

static void fail_nohint(struct request *r)
{
    enum refusal why = REFUSAL_NONE;
    for (unsigned i = 0; i < r->n; i++)
        why = r->why[i] ? (enum refusal)r->why[i] : why;
    struct buf *b = fresh(r->rs);
    if (why == REFUSAL_FULL)
        resp_add_error(b, "NOHINT hint store is full (%" PRIu64 " bytes)%s",
                       r->rs->config->hint_store_max_bytes, took_effect(r));
    else if (why == REFUSAL_DISABLED)
        resp_add_error(b, "NOHINT hinted handoff is off%s", took_effect(r));
    else
        resp_add_error(b, "NOHINT the hint store can't be written%s", took_effect(r));
    finish_error(r);
}

static int applied_node(const struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].verdict == VERDICT_APPLIED)
            return r->node[i];
    return -1;
}

static void finish_write(struct request *r)
{
    struct blob *reply = quorum_write_reply(r->words, r->n);
    if (reply) {
        finish(r, blob_slice(reply), applied_node(r));
        return;
    }
    struct buf *b = fresh(r->rs);
    if (r->blind)
        buf_add_str(b, r->blind);
    else
        resp_add_error(b, "TIMEOUT the reply was lost with a link; the write took effect");
    finish(r, buf_slice(b), applied_node(r));
}

static void weigh_write(struct request *r)
{
    const struct config *c = r->rs->config;
    unsigned applied = 0, local = 0;
    enum quorum_outcome o =
        quorum_write(r->level, c->sloppy_quorum, r->blind, r->words, r->n, &applied);
    for (unsigned i = 0; i < r->n; i++)
        local += r->words[i].local;
    switch (o) {
    case QUORUM_WAIT:
        break;
    case QUORUM_DONE:
    case QUORUM_BLIND:
        finish_write(r);
        break;
    case QUORUM_NOHINT:
        fail_nohint(r);
        break;
    case QUORUM_NOQUORUM:
        fail_quorum(r, applied, r->level == CONSISTENCY_DC_ONE ? 1 : local / 2 + 1, took_effect(r));
        break;
    }
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
    struct buf *b = fresh(r->rs);
    if (own_down)
        add_backend_error(r->rs, "; nothing was written");
    else if (reply.len)
        buf_add(b, reply.ptr, reply.len);
    else
        resp_add_error(b, "BACKEND the store behind this node can't serve; nothing was written");
    finish_error(r);
}

/* The own store's word was the last that was wanted, and there is no other reply to weigh it
 * against. */
static bool ends_with_own(struct request *r, struct slice reply)
{
    unsigned applied;
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].reply)
            return false;
    if (!reply.len || quorum_write(r->level, r->rs->config->sloppy_quorum, r->blind, r->words, r->n,
                                   &applied) != QUORUM_DONE)
        return false;
    finish(r, reply, applied_node(r));
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
    if (r)
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
        take_verdict(r, v->node, v->verdict, v->why, reply_blob(r, mail_verdict_reply(m, v)));
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
        unsigned n = rs->peers->n < RING_REPLICAS_MAX ? rs->peers->n : RING_REPLICAS_MAX;
        return mail_write_new(n);
    }
    rs->spare = m->next;
    rs->nspare--;
    return m;
}

void requests_put_mail(struct requests *rs, struct mail_write *m)
{
    if (rs->nspare >= SPARE_MAX) {
        mail_write_free(m);
        return;
    }
    buf_reset(&m->command, SPARE_BYTES);
    buf_reset(&m->own_reply, SPARE_BYTES);
    m->own_down = false;
    m->next = rs->spare;
    rs->spare = m;
    rs->nspare++;
}

static void send_to_writer(struct request *r, struct mail_write *m, bool want_replies)
{
    m->worker = r->rs->worker;
    m->ticket = ticket_of(r);
    m->want_replies = want_replies;
    m->nreplicas = (uint8_t)r->n;
    for (unsigned i = 0; i < r->n; i++) {
        m->replica[i].node = r->node[i];
        m->replica[i].verdict = VERDICT_NONE;
        m->replica[i].why = REFUSAL_NONE;
    }
    actor_send(r->rs->writer, &m->msg);
}

void request_write(struct requests *rs, const struct operation *op, struct mail_write *m)
{
    const struct config *c = rs->config;
    struct replica_view v[RING_REPLICAS_MAX];
    struct write_plan plan;
    unsigned n = view_replicas(rs, op->token, v);
    struct request *r = new_request(rs, op, c->write_consistency, true, n);
    r->blind = command_blind_reply(op->spec, op->cmd);
    bool own = false, own_up = false;
    for (unsigned i = 0; i < n; i++) {
        r->node[i] = v[i].node;
        r->words[i] = (struct write_word){.local = v[i].local, .own = v[i].own};
        own |= v[i].own;
        own_up |= v[i].own && v[i].up;
    }
    if (own && !own_up) {
        fail_own(r, true, slice_of(NULL, 0));
        requests_put_mail(rs, m);
    } else if (!plan_write(r->level, c->sloppy_quorum, hints_count(c), r->blind, v, n, &plan)) {
        fail_quorum(r, plan.have, plan.need, "; nothing was written");
        requests_put_mail(rs, m);
    } else {
        send_to_writer(r, m, r->level != CONSISTENCY_DC_ONE || !own);
    }
}

/* ---- writes past the writer --------------------------------------------------------------------
 */

bool requests_direct(const struct requests *rs)
{
    return rs->peers->n == 1 && store_takes_writes_anywhere(rs->store);
}

static void on_direct_write(void *arg, const struct store_read_reply *reply)
{
    struct request *r = arg;
    r->own_asked = false;
    if (r->over)
        mem_free(r);
    else
        finish(r, reply->reply, (int)r->rs->peers->self);
}

void request_write_direct(struct requests *rs, const struct operation *op)
{
    struct request *r = new_request(rs, op, rs->config->write_consistency, true, 0);
    if (!store_is_up(rs->store)) {
        fail_own(r, true, slice_of(NULL, 0)); /* its connection may stand: that isn't enough */
        return;
    }
    r->own_asked = true;
    store_read(rs->reader, op->spec, op->cmd, on_direct_write, r);
}

/* ---- time
 * ------------------------------------------------------------------------------------------ */

void requests_tick(struct requests *rs, uint64_t now_ms)
{
    while (rs->oldest && rs->oldest->deadline_ms <= now_ms) {
        struct request *r = rs->oldest;
        STATS_ADD(rs->stats, timeouts, 1);
        resp_add_error(fresh(rs), "TIMEOUT no answer within %u ms%s", rs->config->timeout,
                       r->write ? "; the write may still take effect" : "");
        finish_error(r);
    }
}

void requests_end(struct requests *rs)
{
    while (rs->oldest) {
        resp_add_error(fresh(rs), "TIMEOUT this node stops%s",
                       rs->oldest->write ? "; the write may still take effect" : "");
        finish_error(rs->oldest);
    }
}

static void free_spares(struct requests *rs)
{
    for (struct mail_write *m; (m = rs->spare);) {
        rs->spare = m->next;
        mail_write_free(m);
    }
    rs->nspare = 0;
}

void requests_rest(struct requests *rs)
{
    if (rs->quiet && !rs->oldest) {
        free_spares(rs);
        slots_rest(&rs->live);
    }
    rs->quiet = true;
}

void requests_fini(struct requests *rs)
{
    free_spares(rs);
    for (unsigned i = 0; rs->asks && i < rs->peers->n; i++)
        reads_free(rs->asks[i]);
    mem_free(rs->asks);
    slots_fini(&rs->live);
    buf_fini(&rs->scratch);
}
