/* The cap of the embedded store's file, store_max_bytes. LMDB's map is larger than that, so that a
 * checkpoint, which can't give a write back any more, finds its pages; the cap holds because what
 * the memtables may add is counted before a write is taken. */
#include "store/embedded.h"

/* Bytes of the file that hold something: all but the pages that transactions freed. LMDB keeps
 * their lists in table 0, each list with its length in front. Only a reading transaction may look
 * there. */
int embedded_used(const struct embedded *s, uint64_t *out)
{
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val k, v;
    MDB_envinfo info;
    uint64_t freed = 0;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(txn, 0, &c);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        size_t n;
        memcpy(&n, v.mv_data, sizeof n);
        freed += n;
    }
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    mdb_env_info(s->env, &info);
    uint64_t pages = info.me_last_pgno + 1;
    *out = (pages > freed ? pages - freed : 0) * s->page;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Pages of a tree are two thirds full, and large values have pages of their own. */
uint64_t embedded_growth(const struct embedded *s, const struct record_key *key,
                         const struct record *r)
{
    size_t size = key->len + record_size(r);
    if (size < s->page / 2)
        return size + size / 2;
    return (size + 2 * s->page - 1) / s->page * s->page;
}

/* Deletes are let through to the reserve: they are the way out of a full store. */
bool embedded_has_room(const struct embedded_change *c, uint64_t growth, bool deletes)
{
    const struct embedded *s = c->s;
    uint64_t taken = s->used + c->growth + (deletes ? 0 : s->reserve);
    if (s->active)
        taken += s->active->growth;
    if (s->frozen)
        taken += s->frozen->growth;
    return taken + growth <= s->max_bytes;
}

bool embedded_may_get_room(const struct embedded *s, uint64_t growth)
{
    uint64_t upto = s->room_from ? s->room_from : s->batches;
    return s->written < upto && !s->stuck && growth + s->reserve <= s->max_bytes;
}
