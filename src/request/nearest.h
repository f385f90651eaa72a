/* request/nearest: the order of a key's replicas by distance: own rack, own datacenter (the
 * topology has them in front), then datacenter by datacenter, those with the shorter round trip
 * first, within one as they are configured. A datacenter is as far away as the nearest replica
 * there. What the order is for is in plan.h; a read and `dyn-admin key` have the same. Pure. */
#ifndef REQUEST_NEAREST_H
#define REQUEST_NEAREST_H

#include "request/plan.h"

/* v as topology_replicas has them; none of them joins. */
void nearest_sort(struct replica_view *v, unsigned n);

#endif
