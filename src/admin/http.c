#include "admin/http.h"
#include "admin/view.h"
#include "core/mem.h"
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_SECONDS 10
#define CONNECTIONS  256

struct http {
    const struct admin_sources *sources;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles;
};

static enum MHD_Result send_text(struct MHD_Connection *c, unsigned status, const char *type,
                                 struct slice text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(text.len, (void *)(uintptr_t)text.ptr,
                                                             MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, "Allow", "GET, HEAD");
    enum MHD_Result ok = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result send_json(struct MHD_Connection *c, json_t *o)
{
    char *text = json_dumps(o, JSON_INDENT(1));
    json_decref(o);
    enum MHD_Result ok =
        send_text(c, MHD_HTTP_OK, "application/json", slice_str(text ? text : "{}"));
    free(text);
    return ok;
}

static enum MHD_Result send_metrics(struct MHD_Connection *c, const struct admin_sources *s)
{
    struct buf b = BUF_INIT;
    metrics_add(s, &b);
    enum MHD_Result ok =
        send_text(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&b));
    buf_fini(&b);
    return ok;
}

static enum MHD_Result send_ready(struct MHD_Connection *c, const struct admin_sources *s)
{
    char why[300] = "";
    if (view_ready(s, why, sizeof why - 1))
        return send_text(c, MHD_HTTP_OK, "text/plain", slice_str("ready\n"));
    strcat(why, "\n");
    return send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", slice_str(why));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct http *h = arg;
    const struct admin_sources *s = h->sources;
    (void)version;
    (void)data;
    (void)size;
    (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
                         slice_str("only GET and HEAD\n"));
    if (strcmp(url, "/metrics") == 0)
        return send_metrics(c, s);
    if (strcmp(url, "/livez") == 0)
        return send_text(c, MHD_HTTP_OK, "text/plain", slice_str("alive\n"));
    if (strcmp(url, "/readyz") == 0)
        return send_ready(c, s);
    if (strcmp(url, "/stats") == 0)
        return send_json(c, view_stats(s));
    if (strcmp(url, "/ring.json") == 0)
        return send_json(c, view_ring(s));
    if (strcmp(url, "/cluster_describe") == 0)
        return send_json(c, view_status(s));
    return send_text(c, MHD_HTTP_NOT_FOUND, "text/plain", slice_str("not found\n"));
}

static void on_timer(uv_timer_t *t);

static void run(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    MHD_run(h->daemon);
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
        uv_timer_start(&h->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&h->timer);
}

static void on_timer(uv_timer_t *t)
{
    run(t->data);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    run(p->data);
}

struct http *http_start(uv_loop_t *loop, const struct admin_sources *s, struct error *e)
{
    struct http *h = MEM_NEW(struct http);
    h->sources = s;
    h->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, h,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_END);
    if (!h->daemon) {
        error_set(e, "the HTTP server can't start");
        mem_free(h);
        return NULL;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_timer_init(loop, &h->timer);
    uv_poll_init(loop, &h->poll, info->epoll_fd);
    h->poll.data = h->timer.data = h;
    h->handles = 2;
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    return h;
}

void http_accept(struct http *h, int fd)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    if (getpeername(fd, (struct sockaddr *)&from, &len) < 0) {
        close(fd); /* gone already */
        return;
    }
    /* where it says no it has closed the socket */
    (void)MHD_add_connection(h->daemon, fd, (struct sockaddr *)&from, len);
    run(h);
}

static void closed(uv_handle_t *handle)
{
    struct http *h = handle->data;
    if (--h->handles)
        return;
    MHD_stop_daemon(h->daemon);
    mem_free(h);
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    uv_close((uv_handle_t *)&h->poll, closed);
    uv_close((uv_handle_t *)&h->timer, closed);
}
