/* One look at the store behind this node before anything else starts: one that is too old is a
 * mistake in the configuration, and waiting won't help. One that can't be reached or asked now is
 * no mistake; it is tried again for as long as the node runs, and so is one that has a name: its
 * resolver may hang, and the first greeting looks at the version, too. The main thread. */
#include "store/backend_conn.h"
#include <arpa/inet.h>

#define LIMIT_MS 1000 /* of the start's time */

struct probe {
    const struct backend_protocol *protocol;
    struct backend_conn *conn;
    uv_timer_t limit;
    bool ended, too_old;
    struct error why;
};

static void end(struct probe *p)
{
    if (p->ended)
        return;
    p->ended = true;
    backend_conn_free(p->conn);
    uv_close((uv_handle_t *)&p->limit, NULL);
}

static void on_version(void *arg, const struct slice *reply)
{
    struct probe *p = arg;
    if (reply)
        p->too_old = p->protocol->too_old(*reply, &p->why);
    end(p);
}

static void on_ready(void *owner)
{
    struct probe *p = owner;
    p->protocol->add_version_question(backend_conn_out(p->conn));
    backend_conn_expect(p->conn, 1, on_version, p);
    backend_conn_flush(p->conn);
}

static void on_lost(void *owner, const char *reason)
{
    (void)reason; /* the writing side will say it */
    end(owner);
}

static void on_limit(uv_timer_t *t)
{
    end(t->data);
}

static bool is_number(const struct backend_address *to)
{
    struct in6_addr ignored;
    return (to->unix_path && *to->unix_path) || inet_pton(AF_INET, to->host, &ignored) == 1 ||
           inet_pton(AF_INET6, to->host, &ignored) == 1;
}

bool backend_probe(const struct backend_protocol *protocol, const struct backend_address *to,
                   struct error *e)
{
    static const struct backend_conn_ops ops = {.ready = on_ready, .lost = on_lost};
    if (!is_number(to))
        return true;
    struct probe p = {.protocol = protocol, .limit.data = &p};
    uv_loop_t loop;
    int rc = uv_loop_init(&loop);
    if (rc < 0)
        return error_set(e, "an event loop can't be made: %s", uv_strerror(rc));
    uv_timer_init(&loop, &p.limit);
    uv_timer_start(&p.limit, on_limit, LIMIT_MS, 0);
    p.conn = backend_conn_new(&loop, protocol, to, &ops, &p);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return !p.too_old || error_set(e, "backend: %s", p.why.text);
}
