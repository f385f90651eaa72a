/* One probe:
 *
 *     0                 1/4                          6/10 of an interval, times 1 + health
 *     PING ------------> ASK three others, PING ----> nobody reached it: a suspect
 *                          '-- 2/10 --> NACK
 */
#include "gossip/swim_internal.h"
#include <string.h>

#define PROBES_PER_INTERVAL 4u
#define ASKED_OTHERS        3u

static uint64_t direct_time(const struct swim *s)
{
    return s->interval / 4 * (1 + s->health);
}
static uint64_t whole_time(const struct swim *s)
{
    return s->interval * 6 / 10 * (1 + s->health);
}
static uint64_t nack_time(const struct swim *s)
{
    return s->interval / 5;
}

static void ping(struct swim *s, uint32_t number, uint32_t seq)
{
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_PING, number);
    d.m.has_seq = true;
    d.m.seq = seq;
    spread_into(s, &d, NEWS_ON_PROBE);
    draft_send_to(s, &d, number);
}

void probe_start(struct swim *s, uint32_t number)
{
    struct entry *e = members_at(&s->m, number);
    if (!e || e->probed || s->nprobes == PROBES_MAX || e->word->said == NODE_RESET)
        return;
    e->probed = 1;
    s->probes[s->nprobes++] = (struct probe){
        .number = number,
        .seq = ++s->seq,
        .started = s->now,
        .next = s->now + (word_state(e->word) == NODE_DOWN ? s->interval / 4 : direct_time(s))};
    ping(s, number, s->seq);
}

/* Who is next in turn, DOWN ones too: two halves of what was cut find each other so. Those that
 * have left long ago are forgotten on the way. */
void probe_next(struct swim *s)
{
    for (unsigned tries = 0; tries < 8 && s->m.n > 0; tries++) {
        const uint32_t i = members_next(&s->m, swim_random(s)), number = s->m.order[i];
        struct entry *e = members_at(&s->m, number);
        if (e->word == s->mine || e->probed)
            continue;
        if (e->word->said == NODE_RESET) {
            if (s->now - e->since > 24u * 3600 * 1000) {
                concern_drop(s, e);
                swim_event(s, SWIM_FORGOTTEN, e, e->word, NODE_RESET, "it left a day ago");
                members_drop(&s->m, i);
            }
            continue;
        }
        probe_start(s, number);
        return;
    }
}

static void probe_end(struct swim *s, unsigned i)
{
    struct entry *e = members_at(&s->m, s->probes[i].number);
    if (e)
        e->probed = 0;
    s->probes[i] = s->probes[--s->nprobes];
}

void probe_forget(struct swim *s)
{
    while (s->nprobes)
        probe_end(s, 0);
    s->nrelays = 0;
}

static void ask_others(struct swim *s, struct probe *p)
{
    const struct entry *e = members_at(&s->m, p->number);
    uint32_t asked[ASKED_OTHERS];
    for (unsigned tries = 0; tries < 3 * ASKED_OTHERS && p->asked < ASKED_OTHERS; tries++) {
        const uint32_t other = swim_pick(s, p->number);
        bool again = other == NOBODY;
        for (unsigned i = 0; i < p->asked; i++)
            again |= asked[i] == other;
        if (again)
            continue;
        asked[p->asked++] = other;
        struct draft d;
        draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_ASK, other);
        d.m.has_seq = true;
        d.m.seq = p->seq;
        draft_target(&d, e->word->seat->name);
        d.m.target_address = (char *)(uintptr_t)e->word->seat->place.address;
        spread_into(s, &d, NEWS_ON_PROBE);
        draft_send_to(s, &d, other);
    }
    ping(s, p->number, p->seq);
}

/* Where others say that they live and it doesn't answer them either, it is it. */
static void probe_failed(struct swim *s, unsigned i)
{
    const struct probe p = s->probes[i];
    struct entry *e = members_at(&s->m, p.number);
    probe_end(s, i);
    if (!e || word_state(e->word) == NODE_DOWN)
        return;
    if (p.asked == 0 || p.nacks < p.asked)
        swim_sicker(s);
    suspect_self_evident(s, e);
}

static void probe_late(struct swim *s, unsigned i)
{
    struct probe *p = &s->probes[i];
    const struct entry *e = members_at(&s->m, p->number);
    if (!e || p->indirect || word_state(e->word) == NODE_DOWN) {
        probe_failed(s, i);
        return;
    }
    p->indirect = true;
    p->next = p->started + whole_time(s);
    if (p->next <= s->now)
        p->next = s->now + 1;
    ask_others(s, p);
}

static void relay_late(struct swim *s, struct relay *r)
{
    const struct entry *target = members_at(&s->m, r->target);
    if (!target || r->nacked) {
        *r = s->relays[--s->nrelays];
        return;
    }
    r->nacked = true;
    r->next = s->now + s->interval;
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_NACK, r->origin);
    d.m.has_seq = true;
    d.m.seq = r->origin_seq;
    draft_target(&d, target->word->seat->name);
    draft_send_to(s, &d, r->origin);
}

/* Who isn't settled does, too: it waits, maybe for the death of who has its place. */
static bool probes(const struct swim *s)
{
    return s->settled || s->m.n > 0;
}

void probe_tick(struct swim *s)
{
    for (unsigned i = s->nprobes; i-- > 0;)
        if (i < s->nprobes && s->probes[i].next <= s->now)
            probe_late(s, i);
    for (unsigned i = s->nrelays; i-- > 0;)
        if (s->relays[i].next <= s->now)
            relay_late(s, &s->relays[i]);
    if (s->now < s->next_probe || !probes(s))
        return;
    s->next_probe += s->interval / PROBES_PER_INTERVAL;
    if (s->next_probe <= s->now)
        s->next_probe = s->now + s->interval / PROBES_PER_INTERVAL;
    probe_next(s);
}

uint64_t probe_due(const struct swim *s)
{
    uint64_t due = probes(s) ? s->next_probe : UINT64_MAX;
    for (unsigned i = 0; i < s->nprobes; i++)
        if (s->probes[i].next < due)
            due = s->probes[i].next;
    for (unsigned i = 0; i < s->nrelays; i++)
        if (s->relays[i].next < due)
            due = s->relays[i].next;
    return due;
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

void probe_ping(struct swim *s, const Gossip *m, uint32_t from)
{
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_ACK, from);
    d.m.has_seq = true;
    d.m.seq = m->seq;
    if (m->show)
        draft_show(s, &d);
    const struct entry *e = members_find(&s->m, m->from->id.data);
    if (e && (m->from->incarnation < e->word->incarnation ||
              m->from->place_hash != e->word->seat->in.hash ||
              (m->from->incarnation == e->word->incarnation && m->from->state != e->word->said)))
        draft_add(&d, e->word, (enum claim)e->word->claim, 0, false);
    const struct entry *owner =
        e && e->word->said == NODE_RESET ? learn_rival(s, e->word->seat) : NULL;
    if (owner) /* it was replaced, and may not know it */
        draft_add(&d, owner->word, (enum claim)owner->word->claim, 0, true);
    spread_into(s, &d, NEWS_ON_PROBE);
    draft_send(s, &d, m->address);
}

void probe_ask(struct swim *s, const Gossip *m, uint32_t from)
{
    const struct entry *target = members_find(&s->m, m->target.data);
    if (from == NOBODY || !target || target->word == s->mine || s->nrelays == RELAYS_MAX)
        return;
    const uint32_t number = target->word->seat->name->number;
    s->relays[s->nrelays++] = (struct relay){.origin = from,
                                             .origin_seq = m->seq,
                                             .target = number,
                                             .seq = ++s->seq,
                                             .next = s->now + nack_time(s)};
    ping(s, number, s->seq);
}

static void pass_on(struct swim *s, const struct relay *r)
{
    const struct entry *target = members_at(&s->m, r->target);
    struct draft d;
    if (!target)
        return;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_ACK, r->origin);
    d.m.has_seq = true;
    d.m.seq = r->origin_seq;
    draft_target(&d, target->word->seat->name);
    draft_add(&d, target->word, (enum claim)target->word->claim, target->clock, false);
    spread_into(s, &d, NEWS_ON_PROBE);
    draft_send_to(s, &d, r->origin);
}

static void relay_ack(struct swim *s, uint32_t seq, uint32_t from)
{
    for (unsigned i = 0; i < s->nrelays; i++)
        if (s->relays[i].seq == seq && s->relays[i].target == from) {
            const struct relay r = s->relays[i];
            s->relays[i] = s->relays[--s->nrelays];
            pass_on(s, &r);
            return;
        }
}

void probe_ack(struct swim *s, const Gossip *m, uint32_t from)
{
    uint32_t about = from;
    if (m->has_target) {
        const struct name *name = name_find(m->target.data);
        about = name ? name->number : NOBODY;
    }
    struct entry *e = members_at(&s->m, about);
    if (!e)
        return;
    for (unsigned i = 0; i < s->nprobes; i++)
        if (s->probes[i].seq == m->seq && s->probes[i].number == about) {
            const uint64_t started = s->probes[i].started;
            probe_end(s, i);
            swim_healthier(s);
            suspect_alive(s, e, started);
            return;
        }
    if (m->has_target)
        return;
    suspect_ack(s, e, m->seq);
    relay_ack(s, m->seq, from);
}

void probe_nack(struct swim *s, const Gossip *m)
{
    const struct name *name = name_find(m->target.data);
    for (unsigned i = 0; name && i < s->nprobes; i++)
        if (s->probes[i].seq == m->seq && s->probes[i].number == name->number)
            s->probes[i].nacks++;
}
