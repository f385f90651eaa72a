#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <math.h>

#define TARGETS 3u  /* of a round */
#define ROUNDS  10u /* an interval has so many of them while there is news */
#define SOON    40u /* this part of an interval after news has come the first round is due */
#define LAMBDA  4.0 /* each is told LAMBDA * log10(n) times */

/* ---- concerns ----------------------------------------------------------------------------------
 */

struct concern *concern_find(const struct swim *s, const struct entry *e)
{
    return e->concern ? &s->concerns[e->concern - 1] : NULL;
}

struct concern *concern_of(struct swim *s, struct entry *e)
{
    if (e->concern)
        return &s->concerns[e->concern - 1];
    if (!s->concerns_free) {
        if (s->nconcerns == s->concerns_cap) {
            s->concerns_cap = s->concerns_cap ? 2 * s->concerns_cap : 4;
            s->concerns = mem_realloc(s->concerns, s->concerns_cap * sizeof *s->concerns);
        }
        s->concerns[s->nconcerns].next = 0;
        s->concerns_free = ++s->nconcerns;
    }
    e->concern = s->concerns_free;
    struct concern *c = &s->concerns[e->concern - 1];
    s->concerns_free = c->next;
    *c = (struct concern){.used = true, .number = e->word->seat->name->number};
    return c;
}

void concern_rest(struct swim *s, struct concern *c)
{
    if (c->news || c->suspected)
        return;
    struct entry *e = members_at(&s->m, c->number);
    e->concern = 0;
    c->used = false;
    c->next = s->concerns_free;
    s->concerns_free = (uint32_t)(c - s->concerns) + 1;
}

/* ---- news --------------------------------------------------------------------------------------
 */

static void unlink_news(struct swim *s, struct concern *c)
{
    if (c->prev)
        s->concerns[c->prev - 1].next = c->next;
    else
        s->first[c->sends] = c->next;
    if (c->next)
        s->concerns[c->next - 1].prev = c->prev;
}

static void link_news(struct swim *s, struct concern *c)
{
    const uint32_t i = (uint32_t)(c - s->concerns) + 1;
    c->prev = 0;
    c->next = s->first[c->sends];
    if (c->next)
        s->concerns[c->next - 1].prev = i;
    s->first[c->sends] = i;
}

static void end_news(struct swim *s, struct concern *c)
{
    unlink_news(s, c);
    c->news = false;
    s->news--;
}

void concern_drop(struct swim *s, struct entry *e)
{
    struct concern *c = concern_find(s, e);
    if (!c)
        return;
    suspect_end(s, e);
    c = concern_find(s, e);
    if (c && c->news) {
        end_news(s, c);
        concern_rest(s, c);
    }
}

void spread_add(struct swim *s, struct entry *e, bool with_place)
{
    struct concern *c = concern_of(s, e);
    if (c->news) {
        unlink_news(s, c);
        c->with_place |= with_place;
    } else {
        c->with_place = with_place;
        s->news++;
    }
    c->news = true;
    c->sends = 0;
    link_news(s, c);
    uint64_t soonest = s->now + s->interval / SOON;
    if (soonest < s->last_spread + s->interval / ROUNDS / 2)
        soonest = s->last_spread + s->interval / ROUNDS / 2;
    if (s->news == 1 || s->next_spread > soonest)
        s->next_spread = soonest;
}

static unsigned sends_limit(const struct swim *s)
{
    /* those that are DOWN count: it may be this node that is cut off, and news is for later */
    const double times = LAMBDA * ceil(log10((double)(s->m.n - s->m.left) + 1));
    return times < SENDS_MAX ? (unsigned)times : SENDS_MAX;
}

static void add_item(struct draft *d, const struct entry *e, struct concern *c)
{
    draft_add(d, e->word, c->suspected ? CLAIM_SUSPECT : (enum claim)e->word->claim, e->clock,
              c->with_place);
    if (c->suspected) {
        GossipMember *m = d->ptr[d->m.n_members - 1];
        m->n_by = c->nby;
        m->by = c->by;
    }
}

/* The news told least often, and among these the newest, come first. */
void spread_into(struct swim *s, struct draft *d, unsigned max)
{
    uint32_t told[DRAFT_MEMBERS];
    unsigned n = 0;
    if (!s->news)
        return;
    const unsigned limit = sends_limit(s);
    for (unsigned sends = 0; sends < SENDS_MAX; sends++)
        for (uint32_t i = s->first[sends]; i && n < max && !draft_full(d);
             i = s->concerns[i - 1].next) {
            add_item(d, members_at(&s->m, s->concerns[i - 1].number), &s->concerns[i - 1]);
            told[n++] = i;
        }
    for (unsigned i = n; i-- > 0;) {
        struct concern *c = &s->concerns[told[i] - 1];
        if (c->sends + 1u >= limit) {
            end_news(s, c);
            c->sends = SENDS_MAX; /* the draft may still point to it: it goes back later */
            continue;
        }
        unlink_news(s, c);
        c->sends++;
        link_news(s, c);
    }
    for (unsigned i = 0; i < n; i++)
        if (!s->concerns[told[i] - 1].news)
            concern_rest(s, &s->concerns[told[i] - 1]);
}

void spread_round(struct swim *s)
{
    if (!s->news || s->now < s->next_spread)
        return;
    s->last_spread = s->now;
    s->next_spread = s->now + s->interval / ROUNDS;
    for (unsigned i = 0; i < TARGETS && s->news; i++) {
        const uint32_t to = swim_pick(s, NOBODY);
        if (to == NOBODY)
            return;
        struct draft d;
        draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_NEWS, to);
        spread_into(s, &d, DRAFT_MEMBERS);
        draft_send_to(s, &d, to);
    }
}
