/* request/writer_effects: clients' writes whose effect only the store can tell (SPOP, XADD *,
 * EVAL, ...). This node runs them at its own store, and the other replicas get what they did.
 *
 *     ready --> own log, and the end of a batch, between its probes --> the store
 *           --> from the answers (request/effect.h) what the others' logs get --> the worker
 *
 * An effect stands in the own log under a number as any write does, before it runs: so what became
 * of it can be told from the store's number after a kill of this process or a lost connection. It
 * has happened: the keys' state is copied to the others as overwrites, once this node has its
 * peers' writes; until then the own log isn't acknowledged, and a start finds the record again. It
 * hasn't: it is passed over (request/own.h).
 *
 * It stands at its batch's end, and gets its stamp there, so that all that the batch does before it
 * is older, and what is younger finds its stamps (those of the keys that a script has overwritten)
 * at the store. From its coming to the logs of the others, later writes of this node's clients to
 * its keys wait here, in their order; other effects don't, unless they would overtake one that
 * does. Keys are told apart by a hash: a collision makes a write wait.
 *
 * The writer's thread; a part of struct writer. */
#ifndef REQUEST_WRITER_EFFECTS_H
#define REQUEST_WRITER_EFFECTS_H

#include "request/batch.h"

#define EFFECT_CLAIMS 1024u

struct effect_run;
struct effects {
    struct effect_run *ready, *at_store, *lost; /* each in order; lost: keys to be copied */
    struct mail_write *waiting, **waiting_end;
    uint64_t look_upto; /* records of the own log up to this one may be lost effects; 0: none */
    size_t n;           /* ready, at the store, waiting */
    uint32_t claimed[EFFECT_CLAIMS],
        wanted[EFFECT_CLAIMS]; /* keys of the first two; of `waiting` */
};

struct writer;
/* Before anything else is done with a client's write: true: it was taken, it runs here or waits. */
bool writer_effects_take(struct writer *w, struct mail_write *m);
static inline bool effects_concern(const struct effects *e, const struct mail_write *m)
{
    return m->effect || e->n;
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
