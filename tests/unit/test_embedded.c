/* The embedded store, through store.h: every command byte-equal to Redis 7.0, stamps, tombstones,
 * numbers over a kill, a full map, a failing disk. */
#include "config/config.h"
#include "core/clock.h"
#include "core/mem.h"
#include "records.h"
#include "store/embedded.h"
#include "store/internal.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB    (1024u * 1024)
#define FAR   "4000000000000" /* a lifetime that ends in the year 2096 */
#define NODES 3

struct bench {
    char dir[64];
    uv_loop_t loop;
    struct store *store;
    struct store_reader *reader;
    struct store_options options;
    int ups, downs, dones;
    struct buf reply; /* of the last read or write */
    uint64_t stamp;   /* of the last read */
    uint16_t tag;
    uint64_t clock; /* the next write's stamp, where a test doesn't say */
};
static struct bench b;

/* LMDB 0.9.24 doesn't free the list of spilled pages at the end of a transaction that writes nearly
 * 512 MB (its ITS#9155, mended in 0.9.25); the leak checker asks for this by name. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:mdb_midl_alloc\n";
}

/* In front of the C library's: how often the store, LMDB in it, asks the disk, and one that fails.
 */
static unsigned flushes;
static int disk_error;
int fdatasync(int fd)
{
    flushes++;
    if (disk_error) {
        errno = disk_error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- driving the store --------------------------------------------------------------------- */
static void on_up(void *arg)
{
    ((struct bench *)arg)->ups++;
}
static void on_down(void *arg, const char *reason)
{
    ck_assert(reason[0]);
    ((struct bench *)arg)->downs++;
}
static void on_done(void *arg, struct store_batch *batch)
{
    (void)batch;
    ((struct bench *)arg)->dones++;
}

static void open_store(void)
{
    static const struct store_events events = {on_up, on_down, on_done, &b};
    struct error e;
    b.store = store_open_embedded(&b.options, &e);
    ck_assert_msg(b.store != NULL, "%s", e.text);
    ck_assert(!store_is_up(b.store));
    store_writer_start(b.store, &b.loop, &events);
    ck_assert(store_is_up(b.store));
    b.reader = store_reader_new(b.store, &b.loop);
}

static void close_store(void)
{
    store_reader_free(b.reader);
    store_writer_stop(b.store);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    store_close(b.store);
}

static void reopen_store(void)
{
    close_store();
    open_store();
}

static void prepare(void)
{
    b = (struct bench){.dir = "/tmp/test_embedded.XXXXXX"};
    ck_assert(mkdtemp(b.dir) != NULL);
    b.options = (struct store_options){
        .data_dir = b.dir, .self_id = "self", .sync = SYNC_NEVER, .max_bytes = 64 * MB};
    b.clock = clock_wall_ms() << 16;
    uv_loop_init(&b.loop);
    rcu_start();
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    uv_loop_close(&b.loop);
    buf_fini(&b.reply);
    rcu_stop();
    nftw(b.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void setup(void)
{
    prepare();
    open_store();
}

static void teardown(void)
{
    close_store();
    clean_up();
}

/* A command as one types it, held until the next batch. */
struct line {
    struct resp_command cmd;
    struct buf text;
};

static void line_set(struct line *l, const char *text)
{
    struct resp_parser parser = {0};
    struct error e;
    *l = (struct line){{0}, BUF_INIT};
    buf_printf(&l->text, "%s\r\n", text);
    ck_assert(resp_request_parse(&parser, buf_head(&l->text), l->text.len, &l->cmd, &e) == RESP_OK);
    resp_parser_fini(&parser);
}

static void line_fini(struct line *l)
{
    resp_command_fini(&l->cmd);
    buf_fini(&l->text);
}

static void keep_reply(struct slice reply)
{
    buf_reset(&b.reply, SIZE_MAX);
    buf_add(&b.reply, reply.ptr, reply.len);
    buf_add(&b.reply, "", 1);
    b.reply.len--;
}

static const char *last_reply(void)
{
    return (const char *)buf_head(&b.reply);
}

/* `done` comes at once, or when a checkpoint has made room. */
static void apply(struct store_batch *batch)
{
    int before = b.dones;
    uint64_t end = clock_mono_ms() + 10000;
    store_apply(b.store, batch);
    while (b.dones == before && clock_mono_ms() < end)
        uv_run(&b.loop, UV_RUN_ONCE);
    ck_assert_int_eq(b.dones, before + 1);
}

static enum store_outcome write_of(unsigned source, const struct resp_command *cmd, uint64_t stamp,
                                   uint16_t tag)
{
    struct store_write w = {.source = source, .stamp = stamp, .tag = tag, .cmd = cmd};
    struct store_batch batch = {&w, 1, BUF_INIT};
    apply(&batch);
    keep_reply(w.reply);
    buf_fini(&batch.replies);
    return w.outcome;
}

static enum store_outcome write_cmd(const struct resp_command *cmd, uint64_t stamp, uint16_t tag)
{
    return write_of(0, cmd, stamp, tag);
}

/* A write of another node. */
static enum store_outcome write_from(unsigned source, const char *text, uint64_t stamp,
                                     uint16_t tag)
{
    struct line l;
    line_set(&l, text);
    enum store_outcome outcome = write_of(source, &l.cmd, stamp, tag);
    line_fini(&l);
    return outcome;
}

static enum store_outcome write_at(const char *text, uint64_t stamp, uint16_t tag)
{
    return write_from(0, text, stamp, tag);
}

static const char *write_now(const char *text)
{
    ck_assert_int_eq(write_at(text, b.clock++, 0), STORE_APPLIED);
    return last_reply();
}

static void on_read(void *arg, const struct store_read_reply *r)
{
    struct bench *bench = arg;
    ck_assert(r->ok);
    bench->stamp = r->stamp;
    bench->tag = r->tag;
    keep_reply(r->reply);
}

static const char *read_cmd(const struct resp_command *cmd)
{
    store_read(b.reader, NULL, cmd, on_read, &b);
    return last_reply();
}

static const char *read_now(const char *text)
{
    struct line l;
    line_set(&l, text);
    read_cmd(&l.cmd);
    line_fini(&l);
    return last_reply();
}

static const char *inspect(const char *key)
{
    store_inspect(b.reader, slice_str(key), on_read, &b);
    return last_reply();
}

/* Runs the loop, so that the sweeper gets its turns, until `done` says so; ten seconds at most. */
static void run_until(bool (*done)(void))
{
    uint64_t end = clock_mono_ms() + 10000;
    while (!done() && clock_mono_ms() < end)
        uv_run(&b.loop, UV_RUN_ONCE);
    ck_assert(done());
}

/* The sweeper has had its turns. */
static void run_for(unsigned ms)
{
    uint64_t end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end)
        uv_run(&b.loop, UV_RUN_ONCE);
}

static void command_of(struct resp_command *cmd, struct slice *argv, size_t argc)
{
    *cmd = (struct resp_command){.argv = argv, .argc = argc, .cap = argc};
}

static enum store_outcome set_bytes(struct slice key, struct slice value, uint64_t stamp)
{
    struct slice argv[] = {slice_str("SET"), key, value};
    struct resp_command cmd;
    command_of(&cmd, argv, 3);
    return write_cmd(&cmd, stamp, 0);
}

static const char *read_key(const char *name, struct slice key)
{
    struct slice argv[] = {slice_str(name), key};
    struct resp_command cmd;
    command_of(&cmd, argv, 2);
    return read_cmd(&cmd);
}

/* ---- commands ------------------------------------------------------------------------------ */
static size_t unescape(const char *text, char *out)
{
    size_t n = 0;
    for (; *text && *text != '\n'; text++) {
        if (*text != '\\') {
            out[n++] = *text;
            continue;
        }
        unsigned byte;
        switch (*++text) {
        case 'r':
            out[n++] = '\r';
            break;
        case 'n':
            out[n++] = '\n';
            break;
        case 'x':
            ck_assert_int_eq(sscanf(text + 1, "%2x", &byte), 1);
            out[n++] = (char)byte;
            text += 2;
            break;
        default:
            out[n++] = *text;
        }
    }
    return n;
}

static bool is_read(const struct resp_command *cmd)
{
    static const char *const reads[] = {"GET",        "MGET",        "STRLEN", "GETRANGE", "SUBSTR",
                                        "EXISTS",     "TOUCH",       "TYPE",   "TTL",      "PTTL",
                                        "EXPIRETIME", "PEXPIRETIME", "SCAN",   "DBSIZE"};
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        if (slice_is(cmd->argv[0], reads[i]))
            return true;
    return false;
}

START_TEST(commands_reply_as_redis_does)
{
    char path[512], line[1024], command[1024] = "", expected[1024];
    snprintf(path, sizeof path, "%s/string_commands.txt", getenv("TEST_VECTORS"));
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    int checked = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '>') {
            line[strcspn(line, "\n")] = '\0';
            strcpy(command, line + 2);
        }
        if (line[0] != '<')
            continue;
        struct line l;
        size_t n = unescape(line + 2, expected);
        line_set(&l, command);
        if (is_read(&l.cmd))
            read_cmd(&l.cmd);
        else
            ck_assert_int_eq(write_cmd(&l.cmd, b.clock++, 0), STORE_APPLIED);
        line_fini(&l);
        ck_assert_msg(b.reply.len == n && memcmp(last_reply(), expected, n) == 0,
                      "%s\nexpected %sfound    %s", command, line + 2, last_reply());
        checked++;
    }
    fclose(f);
    ck_assert_int_gt(checked, 250);
}
END_TEST

START_TEST(unknown_commands_are_refused)
{
    ck_assert_str_eq(write_now("LPUSH a b"), "-ERR the embedded store has no such command\r\n");
    ck_assert_str_eq(read_now("LRANGE a 0 1"), "-ERR the embedded store has no such command\r\n");
}
END_TEST

START_TEST(a_value_ends_at_512_mb)
{
    close_store();
    b.options.max_bytes = 2048ull * MB;
    open_store();
    ck_assert_str_eq(write_now("SETRANGE big 536870911 x"), ":536870912\r\n");
    ck_assert_str_eq(read_now("STRLEN big"), ":536870912\r\n");
    ck_assert_str_eq(read_now("GETRANGE big -2 -1"), "$2\r\n\0\r\n");
    ck_assert_int_eq(last_reply()[5], 'x');
    ck_assert_str_eq(write_now("APPEND big y"),
                     "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    ck_assert_str_eq(read_now("STRLEN big"), ":536870912\r\n");
}
END_TEST

/* ---- lifetimes ----------------------------------------------------------------------------- */
PRINTF_LIKE(1, 2) static char *printed(const char *fmt, ...)
{
    static char text[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return text;
}

START_TEST(a_lapsed_key_is_absent)
{
    long long past = (long long)(b.clock >> 16) - 1; /* by the stamps' clock and by the wall's */
    write_now(printed("SET k 5 PXAT %lld", past));
    ck_assert_str_eq(read_now("GET k"), "$-1\r\n");
    ck_assert_str_eq(read_now("MGET k"), "*1\r\n$-1\r\n");
    ck_assert_str_eq(read_now("EXISTS k"), ":0\r\n");
    ck_assert_str_eq(read_now("TTL k"), ":-2\r\n");
    ck_assert_str_eq(read_now("TYPE k"), "+none\r\n");
    ck_assert_str_eq(read_now("SCAN 0"), "*2\r\n$1\r\n0\r\n*0\r\n");
    ck_assert_str_eq(inspect("k"), printed("*5\r\n:0\r\n+none\r\n:0\r\n:%lld\r\n$0\r\n\r\n",
                                           (long long)(b.clock - 1)));
    ck_assert_str_eq(write_now("DEL k"), ":0\r\n");
    write_now(printed("SET k 5 PXAT %lld", past));
    ck_assert_str_eq(write_now("INCR k"), ":1\r\n");
    ck_assert_str_eq(read_now("TTL k"), ":-1\r\n");
    write_now(printed("SET k 5 PXAT %lld", past));
    ck_assert_str_eq(write_now("SET k 6 NX"), "+OK\r\n");
}
END_TEST

START_TEST(ttl_counts_down)
{
    int64_t left;
    write_now(printed("SET k 1 PXAT %lld", (long long)clock_wall_ms() + 100000));
    ck_assert(resp_reply_int(slice_str(read_now("PTTL k")), &left));
    ck_assert(left > 90000 && left <= 100000);
    ck_assert(resp_reply_int(slice_str(read_now("TTL k")), &left));
    ck_assert(left >= 90 && left <= 100);
}
END_TEST

static bool no_keys(void)
{
    return store_stats(b.store)->keys == 0;
}

static uint64_t stamp_of(const char *key)
{
    inspect(key);
    return b.stamp;
}

START_TEST(lapsed_keys_are_swept_to_tombstones)
{
    uint64_t at = b.clock;
    for (int i = 0; i < 600; i++) /* more than a slice */
        write_now(printed("SET key%d value PXAT 1", i));
    ck_assert_str_eq(read_now("DBSIZE"), ":600\r\n");
    run_until(no_keys);
    ck_assert_str_eq(read_now("DBSIZE"), ":0\r\n");
    ck_assert_uint_eq(store_stats(b.store)->bytes, 0);
    ck_assert_uint_eq(stamp_of("key0"), at);
    ck_assert_int_eq(write_at("SET key0 old", at - 1, 0), STORE_STALE);
    ck_assert_str_eq(read_now("GET key0"), "$-1\r\n");
}
END_TEST

static bool one_key(void)
{
    return store_stats(b.store)->keys == 1;
}

static bool some_are_swept(void)
{
    return store_stats(b.store)->keys < 600;
}

/* Batches wait for one slice at most. */
START_TEST(the_sweeper_takes_a_slice_at_a_time)
{
    for (int i = 0; i < 600; i++)
        write_now(printed("SET key%d value PXAT 1", i));
    run_until(some_are_swept);
    uint64_t left = store_stats(b.store)->keys; /* one turn of the loop may run the timer twice */
    ck_assert(left == 600 - 256 || left == 600 - 2 * 256);
    ck_assert_str_eq(read_now("MGET key0 key599"), "*2\r\n$-1\r\n$-1\r\n");
    ck_assert_str_eq(read_now("SCAN 0 COUNT 1000"), "*2\r\n$1\r\n0\r\n*0\r\n");
    write_now("SET key599 again");
    run_until(one_key);
    ck_assert_str_eq(read_now("GET key599"), "$5\r\nagain\r\n");
}
END_TEST

/* A change that was stamped in the life that is over doesn't start another one. */
START_TEST(a_late_change_dies_with_its_key)
{
    uint64_t born = 1000ull << 16, before = 1500ull << 16, after = 2500ull << 16;
    ck_assert_int_eq(write_at("SET early 5 PXAT 2000", born, 0), STORE_APPLIED);
    ck_assert_int_eq(write_at("SET late 5 PXAT 2000", born, 0), STORE_APPLIED);
    ck_assert_int_eq(write_at("INCR early", before, 0), STORE_APPLIED);
    ck_assert_str_eq(last_reply(), ":6\r\n");
    ck_assert_str_eq(read_now("GET early"), "$-1\r\n");
    reopen_store();
    run_until(no_keys);
    store_forget_below(b.store, before); /* such a change may still come */
    run_for(600);
    ck_assert_int_eq(write_at("INCR late", before, 0), STORE_STALE);
    ck_assert_str_eq(read_now("GET late"), "$-1\r\n");
    ck_assert_int_eq(write_at("INCR late", after, 0), STORE_APPLIED);
    ck_assert_str_eq(read_now("GET late"), "$1\r\n1\r\n");
    ck_assert_uint_eq(store_stats(b.store)->stale_dropped, 1);
}
END_TEST

static bool tombstone_gone(void)
{
    return stamp_of("k") == 0;
}

static bool in_lmdb(void)
{
    const struct embedded *s = container_of_(b.store, struct embedded, base);
    return !s->frozen && (!s->active || memtable_is_empty(s->active));
}

static uint64_t unguarded(void)
{
    return store_stats(b.store)->unguarded;
}

/* Whether it lies in the log or in LMDB when what it guards against can't come any more. */
static void check_tombstone(bool (*before)(void))
{
    uint64_t stamp = b.clock;
    write_at("SET other 1", stamp, 1);
    write_at("DEL k", stamp, 1);
    if (before)
        run_until(before);
    store_forget_below(b.store, stamp); /* one that is as new may come, and is older by its tag */
    run_for(600);
    ck_assert_uint_eq(stamp_of("k"), stamp);
    ck_assert_int_eq(write_from(1, "SET k 1", stamp, 0), STORE_STALE);
    ck_assert_uint_eq(unguarded(), 0);
    store_forget_below(b.store, stamp + (1u << 16));
    store_forget_below(b.store, stamp);
    run_until(tombstone_gone);
    ck_assert_int_eq(write_from(1, "SET k 1", stamp + 1, 0), STORE_APPLIED);
    ck_assert_uint_eq(unguarded(), 0); /* it came in time */
    ck_assert_int_eq(write_from(1, "SET other 2", stamp - 1, 0), STORE_STALE);
    ck_assert_uint_eq(unguarded(), 0); /* a key that is there guards itself */
    ck_assert_int_eq(write_from(1, "SET new 1", stamp - 1, 0), STORE_APPLIED);
    ck_assert_uint_eq(unguarded(), 1);
    ck_assert_int_eq(write_at("SET newer 1", stamp - 1, 0), STORE_APPLIED);
    ck_assert_uint_eq(unguarded(), 1); /* a client's, not a late one */
    reopen_store();
    ck_assert_int_eq(write_from(1, "SET newest 1", stamp - 1, 0), STORE_APPLIED);
    ck_assert_uint_eq(unguarded(), 1); /* it knows that over a restart */
}

START_TEST(tombstones_go_when_nothing_older_can_come)
{
    check_tombstone(in_lmdb);
}
END_TEST

START_TEST(tombstones_go_before_they_are_in_lmdb)
{
    check_tombstone(NULL);
}
END_TEST

static bool is_forgotten(void)
{
    return stamp_of("key0") == 0;
}

/* What lapses when nothing older can come any more leaves nothing behind. */
START_TEST(lapsed_keys_leave_no_tombstones_behind_the_watermark)
{
    for (int i = 0; i < 600; i++)
        write_now(printed("SET key%d value PXAT 1", i));
    store_forget_below(b.store, b.clock + (1u << 16));
    run_until(no_keys);
    run_until(is_forgotten);
    reopen_store();
    ck_assert_uint_eq(stamp_of("key0"), 0);
    ck_assert_uint_eq(stamp_of("key599"), 0);
}
END_TEST

/* A tombstone that an earlier version wrote has the time of its age in the index. */
START_TEST(tombstones_of_an_older_file_go_by_age)
{
    struct embedded *s = container_of_(b.store, struct embedded, base);
    struct embedded_change c;
    struct record_key key;
    record_key_make(slice_str("k"), &key);
    struct record r = {.type = RECORD_TOMBSTONE,
                       .overwrite = {b.clock, 0},
                       .newest = {b.clock, 0},
                       .sweep = clock_wall_ms() + 300};
    write_at("SET other 1", b.clock, 0);
    embedded_change_begin(s, &c);
    ck_assert_int_eq(embedded_put(&c, &key, NULL, &r), 0);
    ck_assert_int_eq(embedded_change_commit(&c), 0);
    ck_assert_uint_eq(stamp_of("k"), b.clock);
    run_until(tombstone_gone);
    ck_assert_uint_ge(clock_wall_ms(), r.sweep);
}
END_TEST

/* ---- stamps -------------------------------------------------------------------------------- */
START_TEST(an_older_write_is_dropped)
{
    ck_assert_int_eq(write_at("SET k new", 100, 5), STORE_APPLIED);
    ck_assert_int_eq(write_at("SET k old", 99, 9), STORE_STALE);
    ck_assert_str_eq(last_reply(), "+OK\r\n");
    ck_assert_int_eq(write_at("SET k old", 100, 4), STORE_STALE);
    ck_assert_int_eq(write_at("APPEND k old", 99, 0), STORE_STALE);
    ck_assert_int_eq(write_at("DEL k", 99, 0), STORE_STALE);
    ck_assert_str_eq(read_now("GET k"), "$3\r\nnew\r\n");
    ck_assert_uint_eq(b.stamp, 100);
    ck_assert_uint_eq(b.tag, 5);
    ck_assert_uint_eq(store_stats(b.store)->stale_dropped, 4);
    ck_assert_int_eq(write_at("SET k same", 100, 5), STORE_APPLIED);
    ck_assert_int_eq(write_at("SET k newer", 100, 6), STORE_APPLIED);
}
END_TEST

START_TEST(changes_commute)
{
    ck_assert_int_eq(write_at("INCRBY n 1", 300, 0), STORE_APPLIED);
    ck_assert_int_eq(write_at("INCRBY n 2", 100, 0), STORE_APPLIED);
    ck_assert_int_eq(write_at("INCRBY n 4", 200, 0), STORE_APPLIED);
    ck_assert_str_eq(read_now("GET n"), "$1\r\n7\r\n");
    ck_assert_uint_eq(b.stamp, 300);
    ck_assert_int_eq(write_at("SET n 10", 250, 0), STORE_APPLIED); /* newer than any overwrite */
    ck_assert_str_eq(read_now("GET n"), "$2\r\n10\r\n");
    ck_assert_uint_eq(b.stamp, 300);
}
END_TEST

START_TEST(a_delete_of_nothing_is_remembered)
{
    ck_assert_int_eq(write_at("DEL k", 100, 1), STORE_APPLIED);
    ck_assert_str_eq(last_reply(), ":0\r\n");
    ck_assert_str_eq(read_now("GET k"), "$-1\r\n");
    ck_assert_uint_eq(b.stamp, 100);
    ck_assert_int_eq(write_at("SET k 1", 99, 2), STORE_STALE);
    ck_assert_int_eq(write_at("INCR k", 99, 2), STORE_STALE);
    ck_assert_str_eq(read_now("GET k"), "$-1\r\n");
    ck_assert_int_eq(write_at("GETDEL g", 100, 1), STORE_APPLIED);
    ck_assert_int_eq(write_at("SET g 1", 99, 2), STORE_STALE);
}
END_TEST

/* A command of many keys is judged key by key. */
START_TEST(many_keys_are_judged_one_by_one)
{
    write_at("SET a new", 100, 0);
    ck_assert_int_eq(write_at("MSET a 1 b 1", 50, 0), STORE_APPLIED);
    ck_assert_str_eq(read_now("MGET a b"), "*2\r\n$3\r\nnew\r\n$1\r\n1\r\n");
    ck_assert_int_eq(write_at("MSET a 2 b 2", 40, 0), STORE_STALE);
    ck_assert_str_eq(last_reply(), "+OK\r\n");
    ck_assert_uint_eq(store_stats(b.store)->stale_dropped, 3);
}
END_TEST

struct stamped {
    const char *verb, *rest; /* the key between them */
    uint64_t stamp;
    uint16_t tag;
};
static const struct stamped orders[][4] = {
    {{"SET", " a", 1, 0}, {"SET", " b PXAT " FAR, 2, 0}, {"DEL", "", 3, 0}, {"SET", " d", 4, 0}},
    {{"SET", " a", 1, 0}, {"DEL", "", 2, 0}, {"SET", " c", 3, 0}, {"SET", " d PXAT " FAR, 4, 0}},
    {{"SET", " a", 1, 0}, {"SET", " b", 2, 0}, {"SET", " c PXAT " FAR, 3, 0}, {"DEL", "", 4, 0}},
    {{"SET", " a PXAT 1", 1, 0},
     {"DEL", "", 1, 1},
     {"SET", " c", 1, 2},
     {"SET", " d PXAT 1", 1, 3}},
    {{"SET", " a", 9, 3}, {"GETSET", " b", 9, 1}, {"MSET", " c", 9, 2}, {"UNLINK", "", 8, 9}},
};

static void permute(const struct stamped *writes, const unsigned *order, const char *key)
{
    for (size_t i = 0; i < 4; i++) {
        const struct stamped *w = &writes[order[i]];
        enum store_outcome outcome =
            write_at(printed("%s %s%s", w->verb, key, w->rest), w->stamp, w->tag);
        ck_assert(outcome == STORE_APPLIED || outcome == STORE_STALE);
    }
}

START_TEST(any_order_ends_in_the_same_record)
{
    char first[256] = "";
    uint16_t tag = 0;
    for (unsigned i = 0; i < 256; i++) {
        unsigned order[4] = {i & 3, i >> 2 & 3, i >> 4 & 3, i >> 6};
        unsigned seen = 1u << order[0] | 1u << order[1] | 1u << order[2] | 1u << order[3];
        if (seen != 15)
            continue;
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        permute(orders[_i], order, key);
        inspect(key);
        if (!first[0]) {
            snprintf(first, sizeof first, "%s", last_reply());
            tag = b.tag;
        }
        ck_assert_str_eq(last_reply(), first);
        ck_assert_uint_eq(b.tag, tag);
    }
    ck_assert(first[0]);
}
END_TEST

/* ---- keys ---------------------------------------------------------------------------------- */
START_TEST(long_keys)
{
    static const size_t lengths[] = {0, 1, 493, 494, 495, 511, 512, 70000};
    static uint8_t bytes[70000];
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        ck_assert_int_eq(set_bytes(slice_of(bytes, lengths[i]), slice_of(&"01234567"[i], 1), 100),
                         STORE_APPLIED);
    reopen_store();
    ck_assert_uint_eq(store_stats(b.store)->keys, ARRAY_LEN(lengths));
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        const char expected[] = {'$', '1', '\r', '\n', (char)('0' + i), '\r', '\n', 0};
        ck_assert_str_eq(read_key("GET", slice_of(bytes, lengths[i])), expected);
        char head[32];
        snprintf(head, sizeof head, "\r\n$%zu\r\nxxx", lengths[i]);
        read_now("SCAN 0");
        ck_assert(lengths[i] < 3 || strstr(last_reply(), head));
        ck_assert_int_eq(set_bytes(slice_of(bytes, lengths[i]), slice_str("old"), 99), STORE_STALE);
    }
    struct slice argv[] = {slice_str("PEXPIREAT"), slice_of(bytes, 70000), slice_str("1")};
    struct resp_command cmd;
    command_of(&cmd, argv, 3);
    write_cmd(&cmd, 101, 0);
    argv[1] = slice_of(bytes, 494);
    write_cmd(&cmd, 101, 0);
    ck_assert_str_eq(read_key("EXISTS", slice_of(bytes, 70000)), ":0\r\n");
    ck_assert_str_eq(read_key("EXISTS", slice_of(bytes, 494)), ":0\r\n");
}
END_TEST

/* Longer than an LMDB key, and the same up to there and far beyond. */
START_TEST(long_keys_that_begin_alike)
{
    static const size_t lengths[] = {512, 600, MB};
    static uint8_t one[MB], other[MB];
    memset(one, 'k', sizeof one);
    memset(other, 'k', sizeof other);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        size_t n = lengths[i];
        other[n - 1] = 'l';
        set_bytes(slice_of(one, n), slice_str("one"), b.clock++);
        set_bytes(slice_of(other, n), slice_str("other"), b.clock++);
        ck_assert_str_eq(read_key("GET", slice_of(one, n)), "$3\r\none\r\n");
        ck_assert_str_eq(read_key("GET", slice_of(other, n)), "$5\r\nother\r\n");
        struct slice argv[] = {slice_str("DEL"), slice_of(one, n)};
        struct resp_command cmd;
        command_of(&cmd, argv, 2);
        write_cmd(&cmd, b.clock++, 0);
        ck_assert_str_eq(last_reply(), ":1\r\n");
        ck_assert_str_eq(read_key("GET", slice_of(one, n)), "$-1\r\n");
        ck_assert_str_eq(read_key("GET", slice_of(other, n)), "$5\r\nother\r\n");
        other[n - 1] = 'k';
    }
    ck_assert_uint_eq(store_stats(b.store)->keys, ARRAY_LEN(lengths));
}
END_TEST

START_TEST(a_long_key_is_swept)
{
    static uint8_t bytes[3000];
    memset(bytes, 'x', sizeof bytes);
    struct slice key = slice_of(bytes, sizeof bytes);
    struct slice argv[] = {slice_str("SET"), key, slice_str("v"), slice_str("PXAT"),
                           slice_str("1")};
    struct resp_command cmd;
    command_of(&cmd, argv, 5);
    uint64_t stamp = b.clock++;
    ck_assert_int_eq(write_cmd(&cmd, stamp, 0), STORE_APPLIED);
    write_now("SET stays 1");
    run_until(one_key);
    ck_assert_int_eq(set_bytes(key, slice_str("old"), stamp - 1), STORE_STALE);
    ck_assert_int_eq(set_bytes(key, slice_str("new"), stamp + 1), STORE_APPLIED);
    ck_assert_str_eq(read_key("GET", key), "$3\r\nnew\r\n");
    ck_assert_str_eq(read_now("DBSIZE"), ":2\r\n");
}
END_TEST

/* Notes the keys of one SCAN reply in `seen`; returns the next cursor. */
static unsigned long long note_scan(unsigned char *seen, size_t n, size_t *total)
{
    const char *p = last_reply();
    unsigned long long cursor;
    unsigned keys, id;
    int used;
    ck_assert_int_eq(sscanf(p, "*2\r\n$%*d\r\n%llu\r\n*%u\r\n%n", &cursor, &keys, &used), 2);
    for (p += used; keys > 0; keys--) {
        ck_assert_int_eq(sscanf(p, "$%*d\r\nkey%u\r\n%n", &id, &used), 1);
        p += used;
        if (id < n)
            seen[id]++;
        ++*total;
    }
    return cursor;
}

START_TEST(scan_misses_nothing_that_stays)
{
    static unsigned char seen[2000];
    unsigned long long cursor = 0;
    size_t total = 0, calls = 0;
    int coming = 5000;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 3000; i++)
        write_now(printed("SET key%d v", i));
    do {
        char text[64];
        size_t before = total;
        snprintf(text, sizeof text, "SCAN %llu COUNT 7", cursor);
        read_now(text);
        cursor = note_scan(seen, sizeof seen, &total);
        ck_assert_uint_le(total - before, 7);
        write_now(printed("SET key%d v", coming));
        write_now(printed("DEL key%d", coming - 3000));
        coming++;
        calls++;
    } while (cursor != 0 && calls < 5000);
    for (size_t i = 0; i < sizeof seen; i++)
        ck_assert_msg(seen[i] == 1, "key%zu was told %u times", i, seen[i]);
    ck_assert_uint_ge(calls, 2000 / 7);
}
END_TEST

START_TEST(dbsize_counts_what_lives)
{
    write_now("MSET a 1 b 22 c 333");
    ck_assert_str_eq(read_now("DBSIZE"), ":3\r\n");
    ck_assert_uint_eq(store_stats(b.store)->bytes, 3 + 6);
    write_now("SET a 4444");
    write_now("DEL b nothing");
    write_now("APPEND c 4");
    ck_assert_str_eq(read_now("DBSIZE"), ":2\r\n");
    ck_assert_uint_eq(store_stats(b.store)->bytes, 2 + 8);
    reopen_store();
    ck_assert_str_eq(read_now("DBSIZE"), ":2\r\n");
    ck_assert_uint_eq(store_stats(b.store)->bytes, 2 + 8);
}
END_TEST

/* ---- flushes ---------------------------------------------------------------------------------
 */

static enum store_outcome flush_at(uint64_t stamp, uint16_t tag)
{
    struct line l;
    line_set(&l, "FLUSHALL");
    struct store_write w = {
        .stamp = stamp, .tag = tag, .spec = command_find(l.cmd.argv[0]), .cmd = &l.cmd};
    struct store_batch batch = {&w, 1, BUF_INIT};
    apply(&batch);
    keep_reply(w.reply);
    ck_assert_str_eq(last_reply(), "+OK\r\n");
    buf_fini(&batch.replies);
    line_fini(&l);
    return w.outcome;
}

static void expect_value(const char *key, const char *reply)
{
    ck_assert_msg(strcmp(read_now(printed("GET %s", key)), reply) == 0, "%s: %s", key,
                  last_reply());
}

/* As a DEL of every key with its stamp would: also of those that come later and are older. */
static void check_flushed(uint64_t at)
{
    expect_value("older", "$-1\r\n");
    ck_assert_uint_eq(b.stamp, at);
    expect_value("counted", "$-1\r\n"); /* only changed since: the flush was its last overwrite */
    expect_value("newer", "$1\r\n3\r\n");
    ck_assert_str_eq(read_now("SCAN 0"), "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nnewer\r\n");
    ck_assert_str_eq(read_now("RANDOMKEY"), "$5\r\nnewer\r\n");
    ck_assert_str_eq(read_now("EXISTS older newer"), ":1\r\n");
    ck_assert_int_eq(write_from(1, "SET older 2", at - 1, 9), STORE_STALE);
    ck_assert_int_eq(write_from(1, "INCR other", at - 1, 9), STORE_STALE);
    ck_assert_int_eq(write_from(1, "SET tie 1", at, 0), STORE_STALE);
    ck_assert_int_eq(flush_at(at - 1, 9), STORE_STALE);
    inspect("older");
    ck_assert_uint_eq(b.stamp, at);
}

static bool is_purged(void)
{
    const struct embedded *s = container_of_(b.store, struct embedded, base);
    return s->totals.keys == store_stats(b.store)->keys && !embedded_wants_purge(s) &&
           s->purged == s->flush->at.time;
}

START_TEST(a_flush_is_an_overwrite_of_every_key)
{
    uint64_t at = b.clock + 100;
    write_at("SET older 1", at - 10, 0);
    write_at("INCR counted", at - 9, 0);
    write_at("INCR counted", at + 5, 0);
    write_at("SET newer 3", at + 6, 0);
    if (_i == 1)
        run_until(in_lmdb);
    ck_assert_int_eq(flush_at(at, 1), STORE_APPLIED);
    check_flushed(at);
    reopen_store();
    check_flushed(at);
    run_until(is_purged);
    ck_assert_uint_eq(store_stats(b.store)->keys, 1);
    ck_assert_uint_eq(store_stats(b.store)->bytes, 6);
    check_flushed(at);
    write_at("INCR counted", at + 7, 0);
    write_at("INCR older", at + 8, 0);
    expect_value("counted", "$1\r\n1\r\n");
    expect_value("older", "$1\r\n1\r\n");
    reopen_store();
    expect_value("counted", "$1\r\n1\r\n");
    ck_assert_int_eq(flush_at(at, 1), STORE_APPLIED); /* the same once more does nothing */
    expect_value("counted", "$1\r\n1\r\n");
    ck_assert_str_eq(read_now("DBSIZE"), ":3\r\n");
}
END_TEST

/* In one batch with what stands around it, and at once, however much there is. */
START_TEST(a_flush_takes_no_time)
{
    for (int i = 0; i < 3000; i++)
        write_now(printed("SET key%d %d", i, i));
    if (_i == 1)
        run_until(in_lmdb);
    ck_assert_int_eq(flush_at(b.clock++, 0), STORE_APPLIED);
    ck_assert_str_eq(read_now("DBSIZE"), ":0\r\n");
    ck_assert_uint_eq(store_stats(b.store)->bytes, 0);
    ck_assert_str_eq(read_now("RANDOMKEY"), "$-1\r\n");
    write_now("SET key7 1");
    write_now("APPEND key8 x");
    write_now("DEL key9");
    ck_assert_str_eq(read_now("DBSIZE"), ":2\r\n");
    run_until(is_purged);
    ck_assert_str_eq(read_now("DBSIZE"), ":2\r\n");
    expect_value("key8", "$1\r\nx\r\n");
    reopen_store();
    ck_assert_str_eq(read_now("DBSIZE"), ":2\r\n");
    ck_assert_int_eq(flush_at(b.clock++, 0), STORE_APPLIED);
    ck_assert_str_eq(read_now("DBSIZE"), ":0\r\n");
    run_until(is_purged);
    ck_assert_str_eq(read_now("SCAN 0"), "*2\r\n$1\r\n0\r\n*0\r\n");
}
END_TEST

START_TEST(inspect_tells_copies_apart)
{
    char one[256];
    write_at("SET k value", 7, 3);
    ck_assert_int_eq(strncmp(inspect("k"), "*5\r\n:1\r\n+string\r\n:5\r\n:7\r\n$16\r\n", 30), 0);
    ck_assert_uint_eq(b.tag, 3);
    snprintf(one, sizeof one, "%s", last_reply());
    write_at("SET same value", 7, 3);
    ck_assert_str_eq(inspect("same"), one);
    write_at("SET other value PXAT " FAR, 7, 3);
    ck_assert_str_ne(inspect("other"), one);
    write_at("SET other valuf", 7, 3);
    ck_assert_str_ne(inspect("other"), one);
    ck_assert_str_eq(inspect("none"), "*5\r\n:0\r\n+none\r\n:0\r\n:0\r\n$0\r\n\r\n");
}
END_TEST

/* ---- reads --------------------------------------------------------------------------------- */
static void read_within(void *arg, const struct store_read_reply *r)
{
    struct slice outer = r->reply;
    ck_assert(slice_eq(outer, slice_str("$1\r\n1\r\n")));
    read_now("GET b");
    ck_assert_str_eq(last_reply(), "$1\r\n2\r\n");
    ck_assert(slice_eq(outer, slice_str("$1\r\n1\r\n")));
    ++*(int *)arg;
}

START_TEST(a_reply_survives_a_read_within_its_callback)
{
    int called = 0;
    struct line l;
    write_now("MSET a 1 b 2");
    line_set(&l, "GET a");
    store_read(b.reader, NULL, &l.cmd, read_within, &called);
    line_fini(&l);
    ck_assert_int_eq(called, 1);
}
END_TEST

/* ---- batches and numbers ------------------------------------------------------------------- */
struct batch {
    struct line lines[8];
    struct store_write writes[8];
    struct store_batch batch;
};

static void batch_add(struct batch *x, const char *text, unsigned source, uint64_t seq)
{
    size_t i = x->batch.n++;
    struct store_write *w = &x->writes[i];
    *w = (struct store_write){.source = source, .seq = seq, .stamp = b.clock++, .skip = !text};
    line_set(&x->lines[i], text ? text : "PING");
    w->cmd = text ? &x->lines[i].cmd : NULL;
    x->batch.writes = x->writes;
}

static void batch_fini(struct batch *x)
{
    for (size_t i = 0; i < x->batch.n; i++)
        line_fini(&x->lines[i]);
    buf_fini(&x->batch.replies);
}

static void assert_reply(const struct batch *x, size_t i, const char *expected)
{
    ck_assert_msg(slice_eq(x->writes[i].reply, slice_str(expected)), "%.*s",
                  (int)x->writes[i].reply.len, (const char *)x->writes[i].reply.ptr);
}

static void know_sources(void)
{
    static const char *const ids[] = {"self", "node-one", "node-two"};
    for (unsigned i = 0; i < NODES; i++)
        store_last(b.store, i, ids[i]);
}

START_TEST(numbers_survive)
{
    struct batch x = {0};
    know_sources();
    ck_assert_uint_eq(store_last(b.store, 1, "node-one"), 0);
    batch_add(&x, "INCR n", 1, 41);
    batch_add(&x, "INCR n", 2, 7);
    batch_add(&x, "INCR n", 0, 0);
    batch_add(&x, "INCR n", 1, 42);
    batch_add(&x, NULL, 2, 1000);
    apply(&x.batch);
    assert_reply(&x, 0, ":1\r\n");
    assert_reply(&x, 3, ":4\r\n");
    assert_reply(&x, 4, "");
    batch_fini(&x);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(store_last(b.store, 1, "node-one"), 42);
        ck_assert_uint_eq(store_last(b.store, 2, "node-two"), 1000);
        ck_assert_uint_eq(store_last(b.store, 0, "self"), 0);
        reopen_store();
    }
    ck_assert_uint_eq(store_last(b.store, 7, "node-one"), 42); /* the id counts, not the place */
}
END_TEST

/* ---- clients' transactions ----------------------------------------------------------------- */

static enum store_outcome run_record(const struct tx_record *r, unsigned source, uint64_t seq,
                                     uint64_t stamp)
{
    struct store_write w = {.source = source,
                            .seq = seq,
                            .stamp = stamp,
                            .spec = command_find(slice_str("TRANSACTION")),
                            .cmd = &r->cmd};
    struct store_batch batch = {&w, 1, BUF_INIT};
    apply(&batch);
    keep_reply(w.reply);
    buf_fini(&batch.replies);
    return w.outcome;
}

static enum store_outcome run_lines(const char *keys, const char *const *lines, uint64_t stamp)
{
    struct tx_record r;
    tx_record_make(&r, slice_of("", 0), keys, lines);
    enum store_outcome outcome = run_record(&r, 1, stamp, stamp);
    tx_record_unmake(&r);
    return outcome;
}

START_TEST(a_transaction_is_one_write)
{
    know_sources();
    ck_assert_int_eq(run_lines("a b n",
                               LINES("SET a 1", "APPEND a 2", "GET b", "INCR a", "NOSUCH b"),
                               b.clock++),
                     STORE_APPLIED);
    ck_assert_str_eq(last_reply(), "*5\r\n+OK\r\n:2\r\n$-1\r\n:13\r\n"
                                   "-ERR the embedded store has no such command\r\n");
    ck_assert_uint_eq(store_last(b.store, 1, "node-one"), b.clock - 1);
    reopen_store();
    ck_assert_str_eq(read_now("GET a"), "$2\r\n13\r\n");
    ck_assert_uint_eq(store_last(b.store, 1, "node-one"), b.clock - 1);
}
END_TEST

START_TEST(commands_of_a_transaction_are_judged_one_by_one)
{
    know_sources();
    ck_assert_int_eq(write_at("SET a newer", b.clock + 100, 0), STORE_APPLIED);
    ck_assert_int_eq(run_lines("a b", LINES("SET a older", "SET b x", "APPEND a y"), b.clock),
                     STORE_APPLIED);
    ck_assert_str_eq(read_now("GET a"), "$5\r\nnewer\r\n");
    ck_assert_str_eq(read_now("GET b"), "$1\r\nx\r\n");
    ck_assert_uint_eq(store_stats(b.store)->stale_dropped, 2);
}
END_TEST

START_TEST(a_transaction_that_finds_no_room_does_nothing)
{
    static char large[8 * MB];
    struct tx_record r;
    know_sources();
    write_now("SET small 1");
    memset(large, 'x', sizeof large - 1);
    memcpy(large, "SET large ", 10);
    tx_record_make(&r, slice_of("", 0), "small large", LINES("INCR small", large));
    int taken = 0;
    while (run_record(&r, 0, 0, b.clock++) == STORE_APPLIED && ++taken < 100) {
        tx_record_unmake(&r);
        large[4] = (char)('a' + taken % 26); /* another key */
        char keys[] = "small large";
        keys[6] = large[4];
        tx_record_make(&r, slice_of("", 0), keys, LINES("INCR small", large));
    }
    tx_record_unmake(&r);
    ck_assert_int_gt(taken, 1);
    ck_assert_int_lt(taken, 100);
    ck_assert_ptr_eq(strstr(last_reply(), "-OOM"), last_reply());
    char expected[32];
    int n = snprintf(NULL, 0, "%d", taken + 1);
    snprintf(expected, sizeof expected, "$%d\r\n%d\r\n", n, taken + 1);
    ck_assert_str_eq(read_now("GET small"), expected);
}
END_TEST

/* Each change of a large value writes all of it: what a transaction comes to is bounded, or one of
 * a peer would stop at a log that can't be made, with all that is behind it. */
START_TEST(a_transaction_that_writes_too_much_does_nothing)
{
    enum { VALUE = 8 * 1024 * 1024, CHANGES = 600 };
    struct slice keys[1] = {slice_str("large")}, *commands = mem_calloc(CHANGES, sizeof *commands);
    struct buf append = BUF_INIT, record = BUF_INIT;
    struct resp_command cmd = {0};
    char *set = mem_printf("SET large %0*d", VALUE, 0);
    b.options.max_bytes = 256 * MB;
    reopen_store();
    know_sources();
    ck_assert_int_eq(run_lines("large", LINES(set), b.clock++), STORE_APPLIED);
    resp_add_command(&append,
                     (struct slice[]){slice_str("APPEND"), slice_str("large"), slice_str("1")}, 3);
    for (int i = 0; i < CHANGES; i++)
        commands[i] = buf_slice(&append);
    transaction_add(&record, slice_of("", 0), keys, 1, commands, CHANGES);
    ck_assert(resp_command_parse(buf_slice(&record), &cmd));
    struct tx_record r = {.cmd = cmd};
    ck_assert_int_eq(run_record(&r, 1, 77, b.clock++), STORE_APPLIED);
    ck_assert_msg(strncmp(last_reply(), "-ERR ", 5) == 0, "%s", last_reply());
    ck_assert_uint_eq(store_last(b.store, 1, "node-one"), 77);
    ck_assert_str_eq(read_now("STRLEN large"), ":8388608\r\n");
    ck_assert_int_eq(run_lines("small", LINES("SET small 1"), b.clock++), STORE_APPLIED);
    resp_command_fini(&cmd);
    buf_fini(&record);
    buf_fini(&append);
    mem_free(commands);
    mem_free(set);
}
END_TEST

static struct slice version_of(const char *question, uint8_t out[TRANSACTION_VERSION])
{
    struct line l;
    struct slice version;
    line_set(&l, question);
    store_read(b.reader, command_find(slice_str("VERSIONS")), &l.cmd, on_read, &b);
    line_fini(&l);
    ck_assert_int_eq(strncmp(last_reply(), "*1\r\n", 4), 0);
    ck_assert(resp_reply_bulk(slice_of(last_reply() + 4, b.reply.len - 4), &version));
    ck_assert_uint_eq(version.len, TRANSACTION_VERSION);
    memcpy(out, version.ptr, version.len);
    return slice_of(out, TRANSACTION_VERSION);
}

static void run_watched(struct slice version, const char *expected)
{
    struct tx_record r;
    tx_record_make(&r, version, "a", LINES("APPEND a x"));
    ck_assert_int_eq(run_record(&r, 0, 0, b.clock++), STORE_APPLIED);
    ck_assert_str_eq(last_reply(), expected);
    tx_record_unmake(&r);
}

START_TEST(what_is_watched_must_be_as_it_was)
{
    static const char *const changes[] = {"SET a 2", "APPEND a y", "SET a 1", "DEL a",
                                          "PEXPIREAT a " FAR};
    uint8_t bytes[TRANSACTION_VERSION];
    know_sources();
    run_watched(version_of("VERSIONS a", bytes), "*1\r\n:1\r\n"); /* no such key */
    run_watched(slice_of(bytes, sizeof bytes), "*-1\r\n");
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        write_now("SET a 1");
        struct slice version = version_of("VERSIONS a", bytes);
        write_now("SET b 1");
        run_watched(version, "*1\r\n:2\r\n");
        version = version_of("VERSIONS a", bytes);
        write_now(changes[i]);
        run_watched(version, "*-1\r\n");
    }
    char lapses[64];
    snprintf(lapses, sizeof lapses, "SET a 1 PXAT %llu", (unsigned long long)clock_wall_ms() + 30);
    write_now(lapses);
    struct slice version = version_of("VERSIONS a", bytes);
    run_for(50);
    run_watched(version, "*-1\r\n");
}
END_TEST

/* An older write that comes late changes the value, and not the newest stamp. */
START_TEST(a_late_change_breaks_a_watch)
{
    uint8_t bytes[TRANSACTION_VERSION];
    know_sources();
    ck_assert_int_eq(write_at("INCR a", b.clock + 100, 0), STORE_APPLIED);
    struct slice version = version_of("VERSIONS a", bytes);
    ck_assert_int_eq(write_at("INCR a", b.clock, 0), STORE_APPLIED);
    run_watched(version, "*-1\r\n");
}
END_TEST

static unsigned together_reads; /* atomic */
static bool together_over;      /* atomic */

static void check_together(void *arg, const struct store_read_reply *r)
{
    const char *first = (const char *)r->reply.ptr + 4;
    size_t one = (r->reply.len - 4) / 2;
    (void)arg;
    ck_assert(r->ok);
    ck_assert_msg(memcmp(first, first + one, one) == 0, "torn: %.*s", (int)r->reply.len,
                  (const char *)r->reply.ptr);
    __atomic_add_fetch(&together_reads, 1, __ATOMIC_RELAXED);
}

static void *read_all_the_time(void *arg)
{
    struct tx_record r;
    uv_loop_t loop;
    rcu_thread_register();
    uv_loop_init(&loop);
    struct store_reader *reader = store_reader_new(b.store, &loop);
    tx_record_make(&r, slice_of("", 0), "together1 together2",
                   LINES("GET together1", "GET together2"));
    while (!__atomic_load_n(&together_over, __ATOMIC_RELAXED))
        store_read(reader, command_find(slice_str("TRANSACTION")), &r.cmd, check_together, NULL);
    tx_record_unmake(&r);
    store_reader_free(reader);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    rcu_thread_unregister();
    return arg;
}

/* For a short time, but until the reader has had some of it. */
START_TEST(reads_of_a_transaction_see_all_of_another_or_nothing)
{
    pthread_t thread;
    know_sources();
    together_reads = 0;
    together_over = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, read_all_the_time, NULL), 0);
    uint64_t end = clock_mono_ms() + 400, limit = end + 10000;
    for (int i = 0;
         clock_mono_ms() < end ||
         (__atomic_load_n(&together_reads, __ATOMIC_RELAXED) < 1000 && clock_mono_ms() < limit);
         i++) {
        char one[40], two[40];
        snprintf(one, sizeof one, "SET together1 %06d", i % 1000000);
        snprintf(two, sizeof two, "SET together2 %06d", i % 1000000);
        ck_assert_int_eq(run_lines("together1 together2", LINES(one, two), b.clock++),
                         STORE_APPLIED);
    }
    __atomic_store_n(&together_over, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    ck_assert_uint_ge(together_reads, 1000);
}
END_TEST

/* Eleven times the same. */
static void check_whole_flush(void *arg, const struct store_read_reply *r)
{
    size_t each = (r->reply.len - strlen("*11\r\n")) / 11;
    (void)arg;
    ck_assert(r->ok);
    ck_assert_msg(each * 11 + strlen("*11\r\n") == r->reply.len &&
                      (each == strlen("$1\r\n1\r\n") || each == strlen("$-1\r\n")),
                  "torn: %.*s", (int)r->reply.len, (const char *)r->reply.ptr);
    __atomic_add_fetch(&together_reads, 1, __ATOMIC_RELAXED);
}

static void *read_flushed_all_the_time(void *arg)
{
    static const char *const gets[] = {"GET f1", "GET f2", "GET f2", "GET f2", "GET f2", "GET f2",
                                       "GET f2", "GET f2", "GET f2", "GET f2", "GET f2", NULL};
    struct tx_record r;
    uv_loop_t loop;
    rcu_thread_register();
    uv_loop_init(&loop);
    struct store_reader *reader = store_reader_new(b.store, &loop);
    tx_record_make(&r, slice_of("", 0), "f1 f2", gets);
    while (!__atomic_load_n(&together_over, __ATOMIC_RELAXED))
        store_read(reader, command_find(slice_str("TRANSACTION")), &r.cmd, check_whole_flush, NULL);
    tx_record_unmake(&r);
    store_reader_free(reader);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    rcu_thread_unregister();
    return arg;
}

START_TEST(reads_of_a_transaction_see_all_of_a_flush_or_nothing)
{
    pthread_t thread;
    know_sources();
    together_reads = 0;
    together_over = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, read_flushed_all_the_time, NULL), 0);
    uint64_t end = clock_mono_ms() + 400, limit = end + 10000;
    while (clock_mono_ms() < end ||
           (__atomic_load_n(&together_reads, __ATOMIC_RELAXED) < 1000 && clock_mono_ms() < limit)) {
        ck_assert_int_eq(run_lines("f1 f2", LINES("SET f1 1", "SET f2 1"), b.clock++),
                         STORE_APPLIED);
        ck_assert_int_eq(flush_at(b.clock++, 0), STORE_APPLIED);
    }
    __atomic_store_n(&together_over, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    ck_assert_uint_ge(together_reads, 1000);
}
END_TEST

/* `done` brings the next batch, a hundred thousand times: the stack stays where it is. */
static int chain_left;
static struct batch chain_batch;
static void chain_done(void *arg, struct store_batch *batch)
{
    struct store *s = arg;
    ck_assert_ptr_eq(batch, &chain_batch.batch);
    buf_reset(&batch->replies, SIZE_MAX);
    if (--chain_left > 0)
        store_apply(s, batch);
}
static void chain_up(void *arg)
{
    (void)arg;
}

START_TEST(done_may_bring_the_next_batch)
{
    store_reader_free(b.reader);
    store_writer_stop(b.store);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    struct store_events events = {chain_up, on_down, chain_done, b.store};
    store_writer_start(b.store, &b.loop, &events);
    b.reader = store_reader_new(b.store, &b.loop);
    chain_batch = (struct batch){0};
    batch_add(&chain_batch, "GET a", 0, 0);
    chain_left = 100000;
    store_apply(b.store, &chain_batch.batch);
    ck_assert_int_eq(chain_left, 0);
    batch_fini(&chain_batch);
}
END_TEST

/* ---- a full store -------------------------------------------------------------------------- */
static void small_store(void)
{
    close_store();
    b.options.max_bytes = MB;
    open_store();
    store_forget_below(b.store, UINT64_MAX); /* deletes leave nothing */
}

#define FULL_TEXT "-OOM command not allowed: the embedded store is full (1048576 bytes)\r\n"

/* Returns how many keys of 1000 bytes went in. */
static int fill(void)
{
    char value[1000];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 2000; i++) {
        char *key = printed("fill%d", i);
        if (set_bytes(slice_str(key), slice_of(value, sizeof value), b.clock++) == STORE_FULL) {
            ck_assert_str_eq(last_reply(), FULL_TEXT);
            return i;
        }
    }
    ck_abort_msg("never full");
}

START_TEST(a_full_store_can_be_emptied)
{
    small_store();
    int n = fill();
    ck_assert_int_gt(n, 400);
    ck_assert(store_is_up(b.store));
    ck_assert_uint_eq(store_stats(b.store)->keys, (uint64_t)n);
    ck_assert_str_eq(read_now("STRLEN fill0"), ":1000\r\n");
    for (int i = 0; i < n; i++)
        ck_assert_str_eq(write_now(printed("DEL fill%d", i)), ":1\r\n");
    ck_assert_str_eq(read_now("DBSIZE"), ":0\r\n");
    ck_assert_int_gt(fill(), n / 2);
}
END_TEST

START_TEST(a_full_store_gives_its_room_back_each_time)
{
    small_store();
    int first = fill();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 2 * first; i++)
            write_now(printed("DEL fill%d", i));
        ck_assert_str_eq(read_now("DBSIZE"), ":0\r\n");
        ck_assert_int_gt(fill(), first / 2);
    }
}
END_TEST

static char *huge_set(const char *head)
{
    struct buf text = BUF_INIT;
    buf_add_str(&text, head);
    memset(buf_reserve(&text, 2 * MB + 1), 'h', 2 * MB);
    buf_commit(&text, 2 * MB);
    buf_add(&text, "", 1);
    return (char *)text.data;
}

static void batch_add_huge(struct batch *x, unsigned source, uint64_t seq)
{
    static struct slice argv[3];
    static struct resp_command cmd;
    static char *value;
    mem_free(value);
    value = huge_set("");
    argv[0] = slice_str("SET");
    argv[1] = slice_str("huge");
    argv[2] = slice_of(value, 2 * MB);
    command_of(&cmd, argv, 3);
    batch_add(x, "PING", source, seq);
    x->writes[x->batch.n - 1].cmd = &cmd;
}

START_TEST(delivery_stops_at_what_does_not_fit)
{
    struct batch x = {0};
    small_store();
    know_sources();
    batch_add(&x, "SET a 1", 1, 10);
    batch_add_huge(&x, 1, 11);
    batch_add(&x, "SET a 3", 1, 12);
    batch_add(&x, "SET b 1", 2, 20);
    batch_add(&x, NULL, 1, 13);
    batch_add(&x, "SET c 1", 0, 0);
    apply(&x.batch);
    static const enum store_outcome expected[] = {STORE_APPLIED, STORE_FULL, STORE_FULL,
                                                  STORE_APPLIED, STORE_FULL, STORE_APPLIED};
    for (size_t i = 0; i < x.batch.n; i++)
        ck_assert_int_eq(x.writes[i].outcome, expected[i]);
    assert_reply(&x, 0, "+OK\r\n");
    assert_reply(&x, 1, FULL_TEXT);
    assert_reply(&x, 2, FULL_TEXT);
    assert_reply(&x, 3, "+OK\r\n");
    batch_fini(&x);
    reopen_store();
    ck_assert_str_eq(read_now("MGET a b c huge"), "*4\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$-1\r\n");
    ck_assert_uint_eq(store_last(b.store, 1, "node-one"), 10);
    ck_assert_uint_eq(store_last(b.store, 2, "node-two"), 20);
}
END_TEST

/* The second key doesn't fit: the first one isn't written either, and the batch goes on. */
START_TEST(a_write_that_fails_halfway_leaves_nothing)
{
    struct batch x = {0};
    char *huge = huge_set("");
    struct slice argv[] = {slice_str("MSET"), slice_str("first"), slice_str("1"),
                           slice_str("second"), slice_of(huge, 2 * MB)};
    struct resp_command cmd;
    small_store();
    command_of(&cmd, argv, 5);
    batch_add(&x, "INCR n", 0, 0);
    batch_add(&x, "PING", 0, 0);
    batch_add(&x, "INCR n", 0, 0);
    x.writes[1].cmd = &cmd;
    apply(&x.batch);
    ck_assert_int_eq(x.writes[1].outcome, STORE_FULL);
    assert_reply(&x, 0, ":1\r\n");
    assert_reply(&x, 2, ":2\r\n");
    ck_assert_str_eq(read_now("MGET first second n"), "*3\r\n$-1\r\n$-1\r\n$1\r\n2\r\n");
    batch_fini(&x);
    mem_free(huge);
}
END_TEST

/* Deletes of absent keys eat the reserve up, until LMDB itself refuses. */
START_TEST(the_map_itself_is_full)
{
    enum store_outcome outcome = STORE_APPLIED;
    small_store();
    reopen_store();
    fill();
    for (int i = 0; i < 20000 && outcome == STORE_APPLIED; i++)
        outcome = write_at(printed("DEL absent-with-a-rather-long-name-%d", i), b.clock++, 0);
    ck_assert_int_eq(outcome, STORE_FULL);
    ck_assert(store_is_up(b.store));
    ck_assert_str_eq(read_now("STRLEN fill0"), ":1000\r\n");
    ck_assert_int_eq(write_at("SET a b", b.clock++, 0), STORE_FULL);
    reopen_store();
    ck_assert_str_eq(read_now("STRLEN fill0"), ":1000\r\n");
}
END_TEST

/* ---- what breaks --------------------------------------------------------------------------- */
static bool up_again(void)
{
    return store_is_up(b.store);
}

START_TEST(a_failed_commit_takes_the_whole_batch_back)
{
    struct batch x = {0};
    char why[200];
    close_store();
    b.options.sync = SYNC_ALWAYS;
    open_store();
    know_sources();
    write_now("SET a 1");
    int ups = b.ups;
    disk_error = EIO;
    batch_add(&x, "SET a 2", 1, 5);
    batch_add(&x, "SET b 2", 0, 0);
    apply(&x.batch);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(x.writes[i].outcome, STORE_FAILED);
        assert_reply(&x, i, "-BACKEND the embedded store can't write\r\n");
    }
    ck_assert_int_eq(b.downs, 1);
    ck_assert(!store_is_up(b.store));
    store_why_down(b.store, why, sizeof why);
    ck_assert_str_eq(why, "embedded store: batch: Input/output error");
    ck_assert_int_eq(write_at("SET c 1", b.clock++, 0), STORE_FAILED);
    ck_assert_str_eq(read_now("MGET a b c"), "*3\r\n$1\r\n1\r\n$-1\r\n$-1\r\n");
    disk_error = 0;
    run_until(up_again);
    ck_assert_int_eq(b.ups, ups + 1);
    ck_assert_uint_eq(store_last(b.store, 1, "node-one"), 0);
    ck_assert_str_eq(read_now("MGET a b c"), "*3\r\n$1\r\n1\r\n$-1\r\n$-1\r\n");
    batch_fini(&x);
    write_now("SET a 3");
    reopen_store();
    ck_assert_str_eq(read_now("GET a"), "$1\r\n3\r\n");
}
END_TEST

/* Beyond a file size limit no file of the log can be made, as on a full disk. */
START_TEST(a_log_that_finds_no_disk_refuses_and_recovers)
{
    struct rlimit old, small;
    write_now("SET a 1");
    close_store();
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){4096, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    open_store();
    ck_assert_int_eq(write_at("SET a 2", b.clock++, 0), STORE_FULL);
    ck_assert(store_is_up(b.store));
    ck_assert_str_eq(read_now("GET a"), "$1\r\n1\r\n");
    setrlimit(RLIMIT_FSIZE, &old);
    write_now("SET a 3");
    ck_assert_str_eq(read_now("GET a"), "$1\r\n3\r\n");
}
END_TEST

static bool takes_writes(void)
{
    return write_at("SET after 1", b.clock++, 0) == STORE_APPLIED;
}

/* A checkpoint finds the disk full: what was taken stays, more is refused, and goes on later. */
START_TEST(a_checkpoint_that_finds_no_disk_is_made_later)
{
    int n = 0;
    close_store();
    b.options.sync = SYNC_INTERVAL;
    b.options.log_bytes = 64 * 1024;
    open_store();
    disk_error = ENOSPC;
    while (n < 10000 && write_at(printed("SET key%d %0100d", n, n), b.clock++, 0) == STORE_APPLIED)
        n++;
    ck_assert(n > 500 && n < 1500);
    ck_assert_str_eq(last_reply(),
                     "-OOM command not allowed: the embedded store is full (67108864 bytes)\r\n");
    ck_assert(store_is_up(b.store));
    ck_assert_str_eq(read_now("DBSIZE"), printed(":%d\r\n", n));
    ck_assert_int_eq(write_at("SET more 1", b.clock++, 0), STORE_FULL);
    disk_error = 0;
    run_until(takes_writes);
    ck_assert_str_eq(read_now("DBSIZE"), printed(":%d\r\n", n + 1));
    reopen_store();
    ck_assert_str_eq(read_now("DBSIZE"), printed(":%d\r\n", n + 1));
    ck_assert_str_eq(read_now("STRLEN key0"), ":100\r\n");
    ck_assert_str_eq(read_now("STRLEN more"), ":0\r\n");
}
END_TEST

static void scribble(const char *how)
{
    char path[100];
    snprintf(path, sizeof path, "%s/store.mdb", b.dir);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    if (how[0] == 'c') {
        off_t size = lseek(fd, 0, SEEK_END);
        ck_assert_int_eq(ftruncate(fd, size / 2), 0);
    } else {
        char garbage[8192];
        memset(garbage, 'g', sizeof garbage);
        ck_assert_int_eq(pwrite(fd, garbage, sizeof garbage, 0), (ssize_t)sizeof garbage);
    }
    close(fd);
}

/* As the program wrote it before it had a log: without a position, and without the directory. */
static void forget_the_log(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta;
    char name[] = "wal", path[100];
    MDB_val key = {3, name};
    snprintf(path, sizeof path, "%s/store.mdb", b.dir);
    ck_assert_int_eq(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 4);
    ck_assert_int_eq(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    ck_assert_int_eq(mdb_dbi_open(txn, "meta", 0, &meta), 0);
    ck_assert_int_eq(mdb_del(txn, meta, &key, NULL), 0);
    ck_assert_int_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    snprintf(path, sizeof path, "%s/store.wal", b.dir);
    ck_assert_int_eq(rmdir(path), 0); /* a clean end leaves nothing in it */
}

START_TEST(a_store_from_before_the_log_opens)
{
    for (int i = 0; i < 300; i++)
        write_now(printed("SET key%d %d", i, i));
    close_store();
    forget_the_log();
    open_store();
    ck_assert_str_eq(read_now("DBSIZE"), ":300\r\n");
    ck_assert_str_eq(read_now("GET key299"), "$3\r\n299\r\n");
    write_now("SET key300 more");
    reopen_store();
    ck_assert_str_eq(read_now("DBSIZE"), ":301\r\n");
}
END_TEST

static const char *const damages[] = {"cut", "garbage"};
START_TEST(a_damaged_file_is_refused)
{
    struct error e;
    setup();
    for (int i = 0; i < 1000; i++)
        write_now(printed("SET key%d some-value-that-takes-a-little-room", i));
    close_store();
    scribble(damages[_i]);
    ck_assert(store_open_embedded(&b.options, &e) == NULL);
    ck_assert_msg(strstr(e.text, "store.mdb: the store is damaged: ") != NULL, "%s", e.text);
    clean_up();
}
END_TEST

START_TEST(a_missing_directory_is_an_error)
{
    struct error e;
    prepare();
    b.options.data_dir = "/nonexistent";
    ck_assert(store_open_embedded(&b.options, &e) == NULL);
    ck_assert_str_eq(e.text, "/nonexistent/store.mdb: No such file or directory");
    clean_up();
}
END_TEST

static const int policies[] = {SYNC_ALWAYS, SYNC_INTERVAL, SYNC_NEVER};

/* The child's side of the next test: counts and numbers go up together until it is killed. */
NORETURN static void count_for_ever(int out)
{
    struct batch x = {0};
    rcu_start();
    uv_loop_init(&b.loop);
    open_store();
    know_sources();
    for (uint64_t n = store_last(b.store, 1, "node-one") + 1;; n++) {
        batch_add(&x, "INCR counter", 1, n);
        apply(&x.batch);
        if (write(out, &n, sizeof n) != sizeof n)
            _exit(1);
        batch_fini(&x);
        x = (struct batch){0};
    }
}

static uint64_t count_and_kill(void)
{
    int fds[2];
    uint64_t n = 0;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0)
        count_for_ever(fds[1]);
    close(fds[1]);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(read(fds[0], &n, sizeof n), sizeof n);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    uint64_t more;
    while (read(fds[0], &more, sizeof more) == (ssize_t)sizeof more)
        n = more;
    close(fds[0]);
    return n;
}

START_TEST(kill_nine_takes_nothing_that_was_answered)
{
    prepare();
    rcu_stop(); /* no thread may live over a fork */
    b.options.sync = policies[_i];
    for (int round = 0; round < 3; round++) {
        uint64_t answered = count_and_kill();
        int64_t counter;
        rcu_start();
        open_store();
        uint64_t last = store_last(b.store, 1, "node-one");
        ck_assert_msg(last == answered || last == answered + 1, "%llu, answered %llu",
                      (unsigned long long)last, (unsigned long long)answered);
        const char *p = strstr(read_now("GET counter"), "\r\n");
        counter = strtoll(p, NULL, 10);
        ck_assert_uint_eq((uint64_t)counter, last);
        close_store();
        rcu_stop();
    }
    rcu_start();
    clean_up();
}
END_TEST

static bool synced_a_turn(void)
{
    static uint64_t end;
    if (end == 0)
        end = clock_mono_ms() + 1100;
    return clock_mono_ms() >= end;
}

START_TEST(the_interval_sync_runs)
{
    close_store();
    b.options.sync = SYNC_INTERVAL;
    open_store();
    write_now("SET a 1");
    run_until(synced_a_turn);
    ck_assert_str_eq(read_now("GET a"), "$1\r\n1\r\n");
    ck_assert_uint_eq(store_stats(b.store)->errors, 0);
}
END_TEST

static const struct {
    int policy;
    unsigned least, most; /* flushes for a hundred batches */
} flush_rows[] = {{SYNC_ALWAYS, 100, 102}, {SYNC_INTERVAL, 0, 2}, {SYNC_NEVER, 0, 0}};

START_TEST(flushes_are_what_store_sync_says)
{
    close_store();
    b.options.sync = flush_rows[_i].policy;
    open_store();
    flushes = 0;
    for (int i = 0; i < 100; i++)
        write_now(printed("SET key%d value", i));
    ck_assert_uint_ge(flushes, flush_rows[_i].least);
    ck_assert_uint_le(flushes, flush_rows[_i].most);
    flushes = 0;
    reopen_store();
    ck_assert(flush_rows[_i].policy == SYNC_ALWAYS || flushes > 0); /* a clean end keeps all */
    ck_assert_str_eq(read_now("GET key99"), "$5\r\nvalue\r\n");
}
END_TEST

/* ---- read repair ----------------------------------------------------------------------------- */
static struct store_copy seen; /* the last copy; its command in b.reply */

static void on_copy(void *arg, const struct store_copy *c)
{
    (void)arg;
    seen = *c;
    keep_reply(c->command);
}

static void look(const char *key, bool command)
{
    seen = (struct store_copy){0};
    store_copy(b.reader, slice_str(key), command, on_copy, NULL);
    ck_assert(seen.ok);
}

static void expect_stamps(uint64_t overwrite, uint64_t newest)
{
    ck_assert_uint_eq(seen.overwrite.time, overwrite);
    ck_assert_uint_eq(seen.newest.time, newest);
    ck_assert(seen.newest_exact == (newest > 0));
}

static enum store_outcome mend(const char *text, uint64_t stamp, uint64_t newest, uint64_t upto,
                               uint16_t upto_tag)
{
    struct line l;
    struct store_mend m = {.upto = {upto, upto_tag}, .newest = {newest, 0}};
    line_set(&l, text);
    struct store_write w = {
        .source = STORE_SOURCE_MENDS, .stamp = stamp, .tag = 5, .cmd = &l.cmd, .mend = &m};
    struct store_batch batch = {&w, 1, BUF_INIT};
    apply(&batch);
    keep_reply(w.reply);
    buf_fini(&batch.replies);
    line_fini(&l);
    return w.outcome;
}

START_TEST(a_copy_says_what_is_known)
{
    uint64_t t = b.clock;
    look("k", true);
    ck_assert(!seen.exists && seen.forgotten == 0);
    expect_stamps(0, 0);
    ck_assert_str_eq(last_reply(), "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n");
    ck_assert_int_eq(write_at("INCR k", t + 1, 3), STORE_APPLIED);
    look("k", false);
    ck_assert(seen.exists && seen.bytes == 1 && seen.expires == 0);
    expect_stamps(0, t + 1);
    ck_assert_str_eq(last_reply(), "");
    uint64_t digest = seen.digest, weight = seen.weight;
    ck_assert_int_eq(write_at("SET k 5 PXAT " FAR, t + 2, 5), STORE_APPLIED);
    look("k", true);
    ck_assert(seen.exists && seen.overwrite.tag == 5 && seen.expires == 4000000000000);
    ck_assert(digest != seen.digest && weight < seen.weight);
    expect_stamps(t + 2, t + 2);
    ck_assert_str_eq(last_reply(),
                     "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n5\r\n$4\r\nPXAT\r\n$13\r\n" FAR "\r\n");
    ck_assert_int_eq(write_at("INCR k", t + 9, 3), STORE_APPLIED);
    look("k", false);
    expect_stamps(t + 2, t + 9);
    ck_assert_int_eq(write_at("DEL k", t + 10, 3), STORE_APPLIED);
    look("k", true);
    ck_assert(!seen.exists);
    expect_stamps(t + 10, t + 10);
}
END_TEST

START_TEST(a_mend_comes_with_its_stamps)
{
    uint64_t t = b.clock;
    write_at("SET k old", t, 1);
    ck_assert_int_eq(mend("SET k new PXAT " FAR, t + 5, t + 8, t + 9, UINT16_MAX), STORE_APPLIED);
    look("k", false);
    ck_assert_str_eq(read_now("GET k"), "$3\r\nnew\r\n");
    ck_assert(seen.overwrite.tag == 5 && seen.expires == 4000000000000);
    expect_stamps(t + 5, t + 8);
    ck_assert_int_eq(write_at("SET k late", t + 5, 4),
                     STORE_STALE); /* it is in the copy, or lost */
    ck_assert_int_eq(write_at("APPEND k late", t + 4, 9), STORE_STALE);
    ck_assert_int_eq(write_at("APPEND k +", t + 10, 0), STORE_APPLIED); /* it isn't */
    ck_assert_str_eq(read_now("GET k"), "$4\r\nnew+\r\n");
    ck_assert_int_eq(mend("DEL k", t + 12, 0, t + 12, 5), STORE_APPLIED);
    look("k", false);
    ck_assert(!seen.exists);
    expect_stamps(t + 12, t + 12);
    ck_assert_int_eq(mend("DEL never", t + 12, 0, t + 12, 5), STORE_APPLIED);
    ck_assert_int_eq(write_at("SET never late", t + 11, 0), STORE_STALE);
    /* of changes alone: no overwrite is known */
    ck_assert_int_eq(mend("SET c 7", 0, t + 6, t + 9, UINT16_MAX), STORE_APPLIED);
    look("c", false);
    expect_stamps(0, t + 6);
    ck_assert_int_eq(write_at("INCR c", t + 1, 0), STORE_APPLIED); /* from before all that */
    /* a later overwrite that is in neither copy keeps its guard */
    write_at("SET g x", t + 3, 0);
    ck_assert_int_eq(mend("SET g y", t + 1, t + 2, t + 9, UINT16_MAX), STORE_APPLIED);
    look("g", false);
    expect_stamps(t + 3, t + 3);
}
END_TEST

START_TEST(a_mend_stops_at_what_is_newer)
{
    uint64_t t = b.clock;
    write_at("SET k old", t, 1);
    write_at("APPEND k +", t + 3, 6);
    ck_assert_int_eq(mend("SET k new", t + 1, t + 1, t + 1, 5), STORE_STALE);
    ck_assert_int_eq(mend("SET k new", t + 3, t + 3, t + 3, 5), STORE_STALE); /* newer by its tag */
    ck_assert_int_eq(mend("DEL k", t + 1, t + 1, t + 2, UINT16_MAX), STORE_STALE);
    ck_assert_str_eq(read_now("GET k"), "$4\r\nold+\r\n");
    ck_assert_int_eq(mend("SET k new", t + 3, t + 3, t + 3, 6), STORE_APPLIED);
    write_at("DEL k", t + 7, 0);
    ck_assert_int_eq(mend("SET k new", t + 6, t + 6, t + 6, UINT16_MAX), STORE_STALE);
    ck_assert_str_eq(read_now("GET k"), "$-1\r\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("embedded");
    TCase *with = tcase_create("a store"), *own = tcase_create("starts and ends");
    tcase_add_checked_fixture(with, setup, teardown);
    tcase_set_timeout(with, 120);
    tcase_set_timeout(own, 120);
    tcase_add_test(with, commands_reply_as_redis_does);
    tcase_add_test(with, unknown_commands_are_refused);
    tcase_add_test(with, a_value_ends_at_512_mb);
    tcase_add_test(with, a_lapsed_key_is_absent);
    tcase_add_test(with, ttl_counts_down);
    tcase_add_test(with, lapsed_keys_are_swept_to_tombstones);
    tcase_add_test(with, the_sweeper_takes_a_slice_at_a_time);
    tcase_add_test(with, a_late_change_dies_with_its_key);
    tcase_add_test(with, tombstones_go_when_nothing_older_can_come);
    tcase_add_test(with, tombstones_go_before_they_are_in_lmdb);
    tcase_add_test(with, lapsed_keys_leave_no_tombstones_behind_the_watermark);
    tcase_add_test(with, tombstones_of_an_older_file_go_by_age);
    tcase_add_test(with, an_older_write_is_dropped);
    tcase_add_test(with, changes_commute);
    tcase_add_test(with, a_delete_of_nothing_is_remembered);
    tcase_add_test(with, many_keys_are_judged_one_by_one);
    tcase_add_loop_test(with, any_order_ends_in_the_same_record, 0, ARRAY_LEN(orders));
    tcase_add_test(with, a_copy_says_what_is_known);
    tcase_add_test(with, a_mend_comes_with_its_stamps);
    tcase_add_test(with, a_mend_stops_at_what_is_newer);
    tcase_add_test(with, long_keys);
    tcase_add_test(with, long_keys_that_begin_alike);
    tcase_add_test(with, a_long_key_is_swept);
    tcase_add_test(with, scan_misses_nothing_that_stays);
    tcase_add_loop_test(with, a_flush_is_an_overwrite_of_every_key, 0, 2);
    tcase_add_loop_test(with, a_flush_takes_no_time, 0, 2);
    tcase_add_test(with, dbsize_counts_what_lives);
    tcase_add_test(with, inspect_tells_copies_apart);
    tcase_add_test(with, a_reply_survives_a_read_within_its_callback);
    tcase_add_test(with, numbers_survive);
    tcase_add_test(with, a_transaction_is_one_write);
    tcase_add_test(with, commands_of_a_transaction_are_judged_one_by_one);
    tcase_add_test(with, a_transaction_that_finds_no_room_does_nothing);
    tcase_add_test(with, a_transaction_that_writes_too_much_does_nothing);
    tcase_add_test(with, what_is_watched_must_be_as_it_was);
    tcase_add_test(with, a_late_change_breaks_a_watch);
    tcase_add_test(with, reads_of_a_transaction_see_all_of_another_or_nothing);
    tcase_add_test(with, reads_of_a_transaction_see_all_of_a_flush_or_nothing);
    tcase_add_test(with, done_may_bring_the_next_batch);
    tcase_add_test(with, a_full_store_can_be_emptied);
    tcase_add_test(with, a_full_store_gives_its_room_back_each_time);
    tcase_add_test(with, delivery_stops_at_what_does_not_fit);
    tcase_add_test(with, a_write_that_fails_halfway_leaves_nothing);
    tcase_add_test(with, the_map_itself_is_full);
    tcase_add_test(with, a_failed_commit_takes_the_whole_batch_back);
    tcase_add_test(with, a_log_that_finds_no_disk_refuses_and_recovers);
    tcase_add_test(with, a_checkpoint_that_finds_no_disk_is_made_later);
    tcase_add_test(with, a_store_from_before_the_log_opens);
    tcase_add_test(with, the_interval_sync_runs);
    tcase_add_loop_test(with, flushes_are_what_store_sync_says, 0, ARRAY_LEN(flush_rows));
    tcase_add_loop_test(own, a_damaged_file_is_refused, 0, ARRAY_LEN(damages));
    tcase_add_test(own, a_missing_directory_is_an_error);
    tcase_add_loop_test(own, kill_nine_takes_nothing_that_was_answered, 0, ARRAY_LEN(policies));
    suite_add_tcase(s, with);
    suite_add_tcase(s, own);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
