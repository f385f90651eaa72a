/* From what a client of memcached asks to what the stores are asked, and from what they say to what
 * it reads: a line, the command inside, its reply, and the answer. */
#include "client/memcache.h"
#include "core/mem.h"
#include "unit.h"

/* A client without a connection, and its worker as far as it is needed. */
struct world {
    struct stats stats;
    struct clients all;
    struct client client;
};

static struct world *world_new(void)
{
    struct world *w = MEM_NEW(struct world);
    w->all.stats = &w->stats;
    w->client.all = &w->all;
    w->client.memcache = MEM_NEW(struct memcache_client);
    w->client.memcache->parser.value_max = 1000;
    return w;
}

static void world_free(struct world *w)
{
    memcache_command_fini(&w->client.memcache->cmd);
    mem_free(w->client.memcache);
    resp_command_fini(&w->client.cmd);
    buf_fini(&w->client.rendering.note);
    mem_free(w);
}

static void parse(struct world *w, const char *line)
{
    struct memcache_client *m = w->client.memcache;
    struct error e;
    ck_assert_int_eq(memcache_parse(&m->parser, (const uint8_t *)line, strlen(line), &m->cmd, &e),
                     RESP_OK);
    ck_assert_uint_eq(m->cmd.size, strlen(line));
}

/* The command inside, its words in a row. */
static char *inside(struct world *w)
{
    struct buf b = BUF_INIT;
    memcache_inside(&w->client);
    for (size_t i = 0; i < w->client.cmd.argc; i++)
        buf_printf(&b, "%s%.*s", i ? " " : "", (int)w->client.cmd.argv[i].len,
                   (const char *)w->client.cmd.argv[i].ptr);
    char *text = mem_printf("%.*s", (int)b.len, (const char *)buf_head(&b));
    buf_fini(&b);
    return text;
}

/* A reply as it is written in the rows: words; the second is the value, - none, and flags follow;
 * with a bar between those of several keys; or an error. */
static void add_reply(struct buf *to, const char *words)
{
    char *copy = mem_strdup(words), *state = NULL, *word[16];
    size_t n = 0;
    for (char *p = strtok_r(copy, " ", &state); p; p = strtok_r(NULL, " ", &state))
        word[n++] = p;
    resp_add_array(to, n);
    for (size_t i = 0; i < n; i++) {
        if (i == 1 && strcmp(word[i], "-") == 0)
            resp_add_nil(to);
        else
            resp_add_bulk_str(to, word[i]);
    }
    mem_free(copy);
}

static struct buf reply_of(const char *text)
{
    struct buf b = BUF_INIT;
    if (*text == '!') {
        resp_add_error(&b, "%s", text + 1);
        return b;
    }
    char *copy = mem_strdup(text), *state = NULL;
    size_t n = 1;
    for (const char *p = text; *p; p++)
        n += *p == '|';
    if (n > 1)
        resp_add_array(&b, n);
    for (char *p = strtok_r(copy, "|", &state); p; p = strtok_r(NULL, "|", &state))
        add_reply(&b, p);
    mem_free(copy);
    return b;
}

static char *rendered(struct world *w, const char *reply)
{
    struct call *call = MEM_NEW(struct call);
    struct buf out = BUF_INIT, in = reply_of(reply);
    memcache_render(&w->client);
    call->client = &w->client;
    call->rendering = w->client.rendering;
    w->client.rendering = (struct rendering){.fn = NULL};
    call->rendering.fn(call, buf_slice(&in), &out);
    char *text = mem_printf("%.*s", (int)out.len, (const char *)buf_head(&out));
    buf_fini(&out);
    buf_fini(&in);
    call_free(call);
    return text;
}

static const struct row {
    const char *line, *inside, *reply, *answer;
} rows[] = {
    {"get a\r\n", "MG a G v f", "VA hello f5", "VALUE a 5 5\r\nhello\r\nEND\r\n"},
    {"get a\r\n", "MG a G v f", "EN -", "END\r\n"},
    {"gets a\r\n", "MG a G v f c", "VA x f0 c77", "VALUE a 0 1 77\r\nx\r\nEND\r\n"},
    {"get a b c\r\n", "MG a b c G v f", "VA 1 f0|EN -|VA 333 f9",
     "VALUE a 0 1\r\n1\r\nVALUE c 9 3\r\n333\r\nEND\r\n"},
    {"gat 30 a\r\n", "MG a G v f T30", "VA x f0", "VALUE a 0 1\r\nx\r\nEND\r\n"},
    {"get a\r\n", "MG a G v f", "!NOQUORUM 1 of 2 needed replicas answered",
     "SERVER_ERROR NOQUORUM 1 of 2 needed replicas answered\r\n"},
    {"get a\r\n", "MG a G v f", "!ERR more than 5 bytes", "SERVER_ERROR more than 5 bytes\r\n"},
    {"get a\r\n", "MG a G v f", "HD -",
     "SERVER_ERROR the store's answer isn't one of memcached's\r\n"},
    {"touch a -1\r\n", "MG a G T-1", "HD -", "TOUCHED\r\n"},
    {"touch a 0\r\n", "MG a G T0", "EN -", "NOT_FOUND\r\n"},
    {"set a 0 0 2\r\nxy\r\n", "MS a xy", "HD -", "STORED\r\n"},
    {"set a 7 60 2 noreply\r\nxy\r\n", "MS a xy F7 T60", "HD -", ""},
    {"set a 7 60 2 noreply\r\nxy\r\n", "MS a xy F7 T60", "!TIMEOUT no answer", ""},
    {"add a 7 60 2\r\nxy\r\n", "MS a xy F7 T60 ME", "NS -", "NOT_STORED\r\n"},
    {"replace a 0 0 2\r\nxy\r\n", "MS a xy MR", "NS -", "NOT_STORED\r\n"},
    {"append a 7 60 2\r\nxy\r\n", "MS a xy MA", "HD -", "STORED\r\n"},
    {"prepend a 7 60 2\r\nxy\r\n", "MS a xy MP", "HD -", "STORED\r\n"},
    {"cas a 0 0 1 5\r\nx\r\n", "MS a x C5", "EX -", "EXISTS\r\n"},
    {"cas a 0 0 1 5\r\nx\r\n", "MS a x C5", "NF -", "NOT_FOUND\r\n"},
    {"set a 0 0 1\r\nx\r\n", "MS a x", "!SERVER_ERROR object too large for cache",
     "SERVER_ERROR object too large for cache\r\n"},
    {"delete a\r\n", "MD a", "HD -", "DELETED\r\n"},
    {"delete a\r\n", "MD a", "NF -", "NOT_FOUND\r\n"},
    {"incr a 5\r\n", "MA a v D5", "VA 12", "12\r\n"},
    {"decr a 1\r\n", "MA a v MD", "VA 12", "12\r\n"},
    {"incr a 1\r\n", "MA a v", "NF -", "NOT_FOUND\r\n"},
    {"incr a 1\r\n", "MA a v", "!CLIENT_ERROR cannot increment or decrement non-numeric value",
     "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"incr a 1 noreply\r\n", "MA a v", "VA 12", ""},
    {"mg a\r\n", "MG a", "HD -", "HD\r\n"},
    {"mg a v t f\r\n", "MG a v t f", "VA xyz t-1 f0", "VA 3 t-1 f0\r\nxyz\r\n"},
    {"mg a t O12 s k c\r\n", "MG a t s c", "HD - t-1 s3 c5 W", "HD t-1 O12 s3 ka c5 W\r\n"},
    {"mg a k q\r\n", "MG a", "EN -", ""},
    {"mg a k O1\r\n", "MG a", "EN -", "EN ka O1\r\n"},
    {"mg Zm9v b k v\r\n", "MG foo v", "VA x", "VA 1 kZm9v b\r\nx\r\n"},
    {"mg a N30 R5 T60 v q\r\n", "MG a N30 R5 T60 v", "VA 1 W", "VA 1 W\r\n1\r\n"},
    {"ms a 2 T60 F5 c O7\r\nxy\r\n", "MS a xy F5 T60 c", "HD - c9", "HD c9 O7\r\n"},
    {"ms a 2 C5 I MR\r\nxy\r\n", "MS a xy C5 I", "EX -", "EX\r\n"},
    {"ms a 2 C0 MA\r\nxy\r\n", "MS a xy MA", "HD -", "HD\r\n"},
    {"ms a 2 C7 MP q\r\nxy\r\n", "MS a xy C7 MP", "HD -", ""},
    {"ms a 2 ME C5 q\r\nxy\r\n", "MS a xy ME", "NS -", "NS\r\n"},
    {"ms a 2 q\r\nxy\r\n", "MS a xy", "!NOHINT hint store is full",
     "SERVER_ERROR NOHINT hint store is full\r\n"},
    {"md a T30\r\n", "MD a", "HD -", "HD\r\n"},
    {"md a I T30 C0 q\r\n", "MD a C0 I T30", "EX -", "EX\r\n"},
    {"ma a t J7 N+60 D2 v c\r\n", "MA a t J7 N60 D2 v c", "VA 7 t60 c2", "VA 1 t60 c2\r\n7\r\n"},
    {"ma a MD C0 T5\r\n", "MA a T5 MD", "HD -", "HD\r\n"},
    {"me a\r\n", "MG a E", "HD exp=-1", "ME a exp=-1\r\n"},
    {"me Zm9v b\r\n", "MG foo E", "HD la=0", "ME Zm9v la=0\r\n"},
    {"me a\r\n", "MG a E", "EN -", "EN\r\n"},
};

START_TEST(a_line_inside_and_its_answer)
{
    const struct row *r = &rows[_i];
    struct world *w = world_new();
    parse(w, r->line);
    char *asked = inside(w), *answer = rendered(w, r->reply);
    ck_assert_str_eq(asked, r->inside);
    ck_assert_str_eq(answer, r->answer);
    mem_free(asked);
    mem_free(answer);
    world_free(w);
}
END_TEST

static void ask(struct world *w, const char *line, const char *reply)
{
    parse(w, line);
    memcache_inside(&w->client);
    mem_free(rendered(w, reply));
}

START_TEST(figures_are_counted)
{
    struct world *w = world_new();
    const uint64_t *f = w->stats.memcache;
    ask(w, "get a b\r\n", "VA x f0|EN -");
    ask(w, "gat 1 a\r\n", "VA x f0");
    ask(w, "touch a 1\r\n", "EN -");
    ask(w, "mg a v\r\n", "EN -");
    ask(w, "set a 0 0 1\r\nx\r\n", "HD -");
    ask(w, "cas a 0 0 1 5\r\nx\r\n", "EX -");
    ask(w, "delete a\r\n", "NF -");
    ask(w, "decr a 1\r\n", "VA 1");
    ask(w, "get a\r\n", "!TIMEOUT no answer");
    ck_assert_uint_eq(f[MEMCACHE_CMD_GET], 3);
    ck_assert_uint_eq(f[MEMCACHE_GET_HITS], 1);
    ck_assert_uint_eq(f[MEMCACHE_GET_MISSES], 2);
    ck_assert_uint_eq(f[MEMCACHE_CMD_TOUCH], 2);
    ck_assert_uint_eq(f[MEMCACHE_TOUCH_HITS], 1);
    ck_assert_uint_eq(f[MEMCACHE_TOUCH_MISSES], 1);
    ck_assert_uint_eq(f[MEMCACHE_CMD_SET], 2);
    ck_assert_uint_eq(f[MEMCACHE_CAS_BADVAL], 1);
    ck_assert_uint_eq(f[MEMCACHE_DELETE_MISSES], 1);
    ck_assert_uint_eq(f[MEMCACHE_DECR_HITS], 1);
    world_free(w);
}
END_TEST

START_TEST(what_replaced_nothing_is_removed)
{
    struct world *w = world_new();
    struct memcache_client *m = w->client.memcache;
    struct error e;
    const char line[] = "ms a 1001 q\r\n";
    ck_assert_int_eq(
        memcache_parse(&m->parser, (const uint8_t *)line, sizeof line - 1, &m->cmd, &e), RESP_OK);
    memcache_inside_too_large(&w->client);
    ck_assert_uint_eq(w->client.cmd.argc, 2);
    char *answer = rendered(w, "NF -");
    ck_assert_str_eq(answer, "SERVER_ERROR object too large for cache\r\n");
    mem_free(answer);
    world_free(w);
}
END_TEST

/* Whatever bytes a store sends, the renderer stays within them. */
START_TEST(nonsense_of_a_store_is_an_error)
{
    static const char *const nonsense[] = {"",        "*",
                                           "*1\r\n",  "*2\r\n$2\r\nVA\r\n",
                                           "+OK\r\n", "*2\r\n$2\r\nVA\r\n$9\r\nx\r\n",
                                           "*-1\r\n", "*2\r\n$3\r\nABC\r\n$-1\r\n",
                                           "$-1\r\n"};
    static const char *const lines[] = {"get a\r\n", "get a b\r\n", "mg a O1 k\r\n", "me a\r\n",
                                        "incr a 1\r\n"};
    for (size_t l = 0; l < ARRAY_LEN(lines); l++)
        for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
            struct world *w = world_new();
            struct buf out = BUF_INIT;
            size_t n = strlen(nonsense[i]);
            uint8_t *exact = mem_dup(nonsense[i], n);
            parse(w, lines[l]);
            memcache_render(&w->client);
            struct call *call = MEM_NEW(struct call);
            call->client = &w->client;
            call->rendering = w->client.rendering;
            w->client.rendering = (struct rendering){.fn = NULL};
            call->rendering.fn(call, slice_of(exact, n), &out);
            ck_assert_mem_eq(buf_head(&out), "SERVER_ERROR ", 13);
            buf_fini(&out);
            call_free(call);
            mem_free(exact);
            world_free(w);
        }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_loop_test(c, a_line_inside_and_its_answer, 0, ARRAY_LEN(rows));
    tcase_add_test(c, figures_are_counted);
    tcase_add_test(c, what_replaced_nothing_is_removed);
    tcase_add_test(c, nonsense_of_a_store_is_an_error);
}

int main(void)
{
    return unit_main("memcache_client", add_cases);
}
