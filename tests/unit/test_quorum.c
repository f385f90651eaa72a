/* The plan and the quorum as tables: levels x who is up x who said what. */
#include "request/plan.h"
#include "request/quorum.h"
#include "unit.h"

/* A replica as a letter: O own, M own and its log must be replayed, U up, B behind, S standby, D
 * down, T up and told to be down, W up and told to be standby, J joining. A | ends a datacenter;
 * the first is the own one. */
static unsigned views(const char *text, struct replica_view *v)
{
    unsigned n = 0, datacenter = 0;
    for (; *text; text++) {
        char c = *text;
        if (c == '|') {
            datacenter++;
            continue;
        }
        v[n] = (struct replica_view){.node = (uint16_t)n,
                                     .datacenter = (uint8_t)datacenter,
                                     .own = c == 'O' || c == 'M',
                                     .up = c != 'D',
                                     .normal = c != 'D' && c != 'S',
                                     .behind = c == 'B' || c == 'M',
                                     .joining = c == 'J',
                                     .told_down = c == 'T',
                                     .told_standby = c == 'W'};
        n++;
    }
    return n;
}

#define ONE    CONSISTENCY_DC_ONE
#define QUORUM CONSISTENCY_DC_QUORUM
#define SAFE   CONSISTENCY_DC_SAFE_QUORUM
#define EACH   CONSISTENCY_DC_EACH_SAFE_QUORUM

/* The order of those that may be asked; where it isn't ok: have of need in which datacenter. */
START_TEST(reads)
{
    static const struct {
        enum consistency level;
        const char *replicas, *order;
        bool ok;
        unsigned have, need, datacenter;
    } cases[] = {
        {ONE, "OUU", "012", true, 0, 0, 0},
        {ONE, "DUU", "12", true, 0, 0, 0},
        {ONE, "SUU", "120", true, 0, 0, 0},
        {ONE, "SDD", "0", true, 0, 0, 0},
        {ONE, "DDD", "", false, 0, 1, 0},
        {ONE, "DDD|UU", "34", true, 0, 0, 0},
        {ONE, "SDD|UU", "340", true, 0, 0, 0},
        {ONE, "SDD|S|U", "403", true, 0, 0, 0},
        {ONE, "J|U", "1", true, 0, 0, 0},
        {ONE, "", "", false, 0, 1, 0},
        {QUORUM, "OUU", "012", true, 0, 0, 0},
        {QUORUM, "OSU", "021", true, 0, 0, 0},
        {QUORUM, "ODU", "02", true, 0, 0, 0},
        {QUORUM, "ODD", "0", false, 1, 2, 0},
        {QUORUM, "ODD|UUU", "0", false, 1, 2, 0},
        {QUORUM, "OU", "01", true, 0, 0, 0},
        {QUORUM, "O", "0", true, 0, 0, 0},
        {QUORUM, "OJJJ", "0", true, 0, 0, 0},
        {ONE, "TUW|UW", "13240", true, 0, 0, 0},
        {QUORUM, "OTWUU", "03421", true, 0, 0, 0},
        {QUORUM, "OT", "01", true, 0, 0, 0}, /* rather than an error beforehand */
        {SAFE, "OSU", "021", true, 0, 0, 0},
        {SAFE, "ODU|DDD", "02", true, 0, 0, 0},
        {SAFE, "ODD|UUU", "0", false, 1, 2, 0},
        {EACH, "OUU|UUU", "012345", true, 0, 0, 0},
        {EACH, "OUU|DUU", "01245", true, 0, 0, 0},
        {EACH, "OSU|USU", "023514", true, 0, 0, 0},
        {EACH, "OUU|DDU", "0125", false, 1, 2, 1},
        {EACH, "ODD|DDD", "0", false, 1, 2, 0},
        {EACH, "O|U|U|D", "012", false, 0, 1, 3},
        {EACH, "O|J|U", "02", true, 0, 0, 0}, /* nobody there has the key yet */
        {EACH, "J|U", "1", false, 0, 1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct replica_view v[RING_REPLICAS_MAX];
        struct read_plan p;
        struct shortfall s = {0};
        unsigned n = views(cases[i].replicas, v);
        ck_assert_msg(plan_read(cases[i].level, v, n, &p, &s) == cases[i].ok, "case %zu", i);
        ck_assert_uint_eq(p.can, strlen(cases[i].order));
        for (unsigned k = 0; k < p.can; k++)
            ck_assert_msg(p.node[k] == cases[i].order[k] - '0', "case %zu place %u", i, k);
        ck_assert_msg(s.have == cases[i].have && s.need == cases[i].need &&
                          s.datacenter == cases[i].datacenter,
                      "case %zu: %u of %u in %u", i, s.have, s.need, s.datacenter);
    }
}
END_TEST

START_TEST(writes)
{
    static const struct {
        enum consistency level;
        bool sloppy, hints, blind;
        const char *replicas;
        bool ok;
        unsigned have, datacenter; /* where it isn't ok */
    } cases[] = {
        {ONE, true, true, false, "ODD", true, 0, 0},
        {ONE, true, true, false, "UDD", true, 0, 0},
        {ONE, true, true, true, "DDD", true, 0, 0},
        {ONE, true, true, false, "DDD", false, 0, 0},
        {ONE, true, false, true, "DDD", false, 0, 0},
        {ONE, false, true, true, "DDD", false, 0, 0},
        {ONE, true, true, false, "DDD|U", false, 0, 0},
        {ONE, true, true, false, "MUD", true, 0, 0},
        {ONE, false, true, false, "MUD", true, 0, 0},
        {ONE, true, true, true, "MDD|U", true, 0, 0},
        {ONE, true, true, false, "MDD|U", false, 0, 0},
        {ONE, true, true, true, "J|U", false, 0, 0},
        {QUORUM, true, true, false, "MUD", true, 0, 0},
        {QUORUM, false, true, false, "MUD", false, 1, 0},
        {QUORUM, false, true, false, "MUU", true, 0, 0},
        {QUORUM, true, true, false, "OUU", true, 0, 0},
        {QUORUM, true, true, false, "ODD", true, 0, 0},
        {QUORUM, true, false, false, "ODD", false, 1, 0},
        {QUORUM, false, true, false, "ODD", false, 1, 0},
        {QUORUM, false, true, false, "OUD", true, 0, 0},
        {QUORUM, false, true, false, "OSD", false, 1, 0},
        {QUORUM, false, true, false, "OBD", false, 1, 0},
        {QUORUM, true, true, false, "DDD", false, 0, 0},
        {QUORUM, false, true, false, "ODD|UUU", false, 1, 0},
        {SAFE, true, true, true, "ODD", false, 1, 0}, /* hints never count */
        {SAFE, true, true, true, "OBS", false, 1, 0},
        {SAFE, true, true, true, "OUD|DDD", true, 0, 0},
        {SAFE, true, true, true, "OUDJJJ", true, 0, 0},
        {EACH, true, true, true, "OUD|UUD", true, 0, 0},
        {EACH, true, true, true, "OUU|UDD", false, 1, 1},
        {EACH, true, true, true, "OUU|UBS", false, 1, 1},
        {EACH, true, true, true, "ODD|UUU", false, 1, 0},
        {EACH, true, true, true, "OU|UU|UD", false, 1, 2},
        {EACH, true, true, true, "O|J|U", true, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct replica_view v[RING_REPLICAS_MAX];
        struct shortfall s = {0};
        unsigned n = views(cases[i].replicas, v);
        bool ok =
            plan_write(cases[i].level, cases[i].sloppy, cases[i].hints, cases[i].blind, v, n, &s);
        ck_assert_msg(ok == cases[i].ok, "case %zu: %d", i, ok);
        ck_assert_msg(ok || (s.have == cases[i].have && s.datacenter == cases[i].datacenter),
                      "case %zu: have %u in %u", i, s.have, s.datacenter);
    }
}
END_TEST

/* Verdicts as letters: . none, L logged, K kept, D durable, R refused, A applied; small ones of who
 * joins; the first is the own store when `own`. A | ends a datacenter. */
static unsigned words(const char *text, bool own, struct write_word *w)
{
    static const char letters[] = ".LKDRA";
    unsigned n = 0, datacenter = 0;
    for (; *text; text++) {
        if (*text == '|') {
            datacenter++;
            continue;
        }
        const char *at = strchr(letters, *text >= 'a' ? *text - 'a' + 'A' : *text);
        w[n] = (struct write_word){.verdict = (uint8_t)(at - letters),
                                   .datacenter = (uint8_t)datacenter,
                                   .own = own && n == 0,
                                   .joining = *text >= 'a'};
        n++;
    }
    return n;
}

START_TEST(write_outcomes)
{
    static const struct {
        enum consistency level;
        bool sloppy, own, blind;
        const char *said;
        enum quorum_outcome outcome;
    } cases[] = {
        {ONE, true, true, false, "...", QUORUM_WAIT},
        {ONE, true, true, false, "ALL", QUORUM_DONE},
        {ONE, true, true, false, "AL.", QUORUM_WAIT}, /* the hint isn't on disk */
        {ONE, true, true, false, "ALD", QUORUM_DONE},
        {ONE, true, true, false, "ALK", QUORUM_DONE},
        {ONE, true, true, false, "ALR", QUORUM_DONE}, /* counted as a miss */
        {ONE, true, true, false, ".LL", QUORUM_WAIT},
        {ONE, true, true, false, ".AL", QUORUM_WAIT}, /* its word comes */
        {ONE, true, true, false, "DLL", QUORUM_WAIT},
        {ONE, true, true, false, "DAL", QUORUM_DONE},
        {ONE, false, true, false, "DAL", QUORUM_DONE},
        {ONE, true, true, false, "KAL", QUORUM_DONE},
        {ONE, true, true, false, "RAL", QUORUM_DONE}, /* counted as a miss */
        {ONE, true, true, true, "DDD", QUORUM_BLIND},
        {ONE, true, true, false, "DDD", QUORUM_NOQUORUM},
        {ONE, true, false, false, "LLL", QUORUM_WAIT},
        {ONE, true, false, false, "LAL", QUORUM_DONE},
        {ONE, true, false, true, "DDD", QUORUM_BLIND},
        {ONE, true, false, false, "DDD", QUORUM_NOQUORUM},
        {ONE, false, false, true, "DDD", QUORUM_NOQUORUM},
        {ONE, true, false, false, "RRR", QUORUM_NOHINT},
        {QUORUM, true, true, false, "ALL", QUORUM_WAIT},
        {QUORUM, true, true, false, "AAL", QUORUM_DONE},
        {QUORUM, true, true, false, "AA.", QUORUM_WAIT},
        {QUORUM, true, true, false, "ADL", QUORUM_DONE},
        {QUORUM, false, true, false, "ADL", QUORUM_WAIT},
        {QUORUM, false, true, false, "ADD", QUORUM_NOQUORUM},
        {QUORUM, true, true, false, "AKK", QUORUM_NOQUORUM},
        {QUORUM, true, true, false, "ARR", QUORUM_NOHINT},
        {QUORUM, true, true, false, "AAR", QUORUM_DONE},
        {QUORUM, true, false, false, "DDL", QUORUM_WAIT},
        {QUORUM, true, true, false, "DAL", QUORUM_DONE},
        {QUORUM, false, true, false, "DAL", QUORUM_WAIT},
        {QUORUM, false, true, false, "DAA", QUORUM_DONE},
        {QUORUM, true, true, false, "DDL", QUORUM_WAIT},
        {QUORUM, true, true, false, "DDD", QUORUM_NOQUORUM},
        {QUORUM, true, true, false, "AAL|LLL", QUORUM_DONE},
        {QUORUM, true, true, false, "AAL|.LL", QUORUM_WAIT}, /* no log has it yet */
        {QUORUM, true, true, false, "ALLaa|AAA", QUORUM_WAIT},
        {QUORUM, true, true, false, "AKK|RRR", QUORUM_NOQUORUM}, /* its hints change nothing */
        {SAFE, true, true, true, "ADD", QUORUM_NOQUORUM},
        {SAFE, true, true, true, "ADL", QUORUM_WAIT},
        {SAFE, true, true, true, "ADA", QUORUM_DONE},
        {SAFE, true, true, true, "DDD", QUORUM_NOQUORUM},
        {SAFE, true, true, true, "AAL|DDD", QUORUM_DONE},
        {EACH, true, true, true, "AAL|LLL", QUORUM_WAIT},
        {EACH, true, true, true, "AAL|ALA", QUORUM_DONE},
        {EACH, true, true, true, "AAL|ADA", QUORUM_DONE},
        {EACH, true, true, true, "AAL|ADD", QUORUM_NOQUORUM},
        {EACH, true, true, true, "ALL|ADD", QUORUM_NOQUORUM}, /* the own one isn't waited for */
        {EACH, true, true, true, "AAL|ARR", QUORUM_NOHINT},
        {EACH, true, true, true, "AAL|a|A", QUORUM_DONE},
        {EACH, true, true, true, ".AA|AAA", QUORUM_WAIT},
        {EACH, true, true, true, "AA.|AAA", QUORUM_WAIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct write_word w[RING_REPLICAS_MAX];
        struct shortfall s;
        unsigned n = words(cases[i].said, cases[i].own, w);
        enum quorum_outcome o =
            quorum_write(cases[i].level, cases[i].sloppy, cases[i].blind, w, n, &s);
        ck_assert_msg(o == cases[i].outcome, "case %zu (%s): %d", i, cases[i].said, o);
    }
}
END_TEST

START_TEST(write_says_where_it_failed)
{
    struct write_word w[RING_REPLICAS_MAX];
    struct shortfall s;
    unsigned n = words("AAL|AAA|ADDDD", true, w);
    ck_assert_int_eq(quorum_write(EACH, true, true, w, n, &s), QUORUM_NOQUORUM);
    ck_assert(s.datacenter == 2 && s.have == 1 && s.need == 3 && !s.differ);
    n = words("DDD|DDD", true, w);
    ck_assert_int_eq(quorum_write(EACH, true, true, w, n, &s), QUORUM_NOQUORUM);
    ck_assert(s.datacenter == 0 && s.have == 0 && s.need == 2);
}
END_TEST

START_TEST(write_reply_of_most)
{
    struct blob *one = blob_new(":1\r\n", 4), *two = blob_new(":2\r\n", 4);
    struct write_word w[6];
    unsigned n = words("AAA|AAa", true, w);
    w[0].reply = one;
    w[1].reply = w[2].reply = two;
    ck_assert_ptr_eq(quorum_write_reply(ONE, w, 3), two);
    w[2].reply = NULL;
    ck_assert_ptr_eq(quorum_write_reply(QUORUM, w, 3), one); /* a tie goes to the own store's */
    w[3].reply = w[4].reply = two;
    ck_assert_ptr_eq(quorum_write_reply(SAFE, w, n), one); /* far ones don't count */
    ck_assert_ptr_eq(quorum_write_reply(EACH, w, n), two);
    w[4].verdict = VERDICT_LOGGED;
    w[3].reply = one;
    w[5].reply = two; /* who joins doesn't count */
    ck_assert_ptr_eq(quorum_write_reply(EACH, w, n), one);
    w[0].reply = w[1].reply = w[3].reply = NULL;
    ck_assert_ptr_null(quorum_write_reply(EACH, w, n));
    blob_unref(one);
    blob_unref(two);
}
END_TEST

/* Of replicas that were all asked: letters are values, a digit behind one is its stamp (0 without),
 * a ! makes it the client's anchor; . silent, x failed. A | ends a datacenter. */
static unsigned answers(const char *text, struct read_word *w, unsigned *groups)
{
    unsigned n = 0;
    *groups = 1;
    for (; *text; text++) {
        if (*text == '|') {
            ++*groups;
        } else if (*text >= '0' && *text <= '9') {
            w[n - 1].stamp = (uint64_t)(*text - '0');
        } else if (*text == '!') {
            w[n - 1].anchor = true;
        } else {
            w[n] = (struct read_word){.asked = *text != '-',
                                      .answered = *text != '.' && *text != '-',
                                      .group = (uint8_t)(*groups - 1)};
            if (*text >= 'A' && *text <= 'Z') {
                w[n].reply = blob_new(text, 1);
                quorum_take(w, n + 1, n, REPLY_EXACT);
            }
            n++;
        }
    }
    return n;
}

/* -: not asked yet. chosen: the place of the answer. lacks: how many more are wanted, by group. */
START_TEST(read_outcomes)
{
    static const struct {
        enum consistency level;
        const char *said;
        enum read_outcome outcome;
        unsigned chosen;
        const char *lacks;
        const char *failed; /* have, need, datacenter, d: they differ */
    } cases[] = {
        {ONE, "---", READ_WAIT, 0, "1", ""},
        {ONE, ".--", READ_WAIT, 0, "0", ""},
        {ONE, "x--", READ_WAIT, 0, "1", ""},
        {ONE, "xA-", READ_DONE, 1, "0", ""},
        {ONE, ".A-", READ_DONE, 1, "0", ""},
        {ONE, "xxx", READ_FAILED, 0, "0", "010"},
        {ONE, "", READ_FAILED, 0, "0", "010"},
        {QUORUM, "---", READ_WAIT, 0, "2", ""},
        {QUORUM, "A.-", READ_WAIT, 0, "0", ""},
        {QUORUM, "Ax-", READ_WAIT, 0, "1", ""},
        {QUORUM, "AA-", READ_DONE, 0, "0", ""},
        {QUORUM, "A5B6-", READ_DONE, 1, "0", ""},
        {QUORUM, "A6B5-", READ_DONE, 0, "0", ""},
        {QUORUM, "AB-", READ_WAIT, 0, "1", ""}, /* they differ, no stamp tells */
        {QUORUM, "AB.", READ_WAIT, 0, "0", ""},
        {QUORUM, "ABB", READ_DONE, 1, "0", ""},
        {QUORUM, "ABx", READ_DONE, 0, "0", ""}, /* a tie goes to the nearest */
        {QUORUM, "ABC", READ_DONE, 0, "0", ""},
        {QUORUM, "A5B5C4", READ_DONE, 0, "0", ""},
        {QUORUM, "A5B5B4", READ_DONE, 1, "0", ""},
        {QUORUM, "B4A5B4", READ_DONE, 1, "0", ""},
        {QUORUM, "AB---", READ_WAIT, 0, "1", ""},
        {QUORUM, "ABB--", READ_WAIT, 0, "2", ""},
        {QUORUM, "Axx", READ_FAILED, 0, "0", "120"},
        {QUORUM, "xx.", READ_FAILED, 0, "0", "020"},
        {QUORUM, "A!B-", READ_DONE, 0, "0", ""}, /* the client's own write decides */
        {QUORUM, "A!BB", READ_DONE, 0, "0", ""},
        {QUORUM, "A5!B6-", READ_DONE, 1, "0", ""},
        {QUORUM, "A5!B6C6", READ_DONE, 1, "0", ""},
        {SAFE, "---", READ_WAIT, 0, "2", ""},
        {SAFE, "AA-", READ_DONE, 0, "0", ""},
        {SAFE, "A5A6-", READ_DONE, 1, "0", ""},
        {SAFE, "A5B6-", READ_WAIT, 0, "1", ""},
        {SAFE, "A5B6B6", READ_DONE, 1, "0", ""},
        {SAFE, "A5B6A5", READ_DONE, 0, "0", ""}, /* B was on no majority */
        {SAFE, "ABC", READ_FAILED, 0, "0", "120d"},
        {SAFE, "ABx", READ_FAILED, 0, "0", "120d"},
        {SAFE, "Axx", READ_FAILED, 0, "0", "120"},
        {SAFE, "AB.", READ_WAIT, 0, "0", ""},
        {SAFE, "ABC..", READ_WAIT, 0, "0", ""},
        {SAFE, "ABC--", READ_WAIT, 0, "2", ""},
        {SAFE, "AABC-", READ_WAIT, 0, "1", ""},
        {SAFE, "ABCD-", READ_WAIT, 0, "1", ""}, /* in vain, but all are asked */
        {SAFE, "ABCD.", READ_FAILED, 0, "0", "130d"},
        {SAFE, "A!BB", READ_FAILED, 0, "0", "120d"}, /* never without the client's own write */
        {SAFE, "A5!B6B6", READ_DONE, 1, "0", ""},
        {SAFE, "A5!B6B4", READ_DONE, 1, "0", ""},
        {SAFE, "A5!B4B4", READ_FAILED, 0, "0", "120d"},
        {SAFE, "A!BA", READ_DONE, 0, "0", ""},
        {SAFE, ".BB", READ_DONE, 1, "0", ""},
        {EACH, "---|---", READ_WAIT, 0, "22", ""},
        {EACH, "AA-|.A-", READ_WAIT, 0, "00", ""},
        {EACH, "AA-|xA-", READ_WAIT, 0, "01", ""},
        {EACH, "AA-|AA-", READ_DONE, 0, "00", ""},
        {EACH, "A4A4-|B5B5-", READ_DONE, 3, "00", ""}, /* the newest of them */
        {EACH, "A5A5-|B4B4-", READ_DONE, 0, "00", ""},
        {EACH, "AA-|BB-", READ_DONE, 0, "00", ""}, /* the own datacenter's */
        {EACH, "AB-|BB-", READ_WAIT, 0, "10", ""},
        {EACH, "AA-|Bxx", READ_FAILED, 0, "00", "121"},
        {EACH, "AA-|ABC", READ_FAILED, 0, "00", "121d"},
        {EACH, "A.-|ABC", READ_FAILED, 0, "00", "121d"},
        {EACH, "ABC|ABC", READ_FAILED, 0, "00", "120d"},
        {EACH, "A||A", READ_DONE, 0, "000", ""},
        {EACH, "|A", READ_FAILED, 0, "00", "010"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct read_word w[RING_REPLICAS_MAX];
        struct shortfall s = {0};
        unsigned groups, chosen = 0, n = answers(cases[i].said, w, &groups);
        enum read_outcome o = quorum_read(cases[i].level, w, n, groups, &chosen, &s);
        char failed[8] = "", lacks[8] = "";
        if (o == READ_FAILED)
            snprintf(failed, sizeof failed, "%u%u%u%s", s.have % 10, s.need % 10, s.datacenter % 10,
                     s.differ ? "d" : "");
        for (unsigned g = 0; g < groups && g < 7; g++)
            lacks[g] = (char)('0' + quorum_read_lacks(cases[i].level, w, n, g, false));
        ck_assert_msg(o == cases[i].outcome, "case %zu (%s): %d", i, cases[i].said, o);
        ck_assert_msg(o != READ_DONE || chosen == cases[i].chosen, "case %zu (%s): %u", i,
                      cases[i].said, chosen);
        ck_assert_msg(strcmp(failed, cases[i].failed) == 0, "case %zu (%s): %s", i, cases[i].said,
                      failed);
        ck_assert_msg(o == READ_FAILED || strcmp(lacks, cases[i].lacks) == 0, "case %zu (%s): %s",
                      i, cases[i].said, lacks);
        for (unsigned k = 0; k < n; k++)
            blob_unref(w[k].reply);
    }
}
END_TEST

/* Who is silent isn't relied on, in each datacenter for itself. */
START_TEST(silent_replicas_are_not_relied_on)
{
    static const struct {
        enum consistency level;
        const char *said, *lacks;
    } cases[] = {{ONE, ".--", "1"},       {ONE, "..-", "1"},         {QUORUM, "A.-", "1"},
                 {QUORUM, "..-", "1"},    {QUORUM, "...--", "2"},    {QUORUM, "AB.-", "1"},
                 {SAFE, "A.---", "2"},    {SAFE, "AA.--", "1"},      {EACH, "A.-|AA-", "10"},
                 {EACH, "A.-|..-", "11"}, {EACH, "AA-|..---", "03"}, {EACH, "AA-|AB.-", "01"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct read_word w[RING_REPLICAS_MAX];
        unsigned groups, n = answers(cases[i].said, w, &groups);
        for (unsigned g = 0; g < groups; g++) {
            unsigned lacks = quorum_read_lacks(cases[i].level, w, n, g, true);
            ck_assert_msg(lacks == (unsigned)(cases[i].lacks[g] - '0'), "case %zu (%s): %u", i,
                          cases[i].said, lacks);
        }
        for (unsigned k = 0; k < n; k++)
            blob_unref(w[k].reply);
    }
}
END_TEST

START_TEST(differences_are_told)
{
    static const struct {
        const char *said;
        bool differ;
    } cases[] = {{"A--", false}, {"AA-", false},  {"A5A6", false},   {"AB-", true},
                 {"xxx", false}, {"AxA", false},  {"AxB", true},     {"AA-|AA-", false},
                 {"", false},    {"AA|BB", true}, {"A.-|..A", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct read_word w[RING_REPLICAS_MAX];
        unsigned groups, n = answers(cases[i].said, w, &groups);
        ck_assert_msg(quorum_read_differs(w, n) == cases[i].differ, "%s", cases[i].said);
        for (unsigned k = 0; k < n; k++)
            blob_unref(w[k].reply);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, reads);
    tcase_add_test(c, writes);
    tcase_add_test(c, write_outcomes);
    tcase_add_test(c, write_says_where_it_failed);
    tcase_add_test(c, write_reply_of_most);
    tcase_add_test(c, read_outcomes);
    tcase_add_test(c, silent_replicas_are_not_relied_on);
    tcase_add_test(c, differences_are_told);
}

int main(void)
{
    return unit_main("quorum", add_cases);
}
