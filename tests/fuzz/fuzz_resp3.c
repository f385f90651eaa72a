/* RESP3: whatever a store replies in RESP2, its client gets one whole, well formed reply in RESP3.
 * The input is a command line and a reply to it. */
#include "core/mem.h"
#include "fuzz.h"
#include "wire/resp3.h"
#include <string.h>

/* ---- a plain reader of RESP3 -------------------------------------------------------------------
 */

struct text {
    const uint8_t *at, *end;
};

/* A line up to its CRLF, which isn't in it. */
static struct slice line(struct text *t)
{
    const uint8_t *from = t->at, *lf = memchr(from, '\n', (size_t)(t->end - from));
    FUZZ_CHECK(lf && lf > from && lf[-1] == '\r');
    t->at = lf + 1;
    return slice_of(from, (size_t)(lf - from) - 1);
}

static size_t count(struct slice digits)
{
    int64_t n = -1;
    FUZZ_CHECK(slice_to_i64(digits, &n) && n >= 0); /* no $-1, no *-1: nulls are _ */
    return (size_t)n;
}

static bool is_double(struct slice s)
{
    char copy[64] = "", *end;
    if (slice_is(s, "inf") || slice_is(s, "-inf") || slice_is(s, "nan"))
        return true;
    if (s.len == 0 || s.len >= sizeof copy)
        return false;
    memcpy(copy, s.ptr, s.len);
    strtod(copy, &end);
    return end == copy + s.len;
}

static void value(struct text *t)
{
    FUZZ_CHECK(t->at < t->end);
    struct slice l = line(t), rest = slice_of(l.ptr + 1, l.len - 1);
    size_t n;
    FUZZ_CHECK(l.len > 0);
    switch (l.ptr[0]) {
    case '$':
    case '=':
        n = count(rest);
        FUZZ_CHECK((size_t)(t->end - t->at) >= n + 2 && memcmp(t->at + n, "\r\n", 2) == 0);
        FUZZ_CHECK(l.ptr[0] == '$' || (n >= 4 && memcmp(t->at, "txt:", 4) == 0));
        t->at += n + 2;
        break;
    case '*':
    case '~':
    case '%':
        n = count(rest) * (l.ptr[0] == '%' ? 2 : 1);
        for (size_t i = 0; i < n; i++)
            value(t);
        break;
    case ',':
        FUZZ_CHECK(is_double(rest));
        break;
    default:
        FUZZ_CHECK(memchr("+-:_", l.ptr[0], 4) != NULL);
        FUZZ_CHECK(l.ptr[0] != '_' || rest.len == 0);
    }
}

/* ---- what is checked ---------------------------------------------------------------------------
 */

/* The scanner lets pass what only RESP3 has, and doesn't look into lines. */
static bool is_resp2(struct text *t)
{
    const uint8_t *lf = memchr(t->at, '\n', (size_t)(t->end - t->at));
    struct slice rest = slice_of(t->at + 1, (size_t)(lf - t->at) - 2);
    int64_t n = 0;
    if (!memchr("+-:$*", t->at[0], 5))
        return false;
    if (memchr("+-", t->at[0], 2)) {
        t->at = lf + 1;
        return true;
    }
    if (!slice_to_i64(rest, &n))
        return false;
    bool bulk = t->at[0] == '$', array = t->at[0] == '*';
    t->at = lf + 1 + (bulk && n >= 0 ? n + 2 : 0);
    for (int64_t i = 0; array && i < n; i++)
        if (!is_resp2(t))
            return false;
    return true;
}

static void check(const struct command_spec *spec, const struct resp_command *cmd,
                  struct slice reply)
{
    struct buf out = BUF_INIT;
    unsigned shape = resp3_shape(spec, cmd);
    resp3_add(shape, reply, &out);
    struct text t = {buf_head(&out), buf_head(&out) + out.len};
    value(&t);
    FUZZ_CHECK(t.at == t.end);
    if (resp3_same(shape, reply))
        FUZZ_CHECK(slice_eq(buf_slice(&out), reply));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resp_parser parser = {0};
    struct resp_command cmd = {0};
    struct resp_scanner scanner = {0};
    struct error e;
    size_t len;
    const struct command_spec *spec = NULL;
    if (resp_request_parse(&parser, data, size, &cmd, &e) == RESP_OK && cmd.argc)
        spec = command_find(cmd.argv[0]);
    if (spec && resp_reply_scan(&scanner, data + cmd.size, size - cmd.size, &len, &e) == RESP_OK) {
        uint8_t *reply = mem_dup(data + cmd.size, len); /* so that one read too far is seen */
        struct text t = {reply, reply + len};
        if (is_resp2(&t))
            check(spec, &cmd, slice_of(reply, len));
        mem_free(reply);
    }
    resp_command_fini(&cmd);
    resp_parser_fini(&parser);
    return 0;
}
