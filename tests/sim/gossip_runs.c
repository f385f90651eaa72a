#include "gossip_runs.h"
#include "core/mem.h"
#include "gossip_bad.h"

#define LIMIT_MS 60000u

static bool is_loud;

void run_loudly(bool loud)
{
    is_loud = loud;
}

static struct gossip_sim *begin(struct gossip_sim_options o, uint64_t seed)
{
    if (!o.net.delay.min)
        o.net = gossip_lan;
    struct gossip_sim *g = gossip_sim_new(&o, seed);
    if (is_loud)
        gossip_be_loud(g);
    return g;
}

/* Ends the run, which took so long. */
static struct run_result end(struct gossip_sim *g, uint64_t ms)
{
    struct run_result r = {.ms = ms, .trace = net_trace(gossip_net(g))};
    r.figures = *gossip_figures(g);
    for (unsigned i = 0; i < gossip_count(g); i++)
        r.members += gossip_core(g, i) != NULL;
    if (is_loud && ms == RUN_NEVER)
        gossip_print_differences(g);
    gossip_sim_free(g);
    return r;
}

static uint64_t draw(struct gossip_sim *g, uint64_t lo, uint64_t hi)
{
    return chance_range(gossip_chance(g), lo, hi);
}

static unsigned draw_node(struct gossip_sim *g)
{
    return (unsigned)chance_below(gossip_chance(g), gossip_count(g));
}

static bool happens(struct gossip_sim *g, double p)
{
    return chance_of(gossip_chance(g), p);
}

static struct run_result end_with_sight(struct gossip_sim *g, uint64_t ms)
{
    uint64_t first = gossip_sight(g).first_us / 1000;
    struct run_result r = end(g, ms);
    r.first = first;
    return r;
}

struct run_result run_kill(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    gossip_sim_run(g, draw(g, 2000, 4000));
    unsigned victim = draw_node(g);
    gossip_watch(g, victim, GOSSIP_WATCH_DOWN);
    gossip_kill(g, victim);
    return end_with_sight(g, gossip_run_until(g, gossip_all_saw, LIMIT_MS));
}

struct run_result run_join(const struct run *r)
{
    struct gossip_sim *g = begin(
        (struct gossip_sim_options){.nodes = r->nodes, .nodes_max = r->nodes + 1, .agreed = true},
        r->seed);
    gossip_sim_run(g, draw(g, 2000, 4000));
    unsigned newcomer = gossip_add(g);
    gossip_watch(g, newcomer, GOSSIP_WATCH_JOINED);
    return end_with_sight(g, gossip_run_until(g, gossip_all_saw, LIMIT_MS));
}

struct run_result run_start(const struct run *r)
{
    struct gossip_sim *g = begin((struct gossip_sim_options){.nodes = r->nodes}, r->seed);
    gossip_sim_run(g, 1000);
    return end(g, gossip_run_until(g, gossip_all_agree, LIMIT_MS));
}

struct run_result run_rest(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    gossip_sim_run(g, 3000);
    gossip_count_anew(g);
    gossip_sim_run(g, r->for_ms);
    return end(g, r->for_ms);
}

/* The first three are everybody's seeds. */
struct run_result run_cost(const struct run *r)
{
    enum { SEEDS = 3, OTHERS = 47 };
    struct gossip_sim *g = begin(
        (struct gossip_sim_options){
            .nodes = r->nodes, .agreed = true, .seeds = SEEDS, .tapes = SEEDS + OTHERS},
        r->seed);
    gossip_sim_run(g, r->for_ms);
    double of_seed = gossip_tape_ns(g, 0, SEEDS) * 1000 / (double)r->for_ms;
    double of_other = gossip_tape_ns(g, SEEDS, OTHERS) * 1000 / (double)r->for_ms;
    struct run_result result = end(g, (uint64_t)of_other);
    result.first = (uint64_t)of_seed;
    return result;
}

/* Ends with the false deaths of the time before the calm. */
static struct run_result calm_down(struct gossip_sim *g)
{
    gossip_calm(g);
    struct gossip_figures before = *gossip_figures(g);
    struct run_result r = end(g, gossip_run_until(g, gossip_all_agree, LIMIT_MS));
    r.figures = before;
    return r;
}

struct run_result run_rough(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    struct net_options net = gossip_lan;
    net.loss = 0.1;
    net_set_options(gossip_net(g), &net);
    for (unsigned i = 0; i < r->nodes; i++)
        gossip_pause_often(g, i, 0.3, 5000);
    gossip_sim_run(g, r->for_ms);
    return calm_down(g);
}

struct run_result run_one_way(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    unsigned victim = draw_node(g);
    bool out = happens(g, 0.5);
    /* Half of the others at most: the rest carries its probes. */
    unsigned left = (unsigned)draw(g, 1, (r->nodes - 1) / 2 ? (r->nodes - 1) / 2 : 1);
    for (unsigned i = 0; i < r->nodes && left; i++) {
        if (i == victim || (r->nodes - i > left + 1 && happens(g, 0.5)))
            continue;
        net_cut(gossip_net(g), out ? victim : i, out ? i : victim, true);
        left--;
    }
    gossip_sim_run(g, 60000);
    return calm_down(g);
}

/* Some groups; a cut between two of them goes both ways or one; some pairs leak. */
static void cut_at_random(struct gossip_sim *g)
{
    struct net *net = gossip_net(g);
    unsigned n = gossip_count(g), groups = (unsigned)draw(g, 2, 4);
    double leak = happens(g, 0.3) ? 0.1 : 0;
    bool ways[4][4];
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++)
            ways[i][j] = i != j && happens(g, 0.8);
    unsigned *group = mem_calloc(n, sizeof *group);
    for (unsigned i = 0; i < n; i++)
        group[i] = (unsigned)chance_below(gossip_chance(g), groups);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < n; j++)
            if (ways[group[i]][group[j]] && !happens(g, leak))
                net_cut(net, i, j, true);
    mem_free(group);
}

struct run_result run_partition(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    gossip_sim_run(g, draw(g, 0, 2000));
    cut_at_random(g);
    gossip_sim_run(g, draw(g, 5000, 120000));
    net_heal(gossip_net(g));
    return calm_down(g);
}

struct run_result run_moves(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    gossip_sim_run(g, 2000);
    for (unsigned round = 0; round < 4; round++) {
        /* The first one stays: somebody has to be where the configuration says. */
        unsigned a = 1 + (unsigned)chance_below(gossip_chance(g), r->nodes - 1);
        unsigned b = 1 + (unsigned)chance_below(gossip_chance(g), r->nodes - 1);
        gossip_kill(g, a);
        gossip_kill(g, b);
        gossip_sim_run(g, draw(g, 0, 15000));
        bool swap = a != b && happens(g, 0.5);
        if (swap)
            gossip_swap_addresses(g, a, b);
        gossip_restart(g, a, !swap);
        gossip_sim_run(g, draw(g, 0, 5000));
        if (a != b)
            gossip_restart(g, b, !swap);
        gossip_sim_run(g, draw(g, 0, 5000));
    }
    return calm_down(g);
}

static void send_some_bad(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    gossip_send_bad(g, node, (enum gossip_bad)draw(g, 0, BAD_KINDS - 1));
}

struct run_result run_twins(const struct run *r)
{
    struct gossip_sim *g = begin(
        (struct gossip_sim_options){.nodes = r->nodes, .nodes_max = r->nodes + 1, .agreed = true},
        r->seed);
    gossip_sim_run(g, 2000);
    unsigned twin = gossip_add_twin(g, draw_node(g));
    gossip_sim_run(g, draw(g, 15000, 60000));
    gossip_kill(g, twin);
    struct run_result result = calm_down(g);
    if (!result.figures.twice)
        result.ms = RUN_NEVER;
    return result;
}

struct run_result run_bad_input(const struct run *r)
{
    struct gossip_sim *g =
        begin((struct gossip_sim_options){.nodes = r->nodes, .agreed = true}, r->seed);
    for (unsigned i = 0; i < 300; i++) {
        send_some_bad(g);
        gossip_sim_run(g, draw(g, 0, 200));
    }
    return calm_down(g);
}

/* ---- mixed faults -----------------------------------------------------------------------------
 */

#define MIXED_MAX 40

static struct net_options draw_weather(struct gossip_sim *g)
{
    struct net_options o = {0};
    o.delay.type = (enum net_delay_type)draw(g, NET_FIXED, NET_HEAVY);
    o.delay.min = draw(g, 100, 2000);
    o.delay.max = draw(g, 2000, 400 * NET_MS);
    if (happens(g, 0.7))
        o.loss = chance_unit(gossip_chance(g)) * 0.3;
    if (happens(g, 0.5))
        o.doubled = 0.1;
    if (happens(g, 0.5)) {
        o.late = 0.1;
        o.late_by = 2 * NET_S;
    }
    return o;
}

static unsigned count_live(const struct gossip_sim *g)
{
    unsigned live = 0;
    for (unsigned i = 0; i < gossip_count(g); i++)
        live += gossip_core(g, i) != NULL;
    return live;
}

static void end_some(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    if (!gossip_core(g, node) || count_live(g) < 2)
        return;
    if (happens(g, 0.3))
        gossip_stop(g, node);
    else
        gossip_kill(g, node);
}

static void start_some(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    if (!gossip_core(g, node))
        gossip_restart(g, node, node > 0 && happens(g, 0.4));
}

static void add_some(struct gossip_sim *g, bool claims)
{
    if (gossip_count(g) == MIXED_MAX || happens(g, 0.5))
        return;
    /* Not the first one's place: who stays out brings no two together, and everybody needs one seed
     * that is a member. */
    if (claims && happens(g, 0.5))
        gossip_add_at(g, (unsigned)draw(g, 1, gossip_count(g) - 1));
    else
        gossip_add(g);
}

static void cut_some(struct gossip_sim *g)
{
    unsigned a = draw_node(g), b = draw_node(g);
    if (happens(g, 0.3))
        cut_at_random(g);
    net_cut(gossip_net(g), a, b, true);
    if (happens(g, 0.5))
        net_cut(gossip_net(g), b, a, true);
}

static void disturb_clock(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    if (happens(g, 0.5))
        net_set_drift(gossip_net(g), node, (int)draw(g, 0, 20000) - 10000);
    else
        net_set_wall(gossip_net(g), node, (int64_t)draw(g, 0, 10 * NET_S) - 5 * (int64_t)NET_S);
}

static void change_state(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    gossip_set_state(g, node, happens(g, 0.5) ? NODE_STANDBY : NODE_NORMAL);
}

static void slow_some(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    net_slow(gossip_net(g), node, draw(g, 0, 20 * NET_MS));
}

static void pause_some(struct gossip_sim *g)
{
    unsigned node = draw_node(g);
    gossip_pause(g, node, draw(g, 50, 20000));
}

static void do_something(struct gossip_sim *g, bool claims)
{
    struct net_options weather;
    switch (draw(g, 0, 11)) {
    case 0:
    case 1:
        end_some(g);
        break;
    case 2:
    case 3:
        start_some(g);
        break;
    case 4:
        add_some(g, claims);
        break;
    case 5:
        pause_some(g);
        break;
    case 6:
        cut_some(g);
        break;
    case 7:
        net_heal(gossip_net(g));
        break;
    case 8:
        weather = draw_weather(g);
        net_set_options(gossip_net(g), &weather);
        break;
    case 9:
        disturb_clock(g);
        break;
    case 10:
        change_state(g);
        break;
    default:
        send_some_bad(g);
        slow_some(g);
    }
}

static struct run_result mix(const struct run *r, bool claims)
{
    struct chance c;
    chance_seed(&c, r->seed);
    struct gossip_sim_options o = {.nodes = (unsigned)chance_range(&c, 3, 24),
                                   .nodes_max = MIXED_MAX,
                                   .agreed = chance_of(&c, 0.5)};
    struct gossip_sim *g = begin(o, r->seed);
    gossip_sim_run(g, 1000);
    for (unsigned left = (unsigned)draw(g, 10, 80); left; left--) {
        do_something(g, claims);
        gossip_sim_run(g, draw(g, 0, happens(g, 0.2) ? 20000 : 2000));
    }
    for (unsigned i = 0; i < gossip_count(g); i++)
        if (!gossip_core(g, i) && (i == 0 || happens(g, 0.5)))
            gossip_restart(g, i, false);
    return calm_down(g);
}

struct run_result run_mixed(const struct run *r)
{
    return mix(r, false);
}

struct run_result run_claims(const struct run *r)
{
    return mix(r, true);
}
