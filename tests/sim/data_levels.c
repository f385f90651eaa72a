/* At which levels the nodes serve their clients, and how these change while they run. */
#include "data_world.h"
#include <stdio.h>
#include <string.h>

static const char *const prefixes[BUCKETS] = {"k1", "k12"}; /* the longer one wins */

enum { FOR_READ, FOR_WRITE };

static uint64_t draw(uint64_t n)
{
    return chance_below(&world.chance, n);
}

/* Quorums more often than not, and those within a datacenter. */
static enum consistency some_level(void)
{
    static const enum consistency levels[] = {
        CONSISTENCY_DC_ONE,         CONSISTENCY_DC_ONE,
        CONSISTENCY_DC_QUORUM,      CONSISTENCY_DC_QUORUM,
        CONSISTENCY_DC_QUORUM,      CONSISTENCY_DC_SAFE_QUORUM,
        CONSISTENCY_DC_SAFE_QUORUM, CONSISTENCY_DC_EACH_SAFE_QUORUM};
    return levels[draw(ARRAY_LEN(levels))];
}

static void choose_pair(enum consistency pair[2])
{
    pair[FOR_READ] = some_level();
    pair[FOR_WRITE] = some_level();
    if (world.reading)
        pair[FOR_READ] = CONSISTENCY_DC_ONE;
    if (damage_wants_quorums(world.o->damage)) /* else it promises less */
        pair[FOR_READ] = pair[FOR_WRITE] = CONSISTENCY_DC_QUORUM;
}

/* One pair for all, or each node has its own; some keys others. */
void levels_choose(void)
{
    bool one = draw(2);
    for (unsigned i = 0; i < world.n; i++) {
        struct node *x = &world.nodes[i];
        for (unsigned b = 0; b <= BUCKETS; b++)
            choose_pair(x->levels[b]);
        x->buckets = draw(4) ? 0 : (unsigned)chance_range(&world.chance, 1, BUCKETS);
        if (one)
            memcpy(x->levels, world.nodes[0].levels, sizeof x->levels);
    }
}

enum consistency levels_of(unsigned node, unsigned key, bool write)
{
    const struct node *x = &world.nodes[node];
    unsigned bucket = x->buckets;
    char name[16];
    snprintf(name, sizeof name, "k%u", key);
    while (bucket && strncmp(name, prefixes[bucket - 1], strlen(prefixes[bucket - 1])) != 0)
        bucket--;
    return x->levels[bucket][write];
}

const char *levels_buckets(unsigned node)
{
    static char text[BUCKETS * 64];
    const struct node *x = &world.nodes[node];
    int n = 0;
    for (unsigned b = 0; b < x->buckets; b++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s:%s:%s", b ? "," : "", prefixes[b],
                      consistency_name(x->levels[b + 1][FOR_READ]),
                      consistency_name(x->levels[b + 1][FOR_WRITE]));
    return n ? text : NULL;
}

/* What is on its way at this node may go by the old level or by the new one. */
static void note_change(unsigned node)
{
    for (unsigned s = 0; s < world.nsessions; s++) {
        const struct session *x = &world.sessions[s];
        for (unsigned i = 0; x->node == node && i < x->n; i++)
            told_level(x->waiting[i]);
    }
}

static void set(unsigned node, const char *option, const char *value)
{
    struct error e;
    world_say("node %u: %s = %s", node, option, value);
    unsigned was = os_enter(node);
    if (!config_set(&world.nodes[node].config, option, value, "the simulator", &e))
        world_wrong("node %u: %s", node, e.text);
    os_leave(was);
}

void levels_change(unsigned node)
{
    struct node *x = &world.nodes[node];
    unsigned what = (unsigned)draw(3);
    if (what == 2) {
        x->buckets = (unsigned)draw(BUCKETS + 1);
        for (unsigned b = 1; b <= BUCKETS; b++)
            choose_pair(x->levels[b]);
        set(node, "bucket_types", levels_buckets(node) ? levels_buckets(node) : "");
    } else {
        enum consistency pair[2];
        choose_pair(pair);
        x->levels[0][what] = pair[what];
        set(node, what == FOR_READ ? "read_consistency" : "write_consistency",
            consistency_name(pair[what]));
    }
    note_change(node);
}
