/* A connection reads its own writes: which replica client/recent names, from logs and states alone.
 */
#include "client/recent.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/log.h"
#include "peer.h"
#include "store/internal.h"
#include "unit.h"

#define HALF 2147483648u /* tokens from 1 to here are node 1's in rack 1, the others node 0's */

/* Node 0 (this one) and 1 share rack 1, node 2 has all of rack 2. */
static struct {
    struct requests rs;
    struct topology *topology;
    struct peers peers;
    struct peer peer[3], *at[3];
    struct store store;
    uint32_t own_state;
    struct config config;
    struct recent recent;
    bool thin; /* what is written is on no majority yet */
} t;

static char no_tag[] = "";

static void setup(void)
{
    static const uint32_t zero[] = {0}, half[] = {HALF};
    struct ring_node nodes[] = {
        {.address = "a", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "b", .datacenter = "d", .rack = "r1", .tokens = half, .ntokens = 1},
        {.address = "c", .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1}};
    struct error e;
    memset(&t, 0, sizeof t);
    t.config.hash_tag = no_tag;
    rcu_start();
    t.topology = topology_new(nodes, 3, 0, &e);
    for (unsigned i = 1; i < 3; i++) {
        t.peer[i] = (struct peer){.node = i, .state = NODE_NORMAL, .link_up = 1};
        unit_give_hints(&t.peer[i], unit_hints(NULL, "p", NULL, 1ull << 32));
        t.at[i] = &t.peer[i];
    }
    t.peers = (struct peers){.n = 3, .self = 0, .at = t.at};
    t.own_state = NODE_NORMAL;
    t.rs = (struct requests){.topology = &t.topology,
                             .peers = &t.peers,
                             .store = &t.store,
                             .own_state = &t.own_state,
                             .config = &t.config};
}

static void teardown(void)
{
    recent_fini(&t.recent);
    for (unsigned i = 1; i < 3; i++)
        unit_hints_close(t.peer[i].hints);
    topology_free(t.topology);
    rcu_stop();
}

/* A write to both peers, which `node` has acknowledged to us. */
static void write_one(uint32_t token, int node)
{
    for (unsigned i = 1; i < 3; i++) {
        struct frame f = {.kind = FRAME_WRITE, .payload = slice_str("*1\r\n$1\r\nx\r\n")};
        ck_assert_int_eq(hint_log_append(t.peer[i].log, &f, true), HINT_APPENDED);
    }
    recent_note(&t.recent, &t.rs, token, &(struct request_result){.node = node, .thin = t.thin});
}

/* Tokens 1 to n are written; node 2 was the first to have them. */
static void write_many(uint32_t n)
{
    for (uint32_t token = 1; token <= n; token++)
        write_one(token, 2);
}

static void acknowledge_all(unsigned node)
{
    hint_log_ack(t.peer[node].log, hint_log_appended(t.peer[node].log).seq);
}

#define ck_replica(token, expected)                                                                \
    ck_assert_int_eq(recent_replica(&t.recent, &t.rs, token), expected)

START_TEST(what_the_table_holds_is_named)
{
    ck_replica(7, RECENT_ANY);
    write_many(RECENT_SLOTS);
    write_one(7, 1);
    recent_note(&t.recent, &t.rs, 9,
                &(struct request_result){.node = -1}); /* what was known stays */
    for (uint32_t token = 1; token <= RECENT_SLOTS; token++)
        ck_replica(token, token == 7 ? 1 : 2);
    ck_replica(RECENT_SLOTS + 1, RECENT_ANY); /* nothing was forgotten: not ours */
    ck_assert_ptr_null(t.recent.floors);
}
END_TEST

/* Token 1 gives its place to token 257. */
START_TEST(what_it_forgot_is_asked_of_who_has_it_all)
{
    write_many(RECENT_SLOTS + 1);
    ck_replica(RECENT_SLOTS + 1, 2);
    ck_replica(1, RECENT_WAIT);
    write_one(2, 2); /* later writes in the table set no new floor */
    hint_log_ack(t.peer[2].log, hint_log_appended(t.peer[2].log).seq - 2);
    ck_replica(1, RECENT_WAIT);
    hint_log_ack(t.peer[2].log, hint_log_appended(t.peer[2].log).seq - 1);
    ck_replica(1, 2);
    acknowledge_all(1);
    ck_replica(1, 1); /* both have it: the nearest */
}
END_TEST

/* For what only one replica may be asked. */
START_TEST(a_certain_replica_has_it_once_it_has_acknowledged)
{
    ck_assert(recent_has(&t.recent, &t.rs, 1, 1)); /* nothing was written */
    write_one(1, 2);
    ck_assert(recent_has(&t.recent, &t.rs, 1, 2));
    ck_assert(recent_has(&t.recent, &t.rs, 5, 1)); /* not ours */
    ck_assert(!recent_has(&t.recent, &t.rs, 1, 1));
    hint_log_ack(t.peer[1].log, hint_log_appended(t.peer[1].log).seq - 1);
    ck_assert(!recent_has(&t.recent, &t.rs, 1, 1));
    write_one(2, 2); /* what comes later isn't waited for */
    hint_log_ack(t.peer[1].log, hint_log_appended(t.peer[1].log).seq - 1);
    ck_assert(recent_has(&t.recent, &t.rs, 1, 1));
    ck_assert(!recent_has(&t.recent, &t.rs, 1, 2)); /* its slot is forgotten */
    acknowledge_all(2);
    ck_assert(recent_has(&t.recent, &t.rs, 1, 2));
}
END_TEST

START_TEST(who_is_away_or_behind_is_not_waited_for)
{
    write_many(RECENT_SLOTS + 1);
    t.peer[2].state = NODE_DOWN;
    ck_replica(1, RECENT_WAIT);
    t.peer[1].link_up = 0;
    ck_replica(1, RECENT_ANY); /* nobody is up */
    t.peer[1].link_up = 1;
    acknowledge_all(1);
    ck_replica(1, 1);
    t.peer[1].state = NODE_STANDBY; /* it lacks others' writes, but has ours */
    ck_replica(1, 1);
    t.peer[2].state = NODE_NORMAL;
    acknowledge_all(2);
    ck_replica(1, 2);
}
END_TEST

/* Tokens above HALF are this node's too: its own store had each write before it was answered. */
START_TEST(the_own_copy_has_it_always)
{
    store_set_up(&t.store);
    write_one(HALF + 1, 0);
    write_one(HALF + 1 + RECENT_SLOTS, 0);
    ck_replica(HALF + 1, 0); /* NORMAL: it comes first */
    t.own_state = NODE_STANDBY;
    ck_replica(HALF + 1, 0);
    ck_replica(HALF + 1 + RECENT_SLOTS, 0);
    acknowledge_all(2);
    ck_replica(HALF + 1, 2); /* a NORMAL replica that has it comes before a STANDBY one */
    store_set_down(&t.store, "gone");
    t.peer[2].state = NODE_DOWN;
    ck_replica(HALF + 1, RECENT_ANY);
    store_set_up(&t.store);
}
END_TEST

/* What a majority may lack, also once it is forgotten which key it was. */
START_TEST(thin_writes_are_told)
{
    write_one(1, 2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, 1));
    t.thin = true;
    write_one(2, 2);
    ck_assert(recent_is_thin(&t.recent, &t.rs, 2) && !recent_is_thin(&t.recent, &t.rs, 1));
    t.thin = false;
    write_one(2, 2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, 2));
    t.thin = true;
    write_one(3, 2);
    t.thin = false;
    write_one(3 + RECENT_SLOTS, 2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, 3 + RECENT_SLOTS) &&
              !recent_is_thin(&t.recent, &t.rs, 1));
    ck_assert(recent_is_thin(&t.recent, &t.rs, 3));
}
END_TEST

/* Keys that were written on no majority are thin for as long as that may be so: a majority of the
 * replicas that has acknowledged all of it has what was forgotten. */
START_TEST(what_was_thin_does_not_stay_so)
{
    t.thin = true;
    write_many(RECENT_SLOTS + 1);
    ck_assert(recent_is_thin(&t.recent, &t.rs, 1));
    acknowledge_all(1);
    ck_assert(recent_is_thin(&t.recent, &t.rs, 1)); /* one of two */
    acknowledge_all(2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, 1));
    write_one(2 + RECENT_SLOTS, 2);
    ck_assert(recent_is_thin(&t.recent, &t.rs, 1));
}
END_TEST

/* What isn't forgotten has come when all has: and then it stays so. */
START_TEST(what_is_remembered_is_thin_until_all_has_come)
{
    struct peer_repair lacking = {0};
    t.thin = true;
    write_one(1, 2);
    acknowledge_all(1);
    ck_assert(recent_is_thin(&t.recent, &t.rs, 1));
    write_one(2, 2);
    acknowledge_all(2);
    ck_assert(recent_is_thin(&t.recent, &t.rs, 1)); /* the first lacks the other one */
    acknowledge_all(1);
    t.peer[1].repair = &lacking; /* of that one: its log may have refused it */
    ck_assert(recent_is_thin(&t.recent, &t.rs, 1));
    t.peer[1].repair = NULL;
    ck_assert(!recent_is_thin(&t.recent, &t.rs, 1));
    write_one(3, 2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, 1));
    ck_assert(recent_is_thin(&t.recent, &t.rs, 3));
}
END_TEST

/* A read of several keys asks as the first does. */
START_TEST(a_thin_key_makes_those_read_with_it_thin)
{
    struct slice argv[] = {slice_str("PFCOUNT"), slice_str("a"), slice_str("b")};
    struct resp_command cmd = {.argv = argv, .argc = 3};
    size_t keys[] = {1, 2};
    uint32_t a = request_token(&t.rs, argv[1]), b = request_token(&t.rs, argv[2]);
    write_one(a, 2);
    t.thin = true;
    write_one(b, 2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, a));
    recent_join(&t.recent, &t.rs, &cmd, keys, 2);
    ck_assert(recent_is_thin(&t.recent, &t.rs, a));
    ck_replica(a, 2);
}
END_TEST

/* The same where the first is forgotten, and all replicas have it. */
START_TEST(a_forgotten_key_does_not_hide_that_one_read_with_it_is_thin)
{
    struct slice argv[] = {slice_str("PFCOUNT"), slice_str("a"), slice_str("b")};
    struct resp_command cmd = {.argv = argv, .argc = 3};
    size_t keys[] = {1, 2};
    uint32_t a = request_token(&t.rs, argv[1]), b = request_token(&t.rs, argv[2]);
    t.thin = true;
    write_one(a, 2);
    write_one(a + RECENT_SLOTS, 2);
    acknowledge_all(1);
    acknowledge_all(2);
    ck_assert(!recent_is_thin(&t.recent, &t.rs, a));
    write_one(b, recent_replica(&t.recent, &t.rs, a));
    recent_join(&t.recent, &t.rs, &cmd, keys, 2);
    ck_assert(recent_is_thin(&t.recent, &t.rs, a));
}
END_TEST

static void cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_the_table_holds_is_named);
    tcase_add_test(c, what_it_forgot_is_asked_of_who_has_it_all);
    tcase_add_test(c, a_certain_replica_has_it_once_it_has_acknowledged);
    tcase_add_test(c, who_is_away_or_behind_is_not_waited_for);
    tcase_add_test(c, the_own_copy_has_it_always);
    tcase_add_test(c, thin_writes_are_told);
    tcase_add_test(c, what_was_thin_does_not_stay_so);
    tcase_add_test(c, what_is_remembered_is_thin_until_all_has_come);
    tcase_add_test(c, a_thin_key_makes_those_read_with_it_thin);
    tcase_add_test(c, a_forgotten_key_does_not_hide_that_one_read_with_it_is_thin);
}

int main(void)
{
    return unit_main("session", cases);
}
