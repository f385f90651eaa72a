#include "store/store.h"
#include "core/mem.h"
#include "store/internal.h"
#include <stdio.h>
#include <xxhash.h>

static void reason_free(struct rcu_head *head)
{
    mem_free(container_of_(head, struct store_reason, rcu));
}

static void reason_publish(struct store *s, struct store_reason *fresh)
{
    struct store_reason *old = RCU_SWAP(s->down, fresh);
    if (old)
        rcu_defer(&old->rcu, reason_free);
}

void store_set_up(struct store *s)
{
    reason_publish(s, NULL);
}

void store_set_down(struct store *s, const char *reason)
{
    struct store_reason *r = MEM_NEW(struct store_reason);
    snprintf(r->text, sizeof r->text, "%s", reason);
    reason_publish(s, r);
}

void store_base_init(struct store *s, const struct store_ops *ops)
{
    s->ops = ops;
    store_set_down(s, "starting");
}

void store_base_fini(struct store *s)
{
    reason_publish(s, NULL);
}

bool store_is_up(const struct store *s)
{
    return RCU_GET(s->down) == NULL;
}

void store_why_down(const struct store *s, char *out, size_t n)
{
    rcu_read_begin();
    const struct store_reason *r = RCU_GET(s->down);
    snprintf(out, n, "%s", r ? r->text : "");
    rcu_read_end();
}

const struct store_stats *store_stats(const struct store *s)
{
    return &s->stats;
}

uint64_t store_value_max(const struct store *s)
{
    return s->ops->value_max ? s->ops->value_max(s) : 0;
}

void store_close(struct store *s)
{
    s->ops->close(s);
}

void store_writer_start(struct store *s, uv_loop_t *loop, const struct store_events *events)
{
    s->ops->writer_start(s, loop, events);
}

void store_writer_stop(struct store *s)
{
    s->ops->writer_stop(s);
}

uint64_t store_last(struct store *s, unsigned source, const char *node_id)
{
    return s->ops->last(s, source, node_id);
}

void store_apply(struct store *s, struct store_batch *batch)
{
    s->ops->apply(s, batch);
}

void store_note_overwrite(struct store *s, struct slice key, uint64_t stamp, uint16_t tag)
{
    if (s->ops->note_overwrite)
        s->ops->note_overwrite(s, key, stamp, tag);
}

void store_forget_below(struct store *s, uint64_t stamp)
{
    s->ops->forget_below(s, stamp);
}

struct store_reader *store_reader_new(struct store *s, uv_loop_t *loop)
{
    return s->ops->reader_new(s, loop);
}

void store_reader_free(struct store_reader *r)
{
    r->store->ops->reader_free(r);
}

void store_read(struct store_reader *r, const struct command_spec *spec,
                const struct resp_command *cmd, store_read_fn *fn, void *arg)
{
    r->store->ops->read(r, spec, cmd, true, fn, arg);
}

void store_read_unstamped(struct store_reader *r, const struct command_spec *spec,
                          const struct resp_command *cmd, store_read_fn *fn, void *arg)
{
    r->store->ops->read(r, spec, cmd, false, fn, arg);
}

bool store_answers_at_once(const struct store *s)
{
    return s->ops->answers_at_once;
}

bool store_takes_writes_anywhere(const struct store *s)
{
    return store_is_alone(s);
}

struct store_watch *store_watch_new(struct store_reader *r)
{
    return r->store->ops->watch_new(r);
}

void store_watch_run(struct store_watch *w, const struct command_spec *spec,
                     const struct resp_command *cmd, store_read_fn *fn, void *arg)
{
    w->ops->watch_run(w, spec, cmd, fn, arg);
}

void store_watch_free(struct store_watch *w)
{
    if (w)
        w->ops->watch_free(w);
}

void store_gets_company(struct store *s)
{
    if (s->ops->gets_company)
        s->ops->gets_company(s);
    __atomic_store_n(&s->alone, 0, __ATOMIC_RELEASE);
}

void store_inspect(struct store_reader *r, struct slice key, store_read_fn *fn, void *arg)
{
    r->store->ops->inspect(r, key, fn, arg);
}

void store_copy(struct store_reader *r, struct slice key, bool command, store_copy_fn *fn,
                void *arg)
{
    r->store->ops->copy(r, key, command, fn, arg);
}

uint64_t store_digest_string(struct slice value)
{
    return XXH3_64bits_withSeed(value.ptr, value.len, 's');
}

/* Integers above all lengths, in their order: of two counters that differ the greater has counted
 * what the other one missed. */
uint64_t store_weight_string(struct slice value)
{
    int64_t v;
    return slice_to_i64(value, &v) ? (uint64_t)v ^ 1ull << 63 : value.len;
}
