/* request/sources: what this node knows of each node that sends to it: the numbers of its writes,
 * and what is to be said on its link. The writer's thread; owned by the writer.
 *
 *     applied <= queued           the sender's last number in our store; taken into a batch
 *
 * A source is named by its node's index in the topology. What is said gathers in `out` and goes to
 * the link's worker at the end of a turn (sources_flush). The store's replies to writes that follow
 * one another are mostly the same: such a run goes out as one frame.
 *
 * Where nobody waits for a reply, an acknowledgement has time: each by itself would wake two
 * threads here and one at the sender. It goes out with the next thing that is said, when lazy_bytes
 * have gathered, or when sources_acknowledge is called (by the writer, LAZY_MS later at the
 * latest). */
#ifndef REQUEST_SOURCES_H
#define REQUEST_SOURCES_H

#include "hint/numbers.h"
#include "peer/mail.h"
#include "peer/peer.h"
#include "wire/frame.h"

struct source {
    uint64_t applied, queued;
    bool has_link;
    struct link_ref link;
    uint64_t start_mark;
    bool rewinding; /* a gap was reported; wait for what was asked */
    bool greet_due; /* a welcome as soon as no batch is at the store */
    bool welcome;   /* what is said next is the welcome */
    bool ack_due, urgent;
    bool late; /* some of what is acknowledged next came too late and was passed over */
    struct mail_greet *held; /* a newcomer's, while the log gets its name; NULL: none */
    size_t credit;           /* bytes of frames dealt with since the last mail to the link */
    struct buf out;          /* frames for the link */
    struct {
        uint64_t first, last; /* last 0: there is none */
        struct buf reply;
    } run; /* of replies, not in `out` yet */
};

struct sources {
    struct source *at;
    unsigned n;
    size_t lazy_bytes;
};

/* window: what a sender may leave unacknowledged; ours stands for theirs, which we aren't told. */
void sources_init(struct sources *all, unsigned nodes,
                  size_t window); /* room for all there can be */
static inline void sources_grow(struct sources *all, unsigned nodes)
{
    all->n = nodes;
}
void sources_fini(struct sources *all);
/* False: acknowledgements were left for later. */
bool sources_flush(struct sources *all);
void sources_acknowledge(struct sources *all); /* the next flush leaves nothing */

/* A link takes the place of the one before, which is told why; its welcome is due. Or it is
 * refused.
 */
void source_linked(struct source *s, const struct mail_greet *m);
void source_refuse(const struct mail_greet *m, const char *reason);
/* Its node has left the ring: the link ends, and what it has asked for. */
void source_leave(struct source *s);
/* Ends the link without a word: the sender dials again at once, and greets. */
void source_hang_up(struct source *s);
void source_unlinked(struct source *s, struct link_ref link);
/* The welcome that is due: no batch is at the store, so that `applied` is what the store has. */
void source_greet(struct source *s, enum node_state state, bool serving);
void source_announce(struct source *s, enum node_state state, bool serving);
/* How far are its writes? */
void source_want_beat(struct source *s);
bool source_is_link(const struct source *s, struct link_ref link);

/* Where the store stands, after its (new) start; what was queued above is forgotten. */
void source_stands_at(struct source *s, uint64_t applied);
/* The next frame (WRITE or SKIP) by its number: what becomes of it. A duplicate is acknowledged and
 * a gap reported here. */
enum number_verdict source_take(struct source *s, const struct frame *f);
/* It is in the store. */
void source_applied(struct source *s, uint64_t seq);
void source_reply(struct source *s, uint64_t seq, struct slice reply);

#endif
