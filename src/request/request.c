#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "request/flight.h"
#include "request/nearest.h"
#include "ring/tellers.h"
#include <string.h>

/* ---- life --------------------------------------------------------------------------------------
 */

struct request *request_new(struct requests *rs, const struct operation *op, bool write, unsigned n)
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
    r->level = op->level;
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

uint64_t request_ticket(struct request *r)
{
    if (!r->ticket)
        r->ticket = slots_put(&r->rs->live, r);
    return r->ticket;
}

void request_free(struct request *r)
{
    struct requests *rs = r->rs;
    *(r->older ? &r->older->newer : &rs->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &rs->newest) = r->older;
    if (r->ticket)
        slots_drop(&rs->live, r->ticket);
    hedges_over(&rs->hedges, &r->hedge);
    rs->again -= r->again;
    for (unsigned i = 0; i < r->n; i++)
        blob_unref(r->write ? r->words[i].reply : r->reads[i].reply);
    tellers_free(r->ring);
    if (r->carry)
        request_carry_free(r);
    blob_unref(r->command);
    blob_unref(r->known);
    blob_unref(r->own_failure);
    r->over = true;
    if (!r->own_asked)
        mem_free(r);
}

static bool is_thin(const struct request *r)
{
    unsigned replicas = 0, applied = 0;
    for (unsigned i = 0; r->write && i < r->n; i++) {
        bool local = !r->words[i].joining && r->words[i].datacenter == 0;
        replicas += local;
        applied += local && r->words[i].verdict == VERDICT_APPLIED;
    }
    return replicas && applied < level_need(CONSISTENCY_DC_QUORUM, replicas);
}

void request_finish(struct request *r, struct slice reply, int node)
{
    struct request_result result = {.reply = reply, .node = node, .thin = is_thin(r)};
    r->done(r->arg, &result);
    if (!r->write && quorum_read_differs(r->reads, r->n))
        request_differs(r);
    request_free(r);
}

void request_finish_error(struct request *r)
{
    request_finish(r, buf_slice(&r->rs->scratch), -1);
}

void request_finish_unsaid(struct request *r, int node)
{
    struct buf *b = request_scratch(r->rs);
    if (r->blind)
        buf_add_str(b, r->blind);
    else
        resp_add_error(b, "TIMEOUT the reply was lost with a link; the write took effect");
    request_finish(r, buf_slice(b), node);
}

struct buf *request_scratch(struct requests *rs)
{
    buf_reset(&rs->scratch, 4096);
    return &rs->scratch;
}

/* ---- where a level wasn't met ----------------------------------------------------------------
 */

#define NAMED_MAX 8 /* racks named of each kind; of the others their number */

/* Is this word counted where the level wasn't met? */
static bool is_counted(const struct request *r, unsigned i, unsigned datacenter)
{
    if (r->write)
        return !r->words[i].joining && r->words[i].datacenter == datacenter;
    return r->reads[i].group == datacenter;
}

/* " r1 r2": the racks of those that are good, or that aren't. How many there are. */
static unsigned add_racks(struct buf *b, const struct request *r, const struct topology *t,
                          unsigned datacenter, const char *name, const bool *good, bool want)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->n; i++) {
        const struct ring_node *node = &t->nodes[r->node[i]];
        if (!is_counted(r, i, datacenter) || good[i] != want || strcmp(node->datacenter, name) != 0)
            continue;
        if (n++ < NAMED_MAX)
            buf_printf(b, " %s", node->rack);
    }
    if (n > NAMED_MAX)
        buf_printf(b, " and %u more", n - NAMED_MAX);
    return n;
}

static void add_datacenter(struct buf *b, const struct request *r, const struct topology *t,
                           unsigned datacenter, const char *name, const bool *good, bool beforehand)
{
    buf_printf(b, "; in %s:", name);
    if (add_racks(b, r, t, datacenter, name, good, true))
        buf_add_str(b, beforehand ? " could answer" : " answered");
    struct buf others = BUF_INIT;
    if (add_racks(&others, r, t, datacenter, name, good, false)) {
        bool alone = buf_head(b)[b->len - 1] == ':';
        buf_printf(b, "%s%.*s %s%s", alone ? "" : ",", (int)others.len,
                   (const char *)buf_head(&others), beforehand ? "couldn't" : "didn't",
                   alone ? " answer" : "");
    }
    buf_fini(&others);
}

/* Names the datacenters of which the counted replicas are: at DC_ONE a read tries several. */
static void add_where(struct buf *b, const struct request *r, const struct topology *t,
                      unsigned datacenter, const bool *good, bool beforehand)
{
    const char *named[RING_DATACENTERS_MAX];
    unsigned n = 0, k;
    for (unsigned i = 0; i < r->n; i++) {
        const char *name = t->nodes[r->node[i]].datacenter;
        for (k = 0; k < n && strcmp(named[k], name) != 0;)
            k++;
        if (k < n || !is_counted(r, i, datacenter))
            continue;
        named[n++] = name;
        add_datacenter(b, r, t, datacenter, name, good, beforehand);
    }
    if (n == 0)
        buf_printf(b, "; in %s: no replica", t->nodes[t->self].datacenter);
}

void request_fail_quorum(struct request *r, const struct shortfall *lacking, const bool *good,
                         bool beforehand, const char *second_half)
{
    struct buf where = BUF_INIT;
    rcu_read_begin();
    add_where(&where, r, RCU_GET(*r->rs->topology), lacking->datacenter, good, beforehand);
    rcu_read_end();
    resp_add_error(request_scratch(r->rs), "NOQUORUM %u of %u needed replicas %s (%s %s)%s%.*s",
                   lacking->have, lacking->need,
                   lacking->differ ? "gave the same value" : "answered", consistency_name(r->level),
                   r->write ? "write" : "read", second_half, (int)where.len,
                   (const char *)buf_head(&where));
    buf_fini(&where);
    request_finish_error(r);
}

void request_add_backend_error(struct requests *rs, const char *second_half)
{
    char reason[256];
    store_why_down(rs->store, reason, sizeof reason);
    resp_add_error(request_scratch(rs), "BACKEND %s%s",
                   *reason ? reason : "the store behind this node can't serve", second_half);
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
    uint16_t first[RING_WRITES_MAX], other[RING_WRITES_MAX];
    unsigned of_first = 0, joining;
    bool same = true;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    for (size_t i = 0; i < n && same; i++) {
        unsigned count =
            topology_writes(t, request_token(rs, cmd->argv[keys[i]]), i ? other : first, &joining);
        of_first = i ? of_first : count;
        same = i == 0 || (count == of_first && memcmp(first, other, count * sizeof *first) == 0);
    }
    rcu_read_end();
    return same;
}

static void view_own(const struct requests *rs, struct replica_view *v)
{
    v->own = true;
    v->up = store_is_up(rs->store);
    v->normal = __atomic_load_n(rs->own_state, __ATOMIC_ACQUIRE) == NODE_NORMAL;
    v->behind = peers_own(rs->peers) && peer_hinting(peers_own(rs->peers));
}

static void view_peer(const struct requests *rs, struct replica_view *v)
{
    const struct peer *p = rs->peers->at[v->node];
    enum node_state state = peer_state(p), told = peer_member_state(p);
    v->told_down = told == NODE_DOWN;
    v->told_standby = told == NODE_STANDBY || told == NODE_JOINING;
    v->up = PEER_LOAD(p, link_up) && state != NODE_DOWN;
    v->normal = state == NODE_NORMAL;
    v->distance = (uint8_t)PEER_LOAD(p, distance);
    v->behind = peer_hinting(p) || peer_behind(p) > rs->config->send_window;
}

unsigned request_view_ring(const struct requests *rs, struct replica_view v[RING_NODES_MAX],
                           unsigned *nodes)
{
    unsigned n = 0;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    *nodes = t->n;
    for (unsigned i = 0; i < t->n; i++)
        if (t->nodes[i].role != RING_GONE)
            v[n++] = (struct replica_view){.node = (uint16_t)i,
                                           .datacenter = (uint8_t)topology_datacenter(t, i),
                                           .joining = t->nodes[i].role == RING_JOINING};
    rcu_read_end();
    for (unsigned i = 0; i < n; i++) {
        if (v[i].node == rs->peers->self)
            view_own(rs, &v[i]);
        else
            view_peer(rs, &v[i]);
    }
    return n;
}

static unsigned view_nodes(const struct requests *rs, uint32_t token, bool writes,
                           struct replica_view *v, unsigned *ring_nodes)
{
    uint16_t nodes[RING_WRITES_MAX];
    unsigned joining = 0;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    *ring_nodes = t->n;
    unsigned n =
        writes ? topology_writes(t, token, nodes, &joining) : topology_replicas(t, token, nodes);
    for (unsigned i = 0; i < n; i++) {
        v[i] = (struct replica_view){.node = nodes[i],
                                     .datacenter = (uint8_t)topology_datacenter(t, nodes[i]),
                                     .joining = i >= n - joining};
    }
    rcu_read_end();
    for (unsigned i = 0; i < n; i++) {
        if (v[i].node == rs->peers->self)
            view_own(rs, &v[i]);
        else
            view_peer(rs, &v[i]);
    }
    nearest_sort(v, n - joining);
    return n;
}

unsigned request_view_replicas(const struct requests *rs, uint32_t token,
                               struct replica_view v[RING_REPLICAS_MAX])
{
    unsigned ignored;
    return view_nodes(rs, token, false, v, &ignored);
}

unsigned request_view_writes(const struct requests *rs, uint32_t token,
                             struct replica_view v[RING_WRITES_MAX], unsigned *nodes)
{
    return view_nodes(rs, token, true, v, nodes);
}

/* ---- time
 * ------------------------------------------------------------------------------------------ */

void requests_tick(struct requests *rs, uint64_t now_ms)
{
    while (rs->oldest && rs->oldest->deadline_ms <= now_ms) {
        struct request *r = rs->oldest;
        STATS_ADD(rs->stats, timeouts, 1);
        resp_add_error(request_scratch(rs), "TIMEOUT no answer within %u ms%s", rs->config->timeout,
                       r->write ? "; the write may still take effect" : "");
        request_finish_error(r);
    }
    requests_ask_on(rs, now_ms);
}

void requests_end(struct requests *rs)
{
    while (rs->oldest) {
        resp_add_error(request_scratch(rs), "TIMEOUT this node stops%s",
                       rs->oldest->write ? "; the write may still take effect" : "");
        request_finish_error(rs->oldest);
    }
}

void requests_rest(struct requests *rs)
{
    if (rs->quiet && !rs->oldest) {
        requests_free_spares(rs);
        slots_rest(&rs->live);
    }
    rs->quiet = true;
}

void requests_fini(struct requests *rs)
{
    requests_free_spares(rs);
    for (unsigned i = 0; rs->asks && i < peers_count(rs->peers); i++)
        reads_free(rs->asks[i]);
    mem_free(rs->asks);
    slots_fini(&rs->live);
    hedges_fini(&rs->hedges);
    buf_fini(&rs->scratch);
}
