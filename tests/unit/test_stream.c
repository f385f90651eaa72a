/* A stream on a loop: bytes in, bytes out, back-pressure, and every way to end. */
#include "core/mem.h"
#include "core/stream.h"
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#define TURNS 2000

static struct end {
    struct stream stream;
    uv_loop_t loop;
    int other; /* the test's side of the socket */
    unsigned connects, datas, ends, drains, closes;
    char reason[100];
    size_t leave;    /* bytes that on_data doesn't eat */
    bool close_soon; /* stream_close in on_data */
    struct buf got;
} the;

static void on_connect(struct stream *s)
{
    ck_assert_ptr_eq(s->owner, &the);
    the.connects++;
}

static void on_data(struct stream *s)
{
    the.datas++;
    size_t n = s->in.len > the.leave ? s->in.len - the.leave : 0;
    buf_add(&the.got, buf_head(&s->in), n);
    buf_eat(&s->in, n);
    if (the.close_soon)
        stream_close(s);
}

static void on_end(struct stream *s, const char *reason)
{
    the.ends++;
    snprintf(the.reason, sizeof the.reason, "%s", reason);
    stream_close(s);
    stream_close(s); /* twice is once */
}

static void on_drain(struct stream *s)
{
    ck_assert_uint_eq(s->out.len, 0);
    the.drains++;
}

static void on_closed(struct stream *s)
{
    ck_assert_int_eq(s->fd, -1);
    the.closes++;
}

static const struct stream_ops ops = {.on_connect = on_connect,
                                      .on_data = on_data,
                                      .on_end = on_end,
                                      .on_drain = on_drain,
                                      .on_closed = on_closed};

/* Another stream on the same loop: its owner is a buf, which gets everything. */
static void take_all(struct stream *s)
{
    buf_add(s->owner, buf_head(&s->in), s->in.len);
    buf_eat(&s->in, s->in.len);
}

static void ignore(struct stream *s)
{
    (void)s;
}

static const struct stream_ops other_ops = {.on_data = take_all, .on_closed = ignore};

static void set_up(void)
{
    memset(&the, 0, sizeof the);
    the.other = -1;
    uv_loop_init(&the.loop);
}

static void open_pair(void)
{
    int fds[2];
    struct error e;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    the.other = fds[1];
    ck_assert_int_eq(fcntl(the.other, F_SETFL, O_NONBLOCK), 0);
    ck_assert(stream_open(&the.stream, &the.loop, fds[0], &ops, &the, &e));
}

/* Turns of the loop that don't wait: what is there is dealt with. */
static void turn(void)
{
    for (int i = 0; i < 5; i++)
        uv_run(&the.loop, UV_RUN_NOWAIT);
}

static void tear_down(void)
{
    if (!the.stream.closed && the.stream.ops)
        stream_close(&the.stream);
    uv_run(&the.loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(the.closes, the.stream.ops ? 1 : 0);
    ck_assert_int_eq(uv_loop_close(&the.loop), 0);
    if (the.other >= 0)
        close(the.other);
    buf_fini(&the.got);
}

static void say(const char *text)
{
    ck_assert_int_eq(write(the.other, text, strlen(text)), (ssize_t)strlen(text));
    turn();
}

static void expect_got(const char *text)
{
    ck_assert(slice_eq(buf_slice(&the.got), slice_str(text)));
}

START_TEST(data_is_kept_until_it_is_eaten)
{
    open_pair();
    turn();
    ck_assert_uint_eq(the.datas, 0);
    the.leave = 3;
    say("abcdef");
    expect_got("abc");
    the.leave = 0;
    say("g");
    expect_got("abcdefg");
    ck_assert_uint_eq(the.datas, 2);
}
END_TEST

/* What on_data left is eaten later: then a flush gives its memory back. */
START_TEST(what_is_eaten_later_leaves_no_memory)
{
    open_pair();
    the.leave = 3;
    say("one");
    ck_assert_uint_eq(the.stream.in.len, 3);
    stream_flush(&the.stream);
    ck_assert(slice_eq(buf_slice(&the.stream.in), slice_str("one")));
    buf_eat(&the.stream.in, 3);
    stream_flush(&the.stream);
    ck_assert_uint_eq(the.stream.in.cap, 0);
    the.leave = 0;
    say("two");
    expect_got("two");
}
END_TEST

/* What a stream leaves of the buffer that all share isn't touched by what others read. */
START_TEST(what_is_left_outlives_the_reads_of_others)
{
    int fds[2];
    struct error e;
    struct stream second;
    struct buf got = BUF_INIT;
    open_pair();
    the.leave = 4;
    say("onetwo");
    expect_got("on");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert(stream_open(&second, &the.loop, fds[0], &other_ops, &got, &e));
    ck_assert_int_eq(write(fds[1], "XXXXXXXX", 8), 8);
    turn();
    ck_assert(slice_eq(buf_slice(&got), slice_str("XXXXXXXX")));
    ck_assert_msg(second.in.cap == 0, "%zu bytes found; allowed 0: nothing was left",
                  second.in.cap);
    ck_assert(slice_eq(buf_slice(&the.stream.in), slice_str("etwo")));
    the.leave = 0;
    say("!");
    expect_got("onetwo!");
    ck_assert_uint_eq(the.stream.in.cap, 0);
    stream_close(&second);
    turn();
    close(fds[1]);
    buf_fini(&got);
}
END_TEST

START_TEST(paused_reads_nothing_and_misses_nothing)
{
    open_pair();
    stream_pause(&the.stream);
    say("later");
    ck_assert_uint_eq(the.datas, 0);
    shutdown(the.other, SHUT_WR);
    turn();
    ck_assert_uint_eq(the.ends, 0);
    stream_resume(&the.stream);
    turn();
    expect_got("later");
    ck_assert_uint_eq(the.ends, 1);
}
END_TEST

START_TEST(the_other_side_closes)
{
    open_pair();
    say("last words");
    close(the.other);
    the.other = -1;
    turn();
    expect_got("last words");
    ck_assert_uint_eq(the.ends, 1);
    ck_assert_str_eq(the.reason, "closed by the other side");
    ck_assert_uint_eq(the.closes, 1);
}
END_TEST

START_TEST(closing_inside_a_callback)
{
    open_pair();
    the.close_soon = true;
    say("x");
    ck_assert_int_lt(send(the.other, "y", 1, MSG_NOSIGNAL), 0);
    turn();
    ck_assert_uint_eq(the.datas, 1);
    ck_assert_uint_eq(the.ends, 0);
    ck_assert_uint_eq(the.closes, 1);
    stream_flush(&the.stream); /* harmless by now */
}
END_TEST

/* More than a socket takes: it waits in `out`, goes on by itself, and on_drain tells when. */
START_TEST(what_the_socket_doesnt_take_waits)
{
    enum { SIZE = 3 * 1024 * 1024 };
    static uint8_t pattern[SIZE], back[SIZE];
    size_t n = 0;
    open_pair();
    for (size_t i = 0; i < SIZE; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 13);
    buf_add(&the.stream.out, pattern, SIZE);
    stream_flush(&the.stream);
    ck_assert_uint_gt(the.stream.out.len, 0);
    ck_assert_uint_eq(the.drains, 0);
    for (int i = 0; i < TURNS && n < SIZE; i++) {
        ssize_t k = read(the.other, back + n, SIZE - n);
        n += k > 0 ? (size_t)k : 0;
        turn();
    }
    ck_assert_uint_eq(n, SIZE);
    ck_assert_int_eq(memcmp(pattern, back, SIZE), 0);
    ck_assert_uint_eq(the.drains, 1);
    ck_assert_uint_le(the.stream.out.cap, 64 * 1024); /* given back */
}
END_TEST

START_TEST(large_input_arrives_whole)
{
    enum { SIZE = 5 * 1024 * 1024 };
    static uint8_t pattern[SIZE];
    size_t n = 0;
    open_pair();
    the.leave = SIZE_MAX; /* nothing is eaten until all is there */
    the.stream.in_want = SIZE;
    for (size_t i = 0; i < SIZE; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 11);
    for (int i = 0; i < TURNS && n < SIZE; i++) {
        ssize_t k = write(the.other, pattern + n, SIZE - n);
        n += k > 0 ? (size_t)k : 0;
        turn();
    }
    ck_assert_uint_eq(the.stream.in.len, SIZE);
    ck_assert_int_eq(memcmp(buf_head(&the.stream.in), pattern, SIZE), 0);
    ck_assert_uint_le(the.stream.in.cap, 2 * SIZE);
}
END_TEST

/* No signal and no callback from inside the flush; the reading side says it. */
START_TEST(a_broken_socket_is_reported_by_on_end)
{
    open_pair();
    close(the.other);
    the.other = -1;
    buf_add_str(&the.stream.out, "into the void");
    stream_flush(&the.stream);
    ck_assert_uint_eq(the.ends, 0);
    turn();
    ck_assert_uint_eq(the.ends, 1);
    ck_assert_uint_eq(the.closes, 1);
}
END_TEST

static int listen_on(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(bind(fd, (struct sockaddr *)at, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

START_TEST(connects)
{
    struct error e;
    struct sockaddr_in at;
    int server = listen_on(&at);
    ck_assert_int_eq(listen(server, 1), 0);
    ck_assert(
        stream_connect(&the.stream, &the.loop, (struct sockaddr *)&at, sizeof at, &ops, &the, &e));
    buf_add_str(&the.stream.out, "hello");
    stream_flush(&the.stream); /* too early: it waits */
    the.other = accept(server, NULL, NULL);
    for (int i = 0; i < TURNS && !the.connects; i++)
        uv_run(&the.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(the.connects, 1);
    stream_flush(&the.stream);
    char back[10] = "";
    ck_assert_int_eq(read(the.other, back, sizeof back), 5);
    ck_assert_str_eq(back, "hello");
    say("x");
    for (int i = 0; i < TURNS && !the.datas; i++)
        uv_run(&the.loop, UV_RUN_ONCE);
    expect_got("x");
    close(server);
}
END_TEST

START_TEST(nobody_listens)
{
    struct error e;
    struct sockaddr_in at;
    int server = listen_on(&at); /* bound, so that nobody else gets the port */
    if (stream_connect(&the.stream, &the.loop, (struct sockaddr *)&at, sizeof at, &ops, &the, &e)) {
        for (int i = 0; i < TURNS && !the.ends; i++)
            uv_run(&the.loop, UV_RUN_ONCE);
        ck_assert_str_eq(the.reason, "Connection refused");
        ck_assert_uint_eq(the.connects, 0);
    } else {
        ck_assert_str_eq(e.text, "Connection refused");
        the.stream.ops = NULL;
    }
    close(server);
}
END_TEST

START_TEST(what_cant_be_polled)
{
    struct error e;
    int fd = open("/dev/null", O_RDWR);
    ck_assert(!stream_open(&the.stream, &the.loop, fd, &ops, &the, &e));
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* closed */
    the.stream.ops = NULL;
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, data_is_kept_until_it_is_eaten);
    tcase_add_test(c, what_is_left_outlives_the_reads_of_others);
    tcase_add_test(c, what_is_eaten_later_leaves_no_memory);
    tcase_add_test(c, paused_reads_nothing_and_misses_nothing);
    tcase_add_test(c, the_other_side_closes);
    tcase_add_test(c, closing_inside_a_callback);
    tcase_add_test(c, what_the_socket_doesnt_take_waits);
    tcase_add_test(c, large_input_arrives_whole);
    tcase_add_test(c, a_broken_socket_is_reported_by_on_end);
    tcase_add_test(c, connects);
    tcase_add_test(c, nobody_listens);
    tcase_add_test(c, what_cant_be_polled);
}

int main(void)
{
    return unit_main("stream", add_cases);
}
