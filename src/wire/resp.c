#include "wire/resp.h"
#include "core/mem.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

/* Arguments whose slices (or offsets) are kept when their command is done; a connection that once
 * sent a huge command doesn't hold the memory for ever. */
#define KEEP_ARGS   1024u
#define KEEP_INLINE 4096u
#define NUMBER_MAX  24 /* room for a type, a 64-bit number and CRLF */

/* ---- the command under construction ---------------------------------------------------------- */

void resp_command_fini(struct resp_command *c)
{
    mem_free(c->argv);
    buf_fini(&c->scratch);
    *c = (struct resp_command){0};
}

void resp_parser_fini(struct resp_parser *p)
{
    mem_free(p->args);
    *p = (struct resp_parser){0};
}

static void command_clear(struct resp_command *c)
{
    c->argc = 0;
    c->size = 0;
    c->whole = slice_of(NULL, 0);
    if (c->cap > KEEP_ARGS) {
        mem_free(c->argv);
        c->argv = NULL;
        c->cap = 0;
    }
}

static void command_room(struct resp_command *c, size_t n)
{
    if (n <= c->cap)
        return;
    while (c->cap < n)
        c->cap = c->cap ? c->cap * 2 : 8;
    c->argv = mem_realloc(c->argv, c->cap * sizeof *c->argv);
}

static inline void command_push(struct resp_command *c, const uint8_t *ptr, size_t len)
{
    if (c->argc == c->cap)
        command_room(c, c->argc + 1);
    c->argv[c->argc++] = slice_of(ptr, len);
}

static void parser_push(struct resp_parser *p, size_t offset, size_t len)
{
    if (p->nargs == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 8;
        p->args = mem_realloc(p->args, p->cap * 2 * sizeof *p->args);
    }
    p->args[2 * p->nargs] = offset;
    p->args[2 * p->nargs + 1] = len;
    p->nargs++;
}

static void parser_clear(struct resp_parser *p)
{
    if (p->cap > KEEP_ARGS) {
        resp_parser_fini(p);
        return;
    }
    p->pos = p->seen = p->nargs = p->want = 0;
    p->left = p->bulk = 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

enum line { LINE_WHOLE, LINE_PART, LINE_LONG };

/* Looks for the byte `end` in the line at `pos`, from `*seen` on, not further than `max` bytes
 * behind pos: what the answer is doesn't depend on how much has come behind. LINE_WHOLE: `*seen` is
 * its place. */
static enum line line_find(const uint8_t *data, size_t len, size_t pos, size_t max, int end,
                           size_t *seen)
{
    size_t from = *seen > pos ? *seen : pos;
    size_t stop = len - pos > max ? pos + max + 1 : len;
    const uint8_t *hit = from < stop ? memchr(data + from, end, stop - from) : NULL;
    *seen = hit ? (size_t)(hit - data) : stop;
    if (hit)
        return LINE_WHOLE;
    return len - pos > max ? LINE_LONG : LINE_PART;
}

/* A length as clients write it: a type, at most nine digits, CRLF. False: look at it slowly. */
static inline bool length_quick(const uint8_t *data, size_t len, size_t pos, int64_t *v,
                                size_t *next)
{
    if (len - pos < 4)
        return false;
    size_t i = pos + 1, stop = len - pos > 12 ? pos + 10 : len - 2;
    uint32_t n = 0;
    for (; i < stop && (uint8_t)(data[i] - '0') <= 9; i++)
        n = n * 10 + (uint32_t)(data[i] - '0');
    if (i == pos + 1 || data[i] != '\r' || data[i + 1] != '\n')
        return false;
    if (data[pos + 1] == '0' && i > pos + 2)
        return false;
    *v = n;
    *next = i + 2;
    return true;
}

struct length_words {
    const char *invalid, *too_big;
};

/* The line of a length at p->pos: OK moves p->pos behind it. */
static enum resp_status length_line(struct resp_parser *p, const uint8_t *data, size_t len,
                                    const struct length_words *words, int64_t *v, struct error *e)
{
    if (length_quick(data, len, p->pos, v, &p->pos))
        return RESP_OK;
    enum line line = line_find(data, len, p->pos, RESP_INLINE_MAX, '\r', &p->seen);
    size_t at = p->seen;
    if (line == LINE_LONG) {
        error_set(e, "Protocol error: %s", words->too_big);
        return RESP_BAD;
    }
    if (line == LINE_PART || at + 1 == len)
        return RESP_MORE;
    if (data[at + 1] != '\n' || !slice_to_i64(slice_of(data + p->pos + 1, at - p->pos - 1), v)) {
        error_set(e, "Protocol error: %s", words->invalid);
        return RESP_BAD;
    }
    p->pos = at + 2;
    return RESP_OK;
}

/* ---- multibulk ------------------------------------------------------------------------------- */

static enum resp_status count_read(struct resp_parser *p, const uint8_t *data, size_t len,
                                   struct error *e)
{
    static const struct length_words words = {"invalid multibulk length",
                                              "too big mbulk count string"};
    int64_t n;
    enum resp_status st = length_line(p, data, len, &words, &n, e);
    if (st != RESP_OK)
        return st;
    if (p->unknown_client && n > RESP_UNKNOWN_ARGS_MAX && n <= INT32_MAX) {
        error_set(e, "Protocol error: unauthenticated multibulk length");
        return RESP_BAD;
    }
    if (n > RESP_ARGS_MAX) {
        error_set(e, "Protocol error: %s", words.invalid);
        return RESP_BAD;
    }
    p->left = n > 0 ? n : 0;
    p->bulk = -1;
    return RESP_OK;
}

static void expected_dollar(uint8_t got, struct error *e)
{
    if (got)
        error_set(e, "Protocol error: expected '$', got '%c'", got);
    else
        error_set(e, "Protocol error: expected '$', got '\\x00'");
}

static bool bulk_length_ok(const struct resp_parser *p, int64_t n, size_t max, struct error *e)
{
    if (n < 0 || n > RESP_BULK_MAX)
        return error_set(e, "Protocol error: invalid bulk length");
    if (p->unknown_client && n > RESP_UNKNOWN_BULK_MAX)
        return error_set(e, "Protocol error: unauthenticated bulk length");
    return p->pos + (size_t)n + 2 <= max ||
           error_set(e, "Protocol error: too big request (more than %zu bytes)", max);
}

static enum resp_status bulk_header(struct resp_parser *p, const uint8_t *data, size_t len,
                                    size_t max, struct error *e)
{
    static const struct length_words words = {"invalid bulk length", "too big bulk count string"};
    if (p->pos == len)
        return RESP_MORE;
    if (data[p->pos] != '$') {
        expected_dollar(data[p->pos], e);
        return RESP_BAD;
    }
    int64_t n;
    enum resp_status st = length_line(p, data, len, &words, &n, e);
    if (st != RESP_OK)
        return st;
    if (!bulk_length_ok(p, n, max, e))
        return RESP_BAD;
    p->bulk = n;
    return RESP_OK;
}

/* The next argument; its place goes to *offset and *n. A command of more than `max` bytes is bad.
 */
static inline enum resp_status bulk_read(struct resp_parser *p, const uint8_t *data, size_t len,
                                         size_t max, size_t *offset, size_t *n, struct error *e)
{
    if (p->bulk < 0) {
        enum resp_status st = bulk_header(p, data, len, max, e);
        if (st != RESP_OK)
            return st;
    }
    size_t end = p->pos + (size_t)p->bulk;
    if (len - p->pos < (size_t)p->bulk + 2)
        return RESP_MORE;
    if (data[end] != '\r' || data[end + 1] != '\n') {
        error_set(e, "Protocol error: invalid bulk length");
        return RESP_BAD;
    }
    *offset = p->pos;
    *n = (size_t)p->bulk;
    p->pos = end + 2;
    p->bulk = -1;
    p->left--;
    return RESP_OK;
}

/* A command that has come as a whole goes straight into `out`. */
static enum resp_status bulks_at_once(struct resp_parser *p, const uint8_t *data, size_t len,
                                      size_t max, struct resp_command *out, struct error *e)
{
    size_t offset, n;
    while (p->left > 0) {
        enum resp_status st = bulk_read(p, data, len, max, &offset, &n, e);
        if (st != RESP_OK)
            return st;
        command_push(out, data + offset, n);
    }
    return RESP_OK;
}

/* One that comes in parts is collected as offsets, since `data` may move between the calls, and
 * turned into slices once, at its end. */
static enum resp_status bulks_resumed(struct resp_parser *p, const uint8_t *data, size_t len,
                                      struct resp_command *out, struct error *e)
{
    size_t offset, n;
    while (p->left > 0) {
        enum resp_status st = bulk_read(p, data, len, RESP_COMMAND_MAX, &offset, &n, e);
        if (st != RESP_OK)
            return st;
        parser_push(p, offset, n);
    }
    command_room(out, p->nargs);
    for (size_t i = 0; i < p->nargs; i++)
        command_push(out, data + p->args[2 * i], p->args[2 * i + 1]);
    return RESP_OK;
}

static enum resp_status multibulk_parse(struct resp_parser *p, const uint8_t *data, size_t len,
                                        struct resp_command *out, struct error *e)
{
    if (p->left > 0)
        return bulks_resumed(p, data, len, out, e);
    enum resp_status st = count_read(p, data, len, e);
    if (st == RESP_OK)
        st = bulks_at_once(p, data, len, RESP_COMMAND_MAX, out, e);
    if (st == RESP_MORE)
        for (size_t i = 0; i < out->argc; i++)
            parser_push(p, (size_t)(out->argv[i].ptr - data), out->argv[i].len);
    return st;
}

/* ---- inline ---------------------------------------------------------------------------------- */

/* A line being taken apart: what is read, and where the bytes without quotes go. */
struct inliner {
    const uint8_t *p, *end;
    uint8_t *to;
};

static int hex_value(uint8_t c)
{
    if (isdigit(c))
        return c - '0';
    return isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* The byte that the escape at s->p (behind the backslash) stands for. */
static uint8_t inline_escape(struct inliner *s)
{
    uint8_t c = *s->p++;
    if (c == 'x' && s->end - s->p >= 2) {
        int high = hex_value(s->p[0]), low = hex_value(s->p[1]);
        if (high >= 0 && low >= 0) {
            s->p += 2;
            return (uint8_t)(high * 16 + low);
        }
    }
    static const char names[] = "nrtba", bytes[] = "\n\r\t\b\a";
    const char *name = c ? strchr(names, c) : NULL;
    return name ? (uint8_t)bytes[name - names] : c;
}

/* Behind an opening quote: to behind the closing one, which must end its word. */
static bool inline_quoted(struct inliner *s, uint8_t quote)
{
    while (s->p < s->end) {
        uint8_t c = *s->p++;
        if (c == quote)
            return s->p == s->end || isspace(*s->p);
        bool escape = c == '\\' && s->p < s->end;
        if (escape && quote == '"')
            *s->to++ = inline_escape(s);
        else if (escape && *s->p == '\'')
            *s->to++ = *s->p++;
        else
            *s->to++ = c;
    }
    return false;
}

/* Redis skips more kinds of blanks between words than it ends a word at. */
static inline bool ends_word(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool inline_word(struct inliner *s)
{
    while (s->p < s->end && !ends_word(*s->p)) {
        uint8_t c = *s->p++;
        if (c == '"' || c == '\'')
            return inline_quoted(s, c);
        *s->to++ = c;
    }
    return true;
}

static bool inline_split(struct slice line, struct resp_command *out)
{
    buf_reset(&out->scratch, KEEP_INLINE);
    struct inliner s = {line.ptr, line.ptr + line.len, buf_reserve(&out->scratch, line.len)};
    for (;;) {
        while (s.p < s.end && isspace(*s.p))
            s.p++;
        if (s.p == s.end)
            return true;
        const uint8_t *word = s.to;
        if (!inline_word(&s))
            return false;
        command_push(out, word, (size_t)(s.to - word));
    }
}

static enum resp_status inline_parse(struct resp_parser *p, const uint8_t *data, size_t len,
                                     struct resp_command *out, struct error *e)
{
    enum line line = line_find(data, len, 0, RESP_INLINE_MAX, '\n', &p->seen);
    if (line == LINE_LONG) {
        error_set(e, "Protocol error: too big inline request");
        return RESP_BAD;
    }
    if (line == LINE_PART)
        return RESP_MORE;
    if (!inline_split(slice_of(data, p->seen), out)) {
        error_set(e, "Protocol error: unbalanced quotes in request");
        return RESP_BAD;
    }
    p->pos = p->seen + 1;
    return RESP_OK;
}

/* ---- requests -------------------------------------------------------------------------------- */

enum resp_status resp_request_parse(struct resp_parser *p, const uint8_t *data, size_t len,
                                    struct resp_command *out, struct error *e)
{
    command_clear(out);
    if (len == 0) {
        p->want = 1;
        return RESP_MORE;
    }
    enum resp_status st =
        data[0] == '*' ? multibulk_parse(p, data, len, out, e) : inline_parse(p, data, len, out, e);
    if (st == RESP_MORE) {
        bool in_bulk = p->left > 0 && p->bulk >= 0;
        p->want = in_bulk ? p->pos + (size_t)p->bulk + 2 : len + 1;
        out->argc = 0;
        return RESP_MORE;
    }
    if (st == RESP_OK)
        out->size = p->pos;
    else
        out->argc = 0;
    if (st == RESP_OK && data[0] == '*')
        out->whole = slice_of(data, p->pos);
    parser_clear(p);
    return st;
}

bool resp_command_parse(struct slice bytes, struct resp_command *out)
{
    struct resp_parser p = {0};
    command_clear(out);
    bool ok = bytes.len > 0 && bytes.ptr[0] == '*' &&
              count_read(&p, bytes.ptr, bytes.len, NULL) == RESP_OK && p.left > 0 &&
              bulks_at_once(&p, bytes.ptr, bytes.len, bytes.len, out, NULL) == RESP_OK &&
              p.pos == bytes.len;
    out->size = ok ? p.pos : 0;
    out->whole = slice_of(bytes.ptr, out->size);
    if (!ok)
        out->argc = 0;
    return ok;
}

/* ---- replies --------------------------------------------------------------------------------- */

#define SCAN_TYPES "+-:$*_#,(=!"

static enum resp_status scan_bad(struct error *e, const char *what, uint8_t type)
{
    error_set(e, "reply that is not RESP: %s (type 0x%02x)", what, type);
    return RESP_BAD;
}

/* A string of n bytes (-1: nil) whose header ends before `body`. */
static enum resp_status scan_bulk(struct resp_scanner *s, const uint8_t *data, size_t len,
                                  size_t body, int64_t n, struct error *e)
{
    size_t end = body;
    if (n >= 0) {
        if (len - body < (size_t)n + 2)
            return RESP_MORE;
        end = body + (size_t)n + 2;
        if (data[end - 2] != '\r' || data[end - 1] != '\n')
            return scan_bad(e, "a string longer than its length", data[s->pos]);
    }
    s->pos = end;
    return RESP_OK;
}

/* The line at s->pos; OK puts the place behind it into *next. */
static enum resp_status scan_line(struct resp_scanner *s, const uint8_t *data, size_t len,
                                  size_t *next, struct error *e)
{
    if (s->pos == len)
        return RESP_MORE;
    uint8_t type = data[s->pos];
    if (!memchr(SCAN_TYPES, type, sizeof SCAN_TYPES - 1))
        return scan_bad(e, "unknown type", type);
    enum line line = line_find(data, len, s->pos, RESP_LINE_MAX, '\n', &s->seen);
    if (line == LINE_LONG)
        return scan_bad(e, "a line without end", type);
    if (line == LINE_PART)
        return RESP_MORE;
    if (data[s->seen - 1] != '\r')
        return scan_bad(e, "a line feed without carriage return", type);
    *next = s->seen + 1;
    return RESP_OK;
}

/* One array header or one scalar at s->pos; OK moves s->pos behind it. */
static enum resp_status scan_item(struct resp_scanner *s, const uint8_t *data, size_t len,
                                  int64_t *children, struct error *e)
{
    size_t next;
    enum resp_status st = scan_line(s, data, len, &next, e);
    if (st != RESP_OK)
        return st;
    *children = 0;
    uint8_t type = data[s->pos];
    if (type != '$' && type != '*' && type != '=' && type != '!') {
        s->pos = next;
        return RESP_OK;
    }
    int64_t n;
    int64_t max = type == '*' ? UINT32_MAX : RESP_BULK_MAX;
    struct slice digits = slice_of(data + s->pos + 1, next - s->pos - 3);
    if (!slice_to_i64(digits, &n) || n < -1 || n > max)
        return scan_bad(e, "a bad length", type);
    if (type != '*')
        return scan_bulk(s, data, len, next, n, e);
    s->pos = next;
    *children = n > 0 ? n : 0;
    return RESP_OK;
}

enum resp_status resp_reply_scan(struct resp_scanner *s, const uint8_t *data, size_t len,
                                 size_t *size, struct error *e)
{
    do {
        int64_t children;
        enum resp_status st = scan_item(s, data, len, &children, e);
        if (st != RESP_OK)
            return st;
        if (children > 0) {
            if (s->depth == RESP_DEPTH_MAX)
                return scan_bad(e, "arrays nested too deep", '*');
            s->left[s->depth++] = children;
            continue;
        }
        while (s->depth > 0 && --s->left[s->depth - 1] == 0)
            s->depth--;
    } while (s->depth > 0);
    *size = s->pos;
    s->pos = s->seen = 0;
    return RESP_OK;
}

bool resp_reply_int(struct slice reply, int64_t *out)
{
    return reply.len >= 4 && reply.ptr[0] == ':' && reply.ptr[reply.len - 2] == '\r' &&
           slice_to_i64(slice_of(reply.ptr + 1, reply.len - 3), out);
}

bool resp_reply_bulk(struct slice reply, struct slice *out)
{
    if (reply.len < 6 || reply.ptr[0] != '$')
        return false;
    const uint8_t *end = memchr(reply.ptr, '\r', reply.len);
    int64_t n;
    if (!end || !slice_to_i64(slice_of(reply.ptr + 1, (size_t)(end - reply.ptr) - 1), &n))
        return false;
    size_t head = (size_t)(end - reply.ptr) + 2;
    if (n < 0 || reply.len < head + 2 || (uint64_t)n != reply.len - head - 2)
        return false;
    *out = slice_of(reply.ptr + head, (size_t)n);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* `type`, the number and CRLF at `to`, which has NUMBER_MAX bytes; returns how many it took. */
static size_t put_number(uint8_t *to, char type, int64_t v)
{
    uint8_t digits[20];
    size_t n = 0, at = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[n++] = (uint8_t)('0' + u % 10);
        u /= 10;
    } while (u);
    to[at++] = (uint8_t)type;
    if (v < 0)
        to[at++] = '-';
    while (n)
        to[at++] = digits[--n];
    to[at++] = '\r';
    to[at++] = '\n';
    return at;
}

static void add_number(struct buf *b, char type, int64_t v)
{
    buf_commit(b, put_number(buf_reserve(b, NUMBER_MAX), type, v));
}

void resp_add_array(struct buf *b, size_t n)
{
    add_number(b, '*', (int64_t)n);
}

void resp_add_bulk(struct buf *b, struct slice s)
{
    uint8_t *to = buf_reserve(b, NUMBER_MAX + s.len + 2);
    size_t n = put_number(to, '$', (int64_t)s.len);
    if (s.len)
        memcpy(to + n, s.ptr, s.len);
    memcpy(to + n + s.len, "\r\n", 2);
    buf_commit(b, n + s.len + 2);
}

void resp_add_bulk_str(struct buf *b, const char *s)
{
    resp_add_bulk(b, slice_str(s));
}

void resp_add_nil(struct buf *b)
{
    buf_add_str(b, "$-1\r\n");
}

void resp_add_int(struct buf *b, int64_t v)
{
    add_number(b, ':', v);
}

void resp_add_status(struct buf *b, const char *s)
{
    buf_add_str(b, "+");
    buf_add_str(b, s);
    buf_add_str(b, "\r\n");
}

void resp_add_error(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int formatted = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    size_t n = formatted > 0 ? (size_t)formatted : 0;
    char *to = (char *)buf_reserve(b, n + 4);
    to[0] = '-';
    vsnprintf(to + 1, n + 1, fmt, again);
    va_end(again);
    while (n > 0 && (to[n] == '\r' || to[n] == '\n'))
        n--;
    for (size_t i = 1; i <= n; i++)
        if (to[i] == '\r' || to[i] == '\n')
            to[i] = ' ';
    memcpy(to + 1 + n, "\r\n", 2);
    buf_commit(b, n + 3);
}

void resp_pass_command(struct buf *b, const struct resp_command *cmd)
{
    if (cmd->whole.len)
        buf_add(b, cmd->whole.ptr, cmd->whole.len);
    else
        resp_add_command(b, cmd->argv, cmd->argc);
}

void resp_add_command(struct buf *b, const struct slice *argv, size_t argc)
{
    resp_add_array(b, argc);
    for (size_t i = 0; i < argc; i++)
        resp_add_bulk(b, argv[i]);
}
