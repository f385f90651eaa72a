/* RESP: what is read from clients and from backends, whole and in pieces. Each input is parsed from
 * a copy of exactly its size, so that the address sanitizer sees a byte read too far. */
#include "core/mem.h"
#include "wire/resp.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- parsing a stream into text -------------------------------------------------------------- */

static void show_command(struct buf *to, const struct resp_command *c)
{
    for (size_t i = 0; i < c->argc; i++) {
        buf_add_str(to, "[");
        buf_add(to, c->argv[i].ptr, c->argv[i].len);
        buf_add_str(to, "]");
    }
    buf_add_str(to, ";");
}

/* A connection: bytes that have come, how far they are eaten, and what was made of them. */
struct stream {
    struct resp_parser parser;
    struct resp_command cmd;
    struct buf in, shown;
    bool bad;
};

static void stream_parse(struct stream *s)
{
    while (!s->bad && s->in.len > 0) {
        uint8_t *exact = mem_dup(buf_head(&s->in), s->in.len);
        struct error e;
        enum resp_status st = resp_request_parse(&s->parser, exact, s->in.len, &s->cmd, &e);
        if (st == RESP_OK)
            show_command(&s->shown, &s->cmd);
        mem_free(exact);
        if (st == RESP_MORE) {
            ck_assert_uint_gt(s->parser.want, s->in.len);
            return;
        }
        s->bad = st == RESP_BAD;
        if (s->bad)
            buf_printf(&s->shown, "!%s", e.text);
        else
            buf_eat(&s->in, s->cmd.size);
    }
}

static void stream_feed(struct stream *s, const uint8_t *p, size_t n)
{
    buf_add(&s->in, p, n);
    stream_parse(s);
}

/* Ends the stream: its text, which the caller frees; what is left over stands behind a '+'. */
static char *stream_end(struct stream *s)
{
    if (!s->bad && s->in.len > 0)
        buf_printf(&s->shown, "+%zu", s->in.len);
    char *text = mem_alloc(s->shown.len + 1);
    memcpy(text, buf_head(&s->shown), s->shown.len);
    text[s->shown.len] = '\0';
    buf_fini(&s->in);
    buf_fini(&s->shown);
    resp_command_fini(&s->cmd);
    resp_parser_fini(&s->parser);
    return text;
}

static char *parse_at_once(const uint8_t *p, size_t n)
{
    struct stream s = {0};
    stream_feed(&s, p, n);
    return stream_end(&s);
}

static char *parse_cut_at(const uint8_t *p, size_t n, size_t a, size_t b)
{
    struct stream s = {0};
    stream_feed(&s, p, a);
    stream_feed(&s, p + a, b - a);
    stream_feed(&s, p + b, n - b);
    return stream_end(&s);
}

static char *parse_by_bytes(const uint8_t *p, size_t n)
{
    struct stream s = {0};
    for (size_t i = 0; i < n; i++)
        stream_feed(&s, p + i, 1);
    return stream_end(&s);
}

static void assert_parses(const char *bytes, size_t n, const char *expected)
{
    char *got = parse_at_once((const uint8_t *)bytes, n);
    ck_assert_str_eq(got, expected);
    mem_free(got);
}

/* ---- what a stream means; each one is also cut everywhere --------------------------------------
 */

#define ROW(bytes, means)                                                                          \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, means                                                            \
    }

static const struct row {
    const char *bytes;
    size_t n;
    const char *means;
} rows[] = {
    /* multibulk */
    ROW("*1\r\n$4\r\nPING\r\n", "[PING];"),
    ROW("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "[SET][k][];"),
    ROW("*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n", "[GET][a\r\nb];"),
    ROW("*2\r\n$3\r\nGET\r\n$13\r\nthirteen byte\r\n", "[GET][thirteen byte];"),
    ROW("*0\r\n", ";"),
    ROW("*-1\r\n", ";"),
    ROW("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", "[PING];[QUIT];"),
    ROW("*0\r\n*1\r\n$4\r\nPING\r\n\r\nECHO x\r\n*1\r\n$4\r\nQUIT\r\n",
        ";[PING];;[ECHO][x];[QUIT];"),
    ROW("*2\r\n$3\r\nGET\r\n$1\r\n", "+17"),
    ROW("*1\r\n$4\r\nPING\r", "+13"),
    ROW("*1\r\n$536870912\r\nx", "+17"),
    ROW("*1048576\r\n$1\r\na\r\n", "+17"),
    /* lengths that aren't */
    ROW("*x\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*03\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*+1\r\n", "!Protocol error: invalid multibulk length"),
    ROW("* 1\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*1\rx", "!Protocol error: invalid multibulk length"),
    ROW("*1048577\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*9999999999\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*99999999999999999999999\r\n", "!Protocol error: invalid multibulk length"),
    ROW("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$-5\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$x\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$04\r\nPING\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$1000000000000\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$3\r\nPING\r\n", "!Protocol error: invalid bulk length"),
    ROW("*1\r\n$4\r\nPING\rx", "!Protocol error: invalid bulk length"),
    ROW("*2\r\n$4\r\nECHO\r\nfoo", "!Protocol error: expected '$', got 'f'"),
    ROW("*1\r\n:1\r\n", "!Protocol error: expected '$', got ':'"),
    ROW("*1\r\n\r\n", "!Protocol error: expected '$', got '\r'"),
    ROW("*1\r\n\0", "!Protocol error: expected '$', got '\\x00'"),
    ROW("*1\r\n$4\r\nPING\r\n*z\r\n*1\r\n$4\r\nPING\r\n",
        "[PING];!Protocol error: invalid multibulk length"),
    /* inline */
    ROW("PING\r\n", "[PING];"),
    ROW("PING\n", "[PING];"),
    ROW("\r\n", ";"),
    ROW("\n\n", ";;"),
    ROW("  \t \r\n", ";"),
    ROW(" SET  key\tvalue \r\n", "[SET][key][value];"),
    ROW("\vECHO a\vb\r\n", "[ECHO][a\vb];"), /* begins like a blank, but ends no word */
    ROW("SET k \"a b\"\r\n", "[SET][k][a b];"),
    ROW("SET k \"\"\r\n", "[SET][k][];"),
    ROW("SET k ''\n", "[SET][k][];"),
    ROW("SET k \"\\x41\\x4a\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n", "[SET][k][AJ\n\r\t\b\a\\\"q];"),
    ROW("SET k \"\\x4\" \"\\xzz\" \"\\x\"\r\n", "[SET][k][x4][xzz][x];"),
    ROW("SET k '\\x41 \\' \"'\r\n", "[SET][k][\\x41 ' \"];"),
    ROW("SET k a\"b c\"\r\n", "[SET][k][ab c];"),
    ROW("SET k a'b c'\r\n", "[SET][k][ab c];"),
    ROW("SET k \\x41\r\n", "[SET][k][\\x41];"),
    ROW("SET k\rv\r\n", "[SET][k][v];"),
    ROW("SET k \"a\r\n", "!Protocol error: unbalanced quotes in request"),
    ROW("SET k 'a\r\n", "!Protocol error: unbalanced quotes in request"),
    ROW("SET k \"a\"b\r\n", "!Protocol error: unbalanced quotes in request"),
    ROW("SET k 'a'b\r\n", "!Protocol error: unbalanced quotes in request"),
    ROW("SET k \"a\\\"\r\n", "!Protocol error: unbalanced quotes in request"),
    ROW("SET k \"a\\\n", "!Protocol error: unbalanced quotes in request"),
    ROW("PING", "+4"),
    ROW("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "[GET][/][HTTP/1.1];[Host:][x];;"),
};

START_TEST(means)
{
    assert_parses(rows[_i].bytes, rows[_i].n, rows[_i].means);
}
END_TEST

START_TEST(cut_at_any_two_places_is_the_same)
{
    const uint8_t *p = (const uint8_t *)rows[_i].bytes;
    size_t n = rows[_i].n;
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b++) {
            char *got = parse_cut_at(p, n, a, b);
            ck_assert_str_eq(got, rows[_i].means);
            mem_free(got);
        }
    char *got = parse_by_bytes(p, n);
    ck_assert_str_eq(got, rows[_i].means);
    mem_free(got);
}
END_TEST

START_TEST(an_inline_argument_may_hold_any_byte)
{
    struct resp_parser p = {0};
    struct resp_command c = {0};
    static const char line[] = "SET \"\\x00\\xff\" a\0b\r\n";
    ck_assert_int_eq(resp_request_parse(&p, (const uint8_t *)line, sizeof line - 1, &c, NULL),
                     RESP_OK);
    ck_assert_uint_eq(c.argc, 3);
    ck_assert(slice_eq(c.argv[1], slice_of("\0\xff", 2)));
    ck_assert(slice_eq(c.argv[2], slice_of("a\0b", 3)));
    resp_command_fini(&c);
    resp_parser_fini(&p);
}
END_TEST

START_TEST(multibulk_slices_point_into_the_data)
{
    static const uint8_t data[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    struct resp_parser p = {0};
    struct resp_command c = {0};
    for (size_t first = 0; first < sizeof data; first++) {
        if (first < sizeof data - 1)
            ck_assert_int_eq(resp_request_parse(&p, data, first, &c, NULL), RESP_MORE);
        ck_assert_uint_eq(c.argc, 0);
        ck_assert_int_eq(resp_request_parse(&p, data, sizeof data - 1, &c, NULL), RESP_OK);
        ck_assert_ptr_eq(c.argv[0].ptr, data + 8);
        ck_assert_ptr_eq(c.argv[1].ptr, data + 17);
        ck_assert_uint_eq(c.size, sizeof data - 1);
        ck_assert_ptr_eq(c.whole.ptr, data);
        ck_assert_uint_eq(c.whole.len, sizeof data - 1);
        c.argc = 0;
    }
    resp_command_fini(&c);
    resp_parser_fini(&p);
}
END_TEST

/* As it came, where a store can be given it as it came. */
START_TEST(a_command_is_passed_on)
{
    struct resp_parser p = {0};
    struct resp_command c = {0};
    struct buf b = BUF_INIT;
    ck_assert_int_eq(resp_request_parse(&p, (const uint8_t *)"GET 'a b'\r\n", 11, &c, NULL),
                     RESP_OK);
    ck_assert_uint_eq(c.whole.len, 0);
    resp_pass_command(&b, &c);
    ck_assert(slice_eq(buf_slice(&b), slice_str("*2\r\n$3\r\nGET\r\n$3\r\na b\r\n")));
    buf_reset(&b, SIZE_MAX);
    struct slice two = slice_str("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nECHO\r\n");
    ck_assert_int_eq(resp_request_parse(&p, two.ptr, two.len, &c, NULL), RESP_OK);
    resp_pass_command(&b, &c);
    ck_assert(slice_eq(buf_slice(&b), slice_str("*1\r\n$4\r\nPING\r\n")));
    buf_fini(&b);
    resp_command_fini(&c);
    resp_parser_fini(&p);
}
END_TEST

START_TEST(want_tells_how_much_to_read)
{
    static const uint8_t data[] = "*2\r\n$3\r\nSET\r\n$1000\r\nabc";
    struct resp_parser p = {0};
    struct resp_command c = {0};
    ck_assert_int_eq(resp_request_parse(&p, data, 0, &c, NULL), RESP_MORE);
    ck_assert_uint_eq(p.want, 1);
    ck_assert_int_eq(resp_request_parse(&p, data, 3, &c, NULL), RESP_MORE);
    ck_assert_uint_eq(p.want, 4);
    ck_assert_int_eq(resp_request_parse(&p, data, 9, &c, NULL), RESP_MORE);
    ck_assert_uint_eq(p.want, 13);
    ck_assert_int_eq(resp_request_parse(&p, data, sizeof data - 1, &c, NULL), RESP_MORE);
    ck_assert_uint_eq(p.want, 20 + 1000 + 2);
    resp_command_fini(&c);
    resp_parser_fini(&p);
}
END_TEST

/* ---- a client that hasn't said the password ----------------------------------------------------
 */

static void expect_unknown(const char *bytes, enum resp_status status, const char *text)
{
    struct resp_parser p = {.bulk = -1, .unknown_client = true};
    struct resp_command c = {0};
    struct error e = {{0}};
    ck_assert_int_eq(resp_request_parse(&p, (const uint8_t *)bytes, strlen(bytes), &c, &e), status);
    if (status == RESP_BAD)
        ck_assert_str_eq(e.text, text);
    resp_parser_fini(&p);
    resp_command_fini(&c);
}

START_TEST(who_is_not_known_yet_is_told_narrower_limits)
{
    expect_unknown("*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n", RESP_OK, NULL);
    expect_unknown("*10\r\n", RESP_MORE, NULL);
    expect_unknown("*11\r\n", RESP_BAD, "Protocol error: unauthenticated multibulk length");
    expect_unknown("*2\r\n$4\r\nAUTH\r\n$16384\r\n", RESP_MORE, NULL);
    expect_unknown("*2\r\n$4\r\nAUTH\r\n$16385\r\n", RESP_BAD,
                   "Protocol error: unauthenticated bulk length");
    expect_unknown("*2\r\n$4\r\nAUTH\r\n$536870913\r\n", RESP_BAD,
                   "Protocol error: invalid bulk length");
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------- */

/* `head`, then n times `fill`, then `tail`, parsed whole and in pieces of 1000 bytes. */
static void assert_long(const char *head, char fill, size_t n, const char *tail,
                        const char *expected)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, head);
    memset(buf_reserve(&b, n), fill, n);
    buf_commit(&b, n);
    buf_add_str(&b, tail);
    char *got = parse_at_once(buf_head(&b), b.len);
    ck_assert_msg(strcmp(got, expected) == 0, "%.80s", got);
    mem_free(got);
    struct stream s = {0};
    for (size_t at = 0; at < b.len; at += 1000)
        stream_feed(&s, buf_head(&b) + at, b.len - at < 1000 ? b.len - at : 1000);
    got = stream_end(&s);
    ck_assert_msg(strcmp(got, expected) == 0, "%.80s", got);
    mem_free(got);
    buf_fini(&b);
}

START_TEST(long_lines)
{
    const char *count = "!Protocol error: too big mbulk count string";
    const char *bulk = "!Protocol error: too big bulk count string";
    const char *line = "!Protocol error: too big inline request";
    assert_long("*", '1', RESP_INLINE_MAX, "", count);
    assert_long("*", '1', RESP_INLINE_MAX, "\r\n", count);
    assert_long("*", '1', RESP_INLINE_MAX - 1, "\r\n", "!Protocol error: invalid multibulk length");
    assert_long("*1\r\n$", '1', RESP_INLINE_MAX, "", bulk);
    assert_long("*1\r\n$", '1', RESP_INLINE_MAX, "\r\n", bulk);
    assert_long("*1\r\n$", '1', RESP_INLINE_MAX - 1, "\r\n",
                "!Protocol error: invalid bulk length");
    assert_long("", ' ', RESP_INLINE_MAX, "\n", ";");
    assert_long("", ' ', RESP_INLINE_MAX + 1, "\n", line);
    assert_long("", 'x', 4 * RESP_INLINE_MAX, "", line);
    assert_long("", '\0', 4 * RESP_INLINE_MAX, "", line);
}
END_TEST

START_TEST(a_command_has_a_limit_of_its_own)
{
    size_t value = RESP_BULK_MAX; /* untouched pages of a zeroed block cost nothing */
    uint8_t *data = mem_calloc(1, value + 1024);
    struct resp_parser p = {0};
    struct resp_command c = {0};
    struct error e;
    size_t head = (size_t)sprintf((char *)data, "*3\r\n$3\r\nSET\r\n$%zu\r\n", value);
    memcpy(data + head + value, "\r\n", 2);
    size_t n = head + value + 2;
    n += (size_t)sprintf((char *)data + n, "$4194304\r\n");
    ck_assert_int_eq(resp_request_parse(&p, data, n, &c, &e), RESP_BAD);
    ck_assert_str_eq(e.text, "Protocol error: too big request (more than 541065216 bytes)");
    memcpy(data + head + value + 2, "$4000000\r\n", 10);
    ck_assert_int_eq(resp_request_parse(&p, data, n, &c, &e), RESP_MORE);
    ck_assert_uint_eq(p.want, n + 4000002);
    resp_command_fini(&c);
    resp_parser_fini(&p);
    mem_free(data);
}
END_TEST

static void add_many(struct buf *b, size_t n)
{
    resp_add_array(b, n);
    for (size_t i = 0; i < n; i++)
        resp_add_bulk_str(b, "x");
}

/* As many arguments as allowed, in pieces. If each piece cost the work of all before, this test
 * would take minutes. */
START_TEST(a_million_arguments_in_pieces)
{
    struct buf b = BUF_INIT;
    struct resp_parser p = {0};
    struct resp_command c = {0};
    add_many(&b, RESP_ARGS_MAX);
    size_t len = 0;
    while (len + 100 < b.len) {
        len += 100;
        ck_assert_int_eq(resp_request_parse(&p, buf_head(&b), len, &c, NULL), RESP_MORE);
    }
    ck_assert_int_eq(resp_request_parse(&p, buf_head(&b), b.len, &c, NULL), RESP_OK);
    ck_assert_uint_eq(c.argc, RESP_ARGS_MAX);
    ck_assert_uint_eq(c.size, b.len);
    ck_assert_uint_le(p.cap, 1024); /* the parser has given its memory back */
    ck_assert_int_eq(resp_request_parse(&p, (const uint8_t *)"PING\r\n", 6, &c, NULL), RESP_OK);
    ck_assert_uint_le(c.cap, 1024); /* and the command with the next one */
    resp_command_fini(&c);
    resp_parser_fini(&p);
    buf_fini(&b);
}
END_TEST

START_TEST(a_great_count_takes_no_memory)
{
    struct resp_parser p = {0};
    struct resp_command c = {0};
    const uint8_t *data = (const uint8_t *)"*1048576\r\n$536870912\r\n";
    ck_assert_int_eq(resp_request_parse(&p, data, 22, &c, NULL), RESP_MORE);
    ck_assert_uint_eq(p.cap, 0);
    ck_assert_uint_eq(c.cap, 0);
    resp_command_fini(&c);
    resp_parser_fini(&p);
}
END_TEST

START_TEST(no_memory_in_the_steady_state)
{
    struct resp_parser p = {0};
    struct resp_command c = {0};
    const uint8_t *data = (const uint8_t *)"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    ck_assert_int_eq(resp_request_parse(&p, data, 27, &c, NULL), RESP_OK);
    struct slice *argv = c.argv;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(resp_request_parse(&p, data, 27, &c, NULL), RESP_OK);
        ck_assert_ptr_eq(c.argv, argv);
        ck_assert_ptr_null(p.args);
    }
    resp_command_fini(&c);
    resp_parser_fini(&p);
}
END_TEST

/* ---- random pipelines -------------------------------------------------------------------------
 */

static void add_random_command(struct buf *b, struct buf *expected)
{
    static const char alphabet[] = "ab\r\n$*\0 \"'\\";
    size_t argc = 1 + (size_t)(rand() % 12);
    resp_add_array(b, argc);
    for (size_t i = 0; i < argc; i++) {
        char bytes[300];
        size_t n = (size_t)(rand() % (rand() % 8 ? 12 : 300));
        for (size_t k = 0; k < n; k++)
            bytes[k] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        resp_add_bulk(b, slice_of(bytes, n));
        buf_add_str(expected, "[");
        buf_add(expected, bytes, n);
        buf_add_str(expected, "]");
    }
    buf_add_str(expected, ";");
}

START_TEST(random_pipelines_in_random_pieces)
{
    srand((unsigned)_i + 1);
    struct buf bytes = BUF_INIT, expected = BUF_INIT;
    for (int i = rand() % 30; i >= 0; i--)
        add_random_command(&bytes, &expected);
    struct stream s = {0};
    size_t most = 1 + (size_t)(rand() % 100);
    for (size_t at = 0, n; at < bytes.len; at += n) {
        n = 1 + (size_t)rand() % most;
        if (n > bytes.len - at)
            n = bytes.len - at;
        stream_feed(&s, buf_head(&bytes) + at, n);
    }
    ck_assert(!s.bad);
    ck_assert_uint_eq(s.in.len, 0);
    ck_assert(slice_eq(buf_slice(&s.shown), buf_slice(&expected)));
    mem_free(stream_end(&s));
    buf_fini(&bytes);
    buf_fini(&expected);
}
END_TEST

/* ---- stored commands --------------------------------------------------------------------------
 */

START_TEST(stored_commands)
{
    struct resp_command c = {0};
    ck_assert(resp_command_parse(slice_str("*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"), &c));
    ck_assert_uint_eq(c.argc, 2);
    ck_assert_uint_eq(c.size, 20);
    ck_assert(slice_eq(c.argv[1], slice_str("k")));
    static const char *damaged[] = {"",
                                    "*2\r\n$3\r\nDEL\r\n$1\r\nk\r",
                                    "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n\r",
                                    "*0\r\n",
                                    "*2\r\n$3\r\nDEL\r\n",
                                    "PING\r\n",
                                    "*1",
                                    "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
                                    "*1\r\n$-1\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
        ck_assert_msg(!resp_command_parse(slice_str(damaged[i]), &c), "%zu", i);
        ck_assert_uint_eq(c.argc, 0);
    }
    resp_command_fini(&c);
}
END_TEST

START_TEST(what_is_written_is_read)
{
    struct buf b = BUF_INIT;
    struct slice argv[3] = {slice_str("SET"), slice_of("\0\r\n", 3), slice_of(NULL, 0)};
    resp_add_command(&b, argv, 3);
    struct resp_command c = {0};
    ck_assert(resp_command_parse(buf_slice(&b), &c));
    ck_assert_uint_eq(c.argc, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(slice_eq(c.argv[i], argv[i]));
    resp_command_fini(&c);
    buf_fini(&b);
}
END_TEST

/* ---- replies -----------------------------------------------------------------------------------
 */

static const struct reply_row {
    const char *bytes;
    int64_t size; /* of the first reply; 0: not all there; -1: bad */
} replies[] = {
    {"+OK\r\n", 5},
    {"+\r\n", 3},
    {"-ERR no\r\n", 9},
    {":-12\r\n", 6},
    {"$-1\r\n", 5},
    {"$0\r\n\r\n", 6},
    {"$2\r\n\r\n\r\n", 8},
    {"*-1\r\n", 5},
    {"*0\r\n", 4},
    {"*2\r\n$1\r\na\r\n:1\r\n", 15},
    {"*2\r\n*2\r\n+a\r\n*0\r\n*1\r\n*1\r\n$-1\r\n+next\r\n", 29},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*"
     "1\r\n:1\r\n",
     68},
    {"_\r\n", 3},
    {"#t\r\n", 4},
    {",1.5\r\n", 6},
    {"(12345678901234567890\r\n", 23},
    {"=5\r\ntxt:a\r\n", 11},
    {"!3\r\nERR\r\n", 9},
    {"", 0},
    {"+OK\r", 0},
    {"*1\r\n", 0},
    {"*2\r\n:1\r\n$4\r\nabcd\r", 0},
    {"*4294967295\r\n:1\r\n", 0},
    {"+OK\n", -1},
    {"+a\nb\r\n", -1},
    {"OK\r\n", -1},
    {"%1\r\n", -1},
    {"\r\n", -1},
    {"$1\r\nab\r\n", -1},
    {"$\r\n", -1},
    {"$-2\r\n", -1},
    {"$536870913\r\n", -1},
    {"*4294967296\r\n", -1},
    {"*1x\r\n", -1},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*"
     "1\r\n*1\r\n",
     -1},
};

static enum resp_status scan_exact(struct resp_scanner *s, const char *bytes, size_t n,
                                   size_t *size)
{
    uint8_t *exact = mem_dup(bytes, n ? n : 1);
    struct error e;
    enum resp_status st = resp_reply_scan(s, exact, n, size, &e);
    mem_free(exact);
    return st;
}

static void assert_scanned(const struct reply_row *row, enum resp_status st, size_t size)
{
    if (row->size > 0) {
        ck_assert_int_eq(st, RESP_OK);
        ck_assert_uint_eq(size, (size_t)row->size);
    } else {
        ck_assert_int_eq(st, row->size == 0 ? RESP_MORE : RESP_BAD);
    }
}

START_TEST(reply_whole_and_by_bytes)
{
    const struct reply_row *row = &replies[_i];
    size_t n = strlen(row->bytes), size = 0;
    struct resp_scanner s = {0};
    enum resp_status st = scan_exact(&s, row->bytes, n, &size);
    assert_scanned(row, st, size);
    s = (struct resp_scanner){0};
    st = RESP_MORE;
    for (size_t len = 0; len <= n && st == RESP_MORE; len++)
        st = scan_exact(&s, row->bytes, len, &size);
    assert_scanned(row, st, size);
}
END_TEST

START_TEST(replies_in_a_row_with_one_scanner)
{
    static const char bytes[] = "+OK\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n:7\r\n-E\r\n";
    static const size_t sizes[] = {5, 19, 4, 4};
    struct resp_scanner s = {0};
    size_t at = 0, size = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const uint8_t *p = (const uint8_t *)bytes + at;
        for (size_t cut = 0; cut < sizes[i]; cut++)
            ck_assert_int_eq(resp_reply_scan(&s, p, cut, &size, NULL), RESP_MORE);
        ck_assert_int_eq(resp_reply_scan(&s, p, sizeof bytes - 1 - at, &size, NULL), RESP_OK);
        ck_assert_uint_eq(size, sizes[i]);
        at += size;
    }
    ck_assert_uint_eq(at, sizeof bytes - 1);
}
END_TEST

START_TEST(reply_line_has_an_end)
{
    struct buf b = BUF_INIT;
    struct resp_scanner s = {0};
    size_t size;
    memset(buf_reserve(&b, RESP_LINE_MAX + 2), '+', RESP_LINE_MAX + 1);
    b.len = RESP_LINE_MAX + 1;
    ck_assert_int_eq(resp_reply_scan(&s, buf_head(&b), RESP_LINE_MAX, &size, NULL), RESP_MORE);
    ck_assert_int_eq(resp_reply_scan(&s, buf_head(&b), RESP_LINE_MAX + 1, &size, NULL), RESP_BAD);
    buf_fini(&b);
}
END_TEST

START_TEST(reading_replies)
{
    int64_t v = 0;
    struct slice s;
    ck_assert(resp_reply_int(slice_str(":42\r\n"), &v));
    ck_assert_int_eq(v, 42);
    ck_assert(resp_reply_int(slice_str(":-9223372036854775808\r\n"), &v));
    ck_assert_int_eq(v, INT64_MIN);
    ck_assert(!resp_reply_int(slice_str("+42\r\n"), &v));
    ck_assert(!resp_reply_int(slice_str(":\r\n"), &v));
    ck_assert(!resp_reply_int(slice_str(":4"), &v));
    ck_assert(resp_reply_bulk(slice_str("$3\r\na\r\n\r\n"), &s));
    ck_assert(slice_eq(s, slice_str("a\r\n")));
    ck_assert(resp_reply_bulk(slice_str("$0\r\n\r\n"), &s));
    ck_assert_uint_eq(s.len, 0);
    ck_assert(!resp_reply_bulk(slice_str("$-1\r\n"), &s));
    ck_assert(!resp_reply_bulk(slice_str("$3\r\nab\r\n"), &s));
    ck_assert(!resp_reply_bulk(slice_str("$999999\r"), &s));
    ck_assert(!resp_reply_bulk(slice_str("$9999999"), &s));
    ck_assert(!resp_reply_bulk(slice_str("+OK\r\n"), &s));
    ck_assert(!resp_reply_bulk(slice_of("", 0), &s));
    ck_assert(resp_reply_is_error(slice_str("-ERR\r\n")));
    ck_assert(!resp_reply_is_error(slice_str("+OK\r\n")));
    ck_assert(!resp_reply_is_error(slice_of("", 0)));
}
END_TEST

START_TEST(writing)
{
    struct buf b = BUF_INIT;
    resp_add_array(&b, 12);
    resp_add_bulk(&b, slice_of(NULL, 0));
    resp_add_bulk_str(&b, "hello");
    resp_add_nil(&b);
    resp_add_int(&b, 0);
    resp_add_int(&b, INT64_MAX);
    resp_add_int(&b, INT64_MIN);
    resp_add_status(&b, "OK");
    resp_add_error(&b, "ERR %s %d", "two\r\nlines", 7);
    static const char expected[] = "*12\r\n$0\r\n\r\n$5\r\nhello\r\n$-1\r\n:0\r\n"
                                   ":9223372036854775807\r\n:-9223372036854775808\r\n"
                                   "+OK\r\n-ERR two  lines 7\r\n";
    ck_assert(slice_eq(buf_slice(&b), slice_str(expected)));
    buf_fini(&b);
}
END_TEST

static Suite *resp_suite(void)
{
    Suite *s = suite_create("resp");
    TCase *t = tcase_create("requests");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, means, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(t, cut_at_any_two_places_is_the_same, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, an_inline_argument_may_hold_any_byte);
    tcase_add_test(t, multibulk_slices_point_into_the_data);
    tcase_add_test(t, a_command_is_passed_on);
    tcase_add_test(t, want_tells_how_much_to_read);
    tcase_add_test(t, long_lines);
    tcase_add_test(t, a_command_has_a_limit_of_its_own);
    tcase_add_test(t, a_million_arguments_in_pieces);
    tcase_add_test(t, a_great_count_takes_no_memory);
    tcase_add_test(t, no_memory_in_the_steady_state);
    tcase_add_loop_test(t, random_pipelines_in_random_pieces, 0, 100);
    tcase_add_test(t, stored_commands);
    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, who_is_not_known_yet_is_told_narrower_limits);
    suite_add_tcase(s, t);
    TCase *r = tcase_create("replies");
    tcase_add_loop_test(r, reply_whole_and_by_bytes, 0, (int)ARRAY_LEN(replies));
    tcase_add_test(r, replies_in_a_row_with_one_scanner);
    tcase_add_test(r, reply_line_has_an_end);
    tcase_add_test(r, reading_replies);
    tcase_add_test(r, writing);
    suite_add_tcase(s, r);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(resp_suite());
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
