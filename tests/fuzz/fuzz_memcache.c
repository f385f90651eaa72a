/* memcached's text protocol: how a stream is cut never changes what it means. The input is a byte k
 * (modulo 8), k lengths of pieces, which are used over and over (none: one byte at a time), and the
 * stream, which is read at once and in pieces. */
#include "core/mem.h"
#include "fuzz.h"
#include "wire/memcache.h"

#define VALUE_MAX 512 /* so that searches find values that are too large */

/* What was made of a stream, as bytes that can be compared. */
struct outcome {
    struct memcache_parser parser;
    struct memcache_command cmd;
    struct buf seen;
    size_t used, thrown;
    bool bad;
};

static void see(struct outcome *o, const void *p, size_t n)
{
    buf_add(&o->seen, &n, sizeof n);
    buf_add(&o->seen, p, n);
}

static void see_number(struct outcome *o, uint64_t n)
{
    buf_add(&o->seen, &n, sizeof n);
}

static void see_command(struct outcome *o, const struct memcache_command *c)
{
    FUZZ_CHECK(c->key.len <= MEMCACHE_KEY_MAX);
    FUZZ_CHECK(c->verb != MEMCACHE_WRONG || c->answer);
    FUZZ_CHECK(c->bytes < 0 || c->discard || c->verb == MEMCACHE_WRONG ||
               (uint64_t)c->bytes == c->value.len);
    FUZZ_CHECK(!c->too_large || c->discard > VALUE_MAX);
    see_number(o, c->verb);
    see_number(o, c->given);
    see_number(o, (uint64_t)c->ttl);
    see_number(o, (uint64_t)c->vivify ^ (uint64_t)c->recache << 32);
    see_number(o, c->flags ^ (uint64_t)c->level << 32);
    see_number(o, c->cas);
    see_number(o, c->delta);
    see_number(o, c->initial);
    see_number(o, (uint64_t)c->mode ^ (uint64_t)c->quiet << 8 ^ (uint64_t)c->binary << 16);
    see_number(o, c->discard);
    see(o, c->key.ptr, c->key.len);
    see(o, c->value.ptr, c->value.len);
    for (size_t i = 0; i < c->nwords; i++)
        see(o, c->words[i].ptr, c->words[i].len);
    if (c->verb == MEMCACHE_WRONG)
        see(o, c->answer, strlen(c->answer));
}

/* All that is whole in the `len` bytes at `data`. The bytes are copied for each call, so that the
 * address sanitizer sees one read too far or too late. */
static void read_all(struct outcome *o, const uint8_t *data, size_t len)
{
    uint8_t *copy = mem_dup(data, len);
    size_t used = 0;
    struct error e;
    enum resp_status st = RESP_OK;
    while (used < len && st == RESP_OK) {
        st = memcache_parse(&o->parser, copy + used, len - used, &o->cmd, &e);
        if (st != RESP_OK)
            break;
        FUZZ_CHECK(o->cmd.size > 0 && o->cmd.size <= len - used);
        used += o->cmd.size;
        if (o->cmd.verb == MEMCACHE_NOTHING) {
            o->thrown += o->cmd.size;
            continue;
        }
        see_command(o, &o->cmd);
        memcache_taken(&o->parser, &o->cmd);
    }
    if (st == RESP_MORE)
        FUZZ_CHECK(o->parser.want > len - used);
    o->bad = st == RESP_BAD;
    o->used += used;
    mem_free(copy);
}

static void outcome_fini(struct outcome *o)
{
    buf_fini(&o->seen);
    memcache_command_fini(&o->cmd);
}

/* The length of the i-th piece. */
static size_t piece(const uint8_t *pieces, size_t npieces, size_t i)
{
    size_t n = npieces ? pieces[i % npieces] : 1;
    return n ? n : 256;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t k = size ? data[0] % 8 : 0;
    if (size < 1 + k)
        return 0;
    const uint8_t *stream = data + 1 + k;
    size_t len = size - 1 - k, come = 0;
    struct outcome once = {.parser.value_max = VALUE_MAX}, cut = {.parser.value_max = VALUE_MAX};
    read_all(&once, stream, len);
    for (size_t i = 0; come < len && !cut.bad; i++) {
        come += piece(data + 1, k, i);
        come = come < len ? come : len;
        read_all(&cut, stream + cut.used, come - cut.used);
    }
    FUZZ_CHECK(once.bad == cut.bad);
    FUZZ_CHECK(once.bad || (once.used == cut.used && once.thrown == cut.thrown));
    FUZZ_CHECK(slice_eq(buf_slice(&once.seen), buf_slice(&cut.seen)));
    outcome_fini(&once);
    outcome_fini(&cut);
    return 0;
}
