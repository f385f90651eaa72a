/* admin/view: what this node knows about itself and its peers, as JSON objects. dyn-admin, HTTP and
 * the metrics all take their figures from here. The admin actor's thread; the caller owns the
 * object (json_decref). */
#ifndef ADMIN_VIEW_H
#define ADMIN_VIEW_H

#include "admin/admin.h"
#include "peer/mail.h"
#include <jansson.h>

json_t *view_status(const struct admin_sources *s);
json_t *view_hints(const struct admin_sources *s);
json_t *view_ring(const struct admin_sources *s);
json_t *view_peers(const struct admin_sources *s);
enum node_state view_own_state(const struct admin_sources *s);
json_t *view_state(const struct admin_sources *s);
json_t *view_stats(const struct admin_sources *s); /* status, hints, requests: for /stats */
/* The answer to `key`; m's replies are read, not freed. */
json_t *view_key(const struct admin_sources *s, struct slice key, const struct mail_inspected *m);
/* Is this node ready? Else why not. */
bool view_ready(const struct admin_sources *s, char *why, size_t n);
/* Prometheus text 0.0.4, appended. */
void metrics_add(const struct admin_sources *s, struct buf *out);

#endif
