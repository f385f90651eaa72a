#include "peer/receiver.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/inbound.h"
#include "peer/orphans.h"
#include "wire/pack.h"
#include <string.h>

#define UNREAD_MAX (8u * 1024 * 1024) /* bytes at the writer before the link is read no more */
#define BUSY_MS    30000              /* longer than any single write should take */
#define OUT_MAX    (8u * 1024 * 1024) /* the same of replies that the peer hasn't taken */

#define GOSSIP_UNREAD                                                                              \
    (2u * 1024 * 1024)            /* the same of a stranger's messages, at the gossip actor */
#define GOSSIP_MAX (1024u * 1024) /* a message */

enum phase { WAIT_HELLO, WAIT_PROOF, WAIT_WRITER, LINKED, GOSSIP };

struct receiver {
    struct receivers *all;
    struct stream stream;
    uint64_t ticket;
    enum phase phase;
    unsigned node;
    struct greeting *hello;
    uint8_t challenge[CHALLENGE_SIZE];
    uint64_t challenged_ms, heard_ms;
    size_t at_writer; /* bytes of frames that the writer, or the gossip actor, hasn't dealt with */
    bool dirty;
    bool left_frames; /* for want of room: for replies, or at the writer */
    bool remote;      /* it comes from another datacenter */
    uint64_t counted; /* then: of stream.sent, what the peer's sender knows of */
};

struct link_read {
    struct receivers *all;
    uint64_t link, id;
};

static void shut(struct receiver *r)
{
    stream_close(&r->stream);
}

static void say_goodbye(struct receiver *r, const char *reason)
{
    handshake_add_refuse(&r->stream.out, reason);
    stream_flush(&r->stream);
    shut(r);
}

/* The ring may not have heard of it yet: it dials again soon. */
static void refuse_for_now(struct receiver *r, const char *reason)
{
    log_limited(60000, LOG_LEVEL_NOTICE, "link from %s not taken yet: %s", r->hello->address,
                reason);
    handshake_add_refuse_for_now(&r->stream.out, reason);
    stream_flush(&r->stream);
    shut(r);
}

static void refuse(struct receiver *r, const char *reason)
{
    log_limited(1000, LOG_LEVEL_WARN, "link from %s%s%s refused: %s",
                r->hello && *r->hello->address ? r->hello->address : "an unknown node",
                r->hello ? ", cluster " : "", r->hello ? r->hello->cluster : "", reason);
    say_goodbye(r, reason);
}

/* ---- the handshake ----------------------------------------------------------------------------
 */

static bool is_of_cluster(const struct receiver *r)
{
    return r->hello->protocol == LINK_PROTOCOL &&
           strcmp(r->hello->cluster, r->all->me->cluster) == 0 &&
           strcmp(r->hello->id, r->all->me->id) != 0;
}

static void on_hello(struct receiver *r, const struct frame *f)
{
    struct error e;
    r->hello = MEM_NEW(struct greeting);
    bool ok = handshake_read_hello(f->payload, r->hello, &e), early = false;
    if (ok) {
        rcu_read_begin();
        const struct topology *t = RCU_GET(*r->all->topology);
        ok = handshake_check(r->all->me, t, r->hello, &r->node, &e);
        early = !ok && r->all->gossip && is_of_cluster(r) && handshake_is_stranger(t, r->hello);
        rcu_read_end();
    }
    if (early) {
        refuse_for_now(r, e.text);
        return;
    }
    if (!ok || !orphans_check(r->all->peers->orphans, r->hello->id, &e)) {
        refuse(r, e.text);
        return;
    }
    handshake_challenge(r->challenge);
    r->challenged_ms = clock_mono_ms();
    handshake_add_challenge(&r->stream.out, r->all->me, r->hello, r->challenge);
    r->phase = WAIT_PROOF;
}

static void on_proof(struct receiver *r, const struct frame *f)
{
    struct error e;
    struct greeting *g = r->hello;
    if (!handshake_read_proof(f->payload, g, &e) ||
        !handshake_proven(r->all->me, HANDSHAKE_SENDER, g, g->id, r->challenge, g->challenge, &e)) {
        refuse(r, e.text);
        return;
    }
    r->remote = strcmp(g->datacenter, r->all->me->datacenter) != 0;
    mail_clock(r->all->writer, r->node, g->wall_ms, clock_mono_ms() - r->challenged_ms);
    struct mail_greet *m = MEM_NEW(struct mail_greet);
    m->msg.type = MAIL_GREET;
    m->link = (struct link_ref){.worker = r->all->worker, .ticket = r->ticket};
    m->node = (uint16_t)r->node;
    memcpy(m->id, g->id, sizeof m->id);
    m->start_mark = g->start_mark;
    m->hints_upto = g->hints_upto;
    m->wall_ms = g->wall_ms;
    actor_send(r->all->writer, &m->msg);
    r->phase = WAIT_WRITER;

    struct mail_dial *dial = MEM_NEW(struct mail_dial);
    dial->msg.type = MAIL_DIAL;
    actor_send(r->all->peers->at[r->node]->sender, &dial->msg);
}

/* ---- reads ------------------------------------------------------------------------------------
 */

static void on_read_done(void *arg, const struct store_read_reply *reply)
{
    struct link_read *read = arg;
    struct receiver *r = slots_get(&read->all->links, read->link);
    if (r && !r->stream.closed) {
        struct frame f = {.kind = FRAME_READ_REPLY,
                          .flags = reply->ok ? 0 : FRAME_FAILED,
                          .seq = read->id,
                          .stamp = reply->stamp,
                          .tag = reply->tag,
                          .payload = frame_reply(reply->reply)};
        frame_add(&r->stream.out, &f);
        r->dirty = true;
    }
    mem_free(read);
}

/* A read, or what a node tells of its own store to those who ask the whole ring. */
static bool may_read(const struct command_spec *spec, const struct resp_command *cmd)
{
    struct error ignored;
    return command_arity_ok(spec, cmd, &ignored) &&
           (command_class_of(spec, cmd) == COMMAND_READ || (spec->flags & COMMAND_NODE_STORE));
}

static void on_read(struct receiver *r, const struct frame *f)
{
    struct link_read *read = MEM_NEW(struct link_read);
    *read = (struct link_read){.all = r->all, .link = r->ticket, .id = f->seq};
    if (f->kind == FRAME_INSPECT) {
        store_inspect(r->all->reader, f->payload, on_read_done, read);
        return;
    }
    if (f->kind != FRAME_READ) {
        if (r->all->serve(r->all->server, f, on_read_done, read))
            return;
        mem_free(read);
        refuse(r, "protocol: a frame that doesn't belong here");
        return;
    }
    struct resp_command cmd = {0};
    const struct command_spec *spec = NULL;
    if (resp_command_parse(f->payload, &cmd) && cmd.argc)
        spec = command_find(cmd.argv[0]);
    if (spec && may_read(spec, &cmd)) {
        store_read(r->all->reader, spec, &cmd, on_read_done, read);
    } else {
        struct slice text = slice_str("-ERR this node doesn't know the command\r\n");
        on_read_done(read, &(struct store_read_reply){.ok = true, .reply = text});
    }
    resp_command_fini(&cmd);
}

/* ---- heartbeats -------------------------------------------------------------------------------
 */

static void on_beat(struct receiver *r, const struct frame *f)
{
    struct mail_beat *m = MEM_NEW(struct mail_beat);
    m->msg.type = MAIL_BEAT;
    m->node = (uint16_t)r->node;
    m->has_watermark = true;
    m->watermark = f->stamp;
    actor_send(r->all->writer, &m->msg);
    frame_add(&r->stream.out,
              &(struct frame){.kind = FRAME_BEAT, .seq = f->seq, .deadline = clock_wall_ms()});
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static void pass_blob(struct receiver *r, struct blob *frames) /* takes it */
{
    struct mail_inbound *m = MEM_NEW(struct mail_inbound);
    m->msg.type = MAIL_INBOUND;
    m->link = (struct link_ref){.worker = r->all->worker, .ticket = r->ticket};
    m->node = (uint16_t)r->node;
    m->size = frames->len;
    m->frames = frames;
    r->at_writer += frames->len;
    actor_send(r->all->writer, &m->msg);
}

static void pass_on(struct receiver *r, const uint8_t *frames, size_t size)
{
    if (size)
        pass_blob(r, blob_new(frames, size));
}

static void on_packed(struct receiver *r, const struct frame *f)
{
    struct error e;
    struct blob *frames = pack_open(f->payload, &e);
    if (frames && inbound_batch_ok(blob_slice(frames), r->hello->start_mark, &e)) {
        pass_blob(r, frames);
        return;
    }
    blob_unref(frames);
    refuse(r, e.text);
}

/* Reads no more while too much waits on either side; one reply may have any size. */
static void hold_or_resume(struct receiver *r)
{
    size_t most = r->phase == GOSSIP ? GOSSIP_UNREAD : UNREAD_MAX;
    bool hold = r->at_writer > (r->stream.paused ? most / 2 : most) || r->stream.out.len > OUT_MAX;
    if (hold && !r->stream.paused)
        stream_pause(&r->stream);
    else if (!hold && r->stream.paused)
        stream_resume(&r->stream);
}

/* Each message proves itself, so a connection needs no handshake. */
static void on_gossip(struct receiver *r, const struct frame *f)
{
    if (!r->all->gossip) {
        refuse(r, "this node doesn't gossip (enable_gossip: false)");
        return;
    }
    struct mail_gossip *m = MEM_NEW(struct mail_gossip);
    m->msg.type = MAIL_GOSSIP;
    m->link = (struct link_ref){.worker = r->all->worker, .ticket = r->ticket};
    m->payload = blob_new(f->payload.ptr, f->payload.len);
    r->phase = GOSSIP;
    r->at_writer += f->payload.len;
    actor_send(r->all->gossip, &m->msg);
}

static void on_frame(struct receiver *r, const struct frame *f)
{
    if (r->phase == WAIT_HELLO && f->kind == FRAME_HELLO) {
        on_hello(r, f);
    } else if ((r->phase == WAIT_HELLO || r->phase == GOSSIP) && f->kind == FRAME_GOSSIP) {
        on_gossip(r, f);
    } else if (r->phase == WAIT_PROOF && f->kind == FRAME_PROOF) {
        on_proof(r, f);
    } else if (r->phase == LINKED && f->kind >= FRAME_READ && f->kind <= FRAME_MEND) {
        on_read(r, f);
    } else if (r->phase == LINKED && f->kind == FRAME_PACKED) {
        on_packed(r, f);
    } else if (r->phase == LINKED && f->kind == FRAME_BEAT) {
        on_beat(r, f);
    } else if (f->kind == FRAME_REFUSE) {
        char reason[256];
        bool for_now;
        handshake_read_refuse(f->payload, reason, sizeof reason, &for_now);
        log_limited(1000, LOG_LEVEL_WARN, "link from %s: it refuses this node: %s",
                    r->hello ? r->hello->address : "an unknown node", reason);
        shut(r);
    } else {
        refuse(r, "protocol: a frame that doesn't belong here");
    }
}

/* Is it for the writer, together with what follows? */
static bool is_numbered(const struct receiver *r, const struct frame *f)
{
    return r->phase == LINKED && (f->kind == FRAME_WRITE || f->kind == FRAME_SKIP);
}

static size_t payload_max(const struct receiver *r)
{
    bool may_gossip = r->phase == GOSSIP || (r->phase == WAIT_HELLO && r->all->gossip);
    return r->phase == LINKED ? FRAME_PAYLOAD_MAX : may_gossip ? GOSSIP_MAX : HANDSHAKE_MAX;
}

/* For more frames? What comes packed is larger than what was read. */
static bool has_room(const struct receiver *r)
{
    return r->stream.out.len <= OUT_MAX && r->at_writer <= UNREAD_MAX;
}

/* Writes that follow one another go to the writer as one piece. */
static void take_frames(struct receiver *r)
{
    struct error e;
    struct stream *st = &r->stream;
    const uint8_t *data = buf_head(&st->in);
    size_t done = 0, run = 0; /* [run, done) are writes not passed on yet */
    st->in_want = 0;
    while (!st->closed && done < st->in.len && has_room(r)) {
        struct frame f;
        size_t size = 0, max = payload_max(r);
        enum frame_status rc = frame_parse(data + done, st->in.len - done, max, &f, &size);
        if (rc == FRAME_MORE) {
            st->in_want = size;
            break;
        }
        if (rc != FRAME_OK) {
            refuse(r, rc == FRAME_BAD_CRC ? "a frame with a wrong checksum"
                                          : "it doesn't speak the link protocol");
            return;
        }
        if (is_numbered(r, &f)) {
            if (!inbound_number_ok(&f, r->hello->start_mark, &e)) {
                refuse(r, e.text);
                return;
            }
        } else {
            pass_on(r, data + run, done - run);
            on_frame(r, &f);
            run = done + size;
        }
        done += size;
    }
    if (st->closed)
        return;
    pass_on(r, data + run, done - run);
    buf_eat(&st->in, done);
    r->left_frames = st->in.len && !has_room(r);
    hold_or_resume(r);
}

static void on_data(struct stream *st)
{
    struct receiver *r = st->owner;
    r->heard_ms = clock_mono_ms();
    r->dirty = true;
    if (!r->left_frames)
        take_frames(r);
}

static void on_end(struct stream *st, const char *reason)
{
    (void)reason; /* the sender's side of this node logs what becomes of the peer */
    shut(st->owner);
}

static void on_progress(struct stream *st)
{
    struct receiver *r = st->owner;
    r->heard_ms = clock_mono_ms();
    r->dirty = true;
}

static void on_closed(struct stream *st)
{
    struct receiver *r = st->owner;
    if (r->phase == WAIT_WRITER || r->phase == LINKED) {
        struct mail_link_gone *m = MEM_NEW(struct mail_link_gone);
        m->msg.type = MAIL_LINK_GONE;
        m->link = (struct link_ref){.worker = r->all->worker, .ticket = r->ticket};
        m->node = (uint16_t)r->node;
        actor_send(r->all->writer, &m->msg);
    }
    slots_drop(&r->all->links, r->ticket);
    mem_free(r->hello);
    mem_free(r);
}

static const struct stream_ops receiver_ops = {
    .on_data = on_data, .on_end = on_end, .on_progress = on_progress, .on_closed = on_closed};

void receiver_accept(struct receivers *all, int fd)
{
    struct error e;
    struct receiver *r = MEM_NEW(struct receiver);
    r->all = all;
    r->heard_ms = clock_mono_ms();
    if (!stream_open(&r->stream, &all->worker->loop, fd, &receiver_ops, r, &e)) {
        log_limited(1000, LOG_LEVEL_WARN, "link from a peer: %s", e.text);
        mem_free(r);
        return;
    }
    r->ticket = slots_put(&all->links, r);
}

void receiver_mail(struct receivers *all, struct mail_link *m)
{
    struct receiver *r = slots_get(&all->links, m->ticket);
    if (r && !r->stream.closed) {
        if (m->welcome)
            r->phase = LINKED;
        r->at_writer -= m->credit;
        buf_add(&r->stream.out, buf_head(&m->frames), m->frames.len);
        r->dirty = true;
        if (m->close) {
            stream_flush(&r->stream);
            shut(r);
        } else {
            hold_or_resume(r);
        }
    }
    buf_fini(&m->frames);
    mem_free(m);
}

/* A beat stands behind a large frame that takes its time, to come in or to be applied: the sender
 * hears that this goes on. */
static void say_alive(struct receiver *r)
{
    frame_add(&r->stream.out, &(struct frame){.kind = FRAME_BEAT});
    r->dirty = true;
}

void receivers_tick(struct receivers *all, uint64_t now_ms)
{
    uint32_t at = 0;
    for (struct receiver *r; (r = slots_next(&all->links, &at));) {
        if (r->stream.closed)
            continue;
        uint64_t silent = now_ms - r->heard_ms;
        bool busy = r->phase == LINKED && (r->stream.in.len || r->at_writer);
        /* what waits for our own writer is no fault of the peer's */
        bool waits_for_us = r->stream.paused && r->stream.out.len == 0;
        if (!waits_for_us && silent > all->silence_ms)
            shut(r);
        else if (busy && silent < BUSY_MS)
            say_alive(r);
    }
}

/* There may be room again. */
static void go_on(struct receiver *r)
{
    if (r->left_frames && has_room(r)) {
        r->left_frames = false;
        r->dirty = true; /* what it answers now leaves in the next turn */
        take_frames(r);
        actor_again(r->all->worker);
    }
    if (!r->stream.closed)
        hold_or_resume(r);
}

/* The way back to another datacenter has one rate for what is said here and what the sender says.
 */
static void count_sent(struct receiver *r)
{
    if (!r->remote || r->stream.sent == r->counted)
        return;
    PEER_ADD(r->all->peers->at[r->node], answered, r->stream.sent - r->counted);
    r->counted = r->stream.sent;
}

void receivers_flush(struct receivers *all)
{
    uint32_t at = 0;
    for (struct receiver *r; (r = slots_next(&all->links, &at));) {
        if (!r->dirty || r->stream.closed)
            continue;
        r->dirty = false;
        stream_flush(&r->stream);
        count_sent(r);
        go_on(r);
    }
}

void receivers_close(struct receivers *all)
{
    uint32_t at = 0;
    for (struct receiver *r; (r = slots_next(&all->links, &at));)
        shut(r);
}

void receivers_fini(struct receivers *all)
{
    slots_fini(&all->links);
}
