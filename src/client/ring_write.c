/* FLUSHALL, FLUSHDB, SCRIPT and FUNCTION. What they change is one write for every node of the ring,
 * with one stamp, through the logs as any other: who is down gets it as a hint. */
#include "client/ring.h"
#include "core/mem.h"
#include "ring/tellers.h"
#include "store/redis_reply.h"
#include <stdio.h>
#include <string.h>

/* ---- a write for all ---------------------------------------------------------------------------
 */

static void on_written(void *arg, const struct request_result *r)
{
    struct call *call = arg;
    if (call->client)
        recent_note_all(&call->client->recent, call->client->all->requests);
    ring_reply(call, r->reply);
}

/* Its earlier calls come first; and a node that was alone settles first. */
static bool must_wait(struct client *c)
{
    if (c->first_call)
        return true;
    if (!requests_settling(c->all->requests))
        return false;
    c->lagging = c->all->later = true;
    return true;
}

static bool write_to_all(struct client *c, const struct command_spec *spec)
{
    struct requests *rs = c->all->requests;
    struct mail_write *m = requests_new_mail(rs);
    resp_add_command(&m->command, c->cmd.argv, c->cmd.argc);
    struct call *call = ring_call(c, spec);
    call_is_write(call, c->cmd.size);
    const struct operation op = {.spec = spec,
                                 .cmd = &c->cmd,
                                 .level = CONFIG_LIVE(c->all->config, write_consistency),
                                 .done = on_written,
                                 .arg = call};
    request_write_ring(rs, &op, m, tellers_ref(ring_tellers(c->all)));
    return true;
}

static bool fail(struct client *c, const struct command_spec *spec, const char *text)
{
    ring_reply_error(ring_call(c, spec), text);
    return true;
}

/* ---- FLUSHALL FLUSHDB --------------------------------------------------------------------------
 */

bool ring_flush(struct client *c, const struct command_spec *spec)
{
    char text[120];
    const struct resp_command *cmd = &c->cmd;
    if (must_wait(c))
        return false;
    snprintf(text, sizeof text,
             "ERR %s isn't allowed; allow_flush: true in the configuration allows it", spec->name);
    if (!CONFIG_LIVE(c->all->config, allow_flush))
        return fail(c, spec, text);
    bool known =
        cmd->argc == 1 ||
        (cmd->argc == 2 && (slice_is(cmd->argv[1], "ASYNC") || slice_is(cmd->argv[1], "SYNC")));
    return known ? write_to_all(c, spec) : fail(c, spec, "ERR syntax error");
}

/* ---- SCRIPT FUNCTION ---------------------------------------------------------------------------
 */

static void on_told(void *arg, const struct request_result *r)
{
    ring_reply(arg, r->reply);
}

static bool ask_one(struct client *c, const struct command_spec *spec)
{
    struct requests *rs = c->all->requests;
    const struct tellers *t = ring_tellers(c->all);
    unsigned node = rs->peers->self;
    for (unsigned i = 0; i < tellers_steps(t) && !ring_can_ask(rs, node, true); i++)
        node = tellers_node(t, i); /* if nobody can be asked the last one's error is told */
    const struct operation op = {
        .spec = spec, .cmd = &c->cmd, .prefer = -1, .done = on_told, .arg = ring_call(c, spec)};
    request_read_at(rs, &op, node);
    return true;
}

/* What each node says of the same scripts: known is what all of them know. */
struct poll {
    struct call *call;
    size_t left, answers;
    struct buf failure;
    size_t n;
    bool missing[];
};

static void take_known(struct poll *p, struct slice reply)
{
    struct redis_array a;
    struct slice element;
    int64_t known;
    if (!redis_array_open(reply, &a) || a.left != p->n) {
        buf_reset(&p->failure, 0);
        buf_add(&p->failure, reply.ptr, reply.len);
        return;
    }
    p->answers++;
    for (size_t i = 0; redis_array_next(&a, &element); i++)
        p->missing[i] |= !resp_reply_int(element, &known) || !known;
}

static void end_poll(struct poll *p)
{
    struct buf b = BUF_INIT;
    resp_add_array(&b, p->n);
    for (size_t i = 0; i < p->n; i++)
        resp_add_int(&b, !p->missing[i]);
    ring_reply(p->call, buf_slice(p->answers ? &b : &p->failure));
    buf_fini(&b);
    buf_fini(&p->failure);
    mem_free(p);
}

static void on_known(void *arg, const struct request_result *r)
{
    struct poll *p = arg;
    take_known(p, r->reply);
    if (--p->left == 0)
        end_poll(p);
}

/* Nodes of this datacenter, where scripts run. */
static size_t whom_to_ask(const struct requests *rs, uint16_t out[RING_NODES_MAX])
{
    size_t n = 0;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    for (unsigned i = 0; i < t->n; i++)
        if (t->nodes[i].role == RING_MEMBER && topology_datacenter(t, i) == 0 &&
            ring_can_ask(rs, i, true))
            out[n++] = (uint16_t)i;
    rcu_read_end();
    return n;
}

static bool ask_each(struct client *c, const struct command_spec *spec)
{
    uint16_t nodes[RING_NODES_MAX];
    struct requests *rs = c->all->requests;
    size_t n = whom_to_ask(rs, nodes), scripts = c->cmd.argc - 2;
    if (n == 0)
        return ask_one(c, spec); /* whose error is told */
    struct poll *p = mem_calloc(1, sizeof *p + scripts * sizeof p->missing[0]);
    *p = (struct poll){.call = ring_call(c, spec), .left = n, .n = scripts};
    const struct operation op = {
        .spec = spec, .cmd = &c->cmd, .prefer = -1, .done = on_known, .arg = p};
    for (size_t i = 0; i < n; i++)
        request_read_at(rs, &op, nodes[i]);
    return true;
}

/* A node that is alone hands it to its Redis as it came. */
static bool pass_on(struct client *c, const struct command_spec *spec, bool write)
{
    struct call *call = ring_call(c, spec);
    if (write)
        call_is_write(call, c->cmd.size);
    const struct operation op = {
        .spec = spec, .cmd = &c->cmd, .prefer = -1, .done = on_told, .arg = call};
    if (write)
        request_write_direct(c->all->requests, &op);
    else
        request_read_at(c->all->requests, &op, c->all->requests->peers->self);
    return true;
}

bool ring_library(struct client *c, const struct command_spec *spec)
{
    bool write = command_class_of(spec, &c->cmd) == COMMAND_CHANGE;
    if (must_wait(c))
        return false;
    if (requests_direct(c->all->requests))
        return pass_on(c, spec, write);
    if (write)
        return write_to_all(c, spec);
    return slice_is(c->cmd.argv[1], "EXISTS") ? ask_each(c, spec) : ask_one(c, spec);
}

/* ---- which of them ------------------------------------------------------------------------------
 */

static bool ask_own_store(struct client *c, const struct command_spec *spec)
{
    if (c->first_call)
        return false;
    return pass_on(c, spec, false);
}

bool ring_command(struct client *c, const struct command_spec *spec)
{
    if (spec->class_ == COMMAND_OVERWRITE)
        return ring_flush(c, spec);
    if (spec->class_ != COMMAND_LOCAL)
        return ring_library(c, spec);
    /* alone, SCAN and DBSIZE are the store's own; KEYS and RANDOMKEY may meet what is ours */
    bool plain = strcmp(spec->name, "SCAN") == 0 || strcmp(spec->name, "DBSIZE") == 0;
    return plain && requests_direct(c->all->requests) ? ask_own_store(c, spec) : ring_walk(c, spec);
}
