/* Who the peers are, greetings and replacements, and what they send. */
#include "core/log.h"
#include "core/mem.h"
#include "peer/inbound.h"
#include "request/writer_internal.h"
#include <inttypes.h>
#include <string.h>

/* ---- identities ---------------------------------------------------------------------------------
 */

/* The steady clock, by which deadlines are judged, is what has to agree: it keeps the error that
 * the wall clock had at the start. */
static void trust_clock(struct writer *w, uint64_t their_wall_ms)
{
    uint64_t ours = clock_steady_ms();
    uint64_t apart = ours > their_wall_ms ? ours - their_wall_ms : their_wall_ms - ours;
    if (apart <= HLC_AHEAD_MAX_MS)
        __atomic_store_n(w->o.clock_trusted, 1, __ATOMIC_RELAXED);
    else
        log_limited(60000, LOG_LEVEL_WARN,
                    "the clock is %" PRIu64 " ms off a peer's; allowed %d ms", apart,
                    HLC_AHEAD_MAX_MS);
}

void writer_source_known(struct writer *w, unsigned node)
{
    const char *id = (*w->o.topology)->nodes[node].id;
    if (w->store_up && *id)
        source_stands_at(writer_source(w, node), store_last(w->o.store, node + 1, id));
}

/* The ring with this node's id in it becomes the ring. */
static void learn_id(struct writer *w, unsigned node, const char *id)
{
    struct topology *old = *w->o.topology;
    if (strcmp(old->nodes[node].id, id) == 0)
        return;
    struct error e;
    struct topology *fresh = topology_new(old->nodes, old->n, old->self, &e);
    if (!fresh) {
        log_error("ring: %s", e.text);
        return;
    }
    snprintf(fresh->nodes[node].id, NODE_ID_SIZE, "%s", id);
    RCU_SET(*w->o.topology, fresh);
    rcu_defer(&old->rcu, topology_reclaim);
    w->o.met(w->o.arg, fresh);
    writer_source_known(w, node);
}

/* Who has left the ring since the link was made. */
static bool is_gone(const struct writer *w, unsigned node)
{
    return PEER_LOAD(w->o.peers->at[node], gone);
}

bool writer_is_at_store(const struct writer *w, unsigned node)
{
    for (size_t i = 0; w->at_store && i < w->at_store->n; i++)
        if (w->at_store->items[i].kind != ITEM_OWN && w->at_store->items[i].node == node)
            return true;
    return false;
}

/* May a node that isn't the one we know at this place have it? */
static bool may_replace(struct writer *w, unsigned node, struct error *e)
{
    const char *known = (*w->o.topology)->nodes[node].id;
    if (writer_source(w, node)->has_link || PEER_LOAD(w->o.peers->at[node], link_up))
        return error_set(e, "it is at a place that belongs to node %s, which is linked", known);
    if (writer_is_at_store(w, node)) /* its numbers would be taken for the newcomer's */
        return error_set(e, "the last writes of node %s, whose place it takes, are at the store",
                         known);
    return true;
}

static bool is_newcomer(const struct writer *w, unsigned node, const char *id)
{
    const char *known = (*w->o.topology)->nodes[node].id;
    return *known && strcmp(known, id) != 0;
}

/* The sender gives it the log first: what is in there stays named by somebody, whenever a kill
 * comes. */
static void start_replacing(struct writer *w, unsigned node, const char *id)
{
    struct mail_replace *m = MEM_NEW(struct mail_replace);
    m->msg.type = MAIL_REPLACE;
    m->node = (uint16_t)node;
    memcpy(m->before, (*w->o.topology)->nodes[node].id, NODE_ID_SIZE);
    memcpy(m->id, id, NODE_ID_SIZE);
    actor_send(w->o.peers->at[node]->sender, &m->msg);
}

static void refuse_greeting(struct mail_greet *m, const char *no)
{
    log_limited(1000, LOG_LEVEL_WARN, "node %s refused: %s", m->id, no);
    source_refuse(m, no);
    mem_free(m);
}

/* A newcomer's greeting waits until it has the log. */
static void greet_newcomer(struct writer *w, struct mail_greet *m)
{
    struct source *s = writer_source(w, m->node);
    struct error e;
    bool ok = may_replace(w, m->node, &e);
    if (ok && s->held)
        ok = error_set(&e, "another new node takes this place");
    if (!ok) {
        refuse_greeting(m, e.text);
        return;
    }
    s->held = m;
    start_replacing(w, m->node, m->id);
}

void writer_greet(struct writer *w, struct mail_greet *m)
{
    struct source *s = writer_source(w, m->node);
    if (is_gone(w, m->node)) {
        refuse_greeting(m, "it has left the ring");
        return;
    }
    if (is_newcomer(w, m->node, m->id)) {
        greet_newcomer(w, m);
        return;
    }
    if (s->has_link && m->start_mark < s->start_mark) {
        refuse_greeting(
            m, "a node with this id that started later is linked: its data_dir was copied");
        return;
    }
    source_linked(s, m);
    PEER_STORE(w->o.peers->at[m->node], greeted, 1);
    writer_forget_gathered(w, m->node);
    learn_id(w, m->node, m->id);
    trust_clock(w, m->wall_ms);
    standby_greeted(&w->standby, m->node, m->hints_upto, s->applied, clock_mono_ms());
    writer_decide_state(w);
    mem_free(m);
}

static void replace(struct writer *w, const struct mail_replace *m)
{
    struct peer *p = w->o.peers->at[m->node];
    log_warn("node %s takes the place of node %s, which isn't linked: it gets what is in its log",
             m->id, m->before);
    memcpy(p->log_name, m->id, NODE_ID_SIZE);
    writer_forget_gathered(w, m->node);
    learn_id(w, m->node, m->id);
    pulse_replaced(&w->pulse, m->node);
}

/* The log has the newcomer's name. If the node before came back meanwhile, it greets again. */
void writer_replaced(struct writer *w, struct mail_replace *m)
{
    struct mail_greet *held = writer_source(w, m->node)->held;
    struct error e;
    bool fresh = is_newcomer(w, m->node, m->id);
    bool ok = (m->done && !is_gone(w, m->node)) ||
              error_set(&e, "the log of node %s can't get its name", m->before);
    writer_source(w, m->node)->held = NULL;
    ok = ok && (!fresh || may_replace(w, m->node, &e));
    if (ok && fresh)
        replace(w, m);
    mem_free(m);
    if (held && !ok)
        refuse_greeting(held, e.text);
    else if (held)
        writer_greet(w, held);
}

void writer_met(struct writer *w, struct mail_met *m)
{
    struct error e;
    bool fresh = is_newcomer(w, m->node, m->id);
    if (is_gone(w, m->node))
        fresh = false;
    else if (!fresh)
        learn_id(w, m->node, m->id);
    else if (!may_replace(w, m->node, &e))
        log_limited(1000, LOG_LEVEL_WARN, "node %s refused: %s", m->id, e.text);
    else if (!writer_source(w, m->node)->held) /* else it is under way */
        start_replacing(w, m->node, m->id);
    trust_clock(w, m->wall_ms);
    mem_free(m);
}

void writer_link_gone(struct writer *w, struct mail_link_gone *m)
{
    struct source *s = writer_source(w, m->node);
    if (s->held && s->held->link.worker == m->link.worker &&
        s->held->link.ticket == m->link.ticket) {
        mem_free(s->held);
        s->held = NULL;
    }
    source_unlinked(s, m->link);
    PEER_STORE(w->o.peers->at[m->node], greeted, s->has_link);
    mem_free(m);
}

/* ---- what peers send
 * ------------------------------------------------------------------------------ */

static void take_frame(struct writer *w, uint16_t node, const struct frame *f)
{
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_SKIP;
    it->node = node;
    it->seq = f->seq;
    it->stamp = f->stamp;
    it->tag = f->tag;
    if (f->kind == FRAME_SKIP)
        return;
    it->want_reply = f->flags & FRAME_WANT_REPLY;
    if (pulse_too_old(&w->pulse, node, f->stamp, &w->now)) {
        PEER_ADD(w->o.peers->at[node], too_late, 1);
        writer_source(w, node)->late = true;
        return;
    }
    if (resp_command_parse(f->payload, &it->cmd) && it->cmd.argc)
        it->spec = command_find(it->cmd.argv[0]);
    if (it->spec && inbound_is_write(it->spec, &it->cmd))
        it->kind = ITEM_WRITE;
    else
        log_error("a write of %zu bytes from node %u isn't one and is passed over", f->payload.len,
                  node);
    hlc_follow(&w->clock, f->stamp, w->now.wall_ms);
}

void writer_inbound(struct writer *w, struct mail_inbound *m)
{
    struct source *s = writer_source(w, m->node);
    bool current = source_is_link(s, m->link) && !s->greet_due;
    if (!current || !writer_serving(w)) {
        if (current)
            s->credit += m->size;
        mail_inbound_free(m);
        return;
    }
    const uint8_t *p = m->frames->data, *end = p + m->frames->len;
    size_t before = w->gathering->n;
    while (p < end) {
        struct frame f;
        size_t size = 0;
        if (frame_parse_checked(p, (size_t)(end - p), FRAME_PAYLOAD_MAX, &f, &size) != FRAME_OK)
            break;
        if (source_take(s, &f) == NUMBER_APPLY)
            take_frame(w, m->node, &f);
        p += size;
    }
    if (w->gathering->n > before) {
        batch_keep(w->gathering, m);
        return;
    }
    s->credit += m->size; /* nothing of it was taken */
    mail_inbound_free(m);
}
