/* Clients' transactions (wire/transaction.h) as writes of a batch: one goes into Redis's
 * transaction as the commands of which it consists, all of them behind one another, and is never
 * cut; each is judged by itself, and what is stale isn't sent.
 *
 * Versions of keys, for WATCH. A key's version is the number of the last batch in which a write to
 * it went out (store/touched.h), and the time when it will lapse. It is told when that batch is
 * done: whoever reads the key afterwards sees all that is in it. Where a transaction comes to its
 * place in a batch, what went out before it has been noted already. So what differs was written in
 * between, or shares its slot in `touched` with something that was: then the client tries again. */
#include "core/clock.h"
#include "core/mem.h"
#include "store/redis.h"
#include "wire/transaction.h"
#include <string.h>
#include <xxhash.h>

/* ---- versions ---------------------------------------------------------------------------------
 */

#define VERSIONS_MS 1000 /* a batch that takes longer is waited for no more */

struct version {
    uint64_t state;   /* a hash of what it was; 0: not known, and equal to none */
    uint64_t expires; /* wall ms; 0: never */
};
_Static_assert(sizeof(struct version) == TRANSACTION_VERSION, "what a record has room for");

static uint64_t state_of(uint64_t epoch, uint64_t batch)
{
    const uint64_t of[] = {epoch, batch};
    uint64_t h = XXH3_64bits(of, sizeof of);
    return h ? h : 1;
}

void redis_versions_end(struct redis *r)
{
    (void)__atomic_add_fetch(&r->epoch, 1, __ATOMIC_RELEASE);
}

static bool is_version(const struct redis *r, struct slice key, const uint8_t *bytes)
{
    struct version v;
    memcpy(&v, bytes, sizeof v);
    if (store_is_alone(&r->backend.base) || (v.expires && clock_wall_ms() >= v.expires))
        return false;
    return v.state == state_of(r->epoch, touched_batch(r->backend.touched, stamps_hash(key)));
}

static bool is_as_watched(const struct redis *r, const struct resp_command *record)
{
    struct slice watches = transaction_watches(record);
    size_t n = watches.len / TRANSACTION_VERSION;
    bool same = true;
    for (size_t i = 0; i < n && same; i++)
        same = is_version(r, transaction_key(record, i), watches.ptr + i * TRANSACTION_VERSION);
    return same;
}

/* ---- in a batch -------------------------------------------------------------------------------
 */

/* A command of the record as the write that it would be by itself. */
static struct store_write part_of(const struct store_write *w, const struct transaction *t)
{
    struct store_write part = *w;
    part.spec = t->spec;
    part.cmd = &t->cmd;
    return part;
}

static bool only_reads(const struct transaction *t)
{
    return command_class_of(t->spec, &t->cmd) == COMMAND_READ;
}

static const char *reply_of_stale(const struct transaction *t)
{
    const char *blind = command_blind_reply(t->spec, &t->cmd);
    return blind ? blind : ":0\r\n";
}

/* What its commands come to. */
struct outlook {
    bool pending;      /* one must know the outcome of an earlier write */
    bool sends;        /* there is something to send */
    size_t overwrites; /* keys */
    unsigned unguarded;
};

static struct outlook look_at(struct redis *r, const struct store_write *w)
{
    struct outlook o = {.sends = false};
    struct transaction t;
    size_t none;
    for (transaction_open(&t, w->cmd); transaction_next(&t);) {
        struct store_write part = part_of(w, &t);
        enum stamp_verdict v = only_reads(&t) ? STAMP_FRESH : backend_judge(&r->backend, &part);
        o.pending |= v == STAMP_PENDING;
        o.unguarded += v == STAMP_UNKNOWN && w->source;
        o.sends |= v != STAMP_OLDER;
        o.overwrites += v == STAMP_OLDER ? 0 : command_overwritten(t.spec, &t.cmd, &none, 0);
    }
    transaction_close(&t);
    return o;
}

/* Nothing of it is to be sent. */
static void settle_unsent(struct redis *r, size_t i)
{
    const struct store_write *w = &r->backend.batch->writes[i];
    struct buf reply = BUF_INIT;
    struct transaction t;
    size_t n = transaction_count(w->cmd);
    resp_add_array(&reply, n);
    for (transaction_open(&t, w->cmd); transaction_next(&t);)
        buf_add_str(&reply, reply_of_stale(&t));
    transaction_close(&t);
    backend_settle(&r->backend, i, n ? STORE_STALE : STORE_APPLIED, buf_slice(&reply));
    buf_fini(&reply);
}

enum redis_due redis_record_due(struct redis *r, size_t i)
{
    const struct store_write *w = &r->backend.batch->writes[i];
    if (!is_as_watched(r, w->cmd)) {
        backend_settle(&r->backend, i, STORE_APPLIED, slice_str("*-1\r\n"));
        return REDIS_DUE_NOT;
    }
    struct outlook o = look_at(r, w);
    size_t room = stamps_room(r->backend.stamps);
    if (o.pending || (room < STAMPS_INTENTS && room < o.overwrites))
        return REDIS_DUE_LATER;
    if (!o.sends) {
        settle_unsent(r, i);
        return REDIS_DUE_NOT;
    }
    STORE_COUNT(r->backend.base.stats.unguarded, o.unguarded);
    return REDIS_DUE_NOW;
}

void redis_record_queue(struct redis *r, size_t i, struct buf *out)
{
    const struct store_write *w = &r->backend.batch->writes[i];
    struct transaction t;
    for (transaction_open(&t, w->cmd); transaction_next(&t);) {
        struct store_write part = part_of(w, &t);
        bool reads = only_reads(&t);
        bool stale = !reads && backend_judge(&r->backend, &part) == STAMP_OLDER;
        if (!reads && !stale) {
            backend_intend(&r->backend, &part,
                           redis_numbers_of(&r->numbers, (&part)->source)->id_hash, r->ntx);
            backend_touch(&r->backend, &part);
        }
        if (!stale)
            buf_add(out, t.bytes.ptr, t.bytes.len);
        redis_queue(r, i, stale ? reply_of_stale(&t) : NULL);
    }
    transaction_close(&t);
}

size_t redis_record_answered(struct redis *r, size_t k, struct redis_array *exec)
{
    uint32_t i = r->tx[k].write;
    struct store_write *w = &r->backend.batch->writes[i];
    struct buf *replies = &r->backend.batch->replies;
    size_t start = replies->len;
    resp_add_array(replies, transaction_count(w->cmd));
    for (; k < r->ntx && r->tx[k].write == i; k++) {
        struct slice element = slice_str(r->tx[k].known ? r->tx[k].known : "");
        if (r->tx[k].known)
            STORE_COUNT(r->backend.base.stats.stale_dropped, 1);
        else if (!redis_array_next(exec, &element))
            element = slice_str("-ERR the backend didn't answer it\r\n");
        r->tx[k].reply_at = replies->len;
        buf_add(replies, element.ptr, element.len);
    }
    w->outcome = STORE_APPLIED;
    w->reply.len = replies->len - start;
    r->backend.writes[i].reply_at = start;
    return k;
}

/* ---- versions are asked for -------------------------------------------------------------------
 */

/* One VERSIONS on its way: the lifetimes of its keys are asked for, which takes about as long as
 * there is to wait for a batch. */
struct asking {
    struct redis *r;
    struct backend_conn *conn;
    store_read_fn *fn;
    void *arg;
    struct buf command;      /* VERSIONS key ... */
    struct resp_command cmd; /* the same */
    uint64_t epoch, until_ms;
    bool settled; /* all batches that had touched a key were done when this was asked */
    size_t n, answers;
    struct asked {
        uint64_t batch, expires;
    } key[];
};

static void end(struct asking *a, bool known)
{
    struct buf b = BUF_INIT;
    resp_add_array(&b, a->n);
    for (size_t i = 0; i < a->n; i++) {
        struct version v = {.state = known ? state_of(a->epoch, a->key[i].batch) : 0,
                            .expires = a->key[i].expires};
        resp_add_bulk(&b, slice_of(&v, sizeof v));
    }
    a->fn(a->arg, &(struct store_read_reply){.ok = true, .reply = buf_slice(&b)});
    buf_fini(&b);
    resp_command_fini(&a->cmd);
    buf_fini(&a->command);
    mem_free(a);
}

static void ask(struct asking *a);

/* PEXPIRETIME, which before 7.0 isn't there, and PTTL of each key. */
static void on_answer(void *arg, const struct slice *reply)
{
    struct asking *a = arg;
    int64_t v;
    if (!reply) {
        end(a, false);
        return;
    }
    struct asked *key = &a->key[a->answers / 2];
    bool number = resp_reply_int(*reply, &v) && v > 0;
    if (a->answers % 2 == 0)
        key->expires = number ? (uint64_t)v : 0;
    else if (number && !key->expires)
        key->expires = clock_wall_ms() + (uint64_t)v;
    if (++a->answers < 2 * a->n)
        return;
    if (a->settled || clock_mono_ms() >= a->until_ms)
        end(a, a->settled);
    else
        ask(a);
}

static void ask(struct asking *a)
{
    a->answers = 0;
    a->settled = true;
    a->epoch = __atomic_load_n(&a->r->epoch, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < a->n; i++) {
        struct slice key = a->cmd.argv[1 + i];
        uint64_t batch = a->key[i].batch = touched_batch(a->r->backend.touched, stamps_hash(key));
        a->settled &= batch <= __atomic_load_n(&a->r->backend.settled, __ATOMIC_ACQUIRE);
        redis_add_pair(a->conn, "PEXPIRETIME", key);
        redis_add_pair(a->conn, "PTTL", key);
    }
    backend_conn_expect(a->conn, 2 * a->n, on_answer, a);
    backend_conn_flush_later(a->conn);
}

void redis_versions(struct store_reader *reader, const struct resp_command *cmd, store_read_fn *fn,
                    void *arg)
{
    struct backend_conn *conn = redis_reader_conn(reader);
    if (!backend_conn_ready(conn) || !store_is_up(reader->store)) {
        struct slice down = slice_str("-BACKEND the backend can't be reached\r\n");
        fn(arg, &(struct store_read_reply){.ok = false, .reply = down});
        return;
    }
    size_t n = cmd->argc - 1;
    struct asking *a = mem_calloc(1, sizeof *a + n * sizeof a->key[0]);
    a->r = (struct redis *)(void *)reader->store;
    a->conn = conn;
    a->fn = fn;
    a->arg = arg;
    a->n = n;
    a->until_ms = clock_mono_ms() + VERSIONS_MS;
    resp_add_command(&a->command, cmd->argv, cmd->argc);
    if (resp_command_parse(buf_slice(&a->command), &a->cmd))
        ask(a);
    else
        end(a, false);
}
