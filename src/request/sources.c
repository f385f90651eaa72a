#include "request/sources.h"
#include "core/mem.h"
#include "peer/handshake.h"

#define RUN_KEEP 256 /* bytes: what replies to writes mostly are */

void sources_init(struct sources *all, unsigned nodes, size_t window)
{
    all->n = nodes;
    all->lazy_bytes = lazy_bytes(window);
    all->at = mem_calloc(RING_NODES_MAX, sizeof *all->at);
}

void sources_fini(struct sources *all)
{
    for (unsigned i = 0; i < all->n; i++) {
        mem_free(all->at[i].held);
        buf_fini(&all->at[i].out);
        buf_fini(&all->at[i].run.reply);
    }
    mem_free(all->at);
}

/* ---- what is said ------------------------------------------------------------------------------
 */

static void end_run(struct source *s)
{
    if (!s->run.last)
        return;
    frame_add(&s->out, &(struct frame){.kind = FRAME_REPLY,
                                       .seq = s->run.last,
                                       .stamp = s->run.last - s->run.first,
                                       .payload = buf_slice(&s->run.reply)});
    s->run.last = 0;
    buf_reset(&s->run.reply, RUN_KEEP);
}

/* Behind the replies to what came before. */
static void say(struct source *s, const struct frame *f)
{
    end_run(s);
    frame_add(&s->out, f);
}

static void say_nothing(struct source *s)
{
    s->run.last = 0;
    buf_reset(&s->run.reply, RUN_KEEP);
    buf_reset(&s->out, 0);
}

/* ---- links ------------------------------------------------------------------------------------
 */

static void send_link(struct source *s, bool close)
{
    struct mail_link *m = MEM_NEW(struct mail_link);
    m->msg.type = MAIL_LINK;
    m->ticket = s->link.ticket;
    m->welcome = s->welcome;
    m->close = close;
    m->credit = s->credit;
    m->frames = s->out;
    s->out = (struct buf)BUF_INIT;
    s->credit = 0;
    s->welcome = false;
    actor_send(s->link.worker, &m->msg);
}

static bool has_time(const struct source *s, size_t bytes)
{
    return s->has_link && !s->urgent && !s->welcome && s->out.len == 0 && !s->run.last &&
           s->credit < bytes;
}

/* Nothing goes out before the welcome. False: an acknowledgement is left for later. */
static bool flush(struct source *s, size_t bytes)
{
    if (s->has_link && s->greet_due)
        return true;
    if (has_time(s, bytes))
        return !s->ack_due && !s->credit;
    end_run(s);
    if (s->ack_due)
        say(s, &(struct frame){
                   .kind = FRAME_ACK, .flags = s->late ? FRAME_FAILED : 0, .seq = s->applied});
    s->late &= !(s->has_link && s->ack_due);
    s->ack_due = s->urgent = false;
    if (s->has_link && (s->out.len || s->credit))
        send_link(s, false);
    else if (!s->has_link)
        say_nothing(s);
    return true;
}

bool sources_flush(struct sources *all)
{
    bool done = true;
    for (unsigned i = 0; i < all->n; i++)
        done &= flush(&all->at[i], all->lazy_bytes);
    return done;
}

void sources_acknowledge(struct sources *all)
{
    for (unsigned i = 0; i < all->n; i++)
        all->at[i].urgent = true;
}

bool source_is_link(const struct source *s, struct link_ref link)
{
    return s->has_link && s->link.worker == link.worker && s->link.ticket == link.ticket;
}

static void close_link(struct source *s, const char *reason)
{
    end_run(s);
    handshake_add_refuse(&s->out, reason);
    send_link(s, true);
}

void source_refuse(const struct mail_greet *m, const char *no)
{
    struct source once = {.link = m->link};
    close_link(&once, no);
}

void source_linked(struct source *s, const struct mail_greet *m)
{
    if (s->has_link)
        close_link(s, m->start_mark == s->start_mark
                          ? "a new link of this sender replaces it"
                          : "a node with this id that started later is linked");
    say_nothing(s);
    s->has_link = s->greet_due = true;
    s->link = m->link;
    s->start_mark = m->start_mark;
    s->credit = 0;
    s->ack_due = false;
}

void source_greet(struct source *s, enum node_state state, bool serving)
{
    s->greet_due = s->ack_due = false;
    s->welcome = true;
    source_stands_at(s, s->applied);
    say_nothing(s); /* replies to what came on the link before */
    handshake_add_welcome(&s->out, s->applied, state, serving);
}

void source_announce(struct source *s, enum node_state state, bool serving)
{
    if (!s->has_link || s->greet_due)
        return;
    end_run(s);
    handshake_add_state(&s->out, s->applied, state, serving);
}

void source_want_beat(struct source *s)
{
    if (s->has_link && !s->greet_due)
        say(s, &(struct frame){.kind = FRAME_BEAT_WANTED});
}

void source_hang_up(struct source *s)
{
    if (!s->has_link)
        return;
    say_nothing(s);
    send_link(s, true);
    s->has_link = s->greet_due = false;
}

void source_leave(struct source *s)
{
    static const char why[] = "the node has left the ring";
    if (s->held)
        source_refuse(s->held, why);
    mem_free(s->held);
    s->held = NULL;
    if (s->has_link)
        close_link(s, why);
    say_nothing(s);
    s->has_link = s->greet_due = s->ack_due = false;
}

void source_unlinked(struct source *s, struct link_ref link)
{
    if (!source_is_link(s, link))
        return;
    s->has_link = s->greet_due = false;
    say_nothing(s);
    s->credit = 0;
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

void source_stands_at(struct source *s, uint64_t applied)
{
    s->applied = s->queued = applied;
    s->rewinding = false;
}

enum number_verdict source_take(struct source *s, const struct frame *f)
{
    uint64_t from = 0;
    bool skip = f->kind == FRAME_SKIP && frame_skip_from(f, &from);
    enum number_verdict v = number_check(s->queued, skip, from, f->seq);
    switch (v) {
    case NUMBER_APPLY:
        s->rewinding = false;
        s->queued = f->seq;
        break;
    case NUMBER_DUPLICATE:
        s->ack_due = s->urgent = true;
        break;
    case NUMBER_GAP:
        if (!s->rewinding)
            say(s, &(struct frame){.kind = FRAME_REWIND, .seq = s->applied});
        s->rewinding = true;
        break;
    }
    return v;
}

void source_applied(struct source *s, uint64_t seq)
{
    s->applied = seq;
    s->ack_due = true;
}

void source_reply(struct source *s, uint64_t seq, struct slice reply)
{
    reply = frame_reply(reply);
    if (s->run.last + 1 == seq && s->run.last && slice_eq(reply, buf_slice(&s->run.reply))) {
        s->run.last = seq;
        return;
    }
    end_run(s);
    s->run.first = s->run.last = seq;
    buf_add(&s->run.reply, reply.ptr, reply.len);
}
