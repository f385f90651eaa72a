/* gossip/swim: who is there and who is down, as a pure state machine: it opens nothing, reads no
 * clock and draws its chances from a seed of its own. Time goes in (ms, monotonic), messages go in
 * and out, events come out.
 *
 *     struct swim *s = swim_new(&options, &self, &sink, now);
 *     swim_contact(s, "10.0.0.5:8101", now);    a seed: exchange member lists with whoever is there
 *     swim_receive(s, message, now);            a message came
 *     swim_tick(s, now);                        at swim_due(s) at the latest
 *     swim_set_state(s, NODE_STANDBY, now);     what this node says of itself
 *     swim_stop(s, now);                        says goodbye to some; then swim_free
 *
 * One thread. sink->send and sink->event come during these calls and mustn't call back. What is
 * said of members (places, tokens) is kept once in the process and shared by count, without a lock:
 * all cores of a process belong to one thread.
 *
 * Who gets into the list:
 * - Who writes is asked back at the address it claims, and is a member when it answers. Until then
 *   what it says of others isn't heard.
 * - A name that comes by hearsay is nobody until it answers this node, or two members speak of it:
 * one that is mistaken, or lies, can't bring names that don't exist. There is room for 1024 such
 * names, 256 of one member, for ten intervals. Only a dead one that no second member knows is taken
 * of one, as DOWN, while the list is less than half full.
 * - A node that knows nobody yet takes the list of the one that its configuration named.
 * - A token has one owner in its rack. Of two that live, which a partition can bring about, the one
 * with the lower start mark (then the lower id) keeps it; the other one is out, unsettled again.
 * Who comes, with a new id, to the place of a member that is DOWN replaces it: the old id is RESET,
 * and out when it comes back.
 *
 * Of two words about a member the newer incarnation wins; with the same one, who has left has left,
 * and a claim (dead, stopped) wins over none. Who hears something untrue of itself takes a newer
 * one.
 *
 * Probes: four an interval, in a random order in which each member has its turn within two passes;
 * DOWN ones too, so that the halves of what was cut find each other. At rest there is nothing else.
 * Each message has a sum over the sender's list; where two differ they exchange what differs
 * (swim_exchange.c).
 *
 * SWIM: A. Das, I. Gupta, A. Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process
 * Group Membership Protocol", DSN 2002: probe, indirect probe, suspicion, refutation by
 * incarnation, piggy-backed dissemination. Lifeguard: A. Dadgar, J. Phillips, J. Currey,
 * "Lifeguard: Local Health Awareness for More Accurate Failure Detection", DSN-W 2018. */
#ifndef GOSSIP_SWIM_H
#define GOSSIP_SWIM_H

#include "core/compiler.h"
#include "ring/topology.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Gossip Gossip; /* proto/gossip.proto: the same type between threads and nodes */

/* What stands in a configuration about where a node belongs; immutable, shared by count. */
struct member_place {
    const char *address; /* host:port that peers dial */
    const char *datacenter, *rack;
    const uint32_t *tokens; /* ascending */
    size_t ntokens;
    const char *version; /* of the program, up to 31 bytes; in what is given NULL for unknown, in
                            what comes back "" */
};

/* A member as this node believes it to be. */
struct member {
    char id[NODE_ID_SIZE];
    uint64_t incarnation;  /* the start mark of its start << 32, and a count of its refutations */
    enum node_state state; /* JOINING NORMAL STANDBY LEAVING by its own word; DOWN, by its own word
                              or since nobody reaches it; RESET: it has left the ring for good */
    enum node_state said;  /* its own last word, without DOWN: a JOINING that is DOWN isn't in the
                              ring either */
    bool serves;           /* its ring has taken a client's write */
    uint64_t clock;        /* the newest hybrid stamp heard of it */
    uint64_t since_ms;     /* when the state changed, this node's time */
    const struct member_place *place;
};

struct swim_options {
    const char *cluster;
    uint64_t interval_ms; /* gos_interval */
    uint64_t seed;        /* of its chances */
    unsigned members_max; /* more are refused; RING_NODES_MAX in a server, more in a simulation */
    /* Places that this node's configuration names (dyn_seeds with tokens): a newcomer at one of
     * them isn't new to the ring. Copied. */
    const struct member_place *listed;
    size_t nlisted;
};

/* What this node says of itself at its start. */
struct swim_self {
    char id[NODE_ID_SIZE];
    uint64_t incarnation;      /* start mark << 32 */
    struct member_place place; /* copied */
    bool settled; /* it belongs to the ring with this place: it did at its last start, or has no
                     seeds. False: the first exchange with a member decides. Until then it is NORMAL
                     to itself and nobody's member; then, NORMAL, where no member serves or one
                     lists its place, else JOINING. A token that a live member of its rack owns
                     keeps it out (SWIM_TAKEN) for as long as that lasts. Where nobody that was
                     asked is settled either, as at the first start of a cluster: swim_join.c. */
    enum node_state state; /* NORMAL, STANDBY or JOINING */
    bool serves;
};

enum swim_event_type {
    SWIM_JOINED,   /* a member that wasn't known, in any state */
    SWIM_STATE,    /* `before` -> m->state; also RESET; of this node when it is JOINING and hears
                      that it is listed */
    SWIM_PLACE,    /* its address, rack, tokens or version are others than before */
    SWIM_SETTLED,  /* this node: m is itself, NORMAL or JOINING */
    SWIM_TAKEN,    /* this node's token belongs to m, which lives: it stays out, or is out from now
                      on (swim_is_settled says false again). Repeated */
    SWIM_TWICE,    /* another process has this node's id, or two claim m's */
    SWIM_REFUSED,  /* a message was, `reason` says why; m NULL or whom it was about */
    SWIM_FORGOTTEN /* a member that has left long ago is dropped from the list */
};

struct swim_event {
    enum swim_event_type type;
    const struct member *m; /* valid during the call */
    enum node_state before;
    bool replaced;      /* SWIM_STATE to RESET: it didn't leave, another member has its place */
    const char *reason; /* one line for people */
};

struct swim_sink {
    /* `m` is valid during the call. The address is a member's or a seed's. */
    void (*send)(void *arg, const char *address, const Gossip *m);
    void (*event)(void *arg, const struct swim_event *e);
    void *arg;
};

struct swim;
struct swim *swim_new(const struct swim_options *o, const struct swim_self *self,
                      const struct swim_sink *sink, uint64_t now_ms) MUST_USE;
/* For simulations: one that is settled and knows just what `model` knows, `self` among it, without
 * events about it. */
struct swim *swim_new_like(const struct swim *model, const struct swim_options *o,
                           const struct swim_self *self, const struct swim_sink *sink,
                           uint64_t now_ms) MUST_USE;
void swim_free(struct swim *s);

/* When swim_tick has something to do; never UINT64_MAX. */
uint64_t swim_due(const struct swim *s);
void swim_tick(struct swim *s, uint64_t now_ms);
/* A message, decoded and of bounded size (gossip/codec); anything else about it is checked here,
 * and what is wrong is refused as an event and changes nothing. wall_ms: this node's wall clock,
 * against which incarnations and clocks from the far future are judged. The caller keeps m. */
void swim_receive(struct swim *s, const Gossip *m, uint64_t now_ms, uint64_t wall_ms);
/* Exchanges member lists with whoever listens there. The caller repeats it: for ever while the node
 * isn't settled, and now and then later, so that two halves that forgot each other meet again. */
void swim_contact(struct swim *s, const char *address, uint64_t now_ms);

/* This node's own word changes; it is told at once. RESET: it leaves for good. */
void swim_set_state(struct swim *s, enum node_state state, uint64_t now_ms);
void swim_set_serves(struct swim *s, uint64_t now_ms);
/* Sent along with messages: the newest hybrid stamp of this node. */
void swim_set_clock(struct swim *s, uint64_t stamp);
/* A link to this member broke, or can't be made: it is probed next. It changes nothing by itself.
 */
void swim_doubt(struct swim *s, const char *id, uint64_t now_ms);
/* A clean shutdown: tells some members that it is DOWN by its own word. Nothing follows. */
void swim_stop(struct swim *s, uint64_t now_ms);

bool swim_is_settled(const struct swim *s);
const struct member *swim_self(const struct swim *s);
/* NULL: not known. Valid until the next call that takes time, or the fourth of these. */
const struct member *swim_find(const struct swim *s, const char *id);
unsigned swim_count(const struct swim *s); /* this node too */
void swim_each(const struct swim *s, bool (*fn)(void *arg, const struct member *m), void *arg);

#endif
