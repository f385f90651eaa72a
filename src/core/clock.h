/* Time. Three clocks, each for one purpose:
 *   mono    intervals and timeouts
 *   steady  "wall" that a jump of the system's clock doesn't move while the process runs: the wall
 *           clock at the first call plus monotonic time; hint deadlines are judged by it
 *   hlc     stamps of writes: 48 bits of wall milliseconds, 16 bits of counter (Kulkarni et al.,
 *           "Logical Physical Clocks", 2014); never goes back, owned by one thread. The counter
 *           begins where the millisecond stands: two nodes whose clocks agree order what comes one
 *           after the other within it, though the one hasn't heard of the other yet */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void);
uint64_t clock_wall_us(void);
uint64_t clock_steady_ms(void);
uint64_t clock_steady_tick_ms(void); /* as of the system's last tick, some ms ago: cheap */

#define HLC_AHEAD_MAX_MS 10000 /* a stamp further ahead than this doesn't move the clock */

struct hlc {
    uint64_t last; /* the newest stamp given out or followed */
};

static inline uint64_t hlc_ms(uint64_t stamp)
{
    return stamp >> 16;
}
/* A stamp above every one before; wall_us is the wall clock now. */
uint64_t hlc_next(struct hlc *c, uint64_t wall_us);
/* Follow a stamp from elsewhere, unless it lies more than HLC_AHEAD_MAX_MS ahead of the wall. */
void hlc_follow(struct hlc *c, uint64_t stamp, uint64_t wall_ms);

#endif
