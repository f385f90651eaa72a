#include "client/recent.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/log.h"
#include "request/level.h"

static void forget(struct recent *r, const struct peers *peers)
{
    unsigned n = peers_count(peers);
    if (r->n < n)
        r->floors = mem_realloc(r->floors, n * sizeof *r->floors);
    r->n = n;
    for (unsigned i = 0; i < n; i++)
        r->floors[i] = peers->at[i] ? hint_log_appended(peers->at[i]->log).seq : 0;
}

static void forget_slot(struct recent *r, const struct peers *peers, struct recent_slot *slot)
{
    r->thin |= slot->thin;
    slot->node = -1;
    forget(r, peers);
}

void recent_note(struct recent *r, const struct requests *rs, uint32_t token,
                 const struct request_result *result)
{
    if (result->node < 0 || peers_count(rs->peers) == 1)
        return;
    if (!r->slots) {
        r->slots = mem_calloc(RECENT_SLOTS, sizeof *r->slots);
        for (unsigned i = 0; i < RECENT_SLOTS; i++)
            r->slots[i].node = -1;
    }
    struct recent_slot *slot = &r->slots[token % RECENT_SLOTS];
    if (slot->node >= 0 && slot->token != token)
        forget_slot(r, rs->peers, slot);
    *slot = (struct recent_slot){.token = token, .node = result->node, .thin = result->thin};
}

/* The replicas of a token, sorted by what they have of what was forgotten. -1: none. */
struct choice {
    int normal, standby; /* peers that have all of it; the nearest of each kind */
    bool own, lagging;   /* this node is a replica; a peer is up that hasn't got that far */
};

static void consider(struct choice *c, const struct recent *r, const struct peer *p)
{
    enum node_state state = peer_state(p), told = peer_member_state(p);
    if (!PEER_LOAD(p, link_up) || state == NODE_DOWN || told == NODE_DOWN)
        return;
    if (told == NODE_STANDBY || told == NODE_JOINING)
        state = told;
    if (p->node >= r->n)
        return; /* it came later */
    if (hint_log_acked(p->log).seq < r->floors[p->node])
        c->lagging = true;
    else if (state == NODE_NORMAL && c->normal < 0)
        c->normal = (int)p->node;
    else if (state != NODE_NORMAL && c->standby < 0)
        c->standby = (int)p->node;
}

/* The own store had this node's writes before they were answered, or has been given them since. */
static bool own_has_all(const struct requests *rs)
{
    return store_is_up(rs->store) && peers_own_is_current(rs->peers);
}

static bool has_all(const struct requests *rs, unsigned node)
{
    return node == rs->peers->self ? own_has_all(rs) : !PEER_LOAD(rs->peers->at[node], gone);
}

static struct choice choose(const struct recent *r, const struct requests *rs, uint32_t token)
{
    struct choice c = {.normal = -1, .standby = -1};
    uint16_t nodes[RING_REPLICAS_MAX];
    rcu_read_begin();
    unsigned n = topology_replicas(RCU_GET(*rs->topology), token, nodes);
    rcu_read_end();
    for (unsigned i = 0; i < n; i++) {
        if (nodes[i] == rs->peers->self)
            c.own = own_has_all(rs);
        else
            consider(&c, r, rs->peers->at[nodes[i]]);
    }
    return c;
}

int recent_replica(struct recent *r, const struct requests *rs, uint32_t token)
{
    struct recent_slot *slot = r->slots ? &r->slots[token % RECENT_SLOTS] : NULL;
    if (slot && slot->node >= 0 && slot->token == token) {
        if (has_all(rs, (unsigned)slot->node))
            return slot->node;
        forget_slot(r, rs->peers, slot); /* it went away since: who else has it? */
    }
    if (!r->floors)
        return RECENT_ANY;
    struct choice c = choose(r, rs, token);
    bool own_normal = __atomic_load_n(rs->own_state, __ATOMIC_ACQUIRE) == NODE_NORMAL;
    if (c.own && own_normal)
        return (int)rs->peers->self;
    if (c.normal >= 0)
        return c.normal;
    if (c.own)
        return (int)rs->peers->self;
    if (c.standby >= 0)
        return c.standby;
    return c.lagging ? RECENT_WAIT : RECENT_ANY;
}

static struct recent_slot *slot_of(const struct recent *r, uint32_t token)
{
    struct recent_slot *slot = r->slots ? &r->slots[token % RECENT_SLOTS] : NULL;
    return slot && slot->node >= 0 && slot->token == token ? slot : NULL;
}

int recent_second(const struct recent *r, const struct requests *rs, uint32_t token, int first)
{
    if (!r->floors || slot_of(r, token))
        return -1;
    int second = choose(r, rs, token).normal; /* the own one is the first, where it could be one */
    return second != first ? second : -1;
}

/* Has it acknowledged all that was forgotten; or all that there is, and so what isn't forgotten?
 * One that needs repair may lack what its log no longer has. Within a read section. */
static bool has_come(const struct recent *r, const struct requests *rs, unsigned node,
                     bool forgotten)
{
    if (node == rs->peers->self)
        return own_has_all(rs);
    const struct peer *p = rs->peers->at[node];
    if ((forgotten && node >= r->n) || RCU_GET(p->repair)) /* it came later, or lacks writes */
        return false;
    const struct hint_log *log = p->log;
    uint64_t upto = forgotten ? r->floors[node] : hint_log_appended(log).seq;
    return hint_log_acked(log).seq >= upto;
}

bool recent_has(struct recent *r, const struct requests *rs, uint32_t token, unsigned node)
{
    struct recent_slot *slot = slot_of(r, token);
    if (slot && slot->node == (int)node && has_all(rs, node))
        return true;
    if (slot)
        forget_slot(r, rs->peers, slot); /* the floors tell when that node has come so far, too */
    if (!r->floors)
        return true;
    if (node == rs->peers->self)
        return own_has_all(rs);
    return node < r->n && hint_log_acked(rs->peers->at[node]->log).seq >= r->floors[node];
}

/* A majority of the key's replicas in this datacenter. */
static bool most_have(const struct recent *r, const struct requests *rs, uint32_t token,
                      bool forgotten)
{
    uint16_t nodes[RING_REPLICAS_MAX];
    unsigned local = 0, have = 0;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    unsigned n = topology_replicas(t, token, nodes);
    for (unsigned i = 0; i < n; i++)
        if (topology_datacenter(t, nodes[i]) == 0) {
            local++;
            have += has_come(r, rs, nodes[i], forgotten);
        }
    rcu_read_end();
    return have >= level_need(CONSISTENCY_DC_QUORUM, local);
}

bool recent_is_thin(struct recent *r, const struct requests *rs, uint32_t token)
{
    struct recent_slot *slot = slot_of(r, token);
    if (!slot)
        return r->thin && !most_have(r, rs, token, true);
    slot->thin = slot->thin && !most_have(r, rs, token, false);
    return slot->thin;
}

static void forget_key(struct recent *r, uint32_t token)
{
    struct recent_slot *slot = slot_of(r, token);
    if (slot)
        slot->node = -1;
}

/* Of keys that are read together the first speaks for all. What is told of it where it stands in
 * no slot are the floors, and they say nothing of a write that isn't forgotten. */
void recent_join(struct recent *r, const struct requests *rs, const struct resp_command *cmd,
                 const size_t *keys, size_t n)
{
    uint32_t first = request_token(rs, cmd->argv[keys[0]]);
    int node = recent_replica(r, rs, first);
    bool same = true, thin = recent_is_thin(r, rs, first), in_slot = false;
    for (size_t i = 1; i < n; i++) {
        uint32_t token = request_token(rs, cmd->argv[keys[i]]);
        same = same && recent_replica(r, rs, token) == node;
        thin |= recent_is_thin(r, rs, token);
        in_slot |= slot_of(r, token) && slot_of(r, token)->thin;
    }
    struct recent_slot *slot = slot_of(r, first);
    if (slot)
        slot->thin = thin;
    if (same && (slot || !in_slot))
        return;
    forget(r, rs->peers);
    r->thin |= thin;
    for (size_t i = 0; i < n; i++)
        forget_key(r, request_token(rs, cmd->argv[keys[i]]));
}

/* False: there was nothing in the table. */
static bool clear_slots(struct recent *r)
{
    bool any = false;
    for (unsigned i = 0; r->slots && i < RECENT_SLOTS; i++) {
        any |= r->slots[i].node >= 0;
        r->thin |= r->slots[i].node >= 0 && r->slots[i].thin;
        r->slots[i].node = -1;
    }
    return any;
}

void recent_note_all(struct recent *r, const struct requests *rs)
{
    if (peers_count(rs->peers) == 1)
        return;
    (void)clear_slots(r);
    forget(r, rs->peers);
}

bool recent_is_everywhere(struct recent *r, const struct requests *rs)
{
    if (clear_slots(r))
        forget(r, rs->peers);
    for (unsigned i = 0; i < r->n; i++) {
        const struct peer *p = rs->peers->at[i];
        bool up = p && PEER_LOAD(p, link_up) && peer_state(p) != NODE_DOWN && !PEER_LOAD(p, gone);
        if (up && hint_log_acked(p->log).seq < r->floors[i])
            return false;
    }
    return true;
}

void recent_fini(struct recent *r)
{
    mem_free(r->slots);
    mem_free(r->floors);
    *r = (struct recent){0};
}
