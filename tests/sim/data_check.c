/* What must be true at the end. */
#include "core/mem.h"
#include "data_world.h"
#include "hint/log.h"
#include "peer/peer.h"
#include <stdio.h>
#include <string.h>

/* ---- quiet -------------------------------------------------------------------------------------
 */

static bool is_empty(const struct peer *p)
{
    return !p || hint_log_appended(p->log).records == hint_log_acked(p->log).records;
}

static bool unrest(char text[200], unsigned node, const char *what, const struct peer *p)
{
    struct hint_position at = {0}, acked = {0};
    if (p) {
        at = hint_log_appended(p->log);
        acked = hint_log_acked(p->log);
    }
    snprintf(text, 200,
             "node %u: %s (peer %u, %s, appended %llx, %llu records; acknowledged %llx, %llu)",
             node, what, p ? p->node : 0, p ? node_state_name(peer_state(p)) : "",
             (unsigned long long)at.seq, (unsigned long long)at.records,
             (unsigned long long)acked.seq, (unsigned long long)acked.records);
    return true;
}

static bool has_unrest(unsigned node, char text[200])
{
    const struct node *n = &world.nodes[node];
    if (!n->server)
        return unrest(text, node, "it doesn't run", NULL);
    if (*n->own_state != NODE_NORMAL)
        return unrest(text, node, "it isn't NORMAL", NULL);
    const struct topology *t = *n->topology;
    unsigned members = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct peer *p = n->peers->at[i];
        members += t->nodes[i].role == RING_MEMBER;
        if (!is_empty(p))
            return unrest(text, node, "it holds writes for a peer", p);
        if (p && peer_state(p) != NODE_NORMAL && t->nodes[i].role != RING_GONE)
            return unrest(text, node, "a peer isn't NORMAL to it", p);
    }
    if (members != world.n)
        return unrest(text, node, "somebody isn't in its ring", NULL);
    if (!is_empty(n->peers->own))
        return unrest(text, node, "its own log isn't empty", n->peers->own);
    return false;
}

bool check_is_quiet(char what[200])
{
    if (!clients_idle()) {
        snprintf(what, 200, "a client waits for its answer");
        return false;
    }
    for (unsigned i = 0; i < world.n; i++)
        if (has_unrest(i, what))
            return false;
    return true;
}

/* ---- what a key should be ----------------------------------------------------------------------
 */

static bool is_answered_write(const struct op *op, unsigned key)
{
    return op->key == key && op->what != OP_GET && op->told == TOLD_OK;
}

static bool later(const struct op *a, const struct op *b)
{
    return a->stamp != b->stamp ? a->stamp > b->stamp : a->tag > b->tag;
}

/* False: an answered write was never seen by a store. */
static bool expect_set(unsigned key, struct buf *out)
{
    const struct op *last = NULL;
    for (unsigned i = 0; i < world.nops; i++) {
        const struct op *op = &world.ops[i];
        if (!is_answered_write(op, key))
            continue;
        if (!op->stamp) {
            world_wrong("op %u: k%u: the write was answered, and no store has seen it", i, key);
            return false;
        }
        if (!last || later(op, last))
            last = op;
    }
    if (last && last->what == OP_SET)
        buf_printf(out, "v%u", (unsigned)(last - world.ops));
    return true;
}

static void expect_counter(unsigned key, struct buf *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < world.nops; i++)
        n += is_answered_write(&world.ops[i], key);
    if (n)
        buf_printf(out, "%u", n);
}

static void expect_list(unsigned key, struct buf *out)
{
    for (unsigned i = 0; i < world.nops; i++)
        if (is_answered_write(&world.ops[i], key))
            buf_printf(out, "%u,", i);
}

static void increment(struct buf *value)
{
    int64_t v = 0;
    if (value->len && !slice_to_i64(buf_slice(value), &v))
        return;
    buf_reset(value, SIZE_MAX);
    buf_printf(value, "%lld", (long long)v + 1);
}

static void expect_mixed(unsigned key, struct buf *out)
{
    for (unsigned i = 0; i < world.nops; i++) {
        if (!is_answered_write(&world.ops[i], key))
            continue;
        if (world.ops[i].what == OP_INCR)
            increment(out);
        if (world.ops[i].what == OP_SET || world.ops[i].what == OP_DEL)
            buf_reset(out, SIZE_MAX);
        if (world.ops[i].what == OP_SET || world.ops[i].what == OP_APPEND)
            buf_printf(out, "%u", i % 9 + 1);
    }
}

/* What was put in and not taken out. */
static void expect_pool(unsigned key, struct buf *out)
{
    for (unsigned i = 0; i < world.nops; i++) {
        if (!is_answered_write(&world.ops[i], key) || world.ops[i].what != OP_SADD)
            continue;
        unsigned popped = 0;
        for (unsigned k = i; k < world.nops; k++)
            popped += is_answered_write(&world.ops[k], key) && world.ops[k].popped == i + 1;
        if (popped > 1)
            world_wrong("k%u: %u was taken %u times", key, i, popped);
        if (!popped)
            buf_printf(out, "%u,", i);
    }
}

static void expect_script(unsigned key, struct buf *out)
{
    for (unsigned i = 0; i < world.nops; i++)
        if (is_answered_write(&world.ops[i], key))
            buf_printf(out, "%u%c,", i, world.ops[i].letter);
}

/* ---- every key on every replica ----------------------------------------------------------------
 */

static const char *const kinds[] = {"SET", "COUNTER", "LIST", "MIXED", "POOL", "SCRIPT"};

static void check_copy(unsigned key, unsigned node, struct slice want)
{
    const struct data_cell *c = data_store_cell(node, key);
    struct slice have = slice_of(c->value ? c->value : "", c->exists ? c->len : 0);
    if (!slice_eq(want, have))
        world_wrong("k%u (%s) on node %u: '%.*s'; should be '%.*s'", key,
                    kinds[world.keys[key].kind], node, (int)have.len, (const char *)have.ptr,
                    (int)want.len, (const char *)want.ptr);
}

/* By several nodes, each of which may lack what the other did; or not by that of its connection,
 * whose other writes to the key may overtake them. Then it isn't sure what comes out. */
static bool is_sure(const struct key *k)
{
    unsigned own = world.sessions[k->session].node;
    if (k->kind == KEY_SCRIPT)
        return world_bits(k->ran) <= 1;
    return k->kind != KEY_POOL || !(k->ran & ~(1u << own));
}

/* Whatever a script has done, and whatever its client was told: it is the same everywhere, and what
 * was answered is in it, in order. */
static void check_script(unsigned key)
{
    const struct key *k = &world.keys[key];
    struct slice want = slice_of(NULL, 0);
    for (unsigned i = 0; i < k->replicas; i++) {
        const struct data_cell *c = data_store_cell(k->copies[i], key);
        if (world.nodes[k->copies[i]].replaced)
            continue;
        if (!want.ptr)
            want = slice_of(c->exists && c->len ? c->value : "", c->exists ? c->len : 0);
        check_copy(key, k->copies[i], want);
    }
    size_t at = 0;
    for (unsigned i = 0; i < world.nops && is_sure(k) && want.ptr; i++) {
        char piece[16];
        if (!is_answered_write(&world.ops[i], key))
            continue;
        int n = snprintf(piece, sizeof piece, "%u%c,", i, world.ops[i].letter);
        const uint8_t *found = memmem(want.ptr + at, want.len - at, piece, (size_t)n);
        if (!found) {
            world_wrong("k%u: '%.*s' lacks '%s', which was answered", key, (int)want.len,
                        (const char *)want.ptr, piece);
            return;
        }
        at = (size_t)(found - want.ptr) + (size_t)n;
    }
}

static void check_key(unsigned key)
{
    const struct key *k = &world.keys[key];
    struct buf want = BUF_INIT;
    bool known = true;
    if (!is_sure(k))
        return;
    if (k->kind == KEY_SET)
        known = expect_set(key, &want);
    else if (k->kind == KEY_COUNTER)
        expect_counter(key, &want);
    else if (k->kind == KEY_LIST)
        expect_list(key, &want);
    else if (k->kind == KEY_POOL)
        expect_pool(key, &want);
    else if (k->kind == KEY_SCRIPT)
        expect_script(key, &want);
    else
        expect_mixed(key, &want);
    for (unsigned i = 0; known && i < k->replicas; i++)
        if (!world.nodes[k->copies[i]].replaced)
            check_copy(key, k->copies[i], buf_slice(&want));
    buf_fini(&want);
}

/* Without a cap, a power cut or a lost node nothing goes that anybody should have got; and where a
 * log has refused something, the peer is marked. */
static void check_mark(unsigned node, unsigned peer)
{
    const struct peer *p = damage_peer_of(node, peer);
    if (p && world.clean && peer_needs_repair(p))
        world_wrong("node %u says that node %u needs repair: %s", node, peer, p->repair->reason);
    if (p && damage_was_refused(node, peer) && !peer_needs_repair(p))
        world_wrong("node %u refused a write for node %u, and doesn't say that it needs repair",
                    node, peer);
}

static bool is_copy(const struct key *k, unsigned node)
{
    for (unsigned i = 0; i < k->replicas; i++)
        if (k->copies[i] == node)
            return true;
    return false;
}

/* Hints for `peer` have expired, or lay in memory only since the disk was full, and a kill took
 * them: what `node` wrote and it should have may be missing there. Only where it is marked. */
static void leave_out_marked(unsigned node, unsigned peer)
{
    const struct peer *p = damage_peer_of(node, peer);
    if (!p || !peer_needs_repair(p))
        return;
    for (unsigned i = 0; i < world.nops; i++) {
        struct key *k = &world.keys[world.ops[i].key];
        if (world.ops[i].node == node && world.ops[i].what != OP_GET && is_copy(k, peer))
            k->repair = true;
    }
    for (unsigned i = 0; i < world.nkeys; i++) /* and what it ran for others */
        if (world.keys[i].ran >> node & 1 && is_copy(&world.keys[i], peer))
            world.keys[i].repair = true;
}

static void each_pair(void (*fn)(unsigned node, unsigned peer))
{
    for (unsigned node = 0; node < world.n; node++)
        for (unsigned peer = 0; peer < world.n; peer++)
            fn(node, peer);
}

void check_end(void)
{
    each_pair(check_mark);
    if (world.lapse || world.caps)
        each_pair(leave_out_marked);
    for (unsigned i = 0; i < world.nkeys; i++) {
        const struct key *k = &world.keys[i];
        world.r->left_out += k->unknown;
        world.r->repair += k->repair && !k->unknown;
        if (k->kind == KEY_SCRIPT && world.clean && !k->repair)
            check_script(i);
        if (k->unknown || k->repair)
            continue;
        world.r->checked++;
        check_key(i);
    }
}
