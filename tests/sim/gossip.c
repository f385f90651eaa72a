#include "gossip.h"
#include "core/mem.h"
#include "gossip/codec.h"
#include "proto/gossip.pb-c.h"
#include "tape.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER      "sim"
#define SECRET       "secret"
#define NOBODY       UINT32_MAX
#define NEVER        UINT64_MAX
#define CONTACT_MS   30000u  /* how often a settled node dials a seed */
#define TICKS_AT_ONE 1000    /* more at one instant: the core spins */
#define LINES_MAX    40      /* of refusals are printed */
#define JUST_WOKEN   (NET_S) /* us */
#define ADDRESS_SIZE 24

const struct net_options gossip_lan = {.delay = {NET_UNIFORM, 200, 1000}};

struct gnode {
    struct gossip_sim *g;
    struct swim *core; /* NULL: dead */
    char id[NODE_ID_SIZE], address[ADDRESS_SIZE];
    uint32_t number, slot, token;
    unsigned place_of; /* whose rack and token it has; itself, mostly */
    uint32_t mark;     /* of this life or the last one */
    bool twin;         /* its id is another one's */
    bool settled;      /* it was, in some life */
    uint64_t declared; /* the incarnation that somebody called dead */
    uint64_t woken;    /* us, when its last pause ended */
    double pause_part; /* gossip_pause_often */
    uint64_t pause_ms;
    uint64_t ticked_at; /* its clock */
    unsigned ticks_then;
    struct tape *tape; /* NULL: what it is told isn't kept */
    uint64_t saw;      /* us, the watched event; NEVER: not yet */
};

/* Memory of one message while it is unpacked and read. */
struct arena {
    unsigned char *block;
    size_t used, size;
    void *more[64]; /* when a message is larger than the block; freed after it */
    unsigned nmore;
};

struct gossip_sim {
    struct gossip_sim_options o;
    struct net *net;
    struct chance chance;
    struct gnode *nodes;
    unsigned n;
    uint32_t *slots; /* an address's number -> the node there, or NOBODY */
    uint32_t nslots, slots_max;
    ProtobufCAllocator unpacker;
    struct arena arena;
    uint8_t *packed;
    size_t packed_size, overhead;
    struct gossip_figures figures;
    unsigned watched;
    enum gossip_watch watch;
    uint64_t watched_since;
    unsigned seed_places_count;
    struct member_place *seed_places;
    bool makes_tapes;
    bool loud;
    unsigned lines; /* said of refusals */
};

/* ---- memory of messages -----------------------------------------------------------------------
 */

static void *arena_alloc(void *arg, size_t size)
{
    struct arena *a = arg;
    size = (size + 15) & ~(size_t)15;
    if (size > a->size - a->used) {
        if (a->nmore == 64)
            return NULL;
        return a->more[a->nmore++] = mem_alloc(size);
    }
    void *p = a->block + a->used;
    a->used += size;
    return p;
}

static void arena_release(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

/* The next message of that size fits. */
static void arena_reset(struct arena *a)
{
    if (a->nmore > 4) {
        a->size *= 2;
        a->block = mem_realloc(a->block, a->size);
    }
    while (a->nmore)
        mem_free(a->more[--a->nmore]);
    a->used = 0;
}

/* ---- addresses --------------------------------------------------------------------------------
 */

static void slot_address(uint32_t slot, char out[ADDRESS_SIZE])
{
    snprintf(out, ADDRESS_SIZE, "10.%u.%u.%u:8101", slot >> 16 & 255, slot >> 8 & 255, slot & 255);
}

static uint32_t address_slot(const struct gossip_sim *g, const char *address)
{
    uint32_t part[4] = {0};
    unsigned i = 0;
    for (; *address && *address != ':'; address++) {
        if (*address == '.' && i < 3)
            i++;
        else if (*address >= '0' && *address <= '9')
            part[i] = part[i] * 10 + (uint32_t)(*address - '0');
        else
            return NOBODY;
    }
    uint32_t slot = part[1] << 16 | part[2] << 8 | part[3];
    return i == 3 && part[0] == 10 && slot < g->nslots ? slot : NOBODY;
}

static uint32_t new_slot(struct gossip_sim *g, uint32_t node)
{
    if (g->nslots == g->slots_max) {
        g->slots_max = g->slots_max ? g->slots_max * 2 : 256;
        g->slots = mem_realloc(g->slots, g->slots_max * sizeof *g->slots);
    }
    g->slots[g->nslots] = node;
    return g->nslots++;
}

static void move_to(struct gossip_sim *g, struct gnode *x, uint32_t slot)
{
    x->slot = slot;
    g->slots[slot] = x->number;
    slot_address(slot, x->address);
}

/* ---- a core and the network -------------------------------------------------------------------
 */

static uint64_t node_ms(const struct gnode *x)
{
    return net_clock(x->g->net, x->number) / 1000;
}

static uint64_t node_wall_ms(const struct gnode *x)
{
    return net_wall(x->g->net, x->number) / 1000;
}

/* After each call of the core. */
static void arm(struct gnode *x)
{
    net_alarm(x->g->net, x->number, swim_due(x->core) * 1000);
    if (!x->settled)
        x->settled = swim_is_settled(x->core);
}

/* What a frame with a proof adds to a packed message. */
static size_t frame_overhead(const Gossip *m)
{
    struct buf out = BUF_INIT;
    gossip_encode(&out, m, SECRET);
    size_t size = buf_slice(&out).len;
    buf_fini(&out);
    return size - gossip__get_packed_size(m);
}

static void on_send(void *arg, const char *address, const Gossip *m)
{
    struct gnode *x = arg;
    struct gossip_sim *g = x->g;
    size_t size = gossip__get_packed_size(m);
    if (!g->overhead)
        g->overhead = frame_overhead(m);
    if (x->tape)
        tape_add_sent(x->tape);
    g->figures.messages++;
    g->figures.bytes += size + g->overhead;
    if (size + g->overhead > g->figures.largest)
        g->figures.largest = size + g->overhead;
    uint32_t slot = address_slot(g, address);
    if (slot != NOBODY && g->slots[slot] != NOBODY) {
        if (size > g->packed_size) {
            g->packed_size = size * 2;
            g->packed = mem_realloc(g->packed, g->packed_size);
        }
        gossip__pack(m, g->packed);
        net_send(g->net, x->number, g->slots[slot], g->packed, size);
    }
}

static void receive(struct gnode *x, const void *bytes, size_t size)
{
    struct gossip_sim *g = x->g;
    Gossip *m = gossip__unpack(&g->unpacker, size, bytes);
    assert(m);
    if (x->tape)
        tape_add_message(x->tape, bytes, size, node_ms(x), node_wall_ms(x));
    swim_receive(x->core, m, node_ms(x), node_wall_ms(x));
    arm(x);
    arena_reset(&g->arena);
}

static void on_datagram(void *arg, unsigned node, unsigned from, const void *bytes, size_t size)
{
    struct gossip_sim *g = arg;
    (void)from;
    receive(&g->nodes[node], bytes, size);
}

static void on_alarm(void *arg, unsigned node)
{
    struct gossip_sim *g = arg;
    struct gnode *x = &g->nodes[node];
    uint64_t now = node_ms(x);
    x->ticks_then = now == x->ticked_at ? x->ticks_then + 1 : 0;
    x->ticked_at = now;
    if (x->ticks_then > TICKS_AT_ONE) {
        fprintf(stderr, "node %u ticks for ever at %lu ms\n", node, (unsigned long)now);
        abort();
    }
    if (x->tape)
        tape_add_tick(x->tape, now);
    swim_tick(x->core, now);
    arm(x);
}

/* ---- what cores say ---------------------------------------------------------------------------
 */

static struct gnode *node_of(const struct gossip_sim *g, const char *id)
{
    uint64_t number = strtoull(id + NODE_ID_SIZE - 13, NULL, 16);
    return number < g->n && strcmp(g->nodes[number].id, id) == 0 ? &g->nodes[number] : NULL;
}

static bool is_up(enum node_state s)
{
    return s == NODE_NORMAL || s == NODE_JOINING || s == NODE_STANDBY || s == NODE_LEAVING;
}

static void note_sight(struct gnode *by, const struct member *m)
{
    struct gossip_sim *g = by->g;
    if (g->watch == GOSSIP_WATCH_NONE || by->saw != NEVER ||
        strcmp(m->id, g->nodes[g->watched].id) != 0)
        return;
    if (g->watch == GOSSIP_WATCH_DOWN ? m->state == NODE_DOWN : is_up(m->state))
        by->saw = net_now(g->net);
}

static void judge_death(struct gnode *by, const struct member *m, const char *reason)
{
    struct gossip_sim *g = by->g;
    struct gnode *x = node_of(g, m->id);
    if (!x || m->state != NODE_DOWN || m->incarnation <= x->declared)
        return;
    x->declared = m->incarnation;
    if (!x->core || m->incarnation >> 32 != x->mark)
        return;
    uint64_t *count = &g->figures.false_deaths;
    if (net_is_paused(g->net, x->number))
        count = &g->figures.paused_deaths;
    else if (x->woken && net_now(g->net) - x->woken < JUST_WOKEN)
        count = &g->figures.woken_deaths;
    ++*count;
    if (g->loud && count == &g->figures.false_deaths)
        printf("  %lu ms: node %u calls node %u dead: %s\n", (unsigned long)gossip_now(g),
               by->number, x->number, reason ? reason : "");
}

static void on_event(void *arg, const struct swim_event *e)
{
    struct gnode *x = arg;
    struct gossip_sim *g = x->g;
    net_note(g->net, (uint64_t)e->type << 40 | (uint64_t)x->number << 8 | (e->m ? e->m->state : 0));
    g->figures.refused += e->type == SWIM_REFUSED;
    g->figures.taken += e->type == SWIM_TAKEN;
    g->figures.twice += e->type == SWIM_TWICE;
    bool odd = e->type == SWIM_REFUSED || e->type == SWIM_TAKEN || e->type == SWIM_TWICE;
    if (g->loud && odd && g->lines++ < LINES_MAX)
        printf("  %lu ms: node %u: %s\n", (unsigned long)gossip_now(g), x->number,
               e->reason ? e->reason : "");
    if (e->type == SWIM_STATE || e->type == SWIM_JOINED) {
        note_sight(x, e->m);
        judge_death(x, e->m, e->reason);
    }
}

/* ---- a life -----------------------------------------------------------------------------------
 */

static void rack_name(const struct gossip_sim *g, const struct gnode *x, char out[16])
{
    snprintf(out, 16, "r%u", g->nodes[x->place_of].number % g->o.racks);
}

static void contact(struct gnode *x, uint32_t slot)
{
    char address[ADDRESS_SIZE];
    slot_address(slot, address);
    if (x->tape)
        tape_add_contact(x->tape, address, node_ms(x));
    swim_contact(x->core, address, node_ms(x));
    arm(x);
}

/* As gossip/gossip.c does it: all seeds, each interval while it isn't in, now and then later. */
static void contact_seeds(void *arg, uint64_t node)
{
    struct gossip_sim *g = arg;
    struct gnode *x = &g->nodes[node];
    for (uint32_t slot = 0; slot < g->o.seeds; slot++)
        if (slot != x->slot)
            contact(x, slot);
    bool in = swim_is_settled(x->core) && swim_count(x->core) > 1;
    uint64_t pause = in ? CONTACT_MS : g->o.interval_ms;
    net_timer(g->net, x->number, net_now(g->net) + pause * 1000, contact_seeds, g, node);
}

static struct swim_options core_options(struct gossip_sim *g)
{
    unsigned most = g->o.nodes_max > RING_NODES_MAX ? g->o.nodes_max : RING_NODES_MAX;
    return (struct swim_options){.cluster = CLUSTER,
                                 .interval_ms = g->o.interval_ms,
                                 .seed = chance_next(&g->chance),
                                 .members_max = most,
                                 .listed = g->seed_places,
                                 .nlisted = g->seed_places_count};
}

static struct swim_self self_of(const struct gnode *x, const char *rack)
{
    struct swim_self self = {.incarnation = (uint64_t)x->mark << 32,
                             .place = {.address = x->address,
                                       .datacenter = "dc",
                                       .rack = rack,
                                       .tokens = &x->token,
                                       .ntokens = 1},
                             .settled = x->settled,
                             .state = NODE_NORMAL};
    memcpy(self.id, x->id, sizeof self.id);
    return self;
}

/* Like another node's core, if one is given. */
static void make_core(struct gnode *x, const struct swim *like)
{
    struct gossip_sim *g = x->g;
    char rack[16];
    rack_name(g, x, rack);
    struct swim_self self = self_of(x, rack);
    struct swim_options o = core_options(g);
    struct swim_sink sink = {on_send, on_event, x};
    if (like && g->makes_tapes && x->number < g->o.tapes)
        x->tape = tape_new(like, &o, &self, node_ms(x));
    x->core = like ? swim_new_like(like, &o, &self, &sink, node_ms(x))
                   : swim_new(&o, &self, &sink, node_ms(x));
    arm(x);
}

static void begin_life(struct gnode *x)
{
    struct gossip_sim *g = x->g;
    net_start(g->net, x->number);
    uint32_t wall = (uint32_t)(node_wall_ms(x) / 1000);
    x->mark = wall > x->mark ? wall : x->mark + 1;
    x->saw = NEVER;
    x->woken = 0;
}

static void start_node(struct gnode *x)
{
    struct gossip_sim *g = x->g;
    begin_life(x);
    make_core(x, NULL);
    net_timer(g->net, x->number, net_now(g->net), contact_seeds, g, x->number);
}

static unsigned make_node(struct gossip_sim *g, unsigned place_of)
{
    assert(g->n < g->o.nodes_max);
    struct gnode *x = &g->nodes[g->n];
    *x = (struct gnode){.g = g, .number = g->n, .place_of = place_of};
    /* Odd factor: no two of them are the same. */
    x->token = (place_of + 1) * 2654435761u;
    uint64_t any = chance_next(&g->chance);
    snprintf(x->id, sizeof x->id, "%08x-%04x-4%03x-8000-%012x", (unsigned)(any & UINT32_MAX),
             (unsigned)(any >> 32 & 0xffff), (unsigned)(any >> 48 & 0xfff), x->number);
    move_to(g, x, new_slot(g, x->number));
    struct net_handlers h = {.alarm = on_alarm, .datagram = on_datagram, .arg = g};
    unsigned number = net_add(g->net, &h);
    assert(number == x->number);
    return g->n++;
}

unsigned gossip_add(struct gossip_sim *g)
{
    return gossip_add_at(g, g->n);
}

unsigned gossip_add_at(struct gossip_sim *g, unsigned place_of)
{
    unsigned node = make_node(g, place_of);
    start_node(&g->nodes[node]);
    return node;
}

unsigned gossip_add_twin(struct gossip_sim *g, unsigned of)
{
    unsigned node = make_node(g, of);
    struct gnode *x = &g->nodes[node];
    x->twin = x->settled = true;
    x->mark = g->nodes[of].mark;
    memcpy(x->id, g->nodes[of].id, sizeof x->id);
    start_node(x);
    return node;
}

static void end_life(struct gnode *x)
{
    x->settled = x->settled || swim_is_settled(x->core);
    swim_free(x->core);
    x->core = NULL;
    x->pause_part = 0;
    x->g->slots[x->slot] = NOBODY;
    net_kill(x->g->net, x->number);
}

void gossip_kill(struct gossip_sim *g, unsigned node)
{
    if (g->nodes[node].core)
        end_life(&g->nodes[node]);
}

void gossip_stop(struct gossip_sim *g, unsigned node)
{
    struct gnode *x = &g->nodes[node];
    if (!x->core)
        return;
    swim_stop(x->core, node_ms(x));
    end_life(x);
}

void gossip_restart(struct gossip_sim *g, unsigned node, bool move)
{
    struct gnode *x = &g->nodes[node];
    assert(!x->core);
    move_to(g, x, move || g->slots[x->slot] != NOBODY ? new_slot(g, node) : x->slot);
    start_node(x);
}

void gossip_swap_addresses(struct gossip_sim *g, unsigned a, unsigned b)
{
    assert(!g->nodes[a].core && !g->nodes[b].core);
    uint32_t slot = g->nodes[a].slot;
    g->nodes[a].slot = g->nodes[b].slot;
    g->nodes[b].slot = slot;
}

static void wake_node(void *arg, uint64_t node)
{
    struct gossip_sim *g = arg;
    if (!net_is_paused(g->net, (unsigned)node))
        return;
    g->nodes[node].woken = net_now(g->net);
    net_resume(g->net, (unsigned)node);
}

void gossip_pause(struct gossip_sim *g, unsigned node, uint64_t for_ms)
{
    if (!g->nodes[node].core)
        return;
    net_pause(g->net, node);
    net_at(g->net, net_now(g->net) + for_ms * 1000, wake_node, g, node);
}

static void pause_again(void *arg, uint64_t node)
{
    struct gossip_sim *g = arg;
    struct gnode *x = &g->nodes[node];
    if (x->pause_part <= 0)
        return;
    gossip_pause(g, x->number, x->pause_ms);
    gossip_pause_often(g, x->number, x->pause_part, x->pause_ms);
}

void gossip_pause_often(struct gossip_sim *g, unsigned node, double part, uint64_t each_ms)
{
    struct gnode *x = &g->nodes[node];
    x->pause_part = part;
    x->pause_ms = each_ms;
    /* It runs between two pauses for twice the mean at most. */
    double mean = (double)each_ms * 1000 * (1 - part) / part;
    uint64_t runs = (uint64_t)(chance_unit(&g->chance) * 2 * mean);
    uint64_t paused = net_is_paused(g->net, node) ? each_ms * 1000 : 0;
    net_at(g->net, net_now(g->net) + paused + runs + 1, pause_again, g, node);
}

void gossip_set_state(struct gossip_sim *g, unsigned node, enum node_state s)
{
    struct gnode *x = &g->nodes[node];
    if (!x->core)
        return;
    swim_set_state(x->core, s, node_ms(x));
    arm(x);
}

void gossip_calm(struct gossip_sim *g)
{
    net_heal(g->net);
    net_set_options(g->net, &gossip_lan);
    for (unsigned i = 0; i < g->n; i++) {
        g->nodes[i].pause_part = 0;
        net_slow(g->net, i, 0);
        wake_node(g, i);
    }
}

void gossip_inject(struct gossip_sim *g, unsigned node, const Gossip *m)
{
    struct gnode *x = &g->nodes[node];
    size_t size = gossip__get_packed_size(m);
    uint8_t *bytes = mem_alloc(size);
    gossip__pack(m, bytes);
    if (x->core)
        receive(x, bytes, size);
    mem_free(bytes);
}

/* ---- the simulation ---------------------------------------------------------------------------
 */

static void start_later(void *arg, uint64_t node)
{
    struct gossip_sim *g = arg;
    start_node(&g->nodes[node]);
}

static void start_apart(struct gossip_sim *g)
{
    g->nodes[0].settled = true; /* it has no seeds */
    for (unsigned i = 0; i < g->o.nodes; i++)
        net_at(g->net, chance_below(&g->chance, NET_S), start_later, g, i);
}

/* A list of all is made node by node; what each of them knew on the way is thrown away. */
static struct swim *make_model(struct gossip_sim *g)
{
    struct swim *model = NULL;
    for (unsigned i = 0; i < g->o.nodes; i++) {
        struct gnode *x = &g->nodes[i];
        begin_life(x);
        x->settled = true;
        make_core(x, model);
        swim_free(model);
        model = x->core;
        x->core = NULL;
    }
    return model;
}

static void start_agreed(struct gossip_sim *g)
{
    struct swim *model = make_model(g);
    g->makes_tapes = true;
    for (unsigned i = 0; i < g->o.nodes; i++) {
        struct gnode *x = &g->nodes[i];
        make_core(x, model);
        uint64_t first = chance_below(&g->chance, CONTACT_MS * 1000);
        net_timer(g->net, i, net_now(g->net) + first, contact_seeds, g, i);
    }
    swim_free(model);
}

static void note_seed_places(struct gossip_sim *g)
{
    g->seed_places = mem_calloc(g->o.seeds, sizeof *g->seed_places);
    for (unsigned i = 0; i < g->o.seeds && i < g->o.nodes; i++) {
        struct gnode *x = &g->nodes[i];
        char rack[16];
        rack_name(g, x, rack);
        g->seed_places[i] = (struct member_place){mem_strdup(x->address),
                                                  "dc",
                                                  mem_strdup(rack),
                                                  mem_dup(&x->token, sizeof x->token),
                                                  1,
                                                  NULL};
        g->seed_places_count++;
    }
}

struct gossip_sim *gossip_sim_new(const struct gossip_sim_options *o, uint64_t seed)
{
    struct gossip_sim *g = MEM_NEW(struct gossip_sim);
    g->o = *o;
    if (g->o.nodes_max < o->nodes)
        g->o.nodes_max = o->nodes;
    g->o.racks = o->racks ? o->racks : 3;
    g->o.seeds = o->seeds ? o->seeds : 3;
    g->o.interval_ms = o->interval_ms ? o->interval_ms : 1000;
    chance_seed(&g->chance, seed);
    g->net = net_new(&o->net, chance_next(&g->chance));
    g->nodes = mem_calloc(g->o.nodes_max, sizeof *g->nodes);
    g->arena.size = 1 << 20;
    g->arena.block = mem_alloc(g->arena.size);
    g->unpacker = (ProtobufCAllocator){arena_alloc, arena_release, &g->arena};
    for (unsigned i = 0; i < o->nodes; i++)
        make_node(g, i);
    note_seed_places(g);
    if (o->agreed)
        start_agreed(g);
    else
        start_apart(g);
    return g;
}

void gossip_sim_free(struct gossip_sim *g)
{
    if (!g)
        return;
    for (unsigned i = 0; i < g->n; i++) {
        swim_free(g->nodes[i].core);
        tape_free(g->nodes[i].tape);
    }
    for (unsigned i = 0; i < g->seed_places_count; i++) {
        mem_free((char *)(uintptr_t)g->seed_places[i].address);
        mem_free((char *)(uintptr_t)g->seed_places[i].rack);
        mem_free((uint32_t *)(uintptr_t)g->seed_places[i].tokens);
    }
    mem_free(g->seed_places);
    net_free(g->net);
    mem_free(g->nodes);
    mem_free(g->slots);
    arena_reset(&g->arena);
    mem_free(g->arena.block);
    mem_free(g->packed);
    mem_free(g);
}

struct net *gossip_net(struct gossip_sim *g)
{
    return g->net;
}

struct chance *gossip_chance(struct gossip_sim *g)
{
    return &g->chance;
}

unsigned gossip_count(const struct gossip_sim *g)
{
    return g->n;
}

uint64_t gossip_now(const struct gossip_sim *g)
{
    return net_now(g->net) / 1000;
}

struct swim *gossip_core(const struct gossip_sim *g, unsigned node)
{
    return g->nodes[node].core;
}

const char *gossip_id(const struct gossip_sim *g, unsigned node)
{
    return g->nodes[node].id;
}

const char *gossip_address(const struct gossip_sim *g, unsigned node)
{
    return g->nodes[node].address;
}

void gossip_sim_run(struct gossip_sim *g, uint64_t for_ms)
{
    net_run(g->net, net_now(g->net) + for_ms * 1000);
}

uint64_t gossip_run_until(struct gossip_sim *g, gossip_question *is_so, uint64_t for_ms)
{
    uint64_t start = gossip_now(g);
    for (;;) {
        if (is_so(g))
            return gossip_now(g) - start;
        if (gossip_now(g) - start >= for_ms)
            return UINT64_MAX;
        gossip_sim_run(g, 10);
    }
}

/* ---- agreement --------------------------------------------------------------------------------
 */

static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t size)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < size; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_member(const struct member *m)
{
    const struct member_place *p = m->place;
    uint64_t h = hash_bytes(0xcbf29ce484222325u, m->id, strlen(m->id));
    h = hash_bytes(h, &m->incarnation, sizeof m->incarnation);
    h = hash_bytes(h, &m->state, sizeof m->state);
    h = hash_bytes(h, p->address, strlen(p->address) + 1);
    h = hash_bytes(h, p->datacenter, strlen(p->datacenter) + 1);
    h = hash_bytes(h, p->rack, strlen(p->rack) + 1);
    h = hash_bytes(h, p->tokens, p->ntokens * sizeof *p->tokens);
    return chance_mix(&h);
}

/* What one node's list comes to, and where it is wrong. */
struct list_check {
    const struct gossip_sim *g;
    const struct gnode *of;
    uint64_t hash;
    unsigned up; /* members that live, in truth and in the list */
    unsigned wrong;
    bool print;
};

static void say_wrong(struct list_check *c, const struct member *m, const char *what)
{
    if (c->print && c->wrong < 3)
        printf("  node %u: %s (%s, %s, incarnation %lx.%lu) %s\n", c->of->number, m->id,
               m->place->address, node_state_name(m->state), (unsigned long)(m->incarnation >> 32),
               (unsigned long)(m->incarnation & UINT32_MAX), what);
    c->wrong++;
}

static bool is_settled(const struct gnode *x)
{
    return x->core && swim_is_settled(x->core);
}

/* Another one that lives and has its place. */
static const struct gnode *rival_of(const struct gossip_sim *g, const struct gnode *x)
{
    for (unsigned i = 0; i < g->n; i++) {
        const struct gnode *y = &g->nodes[i];
        if (y != x && y->place_of == x->place_of && !y->twin && is_settled(y))
            return y;
    }
    return NULL;
}

/* It lives, and should be everybody's member: a node whose place is another's stays out. */
static bool counts(const struct gossip_sim *g, const struct gnode *x)
{
    return x->core && !x->twin && (is_settled(x) || !rival_of(g, x));
}

static bool check_member(void *arg, const struct member *m)
{
    struct list_check *c = arg;
    if (m->state == NODE_RESET || m->state == NODE_UNKNOWN)
        return true;
    c->hash += hash_member(m);
    const struct gnode *x = node_of(c->g, m->id);
    if (!x) {
        say_wrong(c, m, "doesn't exist");
    } else if (!counts(c->g, x)) {
        if (m->state != NODE_DOWN)
            say_wrong(c, m, x->core ? "stays out" : "is dead");
    } else if (m->state != swim_self(x->core)->state) {
        say_wrong(c, m, "lives");
    } else if (strcmp(m->place->address, x->address) != 0) {
        say_wrong(c, m, "has another address");
    } else {
        c->up++;
    }
    return true;
}

static unsigned members_up(const struct gossip_sim *g)
{
    unsigned up = 0;
    for (unsigned i = 0; i < g->n; i++)
        up += counts(g, &g->nodes[i]) && swim_self(g->nodes[i].core)->state != NODE_RESET;
    return up;
}

static struct list_check check_list(const struct gossip_sim *g, const struct gnode *x, bool print)
{
    struct list_check c = {.g = g, .of = x, .print = print};
    swim_each(x->core, check_member, &c);
    return c;
}

bool gossip_all_agree(const struct gossip_sim *g)
{
    unsigned up = members_up(g);
    uint64_t hash = 0;
    bool first = true;
    for (unsigned i = 0; i < g->n; i++) {
        const struct gnode *x = &g->nodes[i];
        if (!counts(g, x))
            continue;
        if (!is_settled(x) || rival_of(g, x))
            return false;
        struct list_check c = check_list(g, x, false);
        if (c.wrong || c.up != up || (!first && c.hash != hash))
            return false;
        hash = c.hash;
        first = false;
    }
    return true;
}

static void print_missing(const struct gossip_sim *g, const struct gnode *x)
{
    for (unsigned i = 0; i < g->n; i++)
        if (counts(g, &g->nodes[i]) && !swim_find(x->core, g->nodes[i].id))
            printf("  node %u: lacks node %u\n", x->number, i);
}

static void print_truth(const struct gossip_sim *g)
{
    for (unsigned i = 0; i < g->n; i++) {
        const struct gnode *x = &g->nodes[i];
        printf("  node %u: %s, place of %u, mark %x", i, x->address, x->place_of, x->mark);
        if (x->core)
            printf(", incarnation %lx.%lu, %s\n",
                   (unsigned long)(swim_self(x->core)->incarnation >> 32),
                   (unsigned long)(swim_self(x->core)->incarnation & UINT32_MAX),
                   node_state_name(swim_self(x->core)->state));
        else
            printf(", dead\n");
    }
}

void gossip_print_differences(const struct gossip_sim *g)
{
    unsigned up = members_up(g), lines = 0;
    printf("  the truth, %u members live:\n", up);
    if (g->n <= 50)
        print_truth(g);
    for (unsigned i = 0; i < g->n && lines < 10; i++) {
        const struct gnode *x = &g->nodes[i];
        if (!counts(g, x))
            continue;
        struct list_check c = check_list(g, x, true);
        print_missing(g, x);
        printf("  node %u (%s): %u of %u right, list %016lx%s\n", i, x->address, c.up,
               swim_count(x->core), (unsigned long)c.hash,
               swim_is_settled(x->core) ? "" : ", not settled");
        lines++;
    }
}

/* ---- sight ------------------------------------------------------------------------------------
 */

void gossip_watch(struct gossip_sim *g, unsigned node, enum gossip_watch what)
{
    g->watched = node;
    g->watch = what;
    g->watched_since = net_now(g->net);
    for (unsigned i = 0; i < g->n; i++) {
        g->nodes[i].saw = NEVER;
        const struct member *m =
            g->nodes[i].core ? swim_find(g->nodes[i].core, g->nodes[node].id) : NULL;
        if (m)
            note_sight(&g->nodes[i], m);
    }
}

struct gossip_sight gossip_sight(const struct gossip_sim *g)
{
    struct gossip_sight s = {.first_us = NEVER};
    for (unsigned i = 0; i < g->n; i++) {
        const struct gnode *x = &g->nodes[i];
        if (!x->core || i == g->watched)
            continue;
        if (x->saw == NEVER) {
            s.unseen++;
            continue;
        }
        s.seen++;
        uint64_t after = x->saw - g->watched_since;
        s.first_us = after < s.first_us ? after : s.first_us;
        s.last_us = after > s.last_us ? after : s.last_us;
    }
    return s;
}

bool gossip_all_saw(const struct gossip_sim *g)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->nodes[i].core && i != g->watched && g->nodes[i].saw == NEVER)
            return false;
    return true;
}

const struct gossip_figures *gossip_figures(const struct gossip_sim *g)
{
    return &g->figures;
}

double gossip_tape_ns(struct gossip_sim *g, unsigned first, unsigned n)
{
    double sum = 0;
    for (unsigned i = first; i < first + n; i++) {
        assert(i < g->n && g->nodes[i].tape);
        sum += tape_play(g->nodes[i].tape);
    }
    return sum / n;
}

void gossip_count_anew(struct gossip_sim *g)
{
    g->figures = (struct gossip_figures){0};
}

void gossip_be_loud(struct gossip_sim *g)
{
    g->loud = true;
}
