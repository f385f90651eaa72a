#include "request/quorum.h"

/* ---- writes ------------------------------------------------------------------------------------
 */

struct tally {
    unsigned replicas, applied, durable, open;
    bool refused;
};

static struct tally count(const struct write_word *w, unsigned n, unsigned datacenter)
{
    struct tally t = {0};
    for (unsigned i = 0; i < n; i++) {
        enum verdict v = (enum verdict)w[i].verdict;
        if (w[i].joining || w[i].datacenter != datacenter)
            continue;
        t.replicas++;
        t.applied += v == VERDICT_APPLIED;
        t.durable += v == VERDICT_DURABLE;
        t.open += v == VERDICT_NONE || v == VERDICT_LOGGED;
        t.refused |= v == VERDICT_REFUSED;
    }
    return t;
}

static bool met(bool hints, const struct tally *t, unsigned need)
{
    return t->applied >= need || (hints && t->applied && t->applied + t->durable >= need);
}

/* One datacenter's part. */
static enum quorum_outcome weigh(enum consistency level, bool hints, bool blind,
                                 const struct write_word *w, unsigned n, struct shortfall *lacking)
{
    struct tally t = count(w, n, lacking->datacenter);
    unsigned need = level_need(level, t.replicas);
    lacking->have = t.applied;
    lacking->need = need;
    if (met(hints, &t, need) || (t.replicas == 0 && lacking->datacenter > 0))
        return QUORUM_DONE;
    if (level == CONSISTENCY_DC_ONE && t.open == 0 && hints && blind && t.durable)
        return QUORUM_BLIND;
    if (t.open && t.applied + t.open + (hints ? t.durable : 0) >= need)
        return QUORUM_WAIT;
    return t.refused ? QUORUM_NOHINT : QUORUM_NOQUORUM;
}

/* Somebody has said nothing yet; of the own store a word comes, or one of its log, or the one that
 * ends the request. */
static bool is_open(const struct write_word *w, unsigned n, bool own)
{
    for (unsigned i = 0; i < n; i++)
        if (w[i].verdict == VERDICT_NONE && (w[i].own || !own))
            return true;
    return false;
}

static unsigned write_datacenters(enum consistency level, const struct write_word *w, unsigned n)
{
    unsigned end = 1;
    for (unsigned i = 0; i < n && level == CONSISTENCY_DC_EACH_SAFE_QUORUM; i++)
        if (w[i].datacenter >= end)
            end = w[i].datacenter + 1u;
    return end;
}

enum quorum_outcome quorum_write(enum consistency level, bool sloppy, bool blind,
                                 const struct write_word *w, unsigned n, struct shortfall *lacking)
{
    bool hints = sloppy && !level_is_safe(level), wait = is_open(w, n, false);
    unsigned end = write_datacenters(level, w, n);
    enum quorum_outcome all = QUORUM_DONE;
    *lacking = (struct shortfall){0};
    if (wait && is_open(w, n, true))
        return QUORUM_WAIT;
    for (; lacking->datacenter < end; lacking->datacenter++) {
        enum quorum_outcome o = weigh(level, hints, blind, w, n, lacking);
        if (o == QUORUM_NOQUORUM || o == QUORUM_NOHINT)
            return o;
        wait |= o == QUORUM_WAIT;
        all = o == QUORUM_BLIND ? o : all;
    }
    return wait ? QUORUM_WAIT : all;
}

static bool gave_reply(enum consistency level, const struct write_word *w)
{
    return !w->joining && level_counts(level, w->datacenter) && w->reply &&
           w->verdict == VERDICT_APPLIED;
}

struct blob *quorum_write_reply(enum consistency level, const struct write_word *w, unsigned n)
{
    struct blob *best = NULL;
    unsigned best_votes = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!gave_reply(level, &w[i]))
            continue;
        unsigned votes = 0;
        for (unsigned k = 0; k < n; k++)
            votes += gave_reply(level, &w[k]) &&
                     slice_eq(blob_slice(w[i].reply), blob_slice(w[k].reply));
        if (votes > best_votes || (votes == best_votes && w[i].own)) {
            best = w[i].reply;
            best_votes = votes;
        }
    }
    return best;
}

/* ---- reads -------------------------------------------------------------------------------------
 */

void quorum_take(struct read_word *w, unsigned n, unsigned i, enum reply_compare how)
{
    w[i].like = (uint8_t)i;
    for (unsigned k = 0; k < n; k++)
        if (k != i && w[k].reply && w[k].like == k &&
            reply_same(how, blob_slice(w[k].reply), blob_slice(w[i].reply))) {
            w[i].like = (uint8_t)k;
            return;
        }
}

static bool newer(const struct read_word *a, const struct read_word *b)
{
    return a->stamp != b->stamp ? a->stamp > b->stamp : a->tag > b->tag;
}

/* What a group has said. A value is a reply and those like it; `best` is the newest word of the
 * value that most gave (of those that may be the answer), or -1. */
struct group {
    unsigned replicas, unasked, open, answers;
    int newest;                     /* the word with the newest stamp, -1: none */
    bool clear;                     /* all words with that stamp say the same */
    const struct read_word *anchor; /* where it has answered */
    int best;
    unsigned votes; /* for it */
};

static bool counts(const struct read_word *w, unsigned group)
{
    return w->group == group && w->reply;
}

/* The newest word of i's value, and how many gave it. */
static unsigned votes_for(const struct read_word *w, unsigned n, unsigned group, unsigned i,
                          int *newest)
{
    unsigned votes = 0;
    *newest = (int)i;
    for (unsigned k = 0; k < n; k++) {
        if (!counts(&w[k], group) || w[k].like != w[i].like)
            continue;
        votes++;
        if (newer(&w[k], &w[*newest]))
            *newest = (int)k;
    }
    return votes;
}

/* May this word be the answer, as far as the client's own write is concerned? */
static bool holds_anchor(const struct group *g, const struct read_word *w)
{
    return !g->anchor || w->like == g->anchor->like || newer(w, g->anchor);
}

static void find_newest(struct group *g, const struct read_word *w, unsigned n, unsigned group)
{
    for (unsigned i = 0; i < n; i++)
        if (counts(&w[i], group) && (g->newest < 0 || newer(&w[i], &w[g->newest])))
            g->newest = (int)i;
    g->clear = true;
    for (unsigned i = 0; i < n && g->newest >= 0; i++)
        if (counts(&w[i], group) && !newer(&w[g->newest], &w[i]) && w[i].like != w[g->newest].like)
            g->clear = false;
}

/* Among equals the value of the nearest. newest: only values that have the newest stamp. */
static void find_best(struct group *g, const struct read_word *w, unsigned n, unsigned group,
                      bool newest)
{
    g->best = -1;
    for (unsigned i = 0; i < n; i++) {
        int at;
        if (!counts(&w[i], group))
            continue;
        unsigned votes = votes_for(w, n, group, i, &at);
        if (votes <= g->votes || !holds_anchor(g, &w[at]) ||
            (newest && newer(&w[g->newest], &w[at])))
            continue;
        g->best = at;
        g->votes = votes;
    }
}

/* Who answered is weighed only where that can decide. */
static struct group look(enum consistency level, const struct read_word *w, unsigned n,
                         unsigned group)
{
    struct group g = {.newest = -1, .best = -1};
    for (unsigned i = 0; i < n; i++) {
        if (w[i].group != group)
            continue;
        g.replicas++;
        g.unasked += !w[i].asked && !w[i].answered;
        g.open += w[i].asked && !w[i].answered;
        g.answers += w[i].reply != NULL;
        if (w[i].anchor && w[i].reply)
            g.anchor = &w[i];
    }
    bool safe = level_is_safe(level);
    if (g.answers == 0 || (!safe && g.answers < level_need(level, g.replicas)))
        return g;
    find_newest(&g, w, n, group);
    g.best = g.newest;
    if (safe || !g.clear)
        find_best(&g, w, n, group, !safe);
    return g;
}

/* No further answer of the same age changes it. */
static bool settled(const struct group *g, const struct read_word *w)
{
    return g->clear || g->unasked + g->open == 0 || (g->anchor && !newer(&w[g->newest], g->anchor));
}

/* Is this group's part done? Its word. -1: it isn't. */
static int answer_of(enum consistency level, const struct group *g, const struct read_word *w)
{
    unsigned need = level_need(level, g->replicas);
    if (level == CONSISTENCY_DC_ONE)
        return g->newest;
    if (level_is_safe(level))
        return g->votes >= need ? g->best : -1;
    return g->answers >= need && settled(g, w) ? g->best : -1;
}

/* Of so many words a group's answer still needs more. */
static unsigned lacks(enum consistency level, const struct group *g)
{
    unsigned need = level_need(level, g->replicas);
    unsigned have = level_is_safe(level) ? g->votes : g->answers;
    return have < need ? need - have : g->open + g->unasked; /* they differ: all are asked */
}

unsigned quorum_read_lacks(enum consistency level, const struct read_word *w, unsigned n,
                           unsigned group, bool impatient)
{
    struct group g = look(level, w, n, group);
    if ((g.replicas == 0 && group > 0) || answer_of(level, &g, w) >= 0)
        return 0;
    unsigned more = lacks(level, &g), open = impatient ? 0 : g.open;
    more = more > open ? more - open : 0;
    return more < g.unasked ? more : g.unasked;
}

static bool has_failed(enum consistency level, const struct group *g)
{
    unsigned have = level_is_safe(level) ? g->votes : g->answers;
    return g->unasked == 0 && have + g->open < level_need(level, g->replicas);
}

enum read_outcome quorum_read(enum consistency level, const struct read_word *w, unsigned n,
                              unsigned groups, unsigned *chosen, struct shortfall *lacking)
{
    int best = -1;
    bool wait = false;
    for (unsigned group = 0; group < groups; group++) {
        struct group g = look(level, w, n, group);
        int answer = answer_of(level, &g, w);
        if (g.replicas == 0 && group > 0)
            continue;
        if (answer < 0 && has_failed(level, &g)) {
            unsigned need = level_need(level, g.replicas);
            bool differ = g.answers >= need;
            *lacking = (struct shortfall){group, differ ? g.votes : g.answers, need, differ};
            return READ_FAILED;
        }
        wait |= answer < 0;
        if (answer >= 0 && (best < 0 || newer(&w[answer], &w[best])))
            best = answer;
    }
    if (wait || best < 0)
        return READ_WAIT;
    *chosen = (unsigned)best;
    return READ_DONE;
}

bool quorum_read_differs(const struct read_word *w, unsigned n)
{
    const struct read_word *first = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (!w[i].reply)
            continue;
        if (first && w[i].like != first->like)
            return true;
        first = &w[i];
    }
    return false;
}
