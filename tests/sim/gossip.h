/* sim/gossip: any number of gossip nodes, each the core that a server has (gossip/swim), on the
 * simulated network, and what an all-knowing observer sees of them. Messages go through the codec's
 * bytes, one datagram each: that is harsher than the connections of a server.
 *
 *     struct gossip_sim *g = gossip_sim_new(&options, seed);
 *     gossip_sim_run(g, 10000);
 *     gossip_watch(g, 7, GOSSIP_WATCH_DOWN);
 *     gossip_kill(g, 7);
 *     gossip_run_until(g, gossip_all_saw, 60000);
 *
 * Times are in ms of true time since the start, but where they say us. What a server's gossip actor
 * does is done here as well: it dials seeds until the node is settled and now and then later, calls
 * swim_tick when it is due, and keeps id, start mark and place over restarts. */
#ifndef SIM_GOSSIP_H
#define SIM_GOSSIP_H

#include "gossip/swim.h"
#include "net.h"

struct gossip_sim_options {
    unsigned nodes;     /* that live from the start */
    unsigned nodes_max; /* room for those that come later; 0: none do */
    bool agreed;        /* they start as a ring that has agreed; else they start within a second and
                           find each other */
    unsigned racks;     /* 0: 3 */
    unsigned seeds;     /* the first so many nodes are everybody's seeds; 0: 3 */
    uint64_t interval_ms; /* 0: 1000 */
    unsigned tapes;       /* so many of the nodes of an agreed start have what they are told kept */
    struct net_options net;
};

/* A LAN: 0.2 to 1 ms, nothing is lost. */
extern const struct net_options gossip_lan;

struct gossip_sim;
struct gossip_sim *gossip_sim_new(const struct gossip_sim_options *o, uint64_t seed) MUST_USE;
void gossip_sim_free(struct gossip_sim *g);
struct net *gossip_net(struct gossip_sim *g); /* for cuts, pauses, clocks; a gossip node has the
                                                 same number there */
struct chance *gossip_chance(struct gossip_sim *g);
unsigned gossip_count(const struct gossip_sim *g); /* of nodes, dead ones too */
uint64_t gossip_now(const struct gossip_sim *g);
/* NULL while it is dead. */
struct swim *gossip_core(const struct gossip_sim *g, unsigned node);
const char *gossip_id(const struct gossip_sim *g, unsigned node);
const char *gossip_address(const struct gossip_sim *g, unsigned node);

/* ---- what happens to nodes --------------------------------------------------------------------
 */

/* A new node, which starts now and knows only its seeds. */
unsigned gossip_add(struct gossip_sim *g);
/* As gossip_add, with the place (rack and token) of another one: a replacement, or a collision. */
unsigned gossip_add_at(struct gossip_sim *g, unsigned place_of);
/* A copy of another one's data directory is started elsewhere: two processes with one id. Kill it
 * before you ask whether all agree. */
unsigned gossip_add_twin(struct gossip_sim *g, unsigned of);
void gossip_kill(struct gossip_sim *g, unsigned node);
/* A clean shutdown. */
void gossip_stop(struct gossip_sim *g, unsigned node);
/* A node that is dead starts again, on another address if `move`. */
void gossip_restart(struct gossip_sim *g, unsigned node, bool move);
/* Two dead nodes have each other's address when they start again. */
void gossip_swap_addresses(struct gossip_sim *g, unsigned a, unsigned b);
void gossip_pause(struct gossip_sim *g, unsigned node, uint64_t for_ms);
void gossip_set_state(struct gossip_sim *g, unsigned node, enum node_state s);
/* It pauses for `each_ms` again and again, so that it does for `part` of the time on average, until
 * gossip_calm. */
void gossip_pause_often(struct gossip_sim *g, unsigned node, double part, uint64_t each_ms);
/* The end of all faults: no cut, no loss, no pause; delays as on a LAN. */
void gossip_calm(struct gossip_sim *g);
/* Bytes from nowhere, at once: the payload of a message as the codec reads it. */
void gossip_inject(struct gossip_sim *g, unsigned node, const Gossip *m);

void gossip_sim_run(struct gossip_sim *g, uint64_t for_ms);
/* Looks each 10 ms whether it is so; how many ms it took, UINT64_MAX: it wasn't within for_ms. */
typedef bool gossip_question(const struct gossip_sim *g);
uint64_t gossip_run_until(struct gossip_sim *g, gossip_question *is_so, uint64_t for_ms);

/* ---- what is seen -----------------------------------------------------------------------------
 */

/* All that live have the same list, and it is true: who lives has the state that it says, at its
 * place, and who is dead is DOWN or has left. */
gossip_question gossip_all_agree;
/* Prints where the lists differ from the truth, a few lines of it. */
void gossip_print_differences(const struct gossip_sim *g);

enum gossip_watch { GOSSIP_WATCH_NONE, GOSSIP_WATCH_DOWN, GOSSIP_WATCH_JOINED };
/* From now on: who sees that this node is DOWN, or has come. */
void gossip_watch(struct gossip_sim *g, unsigned node, enum gossip_watch what);
/* All others that live have seen it since. */
gossip_question gossip_all_saw;
struct gossip_sight {
    unsigned seen, unseen;
    uint64_t first_us, last_us; /* since gossip_watch */
};
struct gossip_sight gossip_sight(const struct gossip_sim *g);

/* A death is false if its node lives, runs and hasn't said it; only the first word of each
 * incarnation counts. */
struct gossip_figures {
    uint64_t messages, bytes; /* sent; a message's bytes are those of its frame, proof included */
    uint64_t largest;         /* bytes */
    uint64_t false_deaths;    /* of a node that runs */
    uint64_t woken_deaths;    /* as well, but it had woken from a pause less than a second ago */
    uint64_t paused_deaths;   /* of a node that was paused just then */
    uint64_t refused, taken, twice; /* events */
};
const struct gossip_figures *gossip_figures(const struct gossip_sim *g);
/* What each of these nodes, which are on tape, spends on its core, ns of CPU time on average since
 * the start. Once for each node. */
double gossip_tape_ns(struct gossip_sim *g, unsigned first, unsigned n);
/* What was counted so far is forgotten. */
void gossip_count_anew(struct gossip_sim *g);
/* Prints each false death and each refusal. */
void gossip_be_loud(struct gossip_sim *g);

#endif
