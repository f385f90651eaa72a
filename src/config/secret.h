/* config/secret: a text that may change while the node runs and that is shown to nobody who asks
 * it: requirepass. Built whole, published behind RCU, never edited; NULL: there is none. */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "core/buf.h"
#include "core/rcu.h"

#define SECRET_MAX 512 /* bytes: what Redis takes, and a client that isn't known yet may send */

struct secret {
    struct rcu_head rcu;
    size_t len;
    char text[]; /* and a NUL */
};

struct secret *secret_new(const char *text); /* copies; NULL of the empty text */
void secret_reclaim(struct rcu_head *head);
/* How long this takes says nothing about the secret. Inside a read section. */
bool secret_is(const struct secret *s, struct slice given);

#endif
