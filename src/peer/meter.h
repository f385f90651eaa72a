/* peer/meter: bytes a second of something that is counted, smoothed over about a second. Pure. */
#ifndef PEER_METER_H
#define PEER_METER_H

#include <stdint.h>

#define METER_MS 1000.0

struct meter {
    uint64_t total, at_ms; /* the last look; at_ms 0: none yet */
    double rate;           /* bytes/s */
    unsigned looks;
};

/* The count stands at `total` now. Returns bytes/s. */
static inline uint64_t meter_look(struct meter *m, uint64_t total, uint64_t now_ms)
{
    double ms = (double)(now_ms - m->at_ms);
    if (m->at_ms && ms > 0) {
        double now = (double)(total - m->total) * 1000 / ms, part = ms / (ms + METER_MS);
        /* the first looks are their plain average: there is nothing to smooth with */
        double first = 1.0 / ++m->looks;
        m->rate += (now - m->rate) * (first > part ? first : part);
    }
    if (!m->at_ms || ms > 0) {
        m->total = total;
        m->at_ms = now_ms;
    }
    return (uint64_t)m->rate;
}

#endif
