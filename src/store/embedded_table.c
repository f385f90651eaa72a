#include "store/embedded.h"
#include <assert.h>
#include <errno.h>

#define DUE_KEY_MAX (8 + RECORD_KEY_MAX)

int embedded_begin(struct embedded *s, struct embedded_txn *t)
{
    *t = (struct embedded_txn){.s = s, .kept = s->kept};
    int rc = mdb_txn_begin(s->env, NULL, 0, &t->txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(t->txn, s->keys, &t->keys);
    if (rc != 0)
        mdb_txn_abort(t->txn);
    return rc;
}

void embedded_abort(struct embedded_txn *t)
{
    mdb_cursor_close(t->keys);
    mdb_txn_abort(t->txn);
}

static int put_totals(struct embedded_txn *t)
{
    MDB_val key = mdb_val_of("totals", 6), value = mdb_val_of(&t->kept, sizeof t->kept);
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
    mdb_cursor_close(t->keys);
    rc = mdb_txn_commit(t->txn);
    if (rc == 0)
        s->kept = t->kept;
    return rc;
}

int embedded_get(MDB_txn *txn, MDB_dbi keys, const struct record_key *key, struct record *out)
{
    MDB_val k = mdb_val_of(key->bytes, key->len), v;
    int rc = mdb_get(txn, keys, &k, &v);
    if (rc != 0)
        return rc;
    return record_read(slice_of(v.mv_data, v.mv_size), out) ? 0 : MDB_CORRUPTED;
}

static size_t due_key(uint64_t at, struct slice lmdb_key, uint8_t *out)
{
    assert(lmdb_key.len <= RECORD_KEY_MAX);
    record_order_write(at, out);
    memcpy(out + 8, lmdb_key.ptr, lmdb_key.len);
    return 8 + lmdb_key.len;
}

static int move_due(struct embedded_txn *t, struct slice lmdb_key, uint64_t from, uint64_t to)
{
    uint8_t bytes[DUE_KEY_MAX];
    int rc = 0;
    if (from == to)
        return 0;
    if (from) {
        MDB_val k = mdb_val_of(bytes, due_key(from, lmdb_key, bytes));
        rc = mdb_del(t->txn, t->s->due, &k, NULL);
    }
    if (to && (rc == 0 || rc == MDB_NOTFOUND)) {
        MDB_val k = mdb_val_of(bytes, due_key(to, lmdb_key, bytes)), none = mdb_val_of("", 0);
        rc = mdb_put(t->txn, t->s->due, &k, &none, 0);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

void embedded_count(struct embedded_totals *t, const struct record *r, struct slice lmdb_key,
                    bool in)
{
    if (!r || r->type != RECORD_STRING)
        return;
    uint64_t bytes = record_user_key(lmdb_key, r).len + r->value.len;
    t->keys = in ? t->keys + 1 : t->keys - 1;
    t->bytes = in ? t->bytes + bytes : t->bytes - bytes;
}

/* What stands in LMDB where the walk stands; old->type RECORD_GONE: nothing. */
static int seek(struct embedded_txn *t, MDB_val *k, struct record *old, size_t *old_size)
{
    MDB_val v;
    int rc = mdb_cursor_get(t->keys, k, &v, MDB_SET);
    *old = (struct record){.type = RECORD_GONE};
    *old_size = 0;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc == 0 && !record_read(slice_of(v.mv_data, v.mv_size), old))
        return MDB_CORRUPTED;
    *old_size = v.mv_size;
    return rc;
}

/* LMDB joins pages that have become empty after a delete, but not after a put of something smaller:
 * without the delete, a store of tombstones would stay as large as it was. */
static int write_record(struct embedded_txn *t, MDB_val *k, size_t old_size, struct slice bytes)
{
    MDB_val v = mdb_val_slice(bytes);
    if (v.mv_size < old_size / 2) {
        int rc = mdb_cursor_del(t->keys, 0);
        return rc == 0 ? mdb_put(t->txn, t->s->keys, k, &v, 0) : rc;
    }
    return mdb_cursor_put(t->keys, k, &v, 0);
}

int embedded_store(struct embedded_txn *t, const struct memtable_walk *w, uint64_t *pages)
{
    MDB_val k = mdb_val_slice(w->lmdb_key);
    struct record old, fresh;
    size_t old_size;
    if (!record_read(w->bytes, &fresh))
        return MDB_CORRUPTED;
    if (embedded_guards_nothing(t->s, &fresh)) {
        fresh.type = RECORD_GONE;
        fresh.sweep = 0;
    }
    int rc = seek(t, &k, &old, &old_size);
    if (rc != 0)
        return rc;
    uint64_t from = old.sweep, to = fresh.sweep;
    *pages = (from != to) + (from && to && from != to) + w->bytes.len / t->s->page;
    embedded_count(&t->kept, &old, w->lmdb_key, false);
    embedded_count(&t->kept, &fresh, w->lmdb_key, true);
    if (fresh.type != RECORD_GONE)
        rc = write_record(t, &k, old_size, w->bytes);
    else if (old.type != RECORD_GONE)
        rc = mdb_cursor_del(t->keys, 0);
    return rc == 0 ? move_due(t, w->lmdb_key, from, to) : rc;
}

int embedded_store_number(struct embedded_txn *t, const struct memtable_number *n)
{
    MDB_val k = mdb_val_slice(slice_str(n->id)), v = mdb_val_of(&n->last, sizeof n->last);
    return mdb_put(t->txn, t->s->numbers, &k, &v, 0);
}

int embedded_store_forgotten(struct embedded_txn *t)
{
    uint64_t stamp = __atomic_load_n(&t->s->forgotten, __ATOMIC_RELAXED);
    MDB_val k = mdb_val_of("forgotten", 9), v = mdb_val_of(&stamp, sizeof stamp);
    return mdb_put(t->txn, t->s->meta, &k, &v, 0);
}

int embedded_store_position(struct embedded_txn *t, uint64_t batch)
{
    MDB_val k = mdb_val_of("wal", 3), v = mdb_val_of(&batch, sizeof batch);
    return mdb_put(t->txn, t->s->meta, &k, &v, 0);
}
