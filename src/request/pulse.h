/* request/pulse: what the heartbeats of all members tell the writer, and what it tells in its own:
 * how far their writes are here (peer/watermarks) and what their clocks show (peer/clocks). The
 * writer's thread; owned by the writer.
 *
 * Our own watermark: the lowest stamp of what isn't acknowledged by all its replicas, or, if there
 * is none, a stamp that no later write goes below. That it holds:
 *   - Stamps are given by the writer's clock, which only rises. The bound is a stamp taken from
 * this clock, or stands just above the last one: what is stamped later has a higher one.
 *   - What was stamped before and stands in no log yet (it waits for the own store) is known to the
 *     writer, who gives the lowest such stamp as the bound instead.
 *   - What stands in a log is there for hint_log_lowest_stamp, and the writer, who appends, is the
 *     one who asks: nothing is appended in between. Acknowledgements only raise it.
 *   - Over a restart: the clock goes on above the bound that was kept (peer/keep), which lies above
 *     every stamp given; the watermark stays below it.
 * It is the lowest over all logs, not only over the receiver's own: what lies below is then on
 * every replica, so that a quorum read misses no stamp that it would have to compare.
 *
 * The clock. More than HLC_AHEAD_MAX_MS off the median of the peers' clocks, this node refuses its
 * clients' writes, until it is right again. While no peer is heard, nothing is known and writes are
 * taken. Nothing but a write may carry the stamps' clock to where a wrong wall clock is: the bound
 * goes with the peers' time then, and stays where nothing is known. */
#ifndef REQUEST_PULSE_H
#define REQUEST_PULSE_H

#include "config/config.h"
#include "core/clock.h"
#include "peer/clocks.h"
#include "peer/mail.h"
#include "peer/peer.h"
#include "peer/watermarks.h"

struct pulse {
    const struct config *config;
    const struct peers *peers;
    uint64_t *watermark;        /* atomic, out: for our heartbeats */
    int64_t *clock_off;         /* atomic, out: ms that the wall clock is ahead; 0: not known */
    const uint64_t *clock_kept; /* atomic, in: see request/writer.h */
    /* its own */
    struct watermarks marks;
    struct clocks clocks;
    bool refusing;
    int64_t off_ms;
    uint64_t life_ms;   /* the longest that hints were made to live in this run */
    uint64_t forgotten; /* the highest bound that pulse_forgettable has given */
};

/* What the turn's clocks show. */
struct pulse_now {
    uint64_t wall_ms, steady_ms;
};

void pulse_init(struct pulse *p, const struct config *c, const struct peers *peers);
void pulse_fini(struct pulse *p);

void pulse_heard(struct pulse *p, const struct mail_beat *m, const struct pulse_now *now);
/* There are more peers now; one has left for good. */
void pulse_grow(struct pulse *p, unsigned nodes);
void pulse_leave(struct pulse *p, unsigned node);
/* Another node has taken this one's place. */
void pulse_replaced(struct pulse *p, unsigned node);
/* Once in each turn that takes writes: is the clock right? Cheap. */
void pulse_look(struct pulse *p, const struct pulse_now *now);
/* Several times a second: what was heard ages. */
void pulse_tick(struct pulse *p, const struct pulse_now *now);
/* Appends the error that a client gets instead, or returns false. */
bool pulse_refuses(const struct pulse *p, struct buf *reply);

/* Publishes our watermark. waiting: the lowest stamp of what was stamped and stands in no log,
 * UINT64_MAX: there is none; then the clock may be moved. */
void pulse_publish(struct pulse *p, struct hlc *clock, uint64_t waiting,
                   const struct pulse_now *now);
/* The lowest watermark of all members: what is stamped below it has come to all its replicas. */
uint64_t pulse_settled(const struct pulse *p);
/* The same of the other members: what they have stamped below it is here. */
uint64_t pulse_others_settled(const struct pulse *p);
/* Below which stamp nothing needs guarding: the lowest watermark, or, if that is higher, what is
 * older than any hint lives (only where the clock is trusted): so far a member that is away can
 * hold it back. Never falls. */
#define PULSE_MARGIN_MS (3600ull * 1000) /* what was on its way when a hint's time ran out */
uint64_t pulse_forgettable(struct pulse *p, bool clock_trusted, const struct pulse_now *now);
/* Can this write of `node` not be judged any more? It must lie below what was forgotten, and be
 * older than hints live by the clock of its own node: a live write of a node whose clock is behind
 * isn't. */
bool pulse_too_old(const struct pulse *p, unsigned node, uint64_t stamp,
                   const struct pulse_now *now);

#endif
