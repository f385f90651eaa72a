/* What goes out on a link, how fast, and what the peer says of it. */
#include "core/clock.h"
#include "peer/sender_internal.h"
#include "wire/pack.h"
#include <inttypes.h>

#define OUT_MAX      (256u * 1024) /* bytes copied ahead of the socket */
#define RATE_LOOK_MS 100           /* rates may change */
#define BATCH_KEEP   (16u * 1024)  /* bytes of memory for packing that stay between turns */

/* ---- the cursors ---------------------------------------------------------------------------- */

void sender_look_at_waits(struct sender *s)
{
    orders_look(&s->orders, s->peer);
}

void sender_acked(struct sender *s, uint64_t seq)
{
    if (hinting_before_ack(&s->hinting, seq))
        sender_answer_truncated(s);
    delivery_acked(&s->delivery, seq);
    hinting_acked(&s->hinting, seq);
    sender_look_at_waits(s);
}

bool sender_was_given(const struct sender *s, uint64_t seq)
{
    return seq <= hint_log_appended(s->peer->log).seq;
}

/* Nothing goes out of the log because somebody names a number that this node never gave. */
bool sender_was_never_sent(struct sender *s, uint64_t seq)
{
    if (sender_was_given(s, seq))
        return false;
    sender_refuse(s, "not believed", "it says that it has numbers that were never sent to it");
    return true;
}

/* The receiver says where it stands: at a welcome, after a gap, when its store is back. */
void sender_go_on_from(struct sender *s, uint64_t applied)
{
    if (sender_was_never_sent(s, applied))
        return;
    if (hinting_before_ack(&s->hinting, applied) || hinting_lost(&s->hinting))
        sender_answer_truncated(s);
    uint64_t heard = s->delivery.heard;
    bool forward = delivery_go_on_from(&s->delivery, applied);
    hinting_acked(&s->hinting, applied);
    sender_look_at_waits(s);
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
    return sender_accepting(s) && !sender_is_paused(s) && peer_hints(s->peer).pending;
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

#define BEAT_WANTED_MS 100

void sender_send_beat(struct sender *s)
{
    uint64_t now = clock_mono_us();
    s->asked_us = s->asked_us ? s->asked_us : now;
    frame_add(&s->stream.out,
              &(struct frame){.kind = FRAME_BEAT,
                              .seq = now,
                              .stamp = __atomic_load_n(s->o.watermark, __ATOMIC_ACQUIRE)});
    bucket_take_others(&s->dc_rate, FRAME_HEAD);
}

void sender_carry(struct sender *s, struct mail_reads *m)
{
    size_t before = s->stream.out.len;
    carrier_ask(&s->carrier, m, sender_accepting(s) ? &s->stream.out : NULL);
    bucket_take_others(&s->dc_rate, s->stream.out.len - before);
}

/* Hints on their way make it longer: what was known before them stays. */
static void reply_took(struct sender *s, uint64_t us)
{
    bool drains = uv_is_active((uv_handle_t *)&s->drain);
    if (drains)
        pace_sample(&s->pace, us);
    else
        pace_usual(&s->pace, us);
    if (!drains || s->distance.step == DISTANCE_UNKNOWN)
        PEER_STORE(s->peer, distance, distance_sample(&s->distance, us));
}

void sender_beat_wanted(struct sender *s)
{
    uint64_t now = clock_mono_ms();
    if (now - s->wanted_ms < BEAT_WANTED_MS)
        return;
    s->wanted_ms = now;
    sender_send_beat(s);
}

/* A beat comes back: how long that took, and what the peer's clock shows. */
void sender_reply_time(struct sender *s, const struct frame *f)
{
    uint64_t us = clock_mono_us() - f->seq;
    PEER_STORE(s->peer, rtt_us, us);
    mail_clock(s->o.writer, s->node, f->deadline, us / 1000);
    if (f->seq >= s->asked_us)
        s->asked_us = 0;
    reply_took(s, us);
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
        sender_send_beat(s);
    else
        pace_waited(&s->pace, clock_mono_us() - s->asked_us);
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

/* Live traffic behind hints that go at a rate of theirs: it would wait too long for the peer's
 * word. It ends when all is out. */
static void hold_up(struct sender *s, enum delivery_stop why)
{
    bool held =
        (why == DELIVERY_RATE && s->hint_rate.shut) || (s->hinting.held && why != DELIVERY_EMPTY);
    if (held == s->hinting.held)
        return;
    s->hinting.held = held;
    hinting_follow(&s->hinting, peer_state(s->peer), sender_accepting(s));
}

/* ---- out --------------------------------------------------------------------------------------
 */

/* How many bytes of records may go out now. */
static size_t allowed(struct sender *s, bool hints, uint64_t now_ms)
{
    size_t as_hints = SIZE_MAX, as_remote = SIZE_MAX;
    uint64_t answered = PEER_LOAD(s->peer, answered);
    s->hint_rate.shut &= hints;
    if (hints)
        as_hints = bucket_left(&s->hint_rate, CONFIG_LIVE(s->o.config, hint_drain_rate), now_ms);
    if (s->remote) {
        bucket_take_others(&s->dc_rate, answered - s->answered);
        as_remote = bucket_left(&s->dc_rate, CONFIG_LIVE(s->o.config, dc_rate), now_ms);
    }
    s->answered = answered;
    return as_hints < as_remote ? as_hints : as_remote;
}

static void pack(struct sender *s)
{
    struct slice raw = buf_slice(&s->batch);
    if (!pack_add(&s->stream.out, raw))
        buf_add(&s->stream.out, raw.ptr, raw.len);
    buf_reset(&s->batch, BATCH_KEEP);
}

/* A batch of records. False: none went out. */
static bool put_batch(struct sender *s, const struct delivery_now *now, bool hints,
                      enum delivery_stop *why)
{
    bool packs =
        s->remote && s->unpacks && CONFIG_LIVE(s->o.config, dc_compression) == DC_COMPRESSION_LZ4;
    struct buf *out = &s->stream.out, *to = packs ? &s->batch : out;
    size_t before = out->len, begin = to->len;
    uint64_t expired = 0;
    *why = delivery_pump(&s->delivery, to, OUT_MAX, now, &expired);
    hinting_expired(&s->hinting, expired);
    size_t raw = to->len - begin;
    if (packs && raw)
        pack(s);
    if (hints)
        bucket_take(&s->hint_rate, raw);
    if (s->remote) {
        bucket_take(&s->dc_rate, out->len - before);
        PEER_STORE(s->peer, dc_raw, s->peer->dc_raw + raw);
        PEER_STORE(s->peer, dc_sent, s->peer->dc_sent + out->len - before);
    }
    return raw > 0;
}

static void wait_for_rate(struct sender *s)
{
    uint64_t hints = s->hint_rate.shut ? bucket_wait_ms(&s->hint_rate) : 0;
    uint64_t remote = s->dc_rate.shut ? bucket_wait_ms(&s->dc_rate) : 0;
    uint64_t ms = hints > remote ? hints : remote;
    if (!uv_is_active((uv_handle_t *)&s->rate))
        uv_timer_start(&s->rate, on_rate, ms < RATE_LOOK_MS ? ms : RATE_LOOK_MS, 0);
}

void sender_pump(struct sender *s)
{
    bool trusted = __atomic_load_n(s->o.clock_trusted, __ATOMIC_RELAXED);
    bool hints = peer_hints(s->peer).pending > 0;
    uint64_t now_ms = clock_mono_ms();
    struct delivery_now now = {.steady_ms = trusted ? clock_steady_ms() : 0};
    enum delivery_stop why = DELIVERY_WINDOW;
    if (hints)
        start_draining(s);
    /* live traffic that is behind isn't held up */
    if (hints && !CONFIG_LIVE(s->o.config, hint_drain_rate) && hinting_was_away(&s->hinting))
        now.pace = s->pace.window;
    while (s->stream.out.len < OUT_MAX && why != DELIVERY_EMPTY) {
        now.allowed = allowed(s, hints, now_ms);
        if (!put_batch(s, &now, hints, &why))
            break;
    }
    if (why == DELIVERY_RATE)
        wait_for_rate(s);
    hold_up(s, why);
}
