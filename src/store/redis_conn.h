/* store/redis_conn: one pipelined RESP2 connection to the Redis behind this node, on the loop of
 * the thread that made it; the writer has one and each worker. It connects by itself, over TCP or a
 * unix socket, says AUTH, and connects again when it breaks: after 50 ms, doubling to 2 s, with
 * jitter, from the start again once the owner has called redis_conn_settled.
 *
 *     resp_add_command(redis_conn_out(c), argv, 2);
 *     redis_conn_expect(c, 1, on_reply, arg);          as many replies as commands were added
 *     redis_conn_flush(c);     or redis_conn_flush_later(c): once, at the end of the turn
 *
 * Replies come in order. When the connection breaks, each expectation that isn't fulfilled gets
 * NULL once, then `lost` is called. A backend that is asked something and for timeout_ms neither
 * takes nor gives a byte counts as broken; an idle connection is asked (PING) now and then, and one
 * that answers with an error counts as broken too. */
#ifndef STORE_REDIS_CONN_H
#define STORE_REDIS_CONN_H

#include "core/buf.h"
#include <uv.h>

struct redis_conn;

struct redis_address {            /* the strings live as long as the connection */
    const char *host, *unix_path; /* unix_path NULL or "": TCP */
    uint16_t port;
    const char *user, *password; /* NULL or "": none */
    unsigned timeout_ms;
    unsigned company_timeout_ms; /* while *alone (atomic) is 0; 0: timeout_ms */
    const uint32_t *alone;       /* NULL: timeout_ms */
};

struct redis_conn_ops {
    void (*ready)(void *owner); /* it stands and is authenticated */
    /* It broke, or an attempt failed: why. After this it tries again by itself. */
    void (*lost)(void *owner, const char *reason);
    /* After redis_conn_free, from the loop: nothing of it is left. May be NULL. */
    void (*freed)(void *owner);
};

/* `reply` is whole and borrowed; NULL: it won't come (at most one NULL per expectation). */
typedef void redis_reply_fn(void *arg, const struct slice *reply);

/* The first attempt starts in the loop's next turn. */
struct redis_conn *redis_conn_new(uv_loop_t *loop, const struct redis_address *to,
                                  const struct redis_conn_ops *ops, void *owner);
/* What is expected gets its NULL before this returns; `lost` isn't called. */
void redis_conn_free(struct redis_conn *c);

bool redis_conn_ready(const struct redis_conn *c);
const char *redis_conn_why(const struct redis_conn *c); /* why it isn't; one line */
struct buf *redis_conn_out(struct redis_conn *c);       /* only while ready */
void redis_conn_expect(struct redis_conn *c, size_t n, redis_reply_fn *fn, void *arg);
void redis_conn_flush(struct redis_conn *c);
void redis_conn_flush_later(struct redis_conn *c);
/* The owner doesn't like what it heard. Calls `lost`. */
void redis_conn_break(struct redis_conn *c, const char *reason);
void redis_conn_settled(struct redis_conn *c);
void redis_conn_hurry(struct redis_conn *c); /* the backend is said to be back: try soon */

#endif
