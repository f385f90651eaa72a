/* request/writer_internal: what the writer's files share. writer.c is the actor and what it tells
 * the peers, writer_peers.c who they are and what they send, writer_members.c what membership says
 * of them, writer_mend.c read repair, writer_orders.c what dyn-admin asks for, writer_writes.c what
 * clients send, writer_effects.c those of their writes whose effect is awaited, writer_store.c the
 * batches at the own store. Nobody else includes it; all of it is the writer's thread. */
#ifndef REQUEST_WRITER_INTERNAL_H
#define REQUEST_WRITER_INTERNAL_H

#include "core/clock.h"
#include "peer/standby.h"
#include "request/batch.h"
#include "request/handoff.h"
#include "request/own.h"
#include "request/pulse.h"
#include "request/replicate.h"
#include "request/sources.h"
#include "request/writer.h"
#include "request/writer_effects.h"

#define WRITER_BATCH_MAX 4096 /* writes in one batch */

struct writer {
    struct actor actor;
    struct writer_options o;
    uint16_t tag;
    unsigned self;
    struct hlc clock;
    uint64_t own_seq; /* without an own log: the last number */
    struct own own;
    struct sources sources; /* by node */
    struct replicate replicate;
    struct batch batches[2];
    struct batch *gathering, *at_store; /* at_store: NULL when none is */
    uint64_t given_us;                  /* when it was given to the store */
    bool store_up, refusing; /* refusing: a write failed by the store's state; retry later */
    bool greetings_due; /* the store was away: the peers must greet again and name their hints */
    char refusal[200];
    struct pulse pulse;
    struct pulse_now now; /* read once in a turn */
    bool now_known;
    struct standby standby;
    struct handoff *handoff;
    struct effects effects;
    enum node_state state; /* what is told: also STANDBY while the own log has to be replayed */
    uint64_t forbidden, emptied; /* of the store's counts of these: what the mark knows of */
    struct mail_member **later; /* members that have to wait, one message each */
    size_t n_later;
    bool ring_changed; /* `met` hasn't heard of it yet */
    enum { ALONE, SETTLING, COMPANY } company;
    bool leaves;        /* this node leaves the ring for good: clients' writes are refused */
    unsigned unsettled; /* workers that may have writes on their way past the writer */
    uv_timer_t tick, retry, lazy;
    unsigned ticks;
    uint64_t beats_wanted_ms; /* when the peers were asked last */
};

static inline bool writer_serving(const struct writer *w)
{
    return w->store_up && !w->refusing;
}

static inline struct source *writer_source(struct writer *w, unsigned node)
{
    return &w->sources.at[node];
}

static inline bool writer_has_effect(enum store_outcome o)
{
    return o == STORE_APPLIED || o == STORE_STALE;
}

/* ---- writer.c: what the peers are told ---------------------------------------------------------
 */

void writer_announce(struct writer *w);     /* state, and whether the own store serves */
void writer_decide_state(struct writer *w); /* and announces a change */
/* The store takes writes again: what it missed lies with the peers, which say so when they greet.
 */
void writer_ask_for_greetings(struct writer *w);
/* What was gathered of this sender and isn't at the store is thrown away: it will send it again. */
void writer_forget_gathered(struct writer *w, unsigned node);
void writer_answer_greetings(
    struct writer *w); /* those that are due, when no batch is at the store */

/* ---- writer_peers.c. All take the message. ------------------------------------------------------
 */

void writer_greet(struct writer *w, struct mail_greet *m);
void writer_replaced(struct writer *w, struct mail_replace *m);
void writer_met(struct writer *w, struct mail_met *m);
void writer_link_gone(struct writer *w, struct mail_link_gone *m);
void writer_inbound(struct writer *w, struct mail_inbound *m);
bool writer_is_at_store(const struct writer *w,
                        unsigned node); /* writes of its are in the batch there */
void writer_source_known(struct writer *w, unsigned node); /* its id is: where its numbers stand */

/* ---- writer_members.c ---------------------------------------------------------------------------
 */

void writer_member(struct writer *w, struct mail_member *m);  /* takes it */
void writer_settled(struct writer *w, struct mail_settle *m); /* takes it */
void writer_members_tick(struct writer *w);                   /* those that had to wait */
void writer_members_turn_end(struct writer *w);               /* a changed ring is kept on disk */
void writer_members_fini(struct writer *w);

/* ---- writer_mend.c ------------------------------------------------------------------------------
 */

void writer_mend(struct writer *w, struct mail_mend *m); /* takes it */
void writer_finish_mend(struct item *it);                /* the store has answered */
void writer_give_up_mends(struct writer *w);             /* what is gathered; the store is gone */
void writer_want_beats(struct writer *w);

/* ---- writer_orders.c ----------------------------------------------------------------------------
 */

void writer_order(struct writer *w, struct mail_order *m); /* takes it */

/* ---- writer_writes.c ----------------------------------------------------------------------------
 */

void writer_write(struct writer *w, struct mail_write *m);
/* Where the own store has a log: into all logs, and the next batch. */
void writer_log(struct writer *w, struct mail_write *m);
uint64_t writer_next_stamp(struct writer *w);
struct replicate_write;
/* Nodes that came into the ring while the write was on its way here get it too. */
void writer_pass_to_newer(struct writer *w, const struct mail_write *m,
                          const struct replicate_write *write);
void writer_answer(struct mail_write *m);
/* The own store doesn't have the write, or perhaps: the worker is told where else it lies, and
 * hears the rest by verdicts. */
void writer_leave_to_log(struct writer *w, struct mail_write *m);
/* Nothing can be written now by the store's state. */
void writer_note_refusal(struct writer *w, const struct store_write *at_store);
/* An item that the store has answered: of a client (with an own log, and without), of a peer
 * (false: it failed). */
void writer_finish_logged(struct writer *w, struct item *it);
void writer_finish_own(struct writer *w, struct item *it);
bool writer_finish_inbound(struct writer *w, struct item *it);
void writer_give_credit(struct writer *w,
                        const struct batch *b); /* what the links sent is dealt with */

/* ---- writer_store.c -----------------------------------------------------------------------------
 */

void writer_start_store(struct writer *w);
void writer_stop_store(struct writer *w);
/* What has gathered goes to the store, unless a batch is there. */
void writer_submit(struct writer *w);

#endif
