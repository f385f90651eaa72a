#include "core/mem.h"
#include "core/rcu.h"
#include "request/flight.h"
#include "wire/frame.h"
#include <string.h>

/* Nobody answers a read. At DC_ONE, where the own store was asked or would have been, its reason is
 * the one to name. */
static void fail_read(struct request *r, unsigned have, unsigned need)
{
    if (r->level == CONSISTENCY_DC_ONE && r->own_failure) {
        request_finish(r, blob_slice(r->own_failure), -1);
    } else if (r->level == CONSISTENCY_DC_ONE && !store_is_up(r->rs->store)) {
        request_add_backend_error(r->rs, "");
        request_finish_error(r);
    } else {
        request_fail_quorum(r, have, need, "");
    }
}

static void ask_up_to(struct request *r, unsigned asked);

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
    unsigned have = answers(r), open = outstanding(r);
    bool all = r->asked == r->n && open == 0;
    if (have >= r->need) {
        int chosen = quorum_read(r->reads, r->n, all);
        if (chosen >= 0) {
            request_finish(r, blob_slice(r->reads[chosen].reply), -1);
            return;
        }
    }
    if (all) {
        fail_read(r, have, r->need);
        return;
    }
    unsigned lacking = have < r->need ? r->need - have : 1; /* one failed, or they differ */
    if (open < lacking)
        ask_up_to(r, r->asked + lacking - open);
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
    if (ok)
        request_hedge_answered(r, node);
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
    else if (reply->ok && r->need == 1) {
        request_hedge_answered(r, (uint16_t)r->rs->peers->self);
        request_finish(r, reply->reply, -1); /* nothing to compare it with */
    } else
        take_word(r, (uint16_t)r->rs->peers->self, reply->ok, reply->stamp, reply->tag,
                  blob_new(reply->reply.ptr, reply->reply.len));
}

/* The command for whoever is asked later than request_read runs. */
static struct blob *keep_command(struct request *r)
{
    if (r->command)
        return r->command;
    struct buf *b = request_scratch(r->rs);
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
                 &(struct read_item){.ticket = request_ticket(r),
                                     .kind = FRAME_READ,
                                     .bytes = blob_slice(keep_command(r))});
}

static void ask_next(struct request *r)
{
    uint16_t node = r->node[r->asked++];
    request_hedge_ask(r, node);
    if (node == r->rs->peers->self)
        ask_own(r);
    else
        ask_peer(r, node);
}

/* Until so many were asked, if there are so many; the answers may come at once, and end it. */
static void ask_up_to(struct request *r, unsigned asked)
{
    const struct slots *live = &r->rs->live;
    uint64_t ticket = request_ticket(r);
    while (r->asked < r->n && r->asked < asked) {
        ask_next(r);
        if (!slots_get(live, ticket))
            return;
    }
}

void request_ask_second(struct request *r)
{
    ask_up_to(r, 2);
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

/* Asks as many as are needed. */
static void start_reading(struct request *r)
{
    const struct slots *live = &r->rs->live;
    if (r->need == 1 && r->n == 1) {
        ask_next(r);
        return;
    }
    uint64_t ticket = request_ticket(r);
    (void)keep_command(r);
    ask_up_to(r, r->need);
    if (slots_get(live, ticket))
        r->cmd = NULL;
}

/* How long a read waits for those that it has asked, before it asks others too: one whose answer is
 * late may be one that will count as down only when the read has timed out. */
static uint64_t patience(const struct requests *rs)
{
    return rs->config->timeout / 8;
}

/* Longer where only one is known to have what the client has written. */
static uint64_t first_patience(const struct request *r, const struct operation *op)
{
    return r->need == 1 && op->prefer >= 0 ? r->rs->config->timeout / 2 : patience(r->rs);
}

void request_read(struct requests *rs, const struct operation *op)
{
    struct replica_view v[RING_REPLICAS_MAX];
    struct read_plan plan;
    unsigned n = request_view_replicas(rs, op->token, v);
    enum consistency level = rs->config->read_consistency;
    bool possible = plan_read(level, v, n, &plan);
    struct request *r = request_new(rs, op, level, false, plan.n);
    r->need = plan.need;
    r->ask_on_ms = r->deadline_ms - rs->config->timeout + first_patience(r, op);
    r->may_hedge = plan.first > 1 && op->prefer < 0;
    if (!possible) {
        fail_read(r, plan.n, plan.need);
        return;
    }
    prefer(&plan, op->prefer);
    memcpy(r->node, plan.order, plan.n * sizeof *plan.order);
    start_reading(r);
}

static void ask_on(struct request *r, uint64_t now_ms)
{
    unsigned have = answers(r);
    r->ask_on_ms = now_ms + patience(r->rs);
    ask_up_to(r, r->asked + (have < r->need ? r->need - have : 1));
}

void requests_ask_on(struct requests *rs, uint64_t now_ms)
{
    uint64_t begun_before = now_ms + rs->config->timeout - patience(rs);
    for (struct request *r = rs->oldest, *next; r && r->deadline_ms <= begun_before; r = next) {
        next = r->newer;
        if (!r->write && r->asked < r->n && r->ask_on_ms <= now_ms)
            ask_on(r, now_ms);
    }
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
    bool own = peers_count(rs->peers) == 1;
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
        rs->asks = mem_calloc(RING_NODES_MAX, sizeof(struct mail_reads *));
    reads_add(&rs->asks[node], rs->worker, node, it);
    rs->asking = true;
}

void requests_flush(struct requests *rs)
{
    if (!rs->asking)
        return;
    rs->asking = false;
    unsigned n = peers_count(rs->peers);
    for (unsigned i = 0; i < n; i++)
        if (rs->asks[i])
            reads_send(&rs->asks[i], rs->peers->at[i]->sender);
}

void request_mail_read(struct requests *rs, uint16_t node, const struct read_item *it)
{
    struct request *r = slots_get(&rs->live, it->ticket);
    if (r)
        take_word(r, node, !it->failed, it->stamp, it->tag, it->failed ? NULL : read_item_keep(it));
}
