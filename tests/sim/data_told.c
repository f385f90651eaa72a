/* What a client may be told, and when: each answer is held against what the stores have at that
 * moment and against what was answered before it (DESIGN.md, section 8). */
#include "data_world.h"
#include "wire/resp.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What an answer may take beyond `timeout`: the worker's tick, ways and hops. */
#define LATE_US 60000

static bool has(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

enum told told_meaning(struct slice reply)
{
    if (!resp_reply_is_error(reply))
        return TOLD_OK;
    /* what the command itself is at fault for had its effect: none, everywhere */
    if (has(reply, "not an integer") || has(reply, "overflow"))
        return TOLD_OK;
    bool nothing = has(reply, "nothing was written") || (has(reply, "-OOM ") && !world.external);
    return nothing ? TOLD_REFUSED : TOLD_UNKNOWN;
}

static unsigned dc_of(const struct op *op)
{
    return world.nodes[op->node].dc;
}

/* ---- which datacenters a level speaks of --------------------------------------------------------
 */

/* The weakest that it may have had: each promises what those before it do. */
static enum consistency level_of(const struct op *op)
{
    return (enum consistency)__builtin_ctz(op->levels);
}

/* Those in which a majority of the key's replicas is asked, or has it; bits. */
static unsigned majorities(const struct op *op)
{
    bool write = op->what != OP_GET;
    enum consistency level = level_of(op);
    if (level == CONSISTENCY_DC_EACH_SAFE_QUORUM)
        return (1u << world.dcs) - 1;
    if (level == CONSISTENCY_DC_ONE || (write && level == CONSISTENCY_DC_QUORUM && world.sloppy))
        return 0;
    return 1u << dc_of(op);
}

/* ---- a write is answered ------------------------------------------------------------------------
 */

static unsigned applied_in(const struct op *op, unsigned dc)
{
    return world_bits(op->applied & world.keys[op->key].in_dc[dc]);
}

/* Real replicas, now. */
static void check_answered(unsigned id)
{
    const struct op *op = &world.ops[id];
    unsigned own = dc_of(op);
    bool hint = level_of(op) == CONSISTENCY_DC_ONE && world.sloppy; /* may be enough */
    world.ops[id].in_own = op->applied >> op->node & 1;
    if (!told_names_op(op) || world_somebody_joins())
        return;
    for (unsigned dc = 0; dc < world.dcs; dc++) {
        unsigned need = majorities(op) >> dc & 1 ? world_majority(&world.keys[op->key], dc) : 0;
        if (dc == own && !need && !hint)
            need = 1;
        if (applied_in(op, dc) < need)
            world_wrong("op %u: answered at %s, and %u of %u needed replicas in dc%u have it", id,
                        consistency_name(level_of(op)), applied_in(op, dc), need, dc);
    }
    world.ops[id].majority = (uint8_t)majorities(op);
}

/* ---- what a read brings -------------------------------------------------------------------------
 */

static bool later(uint64_t a, uint16_t atag, uint64_t b, uint16_t btag)
{
    return a != b ? a > b : atag > btag;
}

static void must_bring(struct op *read, unsigned by)
{
    const struct op *w = &world.ops[by];
    if (w->what == OP_APPEND && by >= read->must_piece)
        read->must_piece = by + 1;
    if (w->what != OP_APPEND && later(w->stamp, w->tag, read->must_have, read->must_tag)) {
        read->must_have = w->stamp;
        read->must_tag = w->tag;
    }
}

/* Without stamps, as beside a Redis after changes, a quorum read brings what most gave, which may
 * be older; a safe one needs none but to tell between datacenters. */
static unsigned comparable(const struct op *read)
{
    if (!world.external || world.keys[read->key].kind == KEY_SET)
        return majorities(read);
    return level_of(read) >= CONSISTENCY_DC_SAFE_QUORUM ? 1u << dc_of(read) : 0;
}

/* What a majority for the read and one that has an earlier write have in common, in one
 * datacenter. */
static void note_answered(struct op *op)
{
    const struct key *k = &world.keys[op->key];
    unsigned dcs = comparable(op);
    op->checked = !world.replaced && !k->repair && (k->kind == KEY_SET || k->kind == KEY_LIST);
    for (unsigned i = 0; op->checked && &world.ops[i] != op; i++)
        if (world.ops[i].key == op->key && world.ops[i].majority & dcs)
            must_bring(op, i);
}

static void note_level(struct op *op)
{
    op->levels |= 1u << levels_of(op->node, op->key, op->what != OP_GET);
}

void told_ask(unsigned id)
{
    struct op *op = &world.ops[id];
    note_level(op);
    if (op->what == OP_GET)
        note_answered(op);
}

/* What was promised under another level isn't any more. */
void told_level(unsigned id)
{
    struct op *op = &world.ops[id];
    unsigned before = op->levels;
    note_level(op);
    if (op->levels == before)
        return;
    op->must_have = op->must_tag = 0;
    op->must_piece = 0;
}

/* It was answered by a replica, not by hints alone, as far as can be told. */
static bool has_replica(const struct op *w)
{
    return w->told == TOLD_OK && (level_of(w) != CONSISTENCY_DC_ONE || !world.sloppy || w->in_own);
}

/* A connection reads its own writes, those before it that were on their way when it was asked, too.
 * That a replica which has them can be asked is sure only before anything has failed; and one that
 * is silent for a while isn't waited for alone (client/dispatch, request_read). */
static void note_own(struct op *op)
{
    unsigned id = (unsigned)(op - world.ops);
    if (op->told_at - op->asked_at > world.timeout_ms * (uint64_t)NET_MS / 5)
        return;
    for (unsigned i = 0; op->checked && !world.r->faults && i < id; i++) {
        const struct op *w = &world.ops[i];
        if (w->key == op->key && w->session == op->session && has_replica(w) && told_names_op(w))
            must_bring(op, i);
    }
}

/* A decimal that ends before `end`; moves *p behind it. */
static unsigned number(const char **p, const char *end)
{
    unsigned n = 0;
    while (*p < end && **p >= '0' && **p <= '9')
        n = n * 10 + (unsigned)(*(*p)++ - '0');
    return n;
}

/* NULL: nobody wrote this, or who did was told that it is nowhere. */
static struct op *wrote(unsigned key, unsigned by)
{
    struct op *w = by < world.nops ? &world.ops[by] : NULL;
    return w && w->key == key && w->what != OP_GET && w->told != TOLD_REFUSED ? w : NULL;
}

/* Its datacenter's replies agreed: a majority has all that it brought. */
static void note_seen(const struct op *read, struct op *w)
{
    if (w && read->levels == 1u << CONSISTENCY_DC_SAFE_QUORUM && !world.replaced)
        w->majority |= (uint8_t)(1u << dc_of(read));
}

/* The newest delete of this key, which may be the reason that there is none. */
static const struct op *last_delete(unsigned key)
{
    const struct op *last = NULL;
    for (unsigned i = 0; i < world.nops; i++) {
        const struct op *w = &world.ops[i];
        if (w->key == key && w->what == OP_DEL && w->told != TOLD_REFUSED &&
            (!last || later(w->stamp, w->tag, last->stamp, last->tag)))
            last = w;
    }
    return last;
}

static void check_set(unsigned id, struct slice value)
{
    const struct op *op = &world.ops[id], *brought = last_delete(op->key);
    const char *p = (const char *)value.ptr + 1;
    if (value.len > 1) {
        struct op *w = wrote(op->key, number(&p, (const char *)value.ptr + value.len));
        if (!w || w->what != OP_SET)
            world_wrong("op %u: k%u is '%.*s', which nobody wrote", id, op->key, (int)value.len,
                        (const char *)value.ptr);
        note_seen(op, w);
        brought = w;
    }
    if (op->checked && op->must_have &&
        (!brought || later(op->must_have, op->must_tag, brought->stamp, brought->tag)))
        world_wrong("op %u: a read of k%u at %s gave '%.*s', older than what was answered before",
                    id, op->key, consistency_name(level_of(op)), (int)value.len,
                    (const char *)value.ptr);
}

/* Between two pieces, those before them: one that was answered. */
static bool has_hole(unsigned key, unsigned after, unsigned before)
{
    for (unsigned i = after; i < before && world.clean && !world.replaced; i++)
        if (world.ops[i].key == key && world.ops[i].what == OP_APPEND &&
            world.ops[i].told == TOLD_OK)
            return true;
    return false;
}

/* Pieces in the order in which they were written, each once, none left out. */
static void check_list(unsigned id, struct slice value)
{
    const struct op *op = &world.ops[id];
    const char *p = (const char *)value.ptr, *end = p + value.len;
    unsigned upto = 0; /* the last piece, plus one */
    for (; p < end; p++) {
        unsigned by = number(&p, end);
        struct op *w = wrote(op->key, by);
        note_seen(op, w);
        if (!w || by < upto || has_hole(op->key, upto, by))
            world_wrong("op %u: k%u is '%.*s': piece %u shouldn't be there, or not yet", id,
                        op->key, (int)value.len, (const char *)value.ptr, by);
        upto = by + 1;
    }
    if (op->checked && upto < op->must_piece)
        world_wrong("op %u: a read of k%u at %s gave '%.*s', without the piece %u that was answered"
                    " before",
                    id, op->key, consistency_name(level_of(op)), (int)value.len,
                    (const char *)value.ptr, op->must_piece - 1);
}

/* No more than were asked for. */
static void check_counter(unsigned id, struct slice value)
{
    const struct op *op = &world.ops[id];
    int64_t have = 0;
    unsigned most = 0;
    for (unsigned i = 0; i < world.nops; i++)
        most += world.ops[i].key == op->key && world.ops[i].what == OP_INCR &&
                world.ops[i].told != TOLD_REFUSED;
    if (value.len && (!slice_to_i64(value, &have) || have < 1 || have > (int64_t)most))
        world_wrong("op %u: k%u is '%.*s' after at most %u INCRs", id, op->key, (int)value.len,
                    (const char *)value.ptr, most);
}

static void check_read(unsigned id, struct slice reply)
{
    struct slice value;
    struct op *op = &world.ops[id];
    const struct key *k = &world.keys[op->key];
    op->checked &= !world.replaced && !k->repair;
    note_own(op);
    world.r->quorum_reads += op->checked && majorities(op);
    if (!resp_reply_bulk(reply, &value))
        value = slice_of("", 0); /* there is none */
    if (k->kind == KEY_SET)
        check_set(id, value);
    else if (k->kind == KEY_LIST)
        check_list(id, value);
    else if (k->kind == KEY_COUNTER)
        check_counter(id, value);
}

/* ---- what only the reply tells ------------------------------------------------------------------
 */

static void note_popped(unsigned id, struct slice reply)
{
    struct slice value;
    struct op *op = &world.ops[id];
    if (!resp_reply_bulk(reply, &value))
        return; /* there was none */
    const char *p = (const char *)value.ptr;
    unsigned by = number(&p, p + value.len);
    const struct op *w = wrote(op->key, by);
    op->popped = by + 1;
    if (!w || w->what != OP_SADD)
        world_wrong("op %u: k%u had no '%.*s'", id, op->key, (int)value.len,
                    (const char *)value.ptr);
}

static void note_letter(unsigned id, struct slice reply)
{
    struct slice value;
    if (!resp_reply_bulk(reply, &value) || value.len < 3)
        world_wrong("op %u: '%.*s'", id, (int)reply.len, (const char *)reply.ptr);
    else
        world.ops[id].letter = (char)value.ptr[value.len - 2];
}

/* ---- errors -------------------------------------------------------------------------------------
 */

/* Not before it has waited so long. */
static void check_timeout(unsigned id, const char *text)
{
    unsigned ms = 0;
    const struct op *op = &world.ops[id];
    if (sscanf(text, "-TIMEOUT no answer within %u ms", &ms) == 1 &&
        (ms != world.timeout_ms || (op->told_at - op->asked_at) / NET_MS + 10 < ms))
        world_wrong("op %u: after %.3f s: '%s'", id, (double)(op->told_at - op->asked_at) / 1e6,
                    text);
}

/* The cap is the one that there is. */
static void check_nohint(unsigned id, const char *text)
{
    unsigned long long cap = 0;
    if (sscanf(text, "-NOHINT hint store is full (%llu bytes)", &cap) == 1 &&
        (!world.caps || cap != world.cap))
        world_wrong("op %u: the cap is %llu bytes: '%s'", id, (unsigned long long)world.cap, text);
}

static void check_error(unsigned id, struct slice reply)
{
    static const char *const known[] = {"NOQUORUM ", "TIMEOUT ", "NOHINT ", "BACKEND ",
                                        "OOM ",      "CLOCK ",   "ERR "};
    const struct op *op = &world.ops[id];
    char text[400];
    bool ok = false;
    snprintf(text, sizeof text, "%.*s", (int)reply.len - 2, (const char *)reply.ptr);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        ok |= strncmp(text + 1, known[i], strlen(known[i])) == 0;
    if (!ok || (strncmp(text, "-ERR ", 5) == 0 && op->told != TOLD_OK))
        world_wrong("op %u: '%s'", id, text);
    if (strncmp(text, "-NOQUORUM ", 10) == 0 && !lack_is_true(op, text))
        world_wrong("op %u: %s, dc%u: '%s'", id, consistency_name(level_of(op)), dc_of(op), text);
    check_timeout(id, text);
    check_nohint(id, text);
}

/* ---- each answer --------------------------------------------------------------------------------
 */

/* Its time begins when those before it on its connection are answered, since it may have to wait
 * for them; a read may look for a replica that has its client's writes for a fifth of `timeout`. */
bool told_is_overdue(unsigned id, uint64_t turn_at)
{
    const struct op *op = &world.ops[id];
    uint64_t began = turn_at > op->asked_at ? turn_at : op->asked_at;
    uint64_t ms = op->what == OP_GET ? world.timeout_ms + world.timeout_ms / 5 : world.timeout_ms;
    return world_now() > began + ms * NET_MS + LATE_US + world_paused(op->node) - op->paused;
}

void told_reply(unsigned id, struct slice reply, uint64_t turn_at)
{
    const struct op *op = &world.ops[id];
    if (told_is_overdue(id, turn_at))
        world_wrong("op %u: answered %.3f s after it was its turn", id,
                    (double)(world_now() - (turn_at > op->asked_at ? turn_at : op->asked_at)) /
                        1e6);
    if (resp_reply_is_error(reply))
        check_error(id, reply);
    else if (op->what == OP_GET)
        check_read(id, reply);
    if (op->told == TOLD_OK && op->what != OP_GET)
        check_answered(id);
    if (op->told == TOLD_OK && op->what == OP_SPOP)
        note_popped(id, reply);
    if (op->told == TOLD_OK && op->what == OP_EVAL)
        note_letter(id, reply);
}
