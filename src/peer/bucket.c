#include "peer/bucket.h"
#include <math.h>

#define BURSTS_PER_S 10
#define OPENS_AT     4 /* with this part of a burst */

static double burst_of(const struct bucket *b)
{
    return (double)b->rate / BURSTS_PER_S;
}

static void fill(struct bucket *b, uint64_t now_ms)
{
    double more = (double)b->rate * (double)(now_ms - b->at_ms) / 1000;
    double paid = fmin(b->others, more / 2);
    b->others -= paid;
    b->credit = fmin(b->credit + more - paid, burst_of(b));
    b->at_ms = now_ms;
}

size_t bucket_left(struct bucket *b, uint64_t rate, uint64_t now_ms)
{
    b->rate = rate;
    fill(b, now_ms);
    if (!rate) {
        *b = (struct bucket){0};
        return SIZE_MAX;
    }
    b->shut = b->credit <= 0 || (b->shut && b->credit < burst_of(b) / OPENS_AT);
    return b->shut ? 0 : (size_t)ceil(b->credit);
}

void bucket_take(struct bucket *b, uint64_t bytes)
{
    if (b->rate)
        b->credit -= (double)bytes;
}

void bucket_take_others(struct bucket *b, uint64_t bytes)
{
    b->others = fmin(b->others + (double)bytes, burst_of(b));
}

uint64_t bucket_wait_ms(const struct bucket *b)
{
    double lacks = burst_of(b) / OPENS_AT - b->credit;
    double ms = b->rate && lacks > 0 ? ceil(lacks * 1000 / (double)b->rate) : 0;
    return ms > 1 ? (uint64_t)ms : 1;
}
