/* The log of one peer against a simple model, from a printed seed, with restarts and small
 * segments. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/log.h"
#include "unit.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static struct hint_log *open_log(uint64_t floor, struct hint_log_report *r)
{
    struct error e;
    struct hint_log_options o = {
        .dir = dir, .peer = "peer", .segment_min = 4096, .segment_max = 16384};
    struct hint_log *l = hint_log_open(&o, floor, r, &e);
    ck_assert_msg(l != NULL, "%s", e.text);
    return l;
}

static void setup(void)
{
    rcu_start();
    snprintf(dir, sizeof dir, "/tmp/hintlog.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_files(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static void teardown(void)
{
    remove_files();
    rmdir(dir);
    rcu_stop();
}

static unsigned count_files(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* A record whose payload tells its number among all. */
static uint64_t put(struct hint_log *l, uint64_t i, size_t pad)
{
    char text[2100];
    memset(text, 'x', sizeof text);
    int n = snprintf(text, sizeof text, "%llu ", (unsigned long long)i);
    struct frame f = {.kind = FRAME_WRITE,
                      .stamp = (1000 + i) << 16,
                      .deadline = 5000 + i,
                      .payload = slice_of(text, (size_t)n + pad)};
    ck_assert_int_eq(hint_log_append(l, &f, false), HINT_APPENDED);
    return f.seq;
}

static uint64_t payload_number(const struct frame *f)
{
    return strtoull((const char *)f->payload.ptr, NULL, 10);
}

START_TEST(keeps_order_over_restarts)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(7ull << 32, &r);
    ck_assert_uint_eq(put(l, 1, 10), (7ull << 32) + 1);
    put(l, 2, 10);
    hint_log_close(l);
    l = open_log(9ull << 32, &r);
    ck_assert_uint_eq(r.records, 2);
    ck_assert_uint_eq(put(l, 3, 10), (9ull << 32) + 1);
    struct frame f;
    struct slice b;
    uint64_t after = 0;
    for (uint64_t i = 1; i <= 3; i++) {
        ck_assert(hint_log_next(l, after, &f, &b));
        ck_assert_uint_eq(payload_number(&f), i);
        after = f.seq;
    }
    ck_assert(!hint_log_next(l, after, &f, &b));
    hint_log_ack(l, after);
    ck_assert_uint_eq(hint_log_acked(l).records, 3);
    hint_log_close(l);
    l = open_log(10ull << 32, &r);
    ck_assert_uint_eq(r.records, 0);
    ck_assert_uint_eq(hint_log_acked(l).seq, (9ull << 32) + 1);
    hint_log_close(l);
}
END_TEST

/* The lower half of the numbers ends: a new upper half, and nothing counts as missing. */
START_TEST(numbers_step_to_a_new_upper_half)
{
    struct hint_log_report r;
    struct frame f;
    struct slice b;
    struct hint_log *l = open_log((7ull << 32) + 1000, &r);
    ck_assert(!hint_log_needs_floor(l));
    hint_log_set_floor(l, (7ull << 32) + UINT32_MAX - 10);
    ck_assert(hint_log_needs_floor(l));
    put(l, 1, 10);
    hint_log_set_floor(l, 9ull << 32);
    ck_assert(!hint_log_needs_floor(l));
    ck_assert_uint_eq(put(l, 2, 10), (9ull << 32) + 1);
    hint_log_set_floor(l, 8ull << 32); /* lower: nothing happens */
    ck_assert_uint_eq(put(l, 3, 10), (9ull << 32) + 2);
    hint_log_close(l);
    l = open_log(8ull << 32, &r);
    ck_assert_uint_eq(r.records, 3);
    ck_assert_uint_eq(r.damaged + r.missing, 0);
    uint64_t after = 0;
    for (uint64_t i = 1; i <= 3; i++) {
        ck_assert(hint_log_next(l, after, &f, &b));
        ck_assert_uint_eq(payload_number(&f), i);
        after = f.seq;
    }
    ck_assert_uint_eq(hint_log_damaged(l), 0);
    hint_log_close(l);
}
END_TEST

/* Random appends, reads, going back, acknowledging, syncing and restarts against two numbers. */
START_TEST(random_against_model)
{
    unsigned seed = unit_seed();
    struct hint_log_report r;
    struct hint_log *l = open_log(1ull << 32, &r);
    static uint64_t seq_of[200000], size_of[200000];
    uint64_t next = 1, acked = 0, floor = 1;
    for (int step = 0; step < 40000; step++) {
        unsigned dice = (unsigned)rand_r(&seed) % 1000;
        if (dice < 500 && next < 190000) {
            size_of[next] = (unsigned)rand_r(&seed) % (dice < 5 ? 2000 : 200);
            seq_of[next] = put(l, next, size_of[next]);
            next++;
        } else if (dice < 800) {
            uint64_t from = acked + (unsigned)rand_r(&seed) % (next - acked);
            struct frame f;
            struct slice b;
            bool more = hint_log_next(l, seq_of[from], &f, &b);
            ck_assert_int_eq(more, from + 1 < next);
            if (more)
                ck_assert_uint_eq(payload_number(&f), from + 1);
        } else if (dice < 950) {
            acked += (unsigned)rand_r(&seed) % (next - acked);
            hint_log_ack(l, seq_of[acked]);
        } else if (dice < 990) {
            uint64_t synced;
            struct error e;
            ck_assert(hint_log_sync(l, &synced, &e));
            ck_assert_uint_ge(synced, seq_of[next - 1]);
        } else if (dice == 999) {
            hint_log_close(l);
            l = open_log(++floor << 32, &r);
            ck_assert_uint_eq(r.damaged + r.missing, 0);
            ck_assert_uint_eq(r.records, next - 1 - acked);
        }
        struct hint_position a = hint_log_appended(l), k = hint_log_acked(l);
        ck_assert_uint_eq(a.records - k.records, next - 1 - acked);
    }
    hint_log_ack(l, seq_of[next - 1]);
    ck_assert_uint_eq(hint_log_appended(l).records, hint_log_acked(l).records);
    ck_assert_uint_eq(hint_log_appended(l).bytes, hint_log_acked(l).bytes);
    ck_assert_uint_le(count_files(), 2); /* the tail and a spare */
    hint_log_close(l);
}
END_TEST

/* A copy of the directory at any moment is what kill -9 leaves. */
START_TEST(flipped_byte_loses_one_record)
{
    unsigned seed = unit_seed();
    for (int round = 0; round < 200; round++) {
        struct hint_log_report r;
        remove_files();
        struct hint_log *l = open_log(1ull << 32, &r);
        for (uint64_t i = 1; i <= 20; i++)
            put(l, i, 50);
        hint_log_close(l);
        char path[128];
        snprintf(path, sizeof path, "%s/%016llx.log", dir, (1ull << 32) + 1);
        int fd = open(path, O_RDWR);
        ck_assert_int_ge(fd, 0);
        uint8_t byte;
        off_t at = 80 + (off_t)((unsigned)rand_r(&seed) % 1800);
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1u << (rand_r(&seed) & 7));
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        l = open_log(2ull << 32, &r);
        ck_assert_uint_eq(r.records, 19);
        ck_assert_uint_le(r.damaged, 1);
        ck_assert(r.damaged == 1 || r.torn_bytes > 0);
        uint64_t seen = 0, after = 0;
        struct frame f;
        struct slice b;
        while (hint_log_next(l, after, &f, &b)) {
            ck_assert_uint_gt(f.seq, after);
            after = f.seq;
            seen++;
        }
        ck_assert_uint_eq(seen, 19);
        hint_log_close(l);
    }
}
END_TEST

START_TEST(torn_tail_is_cut)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(1ull << 32, &r);
    for (uint64_t i = 1; i <= 10; i++)
        put(l, i, 50);
    hint_log_close(l);
    char path[128];
    snprintf(path, sizeof path, "%s/%016llx.log", dir, (1ull << 32) + 1);
    ck_assert_int_eq(truncate(path, 80 + 10 * 92 - 30), 0);
    l = open_log(2ull << 32, &r);
    ck_assert_uint_eq(r.records, 9);
    ck_assert_uint_gt(r.torn_bytes, 0);
    hint_log_close(l);
}
END_TEST

START_TEST(strange_files_are_left_alone)
{
    struct hint_log_report r;
    char path[128];
    snprintf(path, sizeof path, "%s/%016llx.log", dir, 1ull);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    char junk[200] = "this is not a segment";
    ck_assert_int_eq(write(fd, junk, sizeof junk), (ssize_t)sizeof junk);
    close(fd);
    struct hint_log *l = open_log(1ull << 32, &r);
    ck_assert_uint_eq(r.missing, 1);
    ck_assert_int_eq(access(path, F_OK), 0);
    hint_log_close(l);
}
END_TEST

/* Segments found at a start: an acknowledgement into the middle of the second while the first is
 * being read loses nothing. */
START_TEST(acknowledged_past_the_reader_isnt_damage)
{
    struct hint_log_report r;
    struct frame f;
    struct slice b;
    struct hint_log *l = open_log(1ull << 32, &r);
    for (uint64_t i = 1; i <= 30; i++)
        put(l, i, 300);
    hint_log_close(l);
    l = open_log(2ull << 32, &r);
    ck_assert(hint_log_next(l, 0, &f, &b));
    ck_assert_uint_eq(payload_number(&f), 1);
    hint_log_ack(l, (1ull << 32) + 15);
    uint64_t after = (1ull << 32) + 15, seen = 0;
    while (hint_log_next(l, after, &f, &b)) {
        after = f.seq;
        seen++;
    }
    ck_assert_uint_eq(seen, 15);
    ck_assert_uint_eq(hint_log_damaged(l), 0);
    hint_log_close(l);
}
END_TEST

/* Every third record expires, wherever it lies; segments go whole, also from the middle, and a
 * start doesn't miss their numbers. */
/* A power cut takes from the log's end what wasn't synced, but the peer may have got it: what it
 * acknowledges isn't damage, nor does it count twice. */
START_TEST(the_peer_has_what_a_power_cut_took)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(1ull << 32, &r);
    for (uint64_t i = 1; i <= 4; i++)
        put(l, i, 0);
    hint_log_close(l);
    l = open_log(2ull << 32, &r);
    put(l, 5, 0);
    hint_log_ack(l, (1ull << 32) + 6);
    ck_assert_uint_eq(hint_log_acked(l).records, 4);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 1005ull << 16);
    ck_assert_uint_eq(hint_log_damaged(l), 0);
    ck_assert_uint_eq(hint_log_lost(l), 0);
    hint_log_ack(l, (2ull << 32) + 1);
    ck_assert_uint_eq(hint_log_acked(l).records, 5);
    ck_assert_uint_eq(hint_log_acked(l).bytes, hint_log_appended(l).bytes);
    hint_log_close(l);
}
END_TEST

START_TEST(expiry_takes_from_anywhere)
{
    struct hint_log_report r;
    struct frame f;
    struct slice b;
    struct hint_log *l = open_log(1ull << 32, &r);
    char text[300] = {0};
    for (uint64_t i = 1; i <= 200; i++) {
        int n = snprintf(text, sizeof text, "%llu ", (unsigned long long)i);
        ck_assert_int_gt(n, 0);
        bool short_lived = i % 3 == 0 || (i > 60 && i <= 140);
        f = (struct frame){.kind = FRAME_WRITE,
                           .stamp = (1000 + i) << 16,
                           .deadline = short_lived ? 5000 : (i % 2 ? 0 : 9000),
                           .payload = slice_of(text, sizeof text)};
        ck_assert_int_eq(hint_log_append(l, &f, false), HINT_APPENDED);
    }
    ck_assert(hint_log_next(l, (1ull << 32) + 100, &f, &b)); /* a reader in what goes */
    unsigned files = count_files();
    ck_assert_uint_eq(hint_log_expire(l, 5000), 0);
    ck_assert_uint_eq(hint_log_expire(l, 5001), 20 + 80 + 20);
    ck_assert_uint_lt(count_files(), files);
    ck_assert_uint_eq(hint_log_expire(l, 8000), 0);
    ck_assert_uint_eq(hint_log_appended(l).records - hint_log_acked(l).records, 80);
    ck_assert_uint_eq(hint_log_appended(l).bytes - hint_log_acked(l).bytes, 80 * sizeof text);
    for (int round = 0; round < 2; round++) {
        uint64_t after = round ? 0 : (1ull << 32) + 100, seen = 0, want = round ? 1 : 142;
        while (hint_log_next(l, after, &f, &b)) {
            want += want % 3 == 0;
            want = want > 60 && want < 142 ? 142 : want;
            ck_assert_uint_eq(payload_number(&f), want);
            want++;
            after = f.seq;
            seen++;
        }
        ck_assert_uint_eq(seen, round ? 80 : 40);
    }
    ck_assert_uint_eq(hint_log_damaged(l), 0);
    hint_log_close(l);
    l = open_log(2ull << 32, &r);
    ck_assert_msg(r.missing + r.damaged == 0, "%s", r.detail);
    ck_assert_uint_ge(r.records, 80); /* those of segments that live came back */
    hint_log_expire(l, 5001);
    ck_assert_uint_eq(hint_log_appended(l).records - hint_log_acked(l).records, 80);
    hint_log_ack(l, hint_log_appended(l).seq);
    ck_assert_uint_eq(hint_log_appended(l).records, hint_log_acked(l).records);
    ck_assert_uint_eq(hint_log_appended(l).bytes, hint_log_acked(l).bytes);
    ck_assert_uint_eq(hint_log_lost(l), 0);
    hint_log_close(l);
}
END_TEST

START_TEST(expiry_takes_the_front)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(1ull << 32, &r);
    for (uint64_t i = 1; i <= 100; i++)
        put(l, i, 300);
    ck_assert_uint_eq(hint_log_oldest_ms(l), 1001);
    ck_assert_uint_eq(hint_log_expire(l, 5000), 0);
    ck_assert_uint_eq(hint_log_expire(l, 5041), 40);
    ck_assert_uint_eq(hint_log_oldest_ms(l), 1041);
    struct frame f;
    struct slice b;
    ck_assert(hint_log_next(l, 0, &f, &b));
    ck_assert_uint_eq(payload_number(&f), 41);
    hint_log_close(l);
}
END_TEST

START_TEST(memory_log_has_a_limit)
{
    struct hint_log_report r;
    struct error e;
    struct hint_log_options o = {.peer = "peer", .limit = 1000};
    struct hint_log *l = hint_log_open(&o, 1ull << 32, &r, &e);
    struct frame f = {.kind = FRAME_WRITE, .payload = slice_of(dir, 40)};
    int n = 0;
    while (hint_log_append(l, &f, true) == HINT_APPENDED)
        n++;
    ck_assert_int_eq(n, 25);
    hint_log_ack(l, (1ull << 32) + 5);
    ck_assert_int_eq(hint_log_append(l, &f, true), HINT_APPENDED);
    hint_log_close(l);
}
END_TEST

/* One producer, one consumer: every record once, in order. */
static void *consume(void *arg)
{
    struct hint_log *l = arg;
    rcu_thread_register();
    uint64_t want = 1, after = 0;
    while (want <= 50000) {
        struct frame f;
        struct slice b;
        if (!hint_log_next(l, after, &f, &b))
            continue;
        if (payload_number(&f) != want)
            break;
        after = f.seq;
        if (want % 7 == 0)
            hint_log_ack(l, after);
        want++;
    }
    hint_log_ack(l, after);
    rcu_thread_unregister();
    return (void *)(uintptr_t)want;
}

static uint64_t put_stamped(struct hint_log *l, uint64_t stamp)
{
    struct frame f = {.kind = FRAME_WRITE, .stamp = stamp, .payload = slice_str("x")};
    ck_assert_int_eq(hint_log_append(l, &f, false), HINT_APPENDED);
    return f.seq;
}

/* A write that hung at the own store is appended behind younger ones. */
START_TEST(the_lowest_stamp_counts_wherever_it_stands)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(1ull << 32, &r);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), UINT64_MAX);
    uint64_t first = put_stamped(l, 100);
    put_stamped(l, 300);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 100);
    uint64_t late = put_stamped(l, 50);
    put_stamped(l, 400);
    put_stamped(l, 60);
    uint64_t last = put_stamped(l, 500);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 50);
    hint_log_ack(l, first);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 50);
    hint_log_close(l);
    l = open_log(2ull << 32, &r);
    ck_assert_uint_eq(r.records, 5);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 50);
    put_stamped(l, 600);
    put_stamped(l, 40);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 40);
    hint_log_ack(l, late);
    ck_assert_uint_le(hint_log_lowest_stamp(l), 40);
    hint_log_ack(l, hint_log_appended(l).seq);
    ck_assert_uint_gt(hint_log_acked(l).seq, last);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), UINT64_MAX);
    put_stamped(l, 700);
    ck_assert_uint_eq(hint_log_lowest_stamp(l), 700);
    hint_log_close(l);
}
END_TEST

START_TEST(producer_and_consumer)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(1ull << 32, &r);
    pthread_t t;
    void *end;
    pthread_create(&t, NULL, consume, l);
    for (uint64_t i = 1; i <= 50000; i++)
        put(l, i, i % 100);
    pthread_join(t, &end);
    ck_assert_uint_eq((uintptr_t)end, 50001);
    ck_assert_uint_eq(hint_log_appended(l).records, hint_log_acked(l).records);
    hint_log_close(l);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, keeps_order_over_restarts);
    tcase_add_test(c, numbers_step_to_a_new_upper_half);
    tcase_add_test(c, random_against_model);
    tcase_add_test(c, flipped_byte_loses_one_record);
    tcase_add_test(c, torn_tail_is_cut);
    tcase_add_test(c, strange_files_are_left_alone);
    tcase_add_test(c, acknowledged_past_the_reader_isnt_damage);
    tcase_add_test(c, the_peer_has_what_a_power_cut_took);
    tcase_add_test(c, expiry_takes_from_anywhere);
    tcase_add_test(c, expiry_takes_the_front);
    tcase_add_test(c, memory_log_has_a_limit);
    tcase_add_test(c, the_lowest_stamp_counts_wherever_it_stands);
    tcase_add_test(c, producer_and_consumer);
}

int main(void)
{
    return unit_main("hint_log", add_cases);
}
