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
#define DCS_MAX      3
#define RACKS_MAX    5 /* in a datacenter */
#define TOKENS_MAX   8 /* of a node */
#define KEYS         48
#define OPS_MAX      2000
#define SESSIONS_MAX 18
#define PIPELINE     4
#define BUCKETS      2

#define CLIENT_ROAD_US 200  /* from a client to a node */
#define HOP_US         3000 /* between two actors of a node, at most */

enum key_kind {
    KEY_SET,
    KEY_COUNTER,
    KEY_LIST,
    KEY_MIXED,
    KEY_KINDS_INSIDE, /* what the embedded store knows */
    KEY_POOL = KEY_KINDS_INSIDE,
    KEY_SCRIPT,
    KEY_KINDS
};
enum told { TOLD_NOTHING, TOLD_OK, TOLD_REFUSED, TOLD_UNKNOWN };

struct op {
    unsigned key, node, session;
    enum { OP_GET, OP_SET, OP_INCR, OP_APPEND, OP_DEL, OP_SADD, OP_SPOP, OP_EVAL } what;
    enum told told;
    unsigned levels; /* that its node went by for this key while it was on its way, bits */
    unsigned popped; /* a SPOP: which op's member, plus one; 0: none */
    char letter;     /* an EVAL: what it was told */
    uint64_t asked_at, told_at;
    uint64_t paused;  /* its node's pauses before it was asked, us */
    uint16_t applied; /* a SET, an APPEND: nodes whose store has had it, bits */
    uint8_t majority; /* the same: datacenters in which a majority is known to have it, bits */
    uint64_t order;   /* in which it was sent */
    uint64_t stamp, must_have; /* a SET: its stamp, 0: no store has seen it. A GET: the highest
                                  stamp of those answered before it, whose value or a newer one it
                                  must bring */
    uint16_t tag, must_tag;
    bool in_own;         /* a write: its node's own store had it when it was answered */
    unsigned must_piece; /* a GET of a LIST: it must have this piece, plus one; 0: none */
    bool checked;        /* this GET is looked at for what it must have */
};

struct key {
    enum key_kind kind;
    unsigned session; /* the one that writes it; not of SET and COUNTER */
    unsigned replicas, copies[NODES_MAX];
    uint16_t in_dc[DCS_MAX]; /* the same, bits */
    bool unknown;            /* a write of it got no answer */
    uint16_t ran;            /* a POOL, a SCRIPT: where its SPOPs and EVALs ran, bits of nodes */
    bool repair;             /* a log refused or lost a write of it */
};

struct session {
    unsigned node; /* it talks to this one */
    uint32_t stream;
    unsigned life; /* of the node, when it linked */
    bool linked;
    struct buf in;
    unsigned waiting[PIPELINE], n; /* ops without an answer, oldest first */
    uint64_t turn_at;              /* the last one was answered: it's the oldest's turn */
};

struct node {
    struct server *server; /* NULL: it doesn't run */
    struct config config;
    unsigned dc, rack;
    uint32_t tokens[TOKENS_MAX];
    unsigned ntokens;
    /* What its clients get, reads and writes: of keys that begin with no prefix, with the first,
     * the second (bucket_types has `buckets` of them). */
    enum consistency levels[BUCKETS + 1][2];
    unsigned buckets;
    unsigned life;
    uint64_t paused_until, down_until;
    uint64_t paused_at, paused; /* the pause that lasts (0: none); those before, us */
    bool replaced, disk_full;
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
    unsigned stop;           /* this node is to be stopped; NODES_MAX: none */
    unsigned n, dcs, client; /* client: the net's node of all clients */
    struct node nodes[NODES_MAX];
    struct key keys[KEYS];
    unsigned nkeys;
    struct session sessions[SESSIONS_MAX];
    unsigned nsessions;
    struct op ops[OPS_MAX];
    unsigned nops, max_ops;
    bool gossip;   /* membership is on */
    bool replaced; /* a node was, and lost what it had */
    bool over;     /* no more writes, no more faults */
    /* the configuration of all nodes */
    bool external, sloppy, caps, power, lapse, lazy_sync;
    bool clean;    /* nothing may need repair */
    bool reading;  /* little is written, so much is read that reads may be hedged */
    bool mends;    /* read_repairs_enabled */
    bool packed;   /* dc_compression */
    uint64_t rate; /* dc_rate */
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

/* For how long this node has been paused in all, us. */
uint64_t world_paused(unsigned node);
static inline unsigned world_bits(uint16_t set)
{
    return (unsigned)__builtin_popcount(set);
}
/* A majority of the replicas of a key in a datacenter. */
static inline unsigned world_majority(const struct key *k, unsigned dc)
{
    return world_bits(k->in_dc[dc]) / 2 + 1;
}

/* With membership a node that takes another's place is no replica until it has joined: majorities
 * may be of fewer. */
static inline bool world_somebody_joins(void)
{
    return world.gossip && world.replaced;
}

/* ---- data_client.c ---- */
void clients_begin(void);
void clients_link(unsigned node); /* a node is up: its sessions come back */
struct net_handlers clients_handlers(void);
bool clients_idle(void);
void clients_end(void);

/* ---- data_levels.c ---- */
void levels_choose(void);
/* NULL: nothing to say. Valid until the next call. */
const char *levels_buckets(unsigned node);
void levels_change(unsigned node); /* while it runs */
enum consistency levels_of(unsigned node, unsigned key, bool write);

/* ---- data_told.c ---- */
enum told told_meaning(struct slice reply);
void told_ask(unsigned id);   /* what is promised to it */
void told_level(unsigned id); /* the level of its key has changed at its node */
void told_reply(unsigned id, struct slice reply, uint64_t turn_at);
/* It had to be answered by now. turn_at: when those before it were. */
bool told_is_overdue(unsigned id, uint64_t turn_at);

/* A write that tells which one it is: `applied` says who has it. */
static inline bool told_names_op(const struct op *op)
{
    enum key_kind kind = world.keys[op->key].kind;
    return op->what == OP_APPEND ? kind == KEY_LIST : kind == KEY_SET && op->what != OP_GET;
}

/* ---- data_lack.c ---- */
/* A -NOQUORUM names a level that the op had, what that needs, and replicas that answered. */
bool lack_is_true(const struct op *op, const char *text);

/* ---- data_check.c ---- */
bool check_is_quiet(char what[200]); /* all logs are empty, all nodes are up and NORMAL */
void check_end(void);

/* ---- data_damage.c ---- */
struct peer *damage_peer_of(unsigned node, unsigned peer); /* `node` itself: its own log; NULL */
bool damage_was_refused(unsigned node, unsigned peer);     /* a log, in this life of the node */
/* It shows only where quorums of real replicas are promised. */
bool damage_wants_quorums(enum data_damage d);
void damage_begin(void);
void damage_end(void);
void damage_at_restart(unsigned node);
/* Of what was appended to the logs of a node: what is there no more after a power cut. */
void damage_before_kill(unsigned node);
void damage_after_restart(unsigned node);
void damage_node_is_gone(unsigned node); /* its disk and its store are about to go */

#endif
