/* The plan and the quorum as tables: levels x who is up x who said what. */
#include "request/plan.h"
#include "request/quorum.h"
#include "unit.h"

/* A replica as a letter: O own, M own and its log must be replayed, U up, B behind, S standby, D
 * down, T up and told to be down, W up and told to be standby; capitals local, small ones remote.
 */
static unsigned views(const char *text, struct replica_view *v)
{
    unsigned n = 0;
    for (; text[n]; n++) {
        char c = text[n];
        bool local = c < 'a';
        c = (char)(c & ~0x20);
        v[n] = (struct replica_view){.node = (uint16_t)n,
                                     .local = local,
                                     .own = c == 'O' || c == 'M',
                                     .up = c != 'D',
                                     .normal = c != 'D' && c != 'S',
                                     .behind = c == 'B' || c == 'M',
                                     .told_down = c == 'T',
                                     .told_standby = c == 'W'};
    }
    return n;
}

START_TEST(reads)
{
    static const struct {
        enum consistency level;
        const char *replicas, *order;
        unsigned need;
        bool ok;
    } cases[] = {
        {CONSISTENCY_DC_ONE, "OUU", "012", 1, true},
        {CONSISTENCY_DC_ONE, "DUU", "12", 1, true},
        {CONSISTENCY_DC_ONE, "SUU", "120", 1, true},
        {CONSISTENCY_DC_ONE, "SDD", "0", 1, true},
        {CONSISTENCY_DC_ONE, "DDD", "", 1, false},
        {CONSISTENCY_DC_ONE, "DDDuu", "34", 1, true},
        {CONSISTENCY_DC_ONE, "SDDuu", "340", 1, true},
        {CONSISTENCY_DC_QUORUM, "OUU", "012", 2, true},
        {CONSISTENCY_DC_QUORUM, "OSU", "021", 2, true},
        {CONSISTENCY_DC_QUORUM, "ODU", "02", 2, true},
        {CONSISTENCY_DC_QUORUM, "ODD", "0", 2, false},
        {CONSISTENCY_DC_QUORUM, "ODDuuu", "0", 2, false},
        {CONSISTENCY_DC_QUORUM, "OU", "01", 2, true},
        {CONSISTENCY_DC_QUORUM, "O", "0", 1, true},
        {CONSISTENCY_DC_ONE, "TUWuw", "13240", 1, true},
        {CONSISTENCY_DC_QUORUM, "OTWUU", "03421", 3, true},
        {CONSISTENCY_DC_QUORUM, "OT", "01", 2, true}, /* rather than an error beforehand */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct replica_view v[RING_REPLICAS_MAX];
        struct read_plan p;
        unsigned n = views(cases[i].replicas, v);
        ck_assert_msg(plan_read(cases[i].level, v, n, &p) == cases[i].ok, "case %zu", i);
        ck_assert_uint_eq(p.need, cases[i].need);
        ck_assert_uint_eq(p.n, strlen(cases[i].order));
        for (unsigned k = 0; k < p.n; k++)
            ck_assert_msg(p.order[k] == cases[i].order[k] - '0', "case %zu place %u", i, k);
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
        unsigned have;
    } cases[] = {
        {CONSISTENCY_DC_ONE, true, true, false, "ODD", true, 1},
        {CONSISTENCY_DC_ONE, true, true, false, "UDD", true, 1},
        {CONSISTENCY_DC_ONE, true, true, true, "DDD", true, 1},
        {CONSISTENCY_DC_ONE, true, true, false, "DDD", false, 0},
        {CONSISTENCY_DC_ONE, true, false, true, "DDD", false, 0},
        {CONSISTENCY_DC_ONE, false, true, true, "DDD", false, 0},
        {CONSISTENCY_DC_ONE, true, true, false, "DDDu", false, 0},
        {CONSISTENCY_DC_ONE, true, true, false, "MUD", true, 1},
        {CONSISTENCY_DC_ONE, false, true, false, "MUD", true, 1},
        {CONSISTENCY_DC_ONE, true, true, true, "MDDu", true, 1},
        {CONSISTENCY_DC_ONE, true, true, false, "MDDu", false, 0},
        {CONSISTENCY_DC_QUORUM, true, true, false, "MUD", true, 3},
        {CONSISTENCY_DC_QUORUM, false, true, false, "MUD", false, 1},
        {CONSISTENCY_DC_QUORUM, false, true, false, "MUU", true, 2},
        {CONSISTENCY_DC_QUORUM, true, true, false, "OUU", true, 3},
        {CONSISTENCY_DC_QUORUM, true, true, false, "ODD", true, 3},
        {CONSISTENCY_DC_QUORUM, true, false, false, "ODD", false, 1},
        {CONSISTENCY_DC_QUORUM, false, true, false, "ODD", false, 1},
        {CONSISTENCY_DC_QUORUM, false, true, false, "OUD", true, 2},
        {CONSISTENCY_DC_QUORUM, false, true, false, "OSD", false, 1},
        {CONSISTENCY_DC_QUORUM, false, true, false, "OBD", false, 1},
        {CONSISTENCY_DC_QUORUM, true, true, false, "DDD", false, 0},
        {CONSISTENCY_DC_QUORUM, false, true, false, "ODDuuu", false, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct replica_view v[RING_REPLICAS_MAX];
        struct write_plan p;
        unsigned n = views(cases[i].replicas, v);
        bool ok =
            plan_write(cases[i].level, cases[i].sloppy, cases[i].hints, cases[i].blind, v, n, &p);
        ck_assert_msg(ok == cases[i].ok, "case %zu: %d", i, ok);
        ck_assert_msg(p.have == cases[i].have, "case %zu: have %u", i, p.have);
    }
}
END_TEST

/* Verdicts as letters: . none, L logged, K kept, D durable, R refused, A applied; the first is the
 * own store when `own`. */
static unsigned words(const char *text, bool own, struct write_word *w)
{
    static const char letters[] = ".LKDRA";
    unsigned n = 0;
    for (; text[n]; n++) {
        const char *at = strchr(letters, text[n] & ~0x20 ? text[n] : '.');
        w[n] = (struct write_word){
            .verdict = (uint8_t)(at - letters), .local = true, .own = own && n == 0};
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
        {CONSISTENCY_DC_ONE, true, true, false, "...", QUORUM_WAIT},
        {CONSISTENCY_DC_ONE, true, true, false, "ALL", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, true, true, false, "AL.", QUORUM_WAIT}, /* the hint isn't on disk */
        {CONSISTENCY_DC_ONE, true, true, false, "ALD", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, true, true, false, "ALK", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, true, true, false, "ALR", QUORUM_DONE}, /* counted as a miss */
        {CONSISTENCY_DC_ONE, true, true, false, ".LL", QUORUM_WAIT},
        {CONSISTENCY_DC_ONE, true, true, false, ".AL", QUORUM_WAIT}, /* its word comes */
        {CONSISTENCY_DC_ONE, true, true, false, "DLL", QUORUM_WAIT},
        {CONSISTENCY_DC_ONE, true, true, false, "DAL", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, false, true, false, "DAL", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, true, true, false, "KAL", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, true, true, false, "RAL", QUORUM_DONE}, /* counted as a miss */
        {CONSISTENCY_DC_ONE, true, true, true, "DDD", QUORUM_BLIND},
        {CONSISTENCY_DC_ONE, true, true, false, "DDD", QUORUM_NOQUORUM},
        {CONSISTENCY_DC_ONE, true, false, false, "LLL", QUORUM_WAIT},
        {CONSISTENCY_DC_ONE, true, false, false, "LAL", QUORUM_DONE},
        {CONSISTENCY_DC_ONE, true, false, true, "DDD", QUORUM_BLIND},
        {CONSISTENCY_DC_ONE, true, false, false, "DDD", QUORUM_NOQUORUM},
        {CONSISTENCY_DC_ONE, false, false, true, "DDD", QUORUM_NOQUORUM},
        {CONSISTENCY_DC_ONE, true, false, false, "RRR", QUORUM_NOHINT},
        {CONSISTENCY_DC_QUORUM, true, true, false, "ALL", QUORUM_WAIT},
        {CONSISTENCY_DC_QUORUM, true, true, false, "AAL", QUORUM_DONE},
        {CONSISTENCY_DC_QUORUM, true, true, false, "AA.", QUORUM_WAIT},
        {CONSISTENCY_DC_QUORUM, true, true, false, "ADL", QUORUM_DONE},
        {CONSISTENCY_DC_QUORUM, false, true, false, "ADL", QUORUM_WAIT},
        {CONSISTENCY_DC_QUORUM, false, true, false, "ADD", QUORUM_NOQUORUM},
        {CONSISTENCY_DC_QUORUM, true, true, false, "AKK", QUORUM_NOQUORUM},
        {CONSISTENCY_DC_QUORUM, true, true, false, "ARR", QUORUM_NOHINT},
        {CONSISTENCY_DC_QUORUM, true, true, false, "AAR", QUORUM_DONE},
        {CONSISTENCY_DC_QUORUM, true, false, false, "DDL", QUORUM_WAIT},
        {CONSISTENCY_DC_QUORUM, true, true, false, "DAL", QUORUM_DONE},
        {CONSISTENCY_DC_QUORUM, false, true, false, "DAL", QUORUM_WAIT},
        {CONSISTENCY_DC_QUORUM, false, true, false, "DAA", QUORUM_DONE},
        {CONSISTENCY_DC_QUORUM, true, true, false, "DDL", QUORUM_WAIT},
        {CONSISTENCY_DC_QUORUM, true, true, false, "DDD", QUORUM_NOQUORUM},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct write_word w[RING_REPLICAS_MAX];
        unsigned applied, n = words(cases[i].said, cases[i].own, w);
        enum quorum_outcome o =
            quorum_write(cases[i].level, cases[i].sloppy, cases[i].blind, w, n, &applied);
        ck_assert_msg(o == cases[i].outcome, "case %zu (%s): %d", i, cases[i].said, o);
    }
}
END_TEST

START_TEST(write_reply_of_most)
{
    struct blob *one = blob_new(":1\r\n", 4), *two = blob_new(":2\r\n", 4);
    struct write_word w[3] = {{VERDICT_APPLIED, true, true, one},
                              {VERDICT_APPLIED, true, false, two},
                              {VERDICT_APPLIED, true, false, two}};
    ck_assert_ptr_eq(quorum_write_reply(w, 3), two);
    w[2].reply = NULL;
    ck_assert_ptr_eq(quorum_write_reply(w, 3), one); /* a tie goes to the own store's */
    w[0].reply = w[1].reply = NULL;
    ck_assert_ptr_null(quorum_write_reply(w, 3));
    blob_unref(one);
    blob_unref(two);
}
END_TEST

START_TEST(newest_read_wins)
{
    struct blob *old = blob_new("$3\r\nold\r\n", 9), *new = blob_new("$3\r\nnew\r\n", 9);
    struct read_word w[3] = {{true, false, 5, 1, old}, {true, false, 6, 0, new}, {0}};
    ck_assert_int_eq(quorum_read(w, 3, false), 1);
    w[1].stamp = 5; /* equal times: the tag decides */
    ck_assert_int_eq(quorum_read(w, 3, false), 0);
    w[0].stamp = w[1].stamp = 0; /* no stamps and different: ask the rest */
    w[0].tag = 0;
    ck_assert_int_eq(quorum_read(w, 3, false), -1);
    w[2] = (struct read_word){true, false, 0, 0, new};
    ck_assert_int_eq(quorum_read(w, 3, true), 1);
    w[2] = (struct read_word){true, true, 0, 0, NULL};
    ck_assert_int_eq(quorum_read(w, 3, true), 0); /* a tie goes to the nearest */
    blob_unref(old);
    blob_unref(new);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, reads);
    tcase_add_test(c, writes);
    tcase_add_test(c, write_outcomes);
    tcase_add_test(c, write_reply_of_most);
    tcase_add_test(c, newest_read_wins);
}

int main(void)
{
    return unit_main("quorum", add_cases);
}
