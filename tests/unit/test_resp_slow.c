/* The readers of RESP beside a slow, obvious one that gets the whole stream at once: random input,
 * mostly well formed, from a printed seed, read in random pieces. */
#include "core/mem.h"
#include "unit.h"
#include "wire/resp.h"
#include <ctype.h>

#define ROUNDS 4000

static unsigned seed;
static unsigned dice(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % n;
}

/* ---- the slow, obvious reader ------------------------------------------------------------------
 */
enum result { WHOLE, PART, WRONG };

struct text {
    const char *at, *end;
};

static bool lies_beyond(const struct text *t, size_t n)
{
    return (size_t)(t->end - t->at) < n;
}

/* A number is good if it is what printf makes of it. */
static bool is_number(const char *from, const char *to, long long *v)
{
    char word[40] = "", again[40];
    if (to - from > 30)
        return false;
    memcpy(word, from, (size_t)(to - from));
    *v = strtoll(word, NULL, 10);
    snprintf(again, sizeof again, "%lld", *v);
    return strlen(word) == (size_t)(to - from) && strcmp(word, again) == 0;
}

/* A type, a number, CRLF. */
static enum result number_line(struct text *t, long long *v)
{
    const char *p = t->at;
    for (; p < t->end && *p != '\r'; p++)
        if (p - t->at == RESP_INLINE_MAX)
            return WRONG;
    if (p == t->end || p + 1 == t->end)
        return PART;
    if (p[1] != '\n' || !is_number(t->at + 1, p, v))
        return WRONG;
    t->at = p + 2;
    return WHOLE;
}

static enum result argument(struct text *t, struct buf *shown)
{
    long long n;
    if (lies_beyond(t, 1))
        return PART;
    if (*t->at != '$')
        return WRONG;
    enum result r = number_line(t, &n);
    if (r != WHOLE)
        return r;
    if (n < 0 || n > RESP_BULK_MAX)
        return WRONG;
    if (lies_beyond(t, (size_t)n + 2))
        return PART;
    if (t->at[n] != '\r' || t->at[n + 1] != '\n')
        return WRONG;
    buf_printf(shown, "[%lld:", n);
    buf_add(shown, t->at, (size_t)n);
    buf_add_str(shown, "]");
    t->at += n + 2;
    return WHOLE;
}

static enum result multibulk(struct text *t, struct buf *shown)
{
    long long n;
    enum result r = number_line(t, &n);
    if (r == WHOLE && n > RESP_ARGS_MAX)
        r = WRONG;
    for (long long i = 0; r == WHOLE && i < n; i++)
        r = argument(t, shown);
    return r;
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef",
               *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* One word of a line with its quotes; false: they don't fit. */
static bool word(const char **at, const char *end, struct buf *out)
{
    char quote = 0;
    for (;;) {
        const char *p = *at;
        size_t left = (size_t)(end - p);
        if (left == 0)
            return !quote;
        *at = p + 1;
        if (!quote && strchr(" \t\r\n", *p) && *p)
            return (*at = p, true);
        if (!quote && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else if (quote && *p == quote) {
            return left == 1 || isspace((unsigned char)p[1]);
        } else if (quote == '"' && left > 3 && p[0] == '\\' && p[1] == 'x' && hex(p[2]) >= 0 &&
                   hex(p[3]) >= 0) {
            char c = (char)(hex(p[2]) * 16 + hex(p[3]));
            buf_add(out, &c, 1);
            *at = p + 4;
        } else if (quote == '"' && left > 1 && *p == '\\') {
            const char *from = "nrtba", *to = "\n\r\t\b\a",
                       *which = p[1] ? strchr(from, p[1]) : NULL;
            buf_add(out, which ? to + (which - from) : p + 1, 1);
            *at = p + 2;
        } else if (quote == '\'' && left > 1 && *p == '\\' && p[1] == '\'') {
            buf_add(out, "'", 1);
            *at = p + 2;
        } else {
            buf_add(out, p, 1);
        }
    }
}

static enum result line_of_words(struct text *t, struct buf *shown)
{
    const char *end = t->at;
    for (; end < t->end && *end != '\n'; end++)
        if (end - t->at == RESP_INLINE_MAX)
            return WRONG;
    if (end == t->end)
        return PART;
    for (const char *p = t->at;;) {
        while (p < end && isspace((unsigned char)*p))
            p++;
        if (p == end)
            break;
        struct buf out = BUF_INIT;
        bool good = word(&p, end, &out);
        if (good) {
            buf_printf(shown, "[%zu:", out.len);
            buf_add(shown, buf_head(&out), out.len);
            buf_add_str(shown, "]");
        }
        buf_fini(&out);
        if (!good)
            return WRONG;
    }
    t->at = end + 1;
    return WHOLE;
}

static enum result slow_command(struct text *t, struct buf *shown)
{
    return *t->at == '*' ? multibulk(t, shown) : line_of_words(t, shown);
}

/* One reply, `depth` arrays deep. */
static enum result slow_reply(struct text *t, int depth)
{
    long long n;
    const char *line = t->at;
    if (line == t->end)
        return PART;
    if (!strchr("+-:$*_#,(=!", *line) || !*line)
        return WRONG;
    while (t->at < t->end && *t->at != '\n')
        t->at++;
    if (t->at == t->end)
        return PART;
    if (t->at[-1] != '\r')
        return WRONG;
    const char *end = t->at++ - 1;
    if (!strchr("$*=!", *line))
        return WHOLE;
    if (!is_number(line + 1, end, &n) || n < -1 || n > (*line == '*' ? UINT32_MAX : RESP_BULK_MAX))
        return WRONG;
    if (*line != '*') {
        if (n >= 0 && lies_beyond(t, (size_t)n + 2))
            return PART;
        if (n >= 0 && (t->at[n] != '\r' || t->at[n + 1] != '\n'))
            return WRONG;
        t->at += n < 0 ? 0 : n + 2;
        return WHOLE;
    }
    enum result r = n > 0 && depth == RESP_DEPTH_MAX ? WRONG : WHOLE;
    for (long long i = 0; r == WHOLE && i < n; i++)
        r = slow_reply(t, depth + 1);
    return r;
}

/* All that is in a stream, as text. */
static void slow_read(const struct buf *in, bool replies, struct buf *shown)
{
    const char *p = (const char *)buf_head(in), *end = p + in->len;
    while (p < end) {
        struct text t = {p, end};
        struct buf one = BUF_INIT;
        enum result r = replies ? slow_reply(&t, 0) : slow_command(&t, &one);
        if (r != WHOLE) {
            buf_add_str(shown, r == PART ? "+" : "!");
            buf_fini(&one);
            return;
        }
        buf_add(shown, buf_head(&one), one.len);
        buf_printf(shown, "(%zu)", (size_t)(t.at - p));
        buf_fini(&one);
        p = t.at;
    }
}

/* ---- the ones under test, fed in pieces
 * ---------------------------------------------------------- */
struct reader {
    struct resp_parser parser;
    struct resp_command cmd;
    struct resp_scanner scanner;
    struct buf in; /* not understood yet */
    bool bad;
};

static enum resp_status next(struct reader *r, bool replies, const uint8_t *data, size_t len,
                             size_t *size, struct buf *shown)
{
    struct error e;
    if (replies)
        return resp_reply_scan(&r->scanner, data, len, size, &e);
    enum resp_status rc = resp_request_parse(&r->parser, data, len, &r->cmd, &e);
    for (size_t i = 0; rc == RESP_OK && i < r->cmd.argc; i++) {
        buf_printf(shown, "[%zu:", r->cmd.argv[i].len);
        buf_add(shown, r->cmd.argv[i].ptr, r->cmd.argv[i].len);
        buf_add_str(shown, "]");
    }
    *size = r->cmd.size;
    return rc;
}

static void feed(struct reader *r, bool replies, struct buf *shown)
{
    enum resp_status rc = RESP_OK;
    while (rc == RESP_OK && r->in.len) {
        size_t size;
        uint8_t *exact = mem_dup(buf_head(&r->in), r->in.len); /* a byte read too far is seen */
        rc = next(r, replies, exact, r->in.len, &size, shown);
        mem_free(exact);
        if (rc == RESP_OK) {
            buf_printf(shown, "(%zu)", size);
            buf_eat(&r->in, size);
        }
    }
    r->bad = rc == RESP_BAD;
}

static void fast_read(const struct buf *in, bool replies, struct buf *shown)
{
    struct reader r = {.in = BUF_INIT};
    size_t most = 1 + dice(dice(2) ? 8 : 400);
    for (size_t at = 0; at < in->len && !r.bad;) {
        size_t n = 1 + dice((unsigned)most);
        n = n < in->len - at ? n : in->len - at;
        buf_add(&r.in, buf_head(in) + at, n);
        feed(&r, replies, shown);
        at += n;
    }
    if (r.bad || r.in.len)
        buf_add_str(shown, r.bad ? "!" : "+");
    resp_parser_fini(&r.parser);
    resp_command_fini(&r.cmd);
    buf_fini(&r.in);
}

/* ---- random input
 * -------------------------------------------------------------------------------- */
static const char *pick(const char *const *of, unsigned n)
{
    return of[dice(n)];
}
#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__},                                                       \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void add_bytes(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = "ab \r\n*$:1\"'\\x4\0\t\v\xff-"[dice(19)];
        buf_add(b, &c, 1);
    }
}

static void add_string(struct buf *b, char type)
{
    size_t n = dice(20) ? dice(12) : dice(3000);
    if (dice(40) == 0)
        buf_printf(
            b, "%c%s\r\n", type,
            PICK("-1", "-2", "01", "", "x", "+3", "536870913", "99999999999999999999", " 3", "-0"));
    else
        buf_printf(b, "%c%zu\r\n", type, n);
    add_bytes(b, dice(60) ? n : dice(12));
    buf_add_str(b, dice(60) ? "\r\n" : PICK("\n", "\r", "", "\r\r\n"));
}

static void add_command(struct buf *b)
{
    unsigned n = dice(30) ? dice(6) : dice(40);
    if (dice(4) == 0) {
        for (unsigned i = 0; i < n; i++)
            buf_add_str(b, PICK("GET ", " ", "\t", "\"a b\" ", "'it\\'s' ", "\"\\x41\\n\\q\\xg\" ",
                                "a\"b\" ", "\v", "x", "\\", "\"\\x4\"\t"));
        if (dice(10) == 0)
            buf_add_str(b, PICK("\"", "'", "\"a\"b", "'\\'"));
        buf_add_str(b, PICK("\r\n", "\n"));
        return;
    }
    if (dice(60) == 0)
        buf_add_str(b, PICK("*-1\r\n", "*x\r\n", "*01\r\n", "*1048577\r\n", "*1048576\r\n", "*\r\n",
                            "*1\n", "*2\r", "*1 \r\n"));
    else
        buf_printf(b, "*%u\r\n", n);
    for (unsigned i = 0; i < n; i++)
        add_string(b, dice(80) ? '$' : ':');
}

static void add_reply(struct buf *b, unsigned depth)
{
    char type = "+-:$$**_#,(=!"[dice(13)];
    if (dice(200) == 0)
        type = "?\0\r "[dice(4)];
    if (type == '$' || type == '=' || type == '!') {
        add_string(b, type);
    } else if (type == '*') {
        unsigned n = depth > RESP_DEPTH_MAX ? 0 : dice(4);
        buf_printf(b, "*%s%u\r\n", dice(60) ? "" : PICK("-", "0", " ", "4294967296"), n);
        for (unsigned i = 0; i < n; i++)
            add_reply(b, depth + 1);
    } else {
        buf_add(b, &type, 1);
        buf_add_str(b,
                    PICK("OK", "ERR no", "-12", "", "t", "1.5", "123456789012345678901", "a\rb"));
        buf_add_str(b, dice(60) ? "\r\n" : "\n");
    }
}

/* Chains of arrays, as deep as they may be and one deeper. */
static void add_deep(struct buf *b)
{
    unsigned n = RESP_DEPTH_MAX - 1 + dice(3);
    for (unsigned i = 0; i < n; i++)
        buf_add_str(b, "*1\r\n");
    buf_add_str(b, ":1\r\n");
}

static void random_stream(struct buf *b, bool replies)
{
    for (unsigned n = 1 + dice(6); n > 0; n--) {
        if (replies && dice(20) == 0)
            add_deep(b);
        else if (replies)
            add_reply(b, 0);
        else
            add_command(b);
    }
    if (!replies && dice(50) == 0) /* a line about as long as one may be */
        for (size_t n = RESP_INLINE_MAX - 2 + dice(5); n > 0; n--)
            buf_add_str(b, n > 1 ? "x" : PICK("x", "\n"));
    if (dice(8) == 0 && b->len > 1) /* cut off */
        b->len -= dice((unsigned)b->len);
    if (dice(8) == 0 && b->len) /* a byte is another one */
        b->data[b->off + dice((unsigned)b->len)] = (uint8_t) "\r\n*$1x\0"[dice(7)];
}

static void compare(bool replies)
{
    unsigned bad = 0, part = 0;
    seed = unit_seed();
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned began = seed;
        struct buf in = BUF_INIT, slow = BUF_INIT, fast = BUF_INIT;
        random_stream(&in, replies);
        slow_read(&in, replies, &slow);
        fast_read(&in, replies, &fast);
        ck_assert_msg(slice_eq(buf_slice(&slow), buf_slice(&fast)),
                      "round %u (%u): %.*s\nslow %.*s\nfast %.*s", i, began, (int)in.len,
                      (const char *)buf_head(&in), (int)slow.len, (const char *)buf_head(&slow),
                      (int)fast.len, (const char *)buf_head(&fast));
        bad += slow.len && buf_head(&slow)[slow.len - 1] == '!';
        part += slow.len && buf_head(&slow)[slow.len - 1] == '+';
        buf_fini(&in);
        buf_fini(&slow);
        buf_fini(&fast);
    }
    ck_assert_uint_gt(bad, ROUNDS / 50);
    ck_assert_uint_lt(bad, ROUNDS / 2);
    ck_assert_uint_gt(part, ROUNDS / 50);
}

START_TEST(commands_are_read_as_a_slow_reader_does)
{
    compare(false);
}
END_TEST

START_TEST(replies_are_read_as_a_slow_reader_does)
{
    compare(true);
}
END_TEST

static void add_cases(TCase *t)
{
    tcase_set_timeout(t, 120);
    tcase_add_test(t, commands_are_read_as_a_slow_reader_does);
    tcase_add_test(t, replies_are_read_as_a_slow_reader_does);
}

int main(void)
{
    return unit_main("resp_slow", add_cases);
}
