/* The log's two formats: one line an event, and each JSON line is JSON, whatever the message. */
#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "unit.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_log.XXXXXX";

static void open_log(bool json)
{
    struct error e;
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert(log_open(path, 5, json, &e));
}

static char *close_log(void)
{
    static char text[65536];
    log_close();
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static void expect_json_message(const char *said, const char *expected)
{
    open_log(true);
    log_warn("%s", said);
    char *text = close_log();
    json_error_t why;
    json_t *o = json_loads(text, 0, &why);
    ck_assert_msg(o != NULL, "%s: %s", why.text, text);
    ck_assert_str_eq(json_string_value(json_object_get(o, "level")), "warn");
    const char *time = json_string_value(json_object_get(o, "time"));
    ck_assert_uint_eq(strlen(time), strlen("2026-01-01T00:00:00.000Z"));
    if (expected)
        ck_assert_str_eq(json_string_value(json_object_get(o, "message")), expected);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    json_decref(o);
}

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static const struct {
    const char *said, *expected;
} messages[] = {
    {"plain", "plain"},
    {"a \"b\" \\ c", "a \"b\" \\ c"},
    {"one\ntwo\r\t\x01", "one\ntwo\r\t\x01"},
    {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\xff", BAD},
    {"\x80 x", BAD " x"},
    {"cut \xe2\x82", "cut " BAD BAD},
    {"\xc0\x80", BAD BAD},                 /* overlong */
    {"\xe0\x80\x80", BAD BAD BAD},         /* overlong */
    {"\xed\xa0\x80", BAD BAD BAD},         /* a surrogate */
    {"\xf4\x90\x80\x80", BAD BAD BAD BAD}, /* above U+10FFFF */
    {"\xf8\x88\x80\x80\x80", BAD BAD BAD BAD BAD},
};

START_TEST(a_json_line_is_json)
{
    expect_json_message(messages[_i].said, messages[_i].expected);
}
END_TEST

/* Longer than a line may be, in each phase of a character and of an escape. */
START_TEST(a_long_json_line_is_json)
{
    static const char *const units[] = {"\xe2\x82\xac", "\x01", "\"", "\xff", "\xf0\x9f\x98\x80x"};
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        struct buf b = BUF_INIT;
        for (int i = 0; i < _i; i++)
            buf_add_str(&b, "y");
        while (b.len < 5000)
            buf_add_str(&b, units[u]);
        buf_add(&b, "", 1);
        expect_json_message((const char *)buf_head(&b), NULL);
        buf_fini(&b);
    }
}
END_TEST

START_TEST(random_bytes_are_json)
{
    unsigned seed = unit_seed();
    for (int round = 0; round < 300; round++) {
        char text[400];
        size_t n = (size_t)rand_r(&seed) % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] = (char)(1 + rand_r(&seed) % 255);
        text[n] = 0;
        expect_json_message(text, NULL);
    }
}
END_TEST

START_TEST(a_text_line_is_one_line)
{
    open_log(false);
    log_warn("one\ntwo\x1b[31m");
    ck_assert_ptr_nonnull(strstr(close_log(), "Z warn   one two [31m\n"));
}
END_TEST

START_TEST(verbosity_decides)
{
    static const char *const said[] = {"E", "W", "N", "I", "D"};
    for (int v = 0; v <= 11; v++) {
        open_log(false);
        log_set_verbosity(v);
        log_error("E");
        log_warn("W");
        log_notice("N");
        log_info("I");
        log_debug("D");
        const char *text = close_log();
        for (int i = 0; i < 5; i++) {
            char *line = mem_printf(" %s\n", said[i]);
            ck_assert_msg((strstr(text, line) != NULL) == (i + LOG_LEVEL_ERROR <= v), "%d: %s", v,
                          text);
            mem_free(line);
        }
    }
}
END_TEST

START_TEST(a_moved_log_is_opened_again)
{
    struct error e;
    char *moved = mem_printf("%s.1", path);
    open_log(false);
    log_warn("first");
    ck_assert_int_eq(rename(path, moved), 0);
    log_warn("second");
    ck_assert(log_reopen(&e));
    log_warn("third");
    const char *text = close_log();
    ck_assert_ptr_nonnull(strstr(text, "third"));
    ck_assert_ptr_null(strstr(text, "second"));
    ck_assert_int_eq(rename(moved, path), 0);
    mem_free(moved);
}
END_TEST

START_TEST(what_cannot_be_opened_is_said)
{
    struct error e;
    ck_assert(!log_open("/nonexistent/d/log", 5, false, &e));
    ck_assert_str_eq(e.text, "log file /nonexistent/d/log: No such file or directory");
    log_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, a_json_line_is_json, 0, (int)ARRAY_LEN(messages));
    tcase_add_loop_test(t, a_long_json_line_is_json, 0, 7);
    tcase_add_test(t, random_bytes_are_json);
    tcase_add_test(t, a_text_line_is_one_line);
    tcase_add_test(t, verbosity_decides);
    tcase_add_test(t, a_moved_log_is_opened_again);
    tcase_add_test(t, what_cannot_be_opened_is_said);
    return s;
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0)
        return EXIT_FAILURE;
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    unlink(path);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
