#include "core/buf.h"
#include "core/mem.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

bool slice_is(struct slice a, const char *word)
{
    return strlen(word) == a.len && strncasecmp((const char *)a.ptr, word, a.len) == 0;
}

bool slice_to_i64(struct slice a, int64_t *out)
{
    size_t i = 0;
    bool negative = a.len > 0 && a.ptr[0] == '-';
    if (negative)
        i = 1;
    if (a.len == i || a.len > 20)
        return false;
    if (a.ptr[i] == '0' && (a.len > i + 1 || negative))
        return false;
    uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (; i < a.len; i++) {
        if (!isdigit(a.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(a.ptr[i] - '0');
        if (v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf)BUF_INIT;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (b->cap - b->off - b->len >= n && b->data)
        return b->data + b->off + b->len;
    if (b->off >= b->len && b->cap - b->len >= n && b->data) {
        /* sliding costs no more than what was eaten before */
        memmove(b->data, b->data + b->off, b->len);
        b->off = 0;
        return b->data + b->len;
    }
    size_t cap = b->cap ? b->cap : 256;
    while (cap < b->len + n)
        cap *= 2;
    uint8_t *data = mem_alloc(cap);
    if (b->len)
        memcpy(data, b->data + b->off, b->len);
    mem_free(b->data);
    b->data = data;
    b->off = 0;
    b->cap = cap;
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->len += n;
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        vsnprintf((char *)buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_eat(struct buf *b, size_t n)
{
    b->off += n;
    b->len -= n;
    if (b->len == 0)
        b->off = 0;
}

void buf_reset(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_fini(b);
    b->off = b->len = 0;
}

struct blob *blob_new(const void *p, size_t n)
{
    struct blob *b = mem_alloc(sizeof *b + n);
    b->refs = 1;
    b->len = n;
    if (p && n)
        memcpy(b->data, p, n);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b)
        __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

void blob_unref(struct blob *b)
{
    if (b && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
        mem_free(b);
}
