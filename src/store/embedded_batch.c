#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/embedded.h"
#include "store/strings.h"
#include "wire/transaction.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#define CHANGE_MAX ((size_t)32 * 1024 * 1024)

/* What the commands of a transaction may write together. Of a large value each change writes all of
 * it; more than this comes of that alone, since whatever stands in a record fits. */
#define TRANSACTION_MAX ((size_t)RESP_COMMAND_MAX + 64u * 1024 * 1024)

/* One write on its way through the change. */
struct run {
    struct embedded_change *c;
    struct stamp at;
    uint64_t now; /* the stamp's wall ms */
    const struct store_mend *mend;
    struct buf *scratch;
    /* the key that is open */
    struct record_key key;
    struct record old;
    bool found, dead; /* dead: last overwritten before the last flush */
    /* what came of the write */
    size_t stored, dropped;
    bool collided, unguarded;
    int rc;
};

/* Whether a key has lapsed is judged by the write's stamp, not by the clock: every replica decides
 * the same, also one that gets the write a day later. */
static bool open_cell(void *arg, struct slice key, struct cell *c)
{
    struct run *run = arg;
    record_key_make(key, &run->key);
    run->rc = embedded_find(run->c, &run->key, &run->old);
    run->found = run->rc == 0;
    if (run->rc == MDB_NOTFOUND)
        run->rc = 0;
    run->collided = run->found && run->key.hashed && !slice_eq(run->old.key, key);
    if (run->rc != 0 || run->collided)
        return false;
    c->now = run->now;
    run->dead = run->found && embedded_is_dead(&run->old, run->c->flush);
    c->exists = run->found && !run->dead && record_live(&run->old, run->now);
    c->value = c->exists ? run->old.value : slice_of("", 0);
    c->expires = c->exists ? run->old.expires : 0;
    return true;
}

/* A late write, and what would have guarded the key against it may be gone. */
static bool is_unguarded(const struct run *run)
{
    return !run->found && run->at.time <= __atomic_load_n(&run->c->s->forgotten, __ATOMIC_RELAXED);
}

static struct stamp stamp_of(struct store_stamp s)
{
    return (struct stamp){s.time, s.tag};
}

/* Strictly older than what guards the key. A change stamped before the key lapsed belongs to the
 * life that is over. A mend is for a key that nothing newer than it knows has touched. */
static bool is_stale(const struct run *run, enum cell_effect effect)
{
    if (stamp_before(run->mend ? stamp_of(run->mend->upto) : run->at, run->c->flush))
        return true; /* which was an overwrite of every key */
    if (!run->found || (run->dead && !run->mend))
        return false;
    if (run->mend)
        return stamp_before(stamp_of(run->mend->upto), run->old.newest);
    if (stamp_before(run->at, run->old.overwrite))
        return true;
    return effect == CELL_CHANGED && run->old.type == RECORD_TOMBSTONE &&
           run->now < run->old.expires;
}

/* What a mend brings is no write of its own: its stamps are those of the copy. */
static void keep_stamps_of_copy(const struct run *run, struct record *r)
{
    if (run->found && stamp_before(r->overwrite, run->old.overwrite))
        r->overwrite = run->old.overwrite;
    if (stamp_before(r->newest, stamp_of(run->mend->newest)))
        r->newest = stamp_of(run->mend->newest);
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
    if (stamp_before(r.overwrite, run->c->flush))
        r.overwrite = run->c->flush;
    if (run->found && stamp_before(run->at, run->old.newest))
        r.newest = run->old.newest;
    if (run->mend)
        keep_stamps_of_copy(run, &r);
    r.sweep = embedded_sweep_time(&r);
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
    run->rc = embedded_put(run->c, &run->key, run->found ? &run->old : NULL, &fresh);
    run->stored += run->rc == 0;
    run->unguarded |= is_unguarded(run);
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

static int put_numbers(struct embedded_change *c)
{
    int rc = 0;
    for (size_t i = 0; i < c->s->n_moved && rc == 0; i++) {
        const struct embedded_source *source = &c->s->sources[c->s->moved[i]];
        rc = embedded_put_number(c, source->id, source->fresh);
    }
    return rc;
}

static int run_flush(struct embedded_change *c, struct store_write *w, struct buf *replies)
{
    struct stamp at = {w->stamp, w->tag};
    int rc = 0;
    if (stamp_before(at, c->flush)) {
        c->dropped++;
        w->outcome = STORE_STALE;
    } else if (stamp_before(c->flush, at)) {
        rc = embedded_put_flush(c, at);
    }
    resp_add_status(replies, "OK");
    return rc;
}

/* One command: w's, or of those of which it consists. 0: done, the reply is there.
 * EMBEDDED_REFUSED: there is no room for it. Else the whole attempt must be given up. */
static int run_command(struct embedded_change *c, struct store_write *w,
                       const struct command_spec *spec, const struct resp_command *cmd,
                       struct buf *replies)
{
    size_t start = replies->len;
    struct embedded *s = c->s;
    struct embedded_mark before = embedded_mark(c);
    struct run run = {.c = c,
                      .at = {w->stamp, w->tag},
                      .now = hlc_ms(w->stamp),
                      .mend = w->mend,
                      .scratch = &s->scratch};
    struct string_access access = {open_cell, close_cell, &run, run.scratch};
    const struct string_command *command =
        cmd->argc ? embedded_command(s, spec, cmd->argv[0]) : NULL;
    if (!command) {
        resp_add_error(replies, "ERR the embedded store has no such command");
        return 0;
    }
    if (string_run(command, cmd, &access, replies)) {
        c->dropped += run.dropped;
        c->unguarded += run.unguarded && w->source != 0 && !w->mend;
        w->outcome = run.dropped && !run.stored ? STORE_STALE : STORE_APPLIED;
        return 0;
    }
    if (!run.collided)
        return run.rc;
    embedded_rewind(c, before);
    replies->len = start;
    resp_add_error(replies, "ERR the key's 128-bit hash is that of another key");
    return 0;
}

/* In the place that the transaction has among the writes. */
static int is_as_watched(struct embedded_change *c, const struct resp_command *record, bool *same)
{
    struct slice watches = transaction_watches(record);
    size_t n = watches.len / TRANSACTION_VERSION;
    int rc = 0;
    *same = true;
    for (size_t i = 0; i < n && *same && rc == 0; i++) {
        uint8_t now[TRANSACTION_VERSION];
        struct record_key key;
        struct record rec;
        record_key_make(transaction_key(record, i), &key);
        rc = embedded_find(c, &key, &rec);
        bool there = rc == 0 && !embedded_is_dead(&rec, c->flush);
        embedded_version(there ? &rec : NULL, clock_wall_ms(), now);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
        *same = memcmp(now, watches.ptr + i * TRANSACTION_VERSION, sizeof now) == 0;
    }
    return rc;
}

/* An error of its own, which counts as applied: no replica could take it, however long it waits. */
static int refuse_record(struct embedded_change *c, struct embedded_mark before,
                         struct store_write *w, size_t start, struct buf *replies)
{
    embedded_rewind(c, before);
    replies->len = start;
    resp_add_error(replies, "ERR a transaction's changes come to more than %zu bytes in the store",
                   TRANSACTION_MAX);
    w->outcome = STORE_APPLIED;
    return 0;
}

/* Its commands, one by one; what is left out of a reply that grows too large only reads. */
static int run_commands(struct embedded_change *c, struct store_write *w, size_t start,
                        struct buf *replies, bool *too_much)
{
    size_t from = c->tail.now.at;
    struct transaction t;
    bool full = false;
    int rc = 0;
    for (transaction_open(&t, w->cmd); rc == 0 && !*too_much && transaction_next(&t);) {
        size_t last = replies->len;
        bool writes = !t.spec || command_class_of(t.spec, &t.cmd) != COMMAND_READ;
        if (full && !writes)
            embedded_add_cut(c->s, replies, false);
        else
            rc = run_command(c, w, t.spec, &t.cmd, replies);
        if (embedded_cut_reply(c->s, replies, start, last, writes))
            full = true;
        *too_much = c->open && c->tail.now.at - from > TRANSACTION_MAX;
    }
    transaction_close(&t);
    return rc;
}

/* A client's transaction: all of its commands or none; each is judged by itself. */
static int run_record(struct embedded_change *c, struct store_write *w, struct buf *replies)
{
    struct embedded_mark before = embedded_mark(c);
    size_t start = replies->len;
    bool same, too_much = false;
    int rc = is_as_watched(c, w->cmd, &same);
    if (rc != 0 || !same) {
        buf_add_str(replies, "*-1\r\n");
        return rc;
    }
    resp_add_array(replies, transaction_count(w->cmd));
    rc = run_commands(c, w, start, replies, &too_much);
    if (rc == 0 && too_much)
        return refuse_record(c, before, w, start, replies);
    if (rc == 0)
        w->outcome = STORE_APPLIED;
    return rc;
}

/* 0: done, outcome and reply are set. Else the whole attempt must be given up. */
static int run_write(struct embedded_change *c, struct store_write *w, struct buf *replies)
{
    if (w->spec && (w->spec->flags & COMMAND_RING) && w->spec->class_ == COMMAND_OVERWRITE)
        return run_flush(c, w, replies);
    size_t start = replies->len;
    struct embedded_mark before = embedded_mark(c);
    int rc = transaction_is(w->spec) ? run_record(c, w, replies)
                                     : run_command(c, w, w->spec, w->cmd, replies);
    if (rc != EMBEDDED_REFUSED)
        return rc;
    embedded_rewind(c, before);
    replies->len = start;
    refuse(c->s, w, replies);
    return 0;
}

static bool must_refuse(struct embedded *s, const struct store_write *w)
{
    return w->outcome == STORE_FULL ||
           (w->source != 0 && source_of(s, w)->stopped_in == s->attempt);
}

static void remember_numbers(struct embedded *s)
{
    for (size_t i = 0; i < s->n_moved; i++) {
        struct embedded_source *source = &s->sources[s->moved[i]];
        source->last = source->fresh;
        source->moved = true;
    }
}

/* So far the batch in `waiting` is in the log; what a wait was for has been had. */
static void went_on(struct embedded *s, size_t writes, size_t replies)
{
    s->in_log = writes;
    s->replies_in_log = replies;
    s->room_from = s->needed = 0;
}

/* A batch may hold thousands of changes to one large value, each with a record of its own: from
 * here on the rest is another change, so that log and memory stay bounded. */
static bool is_large(const struct embedded_change *c)
{
    return c->open && c->tail.now.at - c->tail.file->end >= CHANGE_MAX;
}

/* Runs what is left of the batch, or its next part, as one change. */
static int attempt(struct embedded *s, struct store_batch *b, size_t *wanted)
{
    struct embedded_change c;
    int rc = 0;
    size_t i;
    embedded_change_begin(s, &c);
    s->attempt++;
    s->n_moved = 0;
    for (i = 0; i < s->in_log; i++)
        if (b->writes[i].outcome == STORE_FULL)
            source_of(s, &b->writes[i])->stopped_in = s->attempt;
    for (; i < b->n && rc == 0 && !is_large(&c); i++) {
        struct store_write *w = &b->writes[i];
        s->starts[i] = b->replies.len;
        if (must_refuse(s, w))
            refuse(s, w, &b->replies);
        else if (!w->skip)
            rc = run_write(&c, w, &b->replies);
        if (rc == 0 && w->outcome != STORE_FULL)
            move_number(s, w);
    }
    if (rc == 0)
        rc = put_numbers(&c);
    if (rc != 0)
        embedded_change_abort(&c);
    else
        rc = embedded_change_commit(&c);
    *wanted = c.wanted;
    if (rc == 0) {
        STORE_COUNT(s->base.stats.stale_dropped, c.dropped);
        STORE_COUNT(s->base.stats.unguarded, c.unguarded);
        remember_numbers(s);
        went_on(s, i, b->replies.len);
    }
    return rc;
}

/* What the commands that are left hold: most of it will stand in records. */
static size_t size_of(const struct embedded *s, const struct store_batch *b)
{
    size_t size = 0;
    for (size_t i = s->in_log; i < b->n && size < CHANGE_MAX; i++)
        for (size_t k = 0; !b->writes[i].skip && k < b->writes[i].cmd->argc; k++)
            size += b->writes[i].cmd->argv[k].len;
    return size;
}

/* Changes of a large value write it again and again: nobody knows beforehand what the batch will
 * need. If it had a file for itself, the next one is twice as large, so that there are few tries.
 */
static size_t size_for(struct embedded *s, const struct store_batch *b, size_t wanted)
{
    const struct memtable *t = s->active;
    size_t tried = t && memtable_is_empty(t) && !t->sealed ? t->file->size : 0;
    size_t size = wanted + size_of(s, b);
    if (size < 2 * tried)
        size = 2 * tried;
    if (size > EMBEDDED_LOG_MAX && tried < EMBEDDED_LOG_MAX)
        size = EMBEDDED_LOG_MAX;
    if (s->needed < size)
        s->needed = size;
    return s->needed;
}

static void refuse_rest(const struct embedded *s, struct store_batch *b)
{
    for (size_t i = s->in_log; i < b->n; i++)
        b->writes[i].outcome = STORE_FULL;
}

/* 0: done. EMBEDDED_NO_ROOM: tried again after the checkpoint that runs. */
static int attempts(struct embedded *s, struct store_batch *b)
{
    size_t wanted;
    for (size_t i = s->in_log; i < b->n; i++)
        b->writes[i].outcome = STORE_APPLIED;
    for (;;) {
        b->replies.len = s->replies_in_log;
        int rc = attempt(s, b, &wanted);
        if (rc == 0 && s->in_log < b->n)
            continue;
        if (rc == EMBEDDED_NO_ROOM && !s->frozen)
            embedded_freeze(s);
        if (rc != EMBEDDED_NO_SPACE)
            return rc;
        switch (embedded_make_space(s, size_for(s, b, wanted), &rc)) {
        case EMBEDDED_READY:
            break;
        case EMBEDDED_WAIT:
            return EMBEDDED_NO_ROOM;
        case EMBEDDED_FULL:
            refuse_rest(s, b);
            break;
        case EMBEDDED_BROKEN:
            return rc;
        }
    }
}

static void fail_rest(struct embedded *s, struct store_batch *b, const char *why)
{
    for (size_t i = s->in_log; i < b->n; i++) {
        s->starts[i] = b->replies.len;
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

/* False: it waits for a checkpoint. */
static bool run_batch(struct embedded *s, struct store_batch *b)
{
    if (s->starts_cap < b->n) {
        s->starts_cap = b->n;
        s->starts = mem_realloc(s->starts, b->n * sizeof *s->starts);
    }
    int rc = store_is_up(&s->base) ? attempts(s, b) : MDB_PANIC;
    if (rc == EMBEDDED_NO_ROOM) {
        b->replies.len = s->replies_in_log;
        if (!s->room_from)
            s->room_from = s->batches;
        return false;
    }
    if (rc != 0) {
        b->replies.len = s->replies_in_log;
        fail_rest(s, b, "can't write");
        if (store_is_up(&s->base))
            embedded_broken(s, "batch", rc);
    }
    point_at_replies(s, b);
    buf_reset(&s->scratch, 1024 * 1024);
    return true;
}

/* `done` may bring the next batch at once: a loop, so that the stack doesn't grow. */
void embedded_go_on(struct embedded *s)
{
    if (s->applying)
        return;
    s->applying = true;
    s->blocked = false;
    while (s->waiting && !s->blocked) {
        struct store_batch *b = s->waiting;
        s->blocked = !run_batch(s, b);
        if (s->blocked)
            break;
        s->waiting = NULL;
        s->events.done(s->events.arg, b);
    }
    s->applying = false;
}

void embedded_apply(struct store *store, struct store_batch *batch)
{
    struct embedded *s = container_of_(store, struct embedded, base);
    assert(!s->waiting);
    s->waiting = batch;
    went_on(s, 0, batch->replies.len);
    embedded_go_on(s);
}
