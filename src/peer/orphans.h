/* peer/orphans: logs below hint_dir of nodes that the configuration doesn't name any more (another
 * rack, other tokens, gone). Their hints are kept, counted and shown until they are handed off,
 * truncated or past their lifetime; then the orphan goes away.
 *
 *     <hint_dir>/ring           the ring of the last start (peer/keep.h)
 *     <hint_dir>/NAME/ring      the ring of the last start that named NAME: whose log it is, and
 * who the replicas were when its hints were made <hint_dir>/NAME/handoff   a handoff is under way
 * (request/handoff.h)
 *
 * What stays of one that goes is its needs-repair mark: should the node come back under its id, it
 * lacks what went to others.
 *
 * The table is made at the start and stays as it is to the end; an orphan that has gone says so.
 * The consumer's side of each log is the writer's, nobody appends. Figures: any thread. */
#ifndef PEER_ORPHANS_H
#define PEER_ORPHANS_H

#include "peer/orders.h"
#include "peer/peer.h"
#include "ring/heirs.h"

struct orphan {
    char *name, *dir;
    char *mark_dir; /* of its id, where that is known: there it will be looked for */
    struct hint_peer *hints;
    struct hint_log *log;  /* the same log, for reading */
    struct topology *then; /* the ring in which its hints were made; NULL: not known */
    struct ring_node node; /* it, in `then`; else its id, if the name is one, the name as its
                              address, and nothing else */
    struct heirs *heirs;   /* NULL: not known, its hints can't be handed off */
    uint64_t unreadable;   /* segments that this program can't read */
    uint32_t gone;         /* atomic; the writer's */
    struct orders waits;   /* the writer's: for its hints to be gone */
};

struct orphans {
    unsigned n;
    struct orphan *at;
};

/* Takes what the hint store found below `root` (NULL: nothing) and belongs neither to `peers` nor
 * to this node, and keeps the present ring for the next start. */
bool orphans_open(struct orphans *o, struct hint_store *store, const char *root,
                  const struct topology *now, const struct peers *peers, struct error *e) MUST_USE;
/* A node's id became known: the ring is kept anew. The writer's thread. */
bool orphans_keep_ring(const char *root, const struct topology *now, struct error *e) MUST_USE;
void orphans_close(struct orphans *o);

/* Removes all files of a log's directory but the needs-repair mark: there is no log any more. */
void orphan_unlink_files(const char *dir);

/* ---- the writer ----------------------------------------------------------------------------- */

/* Before something goes from its log to others or is dropped: the needs-repair mark. */
void orphan_mark(const struct orphan *o, const char *reason);
/* The node joins the ring: the log that lies here for it, if any, isn't an orphan any more.
 * Refused: there is one of another place with hints in it. */
bool orphans_have(const struct orphans *all, const struct ring_node *n);
bool orphans_claim(struct orphans *all, const struct ring_node *n, struct error *e) MUST_USE;
/* Its log is empty: its files go, and the mark stays. */
void orphan_remove(struct orphan *o);
/* Drops what is past its lifetime. Cheap where there is nothing to do. */
void orphans_expire(struct orphans *all, uint64_t now_ms);

/* ---- anybody -------------------------------------------------------------------------------- */

struct peer_hints orphan_hints(const struct orphan *o); /* zeros: it has gone */
static inline bool orphan_is_gone(const struct orphan *o)
{
    return __atomic_load_n(&o->gone, __ATOMIC_ACQUIRE);
}
/* May a node of this id be let in? Not while hints lie here that were made for it at another place:
 * they would come in no order with what is written for it now. NULL is fine. */
bool orphans_check(const struct orphans *all, const char *id, struct error *e) MUST_USE;
/* The orphan that is meant: by id, address or name, or the beginning of an id or name. *found: how
 * many may be meant. all NULL: none. */
const struct orphan *orphans_find(const struct orphans *all, const char *text, unsigned *found);

#endif
