/* peer/peer: one remote node as the rest of the process sees it: its log, and what its sender
 * and the writer publish about it. Made at the start or when membership tells of it; lives to the
 * end. Each field says who writes it;
 * everybody else only loads (relaxed; figures). */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include "config/config.h"
#include "core/actor.h"
#include "core/rcu.h"
#include "hint/store.h"
#include "ring/topology.h"

/* Why a hint wasn't kept, besides what the hint store says (enum hint_put). */
enum peer_reject {
    REJECT_WINDOW,   /* the peer has been down for longer than its hints live */
    REJECT_DISABLED, /* hinted handoff is off */
    REJECT_DROPPED,  /* appended, and thrown away when the peer went down and handoff is off */
    REJECT_REASONS
};
const char *peer_reject_name(enum peer_reject r); /* the label in hints_rejected_total */

/* Why a peer needs repair, and since when. A snapshot: read inside an RCU read section. */
struct peer_repair {
    struct rcu_head rcu;
    uint64_t since_ms; /* wall */
    char reason[200];
};

struct peer {
    unsigned node;           /* its index in the topology */
    char *log_name;          /* NODE_ID_SIZE bytes: its directory below hint_dir; the writer's, when
                                another node takes the peer's place */
    struct hint_peer *hints; /* its log and what of it are hints: appended by the writer, all else
                                by the sender */
    struct hint_log *log;    /* the same log, for reading */
    struct actor *sender;    /* where messages for it go */

    /* the sender's */
    uint32_t state; /* enum node_state, as the link and the peer's own word tell; DOWN also while
                       its store is gone */
    uint32_t link_up;
    uint64_t since_ms; /* wall time of the last change of state */
    uint64_t heard_ms; /* mono time */
    uint64_t rtt_us;
    uint32_t distance; /* peer/distance.h, 0: not known yet */
    uint32_t let_go;   /* 1: it has left the ring, and its sender has let go of the log (release) */
    uint32_t paused;   /* 1: nothing is delivered, what is written for it are hints */
    uint32_t closed;   /* 1: its window is over: nothing is stored for it */
    uint64_t drain_rate;        /* bytes/s that go out now, while there are hints */
    uint64_t live_rate;         /* bytes/s that are appended, measured while there are hints */
    uint64_t dc_raw, dc_sent;   /* to another datacenter: bytes of records that went out, and what
                                   they took on the link */
    struct peer_repair *repair; /* RCU_GET; NULL: fine */

    /* its link's worker's */
    uint64_t answered; /* from another datacenter: bytes that were sent back on its link to us */

    /* the writer's */
    uint32_t member_state;             /* enum node_state, as membership tells; NODE_UNKNOWN: it
                                          doesn't */
    uint64_t member_since_ms;          /* wall: when that changed */
    uint64_t incarnation;              /* as membership tells; 0: it doesn't */
    uint32_t gone;                     /* 1: it has left the ring, for good */
    uint32_t greeted;                  /* 1: a link of its to us is up */
    uint64_t too_late;                 /* writes of its that came too late to be judged */
    uint64_t rejected[REJECT_REASONS]; /* REJECT_DROPPED: the sender's */
};

#define PEER_LOAD(p, field)     __atomic_load_n(&(p)->field, __ATOMIC_RELAXED)
#define PEER_STORE(p, field, v) __atomic_store_n(&(p)->field, (v), __ATOMIC_RELAXED)
#define PEER_ADD(p, field, v)   __atomic_fetch_add(&(p)->field, (v), __ATOMIC_RELAXED)

/* With gossip, a link on which nothing is owed is heard of this seldom. */
#define BEAT_IDLE_MS 30000

/* How many bytes may gather at either end of a link before an acknowledgement, or word of what was
 * appended, has no time any more: so few that a peer that is well doesn't count as behind. */
static inline size_t lazy_bytes(size_t send_window)
{
    const size_t many = 64 * 1024;
    return send_window / 4 < many ? send_window / 4 : many;
}

/* Hints as DESIGN.md section 3 counts them. */
struct peer_hints {
    uint64_t pending, bytes;
    uint64_t oldest_ms; /* age of the oldest; 0: none */
};
struct peer_hints peer_hints(const struct peer *p);
/* Writes for it count as hints now: it is down, STANDBY, paused or held up by a rate. */
static inline bool peer_hinting(const struct peer *p)
{
    return hint_peer_hinting(p->hints);
}
/* Bytes appended and not acknowledged. */
uint64_t peer_behind(const struct peer *p);
/* idle, storing (down), draining, paused */
const char *peer_hint_state(const struct peer *p);
/* Sets or clears (since 0) why it needs repair. Its sender, or when no thread is left. */
void peer_set_repair(struct peer *p, uint64_t since_ms, const char *reason);
static inline bool peer_needs_repair(const struct peer *p)
{
    return RCU_GET(p->repair) != NULL;
}
static inline enum node_state peer_state(const struct peer *p)
{
    return (enum node_state)PEER_LOAD(p, state);
}

/* All peers, by node index; NULL at this node's own. The writer adds one at the end, whole, before
 * a ring names it; none is ever taken away. */
#define PEERS_CARRIED 1024u
struct peers {
    unsigned n; /* atomic: peers_count */
    unsigned self;
    struct peer **at; /* room for RING_NODES_MAX */
    struct peer *own; /* atomic: peers_own; the own store as a replica (request/own.h): the writer
                          writes all its fields; NULL: it has no log, or none yet */
    struct hint_store *store;      /* of the hints of all of them */
    const struct orphans *orphans; /* NULL: none */
    uint32_t *carried; /* atomic, PEERS_CARRIED and the sum: by token, keys of writes of this node's
                          clients that a peer runs now (request/request.h); NULL: in tests */
    uint32_t *awaited; /* atomic, PEERS_CARRIED: when another write last waited for these, in ms */
};
/* How many there are, this node included. Read once for a loop; the writer may read n itself. */
static inline unsigned peers_count(const struct peers *p)
{
    return __atomic_load_n(&p->n, __ATOMIC_ACQUIRE);
}
/* The last one is whole: its log and its sender are there. The writer's thread. */
static inline void peers_publish(struct peers *p, unsigned n)
{
    __atomic_store_n(&p->n, n, __ATOMIC_RELEASE);
}
static inline struct peer *peers_own(const struct peers *p)
{
    return __atomic_load_n(&p->own, __ATOMIC_ACQUIRE);
}
static inline enum node_state peer_member_state(const struct peer *p)
{
    return (enum node_state)PEER_LOAD(p, member_state);
}
/* What is shown of a peer. Membership decides, where it tells of the peer at all; but what the peer
 * itself says on its link is newer: that it lacks writes, or that its store is gone. */
struct peer_shown {
    enum node_state state;
    uint64_t since_ms; /* wall */
};
struct peer_shown peer_shown(const struct peer *p);
/* The caps of the hint store follow the configuration: after each change of it. Any thread. */
void peers_follow_caps(const struct peers *p, const struct config *c);
/* Has the own store all that this node has written? (Not: the log of its own has to be replayed.)
 */
bool peers_own_is_current(const struct peers *p);

#endif
