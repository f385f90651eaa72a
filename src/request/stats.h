/* request/stats: what one worker counts. One writer (the worker), relaxed atomics, read by the
 * admin actor, which adds the workers up. */
#ifndef REQUEST_STATS_H
#define REQUEST_STATS_H

#include "core/histogram.h"
#include <stdint.h>

#define STATS_COMMANDS_MAX 512

/* What became of a key that a read repair looked at. */
enum repair_result {
    REPAIR_DONE,      /* all replicas that answered have the same value now */
    REPAIR_EQUAL,     /* they had it already */
    REPAIR_UNDECIDED, /* nothing tells which one is right */
    REPAIR_UNSETTLED, /* given up: it never was settled what is on its way */
    REPAIR_FAILED,    /* given up: a replica couldn't take the copy */
    REPAIR_DROPPED,   /* the queue was full */
    REPAIR_RESULTS
};

static inline const char *repair_result_name(enum repair_result r)
{
    static const char *const names[] = {"repaired",  "equal",  "undecided",
                                        "unsettled", "failed", "dropped"};
    return names[r];
}

/* What memcached's `stats` tells of its clients' commands; named there as here. */
#define MEMCACHE_FIGURES(F)                                                                        \
    F(CMD_GET, cmd_get)                                                                            \
    F(CMD_SET, cmd_set)                                                                            \
    F(CMD_FLUSH, cmd_flush)                                                                        \
    F(CMD_TOUCH, cmd_touch)                                                                        \
    F(CMD_META, cmd_meta)                                                                          \
    F(GET_HITS, get_hits)                                                                          \
    F(GET_MISSES, get_misses)                                                                      \
    F(DELETE_MISSES, delete_misses)                                                                \
    F(DELETE_HITS, delete_hits)                                                                    \
    F(INCR_MISSES, incr_misses)                                                                    \
    F(INCR_HITS, incr_hits)                                                                        \
    F(DECR_MISSES, decr_misses)                                                                    \
    F(DECR_HITS, decr_hits)                                                                        \
    F(CAS_MISSES, cas_misses)                                                                      \
    F(CAS_HITS, cas_hits)                                                                          \
    F(CAS_BADVAL, cas_badval)                                                                      \
    F(TOUCH_HITS, touch_hits)                                                                      \
    F(TOUCH_MISSES, touch_misses)                                                                  \
    F(STORE_TOO_LARGE, store_too_large)
#define MEMCACHE_FIGURE_ENUM(upper, lower) MEMCACHE_##upper,
enum memcache_figure { MEMCACHE_FIGURES(MEMCACHE_FIGURE_ENUM) MEMCACHE_FIGURES_N };

enum stats_result { RESULT_OK, RESULT_ERROR, RESULTS };

struct stats {
    uint64_t requests[STATS_COMMANDS_MAX][RESULTS]; /* by index into command_table() */
    uint64_t unknown_commands;
    uint64_t connections, connections_total; /* clients: now, since the start */
    uint64_t cut_off;                        /* of them, for not reading what they asked for */
    uint64_t timeouts;
    uint64_t memcache[MEMCACHE_FIGURES_N];
    uint64_t repairs[REPAIR_RESULTS];
    uint64_t hedged_reads;     /* for which a second replica was asked, the first being slow */
    uint64_t hedged_reads_won; /* of them, answered by the second */
    uint64_t reads_differ;     /* of which some replicas gave different replies */
    struct histogram duration; /* microseconds, a client request end to end */
};

/* The worker's own thread: with one writer no locked instruction is needed. */
#define STATS_ADD(s, field, v)                                                                     \
    __atomic_store_n(&(s)->field, (s)->field + (uint64_t)(v), __ATOMIC_RELAXED)
#define STATS_LOAD(s, field) __atomic_load_n(&(s)->field, __ATOMIC_RELAXED)

#endif
