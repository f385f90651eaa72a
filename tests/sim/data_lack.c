/* -NOQUORUM: is it true what it says?
 *
 *     -NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM write); it took effect on some; in dc1:
 * r1 answered, r2 r3 didn't
 */
#include "data_world.h"
#include <stdio.h>
#include <string.h>

struct lack {
    unsigned have, need;
    enum consistency level;
    bool differ, write;
};

/* What stands after an s that `text` begins with, or NULL. */
static const char *after(const char *text, const char *s)
{
    size_t n = strlen(s);
    return strncmp(text, s, n) == 0 ? text + n : NULL;
}

static bool read_level(const char *name, enum consistency *level)
{
    for (*level = CONSISTENCY_DC_ONE; *level <= CONSISTENCY_DC_EACH_SAFE_QUORUM; ++*level)
        if (strcmp(consistency_name(*level), name) == 0)
            return true;
    return false;
}

static bool read_lack(const char *text, struct lack *l)
{
    char level[32] = "", what[8] = "", verb[32] = "";
    if (sscanf(text, "-NOQUORUM %u of %u needed replicas %31[a-z ](%31[A-Z_] %7[a-z])", &l->have,
               &l->need, verb, level, what) != 5)
        return false;
    l->write = strcmp(what, "write") == 0;
    l->differ = strcmp(verb, "gave the same value ") == 0;
    return read_level(level, &l->level) && (l->write || strcmp(what, "read") == 0) &&
           (l->differ || strcmp(verb, "answered ") == 0);
}

/* ---- where it was ------------------------------------------------------------------------------
 */

struct place { /* of one datacenter, bits of nodes */
    unsigned dc;
    uint16_t named, good;
};

/* Which replica of the key stands in this rack; world.n: none. */
static unsigned replica_in(const struct key *k, unsigned dc, unsigned rack)
{
    unsigned node = 0;
    while (node < world.n && !(k->in_dc[dc] >> node & 1 && world.nodes[node].rack == rack))
        node++;
    return node;
}

/* Racks; what stands behind them, or NULL: one that has no replica, or was named before. */
static const char *read_racks(const char *p, const struct key *k, struct place *at, uint16_t *racks)
{
    unsigned rack;
    int n = 0;
    *racks = 0;
    while (sscanf(p, " r%u%n", &rack, &n) == 1) {
        unsigned node = replica_in(k, at->dc, rack);
        if (node == world.n || (at->named | *racks) >> node & 1)
            return NULL;
        *racks |= (uint16_t)(1u << node);
        p += n;
    }
    at->named |= *racks;
    return p;
}

/* "; in dc1: r1 answered, r2 r3 didn't", and the other forms; what stands behind it, or NULL. */
static const char *read_place(const char *p, const struct key *k, struct place *at)
{
    int n = 0;
    uint16_t racks;
    *at = (struct place){0};
    if (sscanf(p, "; in dc%u:%n", &at->dc, &n) != 1 || n == 0 || at->dc >= world.dcs)
        return NULL;
    const char *none = after(p + n, " no replica");
    if (none)
        return world_somebody_joins() ? none : NULL;
    const char *q = read_racks(p + n, k, at, &racks);
    if (!q || !racks)
        return NULL;
    const char *good = after(q, " answered");
    good = good ? good : after(q, " could answer");
    if (!good) {
        good = after(q, " didn't answer");
        return good ? good : after(q, " couldn't answer");
    }
    at->good = racks;
    const char *more = after(good, ",");
    if (!more)
        return good;
    q = read_racks(more, k, at, &racks);
    if (!q || !racks)
        return NULL;
    more = after(q, " didn't");
    return more ? more : after(q, " couldn't");
}

static bool place_is_true(const struct op *op, const struct lack *l, const struct place *at,
                          bool took_effect)
{
    const struct key *k = &world.keys[op->key];
    unsigned majority = world_majority(k, at->dc);
    bool joins = world_somebody_joins(), one = l->level == CONSISTENCY_DC_ONE;
    bool all = at->named == k->in_dc[at->dc] || joins;
    bool needed = one ? l->need == 1 : l->need == majority || (joins && l->need < majority);
    bool anywhere = l->level == CONSISTENCY_DC_EACH_SAFE_QUORUM || (one && !l->write);
    bool have_it = !took_effect || !told_names_op(op) || !(at->good & ~op->applied);
    return all && needed && have_it && (anywhere || at->dc == world.nodes[op->node].dc);
}

/* Who shall run a command whose effect only its store tells must be up, and lack nothing. */
static bool nobody_runs_it(const struct op *op, const char *text)
{
    char level[32] = "";
    enum consistency named;
    if (op->what != OP_SPOP && op->what != OP_EVAL)
        return false;
    bool said = strstr(text, "; it takes one in this datacenter that lacks no writes to run it") ||
                strstr(text, "; the one that was asked to run it can't any more");
    return said &&
           sscanf(text,
                  "-NOQUORUM 0 of 1 needed replicas answered (%31[A-Z_] write); nothing was "
                  "written",
                  level) == 1 &&
           read_level(level, &named) && op->levels >> named & 1;
}

bool lack_is_true(const struct op *op, const char *text)
{
    struct lack l;
    struct place at;
    unsigned places = 0, good = 0;
    bool took_effect = strstr(text, "; it took effect on some") != NULL;
    const char *p = strstr(text, "; in ");
    if (nobody_runs_it(op, text))
        return true;
    if (!read_lack(text, &l) || !(op->levels >> l.level & 1) || l.write != (op->what != OP_GET) ||
        l.have >= l.need)
        return false;
    for (; p && *p; places++) {
        p = read_place(p, &world.keys[op->key], &at);
        if (!p || !place_is_true(op, &l, &at, took_effect))
            return false;
        good += world_bits(at.good);
    }
    if (places == 0 || (places > 1 && l.level != CONSISTENCY_DC_ONE))
        return false;
    return l.differ ? l.have <= good : l.have == good;
}
