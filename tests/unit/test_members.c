/* Whole servers in one process, and what membership tells their writers: peers that come while they
 * run, move, join and go. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "peer/mail.h"
#include "peer/orphans.h"
#include "server.h"
#include "store/store.h"
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS 20000

/* Waits for a condition. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = clock_mono_ms() + SOON_MS;                                                 \
        while (!(condition) && clock_mono_ms() < end_)                                             \
            usleep(1000);                                                                          \
        ck_assert_msg((condition), "in vain: %s", #condition);                                     \
    } while (0)

struct node {
    char dir[64], peers_at[64], clients_at[64];
    uint16_t client_port;
    struct config config;
    struct server *server;
    const char *rack;
    uint32_t token;
    pid_t redis; /* behind it; 0: its store is embedded */
    bool gossip; /* only one of a process: what gossip knows stands in tables of the process */
    int client;
};

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static const char *redis_program(void)
{
    const char *given = getenv("REDIS_SERVER");
    return given ? given : "redis-server";
}

static bool have_redis(void)
{
    char probe[512];
    snprintf(probe, sizeof probe, "command -v '%s' >/dev/null", redis_program());
    return system(probe) == 0;
}

static void start_redis(struct node *n)
{
    char path[100];
    struct stat st;
    snprintf(path, sizeof path, "%s/redis.sock", n->dir);
    n->redis = fork();
    ck_assert_int_ge(n->redis, 0);
    if (n->redis == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp(redis_program(), redis_program(), "--port", "0", "--unixsocket", path, "--dir",
               n->dir, "--save", "", (char *)NULL);
        _exit(127);
    }
    UNTIL(stat(path, &st) == 0);
}

static void start_server(struct node *n, const char *more)
{
    char path[100];
    struct error e;
    snprintf(path, sizeof path, "%s/conf.yaml", n->dir);
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    n->client_port = free_port();
    snprintf(n->peers_at, sizeof n->peers_at, "127.0.0.1:%u", free_port());
    fprintf(f,
            "dyn_o_mite:\n  datacenter: d\n  rack: %s\n  tokens: %u\n  listen: 127.0.0.1:%u\n"
            "  dyn_listen: %s\n  stats_listen: 127.0.0.1:%u\n  data_dir: %s\n"
            "  workers: 2\n  gos_interval: 200\n  timeout: 1000\n%s",
            n->rack, n->token, n->client_port, n->peers_at, free_port(), n->dir, more);
    fprintf(f, "  enable_gossip: %s\n", n->gossip ? "true" : "false");
    if (n->redis)
        fprintf(f, "  data_store: redis\n  servers: [%s/redis.sock:1]\n", n->dir);
    fclose(f);
    char program[] = "test", flag[] = "-c", *argv[] = {program, flag, path, NULL};
    memset(&n->config, 0, sizeof n->config);
    ck_assert_int_eq(config_load(3, argv, &n->config, stdout, stderr), CONFIG_RUN);
    n->server = server_start(&n->config, &e);
    ck_assert_msg(n->server != NULL, "%s", e.text);
    n->client = -1;
}

static void make_node(struct node *n, const char *rack, uint32_t token)
{
    memset(n, 0, sizeof *n);
    snprintf(n->dir, sizeof n->dir, "/tmp/members.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(n->dir));
    n->rack = rack;
    n->token = token;
}

static void open_node(struct node *n, const char *rack, uint32_t token, const char *more)
{
    make_node(n, rack, token);
    start_server(n, more);
}

static void open_redis_node(struct node *n, const char *rack)
{
    make_node(n, rack, 0);
    start_redis(n);
    start_server(n, "");
    UNTIL(store_is_up(server_store(n->server)));
}

static void stop_server(struct node *n)
{
    if (n->client >= 0)
        close(n->client);
    server_stop(n->server);
    config_fini(&n->config);
    n->server = NULL;
}

static void close_node(struct node *n)
{
    char command[100];
    if (n->server)
        stop_server(n);
    if (n->redis) {
        kill(n->redis, SIGKILL);
        waitpid(n->redis, NULL, 0);
    }
    snprintf(command, sizeof command, "rm -rf %s", n->dir);
    ck_assert_int_eq(system(command), 0);
}

/* ---- a client ----------------------------------------------------------------------------------
 */

static void dial(struct node *n)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(n->client_port)};
    struct timeval patience = {.tv_sec = SOON_MS / 1000};
    n->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(n->client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ck_assert_int_eq(connect(n->client, (struct sockaddr *)&a, sizeof a), 0);
}

/* An inline command, and its reply as it came; the test's replies come in one piece. */
static const char *ask(struct node *n, const char *command)
{
    static char reply[256];
    if (n->client < 0)
        dial(n);
    char *line = mem_printf("%s\r\n", command);
    ck_assert_int_eq(write(n->client, line, strlen(line)), (ssize_t)strlen(line));
    mem_free(line);
    size_t len = 0;
    do {
        ssize_t got = read(n->client, reply + len, sizeof reply - 1 - len);
        ck_assert_msg(got > 0, "no reply to %s", command);
        len += (size_t)got;
        reply[len] = 0;
    } while (len < 2 || reply[len - 2] != '\r');
    return reply;
}

static bool answers(struct node *n, const char *command, const char *reply)
{
    return strcmp(ask(n, command), reply) == 0;
}

/* ---- membership --------------------------------------------------------------------------------
 */

static void tell(struct node *whom, const struct ring_node *of, enum node_state state)
{
    struct mail_member *m = mail_member_new(of, state, "the test");
    m->incarnation = 7;
    actor_send(server_writer(whom->server), &m->msg);
}

static struct ring_node place_of(const struct node *n, enum ring_role role)
{
    struct ring_node p = {.role = role,
                          .address = n->peers_at,
                          .datacenter = "d",
                          .rack = n->rack,
                          .tokens = &n->token,
                          .ntokens = 1};
    memcpy(p.id, server_identity(n->server)->id, NODE_ID_SIZE);
    return p;
}

static void introduce(struct node *whom, const struct node *of, enum ring_role role)
{
    struct ring_node p = place_of(of, role);
    tell(whom, &p, role == RING_JOINING ? NODE_JOINING : NODE_NORMAL);
}

/* Of the first node with this id that hasn't gone; -1: there is none. */
static int index_of(const struct node *in, const struct node *n)
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*server_ring(in->server));
    int found = topology_find_id(t, server_identity(n->server)->id);
    rcu_read_end();
    return found;
}

static struct peer *peer_of(const struct node *in, const struct node *n)
{
    int i = index_of(in, n);
    return i < 0 ? NULL : server_peers(in->server)->at[i];
}

static enum ring_role role_at(const struct node *in, unsigned index)
{
    rcu_read_begin();
    enum ring_role r = RCU_GET(*server_ring(in->server))->nodes[index].role;
    rcu_read_end();
    return r;
}

static bool is_linked(const struct node *in, const struct node *n)
{
    struct peer *p = peer_of(in, n);
    return p && PEER_LOAD(p, link_up) && peer_state(p) == NODE_NORMAL;
}

static bool has_nothing_left(const struct node *in, const struct node *n)
{
    struct peer *p = peer_of(in, n);
    return p && peer_behind(p) == 0;
}

/* ---- cases -------------------------------------------------------------------------------------
 */

START_TEST(a_peer_that_nobody_configured)
{
    struct node a, b;
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 0, "");
    ck_assert(answers(&a, "SET k before", "+OK\r\n"));
    introduce(&a, &b, RING_MEMBER);
    introduce(&b, &a, RING_MEMBER);
    UNTIL(is_linked(&a, &b) && is_linked(&b, &a));
    ck_assert_uint_eq(peers_count(server_peers(a.server)), 2);
    ck_assert_int_eq(peer_member_state(peer_of(&a, &b)), NODE_NORMAL);
    ck_assert_uint_eq(PEER_LOAD(peer_of(&a, &b), incarnation), 7);
    ck_assert_uint_gt(PEER_LOAD(peer_of(&a, &b), member_since_ms), 0);
    ck_assert(answers(&a, "SET k after", "+OK\r\n"));
    UNTIL(answers(&b, "GET k", "$5\r\nafter\r\n"));
    ck_assert(answers(&b, "SET back 1", "+OK\r\n"));
    UNTIL(answers(&a, "GET back", "$1\r\n1\r\n"));
    close_node(&a);
    close_node(&b);
}
END_TEST

/* Its hints wait in its log, and its link goes where it is now. */
START_TEST(a_peer_that_starts_somewhere_else)
{
    struct node a, b;
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 0, "");
    introduce(&a, &b, RING_MEMBER);
    introduce(&b, &a, RING_MEMBER);
    UNTIL(is_linked(&a, &b) && is_linked(&b, &a));
    int index = index_of(&a, &b);
    stop_server(&b);
    ck_assert(answers(&a, "SET k hint", "+OK\r\n"));
    start_server(&b, "");
    introduce(&b, &a, RING_MEMBER); /* else it takes nobody */
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b) && has_nothing_left(&a, &b));
    ck_assert_int_eq(index_of(&a, &b), index);
    UNTIL(answers(&b, "GET k", "$4\r\nhint\r\n"));
    close_node(&a);
    close_node(&b);
}
END_TEST

/* Who joins gets what is written, holds up nobody, isn't read, and counts when it is a member. */
START_TEST(a_peer_that_joins)
{
    struct node a, b;
    open_node(&a, "r1", 0, "  write_consistency: DC_QUORUM\n  read_consistency: DC_QUORUM\n");
    open_node(&b, "r2", 0, "  write_consistency: DC_QUORUM\n  read_consistency: DC_QUORUM\n");
    ck_assert(answers(&a, "SET old 1", "+OK\r\n"));
    ck_assert(answers(&b, "SET old other", "+OK\r\n"));
    introduce(&b, &a, RING_MEMBER);
    introduce(&b, &b, RING_JOINING);
    introduce(&a, &b, RING_JOINING);
    UNTIL(is_linked(&a, &b) && is_linked(&b, &a) && role_at(&b, 0) == RING_JOINING);
    ck_assert(answers(&a, "GET old", "$1\r\n1\r\n"));
    ck_assert(answers(&b, "GET old", "$1\r\n1\r\n")); /* it asks the one who holds it */
    ck_assert(answers(&b, "INCR old", ":2\r\n"));     /* and so knows what to answer */
    ck_assert(answers(&a, "SET new 1", "+OK\r\n"));
    UNTIL(has_nothing_left(&a, &b));
    stop_server(&b);
    UNTIL(peer_state(server_peers(a.server)->at[1]) == NODE_DOWN);
    ck_assert(answers(&a, "SET new 2", "+OK\r\n")); /* one of one, and a log holds it for b */
    ck_assert_uint_gt(peer_behind(server_peers(a.server)->at[1]), 0);
    start_server(&b, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(role_at(&a, 1) == RING_MEMBER && is_linked(&a, &b) && has_nothing_left(&a, &b));
    UNTIL(answers(&b, "GET new", "$1\r\n2\r\n"));
    close_node(&a);
    close_node(&b);
}
END_TEST

static unsigned threads(void)
{
    unsigned n = 0;
    char text[200];
    FILE *f = fopen("/proc/self/status", "re");
    while (fgets(text, sizeof text, f))
        (void)sscanf(text, "Threads: %u", &n);
    fclose(f);
    return n;
}

/* One of three leaves under load, and comes back. */
START_TEST(a_peer_that_leaves_for_good)
{
    struct node n[3];
    static const char more[] = "  write_consistency: DC_QUORUM\n";
    open_node(&n[0], "r1", 0, more);
    open_node(&n[1], "r2", 0, more);
    open_node(&n[2], "r3", 0, more);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            if (i != k)
                introduce(&n[i], &n[k], RING_MEMBER);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            UNTIL(i == k || is_linked(&n[i], &n[k]));
    int index = index_of(&n[0], &n[1]);
    struct peer *old = peer_of(&n[0], &n[1]);
    unsigned before = threads();
    for (int i = 0; i < 200; i++) {
        if (i == 100)
            introduce(&n[0], &n[1], RING_GONE);
        ck_assert(answers(&n[0], "SET k v", "+OK\r\n"));
        ck_assert(answers(&n[0], "GET k", "$1\r\nv\r\n"));
    }
    UNTIL(role_at(&n[0], (unsigned)index) == RING_GONE);
    UNTIL(__atomic_load_n(&old->let_go, __ATOMIC_ACQUIRE));
    ck_assert_int_eq(index_of(&n[0], &n[1]), -1);
    uint64_t end = hint_log_appended(old->log).seq;
    ck_assert(answers(&n[0], "SET k w", "+OK\r\n"));
    ck_assert_uint_eq(hint_log_appended(old->log).seq, end); /* nothing is written for it */
    UNTIL(threads() == before - 1);                          /* its sender's */
    server_tick(n[0].server);
    introduce(&n[0], &n[1], RING_MEMBER);
    UNTIL(index_of(&n[0], &n[1]) == 3 && is_linked(&n[0], &n[1]));
    ck_assert(answers(&n[0], "SET k back", "+OK\r\n"));
    UNTIL(has_nothing_left(&n[0], &n[1]));
    UNTIL(answers(&n[1], "GET k", "$4\r\nback\r\n"));
    for (int i = 0; i < 3; i++)
        close_node(&n[i]);
}
END_TEST

/* The configuration still names it: it has gone all the same, over a restart too, until it is said
 * to be back. */
START_TEST(a_seed_that_has_left)
{
    struct node a, b;
    char seeds[100];
    open_node(&b, "r2", 0, "");
    snprintf(seeds, sizeof seeds, "  dyn_seeds: [%s:r2:d:0]\n", b.peers_at);
    make_node(&a, "r1", 0);
    a.gossip = true; /* it keeps what the ring was */
    start_server(&a, seeds);
    introduce(&b, &a, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    introduce(&a, &b, RING_GONE);
    UNTIL(index_of(&a, &b) < 0);
    stop_server(&a);
    stop_server(&b);
    start_server(&a, seeds);
    start_server(&b, "");
    ck_assert_int_eq(role_at(&a, 1), RING_GONE);
    ck_assert_ptr_null(server_peers(a.server)->at[1]->sender); /* nobody dials it */
    ck_assert(answers(&a, "SET k v", "+OK\r\n"));
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(index_of(&a, &b) == 2 && is_linked(&a, &b));
    ck_assert(answers(&a, "SET k w", "+OK\r\n"));
    UNTIL(has_nothing_left(&a, &b) && answers(&b, "GET k", "$1\r\nw\r\n"));
    close_node(&a);
    close_node(&b);
}
END_TEST

/* Nobody here has met it, and nobody will. */
START_TEST(a_seed_that_left_before_it_was_met)
{
    struct node a;
    static const uint32_t tokens[] = {0};
    struct ring_node p = {.role = RING_GONE,
                          .id = "11111111-1111-4111-8111-111111111111",
                          .address = "127.0.0.1:1",
                          .datacenter = "d",
                          .rack = "r2",
                          .tokens = tokens,
                          .ntokens = 1};
    open_node(&a, "r1", 0,
              "  write_consistency: DC_QUORUM\n  dyn_seeds: [127.0.0.1:1:r2:d:0]\n"
              "  enable_hinted_handoff: false\n");
    ck_assert_int_eq(ask(&a, "SET k v")[0], '-');
    tell(&a, &p, NODE_RESET);
    UNTIL(role_at(&a, 1) == RING_GONE);
    ck_assert(answers(&a, "SET k v", "+OK\r\n"));
    close_node(&a);
}
END_TEST

/* Membership says that a new node has come to the place of one that died, and that this one is
 * gone: the new one gets what lies in the log, and what is said of it counts when it has it. */
START_TEST(a_place_that_another_node_takes)
{
    struct node a, b, c;
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 0, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    struct ring_node dead = place_of(&b, RING_GONE);
    dead.address = "127.0.0.1:1";
    stop_server(&b);
    ck_assert(answers(&a, "SET k hint", "+OK\r\n"));
    open_node(&c, "r2", 0, "");
    introduce(&a, &c, RING_MEMBER);
    tell(&a, &dead, NODE_RESET);
    UNTIL(PEER_LOAD(server_peers(a.server)->at[1], link_up) == 0);
    introduce(&c, &a, RING_MEMBER); /* else it takes nobody */
    UNTIL(index_of(&a, &c) == 1 && is_linked(&a, &c) && has_nothing_left(&a, &c));
    ck_assert_int_eq(role_at(&a, 1), RING_MEMBER);
    UNTIL(peer_member_state(peer_of(&a, &c)) == NODE_NORMAL);
    UNTIL(answers(&c, "GET k", "$4\r\nhint\r\n"));
    close_node(&a);
    close_node(&b);
    close_node(&c);
}
END_TEST

/* Tokens that another node of the rack has, this node's own place, one that has gone unmet. */
START_TEST(who_is_not_taken)
{
    struct node a, b;
    const uint32_t tokens[] = {7, 0};
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 0, "");
    struct ring_node p = place_of(&b, RING_MEMBER);
    p.rack = "r1";
    p.tokens = tokens;
    p.ntokens = 2;
    tell(&a, &p, NODE_NORMAL); /* 0 is a's */
    p.tokens = tokens + 1;
    p.ntokens = 1;
    tell(&a, &p, NODE_NORMAL); /* a's place */
    introduce(&a, &b, RING_GONE);
    p.id[0] ^= 1;
    p.tokens = tokens;
    tell(&a, &p, NODE_NORMAL); /* when this one is there, the others have been dealt with */
    UNTIL(peers_count(server_peers(a.server)) == 2);
    ck_assert_int_eq(index_of(&a, &b), -1);
    close_node(&a);
    close_node(&b);
}
END_TEST

/* With nothing in its log it is a new peer at the new place; with hints there it stays. */
START_TEST(a_peer_that_takes_other_tokens)
{
    struct node a, b;
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 5, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    stop_server(&b);
    b.token = 6;
    start_server(&b, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(index_of(&a, &b) == 2 && is_linked(&a, &b));
    ck_assert_int_eq(role_at(&a, 1), RING_GONE);
    ck_assert(answers(&a, "SET k v", "+OK\r\n"));
    UNTIL(has_nothing_left(&a, &b) && answers(&b, "GET k", "$1\r\nv\r\n"));
    stop_server(&b);
    ck_assert(answers(&a, "SET k hint", "+OK\r\n"));
    b.token = 7;
    start_server(&b, "");
    introduce(&a, &b, RING_MEMBER);
    struct ring_node next = place_of(&b, RING_MEMBER);
    const uint32_t far[] = {99};
    next.id[0] ^= 1;
    next.rack = "r9";
    next.tokens = far;
    tell(&a, &next, NODE_DOWN); /* dealt with after b */
    UNTIL(peers_count(server_peers(a.server)) == 4);
    ck_assert_int_eq(index_of(&a, &b), 2);
    ck_assert_uint_gt(peer_behind(peer_of(&a, &b)), 0);
    close_node(&a);
    close_node(&b);
}
END_TEST

/* The node that lost its disk comes back as another one, at another address: membership names it
 * before the two have met, and that the one before is gone. It gets what lies there for its place.
 */
START_TEST(a_newcomer_that_membership_names_first)
{
    struct node a, b, c;
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 5, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    struct ring_node before = place_of(&b, RING_MEMBER);
    stop_server(&b);
    UNTIL(!PEER_LOAD(server_peers(a.server)->at[1], link_up));
    tell(&a, &before, NODE_DOWN);
    ck_assert(answers(&a, "SET k hint", "+OK\r\n"));
    open_node(&c, "r2", 5, "");
    introduce(&a, &c, RING_MEMBER);
    introduce(&c, &a, RING_MEMBER);
    UNTIL(index_of(&a, &c) == 1 && is_linked(&a, &c));
    UNTIL(has_nothing_left(&a, &c));
    ck_assert(answers(&c, "GET k", "$4\r\nhint\r\n"));
    UNTIL(peer_member_state(peer_of(&a, &c)) == NODE_NORMAL); /* not what was said of the other */
    close_node(&a);
    close_node(&b);
    close_node(&c);
}
END_TEST

/* What dyn_seeds name has left, or has other tokens: that holds after a restart, and it may come
 * back. Its one log has one owner. */
START_TEST(a_seed_that_isnt_where_it_was)
{
    struct node a, b;
    char seeds[200];
    open_node(&b, "r2", 5, "");
    snprintf(seeds, sizeof seeds, "  dyn_seeds: ['%s:r2:d:5']\n", b.peers_at);
    make_node(&a, "r1", 0);
    a.gossip = true; /* it keeps what the ring was */
    start_server(&a, seeds);
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    introduce(&a, &b, RING_GONE);
    UNTIL(role_at(&a, 1) == RING_GONE);
    stop_server(&a);
    start_server(&a, seeds);
    introduce(&b, &a, RING_MEMBER);
    ck_assert_int_eq(index_of(&a, &b), -1);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    ck_assert(answers(&a, "SET k v", "+OK\r\n"));
    UNTIL(has_nothing_left(&a, &b) && answers(&b, "GET k", "$1\r\nv\r\n"));
    stop_server(&b);
    b.token = 6;
    start_server(&b, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(index_of(&a, &b) == 3 && is_linked(&a, &b));
    stop_server(&a);
    start_server(&a, seeds);
    introduce(&b, &a, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    ck_assert(answers(&a, "SET k w", "+OK\r\n"));
    UNTIL(has_nothing_left(&a, &b) && answers(&b, "GET k", "$1\r\nw\r\n"));
    close_node(&a);
    close_node(&b);
}
END_TEST

/* A node that membership brought has tokens that the configuration gives to another one now. */
START_TEST(the_configuration_takes_a_token)
{
    struct node a, b;
    make_node(&a, "r1", 0);
    a.gossip = true; /* it keeps what the ring was */
    start_server(&a, "");
    open_node(&b, "r2", 5, "");
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    stop_server(&a);
    start_server(&a, "  dyn_seeds: ['127.0.0.1:1:r2:d:5,6']\n");
    ck_assert_uint_eq(peers_count(server_peers(a.server)), 2);
    ck_assert_int_eq(index_of(&a, &b), -1);
    close_node(&a);
    close_node(&b);
}
END_TEST

/* Who was joining isn't a member after a restart before membership says so. */
START_TEST(a_node_that_restarts_while_it_joins)
{
    struct node a;
    static const char seeds[] = "  dyn_seeds: ['127.0.0.1:1:r2:d:5']\n";
    make_node(&a, "r1", 0);
    a.gossip = true; /* it keeps what the ring was */
    start_server(&a, seeds);
    ck_assert_int_eq(role_at(&a, 0), RING_MEMBER);
    introduce(&a, &a, RING_JOINING);
    UNTIL(role_at(&a, 0) == RING_JOINING);
    stop_server(&a);
    start_server(&a, seeds);
    ck_assert_int_eq(role_at(&a, 0), RING_JOINING);
    introduce(&a, &a, RING_MEMBER);
    UNTIL(role_at(&a, 0) == RING_MEMBER);
    stop_server(&a);
    start_server(&a, seeds);
    ck_assert_int_eq(role_at(&a, 0), RING_MEMBER);
    close_node(&a);
}
END_TEST

/* What is in the way on the disk goes: nobody names it a second time. */
START_TEST(a_peer_whose_log_cant_be_made_yet)
{
    struct node a, b;
    open_node(&a, "r1", 0, "");
    open_node(&b, "r2", 5, "");
    char *dir = mem_printf("%s/hints/%s", a.dir, server_identity(b.server)->id);
    fclose(fopen(dir, "we"));
    introduce(&b, &a, RING_MEMBER);
    introduce(&a, &b, RING_MEMBER);
    struct ring_node next = place_of(&b, RING_MEMBER);
    next.id[0] ^= 1;
    next.rack = "r9";
    tell(&a, &next, NODE_DOWN); /* dealt with after b */
    UNTIL(peers_count(server_peers(a.server)) == 2);
    ck_assert_int_eq(index_of(&a, &b), -1);
    ck_assert_int_eq(unlink(dir), 0);
    UNTIL(is_linked(&a, &b));
    mem_free(dir);
    close_node(&a);
    close_node(&b);
}
END_TEST

/* To a key of this connection, without waiting for replies; the socket takes it all. */
static void send_writes(struct node *n, unsigned first, unsigned last)
{
    struct buf text = BUF_INIT;
    for (unsigned i = first; i <= last; i++)
        buf_printf(&text, "GETSET k%d %u\r\n", n->client, i);
    while (text.len) {
        ssize_t done = write(n->client, buf_head(&text), text.len);
        ck_assert_msg(done > 0, "write: %s", strerror(errno));
        buf_eat(&text, (size_t)done);
    }
    buf_fini(&text);
}

/* Each write gives the value before it: the numbers up to `last`, in their order. */
static void check_order(struct node *n, struct buf *in, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last;) {
        char wanted[40];
        int len = i == 1 ? snprintf(wanted, sizeof wanted, "$-1\r\n")
                         : snprintf(wanted, sizeof wanted, "$%d\r\n%u\r\n",
                                    snprintf(NULL, 0, "%u", i - 1), i - 1);
        if (in->len >= (size_t)len) {
            ck_assert_msg(memcmp(buf_head(in), wanted, (size_t)len) == 0, "found %.*s; wanted %s",
                          len, (const char *)buf_head(in), wanted);
            buf_eat(in, (size_t)len);
            i++;
            continue;
        }
        ssize_t got = read(n->client, buf_reserve(in, 65536), 65536);
        ck_assert_msg(got > 0, "no reply to write %u", i);
        buf_commit(in, (size_t)got);
    }
}

/* The first peer comes while a client's writes are on their way, past the writer, to a lone node's
 * Redis: they keep their order, and all that is written afterwards is on the peer, too. */
START_TEST(company_for_a_lone_redis)
{
    enum { WARM = 200, BEFORE = 1000, ALL = 1010, OTHERS = 16 };
    int others[OTHERS];
    struct node a, b;
    struct buf in = BUF_INIT;
    if (!have_redis())
        return;
    open_redis_node(&a, "r1");
    open_redis_node(&b, "r2");
    ck_assert_ptr_null(peers_own(server_peers(a.server)));
    ck_assert_uint_eq(server_serves(a.server), 0);
    dial(&a);
    send_writes(&a, 1, WARM); /* a new connection has few commands on their way */
    check_order(&a, &in, 1, WARM);
    int own = a.client;
    for (int i = 0; i < OTHERS; i++) {
        dial(&a);
        others[i] = a.client;
        send_writes(&a, 1, WARM);
        check_order(&a, &in, 1, WARM);
    }
    kill(a.redis, SIGSTOP); /* what goes past the writer stays on its way */
    for (int i = 0; i < OTHERS; i++) {
        a.client = others[i];
        send_writes(&a, WARM + 1, BEFORE);
    }
    a.client = own;
    send_writes(&a, WARM + 1, BEFORE);
    introduce(&a, &b, RING_JOINING);
    UNTIL(peers_own(server_peers(a.server)));
    send_writes(&a, BEFORE + 1, ALL);
    usleep(50000); /* for nothing but a worker that doesn't wait to get ahead */
    ck_assert_uint_eq(peers_count(server_peers(a.server)), 1);
    kill(a.redis, SIGCONT);
    check_order(&a, &in, WARM + 1, ALL);
    for (int i = 0; i < OTHERS; i++)
        close(others[i]);
    UNTIL(peers_count(server_peers(a.server)) == 2);
    ck_assert_uint_eq(server_serves(a.server), 1);
    ck_assert_ptr_nonnull(peers_own(server_peers(a.server)));
    introduce(&b, &a, RING_MEMBER);
    UNTIL(is_linked(&a, &b));
    ck_assert(answers(&a, "SET k both", "+OK\r\n"));
    UNTIL(has_nothing_left(&a, &b));
    UNTIL(answers(&b, "GET k", "$4\r\nboth\r\n"));
    close_node(&a);
    close_node(&b);
    buf_fini(&in);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, rcu_start, rcu_stop);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_peer_that_nobody_configured);
    tcase_add_test(c, a_peer_that_starts_somewhere_else);
    tcase_add_test(c, a_peer_that_joins);
    tcase_add_test(c, a_peer_that_leaves_for_good);
    tcase_add_test(c, a_seed_that_has_left);
    tcase_add_test(c, a_seed_that_left_before_it_was_met);
    tcase_add_test(c, a_place_that_another_node_takes);
    tcase_add_test(c, who_is_not_taken);
    tcase_add_test(c, a_peer_that_takes_other_tokens);
    tcase_add_test(c, a_newcomer_that_membership_names_first);
    tcase_add_test(c, a_seed_that_isnt_where_it_was);
    tcase_add_test(c, the_configuration_takes_a_token);
    tcase_add_test(c, a_node_that_restarts_while_it_joins);
    tcase_add_test(c, a_peer_whose_log_cant_be_made_yet);
    tcase_add_test(c, company_for_a_lone_redis);
}

int main(void)
{
    return unit_main("members", add_cases);
}
