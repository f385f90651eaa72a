/* peer/sender_internal: what the sender's files share. sender.c is the actor, its timers and what
 * it publishes, sender_link.c the link, sender_flow.c what goes out on it and what the peer says of
 * that, sender_orders.c what dyn-admin asks for. Nobody else includes it; all of it is the sender's
 * thread. */
#ifndef PEER_SENDER_INTERNAL_H
#define PEER_SENDER_INTERNAL_H

#include "core/dial.h"
#include "peer/bucket.h"
#include "peer/carrier.h"
#include "peer/delivery.h"
#include "peer/distance.h"
#include "peer/hinting.h"
#include "peer/meter.h"
#include "peer/orders.h"
#include "peer/orphans.h"
#include "peer/pace.h"
#include "peer/sender.h"
#include "peer/waiters.h"

#define SENDER_BACKOFF_MIN 50 /* ms */

enum phase { IDLE, CONNECTING, GREETING, PROVING, UP };

struct sender {
    struct actor actor;
    struct sender_options o;
    struct peer *peer;
    uint16_t node;
    struct address address;

    enum phase phase;
    struct stream stream;
    bool stream_open, stopping;
    bool gone;     /* its peer has left the ring */
    bool joined;   /* of whoever joins the thread */
    uint32_t over; /* atomic: the thread is at its end */
    struct dial dialled;
    uv_timer_t dial, beat, sweep, rate, flush, drain;
    unsigned backoff_ms;
    uint64_t phase_since_ms, beat_ms, swept_ms;
    uint64_t said_ms;      /* the last heartbeat went out */
    uint64_t listen_ms;    /* from here on silence counts */
    uint64_t looked_bytes; /* sent when it was last looked at */
    uint8_t challenge[CHALLENGE_SIZE];
    struct greeting *theirs; /* during the handshake */
    uint64_t upper_max;      /* no number above this upper half goes out on the link */
    char refused[300];       /* the last reason logged, so that retries don't repeat it */

    struct link_word word; /* what the peer said last */
    struct delivery delivery;
    struct waiters waiters;
    struct hinting hinting;
    struct orders orders;
    struct pace pace;
    struct bucket hint_rate, dc_rate;
    struct buf batch;  /* records on their way to be packed; empty between turns */
    bool remote;       /* the link goes to another datacenter */
    bool unpacks;      /* the peer understands packed frames */
    uint64_t answered; /* of peer->answered: what the bucket knows of */
    struct distance distance;
    uint64_t wanted_ms; /* when the peer was last given a heartbeat that it wanted */
    uint64_t asked_us; /* the oldest heartbeat that isn't answered; 0: none */
    struct meter drain_meter, live_meter;
    struct carrier carrier;
};

/* The peer takes what is sent to it. */
static inline bool sender_accepting(const struct sender *s)
{
    return s->phase == UP && s->word.backend_up;
}

static inline bool sender_is_paused(const struct sender *s)
{
    return PEER_LOAD(s->peer, paused);
}

static inline const char *sender_peer_address(const struct sender *s, char out[300])
{
    return hinting_address(&s->hinting, out);
}

/* ---- sender.c -----------------------------------------------------------------------------------
 */

/* Publishes what the link and the peer's own word tell; one log line for each change. */
void sender_publish(struct sender *s, const char *reason);
void sender_answer_truncated(struct sender *s);

/* ---- sender_link.c ------------------------------------------------------------------------------
 */

void sender_connect_now(struct sender *s); /* unless it is linked, or about to be */
void sender_dial_back(struct sender *s);   /* the peer was heard of */
void sender_drop_link(struct sender *s, const char *reason);
void sender_moved(struct sender *s); /* the ring has another address of it */
/* The peer does what it mustn't: logged once, dropped, and a long back-off. */
void sender_refuse(struct sender *s, const char *what, const char *reason);

/* ---- sender_flow.c ------------------------------------------------------------------------------
 */

void sender_pump(struct sender *s); /* what may go out */
void sender_acked(struct sender *s, uint64_t seq);
/* The receiver says where it stands: at a welcome, after a gap, when its store is back. */
void sender_go_on_from(struct sender *s, uint64_t applied);
bool sender_was_given(const struct sender *s, uint64_t seq);
/* Nothing goes out of the log because somebody names a number that this node never gave. */
bool sender_was_never_sent(struct sender *s, uint64_t seq);
void sender_send_beat(struct sender *s);
void sender_beat_wanted(struct sender *s); /* by the peer; not more often than makes sense */
void sender_carry(struct sender *s, struct mail_reads *m);       /* takes it */
void sender_reply_time(struct sender *s, const struct frame *f); /* a beat comes back */
void sender_look_at_waits(struct sender *s);

/* ---- sender_orders.c ----------------------------------------------------------------------------
 */

void sender_order(struct sender *s, struct mail_order *m); /* takes it */

#endif
