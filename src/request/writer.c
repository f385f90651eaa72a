#include "core/log.h"
#include "core/mem.h"
#include "request/writer_internal.h"
#include <string.h>

#define TICK_MS    100
#define TIDY_TICKS 10
#define LAZY_MS    1    /* what nobody waits for: acknowledgements, word to senders */
#define BUSY_US    5000 /* that word, at most, while the own store has a batch */

static void read_clocks(struct writer *w)
{
    if (w->now_known)
        return;
    w->now_known = true;
    w->now = (struct pulse_now){.wall_ms = clock_wall_ms(), .steady_ms = clock_steady_ms()};
    pulse_look(&w->pulse, &w->now);
}

/* ---- what the peers are told -------------------------------------------------------------------
 */

void writer_announce(struct writer *w)
{
    for (unsigned i = 0; i < w->sources.n; i++)
        source_announce(writer_source(w, i), w->state, writer_serving(w));
    if (!own_has_log(&w->own))
        return;
    PEER_STORE(w->own.peer, link_up, writer_serving(w));
    PEER_STORE(w->own.peer, state, (uint32_t)(writer_serving(w) ? w->state : NODE_DOWN));
}

void writer_decide_state(struct writer *w)
{
    enum node_state before = w->state;
    standby_decide(&w->standby, clock_mono_ms());
    w->state = peers_own_is_current(w->o.peers) ? standby_state(&w->standby) : NODE_STANDBY;
    if (w->state == before)
        return;
    __atomic_store_n(w->o.own_state, (uint32_t)w->state, __ATOMIC_RELEASE);
    log_notice("this node: %s -> %s", node_state_name(before), node_state_name(w->state));
    writer_announce(w);
}

/* The store takes writes again: what it missed lies with the peers, which say so when they greet.
 */
void writer_ask_for_greetings(struct writer *w)
{
    w->greetings_due = false;
    standby_begin(&w->standby, clock_mono_ms());
    for (unsigned i = 0; i < w->sources.n; i++) {
        source_hang_up(writer_source(w, i));
        if (w->o.peers->at[i])
            PEER_STORE(w->o.peers->at[i], greeted, 0);
    }
}

/* What was gathered of this sender and isn't at the store is thrown away: it will send it again. */
static bool is_of_source(void *arg, struct item *it)
{
    return it->kind != ITEM_OWN && it->node == *(unsigned *)arg;
}

void writer_forget_gathered(struct writer *w, unsigned node)
{
    batch_remove(w->gathering, is_of_source, &node);
    source_stands_at(writer_source(w, node), writer_source(w, node)->applied);
}

void writer_answer_greetings(struct writer *w)
{
    if (w->at_store)
        return;
    for (unsigned i = 0; i < w->sources.n; i++)
        if (writer_source(w, i)->greet_due)
            source_greet(writer_source(w, i), w->state, writer_serving(w));
}

/* While the own store is at work, senders that have time would only take the core that it needs. */
static enum nudge_whom whom_to_nudge(const struct writer *w)
{
    bool busy = own_has_log(&w->own) && w->at_store && clock_mono_us() - w->given_us < BUSY_US;
    return busy ? NUDGE_URGENT : NUDGE_DUE;
}

static void look_after_own(struct writer *w)
{
    uint64_t forbidden = __atomic_load_n(&store_stats(w->o.store)->forbidden, __ATOMIC_RELAXED);
    if (forbidden > w->forbidden)
        own_mark_repair(&w->own, "the backend's user may not run writes that peers sent");
    w->forbidden = forbidden;
    uint64_t emptied = __atomic_load_n(&store_stats(w->o.store)->emptied, __ATOMIC_RELAXED);
    if (emptied > w->emptied)
        own_mark_repair(&w->own, "its memcached has started anew and is empty");
    w->emptied = emptied;
    own_tick(&w->own, writer_serving(w), __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED));
}

/* ---- heartbeats -------------------------------------------------------------------------------
 */

static uint64_t first_stamp(const struct batch *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (b->items[i].kind == ITEM_OWN && b->items[i].order)
            return b->items[i].stamp;
    return UINT64_MAX;
}

/* The lowest stamp of what waits for the own store before it goes into the logs. */
static uint64_t waiting_stamp(const struct writer *w)
{
    uint64_t at_store = first_stamp(w->at_store);
    return at_store < UINT64_MAX ? at_store : first_stamp(w->gathering);
}

/* What needs no guarding any more is forgotten, and the peers are told how far we are. */
static void move_watermark(struct writer *w)
{
    bool trusted = __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED);
    pulse_publish(&w->pulse, &w->clock, waiting_stamp(w), &w->now);
    __atomic_store_n(w->o.clock_now, w->clock.last, __ATOMIC_RELAXED);
    if (w->o.settled_below)
        __atomic_store_n(w->o.settled_below, pulse_settled(&w->pulse), __ATOMIC_RELEASE);
    store_forget_below(w->o.store, pulse_forgettable(&w->pulse, trusted, &w->now));
}

static void on_tick(uv_timer_t *t)
{
    struct writer *w = t->data;
    read_clocks(w);
    pulse_tick(&w->pulse, &w->now);
    move_watermark(w);
    writer_decide_state(w);
    handoff_tick(w->handoff);
    writer_members_tick(w);
    if (++w->ticks % TIDY_TICKS != 0)
        return;
    for (unsigned i = 0; i < ARRAY_LEN(w->batches) && !w->at_store; i++)
        batch_tidy(&w->batches[i]);
    if (own_has_log(&w->own))
        look_after_own(w);
}

/* ---- the actor
 * ------------------------------------------------------------------------------------- */

static void start(void *self)
{
    struct writer *w = self;
    uv_timer_init(&w->actor.loop, &w->tick);
    uv_timer_init(&w->actor.loop, &w->lazy);
    w->tick.data = w->lazy.data = w;
    uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
    writer_start_store(w);
}

static void receive(void *self, struct msg *msg)
{
    struct writer *w = self;
    read_clocks(w);
    switch ((enum mail_type)msg->type) {
    case MAIL_WRITE:
        writer_write(w, container_of_(msg, struct mail_write, msg));
        break;
    case MAIL_INBOUND:
        writer_inbound(w, container_of_(msg, struct mail_inbound, msg));
        break;
    case MAIL_GREET:
        writer_greet(w, container_of_(msg, struct mail_greet, msg));
        break;
    case MAIL_REPLACED:
        writer_replaced(w, container_of_(msg, struct mail_replace, msg));
        break;
    case MAIL_LINK_GONE:
        writer_link_gone(w, container_of_(msg, struct mail_link_gone, msg));
        break;
    case MAIL_BEAT: {
        struct mail_beat *m = container_of_(msg, struct mail_beat, msg);
        pulse_heard(&w->pulse, m, &w->now);
        mem_free(m);
        break;
    }
    case MAIL_MET:
        writer_met(w, container_of_(msg, struct mail_met, msg));
        break;
    case MAIL_ORDER:
        writer_order(w, container_of_(msg, struct mail_order, msg));
        break;
    case MAIL_MEMBER:
        writer_member(w, container_of_(msg, struct mail_member, msg));
        break;
    case MAIL_SETTLE:
        writer_settled(w, container_of_(msg, struct mail_settle, msg));
        break;
    case MAIL_SYNC:
        handoff_synced(w->handoff, container_of_(msg, struct mail_sync, msg));
        break;
    case MAIL_MEND:
        writer_mend(w, container_of_(msg, struct mail_mend, msg));
        break;
    case MAIL_BEATS_WANTED:
        writer_want_beats(w);
        mem_free(msg);
        break;
    case MAIL_REPAIR:
        own_mark_repair(&w->own, container_of_(msg, struct mail_repair, msg)->reason);
        mem_free(container_of_(msg, struct mail_repair, msg));
        break;
    default:
        log_error("writer: unexpected message %u", msg->type);
        mem_free(msg);
    }
    if (w->gathering->n >= WRITER_BATCH_MAX)
        writer_submit(w);
}

/* What had time has had it. */
static void on_lazy(uv_timer_t *t)
{
    struct writer *w = t->data;
    enum nudge_whom whom = whom_to_nudge(w);
    sources_acknowledge(&w->sources); /* the turn's end sends them */
    replicate_nudge(&w->replicate, whom == NUDGE_DUE ? NUDGE_ALL : whom);
}

static void turn_end(void *self)
{
    struct writer *w = self;
    __atomic_store_n(w->o.clock_now, w->clock.last, __ATOMIC_RELAXED);
    writer_members_turn_end(w);
    writer_answer_greetings(w);
    if (handoff_turn(w->handoff, w->gathering, writer_serving(w)))
        actor_again(&w->actor);
    writer_submit(w);
    if (!w->at_store && w->gathering->n)
        actor_again(&w->actor);
    if (own_has_log(&w->own)) {
        replicate_renew_numbers(&w->replicate, w->own.peer->log);
        own_turn_end(&w->own);
    }
    bool told = replicate_nudge(&w->replicate, whom_to_nudge(w));
    writer_decide_state(w);
    bool said = sources_flush(&w->sources);
    if (!(told && said) && !uv_is_active((uv_handle_t *)&w->lazy))
        uv_timer_start(&w->lazy, on_lazy, LAZY_MS, 0);
    w->now_known = false;
}

static void stop(void *self)
{
    struct writer *w = self;
    writer_submit(w);
    replicate_nudge(&w->replicate, NUDGE_ALL);
    sources_acknowledge(&w->sources);
    sources_flush(&w->sources);
    writer_stop_store(w);
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->lazy, NULL);
}

static void drop(struct msg *msg)
{
    if (msg->type == MAIL_WRITE)
        mail_write_free(container_of_(msg, struct mail_write, msg));
    else if (msg->type == MAIL_INBOUND)
        mail_inbound_free(container_of_(msg, struct mail_inbound, msg));
    else if (msg->type == MAIL_MEMBER)
        mail_member_free(container_of_(msg, struct mail_member, msg));
    else if (msg->type == MAIL_MEND)
        mail_mend_free(container_of_(msg, struct mail_mend, msg));
    else
        mem_free(msg);
}

static const struct actor_ops writer_ops = {.name = "writer",
                                            .start = start,
                                            .receive = receive,
                                            .turn_end = turn_end,
                                            .stop = stop,
                                            .drop = drop};

/* 16 bits that tell stamps of different nodes apart. */
static uint16_t tag_of(const char *id)
{
    uint32_t h = 2166136261u;
    for (; *id; id++)
        h = (h ^ (uint8_t)*id) * 16777619u;
    return (uint16_t)(h ^ h >> 16);
}

struct writer *writer_start(const struct writer_options *o, struct error *e)
{
    struct writer *w = MEM_NEW_ALIGNED(struct writer);
    unsigned n = o->peers->n;
    actor_init(&w->actor, &writer_ops, w);
    w->o = *o;
    w->self = o->peers->self;
    w->tag = tag_of(o->me->id);
    w->clock.last = o->clock_floor;
    w->own_seq = o->me->start_mark << 32;
    sources_init(&w->sources, n, o->config->send_window);
    replicate_init(&w->replicate, o->config, o->peers);
    w->replicate.mark_wanted = o->mark_wanted;
    w->replicate.mark_kept = o->mark_kept;
    w->handoff = handoff_new(&(struct handoff_options){.config = o->config,
                                                       .topology = o->topology,
                                                       .peers = o->peers,
                                                       .orphans = o->orphans,
                                                       .store = o->store,
                                                       .replicate = &w->replicate,
                                                       .writer = &w->actor,
                                                       .clock_trusted = o->clock_trusted});
    pulse_init(&w->pulse, o->config, o->peers);
    for (unsigned i = 0; i < n; i++)
        if (o->peers->at[i] && PEER_LOAD(o->peers->at[i], gone))
            pulse_leave(&w->pulse, i);
    w->pulse.watermark = o->watermark;
    w->pulse.clock_off = o->clock_off;
    w->pulse.clock_kept = o->clock_kept;
    w->gathering = &w->batches[0];
    w->company = n > 1 ? COMPANY : ALONE;
    standby_init(&w->standby, n, o->used_data_dir, o->config->gos_interval, clock_mono_ms());
    own_init(&w->own, o->config, peers_own(o->peers), o->own_hint_dir, &w->actor.loop);
    if (own_has_log(&w->own))
        w->own.peer->sender = &w->actor;
    w->state = peers_own_is_current(o->peers) ? standby_state(&w->standby) : NODE_STANDBY;
    __atomic_store_n(o->own_state, (uint32_t)w->state, __ATOMIC_RELEASE);
    if (actor_start(&w->actor, e))
        return w;
    mem_free(w);
    return NULL;
}

struct actor *writer_actor(struct writer *w)
{
    return &w->actor;
}

void writer_stop(struct writer *w)
{
    actor_stop(&w->actor);
}

void writer_join(struct writer *w)
{
    actor_join(&w->actor);
}

void writer_free(struct writer *w)
{
    actor_fini(&w->actor);
    batch_fini(&w->batches[0]);
    batch_fini(&w->batches[1]);
    sources_fini(&w->sources);
    replicate_fini(&w->replicate);
    handoff_free(w->handoff);
    writer_effects_fini(w);
    standby_fini(&w->standby);
    own_fini(&w->own);
    writer_members_fini(w);
    pulse_fini(&w->pulse);
    mem_free(w);
}
