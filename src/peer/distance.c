#include "peer/distance.h"

#define FIRST_US 256u /* all that is nearer is equally near */
#define STEPS    40u
#define SLOWLY   8u /* a longer round trip moves the usual one by an eighth of the difference */

/* Where the step ends; it begins where the one before ends. */
static uint64_t end_of(unsigned step)
{
    uint64_t whole = (uint64_t)FIRST_US << (step - 1) / 2;
    return step % 2 ? whole : whole * 181 / 128; /* times the root of two */
}

static unsigned step_of(uint64_t us)
{
    unsigned step = 1;
    while (step < STEPS && us >= end_of(step))
        step++;
    return step;
}

static int is_still_at(unsigned step, uint64_t us)
{
    uint64_t begin = step > 1 ? end_of(step - 1) : 0;
    return us >= begin - begin / 4 && us < end_of(step) + end_of(step) / 4;
}

unsigned distance_sample(struct distance *d, uint64_t round_trip_us)
{
    uint64_t us = round_trip_us ? round_trip_us : 1;
    if (d->usual_us == 0 || us < d->usual_us)
        d->usual_us = us;
    else
        d->usual_us += (us - d->usual_us) / SLOWLY;
    if (d->step == DISTANCE_UNKNOWN || !is_still_at(d->step, d->usual_us))
        d->step = step_of(d->usual_us);
    return d->step;
}
