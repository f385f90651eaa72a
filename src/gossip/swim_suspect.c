/* A suspect has some time to say that it lives. The more members say independently that they don't
 * reach it, the shorter (Lifeguard: only one that says so may itself be what is slow). It is called
 * when the suspicion begins and a last time before that ends. */
#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <math.h>

#define TIME_BASE  1.6 /* intervals that a suspect has at least: so many, */
#define TIME_LOG   0.6 /* and so many more with ten times the members */
#define TIME_ALONE 2.5 /* times that while nobody confirms it */

/* This node among those who suspect: a hash, since only their number matters. */
static uint32_t own_mark(const struct swim *s)
{
    return (uint32_t)(s->mine->seat->name->in.hash >> 32);
}

static uint64_t last_call(const struct swim *s)
{
    return s->interval * 3 / 10;
}

static uint64_t time_for(const struct swim *s, unsigned nby)
{
    const unsigned live = members_live(&s->m);
    const unsigned others = live > 2 ? live - 2 : 0;
    const unsigned wanted = others < CONFIRMERS_MAX - 1 ? others : CONFIRMERS_MAX - 1;
    const double least =
        (double)s->interval * (TIME_BASE + TIME_LOG * log10(live > 1 ? (double)live : 1));
    const double most = wanted ? TIME_ALONE * least : least;
    double time = most;
    if (wanted)
        time -= (most - least) * log(nby ? (double)nby : 1) / log((double)wanted + 1);
    if (time < least)
        time = least;
    return (uint64_t)(time * (1 + s->health / (double)HEALTH_MAX));
}

static void set_deadline(struct swim *s, struct concern *c)
{
    c->deadline = c->started + time_for(s, c->nby);
    const uint64_t due = c->called ? c->deadline : c->deadline - last_call(s);
    if (due < s->suspects_due)
        s->suspects_due = due;
}

static bool confirm(struct concern *c, uint32_t by)
{
    for (unsigned i = 0; i < c->nby; i++)
        if (c->by[i] == by)
            return false;
    if (c->nby == CONFIRMERS_MAX)
        return false;
    c->by[c->nby++] = by;
    return true;
}

static void begin(struct swim *s, struct concern *c)
{
    if (s->nsuspects == s->suspects_cap) {
        s->suspects_cap = s->suspects_cap ? 2 * s->suspects_cap : 4;
        s->suspects = mem_realloc(s->suspects, s->suspects_cap * sizeof *s->suspects);
    }
    c->suspected = true;
    c->called = false;
    c->nby = 0;
    c->call = 0;
    c->started = s->now;
    c->at = s->nsuspects;
    s->suspects[s->nsuspects++] = (uint32_t)(c - s->concerns);
}

void suspect(struct swim *s, struct entry *e, const uint32_t *by, size_t nby)
{
    if (e->word == s->mine || e->word->claim || e->word->said == NODE_RESET)
        return;
    struct concern *c = concern_of(s, e);
    bool is_new = false;
    if (!c->suspected)
        begin(s, c);
    for (size_t i = 0; i < nby; i++)
        is_new |= confirm(c, by[i]);
    set_deadline(s, c);
    if (is_new)
        spread_add(s, e, false);
}

/* Says to the suspect that it is one. */
static void call(struct swim *s, struct concern *c)
{
    struct draft d;
    c->call = ++s->seq;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_PING, c->number);
    d.m.has_seq = true;
    d.m.seq = c->call;
    draft_send_to(s, &d, c->number);
}

void suspect_self_evident(struct swim *s, struct entry *e)
{
    const uint32_t mark = own_mark(s);
    if (e->word == s->mine || e->word->said == NODE_RESET)
        return;
    suspect(s, e, &mark, 1);
    struct concern *c = concern_find(s, e);
    if (c && c->suspected)
        call(s, c);
}

void suspect_end(struct swim *s, struct entry *e)
{
    struct concern *c = concern_find(s, e);
    if (!c || !c->suspected)
        return;
    c->suspected = false;
    const uint32_t last = s->suspects[--s->nsuspects];
    s->suspects[c->at] = last;
    s->concerns[last].at = c->at;
    concern_rest(s, c);
}

void suspect_ack(struct swim *s, struct entry *e, uint32_t seq)
{
    const struct concern *c = concern_find(s, e);
    if (c && c->suspected && c->call == seq)
        suspect_end(s, e);
}

void suspect_alive(struct swim *s, struct entry *e, uint64_t asked_at)
{
    const struct concern *c = concern_find(s, e);
    if (c && c->suspected && asked_at >= c->started)
        suspect_end(s, e);
}

static void declare_dead(struct swim *s, struct entry *e, unsigned nby)
{
    struct word *w = word_get(e->word->seat, e->word->incarnation, (enum node_state)e->word->said,
                              CLAIM_DEAD, e->word->serves);
    learn_take(s, w, nby > 1 ? "it answers nobody" : "it doesn't answer");
}

static void one_tick(struct swim *s, struct concern *c)
{
    if (!c->called && s->now + last_call(s) >= c->deadline) {
        c->called = true; /* and has the time to answer */
        c->started += s->now + last_call(s) - c->deadline;
        call(s, c);
    } else if (s->now >= c->deadline)
        declare_dead(s, members_at(&s->m, c->number), c->nby);
}

void suspect_tick(struct swim *s)
{
    if (!s->nsuspects || s->now < s->suspects_due)
        return;
    for (uint32_t i = s->nsuspects; i-- > 0;)
        if (i < s->nsuspects)
            one_tick(s, &s->concerns[s->suspects[i]]);
    s->suspects_due = UINT64_MAX;
    for (uint32_t i = 0; i < s->nsuspects; i++)
        set_deadline(s, &s->concerns[s->suspects[i]]);
}

void suspect_anew(struct swim *s)
{
    s->suspects_due = UINT64_MAX;
    for (uint32_t i = 0; i < s->nsuspects; i++) {
        struct concern *c = &s->concerns[s->suspects[i]];
        c->started = s->now;
        c->called = false;
        set_deadline(s, c);
    }
}
