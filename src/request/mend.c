#include "request/mend.h"

#define ROUGHLY_MS 2000 /* as far as two that say it roughly may be apart */
#define LAPSE_MS                                                                                   \
    2000 /* the same of the nodes' clocks: who has a key that lapses now doesn't tell */

void mend_weigh(const struct store_copy *c, uint64_t below, struct mend_copy *out)
{
    *out = (struct mend_copy){.answered = c->ok,
                              .exists = c->exists,
                              .digest = c->digest,
                              .weight = c->weight,
                              .bytes = c->bytes,
                              .expires = c->expires,
                              .expires_roughly = c->expires_roughly,
                              .overwrite = c->overwrite,
                              .newest = c->newest,
                              .newest_exact = c->newest_exact,
                              .forgotten = c->forgotten,
                              .below = below};
}

bool mend_same(const struct mend_copy *a, const struct mend_copy *b)
{
    if (a->exists != b->exists || !a->exists)
        return a->exists == b->exists;
    uint64_t apart = a->expires > b->expires ? a->expires - b->expires : b->expires - a->expires;
    bool rough = (a->expires_roughly || b->expires_roughly) && a->expires && b->expires;
    return a->digest == b->digest && apart <= (rough ? ROUGHLY_MS : 0);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_stamps(struct store_stamp a, struct store_stamp b)
{
    return store_stamp_before(a, b) ? -1 : store_stamp_before(b, a);
}

static unsigned votes(const struct mend_copy *c, unsigned n, unsigned i)
{
    unsigned k = 0;
    for (unsigned j = 0; j < n; j++)
        k += c[j].answered && mend_same(&c[i], &c[j]);
    return k;
}

static struct store_stamp exact_newest(const struct mend_copy *c)
{
    return c->newest_exact ? c->newest : (struct store_stamp){0};
}

/* Above 0: a wins. */
static int compare(const struct mend_copy *c, unsigned n, unsigned a, unsigned b)
{
    int by = compare_stamps(c[a].overwrite, c[b].overwrite);
    if (!by)
        by = compare_stamps(exact_newest(&c[a]), exact_newest(&c[b]));
    if (!by)
        by = compare_u64(votes(c, n, a), votes(c, n, b));
    if (!by)
        by = (int)c[a].exists - (int)c[b].exists;
    if (!by)
        by = compare_u64(c[a].weight, c[b].weight);
    if (!by)
        by = compare_u64(c[a].digest, c[b].digest);
    return by;
}

static bool has_stamp(const struct mend_copy *c)
{
    return c->overwrite.time || exact_newest(c).time;
}

static unsigned winner(const struct mend_copy *c, unsigned n)
{
    unsigned best = n;
    for (unsigned i = 0; i < n; i++)
        if (c[i].answered && (best == n || compare(c, n, i, best) > 0))
            best = i;
    return best;
}

/* Could this one have had an overwrite newer than all that the winner tells, and forgotten it? */
static bool may_be_newer(const struct mend_copy *c, const struct mend_copy *w)
{
    if (c->overwrite.time)
        return false;
    if (w->overwrite.time)
        return c->forgotten >= w->overwrite.time;
    return !exact_newest(c).time && c->forgotten >= exact_newest(w).time;
}

static unsigned count_present(const struct mend_copy *c, unsigned n)
{
    unsigned there = 0;
    for (unsigned i = 0; i < n; i++)
        there += c[i].answered && c[i].exists;
    return there;
}

/* Where most replicas have the key, one that doesn't has no forgotten delete. */
static bool is_certain(const struct mend_copy *c, unsigned n, unsigned w)
{
    bool most = count_present(c, n) > n / 2;
    for (unsigned i = 0; i < n; i++)
        if (c[i].answered && !mend_same(&c[i], &c[w]) && may_be_newer(&c[i], &c[w]) &&
            !(most && !c[i].exists))
            return false;
    return true;
}

/* The value that most have, if it is one: of those who have it the one with the newest stamps. */
static unsigned majority(const struct mend_copy *c, unsigned n)
{
    unsigned best = n;
    for (unsigned i = 0; i < n; i++)
        if (c[i].answered && c[i].exists && votes(c, n, i) > n / 2 &&
            (best == n || compare(c, n, i, best) > 0))
            best = i;
    return best;
}

/* n: nothing tells. */
static unsigned choose(const struct mend_copy *c, unsigned n, bool stamps)
{
    unsigned w = winner(c, n);
    if (stamps && is_certain(c, n, w))
        return w;
    unsigned by_votes = majority(c, n);
    if (by_votes < n)
        return by_votes;
    /* all have one: whatever they agree on is better than none */
    return !stamps && count_present(c, n) == n ? w : n;
}

/* False: it isn't settled. */
static bool find_cut(const struct mend_copy *c, unsigned n, unsigned source,
                     struct store_stamp *upto)
{
    const struct mend_copy *s = &c[source];
    *upto = s->overwrite;
    if (s->newest.time >= s->below)
        return s->overwrite.time && !store_stamp_before(s->overwrite, s->newest);
    uint64_t newest = s->newest.time; /* what is in any of them may be replaced, if it is settled */
    for (unsigned i = 0; i < n; i++)
        if (c[i].answered && c[i].newest.time > newest && c[i].newest.time < s->below)
            newest = c[i].newest.time;
    *upto = (struct store_stamp){newest, UINT16_MAX};
    return true;
}

/* Whose copy is passed on: of those with the winner's value, one that is settled and has its stamp.
 */
static bool find_source(const struct mend_copy *c, unsigned n, unsigned w,
                        struct mend_decision *out)
{
    for (unsigned i = 0; i < n; i++)
        if (c[i].answered && mend_same(&c[i], &c[w]) &&
            compare_stamps(c[i].overwrite, c[w].overwrite) == 0 && find_cut(c, n, i, &out->upto)) {
            out->source = i;
            return true;
        }
    return false;
}

static bool lapses(const struct mend_copy *c, uint64_t now_ms)
{
    return c->exists && c->expires && c->expires <= now_ms + LAPSE_MS;
}

void mend_decide(const struct mend_copy *c, unsigned n, uint64_t now_ms, struct mend_decision *out)
{
    bool stamps = false, soon = false, differ = false;
    unsigned first = n;
    *out = (struct mend_decision){.verdict = MEND_EQUAL};
    for (unsigned i = 0; i < n; i++) {
        if (!c[i].answered)
            continue;
        first = first == n ? i : first;
        stamps |= has_stamp(&c[i]);
        soon |= lapses(&c[i], now_ms);
        differ |= !mend_same(&c[i], &c[first]);
    }
    if (!differ)
        return;
    unsigned w = choose(c, n, stamps);
    if (soon)
        out->verdict = MEND_UNSETTLED;
    else if (w == n)
        out->verdict = MEND_UNDECIDED;
    else if (!find_source(c, n, w, out))
        out->verdict = MEND_UNSETTLED;
    else
        out->verdict = MEND_DO;
    for (unsigned i = 0; i < n && out->verdict == MEND_DO; i++)
        out->whom[i] = c[i].answered && !mend_same(&c[i], &c[w]);
}
