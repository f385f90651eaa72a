#include "wire/reply.h"
#include "wire/resp.h"
#include <xxhash.h>

/* ---- in any order ------------------------------------------------------------------------------
 */

/* What elements add up to, in whatever order. */
struct sum {
    uint64_t n, low, high;
};

static bool array_header(struct slice s, size_t *elements, size_t *size)
{
    const uint8_t *end = s.len ? memchr(s.ptr, '\r', s.len) : NULL;
    int64_t n;
    if (!end || s.ptr[0] != '*' ||
        !slice_to_i64(slice_of(s.ptr + 1, (size_t)(end - s.ptr) - 1), &n) || n < 0)
        return false;
    *elements = (size_t)n;
    *size = (size_t)(end - s.ptr) + 2;
    return *size <= s.len;
}

/* The bytes that so many elements take. */
static bool skip(struct slice s, size_t elements, size_t *size)
{
    *size = 0;
    while (elements--) {
        struct resp_scanner scanner = {0};
        struct error ignored;
        size_t one;
        if (resp_reply_scan(&scanner, s.ptr + *size, s.len - *size, &one, &ignored) != RESP_OK)
            return false;
        *size += one;
    }
    return true;
}

/* False: it isn't an array of so many at a time. */
static bool add_up(struct slice reply, size_t at_a_time, struct sum *out)
{
    size_t elements, size;
    if (!array_header(reply, &elements, &size) || elements % at_a_time != 0)
        return false;
    *out = (struct sum){.n = elements};
    for (size_t i = 0; i < elements; i += at_a_time) {
        reply = slice_of(reply.ptr + size, reply.len - size);
        if (!skip(reply, at_a_time, &size))
            return false;
        XXH128_hash_t h = XXH3_128bits(reply.ptr, size);
        out->low += h.low64;
        out->high += h.high64;
    }
    return true;
}

static bool same_in_any_order(struct slice a, struct slice b, size_t at_a_time)
{
    struct sum x, y;
    return a.len == b.len && add_up(a, at_a_time, &x) && add_up(b, at_a_time, &y) && x.n == y.n &&
           x.low == y.low && x.high == y.high;
}

/* ---- lifetimes, and what tells nothing ---------------------------------------------------------
 */

/* Of two that say that there is none, only equal bytes are the same. */
static bool same_lifetime(struct slice a, struct slice b, int64_t tolerance)
{
    int64_t x, y;
    if (!resp_reply_int(a, &x) || !resp_reply_int(b, &y) || x < 0 || y < 0)
        return false;
    return x > y ? x - y <= tolerance : y - x <= tolerance;
}

static bool is_nothing(struct slice s)
{
    return slice_is(s, "$-1\r\n") || slice_is(s, "*-1\r\n") || slice_is(s, "*0\r\n");
}

static bool same_kind(struct slice a, struct slice b)
{
    return resp_reply_is_error(a) == resp_reply_is_error(b) && is_nothing(a) == is_nothing(b);
}

/* ---- of MG -------------------------------------------------------------------------------------
 */

struct walk {
    struct slice rest;
    size_t left;
};

static bool walk_next(struct walk *w, struct slice *element)
{
    size_t size;
    if (w->left == 0 || !skip(w->rest, 1, &size))
        return false;
    *element = slice_of(w->rest.ptr, size);
    w->rest = slice_of(w->rest.ptr + size, w->rest.len - size);
    w->left--;
    return true;
}

/* Passes over W and Z: each store hands out the first right to replace a stale value. */
static bool next_flag(struct walk *w, struct slice *text)
{
    struct slice element;
    while (walk_next(w, &element)) {
        if (!resp_reply_bulk(element, text))
            *text = element;
        if (!slice_eq(*text, slice_str("W")) && !slice_eq(*text, slice_str("Z")))
            return true;
    }
    return false;
}

/* Blanks behind a number's digits don't count. */
static bool same_number(struct slice a, struct slice b)
{
    struct slice shorter = a.len < b.len ? a : b, longer = a.len < b.len ? b : a;
    if (shorter.len == 0 || longer.len > 20 || memcmp(shorter.ptr, longer.ptr, shorter.len) != 0)
        return false;
    for (size_t i = 0; i < longer.len; i++) {
        bool digit = longer.ptr[i] >= '0' && longer.ptr[i] <= '9';
        if (i < shorter.len ? !digit && shorter.ptr[i] != ' ' : longer.ptr[i] != ' ')
            return false;
    }
    return true;
}

static bool same_value(struct slice a, struct slice b)
{
    struct slice x, y;
    return slice_eq(a, b) ||
           (resp_reply_bulk(a, &x) && resp_reply_bulk(b, &y) && same_number(x, y));
}

/* s and t, each with its number. */
static bool same_flag(struct slice a, struct slice b)
{
    int64_t x, y;
    if (slice_eq(a, b))
        return true;
    if (a.len < 2 || b.len < 2 || a.ptr[0] != b.ptr[0])
        return false;
    if (memchr("chl", a.ptr[0], 3))
        return true;
    if (!slice_to_i64(slice_of(a.ptr + 1, a.len - 1), &x) ||
        !slice_to_i64(slice_of(b.ptr + 1, b.len - 1), &y) || x < 0 || y < 0)
        return false;
    int64_t apart = x > y ? x - y : y - x;
    return a.ptr[0] == 't' ? apart <= REPLY_CLOCKS_MS / 1000
                           : a.ptr[0] == 's' && x <= 20 && y <= 20;
}

static bool same_memcache(struct slice a, struct slice b)
{
    struct walk x, y;
    size_t nx, ny;
    struct slice p, q;
    if (!array_header(a, &x.left, &nx) || !array_header(b, &y.left, &ny) || x.left < 2 ||
        y.left < 2)
        return false;
    x.rest = slice_of(a.ptr + nx, a.len - nx);
    y.rest = slice_of(b.ptr + ny, b.len - ny);
    if (!walk_next(&x, &p) || !walk_next(&y, &q) || !slice_eq(p, q) || /* code */
        !walk_next(&x, &p) || !walk_next(&y, &q) || !same_value(p, q))
        return false;
    for (;;) {
        bool more = next_flag(&x, &p);
        if (more != next_flag(&y, &q))
            return false;
        if (!more || !same_flag(p, q))
            return !more;
    }
}

bool reply_same(enum reply_compare how, struct slice a, struct slice b)
{
    if (slice_eq(a, b))
        return true;
    switch (how) {
    case REPLY_ELEMENTS:
        return same_in_any_order(a, b, 1);
    case REPLY_PAIRS:
        return same_in_any_order(a, b, 2);
    case REPLY_SECONDS:
        return same_lifetime(a, b, REPLY_CLOCKS_MS / 1000);
    case REPLY_MILLISECONDS:
        return same_lifetime(a, b, REPLY_CLOCKS_MS);
    case REPLY_KIND:
        return same_kind(a, b);
    case REPLY_MEMCACHE:
        return same_memcache(a, b);
    case REPLY_EXACT:
        break;
    }
    return false;
}
