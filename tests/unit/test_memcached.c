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

/* The port that it chose; 0: not yet. */
static unsigned told_port(const char *path)
{
    unsigned port = 0;
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "TCP INET: %u", &port) != 1)
        port = 0;
    if (f)
        fclose(f);
    return port;
}

static void wait_for_port(const char *path)
{
    uint64_t end = clock_mono_ms() + 10000;
    unsigned port;
    while ((port = told_port(path)) == 0) {
        ck_assert_msg(clock_mono_ms() < end, "memcached doesn't start");
        usleep(10000);
    }
    b.options.host = "127.0.0.1";
    b.options.port = (uint16_t)port;
    b.options.unix_path = NULL;
}

static void wait_for_socket(void)
{
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

static void start_server(bool tcp)
{
    const char *program = server_program();
    char ports[128];
    unlink(b.path);
    snprintf(ports, sizeof ports, "%s/ports", b.dir);
    b.server = fork();
    ck_assert_int_ge(b.server, 0);
    if (b.server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("MEMCACHED_PORT_FILENAME", ports, 1);
        if (!freopen("/dev/null", "w", stderr))
            _exit(126);
        if (tcp)
            execlp(program, program, "-l", "127.0.0.1", "-p", "-1", "-u", "root", (char *)NULL);
        else
            execlp(program, program, "-s", b.path, "-u", "root", (char *)NULL);
        _exit(127);
    }
    if (tcp)
        wait_for_port(ports);
    else
        wait_for_socket();
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
    start_server(false);
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
    store_forget_below(b.store, 1); /* which asks how full it is */
    ck_assert_str_eq(read_now("MG n v"), "*2\r\n$2\r\nVA\r\n$2\r\n6 \r\n");
    uint64_t end = clock_mono_ms() + 10000;
    while (store_stats(b.store)->keys < 3) {
        ck_assert(clock_mono_ms() < end);
        uv_run(&b.loop, UV_RUN_ONCE);
    }
    ck_assert_uint_gt(store_stats(b.store)->bytes, 0);
}
END_TEST

/* Keys may be any bytes; memcached's own take no blanks and go out in base64. */
START_TEST(keys_of_any_bytes)
{
    static uint8_t all[186], large[187];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)(i * 7);
    struct slice set[] = {slice_str("MS"), slice_of(all, sizeof all), slice_str("v")};
    struct slice get[] = {slice_str("MG"), slice_of(all, sizeof all), slice_str("v")};
    struct slice over[] = {slice_str("MS"), slice_of(large, sizeof large), slice_str("flush_all")};
    struct slice line[] = {slice_str("MS"), slice_str("k\r\nflush_all"), slice_str("w")};
    fresh_batch();
    add_argv(0, 1, set, 3);
    add_argv(0, 2, over, 3);
    add_argv(0, 3, line, 3);
    apply_batch();
    expect(0, STORE_APPLIED, HD);
    expect(1, STORE_APPLIED, "-CLIENT_ERROR bad command line format\r\n");
    expect(2, STORE_APPLIED, HD);
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 3);
    ck_assert_str_eq(read_argv(get, 3), "*2\r\n$2\r\nVA\r\n$1\r\nv\r\n");
    get[1] = line[1];
    ck_assert_str_eq(read_argv(get, 3), "*2\r\n$2\r\nVA\r\n$1\r\nw\r\n");
}
END_TEST

/* What memcached would take for another command never reaches it. */
START_TEST(flags_that_are_none)
{
    static const char *const flags[] = {"x",  "F",   "Fx", "F1 ", "T", "Tx",
                                        "MZ", "MS1", "vx", "O1",  "k", "\r\nflush_all"};
    fresh_batch();
    add_write(0, 1, "MS k v");
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        struct slice argv[] = {slice_str("MS"), slice_str("k"), slice_str("w"),
                               slice_str(flags[i])};
        add_argv(0, i + 2, argv, 4);
    }
    apply_batch();
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        const struct store_write *w = &b.batch.writes[i + 1];
        ck_assert_msg(w->outcome == STORE_APPLIED && w->reply.len > 14 &&
                          memcmp(w->reply.ptr, "-CLIENT_ERROR ", 14) == 0,
                      "%s", flags[i]);
    }
    expect_value("k", "v");
}
END_TEST

/* ---- stamps, and what memcached hasn't room for ---------------------------------------------- */

START_TEST(old_never_beats_new)
{
    static const struct {
        const char *line, *stale;
    } late[] = {{"MS k old", HD}, {"MS k old ME", NS}, {"MD k", NF}, {"MA k", NF}, {"MG k T5", EN}};
    write_one(0, 1, "MS k new", HD);
    fresh_batch();
    for (size_t i = 0; i < ARRAY_LEN(late); i++)
        add_write(1, i + 1, late[i].line)->stamp = b.clock - 100;
    add_write(1, 10, "MS k newer");
    add_write(2, 1, "MS k between")->stamp = b.clock - 1;
    apply_batch();
    for (size_t i = 0; i < ARRAY_LEN(late); i++)
        expect(i, STORE_STALE, late[i].stale);
    expect(5, STORE_APPLIED, HD);
    expect(6, STORE_STALE, HD);
    expect_value("k", "newer");
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 10);
    ck_assert_uint_eq(store_last(b.store, 2, "peer2"), 1);
    ck_assert_uint_eq(store_stats(b.store)->stale_dropped, 6);
    read_now("MG k v");
    ck_assert_uint_eq(b.label, b.batch.writes[5].stamp);
}
END_TEST

/* What is older is gone and stays away, what comes behind it is there. */
START_TEST(a_flush)
{
    fresh_batch();
    add_write(0, 1, "MS k old");
    add_write(0, 2, "MS l old");
    add_write(1, 1, "FLUSHALL");
    uint64_t at = b.clock;
    add_write(0, 3, "MS k new");
    add_write(2, 1, "MS l late")->stamp = at - 1;
    add_write(2, 2, "MA m N0 J1")->stamp = at - 1;
    add_write(2, 3, "FLUSHALL")->stamp = at - 1;
    apply_batch();
    expect(2, STORE_APPLIED, "+OK\r\n");
    expect(3, STORE_APPLIED, HD);
    expect(4, STORE_STALE, HD);
    expect(5, STORE_STALE, NF);
    expect(6, STORE_STALE, "+OK\r\n");
    expect_value("k", "new");
    ck_assert_str_eq(read_now("MG l v"), EN);
    ck_assert_str_eq(read_now("MG m v"), EN);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 1);
    write_one(1, 2, "FLUSHALL", "+OK\r\n");
    ck_assert_str_eq(read_now("MG k v"), EN);
    /* as a client of a node that is alone has it */
    write_one(1, 3, "MS k v", HD);
    ck_assert_str_eq(read_now("FLUSHALL"), "+OK\r\n");
    ck_assert_str_eq(read_now("MG k v"), EN);
    ck_assert_str_eq(read_now("GET k"), "-ERR a memcached can't run 'GET'\r\n");
}
END_TEST

/* More overwrites than the table can note at once, and more bytes than go out at once. */
START_TEST(a_large_batch)
{
    static char value[20000];
    memset(value, 'x', sizeof value);
    fresh_batch();
    for (unsigned i = 0; i < 3000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        struct slice argv[] = {slice_str("MS"), slice_str(key),
                               slice_of(value, i % 4 ? 1 : sizeof value)};
        add_argv(i % 3, i + 1, argv, 3);
    }
    apply_batch();
    for (unsigned i = 0; i < 3000; i++)
        expect(i, STORE_APPLIED, HD);
    ck_assert_uint_eq(store_last(b.store, 2, "peer2"), 3000);
}
END_TEST

/* It is as if it had been evicted at once; what follows isn't held up. */
START_TEST(what_finds_no_room_holds_up_nothing)
{
    size_t n = 2u * 1024 * 1024;
    char *value = mem_calloc(1, n);
    struct slice argv[] = {slice_str("MS"), slice_str("k"), slice_of(value, n)};
    ck_assert_uint_eq(store_value_max(b.store), 1024 * 1024);
    write_one(1, 1, "MS k old", HD);
    fresh_batch();
    add_argv(1, 2, argv, 3);
    add_write(1, 3, "MS l v");
    apply_batch();
    expect(0, STORE_APPLIED, "-SERVER_ERROR object too large for cache\r\n");
    expect(1, STORE_APPLIED, HD);
    ck_assert_str_eq(read_now("MG k v"), EN);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 3);
    ck_assert_int_eq(b.downs, 0);
    mem_free(value);
}
END_TEST

/* ---- numbers, breaks, kills ------------------------------------------------------------------ */

START_TEST(numbers_survive_a_kill)
{
    write_one(0, 5, "MS k v", HD);
    write_one(1, 7, "MS k w", HD);
    fresh_batch();
    add_skip(2, 99);
    apply_batch();
    pid_t child = fork(); /* it has the mapping, and dies without a word */
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct memcached_numbers m;
        struct error e;
        char path[128];
        snprintf(path, sizeof path, "%s/numbers", b.dir);
        if (memcached_numbers_open(&m, path, &e)) {
            memcached_numbers_name(&m, 3, "peer3");
            (void)memcached_numbers_give(&m, 3, 12);
            memcached_numbers_move(&m, 3, 11);
        }
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
    close_store();
    open_store();
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 5);
    ck_assert_uint_eq(store_last(b.store, 1, "peer2"), 99);
    ck_assert_uint_eq(store_last(b.store, 2, "peer1"), 7);
    ck_assert_uint_eq(store_last(b.store, 3, "peer3"), 11);
    /* one that was on its way is counted when it comes again, one behind it isn't */
    fresh_batch();
    add_write(3, 12, "MA no");
    add_write(3, 13, "MA no");
    apply_batch();
    ck_assert_uint_eq(store_stats(b.store)->ambiguous, 1);
    ck_assert_uint_eq(store_stats(b.store)->emptied, 0);
}
END_TEST

static void fill_with_increments(unsigned n)
{
    fresh_batch();
    for (unsigned i = 0; i < n; i++)
        add_write(1, i + 1, "MA n");
}

/* Stopped, it takes what it is sent and says nothing: the store gives up, and what was sent is of
 * unknown outcome. It comes again, and that is counted. */
START_TEST(what_was_on_its_way_is_counted)
{
    int status;
    close_store();
    b.options.timeout_ms = 200;
    if (_i) {
        stop_server();
        start_server(true);
    }
    open_store();
    store_last(b.store, 1, "peer1");
    write_one(0, 1, "MS n 0", HD);
    kill(b.server, SIGSTOP);
    ck_assert_int_eq(waitpid(b.server, &status, WUNTRACED), b.server);
    fill_with_increments(50);
    apply_batch();
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(b.batch.writes[i].outcome, STORE_UNKNOWN);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 0);
    ck_assert_int_eq(b.downs, 1);
    int ups = b.ups;
    kill(b.server, SIGCONT);
    run_until(&b.ups, ups + 1);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 0);
    fill_with_increments(50);
    add_write(1, 51, "MA n v");
    apply_batch();
    ck_assert_uint_eq(store_stats(b.store)->ambiguous, 50);
    ck_assert_uint_eq(store_last(b.store, 1, "peer1"), 51);
    /* each once or twice; and what the old connection had to do, it did before */
    int n = 0;
    ck_assert_int_eq(sscanf((const char *)b.batch.writes[50].reply.ptr, "*2 $2 VA $%*d %d", &n), 1);
    ck_assert_int_ge(n, 51);
    ck_assert_int_le(n, 101);
    char value[16];
    snprintf(value, sizeof value, "%d", n);
    expect_value("n", value);
}
END_TEST

START_TEST(a_new_start_is_noticed)
{
    write_one(0, 3, "MS k v", HD);
    char before[64];
    snprintf(before, sizeof before, "%s", read_now("MG k c"));
    stop_server();
    run_until(&b.downs, 1);
    int ups = b.ups;
    start_server(false);
    run_until(&b.ups, ups + 1);
    ck_assert_uint_eq(store_stats(b.store)->emptied, 1);
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 3);
    ck_assert_str_eq(read_now("MG k v"), EN);
    /* uniques begin anew, too: one from before is none of them */
    write_one(0, 4, "MS k v", HD);
    ck_assert_str_ne(read_now("MG k c"), before);
    /* and while this node is away */
    close_store();
    stop_server();
    start_server(false);
    open_store();
    ck_assert_uint_eq(store_stats(b.store)->emptied, 1);
    ck_assert_uint_eq(store_last(b.store, 0, "self"), 4);
}
END_TEST

START_TEST(reads_while_it_is_away)
{
    stop_server();
    run_until(&b.downs, 1);
    read_now("MG k v");
    ck_assert(!b.read_ok);
    ck_assert_msg(strncmp((const char *)buf_head(&b.read), "-BACKEND ", 9) == 0, "%s",
                  (const char *)buf_head(&b.read));
    int ups = b.ups;
    start_server(false);
    run_until(&b.ups, ups + 1);
    ck_assert_str_eq(read_now("MG k v"), EN); /* waits for the reading side's own connection */
    ck_assert(b.read_ok);
}
END_TEST

START_TEST(one_that_is_no_memcached)
{
    struct error e;
    struct buf out = BUF_INIT;
    size_t size;
    static const char *const bad[] = {"\r\n", "VA\r\n", "VA x\r\n", "VA 99999999999\r\n",
                                      "VALUE k 0\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct resp_scanner scan = {0};
        const uint8_t *text = (const uint8_t *)bad[i];
        ck_assert_int_eq(memcached_scan(&scan, text, strlen(bad[i]), &size, &e), RESP_BAD);
    }
    memcached_decode(slice_str("BUSY\r\n"), 0, &out);
    ck_assert_int_eq(buf_head(&out)[0], '-');
    buf_fini(&out);
}
END_TEST

/* Ends of replies are found wherever they are cut. */
START_TEST(replies_in_pieces)
{
    static const char *const whole[] = {"HD\r\n",
                                        "VA 5 f0 t-1\r\na\r\nbc\r\n",
                                        "END\r\n",
                                        "VALUE k 0 3 9\r\nEND\r\nEND\r\n",
                                        "STAT a 1\r\nSTAT b 2\r\nEND\r\n",
                                        "CLIENT_ERROR bad data chunk\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
        size_t n = strlen(whole[i]), size = 0;
        for (size_t cut = 0; cut < n; cut++) {
            struct resp_scanner scan = {0};
            struct error e;
            const uint8_t *p = (const uint8_t *)whole[i];
            ck_assert_int_eq(memcached_scan(&scan, p, cut, &size, &e), RESP_MORE);
            ck_assert_int_eq(memcached_scan(&scan, p, n, &size, &e), RESP_OK);
            ck_assert_uint_eq(size, n);
        }
    }
}
END_TEST

/* ---- uniques --------------------------------------------------------------------------------- */

/* What a client was told it may compare with; what another node or start told, never. */
START_TEST(uniques)
{
    write_one(0, 1, "MS k v", HD);
    char told[64], line[96];
    const char *reply = read_now("MG k c"); /* *3 HD nil c... */
    const char *c = strrchr(reply, 'c');
    ck_assert_ptr_nonnull(c);
    snprintf(told, sizeof told, "%.*s", (int)strcspn(c + 1, "\r"), c + 1);
    ck_assert_uint_gt(strtoull(told, NULL, 10) >> 48, 0);
    snprintf(line, sizeof line, "MS k w C%llu", strtoull(told, NULL, 10) & 0xffffffffffff);
    write_one(0, 2, line, "*2\r\n$2\r\nEX\r\n$-1\r\n");
    snprintf(line, sizeof line, "MS k w C%s", told);
    write_one(0, 3, line, HD);
    write_one(0, 4, line, "*2\r\n$2\r\nEX\r\n$-1\r\n");
    snprintf(line, sizeof line, "MS no w C%s", told);
    write_one(0, 5, line, NF);
    expect_value("k", "w");
}
END_TEST

/* ---- copies ---------------------------------------------------------------------------------- */

static void on_copy(void *arg, const struct store_copy *c)
{
    (void)arg;
    b.reads++;
    b.copy = *c;
    buf_reset(&b.copied, 4096);
    buf_add(&b.copied, c->command.ptr, c->command.len);
    buf_add(&b.copied, "", 1);
}

static void copy_now(const char *key)
{
    int before = b.reads;
    store_copy(b.reader, slice_str(key), true, on_copy, NULL);
    run_until(&b.reads, before + 1);
}

START_TEST(copies)
{
    write_one(0, 1, "MS k abc F7", HD);
    uint64_t stamp = b.clock;
    copy_now("k");
    ck_assert(b.copy.ok && b.copy.exists);
    ck_assert_uint_eq(b.copy.bytes, 3);
    ck_assert_uint_eq(b.copy.expires, 0);
    ck_assert_uint_eq(b.copy.overwrite.time, stamp);
    ck_assert_str_eq((const char *)buf_head(&b.copied),
                     "*4\r\n$2\r\nMS\r\n$1\r\nk\r\n$3\r\nabc\r\n$2\r\nF7\r\n");
    uint64_t digest = b.copy.digest;
    write_one(0, 2, "MS k abc F8", HD);
    copy_now("k");
    ck_assert_uint_ne(b.copy.digest, digest);
    char line[64];
    uint64_t at = clock_wall_ms() / 1000 + 5000;
    snprintf(line, sizeof line, "MS k abc F7 T%llu", (unsigned long long)at);
    write_one(0, 3, line, HD);
    copy_now("k");
    ck_assert_uint_eq(b.copy.digest, digest);
    ck_assert(b.copy.expires_roughly);
    ck_assert_uint_ge(b.copy.expires / 1000, at - 2);
    ck_assert_uint_le(b.copy.expires / 1000, at + 2);
    ck_assert_ptr_nonnull(strstr((const char *)buf_head(&b.copied), "\r\nT1"));
    copy_now("no");
    ck_assert(b.copy.ok && !b.copy.exists);
    ck_assert_str_eq((const char *)buf_head(&b.copied), "*2\r\n$2\r\nMD\r\n$2\r\nno\r\n");
    copy_now("with blank");
    ck_assert(b.copy.ok && !b.copy.exists);
}
END_TEST

/* A copy is taken where nothing newer has touched the key, and only there. */
START_TEST(mends)
{
    write_one(0, 1, "MS k mine", HD);
    uint64_t mine = b.clock;
    struct store_mend older = {.upto = {.time = mine - 1, .tag = 0}}, newer = older;
    newer.upto.time = mine + 5;
    fresh_batch();
    struct store_write *w = add_write(STORE_SOURCE_MENDS, 0, "MS k theirs F3");
    w->mend = &older;
    w->stamp = mine - 1;
    w = add_write(STORE_SOURCE_MENDS, 0, "MS l theirs");
    w->mend = &newer;
    w->stamp = mine + 5;
    apply_batch();
    expect(0, STORE_STALE, HD);
    expect(1, STORE_APPLIED, HD);
    expect_value("k", "mine");
    expect_value("l", "theirs");
}
END_TEST

START_TEST(inspection)
{
    int before = b.reads;
    write_one(0, 1, "MS k abc", HD);
    store_inspect(b.reader, slice_str("k"), on_read, NULL);
    run_until(&b.reads, before + 1);
    char want[128];
    snprintf(want, sizeof want, "*5\r\n:1\r\n+value\r\n:3\r\n:%llu\r\n$16\r\n",
             (unsigned long long)b.clock);
    ck_assert_msg(strncmp((const char *)buf_head(&b.read), want, strlen(want)) == 0, "%s",
                  (const char *)buf_head(&b.read));
    store_inspect(b.reader, slice_str("no"), on_read, NULL);
    run_until(&b.reads, before + 2);
    ck_assert_str_eq((const char *)buf_head(&b.read),
                     "*5\r\n:0\r\n+none\r\n:0\r\n:0\r\n$0\r\n\r\n");
}
END_TEST

static void cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, commands_and_their_replies);
    tcase_add_test(c, keys_of_any_bytes);
    tcase_add_test(c, flags_that_are_none);
    tcase_add_test(c, old_never_beats_new);
    tcase_add_test(c, a_flush);
    tcase_add_test(c, a_large_batch);
    tcase_add_test(c, what_finds_no_room_holds_up_nothing);
    tcase_add_test(c, numbers_survive_a_kill);
    tcase_add_loop_test(c, what_was_on_its_way_is_counted, 0, 2); /* TCP, too */
    tcase_add_test(c, a_new_start_is_noticed);
    tcase_add_test(c, reads_while_it_is_away);
    tcase_add_test(c, one_that_is_no_memcached);
    tcase_add_test(c, replies_in_pieces);
    tcase_add_test(c, uniques);
    tcase_add_test(c, copies);
    tcase_add_test(c, mends);
    tcase_add_test(c, inspection);
}

int main(void)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null", server_program());
    if (system(command) != 0) {
        puts("skipped: memcached is missing");
        return 77;
    }
    return unit_main("memcached", cases);
}
