/* gossip/words: what is said of members, each thing kept once in the process, counted, immutable:
 *
 *     word: incarnation, state, claim --> seat: address, rack, tokens --> name: the id, a number
 *
 * A node's table of members has a pointer for each (gossip/members), so nodes of one process (a
 * simulation) that agree share all of it. The numbers are dense: given again when the name is gone.
 * The tables behind are the process's, without a lock: one thread. */
#ifndef GOSSIP_WORDS_H
#define GOSSIP_WORDS_H

#include "gossip/swim.h"

#define GOSSIP_ID 16 /* bytes of an id in messages and here */

/* What is said on top of a member's own state. With one incarnation the later word wins. */
enum claim {
    CLAIM_NONE,
    CLAIM_SUSPECT, /* only in messages: no word is made of it */
    CLAIM_DEAD,    /* nobody reaches it */
    CLAIM_STOPPED, /* it said goodbye itself */
    CLAIMS
};

struct intern {
    struct intern *next;
    uint64_t hash;
};

struct name {
    struct intern in;
    unsigned refs;
    uint32_t number;
    uint8_t id[GOSSIP_ID];
};

/* One token of a seat, for finding others that claim it in the same rack. */
struct stake {
    struct intern in;
    const struct seat *seat;
};

struct seat {
    struct intern in;
    unsigned refs;
    struct name *name;
    struct member_place place;
    uint64_t where; /* hash of datacenter, rack and tokens: seat_where */
    struct stake *stakes;
};

struct word {
    struct intern in; /* in.hash: what a digest has of it */
    unsigned refs;
    uint8_t said, claim, serves; /* enum node_state, enum claim, bool */
    uint64_t incarnation;
    struct seat *seat;
};

/* Text to bytes; false: it isn't a UUID. */
bool gossip_id_read(const char *text, uint8_t out[GOSSIP_ID]) MUST_USE;
void gossip_id_write(const uint8_t id[GOSSIP_ID], char out[NODE_ID_SIZE]);

/* NULL: nobody in this process knows it. */
const struct name *name_find(const uint8_t id[GOSSIP_ID]);

/* The caller has one reference. Copies. */
struct seat *seat_get(const uint8_t id[GOSSIP_ID], const struct member_place *place);
struct seat *seat_ref(struct seat *t);
void seat_unref(struct seat *t);
uint64_t seat_where(const struct member_place *place);
/* Calls `fn` for each seat of another name that has one of the tokens of `t` in its rack, until it
 * says true. */
bool seat_rivals(const struct seat *t, bool (*fn)(void *arg, const struct seat *rival), void *arg);

struct word *word_get(struct seat *t, uint64_t incarnation, enum node_state said, enum claim claim,
                      bool serves);
struct word *word_ref(struct word *w);
void word_unref(struct word *w); /* NULL is fine */

/* Its place is another's, as this node sees it. Others see for themselves: it isn't told. */
static inline bool word_is_buried(const struct word *w)
{
    return w->said == NODE_RESET && w->claim == CLAIM_DEAD;
}
static inline enum node_state word_state(const struct word *w)
{
    return w->claim && w->said != NODE_RESET ? NODE_DOWN : (enum node_state)w->said;
}
/* Does `a` win over `b`, which is about the same name? The newest incarnation does; with the same
 * one, who has left has left, and the claim that somebody makes counts more than silence. What is
 * left are two processes with one id: any order will do that is everybody's. */
bool word_beats(const struct word *a, const struct word *b);

#endif
