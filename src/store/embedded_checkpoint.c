#include "config/config.h"
#include "core/clock.h"
#include "core/log.h"
#include "store/embedded.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* Pages that one transaction changes, about: LMDB keeps that much memory for good, copies that many
 * before it can use those of the last one again, and a sync of the log waits for it. */
#define STEP_PAGES 256u

enum { MSG_CHECKPOINT, MSG_SYNC };

/* ---- one checkpoint, in steps -----------------------------------------------------------------
 */
/* Of a tree of `leaves`, how many lie between two places of the order. */
static uint64_t leaves_between(uint64_t from, uint64_t to, uint64_t leaves)
{
    return ((to - from) >> 31) * leaves >> 32;
}

static int store_some(struct embedded_txn *t, struct checkpoint *c)
{
    MDB_stat stat;
    uint64_t from = c->walk.order, records = 0, other = 0;
    uint64_t most = t->s->max_bytes / t->s->page / 16;
    most = most < STEP_PAGES ? most : STEP_PAGES;
    int rc = mdb_stat(t->txn, t->s->keys, &stat);
    while (rc == 0 && c->more) {
        uint64_t leaves = leaves_between(from, c->walk.order, stat.ms_leaf_pages) + 1, pages;
        if ((leaves < records ? leaves : records) + other > most)
            break;
        rc = embedded_store(t, &c->walk, &pages);
        records++;
        other += pages;
        if (rc == 0)
            c->more = memtable_walk_next(&c->walk);
    }
    return rc;
}

/* With the last records: what makes them count. */
static int store_end(struct embedded_txn *t, const struct memtable *table)
{
    int rc = 0;
    for (size_t i = 0; i < table->n_numbers && rc == 0; i++)
        rc = embedded_store_number(t, &table->numbers[i]);
    if (rc == 0)
        rc = embedded_store_forgotten(t);
    if (rc == 0)
        rc = embedded_store_flush(t, table->flush);
    return rc == 0 ? embedded_store_position(t, table->file->last) : rc;
}

/* What goes into LMDB must be in the log on disk before: else a power cut in between could leave
 * some writes of a batch and not the others. */
static int begin(struct embedded *s, struct checkpoint *c)
{
    int rc = 0;
    c->begun = true;
    c->more = memtable_walk_from(&c->walk, c->table, 0);
    if (c->table && s->sync != SYNC_NEVER && c->table->file->synced < c->table->file->end)
        rc = wal_sync(c->table->file, c->table->file->last);
    if (rc == 0 && c->table)
        c->table->file->synced = c->table->file->end;
    return rc;
}

/* One transaction. Returns 0 or an error; c->more: there is something left. */
static int step(struct embedded *s, struct checkpoint *c)
{
    struct embedded_txn t;
    int rc = c->begun ? 0 : begin(s, c);
    if (rc == 0)
        rc = embedded_begin(s, &t);
    if (rc != 0)
        return rc;
    rc = store_some(&t, c);
    if (rc == 0 && !c->more && c->table)
        rc = store_end(&t, c->table);
    if (rc != 0) {
        embedded_abort(&t);
        return rc;
    }
    rc = embedded_commit(&t);
    if (rc == 0 && !c->more && s->sync != SYNC_NEVER)
        rc = mdb_env_sync(s->env, 1);
    if (rc == 0 && !c->more)
        rc = embedded_used(s, &c->used);
    return rc;
}

static void prepare(struct checkpoint *c, struct memtable *table)
{
    *c = (struct checkpoint){.state = c->state, .table = table, .more = true, .used = c->used};
}

int embedded_checkpoint_now(struct embedded *s, struct memtable *table, uint64_t until)
{
    struct checkpoint *c = &s->checkpoint;
    int rc = 0;
    for (prepare(c, table); rc == 0 && c->more;)
        rc = clock_mono_ms() < until ? step(s, c) : ETIMEDOUT;
    return rc;
}

/* ---- the actor --------------------------------------------------------------------------------
 */
/* True: there is another one to do. Once told that it has ended the checkpoint is the writer's. */
static bool run_step(struct embedded *s)
{
    struct checkpoint *c = &s->checkpoint;
    c->rc = step(s, c);
    if (c->rc == 0 && c->more) {
        actor_again(&s->actor);
        return true;
    }
    __atomic_store_n(&c->state, CHECKPOINT_ENDED, __ATOMIC_RELEASE);
    uv_async_send(&s->told);
    return false;
}

/* The older file first: what is marked in the newer one must not stand behind a hole. */
static void run_sync(struct embedded *s)
{
    struct memtable *older = s->sync_frozen, *newer = s->sync_active;
    int rc = 0;
    if (older && older->file->synced < older->file->end) {
        rc = wal_sync(older->file, older->file->last);
        if (rc == 0)
            older->file->synced = older->file->end;
    }
    if (rc == 0 && newer)
        rc = wal_sync(newer->file, s->sync_upto);
    s->sync_rc = rc;
    __atomic_store_n(&s->syncing, 2, __ATOMIC_RELEASE);
    uv_async_send(&s->told);
}

static void on_start(void *self)
{
    (void)self;
}

static void on_receive(void *self, struct msg *m)
{
    struct embedded *s = self;
    if (m->type == MSG_SYNC)
        run_sync(s);
    else
        s->checkpointing = true;
}

static void on_turn_end(void *self)
{
    struct embedded *s = self;
    if (s->checkpointing)
        s->checkpointing = run_step(s);
}

static void on_stop(void *self)
{
    (void)self; /* what isn't written stays in the log */
}

static void on_drop(struct msg *m)
{
    (void)m; /* it stands in struct embedded */
}

static const struct actor_ops ops = {.name = "checkpoint",
                                     .start = on_start,
                                     .receive = on_receive,
                                     .turn_end = on_turn_end,
                                     .stop = on_stop,
                                     .drop = on_drop};

/* ---- the writer -------------------------------------------------------------------------------
 */
static void on_told(uv_async_t *told)
{
    struct embedded *s = told->data;
    if (__atomic_load_n(&s->syncing, __ATOMIC_ACQUIRE) == 2) {
        __atomic_store_n(&s->syncing, 0, __ATOMIC_RELAXED);
        embedded_sync_ended(s);
    }
    /* what it syncs may be the table that the checkpoint's end lets go: then this comes again */
    if (__atomic_load_n(&s->syncing, __ATOMIC_RELAXED))
        return;
    if (__atomic_load_n(&s->checkpoint.state, __ATOMIC_ACQUIRE) == CHECKPOINT_ENDED) {
        __atomic_store_n(&s->checkpoint.state, CHECKPOINT_IDLE, __ATOMIC_RELAXED);
        embedded_checkpoint_ended(s);
    }
}

bool embedded_checkpointer_start(struct embedded *s, uv_loop_t *loop, struct error *e)
{
    s->start_checkpoint.type = MSG_CHECKPOINT;
    s->start_sync.type = MSG_SYNC;
    int rc = uv_async_init(loop, &s->told, on_told);
    if (rc < 0)
        return error_set(e, "%s", uv_strerror(rc));
    s->told.data = s;
    s->actor = (struct actor){0};
    actor_init(&s->actor, &ops, s);
    s->actor_runs = actor_start(&s->actor, e);
    return s->actor_runs;
}

void embedded_checkpointer_stop(struct embedded *s)
{
    if (s->actor_runs) {
        actor_stop(&s->actor);
        actor_join(&s->actor);
        actor_fini(&s->actor);
    }
    s->actor_runs = false;
    s->checkpoint.state = CHECKPOINT_IDLE;
    s->checkpointing = false;
    s->syncing = 0;
    if (s->told.data)
        uv_close((uv_handle_t *)&s->told, NULL);
    s->told.data = NULL;
}

void embedded_checkpoint_start(struct embedded *s, struct memtable *table)
{
    assert(s->checkpoint.state == CHECKPOINT_IDLE);
    prepare(&s->checkpoint, table);
    __atomic_store_n(&s->checkpoint.state, CHECKPOINT_RUNS, __ATOMIC_RELAXED);
    actor_send(&s->actor, &s->start_checkpoint);
}

void embedded_sync_start(struct embedded *s)
{
    if (__atomic_load_n(&s->syncing, __ATOMIC_RELAXED))
        return;
    s->unsynced = false;
    s->sync_frozen = s->frozen;
    s->sync_active = s->active && !memtable_is_empty(s->active) ? s->active : NULL;
    s->sync_upto = s->batches;
    __atomic_store_n(&s->syncing, 1, __ATOMIC_RELAXED);
    actor_send(&s->actor, &s->start_sync);
}
