#include "core/alarm.h"
#include "core/clock.h"
#include <sys/timerfd.h>
#include <unistd.h>

static void rings(struct alarm *a)
{
    a->set_us = 0;
    a->ring(a->arg);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct alarm *a = p->data;
    uint64_t times;
    (void)status;
    (void)events;
    if (read(a->fd, &times, sizeof times) == (ssize_t)sizeof times)
        rings(a);
}

static void on_timer(uv_timer_t *t)
{
    rings(t->data);
}

/* -1: there is none to be had. */
static int watched(struct alarm *a, uv_loop_t *loop)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (uv_poll_init(loop, &a->poll, fd) < 0) {
        close(fd);
        return -1;
    }
    a->poll.data = a;
    uv_poll_start(&a->poll, UV_READABLE, on_poll);
    return fd;
}

void alarm_init(struct alarm *a, uv_loop_t *loop, void (*ring)(void *arg), void *arg)
{
    *a = (struct alarm){.ring = ring, .arg = arg};
    a->fd = watched(a, loop);
    uv_timer_init(loop, &a->timer);
    a->timer.data = a;
}

static void set_timer(struct alarm *a, uint64_t at_us)
{
    uint64_t now_us = clock_mono_us();
    uv_timer_start(&a->timer, on_timer, at_us > now_us ? (at_us - now_us) / 1000 + 1 : 0, 0);
}

void alarm_set(struct alarm *a, uint64_t at_us)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_us / 1000000),
                                           .tv_nsec = (long)(at_us % 1000000) * 1000}};
    if (a->set_us && a->set_us <= at_us)
        return;
    a->set_us = at_us;
    if (a->fd < 0 || timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
        set_timer(a, at_us);
}

void alarm_close(struct alarm *a)
{
    if (a->fd >= 0) {
        uv_close((uv_handle_t *)&a->poll, NULL);
        close(a->fd);
    }
    uv_close((uv_handle_t *)&a->timer, NULL);
}
