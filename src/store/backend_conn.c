#include "store/backend_conn.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/stream.h"
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define BACKOFF_FIRST_MS 50u
#define BACKOFF_LAST_MS  2000u
#define TICKS            4u /* looks at a silent backend per timeout_ms */

enum state {
    WAITING, /* for the next attempt; or for the old socket's end */
    RESOLVING,
    CONNECTING,
    GREETING, /* its first words are on their way */
    READY,
};

struct expectation {
    size_t left;
    backend_reply_fn *fn;
    void *arg;
};

struct backend_conn {
    enum state state;
    const struct backend_protocol *protocol;
    struct backend_address to;
    const struct backend_conn_ops *ops;
    void *owner;
    uv_loop_t *loop;
    uv_timer_t timer;    /* the next attempt while WAITING, else a tick */
    uv_check_t turn_end; /* flushes behind the poll, while `awake` keeps that from sleeping */
    uv_idle_t awake;     /* active: there is something to flush */
    uv_getaddrinfo_t names;
    struct stream stream;
    struct resp_scanner scan;
    struct buf expected; /* struct expectation, oldest first */
    unsigned handles;    /* what the loop still knows of: the memory stays as long */
    unsigned backoff_ms;
    uint64_t random;
    bool streaming; /* `stream` isn't closed yet */
    bool freeing;
    /* progress: when bytes were last seen to move */
    uint64_t since_ms;
    uint64_t arrived; /* times that data came */
    uint64_t seen_arrived;
    size_t seen_out;
    char why[256];
};

static void attempt(struct backend_conn *c);

/* --- breaking and trying again -------------------------------------------------------------- */

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003): nodes must not come back in step. */
static unsigned jitter(struct backend_conn *c, unsigned ms)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return ms - ms / 4 + (unsigned)(c->random % (ms / 2 + 1));
}

static void on_timer(uv_timer_t *h);

static void wait_and_retry(struct backend_conn *c)
{
    uv_timer_start(&c->timer, on_timer, jitter(c, c->backoff_ms), 0);
    c->backoff_ms = c->backoff_ms * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : c->backoff_ms * 2;
}

static void fail_expected(struct backend_conn *c)
{
    /* callbacks may come back here: they find an empty queue and state WAITING */
    struct buf old = c->expected;
    c->expected = (struct buf)BUF_INIT;
    while (old.data && old.len) { /* without the first half gcc -O3 warns */
        struct expectation x;
        memcpy(&x, buf_head(&old), sizeof x);
        buf_eat(&old, sizeof x);
        x.fn(x.arg, NULL);
    }
    buf_fini(&old);
}

/* Everything to WAITING, without telling the owner. */
static void drop(struct backend_conn *c, const char *reason)
{
    snprintf(c->why, sizeof c->why, "%s", reason);
    c->state = WAITING;
    uv_timer_stop(&c->timer);
    uv_idle_stop(&c->awake);
    c->scan = (struct resp_scanner){0};
    if (c->streaming)
        stream_close(&c->stream); /* the next attempt is timed when it is closed */
    fail_expected(c);
}

void backend_conn_break(struct backend_conn *c, const char *reason)
{
    if (c->state == WAITING || c->freeing)
        return;
    drop(c, reason);
    if (!c->freeing)
        c->ops->lost(c->owner, c->why);
    if (!c->streaming && !c->freeing)
        wait_and_retry(c);
}

static void broke(struct backend_conn *c, const char *what, const char *reason)
{
    char text[sizeof c->why];
    snprintf(text, sizeof text, "%s%.200s", what, reason);
    backend_conn_break(c, text);
}

/* --- time ------------------------------------------------------------------------------------ */

static bool is_asked(const struct backend_conn *c)
{
    return c->state == CONNECTING || c->expected.len > 0;
}

/* "what: the text of an error" */
static void refused(struct backend_conn *c, const char *what, struct slice reply)
{
    char text[sizeof c->why];
    struct slice why = c->protocol->error_text(reply);
    snprintf(text, sizeof text, "%s%.*s", what, (int)why.len, (const char *)why.ptr);
    backend_conn_break(c, text);
}

/* That there is one is the point; and where the backend can't serve (LOADING, MISCONF, ...) it says
 * so. */
static void on_pong(void *arg, const struct slice *reply)
{
    struct backend_conn *c = arg;
    if (reply && c->protocol->is_error(*reply))
        refused(c, "", *reply);
}

static unsigned patience(const struct backend_conn *c)
{
    const struct backend_address *to = &c->to;
    bool alone = !to->alone || __atomic_load_n(to->alone, __ATOMIC_RELAXED);
    return alone || !to->company_timeout_ms ? to->timeout_ms : to->company_timeout_ms;
}

static void tick(struct backend_conn *c)
{
    uint64_t now = clock_mono_ms();
    bool moved = c->arrived != c->seen_arrived || c->stream.out.len != c->seen_out;
    c->seen_arrived = c->arrived;
    c->seen_out = c->stream.out.len;
    if (moved)
        c->since_ms = now;
    if (is_asked(c) && now - c->since_ms >= patience(c)) {
        char text[64];
        snprintf(text, sizeof text, "no answer within %u ms", patience(c));
        backend_conn_break(c, text);
    } else if (c->state == READY && !is_asked(c)) {
        buf_reset(&c->expected, 0);
        c->protocol->add_ping(backend_conn_out(c));
        backend_conn_expect(c, 1, on_pong, c);
        backend_conn_flush(c);
    }
}

static void on_timer(uv_timer_t *h)
{
    struct backend_conn *c = h->data;
    if (c->state == WAITING)
        attempt(c);
    else if (c->state != RESOLVING) /* the resolver has time limits of its own */
        tick(c);
}

static void start_ticking(struct backend_conn *c)
{
    uint64_t every = patience(c) / TICKS + 1;
    c->since_ms = clock_mono_ms();
    uv_timer_start(&c->timer, on_timer, every, every);
}

/* --- the stream ------------------------------------------------------------------------------ */

static void become_ready(struct backend_conn *c)
{
    c->state = READY;
    c->ops->ready(c->owner);
}

static void on_greeted(void *arg, const struct slice *reply)
{
    struct backend_conn *c = arg;
    if (reply && c->protocol->is_error(*reply))
        refused(c, "AUTH was refused: ", *reply);
    else if (reply)
        become_ready(c);
}

static void on_connect(struct stream *s)
{
    struct backend_conn *c = s->owner;
    start_ticking(c);
    if (!c->protocol->add_greeting(&c->to, &s->out)) {
        become_ready(c);
        return;
    }
    c->state = GREETING;
    backend_conn_expect(c, 1, on_greeted, c);
    stream_flush(s);
}

static void take_reply(struct backend_conn *c, struct slice reply)
{
    if (c->expected.len == 0) { /* "-ERR max number of clients reached", then it hangs up */
        char text[sizeof c->why];
        snprintf(text, sizeof text, "an answer that nobody asked for: %.*s",
                 (int)(reply.len > 120 ? 120 : reply.len - 2), (const char *)reply.ptr);
        backend_conn_break(c, text);
        return;
    }
    struct expectation x;
    memcpy(&x, buf_head(&c->expected), sizeof x);
    if (--x.left == 0)
        buf_eat(&c->expected, sizeof x);
    else
        memcpy(c->expected.data + c->expected.off, &x, sizeof x);
    x.fn(x.arg, &reply);
}

static void on_data(struct stream *s)
{
    struct backend_conn *c = s->owner;
    c->arrived++;
    while (!s->closed && s->in.len) {
        size_t size;
        struct error e;
        enum resp_status st = c->protocol->scan(&c->scan, buf_head(&s->in), s->in.len, &size, &e);
        if (st == RESP_MORE)
            return;
        if (st == RESP_BAD) {
            char what[40];
            snprintf(what, sizeof what, "not a %s: ", c->protocol->name);
            broke(c, what, e.text);
            return;
        }
        take_reply(c, slice_of(buf_head(&s->in), size));
        buf_eat(&s->in, size); /* also after a close: the buffer lives until on_closed */
    }
}

static void on_end(struct stream *s, const char *reason)
{
    backend_conn_break(s->owner, reason);
}

static void gone(struct backend_conn *c)
{
    if (--c->handles > 0 || !c->freeing)
        return;
    buf_fini(&c->expected);
    if (c->ops->freed)
        c->ops->freed(c->owner);
    mem_free(c);
}

static void on_stream_closed(struct stream *s)
{
    struct backend_conn *c = s->owner;
    c->streaming = false;
    if (!c->freeing)
        wait_and_retry(c);
    gone(c);
}

static const struct stream_ops stream_ops = {
    .on_connect = on_connect, .on_data = on_data, .on_end = on_end, .on_closed = on_stream_closed};

static void connect_to(struct backend_conn *c, const struct sockaddr *sa, socklen_t len)
{
    struct error e;
    c->state = CONNECTING;
    if (!stream_connect(&c->stream, c->loop, sa, len, &stream_ops, c, &e)) {
        backend_conn_break(c, e.text);
        return;
    }
    c->streaming = true;
    c->handles++;
    start_ticking(c);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void on_names(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct backend_conn *c = req->data;
    if (!c->freeing) {
        if (status < 0)
            broke(c, "its name can't be resolved: ", uv_strerror(status));
        else
            connect_to(c, res->ai_addr, res->ai_addrlen);
    }
    uv_freeaddrinfo(res);
    gone(c);
}

static void resolve(struct backend_conn *c)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    snprintf(port, sizeof port, "%u", c->to.port);
    c->state = RESOLVING;
    c->names.data = c;
    int rc = uv_getaddrinfo(c->loop, &c->names, on_names, c->to.host, port, &hints);
    if (rc < 0)
        broke(c, "its name can't be resolved: ", uv_strerror(rc));
    else
        c->handles++;
}

static void connect_unix(struct backend_conn *c)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(c->to.unix_path) >= sizeof sun.sun_path) {
        c->state = CONNECTING;
        backend_conn_break(c, "the path of its socket is too long");
        return;
    }
    memcpy(sun.sun_path, c->to.unix_path, strlen(c->to.unix_path));
    connect_to(c, (const struct sockaddr *)&sun, sizeof sun);
}

static void attempt(struct backend_conn *c)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (c->to.unix_path && *c->to.unix_path)
        connect_unix(c);
    else if (uv_ip4_addr(c->to.host, c->to.port, &v4) == 0)
        connect_to(c, (const struct sockaddr *)&v4, sizeof v4);
    else if (uv_ip6_addr(c->to.host, c->to.port, &v6) == 0)
        connect_to(c, (const struct sockaddr *)&v6, sizeof v6);
    else
        resolve(c);
}

/* --- life --------------------------------------------------------------------------------------
 */

static void on_turn_end(uv_check_t *h)
{
    struct backend_conn *c = h->data;
    if (!uv_is_active((uv_handle_t *)&c->awake))
        return;
    uv_idle_stop(&c->awake);
    backend_conn_flush(c);
}

static void noop_idle(uv_idle_t *h)
{
    (void)h; /* its being active keeps the poll from sleeping */
}

struct backend_conn *backend_conn_new(uv_loop_t *loop, const struct backend_protocol *protocol,
                                      const struct backend_address *to,
                                      const struct backend_conn_ops *ops, void *owner)
{
    struct backend_conn *c = MEM_NEW(struct backend_conn);
    c->protocol = protocol;
    c->to = *to;
    c->ops = ops;
    c->owner = owner;
    c->loop = loop;
    c->backoff_ms = BACKOFF_FIRST_MS;
    c->random = clock_mono_us() ^ (uint64_t)(uintptr_t)c ^ 0x9e3779b97f4a7c15ull;
    snprintf(c->why, sizeof c->why, "not connected yet");
    uv_timer_init(loop, &c->timer);
    uv_check_init(loop, &c->turn_end);
    uv_idle_init(loop, &c->awake);
    c->timer.data = c->turn_end.data = c->awake.data = c;
    c->handles = 3;
    uv_check_start(&c->turn_end, on_turn_end);
    uv_timer_start(&c->timer, on_timer, 0, 0);
    return c;
}

static void on_handle_closed(uv_handle_t *h)
{
    gone(h->data);
}

void backend_conn_free(struct backend_conn *c)
{
    if (!c || c->freeing)
        return;
    c->freeing = true;
    if (c->state == RESOLVING)
        (void)uv_cancel((uv_req_t *)&c->names); /* or it ends by itself */
    drop(c, "closed");
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->turn_end, on_handle_closed);
    uv_close((uv_handle_t *)&c->awake, on_handle_closed);
}

bool backend_conn_ready(const struct backend_conn *c)
{
    return c->state == READY;
}

const char *backend_conn_why(const struct backend_conn *c)
{
    return c->why;
}

bool backend_conn_local(const struct backend_conn *c, struct address *out)
{
    if (c->state != READY)
        return false;
    address_of_socket(c->stream.fd, false, out);
    return out->kind == ADDRESS_TCP;
}

struct buf *backend_conn_out(struct backend_conn *c)
{
    return &c->stream.out;
}

void backend_conn_expect(struct backend_conn *c, size_t n, backend_reply_fn *fn, void *arg)
{
    if (c->expected.len == 0)
        c->since_ms = clock_mono_ms();
    buf_add(&c->expected, &(struct expectation){.left = n, .fn = fn, .arg = arg},
            sizeof(struct expectation));
}

void backend_conn_flush(struct backend_conn *c)
{
    if (c->streaming)
        stream_flush(&c->stream);
}

void backend_conn_flush_later(struct backend_conn *c)
{
    if (!uv_is_active((uv_handle_t *)&c->awake))
        uv_idle_start(&c->awake, noop_idle);
}

void backend_conn_settled(struct backend_conn *c)
{
    c->backoff_ms = BACKOFF_FIRST_MS;
}

void backend_conn_hurry(struct backend_conn *c)
{
    if (c->state != WAITING || c->streaming || c->freeing ||
        uv_timer_get_due_in(&c->timer) <= BACKOFF_FIRST_MS)
        return;
    c->backoff_ms = BACKOFF_FIRST_MS;
    uv_timer_start(&c->timer, on_timer, BACKOFF_FIRST_MS, 0);
}
