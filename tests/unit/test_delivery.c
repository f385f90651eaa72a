/* A sender's bookkeeping against a receiver's (hint/numbers.h), in virtual time, over a link that
 * is cut at any place, from a printed seed. */
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/numbers.h"
#include "peer.h"
#include "peer/bucket.h"
#include "peer/delivery.h"
#include "unit.h"
#include "wire/frame.h"
#include <unistd.h>

#define UPPER   (7ull << 32)
#define OUT_MAX (64u * 1024)

static struct hint_peer *log_of_memory(void)
{
    struct error e;
    struct hint_store_options o = {.floor = UPPER,
                                   .segment_min = 4096,
                                   .segment_max = 65536,
                                   .single_writer = true,
                                   .single_reader = true};
    struct hint_peer *p = hint_store_peer(hint_store_open(&o, &e), "peer", NULL, &e);
    ck_assert_ptr_nonnull(p);
    hint_peer_set_hinting(p, true);
    return p;
}

static uint64_t put(struct hint_peer *l, size_t size, uint64_t deadline)
{
    static char bytes[4000];
    struct frame f = {.kind = FRAME_WRITE,
                      .stamp = 1 << 16,
                      .deadline = deadline,
                      .payload = slice_of(bytes, size)};
    ck_assert_int_eq(hint_peer_append(l, &f, HINT_AS_HINT), HINT_PUT_STORED);
    return f.seq;
}

/* The next frame of what was put out. */
static bool take(struct buf *out, struct frame *f)
{
    size_t size;
    if (out->len == 0)
        return false;
    ck_assert_int_eq(frame_parse(buf_head(out), out->len, FRAME_PAYLOAD_MAX, f, &size), FRAME_OK);
    buf_eat(out, size);
    return true;
}

static uint64_t skip_from(const struct frame *f)
{
    uint64_t v;
    ck_assert(frame_skip_from(f, &v));
    return v;
}

static enum delivery_stop pump(struct delivery *d, struct buf *out)
{
    uint64_t expired = 0;
    struct delivery_now now = {.allowed = SIZE_MAX};
    return delivery_pump(d, out, OUT_MAX, &now, &expired);
}

/* After this acknowledgement so many were delivered, and so many expired, since the beginning. */
static void acked(struct delivery *d, uint64_t seq, uint64_t delivered, uint64_t expired)
{
    struct hint_figures f;
    delivery_acked(d, seq);
    hint_peer_figures(d->hints, &f);
    ck_assert_uint_eq(f.delivered, delivered);
    ck_assert_uint_eq(f.expired, expired);
}

/* At a rate, as a sender does it. */
static enum delivery_stop pump_at(struct delivery *d, struct buf *out, struct bucket *b,
                                  uint64_t ms, uint64_t rate)
{
    uint64_t expired = 0;
    size_t before = out->len;
    struct delivery_now now = {.allowed = bucket_left(b, rate, ms)};
    enum delivery_stop why = delivery_pump(d, out, OUT_MAX, &now, &expired);
    bucket_take(b, out->len - before);
    return why;
}

/* What the writer hasn't told of doesn't go out, also if it lies in the log. */
START_TEST(nothing_goes_out_untold)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    struct frame f;
    delivery_init(&d, l, OUT_MAX);
    ck_assert(delivery_go_on_from(&d, 0));
    uint64_t first = put(l, 10, 0);
    ck_assert_int_eq(pump(&d, &out), DELIVERY_EMPTY);
    ck_assert(take(&out, &f)); /* the step to the first upper half */
    ck_assert_int_eq(f.kind, FRAME_SKIP);
    ck_assert_uint_eq(f.seq, UPPER);
    ck_assert(!take(&out, &f));
    delivery_allow(&d, first);
    put(l, 10, 0);
    ck_assert_int_eq(pump(&d, &out), DELIVERY_EMPTY);
    ck_assert(take(&out, &f));
    ck_assert_uint_eq(f.seq, first);
    ck_assert(!take(&out, &f));
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

START_TEST(window_and_acknowledgements)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    struct frame f = {0};
    delivery_init(&d, l, 40000);
    for (int i = 0; i < 100; i++)
        delivery_allow(&d, put(l, 1000, 0));
    ck_assert(delivery_go_on_from(&d, UPPER));
    ck_assert_int_eq(pump(&d, &out), DELIVERY_WINDOW);
    ck_assert_uint_ge(out.len, 40000);
    ck_assert_uint_lt(out.len, 40000 + 1000 + FRAME_HEAD);
    while (take(&out, &f))
        ;
    ck_assert_int_eq(pump(&d, &out), DELIVERY_WINDOW);
    ck_assert_uint_eq(out.len, 0);
    delivery_acked(&d, f.seq);
    ck_assert_uint_eq(hint_log_acked(hint_peer_log(l)).seq, f.seq);
    ck_assert_int_eq(pump(&d, &out), DELIVERY_WINDOW);
    ck_assert(take(&out, &f));
    ck_assert_uint_eq(f.seq, hint_log_acked(hint_peer_log(l)).seq + 1);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* 10,000 bytes a second, whole records, bursts of at most a tenth of a second. */
START_TEST(rate_of_hints)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct bucket b = {0};
    struct buf out = BUF_INIT;
    delivery_init(&d, l, 1 << 20);
    for (int i = 0; i < 200; i++)
        delivery_allow(&d, put(l, 500 - FRAME_HEAD, 0));
    ck_assert(delivery_go_on_from(&d, UPPER));
    uint64_t ms = 1000;
    ck_assert_int_eq(pump_at(&d, &out, &b, ms, 10000), DELIVERY_RATE);
    ck_assert_uint_le(out.len, 1000 + 500);
    size_t burst = out.len;
    for (; ms <= 6000; ms += 20)
        ck_assert_int_eq(pump_at(&d, &out, &b, ms, 10000), DELIVERY_RATE);
    ck_assert_uint_ge(out.len - burst, 49000);
    ck_assert_uint_le(out.len - burst, 51000);
    ck_assert_int_eq(pump(&d, &out), DELIVERY_WINDOW); /* without one: up to OUT_MAX */
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* A rate that changes holds from the next look on, up and down. */
START_TEST(rate_changes_under_way)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct bucket b = {0};
    struct buf out = BUF_INIT;
    delivery_init(&d, l, 1 << 20);
    for (int i = 0; i < 1000; i++)
        delivery_allow(&d, put(l, 500 - FRAME_HEAD, 0));
    ck_assert(delivery_go_on_from(&d, UPPER));
    uint64_t ms = 1000;
    for (; ms < 2000; ms += 20)
        pump_at(&d, &out, &b, ms, 1000);
    ck_assert_uint_le(out.len, 2000); /* the burst, a second's worth, and a record */
    size_t slow = out.len;
    for (; ms < 3000; ms += 20)
        pump_at(&d, &out, &b, ms, 50000);
    ck_assert_uint_ge(out.len - slow, 47000);
    ck_assert_uint_le(out.len - slow, 55500);
    size_t fast = out.len;
    for (; ms < 4000; ms += 20)
        pump_at(&d, &out, &b, ms, 1000);
    ck_assert_uint_le(out.len - fast, 2000);
    ck_assert_int_eq(pump_at(&d, &out, &b, ms, 0), DELIVERY_WINDOW);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* As long as there is one. */
START_TEST(pace_narrows_the_window)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    uint64_t expired = 0;
    struct delivery_now now = {.allowed = SIZE_MAX, .pace = 5000};
    delivery_init(&d, l, 40000);
    for (int i = 0; i < 100; i++)
        delivery_allow(&d, put(l, 1000, 0));
    ck_assert(delivery_go_on_from(&d, UPPER));
    ck_assert_int_eq(delivery_pump(&d, &out, OUT_MAX, &now, &expired), DELIVERY_WINDOW);
    ck_assert_uint_ge(out.len, 5000);
    ck_assert_uint_lt(out.len, 5000 + 1000 + FRAME_HEAD);
    now.pace = 0;
    ck_assert_int_eq(delivery_pump(&d, &out, OUT_MAX, &now, &expired), DELIVERY_WINDOW);
    ck_assert_uint_ge(out.len, 40000);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* What isn't out when it is cut never goes out, and is skipped by number before what follows. */
START_TEST(a_cut_skips_what_is_not_out)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    struct frame f = {0};
    delivery_init(&d, l, 5000);
    for (int i = 0; i < 20; i++)
        delivery_allow(&d, put(l, 1000, 0));
    ck_assert(delivery_go_on_from(&d, UPPER));
    ck_assert_int_eq(pump(&d, &out), DELIVERY_WINDOW);
    uint64_t gone_out = delivery_cut(&d, d.upto);
    ck_assert_uint_gt(gone_out, UPPER);
    ck_assert_uint_lt(gone_out, UPPER + 20);
    while (take(&out, &f))
        ;
    ck_assert_uint_eq(f.seq, gone_out);
    delivery_acked(&d, gone_out);
    ck_assert_uint_eq(hint_log_acked(hint_peer_log(l)).records, gone_out - UPPER);
    hint_peer_ack(l, UPPER + 20);
    delivery_allow(&d, put(l, 1000, 0));
    ck_assert_int_eq(pump(&d, &out), DELIVERY_EMPTY);
    ck_assert(take(&out, &f));
    ck_assert_int_eq(f.kind, FRAME_SKIP);
    ck_assert_uint_eq(skip_from(&f), gone_out);
    ck_assert_uint_eq(f.seq, UPPER + 20);
    ck_assert(take(&out, &f));
    ck_assert_uint_eq(f.seq, UPPER + 21);
    ck_assert(!take(&out, &f));
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

START_TEST(expired_are_skipped_and_counted_once)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    struct frame f;
    uint64_t expired = 0;
    struct delivery_now now = {.allowed = SIZE_MAX, .steady_ms = 1000};
    delivery_init(&d, l, 1 << 20);
    for (int i = 0; i < 9; i++)
        delivery_allow(&d, put(l, 10, i % 3 == 1 ? 999 : 1001)); /* 2, 5 and 8 have expired */
    for (int link = 0; link < 2; link++) {
        ck_assert(delivery_go_on_from(&d, UPPER));
        ck_assert_int_eq(delivery_pump(&d, &out, OUT_MAX, &now, &expired), DELIVERY_EMPTY);
        uint64_t last = UPPER, skips = 0;
        while (take(&out, &f)) {
            ck_assert_int_eq(number_check(last, f.kind == FRAME_SKIP,
                                          f.kind == FRAME_SKIP ? skip_from(&f) : 0, f.seq),
                             NUMBER_APPLY);
            skips += f.kind == FRAME_SKIP;
            last = f.seq;
        }
        ck_assert_uint_eq(skips, 3);
        ck_assert_uint_eq(last, UPPER + 9);
        ck_assert_uint_eq(expired, 3);
    }
    /* acknowledged they aren't delivered */
    acked(&d, UPPER + 1, 1, 0);
    acked(&d, UPPER + 5, 3, 2);
    acked(&d, UPPER + 5, 3, 2);
    acked(&d, UPPER + 9, 6, 3);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* A run of them is acknowledged in parts; one that expired later stands between those before. */
START_TEST(expired_in_a_row)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    uint64_t expired = 0;
    struct delivery_now now = {.allowed = SIZE_MAX, .steady_ms = 1000};
    delivery_init(&d, l, 1 << 20);
    for (int i = 0; i < 9; i++)
        delivery_allow(&d, put(l, 10, i == 4 ? 1500 : 999));
    ck_assert(delivery_go_on_from(&d, UPPER));
    ck_assert_int_eq(delivery_pump(&d, &out, OUT_MAX, &now, &expired), DELIVERY_EMPTY);
    ck_assert_uint_eq(expired, 8);
    now.steady_ms = 2000;
    ck_assert(delivery_go_on_from(&d, UPPER));
    ck_assert_int_eq(delivery_pump(&d, &out, OUT_MAX, &now, &expired), DELIVERY_EMPTY);
    ck_assert_uint_eq(expired, 9);
    acked(&d, UPPER + 2, 0, 2);
    acked(&d, UPPER + 7, 0, 7);
    acked(&d, UPPER + 9, 0, 9);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

START_TEST(a_receiver_that_went_back_in_time)
{
    struct hint_peer *l = log_of_memory();
    struct delivery d;
    struct buf out = BUF_INIT;
    struct frame f;
    delivery_init(&d, l, 1 << 20);
    for (int i = 0; i < 5; i++)
        delivery_allow(&d, put(l, 10, 0));
    ck_assert(delivery_go_on_from(&d, UPPER + 3));
    ck_assert(!delivery_go_on_from(&d, UPPER + 1)); /* 2 and 3 are gone for it */
    ck_assert_int_eq(pump(&d, &out), DELIVERY_EMPTY);
    ck_assert(take(&out, &f));
    ck_assert_int_eq(f.kind, FRAME_SKIP);
    ck_assert_uint_eq(skip_from(&f), UPPER + 1);
    ck_assert_uint_eq(f.seq, UPPER + 3);
    ck_assert(take(&out, &f));
    ck_assert_uint_eq(f.seq, UPPER + 4);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* One sender, one receiver, a link that loses frames and is cut
 * anywhere: each record has its effect once, in order, unless it expired. */
struct world {
    unsigned seed;
    struct hint_peer *log;
    struct delivery d;
    struct buf link; /* what is on its way */
    uint64_t last;   /* the receiver's number: one transaction with the effect */
    uint64_t effects[3000], applied, appended, expired, steady_ms;
    bool expires[3000];
};

static unsigned dice(struct world *w, unsigned n)
{
    return (unsigned)rand_r(&w->seed) % n;
}

static void write_some(struct world *w)
{
    for (unsigned n = dice(w, 20); n && w->appended < ARRAY_LEN(w->effects) - 1; n--) {
        if (w->appended == 1500)
            hint_log_set_floor(hint_peer_log(w->log), 9ull << 32); /* the numbers ran out */
        w->appended++;
        w->expires[w->appended] = dice(w, 50) == 0;
        put(w->log, w->appended, w->expires[w->appended] ? 1 : 0); /* the size tells which */
    }
    if (dice(w, 3))
        delivery_allow(&w->d, hint_log_appended(hint_peer_log(w->log)).seq);
}

static void apply(struct world *w, uint64_t which)
{
    ck_assert_uint_gt(which, w->applied);
    w->applied = which;
    w->effects[which]++;
}

static void receive_some(struct world *w)
{
    struct frame f;
    for (unsigned n = dice(w, 30); n && take(&w->link, &f); n--) {
        bool skip = f.kind == FRAME_SKIP;
        if (dice(w, 200) == 0)
            continue; /* lost: what comes next shows a gap */
        switch (number_check(w->last, skip, skip ? skip_from(&f) : 0, f.seq)) {
        case NUMBER_APPLY:
            w->last = f.seq;
            if (!skip)
                apply(w, f.payload.len);
            break;
        case NUMBER_DUPLICATE:
            break;
        case NUMBER_GAP:
            buf_reset(&w->link, 0);
            ck_assert(delivery_go_on_from(&w->d, w->last));
            return;
        }
    }
    if (dice(w, 2))
        delivery_acked(&w->d, w->last);
}

static void cut(struct world *w)
{
    buf_reset(&w->link, 0);
    ck_assert(delivery_go_on_from(&w->d, w->last));
}

START_TEST(once_and_in_order_over_any_link)
{
    unsigned seed = unit_seed();
    for (int round = 0; round < 30; round++) {
        struct world *w = MEM_NEW(struct world);
        w->seed = seed + (unsigned)round;
        w->log = log_of_memory();
        w->steady_ms = 100;
        delivery_init(&w->d, w->log, 20000);
        cut(w);
        bool all = false;
        for (int step = 0; !all; step++) {
            ck_assert_int_lt(step, 200000);
            write_some(w);
            struct delivery_now now = {.allowed = SIZE_MAX, .steady_ms = w->steady_ms};
            delivery_pump(&w->d, &w->link, OUT_MAX, &now, &w->expired);
            receive_some(w);
            if (dice(w, 40) == 0)
                cut(w);
            all = w->appended == ARRAY_LEN(w->effects) - 1 &&
                  hint_log_acked(hint_peer_log(w->log)).seq ==
                      hint_log_appended(hint_peer_log(w->log)).seq;
        }
        uint64_t expired = 0;
        for (uint64_t i = 1; i <= w->appended; i++) {
            ck_assert_msg(w->effects[i] == !w->expires[i], "record %d had its effect %d times",
                          (int)i, (int)w->effects[i]);
            expired += w->expires[i];
        }
        ck_assert_uint_eq(w->expired, expired);
        delivery_fini(&w->d);
        unit_hints_close(w->log);
        buf_fini(&w->link);
        mem_free(w);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, rcu_start, rcu_stop);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, nothing_goes_out_untold);
    tcase_add_test(c, window_and_acknowledgements);
    tcase_add_test(c, rate_of_hints);
    tcase_add_test(c, rate_changes_under_way);
    tcase_add_test(c, pace_narrows_the_window);
    tcase_add_test(c, a_cut_skips_what_is_not_out);
    tcase_add_test(c, expired_are_skipped_and_counted_once);
    tcase_add_test(c, expired_in_a_row);
    tcase_add_test(c, a_receiver_that_went_back_in_time);
    tcase_add_test(c, once_and_in_order_over_any_link);
}

int main(void)
{
    return unit_main("delivery", add_cases);
}
