/* The Redis store, through store.h, in front of a real redis-server (or $REDIS_SERVER): what it
 * refuses, what a full one still takes, what its state does, and what readers are told. Skipped
 * where there is no redis-server. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "records.h"
#include "store/internal.h"
#include "store/redis_numbers.h"
#include "unit.h"
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEQ        "__dynomited:seq"
#define WRITES_MAX 4096
#define WORDS_MAX  7500

struct bench {
    char dir[64], path[96];
    pid_t server;
    int direct; /* a connection of the test's own */
    struct buf answer;
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
    uint64_t clock;
};
static struct bench b;

/* ---- the server ------------------------------------------------------------------------------ */

static const char *server_program(void)
{
    const char *given = getenv("REDIS_SERVER");
    return given ? given : "redis-server";
}

static void start_server(void)
{
    const char *program = server_program();
    b.server = fork();
    ck_assert_int_ge(b.server, 0);
    if (b.server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp(program, program, "--port", "0", "--unixsocket", b.path, "--dir", b.dir, "--save",
               "", (char *)NULL);
        _exit(127);
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, b.path);
    b.direct = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t end = clock_mono_ms() + 10000;
    while (connect(b.direct, (struct sockaddr *)&to, sizeof to) < 0) {
        ck_assert_msg(clock_mono_ms() < end, "redis-server doesn't start: %s", strerror(errno));
        usleep(10000);
    }
}

static void stop_server(void)
{
    close(b.direct);
    kill(b.server, SIGKILL);
    waitpid(b.server, NULL, 0);
}

/* Words with blanks between them, straight to the server; its reply as it came. */
static const char *ask(const char *line)
{
    struct resp_scanner scan = {0};
    struct error e;
    size_t size;
    buf_reset(&b.answer, 4096);
    ck_assert_int_eq(write(b.direct, line, strlen(line)), (ssize_t)strlen(line));
    ck_assert_int_eq(write(b.direct, "\r\n", 2), 2);
    while (b.answer.len == 0 ||
           resp_reply_scan(&scan, buf_head(&b.answer), b.answer.len, &size, &e) != RESP_OK) {
        uint8_t *to = buf_reserve(&b.answer, 4096);
        ssize_t n = read(b.direct, to, 4096);
        ck_assert_int_gt(n, 0);
        buf_commit(&b.answer, (size_t)n);
    }
    buf_add(&b.answer, "", 1);
    return (const char *)buf_head(&b.answer);
}

static const char *askf(const char *fmt, ...) PRINTF_LIKE(1, 2);
static const char *askf(const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return ask(line);
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
    b.store = store_open_redis(&b.options, &e);
    ck_assert_msg(b.store != NULL, "%s", e.text);
    store_writer_start(b.store, &b.loop, &events);
    b.reader = store_reader_new(b.store, &b.loop);
}

static void name_sources(void)
{
    store_last(b.store, 1, "peer1");
    store_last(b.store, 2, "peer2");
}

static void setup(void)
{
    b = (struct bench){.dir = "/tmp/test_redis.XXXXXX", .clock = clock_wall_ms() << 16};
    ck_assert(mkdtemp(b.dir) != NULL);
    snprintf(b.path, sizeof b.path, "%s/redis.sock", b.dir);
    b.options = (struct store_options){.data_dir = b.dir,
                                       .self_id = "self",
                                       .unix_path = b.path,
                                       .stamp_table_bytes = 65536,
                                       .timeout_ms = 2000};
    b.batch.writes = mem_calloc(WRITES_MAX, sizeof *b.batch.writes);
    b.cmds = mem_calloc(WRITES_MAX, sizeof *b.cmds);
    b.texts = mem_calloc(WRITES_MAX, sizeof *b.texts);
    start_server();
    uv_loop_init(&b.loop);
    rcu_start();
    open_store();
    run_until(&b.ups, 1);
    name_sources();
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
    buf_fini(&b.answer);
    buf_fini(&b.read);
    rcu_stop();
    nftw(b.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void fresh_batch(void)
{
    buf_reset(&b.batch.replies, 1 << 20);
    b.batch.n = 0;
}

static struct store_write *add_write(unsigned source, uint64_t seq, const char *line)
{
    static struct slice argv[WORDS_MAX];
    size_t i = b.batch.n++, argc = 0;
    ck_assert_uint_lt(i, WRITES_MAX);
    buf_reset(&b.texts[i], 4096);
    for (const char *p = line; *p; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = slice_of(p, n);
        p += n + (p[n] == ' ');
    }
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

static void add_skip(unsigned source, uint64_t seq)
{
    b.batch.writes[b.batch.n++] = (struct store_write){.skip = true, .source = source, .seq = seq};
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

static void expect_begins(size_t i, enum store_outcome outcome, const char *begin)
{
    const struct store_write *w = &b.batch.writes[i];
    ck_assert_msg(w->outcome == outcome && w->reply.len >= strlen(begin) &&
                      memcmp(w->reply.ptr, begin, strlen(begin)) == 0,
                  "write %zu: %d %.*s instead of %d %s", i, w->outcome, (int)w->reply.len,
                  (const char *)w->reply.ptr, outcome, begin);
}

static void write_one(uint64_t seq, const char *line, enum store_outcome outcome, const char *begin)
{
    fresh_batch();
    add_write(0, seq, line);
    apply_batch();
    expect_begins(0, outcome, begin);
}

/* What Redis has of a sender's number. */
static void expect_number(const char *id, const char *number)
{
    char want[64];
    snprintf(want, sizeof want, "$%zu\r\n%s\r\n", strlen(number), number);
    ck_assert_str_eq(askf("HGET " SEQ " %s", id), want);
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

static void start_read(const char *line)
{
    struct slice argv[4];
    size_t argc = 0;
    for (const char *p = line; *p; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = slice_of(p, n);
        p += n + (p[n] == ' ');
    }
    struct resp_command cmd = {.argv = argv, .argc = argc};
    store_read(b.reader, command_find(argv[0]), &cmd, on_read, NULL);
}

static const char *read_now(const char *line)
{
    int before = b.reads;
    start_read(line);
    run_until(&b.reads, before + 1);
    return (const char *)buf_head(&b.read);
}

static const char *inspect_now(const char *key)
{
    int before = b.reads;
    store_inspect(b.reader, slice_str(key), on_read, NULL);
    run_until(&b.reads, before + 1);
    return (const char *)buf_head(&b.read);
}

/* The reading side connects by itself, some time. */
static void wait_for_reader(void)
{
    uint64_t end = clock_mono_ms() + 10000;
    while (strcmp(read_now("EXISTS no"), ":0\r\n") != 0) {
        ck_assert(clock_mono_ms() < end);
        uv_run(&b.loop, UV_RUN_ONCE);
    }
}

/* ---- refusals at queueing -------------------------------------------------------------------- */

START_TEST(a_refused_command_takes_no_other_with_it)
{
    fresh_batch();
    for (unsigned i = 0; i < 300; i++) {
        if (i == 100)
            add_write(0, i + 1, "SET k"); /* Redis won't queue it: its arity */
        else if (i == 101)
            add_write(0, i + 1, "XGROUP NOSUCH k g");
        else if (i == 200)
            add_write(0, i + 1, "HSET n f v"); /* queued; fails when it is run */
        else
            add_write(i % 3, i + 1, "INCR n");
    }
    apply_batch();
    for (unsigned i = 0, n = 0; i < 300; i++) {
        char want[32];
        if (i == 100)
            expect_begins(i, STORE_APPLIED, "-ERR wrong number of arguments");
        else if (i == 101)
            expect_begins(i, STORE_APPLIED, "-ERR unknown subcommand");
        else if (i == 200)
            expect_begins(i, STORE_APPLIED, "-WRONGTYPE");
        else {
            snprintf(want, sizeof want, ":%u\r\n", ++n);
            expect(i, STORE_APPLIED, want);
        }
    }
    ck_assert_str_eq(ask("GET n"), "$3\r\n297\r\n");
    expect_number("self", "298");
    expect_number("peer1", "299");
    expect_number("peer2", "300");
    /* the next batch is one transaction again */
    ask("CONFIG RESETSTAT");
    fresh_batch();
    for (unsigned i = 0; i < 300; i++)
        add_write(0, 1000 + i, "INCR n");
    apply_batch();
    expect(299, STORE_APPLIED, ":597\r\n");
    ck_assert_ptr_nonnull(strstr(ask("INFO commandstats"), "cmdstat_exec:calls=1,"));
    ck_assert_int_eq(b.downs, 0);
}
END_TEST

START_TEST(a_batch_of_nothing_but_refusals)
{
    fresh_batch();
    for (unsigned i = 0; i < 10; i++)
        add_write(1, i + 1, "SET k");
    apply_batch();
    for (unsigned i = 0; i < 10; i++)
        expect_begins(i, STORE_APPLIED, "-ERR wrong number");
    expect_number("peer1", "10");
}
END_TEST

/* All replicas have got it, and it would hold up each of them. */
START_TEST(what_the_user_may_not_run_holds_up_nothing)
{
    ask("ACL SETUSER default -append");
    fresh_batch();
    add_write(1, 1, "INCR n");
    add_write(1, 2, "APPEND s x");
    add_write(0, 1, "APPEND s x");
    add_write(1, 3, "INCR n");
    add_write(0, 2, "INCR n");
    apply_batch();
    expect(0, STORE_APPLIED, ":1\r\n");
    expect_begins(1, STORE_APPLIED, "-NOPERM");
    expect_begins(2, STORE_APPLIED, "-NOPERM");
    expect(3, STORE_APPLIED, ":2\r\n");
    expect(4, STORE_APPLIED, ":3\r\n");
    expect_number("peer1", "3");
    expect_number("self", "2");
    ck_assert_uint_eq(store_stats(b.store)->forbidden, 1); /* the peer's: it may lie elsewhere */
}
END_TEST

START_TEST(without_multi_nothing_is_written_twice)
{
    ask("ACL SETUSER default -multi");
    fresh_batch();
    add_write(1, 1, "INCR n");
    apply_batch();
    expect(0, STORE_UNKNOWN, "");
    run_until(&b.downs, 2); /* by itself, and again at the greeting */
    ck_assert_ptr_nonnull(strstr(b.why, "NOPERM"));
    ask("ACL SETUSER default +multi");
    run_until(&b.ups, 2);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 1);
    ck_assert_str_eq(ask("GET n"), "$1\r\n1\r\n");
    expect_number("peer1", "1");
}
END_TEST

/* ---- a full Redis ------------------------------------------------------------------------------
 */

static void fill(void)
{
    ask("CONFIG SET maxmemory 100kb");
    ck_assert(strncmp(ask("SET x y"), "-OOM", 4) == 0);
}

START_TEST(a_full_redis_can_be_emptied)
{
    ask("MSET a 1 c 2 d 3 e 4");
    ask("RPUSH l 1 2 3");
    ask("HSET h f v");
    ask("ZADD z 1 m");
    fill();
    static const struct {
        const char *line;
        enum store_outcome outcome;
        const char *reply;
    } cases[] = {
        {"DEL a", STORE_APPLIED, ":1\r\n"},
        {"SET b 1", STORE_FULL, NULL},
        {"GETDEL c", STORE_APPLIED, "$1\r\n2\r\n"},
        {"GETDEL c", STORE_APPLIED, "$-1\r\n"},
        {"LPOP l", STORE_APPLIED, "$1\r\n1\r\n"},
        {"LPOP l 1", STORE_APPLIED, "*1\r\n$1\r\n2\r\n"},
        {"LPOP none 2", STORE_APPLIED, "*-1\r\n"},
        {"LPOP none", STORE_APPLIED, "$-1\r\n"},
        {"PEXPIREAT d 4000000000000", STORE_APPLIED, ":1\r\n"},
        {"PERSIST d", STORE_APPLIED, ":1\r\n"},
        {"HDEL h f", STORE_APPLIED, ":1\r\n"},
        {"INCR d", STORE_FULL, NULL},
        {"LTRIM l 1 0", STORE_APPLIED, "+OK\r\n"},
        {"HDEL d f", STORE_APPLIED,
         "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"},
        {"ZPOPMIN z", STORE_APPLIED, "*2\r\n$1\r\nm\r\n$1\r\n1\r\n"},
        {"ZPOPMIN z 2", STORE_APPLIED, "*0\r\n"},
        {"UNLINK d e", STORE_APPLIED, ":2\r\n"},
    };
    unsigned others = 0; /* each of whom is stopped by what finds no room */
    fresh_batch();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        add_write(cases[i].reply ? 0 : ++others, i + 1, cases[i].line);
    apply_batch();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].reply)
            expect(i, cases[i].outcome, cases[i].reply);
        else
            expect_begins(i, cases[i].outcome, "-OOM ");
    }
    ck_assert_str_eq(ask("DBSIZE"), ":1\r\n"); /* our numbers */
    expect_number("self", "17");
    ck_assert_int_eq(b.downs, 0);
    ask("CONFIG SET maxmemory 0");
    write_one(100, "SET b 1", STORE_APPLIED, "+OK");
}
END_TEST

START_TEST(delivery_stops_at_what_finds_no_room)
{
    ask("SET a 1");
    fill();
    fresh_batch();
    add_skip(1, 5); /* numbers alone move */
    add_write(1, 6, "DEL a");
    add_write(1, 7, "SET b 1");
    add_write(1, 8, "DEL c");
    add_write(2, 3, "DEL c");
    apply_batch();
    expect(0, STORE_APPLIED, "");
    expect(1, STORE_APPLIED, ":1\r\n");
    expect_begins(2, STORE_FULL, "-OOM ");
    expect_begins(3, STORE_FAILED, "-BACKEND ");
    expect(4, STORE_APPLIED, ":0\r\n");
    expect_number("peer1", "6");
    expect_number("peer2", "3");
    ask("CONFIG SET maxmemory 0");
    fresh_batch();
    add_write(1, 7, "SET b 1");
    add_write(1, 8, "DEL c");
    apply_batch();
    expect(0, STORE_APPLIED, "+OK\r\n");
    expect_number("peer1", "8");
}
END_TEST

/* A script passes on so many arguments and no more. */
START_TEST(long_commands_while_it_is_full)
{
    static const struct {
        unsigned keys;
        enum store_outcome outcome;
        const char *reply;
    } cases[] = {
        {6999, STORE_APPLIED, ":1"}, {7000, STORE_FULL, "-OOM"}, {7400, STORE_FULL, "-OOM"}};
    ask("SET k0 v");
    fill();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf line = BUF_INIT;
        buf_add_str(&line, "UNLINK");
        for (unsigned k = 0; k < cases[i].keys; k++)
            buf_printf(&line, " k%u", k);
        buf_add(&line, "", 1);
        write_one(i + 1, (const char *)buf_head(&line), cases[i].outcome, cases[i].reply);
        buf_fini(&line);
    }
    expect_number("self", "1");
}
END_TEST

START_TEST(stamps_count_while_it_is_full)
{
    fresh_batch();
    struct store_write *w = add_write(1, 1, "SET a new");
    uint64_t stamp = w->stamp;
    apply_batch();
    fill();
    fresh_batch();
    add_write(2, 1, "DEL a")->stamp = stamp - 1;
    add_write(2, 2, "DEL a")->stamp = stamp + 5;
    add_write(2, 3, "GETDEL a")->stamp = stamp + 4;
    apply_batch();
    ck_assert_int_eq(b.batch.writes[0].outcome, STORE_STALE);
    expect(1, STORE_APPLIED, ":1\r\n");
    ck_assert_int_eq(b.batch.writes[2].outcome, STORE_STALE);
    expect_number("peer2", "3");
    ck_assert_uint_eq(store_stats(b.store)->stale_dropped, 2);
}
END_TEST

START_TEST(without_eval_the_oom_stands)
{
    ask("SET a 1");
    ask("ACL SETUSER default -eval");
    fill();
    write_one(1, "DEL a", STORE_FULL, "-OOM ");
    ck_assert_str_eq(ask("GET a"), "$1\r\n1\r\n");
}
END_TEST

START_TEST(it_comes_up_in_front_of_a_full_one)
{
    ask("SET a 1");
    fill();
    ask("CLIENT KILL TYPE normal SKIPME yes");
    run_until(&b.ups, 2);
    wait_for_reader();
    ck_assert_str_eq(read_now("GET a"), "$1\r\n1\r\n");
    write_one(7, "DEL a", STORE_APPLIED, ":1");
    expect_number("self", "7");
    /* and so does the fence of a script: it is another's now */
    ask("CONFIG SET maxmemory 0");
    ask("HSET " SEQ " fence another");
    fill();
    write_one(8, "SET b 1", STORE_UNKNOWN, "");
    ck_assert_int_eq(b.downs, 2);
    ck_assert_ptr_nonnull(strstr(b.why, "another connection"));
    run_until(&b.ups, 3);
    write_one(8, "SET b 1", STORE_FULL, "-OOM ");
}
END_TEST

/* ---- the backend's state -----------------------------------------------------------------------
 */

struct state {
    const char *break_it, *heal_it, *reason;
};
static const struct state states[] = {
    {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"},
    {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY"},
};

START_TEST(its_state_fails_the_batch_and_takes_the_store_down)
{
    const struct state *s = &states[_i];
    char want[64];
    snprintf(want, sizeof want, "-BACKEND %s", s->reason);
    ask(s->break_it);
    fresh_batch();
    add_write(0, 1, "INCR n");
    add_write(1, 1, "INCR n");
    add_write(2, 1, "SET k");
    apply_batch();
    for (size_t i = 0; i < 3; i++)
        expect_begins(i, STORE_FAILED, want);
    ck_assert_ptr_nonnull(strstr((const char *)b.batch.writes[0].reply.ptr, "nothing was written"));
    run_until(&b.downs, 2); /* the greeting sees it too */
    ck_assert(!store_is_up(b.store));
    ck_assert_int_eq(b.ups, 1);
    ask(s->heal_it);
    run_until(&b.ups, 2);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 0);
    write_one(1, "INCR n", STORE_APPLIED, ":1\r\n");
}
END_TEST

START_TEST(a_full_one_may_be_read_only_too)
{
    ask("SET a 1");
    fill();
    ask("CONFIG SET min-replicas-to-write 1");
    write_one(1, "DEL a", STORE_FAILED, "-BACKEND NOREPLICAS");
    run_until(&b.downs, 2);
    ask("CONFIG SET min-replicas-to-write 0");
    run_until(&b.ups, 2);
    write_one(1, "DEL a", STORE_APPLIED, ":1");
}
END_TEST

/* A script that doesn't end: everybody else gets -BUSY. */
START_TEST(a_read_that_meets_its_state_takes_the_store_down)
{
    wait_for_reader();
    ask("CONFIG SET busy-reply-threshold 20");
    ask("CONFIG SET lua-time-limit 20");
    static const char spin[] = "EVAL \"while true do end\" 0\r\n";
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, b.path);
    ck_assert_int_eq(connect(other, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_gt(write(other, spin, sizeof spin - 1), 0);
    uint64_t end = clock_mono_ms() + 10000;
    while (strncmp(ask("GET k"), "-BUSY", 5) != 0)
        ck_assert(clock_mono_ms() < end);
    const char *reply = read_now("GET k");
    ck_assert_msg(!b.read_ok && strncmp(reply, "-BACKEND BUSY", 13) == 0, "%s", reply);
    ck_assert(!store_is_up(b.store));
    run_until(&b.downs, 1);
    reply = inspect_now("k");
    ck_assert_msg(!b.read_ok && strncmp(reply, "-BACKEND BUSY", 13) == 0, "%s", reply);
    ask("SCRIPT KILL");
    run_until(&b.ups, 2);
    ck_assert(store_is_up(b.store));
    close(other);
}
END_TEST

START_TEST(a_foreign_change_of_the_numbers_is_noticed)
{
    write_one(1, "INCR n", STORE_APPLIED, ":1");
    ask("HSET " SEQ " self 5"); /* as if our old connection had brought writes 2 to 5 */
    fresh_batch();
    add_write(0, 5, "INCR n");
    add_write(0, 6, "INCR n");
    apply_batch();
    expect(0, STORE_UNKNOWN, "");
    expect(1, STORE_UNKNOWN, "");
    run_until(&b.downs, 1);
    ck_assert_ptr_nonnull(strstr(b.why, "second dynomited"));
    run_until(&b.ups, 2);
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 5);
    write_one(6, "INCR n", STORE_APPLIED, ":2\r\n");
    ask("FLUSHALL"); /* so is this: Redis went back to nothing */
    write_one(7, "INCR n", STORE_UNKNOWN, "");
    run_until(&b.downs, 2);
    run_until(&b.ups, 3);
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 0);
}
END_TEST

START_TEST(numbers_after_2038)
{
    uint64_t seq = (2208988800ull << 32) + 7; /* 2040 */
    char text[24], next[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seq);
    snprintf(next, sizeof next, "%llu", (unsigned long long)seq + 1);
    askf("HSET " SEQ " peer1 %s junk 18446744073709551616 zero 007", text);
    ask("CLIENT KILL TYPE normal SKIPME yes");
    run_until(&b.ups, 2);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), seq);
    ck_assert_uint_eq(store_last(b.store, 3, "junk"), 0);
    ck_assert_uint_eq(store_last(b.store, 4, "zero"), 0);
    fresh_batch();
    add_write(1, seq + 1, "INCR n");
    apply_batch();
    expect_number("peer1", next);
    fill();
    fresh_batch();
    add_write(1, seq + 2, "DEL n"); /* a script compares it as text */
    apply_batch();
    expect(0, STORE_APPLIED, ":1\r\n");
}
END_TEST

/* ---- flushes ---------------------------------------------------------------------------------
 */

static void write_stamped(uint64_t seq, const char *line, uint64_t stamp,
                          enum store_outcome outcome)
{
    fresh_batch();
    add_write(1, seq, line)->stamp = stamp;
    apply_batch();
    ck_assert_msg(b.batch.writes[0].outcome == outcome, "%s: %d", line, b.batch.writes[0].outcome);
}

/* Our numbers and the fence survive it, in the same batch other writes stand before and behind it,
 * and what is older doesn't come back. */
START_TEST(a_flush_leaves_our_numbers)
{
    ask("MSET strange 1 others 2");
    fresh_batch();
    add_write(0, 7, "SET a 1");
    add_write(1, 3, "SET b 1");
    uint64_t at = add_write(0, 8, _i ? "FLUSHDB SYNC" : "FLUSHALL")->stamp;
    add_write(0, 9, "SET c 1");
    add_write(1, 4, "INCR b");
    if (_i)
        fill();
    apply_batch();
    for (size_t i = 0; i < 5 && !_i; i++)
        ck_assert_int_eq(b.batch.writes[i].outcome, STORE_APPLIED);
    if (_i) { /* where Redis is full: the flush makes room */
        expect(2, STORE_FAILED, "-BACKEND an earlier write of this node failed\r\n");
        fresh_batch();
        at = add_write(0, 8, "FLUSHDB SYNC")->stamp;
        apply_batch();
        expect(0, STORE_APPLIED, "+OK\r\n");
        ask("CONFIG SET maxmemory 0");
        ck_assert_str_eq(ask("DBSIZE"), ":1\r\n");
        expect_number("self", "8");
        return;
    }
    expect(2, STORE_APPLIED, "+OK\r\n");
    ck_assert_str_eq(ask("DBSIZE"), ":3\r\n");
    ck_assert_str_eq(ask("MGET a b c others"), "*4\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n$-1\r\n");
    expect_number("self", "9");
    expect_number("peer1", "4");
    ck_assert_str_ne(ask("HGET " SEQ " fence"), "$-1\r\n");
    write_stamped(5, "SET a late", at - 1, STORE_STALE);
    write_stamped(6, "INCR never", at - 1, STORE_STALE);
    write_stamped(7, "FLUSHALL", at - 1, STORE_STALE);
    expect_number("peer1", "7");
    ck_assert_str_eq(ask("EXISTS a never"), ":0\r\n");
    read_now("GET nothing");
    ck_assert_uint_eq(b.label, at);
    close_store();
    open_store();
    run_until(&b.ups, 2);
    name_sources();
    write_stamped(8, "SET a late", at - 1, STORE_STALE); /* that is kept */
    ck_assert_int_eq(b.downs, 0);
}
END_TEST

/* One that comes late, behind what is newer: key by key. */
START_TEST(a_late_flush_leaves_what_is_newer)
{
    char line[64];
    for (int k = 0; k < 2500; k += 500) {
        fresh_batch();
        for (int i = k; i < k + 500; i++) {
            snprintf(line, sizeof line, "SET old%d 1", i);
            add_write(0, (uint64_t)i + 1, line);
        }
        apply_batch();
    }
    uint64_t at = ++b.clock;
    b.clock += 100;
    fresh_batch();
    add_write(0, 3000, "SET old7 new");
    add_write(0, 3001, "SET new 1");
    add_write(0, 3002, "INCR old8");
    apply_batch();
    if (_i)
        ask("ACL SETUSER default -flushall -flushdb");
    write_stamped(1, "FLUSHALL", _i ? b.clock + 1 : at, STORE_APPLIED);
    expect(0, STORE_APPLIED, "+OK\r\n");
    ck_assert_str_eq(ask("DBSIZE"), _i ? ":1\r\n" : ":3\r\n"); /* ours is one */
    if (!_i)
        ck_assert_str_eq(ask("MGET old7 new old8"), "*3\r\n$3\r\nnew\r\n$1\r\n1\r\n$-1\r\n");
    expect_number("peer1", "1");
    expect_number("self", "3002");
    write_stamped(2, "SET old9 1", at - 1, STORE_STALE);
    ck_assert_int_eq(b.downs, 0);
}
END_TEST

/* ---- readers ------------------------------------------------------------------------------------
 */

START_TEST(the_digest_has_the_expiry_in_it)
{
    wait_for_reader();
    bool tells = strncmp(ask("PEXPIRETIME k"), ":", 1) == 0;
    ask("SET k v");
    char *plain = mem_strdup(inspect_now("k"));
    ask("PEXPIREAT k 4000000000000");
    char *soon = mem_strdup(inspect_now("k"));
    ask("PEXPIREAT k 4000000000001");
    char *later = mem_strdup(inspect_now("k"));
    ask("PERSIST k");
    ck_assert_str_eq(inspect_now("k"), plain);
    ck_assert_ptr_nonnull(strstr(plain, ":1\r\n+string\r\n:1\r\n"));
    ck_assert_int_eq(strcmp(plain, soon) != 0, tells);
    ck_assert_int_eq(strcmp(soon, later) != 0, tells);
    mem_free(plain);
    mem_free(soon);
    mem_free(later);
    ask("DEL k");
    ck_assert_str_eq(inspect_now("k"), "*5\r\n:0\r\n+none\r\n:0\r\n:0\r\n$0\r\n\r\n");
}
END_TEST

/* The read is sent, then a newer overwrite is applied; the read's answer is looked at last. */
START_TEST(a_label_is_never_newer_than_its_value)
{
    wait_for_reader();
    fresh_batch();
    uint64_t old = add_write(0, 1, "SET k old")->stamp;
    apply_batch();
    for (uint64_t i = 2; i < 50; i++) {
        int reads = b.reads, dones = b.dones;
        fresh_batch();
        uint64_t fresh = add_write(0, i, "SET k new")->stamp;
        kill(b.server, SIGSTOP); /* both are there before either is answered */
        start_read("GET k");
        uv_run(&b.loop, UV_RUN_NOWAIT); /* flushes it */
        uv_run(&b.loop, UV_RUN_NOWAIT);
        store_apply(b.store, &b.batch);
        kill(b.server, SIGCONT);
        run_until(&b.dones, dones + 1);
        run_until(&b.reads, reads + 1);
        ck_assert_uint_eq(b.label, old);
        read_now("GET k");
        ck_assert_uint_eq(b.label, fresh);
        old = fresh;
    }
}
END_TEST

/* 1024 intents end a transaction; a write of two keys at that place must stay out of it as a whole.
 */
START_TEST(intents_of_a_write_are_all_or_none)
{
    char line[64];
    fresh_batch();
    for (unsigned i = 0; i < 1023; i++) {
        snprintf(line, sizeof line, "SET k%u v", i);
        add_write(0, i + 1, line);
    }
    add_write(0, 1024, "RENAME k1 k2");
    add_write(0, 1025, "GETDEL k2");
    apply_batch();
    expect(1023, STORE_APPLIED, "+OK\r\n");
    expect(1024, STORE_APPLIED, "$1\r\nv\r\n");
    ck_assert_ptr_nonnull(strstr(ask("INFO commandstats"), "cmdstat_rename:calls=1,"));
}
END_TEST

/* Redis comes back; the writing side sees it first, the reading side is still waiting to try. */
START_TEST(a_read_waits_for_its_connection)
{
    for (int i = 0; i < 3; i++) {
        int ups = b.ups, downs = b.downs;
        stop_server();
        run_until(&b.downs, downs + 3 + i); /* the back-off has grown */
        start_server();
        ask("SET k v");
        run_until(&b.ups, ups + 1);
        ck_assert_str_eq(read_now("GET k"), "$1\r\nv\r\n");
        ck_assert_ptr_nonnull(strstr(inspect_now("k"), "+string"));
    }
    stop_server();
    run_until(&b.downs, b.downs + 2);
    ck_assert(strncmp(read_now("GET k"), "-BACKEND ", 9) == 0);
    start_server();
}
END_TEST

START_TEST(own_keys_are_not_counted)
{
    wait_for_reader();
    write_one(1, "SET k v", STORE_APPLIED, "+OK");
    ck_assert_str_eq(read_now("DBSIZE"), ":1\r\n");
    ck_assert_str_eq(read_now("SCAN 0"), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n");
}
END_TEST

/* ---- read repair ------------------------------------------------------------------------------
 */

static struct store_copy seen; /* the last copy */
static struct buf command;     /* and its command */
static int copies;

static void on_copy(void *arg, const struct store_copy *c)
{
    (void)arg;
    copies++;
    seen = *c;
    buf_reset(&command, 0);
    buf_add(&command, c->command.ptr, c->command.len);
}

static void look(const char *key, bool wanted)
{
    int before = copies;
    store_copy(b.reader, slice_str(key), wanted, on_copy, NULL);
    run_until(&copies, before + 1);
    ck_assert(seen.ok);
}

static uint64_t digest_of(const char *key)
{
    look(key, false);
    ck_assert(seen.exists);
    return seen.digest;
}

/* The command of the last copy as a mend. */
static void add_mend(struct store_mend *m, uint64_t stamp, uint64_t upto, uint16_t upto_tag)
{
    size_t i = b.batch.n++;
    *m = (struct store_mend){.upto = {upto, upto_tag}};
    buf_reset(&b.texts[i], 4096);
    buf_add(&b.texts[i], buf_head(&command), command.len);
    ck_assert(resp_command_parse(buf_slice(&b.texts[i]), &b.cmds[i]));
    b.batch.writes[i] = (struct store_write){.source = STORE_SOURCE_MENDS,
                                             .mend = m,
                                             .stamp = stamp,
                                             .spec = command_find(b.cmds[i].argv[0]),
                                             .cmd = &b.cmds[i]};
}

static enum store_outcome mend(uint64_t stamp, uint64_t upto, uint16_t upto_tag)
{
    struct store_mend m;
    fresh_batch();
    add_mend(&m, stamp, upto, upto_tag);
    apply_batch();
    ck_assert(b.batch.writes[0].outcome != STORE_APPLIED ||
              !resp_reply_is_error(b.batch.writes[0].reply));
    return b.batch.writes[0].outcome;
}

/* Two ways to the same value, and one to another. */
static const struct {
    const char *same[2][4], *other;
} values[] = {
    {{{"SET a 12345"}, {"APPEND b 12", "APPEND b 345"}}, "SET c 12346"},
    {{{"RPUSH a 1 2 x"}, {"LPUSH b 1", "RPUSH b 2 x"}}, "RPUSH c 1 x 2"},
    {{{"SADD a 1 2 3 x y z"}, {"SADD b z y x", "SADD b 3 2 1"}}, "SADD c 1 2 3 x y"},
    {{{"HSET a f 1 g 2 h 3"}, {"HSET b h 3", "HSET b g 2 f 1"}}, "HSET c f 1 g 2 h 4"},
    {{{"ZADD a 1 x 2 y 3 z"}, {"ZADD b 3 z", "ZADD b 2 y 1 x"}}, "ZADD c 1 x 2 y 4 z"},
    {{{"XADD a 1-1 f v", "XADD a 1-2 f w", "XGROUP CREATE a g 1-1",
       "XREADGROUP GROUP g me STREAMS a >"},
      {"XADD b 1-1 f v", "XADD b 1-2 f w", "XGROUP CREATE b g 1-1",
       "XCLAIM b g me 0 1-2 TIME 1 FORCE"}},
     "XADD c 1-1 f v"},
};

START_TEST(equal_values_have_equal_digests)
{
    wait_for_reader();
    bool stream = strncmp(values[_i].other, "XADD", 4) == 0;
    for (unsigned k = 0; k < 2; k++)
        for (unsigned n = 0; n < 4 && values[_i].same[k][n]; n++)
            ck_assert(*ask(values[_i].same[k][n]) != '-');
    ck_assert(*ask(values[_i].other) != '-');
    uint64_t a = digest_of("a"), x = digest_of("b"), other = digest_of("c");
    ck_assert(stream ||
              a == x); /* who claimed at another time has another list of what is pending */
    ck_assert(a != other);
    usleep(2000); /* a consumer has been seen for longer: that is no other value */
    ck_assert_uint_eq(digest_of("a"), a);
    look("a", true);
    ck_assert(*ask("DEL a") == ':');
    ck_assert_int_eq(mend(5, 5, UINT16_MAX), STORE_APPLIED);
    ck_assert_uint_eq(digest_of("a"), a);
}
END_TEST

START_TEST(a_copy_has_its_lifetime)
{
    wait_for_reader();
    write_one(1, "SET k v PXAT 4000000000000", STORE_APPLIED, "+OK");
    look("k", true);
    ck_assert_uint_eq(seen.expires, 4000000000000);
    ck_assert(!seen.expires_roughly);
    ck_assert_uint_eq(seen.bytes, 1);
    ck_assert(*ask("DEL k") == ':');
    ck_assert_int_eq(mend(b.clock, b.clock, UINT16_MAX), STORE_APPLIED);
    ck_assert_str_eq(ask("PEXPIRETIME k"), ":4000000000000\r\n");
    ck_assert_str_eq(ask("GET k"), "$1\r\nv\r\n");
}
END_TEST

/* Before 7.0 there is no PEXPIRETIME. */
START_TEST(an_old_redis_says_lifetimes_roughly)
{
    wait_for_reader();
    ck_assert(*ask("ACL SETUSER default -pexpiretime") == '+');
    uint64_t at = clock_wall_ms() + 1000000;
    char line[64];
    snprintf(line, sizeof line, "SET k v PXAT %llu", (unsigned long long)at);
    write_one(1, line, STORE_APPLIED, "+OK");
    look("k", false);
    ck_assert(seen.expires_roughly);
    ck_assert(seen.expires >= at - 10 && seen.expires < at + 5000);
    write_one(2, "PERSIST k", STORE_APPLIED, ":1");
    look("k", false);
    ck_assert_uint_eq(seen.expires, 0);
}
END_TEST

/* What it has no room for is no reason to refuse other writes. */
START_TEST(a_mend_that_finds_no_room)
{
    struct store_mend m[2];
    wait_for_reader();
    write_one(1, "SET k 1", STORE_APPLIED, "+OK");
    uint64_t t = b.clock;
    look("k", true);
    fill();
    fresh_batch();
    add_mend(&m[0], t + 10, t + 10, 0);
    add_write(0, 2, "DEL k");
    apply_batch();
    ck_assert_int_eq(b.batch.writes[0].outcome, STORE_FULL);
    expect(1, STORE_APPLIED, ":1\r\n");
    look("k", true); /* a delete */
    ck_assert(!seen.exists);
    ck_assert_int_eq(mend(t + 20, t + 20, 0), STORE_APPLIED);
    look("k", false);
    ck_assert_uint_eq(seen.overwrite.time, t + 20);
}
END_TEST

START_TEST(a_copy_says_what_touched_it)
{
    wait_for_reader();
    look("k", true);
    ck_assert(!seen.exists && seen.overwrite.time == 0);
    ck_assert_uint_eq(seen.newest.time, seen.forgotten);
    ck_assert(slice_eq(buf_slice(&command), slice_str("*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n")));
    write_one(1, "SET k 1", STORE_APPLIED, "+OK");
    uint64_t set = b.clock;
    look("k", false);
    ck_assert_uint_eq(seen.overwrite.time, set);
    ck_assert_uint_eq(seen.newest.time, set);
    ck_assert_uint_eq(seen.newest.tag, seen.overwrite.tag);
    write_one(2, "INCR k", STORE_APPLIED, ":2");
    look("k", false);
    ck_assert_uint_eq(seen.overwrite.time, set);
    ck_assert_uint_eq(seen.newest.time, set + 1);
    ck_assert(!seen.newest_exact);
    write_one(3, "DEL k", STORE_APPLIED, ":1");
    look("k", false);
    ck_assert(!seen.exists);
    ck_assert_uint_eq(seen.overwrite.time, set + 2);
    ck_assert_uint_eq(seen.newest.time, set + 2);
}
END_TEST

/* The value may be newer than the label while a batch is at the store: then it is worth nothing. */
START_TEST(a_copy_made_while_its_key_is_written_is_not_settled)
{
    wait_for_reader();
    write_one(1, "SET k old", STORE_APPLIED, "+OK");
    for (uint64_t i = 2; i < 30; i++) {
        int before = copies, dones = b.dones;
        fresh_batch();
        add_write(0, i, "SET k new");
        kill(b.server, SIGSTOP);
        store_copy(b.reader, slice_str("k"), false, on_copy, NULL);
        uv_run(&b.loop, UV_RUN_NOWAIT);
        uv_run(&b.loop, UV_RUN_NOWAIT);
        store_apply(b.store, &b.batch);
        kill(b.server, SIGCONT);
        run_until(&b.dones, dones + 1);
        run_until(&copies, before + 1);
        ck_assert_uint_eq(seen.newest.time, UINT64_MAX);
        look("k", false);
        ck_assert_uint_eq(seen.newest.time, b.clock);
    }
}
END_TEST

START_TEST(a_mend_stops_at_what_is_newer)
{
    wait_for_reader();
    write_one(1, "SET k right", STORE_APPLIED, "+OK");
    uint64_t t = b.clock;
    look("k", true);
    write_one(2, "APPEND k more", STORE_APPLIED, ":9");
    ck_assert_int_eq(mend(t, t, 0), STORE_STALE);     /* a change */
    ck_assert_int_eq(mend(t, t + 1, 0), STORE_STALE); /* whose tag nobody knows */
    ck_assert_str_eq(ask("GET k"), "$9\r\nrightmore\r\n");
    ck_assert_int_eq(mend(t, t + 1, UINT16_MAX),
                     STORE_APPLIED); /* the watermarks tell that it may */
    ck_assert_str_eq(ask("GET k"), "$5\r\nright\r\n");
    look("k", true);
    ck_assert_uint_eq(seen.overwrite.time, t);
    ck_assert_uint_eq(seen.newest.time, t + 1); /* there may be such a change in it */
    write_one(3, "SET k newer", STORE_APPLIED, "+OK");
    ck_assert_int_eq(mend(t, t + 1, UINT16_MAX), STORE_STALE); /* an overwrite */
    struct store_mend m;
    fresh_batch();
    add_write(0, 4, "SET k newest"); /* in the same batch */
    add_mend(&m, t, t + 2, UINT16_MAX);
    add_write(0, 5, "APPEND j x");
    apply_batch();
    expect(0, STORE_APPLIED, "+OK\r\n");
    ck_assert_int_eq(b.batch.writes[1].outcome, STORE_STALE);
    expect(2, STORE_APPLIED, ":1\r\n");
    ck_assert_str_eq(ask("GET k"), "$6\r\nnewest\r\n");
}
END_TEST

START_TEST(late_writes_find_the_stamp_of_a_mend)
{
    wait_for_reader();
    write_one(1, "SET k right", STORE_APPLIED, "+OK");
    uint64_t t = b.clock;
    look("k", true);
    ck_assert(*ask("DEL k") == ':');
    ck_assert_int_eq(mend(t + 10, t + 10, 0), STORE_APPLIED);
    b.clock = t + 5;
    write_one(2, "APPEND k late", STORE_STALE, ":0");
    b.clock = t + 10;
    write_one(3, "APPEND k +", STORE_APPLIED, ":6");
}
END_TEST

/* The connection breaks while a mend is at the store: its stamp stands if and only if it has had
 * its effect. */
START_TEST(a_mend_that_is_lost_is_lost_whole)
{
    struct store_mend m;
    wait_for_reader();
    write_one(1, "SET k old", STORE_APPLIED, "+OK");
    uint64_t t = b.clock;
    ck_assert(*ask("SET k new") == '+');
    look("k", true);
    ck_assert(*ask("SET k old") == '+');
    int dones = b.dones, ups = b.ups;
    kill(b.server, SIGSTOP);
    fresh_batch();
    add_mend(&m, t + 10, t + 10, 0);
    store_apply(b.store, &b.batch);
    if (_i == 0) { /* it hangs; then it does all that it was told */
        run_until(&b.dones, dones + 1);
        kill(b.server, SIGCONT);
    } else { /* it never did it */
        stop_server();
        run_until(&b.dones, dones + 1);
        start_server();
        ck_assert(*ask("SET k old") == '+');
    }
    ck_assert_int_eq(b.batch.writes[0].outcome, STORE_UNKNOWN);
    run_until(&b.ups, ups + 1);
    wait_for_reader();
    bool done = strcmp(ask("GET k"), "$3\r\nnew\r\n") == 0;
    ck_assert(done == (_i == 0));
    look("k", false);
    ck_assert_uint_eq(seen.overwrite.time, done ? t + 10 : t);
    ck_assert_uint_eq(seen.newest.time, done ? t + 10 : t);
}
END_TEST

START_TEST(a_mend_that_redis_refuses_holds_up_nothing)
{
    struct store_mend m;
    wait_for_reader();
    write_one(1, "SET k old", STORE_APPLIED, "+OK");
    uint64_t t = b.clock;
    look("k", true);
    ck_assert(*ask("ACL SETUSER default -restore") == '+');
    fresh_batch();
    add_mend(&m, t + 10, t + 10, 0);
    add_write(1, 1, "SET j 1");
    apply_batch();
    ck_assert(resp_reply_is_error(b.batch.writes[0].reply));
    expect(1, STORE_APPLIED, "+OK\r\n");
    ck_assert_uint_eq(store_stats(b.store)->forbidden, 0);
    look("k", false);
    ck_assert_uint_eq(seen.overwrite.time, t);
}
END_TEST

/* ---- clients' transactions ------------------------------------------------------------------- */

static struct store_write *add_record(unsigned source, uint64_t seq, struct slice watches,
                                      const char *keys, const char *const *lines)
{
    struct tx_record r;
    tx_record_make(&r, watches, keys, lines);
    struct store_write *w = add_write(source, seq, "PING");
    size_t i = (size_t)(w - b.batch.writes);
    buf_reset(&b.texts[i], 4096);
    buf_add(&b.texts[i], buf_head(&r.bytes), r.bytes.len);
    ck_assert(resp_command_parse(buf_slice(&b.texts[i]), &b.cmds[i]));
    w->spec = command_find(slice_str("TRANSACTION"));
    tx_record_unmake(&r);
    return w;
}

#define UNWATCHED slice_of("", 0)

START_TEST(a_transaction_is_one_write)
{
    ask("CONFIG RESETSTAT");
    fresh_batch();
    add_write(0, 1, "SET a 0");
    add_record(0, 2, UNWATCHED, "a l",
               LINES("INCR a", "LPUSH a x", "RPUSH l 1 2", "LRANGE l 0 -1"));
    add_write(1, 5, "INCR a");
    add_record(1, 6, UNWATCHED, "a", NO_LINES);
    apply_batch();
    expect(0, STORE_APPLIED, "+OK\r\n");
    expect(1, STORE_APPLIED,
           "*4\r\n:1\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
           ":2\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    expect(2, STORE_APPLIED, ":2\r\n");
    expect(3, STORE_APPLIED, "*0\r\n");
    expect_number("self", "2");
    expect_number("peer1", "6");
    ck_assert_ptr_nonnull(strstr(ask("INFO commandstats"), "cmdstat_exec:calls=1,"));
}
END_TEST

START_TEST(commands_of_a_transaction_are_judged_one_by_one)
{
    fresh_batch();
    add_write(0, 1, "SET a newer")->stamp = b.clock + 100;
    /* it must know the outcome of that one */
    add_record(0, 2, UNWATCHED, "a b c",
               LINES("SET a older", "SET b x", "INCR a", "INCR c", "GET a"));
    add_record(0, 3, UNWATCHED, "a", LINES("SET a older", "APPEND a x"));
    apply_batch();
    expect(1, STORE_APPLIED, "*5\r\n+OK\r\n+OK\r\n:0\r\n:1\r\n$5\r\nnewer\r\n");
    expect(2, STORE_STALE, "*2\r\n+OK\r\n:0\r\n");
    ck_assert_str_eq(ask("GET a"), "$5\r\nnewer\r\n");
    expect_number("self", "3");
    fresh_batch(); /* what it has overwritten has its stamp */
    add_write(0, 4, "SET b older")->stamp = 1;
    apply_batch();
    expect(0, STORE_STALE, "+OK\r\n");
}
END_TEST

START_TEST(a_transaction_that_isnt_queued_does_nothing)
{
    fresh_batch();
    add_record(0, 1, UNWATCHED, "a b", LINES("SET a 1", "SET b", "INCR a", "GETRANGE b"));
    add_write(0, 2, "SET c 1");
    apply_batch();
    expect(0, STORE_APPLIED, "-EXECABORT Transaction discarded because of previous errors.\r\n");
    expect(1, STORE_APPLIED, "+OK\r\n");
    ck_assert_str_eq(ask("EXISTS a"), ":0\r\n");
    expect_number("self", "2");
}
END_TEST

START_TEST(a_transaction_finds_a_full_redis)
{
    fresh_batch();
    add_write(0, 1, "SET a 1");
    apply_batch();
    fill();
    fresh_batch();
    add_record(0, 2, UNWATCHED, "a b", LINES("DEL a", "SET b 1"));
    add_write(0, 3, "DEL a"); /* what comes behind it waits */
    add_write(1, 1, "DEL a");
    apply_batch();
    expect_begins(0, STORE_FULL, "-OOM");
    expect_begins(1, STORE_FAILED, "-BACKEND");
    expect(2, STORE_APPLIED, ":1\r\n");
    expect_number("self", "1");
}
END_TEST

/* More overwrites than there is room for intents. */
START_TEST(a_transaction_of_many_overwrites)
{
    enum { MANY = 3000 };
    static struct slice keys[MANY], commands[MANY];
    struct buf bytes = BUF_INIT, record = BUF_INIT;
    static char names[MANY][16];
    static size_t ends[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "many%zu", i);
        keys[i] = slice_str(names[i]);
        const struct slice argv[3] = {slice_str("SET"), keys[i], slice_str("v")};
        resp_add_command(&bytes, argv, 3);
        ends[i] = bytes.len;
    }
    for (size_t i = 0; i < MANY; i++) {
        size_t from = i ? ends[i - 1] : 0;
        commands[i] = slice_of(buf_head(&bytes) + from, ends[i] - from);
    }
    transaction_add(&record, UNWATCHED, keys, MANY, commands, MANY);
    fresh_batch();
    add_write(0, 1, "SET before v");
    struct store_write *w = add_write(0, 2, "PING");
    buf_reset(&b.texts[1], 4096);
    buf_add(&b.texts[1], buf_head(&record), record.len);
    ck_assert(resp_command_parse(buf_slice(&b.texts[1]), &b.cmds[1]));
    w->spec = command_find(slice_str("TRANSACTION"));
    apply_batch();
    expect_begins(1, STORE_APPLIED, "*3000\r\n+OK\r\n");
    ck_assert_ptr_nonnull(strstr(ask("INFO commandstats"), "cmdstat_set:calls=3001,"));
    fresh_batch();
    for (unsigned i = 0; i < MANY; i += 1000) {
        char line[64];
        snprintf(line, sizeof line, "SET many%u older", i);
        add_write(0, 3 + i, line)->stamp = 1;
    }
    apply_batch();
    for (unsigned i = 0; i < 3; i++)
        expect(i, STORE_STALE, "+OK\r\n");
    buf_fini(&bytes);
    buf_fini(&record);
}
END_TEST

static struct slice version_now(const char *question, uint8_t out[TRANSACTION_VERSION])
{
    struct slice version;
    const char *reply = read_now(question);
    ck_assert_int_eq(strncmp(reply, "*1\r\n", 4), 0);
    ck_assert(resp_reply_bulk(slice_of(reply + 4, b.read.len - 5), &version));
    ck_assert_uint_eq(version.len, TRANSACTION_VERSION);
    memcpy(out, version.ptr, version.len);
    return slice_of(out, TRANSACTION_VERSION);
}

START_TEST(what_is_watched_must_be_as_it_was)
{
    uint8_t bytes[TRANSACTION_VERSION];
    wait_for_reader();
    struct slice version = version_now("VERSIONS a", bytes);
    fresh_batch();
    add_write(0, 1, "SET b 1");
    add_record(0, 2, version, "a", LINES("INCR a"));
    add_record(0, 3, version, "a", LINES("INCR a")); /* the same batch: it comes second */
    apply_batch();
    expect(1, STORE_APPLIED, "*1\r\n:1\r\n");
    expect(2, STORE_APPLIED, "*-1\r\n");
    expect_number("self", "3");
    version = version_now("VERSIONS a", bytes);
    write_one(4, "APPEND a 1", STORE_APPLIED, ":2");
    fresh_batch();
    add_record(0, 5, version, "a", LINES("INCR a"));
    apply_batch();
    expect(0, STORE_APPLIED, "*-1\r\n");
    char lapses[64];
    snprintf(lapses, sizeof lapses, "SET a 1 PXAT %llu", (unsigned long long)clock_wall_ms() + 200);
    write_one(6, lapses, STORE_APPLIED, "+OK");
    version = version_now("VERSIONS a", bytes);
    while (strcmp(ask("EXISTS a"), ":0\r\n") != 0)
        usleep(10000);
    fresh_batch();
    add_record(0, 7, version, "a", LINES("INCR a"));
    apply_batch();
    expect(0, STORE_APPLIED, "*-1\r\n");
}
END_TEST

/* Nobody knows what became of it meanwhile. */
START_TEST(a_broken_connection_breaks_a_watch)
{
    uint8_t bytes[TRANSACTION_VERSION];
    wait_for_reader();
    struct slice version = version_now("VERSIONS a", bytes);
    int ups = b.ups;
    ask("CLIENT KILL TYPE normal");
    run_until(&b.ups, ups + 1);
    fresh_batch();
    add_record(0, 1, version, "a", LINES("INCR a"));
    apply_batch();
    expect(0, STORE_APPLIED, "*-1\r\n");
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_refused_command_takes_no_other_with_it);
    tcase_add_test(c, a_batch_of_nothing_but_refusals);
    tcase_add_test(c, what_the_user_may_not_run_holds_up_nothing);
    tcase_add_test(c, without_multi_nothing_is_written_twice);
    tcase_add_test(c, a_full_redis_can_be_emptied);
    tcase_add_test(c, delivery_stops_at_what_finds_no_room);
    tcase_add_test(c, long_commands_while_it_is_full);
    tcase_add_test(c, stamps_count_while_it_is_full);
    tcase_add_test(c, without_eval_the_oom_stands);
    tcase_add_test(c, it_comes_up_in_front_of_a_full_one);
    tcase_add_loop_test(c, its_state_fails_the_batch_and_takes_the_store_down, 0,
                        ARRAY_LEN(states));
    tcase_add_test(c, a_full_one_may_be_read_only_too);
    tcase_add_test(c, a_read_that_meets_its_state_takes_the_store_down);
    tcase_add_test(c, a_foreign_change_of_the_numbers_is_noticed);
    tcase_add_test(c, numbers_after_2038);
    tcase_add_loop_test(c, a_flush_leaves_our_numbers, 0, 2);
    tcase_add_loop_test(c, a_late_flush_leaves_what_is_newer, 0, 2);
    tcase_add_test(c, the_digest_has_the_expiry_in_it);
    tcase_add_test(c, a_label_is_never_newer_than_its_value);
    tcase_add_test(c, intents_of_a_write_are_all_or_none);
    tcase_add_test(c, a_read_waits_for_its_connection);
    tcase_add_test(c, own_keys_are_not_counted);
    tcase_add_loop_test(c, equal_values_have_equal_digests, 0, ARRAY_LEN(values));
    tcase_add_test(c, a_copy_has_its_lifetime);
    tcase_add_test(c, an_old_redis_says_lifetimes_roughly);
    tcase_add_test(c, a_mend_that_finds_no_room);
    tcase_add_test(c, a_copy_says_what_touched_it);
    tcase_add_test(c, a_copy_made_while_its_key_is_written_is_not_settled);
    tcase_add_test(c, a_mend_stops_at_what_is_newer);
    tcase_add_test(c, late_writes_find_the_stamp_of_a_mend);
    tcase_add_loop_test(c, a_mend_that_is_lost_is_lost_whole, 0, 2);
    tcase_add_test(c, a_mend_that_redis_refuses_holds_up_nothing);
    tcase_add_test(c, a_transaction_is_one_write);
    tcase_add_test(c, commands_of_a_transaction_are_judged_one_by_one);
    tcase_add_test(c, a_transaction_that_isnt_queued_does_nothing);
    tcase_add_test(c, a_transaction_finds_a_full_redis);
    tcase_add_test(c, a_transaction_of_many_overwrites);
    tcase_add_test(c, what_is_watched_must_be_as_it_was);
    tcase_add_test(c, a_broken_connection_breaks_a_watch);
}

int main(void)
{
    char probe[512];
    snprintf(probe, sizeof probe, "command -v '%s' >/dev/null", server_program());
    if (system(probe) != 0) {
        printf("skipped: redis-server is missing\n");
        return 77;
    }
    return unit_main("redis", add_cases);
}
