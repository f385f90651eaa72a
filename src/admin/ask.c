#include "admin/ask.h"
#include "core/clock.h"
#include "core/mem.h"
#include <inttypes.h>
#include <string.h>

#define TICK_MS        50
#define TIMEOUT_MAX_MS 1000000000ull /* dyn-admin's largest */

/* One command on its way. By node: asked and not back yet. */
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
} commands[] = {
    {"hints", "pause", ORDER_PAUSE, true, true},  {"hints", "resume", ORDER_RESUME, true, true},
    {"hints", "drain", ORDER_DRAIN, true, false}, {"hints", "truncate", ORDER_TRUNCATE, true, true},
    {"hints", "wait", ORDER_WAIT, false, true},   {"repaired", NULL, ORDER_REPAIRED, true, false},
};

/* ---- who is meant ------------------------------------------------------------------------------
 */

/* An id, a unique beginning of one, or an address; inside a read section. */
static bool find_peer(const struct topology *t, const char *word, unsigned *node, struct error *e)
{
    unsigned found = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct ring_node *n = &t->nodes[i];
        if (i == t->self)
            continue;
        if (strcmp(n->address, word) == 0 || (*word && strcmp(n->id, word) == 0)) {
            *node = i;
            return true;
        }
        if (*word && strncmp(n->id, word, strlen(word)) == 0) {
            *node = i;
            found++;
        }
    }
    if (found > 1)
        return error_set(e, "'%.100s' is the beginning of the ids of %u peers", word, found);
    return found == 1 || error_set(e, "there is no peer '%.100s'", word);
}

static bool choose(const struct ask *a, const char *word, bool *chosen, struct error *e)
{
    unsigned node = 0;
    if (!word || strcmp(word, "all") == 0) {
        for (unsigned i = 0; i < a->sources->peers->n; i++)
            chosen[i] = a->sources->peers->at[i] != NULL;
        return true;
    }
    rcu_read_begin();
    bool ok = find_peer(RCU_GET(*a->sources->topology), word, &node, e);
    rcu_read_end();
    chosen[node] = ok;
    return ok;
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

/* ---- the answer --------------------------------------------------------------------------------
 */

static void free_asked(struct asked *q)
{
    json_decref(q->peers);
    buf_fini(&q->refused);
    mem_free(q);
}

static void close_asked(struct ask *a, uint64_t ticket)
{
    struct asked *q = slots_get(&a->open, ticket);
    slots_drop(&a->open, ticket);
    if (--a->n == 0)
        uv_timer_stop(&a->timer);
    json_t *o = NULL;
    if (q->refused.len == 0) {
        o = json_object();
        if (q->order == ORDER_TRUNCATE)
            json_object_set(o, "peers", q->peers);
    }
    buf_add(&q->refused, "", 1);
    a->done(a->arg, q->session, o, (const char *)buf_head(&q->refused));
    free_asked(q);
}

/* "ADDRESS: reason; ADDRESS: reason" */
static void refuse(struct ask *a, struct asked *q, unsigned node, const char *reason)
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*a->sources->topology);
    buf_printf(&q->refused, "%s%s: %s", q->refused.len ? "; " : "", t->nodes[node].address, reason);
    rcu_read_end();
}

static void add_truncated(struct ask *a, struct asked *q, const struct mail_order *m)
{
    rcu_read_begin();
    const struct ring_node *n = &RCU_GET(*a->sources->topology)->nodes[m->node];
    json_array_append_new(q->peers, json_pack("{s:s, s:s, s:I, s:I}", "id", n->id, "address",
                                              n->address, "truncated", (json_int_t)m->records,
                                              "bytes", (json_int_t)m->bytes));
    rcu_read_end();
}

void ask_take(struct ask *a, struct mail_order *m)
{
    struct asked *q = slots_get(&a->open, m->ticket);
    if (q && q->open[m->node]) {
        q->open[m->node] = false;
        q->nopen--;
        if (!m->done)
            refuse(a, q, m->node, m->reason);
        else
            add_truncated(a, q, m);
        if (q->nopen == 0)
            close_asked(a, m->ticket);
    }
    mem_free(m);
}

/* The time is up: those that are behind are named. */
static void give_up(struct ask *a, struct asked *q, uint64_t ticket)
{
    for (unsigned i = 0; i < a->sources->peers->n; i++) {
        char reason[100] = "it isn't done yet";
        if (!q->open[i])
            continue;
        if (q->order == ORDER_WAIT)
            snprintf(reason, sizeof reason, "%" PRIu64 " hints aren't delivered yet",
                     peer_hints(a->sources->peers->at[i]).pending);
        refuse(a, q, i, reason);
    }
    close_asked(a, ticket);
}

static void on_tick(uv_timer_t *t)
{
    struct ask *a = t->data;
    uint64_t now = clock_mono_ms();
    uint32_t at = 0;
    for (struct asked *q; (q = slots_next(&a->open, &at));)
        if (q->until_ms <= now || q->nopen == 0) /* without peers nobody answers */
            give_up(a, q, q->ticket);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void send_orders(struct ask *a, struct asked *q, const bool *chosen)
{
    unsigned n = a->sources->peers->n;
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
        actor_send(a->sources->peers->at[i]->sender, &m->msg);
    }
}

bool ask_begin(struct ask *a, const struct ask_request *r, struct error *e)
{
    const char *peer = NULL;
    const struct command *c = find_command(r, &peer, e);
    if (!c)
        return false;
    unsigned n = a->sources->peers->n;
    struct asked *q = mem_calloc(1, sizeof *q + n * sizeof q->open[0]);
    bool *chosen = mem_calloc(n, sizeof *chosen);
    bool ok = choose(a, peer, chosen, e);
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
