#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/embedded.h"
#include "store/strings.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* One write on its way through the transaction. */
struct run {
    struct embedded_txn *t;
    struct stamp at;
    uint64_t now; /* the stamp's wall ms */
    struct buf *scratch;
    /* the key that is open */
    struct record_key key;
    struct record old;
    bool found;
    /* what came of the write */
    size_t stored, dropped;
    bool collided;
    int rc;
};

/* Whether a key has lapsed is judged by the write's stamp, not by the clock: every replica decides
 * the same, also one that gets the write a day later. */
static bool open_cell(void *arg, struct slice key, struct cell *c)
{
    struct run *run = arg;
    record_key_make(key, &run->key);
    run->rc = embedded_get(run->t->txn, run->t->s->keys, &run->key, &run->old);
    run->found = run->rc == 0;
    if (run->rc == MDB_NOTFOUND)
        run->rc = 0;
    run->collided = run->found && run->key.hashed && !slice_eq(run->old.key, key);
    if (run->rc != 0 || run->collided)
        return false;
    c->now = run->now;
    c->exists = run->found && record_live(&run->old, run->now);
    c->value = c->exists ? run->old.value : slice_of("", 0);
    c->expires = c->exists ? run->old.expires : 0;
    return true;
}

/* Strictly older than what guards the key. A change stamped before the key lapsed belongs to the
 * life that is over. */
static bool is_stale(const struct run *run, enum cell_effect effect)
{
    if (!run->found)
        return false;
    if (stamp_before(run->at, run->old.overwrite))
        return true;
    return effect == CELL_CHANGED && run->old.type == RECORD_TOMBSTONE &&
           run->now < run->old.expires;
}

static struct record record_after(const struct run *run, struct slice key, const struct cell *c)
{
    struct record r = {.type = c->exists ? RECORD_STRING : RECORD_TOMBSTONE,
                       .overwrite = run->at,
                       .newest = run->at,
                       .expires = c->expires,
                       .key = run->key.hashed ? key : slice_of("", 0),
                       .value = c->value};
    if (c->effect == CELL_CHANGED)
        r.overwrite = run->found ? run->old.overwrite : (struct stamp){0, 0};
    if (run->found && stamp_before(run->at, run->old.newest))
        r.newest = run->old.newest;
    r.sweep = embedded_sweep_time(run->t->s, &r);
    return r;
}

static bool close_cell(void *arg, struct slice key, struct cell *c)
{
    struct run *run = arg;
    if (is_stale(run, c->effect)) {
        run->dropped++;
        return true;
    }
    struct record fresh = record_after(run, key, c);
    if (run->found && c->exists && c->value.ptr == run->old.value.ptr) {
        /* only the lifetime changes; the value in the file may move under the put */
        buf_add(run->scratch, c->value.ptr, c->value.len);
        fresh.value = buf_slice(run->scratch);
    }
    run->rc = embedded_put(run->t, &run->key, run->found ? &run->old : NULL, &fresh);
    run->stored += run->rc == 0;
    return run->rc == 0;
}

static struct embedded_source *source_of(struct embedded *s, const struct store_write *w)
{
    assert(w->source < STORE_SOURCES_MAX);
    return &s->sources[w->source];
}

/* What follows a refused write of another node waits for it there. */
static void refuse(struct embedded *s, struct store_write *w, struct buf *replies)
{
    w->outcome = STORE_FULL;
    if (w->source != 0)
        source_of(s, w)->stopped_in = s->attempt;
    resp_add_error(replies, "OOM command not allowed: the embedded store is full (%llu bytes)",
                   (unsigned long long)s->max_bytes);
}

static void move_number(struct embedded *s, const struct store_write *w)
{
    if (w->seq == 0)
        return;
    struct embedded_source *source = source_of(s, w);
    assert(source->id[0]);
    if (source->moved_in != s->attempt)
        s->moved[s->n_moved++] = w->source;
    source->moved_in = s->attempt;
    source->fresh = w->seq;
}

static int put_numbers(struct embedded_txn *t)
{
    struct embedded *s = t->s;
    for (size_t i = 0; i < s->n_moved; i++) {
        struct embedded_source *source = &s->sources[s->moved[i]];
        MDB_val k = mdb_val_of(source->id, strlen(source->id));
        MDB_val v = mdb_val_of(&source->fresh, sizeof source->fresh);
        int rc = mdb_put(t->txn, s->numbers, &k, &v, 0);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* 0: done, outcome and reply are set. Else the transaction must be given up. */
static int run_write(struct embedded_txn *t, struct store_write *w, struct buf *replies)
{
    size_t start = replies->len;
    struct run run = {
        .t = t, .at = {w->stamp, w->tag}, .now = hlc_ms(w->stamp), .scratch = &t->s->scratch};
    struct string_access access = {open_cell, close_cell, &run, run.scratch};
    const struct string_command *c = w->cmd->argc ? string_find(w->cmd->argv[0]) : NULL;
    if (!c) {
        resp_add_error(replies, "ERR the embedded store has no such command");
        return 0;
    }
    bool ok = string_run(c, w->cmd, &access, replies);
    t->dropped += run.dropped;
    if (ok) {
        w->outcome = run.dropped && !run.stored ? STORE_STALE : STORE_APPLIED;
        return 0;
    }
    replies->len = start;
    if (run.collided)
        resp_add_error(replies, "ERR the key's 128-bit hash is that of another key");
    else if (run.rc == MDB_MAP_FULL && !t->poisoned && run.stored == 0)
        refuse(t->s, w, replies);
    else
        return run.rc;
    return 0;
}

static bool must_refuse(struct embedded *s, const struct store_write *w)
{
    return w->outcome == STORE_FULL ||
           (w->source != 0 && source_of(s, w)->stopped_in == s->attempt);
}

/* Runs the batch in one transaction. *culprit: the write at which it failed, n at the commit. */
static int attempt(struct embedded *s, struct store_batch *b, size_t *culprit)
{
    struct embedded_txn t;
    int rc = embedded_begin(s, &t);
    if (rc != 0)
        return rc;
    s->attempt++;
    s->n_moved = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++) {
        struct store_write *w = &b->writes[i];
        *culprit = i;
        s->starts[i] = b->replies.len;
        if (must_refuse(s, w))
            refuse(s, w, &b->replies);
        else if (!w->skip)
            rc = run_write(&t, w, &b->replies);
        if (rc == 0 && w->outcome != STORE_FULL)
            move_number(s, w);
    }
    if (rc == 0) {
        *culprit = b->n;
        rc = put_numbers(&t);
    }
    if (rc != 0 || (!t.changed && s->n_moved == 0))
        embedded_abort(&t);
    else
        rc = embedded_commit(&t);
    if (rc == 0)
        STORE_COUNT(s->base.stats.stale_dropped, t.dropped);
    return rc;
}

/* LMDB has no way back from a full map but to give the transaction up: the batch runs again without
 * the write that didn't fit, the second time without all that follow, and then without any. So a
 * batch is tried four times at most, however many of its writes don't fit. */
static int attempts(struct embedded *s, struct store_batch *b)
{
    size_t base = b->replies.len, culprit = 0;
    for (int try = 0;; try++) {
        b->replies.len = base;
        int rc = attempt(s, b, &culprit);
        if (!embedded_full_error(rc) || try == 3)
            return rc;
        size_t first = culprit < b->n && try < 2 ? culprit : 0;
        size_t end = culprit < b->n && try == 0 ? culprit + 1 : b->n;
        for (size_t i = first; i < end; i++)
            b->writes[i].outcome = STORE_FULL;
    }
}

static void fail(struct store_batch *b, const char *why, size_t *starts)
{
    for (size_t i = 0; i < b->n; i++) {
        starts[i] = b->replies.len;
        b->writes[i].outcome = STORE_FAILED;
        resp_add_error(&b->replies, "BACKEND the embedded store %s", why);
    }
}

static void point_at_replies(struct embedded *s, struct store_batch *b)
{
    const uint8_t *head = buf_head(&b->replies);
    for (size_t i = 0; i < b->n; i++) {
        size_t end = i + 1 < b->n ? s->starts[i + 1] : b->replies.len;
        b->writes[i].reply = slice_of(head + s->starts[i], end - s->starts[i]);
    }
}

static void run_batch(struct embedded *s, struct store_batch *b)
{
    size_t base = b->replies.len;
    if (s->starts_cap < b->n) {
        s->starts_cap = b->n;
        s->starts = mem_realloc(s->starts, b->n * sizeof *s->starts);
    }
    for (size_t i = 0; i < b->n; i++)
        b->writes[i].outcome = STORE_APPLIED;
    int rc = store_is_up(&s->base) ? attempts(s, b) : MDB_PANIC;
    if (rc == 0) {
        for (size_t i = 0; i < s->n_moved; i++)
            s->sources[s->moved[i]].last = s->sources[s->moved[i]].fresh;
    } else {
        b->replies.len = base;
        fail(b, "can't write", s->starts);
        if (store_is_up(&s->base))
            embedded_broken(s, "batch", rc);
    }
    point_at_replies(s, b);
    buf_reset(&s->scratch, 1024 * 1024);
}

/* `done` may bring the next batch at once: a loop, so that the stack doesn't grow. */
void embedded_apply(struct store *store, struct store_batch *batch)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    assert(!s->waiting);
    s->waiting = batch;
    if (s->applying)
        return;
    s->applying = true;
    while (s->waiting) {
        struct store_batch *b = s->waiting;
        run_batch(s, b);
        s->waiting = NULL;
        s->events.done(s->events.arg, b);
    }
    s->applying = false;
}
