#include "peer/sender.h"
#include "core/address.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/stream.h"
#include "hint/mark.h"
#include "peer/delivery.h"
#include "peer/reads.h"
#include "peer/waiters.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX      (256u * 1024) /* bytes copied ahead of the socket */
#define ANSWERS_MAX  (64u * 1024)  /* bytes of answers in one message; one may have any size */
#define BACKOFF_MIN  50
#define BACKOFF_MAX  2000
#define HEARTBEATS   3
#define GREETING_MS  3000
#define TAKEN_PER_MS 50000 /* bytes; a slow disk's 50 MB/s */
#define RATE_TICK_MS 20
#define FLUSH_MS     1000

enum phase { IDLE, CONNECTING, GREETING, PROVING, UP };

/* What the peer answered in this turn to the reads of one worker. */
struct answers {
    struct actor *worker;
    struct mail_reads *mail;
};

struct sender {
    struct actor actor;
    struct sender_options o;
    struct peer *peer;
    uint16_t node;
    char *hint_dir;
    struct address address;

    enum phase phase;
    struct stream stream;
    bool stream_open, resolving, stopping;
    uv_getaddrinfo_t names;
    uv_timer_t dial, beat, sweep, rate, flush;
    unsigned backoff_ms;
    uint64_t phase_since_ms, beat_ms;
    uint8_t challenge[CHALLENGE_SIZE];
    struct greeting *theirs; /* during the handshake */
    uint64_t upper_max;      /* no number above this upper half goes out on the link */
    char refused[300];       /* the last reason logged, so that retries don't repeat it */

    struct link_word word; /* what the peer said last */
    struct delivery delivery;
    struct waiters waiters;
    struct carried reads;
    struct answers *answers;
    size_t nanswers;
    bool sync_wanted;
    uint64_t damaged; /* of the log's damage: what the mark knows of */
    struct hint_mark *mark;
};

/* ---- state ---------------------------------------------------------------------------------- */

static bool accepting(const struct sender *s)
{
    return s->phase == UP && s->word.backend_up;
}

static const char *peer_address(struct sender *s, char out[300])
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*s->o.topology);
    snprintf(out, 300, "%s", t->nodes[s->node].address);
    rcu_read_end();
    return out;
}

static void mark_repair(struct sender *s, const char *reason)
{
    char address[300];
    struct error e;
    if (!PEER_LOAD(s->peer, repair_since_ms))
        log_warn("peer %s needs repair: %s", peer_address(s, address), reason);
    PEER_STORE(s->peer, repair_since_ms,
               PEER_LOAD(s->peer, repair_since_ms) ? PEER_LOAD(s->peer, repair_since_ms)
                                                   : clock_wall_ms());
    if (s->hint_dir && !hint_mark_set(s->mark, clock_wall_ms(), reason, &e))
        log_error("needs-repair mark of peer %s: %s", peer_address(s, address), e.text);
}

static enum verdict hint_verdict(const struct sender *s)
{
    bool durable = s->hint_dir && s->o.config->hint_sync == SYNC_ALWAYS;
    return durable ? VERDICT_DURABLE : VERDICT_KEPT;
}

/* Everything appended is a hint now: on disk, then the verdicts. */
static void sync_hints(struct sender *s, bool hints_only)
{
    struct error e;
    uint64_t synced = hint_log_appended(s->peer->log).seq;
    enum verdict v = hint_verdict(s);
    enum refusal why = REFUSAL_NONE;
    if (v == VERDICT_DURABLE && !hint_log_sync(s->peer->log, &synced, &e)) {
        log_limited(1000, LOG_LEVEL_ERROR, "hints: %s", e.text);
        mark_repair(s, "hints could not be written to disk");
        v = VERDICT_REFUSED;
        why = REFUSAL_DISK;
    }
    if (hints_only)
        waiters_settle_hints(&s->waiters, s->node, synced, v, why);
    else
        waiters_settle(&s->waiters, s->node, synced, v, why);
}

static struct hint_position hinted(const struct sender *s)
{
    struct hint_position h = {.records = PEER_LOAD(s->peer, hinted_records),
                              .bytes = PEER_LOAD(s->peer, hinted_bytes)};
    uint64_t late = PEER_LOAD(s->peer, late_records);
    if (late > h.records)
        h = (struct hint_position){.records = late, .bytes = PEER_LOAD(s->peer, late_bytes)};
    return h;
}

static void drop_log(struct sender *s)
{
    struct hint_position acked = hint_log_acked(s->peer->log);
    struct hint_position end = hint_log_appended(s->peer->log);
    waiters_settle(&s->waiters, s->node, end.seq, VERDICT_REFUSED, REFUSAL_DISABLED);
    if (end.records == acked.records)
        return;
    PEER_ADD(s->peer, rejected[REJECT_DROPPED], end.records - acked.records);
    hint_log_ack(s->peer->log, end.seq);
    mark_repair(s, "it went down and hinted handoff is off");
}

/* All that is appended counts as hints now, or is dropped where none are kept. */
static void make_hints(struct sender *s)
{
    if (s->o.config->enable_hinted_handoff)
        sync_hints(s, false);
    else
        drop_log(s);
}

static void start_hinting(struct sender *s)
{
    struct hint_position acked = hint_log_acked(s->peer->log), before = hinted(s);
    __atomic_store_n(&s->peer->hinting, 1, __ATOMIC_SEQ_CST);
    if (s->o.config->enable_hinted_handoff) {
        struct hint_position end = hint_log_appended(s->peer->log);
        uint64_t from = before.records > acked.records ? before.records : acked.records;
        PEER_ADD(s->peer, converted, end.records > from ? end.records - from : 0);
    }
    make_hints(s);
}

static void end_hinting(struct sender *s)
{
    struct hint_position end = hint_log_appended(s->peer->log);
    PEER_STORE(s->peer, hinted_records, end.records);
    PEER_STORE(s->peer, hinted_bytes, end.bytes);
    __atomic_store_n(&s->peer->hinting, 0, __ATOMIC_SEQ_CST);
}

/* Publishes what the link and the peer's own word tell; one log line for each change. */
static void publish(struct sender *s, const char *reason)
{
    enum node_state now = !accepting(s) ? NODE_DOWN : s->word.state, was = peer_state(s->peer);
    bool hinting = s->o.config->enable_hinted_handoff ? now != NODE_NORMAL : now == NODE_DOWN;
    PEER_STORE(s->peer, link_up, s->phase == UP);
    if (now != was) {
        char address[300];
        PEER_STORE(s->peer, state, (uint32_t)now);
        PEER_STORE(s->peer, since_ms, clock_wall_ms());
        log_notice("peer %s: %s -> %s (%s)", peer_address(s, address), node_state_name(was),
                   node_state_name(now), reason);
    }
    if (hinting && !PEER_LOAD(s->peer, hinting))
        start_hinting(s);
    else if (!hinting && PEER_LOAD(s->peer, hinting))
        end_hinting(s);
}

/* ---- reads carried for workers ----------------------------------------------------------------
 */

static struct answers *answers_of(struct sender *s, struct actor *worker)
{
    for (size_t i = 0; i < s->nanswers; i++)
        if (s->answers[i].worker == worker)
            return &s->answers[i];
    s->answers = mem_realloc(s->answers, (s->nanswers + 1) * sizeof *s->answers);
    s->answers[s->nanswers] = (struct answers){.worker = worker};
    return &s->answers[s->nanswers++];
}

static void answer_read(struct sender *s, struct actor *worker, const struct read_item *it)
{
    struct answers *a = answers_of(s, worker);
    reads_add(&a->mail, worker, s->node, it);
    if (a->mail->items.len >= ANSWERS_MAX)
        reads_send(&a->mail, worker);
}

static void send_answers(struct sender *s)
{
    for (size_t i = 0; i < s->nanswers; i++)
        reads_send(&s->answers[i].mail, s->answers[i].worker);
}

static void fail_read(struct sender *s, const struct carried_read *r)
{
    answer_read(s, r->worker,
                &(struct read_item){.ticket = r->ticket, .inspect = r->inspect, .failed = true});
}

static void fail_reads(struct sender *s)
{
    for (struct carried_read r; carried_pop(&s->reads, &r);)
        fail_read(s, &r);
}

static void make_room(struct sender *s)
{
    struct carried_read oldest;
    if (carried_is_full(&s->reads) && carried_pop(&s->reads, &oldest))
        fail_read(s, &oldest);
}

static void carry_reads(struct sender *s, struct mail_reads *m)
{
    struct read_item it;
    for (size_t at = 0; reads_next(m, &at, &it);) {
        struct carried_read r = {.worker = m->worker, .ticket = it.ticket, .inspect = it.inspect};
        if (!accepting(s)) {
            fail_read(s, &r);
            continue;
        }
        make_room(s);
        frame_add(&s->stream.out, &(struct frame){.kind = it.inspect ? FRAME_INSPECT : FRAME_READ,
                                                  .seq = carried_put(&s->reads, &r),
                                                  .payload = it.bytes});
    }
    reads_free(m);
}

static void on_read_reply(struct sender *s, const struct frame *f)
{
    struct carried_read r;
    if (carried_take(&s->reads, f->seq, &r))
        answer_read(s, r.worker,
                    &(struct read_item){.ticket = r.ticket,
                                        .inspect = r.inspect,
                                        .failed = f->flags & FRAME_FAILED,
                                        .stamp = f->stamp,
                                        .tag = f->tag,
                                        .bytes = f->payload});
}

/* ---- the cursors ---------------------------------------------------------------------------- */

static void refuse(struct sender *s, const char *what, const char *reason);

static void count_delivered(struct sender *s, struct hint_position before)
{
    struct hint_position after = hint_log_acked(s->peer->log);
    if (PEER_LOAD(s->peer, hinting)) {
        PEER_ADD(s->peer, delivered, after.records - before.records);
        return;
    }
    uint64_t upto = hinted(s).records < after.records ? hinted(s).records : after.records;
    if (upto > before.records)
        PEER_ADD(s->peer, delivered, upto - before.records);
}

/* The log has let go of everything up to seq. */
static void acknowledged(struct sender *s, uint64_t seq, struct hint_position before)
{
    count_delivered(s, before);
    waiters_settle(&s->waiters, s->node, seq, VERDICT_APPLIED, REFUSAL_NONE);
}

static void on_ack(struct sender *s, uint64_t seq)
{
    struct hint_position before = hint_log_acked(s->peer->log);
    delivery_acked(&s->delivery, seq);
    acknowledged(s, seq, before);
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
    struct hint_position before = hint_log_acked(s->peer->log);
    uint64_t heard = s->delivery.heard;
    bool forward = delivery_go_on_from(&s->delivery, applied);
    acknowledged(s, applied, before);
    if (forward)
        return;
    char reason[200];
    snprintf(reason, sizeof reason,
             "it has gone back in time: it has %" PRIx64 " of ours and had acknowledged %" PRIx64,
             applied, heard);
    mark_repair(s, reason);
}

static void on_rate(uv_timer_t *t)
{
    (void)t; /* the turn's end sends */
}

static void pump(struct sender *s)
{
    bool trusted = __atomic_load_n(s->o.clock_trusted, __ATOMIC_RELAXED);
    struct delivery_now now = {.mono_ms = clock_mono_ms(),
                               .steady_ms = trusted ? clock_steady_ms() : 0,
                               .hints = peer_hints(s->peer).pending > 0};
    uint64_t expired = 0;
    enum delivery_stop why = delivery_pump(&s->delivery, &s->stream.out, OUT_MAX, &now, &expired);
    if (expired) {
        PEER_ADD(s->peer, expired, expired);
        mark_repair(s, "hints for it expired");
    }
    if (why == DELIVERY_RATE && !uv_is_active((uv_handle_t *)&s->rate))
        uv_timer_start(&s->rate, on_rate, RATE_TICK_MS, 0);
}

/* ---- the link ---------------------------------------------------------------------------------
 */

static void redial_in(struct sender *s, unsigned ms);

static void drop_link(struct sender *s, const char *reason)
{
    if (s->phase == IDLE)
        return;
    bool was_up = s->phase == UP;
    s->phase = IDLE;
    mem_free(s->theirs);
    s->theirs = NULL;
    fail_reads(s);
    if (was_up)
        s->backoff_ms = BACKOFF_MIN;
    publish(s, reason);
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
    tell_writer(s, s->theirs);
    mem_free(s->theirs);
    s->theirs = NULL;
    if (s->word.backend_up) /* else it doesn't know yet what it has applied */
        go_on_from(s, s->word.applied);
    if (s->phase == UP)
        s->refused[0] = 0;
    publish(s, "linked");
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
        fail_reads(s);
    publish(s, gone ? "its store can't serve" : "it says so");
}

static void on_beat_back(struct sender *s, const struct frame *f)
{
    uint64_t took_us = clock_mono_us() - f->seq;
    PEER_STORE(s->peer, rtt_us, took_us);
    mail_clock(s->o.writer, s->node, f->deadline, took_us / 1000);
}

static void on_link_frame(struct sender *s, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_ACK:
        if (!was_never_sent(s, f->seq))
            on_ack(s, f->seq);
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
        on_read_reply(s, f);
        break;
    case FRAME_BEAT:
        if (f->seq) /* else nobody asked: it is busy with something large */
            on_beat_back(s, f);
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
    if (!s->stopping)
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

static void say_beat(struct sender *s)
{
    frame_add(&s->stream.out,
              &(struct frame){.kind = FRAME_BEAT,
                              .seq = clock_mono_us(),
                              .stamp = __atomic_load_n(s->o.watermark, __ATOMIC_ACQUIRE)});
}

static void on_beat(uv_timer_t *t)
{
    struct sender *s = t->data;
    uint64_t now = clock_mono_ms(), since = now - s->beat_ms;
    s->beat_ms = now;
    if (since < 2 * s->o.config->gos_interval) /* else it was this thread that was away */
        check_silence(s, now);
    if (s->phase == UP)
        say_beat(s);
}

static void check_damage(struct sender *s)
{
    uint64_t damaged = hint_log_damaged(s->peer->log);
    if (damaged > s->damaged)
        mark_repair(s, "records for it were damaged on disk");
    s->damaged = damaged;
}

static void on_sweep(uv_timer_t *t)
{
    struct sender *s = t->data;
    struct error e;
    check_damage(s);
    if (s->mark && !hint_mark_keep(s->mark, &e))
        log_limited(60000, LOG_LEVEL_ERROR, "needs-repair mark: %s", e.text);
    if (accepting(s) || !__atomic_load_n(s->o.clock_trusted, __ATOMIC_RELAXED))
        return; /* a peer that is up gets its hints; pump() passes over what expired */
    uint64_t n = hint_log_expire(s->peer->log, clock_steady_ms());
    if (n) {
        PEER_ADD(s->peer, expired, n);
        mark_repair(s, "hints for it expired");
    }
}

/* hint_sync: interval. A power cut takes at most what came since. */
static void on_flush(uv_timer_t *t)
{
    struct sender *s = t->data;
    struct error e;
    uint64_t synced;
    if (!peer_hints(s->peer).pending || hint_log_sync(s->peer->log, &synced, &e))
        return;
    log_limited(1000, LOG_LEVEL_ERROR, "hints: %s", e.text);
    mark_repair(s, "hints could not be written to disk");
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
    uv_timer_start(&s->beat, on_beat, s->o.config->gos_interval, s->o.config->gos_interval);
    uv_timer_start(&s->sweep, on_sweep, s->o.config->hint_drain_interval_ms,
                   s->o.config->hint_drain_interval_ms);
    if (s->hint_dir && s->o.config->hint_sync == SYNC_INTERVAL)
        uv_timer_start(&s->flush, on_flush, FLUSH_MS, FLUSH_MS);
    s->beat_ms = clock_mono_ms();
    check_damage(s);
    connect_now(s);
}

static void on_appended(struct sender *s, struct mail_appended *m)
{
    bool hints = false;
    for (size_t i = 0; i < m->n; i++) {
        waiters_add(&s->waiters, &m->waiter[i]);
        hints |= m->waiter[i].hint;
    }
    delivery_allow(&s->delivery, m->upto);
    if (s->phase >= GREETING && m->upto >> 32 > s->upper_max)
        drop_link(s, "numbers go on above what it was told to expect");
    /* others of a peer that is up wait for its acknowledgement, not for the disk */
    s->sync_wanted |= hints || PEER_LOAD(s->peer, hinting);
    mem_free(m);
}

/* The log's directory gets the name of the node that inherits it. The mark is on disk before: what
 * the node before had and the log no longer holds, this one will never get from us. */
static void on_replace(struct sender *s, struct mail_replace *m)
{
    char reason[160];
    snprintf(reason, sizeof reason,
             "node %s was replaced by node %s, which gets only what the log held", m->before,
             m->id);
    mark_repair(s, reason);
    delivery_begin_anew(&s->delivery);
    m->done = true;
    if (s->hint_dir) {
        char *end = strrchr(s->hint_dir, '/');
        char *dir = mem_printf("%.*s/%s", (int)(end - s->hint_dir), s->hint_dir, m->id);
        m->done = rename(s->hint_dir, dir) == 0 || strcmp(s->hint_dir, dir) == 0;
        if (m->done) {
            hint_mark_move(s->mark, dir);
            mem_free(s->hint_dir);
            s->hint_dir = dir;
        } else {
            log_error("%s: can't be renamed to %s: %s", s->hint_dir, dir, strerror(errno));
            mem_free(dir);
        }
    }
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
        carry_reads(s, container_of_(msg, struct mail_reads, msg));
        break;
    case MAIL_DIAL:
        dial_back(s);
        mem_free(msg);
        break;
    case MAIL_REPAIR: {
        struct mail_repair *m = container_of_(msg, struct mail_repair, msg);
        mark_repair(s, m->reason);
        mem_free(m);
        break;
    }
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
    if (accepting(s))
        pump(s);
    if (s->stream_open)
        stream_flush(&s->stream);
    send_answers(s); /* who reads doesn't wait for the disk */
    if (s->sync_wanted) {
        s->sync_wanted = false;
        if (PEER_LOAD(s->peer, hinting))
            make_hints(s);
        else
            sync_hints(s, true);
    }
    waiters_flush(&s->waiters);
}

static void stop(void *self)
{
    struct sender *s = self;
    s->stopping = true;
    if (s->resolving)
        (void)uv_cancel((uv_req_t *)&s->names); /* or it ends by itself */
    if (accepting(s)) {
        pump(s);
        stream_flush(&s->stream);
    }
    drop_link(s, "this node stops");
    send_answers(s);
    uv_close((uv_handle_t *)&s->dial, NULL);
    uv_close((uv_handle_t *)&s->beat, NULL);
    uv_close((uv_handle_t *)&s->sweep, NULL);
    uv_close((uv_handle_t *)&s->rate, NULL);
    uv_close((uv_handle_t *)&s->flush, NULL);
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

static void load_mark(struct sender *s)
{
    if (!s->hint_dir)
        return;
    s->mark = hint_mark_open(s->hint_dir);
    PEER_STORE(s->peer, repair_since_ms, hint_mark_since(s->mark));
}

struct sender *sender_start(const struct sender_options *o, struct error *e)
{
    struct sender *s = MEM_NEW(struct sender);
    char address[300];
    actor_init(&s->actor, &sender_ops, s);
    s->o = *o;
    s->peer = o->peer;
    s->node = (uint16_t)o->peer->node;
    s->hint_dir = o->hint_dir ? mem_strdup(o->hint_dir) : NULL;
    s->backoff_ms = BACKOFF_MIN;
    if (!address_parse(peer_address(s, address), ADDRESS_TCP_ONLY, &s->address, e))
        goto fail;
    load_mark(s);
    PEER_STORE(s->peer, state, (uint32_t)NODE_DOWN);
    PEER_STORE(s->peer, since_ms, clock_wall_ms());
    PEER_STORE(s->peer, hinting, 1);
    delivery_init(&s->delivery, s->peer->log, o->config->send_window, o->config->hint_drain_rate);
    struct hint_position found = hint_log_appended(s->peer->log);
    PEER_STORE(s->peer, converted, found.records - hint_log_acked(s->peer->log).records);
    s->peer->sender = &s->actor;
    if (actor_start(&s->actor, e))
        return s;
fail:
    mem_free(s->hint_dir);
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
    carried_fini(&s->reads);
    mem_free(s->answers);
    hint_mark_close(s->mark);
    delivery_fini(&s->delivery);
    mem_free(s->hint_dir);
    mem_free(s);
}
