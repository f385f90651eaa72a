/* Plan and quorum against a slow and obvious model of DESIGN.md section 8: all datacenters x racks
 * up to three, every state of every replica where these are few, else as many as chance gives. */
#include "request/plan.h"
#include "request/quorum.h"
#include "unit.h"

#define DATACENTERS 3
#define REPLICAS    9
#define EXHAUSTIVE  20000u /* more states than these: so many by chance */
#define BY_CHANCE   2000u

static uint64_t rng;

static unsigned chance(unsigned n)
{
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(rng >> 33) % n;
}

/* How many racks each datacenter has, and of which each replica is. */
struct shape {
    unsigned datacenters, racks[DATACENTERS], n, of[REPLICAS];
};

static bool next_shape(struct shape *s, unsigned *number)
{
    unsigned i = (*number)++;
    s->datacenters = i < 3 ? 1 : i < 12 ? 2 : 3;
    i -= s->datacenters == 3 ? 12 : s->datacenters == 2 ? 3 : 0;
    s->n = 0;
    for (unsigned d = 0; d < s->datacenters; d++, i /= 3) {
        s->racks[d] = 1 + i % 3;
        for (unsigned r = 0; r < s->racks[d]; r++)
            s->of[s->n++] = d;
    }
    return i == 0;
}

/* Calls check for states of n replicas, each below `states`. */
static void each_state(const struct shape *s, unsigned states,
                       void (*check)(const struct shape *, const unsigned *))
{
    unsigned at[REPLICAS] = {0};
    uint64_t all = 1;
    for (unsigned i = 0; i < s->n; i++)
        all *= states;
    for (uint64_t k = 0; k < (all <= EXHAUSTIVE ? all : BY_CHANCE); k++) {
        uint64_t rest = k;
        for (unsigned i = 0; i < s->n; i++, rest /= states)
            at[i] = all <= EXHAUSTIVE ? (unsigned)(rest % states) : chance(states);
        check(s, at);
    }
}

static void each_shape(unsigned states, void (*check)(const struct shape *, const unsigned *))
{
    struct shape s;
    unsigned number = 0;
    rng = unit_seed();
    while (next_shape(&s, &number))
        each_state(&s, states, check);
    ck_assert_uint_eq(number, 3 + 9 + 27 + 1);
}

static const char *told(const struct shape *s, const unsigned *state, enum consistency level)
{
    static char text[100];
    int n = snprintf(text, sizeof text, "%s ", consistency_name(level));
    for (unsigned i = 0; i < s->n; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%u",
                      i && s->of[i] != s->of[i - 1] ? "|" : "", state[i]);
    return text;
}

/* ck_assert tells the parent where it is, each time: too slow here. */
#define must(what)                                                                                 \
    do {                                                                                           \
        if (!(what))                                                                               \
            ck_abort_msg("%s: " #what, told(s, state, level));                                     \
    } while (0)

/* ---- the plan ----------------------------------------------------------------------------------
 */

enum { UP, STANDBY, BEHIND, DOWN, TOLD_DOWN, JOINING, VIEWS };

static bool counted(const struct shape *s, const unsigned *state, unsigned i, unsigned datacenter)
{
    return s->of[i] == datacenter && state[i] != JOINING;
}

static unsigned how_many(const struct shape *s, const unsigned *state, unsigned datacenter,
                         bool (*is)(unsigned state))
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->n; i++)
        n += counted(s, state, i, datacenter) && is(state[i]);
    return n;
}

static bool anyhow(unsigned state)
{
    (void)state;
    return true;
}
static bool answers(unsigned state)
{
    return state != DOWN;
}
static bool applies(unsigned state)
{
    return state == UP || state == TOLD_DOWN; /* its link is up: writes go out to it */
}

/* A majority of a datacenter's replicas; where nobody has the key yet there is nothing to ask. */
static bool majority(const struct shape *s, const unsigned *state, unsigned datacenter,
                     bool (*is)(unsigned state))
{
    unsigned all = how_many(s, state, datacenter, anyhow);
    return 2 * how_many(s, state, datacenter, is) > all || (all == 0 && datacenter > 0);
}

static bool each_majority(const struct shape *s, const unsigned *state, bool (*is)(unsigned state))
{
    bool all = true;
    for (unsigned d = 0; d < s->datacenters; d++)
        all = all && majority(s, state, d, is);
    return all;
}

static bool model_read(const struct shape *s, const unsigned *state, enum consistency level)
{
    switch (level) {
    case CONSISTENCY_DC_ONE:
        for (unsigned d = 0; d < s->datacenters; d++)
            if (how_many(s, state, d, answers))
                return true;
        return false;
    case CONSISTENCY_DC_QUORUM:
    case CONSISTENCY_DC_SAFE_QUORUM:
        return majority(s, state, 0, answers);
    case CONSISTENCY_DC_EACH_SAFE_QUORUM:
        return each_majority(s, state, answers);
    }
    return false;
}

static bool model_write(const struct shape *s, const unsigned *state, enum consistency level,
                        bool hints, bool blind)
{
    unsigned all = how_many(s, state, 0, anyhow), real = how_many(s, state, 0, applies);
    switch (level) {
    case CONSISTENCY_DC_ONE:
        return real || (hints && blind && all);
    case CONSISTENCY_DC_QUORUM:
        return 2 * real > all || (hints && real);
    case CONSISTENCY_DC_SAFE_QUORUM:
        return majority(s, state, 0, applies);
    case CONSISTENCY_DC_EACH_SAFE_QUORUM:
        return each_majority(s, state, applies);
    }
    return false;
}

static void make_views(const struct shape *s, const unsigned *state, struct replica_view *v)
{
    for (unsigned i = 0; i < s->n; i++)
        v[i] = (struct replica_view){.node = (uint16_t)i,
                                     .datacenter = (uint8_t)s->of[i],
                                     .up = state[i] != DOWN,
                                     .normal = state[i] != DOWN && state[i] != STANDBY,
                                     .behind = state[i] == BEHIND,
                                     .joining = state[i] == JOINING,
                                     .told_down = state[i] == TOLD_DOWN};
}

/* Who is asked before whom: by state, then the own datacenter's, then the nearer. */
static unsigned place(const struct shape *s, const unsigned *state, unsigned i)
{
    static const unsigned by_state[VIEWS] = {
        [UP] = 0, [BEHIND] = 0, [STANDBY] = 1, [TOLD_DOWN] = 2, [DOWN] = 3};
    return (by_state[state[i]] * 2 + (s->of[i] > 0)) * REPLICAS + i;
}

static void check_order(const struct shape *s, const unsigned *state, enum consistency level,
                        const struct read_plan *p)
{
    unsigned n = 0, can = 0;
    for (unsigned i = 0; i < s->n; i++) {
        bool asked = state[i] != JOINING && (level != CONSISTENCY_DC_QUORUM || s->of[i] == 0) &&
                     (level != CONSISTENCY_DC_SAFE_QUORUM || s->of[i] == 0);
        n += asked;
        can += asked && state[i] != DOWN;
    }
    must(p->n == n && p->can == can);
    for (unsigned k = 0; k < p->n; k++) {
        unsigned i = p->node[k];
        must(i < s->n && state[i] != JOINING && (state[i] == DOWN) == (k >= p->can));
        must(p->group[k] == (level == CONSISTENCY_DC_ONE ? 0 : s->of[i]));
        must(k == 0 || place(s, state, p->node[k - 1]) < place(s, state, i));
    }
}

static void check_plans(const struct shape *s, const unsigned *state)
{
    struct replica_view v[REPLICAS];
    make_views(s, state, v);
    for (enum consistency level = 0; level <= CONSISTENCY_DC_EACH_SAFE_QUORUM; level++) {
        struct read_plan p;
        struct shortfall f = {0};
        bool ok = plan_read(level, v, s->n, &p, &f);
        must(ok == model_read(s, state, level));
        must(ok ||
             (f.have < f.need &&
              f.have ==
                  (level == CONSISTENCY_DC_ONE ? 0 : how_many(s, state, f.datacenter, answers))));
        must(ok || level != CONSISTENCY_DC_EACH_SAFE_QUORUM ||
             !majority(s, state, f.datacenter, answers));
        check_order(s, state, level, &p);
        for (unsigned k = 0; k < 8; k++) {
            bool sloppy = k & 1, hints = k & 2, blind = k & 4;
            ok = plan_write(level, sloppy, hints, blind, v, s->n, &f);
            must(ok == model_write(s, state, level, sloppy && hints, blind));
            must(ok || f.have == how_many(s, state, f.datacenter, applies));
        }
    }
}

START_TEST(plans)
{
    each_shape(VIEWS, check_plans);
}
END_TEST

/* ---- writes ------------------------------------------------------------------------------------
 */

/* `state` is what each replica said, an enum verdict; would it do? open: what isn't known yet turns
 * out well. */
static bool would_do(const struct shape *s, const unsigned *state, enum consistency level,
                     bool hints, bool open, unsigned datacenter)
{
    unsigned all = s->racks[datacenter], applied = 0, durable = 0;
    for (unsigned i = 0; i < s->n; i++) {
        bool maybe = state[i] == VERDICT_NONE || state[i] == VERDICT_LOGGED;
        if (s->of[i] != datacenter)
            continue;
        applied += state[i] == VERDICT_APPLIED || (open && maybe);
        durable += state[i] == VERDICT_DURABLE;
    }
    if (level == CONSISTENCY_DC_ONE)
        return applied;
    if (level == CONSISTENCY_DC_QUORUM && hints && applied)
        return 2 * (applied + durable) > all;
    return 2 * applied > all;
}

static bool has(const struct shape *s, const unsigned *state, unsigned datacenter, unsigned what)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->of[i] == datacenter && state[i] == what)
            return true;
    return false;
}

static bool has_anywhere(const struct shape *s, const unsigned *state, unsigned what)
{
    for (unsigned d = 0; d < s->datacenters; d++)
        if (has(s, state, d, what))
            return true;
    return false;
}

static enum quorum_outcome model_outcome(const struct shape *s, const unsigned *state,
                                         enum consistency level, bool hints, bool blind, bool own)
{
    unsigned end = level == CONSISTENCY_DC_EACH_SAFE_QUORUM ? s->datacenters : 1;
    bool done = true, by_hint = false;
    if (own && state[0] == VERDICT_NONE)
        return QUORUM_WAIT;
    for (unsigned d = 0; d < end; d++) {
        if (would_do(s, state, level, hints, false, d))
            continue;
        bool open = has(s, state, d, VERDICT_NONE) || has(s, state, d, VERDICT_LOGGED);
        by_hint = level == CONSISTENCY_DC_ONE && hints && blind && !open &&
                  has(s, state, d, VERDICT_DURABLE);
        if (!by_hint && !would_do(s, state, level, hints, true, d))
            return has(s, state, d, VERDICT_REFUSED) ? QUORUM_NOHINT : QUORUM_NOQUORUM;
        done &= by_hint;
    }
    if (!done || has_anywhere(s, state, VERDICT_NONE))
        return QUORUM_WAIT;
    return by_hint ? QUORUM_BLIND : QUORUM_DONE;
}

static void check_write(const struct shape *s, const unsigned *state)
{
    struct write_word w[REPLICAS];
    for (enum consistency level = 0; level <= CONSISTENCY_DC_EACH_SAFE_QUORUM; level++)
        for (unsigned k = 0; k < 8; k++) {
            bool sloppy = k & 1, blind = k & 2, own = k & 4;
            struct shortfall f;
            for (unsigned i = 0; i < s->n; i++)
                w[i] = (struct write_word){.verdict = (uint8_t)state[i],
                                           .datacenter = (uint8_t)s->of[i],
                                           .own = own && i == 0};
            bool hints = sloppy && level <= CONSISTENCY_DC_QUORUM;
            enum quorum_outcome o = quorum_write(level, sloppy, blind, w, s->n, &f);
            must(o == model_outcome(s, state, level, hints, blind, own));
            must((o != QUORUM_NOQUORUM && o != QUORUM_NOHINT) ||
                 (!would_do(s, state, level, hints, true, f.datacenter) && f.have < f.need));
        }
}

START_TEST(write_words)
{
    each_shape(VERDICT_APPLIED + 1, check_write);
}
END_TEST

/* ---- reads -------------------------------------------------------------------------------------
 */

/* What a replica has to say; the values beside their stamps. */
enum { AWAY, FAILS, SILENT, SAYS_A, SAYS_B, SAYS_A5, SAYS_B6, SAYS_A6, SAYINGS };
static const char value_of[] = "---ABABA";
static const uint64_t stamp_of[] = {0, 0, 0, 0, 0, 5, 6, 6};

struct reading {
    const struct shape *s;
    const unsigned *state;
    enum consistency level;
    unsigned groups, asked;
    struct read_word w[REPLICAS];
    bool pending[REPLICAS];
};

static unsigned group_of(const struct reading *r, unsigned i)
{
    return r->level == CONSISTENCY_DC_ONE ? 0 : r->s->of[i];
}

/* Only those in counted groups take part; the others are put behind the end. */
static unsigned taking_part(const struct reading *r)
{
    bool all = r->level == CONSISTENCY_DC_ONE || r->level == CONSISTENCY_DC_EACH_SAFE_QUORUM;
    return all ? r->s->n : r->s->racks[0];
}

static bool ask(struct reading *r, bool impatient)
{
    unsigned n = taking_part(r), before = r->asked;
    for (unsigned g = 0; g < r->groups; g++) {
        unsigned more = quorum_read_lacks(r->level, r->w, n, g, impatient);
        for (unsigned i = 0; i < n && more; i++)
            if (r->w[i].group == g && !r->w[i].asked && !r->w[i].answered) {
                r->w[i].asked = r->pending[i] = true;
                r->asked++;
                more--;
            }
        if (more)
            ck_abort_msg("more are wanted than there are");
    }
    return r->asked > before;
}

static bool deliver(struct reading *r)
{
    unsigned n = taking_part(r), start = chance(n);
    for (unsigned k = 0; k < n; k++) {
        unsigned i = (start + k) % n;
        if (!r->pending[i] || r->state[i] == SILENT)
            continue;
        r->pending[i] = false;
        r->w[i].answered = true;
        if (r->state[i] != FAILS) {
            r->w[i].stamp = stamp_of[r->state[i]];
            r->w[i].reply = blob_new(&value_of[r->state[i]], 1);
            quorum_take(r->w, n, i, REPLY_EXACT);
        }
        return true;
    }
    return false;
}

static enum read_outcome run(struct reading *r, unsigned *chosen, struct shortfall *f)
{
    unsigned n = taking_part(r);
    r->groups = r->level == CONSISTENCY_DC_EACH_SAFE_QUORUM ? r->s->datacenters : 1;
    for (unsigned i = 0; i < n; i++)
        r->w[i] =
            (struct read_word){.group = (uint8_t)group_of(r, i), .answered = r->state[i] == AWAY};
    for (;;) {
        enum read_outcome o = quorum_read(r->level, r->w, n, r->groups, chosen, f);
        if (o != READ_WAIT)
            return o;
        if (!ask(r, false) && !deliver(r) && !ask(r, true))
            return o;
    }
}

/* Of a group: how many there are, answer, are silent, and gave the value that most gave. */
struct opinion {
    unsigned replicas, answer, silent, most;
    char value;
};

static struct opinion opinion_of(const struct reading *r, unsigned group)
{
    struct opinion o = {0};
    unsigned votes[2] = {0};
    for (unsigned i = 0; i < taking_part(r); i++) {
        if (group_of(r, i) != group)
            continue;
        o.replicas++;
        o.silent += r->state[i] == SILENT;
        o.answer += r->state[i] > SILENT;
        if (r->state[i] > SILENT)
            votes[value_of[r->state[i]] - 'A']++;
    }
    o.value = votes[1] > votes[0] ? 'B' : 'A';
    o.most = votes[1] > votes[0] ? votes[1] : votes[0];
    return o;
}

/* What is newer than all that a majority may lack comes out. */
static bool new_enough(const struct reading *r, uint64_t stamp, unsigned need)
{
    for (uint64_t s = 1; s <= 6; s++) {
        unsigned have = 0;
        for (unsigned i = 0; i < taking_part(r); i++)
            have += r->state[i] > SILENT && stamp_of[r->state[i]] >= s;
        if (have >= need && stamp < s)
            return false;
    }
    return true;
}

static void check_safe(const struct reading *r, enum read_outcome out, unsigned chosen,
                       const struct shortfall *f)
{
    const struct shape *s = r->s;
    const unsigned *state = r->state;
    enum consistency level = r->level;
    bool can = true, failed = false;
    for (unsigned g = 0; g < r->groups; g++) {
        struct opinion o = opinion_of(r, g);
        unsigned need = o.replicas / 2 + 1;
        can &= o.most >= need;
        failed |= o.most + o.silent < need;
        if (out == READ_DONE)
            must(value_of[state[chosen]] == o.value || group_of(r, chosen) != g);
        if (out == READ_FAILED && g == f->datacenter) {
            must(o.most + o.silent < need && f->need == need && f->have < need);
            must(f->have <= (f->differ ? o.most : o.answer) && (!f->differ || o.answer >= need));
        }
    }
    must((out == READ_DONE) == can);
    must((out == READ_FAILED) == failed);
}

static void check_quorum(const struct reading *r, enum read_outcome out, unsigned chosen)
{
    const struct shape *s = r->s;
    const unsigned *state = r->state;
    enum consistency level = r->level;
    struct opinion o = opinion_of(r, 0);
    unsigned need = level == CONSISTENCY_DC_ONE ? 1 : o.replicas / 2 + 1;
    must((out == READ_FAILED) == (o.answer + o.silent < need));
    must(out != READ_DONE || o.answer >= need);
    must(out != READ_WAIT || o.silent > 0);
    if (out == READ_DONE && level == CONSISTENCY_DC_QUORUM)
        must(new_enough(r, stamp_of[state[chosen]], need));
    bool same = true;
    for (unsigned i = 0; i < taking_part(r); i++)
        same &= state[i] == state[0] && state[0] > SILENT;
    if (same)
        must(out == READ_DONE && r->asked == need); /* nobody is asked in vain */
}

static void check_reads(const struct shape *s, const unsigned *state)
{
    for (enum consistency level = 0; level <= CONSISTENCY_DC_EACH_SAFE_QUORUM; level++) {
        struct reading r = {.s = s, .state = state, .level = level};
        struct shortfall f = {0};
        unsigned chosen = 0;
        enum read_outcome out = run(&r, &chosen, &f);
        must(out != READ_DONE || (r.w[chosen].reply && !r.pending[chosen]));
        if (level_is_safe(level))
            check_safe(&r, out, chosen, &f);
        else
            check_quorum(&r, out, chosen);
        if (out == READ_FAILED) /* all were asked */
            for (unsigned i = 0; i < taking_part(&r); i++)
                must(r.w[i].group != f.datacenter || state[i] == AWAY || r.w[i].asked);
        for (unsigned i = 0; i < s->n; i++)
            blob_unref(r.w[i].reply);
    }
}

START_TEST(read_words)
{
    each_shape(SAYINGS, check_reads);
}
END_TEST

static void cases(TCase *c)
{
    tcase_set_timeout(c, 120);
    tcase_add_test(c, plans);
    tcase_add_test(c, write_words);
    tcase_add_test(c, read_words);
}

int main(void)
{
    return unit_main("levels", cases);
}
