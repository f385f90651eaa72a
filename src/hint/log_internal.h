/* hint/log_internal: what log.c, log_expire.c and log_sync.c share. Nobody else includes it. */
#ifndef HINT_LOG_INTERNAL_H
#define HINT_LOG_INTERNAL_H

#include "core/compiler.h"
#include "hint/log.h"
#include "hint/segment.h"

#define LOAD(x)     __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/* A place between two records, and how to get on from there. The sender's. */
struct cursor {
    struct segment *seg;     /* NULL: before the first */
    uint64_t at;             /* offset of the next record */
    uint64_t prev;           /* the number before it in this segment; first - 1 at its start */
    uint64_t counted;        /* up to this number all that was lost is counted */
    uint64_t unread;         /* bytes passed over since the last record: damaged */
    uint64_t records, bytes; /* of this segment, stepped over */
    struct hint_position pos;
    struct segment_window window;
};

struct hint_log {
    struct rcu_head rcu;
    struct hint_log_options o;
    char *path;     /* o.dir is this; NULL: memory */
    int dir;        /* -1: memory */
    uint64_t floor; /* what has a number above it was appended since the log was opened */
    char peer[SEGMENT_PEER];
    struct segment *head
        CACHE_ALIGNED;     /* the list, oldest first; moved by the sender, begun by the writer */
    struct segment *spare; /* atomic: an acknowledged segment for use again */
    unsigned dir_dirty;    /* atomic: a file was made or renamed */
    uint64_t oldest_stamp; /* atomic */
    uint64_t damaged;      /* atomic */
    /* the writer's */
    struct hint_position appended CACHE_ALIGNED; /* each field atomic, seq last */
    struct segment *tail;
    struct error error;
    uint64_t newest_stamp;
    struct { /* up to the record `seq` there are stamps below that of a record before it */
        uint64_t seq, lowest;
    } dip;
    /* the sender's */
    struct hint_position acked CACHE_ALIGNED; /* ack.pos, and what is dead behind it */
    struct cursor read, ack;
    struct segment_window walk;
    uint64_t dead_records, dead_bytes; /* expired behind the ack cursor, not passed by it yet */
    uint64_t lost;                     /* records acknowledged that couldn't be read */
    uint64_t gap_seen;                 /* damage up to here is reported */
};

/* Whether records of a segment have to be checked when they are read. */
static inline bool check_needed(const struct segment *s)
{
    return s->found || !s->map;
}

/* log.c, the sender's: */
/* The oldest record behind the acknowledged ones that is alive, with the ack cursor before it. */
bool log_oldest(struct hint_log *l, struct frame *f, struct slice *bytes);
/* Publishes where the ack cursor stands (`oldest`: the record behind it, NULL: none) and frees what
 * lies before it. */
void log_let_go(struct hint_log *l, const struct frame *oldest);
/* A cursor at the start of a segment (NULL: before the first). */
void log_enter(struct cursor *c, struct segment *s);
/* A segment that isn't in the list any more goes, or is kept for use again. */
void log_retire(struct hint_log *l, struct segment *s, bool reusable);

#endif
