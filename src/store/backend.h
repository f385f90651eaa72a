/* store/backend: what the stores behind a connection (store/redis.h, store/memcached.h) have in
 * common: where it goes, and, since such a store has no place for them, the stamps of keys beside
 * it; what of the batch at the store is settled. Internal to the room.
 *
 *     backend_take(b, batch)
 *         for each write: backend_judge, backend_intend, backend_touch, and out with it
 *         for each answer: backend_settle
 *     events.done(backend_finish(b, known))
 *
 * Read labels. A reply carries the stamp that the key had in the table when the read was sent; the
 * table gets a stamp when its overwrite is known to be in the store, and before anybody is told so.
 * So a label is never newer than the value: a stale value can't pass for a newer one. It may be
 * older than the value, while the batch that wrote it is on its way; and changes (INCR, APPEND)
 * leave it as it is. Then two replicas have one label and two values, and request/quorum asks the
 * others. What was acknowledged before the read began has its label. 0 says nothing: no overwrite
 * is known, or the table has given it up (store/stamps.h). A command of many keys has the label of
 * its first one. */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "store/backend_conn.h"
#include "store/internal.h"
#include "store/stamps.h"
#include "store/touched.h"

#define BACKEND_KEYS_MAX 64 /* keys of one command that are judged; commands of many come split */
#define BACKEND_AHEAD    8  /* writes whose stamps are on their way from memory */

/* One write of the batch at the store. */
struct backend_write {
    size_t reply_at; /* where its reply stands in the batch's buffer */
    bool kept; /* the store wouldn't have it, by its own fault: the reply stands, its number is
                  still to be moved */
};

/* An overwrite for which there was no room among the intents. */
struct backend_unnoted {
    uint64_t hash;
    struct stamp stamp;
    size_t mark;
};

struct backend {
    struct store base;
    struct backend_address address;
    const char *self_id;
    char *texts[5];          /* owns the strings of the two above */
    struct stamps *stamps;   /* written by the writing side, read by all */
    struct touched *touched; /* the same */
    uint64_t settled;        /* atomic: of batches up to this one the table has the stamps */
    /* the writing side's */
    struct store_batch *batch; /* NULL: none is at the store */
    uint64_t batches;          /* how many have been given; the number of the last one */
    size_t pos;                /* its first write that isn't settled */
    struct backend_write *writes;
    size_t room;
    uint64_t newest;                     /* no write with a higher stamp is in the store */
    struct buf unnoted;                  /* struct backend_unnoted */
    uint32_t stopped[STORE_SOURCES_MAX]; /* by source: its first write that failed in this batch,
                                            plus one */
};

/* False: the stamp table can't be opened, or the backend is too old; backend_fini all the same. */
bool backend_init(struct backend *b, const struct store_ops *ops,
                  const struct backend_protocol *protocol, const struct store_options *o,
                  struct error *e) MUST_USE;
void backend_fini(struct backend *b);

/* Members of store_ops. */
void backend_gets_company(struct store *s);
void backend_forget_below(struct store *s, uint64_t stamp);
void backend_note_overwrite(struct store *s, struct slice key, uint64_t stamp, uint16_t tag);

void backend_take(struct backend *b, struct store_batch *batch);
/* All is settled: the batch as its owner gets it back. stamps_known: what the table has is all
 * there is to know; else the next greeting tells which overwrites there are. */
struct store_batch *backend_finish(struct backend *b, bool stamps_known);
static inline void backend_stamps_settled(struct backend *b)
{
    __atomic_store_n(&b->settled, b->batches, __ATOMIC_RELEASE);
}

/* Replies go into the batch's buffer. */
void backend_settle(struct backend *b, size_t i, enum store_outcome outcome, struct slice reply);
/* With an error of this text. */
void backend_settle_text(struct backend *b, size_t i, enum store_outcome outcome, const char *text,
                         const char *second_half);

/* FLUSHALL, FLUSHDB */
static inline bool backend_is_flush(const struct store_write *w)
{
    return w->spec && (w->spec->flags & COMMAND_RING) && w->spec->class_ == COMMAND_OVERWRITE;
}

/* The judgement of a write waits for memory, unless it was begun some writes before. */
void backend_expect(struct backend *b, size_t i);
enum stamp_verdict backend_judge(struct backend *b, const struct store_write *w);
/* False: there is no room to note it; what is on its way should be settled first. */
bool backend_can_intend(const struct backend *b, const struct store_write *w);
/* Notes what it overwrites. id_hash: of its source; mark: says which of what was sent it is. */
void backend_intend(struct backend *b, const struct store_write *w, uint64_t id_hash, size_t mark);
/* Before it goes out. */
void backend_touch(struct backend *b, const struct store_write *w);
/* What was intended is settled: it is in the store where `replied` says that it has no error. */
void backend_stamp_replied(struct backend *b, bool (*replied)(void *arg, size_t mark), void *arg);
void backend_stamp_nothing(struct backend *b);

/* What is known of a copy's stamps, when its content has been read: `settled` and `label` are those
 * from before. */
void backend_label_copy(const struct backend *b, uint64_t hash, struct stamp label,
                        uint64_t settled, struct store_copy *out);

/* What a source sends keeps its order. */
void backend_stop_source(struct backend *b, size_t i);
bool backend_is_stopped(const struct backend *b, size_t i);

#endif
