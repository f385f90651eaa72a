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
#include <string.h>

/* Bytes after which a transaction ends: Redis keeps it whole until EXEC, within its
 * client-query-buffer-limit (1 GB). */
#define TX_BYTES (64u * 1024 * 1024)

#define AHEAD 8 /* writes whose stamps are on their way from memory */

#define KEYS_MAX 64 /* keys of one command that are judged; commands of many keys come split */

#define QUARREL_MS 10000 /* foreign fences closer than this come from somebody who lives */

#define FOREIGN_FENCE                                                                              \
    "another connection has changed this server's numbers in the backend: is a second dynomited "  \
    "on it?"

/* ---- outcomes
 * ------------------------------------------------------------------------------------- */

/* Replies are put into the batch's buffer, which moves as it grows: until the end each write keeps
 * its offset; see finish_batch. */
static void settle_write(struct redis *r, size_t i, enum store_outcome outcome, struct slice reply)
{
    struct store_write *w = &r->batch->writes[i];
    w->outcome = outcome;
    r->writes[i].reply_at = r->batch->replies.len;
    w->reply.len = reply.len;
    buf_add(&r->batch->replies, reply.ptr, reply.len);
}

static void settle_text(struct redis *r, size_t i, enum store_outcome outcome, const char *text,
                        const char *second_half)
{
    struct buf b = BUF_INIT;
    resp_add_error(&b, "%s%s", text, second_half);
    settle_write(r, i, outcome, buf_slice(&b));
    buf_fini(&b);
}

static void advance(struct redis *r);

static void finish_batch(struct redis *r)
{
    struct store_batch *b = r->batch;
    const uint8_t *base = buf_head(&b->replies);
    for (size_t i = 0; i < b->n; i++) {
        b->writes[i].reply.ptr = base + r->writes[i].reply_at;
        if (b->writes[i].outcome == STORE_STALE)
            STORE_COUNT(r->base.stats.stale_dropped, 1);
    }
    if (r->numbers_known) /* else the next greeting tells which of its overwrites there are */
        redis_stamps_settled(r);
    r->batch = NULL;
    r->full = false;
    memset(r->stopped, 0, sizeof r->stopped);
    r->events.done(r->events.arg, b);
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

/* Has anything touched its key that the copy doesn't know of? */
static enum stamp_verdict judge_mend(struct redis *r, const struct store_write *w)
{
    uint64_t hash = stamps_hash(w->cmd->argv[1]);
    struct stamp upto = {.stamp = w->mend->upto.time, .tag = w->mend->upto.tag};
    enum stamp_verdict v = stamps_judge(r->stamps, hash, upto);
    if (v == STAMP_OLDER || v == STAMP_PENDING)
        return v;
    uint64_t changed = touched_changed(r->touched, hash); /* whose tag isn't known */
    bool newer = changed > upto.stamp || (changed == upto.stamp && upto.tag < UINT16_MAX);
    return newer ? STAMP_OLDER : STAMP_FRESH;
}

static enum stamp_verdict judge(struct redis *r, const struct store_write *w)
{
    if (w->mend)
        return judge_mend(r, w);
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

/* The judgement of a write waits for memory, unless it was begun some writes before. */
static void expect(struct redis *r, size_t i)
{
    size_t key;
    if (i >= r->batch->n || r->batch->writes[i].skip)
        return;
    const struct store_write *w = &r->batch->writes[i];
    if (command_keys(w->spec, w->cmd, &key, 1))
        stamps_expect(r->stamps, stamps_hash(w->cmd->argv[key]));
}

/* Notes what it overwrites. False: no room; the transaction must end before it. */
static bool intend(struct redis *r, size_t i)
{
    const struct store_write *w = &r->batch->writes[i];
    size_t keys[KEYS_MAX];
    if (command_class_of(w->spec, w->cmd) != COMMAND_OVERWRITE || w->stamp == 0)
        return true;
    size_t n = command_overwritten(w->spec, w->cmd, keys, KEYS_MAX);
    n = n < KEYS_MAX ? n : KEYS_MAX;
    if (stamps_room(r->stamps) < n)
        return false; /* all or nothing: an intent must have its write in the transaction */
    for (size_t k = 0; k < n; k++) {
        struct stamp_intent in = {.hash = stamps_hash(w->cmd->argv[keys[k]]),
                                  .stamp = w->stamp,
                                  .tag = w->tag,
                                  .seq = w->seq,
                                  .source = redis_numbers_of(&r->numbers, w->source)->id_hash,
                                  .mark = (uint32_t)i};
        (void)!stamps_intend(r->stamps, &in);
    }
    return true;
}

/* Before it goes out. */
static void touch(struct redis *r, const struct store_write *w)
{
    size_t few[KEYS_MAX], *keys = few, n;
    bool changes = command_class_of(w->spec, w->cmd) != COMMAND_OVERWRITE;
    if (store_is_alone(&r->base) || w->spec->class_ == COMMAND_READ)
        return;
    n = changes ? command_keys(w->spec, w->cmd, few, KEYS_MAX)
                : command_overwritten(w->spec, w->cmd, few, KEYS_MAX);
    if (n > KEYS_MAX) {
        keys = mem_alloc(n * sizeof *keys);
        (void)(changes ? command_keys(w->spec, w->cmd, keys, n)
                       : command_overwritten(w->spec, w->cmd, keys, n));
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = stamps_hash(w->cmd->argv[keys[i]]);
        touched_write(r->touched, hash, r->batches);
        if (changes)
            touched_change(r->touched, hash, w->stamp);
        else if (w->mend && w->mend->upto.time != w->stamp) /* the copy may hold changes */
            touched_change(r->touched, hash, w->mend->upto.time);
    }
    if (keys != few)
        mem_free(keys);
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
    const uint8_t *reply = buf_head(&r->batch->replies) + r->writes[in->mark].reply_at;
    return *reply != '-';
}

/* ---- what needs no answer of Redis
 * ------------------------------------------------------------------ */

/* What a source sends keeps its order. */
static void stop_source(struct redis *r, size_t i)
{
    unsigned source = r->batch->writes[i].source;
    if (!r->stopped[source])
        r->stopped[source] = (uint32_t)i + 1;
}

static bool is_stopped(const struct redis *r, size_t i)
{
    uint32_t at = r->stopped[r->batch->writes[i].source];
    return at && i >= at;
}

enum due { DUE_NOW, DUE_NOT /* settled; at most its number moves */, DUE_LATER };

/* Skips, stale writes, those refused when they were queued, and what follows a refusal of the same
 * source. */
static enum due judge_due(struct redis *r, size_t i)
{
    struct store_write *w = &r->batch->writes[i];
    if (is_stopped(r, i)) {
        settle_text(r, i, STORE_FAILED, "BACKEND an earlier write of this node failed", "");
        return DUE_NOT;
    }
    if (r->writes[i].kept || w->skip) {
        if (!r->writes[i].kept)
            settle_write(r, i, STORE_APPLIED, slice_of("", 0));
        if (w->outcome == STORE_APPLIED)
            redis_numbers_move(&r->numbers, w->source, w->seq);
        return DUE_NOT;
    }
    if (w->spec->class_ == COMMAND_READ)
        return DUE_NOW;
    switch (judge(r, w)) {
    case STAMP_PENDING:
        return DUE_LATER;
    case STAMP_OLDER: {
        const char *blind = command_blind_reply(w->spec, w->cmd);
        settle_write(r, i, STORE_STALE, slice_str(blind ? blind : ":0\r\n"));
        redis_numbers_move(&r->numbers, w->source, w->seq);
        return DUE_NOT;
    }
    case STAMP_UNKNOWN:
        if (w->source && !w->mend)
            STORE_COUNT(r->base.stats.unguarded, 1);
        return DUE_NOW;
    case STAMP_FRESH:
        break;
    }
    return DUE_NOW;
}

/* ---- how what was sent ends
 * ------------------------------------------------------------------------- */

static void forget_sent(struct redis *r)
{
    stamps_settle(r->stamps, never, r);
    redis_numbers_settle(&r->numbers, false);
}

/* Nothing of what was sent happened, and Redis can't serve. */
static void backend_refuses(struct redis *r)
{
    char text[256];
    forget_sent(r);
    snprintf(text, sizeof text, "BACKEND %.240s", r->trouble);
    STORE_COUNT(r->base.stats.errors, 1);
    for (; r->pos < r->batch->n; r->pos++)
        settle_text(r, r->pos, STORE_FAILED, text, "; nothing was written");
    finish_batch(r);
    redis_conn_break(r->conn, r->trouble);
}

static void fenced(struct redis *r)
{
    uint64_t now = clock_mono_ms();
    r->quarrel = r->fenced_ms && now - r->fenced_ms < QUARREL_MS;
    r->fenced_ms = now;
    redis_conn_break(r->conn, FOREIGN_FENCE);
}

/* It counts as applied, also what only this Redis can't run (it has no such command, or its user
 * may not): all replicas get a write at once, and a client's slip would hold up everything. What
 * another Redis may have taken is counted and said. */
static void keep_refusal(struct redis *r, size_t i, struct slice reply)
{
    struct store_write *w = &r->batch->writes[i];
    enum redis_inability why = redis_inability_of(redis_text(reply));
    settle_write(r, i, STORE_APPLIED, reply);
    r->writes[i].kept = true;
    if (why == REDIS_ABLE || w->source == 0 || w->mend)
        return;
    STORE_COUNT(r->base.stats.errors, 1);
    if (why == REDIS_FORBIDDEN)
        STORE_COUNT(r->base.stats.forbidden, 1);
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
        redis_conn_break(r->conn, r->trouble);
        return;
    }
    r->armed = true;
    advance(r);
}

static void arm(struct redis *r)
{
    r->armed = false;
    redis_add_pair(r->conn, "WATCH", slice_str(REDIS_NUMBERS_KEY));
    redis_conn_expect(r->conn, 1, on_watch, r);
}

/* ---- a transaction
 * ---------------------------------------------------------------------------------- */

static void transaction_applied(struct redis *r, struct slice exec)
{
    struct redis_array a;
    struct slice element;
    if (!redis_array_open(exec, &a) || a.left != r->ntx + r->has_numbers) {
        redis_conn_break(r->conn, "EXEC doesn't answer what was sent");
        return;
    }
    for (size_t i = 0; i < r->ntx && redis_array_next(&a, &element); i++)
        settle_write(r, r->tx[i], STORE_APPLIED, element);
    stamps_settle(r->stamps, by_reply, r);
    redis_numbers_settle(&r->numbers, true);
    r->pos = r->tx_end;
    advance(r);
}

static void transaction_refused(struct redis *r)
{
    if (r->bare || (r->trouble[0] && r->fault == REDIS_FAULT_COMMAND)) {
        redis_conn_break(r->conn, r->trouble); /* MULTI, HSET or EXEC: the numbers will tell */
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

/* MULTI, the writes, HSET, EXEC: in this order. */
static void on_tx_reply(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return; /* on_lost follows */
    size_t at = r->got++;
    bool last = r->got == 2 + r->ntx + r->has_numbers, is_write = at > 0 && at <= r->ntx;
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
        if (is_write && fault == REDIS_FAULT_COMMAND) {
            keep_refusal(r, r->tx[at - 1], *reply);
            r->any_kept = true;
        } else if (!last || !r->any_kept) {
            note_trouble(r, fault, *reply);
        }
    }
    if (last)
        transaction_refused(r);
}

/* Puts the next writes of the batch into one transaction; `pos` stays before it until it is done.
 * False: there was nothing to send. */
static bool send_transaction(struct redis *r)
{
    struct store_batch *b = r->batch;
    struct buf *out = redis_conn_out(r->conn);
    size_t before = out->len;
    r->ntx = r->got = 0;
    r->any_kept = r->bare = false;
    r->trouble[0] = 0;
    redis_add_word(r->conn, "MULTI");
    for (r->tx_end = r->pos; r->tx_end < b->n; r->tx_end++) {
        size_t i = r->tx_end;
        expect(r, i + AHEAD);
        if (r->ntx && out->len - before > TX_BYTES)
            break;
        enum due due = judge_due(r, i);
        if (due == DUE_NOT)
            continue;
        if (due == DUE_LATER || !intend(r, i))
            break;
        touch(r, &b->writes[i]);
        r->tx[r->ntx++] = (uint32_t)i;
        resp_add_command(out, b->writes[i].cmd->argv, b->writes[i].cmd->argc);
        redis_numbers_move(&r->numbers, b->writes[i].source, b->writes[i].seq);
    }
    r->has_numbers = redis_numbers_encode(&r->numbers, out);
    if (r->ntx + r->has_numbers == 0) {
        out->len = before;
        r->pos = r->tx_end;
        return false;
    }
    redis_add_word(r->conn, "EXEC");
    redis_conn_expect(r->conn, 2 + r->ntx + r->has_numbers, on_tx_reply, r);
    arm(r);
    redis_conn_flush(r->conn);
    return true;
}

/* ---- scripts, while Redis is full
 * --------------------------------------------------------------------- */

static void no_room(struct redis *r)
{
    STORE_COUNT(r->base.stats.errors, 1);
    settle_text(r, r->pos, STORE_FULL, r->trouble, "");
    stop_source(r, r->pos);
    r->pos++;
}

static void script_applied(struct redis *r, struct slice reply)
{
    if (r->script_cmd)
        settle_write(r, r->pos, STORE_APPLIED, redis_script_reply(r->script_cmd, reply));
    stamps_settle(r->stamps, by_reply, r);
    redis_numbers_settle(&r->numbers, true);
    r->pos++;
    advance(r);
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
        keep_refusal(r, r->pos, *reply); /* its number is moved by the next script */
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
    return w->cmd->argc > REDIS_SCRIPT_ARGS_MAX || command_is_script(w->spec);
}

/* One write. False: there was nothing to send. */
static bool send_script(struct redis *r)
{
    size_t i = r->pos;
    const struct store_write *w = &r->batch->writes[i];
    struct redis_number *number = w->seq ? redis_numbers_of(&r->numbers, w->source) : NULL;
    r->script_cmd = judge_due(r, i) == DUE_NOW ? w->cmd : NULL;
    if (!r->script_cmd && (w->outcome == STORE_FAILED || !number)) {
        r->pos++;
        return false;
    }
    if (r->script_cmd && is_too_much(w)) {
        no_room(r);
        return false;
    }
    if (r->script_cmd) {
        (void)!intend(r, i); /* nothing else is noted: there is room */
        touch(r, w);
        redis_numbers_move(&r->numbers, w->source, w->seq);
    }
    redis_script_add(redis_conn_out(r->conn), r->fence, number, r->script_cmd);
    redis_conn_expect(r->conn, 1, on_script, r);
    redis_add_word(r->conn, "UNWATCH"); /* the script has broken our own WATCH */
    redis_conn_expect(r->conn, 1, on_unwatch, r);
    arm(r);
    redis_conn_flush(r->conn);
    return true;
}

/* ---- the batch
 * -------------------------------------------------------------------------------------- */

static void advance(struct redis *r)
{
    while (r->batch && redis_conn_ready(r->conn) && r->numbers_known) {
        if (r->pos == r->batch->n) {
            finish_batch(r);
            return;
        }
        if (!r->armed || (r->full ? send_script(r) : send_transaction(r)))
            return;
    }
}

void redis_tx_give_back(struct redis *r)
{
    if (!r->batch)
        return;
    for (; r->pos < r->batch->n; r->pos++)
        settle_write(r, r->pos, STORE_UNKNOWN, slice_of("", 0));
    finish_batch(r);
}

void redis_apply(struct store *s, struct store_batch *batch)
{
    struct redis *r = (struct redis *)(void *)s;
    if (r->room < batch->n) {
        r->room = batch->n;
        r->tx = mem_realloc(r->tx, r->room * sizeof *r->tx);
        r->writes = mem_realloc(r->writes, r->room * sizeof *r->writes);
    }
    memset(r->writes, 0, batch->n * sizeof *r->writes);
    for (size_t i = 0; i < batch->n; i++)
        if (batch->writes[i]
                .mend) /* else nobody would know after a break whether it has its stamp */
            batch->writes[i].seq = ++r->mends;
    r->batches++;
    r->batch = batch;
    r->pos = 0;
    advance(r);
}
