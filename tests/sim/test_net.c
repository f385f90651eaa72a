/* The simulated network: what it promises to the simulators that stand on it. */
#include "net.h"
#include "unit.h"

static const struct net_options plain = {.delay = {NET_FIXED, 500, 0}};
static const struct net_options rough = {.delay = {NET_HEAVY, 200, 50 * NET_MS},
                                         .loss = 0.1,
                                         .doubled = 0.1,
                                         .late = 0.1,
                                         .late_by = 5000};

/* What one node saw. */
struct seen {
    struct net *n;
    unsigned alarms, datagrams, records, opened, closed;
    uint64_t alarm_clock, last_at;
    uint32_t stream;
    unsigned char order[4096];
};

static void on_alarm(void *arg, unsigned node)
{
    struct seen *s = arg;
    s->alarms++;
    s->alarm_clock = net_clock(s->n, node);
}

static void on_datagram(void *arg, unsigned node, unsigned from, const void *bytes, size_t size)
{
    struct seen *s = arg;
    ck_assert(node != from && size == 1);
    s->order[s->datagrams++] = *(const unsigned char *)bytes;
    s->last_at = net_now(s->n);
}

static void on_opened(void *arg, unsigned node, unsigned from, uint32_t stream)
{
    struct seen *s = arg;
    ck_assert(node != from);
    s->opened++;
    s->stream = stream;
}

static void on_record(void *arg, unsigned node, uint32_t stream, const void *bytes, size_t size)
{
    struct seen *s = arg;
    ck_assert(stream > 0 && size == 1 && node < 2);
    s->order[s->records++] = *(const unsigned char *)bytes;
    s->last_at = net_now(s->n);
}

static void on_closed(void *arg, unsigned node, uint32_t stream)
{
    struct seen *s = arg;
    ck_assert(stream > 0 && node < 2);
    s->closed++;
}

/* Two nodes that live: 0 and 1. */
static struct net *two(const struct net_options *o, uint64_t seed, struct seen seen[2])
{
    struct net *n = net_new(o, seed);
    for (unsigned i = 0; i < 2; i++) {
        seen[i] = (struct seen){.n = n};
        net_add(n, &(struct net_handlers){on_alarm, on_datagram, on_opened, on_record, on_closed,
                                          &seen[i]});
        net_start(n, i);
    }
    return n;
}

static uint64_t rough_run(uint64_t seed)
{
    struct seen seen[2];
    struct net *n = two(&rough, seed, seen);
    uint32_t stream = net_open(n, 0, 1);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned char c = (unsigned char)i;
        net_send(n, 0, 1, &c, 1);
        ck_assert(net_write(n, stream, 0, &c, 1));
        net_run(n, net_now(n) + NET_MS);
    }
    net_run(n, net_now(n) + 600 * NET_S);
    uint64_t trace = net_trace(n);
    net_free(n);
    return trace;
}

START_TEST(the_same_seed_is_the_same_run)
{
    ck_assert_uint_eq(rough_run(1), rough_run(1));
    ck_assert_uint_ne(rough_run(1), rough_run(2));
}
END_TEST

START_TEST(datagrams_get_lost_and_doubled_and_overtake)
{
    struct seen seen[2];
    struct net *n = two(&rough, 7, seen);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned char c = (unsigned char)(i / 100);
        net_send(n, 0, 1, &c, 1);
        net_run(n, net_now(n) + NET_MS / 10);
    }
    net_run(n, net_now(n) + NET_S);
    unsigned back = 0;
    for (unsigned i = 1; i < seen[1].datagrams; i++)
        back += seen[1].order[i] < seen[1].order[i - 1];
    ck_assert_uint_ge(back, 10);
    struct net_traffic t = net_traffic(n);
    ck_assert_uint_eq(t.sent, 2000);
    ck_assert(t.lost > 140 && t.lost < 260);
    unsigned arrived = 2000 - (unsigned)t.lost;
    ck_assert(seen[1].datagrams > arrived + 120 && seen[1].datagrams < arrived + 250);
    net_free(n);
}
END_TEST

START_TEST(streams_keep_order_and_lose_nothing)
{
    struct seen seen[2];
    struct net *n = two(&rough, 3, seen);
    uint32_t stream = net_open(n, 0, 1);
    for (unsigned i = 0; i < 200; i++) {
        unsigned char c = (unsigned char)i;
        ck_assert(net_write(n, stream, 0, &c, 1));
    }
    ck_assert_uint_eq(net_unread(n, stream, 0), 200);
    net_close(n, stream, 0);
    ck_assert(!net_write(n, stream, 0, "x", 1));
    net_run(n, 600 * NET_S);
    ck_assert_uint_eq(seen[1].opened, 1);
    ck_assert_uint_eq(seen[1].records, 200);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_uint_eq(seen[1].order[i], i);
    ck_assert_uint_eq(seen[1].closed, 1);
    ck_assert_uint_eq(net_unread(n, stream, 0), 0);
    ck_assert(!net_write(n, stream, 1, "x", 1));
    net_free(n);
}
END_TEST

START_TEST(a_cut_stops_one_direction)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    uint32_t stream = net_open(n, 0, 1);
    net_run(n, NET_S);
    net_cut(n, 0, 1, true);
    net_send(n, 0, 1, "a", 1);
    net_send(n, 1, 0, "b", 1);
    net_write(n, stream, 0, "c", 1);
    net_write(n, stream, 1, "d", 1);
    net_run(n, 5 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams + seen[1].records, 0);
    ck_assert_uint_eq(seen[0].datagrams, 1);
    ck_assert_uint_eq(seen[0].records, 1);
    net_heal(n);
    net_run(n, 10 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams, 0); /* lost */
    ck_assert_uint_eq(seen[1].records, 1);   /* sent again */
    net_free(n);
}
END_TEST

START_TEST(a_pause_keeps_what_comes)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    uint64_t ring = net_clock(n, 1) + 100 * NET_MS;
    net_alarm(n, 1, ring);
    net_pause(n, 1);
    net_send(n, 0, 1, "a", 1);
    net_run(n, NET_S);
    net_send(n, 0, 1, "b", 1);
    net_run(n, 5 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams + seen[1].alarms, 0);
    net_resume(n, 1);
    net_run(n, 5 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams, 2);
    ck_assert(memcmp(seen[1].order, "ab", 2) == 0);
    ck_assert_uint_eq(seen[1].alarms, 1);
    net_free(n);
}
END_TEST

/* It came during the pause; what is set again meanwhile adds no second one. */
static void set_again(void *arg, unsigned node, unsigned from, const void *bytes, size_t size)
{
    struct seen *s = arg;
    on_datagram(arg, node, from, bytes, size);
    net_alarm(s->n, node, net_clock(s->n, node));
}

START_TEST(an_alarm_waits_once)
{
    struct seen seen[2] = {{0}, {0}};
    struct net *n = net_new(&plain, 1);
    for (unsigned i = 0; i < 2; i++) {
        seen[i].n = n;
        net_add(n, &(struct net_handlers){on_alarm, set_again, NULL, NULL, NULL, &seen[i]});
        net_start(n, i);
    }
    net_pause(n, 1);
    for (unsigned i = 0; i < 50; i++)
        net_send(n, 0, 1, "a", 1);
    net_run(n, NET_S);
    net_resume(n, 1);
    net_run(n, 2 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams, 50);
    ck_assert_uint_ge(seen[1].alarms, 1);
    ck_assert_uint_le(seen[1].alarms, 2);
    net_free(n);
}
END_TEST

START_TEST(a_slow_node_takes_one_after_the_other)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    net_slow(n, 1, 100 * NET_MS);
    for (unsigned i = 0; i < 5; i++)
        net_send(n, 0, 1, "a", 1);
    net_run(n, 10 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams, 5);
    ck_assert_uint_eq(seen[1].last_at, 500 + 400 * NET_MS);
    net_free(n);
}
END_TEST

static void count(void *arg, uint64_t value)
{
    *(uint64_t *)arg += value;
}

START_TEST(a_new_life_hears_nothing_of_the_old_one)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    uint64_t rang = 0;
    uint32_t stream = net_open(n, 0, 1);
    net_run(n, NET_S);
    net_write(n, stream, 0, "a", 1);
    net_send(n, 0, 1, "b", 1);
    net_alarm(n, 1, net_clock(n, 1) + 1000);
    net_timer(n, 1, net_now(n) + 1000, count, &rang, 1);
    net_at(n, net_now(n) + 1000, count, &rang, 10);
    net_kill(n, 1);
    net_start(n, 1);
    net_run(n, 2 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams + seen[1].records + seen[1].alarms, 0);
    ck_assert_uint_eq(rang, 10);
    ck_assert_uint_eq(seen[0].closed, 1);
    net_free(n);
}
END_TEST

START_TEST(a_lost_machine_says_nothing)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    uint32_t stream = net_open(n, 0, 1);
    net_run(n, NET_S);
    net_lose(n, 1);
    ck_assert(net_write(n, stream, 0, "a", 1));
    uint32_t again = net_open(n, 0, 1);
    net_run(n, 60 * NET_S);
    ck_assert_uint_eq(seen[0].closed, 0);
    net_start(n, 1);
    net_run(n, 63 * NET_S);
    ck_assert_uint_eq(seen[1].opened, 2); /* it still knocks */
    net_kill(n, 1);
    ck_assert(net_write(n, again, 0, "a", 1));
    net_run(n, 64 * NET_S);
    ck_assert_uint_eq(seen[0].closed, 1);
    net_open(n, 0, 1);
    net_run(n, 65 * NET_S);
    ck_assert_uint_eq(seen[0].closed, 2); /* refused */
    net_free(n);
}
END_TEST

START_TEST(clocks_drift_and_jump)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    uint64_t before = net_clock(n, 0);
    net_alarm(n, 0, before + 10 * NET_S);
    net_set_drift(n, 0, 100000); /* 10 % too fast */
    net_run(n, 9 * NET_S);
    ck_assert_uint_eq(seen[0].alarms, 0);
    net_run(n, 10 * NET_S);
    ck_assert_uint_eq(seen[0].alarms, 1);
    ck_assert(seen[0].alarm_clock >= before + 10 * NET_S);
    ck_assert(seen[0].alarm_clock <= before + 10 * NET_S + 2);
    ck_assert_uint_eq(net_clock(n, 0), before + 11 * NET_S);
    ck_assert_uint_eq(net_wall(n, 0), net_wall(n, 1) + NET_S);
    net_set_wall(n, 0, -5 * (int64_t)NET_S);
    ck_assert_uint_eq(net_wall(n, 0), net_wall(n, 1) - 5 * NET_S);
    net_alarm(n, 1, net_clock(n, 1) + NET_S);
    net_alarm(n, 1, net_clock(n, 1) + 3 * NET_S); /* replaces */
    net_run(n, 12 * NET_S);
    ck_assert_uint_eq(seen[1].alarms, 0);
    net_run(n, 14 * NET_S);
    ck_assert_uint_eq(seen[1].alarms, 1);
    net_free(n);
}
END_TEST

START_TEST(a_road_between_areas_has_its_own_delay_and_loss)
{
    struct seen seen[2];
    struct net *n = two(&plain, 1, seen);
    struct net_delay far = {NET_FIXED, 80 * NET_MS, 0};
    net_set_area(n, 1, 2);
    net_send(n, 0, 1, "a", 1);
    net_run(n, NET_MS); /* nobody said yet that it is far */
    ck_assert_uint_eq(seen[1].datagrams, 1);
    net_set_road(n, 0, 2, &far, 1);
    net_send(n, 0, 1, "b", 1);
    net_run(n, NET_S);
    ck_assert_uint_eq(seen[1].datagrams, 1);
    net_set_road(n, 2, 0, &far, 0);
    net_send(n, 0, 1, "c", 1);
    net_send(n, 1, 0, "d", 1);
    net_run(n, 2 * NET_S);
    ck_assert_uint_eq(seen[1].datagrams, 2);
    ck_assert_uint_eq(seen[0].datagrams, 1);
    ck_assert_uint_eq(seen[1].last_at, NET_S + 80 * NET_MS);
    net_set_area(n, 0, 2); /* the options again: inside area 2 nothing else was said */
    net_send(n, 0, 1, "e", 1);
    net_run(n, 3 * NET_S);
    ck_assert_uint_eq(seen[1].last_at, 2 * NET_S + 500);
    net_free(n);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, the_same_seed_is_the_same_run);
    tcase_add_test(c, datagrams_get_lost_and_doubled_and_overtake);
    tcase_add_test(c, streams_keep_order_and_lose_nothing);
    tcase_add_test(c, a_cut_stops_one_direction);
    tcase_add_test(c, a_pause_keeps_what_comes);
    tcase_add_test(c, an_alarm_waits_once);
    tcase_add_test(c, a_slow_node_takes_one_after_the_other);
    tcase_add_test(c, a_new_life_hears_nothing_of_the_old_one);
    tcase_add_test(c, a_lost_machine_says_nothing);
    tcase_add_test(c, clocks_drift_and_jump);
    tcase_add_test(c, a_road_between_areas_has_its_own_delay_and_loss);
}

int main(void)
{
    return unit_main("sim_net", add_cases);
}
