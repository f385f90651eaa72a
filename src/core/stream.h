/* core/stream: a connected socket on an actor's loop with a buffer on either side. Clients, peer
 * links and backends all stand on it. One thread.
 *
 * Bytes that arrive are appended to `in`; on_data looks at them and eats what it understood. What
 * it leaves is kept for the next time; a stream that left nothing has no memory of its own for
 * reading: the bytes come into a buffer that all streams of a thread share, and `in` is lent it for
 * the time of on_data. Bytes to send are appended to `out` and leave together in stream_flush, at
 * the end of the turn: one system call for what a turn produced. What the socket doesn't take waits
 * in `out`; the owner looks at its size and stops producing.
 *
 * Closing: stream_close from any callback; on_closed comes later, exactly once, and only then may
 * the owner free the memory around the stream. */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include "core/buf.h"
#include "core/error.h"
#include <sys/socket.h>
#include <uv.h>

#define STREAM_EOF "closed by the other side"

struct stream;
struct stream_ops {
    void (*on_connect)(
        struct stream *s);             /* after stream_connect: it stands; may be NULL otherwise */
    void (*on_data)(struct stream *s); /* `in` has grown */
    /* The other side or the system ended it; call stream_close. At STREAM_EOF the other side may
     * still read: who has something to say may close later, and is told when that fails. */
    void (*on_end)(struct stream *s, const char *reason);
    void (*on_progress)(struct stream *s); /* the socket was full at a flush and has taken bytes
                                              since; may be NULL */
    void (*on_drain)(
        struct stream *s); /* `out` was full at a flush and is empty now; may be NULL */
    void (*on_closed)(struct stream *s);
};

struct stream {
    uv_poll_t poll;
    int fd;
    const struct stream_ops *ops;
    void *owner;
    struct buf in, out;
    size_t in_want; /* read ahead: how many bytes `in` should have room for, 0 = no wish */
    uint64_t sent;  /* bytes that the socket has taken */
    int events;
    bool paused, blocked, closed, connecting, half_end;
    bool broken; /* a send has failed */
};

/* Takes fd (non-blocking is set here). False: it couldn't be polled; fd is closed. */
bool stream_open(struct stream *s, uv_loop_t *loop, int fd, const struct stream_ops *ops,
                 void *owner, struct error *e) MUST_USE;
/* Starts a connect; on_connect or on_end comes first. */
bool stream_connect(struct stream *s, uv_loop_t *loop, const struct sockaddr *to, socklen_t len,
                    const struct stream_ops *ops, void *owner, struct error *e) MUST_USE;
void stream_pause(struct stream *s);  /* read no more: back-pressure */
void stream_resume(struct stream *s); /* what `in` already has is the owner's to look at */
/* Sends what it can of `out`, and gives back what `in` no longer needs. Never calls back. A failed
 * socket is reported by on_end later. */
void stream_flush(struct stream *s);
void stream_close(struct stream *s); /* idempotent; `out` is not waited for */

#endif
