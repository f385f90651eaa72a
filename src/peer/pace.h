/* peer/pace: how many bytes of hints may be out and unacknowledged, where no rate is set. Hints go
 * as fast as the peer takes them, as long as its reply time stays what it is without them: while a
 * reply takes more than twice as long and PACE_SLACK_US more, the window halves with each reply,
 * else it grows back to the whole send_window.
 *
 *     window   max ----.        .-----
 *                      |      .'           each reply (or what has waited for one) is a sample
 *                      '--. .'
 *     PACE_MIN             '
 *
 * Pure: no clock and no link. The sender actor's. */
#ifndef PEER_PACE_H
#define PEER_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_MIN      (64u * 1024) /* bytes; or all of a smaller send_window */
#define PACE_SLACK_US 1000u
#define PACE_EVERY_MS 50 /* how often a reply should be asked for while hints go out */

struct pace {
    size_t window, max;
    uint64_t usual_us;  /* the reply time while no hints go out, smoothed; 0: not known */
    uint64_t lowest_us; /* of this delivery, for where the usual one isn't known; 0: none yet */
};

void pace_init(struct pace *p, size_t max);
/* Hints begin to go out. */
void pace_begin(struct pace *p);
/* A reply took so long: while hints go out, or while none do. */
void pace_sample(struct pace *p, uint64_t reply_us);
/* One that hasn't come yet takes at least so long: bad news or none. */
void pace_waited(struct pace *p, uint64_t us);
void pace_usual(struct pace *p, uint64_t reply_us);

#endif
