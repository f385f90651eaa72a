/* memcached's text protocol, as clients send it: what each line means, whole and cut anywhere, and
 * the same as a slow, obvious reader says. Each input is parsed from a copy of exactly its size, so
 * that the address sanitizer sees a byte read too far. */
#include "core/mem.h"
#include "unit.h"
#include "wire/base64.h"
#include "wire/memcache.h"
#include <ctype.h>
#include <errno.h>

#define VALUE_MAX 1000 /* of these tests: smaller than memcached's */

/* ---- a stream as text -------------------------------------------------------------------------
 */

static const char *const verb_names[] = {
    "nothing", "wrong", "get",       "store",     "delete", "arithmetic", "touch",
    "mg",      "ms",    "md",        "ma",        "me",     "mn",         "version",
    "quit",    "stats", "verbosity", "flush_all", "admin"};

static void show_bytes(struct buf *to, char name, struct slice s)
{
    buf_printf(to, " %c=", name);
    buf_add(to, s.ptr, s.len);
}

/* A command as a line of text. The slow reader below makes one of these structs as well. */
static void show(struct buf *to, const struct memcache_command *c)
{
    buf_add_str(to, verb_names[c->verb]);
    if (c->verb == MEMCACHE_WRONG)
        buf_printf(to, " '%s'", c->answer);
    if (c->quiet)
        buf_add_str(to, " quiet");
    if (c->discard)
        buf_printf(to, "%s throws away %zu", c->too_large ? " too large," : "", c->discard);
    if (c->verb == MEMCACHE_WRONG) {
        buf_add_str(to, ";\n");
        return;
    }
    if (c->key.len)
        show_bytes(to, c->binary ? 'B' : 'k', c->key);
    if (c->bytes >= 0 && !c->discard)
        show_bytes(to, 'v', c->value);
    if (c->mode)
        buf_printf(to, " M%c", c->mode);
    for (char letter = 'A'; letter <= 'z'; letter++)
        if (memcache_given(c, letter))
            buf_printf(to, "%s%c", letter == 'A' ? "" : " ", letter);
    buf_printf(to, " T%d N%d R%d F%u C%lu D%lu J%lu l%u", c->ttl, c->vivify, c->recache, c->flags,
               (unsigned long)c->cas, (unsigned long)c->delta, (unsigned long)c->initial, c->level);
    for (size_t i = c->first; c->first && i < c->nwords; i++)
        show_bytes(to, '.', c->words[i]);
    buf_add_str(to, ";\n");
}

/* A connection: bytes that have come, how far they are eaten, and what was made of them. */
struct stream {
    struct memcache_parser parser;
    struct memcache_command cmd;
    struct buf in, shown;
    size_t thrown;
    bool bad;
};

static void show_parsed(struct stream *s)
{
    if (s->cmd.verb == MEMCACHE_NOTHING)
        s->thrown += s->cmd.size;
    else
        show(&s->shown, &s->cmd);
}

static void stream_parse(struct stream *s)
{
    while (!s->bad && s->in.len > 0) {
        uint8_t *exact = mem_dup(buf_head(&s->in), s->in.len);
        struct error e;
        enum resp_status st = memcache_parse(&s->parser, exact, s->in.len, &s->cmd, &e);
        if (st == RESP_OK && s->cmd.verb != MEMCACHE_NOTHING && s->in.len % 3 == 0) /* it waits */
            ck_assert_int_eq(memcache_parse(&s->parser, exact, s->in.len, &s->cmd, &e), RESP_OK);
        if (st == RESP_OK)
            show_parsed(s);
        mem_free(exact);
        if (st == RESP_MORE) {
            ck_assert_uint_gt(s->parser.want, s->in.len);
            return;
        }
        s->bad = st == RESP_BAD;
        if (s->bad) {
            buf_printf(&s->shown, "!%s", e.text);
            return;
        }
        ck_assert_uint_gt(s->cmd.size, 0);
        ck_assert_uint_le(s->cmd.size, s->in.len);
        if (s->cmd.verb != MEMCACHE_NOTHING)
            memcache_taken(&s->parser, &s->cmd);
        buf_eat(&s->in, s->cmd.size);
    }
}

static char *text_of(struct buf *b)
{
    char *text = mem_alloc(b->len + 1);
    memcpy(text, buf_head(b), b->len);
    text[b->len] = '\0';
    buf_fini(b);
    return text;
}

/* The text is the caller's to free; what is left over stands behind a '+', what was thrown away
 * behind a '-'. */
static char *stream_end(struct stream *s)
{
    if (!s->bad)
        buf_printf(&s->shown, "+%zu-%zu", s->in.len, s->thrown);
    buf_fini(&s->in);
    memcache_command_fini(&s->cmd);
    return text_of(&s->shown);
}

static struct stream stream_new(void)
{
    return (struct stream){.parser = {.value_max = VALUE_MAX}};
}

static void stream_feed(struct stream *s, const uint8_t *p, size_t n)
{
    buf_add(&s->in, p, n);
    stream_parse(s);
}

static char *parse_at_once(const uint8_t *p, size_t n)
{
    struct stream s = stream_new();
    stream_feed(&s, p, n);
    return stream_end(&s);
}

static char *parse_cut_at(const uint8_t *p, size_t n, size_t at)
{
    struct stream s = stream_new();
    stream_feed(&s, p, at);
    stream_feed(&s, p + at, n - at);
    return stream_end(&s);
}

/* ---- what a line means ------------------------------------------------------------------------
 */

#define NUMBERS " T0 N0 R0 F0 C0 D0 J0 l0"
#define ROW(bytes, means)                                                                          \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, means                                                            \
    }

static const struct row {
    const char *bytes;
    size_t n;
    const char *means;
} rows[] = {
    ROW("get a\r\n", "get" NUMBERS " .=a;\n+0-0"),
    ROW("get a\n", "get" NUMBERS " .=a;\n+0-0"),
    ROW("get  a   b \r\n", "get" NUMBERS " .=a .=b;\n+0-0"),
    ROW("gets a\r\n", "get c" NUMBERS " .=a;\n+0-0"),
    ROW("gat -5 a\r\n", "get T T-5 N0 R0 F0 C0 D0 J0 l0 .=a;\n+0-0"),
    ROW("gats 4294967297 a\r\n", "get T c T1 N0 R0 F0 C0 D0 J0 l0 .=a;\n+0-0"),
    ROW("gat 10\r\n", "get T T10 N0 R0 F0 C0 D0 J0 l0;\n+0-0"),
    ROW("get\r\n", "wrong 'ERROR';\n+0-0"),
    ROW("GET a\r\n", "wrong 'ERROR';\n+0-0"),
    ROW("get a\0b c\r\n", "get" NUMBERS " .=a;\n+0-0"),
    ROW("set a 1 2 3\r\nx\r\n\r\n", "store k=a v=x\r\n MS F T T2 N0 R0 F1 C0 D0 J0 l0;\n+0-0"),
    ROW("set a 1 2 3 noreply\r\nxyz\r\n",
        "store quiet k=a v=xyz MS F T T2 N0 R0 F1 C0 D0 J0 l0;\n+0-0"),
    ROW("set a 1 2 0\r\n\r\n", "store k=a v= MS F T T2 N0 R0 F1 C0 D0 J0 l0;\n+0-0"),
    ROW("set a 1 2 1\r\nxy\r\n", "wrong 'CLIENT_ERROR bad data chunk';\nwrong 'ERROR';\n+0-0"),
    ROW("set a 1 2 -1\r\n", "wrong 'CLIENT_ERROR bad command line format';\n+0-0"),
    ROW("set a 1 2 noreply\r\n", "wrong 'CLIENT_ERROR bad command line format' quiet;\n+0-0"),
    ROW("set a 1 2\r\n", "wrong 'ERROR';\n+0-0"),
    ROW("set a 0 0 1001\r\nxx", "store too large, throws away 1003 k=a MS F T" NUMBERS ";\n+0-2"),
    ROW("cas a 0 0 1 18446744073709551615\r\nx\r\n",
        "store k=a v=x MS C F T T0 N0 R0 F0 C18446744073709551615 D0 J0 l0;\n+0-0"),
    ROW("cas a 0 0 1 -1\r\n", "wrong 'CLIENT_ERROR bad command line format';\n+0-0"),
    ROW("delete a\r\n", "delete k=a" NUMBERS ";\n+0-0"),
    ROW("delete a 0 noreply\r\n", "delete quiet k=a" NUMBERS ";\n+0-0"),
    ROW("delete a 1\r\n",
        "wrong 'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]';\n+0-0"),
    ROW("incr a 5\r\n", "arithmetic k=a MI D T0 N0 R0 F0 C0 D5 J0 l0;\n+0-0"),
    ROW("decr a -5\r\n", "wrong 'CLIENT_ERROR invalid numeric delta argument';\n+0-0"),
    ROW("touch a x\r\n", "wrong 'CLIENT_ERROR invalid exptime argument';\n+0-0"),
    ROW("mn\r\n", "mn" NUMBERS ";\n+0-0"),
    ROW("mg a v q Oabc\r\n", "mg quiet k=a O q v" NUMBERS " .=v .=q .=Oabc;\n+0-0"),
    ROW("mg Zm9v b k\r\n", "mg B=foo b k" NUMBERS " .=b .=k;\n+0-0"),
    ROW("mg !!! b\r\n", "wrong 'CLIENT_ERROR error decoding key';\n+0-0"),
    ROW("mg a v v\r\n", "wrong 'CLIENT_ERROR duplicate flag';\n+0-0"),
    ROW("mg a y\r\n", "wrong 'CLIENT_ERROR invalid flag';\n+0-0"),
    ROW("mg a O12345678901234567890123456789012\r\n",
        "wrong 'CLIENT_ERROR opaque token too long';\n+0-0"),
    ROW("ms a 2 T10 ME\r\nxy\r\n", "ms k=a v=xy ME M T T10 N0 R0 F0 C0 D0 J0 l0 .=T10 .=ME;\n+0-0"),
    ROW("ms a 2 MX\r\nxy\r\n",
        "wrong 'CLIENT_ERROR invalid mode for ms M token' throws away 4;\n+0-4"),
    ROW("ms a 2 q\r\nxyz\r\n", "wrong 'CLIENT_ERROR bad data chunk';\nwrong 'ERROR';\n+0-0"),
    ROW("ms a S2\r\n", "wrong 'CLIENT_ERROR bad command line format';\n+0-0"),
    ROW("md a I T5 C7\r\n", "md k=a MI C I T T5 N0 R0 F0 C7 D0 J0 l0 .=I .=T5 .=C7;\n+0-0"),
    ROW("ma a N0 J13 D5 M-\r\n",
        "ma k=a MD D J M N T0 N0 R0 F0 C0 D5 J13 l0 .=N0 .=J13 .=D5 .=M-;\n+0-0"),
    ROW("ma a MX\r\n", "wrong 'CLIENT_ERROR invalid mode for ma M token';\n+0-0"),
    ROW("ma a Dx\r\n", "wrong 'CLIENT_ERROR invalid or duplicate flag';\n+0-0"),
    ROW("me Zm9v b\r\n", "me B=foo" NUMBERS ";\n+0-0"),
    ROW("verbosity 1 noreply\r\n", "verbosity quiet T0 N0 R0 F0 C0 D0 J0 l1;\n+0-0"),
    ROW("flush_all\r\n", "flush_all" NUMBERS ";\n+0-0"),
    ROW("flush_all noreply\r\n", "flush_all quiet" NUMBERS ";\n+0-0"),
    ROW("flush_all 10 noreply\r\n", "flush_all quiet T10 N0 R0 F0 C0 D0 J0 l0;\n+0-0"),
    ROW("version\r\nquit\r\nstats slabs\r\nshutdown\r\n",
        "version" NUMBERS ";\nquit" NUMBERS ";\nstats" NUMBERS ";\nadmin" NUMBERS ";\n+0-0"),
    ROW("\r\n\n\r\r\n", "wrong 'ERROR';\nwrong 'ERROR';\nwrong 'ERROR';\n+0-0"),
    ROW("\x80\x00\x00\x00", "!the binary protocol isn't spoken here"),
    ROW("mn\r\n\x80\r\n", "mn" NUMBERS ";\nwrong 'ERROR';\n+0-0"),
};

START_TEST(a_row_means_what_it_says)
{
    const struct row *r = &rows[_i];
    for (size_t at = 0; at <= r->n; at++) {
        char *got = parse_cut_at((const uint8_t *)r->bytes, r->n, at);
        ck_assert_str_eq(got, r->means);
        mem_free(got);
    }
}
END_TEST

/* ---- lines that are too long ------------------------------------------------------------------
 */

static struct buf keys_line(const char *command, size_t n)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, command);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, " key%05zu", i);
    return b;
}

static char *parse_line(struct buf *line, const char *end)
{
    buf_add_str(line, end);
    char *got = parse_at_once(buf_head(line), line->len);
    buf_fini(line);
    return got;
}

START_TEST(many_keys_may_stand_in_one_get)
{
    struct buf line = keys_line("get", 10000);
    buf_add_str(&line, "\r\n");
    struct memcache_parser p = {0};
    struct memcache_command c = {0};
    struct error e;
    ck_assert_int_eq(memcache_parse(&p, buf_head(&line), line.len, &c, &e), RESP_OK);
    ck_assert_uint_eq(c.nwords, 10001);
    buf_fini(&line);
    memcache_command_fini(&c);
}
END_TEST

START_TEST(there_may_be_too_many_keys)
{
    for (size_t n = RESP_ARGS_MAX; n <= RESP_ARGS_MAX + 10; n += 10) {
        struct buf line = BUF_INIT;
        buf_add_str(&line, "gat 5");
        for (size_t i = 0; i < n; i++)
            buf_add_str(&line, " k");
        char *got = parse_line(&line, "\r\n");
        bool good = strncmp(got, "get ", 4) == 0;
        ck_assert(good == (n == RESP_ARGS_MAX));
        if (!good)
            ck_assert_str_eq(got, "wrong 'CLIENT_ERROR too many keys';\n+0-0");
        mem_free(got);
    }
}
END_TEST

START_TEST(other_lines_have_a_bound)
{
    struct buf line = keys_line("delete", 300);
    char *got = parse_line(&line, "\r\n"), *open;
    ck_assert_str_eq(got, "!line too long");
    mem_free(got);
    line = keys_line("delete", 300);
    open = parse_line(&line, "");
    ck_assert_str_eq(open, "!line too long");
    mem_free(open);
    line = keys_line("get", MEMCACHE_GET_LINE_MAX / 9 + 1);
    open = parse_line(&line, "");
    ck_assert_str_eq(open, "!line too long");
    mem_free(open);
}
END_TEST

START_TEST(keys_have_a_bound)
{
    for (int n = 250; n <= 251; n++) {
        struct buf line = BUF_INIT;
        buf_printf(&line, "get a %0*d", n, 7);
        char *got = parse_line(&line, "\r\n");
        ck_assert_int_eq(strncmp(got, "get", 3) == 0, n == 250);
        mem_free(got);
    }
}
END_TEST

/* A large value isn't gathered: where the line is there, the command is. */
START_TEST(a_value_that_is_refused_takes_no_room)
{
    struct memcache_parser p = {.value_max = VALUE_MAX};
    struct memcache_command c = {0};
    struct error e;
    const char line[] = "set a 0 0 2147483645\r\n";
    ck_assert_int_eq(memcache_parse(&p, (const uint8_t *)line, sizeof line - 1, &c, &e), RESP_OK);
    ck_assert(c.too_large && c.size == sizeof line - 1);
    memcache_taken(&p, &c);
    uint8_t some[1000] = {0};
    ck_assert_int_eq(memcache_parse(&p, some, sizeof some, &c, &e), RESP_OK);
    ck_assert(c.verb == MEMCACHE_NOTHING && c.size == sizeof some);
    ck_assert_uint_eq(p.discard, 2147483647u - sizeof some);
    memcache_command_fini(&c);
}
END_TEST

/* ---- base64 -----------------------------------------------------------------------------------
 */

START_TEST(base64_there_and_back)
{
    uint8_t bytes[64], back[BASE64_DECODED(BASE64_ENCODED(64))];
    srand(unit_seed());
    for (size_t n = 1; n <= sizeof bytes; n++) {
        struct buf text = BUF_INIT;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)rand();
        base64_add(&text, slice_of(bytes, n));
        ck_assert_uint_eq(text.len, BASE64_ENCODED(n));
        ck_assert_uint_eq(base64_decode(buf_slice(&text), back), n);
        ck_assert_mem_eq(back, bytes, n);
        buf_fini(&text);
    }
}
END_TEST

START_TEST(base64_as_memcached_reads_it)
{
    static const struct {
        const char *text, *means;
    } is[] = {{"Zm9v", "foo"},
              {"Zm9vYg==", "foob"},
              {"Z-m9v", "foo"},
              {"Zm9", ""},
              {"", ""},
              {"====", ""},
              {"Zg==Zm9v", "f"},
              {"!!!", ""},
              {"+/+/", "\xfb\xff\xbf"}};
    uint8_t out[32];
    for (size_t i = 0; i < ARRAY_LEN(is); i++) {
        size_t n = base64_decode(slice_str(is[i].text), out);
        ck_assert_uint_eq(n, strlen(is[i].means));
        ck_assert_mem_eq(out, is[i].means, n);
    }
}
END_TEST

/* ---- the slow, obvious reader -----------------------------------------------------------------
 * The whole input at once, each line and word copied into a string of its own, numbers by the C
 * library. */

struct slow {
    const uint8_t *at, *end;
    struct buf shown;
    size_t thrown;
};

struct slow_line {
    char *words[64];
    int n;
};

static struct slow_line slow_split(const char *line)
{
    struct slow_line l = {.n = 0};
    char *copy = strdup(line), *state = NULL;
    for (char *w = strtok_r(copy, " ", &state); w && l.n < 64; w = strtok_r(NULL, " ", &state))
        l.words[l.n++] = strdup(w);
    free(copy);
    if (l.n > 0 && !strchr("g b", l.words[0][0]))
        while (l.n > MEMCACHE_WORDS_MAX)
            free(l.words[--l.n]);
    return l;
}

static bool slow_end_ok(const char *word, const char *end)
{
    return end != word && (*end == '\0' || isspace((unsigned char)*end));
}

static bool slow_unsigned(const char *word, uint64_t *v)
{
    char *end;
    errno = 0;
    *v = strtoull(word, &end, 10);
    if (errno == ERANGE || !slow_end_ok(word, end))
        return false;
    return (int64_t)*v >= 0 || !strchr(word, '-');
}

static bool slow_signed(const char *word, int32_t *v)
{
    char *end;
    errno = 0;
    long l = strtol(word, &end, 10);
    *v = (int32_t)l;
    return errno != ERANGE && slow_end_ok(word, end);
}

static struct slice slow_word(const struct slow_line *l, int i)
{
    return slice_str(l->words[i]);
}

static bool slow_noreply(const struct slow_line *l)
{
    return strcmp(l->words[l->n - 1], "noreply") == 0;
}

static void slow_says(struct slow *s, const char *what, bool quiet, size_t thrown)
{
    buf_printf(&s->shown, "wrong '%s'%s", what, quiet ? " quiet" : "");
    if (thrown)
        buf_printf(&s->shown, " throws away %zu", thrown);
    buf_add_str(&s->shown, ";\n");
    size_t left = (size_t)(s->end - s->at);
    s->thrown += thrown < left ? thrown : left;
    s->at += thrown < left ? thrown : left;
}

/* The value behind the line, or why there is none. False: it isn't there yet. */
static bool slow_value(struct slow *s, struct memcache_command *c, int32_t bytes)
{
    size_t left = (size_t)(s->end - s->at), n = (size_t)bytes;
    c->bytes = bytes;
    if (bytes > VALUE_MAX) {
        c->too_large = true;
        c->discard = n + 2;
        show(&s->shown, c);
        s->thrown += n + 2 < left ? n + 2 : left;
        s->at += n + 2 < left ? n + 2 : left;
        return true;
    }
    if (left < n + 2)
        return false;
    c->value = slice_of(s->at, n);
    bool good = memcmp(s->at + n, "\r\n", 2) == 0;
    s->at += n + 2;
    if (good)
        show(&s->shown, c);
    else
        slow_says(s, "CLIENT_ERROR bad data chunk", c->quiet && c->verb == MEMCACHE_STORE, 0);
    return true;
}

#define GIVE(c, letter) ((c)->given |= 1ull << ((letter) - 'A'))

static bool slow_store(struct slow *s, const struct slow_line *l, char mode)
{
    bool cas = l->words[0][0] == 'c';
    int want = cas ? 6 : 5;
    struct memcache_command c = {.verb = MEMCACHE_STORE, .mode = mode};
    if (l->n != want && l->n != want + 1) {
        slow_says(s, "ERROR", false, 0);
        return true;
    }
    uint64_t flags;
    int32_t bytes;
    c.quiet = slow_noreply(l);
    c.key = slow_word(l, 1);
    if (c.key.len > 250 || !slow_unsigned(l->words[2], &flags) ||
        !slow_signed(l->words[3], &c.ttl) || !slow_signed(l->words[4], &bytes) ||
        (cas && !slow_unsigned(l->words[5], &c.cas)) || bytes < 0 || bytes > INT32_MAX - 2) {
        slow_says(s, "CLIENT_ERROR bad command line format", c.quiet, 0);
        return true;
    }
    c.flags = (uint32_t)flags;
    GIVE(&c, 'F');
    GIVE(&c, 'T');
    if (cas)
        GIVE(&c, 'C');
    return slow_value(s, &c, bytes);
}

static void slow_get(struct slow *s, const struct slow_line *l)
{
    const char *name = l->words[0];
    bool touch = strncmp(name, "gat", 3) == 0;
    struct slice words[64];
    struct memcache_command c = {
        .verb = MEMCACHE_GET, .words = words, .first = touch ? 2 : 1, .bytes = -1};
    if (l->n < 2) {
        slow_says(s, "ERROR", false, 0);
        return;
    }
    if (touch && !slow_signed(l->words[1], &c.ttl)) {
        slow_says(s, "CLIENT_ERROR invalid exptime argument", false, 0);
        return;
    }
    if (touch)
        GIVE(&c, 'T');
    if (name[strlen(name) - 1] == 's')
        GIVE(&c, 'c');
    for (int i = 0; i < l->n; i++)
        words[c.nwords++] = slow_word(l, i);
    for (int i = (int)c.first; i < l->n; i++)
        if (words[i].len > 250) {
            slow_says(s, "CLIENT_ERROR bad command line format", false, 0);
            return;
        }
    show(&s->shown, &c);
}

static void slow_one_number(struct slow *s, const struct slow_line *l)
{
    char first = l->words[0][0];
    struct memcache_command c = {.verb = first == 't' ? MEMCACHE_TOUCH : MEMCACHE_ARITHMETIC,
                                 .bytes = -1};
    if (l->n != 3 && l->n != 4) {
        slow_says(s, "ERROR", false, 0);
        return;
    }
    c.key = slow_word(l, 1);
    c.quiet = slow_noreply(l);
    if (first != 't')
        c.mode = first == 'i' ? 'I' : 'D';
    GIVE(&c, first == 't' ? 'T' : 'D');
    if (c.key.len > 250)
        slow_says(s, "CLIENT_ERROR bad command line format", c.quiet, 0);
    else if (first == 't' && !slow_signed(l->words[2], &c.ttl))
        slow_says(s, "CLIENT_ERROR invalid exptime argument", c.quiet, 0);
    else if (first != 't' && !slow_unsigned(l->words[2], &c.delta))
        slow_says(s, "CLIENT_ERROR invalid numeric delta argument", c.quiet, 0);
    else
        show(&s->shown, &c);
}

static void slow_delete(struct slow *s, const struct slow_line *l)
{
    struct memcache_command c = {.verb = MEMCACHE_DELETE, .bytes = -1};
    if (l->n < 2 || l->n > 4) {
        slow_says(s, "ERROR", false, 0);
        return;
    }
    bool zero = l->n > 2 && strcmp(l->words[2], "0") == 0, noreply = l->n > 2 && slow_noreply(l);
    bool good = l->n == 2 || (l->n == 3 && (zero || noreply)) || (l->n == 4 && zero && noreply);
    c.quiet = noreply;
    c.key = slow_word(l, 1);
    if (!good)
        slow_says(s, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]",
                  noreply, 0);
    else if (c.key.len > 250)
        slow_says(s, "CLIENT_ERROR bad command line format", noreply, 0);
    else
        show(&s->shown, &c);
}

/* Flags from word `from` on. NULL: good. */
static const char *slow_flags(struct memcache_command *c, const struct slow_line *l, int from,
                              uint8_t *decoded)
{
    const char *error = NULL;
    uint64_t flags;
    for (int i = from; i < l->n; i++) {
        const char *w = l->words[i], *token = w + 1;
        for (int j = from; j < i; j++)
            if (l->words[j][0] == w[0])
                return "CLIENT_ERROR duplicate flag";
        if ((unsigned char)w[0] >= 127)
            return "CLIENT_ERROR duplicate flag";
        if (!strchr("bNTRlOPLkstcfvhuqFCMJDI", w[0]))
            return "CLIENT_ERROR invalid flag";
        GIVE(c, w[0]);
        if (w[0] == 'b') {
            size_t n = base64_decode(c->key, decoded);
            c->key = slice_of(decoded, n);
            c->binary = true;
            if (n == 0)
                error = "CLIENT_ERROR error decoding key";
        }
        if ((w[0] == 'T' && !slow_signed(token, &c->ttl)) ||
            (w[0] == 'N' && !slow_signed(token, &c->vivify)) ||
            (w[0] == 'R' && !slow_signed(token, &c->recache)) ||
            (w[0] == 'C' && !slow_unsigned(token, &c->cas)))
            error = "CLIENT_ERROR bad token in command line format";
        if (w[0] == 'F' && slow_unsigned(token, &flags))
            c->flags = (uint32_t)flags;
        else if (w[0] == 'F' && !error)
            error = "CLIENT_ERROR bad command line format";
        if (w[0] == 'J' && !slow_unsigned(token, &c->initial))
            error = "CLIENT_ERROR invalid numeric initial value";
        if (w[0] == 'D' && !slow_unsigned(token, &c->delta))
            error = "CLIENT_ERROR invalid numeric delta value";
        if (w[0] == 'M' && strlen(w) != 2)
            error = "CLIENT_ERROR incorrect length for M token";
        if (w[0] == 'M' && strlen(w) == 2)
            c->mode = w[1];
        if (w[0] == 'q')
            c->quiet = true;
    }
    return error;
}

static const char *slow_opaque(const struct slow_line *l, int from)
{
    for (int i = from; i < l->n; i++)
        if (l->words[i][0] == 'O' && strlen(l->words[i]) > 32)
            return "CLIENT_ERROR opaque token too long";
    return NULL;
}

static void slow_debug(struct slow *s, const struct slow_line *l)
{
    uint8_t decoded[256];
    struct memcache_command c = {.verb = MEMCACHE_META_DEBUG, .bytes = -1};
    if (l->n < 2 || strlen(l->words[1]) > 250) {
        slow_says(s, "CLIENT_ERROR bad command line format", false, 0);
        return;
    }
    c.key = slow_word(l, 1);
    if (l->n > 2 && strcmp(l->words[2], "b") == 0) {
        c.binary = true;
        c.key = slice_of(decoded, base64_decode(c.key, decoded));
        if (c.key.len == 0) {
            slow_says(s, "CLIENT_ERROR bad command line format", false, 0);
            return;
        }
    }
    show(&s->shown, &c);
}

/* mg ms md ma. False: the value isn't there yet. */
static bool slow_meta(struct slow *s, const struct slow_line *l, enum memcache_verb verb)
{
    uint8_t decoded[256];
    struct slice words[64];
    struct memcache_command c = {.verb = verb, .words = words, .bytes = -1};
    bool set = verb == MEMCACHE_META_SET, get = verb == MEMCACHE_META_GET;
    int from = set ? 3 : 2;
    int32_t bytes = 0;
    c.first = (size_t)from;
    c.delta = verb == MEMCACHE_META_ARITHMETIC;
    if (l->n < 2) {
        slow_says(s, "ERROR", false, 0);
        return true;
    }
    if (strlen(l->words[1]) > 250 || (set && l->n == 2)) {
        slow_says(s, "CLIENT_ERROR bad command line format", false, 0);
        return true;
    }
    if (l->n > 19) {
        slow_says(s,
                  get ? "CLIENT_ERROR options flags are too long"
                      : "CLIENT_ERROR options flags too long",
                  false, 0);
        return true;
    }
    if (set && (!slow_signed(l->words[2], &bytes) || bytes < 0 || bytes > INT32_MAX - 2)) {
        slow_says(s, "CLIENT_ERROR bad command line format", false, 0);
        return true;
    }
    c.key = slow_word(l, 1);
    const char *error = slow_flags(&c, l, from, decoded);
    if (error && !set && !get)
        error = "CLIENT_ERROR invalid or duplicate flag";
    if (!error && set && c.mode && !strchr("EAPRS", c.mode))
        error = "CLIENT_ERROR invalid mode for ms M token";
    if (!error && verb == MEMCACHE_META_ARITHMETIC && c.mode && !strchr("I+D-", c.mode))
        error = "CLIENT_ERROR invalid mode for ma M token";
    if (!error)
        error = slow_opaque(l, from);
    if (error) {
        slow_says(s, error, false, set ? (size_t)bytes + 2 : 0);
        return true;
    }
    if (set && !c.mode)
        c.mode = 'S';
    if (!set && !get)
        c.mode = c.mode == 'D' || c.mode == '-' ? 'D' : 'I';
    for (int i = 0; i < l->n; i++)
        words[c.nwords++] = slow_word(l, i);
    if (set)
        return slow_value(s, &c, bytes);
    show(&s->shown, &c);
    return true;
}

static void slow_simple(struct slow *s, const struct slow_line *l)
{
    struct memcache_command c = {.bytes = -1};
    const char *name = l->words[0], *error = "ERROR";
    uint64_t level = 0;
    if (strcmp(name, "mn") == 0)
        c.verb = MEMCACHE_META_NOOP;
    if (strcmp(name, "version") == 0)
        c.verb = MEMCACHE_VERSION;
    if (strcmp(name, "quit") == 0)
        c.verb = MEMCACHE_QUIT;
    if (strcmp(name, "stats") == 0)
        c.verb = MEMCACHE_STATS;
    if (strcmp(name, "watch") == 0)
        c.verb = MEMCACHE_ADMIN;
    if (strcmp(name, "verbosity") == 0 && (l->n == 2 || l->n == 3)) {
        c.quiet = slow_noreply(l);
        if (slow_unsigned(l->words[1], &level))
            c.verb = MEMCACHE_VERBOSITY;
        else
            error = "CLIENT_ERROR bad command line format";
        c.level = (uint32_t)level;
    }
    if (strcmp(name, "flush_all") == 0 && l->n <= 3) {
        c.quiet = slow_noreply(l);
        if (l->n == (c.quiet ? 2 : 1) || slow_signed(l->words[1], &c.ttl))
            c.verb = MEMCACHE_FLUSH_ALL;
        else
            error = "CLIENT_ERROR invalid exptime argument";
    }
    if (c.verb == MEMCACHE_NOTHING)
        slow_says(s, error, c.quiet, 0);
    else
        show(&s->shown, &c);
}

static bool slow_is(const char *name, const char *of)
{
    char padded[80];
    snprintf(padded, sizeof padded, " %.70s ", name);
    return strstr(of, padded);
}

/* False: its value isn't there yet. */
static bool slow_line(struct slow *s, const struct slow_line *l)
{
    const char *name = l->n ? l->words[0] : "";
    if (slow_is(name, " set add replace append prepend cas "))
        return slow_store(s, l,
                          name[0] == 'r'                     ? 'R'
                          : name[0] == 'p'                   ? 'P'
                          : name[0] == 'a' && name[1] == 'p' ? 'A'
                          : name[0] == 'a'                   ? 'E'
                                                             : 'S');
    if (slow_is(name, " get gets gat gats bget "))
        slow_get(s, l);
    else if (slow_is(name, " incr decr touch "))
        slow_one_number(s, l);
    else if (strcmp(name, "delete") == 0)
        slow_delete(s, l);
    else if (strcmp(name, "me") == 0)
        slow_debug(s, l);
    else if (strcmp(name, "mg") == 0)
        return slow_meta(s, l, MEMCACHE_META_GET);
    else if (strcmp(name, "ms") == 0)
        return slow_meta(s, l, MEMCACHE_META_SET);
    else if (strcmp(name, "md") == 0)
        return slow_meta(s, l, MEMCACHE_META_DELETE);
    else if (strcmp(name, "ma") == 0)
        return slow_meta(s, l, MEMCACHE_META_ARITHMETIC);
    else if (l->n)
        slow_simple(s, l);
    else
        slow_says(s, "ERROR", false, 0);
    return true;
}

static bool slow_next(struct slow *s)
{
    const uint8_t *start = s->at;
    const uint8_t *end = memchr(s->at, '\n', (size_t)(s->end - s->at));
    if (!end)
        return false;
    size_t n = (size_t)(end - s->at);
    char *line = calloc(1, n + 1);
    memcpy(line, s->at, n);
    if (n > 1 && line[n - 1] == '\r')
        line[n - 1] = '\0';
    s->at = end + 1;
    struct slow_line l = slow_split(line);
    bool there = slow_line(s, &l);
    for (int i = 0; i < l.n; i++)
        free(l.words[i]);
    free(line);
    if (!there)
        s->at = start;
    return there;
}

static char *slow_parse(const uint8_t *p, size_t n)
{
    struct slow s = {.at = p, .end = p + n};
    while (s.at < s.end && slow_next(&s))
        ;
    buf_printf(&s.shown, "+%zu-%zu", (size_t)(s.end - s.at), s.thrown);
    return text_of(&s.shown);
}

/* ---- random input -----------------------------------------------------------------------------
 */

static size_t below(size_t n)
{
    return (size_t)rand() % n;
}

static const char *one_of(const char *const *words, size_t n)
{
    return words[below(n)];
}

static void add_number(struct buf *b)
{
    static const char *const odd[] = {"-1",
                                      "+5",
                                      "4294967295",
                                      "4294967296",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "-18446744073709551615",
                                      "9223372036854775808",
                                      "2147483645",
                                      "2147483646",
                                      "5x",
                                      "x",
                                      "\t3",
                                      "7\t-",
                                      "-",
                                      "noreply",
                                      "-9223372036854775808",
                                      "2592001",
                                      "00009",
                                      "\v\f2"};
    if (below(4))
        buf_printf(b, "%zu", below(12));
    else
        buf_add_str(b, one_of(odd, ARRAY_LEN(odd)));
}

static void add_key(struct buf *b)
{
    static const char *const keys[] = {"a", "k\tb", "Zm9v", "Zm9vYg==", "\xff\x01", "b", "noreply"};
    if (below(30) == 0)
        buf_printf(b, "%0*d", 249 + (int)below(4), 1);
    else
        buf_add_str(b, one_of(keys, ARRAY_LEN(keys)));
}

static void add_flag(struct buf *b)
{
    static const char letters[] = "bNTRlOPLkstcfvhuqFCMJDI";
    static const char modes[] = "EAPRSID+-X";
    char letter = below(40) ? letters[below(sizeof letters - 1)] : (char)(33 + below(200));
    buf_add(b, &letter, 1);
    if (letter == 'M')
        buf_add(b, &modes[below(sizeof modes - 1)], below(10) ? 1 : 2 * below(2));
    else if (letter == 'O')
        buf_printf(b, "%0*d", (int)below(34), 7);
    else if (strchr("NTRFCJD", letter))
        add_number(b);
}

static void add_words(struct buf *b, void (*add)(struct buf *), size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_add_str(b, below(20) ? " " : "  ");
        add(b);
    }
}

static void add_value(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add(b, below(3) ? "v" : "\n", 1);
}

static void add_command(struct buf *b)
{
    static const char *const names[] = {
        "get",       "gets",      "gat",   "gats",     "bget", "set",     "add",   "replace",
        "append",    "prepend",   "cas",   "incr",     "decr", "delete",  "touch", "mg",
        "ms",        "md",        "ma",    "me",       "mn",   "version", "quit",  "stats",
        "verbosity", "flush_all", "watch", "nonsense", "x",    "",        "Set",   "msx",
        "set",       "ms",        "mg",    "cas"};
    const char *name = one_of(names, ARRAY_LEN(names));
    size_t bytes = below(20) ? below(9) : 990 + below(30);
    bool meta = name[0] == 'm' && strlen(name) == 2, value = false;
    buf_add_str(b, name);
    if (slow_is(name, " get gets bget ")) {
        add_words(b, add_key, below(20) ? below(4) : 40);
    } else if (slow_is(name, " set add replace append prepend cas ") || strcmp(name, "ms") == 0) {
        value = true;
        add_words(b, add_key, 1);
        if (!meta)
            add_words(b, add_number, 2);
        buf_printf(b, " %zu", bytes);
        if (name[0] == 'c')
            add_words(b, add_number, 1);
    } else {
        add_words(b, add_key, below(8) != 0);
    }
    if (meta)
        add_words(b, add_flag, below(30) ? below(6) : 16 + below(8));
    else if (below(3) == 0)
        add_words(b, add_number, 1 + below(2));
    if (below(4) == 0)
        buf_add_str(b, " noreply");
    buf_add_str(b, below(5) ? "\r\n" : "\n");
    if (!value)
        return;
    add_value(b, below(20) ? bytes : below(12));
    buf_add_str(b, "\r\n");
}

static void spoil(struct buf *b)
{
    for (size_t i = below(3) ? 0 : below(4); b->len && i > 0; i--)
        b->data[b->off + below(b->len)] = (uint8_t)rand();
}

static char *parse_in_pieces(const uint8_t *p, size_t n)
{
    struct stream s = stream_new();
    for (size_t at = 0, piece; at < n; at += piece) {
        piece = 1 + below(below(4) ? 12 : 600);
        piece = piece < n - at ? piece : n - at;
        stream_feed(&s, p + at, piece);
    }
    return stream_end(&s);
}

START_TEST(it_reads_as_the_slow_reader_does)
{
    unsigned seed = unit_seed();
    srand(seed);
    for (int i = 0; i < 3000; i++) {
        struct buf in = BUF_INIT;
        for (size_t n = 1 + below(12); n > 0; n--)
            add_command(&in);
        spoil(&in);
        if (buf_head(&in)[0] == 0x80)
            buf_eat(&in, 1);
        char *slow = slow_parse(buf_head(&in), in.len);
        char *once = parse_at_once(buf_head(&in), in.len);
        char *cut = parse_in_pieces(buf_head(&in), in.len);
        ck_assert_str_eq(once, slow);
        ck_assert_str_eq(cut, slow);
        mem_free(slow);
        mem_free(once);
        mem_free(cut);
        buf_fini(&in);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_row_means_what_it_says, 0, ARRAY_LEN(rows));
    tcase_add_test(c, many_keys_may_stand_in_one_get);
    tcase_add_test(c, there_may_be_too_many_keys);
    tcase_add_test(c, other_lines_have_a_bound);
    tcase_add_test(c, keys_have_a_bound);
    tcase_add_test(c, a_value_that_is_refused_takes_no_room);
    tcase_add_test(c, base64_there_and_back);
    tcase_add_test(c, base64_as_memcached_reads_it);
    tcase_add_test(c, it_reads_as_the_slow_reader_does);
}

int main(void)
{
    return unit_main("memcache", add_cases);
}
