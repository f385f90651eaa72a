/* The clients: each session is one connection to one node, with up to PIPELINE commands on their
 * way.
 */
#include "data_world.h"
#include "wire/resp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void plan_next(unsigned s);

static uint64_t draw(uint64_t n)
{
    return chance_below(&world.chance, n);
}

/* ---- what is asked -----------------------------------------------------------------------------
 */

static bool may_write(const struct key *k, unsigned s)
{
    return k->kind == KEY_SET || k->kind == KEY_COUNTER || k->session == s;
}

/* Often what it has just written is read. */
static unsigned choose_key(unsigned s, bool write)
{
    const struct session *x = &world.sessions[s];
    unsigned k;
    if (!write && x->n && chance_of(&world.chance, 0.5))
        return world.ops[x->waiting[x->n - 1]].key;
    do
        k = (unsigned)draw(world.nkeys);
    while (write && !may_write(&world.keys[k], s));
    return k;
}

static void choose_write(struct op *op)
{
    switch (world.keys[op->key].kind) {
    case KEY_SET:
        op->what = draw(6) ? OP_SET : OP_DEL;
        break;
    case KEY_COUNTER:
        op->what = OP_INCR;
        break;
    case KEY_LIST:
        op->what = OP_APPEND;
        break;
    case KEY_POOL:
        op->what = draw(3) ? OP_SADD : OP_SPOP;
        break;
    case KEY_SCRIPT:
        op->what = OP_EVAL;
        break;
    default: {
        unsigned dice = (unsigned)draw(8);
        op->what = dice < 2 ? OP_SET : dice < 5 ? OP_INCR : dice < 7 ? OP_APPEND : OP_DEL;
    }
    }
}

/* A delete has no value: its name tells which one it is, by its letters' case (world_delete_of). */
static void name_delete(unsigned id, char name[8])
{
    snprintf(name, 8, "UNLINK");
    for (unsigned i = 0; i < 6; i++)
        if (id >> i & 1)
            name[i] = (char)(name[i] | 0x20);
}

/* Each value tells its op: a SET's v<op>, a piece <op>, ; a script adds the comma, a member has
 * none; in a MIXED key both are a digit. */
static void write_command(unsigned id, struct buf *out)
{
    const struct op *op = &world.ops[id];
    static const char *const names[] = {"GET", "SET", "INCR", "APPEND", "DEL", "SADD", "SPOP"};
    bool number = op->what == OP_SADD || op->what == OP_EVAL;
    char key[16], value[32], delete[8];
    snprintf(key, sizeof key, "k%u", op->key);
    name_delete(id, delete);
    if (world.keys[op->key].kind == KEY_MIXED)
        snprintf(value, sizeof value, "%u", id % 9 + 1);
    else
        snprintf(value, sizeof value, op->what == OP_SET ? "v%u" : number ? "%u" : "%u,", id);
    if (op->what == OP_EVAL) {
        struct slice eval[] = {slice_str("EVAL"), slice_str("any"), slice_str("1"), slice_str(key),
                               slice_str(value)};
        resp_add_command(out, eval, ARRAY_LEN(eval));
        return;
    }
    bool has_value = op->what == OP_SET || op->what == OP_APPEND || op->what == OP_SADD;
    const char *name = op->what == OP_DEL ? delete : names[op->what];
    struct slice argv[] = {slice_str(name), slice_str(key), slice_str(value)};
    resp_add_command(out, argv, has_value ? 3 : 2);
}

static void ask(unsigned s)
{
    struct session *x = &world.sessions[s];
    unsigned id = world.nops++;
    struct op *op = &world.ops[id];
    struct buf out = BUF_INIT;
    bool write = draw(4) != 0 && (!world.reading || draw(3) == 0);
    *op = (struct op){.node = x->node,
                      .session = s,
                      .asked_at = world_now(),
                      .paused = world_paused(x->node),
                      .order = id};
    op->key = choose_key(s, write);
    if (write)
        choose_write(op);
    told_ask(id);
    x->waiting[x->n++] = id;
    write_command(id, &out);
    world_say("op %u: s%u -> n%u %.*s", id, s, x->node, (int)out.len, (const char *)buf_head(&out));
    (void)net_write(world.net, x->stream, world.client, buf_head(&out), out.len);
    buf_fini(&out);
}

/* ---- what is answered --------------------------------------------------------------------------
 */

static void settle(unsigned id, enum told told)
{
    struct op *op = &world.ops[id];
    op->told = told;
    op->told_at = world_now();
    if (op->what == OP_GET)
        return;
    world.r->answered += told == TOLD_OK;
    world.r->refused += told == TOLD_REFUSED;
    world.r->unanswered += told == TOLD_UNKNOWN;
    world.keys[op->key].unknown |= told == TOLD_UNKNOWN;
    if (told == TOLD_REFUSED && op->stamp)
        world_wrong("op %u: a store has it, and its client was told that nothing was written", id);
}

static void take_reply(struct session *x, struct slice reply)
{
    if (x->n == 0) {
        world_wrong("a reply that nobody asked for: %.*s", (int)reply.len, (const char *)reply.ptr);
        return;
    }
    unsigned id = x->waiting[0];
    memmove(x->waiting, x->waiting + 1, --x->n * sizeof x->waiting[0]);
    world_say("op %u: %.*s", id, (int)reply.len, (const char *)reply.ptr);
    settle(id, told_meaning(reply));
    told_reply(id, reply, x->turn_at);
    x->turn_at = world_now();
}

/* Nobody hears any more what became of these. */
static void give_up(struct session *x)
{
    for (unsigned i = 0; i < x->n; i++) {
        world_say("op %u: lost", x->waiting[i]);
        settle(x->waiting[i], TOLD_UNKNOWN);
    }
    x->n = 0;
    x->linked = false;
    x->stream = 0;
    buf_fini(&x->in);
}

/* ---- the connection ----------------------------------------------------------------------------
 */

static int session_of(uint32_t stream)
{
    for (unsigned i = 0; i < world.nsessions; i++)
        if (world.sessions[i].stream == stream)
            return (int)i;
    return -1;
}

static void read_replies(struct session *x)
{
    struct resp_scanner scanner = {.pos = 0};
    struct error e;
    size_t size = 0;
    while (x->in.len &&
           resp_reply_scan(&scanner, buf_head(&x->in), x->in.len, &size, &e) == RESP_OK) {
        take_reply(x, slice_of(buf_head(&x->in), size));
        buf_eat(&x->in, size);
        scanner = (struct resp_scanner){.pos = 0};
    }
}

static void on_record(void *arg, unsigned node, uint32_t stream, const void *bytes, size_t size)
{
    int s = session_of(stream);
    (void)arg, (void)node;
    if (s < 0)
        return;
    struct session *x = &world.sessions[s];
    if (!x->linked) { /* the first byte says that the connection stands */
        x->linked = true;
        bytes = (const char *)bytes + 1;
        size--;
    }
    buf_add(&x->in, bytes, size);
    read_replies(x);
}

static void on_closed(void *arg, unsigned node, uint32_t stream)
{
    int s = session_of(stream);
    (void)arg, (void)node;
    if (s < 0)
        return;
    struct session *x = &world.sessions[s];
    const struct node *n = &world.nodes[x->node];
    if (x->n && n->server && n->life == x->life)
        world_wrong("node %u closes a connection with %u requests on it", x->node, x->n);
    give_up(x);
}

static void link_session(struct session *x)
{
    if (x->stream || !world.nodes[x->node].server)
        return;
    x->stream = net_open(world.net, world.client, x->node);
    x->life = world.nodes[x->node].life;
    x->turn_at = world_now();
}

void clients_link(unsigned node)
{
    for (unsigned i = 0; i < world.nsessions; i++)
        if (world.sessions[i].node == node)
            link_session(&world.sessions[i]);
}

static void on_next(void *arg, uint64_t s)
{
    struct session *x = &world.sessions[s];
    (void)arg;
    if (x->n && world.nodes[x->node].server && told_is_overdue(x->waiting[0], x->turn_at))
        world_wrong("op %u: no answer since %.3f s", x->waiting[0],
                    (double)world.ops[x->waiting[0]].asked_at / 1e6);
    link_session(x);
    bool more = !world.over && world.nops < world.max_ops;
    if (more && x->linked && x->n < PIPELINE)
        ask((unsigned)s);
    plan_next((unsigned)s);
}

static void plan_next(unsigned s)
{
    uint64_t wait = world.over ? 500 * NET_MS : chance_range(&world.chance, 1, world.think_us);
    if (!world.over && chance_of(&world.chance, 0.3))
        wait = 10;
    net_at(world.net, world_now() + wait, on_next, NULL, s);
}

struct net_handlers clients_handlers(void)
{
    return (struct net_handlers){.record = on_record, .closed = on_closed};
}

bool clients_idle(void)
{
    for (unsigned i = 0; i < world.nsessions; i++)
        if (world.sessions[i].n)
            return false;
    return true;
}

void clients_begin(void)
{
    for (unsigned i = 0; i < world.nsessions; i++)
        plan_next(i);
}

void clients_end(void)
{
    for (unsigned i = 0; i < world.nsessions; i++)
        buf_fini(&world.sessions[i].in);
}
