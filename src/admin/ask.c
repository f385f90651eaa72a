#include "admin/ask.h"
#include "admin/view.h"
#include "core/clock.h"
#include "core/mem.h"
#include "peer/orphans.h"
#include <inttypes.h>
#include <string.h>

#define TICK_MS        50
#define LATE_MS        1000          /* less than dyn-admin's patience with a node */
#define TIMEOUT_MAX_MS 1000000000ull /* dyn-admin's largest */

/* One command on its way. By node, and behind them by orphan: asked and not back yet. */
struct asked {
    uint64_t session, ticket, until_ms;
    enum order order;
    json_t *peers;      /* what those say that are back */
    struct buf refused; /* the reasons of those that refused */
    unsigned nopen;
    bool open[];
};

static const struct command {
    const char *command, *word;
    enum order order;
    bool peer, all; /* a PEER stands behind it, which may be `all` */
    /* what it may be: bits. OWN: the own store; NODE: this node itself, and nobody else */
    enum { PEERS = 1, ORPHANS = 2, OWN = 4, NODE = 8 } whom;
} commands[] = {
    {"hints", "pause", ORDER_PAUSE, true, true, PEERS},
    {"hints", "resume", ORDER_RESUME, true, true, PEERS},
    {"hints", "drain", ORDER_DRAIN, true, false, PEERS},
    {"hints", "truncate", ORDER_TRUNCATE, true, true, PEERS | ORPHANS},
    {"hints", "handoff", ORDER_HANDOFF, true, false, ORPHANS},
    {"hints", "wait", ORDER_WAIT, false, true, PEERS | ORPHANS | OWN},
    {"repaired", NULL, ORDER_REPAIRED, true, false, PEERS | OWN},
    {"state", "standby", ORDER_STANDBY, false, false, NODE},
    {"state", "normal", ORDER_NORMAL, false, false, NODE},
    {"state", "leaving", ORDER_LEAVE, false, false, NODE},
};

/* ---- who is meant ------------------------------------------------------------------------------
 */

/* An id, a unique beginning of one, or an address; inside a read section. *found 0: there is none.
 */
static void find_peer(const struct topology *t, const char *word, bool self, unsigned *node,
                      unsigned *found)
{
    *found = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct ring_node *n = &t->nodes[i];
        if (n->role == RING_GONE || (i == t->self && !self))
            continue;
        if (strcmp(n->address, word) == 0 || (*word && strcmp(n->id, word) == 0)) {
            *node = i;
            *found = 1;
            return;
        }
        if (*word && strncmp(n->id, word, strlen(word)) == 0) {
            *node = i;
            ++*found;
        }
    }
}

static unsigned n_orphans(const struct ask *a)
{
    return a->sources->peers->orphans ? a->sources->peers->orphans->n : 0;
}

/* Nodes by their index, and behind all that there can be the orphans. */
static unsigned places(const struct ask *a)
{
    return RING_NODES_MAX + n_orphans(a);
}

/* A peer, or this node, whose store may have a log too; NULL: there is none. */
static const struct peer *peer_at(const struct ask *a, unsigned node)
{
    const struct peers *all = a->sources->peers;
    return node == all->self ? peers_own(all) : all->at[node];
}

static const struct orphan *orphan_at(const struct ask *a, unsigned index)
{
    return &a->sources->peers->orphans->at[index - RING_NODES_MAX];
}

static void choose_all(const struct ask *a, unsigned whom, bool *chosen)
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*a->sources->topology);
    for (unsigned i = 0; i < t->n; i++)
        chosen[i] = t->nodes[i].role != RING_GONE && peer_at(a, i) && (i != t->self || whom & OWN);
    rcu_read_end();
    for (unsigned i = RING_NODES_MAX; (whom & ORPHANS) && i < places(a); i++)
        chosen[i] = !orphan_is_gone(orphan_at(a, i));
}

/* Why there is nobody who is meant. */
static bool nobody(const struct ask *a, const char *word, unsigned peers, unsigned orphans,
                   struct error *e)
{
    unsigned node = 0, any;
    rcu_read_begin();
    find_peer(RCU_GET(*a->sources->topology), word, true, &node, &any);
    rcu_read_end();
    if (peers)
        return error_set(e, "peer '%.100s' is configured: it gets its hints itself", word);
    if (orphans)
        return error_set(e, "peer '%.100s' isn't configured: its hints are orphaned", word);
    if (any)
        return error_set(e, "'%.100s' is this node; allowed are its peers", word);
    return error_set(e, "there is no peer '%.100s'", word);
}

static bool choose_one(const struct ask *a, unsigned whom, const char *word, bool *chosen,
                       struct error *e)
{
    unsigned node = 0, peers, orphans = 0, both;
    const struct orphan *o = orphans_find(a->sources->peers->orphans, word, &orphans);
    rcu_read_begin();
    find_peer(RCU_GET(*a->sources->topology), word, whom & OWN && peers_own(a->sources->peers),
              &node, &peers);
    rcu_read_end();
    both = (whom & PEERS ? peers : 0) + (whom & ORPHANS ? orphans : 0);
    if (both > 1)
        return error_set(e, "'%.100s' may be any of %u peers: give more of the id", word, both);
    if (both == 0)
        return nobody(a, word, peers, orphans, e);
    if (whom & PEERS && peers)
        chosen[node] = true;
    else
        chosen[RING_NODES_MAX + (unsigned)(o - a->sources->peers->orphans->at)] = true;
    return true;
}

static bool choose(const struct ask *a, unsigned whom, const char *word, bool *chosen,
                   struct error *e)
{
    if (whom == NODE)
        return chosen[a->sources->peers->self] = true;
    if (word && strcmp(word, "all") != 0)
        return choose_one(a, whom, word, chosen, e);
    choose_all(a, whom, chosen);
    return true;
}

/* NULL: there is none of that shape. */
static const struct command *find_command(const struct ask_request *r, const char **peer,
                                          struct error *e)
{
    for (const struct command *c = commands; c < commands + ARRAY_LEN(commands); c++) {
        size_t words = c->word ? 1 : 0;
        if (strcmp(c->command, r->command) != 0 || r->n != words + c->peer ||
            (c->word && strcmp(c->word, r->word[0]) != 0))
            continue;
        *peer = c->peer ? r->word[words] : NULL;
        if (!*peer || c->all || strcmp(*peer, "all") != 0)
            return c;
        error_set(e, "%s: found all; allowed one peer", c->word ? c->word : c->command);
        return NULL;
    }
    error_set(e, "this node doesn't know the command");
    return NULL;
}

static bool is_of_node(enum order o)
{
    return o == ORDER_STANDBY || o == ORDER_NORMAL || o == ORDER_LEAVE;
}

/* ---- the answer --------------------------------------------------------------------------------
 */

static void free_asked(struct asked *q)
{
    json_decref(q->peers);
    buf_fini(&q->refused);
    mem_free(q);
}

/* What dyn-admin shows of what was done; most have nothing to say. */
static json_t *said(const struct ask *a, const struct asked *q)
{
    if (is_of_node(q->order))
        return view_state(a->sources);
    json_t *o = json_object();
    if (q->order == ORDER_TRUNCATE)
        json_object_set(o, "peers", q->peers);
    if (q->order == ORDER_HANDOFF)
        json_object_update(o, json_array_get(q->peers, 0));
    return o;
}

static void close_asked(struct ask *a, uint64_t ticket)
{
    struct asked *q = slots_get(&a->open, ticket);
    slots_drop(&a->open, ticket);
    if (--a->n == 0)
        uv_timer_stop(&a->timer);
    json_t *o = q->refused.len == 0 ? said(a, q) : NULL;
    buf_add(&q->refused, "", 1);
    a->done(a->arg, q->session, o, (const char *)buf_head(&q->refused));
    free_asked(q);
}

/* Inside a read section. */
static const struct ring_node *node_at(const struct ask *a, unsigned index)
{
    if (index >= RING_NODES_MAX)
        return &orphan_at(a, index)->node;
    return &RCU_GET(*a->sources->topology)->nodes[index];
}

/* "ADDRESS: reason; ADDRESS: reason" */
static void refuse(struct ask *a, struct asked *q, unsigned index, const char *reason)
{
    rcu_read_begin();
    buf_printf(&q->refused, "%s%s: %s", q->refused.len ? "; " : "", node_at(a, index)->address,
               reason);
    rcu_read_end();
}

static void add_truncated(struct ask *a, struct asked *q, const struct mail_order *m)
{
    rcu_read_begin();
    const struct ring_node *n = node_at(a, m->node);
    json_array_append_new(q->peers, json_pack("{s:s, s:s, s:I, s:I}", "id", n->id, "address",
                                              n->address, "truncated", (json_int_t)m->records,
                                              "bytes", (json_int_t)m->bytes));
    rcu_read_end();
}

static void add_handed(struct asked *q, const struct mail_order *m)
{
    json_array_append_new(q->peers,
                          json_pack("{s:I, s:I, s:I}", "handed", (json_int_t)m->records, "dropped",
                                    (json_int_t)m->dropped, "expired", (json_int_t)m->expired));
}

void ask_take(struct ask *a, struct mail_order *m)
{
    struct asked *q = slots_get(&a->open, m->ticket);
    if (q && q->open[m->node]) {
        q->open[m->node] = false;
        q->nopen--;
        if (!m->done)
            refuse(a, q, m->node, m->reason);
        else if (q->order == ORDER_HANDOFF)
            add_handed(q, m);
        else
            add_truncated(a, q, m);
        if (q->nopen == 0)
            close_asked(a, m->ticket);
    }
    mem_free(m);
}

static struct peer_hints hints_at(const struct ask *a, unsigned index)
{
    return index < RING_NODES_MAX ? peer_hints(peer_at(a, index))
                                  : orphan_hints(orphan_at(a, index));
}

/* The time is up: those that are behind are named. */
static void give_up(struct ask *a, struct asked *q, uint64_t ticket)
{
    for (unsigned i = 0; i < places(a); i++) {
        char reason[100] = "it isn't done yet";
        if (!q->open[i])
            continue;
        if (q->order == ORDER_WAIT)
            snprintf(reason, sizeof reason, "%" PRIu64 " hints aren't delivered yet%s",
                     hints_at(a, i).pending, i < RING_NODES_MAX ? "" : " (orphaned)");
        if (q->order == ORDER_HANDOFF)
            snprintf(reason, sizeof reason, "%" PRIu64 " hints aren't handed off yet; it goes on",
                     orphan_hints(orphan_at(a, i)).pending);
        refuse(a, q, i, reason);
    }
    close_asked(a, ticket);
}

/* Who leaves says itself what it still waits for when the time is up, some ms later. */
static uint64_t grace_ms(const struct asked *q)
{
    return q->order == ORDER_LEAVE ? LATE_MS : 0;
}

static void on_tick(uv_timer_t *t)
{
    struct ask *a = t->data;
    uint64_t now = clock_mono_ms();
    uint32_t at = 0;
    for (struct asked *q; (q = slots_next(&a->open, &at));)
        if (q->until_ms + grace_ms(q) <= now || q->nopen == 0) /* without peers nobody answers */
            give_up(a, q, q->ticket);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static struct actor *addressee(const struct ask *a, enum order order, unsigned index)
{
    const struct admin_sources *s = a->sources;
    if (is_of_node(order))
        return s->gossip ? s->gossip : s->writer;
    return index < RING_NODES_MAX ? peer_at(a, index)->sender : s->writer;
}

static void send_orders(struct ask *a, struct asked *q, const bool *chosen)
{
    unsigned n = places(a);
    for (unsigned i = 0; i < n; i++)
        q->nopen += q->open[i] = chosen[i];
    for (unsigned i = 0; i < n; i++) {
        if (!chosen[i])
            continue;
        struct mail_order *m = MEM_NEW(struct mail_order);
        m->msg.type = MAIL_ORDER;
        m->asker = a->actor;
        m->ticket = q->ticket;
        m->node = (uint16_t)i;
        m->order = q->order;
        m->until_ms = q->until_ms;
        actor_send(addressee(a, q->order, i), &m->msg);
    }
}

bool ask_begin(struct ask *a, const struct ask_request *r, struct error *e)
{
    const char *peer = NULL;
    const struct command *c = find_command(r, &peer, e);
    if (!c)
        return false;
    unsigned n = places(a);
    struct asked *q = mem_calloc(1, sizeof *q + n * sizeof q->open[0]);
    bool *chosen = mem_calloc(n, sizeof *chosen);
    bool ok = choose(a, c->whom, peer, chosen, e);
    q->peers = json_array();
    if (ok) {
        q->session = r->session;
        q->order = c->order;
        q->until_ms =
            clock_mono_ms() + (r->timeout_ms < TIMEOUT_MAX_MS ? r->timeout_ms : TIMEOUT_MAX_MS);
        q->ticket = slots_put(&a->open, q);
        if (a->n++ == 0)
            uv_timer_start(&a->timer, on_tick, TICK_MS, TICK_MS);
        send_orders(a, q, chosen);
    } else {
        free_asked(q);
    }
    mem_free(chosen);
    return ok;
}

void ask_start(struct ask *a, struct actor *actor, const struct admin_sources *s, ask_done *done,
               void *arg)
{
    *a = (struct ask){.actor = actor, .sources = s, .done = done, .arg = arg};
    uv_timer_init(&actor->loop, &a->timer);
    a->timer.data = a;
}

void ask_stop(struct ask *a)
{
    uv_close((uv_handle_t *)&a->timer, NULL);
}

void ask_fini(struct ask *a)
{
    uint32_t at = 0;
    for (struct asked *q; (q = slots_next(&a->open, &at));)
        free_asked(q);
    slots_fini(&a->open);
}
