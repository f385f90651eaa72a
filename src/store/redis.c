/* The store that is a Redis. Its writing side: one connection, one transaction on its way at a
 * time.
 *
 *   batch -> MULTI, the writes that are due, HSET of the numbers, EXEC -> outcomes
 *
 * A batch may take several transactions: one ends before a write that must know the outcome of an
 * earlier one, and when Redis refuses to queue a command, each write goes alone. When the
 * connection breaks, the batch stays here; after the next connection the numbers in Redis tell
 * which of its writes were applied, and the rest is applied then. */
#include "store/redis.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <string.h>

#define KEYS_MAX 64 /* keys of one command that are judged; commands of many keys come split */

static struct redis *redis_of(struct store *s)
{
    return (struct redis *)(void *)s;
}

static void advance(struct redis *r);

/* ---- outcomes
 * ------------------------------------------------------------------------------------- */

/* Replies are put into the batch's buffer, which moves as it grows: until the end each write keeps
 * its offset in reply.len's place; see finish_batch. */
static void settle_write(struct redis *r, size_t i, enum store_outcome outcome, struct slice reply)
{
    struct store_write *w = &r->batch->writes[i];
    w->outcome = outcome;
    r->reply_at[i] = r->batch->replies.len;
    w->reply.len = reply.len;
    buf_add(&r->batch->replies, reply.ptr, reply.len);
}

static void settle_text(struct redis *r, size_t i, enum store_outcome outcome, const char *text)
{
    struct buf b = BUF_INIT;
    resp_add_error(&b, "%s", text);
    settle_write(r, i, outcome, buf_slice(&b));
    buf_fini(&b);
}

static void finish_batch(struct redis *r)
{
    struct store_batch *b = r->batch;
    const uint8_t *base = buf_head(&b->replies);
    for (size_t i = 0; i < b->n; i++)
        b->writes[i].reply.ptr = base + r->reply_at[i];
    r->batch = NULL;
    r->single = r->kept_reply = false;
    memset(r->stopped, 0, sizeof r->stopped);
    r->events.done(r->events.arg, b);
    if (!r->going_up)
        return;
    r->going_up = false;
    store_set_up(&r->base);
    r->events.up(r->events.arg);
}

/* ---- stamps
 * --------------------------------------------------------------------------------------- */

static size_t written_keys(const struct store_write *w, size_t *keys)
{
    enum command_class c = command_class_of(w->spec, w->cmd);
    size_t n = c == COMMAND_OVERWRITE ? command_overwritten(w->spec, w->cmd, keys, KEYS_MAX)
                                      : command_keys(w->spec, w->cmd, keys, KEYS_MAX);
    return n < KEYS_MAX ? n : KEYS_MAX;
}

static enum stamp_verdict judge(struct redis *r, const struct store_write *w)
{
    size_t keys[KEYS_MAX], n = written_keys(w, keys);
    struct stamp s = {.stamp = w->stamp, .tag = w->tag};
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        enum stamp_verdict v = stamps_judge(r->stamps, stamps_hash(w->cmd->argv[keys[i]]), s);
        if (v == STAMP_OLDER || v == STAMP_PENDING)
            return v;
        unknown |= v == STAMP_UNKNOWN;
    }
    return unknown ? STAMP_UNKNOWN : STAMP_FRESH;
}

/* Notes what it overwrites. False: no room; the transaction must end before it. */
static bool intend(struct redis *r, size_t i)
{
    const struct store_write *w = &r->batch->writes[i];
    size_t keys[KEYS_MAX];
    if (command_class_of(w->spec, w->cmd) != COMMAND_OVERWRITE)
        return true;
    size_t n = command_overwritten(w->spec, w->cmd, keys, KEYS_MAX);
    for (size_t k = 0; k < n && k < KEYS_MAX; k++) {
        struct stamp_intent in = {.hash = stamps_hash(w->cmd->argv[keys[k]]),
                                  .stamp = w->stamp,
                                  .tag = w->tag,
                                  .seq = w->seq,
                                  .source = redis_numbers_of(&r->numbers, w->source)->id_hash,
                                  .mark = (uint32_t)i};
        if (!stamps_intend(r->stamps, &in))
            return false;
    }
    return true;
}

static bool never(void *arg, const struct stamp_intent *in)
{
    (void)arg;
    (void)in;
    return false;
}

static bool by_reply(void *arg, const struct stamp_intent *in)
{
    struct redis *r = arg;
    const uint8_t *reply = buf_head(&r->batch->replies) + r->reply_at[in->mark];
    return *reply != '-';
}

static bool by_number(void *arg, const struct stamp_intent *in)
{
    struct redis *r = arg;
    return in->seq <= redis_numbers_by_hash(&r->numbers, in->source);
}

/* ---- a transaction
 * ---------------------------------------------------------------------------------- */

static void add_word(struct redis *r, const char *word)
{
    struct slice s = slice_str(word);
    resp_add_command(redis_conn_out(r->conn), &s, 1);
}

/* Settled without Redis: skips, stale writes, and what follows a refusal of the same sender. True:
 * done. */
static bool settle_alone(struct redis *r, size_t i, bool *cut)
{
    struct store_write *w = &r->batch->writes[i];
    *cut = false;
    if (r->stopped[w->source]) {
        settle_write(r, i, STORE_FAILED,
                     slice_str("-BACKEND an earlier write of this node failed\r\n"));
        return true;
    }
    if (w->skip) {
        if (!r->kept_reply)
            settle_write(r, i, STORE_APPLIED, slice_of("", 0));
        r->kept_reply = false;
        redis_numbers_move(&r->numbers, w->source, w->seq);
        return true;
    }
    switch (judge(r, w)) {
    case STAMP_PENDING:
        *cut = true;
        return true;
    case STAMP_OLDER: {
        const char *blind = command_blind_reply(w->spec, w->cmd);
        STORE_COUNT(r->base.stats.stale_dropped, 1);
        settle_write(r, i, STORE_STALE, slice_str(blind ? blind : ":0\r\n"));
        redis_numbers_move(&r->numbers, w->source, w->seq);
        return true;
    }
    case STAMP_UNKNOWN:
        if (w->source)
            STORE_COUNT(r->base.stats.unguarded, 1);
        return false;
    case STAMP_FRESH:
        break;
    }
    return false;
}

static void on_tx_reply(void *arg, const struct slice *reply);

/* Puts the next writes of the batch into one transaction; `pos` stays before it until it is done.
 */
static void send_transaction(struct redis *r)
{
    struct store_batch *b = r->batch;
    struct buf *out = redis_conn_out(r->conn);
    r->ntx = 0;
    r->tx_end = r->pos;
    r->got = 0;
    r->queue_error[0] = 0;
    add_word(r, "MULTI");
    for (; r->tx_end < b->n; r->tx_end++) {
        bool cut;
        size_t i = r->tx_end;
        if (r->single && (r->ntx || r->tx_end > r->pos))
            break;
        if (settle_alone(r, i, &cut)) {
            if (cut)
                break;
            continue;
        }
        if (!intend(r, i))
            break;
        r->tx[r->ntx++] = (uint32_t)i;
        resp_add_command(out, b->writes[i].cmd->argv, b->writes[i].cmd->argc);
        redis_numbers_move(&r->numbers, b->writes[i].source, b->writes[i].seq);
    }
    r->has_numbers = redis_numbers_encode(&r->numbers, out);
    add_word(r, "EXEC");
    redis_conn_expect(r->conn, 2 + r->ntx + r->has_numbers, on_tx_reply, r);
    redis_conn_flush(r->conn);
}

static void transaction_applied(struct redis *r, struct slice exec)
{
    struct redis_array a;
    struct slice element;
    size_t i = 0;
    if (redis_array_open(exec, &a))
        while (i < r->ntx && redis_array_next(&a, &element))
            settle_write(r, r->tx[i++], STORE_APPLIED, element);
    stamps_settle(r->stamps, by_reply, r);
    redis_numbers_settle(&r->numbers, true);
    r->pos = r->tx_end;
    advance(r);
}

/* Alone, a write's error is its own: the command's counts as applied, the backend's stops its
 * sender. */
static void write_refused(struct redis *r, const char *text)
{
    size_t i = r->tx[0];
    struct store_write *w = &r->batch->writes[i];
    enum redis_fault fault = redis_fault_of(slice_str(text));
    if (fault == REDIS_FAULT_COMMAND) {
        settle_text(r, i, STORE_APPLIED, text);
        w->skip = true; /* its number still moves: with the next transaction, as a skip */
        r->pos = i;
        r->kept_reply = true;
    } else {
        STORE_COUNT(r->base.stats.errors, 1);
        settle_text(r, i, fault == REDIS_FAULT_FULL ? STORE_FULL : STORE_FAILED, text);
        r->stopped[w->source] = w->source != 0; /* a client's write stands for itself */
        r->pos = i + 1;
    }
    advance(r);
}

static void transaction_refused(struct redis *r)
{
    stamps_settle(r->stamps, never, r);
    redis_numbers_settle(&r->numbers, false);
    if (r->single && r->ntx) {
        write_refused(r, r->queue_error);
        return;
    }
    if (r->single) { /* numbers alone can't be written: the backend's state */
        settle_text(r, r->pos, STORE_FAILED, r->queue_error);
        r->stopped[r->batch->writes[r->pos].source] = true;
        r->pos++;
    }
    r->single = true;
    advance(r);
}

static void on_tx_reply(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return; /* on_lost follows */
    bool last = ++r->got == 2 + r->ntx + r->has_numbers;
    if (resp_reply_is_error(*reply) && !r->queue_error[0]) {
        struct slice text = redis_text(*reply);
        snprintf(r->queue_error, sizeof r->queue_error, "%.*s", (int)text.len,
                 (const char *)text.ptr);
    }
    if (!last)
        return;
    if (reply->len && reply->ptr[0] == '*' && !redis_is_nil(*reply))
        transaction_applied(r, *reply);
    else
        transaction_refused(r);
}

static void advance(struct redis *r)
{
    if (!r->batch || !redis_conn_ready(r->conn) || !r->numbers_known)
        return;
    if (r->pos < r->batch->n)
        send_transaction(r);
    else
        finish_batch(r);
}

/* ---- the connection of the writing side
 * ------------------------------------------------------------- */

static void go_up(struct redis *r)
{
    r->numbers_known = true;
    redis_conn_settled(r->conn);
    stamps_settle(r->stamps, by_number, r);
    /* what the last transaction did before its answer was lost */
    while (r->batch && r->pos < r->batch->n) {
        const struct store_write *w = &r->batch->writes[r->pos];
        if (w->seq > redis_numbers_of(&r->numbers, w->source)->last)
            break;
        settle_text(r, r->pos++, STORE_APPLIED,
                    "BACKEND the connection to the backend was lost; the write took effect");
    }
    r->going_up = r->batch != NULL;
    if (!r->batch) {
        store_set_up(&r->base);
        r->events.up(r->events.arg);
    }
    advance(r);
}

static void on_numbers(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return;
    if (redis_numbers_load(&r->numbers, *reply))
        go_up(r);
    else
        redis_conn_break(r->conn, "its key " REDIS_NUMBERS_KEY " isn't what this server wrote");
}

static void on_info(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    struct error e;
    struct slice info;
    if (!reply)
        return;
    if (!resp_reply_bulk(*reply, &info)) {
        redis_conn_break(r->conn, "INFO gives no answer");
        return;
    }
    if (!redis_info_ok(info, &e)) {
        redis_conn_break(r->conn, e.text);
        return;
    }
    if (redis_info_evicts(info))
        log_warn(
            "the backend's maxmemory-policy may evict this server's own keys; noeviction is safe");
    struct slice argv[2] = {slice_str("HGETALL"), slice_str(REDIS_NUMBERS_KEY)};
    resp_add_command(redis_conn_out(r->conn), argv, 2);
    redis_conn_expect(r->conn, 1, on_numbers, r);
    redis_conn_flush(r->conn);
}

static void on_ready(void *owner)
{
    struct redis *r = owner;
    add_word(r, "INFO");
    redis_conn_expect(r->conn, 1, on_info, r);
    redis_conn_flush(r->conn);
}

static void on_lost(void *owner, const char *reason)
{
    struct redis *r = owner;
    r->numbers_known = false;
    redis_numbers_settle(&r->numbers, false);
    STORE_COUNT(r->base.stats.errors, 1);
    store_set_down(&r->base, reason);
    r->events.down(r->events.arg, reason);
}

static const struct redis_conn_ops writer_ops = {.ready = on_ready, .lost = on_lost};

static void writer_start(struct store *s, uv_loop_t *loop, const struct store_events *events)
{
    struct redis *r = redis_of(s);
    r->events = *events;
    redis_numbers_name(&r->numbers, 0, r->self_id);
    r->conn = redis_conn_new(loop, &r->address, &writer_ops, r);
}

static void writer_stop(struct store *s)
{
    redis_conn_free(redis_of(s)->conn);
}

static uint64_t last(struct store *s, unsigned source, const char *node_id)
{
    return redis_numbers_name(&redis_of(s)->numbers, source, node_id);
}

static void apply(struct store *s, struct store_batch *batch)
{
    struct redis *r = redis_of(s);
    if (r->room < batch->n) {
        r->room = batch->n;
        r->tx = mem_realloc(r->tx, r->room * sizeof *r->tx);
        r->reply_at = mem_realloc(r->reply_at, r->room * sizeof *r->reply_at);
    }
    r->batch = batch;
    r->pos = 0;
    advance(r);
}

/* ---- opening
 * --------------------------------------------------------------------------------------- */

static void free_redis(struct redis *r)
{
    stamps_close(r->stamps);
    redis_numbers_fini(&r->numbers);
    mem_free(r->tx);
    mem_free(r->reply_at);
    for (size_t i = 0; i < ARRAY_LEN(r->texts); i++)
        mem_free(r->texts[i]);
    mem_free(r);
}

static void close_redis(struct store *s)
{
    store_base_fini(s);
    free_redis(redis_of(s));
}

static const struct store_ops redis_ops = {.close = close_redis,
                                           .writer_start = writer_start,
                                           .writer_stop = writer_stop,
                                           .last = last,
                                           .apply = apply,
                                           .reader_new = redis_reader_new,
                                           .reader_free = redis_reader_free,
                                           .read = redis_read,
                                           .inspect = redis_inspect};

static char *keep_text(struct redis *r, size_t i, const char *text)
{
    return r->texts[i] = text ? mem_strdup(text) : NULL;
}

struct store *store_open_redis(const struct store_options *o, struct error *e)
{
    struct redis *r = MEM_NEW(struct redis);
    char *path = mem_printf("%s/stamps", o->data_dir);
    r->stamps = stamps_open(path, o->stamp_table_bytes, clock_wall_ms(), e);
    mem_free(path);
    if (!r->stamps) {
        free_redis(r);
        return NULL;
    }
    r->address = (struct redis_address){.host = keep_text(r, 0, o->host),
                                        .unix_path = keep_text(r, 1, o->unix_path),
                                        .port = o->port,
                                        .user = keep_text(r, 2, o->user),
                                        .password = keep_text(r, 3, o->password),
                                        .timeout_ms = o->timeout_ms};
    r->self_id = keep_text(r, 4, o->self_id);
    store_base_init(&r->base, &redis_ops);
    return &r->base;
}
