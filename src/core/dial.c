#include "core/dial.h"
#include <netdb.h>
#include <stdio.h>

static void finish(struct dial *d, const char *reason)
{
    d->busy = false;
    d->done(d->owner, reason);
}

static void connect_to(struct dial *d, const struct sockaddr *to, socklen_t len)
{
    struct error e;
    bool ok = stream_connect(d->stream, d->loop, to, len, d->ops, d->owner, &e);
    finish(d, ok ? NULL : e.text);
}

static void on_names(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct dial *d = req->data;
    if (d->cancelled)
        finish(d, "not wanted any more");
    else if (status < 0)
        finish(d, uv_strerror(status));
    else
        connect_to(d, found->ai_addr, found->ai_addrlen);
    uv_freeaddrinfo(found);
}

static void look_up(struct dial *d, const struct address *to)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    snprintf(port, sizeof port, "%u", to->port);
    d->names.data = d;
    int rc = uv_getaddrinfo(d->loop, &d->names, on_names, to->host, port, &hints);
    if (rc < 0)
        finish(d, uv_strerror(rc));
}

void dial_start(struct dial *d, uv_loop_t *loop, const struct address *to, struct stream *stream,
                const struct stream_ops *ops, void *owner, dial_done *done)
{
    struct error e;
    struct sockaddr_storage found;
    socklen_t len = 0;
    *d = (struct dial){
        .loop = loop, .stream = stream, .ops = ops, .owner = owner, .done = done, .busy = true};
    if (!address_is_number(to))
        look_up(d, to);
    else if (address_resolve(to, &found, &len, &e))
        connect_to(d, (struct sockaddr *)&found, len);
    else
        finish(d, e.text);
}

void dial_cancel(struct dial *d)
{
    if (!d->busy)
        return;
    d->cancelled = true;
    (void)uv_cancel((uv_req_t *)&d->names); /* or it ends by itself */
}
