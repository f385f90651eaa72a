/* Prometheus text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "admin/view.h"
#include "core/clock.h"
#include "peer/orphans.h"
#include <config.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP dynomite_%s %s\n# TYPE dynomite_%s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
    head(b, name, type, help);
    buf_printf(b, "dynomite_%s %" PRIu64 "\n", name, v);
}

/* name="value", with what the format wants escaped. */
static void label(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_add_str(b, "\\");
        buf_add(b, value, 1);
    }
    buf_add_str(b, "\"");
}

/* dynomite_NAME{peer="ADDRESS" */
static void open_peer(struct buf *b, const char *name, const char *address)
{
    buf_printf(b, "dynomite_%s{", name);
    label(b, "peer", address);
}

typedef uint64_t peer_figure(const struct peer *p);

static void per_peer(const struct admin_sources *s, struct buf *b, const char *name,
                     const char *type, const char *help, peer_figure *figure)
{
    head(b, name, type, help);
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++)
        if (i != t->self && t->nodes[i].role != RING_GONE) {
            open_peer(b, name, t->nodes[i].address);
            buf_printf(b, "} %" PRIu64 "\n", figure(s->peers->at[i]));
        }
    rcu_read_end();
}

/* ---- logs: of peers, of the own store, of orphans
 * --------------------------------------------------------------------------------------------- */

struct row {
    struct hint_figures f;
    uint64_t unwanted, too_late; /* thrown away since no hints are kept; came too late here */
    bool needs_repair;
};

static struct row row_of(const struct peer *p)
{
    struct row r = {.unwanted = PEER_LOAD(p, rejected[REJECT_DROPPED]), /* first: f has it too */
                    .too_late = PEER_LOAD(p, too_late),
                    .needs_repair = peer_needs_repair(p)};
    hint_peer_figures(p->hints, &r.f);
    return r;
}

/* Inside a read section; NULL: the own store has no log, or the node has left the ring. */
static const struct peer *log_at(const struct admin_sources *s, const struct topology *t,
                                 unsigned node)
{
    if (t->nodes[node].role == RING_GONE)
        return NULL;
    return node == t->self ? peers_own(s->peers) : s->peers->at[node];
}

/* No two series have one name: an orphan whose address another node has now goes by its id. */
static const char *orphan_label(const struct orphans *all, unsigned index, const struct topology *t)
{
    const struct ring_node *n = &all->at[index].node;
    bool taken = false;
    for (unsigned i = 0; i < t->n; i++)
        taken |= strcmp(t->nodes[i].address, n->address) == 0;
    for (unsigned i = 0; i < index; i++)
        taken |= strcmp(all->at[i].node.address, n->address) == 0;
    if (!taken)
        return n->address;
    return *n->id ? n->id : all->at[index].name;
}

typedef uint64_t row_figure(const struct row *r);

static void per_orphan(const struct admin_sources *s, struct buf *b, const char *name,
                       row_figure *figure)
{
    const struct orphans *all = s->peers->orphans;
    for (unsigned i = 0; all && i < all->n; i++) {
        struct row r = {0};
        if (orphan_is_gone(&all->at[i]))
            continue;
        hint_peer_figures(all->at[i].hints, &r.f);
        open_peer(b, name, orphan_label(all, i, RCU_GET(*s->topology)));
        buf_printf(b, "} %" PRIu64 "\n", figure(&r));
    }
}

static void per_log(const struct admin_sources *s, struct buf *b, const char *name,
                    const char *type, const char *help, row_figure *figure)
{
    head(b, name, type, help);
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++) {
        const struct peer *p = log_at(s, t, i);
        if (!p)
            continue;
        struct row r = row_of(p);
        open_peer(b, name, t->nodes[i].address);
        buf_printf(b, "} %" PRIu64 "\n", figure(&r));
    }
    per_orphan(s, b, name, figure);
    rcu_read_end();
}

static uint64_t pending(const struct row *r)
{
    return r->f.pending;
}
static uint64_t bytes(const struct row *r)
{
    return r->f.bytes;
}
static uint64_t oldest(const struct row *r)
{
    uint64_t now = clock_wall_ms();
    return r->f.oldest_ms && r->f.oldest_ms < now ? (now - r->f.oldest_ms) / 1000 : 0;
}
static uint64_t stored(const struct row *r)
{
    return r->f.stored + r->f.converted - r->unwanted;
}
static uint64_t delivered(const struct row *r)
{
    return r->f.delivered;
}
static uint64_t expired(const struct row *r)
{
    return r->f.expired + r->too_late;
}
static uint64_t truncated(const struct row *r)
{
    return r->f.dropped - r->unwanted;
}
static uint64_t damaged(const struct row *r)
{
    return r->f.damaged;
}
static uint64_t needs_repair(const struct row *r)
{
    return r->needs_repair;
}

static uint64_t behind(const struct peer *p)
{
    return peer_behind(p);
}
static uint64_t dc_raw(const struct peer *p)
{
    return PEER_LOAD(p, dc_raw);
}
static uint64_t dc_sent(const struct peer *p)
{
    return PEER_LOAD(p, dc_sent);
}
static uint64_t paused(const struct peer *p)
{
    return PEER_LOAD(p, paused);
}

static void peers_up(const struct admin_sources *s, struct buf *b)
{
    head(b, "peer_up", "gauge", "1 while the peer answers and its store is there");
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++)
        if (i != t->self && t->nodes[i].role != RING_GONE) {
            open_peer(b, "peer_up", t->nodes[i].address);
            buf_add_str(b, ",");
            label(b, "rack", t->nodes[i].rack);
            buf_add_str(b, ",");
            label(b, "datacenter", t->nodes[i].datacenter);
            buf_printf(b, "} %d\n", peer_state(s->peers->at[i]) != NODE_DOWN);
        }
    rcu_read_end();
}

static void rejected_by(struct buf *b, const struct ring_node *n, const char *reason, uint64_t v)
{
    open_peer(b, "hints_rejected_total", n->address);
    buf_printf(b, ",reason=\"%s\"} %" PRIu64 "\n", reason, v);
}

/* By the store, and by what stands before it. */
static void rejected_of(struct buf *b, const struct ring_node *n, const struct peer *p)
{
    static const enum hint_put by_store[] = {HINT_PUT_OVER_CAP, HINT_PUT_OVER_PEER_CAP,
                                             HINT_PUT_TOO_LARGE, HINT_PUT_NO_SPACE,
                                             HINT_PUT_IO_ERROR};
    struct hint_figures f;
    hint_peer_figures(p->hints, &f);
    for (size_t i = 0; i < ARRAY_LEN(by_store); i++)
        rejected_by(b, n, hint_put_name(by_store[i]), f.rejected[by_store[i]]);
    for (unsigned r = 0; r < REJECT_REASONS; r++)
        rejected_by(b, n, peer_reject_name((enum peer_reject)r), PEER_LOAD(p, rejected[r]));
}

static void rejected(const struct admin_sources *s, struct buf *b)
{
    head(b, "hints_rejected_total", "counter", "hints that were not stored, by reason");
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++)
        if (log_at(s, t, i))
            rejected_of(b, &t->nodes[i], log_at(s, t, i));
    rcu_read_end();
}

static void messages(struct buf *b, const char *direction, const uint64_t *n)
{
    for (unsigned k = 0; k < GOSSIP_KINDS; k++)
        buf_printf(b, "dynomite_gossip_messages_total{type=\"%s\",direction=\"%s\"} %" PRIu64 "\n",
                   gossip_kind_name(k), direction, __atomic_load_n(&n[k], __ATOMIC_RELAXED));
}

/* This node and its peers, by the state that `status` shows. */
static void members(const struct admin_sources *s, struct buf *b)
{
    unsigned n[NODE_STATES] = {0};
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->topology);
    for (unsigned i = 0; i < t->n; i++)
        if (t->nodes[i].role != RING_GONE)
            n[i == t->self ? view_own_state(s) : peer_shown(s->peers->at[i]).state]++;
    rcu_read_end();
    head(b, "gossip_members", "gauge", "nodes of the ring, this one too, by state");
    for (unsigned i = 0; i < NODE_STATES; i++)
        buf_printf(b, "dynomite_gossip_members{state=\"%s\"} %u\n",
                   node_state_name((enum node_state)i), n[i]);
}

static void gossip(const struct admin_sources *s, struct buf *b)
{
    const struct gossip_figures *f = s->figures;
    head(b, "gossip_messages_total", "counter", "gossip messages by type and direction");
    messages(b, "sent", f->sent);
    messages(b, "received", f->received);
    head(b, "gossip_bytes_total", "counter", "payload bytes of gossip messages");
    buf_printf(b,
               "dynomite_gossip_bytes_total{direction=\"sent\"} %" PRIu64
               "\ndynomite_gossip_bytes_total{direction=\"received\"} %" PRIu64 "\n",
               GOSSIP_LOAD(f, sent_bytes), GOSSIP_LOAD(f, received_bytes));
    head(b, "gossip_refused_total", "counter", "gossip messages that were refused, by reason");
    for (unsigned r = 0; r < GOSSIP_REFUSALS; r++)
        buf_printf(b, "dynomite_gossip_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                   gossip_refusal_name((enum gossip_refusal)r), GOSSIP_LOAD(f, refused[r]));
    members(s, b);
}

static void requests(const struct admin_sources *s, struct buf *b)
{
    static const char *const results[RESULTS] = {"ok", "error"};
    size_t n;
    const struct command_spec *table = command_table(&n);
    head(b, "requests_total", "counter", "client requests by command and result");
    for (size_t i = 0; i < n && i < STATS_COMMANDS_MAX; i++)
        for (unsigned r = 0; r < RESULTS; r++) {
            uint64_t v = 0;
            for (unsigned w = 0; w < s->nworkers; w++)
                v += STATS_LOAD(s->stats[w], requests[i][r]);
            if (v)
                buf_printf(b, "dynomite_requests_total{command=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                           table[i].name, results[r], v);
        }
}

/* Reads at DC_ONE whose first replica was slow. */
static void hedges(const struct admin_sources *s, struct buf *b)
{
    uint64_t all = 0, won = 0;
    for (unsigned w = 0; w < s->nworkers; w++) {
        all += STATS_LOAD(s->stats[w], hedged_reads);
        won += STATS_LOAD(s->stats[w], hedged_reads_won);
    }
    one(b, "hedged_reads_total", "counter",
        "reads for which a second replica was asked since the first was slow", all);
    one(b, "hedged_reads_won_total", "counter", "hedged reads that the second replica answered",
        won);
}

static void differences(const struct admin_sources *s, struct buf *b)
{
    uint64_t differ = 0;
    for (unsigned w = 0; w < s->nworkers; w++)
        differ += STATS_LOAD(s->stats[w], reads_differ);
    one(b, "reads_differ_total", "counter", "reads to which replicas gave different replies",
        differ);
}

static void durations(const struct admin_sources *s, struct buf *b)
{
    struct histogram h = {0};
    for (unsigned w = 0; w < s->nworkers; w++)
        histogram_merge(&h, &s->stats[w]->duration);
    head(b, "request_duration_seconds", "histogram", "a client request, end to end");
    uint64_t sum = 0;
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        sum += h.bucket[i];
        buf_printf(b, "dynomite_request_duration_seconds_bucket{le=\"%.9g\"} %" PRIu64 "\n",
                   (double)(1ull << i) / 1e6, sum);
    }
    sum += h.bucket[HISTOGRAM_BUCKETS - 1];
    buf_printf(b,
               "dynomite_request_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64
               "\ndynomite_request_duration_seconds_sum %g\n"
               "dynomite_request_duration_seconds_count %" PRIu64 "\n",
               sum, (double)h.sum_us / 1e6, sum);
}

static void repairs(const struct admin_sources *s, struct buf *b)
{
    head(b, "read_repairs_total", "counter", "keys that read repair has looked at");
    for (unsigned i = 0; i < REPAIR_RESULTS; i++) {
        uint64_t n = 0;
        for (unsigned w = 0; w < s->nworkers; w++)
            n += STATS_LOAD(s->stats[w], repairs[i]);
        buf_printf(b, "dynomite_read_repairs_total{result=\"%s\"} %" PRIu64 "\n",
                   repair_result_name((enum repair_result)i), n);
    }
}

void metrics_add(const struct admin_sources *s, struct buf *b)
{
    const struct store_stats *st = store_stats(s->store);
    uint64_t connections = 0, cut_off = 0;
    for (unsigned w = 0; w < s->nworkers; w++) {
        connections += STATS_LOAD(s->stats[w], connections);
        cut_off += STATS_LOAD(s->stats[w], cut_off);
    }
    head(b, "build_info", "gauge", "the version that runs");
    buf_printf(b, "dynomite_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
    one(b, "uptime_seconds", "gauge", "since the process started",
        (clock_mono_ms() - s->started_ms) / 1000);
    one(b, "client_connections", "gauge", "clients connected now", connections);
    one(b, "client_cut_off_total", "counter", "clients closed that didn't read their replies",
        cut_off);
    requests(s, b);
    durations(s, b);
    hedges(s, b);
    differences(s, b);
    peers_up(s, b);
    per_peer(s, b, "peer_behind_bytes", "gauge", "bytes the peer hasn't acknowledged", behind);
    per_peer(s, b, "dc_raw_bytes_total", "counter",
             "bytes of writes sent to a peer in another datacenter, before compression", dc_raw);
    per_peer(s, b, "dc_sent_bytes_total", "counter", "what these took on the link", dc_sent);
    per_log(s, b, "hints_pending", "gauge", "hints kept for the peer", pending);
    per_log(s, b, "hints_bytes", "gauge", "payload bytes of hints kept for the peer", bytes);
    per_log(s, b, "hints_oldest_seconds", "gauge", "age of the oldest hint", oldest);
    per_log(s, b, "hints_stored_total", "counter", "hints stored", stored);
    per_log(s, b, "hints_delivered_total", "counter", "hints delivered", delivered);
    per_log(s, b, "hints_expired_total", "counter", "hints past their lifetime", expired);
    per_log(s, b, "hints_truncated_total", "counter", "hints thrown away by dyn-admin", truncated);
    per_log(s, b, "hints_damaged_total", "counter", "hints that were damaged on disk", damaged);
    per_peer(s, b, "hints_paused", "gauge", "1 while delivery to the peer is paused", paused);
    rejected(s, b);
    per_log(s, b, "needs_repair", "gauge", "1 while the peer lacks writes that are gone",
            needs_repair);
    gossip(s, b);
    one(b, "stale_dropped_total", "counter", "writes older than the last overwrite of their key",
        __atomic_load_n(&st->stale_dropped, __ATOMIC_RELAXED));
    one(b, "unguarded_total", "counter", "late writes that could not be judged",
        __atomic_load_n(&st->unguarded, __ATOMIC_RELAXED));
    one(b, "ambiguous_total", "counter",
        "writes done again, since it wasn't known whether they had been",
        __atomic_load_n(&st->ambiguous, __ATOMIC_RELAXED));
    repairs(s, b);
    one(b, "stamps", "gauge", "overwrites whose stamps are kept beside the backend",
        __atomic_load_n(&st->stamps, __ATOMIC_RELAXED));
    one(b, "store_keys", "gauge", "live keys in the own store, as far as it has told; redis: 0",
        __atomic_load_n(&st->keys, __ATOMIC_RELAXED));
    one(b, "store_bytes", "gauge", "bytes of these", __atomic_load_n(&st->bytes, __ATOMIC_RELAXED));
    one(b, "backend_up", "gauge", "1 while the store serves", store_is_up(s->store));
    one(b, "backend_errors_total", "counter", "errors of the store",
        __atomic_load_n(&st->errors, __ATOMIC_RELAXED));
}
