/* Names that came by hearsay. One becomes a member when it answers this node, or when two members
 * speak of it: one that is mistaken, or lies, can't bring names that don't exist. */
#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <string.h>

#define LIFE          10u /* intervals */
#define DEAD_BELIEVED 3u  /* intervals until one member's word of a dead one is taken */
#define REFUSED       2u  /* intervals until one that wasn't taken is asked again */
#define OF_ONE        (RUMOURS_MAX / 4)
#define FIRST_DELAY                                                                                \
    5u /* the part of an interval, at most, before the first ping of 100 members                   \
        */

static struct rumour *find(const struct swim *s, const uint8_t id[GOSSIP_ID])
{
    for (unsigned i = 0; i < s->nrumours; i++)
        if (memcmp(s->rumours[i].id, id, GOSSIP_ID) == 0)
            return &s->rumours[i];
    return NULL;
}

static void drop(struct swim *s, struct rumour *r)
{
    word_unref(r->word);
    mem_free(r->address);
    *r = s->rumours[--s->nrumours];
}

void rumour_forget(struct swim *s, const uint8_t id[GOSSIP_ID])
{
    struct rumour *r = find(s, id);
    if (r)
        drop(s, r);
}

void rumour_fini(struct swim *s)
{
    while (s->nrumours)
        drop(s, &s->rumours[s->nrumours - 1]);
    mem_free(s->rumours);
}

/* Where all places are in use, one goes by chance: so one that floods can't keep others out. */
static struct rumour *add(struct swim *s, const uint8_t id[GOSSIP_ID], const char *address)
{
    if (s->nrumours == RUMOURS_MAX)
        drop(s, &s->rumours[swim_random_to(s, s->nrumours)]);
    if (s->nrumours == s->rumours_cap) {
        s->rumours_cap = s->rumours_cap ? 2 * s->rumours_cap : 4;
        s->rumours = mem_realloc(s->rumours, s->rumours_cap * sizeof *s->rumours);
    }
    struct rumour *r = &s->rumours[s->nrumours++];
    *r = (struct rumour){.address = mem_strdup(address),
                         .teller = NOBODY,
                         .next = s->now,
                         .end = s->now + LIFE * s->interval};
    memcpy(r->id, id, GOSSIP_ID);
    return r;
}

static void ping(struct swim *s, struct rumour *r)
{
    struct draft d;
    r->seq = ++s->seq;
    r->next = s->now + s->interval / 2;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_PING, NOBODY);
    d.m.has_seq = d.m.has_show = d.m.show = true;
    d.m.seq = r->seq;
    if (r->word && r->word->claim)
        draft_add(&d, r->word, (enum claim)r->word->claim, 0, false);
    draft_send(s, &d, r->address);
}

static void due_at(struct swim *s, uint64_t at)
{
    if (at < s->rumours_due)
        s->rumours_due = at;
}

void rumour_wrote(struct swim *s, const Gossip *m)
{
    struct rumour *r = find(s, m->from->id.data);
    if (!r)
        r = add(s, m->from->id.data, m->address);
    else if (strcmp(r->address, m->address) != 0) {
        mem_free(r->address);
        r->address = mem_strdup(m->address);
        r->seq = 0;
    }
    if (!r->seq || r->next <= s->now)
        ping(s, r);
    due_at(s, r->next);
}

static unsigned told_by(const struct swim *s, uint32_t teller)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->nrumours; i++)
        n += s->rumours[i].teller == teller;
    return n;
}

static void refuse(struct swim *s, struct word *w, struct teller *t)
{
    if (!t->refused)
        swim_refuse(s, w, "a member names too many that nobody has reached yet");
    t->refused = true;
    word_unref(w);
}

/* Only one member is left that knows a dead one: after a while it is believed, so that lists agree
 * again, as long as there is much room. */
static bool is_old_dead(const struct swim *s, const struct rumour *r, const struct word *w,
                        const struct teller *t)
{
    return w->claim && !t->news && r->teller == t->number &&
           s->now + (LIFE - DEAD_BELIEVED) * s->interval >= r->end && s->m.n < s->members_max / 2;
}

void rumour_heard(struct swim *s, struct word *w, struct teller *t)
{
    if (!s->settled || t->refused || s->m.n >= s->members_max) {
        refuse(s, w, t);
        return;
    }
    struct rumour *r = find(s, w->seat->name->id);
    if (w->claim && members_live(&s->m) <= 2) { /* nobody else is left who could know it */
        rumour_forget(s, w->seat->name->id);
        learn_take(s, w, "the only other member speaks of it");
        return;
    }
    if (!r) {
        if (told_by(s, t->number) >= OF_ONE) {
            refuse(s, w, t);
            return;
        }
        r = add(s, w->seat->name->id, w->seat->place.address);
        r->word = w;
        r->teller = t->number;
        s->sync_gap = 0; /* do others know it, too? */
        r->next = s->now + swim_random_to(s, 1 + s->interval * s->m.n / (100 * FIRST_DELAY));
        due_at(s, r->next);
        return;
    }
    if (r->word && r->teller != NOBODY && r->teller != t->number) {
        if (word_beats(r->word, w)) {
            word_unref(w);
            w = word_ref(r->word);
        }
        drop(s, r);
        learn_take(s, w, "two members speak of it");
        return;
    }
    if (is_old_dead(s, r, w, t)) {
        drop(s, r);
        learn_take(s, w, "a member speaks of it again and again");
        return;
    }
    word_unref(r->word);
    r->word = w;
    r->teller = t->number;
}

/* It isn't taken since another has its place: that is news to it. */
static void tell_owner(struct swim *s, const Gossip *m)
{
    struct seat *seat = learn_seat(m->from);
    const struct entry *owner = learn_rival(s, seat);
    seat_unref(seat);
    if (!owner)
        return;
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_NEWS, NOBODY);
    draft_add(&d, owner->word, (enum claim)owner->word->claim, 0, true);
    draft_send(s, &d, m->address);
}

bool rumour_ack(struct swim *s, const Gossip *m)
{
    struct rumour *r = find(s, m->from->id.data);
    if (!r || !r->seq || r->seq != m->seq || !m->from->place)
        return false;
    struct seat *seat = learn_seat(m->from);
    struct word *w = word_get(seat, m->from->incarnation, (enum node_state)m->from->state,
                              (enum claim)m->from->claim, m->from->serves);
    seat_unref(seat);
    if (learn_take(s, w, "it has answered"))
        return true;
    r->next = s->now + REFUSED * s->interval;
    tell_owner(s, m);
    return false;
}

void rumour_tick(struct swim *s)
{
    if (s->now < s->rumours_due)
        return;
    s->rumours_due = UINT64_MAX;
    for (unsigned i = s->nrumours; i-- > 0;) {
        struct rumour *r = &s->rumours[i];
        if (r->end <= s->now) {
            drop(s, r);
            continue;
        }
        if (r->next <= s->now)
            ping(s, r);
        due_at(s, r->next < r->end ? r->next : r->end);
    }
}
