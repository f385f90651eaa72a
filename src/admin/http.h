/* admin/http: /metrics /stats /livez /readyz /ring.json /cluster_describe, by libmicrohttpd on the
 * admin actor's loop. */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include "admin/admin.h"

struct http;
/* Takes the listening socket. The actor's thread. */
struct http *http_start(uv_loop_t *loop, int fd, const struct admin_sources *s,
                        struct error *e) MUST_USE;
/* Closes; freed when the loop has closed the handles. NULL is fine. */
void http_stop(struct http *h);

#endif
