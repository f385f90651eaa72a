/* core/histogram: how long things take, in microseconds, in buckets that double: bucket i counts
 * what took less than 2^i us. Fixed size, one writer (relaxed atomics), any reader. */
#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 28 /* up to 134 s; the last takes the rest */

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS];
    uint64_t count, sum_us;
};

#define HISTOGRAM_ADD(field, v) __atomic_store_n(&(field), (field) + (v), __ATOMIC_RELAXED)

/* n things took so long each. */
static inline void histogram_add(struct histogram *h, uint64_t us, uint64_t n)
{
    unsigned i = us ? 64u - (unsigned)__builtin_clzll(us) : 0;
    if (i >= HISTOGRAM_BUCKETS)
        i = HISTOGRAM_BUCKETS - 1;
    HISTOGRAM_ADD(h->bucket[i], n);
    HISTOGRAM_ADD(h->count, n);
    HISTOGRAM_ADD(h->sum_us, us * n);
}

/* Adds what `from` has now to `sum`, which only the caller sees. */
static inline void histogram_merge(struct histogram *sum, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->bucket[i] += __atomic_load_n(&from->bucket[i], __ATOMIC_RELAXED);
    sum->count += __atomic_load_n(&from->count, __ATOMIC_RELAXED);
    sum->sum_us += __atomic_load_n(&from->sum_us, __ATOMIC_RELAXED);
}

#endif
