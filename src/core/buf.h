/* Bytes: a slice (borrowed), a buf (owned by one thread, grows and is eaten from the front), and a
 * blob (immutable, counted, may cross threads). */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include "core/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Somebody else's bytes; says nothing about how long they live, the function that gives it does. */
struct slice {
    const uint8_t *ptr;
    size_t len;
};

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){.ptr = p, .len = n};
}
static inline struct slice slice_str(const char *s)
{
    return slice_of(s, strlen(s));
}
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* Equal to a NUL-terminated word, ASCII case ignored. */
bool slice_is(struct slice a, const char *word);
/* The whole slice as a decimal signed 64-bit number, as Redis reads one: no blanks, no plus sign,
 * no leading zeros. False: it isn't one, or it doesn't fit. */
bool slice_to_i64(struct slice a, int64_t *out) MUST_USE;

/*   data            data+off           data+off+len        data+cap
 *    |  eaten, free  |  bytes in use    |  room              |        */
struct buf {
    uint8_t *data;
    size_t off, len, cap;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0, 0                                                                              \
    }

static inline const uint8_t *buf_head(const struct buf *b)
{
    return b->data ? b->data + b->off : (const uint8_t *)"";
}
static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(buf_head(b), b->len);
}
void buf_fini(struct buf *b); /* frees; the buf is empty and usable afterwards */
/* Makes room for n more bytes and returns where they go; buf_commit says how many came. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_eat(struct buf *b, size_t n); /* drops n bytes from the front */
/* Empty it, and give the memory back when it is more than `keep` bytes. */
void buf_reset(struct buf *b, size_t keep);

/* Immutable once made. The maker has one reference. */
struct blob {
    uint32_t refs; /* atomic */
    size_t len;
    uint8_t data[];
};
struct blob *blob_new(const void *p, size_t n); /* p NULL: the maker fills data before sharing */
struct blob *blob_ref(struct blob *b);          /* NULL gives NULL */
void blob_unref(struct blob *b);                /* NULL is fine; the last one frees */
static inline struct slice blob_slice(const struct blob *b)
{
    return slice_of(b->data, b->len);
}

#endif
