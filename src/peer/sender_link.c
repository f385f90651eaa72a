/* The link to the peer: dialled, proven, read from, dropped, dialled again. */
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/sender_internal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MAX 2000 /* ms */

/* ---- the link ---------------------------------------------------------------------------------
 */

static void redial_in(struct sender *s, unsigned ms);

/* Who wanted hints to be delivered now is told why they aren't. */
static void not_linked(struct sender *s, const char *reason)
{
    char text[200];
    snprintf(text, sizeof text, "it is down: %.180s", reason);
    orders_answer(&s->orders, ORDER_DRAIN, text, 0, 0);
}

void sender_drop_link(struct sender *s, const char *reason)
{
    if (s->phase == IDLE)
        return;
    bool was_up = s->phase == UP;
    s->phase = IDLE;
    mem_free(s->theirs);
    s->theirs = NULL;
    carrier_fail(&s->carrier);
    if (was_up)
        s->backoff_ms = SENDER_BACKOFF_MIN;
    sender_publish(s, reason);
    not_linked(s, reason);
    if (s->stream_open)
        stream_close(&s->stream);
}

void sender_refuse(struct sender *s, const char *what, const char *reason)
{
    char address[300];
    if (strncmp(s->refused, reason, sizeof s->refused - 1) != 0)
        log_warn("peer %s: %s: %s", sender_peer_address(s, address), what, reason);
    snprintf(s->refused, sizeof s->refused, "%s", reason);
    s->backoff_ms = BACKOFF_MAX;
    sender_drop_link(s, reason);
}

/* It hasn't heard of this node yet. */
static void wait_to_be_known(struct sender *s, const char *reason)
{
    sender_drop_link(s, reason);
    s->backoff_ms = s->o.config->gos_interval;
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
    const struct topology *t = RCU_GET(*s->o.topology);
    const char *known = s->node < t->n ? t->nodes[s->node].id : "";
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
        sender_refuse(s, "not accepted", e.text);
        return;
    }
    tell_writer(s, g);
    sender_drop_link(s, "a new node answers here");
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
        sender_refuse(s, "not accepted", e.text);
        return;
    }
    s->remote = strcmp(g->datacenter, s->o.me->datacenter) != 0;
    s->unpacks = g->unpacks;
    mail_clock(s->o.writer, s->node, g->wall_ms, clock_mono_ms() - s->phase_since_ms);
    handshake_add_proof(&s->stream.out, s->o.me, g->id, s->challenge, g->challenge);
    s->phase = PROVING;
}

static void on_welcome(struct sender *s, const struct frame *f)
{
    struct error e;
    if (!handshake_read_welcome(f->payload, &s->word, &e)) {
        sender_refuse(s, "bad welcome", e.text);
        return;
    }
    s->phase = UP;
    s->backoff_ms = SENDER_BACKOFF_MIN;
    s->asked_us = 0;
    tell_writer(s, s->theirs);
    mem_free(s->theirs);
    s->theirs = NULL;
    if (s->word.backend_up) /* else it doesn't know yet what it has applied */
        sender_go_on_from(s, s->word.applied);
    if (s->phase == UP)
        s->refused[0] = 0;
    sender_publish(s, "linked");
    if (s->phase == UP && !s->word.backend_up)
        not_linked(s, "its store can't serve");
}

static void on_state(struct sender *s, const struct frame *f)
{
    struct error e;
    struct link_word word;
    if (!handshake_read_state(f->payload, &word, &e)) {
        sender_refuse(s, "bad state", e.text);
        return;
    }
    bool back = word.backend_up && !s->word.backend_up, gone = !word.backend_up;
    s->word = word;
    if (back)
        sender_go_on_from(s, word.applied);
    if (gone)
        carrier_fail(&s->carrier);
    sender_publish(s, gone ? "its store can't serve" : "it says so");
    if (gone)
        not_linked(s, "its store can't serve");
}

static void on_link_frame(struct sender *s, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_ACK:
        if (!sender_was_never_sent(s, f->seq))
            sender_acked(s, f->seq);
        if (f->flags & FRAME_FAILED)
            hinting_needs_repair(&s->hinting, "it passed over writes that came too late");
        break;
    case FRAME_REPLY:
        if (sender_was_given(s, f->seq)) /* else nobody waits for it */
            waiters_reply(&s->waiters, s->node, frame_reply_first(f), f->seq, f->payload);
        break;
    case FRAME_REWIND:
        sender_go_on_from(s, f->seq);
        break;
    case FRAME_STATE:
        on_state(s, f);
        break;
    case FRAME_READ_REPLY:
        carrier_answer(&s->carrier, f);
        break;
    case FRAME_BEAT_WANTED:
        sender_beat_wanted(s);
        break;
    case FRAME_BEAT:
        if (f->seq) /* else nobody asked: it is busy with something large */
            sender_reply_time(s, f);
        break;
    default:
        sender_refuse(s, "protocol", "a frame that doesn't belong here");
        break;
    }
}

static void on_frame(struct sender *s, const struct frame *f)
{
    if (f->kind == FRAME_REFUSE) {
        char reason[256];
        bool for_now;
        handshake_read_refuse(f->payload, reason, sizeof reason, &for_now);
        if (for_now && s->o.config->enable_gossip)
            wait_to_be_known(s, reason);
        else
            sender_refuse(s, "it refuses this node", reason);
    } else if (s->phase == GREETING && f->kind == FRAME_CHALLENGE) {
        on_challenge(s, f);
    } else if (s->phase == PROVING && f->kind == FRAME_WELCOME) {
        on_welcome(s, f);
    } else if (s->phase == UP) {
        on_link_frame(s, f);
    } else {
        sender_refuse(s, "protocol", "it doesn't speak our link protocol");
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
            sender_refuse(s, "protocol",
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
    sender_drop_link(st->owner, reason);
}

static void on_stream_closed(struct stream *st)
{
    struct sender *s = st->owner;
    s->stream_open = false;
    if (s->stopping || s->gone)
        return;
    if (orders_have(&s->orders, ORDER_DRAIN))
        sender_connect_now(s);
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
    sender_publish(s, reason);
    not_linked(s, reason);
    redial_in(s, s->backoff_ms);
}

static void on_dialled(void *owner, const char *reason)
{
    struct sender *s = owner;
    bool wanted = !s->stopping && !s->gone;
    s->stream_open = !reason;
    s->phase_since_ms = clock_mono_ms();
    if (!wanted)
        s->phase = IDLE;
    if (!wanted && !reason)
        stream_close(&s->stream);
    else if (wanted && reason)
        no_connection(s, reason);
}

void sender_connect_now(struct sender *s)
{
    if (s->stream_open || s->dialled.busy || s->stopping || s->gone)
        return;
    s->phase = CONNECTING;
    dial_start(&s->dialled, &s->actor.loop, &s->address, &s->stream, &link_ops, s, on_dialled);
}

static void on_dial(uv_timer_t *t)
{
    sender_connect_now(t->data);
}

/* Back-off doubles; a quarter of it is jitter, so that nodes don't dial in step. */
static void redial_in(struct sender *s, unsigned ms)
{
    unsigned jitter = (unsigned)random() % (ms / 4 + 1);
    uv_timer_start(&s->dial, on_dial, ms - ms / 8 + jitter, 0);
    s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX ? s->backoff_ms * 2 : BACKOFF_MAX;
}

/* A link that is up stays: it has proven who is at its other end. */
void sender_moved(struct sender *s)
{
    char address[300];
    struct address fresh;
    struct error e;
    if (!address_parse(sender_peer_address(s, address), ADDRESS_TCP_ONLY, &fresh, &e)) {
        log_error("peer %s: %s", address, e.text);
        return;
    }
    s->address = fresh;
    s->refused[0] = 0;
    if (s->phase == UP)
        return;
    s->backoff_ms = SENDER_BACKOFF_MIN;
    if (s->stream_open)
        sender_drop_link(s, "it has another address");
    else
        sender_connect_now(s);
}

void sender_dial_back(struct sender *s)
{
    s->backoff_ms = SENDER_BACKOFF_MIN;
    if (s->phase == IDLE && !s->stream_open)
        sender_connect_now(s);
}
