#include "store/record.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define ORDER_BYTES   8u
#define RECORD_FORMAT 1

/* Read and written by memcpy: LMDB aligns values to two bytes only. */
struct head {
    uint8_t format, type;
    uint16_t overwrite_tag, newest_tag, zero;
    uint64_t overwrite, newest, expires, sweep, key_len;
};

size_t record_size(const struct record *r)
{
    return sizeof(struct head) + r->key.len + r->value.len;
}

void record_write(const struct record *r, uint8_t *out)
{
    struct head h = {.format = RECORD_FORMAT,
                     .type = (uint8_t)r->type,
                     .overwrite_tag = r->overwrite.tag,
                     .newest_tag = r->newest.tag,
                     .overwrite = r->overwrite.time,
                     .newest = r->newest.time,
                     .expires = r->expires,
                     .sweep = r->sweep,
                     .key_len = r->key.len};
    memcpy(out, &h, sizeof h);
    if (r->key.len)
        memcpy(out + sizeof h, r->key.ptr, r->key.len);
    if (r->value.len)
        memcpy(out + sizeof h + r->key.len, r->value.ptr, r->value.len);
}

bool record_read(struct slice bytes, struct record *out)
{
    struct head h;
    if (bytes.len < sizeof h)
        return false;
    memcpy(&h, bytes.ptr, sizeof h);
    bool known = h.type == RECORD_STRING || h.type == RECORD_TOMBSTONE || h.type == RECORD_GONE;
    if (h.format != RECORD_FORMAT || !known || h.key_len > bytes.len - sizeof h)
        return false;
    size_t key_len = (size_t)h.key_len, before = sizeof h + key_len;
    *out = (struct record){.type = (enum record_type)h.type,
                           .overwrite = {h.overwrite, h.overwrite_tag},
                           .newest = {h.newest, h.newest_tag},
                           .expires = h.expires,
                           .sweep = h.sweep,
                           .key = slice_of(bytes.ptr + sizeof h, key_len),
                           .value = slice_of(bytes.ptr + before, bytes.len - before)};
    return true;
}

void record_order_write(uint64_t order, uint8_t out[8])
{
    for (unsigned i = 0; i < ORDER_BYTES; i++)
        out[i] = (uint8_t)(order >> (56 - 8 * i));
}

bool record_order_read(struct slice lmdb_key, uint64_t *order)
{
    if (lmdb_key.len <= ORDER_BYTES)
        return false;
    uint64_t v = 0;
    for (unsigned i = 0; i < ORDER_BYTES; i++)
        v = v << 8 | lmdb_key.ptr[i];
    *order = v;
    return true;
}

void record_key_make(struct slice key, struct record_key *out)
{
    XXH128_hash_t hash = XXH3_128bits(key.ptr, key.len);
    record_order_write(hash.high64 >> 1, out->bytes);
    out->hashed = key.len > RECORD_PLAIN_MAX;
    out->bytes[ORDER_BYTES] = out->hashed ? 'h' : 'k';
    uint8_t *rest = out->bytes + ORDER_BYTES + 1;
    if (out->hashed) {
        XXH128_canonical_t bytes;
        XXH128_canonicalFromHash(&bytes, hash);
        memcpy(rest, bytes.digest, sizeof bytes.digest);
        out->len = ORDER_BYTES + 1 + sizeof bytes.digest;
    } else {
        if (key.len)
            memcpy(rest, key.ptr, key.len);
        out->len = ORDER_BYTES + 1 + key.len;
    }
}

struct slice record_user_key(struct slice lmdb_key, const struct record *r)
{
    if (lmdb_key.ptr[ORDER_BYTES] == 'h')
        return r->key;
    return slice_of(lmdb_key.ptr + ORDER_BYTES + 1, lmdb_key.len - ORDER_BYTES - 1);
}
