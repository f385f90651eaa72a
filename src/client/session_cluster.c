/* CLUSTER: every node takes commands for every key, so a client of Redis Cluster is told that this
 * one has all slots, under the address at which it reaches it. The other nodes are named where
 * tools look for members (NODES, INFO); at what address they serve clients isn't known here. */
#include "client/session.h"
#include "core/address.h"
#include "ring/hash.h"
#include <ctype.h>
#include <inttypes.h>

#define SLOTS   16384u
#define ID_SIZE 41 /* what Redis Cluster calls a node: 40 hex digits, and a NUL */

/* The UUID's digits, and zeros. */
static void cluster_id(const char *uuid, char out[ID_SIZE])
{
    size_t n = 0;
    for (const char *p = uuid; *p && n < ID_SIZE - 1; p++)
        if (isxdigit((unsigned char)*p))
            out[n++] = (char)tolower((unsigned char)*p);
    while (n < ID_SIZE - 1)
        out[n++] = '0';
    out[n] = '\0';
}

/* Where this client reaches us; on a unix socket: no host, port 0. */
struct own {
    char id[ID_SIZE];
    struct address at;
};

static struct own own_of(const struct client *c)
{
    struct own own;
    cluster_id(c->all->me->id, own.id);
    address_of_socket(c->stream.fd, false, &own.at);
    return own;
}

static unsigned peer_port(const char *address)
{
    struct address a;
    return address_parse(address, ADDRESS_TCP_ONLY, &a, NULL) ? a.port : 0;
}

/* ---- INFO NODES: the members ------------------------------------------------------------------
 */

static const struct topology *ring(const struct client *c)
{
    return RCU_GET(*c->all->requests->topology);
}

/* One that has been met: before that it has no id. */
static bool is_member(const struct topology *t, unsigned node)
{
    return t->nodes[node].role != RING_GONE && *t->nodes[node].id;
}

static void cluster_info(struct client *c, struct buf *b)
{
    struct buf t = BUF_INIT;
    unsigned known = 0;
    rcu_read_begin();
    for (unsigned i = 0; i < ring(c)->n; i++)
        known += i == ring(c)->self || is_member(ring(c), i);
    rcu_read_end();
    buf_printf(&t,
               "cluster_state:ok\r\ncluster_slots_assigned:%u\r\ncluster_slots_ok:%u\r\n"
               "cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:%u\r\n"
               "cluster_size:1\r\ncluster_current_epoch:0\r\ncluster_my_epoch:0\r\n",
               SLOTS, SLOTS, known);
    resp_add_bulk(b, buf_slice(&t));
    buf_fini(&t);
}

static void add_own_line(const struct client *c, struct buf *t)
{
    struct own own = own_of(c);
    buf_printf(t, "%s %s:%u@%u myself,master - 0 0 0 connected 0-%u\n", own.id, own.at.host,
               own.at.port, peer_port(c->all->me->address), SLOTS - 1);
}

/* Without a client's address (noaddr), which tools then don't dial. */
static void add_peer_line(const struct client *c, const struct ring_node *n, unsigned node,
                          struct buf *t)
{
    const struct peer *p = c->all->requests->peers->at[node];
    char id[ID_SIZE];
    struct address a = {.host = ""};
    bool down = peer_state(p) == NODE_DOWN;
    cluster_id(n->id, id);
    if (!address_parse(n->address, ADDRESS_TCP_ONLY, &a, NULL))
        a.port = 0;
    buf_printf(t, "%s %s:0@%u master%s,noaddr - 0 0 0 %s\n", id, a.host, a.port,
               down ? ",fail" : "", PEER_LOAD(p, link_up) ? "connected" : "disconnected");
}

static void cluster_nodes(struct client *c, struct buf *b)
{
    struct buf t = BUF_INIT;
    add_own_line(c, &t);
    rcu_read_begin();
    const struct topology *now = ring(c);
    for (unsigned i = 0; i < now->n; i++)
        if (i != now->self && is_member(now, i))
            add_peer_line(c, &now->nodes[i], i, &t);
    rcu_read_end();
    resp_add_bulk(b, buf_slice(&t));
    buf_fini(&t);
}

/* ---- SLOTS SHARDS: where to send commands ------------------------------------------------------
 */

static void add_number(struct buf *b, const char *name, int64_t value)
{
    resp_add_bulk_str(b, name);
    resp_add_int(b, value);
}

static void cluster_slots(struct client *c, struct buf *b)
{
    struct own own = own_of(c);
    resp_add_array(b, 1);
    resp_add_array(b, 3);
    resp_add_int(b, 0);
    resp_add_int(b, SLOTS - 1);
    resp_add_array(b, 4);
    resp_add_bulk_str(b, own.at.host);
    resp_add_int(b, own.at.port);
    resp_add_bulk_str(b, own.id);
    resp_add_array(b, 0);
}

static void cluster_shards(struct client *c, struct buf *b)
{
    struct own own = own_of(c);
    resp_add_array(b, 1);
    resp_add_array(b, 4);
    resp_add_bulk_str(b, "slots");
    resp_add_array(b, 2);
    resp_add_int(b, 0);
    resp_add_int(b, SLOTS - 1);
    resp_add_bulk_str(b, "nodes");
    resp_add_array(b, 1);
    resp_add_array(b, 14);
    session_add_pair(b, "id", own.id);
    add_number(b, "port", own.at.port);
    session_add_pair(b, "ip", own.at.host);
    session_add_pair(b, "endpoint", own.at.host);
    session_add_pair(b, "role", "master");
    add_number(b, "replication-offset", 0);
    session_add_pair(b, "health", "online");
}

/* CRC-16/XMODEM of the key, or of what stands between its first braces. */
static void cluster_keyslot(struct client *c, struct buf *b)
{
    struct slice part = hash_tagged(session_arg(c, 2), "{}");
    resp_add_int(b, hash_token(HASH_CRC16, part) % SLOTS);
}

static void cluster_myid(struct client *c, struct buf *b)
{
    resp_add_bulk_str(b, own_of(c).id);
}

static void cluster_replicas(struct client *c, struct buf *b)
{
    struct slice id = session_arg(c, 2);
    if (slice_eq(id, slice_str(own_of(c).id)))
        resp_add_array(b, 0);
    else
        resp_add_error(b, "ERR Unknown node %.*s", session_quoted(id), (const char *)id.ptr);
}

void session_cluster(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"INFO", 2, cluster_info, " -- How many nodes are known."},
        {"KEYSLOT", 3, cluster_keyslot, " <key> -- Its slot, as in Redis Cluster."},
        {"MYID", 2, cluster_myid, " -- This node."},
        {"NODES", 2, cluster_nodes, " -- The nodes that are known, a line each."},
        {"REPLICAS", 3, cluster_replicas, " <id> -- Nothing: this node answers for all slots."},
        {"SHARDS", 2, cluster_shards, " -- All slots are this node's."},
        {"SLAVES", 3, cluster_replicas, " <id> -- Nothing."},
        {"SLOTS", 2, cluster_slots, " -- All slots are this node's."}};
    SESSION_SUBCOMMANDS(c, b, "CLUSTER", subs);
}
