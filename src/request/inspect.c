#include "request/inspect.h"
#include "core/mem.h"
#include "request/flight.h"
#include "wire/frame.h"

struct inspection {
    struct inspections *all;
    uint64_t ticket;
    unsigned left;
    struct actor *asker;
    struct mail_inspected *answer;
};

static void answered(struct inspection *in)
{
    if (--in->left)
        return;
    actor_send(in->asker, &in->answer->msg);
    slots_drop(&in->all->live, in->ticket);
    mem_free(in);
}

static void put_reply(struct inspection *in, unsigned node, struct blob *reply)
{
    for (unsigned i = 0; i < in->answer->n; i++)
        if (in->answer->replica[i].node == node && !in->answer->replica[i].reply) {
            in->answer->replica[i].reply = reply;
            return;
        }
    blob_unref(reply);
}

static void on_own(void *arg, const struct store_read_reply *r)
{
    struct inspection *in = arg;
    if (r->ok)
        put_reply(in, in->all->requests->peers->self, blob_new(r->reply.ptr, r->reply.len));
    answered(in);
}

void inspect_mail_read(struct inspections *all, uint16_t node, const struct read_item *it)
{
    struct inspection *in = slots_get(&all->live, it->ticket);
    if (!in)
        return;
    if (!it->failed)
        put_reply(in, node, read_item_keep(it));
    answered(in);
}

static void put_replica(struct mail_inspected *m, uint16_t node, bool asked)
{
    m->replica[m->n].node = node;
    m->replica[m->n++].asked = asked;
}

static bool is_named(const struct mail_inspected *m, uint16_t node)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->replica[i].node == node)
            return true;
    return false;
}

/* The replicas as a read at DC_ONE would ask them, then those that it wouldn't, then who joins. */
static void name_replicas(const struct requests *rs, struct mail_inspected *m)
{
    struct replica_view v[RING_WRITES_MAX];
    struct read_plan plan;
    struct shortfall ignored;
    unsigned nodes, n = request_view_writes(rs, m->token, v, &nodes);
    (void)plan_read(CONSISTENCY_DC_ONE, v, n, &plan, &ignored);
    for (unsigned i = 0; i < plan.n; i++)
        put_replica(m, plan.node[i], i < plan.can);
    for (unsigned i = 0; i < n; i++) {
        m->joining += v[i].joining;
        if (!is_named(m, v[i].node))
            put_replica(m, v[i].node, false);
    }
}

static void ask_replica(struct inspection *in, uint16_t node, struct slice key)
{
    struct requests *rs = in->all->requests;
    if (node == rs->peers->self)
        store_inspect(rs->reader, key, on_own, in);
    else
        requests_ask(
            rs, node,
            &(struct read_item){.ticket = in->ticket, .kind = FRAME_INSPECT, .bytes = key});
}

void inspect_start(struct inspections *all, struct mail_inspect *m)
{
    struct inspection *in = MEM_NEW(struct inspection);
    struct mail_inspected *answer = in->answer = MEM_NEW(struct mail_inspected);
    in->all = all;
    in->asker = m->asker;
    in->ticket = slots_put(&all->live, in);
    answer->msg.type = MAIL_INSPECTED;
    answer->ticket = m->ticket;
    answer->token = request_token(all->requests, blob_slice(m->key));
    name_replicas(all->requests, answer);
    in->left =
        answer->n + 1; /* one is this function's, so that nothing ends before all are asked */
    for (unsigned i = 0, n = answer->n; i < n; i++)
        ask_replica(in, answer->replica[i].node, blob_slice(m->key));
    answered(in);
    blob_unref(m->key);
    mem_free(m);
}

void inspections_fini(struct inspections *all)
{
    uint32_t at = 0;
    for (struct inspection *in; (in = slots_next(&all->live, &at));) {
        for (unsigned i = 0; i < in->answer->n; i++)
            blob_unref(in->answer->replica[i].reply);
        mem_free(in->answer);
        mem_free(in);
    }
    slots_fini(&all->live);
}
