/* peer/bucket: so many bytes a second (a token bucket), in bursts of at most a tenth of a second.
 * What is taken may be more than there is (a record goes out whole): the rest is paid off before
 * more goes out.
 *
 *     credit   rate/10 |-----.   .--.
 *              rate/40 |......\./....\....   once it is empty, the bucket stays shut up to here, so
 *                    0 |       '      '      that what goes out goes in batches
 *
 * Others take no turn and are never held up, but what they take counts: for up to half of the rate,
 * so that they can't starve who waits. Pure: no clock. The owner's thread. */
#ifndef PEER_BUCKET_H
#define PEER_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bucket { /* all 0: full */
    uint64_t rate;
    double credit, others; /* bytes; what the others took and isn't paid for */
    uint64_t at_ms;        /* credit is as of then */
    bool shut;
};

/* How many bytes may be taken now, at this rate (bytes/s; it may change from call to call): 0:
 * none, look again after bucket_wait_ms; SIZE_MAX: there is no limit (rate 0). */
size_t bucket_left(struct bucket *b, uint64_t rate, uint64_t now_ms);
void bucket_take(struct bucket *b, uint64_t bytes);
void bucket_take_others(struct bucket *b, uint64_t bytes);
/* How long it stays shut, in ms, seen from the last bucket_left; at least 1. */
uint64_t bucket_wait_ms(const struct bucket *b);

#endif
