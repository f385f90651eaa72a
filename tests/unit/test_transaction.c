/* The record of a transaction: what it says, what is refused of a peer, what the others get. */
#include "records.h"
#include "unit.h"

static const struct command_spec *row(void)
{
    const struct command_spec *spec = command_find(slice_str("TRANSACTION"));
    ck_assert(transaction_is(spec));
    return spec;
}

START_TEST(test_what_it_says)
{
    struct tx_record m;
    struct error e;
    struct transaction t;
    size_t keys[4];
    tx_record_make(&m, slice_str(VERSION), "a b", LINES("SET a 1", "GET b", "INCR a"));
    ck_assert_msg(command_arity_ok(row(), &m.cmd, &e), "%s", e.text);
    ck_assert_uint_eq(transaction_count(&m.cmd), 3);
    ck_assert_uint_eq(transaction_watches(&m.cmd).len, TRANSACTION_VERSION);
    ck_assert_uint_eq(command_keys(row(), &m.cmd, keys, ARRAY_LEN(keys)), 2);
    ck_assert(slice_eq(m.cmd.argv[keys[1]], slice_str("b")));
    transaction_open(&t, &m.cmd);
    ck_assert(transaction_next(&t));
    ck_assert_str_eq(t.spec->name, "SET");
    ck_assert(transaction_next(&t));
    ck_assert_str_eq(t.spec->name, "GET");
    ck_assert(slice_eq(t.cmd.argv[1], slice_str("b")));
    ck_assert(transaction_next(&t));
    ck_assert(!transaction_next(&t));
    transaction_close(&t);
    tx_record_unmake(&m);
}
END_TEST

START_TEST(test_class)
{
    static const struct {
        const char *watches;
        const char *lines[4];
        enum command_class class_;
        bool undetermined;
    } cases[] = {
        {"", {"GET a", "STRLEN a"}, COMMAND_READ, false},
        {"", {"GET a", "INCR a"}, COMMAND_CHANGE, false},
        {"", {"SET a 1"}, COMMAND_CHANGE, false},
        {VERSION, {"GET a"}, COMMAND_CHANGE, true},
        {VERSION, {NULL}, COMMAND_CHANGE, true},
        {"", {"SET a 1", "SPOP a"}, COMMAND_CHANGE, true},
        {"", {"XADD a * f v"}, COMMAND_CHANGE, true},
        {"", {"XADD a 5-1 f v"}, COMMAND_CHANGE, false},
        {"", {"EVAL x 1 a"}, COMMAND_CHANGE, true},
        {"", {"GETEX a"}, COMMAND_READ, false},
        {"", {"VERSIONS a"}, COMMAND_CHANGE, false}, /* isn't ok */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tx_record m;
        tx_record_make(&m, slice_str(cases[i].watches), "a", cases[i].lines);
        ck_assert_msg(command_class_of(row(), &m.cmd) == cases[i].class_, "class of %zu", i);
        ck_assert_msg(command_undetermined(row(), &m.cmd) == cases[i].undetermined,
                      "undetermined %zu", i);
        ck_assert_msg(command_stays_undetermined(row(), &m.cmd) == cases[i].undetermined,
                      "stays undetermined %zu", i);
        tx_record_unmake(&m);
    }
}
END_TEST

START_TEST(test_refused)
{
    static const struct {
        const char *watches, *keys, *line;
    } cases[] = {
        {"", "", "SET a 1"},             /* no keys */
        {"", "a", "SET b 1"},            /* not its key */
        {"", "a", "SET a"},              /* too few arguments */
        {"", "a", "WHAT a"},             /* unknown */
        {"", "a", "PING"},               /* a node answers it */
        {"", "a", "SUBSCRIBE a"},        /* refused */
        {"", "a", "TRANSACTION x 1 a"},  /* within another one */
        {"0123", "a", "SET a 1"},        /* half a version */
        {VERSION VERSION, "a", "GET a"}, /* more versions than keys */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tx_record m;
        struct error e;
        tx_record_make(&m, slice_str(cases[i].watches), cases[i].keys, LINES(cases[i].line));
        ck_assert_msg(!command_arity_ok(row(), &m.cmd, &e), "%zu is taken", i);
        tx_record_unmake(&m);
    }
    struct tx_record m;
    struct error e;
    tx_record_make(&m, slice_str(""), "a", LINES("SET a 1"));
    for (size_t cut = 1; cut < 3; cut++) { /* fewer arguments than any record has */
        struct resp_command less = m.cmd;
        less.argc -= cut;
        ck_assert(!command_arity_ok(row(), &less, &e) || cut == 1);
    }
    m.cmd.argv[4] = slice_str("*1\r\n$3\r\nSE"); /* bytes that are no command */
    ck_assert(!command_arity_ok(row(), &m.cmd, &e));
    m.cmd.argv[2] = slice_str("18446744073709551615");
    ck_assert(!command_arity_ok(row(), &m.cmd, &e));
    tx_record_unmake(&m);
}
END_TEST

START_TEST(test_what_the_others_get)
{
    struct tx_record m;
    struct buf out = BUF_INIT;
    struct resp_command settled = {0};
    struct error e;
    size_t n;
    tx_record_make(&m, slice_str(VERSION), "a b c", LINES("SET c 1", "GET b", "INCR a", "INCR c"));
    transaction_settled(&m.cmd, &out);
    ck_assert(resp_command_parse(buf_slice(&out), &settled));
    ck_assert(transaction_ok(&settled, &e));
    ck_assert_uint_eq(transaction_watches(&settled).len, 0);
    ck_assert_uint_eq(transaction_count(&settled), 3);
    struct slice *written = transaction_written(&settled, &n);
    ck_assert_uint_eq(n, 2);
    ck_assert(slice_eq(written[0], slice_str("a")) && slice_eq(written[1], slice_str("c")));
    mem_free(written);
    resp_command_fini(&settled);
    buf_reset(&out, 0);
    tx_record_unmake(&m);
    tx_record_make(&m, slice_str(VERSION), "a", LINES("GET a")); /* nothing */
    transaction_settled(&m.cmd, &out);
    ck_assert_uint_eq(out.len, 0);
    tx_record_unmake(&m);
    tx_record_make(&m, slice_str(VERSION), "a", NO_LINES);
    ck_assert(transaction_ok(&m.cmd, &e));
    transaction_settled(&m.cmd, &out);
    ck_assert_uint_eq(out.len, 0);
    tx_record_unmake(&m);
    buf_fini(&out);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, test_what_it_says);
    tcase_add_test(c, test_class);
    tcase_add_test(c, test_refused);
    tcase_add_test(c, test_what_the_others_get);
}

int main(void)
{
    return unit_main("transaction", add_cases);
}
