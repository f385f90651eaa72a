/* What counts as a hint and what became of it, against a receiver over a link that breaks at any
 * place, from a printed seed: every record is delivered, expired or truncated, each once, and the
 * figures say so. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/numbers.h"
#include "peer.h"
#include "peer/hinting.h"
#include "unit.h"
#include "wire/frame.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UPPER   (7ull << 32)
#define RECORDS 4000
#define OUT_MAX 3000

static const uint32_t zero[] = {0};
static const uint32_t trusted = 1;

/* A sender's side, and a receiver's. */
struct world {
    struct config config;
    struct topology *ring;
    struct peer peer;
    struct waiters waiters;
    struct delivery delivery;
    struct hinting hinting;
    struct buf link;
    bool up;
    uint64_t last;              /* the receiver's */
    bool applied[RECORDS + 1];  /* there */
    uint64_t records, overlaps; /* overlaps: applied, but truncated before this was known */
};

static struct world *world_in(const char *dir)
{
    struct world *w = MEM_NEW(struct world);
    struct error e;
    char *of_peer = dir ? mem_printf("%s/peer", dir) : NULL;
    const struct hint_store_options o = {.dir = dir,
                                         .floor = UPPER,
                                         .segment_min = 4096,
                                         .segment_max = 65536,
                                         .single_writer = true,
                                         .single_reader = true};
    struct ring_node nodes[] = {
        {.address = "a:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "b:1", .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1}};
    w->ring = topology_new(nodes, 2, 0, &e);
    w->config.enable_hinted_handoff = true;
    w->peer.node = 1;
    unit_give_hints(&w->peer, hint_store_peer(hint_store_open(&o, &e), "peer", NULL, &e));
    w->peer.state = NODE_DOWN;
    delivery_init(&w->delivery, w->peer.hints, OUT_MAX);
    w->hinting = (struct hinting){.config = &w->config,
                                  .topology = &w->ring,
                                  .peer = &w->peer,
                                  .waiters = &w->waiters,
                                  .delivery = &w->delivery,
                                  .clock_trusted = &trusted};
    hinting_init(&w->hinting, of_peer);
    mem_free(of_peer);
    return w;
}

static struct world *world_new(void)
{
    return world_in(NULL);
}

static void world_free(struct world *w)
{
    peer_set_repair(&w->peer, 0, "");
    hinting_fini(&w->hinting);
    delivery_fini(&w->delivery);
    waiters_fini(&w->waiters);
    unit_hints_close(w->peer.hints);
    topology_free(w->ring);
    buf_fini(&w->link);
    mem_free(w);
}

static void put(struct world *w, bool short_lived)
{
    static char bytes[100];
    struct frame f = {.kind = FRAME_WRITE,
                      .stamp = 1 << 16,
                      .deadline = short_lived ? 1 : 0,
                      .payload = slice_of(bytes, sizeof bytes)};
    if (w->records == RECORDS)
        return;
    enum hint_as as = hint_peer_as(w->peer.hints, UINT64_MAX);
    ck_assert_int_eq(hint_peer_append(w->peer.hints, &f, as), HINT_PUT_STORED);
    ck_assert_uint_eq(f.seq, UPPER + ++w->records);
    delivery_allow(&w->delivery, f.seq);
}

/* What the receiver has of what the log still holds, up to a number. */
static uint64_t unheard(const struct world *w, uint64_t upto)
{
    uint64_t n = 0, acked = hint_log_acked(w->peer.log).seq;
    for (uint64_t seq = (acked > UPPER ? acked : UPPER) + 1; seq <= upto; seq++)
        n += w->applied[seq - UPPER];
    return n;
}

/* As the sender does. */
static void acked(struct world *w, uint64_t seq)
{
    (void)hinting_before_ack(&w->hinting, seq);
    delivery_acked(&w->delivery, seq);
    hinting_acked(&w->hinting, seq);
}

static void go_on_from(struct world *w, uint64_t applied)
{
    if (!hinting_before_ack(&w->hinting, applied))
        (void)hinting_lost(&w->hinting);
    ck_assert(delivery_go_on_from(&w->delivery, applied));
    hinting_acked(&w->hinting, applied);
}

static void break_link(struct world *w)
{
    if (w->hinting.cut.open)
        w->overlaps += unheard(w, w->hinting.cut.upto);
    w->up = false;
    buf_reset(&w->link, 0);
    hinting_follow(&w->hinting, NODE_DOWN, false);
    (void)hinting_lost(&w->hinting);
}

static void connect_link(struct world *w)
{
    if (w->up)
        return;
    w->up = true;
    go_on_from(w, w->last);
    hinting_follow(&w->hinting, NODE_STANDBY, true);
}

static void pump(struct world *w)
{
    uint64_t expired = 0;
    struct delivery_now now = {.steady_ms = clock_steady_ms(), .allowed = SIZE_MAX};
    if (!w->up)
        return;
    (void)delivery_pump(&w->delivery, &w->link, OUT_MAX, &now, &expired);
    hinting_expired(&w->hinting, expired);
}

static bool receive(struct world *w)
{
    struct frame f;
    size_t size;
    uint64_t from = 0;
    if (w->link.len == 0)
        return false;
    ck_assert_int_eq(frame_parse(buf_head(&w->link), w->link.len, FRAME_PAYLOAD_MAX, &f, &size),
                     FRAME_OK);
    bool skip = f.kind == FRAME_SKIP && frame_skip_from(&f, &from);
    ck_assert_int_eq(number_check(w->last, skip, from, f.seq), NUMBER_APPLY);
    if (!skip) {
        ck_assert(!w->applied[f.seq - UPPER]);
        ck_assert_uint_eq(f.deadline, 0);
        w->applied[f.seq - UPPER] = true;
    }
    w->last = f.seq;
    buf_eat(&w->link, size);
    return true;
}

static void truncate_all(struct world *w)
{
    if (w->hinting.cut.open)
        return; /* the sender refuses a second one */
    uint64_t end = hinting_end(&w->hinting), before = unheard(w, end);
    if (hinting_truncate(&w->hinting, w->up))
        w->overlaps += before;
}

static void step(struct world *w)
{
    switch (random() % 16) {
    case 0:
        if (random() % 4 == 0)
            break_link(w);
        break;
    case 1:
    case 2:
        connect_link(w);
        break;
    case 3:
        if (random() % 8 == 0)
            truncate_all(w);
        break;
    case 4:
        hinting_sweep(&w->hinting, !w->up, w->up);
        break;
    case 5:
    case 6:
        if (w->up)
            acked(w, w->last);
        break;
    case 7:
    case 8:
        pump(w);
        break;
    case 9:
    case 10:
    case 11:
        for (long n = random() % 30; n > 0 && receive(w); n--)
            ;
        break;
    default:
        put(w, random() % 5 == 0);
    }
}

static void settle(struct world *w)
{
    connect_link(w);
    do {
        pump(w);
        while (receive(w))
            ;
        acked(w, w->last);
    } while (hint_log_acked(w->peer.log).seq < UPPER + w->records);
}

START_TEST(each_record_is_accounted_for_once)
{
    srandom(unit_seed());
    for (int round = 0; round < 20; round++) {
        struct world *w = world_new();
        for (int i = 0; i < 3000; i++)
            step(w);
        settle(w);
        uint64_t there = 0;
        for (uint64_t i = 1; i <= w->records; i++)
            there += w->applied[i];
        struct hint_figures f;
        hint_peer_figures(w->peer.hints, &f);
        ck_assert_uint_eq(f.delivered + f.expired + f.dropped, w->records);
        ck_assert_uint_eq(f.delivered, there - w->overlaps);
        ck_assert_uint_eq(f.pending, 0);
        ck_assert(!f.dropped == !peer_needs_repair(&w->peer) || f.expired);
        world_free(w);
    }
}
END_TEST

/* Nothing that a live peer is to get is a hint: it isn't truncated. */
START_TEST(live_traffic_is_not_truncated)
{
    struct world *w = world_new();
    put(w, false);
    connect_link(w);
    hinting_follow(&w->hinting, NODE_NORMAL, true); /* what is there now are the last hints */
    put(w, false);
    put(w, false);
    ck_assert_uint_eq(peer_hints(&w->peer).pending, 1);
    ck_assert(hinting_truncate(&w->hinting, true));
    ck_assert_uint_eq(w->hinting.cut_records, 1);
    ck_assert_uint_eq(w->hinting.cut_bytes, 100);
    settle(w);
    ck_assert(!w->applied[1] && w->applied[2] && w->applied[3]);
    struct hint_figures f;
    hint_peer_figures(w->peer.hints, &f);
    ck_assert_uint_eq(f.dropped, 1);
    ck_assert(hinting_truncate(&w->hinting, true));
    ck_assert_uint_eq(w->hinting.cut_records, 0);
    world_free(w);
}
END_TEST

/* What is on its way is awaited, and arrives. */
START_TEST(a_truncation_awaits_what_is_on_its_way)
{
    struct world *w = world_new();
    for (int i = 0; i < 100; i++)
        put(w, false);
    connect_link(w);
    pump(w);
    uint64_t out = w->delivery.told;
    ck_assert_uint_gt(out, UPPER + 1);
    ck_assert_uint_lt(out, UPPER + 99);
    ck_assert(!hinting_truncate(&w->hinting, true));
    put(w, false); /* isn't meant */
    acked(w, out - 1);
    ck_assert(w->hinting.cut.open);
    while (w->last < out)
        ck_assert(receive(w));
    acked(w, out);
    ck_assert(!w->hinting.cut.open);
    ck_assert_uint_eq(w->hinting.cut_records, 100 - (out - UPPER));
    settle(w);
    for (uint64_t i = 1; i <= 101; i++)
        ck_assert_int_eq(w->applied[i], UPPER + i <= out || i == 101);
    struct hint_figures f;
    hint_peer_figures(w->peer.hints, &f);
    ck_assert_uint_eq(f.delivered, out - UPPER + 1);
    world_free(w);
}
END_TEST

START_TEST(the_window_closes_while_it_is_down_and_opens_when_it_is_back)
{
    struct world *w = world_new();
    put(w, false);
    put(w, true);
    hinting_sweep(&w->hinting, true, false); /* one has expired, and its oldest hint lives */
    ck_assert(!w->peer.closed && peer_needs_repair(&w->peer));
    connect_link(w);
    settle(w);
    put(w, true);
    w->peer.paused = 1;
    hinting_sweep(&w->hinting, true, true); /* paused, and up: it isn't away */
    ck_assert(!w->peer.closed && peer_needs_repair(&w->peer));
    w->peer.paused = 0;
    break_link(w);
    put(w, true);
    hinting_sweep(&w->hinting, true, false);
    ck_assert(w->peer.closed);
    connect_link(w);
    ck_assert(!w->peer.closed);
    world_free(w);
}
END_TEST

/* What happens to files, as the library calls it: a segment that goes before the mark is there is
 * what a kill at that moment would leave. */
static char *mark_path, *window_path; /* the second: where it is to be closed by then */
static unsigned removed, unmarked;

int unlinkat(int dir, const char *name, int flags)
{
    if (mark_path && strstr(name, ".log")) {
        removed++;
        unmarked += access(mark_path, F_OK) != 0 || (window_path && access(window_path, F_OK) != 0);
    }
    return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static bool disk_full;

int posix_fallocate(int fd, off_t at, off_t size)
{
    return disk_full ? ENOSPC : syscall(SYS_fallocate, fd, 0, at, size) == 0 ? 0 : errno;
}

static void drop_marked(bool expire)
{
    char dir[] = "/tmp/hinting.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct world *w = world_in(dir);
    mark_path = mem_printf("%s/peer/needs-repair", dir);
    window_path = expire ? mem_printf("%s/peer/window-closed", dir) : NULL;
    removed = unmarked = 0;
    for (int i = 0; i < 200; i++) /* some segments */
        put(w, expire);
    if (expire)
        hinting_sweep(&w->hinting, true, false);
    else
        ck_assert(hinting_truncate(&w->hinting, false));
    ck_assert_uint_gt(removed, 1);
    ck_assert_uint_eq(unmarked, 0);
    ck_assert(peer_needs_repair(&w->peer));
    if (!expire)
        ck_assert_str_eq(w->peer.repair->reason, "200 hints for it were truncated");
    mem_free(mark_path);
    mem_free(window_path);
    mark_path = window_path = NULL;
    world_free(w);
    char *path = mem_printf("%s/peer", dir);
    hint_log_remove_files(path);
    hint_mark_remove(path);
    rmdir(dir);
    mem_free(path);
}

START_TEST(the_mark_is_on_disk_before_what_expires_goes)
{
    drop_marked(true);
}
END_TEST

START_TEST(the_mark_is_on_disk_before_what_is_truncated_goes)
{
    drop_marked(false);
}
END_TEST

static uint8_t waited_for(struct world *w, struct mail_waiter *waiter)
{
    struct mail_verdicts *m = w->waiters.out ? w->waiters.out[0].mail : NULL;
    size_t before = m ? w->waiters.out[0].n : 0;
    waiters_add(&w->waiters, waiter);
    hinting_appended(&w->hinting, waiter->hint);
    hinting_turn_end(&w->hinting);
    ck_assert_uint_eq(w->waiters.out[0].n, before + 1);
    return w->waiters.out[0].mail->v[before].verdict;
}

/* What was live and lies in memory, since the disk was full, isn't durable, and that is said. What
 * comes when there is space again is. */
START_TEST(a_disk_with_space_again_is_durable_again)
{
    char dir[] = "/tmp/hinting.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct world *w = world_in(dir);
    char *path = mem_printf("%s/peer", dir);
    struct mail_waiter waiter = {.worker = (struct actor *)w, .hint = true};
    connect_link(w);
    hinting_follow(&w->hinting, NODE_NORMAL, true);
    disk_full = true;
    put(w, false); /* live */
    break_link(w);
    waiter.seq = UPPER + w->records;
    ck_assert_int_eq(waited_for(w, &waiter), VERDICT_REFUSED);
    disk_full = false;
    put(w, false);
    waiter.seq++;
    ck_assert_int_eq(waited_for(w, &waiter), VERDICT_DURABLE);
    settle(w);
    ck_assert(w->applied[1] && w->applied[2]);
    world_free(w);
    hint_log_remove_files(path);
    hint_mark_remove(path);
    rmdir(dir);
    mem_free(path);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, rcu_start, rcu_stop);
    tcase_add_test(c, each_record_is_accounted_for_once);
    tcase_add_test(c, live_traffic_is_not_truncated);
    tcase_add_test(c, a_truncation_awaits_what_is_on_its_way);
    tcase_add_test(c, the_mark_is_on_disk_before_what_expires_goes);
    tcase_add_test(c, the_mark_is_on_disk_before_what_is_truncated_goes);
    tcase_add_test(c, a_disk_with_space_again_is_durable_again);
    tcase_add_test(c, the_window_closes_while_it_is_down_and_opens_when_it_is_back);
}

int main(void)
{
    return unit_main("hinting", add_cases);
}
