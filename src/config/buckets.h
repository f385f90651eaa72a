/* config/buckets: which keys have levels of their own (bucket_types). Keys belong to the longest
 * prefix that they begin with, whatever hash_tag says.
 *
 *     sorted:  a  a:  a:b  a:c  b        a's parent is none, a:'s is a, a:b's and a:c's is a:
 *
 * The last prefix that isn't greater than a key begins with the one that is looked for, which is
 * therefore itself or one of its parents.
 *
 * Built by one thread; once published (struct config) it is never edited, and goes by rcu_defer. */
#ifndef CONFIG_BUCKETS_H
#define CONFIG_BUCKETS_H

#include "config/config.h"
#include "core/buf.h"
#include "core/rcu.h"

#define BUCKETS_MAX       1024
#define BUCKET_PREFIX_MAX 255 /* bytes */

struct bucket {
    char *prefix;
    size_t len;
    enum consistency read, write;
};

struct buckets {
    struct rcu_head rcu;
    size_t n;
    struct bucket *bucket; /* n, as they were given */
    struct bucket_order {
        uint16_t bucket, parent; /* parent: a place in `sorted`, or n where there is none */
    } * sorted;
};

/* To *b, which is made where it is NULL. False: the prefix stands there already, or there are
 * BUCKETS_MAX. Copies the prefix. */
bool buckets_add(struct buckets **b, struct slice prefix, enum consistency read,
                 enum consistency write) MUST_USE;
/* NULL: the key has no bucket. */
const struct bucket *buckets_find(const struct buckets *b, struct slice key);
void buckets_free(struct buckets *b); /* takes NULL */
void buckets_reclaim(struct rcu_head *head);

#endif
