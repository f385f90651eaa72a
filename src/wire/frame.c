#include "wire/frame.h"
#include "core/bytes.h"
#include "wire/crc32c.h"
#include <assert.h>

#define CRC_AT       4 /* what follows the CRC is under it */
#define UNDER_AT     8
#define SKIP_PAYLOAD sizeof(uint64_t)

void frame_head2(const struct frame *f, struct slice more, uint8_t head[FRAME_HEAD])
{
    assert(f->payload.len <= FRAME_PAYLOAD_MAX && more.len <= FRAME_PAYLOAD_MAX - f->payload.len);
    put32(head, (uint32_t)(FRAME_HEAD + f->payload.len + more.len));
    head[8] = f->kind;
    head[9] = f->flags;
    put16(head + 10, f->tag);
    put32(head + 12, 0);
    put64(head + 16, f->seq);
    put64(head + 24, f->stamp);
    put64(head + 32, f->deadline);
    uint32_t crc = crc32c(0, head + UNDER_AT, FRAME_HEAD - UNDER_AT);
    crc = crc32c(crc, f->payload.ptr, f->payload.len);
    if (more.len)
        crc = crc32c(crc, more.ptr, more.len);
    put32(head + CRC_AT, crc);
}

void frame_head(const struct frame *f, uint8_t head[FRAME_HEAD])
{
    frame_head2(f, slice_of(NULL, 0), head);
}

void frame_add(struct buf *b, const struct frame *f)
{
    size_t size = frame_size(f->payload.len);
    uint8_t *to = buf_reserve(b, size);
    frame_head(f, to);
    if (f->payload.len)
        memcpy(to + FRAME_HEAD, f->payload.ptr, f->payload.len);
    buf_commit(b, size);
}

struct slice frame_reply(struct slice reply)
{
    static const char too_large[] = "-ERR the reply is larger than what nodes send each other\r\n";
    return reply.len <= FRAME_PAYLOAD_MAX ? reply : slice_str(too_large);
}

void frame_add_skip(struct buf *b, uint64_t from, uint64_t upto)
{
    uint8_t payload[SKIP_PAYLOAD];
    put64(payload, from);
    frame_add(b, &(struct frame){.kind = FRAME_SKIP,
                                 .seq = upto,
                                 .payload = slice_of(payload, sizeof payload)});
}

bool frame_skip_from(const struct frame *f, uint64_t *from)
{
    if (f->payload.len != SKIP_PAYLOAD)
        return false;
    *from = get64(f->payload.ptr);
    return true;
}

enum frame_status frame_parse_checked(const uint8_t *data, size_t len, size_t max_payload,
                                      struct frame *out, size_t *size)
{
    if (len < sizeof(uint32_t)) {
        *size = FRAME_HEAD;
        return FRAME_MORE;
    }
    size_t whole = get32(data);
    if (whole < FRAME_HEAD || whole - FRAME_HEAD > max_payload)
        return FRAME_BAD_LENGTH;
    *size = whole;
    if (len < whole)
        return FRAME_MORE;
    *out = (struct frame){.kind = data[8],
                          .flags = data[9],
                          .tag = get16(data + 10),
                          .seq = get64(data + 16),
                          .stamp = get64(data + 24),
                          .deadline = get64(data + 32),
                          .payload = slice_of(data + FRAME_HEAD, whole - FRAME_HEAD)};
    return FRAME_OK;
}

enum frame_status frame_parse(const uint8_t *data, size_t len, size_t max_payload,
                              struct frame *out, size_t *size)
{
    struct frame f;
    enum frame_status rc = frame_parse_checked(data, len, max_payload, &f, size);
    if (rc != FRAME_OK)
        return rc;
    if (crc32c(0, data + UNDER_AT, *size - UNDER_AT) != get32(data + CRC_AT))
        return FRAME_BAD_CRC;
    *out = f;
    return FRAME_OK;
}
