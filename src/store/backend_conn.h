/* store/backend_conn: one pipelined connection to the store behind this node, a Redis (RESP2) or a
 * memcached, on the loop of the thread that made it; the writer has one and each worker. It
 * connects by itself, over TCP or a unix socket, says who it is, and connects again when it breaks:
 * after 50 ms, doubling to 2 s, with jitter, from the start again once the owner has called
 * backend_conn_settled.
 *
 *     resp_add_command(backend_conn_out(c), argv, 2);
 *     backend_conn_expect(c, 1, on_reply, arg);          as many replies as commands were added
 *     backend_conn_flush(c);     or backend_conn_flush_later(c): once, at the end of the turn
 *
 * Replies come in order. When the connection breaks, each expectation that isn't fulfilled gets
 * NULL once, then `lost` is called. A backend that is asked something and for timeout_ms neither
 * takes nor gives a byte counts as broken; an idle connection is asked now and then whether it
 * lives, and one that answers with an error counts as broken too. */
#ifndef STORE_BACKEND_CONN_H
#define STORE_BACKEND_CONN_H

#include "core/address.h"
#include "core/buf.h"
#include "core/error.h"
#include "wire/resp.h"
#include <uv.h>

struct backend_conn;
struct backend_address;

/* What is spoken on it. */
struct backend_protocol {
    const char *name; /* "Redis": of what answers otherwise it is said that it isn't one */
    /* Finds the end of a reply, as resp_reply_scan does. */
    enum resp_status (*scan)(struct resp_scanner *s, const uint8_t *data, size_t len, size_t *size,
                             struct error *e);
    bool (*is_error)(struct slice reply);
    /* Its text, one line; borrowed from the reply. */
    struct slice (*error_text)(struct slice reply);
    /* "Are you there?" */
    void (*add_ping)(struct buf *out);
    /* The first words of a connection, answered by one reply that is no error. False: none. */
    bool (*add_greeting)(const struct backend_address *to, struct buf *out);
    /* backend_probe: the question for its version, and whether the answer names one that this
     * server will never take: waiting won't help. */
    void (*add_version_question)(struct buf *out);
    bool (*too_old)(struct slice reply, struct error *e);
};

struct backend_address {          /* the strings live as long as the connection */
    const char *host, *unix_path; /* unix_path NULL or "": TCP */
    uint16_t port;
    const char *user, *password; /* NULL or "": none */
    unsigned timeout_ms;
    unsigned company_timeout_ms; /* while *alone (atomic) is 0; 0: timeout_ms */
    const uint32_t *alone;       /* NULL: timeout_ms */
};

struct backend_conn_ops {
    void (*ready)(void *owner); /* it stands and is authenticated */
    /* It broke, or an attempt failed: why. After this it tries again by itself. */
    void (*lost)(void *owner, const char *reason);
    /* After backend_conn_free, from the loop: nothing of it is left. May be NULL. */
    void (*freed)(void *owner);
};

/* `reply` is whole and borrowed; NULL: it won't come (at most one NULL per expectation). */
typedef void backend_reply_fn(void *arg, const struct slice *reply);

/* The first attempt starts in the loop's next turn. */
struct backend_conn *backend_conn_new(uv_loop_t *loop, const struct backend_protocol *protocol,
                                      const struct backend_address *to,
                                      const struct backend_conn_ops *ops, void *owner);
/* What is expected gets its NULL before this returns; `lost` isn't called. */
void backend_conn_free(struct backend_conn *c);

bool backend_conn_ready(const struct backend_conn *c);
const char *backend_conn_why(const struct backend_conn *c); /* why it isn't; one line */
struct buf *backend_conn_out(struct backend_conn *c);       /* only while ready */
void backend_conn_expect(struct backend_conn *c, size_t n, backend_reply_fn *fn, void *arg);
void backend_conn_flush(struct backend_conn *c);
void backend_conn_flush_later(struct backend_conn *c);
/* The owner doesn't like what it heard. Calls `lost`. */
void backend_conn_break(struct backend_conn *c, const char *reason);
/* Where it comes from, as the backend sees it: of an IPv4 or IPv6 connection that stands. False: it
 * is none. */
bool backend_conn_local(const struct backend_conn *c, struct address *out) MUST_USE;
void backend_conn_settled(struct backend_conn *c);
void backend_conn_hurry(struct backend_conn *c); /* the backend is said to be back: try soon */

/* backend_probe.c: one look before anything else starts. False: it is too old. The main thread. */
bool backend_probe(const struct backend_protocol *protocol, const struct backend_address *to,
                   struct error *e) MUST_USE;

#endif
