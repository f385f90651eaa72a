#include "request/quorum.h"

struct tally {
    unsigned local, applied, durable, open, unsafe, refused;
    bool own_open; /* the own store has said nothing yet */
};

static struct tally count(const struct write_word *w, unsigned n)
{
    struct tally t = {0};
    for (unsigned i = 0; i < n; i++) {
        enum verdict v = (enum verdict)w[i].verdict;
        t.unsafe += v == VERDICT_NONE;
        t.refused += v == VERDICT_REFUSED;
        t.own_open |= w[i].own && v == VERDICT_NONE;
        if (!w[i].local)
            continue;
        t.local++;
        t.applied += v == VERDICT_APPLIED;
        t.durable += v == VERDICT_DURABLE;
        t.open += v == VERDICT_NONE || v == VERDICT_LOGGED;
    }
    return t;
}

static bool met(bool sloppy, const struct tally *t, unsigned need)
{
    return t->applied >= need || (sloppy && t->applied && t->applied + t->durable >= need);
}

enum quorum_outcome quorum_write(enum consistency level, bool sloppy, bool blind,
                                 const struct write_word *w, unsigned n, unsigned *applied)
{
    struct tally t = count(w, n);
    unsigned need = level == CONSISTENCY_DC_ONE ? 1 : t.local / 2 + 1;
    *applied = t.applied;
    if (t.own_open)
        return QUORUM_WAIT; /* its word comes, or that of its log, or the one that ends the request
                             */
    if (met(sloppy, &t, need))
        return t.unsafe ? QUORUM_WAIT : QUORUM_DONE;
    if (level == CONSISTENCY_DC_ONE && t.open == 0 && sloppy && blind && t.durable)
        return t.unsafe ? QUORUM_WAIT : QUORUM_BLIND;
    if (t.applied + t.open + (sloppy ? t.durable : 0) >= need && t.open)
        return QUORUM_WAIT;
    return t.refused ? QUORUM_NOHINT : QUORUM_NOQUORUM;
}

static bool same(const struct blob *a, const struct blob *b)
{
    return slice_eq(blob_slice(a), blob_slice(b));
}

struct blob *quorum_write_reply(const struct write_word *w, unsigned n)
{
    struct blob *best = NULL;
    unsigned best_votes = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!w[i].local || !w[i].reply || w[i].verdict != VERDICT_APPLIED)
            continue;
        unsigned votes = 0;
        for (unsigned k = 0; k < n; k++)
            votes += w[k].local && w[k].reply && same(w[i].reply, w[k].reply);
        if (votes > best_votes || (votes == best_votes && w[i].own)) {
            best = w[i].reply;
            best_votes = votes;
        }
    }
    return best;
}

static bool newer(const struct read_word *a, const struct read_word *b)
{
    return a->stamp != b->stamp ? a->stamp > b->stamp : a->tag > b->tag;
}

/* The index of the word with the newest stamp; *clear: no other word with the same stamp differs,
 * and there is a stamp at all or nothing to choose. */
static int newest(const struct read_word *w, unsigned n, bool *clear)
{
    int best = -1;
    for (unsigned i = 0; i < n; i++)
        if (w[i].reply && (best < 0 || newer(&w[i], &w[best])))
            best = (int)i;
    *clear = true;
    for (unsigned i = 0; best >= 0 && i < n; i++)
        if (w[i].reply && w[i].stamp == w[best].stamp && w[i].tag == w[best].tag &&
            !same(w[i].reply, w[best].reply))
            *clear = false;
    return best;
}

int quorum_read(const struct read_word *w, unsigned n, bool all)
{
    bool clear;
    int best = newest(w, n, &clear);
    if (clear || best < 0)
        return best;
    if (!all)
        return -1;
    unsigned best_votes = 0;
    int chosen = best;
    for (unsigned i = 0; i < n; i++) {
        if (!w[i].reply || newer(&w[best], &w[i]))
            continue;
        unsigned votes = 0;
        for (unsigned k = 0; k < n; k++)
            votes += w[k].reply && same(w[i].reply, w[k].reply);
        if (votes > best_votes) {
            best_votes = votes;
            chosen = (int)i;
        }
    }
    return chosen;
}
