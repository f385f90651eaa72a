/* Exactly once and in order, whatever the link does: a sender's log with holes, a receiver that
 * restarts from what it kept, a link that loses, repeats and breaks; from a printed seed. */
#include "hint/numbers.h"
#include "unit.h"

#define RECORDS 300

START_TEST(table)
{
    ck_assert_int_eq(number_check(5, false, 0, 6), NUMBER_APPLY);
    ck_assert_int_eq(number_check(5, false, 0, 5), NUMBER_DUPLICATE);
    ck_assert_int_eq(number_check(5, false, 0, 7), NUMBER_GAP);
    ck_assert_int_eq(number_check(5, true, 5, 9), NUMBER_APPLY);
    ck_assert_int_eq(number_check(5, true, 6, 9), NUMBER_GAP);
    ck_assert_int_eq(number_check(5, true, 2, 5), NUMBER_DUPLICATE);
    ck_assert_int_eq(number_check(5, true, 2, 9), NUMBER_APPLY);
    ck_assert_int_eq(number_check(0, true, 0, 7ull << 32), NUMBER_APPLY);
}
END_TEST

struct message {
    bool skip;
    uint64_t from, seq;
};

START_TEST(any_link)
{
    unsigned seed = unit_seed();
    for (int round = 0; round < 500; round++) {
        bool there[RECORDS + 1];
        unsigned effect[RECORDS + 1] = {0};
        uint64_t durable = 0, last = 0, order = 0;
        for (int i = 1; i <= RECORDS; i++)
            there[i] = rand_r(&seed) % 20 != 0;
        for (int links = 0; durable < RECORDS; links++) {
            ck_assert_int_lt(links, 100000);
            uint64_t told = durable, sent = durable; /* the handshake */
            last = durable;
            bool broken = false;
            while (!broken && last < RECORDS) {
                uint64_t next = sent + 1;
                while (next <= RECORDS && !there[next])
                    next++;
                struct message m = {.skip = next > RECORDS || next != told + 1,
                                    .from = told,
                                    .seq = next > RECORDS ? RECORDS : next};
                if (m.skip && next <= RECORDS)
                    m.seq = next - 1;
                told = m.seq;
                sent = m.seq;
                unsigned dice = (unsigned)rand_r(&seed) % 100;
                for (int copies = dice < 3 ? 0 : dice < 6 ? 2 : 1; copies; copies--) {
                    enum number_verdict v = number_check(last, m.skip, m.from, m.seq);
                    if (v == NUMBER_GAP)
                        sent = told = last; /* rewind */
                    if (v != NUMBER_APPLY)
                        continue;
                    if (!m.skip) {
                        effect[m.seq]++;
                        ck_assert_uint_gt(m.seq, order);
                        order = m.seq;
                    }
                    last = m.seq;
                    durable = last; /* in the same transaction */
                }
                broken = dice > 95;
            }
        }
        for (int i = 1; i <= RECORDS; i++)
            ck_assert_uint_eq(effect[i], there[i]);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, table);
    tcase_add_test(c, any_link);
}

int main(void)
{
    return unit_main("numbers", add_cases);
}
