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

static unsigned choose_key(unsigned s, bool write)
{
    unsigned k;
    do
        k = (unsigned)draw(world.nkeys);
    while (write && !may_write(&world.keys[k], s));
    return k;
}

static void choose_write(struct op *op)
{
    switch (world.keys[op->key].kind) {
    case KEY_SET:
        op->what = OP_SET;
        break;
    case KEY_COUNTER:
        op->what = OP_INCR;
        break;
    case KEY_LIST:
        op->what = OP_APPEND;
        break;
    default: {
        unsigned dice = (unsigned)draw(8);
        op->what = dice < 2 ? OP_SET : dice < 5 ? OP_INCR : dice < 7 ? OP_APPEND : OP_DEL;
    }
    }
}

static bool later(uint64_t a, uint16_t atag, uint64_t b, uint16_t btag)
{
    return a != b ? a > b : atag > btag;
}

/* DESIGN.md section 8: what two majorities of real replicas have in common. */
static void note_what_a_read_must_have(struct op *op)
{
    const struct key *k = &world.keys[op->key];
    op->checked = world.read == CONSISTENCY_DC_QUORUM && world.write == CONSISTENCY_DC_QUORUM &&
                  !world.sloppy && world.reads_sure && !k->repair &&
                  (k->kind == KEY_SET || k->kind == KEY_LIST);
    for (unsigned i = 0; op->checked && i < world.nops; i++) {
        const struct op *w = &world.ops[i];
        if (w->key != op->key || w->told != TOLD_OK || w->what == OP_GET)
            continue;
        op->pieces += w->what == OP_APPEND;
        if (w->what == OP_SET && later(w->stamp, w->tag, op->must_have, op->must_tag)) {
            op->must_have = w->stamp;
            op->must_tag = w->tag;
        }
    }
}

/* Each value tells its op: a SET's v<op>, a piece <op>, ; in a MIXED key both are a digit. */
static void write_command(unsigned id, struct buf *out)
{
    const struct op *op = &world.ops[id];
    bool mixed = world.keys[op->key].kind == KEY_MIXED;
    char key[16], value[32];
    static const char *const names[] = {"GET", "SET", "INCR", "APPEND", "DEL"};
    snprintf(key, sizeof key, "k%u", op->key);
    if (mixed)
        snprintf(value, sizeof value, "%u", id % 9 + 1);
    else
        snprintf(value, sizeof value, op->what == OP_SET ? "v%u" : "%u,", id);
    struct slice argv[] = {slice_str(names[op->what]), slice_str(key), slice_str(value)};
    resp_add_command(out, argv, op->what == OP_SET || op->what == OP_APPEND ? 3 : 2);
}

static void ask(unsigned s)
{
    struct session *x = &world.sessions[s];
    unsigned id = world.nops++;
    struct op *op = &world.ops[id];
    struct buf out = BUF_INIT;
    bool write = draw(4) != 0;
    *op = (struct op){.node = x->node, .asked_at = world_now(), .order = id};
    op->key = choose_key(s, write);
    if (write)
        choose_write(op);
    else
        note_what_a_read_must_have(op);
    x->waiting[x->n++] = id;
    write_command(id, &out);
    world_say("op %u: s%u -> n%u %.*s", id, s, x->node, (int)out.len, (const char *)buf_head(&out));
    (void)net_write(world.net, x->stream, world.client, buf_head(&out), out.len);
    buf_fini(&out);
    x->patience = world_now() + 3ull * world.timeout_ms * NET_MS;
}

/* ---- what is answered --------------------------------------------------------------------------
 */

static bool has(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static void check_set(unsigned id, struct slice value)
{
    const struct op *op = &world.ops[id], *w = NULL;
    if (!op->must_have)
        return;
    if (value.len > 1 && value.ptr[0] == 'v') {
        unsigned by = 0;
        for (size_t i = 1; i < value.len; i++)
            by = by * 10 + (unsigned)(value.ptr[i] - '0');
        w = by < world.nops ? &world.ops[by] : NULL;
    }
    if (!w || later(op->must_have, op->must_tag, w->stamp, w->tag))
        world_wrong("op %u: a quorum read of k%u gave '%.*s', older than what was answered before",
                    id, op->key, (int)value.len, (const char *)value.ptr);
}

static void check_list(unsigned id, struct slice value)
{
    unsigned pieces = 0;
    for (size_t i = 0; i < value.len; i++)
        pieces += value.ptr[i] == ',';
    if (pieces < world.ops[id].pieces)
        world_wrong("op %u: a quorum read of k%u gave %u pieces, %u were answered before: '%.*s'",
                    id, world.ops[id].key, pieces, world.ops[id].pieces, (int)value.len,
                    (const char *)value.ptr);
}

static void look_at_read(unsigned id, struct slice reply)
{
    struct slice value;
    const struct op *op = &world.ops[id];
    const struct key *k = &world.keys[op->key];
    if (!op->checked || !world.reads_sure || k->repair || resp_reply_is_error(reply))
        return;
    world.r->quorum_reads++;
    if (!resp_reply_bulk(reply, &value))
        value = slice_of("", 0); /* there is none */
    if (k->kind == KEY_SET)
        check_set(id, value);
    else
        check_list(id, value);
}

static enum told meaning(struct slice reply)
{
    if (!resp_reply_is_error(reply))
        return TOLD_OK;
    /* what the command itself is at fault for had its effect: none, everywhere */
    if (has(reply, "not an integer") || has(reply, "overflow"))
        return TOLD_OK;
    bool nothing = has(reply, "nothing was written") || (has(reply, "-OOM ") && !world.external);
    return nothing ? TOLD_REFUSED : TOLD_UNKNOWN;
}

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
    if (world.ops[id].what == OP_GET)
        look_at_read(id, reply);
    settle(id, meaning(reply));
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
    if (s >= 0)
        give_up(&world.sessions[s]);
}

static void link_session(struct session *x)
{
    if (x->stream || !world.nodes[x->node].server)
        return;
    x->stream = net_open(world.net, world.client, x->node);
    x->patience = world_now() + 3ull * world.timeout_ms * NET_MS;
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
    if ((x->n || !x->linked) && x->stream && world_now() > x->patience) {
        net_close(world.net, x->stream, world.client);
        give_up(x);
    }
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
