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
#define TABLE_AGE_MS   4000

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

/* ---- the sweeper ------------------------------------------------------------------------------
 */
/* The last place in `due` that the sweeper may look at: of a tombstone. 0: there is none. */
static uint64_t guards_upto(const struct embedded *s)
{
    uint64_t ms = hlc_ms(__atomic_load_n(&s->forget_below, __ATOMIC_RELAXED));
    return ms ? RECORD_GUARDS | (ms - 1) : 0;
}

static bool is_due(const struct embedded *s, const struct record *r, uint64_t now)
{
    return r->sweep && r->sweep <= (r->sweep & RECORD_GUARDS ? guards_upto(s) : now);
}

void embedded_note_forgotten(struct embedded *s, uint64_t stamp)
{
    uint64_t known = __atomic_load_n(&s->forgotten, __ATOMIC_RELAXED);
    while (stamp > known && !__atomic_compare_exchange_n(&s->forgotten, &known, stamp, false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

bool embedded_guards_nothing(struct embedded *s, const struct record *r)
{
    if (r->type != RECORD_TOMBSTONE || embedded_sweep_time(r) > guards_upto(s))
        return false;
    embedded_note_forgotten(s, r->newest.time);
    return true;
}

/* A lapsed key becomes a tombstone, which keeps its stamps; one that guards nothing goes. What the
 * index says of a record that has a newer one in a memtable means nothing: the checkpoint takes it
 * out. A tombstone that an earlier version of this program indexed by its age goes by that. */
static int sweep_record(struct embedded_change *c, const struct record_key *key, uint64_t now)
{
    struct record old;
    int rc = embedded_find(c, key, &old);
    if (rc == MDB_NOTFOUND || (rc == 0 && !is_due(c->s, &old, now)))
        return 0;
    if (rc != 0)
        return rc;
    struct record fresh = old;
    fresh.type = RECORD_TOMBSTONE;
    fresh.value = slice_of("", 0);
    fresh.sweep = embedded_sweep_time(&fresh);
    bool dead = embedded_is_dead(&old, c->flush);
    bool aged = old.type == RECORD_TOMBSTONE && !(old.sweep & RECORD_GUARDS);
    if (aged)
        embedded_note_forgotten(c->s, old.newest.time);
    if (dead || aged || embedded_guards_nothing(c->s, &fresh)) {
        fresh.type = RECORD_GONE;
        fresh.sweep = 0;
    }
    return embedded_put(c, key, &old, &fresh);
}

/* The next entry of the index at or behind d->from, which then stands behind it. */
static int next_due(struct embedded_due *d, MDB_cursor *cursor, uint64_t upto, uint64_t *at,
                    struct record_key *key)
{
    MDB_val k = mdb_val_of(d->from, d->from_len), v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (rc != 0)
        return rc;
    if (!record_order_read(slice_of(k.mv_data, k.mv_size), at) || k.mv_size - 8 > sizeof key->bytes)
        return MDB_CORRUPTED;
    if (*at > upto)
        return 0;
    key->len = k.mv_size - 8;
    memcpy(key->bytes, (uint8_t *)k.mv_data + 8, key->len);
    key->hashed = key->len > 8 && key->bytes[8] == 'h';
    memcpy(d->from, k.mv_data, k.mv_size);
    d->from[k.mv_size] = 0; /* the least key behind it */
    d->from_len = k.mv_size + 1;
    return 0;
}

static int sweep_slice(struct embedded_change *c, struct embedded_due *d, uint64_t upto,
                       uint64_t now)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    struct record_key key;
    int rc = embedded_reading(c->s, &txn);
    if (rc == 0)
        rc = mdb_cursor_open(txn, c->s->due, &cursor);
    if (rc != 0)
        return rc;
    uint64_t at = upto;
    for (int i = 0; i < SWEEP_SLICE && rc == 0; i++) {
        rc = next_due(d, cursor, upto, &at, &key);
        if (rc != 0 || at > upto)
            break;
        rc = sweep_record(c, &key, now);
    }
    mdb_cursor_close(cursor);
    d->next = rc == MDB_NOTFOUND ? UINT64_MAX : at;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* A slice that finds no space comes again when there is some. */
static void sweep(struct embedded *s, struct embedded_due *d, uint64_t upto, uint64_t now)
{
    struct embedded_change c;
    struct embedded_due before = *d;
    embedded_change_begin(s, &c);
    int rc = sweep_slice(&c, d, upto, now);
    if (rc == 0)
        rc = embedded_change_commit(&c);
    else
        embedded_change_abort(&c);
    if (rc == 0)
        return;
    *d = before;
    if (rc == EMBEDDED_NO_SPACE) {
        enum embedded_space space = embedded_make_space(s, c.wanted, &rc);
        if (space == EMBEDDED_FULL)
            log_limited(60000, LOG_LEVEL_WARN, "embedded store: no room to sweep lapsed keys");
        if (space != EMBEDDED_BROKEN)
            return;
    }
    embedded_broken(s, "sweep", rc);
}

/* The same for what a flush has killed. */
static void purge(struct embedded *s)
{
    struct embedded_change c;
    struct embedded_purge before = s->purge;
    uint64_t purged = s->purged;
    embedded_change_begin(s, &c);
    int rc = embedded_purge(&c);
    if (rc == 0)
        rc = embedded_change_commit(&c);
    else
        embedded_change_abort(&c);
    if (rc == 0)
        return;
    s->purge = before;
    __atomic_store_n(&s->purged, purged, __ATOMIC_RELAXED);
    if (rc == EMBEDDED_NO_SPACE && embedded_make_space(s, c.wanted, &rc) != EMBEDDED_BROKEN)
        return;
    embedded_broken(s, "purge", rc);
}

static bool wants_sweep(const struct embedded *s, uint64_t now)
{
    return s->lapsing.next <= now || s->guarding.next <= guards_upto(s) || embedded_wants_purge(s);
}

static void sweep_both(struct embedded *s, uint64_t now)
{
    if (s->lapsing.next <= now)
        sweep(s, &s->lapsing, now, now);
    if (store_is_up(&s->base) && s->guarding.next <= guards_upto(s))
        sweep(s, &s->guarding, guards_upto(s), now);
    if (store_is_up(&s->base) && embedded_wants_purge(s))
        purge(s);
}

/* From the beginning: the index has other entries now. */
static void sweep_anew(struct embedded *s)
{
    s->lapsing = (struct embedded_due){.from_len = 8};
    s->guarding = (struct embedded_due){.from_len = 8};
    record_order_write(RECORD_GUARDS, s->guarding.from);
}

void embedded_forget_below(struct store *store, uint64_t stamp)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    if (stamp > s->forget_below)
        __atomic_store_n(&s->forget_below, stamp, __ATOMIC_RELAXED);
}

/* ---- the checkpoint and its results ------------------------------------------------------------
 */
static bool checkpoint_runs(const struct embedded *s)
{
    return __atomic_load_n(&s->checkpoint.state, __ATOMIC_RELAXED) != CHECKPOINT_IDLE;
}

/* Down: everything in memory goes to LMDB; when that works, writing works again. */
static void try_to_come_back(struct embedded *s)
{
    if (checkpoint_runs(s))
        return;
    if (s->frozen || !s->active)
        embedded_checkpoint_start(s, s->frozen);
    else
        embedded_freeze(s);
}

static void come_back(struct embedded *s)
{
    if (s->active)
        return; /* the next tick freezes it */
    log_notice("embedded store: writes again");
    store_set_up(&s->base);
    s->events.up(s->events.arg);
}

void embedded_checkpoint_ended(struct embedded *s)
{
    int rc = s->checkpoint.rc;
    s->stuck = embedded_full_error(rc);
    if (s->stuck) {
        log_limited(60000, LOG_LEVEL_WARN, "embedded store: no room for a checkpoint: %s",
                    mdb_strerror(rc));
    } else if (rc != 0) {
        if (store_is_up(&s->base)) /* else it was said, and is tried again */
            embedded_broken(s, "checkpoint", rc);
    } else {
        s->used = s->checkpoint.used;
        embedded_thaw(s);
        sweep_anew(s);
        if (!store_is_up(&s->base))
            come_back(s);
    }
    embedded_go_on(s);
}

void embedded_sync_ended(struct embedded *s)
{
    if (s->sync_rc != 0 && store_is_up(&s->base))
        embedded_broken(s, "sync", s->sync_rc);
}

/* A table with something due in it, or an old one, is written too when it isn't full: what has
 * lapsed is swept, memory is given back, and the next start has little to do. */
static bool wants_checkpoint(const struct embedded *s, uint64_t now)
{
    const struct memtable *t = s->active;
    return t && !memtable_is_empty(t) && !s->frozen &&
           (t->next_due <= now || t->sealed || clock_mono_ms() - t->began_ms >= TABLE_AGE_MS);
}

static void on_sweep(uv_timer_t *timer)
{
    struct embedded *s = timer->data;
    uint64_t now = clock_wall_ms();
    bool up = store_is_up(&s->base);
    if (!up)
        try_to_come_back(s);
    else if (s->frozen && !checkpoint_runs(s))
        embedded_checkpoint_start(s, s->frozen); /* it found the disk full, or a start found it */
    else if (wants_checkpoint(s, now))
        embedded_freeze(s);
    if (up && wants_sweep(s, now))
        sweep_both(s, now);
    embedded_tidy(s);
    if (s->blocked)
        embedded_go_on(s);
    bool more = up && wants_sweep(s, now);
    uv_timer_start(timer, on_sweep, more ? SWEEP_AGAIN_MS : SWEEP_MS, 0);
}

static void on_sync(uv_timer_t *timer)
{
    struct embedded *s = timer->data;
    if (s->unsynced && store_is_up(&s->base))
        embedded_sync_start(s);
}

void embedded_sweeper_start(struct embedded *s, uv_loop_t *loop)
{
    sweep_anew(s);
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
