/* store/redis_info: whether the Redis behind this node can be one, from what it says in INFO.
 * Pure, any thread. */
#ifndef STORE_REDIS_INFO_H
#define STORE_REDIS_INFO_H

#include "core/buf.h"
#include "core/error.h"

/* False: it can't (older than 6.2, a replica, loading, part of a Redis Cluster); `e` says why. */
bool redis_info_ok(struct slice info, struct error *e) MUST_USE;
/* Its version is one that this server will never take: waiting won't help. */
bool redis_info_too_old(struct slice info, struct error *e);
/* Its maxmemory-policy may evict keys without an expiry, ours among them. */
bool redis_info_evicts(struct slice info);

#endif
