#include "core/clock.h"
#include "core/mem.h"
#include "store/embedded.h"
#include "store/strings.h"
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define REPLY_KEEP (64u * 1024) /* bytes of memory a reader keeps between reads */

/* One read: what it looks at, and what it learns besides the reply. */
struct look {
    struct embedded_reader *r;
    uint64_t now;
    struct record record; /* of the key looked at last */
    struct stamp newest;
    int rc;
};

struct store_reader *embedded_reader_new(struct store *s, uv_loop_t *loop)
{
    struct embedded_reader *r = MEM_NEW(struct embedded_reader);
    r->base.store = s;
    uv_idle_init(loop, &r->turn_over);
    r->turn_over.data = r;
    return &r->base;
}

static void on_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

void embedded_reader_free(struct store_reader *reader)
{
    struct embedded_reader *r = container_of_(reader, struct embedded_reader, base);
    if (r->txn)
        mdb_txn_abort(r->txn);
    buf_fini(&r->reply);
    buf_fini(&r->scratch);
    uv_close((uv_handle_t *)&r->turn_over, on_closed);
}

static struct embedded *store_of(const struct embedded_reader *r)
{
    return container_of_(r->base.store, struct embedded, base);
}

/* ---- snapshots of LMDB ------------------------------------------------------------------------
 */
static void release(struct embedded_reader *r)
{
    if (r->live)
        mdb_txn_reset(r->txn);
    r->live = false;
}

/* A new one costs a search in the tree of trees; one that is kept pins pages that could be used
 * again. So it serves all reads of one turn of the loop, unless a checkpoint has ended. */
static void on_turn_over(uv_idle_t *h)
{
    release(h->data);
    uv_idle_stop(h);
}

int embedded_snapshot(struct embedded_reader *r)
{
    uint64_t generation = __atomic_load_n(&store_of(r)->generation, __ATOMIC_ACQUIRE);
    if (r->live && r->generation == generation)
        return 0;
    release(r);
    int rc =
        r->txn ? mdb_txn_renew(r->txn) : mdb_txn_begin(store_of(r)->env, NULL, MDB_RDONLY, &r->txn);
    r->live = rc == 0;
    r->generation = generation;
    uv_idle_start(&r->turn_over, on_turn_over);
    return rc;
}

/* ---- reads ------------------------------------------------------------------------------------
 */
/* Within a read section; the record's bytes hold until its end. */
static int find(struct embedded_reader *r, const struct record_key *key, struct record *out)
{
    struct embedded *s = store_of(r);
    const struct memtable *active = RCU_GET(s->active), *frozen = RCU_GET(s->frozen);
    if ((active && memtable_get(active, key, out)) || (frozen && memtable_get(frozen, key, out)))
        return out->type == RECORD_GONE ? MDB_NOTFOUND : 0;
    int rc = embedded_snapshot(r);
    return rc == 0 ? embedded_get(r->txn, s->keys, key, out) : rc;
}

static bool look_up(struct look *l, struct slice key)
{
    struct record_key k;
    record_key_make(key, &k);
    l->rc = find(l->r, &k, &l->record);
    bool found = l->rc == 0 && (!k.hashed || slice_eq(l->record.key, key));
    if (l->rc == MDB_NOTFOUND)
        l->rc = 0;
    struct stamp flush = embedded_flush_of(store_of(l->r));
    found = found && !embedded_is_dead(&l->record, flush);
    struct stamp newest = found ? l->record.newest : flush; /* which is all that is left of it */
    if (stamp_before(l->newest, newest))
        l->newest = newest;
    return found && record_live(&l->record, l->now);
}

static bool open_cell(void *arg, struct slice key, struct cell *c)
{
    struct look *l = arg;
    c->exists = look_up(l, key);
    c->now = l->now;
    c->value = c->exists ? l->record.value : slice_of("", 0);
    c->expires = c->exists ? l->record.expires : 0;
    return l->rc == 0;
}

static bool close_cell(void *arg, struct slice key, struct cell *c)
{
    (void)arg, (void)key, (void)c; /* a read has no effect to store */
    return true;
}

const struct string_command *embedded_command(const struct embedded *s,
                                              const struct command_spec *spec, struct slice name)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    if (spec && s->commands[spec - table] && string_is(s->commands[spec - table], name))
        return s->commands[spec - table];
    return string_find(name); /* a write may come under another name than its client's: SETEX */
}

void embedded_version(const struct record *r, uint64_t now, uint8_t out[TRANSACTION_VERSION])
{
    bool live = r && record_live(r, now);
    const uint64_t of[] = {live,
                           r ? r->overwrite.time : 0,
                           r ? r->overwrite.tag : 0,
                           r ? r->newest.time : 0,
                           r ? r->newest.tag : 0,
                           live ? r->expires : 0,
                           live ? XXH3_64bits(r->value.ptr, r->value.len) : 0};
    XXH128_hash_t h = XXH3_128bits(of, sizeof of);
    _Static_assert(sizeof h == TRANSACTION_VERSION, "what a record of a transaction has room for");
    memcpy(out, &h, sizeof h);
}

static int read_versions(struct look *l, const struct resp_command *cmd, struct buf *reply)
{
    uint8_t version[TRANSACTION_VERSION];
    resp_add_array(reply, cmd->argc - 1);
    for (size_t i = 1; i < cmd->argc && l->rc == 0; i++) {
        struct record_key k;
        record_key_make(cmd->argv[i], &k);
        l->rc = find(l->r, &k, &l->record);
        bool there = l->rc == 0 && !embedded_is_dead(&l->record, embedded_flush_of(store_of(l->r)));
        embedded_version(there ? &l->record : NULL, l->now, version);
        l->rc = l->rc == MDB_NOTFOUND ? 0 : l->rc;
        resp_add_bulk(reply, slice_of(version, sizeof version));
    }
    return l->rc;
}

static int run_read(struct look *l, const struct command_spec *spec, const struct resp_command *cmd,
                    struct buf *reply);

void embedded_add_cut(const struct embedded *s, struct buf *replies, bool wrote)
{
    resp_add_error(replies,
                   "ERR more than %" PRIu64 " bytes of replies (client_output_max_bytes)%s",
                   s->replies_max, wrote ? "; the write took effect" : "");
}

bool embedded_cut_reply(const struct embedded *s, struct buf *replies, size_t start, size_t last,
                        bool wrote)
{
    if (!s->replies_max || replies->len - start <= s->replies_max)
        return false;
    replies->len = last;
    embedded_add_cut(s, replies, wrote);
    return true;
}

static int read_all(struct look *l, const struct resp_command *record, struct buf *reply)
{
    struct transaction t;
    bool full = false;
    size_t start = reply->len;
    resp_add_array(reply, transaction_count(record));
    for (transaction_open(&t, record); l->rc == 0 && transaction_next(&t);) {
        size_t last = reply->len;
        if (full)
            embedded_add_cut(store_of(l->r), reply, false);
        else
            l->rc = run_read(l, t.spec, &t.cmd, reply);
        full = full || embedded_cut_reply(store_of(l->r), reply, start, last, false);
    }
    transaction_close(&t);
    return l->rc;
}

#define TRY_MS 200

/* All of its reads see the same: when a batch became visible meanwhile, they are done again. */
static int read_together(struct look *l, const struct resp_command *record, struct buf *reply)
{
    const uint64_t *changing = &store_of(l->r)->changing;
    uint64_t until = clock_mono_ms() + TRY_MS;
    size_t start = reply->len;
    for (;;) {
        uint64_t before = __atomic_load_n(changing, __ATOMIC_SEQ_CST);
        reply->len = start;
        int rc = before % 2 ? 0 : read_all(l, record, reply);
        if (rc != 0 || (before % 2 == 0 && __atomic_load_n(changing, __ATOMIC_SEQ_CST) == before))
            return rc;
        if (clock_mono_ms() >= until)
            return EBUSY;
        sched_yield();
    }
}

static int run_read(struct look *l, const struct command_spec *spec, const struct resp_command *cmd,
                    struct buf *reply)
{
    if (transaction_is(spec))
        return read_together(l, cmd, reply);
    if (spec && (spec->flags & COMMAND_RECORD))
        return read_versions(l, cmd, reply);
    struct string_access access = {open_cell, close_cell, l, &l->r->scratch};
    struct slice name = cmd->argc ? cmd->argv[0] : slice_of("", 0);
    const struct string_command *c = embedded_command(store_of(l->r), spec, name);
    if (c && !string_run(c, cmd, &access, reply))
        return l->rc;
    if (c)
        return 0;
    if (slice_is(name, "SCAN"))
        return embedded_scan(l->r, cmd, l->now, reply);
    if (slice_is(name, "RANDOMKEY"))
        return embedded_randomkey(l->r, l->now, reply);
    if (slice_is(name, "DBSIZE"))
        resp_add_int(reply,
                     (int64_t)__atomic_load_n(&l->r->base.store->stats.keys, __ATOMIC_RELAXED));
    else
        resp_add_error(reply, "ERR the embedded store has no such command");
    return 0;
}

/* The callback may read again, so the reply's memory is taken out of the reader meanwhile. */
static void answer(struct look *l, int rc, struct buf *reply, store_read_fn *fn, void *arg)
{
    struct store_read_reply out = {.ok = rc == 0, .stamp = l->newest.time, .tag = l->newest.tag};
    if (rc != 0) {
        buf_reset(reply, SIZE_MAX);
        resp_add_error(reply, "BACKEND embedded store: %s", mdb_strerror(rc));
        STORE_COUNT(l->r->base.store->stats.errors, 1);
    }
    out.reply = buf_slice(reply);
    struct buf mine = *reply;
    *reply = (struct buf)BUF_INIT;
    fn(arg, &out);
    if (reply->data) {
        buf_fini(&mine);
    } else {
        buf_reset(&mine, REPLY_KEEP);
        *reply = mine;
    }
}

void embedded_read(struct store_reader *reader, const struct command_spec *spec,
                   const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg)
{
    (void)stamped; /* it stands beside the value */
    struct embedded_reader *r = container_of_(reader, struct embedded_reader, base);
    struct look l = {.r = r, .now = clock_wall_ms()};
    rcu_read_begin();
    int rc = run_read(&l, spec, cmd, &r->reply);
    rcu_read_end();
    answer(&l, rc, &r->reply, fn, arg);
}

static void digest_of(const struct record *rec, char out[17])
{
    XXH64_state_t state;
    XXH64_reset(&state, 0);
    XXH64_update(&state, "string", 6);
    XXH64_update(&state, rec->value.ptr, rec->value.len);
    XXH64_update(&state, &rec->expires, sizeof rec->expires);
    snprintf(out, 17, "%016llx", (unsigned long long)XXH64_digest(&state));
}

void embedded_inspect(struct store_reader *reader, struct slice key, store_read_fn *fn, void *arg)
{
    struct embedded_reader *r = container_of_(reader, struct embedded_reader, base);
    struct look l = {.r = r, .now = clock_wall_ms()};
    char digest[17] = "";
    rcu_read_begin();
    bool live = look_up(&l, key);
    if (live)
        digest_of(&l.record, digest);
    rcu_read_end();
    resp_add_array(&r->reply, 5);
    resp_add_int(&r->reply, live);
    resp_add_status(&r->reply, live ? "string" : "none");
    resp_add_int(&r->reply, live ? (int64_t)l.record.value.len : 0);
    resp_add_int(&r->reply, (int64_t)l.newest.time);
    resp_add_bulk_str(&r->reply, digest);
    answer(&l, l.rc, &r->reply, fn, arg);
}

/* ---- copies -----------------------------------------------------------------------------------
 */

static void add_copy_command(struct buf *b, struct slice key, const struct record *live)
{
    char at[24];
    struct slice argv[5] = {slice_str("DEL"), key};
    size_t n = 2;
    if (live) {
        argv[0] = slice_str("SET");
        argv[n++] = live->value;
    }
    if (live && live->expires) {
        snprintf(at, sizeof at, "%llu", (unsigned long long)live->expires);
        argv[n++] = slice_str("PXAT");
        argv[n++] = slice_str(at);
    }
    resp_add_command(b, argv, n);
}

/* All that there is of it is that a flush was its last overwrite. */
static void fill_flushed(struct store_copy *c, struct stamp flush, struct stamp newest)
{
    newest = stamp_before(newest, flush) ? flush : newest;
    c->overwrite = (struct store_stamp){flush.time, flush.tag};
    c->newest = (struct store_stamp){newest.time, newest.tag};
    c->newest_exact = flush.time != 0;
}

static void fill_copy(struct store_copy *c, const struct record *rec, bool live)
{
    c->exists = live;
    c->overwrite = (struct store_stamp){rec->overwrite.time, rec->overwrite.tag};
    c->newest = (struct store_stamp){rec->newest.time, rec->newest.tag};
    c->newest_exact = true;
    if (!live)
        return;
    c->digest = store_digest_string(rec->value);
    c->weight = store_weight_string(rec->value);
    c->bytes = rec->value.len;
    c->expires = rec->expires;
}

void embedded_copy(struct store_reader *reader, struct slice key, bool command, store_copy_fn *fn,
                   void *arg)
{
    struct embedded_reader *r = container_of_(reader, struct embedded_reader, base);
    uint64_t now = clock_wall_ms();
    struct store_copy c = {0};
    struct record_key k;
    struct record rec;
    struct buf b = BUF_INIT;
    record_key_make(key, &k);
    rcu_read_begin();
    int rc = find(r, &k, &rec);
    bool collided = rc == 0 && k.hashed && !slice_eq(rec.key, key), live = false;
    c.ok = (rc == 0 && !collided) || rc == MDB_NOTFOUND;
    struct stamp flush = embedded_flush_of(store_of(r)), newest = {0, 0};
    bool dead = c.ok && rc == 0 && embedded_is_dead(&rec, flush);
    if (c.ok && rc == 0 && !dead) {
        live = record_live(&rec, now);
        fill_copy(&c, &rec, live);
    } else if (c.ok) {
        fill_flushed(&c, flush, dead ? rec.newest : newest);
    }
    if (c.ok && command)
        add_copy_command(&b, key, live ? &rec : NULL);
    rcu_read_end();
    c.forgotten = __atomic_load_n(&store_of(r)->forgotten, __ATOMIC_RELAXED);
    c.command = buf_slice(&b);
    fn(arg, &c);
    buf_fini(&b);
}
