/* peer/delivery: which records of a peer's log go out next, and what the numbers say about it: the
 * bookkeeping of a sender, without its link and without a clock.
 *
 *     acknowledged        sent (told)             upto            appended
 *          |---- in flight ----|---- may go out ----|-- not told ----|        one peer's log
 *
 * `sent` is the last record that was put out or passed over; `told` is the number that the receiver
 * has once all that was put out has arrived. They differ by what has no record any more (expired,
 * damaged, the step to a new upper half): that goes out as a skip before the next record. The
 * writer's word (`upto`) ends what may go out: the one who waits for an acknowledgement is then
 * known before it can come.
 *
 * The sender actor's; nobody else touches it. */
#ifndef PEER_DELIVERY_H
#define PEER_DELIVERY_H

#include "core/buf.h"
#include "hint/log.h"

struct delivery {
    struct hint_log *log; /* borrowed */
    size_t window;        /* bytes that may be out and unacknowledged */
    /* its own */
    uint64_t upto, sent, told;
    uint64_t heard;          /* the highest number that the receiver said it has */
    struct delivery_marker { /* what was put out up to a number */
        uint64_t seq, bytes;
    } * markers;
    size_t nmarkers, cap_markers;
    struct delivery_run { /* records that were passed over and that nobody acknowledged yet */
        uint64_t first, last;
    } * passed; /* in order; numbers that follow one another are one run */
    size_t npassed, cap_passed;
    uint64_t sent_bytes, acked_bytes;
    double credit; /* bytes that the rate allows now */
    uint64_t credit_ms;
};

void delivery_init(struct delivery *d, struct hint_log *log, size_t window);
void delivery_fini(struct delivery *d);

/* Everything appended up to this number may go out. Lower ones than before are ignored. */
void delivery_allow(struct delivery *d, uint64_t upto);
/* The receiver says the last number that it has: what follows goes out from there, and what is no
 * longer in the log is skipped. False: that lies below what it had said before: it has gone back in
 * time (restored, a power cut). */
bool delivery_go_on_from(struct delivery *d, uint64_t applied);
/* Nothing up to `upto` goes out any more. Returns the number up to which it has gone out. */
uint64_t delivery_cut(struct delivery *d, uint64_t upto);
/* The receiver has everything up to this number: the log lets go of it. */
void delivery_acked(struct delivery *d, uint64_t seq);

/* How many of the records up to `seq` were passed over: they are acknowledged with the others, and
 * have expired. They are forgotten: to be asked once, with each acknowledgement. */
uint64_t delivery_passed(struct delivery *d, uint64_t seq);

struct delivery_now {
    uint64_t mono_ms;
    uint64_t steady_ms; /* records whose deadline lies before it have expired; 0: none has */
    bool hints;         /* what waits are hints: rate and pace hold */
    uint64_t rate;      /* bytes/s for hints; 0: no limit */
    size_t pace;        /* bytes of hints that may be out and unacknowledged; 0: the window */
};
enum delivery_stop {
    DELIVERY_EMPTY,  /* nothing more may go out */
    DELIVERY_WINDOW, /* acknowledgements, or the socket, must come first */
    DELIVERY_RATE,   /* the rate: again in some ms */
};
/* Appends frames to `out`, until it holds `max` bytes. `*expired` grows by the records passed over
 * (each counted once). */
enum delivery_stop delivery_pump(struct delivery *d, struct buf *out, size_t max,
                                 const struct delivery_now *now, uint64_t *expired);

#endif
