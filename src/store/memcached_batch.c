/* How a batch gets into memcached:
 *
 *   batch -> the writes that are due, each a meta command, one behind the other -> outcomes
 *
 * They are answered in order, and a write's number moves with its answer. What is on its way ends
 * before a write that must know the outcome of an earlier one, where the stamp table can note no
 * more, and after WINDOW_BYTES. */
#include "core/log.h"
#include "core/mem.h"
#include "store/memcached.h"
#include <string.h>

#define FLUSHED "+OK\r\n"

#define WINDOW_BYTES (8u * 1024 * 1024)

static void advance(struct memcached *m);

static void finish(struct memcached *m)
{
    m->events.done(m->events.arg, backend_finish(&m->backend, m->up));
}

/* All writes from here to there are dealt with, and so are those before. */
static void move_numbers(struct memcached *m, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct store_write *w = &m->backend.batch->writes[i];
        memcached_numbers_move(&m->numbers, w->source, w->seq);
    }
}

/* ---- what memcached needn't be asked -------------------------------------------------------- */

enum due { DUE_NOW, DUE_NOT /* settled */, DUE_LATER };

static enum due judge_due(struct memcached *m, size_t i)
{
    struct backend *b = &m->backend;
    const struct store_write *w = &b->batch->writes[i];
    if (w->skip) {
        /* it was given before, and won't be again: a command that only one store may run */
        if (memcached_numbers_is_open(&m->numbers, w->source, w->seq))
            STORE_COUNT(b->base.stats.ambiguous, 1);
        backend_settle(b, i, STORE_APPLIED, slice_of("", 0));
        return DUE_NOT;
    }
    if (command_class_of(w->spec, w->cmd) == COMMAND_READ)
        return DUE_NOW;
    switch (backend_judge(b, w)) {
    case STAMP_PENDING:
        return DUE_LATER;
    case STAMP_OLDER:
        backend_settle(b, i, STORE_STALE,
                       slice_str(backend_is_flush(w) ? FLUSHED : memcache_stale_reply(w->cmd)));
        return DUE_NOT;
    case STAMP_UNKNOWN:
        if (w->source && !w->mend)
            STORE_COUNT(b->base.stats.unguarded, 1);
        return DUE_NOW;
    case STAMP_FRESH:
        break;
    }
    return DUE_NOW;
}

/* memcached tells older items from newer ones exactly, but knows nothing of stamps: of a flush that
 * comes late, as a hint, what is newer than it is evicted with the rest. */
static void flush(struct memcached *m, const struct store_write *w, struct buf *out)
{
    stamps_flush(m->backend.stamps, (struct stamp){.stamp = w->stamp, .tag = w->tag});
    touched_write_all(m->backend.touched, m->backend.batches);
    m->flushes = true;
    buf_add_str(out, "flush_all\r\n");
}

/* Appends it. False: memcached would take it for something else; it is settled. */
static bool encode(struct memcached *m, size_t i, struct buf *out)
{
    struct error e;
    if (backend_is_flush(&m->backend.batch->writes[i])) {
        flush(m, &m->backend.batch->writes[i], out);
        return true;
    }
    if (memcached_encode(m->backend.batch->writes[i].cmd, memcached_mark(m), out, &e))
        return true;
    backend_settle_text(&m->backend, i, STORE_APPLIED, e.text, "");
    return false;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* What memcached couldn't store isn't there, as if it had been evicted at once. */
static void note_refusal(struct memcached *m, struct slice reply)
{
    struct slice line = memcached_line(reply);
    if (line.len == 0 || line.ptr[0] != 'S') /* CLIENT_ERROR is the command's */
        return;
    STORE_COUNT(m->backend.base.stats.errors, 1);
    log_limited(1000, LOG_LEVEL_WARN, "a write isn't in the backend, which says %.*s",
                (int)line.len, (const char *)line.ptr);
}

static bool replied(void *arg, size_t i)
{
    const struct backend *b = &((const struct memcached *)arg)->backend;
    return buf_head(&b->batch->replies)[b->writes[i].reply_at] != '-';
}

static void on_answer(void *arg, const struct slice *reply)
{
    struct memcached *m = arg;
    if (!reply)
        return; /* on_lost follows */
    size_t i = m->sent[m->got++];
    buf_reset(&m->reply, 0);
    if (backend_is_flush(&m->backend.batch->writes[i]) && slice_eq(*reply, slice_str("OK\r\n")))
        buf_add_str(&m->reply, FLUSHED);
    else
        memcached_decode(*reply, memcached_mark(m), &m->reply);
    if (memcached_is_error(*reply))
        note_refusal(m, *reply);
    backend_settle(&m->backend, i, STORE_APPLIED, buf_slice(&m->reply));
    m->backend.pos = m->got < m->nsent ? m->sent[m->got] : m->upto;
    move_numbers(m, i, m->backend.pos);
    if (m->got < m->nsent)
        return;
    backend_stamp_replied(&m->backend, replied, m);
    if (m->flushes)
        stamps_flush_done(m->backend.stamps);
    m->flushes = false;
    advance(m);
}

/* ---- going out ------------------------------------------------------------------------------ */

/* A source's, 0 where it has no number. */
static uint64_t source_hash(struct memcached *m, const struct store_write *w)
{
    return w->seq ? memcached_numbers_of(&m->numbers, w->source)->hash : 0;
}

static void expect_answer(struct memcached *m, size_t i)
{
    const struct store_write *w = &m->backend.batch->writes[i];
    if (memcached_numbers_give(&m->numbers, w->source, w->seq))
        STORE_COUNT(m->backend.base.stats.ambiguous, 1);
    m->sent[m->nsent++] = (uint32_t)i;
}

/* The next writes of the batch; `pos` stays before the first that isn't answered. False: there was
 * nothing to send. */
static bool send_some(struct memcached *m)
{
    struct backend *b = &m->backend;
    struct buf *out = backend_conn_out(m->conn);
    size_t before = out->len;
    m->nsent = m->got = 0;
    for (m->upto = b->pos; m->upto < b->batch->n && out->len - before < WINDOW_BYTES; m->upto++) {
        size_t i = m->upto;
        const struct store_write *w = &b->batch->writes[i];
        backend_expect(b, i + BACKEND_AHEAD);
        enum due due = judge_due(m, i);
        if (due == DUE_LATER || (due == DUE_NOW && !backend_can_intend(b, w)))
            break;
        if (due == DUE_NOW && encode(m, i, out)) {
            backend_intend(b, w, source_hash(m, w), i);
            backend_touch(b, w);
            expect_answer(m, i);
        }
    }
    size_t settled = m->nsent ? m->sent[0] : m->upto; /* in front of all that has gone out */
    move_numbers(m, b->pos, settled);
    b->pos = settled;
    if (m->nsent == 0)
        return false;
    backend_conn_expect(m->conn, m->nsent, on_answer, m);
    backend_conn_flush(m->conn);
    return true;
}

/* ---- the batch ------------------------------------------------------------------------------ */

static void advance(struct memcached *m)
{
    while (m->backend.batch && m->up) {
        if (m->backend.pos == m->backend.batch->n) {
            finish(m);
            return;
        }
        if (send_some(m))
            return;
    }
}

void memcached_give_back(struct memcached *m)
{
    struct backend *b = &m->backend;
    if (!b->batch)
        return;
    for (; b->pos < b->batch->n; b->pos++)
        backend_settle(b, b->pos, STORE_UNKNOWN, slice_of("", 0));
    finish(m);
}

void memcached_apply(struct store *s, struct store_batch *batch)
{
    struct memcached *m = memcached_of(s);
    backend_take(&m->backend, batch);
    if (m->sent_room < batch->n) {
        m->sent_room = batch->n;
        m->sent = mem_realloc(m->sent, m->sent_room * sizeof *m->sent);
    }
    for (size_t i = 0; i < batch->n; i++)
        if (batch->writes[i].mend)
            batch->writes[i].seq = ++m->mends;
    advance(m);
}
