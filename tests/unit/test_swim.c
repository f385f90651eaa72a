/* Stories of a few nodes in virtual time: gossip/swim. What comes from outside and is wrong:
 * test_swim_input. */
#include "gossip_world.h"

/* ---- who is there ------------------------------------------------------------------------------
 */

START_TEST(those_who_contact_one_know_all)
{
    world_cluster(5);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            ck_assert_int_eq(state_at(i, j), NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(at_rest_there_are_only_probes)
{
    world_cluster(5);
    world_run(5000);
    memset(w.sent, 0, sizeof w.sent);
    world_run(10000);
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_ge(w.sent[i], 60); /* four a second, and their answers */
        ck_assert_uint_le(w.sent[i], 88);
    }
    world_end();
}
END_TEST

START_TEST(what_a_node_says_of_itself_is_known_to_all)
{
    world_cluster(5);
    swim_set_state(w.node[2], NODE_STANDBY, w.now);
    swim_set_serves(w.node[2], w.now);
    swim_set_clock(w.node[2], 4711);
    world_run(2000);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(state_at(i, 2), NODE_STANDBY);
        ck_assert(swim_find(w.node[i], id_of(2))->serves);
        ck_assert_uint_eq(swim_find(w.node[i], id_of(2))->clock, 4711);
    }
    ck_assert_int_eq(last_event(0, SWIM_STATE)->before, NODE_NORMAL);
    world_end();
}
END_TEST

static bool count_one(void *arg, const struct member *m)
{
    ck_assert_str_eq(m->place->datacenter, "dc1");
    ++*(int *)arg;
    return true;
}

START_TEST(one_made_like_another_goes_on_from_there)
{
    world_cluster(3);
    const struct swim_options o = options_of(3);
    uint32_t token = 300;
    snprintf(w.address[3], sizeof w.address[3], "10.0.0.3:8101");
    const struct swim_self self = self_of(3, &token, "r3", true);
    w.at[3] = 3;
    w.node[3] = swim_new_like(
        w.node[0], &o, &self,
        &(struct swim_sink){.send = world_send, .event = world_event, .arg = &w.at[3]}, w.now);
    int n = 0;
    swim_each(w.node[3], count_one, &n);
    ck_assert_int_eq(n, 4);
    ck_assert_uint_eq(count_events(3, SWIM_JOINED), 0);
    world_run(5000);
    ck_assert_int_eq(state_at(1, 3), NODE_NORMAL); /* its own probes have told of it */
    world_kill(1);
    world_run(5000);
    ck_assert_int_eq(state_at(3, 1), NODE_DOWN);
    world_end();
}
END_TEST

/* ---- who is down -------------------------------------------------------------------------------
 */

START_TEST(who_is_killed_is_down_within_five_seconds)
{
    world_cluster(5);
    world_kill(4);
    world_run(5000);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(state_at(i, 4), NODE_DOWN);
    ck_assert_int_eq(state_at(0, 1), NODE_NORMAL);
    ck_assert_int_eq(swim_find(w.node[0], id_of(4))->said, NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(the_other_one_of_two_is_down_in_time_too)
{
    world_cluster(2);
    world_kill(1);
    world_run(5000);
    ck_assert_int_eq(state_at(0, 1), NODE_DOWN);
    world_end();
}
END_TEST

START_TEST(a_suspect_says_that_it_lives)
{
    world_cluster(5);
    const uint64_t before = swim_find(w.node[0], id_of(4))->incarnation;
    w.paused[4] = true;
    world_run(2000);
    w.paused[4] = false;
    world_run(10000);
    for (int i = 0; i < 5; i++)
        ck_assert(!ever(i, NODE_DOWN));
    ck_assert_uint_gt(swim_find(w.node[0], id_of(4))->incarnation, before);
    world_end();
}
END_TEST

START_TEST(one_that_was_paused_holds_nothing_against_the_others)
{
    world_cluster(4);
    world_run(330); /* probes are on their way */
    w.paused[0] = true;
    world_run(20000);
    w.paused[0] = false;
    world_run(10000);
    ck_assert(!ever(0, NODE_DOWN));
    for (int i = 1; i < 4; i++)
        ck_assert_int_eq(state_at(i, 0), NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(others_carry_a_probe_where_one_way_is_cut)
{
    world_cluster(4);
    w.cut[0][1] = true;
    world_run(30000);
    for (int i = 0; i < 4; i++)
        ck_assert(!ever(i, NODE_DOWN));
    /* nobody even suspected it: it had nothing to deny */
    ck_assert_uint_eq(swim_self(w.node[1])->incarnation, (uint64_t)(MARK + 1) << 32);
    world_end();
}
END_TEST

START_TEST(what_is_in_doubt_is_probed_at_once)
{
    world_cluster(5);
    world_run(3000);
    const unsigned before = w.sent[0];
    swim_doubt(w.node[0], id_of(3), w.now);
    ck_assert_uint_eq(w.sent[0], before + 1);
    swim_doubt(w.node[0], id_of(3), w.now); /* it is on its way */
    ck_assert_uint_eq(w.sent[0], before + 1);
    world_end();
}
END_TEST

static void cut_between(int a, int b, bool cut)
{
    w.cut[a][b] = w.cut[b][a] = cut;
}

/* Nodes below `k` on one side. */
static void partition(int n, int k, bool cut)
{
    for (int i = 0; i < k; i++)
        for (int j = k; j < n; j++)
            cut_between(i, j, cut);
}

START_TEST(halves_that_were_cut_find_each_other)
{
    for (int k = 1; k <= 3; k++) {
        world_cluster(6);
        partition(6, k, true);
        world_run(20000);
        ck_assert_int_eq(state_at(0, 5), NODE_DOWN);
        ck_assert_int_eq(state_at(5, 0), NODE_DOWN);
        partition(6, k, false);
        world_run(10000);
        for (int i = 0; i < 6; i++)
            for (int j = 0; j < 6; j++)
                ck_assert_int_eq(state_at(i, j), NODE_NORMAL);
        world_end();
    }
}
END_TEST

/* News is told only so often. Who wasn't there sees that its list differs, and asks. */
START_TEST(who_missed_the_news_finds_out)
{
    world_cluster(5);
    world_run(3000);
    for (int i = 0; i < 4; i++)
        cut_between(i, 4, true);
    swim_set_state(w.node[1], NODE_RESET, w.now);
    world_run(100);
    world_kill(1);
    world_run(1200);
    ck_assert_int_eq(state_at(0, 1), NODE_RESET);
    ck_assert_int_eq(state_at(4, 1), NODE_NORMAL);
    for (int i = 0; i < 4; i++)
        cut_between(i, 4, false);
    world_run(10000);
    ck_assert_int_eq(state_at(4, 1), NODE_RESET);
    world_end();
}
END_TEST

/* ---- going and coming back ---------------------------------------------------------------------
 */

START_TEST(a_goodbye_is_believed_at_once)
{
    world_cluster(5);
    swim_stop(w.node[2], w.now);
    world_run(20);
    world_kill(2);
    world_run(500);
    ck_assert_int_eq(state_at(0, 2), NODE_DOWN);
    ck_assert_int_eq(state_at(4, 2), NODE_DOWN);
    ck_assert_str_eq(last_event(0, SWIM_STATE)->reason, "it has said goodbye");
    world_end();
}
END_TEST

START_TEST(who_leaves_for_good_is_forgotten_a_day_later)
{
    world_cluster(3);
    swim_set_state(w.node[2], NODE_RESET, w.now);
    world_run(500);
    swim_stop(w.node[2], w.now);
    world_run(20);
    world_kill(2);
    world_run(10000);
    ck_assert_int_eq(state_at(0, 2), NODE_RESET);
    ck_assert_int_eq(state_at(1, 2), NODE_RESET);
    ck_assert(!last_event(1, SWIM_STATE)->replaced);
    ck_assert(!ever(0, NODE_DOWN));
    w.now += 24u * 3600 * 1000;
    world_run(5000);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(swim_count(w.node[i]), 2);
        ck_assert_uint_eq(count_events(i, SWIM_FORGOTTEN), 1);
    }
    ck_assert(!ever(0, NODE_DOWN));
    world_end();
}
END_TEST

/* The same id, at another address, with the next start mark. */
static void start_again(int i, const char *address, bool settled)
{
    uint32_t token = 100u * (unsigned)i;
    char rack[16];
    snprintf(rack, sizeof rack, "r%d", i);
    snprintf(w.address[i], sizeof w.address[i], "%s", address);
    const struct swim_options o = options_of(i);
    struct swim_self self = self_of(i, &token, rack, settled);
    self.incarnation += 1000ull << 32;
    self.place.version = "0.2.0";
    world_start(i, &o, &self);
}

START_TEST(one_restarted_at_another_address_is_the_same_node)
{
    world_cluster(4);
    world_kill(3);
    world_run(6000);
    start_again(3, "10.0.9.9:8101", true);
    swim_contact(w.node[3], w.address[0], w.now);
    world_run(2000);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(swim_count(w.node[i]), 4);
        ck_assert_int_eq(state_at(i, 3), NODE_NORMAL);
        ck_assert_str_eq(swim_find(w.node[i], id_of(3))->place->address, "10.0.9.9:8101");
        ck_assert_str_eq(swim_find(w.node[i], id_of(3))->place->version, "0.2.0");
        ck_assert_str_eq(swim_find(w.node[i], id_of(0))->place->version, "");
        ck_assert_uint_eq(count_events(i, SWIM_PLACE), 1);
        ck_assert_uint_eq(count_events(i, SWIM_TWICE), 0);
    }
    ck_assert_uint_eq(count_events(3, SWIM_TWICE), 0);
    world_end();
}
END_TEST

/* Node 7 is the second process of node 3's id. */
START_TEST(two_processes_of_one_id_are_told_so)
{
    world_cluster(4);
    world_run(5000);
    uint32_t token = 300;
    snprintf(w.address[7], sizeof w.address[7], "10.0.0.7:8101");
    const struct swim_options o = options_of(7);
    struct swim_self self = self_of(3, &token, "r3", true);
    self.place.address = w.address[7];
    self.incarnation += 1ull << 32;
    world_start(7, &o, &self);
    swim_contact(w.node[7], w.address[0], w.now);
    world_run(60000);
    ck_assert_uint_gt(count_events(3, SWIM_TWICE), 0);
    ck_assert_uint_gt(count_events(7, SWIM_TWICE), 0);
    ck_assert_uint_gt(count_events(0, SWIM_TWICE), 0);
    const uint64_t then = swim_find(w.node[0], id_of(3))->incarnation;
    world_run(60000);
    ck_assert_uint_eq(swim_find(w.node[0], id_of(3))->incarnation, then); /* the fight is over */
    for (int i = 0; i < 3; i++) { /* who was there first stays, though the other started later */
        ck_assert_str_eq(swim_find(w.node[i], id_of(3))->place->address, w.address[3]);
        ck_assert_uint_eq(count_events(i, SWIM_PLACE), 0);
    }
    world_end();
}
END_TEST

/* So soon that nobody has missed it at its old address. */
START_TEST(one_that_moves_at_once_is_believed_when_its_old_address_is_silent)
{
    world_cluster(4);
    world_run(5000);
    world_kill(3);
    start_again(3, "10.0.9.9:8101", true);
    swim_contact(w.node[3], w.address[0], w.now);
    world_run(4000);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(state_at(i, 3), NODE_NORMAL);
        ck_assert_str_eq(swim_find(w.node[i], id_of(3))->place->address, "10.0.9.9:8101");
        ck_assert_uint_eq(count_events(i, SWIM_TWICE), 0);
    }
    world_end();
}
END_TEST

/* ---- joining -----------------------------------------------------------------------------------
 */

static bool is_joined(int i)
{
    return swim_is_settled(w.node[i]) && count_events(i, SWIM_SETTLED) == 1;
}

START_TEST(a_newcomer_is_normal_while_nobody_serves)
{
    world_cluster(3);
    world_add(3, false);
    ck_assert_int_eq(swim_self(w.node[3])->state, NODE_NORMAL);
    ck_assert_uint_eq(swim_count(w.node[3]), 1);
    swim_contact(w.node[3], w.address[1], w.now);
    world_run(2000);
    ck_assert(is_joined(3));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(state_at(i, 3), NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(a_newcomer_to_a_ring_that_serves_is_joining)
{
    world_cluster(3);
    swim_set_serves(w.node[2], w.now);
    world_run(1000);
    world_add(3, false);
    swim_contact(w.node[3], w.address[1], w.now);
    world_run(2000);
    ck_assert(is_joined(3));
    ck_assert_int_eq(last_event(3, SWIM_SETTLED)->state, NODE_JOINING);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(state_at(i, 3), NODE_JOINING);
    swim_set_state(w.node[3], NODE_NORMAL, w.now);
    world_run(1000);
    ck_assert_int_eq(state_at(0, 3), NODE_NORMAL);
    swim_set_state(w.node[3], NODE_JOINING, w.now);
    world_run(1000);
    world_kill(3); /* one who learns of it only now still knows that it wasn't in the ring */
    world_run(6000);
    world_add(4, false);
    swim_contact(w.node[4], w.address[0], w.now);
    world_run(1000);
    ck_assert_int_eq(state_at(4, 3), NODE_DOWN);
    ck_assert_int_eq(swim_find(w.node[4], id_of(3))->said, NODE_JOINING);
    world_end();
}
END_TEST

/* Node `i`, settled, whose configuration names the place of node `of`. */
static void add_that_lists(int i, int of, bool settled)
{
    char rack[16], other[16], address[32];
    uint32_t token = 100u * (unsigned)i, theirs = 100u * (unsigned)of;
    snprintf(rack, sizeof rack, "r%d", i);
    snprintf(other, sizeof other, "r%d", of);
    snprintf(address, sizeof address, "10.0.0.%d:8101", of);
    snprintf(w.address[i], sizeof w.address[i], "10.0.0.%d:8101", i);
    const struct member_place listed = {
        .address = address, .datacenter = "dc1", .rack = other, .tokens = &theirs, .ntokens = 1};
    struct swim_options o = options_of(i);
    o.listed = &listed;
    o.nlisted = 1;
    const struct swim_self self = self_of(i, &token, rack, settled);
    world_start(i, &o, &self);
}

START_TEST(tokens_that_a_member_lists_are_not_new)
{
    world_cluster(3);
    swim_set_serves(w.node[2], w.now);
    add_that_lists(3, 4, true);
    swim_contact(w.node[3], w.address[0], w.now);
    world_run(2000);
    world_add(4, false);
    swim_contact(w.node[4], w.address[3], w.now);
    world_run(2000);
    ck_assert(is_joined(4));
    ck_assert_int_eq(state_at(0, 4), NODE_NORMAL);
    world_end();
}
END_TEST

START_TEST(a_joining_one_that_hears_later_that_it_is_listed_is_normal)
{
    world_cluster(3);
    swim_set_serves(w.node[2], w.now);
    add_that_lists(3, 4, true);
    swim_contact(w.node[3], w.address[0], w.now);
    world_run(2000);
    world_add(4, false);
    swim_contact(w.node[4], w.address[0], w.now); /* which doesn't list it */
    world_run(5000);
    ck_assert_int_eq(last_event(4, SWIM_SETTLED)->state, NODE_JOINING);
    ck_assert_int_eq(last_event(4, SWIM_STATE)->state, NODE_NORMAL);
    ck_assert_int_eq(state_at(0, 4), NODE_NORMAL);
    world_end();
}
END_TEST

static void contact_each_other(int n, uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += 1000) {
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (w.node[i] && i != j)
                    swim_contact(w.node[i], w.address[j], w.now);
        world_run(1000);
    }
}

START_TEST(at_a_first_start_those_who_list_each_other_belong_together)
{
    add_that_lists(0, 1, false);
    add_that_lists(1, 2, false);
    add_that_lists(2, 0, false);
    contact_each_other(3, 6000);
    for (int i = 0; i < 3; i++) {
        ck_assert(is_joined(i));
        for (int j = 0; j < 3; j++)
            ck_assert_int_eq(state_at(i, j), NODE_NORMAL);
    }
    world_end();
}
END_TEST

START_TEST(at_a_first_start_without_lists_the_lowest_id_begins)
{
    for (int i = 0; i < 3; i++)
        world_add(i, false);
    contact_each_other(3, 6000);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            ck_assert_int_eq(state_at(i, j), NODE_NORMAL);
    world_end();
}
END_TEST

/* Nodes 1 and 2 are about to be members, and one has taken a write; node 0, whose id is lower, is
 * named by nobody. */
START_TEST(at_a_first_start_who_is_new_to_one_that_serves_is_joining)
{
    add_that_lists(1, 2, false);
    add_that_lists(2, 1, false);
    world_add(0, false);
    swim_set_serves(w.node[1], w.now);
    for (int t = 0; t < 6; t++) {
        swim_contact(w.node[0], w.address[1], w.now);
        swim_contact(w.node[1], w.address[2], w.now);
        swim_contact(w.node[2], w.address[1], w.now);
        world_run(1000);
    }
    ck_assert_int_eq(last_event(0, SWIM_SETTLED)->state, NODE_JOINING);
    ck_assert_int_eq(state_at(1, 2), NODE_NORMAL);
    ck_assert_int_eq(state_at(1, 0), NODE_JOINING);
    world_end();
}
END_TEST

START_TEST(while_a_seed_is_silent_nobody_begins_without_it)
{
    for (int i = 0; i < 2; i++)
        world_add(i, false);
    snprintf(w.address[2], sizeof w.address[2], "10.0.0.2:8101");
    contact_each_other(3, 30000);
    ck_assert(!swim_is_settled(w.node[0]) && !swim_is_settled(w.node[1]));
    world_add(2, true);
    contact_each_other(3, 2000);
    ck_assert(swim_is_settled(w.node[0]) && swim_is_settled(w.node[1]));
    world_end();
}
END_TEST

/* ---- tokens ------------------------------------------------------------------------------------
 */

static void add_at_place_of(int i, int of, bool settled)
{
    uint32_t token = 100u * (unsigned)of;
    char rack[16];
    snprintf(rack, sizeof rack, "r%d", of);
    snprintf(w.address[i], sizeof w.address[i], "10.0.0.%d:8101", i);
    const struct swim_options o = options_of(i);
    const struct swim_self self = self_of(i, &token, rack, settled);
    world_start(i, &o, &self);
}

START_TEST(whose_token_belongs_to_a_live_one_stays_out)
{
    world_cluster(3);
    swim_set_serves(w.node[0], w.now);
    add_at_place_of(5, 2, false);
    swim_contact(w.node[5], w.address[0], w.now);
    world_run(2000);
    ck_assert(!swim_is_settled(w.node[5]));
    ck_assert_str_eq(last_event(5, SWIM_TAKEN)->id, id_of(2));
    ck_assert_uint_eq(swim_count(w.node[0]), 3);
    world_kill(2); /* its owner is dead: it replaces that one, though the ring serves */
    world_run(6000);
    swim_contact(w.node[5], w.address[0], w.now);
    world_run(2000);
    ck_assert(is_joined(5));
    ck_assert_int_eq(state_at(0, 5), NODE_NORMAL);
    ck_assert_int_eq(state_at(0, 2), NODE_RESET);
    ck_assert_int_eq(state_at(1, 2), NODE_RESET);
    ck_assert(last_event(1, SWIM_STATE)->replaced);
    start_again(2, "10.0.0.2:8101", true); /* and the dead one comes back */
    swim_contact(w.node[2], w.address[0], w.now);
    world_run(10000);
    ck_assert_uint_gt(count_events(2, SWIM_TAKEN), 0);
    ck_assert_uint_gt(count_events(0, SWIM_REFUSED), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(state_at(i, 5), NODE_NORMAL);
        ck_assert_int_eq(state_at(i, 2), NODE_RESET);
    }
    world_end();
}
END_TEST

/* It says that it belongs to the ring; the token says otherwise. */
START_TEST(a_settled_one_with_a_colliding_token_is_refused)
{
    world_cluster(3);
    add_at_place_of(5, 2, true);
    swim_contact(w.node[5], w.address[0], w.now);
    world_run(5000);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(state_at(i, 5), NODE_UNKNOWN);
        ck_assert_int_eq(state_at(i, 2), NODE_NORMAL);
    }
    ck_assert_uint_gt(count_events(0, SWIM_REFUSED), 0);
    ck_assert_uint_gt(count_events(5, SWIM_TAKEN), 0);
    world_end();
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_test(c, those_who_contact_one_know_all);
    tcase_add_test(c, at_rest_there_are_only_probes);
    tcase_add_test(c, what_a_node_says_of_itself_is_known_to_all);
    tcase_add_test(c, one_made_like_another_goes_on_from_there);
    tcase_add_test(c, who_is_killed_is_down_within_five_seconds);
    tcase_add_test(c, the_other_one_of_two_is_down_in_time_too);
    tcase_add_test(c, a_suspect_says_that_it_lives);
    tcase_add_test(c, one_that_was_paused_holds_nothing_against_the_others);
    tcase_add_test(c, others_carry_a_probe_where_one_way_is_cut);
    tcase_add_test(c, what_is_in_doubt_is_probed_at_once);
    tcase_add_test(c, halves_that_were_cut_find_each_other);
    tcase_add_test(c, who_missed_the_news_finds_out);
    tcase_add_test(c, a_goodbye_is_believed_at_once);
    tcase_add_test(c, who_leaves_for_good_is_forgotten_a_day_later);
    tcase_add_test(c, one_restarted_at_another_address_is_the_same_node);
    tcase_add_test(c, two_processes_of_one_id_are_told_so);
    tcase_add_test(c, one_that_moves_at_once_is_believed_when_its_old_address_is_silent);
    tcase_add_test(c, a_newcomer_is_normal_while_nobody_serves);
    tcase_add_test(c, a_newcomer_to_a_ring_that_serves_is_joining);
    tcase_add_test(c, tokens_that_a_member_lists_are_not_new);
    tcase_add_test(c, a_joining_one_that_hears_later_that_it_is_listed_is_normal);
    tcase_add_test(c, at_a_first_start_those_who_list_each_other_belong_together);
    tcase_add_test(c, at_a_first_start_without_lists_the_lowest_id_begins);
    tcase_add_test(c, at_a_first_start_who_is_new_to_one_that_serves_is_joining);
    tcase_add_test(c, while_a_seed_is_silent_nobody_begins_without_it);
    tcase_add_test(c, whose_token_belongs_to_a_live_one_stays_out);
    tcase_add_test(c, a_settled_one_with_a_colliding_token_is_refused);
}

int main(void)
{
    return unit_main("swim", add_cases);
}
