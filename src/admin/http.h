/* admin/http: /metrics /stats /livez /readyz /ring.json /cluster_describe, by libmicrohttpd on the
 * admin actor's loop. */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include "admin/admin.h"

struct http;
/* The actor's thread, like all below. */
struct http *http_start(uv_loop_t *loop, const struct admin_sources *s, struct error *e) MUST_USE;
/* Takes an accepted socket; closes it where there are too many. */
void http_accept(struct http *h, int fd);
/* Closes; freed when the loop has closed the handles. NULL is fine. */
void http_stop(struct http *h);

#endif
