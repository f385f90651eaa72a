/* request/writer_effects: clients' writes whose effect their arguments don't tell (SPOP, XADD *,
 * EVAL,
 * ...). This node asks its own store, and the other replicas get the same (request/effect.h).
 *
 *   chosen   a question at a batch's end --> what it shall do --> all logs, as any write
 *   run      own log, and a batch's end, between its probes --> the store --> what it did -->
 *            the logs of the others
 *
 * One that is run stands in the own log under a number as any write does, before it runs: so what
 * became of it can be told from the store's number after a kill of this process or a lost
 * connection. It hasn't happened: it is passed over (request/own.h). It has: the others get what it
 * may have done (effect_recover), once this node has its peers' writes; until then the own log
 * isn't acknowledged, and a start finds the record again.
 *
 * It gets its stamp at its batch's end, so that all that the batch does before it is older, and
 * what is younger finds its stamps (those of the keys that a script has overwritten) at the store.
 *
 * From its coming until it is in the logs of the others, later writes of this node's clients to its
 * keys wait here, in their order. Others that are run wait only for those that are chosen, or that
 * wait. Of one answer several that have waited may be chosen. Keys are told apart by a hash: a
 * collision makes a write wait.
 *
 * The writer's thread; a part of struct writer. */
#ifndef REQUEST_WRITER_EFFECTS_H
#define REQUEST_WRITER_EFFECTS_H

#include "request/batch.h"
#include "request/effect.h"

#define EFFECT_CLAIMS 1024u
#define EFFECT_POOLS  8u

struct effect_run;
struct effects {
    struct effect_run *ready, **ready_end;
    struct effect_run *at_store, **at_store_end; /* in order, both */
    struct effect_run *lost;                     /* to be recovered */
    /* before that, what was stamped below is to be here: up to a time (mono), for one may be down
     */
    uint64_t settle_below, settle_until_ms;
    struct mail_write *waiting, **waiting_end;
    size_t nwaiting;
    uint64_t look_upto; /* records of the own log up to this one may be lost effects; 0: none */
    size_t n;           /* ready, at the store, waiting */
    /* keys: of what is ready or at the store; of those which are chosen; of those that wait */
    uint32_t claimed[EFFECT_CLAIMS], chosen[EFFECT_CLAIMS], wanted[EFFECT_CLAIMS];
    /* what is left to choose from, while those that have waited go on */
    struct effect_left {
        struct buf key;
        bool set; /* else a stream */
        struct effect_pool pool;
    } left[EFFECT_POOLS];
    unsigned nleft;
};

struct writer;
/* Before anything else is done with a client's write: true: it was taken, it runs here or waits. */
bool writer_effects_take(struct writer *w, struct mail_write *m);
static inline bool effects_concern(const struct effects *e, const struct mail_write *m)
{
    return m->effect || e->n || e->nleft;
}
/* A batch is about to go to the store: what is ready goes to its end. */
void writer_effects_gather(struct writer *w, struct batch *b);
/* Its answers are there: before the own log is acknowledged, and before the workers hear of them.
 */
void writer_effects_done(struct writer *w, const struct batch *b);
/* After that, when the next batch may gather: what had to wait goes on. */
void writer_effects_end(struct writer *w);
/* The own store takes nothing now: what is ready is refused. */
void writer_effects_refuse(struct writer *w);
/* The store is up again and has this node's writes up to this number: before own_stands_at. */
void writer_effects_stand_at(struct writer *w, uint64_t seq);
void writer_effects_fini(struct writer *w);

#endif
