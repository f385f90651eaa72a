/* From the first contact until this node is settled. A contact is an address: who is there answers
 * with its list, whole where the asker knows nobody. Then:
 *
 *     a token is taken by a live member         wait, say so (SWIM_TAKEN)
 *     that member lists this place              NORMAL
 *     it is the place of a member that is DOWN  NORMAL: it replaces that one
 *     nobody in the list serves                 NORMAL
 *     else                                      JOINING
 *
 * At the first start of a cluster nobody is settled, and there is no member to ask. Where all that
 * was asked has answered, and is unsettled, too, those that one of them lists are NORMAL, or else
 * the one with the lowest id, which is then the member that the others ask: at once where none of
 * them has taken a write, else only when those that have stay unsettled. One that is listed
 * waits no longer than PATIENCE for those that don't answer at all. */
#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <string.h>

#define PATIENCE  10u /* intervals */
#define OVERTURE  2u  /* intervals that it listens before it decides without members */
#define PARTS_MAX 64u

static struct asked *find_address(struct swim *s, const char *address)
{
    for (unsigned i = 0; i < s->nasked; i++)
        if (strcmp(s->asked[i].address, address) == 0)
            return &s->asked[i];
    return NULL;
}

static struct asked *find_seq(struct swim *s, uint32_t seq)
{
    for (unsigned i = 0; i < s->nasked; i++)
        if (s->asked[i].seq == seq)
            return &s->asked[i];
    return NULL;
}

void join_fini(struct swim *s)
{
    for (unsigned i = 0; i < s->nasked; i++)
        mem_free(s->asked[i].address);
    mem_free(s->asked);
}

static struct asked *add(struct swim *s, const char *address)
{
    if (s->nasked == ASKED_MAX) {
        mem_free(s->asked[0].address);
        s->asked[0] = s->asked[--s->nasked];
    }
    if (!s->asked)
        s->asked = mem_calloc(ASKED_MAX, sizeof *s->asked);
    struct asked *a = &s->asked[s->nasked++];
    *a = (struct asked){.address = mem_strdup(address), .first = s->now};
    return a;
}

void join_contact(struct swim *s, const char *address)
{
    struct asked *a = find_address(s, address);
    if (!a)
        a = add(s, address);
    a->seq = ++s->seq;
    a->parts = 0;
    a->whole = !s->settled || !s->welcomed;

    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_CONTACT, NOBODY);
    draft_show(s, &d);
    d.m.has_seq = true;
    d.m.seq = a->seq;
    if (!a->whole)
        exchange_sums(s, &d);
    draft_send(s, &d, address);
}

/* ---- the one that is asked ---------------------------------------------------------------------
 */

static void begin_part(struct swim *s, struct draft *d, const Gossip *m, uint32_t part,
                       uint32_t parts)
{
    draft_begin(s, d, GOSSIP_TYPE__GOSSIP_WELCOME, NOBODY);
    draft_show(s, d);
    d->m.has_seq = true;
    d->m.seq = m->seq;
    d->m.has_part = d->m.has_parts = true;
    d->m.part = part;
    d->m.parts = parts;
    struct seat *seat = learn_seat(m->from);
    d->m.has_listed = d->m.listed = seat && swim_lists(s, seat);
    seat_unref(seat);
}

/* How many members, from order[*i] on, go into a part; moves *i. d NULL: only counts. */
static void fill_part(struct swim *s, struct draft *d, uint32_t *i)
{
    size_t n = 0, bytes = 0;
    for (; *i < s->m.n && n < DRAFT_MEMBERS && bytes < DRAFT_BYTES; ++*i) {
        const struct entry *e = &s->m.at[s->m.order[*i]];
        if (e->word->said == NODE_RESET)
            continue;
        if (d)
            draft_add(d, e->word, (enum claim)e->word->claim, e->clock, true);
        n++;
        bytes += 100 + 4 * e->word->seat->place.ntokens;
    }
}

static void send_list(struct swim *s, const Gossip *m)
{
    struct draft *d = mem_alloc(sizeof *d);
    uint32_t parts = 0;
    for (uint32_t i = 0; i < s->m.n; parts++)
        fill_part(s, NULL, &i);
    for (uint32_t i = 0, part = 0; i < s->m.n; part++) {
        begin_part(s, d, m, part, parts);
        fill_part(s, d, &i);
        draft_send(s, d, m->address);
    }
    mem_free(d);
}

void join_contacted(struct swim *s, const Gossip *m)
{
    if (s->settled && m->n_sums) {
        exchange_sync(s, m);
        return;
    }
    if (s->settled && !(m->has_list && m->list == s->m.hash)) {
        send_list(s, m);
        return;
    }
    struct draft d;
    begin_part(s, &d, m, 0, s->settled);
    draft_send(s, &d, m->address);
}

/* ---- the one that asks -------------------------------------------------------------------------
 */

static void settle(struct swim *s, enum node_state state)
{
    s->settled = true;
    s->next_probe = s->now;
    swim_say(s, s->mine->incarnation + 1, state, CLAIM_NONE, s->mine->serves);
    learn_replace(s, s->mine);
    swim_event(s, SWIM_SETTLED, members_at(&s->m, swim_number(s)), s->mine, NODE_UNKNOWN,
               state == NODE_JOINING ? "its tokens are new to a ring that serves"
                                     : "it belongs to the ring");
}

static bool anybody_serves(const struct swim *s)
{
    for (uint32_t i = 0; i < s->m.n; i++)
        if (s->m.at[s->m.order[i]].word->serves)
            return true;
    return false;
}

/* A member's list is here, whole. */
static void decide(struct swim *s, bool listed)
{
    const struct entry *owner = learn_rival(s, s->mine->seat);
    if (owner) {
        swim_event(s, SWIM_TAKEN, owner, owner->word, NODE_UNKNOWN,
                   "a token of this node belongs to it");
        return;
    }
    const bool known = listed || learn_predecessor(s, s->mine->seat) || !anybody_serves(s);
    settle(s, known ? s->first_state : NODE_JOINING);
}

void join_welcome(struct swim *s, const Gossip *m, uint32_t from)
{
    struct asked *a = find_seq(s, m->seq);
    if (!a)
        return;
    a->answered = s->now;
    a->mine = false;
    a->listed = m->listed;
    a->serves = m->from->serves;
    memcpy(a->id, m->from->id.data, GOSSIP_ID);
    if (m->unsettled)
        return;
    struct teller t;
    teller_init(&t, from, false);
    t.trusted = a->whole;
    if (a->whole || from != NOBODY)
        exchange_members(s, m, &t);
    a->parts |= 1ull << m->part;
    a->member = true;
    const uint64_t all = m->parts >= PARTS_MAX ? UINT64_MAX : (1ull << m->parts) - 1;
    if ((a->parts & all) != all)
        return;
    s->welcomed |= a->whole;
    if (!s->settled)
        decide(s, m->listed);
}

void join_mine(struct swim *s, const Gossip *m)
{
    struct asked *a = find_seq(s, m->seq);
    if (m->type != GOSSIP_TYPE__GOSSIP_CONTACT || !a)
        return;
    a->answered = s->now;
    a->mine = true;
}

void join_again(struct swim *s, const struct word *owner)
{
    while (s->nsuspects)
        suspect_end(s, members_at(&s->m, s->concerns[s->suspects[0]].number));
    probe_forget(s);
    concern_drop(s, members_at(&s->m, swim_number(s)));
    for (uint32_t i = 0; i < s->m.n; i++)
        if (s->m.order[i] == swim_number(s)) {
            members_drop(&s->m, i);
            break;
        }
    s->settled = false;
    for (unsigned i = 0; i < s->nasked; i++)
        s->asked[i].member = false;
    swim_event(s, SWIM_TAKEN, NULL, owner, NODE_UNKNOWN, "a token of this node belongs to it");
}

void join_listed(struct swim *s)
{
    if (!s->settled || s->mine->said != NODE_JOINING)
        return;
    swim_say(s, s->mine->incarnation + 1, NODE_NORMAL, CLAIM_NONE, s->mine->serves);
    swim_event(s, SWIM_STATE, members_at(&s->m, swim_number(s)), s->mine, NODE_JOINING,
               "a member's dyn_seeds list it");
}

/* Nobody that was asked is a member. */
void join_tick(struct swim *s)
{
    if (s->settled || !s->nasked)
        return;
    bool all = true, listed = false, lowest = true, serves = false;
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < s->nasked; i++) {
        const struct asked *a = &s->asked[i];
        first = a->first < first ? a->first : first;
        if (a->member)
            return;
        all &= a->answered != 0;
        if (!a->answered || a->mine)
            continue;
        listed |= a->listed;
        serves |= a->serves;
        lowest &= memcmp(s->mine->seat->name->id, a->id, GOSSIP_ID) < 0;
    }
    if (s->now < first + OVERTURE * s->interval)
        return;
    const bool patient = s->now >= first + PATIENCE * s->interval;
    lowest &= !serves || patient; /* who takes writes is about to be a member, and then says more */
    if (all ? listed || lowest : listed && patient)
        settle(s, s->first_state);
}

uint64_t join_due(const struct swim *s)
{
    return s->settled || !s->nasked ? UINT64_MAX : s->now + s->interval / 4;
}
