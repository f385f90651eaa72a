/* store/backend_side: the reading side of a store behind a connection: one pipelined connection in
 * each worker. While the store is up and this connection isn't, because it comes back later than
 * the writing side's, questions wait for its next attempt.
 *
 *     struct mine { struct backend_question q; ... };
 *     mine->q.answer = on_answer;
 *     struct buf *out = backend_side_begin(side, &mine->q);       NULL: answered, it can't be asked
 *     add one or more commands to `out`
 *     backend_side_ask(side, &mine->q, 2);                        so many replies
 *
 * Internal to the room; the worker's thread. */
#ifndef STORE_BACKEND_SIDE_H
#define STORE_BACKEND_SIDE_H

#include "store/backend.h"

struct backend_side {
    struct store_reader base;
    struct backend_conn *conn;
    struct backend_question *parked, **parked_end; /* in order */
};

struct backend_question {
    /* One of its replies; `left` is how many are still to come. Or NULL, once: it can't be had, and
     * why; sent: the backend may have got it. Frees what the question lies in with the last one. */
    void (*answer)(struct backend_question *q, const struct slice *reply, const char *why,
                   bool sent);
    unsigned left;
    struct backend_question *next; /* while parked, */
    struct buf *text;              /* and its commands */
};

void backend_side_init(struct backend_side *s, struct backend *b, uv_loop_t *loop,
                       const struct backend_protocol *protocol);
/* What is on its way or waits is answered before this returns. */
void backend_side_fini(struct backend_side *s);
struct buf *backend_side_begin(struct backend_side *s, struct backend_question *q) MUST_USE;
/* It was begun and isn't asked after all; whoever calls answers it. */
void backend_side_forget(struct backend_question *q);
void backend_side_ask(struct backend_side *s, struct backend_question *q, unsigned replies);

#endif
