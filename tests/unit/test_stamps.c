/* The stamp table: old never beats new, outcomes decide, it survives, a full one says so. */
#include "store/redis_numbers.h"
#include "store/redis_reply.h"
#include "store/stamps.h"
#include "unit.h"
#include <unistd.h>

static char dir[64], path[96];

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/stamps.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/stamps", dir);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

static struct stamps *open_table(uint64_t bytes)
{
    struct error e;
    struct stamps *t = stamps_open(path, bytes, 1, &e);
    ck_assert_msg(t != NULL, "%s", e.text);
    return t;
}

static bool yes(void *arg, const struct stamp_intent *i)
{
    (void)arg;
    (void)i;
    return true;
}

static bool no(void *arg, const struct stamp_intent *i)
{
    (void)arg;
    (void)i;
    return false;
}

static enum stamp_verdict judge(struct stamps *t, const char *key, uint64_t stamp, uint16_t tag)
{
    return stamps_judge(t, stamps_hash(slice_str(key)), (struct stamp){stamp, tag});
}

static void intend(struct stamps *t, const char *key, uint64_t stamp, uint16_t tag)
{
    struct stamp_intent i = {
        .hash = stamps_hash(slice_str(key)), .stamp = stamp, .tag = tag, .seq = 5};
    ck_assert(stamps_intend(t, &i));
}

START_TEST(older_is_dropped_and_survives)
{
    struct stamps *t = open_table(65536);
    uint64_t new = 5ull << 32;
    intend(t, "k", new, 3);
    ck_assert_int_eq(judge(t, "k", new - 1, 0), STAMP_PENDING);
    stamps_settle(t, yes, NULL);
    ck_assert_int_eq(judge(t, "k", new - 1, 9), STAMP_OLDER);
    ck_assert_int_eq(judge(t, "k", new, 2), STAMP_OLDER);
    ck_assert_int_eq(judge(t, "k", new, 3), STAMP_FRESH);
    ck_assert_int_eq(judge(t, "k", new + 1, 0), STAMP_FRESH);
    intend(t, "k", new + 9, 0);
    stamps_settle(t, no, NULL); /* it failed: nothing changes */
    ck_assert_int_eq(judge(t, "k", new + 1, 0), STAMP_FRESH);
    stamps_close(t);
    t = open_table(65536);
    ck_assert_uint_eq(stamps_get(t, stamps_hash(slice_str("k"))).stamp, new);
    ck_assert_int_eq(judge(t, "k", new - 1, 0), STAMP_OLDER);
    stamps_close(t);
}
END_TEST

START_TEST(a_full_table_says_what_it_doesnt_know)
{
    struct stamps *t = open_table(65536);
    char key[24];
    uint64_t base = 5ull << 32;
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "key%u", i);
        intend(t, key, base + i, 0);
        stamps_settle(t, yes, NULL);
    }
    ck_assert_uint_gt(stamps_evicted(t), 0);
    ck_assert_int_eq(judge(t, "key19999", base, 0), STAMP_OLDER);
    ck_assert_int_eq(judge(t, "never seen", base, 0), STAMP_UNKNOWN);
    ck_assert_int_eq(judge(t, "never seen", base + 20001, 0), STAMP_FRESH);
    stamps_close(t);
}
END_TEST

START_TEST(numbers_and_faults)
{
    struct redis_numbers m = {0};
    ck_assert(redis_numbers_load(&m, slice_str("*2\r\n$1\r\na\r\n$2\r\n42\r\n")));
    ck_assert_uint_eq(redis_numbers_name(&m, 0, "a"), 42);
    ck_assert_uint_eq(redis_numbers_name(&m, 1, "b"), 0);
    ck_assert(!redis_numbers_load(&m, slice_str("+OK\r\n")));
    struct buf b = BUF_INIT;
    redis_numbers_move(&m, 1, 7);
    ck_assert(redis_numbers_encode(&m, &b));
    redis_numbers_settle(&m, false);
    ck_assert_uint_eq(redis_numbers_of(&m, 1)->last, 0);
    redis_numbers_move(&m, 1, 7);
    redis_numbers_settle(&m, true);
    ck_assert_uint_eq(redis_numbers_of(&m, 1)->last, 7);
    buf_fini(&b);
    redis_numbers_fini(&m);
    ck_assert_int_eq(redis_fault_of(slice_str("WRONGTYPE Operation")), REDIS_FAULT_COMMAND);
    ck_assert_int_eq(redis_fault_of(slice_str("OOM command not allowed")), REDIS_FAULT_FULL);
    ck_assert_int_eq(redis_fault_of(slice_str("READONLY You can't write")), REDIS_FAULT_STATE);
    ck_assert_int_eq(redis_fault_of(slice_str("LOADING Redis is loading")), REDIS_FAULT_STATE);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, older_is_dropped_and_survives);
    tcase_add_test(c, a_full_table_says_what_it_doesnt_know);
    tcase_add_test(c, numbers_and_faults);
}

int main(void)
{
    return unit_main("stamps", add_cases);
}
