/* peer/keep: what a node keeps about itself and its peers in data_dir, besides data and hints.
 *
 *     node_id   its UUID, made once
 *     start     "mark clock seen": the start mark, one higher at each start (and each time that the
 *               numbers of a log run out) and never below the wall clock's seconds; the clock's
 *               bound in ms; the steady clock when it was written
 *     peers     one line for each peer met: id address datacenter rack tokens
 *     place     "serves datacenter rack tokens": where this node belongs to the ring; not there: it
 *               was never settled that it does, or it has left
 *
 * Main thread; keep_peers later by the writer. */
#ifndef PEER_KEEP_H
#define PEER_KEEP_H

#include "core/error.h"
#include "ring/topology.h"

/* Is the text a UUID, as an id of a node has to be? It becomes a word in `peers` and the name of a
 * directory. */
bool keep_is_id(const char *text);

/* `*used`: there was an id before, this isn't the first start. */
bool keep_load_id(const char *data_dir, char id[NODE_ID_SIZE], bool *used,
                  struct error *e) MUST_USE;
/* How far stamps may count on where the wall clock is behind them, before the bound is kept again.
 */
#define KEEP_COUNT_MS 100

/* What `start` holds. */
struct keep_start {
    uint64_t mark;
    uint64_t clock_ms; /* no stamp above this was given; 0: none was */
    uint64_t seen_ms;  /* the steady clock then: a wall clock near it may be trusted; 0: unknown */
};
/* Takes the next start mark, at least `least`, and writes it before it returns, with a clock bound
 * for the beginning of this run; `*last` is what stood there before (zeros: nothing). */
bool keep_next_start(const char *data_dir, uint64_t least, struct keep_start *last, uint64_t *mark,
                     struct error *e) MUST_USE;
bool keep_start(const char *data_dir, const struct keep_start *s, struct error *e) MUST_USE;

/* What is known of this node's own membership (gossip/swim.h). */
struct keep_membership {
    bool settled; /* it belongs to the ring with its place */
    bool serves;  /* the ring had taken a client's write */
};
bool keep_membership(const char *data_dir, const struct ring_node *self,
                     const struct keep_membership *m, struct error *e) MUST_USE;
/* Zeros: nothing was kept, or of another place. */
bool keep_load_membership(const char *data_dir, const struct ring_node *self,
                          struct keep_membership *out, struct error *e) MUST_USE;

/* Lines of nodes that aren't in the ring stay, unless another is at their place. */
bool keep_peers(const char *data_dir, const struct topology *t, struct error *e) MUST_USE;
/* Fills the ids of nodes whose place is found there. */
bool keep_load_peers(const char *data_dir, struct ring_node *nodes, unsigned n, unsigned self,
                     struct error *e) MUST_USE;

/* The whole ring, one line a node: id, address, datacenter, rack and tokens with tabs between them,
 * the id "-" where it isn't known; behind them "joining" or "gone", where it is no member.
 * Written when it changed. A path of its own, since it lies with
 * the hints: it tells whose logs are those of nodes that the configuration doesn't name any more.
 */
bool keep_ring(const char *path, const struct topology *t, struct error *e) MUST_USE;
/* *out NULL: there is no such file. The caller frees the ring; self is its first node. */
bool keep_load_ring(const char *path, struct topology **out, struct error *e) MUST_USE;

/* The name of a peer's log directory before it was met: new-<64-bit hash of datacenter, rack, first
 * token>. */
void keep_new_name(const struct ring_node *n, char out[NODE_ID_SIZE]);

#endif
