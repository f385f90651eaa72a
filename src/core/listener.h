/* core/listener: a listening socket on an actor's loop. Binding is apart from listening to it, so
 * that main can say "port taken" before any thread starts.
 *
 * Out of file descriptors, accepting pauses for 100 ms instead of spinning on a socket that stays
 * readable; who waits in the backlog is served when descriptors are free. */
#ifndef CORE_LISTENER_H
#define CORE_LISTENER_H

#include "core/error.h"
#include <uv.h>

/* Binds and listens. A stale unix socket (nobody answers) is replaced, one that answers is an
 * error.
 * `*fd` is the caller's. Main thread. */
bool listener_bind(const char *address, int *fd, struct error *e) MUST_USE;

struct listener {
    uv_poll_t poll;
    uv_timer_t retry;
    int fd;
    bool open;
    void (*accepted)(void *arg, int fd); /* takes fd */
    void *arg;
};
/* Takes fd. The actor's thread, like all below. */
bool listener_start(struct listener *l, uv_loop_t *loop, int fd,
                    void (*accepted)(void *arg, int fd), void *arg, struct error *e) MUST_USE;
/* Closes handle and fd; idempotent. A unix socket's path is whoever bound it's to remove. */
void listener_stop(struct listener *l);

#endif
