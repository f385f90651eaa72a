/* What dyn-admin asks of this node's own membership: standby, normal, leaving. */
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "gossip/gossip_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPREAD_INTERVALS                                                                           \
    3 /* for its last word to reach the others, before it says that it has left */

static void answer(struct mail_order *m, const char *why_not)
{
    m->done = !why_not;
    snprintf(m->reason, sizeof m->reason, "%.*s", (int)sizeof m->reason - 1,
             why_not ? why_not : "");
    actor_send(m->asker, &m->msg);
}

/* ---- leaving: no new clients, every log delivered, then out of the ring -----------------------
 */

static bool same_rack(const struct ring_node *a, const struct ring_node *b)
{
    return strcmp(a->datacenter, b->datacenter) == 0 && strcmp(a->rack, b->rack) == 0;
}

/* Until data can be streamed, nobody may inherit ranges that it hasn't. */
static bool may_leave(const struct topology *t, struct error *e)
{
    const struct ring_node *self = &t->nodes[t->self];
    unsigned members = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct ring_node *n = &t->nodes[i];
        if (i == t->self || n->role == RING_GONE)
            continue;
        members += n->role == RING_MEMBER;
        if (same_rack(n, self))
            return error_set(
                e,
                "node %s at %s of its rack would inherit its ranges, without their data, which "
                "can't be streamed yet",
                *n->id ? n->id : "never met", n->address);
    }
    return members || error_set(e, "no other node is in the ring: its data would be nowhere");
}

/* Bytes of the logs that aren't delivered; `who` gets the names of those that lack them. Who has
 * left takes none. */
static uint64_t undelivered(const struct gossip *g, char *who, size_t size)
{
    uint64_t bytes = 0;
    size_t len = 0;
    who[0] = 0;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*g->o.topology);
    for (unsigned i = 0; i < t->n; i++) {
        const struct peer *p = g->o.peers->at[i];
        uint64_t behind = p && t->nodes[i].role != RING_GONE ? peer_behind(p) : 0;
        bytes += behind;
        if (behind && len < size)
            len += (size_t)snprintf(who + len, size - len, "%s%s (%" PRIu64 " bytes)",
                                    len ? ", " : "", t->nodes[i].address, behind);
    }
    rcu_read_end();
    return bytes;
}

static void start_leaving(struct gossip *g, struct mail_order *m)
{
    struct error e;
    rcu_read_begin();
    bool ok = may_leave(RCU_GET(*g->o.topology), &e);
    rcu_read_end();
    if (ok && !swim_is_settled(g->swim))
        ok = error_set(&e, "it isn't a member of the ring yet");
    if (ok && g->leaving)
        ok = error_set(&e, "it was told to leave before, and somebody waits for that");
    if (!ok) {
        answer(m, e.text);
        return;
    }
    g->leaving = m;
    gossip_say(g, g->left_ms ? NODE_RESET : NODE_LEAVING);
    gossip_go_on_leaving(g, clock_mono_ms());
}

static void give_up_waiting(struct gossip *g, const char *who)
{
    struct mail_order *m = g->leaving;
    char why[sizeof m->reason];
    snprintf(why, sizeof why, "it is still leaving: not delivered to %.150s", who);
    g->leaving = NULL;
    answer(m, why);
}

static bool takes_writes(const struct gossip *g)
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*g->o.topology);
    bool takes = t->nodes[t->self].role != RING_GONE;
    rcu_read_end();
    return takes;
}

static void leave(struct gossip *g, uint64_t now_ms)
{
    log_notice("all logs are delivered: this node leaves the ring");
    gossip_say(g, NODE_RESET);
    g->left_ms = now_ms;
}

void gossip_go_on_leaving(struct gossip *g, uint64_t now_ms)
{
    char who[400];
    enum node_state state = swim_self(g->swim)->state;
    /* asked before it is counted: clients that are still connected write up to the last moment */
    bool takes = state == NODE_LEAVING && takes_writes(g);
    bool delivered = state == NODE_LEAVING && undelivered(g, who, sizeof who) == 0;
    if (delivered && takes)
        gossip_take_no_more(g);
    else if (delivered)
        leave(g, now_ms);
    else if (state == NODE_LEAVING && g->leaving && now_ms >= g->leaving->until_ms)
        give_up_waiting(g, who);
    if (g->leaving && g->left_ms &&
        now_ms - g->left_ms >= SPREAD_INTERVALS * (uint64_t)g->o.config->gos_interval) {
        answer(g->leaving, NULL);
        g->leaving = NULL;
    }
}

/* ---- the others -------------------------------------------------------------------------------
 */

static const char *why_not_normal(const struct gossip *g)
{
    switch (swim_self(g->swim)->state) {
    case NODE_RESET:
        return "it has left the ring for good; start it anew to let it join";
    case NODE_JOINING:
        return swim_is_settled(g->swim) ? NULL : "it isn't known yet whether it may join";
    default:
        return NULL;
    }
}

/* A newcomer becomes a member, one that leaves stays; of STANDBY the writer decides. */
static void become_normal(struct gossip *g, struct mail_order *m)
{
    const char *why_not = why_not_normal(g);
    if (why_not) {
        answer(m, why_not);
        return;
    }
    if (g->leaving) {
        answer(g->leaving, "it was told to stay");
        g->leaving = NULL;
    }
    gossip_say(g, NODE_NORMAL);
    actor_send(g->o.writer, &m->msg);
}

void gossip_order(struct gossip *g, struct mail_order *m)
{
    switch (m->order) {
    case ORDER_LEAVE:
        start_leaving(g, m);
        break;
    case ORDER_NORMAL:
        become_normal(g, m);
        break;
    case ORDER_STANDBY:
        actor_send(g->o.writer, &m->msg);
        break;
    default:
        answer(m, "that isn't for the gossip actor");
    }
}

void gossip_orders_end(struct gossip *g)
{
    if (g->leaving)
        answer(g->leaving, "this node stops");
    g->leaving = NULL;
}
