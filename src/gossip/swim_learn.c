/* What a word that was heard changes. */
#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <stdio.h>
#include <string.h>

#define FIGHTS_MAX   8u   /* times that this node takes a newer incarnation than its double's */
#define VERIFY_MAX   256u /* an interval: deaths that others report and that are asked about */
#define MOVED_LATELY 2u   /* intervals in which a message from the old address may be a late one */

struct seat *learn_seat(const GossipMember *m)
{
    const GossipPlace *p = m->place;
    if (!p)
        return NULL;
    return seat_get(m->id.data, &(struct member_place){.address = p->address,
                                                       .datacenter = p->datacenter,
                                                       .rack = p->rack,
                                                       .tokens = p->tokens,
                                                       .ntokens = p->n_tokens,
                                                       .version = p->version});
}

/* ---- a word becomes its member's ---------------------------------------------------------------
 */

struct rival {
    struct swim *s;
    const struct seat *place; /* NULL: any; else only who has just this one */
    bool alive;
    struct entry *found;
};

static bool is_rival(void *arg, const struct seat *seat)
{
    struct rival *r = arg;
    struct entry *e = members_at(&r->s->m, seat->name->number);
    if (!e || e->word->seat != seat || e->word->said == NODE_RESET ||
        (word_state(e->word) != NODE_DOWN) != r->alive ||
        (r->place && r->place->where != seat->where))
        return false;
    r->found = e;
    return true;
}

struct entry *learn_rival(struct swim *s, const struct seat *t)
{
    struct rival r = {.s = s, .alive = true};
    seat_rivals(t, is_rival, &r);
    return r.found;
}

struct entry *learn_predecessor(struct swim *s, const struct seat *t)
{
    struct rival r = {.s = s, .place = t};
    seat_rivals(t, is_rival, &r);
    return r.found;
}

/* Two live nodes with one token, which a partition can bring about: who has run for longer keeps
 * it, on each side. */
static bool is_senior(const struct word *a, const struct word *b)
{
    const uint64_t x = a->incarnation >> 32, y = b->incarnation >> 32;
    return x != y ? x < y : memcmp(a->seat->name->id, b->seat->name->id, GOSSIP_ID) < 0;
}

/* A token has one owner in a rack. */
static bool is_taken(struct swim *s, const struct word *w, const struct entry *old)
{
    char reason[200], id[NODE_ID_SIZE];
    if (word_state(w) == NODE_DOWN || w->said == NODE_RESET)
        return false;
    const enum node_state was = old ? word_state(old->word) : NODE_DOWN;
    if (was != NODE_DOWN && was != NODE_RESET && old->word->seat->where == w->seat->where)
        return false;
    const struct entry *owner = learn_rival(s, w->seat);
    if (!owner)
        return false;
    if (is_senior(w, owner->word))
        return false;
    gossip_id_write(owner->word->seat->name->id, id);
    snprintf(reason, sizeof reason, "a token of it belongs to %s at %.100s, which lives", id,
             owner->word->seat->place.address);
    swim_refuse(s, w, reason);
    return true;
}

static void tell_change(struct swim *s, const struct entry *e, const struct word *before,
                        const char *reason)
{
    if (!before) {
        swim_event(s, SWIM_JOINED, e, e->word, NODE_UNKNOWN, reason);
        return;
    }
    if (before->seat != e->word->seat)
        swim_event(s, SWIM_PLACE, e, e->word, word_state(before), reason);
    if (word_state(before) != word_state(e->word) || before->said != e->word->said)
        swim_event(s, SWIM_STATE, e, e->word, word_state(before), reason);
}

static void put(struct swim *s, struct word *w, const char *reason, bool tell)
{
    struct entry *e = members_at(&s->m, w->seat->name->number);
    if (e)
        suspect_end(s, e);
    struct word *before = e ? word_ref(e->word) : NULL;
    e = members_put(&s->m, w, s->now);
    s->sync_gap = 0;
    tell_change(s, e, before, reason);
    if (s->settled && tell)
        spread_add(s, e, !before || before->seat != w->seat);
    word_unref(before);
}

/* A node that is DOWN whose place another one has now is gone for good. Each node sees that for
 * itself; a tombstone isn't in the sums, so it doesn't matter when. */
static void bury(struct swim *s, struct entry *dead)
{
    const struct word *w = dead->word;
    concern_drop(s, dead);
    put(s, word_get(w->seat, w->incarnation, NODE_RESET, CLAIM_DEAD, w->serves),
        "another node has its place", false);
}

/* Of two that are DOWN at one place the one that started later had it last. Who has seen it live
 * knows; to whoever hears of both only now, it must be the same one. */
static void replace_dead(struct swim *s, struct entry *e)
{
    const struct entry *heir = learn_rival(s, e->word->seat);
    struct entry *other = learn_predecessor(s, e->word->seat);
    if (heir && heir->word->seat->where == e->word->seat->where)
        bury(s, e);
    else if (other)
        bury(s, is_senior(e->word, other->word) ? e : other);
}

void learn_replace(struct swim *s, const struct word *w)
{
    if (w->said == NODE_RESET)
        return;
    if (word_state(w) == NODE_DOWN) {
        replace_dead(s, members_at(&s->m, w->seat->name->number));
        return;
    }
    struct entry *other;
    while ((other = learn_rival(s, w->seat)) || (other = learn_predecessor(s, w->seat)))
        if (other->word == s->mine) {
            join_again(s, w);
            return;
        } else
            bury(s, other);
}

bool learn_take(struct swim *s, struct word *w, const char *reason)
{
    struct entry *e = members_at(&s->m, w->seat->name->number);
    if (is_taken(s, w, e)) {
        word_unref(w);
        return false;
    }
    if (!e && s->m.n >= s->members_max) {
        swim_refuse(s, w, "the list of members is full");
        word_unref(w);
        return false;
    }
    if (!e)
        rumour_forget(s, w->seat->name->id);
    put(s, w, reason, true);
    learn_replace(s, w);
    return true;
}

/* ---- hearsay -----------------------------------------------------------------------------------
 */

static void want(struct teller *t, const uint8_t *id)
{
    if (t->nwant < DRAFT_MEMBERS)
        memcpy(t->want + GOSSIP_ID * t->nwant++, id, GOSSIP_ID);
}

static void learn_unknown(struct swim *s, const GossipMember *m, struct teller *t)
{
    if (m->state == NODE_RESET)
        return;
    struct seat *seat = learn_seat(m);
    if (!seat) {
        want(t, m->id.data);
        return;
    }
    const enum claim claim = m->claim == CLAIM_SUSPECT ? CLAIM_NONE : (enum claim)m->claim;
    struct word *w = word_get(seat, m->incarnation, (enum node_state)m->state, claim, m->serves);
    seat_unref(seat);
    if (t->trusted)
        learn_take(s, w, "heard when this node joined");
    else
        rumour_heard(s, w, t);
}

/* Others say something else of a member under the same incarnation, and it isn't clear who is late.
 * It is told what is said of it, so that it says how it is. */
void learn_ask_itself(struct swim *s, const struct word *w, enum claim claim)
{
    if (s->now >= s->verify_from + s->interval) {
        s->verify_from = s->now;
        s->verify_left = VERIFY_MAX;
    }
    if (!s->verify_left)
        return;
    s->verify_left--;
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_PING, NOBODY);
    d.m.has_seq = true;
    d.m.seq = ++s->seq;
    draft_add(&d, w, claim, 0, false);
    draft_send(s, &d, w->seat->place.address);
}

/* Lists differ, and the other one says that a member is dead which isn't for this node. Maybe it is
 * only late, or was cut off. */
static void verify(struct swim *s, const struct entry *e)
{
    learn_ask_itself(s, e->word, CLAIM_DEAD);
    if (s->nprobes < PROBES_MAX / 4)
        probe_start(s, e->word->seat->name->number);
}

/* It was replaced, as this node sees it, and others say that it lives. */
static bool was_buried(const struct word *heard, const struct word *known)
{
    return word_is_buried(known) && word_state(heard) != NODE_DOWN && heard->said != NODE_RESET &&
           heard->incarnation == known->incarnation;
}

static const char *why(enum claim claim)
{
    switch (claim) {
    case CLAIM_DEAD:
        return "others don't reach it";
    case CLAIM_STOPPED:
        return "it has said goodbye";
    default:
        return "by its own word";
    }
}

static void learn_known(struct swim *s, const GossipMember *m, struct teller *t, struct entry *e)
{
    if (m->incarnation < e->word->incarnation)
        return;
    struct seat *seat = learn_seat(m);
    if (!seat && m->place_hash == e->word->seat->in.hash)
        seat = seat_ref(e->word->seat);
    if (!seat) {
        want(t, m->id.data);
        return;
    }
    const enum claim claim = (enum claim)m->claim;
    const enum claim kept = claim == CLAIM_SUSPECT || m->state == NODE_RESET ? CLAIM_NONE : claim;
    struct word *w = word_get(seat, m->incarnation, (enum node_state)m->state, kept, m->serves);
    seat_unref(seat);
    if (t->number == w->seat->name->number && w->incarnation > e->word->incarnation &&
        !twins_moved(s, e, w->seat->place.address)) {
        word_unref(w);
        return;
    }
    const bool asked = t->trusted && !s->settled && m->incarnation == e->word->incarnation;
    if (w == e->word || (!word_beats(w, e->word) && !asked)) {
        if (was_buried(w, e->word))
            learn_ask_itself(s, e->word, CLAIM_NONE);
        word_unref(w);
    } else if (kept == CLAIM_DEAD && !t->news && s->settled && !e->word->claim &&
               w->incarnation == e->word->incarnation) {
        verify(s, e);
        word_unref(w);
    } else if (!learn_take(s, w, why(kept)))
        return;
    if (claim == CLAIM_SUSPECT && m->incarnation == e->word->incarnation)
        suspect(s, e, m->by, m->n_by);
}

void learn(struct swim *s, const GossipMember *m, struct teller *t)
{
    if (memcmp(m->id.data, s->mine->seat->name->id, GOSSIP_ID) == 0) {
        learn_of_self(s, m);
        return;
    }
    struct entry *e = members_find(&s->m, m->id.data);
    if (!e) {
        learn_unknown(s, m, t);
        return;
    }
    learn_known(s, m, t, e);
    e = members_find(&s->m, m->id.data);
    if (m->clock > e->clock)
        e->clock = m->clock;
}

/* ---- this node itself --------------------------------------------------------------------------
 */

void learn_twin(struct swim *s, const char *address, uint64_t incarnation)
{
    char reason[200];
    snprintf(reason, sizeof reason, "another process has this node's id, at %.100s", address);
    if (twins_may_be_told(s))
        swim_event(s, SWIM_TWICE, members_at(&s->m, swim_number(s)), s->mine, NODE_UNKNOWN, reason);
    if (incarnation < s->mine->incarnation || s->fights == FIGHTS_MAX)
        return;
    s->fights++;
    swim_say(s, incarnation + 1, (enum node_state)s->mine->said, (enum claim)s->mine->claim,
             s->mine->serves);
}

/* What others say of this node. Where it is wrong, the truth goes out under a newer incarnation. */
void learn_of_self(struct swim *s, const GossipMember *m)
{
    if (m->incarnation < s->mine->incarnation || s->stopped)
        return;
    if (m->place_hash != s->mine->seat->in.hash) {
        const bool own = m->place && strcmp(m->place->address, s->mine->seat->place.address) == 0;
        if (own || m->claim == CLAIM_DEAD || m->claim == CLAIM_STOPPED) /* the double has died */
            swim_say(s, m->incarnation + 1, (enum node_state)s->mine->said, CLAIM_NONE,
                     s->mine->serves);
        else
            learn_twin(s, m->place ? m->place->address : "another address", m->incarnation);
        return;
    }
    if (m->incarnation == s->mine->incarnation && !m->claim && m->state == s->mine->said)
        return;
    if (m->claim == CLAIM_SUSPECT)
        swim_sicker(s);
    swim_say(s, m->incarnation + 1, (enum node_state)s->mine->said, CLAIM_NONE, s->mine->serves);
}

/* ---- the sender of a message -------------------------------------------------------------------
 */

/* A member tells of itself with each message. */
void learn_from_sender(struct swim *s, const Gossip *m, struct entry *e)
{
    const GossipMember *f = m->from;
    if (f->clock > e->clock)
        e->clock = f->clock;
    if (strcmp(m->address, e->word->seat->place.address) == 0)
        twins_answered(s, e);
    if (f->incarnation <= e->word->incarnation) {
        if (f->incarnation == e->word->incarnation && f->place_hash == e->word->seat->in.hash)
            return;
        if (strcmp(m->address, e->word->seat->place.address) != 0 &&
            (uint32_t)s->now - e->placed >= MOVED_LATELY * s->interval)
            twins_tell(s, e, m->address);
        return;
    }
    struct teller t;
    teller_init(&t, e->word->seat->name->number, true);
    learn_known(s, f, &t, e);
    if (!t.nwant)
        return;
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_PING, NOBODY);
    d.m.has_seq = d.m.has_show = d.m.show = true;
    d.m.seq = ++s->seq;
    draft_send(s, &d, m->address);
}
