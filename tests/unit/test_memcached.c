/* The memcached store, through store.h, in front of a real memcached (or $MEMCACHED): what it is
 * given and answers, its numbers beside it, what a break, a kill and a new start mean, and what
 * readers are told. Skipped where there is no memcached. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "store/internal.h"
#include "store/memcached_numbers.h"
#include "store/memcached_wire.h"
#include "unit.h"
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITES_MAX 4096
#define WORDS_MAX  16
#define HD         "*2\r\n$2\r\nHD\r\n$-1\r\n"
#define EN         "*2\r\n$2\r\nEN\r\n$-1\r\n"
#define NF         "*2\r\n$2\r\nNF\r\n$-1\r\n"
#define NS         "*2\r\n$2\r\nNS\r\n$-1\r\n"

struct bench {
    char dir[64], path[96];
    pid_t server;
    uv_loop_t loop;
    struct store *store;
    struct store_reader *reader;
    struct store_options options;
    int ups, downs, dones, reads;
    char why[256]; /* of the last down */
    struct store_batch batch;
    struct resp_command *cmds;
    struct buf *texts;
    bool read_ok;
    struct buf read;
    uint64_t label;
    struct store_copy copy;
    struct buf copied;
    uint64_t clock;
};
static struct bench b;

/* ---- the server ------------------------------------------------------------------------------ */

static const char *server_program(void)
{
    const char *given = getenv("MEMCACHED");
    return given ? given : "memcached";
}

/* `more`: further options, NULL: none. */
static void start_server(const char *more)
{
    const char *program = server_program();
    unlink(b.path);
    b.server = fork();
    ck_assert_int_ge(b.server, 0);
    if (b.server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(126);
        execlp(program, program, "-s", b.path, "-u", "root", more, (char *)NULL);
        _exit(127);
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, b.path);
    uint64_t end = clock_mono_ms() + 10000;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        ck_assert_msg(clock_mono_ms() < end, "memcached doesn't start: %s", strerror(errno));
        usleep(10000);
    }
    close(fd);
}

static void stop_server(void)
{
    kill(b.server, SIGKILL);
    waitpid(b.server, NULL, 0);
}

/* ---- the store ------------------------------------------------------------------------------- */

static void on_up(void *arg)
{
    (void)arg;
    b.ups++;
}
static void on_down(void *arg, const char *reason)
{
    (void)arg;
    b.downs++;
    snprintf(b.why, sizeof b.why, "%s", reason);
}
static void on_done(void *arg, struct store_batch *batch)
{
    (void)arg;
    (void)batch;
    b.dones++;
}

static void run_until(const int *count, int at_least)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (*count < at_least) {
        ck_assert_msg(clock_mono_ms() < end, "it doesn't happen; down because: %s", b.why);
        uv_run(&b.loop, UV_RUN_ONCE);
    }
}

static void open_store(void)
{
    static const struct store_events events = {on_up, on_down, on_done, NULL};
    struct error e;
    int before = b.ups;
    b.store = store_open_memcached(&b.options, &e);
    ck_assert_msg(b.store != NULL, "%s", e.text);
    store_writer_start(b.store, &b.loop, &events);
    b.reader = store_reader_new(b.store, &b.loop);
    run_until(&b.ups, before + 1);
}

static void setup(void)
{
    b = (struct bench){.dir = "/tmp/test_memcached.XXXXXX", .clock = clock_wall_ms() << 16};
    ck_assert(mkdtemp(b.dir) != NULL);
    snprintf(b.path, sizeof b.path, "%s/memcached.sock", b.dir);
    b.options = (struct store_options){.data_dir = b.dir,
                                       .self_id = "self",
                                       .unix_path = b.path,
                                       .stamp_table_bytes = 65536,
                                       .timeout_ms = 2000};
    b.batch.writes = mem_calloc(WRITES_MAX, sizeof *b.batch.writes);
    b.cmds = mem_calloc(WRITES_MAX, sizeof *b.cmds);
    b.texts = mem_calloc(WRITES_MAX, sizeof *b.texts);
    start_server(NULL);
    uv_loop_init(&b.loop);
    rcu_start();
    open_store();
    store_last(b.store, 1, "peer1");
    store_last(b.store, 2, "peer2");
}

static void close_store(void)
{
    store_reader_free(b.reader);
    store_writer_stop(b.store);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    store_close(b.store);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void teardown(void)
{
    close_store();
    uv_loop_close(&b.loop);
    stop_server();
    for (size_t i = 0; i < WRITES_MAX; i++) {
        resp_command_fini(&b.cmds[i]);
        buf_fini(&b.texts[i]);
    }
    mem_free(b.cmds);
    mem_free(b.texts);
    mem_free(b.batch.writes);
    buf_fini(&b.batch.replies);
    buf_fini(&b.read);
    buf_fini(&b.copied);
    rcu_stop();
    nftw(b.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- writes and reads ------------------------------------------------------------------------ */

static void fresh_batch(void)
{
    buf_reset(&b.batch.replies, 1 << 20);
    b.batch.n = 0;
}

static size_t split(const char *line, struct slice argv[WORDS_MAX])
{
    size_t argc = 0;
    for (const char *p = line; *p; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = slice_of(p, n);
        p += n + (p[n] == ' ');
    }
    return argc;
}

static struct store_write *add_argv(unsigned source, uint64_t seq, const struct slice *argv,
                                    size_t argc)
{
    size_t i = b.batch.n++;
    ck_assert_uint_lt(i, WRITES_MAX);
    buf_reset(&b.texts[i], 4096);
    resp_add_command(&b.texts[i], argv, argc);
    ck_assert(resp_command_parse(buf_slice(&b.texts[i]), &b.cmds[i]));
    b.batch.writes[i] = (struct store_write){.source = source,
                                             .seq = seq,
                                             .stamp = ++b.clock,
                                             .spec = command_find(b.cmds[i].argv[0]),
                                             .cmd = &b.cmds[i]};
    ck_assert_ptr_nonnull(b.batch.writes[i].spec);
    return &b.batch.writes[i];
}

static struct store_write *add_write(unsigned source, uint64_t seq, const char *line)
{
    struct slice argv[WORDS_MAX];
    return add_argv(source, seq, argv, split(line, argv));
}

static void apply_batch(void)
{
    int before = b.dones;
    store_apply(b.store, &b.batch);
    run_until(&b.dones, before + 1);
}

static void expect(size_t i, enum store_outcome outcome, const char *reply)
{
    const struct store_write *w = &b.batch.writes[i];
    ck_assert_msg(w->outcome == outcome && w->reply.len == strlen(reply) &&
                      memcmp(w->reply.ptr, reply, w->reply.len) == 0,
                  "write %zu: %d %.*s instead of %d %s", i, w->outcome, (int)w->reply.len,
                  (const char *)w->reply.ptr, outcome, reply);
}

static void write_one(unsigned source, uint64_t seq, const char *line, const char *reply)
{
    fresh_batch();
    add_write(source, seq, line);
    apply_batch();
    expect(0, STORE_APPLIED, reply);
}

static void on_read(void *arg, const struct store_read_reply *r)
{
    (void)arg;
    b.reads++;
    b.read_ok = r->ok;
    b.label = r->stamp;
    buf_reset(&b.read, 4096);
    buf_add(&b.read, r->reply.ptr, r->reply.len);
    buf_add(&b.read, "", 1);
}

static const char *read_argv(const struct slice *argv, size_t argc)
{
    int before = b.reads;
    struct resp_command cmd = {.argv = (struct slice *)(uintptr_t)argv, .argc = argc};
    store_read(b.reader, command_find(argv[0]), &cmd, on_read, NULL);
    run_until(&b.reads, before + 1);
    return (const char *)buf_head(&b.read);
}

static const char *read_now(const char *line)
{
    struct slice argv[WORDS_MAX];
    return read_argv(argv, split(line, argv));
}

static void expect_value(const char *key, const char *value)
{
    char line[64], want[128];
    snprintf(line, sizeof line, "MG %s v", key);
    snprintf(want, sizeof want, "*2\r\n$2\r\nVA\r\n$%zu\r\n%s\r\n", strlen(value), value);
    ck_assert_str_eq(read_now(line), want);
}

/* ---- what it is given ------------------------------------------------------------------------ */

START_TEST(commands_and_their_replies)
{
    static const struct {
        const char *line, *reply;
    } lines[] = {
        {"MS k abc F7", HD},
        {"MG k v f t s", "*5\r\n$2\r\nVA\r\n$3\r\nabc\r\n$2\r\nf7\r\n$3\r\nt-1\r\n$2\r\ns3\r\n"},
        {"MG no v", EN},
        {"MS k x ME", NS},
        {"MS no x MR", NS},
        {"MS k def MA", HD},
        {"MG k v", "*2\r\n$2\r\nVA\r\n$6\r\nabcdef\r\n"},
        {"MG k G v", "*3\r\n$2\r\nVA\r\n$6\r\nabcdef\r\n$2\r\nf7\r\n"},
        {"MG no G v", EN},
        {"MG no G T100", EN},
        {"MG k G T0", HD},
        {"MA k v", "-CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
        {"MS n 10", HD},
        {"MA n D5 v", "*2\r\n$2\r\nVA\r\n$2\r\n15\r\n"},
        {"MA n MD D9 v", "*2\r\n$2\r\nVA\r\n$1\r\n6\r\n"},
        {"MG n v", "*2\r\n$2\r\nVA\r\n$2\r\n6 \r\n"},
        {"MA no", NF},
        {"MA new N0 J5 v", "*2\r\n$2\r\nVA\r\n$1\r\n5\r\n"},
        {"MG k N0", HD},
        {"MG viv N0 v", "*3\r\n$2\r\nVA\r\n$0\r\n\r\n$1\r\nW\r\n"},
        {"MD k", HD},
        {"MD k", NF},
        {"MS k x T1000000000", HD}, /* a time long past */
        {"MG k T1700000000 v", EN},
    };
    fresh_batch();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        add_write((unsigned)i % 3, i + 1, lines[i].line);
    apply_batch();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        expect(i, STORE_APPLIED, lines[i].reply);
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 22);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 23);
    ck_assert_uint_eq(store_last(b.store, 2, "peer2"), 24);
    ck_assert_uint_eq(store_stats(b.store)->ambiguous, 0);
    ck_assert_int_eq(b.downs, 0);
}
END_TEST

static void cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, commands_and_their_replies);
}

int main(void)
{
    (void)expect_value, (void)write_one;
    return unit_main("memcached", cases);
}
