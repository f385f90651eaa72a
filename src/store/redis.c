/* The store that is a Redis: opening it, and the ups and downs of its writing side, which is one
 * connection with one transaction on its way at a time. When the connection breaks, the batch is
 * given back; after the next greeting the numbers in Redis tell which of its writes were applied.
 */
#include "store/redis.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct redis *redis_of(struct store *s)
{
    return (struct redis *)(void *)s;
}

/* ---- up and down
 * ------------------------------------------------------------------------------------- */

static bool by_number(void *arg, const struct stamp_intent *in)
{
    struct redis *r = arg;
    return in->seq <= redis_numbers_by_hash(&r->numbers, in->source);
}

void redis_go_up(struct redis *r)
{
    r->numbers_known = r->armed = true;
    r->said[0] = 0;
    if (!r->quarrel)
        backend_conn_settled(r->conn);
    r->mends = redis_numbers_of(&r->numbers, STORE_SOURCE_MENDS)->last;
    stamps_settle(r->backend.stamps, by_number, r);
    backend_stamps_settled(&r->backend);
    store_set_up(&r->backend.base);
    r->events.up(r->events.arg);
}

static void on_ready(void *owner)
{
    redis_greet(owner);
}

static void on_lost(void *owner, const char *reason)
{
    struct redis *r = owner;
    bool was_up = r->numbers_known;
    r->numbers_known = r->armed = false;
    redis_versions_end(r);
    redis_numbers_settle(&r->numbers, false);
    STORE_COUNT(r->backend.base.stats.errors, 1);
    if (!was_up && strcmp(r->said, reason) != 0)
        log_warn("the backend can't be used: %s", reason); /* else the writer says it */
    snprintf(r->said, sizeof r->said, "%s", reason);
    store_set_down(&r->backend.base, reason);
    r->events.down(r->events.arg, reason);
    redis_tx_give_back(r);
}

static const struct backend_conn_ops writer_ops = {.ready = on_ready, .lost = on_lost};

/* A reading side has marked the store down: greet again, and see. */
static void on_doubt(uv_async_t *h)
{
    struct redis *r = h->data;
    char why[256];
    store_why_down(&r->backend.base, why, sizeof why);
    if (r->numbers_known && *why)
        backend_conn_break(r->conn, why);
}

static void writer_start(struct store *s, uv_loop_t *loop, const struct store_events *events)
{
    struct redis *r = redis_of(s);
    char mends[REDIS_ID_MAX + 1];
    r->events = *events;
    redis_numbers_name(&r->numbers, 0, r->backend.self_id);
    snprintf(mends, sizeof mends, "%.*s/mends", (int)(sizeof mends - sizeof "/mends"),
             r->backend.self_id);
    redis_numbers_name(&r->numbers, STORE_SOURCE_MENDS, mends);
    r->conn = backend_conn_new(loop, &redis_protocol, &r->backend.address, &writer_ops, r);
    r->doubt.data = r;
    uv_async_init(loop, &r->doubt, on_doubt);
    __atomic_store_n(&r->doubt_open, true, __ATOMIC_RELEASE);
}

static void writer_stop(struct store *s)
{
    struct redis *r = redis_of(s);
    __atomic_store_n(&r->doubt_open, false, __ATOMIC_RELEASE);
    uv_close((uv_handle_t *)&r->doubt, NULL); /* the readers have ended */
    backend_conn_free(r->conn);
}

static uint64_t last(struct store *s, unsigned source, const char *node_id)
{
    return redis_numbers_name(&redis_of(s)->numbers, source, node_id);
}

/* ---- opening
 * --------------------------------------------------------------------------------------- */

static void close_redis(struct store *s)
{
    struct redis *r = redis_of(s);
    redis_numbers_fini(&r->numbers);
    backend_fini(&r->backend);
    mem_free(r->tx);
    mem_free(r);
}

static const struct store_ops redis_ops = {.close = close_redis,
                                           .writer_start = writer_start,
                                           .writer_stop = writer_stop,
                                           .last = last,
                                           .apply = redis_apply,
                                           .forget_below = backend_forget_below,
                                           .note_overwrite = backend_note_overwrite,
                                           .reader_new = redis_reader_new,
                                           .reader_free = redis_reader_free,
                                           .read = redis_read,
                                           .inspect = redis_inspect,
                                           .copy = redis_copy,
                                           .gets_company = backend_gets_company,
                                           .watch_new = redis_watch_new,
                                           .watch_run = redis_watch_run,
                                           .watch_free = redis_watch_free};

struct store *store_open_redis(const struct store_options *o, struct error *e)
{
    struct redis *r = MEM_NEW(struct redis);
    r->epoch = clock_wall_us() << 8 ^ (uint64_t)getpid();
    if (backend_init(&r->backend, &redis_ops, &redis_protocol, o, e))
        return &r->backend.base;
    close_redis(&r->backend.base);
    return NULL;
}
