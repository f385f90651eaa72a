/* The frame codec: round trips, and that nothing damaged is taken for a frame. */
#include "core/mem.h"
#include "wire/crc32c.h"
#include "wire/frame.h"
#include <check.h>
#include <stdlib.h>

/* ---- crc32c: the vectors of RFC 3720, B.4, and the check value of the CRC catalogues -----------
 */

static const struct vector {
    const char *what;
    uint8_t first, step; /* 32 bytes: first, first + step, ... */
    uint32_t crc;
} vectors[] = {
    {"zeros", 0x00, 0, 0x8a9136aau},
    {"ones", 0xff, 0, 0x62a8ab43u},
    {"ascending", 0x00, 1, 0x46dd794eu},
    {"descending", 0x1f, 0xff, 0x113fdb5cu},
};

START_TEST(crc_vectors)
{
    const struct vector *v = &vectors[_i];
    uint8_t data[32];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(v->first + i * v->step);
    ck_assert_msg(crc32c(0, data, sizeof data) == v->crc, "%s", v->what);
    ck_assert_msg(crc32c_software(0, data, sizeof data) == v->crc, "%s, software", v->what);
}
END_TEST

START_TEST(crc_check_value)
{
    static const uint8_t iscsi[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                      0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                      0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(crc32c(0, iscsi, sizeof iscsi), 0xd9963a56u);
    ck_assert_uint_eq(crc32c(0, NULL, 0), 0);
    ck_assert_uint_eq(crc32c(0x1234u, NULL, 0), 0x1234u);
}
END_TEST

START_TEST(crc_any_length_place_and_cut)
{
    uint8_t data[400];
    srand(7);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rand();
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; n + from <= sizeof data; n++) {
            uint32_t whole = crc32c(0, data + from, n);
            ck_assert_uint_eq(whole, crc32c_software(0, data + from, n));
            size_t cut = n / 3;
            uint32_t part = crc32c(0, data + from, cut);
            ck_assert_uint_eq(whole, crc32c(part, data + from + cut, n - cut));
        }
}
END_TEST

/* ---- frames ---------------------------------------------------------------------------------- */

static const char payload[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";

static struct frame sample(void)
{
    return (struct frame){.kind = FRAME_WRITE,
                          .flags = FRAME_WANT_REPLY,
                          .tag = 0xa1b2,
                          .seq = 0x0123456789abcdefu,
                          .stamp = 0xfedcba9876543210u,
                          .deadline = 0x1122334455667788u,
                          .payload = slice_str(payload)};
}

START_TEST(bytes_are_as_documented)
{
    struct frame f = sample();
    f.payload = slice_str("hi");
    struct buf b = BUF_INIT;
    frame_add(&b, &f);
    static const uint8_t behind_crc[] = {1,    1,    0xb2, 0xa1, 0,    0,    0,    0,    0xef,
                                         0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x10, 0x32,
                                         0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 0x88, 0x77, 0x66,
                                         0x55, 0x44, 0x33, 0x22, 0x11, 'h',  'i'};
    ck_assert_uint_eq(b.len, 42);
    ck_assert_mem_eq(buf_head(&b), "\x2a\0\0\0", 4);
    ck_assert_mem_eq(buf_head(&b) + 8, behind_crc, sizeof behind_crc);
    uint32_t crc = crc32c_software(0, behind_crc, sizeof behind_crc);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(buf_head(&b)[4 + i], (crc >> (8 * i)) & 0xff);
    buf_fini(&b);
}
END_TEST

static void assert_same(const struct frame *a, const struct frame *b)
{
    ck_assert_uint_eq(a->kind, b->kind);
    ck_assert_uint_eq(a->flags, b->flags);
    ck_assert_uint_eq(a->tag, b->tag);
    ck_assert_uint_eq(a->seq, b->seq);
    ck_assert_uint_eq(a->stamp, b->stamp);
    ck_assert_uint_eq(a->deadline, b->deadline);
    ck_assert(slice_eq(a->payload, b->payload));
}

START_TEST(round_trip)
{
    struct frame in = sample(), out;
    struct buf b = BUF_INIT;
    frame_add(&b, &in);
    size_t size = 0;
    ck_assert_int_eq(frame_parse(buf_head(&b), b.len, FRAME_PAYLOAD_MAX, &out, &size), FRAME_OK);
    ck_assert_uint_eq(size, b.len);
    ck_assert_uint_eq(size, frame_size(in.payload.len));
    assert_same(&in, &out);
    ck_assert_ptr_eq(out.payload.ptr, buf_head(&b) + FRAME_HEAD);
    buf_fini(&b);
}
END_TEST

START_TEST(round_trip_empty)
{
    struct frame in = {.kind = FRAME_BEAT, .stamp = 5}, out;
    struct buf b = BUF_INIT;
    frame_add(&b, &in);
    size_t size = 0;
    ck_assert_uint_eq(b.len, FRAME_HEAD);
    ck_assert_int_eq(frame_parse(buf_head(&b), b.len, 0, &out, &size), FRAME_OK);
    assert_same(&in, &out);
    buf_fini(&b);
}
END_TEST

START_TEST(two_parts_are_one_payload)
{
    struct frame whole = sample();
    uint8_t head[FRAME_HEAD], head2[FRAME_HEAD];
    frame_head(&whole, head);
    for (size_t cut = 0; cut <= sizeof payload - 1; cut++) {
        struct frame first = whole;
        first.payload.len = cut;
        frame_head2(&first, slice_of(payload + cut, sizeof payload - 1 - cut), head2);
        ck_assert_mem_eq(head, head2, FRAME_HEAD);
    }
}
END_TEST

START_TEST(two_frames_in_a_row)
{
    struct frame a = sample(), b = {.kind = FRAME_BEAT}, out;
    struct buf bytes = BUF_INIT;
    frame_add(&bytes, &a);
    frame_add(&bytes, &b);
    size_t first, second;
    ck_assert_int_eq(frame_parse(buf_head(&bytes), bytes.len, 1000, &out, &first), FRAME_OK);
    assert_same(&a, &out);
    buf_eat(&bytes, first);
    ck_assert_int_eq(frame_parse(buf_head(&bytes), bytes.len, 1000, &out, &second), FRAME_OK);
    assert_same(&b, &out);
    ck_assert_uint_eq(second, bytes.len);
    buf_fini(&bytes);
}
END_TEST

START_TEST(every_cut_asks_for_more)
{
    struct frame in = sample(), out;
    struct buf b = BUF_INIT;
    frame_add(&b, &in);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *exact = mem_dup(buf_head(&b), len ? len : 1); /* the address sanitizer watches */
        size_t size = 0;
        ck_assert_int_eq(frame_parse(exact, len, 1000, &out, &size), FRAME_MORE);
        ck_assert_uint_eq(size, len < 4 ? FRAME_HEAD : b.len);
        mem_free(exact);
    }
    buf_fini(&b);
}
END_TEST

/* A flipped bit in the length makes it wait for bytes, refuse the length or miss the CRC; anywhere
 * else the CRC doesn't fit. */
START_TEST(every_flipped_bit_is_found)
{
    struct frame in = sample(), out;
    struct buf b = BUF_INIT;
    frame_add(&b, &in);
    uint8_t *data = b.data + b.off;
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        size_t size = 0;
        enum frame_status st = frame_parse(data, b.len, FRAME_PAYLOAD_MAX, &out, &size);
        if (bit >= 32)
            ck_assert_int_eq(st, FRAME_BAD_CRC);
        ck_assert_msg(st != FRAME_OK, "bit %zu", bit);
        if (st == FRAME_BAD_CRC && bit >= 32) {
            ck_assert_uint_eq(size, b.len);
            /* who has checked before isn't told */
            st = frame_parse_checked(data, b.len, FRAME_PAYLOAD_MAX, &out, &size);
            ck_assert_int_eq(st, FRAME_OK);
        }
        data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    buf_fini(&b);
}
END_TEST

static enum frame_status parse_length(uint32_t length, size_t max_payload, size_t *size)
{
    uint8_t data[FRAME_HEAD] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16),
                                (uint8_t)(length >> 24)};
    struct frame out;
    return frame_parse(data, 4, max_payload, &out, size);
}

START_TEST(lengths)
{
    size_t size = 0;
    ck_assert_int_eq(parse_length(0, 100, &size), FRAME_BAD_LENGTH);
    ck_assert_int_eq(parse_length(FRAME_HEAD - 1, 100, &size), FRAME_BAD_LENGTH);
    ck_assert_int_eq(parse_length(FRAME_HEAD, 100, &size), FRAME_MORE);
    ck_assert_uint_eq(size, FRAME_HEAD);
    ck_assert_int_eq(parse_length(FRAME_HEAD + 100, 100, &size), FRAME_MORE);
    ck_assert_uint_eq(size, FRAME_HEAD + 100);
    ck_assert_int_eq(parse_length(FRAME_HEAD + 101, 100, &size), FRAME_BAD_LENGTH);
    ck_assert_int_eq(parse_length(UINT32_MAX, FRAME_PAYLOAD_MAX, &size), FRAME_BAD_LENGTH);
    ck_assert_int_eq(parse_length(FRAME_HEAD + FRAME_PAYLOAD_MAX, FRAME_PAYLOAD_MAX, &size),
                     FRAME_MORE);
    ck_assert_int_eq(parse_length(FRAME_HEAD + FRAME_PAYLOAD_MAX + 1, FRAME_PAYLOAD_MAX, &size),
                     FRAME_BAD_LENGTH);
}
END_TEST

START_TEST(a_reply_larger_than_a_frame_is_an_error)
{
    struct slice fits = {.ptr = (const uint8_t *)"$1", .len = FRAME_PAYLOAD_MAX}, large = fits;
    large.len++; /* nobody reads it */
    ck_assert_uint_eq(frame_reply(fits).len, FRAME_PAYLOAD_MAX);
    ck_assert(slice_eq(frame_reply(large),
                       slice_str("-ERR the reply is larger than what nodes send each other\r\n")));
}
END_TEST

static Suite *frame_suite(void)
{
    Suite *s = suite_create("frame");
    TCase *crc = tcase_create("crc32c");
    tcase_add_loop_test(crc, crc_vectors, 0, (int)ARRAY_LEN(vectors));
    tcase_add_test(crc, crc_check_value);
    tcase_add_test(crc, crc_any_length_place_and_cut);
    suite_add_tcase(s, crc);
    TCase *frames = tcase_create("frames");
    tcase_add_test(frames, bytes_are_as_documented);
    tcase_add_test(frames, round_trip);
    tcase_add_test(frames, round_trip_empty);
    tcase_add_test(frames, two_parts_are_one_payload);
    tcase_add_test(frames, two_frames_in_a_row);
    tcase_add_test(frames, every_cut_asks_for_more);
    tcase_add_test(frames, every_flipped_bit_is_found);
    tcase_add_test(frames, lengths);
    tcase_add_test(frames, a_reply_larger_than_a_frame_is_an_error);
    suite_add_tcase(s, frames);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(frame_suite());
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
