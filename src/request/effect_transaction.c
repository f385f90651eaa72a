/* What a client's transaction did (wire/transaction.h), as one record for the others. One that only
 * watched goes as it is, without what it watched; where a command of it doesn't tell, all that it
 * has written goes as copies of the keys. */
#include "core/mem.h"
#include "request/effect.h"
#include "store/redis_reply.h"
#include "wire/transaction.h"

unsigned effect_transaction_probes(const struct resp_command *record, struct buf *out)
{
    size_t n;
    struct slice *keys = transaction_written(record, &n);
    for (size_t i = 0; i < n; i++)
        effect_add_key_probes(keys[i], out);
    mem_free(keys);
    return (unsigned)n * EFFECT_KEY_PROBES;
}

/* Copies of keys, one behind the other in `bytes`. */
struct copies_of {
    struct buf bytes;
    struct slice *keys, *commands; /* the second: sizes, until all are there */
    size_t n;
};

static bool add_copy_of(struct copies_of *c, struct slice key, const struct slice *replies,
                        uint64_t now_ms)
{
    size_t before = c->bytes.len;
    if (!effect_add_copy(key, replies, now_ms, &c->bytes))
        return false;
    c->keys[c->n] = key;
    c->commands[c->n++].len = c->bytes.len - before;
    return true;
}

/* How many records were appended; -1: it can't be said in one. */
static int add_record(struct copies_of *c, struct buf *out)
{
    size_t before = out->len;
    const uint8_t *at = buf_head(&c->bytes);
    for (size_t i = 0; i < c->n; at += c->commands[i++].len)
        c->commands[i].ptr = at;
    if (c->n)
        transaction_add(out, slice_of("", 0), c->keys, c->n, c->commands, c->n);
    if (out->len - before <= RESP_COMMAND_MAX)
        return c->n > 0;
    out->len = before;
    return -1;
}

/* before NULL: all are copied. */
static int copy_written(const struct resp_command *record, const struct slice *before,
                        const struct slice *behind, uint64_t now_ms, struct buf *out)
{
    size_t n;
    struct slice *written = transaction_written(record, &n);
    struct copies_of c = {.bytes = BUF_INIT,
                          .keys = mem_calloc(n + 1, sizeof *c.keys),
                          .commands = mem_calloc(n + 1, sizeof *c.commands)};
    bool told = true;
    for (size_t i = 0; i < n && told; i++) {
        const struct slice *is = behind + i * EFFECT_KEY_PROBES;
        if (!before || !effect_is_as_before(before + i * EFFECT_KEY_PROBES, is))
            told = add_copy_of(&c, written[i], is, now_ms);
    }
    int made = told ? add_record(&c, out) : -1;
    buf_fini(&c.bytes);
    mem_free(c.keys);
    mem_free(c.commands);
    mem_free(written);
    return made;
}

struct effect effect_transaction_tell(const struct resp_command *record,
                                      const struct effect_replies *r, struct buf *out)
{
    struct effect e = {.as_it_ran = !transaction_has_undetermined(record)};
    size_t before = out->len;
    if (redis_is_nil(r->own) || resp_reply_is_error(r->own))
        return e;
    if (e.as_it_ran) {
        transaction_settled(record, out);
        e.n = out->len > before;
    } else {
        e.n = copy_written(record, r->before, r->behind, r->now_ms, out);
    }
    return e;
}

int effect_transaction_recover(const struct resp_command *record, const struct slice *replies,
                               uint64_t now_ms, struct buf *out)
{
    return copy_written(record, NULL, replies, now_ms, out);
}
