/* store/internal: what the stores behind store.h have in common. A store embeds struct store as its
 * first member and gives it the table of its functions; store.c dispatches.
 *
 *     struct redis { struct store base; ... };
 *     static const struct store_ops ops = {.close = ..., ...};
 *     store_base_init(&r->base, &ops);      down, "starting"
 *     store_set_up(&r->base);               the thread that owns the writing side
 *     store_set_down(&r->base, "connection refused");
 *     store_base_fini(&r->base);            in ops->close, before the memory goes
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include "core/rcu.h"
#include "store/store.h"

/* Each as the function of store.h with the same name. */
struct store_ops {
    bool answers_at_once;
    void (*close)(struct store *s);
    void (*writer_start)(struct store *s, uv_loop_t *loop, const struct store_events *events);
    void (*writer_stop)(struct store *s);
    uint64_t (*last)(struct store *s, unsigned source, const char *node_id);
    void (*apply)(struct store *s, struct store_batch *batch);
    void (*forget_below)(struct store *s, uint64_t stamp);
    void (*note_overwrite)(struct store *s, struct slice key, uint64_t stamp,
                           uint16_t tag); /* NULL: there is nothing to note */
    struct store_reader *(*reader_new)(struct store *s, uv_loop_t *loop);
    void (*reader_free)(struct store_reader *r);
    void (*read)(struct store_reader *r, const struct command_spec *spec,
                 const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg);
    void (*inspect)(struct store_reader *r, struct slice key, store_read_fn *fn, void *arg);
    void (*copy)(struct store_reader *r, struct slice key, bool command, store_copy_fn *fn,
                 void *arg);
    void (*gets_company)(struct store *s); /* NULL: nothing to do */
    /* NULL, all three, where store_takes_writes_anywhere is always false. */
    struct store_watch *(*watch_new)(struct store_reader *r);
    void (*watch_run)(struct store_watch *w, const struct command_spec *spec,
                      const struct resp_command *cmd, store_read_fn *fn, void *arg);
    void (*watch_free)(struct store_watch *w);
    uint64_t (*value_max)(const struct store *s); /* NULL: there is none */
};

/* Published through RCU, so that any thread may ask why a store is down. */
struct store_reason {
    struct rcu_head rcu;
    char text[256];
};

struct store {
    const struct store_ops *ops;
    struct store_stats stats;
    struct store_reason *down; /* RCU; NULL: the store is up */
    uint32_t alone;            /* atomic; see store_options */
};

/* First member of a store's reading side. */
struct store_reader {
    struct store *store;
};

/* First member of a connection for WATCH. */
struct store_watch {
    const struct store_ops *ops;
};

void store_base_init(struct store *s, const struct store_ops *ops);
void store_base_fini(struct store *s);
void store_set_up(struct store *s);
void store_set_down(struct store *s, const char *reason); /* cut when longer than 255 bytes */

/* Of a string's copy. */
uint64_t store_digest_string(struct slice value);
uint64_t store_weight_string(struct slice value);

static inline bool store_is_alone(const struct store *s)
{
    return __atomic_load_n(&s->alone, __ATOMIC_RELAXED);
}

#define STORE_COUNT(field, n) ((void)__atomic_fetch_add(&(field), (n), __ATOMIC_RELAXED))
#define STORE_SHOW(field, v)  __atomic_store_n(&(field), (v), __ATOMIC_RELAXED)

#endif
