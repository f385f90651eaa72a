/* bench_hints: the hint store beside a straightforward one (one mutex, a hash map of peer to
 * growable array, one malloc for each payload), in turns in one run, each turn in a process of its
 * own. Prints ratios, and whether targets are met; docs/benchmarks.md says what they mean.
 *
 *     bench_hints [DIRECTORY]      for what is measured on disk; default /var/tmp
 */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/store.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HINTS   1000000u
#define PAYLOAD 100u
#define ROUNDS  5
#define TTL_MS  (24u * 3600 * 1000)
#define PEERS   64 /* at most */

static char names[PEERS][40];
static uint8_t payload[PAYLOAD];
static const char *disk = "/var/tmp";

static void make_names(void)
{
    for (unsigned i = 0; i < PEERS; i++)
        snprintf(names[i], sizeof names[i], "6b1d0c5e-38a2-4f0c-9d6b-%012x", i * 7919 + 1);
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* Of one thread its own time counts, whoever else has the machine; of several the wall's. */
static uint64_t spent_ns(unsigned threads)
{
    return clock_ns(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC);
}

static uint64_t rss_anon(void)
{
    char line[128];
    unsigned long long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %llu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb * 1024;
}

/* ---- the straightforward store
 * -------------------------------------------------------------------- */

struct plain_hint {
    uint64_t deadline;
    size_t len;
    uint8_t *payload;
};

struct plain_peer {
    char *name;
    struct plain_hint *at;
    size_t n, cap;
};

static struct plain {
    pthread_mutex_t lock;
    struct plain_peer slot[2 * PEERS];
    uint64_t bytes, max_bytes;
} plain = {.lock = PTHREAD_MUTEX_INITIALIZER, .max_bytes = 1u << 30};

static struct plain_peer *plain_peer(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (const char *c = name; *c; c++)
        h = (h ^ (uint8_t)*c) * 1099511628211u;
    for (;; h++) {
        struct plain_peer *p = &plain.slot[h % (2 * PEERS)];
        if (!p->name)
            p->name = mem_strdup(name);
        if (strcmp(p->name, name) == 0)
            return p;
    }
}

static bool plain_put(const char *name, struct slice s, uint64_t ttl_ms)
{
    bool ok = false;
    pthread_mutex_lock(&plain.lock);
    if (plain.bytes + s.len <= plain.max_bytes) {
        struct plain_peer *p = plain_peer(name);
        if (p->n == p->cap) {
            p->cap = p->cap ? 2 * p->cap : 16;
            p->at = mem_realloc(p->at, p->cap * sizeof *p->at);
        }
        p->at[p->n++] = (struct plain_hint){
            .deadline = clock_wall_ms() + ttl_ms, .len = s.len, .payload = mem_dup(s.ptr, s.len)};
        plain.bytes += s.len;
        ok = true;
    }
    pthread_mutex_unlock(&plain.lock);
    return ok;
}

/* Statistics (count and oldest) and expiry: one walk, under the lock. */
static uint64_t plain_expire(uint64_t now_ms)
{
    uint64_t expired = 0;
    pthread_mutex_lock(&plain.lock);
    for (unsigned i = 0; i < 2 * PEERS; i++) {
        struct plain_peer *p = &plain.slot[i];
        size_t kept = 0;
        for (size_t k = 0; k < p->n; k++) {
            if (p->at[k].deadline < now_ms) {
                plain.bytes -= p->at[k].len;
                mem_free(p->at[k].payload);
                expired++;
            } else {
                p->at[kept++] = p->at[k];
            }
        }
        p->n = kept;
    }
    pthread_mutex_unlock(&plain.lock);
    return expired;
}

static void plain_take(const char *name)
{
    pthread_mutex_lock(&plain.lock);
    struct plain_peer *p = plain_peer(name);
    for (size_t k = 0; k < p->n; k++) {
        plain.bytes -= p->at[k].len;
        mem_free(p->at[k].payload);
    }
    p->n = 0;
    pthread_mutex_unlock(&plain.lock);
}

/* ---- what is measured, in a process of its own
 * ---------------------------------------------------- */

struct run {
    bool plain, by_name, promise;
    unsigned peers, threads;
};

static struct hint_store *store;
static struct hint_peer *handle[PEERS];
static struct run now;

static void open_store(const struct hint_store_options *o, unsigned peers)
{
    struct error e;
    store = hint_store_open(o, &e);
    for (unsigned i = 0; store && i < peers; i++)
        handle[i] = hint_store_peer(store, names[i], NULL, &e);
    if (!store || !handle[0]) {
        fprintf(stderr, "bench_hints: %s\n", e.text);
        exit(1);
    }
}

static bool put_one(unsigned peer)
{
    struct slice s = slice_of(payload, sizeof payload);
    if (now.plain)
        return plain_put(names[peer], s, TTL_MS);
    struct hint_peer *p = now.by_name ? hint_store_find(store, names[peer]) : handle[peer];
    return hint_store_put(p, s, TTL_MS) == HINT_PUT_STORED;
}

static pthread_barrier_t start_line;

static void *put_many(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg, peer = thread;
    rcu_thread_register();
    pthread_barrier_wait(&start_line);
    for (unsigned i = 0; i < HINTS / now.threads; i++) {
        if (!put_one(peer))
            abort();
        peer = peer + 1 < now.peers ? peer + 1 : 0;
    }
    pthread_barrier_wait(&start_line);
    rcu_thread_unregister();
    return NULL;
}

struct figures {
    double a, b;
};

/* a: ns per put; b: bytes of overhead per hint. */
static struct figures measure_put(void)
{
    pthread_t t[64];
    struct hint_store_options o = {.cap = 1u << 30, .single_writer = now.promise};
    open_store(&o, now.peers);
    pthread_barrier_init(&start_line, NULL, now.threads + 1);
    uint64_t before = rss_anon();
    for (unsigned i = 0; i < now.threads; i++)
        pthread_create(&t[i], NULL, put_many, (void *)(uintptr_t)(i % now.peers));
    pthread_barrier_wait(&start_line);
    uint64_t from = spent_ns(now.threads);
    pthread_barrier_wait(&start_line);
    uint64_t took = spent_ns(now.threads) - from, held = rss_anon() - before;
    for (unsigned i = 0; i < now.threads; i++)
        pthread_join(t[i], NULL);
    return (struct figures){(double)took / HINTS, (double)held / HINTS - PAYLOAD};
}

static uint64_t peak;
static unsigned taken;

static void look(void)
{
    uint64_t rss = rss_anon();
    peak = rss > peak ? rss : peak;
}

static bool take_one(void *arg, const struct frame *f)
{
    (void)arg;
    (void)f;
    if (++taken % 50000 == 0)
        look();
    return true;
}

static unsigned stop_walking;

static void *walk(void *arg)
{
    (void)arg;
    rcu_thread_register();
    while (!__atomic_load_n(&stop_walking, __ATOMIC_RELAXED)) {
        if (now.plain) {
            plain_expire(clock_wall_ms());
        } else {
            struct hint_totals totals;
            hint_store_totals(store, &totals);
            hint_store_expire(store, clock_steady_ms());
        }
    }
    rcu_thread_unregister();
    return NULL;
}

/* Preemption isn't the store's doing: puts during which the system took the core away don't count.
 */
static long preemptions(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nivcsw;
}

static void drain(unsigned peer)
{
    if (now.plain)
        plain_take(names[peer]);
    else
        hint_store_take(handle[peer], take_one, NULL);
}

/* In us. `fresh`: it goes on into memory that the process hasn't had yet; else to a peer that is
 * drained as it goes. */
static double longest_put(bool fresh)
{
    uint64_t longest = 0, begun = now_ns();
    unsigned last = now.peers - 1;
    /* for some seconds at most: a mutex is unfair, and a walk under it may shut out every put */
    for (unsigned i = 0; i < 200000 && now_ns() - begun < 3000000000u; i++) {
        long known = i % 500 == 0 ? preemptions() : -1;
        uint64_t from = now_ns();
        if (!put_one(last))
            abort();
        uint64_t took = now_ns() - from;
        static long before;
        before = known >= 0 ? known : before;
        if (took > longest && took > 5000) {
            long seen = preemptions();
            longest = seen == before ? took : longest;
            before = seen;
        }
        if (!fresh && i % 500 == 499)
            drain(last);
    }
    return (double)longest / 1000;
}

/* a: while another thread walks over 1,000,000 hints; b: without, and into fresh memory. */
static struct figures measure_held_up(void)
{
    pthread_t t;
    open_store(&(struct hint_store_options){.cap = 1u << 30}, now.peers);
    for (unsigned i = 0; i < HINTS; i++)
        if (!put_one(i % (now.peers - 1)))
            abort();
    pthread_create(&t, NULL, walk, NULL);
    double beside = longest_put(false);
    __atomic_store_n(&stop_walking, 1, __ATOMIC_RELAXED);
    pthread_join(t, NULL);
    return (struct figures){beside, longest_put(true)};
}

/* ---- on disk
 * -------------------------------------------------------------------------------------- */

static char dir[256];

static void remove_tree(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        fprintf(stderr, "bench_hints: %s: can't be removed\n", dir);
}

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "%s/bench_hints.XXXXXX", disk);
    if (!mkdtemp(dir)) {
        perror(dir);
        exit(1);
    }
}

#define WAITING   64
#define DURABLE   40000u
#define BARE_LOOP 600u

static void *put_durable(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    rcu_thread_register();
    for (unsigned i = 0; i < DURABLE / WAITING; i++)
        if (!put_one(thread % now.peers))
            abort();
    rcu_thread_unregister();
    return NULL;
}

/* Hints per second of "append the bytes of 64 hints, fdatasync". */
static double bare_loop(void)
{
    static uint8_t bytes[WAITING * (PAYLOAD + FRAME_HEAD)];
    char path[300];
    snprintf(path, sizeof path, "%s/bare", dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, 16 << 20) != 0)
        abort();
    fsync(fd);
    uint64_t from = now_ns();
    for (unsigned i = 0; i < BARE_LOOP; i++)
        if (write(fd, bytes, sizeof bytes) != sizeof bytes || fdatasync(fd) != 0)
            abort();
    double s = (double)(now_ns() - from) / 1e9;
    close(fd);
    return BARE_LOOP * WAITING / s;
}

/* a: hints per fdatasync; b: share of the bare loop. */
static struct figures measure_durable(void)
{
    pthread_t t[WAITING];
    double before = bare_loop();
    open_store(&(struct hint_store_options){.dir = dir, .sync = HINT_SYNC_ALWAYS}, now.peers);
    uint64_t from = now_ns();
    for (unsigned i = 0; i < WAITING; i++)
        pthread_create(&t[i], NULL, put_durable, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < WAITING; i++)
        pthread_join(t[i], NULL);
    double s = (double)(now_ns() - from) / 1e9;
    struct hint_totals totals;
    hint_store_totals(store, &totals);
    double stored = (double)totals.sum.stored, bare = (before + bare_loop()) / 2;
    return (struct figures){stored / (double)totals.sum.syncs, stored / s / bare};
}

static void fill(unsigned n)
{
    struct error e;
    for (unsigned i = 0; i < n; i++) {
        if (!put_one(i % now.peers))
            abort();
        if (i % (1u << 18) == 0 && !hint_store_sync(store, &e))
            abort();
    }
}

/* a: seconds to open 1,000,000 hints. */
static struct figures measure_reopen(void)
{
    struct error e;
    struct hint_store_options o = {.dir = dir, .sync = HINT_SYNC_INTERVAL};
    open_store(&o, now.peers);
    fill(HINTS);
    if (!hint_store_close(store, &e))
        abort();
    rcu_drain();
    uint64_t from = now_ns();
    store = hint_store_open(&o, &e);
    double s = (double)(now_ns() - from) / 1e9;
    struct hint_totals totals;
    hint_store_totals(store, &totals);
    if (totals.sum.pending != HINTS)
        abort();
    return (struct figures){s, 0};
}

/* a: MB of RssAnon above idle while 1 GB of payload is stored and replayed. */
static struct figures measure_memory(void)
{
    unsigned n = (1u << 30) / PAYLOAD, step = 50000;
    open_store(&(struct hint_store_options){.dir = dir, .sync = HINT_SYNC_INTERVAL}, now.peers);
    uint64_t idle = peak = rss_anon();
    for (unsigned done = 0; done < n; done += step) {
        fill(step);
        look();
    }
    for (unsigned i = 0; i < now.peers; i++)
        hint_store_take(handle[i], take_one, NULL);
    if (taken < n)
        abort();
    return (struct figures){(double)(peak - idle) / (1 << 20), 0};
}

static struct figures in_child(struct figures (*measure)(void), const struct run *r, bool on_disk)
{
    int fd[2];
    struct figures f = {0, 0};
    if (pipe(fd) != 0)
        exit(1);
    fflush(stdout);
    if (on_disk)
        make_dir();
    pid_t pid = fork();
    if (pid == 0) {
        rcu_start();
        now = *r;
        f = measure();
        _exit(write(fd[1], &f, sizeof f) == sizeof f ? 0 : 1);
    }
    close(fd[1]);
    bool ok = pid > 0 && read(fd[0], &f, sizeof f) == sizeof f;
    close(fd[0]);
    waitpid(pid, NULL, 0);
    if (on_disk)
        remove_tree();
    if (!ok)
        exit(1);
    return f;
}

/* ---- the report
 * ---------------------------------------------------------------------------------- */

/* Of the rounds the one that other programs disturbed least. */
static double lowest(const double *v)
{
    double x = v[0];
    for (unsigned i = 1; i < ROUNDS; i++)
        x = v[i] < x ? v[i] : x;
    return x;
}

static double highest(const double *v)
{
    double x = v[0];
    for (unsigned i = 1; i < ROUNDS; i++)
        x = v[i] > x ? v[i] : x;
    return x;
}

static bool all_met = true;

static const char *met(bool yes)
{
    all_met &= yes;
    return yes ? "met" : "NOT met";
}

enum variant { PLAIN, STORE, BY_NAME, PROMISE, VARIANTS };

static void report_put(unsigned peers, unsigned threads)
{
    double ns[VARIANTS][ROUNDS], overhead[VARIANTS][ROUNDS], want = threads == 1 ? 4 : 2.5;
    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned v = PLAIN; v < VARIANTS; v++) {
            /* the promise is kept by one thread only */
            struct run r = {.plain = v == PLAIN,
                            .by_name = v == BY_NAME,
                            .promise = v == PROMISE && threads == 1,
                            .peers = peers,
                            .threads = threads};
            struct figures f = in_child(measure_put, &r, false);
            ns[v][i] = f.a;
            overhead[v][i] = f.b;
        }
    double plain_ns = lowest(ns[PLAIN]), x = plain_ns / lowest(ns[STORE]);
    double held = highest(overhead[STORE]);
    printf(
        "| put, %u peers, %u threads, ns | %.0f | %.0f | %.1f x | >= %.1f x: %s | by name %.1f x",
        peers, threads, plain_ns, lowest(ns[STORE]), x, want, met(x >= want),
        plain_ns / lowest(ns[BY_NAME]));
    if (threads == 1)
        printf(", one writer promised %.1f x", plain_ns / lowest(ns[PROMISE]));
    printf(" |\n| overhead, bytes a hint | %.1f | %.1f | | <= 48: %s | |\n",
           highest(overhead[PLAIN]), held, met(held <= 48));
}

static void report_held_up(unsigned peers)
{
    double us[2][ROUNDS], fresh[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct run r = {.plain = true, .peers = peers, .threads = 1};
        us[0][i] = in_child(measure_held_up, &r, false).a;
        r.plain = false;
        struct figures f = in_child(measure_held_up, &r, false);
        us[1][i] = f.a;
        fresh[i] = f.b;
    }
    double x = lowest(us[1]);
    printf("| longest put beside statistics and expiry over 1,000,000 hints, %u peers, us | %.0f | "
           "%.0f | | <= 50: %s | without them, into fresh memory: %.0f |\n",
           peers, lowest(us[0]), x, met(x <= 50), lowest(fresh));
}

static void report_durable(unsigned peers, bool target)
{
    double hints[ROUNDS], share[ROUNDS];
    struct run r = {.peers = peers, .threads = WAITING};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct figures f = in_child(measure_durable, &r, true);
        hints[i] = f.a;
        share[i] = f.b;
    }
    double n = highest(hints), x = highest(share);
    printf(
        "| on disk, always, %u puts waiting, %u peers: hints per fdatasync | | %.1f | | %s | |\n",
        WAITING, peers, n, target ? (n >= 50 ? ">= 50: met" : ">= 50: NOT met") : "");
    printf("| share of a bare loop (64 hints, fdatasync) | | %.2f | | %s | |\n", x,
           target ? (x >= 0.6 ? ">= 0.6: met" : ">= 0.6: NOT met") : "");
    all_met &= !target || (n >= 50 && x >= 0.6);
}

static void report_disk(void)
{
    double s[ROUNDS];
    struct run r = {.peers = 3, .threads = 1};
    report_durable(1, true);
    report_durable(3, false);
    for (unsigned i = 0; i < ROUNDS; i++)
        s[i] = in_child(measure_reopen, &r, true).a;
    double x = lowest(s);
    printf("| opening 1,000,000 hints, s | | %.2f | | < 1: %s | |\n", x, met(x < 1));
    x = in_child(measure_memory, &r, true).a;
    printf("| RssAnon above idle, 1 GB stored and replayed, MB | | %.1f | | <= 32: %s | |\n", x,
           met(x <= 32));
}

int main(int argc, char **argv)
{
    disk = argc > 1 ? argv[1] : disk;
    make_names();
    memset(payload, 'x', sizeof payload);
    printf("| | straightforward | store | ratio | target | |\n|---|---|---|---|---|---|\n");
    for (unsigned peers = 3; peers <= PEERS; peers += PEERS - 3) {
        for (unsigned threads = 1; threads <= 4; threads *= 2)
            report_put(peers, threads);
        report_held_up(peers);
    }
    report_disk();
    printf("\n%s\n", all_met ? "every target is met" : "not every target is met");
    return 0;
}
