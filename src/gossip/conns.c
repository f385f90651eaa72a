#include "gossip/conns.h"
#include "core/clock.h"
#include "core/dial.h"
#include "core/log.h"
#include "core/mem.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define IDLE_MS 60000
#define OUT_MAX (2u * 1024 * 1024) /* bytes that wait for one address */

struct conn {
    struct conns *all;
    char *address;
    struct dial dial;
    struct stream stream;
    struct buf early; /* while its name is looked up */
    bool open, dying; /* the stream isn't closed; nothing more is sent on it */
    uint64_t used_ms, moved_ms;
};

/* ---- one connection ---------------------------------------------------------------------------
 */

static void forget(struct conn *c)
{
    struct conns *all = c->all;
    for (unsigned i = 0; i < all->n; i++)
        if (all->at[i] == c)
            all->at[i] = all->at[--all->n];
    buf_fini(&c->early);
    mem_free(c->address);
    mem_free(c);
}

/* Its memory goes when the last callback has come. */
static void give_up(struct conn *c)
{
    if (c->dying)
        return;
    c->dying = true;
    if (c->open)
        stream_close(&c->stream);
    else
        dial_cancel(&c->dial);
}

static void on_connect(struct stream *s)
{
    struct conn *c = s->owner;
    unsigned timeout = c->all->stuck_ms;
    c->moved_ms = clock_mono_ms();
    /* where the system hasn't it, conns_tick sees to it alone */
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    stream_flush(s);
}

static void on_data(struct stream *s)
{
    buf_eat(&s->in, s->in.len); /* nothing is said on it but a refusal, which the other side logs */
}

static void on_end(struct stream *s, const char *reason)
{
    struct conn *c = s->owner;
    log_debug("gossip with %s: %s", c->address, reason);
    give_up(c);
}

static void on_progress(struct stream *s)
{
    struct conn *c = s->owner;
    c->moved_ms = clock_mono_ms();
}

static void on_closed(struct stream *s)
{
    forget(s->owner);
}

static const struct stream_ops conn_ops = {.on_connect = on_connect,
                                           .on_data = on_data,
                                           .on_end = on_end,
                                           .on_progress = on_progress,
                                           .on_closed = on_closed};

static void on_dialled(void *owner, const char *reason)
{
    struct conn *c = owner;
    if (reason) {
        log_debug("gossip with %s: %s", c->address, reason);
        forget(c);
        return;
    }
    c->open = true;
    if (c->dying) {
        stream_close(&c->stream);
        return;
    }
    buf_add(&c->stream.out, buf_head(&c->early), c->early.len);
    buf_fini(&c->early);
    c->early = (struct buf)BUF_INIT;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static struct conn *find(struct conns *all, const char *address)
{
    for (unsigned i = 0; i < all->n; i++)
        if (!all->at[i]->dying && strcmp(all->at[i]->address, address) == 0)
            return all->at[i];
    return NULL;
}

/* The one that wasn't used for longest makes room. False: none can, yet. */
static bool make_room(struct conns *all)
{
    struct conn *oldest = NULL;
    if (all->n < CONNS_MAX)
        return true;
    for (unsigned i = 0; i < all->n; i++)
        if (!all->at[i]->dying && (!oldest || all->at[i]->used_ms < oldest->used_ms))
            oldest = all->at[i];
    if (oldest)
        give_up(oldest);
    return all->n < CONNS_MAX;
}

/* `early` goes out when it stands. */
static void open_conn(struct conns *all, const char *address, const struct buf *early)
{
    struct error e;
    struct address to;
    if (!address_parse(address, ADDRESS_TCP_ONLY, &to, &e)) {
        log_limited(60000, LOG_LEVEL_WARN, "gossip: address %s: %s", address, e.text);
        return;
    }
    struct conn *c = MEM_NEW(struct conn);
    c->all = all;
    c->address = mem_strdup(address);
    c->used_ms = c->moved_ms = clock_mono_ms();
    buf_add(&c->early, buf_head(early), early->len);
    all->at[all->n++] = c;
    dial_start(&c->dial, all->loop, &to, &c->stream, &conn_ops, c, on_dialled);
}

void conns_send(struct conns *all, const char *address, const struct buf *frames)
{
    if (all->closing)
        return;
    struct conn *c = find(all, address);
    if (!c) {
        if (make_room(all))
            open_conn(all, address, frames);
        return;
    }
    struct buf *out = c->open ? &c->stream.out : &c->early;
    if (out->len + frames->len > OUT_MAX)
        return;
    c->used_ms = clock_mono_ms();
    if (out->len == 0)
        c->moved_ms = c->used_ms;
    buf_add(out, buf_head(frames), frames->len);
}

void conns_flush(struct conns *all)
{
    for (unsigned i = 0; i < all->n; i++)
        if (all->at[i]->open && !all->at[i]->dying)
            stream_flush(&all->at[i]->stream);
}

void conns_tick(struct conns *all)
{
    uint64_t now = clock_mono_ms();
    for (unsigned i = all->n; i-- > 0;) {
        struct conn *c = all->at[i];
        bool waits = !c->open || c->stream.connecting || c->stream.out.len;
        if ((waits && now - c->moved_ms > all->stuck_ms) || now - c->used_ms > IDLE_MS)
            give_up(c);
    }
}

void conns_close(struct conns *all)
{
    all->closing = true;
    conns_flush(all);
    for (unsigned i = all->n; i-- > 0;)
        give_up(all->at[i]);
}
