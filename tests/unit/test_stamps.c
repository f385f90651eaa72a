/* The stamp table: old never beats new, outcomes decide, it survives, a full one says so. */
#include "store/redis_info.h"
#include "store/redis_numbers.h"
#include "store/redis_reply.h"
#include "store/redis_script.h"
#include "store/stamps.h"
#include "unit.h"
#include <fcntl.h>
#include <sys/wait.h>
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

static void store_keys(struct stamps *t, unsigned from, unsigned to, uint64_t base)
{
    char key[24];
    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof key, "key%u", i);
        intend(t, key, base + i, 0);
        stamps_settle(t, yes, NULL);
    }
}

/* A round through all of it, some in each call. */
static void forget(struct stamps *t, uint64_t below)
{
    for (int i = 0; i < 200; i++)
        stamps_forget(t, below);
}

START_TEST(what_needs_no_guard_is_forgotten)
{
    struct stamps *t = open_table(64u << 20);
    uint64_t base = 5ull << 32;
    store_keys(t, 0, 1000, base);
    ck_assert_uint_eq(stamps_count(t), 1000);
    forget(t, base + 600);
    ck_assert_uint_eq(stamps_count(t), 400);
    ck_assert_uint_eq(stamps_evicted(t), 0);
    ck_assert_int_eq(judge(t, "key600", base, 0), STAMP_OLDER);
    ck_assert_int_eq(judge(t, "key599", base + 600, 0), STAMP_FRESH);
    ck_assert_int_eq(judge(t, "key599", base + 599, 0), STAMP_UNKNOWN);
    ck_assert_int_eq(judge(t, "never seen", base, 0), STAMP_UNKNOWN);
    forget(t, base); /* lower than before: nothing */
    ck_assert_uint_eq(stamps_count(t), 400);
    store_keys(t, 0, 600, base + 1000);
    ck_assert_uint_eq(stamps_count(t), 1000);
    forget(t, base + 2000);
    ck_assert_uint_eq(stamps_count(t), 0);
    ck_assert_int_eq(judge(t, "key999", base + 1599, 0), STAMP_UNKNOWN);
    ck_assert_int_eq(judge(t, "key999", base + 1600, 0), STAMP_FRESH);
    stamps_close(t);
}
END_TEST

/* The process ends in the middle of it: the bound stands in the file, and so does where something
 * lies. */
START_TEST(forgetting_survives_a_kill)
{
    uint64_t base = 5ull << 32;
    pid_t child = fork();
    if (child == 0) {
        struct stamps *t = open_table(64u << 20);
        store_keys(t, 0, 1000, base);
        forget(t, base + 300);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    struct stamps *t = open_table(64u << 20);
    ck_assert_uint_eq(stamps_count(t), 700);
    ck_assert_int_eq(judge(t, "key299", base + 299, 0), STAMP_UNKNOWN);
    ck_assert_int_eq(judge(t, "key299", base + 300, 0), STAMP_FRESH);
    ck_assert_int_eq(judge(t, "key300", base, 0), STAMP_OLDER);
    forget(t, base + 2000);
    ck_assert_uint_eq(stamps_count(t), 0);
    ck_assert_uint_eq(stamps_get(t, stamps_hash(slice_str("key999"))).stamp, 0);
    stamps_close(t);
}
END_TEST

/* One that was made before there was a map of what is used. */
START_TEST(an_older_file_is_forgotten_too)
{
    struct stamps *t = open_table(1u << 20);
    uint64_t base = 5ull << 32;
    store_keys(t, 0, 1000, base);
    stamps_close(t);
    int fd = open(path, O_WRONLY);
    static const char zeros[2064];
    ck_assert_int_eq(pwrite(fd, zeros, sizeof zeros, 80), sizeof zeros);
    close(fd);
    t = open_table(1u << 20);
    ck_assert_uint_eq(stamps_count(t), 1000);
    forget(t, base + 2000);
    ck_assert_uint_eq(stamps_count(t), 0);
    stamps_close(t);
}
END_TEST

/* Random overwrites and watermarks against a model, from a printed seed: what may still be older is
 * kept out, whenever the table is closed. */
START_TEST(forgetting_against_a_model)
{
    enum { KEYS = 3000 };
    static uint64_t newest[KEYS];
    unsigned seed = unit_seed();
    struct stamps *t = open_table(1u << 20);
    uint64_t clock = 5ull << 32, below = 0;
    char key[24];
    memset(newest, 0, sizeof newest);
    for (unsigned i = 0; i < 30000; i++) {
        unsigned k = (unsigned)rand_r(&seed) % KEYS;
        newest[k] = ++clock;
        snprintf(key, sizeof key, "key%u", k);
        intend(t, key, clock, 0);
        stamps_settle(t, yes, NULL);
        if (rand_r(&seed) % 50 == 0) {
            uint64_t fresh = clock - (unsigned)rand_r(&seed) % 500;
            below = fresh > below ? fresh : below;
            stamps_forget(t, fresh);
        }
        if (rand_r(&seed) % 3000 == 0) {
            stamps_close(t);
            t = open_table(1u << 20);
        }
        k = (unsigned)rand_r(&seed) % KEYS;
        snprintf(key, sizeof key, "key%u", k);
        if (newest[k] > below)
            ck_assert_int_eq(judge(t, key, newest[k] - 1, 0), STAMP_OLDER);
        else if (newest[k])
            ck_assert_int_ne(judge(t, key, newest[k] - 1, 0), STAMP_FRESH);
        ck_assert_int_eq(judge(t, key, clock + 1, 0), STAMP_FRESH);
    }
    ck_assert_uint_eq(stamps_evicted(t), 0);
    forget(t, clock + 1);
    ck_assert_uint_eq(stamps_count(t), 0);
    stamps_close(t);
}
END_TEST

START_TEST(room_is_told_before_it_is_needed)
{
    struct stamps *t = open_table(65536);
    struct stamp_intent i = {.hash = 1, .stamp = 2, .seq = 3};
    ck_assert_uint_eq(stamps_room(t), STAMPS_INTENTS);
    for (unsigned k = 0; k < STAMPS_INTENTS; k++)
        ck_assert(stamps_intend(t, &i));
    ck_assert_uint_eq(stamps_room(t), 0);
    ck_assert(!stamps_intend(t, &i));
    stamps_settle(t, no, NULL);
    ck_assert_uint_eq(stamps_room(t), STAMPS_INTENTS);
    stamps_close(t);
}
END_TEST

START_TEST(numbers_have_64_bits_and_the_fence_is_none)
{
    struct redis_numbers m = {0};
    ck_assert(redis_numbers_load(&m, slice_str("*12\r\n$1\r\na\r\n$20\r\n18446744073709551615\r\n"
                                               "$1\r\nb\r\n$20\r\n18446744073709551616\r\n"
                                               "$1\r\nc\r\n$19\r\n9223372036854775808\r\n"
                                               "$1\r\nd\r\n$2\r\n01\r\n"
                                               "$1\r\ne\r\n$2\r\n-1\r\n"
                                               "$5\r\nfence\r\n$1\r\n7\r\n")));
    ck_assert_uint_eq(m.n, 2);
    ck_assert_uint_eq(redis_numbers_name(&m, 0, "a"), UINT64_MAX);
    ck_assert_uint_eq(redis_numbers_name(&m, 1, "c"), 1ull << 63);
    ck_assert_uint_eq(redis_numbers_name(&m, 2, "b"), 0);
    redis_numbers_fini(&m);
}
END_TEST

START_TEST(what_a_script_loses_is_given_back)
{
    struct slice pop[3] = {slice_str("lpop"), slice_str("k"), slice_str("2")};
    struct resp_command cmd = {.argv = pop, .argc = 3};
    struct slice nil = slice_str("$-1\r\n");
    ck_assert(slice_eq(redis_script_reply(&cmd, nil), slice_str("*-1\r\n")));
    ck_assert(slice_eq(redis_script_reply(&cmd, slice_str("*0\r\n")), slice_str("*0\r\n")));
    cmd.argc = 2;
    ck_assert(slice_eq(redis_script_reply(&cmd, nil), nil));
    ck_assert(redis_script_was_fenced(slice_str("-FENCED another connection\r\n")));
    ck_assert(!redis_script_was_fenced(slice_str("-FENCE\r\n")));
    ck_assert(!redis_script_was_fenced(slice_str("-OOM command not allowed\r\n")));
    ck_assert(!redis_script_was_fenced(slice_str("+FENCED off\r\n")));
}
END_TEST

START_TEST(versions)
{
    static const struct {
        const char *info;
        bool old;
    } cases[] = {
        {"redis_version:5.0.7\r\n", true},
        {"# Server\r\nredis_version:6.0.16\r\n", true},
        {"redis_version:6.2.0\r\n", false},
        {"redis_version:7.0.15\r\n", false},
        {"redis_version:10.0\r\n", false},
        {"redis_version:?\r\n", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {{0}};
        ck_assert_int_eq(redis_info_too_old(slice_str(cases[i].info), &e), cases[i].old);
        ck_assert_int_eq(strstr(e.text, "6.2 or newer") != NULL, cases[i].old);
    }
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
    static const char at_exec[] = "EXECABORT Transaction discarded because of: ";
    char text[128];
    snprintf(text, sizeof text, "%sOOM command not allowed", at_exec);
    ck_assert_int_eq(redis_fault_of(slice_str(text)), REDIS_FAULT_FULL);
    snprintf(text, sizeof text, "%sREADONLY You can't write", at_exec);
    ck_assert_int_eq(redis_fault_of(slice_str(text)), REDIS_FAULT_STATE);
    ck_assert_int_eq(
        redis_fault_of(slice_str("EXECABORT Transaction discarded because of previous errors.")),
        REDIS_FAULT_COMMAND);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, older_is_dropped_and_survives);
    tcase_add_test(c, a_full_table_says_what_it_doesnt_know);
    tcase_add_test(c, what_needs_no_guard_is_forgotten);
    tcase_add_test(c, forgetting_survives_a_kill);
    tcase_add_test(c, an_older_file_is_forgotten_too);
    tcase_add_test(c, forgetting_against_a_model);
    tcase_add_test(c, room_is_told_before_it_is_needed);
    tcase_add_test(c, numbers_have_64_bits_and_the_fence_is_none);
    tcase_add_test(c, what_a_script_loses_is_given_back);
    tcase_add_test(c, versions);
    tcase_add_test(c, numbers_and_faults);
}

int main(void)
{
    return unit_main("stamps", add_cases);
}
