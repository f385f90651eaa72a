/* The embedded store's log, memtables and checkpoints: what is left after a crash and after a power
 * cut at any moment, what readers see meanwhile, and long random runs against a plain model. */
#include "config/config.h"
#include "core/actor.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/mem.h"
#include "store/embedded.h"
#include "unit.h"
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MB     (1024u * 1024)
#define KB     1024u
#define PAGE   4096u
#define KEYS   40
#define SOURCE "node-one"

/* ---- a store and who drives it ------------------------------------------------------------- */
struct bench {
    uv_loop_t loop;
    struct store *store;
    struct store_reader *reader;
    struct buf reply;
    int dones;
};
static char root[64];
static struct bench bench;
static uint64_t now_ms;
static uint64_t max_bytes; /* a checkpoint's transactions change a 16th of it at most */

static void on_up(void *arg)
{
    (void)arg;
}
static bool may_go_down;
static void on_down(void *arg, const char *reason)
{
    (void)arg;
    ck_assert_msg(may_go_down, "down: %s", reason);
}
static void on_done(void *arg, struct store_batch *batch)
{
    (void)batch;
    ((struct bench *)arg)->dones++;
}

static struct embedded *inside(struct bench *b)
{
    return container_of_(b->store, struct embedded, base);
}

static bool open_at(struct bench *b, const char *dir, int sync, uint64_t log_bytes, struct error *e)
{
    struct store_options o = {.data_dir = dir,
                              .self_id = "self",
                              .sync = sync,
                              .max_bytes = max_bytes,
                              .log_bytes = log_bytes};
    struct store_events events = {on_up, on_down, on_done, b};
    *b = (struct bench){.store = store_open_embedded(&o, e)};
    if (!b->store)
        return false;
    uv_loop_init(&b->loop);
    store_writer_start(b->store, &b->loop, &events);
    b->reader = store_reader_new(b->store, &b->loop);
    return true;
}

static void must_open(struct bench *b, const char *dir, int sync, uint64_t log_bytes)
{
    struct error e;
    mkdir(dir, 0700);
    ck_assert_msg(open_at(b, dir, sync, log_bytes, &e), "%s: %s", dir, e.text);
}

static void close_it(struct bench *b)
{
    store_reader_free(b->reader);
    store_writer_stop(b->store);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    uv_loop_close(&b->loop);
    store_close(b->store);
    b->store = NULL;
    buf_fini(&b->reply);
}

/* liburcu's thread sleeps 10 ms (a poll of nothing) before it looks, and each close waits for it;
 * thousands of stores are closed here. */
int poll(struct pollfd *fds, nfds_t n, int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};
    if (n == 0 && ms > 0)
        t = (struct timespec){.tv_nsec = 100000};
    return ppoll(fds, n, ms < 0 ? NULL : &t, NULL);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/test_embedded_log.XXXXXX");
    ck_assert(mkdtemp(root) != NULL);
    now_ms = clock_wall_ms();
    max_bytes = 64 * MB;
    rcu_start();
}

static void teardown(void)
{
    rcu_stop();
    remove_tree(root);
}

PRINTF_LIKE(1, 2) static const char *at(const char *fmt, ...)
{
    static char text[4][256];
    static unsigned n;
    char *out = text[n++ % 4];
    int used = snprintf(out, sizeof text[0], "%s/", root);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out + used, sizeof text[0] - (size_t)used, fmt, ap);
    va_end(ap);
    return out;
}

static const char *text_of(unsigned n)
{
    static char out[100];
    snprintf(out, sizeof out, "batches 1 to %u are damaged or missing", n);
    return out;
}

static bool idle(struct bench *b)
{
    const struct embedded *s = inside(b);
    return __atomic_load_n(&s->checkpoint.state, __ATOMIC_ACQUIRE) == CHECKPOINT_IDLE &&
           __atomic_load_n(&s->syncing, __ATOMIC_ACQUIRE) == 0;
}

static void run_until(struct bench *b, bool (*done)(struct bench *b))
{
    uint64_t end = clock_mono_ms() + 20000;
    while (!done(b) && clock_mono_ms() < end)
        uv_run(&b->loop, UV_RUN_ONCE);
    ck_assert(done(b));
}

static int awaited;
static bool all_done(struct bench *b)
{
    return b->dones >= awaited;
}

static void apply(struct bench *b, struct store_batch *batch)
{
    awaited = b->dones + 1;
    store_apply(b->store, batch);
    run_until(b, all_done);
}

static void on_read(void *arg, const struct store_read_reply *r)
{
    struct bench *b = arg;
    ck_assert(r->ok);
    buf_reset(&b->reply, SIZE_MAX);
    buf_add(&b->reply, r->reply.ptr, r->reply.len);
    buf_add(&b->reply, "", 1);
}

/* Up to four words. The reply, NUL-terminated. */
static const char *ask(struct bench *b, const char *name, const char *a, const char *c,
                       const char *d)
{
    struct slice argv[] = {slice_str(name), slice_str(a ? a : ""), slice_str(c ? c : ""),
                           slice_str(d ? d : "")};
    struct resp_command cmd = {.argv = argv, .argc = 1u + (a != NULL) + (c != NULL) + (d != NULL)};
    store_read(b->reader, command_find(argv[0]), &cmd, on_read, b);
    return (const char *)buf_head(&b->reply);
}

/* ---- random batches, and the model that knows what they do ---------------------------------- */
struct op {
    char words[5][120];
    size_t argc;
    unsigned key;
    uint64_t stamp;
    struct slice argv[5];
    struct resp_command cmd;
};
struct plan {
    struct op ops[6];
    size_t n;
};
struct state {
    char value[KEYS][4096]; /* "": not there */
};

static unsigned dice_state;
static unsigned dice(unsigned n)
{
    dice_state = dice_state * 1103515245u + 12345u;
    return (dice_state >> 8) % n;
}

PRINTF_LIKE(2, 3) static void word(struct op *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(o->words[o->argc++], sizeof o->words[0], fmt, ap);
    va_end(ap);
}

static void roll(struct op *o, uint64_t stamp)
{
    *o = (struct op){.key = dice(KEYS), .stamp = stamp};
    unsigned kind = dice(10);
    word(o, "%s", kind < 5 ? "SET" : kind < 7 ? "DEL" : "APPEND");
    word(o, "key%u", o->key);
    if (kind < 5)
        word(o, "%0*u", (int)(1 + dice(100)), dice(1000000));
    else if (kind >= 7)
        word(o, "+%u", dice(100));
    if (kind < 3) { /* entries of the index that move: a checkpoint has more than one transaction */
        word(o, "PXAT");
        word(o, "%llu", 4000000000000ull + dice(1000000));
    }
}

/* The same batch each time: seeded by its number. */
static void plan_batch(struct plan *p, unsigned number)
{
    dice_state = number * 2654435761u + 77;
    p->n = 1 + dice(6);
    for (size_t i = 0; i < p->n; i++)
        roll(&p->ops[i], (now_ms << 16) + number * 8u + i);
}

static void apply_plan(struct bench *b, struct plan *p, uint64_t number)
{
    struct store_write writes[6];
    for (size_t i = 0; i < p->n; i++) {
        struct op *o = &p->ops[i];
        for (size_t k = 0; k < o->argc; k++)
            o->argv[k] = slice_str(o->words[k]);
        o->cmd = (struct resp_command){.argv = o->argv, .argc = o->argc};
        writes[i] = (struct store_write){.source = 1,
                                         .seq = i + 1 == p->n ? number : 0,
                                         .stamp = o->stamp,
                                         .spec = command_find(o->argv[0]),
                                         .cmd = &o->cmd};
    }
    struct store_batch batch = {writes, p->n, BUF_INIT};
    apply(b, &batch);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_int_eq(writes[i].outcome, STORE_APPLIED);
    buf_fini(&batch.replies);
}

static void model_plan(struct state *s, const struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct op *o = &p->ops[i];
        char *v = s->value[o->key];
        if (o->words[0][0] == 'S')
            snprintf(v, sizeof s->value[0], "%s", o->words[2]);
        else if (o->words[0][0] == 'D')
            v[0] = '\0';
        else
            strncat(v, o->words[2], sizeof s->value[0] - strlen(v) - 1);
    }
}

static void run_batch(struct bench *b, unsigned number)
{
    struct plan p;
    plan_batch(&p, number);
    apply_plan(b, &p, number);
}

static void assert_state(struct bench *b, uint64_t batches, const char *what)
{
    static struct state s;
    struct plan p;
    char key[16], expected[4200];
    int live = 0;
    memset(&s, 0, sizeof s);
    for (unsigned i = 1; i <= batches; i++) {
        plan_batch(&p, i);
        model_plan(&s, &p);
    }
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(key, sizeof key, "key%u", k);
        if (s.value[k][0])
            snprintf(expected, sizeof expected, "$%zu\r\n%s\r\n", strlen(s.value[k]), s.value[k]);
        else
            snprintf(expected, sizeof expected, "$-1\r\n");
        live += s.value[k][0] != '\0';
        ck_assert_msg(strcmp(ask(b, "GET", key, NULL, NULL), expected) == 0,
                      "%s: %s after batch %llu: %s, expected %s", what, key,
                      (unsigned long long)batches, buf_head(&b->reply), expected);
    }
    snprintf(expected, sizeof expected, ":%d\r\n", live);
    ck_assert_msg(strcmp(ask(b, "DBSIZE", NULL, NULL, NULL), expected) == 0,
                  "%s: DBSIZE %s, not %s", what, buf_head(&b->reply), expected);
}

/* The numbers tell which prefix it is: effects and numbers are the same batches'. */
static uint64_t assert_prefix(const char *dir, uint64_t least, uint64_t most)
{
    struct bench b;
    uint64_t last = 0;
    static unsigned calls;
    for (int round = 0; round < (calls % 8 ? 1 : 2); round++) {
        must_open(&b, dir, SYNC_NEVER, 64 * KB);
        last = store_last(b.store, 1, SOURCE);
        ck_assert_msg(last >= least && last <= most, "%s: batch %llu, expected %llu to %llu", dir,
                      (unsigned long long)last, (unsigned long long)least,
                      (unsigned long long)most);
        assert_state(&b, last, dir);
        close_it(&b); /* and sometimes once more, from what the close has written */
    }
    calls++;
    return last;
}

/* ---- a disk that keeps only what it was asked to --------------------------------------------- */
/* Of each file (by inode): what the last fdatasync wrote. Of each directory: the names that the
 * last fsync wrote. An image is what a power cut at this moment may leave: each page is the old one
 * or the new one, by chance. */
struct file {
    ino_t inode;
    char name[64]; /* on disk; "": none yet */
    uint8_t *bytes;
    size_t size;
};
static struct {
    bool on;
    char dir[128];
    struct file files[512];
    size_t n;
    void (*before_sync)(void);
    pthread_mutex_t lock;
    pthread_t main;
} disk;

static struct file *file_of(ino_t inode)
{
    for (size_t i = 0; i < disk.n; i++)
        if (disk.files[i].inode == inode)
            return &disk.files[i];
    ck_assert_uint_lt(disk.n, ARRAY_LEN(disk.files));
    disk.files[disk.n] = (struct file){.inode = inode};
    return &disk.files[disk.n++];
}

static uint8_t *contents(int fd, size_t *size)
{
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    uint8_t *bytes = mem_alloc(*size + 1);
    ck_assert_int_eq(pread(fd, bytes, *size, 0), (ssize_t)*size);
    return bytes;
}

static void disk_take(int fd)
{
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    struct file *f = file_of(st.st_ino);
    mem_free(f->bytes);
    f->bytes = contents(fd, &f->size);
}

/* Both directories have few files: one function for all their names. */
static void disk_take_names(const char *sub)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", disk.dir, sub);
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    for (size_t i = 0; i < disk.n; i++)
        if (strncmp(disk.files[i].name, "store.wal/", 10) == 0 && *sub)
            disk.files[i].name[0] = '\0';
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_type == DT_REG && !strstr(e->d_name, "-lock"))
            snprintf(file_of(e->d_ino)->name, 64, "%s%.50s", *sub ? "store.wal/" : "", e->d_name);
    closedir(d);
}

/* An image is of one moment: the writer's thread waits until the checkpoint that it has started has
 * ended. (What it writes into the log's mapping meanwhile has no order on the disk anyway.) */
static void disk_lock(void)
{
    while (bench.store && pthread_equal(pthread_self(), disk.main) &&
           __atomic_load_n(&inside(&bench)->checkpoint.state, __ATOMIC_ACQUIRE) == CHECKPOINT_RUNS)
        sched_yield();
    pthread_mutex_lock(&disk.lock);
}

static int failing;      /* what syncs end with */
static unsigned slow_ms; /* how long they take */
int fdatasync(int fd)
{
    if (slow_ms)
        usleep(slow_ms * 1000);
    if (failing) {
        errno = failing;
        return -1;
    }
    if (!disk.on)
        return (int)syscall(SYS_fdatasync, fd);
    disk_lock();
    if (disk.before_sync)
        disk.before_sync();
    disk_take(fd);
    pthread_mutex_unlock(&disk.lock);
    return 0;
}

int fsync(int fd)
{
    char link[64], path[200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    if (!disk.on)
        return 0;
    disk_lock();
    disk_take_names(strstr(path, "store.wal") ? "store.wal" : "");
    pthread_mutex_unlock(&disk.lock);
    return 0;
}

static void disk_start(const char *dir)
{
    memset(&disk, 0, sizeof disk);
    snprintf(disk.dir, sizeof disk.dir, "%s", dir);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    pthread_mutex_init(&disk.lock, NULL);
    disk.main = pthread_self();
    disk.on = true;
}

static void disk_stop(void)
{
    disk.on = false;
    for (size_t i = 0; i < disk.n; i++)
        mem_free(disk.files[i].bytes);
    disk.n = 0;
}

static bool write_all(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool ok = fd >= 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size;
    close(fd);
    return ok;
}

/* -1: it isn't there. *renamed: it was, under a name that it doesn't have any more: the writer uses
 * files again while an image is made. */
static int open_inode(const char *sub, ino_t inode, bool *renamed)
{
    char path[300];
    int fd = -1;
    snprintf(path, sizeof path, "%s/%s", disk.dir, sub);
    DIR *d = opendir(path);
    for (struct dirent *e; d && fd < 0 && (e = readdir(d));) {
        if (e->d_ino != inode)
            continue;
        snprintf(path, sizeof path, "%s/%s%.50s", disk.dir, sub, e->d_name);
        fd = open(path, O_RDONLY);
        *renamed |= fd < 0 && errno == ENOENT;
    }
    if (d)
        closedir(d);
    return fd;
}

/* What is in the system's memory of this file, or nothing if it is gone. */
static uint8_t *live_contents(ino_t inode, size_t *size)
{
    bool again;
    int fd;
    do {
        again = false;
        fd = open_inode("", inode, &again);
        if (fd < 0)
            fd = open_inode("store.wal/", inode, &again);
    } while (fd < 0 && again);
    if (fd < 0)
        return NULL;
    uint8_t *bytes = contents(fd, size);
    close(fd);
    return bytes;
}

/* percent: of the pages that weren't synced, how many the disk has all the same. */
static void disk_image(const char *to, unsigned percent)
{
    char path[300];
    mkdir(to, 0700);
    snprintf(path, sizeof path, "%s/store.wal", to);
    mkdir(path, 0700);
    for (size_t i = 0; i < disk.n; i++) {
        const struct file *f = &disk.files[i];
        if (!f->name[0])
            continue;
        size_t live_size = 0, size = f->size;
        uint8_t *live = live_contents(f->inode, &live_size);
        if (live && live_size > size)
            size = live_size; /* as if the length were on disk: the rest is zeros */
        uint8_t *bytes = mem_calloc(size + 1, 1);
        if (f->bytes)
            memcpy(bytes, f->bytes, f->size);
        for (size_t p = 0; live && p < live_size; p += PAGE)
            if (dice(100) < percent)
                memcpy(bytes + p, live + p, live_size - p < PAGE ? live_size - p : PAGE);
        snprintf(path, sizeof path, "%s/%s", to, f->name);
        ck_assert(write_all(path, bytes, size));
        mem_free(bytes);
        mem_free(live);
    }
}

/* A copy of everything, as the death of the process leaves it. */
static void copy_store(const char *from, const char *to)
{
    static const char *const subs[] = {"", "store.wal/"};
    char path[400];
    mkdir(to, 0700);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", to, subs[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/%s", from, subs[i]);
        DIR *d = opendir(path);
        for (struct dirent *e; (e = readdir(d));) {
            if (e->d_type != DT_REG || strstr(e->d_name, "-lock"))
                continue;
            snprintf(path, sizeof path, "%s/%s%.50s", from, subs[i], e->d_name);
            size_t size;
            int fd = open(path, O_RDONLY);
            uint8_t *bytes = contents(fd, &size);
            close(fd);
            snprintf(path, sizeof path, "%s/%s%.50s", to, subs[i], e->d_name);
            ck_assert(write_all(path, bytes, size));
            mem_free(bytes);
        }
        closedir(d);
    }
}

/* ---- the death of the process ------------------------------------------------------------------
 */
static const int policies[] = {SYNC_ALWAYS, SYNC_INTERVAL, SYNC_NEVER};

START_TEST(the_death_of_the_process_takes_nothing)
{
    max_bytes = MB;
    must_open(&bench, root, policies[_i], 64 * KB);
    store_last(bench.store, 1, SOURCE);
    for (unsigned n = 1; n <= 1500; n++) {
        run_batch(&bench, n);
        if (n % 50 != 0)
            continue;
        run_until(&bench, idle);
        copy_store(root, at("copy"));
        ck_assert_uint_eq(assert_prefix(at("copy"), n, n), n);
        remove_tree(at("copy"));
    }
    assert_state(&bench, 1500, "at the end");
    ck_assert_uint_gt(inside(&bench)->generation, 5);
    close_it(&bench);
}
END_TEST

/* The last file of the log: the one that has no batch behind it. */
static const char *newest_file(const char *dir, size_t *size)
{
    static char path[400], best[64];
    snprintf(path, sizeof path, "%s/store.wal", dir);
    DIR *d = opendir(path);
    best[0] = '\0';
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".log") && strcmp(e->d_name, best) > 0)
            snprintf(best, sizeof best, "%.60s", e->d_name);
    closedir(d);
    snprintf(path, sizeof path, "%s/store.wal/%s", dir, best);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    *size = (size_t)st.st_size;
    return path;
}

static void fill(const char *path, size_t from, size_t to, int with)
{
    uint8_t *bytes = mem_alloc(to - from + 1);
    memset(bytes, with, to - from);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, bytes, to - from, (off_t)from), (ssize_t)(to - from));
    close(fd);
    mem_free(bytes);
}

/* A batch that is cut anywhere isn't there at all. (It ends in zeros, so that a cut there which
 * leaves zeros behind is none.) */
START_TEST(no_half_batch_is_ever_there)
{
    must_open(&bench, at("run"), SYNC_NEVER, 64 * KB);
    store_last(bench.store, 1, SOURCE);
    for (unsigned n = 1; n <= 9; n++)
        run_batch(&bench, n);
    size_t before = inside(&bench)->active->file->end, size;
    run_batch(&bench, 10);
    size_t after = inside(&bench)->active->file->end;
    copy_store(at("run"), at("whole"));
    close_it(&bench);
    for (size_t cut = before; cut <= after; cut++) {
        for (int with = 0; with <= 0xee; with += 0xee) {
            bool gone = with ? cut < after : cut + 8 < after;
            copy_store(at("whole"), at("cut"));
            fill(newest_file(at("cut"), &size), cut, after, with);
            assert_prefix(at("cut"), 9, gone ? 9 : 10);
            remove_tree(at("cut"));
        }
    }
}
END_TEST

/* ---- a power cut -------------------------------------------------------------------------------
 */
static unsigned images, done_batches, image_least[4000], image_most[4000];

static const unsigned percents[] = {0, 50, 100, 10, 90};
static void take_image(unsigned most, unsigned percent)
{
    ck_assert_uint_lt(images, ARRAY_LEN(image_least));
    unsigned saved = dice_state;
    dice_state = images * 7919u + 5;
    disk_image(at("image%u", images), percent);
    dice_state = saved;
    image_least[images] = done_batches;
    image_most[images++] = most;
}

static unsigned writing; /* the batch that is being written, or the last one */
static unsigned steps;   /* syncs within checkpoints */
static unsigned bench_generations;
static void before_sync(void)
{
    bool checkpoint = __atomic_load_n(&inside(&bench)->checkpoint.state, __ATOMIC_ACQUIRE);
    steps += checkpoint;
    for (unsigned i = 0; checkpoint && i < ARRAY_LEN(percents); i++)
        take_image(writing, percents[i]);
    if (!checkpoint)
        take_image(writing, percents[images % 5]);
}

static void power_cuts(int policy, unsigned batches)
{
    disk_start(at("disk"));
    images = done_batches = writing = steps = 0;
    max_bytes = MB;
    must_open(&bench, at("disk"), policy, 64 * KB);
    disk.before_sync = before_sync;
    store_last(bench.store, 1, SOURCE);
    for (unsigned n = 1; n <= batches; n++) {
        writing = n;
        run_batch(&bench, n);
        if (policy == SYNC_ALWAYS)
            done_batches = n;
        run_until(&bench, idle); /* one thread at a time, so that an image is of one moment */
        if (policy == SYNC_INTERVAL && n % 150 == 0) {
            embedded_sync_start(inside(&bench));
            run_until(&bench, idle);
            done_batches = n;
        }
        if (n % 7 == 0)
            take_image(n, percents[images % 5]);
    }
    disk.before_sync = NULL;
    bench_generations = (unsigned)inside(&bench)->generation;
    ck_assert_uint_gt(bench_generations, 2);
    close_it(&bench);
    disk_stop();
    for (unsigned i = 0; i < images; i++) {
        assert_prefix(at("image%u", i), image_least[i], image_most[i]);
        remove_tree(at("image%u", i));
    }
}

START_TEST(a_power_cut_takes_nothing_that_always_has_answered)
{
    power_cuts(SYNC_ALWAYS, 700);
    ck_assert_uint_gt(images, 700);
}
END_TEST

START_TEST(a_power_cut_leaves_interval_a_prefix)
{
    power_cuts(SYNC_INTERVAL, 1500);
    ck_assert_uint_gt(images, 250);
    ck_assert_uint_gt(steps, 4 * bench_generations);
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------
 */
static void damage(const char *path, size_t where)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)where), 1);
    byte ^= 0x40;
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)where), 1);
    close(fd);
}

START_TEST(damage_in_what_was_safe_is_told)
{
    struct error e;
    size_t size;
    must_open(&bench, at("run"), SYNC_ALWAYS, 64 * KB);
    store_last(bench.store, 1, SOURCE);
    size_t third = 0;
    for (unsigned n = 1; n <= 6; n++) {
        if (n == 3)
            third = inside(&bench)->active->file->end;
        run_batch(&bench, n);
    }
    copy_store(at("run"), at("copy"));
    close_it(&bench);
    damage(newest_file(at("copy"), &size), third + 50);
    ck_assert(!open_at(&bench, at("copy"), SYNC_ALWAYS, 64 * KB, &e));
    ck_assert_str_eq(e.text, at("copy/store.wal: batches 3 to 6 are damaged or missing; move the "
                                "directory away to start without what was written since"));
    ck_assert_int_eq(rename(at("copy/store.wal"), at("away")), 0);
    assert_prefix(at("copy"), 0, 0);
}
END_TEST

START_TEST(damage_behind_the_checkpoint_is_nothing)
{
    size_t size;
    must_open(&bench, at("run"), SYNC_ALWAYS, 64 * KB);
    store_last(bench.store, 1, SOURCE);
    unsigned n = 0;
    while (inside(&bench)->generation == 0) {
        run_batch(&bench, ++n);
        run_until(&bench, idle);
    }
    copy_store(at("run"), at("copy")); /* the first file lies there, and is in LMDB */
    close_it(&bench);
    newest_file(at("copy"), &size);
    damage(at("copy/store.wal/%016x.log", 1), SEGMENT_HEAD + 60);
    assert_prefix(at("copy"), n, n);
}
END_TEST

START_TEST(a_missing_file_is_told)
{
    struct error e;
    must_open(&bench, at("run"), SYNC_ALWAYS, 64 * KB);
    store_last(bench.store, 1, SOURCE);
    for (unsigned n = 1; n <= 5; n++)
        run_batch(&bench, n);
    copy_store(at("run"), at("early"));
    unsigned n = 5;
    while (inside(&bench)->generation == 0 || !inside(&bench)->active) {
        run_batch(&bench, ++n);
        run_until(&bench, idle);
    }
    copy_store(at("run"), at("late"));
    close_it(&bench);
    ck_assert_int_eq(unlink(at("early/store.mdb")), 0);
    assert_prefix(at("early"), 5, 5); /* nothing was in LMDB yet */
    ck_assert_int_eq(unlink(at("late/store.mdb")), 0);
    ck_assert_int_eq(unlink(at("late/store.wal/%016x.log", 1)), 0);
    ck_assert(!open_at(&bench, at("late"), SYNC_ALWAYS, 64 * KB, &e));
    ck_assert_ptr_nonnull(strstr(e.text, text_of(n)));
}
END_TEST

/* ---- readers ------------------------------------------------------------------------------------
 */
#define SHARED 300u
static unsigned visible[SHARED]; /* atomic: the last batch of this key that is done */
static unsigned over;            /* atomic */

static unsigned number_in(const char *reply)
{
    const char *line = strchr(reply, '\n');
    ck_assert_ptr_nonnull(line);
    return (unsigned)strtoul(line + 1, NULL, 10);
}

static size_t scan_all(struct bench *b, const char *count)
{
    char cursor[24] = "0";
    size_t keys = 0;
    do {
        unsigned found;
        ask(b, "SCAN", cursor, "COUNT", count);
        ck_assert_int_eq(
            sscanf((const char *)buf_head(&b->reply), "*2\r\n$%*d\r\n%23s\r\n*%u", cursor, &found),
            2);
        keys += found;
    } while (strcmp(cursor, "0") != 0);
    return keys;
}

static void *read_for_ever(void *arg)
{
    struct bench *shared = arg, mine = {.store = shared->store};
    unsigned state = (unsigned)(uintptr_t)&mine, reads = 0;
    char key[16];
    rcu_thread_register();
    uv_loop_init(&mine.loop);
    mine.reader = store_reader_new(mine.store, &mine.loop);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        unsigned k = (unsigned)rand_r(&state) % SHARED;
        unsigned least = __atomic_load_n(&visible[k], __ATOMIC_ACQUIRE);
        snprintf(key, sizeof key, "key%u", k);
        unsigned found = number_in(ask(&mine, "GET", key, NULL, NULL));
        ck_assert_msg(found >= least, "key%u: %u after %u was done", k, found, least);
        if (++reads % 500 == 0)
            ck_assert_uint_eq(scan_all(&mine, "70"), SHARED);
        if (rand_r(&state) % 64 == 0)
            uv_run(&mine.loop, UV_RUN_NOWAIT); /* a turn ends: the snapshot goes */
    }
    store_reader_free(mine.reader);
    uv_run(&mine.loop, UV_RUN_DEFAULT);
    uv_loop_close(&mine.loop);
    buf_fini(&mine.reply);
    rcu_thread_unregister();
    return NULL;
}

static void write_shared(unsigned number, unsigned first, unsigned n)
{
    struct store_write writes[SHARED];
    struct resp_command cmds[SHARED];
    struct slice argv[SHARED][3];
    char keys[SHARED][16], value[16];
    snprintf(value, sizeof value, "%u", number);
    for (unsigned i = 0; i < n; i++) {
        snprintf(keys[i], sizeof keys[i], "key%u", (first + i * 7) % SHARED);
        argv[i][0] = slice_str("SET");
        argv[i][1] = slice_str(keys[i]);
        argv[i][2] = slice_str(value);
        cmds[i] = (struct resp_command){.argv = argv[i], .argc = 3};
        writes[i] =
            (struct store_write){.stamp = (now_ms << 16) + number, .cmd = &cmds[i], .source = 0};
    }
    struct store_batch batch = {writes, n, BUF_INIT};
    apply(&bench, &batch);
    for (unsigned i = 0; i < n; i++)
        __atomic_store_n(&visible[(first + i * 7) % SHARED], number, __ATOMIC_RELEASE);
    buf_fini(&batch.replies);
}

/* What is done is seen by every read that starts afterwards, while tables freeze, are written and
 * go all the time. */
START_TEST(readers_see_every_batch_that_is_done)
{
    pthread_t readers[3];
    must_open(&bench, root, SYNC_NEVER, 64 * KB);
    for (unsigned k = 0; k < SHARED; k++)
        write_shared(1, k, 1);
    over = 0;
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_for_ever, &bench), 0);
    uint64_t end = clock_mono_ms() + 4000;
    for (unsigned n = 2; clock_mono_ms() < end; n++)
        write_shared(n, n * 31 % SHARED, 1 + n % 40);
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        pthread_join(readers[i], NULL);
    ck_assert_uint_gt(inside(&bench)->generation, 20);
    close_it(&bench);
}
END_TEST

/* ---- a long random run --------------------------------------------------------------------------
 */
#define MANY 300u
struct cell_model {
    bool there; /* and hasn't lapsed */
    size_t len;
    char fill;
    uint64_t stamp; /* of the last overwrite; 0: none */
};
static struct cell_model cells[MANY];

static void one_random_write(uint64_t stamp)
{
    static char value[200 * KB];
    unsigned k = dice(MANY), kind = dice(20);
    struct cell_model *m = &cells[k];
    char key[600], past[] = "1";
    /* some keys are longer than LMDB's may be */
    snprintf(key, sizeof key, "%0*u", k % 10 == 0 ? 590 : 6, k);
    bool stale = kind < 3 && m->stamp > 1000;
    if (stale)
        stamp = m->stamp - 1 - dice(900);
    size_t len = dice(300) == 0 ? sizeof value : dice(20) == 0 ? dice(3000) : dice(60);
    char fill_with = (char)('a' + dice(26));
    memset(value, fill_with, len);
    struct slice argv[] = {slice_str(kind > 16 ? "DEL" : "SET"), slice_str(key),
                           slice_of(value, len), slice_str("PXAT"), slice_str(past)};
    bool lapses = kind == 16;
    struct resp_command cmd = {.argv = argv, .argc = kind > 16 ? 2 : lapses ? 5 : 3};
    struct store_write w = {.stamp = stamp, .cmd = &cmd};
    struct store_batch batch = {&w, 1, BUF_INIT};
    apply(&bench, &batch);
    buf_fini(&batch.replies);
    ck_assert_int_eq(w.outcome, stale ? STORE_STALE : STORE_APPLIED);
    if (!stale)
        *m = (struct cell_model){kind < 16, len, fill_with, stamp};
}

static void check_all(void)
{
    size_t live = 0;
    char key[600], head[32];
    for (unsigned k = 0; k < MANY; k++) {
        const struct cell_model *m = &cells[k];
        snprintf(key, sizeof key, "%0*u", k % 10 == 0 ? 590 : 6, k);
        const char *reply = ask(&bench, "GET", key, NULL, NULL);
        if (m->there)
            snprintf(head, sizeof head, "$%zu\r\n%c", m->len, m->len ? m->fill : '\r');
        else
            snprintf(head, sizeof head, "$-1\r\n");
        ck_assert_msg(strncmp(reply, head, strlen(head)) == 0, "key %u: %.20s, expected %s", k,
                      reply, head);
        live += m->there;
    }
    ck_assert_uint_eq(scan_all(&bench, "17"), live);
}

static bool all_swept(struct bench *b)
{
    uint64_t live = 0;
    for (unsigned k = 0; k < MANY; k++)
        live += cells[k].there;
    return store_stats(b->store)->keys == live;
}

START_TEST(a_long_random_run)
{
    dice_state = unit_seed();
    memset(cells, 0, sizeof cells);
    must_open(&bench, root, SYNC_NEVER, 64 * KB);
    for (unsigned n = 0; n < 12000; n++) {
        one_random_write((now_ms << 16) + n * 1000u);
        if (dice(700) == 0)
            check_all();
        if (dice(2000) == 0) {
            close_it(&bench);
            must_open(&bench, root, SYNC_NEVER, 64 * KB);
        }
        if (dice(100) == 0)
            uv_run(&bench.loop, UV_RUN_NOWAIT);
    }
    check_all();
    run_until(&bench, all_swept);
    check_all();
    close_it(&bench);
    must_open(&bench, root, SYNC_NEVER, 64 * KB);
    ck_assert(all_swept(&bench));
    check_all();
    close_it(&bench);
}
END_TEST

/* ---- large batches, crowded tables --------------------------------------------------------------
 */
START_TEST(a_batch_larger_than_a_file_is_one_batch)
{
    static char values[3][2 * MB];
    struct slice argv[] = {slice_str("MSET"),
                           slice_str("a"),
                           slice_of(values[0], sizeof values[0]),
                           slice_str("b"),
                           slice_of(values[1], sizeof values[1]),
                           slice_str("c"),
                           slice_of(values[2], sizeof values[2])};
    struct resp_command cmd = {.argv = argv, .argc = 7};
    struct store_write w = {.stamp = now_ms << 16, .cmd = &cmd, .source = 1, .seq = 7};
    struct store_batch batch = {&w, 1, BUF_INIT};
    must_open(&bench, at("run"), SYNC_INTERVAL, 64 * KB);
    store_last(bench.store, 1, SOURCE);
    apply(&bench, &batch);
    buf_fini(&batch.replies);
    ck_assert_int_eq(w.outcome, STORE_APPLIED);
    copy_store(at("run"), at("copy"));
    close_it(&bench);
    must_open(&bench, at("copy"), SYNC_INTERVAL, 64 * KB);
    ck_assert_uint_eq(store_last(bench.store, 1, SOURCE), 7);
    ck_assert_str_eq(ask(&bench, "STRLEN", "c", NULL, NULL), ":2097152\r\n");
    close_it(&bench);
}
END_TEST

/* One batch of changes to one key: each has a record of its own in the log. */
#define CHANGES 400
static struct store_write changes[CHANGES];
static struct slice change_argv[3];
static struct resp_command change = {.argv = change_argv, .argc = 3};
static void change_often(size_t value_size)
{
    static char value[MB];
    struct slice argv[] = {slice_str("SET"), slice_str("k"), slice_of(value, value_size)};
    struct resp_command set = {.argv = argv, .argc = 3};
    struct store_batch batch = {changes, CHANGES, BUF_INIT};
    change_argv[0] = slice_str("APPEND");
    change_argv[1] = slice_str("k");
    change_argv[2] = slice_str("x");
    for (unsigned i = 0; i < CHANGES; i++)
        changes[i] = (struct store_write){
            .stamp = (now_ms << 16) + i, .cmd = i ? &change : &set, .source = 1, .seq = i + 1};
    store_last(bench.store, 1, SOURCE);
    awaited = bench.dones + 1;
    store_apply(bench.store, &batch);
    if (bench.dones < awaited && inside(&bench)->in_log)
        copy_store(at("run"), at("part"));
    run_until(&bench, all_done);
    for (unsigned i = 0; i < CHANGES; i++) {
        char reply[24];
        snprintf(reply, sizeof reply, i ? ":%zu\r\n" : "+OK\r\n", value_size + i);
        ck_assert(slice_eq(changes[i].reply, slice_str(reply)));
    }
    buf_fini(&batch.replies);
    for (unsigned i = 0; i < CHANGES; i++)
        ck_assert_int_eq(changes[i].outcome, STORE_APPLIED);
}

START_TEST(a_file_for_a_batch_of_unknown_size_is_found_soon)
{
    must_open(&bench, at("run"), SYNC_NEVER, 64 * KB);
    uint64_t begin = clock_mono_ms();
    change_often(100 * KB);
    ck_assert_uint_lt(clock_mono_ms() - begin, 2000);
    ck_assert_str_eq(ask(&bench, "STRLEN", "k", NULL, NULL), ":102799\r\n");
    close_it(&bench);
}
END_TEST

static uint64_t largest_file(const char *dir)
{
    char path[400];
    uint64_t largest = 0;
    struct stat st;
    DIR *d = opendir(dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%.60s", dir, e->d_name);
        if (strstr(e->d_name, ".log") && stat(path, &st) == 0 && (uint64_t)st.st_size > largest)
            largest = (uint64_t)st.st_size;
    }
    closedir(d);
    return largest;
}

/* In parts: a file isn't as large as all of them, and each part is there with its numbers. */
START_TEST(a_very_large_batch_goes_in_parts)
{
    must_open(&bench, at("run"), SYNC_NEVER, 64 * KB);
    change_often(MB);
    ck_assert_uint_lt(largest_file(at("run/store.wal")), 100 * MB);
    ck_assert_str_eq(ask(&bench, "STRLEN", "k", NULL, NULL), ":1048975\r\n");
    close_it(&bench);
    must_open(&bench, at("part"), SYNC_NEVER, 64 * KB);
    uint64_t last = store_last(bench.store, 1, SOURCE);
    char reply[24];
    ck_assert(last > 1 && last < CHANGES);
    snprintf(reply, sizeof reply, ":%u\r\n", (unsigned)(MB + last - 1));
    ck_assert_str_eq(ask(&bench, "STRLEN", "k", NULL, NULL), reply);
    close_it(&bench);
}
END_TEST

START_TEST(what_a_batch_writes_again_takes_no_room_again)
{
    max_bytes = 8 * MB;
    must_open(&bench, at("run"), SYNC_NEVER, 64 * KB);
    change_often(100 * KB);
    close_it(&bench);
}
END_TEST

/* ---- a system that has nothing left ------------------------------------------------------------
 */
static void set_one(const char *key, const char *value, uint64_t stamp, int outcome)
{
    struct slice argv[] = {slice_str("SET"), slice_str(key), slice_str(value)};
    struct resp_command cmd = {.argv = argv, .argc = 3};
    struct store_write w = {.stamp = stamp, .cmd = &cmd};
    struct store_batch batch = {&w, 1, BUF_INIT};
    apply(&bench, &batch);
    buf_fini(&batch.replies);
    ck_assert_int_eq(w.outcome, outcome);
}

START_TEST(no_descriptor_is_needed_once_it_is_open)
{
    static char value[16 * KB];
    struct rlimit before, none;
    memset(value, 'v', sizeof value - 1);
    must_open(&bench, at("run"), SYNC_INTERVAL, 64 * KB);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < 40; i++) /* ten files */
        set_one("k", value, (now_ms << 16) + i, STORE_APPLIED);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_ge(inside(&bench)->generation, 5);
    close_it(&bench);
}
END_TEST

/* What doesn't get into LMDB in time is in the log. */
START_TEST(a_slow_disk_does_not_hold_up_the_close)
{
    static char key[20], value[101];
    max_bytes = MB;
    for (unsigned round = 0; round < 2; round++) {
        must_open(&bench, at("run"), SYNC_INTERVAL, 512 * KB);
        memset(value, 'a' + (int)round, sizeof value - 1);
        for (unsigned i = 0; i < 2000; i++) {
            snprintf(key, sizeof key, "key%u", i);
            set_one(key, value, (now_ms << 16) + 10000 * round + i, STORE_APPLIED);
        }
        run_until(&bench, idle);
        slow_ms = round * 800;
        if (round) {
            embedded_freeze(inside(&bench));
            set_one("last", value, (now_ms << 16) + 20000, STORE_APPLIED);
        }
        uint64_t last = inside(&bench)->batches, mark, begin = clock_mono_ms();
        close_it(&bench);
        ck_assert_uint_lt(clock_mono_ms() - begin, 7000);
        slow_ms = 0;
        if (round) { /* and what is there is on disk */
            size_t size;
            int fd = open(newest_file(at("run"), &size), O_RDONLY);
            ck_assert_int_eq(pread(fd, &mark, sizeof mark, 72), sizeof mark);
            ck_assert_uint_eq(mark, last);
            close(fd);
        }
    }
    must_open(&bench, at("run"), SYNC_INTERVAL, 512 * KB);
    ck_assert_uint_gt(inside(&bench)->batches, inside(&bench)->written);
    ck_assert_str_eq(ask(&bench, "DBSIZE", NULL, NULL, NULL), ":2001\r\n");
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key%u", i);
        ck_assert_int_eq(ask(&bench, "GET", key, NULL, NULL)[6], 'b');
    }
    close_it(&bench);
}
END_TEST

static bool is_up(struct bench *b)
{
    return store_is_up(b->store);
}

START_TEST(what_can_not_be_synced_is_not_done)
{
    must_open(&bench, at("run"), SYNC_ALWAYS, 64 * KB);
    set_one("k", "one", (now_ms << 16) + 1, STORE_APPLIED);
    may_go_down = true;
    failing = EIO;
    set_one("k", "two", (now_ms << 16) + 2, STORE_FAILED);
    ck_assert(!store_is_up(bench.store));
    ck_assert_str_eq(ask(&bench, "GET", "k", NULL, NULL), "$3\r\none\r\n");
    copy_store(at("run"), at("copy"));
    failing = 0;
    run_until(&bench, is_up);
    set_one("j", "three", (now_ms << 16) + 3, STORE_APPLIED);
    ck_assert_str_eq(ask(&bench, "GET", "k", NULL, NULL), "$3\r\none\r\n");
    close_it(&bench);
    must_open(&bench, at("run"), SYNC_ALWAYS, 64 * KB);
    ck_assert_str_eq(ask(&bench, "GET", "k", NULL, NULL), "$3\r\none\r\n");
    ck_assert_str_eq(ask(&bench, "GET", "j", NULL, NULL), "$5\r\nthree\r\n");
    close_it(&bench);
    must_open(&bench, at("copy"), SYNC_ALWAYS, 64 * KB);
    ck_assert_str_eq(ask(&bench, "GET", "k", NULL, NULL), "$3\r\none\r\n");
    close_it(&bench);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("embedded log");
    TCase *t = tcase_create("log");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, the_death_of_the_process_takes_nothing, 0, ARRAY_LEN(policies));
    tcase_add_test(t, no_half_batch_is_ever_there);
    tcase_add_test(t, a_power_cut_takes_nothing_that_always_has_answered);
    tcase_add_test(t, a_power_cut_leaves_interval_a_prefix);
    tcase_add_test(t, damage_in_what_was_safe_is_told);
    tcase_add_test(t, damage_behind_the_checkpoint_is_nothing);
    tcase_add_test(t, a_missing_file_is_told);
    tcase_add_test(t, readers_see_every_batch_that_is_done);
    tcase_add_test(t, a_long_random_run);
    tcase_add_test(t, a_batch_larger_than_a_file_is_one_batch);
    suite_add_tcase(s, t);
    t = tcase_create("limits");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_file_for_a_batch_of_unknown_size_is_found_soon);
    tcase_add_test(t, a_very_large_batch_goes_in_parts);
    tcase_add_test(t, what_a_batch_writes_again_takes_no_room_again);
    tcase_add_test(t, no_descriptor_is_needed_once_it_is_open);
    tcase_add_test(t, a_slow_disk_does_not_hold_up_the_close);
    tcase_add_test(t, what_can_not_be_synced_is_not_done);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
