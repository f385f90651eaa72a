/* sim/data_world: what the files of sim/data share: data.c the run and its faults, data_client.c
 * the clients and what they were told, data_check.c what must be true, data_damage.c what is broken
 * on purpose (and where the servers' insides are looked at). Nobody else includes it. */
#ifndef SIM_DATA_WORLD_H
#define SIM_DATA_WORLD_H

#include "config/config.h"
#include "core/buf.h"
#include "data.h"
#include "data_os.h"
#include "data_store.h"
#include "peer/peer.h"
#include "server.h"

#define NODES_MAX    9
#define KEYS         48
#define OPS_MAX      600
#define SESSIONS_MAX 18
#define PIPELINE     4

enum key_kind { KEY_SET, KEY_COUNTER, KEY_LIST, KEY_MIXED, KEY_KINDS };
enum told { TOLD_NOTHING, TOLD_OK, TOLD_REFUSED, TOLD_UNKNOWN };

struct op {
    unsigned key, node;
    enum { OP_GET, OP_SET, OP_INCR, OP_APPEND, OP_DEL } what;
    enum told told;
    uint64_t asked_at, told_at;
    uint64_t order;            /* in which it was sent */
    uint64_t stamp, must_have; /* a SET: its stamp, 0: no store has seen it. A GET: the highest
                                  stamp of those answered before it, whose value or a newer one it
                                  must bring */
    uint16_t tag, must_tag;
    unsigned pieces; /* a GET of a LIST: it must have so many pieces */
    bool checked;    /* this GET's answer is looked at */
};

struct key {
    enum key_kind kind;
    unsigned session; /* LIST, MIXED: the one that writes it */
    unsigned replicas, copies[NODES_MAX];
    bool unknown; /* a write of it got no answer */
    bool repair;  /* a log refused or lost a write of it */
};

struct session {
    unsigned node; /* it talks to this one */
    uint32_t stream;
    bool linked;
    struct buf in;
    unsigned waiting[PIPELINE], n; /* ops without an answer, oldest first */
    uint64_t patience;             /* it gives up then */
};

struct node {
    struct server *server; /* NULL: it doesn't run */
    struct config config;
    unsigned rack;
    uint32_t token;
    unsigned life;
    uint64_t paused_until, down_until;
    bool replaced, wiped_now;
    /* its insides: data_damage.c */
    char id[NODE_ID_SIZE];
    const struct peers *peers;
    struct topology **topology;
    const uint32_t *own_state;
    const uint64_t *watermark;
};

struct world {
    const struct data_options *o;
    struct data_result *r;
    struct net *net;
    struct chance chance;
    unsigned stop;             /* this node is to be stopped; NODES_MAX: none */
    unsigned n, racks, client; /* client: the net's node of all clients */
    struct node nodes[NODES_MAX];
    struct key keys[KEYS];
    unsigned nkeys;
    struct session sessions[SESSIONS_MAX];
    unsigned nsessions;
    struct op ops[OPS_MAX];
    unsigned nops, max_ops;
    bool reads_sure; /* no replica has lost anything */
    bool over;       /* no more writes, no more faults */
    /* the configuration of all nodes */
    bool external, sloppy, caps, power, lapse, lazy_sync;
    bool clean; /* nothing may need repair */
    enum consistency read, write;
    unsigned timeout_ms, workers;
    uint64_t window, cap, drain_rate, segment;
    uint64_t busy_us; /* faults come up to then */
    unsigned think_us;
};
extern struct world world;

/* The first that goes wrong is what is told. */
void world_wrong(const char *fmt, ...) PRINTF_LIKE(1, 2);
void world_say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Which of us stands at this index of the node's ring: its address has our number. */
unsigned world_node_at(unsigned node, unsigned index);
static inline uint64_t world_now(void)
{
    return net_now(world.net);
}

/* ---- data_client.c ---- */
void clients_begin(void);
void clients_link(unsigned node); /* a node is up: its sessions come back */
struct net_handlers clients_handlers(void);
bool clients_idle(void);
void clients_end(void);

/* ---- data_check.c ---- */
bool check_is_quiet(char what[200]); /* all logs are empty, all nodes are up and NORMAL */
void check_end(void);

/* ---- data_damage.c ---- */
struct peer *damage_peer_of(unsigned node, unsigned peer); /* `node` itself: its own log; NULL */
bool damage_was_refused(unsigned node, unsigned peer);     /* a log, in this life of the node */
void damage_begin(void);
void damage_end(void);
void damage_at_restart(unsigned node);
/* Of what was appended to the logs of a node: what is there no more after a power cut. */
void damage_before_kill(unsigned node);
void damage_after_restart(unsigned node);
void damage_node_is_gone(unsigned node); /* its disk and its store are about to go */

#endif
