/* RESP2 into RESP3: which shape a command line has, and what becomes of a reply. resp3.py compares
 * the same with a redis-server; here is what Redis doesn't say on demand. */
#include "core/mem.h"
#include "unit.h"
#include "wire/resp3.h"

static void parse(const char *line, struct resp_command *cmd)
{
    struct resp_parser p = {0};
    struct error e;
    struct buf b = BUF_INIT;
    static struct buf kept[64];
    static unsigned next;
    buf_add_str(&b, line);
    buf_add_str(&b, "\r\n");
    ck_assert_int_eq(resp_request_parse(&p, buf_head(&b), b.len, cmd, &e), RESP_OK);
    buf_fini(&kept[next % ARRAY_LEN(kept)]);
    kept[next++ % ARRAY_LEN(kept)] = b;
    resp_parser_fini(&p);
}

static unsigned shape_of(const char *line)
{
    struct resp_command cmd = {0};
    parse(line, &cmd);
    const struct command_spec *spec = command_find(cmd.argv[0]);
    ck_assert_msg(spec != NULL, "%s", line);
    unsigned shape = resp3_shape(spec, &cmd);
    resp_command_fini(&cmd);
    return shape;
}

static const struct {
    const char *line, *resp2, *resp3;
} cases[] = {
    {"GET k", "$1\r\nv\r\n", "$1\r\nv\r\n"},
    {"GET k", "$-1\r\n", "_\r\n"},
    {"GET k", "-ERR x\r\n", "-ERR x\r\n"},
    {"SET k v", "+OK\r\n", "+OK\r\n"},
    {"LPOP k 2", "*-1\r\n", "_\r\n"},
    /* what looks like a null within a string isn't one */
    {"MGET a b c", "*3\r\n$5\r\n$-1\r\n\r\n$-1\r\n$0\r\n\r\n",
     "*3\r\n$5\r\n$-1\r\n\r\n_\r\n$0\r\n\r\n"},
    {"EVAL s 0", "*2\r\n*2\r\n*-1\r\n*1\r\n$-1\r\n:5\r\n", "*2\r\n*2\r\n_\r\n*1\r\n_\r\n:5\r\n"},
    /* an error or a null has no shape */
    {"HGETALL k", "-WRONGTYPE x\r\n", "-WRONGTYPE x\r\n"},
    {"HGETALL k", "$-1\r\n", "_\r\n"},
    {"ZSCORE k m", "-NOQUORUM 1 of 2\r\n", "-NOQUORUM 1 of 2\r\n"},
    {"INFO", "-NOAUTH Authentication required.\r\n", "-NOAUTH Authentication required.\r\n"},
    {"ZRANGE k 0 -1 WITHSCORES", "-BACKEND x\r\n", "-BACKEND x\r\n"},
    /* nor has what isn't what it should be */
    {"HGETALL k", "*1\r\n$1\r\na\r\n", "*1\r\n$1\r\na\r\n"},
    {"HGETALL k", ":1\r\n", ":1\r\n"},
    {"ZSCORE k m", ":1\r\n", ":1\r\n"},
    {"ZRANGE k 0 -1 WITHSCORES", "*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n",
     "*3\r\n$1\r\na\r\n_\r\n$1\r\nb\r\n"},
    /* half a reply loses nothing more */
    {"HGETALL k", "*4\r\n$1\r\na\r\n$3\r\nb", "%2\r\n$1\r\na\r\n$3\r\nb"},
    {"MGET a b", "*2\r\n$1\r\na\r\n$", "*2\r\n$1\r\na\r\n$"},
    {"MGET a b", "*2\r\n$x\r\n", "*2\r\n$x\r\n"},
    {"MGET a", "", ""},
    {"INFO", "$4\r\na\r\nb\r\n", "=8\r\ntxt:a\r\nb\r\n"},
    {"HELLO 3", "*4\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*1\r\n*2\r\n$4\r\nname\r\n$1\r\nx\r\n",
     "%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*1\r\n%1\r\n$4\r\nname\r\n$1\r\nx\r\n"},
};

START_TEST(replies)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT;
        resp3_add(shape_of(cases[i].line), slice_str(cases[i].resp2), &out);
        ck_assert_msg(slice_eq(buf_slice(&out), slice_str(cases[i].resp3)), "%s: %s became %.*s",
                      cases[i].line, cases[i].resp2, (int)out.len, (const char *)buf_head(&out));
        buf_fini(&out);
    }
}
END_TEST

/* Whether a command line has a shape of its own. */
START_TEST(shapes)
{
    static const char *const shaped[] = {
        "zrange k 0 1 withscores",
        "ZADD k nx ch incr 1 m",
        "SPOP k 1",
        "LCS a b IDX",
        "ZUNION 1 WITHSCORES WITHSCORES",
        "GEOSEARCH k FROMMEMBER WITHCOORD BYRADIUS 1 m WITHCOORD",
        "COMMAND",
        "command info",
        "HRANDFIELD k 1 WITHVALUES",
    };
    static const char *const without[] = {
        "ZRANGE withscores 0 1",
        "ZADD incr 1 incr",
        "ZADD k 1 INCR",
        "SPOP k",
        "LCS IDX IDX",
        "ZUNION 1 WITHSCORES",
        "ZUNION x WITHSCORES WITHSCORES",
        "ZUNION 99999999999 WITHSCORES WITHSCORES",
        "ZUNION -1 WITHSCORES",
        "GEOSEARCH k FROMMEMBER WITHCOORD BYRADIUS 1 m",
        "COMMAND COUNT",
        "CLIENT",
        "CONFIG SET a b",
        "HRANDFIELD WITHVALUES 1",
        "GET k",
        "SET HGETALL x",
        "XINFO HELP",
        "ZPOPMIN k 1 2",
    };
    for (size_t i = 0; i < ARRAY_LEN(shaped); i++)
        ck_assert_msg(shape_of(shaped[i]) != RESP3_PLAIN, "%s", shaped[i]);
    for (size_t i = 0; i < ARRAY_LEN(without); i++)
        ck_assert_msg(shape_of(without[i]) == RESP3_PLAIN, "%s", without[i]);
}
END_TEST

START_TEST(same)
{
    ck_assert(resp3_same(RESP3_PLAIN, slice_str("+OK\r\n")));
    ck_assert(resp3_same(RESP3_PLAIN, slice_str("$3\r\n$-1\r\n")));
    ck_assert(!resp3_same(RESP3_PLAIN, slice_str("$-1\r\n")));
    ck_assert(!resp3_same(RESP3_PLAIN, slice_str("*1\r\n$-1\r\n")));
    ck_assert(!resp3_same(RESP3_PLAIN, slice_str("")));
    ck_assert(!resp3_same(shape_of("INFO"), slice_str("$0\r\n\r\n")));
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, replies);
    tcase_add_test(c, shapes);
    tcase_add_test(c, same);
}

int main(void)
{
    return unit_main("resp3", add_cases);
}
