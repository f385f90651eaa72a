/* Three kinds of load that redis-benchmark can't make.
 *
 *   bench_load paced PORT CLIENTS RATE SECONDS
 *     SETs of 64 bytes to 100,000 keys at a fixed rate, whatever the answers do: the n-th is due at
 *     n / RATE and goes out on connection n % CLIENTS, behind what is still unanswered there. Its
 * latency counts from the moment at which it was due, so that a server that stalls can't slow the
 * question down. Prints milliseconds: "p50 0.071", "p99 ...", "p999 ...", "max ...", and "late
 * ...": by how much this program itself was late at worst when it wrote. bench_load idle PORT
 * CLIENTS Opens the connections, gets one PONG on each, prints "ready" and holds them until stdin
 * ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SECOND     1000000000ULL
#define KEYS       100000
#define VALUE_SIZE 64
#define DEPTH      4096 /* unanswered requests of one connection */
#define BURST      16   /* requests that are due go out before it looks for replies again */
#define PATIENCE   (10 * SECOND) /* for what is unanswered at the end */

struct connection {
    int fd;
    bool in_line;        /* the reply's first byte has been seen */
    uint64_t due[DEPTH]; /* of the requests asked..answered */
    uint64_t asked, answered;
};

struct paced {
    struct connection *connections;
    size_t clients, total, sent, answered;
    uint64_t start, rate, late;
    uint64_t *latencies;
};

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bench_load: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("port %u: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done <= 0)
            fail("write: %s", strerror(errno));
        bytes += done;
        n -= (size_t)done;
    }
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- idle ---------------------------------------------------------------------------------- */

static void hold_idle(uint16_t port, size_t clients)
{
    char reply[8], end;
    for (size_t i = 0; i < clients; i++) {
        int fd = dial(port);
        write_all(fd, "*1\r\n$4\r\nPING\r\n", 14);
        if (recv(fd, reply, 7, MSG_WAITALL) != 7 || memcmp(reply, "+PONG\r\n", 7) != 0)
            fail("connection %zu: no PONG", i + 1);
    }
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0)
        ;
}

/* ---- requests and latencies ------------------------------------------------------------------ */

static void send_set(int fd)
{
    char request[256];
    int n =
        snprintf(request, sizeof request, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012ld\r\n$%d\r\n%0*d\r\n",
                 random() % KEYS, VALUE_SIZE, VALUE_SIZE, 0);
    write_all(fd, request, (size_t)n);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Nanoseconds, in any order. */
static void print_latencies(uint64_t *latencies, size_t n)
{
    static const struct {
        const char *name;
        double share;
    } lines[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1.0}};
    qsort(latencies, n, sizeof *latencies, by_size);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        printf("%s %.4f\n", lines[i].name,
               (double)latencies[(size_t)(lines[i].share * (double)(n - 1))] / 1e6);
}

/* ---- alone --------------------------------------------------------------------------------- */

static void run_alone(uint16_t port, size_t count)
{
    char reply[8];
    uint64_t *latencies = calloc(count, sizeof *latencies);
    int fd = dial(port);
    for (size_t i = 0; i < count; i++) {
        uint64_t began = now();
        send_set(fd);
        if (recv(fd, reply, 5, MSG_WAITALL) != 5 || memcmp(reply, "+OK\r\n", 5) != 0)
            fail("SET %zu: no +OK", i + 1);
        latencies[i] = now() - began;
    }
    print_latencies(latencies, count);
    free(latencies);
    close(fd);
}

/* ---- paced --------------------------------------------------------------------------------- */

static uint64_t due_time(const struct paced *p, size_t n)
{
    return p->start + (uint64_t)n * SECOND / p->rate;
}

static void ask(struct paced *p)
{
    struct connection *c = &p->connections[p->sent % p->clients];
    if (c->asked - c->answered == DEPTH)
        fail("%d requests unanswered on one connection: the rate is above what it can serve",
             DEPTH);
    uint64_t due = due_time(p, p->sent), wait = now() - due;
    p->late = wait > p->late ? wait : p->late;
    c->due[c->asked++ % DEPTH] = due;
    send_set(c->fd);
    p->sent++;
}

/* Each reply is one line; an error ends the run. */
static void take_replies(struct paced *p, struct connection *c)
{
    char bytes[16384];
    ssize_t n = read(c->fd, bytes, sizeof bytes);
    if (n <= 0)
        fail("read: %s", n ? strerror(errno) : "the server hung up");
    uint64_t t = now();
    for (ssize_t i = 0; i < n; i++) {
        if (!c->in_line && bytes[i] == '-')
            fail("reply %.*s", (int)(n - i), bytes + i);
        c->in_line = bytes[i] != '\n';
        if (!c->in_line)
            p->latencies[p->answered++] = t - c->due[c->answered++ % DEPTH];
    }
}

/* Until the next request is due; when all are sent, until something comes. */
static void wait_and_take(struct paced *p, int epoll)
{
    struct epoll_event events[64];
    uint64_t t = now(), until = p->sent < p->total ? due_time(p, p->sent) : t + SECOND / 10;
    uint64_t left = until > t ? until - t : 0;
    struct timespec timeout = {(time_t)(left / SECOND), (long)(left % SECOND)};
    int n = epoll_pwait2(epoll, events, 64, &timeout, NULL);
    if (n < 0 && errno != EINTR)
        fail("epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        take_replies(p, events[i].data.ptr);
}

static void run_paced(uint16_t port, size_t clients, uint64_t rate, uint64_t seconds)
{
    struct paced p = {.clients = clients, .rate = rate, .total = (size_t)(rate * seconds)};
    int epoll = epoll_create1(0);
    p.connections = calloc(clients, sizeof *p.connections);
    p.latencies = calloc(p.total, sizeof *p.latencies);
    for (size_t i = 0; i < clients; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &p.connections[i]};
        p.connections[i].fd = dial(port);
        epoll_ctl(epoll, EPOLL_CTL_ADD, p.connections[i].fd, &e);
    }
    prctl(PR_SET_TIMERSLACK, 1); /* ns; the default of 50 us would show */
    p.start = now() + SECOND / 100;
    while (p.answered < p.total) {
        for (int i = 0; i < BURST && p.sent < p.total && due_time(&p, p.sent) <= now(); i++)
            ask(&p);
        wait_and_take(&p, epoll);
        if (p.sent == p.total && now() > due_time(&p, p.total) + PATIENCE)
            fail("%zu of %zu requests unanswered", p.total - p.answered, p.total);
    }
    print_latencies(p.latencies, p.total);
    printf("late %.4f\n", (double)p.late / 1e6);
    free(p.latencies);
    free(p.connections);
}

int main(int argc, char **argv)
{
    raise_file_limit();
    if (argc == 4 && strcmp(argv[1], "idle") == 0)
        hold_idle((uint16_t)atoi(argv[2]), (size_t)atol(argv[3]));
    else if (argc == 4 && strcmp(argv[1], "alone") == 0 && atol(argv[3]) > 0)
        run_alone((uint16_t)atoi(argv[2]), (size_t)atol(argv[3]));
    else if (argc == 6 && strcmp(argv[1], "paced") == 0 && atol(argv[3]) > 0 && atol(argv[4]) > 0)
        run_paced((uint16_t)atoi(argv[2]), (size_t)atol(argv[3]), (uint64_t)atol(argv[4]),
                  (uint64_t)atol(argv[5]));
    else
        fail("usage: bench_load paced PORT CLIENTS RATE SECONDS | alone PORT COUNT | idle PORT "
             "CLIENTS");
    return 0;
}
