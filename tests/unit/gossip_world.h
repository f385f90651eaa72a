/* A few nodes' cores (gossip/swim) wired by hand, in virtual time: for stories. A message takes 2
 * ms; it goes through protobuf, so what isn't in it doesn't arrive. The last events of each node
 * are kept. */
#ifndef UNIT_GOSSIP_WORLD_H
#define UNIT_GOSSIP_WORLD_H

#include "core/mem.h"
#include "gossip/words.h"
#include "proto/gossip.pb-c.h"
#include "unit.h"

#define WORLD_NODES  12
#define WORLD_EVENTS 4096
#define WALL(now)    (1700000000000u + (now))
#define MARK         1700000000u
#define DELAY        2u

struct seen {
    int node;
    enum swim_event_type type;
    enum node_state before, state;
    bool replaced;
    char id[NODE_ID_SIZE], reason[160];
    uint64_t at;
};

struct letter {
    uint64_t at;
    int from, to;
    size_t len;
    uint8_t *bytes;
};

struct world {
    uint64_t now;
    struct swim *node[WORLD_NODES];
    char address[WORLD_NODES][32];                           /* "": nobody listens */
    bool paused[WORLD_NODES], cut[WORLD_NODES][WORLD_NODES]; /* from, to */
    int at[WORLD_NODES];
    struct letter letter[4096];
    unsigned letters, sent[WORLD_NODES];
    struct seen seen[WORLD_EVENTS];
    unsigned nseen;
};
static struct world w;

/* ---- wiring ------------------------------------------------------------------------------------
 */

static int world_listener(const char *address)
{
    for (int i = 0; i < WORLD_NODES; i++)
        if (w.node[i] && strcmp(w.address[i], address) == 0)
            return i;
    return -1;
}

static void world_send(void *arg, const char *address, const Gossip *m)
{
    const int from = *(int *)arg, to = world_listener(address);
    w.sent[from]++;
    if (to < 0 || w.cut[from][to])
        return;
    ck_assert_uint_lt(w.letters, ARRAY_LEN(w.letter));
    struct letter *l = &w.letter[w.letters++];
    *l = (struct letter){
        .at = w.now + DELAY, .from = from, .to = to, .len = gossip__get_packed_size(m)};
    l->bytes = mem_alloc(l->len);
    gossip__pack(m, l->bytes);
}

static void world_event(void *arg, const struct swim_event *e)
{
    ck_assert_uint_lt(w.nseen, WORLD_EVENTS);
    struct seen *seen = &w.seen[w.nseen++];
    *seen = (struct seen){.node = *(int *)arg,
                          .type = e->type,
                          .before = e->before,
                          .at = w.now,
                          .replaced = e->replaced};
    if (e->m) {
        memcpy(seen->id, e->m->id, NODE_ID_SIZE);
        seen->state = e->m->state;
    }
    snprintf(seen->reason, sizeof seen->reason, "%s", e->reason ? e->reason : "");
    if (getenv("WORLD_LOG"))
        printf("%6llu node %d: event %d %s state %d reason %s\n", (unsigned long long)w.now,
               seen->node, e->type, seen->id, seen->state, seen->reason);
}

static UNUSED const char *id_of(int i)
{
    static char id[4][NODE_ID_SIZE];
    static int turn;
    char *out = id[turn++ % 4];
    snprintf(out, NODE_ID_SIZE, "%08x-0000-4000-8000-%012x", 0xabcd0000u + (unsigned)i,
             (unsigned)i);
    return out;
}

static struct swim_options options_of(int i)
{
    return (struct swim_options){
        .cluster = "test", .interval_ms = 1000, .seed = 77u + (unsigned)i, .members_max = 50};
}

/* A node in a rack of its own, or in `rack`, with one token. */
static struct swim_self self_of(int i, uint32_t *token, const char *rack, bool settled)
{
    struct swim_self self = {
        .incarnation = (uint64_t)(MARK + (unsigned)i) << 32,
        .place = {.address = w.address[i],
                  .datacenter = "dc1",
                  .rack = rack,
                  .tokens = token,
                  .ntokens = 1},
        .settled = settled,
        .state = NODE_NORMAL,
    };
    memcpy(self.id, id_of(i), NODE_ID_SIZE);
    return self;
}

static void world_start(int i, const struct swim_options *o, const struct swim_self *self)
{
    w.at[i] = i;
    w.node[i] = swim_new(
        o, self, &(struct swim_sink){.send = world_send, .event = world_event, .arg = &w.at[i]},
        w.now);
}

static UNUSED void world_add(int i, bool settled)
{
    uint32_t token = 100u * (unsigned)i;
    char rack[16];
    snprintf(rack, sizeof rack, "r%d", i);
    snprintf(w.address[i], sizeof w.address[i], "10.0.0.%d:8101", i);
    const struct swim_options o = options_of(i);
    const struct swim_self self = self_of(i, &token, rack, settled);
    world_start(i, &o, &self);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void world_deliver(void)
{
    for (unsigned k = 0; k < w.letters; k++) {
        struct letter l = w.letter[k];
        if (l.at > w.now || w.paused[l.to])
            continue;
        memmove(&w.letter[k], &w.letter[k + 1], (--w.letters - k) * sizeof l);
        k--;
        if (w.node[l.to]) {
            Gossip *m = gossip__unpack(NULL, l.len, l.bytes);
            ck_assert_ptr_nonnull(m);
            swim_receive(w.node[l.to], m, w.now, WALL(w.now));
            gossip__free_unpacked(m, NULL);
        }
        mem_free(l.bytes);
    }
}

static void world_run(uint64_t ms)
{
    for (const uint64_t end = w.now + ms; w.now < end; w.now++) {
        world_deliver();
        for (int i = 0; i < WORLD_NODES; i++)
            if (w.node[i] && !w.paused[i] && swim_due(w.node[i]) <= w.now) {
                swim_tick(w.node[i], w.now);
                ck_assert_uint_gt(swim_due(w.node[i]), w.now);
            }
    }
}

static UNUSED void world_kill(int i)
{
    swim_free(w.node[i]);
    w.node[i] = NULL;
}

static void world_end(void)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        swim_free(w.node[i]);
        w.node[i] = NULL;
    }
    while (w.letters)
        mem_free(w.letter[--w.letters].bytes);
    memset(&w, 0, sizeof w);
}

/* Nodes 0 .. n - 1, settled, who know each other. */
static UNUSED void world_cluster(int n)
{
    for (int i = 0; i < n; i++)
        world_add(i, true);
    for (int i = 1; i < n; i++)
        swim_contact(w.node[i], w.address[0], w.now);
    world_run(3000);
    for (int i = 0; i < n; i++)
        ck_assert_uint_eq(swim_count(w.node[i]), (unsigned)n);
}

/* ---- questions ---------------------------------------------------------------------------------
 */

/* What `viewer` believes of `i`: NODE_UNKNOWN where it doesn't know it. */
static UNUSED enum node_state state_at(int viewer, int i)
{
    const struct member *m = swim_find(w.node[viewer], id_of(i));
    return m ? m->state : NODE_UNKNOWN;
}

static UNUSED unsigned count_events(int node, enum swim_event_type type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w.nseen; i++)
        n += w.seen[i].node == node && w.seen[i].type == type;
    return n;
}

static UNUSED const struct seen *last_event(int node, enum swim_event_type type)
{
    for (unsigned i = w.nseen; i-- > 0;)
        if (w.seen[i].node == node && w.seen[i].type == type)
            return &w.seen[i];
    return NULL;
}

/* Has `node` ever seen a member become `state`? */
static UNUSED bool ever(int node, enum node_state state)
{
    for (unsigned i = 0; i < w.nseen; i++)
        if (w.seen[i].node == node && w.seen[i].type == SWIM_STATE && w.seen[i].state == state)
            return true;
    return false;
}

#endif
