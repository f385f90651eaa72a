/* The key hashes, on every row of tests/vectors/hash_tokens.tsv, and hash tags. */
#include "core/mem.h"
#include "ring/hash.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* Calls `row` for each line behind the heading; the strings live until it returns. */
static void each_row(void (*row)(const char *hash, const char *key, const char *token))
{
    const char *dir = getenv("TEST_VECTORS");
    ck_assert_msg(dir != NULL, "TEST_VECTORS must name the directory of hash_tokens.tsv");
    char *path = mem_printf("%s/hash_tokens.tsv", dir);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "can't open %s", path);
    char *line = NULL;
    size_t cap = 0;
    ck_assert(getline(&line, &cap, f) > 0);
    ck_assert_str_eq(line, "hash\tkey\ttoken\n");
    while (getline(&line, &cap, f) > 0) {
        char *save = NULL;
        char *hash = strtok_r(line, "\t", &save);
        char *key = strtok_r(NULL, "\t", &save);
        char *token = strtok_r(NULL, "\n", &save);
        ck_assert_msg(token != NULL, "%s: a row without three columns", path);
        row(hash, key, token);
    }
    mem_free(line);
    fclose(f);
    mem_free(path);
}

static unsigned rows[HASH_KINDS];

/* The key lies in a block of its own that ends where the key does, at each alignment: a read past
 * its end or one that needs an aligned address shows under the sanitizers. */
static void check_row(const char *hash, const char *key, const char *token)
{
    enum hash_kind kind;
    ck_assert_msg(hash_parse(hash, &kind), "unknown hash %s", hash);
    size_t len = strlen(key);
    for (size_t shift = 0; shift < 8; shift++) {
        uint8_t *block = mem_alloc(shift + len);
        memcpy(block + shift, key, len);
        uint32_t got = hash_token(kind, slice_of(block + shift, len));
        mem_free(block);
        ck_assert_msg(got == strtoul(token, NULL, 10), "%s of \"%s\": got %u, not %s", hash, key,
                      got, token);
    }
    rows[kind]++;
}

START_TEST(every_vector_is_met)
{
    each_row(check_row);
    for (unsigned i = 0; i < HASH_KINDS; i++)
        ck_assert_msg(rows[i] >= 135, "%s: %u rows", hash_name((enum hash_kind)i), rows[i]);
}
END_TEST

/* Published check values, and what Netflix's hsieh makes of an odd byte above 127; no vector ends
 * in one. */
START_TEST(known_answers)
{
    struct slice digits = slice_str("123456789");
    ck_assert_uint_eq(hash_token(HASH_CRC32A, digits), 0xcbf43926);
    ck_assert_uint_eq(hash_token(HASH_CRC16, digits) & 0xffff, 0x31c3);
    ck_assert_uint_eq(hash_token(HASH_FNV1_32, slice_str("foobar")), 0x31f0b262);
    ck_assert_uint_eq(hash_token(HASH_FNV1A_32, slice_str("foobar")), 0xbf9cf968);
    ck_assert_uint_eq(hash_token(HASH_MD5, slice_str("abc")), 0x98500190);
    ck_assert_uint_eq(hash_token(HASH_HSIEH, slice_str("\xff")), 0x02a6dba8);
    ck_assert_uint_eq(hash_token(HASH_HSIEH, slice_str("ab\xff")), 0xcfbb141d);
}
END_TEST

START_TEST(empty_key_has_a_token)
{
    static const uint32_t expected[HASH_KINDS] = {
        [HASH_MD5] = 0xd98c1dd4,     [HASH_FNV1_64] = 0x84222325,  [HASH_FNV1A_64] = 0x84222325,
        [HASH_FNV1_32] = 0x811c9dc5, [HASH_FNV1A_32] = 0x811c9dc5, [HASH_JENKINS] = 0xdeadbefc,
    };
    for (unsigned i = 0; i < HASH_KINDS; i++) {
        enum hash_kind kind = (enum hash_kind)i;
        uint32_t token = hash_token(kind, slice_of("", 0));
        ck_assert_msg(hash_token(kind, slice_of(NULL, 0)) == token, "%s", hash_name(kind));
        if (kind != HASH_MURMUR3 && kind != HASH_MURMUR3_X64_64)
            ck_assert_msg(token == expected[i], "%s: got %u", hash_name(kind), token);
    }
}
END_TEST

/* Keys are bytes: a NUL counts, and a byte above 127 isn't taken for a character. */
START_TEST(keys_are_binary)
{
    for (unsigned i = 0; i < HASH_KINDS; i++) {
        enum hash_kind kind = (enum hash_kind)i;
        ck_assert_msg(hash_token(kind, slice_of("ab\0cdefg", 8)) !=
                          hash_token(kind, slice_of("ab\0cdefh", 8)),
                      "%s stops at a NUL", hash_name(kind));
    }
    ck_assert_uint_ne(hash_token(HASH_MURMUR, slice_str("\xff\xfe")),
                      hash_token(HASH_MURMUR, slice_str("\x7f\x7e")));
}
END_TEST

START_TEST(names_go_both_ways)
{
    for (unsigned i = 0; i < HASH_KINDS; i++) {
        enum hash_kind back;
        ck_assert(hash_parse(hash_name((enum hash_kind)i), &back));
        ck_assert_uint_eq(back, i);
    }
}
END_TEST

START_TEST(unknown_names_are_refused)
{
    static const char *const bad[] = {"", "MURMUR", "murmu", "murmur2", " murmur", "ketama"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        enum hash_kind kind = HASH_CRC16;
        ck_assert_msg(!hash_parse(bad[i], &kind), "\"%s\" was taken", bad[i]);
        ck_assert_uint_eq(kind, HASH_CRC16);
    }
}
END_TEST

static const struct {
    const char *key, *tag, *hashed;
} TAGGED[] = {
    {"user:{1000}:name", "{}", "1000"},
    {"{tag}", "{}", "tag"},
    {"{a}{b}", "{}", "a"},        /* the first pair counts */
    {"}x{a}", "{}", "a"},         /* a close before the open doesn't */
    {"a{b{c}d", "{}", "b{c"},     /* pairs don't nest */
    {"a{}b{c}", "{}", "a{}b{c}"}, /* nothing between: whole key, no second look */
    {"{}", "{}", "{}"},
    {"a{b", "{}", "a{b"},
    {"a}b", "{}", "a}b"},
    {"a{", "{}", "a{"},
    {"plain", "{}", "plain"},
    {"", "{}", ""},
    {"a$b$c", "$$", "b"}, /* one character for both */
    {"a$b", "$$", "a$b"},
    {"{tag}:1", "", "{tag}:1"}, /* hash_tag isn't set */
};

START_TEST(tag_picks_what_is_hashed)
{
    struct slice got = hash_tagged(slice_str(TAGGED[_i].key), TAGGED[_i].tag);
    ck_assert_msg(slice_eq(got, slice_str(TAGGED[_i].hashed)), "%s with %s: got %.*s",
                  TAGGED[_i].key, TAGGED[_i].tag, (int)got.len, (const char *)got.ptr);
}
END_TEST

START_TEST(tag_of_no_bytes)
{
    ck_assert_uint_eq(hash_tagged(slice_of(NULL, 0), "{}").len, 0);
    ck_assert_uint_eq(hash_tagged(slice_of(NULL, 0), "").len, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hash");
    TCase *t = tcase_create("tokens");
    tcase_add_test(t, every_vector_is_met);
    tcase_add_test(t, known_answers);
    tcase_add_test(t, empty_key_has_a_token);
    tcase_add_test(t, keys_are_binary);
    tcase_add_test(t, names_go_both_ways);
    tcase_add_test(t, unknown_names_are_refused);
    suite_add_tcase(s, t);
    t = tcase_create("tags");
    tcase_add_loop_test(t, tag_picks_what_is_hashed, 0, (int)ARRAY_LEN(TAGGED));
    tcase_add_test(t, tag_of_no_bytes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
