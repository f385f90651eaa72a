#include "peer/handshake.h"
#include "core/clock.h"
#include "core/mem.h"
#include "peer/keep.h"
#include "proto/link.pb-c.h"
#include "wire/frame.h"
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define WORDS(s) ((char *)(uintptr_t)(s)) /* protobuf-c's structs aren't const-correct */

void handshake_challenge(uint8_t out[CHALLENGE_SIZE])
{
    if (RAND_bytes(out, CHALLENGE_SIZE) != 1)
        abort(); /* no randomness, no authentication */
}

static void add_frame(struct buf *out, uint8_t kind, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = mem_alloc(n);
    protobuf_c_message_pack(m, bytes);
    frame_add(out, &(struct frame){.kind = kind, .payload = slice_of(bytes, n)});
    mem_free(bytes);
}

/* The sender's challenge first, whoever proves. */
static size_t make_proof(const struct identity *me, enum handshake_role role,
                         const uint8_t sender_challenge[CHALLENGE_SIZE],
                         const uint8_t receiver_challenge[CHALLENGE_SIZE], const char *sender_id,
                         const char *receiver_id, uint8_t out[CHALLENGE_SIZE])
{
    if (!*me->secret)
        return 0;
    struct buf text = BUF_INIT;
    unsigned n = CHALLENGE_SIZE;
    buf_printf(&text, "dynomited-%s:%s:%s:%s:", role == HANDSHAKE_SENDER ? "sender" : "receiver",
               me->cluster, sender_id, receiver_id);
    buf_add(&text, sender_challenge, CHALLENGE_SIZE);
    buf_add(&text, receiver_challenge, CHALLENGE_SIZE);
    if (!HMAC(EVP_sha256(), me->secret, (int)strlen(me->secret), buf_head(&text), text.len, out,
              &n))
        abort();
    buf_fini(&text);
    return n;
}

void handshake_add_hello(struct buf *out, const struct identity *me,
                         const uint8_t challenge[CHALLENGE_SIZE], uint64_t hints_upto)
{
    LinkHello m = LINK_HELLO__INIT;
    m.protocol = LINK_PROTOCOL;
    m.cluster = WORDS(me->cluster);
    m.node_id = WORDS(me->id);
    m.start_mark = me->start_mark;
    m.datacenter = WORDS(me->datacenter);
    m.rack = WORDS(me->rack);
    m.tokens = (uint32_t *)(uintptr_t)me->tokens;
    m.n_tokens = me->ntokens;
    m.address = WORDS(me->address);
    m.challenge = (ProtobufCBinaryData){CHALLENGE_SIZE, (uint8_t *)(uintptr_t)challenge};
    m.wall_ms = clock_wall_ms();
    m.hints_upto = hints_upto;
    m.data_store = WORDS(me->data_store);
    add_frame(out, FRAME_HELLO, &m.base);
}

void handshake_add_challenge(struct buf *out, const struct identity *me,
                             const struct greeting *hello, const uint8_t challenge[CHALLENGE_SIZE])
{
    uint8_t proof[CHALLENGE_SIZE];
    LinkChallenge m = LINK_CHALLENGE__INIT;
    m.protocol = LINK_PROTOCOL;
    m.cluster = WORDS(me->cluster);
    m.node_id = WORDS(me->id);
    m.start_mark = me->start_mark;
    m.datacenter = WORDS(me->datacenter);
    m.rack = WORDS(me->rack);
    m.tokens = (uint32_t *)(uintptr_t)me->tokens;
    m.n_tokens = me->ntokens;
    m.challenge = (ProtobufCBinaryData){CHALLENGE_SIZE, (uint8_t *)(uintptr_t)challenge};
    m.proof.data = proof;
    m.proof.len =
        make_proof(me, HANDSHAKE_RECEIVER, hello->challenge, challenge, hello->id, me->id, proof);
    m.wall_ms = clock_wall_ms();
    m.has_unpacks = m.unpacks = true;
    add_frame(out, FRAME_CHALLENGE, &m.base);
}

void handshake_add_proof(struct buf *out, const struct identity *me, const char *receiver_id,
                         const uint8_t ours[CHALLENGE_SIZE], const uint8_t theirs[CHALLENGE_SIZE])
{
    uint8_t proof[CHALLENGE_SIZE];
    LinkProof m = LINK_PROOF__INIT;
    m.proof.data = proof;
    m.proof.len = make_proof(me, HANDSHAKE_SENDER, ours, theirs, me->id, receiver_id, proof);
    m.has_wall_ms = 1;
    m.wall_ms = clock_wall_ms();
    add_frame(out, FRAME_PROOF, &m.base);
}

void handshake_add_welcome(struct buf *out, uint64_t applied, enum node_state state,
                           bool backend_up)
{
    LinkWelcome m = LINK_WELCOME__INIT;
    m.applied = applied;
    m.state = state;
    m.backend_up = backend_up;
    add_frame(out, FRAME_WELCOME, &m.base);
}

static void add_refuse(struct buf *out, const char *reason, bool for_now)
{
    LinkRefuse m = LINK_REFUSE__INIT;
    m.reason = WORDS(reason);
    m.has_for_now = for_now;
    m.for_now = for_now;
    add_frame(out, FRAME_REFUSE, &m.base);
}

void handshake_add_refuse(struct buf *out, const char *reason)
{
    add_refuse(out, reason, false);
}

void handshake_add_refuse_for_now(struct buf *out, const char *reason)
{
    add_refuse(out, reason, true);
}

void handshake_add_state(struct buf *out, uint64_t applied, enum node_state state, bool backend_up)
{
    LinkState m = LINK_STATE__INIT;
    m.applied = applied;
    m.state = state;
    m.backend_up = backend_up;
    add_frame(out, FRAME_STATE, &m.base);
}

static bool take_text(char *to, size_t room, const char *from, const char *what, struct error *e)
{
    size_t n = strlen(from);
    if (n >= room)
        return error_set(e, "handshake: %s of %zu bytes; allowed at most %zu", what, n, room - 1);
    memcpy(to, from, n + 1);
    return true;
}

/* Ids become words in a file and names of directories, marks the upper half of numbers. */
static bool check_greeting(const struct greeting *g, struct error *e)
{
    if (!keep_is_id(g->id))
        return error_set(e, "handshake: node id '%s' found; allowed a UUID", g->id);
    if (g->start_mark > UINT32_MAX)
        return error_set(e, "handshake: start mark %" PRIu64 " found; allowed at most %u",
                         g->start_mark, UINT32_MAX);
    if (g->hints_upto >> 32 > g->start_mark)
        return error_set(e,
                         "handshake: hints up to %" PRIx64 " found, above its start mark %" PRIx64,
                         g->hints_upto, g->start_mark);
    return true;
}

static bool take_challenge(struct greeting *g, const ProtobufCBinaryData *b, struct error *e)
{
    if (b->len != CHALLENGE_SIZE)
        return error_set(e, "handshake: challenge of %zu bytes; allowed %d", b->len,
                         CHALLENGE_SIZE);
    memcpy(g->challenge, b->data, CHALLENGE_SIZE);
    return true;
}

static bool take_tokens(struct greeting *g, const uint32_t *tokens, size_t n, struct error *e)
{
    if (n > HANDSHAKE_TOKENS)
        return error_set(e, "handshake: %zu tokens; allowed at most %d", n, HANDSHAKE_TOKENS);
    if (n)
        memcpy(g->tokens, tokens, n * sizeof *tokens);
    g->ntokens = n;
    return true;
}

static bool take_proof(struct greeting *g, const ProtobufCBinaryData *b, struct error *e)
{
    if (b->len > CHALLENGE_SIZE)
        return error_set(e, "handshake: proof of %zu bytes; allowed %d", b->len, CHALLENGE_SIZE);
    if (b->len)
        memcpy(g->proof, b->data, b->len);
    g->proof_len = b->len;
    return true;
}

bool handshake_read_hello(struct slice payload, struct greeting *g, struct error *e)
{
    LinkHello *m = link_hello__unpack(NULL, payload.len, payload.ptr);
    if (!m)
        return error_set(e, "handshake: malformed greeting of %zu bytes", payload.len);
    memset(g, 0, sizeof *g);
    g->protocol = m->protocol;
    g->start_mark = m->start_mark;
    g->wall_ms = m->wall_ms;
    g->hints_upto = m->hints_upto;
    bool ok = take_text(g->cluster, sizeof g->cluster, m->cluster, "cluster name", e) &&
              take_text(g->id, sizeof g->id, m->node_id, "node id", e) &&
              take_text(g->datacenter, sizeof g->datacenter, m->datacenter, "datacenter", e) &&
              take_text(g->rack, sizeof g->rack, m->rack, "rack", e) &&
              take_text(g->address, sizeof g->address, m->address, "address", e) &&
              take_tokens(g, m->tokens, m->n_tokens, e) && take_challenge(g, &m->challenge, e) &&
              check_greeting(g, e);
    link_hello__free_unpacked(m, NULL);
    return ok;
}

bool handshake_read_challenge(struct slice payload, struct greeting *g, struct error *e)
{
    LinkChallenge *m = link_challenge__unpack(NULL, payload.len, payload.ptr);
    if (!m)
        return error_set(e, "handshake: malformed challenge of %zu bytes", payload.len);
    memset(g, 0, sizeof *g);
    g->unpacks = m->has_unpacks && m->unpacks;
    g->protocol = m->protocol;
    g->start_mark = m->start_mark;
    g->wall_ms = m->wall_ms;
    bool ok = take_text(g->cluster, sizeof g->cluster, m->cluster, "cluster name", e) &&
              take_text(g->id, sizeof g->id, m->node_id, "node id", e) &&
              take_text(g->datacenter, sizeof g->datacenter, m->datacenter, "datacenter", e) &&
              take_text(g->rack, sizeof g->rack, m->rack, "rack", e) &&
              take_tokens(g, m->tokens, m->n_tokens, e) && take_challenge(g, &m->challenge, e) &&
              take_proof(g, &m->proof, e) && check_greeting(g, e);
    link_challenge__free_unpacked(m, NULL);
    return ok;
}

bool handshake_read_proof(struct slice payload, struct greeting *g, struct error *e)
{
    LinkProof *m = link_proof__unpack(NULL, payload.len, payload.ptr);
    if (!m)
        return error_set(e, "handshake: malformed proof of %zu bytes", payload.len);
    bool ok = take_proof(g, &m->proof, e);
    g->wall_ms = m->has_wall_ms ? m->wall_ms : g->wall_ms;
    link_proof__free_unpacked(m, NULL);
    return ok;
}

static bool take_word(struct link_word *out, uint64_t applied, uint32_t state, bool up,
                      struct error *e)
{
    if (state >= NODE_STATES)
        return error_set(e, "link: node state %u; allowed below %d", state, NODE_STATES);
    *out =
        (struct link_word){.applied = applied, .state = (enum node_state)state, .backend_up = up};
    return true;
}

bool handshake_read_welcome(struct slice payload, struct link_word *out, struct error *e)
{
    LinkWelcome *m = link_welcome__unpack(NULL, payload.len, payload.ptr);
    if (!m)
        return error_set(e, "handshake: malformed welcome of %zu bytes", payload.len);
    bool ok = take_word(out, m->applied, m->state, m->backend_up, e);
    link_welcome__free_unpacked(m, NULL);
    return ok;
}

bool handshake_read_state(struct slice payload, struct link_word *out, struct error *e)
{
    LinkState *m = link_state__unpack(NULL, payload.len, payload.ptr);
    if (!m)
        return error_set(e, "link: malformed state of %zu bytes", payload.len);
    bool ok = take_word(out, m->applied, m->state, m->backend_up, e);
    link_state__free_unpacked(m, NULL);
    return ok;
}

void handshake_read_refuse(struct slice payload, char *out, size_t n, bool *for_now)
{
    LinkRefuse *m = link_refuse__unpack(NULL, payload.len, payload.ptr);
    const char *reason = m ? m->reason : "no readable reason";
    size_t len = strlen(reason);
    len = len < n ? len : n - 1;
    memcpy(out, reason, len);
    out[len] = 0;
    *for_now = m && m->for_now;
    if (m)
        link_refuse__free_unpacked(m, NULL);
}

bool handshake_check(const struct identity *me, const struct topology *t, const struct greeting *g,
                     unsigned *node, struct error *e)
{
    if (g->protocol != LINK_PROTOCOL)
        return error_set(e, "protocol version %u found; allowed %d", g->protocol, LINK_PROTOCOL);
    if (strcmp(g->cluster, me->cluster) != 0)
        return error_set(e, "cluster '%s' found; allowed '%s'", g->cluster, me->cluster);
    int place = topology_find_place(t, g->datacenter, g->rack, g->tokens, g->ntokens);
    int known = topology_find_id(t, g->id);
    if (strcmp(g->id, me->id) == 0)
        return error_set(e,
                         "node id %s is this node's own: its data_dir was copied, or it dials "
                         "itself; remove node_id from the copy",
                         g->id);
    if (known >= 0 && known != place)
        return error_set(e, "node id %s is known at datacenter %s, rack %s with other tokens",
                         g->id, t->nodes[known].datacenter, t->nodes[known].rack);
    if (place < 0 || place == (int)t->self)
        return error_set(e,
                         "datacenter %s, rack %s with its %zu tokens (first %u) isn't one of the "
                         "places in the ring that this node knows",
                         g->datacenter, g->rack, g->ntokens, g->ntokens ? g->tokens[0] : 0);
    *node = (unsigned)place;
    return true;
}

bool handshake_is_stranger(const struct topology *t, const struct greeting *g)
{
    return topology_find_id(t, g->id) < 0 &&
           topology_find_place(t, g->datacenter, g->rack, g->tokens, g->ntokens) < 0;
}

bool handshake_proven(const struct identity *me, enum handshake_role role, const struct greeting *g,
                      const char *their_id, const uint8_t ours[CHALLENGE_SIZE],
                      const uint8_t theirs[CHALLENGE_SIZE], struct error *e)
{
    uint8_t want[CHALLENGE_SIZE];
    size_t n = role == HANDSHAKE_SENDER
                   ? make_proof(me, role, theirs, ours, their_id, me->id, want)
                   : make_proof(me, role, ours, theirs, me->id, their_id, want);
    if (n == 0 && g->proof_len == 0)
        return true;
    if (n == 0)
        return error_set(e, "the other side has a cluster_secret, this node has none");
    if (g->proof_len != n || CRYPTO_memcmp(want, g->proof, n) != 0)
        return error_set(e, "cluster_secret doesn't match");
    return true;
}
