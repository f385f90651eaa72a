/* core/actor: a thread, one event loop (libuv), one mailbox, registered with RCU. An actor owns its
 * data; others only send it messages.
 *
 *     struct worker { struct actor actor; ... };
 *     static const struct actor_ops ops = {.name = "worker", .start = ..., .receive = ..., ...};
 *     actor_init(&w->actor, &ops, w);       from now on it can be sent to
 *     actor_start(&w->actor, &error);       its thread runs, and has been through `start`
 *     actor_send(&w->actor, &msg->msg);     any thread; takes the message
 *     actor_stop(&w->actor);                any thread, once; doesn't wait
 *     actor_join(&w->actor);                the thread that started it: waits for the end
 *     actor_fini(&w->actor);                when no other actor can send to it any more
 *
 * A loop turn: messages are handed to `receive` one by one, file events run their callbacks, then
 * `turn_end` sends off in one go what the turn produced. A sender wakes the receiver by a system
 * call only when that sleeps: before it polls, an actor says that it is about to sleep and looks
 * into its mailbox once more; a sender that sees the word takes it away and rings.
 *
 * Stop is a protocol: actor_stop -> `stop` in the actor's thread closes every handle that the actor
 * made (messages still arrive until the loop ends) -> when the last handle is closed the loop ends
 * -> `end` frees what is left, still in the actor's thread -> actor_join. Messages that arrive
 * later are given to `receive` never, and freed with `drop` in actor_fini. */
#ifndef CORE_ACTOR_H
#define CORE_ACTOR_H

#include "core/error.h"
#include "core/mailbox.h"
#include <pthread.h>
#include <uv.h>

struct actor_ops {
    const char *name;                           /* the thread's, up to 15 bytes */
    void (*start)(void *self);                  /* in the thread, before the loop */
    void (*receive)(void *self, struct msg *m); /* takes the message */
    void (*turn_end)(void *self);               /* may be NULL */
    void (*stop)(void *self);                   /* close your handles */
    void (*end)(void *self);                    /* may be NULL */
    void (*drop)(struct msg *m);                /* frees an unread message */
};

struct actor {
    const struct actor_ops *ops;
    void *self;
    uv_loop_t loop;
    uv_poll_t bell;
    int bell_fd[2]; /* a pipe: see wake() */
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_idle_t busy; /* active: don't sleep, there is mail */
    bool stopping;
    pthread_t thread;
    uv_sem_t started;
    struct mailbox mailbox;
    unsigned sleeping CACHE_ALIGNED; /* atomic */
    unsigned stop_wanted;            /* atomic */
};

void actor_init(struct actor *a, const struct actor_ops *ops, void *self);
bool actor_start(struct actor *a, struct error *e) MUST_USE;
void actor_send(struct actor *a, struct msg *m);
void actor_stop(struct actor *a);
void actor_join(struct actor *a);
void actor_fini(struct actor *a);
/* Another turn follows this one without waiting for events. The actor's own thread. */
void actor_again(struct actor *a);

#endif
