#include "core/clock.h"
#include <time.h>

static uint64_t now_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

uint64_t clock_wall_us(void)
{
    return now_us(CLOCK_REALTIME);
}

/* Wall minus mono, fixed by the first caller. */
static uint64_t steady_offset(void)
{
    static uint64_t offset;
    uint64_t o = __atomic_load_n(&offset, __ATOMIC_RELAXED);
    if (o == 0) {
        uint64_t fresh = clock_wall_ms() - clock_mono_ms();
        if (__atomic_compare_exchange_n(&offset, &o, fresh, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            o = fresh;
    }
    return o;
}

uint64_t clock_steady_ms(void)
{
    return clock_mono_ms() + steady_offset();
}

uint64_t clock_steady_tick_ms(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 + steady_offset();
#else
    return clock_steady_ms();
#endif
}
