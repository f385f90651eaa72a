/* sim/data: a cluster of whole servers in virtual time, from one seed: clients write and read,
 * nodes and links fail; after the last fault every answered write must be on every replica, once.
 *
 *     struct data_result r;
 *     if (!data_run(&(struct data_options){.seed = 7}, &r))
 *         puts(r.why);
 *
 * What runs is src/server.c with all that stands on it (workers, writer, senders, receivers, logs,
 * hints), over data_os.h and a model of the store (data_store.h). Not simulated: dyn-admin and
 * HTTP; membership runs only with GOSSIP=1.
 *
 * Keys are of these kinds:
 *     SET       SET and UNLINK by any coordinator: the one with the highest stamp stays
 *     COUNTER   INCR by any coordinator: as many as were answered
 *     LIST      APPEND by one connection: each piece once, in that order
 *     MIXED     SET, INCR, APPEND, DEL by one connection: what they give one after the other
 * and before an external store:
 *     POOL      SADD, SPOP by one connection: what was put in and not taken out
 *     SCRIPT    EVAL by one connection: the same everywhere, whatever the client was told; each
 *               answered piece, with the letter that the script chose
 * What comes out of the last two is sure only where one node ran all of it (data_check.c).
 * A key is left out where a write of it got no answer, or one that says that it may have an effect
 * (left_out); and where a log refused or lost a write and may: a cap, a power cut, a node that was
 * replaced (repair). A write whose answer says that nothing was written must not be anywhere. */
#ifndef SIM_DATA_H
#define SIM_DATA_H

#include <stdbool.h>
#include <stdint.h>

/* What is broken on purpose, so that it is seen that the checks find it. */
enum data_damage {
    DAMAGE_NONE,
    DAMAGE_CUT,     /* read repair believes that nothing is on its way any more */
    DAMAGE_NUMBERS, /* a receiver doesn't look at numbers, a sender goes on from what was
                       acknowledged */
    DAMAGE_EARLY,   /* a write counts as logged a little before it is */
    DAMAGE_FORGET,  /* a restart forgets the first hint of a log */
    DAMAGE_STAMPS,  /* stamps aren't compared */
    DAMAGE_SENT,    /* what was sent counts as acknowledged */
    DAMAGE_QUORUM,  /* a write at DC_QUORUM is answered at the first word */
    DAMAGE_FOREIGN, /* a replica of another datacenter counts for a quorum */
    DAMAGE_EFFECT,  /* what a script has done stays where it ran */
    DAMAGE_OWN,     /* a connection forgets who has what it has written */
    DAMAGE_DOWN,    /* one that is down counts for a quorum as if it had answered */
    DAMAGES
};
const char *data_damage_name(enum data_damage d);

struct data_options {
    uint64_t seed;
    enum data_damage damage;
    bool show; /* the servers' logs and what the director does */
};

struct data_result {
    char why[512]; /* what is wrong; "": nothing */
    unsigned nodes, writes, reads, answered, refused, unanswered, keys, checked, left_out, repair;
    unsigned faults, quorum_reads, hedged;
    uint64_t trace, virtual_ms;
};
bool data_run(const struct data_options *o, struct data_result *r);

#endif
