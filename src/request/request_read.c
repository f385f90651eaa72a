#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "request/flight.h"
#include "request/repair.h"
#include "wire/frame.h"
#include <string.h>

/* At DC_ONE it would have answered, if it is a replica. */
static bool own_is_missed(const struct request *r)
{
    bool own = false;
    for (unsigned i = 0; i < r->n; i++)
        own |= r->node[i] == r->rs->peers->self;
    return own && r->level == CONSISTENCY_DC_ONE && !store_is_up(r->rs->store);
}

/* Nobody answers a read. At DC_ONE, where the own store was asked or would have been, its reason is
 * the one to name. */
static void fail_read(struct request *r, const struct shortfall *lacking, bool beforehand)
{
    bool good[RING_REPLICAS_MAX];
    for (unsigned i = 0; i < r->n; i++)
        good[i] = beforehand ? i < r->can : r->reads[i].reply != NULL;
    if (r->level == CONSISTENCY_DC_ONE && r->own_failure) {
        request_finish(r, blob_slice(r->own_failure), -1);
    } else if (own_is_missed(r)) {
        request_add_backend_error(r->rs, "");
        request_finish_error(r);
    } else {
        request_fail_quorum(r, lacking, good, beforehand, "");
    }
}

void request_differs(const struct request *r)
{
    struct resp_command cmd = {0};
    STATS_ADD(r->rs->stats, reads_differ, 1);
    if (!r->rs->repairs || !repairs_enabled(r->rs->repairs) || !r->command)
        return;
    if (resp_command_parse(blob_slice(r->command), &cmd))
        repairs_note(r->rs->repairs, r->spec, &cmd);
    resp_command_fini(&cmd);
}

/* Replicas lack the client's own write, which is on its way to them: an error would be a poor
 * answer. They are asked again at the next ticks, for a fifth of the time at most. */
static bool will_ask_again(struct request *r, const struct shortfall *lacking)
{
    bool anchored = false;
    for (unsigned i = 0; i < r->n; i++)
        anchored |=
            r->reads[i].anchor && r->reads[i].reply && r->reads[i].group == lacking->datacenter;
    uint64_t left = r->rs->config->timeout / 5 * 4;
    if (!lacking->differ || !anchored || clock_mono_ms() + left > r->deadline_ms)
        return false;
    r->rs->again += !r->again;
    r->again = true;
    return true;
}

static bool ask_where_lacking(struct request *r, bool impatient);

static void ask_again(struct request *r)
{
    r->again = false;
    r->rs->again--;
    for (unsigned i = 0; i < r->can; i++) {
        struct read_word *w = &r->reads[i];
        if (!w->reply)
            continue; /* silent, or it can't serve */
        blob_unref(w->reply);
        w->reply = NULL;
        w->asked = w->answered = false;
        r->asked--;
    }
    ask_where_lacking(r, false);
}

/* Enough words? Decide; else ask on. */
static void weigh_read(struct request *r)
{
    struct shortfall lacking;
    unsigned chosen;
    switch (quorum_read(r->level, r->reads, r->n, r->groups, &chosen, &lacking)) {
    case READ_DONE:
        request_finish(r, blob_slice(r->reads[chosen].reply), -1);
        break;
    case READ_FAILED:
        if (!will_ask_again(r, &lacking))
            fail_read(r, &lacking, false);
        break;
    case READ_WAIT:
        ask_where_lacking(r, false);
        break;
    }
}

static int read_place(const struct request *r, uint16_t node)
{
    for (unsigned i = 0; i < r->can; i++)
        if (r->node[i] == node && r->reads[i].asked)
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
    struct read_word *w = &r->reads[i];
    r->answered++;
    w->answered = true;
    w->stamp = stamp;
    w->tag = tag;
    if (ok) {
        request_hedge_answered(r, node);
        w->reply = reply;
        quorum_take(r->reads, r->n, (unsigned)i, r->spec->compare);
    } else if (node == r->rs->peers->self) {
        r->own_failure = reply;
    } else {
        blob_unref(reply);
    }
    weigh_read(r);
}

static void on_own_read(void *arg, const struct store_read_reply *reply)
{
    struct request *r = arg;
    r->own_asked = false;
    if (r->over)
        mem_free(r);
    else if (reply->ok && r->one_decides) {
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

static void read_own(struct request *r, const struct resp_command *cmd)
{
    if (r->one_decides)
        store_read_unstamped(r->rs->reader, r->spec, cmd, on_own_read, r);
    else
        store_read(r->rs->reader, r->spec, cmd, on_own_read, r);
}

static void ask_own(struct request *r)
{
    r->own_asked = true;
    if (r->cmd) {
        read_own(r, r->cmd);
        return;
    }
    struct resp_command cmd = {0};
    if (resp_command_parse(blob_slice(r->command), &cmd))
        read_own(r, &cmd);
    resp_command_fini(&cmd);
}

static void ask_peer(struct request *r, uint16_t node)
{
    requests_ask(r->rs, node,
                 &(struct read_item){.ticket = request_ticket(r),
                                     .kind = FRAME_READ,
                                     .bytes = blob_slice(keep_command(r))});
}

static void ask_replica(struct request *r, unsigned i)
{
    r->reads[i].asked = true;
    r->asked++;
    request_hedge_ask(r, r->node[i]);
    if (r->node[i] == r->rs->peers->self)
        ask_own(r);
    else
        ask_peer(r, r->node[i]);
}

/* The nearest of a group that wasn't asked. False: its answer came at once, and ended the read. */
static bool ask_next(struct request *r, unsigned group)
{
    const struct slots *live = &r->rs->live;
    uint64_t ticket = request_ticket(r);
    for (unsigned i = 0; i < r->can; i++)
        if (r->reads[i].group == group && !r->reads[i].asked) {
            ask_replica(r, i);
            return slots_get(live, ticket) != NULL;
        }
    return true;
}

/* In each group as many as are wanted there. False: the read has ended. */
static bool ask_where_lacking(struct request *r, bool impatient)
{
    for (unsigned group = 0; group < r->groups; group++) {
        unsigned more = quorum_read_lacks(r->level, r->reads, r->n, group, impatient);
        while (more > 0) {
            unsigned asked = r->asked, answered = r->answered;
            if (!ask_next(r, group))
                return false;
            more = r->asked > asked ? more - 1 : 0;
            if (r->answered > answered && !impatient) /* at once, and may have asked others */
                more = quorum_read_lacks(r->level, r->reads, r->n, group, false);
        }
    }
    return true;
}

void request_ask_second(struct request *r)
{
    if (r->asked < 2)
        ask_next(r, 0);
}

/* Puts the preferred node in front, if it can answer. */
static void prefer(struct read_plan *p, int node)
{
    for (unsigned i = 0; i < p->can; i++) {
        if (p->node[i] != node)
            continue;
        uint8_t group = p->group[i];
        memmove(p->node + 1, p->node, i * sizeof *p->node);
        memmove(p->group + 1, p->group, i * sizeof *p->group);
        p->node[0] = (uint16_t)node;
        p->group[0] = group;
        return;
    }
}

/* Asks as many as are needed. */
static void start_reading(struct request *r)
{
    const struct slots *live = &r->rs->live;
    if (r->one_decides && r->can == 1) {
        ask_replica(r, 0);
        return;
    }
    uint64_t ticket = request_ticket(r);
    (void)keep_command(r);
    ask_where_lacking(r, false);
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
    return (r->one_decides || op->anchor) && op->prefer >= 0 ? r->rs->config->timeout / 2
                                                             : patience(r->rs);
}

/* Words that nothing is known of yet; who is away has failed already. */
static void fill_words(struct request *r, const struct read_plan *plan, const struct operation *op)
{
    memcpy(r->node, plan->node, plan->n * sizeof *plan->node);
    for (unsigned i = 0; i < plan->n; i++)
        r->reads[i] = (struct read_word){.group = plan->group[i],
                                         .answered = i >= plan->can,
                                         .anchor = op->anchor && plan->node[i] == op->prefer};
    r->can = plan->can;
    r->groups = plan->groups;
    r->one_decides = r->level == CONSISTENCY_DC_ONE || plan->n == 1;
}

/* Another one is known to have what the client has written. */
static bool has_second(const struct operation *op)
{
    return op->prefer >= 0 && op->second >= 0;
}

/* May the second of them answer in the first one's place? What the client has written it must have
 * as well; and of what equal replicas tell in ways of their own a cursor is only the first one's.
 */
static bool may_hedge(const struct read_plan *plan, const struct operation *op)
{
    if (plan->first < 2 || op->spec->compare == REPLY_KIND)
        return false;
    return op->prefer < 0 || (has_second(op) && plan->node[1] == (uint16_t)op->second);
}

/* Leaves one replica to be asked. False: it can't be. */
static bool plan_only(struct read_plan *p, int node, struct shortfall *lacking)
{
    bool can = false;
    for (unsigned i = 0; i < p->can; i++)
        can |= p->node[i] == node;
    *p = (struct read_plan){.n = node >= 0, .can = can, .groups = 1};
    if (node >= 0)
        p->node[0] = (uint16_t)node;
    *lacking = (struct shortfall){.datacenter = 0, .have = 0, .need = 1};
    return can;
}

void request_read(struct requests *rs, const struct operation *op)
{
    struct replica_view v[RING_REPLICAS_MAX];
    struct read_plan plan;
    struct shortfall lacking;
    unsigned n = request_view_replicas(rs, op->token, v);
    bool possible = plan_read(op->only ? CONSISTENCY_DC_ONE : op->level, v, n, &plan, &lacking);
    if (op->only)
        possible = plan_only(&plan, op->prefer, &lacking);
    if (has_second(op))
        prefer(&plan, op->second);
    prefer(&plan, op->prefer);
    struct request *r = request_new(rs, op, false, plan.n);
    fill_words(r, &plan, op);
    r->ask_on_ms = r->deadline_ms - rs->config->timeout + first_patience(r, op);
    r->may_hedge = may_hedge(&plan, op);
    if (possible)
        start_reading(r);
    else
        fail_read(r, &lacking, true);
}

void request_read_at(struct requests *rs, const struct operation *op, unsigned node)
{
    struct request *r = request_new(rs, op, false, 1);
    uint64_t ticket = request_ticket(r);
    r->level = CONSISTENCY_DC_ONE;
    r->node[0] = (uint16_t)node;
    r->can = r->groups = 1;
    r->one_decides = true;
    r->ask_on_ms = r->deadline_ms;
    ask_replica(r, 0);
    if (slots_get(&rs->live, ticket))
        r->cmd = NULL;
}

static void ask_on(struct request *r, uint64_t now_ms)
{
    r->ask_on_ms = now_ms + patience(r->rs);
    ask_where_lacking(r, true);
}

static void ask_all_again(struct requests *rs)
{
    for (struct request *r = rs->oldest, *next; r && rs->again; r = next) {
        next = r->newer;
        if (r->again)
            ask_again(r);
    }
}

void requests_ask_on(struct requests *rs, uint64_t now_ms)
{
    ask_all_again(rs);
    uint64_t begun_before = now_ms + rs->config->timeout - patience(rs);
    for (struct request *r = rs->oldest, *next; r && r->deadline_ms <= begun_before; r = next) {
        next = r->newer;
        if (!r->write && r->asked < r->can && r->ask_on_ms <= now_ms)
            ask_on(r, now_ms);
        else if (r->write && r->everywhere && r->ask_on_ms <= now_ms)
            request_linger_no_more(r);
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
    bool own = store_answers_at_once(rs->store) && op->level == CONSISTENCY_DC_ONE &&
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
    if (rs->held_back)
        requests_let_go(rs);
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
