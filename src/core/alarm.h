/* core/alarm: rings a loop at a time given in microseconds. For what is set for nearly every
 * request and rings seldom: a libuv timer makes each wait of its loop a timed one, and to begin and
 * end one of a millisecond costs a machine more than it takes to serve a small request (on a
 * virtual one a sixth of all its work). This is a descriptor that the loop looks at with its others
 * (timerfd): to set it is a system call, done once until it rings; to wait with it costs nothing.
 *
 *     alarm_init(&a, loop, on_alarm, arg);
 *     alarm_set(&a, clock_mono_us() + 3000);
 *     alarm_set(&a, clock_mono_us() + 9000);     nothing: it rings before that
 *     ... on_alarm(arg): whoever is there too early sets it again
 *     alarm_close(&a);
 *
 * It can't be called off: it rings once more, to nobody's harm. Where there are no such descriptors
 * (or no more), it is a libuv timer. The loop's thread; the memory stays until the loop ends. */
#ifndef CORE_ALARM_H
#define CORE_ALARM_H

#include <stdint.h>
#include <uv.h>

struct alarm {
    int fd; /* -1: none, the timer stands in */
    uv_poll_t poll;
    uv_timer_t timer;
    uint64_t set_us; /* when it rings; 0: it isn't set */
    void (*ring)(void *arg);
    void *arg;
};

void alarm_init(struct alarm *a, uv_loop_t *loop, void (*ring)(void *arg), void *arg);
/* It rings at this time (clock_mono_us) or, set before, earlier. */
void alarm_set(struct alarm *a, uint64_t at_us);
void alarm_close(struct alarm *a); /* its handles */

#endif
