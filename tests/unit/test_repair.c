/* Read repair without a network: who wins and up to where as tables of cases, what goes over the
 * link, the queue and its rates, and what a store without stamps remembers of touched keys. */
#include "core/mem.h"
#include "request/copies.h"
#include "request/mend.h"
#include "request/repair_queue.h"
#include "store/touched.h"
#include "unit.h"

#define NOW 1000000u /* ms */

/* ---- decisions --------------------------------------------------------------------------------
 */

static uint64_t number(const char **p)
{
    char *end;
    uint64_t v = strtoull(*p, &end, 10);
    *p = end;
    return v;
}

/* One replica: '-' says nothing; else its value, a letter, or '.' if it has none, and behind it
 *     s stamp of its last overwrite   n nothing newer is in it (as s, unless it's said)
 *     x something of just that stamp is in it   f forgotten up to   w the watermark
 *     e expires   r roughly */
static struct mend_copy copy_of(const char *text, size_t len)
{
    struct mend_copy c = {.answered = *text != '-'};
    const char *p = text + 1, *end = text + len;
    bool newest = false;
    c.exists = *text >= 'A' && *text <= 'Z';
    c.digest = c.weight = c.exists ? (uint64_t)*text : 0;
    while (p < end) {
        char what = *p++;
        switch (what) {
        case 's':
            c.overwrite = (struct store_stamp){number(&p), 7};
            break;
        case 'n':
            c.newest = (struct store_stamp){number(&p), 7};
            newest = true;
            break;
        case 'x':
            c.newest_exact = true;
            break;
        case 'f':
            c.forgotten = number(&p);
            break;
        case 'w':
            c.below = number(&p);
            break;
        case 'e':
            c.expires = number(&p);
            break;
        case 'r':
            c.expires_roughly = true;
            break;
        default:
            ck_abort_msg("'%c' in '%s'", what, text);
        }
    }
    if (!newest)
        c.newest = c.overwrite;
    return c;
}

static unsigned copies_of(const char *text, struct mend_copy *c)
{
    unsigned n = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        c[n++] = copy_of(text, len);
        text += len + (text[len] == ' ');
    }
    return n;
}

/* "1>02 @9.65535": the copy of 1 goes to 0 and 2, its cut. */
static const char *decision_of(const char *text)
{
    static char said[64];
    static const char *const names[] = {
        [MEND_EQUAL] = "equal", [MEND_UNSETTLED] = "unsettled", [MEND_UNDECIDED] = "undecided"};
    struct mend_copy c[RING_REPLICAS_MAX] = {0};
    struct mend_decision d;
    unsigned n = copies_of(text, c);
    mend_decide(c, n, NOW, &d);
    if (d.verdict != MEND_DO)
        return names[d.verdict];
    size_t len = (size_t)snprintf(said, sizeof said, "%u>", d.source);
    for (unsigned i = 0; i < n; i++)
        if (d.whom[i])
            len += (size_t)snprintf(said + len, sizeof said - len, "%u", i);
    snprintf(said + len, sizeof said - len, " @%llu.%u", (unsigned long long)d.upto.time,
             d.upto.tag);
    return said;
}

static const struct {
    const char *copies, *decision;
} cases[] = {
    /* nothing to do */
    {"A", "equal"},
    {"- -", "equal"},
    {"A - -", "equal"},
    {"As5 As5 As5", "equal"},
    {"As5 As3 A", "equal"},
    {". . .s9", "equal"},
    /* the newest overwrite, whoever has it; its cut by the watermark, else by itself */
    {"As5w9 Bs3w9 Bs3w9", "0>12 @5.65535"},
    {"As5w5 Bs3w5 Bs3w5", "0>12 @5.7"},
    {"As5w0 Bs3w0 Bs3w0", "0>12 @5.7"},
    {"Bs3w9 Bs3w9 As5w9", "2>01 @5.65535"},
    {"As5n7w9 Bs3w9 Bs3w9", "0>12 @7.65535"},
    {"As5n7w9 Bs3n8w9 Bs3w9", "0>12 @8.65535"},
    {"As5n7w9 Bs3n12w9 Bs3w9", "0>12 @7.65535"},
    {"As5w9 Bs3 -", "0>1 @5.65535"},
    /* a change is in it and may be on its way to others */
    {"As5n7w7 Bs3 Bs3", "unsettled"},
    {"As5n7w0 Bs3 Bs3", "unsettled"},
    {"As5n7w0 As5n5w0 Bs3", "1>2 @5.7"},
    {"Bs3w9 As5n6w0 As5n6w8", "2>0 @6.65535"},
    /* deletes win as well */
    {".s5w9 .s5w9 As3w9", "0>2 @5.65535"},
    {".s5 As3 As3", "0>12 @5.7"},
    {"As7w9 .s5w9 .s5w9", "0>12 @7.65535"},
    /* a stamp against none: nothing newer can have been forgotten */
    {"As5w9 Bf4w9 Bf4w9", "0>12 @5.65535"},
    {"As5w9 .f4w9 .f4w9", "0>12 @5.65535"},
    {".s5w9 Af4w9 Af4w9", "0>12 @5.65535"},
    /* or can */
    {"As5w9 .f5w9 .f5w9", "undecided"},
    {"As5w9 As5w9 .f8w9", "0>2 @5.65535"},
    {"As5w9 Bs4w9 .f8w9", "0>12 @5.65535"},
    {"As5w9 Bf8w9 Bf8w9", "1>0 @5.65535"},
    {"As5w9 Bf8w9 Cf8w9", "undecided"},
    {".s5w9 Bf8w9 Bf8w9", "1>0 @5.65535"},
    {".s5w9 Bf8w9 .f8w9", "undecided"},
    {".s5w9 .s5w9 Bf8w9", "undecided"},
    /* the same overwrite: the newest change where it is known, else what most have */
    {"As5n6xw9 Bs5n7xw9 As5n6xw9", "1>02 @7.65535"},
    {"As5n6w9 Bs5n7w9 As5n6w9", "0>1 @7.65535"},
    {"As5n6w9 Bs5n7w9", "1>0 @7.65535"},
    {"As5w9 .s5n7w9", "0>1 @7.65535"},
    {"As5w9 .s5n7w9 .s5n7w9", "1>0 @7.65535"},
    /* changes alone, where a store knows them */
    {"An6xw9 Bn7xw9 An6xw9", "1>02 @7.65535"},
    {"An6xw9 .f5w9 .f5w9", "0>12 @6.65535"},
    {"An6xw9 .f6w9 .f6w9", "undecided"},
    {"An6xw9 An6xw9 .f6w9", "0>2 @6.65535"},
    {"An6xw6 Bn5xw6", "unsettled"},
    /* no stamps: what most of all have; an absence never wins, nor is it brought to an end */
    {"Aw9 Bw9 Bw9", "1>0 @0.65535"},
    {"An3w9 Bn4w9 Bn2w9", "1>0 @4.65535"},
    {"Aw9 Aw9 .w9", "0>2 @0.65535"},
    {"Aw9 .w9 .w9", "undecided"},
    {"Aw9 Bw9 .w9", "undecided"},
    {"Aw9 .w9", "undecided"},
    {"Aw9 Bw9 -", "undecided"},
    {"Bw9 Bw9 - A", "undecided"},
    {"Aw9 Bw9", "1>0 @0.65535"},
    {"Aw9 Bw9 Cw9", "2>01 @0.65535"},
    {"Aw9 Aw9 Aw9 Bw9 Bw9 Bw9", "3>012 @0.65535"},
    {"A B B", "unsettled"},
    /* lifetimes */
    {"Ae2000000s5w9 Ae2000000s5w9", "equal"},
    {"Ae2000000s5w9 As3w9", "0>1 @5.65535"},
    {"Ae2000000s5w9 Ae2000001s5w9 Ae2000001s5w9", "1>0 @5.65535"},
    {"Ae2000000rs5w9 Ae2001900s5w9", "equal"},
    {"Ae2000000rs5w9 As5w9 As5w9", "1>0 @5.65535"},
    {"Ae1001000s5w9 .s5w9", "unsettled"},
    {"Ae900000s5w9 Bs7w9", "unsettled"},
};

START_TEST(decisions)
{
    const char *said = decision_of(cases[_i].copies);
    ck_assert_msg(strcmp(said, cases[_i].decision) == 0, "%s: %s instead of %s", cases[_i].copies,
                  said, cases[_i].decision);
}
END_TEST

/* Whoever decides, and in whichever order it sees the replicas: the same value wins. */
START_TEST(everybody_decides_alike)
{
    static const char *const kinds[] = {"As5n6w9", "Bs5n6w9",  "Cs4n8w9",  "Dn7w9f3", ".s5w9",
                                        ".w9f2",   "Bs6n6xw9", "As6n7xw9", "Aw9f9",   "-"};
    for (unsigned i = 0; i < 1000; i++) {
        struct mend_copy a[3], b[3];
        struct mend_decision by_a, by_b;
        const char *k[] = {kinds[i % 10], kinds[i / 10 % 10], kinds[i / 100]};
        for (unsigned n = 0; n < 3; n++)
            a[n] = b[2 - n] = copy_of(k[n], strlen(k[n]));
        mend_decide(a, 3, NOW, &by_a);
        mend_decide(b, 3, NOW, &by_b);
        ck_assert_msg(by_a.verdict == by_b.verdict, "%s %s %s", k[0], k[1], k[2]);
        ck_assert_msg(by_a.verdict != MEND_DO || mend_same(&a[by_a.source], &b[by_b.source]),
                      "%s %s %s", k[0], k[1], k[2]);
    }
}
END_TEST

START_TEST(a_copy_is_weighed)
{
    struct store_copy from = {.ok = true,
                              .exists = true,
                              .digest = 1,
                              .weight = 2,
                              .bytes = 3,
                              .expires = 4,
                              .overwrite = {5, 6},
                              .newest = {7, 8},
                              .newest_exact = true,
                              .forgotten = 9};
    struct mend_copy c;
    mend_weigh(&from, 10, &c);
    ck_assert(c.answered && c.exists && c.newest_exact && !c.expires_roughly);
    ck_assert_uint_eq(c.digest + c.weight + c.bytes + c.expires, 10);
    ck_assert_uint_eq(c.overwrite.time + c.overwrite.tag + c.newest.time + c.newest.tag, 26);
    ck_assert_uint_eq(c.forgotten + c.below, 19);
}
END_TEST

/* ---- the link ---------------------------------------------------------------------------------
 */

START_TEST(a_copy_over_the_link)
{
    struct mend_copy c = {.answered = true,
                          .exists = true,
                          .digest = UINT64_MAX,
                          .weight = 1,
                          .bytes = 2,
                          .expires = 3,
                          .expires_roughly = true,
                          .overwrite = {UINT64_MAX - 1, UINT16_MAX},
                          .newest = {4, 5},
                          .newest_exact = true,
                          .forgotten = 6,
                          .below = 7},
                     back;
    struct buf b = BUF_INIT;
    struct blob *command;
    copies_pack(&c, slice_str("*2 DEL"), &b);
    ck_assert(copies_unpack(buf_slice(&b), &back, &command));
    ck_assert_mem_eq(&c.overwrite, &back.overwrite, sizeof c.overwrite.time);
    ck_assert_uint_eq(back.overwrite.tag, UINT16_MAX);
    ck_assert(back.answered && back.exists && back.expires_roughly && back.newest_exact);
    ck_assert_uint_eq(back.digest, UINT64_MAX);
    ck_assert_uint_eq(back.weight + back.bytes + back.expires + back.newest.time + back.newest.tag +
                          back.forgotten + back.below,
                      28);
    ck_assert(slice_eq(blob_slice(command), slice_str("*2 DEL")));
    blob_unref(command);
    for (size_t n = 0; n < b.len; n++) { /* cut short anywhere */
        struct blob *none = NULL;
        if (copies_unpack(slice_of(buf_head(&b), n), &back, &none))
            ck_assert_ptr_null(none); /* all but the command, which may be left out, is there */
    }
    buf_reset(&b, 0);
    copies_pack(&c, slice_of("", 0), &b);
    ck_assert(copies_unpack(buf_slice(&b), &back, &command));
    ck_assert_ptr_null(command);
    buf_fini(&b);
    enum mend_result r;
    ck_assert(copies_mend_result(slice_str("+OK\r\n"), &r) && r == MEND_APPLIED);
    ck_assert(copies_mend_result(slice_str("+NEWER\r\n"), &r) && r == MEND_NEWER);
    ck_assert(!copies_mend_result(slice_str("+OK"), &r));
    ck_assert(!copies_mend_result(slice_of("", 0), &r));
}
END_TEST

/* ---- the queue --------------------------------------------------------------------------------
 */

static bool note(struct repair_queue *q, unsigned key, uint64_t now)
{
    char text[16];
    snprintf(text, sizeof text, "key%u", key);
    return repair_queue_note(q, slice_str(text), now);
}

static unsigned take_all(struct repair_queue *q, uint64_t now)
{
    struct repair_key k;
    unsigned n = 0;
    for (; repair_queue_next(q, now, &k); n++)
        blob_unref(k.key);
    return n;
}

START_TEST(a_key_is_queued_once_and_waits)
{
    struct repair_queue q = {0};
    struct repair_key k;
    for (int i = 0; i < 10; i++)
        ck_assert(note(&q, 1, 100));
    ck_assert_uint_eq(q.n, 1);
    ck_assert(!repair_queue_next(&q, 100 + REPAIR_WAIT_MS - 1, &k));
    ck_assert(repair_queue_next(&q, 100 + REPAIR_WAIT_MS, &k));
    ck_assert(slice_eq(blob_slice(k.key), slice_str("key1")));
    ck_assert_uint_eq(k.tries, 0);
    ck_assert(note(&q, 2, 310));
    ck_assert(repair_queue_again(&q, k.key, 1, 310)); /* twice as long */
    ck_assert_uint_eq(take_all(&q, 310 + REPAIR_WAIT_MS), 1);
    ck_assert_uint_eq(take_all(&q, 310 + 2 * REPAIR_WAIT_MS), 1);
    repair_queue_fini(&q);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    struct repair_queue q = {0};
    for (unsigned i = 0; i < REPAIR_QUEUE; i++)
        ck_assert(note(&q, i, 1));
    ck_assert(!note(&q, REPAIR_QUEUE, 1));
    ck_assert(note(&q, 5, 1)); /* it is in */
    ck_assert(!repair_queue_again(&q, blob_new("x", 1), 1, 1));
    ck_assert_uint_eq(q.n, REPAIR_QUEUE);
    repair_queue_fini(&q);
}
END_TEST

START_TEST(keys_have_a_rate)
{
    struct repair_queue q = {0};
    unsigned taken = 0, next = 0;
    for (uint64_t ms = 1; ms <= 10000; ms += 20) {
        while (note(&q, next, ms))
            next++;
        taken += take_all(&q, ms);
    }
    ck_assert_uint_ge(taken, REPAIR_KEYS * 9);
    ck_assert_uint_le(taken, REPAIR_KEYS * 10 + REPAIR_KEYS * REPAIR_BURST_MS / 1000);
    /* a long rest makes no burst */
    ck_assert_uint_le(take_all(&q, 10000000), REPAIR_KEYS * REPAIR_BURST_MS / 1000);
    repair_queue_fini(&q);
}
END_TEST

START_TEST(bytes_have_a_rate)
{
    struct repair_queue q = {0};
    struct repair_key k;
    for (unsigned i = 0; i < 3; i++)
        ck_assert(note(&q, i, 1));
    ck_assert(repair_queue_next(&q, 1000, &k));
    blob_unref(k.key);
    repair_queue_spend(&q, 10ull * REPAIR_BYTES); /* one large value takes what it takes */
    ck_assert(!repair_queue_next(&q, 1000, &k));
    ck_assert(!repair_queue_next(&q, 10700, &k)); /* less the burst that it had */
    ck_assert(repair_queue_next(&q, 11010, &k));
    blob_unref(k.key);
    uint64_t paid = 11010 + REPAIR_DEBT / (REPAIR_BYTES / 1000);
    for (unsigned i = 0; i < 4; i++)
        repair_queue_spend(&q,
                           UINT64_MAX); /* whatever peers say: the others' keys have their turn */
    ck_assert(!repair_queue_next(&q, paid - 1000, &k));
    ck_assert(repair_queue_next(&q, paid + 1000, &k));
    blob_unref(k.key);
    repair_queue_fini(&q);
}
END_TEST

/* ---- touched ----------------------------------------------------------------------------------
 */

START_TEST(touched_keys)
{
    struct touched *t = touched_new(100);
    uint64_t a = 0x123456789abcdef0, b = 0x923456789abcdef0 ^ 0x10000;
    ck_assert_uint_eq(touched_changed(t, a), 100);
    ck_assert_uint_eq(touched_batch(t, a), 0);
    touched_write(t, a, 3);
    ck_assert_uint_eq(touched_batch(t, a), 3);
    ck_assert_uint_eq(touched_changed(t, a), 100);
    touched_change(t, a, 150);
    touched_change(t, a, 120); /* a late one */
    ck_assert_uint_eq(touched_changed(t, a), 150);
    ck_assert_uint_eq(touched_changed(t, b), 100);
    ck_assert_uint_eq(touched_batch(t, b), 0);
    touched_raise(t, 90);
    ck_assert_uint_eq(touched_changed(t, b), 100);
    touched_raise(t, 200);
    ck_assert_uint_eq(touched_changed(t, b), 200);
    ck_assert_uint_eq(touched_changed(t, a), 200);
    touched_free(t);
    touched_free(NULL);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_loop_test(c, decisions, 0, ARRAY_LEN(cases));
    tcase_add_test(c, everybody_decides_alike);
    tcase_add_test(c, a_copy_is_weighed);
    tcase_add_test(c, a_copy_over_the_link);
    tcase_add_test(c, a_key_is_queued_once_and_waits);
    tcase_add_test(c, the_queue_is_bounded);
    tcase_add_test(c, keys_have_a_rate);
    tcase_add_test(c, bytes_have_a_rate);
    tcase_add_test(c, touched_keys);
}

int main(void)
{
    return unit_main("repair", add_cases);
}
