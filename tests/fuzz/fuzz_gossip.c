/* Gossip from anywhere: what gossip_decode lets through goes to a node of a cluster of three
 * (gossip/swim). The input is a payload, as a frame has it. Whatever it says, the list stays within
 * its bounds and this node lives in its own eyes. */
#include "core/mem.h"
#include "fuzz.h"
#include "gossip/codec.h"
#include "gossip/swim.h"
#include <string.h>

#define WALL        1700000000000u
#define MEMBERS_MAX 8u

static void on_send(void *arg, const char *address, const Gossip *m)
{
    struct error e;
    struct buf b = BUF_INIT;
    (void)arg;
    FUZZ_CHECK(*address);
    /* what goes out is what others take */
    gossip_encode(&b, m, "");
    FUZZ_CHECK(b.len <= GOSSIP_PAYLOAD_MAX);
    Gossip *back = gossip_decode(slice_of(buf_head(&b) + 40, b.len - 40), "test", "", &e);
    FUZZ_CHECK(back);
    gossip__free_unpacked(back, NULL);
    buf_fini(&b);
}

static void on_event(void *arg, const struct swim_event *e)
{
    (void)arg;
    FUZZ_CHECK(e->reason && *e->reason);
    FUZZ_CHECK(e->m || e->type == SWIM_REFUSED);
}

static struct swim *node(void)
{
    static const uint32_t token[] = {0};
    const struct swim_options o = {
        .cluster = "test", .interval_ms = 1000, .seed = 1, .members_max = MEMBERS_MAX};
    struct swim_self self = {.incarnation = (WALL / 1000) << 32,
                             .place = {.address = "10.0.0.1:8101",
                                       .datacenter = "dc1",
                                       .rack = "r1",
                                       .tokens = token,
                                       .ntokens = 1},
                             .settled = true,
                             .state = NODE_NORMAL};
    memcpy(self.id, "00000000-0000-4000-8000-000000000001", NODE_ID_SIZE);
    return swim_new(&o, &self, &(struct swim_sink){.send = on_send, .event = on_event}, 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e;
    Gossip *m = gossip_decode(slice_of(data, size), "test", "", &e);
    if (!m)
        return 0;
    struct swim *s = node();
    uint64_t now = 1000;
    for (int i = 0; i < 3; i++) { /* also as an answer to what it brought about */
        swim_receive(s, m, now, WALL + now);
        FUZZ_CHECK(swim_count(s) <= MEMBERS_MAX);
        FUZZ_CHECK(!swim_is_settled(s) || swim_self(s)->state == NODE_NORMAL);
        now = swim_due(s);
        swim_tick(s, now);
        FUZZ_CHECK(swim_due(s) > now);
    }
    swim_free(s);
    gossip__free_unpacked(m, NULL);
    return 0;
}
