#include "data.h"
#include "core/mem.h"
#include "data_world.h"
#include "ring/hash.h"
#include "ring/topology.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPS_FEW  599   /* in most runs */
#define QUIET_MS 90000 /* after the last fault: STANDBY lasts 30 s at most, a dial's pause 2 s */

struct world world;

static uint64_t draw(uint64_t n)
{
    return chance_below(&world.chance, n);
}

static bool coin(double p)
{
    return chance_of(&world.chance, p);
}

static uint64_t pick(const uint64_t *of, size_t n)
{
    return of[draw(n)];
}

void world_wrong(const char *fmt, ...)
{
    va_list ap;
    if (world.r->why[0])
        return;
    int n = snprintf(world.r->why, sizeof world.r->why, "at %.3f s: ", (double)world_now() / 1e6);
    va_start(ap, fmt);
    vsnprintf(world.r->why + n, sizeof world.r->why - (size_t)n, fmt, ap);
    va_end(ap);
    world_say("WRONG %s", world.r->why);
}

void world_say(const char *fmt, ...)
{
    va_list ap;
    if (!world.o->show)
        return;
    printf("%10.4f  --    ", (double)world_now() / 1e6);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

/* ---- what this seed is -------------------------------------------------------------------------
 */

/* One node in each rack, the others in any; where reads shall be hedged, in that of the node that
 * reads, so that it must ask others. */
static void place_nodes(const unsigned racks[DCS_MAX])
{
    unsigned n = 0;
    for (unsigned dc = 0; dc < world.dcs; dc++)
        for (unsigned rack = 0; rack < racks[dc]; rack++, n++)
            world.nodes[n] = (struct node){.dc = dc, .rack = rack};
    world.n = coin(0.4) && !world.reading ? n : (unsigned)chance_range(&world.chance, n, 2u * n);
    world.n = world.n > NODES_MAX ? NODES_MAX : world.n < 3 ? 3 : world.n;
    for (; n < world.n; n++) {
        unsigned dc = world.reading ? 0 : (unsigned)draw(world.dcs);
        world.nodes[n] =
            (struct node){.dc = dc, .rack = world.reading ? 0 : (unsigned)draw(racks[dc])};
    }
}

/* Racks of different sizes, tokens anywhere, with many a node or one: no two nodes have the same
 * share, and the replicas of two keys are hardly ever the same. */
static void choose_nodes(void)
{
    unsigned racks[DCS_MAX];
    world.reading = coin(0.02);
    world.dcs = coin(0.4) ? 1 : (unsigned)chance_range(&world.chance, 2, DCS_MAX);
    for (unsigned dc = 0; dc < world.dcs; dc++)
        racks[dc] = (unsigned)chance_range(&world.chance, 1, world.dcs == 1 ? RACKS_MAX : 3);
    place_nodes(racks);
    bool many = coin(0.5);
    for (unsigned i = 0; i < world.n; i++) {
        struct node *x = &world.nodes[i];
        x->ntokens = many ? (unsigned)chance_range(&world.chance, 1, TOKENS_MAX) : 1;
        for (unsigned k = 0; k < x->ntokens; k++)
            x->tokens[k] = (uint32_t)chance_next(&world.chance);
    }
    world.r->nodes = world.n;
}

static void choose_options(void)
{
    static const uint64_t windows[] = {1024, 4096, 65536, 4u << 20};
    static const uint64_t caps[] = {500, 3000, 20000};
    static const uint64_t rates[] = {2000, 20000};
    static const uint64_t segments[] = {512, 4096, 65536};
    world.external = coin(0.5);
    world.sloppy = coin(0.5) && !damage_wants_quorums(world.o->damage);
    world.timeout_ms = coin(0.5) ? 5000 : (unsigned)chance_range(&world.chance, 300, 3000);
    world.workers = 1 + (unsigned)draw(2);
    world.window = pick(windows, 4);
    world.segment = pick(segments, 3);
    world.caps = coin(0.1);
    world.cap = world.caps ? pick(caps, 3) : 0;
    world.drain_rate = coin(0.1) ? pick(rates, 2) : 0;
    world.power = coin(0.15);
    world.lapse = coin(0.05) && !world.power; /* what is gone was taken by the one or the other */
    world.lazy_sync = coin(0.1);
    world.clean = !world.caps && !world.power && !world.lapse;
    world.busy_us = chance_range(&world.chance, 3000, 12000) * NET_MS;
    world.max_ops = (unsigned)chance_range(&world.chance, 60, OPS_FEW);
    if (world.reading) { /* at one node and one worker, or none knows what is usual */
        world.max_ops = OPS_MAX - 1;
        world.workers = 1;
    }
    world.mends = coin(0.5) || world.o->damage == DAMAGE_CUT;
    world.packed = coin(0.5);
    world.rate = coin(0.1) ? pick(rates, 2) : 0;
    world.nsessions = world.n * (1 + (unsigned)draw(2));
    world.think_us = (unsigned)(2 * world.busy_us * world.nsessions / world.max_ops) + 1;
}

static void choose_keys(void)
{
    world.nkeys = (unsigned)chance_range(&world.chance, 8, KEYS);
    unsigned kinds = world.external ? KEY_KINDS : KEY_KINDS_INSIDE;
    for (unsigned i = 0; i < world.nkeys; i++) {
        world.keys[i] = (struct key){.kind = (enum key_kind)(i % kinds)};
        world.keys[i].session = (unsigned)draw(world.nsessions);
    }
    for (unsigned i = 0; i < world.nsessions; i++)
        world.sessions[i] = (struct session){.node = world.reading ? 0 : i % world.n};
    world.r->keys = world.nkeys;
}

/* Datacenters are far from each other, mostly; clients near, by roads that lose nothing, so that it
 * can be told when an answer is late. */
static void choose_roads(void)
{
    static const uint64_t least[] = {2000, 20000, 80000};
    uint64_t min = pick(least, 3);
    struct net_delay far = {.type = (enum net_delay_type)draw(3), .min = min, .max = 3 * min};
    struct net_delay near = {.type = NET_FIXED, .min = CLIENT_ROAD_US};
    double loss = coin(0.3) ? 0.05 : 0;
    for (unsigned i = 0; i < world.n; i++)
        net_set_area(world.net, i, world.nodes[i].dc);
    net_set_area(world.net, world.client, DCS_MAX);
    for (unsigned dc = 0; dc < world.dcs; dc++)
        net_set_road(world.net, dc, DCS_MAX, &near, 0);
    for (unsigned i = 1; i < world.dcs; i++)
        for (unsigned k = 0; k < i; k++)
            net_set_road(world.net, i, k, &far, loss);
}

static void choose_network(uint64_t seed)
{
    static const uint64_t least[] = {50, 300, 5000, 40000};
    uint64_t min = pick(least, world.dcs == 1 ? 4 : 3);
    struct net_options o = {
        .delay = {.type = (enum net_delay_type)draw(3), .min = min, .max = 20 * min},
        .loss = coin(0.3) ? 0.05 : 0};
    struct os_options os = {.hop_us = coin(0.2) ? HOP_US : 50, .window = coin(0.2) ? 300 : 65536};
    struct net_handlers servers = os_handlers(), clients = clients_handlers();
    world.net = net_new(&o, seed);
    for (unsigned i = 0; i < world.n; i++)
        (void)net_add(world.net, &servers);
    world.client = net_add(world.net, &clients);
    choose_roads();
    net_start(world.net, world.client);
    os_begin(world.net, seed ^ 0x5eed);
    os_set_options(&os);
    data_store_begin(&(struct data_store_options){.stamps = world.o->damage != DAMAGE_STAMPS,
                                                  .slow_us = coin(0.3) ? 20000 : 500});
}

static uint64_t some_time(uint64_t most_ms)
{
    return chance_range(&world.chance, 1, coin(0.5) ? most_ms : most_ms / 10) * NET_MS;
}

/* ---- a node's life -----------------------------------------------------------------------------
 */

struct args {
    char *v[64];
    int n;
};

static void add(struct args *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct args *a, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    a->v[a->n++] = mem_strdup(text);
}

/* With commas between them. */
static void add_tokens(struct args *a, const char *before, const struct node *x)
{
    char text[160];
    int n = snprintf(text, sizeof text, "%s%u", before, x->tokens[0]);
    for (unsigned i = 1; i < x->ntokens; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, ",%u", x->tokens[i]);
    add(a, "%s", text);
}

static void add_seed(struct args *a, unsigned node)
{
    const struct node *x = &world.nodes[node];
    char before[80];
    snprintf(before, sizeof before, "--dyn-seeds=127.0.0.1:%u:r%u:dc%u:", 10000 + node, x->rack,
             x->dc);
    add_tokens(a, before, x);
}

static void configure(unsigned node, struct args *a)
{
    const struct node *x = &world.nodes[node];
    add(a, "dynomited");
    add(a, "--pool-name=sim");
    add(a, "--enable-gossip=%s", world.gossip ? "true" : "false");
    add(a, "--datacenter=dc%u", x->dc);
    add(a, "--rack=r%u", x->rack);
    add_tokens(a, "--tokens=", x);
    add(a, "--listen=127.0.0.1:%u", 20000 + node);
    add(a, "--dyn-listen=127.0.0.1:%u", 10000 + node);
    add(a, "--data-dir=/sim/%u/data", node);
    add(a, "--data-store=%s", world.external ? "redis" : "embedded");
    if (world.external)
        add(a, "--servers=127.0.0.1:6379:1");
    add(a, "--read-consistency=%s", consistency_name(x->levels[0][0]));
    add(a, "--write-consistency=%s", consistency_name(x->levels[0][1]));
    if (levels_buckets(node))
        add(a, "--bucket-types=%s", levels_buckets(node));
    add(a, "--sloppy-quorum=%s", world.sloppy ? "true" : "false");
    add(a, "--read-repairs-enabled=%s", world.mends ? "true" : "false");
    add(a, "--timeout=%u", world.timeout_ms);
    add(a, "--workers=%u", world.workers);
    add(a, "--send-window=%llu", (unsigned long long)world.window);
    if (world.caps)
        add(a, "--hint-store-max-bytes=%llu", (unsigned long long)world.cap);
    if (world.lapse)
        add(a, "--hint-ttl-seconds=2");
    if (world.lazy_sync)
        add(a, "--hint-sync=interval");
    if (world.packed)
        add(a, "--dc-compression=lz4");
    if (world.rate)
        add(a, "--dc-rate=%llu", (unsigned long long)world.rate);
    if (world.drain_rate)
        add(a, "--hint-drain-rate=%llu", (unsigned long long)world.drain_rate);
    for (unsigned i = 0; i < world.n; i++)
        if (i != node)
            add_seed(a, i);
}

static void on_server_tick(void *arg, uint64_t node)
{
    (void)arg;
    if (!world.nodes[node].server)
        return; /* it is being stopped */
    unsigned was = os_enter((unsigned)node);
    server_tick(world.nodes[node].server);
    os_leave(was);
    net_timer(world.net, (unsigned)node, world_now() + NET_S, on_server_tick, NULL, node);
}

static void restart_in(unsigned node, uint64_t us);

/* It may say so where its disk is full; whoever started it tries again. */
static void doesnt_start(unsigned node, const char *why)
{
    if (!world.nodes[node].disk_full)
        world_wrong("node %u doesn't start: %s", node, why);
    world_say("node %u doesn't start: %s", node, why);
    net_kill(world.net, node);
    data_store_killed(node);
    os_kill(node);
    restart_in(node, 500 * NET_MS);
}

static void start_node(unsigned node)
{
    struct node *x = &world.nodes[node];
    struct args a = {.n = 0};
    struct error e = {.text = "its configuration is refused"};
    world_say("node %u starts", node);
    x->life++;
    net_start(world.net, node);
    os_boot(node);
    unsigned was = os_enter(node);
    configure(node, &a);
    if (config_load(a.n, a.v, &x->config, stdout, stderr) == CONFIG_RUN)
        x->server = server_start(&x->config, &e);
    os_leave(was);
    if (!x->server) {
        doesnt_start(node, e.text);
        return;
    }
    damage_after_restart(node);
    on_server_tick(NULL, node);
    clients_link(node);
}

uint64_t world_paused(unsigned node)
{
    const struct node *x = &world.nodes[node];
    return x->paused + (x->paused_at ? world_now() - x->paused_at : 0);
}

static void pause_is_over(unsigned node)
{
    world.nodes[node].paused = world_paused(node);
    world.nodes[node].paused_at = 0;
}

/* Whoever talks to it finds the connection closed. */
static void kill_node(unsigned node)
{
    struct node *x = &world.nodes[node];
    world_say("node %u is killed", node);
    damage_before_kill(node);
    net_kill(world.net, node);
    data_store_killed(node);
    os_kill(node);
    x->server = NULL;
    pause_is_over(node);
}

static void on_restart(void *arg, uint64_t node)
{
    struct node *x = &world.nodes[node];
    (void)arg;
    if (x->server || world_now() < x->down_until)
        return;
    damage_at_restart((unsigned)node);
    start_node((unsigned)node);
}

static void restart_in(unsigned node, uint64_t us)
{
    world.nodes[node].down_until = world_now() + us;
    net_at(world.net, world_now() + us, on_restart, NULL, node);
}

/* As by SIGTERM. While it waits for its threads the world goes on, so it is done between two of its
 * steps. */
static void stop_node(unsigned node)
{
    struct node *x = &world.nodes[node];
    struct server *s = x->server;
    uint64_t began = world_now();
    world_say("node %u is stopped", node);
    damage_before_kill(node);
    x->server = NULL;
    data_store_killed(node);
    x->down_until = UINT64_MAX;
    unsigned was = os_enter(node);
    server_stop(s);
    config_fini(&x->config);
    os_leave(was);
    if (world_now() - began > 10 * (uint64_t)NET_S)
        world_wrong("node %u took %.3f s to stop", node, (double)(world_now() - began) / 1e6);
    net_kill(world.net, node);
    os_kill(node);
    restart_in(node, some_time(4000));
}

static void stop_who_is_told(void)
{
    unsigned node = world.stop;
    world.stop = NODES_MAX;
    if (node < world.n && world.nodes[node].server && !net_is_paused(world.net, node))
        stop_node(node);
}

/* ---- what fails --------------------------------------------------------------------------------
 */

static void fail_kill(unsigned node)
{
    kill_node(node);
    restart_in(node, some_time(4000));
}

static void fail_power(unsigned node)
{
    kill_node(node);
    world_say("node %u loses its power", node);
    os_lose_power(node);
    restart_in(node, some_time(4000));
}

/* What it had written and not delivered is lost with it, and what it was given, too. */
static void fail_replaced(unsigned node)
{
    kill_node(node);
    world_say("node %u is replaced", node);
    damage_node_is_gone(node);
    disk_wipe(node);
    data_store_wipe(node);
    for (unsigned i = 0; i < world.nops; i++)
        if (world.ops[i].node == node && world.ops[i].what != OP_GET)
            world.keys[world.ops[i].key].repair = true;
    for (unsigned i = 0; i < world.nkeys; i++) {
        struct key *k = &world.keys[i];
        bool writes = world.sessions[k->session].node == node;  /* its clock may lie behind the one
                                                                   before */
        bool runs = k->in_dc[world.nodes[node].dc] >> node & 1; /* on a copy that lacks all */
        k->repair |= (writes && k->kind >= KEY_LIST) || (runs && k->kind >= KEY_POOL);
    }
    world.nodes[node].replaced = true;
    world.clean = false;
    world.replaced = true;
    restart_in(node, some_time(4000));
}

static void resume(unsigned node)
{
    pause_is_over(node);
    net_resume(world.net, node);
}

static void on_resume(void *arg, uint64_t node)
{
    (void)arg;
    if (world_now() >= world.nodes[node].paused_until && net_is_paused(world.net, (unsigned)node))
        resume((unsigned)node);
}

static void fail_pause(unsigned node)
{
    struct node *x = &world.nodes[node];
    uint64_t us = some_time(6000);
    world_say("node %u is paused for %.3f s", node, (double)us / 1e6);
    x->paused_until = world_now() + us;
    if (!x->paused_at)
        x->paused_at = world_now();
    net_pause(world.net, node);
    net_at(world.net, world_now() + us, on_resume, NULL, node);
}

static void on_heal(void *arg, uint64_t value)
{
    (void)arg, (void)value;
    world_say("the network is whole");
    net_heal(world.net);
}

/* Clients aren't cut off. */
static void part(const unsigned group[NODES_MAX])
{
    for (unsigned i = 0; i < world.n; i++) {
        world_say("node %u is in part %u", i, group[i]);
        for (unsigned k = 0; k < world.n; k++)
            if (group[i] != group[k])
                net_cut(world.net, i, k, true);
    }
    net_at(world.net, world_now() + some_time(6000), on_heal, NULL, 0);
}

static void fail_partition(void)
{
    unsigned group[NODES_MAX];
    for (unsigned i = 0; i < world.n; i++)
        group[i] = (unsigned)draw(2);
    part(group);
}

/* One datacenter is away, or each from all others. */
static void fail_datacenter(void)
{
    unsigned group[NODES_MAX], away = (unsigned)draw(world.dcs + 1);
    for (unsigned i = 0; i < world.n; i++)
        group[i] = away == world.dcs ? world.nodes[i].dc : world.nodes[i].dc == away;
    part(group);
}

/* A whole datacenter dies at once. */
static void fail_all_of(unsigned dc)
{
    for (unsigned i = 0; i < world.n; i++)
        if (world.nodes[i].dc == dc && world.nodes[i].server)
            (world.power && coin(0.5) ? fail_power : fail_kill)(i);
}

static void fail_cut(unsigned node)
{
    unsigned other = (unsigned)draw(world.n);
    if (other == node)
        return;
    world_say("nothing comes from node %u to node %u", node, other);
    net_cut(world.net, node, other, true);
    if (coin(0.5))
        net_cut(world.net, other, node, true);
    net_at(world.net, world_now() + some_time(6000), on_heal, NULL, 0);
}

static void fail_link(void)
{
    uint32_t stream = os_some_link();
    world_say("link %u breaks", stream);
    if (stream)
        os_break_stream(stream);
}

static void fail_store(unsigned node)
{
    unsigned ms = (unsigned)(some_time(3000) / NET_MS);
    bool full = !world.external || coin(0.4);
    world_say("the store of node %u is %s for %u ms", node, full ? "full" : "away", ms);
    if (full)
        data_store_fill(node, ms);
    else
        data_store_break(node, ms);
}

static void fail_clock(unsigned node)
{
    int64_t off = (int64_t)draw(40000) - 20000;
    if (coin(0.5))
        off /= 100;
    world_say("the clock of node %u is %lld ms off", node, (long long)off);
    net_set_wall(world.net, node, off * NET_MS);
    net_set_drift(world.net, node, (int)draw(400) - 200);
}

static void on_room(void *arg, uint64_t node)
{
    (void)arg;
    world.nodes[node].disk_full = false;
    disk_set_room((unsigned)node, SIZE_MAX / 2);
}

static void fail_disk(unsigned node)
{
    world_say("the disk of node %u is full", node);
    world.nodes[node].disk_full = true;
    disk_set_room(node, draw(100000));
    net_at(world.net, world_now() + some_time(3000), on_room, NULL, node);
}

/* One of those that run; false: there is none. */
static bool choose_running(unsigned *node)
{
    unsigned first = (unsigned)draw(world.n);
    for (unsigned i = 0; i < world.n; i++) {
        *node = (first + i) % world.n;
        if (world.nodes[*node].server)
            return true;
    }
    return false;
}

static void one_fault(void)
{
    unsigned node, dice = (unsigned)draw(100);
    if (!choose_running(&node))
        return;
    world.r->faults++;
    if (dice < 22)
        (world.power && coin(0.5) ? fail_power : fail_kill)(node);
    else if (dice < 30)
        world.stop = node;
    else if (dice < 40)
        fail_pause(node);
    else if (dice < 41 && world.dcs > 1)
        fail_all_of(world.nodes[node].dc);
    else if (dice < 48)
        (world.dcs > 1 && coin(0.6) ? fail_datacenter : fail_partition)();
    else if (dice < 57)
        fail_cut(node);
    else if (dice < 74)
        fail_link();
    else if (dice < 88)
        fail_store(node);
    else if (dice < 95)
        fail_clock(node);
    else if (world.caps)
        fail_disk(node);
    else if (coin(0.15))
        fail_replaced(node);
    else
        fail_kill(node);
}

/* Not a fault: it is meant to be done to a node that runs. */
static void on_change(void *arg, uint64_t value)
{
    unsigned node;
    (void)arg, (void)value;
    if (world.over)
        return;
    if (choose_running(&node))
        levels_change(node);
    net_at(world.net, world_now() + some_time(4000), on_change, NULL, 0);
}

static void on_fault(void *arg, uint64_t value)
{
    (void)arg, (void)value;
    if (world.over)
        return;
    one_fault();
    uint64_t wait = coin(0.2) ? some_time(200) : some_time(3000);
    net_at(world.net, world_now() + wait, on_fault, NULL, 0);
}

/* ---- the run -----------------------------------------------------------------------------------
 */

unsigned world_node_at(unsigned node, unsigned index)
{
    const struct topology *t = *world.nodes[node].topology;
    return (unsigned)atoi(strrchr(t->nodes[index].address, ':') + 1) - 10000;
}

static struct topology *the_ring(void)
{
    struct ring_node nodes[NODES_MAX];
    char dcs[NODES_MAX][8], racks[NODES_MAX][8];
    struct error e;
    for (unsigned i = 0; i < world.n; i++) {
        const struct node *x = &world.nodes[i];
        snprintf(dcs[i], sizeof dcs[i], "dc%u", x->dc);
        snprintf(racks[i], sizeof racks[i], "r%u", x->rack);
        nodes[i] = (struct ring_node){.address = "",
                                      .datacenter = dcs[i],
                                      .rack = racks[i],
                                      .tokens = x->tokens,
                                      .ntokens = x->ntokens};
    }
    return topology_new(nodes, world.n, 0, &e);
}

static void find_copies(void)
{
    struct topology *t = the_ring();
    uint16_t at[RING_REPLICAS_MAX];
    enum hash_kind kind;
    if (!t || !hash_parse(world.nodes[0].config.hash, &kind))
        abort();
    for (unsigned key = 0; key < world.nkeys; key++) {
        struct key *k = &world.keys[key];
        char name[16];
        snprintf(name, sizeof name, "k%u", key);
        k->replicas = topology_replicas(t, hash_token(kind, slice_str(name)), at);
        for (unsigned i = 0; i < k->replicas; i++) {
            k->copies[i] = at[i];
            k->in_dc[world.nodes[at[i]].dc] |= (uint16_t)(1u << at[i]);
        }
    }
    topology_free(t);
}

static void begin(uint64_t seed)
{
    choose_nodes();
    choose_options();
    levels_choose();
    choose_keys();
    choose_network(seed);
    damage_begin();
    for (unsigned i = 0; i < world.n; i++) {
        const struct node *x = &world.nodes[i];
        world_say("node %u: dc%u, rack %u, %u tokens, reads %s, writes %s, %s", i, x->dc, x->rack,
                  x->ntokens, consistency_name(x->levels[0][0]), consistency_name(x->levels[0][1]),
                  levels_buckets(i) ? levels_buckets(i) : "");
        start_node(i);
    }
    find_copies();
    /* the nodes need not find each other before there is work */
    clients_begin();
    net_at(world.net, coin(0.3) ? world.busy_us / 2 : some_time(4000), on_fault, NULL, 0);
    if (coin(0.3))
        net_at(world.net, some_time(4000), on_change, NULL, 0);
}

static void end_faults(void)
{
    world.over = true;
    world_say("no more faults");
    net_heal(world.net);
    for (unsigned i = 0; i < world.n; i++) {
        net_set_wall(world.net, i, 0);
        net_set_drift(world.net, i, 0);
        on_room(NULL, i);
        if (net_is_paused(world.net, i))
            resume(i);
        if (!world.nodes[i].server)
            restart_in(i, 1);
    }
}

static void until_quiet(void)
{
    char what[200] = "";
    uint64_t end = world_now() + QUIET_MS * (uint64_t)NET_MS;
    while (!world.r->why[0] && world_now() < end) {
        net_run(world.net, world_now() + 200 * NET_MS);
        if (check_is_quiet(what))
            return;
    }
    world_wrong("not quiet %u s after the last fault: %s", QUIET_MS / 1000, what);
}

static void run(uint64_t seed)
{
    begin(seed);
    while (!world.r->why[0] && world_now() < world.busy_us) {
        net_run(world.net, world_now() + 50 * NET_MS);
        stop_who_is_told();
    }
    end_faults();
    until_quiet();
    if (!world.r->why[0])
        check_end();
}

static void end(void)
{
    for (unsigned i = 0; i < world.n; i++)
        if (net_lives(world.net, i))
            net_kill(world.net, i);
    world.r->trace = net_trace(world.net);
    world.r->virtual_ms = world_now() / NET_MS;
    clients_end();
    damage_end();
    os_end();
    data_store_end();
    net_free(world.net);
}

/* The delete of this name (data_client.c) with this stamp, or the last one that no store has seen
 * and that may be at one. NULL: of a MIXED key. */
static struct op *delete_of(const struct store_write *w)
{
    const struct slice name = w->cmd->argv[0];
    unsigned key = data_key_of(w->cmd->argv[1]), variant = 0;
    struct op *found = NULL;
    for (unsigned i = 0; i < name.len; i++)
        variant |= (unsigned)((name.ptr[i] & 0x20) != 0) << i;
    for (unsigned id = variant; id < world.nops; id += 64) {
        struct op *op = &world.ops[id];
        if (op->key != key || op->what != OP_DEL || !told_names_op(op))
            continue;
        if (op->stamp == w->stamp && op->tag == w->tag)
            return op;
        if (!op->stamp && (op->told != TOLD_REFUSED || !found))
            found = op;
    }
    return found;
}

/* Which op wrote a value: a SET's v<op>, an APPEND's <op>, ; else NULL. */
static struct op *op_of(const struct store_write *w)
{
    const struct resp_command *cmd = w->cmd;
    bool set = slice_is(cmd->argv[0], "SET");
    if (slice_is(cmd->argv[0], "UNLINK"))
        return delete_of(w);
    if (cmd->argc < 3 || (!set && !slice_is(cmd->argv[0], "APPEND")))
        return NULL;
    const char *p = (const char *)cmd->argv[2].ptr, *end = p + cmd->argv[2].len;
    unsigned id = 0;
    if (set ? *p++ != 'v' : *--end != ',')
        return NULL; /* a MIXED key's */
    for (; p < end; p++)
        id = id * 10 + (unsigned)(*p - '0');
    return id < world.nops ? &world.ops[id] : NULL;
}

void data_saw_write(unsigned node, const struct store_write *w, bool stale)
{
    world_say("store %u: %.*s %.*s %s stamp %llx source %u seq %llx", node,
              (int)w->cmd->argv[0].len, (const char *)w->cmd->argv[0].ptr, (int)w->cmd->argv[1].len,
              (const char *)w->cmd->argv[1].ptr, stale ? "stale" : "", (unsigned long long)w->stamp,
              w->source, (unsigned long long)w->seq);
    if (slice_is(w->cmd->argv[0], "EVAL"))
        world.keys[data_key_of(w->cmd->argv[3])].ran |= (uint16_t)(1u << node);
    struct op *op = w->mend ? NULL : op_of(w);
    if (!op)
        return;
    unsigned id = (unsigned)(op - world.ops);
    if (op->stamp && (op->stamp != w->stamp || op->tag != w->tag))
        world_wrong("op %u has two stamps", id);
    op->stamp = w->stamp;
    op->tag = w->tag;
    op->applied |= (uint16_t)(1u << node);
    if (op->told == TOLD_REFUSED)
        world_wrong("op %u: its client was told that nothing was written", id);
}

bool data_run(const struct data_options *o, struct data_result *r)
{
    memset(&world, 0, sizeof world);
    *r = (struct data_result){.why = ""};
    world.o = o;
    world.r = r;
    world.gossip = getenv("GOSSIP") != NULL;
    world.stop = NODES_MAX;
    os_show_log(o->show);
    chance_seed(&world.chance, o->seed);
    run(o->seed);
    for (unsigned i = 0; i < world.nops; i++) {
        r->writes += world.ops[i].what != OP_GET;
        r->reads += world.ops[i].what == OP_GET;
    }
    end();
    return !r->why[0];
}
