#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/sender_internal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEATS    3
#define GREETING_MS   3000
#define TAKEN_PER_MS  50000 /* bytes; a slow disk's 50 MB/s */
#define FLUSH_MS      1000
#define SWEEP_LOOK_MS 1000
#define FAREWELL_MS   1000 /* and twice as long as a request lives */

/* ---- state ---------------------------------------------------------------------------------- */

void sender_answer_truncated(struct sender *s)
{
    orders_answer(&s->orders, ORDER_TRUNCATE, NULL, s->hinting.cut_records, s->hinting.cut_bytes);
}

/* Publishes what the link and the peer's own word tell; one log line for each change. */
void sender_publish(struct sender *s, const char *reason)
{
    enum node_state now = !sender_accepting(s) ? NODE_DOWN : s->word.state,
                    was = peer_state(s->peer);
    PEER_STORE(s->peer, link_up, s->phase == UP);
    if (now != was) {
        char address[300];
        PEER_STORE(s->peer, state, (uint32_t)now);
        PEER_STORE(s->peer, since_ms, clock_wall_ms());
        log_notice("%s %s: %s -> %s (%s)", s->o.config->enable_gossip ? "link to" : "peer",
                   sender_peer_address(s, address), node_state_name(was), node_state_name(now),
                   reason);
    }
    hinting_follow(&s->hinting, now, sender_accepting(s));
    if (sender_accepting(s))
        orders_answer(&s->orders, ORDER_DRAIN, NULL, 0, 0);
    else if (hinting_lost(&s->hinting))
        sender_answer_truncated(s);
}

/* ---- timers -----------------------------------------------------------------------------------
 */

/* How long nothing may be heard: heartbeats, and what the peer needs to take in what is on its way
 * (one value can be 512 MB). */
static uint64_t patience(const struct sender *s)
{
    uint64_t on_its_way = s->delivery.sent_bytes - s->delivery.acked_bytes;
    return (uint64_t)HEARTBEATS * s->o.config->gos_interval + on_its_way / TAKEN_PER_MS;
}

static void check_silence(struct sender *s, uint64_t now)
{
    uint64_t greeting = patience(s) > GREETING_MS ? patience(s) : GREETING_MS;
    uint64_t heard = PEER_LOAD(s->peer, heard_ms);
    heard = heard > s->listen_ms ? heard : s->listen_ms;
    if (s->phase == UP && now - heard > patience(s))
        sender_drop_link(s, "no heartbeat");
    else if (s->phase != UP && s->stream_open && now - s->phase_since_ms > greeting)
        sender_drop_link(s, "no answer to the handshake");
}

/* Nothing is owed, and nothing was sent since the last look: where membership tells of the peer,
 * who is there is known from elsewhere, and the link may be silent. (A peer that doesn't gossip is
 * in no membership, and would take the silence for a broken link.) */
static bool is_quiet(const struct sender *s)
{
    return peer_member_state(s->peer) != NODE_UNKNOWN && s->phase == UP && !s->asked_us &&
           s->delivery.sent_bytes == s->delivery.acked_bytes &&
           s->delivery.sent_bytes == s->looked_bytes && !carrier_waits(&s->carrier);
}

static void on_beat(uv_timer_t *t)
{
    struct sender *s = t->data;
    uint64_t now = clock_mono_ms(), since = now - s->beat_ms;
    bool quiet = is_quiet(s);
    s->beat_ms = now;
    s->looked_bytes = s->delivery.sent_bytes;
    if (quiet) {
        s->listen_ms = now; /* what it owes from here on it has its time for */
        if (now - s->said_ms < BEAT_IDLE_MS)
            return;
    } else if (since < 2 * s->o.config->gos_interval) { /* else it was this thread that was away */
        check_silence(s, now);
    }
    if (s->phase == UP) {
        s->said_ms = now;
        sender_send_beat(s);
    }
}

static void on_flush(uv_timer_t *t)
{
    struct sender *s = t->data;
    hinting_flush(&s->hinting);
}

static void follow_hint_sync(struct sender *s)
{
    bool wanted = CONFIG_LIVE(s->o.config, hint_sync) == SYNC_INTERVAL;
    if (wanted && !uv_is_active((uv_handle_t *)&s->flush))
        uv_timer_start(&s->flush, on_flush, FLUSH_MS, FLUSH_MS);
    else if (!wanted)
        uv_timer_stop(&s->flush);
}

/* Options may change while it runs: looks each second at the latest. */
static void on_sweep(uv_timer_t *t)
{
    struct sender *s = t->data;
    uint64_t now = clock_mono_ms(), interval = CONFIG_LIVE(s->o.config, hint_drain_interval_ms);
    bool due = now - s->swept_ms + 1 >= interval; /* the loop's clock may round differently */
    if (due) {
        s->swept_ms = now;
        hinting_sweep(&s->hinting, !sender_accepting(s) || sender_is_paused(s),
                      sender_accepting(s));
        sender_look_at_waits(s);
        orders_forget(&s->orders, now);
    }
    follow_hint_sync(s);
    uint64_t left = s->swept_ms + interval - now;
    uv_timer_start(t, on_sweep, left < SWEEP_LOOK_MS ? left : SWEEP_LOOK_MS, 0);
}

/* ---- the actor --------------------------------------------------------------------------------
 */

static void timer(struct sender *s, uv_timer_t *t)
{
    uv_timer_init(&s->actor.loop, t);
    t->data = s;
}

static void start(void *self)
{
    struct sender *s = self;
    timer(s, &s->dial);
    timer(s, &s->beat);
    timer(s, &s->sweep);
    timer(s, &s->rate);
    timer(s, &s->flush);
    timer(s, &s->drain);
    uv_timer_start(&s->beat, on_beat, s->o.config->gos_interval, s->o.config->gos_interval);
    s->beat_ms = s->swept_ms = clock_mono_ms();
    on_sweep(&s->sweep);
    hinting_sweep(&s->hinting, false, false); /* the damage that was found */
    sender_connect_now(s);
}

static void on_appended(struct sender *s, struct mail_appended *m)
{
    bool hints = false, late = false;
    for (size_t i = 0; i < m->n; i++) {
        waiters_add(&s->waiters, &m->waiter[i]);
        hints |= m->waiter[i].hint;
        late |= m->waiter[i].seq <= s->delivery.heard;
    }
    if (late) /* who began to wait when the peer had it already */
        waiters_settle(&s->waiters, s->node, s->delivery.heard, VERDICT_APPLIED, REFUSAL_NONE);
    delivery_allow(&s->delivery, m->upto);
    if (s->phase >= GREETING && m->upto >> 32 > s->upper_max)
        sender_drop_link(s, "numbers go on above what it was told to expect");
    hinting_appended(&s->hinting, hints);
    mem_free(m);
}

static void on_sync(struct sender *s, struct mail_sync *m)
{
    struct error e;
    m->ok = hinting_sync(&s->hinting, &e);
    if (!m->ok)
        snprintf(m->why, sizeof m->why, "%.*s", (int)sizeof m->why - 1, e.text);
    actor_send(m->asker, &m->msg);
}

/* The log's directory gets the name of the node that inherits it. The mark is on disk before: what
 * the node before had and the log no longer holds, this one will never get from us. */
static void on_replace(struct sender *s, struct mail_replace *m)
{
    char reason[160];
    struct error e;
    snprintf(reason, sizeof reason,
             "node %s was replaced by node %s, which gets only what the log held", m->before,
             m->id);
    hinting_needs_repair(&s->hinting, reason);
    delivery_begin_anew(&s->delivery);
    m->done = hinting_rename(&s->hinting, m->id, &e);
    if (!m->done)
        log_error("%s", e.text);
    m->msg.type = MAIL_REPLACED;
    actor_send(s->o.writer, &m->msg);
}

/* ---- a peer that has left ----------------------------------------------------------------------
 */

static void on_farewell_over(uv_timer_t *t)
{
    struct sender *s = t->data;
    actor_stop(&s->actor);
}

/* Who waits for a verdict hears that this replica counts neither for the write nor against it. */
static void answer_waiters(struct sender *s)
{
    waiters_settle(&s->waiters, s->node, UINT64_MAX, VERDICT_KEPT, REFUSAL_NONE);
}

static const char left_the_ring[] = "it has left the ring";

static void on_gone(struct sender *s)
{
    if (s->gone)
        return;
    answer_waiters(s);
    sender_drop_link(s, left_the_ring);
    s->gone = true;
    orders_answer(&s->orders, ORDER_DRAIN, left_the_ring, 0, 0);
    orders_answer(&s->orders, ORDER_WAIT, left_the_ring, 0, 0);
    uv_timer_t *const timers[] = {&s->dial, &s->beat, &s->sweep, &s->rate, &s->flush, &s->drain};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        uv_timer_stop(timers[i]);
    __atomic_store_n(&s->peer->let_go, 1, __ATOMIC_RELEASE);
    uv_timer_start(&s->dial, on_farewell_over, 2ull * s->o.config->timeout + FAREWELL_MS, 0);
}

static void receive_for_gone(struct sender *s, struct msg *msg)
{
    switch ((enum mail_type)msg->type) {
    case MAIL_APPENDED: {
        struct mail_appended *m = container_of_(msg, struct mail_appended, msg);
        for (size_t i = 0; i < m->n; i++)
            waiters_add(&s->waiters, &m->waiter[i]);
        answer_waiters(s);
        mem_free(m);
        break;
    }
    case MAIL_READS:
        carrier_ask(&s->carrier, container_of_(msg, struct mail_reads, msg), NULL);
        break;
    case MAIL_SYNC: {
        struct mail_sync *m = container_of_(msg, struct mail_sync, msg);
        m->ok = true; /* nobody will ask for it */
        actor_send(m->asker, &m->msg);
        break;
    }
    case MAIL_ORDER:
        order_answer(container_of_(msg, struct mail_order, msg), left_the_ring);
        break;
    case MAIL_REPLACE: {
        struct mail_replace *m = container_of_(msg, struct mail_replace, msg);
        m->done = false;
        m->msg.type = MAIL_REPLACED;
        actor_send(s->o.writer, &m->msg);
        break;
    }
    default:
        mem_free(msg);
    }
}

static void receive(void *self, struct msg *msg)
{
    struct sender *s = self;
    if (s->gone) {
        receive_for_gone(s, msg);
        return;
    }
    switch ((enum mail_type)msg->type) {
    case MAIL_APPENDED:
        on_appended(s, container_of_(msg, struct mail_appended, msg));
        break;
    case MAIL_READS:
        sender_carry(s, container_of_(msg, struct mail_reads, msg));
        break;
    case MAIL_DIAL:
        sender_dial_back(s);
        mem_free(msg);
        break;
    case MAIL_SYNC:
        on_sync(s, container_of_(msg, struct mail_sync, msg));
        break;
    case MAIL_REPAIR: {
        struct mail_repair *m = container_of_(msg, struct mail_repair, msg);
        hinting_needs_repair(&s->hinting, m->reason);
        mem_free(m);
        break;
    }
    case MAIL_ORDER:
        sender_order(s, container_of_(msg, struct mail_order, msg));
        break;
    case MAIL_REPLACE:
        on_replace(s, container_of_(msg, struct mail_replace, msg));
        break;
    case MAIL_MOVED:
        sender_moved(s);
        mem_free(msg);
        break;
    case MAIL_GONE:
        on_gone(s);
        mem_free(msg);
        break;
    default:
        log_error("sender: unexpected message %u", msg->type);
        mem_free(msg);
    }
}

static void turn_end(void *self)
{
    struct sender *s = self;
    if (sender_accepting(s) && !sender_is_paused(s))
        sender_pump(s);
    if (s->stream_open)
        stream_flush(&s->stream);
    carrier_send(&s->carrier); /* who reads doesn't wait for the disk */
    if (!s->gone)
        hinting_turn_end(&s->hinting);
    waiters_flush(&s->waiters);
}

static void stop(void *self)
{
    struct sender *s = self;
    s->stopping = true;
    dial_cancel(&s->dialled);
    if (sender_accepting(s)) {
        if (!sender_is_paused(s))
            sender_pump(s);
        stream_flush(&s->stream);
    }
    sender_drop_link(s, "this node stops");
    carrier_send(&s->carrier);
    uv_close((uv_handle_t *)&s->dial, NULL);
    uv_close((uv_handle_t *)&s->beat, NULL);
    uv_close((uv_handle_t *)&s->sweep, NULL);
    uv_close((uv_handle_t *)&s->rate, NULL);
    uv_close((uv_handle_t *)&s->flush, NULL);
    uv_close((uv_handle_t *)&s->drain, NULL);
}

static void end(void *self)
{
    struct sender *s = self;
    __atomic_store_n(&s->over, 1, __ATOMIC_RELEASE);
}

static void drop(struct msg *msg)
{
    if (msg->type == MAIL_READS)
        reads_free(container_of_(msg, struct mail_reads, msg));
    else
        mem_free(msg);
}

static const struct actor_ops sender_ops = {.name = "sender",
                                            .start = start,
                                            .receive = receive,
                                            .turn_end = turn_end,
                                            .stop = stop,
                                            .end = end,
                                            .drop = drop};

struct sender *sender_start(const struct sender_options *o, struct error *e)
{
    struct sender *s = MEM_NEW_ALIGNED(struct sender);
    char address[300];
    actor_init(&s->actor, &sender_ops, s);
    s->o = *o;
    s->peer = o->peer;
    s->node = s->carrier.node = (uint16_t)o->peer->node;
    s->hinting = (struct hinting){.config = o->config,
                                  .topology = o->topology,
                                  .peer = o->peer,
                                  .waiters = &s->waiters,
                                  .delivery = &s->delivery,
                                  .clock_trusted = o->clock_trusted};
    s->backoff_ms = SENDER_BACKOFF_MIN;
    const char *where = o->address ? o->address : sender_peer_address(s, address);
    if (!address_parse(where, ADDRESS_TCP_ONLY, &s->address, e))
        goto fail;
    PEER_STORE(s->peer, state, (uint32_t)NODE_DOWN);
    PEER_STORE(s->peer, since_ms, clock_wall_ms());
    delivery_init(&s->delivery, s->peer->hints, o->config->send_window);
    pace_init(&s->pace, o->config->send_window);
    hinting_init(&s->hinting, o->hint_dir);
    s->peer->sender = &s->actor;
    if (actor_start(&s->actor, e))
        return s;
fail:
    hinting_fini(&s->hinting);
    mem_free(s);
    return NULL;
}

void sender_stop(struct sender *s)
{
    actor_stop(&s->actor);
}

void sender_join(struct sender *s)
{
    if (!s->joined)
        actor_join(&s->actor);
    s->joined = true;
}

bool sender_is_over(const struct sender *s)
{
    return __atomic_load_n(&s->over, __ATOMIC_ACQUIRE);
}

void sender_free(struct sender *s)
{
    actor_fini(&s->actor);
    waiters_fini(&s->waiters);
    carrier_fini(&s->carrier);
    orders_fini(&s->orders);
    hinting_fini(&s->hinting);
    delivery_fini(&s->delivery);
    buf_fini(&s->batch);
    mem_free(s);
}
