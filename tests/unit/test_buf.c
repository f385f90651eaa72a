/* Slices, buffers that are eaten from the front, counted blobs. */
#include "core/buf.h"
#include "unit.h"
#include <limits.h>

START_TEST(words_and_numbers)
{
    int64_t v = 99;
    ck_assert(slice_is(slice_str("GeT"), "get"));
    ck_assert(!slice_is(slice_str("GETX"), "get"));
    ck_assert(!slice_is(slice_str(""), "get"));
    ck_assert(!slice_is(slice_of("get\0", 4), "get"));
    ck_assert(slice_eq(slice_of(NULL, 0), slice_str("")));

    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-1", -1},
                {"10", 10},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert(slice_to_i64(slice_str(good[i].text), &v));
        ck_assert_int_eq(v, good[i].value);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      "-0",
                                      "01",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1a",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    v = 99;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!slice_to_i64(slice_str(bad[i]), &v), "took '%s'", bad[i]);
    ck_assert_int_eq(v, 99);
    ck_assert(!slice_to_i64(slice_of("12\0", 3), &v));
}
END_TEST

/* Against a plain array: what was added and not eaten is there, in order. */
START_TEST(adds_and_eats_at_random)
{
    static uint8_t model[1 << 20];
    size_t head = 0, tail = 0, peak = 0;
    struct buf b = BUF_INIT;
    unsigned seed = unit_seed();
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand_r(&seed) % 200;
        if (rand_r(&seed) % 2 && tail + n < sizeof model) {
            for (size_t k = 0; k < n; k++)
                model[tail + k] = (uint8_t)rand_r(&seed);
            if (n % 3) {
                buf_add(&b, model + tail, n);
            } else { /* more room than is used */
                memcpy(buf_reserve(&b, n + 50), model + tail, n);
                buf_commit(&b, n);
            }
            tail += n;
        } else {
            n = n < b.len ? n : b.len;
            buf_eat(&b, n);
            head += n;
        }
        ck_assert_uint_eq(b.len, tail - head);
        ck_assert(slice_eq(buf_slice(&b), slice_of(model + head, tail - head)));
        ck_assert_uint_le(b.off + b.len, b.cap);
        peak = tail - head > peak ? tail - head : peak;
        ck_assert_uint_le(b.cap, 4 * peak + 1024);
    }
    buf_fini(&b);
    ck_assert_uint_eq(b.len, 0);
    buf_add_str(&b, "usable again");
    ck_assert_uint_eq(b.len, 12);
    buf_fini(&b);
}
END_TEST

START_TEST(a_queue_that_never_empties_doesnt_grow)
{
    struct buf b = BUF_INIT;
    static const uint8_t piece[1000];
    for (int i = 0; i < 100000; i++) {
        buf_add(&b, piece, sizeof piece);
        if (b.len > 3000)
            buf_eat(&b, sizeof piece);
    }
    ck_assert_uint_le(b.cap, 32 * 1024);
    buf_fini(&b);
}
END_TEST

START_TEST(reset_gives_back_what_is_large)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, "x");
    buf_reset(&b, 1000);
    ck_assert_ptr_nonnull(b.data);
    ck_assert_uint_eq(b.len, 0);
    buf_reserve(&b, 100000);
    buf_reset(&b, 1000);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(buf_slice(&b).len, 0);
    ck_assert_ptr_nonnull(buf_slice(&b).ptr);
}
END_TEST

START_TEST(prints_any_length)
{
    struct buf b = BUF_INIT;
    char text[5000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    buf_printf(&b, "%d:%s:", 7, text);
    buf_printf(&b, "%s", "");
    ck_assert_uint_eq(b.len, 2 + sizeof text);
    ck_assert_int_eq(memcmp(buf_head(&b), "7:aaa", 5), 0);
    buf_fini(&b);
}
END_TEST

START_TEST(blobs_are_counted)
{
    struct blob *b = blob_new("abc", 3), *again = blob_ref(b);
    ck_assert_ptr_eq(b, again);
    blob_unref(b);
    ck_assert(slice_eq(blob_slice(again), slice_str("abc")));
    blob_unref(again);
    ck_assert_ptr_null(blob_ref(NULL));
    blob_unref(NULL);
    b = blob_new(NULL, 4);
    memcpy(b->data, "wxyz", 4);
    ck_assert(slice_eq(blob_slice(b), slice_str("wxyz")));
    blob_unref(b);
    b = blob_new("", 0);
    ck_assert_uint_eq(blob_slice(b).len, 0);
    blob_unref(b);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, words_and_numbers);
    tcase_add_test(c, adds_and_eats_at_random);
    tcase_add_test(c, a_queue_that_never_empties_doesnt_grow);
    tcase_add_test(c, reset_gives_back_what_is_large);
    tcase_add_test(c, prints_any_length);
    tcase_add_test(c, blobs_are_counted);
}

int main(void)
{
    return unit_main("buf", add_cases);
}
