#include "core/clock.h"
#include "store/embedded.h"
#include <errno.h>

#define DUE_KEY_MAX (8 + RECORD_KEY_MAX)

int embedded_begin(struct embedded *s, struct embedded_txn *t)
{
    *t = (struct embedded_txn){.s = s, .totals = s->totals, .next_due = s->next_due};
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    uint64_t used = (info.me_last_pgno + 1) * s->page;
    t->room = info.me_mapsize > used ? info.me_mapsize - used : 0;
    return mdb_txn_begin(s->env, NULL, 0, &t->txn);
}

void embedded_abort(struct embedded_txn *t)
{
    mdb_txn_abort(t->txn);
    t->txn = NULL;
}

static int put_totals(struct embedded_txn *t)
{
    MDB_val key = mdb_val_of("totals", 6), value = mdb_val_of(&t->totals, sizeof t->totals);
    return mdb_put(t->txn, t->s->meta, &key, &value, 0);
}

int embedded_commit(struct embedded_txn *t)
{
    struct embedded *s = t->s;
    int rc = put_totals(t);
    if (rc != 0) {
        embedded_abort(t);
        return rc;
    }
    rc = mdb_txn_commit(t->txn);
    t->txn = NULL;
    if (rc != 0)
        return rc;
    s->totals = t->totals;
    s->next_due = t->next_due;
    s->unsynced = true;
    STORE_SHOW(s->base.stats.keys, s->totals.keys);
    STORE_SHOW(s->base.stats.bytes, s->totals.bytes);
    return 0;
}

int embedded_get(MDB_txn *txn, MDB_dbi keys, const struct record_key *key, struct record *out)
{
    MDB_val k = mdb_val_of(key->bytes, key->len), v;
    int rc = mdb_get(txn, keys, &k, &v);
    if (rc != 0)
        return rc;
    return record_read(slice_of(v.mv_data, v.mv_size), out) ? 0 : MDB_CORRUPTED;
}

uint64_t embedded_sweep_time(const struct embedded *s, const struct record *r)
{
    if (r->type != RECORD_TOMBSTONE)
        return r->expires;
    uint64_t at = hlc_ms(r->newest.time) + s->tombstone_ms;
    return at < s->tombstone_ms ? UINT64_MAX : at;
}

/* Pages that earlier transactions freed: LMDB keeps their lists in table 0, each list with its
 * length in front. Only a reading transaction may look there. Walked only when the file has grown
 * to its end. */
static uint64_t freed_bytes(const struct embedded *s)
{
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val k, v;
    uint64_t pages = 0;
    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    if (mdb_cursor_open(txn, 0, &c) != 0) {
        mdb_txn_abort(txn);
        return 0;
    }
    size_t newest = mdb_txn_id(txn), id, n;
    while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0) {
        memcpy(&id, k.mv_data, sizeof id);
        memcpy(&n, v.mv_data, sizeof n);
        if (id < newest) /* what the last one freed is not free yet */
            pages += n;
    }
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return pages * s->page;
}

/* An estimate: pages of a tree are two thirds full, and large values have pages of their own. */
static uint64_t growth_of(const struct embedded *s, const struct record_key *key,
                          const struct record *r)
{
    size_t size = key->len + record_size(r);
    if (size < s->page / 2)
        return size + size / 2;
    return (size + 2 * s->page - 1) / s->page * s->page;
}

/* Deletes are let through to the reserve: they are the way out of a full store. */
static bool take_room(struct embedded_txn *t, const struct record_key *key,
                      const struct record *old, const struct record *fresh)
{
    if (fresh->type == RECORD_TOMBSTONE || (old && record_size(old) >= record_size(fresh)))
        return true;
    uint64_t need = growth_of(t->s, key, fresh);
    if (t->room < need + t->s->reserve && !t->room_exact) {
        t->room += freed_bytes(t->s);
        t->room_exact = true;
    }
    if (t->room < need + t->s->reserve)
        return false;
    t->room -= need;
    return true;
}

static size_t due_key(uint64_t at, const struct record_key *key, uint8_t *out)
{
    record_order_write(at, out);
    memcpy(out + 8, key->bytes, key->len);
    return 8 + key->len;
}

static int move_due(struct embedded_txn *t, const struct record_key *key, uint64_t from,
                    uint64_t to)
{
    uint8_t bytes[DUE_KEY_MAX];
    int rc = 0;
    if (from == to)
        return 0;
    if (from) {
        MDB_val k = mdb_val_of(bytes, due_key(from, key, bytes));
        rc = mdb_del(t->txn, t->s->due, &k, NULL);
    }
    if (to && (rc == 0 || rc == MDB_NOTFOUND)) {
        MDB_val k = mdb_val_of(bytes, due_key(to, key, bytes)), none = mdb_val_of("", 0);
        rc = mdb_put(t->txn, t->s->due, &k, &none, 0);
        if (to < t->next_due)
            t->next_due = to;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static void count(struct embedded_totals *t, const struct record_key *key, const struct record *r,
                  bool in)
{
    if (!r || r->type == RECORD_TOMBSTONE)
        return;
    uint64_t bytes = (key->hashed ? r->key.len : key->len - 9) + r->value.len;
    t->keys = in ? t->keys + 1 : t->keys - 1;
    t->bytes = in ? t->bytes + bytes : t->bytes - bytes;
}

/* LMDB joins pages that have become empty after a delete, but not after a put of something smaller:
 * without the delete, a store of tombstones would stay as large as it was. */
static int write_record(struct embedded_txn *t, const struct record_key *key, size_t old_size,
                        const struct record *fresh)
{
    MDB_val k = mdb_val_of(key->bytes, key->len), v = mdb_val_of(NULL, record_size(fresh));
    int rc = 0;
    if (v.mv_size < old_size / 2)
        rc = mdb_del(t->txn, t->s->keys, &k, NULL);
    if (rc == 0)
        rc = mdb_put(t->txn, t->s->keys, &k, &v, MDB_RESERVE);
    if (rc == 0)
        record_write(fresh, v.mv_data);
    return rc;
}

int embedded_put(struct embedded_txn *t, const struct record_key *key, const struct record *old,
                 const struct record *fresh)
{
    if (!take_room(t, key, old, fresh))
        return MDB_MAP_FULL;
    size_t old_size = old ? record_size(old) : 0;
    t->changed = true;
    count(&t->totals, key, old, false);
    count(&t->totals, key, fresh, true);
    int rc = move_due(t, key, old ? old->sweep : 0, fresh->sweep);
    if (rc == 0)
        rc = write_record(t, key, old_size, fresh);
    t->poisoned = rc != 0;
    return rc;
}

int embedded_remove(struct embedded_txn *t, const struct record_key *key, const struct record *old)
{
    t->changed = true;
    count(&t->totals, key, old, false);
    int rc = move_due(t, key, old->sweep, 0);
    MDB_val k = mdb_val_of(key->bytes, key->len);
    if (rc == 0)
        rc = mdb_del(t->txn, t->s->keys, &k, NULL);
    t->poisoned = rc != 0;
    return rc;
}
