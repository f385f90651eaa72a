/* What the stamps say of a write before it goes out, and what they are told of it. */
#include "core/mem.h"
#include "store/redis.h"

#define KEYS_MAX 64 /* keys of one command that are judged; commands of many keys come split */

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

enum stamp_verdict redis_judge(struct redis *r, const struct store_write *w)
{
    struct stamp at = {.stamp = w->stamp, .tag = w->tag};
    if (redis_is_flush(w))
        return stamps_is_flushed_later(r->stamps, at) ? STAMP_OLDER : STAMP_FRESH;
    if (w->mend)
        return judge_mend(r, w);
    size_t keys[KEYS_MAX], n = written_keys(w, keys);
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        enum stamp_verdict v = stamps_judge(r->stamps, stamps_hash(w->cmd->argv[keys[i]]), at);
        if (v == STAMP_OLDER || v == STAMP_PENDING)
            return v;
        unknown |= v == STAMP_UNKNOWN;
    }
    return unknown ? STAMP_UNKNOWN : STAMP_FRESH;
}

void redis_expect(struct redis *r, size_t i)
{
    size_t key;
    if (i >= r->batch->n || r->batch->writes[i].skip)
        return;
    const struct store_write *w = &r->batch->writes[i];
    if (command_keys(w->spec, w->cmd, &key, 1))
        stamps_expect(r->stamps, stamps_hash(w->cmd->argv[key]));
}

bool redis_can_intend(const struct redis *r, const struct store_write *w)
{
    size_t none, room = stamps_room(r->stamps);
    return room >= KEYS_MAX || room >= command_overwritten(w->spec, w->cmd, &none, 0);
}

static void intend_key(struct redis *r, const struct store_write *w, uint64_t hash, size_t queued)
{
    struct stamp_intent in = {.hash = hash,
                              .stamp = w->stamp,
                              .tag = w->tag,
                              .seq = w->seq,
                              .source = redis_numbers_of(&r->numbers, w->source)->id_hash,
                              .mark = (uint32_t)queued};
    struct redis_unnoted left = {
        .hash = hash, .stamp = {.stamp = w->stamp, .tag = w->tag}, .queued = queued};
    if (stamps_intend(r->stamps, &in))
        return;
    stamps_give_up(r->stamps, w->stamp);
    buf_add(&r->unnoted, &left, sizeof left);
}

void redis_intend(struct redis *r, const struct store_write *w, size_t queued)
{
    size_t few[KEYS_MAX], *keys = few;
    size_t n = w->stamp ? command_overwritten(w->spec, w->cmd, few, KEYS_MAX) : 0;
    if (n > KEYS_MAX) {
        keys = mem_alloc(n * sizeof *keys);
        (void)command_overwritten(w->spec, w->cmd, keys, n);
    }
    for (size_t k = 0; k < n; k++)
        intend_key(r, w, stamps_hash(w->cmd->argv[keys[k]]), queued);
    if (keys != few)
        mem_free(keys);
}

void redis_touch(struct redis *r, const struct store_write *w)
{
    size_t few[KEYS_MAX], *keys = few, n;
    uint64_t newest = w->mend ? w->mend->upto.time : w->stamp;
    r->newest = newest > r->newest ? newest : r->newest;
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
