/* store/memcached: the struct that the parts of the memcached store share. Internal to the room:
 *     memcached.c          opening, how it is spoken to; the writing side's ups and downs
 *     memcached_greet.c    what is asked on each new connection of the writing side
 *     memcached_batch.c    a batch goes out as meta commands, one behind the other
 *     memcached_read.c     the reading sides; memcached_copy.c what read repair asks them
 *     memcached_wire.h     bytes, memcached_numbers.h what stands beside it
 *
 * memcached has no transactions and forgets what it likes. So:
 *
 * Numbers stand in a file beside it and move when a write is answered. What was on its way when
 * something broke is done again and counted (stats.ambiguous); nothing else is.
 *
 * It is a cache. A value that it evicted, or that found no room in it, is one that isn't there: the
 * write counts as applied, with whatever memcached said of it, and holds up nobody. Only what
 * memcached refuses by its size is the command's own fault in the narrower sense, and the same on
 * all replicas that allow the same size.
 *
 * When it has started anew it is empty. What is told of it is true all the same: the numbers say
 * what was applied. The node says so in its log and its needs-repair mark (stats.emptied); what it
 * had comes back as clients write it, by read repair, or not at all, as it is with caches. */
#ifndef STORE_MEMCACHED_H
#define STORE_MEMCACHED_H

#include "store/backend.h"
#include "store/memcached_numbers.h"
#include "store/memcached_wire.h"

struct memcached {
    struct backend backend;
    uint32_t mark;      /* atomic: of uniques (memcached_wire.h); 0: not known yet */
    uint64_t value_max; /* atomic: 0: not known yet */
    /* all below is the writing side's */
    struct store_events events;
    struct backend_conn *conn;
    uv_timer_t again; /* looks whether the old connection is gone, */
    uint64_t wait_until_ms;
    uint64_t asked_ms; /* when its figures were asked for last */
    struct memcached_numbers numbers;
    uint64_t mends; /* the number of the last mend */
    char said[256]; /* the reason last logged while it didn't come up */
    bool up;
    size_t upto;       /* all writes of the batch before this one are on their way or settled */
    uint32_t *sent;    /* those on their way, */
    size_t nsent, got; /* how many, and how many of them are answered */
    size_t sent_room;
    bool flushes;     /* a flush is among them */
    struct buf reply; /* the answer being read, as RESP */
};

static inline struct memcached *memcached_of(struct store *s)
{
    return (struct memcached *)(void *)s;
}

static inline uint16_t memcached_mark(const struct memcached *m)
{
    return (uint16_t)__atomic_load_n(&m->mark, __ATOMIC_ACQUIRE);
}

/* memcached.c */
extern const struct backend_protocol memcached_protocol;
bool memcached_too_old(struct slice version, struct error *e);
void memcached_go_up(struct memcached *m); /* greeted */
/* memcached_greet.c */
void memcached_greet(void *m);
void memcached_ask_figures(struct memcached *m); /* while it is up */
/* memcached_batch.c */
void memcached_apply(struct store *s, struct store_batch *batch);
/* The connection broke: the batch is the writer's again. */
void memcached_give_back(struct memcached *m);
/* memcached_read.c */
struct store_reader *memcached_reader_new(struct store *s, uv_loop_t *loop);
void memcached_reader_free(struct store_reader *reader);
void memcached_read(struct store_reader *reader, const struct command_spec *spec,
                    const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg);
void memcached_inspect(struct store_reader *reader, struct slice key, store_read_fn *fn, void *arg);
void memcached_copy(struct store_reader *reader, struct slice key, bool command, store_copy_fn *fn,
                    void *arg);

#endif
