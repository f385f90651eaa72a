#include "request/nearest.h"
#include "peer/distance.h"

#define FAR 255u /* further than any step: nothing is known */

static bool is_nearer(const uint8_t *distance, const struct replica_view *a,
                      const struct replica_view *b)
{
    unsigned x = distance[a->datacenter], y = distance[b->datacenter];
    return x != y ? x < y : a->datacenter < b->datacenter;
}

/* By datacenter; the own is at 0. False: all are there. */
static bool measure(const struct replica_view *v, unsigned n, uint8_t *distance)
{
    bool elsewhere = false;
    for (unsigned i = 0; i < n; i++)
        distance[v[i].datacenter] = v[i].datacenter ? FAR : 0;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *d = &distance[v[i].datacenter];
        elsewhere |= v[i].datacenter != 0;
        if (v[i].distance != DISTANCE_UNKNOWN && v[i].distance < *d)
            *d = v[i].distance;
    }
    return elsewhere;
}

void nearest_sort(struct replica_view *v, unsigned n)
{
    uint8_t distance[RING_DATACENTERS_MAX];
    if (!measure(v, n, distance))
        return;
    for (unsigned i = 1; i < n; i++) { /* few, and mostly in order */
        struct replica_view one = v[i];
        unsigned at = i;
        for (; at > 0 && is_nearer(distance, &one, &v[at - 1]); at--)
            v[at] = v[at - 1];
        v[at] = one;
    }
}
