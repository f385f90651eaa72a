/* Faults that the log of one peer had: each case tells one. */
#include "core/datadir.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/log.h"
#include "hint/mark.h"
#include "unit.h"
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#define START ((uint64_t)1 << 32)

static char dir[64];

static void setup(void)
{
    rcu_start();
    snprintf(dir, sizeof dir, "/tmp/logfaults.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(dir);
    rcu_stop();
}

static struct hint_log *open_log(uint64_t floor, struct hint_log_report *r)
{
    struct error e;
    struct hint_log_options o = {
        .dir = dir, .peer = "peer", .segment_min = 4096, .segment_max = 4096};
    struct hint_log *l = hint_log_open(&o, floor, r, &e);
    ck_assert_msg(l != NULL, "%s", e.text);
    return l;
}

static uint64_t put_until(struct hint_log *l, size_t size, uint64_t deadline)
{
    static char text[4000];
    memset(text, 'x', sizeof text);
    struct frame f = {.kind = FRAME_WRITE,
                      .stamp = 1000ull << 16,
                      .deadline = deadline,
                      .payload = slice_of(text, size)};
    ck_assert_int_eq(hint_log_append(l, &f, false), HINT_APPENDED);
    return f.seq;
}

static uint64_t put(struct hint_log *l, size_t size)
{
    return put_until(l, size, 0);
}

static void path_of(uint64_t first, char out[128])
{
    snprintf(out, 128, "%s/%016llx.log", dir, (unsigned long long)first);
}

static size_t copy_in(const char *path, uint8_t *to, size_t room)
{
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, to, room);
    ck_assert_int_gt(n, 0);
    close(fd);
    return (size_t)n;
}

static void copy_out(const char *path, const uint8_t *from, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, from, n), (ssize_t)n);
    close(fd);
}

/* The last record of a segment is damaged, and the next segment expires whole before anything of it
 * was read: the damaged one is counted. */
START_TEST(damage_before_what_expires_leaves_nothing_pending)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(START, &r);
    struct error e;
    char path[128];
    uint64_t last = 0, synced;
    for (int i = 0; i < 60; i++)
        last = put_until(l, 200, i >= 16 && i < 32 ? 10 : 0); /* 16 in a segment */
    ck_assert(hint_log_sync(l, &synced, &e));
    path_of(START + 1, path);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "?", 1, 80 + 240 * 15 + 100), 1);
    close(fd);
    hint_log_ack(l, START + 15);
    ck_assert_uint_eq(hint_log_expire(l, 100), 16);
    ck_assert_uint_eq(hint_log_damaged(l), 1);
    hint_log_ack(l, last);
    struct hint_position a = hint_log_appended(l), k = hint_log_acked(l);
    hint_log_close(l);
    ck_assert_uint_eq(a.records, k.records);
    ck_assert_uint_eq(a.bytes, k.bytes);
}
END_TEST

/* A record that is damaged on disk while the log is open is passed over as a skip and acknowledged
 * with it: nothing is pending then. */
START_TEST(damage_while_open_leaves_nothing_pending)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(START, &r);
    char path[128];
    uint64_t last = 0;
    for (int i = 0; i < 60; i++)
        last = put(l, 200); /* 16 in a segment */
    uint64_t synced;
    struct error e;
    ck_assert(hint_log_sync(l, &synced, &e)); /* the sealed ones are read with pread from now on */
    path_of(START + 1 + 16, path);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "?", 1, 80 + 240 * 3 + 100), 1);
    close(fd);
    struct frame f;
    struct slice bytes;
    unsigned seen = 0;
    for (uint64_t after = START; hint_log_next(l, after, &f, &bytes); after = f.seq)
        seen++;
    ck_assert_uint_eq(seen, 59);
    ck_assert_uint_eq(hint_log_damaged(l), 1);
    hint_log_ack(l, last);
    struct hint_position a = hint_log_appended(l), k = hint_log_acked(l);
    hint_log_close(l);
    ck_assert_uint_eq(a.records, k.records);
    ck_assert_uint_eq(a.bytes, k.bytes);
}
END_TEST

/* A power cut brings back the file of an acknowledged segment (its removal wasn't on disk) with an
 * old header: what a later header says was acknowledged isn't pending. */
START_TEST(a_segment_that_came_back_isnt_pending)
{
    static uint8_t copy[8192];
    struct hint_log_report r;
    char path[128];
    struct hint_log *l = open_log(START, &r);
    for (int i = 0; i < 17; i++)
        put(l, 200);
    path_of(START + 1, path);
    size_t n = copy_in(path, copy, sizeof copy);
    uint64_t last = 0;
    for (int i = 0; i < 10; i++)
        last = put(l, 200);
    hint_log_ack(l, last - 5);
    hint_log_close(l);
    copy_out(path, copy, n);
    l = open_log(2 * START, &r);
    struct frame f;
    struct slice bytes;
    unsigned seen = 0;
    for (uint64_t after = 0; hint_log_next(l, after, &f, &bytes); after = f.seq)
        seen++;
    ck_assert_uint_eq(seen, 5);
    hint_log_ack(l, last);
    struct hint_position a = hint_log_appended(l), k = hint_log_acked(l);
    hint_log_close(l);
    ck_assert_uint_eq(r.records, 5);
    ck_assert_uint_eq(a.records, k.records);
    ck_assert_uint_eq(a.bytes, k.bytes);
}
END_TEST

/* A recycled segment is renamed, then filled. After a power cut its new bytes may be there and the
 * new name not (the directory is synced last): the segments between its two names are still
 * hints, on disk, answered for. */
START_TEST(an_old_name_of_a_recycled_segment_costs_nothing)
{
    struct hint_log_report r;
    char old_name[128], new_name[128];
    uint64_t synced, last = 0;
    struct error e;
    struct hint_log *l = open_log(START, &r);
    for (int i = 0; i < 33; i++)
        last = put(l, 200);      /* 16 in a segment: two are full, the third has one */
    hint_log_ack(l, START + 16); /* the first one is the spare */
    for (int i = 0; i < 20; i++)
        last = put(l, 200); /* fills the third and begins the spare again, as the fourth */
    ck_assert(hint_log_sync(l, &synced, &e));
    ck_assert_uint_eq(synced, last);
    hint_log_close(l);
    path_of(START + 1, old_name);
    path_of(START + 49, new_name);
    ck_assert_int_eq(rename(new_name, old_name), 0);
    l = open_log(2 * START, &r);
    struct frame f;
    struct slice bytes;
    unsigned seen = 0;
    for (uint64_t after = 0; hint_log_next(l, after, &f, &bytes); after = f.seq)
        seen++;
    hint_log_close(l);
    ck_assert_msg(seen == 53 - 16, "%u of 37 durable hints are left; damaged %llu, missing %llu",
                  seen, (unsigned long long)r.damaged, (unsigned long long)r.missing);
}
END_TEST

/* A power cut may leave a segment that was made and never synced: space, and nothing in it. No
 * record was lost with it, and the next start doesn't find it again. */
START_TEST(an_unfilled_segment_is_no_damage)
{
    static const uint8_t nothing[4096];
    struct hint_log_report r, again;
    char path[128];
    path_of(START + 1, path);
    copy_out(path, nothing, sizeof nothing);
    hint_log_close(open_log(2 * START, &r));
    hint_log_close(open_log(3 * START, &again));
    ck_assert_uint_eq(r.missing, 0);
    ck_assert_uint_eq(again.missing, 0);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* With hinted handoff off a log is memory of at most send_window: one value that is larger must
 * still reach a healthy peer to which nothing is owed. */
START_TEST(a_value_above_the_limit_passes_an_empty_log)
{
    struct hint_log_report r;
    struct error e;
    struct hint_log_options o = {.peer = "peer", .limit = 1000};
    struct hint_log *l = hint_log_open(&o, START, &r, &e);
    static const char text[2000];
    struct frame f = {.kind = FRAME_WRITE, .payload = slice_of(text, sizeof text)};
    enum hint_append first = hint_log_append(l, &f, true);
    enum hint_append second = hint_log_append(l, &f, true);
    hint_log_close(l);
    ck_assert_int_eq(first, HINT_APPENDED);
    ck_assert_int_eq(second, HINT_NO_SPACE);
}
END_TEST

/* What an earlier use left behind the last record of a recycled segment isn't a torn tail. */
START_TEST(a_recycled_segment_isnt_torn)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(START, &r);
    uint64_t first = put(l, 3900); /* a segment of its own, full of one record */
    put(l, 3900);
    hint_log_ack(l, first); /* the first becomes the spare */
    for (int i = 0; i < 3; i++)
        put(l, 500);
    hint_log_close(l);
    l = open_log(2 * START, &r);
    hint_log_close(l);
    ck_assert_uint_eq(r.records, 4);
    ck_assert_uint_eq(r.torn_bytes, 0);
}
END_TEST

/* No peer can acknowledge what was never written: such a word must not swallow later writes. */
START_TEST(an_ack_of_the_future_swallows_nothing)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(START, &r);
    uint64_t last = put(l, 10);
    hint_log_ack(l, last + 1000);
    uint64_t next = put(l, 10);
    struct frame f;
    struct slice bytes;
    bool there = hint_log_next(l, last, &f, &bytes);
    hint_log_close(l);
    ck_assert_msg(there && f.seq == next, "the write after it is never given to the sender");
}
END_TEST

/* All that the start before wrote was acknowledged, and what this one wrote begins a new upper
 * half: the number before its first was never given, so no peer has acknowledged it, and one that
 * has the last of the start before hasn't gone back in time. */
START_TEST(the_beginning_of_a_start_was_not_acknowledged)
{
    struct hint_log_report r;
    struct hint_log *l = open_log(START, &r);
    uint64_t last = put(l, 10);
    hint_log_ack(l, last);
    hint_log_close(l);
    l = open_log(2 * START, &r);
    put(l, 10);
    hint_log_close(l);
    l = open_log(3 * START, &r);
    uint64_t acked = hint_log_acked(l).seq;
    hint_log_close(l);
    ck_assert_uint_eq(r.records, 1);
    ck_assert_uint_le(acked, last);
}
END_TEST

/* The disk that refuses a hint refuses the mark, too: it is written when it can be. */
START_TEST(a_mark_that_could_not_be_written_is_written_later)
{
    char later[80];
    struct error e;
    snprintf(later, sizeof later, "%s/later", dir);
    struct hint_mark *m = hint_mark_open(later); /* no such directory yet: each write fails */
    ck_assert(!hint_mark_set(m, 5, "the disk is full", &e));
    ck_assert(dir_make(later, &e));
    (void)!hint_mark_set(m, 6, "the disk is full", &e);
    hint_mark_close(m);
    m = hint_mark_open(later); /* the next start */
    uint64_t since = hint_mark_since(m);
    hint_mark_close(m);
    char path[128];
    snprintf(path, sizeof path, "%s/needs-repair", later);
    unlink(path);
    rmdir(later);
    ck_assert_msg(since != 0, "the mark is gone after a restart");
}
END_TEST

/* The mark with its reason and the closed window are there after each restart, until they are taken
 * away, and then after none. */
START_TEST(mark_and_window_over_restarts)
{
    struct error e;
    struct hint_mark *m = hint_mark_open(dir);
    ck_assert_uint_eq(hint_mark_since(m), 0);
    ck_assert_str_eq(hint_mark_reason(m), "");
    ck_assert(!hint_mark_is_closed(m));
    ck_assert(hint_mark_set(m, 5, "hints for it expired", &e));
    ck_assert(hint_mark_set(m, 6, "another", &e)); /* the first stays */
    ck_assert(hint_mark_close_window(m, true, &e));
    for (int i = 0; i < 2; i++) {
        hint_mark_close(m);
        m = hint_mark_open(dir);
        ck_assert_uint_eq(hint_mark_since(m), 5);
        ck_assert_str_eq(hint_mark_reason(m), "hints for it expired");
        ck_assert(hint_mark_is_closed(m));
    }
    ck_assert(hint_mark_clear(m, &e));
    ck_assert(hint_mark_clear(m, &e));
    ck_assert_str_eq(hint_mark_reason(m), "");
    hint_mark_close(m);
    m = hint_mark_open(dir);
    ck_assert_uint_eq(hint_mark_since(m), 0);
    ck_assert(hint_mark_is_closed(m)); /* that it is repaired doesn't bring it back */
    ck_assert(hint_mark_close_window(m, false, &e));
    hint_mark_close(m);
    m = hint_mark_open(dir);
    ck_assert(!hint_mark_is_closed(m));
    ck_assert(hint_mark_set(m, 7, "again", &e));
    ck_assert(hint_mark_clear(m, &e));
    hint_mark_close(m);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, damage_while_open_leaves_nothing_pending);
    tcase_add_test(c, damage_before_what_expires_leaves_nothing_pending);
    tcase_add_test(c, a_segment_that_came_back_isnt_pending);
    tcase_add_test(c, an_old_name_of_a_recycled_segment_costs_nothing);
    tcase_add_test(c, an_unfilled_segment_is_no_damage);
    tcase_add_test(c, a_value_above_the_limit_passes_an_empty_log);
    tcase_add_test(c, a_recycled_segment_isnt_torn);
    tcase_add_test(c, an_ack_of_the_future_swallows_nothing);
    tcase_add_test(c, the_beginning_of_a_start_was_not_acknowledged);
    tcase_add_test(c, a_mark_that_could_not_be_written_is_written_later);
    tcase_add_test(c, mark_and_window_over_restarts);
}

int main(void)
{
    return unit_main("log_faults", add_cases);
}
