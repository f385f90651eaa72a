#include "config/config.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/embedded.h"
#include <inttypes.h>

/* One file on its way back into a memtable. */
struct replay {
    struct embedded *s;
    struct memtable *table;
    MDB_txn *txn;
    int rc;
};

static void take_number(struct memtable *t, const struct wal_item *item)
{
    uint64_t last = 0;
    memcpy(&last, item->body.ptr, sizeof last);
    memtable_set_number(t, (const char *)item->key.ptr, item->key.len, last);
}

static void take_item(void *arg, size_t at, const struct wal_item *item)
{
    struct replay *r = arg;
    struct memtable *t = r->table;
    struct record_key key = {.len = item->key.len};
    struct record record;
    if (item->kind == WAL_NUMBER && item->body.len == sizeof(uint64_t) &&
        item->key.len < sizeof t->numbers->id) {
        take_number(t, item);
    } else if (item->kind == WAL_FLUSH && item->body.len == 2 * sizeof(uint64_t)) {
        uint64_t words[2];
        memcpy(words, item->body.ptr, sizeof words);
        embedded_flush_set(r->s, (struct stamp){words[0], (uint16_t)words[1]});
    } else if (item->kind == WAL_RECORD && item->key.len > 8 && item->key.len <= RECORD_KEY_MAX &&
               record_read(item->body, &record)) {
        memcpy(key.bytes, item->key.ptr, item->key.len);
        memtable_stage(t, &key, at);
        memtable_publish(t);
        if (record.type == RECORD_GONE)
            embedded_note_forgotten(r->s, record.newest.time);
        if (record.sweep && record.sweep < t->next_due)
            t->next_due = record.sweep;
    } else {
        r->rc = MDB_CORRUPTED;
    }
}

/* What stands behind the new table: the older one, then LMDB. */
static int older(const struct replay *r, const struct record_key *key, struct record *out)
{
    const struct embedded *s = r->s;
    int rc = 0;
    if (!s->frozen || !memtable_get(s->frozen, key, out))
        rc = embedded_get(r->txn, s->keys, key, out);
    if (rc == MDB_NOTFOUND)
        *out = (struct record){.type = RECORD_GONE};
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The totals with this table over what was there. */
static int count_table(struct replay *r)
{
    struct memtable_walk w;
    struct record before, after;
    struct record_key key;
    for (bool more = memtable_walk_from(&w, r->table, 0); more; more = memtable_walk_next(&w)) {
        key = (struct record_key){.len = w.lmdb_key.len};
        memcpy(key.bytes, w.lmdb_key.ptr, w.lmdb_key.len);
        int rc = older(r, &key, &before);
        if (rc == 0 && !record_read(w.bytes, &after))
            rc = MDB_CORRUPTED;
        if (rc != 0)
            return rc;
        embedded_count(&r->s->totals, &before, w.lmdb_key, false);
        embedded_count(&r->s->totals, &after, w.lmdb_key, true);
        r->table->growth += embedded_growth(r->s, &key, &after);
    }
    return 0;
}

/* Batches that come from now on are written to other files: what they stand on has to be on disk
 * before they are. */
static int keep(struct embedded *s, struct segment *file)
{
    int rc = s->sync == SYNC_NEVER ? 0 : wal_sync(file, file->last);
    if (rc == 0)
        file->synced = file->end;
    return rc;
}

/* Becomes the newer one of the two tables. */
static int adopt(struct embedded *s, struct segment *file)
{
    struct replay r = {.s = s, .table = memtable_new(file)};
    r.table->sealed = true;
    wal_walk(file, take_item, &r);
    if (r.rc == 0)
        r.rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &r.txn);
    if (r.rc == 0) {
        r.rc = count_table(&r);
        mdb_txn_abort(r.txn);
    }
    if (r.rc == 0)
        r.rc = keep(s, file);
    s->batches = file->last;
    s->purge.after = s->batches;
    r.table->flush = embedded_flush_of(s);
    if (s->frozen)
        s->active = r.table;
    else
        s->frozen = r.table;
    return r.rc;
}

/* A place for one more: there are never more than two, but for a program that was killed at a start
 * again and again. */
static int make_place(struct embedded *s)
{
    if (!s->active)
        return 0;
    int rc = embedded_checkpoint_now(s, s->frozen, UINT64_MAX);
    if (rc != 0)
        return rc;
    s->written = s->frozen->file->last;
    embedded_free_table(s->frozen, false);
    s->frozen = s->active;
    s->active = NULL;
    return 0;
}

bool embedded_replay(struct embedded *s, const char *wal, uint64_t applied, struct error *e)
{
    struct wal_files files;
    size_t taken = 0;
    int rc = 0;
    if (!wal_open(wal, applied, &s->wal_dir, &files, e))
        return false;
    s->batches = s->written = applied;
    for (; taken < files.n && rc == 0; taken += rc == 0) {
        rc = make_place(s);
        if (rc == 0)
            rc = adopt(s, files.at[taken]);
    }
    if (rc == 0 && s->batches > applied)
        log_notice("embedded store: batches %" PRIu64 " to %" PRIu64 " come from its log",
                   applied + 1, s->batches);
    for (size_t i = taken; i < files.n; i++)
        if (!(s->frozen && s->frozen->file == files.at[i]) &&
            !(s->active && s->active->file == files.at[i]))
            segment_close(files.at[i]);
    mem_free(files.at);
    return rc == 0 || error_set(e, "%s: %s", wal, mdb_strerror(rc));
}
