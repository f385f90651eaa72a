#include "gossip/codec.h"
#include "core/mem.h"
#include "wire/frame.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define PROOF_SIZE 32

static void prove(const char *secret, struct slice text, uint8_t out[PROOF_SIZE])
{
    unsigned n = 0;
    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), text.ptr, text.len, out, &n) ||
        n != PROOF_SIZE)
        memset(out, 0, PROOF_SIZE); /* OpenSSL has no memory: the other side refuses it */
}

void gossip_encode(struct buf *out, const Gossip *m, const char *secret)
{
    GossipEnvelope envelope = GOSSIP_ENVELOPE__INIT;
    uint8_t proof[PROOF_SIZE];
    struct buf text = BUF_INIT, payload = BUF_INIT;

    size_t n = gossip__get_packed_size(m);
    gossip__pack(m, buf_reserve(&text, n));
    buf_commit(&text, n);
    envelope.gossip = (ProtobufCBinaryData){.len = text.len, .data = text.data + text.off};
    if (*secret) {
        prove(secret, buf_slice(&text), proof);
        envelope.has_proof = true;
        envelope.proof = (ProtobufCBinaryData){.len = PROOF_SIZE, .data = proof};
    }
    n = gossip_envelope__get_packed_size(&envelope);
    gossip_envelope__pack(&envelope, buf_reserve(&payload, n));
    buf_commit(&payload, n);
    frame_add(out, &(struct frame){.kind = FRAME_GOSSIP, .payload = buf_slice(&payload)});
    buf_fini(&payload);
    buf_fini(&text);
}

static bool is_proven(const GossipEnvelope *envelope, const char *secret, struct error *e)
{
    uint8_t proof[PROOF_SIZE];
    if (!*secret)
        return true;
    if (!envelope->has_proof)
        return error_set(e, "gossip without a proof; allowed: one made with the cluster_secret");
    prove(secret, slice_of(envelope->gossip.data, envelope->gossip.len), proof);
    if (envelope->proof.len != PROOF_SIZE ||
        CRYPTO_memcmp(envelope->proof.data, proof, PROOF_SIZE) != 0)
        return error_set(e, "gossip with a wrong proof: its cluster_secret is another");
    return true;
}

Gossip *gossip_decode(struct slice payload, const char *cluster, const char *secret,
                      struct error *e)
{
    if (payload.len > GOSSIP_PAYLOAD_MAX) {
        error_set(e, "gossip of %zu bytes; allowed: %u", payload.len, GOSSIP_PAYLOAD_MAX);
        return NULL;
    }
    GossipEnvelope *envelope = gossip_envelope__unpack(NULL, payload.len, payload.ptr);
    if (!envelope) {
        error_set(e, "malformed gossip of %zu bytes", payload.len);
        return NULL;
    }
    Gossip *m = NULL;
    if (is_proven(envelope, secret, e)) {
        m = gossip__unpack(NULL, envelope->gossip.len, envelope->gossip.data);
        if (!m)
            error_set(e, "malformed gossip of %zu bytes", payload.len);
    }
    gossip_envelope__free_unpacked(envelope, NULL);
    if (m && strcmp(m->cluster, cluster) != 0) {
        error_set(e, "gossip of the cluster %.64s; allowed: %s", m->cluster, cluster);
        gossip__free_unpacked(m, NULL);
        m = NULL;
    }
    return m;
}
