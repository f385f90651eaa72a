/* Batches of frames that go packed, and the rate at which records go out. */
#include "core/bytes.h"
#include "core/mem.h"
#include "peer/bucket.h"
#include "peer/inbound.h"
#include "unit.h"
#include "wire/pack.h"
#include <math.h>
#include <stdlib.h>

#define MARK 7u
#define SEQ  ((uint64_t)MARK << 32)

static void add_write(struct buf *b, uint64_t seq, struct slice payload)
{
    frame_add(b, &(struct frame){.kind = FRAME_WRITE, .seq = seq, .stamp = 5, .payload = payload});
}

static struct buf writes(unsigned n)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 1; i <= n; i++)
        add_write(&b, SEQ + i, slice_str("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n"));
    return b;
}

static struct slice random_bytes(uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)random();
    return slice_of(to, n);
}

/* The payload of the one packed frame in `b`. */
static struct slice packed(const struct buf *b)
{
    struct frame f;
    size_t size;
    ck_assert_int_eq(frame_parse(buf_head(b), b->len, FRAME_PAYLOAD_MAX, &f, &size), FRAME_OK);
    ck_assert_uint_eq(size, b->len);
    ck_assert_int_eq(f.kind, FRAME_PACKED);
    return f.payload;
}

/* A packed frame's payload that says so of these bytes, whatever they are. */
static struct buf pack_any(struct slice bytes)
{
    struct buf b = BUF_INIT, long_enough = BUF_INIT;
    static const uint8_t zeros[PACK_MIN];
    buf_add(&long_enough, bytes.ptr, bytes.len);
    if (bytes.len < PACK_MIN)
        buf_add(&long_enough, zeros, sizeof zeros);
    ck_assert(pack_add(&b, buf_slice(&long_enough)));
    buf_fini(&long_enough);
    buf_eat(&b, FRAME_HEAD);
    return b;
}

static void refused(struct slice payload, const char *said)
{
    struct error e = {{0}};
    ck_assert_ptr_null(pack_open(payload, &e));
    ck_assert_msg(strstr(e.text, said) != NULL, "%s", e.text);
}

static void batch_refused(struct slice frames, const char *said)
{
    struct error e = {{0}};
    ck_assert(!inbound_batch_ok(frames, MARK, &e));
    ck_assert_msg(strstr(e.text, said) != NULL, "%s", e.text);
}

START_TEST(what_is_packed_comes_out)
{
    struct error e;
    struct buf out = BUF_INIT, raw = writes(100);
    frame_add_skip(&raw, SEQ + 100, SEQ + 200);
    ck_assert(pack_add(&out, buf_slice(&raw)));
    ck_assert_uint_lt(out.len, raw.len / 3);
    struct blob *b = pack_open(packed(&out), &e);
    ck_assert_ptr_nonnull(b);
    ck_assert(slice_eq(blob_slice(b), buf_slice(&raw)));
    ck_assert(inbound_batch_ok(blob_slice(b), MARK, &e));
    blob_unref(b);
    buf_fini(&raw);
    buf_fini(&out);
}
END_TEST

START_TEST(small_or_stubborn_batches_go_bare)
{
    static uint8_t noise[60000];
    struct buf out = BUF_INIT, raw = writes(1);
    ck_assert(!pack_add(&out, buf_slice(&raw)));
    buf_fini(&raw);
    add_write(&raw, SEQ + 1, random_bytes(noise, sizeof noise));
    buf_add_str(&out, "before");
    ck_assert(!pack_add(&out, buf_slice(&raw)));
    ck_assert_uint_eq(out.len, 6);
    buf_fini(&raw);
    buf_fini(&out);
}
END_TEST

/* Sizes are looked at before anything is allocated. */
START_TEST(sizes_that_cannot_be)
{
    struct buf raw = writes(100), out = pack_any(buf_slice(&raw));
    uint8_t *p = out.data + out.off;
    const uint32_t sizes[] = {0, FRAME_HEAD - 1, PACK_RAW_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        put32(p, sizes[i]);
        refused(buf_slice(&out), "that says it holds");
    }
    put32(p, PACK_RAW_MAX); /* allowed, but not for so few bytes */
    refused(buf_slice(&out), "that says it holds");
    put32(p, (uint32_t)raw.len - 1);
    refused(buf_slice(&out), "doesn't unpack");
    put32(p, (uint32_t)raw.len + 1);
    refused(buf_slice(&out), "doesn't unpack");
    for (size_t n = 0; n <= 4; n++)
        refused(slice_of(p, n), "that says it holds 0 ");
    buf_fini(&raw);
    buf_fini(&out);
}
END_TEST

START_TEST(damaged_blocks)
{
    struct buf raw = writes(100), out = pack_any(buf_slice(&raw));
    uint8_t *p = out.data + out.off;
    unsigned found = 0;
    for (size_t n = 5; n < out.len; n++)
        refused(slice_of(p, n), "a packed frame of");
    for (size_t at = 4; at < out.len; at++) {
        struct error e;
        p[at] ^= 0x55;
        struct blob *b = pack_open(buf_slice(&out), &e);
        found += !b || !inbound_batch_ok(blob_slice(b), MARK, &e);
        blob_unref(b);
        p[at] ^= 0x55;
    }
    ck_assert_uint_eq(found, out.len - 4); /* each record has its checksum */
    buf_fini(&raw);
    buf_fini(&out);
}
END_TEST

/* What comes out are whole records with numbers that the sender can have given. */
START_TEST(what_may_not_be_packed)
{
    struct buf raw = writes(20), twice = BUF_INIT, other = BUF_INIT;
    size_t one = raw.len / 20;
    batch_refused(slice_of(buf_head(&raw), raw.len - 1), "isn't a whole frame at byte");
    batch_refused(slice_of(buf_head(&raw), one + 3), "isn't a whole frame at byte");
    ck_assert(pack_add(&twice, buf_slice(&raw)));
    batch_refused(buf_slice(&twice), "of kind 4; allowed 1 and 2");
    frame_add(&other, &(struct frame){.kind = FRAME_READ, .seq = 1});
    batch_refused(buf_slice(&other), "of kind 30; allowed 1 and 2");
    buf_reset(&other, 0);
    add_write(&other, (uint64_t)(MARK + 1) << 32, slice_str("x"));
    batch_refused(buf_slice(&other), "above its start mark");
    raw.data[raw.off + one + FRAME_HEAD] ^= 1;
    batch_refused(buf_slice(&raw), "a wrong checksum at byte");
    buf_fini(&raw);
    buf_fini(&twice);
    buf_fini(&other);
}
END_TEST

/* ---- the bucket -------------------------------------------------------------------------------
 */

#define RATE 100000u /* a burst is 10,000 */

/* Records of `size` bytes for `ms`, looked for as often as the bucket says; how many bytes. */
static uint64_t run(struct bucket *b, uint64_t *now, uint64_t ms, size_t size, unsigned *looks)
{
    uint64_t sum = 0, end = *now + ms;
    for (*looks = 0; *now < end; *now += bucket_wait_ms(b)) {
        ++*looks;
        while (bucket_left(b, RATE, *now)) {
            bucket_take(b, size);
            sum += size;
        }
    }
    return sum;
}

START_TEST(no_rate_no_limit)
{
    struct bucket b = {0};
    ck_assert_uint_eq(bucket_left(&b, 0, 1000), SIZE_MAX);
    bucket_take(&b, 1u << 30);
    ck_assert_uint_eq(bucket_left(&b, 0, 1000), SIZE_MAX);
    ck_assert_uint_eq(bucket_left(&b, RATE, 1000), RATE / 10); /* and no debt from before */
}
END_TEST

START_TEST(it_holds_its_rate)
{
    for (size_t size = 100; size <= 10000; size *= 10) {
        struct bucket b = {0};
        uint64_t now = 1000;
        unsigned looks;
        uint64_t sum = run(&b, &now, 10000, size, &looks);
        ck_assert_uint_le(sum, 10 * RATE + RATE / 10 + size);
        ck_assert_uint_ge(sum, 10 * RATE - RATE / 10 - size);
        ck_assert_uint_le(looks, 10000 / 25 + 1); /* in batches, and nobody spins */
    }
}
END_TEST

/* No window of time has more than its part, a burst and a record. */
START_TEST(bursts_are_small)
{
    struct bucket b = {0};
    uint64_t now = 1000, sent[2000] = {0};
    for (unsigned ms = 0; ms < 2000; ms++, now++)
        while (ms % 500 > 250 && bucket_left(&b, RATE, now)) {
            bucket_take(&b, 700);
            sent[ms] += 700;
        }
    unsigned over = 0;
    for (unsigned from = 0; from < 2000; from++) {
        uint64_t sum = 0;
        for (unsigned to = from; to < 2000; to++) {
            sum += sent[to];
            over += sum > RATE / 10 + 700 + (uint64_t)(to - from) * RATE / 1000;
        }
    }
    ck_assert_uint_eq(over, 0);
}
END_TEST

START_TEST(a_large_record_is_paid_off)
{
    struct bucket b = {0};
    ck_assert_uint_gt(bucket_left(&b, RATE, 1000), 0);
    bucket_take(&b, 5 * RATE);
    ck_assert_uint_eq(bucket_left(&b, RATE, 1001), 0);
    ck_assert_uint_ge(bucket_wait_ms(&b), 4900);
    ck_assert_uint_eq(bucket_left(&b, RATE, 5800), 0);
    ck_assert_uint_gt(bucket_left(&b, RATE, 6000), 0);
}
END_TEST

START_TEST(a_rate_changes)
{
    struct bucket b = {0};
    ck_assert_uint_gt(bucket_left(&b, RATE, 1000), 0);
    bucket_take(&b, 5 * RATE);
    ck_assert_uint_eq(bucket_left(&b, RATE, 1001), 0);
    ck_assert_uint_gt(bucket_left(&b, 100 * RATE, 1101), 0);
    ck_assert_uint_le(bucket_left(&b, RATE / 10, 1101), RATE / 100); /* its burst is smaller */
    ck_assert_uint_gt(bucket_left(&b, 1, 100000), 0);                /* the least there is */
    bucket_take(&b, 1);
    ck_assert_uint_eq(bucket_left(&b, 1, 100001), 0);
    ck_assert_uint_le(bucket_wait_ms(&b), 1000);
}
END_TEST

/* Others are never held up; they take up to half of the rate from those who are. */
START_TEST(others_count_up_to_half)
{
    const unsigned others[] = {0, RATE / 4, RATE / 2, 10 * RATE};
    const unsigned left[] = {RATE, RATE * 3 / 4, RATE / 2, RATE / 2};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct bucket b = {0};
        uint64_t now = 1000, sum = 0;
        for (; now < 11000; now++) {
            if (now % 10 == 0)
                bucket_take_others(&b, others[i] / 100);
            while (bucket_left(&b, RATE, now)) {
                bucket_take(&b, 500);
                sum += 500;
            }
        }
        ck_assert_uint_le(sum, 10ull * left[i] + RATE / 10 + 500);
        ck_assert_uint_ge(sum, 10ull * left[i] - RATE / 10 - 500);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, what_is_packed_comes_out);
    tcase_add_test(c, small_or_stubborn_batches_go_bare);
    tcase_add_test(c, sizes_that_cannot_be);
    tcase_add_test(c, damaged_blocks);
    tcase_add_test(c, what_may_not_be_packed);
    tcase_add_test(c, no_rate_no_limit);
    tcase_add_test(c, it_holds_its_rate);
    tcase_add_test(c, bursts_are_small);
    tcase_add_test(c, a_large_record_is_paid_off);
    tcase_add_test(c, a_rate_changes);
    tcase_add_test(c, others_count_up_to_half);
}

int main(void)
{
    return unit_main("pack", add_cases);
}
