/* peer/distance: how far away a peer is, so coarsely that the order in which replicas are asked
 * stays the same while nothing changes. What is measured is a round trip; most of what varies in it
 * (queues, a busy machine) only adds, so a shorter one is believed at once and a longer one little
 * by little. Distances are in steps, two to each doubling of the round trip, and one is left only
 * when the round trip is a quarter beyond it:
 *
 *     step   1        2        3        4
 *        0 .... 256 .... 362 .... 512 .... 724 us ...
 *                 |<-- 2 -->|
 *             |<--- once 2: --->|
 *
 * Pure. The sender actor's; the step is published in struct peer. */
#ifndef PEER_DISTANCE_H
#define PEER_DISTANCE_H

#include <stdint.h>

#define DISTANCE_UNKNOWN 0u

struct distance {      /* zeroed: not known */
    uint64_t usual_us; /* 0: nothing measured yet */
    unsigned step;     /* DISTANCE_UNKNOWN; from 1 on, larger is further */
};
/* A round trip took so long. Returns the step. */
unsigned distance_sample(struct distance *d, uint64_t round_trip_us);

#endif
