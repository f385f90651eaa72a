/* request/level: what the four levels ask for, in the words that plan and quorum share (DESIGN.md
 * section 8). Pure. */
#ifndef REQUEST_LEVEL_H
#define REQUEST_LEVEL_H

#include "config/config.h"

/* Does a replica in this datacenter (0: this node's own) count? At DC_ONE a read may go elsewhere
 * all the same. */
static inline bool level_counts(enum consistency level, unsigned datacenter)
{
    return datacenter == 0 || level == CONSISTENCY_DC_EACH_SAFE_QUORUM;
}

/* Values must agree, and hints never count. */
static inline bool level_is_safe(enum consistency level)
{
    return level >= CONSISTENCY_DC_SAFE_QUORUM;
}

/* How many of a datacenter's replicas of the key, those that are away among them, are needed. */
static inline unsigned level_need(enum consistency level, unsigned replicas)
{
    return level == CONSISTENCY_DC_ONE ? 1 : replicas / 2 + 1;
}

/* Where a level isn't met: the first datacenter that failed, by its index, and its figures. */
struct shortfall {
    unsigned datacenter;
    unsigned have, need;
    bool differ; /* of a read: enough have answered, but only `have` gave the same value */
};

#endif
