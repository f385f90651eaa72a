#include "request/repair.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include <string.h>

#define ACTIVE_MAX 16u /* repairs at work at a time */

enum phase { COPYING, FETCHING, MENDING };

/* One key. Each phase has a ticket of its own, so that what comes late finds nothing. */
struct repair {
    struct repairs *all;
    struct blob *key;
    uint64_t ticket, deadline_ms;
    unsigned tries;
    enum phase phase;
    unsigned n, left;
    uint16_t node[RING_REPLICAS_MAX];
    struct mend_copy copy[RING_REPLICAS_MAX];
    struct mend_decision decision;
    struct blob *command; /* of the source, when it is fetched */
    unsigned at;          /* who is mended now */
    bool refused, failed;
};

/* What is asked of this node itself. */
struct own_question {
    struct repairs *all;
    uint64_t ticket;
};

static struct own_question *ask_myself(const struct repair *r)
{
    struct own_question *q = MEM_NEW(struct own_question);
    *q = (struct own_question){.all = r->all, .ticket = r->ticket};
    return q;
}

static struct repair *answered(struct own_question *q)
{
    struct repair *r = slots_get(&q->all->live, q->ticket);
    mem_free(q);
    return r;
}

static unsigned self(const struct repair *r)
{
    return r->all->requests->peers->self;
}

/* ---- its end ----------------------------------------------------------------------------------
 */

static void repair_free(struct repair *r)
{
    slots_drop(&r->all->live, r->ticket);
    blob_unref(r->key);
    blob_unref(r->command);
    mem_free(r);
}

static void count(struct repairs *all, enum repair_result result)
{
    STATS_ADD(all->requests->stats, repairs[result], 1);
}

static void end(struct repair *r, enum repair_result result)
{
    count(r->all, result);
    repair_free(r);
}

/* Later once more; `result` if that was the last time. */
static void again_or(struct repair *r, enum repair_result result)
{
    if (r->tries + 1 >= REPAIR_TRIES) {
        end(r, result);
        return;
    }
    if (!repair_queue_again(&r->all->queue, blob_ref(r->key), r->tries + 1, clock_mono_ms()))
        count(r->all, REPAIR_DROPPED);
    repair_free(r);
}

static void enter(struct repair *r, enum phase phase, unsigned left)
{
    if (r->ticket)
        slots_drop(&r->all->live, r->ticket);
    r->ticket = slots_put(&r->all->live, r);
    r->phase = phase;
    r->left = left;
    r->deadline_ms = clock_mono_ms() + r->all->requests->config->timeout;
}

/* ---- mending ----------------------------------------------------------------------------------
 */

static void mend_next(struct repair *r);

static void take_result(struct repair *r, enum mend_result result)
{
    r->refused |= result == MEND_NEWER;
    r->failed |= result == MEND_FAILED;
    r->at++;
    mend_next(r);
}

static void on_own_mend(void *arg, enum mend_result result)
{
    struct repair *r = answered(arg);
    if (r)
        take_result(r, result);
}

static void mend(struct repair *r, unsigned i)
{
    const struct mend_copy *source = &r->copy[r->decision.source];
    struct mend m = {.command = blob_slice(r->command),
                     .overwrite = source->overwrite,
                     .upto = r->decision.upto};
    struct requests *rs = r->all->requests;
    struct buf b = BUF_INIT;
    if (source->newest_exact)
        m.newest = source->newest;
    enter(r, MENDING, 1);
    repair_queue_spend(&r->all->queue, r->command->len);
    if (r->node[i] == self(r)) {
        copies_mend(r->all->copies, &m, on_own_mend, ask_myself(r));
        return;
    }
    copies_pack_mend(&m, &b);
    requests_ask(
        rs, r->node[i],
        &(struct read_item){.ticket = r->ticket, .kind = FRAME_MEND, .bytes = buf_slice(&b)});
    buf_fini(&b);
}

static void mend_next(struct repair *r)
{
    while (r->at < r->n && !r->decision.whom[r->at])
        r->at++;
    if (r->at < r->n)
        mend(r, r->at);
    else if (r->refused)
        again_or(r, REPAIR_UNSETTLED);
    else if (r->failed)
        again_or(r, REPAIR_FAILED);
    else
        end(r, REPAIR_DONE);
}

static bool same_stamp(struct store_stamp a, struct store_stamp b)
{
    return a.time == b.time && a.tag == b.tag;
}

/* ---- fetching ---------------------------------------------------------------------------------
 */

/* It is as it was when that was decided. */
static bool still_right(const struct mend_copy *was, const struct mend_copy *is)
{
    return is->answered && mend_same(was, is) && same_stamp(was->overwrite, is->overwrite) &&
           same_stamp(was->newest, is->newest);
}

static void take_source(struct repair *r, const struct mend_copy *c, struct slice command)
{
    struct mend_copy *source = &r->copy[r->decision.source];
    repair_queue_spend(&r->all->queue, c->bytes);
    if (!still_right(source, c) || command.len == 0) {
        again_or(r, REPAIR_UNSETTLED);
        return;
    }
    *source = *c;
    r->command = blob_new(command.ptr, command.len);
    mend_next(r);
}

static void on_own_source(void *arg, const struct mend_copy *c, struct slice command)
{
    struct repair *r = answered(arg);
    if (r)
        take_source(r, c, command);
}

static void fetch(struct repair *r)
{
    uint16_t node = r->node[r->decision.source];
    enter(r, FETCHING, 1);
    if (node == self(r))
        copies_take(r->all->copies, blob_slice(r->key), true, on_own_source, ask_myself(r));
    else
        requests_ask(
            r->all->requests, node,
            &(struct read_item){
                .ticket = r->ticket, .kind = FRAME_COPY, .tag = 1, .bytes = blob_slice(r->key)});
}

/* ---- copies -----------------------------------------------------------------------------------
 */

static void decide(struct repair *r)
{
    for (unsigned i = 0; i < r->n; i++)
        repair_queue_spend(&r->all->queue, r->copy[i].answered ? r->copy[i].bytes : 0);
    mend_decide(r->copy, r->n, clock_wall_ms(), &r->decision);
    switch (r->decision.verdict) {
    case MEND_EQUAL:
        end(r, REPAIR_EQUAL);
        break;
    case MEND_UNDECIDED:
        end(r, REPAIR_UNDECIDED);
        break;
    case MEND_UNSETTLED:
        again_or(r, REPAIR_UNSETTLED);
        break;
    case MEND_DO:
        fetch(r);
        break;
    }
}

static void take_copy(struct repair *r, unsigned node, const struct mend_copy *c)
{
    for (unsigned i = 0; c && i < r->n; i++)
        if (r->node[i] == node)
            r->copy[i] = *c;
    if (--r->left == 0)
        decide(r);
}

static void on_own_copy(void *arg, const struct mend_copy *c, struct slice command)
{
    struct repair *r = answered(arg);
    (void)command;
    if (r)
        take_copy(r, self(r), c);
}

static void start(struct repairs *all, const struct repair_key *k)
{
    struct requests *rs = all->requests;
    struct repair *r = MEM_NEW(struct repair);
    *r = (struct repair){.all = all, .key = k->key, .tries = k->tries};
    rcu_read_begin();
    r->n =
        topology_replicas(RCU_GET(*rs->topology), request_token(rs, blob_slice(k->key)), r->node);
    rcu_read_end();
    enter(r, COPYING, r->n + 1); /* one is this function's: nothing ends before all are asked */
    for (unsigned i = 0; i < r->n; i++) {
        if (r->node[i] == self(r))
            copies_take(all->copies, blob_slice(r->key), false, on_own_copy, ask_myself(r));
        else
            requests_ask(rs, r->node[i],
                         &(struct read_item){
                             .ticket = r->ticket, .kind = FRAME_COPY, .bytes = blob_slice(r->key)});
    }
    take_copy(r, self(r), NULL);
}

/* ---- what comes in ----------------------------------------------------------------------------
 */

static void on_peer_copy(struct repair *r, uint16_t node, const struct read_item *it)
{
    struct mend_copy c = {0};
    struct blob *command = NULL;
    bool ok = !it->failed && copies_unpack(it->bytes, &c, &command);
    if (r->phase == COPYING)
        take_copy(r, node, ok ? &c : NULL);
    else
        take_source(r, &c, command ? blob_slice(command) : slice_of("", 0));
    blob_unref(command);
}

void repairs_mail_read(struct repairs *all, uint16_t node, const struct read_item *it)
{
    struct repair *r = slots_get(&all->live, it->ticket);
    enum mend_result result;
    if (!r || (r->phase == MENDING) != (it->kind == FRAME_MEND))
        return;
    if (it->kind == FRAME_COPY)
        on_peer_copy(r, node, it);
    else
        take_result(r,
                    !it->failed && copies_mend_result(it->bytes, &result) ? result : MEND_FAILED);
}

void repairs_note(struct repairs *all, const struct command_spec *spec,
                  const struct resp_command *cmd)
{
    size_t keys[8];
    if (all->stopped || !repairs_enabled(all))
        return;
    size_t n = command_keys(spec, cmd, keys, ARRAY_LEN(keys));
    for (size_t i = 0; i < n && i < ARRAY_LEN(keys); i++)
        if (!repair_queue_note(&all->queue, cmd->argv[keys[i]], clock_mono_ms()))
            count(all, REPAIR_DROPPED);
}

/* ---- time -------------------------------------------------------------------------------------
 */

/* Who is silent has no copy, or hasn't been mended. */
static void give_up_waiting(struct repair *r)
{
    switch (r->phase) {
    case COPYING:
        decide(r);
        break;
    case FETCHING:
        again_or(r, REPAIR_UNSETTLED);
        break;
    case MENDING:
        take_result(r, MEND_FAILED);
        break;
    }
}

void repairs_tick(struct repairs *all, uint64_t now_ms)
{
    struct repair_key k;
    uint32_t at = 0;
    for (struct repair *r; (r = slots_next(&all->live, &at));)
        if (r->deadline_ms <= now_ms)
            give_up_waiting(r);
    if (!repairs_enabled(all))
        repair_queue_fini(&all->queue);
    while (!all->stopped && all->live.used < ACTIVE_MAX &&
           repair_queue_next(&all->queue, now_ms, &k))
        start(all, &k);
}

void repairs_stop(struct repairs *all)
{
    uint32_t at = 0;
    all->stopped = true;
    for (struct repair *r; (r = slots_next(&all->live, &at));)
        repair_free(r);
    repair_queue_fini(&all->queue);
}

void repairs_fini(struct repairs *all)
{
    slots_fini(&all->live);
}
