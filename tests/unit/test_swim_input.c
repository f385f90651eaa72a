/* What comes from outside and is wrong: gossip/swim refuses it, and the members stay as they are.
 */
#include "gossip_world.h"

#define STRANGER 9

static uint32_t stranger_tokens[] = {7};
static uint8_t stranger_id[GOSSIP_ID];

/* A message as it may come to node 0, from node 1 where nothing else is said; the test spoils it.
 */
struct forged {
    Gossip m;
    GossipMember from, member[256], *members[256];
    GossipPlace place[256], from_place;
    uint8_t id[256][GOSSIP_ID];
    char address[256][32];
};
static struct forged f;

static void forge_place(GossipPlace *p, const char *address)
{
    gossip_place__init(p);
    p->address = (char *)(uintptr_t)address;
    p->datacenter = (char *)(uintptr_t) "dc1";
    p->rack = (char *)(uintptr_t) "r9";
    p->n_tokens = 1;
    p->tokens = stranger_tokens;
}

static void forge_member(GossipMember *m, uint8_t *id, GossipPlace *place)
{
    gossip_member__init(m);
    m->id = (ProtobufCBinaryData){.len = GOSSIP_ID, .data = id};
    m->incarnation = (uint64_t)MARK << 32;
    m->state = NODE_NORMAL;
    m->place = place;
}

/* From node 1, with `n` names that nobody has ever heard, counted from `first`. */
static void forge(GossipType type, unsigned n, unsigned first)
{
    static uint8_t id[GOSSIP_ID];
    ck_assert(gossip_id_read(id_of(1), id));
    gossip__init(&f.m);
    gossip_member__init(&f.from);
    const struct member *one = swim_self(w.node[1]);
    f.from.id = (ProtobufCBinaryData){.len = GOSSIP_ID, .data = id};
    f.from.incarnation = one->incarnation;
    f.from.state = one->said;
    struct seat *seat = seat_get(id, one->place);
    f.from.place_hash = seat->in.hash;
    seat_unref(seat);
    f.m.cluster = (char *)(uintptr_t) "test";
    f.m.type = type;
    f.m.from = &f.from;
    f.m.address = w.address[1];
    f.m.n_members = n;
    f.m.members = f.members;
    for (unsigned i = 0; i < n; i++) {
        snprintf(f.address[i], sizeof f.address[i], "10.9.%u.%u:8101", (first + i) / 200,
                 (first + i) % 200);
        memset(f.id[i], 0x5a, GOSSIP_ID);
        memcpy(f.id[i], &(unsigned){first + i}, sizeof first);
        forge_place(&f.place[i], f.address[i]);
        forge_member(&f.member[i], f.id[i], &f.place[i]);
        f.members[i] = &f.member[i];
    }
}

static void receive(void)
{
    swim_receive(w.node[0], &f.m, w.now, WALL(w.now));
}

/* Node 0 refuses what was forged, with this reason, and believes what it did. */
static void refuses(const char *why)
{
    const unsigned before = count_events(0, SWIM_REFUSED), joined = count_events(0, SWIM_JOINED),
                   changed = count_events(0, SWIM_STATE);
    receive();
    ck_assert_uint_eq(count_events(0, SWIM_REFUSED), before + 1);
    const struct seen *event = last_event(0, SWIM_REFUSED);
    ck_assert_ptr_nonnull(event);
    ck_assert_msg(strstr(event->reason, why), "%s", event->reason);
    ck_assert_uint_eq(count_events(0, SWIM_JOINED), joined);
    ck_assert_uint_eq(count_events(0, SWIM_STATE), changed);
}

START_TEST(what_is_malformed_is_refused_whole)
{
    static char long_text[300];
    static uint32_t many[5000], twice[] = {3, 3};
    memset(long_text, 'a', sizeof long_text - 1);
    for (uint32_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = i;
    world_cluster(3);
#define NEWS() forge(GOSSIP_TYPE__GOSSIP_NEWS, 2, 0)
    NEWS(), f.m.cluster = (char *)(uintptr_t) "other", refuses("cluster");
    NEWS(), f.m.type = (GossipType)77, refuses("type");
    NEWS(), f.m.address = (char *)(uintptr_t) "", refuses("address");
    NEWS(), f.m.address = long_text, refuses("address");
    NEWS(), f.m.address = (char *)(uintptr_t) "a b", refuses("address");
    NEWS(), f.from.id.len = 15, refuses("16 bytes");
    NEWS(), f.member[1].id.len = 0, refuses("16 bytes");
    NEWS(), f.member[1].state = NODE_DOWN, refuses("state");
    NEWS(), f.member[1].state = 1234567, refuses("state");
    NEWS(), f.member[1].claim = CLAIMS, refuses("claim");
    NEWS(), f.from.claim = CLAIM_SUSPECT, refuses("suspects itself");
    NEWS(), f.member[1].n_by = 5, refuses("suspect");
    NEWS(), f.place[1].address = long_text, refuses("place");
    NEWS(), f.place[1].rack = (char *)(uintptr_t) "", refuses("place");
    NEWS(), f.place[1].datacenter = (char *)(uintptr_t) "a\nb", refuses("place");
    NEWS(), f.place[1].n_tokens = 0, refuses("tokens");
    NEWS(), f.place[1].version = long_text, refuses("version");
    NEWS(), f.place[1].tokens = many, f.place[1].n_tokens = 5000, refuses("tokens");
    NEWS(), f.place[1].tokens = twice, f.place[1].n_tokens = 2, refuses("ascending");
    forge_place(&f.from_place, "10.7.7.7:1");
    NEWS(), f.from.place = &f.from_place, refuses("two addresses");
    NEWS(), f.m.n_members = 257, refuses("more members");
    NEWS(), f.m.n_sums = 63, refuses("digest");
    NEWS(), f.m.has_ids = true, f.m.ids.len = 17, refuses("ids");
    NEWS(), f.m.has_wants = true, f.m.wants.len = 16 * 257, refuses("ids");
    NEWS(), f.m.has_asks = true, f.m.asks.len = 8, refuses("ids");
    NEWS(), f.m.n_versions = 1, refuses("versions");
    forge(GOSSIP_TYPE__GOSSIP_DIGEST, 0, 0), f.m.has_ids = true, f.m.ids.len = 16 * 51,
                                             f.m.n_versions = 51, refuses("ids");
    forge(GOSSIP_TYPE__GOSSIP_ASK, 0, 0), refuses("target");
    forge(GOSSIP_TYPE__GOSSIP_NACK, 0, 0), refuses("target");
    NEWS(), f.m.has_target = true, f.m.target.len = 3, refuses("target");
    NEWS(), f.m.has_target = true, f.m.target = f.from.id, refuses("target");
    NEWS(), f.m.has_target = f.m.has_twice = f.m.twice = true, f.m.target = f.from.id,
            refuses("double");
    forge(GOSSIP_TYPE__GOSSIP_WELCOME, 0, 0), f.m.parts = 65, refuses("part");
    forge(GOSSIP_TYPE__GOSSIP_WELCOME, 0, 0), f.m.parts = 2, f.m.part = 2, refuses("part");
    forge(GOSSIP_TYPE__GOSSIP_WELCOME, 0, 0), f.m.part = 1, refuses("part");
#undef NEWS
    world_end();
}
END_TEST

START_TEST(the_far_future_is_refused)
{
    const uint64_t seconds = WALL(0) / 1000, day = 24u * 3600;
    world_cluster(3);
    forge(GOSSIP_TYPE__GOSSIP_NEWS, 1, 0);
    f.member[0].incarnation = (seconds + day + 100) << 32;
    refuses("incarnation");
    forge(GOSSIP_TYPE__GOSSIP_NEWS, 0, 0);
    f.from.incarnation = UINT64_MAX;
    refuses("incarnation");
    forge(GOSSIP_TYPE__GOSSIP_NEWS, 1, 0);
    f.member[0].has_clock = true;
    f.member[0].clock = (WALL(w.now) + 2 * day * 1000) << 16;
    refuses("clock");
    ck_assert_uint_eq(swim_count(w.node[0]), 3);
    world_end();
}
END_TEST

START_TEST(a_name_that_one_member_brings_is_nobody)
{
    world_cluster(3);
    forge(GOSSIP_TYPE__GOSSIP_NEWS, 1, 0);
    receive();
    receive();
    world_run(30000);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(swim_count(w.node[i]), 3);
    world_end();
}
END_TEST

START_TEST(a_name_that_two_members_bring_is_a_member)
{
    world_cluster(3);
    forge(GOSSIP_TYPE__GOSSIP_NEWS, 1, 0);
    receive();
    ck_assert_uint_eq(swim_count(w.node[0]), 3);
    uint8_t id[GOSSIP_ID];
    ck_assert(gossip_id_read(id_of(2), id));
    const struct member *two = swim_self(w.node[2]);
    struct seat *seat = seat_get(id, two->place);
    f.from.id.data = id;
    f.from.incarnation = two->incarnation;
    f.from.place_hash = seat->in.hash;
    f.m.address = w.address[2];
    seat_unref(seat);
    receive();
    ck_assert_uint_eq(swim_count(w.node[0]), 4);
    world_end();
}
END_TEST

/* 100,000 names from a member, and as many from strangers. One who is real still comes in. */
START_TEST(invented_names_keep_nobody_out)
{
    world_cluster(3);
    for (unsigned first = 0; first < 100000; first += 256) {
        forge(GOSSIP_TYPE__GOSSIP_WORDS, 256, first);
        receive();
        forge(GOSSIP_TYPE__GOSSIP_PING, 0, 0);
        memset(stranger_id, 0x77, sizeof stranger_id);
        memcpy(stranger_id, &first, sizeof first);
        f.from.id.data = stranger_id;
        f.m.address = w.address[STRANGER];
        snprintf(w.address[STRANGER], sizeof w.address[STRANGER], "10.9.9.9:8101");
        receive();
        w.nseen = 0;
    }
    ck_assert_uint_eq(swim_count(w.node[0]), 3);
    world_add(4, false);
    swim_contact(w.node[4], w.address[0], w.now);
    world_run(20000);
    for (int i = 0; i < 5; i++)
        if (w.node[i])
            ck_assert_uint_eq(swim_count(w.node[i]), 4);
    world_end();
}
END_TEST

START_TEST(what_strangers_say_of_members_is_not_heard)
{
    world_cluster(3);
    forge(GOSSIP_TYPE__GOSSIP_NEWS, 1, 0);
    ck_assert(gossip_id_read(id_of(2), f.id[0]));
    f.member[0].incarnation = swim_self(w.node[2])->incarnation + 5;
    f.member[0].claim = CLAIM_DEAD;
    f.member[0].has_claim = true;
    memset(stranger_id, 0x33, sizeof stranger_id);
    f.from.id.data = stranger_id;
    receive();
    ck_assert_int_eq(state_at(0, 2), NODE_NORMAL);
    f.m.unsettled = f.m.has_unsettled = true;
    receive();
    ck_assert_int_eq(state_at(0, 2), NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(a_full_list_refuses_more)
{
    for (int i = 0; i < 4; i++) {
        uint32_t token = 100u * (unsigned)i;
        char rack[16];
        snprintf(rack, sizeof rack, "r%d", i);
        snprintf(w.address[i], sizeof w.address[i], "10.0.0.%d:8101", i);
        struct swim_options o = options_of(i);
        o.members_max = 3;
        const struct swim_self self = self_of(i, &token, rack, true);
        world_start(i, &o, &self);
        if (i)
            swim_contact(w.node[i], w.address[0], w.now);
        world_run(1000);
    }
    world_run(5000);
    ck_assert_uint_eq(swim_count(w.node[0]), 3);
    ck_assert_int_eq(state_at(0, 3), NODE_UNKNOWN);
    ck_assert(strstr(last_event(0, SWIM_REFUSED)->reason, "full"));
    world_end();
}
END_TEST

/* Somebody says that node 0 is dead, or somewhere else, under its own or a newer incarnation. */
START_TEST(lies_about_this_node_are_denied)
{
    world_cluster(3);
    const uint64_t first = swim_self(w.node[0])->incarnation;
    struct seat *seat = seat_get(f.id[0], swim_self(w.node[0])->place);
    seat_unref(seat);
    for (unsigned i = 0; i < 3; i++) {
        forge(GOSSIP_TYPE__GOSSIP_NEWS, 1, 0);
        ck_assert(gossip_id_read(id_of(0), f.id[0]));
        f.place[0] = (GossipPlace){.base = f.place[0].base,
                                   .address = w.address[0],
                                   .datacenter = (char *)(uintptr_t) "dc1",
                                   .rack = (char *)(uintptr_t) "r0",
                                   .n_tokens = 1,
                                   .tokens = &(uint32_t){0}};
        seat = seat_get(f.id[0], swim_self(w.node[0])->place);
        f.member[0].place_hash = seat->in.hash;
        seat_unref(seat);
        f.member[0].incarnation = first + 10 * i;
        f.member[0].claim = i == 2 ? CLAIM_STOPPED : CLAIM_DEAD;
        f.member[0].has_claim = true;
        receive();
        ck_assert_uint_eq(swim_self(w.node[0])->incarnation, first + 10 * i + 1);
        ck_assert_int_eq(swim_self(w.node[0])->state, NODE_NORMAL);
    }
    world_run(2000);
    ck_assert_int_eq(state_at(1, 0), NODE_NORMAL);
    ck_assert_uint_eq(swim_find(w.node[1], id_of(0))->incarnation, first + 21);
    world_end();
}
END_TEST

/* Two dead ones at one place, the second of which started later; heard in this order, or the other
 * way round. */
static void hear_of_two_dead(bool later_first)
{
    char id[NODE_ID_SIZE];
    world_cluster(2);
    for (unsigned i = 0; i < 2; i++) {
        const unsigned which = later_first ? 1 - i : i;
        forge(GOSSIP_TYPE__GOSSIP_WORDS, 1, which);
        f.member[0].incarnation += (uint64_t)which << 32;
        f.member[0].claim = CLAIM_DEAD;
        f.member[0].has_claim = true;
        receive();
    }
    for (unsigned which = 0; which < 2; which++) {
        forge(GOSSIP_TYPE__GOSSIP_WORDS, 1, which);
        gossip_id_write(f.id[0], id);
        ck_assert_ptr_nonnull(swim_find(w.node[0], id));
        ck_assert_int_eq(swim_find(w.node[0], id)->state, which ? NODE_DOWN : NODE_RESET);
    }
    world_end();
}

/* Else two nodes that didn't see the same of them alive would never agree. */
START_TEST(of_two_dead_ones_at_a_place_the_later_one_had_it)
{
    hear_of_two_dead(false);
    hear_of_two_dead(true);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_test(c, what_is_malformed_is_refused_whole);
    tcase_add_test(c, the_far_future_is_refused);
    tcase_add_test(c, a_name_that_one_member_brings_is_nobody);
    tcase_add_test(c, a_name_that_two_members_bring_is_a_member);
    tcase_add_test(c, invented_names_keep_nobody_out);
    tcase_add_test(c, what_strangers_say_of_members_is_not_heard);
    tcase_add_test(c, a_full_list_refuses_more);
    tcase_add_test(c, lies_about_this_node_are_denied);
    tcase_add_test(c, of_two_dead_ones_at_a_place_the_later_one_had_it);
}

int main(void)
{
    return unit_main("swim input", add_cases);
}
