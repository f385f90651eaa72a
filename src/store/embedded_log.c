#include "config/config.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/embedded.h"
#include <assert.h>
#include <errno.h>

/* A tombstone keeps writes out that are older than it, and, where its key has lapsed, changes that
 * were stamped before that. */
uint64_t embedded_sweep_time(const struct record *r)
{
    if (r->type == RECORD_GONE)
        return 0;
    if (r->type != RECORD_TOMBSTONE)
        return r->expires;
    uint64_t newest = hlc_ms(r->newest.time);
    uint64_t upto = r->expires > newest ? r->expires : newest;
    return RECORD_GUARDS | upto;
}

/* ---- a change ------------------------------------------------------------------------------- */
void embedded_change_begin(struct embedded *s, struct embedded_change *c)
{
    struct memtable *t = s->active;
    *c = (struct embedded_change){.s = s,
                                  .flush = embedded_flush_of(s),
                                  .totals = s->totals,
                                  .dead = s->dead,
                                  .next_due = UINT64_MAX};
    c->open = t && !t->sealed && !t->crowded;
    if (c->open)
        wal_start(&c->tail, t->file, s->batches + 1);
}

struct embedded_mark embedded_mark(const struct embedded_change *c)
{
    return (struct embedded_mark){.tail = c->tail.now,
                                  .staged = c->open ? c->s->active->staged : 0,
                                  .totals = c->totals,
                                  .dead = c->dead,
                                  .growth = c->growth};
}

void embedded_rewind(struct embedded_change *c, struct embedded_mark to)
{
    if (c->open) {
        memtable_rewind(c->s->active, to.staged);
        wal_rewind(&c->tail, to.tail);
    }
    c->totals = to.totals;
    c->dead = to.dead;
    c->growth = to.growth;
}

int embedded_reading(struct embedded *s, MDB_txn **out)
{
    int rc = 0;
    if (!s->reading)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->reading);
    else if (!s->reads)
        rc = mdb_txn_renew(s->reading);
    s->reads = rc == 0;
    *out = s->reading;
    return rc;
}

static void stop_reading(struct embedded *s)
{
    if (s->reads)
        mdb_txn_reset(s->reading);
    s->reads = false;
}

int embedded_find(struct embedded_change *c, const struct record_key *key, struct record *out)
{
    struct embedded *s = c->s;
    MDB_txn *txn;
    if ((s->active && memtable_get_staged(s->active, key, out)) ||
        (s->frozen && memtable_get(s->frozen, key, out)))
        return out->type == RECORD_GONE ? MDB_NOTFOUND : 0;
    int rc = embedded_reading(s, &txn);
    return rc == 0 ? embedded_get(txn, s->keys, key, out) : rc;
}

static int no_space(struct embedded_change *c, size_t item)
{
    size_t so_far = c->open ? c->tail.now.at - c->tail.file->end : FRAME_HEAD;
    c->wanted = SEGMENT_HEAD + so_far + WAL_ITEM_HEAD + RECORD_KEY_MAX + item + FRAME_HEAD;
    return EMBEDDED_NO_SPACE;
}

/* What a record in the same table replaces never gets as far as LMDB. */
static uint64_t growth_over(const struct embedded_change *c, const struct record_key *key,
                            const struct record *old, const struct record *fresh)
{
    uint64_t growth = embedded_growth(c->s, key, fresh);
    bool replaced = old && c->open && memtable_holds(c->s->active, old);
    return replaced ? growth - embedded_growth(c->s, key, old) : growth;
}

/* A record that isn't larger than the one before takes no room. */
static int take_room(struct embedded_change *c, const struct record_key *key,
                     const struct record *old, const struct record *fresh)
{
    if (fresh->type == RECORD_GONE || (old && record_size(old) >= record_size(fresh)))
        return 0;
    if (record_size(fresh) > FRAME_PAYLOAD_MAX - RECORD_KEY_MAX - WAL_ITEM_HEAD)
        return EMBEDDED_REFUSED;
    uint64_t growth = growth_over(c, key, old, fresh);
    if (!embedded_has_room(c, growth, fresh->type == RECORD_TOMBSTONE))
        return embedded_may_get_room(c->s, growth) ? EMBEDDED_NO_ROOM : EMBEDDED_REFUSED;
    c->growth += growth;
    return 0;
}

int embedded_put(struct embedded_change *c, const struct record_key *key, const struct record *old,
                 const struct record *fresh)
{
    size_t at, size = record_size(fresh);
    struct slice lmdb_key = slice_of(key->bytes, key->len);
    uint8_t *to = NULL;
    int rc = take_room(c, key, old, fresh);
    if (rc != 0)
        return rc;
    if (c->open && memtable_has_room(c->s->active))
        to = wal_add(&c->tail, WAL_RECORD, lmdb_key, size, &at);
    if (!to)
        return no_space(c, size);
    record_write(fresh, to);
    memtable_stage(c->s->active, key, at);
    if (old && embedded_is_dead(old, c->flush) && c->dead.keys)
        embedded_count(&c->dead, old, lmdb_key, false);
    if (c->s->newest_overwrite < fresh->overwrite.time)
        c->s->newest_overwrite = fresh->overwrite.time;
    embedded_count(&c->totals, old, lmdb_key, false);
    embedded_count(&c->totals, fresh, lmdb_key, true);
    if (fresh->sweep && fresh->sweep < c->next_due)
        c->next_due = fresh->sweep;
    return 0;
}

int embedded_put_number(struct embedded_change *c, const char *id, uint64_t last)
{
    size_t at;
    uint8_t *to = NULL;
    if (c->open)
        to = wal_add(&c->tail, WAL_NUMBER, slice_str(id), sizeof last, &at);
    if (!to)
        return no_space(c, sizeof last);
    memcpy(to, &last, sizeof last);
    return 0;
}

/* The dead are known where they are all that there is. */
int embedded_put_flush(struct embedded_change *c, struct stamp at)
{
    const uint64_t words[2] = {at.time, at.tag};
    size_t place;
    uint8_t *to = NULL;
    if (c->open)
        to = wal_add(&c->tail, WAL_FLUSH, slice_str("flush"), sizeof words, &place);
    if (!to)
        return no_space(c, sizeof words);
    memcpy(to, words, sizeof words);
    c->flush = at;
    c->dead = c->s->newest_overwrite < at.time ? c->totals : (struct embedded_totals){0};
    return 0;
}

void embedded_change_abort(struct embedded_change *c)
{
    if (c->open)
        memtable_rewind(c->s->active, 0);
    stop_reading(c->s);
}

static void publish(struct embedded_change *c)
{
    struct embedded *s = c->s;
    struct memtable *t = s->active;
    if (memtable_is_empty(t))
        t->began_ms = clock_mono_ms();
    wal_commit(&c->tail);
    s->batches = c->tail.number;
    (void)__atomic_add_fetch(&s->changing, 1, __ATOMIC_SEQ_CST);
    memtable_publish(t);
    if (c->flush.time)
        embedded_flush_set(s, c->flush);
    (void)__atomic_add_fetch(&s->changing, 1, __ATOMIC_SEQ_CST);
    t->growth += c->growth;
    if (c->next_due < t->next_due)
        t->next_due = c->next_due;
    s->unsynced = true;
    s->totals = c->totals;
    s->dead = c->dead;
    embedded_show_totals(s);
}

int embedded_change_commit(struct embedded_change *c)
{
    int rc = 0;
    if (!c->open || wal_is_empty(&c->tail)) {
        embedded_change_abort(c);
        return 0;
    }
    wal_finish(&c->tail);
    if (c->s->sync == SYNC_ALWAYS)
        rc = wal_sync(c->tail.file, c->tail.number);
    if (rc != 0) {
        wal_take_back(&c->tail);
        embedded_change_abort(c);
        return rc;
    }
    publish(c);
    stop_reading(c->s);
    return 0;
}

/* ---- tables ---------------------------------------------------------------------------------- */
void embedded_keep_number(struct embedded *s, struct embedded_source *source)
{
    if (source->moved)
        memtable_set_number(s->active, source->id, strlen(source->id), source->last);
    source->moved = false;
}

void embedded_take_numbers(struct embedded *s)
{
    s->active->flush = embedded_flush_of(s);
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
        embedded_keep_number(s, &s->sources[i]);
}

void embedded_freeze(struct embedded *s)
{
    struct memtable *t = s->active;
    assert(t && !s->frozen);
    embedded_take_numbers(s);
    RCU_SET(s->frozen, t); /* first: a reader that no longer finds it active finds it here */
    RCU_SET(s->active, NULL);
    embedded_checkpoint_start(s, t);
}

/* Whether there is a place for one more table where it can wait for its last reader. */
static bool may_have_another(const struct embedded *s)
{
    size_t places = ARRAY_LEN(s->retired), used = (s->active != NULL) + (s->frozen != NULL);
    for (size_t i = 0; i < places; i++)
        used += s->retired[i] != NULL;
    return used < places;
}

static void let_go(struct embedded *s, struct memtable *t)
{
    size_t i = 0;
    while (s->retired[i])
        i++;
    assert(i < ARRAY_LEN(s->retired));
    s->retired[i] = t;
    memtable_drop(t);
}

/* A file that nobody reads any more, or NULL. Of two, one goes. */
static struct segment *unused_file(struct embedded *s)
{
    struct segment *file = NULL;
    for (size_t i = 0; i < ARRAY_LEN(s->retired); i++) {
        struct memtable *t = s->retired[i];
        if (!t || !__atomic_load_n(&t->quiet, __ATOMIC_ACQUIRE))
            continue;
        if (file && t->file)
            segment_discard(file);
        file = t->file ? t->file : file;
        mem_free(t);
        s->retired[i] = NULL;
    }
    return file;
}

/* A file that one large batch needed doesn't lie about until the next table is made. */
void embedded_tidy(struct embedded *s)
{
    for (size_t i = 0; i < ARRAY_LEN(s->retired); i++) {
        struct memtable *t = s->retired[i];
        if (!t || !__atomic_load_n(&t->quiet, __ATOMIC_ACQUIRE))
            continue;
        if (t->file && t->file->size <= s->log_bytes)
            continue;
        if (t->file)
            segment_discard(t->file);
        mem_free(t);
        s->retired[i] = NULL;
    }
}

void embedded_thaw(struct embedded *s)
{
    struct memtable *t = s->frozen;
    (void)__atomic_add_fetch(&s->generation, 1, __ATOMIC_RELEASE); /* first, as embedded.h says */
    RCU_SET(s->frozen, NULL);
    if (!t)
        return;
    s->written = t->file->last;
    let_go(s, t);
}

/* One of the files that are in use comes back to be used again. */
static bool awaits_file(const struct embedded *s)
{
    bool awaits = s->frozen != NULL;
    for (size_t i = 0; i < ARRAY_LEN(s->retired); i++)
        awaits |= s->retired[i] && s->retired[i]->file;
    return awaits;
}

static enum embedded_space make_table(struct embedded *s, size_t wanted, int *rc)
{
    struct segment *file;
    struct error e;
    size_t size = wanted > s->log_bytes ? wanted : s->log_bytes;
    size = (size + s->page - 1) / s->page * s->page;
    if (size > EMBEDDED_LOG_MAX) /* its sender will split it or give up */
        return EMBEDDED_FULL;
    struct segment *old = unused_file(s);
    if (!old && !may_have_another(s))
        return EMBEDDED_WAIT; /* readers hang in all that were dropped */
    errno = EIO;
    switch (wal_make(s->wal_dir, old, s->batches + 1, size, s->sync != SYNC_NEVER, &file, &e)) {
    case SEGMENT_MADE:
        RCU_SET(s->active, memtable_new(file));
        return EMBEDDED_READY;
    case SEGMENT_NO_SPACE:
        log_limited(60000, LOG_LEVEL_WARN, "embedded store: no room for its log: %s", e.text);
        return EMBEDDED_FULL;
    case SEGMENT_IO_ERROR:
        if ((errno == EMFILE || errno == ENFILE) && awaits_file(s))
            return s->stuck ? EMBEDDED_FULL : EMBEDDED_WAIT;
        log_error("embedded store: %s", e.text);
        break;
    }
    *rc = errno;
    return EMBEDDED_BROKEN;
}

enum embedded_space embedded_make_space(struct embedded *s, size_t wanted, int *rc)
{
    struct memtable *t = s->active;
    if (t && memtable_is_empty(t) && !t->sealed) { /* too small for this batch */
        RCU_SET(s->active, NULL);
        segment_discard(t->file); /* at once, the next one gets its name: nobody reads in it */
        t->file = NULL;
        let_go(s, t);
    } else if (t && s->frozen) {
        return s->stuck ? EMBEDDED_FULL : EMBEDDED_WAIT;
    } else if (t) {
        embedded_freeze(s);
    }
    return make_table(s, wanted, rc);
}
