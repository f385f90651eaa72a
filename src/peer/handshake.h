/* peer/handshake: the start of a link between two nodes, without its I/O.
 *
 *     sender                                receiver
 *       HELLO who I am, challenge A   ----->   checks place, cluster, version
 *                <-----  CHALLENGE who I am, challenge B, proof over A and B
 *       PROOF over A and B            ----->   checks
 *                <-----  WELCOME last applied, state     (when what came on the old link is done)
 *
 * Either side answers REFUSE with a reason instead, and both log it. A proof is HMAC-SHA256 (RFC
 * 2104) with cluster_secret over the role, both challenges and both ids; without a secret it is
 * empty, and a node that has one refuses an empty proof. Any thread; no state. */
#ifndef PEER_HANDSHAKE_H
#define PEER_HANDSHAKE_H

#include "core/buf.h"
#include "core/error.h"
#include "ring/topology.h"

#define LINK_PROTOCOL    1
#define HANDSHAKE_MAX    (64u * 1024) /* payload of a handshake frame */
#define CHALLENGE_SIZE   32
#define HANDSHAKE_TOKENS 4096

/* Who this node is; immutable after the start. */
struct identity {
    char id[NODE_ID_SIZE];
    uint64_t start_mark;
    const char *cluster, *secret; /* secret "": none */
    const char *address, *datacenter, *rack, *data_store;
    const uint32_t *tokens;
    size_t ntokens;
};

/* What the other side said. */
struct greeting {
    uint32_t protocol;
    char cluster[256], id[NODE_ID_SIZE], datacenter[256], rack[256], address[300];
    uint32_t tokens[HANDSHAKE_TOKENS];
    size_t ntokens;
    uint64_t start_mark, wall_ms, hints_upto;
    uint8_t challenge[CHALLENGE_SIZE];
    uint8_t proof[CHALLENGE_SIZE];
    size_t proof_len;
    bool unpacks; /* a receiver that understands FRAME_PACKED */
};

enum handshake_role { HANDSHAKE_SENDER, HANDSHAKE_RECEIVER };

void handshake_challenge(uint8_t out[CHALLENGE_SIZE]);

/* Append one frame to `out`. */
void handshake_add_hello(struct buf *out, const struct identity *me,
                         const uint8_t challenge[CHALLENGE_SIZE], uint64_t hints_upto);
void handshake_add_challenge(struct buf *out, const struct identity *me,
                             const struct greeting *hello, const uint8_t challenge[CHALLENGE_SIZE]);
void handshake_add_proof(struct buf *out, const struct identity *me, const char *receiver_id,
                         const uint8_t ours[CHALLENGE_SIZE], const uint8_t theirs[CHALLENGE_SIZE]);
void handshake_add_welcome(struct buf *out, uint64_t applied, enum node_state state,
                           bool backend_up);
void handshake_add_refuse(struct buf *out, const char *reason);
/* The same, and the other side may dial again soon: it may be in the ring by then. */
void handshake_add_refuse_for_now(struct buf *out, const char *reason);
void handshake_add_state(struct buf *out, uint64_t applied, enum node_state state, bool backend_up);

/* Read a frame's payload; false: malformed, or of a size that is not allowed. */
bool handshake_read_hello(struct slice payload, struct greeting *out, struct error *e) MUST_USE;
bool handshake_read_challenge(struct slice payload, struct greeting *out, struct error *e) MUST_USE;
bool handshake_read_proof(struct slice payload, struct greeting *out, struct error *e) MUST_USE;
struct link_word {
    uint64_t applied;
    enum node_state state;
    bool backend_up;
};
bool handshake_read_welcome(struct slice payload, struct link_word *out, struct error *e) MUST_USE;
bool handshake_read_state(struct slice payload, struct link_word *out, struct error *e) MUST_USE;
void handshake_read_refuse(struct slice payload, char *out, size_t n, bool *for_now);

/* Is it one of us, and at the place where we think it is? Fills its index in `t`. A new id at the
 * place of another node passes, too: whether it replaces that one is the writer's to say. */
bool handshake_check(const struct identity *me, const struct topology *t, const struct greeting *g,
                     unsigned *node, struct error *e) MUST_USE;
/* Where nodes hear of each other: may it be refused because this node hasn't heard of it yet? */
bool handshake_is_stranger(const struct topology *t, const struct greeting *g);
/* Does the proof of the other side, which has `role`, hold? */
bool handshake_proven(const struct identity *me, enum handshake_role role, const struct greeting *g,
                      const char *their_id, const uint8_t ours[CHALLENGE_SIZE],
                      const uint8_t theirs[CHALLENGE_SIZE], struct error *e) MUST_USE;

#endif
