/* sim/net: a network of simulated nodes in virtual time. One thread, no sockets, no sleeping; the
 * same seed gives the same run to the last bit (net_trace).
 *
 *     struct net *n = net_new(&options, seed);
 *     unsigned a = net_add(n, &handlers), b = net_add(n, &handlers);
 *     net_start(n, a); net_start(n, b);
 *     net_alarm(n, a, net_clock(n, a) + 1000000);
 *     net_send(n, a, b, bytes, size);
 *     net_run(n, net_now(n) + 5000000);
 *
 * Time is in microseconds. net_now is the true one; a node only knows its own clocks (net_clock,
 * monotonic, and net_wall), which may run fast, slow, or be off.
 *
 * Two ways to bring bytes to another node:
 *   - datagrams (net_send): each finds its own way; lost, doubled, late, overtaken. What a cut
 * stops is lost.
 *   - streams (net_open, net_write): like TCP: in order, whole records, nothing doubled; what is
 *     lost is sent again and comes late, with everything behind it; what a cut stops waits for its
 *     end. A stream ends by net_close, or when the process at an end dies; the other end is told,
 *     unless the network is cut, or the whole machine was lost (net_lose): then it has to find out
 *     by itself.
 *
 * What may happen to a node:
 *   - net_kill: the process dies; its alarm and timers, what is on its way to it and its streams
 * die with it. net_start lets it live again (as a new life: nothing of the old one reaches it).
 *   - net_pause, net_resume: as SIGSTOP and SIGCONT: what comes for it waits, in order.
 *   - net_slow: it needs so long for each thing that it handles, one after the other.
 *   - net_cut: nothing goes from one node to another, in this direction only.
 *
 * Nodes may lie in areas (datacenters): the road between two of them, or inside one, may have
 * delays and losses of its own (net_set_road).
 *
 * Handlers are called by net_run and may call everything here but net_run and net_free. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "core/compiler.h"
#include "random.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_MS 1000u
#define NET_S  1000000u

enum net_delay_type {
    NET_FIXED,   /* min */
    NET_UNIFORM, /* min .. max */
    NET_HEAVY    /* Pareto: half of all below 1.6 times min, one in 1000 above 100 times min; never
                    more than max */
};

struct net_delay {
    enum net_delay_type type;
    uint64_t min, max; /* us */
};

struct net_options {
    struct net_delay delay; /* one way */
    double loss;            /* of datagrams, and of a stream's records, which are sent again */
    double doubled;         /* a datagram comes twice */
    double late;            /* a datagram comes up to late_by later than it would */
    uint64_t late_by;
    uint64_t resend_min, resend_max; /* a stream's pause before it sends again, doubled each time;
                                        0: 200 ms, 2 s */
};

struct net;

/* What happens at a node. What a node doesn't use may be NULL. */
struct net_handlers {
    void (*alarm)(void *arg, unsigned node);
    void (*datagram)(void *arg, unsigned node, unsigned from, const void *bytes, size_t size);
    /* A stream that another node opened; comes before its first record. */
    void (*opened)(void *arg, unsigned node, unsigned from, uint32_t stream);
    void (*record)(void *arg, unsigned node, uint32_t stream, const void *bytes, size_t size);
    /* The other end closed it or died. The stream's number means nothing any more. */
    void (*closed)(void *arg, unsigned node, uint32_t stream);
    void *arg;
};

struct net *net_new(const struct net_options *o, uint64_t seed) MUST_USE;
void net_free(struct net *n);
/* For what happens from now on. */
void net_set_options(struct net *n, const struct net_options *o);
const struct net_options *net_get_options(const struct net *n);
/* The network's chances, for whoever has none of his own. */
struct chance *net_chance(struct net *n);

/* ---- nodes ------------------------------------------------------------------------------------
 */

/* A node's number: 0, 1, 2, ... It doesn't live yet. */
unsigned net_add(struct net *n, const struct net_handlers *h);
unsigned net_count(const struct net *n);
void net_start(struct net *n, unsigned node);
void net_kill(struct net *n, unsigned node);
/* As net_kill, but nobody is told: the machine is gone. */
void net_lose(struct net *n, unsigned node);
void net_pause(struct net *n, unsigned node);
void net_resume(struct net *n, unsigned node);
void net_slow(struct net *n, unsigned node, uint64_t us_each);
bool net_lives(const struct net *n, unsigned node);
bool net_is_paused(const struct net *n, unsigned node);

/* ---- time -------------------------------------------------------------------------------------
 */

uint64_t net_now(const struct net *n);
/* What the node's monotonic and wall clocks show. */
uint64_t net_clock(const struct net *n, unsigned node);
uint64_t net_wall(const struct net *n, unsigned node);
/* The monotonic clock goes `ppm` too fast from now on; both clocks do. */
void net_set_drift(struct net *n, unsigned node, int ppm);
/* The wall clock shows so much more than the true time from now on. */
void net_set_wall(struct net *n, unsigned node, int64_t off_us);

/* The node's one alarm, in its own monotonic time; a new one replaces the old. UINT64_MAX: none. It
 * never comes early by that clock. A paused node's comes when it runs again. */
void net_alarm(struct net *n, unsigned node, uint64_t clock_us);
/* Once, at this true time. The first lives with the node (not after a kill, waits during a pause),
 * the second is the director's. */
typedef void net_fn(void *arg, uint64_t value);
void net_timer(struct net *n, unsigned node, uint64_t at, net_fn *fn, void *arg, uint64_t value);
void net_at(struct net *n, uint64_t at, net_fn *fn, void *arg, uint64_t value);

/* Everything that happens up to `until`, which is the time afterwards. */
void net_run(struct net *n, uint64_t until);
/* One thing that happens; false: nothing is left, or it lies behind `until`. */
bool net_step(struct net *n, uint64_t until);

/* ---- areas ------------------------------------------------------------------------------------
 */

#define NET_AREAS 8

/* All nodes lie in area 0 at first. */
void net_set_area(struct net *n, unsigned node, unsigned area);
/* Between nodes of these two, in both directions, for what is sent from now on: in the place of the
 * options' delay and loss. */
void net_set_road(struct net *n, unsigned area, unsigned other, const struct net_delay *delay,
                  double loss);

/* ---- bytes ------------------------------------------------------------------------------------
 */

/* Bytes are copied. What a dead node sends goes nowhere. */
void net_send(struct net *n, unsigned from, unsigned to, const void *bytes, size_t size);

/* A new stream's number, which isn't 0. Nobody listens at a dead node: closed comes. */
uint32_t net_open(struct net *n, unsigned from, unsigned to);
/* False: the stream is closed at this end; nothing was sent. */
bool net_write(struct net *n, uint32_t stream, unsigned from, const void *bytes, size_t size);
void net_close(struct net *n, uint32_t stream, unsigned from);
/* Bytes written at this end that the other's handler hasn't seen yet: what fills a window. */
size_t net_unread(const struct net *n, uint32_t stream, unsigned from);

/* ---- cuts -------------------------------------------------------------------------------------
 */

void net_cut(struct net *n, unsigned from, unsigned to, bool cut);
/* Cuts all between nodes whose groups differ, both ways; others stay as they are. */
void net_partition(struct net *n, const unsigned *group);
void net_heal(struct net *n);
bool net_is_cut(const struct net *n, unsigned from, unsigned to);

/* ---- what happened ----------------------------------------------------------------------------
 */

struct net_traffic {
    uint64_t sent, bytes, lost; /* datagrams and records; bytes sent, without what is sent again */
};
struct net_traffic net_traffic(const struct net *n);
/* A hash over all that happened, in order: two runs are the same or they differ here. */
uint64_t net_trace(const struct net *n);
/* Lets what the caller did or saw count for the trace too. */
void net_note(struct net *n, uint64_t value);

#endif
