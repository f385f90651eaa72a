#include "peer/sender.h"
#include "core/address.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/stream.h"
#include "peer/carrier.h"
#include "peer/delivery.h"
#include "peer/hinting.h"
#include "peer/meter.h"
#include "peer/orders.h"
#include "peer/orphans.h"
#include "peer/pace.h"
#include "peer/waiters.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX       (256u * 1024) /* bytes copied ahead of the socket */
#define BACKOFF_MIN   50
#define BACKOFF_MAX   2000
#define HEARTBEATS    3
#define GREETING_MS   3000
#define TAKEN_PER_MS  50000 /* bytes; a slow disk's 50 MB/s */
#define RATE_TICK_MS  20
#define FLUSH_MS      1000
#define SWEEP_LOOK_MS 1000

enum phase { IDLE, CONNECTING, GREETING, PROVING, UP };

struct sender {
    struct actor actor;
    struct sender_options o;
    struct peer *peer;
    uint16_t node;
    struct address address;

    enum phase phase;
    struct stream stream;
    bool stream_open, resolving, stopping;
    uv_getaddrinfo_t names;
    uv_timer_t dial, beat, sweep, rate, flush, drain;
    unsigned backoff_ms;
    uint64_t phase_since_ms, beat_ms, swept_ms;
    uint8_t challenge[CHALLENGE_SIZE];
    struct greeting *theirs; /* during the handshake */
    uint64_t upper_max;      /* no number above this upper half goes out on the link */
    char refused[300];       /* the last reason logged, so that retries don't repeat it */

    struct link_word word; /* what the peer said last */
    struct delivery delivery;
    struct waiters waiters;
    struct hinting hinting;
    struct orders orders;
    struct pace pace;
    uint64_t asked_us; /* the oldest heartbeat that isn't answered; 0: none */
    struct meter drain_meter, live_meter;
    struct carrier carrier;
};

/* ---- state ---------------------------------------------------------------------------------- */

static bool accepting(const struct sender *s)
{
    return s->phase == UP && s->word.backend_up;
}

static const char *peer_address(const struct sender *s, char out[300])
{
    return hinting_address(&s->hinting, out);
}

static void answer_truncated(struct sender *s)
{
    orders_answer(&s->orders, ORDER_TRUNCATE, NULL, s->hinting.cut_records, s->hinting.cut_bytes);
}

static bool is_paused(const struct sender *s)
{
    return PEER_LOAD(s->peer, paused);
}

/* Publishes what the link and the peer's own word tell; one log line for each change. */
static void publish(struct sender *s, const char *reason)
{
    enum node_state now = !accepting(s) ? NODE_DOWN : s->word.state, was = peer_state(s->peer);
    PEER_STORE(s->peer, link_up, s->phase == UP);
    if (now != was) {
        char address[300];
        PEER_STORE(s->peer, state, (uint32_t)now);
        PEER_STORE(s->peer, since_ms, clock_wall_ms());
        log_notice("peer %s: %s -> %s (%s)", peer_address(s, address), node_state_name(was),
                   node_state_name(now), reason);
    }
    hinting_follow(&s->hinting, now, accepting(s));
    if (accepting(s))
        orders_answer(&s->orders, ORDER_DRAIN, NULL, 0, 0);
    else if (hinting_lost(&s->hinting))
        answer_truncated(s);
}

/* ---- the cursors ---------------------------------------------------------------------------- */

static void refuse(struct sender *s, const char *what, const char *reason);

static void look_at_waits(struct sender *s)
{
    orders_look(&s->orders, s->peer);
}

static void on_ack(struct sender *s, uint64_t seq)
{
    if (hinting_before_ack(&s->hinting, seq))
        answer_truncated(s);
    delivery_acked(&s->delivery, seq);
    hinting_acked(&s->hinting, seq);
    look_at_waits(s);
}

static bool was_given(const struct sender *s, uint64_t seq)
{
    return seq <= hint_log_appended(s->peer->log).seq;
}

/* Nothing goes out of the log because somebody names a number that this node never gave. */
static bool was_never_sent(struct sender *s, uint64_t seq)
{
    if (was_given(s, seq))
        return false;
    refuse(s, "not believed", "it says that it has numbers that were never sent to it");
    return true;
}

/* The receiver says where it stands: at a welcome, after a gap, when its store is back. */
static void go_on_from(struct sender *s, uint64_t applied)
{
    if (was_never_sent(s, applied))
        return;
    if (hinting_before_ack(&s->hinting, applied) || hinting_lost(&s->hinting))
        answer_truncated(s);
    uint64_t heard = s->delivery.heard;
    bool forward = delivery_go_on_from(&s->delivery, applied);
    hinting_acked(&s->hinting, applied);
    look_at_waits(s);
    if (forward)
        return;
    char reason[200];
    snprintf(reason, sizeof reason,
             "it has gone back in time: it has %" PRIx64 " of ours and had acknowledged %" PRIx64,
             applied, heard);
    hinting_needs_repair(&s->hinting, reason);
}

static void on_rate(uv_timer_t *t)
{
    (void)t; /* the turn's end sends */
}

/* ---- while hints go out: figures, and the reply time that paces them ---------------------------
 */

static bool draining(const struct sender *s)
{
    return accepting(s) && !is_paused(s) && peer_hints(s->peer).pending;
}

static uint64_t wire_bytes(struct hint_position at)
{
    return at.bytes + at.records * FRAME_HEAD;
}

static void measure(struct sender *s)
{
    uint64_t now = clock_mono_ms();
    uint64_t out = wire_bytes(hint_log_acked(s->peer->log));
    uint64_t in = wire_bytes(hint_log_appended(s->peer->log));
    PEER_STORE(s->peer, drain_rate, meter_look(&s->drain_meter, out, now));
    PEER_STORE(s->peer, live_rate, meter_look(&s->live_meter, in, now));
}

static void send_beat(struct sender *s)
{
    uint64_t now = clock_mono_us();
    s->asked_us = s->asked_us ? s->asked_us : now;
    frame_add(&s->stream.out,
              &(struct frame){.kind = FRAME_BEAT,
                              .seq = now,
                              .stamp = __atomic_load_n(s->o.watermark, __ATOMIC_ACQUIRE)});
}

/* A beat comes back: how long that took, and what the peer's clock shows. */
static void on_reply_time(struct sender *s, const struct frame *f)
{
    uint64_t us = clock_mono_us() - f->seq;
    PEER_STORE(s->peer, rtt_us, us);
    mail_clock(s->o.writer, s->node, f->deadline, us / 1000);
    if (f->seq >= s->asked_us)
        s->asked_us = 0;
    if (uv_is_active((uv_handle_t *)&s->drain))
        pace_sample(&s->pace, us);
    else
        pace_usual(&s->pace, us);
}

static void on_drain(uv_timer_t *t)
{
    struct sender *s = t->data;
    if (!draining(s)) {
        uv_timer_stop(t);
        PEER_STORE(s->peer, drain_rate, 0);
        PEER_STORE(s->peer, live_rate, 0);
        return;
    }
    measure(s);
    if (!s->asked_us)
        send_beat(s);
    else /* it is a reply time of at least so much */
        pace_sample(&s->pace, clock_mono_us() - s->asked_us);
}

static void start_draining(struct sender *s)
{
    if (uv_is_active((uv_handle_t *)&s->drain))
        return;
    pace_begin(&s->pace);
    s->drain_meter = s->live_meter = (struct meter){0};
    measure(s);
    uv_timer_start(&s->drain, on_drain, PACE_EVERY_MS, PACE_EVERY_MS);
}

/* Live traffic behind hints that go at a rate: it would wait too long for the peer's word. It ends
 * when all is out. */
static void hold_up(struct sender *s, enum delivery_stop why)
{
    bool held = why == DELIVERY_RATE || (s->hinting.held && why != DELIVERY_EMPTY);
    if (held == s->hinting.held)
        return;
    s->hinting.held = held;
    hinting_follow(&s->hinting, peer_state(s->peer), accepting(s));
}

static void pump(struct sender *s)
{
    bool trusted = __atomic_load_n(s->o.clock_trusted, __ATOMIC_RELAXED);
    struct delivery_now now = {.mono_ms = clock_mono_ms(),
                               .steady_ms = trusted ? clock_steady_ms() : 0,
                               .hints = peer_hints(s->peer).pending > 0,
                               .rate = CONFIG_LIVE(s->o.config, hint_drain_rate)};
    uint64_t expired = 0;
    if (now.hints)
        start_draining(s);
    if (!now.rate && hinting_was_away(&s->hinting)) /* live traffic that is behind isn't held up */
        now.pace = s->pace.window;
    enum delivery_stop why = delivery_pump(&s->delivery, &s->stream.out, OUT_MAX, &now, &expired);
    hinting_expired(&s->hinting, expired);
    if (why == DELIVERY_RATE && !uv_is_active((uv_handle_t *)&s->rate))
        uv_timer_start(&s->rate, on_rate, RATE_TICK_MS, 0);
    hold_up(s, why);
}

/* ---- the link ---------------------------------------------------------------------------------
 */

static void redial_in(struct sender *s, unsigned ms);
static void connect_now(struct sender *s);

/* Who wanted hints to be delivered now is told why they aren't. */
static void not_linked(struct sender *s, const char *reason)
{
    char text[200];
    snprintf(text, sizeof text, "it is down: %.180s", reason);
    orders_answer(&s->orders, ORDER_DRAIN, text, 0, 0);
}

static void drop_link(struct sender *s, const char *reason)
{
    if (s->phase == IDLE)
        return;
    bool was_up = s->phase == UP;
    s->phase = IDLE;
    mem_free(s->theirs);
    s->theirs = NULL;
    carrier_fail(&s->carrier);
    if (was_up)
        s->backoff_ms = BACKOFF_MIN;
    publish(s, reason);
    not_linked(s, reason);
    if (s->stream_open)
        stream_close(&s->stream);
}

static void refuse(struct sender *s, const char *what, const char *reason)
{
    char address[300];
    if (strncmp(s->refused, reason, sizeof s->refused - 1) != 0)
        log_warn("peer %s: %s: %s", peer_address(s, address), what, reason);
    snprintf(s->refused, sizeof s->refused, "%s", reason);
    s->backoff_ms = BACKOFF_MAX;
    drop_link(s, reason);
}

static void tell_writer(struct sender *s, const struct greeting *g)
{
    struct mail_met *m = MEM_NEW(struct mail_met);
    m->msg.type = MAIL_MET;
    m->node = s->node;
    memcpy(m->id, g->id, sizeof m->id);
    m->wall_ms = g->wall_ms;
    actor_send(s->o.writer, &m->msg);
}

/* Does another node's id stand at this place? */
static bool is_newcomer(const struct sender *s, const char *id)
{
    rcu_read_begin();
    const char *known = RCU_GET(*s->o.topology)->nodes[s->node].id;
    bool other = *known && strcmp(known, id) != 0;
    rcu_read_end();
    return other;
}

/* If it may have it, the next dial finds it there. */
static void ask_for_its_place(struct sender *s, const struct greeting *g)
{
    char known[NODE_ID_SIZE];
    struct error e;
    if (PEER_LOAD(s->peer, greeted)) {
        rcu_read_begin();
        memcpy(known, RCU_GET(*s->o.topology)->nodes[s->node].id, sizeof known);
        rcu_read_end();
        (void)error_set(&e, "node %s is at a place that belongs to node %s, which is linked", g->id,
                        known);
        handshake_add_refuse(&s->stream.out, e.text);
        stream_flush(&s->stream);
        refuse(s, "not accepted", e.text);
        return;
    }
    tell_writer(s, g);
    drop_link(s, "a new node answers here");
}

static void on_challenge(struct sender *s, const struct frame *f)
{
    struct error e;
    struct greeting *g = s->theirs = MEM_NEW(struct greeting);
    unsigned node = 0;
    bool ok = handshake_read_challenge(f->payload, g, &e);
    if (ok) {
        rcu_read_begin();
        ok = handshake_check(s->o.me, RCU_GET(*s->o.topology), g, &node, &e);
        rcu_read_end();
    }
    ok = ok && orphans_check(s->o.orphans, g->id, &e);
    if (ok && node != s->node)
        ok = error_set(&e, "node %s of datacenter %s, rack %s answers here", g->id, g->datacenter,
                       g->rack);
    if (ok)
        ok =
            handshake_proven(s->o.me, HANDSHAKE_RECEIVER, g, g->id, s->challenge, g->challenge, &e);
    if (ok && is_newcomer(s, g->id)) {
        ask_for_its_place(s, g);
        return;
    }
    if (!ok) {
        handshake_add_refuse(&s->stream.out, e.text);
        stream_flush(&s->stream);
        refuse(s, "not accepted", e.text);
        return;
    }
    mail_clock(s->o.writer, s->node, g->wall_ms, clock_mono_ms() - s->phase_since_ms);
    handshake_add_proof(&s->stream.out, s->o.me, g->id, s->challenge, g->challenge);
    s->phase = PROVING;
}

static void on_welcome(struct sender *s, const struct frame *f)
{
    struct error e;
    if (!handshake_read_welcome(f->payload, &s->word, &e)) {
        refuse(s, "bad welcome", e.text);
        return;
    }
    s->phase = UP;
    s->backoff_ms = BACKOFF_MIN;
    s->asked_us = 0;
    tell_writer(s, s->theirs);
    mem_free(s->theirs);
    s->theirs = NULL;
    if (s->word.backend_up) /* else it doesn't know yet what it has applied */
        go_on_from(s, s->word.applied);
    if (s->phase == UP)
        s->refused[0] = 0;
    publish(s, "linked");
    if (s->phase == UP && !s->word.backend_up)
        not_linked(s, "its store can't serve");
}

static void on_state(struct sender *s, const struct frame *f)
{
    struct error e;
    struct link_word word;
    if (!handshake_read_state(f->payload, &word, &e)) {
        refuse(s, "bad state", e.text);
        return;
    }
    bool back = word.backend_up && !s->word.backend_up, gone = !word.backend_up;
    s->word = word;
    if (back)
        go_on_from(s, word.applied);
    if (gone)
        carrier_fail(&s->carrier);
    publish(s, gone ? "its store can't serve" : "it says so");
    if (gone)
        not_linked(s, "its store can't serve");
}

static void on_link_frame(struct sender *s, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_ACK:
        if (!was_never_sent(s, f->seq))
            on_ack(s, f->seq);
        if (f->flags & FRAME_FAILED)
            hinting_needs_repair(&s->hinting, "it passed over writes that came too late");
        break;
    case FRAME_REPLY:
        if (was_given(s, f->seq)) /* else nobody waits for it */
            waiters_reply(&s->waiters, s->node, frame_reply_first(f), f->seq, f->payload);
        break;
    case FRAME_REWIND:
        go_on_from(s, f->seq);
        break;
    case FRAME_STATE:
        on_state(s, f);
        break;
    case FRAME_READ_REPLY:
        carrier_answer(&s->carrier, f);
        break;
    case FRAME_BEAT:
        if (f->seq) /* else nobody asked: it is busy with something large */
            on_reply_time(s, f);
        break;
    default:
        refuse(s, "protocol", "a frame that doesn't belong here");
        break;
    }
}

static void on_frame(struct sender *s, const struct frame *f)
{
    if (f->kind == FRAME_REFUSE) {
        char reason[256];
        handshake_read_refuse(f->payload, reason, sizeof reason);
        refuse(s, "it refuses this node", reason);
    } else if (s->phase == GREETING && f->kind == FRAME_CHALLENGE) {
        on_challenge(s, f);
    } else if (s->phase == PROVING && f->kind == FRAME_WELCOME) {
        on_welcome(s, f);
    } else if (s->phase == UP) {
        on_link_frame(s, f);
    } else {
        refuse(s, "protocol", "it doesn't speak our link protocol");
    }
}

static void on_data(struct stream *st)
{
    struct sender *s = st->owner;
    PEER_STORE(s->peer, heard_ms, clock_mono_ms());
    st->in_want = 0;
    while (s->phase != IDLE && st->in.len) {
        struct frame f;
        size_t size = 0;
        size_t max = s->phase == UP ? FRAME_PAYLOAD_MAX : HANDSHAKE_MAX;
        enum frame_status rc = frame_parse(buf_head(&st->in), st->in.len, max, &f, &size);
        if (rc == FRAME_MORE) {
            st->in_want = size;
            return;
        }
        if (rc != FRAME_OK) {
            refuse(s, "protocol",
                   rc == FRAME_BAD_CRC ? "a frame with a wrong checksum"
                                       : "it doesn't speak our link protocol");
            return;
        }
        on_frame(s, &f);
        if (s->phase != IDLE)
            buf_eat(&st->in, size);
    }
}

static void on_connect(struct stream *st)
{
    struct sender *s = st->owner;
    s->phase = GREETING;
    s->phase_since_ms = clock_mono_ms();
    handshake_challenge(s->challenge);
    uint64_t newest = hint_log_appended(s->peer->log).seq;
    uint64_t hints = peer_hints(s->peer).pending ? newest : 0;
    struct identity me = *s->o.me; /* its numbers may have gone on to a higher upper half */
    me.start_mark = newest >> 32 > me.start_mark ? newest >> 32 : me.start_mark;
    s->upper_max = me.start_mark;
    handshake_add_hello(&st->out, &me, s->challenge, hints);
}

static void on_end(struct stream *st, const char *reason)
{
    drop_link(st->owner, reason);
}

static void on_stream_closed(struct stream *st)
{
    struct sender *s = st->owner;
    s->stream_open = false;
    if (s->stopping)
        return;
    if (orders_have(&s->orders, ORDER_DRAIN))
        connect_now(s);
    else
        redial_in(s, s->backoff_ms);
}

/* The socket was full and takes bytes again, so somebody reads at the other end: a sign of life
 * while a large value is on its way and no heartbeat can be. */
static void on_progress(struct stream *st)
{
    struct sender *s = st->owner;
    PEER_STORE(s->peer, heard_ms, clock_mono_ms());
}

static const struct stream_ops link_ops = {.on_connect = on_connect,
                                           .on_data = on_data,
                                           .on_end = on_end,
                                           .on_progress = on_progress,
                                           .on_closed = on_stream_closed};

static void no_connection(struct sender *s, const char *reason)
{
    s->phase = IDLE;
    publish(s, reason);
    not_linked(s, reason);
    redial_in(s, s->backoff_ms);
}

static void connect_to(struct sender *s, const struct sockaddr *to, socklen_t len)
{
    struct error e;
    s->phase_since_ms = clock_mono_ms();
    s->stream_open = stream_connect(&s->stream, &s->actor.loop, to, len, &link_ops, s, &e);
    if (!s->stream_open)
        no_connection(s, e.text);
}

static void on_names(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct sender *s = req->data;
    s->resolving = false;
    if (!s->stopping && status < 0)
        no_connection(s, uv_strerror(status));
    else if (!s->stopping)
        connect_to(s, found->ai_addr, found->ai_addrlen);
    uv_freeaddrinfo(found);
}

/* A name is looked up beside the loop: hints go on being synced while a resolver hangs. */
static void resolve(struct sender *s)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    snprintf(port, sizeof port, "%u", s->address.port);
    s->names.data = s;
    int rc = uv_getaddrinfo(&s->actor.loop, &s->names, on_names, s->address.host, port, &hints);
    s->resolving = rc == 0;
    if (rc < 0)
        no_connection(s, uv_strerror(rc));
}

static void connect_now(struct sender *s)
{
    struct error e;
    struct sockaddr_storage to;
    socklen_t len = 0;
    if (s->stream_open || s->resolving || s->stopping)
        return;
    s->phase = CONNECTING;
    if (!address_is_number(&s->address))
        resolve(s);
    else if (address_resolve(&s->address, &to, &len, &e))
        connect_to(s, (struct sockaddr *)&to, len);
    else
        no_connection(s, e.text);
}

static void on_dial(uv_timer_t *t)
{
    connect_now(t->data);
}

/* Back-off doubles; a quarter of it is jitter, so that nodes don't dial in step. */
static void redial_in(struct sender *s, unsigned ms)
{
    unsigned jitter = (unsigned)random() % (ms / 4 + 1);
    uv_timer_start(&s->dial, on_dial, ms - ms / 8 + jitter, 0);
    s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX ? s->backoff_ms * 2 : BACKOFF_MAX;
}

static void dial_back(struct sender *s)
{
    s->backoff_ms = BACKOFF_MIN;
    if (s->phase == IDLE && !s->stream_open)
        connect_now(s);
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
    if (s->phase == UP && now - PEER_LOAD(s->peer, heard_ms) > patience(s))
        drop_link(s, "no heartbeat");
    else if (s->phase != UP && s->stream_open && now - s->phase_since_ms > greeting)
        drop_link(s, "no answer to the handshake");
}

static void on_beat(uv_timer_t *t)
{
    struct sender *s = t->data;
    uint64_t now = clock_mono_ms(), since = now - s->beat_ms;
    s->beat_ms = now;
    if (since < 2 * s->o.config->gos_interval) /* else it was this thread that was away */
        check_silence(s, now);
    if (s->phase == UP)
        send_beat(s);
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
        hinting_sweep(&s->hinting, !accepting(s) || is_paused(s), accepting(s));
        look_at_waits(s);
        orders_forget(&s->orders, now);
    }
    follow_hint_sync(s);
    uint64_t left = s->swept_ms + interval - now;
    uv_timer_start(t, on_sweep, left < SWEEP_LOOK_MS ? left : SWEEP_LOOK_MS, 0);
}

/* ---- what dyn-admin asks for -------------------------------------------------------------------
 */

static void pause_delivery(struct sender *s, struct mail_order *m, bool pause)
{
    if (pause && !s->o.config->enable_hinted_handoff) {
        order_answer(m, "hinted handoff is off");
        return;
    }
    if (pause != is_paused(s)) {
        char address[300];
        log_notice("peer %s: delivery is %s", peer_address(s, address),
                   pause ? "paused" : "resumed");
        PEER_STORE(s->peer, paused, pause);
        hinting_follow(&s->hinting, peer_state(s->peer), accepting(s));
    }
    order_answer(m, NULL);
}

/* Done when it is linked: whoever is linked and not paused is being delivered to. */
static void drain_now(struct sender *s, struct mail_order *m)
{
    if (is_paused(s))
        order_answer(m, "delivery to it is paused");
    else if (accepting(s))
        order_answer(m, NULL);
    else if (s->phase == UP)
        order_answer(m, "it is down: its store can't serve");
    else {
        orders_keep(&s->orders, m);
        dial_back(s);
    }
}

static void truncate_hints(struct sender *s, struct mail_order *m)
{
    if (s->hinting.cut.open) {
        order_answer(m, "its hints are being truncated already");
        return;
    }
    orders_keep(&s->orders, m);
    if (hinting_truncate(&s->hinting, accepting(s)))
        answer_truncated(s);
    look_at_waits(s);
}

static void wait_for_hints(struct sender *s, struct mail_order *m)
{
    m->upto = hinting_end(&s->hinting);
    orders_keep(&s->orders, m);
    look_at_waits(s);
}

static void on_order(struct sender *s, struct mail_order *m)
{
    struct error e;
    switch (m->order) {
    case ORDER_PAUSE:
    case ORDER_RESUME:
        pause_delivery(s, m, m->order == ORDER_PAUSE);
        break;
    case ORDER_DRAIN:
        drain_now(s, m);
        break;
    case ORDER_TRUNCATE:
        truncate_hints(s, m);
        break;
    case ORDER_WAIT:
        wait_for_hints(s, m);
        break;
    case ORDER_REPAIRED:
        order_answer(m, hinting_repaired(&s->hinting, &e) ? NULL : e.text);
        break;
    case ORDER_HANDOFF:
        order_answer(m, "it is configured: it gets its hints itself");
        break;
    }
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
    connect_now(s);
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
        drop_link(s, "numbers go on above what it was told to expect");
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

static void receive(void *self, struct msg *msg)
{
    struct sender *s = self;
    switch ((enum mail_type)msg->type) {
    case MAIL_APPENDED:
        on_appended(s, container_of_(msg, struct mail_appended, msg));
        break;
    case MAIL_READS:
        carrier_ask(&s->carrier, container_of_(msg, struct mail_reads, msg),
                    accepting(s) ? &s->stream.out : NULL);
        break;
    case MAIL_DIAL:
        dial_back(s);
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
        on_order(s, container_of_(msg, struct mail_order, msg));
        break;
    case MAIL_REPLACE:
        on_replace(s, container_of_(msg, struct mail_replace, msg));
        break;
    default:
        log_error("sender: unexpected message %u", msg->type);
        mem_free(msg);
    }
}

static void turn_end(void *self)
{
    struct sender *s = self;
    if (accepting(s) && !is_paused(s))
        pump(s);
    if (s->stream_open)
        stream_flush(&s->stream);
    carrier_send(&s->carrier); /* who reads doesn't wait for the disk */
    hinting_turn_end(&s->hinting);
    waiters_flush(&s->waiters);
}

static void stop(void *self)
{
    struct sender *s = self;
    s->stopping = true;
    if (s->resolving)
        (void)uv_cancel((uv_req_t *)&s->names); /* or it ends by itself */
    if (accepting(s)) {
        if (!is_paused(s))
            pump(s);
        stream_flush(&s->stream);
    }
    drop_link(s, "this node stops");
    carrier_send(&s->carrier);
    uv_close((uv_handle_t *)&s->dial, NULL);
    uv_close((uv_handle_t *)&s->beat, NULL);
    uv_close((uv_handle_t *)&s->sweep, NULL);
    uv_close((uv_handle_t *)&s->rate, NULL);
    uv_close((uv_handle_t *)&s->flush, NULL);
    uv_close((uv_handle_t *)&s->drain, NULL);
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
                                            .drop = drop};

struct sender *sender_start(const struct sender_options *o, struct error *e)
{
    struct sender *s = MEM_NEW(struct sender);
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
    s->backoff_ms = BACKOFF_MIN;
    if (!address_parse(peer_address(s, address), ADDRESS_TCP_ONLY, &s->address, e))
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
    actor_join(&s->actor);
}

void sender_free(struct sender *s)
{
    actor_fini(&s->actor);
    waiters_fini(&s->waiters);
    carrier_fini(&s->carrier);
    orders_fini(&s->orders);
    hinting_fini(&s->hinting);
    delivery_fini(&s->delivery);
    mem_free(s);
}
