/* Lines and values; see memcache_line.c for what stands in a line. */
#include "wire/memcache.h"
#include "core/mem.h"

#define BINARY_MAGIC 0x80 /* first byte of a request in memcached's binary protocol */

void memcache_command_fini(struct memcache_command *c)
{
    mem_free(c->words);
    *c = (struct memcache_command){.words = NULL};
}

static enum resp_status bad(struct error *e, const char *text)
{
    (void)error_set(e, "%s", text);
    return RESP_BAD;
}

static enum resp_status more(struct memcache_parser *p, size_t want)
{
    p->want = want;
    return RESP_MORE;
}

static enum resp_status throw_away(struct memcache_parser *p, size_t len,
                                   struct memcache_command *out)
{
    size_t n = len < p->discard ? len : p->discard;
    p->discard -= n;
    out->verb = MEMCACHE_NOTHING;
    out->size = n;
    out->discard = 0;
    return RESP_OK;
}

static bool too_long(size_t n, struct slice beginning)
{
    return n > MEMCACHE_LINE_MAX && (n > MEMCACHE_GET_LINE_MAX || !memcache_names_many(beginning));
}

static enum resp_status find_line(struct memcache_parser *p, const uint8_t *data, size_t len,
                                  struct error *e)
{
    const uint8_t *end = memchr(data + p->seen, '\n', len - p->seen);
    size_t n = end ? (size_t)(end - data) : len;
    if (too_long(n, slice_of(data, n)))
        return bad(e, "line too long");
    p->seen = n;
    if (!end)
        return more(p, len + 1);
    p->line = n + 1;
    return RESP_OK;
}

/* Without its end. A lone CR isn't one. */
static struct slice line_of(const uint8_t *data, size_t line)
{
    size_t n = line - 1;
    if (n > 1 && data[n - 1] == '\r')
        n--;
    return slice_of(data, n);
}

static void take_value(struct memcache_command *out, const uint8_t *value)
{
    size_t n = (size_t)out->bytes;
    bool meta = out->verb == MEMCACHE_META_SET;
    out->value = slice_of(value, n);
    if (value[n] == '\r' && value[n + 1] == '\n')
        return;
    out->verb = MEMCACHE_WRONG;
    out->answer = "CLIENT_ERROR bad data chunk";
    out->quiet = out->quiet && !meta;
}

static enum resp_status whole(struct memcache_parser *p, struct memcache_command *out, size_t size)
{
    out->size = size;
    p->seen = p->want = p->line = 0;
    p->begun = true;
    return RESP_OK;
}

enum resp_status memcache_parse(struct memcache_parser *p, const uint8_t *data, size_t len,
                                struct memcache_command *out, struct error *e)
{
    if (len == 0 || len < p->want)
        return more(p, p->want ? p->want : 1);
    if (p->discard)
        return throw_away(p, len, out);
    if (!p->begun && data[0] == BINARY_MAGIC)
        return bad(e, "the binary protocol isn't spoken here");
    if (!p->line) {
        enum resp_status rc = find_line(p, data, len, e);
        if (rc != RESP_OK)
            return rc;
    }
    memcache_read_line(out, line_of(data, p->line), p->value_max);
    if (out->bytes < 0 || out->discard)
        return whole(p, out, p->line);
    size_t size = p->line + (size_t)out->bytes + 2;
    if (len < size)
        return more(p, size);
    take_value(out, data + p->line);
    return whole(p, out, size);
}

void memcache_taken(struct memcache_parser *p, const struct memcache_command *c)
{
    p->discard = c->discard;
}
