/* admin/ask: dyn-admin's commands about the hints of peers, asked of their senders, which own them,
 * or, about orphans, of the writer:
 *
 *     hints pause|resume PEER or all     hints drain PEER     hints truncate PEER or all
 *     hints wait                         repaired PEER
 *     hints handoff PEER
 *     state standby|normal|leaving       this node's own: asked of gossip, or else of the writer
 *
 * One message to each peer meant (struct mail_order); when all are back, or the time is up, there
 * is one answer. The admin actor's thread. */
#ifndef ADMIN_ASK_H
#define ADMIN_ASK_H

#include "admin/admin.h"
#include "core/slots.h"
#include "peer/mail.h"
#include <jansson.h>

/* The answer to the session of this ticket: an object, given away, or NULL and why not. */
typedef void ask_done(void *arg, uint64_t session, json_t *o, const char *reason);

struct ask {
    struct actor *actor;
    const struct admin_sources *sources;
    ask_done *done;
    void *arg;
    struct slots open;
    unsigned n;
    uv_timer_t timer; /* runs while there are any */
};
void ask_start(struct ask *a, struct actor *actor, const struct admin_sources *s, ask_done *done,
               void *arg);
void ask_stop(struct ask *a); /* closes the timer */
void ask_fini(struct ask *a);

struct ask_request {
    uint64_t session;
    const char *command; /* hints, repaired */
    char *const *word;   /* behind it */
    size_t n;
    uint64_t timeout_ms;
};
/* True: the answer comes, by `done`. False: refused. */
bool ask_begin(struct ask *a, const struct ask_request *r, struct error *e) MUST_USE;
/* A sender's answer. */
void ask_take(struct ask *a, struct mail_order *m);

#endif
