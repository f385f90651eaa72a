/* peer/peer: one remote node as the rest of the process sees it: its log, and what its sender
 * and the writer publish about it. Made at start, lives to the end. Each field says who writes it;
 * everybody else only loads (relaxed; figures). */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include "core/actor.h"
#include "core/rcu.h"
#include "hint/log.h"
#include "ring/topology.h"

enum peer_reject {
    REJECT_CAPACITY,
    REJECT_CAPACITY_PEER, /* its own cap */
    REJECT_WINDOW,        /* it has been down for longer than its hints live */
    REJECT_NO_SPACE,
    REJECT_IO_ERROR,
    REJECT_DISABLED,
    REJECT_DROPPED, /* appended, and thrown away when the peer went down and handoff is off */
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
    unsigned node;        /* its index in the topology */
    char *log_name;       /* its directory below hint_dir */
    struct hint_log *log; /* appended by the writer, all else by the sender */
    struct actor *sender; /* where messages for it go */

    /* the sender's */
    uint32_t state;   /* enum node_state, as the link and the peer's own word tell; DOWN also while
                         its store is gone */
    uint32_t hinting; /* 1: writes for it count as hints now (down, STANDBY, paused, or
                         held up by a rate) */
    uint32_t link_up;
    uint64_t since_ms; /* wall time of the last change of state */
    uint64_t heard_ms; /* mono time */
    uint64_t rtt_us;
    uint64_t hinted_seq, hinted_records,
        hinted_bytes;   /* hint_log position up to which records count as hints */
    uint64_t converted; /* became hints when the peer went down, or were found at the start */
    uint64_t delivered; /* hints that the peer acknowledged */
    uint64_t expired;
    uint64_t truncated;         /* hints that were thrown away */
    uint32_t paused;            /* 1: nothing is delivered, what is written for it are hints */
    uint32_t closed;            /* 1: its window is over: nothing is stored for it */
    uint64_t drain_rate;        /* bytes/s that go out now, while there are hints */
    uint64_t live_rate;         /* bytes/s that are appended, measured while there are hints */
    struct peer_repair *repair; /* RCU_GET; NULL: fine */

    /* the writer's */
    uint64_t late_seq, late_records,
        late_bytes;  /* the same for what was appended more than send_window behind */
    uint64_t stored; /* appended while it counted as a hint */
    uint64_t rejected[REJECT_REASONS]; /* REJECT_DROPPED: the sender's */
};

#define PEER_LOAD(p, field)     __atomic_load_n(&(p)->field, __ATOMIC_RELAXED)
#define PEER_STORE(p, field, v) __atomic_store_n(&(p)->field, (v), __ATOMIC_RELAXED)
#define PEER_ADD(p, field, v)   __atomic_fetch_add(&(p)->field, (v), __ATOMIC_RELAXED)

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

/* All peers, by node index; NULL at this node's own. Immutable after the start. */
struct peers {
    unsigned n, self;
    struct peer **at;
    const struct orphans *orphans; /* NULL: none */
};
/* Payload bytes of hints over all peers, orphans included. */
uint64_t peers_hint_bytes(const struct peers *p);

#endif
