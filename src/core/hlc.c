#include "core/clock.h"

uint64_t hlc_next(struct hlc *c, uint64_t wall_us)
{
    uint64_t wall = (wall_us / 1000) << 16 | ((wall_us % 1000) << 16) / 1000;
    c->last = wall > c->last ? wall : c->last + 1;
    return c->last;
}

void hlc_follow(struct hlc *c, uint64_t stamp, uint64_t wall_ms)
{
    if (stamp > c->last && hlc_ms(stamp) <= wall_ms + HLC_AHEAD_MAX_MS)
        c->last = stamp;
}
