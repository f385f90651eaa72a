#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "gossip/codec.h"
#include "gossip/gossip_internal.h"
#include "peer/keep.h"
#include "wire/frame.h"
#include <config.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS     200 /* at what others publish; never less often than five times an interval */
#define CONTACT_MS  30000
#define CONTACTS    10  /* seeds that are asked at once */
#define CONTACTS_IN 3   /* by one that is in */
#define GOODBYE_MS  100 /* for the last words to leave */

/* ---- messages ----------------------------------------------------------------------------------
 */

static unsigned kind_of(const Gossip *m)
{
    unsigned kind = (unsigned)m->type;
    return kind < GOSSIP_KINDS ? kind : 0;
}

static void send_message(void *arg, const char *address, const Gossip *m)
{
    struct gossip *g = arg;
    struct buf frame = BUF_INIT;
    gossip_encode(&frame, m, g->o.me->secret);
    GOSSIP_COUNT(g->o.figures, sent[kind_of(m)]);
    GOSSIP_ADD(g->o.figures, sent_bytes, frame.len);
    conns_send(&g->conns, address, &frame);
    buf_fini(&frame);
}

/* The link may read on, or is closed. */
static void answer_link(const struct mail_gossip *m, bool close, const char *reason)
{
    struct mail_link *back = MEM_NEW(struct mail_link);
    back->msg.type = MAIL_LINK;
    back->ticket = m->link.ticket;
    back->credit = m->payload->len;
    back->close = close;
    back->frames = (struct buf)BUF_INIT;
    if (close)
        handshake_add_refuse(&back->frames, reason);
    actor_send(m->link.worker, &back->msg);
}

/* What the writer publishes of this node. */
static void look_at_own(struct gossip *g, uint64_t now)
{
    enum node_state said = swim_self(g->swim)->state;
    bool follows = said == NODE_NORMAL || said == NODE_STANDBY;
    if (follows && swim_is_settled(g->swim))
        gossip_say(g, (enum node_state)__atomic_load_n(g->o.own_state, __ATOMIC_ACQUIRE));
    swim_set_clock(g->swim, __atomic_load_n(g->o.clock_now, __ATOMIC_RELAXED));
    if (!g->kept.serves && __atomic_load_n(g->o.serves, __ATOMIC_RELAXED)) {
        g->kept.serves = true;
        swim_set_serves(g->swim, now);
        gossip_keep(g);
    }
}

static void on_message(struct gossip *g, struct mail_gossip *m)
{
    struct error e;
    GOSSIP_ADD(g->o.figures, received_bytes, frame_size(m->payload->len));
    Gossip *said = gossip_decode(slice_of(m->payload->data, m->payload->len), g->o.me->cluster,
                                 g->o.me->secret, &e);
    if (said) {
        GOSSIP_COUNT(g->o.figures, received[kind_of(said)]);
        look_at_own(g, clock_mono_ms()); /* who asks whether the ring serves is told as it is now */
        swim_receive(g->swim, said, clock_mono_ms(), clock_wall_ms());
        gossip__free_unpacked(said, NULL);
    } else {
        GOSSIP_COUNT(g->o.figures, refused[GOSSIP_REFUSED_UNREADABLE]);
        log_limited(10000, LOG_LEVEL_WARN, "gossip refused: %s", e.text);
    }
    answer_link(m, !said, said ? "" : e.text);
    blob_unref(m->payload);
    mem_free(m);
}

/* ---- time --------------------------------------------------------------------------------------
 */

/* Of many seeds some, from a random one on: a thousand nodes that all name each other mustn't all
 * ask all. */
struct contacts {
    struct gossip *g;
    unsigned at, first, wanted, n; /* n: how many seeds there are */
};

static void count_seed(void *arg, const char *address, const struct config_seed *seed)
{
    struct contacts *c = arg;
    (void)address;
    (void)seed;
    c->n++;
}

static void contact(void *arg, const char *address, const struct config_seed *seed)
{
    struct contacts *c = arg;
    (void)seed;
    unsigned behind = (c->at++ + c->n - c->first) % c->n;
    if (behind < c->wanted)
        swim_contact(c->g->swim, address, clock_mono_ms());
}

static void contact_some(struct gossip *g, unsigned wanted)
{
    struct contacts c = {.g = g, .wanted = wanted};
    seeds_each(g->seeds, count_seed, &c);
    if (!c.n)
        return;
    c.first = (unsigned)random() % c.n;
    seeds_each(g->seeds, contact, &c);
}

/* For ever: while it isn't in, each interval; then so that two halves that forgot each other meet
 * again. */
static void contact_seeds(struct gossip *g, uint64_t now)
{
    bool in = swim_is_settled(g->swim) && swim_count(g->swim) > 1;
    uint64_t every = in ? CONTACT_MS : g->o.config->gos_interval;
    seeds_hurry(g->seeds, !in);
    if (g->contacted_ms && now - g->contacted_ms < every)
        return;
    g->contacted_ms = now;
    contact_some(g, in ? CONTACTS_IN : CONTACTS);
}

/* What was found may be new: it is asked at the next look. */
static void on_seeds(void *arg)
{
    struct gossip *g = arg;
    if (!swim_is_settled(g->swim))
        g->contacted_ms = 0;
}

/* A link that broke is a reason to look at once, and no more. */
static void look_at_links(struct gossip *g, uint64_t now)
{
    unsigned n = peers_count(g->o.peers);
    for (unsigned i = 0; i < n; i++) {
        const struct peer *p = g->o.peers->at[i];
        bool linked = p && PEER_LOAD(p, link_up);
        char id[NODE_ID_SIZE];
        if (g->was_linked[i] && !linked) {
            rcu_read_begin();
            const struct topology *t = RCU_GET(*g->o.topology);
            memcpy(id, i < t->n ? t->nodes[i].id : "", i < t->n ? sizeof id : 1);
            rcu_read_end();
            swim_doubt(g->swim, id, now);
        }
        g->was_linked[i] = linked;
    }
}

static void look(struct gossip *g, uint64_t now)
{
    look_at_own(g, now);
    look_at_links(g, now);
    contact_seeds(g, now);
    gossip_go_on_leaving(g, now);
    conns_tick(&g->conns);
}

static void on_tick(uv_timer_t *t)
{
    struct gossip *g = t->data;
    uint64_t now = clock_mono_ms(), interval = g->o.config->gos_interval;
    if (now >= g->look_ms) {
        g->look_ms = now + (interval / 5 < LOOK_MS ? interval / 5 : LOOK_MS);
        look(g, now);
    }
    swim_tick(g->swim, now);
}

static void turn_end(void *self)
{
    struct gossip *g = self;
    conns_flush(&g->conns);
    if (g->stopping)
        return;
    uint64_t now = clock_mono_ms(), due = swim_due(g->swim);
    due = due < g->look_ms ? due : g->look_ms;
    uv_timer_start(&g->tick, on_tick, due > now ? due - now : 0, 0);
}

/* ---- the actor --------------------------------------------------------------------------------
 */

static void start(void *self)
{
    struct gossip *g = self;
    uv_timer_init(&g->actor.loop, &g->tick);
    uv_timer_init(&g->actor.loop, &g->goodbye);
    g->tick.data = g->goodbye.data = g;
    g->conns.loop = &g->actor.loop;
    g->seeds = seeds_new(&g->actor.loop, g->o.config, on_seeds, g);
    gossip_show_own(g);
    if (swim_is_settled(g->swim))
        gossip_tell_writer(g, swim_self(g->swim), "settled before");
    on_tick(&g->tick);
    turn_end(g);
}

static void receive(void *self, struct msg *msg)
{
    struct gossip *g = self;
    switch ((enum mail_type)msg->type) {
    case MAIL_GOSSIP:
        on_message(g, container_of_(msg, struct mail_gossip, msg));
        break;
    case MAIL_ORDER:
        gossip_order(g, container_of_(msg, struct mail_order, msg));
        break;
    default:
        log_error("gossip: unexpected message %u", msg->type);
        mem_free(msg);
    }
}

static void on_goodbye(uv_timer_t *t)
{
    struct gossip *g = t->data;
    uv_close((uv_handle_t *)&g->goodbye, NULL);
    conns_close(&g->conns);
}

/* What it says last has a moment to leave, also on connections that it makes for it. */
static void stop(void *self)
{
    struct gossip *g = self;
    g->stopping = true;
    gossip_orders_end(g);
    swim_stop(g->swim, clock_mono_ms());
    conns_flush(&g->conns);
    seeds_stop(g->seeds);
    uv_close((uv_handle_t *)&g->tick, NULL);
    uv_timer_start(&g->goodbye, on_goodbye, GOODBYE_MS, 0);
}

static void drop(struct msg *msg)
{
    if (msg->type == MAIL_GOSSIP)
        blob_unref(container_of_(msg, struct mail_gossip, msg)->payload);
    mem_free(msg);
}

static const struct actor_ops gossip_ops = {.name = "gossip",
                                            .start = start,
                                            .receive = receive,
                                            .turn_end = turn_end,
                                            .stop = stop,
                                            .drop = drop};

static struct swim *new_swim(struct gossip *g)
{
    const struct config *c = g->o.config;
    const struct identity *me = g->o.me;
    struct member_place *listed = mem_calloc(c->nseeds + 1, sizeof *listed);
    uint64_t seed = me->start_mark;
    if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1)
        log_warn("gossip: no random seed, the start mark stands for it");
    for (size_t i = 0; i < c->nseeds; i++)
        listed[i] = (struct member_place){.address = "",
                                          .datacenter = c->seeds[i].datacenter,
                                          .rack = c->seeds[i].rack,
                                          .tokens = c->seeds[i].tokens,
                                          .ntokens = c->seeds[i].ntokens};
    struct swim_options o = {.cluster = me->cluster,
                             .interval_ms = c->gos_interval,
                             .seed = seed,
                             .members_max = RING_NODES_MAX,
                             .listed = listed,
                             .nlisted = c->nseeds};
    struct swim_self self = {.incarnation = me->start_mark << 32,
                             .place = {.address = me->address,
                                       .datacenter = me->datacenter,
                                       .rack = me->rack,
                                       .tokens = me->tokens,
                                       .ntokens = me->ntokens,
                                       .version = PACKAGE_VERSION},
                             .settled = g->kept.settled || seeds_none(c),
                             .state =
                                 (enum node_state)__atomic_load_n(g->o.own_state, __ATOMIC_ACQUIRE),
                             .serves = g->kept.serves};
    memcpy(self.id, me->id, NODE_ID_SIZE);
    struct swim_sink sink = {.send = send_message, .event = gossip_event, .arg = g};
    struct swim *s = swim_new(&o, &self, &sink, clock_mono_ms());
    mem_free(listed);
    return s;
}

struct gossip *gossip_start(const struct gossip_options *o, struct error *e)
{
    struct gossip *g = MEM_NEW_ALIGNED(struct gossip);
    g->o = *o;
    struct ring_node self = gossip_own_place(g);
    if (!keep_load_membership(o->config->data_dir, &self, &g->kept, e)) {
        mem_free(g);
        return NULL;
    }
    unsigned stuck = 3 * o->config->gos_interval;
    g->conns.stuck_ms = stuck > 1000 ? stuck : 1000;
    g->was_linked = mem_calloc(RING_NODES_MAX, sizeof *g->was_linked);
    g->swim = new_swim(g);
    actor_init(&g->actor, &gossip_ops, g);
    if (actor_start(&g->actor, e))
        return g;
    swim_free(g->swim);
    mem_free(g->was_linked);
    mem_free(g);
    return NULL;
}

struct actor *gossip_actor(struct gossip *g)
{
    return &g->actor;
}

void gossip_stop(struct gossip *g)
{
    actor_stop(&g->actor);
}

void gossip_join(struct gossip *g)
{
    actor_join(&g->actor);
}

void gossip_free(struct gossip *g)
{
    actor_fini(&g->actor);
    swim_free(g->swim);
    mem_free(g->was_linked);
    mem_free(g);
}
