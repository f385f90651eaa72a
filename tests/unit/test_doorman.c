/* Who comes while the node starts is told so, and goes to a worker with what it has said. */
#include "client/doorman.h"
#include "core/rcu.h"
#include "unit.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOLD "-LOADING this node is starting: it reads its logs and its store\r\n"

static struct {
    int fd;
    struct sockaddr_in at;
    size_t taken;
    int took[8];
    char said[8][64];
} t;

static void setup(void)
{
    socklen_t len = sizeof t.at;
    memset(&t, 0, sizeof t);
    rcu_start();
    t.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    t.at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(bind(t.fd, (struct sockaddr *)&t.at, sizeof t.at), 0);
    ck_assert_int_eq(listen(t.fd, 16), 0);
    ck_assert_int_eq(getsockname(t.fd, (struct sockaddr *)&t.at, &len), 0);
}

static void teardown(void)
{
    for (size_t i = 0; i < t.taken; i++)
        close(t.took[i]);
    close(t.fd);
    rcu_stop();
}

static int visit(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&t.at, sizeof t.at), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect(int fd, const char *text)
{
    char got[4096];
    size_t n = 0;
    while (n < strlen(text)) {
        ssize_t more = read(fd, got + n, strlen(text) - n);
        ck_assert_int_gt(more, 0);
        n += (size_t)more;
    }
    ck_assert_int_eq(memcmp(got, text, n), 0);
}

static void take(void *arg, int fd, struct buf *in)
{
    ck_assert_ptr_eq(arg, &t);
    t.took[t.taken] = fd;
    snprintf(t.said[t.taken++], sizeof t.said[0], "%.*s", (int)in->len, (const char *)buf_head(in));
    buf_fini(in);
}

static struct doorman *started_for(bool memcache)
{
    struct error e;
    struct doorman *d = doorman_start(t.fd, memcache, &e);
    ck_assert_msg(d != NULL, "%s", e.text);
    return d;
}

static struct doorman *started(void)
{
    return started_for(false);
}

/* The fd that was taken of the visitor who had said this. */
static int taken_of(const char *said)
{
    for (size_t i = 0; i < t.taken; i++)
        if (strcmp(t.said[i], said) == 0)
            return t.took[i];
    ck_abort_msg("nobody had said '%s'", said);
    return -1;
}

START_TEST(a_visitor_is_told_and_goes_to_a_worker)
{
    struct doorman *d = started();
    int one = visit(), two = visit(), bad = visit(), gone = visit();
    say(one, "PING\r\nGET k\r\n\r\n*2\r\n$4\r\nEC");
    expect(one, TOLD TOLD);
    say(two, "PING\r\n");
    expect(two, TOLD);
    say(bad, "PING\r\n*1\r\n$x\r\nPING\r\n");
    expect(bad, TOLD);
    say(gone, "PING\r\n");
    expect(gone, TOLD);
    close(gone);
    doorman_stop(d, take, &t);
    ck_assert_uint_ge(t.taken, 3); /* it may not have noticed that one has gone */
    say(taken_of("*2\r\n$4\r\nEC"), "+one\r\n");
    expect(one, "+one\r\n");
    say(taken_of(""), "+two\r\n");
    ck_assert_int_ge(taken_of("*1\r\n$x\r\nPING\r\n"), 0);
    close(one);
    close(two);
    close(bad);
}
END_TEST

/* In their protocol; a value that is too large, and a line that is wrong, are left to a worker. */
START_TEST(clients_of_memcached_are_told)
{
    static const char told[] =
        "SERVER_ERROR LOADING this node is starting: it reads its logs and its store\r\n";
    struct doorman *d = started_for(true);
    int one = visit(), large = visit(), bad = visit();
    say(one, "get a\r\nset a 0 0 3 noreply\r\nmn\r\r\nmg a q\r\nset a 0 0 4\r\nha");
    expect(one, told);
    expect(one, told);
    say(large, "mn\r\nset a 0 0 3000000\r\nsome");
    expect(large, told);
    say(bad, "mn\r\n\x80z");
    expect(bad, told);
    doorman_stop(d, take, &t);
    ck_assert_uint_eq(t.taken, 3);
    ck_assert_int_ge(taken_of("set a 0 0 4\r\nha"), 0);
    ck_assert_int_ge(taken_of("set a 0 0 3000000\r\nsome"), 0);
    ck_assert_int_ge(taken_of("\x80z"), 0);
    close(one);
    close(large);
    close(bad);
}
END_TEST

/* More answers than it keeps for one, and each is read. */
START_TEST(a_long_pipeline_is_answered_to_its_end)
{
    struct doorman *d = started();
    int one = visit();
    for (size_t i = 0; i < 3000; i++)
        say(one, "PING\r\n");
    for (size_t i = 0; i < 3000; i++)
        expect(one, TOLD);
    doorman_stop(d, take, &t);
    ck_assert_uint_eq(t.taken, 1);
    ck_assert_str_eq(t.said[0], "");
    close(one);
}
END_TEST

/* Then the port is as it was: who waits there is somebody else's. */
START_TEST(a_short_start_is_told_to_nobody)
{
    struct doorman *d = started();
    int one = visit();
    struct pollfd p = {.fd = t.fd, .events = POLLIN};
    say(one, "PING\r\n");
    doorman_stop(d, take, &t);
    ck_assert_uint_eq(t.taken, 0);
    ck_assert_int_eq(poll(&p, 1, 5000), 1);
    t.took[t.taken++] = accept(t.fd, NULL, NULL);
    expect(t.took[0], "PING\r\n");
    close(one);
}
END_TEST

/* One that doesn't read what it is told is bounded, and isn't handed on. */
START_TEST(a_deaf_visitor_is_closed)
{
    struct doorman *d = started();
    int one = visit(), other = visit();
    char pings[6000];
    for (size_t i = 0; i < sizeof pings; i += 6)
        memcpy(pings + i, "PING\r\n", 6);
    struct pollfd p = {.fd = one, .events = POLLOUT};
    while (poll(&p, 1, 1500) == 1) /* until nothing more is taken, also when it is open */
        ck_assert_int_gt(send(one, pings, sizeof pings, MSG_DONTWAIT), 0);
    say(other, "PING\r\n");
    expect(other, TOLD);
    doorman_stop(d, take, &t);
    ck_assert_uint_eq(t.taken, 1);
    close(one);
    close(other);
}
END_TEST

static void cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_visitor_is_told_and_goes_to_a_worker);
    tcase_add_test(c, clients_of_memcached_are_told);
    tcase_add_test(c, a_long_pipeline_is_answered_to_its_end);
    tcase_add_test(c, a_short_start_is_told_to_nobody);
    tcase_add_test(c, a_deaf_visitor_is_closed);
}

int main(void)
{
    return unit_main("doorman", cases);
}
