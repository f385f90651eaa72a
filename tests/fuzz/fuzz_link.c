/* What the other side of a link says: greetings, proofs, welcomes, states, refusals, numbers,
 * writes, and packs of them. Whatever is let through keeps the limits that the rest of the program
 * relies on. The input is a byte that chooses the reader, and a payload. */
#include "core/mem.h"
#include "fuzz.h"
#include "peer/handshake.h"
#include "peer/inbound.h"
#include "peer/keep.h"
#include "store/store.h"
#include "wire/pack.h"
#include <string.h>

#define MARK 1700000000u

static const uint32_t zero[] = {0}, others[] = {1, 2};

static struct topology *ring(void)
{
    static struct topology *t;
    struct error e;
    struct ring_node nodes[] = {
        {.address = "a:1", .datacenter = "dc1", .rack = "rack1", .tokens = zero, .ntokens = 1},
        {.address = "b:1", .datacenter = "dc1", .rack = "rack2", .tokens = others, .ntokens = 2},
        {.address = "c:1", .datacenter = "dc1", .rack = "rack3", .tokens = zero, .ntokens = 1}};
    memcpy(nodes[0].id, "aaaaaaaa-0000-4000-8000-000000000001", NODE_ID_SIZE);
    memcpy(nodes[2].id, "cccccccc-0000-4000-8000-000000000003", NODE_ID_SIZE);
    if (!t)
        t = topology_new(nodes, 3, 0, &e);
    FUZZ_CHECK(t);
    return t;
}

static struct identity me(const char *secret)
{
    struct identity me = {.start_mark = MARK,
                          .cluster = "test",
                          .secret = secret,
                          .address = "a:1",
                          .datacenter = "dc1",
                          .rack = "rack1",
                          .data_store = "embedded",
                          .tokens = zero,
                          .ntokens = 1};
    memcpy(me.id, "aaaaaaaa-0000-4000-8000-000000000001", NODE_ID_SIZE);
    return me;
}

static void check_greeting(const struct greeting *g)
{
    struct error e;
    unsigned node = 99;
    const struct identity id = me("");
    FUZZ_CHECK(keep_is_id(g->id));
    FUZZ_CHECK(g->start_mark <= UINT32_MAX && g->hints_upto >> 32 <= g->start_mark);
    FUZZ_CHECK(memchr(g->cluster, 0, sizeof g->cluster) && memchr(g->rack, 0, sizeof g->rack));
    FUZZ_CHECK(memchr(g->datacenter, 0, sizeof g->datacenter));
    FUZZ_CHECK(memchr(g->address, 0, sizeof g->address));
    FUZZ_CHECK(g->ntokens <= HANDSHAKE_TOKENS && g->proof_len <= CHALLENGE_SIZE);
    if (!handshake_check(&id, ring(), g, &node, &e))
        return;
    /* a new id may take a place: whether it is free is for the writer to say */
    int known = topology_find_id(ring(), g->id);
    FUZZ_CHECK((node == 1 || node == 2) && (known < 0 || known == (int)node));
    FUZZ_CHECK(strcmp(g->cluster, "test") == 0 && g->protocol == LINK_PROTOCOL);
}

/* Nobody finds a proof by chance. */
static void check_proof(const struct greeting *g)
{
    static const uint8_t ours[CHALLENGE_SIZE] = {1};
    struct error e;
    const struct identity with = me("secret"), without = me("");
    FUZZ_CHECK(!handshake_proven(&with, HANDSHAKE_SENDER, g, g->id, ours, g->challenge, &e));
    FUZZ_CHECK(handshake_proven(&without, HANDSHAKE_SENDER, g, g->id, ours, g->challenge, &e) ==
               (g->proof_len == 0));
}

static void check_refuse(struct slice payload)
{
    char small[16], reason[256];
    bool for_now;
    handshake_read_refuse(payload, small, sizeof small, &for_now);
    handshake_read_refuse(payload, reason, sizeof reason, &for_now);
    FUZZ_CHECK(memchr(reason, 0, sizeof reason) && memchr(small, 0, sizeof small));
    FUZZ_CHECK(strncmp(reason, small, sizeof small - 1) == 0);
}

static void check_number(struct slice payload)
{
    struct error e;
    struct frame f = {.kind = FRAME_SKIP};
    if (payload.len < 8)
        return;
    memcpy(&f.seq, payload.ptr, 8);
    f.payload = slice_of(payload.ptr + 8, payload.len - 8);
    if (inbound_number_ok(&f, MARK, &e))
        FUZZ_CHECK(f.seq >> 32 <= MARK && f.payload.len == 8);
    f.kind = FRAME_WRITE;
    FUZZ_CHECK(inbound_number_ok(&f, MARK, &e) == (f.seq >> 32 <= MARK));
}

static void check_write(struct slice payload)
{
    struct resp_command cmd = {0};
    const struct command_spec *spec = NULL;
    size_t n = sizeof STORE_HIDDEN_PREFIX - 1;
    if (resp_command_parse(payload, &cmd) && cmd.argc)
        spec = command_find(cmd.argv[0]);
    if (spec && inbound_is_write(spec, &cmd)) {
        size_t keys[1];
        FUZZ_CHECK(spec->class_ != COMMAND_LOCAL && spec->class_ != COMMAND_REFUSED);
        if (command_keys(spec, &cmd, keys, 1))
            FUZZ_CHECK(cmd.argv[keys[0]].len < n ||
                       memcmp(cmd.argv[keys[0]].ptr, STORE_HIDDEN_PREFIX, n) != 0);
    }
    resp_command_fini(&cmd);
}

static void check_word(struct slice payload, bool welcome)
{
    struct error e;
    struct link_word word;
    if (welcome ? handshake_read_welcome(payload, &word, &e)
                : handshake_read_state(payload, &word, &e))
        FUZZ_CHECK((unsigned)word.state < NODE_STATES);
}

/* What comes out is no larger than it may be, and, if it is let through, frames; packed again it is
 * the same. */
static void check_pack(struct slice payload)
{
    struct error e;
    struct blob *b = pack_open(payload, &e), *same;
    struct buf again = BUF_INIT;
    if (!b)
        return;
    FUZZ_CHECK(b->len <= PACK_RAW_MAX && b->len / 255 <= payload.len);
    if (inbound_batch_ok(blob_slice(b), MARK, &e) && pack_add(&again, blob_slice(b))) {
        buf_eat(&again, FRAME_HEAD);
        same = pack_open(buf_slice(&again), &e);
        FUZZ_CHECK(same && slice_eq(blob_slice(same), blob_slice(b)));
        blob_unref(same);
    }
    buf_fini(&again);
    blob_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct greeting g;
    struct error e;
    if (size == 0)
        return 0;
    uint8_t *copy = mem_dup(data + 1, size - 1);
    struct slice payload = slice_of(copy, size - 1);
    switch (data[0] % 9) {
    case 0:
        if (handshake_read_hello(payload, &g, &e))
            check_greeting(&g);
        break;
    case 1:
        if (handshake_read_challenge(payload, &g, &e)) {
            check_greeting(&g);
            check_proof(&g);
        }
        break;
    case 2:
        if (handshake_read_proof(payload, &g, &e))
            check_proof(&g);
        break;
    case 3:
    case 4:
        check_word(payload, data[0] % 9 == 3);
        break;
    case 5:
        check_refuse(payload);
        break;
    case 6:
        check_number(payload);
        break;
    case 7:
        check_write(payload);
        break;
    default:
        check_pack(payload);
    }
    mem_free(copy);
    return 0;
}
