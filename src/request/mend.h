/* request/mend: read repair's decisions. Pure.
 *
 * A copy of a key may take the place of another replica's if that loses and doubles nothing: what
 * is still on its way to that replica must either not be in the copy, and is applied on top of it,
 * or be older than the overwrite in the copy, whose stamp comes along, and is dropped there. So a
 * mend has a *cut*: all writes of the key up to it are in the copy, or will never come to anybody;
 * none above it is in; and it is for a replica that nothing above it has touched. There are two
 * ways to know a cut:
 *
 *     the watermarks        All writes stamped below W, the lowest watermark of all members, have
 *                           come to all their replicas, and nothing at or above W is in the copy:
 *                           anything below W, and at or above what is in any copy. W must have been
 *                           known before the copy was made. Since the giver may not know a member
 *                           that the taker knows, the cut must lie below the taker's W as well.
 *     its last overwrite    It has stamp s, and no change newer than s is in the copy: s. What is
 *                           older has lost against the overwrite wherever it comes.
 *
 * Without either nothing may be done yet: a write is on its way, or a member is away that may hold
 * hints for the key. The stamp that a mend leaves is not the cut but that of the copy's own last
 * overwrite: replicas with the same value have the same stamp, or the one that was mended would
 * count as newer than its source from then on, also where that has more changes. */
#ifndef REQUEST_MEND_H
#define REQUEST_MEND_H

#include "ring/topology.h"
#include "store/store.h"

struct mend_copy {
    bool answered; /* all else is only then */
    bool exists;
    uint64_t digest, weight, bytes;
    uint64_t expires; /* wall ms; 0: never */
    bool expires_roughly;
    struct store_stamp overwrite; /* 0: none is known */
    struct store_stamp newest;    /* no newer write is in it */
    bool newest_exact;            /* and one of this stamp is */
    uint64_t forgotten;           /* where none is known: there may have been one up to here */
    uint64_t below;               /* all writes below this stamp are in it: the watermark */
};

/* What goes to the replica that is mended. */
struct mend {
    struct slice command;
    struct store_stamp overwrite, newest, upto; /* newest 0: not known exactly */
};

/* below: the lowest watermark, from before the copy was made. */
void mend_weigh(const struct store_copy *c, uint64_t below, struct mend_copy *out);

enum mend_verdict {
    MEND_EQUAL,     /* nothing differs (any more) */
    MEND_DO,        /* `source` is what the others get; `whom` differ */
    MEND_UNSETTLED, /* it isn't known yet: later */
    MEND_UNDECIDED, /* nothing tells which one is right */
};
struct mend_decision {
    enum mend_verdict verdict;
    unsigned source;
    struct store_stamp upto; /* the cut */
    bool whom[RING_REPLICAS_MAX];
};

/* c: of all n replicas of the key, nearest first. now_ms: wall; what lapses soon differs by clocks
 * alone.
 *
 * The newest overwrite wins, wherever a replica has a stamp of one, be it a delete's; among those
 * who have the same one the newest change, where a store tells it; among those what most have, then
 * presence, then weight and digest, so that everybody who decides decides alike. A replica of which
 * no overwrite is known may have had a newer one, now forgotten; unless it only lacks the key and
 * most replicas have it, and where there are no stamps at all, the value wins that most of all
 * replicas have (without any stamp, and if nobody lacks the key, the one that is first by the
 * above). An absence of which no stamp tells never wins. */
void mend_decide(const struct mend_copy *c, unsigned n, uint64_t now_ms, struct mend_decision *out);

/* Is it a cut that the watermarks tell? */
static inline bool mend_is_by_watermarks(struct store_stamp upto, struct store_stamp overwrite)
{
    return upto.time != overwrite.time || upto.tag != overwrite.tag;
}

/* Two copies hold the same value, for as long. */
bool mend_same(const struct mend_copy *a, const struct mend_copy *b);

#endif
