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
#include "hint/store.h"

struct delivery {
    struct hint_peer *hints; /* borrowed */
    struct hint_log *log;    /* the same, for reading */
    size_t window;           /* bytes that may be out and unacknowledged */
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
};

void delivery_init(struct delivery *d, struct hint_peer *hints, size_t window);
void delivery_fini(struct delivery *d);

/* Everything appended up to this number may go out. Lower ones than before are ignored. */
void delivery_allow(struct delivery *d, uint64_t upto);
/* The receiver says the last number that it has: what follows goes out from there, and what is no
 * longer in the log is skipped. False: that lies below what it had said before: it has gone back in
 * time (restored, a power cut). */
bool delivery_go_on_from(struct delivery *d, uint64_t applied);
/* Nothing up to `upto` goes out any more. Returns the number up to which it has gone out. */
uint64_t delivery_cut(struct delivery *d, uint64_t upto);
/* Another receiver takes its place, which has said nothing yet. */
void delivery_begin_anew(struct delivery *d);
/* The receiver has everything up to this number: the log lets go of it. */
void delivery_acked(struct delivery *d, uint64_t seq);

/* What is there up to this number is thrown away; how many records that hadn't expired. */
uint64_t delivery_drop(struct delivery *d, uint64_t upto);
/* The log has dropped all that had expired, what was passed over among it. */
void delivery_forget_passed(struct delivery *d);

struct delivery_now {
    uint64_t steady_ms; /* records whose deadline lies before it have expired; 0: none has */
    size_t allowed;     /* bytes that may go out now (whole records, so that the last may be more
                           than that allows: the rates' affair, peer/bucket); SIZE_MAX: any */
    size_t pace;        /* bytes that may be out and unacknowledged; 0: the window */
};
enum delivery_stop {
    DELIVERY_EMPTY,  /* nothing more may go out */
    DELIVERY_WINDOW, /* acknowledgements, or the socket, must come first */
    DELIVERY_RATE,   /* all that is allowed now is out */
};
/* Appends frames to `out`, until it holds `max` bytes. `*expired` grows by the records passed over
 * (each counted once). */
enum delivery_stop delivery_pump(struct delivery *d, struct buf *out, size_t max,
                                 const struct delivery_now *now, uint64_t *expired);

#endif
