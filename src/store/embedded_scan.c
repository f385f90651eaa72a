#include "core/clock.h"
#include "store/embedded.h"
#include "store/glob.h"
#include "store/redis_reply.h"
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SCAN_COUNT   10 /* keys a call, when it doesn't say */
#define SCAN_SLACK   10 /* records looked at for each of them */
#define RANDOM_LOOKS 1000

#define CURSOR_SHIFT 27 /* a cursor has the upper 36 of an order's 63 bits (ring/tellers.h) */

/* The cursor is a place in the order of record_key_make: all keys below it have been told. Keys
 * don't move in it, so what stays for the whole scan is told exactly once. */
struct scan {
    uint64_t cursor;
    bool match, none; /* none: the type is one that no key has */
    struct slice pattern;
    uint64_t count;
    uint64_t looks; /* records looked at, at most: tombstones and misses */
    uint64_t now;
    struct stamp flush;
};

static bool parse_cursor(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v << CURSOR_SHIFT;
    return v <= RECORD_ORDER_MAX >> CURSOR_SHIFT;
}

/* NULL: understood; else the error. */
static const char *parse(const struct resp_command *cmd, struct scan *s)
{
    if (!parse_cursor(cmd->argv[1], &s->cursor))
        return "ERR invalid cursor";
    for (size_t i = 2; i < cmd->argc; i += 2) {
        struct slice option = cmd->argv[i];
        int64_t n;
        if (i + 1 == cmd->argc)
            return "ERR syntax error";
        struct slice value = cmd->argv[i + 1];
        if (slice_is(option, "COUNT")) {
            if (!slice_to_i64(value, &n))
                return "ERR value is not an integer or out of range";
            if (n < 1)
                return "ERR syntax error";
            s->count = (uint64_t)n;
        } else if (slice_is(option, "MATCH")) {
            s->match = true;
            s->pattern = value;
        } else if (slice_is(option, "TYPE")) {
            s->none = !slice_is(value, "string");
        } else {
            return "ERR syntax error";
        }
    }
    return NULL;
}

static bool wanted(const struct scan *s, const struct record *r, struct slice key)
{
    return record_live(r, s->now) && !embedded_is_dead(r, s->flush) && !s->none &&
           (!s->match || glob_match(s->pattern, key));
}

/* Three sources in one order. A key is told where the oldest of them has it, with the newest record
 * there is: the older two don't change while this looks, and the youngest, which may get keys
 * before or behind this place at any moment, decides about none of theirs. */
enum { FROM_LMDB, FROM_FROZEN, FROM_ACTIVE, SOURCES };
struct merge {
    struct embedded *store;
    MDB_txn *txn;
    MDB_cursor *cursor;
    const struct memtable *frozen, *active;
    struct memtable_walk walks[SOURCES]; /* FROM_LMDB: where the cursor stands */
    bool more[SOURCES];
};

static int lmdb_move(struct merge *m, MDB_cursor_op op, MDB_val k)
{
    struct memtable_walk *w = &m->walks[FROM_LMDB];
    MDB_val v;
    int rc = mdb_cursor_get(m->cursor, &k, &v, op);
    m->more[FROM_LMDB] = rc == 0;
    if (rc != 0)
        return rc == MDB_NOTFOUND ? 0 : rc;
    w->lmdb_key = slice_of(k.mv_data, k.mv_size);
    w->bytes = slice_of(v.mv_data, v.mv_size);
    return record_order_read(w->lmdb_key, &w->order) ? 0 : MDB_CORRUPTED;
}

static int merge_begin(struct merge *m, struct embedded_reader *r, uint64_t from)
{
    uint8_t start[8] = {0}; /* gcc -O0 would warn */
    struct embedded *s = container_of_(r->base.store, struct embedded, base);
    *m = (struct merge){.store = s, .active = RCU_GET(s->active), .frozen = RCU_GET(s->frozen)};
    if (m->active == m->frozen) /* it became frozen between the two looks */
        m->active = NULL;
    int rc = embedded_snapshot(r);
    m->txn = r->txn;
    if (rc == 0)
        rc = mdb_cursor_open(r->txn, s->keys, &m->cursor);
    if (rc != 0)
        return rc;
    record_order_write(from, start);
    m->more[FROM_FROZEN] = memtable_walk_from(&m->walks[FROM_FROZEN], m->frozen, from);
    m->more[FROM_ACTIVE] = memtable_walk_from(&m->walks[FROM_ACTIVE], m->active, from);
    return lmdb_move(m, MDB_SET_RANGE, mdb_val_of(start, sizeof start));
}

/* The source whose place is the lowest, or SOURCES at the end. */
static unsigned merge_least(const struct merge *m)
{
    unsigned least = SOURCES;
    for (unsigned i = 0; i < SOURCES; i++)
        if (m->more[i] && (least == SOURCES || m->walks[i].order < m->walks[least].order))
            least = i;
    return least;
}

static int merge_step(struct merge *m, unsigned source)
{
    if (source == FROM_LMDB)
        return lmdb_move(m, MDB_NEXT, mdb_val_of(NULL, 0));
    m->more[source] = memtable_walk_next(&m->walks[source]);
    return 0;
}

/* The newest record of the key at which this source stands. RECORD_GONE: none, or an older source
 * tells it. */
static int merge_newest(struct merge *m, unsigned source, struct record *out)
{
    const struct memtable_walk *w = &m->walks[source];
    struct record_key key = {.len = w->lmdb_key.len};
    struct record older;
    int rc = MDB_NOTFOUND;
    if (key.len > sizeof key.bytes)
        return MDB_CORRUPTED;
    memcpy(key.bytes, w->lmdb_key.ptr, key.len);
    if (source != FROM_LMDB)
        rc = embedded_get(m->txn, m->store->keys, &key, &older);
    bool told =
        rc == 0 || (source == FROM_ACTIVE && m->frozen && memtable_get(m->frozen, &key, &older));
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    if (told)
        *out = (struct record){.type = RECORD_GONE};
    else if (!(m->active && memtable_get(m->active, &key, out)) &&
             !(m->frozen && memtable_get(m->frozen, &key, out)) && !record_read(w->bytes, out))
        return MDB_CORRUPTED;
    return 0;
}

/* From the cursor on, into `keys`; ends between two places that have different cursors. */
static int collect(struct merge *m, struct scan *s, struct buf *keys, size_t *found)
{
    uint64_t looked = 0, last = 0;
    int rc = 0;
    unsigned source;
    while (rc == 0 && (source = merge_least(m)) != SOURCES) {
        struct record record;
        uint64_t order = m->walks[source].order >> CURSOR_SHIFT << CURSOR_SHIFT;
        struct slice lmdb_key = m->walks[source].lmdb_key;
        if (order != last && (*found >= s->count || looked >= s->looks)) {
            s->cursor = order;
            return 0;
        }
        rc = merge_newest(m, source, &record);
        if (rc != 0)
            break;
        struct slice key = record_user_key(lmdb_key, &record);
        if (wanted(s, &record, key)) {
            resp_add_bulk(keys, key);
            ++*found;
        }
        looked++;
        last = order;
        rc = merge_step(m, source);
    }
    s->cursor = 0;
    return rc;
}

static int collect_from(struct embedded_reader *r, struct scan *s, struct buf *keys, size_t *found)
{
    struct merge m;
    s->flush = embedded_flush_of(container_of_(r->base.store, struct embedded, base));
    int rc = merge_begin(&m, r, s->cursor);
    if (rc == 0)
        rc = collect(&m, s, keys, found);
    if (m.cursor)
        mdb_cursor_close(m.cursor);
    return rc;
}

/* The first one at or behind a place chosen at random; nil where none is near, though there may be
 * some elsewhere. */
int embedded_randomkey(struct embedded_reader *r, uint64_t now, struct buf *reply)
{
    struct scan s = {.count = 1, .looks = RANDOM_LOOKS, .now = now};
    struct buf keys = BUF_INIT;
    struct slice first;
    size_t found = 0;
    uint64_t seed = clock_mono_us();
    s.cursor = XXH3_64bits(&seed, sizeof seed) >> 1;
    int rc = collect_from(r, &s, &keys, &found);
    if (rc == 0 && !found) {
        s.cursor = 0;
        rc = collect_from(r, &s, &keys, &found);
    }
    struct redis_array a = {.rest = buf_slice(&keys), .left = found};
    if (rc == 0 && redis_array_next(&a, &first))
        buf_add(reply, first.ptr, first.len);
    else if (rc == 0)
        resp_add_nil(reply);
    buf_fini(&keys);
    return rc;
}

int embedded_scan(struct embedded_reader *r, const struct resp_command *cmd, uint64_t now,
                  struct buf *reply)
{
    struct scan s = {.count = SCAN_COUNT, .now = now};
    struct buf keys = BUF_INIT;
    size_t found = 0;
    char cursor[24];
    const char *wrong =
        cmd->argc < 2 ? "ERR wrong number of arguments for 'scan' command" : parse(cmd, &s);
    if (wrong) {
        resp_add_error(reply, "%s", wrong);
        return 0;
    }
    s.looks = s.count > UINT64_MAX / SCAN_SLACK ? UINT64_MAX : s.count * SCAN_SLACK;
    int rc = collect_from(r, &s, &keys, &found);
    snprintf(cursor, sizeof cursor, "%llu", (unsigned long long)(s.cursor >> CURSOR_SHIFT));
    resp_add_array(reply, 2);
    resp_add_bulk_str(reply, cursor);
    resp_add_array(reply, found);
    buf_add(reply, buf_head(&keys), keys.len);
    buf_fini(&keys);
    return rc;
}
