/* gossip/swim, inside: the state that its files share, and what each of them does for the others.
 *
 *     swim.c          the calls, the tick, pauses, what this node says of itself
 *     swim_receive    a message that comes in
 *     swim_message    a message that goes out
 *     swim_spread     news, told by piggy-back and in rounds of their own
 *     swim_probe      probes, direct and through others
 *     swim_suspect    suspicions and their time
 *     swim_learn      what a word that was heard changes
 *     swim_twins      two processes with one id
 *     swim_rumour     names that nobody whom this node trusts has reached yet
 *     swim_exchange   lists that differ
 *     swim_join       from the first contact until this node is settled
 *     swim_check      is a message well formed? */
#ifndef GOSSIP_SWIM_INTERNAL_H
#define GOSSIP_SWIM_INTERNAL_H

#include "gossip/members.h"
#include "proto/gossip.pb-c.h"

#define NOBODY UINT32_MAX /* no member's number */

#define GOSSIP_TEXT_MAX   271u  /* bytes of an address, a rack, a datacenter */
#define GOSSIP_TOKENS_MAX 4096u /* of one member */

#define HEALTH_MAX     8u
#define PROBES_MAX     64u
#define RELAYS_MAX     64u
#define RUMOURS_MAX    1024u
#define CONFIRMERS_MAX 4u /* of a suspicion: the one who began it and three more */
#define SENDS_MAX      32u
#define ASKED_MAX      64u

/* What there is to do about a member. */
struct concern {
    uint32_t number;
    bool used;
    /* as news: a list for each number of times that it was told */
    bool news, with_place;
    uint8_t sends;
    uint32_t prev, next; /* index + 1 */
    /* as a suspect */
    bool suspected, called;
    uint8_t nby;
    uint32_t by[CONFIRMERS_MAX];
    uint32_t at; /* in swim.suspects */
    uint32_t call;
    uint64_t started, deadline;
};

struct probe {
    uint32_t number, seq;
    uint64_t started, next;
    bool indirect;
    unsigned asked, nacks;
};

/* A ping for somebody else. */
struct relay {
    uint32_t origin, origin_seq, target, seq;
    uint64_t next;
    bool nacked;
};

struct rumour {
    uint8_t id[GOSSIP_ID];
    struct word *word; /* NULL: it wrote itself, and we know only its address */
    char *address;
    uint32_t teller; /* NOBODY: it wrote itself */
    uint32_t seq;    /* of our ping; 0: none yet */
    uint64_t next, end;
};

/* A member that says that it is at another address now, while the one that is known may live. */
struct move {
    uint32_t number;
    unsigned asked; /* so many times without an answer */
    bool answered;  /* the old address, since it was asked last */
    uint64_t asked_at;
};
#define MOVES_MAX 16u

/* An address that swim_contact was given. */
struct asked {
    char *address;
    uint32_t seq;
    bool whole;        /* we had no list yet: what it answers is believed */
    uint64_t first;    /* when it was asked for the first time */
    uint64_t answered; /* the last time; 0: never */
    bool mine;         /* it was this node itself that answered */
    bool listed;       /* and lists this node's place */
    bool serves;       /* it has taken a client's write */
    bool member;       /* it is settled */
    uint8_t id[GOSSIP_ID];
    uint64_t parts; /* bits of what came of its list */
};

struct swim {
    struct swim_sink sink;
    char *cluster;
    uint64_t interval, random, now;
    unsigned members_max;
    uint64_t *listed; /* seat_where, ascending */
    size_t nlisted;

    struct members m;
    struct word *mine;
    uint64_t clock;
    bool settled, stopped;
    enum node_state first_state; /* when it settles: NORMAL, or STANDBY */
    uint64_t twins_next;         /* when word of doubles goes out again */
    unsigned fights;             /* incarnations taken to beat another process of this id */
    struct member self_view, view[4];
    unsigned views;

    unsigned health; /* Lifeguard's local health: 0 is fine */
    uint32_t seq;
    uint64_t next_probe;
    struct probe probes[PROBES_MAX];
    unsigned nprobes;
    struct relay relays[RELAYS_MAX];
    unsigned nrelays;

    struct concern *concerns;
    uint32_t nconcerns, concerns_cap, concerns_free; /* free: index + 1, chained by next */
    uint32_t first[SENDS_MAX + 1];                   /* news by times told: index + 1 */
    unsigned news;
    uint64_t next_spread, last_spread;
    uint32_t *suspects; /* concerns */
    uint32_t nsuspects, suspects_cap;
    uint64_t suspects_due;

    struct rumour *rumours;
    unsigned nrumours, rumours_cap;
    uint64_t rumours_due;

    uint64_t last_sync, next_sync, sync_gap;
    unsigned verify_left;
    uint64_t verify_from;

    bool welcomed; /* a whole list was received */
    struct asked *asked;
    unsigned nasked;
    struct move moves[MOVES_MAX];
    unsigned nmoves;
};

/* ---- swim.c */
uint64_t swim_random(struct swim *s);
uint64_t swim_random_to(struct swim *s, uint64_t bound); /* 0 .. bound - 1 */
/* A member that can be expected to answer, and isn't this node nor `but`; NOBODY: none was found.
 */
uint32_t swim_pick(struct swim *s, uint32_t but);
uint32_t swim_number(const struct swim *s); /* this node's */
/* It is `now`; each call begins with it. */
void swim_at(struct swim *s, uint64_t now);
/* This node's word from now on; told at once when it is settled. */
void swim_say(struct swim *s, uint64_t incarnation, enum node_state said, enum claim claim,
              bool serves);
void swim_view(const struct entry *e, const struct word *w, struct member *out);
void swim_event(struct swim *s, enum swim_event_type type, const struct entry *e,
                const struct word *w, enum node_state before, const char *reason);
void swim_refuse(struct swim *s, const struct word *about, const char *reason);
void swim_healthier(struct swim *s);
void swim_sicker(struct swim *s);
bool swim_lists(const struct swim *s, const struct seat *t);

/* ---- swim_message: what goes out; lives on the stack of whoever sends */
#define DRAFT_MEMBERS 256u
#define DRAFT_BYTES   (384u * 1024)
struct draft {
    Gossip m;
    GossipMember from;
    GossipPlace from_place;
    size_t bytes;
    GossipMember *ptr[DRAFT_MEMBERS];
    GossipMember member[DRAFT_MEMBERS];
    GossipPlace place[DRAFT_MEMBERS];
};
/* To a member (or NOBODY): says what it should know about itself. */
void draft_begin(struct swim *s, struct draft *d, GossipType type, uint32_t to);
void draft_show(struct swim *s, struct draft *d); /* with this node's place */
bool draft_full(const struct draft *d);
void draft_add(struct draft *d, const struct word *w, enum claim claim, uint64_t clock,
               bool with_place);
void draft_target(struct draft *d, const struct name *name);
void draft_send(struct swim *s, struct draft *d, const char *address);
void draft_send_to(struct swim *s, struct draft *d, uint32_t number);

/* ---- swim_spread */
#define NEWS_ON_PROBE 24u
struct concern *concern_of(struct swim *s, struct entry *e); /* made when there is none */
struct concern *concern_find(const struct swim *s, const struct entry *e);
void concern_rest(struct swim *s, struct concern *c); /* gives it back when nothing is left to do */
void concern_drop(struct swim *s, struct entry *e);
void spread_add(struct swim *s, struct entry *e, bool with_place);
void spread_into(struct swim *s, struct draft *d, unsigned max);
void spread_round(struct swim *s);

/* ---- swim_probe */
void probe_start(struct swim *s, uint32_t number);
void probe_next(struct swim *s);
void probe_tick(struct swim *s);
uint64_t probe_due(const struct swim *s);
void probe_ping(struct swim *s, const Gossip *m, uint32_t from);
void probe_ask(struct swim *s, const Gossip *m, uint32_t from);
void probe_ack(struct swim *s, const Gossip *m, uint32_t from);
void probe_nack(struct swim *s, const Gossip *m);
void probe_forget(struct swim *s); /* all that is waited for */

/* ---- swim_suspect */
void suspect(struct swim *s, struct entry *e, const uint32_t *by, size_t nby);
void suspect_self_evident(struct swim *s, struct entry *e); /* this node's own probe failed */
void suspect_end(struct swim *s, struct entry *e);
void suspect_ack(struct swim *s, struct entry *e, uint32_t seq);
void suspect_alive(struct swim *s, struct entry *e, uint64_t asked_at);
void suspect_tick(struct swim *s);
void suspect_anew(struct swim *s);

/* ---- swim_twins */
bool twins_may_be_told(struct swim *s); /* it was told long enough ago */
/* To both of them, and to the actor. */
void twins_tell(struct swim *s, const struct entry *e, const char *other);
/* The member says itself that it is at this address now: is that so? If it lives, its old address
 * is asked first. */
bool twins_moved(struct swim *s, const struct entry *e, const char *address);
void twins_answered(struct swim *s, const struct entry *e); /* its old address has */

/* ---- swim_learn */
void learn_ask_itself(struct swim *s, const struct word *w, enum claim claim);
struct teller {
    uint32_t number; /* NOBODY: a contact that isn't a member yet */
    bool news;       /* it spreads; else it comes from a comparison of lists */
    bool trusted;    /* this node knew nobody and asked: what it is told is its list */
    bool refused;    /* a name of its was refused: no more of them */
    size_t nwant;    /* ids whose place it has to be asked for */
    uint8_t want[GOSSIP_ID * DRAFT_MEMBERS];
};
static inline void teller_init(struct teller *t, uint32_t number, bool news)
{
    t->number = number;
    t->news = news;
    t->trusted = t->refused = false;
    t->nwant = 0; /* and want[] stays as it is: it is large */
}
void learn(struct swim *s, const GossipMember *m, struct teller *t);
/* Makes the word its member's, a new member of it; false: a token of it belongs to another. */
bool learn_take(struct swim *s, struct word *w, const char *reason);
void learn_from_sender(struct swim *s, const Gossip *m, struct entry *e);
/* The place as the message has it; NULL: it has none. The caller has a reference. */
struct seat *learn_seat(const GossipMember *m);
/* A live member of another name that owns one of its tokens; NULL: none. */
struct entry *learn_rival(struct swim *s, const struct seat *t);
/* A member that is DOWN and had just this place: who comes there replaces it. NULL: none. */
struct entry *learn_predecessor(struct swim *s, const struct seat *t);
/* Who has this place now, and who had it. */
void learn_replace(struct swim *s, const struct word *w);
void learn_of_self(struct swim *s, const GossipMember *m);
void learn_twin(struct swim *s, const char *address, uint64_t incarnation);

/* ---- swim_rumour */
void rumour_wrote(struct swim *s, const Gossip *m); /* a stranger sent a message */
void rumour_heard(struct swim *s, struct word *w, struct teller *t);
bool rumour_ack(struct swim *s, const Gossip *m); /* it answered: a member from now on */
void rumour_forget(struct swim *s, const uint8_t id[GOSSIP_ID]);
void rumour_tick(struct swim *s);
void rumour_fini(struct swim *s);

/* ---- swim_exchange */
void exchange_compare(struct swim *s, const Gossip *m, uint32_t from);
void exchange_now(struct swim *s); /* with some, whatever was before */
void exchange_sums(struct swim *s, struct draft *d);
void exchange_sync(struct swim *s, const Gossip *m);
void exchange_digest(struct swim *s, const Gossip *m, uint32_t from);
void exchange_words(struct swim *s, const Gossip *m, uint32_t from);
void exchange_members(struct swim *s, const Gossip *m, struct teller *t);

/* ---- swim_join */
void join_contact(struct swim *s, const char *address);
void join_contacted(struct swim *s, const Gossip *m);
void join_welcome(struct swim *s, const Gossip *m, uint32_t from);
void join_tick(struct swim *s);
uint64_t join_due(const struct swim *s);
void join_listed(struct swim *s);
void join_mine(struct swim *s, const Gossip *m); /* a message of this node itself came back */
/* This node's place is another's, by this word: it is out, until a contact lets it in again. */
void join_again(struct swim *s, const struct word *owner);
void join_fini(struct swim *s);

/* ---- swim_check: NULL when it is well formed, or what is wrong */
const char *check_message(const struct swim *s, const Gossip *m, uint64_t wall_ms);

#endif
