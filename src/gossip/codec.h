/* gossip/codec: a gossip message as the payload of a frame (FRAME_GOSSIP), and back. Pure, any
 * thread.
 *
 * The payload is a GossipEnvelope: the packed Gossip and, where there is a cluster_secret, an
 * HMAC-SHA256 (RFC 2104) over it. Each message proves itself: a connection needs no handshake, and
 * one that is replayed says nothing new, since incarnations only rise. */
#ifndef GOSSIP_CODEC_H
#define GOSSIP_CODEC_H

#include "core/buf.h"
#include "core/error.h"
#include "proto/gossip.pb-c.h"

#define GOSSIP_PAYLOAD_MAX (1024u * 1024) /* bytes of a message; longer ones are refused unread */

/* Appends the frame. secret "": without a proof. */
void gossip_encode(struct buf *out, const Gossip *m, const char *secret);
/* The caller frees it with gossip__free_unpacked(m, NULL). NULL: malformed, too large, of another
 * cluster, or its proof doesn't hold. */
Gossip *gossip_decode(struct slice payload, const char *cluster, const char *secret,
                      struct error *e) MUST_USE;

#endif
