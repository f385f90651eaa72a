/* peer/waiters: who waits for a verdict on which number, in the order of the numbers; and the
 * verdicts, gathered per worker so that a turn sends each worker one message. The sender actor's.
 */
#ifndef PEER_WAITERS_H
#define PEER_WAITERS_H

#include "peer/mail.h"

struct waiters {
    struct mail_waiter *at; /* a ring of `cap` places, a power of two */
    size_t head, n, cap;
    struct outbox {
        struct actor *worker;
        size_t n, cap;
        struct mail_verdicts *mail;
    } * out;
    size_t nout;
};

void waiters_fini(struct waiters *w);
/* Mostly behind the others; at its place where its number is lower. */
void waiters_add(struct waiters *w, const struct mail_waiter *new);
/* The verdict on every number up to `seq` that is still waited for. */
void waiters_settle(struct waiters *w, uint16_t node, uint64_t seq, enum verdict v,
                    enum refusal why);
/* The same for those only whose write counted as a hint when it was appended. */
void waiters_settle_hints(struct waiters *w, uint16_t node, uint64_t seq, enum verdict v,
                          enum refusal why);
/* The numbers from `first` to `last` are applied, each with this reply (copied once). */
void waiters_reply(struct waiters *w, uint16_t node, uint64_t first, uint64_t last,
                   struct slice reply);
/* Sends what has gathered. */
void waiters_flush(struct waiters *w);

#endif
