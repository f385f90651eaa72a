#include "store/backend.h"
#include "core/clock.h"
#include "core/mem.h"
#include <stdio.h>
#include <string.h>

/* ---- opening -------------------------------------------------------------------------------- */

static char *keep_text(struct backend *b, size_t i, const char *text)
{
    return b->texts[i] = text ? mem_strdup(text) : NULL;
}

bool backend_init(struct backend *b, const struct store_ops *ops,
                  const struct backend_protocol *protocol, const struct store_options *o,
                  struct error *e)
{
    char *path = mem_printf("%s/stamps", o->data_dir);
    store_base_init(&b->base, ops);
    b->base.alone = o->alone;
    b->address = (struct backend_address){.host = keep_text(b, 0, o->host),
                                          .unix_path = keep_text(b, 1, o->unix_path),
                                          .port = o->port,
                                          .user = keep_text(b, 2, o->user),
                                          .password = keep_text(b, 3, o->password),
                                          .timeout_ms = o->timeout_ms,
                                          .company_timeout_ms = o->company_timeout_ms,
                                          .alone = &b->base.alone};
    b->self_id = keep_text(b, 4, o->self_id);
    b->touched = touched_new(o->clock_floor);
    b->newest = o->clock_floor;
    if (backend_probe(protocol, &b->address, e))
        b->stamps = stamps_open(path, o->stamp_table_bytes, clock_wall_ms(), e);
    mem_free(path);
    return b->stamps != NULL;
}

void backend_fini(struct backend *b)
{
    store_base_fini(&b->base);
    stamps_close(b->stamps);
    touched_free(b->touched);
    mem_free(b->writes);
    buf_fini(&b->unnoted);
    for (size_t i = 0; i < ARRAY_LEN(b->texts); i++)
        mem_free(b->texts[i]);
}

static struct backend *backend_of(struct store *s)
{
    return (struct backend *)(void *)s;
}

/* What it wrote while it was alone has no stamps. */
void backend_gets_company(struct store *s)
{
    touched_raise(backend_of(s)->touched, (clock_wall_ms() + HLC_AHEAD_MAX_MS) << 16);
}

void backend_forget_below(struct store *s, uint64_t stamp)
{
    struct backend *b = backend_of(s);
    stamps_forget(b->stamps, stamp);
    STORE_SHOW(s->stats.stamps, stamps_count(b->stamps));
}

void backend_note_overwrite(struct store *s, struct slice key, uint64_t stamp, uint16_t tag)
{
    stamps_note(backend_of(s)->stamps, stamps_hash(key),
                (struct stamp){.stamp = stamp, .tag = tag});
}

/* ---- the batch ------------------------------------------------------------------------------ */

void backend_take(struct backend *b, struct store_batch *batch)
{
    if (b->room < batch->n) {
        b->room = batch->n;
        b->writes = mem_realloc(b->writes, b->room * sizeof *b->writes);
    }
    memset(b->writes, 0, batch->n * sizeof *b->writes);
    buf_reset(&b->unnoted, 0);
    b->batches++;
    b->batch = batch;
    b->pos = 0;
}

/* The buffer moves as it grows: until the end each write keeps its offset. */
struct store_batch *backend_finish(struct backend *b, bool stamps_known)
{
    struct store_batch *batch = b->batch;
    const uint8_t *base = buf_head(&batch->replies);
    for (size_t i = 0; i < batch->n; i++) {
        batch->writes[i].reply.ptr = base + b->writes[i].reply_at;
        if (batch->writes[i].outcome == STORE_STALE)
            STORE_COUNT(b->base.stats.stale_dropped, 1);
    }
    if (stamps_known)
        backend_stamps_settled(b);
    b->batch = NULL;
    memset(b->stopped, 0, sizeof b->stopped);
    return batch;
}

void backend_settle(struct backend *b, size_t i, enum store_outcome outcome, struct slice reply)
{
    struct store_write *w = &b->batch->writes[i];
    w->outcome = outcome;
    b->writes[i].reply_at = b->batch->replies.len;
    w->reply.len = reply.len;
    buf_add(&b->batch->replies, reply.ptr, reply.len);
}

void backend_settle_text(struct backend *b, size_t i, enum store_outcome outcome, const char *text,
                         const char *second_half)
{
    struct buf reply = BUF_INIT;
    resp_add_error(&reply, "%s%s", text, second_half);
    backend_settle(b, i, outcome, buf_slice(&reply));
    buf_fini(&reply);
}

void backend_stop_source(struct backend *b, size_t i)
{
    unsigned source = b->batch->writes[i].source;
    if (!b->stopped[source])
        b->stopped[source] = (uint32_t)i + 1;
}

bool backend_is_stopped(const struct backend *b, size_t i)
{
    uint32_t at = b->stopped[b->batch->writes[i].source];
    return at && i >= at;
}

/* ---- stamps --------------------------------------------------------------------------------- */

static size_t written_keys(const struct store_write *w, size_t *keys)
{
    enum command_class c = command_class_of(w->spec, w->cmd);
    size_t n = c == COMMAND_OVERWRITE ? command_overwritten(w->spec, w->cmd, keys, BACKEND_KEYS_MAX)
                                      : command_keys(w->spec, w->cmd, keys, BACKEND_KEYS_MAX);
    return n < BACKEND_KEYS_MAX ? n : BACKEND_KEYS_MAX;
}

/* Has anything touched its key that the copy doesn't know of? */
static enum stamp_verdict judge_mend(struct backend *b, const struct store_write *w)
{
    uint64_t hash = stamps_hash(w->cmd->argv[1]);
    struct stamp upto = {.stamp = w->mend->upto.time, .tag = w->mend->upto.tag};
    enum stamp_verdict v = stamps_judge(b->stamps, hash, upto);
    if (v == STAMP_OLDER || v == STAMP_PENDING)
        return v;
    uint64_t changed = touched_changed(b->touched, hash); /* whose tag isn't known */
    bool newer = changed > upto.stamp || (changed == upto.stamp && upto.tag < UINT16_MAX);
    return newer ? STAMP_OLDER : STAMP_FRESH;
}

enum stamp_verdict backend_judge(struct backend *b, const struct store_write *w)
{
    struct stamp s = {.stamp = w->stamp, .tag = w->tag};
    if (backend_is_flush(w))
        return stamps_is_flushed_later(b->stamps, s) ? STAMP_OLDER : STAMP_FRESH;
    if (w->mend)
        return judge_mend(b, w);
    size_t keys[BACKEND_KEYS_MAX], n = written_keys(w, keys);
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        enum stamp_verdict v = stamps_judge(b->stamps, stamps_hash(w->cmd->argv[keys[i]]), s);
        if (v == STAMP_OLDER || v == STAMP_PENDING)
            return v;
        unknown |= v == STAMP_UNKNOWN;
    }
    return unknown ? STAMP_UNKNOWN : STAMP_FRESH;
}

void backend_expect(struct backend *b, size_t i)
{
    size_t key;
    if (i >= b->batch->n || b->batch->writes[i].skip)
        return;
    const struct store_write *w = &b->batch->writes[i];
    if (command_keys(w->spec, w->cmd, &key, 1))
        stamps_expect(b->stamps, stamps_hash(w->cmd->argv[key]));
}

bool backend_can_intend(const struct backend *b, const struct store_write *w)
{
    size_t none, room = stamps_room(b->stamps);
    return room >= BACKEND_KEYS_MAX || room >= command_overwritten(w->spec, w->cmd, &none, 0);
}

static void intend_key(struct backend *b, const struct stamp_intent *in)
{
    struct backend_unnoted left = {
        .hash = in->hash, .stamp = {.stamp = in->stamp, .tag = in->tag}, .mark = in->mark};
    if (stamps_intend(b->stamps, in))
        return;
    stamps_give_up(b->stamps, in->stamp);
    buf_add(&b->unnoted, &left, sizeof left);
}

void backend_intend(struct backend *b, const struct store_write *w, uint64_t id_hash, size_t mark)
{
    size_t few[BACKEND_KEYS_MAX], *keys = few;
    size_t n = w->stamp ? command_overwritten(w->spec, w->cmd, few, BACKEND_KEYS_MAX) : 0;
    if (n > BACKEND_KEYS_MAX) {
        keys = mem_alloc(n * sizeof *keys);
        (void)command_overwritten(w->spec, w->cmd, keys, n);
    }
    for (size_t k = 0; k < n; k++)
        intend_key(b, &(struct stamp_intent){.hash = stamps_hash(w->cmd->argv[keys[k]]),
                                             .stamp = w->stamp,
                                             .tag = w->tag,
                                             .seq = w->seq,
                                             .source = id_hash,
                                             .mark = (uint32_t)mark});
    if (keys != few)
        mem_free(keys);
}

void backend_touch(struct backend *b, const struct store_write *w)
{
    size_t few[BACKEND_KEYS_MAX], *keys = few, n;
    enum command_class class_ = command_class_of(w->spec, w->cmd);
    bool changes = class_ != COMMAND_OVERWRITE;
    uint64_t newest = w->mend ? w->mend->upto.time : w->stamp;
    b->newest = newest > b->newest ? newest : b->newest;
    if (store_is_alone(&b->base) || class_ == COMMAND_READ)
        return;
    n = changes ? command_keys(w->spec, w->cmd, few, BACKEND_KEYS_MAX)
                : command_overwritten(w->spec, w->cmd, few, BACKEND_KEYS_MAX);
    if (n > BACKEND_KEYS_MAX) {
        keys = mem_alloc(n * sizeof *keys);
        (void)(changes ? command_keys(w->spec, w->cmd, keys, n)
                       : command_overwritten(w->spec, w->cmd, keys, n));
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = stamps_hash(w->cmd->argv[keys[i]]);
        touched_write(b->touched, hash, b->batches);
        if (changes)
            touched_change(b->touched, hash, w->stamp);
        else if (w->mend && w->mend->upto.time != w->stamp) /* the copy may hold changes */
            touched_change(b->touched, hash, w->mend->upto.time);
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

struct asking {
    bool (*replied)(void *arg, size_t mark);
    void *arg;
};

static bool by_reply(void *arg, const struct stamp_intent *in)
{
    const struct asking *a = arg;
    return a->replied(a->arg, in->mark);
}

void backend_stamp_replied(struct backend *b, bool (*replied)(void *arg, size_t mark), void *arg)
{
    struct asking a = {replied, arg};
    struct backend_unnoted u;
    stamps_settle(b->stamps, by_reply, &a);
    for (; b->unnoted.len; buf_eat(&b->unnoted, sizeof u)) {
        memcpy(&u, buf_head(&b->unnoted), sizeof u);
        if (replied(arg, u.mark))
            stamps_note(b->stamps, u.hash, u.stamp);
    }
}

void backend_stamp_nothing(struct backend *b)
{
    stamps_settle(b->stamps, never, b);
    buf_reset(&b->unnoted, 0);
}

void backend_label_copy(const struct backend *b, uint64_t hash, struct stamp label,
                        uint64_t settled, struct store_copy *out)
{
    uint64_t changed = touched_changed(b->touched, hash);
    out->forgotten = stamps_floor(b->stamps);
    out->overwrite = (struct store_stamp){label.stamp, label.tag};
    out->newest = out->overwrite;
    if (!label.stamp && out->forgotten > out->newest.time)
        out->newest = (struct store_stamp){out->forgotten, UINT16_MAX};
    if (changed && changed >= out->newest.time)
        out->newest = (struct store_stamp){changed, UINT16_MAX};
    if (touched_batch(b->touched, hash) > settled)
        out->newest = (struct store_stamp){UINT64_MAX, UINT16_MAX};
}
