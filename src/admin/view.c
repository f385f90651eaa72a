#include "admin/view.h"
#include "core/clock.h"
#include "core/mem.h"
#include "peer/orphans.h"
#include <config.h>
#include <inttypes.h>

static json_t *number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static void set(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
}

/* Never NULL: what a peer says of itself may be no UTF-8. */
static json_t *words(const char *s)
{
    json_t *v = json_string(s);
    return v ? v : json_string("(not UTF-8)");
}

static json_t *tokens_of(const struct ring_node *n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n->ntokens; i++)
        json_array_append_new(a, number(n->tokens[i]));
    return a;
}

static json_t *place_of(const struct ring_node *n)
{
    json_t *o = json_object();
    set(o, "id", words(n->id));
    set(o, "address", words(n->address));
    set(o, "datacenter", words(n->datacenter));
    set(o, "rack", words(n->rack));
    return o;
}

enum node_state view_own_state(const struct admin_sources *s)
{
    uint32_t said = s->own_member ? __atomic_load_n(s->own_member, __ATOMIC_ACQUIRE) : NODE_UNKNOWN;
    if (said != NODE_UNKNOWN)
        return (enum node_state)said;
    return (enum node_state)__atomic_load_n(s->own_state, __ATOMIC_ACQUIRE);
}

json_t *view_state(const struct admin_sources *s)
{
    json_t *o = json_object();
    set(o, "state", json_string(node_state_name(view_own_state(s))));
    return o;
}

/* Calls add(array, node, peer) for each peer, inside one read section. */
static json_t *each_peer(const struct admin_sources *s,
                         json_t *(*make)(const struct admin_sources *s, const struct ring_node *n,
                                         const struct peer *p))
{
    json_t *a = json_array();
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++)
        if (i != t->self && t->nodes[i].role != RING_GONE)
            json_array_append_new(a, make(s, &t->nodes[i], s->peers->at[i]));
    rcu_read_end();
    return a;
}

/* Since when and why, where it does. */
static void add_repair(json_t *o, const struct peer_repair *r)
{
    set(o, "needs_repair", json_boolean(r != NULL));
    set(o, "repair_since_ms", r ? number(r->since_ms) : json_null());
    set(o, "repair_reason", words(r ? r->reason : ""));
}

/* What else there is to say of a peer, in words. */
static void add_note(json_t *o, const struct admin_sources *s, const struct peer *p, bool remote)
{
    uint64_t rate = CONFIG_LIVE(s->config, hint_drain_rate), live = PEER_LOAD(p, live_rate);
    uint64_t dc_rate = remote ? CONFIG_LIVE(s->config, dc_rate) : 0, out = PEER_LOAD(p, drain_rate);
    char text[200] = "";
    if (PEER_LOAD(p, closed))
        snprintf(text, sizeof text,
                 "it has been down for longer than its hints live: nothing is stored for it");
    else if (rate && live > rate && out)
        snprintf(text, sizeof text,
                 "hint_drain_rate (%" PRIu64 " bytes/s) is below the rate of new writes (%" PRIu64
                 " bytes/s): it will never catch up",
                 rate, live);
    else if (dc_rate && live > dc_rate && out && live > out) /* compressed, more may go out */
        snprintf(text, sizeof text,
                 "dc_rate (%" PRIu64 " bytes/s) is below the rate of new writes (%" PRIu64
                 " bytes/s): it will never catch up",
                 dc_rate, live);
    set(o, "note", json_string(text));
}

static void add_state(json_t *o, const struct peer *p)
{
    set(o, "state", json_string(node_state_name(peer_shown(p).state)));
    set(o, "link", json_boolean(PEER_LOAD(p, link_up)));
}

static json_t *status_of_peer(const struct admin_sources *s, const struct ring_node *n,
                              const struct peer *p)
{
    struct peer_hints h = peer_hints(p);
    json_t *o = place_of(n);
    set(o, "tokens", tokens_of(n));
    add_state(o, p);
    set(o, "hints_pending", number(h.pending));
    set(o, "hints_bytes", number(h.bytes));
    add_repair(o, RCU_GET(p->repair));
    add_note(o, s, p, strcmp(n->datacenter, s->me->datacenter) != 0);
    return o;
}

json_t *view_status(const struct admin_sources *s)
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    json_t *node = place_of(&t->nodes[t->self]);
    set(node, "tokens", tokens_of(&t->nodes[t->self]));
    rcu_read_end();
    set(node, "version", json_string(PACKAGE_VERSION));
    set(node, "data_store", json_string(s->me->data_store));
    set(node, "state", json_string(node_state_name(view_own_state(s))));
    set(node, "clock_off_ms", json_integer(__atomic_load_n(s->clock_off, __ATOMIC_ACQUIRE)));
    set(node, "uptime_seconds", number((clock_mono_ms() - s->started_ms) / 1000));
    rcu_read_begin();
    add_repair(node, peers_own(s->peers) ? RCU_GET(peers_own(s->peers)->repair) : NULL);
    rcu_read_end();
    json_t *o = json_object();
    set(o, "node", node);
    set(o, "peers", each_peer(s, status_of_peer));
    return o;
}

static json_t *detail_of_peer(const struct admin_sources *s, const struct ring_node *n,
                              const struct peer *p)
{
    (void)s;
    json_t *o = place_of(n);
    uint64_t heard = PEER_LOAD(p, heard_ms), incarnation = PEER_LOAD(p, incarnation);
    add_state(o, p);
    set(o, "since_ms", number(peer_shown(p).since_ms));
    set(o, "incarnation", incarnation ? number(incarnation) : json_null());
    set(o, "version", *n->version ? words(n->version) : json_null());
    set(o, "last_heard_ms", heard ? number(clock_mono_ms() - heard) : json_null());
    set(o, "behind_bytes", number(peer_behind(p)));
    set(o, "round_trip_us", number(PEER_LOAD(p, rtt_us)));
    set(o, "dc_raw_bytes", number(PEER_LOAD(p, dc_raw)));
    set(o, "dc_sent_bytes", number(PEER_LOAD(p, dc_sent)));
    return o;
}

json_t *view_peers(const struct admin_sources *s)
{
    json_t *o = json_object();
    set(o, "peers", each_peer(s, detail_of_peer));
    return o;
}

/* Seconds until the hints are delivered at the rate of now; null: not at this rate. */
static json_t *time_left(const struct admin_sources *s, const struct peer *p,
                         const struct peer_hints *h)
{
    uint64_t out = PEER_LOAD(p, drain_rate), in = PEER_LOAD(p, live_rate);
    bool joins = peer_hinting(p) || peer_behind(p) > s->config->send_window;
    if (joins) /* what is written now becomes hints */
        out = out > in ? out - in : 0;
    if (h->pending == 0)
        return number(0);
    return out ? number((h->bytes + h->pending * FRAME_HEAD + out - 1) / out) : json_null();
}

static json_t *hints_row(const struct ring_node *n, const struct peer_hints *h, const char *state)
{
    json_t *o = json_object();
    set(o, "id", words(n->id));
    set(o, "address", words(n->address));
    set(o, "rack", words(n->rack));
    set(o, "pending", number(h->pending));
    set(o, "bytes", number(h->bytes));
    set(o, "oldest_seconds", number(h->oldest_ms / 1000));
    set(o, "state", json_string(state));
    return o;
}

static json_t *hints_of_peer(const struct admin_sources *s, const struct ring_node *n,
                             const struct peer *p)
{
    struct peer_hints h = peer_hints(p);
    json_t *o = hints_row(n, &h, peer_hint_state(p));
    set(o, "rate", number(PEER_LOAD(p, drain_rate)));
    set(o, "seconds_left", time_left(s, p, &h));
    return o;
}

static json_t *hints_of_own(const struct peer *p)
{
    struct peer_hints h = peer_hints(p);
    json_t *o = json_object();
    set(o, "pending", number(h.pending));
    set(o, "bytes", number(h.bytes));
    set(o, "oldest_seconds", number(h.oldest_ms / 1000));
    set(o, "state", json_string(peer_hint_state(p)));
    return o;
}

static void add_orphans(const struct orphans *all, json_t *rows)
{
    for (unsigned i = 0; all && i < all->n; i++) {
        const struct orphan *p = &all->at[i];
        struct peer_hints h = orphan_hints(p);
        if (orphan_is_gone(p))
            continue;
        json_t *o = hints_row(&p->node, &h, "orphaned");
        set(o, "rate", number(0));
        set(o, "seconds_left", json_null());
        json_array_append_new(rows, o);
    }
}

/* Of the totals, what the store doesn't tell from other things: what came too late here, and what
 * was thrown away since no hints are kept. */
static void count_of_peers(const struct peers *all, uint64_t *too_late, uint64_t *unwanted)
{
    unsigned n = peers_count(all);
    for (unsigned i = 0; i <= n; i++) {
        const struct peer *p = i < n ? all->at[i] : peers_own(all);
        *too_late += p ? PEER_LOAD(p, too_late) : 0;
        *unwanted += p ? PEER_LOAD(p, rejected[REJECT_DROPPED]) : 0;
    }
}

static json_t *hint_totals(const struct admin_sources *s)
{
    struct hint_totals t;
    uint64_t too_late = 0, unwanted = 0;
    count_of_peers(s->peers, &too_late, &unwanted); /* first: the totals have these, too */
    hint_store_totals(s->peers->store, &t);
    const uint64_t *no = t.sum.rejected;
    json_t *o = json_object();
    set(o, "pending", number(t.sum.pending));
    set(o, "bytes", number(t.sum.bytes));
    set(o, "max_bytes", number(t.cap));
    set(o, "stored_total", number(t.sum.stored + t.sum.converted - unwanted));
    set(o, "delivered_total", number(t.sum.delivered));
    set(o, "expired_total", number(t.sum.expired + too_late));
    set(o, "rejected_over_capacity_total",
        number(no[HINT_PUT_OVER_CAP] + no[HINT_PUT_OVER_PEER_CAP]));
    set(o, "damaged_total", number(t.sum.damaged));
    set(o, "truncated_total", number(t.sum.dropped - unwanted));
    return o;
}

json_t *view_hints(const struct admin_sources *s)
{
    json_t *rows = each_peer(s, hints_of_peer), *o = json_object();
    add_orphans(s->peers->orphans, rows);
    set(o, "peers", rows);
    if (peers_own(s->peers))
        set(o, "own", hints_of_own(peers_own(s->peers)));
    set(o, "totals", hint_totals(s));
    return o;
}

static int by_token(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t i = json_integer_value(json_object_get(x, "token"));
    json_int_t k = json_integer_value(json_object_get(y, "token"));
    return i < k ? -1 : i > k;
}

json_t *view_ring(const struct admin_sources *s)
{
    size_t n = 0, all = 0;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++)
        all += t->nodes[i].ntokens;
    json_t **rows = mem_calloc(all, sizeof(json_t *));
    for (unsigned i = 0; i < t->n; i++)
        for (size_t k = 0; t->nodes[i].role != RING_GONE && k < t->nodes[i].ntokens; k++) {
            json_t *o = place_of(&t->nodes[i]);
            set(o, "token", number(t->nodes[i].tokens[k]));
            bool owns = t->nodes[i].role == RING_MEMBER;
            set(o, "share", json_real(owns ? topology_share(t, i, t->nodes[i].tokens[k]) : 0));
            set(o, "role", json_string(owns ? "member" : "joining"));
            rows[n++] = o;
        }
    rcu_read_end();
    qsort(rows, n, sizeof(json_t *), by_token);
    json_t *a = json_array(), *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, rows[i]);
    mem_free(rows);
    set(o, "tokens", a);
    return o;
}

/* *5 :exists +type :bytes :stamp $digest, as store_inspect says it. */
static void add_copy(json_t *o, struct slice reply)
{
    long long exists = 0, bytes = 0, stamp = 0;
    char type[32] = "none", digest[40] = "";
    char text[200];
    size_t n = reply.len < sizeof text - 1 ? reply.len : sizeof text - 1;
    memcpy(text, reply.ptr, n);
    text[n] = 0;
    int got = sscanf(text, "*5\r\n:%lld\r\n+%31[a-z]\r\n:%lld\r\n:%lld\r\n$%*d\r\n%39[0-9a-f]",
                     &exists, type, &bytes, &stamp, digest);
    set(o, "exists", got >= 4 ? json_boolean(exists) : json_null());
    set(o, "type", json_string(type));
    set(o, "bytes", json_integer(bytes));
    set(o, "stamp", json_integer(stamp));
    set(o, "digest", json_string(digest));
}

static json_t *copy_at(const struct admin_sources *s, const struct mail_inspected *m, unsigned i)
{
    unsigned node = m->replica[i].node;
    struct blob *reply = m->replica[i].reply;
    json_t *o = place_of(&RCU_GET(*s->topology)->nodes[node]);
    enum node_state state =
        node == s->peers->self ? view_own_state(s) : peer_shown(s->peers->at[node]).state;
    set(o, "state", json_string(node_state_name(state)));
    set(o, "asked", json_boolean(m->replica[i].asked));
    add_copy(o, reply ? blob_slice(reply) : slice_of("", 0));
    return o;
}

json_t *view_key(const struct admin_sources *s, struct slice key, const struct mail_inspected *m)
{
    json_t *replicas = json_array(), *joining = json_array(), *o = json_object();
    rcu_read_begin();
    for (unsigned i = 0; i < m->n; i++)
        json_array_append_new(i < m->n - m->joining ? replicas : joining, copy_at(s, m, i));
    rcu_read_end();
    json_t *name = json_stringn((const char *)key.ptr, key.len);
    set(o, "key", name ? name : json_string("(not UTF-8)"));
    set(o, "token", number(m->token));
    set(o, "replicas", replicas);
    if (m->joining)
        json_object_set(o, "joining", joining);
    json_decref(joining);
    return o;
}

bool view_ready(const struct admin_sources *s, char *why, size_t n)
{
    if (store_is_up(s->store))
        return true;
    store_why_down(s->store, why, n);
    if (!*why)
        snprintf(why, n, "the store isn't up yet");
    return false;
}

static json_t *by_kind(const uint64_t *n)
{
    json_t *o = json_object();
    for (unsigned k = 0; k < GOSSIP_KINDS; k++)
        set(o, gossip_kind_name(k), number(__atomic_load_n(&n[k], __ATOMIC_RELAXED)));
    return o;
}

static json_t *gossip_of(const struct gossip_figures *f)
{
    json_t *o = json_object(), *refused = json_object();
    for (unsigned r = 0; r < GOSSIP_REFUSALS; r++)
        set(refused, gossip_refusal_name((enum gossip_refusal)r),
            number(GOSSIP_LOAD(f, refused[r])));
    set(o, "sent", by_kind(f->sent));
    set(o, "received", by_kind(f->received));
    set(o, "sent_bytes", number(GOSSIP_LOAD(f, sent_bytes)));
    set(o, "received_bytes", number(GOSSIP_LOAD(f, received_bytes)));
    set(o, "refused", refused);
    return o;
}

json_t *view_stats(const struct admin_sources *s)
{
    uint64_t requests = 0, errors = 0, connections = 0, cut_off = 0, timeouts = 0, differ = 0;
    uint64_t hedged = 0, won = 0, repairs[REPAIR_RESULTS] = {0};
    for (unsigned w = 0; w < s->nworkers; w++) {
        const struct stats *st = s->stats[w];
        for (unsigned i = 0; i < STATS_COMMANDS_MAX; i++) {
            requests += STATS_LOAD(st, requests[i][RESULT_OK]);
            errors += STATS_LOAD(st, requests[i][RESULT_ERROR]);
        }
        connections += STATS_LOAD(st, connections);
        cut_off += STATS_LOAD(st, cut_off);
        timeouts += STATS_LOAD(st, timeouts);
        differ += STATS_LOAD(st, reads_differ);
        for (unsigned i = 0; i < REPAIR_RESULTS; i++)
            repairs[i] += STATS_LOAD(st, repairs[i]);
        hedged += STATS_LOAD(st, hedged_reads);
        won += STATS_LOAD(st, hedged_reads_won);
    }
    json_t *o = view_status(s);
    set(o, "hints", view_hints(s));
    set(o, "gossip", gossip_of(s->figures));
    set(o, "requests_ok", number(requests));
    set(o, "requests_error", number(errors));
    set(o, "timeouts", number(timeouts));
    set(o, "reads_differ", number(differ));
    set(o, "hedged_reads", number(hedged));
    set(o, "hedged_reads_won", number(won));
    set(o, "client_connections", number(connections));
    set(o, "clients_cut_off", number(cut_off));
    json_t *by_result = json_object();
    for (unsigned i = 0; i < REPAIR_RESULTS; i++)
        set(by_result, repair_result_name((enum repair_result)i), number(repairs[i]));
    set(o, "read_repairs", by_result);
    return o;
}
