/* How a batch gets into Redis:
 *
 *   batch -> MULTI, the writes that are due, HSET of the numbers, EXEC, WATCH -> outcomes
 *
 * A batch may take several transactions: one ends before a write that must know the outcome of an
 * earlier one. When Redis refuses to queue a command by that command's own fault, this is its
 * reply, and the others are sent again without it. When Redis is full, the rest of the batch goes
 * one by one as scripts. When it can't serve (read-only, ...), nothing of the transaction happened:
 * what is left of the batch fails, and the connection is broken, so that the greeting finds out
 * when it can. When the connection breaks by itself, the batch is given back. */
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/redis.h"
#include "store/redis_script.h"
#include "wire/transaction.h"
#include <string.h>

/* Bytes after which a transaction ends: Redis keeps it whole until EXEC, within its
 * client-query-buffer-limit (1 GB). */
#define TX_BYTES (64u * 1024 * 1024)

#define QUARREL_MS 10000 /* foreign fences closer than this come from somebody who lives */

/* As Redis says it where it refuses to queue a command. */
#define ABORTED "-EXECABORT Transaction discarded because of previous errors.\r\n"

#define FOREIGN_FENCE                                                                              \
    "another connection has changed this server's numbers in the backend: is a second dynomited "  \
    "on it?"

/* ---- outcomes
 * ------------------------------------------------------------------------------------- */

static void advance(struct redis *r);

static void finish_batch(struct redis *r)
{
    r->full = false;
    /* else the next greeting tells which of its overwrites there are */
    r->events.done(r->events.arg, backend_finish(&r->backend, r->numbers_known));
}

/* ---- stamps
 * --------------------------------------------------------------------------------------- */

/* The k-th of what was sent: with something else than an error. */
static bool replied(void *arg, size_t k)
{
    const struct redis *r = arg;
    return buf_head(&r->backend.batch->replies)[r->tx[k].reply_at] != '-';
}

/* ---- what needs no answer of Redis
 * ------------------------------------------------------------------ */

/* A client's transaction. */
static enum redis_due judge_record(struct redis *r, size_t i)
{
    const struct store_write *w = &r->backend.batch->writes[i];
    enum redis_due due = redis_record_due(r, i);
    if (due == REDIS_DUE_NOT)
        redis_numbers_move(&r->numbers, w->source, w->seq);
    return due;
}

/* Skips, stale writes, those refused when they were queued, and what follows a refusal of the same
 * source. */
static enum redis_due judge_due(struct redis *r, size_t i)
{
    struct store_write *w = &r->backend.batch->writes[i];
    if (backend_is_stopped(&r->backend, i)) {
        backend_settle_text(&r->backend, i, STORE_FAILED,
                            "BACKEND an earlier write of this node failed", "");
        return REDIS_DUE_NOT;
    }
    if (r->backend.writes[i].kept || w->skip) {
        if (!r->backend.writes[i].kept)
            backend_settle(&r->backend, i, STORE_APPLIED, slice_of("", 0));
        if (w->outcome == STORE_APPLIED)
            redis_numbers_move(&r->numbers, w->source, w->seq);
        return REDIS_DUE_NOT;
    }
    if (w->spec->class_ == COMMAND_READ)
        return REDIS_DUE_NOW;
    if (transaction_is(w->spec))
        return judge_record(r, i);
    switch (backend_judge(&r->backend, w)) {
    case STAMP_PENDING:
        return REDIS_DUE_LATER;
    case STAMP_OLDER: {
        const char *blind = command_blind_reply(w->spec, w->cmd);
        backend_settle(&r->backend, i, STORE_STALE, slice_str(blind ? blind : ":0\r\n"));
        redis_numbers_move(&r->numbers, w->source, w->seq);
        return REDIS_DUE_NOT;
    }
    case STAMP_UNKNOWN:
        if (w->source && !w->mend)
            STORE_COUNT(r->backend.base.stats.unguarded, 1);
        return REDIS_DUE_NOW;
    case STAMP_FRESH:
        break;
    }
    return REDIS_DUE_NOW;
}

/* ---- how what was sent ends
 * ------------------------------------------------------------------------- */

static void forget_sent(struct redis *r)
{
    backend_stamp_nothing(&r->backend);
    redis_numbers_settle(&r->numbers, false);
}

/* Nothing of what was sent happened, and Redis can't serve. */
static void backend_refuses(struct redis *r)
{
    char text[256];
    forget_sent(r);
    snprintf(text, sizeof text, "BACKEND %.240s", r->trouble);
    STORE_COUNT(r->backend.base.stats.errors, 1);
    for (; r->backend.pos < r->backend.batch->n; r->backend.pos++)
        backend_settle_text(&r->backend, r->backend.pos, STORE_FAILED, text,
                            "; nothing was written");
    finish_batch(r);
    backend_conn_break(r->conn, r->trouble);
}

static void fenced(struct redis *r)
{
    uint64_t now = clock_mono_ms();
    r->quarrel = r->fenced_ms && now - r->fenced_ms < QUARREL_MS;
    r->fenced_ms = now;
    backend_conn_break(r->conn, FOREIGN_FENCE);
}

/* It counts as applied, also what only this Redis can't run (it has no such command, or its user
 * may not): all replicas get a write at once, and a client's slip would hold up everything. What
 * another Redis may have taken is counted and said. */
static void keep_refusal(struct redis *r, size_t i, struct slice reply)
{
    struct store_write *w = &r->backend.batch->writes[i];
    enum redis_inability why = redis_inability_of(redis_text(reply));
    if (r->backend.writes[i].kept)
        return; /* another command of the same clients' transaction */
    backend_settle(&r->backend, i, STORE_APPLIED,
                   transaction_is(w->spec) ? slice_str(ABORTED) : reply);
    r->backend.writes[i].kept = true;
    if (why == REDIS_ABLE || w->source == 0 || w->mend)
        return;
    STORE_COUNT(r->backend.base.stats.errors, 1);
    if (why == REDIS_FORBIDDEN)
        STORE_COUNT(r->backend.base.stats.forbidden, 1);
    log_limited(1000, LOG_LEVEL_ERROR,
                "a write of a peer has no effect here: the backend says %.*s", (int)reply.len - 2,
                (const char *)reply.ptr);
}

static void note_trouble(struct redis *r, enum redis_fault fault, struct slice reply)
{
    struct slice text = redis_text(reply);
    if (r->trouble[0] && fault <= r->fault)
        return;
    r->fault = fault;
    snprintf(r->trouble, sizeof r->trouble, "%.*s", (int)text.len, (const char *)text.ptr);
}

/* The next transaction may be sent when this is answered. */
static void on_watch(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return;
    if (resp_reply_is_error(*reply)) {
        struct slice text = redis_text(*reply);
        snprintf(r->trouble, sizeof r->trouble, "%.*s", (int)text.len, (const char *)text.ptr);
        backend_conn_break(r->conn, r->trouble);
        return;
    }
    r->armed = true;
    advance(r);
}

static void arm(struct redis *r)
{
    r->armed = false;
    redis_add_pair(r->conn, "WATCH", slice_str(REDIS_NUMBERS_KEY));
    backend_conn_expect(r->conn, 1, on_watch, r);
}

/* ---- a transaction
 * ---------------------------------------------------------------------------------- */

/* All of it has its reply. */
static void all_applied(struct redis *r)
{
    backend_stamp_replied(&r->backend, replied, r);
    redis_numbers_settle(&r->numbers, true);
}

static void transaction_applied(struct redis *r, struct slice exec)
{
    struct redis_array a;
    struct slice element;
    if (!redis_array_open(exec, &a) || a.left != r->nsent + r->has_numbers) {
        backend_conn_break(r->conn, "EXEC doesn't answer what was sent");
        return;
    }
    for (size_t k = 0; k < r->ntx;) {
        if (transaction_is(r->backend.batch->writes[r->tx[k].write].spec)) {
            k = redis_record_answered(r, k, &a);
        } else {
            (void)!redis_array_next(&a, &element);
            r->tx[k].reply_at = r->backend.batch->replies.len;
            backend_settle(&r->backend, r->tx[k++].write, STORE_APPLIED, element);
        }
    }
    all_applied(r);
    if (r->ntx && backend_is_flush(&r->backend.batch->writes[r->tx[0].write]))
        stamps_flush_done(r->backend.stamps);
    r->backend.pos = r->tx_end;
    advance(r);
}

static void transaction_refused(struct redis *r)
{
    if (r->bare || (r->trouble[0] && r->fault == REDIS_FAULT_COMMAND)) {
        backend_conn_break(r->conn, r->trouble); /* MULTI, HSET or EXEC: the numbers will tell */
        return;
    }
    if (r->trouble[0] && r->fault == REDIS_FAULT_STATE) {
        backend_refuses(r);
        return;
    }
    forget_sent(r);
    r->full = r->trouble[0] != 0;
    advance(r);
}

/* Whose word comes next. */
static size_t next_sent(struct redis *r)
{
    while (r->tx[r->answered].known)
        r->answered++;
    return r->answered++;
}

/* MULTI, the writes, HSET, EXEC: in this order. */
static void on_tx_reply(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return; /* on_lost follows */
    size_t at = r->got++;
    bool last = r->got == 2 + r->nsent + r->has_numbers, is_write = at > 0 && at <= r->nsent;
    size_t queued = is_write ? next_sent(r) : 0;
    if (last && redis_is_nil(*reply)) {
        fenced(r);
        return;
    }
    if (last && reply->ptr[0] == '*') {
        transaction_applied(r, *reply);
        return;
    }
    if (resp_reply_is_error(*reply)) {
        enum redis_fault fault = redis_fault_of(redis_text(*reply));
        r->bare |= at == 0;
        if (is_write && fault == REDIS_FAULT_COMMAND &&
            backend_is_flush(&r->backend.batch->writes[r->tx[0].write])) {
            r->no_flushall = r->any_kept = true;
        } else if (is_write && fault == REDIS_FAULT_COMMAND) {
            keep_refusal(r, r->tx[queued].write, *reply);
            r->any_kept = true;
        } else if (!last || !r->any_kept) {
            note_trouble(r, fault, *reply);
        }
    }
    if (last)
        transaction_refused(r);
}

void redis_queue(struct redis *r, size_t i, const char *known)
{
    if (r->ntx == r->tx_room) {
        r->tx_room = r->tx_room ? 2 * r->tx_room : 64;
        r->tx = mem_realloc(r->tx, r->tx_room * sizeof *r->tx);
    }
    r->tx[r->ntx++] = (struct redis_queued){.write = (uint32_t)i, .known = known};
    r->nsent += !known;
}

/* False: it must be in a transaction behind this one. */
static bool add_write(struct redis *r, size_t i, struct buf *out)
{
    const struct store_write *w = &r->backend.batch->writes[i];
    if (transaction_is(w->spec)) {
        redis_record_queue(r, i, out);
        return true;
    }
    if (r->ntx && !backend_can_intend(&r->backend, w))
        return false;
    backend_intend(&r->backend, w, redis_numbers_of(&r->numbers, w->source)->id_hash, r->ntx);
    backend_touch(&r->backend, w);
    redis_queue(r, i, NULL);
    resp_add_command(out, w->cmd->argv, w->cmd->argc);
    return true;
}

static void begin_sending(struct redis *r)
{
    r->ntx = r->nsent = r->answered = 0;
}

/* Puts the next writes of the batch into one transaction; `pos` stays before it until it is done.
 * False: there was nothing to send. */
static bool send_transaction(struct redis *r)
{
    struct store_batch *b = r->backend.batch;
    struct buf *out = backend_conn_out(r->conn);
    size_t before = out->len;
    if (redis_flush_is_due(r, r->backend.pos)) {
        redis_flush_send(r);
        return true;
    }
    begin_sending(r);
    r->got = 0;
    r->any_kept = r->bare = false;
    r->trouble[0] = 0;
    redis_add_word(r->conn, "MULTI");
    for (r->tx_end = r->backend.pos; r->tx_end < b->n; r->tx_end++) {
        size_t i = r->tx_end;
        backend_expect(&r->backend, i + BACKEND_AHEAD);
        if ((r->ntx && out->len - before > TX_BYTES) || redis_flush_is_due(r, i))
            break;
        enum redis_due due = judge_due(r, i);
        if (due == REDIS_DUE_NOT)
            continue;
        if (due == REDIS_DUE_LATER || !add_write(r, i, out))
            break;
        redis_numbers_move(&r->numbers, b->writes[i].source, b->writes[i].seq);
    }
    r->has_numbers = redis_numbers_encode(&r->numbers, out);
    if (r->nsent + r->has_numbers == 0) {
        out->len = before;
        r->backend.pos = r->tx_end;
        return false;
    }
    redis_add_word(r->conn, "EXEC");
    backend_conn_expect(r->conn, 2 + r->nsent + r->has_numbers, on_tx_reply, r);
    arm(r);
    backend_conn_flush(r->conn);
    return true;
}

void redis_tx_send_alone(struct redis *r, const struct resp_command *cmd)
{
    const struct store_write *w = &r->backend.batch->writes[r->backend.pos];
    r->got = 0;
    r->any_kept = r->bare = false;
    r->trouble[0] = 0;
    begin_sending(r);
    redis_queue(r, r->backend.pos, NULL);
    r->tx_end = r->backend.pos + 1;
    redis_numbers_move(&r->numbers, w->source, w->seq);
    redis_add_word(r->conn, "MULTI");
    resp_add_command(backend_conn_out(r->conn), cmd->argv, cmd->argc);
    redis_numbers_encode_all(&r->numbers, r->fence, backend_conn_out(r->conn));
    r->has_numbers = true;
    redis_add_word(r->conn, "EXEC");
    backend_conn_expect(r->conn, 4, on_tx_reply, r);
    arm(r);
    backend_conn_flush(r->conn);
}

/* ---- scripts, while Redis is full
 * --------------------------------------------------------------------- */

static void no_room(struct redis *r)
{
    STORE_COUNT(r->backend.base.stats.errors, 1);
    backend_settle_text(&r->backend, r->backend.pos, STORE_FULL, r->trouble, "");
    backend_stop_source(&r->backend, r->backend.pos);
    r->backend.pos++;
}

static void script_applied(struct redis *r, struct slice reply)
{
    if (r->script_cmd) {
        r->tx[0].reply_at = r->backend.batch->replies.len;
        backend_settle(&r->backend, r->backend.pos, STORE_APPLIED,
                       redis_script_reply(r->script_cmd, reply));
    }
    all_applied(r);
    if (r->script_cmd && backend_is_flush(&r->backend.batch->writes[r->backend.pos]))
        stamps_flush_done(r->backend.stamps);
    r->backend.pos++;
    advance(r);
}

void redis_tx_refused(struct redis *r, struct slice error)
{
    enum redis_fault fault = redis_fault_of(redis_text(error));
    r->trouble[0] = 0;
    if (redis_script_was_fenced(error)) {
        fenced(r);
    } else if (fault == REDIS_FAULT_STATE) {
        note_trouble(r, fault, error);
        backend_refuses(r);
    } else {
        keep_refusal(r, r->backend.pos, error);
        advance(r);
    }
}

static void on_script(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return;
    if (redis_script_was_fenced(*reply)) {
        fenced(r);
        return;
    }
    if (!resp_reply_is_error(*reply)) {
        script_applied(r, *reply);
        return;
    }
    struct slice text = redis_text(*reply);
    enum redis_fault fault = redis_fault_of(text);
    if (fault == REDIS_FAULT_STATE) {
        note_trouble(r, fault, *reply);
        backend_refuses(r);
    } else if (fault == REDIS_FAULT_FULL || !r->script_cmd || redis_error_is(text, "NOPERM")) {
        forget_sent(r);
        no_room(r); /* also when EVAL itself isn't allowed */
        advance(r);
    } else {
        forget_sent(r);
        keep_refusal(r, r->backend.pos, *reply); /* its number is moved by the next script */
        advance(r);
    }
}

static void on_unwatch(void *arg, const struct slice *reply)
{
    (void)arg;
    (void)reply; /* WATCH behind it tells */
}

/* What a script can't pass on: too much, or another script. */
static bool is_too_much(const struct store_write *w)
{
    return w->cmd->argc > REDIS_SCRIPT_ARGS_MAX || command_is_script(w->spec) ||
           transaction_is(w->spec) ||
           (w->spec->flags & COMMAND_RING && w->spec->class_ != COMMAND_OVERWRITE);
}

/* One write. False: there was nothing to send. */
static bool send_script(struct redis *r)
{
    size_t i = r->backend.pos;
    const struct store_write *w = &r->backend.batch->writes[i];
    bool flush = redis_flush_is_due(r, i);
    if (flush && redis_flush_goes_by_key(r, w)) {
        redis_flush_send(r);
        return true;
    }
    struct redis_number *number = w->seq ? redis_numbers_of(&r->numbers, w->source) : NULL;
    r->script_cmd = judge_due(r, i) == REDIS_DUE_NOW ? w->cmd : NULL;
    if (!r->script_cmd && (w->outcome == STORE_FAILED || !number)) {
        r->backend.pos++;
        return false;
    }
    if (r->script_cmd && is_too_much(w)) {
        no_room(r);
        return false;
    }
    if (r->script_cmd) {
        begin_sending(r);
        backend_intend(&r->backend, w, redis_numbers_of(&r->numbers, w->source)->id_hash, r->ntx);
        backend_touch(&r->backend, w);
        redis_queue(r, i, NULL);
        redis_numbers_move(&r->numbers, w->source, w->seq);
    }
    if (flush) {
        redis_flush_note(r, w);
        redis_script_add_flush(backend_conn_out(r->conn), r->fence, number, r->script_cmd);
    } else {
        redis_script_add(backend_conn_out(r->conn), r->fence, number, r->script_cmd);
    }
    backend_conn_expect(r->conn, 1, on_script, r);
    redis_add_word(r->conn, "UNWATCH"); /* the script has broken our own WATCH */
    backend_conn_expect(r->conn, 1, on_unwatch, r);
    arm(r);
    backend_conn_flush(r->conn);
    return true;
}

/* ---- the batch
 * -------------------------------------------------------------------------------------- */

static void advance(struct redis *r)
{
    while (r->backend.batch && backend_conn_ready(r->conn) && r->numbers_known && !r->walking) {
        if (r->backend.pos == r->backend.batch->n) {
            finish_batch(r);
            return;
        }
        if (!r->armed || (r->full ? send_script(r) : send_transaction(r)))
            return;
    }
}

void redis_tx_advance(struct redis *r)
{
    advance(r);
}

void redis_tx_give_back(struct redis *r)
{
    r->walking = false;
    if (!r->backend.batch)
        return;
    for (; r->backend.pos < r->backend.batch->n; r->backend.pos++)
        backend_settle(&r->backend, r->backend.pos, STORE_UNKNOWN, slice_of("", 0));
    finish_batch(r);
}

void redis_apply(struct store *s, struct store_batch *batch)
{
    struct redis *r = (struct redis *)(void *)s;
    for (size_t i = 0; i < batch->n; i++)
        if (batch->writes[i]
                .mend) /* else nobody would know after a break whether it has its stamp */
            batch->writes[i].seq = ++r->mends;
    backend_take(&r->backend, batch);
    advance(r);
}
