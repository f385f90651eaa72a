/* The hint store by itself: caps and fairness to the byte, each rejection, expiry from anywhere,
 * reopening, random operations against a model from a printed seed, and many threads at once. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/store.h"
#include "unit.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DAY 86400000u

static char dir[64];
static uint8_t bytes[4096];

static struct hint_store *open_with(const struct hint_store_options *o)
{
    struct error e;
    struct hint_store *s = hint_store_open(o, &e);
    ck_assert_msg(s != NULL, "%s", e.text);
    return s;
}

static struct hint_peer *peer(struct hint_store *s, const char *name)
{
    struct error e;
    struct hint_peer *p = hint_store_peer(s, name, NULL, &e);
    ck_assert_msg(p != NULL, "%s", e.text);
    return p;
}

static void close_store(struct hint_store *s)
{
    struct error e;
    ck_assert(hint_store_close(s, &e));
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *below = mem_printf("%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlink(below) != 0)
            remove_tree(below);
        mem_free(below);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static void setup(void)
{
    rcu_start();
    memset(bytes, 'x', sizeof bytes);
    snprintf(dir, sizeof dir, "/tmp/hintstore.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    remove_tree(dir);
    rcu_stop();
}

static enum hint_put put(struct hint_peer *p, size_t size)
{
    return hint_store_put(p, slice_of(bytes, size), DAY);
}

/* A hint with a number of its own and a deadline. */
static enum hint_put append(struct hint_peer *p, uint64_t id, uint64_t deadline, size_t size,
                            enum hint_as as)
{
    uint8_t payload[2048] = {0};
    memcpy(payload, &id, sizeof id);
    struct frame f = {.kind = FRAME_WRITE,
                      .stamp = (1000 + id) << 16,
                      .deadline = deadline,
                      .payload = slice_of(payload, size)};
    return hint_peer_append(p, &f, as);
}

static uint64_t id_of(const struct frame *f)
{
    uint64_t id;
    memcpy(&id, f->payload.ptr, sizeof id);
    return id;
}

static struct hint_figures figures(struct hint_peer *p)
{
    struct hint_figures f;
    hint_peer_figures(p, &f);
    return f;
}

static struct hint_totals totals(struct hint_store *s)
{
    struct hint_totals t;
    hint_store_totals(s, &t);
    return t;
}

static bool accept(void *arg, const struct frame *f)
{
    (void)arg;
    (void)f;
    return true;
}

static void ack_first(struct hint_peer *p, unsigned n)
{
    struct frame f;
    struct slice b;
    uint64_t after = 0;
    hint_peer_hold(p);
    for (unsigned i = 0; i < n; i++) {
        ck_assert(hint_peer_next(p, after, &f, &b));
        after = f.seq;
    }
    hint_peer_ack(p, after);
    hint_peer_release(p);
}

/* ---- putting and taking
 * --------------------------------------------------------------------------- */

struct seen {
    uint64_t n, next, stop_at;
};

static bool in_order(void *arg, const struct frame *f)
{
    struct seen *s = arg;
    if (s->stop_at && s->n == s->stop_at)
        return false;
    ck_assert_uint_eq(id_of(f), s->next);
    s->next++;
    s->n++;
    return true;
}

START_TEST(takes_what_was_put_oldest_first)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.segment_min = 4096});
    struct hint_peer *p = peer(s, "a"), *q = peer(s, "b");
    struct seen seen = {.stop_at = 40};
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_int_eq(append(p, i, 0, 100, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(put(q, 7), HINT_PUT_STORED);
    ck_assert_uint_eq(totals(s).peers_with_hints, 2);
    ck_assert_uint_eq(totals(s).sum.bytes, 10007);
    ck_assert_uint_eq(hint_store_take(p, in_order, &seen), 40);
    ck_assert_uint_eq(figures(p).pending, 60);
    ck_assert_uint_eq(figures(p).oldest_ms, 1040);
    seen.stop_at = 0;
    ck_assert_uint_eq(hint_store_take(p, in_order, &seen), 60);
    ck_assert_uint_eq(hint_store_take(p, in_order, &seen), 0);
    ck_assert_uint_eq(figures(p).delivered, 100);
    ck_assert_uint_eq(figures(p).stored, 100);
    ck_assert_uint_eq(figures(p).bytes, 0);
    ck_assert_uint_eq(totals(s).peers_with_hints, 1);
    close_store(s);
}
END_TEST

START_TEST(each_rejection_changes_only_its_counter)
{
    struct hint_store *s =
        open_with(&(struct hint_store_options){.cap = 1000, .cap_peer = 300, .record_max = 250});
    struct hint_peer *p = peer(s, "a"), *q = peer(s, "b"), *r = peer(s, "c");
    ck_assert_int_eq(hint_store_put(p, slice_of(bytes, 10), 0), HINT_PUT_ZERO_TTL);
    ck_assert_int_eq(put(p, 0), HINT_PUT_EMPTY);
    ck_assert_int_eq(put(p, 251), HINT_PUT_TOO_LARGE);
    ck_assert_int_eq(put(p, 250), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 51), HINT_PUT_OVER_PEER_CAP);
    ck_assert_int_eq(put(p, 50), HINT_PUT_STORED);
    ck_assert_int_eq(put(q, 250), HINT_PUT_STORED);
    hint_store_set_caps(s, 600, 0);
    ck_assert_int_eq(put(r, 101), HINT_PUT_OVER_CAP); /* its part is 100 */
    ck_assert_int_eq(put(r, 100), HINT_PUT_OVER_CAP); /* and others hold some of it: 550 of 600 */
    ck_assert_int_eq(put(r, 50), HINT_PUT_STORED);
    struct hint_figures f = totals(s).sum;
    ck_assert_uint_eq(f.bytes, 600);
    ck_assert_uint_eq(f.pending, 4);
    ck_assert_uint_eq(f.stored, 4);
    static const uint64_t want[HINT_PUT_RESULTS] = {[HINT_PUT_ZERO_TTL] = 1,
                                                    [HINT_PUT_EMPTY] = 1,
                                                    [HINT_PUT_TOO_LARGE] = 1,
                                                    [HINT_PUT_OVER_PEER_CAP] = 1,
                                                    [HINT_PUT_OVER_CAP] = 2};
    ck_assert_mem_eq(f.rejected, want, sizeof want);
    close_store(s);
}
END_TEST

/* ---- caps and fairness, to the byte
 * ---------------------------------------------------------------- */

START_TEST(one_peer_may_fill_the_cap)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 1000});
    struct hint_peer *p = peer(s, "a");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
        ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
        ack_first(p, 1);
        ck_assert_int_eq(put(p, 101), HINT_PUT_OVER_CAP);
        ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
        ck_assert_uint_eq(hint_store_take(p, accept, NULL), 10);
    }
    close_store(s);
}
END_TEST

START_TEST(a_peers_part_is_kept_for_it)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 1000});
    struct hint_peer *p = peer(s, "a"), *q = peer(s, "b");
    /* parts of 250, 500 shared */
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 51), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(put(p, 50), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(put(q, 251), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(put(q, 250), HINT_PUT_STORED);
    ck_assert_int_eq(put(q, 1), HINT_PUT_OVER_CAP);
    ck_assert_uint_eq(totals(s).sum.bytes, 1000);
    /* what p gives back of the shared half is q's as well */
    ack_first(p, 2);
    ck_assert_int_eq(put(q, 201), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(put(q, 200), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    /* p is above its part until it holds 250: all goes to whoever comes first */
    ack_first(p, 3);
    ck_assert_int_eq(put(q, 300), HINT_PUT_STORED);
    ck_assert_int_eq(put(q, 1), HINT_PUT_OVER_CAP);
    /* and below that its part is its own again */
    ack_first(p, 1);
    ck_assert_int_eq(put(q, 1), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
    ck_assert_uint_eq(totals(s).sum.bytes, 1000);
    close_store(s);
}
END_TEST

START_TEST(a_new_peer_gets_its_part_when_there_is_room)
{
    struct error e;
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 1000});
    struct hint_peer *p = peer(s, "a");
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
    struct hint_peer *q = peer(s, "b");
    ck_assert_int_eq(put(q, 1), HINT_PUT_OVER_CAP); /* never more than the cap */
    ack_first(p, 2);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP); /* 250 are owed to q */
    ck_assert_int_eq(put(q, 200), HINT_PUT_STORED);
    ack_first(p, 1);
    ck_assert_int_eq(put(p, 51), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(put(p, 50), HINT_PUT_STORED);
    ck_assert_int_eq(put(q, 50), HINT_PUT_STORED);
    ck_assert_uint_eq(totals(s).sum.bytes, 1000);
    /* who goes leaves its part to the others; who holds hints doesn't go */
    ck_assert(!hint_peer_remove(q, &e));
    ck_assert_uint_eq(hint_store_take(q, accept, NULL), 2);
    ck_assert(hint_peer_remove(q, &e));
    ck_assert_ptr_null(hint_store_find(s, "b"));
    ck_assert_uint_eq(totals(s).sum.delivered, 3 + 2);
    ck_assert_int_eq(put(p, 250), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    close_store(s);
}
END_TEST

START_TEST(caps_change_at_run_time)
{
    struct hint_store *s = open_with(&(struct hint_store_options){0});
    struct hint_peer *p = peer(s, "a");
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
    hint_store_set_caps(s, 1000, 0);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    ck_assert_uint_eq(totals(s).cap, 1000);
    ack_first(p, 10);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    ack_first(p, 1);
    ck_assert_int_eq(put(p, 100), HINT_PUT_STORED);
    hint_store_set_caps(s, 1500, 1200);
    ck_assert_int_eq(put(p, 200), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_PEER_CAP);
    hint_store_set_caps(s, 1500, 0);
    ck_assert_int_eq(put(p, 300), HINT_PUT_STORED);
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    hint_store_set_caps(s, 0, 0);
    ck_assert_int_eq(put(p, 4000), HINT_PUT_STORED);
    close_store(s);
}
END_TEST

/* The batches that a producer takes ahead where there is plenty: at the end the cap holds, and all
 * but those of the others (a 64th) can be used. */
START_TEST(a_large_cap_is_used_up)
{
    const uint64_t cap = 64u << 20;
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = cap});
    struct hint_peer *p[4] = {peer(s, "a"), peer(s, "b"), peer(s, "c"), peer(s, "d")};
    unsigned full = 0;
    for (unsigned i = 0; full != 15; i++)
        if (put(p[i % 4], 4096) != HINT_PUT_STORED)
            full |= 1u << i % 4;
    ck_assert_uint_le(totals(s).sum.bytes, cap);
    ck_assert_uint_ge(totals(s).sum.bytes, cap - cap / 64 - 4 * 4096);
    close_store(s);
}
END_TEST

/* ---- live records
 * --------------------------------------------------------------------------------- */

START_TEST(live_records_count_when_they_become_hints)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 1000});
    struct hint_peer *p = peer(s, "a");
    ck_assert_int_eq(hint_peer_as(p, 250), HINT_AS_HINT); /* peers start as hinting */
    hint_peer_set_hinting(p, false);
    ck_assert_int_eq(hint_peer_as(p, 250), HINT_AS_LIVE);
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_int_eq(append(p, i, 0, 100, HINT_AS_LIVE), HINT_PUT_STORED);
    ck_assert_int_eq(hint_peer_as(p, 250), HINT_AS_HINT); /* 300 bytes behind */
    ck_assert_uint_eq(figures(p).pending, 0);
    ck_assert_uint_eq(figures(p).behind, 300);
    ack_first(p, 1);
    ck_assert_uint_eq(figures(p).delivered, 0); /* it was none */
    hint_peer_set_hinting(p, true);
    ck_assert_uint_eq(figures(p).pending, 2);
    ck_assert_uint_eq(figures(p).converted, 2);
    for (uint64_t i = 3; i < 11; i++)
        ck_assert_int_eq(append(p, i, 0, 100, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(append(p, 11, 0, 100, HINT_AS_HINT), HINT_PUT_OVER_CAP);
    ck_assert_uint_eq(figures(p).bytes, 1000);
    hint_peer_set_hinting(p, false); /* it is up; what is there stays hints until delivered */
    ck_assert_int_eq(append(p, 11, 0, 500, HINT_AS_LIVE), HINT_PUT_STORED);
    ck_assert_uint_eq(figures(p).bytes, 1000);
    ack_first(p, 10);
    ck_assert_uint_eq(figures(p).pending, 0);
    ck_assert_uint_eq(figures(p).delivered, 10);
    ck_assert_uint_eq(figures(p).behind, 500);
    /* too far behind: a hint, and the live one before it with it */
    ck_assert_int_eq(append(p, 12, 0, 100, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_uint_eq(figures(p).pending, 2);
    ck_assert_uint_eq(figures(p).bytes, 600);
    ck_assert_uint_eq(figures(p).stored, 9);
    ck_assert_uint_eq(figures(p).converted, 3);
    ck_assert_int_eq(append(p, 13, 0, 401, HINT_AS_HINT), HINT_PUT_OVER_CAP);
    hint_peer_hold(p);
    ck_assert_uint_eq(hint_peer_drop(p, UINT64_MAX), 2);
    hint_peer_release(p);
    ck_assert_uint_eq(figures(p).delivered, 10);
    ck_assert_uint_eq(figures(p).dropped, 2);
    ck_assert_uint_eq(figures(p).stored + figures(p).converted, 12); /* all that went as hints */
    ck_assert_int_eq(append(p, 14, 0, 1000, HINT_AS_HINT), HINT_PUT_STORED);
    close_store(s);
}
END_TEST

#define FLAP_PUTS  60000
#define FLAP_AHEAD 4096 /* bytes unacknowledged above which the producer waits */

static void *flap_put(void *arg)
{
    struct hint_peer *p = arg;
    rcu_thread_register();
    for (uint64_t i = 0; i < FLAP_PUTS; i++) {
        while (figures(p).behind > FLAP_AHEAD)
            sched_yield();
        ck_assert_int_eq(append(p, i, 0, 100, hint_peer_as(p, 500)), HINT_PUT_STORED);
    }
    rcu_thread_unregister();
    return NULL;
}

/* A peer that goes up and down and falls behind while it is written to: each record that was a hint
 * is counted as one once. */
START_TEST(a_peer_that_flaps_is_counted_right)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 0});
    struct hint_peer *p = peer(s, "a");
    pthread_t producer;
    bool hinting = true, done = false;
    pthread_create(&producer, NULL, flap_put, p);
    for (unsigned i = 0; !done || figures(p).behind; i++) {
        struct frame f;
        struct slice b;
        hint_peer_hold(p);
        hinting = i % 3 ? hinting : !hinting;
        hint_peer_set_hinting(p, hinting);
        if (hint_peer_next(p, 0, &f, &b))
            hint_peer_ack(p, f.seq + i % 5);
        hint_peer_release(p);
        done = done || pthread_tryjoin_np(producer, NULL) == 0;
    }
    struct hint_figures f = figures(p);
    ck_assert_uint_eq(f.stored + f.converted, f.delivered);
    ck_assert_uint_gt(f.converted, 0);
    close_store(s);
}
END_TEST

/* ---- expiry
 * --------------------------------------------------------------------------------------- */

START_TEST(short_lived_behind_long_lived_expires)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 10000});
    struct hint_peer *p = peer(s, "a");
    uint64_t now = 1000;
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_int_eq(append(p, i, i % 2 ? now + i : 0, 100, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(append(p, 100, 0, 100, HINT_AS_HINT), HINT_PUT_OVER_CAP);
    ck_assert_uint_eq(hint_store_expire(s, now + 1), 0); /* the deadline itself is in time */
    ck_assert_uint_eq(hint_store_expire(s, now + 2), 1);
    ck_assert_uint_eq(hint_store_expire(s, now + 2), 0);
    ck_assert_uint_eq(hint_store_expire(s, now + 50), 24);
    ck_assert_uint_eq(figures(p).pending, 75);
    ck_assert_uint_eq(figures(p).bytes, 7500);
    for (uint64_t i = 100; i < 125; i++) /* their room is free at once */
        ck_assert_int_eq(append(p, i, now, 100, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(append(p, 125, 0, 100, HINT_AS_HINT), HINT_PUT_OVER_CAP);
    ck_assert_uint_eq(hint_store_expire(s, now + 60), 5 + 25);
    ck_assert_uint_eq(hint_store_expire(s, now + 10000), 20);
    ck_assert_uint_eq(figures(p).expired, 75);
    uint64_t taken = hint_store_take(p, accept, NULL);
    ck_assert_uint_eq(taken, 50);
    ck_assert_uint_eq(figures(p).delivered, 50);
    ck_assert_uint_eq(figures(p).bytes, 0);
    close_store(s);
}
END_TEST

START_TEST(take_drops_what_has_expired)
{
    struct hint_store *s = open_with(&(struct hint_store_options){0});
    struct hint_peer *p = peer(s, "a");
    uint64_t now = clock_steady_ms();
    for (uint64_t i = 0; i < 10; i++)
        append(p, i, i < 5 ? now - 1 : now + DAY, 20, HINT_AS_HINT);
    struct seen seen = {.next = 5};
    ck_assert_uint_eq(hint_store_take(p, in_order, &seen), 5);
    ck_assert_uint_eq(figures(p).expired, 5);
    ck_assert_uint_eq(figures(p).delivered, 5);
    close_store(s);
}
END_TEST

START_TEST(a_put_expires_when_it_said)
{
    struct hint_store *s = open_with(&(struct hint_store_options){0});
    struct hint_peer *p = peer(s, "a");
    uint64_t before = clock_steady_ms();
    ck_assert_int_eq(hint_store_put(p, slice_of(bytes, 10), 60000), HINT_PUT_STORED);
    ck_assert_int_eq(hint_store_put(p, slice_of(bytes, 10), UINT64_MAX), HINT_PUT_STORED);
    uint64_t after = clock_steady_ms();
    ck_assert_uint_eq(hint_store_expire(s, before + 60000 - 20), 0); /* a tick is at most 10 ms */
    ck_assert_uint_eq(hint_store_expire(s, after + 60000 + 1), 1);
    ck_assert_uint_eq(hint_store_expire(s, UINT64_MAX - 2), 0);
    close_store(s);
}
END_TEST

/* ---- on disk
 * -------------------------------------------------------------------------------------- */

START_TEST(reopening_finds_all_and_it_counts)
{
    struct error e;
    struct hint_store_options o = {
        .dir = dir, .cap = 2000, .segment_min = 4096, .floor = 1ull << 32};
    struct hint_store *s = open_with(&o);
    struct hint_peer *p = hint_store_peer(s, "new-1", "place", &e), *q = peer(s, "b");
    for (uint64_t i = 0; i < 10; i++)
        ck_assert_int_eq(append(p, i, 0, 100, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(put(q, 300), HINT_PUT_STORED);
    peer(s, "empty");
    ack_first(p, 3);
    close_store(s);
    o.cap = 1000;
    o.floor = 2ull << 32;
    s = open_with(&o);
    ck_assert_uint_eq(totals(s).peers, 2); /* nobody has named them yet */
    ck_assert_uint_eq(totals(s).peers_with_hints, 2);
    ck_assert_uint_eq(totals(s).sum.bytes, 1000);
    ck_assert_uint_eq(totals(s).sum.converted, 8);
    p = hint_store_peer(s, "new-1", "place", &e);
    ck_assert_uint_eq(hint_peer_report(p)->records, 7);
    ck_assert_str_eq(hint_peer_header(p), "place");
    ck_assert_int_eq(put(p, 1), HINT_PUT_OVER_CAP);
    ck_assert(hint_peer_rename(p, "id-1", &e));
    ck_assert_ptr_eq(hint_store_find(s, "id-1"), p);
    ck_assert_ptr_null(hint_store_find(s, "new-1"));
    ck_assert(!hint_peer_rename(p, "b", &e));
    ck_assert_uint_eq(hint_store_take(hint_store_find(s, "b"), accept, NULL), 1);
    ck_assert_int_eq(append(p, 10, 0, 51, HINT_AS_HINT), HINT_PUT_OVER_CAP); /* b's part: 250 */
    ck_assert_int_eq(append(p, 10, 0, 50, HINT_AS_HINT), HINT_PUT_STORED);
    close_store(s);
    s = open_with(&o);
    p = hint_store_peer(s, "id-1", "place", &e);
    struct seen seen = {.next = 3};
    ck_assert_uint_eq(hint_store_take(p, in_order, &seen), 8);
    ck_assert(hint_peer_remove(p, &e));
    char *path = mem_printf("%s/id-1", dir);
    ck_assert_int_ne(access(path, F_OK), 0);
    mem_free(path);
    close_store(s);
}
END_TEST

/* A log is opened under what its segments say, until somebody says what they have to say. */
START_TEST(another_peers_segments_are_left_alone)
{
    struct error e;
    struct hint_store_options o = {.dir = dir, .cap = 1000, .floor = 0};
    struct hint_store *s = open_with(&o);
    struct hint_peer *p = hint_store_peer(s, "a", "place-1", &e);
    ck_assert_int_eq(put(p, 1000), HINT_PUT_STORED);
    close_store(s);
    o.floor = 1ull << 32;
    s = open_with(&o);
    ck_assert_uint_eq(totals(s).sum.bytes, 1000);
    p = hint_store_peer(s, "a", "place-2", &e);
    ck_assert_uint_eq(hint_peer_report(p)->missing, 1);
    ck_assert_uint_eq(totals(s).sum.bytes, 0);
    ck_assert_int_eq(put(p, 1000), HINT_PUT_STORED); /* the share is free, too */
    close_store(s);
    char *path = mem_printf("%s/a/0000000000000001.log", dir);
    ck_assert_int_eq(access(path, F_OK), 0);
    mem_free(path);
}
END_TEST

START_TEST(a_full_disk_is_no_space_and_nothing_changes)
{
    struct error e;
    struct hint_store *s = open_with(&(struct hint_store_options){.dir = dir, .cap = 1000});
    struct hint_peer *p = peer(s, "a");
    char *path = mem_printf("%s/a", dir), *gone = mem_printf("%s/gone", dir);
    ck_assert_int_eq(rename(path, gone), 0);
    ck_assert_int_eq(rmdir(gone), 0); /* no file can be made in a directory that is gone */
    ck_assert_int_eq(put(p, 600), HINT_PUT_IO_ERROR);
    ck_assert_uint_eq(figures(p).rejected[HINT_PUT_IO_ERROR], 1);
    ck_assert_uint_eq(figures(p).stored + figures(p).bytes, 0);
    ck_assert_str_ne(hint_peer_error(p), "");
    ck_assert(hint_peer_remove(p, &e));
    p = peer(s, "a");
    ck_assert_int_eq(put(p, 1000), HINT_PUT_STORED); /* the share that the failure took is back */
    mem_free(path);
    mem_free(gone);
    close_store(s);
}
END_TEST

START_TEST(what_the_disk_refused_is_there_for_others)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.dir = dir, .cap = 1000});
    struct hint_peer *p = peer(s, "a"), *q = peer(s, "b");
    char *path = mem_printf("%s/a", dir);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(put(p, 700), HINT_PUT_IO_ERROR);
    ck_assert_int_eq(put(q, 700), HINT_PUT_STORED);
    mem_free(path);
    close_store(s);
}
END_TEST

static bool no_fsync;

int fsync(int fd)
{
    return no_fsync ? (errno = EIO, -1) : (int)syscall(SYS_fsync, fd);
}

START_TEST(a_rename_that_fails_changes_nothing)
{
    struct error e;
    struct hint_store_options o = {.dir = dir};
    struct hint_store *s = open_with(&o);
    struct hint_peer *p = peer(s, "a");
    ck_assert_int_eq(put(p, 10), HINT_PUT_STORED);
    no_fsync = true;
    ck_assert(!hint_peer_rename(p, "b", &e));
    no_fsync = false;
    ck_assert_ptr_eq(hint_store_find(s, "a"), p);
    ck_assert(hint_peer_rename(p, "c", &e));
    ck_assert_ptr_eq(hint_store_find(s, "c"), p);
    close_store(s);
    s = open_with(&o);
    ck_assert_uint_eq(figures(hint_store_find(s, "c")).pending, 1);
    close_store(s);
}
END_TEST

static void *rename_often(void *arg)
{
    struct error e;
    rcu_thread_register();
    for (unsigned i = 0; i < 3000; i++)
        ck_assert(hint_peer_rename(arg, i % 2 ? "a" : "b", &e));
    rcu_thread_unregister();
    return NULL;
}

START_TEST(totals_have_who_is_being_renamed)
{
    pthread_t t;
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = 1000});
    struct hint_peer *p = peer(s, "a");
    ck_assert_int_eq(put(p, 10), HINT_PUT_STORED);
    pthread_create(&t, NULL, rename_often, p);
    for (unsigned i = 0; i < 300000; i++)
        ck_assert_uint_eq(totals(s).sum.pending, 1);
    pthread_join(t, NULL);
    close_store(s);
}
END_TEST

/* A peer's hints, taken and put again elsewhere or for itself. */
static bool put_again(void *arg, const struct frame *f)
{
    return hint_store_put(arg, f->payload, DAY) == HINT_PUT_STORED;
}

START_TEST(who_takes_may_put)
{
    struct hint_store *s = open_with(&(struct hint_store_options){.dir = dir});
    struct hint_peer *p = peer(s, "a"), *q = peer(s, "b");
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(put(p, 10), HINT_PUT_STORED);
    ck_assert_uint_eq(hint_store_take(p, put_again, q), 3);
    ck_assert_uint_eq(hint_store_take(q, put_again, q), 3);
    ck_assert_uint_eq(figures(p).pending, 0);
    ck_assert_uint_eq(figures(q).pending, 3);
    close_store(s);
}
END_TEST

START_TEST(a_sync_that_failed_is_tried_again)
{
    struct error e;
    uint64_t synced;
    struct hint_store *s = open_with(&(struct hint_store_options){.dir = dir});
    struct hint_peer *p = peer(s, "a");
    char *path = mem_printf("%s/a", dir);
    ck_assert_int_eq(rmdir(path), 0);
    hint_peer_set_hinting(p, false);
    ck_assert_int_eq(append(p, 1, 0, 10, HINT_AS_LIVE), HINT_PUT_STORED);
    ck_assert(!hint_peer_sync(p, &synced, &e)); /* it lies in memory */
    ck_assert(!hint_peer_sync(p, &synced, &e));
    ack_first(p, 1);
    ck_assert(hint_peer_sync(p, &synced, &e));
    mem_free(path);
    close_store(s);
}
END_TEST

/* ---- random operations against a model
 * ------------------------------------------------------------- */

#define MODEL_PEERS 5
#define MODEL_HINTS 6000

struct model_hint {
    uint64_t id, deadline, seq;
    size_t size;
};

struct model_peer {
    char name[16];
    struct hint_peer *p;
    struct model_hint at[MODEL_HINTS]; /* pending, oldest first */
    size_t n;
    uint64_t bytes;
};

struct model {
    struct hint_store_options o;
    struct hint_store *s;
    struct model_peer peer[MODEL_PEERS];
    unsigned seed;
    uint64_t now, next_id, floor;
    uint64_t stored, delivered, expired, reopened;
};

static unsigned dice(struct model *m, unsigned sides)
{
    return (unsigned)rand_r(&m->seed) % sides;
}

static uint64_t model_bytes(const struct model *m)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < MODEL_PEERS; i++)
        sum += m->peer[i].bytes;
    return sum;
}

static void model_put(struct model *m, struct model_peer *q)
{
    struct model_hint h = {.id = m->next_id, .size = 8 + dice(m, 300)};
    unsigned kind = dice(m, 4);
    h.deadline = kind == 0 ? 0 : m->now + dice(m, kind == 1 ? 200 : 3000);
    if (q == &m->peer[0] || q->n % 64 < 32) /* all equally long, or some time long */
        h.deadline = m->now + 500;
    if (q->n == MODEL_HINTS)
        return;
    uint8_t payload[400] = {0};
    memcpy(payload, &h.id, sizeof h.id);
    struct frame f = {
        .kind = FRAME_WRITE, .deadline = h.deadline, .payload = slice_of(payload, h.size)};
    enum hint_put rc = hint_peer_append(q->p, &f, HINT_AS_HINT);
    uint64_t part = m->o.cap / 2 / MODEL_PEERS;
    if (rc == HINT_PUT_OVER_CAP) { /* never within its part, nor while there is room for all */
        ck_assert_uint_gt(q->bytes + h.size, part);
        return;
    }
    ck_assert_int_eq(rc, HINT_PUT_STORED);
    h.seq = f.seq;
    q->at[q->n++] = h;
    q->bytes += h.size;
    m->next_id++;
    m->stored++;
    ck_assert_uint_le(model_bytes(m), m->o.cap);
}

static void model_drop_first(struct model_peer *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        q->bytes -= q->at[i].size;
    memmove(q->at, q->at + n, (q->n - n) * sizeof *q->at);
    q->n -= n;
}

static void model_ack(struct model *m, struct model_peer *q)
{
    if (q->n == 0)
        return;
    size_t n = 1 + dice(m, (unsigned)q->n);
    hint_peer_hold(q->p);
    hint_peer_ack(q->p, q->at[n - 1].seq);
    hint_peer_release(q->p);
    m->delivered += n;
    model_drop_first(q, n);
}

/* From a random place on, what comes next is what the model says. */
static void model_read(struct model *m, struct model_peer *q)
{
    struct frame f;
    struct slice b;
    hint_peer_hold(q->p);
    size_t from = q->n ? dice(m, (unsigned)q->n) : 0;
    uint64_t after = from ? q->at[from - 1].seq : 0;
    for (size_t i = from; i < from + 20 && i < q->n; i++) {
        ck_assert(hint_peer_next(q->p, after, &f, &b));
        ck_assert_uint_eq(id_of(&f), q->at[i].id);
        ck_assert_uint_eq(f.payload.len, q->at[i].size);
        after = f.seq;
    }
    if (from + 20 >= q->n)
        ck_assert(!hint_peer_next(q->p, after, &f, &b));
    hint_peer_release(q->p);
}

static uint64_t model_expire_one(struct model_peer *q, uint64_t now)
{
    size_t kept = 0;
    uint64_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (q->at[i].deadline && q->at[i].deadline < now) {
            q->bytes -= q->at[i].size;
            n++;
        } else {
            q->at[kept++] = q->at[i];
        }
    }
    q->n = kept;
    return n;
}

static void model_expire(struct model *m)
{
    uint64_t n = 0;
    m->now += dice(m, 100);
    for (unsigned i = 0; i < MODEL_PEERS; i++)
        n += model_expire_one(&m->peer[i], m->now);
    m->expired += n;
    ck_assert_uint_eq(hint_store_expire(m->s, m->now), n);
}

static void model_open(struct model *m)
{
    m->o.floor = ++m->floor << 32;
    m->s = open_with(&m->o);
    for (unsigned i = 0; i < MODEL_PEERS; i++) {
        struct model_peer *q = &m->peer[i];
        snprintf(q->name, sizeof q->name, "peer-%u", i);
        q->p = peer(m->s, q->name);
    }
}

/* What expired within a segment that lives comes back with it, and expires again. */
static void model_reopen(struct model *m)
{
    struct error e;
    ck_assert(hint_store_sync(m->s, &e));
    close_store(m->s);
    model_open(m);
    for (unsigned i = 0; i < MODEL_PEERS; i++) {
        const struct hint_log_report *r = hint_peer_report(m->peer[i].p);
        ck_assert_msg(r->damaged + r->missing + r->torn_bytes == 0, "%s", r->detail);
        ck_assert_uint_ge(r->records, m->peer[i].n);
    }
    hint_store_expire(m->s, m->now);
    m->stored = m->delivered = m->expired = 0;
    m->reopened++;
}

static void model_check(struct model *m)
{
    for (unsigned i = 0; i < MODEL_PEERS; i++) {
        struct hint_figures f = figures(m->peer[i].p);
        ck_assert_uint_eq(f.pending, m->peer[i].n);
        ck_assert_uint_eq(f.bytes, m->peer[i].bytes);
    }
    struct hint_figures f = totals(m->s).sum;
    ck_assert_uint_eq(f.stored, m->stored);
    ck_assert_uint_eq(f.delivered, m->delivered);
    ck_assert_uint_eq(f.damaged, 0);
    ck_assert_uint_eq(f.stored + f.converted, f.pending + f.delivered + f.expired);
}

static void run_model(bool on_disk, unsigned steps)
{
    struct model *m = MEM_NEW(struct model);
    m->seed = unit_seed();
    m->now = 1000;
    m->o = (struct hint_store_options){.dir = on_disk ? dir : NULL,
                                       .cap = 200000,
                                       .sync = HINT_SYNC_INTERVAL,
                                       .segment_min = 2048,
                                       .segment_max = 8192};
    model_open(m);
    for (unsigned step = 0; step < steps; step++) {
        struct model_peer *q = &m->peer[dice(m, dice(m, 2) ? MODEL_PEERS : 1)];
        unsigned d = dice(m, 1000);
        if (d < 800)
            model_put(m, q);
        else if (d < 900)
            model_read(m, q);
        else if (d < 940)
            model_ack(m, q);
        else if (d < 990)
            model_expire(m);
        else if (on_disk && d == 999)
            model_reopen(m);
        else if (on_disk && d >= 995) {
            struct error e;
            ck_assert_msg(hint_store_sync(m->s, &e), "%s", e.text);
        }
        model_check(m);
    }
    for (unsigned i = 0; i < MODEL_PEERS; i++) {
        struct model_peer *q = &m->peer[i];
        struct hint_figures f;
        hint_peer_hold(q->p);
        if (q->n)
            hint_peer_ack(q->p, q->at[q->n - 1].seq);
        hint_peer_release(q->p);
        hint_peer_figures(q->p, &f);
        ck_assert_uint_eq(f.pending + f.bytes, 0);
    }
    close_store(m->s);
    mem_free(m);
}

START_TEST(random_in_memory)
{
    run_model(false, 60000);
}
END_TEST

START_TEST(random_on_disk)
{
    run_model(true, 30000);
}
END_TEST

/* A peer that goes and comes, with live records and hints in any order: figures are what the rule
 * says, and no share is lost or made. */
START_TEST(random_live_and_hints)
{
    unsigned seed = unit_seed();
    const uint64_t cap = 20000;
    struct hint_store *s = open_with(&(struct hint_store_options){.cap = cap, .segment_min = 2048});
    struct hint_peer *p = peer(s, "a"), *other = peer(s, "b");
    static uint64_t seq[40000], size[40000]; /* all ever appended */
    size_t first = 0, n = 0, mark = 0;       /* first unacknowledged; up to here they are hints */
    bool hinting = true;
    for (unsigned step = 0; step < 40000; step++) {
        unsigned d = (unsigned)rand_r(&seed) % 100;
        if (d < 70) {
            struct frame f = {.kind = FRAME_WRITE,
                              .payload = slice_of(bytes, 1 + (unsigned)rand_r(&seed) % 200)};
            enum hint_as as = hint_peer_as(p, 3000);
            ck_assert(!hinting || as == HINT_AS_HINT);
            if (hint_peer_append(p, &f, as) == HINT_PUT_STORED) {
                seq[n] = f.seq;
                size[n++] = f.payload.len;
                mark = as == HINT_AS_HINT ? n : mark;
            }
        } else if (d < 97 && first < n) {
            first += 1 + (unsigned)rand_r(&seed) % (n - first < 6 ? n - first : 6);
            hint_peer_hold(p);
            hint_peer_ack(p, seq[first - 1]);
            hint_peer_release(p);
        } else if (d >= 97) {
            hinting = !hinting;
            mark = n;
            hint_peer_hold(p);
            hint_peer_set_hinting(p, hinting);
            hint_peer_release(p);
        }
        uint64_t held = 0;
        for (size_t i = first; i < (hinting ? n : mark); i++)
            held += size[i];
        struct hint_figures g = figures(p);
        ck_assert_uint_eq(g.bytes, held);
        ck_assert_uint_eq(g.stored + g.converted, g.pending + g.delivered);
        ck_assert_uint_le(held, cap / 2 + cap / 4 + 3200); /* a window and a record above at most */
    }
    hint_peer_hold(p);
    hint_peer_drop(p, UINT64_MAX);
    hint_peer_release(p);
    for (unsigned i = 0; i < 150; i++)
        ck_assert_int_eq(put(other, 100), HINT_PUT_STORED);
    ck_assert_int_eq(put(other, 1), HINT_PUT_OVER_CAP);
    ck_assert_int_eq(append(p, 0, 0, 2000, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(append(p, 0, 0, 2000, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(append(p, 0, 0, 1000, HINT_AS_HINT), HINT_PUT_STORED);
    ck_assert_int_eq(append(p, 0, 0, 8, HINT_AS_HINT), HINT_PUT_OVER_CAP);
    close_store(s);
}
END_TEST

/* ---- many threads
 * --------------------------------------------------------------------------------- */

#define CROWD_PEERS 3
#define CROWD_PUTS  20000

struct crowd {
    struct hint_store *s;
    struct hint_peer *p[CROWD_PEERS];
    uint64_t cap;
    unsigned stop;                            /* atomic */
    uint64_t next_id;                         /* atomic */
    uint64_t stored, rejected, taken, checks; /* atomic */
};

static void *crowd_put(void *arg)
{
    struct crowd *c = arg;
    unsigned seed = (unsigned)(uintptr_t)pthread_self();
    rcu_thread_register();
    for (unsigned i = 0; i < CROWD_PUTS; i++) {
        struct hint_peer *p = c->p[(unsigned)rand_r(&seed) % CROWD_PEERS];
        uint64_t ttl = (unsigned)rand_r(&seed) % 3 ? DAY : 5;
        enum hint_put rc =
            hint_store_put(p, slice_of(bytes, 1 + (unsigned)rand_r(&seed) % 200), ttl);
        ck_assert(rc == HINT_PUT_STORED || rc == HINT_PUT_OVER_CAP);
        (void)__atomic_fetch_add(rc == HINT_PUT_STORED ? &c->stored : &c->rejected, 1,
                                 __ATOMIC_RELAXED);
    }
    rcu_thread_unregister();
    return NULL;
}

struct order {
    struct crowd *c;
    uint64_t last;
};

static bool crowd_take_one(void *arg, const struct frame *f)
{
    struct order *o = arg;
    ck_assert_uint_gt(f->seq, o->last);
    o->last = f->seq;
    (void)__atomic_fetch_add(&o->c->taken, 1, __ATOMIC_RELAXED);
    return true;
}

/* Two threads take, each in turns from all peers: per peer one at a time. */
static void *crowd_take(void *arg)
{
    struct crowd *c = arg;
    rcu_thread_register();
    while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < CROWD_PEERS; i++) {
            struct order o = {.c = c};
            hint_store_take(c->p[i], crowd_take_one, &o);
        }
    rcu_thread_unregister();
    return NULL;
}

static void *crowd_expire(void *arg)
{
    struct crowd *c = arg;
    uint64_t seen = 0;
    rcu_thread_register();
    while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
        hint_store_expire(c->s, clock_steady_ms());
        struct hint_figures f = totals(c->s).sum;
        ck_assert_uint_ge(f.stored + f.converted, seen); /* also when peers are removed */
        seen = f.stored + f.converted;
    }
    rcu_thread_unregister();
    return NULL;
}

/* What is there at one moment is at most the cap: where nobody took anything while all were looked
 * at, the lengths seen first are at most what was there at the end. */
static void *crowd_check(void *arg)
{
    struct crowd *c = arg;
    rcu_thread_register();
    while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
        uint64_t gone[CROWD_PEERS], sum = 0;
        bool still = true;
        for (unsigned i = 0; i < CROWD_PEERS; i++)
            gone[i] = hint_log_acked(hint_peer_log(c->p[i])).bytes;
        for (unsigned i = 0; i < CROWD_PEERS; i++) {
            /* one that expires while it is being put is gone before it counts as appended */
            uint64_t end = hint_log_appended(hint_peer_log(c->p[i])).bytes;
            sum += end > gone[i] ? end - gone[i] : 0;
        }
        for (unsigned i = 0; i < CROWD_PEERS; i++)
            still &= gone[i] == hint_log_acked(hint_peer_log(c->p[i])).bytes;
        if (still)
            ck_assert_uint_le(sum, c->cap);
        c->checks += still;
    }
    rcu_thread_unregister();
    return NULL;
}

/* The list of peers changes while all else goes on. */
static void *crowd_join(void *arg)
{
    struct crowd *c = arg;
    struct error e;
    char name[32];
    rcu_thread_register();
    for (unsigned i = 0; !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE); i++) {
        snprintf(name, sizeof name, "guest-%u", i % 7);
        struct hint_peer *p = peer(c->s, name);
        (void)put(p, 10);
        snprintf(name, sizeof name, "renamed-%u", i);
        ck_assert(hint_peer_rename(p, name, &e));
        hint_store_take(p, accept, NULL);
        ck_assert_msg(hint_peer_remove(p, &e), "%s", e.text);
    }
    rcu_thread_unregister();
    return NULL;
}

static void run_crowd(struct crowd *c, bool guests)
{
    pthread_t puts[4], others[5];
    unsigned n = 0;
    for (unsigned i = 0; i < CROWD_PEERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "peer-%u", i);
        c->p[i] = peer(c->s, name);
    }
    pthread_create(&others[n++], NULL, crowd_take, c);
    pthread_create(&others[n++], NULL, crowd_take, c);
    pthread_create(&others[n++], NULL, crowd_expire, c);
    pthread_create(&others[n++], NULL, crowd_check, c);
    if (guests)
        pthread_create(&others[n++], NULL, crowd_join, c);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&puts[i], NULL, crowd_put, c);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(puts[i], NULL);
    __atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < n; i++)
        pthread_join(others[i], NULL);
    for (unsigned i = 0; i < CROWD_PEERS; i++) {
        struct order o = {.c = c};
        hint_store_take(c->p[i], crowd_take_one, &o);
        struct hint_figures f = figures(c->p[i]);
        ck_assert_uint_eq(f.pending + f.bytes, 0);
    }
    uint64_t stored = 0, expired = 0;
    for (unsigned i = 0; i < CROWD_PEERS; i++) {
        stored += figures(c->p[i]).stored;
        expired += figures(c->p[i]).expired;
    }
    ck_assert_uint_eq(stored, c->stored);
    ck_assert_uint_eq(stored, c->taken + expired);
    ck_assert_uint_eq(c->stored + c->rejected, 4 * CROWD_PUTS);
    ck_assert_uint_gt(c->checks, 0);
}

/* Whatever the threads did, no share is lost: one peer may fill the whole cap again. */
static void fill_the_cap(struct crowd *c)
{
    while (put(c->p[0], 10) == HINT_PUT_STORED)
        ;
    uint64_t filled = figures(c->p[0]).bytes, kept = c->cap / 2 / CROWD_PEERS * (CROWD_PEERS - 1);
    ck_assert_uint_le(filled, c->cap - kept);
    ck_assert_uint_gt(filled + 10 + 3, c->cap - kept);
}

START_TEST(many_threads_in_memory)
{
    struct crowd c = {.cap = 30000};
    c.s = open_with(&(struct hint_store_options){.cap = c.cap, .segment_min = 4096});
    run_crowd(&c, false);
    ck_assert_uint_gt(c.rejected, 0);
    fill_the_cap(&c);
    close_store(c.s);
}
END_TEST

START_TEST(many_threads_while_peers_come_and_go)
{
    struct crowd c = {.cap = 30000};
    c.s = open_with(&(struct hint_store_options){
        .dir = dir, .cap = c.cap, .sync = HINT_SYNC_NEVER, .segment_min = 4096});
    run_crowd(&c, true);
    ck_assert_uint_eq(totals(c.s).peers, CROWD_PEERS);
    fill_the_cap(&c);
    close_store(c.s);
}
END_TEST

#define DURABLE_THREADS 16
#define DURABLE_PUTS    20

static void *put_durable(void *arg)
{
    rcu_thread_register();
    for (unsigned i = 0; i < DURABLE_PUTS; i++)
        ck_assert_int_eq(put(arg, 100), HINT_PUT_STORED);
    rcu_thread_unregister();
    return NULL;
}

/* Each put returns when its hint is on disk; meanwhile others take. */
START_TEST(durable_puts_share_syncs)
{
    pthread_t t[DURABLE_THREADS];
    struct hint_store_options o = {.dir = dir, .sync = HINT_SYNC_ALWAYS, .segment_min = 4096};
    struct hint_store *s = open_with(&o);
    struct hint_peer *p = peer(s, "a");
    for (unsigned i = 0; i < DURABLE_THREADS; i++)
        pthread_create(&t[i], NULL, put_durable, p);
    uint64_t taken = 0;
    while (taken < 100)
        taken += hint_store_take(p, accept, NULL);
    for (unsigned i = 0; i < DURABLE_THREADS; i++)
        pthread_join(t[i], NULL);
    struct hint_figures f = figures(p);
    ck_assert_uint_eq(f.stored, DURABLE_THREADS * DURABLE_PUTS);
    ck_assert_uint_ge(f.syncs, 1);
    ck_assert_uint_le(f.syncs, f.stored);
    close_store(s);
    s = open_with(&o);
    ck_assert_uint_eq(totals(s).sum.pending, DURABLE_THREADS * DURABLE_PUTS - taken);
    close_store(s);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 180);
    tcase_add_test(c, takes_what_was_put_oldest_first);
    tcase_add_test(c, each_rejection_changes_only_its_counter);
    tcase_add_test(c, one_peer_may_fill_the_cap);
    tcase_add_test(c, a_peers_part_is_kept_for_it);
    tcase_add_test(c, a_new_peer_gets_its_part_when_there_is_room);
    tcase_add_test(c, caps_change_at_run_time);
    tcase_add_test(c, a_large_cap_is_used_up);
    tcase_add_test(c, live_records_count_when_they_become_hints);
    tcase_add_test(c, a_peer_that_flaps_is_counted_right);
    tcase_add_test(c, short_lived_behind_long_lived_expires);
    tcase_add_test(c, take_drops_what_has_expired);
    tcase_add_test(c, a_put_expires_when_it_said);
    tcase_add_test(c, reopening_finds_all_and_it_counts);
    tcase_add_test(c, another_peers_segments_are_left_alone);
    tcase_add_test(c, a_full_disk_is_no_space_and_nothing_changes);
    tcase_add_test(c, what_the_disk_refused_is_there_for_others);
    tcase_add_test(c, a_rename_that_fails_changes_nothing);
    tcase_add_test(c, totals_have_who_is_being_renamed);
    tcase_add_test(c, who_takes_may_put);
    tcase_add_test(c, a_sync_that_failed_is_tried_again);
    tcase_add_test(c, random_in_memory);
    tcase_add_test(c, random_on_disk);
    tcase_add_test(c, random_live_and_hints);
    tcase_add_test(c, many_threads_in_memory);
    tcase_add_test(c, many_threads_while_peers_come_and_go);
    tcase_add_test(c, durable_puts_share_syncs);
}

int main(void)
{
    return unit_main("hint_store", add_cases);
}
