/* ring/heirs: who gets a write that lies here for a node which has left the ring. Pure.
 *
 *     then   the ring in which the write was made, the departed node in it
 *     now    the ring as it is
 *
 * An heir holds the key now and was no replica of it then. Two nodes may have left, and the log of
 * each may hold the same write, so an heir has one departed node that is in charge of it, the same
 * in whichever log one looks: the one that held the key in the heir's own rack; where that rack's
 * holder is still in the ring, or the rack is new, the first of the key's departed holders by the
 * names of their racks. An heir gets a write from the log of that one only, and so at most once. */
#ifndef RING_HEIRS_H
#define RING_HEIRS_H

#include "ring/topology.h"

struct heirs;
/* Copies what it needs of `then`; `now` must live as long, or be followed by snapshots of the same
 * nodes (an index means the same node in each). */
struct heirs *heirs_new(const struct topology *then, unsigned departed, const struct topology *now);
void heirs_free(struct heirs *h); /* NULL is fine */

/* The heirs of the token, as indexes in `now`: how many. */
unsigned heirs_of(const struct heirs *h, const struct topology *now, uint32_t token,
                  uint16_t out[RING_REPLICAS_MAX]);

/* Is the node at the same place: datacenter and rack? */
bool heirs_same_rack(const struct ring_node *a, const struct ring_node *b);

#endif
