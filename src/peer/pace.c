#include "peer/pace.h"
#include <stdbool.h>

#define SMOOTH 8 /* a sample moves the usual reply time by an eighth of the difference */

void pace_init(struct pace *p, size_t max)
{
    *p = (struct pace){.window = max, .max = max};
}

void pace_begin(struct pace *p)
{
    p->window = p->max;
    p->lowest_us = 0;
}

void pace_usual(struct pace *p, uint64_t reply_us)
{
    reply_us = reply_us ? reply_us : 1;
    p->usual_us = p->usual_us ? (p->usual_us * (SMOOTH - 1) + reply_us) / SMOOTH : reply_us;
}

static void shrink(struct pace *p)
{
    size_t least = p->max < PACE_MIN ? p->max : PACE_MIN;
    p->window = p->window / 2 > least ? p->window / 2 : least;
}

static void grow(struct pace *p)
{
    size_t more = p->window + p->window / 4;
    p->window = more < p->max ? more : p->max;
}

/* Longer than without hints? Not, as long as nobody knows. */
static bool is_slow(const struct pace *p, uint64_t us)
{
    uint64_t without = p->usual_us ? p->usual_us : p->lowest_us;
    return without && us > 2 * without + PACE_SLACK_US;
}

void pace_sample(struct pace *p, uint64_t reply_us)
{
    reply_us = reply_us ? reply_us : 1;
    if (!p->lowest_us || reply_us < p->lowest_us)
        p->lowest_us = reply_us;
    if (is_slow(p, reply_us))
        shrink(p);
    else
        grow(p);
}

void pace_waited(struct pace *p, uint64_t us)
{
    if (is_slow(p, us))
        shrink(p);
}
