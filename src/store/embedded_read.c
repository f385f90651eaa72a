#include "core/clock.h"
#include "core/mem.h"
#include "store/embedded.h"
#include "store/strings.h"
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
    (void)loop; /* reads are answered at once */
    struct embedded_reader *r = MEM_NEW(struct embedded_reader);
    r->base.store = s;
    return &r->base;
}

void embedded_reader_free(struct store_reader *reader)
{
    struct embedded_reader *r = container_of_(reader, struct embedded_reader, base);
    if (r->txn)
        mdb_txn_abort(r->txn);
    buf_fini(&r->reply);
    buf_fini(&r->scratch);
    mem_free(r);
}

static struct embedded *store_of(const struct embedded_reader *r)
{
    return container_of_(r->base.store, struct embedded, base);
}

/* The newest snapshot: a read after a finished batch sees it. */
static int snapshot(struct embedded_reader *r)
{
    if (r->txn)
        return mdb_txn_renew(r->txn);
    return mdb_txn_begin(store_of(r)->env, NULL, MDB_RDONLY, &r->txn);
}

static bool look_up(struct look *l, struct slice key)
{
    struct record_key k;
    record_key_make(key, &k);
    l->rc = embedded_get(l->r->txn, store_of(l->r)->keys, &k, &l->record);
    bool found = l->rc == 0 && (!k.hashed || slice_eq(l->record.key, key));
    if (l->rc == MDB_NOTFOUND)
        l->rc = 0;
    if (found && stamp_before(l->newest, l->record.newest))
        l->newest = l->record.newest;
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

static int run_read(struct look *l, const struct resp_command *cmd, struct buf *reply)
{
    struct string_access access = {open_cell, close_cell, l, &l->r->scratch};
    struct slice name = cmd->argc ? cmd->argv[0] : slice_of("", 0);
    const struct string_command *c = string_find(name);
    if (c && !string_run(c, cmd, &access, reply))
        return l->rc;
    if (c)
        return 0;
    if (slice_is(name, "SCAN"))
        return embedded_scan(l->r, cmd, l->now, reply);
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
                   const struct resp_command *cmd, store_read_fn *fn, void *arg)
{
    (void)spec; /* the command's name says it all */
    struct embedded_reader *r = container_of_(reader, struct embedded_reader, base);
    struct look l = {.r = r, .now = clock_wall_ms()};
    int rc = snapshot(r);
    if (rc == 0) {
        rc = run_read(&l, cmd, &r->reply);
        mdb_txn_reset(r->txn);
    }
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
    int rc = snapshot(r);
    if (rc == 0) {
        bool live = look_up(&l, key);
        char digest[17] = "";
        if (live)
            digest_of(&l.record, digest);
        resp_add_array(&r->reply, 5);
        resp_add_int(&r->reply, live);
        resp_add_status(&r->reply, live ? "string" : "none");
        resp_add_int(&r->reply, live ? (int64_t)l.record.value.len : 0);
        resp_add_int(&r->reply, (int64_t)l.newest.time);
        resp_add_bulk_str(&r->reply, digest);
        rc = l.rc;
        mdb_txn_reset(r->txn);
    }
    answer(&l, rc, &r->reply, fn, arg);
}
