/* What Redis tells of its commands: the tables of COMMAND INFO and COMMAND DOCS are whole, sorted
 * and readable to the end; key specifications find keys. (tests/cluster/test_session.py compares
 * what is told with a redis-server.) */
#include "core/mem.h"
#include "unit.h"
#include "wire/command_about.h"
#include "wire/command_syntax.h"

START_TEST(every_command_is_told_of)
{
    size_t n, nabout;
    const struct command_spec *table = command_table(&n);
    const struct command_about *about = command_about_table(&nabout);
    for (size_t i = 0; i < n; i++)
        if (!(table[i].flags & (COMMAND_MEMCACHE | COMMAND_RECORD))) {
            const struct command_about *a = command_about_find(slice_str(table[i].name));
            ck_assert_msg(a && strcmp(a->name, table[i].name) == 0, "%s", table[i].name);
        }
    for (size_t i = 0; i < nabout; i++) {
        const char *bar = strchr(about[i].name, '|');
        ck_assert(i == 0 || strcmp(about[i - 1].name, about[i].name) < 0);
        ck_assert_ptr_eq(command_about_find(slice_str(about[i].name)), &about[i]);
        ck_assert_ptr_nonnull(command_syntax_find(about[i].name));
        if (!bar)
            ck_assert_ptr_nonnull(command_find(slice_str(about[i].name)));
    }
}
END_TEST

START_TEST(names_are_found_in_any_case_and_only_whole)
{
    static const char *const none[] = {"",         "ge",         "gett", "client|",
                                       "client|i", "client|idx", "|id"};
    ck_assert_str_eq(command_about_find(slice_str("gEt"))->name, "GET");
    ck_assert_str_eq(command_about_find(slice_str("client|Id"))->name, "CLIENT|ID");
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_msg(!command_about_find(slice_str(none[i])), "%s", none[i]);
    ck_assert_ptr_null(command_about_find(slice_of("get\0", 4)));
}
END_TEST

START_TEST(subcommands_are_those_of_the_container_alone)
{
    size_t n;
    const struct command_about *subs =
        command_about_subs(command_about_find(slice_str("CLIENT")), &n);
    ck_assert_uint_eq(n, 16);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(strncmp(subs[i].name, "CLIENT|", 7), 0);
    command_about_subs(command_about_find(slice_str("GET")), &n);
    ck_assert_uint_eq(n, 0);
}
END_TEST

/* The keys that a specification finds in a line of blanks and words, as "first-last". */
static void expect_keys(const char *spec, const char *line, size_t first, size_t last)
{
    struct slice argv[16];
    struct resp_command cmd = {.argv = argv};
    struct command_keyspec k;
    size_t found_last = 0;
    for (const char *at = line; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        argv[cmd.argc++] = slice_of(at, len);
        at += len;
    }
    ck_assert(command_keyspec_next(&spec, &k));
    ck_assert_uint_eq(command_keyspec_keys(&k, &cmd, &found_last), first);
    if (first)
        ck_assert_uint_eq(found_last, last);
    ck_assert(!command_keyspec_next(&spec, &k));
}

START_TEST(key_specifications_find_keys)
{
    expect_keys("RO access@1", "GET k", 1, 1);
    expect_keys("RO access@1", "GET", 0, 0);
    expect_keys("OW@1..-1/2", "MSET a 1 b 2", 1, 4);
    expect_keys("RW@1..-2", "BLPOP a b 0", 1, 2);
    expect_keys("RO@2#", "EVAL s 2 a b c", 3, 4);
    expect_keys("RO@2#", "EVAL s 3 a b", 0, 0);
    expect_keys("RO@2#", "EVAL s 0 a", 0, 0);
    expect_keys("RO@2#", "EVAL s x a", 0, 0);
    expect_keys("RO@STREAMS:1..-1%2", "XREAD COUNT 2 streams a b 0 0", 4, 5);
    expect_keys("OW@STORE:6", "GEORADIUS k 1 2 3 m STORE d", 7, 7);
    expect_keys("OW@STORE:6", "GEORADIUS k 1 2 3 m DESC", 0, 0);
    expect_keys("OW@STORE:6", "GEORADIUS k 1 2 3 m STORE", 0, 0);
    expect_keys("RW@KEYS:-2..-1", "MIGRATE h 1 x 0 9 KEYS a b", 7, 8);
    expect_keys("RO@?", "SORT k BY w_*", 0, 0);
}
END_TEST

/* Walks the whole of it; returns how many arguments there are, on all floors. */
static size_t walk(const char *list)
{
    struct command_argument a;
    size_t n = 0;
    for (const char *at = list; command_argument_next(&at, &a); n++) {
        ck_assert_uint_gt(a.name.len, 0);
        ck_assert(a.type && *a.type);
        if (a.inside) {
            ck_assert(strcmp(a.type, "oneof") == 0 || strcmp(a.type, "block") == 0);
            n += walk(a.inside);
        }
    }
    return n;
}

START_TEST(arguments_are_taken_apart)
{
    const char *at = "key,key@0 id,oneof*(auto,token=* n,integer?=LIMIT) f,block?*+=GET(a,string)";
    struct command_argument a;
    ck_assert(command_argument_next(&at, &a));
    ck_assert(slice_is(a.name, "key") && a.keyspec == 0 && !a.optional && !a.inside);
    ck_assert(command_argument_next(&at, &a));
    ck_assert(a.multiple && !a.optional && a.keyspec == -1 && !a.has_token);
    ck_assert_str_eq(a.type, "oneof");
    const char *in = a.inside;
    ck_assert(command_argument_next(&in, &a) && slice_is(a.token, "*"));
    ck_assert_str_eq(a.type, "pure-token");
    ck_assert(command_argument_next(&in, &a) && slice_is(a.token, "LIMIT") && a.optional);
    ck_assert(!command_argument_next(&in, &a));
    ck_assert(command_argument_next(&at, &a));
    ck_assert(a.optional && a.multiple && a.multiple_token && slice_is(a.token, "GET"));
    ck_assert(!command_argument_next(&at, &a));
}
END_TEST

START_TEST(every_syntax_is_read_to_its_end)
{
    size_t n, all = 0;
    const struct command_about *about = command_about_table(&n);
    for (size_t i = 0; i < n; i++)
        all += walk(command_syntax_find(about[i].name)->arguments);
    ck_assert_uint_gt(all, 1000);
    ck_assert_ptr_null(command_syntax_find("NOSUCH"));
}
END_TEST

static void cases(TCase *c)
{
    tcase_add_test(c, every_command_is_told_of);
    tcase_add_test(c, names_are_found_in_any_case_and_only_whole);
    tcase_add_test(c, subcommands_are_those_of_the_container_alone);
    tcase_add_test(c, key_specifications_find_keys);
    tcase_add_test(c, arguments_are_taken_apart);
    tcase_add_test(c, every_syntax_is_read_to_its_end);
}

int main(void)
{
    return unit_main("command_about", cases);
}
