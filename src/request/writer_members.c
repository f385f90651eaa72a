/* What membership says becomes true here: peers that come, move and go, roles, states. A peer is
 * whole, with its log and its sender, before a ring names it; one that goes keeps its index and its
 * memory, and nothing else. */
#include "core/log.h"
#include "core/mem.h"
#include "request/writer_internal.h"
#include <inttypes.h>
#include <string.h>

static const char *role_name(enum ring_role r)
{
    return r == RING_MEMBER ? "a member" : r == RING_JOINING ? "joining" : "gone";
}

static void refuse(const struct mail_member *m, const char *no)
{
    log_limited(10000, LOG_LEVEL_WARN, "member %s (%s) refused: %s", m->node.id, m->node.address,
                no);
}

/* ---- the ring ----------------------------------------------------------------------------------
 */

/* The present one with this node at `index`, which may be one behind the last. */
static struct topology *ring_with(const struct writer *w, unsigned index, const struct ring_node *n,
                                  struct error *e)
{
    const struct topology *t = *w->o.topology;
    unsigned count = index < t->n ? t->n : index + 1;
    struct ring_node *nodes = mem_calloc(count, sizeof *nodes);
    memcpy(nodes, t->nodes, t->n * sizeof *nodes);
    nodes[index] = *n;
    struct topology *fresh = topology_new(nodes, count, t->self, e);
    mem_free(nodes);
    return fresh;
}

static void publish(struct writer *w, struct topology *fresh)
{
    struct topology *old = *w->o.topology;
    RCU_SET(*w->o.topology, fresh);
    rcu_defer(&old->rcu, topology_reclaim);
    w->ring_changed = true;
}

static bool change_node(struct writer *w, unsigned index, const struct mail_member *m,
                        const struct ring_node *n)
{
    struct error e;
    struct topology *fresh = ring_with(w, index, n, &e);
    if (!fresh) {
        refuse(m, e.text);
        return false;
    }
    publish(w, fresh);
    return true;
}

/* ---- a peer that is known ----------------------------------------------------------------------
 */

static void note_state(struct writer *w, unsigned node, const struct mail_member *m)
{
    struct peer *p = w->o.peers->at[node];
    enum node_state was = peer_member_state(p);
    PEER_STORE(p, incarnation, m->incarnation);
    if (was == m->state)
        return;
    PEER_STORE(p, member_state, (uint32_t)m->state);
    PEER_STORE(p, member_since_ms, clock_wall_ms());
    log_notice("member %s (%s): %s -> %s (%s)", m->node.id, m->node.address, node_state_name(was),
               node_state_name(m->state), m->reason);
}

static void tell_sender(struct writer *w, unsigned node, enum mail_type what)
{
    struct msg *msg = MEM_NEW(struct msg);
    msg->type = what;
    actor_send(w->o.peers->at[node]->sender, msg);
}

/* No write and no read goes there from the new ring on; what is on its way is answered. */
static bool leave(struct writer *w, unsigned node, const struct mail_member *m)
{
    struct ring_node n = (*w->o.topology)->nodes[node];
    struct peer *p = w->o.peers->at[node];
    memcpy(n.id, m->node.id, NODE_ID_SIZE); /* it may have left before it was met */
    n.role = RING_GONE;
    if (!change_node(w, node, m, &n))
        return false;
    log_notice("member %s (%s) has left the ring (%s)", m->node.id, m->node.address, m->reason);
    PEER_STORE(p, gone, 1);
    PEER_STORE(p, greeted, 0);
    PEER_STORE(p, member_state, (uint32_t)m->state);
    writer_forget_gathered(w, node);
    source_leave(writer_source(w, node));
    standby_progress(&w->standby, node, UINT64_MAX);
    pulse_leave(&w->pulse, node);
    tell_sender(w, node, MAIL_GONE);
    return true;
}

/* Another node has the place in our ring. Whether this one takes it over is decided when they meet
 * (writer_peers.c): until then what is said of it waits, and says where to look for it. */
static bool look_for_newcomer(const struct writer *w, unsigned node, const struct mail_member *m)
{
    return m->state != NODE_DOWN && !PEER_LOAD(w->o.peers->at[node], link_up);
}

static bool await_newcomer(struct writer *w, unsigned node, const struct mail_member *m)
{
    struct ring_node n = (*w->o.topology)->nodes[node];
    bool moved = strcmp(n.address, m->node.address) != 0;
    n.address = m->node.address;
    if (moved && look_for_newcomer(w, node, m) && change_node(w, node, m, &n))
        tell_sender(w, node, MAIL_MOVED);
    return false;
}

static void change_peer(struct writer *w, unsigned node, const struct mail_member *m)
{
    const struct ring_node *now = &(*w->o.topology)->nodes[node];
    struct ring_node n = *now;
    bool moved = m->state != NODE_DOWN && strcmp(now->address, m->node.address) != 0;
    if (moved)
        n.address = m->node.address;
    memcpy(n.id, m->node.id, NODE_ID_SIZE);
    n.role = m->node.role;
    memcpy(n.version, m->node.version, sizeof n.version);
    bool met = strcmp(now->id, n.id) != 0, role = now->role != n.role;
    bool other_version = strcmp(now->version, n.version) != 0;
    if ((moved || met || role || other_version) && !change_node(w, node, m, &n))
        return;
    if (role)
        log_notice("member %s (%s) is %s", m->node.id, m->node.address, role_name(m->node.role));
    if (met)
        writer_source_known(w, node);
    if (moved)
        tell_sender(w, node, MAIL_MOVED);
    note_state(w, node, m);
}

/* ---- from alone to not alone -------------------------------------------------------------------
 */

/* What is in a batch now was put there without a log. */
static bool is_idle(const struct writer *w)
{
    return !w->at_store && w->gathering->n == 0;
}

static bool open_own_log(struct writer *w)
{
    const char *dir = NULL;
    struct error e;
    if (own_has_log(&w->own) || !w->o.add_own)
        return true;
    if (!is_idle(w))
        return false;
    if (!w->o.add_own(w->o.arg, &dir, &e)) {
        log_limited(10000, LOG_LEVEL_ERROR, "the own store's log: %s", e.text);
        return false;
    }
    own_init(&w->own, w->o.config, peers_own(w->o.peers), dir, &w->actor.loop);
    if (!own_has_log(&w->own))
        return true;
    w->own.peer->sender = &w->actor;
    if (w->store_up)
        own_stands_at(&w->own, store_last(w->o.store, 0, w->o.me->id));
    else
        own_go_behind(&w->own);
    writer_announce(w);
    return true;
}

/* A lone node's Redis takes its clients' writes from the workers, and there is no log of it. Before
 * a ring names a peer, the log is there, and each worker has said that none of its writes is on its
 * way past the writer any more: the peer gets all that come after. False: not yet. */
static bool has_company(struct writer *w)
{
    if (w->company == ALONE && open_own_log(w)) {
        store_gets_company(w->o.store);
        w->unsettled = w->o.settle ? w->o.settle(w->o.arg) : 0;
        w->company = w->unsettled ? SETTLING : COMPANY;
    }
    return w->company == COMPANY;
}

void writer_settled(struct writer *w, struct mail_settle *m)
{
    mem_free(m);
    if (--w->unsettled)
        return;
    w->company = COMPANY;
    writer_members_tick(w);
}

/* ---- a peer that is new ------------------------------------------------------------------------
 */

/* Whose log has the name that this one's would have? NULL: nobody's that still uses it. */
static const struct peer *log_user(const struct writer *w, const char *id)
{
    for (unsigned i = 0; i < w->o.peers->n; i++) {
        const struct peer *p = w->o.peers->at[i];
        if (p && strcmp(p->log_name, id) == 0 && !__atomic_load_n(&p->let_go, __ATOMIC_ACQUIRE))
            return p;
    }
    return NULL;
}

/* The number that it goes on from isn't known before the store has answered. */
static bool is_still_at_store(const struct writer *w, const char *id)
{
    const struct topology *t = *w->o.topology;
    for (unsigned i = 0; i < t->n; i++)
        if (strcmp(t->nodes[i].id, id) == 0 && writer_is_at_store(w, i))
            return true;
    return false;
}

/* What stands in the way goes by itself: the sender of one that has gone ends, a handoff of the log
 * that lies here for it, too. */
static bool has_to_wait(struct writer *w, const struct mail_member *m)
{
    if (!has_company(w) || is_still_at_store(w, m->node.id))
        return true;
    const struct peer *p = log_user(w, m->node.id);
    if (p)
        return PEER_LOAD(p, gone);
    return w->o.orphans && handoff_is_busy(w->handoff) && orphans_have(w->o.orphans, &m->node);
}

/* False: not now; a full disk may have room again. */
static bool add_peer(struct writer *w, const struct mail_member *m, struct topology *fresh)
{
    unsigned node = fresh->n - 1;
    struct error e;
    if (!w->o.add(w->o.arg, &m->node, &e)) {
        refuse(m, e.text);
        topology_free(fresh);
        return false;
    }
    sources_grow(&w->sources, fresh->n);
    standby_grow(&w->standby, fresh->n);
    pulse_grow(&w->pulse, fresh->n);
    publish(w, fresh);
    writer_source_known(w, node);
    log_notice("member %s (%s, datacenter %s, rack %s) is %s", m->node.id, m->node.address,
               m->node.datacenter, m->node.rack, role_name(m->node.role));
    note_state(w, node, m);
    return true;
}

/* False: later. */
static bool make_peer(struct writer *w, const struct mail_member *m)
{
    const struct topology *t = *w->o.topology;
    struct error e;
    struct address where;
    struct topology *fresh = NULL;
    if (address_parse(m->node.address, ADDRESS_TCP_ONLY, &where, &e))
        fresh = ring_with(w, t->n, &m->node, &e);
    if (!fresh) {
        refuse(m, e.text);
        return true;
    }
    if (has_to_wait(w, m)) {
        topology_free(fresh);
        return false;
    }
    if (log_user(w, m->node.id)) {
        refuse(m, "another peer's log has its name");
        topology_free(fresh);
        return true;
    }
    return add_peer(w, m, fresh);
}

/* Other tokens, or another rack: it leaves, and is a new peer when the sender to the old place has
 * ended. What lies in the log was made for the old place. False: later. */
static bool move_place(struct writer *w, unsigned node, const struct mail_member *m)
{
    uint64_t left = peer_behind(w->o.peers->at[node]);
    char no[100];
    if ((*w->o.topology)->n == RING_NODES_MAX) { /* it would be out, and not in again */
        refuse(m, "it has another place, and the ring has no index left before the next start");
        return true;
    }
    if (!left)
        return !leave(w, node, m);
    snprintf(no, sizeof no, "it has another place, and %" PRIu64 " bytes lie here for the old one",
             left);
    refuse(m, no); /* for now: they may be thrown away, or expire */
    return false;
}

/* ---- each member ------------------------------------------------------------------------------
 */

static bool has_clients_write(const struct batch *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (b->items[i].kind == ITEM_OWN && b->items[i].order)
            return true;
    return false;
}

/* Before it goes, all that it took is in the logs. False: later. */
static bool change_own(struct writer *w, const struct mail_member *m)
{
    struct ring_node n = (*w->o.topology)->nodes[w->self];
    w->leaves = m->node.role == RING_GONE;
    if (n.role == m->node.role)
        return true;
    if (w->leaves && (has_clients_write(w->at_store) || has_clients_write(w->gathering) ||
                      w->effects.n || w->effects.lost))
        return false;
    n.role = m->node.role;
    if (change_node(w, w->self, m, &n))
        log_notice("this node is %s (%s)", role_name(n.role), m->reason);
    return true;
}

/* The configured node of this place that nobody has met; -1: there is none. */
static int unmet_at(const struct topology *t, const struct ring_node *n)
{
    int node = topology_find_place(t, n->datacenter, n->rack, n->tokens, n->ntokens);
    return node >= 0 && !*t->nodes[node].id ? node : -1;
}

/* Another node will take this one's place, and what is in its log: that it is gone has time until
 * then. */
static bool is_awaited(const struct writer *w, const struct ring_node *n)
{
    for (size_t i = 0; i < w->n_later; i++) {
        const struct ring_node *newcomer = &w->later[i]->node;
        if (newcomer->role != RING_GONE && strcmp(newcomer->id, n->id) != 0 &&
            ring_same_place(newcomer, n))
            return true;
    }
    return false;
}

/* False: later. */
static bool take(struct writer *w, const struct mail_member *m)
{
    const struct topology *t = *w->o.topology;
    const struct ring_node *n = &m->node;
    int node = topology_find_id(t, n->id);
    if (strcmp(n->id, w->o.me->id) == 0)
        return change_own(w, m);
    if (n->role == RING_GONE) {
        node = node >= 0 ? node : unmet_at(t, n);
        if (node >= 0 && is_awaited(w, &t->nodes[node]))
            return false;
        if (node >= 0)
            (void)leave(w, (unsigned)node, m);
        return true;
    }
    if (node >= 0 && !ring_same_place(&t->nodes[node], n))
        return move_place(w, (unsigned)node, m);
    if (node < 0)
        node = topology_find_place(t, n->datacenter, n->rack, n->tokens, n->ntokens);
    if (node == (int)w->self)
        refuse(m, "it is at this node's own place");
    else if (node >= 0 && *t->nodes[node].id && strcmp(t->nodes[node].id, n->id) != 0)
        return await_newcomer(w, (unsigned)node, m);
    else if (node >= 0)
        change_peer(w, (unsigned)node, m);
    else
        return make_peer(w, m);
    return true;
}

/* Only the newest word about a member counts. */
static void forget_older(struct writer *w, const char *id)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n_later; i++) {
        if (strcmp(w->later[i]->node.id, id) == 0)
            mail_member_free(w->later[i]);
        else
            w->later[kept++] = w->later[i];
    }
    w->n_later = kept;
}

void writer_member(struct writer *w, struct mail_member *m)
{
    forget_older(w, m->node.id);
    if (take(w, m)) {
        mail_member_free(m);
        return;
    }
    w->later = mem_realloc(w->later, (w->n_later + 1) * sizeof *w->later);
    w->later[w->n_later++] = m;
}

void writer_members_tick(struct writer *w)
{
    for (size_t i = 0; i < w->n_later;) {
        struct mail_member *m = w->later[i];
        if (!take(w, m)) {
            i++;
            continue;
        }
        mail_member_free(m);
        memmove(&w->later[i], &w->later[i + 1], (--w->n_later - i) * sizeof(struct mail_member *));
    }
}

void writer_members_turn_end(struct writer *w)
{
    if (!w->ring_changed)
        return;
    w->ring_changed = false;
    w->o.met(w->o.arg, *w->o.topology);
}

void writer_members_fini(struct writer *w)
{
    for (size_t i = 0; i < w->n_later; i++)
        mail_member_free(w->later[i]);
    mem_free(w->later);
}
