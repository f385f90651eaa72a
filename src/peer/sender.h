/* peer/sender: the actor that brings one peer what this node wrote for it. It owns the outbound
 * link and the peer's log from the sent cursor down: sends, syncs hints, gives verdicts, frees; and
 * it carries reads to the peer, since the link is there.
 *
 * The link's life:
 *
 *     IDLE --(back-off over, or greeted)--> CONNECTING --> GREETING --> PROVING --> UP --> IDLE
 *
 * UP: records go out in the order of their numbers from what the peer said it had applied, hints
 * and live traffic by the same loop, unless delivery is paused. While the peer is down, STANDBY,
 * paused or without its store, what is in the log counts as hints (peer/hinting): synced in groups,
 * one fdatasync for all that came in one turn. (With handoff off only a peer that is down is
 * refused writes, and there are no hints.)
 *
 * A peer that has left the ring (MAIL_GONE): the link ends, the log is let go of as it is
 * (peer->let_go), and what is still asked for it is answered for as long as a request may know of
 * it; then the thread ends. */
#ifndef PEER_SENDER_H
#define PEER_SENDER_H

#include "config/config.h"
#include "peer/handshake.h"
#include "peer/peer.h"

struct sender;
struct sender_options {
    const struct config *config;
    const struct identity *me;
    struct topology *const *topology;
    struct peer *peer;
    const char *address;           /* of the peer, where the ring doesn't name it yet; else NULL */
    const struct orphans *orphans; /* NULL: none */
    const char *hint_dir;          /* of this peer's log; NULL: memory */
    struct actor *writer;          /* is told whom we met */
    const uint32_t *clock_trusted; /* atomic: hints may expire */
    const uint64_t *watermark;     /* atomic: of this node, for its heartbeats */
};
/* Starts the actor; peer->sender is set before this returns. */
struct sender *sender_start(const struct sender_options *o, struct error *e) MUST_USE;
void sender_stop(struct sender *s);          /* doesn't wait */
void sender_join(struct sender *s);          /* waits for its end; again: nothing to do */
bool sender_is_over(const struct sender *s); /* its thread has ended or is about to */
void sender_free(struct sender *s);          /* when nobody can send to it any more */

#endif
