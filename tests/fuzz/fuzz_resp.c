/* RESP: how a stream is cut never changes what it means. The input is a byte k (modulo 8), k
 * lengths of pieces, which are used over and over (none: one byte at a time), and the stream. It is
 * read as requests and as replies, at once and in pieces. */
#include "core/mem.h"
#include "fuzz.h"
#include "wire/resp.h"

struct input {
    const uint8_t *pieces; /* lengths */
    size_t npieces;
    const uint8_t *data;
    size_t len;
};

/* The length of the i-th piece. */
static size_t piece(const struct input *in, size_t i)
{
    size_t n = in->npieces ? in->pieces[i % in->npieces] : 1;
    return n ? n : 256;
}

/* What was made of a stream, as bytes that can be compared; `bad`: it was refused. */
struct outcome {
    struct buf seen;
    bool bad;
};

static void outcome_number(struct outcome *o, size_t n)
{
    buf_add(&o->seen, &n, sizeof n);
}

static void outcome_bad(struct outcome *o, const struct error *e)
{
    o->bad = true;
    buf_add_str(&o->seen, e->text);
}

/* Reads all that is whole in the `len` bytes at `data`; returns how many those were. The bytes are
 * copied for each call, so that the address sanitizer sees one read too far or too late. */
typedef size_t read_fn(void *state, const uint8_t *data, size_t len, struct outcome *o);

static void read_at_once(read_fn *reader, void *state, const struct input *in, struct outcome *o)
{
    size_t used = reader(state, in->data, in->len, o);
    outcome_number(o, o->bad ? 0 : used);
}

static void read_in_pieces(read_fn *reader, void *state, const struct input *in, struct outcome *o)
{
    size_t used = 0, come = 0;
    for (size_t i = 0; come < in->len && !o->bad; i++) {
        come += piece(in, i);
        if (come > in->len)
            come = in->len;
        used += reader(state, in->data + used, come - used, o);
    }
    outcome_number(o, o->bad ? 0 : used);
}

static void assert_same(struct outcome *a, struct outcome *b)
{
    FUZZ_CHECK(a->bad == b->bad);
    FUZZ_CHECK(slice_eq(buf_slice(&a->seen), buf_slice(&b->seen)));
    buf_fini(&a->seen);
    buf_fini(&b->seen);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

struct requests {
    struct resp_parser parser;
    struct resp_command cmd;
};

/* What is written from a command is read as the same command. */
static void check_written(const struct resp_command *c)
{
    struct buf b = BUF_INIT;
    struct resp_command again = {0};
    resp_add_command(&b, c->argv, c->argc);
    FUZZ_CHECK(resp_command_parse(buf_slice(&b), &again));
    FUZZ_CHECK(again.argc == c->argc);
    for (size_t i = 0; i < c->argc; i++)
        FUZZ_CHECK(slice_eq(again.argv[i], c->argv[i]));
    resp_command_fini(&again);
    buf_fini(&b);
}

static void outcome_command(struct outcome *o, const struct resp_command *c)
{
    outcome_number(o, c->argc);
    for (size_t i = 0; i < c->argc; i++) {
        outcome_number(o, c->argv[i].len);
        buf_add(&o->seen, c->argv[i].ptr, c->argv[i].len);
    }
    if (c->argc > 0)
        check_written(c);
}

static size_t read_requests(void *state, const uint8_t *data, size_t len, struct outcome *o)
{
    struct requests *r = state;
    uint8_t *copy = mem_dup(data, len);
    size_t used = 0;
    struct error e;
    enum resp_status st;
    do {
        st = resp_request_parse(&r->parser, copy + used, len - used, &r->cmd, &e);
        if (st == RESP_OK) {
            FUZZ_CHECK(r->cmd.size > 0 && r->cmd.size <= len - used);
            outcome_command(o, &r->cmd);
            used += r->cmd.size;
        }
    } while (st == RESP_OK);
    if (st == RESP_MORE)
        FUZZ_CHECK(r->parser.want > len - used);
    else
        outcome_bad(o, &e);
    mem_free(copy);
    return used;
}

static void run_requests(const struct input *in)
{
    struct requests r = {0};
    struct outcome once = {0}, cut = {0};
    read_at_once(read_requests, &r, in, &once);
    resp_parser_fini(&r.parser);
    read_in_pieces(read_requests, &r, in, &cut);
    assert_same(&once, &cut);
    resp_parser_fini(&r.parser);
    resp_command_fini(&r.cmd);
}

/* ---- replies ----------------------------------------------------------------------------------
 */

/* The readers of one reply agree with the scanner about what is in it. */
static void outcome_reply(struct outcome *o, struct slice reply)
{
    struct slice s;
    int64_t v;
    outcome_number(o, reply.len);
    if (resp_reply_bulk(reply, &s))
        FUZZ_CHECK(reply.ptr[0] == '$' && s.ptr + s.len + 2 == reply.ptr + reply.len);
    else
        FUZZ_CHECK(reply.ptr[0] != '$' || reply.ptr[1] == '-');
    if (resp_reply_int(reply, &v))
        FUZZ_CHECK(reply.ptr[0] == ':');
}

static size_t read_replies(void *state, const uint8_t *data, size_t len, struct outcome *o)
{
    struct resp_scanner *s = state;
    uint8_t *copy = mem_dup(data, len);
    size_t used = 0, size = 0;
    struct error e;
    enum resp_status st;
    while ((st = resp_reply_scan(s, copy + used, len - used, &size, &e)) == RESP_OK) {
        FUZZ_CHECK(size > 0 && size <= len - used);
        outcome_reply(o, slice_of(copy + used, size));
        used += size;
    }
    if (st == RESP_BAD)
        outcome_bad(o, &e);
    mem_free(copy);
    return used;
}

static void run_replies(const struct input *in)
{
    struct resp_scanner s = {0};
    struct outcome once = {0}, cut = {0};
    read_at_once(read_replies, &s, in, &once);
    s = (struct resp_scanner){0};
    read_in_pieces(read_replies, &s, in, &cut);
    assert_same(&once, &cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t k = size ? data[0] % 8 : 0;
    if (size < 1 + k)
        return 0;
    struct input in = {data + 1, k, data + 1 + k, size - 1 - k};
    run_requests(&in);
    run_replies(&in);
    return 0;
}
