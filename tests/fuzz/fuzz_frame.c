/* Frames: nothing that isn't one is taken for one, and what is taken survives the round trip. The
 * input is a byte of choice and a frame; with an odd choice the CRC is put right first, so that a
 * search gets past it. */
#include "core/mem.h"
#include "fuzz.h"
#include "wire/crc32c.h"
#include "wire/frame.h"

#define MAX_PAYLOAD 4096

static void put_crc_right(uint8_t *data, size_t len)
{
    if (len < FRAME_HEAD)
        return;
    size_t whole = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16 | (size_t)data[3] << 24;
    if (whole < FRAME_HEAD || whole > len)
        return;
    uint32_t crc = crc32c_software(0, data + 8, whole - 8);
    for (int i = 0; i < 4; i++)
        data[4 + i] = (uint8_t)(crc >> (8 * i));
}

/* Every beginning of a good frame asks for the rest, and for no more than that. */
static void check_beginnings(const uint8_t *data, size_t size)
{
    struct frame f;
    size_t want;
    for (size_t len = 0; len < size; len++) {
        FUZZ_CHECK(frame_parse(data, len, MAX_PAYLOAD, &f, &want) == FRAME_MORE);
        FUZZ_CHECK(want == (len < 4 ? FRAME_HEAD : size));
    }
}

static void check_round_trip(const struct frame *in, size_t size)
{
    struct buf b = BUF_INIT;
    struct frame out;
    size_t again;
    frame_add(&b, in);
    FUZZ_CHECK(b.len == size);
    FUZZ_CHECK(frame_parse(buf_head(&b), b.len, MAX_PAYLOAD, &out, &again) == FRAME_OK);
    FUZZ_CHECK(again == size);
    FUZZ_CHECK(out.kind == in->kind && out.flags == in->flags && out.tag == in->tag);
    FUZZ_CHECK(out.seq == in->seq && out.stamp == in->stamp && out.deadline == in->deadline);
    FUZZ_CHECK(slice_eq(out.payload, in->payload));
    buf_fini(&b);
}

/* The length isn't under the CRC: a wrong one is found by the CRC of other bytes, with the chance
 * of any 32 bits, so a search would find a pair that fits. */
static void check_flipped(uint8_t *data, size_t size, size_t bit)
{
    struct frame f;
    size_t again;
    bit = 32 + bit % (size * 8 - 32);
    data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    FUZZ_CHECK(frame_parse(data, size, MAX_PAYLOAD, &f, &again) != FRAME_OK);
}

static void run(uint8_t *data, size_t len, uint8_t choice)
{
    struct frame f;
    size_t size = 0;
    if (choice & 1)
        put_crc_right(data, len);
    switch (frame_parse(data, len, MAX_PAYLOAD, &f, &size)) {
    case FRAME_OK:
        FUZZ_CHECK(size <= len && f.payload.len == size - FRAME_HEAD);
        check_beginnings(data, size);
        check_round_trip(&f, size);
        check_flipped(data, size, f.seq + choice);
        break;
    case FRAME_MORE:
        FUZZ_CHECK(size > len && size <= FRAME_HEAD + MAX_PAYLOAD);
        break;
    case FRAME_BAD_CRC:
        FUZZ_CHECK(size >= FRAME_HEAD && size <= len && !(choice & 1));
        break;
    case FRAME_BAD_LENGTH:
        FUZZ_CHECK(len >= 4);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *copy = mem_dup(data + 1, size - 1);
    run(copy, size - 1, data[0]);
    mem_free(copy);
    return 0;
}
