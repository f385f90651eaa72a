/* A write for every node of the ring. The writer gives it one stamp and puts it into all logs, as
 * any write; here is when it is done. */
#include "core/mem.h"
#include "request/flight.h"
#include "ring/tellers.h"
#include <string.h>

/* Where a node stands among those that get it. */
struct places {
    uint16_t of[RING_NODES_MAX];
};

/* The nodes that hold a group of keys, as places. How many. */
static unsigned group_nodes(const struct tellers *t, unsigned step, const struct places *places,
                            uint16_t out[RING_REPLICAS_MAX])
{
    unsigned n = tellers_depth(t, step);
    for (unsigned i = 0; i < n; i++)
        out[i] = places->of[tellers_owner(t, step, i)];
    return n;
}

static unsigned next_group(const struct tellers *t, unsigned step)
{
    while (step < tellers_steps(t) && !tellers_is_whole(t, step))
        step++;
    return step;
}

/* ---- what becomes of it -------------------------------------------------------------------------
 */

static const struct blob *first_error(const struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].reply && resp_reply_is_error(blob_slice(r->words[i].reply)))
            return r->words[i].reply;
    return NULL;
}

static const struct blob *own_reply(const struct request *r)
{
    const struct blob *any = NULL;
    for (unsigned i = 0; i < r->n; i++) {
        if (r->words[i].reply && r->words[i].own)
            return r->words[i].reply;
        any = any ? any : r->words[i].reply;
    }
    return any;
}

static int applied_node(const struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].verdict == VERDICT_APPLIED && !r->words[i].joining)
            return r->node[i];
    return -1;
}

static void finish(struct request *r)
{
    const struct blob *reply = first_error(r);
    reply = reply ? reply : own_reply(r);
    if (reply && (!r->blind || resp_reply_is_error(blob_slice(reply)))) {
        request_finish(r, blob_slice(reply), applied_node(r));
        return;
    }
    request_finish_unsaid(r, applied_node(r));
}

static void fail(struct request *r, const struct shortfall *lacking, const char *second_half)
{
    resp_add_error(request_scratch(r->rs),
                   "NOQUORUM %u of %u needed replicas answered (%s write)%s%s", lacking->have,
                   lacking->need, consistency_name(r->level), second_half,
                   r->blind ? "; of some keys too few are up" : "");
    request_finish_error(r);
}

/* Nobody who is up has yet to say something. */
static bool all_have_it(const struct request *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->words[i].verdict <= VERDICT_LOGGED)
            return false;
    return true;
}

/* The level of every group of keys; the first that fails or has to wait decides. */
static enum quorum_outcome weigh_groups(const struct request *r, struct shortfall *lacking)
{
    struct places places;
    enum quorum_outcome all = QUORUM_DONE;
    memset(&places, 0, sizeof places);
    for (unsigned i = 0; i < r->n; i++)
        places.of[r->node[i]] = (uint16_t)i;
    for (unsigned step = next_group(r->ring, 0); step < tellers_steps(r->ring);
         step = next_group(r->ring, step + 1)) {
        uint16_t at[RING_REPLICAS_MAX];
        struct write_word words[RING_REPLICAS_MAX];
        unsigned n = group_nodes(r->ring, step, &places, at);
        for (unsigned i = 0; i < n; i++)
            words[i] = r->words[at[i]];
        enum quorum_outcome o = quorum_write(r->level, r->sloppy, r->blind, words, n, lacking);
        if (o == QUORUM_NOQUORUM || o == QUORUM_NOHINT)
            return o;
        all = o == QUORUM_WAIT ? o : all;
    }
    return all;
}

/* Who can has taken it. */
static enum quorum_outcome weigh_library(const struct request *r, struct shortfall *lacking)
{
    *lacking = (struct shortfall){.need = 1};
    bool refused = false;
    for (unsigned i = 0; i < r->n; i++)
        refused |= r->words[i].verdict == VERDICT_REFUSED;
    if (applied_node(r) >= 0)
        return QUORUM_DONE;
    if (!all_have_it(r))
        return QUORUM_WAIT;
    return refused ? QUORUM_NOHINT : QUORUM_NOQUORUM;
}

void request_weigh_ring(struct request *r)
{
    struct shortfall lacking;
    if (r->everywhere && !all_have_it(r))
        return; /* up to ask_on_ms */
    switch (r->blind ? weigh_groups(r, &lacking) : weigh_library(r, &lacking)) {
    case QUORUM_WAIT:
        break;
    case QUORUM_DONE:
    case QUORUM_BLIND:
        finish(r);
        break;
    case QUORUM_NOHINT:
        request_fail_nohint(r);
        break;
    case QUORUM_NOQUORUM:
        fail(r, &lacking, request_took_effect(r));
        break;
    }
}

/* ---- the beginning ------------------------------------------------------------------------------
 */

/* False: too few are up, also where hints count. */
static bool is_possible(const struct request *r, const struct replica_view *v,
                        struct shortfall *lacking)
{
    struct places places;
    bool hints = request_hints_count(r->rs->config);
    *lacking = (struct shortfall){.need = 1};
    memset(&places, 0, sizeof places);
    for (unsigned i = 0; i < r->n; i++)
        places.of[v[i].node] = (uint16_t)i;
    for (unsigned i = 0; i < r->n && !r->blind; i++)
        if (plan_applies(&v[i]) && !v[i].joining)
            return true;
    if (!r->blind)
        return false;
    for (unsigned step = next_group(r->ring, 0); step < tellers_steps(r->ring);
         step = next_group(r->ring, step + 1)) {
        uint16_t at[RING_REPLICAS_MAX];
        struct replica_view views[RING_REPLICAS_MAX];
        unsigned n = group_nodes(r->ring, step, &places, at);
        for (unsigned i = 0; i < n; i++)
            views[i] = v[at[i]];
        if (!plan_write(r->level, r->sloppy, hints, true, views, n, lacking))
            return false;
    }
    return true;
}

static void start(struct request *r, const struct replica_view *v, unsigned nodes,
                  struct mail_write *m)
{
    for (unsigned i = 0; i < r->n; i++) {
        r->node[i] = v[i].node;
        r->words[i] = (struct write_word){
            .datacenter = v[i].datacenter, .own = v[i].own, .joining = v[i].joining};
        r->replicas += !v[i].joining;
    }
    m = request_mail_with_room(m, r->n);
    m->ring = true;
    m->nodes = nodes;
    request_send_to_writer(r, m, true);
}

void request_write_ring(struct requests *rs, const struct operation *op, struct mail_write *m,
                        struct tellers *groups)
{
    struct replica_view *v = mem_calloc(RING_NODES_MAX, sizeof *v);
    struct shortfall lacking;
    unsigned nodes, n = request_view_ring(rs, v, &nodes);
    struct request *r = request_new(rs, op, true, n);
    r->ring = groups;
    r->blind = command_blind_reply(op->spec, op->cmd);
    r->everywhere = true;
    r->ask_on_ms = r->deadline_ms - rs->config->timeout + rs->config->timeout / 4;
    r->sloppy = CONFIG_LIVE(rs->config, sloppy_quorum);
    if (is_possible(r, v, &lacking)) {
        start(r, v, nodes, m);
    } else {
        fail(r, &lacking, "; nothing was written");
        requests_put_mail(rs, m);
    }
    mem_free(v);
}
