#include "config/config.h"
#include "core/clock.h"
#include "core/log.h"
#include "store/embedded.h"
#include <errno.h>
#include <stdio.h>

#define SWEEP_MS       250 /* how often the sweeper looks */
#define SWEEP_AGAIN_MS 5   /* when it has left something */
#define SWEEP_SLICE    256 /* records at a time: a commit of bounded size between two batches */
#define SYNC_MS        1000

bool embedded_full_error(int rc)
{
    return rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT;
}

void embedded_broken(struct embedded *s, const char *what, int rc)
{
    char reason[128];
    snprintf(reason, sizeof reason, "embedded store: %s: %s", what, mdb_strerror(rc));
    log_error("%s", reason);
    STORE_COUNT(s->base.stats.errors, 1);
    store_set_down(&s->base, reason);
    s->events.down(s->events.arg, reason);
}

/* A lapsed key becomes a tombstone, which keeps its stamps; an old tombstone goes. */
static int sweep_record(struct embedded_txn *t, const struct record_key *key, uint64_t now)
{
    struct record old;
    int rc = embedded_get(t->txn, t->s->keys, key, &old);
    if (rc != 0)
        return rc;
    struct record fresh = old;
    fresh.type = RECORD_TOMBSTONE;
    fresh.sweep = embedded_sweep_time(t->s, &fresh);
    if (old.type == RECORD_TOMBSTONE || fresh.sweep <= now)
        return embedded_remove(t, key, &old);
    struct buf *scratch = &t->s->scratch;
    buf_reset(scratch, SIZE_MAX);
    buf_add(scratch, old.key.ptr, old.key.len);
    fresh.key = buf_slice(scratch);
    fresh.value = slice_of("", 0);
    return embedded_put(t, key, &old, &fresh);
}

/* The earliest entry of the index. */
static int first_due(struct embedded_txn *t, uint64_t *at, struct record_key *key)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(t->txn, t->s->due, &c);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
    if (rc == 0 && (!record_order_read(slice_of(k.mv_data, k.mv_size), at) ||
                    k.mv_size - 8 > sizeof key->bytes))
        rc = MDB_CORRUPTED;
    if (rc == 0) {
        key->len = k.mv_size - 8;
        memcpy(key->bytes, (uint8_t *)k.mv_data + 8, key->len);
        key->hashed = key->len > 8 && key->bytes[8] == 'h';
    }
    mdb_cursor_close(c);
    return rc;
}

static int sweep(struct embedded *s, uint64_t now)
{
    struct embedded_txn t;
    struct record_key key;
    int rc = embedded_begin(s, &t);
    if (rc != 0)
        return rc;
    t.next_due = now;
    for (int i = 0; i < SWEEP_SLICE && rc == 0; i++) {
        rc = first_due(&t, &t.next_due, &key);
        if (rc == MDB_NOTFOUND)
            t.next_due = UINT64_MAX;
        if (rc != 0 || t.next_due > now)
            break;
        rc = sweep_record(&t, &key, now);
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        embedded_abort(&t);
        return rc;
    }
    uint64_t next = t.next_due;
    if (t.changed)
        return embedded_commit(&t);
    embedded_abort(&t);
    s->next_due = next;
    return 0;
}

/* Down after a failed commit: does one work again? */
static void try_to_come_back(struct embedded *s)
{
    struct embedded_txn t;
    int rc = embedded_begin(s, &t);
    if (rc == 0)
        rc = embedded_commit(&t);
    if (rc != 0)
        return;
    log_notice("embedded store: writes again");
    store_set_up(&s->base);
    s->events.up(s->events.arg);
}

static void on_sweep(uv_timer_t *timer)
{
    struct embedded *s = timer->data;
    uint64_t now = clock_wall_ms();
    if (!store_is_up(&s->base)) {
        try_to_come_back(s);
    } else if (s->next_due <= now) {
        int rc = sweep(s, now);
        if (embedded_full_error(rc))
            log_limited(60000, LOG_LEVEL_WARN, "embedded store: no room to sweep lapsed keys: %s",
                        mdb_strerror(rc));
        else if (rc != 0)
            embedded_broken(s, "sweep", rc);
    }
    bool more = s->next_due <= now;
    uv_timer_start(timer, on_sweep, more ? SWEEP_AGAIN_MS : SWEEP_MS, 0);
}

static void on_sync(uv_timer_t *timer)
{
    struct embedded *s = timer->data;
    if (!s->unsynced || !store_is_up(&s->base))
        return;
    s->unsynced = false;
    int rc = mdb_env_sync(s->env, 1);
    if (rc != 0)
        embedded_broken(s, "sync", rc);
}

void embedded_sweeper_start(struct embedded *s, uv_loop_t *loop)
{
    uv_timer_init(loop, &s->sweeper);
    uv_timer_init(loop, &s->syncer);
    s->sweeper.data = s->syncer.data = s;
    uv_timer_start(&s->sweeper, on_sweep, SWEEP_MS, 0);
    if (s->sync == SYNC_INTERVAL)
        uv_timer_start(&s->syncer, on_sync, SYNC_MS, SYNC_MS);
}

void embedded_sweeper_stop(struct embedded *s)
{
    uv_close((uv_handle_t *)&s->sweeper, NULL);
    uv_close((uv_handle_t *)&s->syncer, NULL);
}
