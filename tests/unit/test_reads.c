/* One read in flight (request/request.h): whom it asks, when, and what ends it. The key's replicas
 * are three peers; a worker that is a bare mailbox asks them. */
#include "core/clock.h"
#include "core/rcu.h"
#include "peer.h"
#include "request/request.h"
#include "store/internal.h"
#include "unit.h"

#define PEERS 3

static const uint32_t zero[] = {0}, half[] = {1u << 31};
static char no_tag[] = "";
static struct config config = {.timeout = 60000, .send_window = 1u << 20, .hash_tag = no_tag};
static const struct actor_ops bare_ops = {.name = "bare"};

static struct {
    struct actor worker;
    struct topology *topology;
    struct peer peer[PEERS + 1];
    struct peer *at[PEERS + 1];
    struct peers peers;
    struct stats stats;
    struct store store;
    uint32_t own_state;
    char key[16];
    char reply[200];
    struct requests rs;
} t;

static void setup(void)
{
    struct error e;
    static const struct ring_node nodes[] = {
        {.address = "a:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "b:1", .datacenter = "d", .rack = "r1", .tokens = half, .ntokens = 1},
        {.address = "c:1", .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1},
        {.address = "d:1", .datacenter = "d", .rack = "r3", .tokens = zero, .ntokens = 1}};
    memset(&t, 0, sizeof t);
    rcu_start();
    t.topology = topology_new(nodes, PEERS + 1, 0, &e);
    for (unsigned i = 1; i <= PEERS; i++) {
        t.peer[i] = (struct peer){.node = i, .link_up = 1, .state = NODE_NORMAL};
        unit_give_hints(&t.peer[i], unit_hints(NULL, "p", NULL, 1ull << 32));
        hint_peer_set_hinting(t.peer[i].hints, false);
        t.at[i] = &t.peer[i];
    }
    t.peers = (struct peers){.n = PEERS + 1, .at = t.at};
    t.own_state = NODE_NORMAL;
    actor_init(&t.worker, &bare_ops, NULL);
    t.rs = (struct requests){.worker = &t.worker,
                             .config = &config,
                             .topology = &t.topology,
                             .peers = &t.peers,
                             .stats = &t.stats,
                             .store = &t.store,
                             .own_state = &t.own_state,
                             .hash = HASH_MURMUR};
    for (int i = 0; i == 0 || request_token(&t.rs, slice_str(t.key)) - 1 >= 1u << 31; i++)
        snprintf(t.key, sizeof t.key, "k%d", i); /* until it is the second node's */
}

static void teardown(void)
{
    requests_end(&t.rs);
    requests_fini(&t.rs);
    for (unsigned i = 1; i <= PEERS; i++)
        unit_hints_close(t.peer[i].hints);
    store_set_up(&t.store);
    topology_free(t.topology);
    rcu_stop();
}

static void keep_reply(void *arg, const struct request_result *r)
{
    (void)arg;
    snprintf(t.reply, sizeof t.reply, "%.*s", (int)r->reply.len, (const char *)r->reply.ptr);
}

/* A read of the key at DC_ONE, of which the client wrote something that is at `prefer` and, when
 * that isn't -1, `second`. */
static void start(const char *name, int prefer, int second)
{
    struct slice argv[] = {slice_str(name), slice_str(t.key), slice_str("0")};
    bool scans = strstr(name, "SCAN");
    struct resp_command cmd = {.argv = argv, .argc = scans ? 3 : 2};
    struct operation op = {.spec = command_find(argv[0]),
                           .cmd = &cmd,
                           .level = CONSISTENCY_DC_ONE,
                           .token = request_token(&t.rs, argv[1]),
                           .prefer = prefer,
                           .second = second,
                           .done = keep_reply};
    request_read(&t.rs, &op);
}

/* It is usual that they answer at once, and there is credit for hedges. */
static void know_peers(void)
{
    struct hedge_wait w = {0};
    for (unsigned i = 0; i < 2 * HEDGE_SAMPLES; i++)
        for (uint16_t node = 1; node <= PEERS; node++) {
            hedges_ask(&t.rs.hedges, &w, node, false, 1000);
            hedges_answered(&t.rs.hedges, &w, 1010);
        }
}

/* Will a second replica be asked if the first one isn't as fast as usual? */
static bool is_hedged(const char *name, int prefer, int second)
{
    know_peers();
    start(name, prefer, second);
    bool hedged = requests_hedge_due(&t.rs) != HEDGE_NEVER;
    requests_end(&t.rs);
    return hedged;
}

/* ---- hedges -----------------------------------------------------------------------------------
 */

START_TEST(a_read_is_hedged)
{
    ck_assert(is_hedged("GET", -1, -1));
}
END_TEST

/* One of those who have the client's write went away since it was named: nobody else may answer
 * for it. */
START_TEST(only_who_has_the_clients_write_is_asked_early)
{
    ck_assert(!is_hedged("GET", 1, -1));
    ck_assert(is_hedged("GET", 1, 3));
    t.peer[3].link_up = 0;
    ck_assert(!is_hedged("GET", 1, 3));
    t.peer[3].link_up = 1;
    t.peer[1].link_up = 0;
    ck_assert(!is_hedged("GET", 1, 3));
}
END_TEST

/* A cursor means something only to the store that gave it. */
START_TEST(what_tells_of_the_store_itself_is_not_hedged)
{
    ck_assert(!is_hedged("HSCAN", -1, -1));
    ck_assert(!is_hedged("SSCAN", -1, -1));
    ck_assert(!is_hedged("ZSCAN", -1, -1));
    ck_assert(is_hedged("HGETALL", -1, -1));
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------
 */

/* This node's store can't serve, and has nothing to do with the key. */
START_TEST(the_own_store_is_blamed_only_for_its_keys)
{
    store_set_down(&t.store, "gone");
    for (unsigned i = 1; i <= PEERS; i++)
        t.peer[i].link_up = 0;
    start("GET", -1, -1);
    ck_assert_str_eq(t.reply, "-NOQUORUM 0 of 1 needed replicas answered (DC_ONE read); in d: r1 "
                              "r2 r3 couldn't answer\r\n");
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_own_store_is_blamed_only_for_its_keys);
    tcase_add_test(c, a_read_is_hedged);
    tcase_add_test(c, only_who_has_the_clients_write_is_asked_early);
    tcase_add_test(c, what_tells_of_the_store_itself_is_not_hedged);
}

int main(void)
{
    return unit_main("reads", add_cases);
}
