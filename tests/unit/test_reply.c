/* Which replies of equal replicas are the same: order, lifetimes, chance. And what the command
 * table says of each. */
#include "core/buf.h"
#include "core/mem.h"
#include "unit.h"
#include "wire/command.h"
#include "wire/resp.h"

START_TEST(replies)
{
    static const struct {
        enum reply_compare how;
        const char *a, *b;
        bool same;
    } cases[] = {
        {REPLY_EXACT, "$1\r\na\r\n", "$1\r\na\r\n", true},
        {REPLY_EXACT, "$1\r\na\r\n", "$1\r\nb\r\n", false},
        {REPLY_EXACT, "*2\r\n:1\r\n:2\r\n", "*2\r\n:2\r\n:1\r\n", false},
        {REPLY_ELEMENTS, "*2\r\n:1\r\n:2\r\n", "*2\r\n:2\r\n:1\r\n", true},
        {REPLY_ELEMENTS, "*2\r\n:1\r\n:2\r\n", "*2\r\n:2\r\n:2\r\n", false},
        {REPLY_ELEMENTS, "*3\r\n:1\r\n:2\r\n:2\r\n", "*3\r\n:2\r\n:1\r\n:1\r\n", false},
        {REPLY_ELEMENTS, "*2\r\n$2\r\nab\r\n$1\r\nc\r\n", "*2\r\n$1\r\nc\r\n$2\r\nab\r\n", true},
        {REPLY_ELEMENTS, "*2\r\n$2\r\nab\r\n$1\r\nc\r\n", "*2\r\n$1\r\na\r\n$2\r\nbc\r\n", false},
        {REPLY_ELEMENTS, "*0\r\n", "*0\r\n", true},
        {REPLY_ELEMENTS, "*0\r\n", "*1\r\n:1\r\n", false},
        {REPLY_ELEMENTS, "*-1\r\n", "*0\r\n", false},
        {REPLY_ELEMENTS, "-ERR a\r\n", "-ERR b\r\n", false},
        {REPLY_ELEMENTS, "-ERR a\r\n", "*1\r\n:12\r\n", false},
        {REPLY_ELEMENTS, "*2\r\n*2\r\n:1\r\n:2\r\n:3\r\n", "*2\r\n:3\r\n*2\r\n:1\r\n:2\r\n", true},
        {REPLY_ELEMENTS, "*2\r\n*2\r\n:1\r\n:2\r\n:3\r\n", "*2\r\n:3\r\n*2\r\n:2\r\n:1\r\n", false},
        {REPLY_ELEMENTS, "*9\r\n:1\r\n", "*9\r\n:2\r\n", false}, /* it ends too early */
        {REPLY_PAIRS, "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "*4\r\n:3\r\n:4\r\n:1\r\n:2\r\n", true},
        {REPLY_PAIRS, "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "*4\r\n:1\r\n:4\r\n:3\r\n:2\r\n", false},
        {REPLY_PAIRS, "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "*4\r\n:2\r\n:1\r\n:4\r\n:3\r\n", false},
        {REPLY_PAIRS, "*3\r\n:1\r\n:2\r\n:3\r\n", "*3\r\n:3\r\n:2\r\n:1\r\n", false},
        {REPLY_SECONDS, ":100\r\n", ":99\r\n", true},
        {REPLY_SECONDS, ":100\r\n", ":111\r\n", true},
        {REPLY_SECONDS, ":100\r\n", ":112\r\n", false},
        {REPLY_SECONDS, ":-1\r\n", ":-2\r\n", false},
        {REPLY_SECONDS, ":-1\r\n", ":0\r\n", false},
        {REPLY_SECONDS, ":-2\r\n", ":-2\r\n", true},
        {REPLY_SECONDS, ":9223372036854775807\r\n", ":0\r\n", false},
        {REPLY_SECONDS, "-ERR\r\n", ":1\r\n", false},
        {REPLY_MILLISECONDS, ":20000\r\n", ":9000\r\n", true},
        {REPLY_MILLISECONDS, ":20000\r\n", ":8999\r\n", false},
        {REPLY_KIND, "$1\r\na\r\n", "$2\r\nbc\r\n", true},
        {REPLY_KIND, "$1\r\na\r\n", "$-1\r\n", false},
        {REPLY_KIND, "*1\r\n:1\r\n", "*2\r\n:1\r\n:2\r\n", true},
        {REPLY_KIND, "*1\r\n:1\r\n", "*0\r\n", false},
        {REPLY_KIND, "-ERR a\r\n", "-ERR b\r\n", true},
        {REPLY_KIND, "-ERR a\r\n", "$1\r\na\r\n", false},
#define MG(value, flags, n) "*" n "\r\n$2\r\nVA\r\n" value flags
        {REPLY_MEMCACHE, MG("$1\r\na\r\n", "$2\r\nc7\r\n", "3"),
         MG("$1\r\na\r\n", "$3\r\nc12\r\n", "3"), true},
        {REPLY_MEMCACHE, MG("$1\r\na\r\n", "$2\r\nc7\r\n", "3"),
         MG("$1\r\nb\r\n", "$2\r\nc7\r\n", "3"), false},
        {REPLY_MEMCACHE, MG("$1\r\na\r\n", "$2\r\nc7\r\n", "3"), MG("$1\r\na\r\n", "", "2"), false},
        {REPLY_MEMCACHE, MG("$-1\r\n", "$4\r\nt100\r\n$2\r\nf5\r\n", "4"),
         MG("$-1\r\n", "$3\r\nt89\r\n$2\r\nf5\r\n", "4"), true},
        {REPLY_MEMCACHE, MG("$-1\r\n", "$4\r\nt100\r\n", "3"), MG("$-1\r\n", "$3\r\nt88\r\n", "3"),
         false},
        {REPLY_MEMCACHE, MG("$-1\r\n", "$3\r\nt-1\r\n", "3"), MG("$-1\r\n", "$2\r\nt1\r\n", "3"),
         false},
        {REPLY_MEMCACHE, MG("$-1\r\n", "$2\r\nf5\r\n", "3"), MG("$-1\r\n", "$2\r\nf6\r\n", "3"),
         false},
        {REPLY_MEMCACHE, MG("$-1\r\n", "$2\r\nh0\r\n$2\r\nl9\r\n", "4"),
         MG("$-1\r\n", "$2\r\nh1\r\n$2\r\nl0\r\n", "4"), true},
        {REPLY_MEMCACHE, MG("$1\r\na\r\n", "$1\r\nX\r\n$1\r\nW\r\n", "4"),
         MG("$1\r\na\r\n", "$1\r\nZ\r\n$1\r\nX\r\n", "4"), true},
        {REPLY_MEMCACHE, MG("$1\r\na\r\n", "$1\r\nX\r\n$1\r\nW\r\n", "4"),
         MG("$1\r\na\r\n", "", "2"), false},
        {REPLY_MEMCACHE, MG("$2\r\n9 \r\n", "$2\r\ns2\r\n", "3"),
         MG("$1\r\n9\r\n", "$2\r\ns1\r\n", "3"), true},
        {REPLY_MEMCACHE, MG("$2\r\na \r\n", "", "2"), MG("$1\r\na\r\n", "", "2"), false},
        {REPLY_MEMCACHE, MG("$2\r\n90\r\n", "", "2"), MG("$1\r\n9\r\n", "", "2"), false},
        {REPLY_MEMCACHE, "*2\r\n$2\r\nEN\r\n$-1\r\n", "*2\r\n$2\r\nHD\r\n$-1\r\n", false},
        {REPLY_MEMCACHE, "*2\r\n$2\r\nEN\r\n$-1\r\n", "-SERVER_ERROR x\r\n", false},
#undef MG
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice a = slice_str(cases[i].a), b = slice_str(cases[i].b);
        ck_assert_msg(reply_same(cases[i].how, a, b) == cases[i].same, "case %zu", i);
        ck_assert_msg(reply_same(cases[i].how, b, a) == cases[i].same, "case %zu, turned", i);
        ck_assert(reply_same(cases[i].how, a, a) && reply_same(cases[i].how, b, b));
    }
}
END_TEST

/* Shuffled they are the same; with one element changed they aren't. */
START_TEST(many_elements_in_any_order)
{
    enum { N = 2000 };
    unsigned order[N], state = unit_seed();
    struct buf a = BUF_INIT, b = BUF_INIT, c = BUF_INIT;
    for (unsigned i = 0; i < N; i++)
        order[i] = i;
    for (unsigned i = N - 1; i > 0; i--) {
        state = state * 1664525u + 1013904223u;
        unsigned k = (state >> 8) % (i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    resp_add_array(&a, N);
    resp_add_array(&b, N);
    resp_add_array(&c, N);
    for (unsigned i = 0; i < N; i++) {
        resp_add_int(&a, 10000 + i);
        resp_add_int(&b, 10000 + order[i]);
        resp_add_int(&c, 10000 + (order[i] == 7 ? 8 : order[i]));
    }
    ck_assert(reply_same(REPLY_ELEMENTS, buf_slice(&a), buf_slice(&b)));
    ck_assert(!reply_same(REPLY_ELEMENTS, buf_slice(&a), buf_slice(&c)));
    ck_assert(!reply_same(REPLY_EXACT, buf_slice(&a), buf_slice(&b)));
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&c);
}
END_TEST

/* Any bytes: never more than the slice is read (the sanitizers look), and equal bytes are the same.
 */
START_TEST(any_bytes)
{
    static const char letters[] = "*$:-+0123\r\na";
    unsigned state = unit_seed();
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *bytes[2];
        state = state * 1664525u + 1013904223u;
        size_t len = (state >> 8) % 24;
        for (unsigned k = 0; k < 2; k++) {
            bytes[k] = mem_calloc(1, len + 1);
            for (size_t j = 0; j < len; j++) {
                state = state * 1664525u + 1013904223u;
                bytes[k][j] = (uint8_t)letters[(state >> 8) % (sizeof letters - 1)];
            }
            bytes[k] = mem_realloc(bytes[k], len ? len : 1);
        }
        for (enum reply_compare how = REPLY_EXACT; how <= REPLY_MEMCACHE; how++) {
            struct slice a = slice_of(bytes[0], len), b = slice_of(bytes[1], len);
            if (reply_same(how, a, b) != reply_same(how, b, a) || !reply_same(how, a, a))
                ck_abort_msg("%u: %.*s, %.*s", how, (int)len, (char *)bytes[0], (int)len,
                             (char *)bytes[1]);
        }
        mem_free(bytes[0]);
        mem_free(bytes[1]);
    }
}
END_TEST

/* Every read whose replies may differ between equal replicas, and no other command. */
START_TEST(the_table_says_how)
{
    static const struct {
        const char *name;
        enum reply_compare how;
    } known[] = {
        {"DUMP", REPLY_KIND},         {"HGETALL", REPLY_PAIRS},  {"HKEYS", REPLY_ELEMENTS},
        {"HRANDFIELD", REPLY_KIND},   {"HSCAN", REPLY_KIND},     {"HVALS", REPLY_ELEMENTS},
        {"MEMORY", REPLY_KIND},       {"MG", REPLY_MEMCACHE},    {"OBJECT", REPLY_KIND},
        {"PTTL", REPLY_MILLISECONDS}, {"SDIFF", REPLY_ELEMENTS}, {"SINTER", REPLY_ELEMENTS},
        {"SMEMBERS", REPLY_ELEMENTS}, {"SORT", REPLY_ELEMENTS},  {"SORT_RO", REPLY_ELEMENTS},
        {"SRANDMEMBER", REPLY_KIND},  {"SSCAN", REPLY_KIND},     {"SUNION", REPLY_ELEMENTS},
        {"TTL", REPLY_SECONDS},       {"XINFO", REPLY_KIND},     {"XPENDING", REPLY_KIND},
        {"ZRANDMEMBER", REPLY_KIND},  {"ZSCAN", REPLY_KIND},
    };
    size_t n, k = 0;
    const struct command_spec *table = command_table(&n);
    for (size_t i = 0; i < n; i++) {
        enum reply_compare how = REPLY_EXACT;
        if (k < ARRAY_LEN(known) && strcmp(known[k].name, table[i].name) == 0)
            how = known[k++].how;
        ck_assert_msg(table[i].compare == how, "%s", table[i].name);
    }
    ck_assert_uint_eq(k, ARRAY_LEN(known));
}
END_TEST

static void cases(TCase *c)
{
    tcase_add_test(c, replies);
    tcase_add_test(c, many_elements_in_any_order);
    tcase_add_test(c, any_bytes);
    tcase_add_test(c, the_table_says_how);
}

int main(void)
{
    return unit_main("reply", cases);
}
