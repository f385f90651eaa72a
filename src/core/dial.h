/* core/dial: a stream to an address that may be a name, which is looked up beside the loop: what
 * else the thread does goes on while a resolver hangs. One thread; its memory stays until `done`
 * has come. */
#ifndef CORE_DIAL_H
#define CORE_DIAL_H

#include "core/address.h"
#include "core/stream.h"

/* Exactly once for each dial_start, possibly before that returns. reason NULL: the stream is open
 * and connecting, stream_ops tell the rest; else there is no stream. */
typedef void dial_done(void *owner, const char *reason);

struct dial {
    uv_getaddrinfo_t names;
    uv_loop_t *loop;
    struct stream *stream;
    const struct stream_ops *ops;
    void *owner; /* the stream's too */
    dial_done *done;
    bool busy, cancelled;
};

void dial_start(struct dial *d, uv_loop_t *loop, const struct address *to, struct stream *stream,
                const struct stream_ops *ops, void *owner, dial_done *done);
/* The name isn't wanted any more: `done` comes soon, with a reason. */
void dial_cancel(struct dial *d);

#endif
