/* FLUSHALL in the embedded store: one stamp, kept in the log and in LMDB. What was last overwritten
 * before it is dead, without being touched; what is written later and is older is stale, whatever
 * its key. So it stands for a tombstone of every key, and takes no time. The dead are taken out of
 * LMDB little by little, when everything that was written before the flush is there. */
#include "core/mem.h"
#include "store/embedded.h"

#define PURGE_SLICE 512 /* records looked at between two batches */

struct kept_flush {
    uint64_t time, tag;
};

struct stamp embedded_flush_of(const struct embedded *s)
{
    struct stamp at = {0, 0};
    if (!RCU_GET(s->flush))
        return at; /* as it mostly is */
    rcu_read_begin();
    const struct embedded_flush *f = RCU_GET(s->flush);
    if (f)
        at = f->at;
    rcu_read_end();
    return at;
}

static void reclaim(struct rcu_head *head)
{
    mem_free(container_of_(head, struct embedded_flush, rcu));
}

void embedded_flush_set(struct embedded *s, struct stamp at)
{
    struct embedded_flush *old = s->flush;
    if (old && !stamp_before(old->at, at))
        return;
    struct embedded_flush *fresh = MEM_NEW(struct embedded_flush);
    fresh->at = at;
    RCU_SET(s->flush, fresh);
    if (old)
        rcu_defer(&old->rcu, reclaim);
    s->purge = (struct embedded_purge){.after = s->batches};
}

void embedded_show_totals(struct embedded *s)
{
    STORE_SHOW(s->base.stats.keys, s->totals.keys - s->dead.keys);
    STORE_SHOW(s->base.stats.bytes, s->totals.bytes - s->dead.bytes);
}

/* ---- what is left of it ------------------------------------------------------------------------
 */

bool embedded_wants_purge(const struct embedded *s)
{
    return s->flush && __atomic_load_n(&s->purged, __ATOMIC_RELAXED) != s->flush->at.time &&
           s->written >= s->purge.after;
}

/* What LMDB has of a key is dead; has the key anything newer? */
static int purge_record(struct embedded_change *c, const struct record_key *key)
{
    struct record old, gone = {.type = RECORD_GONE};
    int rc = embedded_find(c, key, &old);
    if (rc == MDB_NOTFOUND || (rc == 0 && !embedded_is_dead(&old, c->flush)))
        return 0;
    return rc == 0 ? embedded_put(c, key, &old, &gone) : rc;
}

/* The next record at or behind p->from, which then stands behind it. */
static int purge_next(struct embedded_change *c, MDB_cursor *cursor)
{
    struct embedded_purge *p = &c->s->purge;
    struct record_key key = {.len = 0};
    struct record r;
    MDB_val k = mdb_val_of(p->from, p->from_len), v;
    int rc = mdb_cursor_get(cursor, &k, &v, p->from_len ? MDB_SET_RANGE : MDB_FIRST);
    if (rc != 0)
        return rc;
    if (k.mv_size > sizeof key.bytes || !record_read(slice_of(v.mv_data, v.mv_size), &r))
        return MDB_CORRUPTED;
    key.len = k.mv_size;
    key.hashed = key.len > 8 && ((uint8_t *)k.mv_data)[8] == 'h';
    memcpy(key.bytes, k.mv_data, k.mv_size);
    memcpy(p->from, k.mv_data, k.mv_size);
    p->from[k.mv_size] = 0; /* the least key behind it */
    p->from_len = k.mv_size + 1;
    return embedded_is_dead(&r, c->flush) ? purge_record(c, &key) : 0;
}

int embedded_purge(struct embedded_change *c)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = embedded_reading(c->s, &txn);
    if (rc == 0)
        rc = mdb_cursor_open(txn, c->s->keys, &cursor);
    if (rc != 0)
        return rc;
    for (int i = 0; i < PURGE_SLICE && rc == 0; i++)
        rc = purge_next(c, cursor);
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND)
        return rc;
    __atomic_store_n(&c->s->purged, c->flush.time, __ATOMIC_RELAXED);
    return 0;
}

/* ---- on disk ------------------------------------------------------------------------------------
 */

static int read_word(struct embedded *s, MDB_txn *txn, const char *name, void *out, size_t size)
{
    MDB_val k = mdb_val_of(name, strlen(name)), v;
    int rc = mdb_get(txn, s->meta, &k, &v);
    memset(out, 0, size);
    if (rc == 0 && v.mv_size != size)
        return MDB_CORRUPTED;
    if (rc == 0)
        memcpy(out, v.mv_data, size);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int embedded_read_flush(struct embedded *s, MDB_txn *txn)
{
    struct kept_flush kept;
    int rc = read_word(s, txn, "flush", &kept, sizeof kept);
    if (rc == 0)
        rc = read_word(s, txn, "purged", &s->purged, sizeof s->purged);
    if (rc == 0 && kept.time)
        embedded_flush_set(s, (struct stamp){kept.time, (uint16_t)kept.tag});
    return rc;
}

/* "purged" may be late by a checkpoint: then a start looks for what has gone already. */
int embedded_store_flush(struct embedded_txn *t, struct stamp at)
{
    struct kept_flush kept = {.time = at.time, .tag = at.tag};
    uint64_t purged = __atomic_load_n(&t->s->purged, __ATOMIC_RELAXED);
    MDB_val k = mdb_val_of("flush", 5), v = mdb_val_of(&kept, sizeof kept);
    if (!at.time)
        return 0;
    int rc = mdb_put(t->txn, t->s->meta, &k, &v, 0);
    k = mdb_val_of("purged", 6);
    v = mdb_val_of(&purged, sizeof purged);
    return rc == 0 ? mdb_put(t->txn, t->s->meta, &k, &v, 0) : rc;
}
