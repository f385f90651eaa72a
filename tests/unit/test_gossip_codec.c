/* Gossip as bytes: gossip/codec. */
#include "core/mem.h"
#include "gossip/codec.h"
#include "unit.h"
#include "wire/frame.h"

static uint32_t tokens[] = {1, 4294967295u};

static void fill(Gossip *m, GossipMember *from, GossipPlace *place)
{
    gossip__init(m);
    gossip_member__init(from);
    gossip_place__init(place);
    *place = (GossipPlace){.base = place->base,
                           .address = (char *)"10.0.0.1:8101",
                           .datacenter = (char *)"dc1",
                           .rack = (char *)"r1",
                           .n_tokens = 2,
                           .tokens = tokens};
    from->id = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)"0123456789abcdef"};
    from->incarnation = 1700000000ull << 32;
    from->state = 2;
    from->place = place;
    m->cluster = (char *)"test";
    m->type = GOSSIP_TYPE__GOSSIP_PING;
    m->from = from;
    m->address = (char *)"10.0.0.1:8101";
    m->has_seq = true;
    m->seq = 7;
}

/* The payload of the one frame in `b`. */
static struct slice payload_of(const struct buf *b)
{
    struct frame f;
    size_t size;
    ck_assert_int_eq(frame_parse(buf_head(b), b->len, GOSSIP_PAYLOAD_MAX, &f, &size), FRAME_OK);
    ck_assert_uint_eq(size, b->len);
    ck_assert_int_eq(f.kind, FRAME_GOSSIP);
    return f.payload;
}

static void encode(struct buf *out, const char *secret)
{
    Gossip m;
    GossipMember from;
    GossipPlace place;
    fill(&m, &from, &place);
    gossip_encode(out, &m, secret);
}

START_TEST(what_is_encoded_comes_back)
{
    const char *secrets[] = {"", "of this cluster"};
    for (int i = 0; i < 2; i++) {
        struct buf b = BUF_INIT;
        struct error e;
        encode(&b, secrets[i]);
        Gossip *m = gossip_decode(payload_of(&b), "test", secrets[i], &e);
        ck_assert_ptr_nonnull(m);
        ck_assert_uint_eq(m->seq, 7);
        ck_assert_str_eq(m->from->place->rack, "r1");
        ck_assert_uint_eq(m->from->place->tokens[1], 4294967295u);
        gossip__free_unpacked(m, NULL);
        buf_fini(&b);
    }
}
END_TEST

static void refused(struct slice payload, const char *cluster, const char *secret, const char *why)
{
    struct error e = {""};
    ck_assert_ptr_null(gossip_decode(payload, cluster, secret, &e));
    ck_assert_msg(strstr(e.text, why), "%s", e.text);
}

START_TEST(without_the_secret_nothing_is_believed)
{
    struct buf plain = BUF_INIT, other = BUF_INIT, good = BUF_INIT;
    encode(&plain, "");
    encode(&other, "another");
    encode(&good, "secret");
    refused(payload_of(&plain), "test", "secret", "without a proof");
    refused(payload_of(&other), "test", "secret", "wrong proof");
    /* each byte counts */
    const struct slice payload = payload_of(&good);
    uint8_t *bytes = mem_dup(payload.ptr, payload.len);
    for (size_t i = 0; i < payload.len; i++) {
        struct error e;
        bytes[i] ^= 1;
        ck_assert_ptr_null(gossip_decode(slice_of(bytes, payload.len), "test", "secret", &e));
        bytes[i] ^= 1;
    }
    mem_free(bytes);
    buf_fini(&plain);
    buf_fini(&other);
    buf_fini(&good);
}
END_TEST

START_TEST(what_is_malformed_is_refused)
{
    struct buf b = BUF_INIT;
    encode(&b, "");
    const struct slice payload = payload_of(&b);
    refused(payload, "elsewhere", "", "cluster");
    for (size_t n = 0; n < payload.len; n++) {
        struct error e;
        ck_assert_ptr_null(gossip_decode(slice_of(payload.ptr, n), "test", "", &e));
    }
    uint8_t *large = mem_calloc(1, GOSSIP_PAYLOAD_MAX + 1);
    refused(slice_of(large, GOSSIP_PAYLOAD_MAX + 1), "test", "", "allowed");
    refused(slice_of(large, 100), "test", "", "malformed");
    mem_free(large);
    buf_fini(&b);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, what_is_encoded_comes_back);
    tcase_add_test(c, without_the_secret_nothing_is_believed);
    tcase_add_test(c, what_is_malformed_is_refused);
}

int main(void)
{
    return unit_main("gossip codec", add_cases);
}
