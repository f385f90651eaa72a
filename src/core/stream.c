#include "core/stream.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define SHARED    (64u * 1024)
#define READ_MIN  (16u * 1024)
#define READ_MAX  (1024u * 1024) /* one turn's share of one stream */
#define KEEP_IDLE (4u * 1024)    /* a buffer larger than this is given back when it is empty */

/* What the streams of this thread read into while they have nothing left from before. */
static _Thread_local uint8_t shared[SHARED];

static void on_poll(uv_poll_t *h, int status, int events);

static void watch(struct stream *s)
{
    int want = 0;
    if (!s->paused && !s->half_end && !s->connecting)
        want |= UV_READABLE;
    if (s->blocked || s->connecting)
        want |= UV_WRITABLE;
    if (want == s->events || s->closed)
        return;
    s->events = want;
    if (want)
        uv_poll_start(&s->poll, want, on_poll);
    else
        uv_poll_stop(&s->poll);
}

static void end(struct stream *s, const char *reason)
{
    if (s->closed || s->half_end)
        return;
    s->half_end = true; /* said once */
    watch(s);
    s->ops->on_end(s, reason);
}

/* Room for the next read: what is wanted of a large value at once, but in pieces of READ_MAX. */
static size_t read_room(struct stream *s)
{
    size_t room = READ_MIN;
    if (s->in_want > s->in.len && s->in_want - s->in.len > room)
        room = s->in_want - s->in.len;
    if (room > READ_MAX && s->in.cap - s->in.len < room)
        buf_reserve(&s->in, room);
    return room > READ_MAX ? READ_MAX : room;
}

/* What on_data left goes into memory of the stream's own. */
static void take_back(struct stream *s)
{
    struct slice left = buf_slice(&s->in);
    s->in = (struct buf)BUF_INIT;
    if (left.len && !s->closed)
        buf_add(&s->in, left.ptr, left.len);
}

static void read_some(struct stream *s)
{
    bool lend = s->in.len == 0;
    size_t room = lend ? SHARED : read_room(s);
    if (lend) {
        buf_fini(&s->in);
        s->in = (struct buf){.data = shared, .cap = SHARED};
    }
    ssize_t n = read(s->fd, buf_reserve(&s->in, room), room);
    if (n > 0) {
        buf_commit(&s->in, (size_t)n);
        s->ops->on_data(s);
    } else if (n == 0) {
        end(s, STREAM_EOF);
    } else if (errno != EAGAIN && errno != EINTR) {
        end(s, strerror(errno));
    }
    if (lend)
        take_back(s);
    else if (s->in.len == 0)
        buf_fini(&s->in);
}

static void finish_connect(struct stream *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    s->connecting = false;
    if (err) {
        end(s, strerror(err));
        return;
    }
    watch(s);
    s->ops->on_connect(s);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct stream *s = h->data;
    if (status < 0) {
        /* EBADF is how libuv says POLLERR; the socket knows the reason */
        int err = 0;
        socklen_t len = sizeof err;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        s->connecting = s->half_end = false; /* who waits after an end is told of the error too */
        end(s, err ? strerror(err) : uv_strerror(status));
        return;
    }
    if (s->connecting) {
        finish_connect(s);
        return;
    }
    if (events & UV_WRITABLE) {
        size_t waiting = s->out.len;
        stream_flush(s);
        if (!s->closed && s->out.len < waiting && s->ops->on_progress)
            s->ops->on_progress(s);
        if (!s->closed && !s->blocked && s->ops->on_drain)
            s->ops->on_drain(s);
    }
    if (!s->closed && (events & UV_READABLE) && !s->paused && !s->half_end)
        read_some(s);
}

static bool take_fd(struct stream *s, uv_loop_t *loop, int fd, const struct stream_ops *ops,
                    void *owner, struct error *e)
{
    *s = (struct stream){.fd = fd, .ops = ops, .owner = owner};
    int one = 1, flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        error_set(e, "non-blocking socket: %s", strerror(errno));
        close(fd);
        return false;
    }
    /* not a TCP socket: nothing to switch off */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int rc = uv_poll_init(loop, &s->poll, fd);
    if (rc < 0) {
        error_set(e, "poll: %s", uv_strerror(rc));
        close(fd);
        return false;
    }
    s->poll.data = s;
    return true;
}

bool stream_open(struct stream *s, uv_loop_t *loop, int fd, const struct stream_ops *ops,
                 void *owner, struct error *e)
{
    if (!take_fd(s, loop, fd, ops, owner, e))
        return false;
    watch(s);
    return true;
}

bool stream_connect(struct stream *s, uv_loop_t *loop, const struct sockaddr *to, socklen_t len,
                    const struct stream_ops *ops, void *owner, struct error *e)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(e, "socket: %s", strerror(errno));
    if (connect(fd, to, len) < 0 && errno != EINPROGRESS && errno != EAGAIN) {
        error_set(e, "%s", strerror(errno));
        close(fd);
        return false;
    }
    if (!take_fd(s, loop, fd, ops, owner, e))
        return false;
    s->connecting = true;
    watch(s);
    return true;
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    watch(s);
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    watch(s);
}

void stream_flush(struct stream *s)
{
    if (s->closed || s->connecting)
        return;
    while (s->out.len) {
        ssize_t n = send(s->fd, buf_head(&s->out), s->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN) {
                s->broken = true;
                buf_eat(&s->out, s->out.len); /* the reading side reports the broken socket */
            }
            break;
        }
        buf_eat(&s->out, (size_t)n);
        s->sent += (uint64_t)n;
    }
    s->blocked = s->out.len > 0;
    if (!s->blocked)
        buf_reset(&s->out, KEEP_IDLE);
    if (s->in.len == 0 && s->in.data != shared)
        buf_fini(&s->in); /* the owner has eaten since what on_data left */
    watch(s);
}

static void closed(uv_handle_t *h)
{
    struct stream *s = h->data;
    buf_fini(&s->in);
    buf_fini(&s->out);
    s->ops->on_closed(s);
}

void stream_close(struct stream *s)
{
    if (s->closed)
        return;
    s->closed = true;
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, closed);
    close(s->fd);
    s->fd = -1;
}
