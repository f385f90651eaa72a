#include "wire/pack.h"
#include "core/bytes.h"
#include <lz4.h>

#define SIZE_FIELD sizeof(uint32_t)
#define RATIO_MAX  255u /* no byte of an LZ4 block stands for more */
#define SPARES     16u  /* a batch has to shrink by this part of it */

bool pack_add(struct buf *out, struct slice frames)
{
    if (frames.len < PACK_MIN || frames.len > PACK_RAW_MAX)
        return false;
    size_t before = FRAME_HEAD + SIZE_FIELD, room = frames.len - frames.len / SPARES - before;
    uint8_t *to = buf_reserve(out, before + room);
    int n = LZ4_compress_default((const char *)frames.ptr, (char *)to + before, (int)frames.len,
                                 (int)room);
    if (n <= 0)
        return false;
    put32(to + FRAME_HEAD, (uint32_t)frames.len);
    frame_head(&(struct frame){.kind = FRAME_PACKED,
                               .payload = slice_of(to + FRAME_HEAD, SIZE_FIELD + (size_t)n)},
               to);
    buf_commit(out, before + (size_t)n);
    return true;
}

struct blob *pack_open(struct slice payload, struct error *e)
{
    size_t raw = payload.len > SIZE_FIELD ? get32(payload.ptr) : 0;
    size_t block = payload.len > SIZE_FIELD ? payload.len - SIZE_FIELD : 0;
    if (raw < FRAME_HEAD || raw > PACK_RAW_MAX || raw / RATIO_MAX > block) {
        (void)error_set(e,
                        "a packed frame of %zu bytes that says it holds %zu found; allowed %u to "
                        "%u, and at most %u for each byte",
                        payload.len, raw, FRAME_HEAD, PACK_RAW_MAX, RATIO_MAX);
        return NULL;
    }
    struct blob *b = blob_new(NULL, raw);
    int n = LZ4_decompress_safe((const char *)payload.ptr + SIZE_FIELD, (char *)b->data, (int)block,
                                (int)raw);
    if (n >= 0 && (size_t)n == raw)
        return b;
    blob_unref(b);
    (void)error_set(e, "a packed frame of %zu bytes found that doesn't unpack to %zu", payload.len,
                    raw);
    return NULL;
}
