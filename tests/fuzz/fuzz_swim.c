/* A node of a small cluster (gossip/swim) and messages that are well formed but say anything, with
 * time going by: each byte of the input chooses. What must hold: the list within its bounds, no
 * tick without end, this node alive in its own eyes, its word newer than any that was taken of it,
 * and no name in the list that only one has brought. */
#include "core/mem.h"
#include "fuzz.h"
#include "gossip/words.h"
#include "proto/gossip.pb-c.h"
#include <string.h>

#define WALL        1700000000000u
#define MARK        (WALL / 1000)
#define MEMBERS_MAX 6u
#define NAMES       8u
#define ITEMS       6u

struct input {
    const uint8_t *data;
    size_t n;
};

static unsigned next(struct input *in, unsigned bound)
{
    if (!in->n)
        return 0;
    in->n--;
    return *in->data++ % bound;
}

static void on_send(void *arg, const char *address, const Gossip *m)
{
    uint32_t *last_seq = arg;
    FUZZ_CHECK(*address && m->n_members <= 256);
    if (m->has_seq)
        *last_seq = m->seq;
}

static void on_event(void *arg, const struct swim_event *e)
{
    (void)arg;
    FUZZ_CHECK(e->reason && *e->reason && (e->m || e->type == SWIM_REFUSED));
}

/* ---- a message ---------------------------------------------------------------------------------
 */

static uint8_t ids[NAMES][GOSSIP_ID];
static char addresses[NAMES][16];
static uint32_t tokens[NAMES];

struct forged {
    Gossip m;
    GossipMember from, item[ITEMS], *items[ITEMS];
    GossipPlace from_place, place[ITEMS];
    uint64_t sums[64], versions[ITEMS];
    uint8_t id_bytes[ITEMS * GOSSIP_ID];
    uint32_t by[ITEMS][4];
};

static struct member_place place_of(unsigned who, unsigned kind)
{
    return (struct member_place){.address = addresses[kind == 1 ? (who + 1) % NAMES : who],
                                 .datacenter = "dc1",
                                 .rack = "r1",
                                 .tokens = &tokens[kind == 2 ? (who + 1) % NAMES : who],
                                 .ntokens = 1};
}

static void fill_place(GossipPlace *out, const struct member_place *p)
{
    gossip_place__init(out);
    out->address = (char *)(uintptr_t)p->address;
    out->datacenter = (char *)(uintptr_t)p->datacenter;
    out->rack = (char *)(uintptr_t)p->rack;
    out->n_tokens = p->ntokens;
    out->tokens = (uint32_t *)(uintptr_t)p->tokens;
}

static void forge_member(struct input *in, GossipMember *out, GossipPlace *place, unsigned who)
{
    static const uint32_t states[] = {NODE_NORMAL, NODE_JOINING, NODE_STANDBY, NODE_LEAVING,
                                      NODE_RESET};
    const struct member_place p = place_of(who, next(in, 6));
    struct seat *seat = seat_get(ids[who], &p);
    gossip_member__init(out);
    out->id = (ProtobufCBinaryData){.len = GOSSIP_ID, .data = ids[who]};
    out->incarnation = (((uint64_t)MARK + next(in, 3)) << 32) + next(in, 4);
    out->state = states[next(in, 8) % 5];
    out->has_serves = out->serves = next(in, 2);
    out->claim = next(in, 4);
    out->has_claim = out->claim != 0;
    out->place_hash = seat->in.hash;
    if (next(in, 3)) {
        fill_place(place, &p);
        out->place = place;
    }
    seat_unref(seat);
}

static void forge(struct input *in, struct forged *f, uint32_t last_seq)
{
    gossip__init(&f->m);
    f->m.cluster = (char *)(uintptr_t) "test";
    f->m.type = (GossipType)(1 + next(in, 10));
    const unsigned who = next(in, NAMES);
    forge_member(in, &f->from, &f->from_place, who);
    f->m.from = &f->from;
    f->m.address = f->from.place ? f->from.place->address : addresses[who];
    f->m.has_unsettled = f->m.unsettled = next(in, 4) == 3;
    f->m.has_list = true;
    f->m.list = next(in, 3);
    f->m.has_seq = true;
    f->m.seq = last_seq - next(in, 3);
    f->m.has_show = f->m.show = next(in, 2);
    f->m.has_listed = f->m.listed = next(in, 2);
    f->m.n_members = next(in, ITEMS + 1);
    f->m.members = f->items;
    for (unsigned i = 0; i < f->m.n_members; i++) {
        forge_member(in, &f->item[i], &f->place[i], next(in, NAMES));
        f->items[i] = &f->item[i];
        f->item[i].n_by = next(in, 3);
        f->item[i].by = f->by[i];
    }
    if (f->m.type == GOSSIP_TYPE__GOSSIP_ASK || f->m.type == GOSSIP_TYPE__GOSSIP_NACK ||
        (f->m.type == GOSSIP_TYPE__GOSSIP_ACK && next(in, 2))) {
        f->m.has_target = true;
        f->m.target = (ProtobufCBinaryData){.len = GOSSIP_ID, .data = ids[next(in, NAMES)]};
    }
    if (next(in, 2)) {
        f->m.n_sums = 64;
        f->m.sums = f->sums;
    }
    f->m.n_versions = next(in, ITEMS);
    f->m.versions = f->versions;
    f->m.has_ids = true;
    for (unsigned i = 0; i < f->m.n_versions; i++)
        memcpy(f->id_bytes + GOSSIP_ID * i, ids[next(in, NAMES)], GOSSIP_ID);
    f->m.ids = (ProtobufCBinaryData){.len = GOSSIP_ID * f->m.n_versions, .data = f->id_bytes};
    f->m.has_buckets = true;
    f->m.buckets = next(in, 2) ? UINT64_MAX : 0;
    f->m.has_wants = f->m.has_asks = next(in, 2);
    f->m.wants = f->m.asks = f->m.ids;
    f->m.has_part = f->m.has_parts = true;
    f->m.parts = next(in, 3);
    f->m.part = f->m.parts ? next(in, f->m.parts) : 0;
}

/* ---- the node ----------------------------------------------------------------------------------
 */

static struct swim *node(bool settled, uint32_t *last_seq)
{
    const struct member_place listed = place_of(0, 0);
    const struct swim_options o = {.cluster = "test",
                                   .interval_ms = 1000,
                                   .seed = 1,
                                   .members_max = MEMBERS_MAX,
                                   .listed = &listed,
                                   .nlisted = 1};
    struct swim_self self = {.incarnation = (uint64_t)MARK << 32,
                             .place = place_of(0, 0),
                             .settled = settled,
                             .state = NODE_NORMAL};
    gossip_id_write(ids[0], self.id);
    return swim_new(&o, &self,
                    &(struct swim_sink){.send = on_send, .event = on_event, .arg = last_seq}, 1000);
}

static bool count_one(void *arg, const struct member *m)
{
    FUZZ_CHECK(m->place && m->state != NODE_UNKNOWN && m->said != NODE_DOWN);
    ++*(unsigned *)arg;
    return true;
}

static void check(const struct swim *s)
{
    unsigned n = 0;
    swim_each(s, count_one, &n);
    FUZZ_CHECK(n == swim_count(s) && n <= MEMBERS_MAX + 1);
    FUZZ_CHECK(swim_self(s)->state == NODE_NORMAL || swim_self(s)->state == NODE_JOINING);
    FUZZ_CHECK(swim_self(s)->incarnation >= (uint64_t)MARK << 32);
}

static void step(struct swim *s, struct input *in, uint64_t *now, uint32_t *last_seq)
{
    struct forged f;
    char id[NODE_ID_SIZE];
    memset(&f, 0, sizeof f);
    switch (next(in, 8)) {
    case 0:
        *now += 100u * next(in, 256);
        swim_tick(s, *now);
        break;
    case 1:
        swim_contact(s, addresses[next(in, NAMES)], *now);
        break;
    case 2:
        gossip_id_write(ids[next(in, NAMES)], id);
        swim_doubt(s, id, *now);
        break;
    case 3:
        for (unsigned i = next(in, 64); i > 0; i--) {
            *now = swim_due(s);
            swim_tick(s, *now);
            FUZZ_CHECK(swim_due(s) > *now);
        }
        break;
    default:
        forge(in, &f, *last_seq);
        swim_receive(s, &f.m, *now, WALL + *now);
    }
    check(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint64_t now = 1000;
    uint32_t last_seq = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        memset(ids[i], (int)(17 * i), GOSSIP_ID);
        snprintf(addresses[i], sizeof addresses[i], "10.0.0.%u:1", i);
        tokens[i] = i;
    }
    struct swim *s = node(next(&in, 2), &last_seq);
    while (in.n)
        step(s, &in, &now, &last_seq);
    swim_free(s);
    return 0;
}
