/* hint/store_internal: what store.c (all peers) and store_peer.c (one) share. Nobody else includes
 * it. */
#ifndef HINT_STORE_INTERNAL_H
#define HINT_STORE_INTERNAL_H

#include "core/clock.h"
#include "core/lock.h"
#include "core/rcu.h"
#include "hint/commit.h"
#include "hint/share.h"
#include "hint/store.h"

#define GET(x)     __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define PUT(x, v)  __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#define BUMP(x, n) PUT(x, (x) + (n)) /* of a counter that one thread at a time writes */

struct hint_store {
    struct hint_store_options o;
    char *dir; /* o.dir is this */
    size_t record_max;
    uint64_t cap, cap_peer; /* atomic */
    struct shares shares;
    struct lock list;         /* who changes the table, or walks it and may sleep */
    struct peer_table *table; /* RCU */
};

struct peer_name {
    struct rcu_head rcu;
    char text[];
};

struct hint_peer {
    struct share share;
    struct hint_store *store;
    struct hint_log *log;
    struct peer_name *name; /* RCU */
    struct hint_log_report report;
    struct rcu_head rcu;
    /* the producer's */
    struct spinlock put CACHE_ALIGNED;
    uint32_t mixed;   /* atomic; 0: all that was ever appended were hints */
    uint64_t claimed; /* atomic, both move it: up to which record each is known as hint or gone */
    struct hlc clock;
    uint64_t counted_seq, counted_records, counted_bytes; /* atomic: the log's position up to which
                                      records were appended as hints; these hold their shares */
    uint64_t stored, joined;                              /* atomic; joined: converted by a put */
    const char *error;
    /* the consumer's */
    struct lock take CACHE_ALIGNED;
    uint32_t hinting;                            /* atomic */
    uint64_t hint_seq, hint_records, hint_bytes; /* atomic: what was there when hinting ended */
    uint64_t passed; /* expired, passed over, and not acknowledged yet */
    uint64_t converted, delivered, expired, dropped; /* atomic */
    /* anybody's */
    struct commit commit CACHE_ALIGNED;
    struct lock sync_lock;
    struct error sync_error;             /* under it */
    uint64_t rejected[HINT_PUT_RESULTS]; /* atomic */
};

/* A peer whose log is open, on nobody's list yet; NULL: it can't be opened. */
struct hint_peer *peer_open(struct hint_store *s, const char *name, const char *header,
                            struct error *e);
/* Its memory goes when readers are done; files stay. */
void peer_close(struct hint_peer *p);
/* Opens its log again, under another header. */
bool peer_reopen(struct hint_peer *p, const char *header, struct error *e) MUST_USE;
char *peer_dir(const struct hint_store *s, const char *name); /* NULL: memory; the caller frees */
struct peer_name *peer_name_new(const char *text);
void peer_name_free(struct rcu_head *head);
/* Everything appended is on disk. */
bool peer_sync(struct hint_peer *p, uint64_t *synced, struct error *e) MUST_USE;

#endif
