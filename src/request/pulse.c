#include "request/pulse.h"
#include "core/log.h"
#include "hint/log.h"
#include "peer/orphans.h"
#include "wire/resp.h"
#include <inttypes.h>

#define HEARTBEATS 3   /* how many may be missed before a peer's clock isn't heard any more */
#define SLACK_MS   500 /* the clock has to come this much nearer before it is right again */

void pulse_init(struct pulse *p, const struct config *c, const struct peers *peers)
{
    *p = (struct pulse){.config = c, .peers = peers};
    watermarks_init(&p->marks, peers->n);
    uint64_t every = c->enable_gossip ? BEAT_IDLE_MS : c->gos_interval;
    clocks_init(&p->clocks, peers->n, (HEARTBEATS + 1) * every + 1000);
    p->life_ms = (uint64_t)c->hint_ttl_seconds * 1000;
}

void pulse_fini(struct pulse *p)
{
    watermarks_fini(&p->marks);
    clocks_fini(&p->clocks);
}

/* ---- the clock --------------------------------------------------------------------------------
 */

static int64_t ahead_of_steady(const struct pulse_now *now)
{
    return (int64_t)(now->wall_ms - now->steady_ms);
}

static uint64_t size_of(int64_t v)
{
    return v < 0 ? (uint64_t)-v : (uint64_t)v;
}

static const char *side_of(int64_t off)
{
    return off < 0 ? "behind" : "ahead of";
}

static void change(struct pulse *p)
{
    p->refusing = !p->refusing;
    if (p->refusing)
        log_error("this node's clock is %" PRIu64 " ms %s the median of its peers; allowed %d ms: "
                  "its clients' writes are refused",
                  size_of(p->off_ms), side_of(p->off_ms), HLC_AHEAD_MAX_MS);
    else
        log_notice("this node's clock is no longer off its peers' (%" PRId64
                   " ms): its clients' writes are taken",
                   p->off_ms);
}

void pulse_look(struct pulse *p, const struct pulse_now *now)
{
    int64_t ours = ahead_of_steady(now);
    p->off_ms = p->clocks.known ? ours - clocks_median(&p->clocks, ours) : 0;
    uint64_t allowed = HLC_AHEAD_MAX_MS - (p->refusing ? SLACK_MS : 0);
    if (p->refusing != (size_of(p->off_ms) > allowed)) {
        change(p);
        __atomic_store_n(p->clock_off, p->off_ms, __ATOMIC_RELEASE);
    }
}

/* hint_ttl_seconds may change: hints that were made with the longer one are still about. */
static void follow_lifetime(struct pulse *p)
{
    uint64_t now_ms = (uint64_t)CONFIG_LIVE(p->config, hint_ttl_seconds) * 1000;
    p->life_ms = now_ms > p->life_ms ? now_ms : p->life_ms;
}

void pulse_tick(struct pulse *p, const struct pulse_now *now)
{
    follow_lifetime(p);
    clocks_settle(&p->clocks, now->steady_ms);
    pulse_look(p, now);
    __atomic_store_n(p->clock_off, p->off_ms, __ATOMIC_RELEASE);
}

bool pulse_refuses(const struct pulse *p, struct buf *reply)
{
    if (!p->refusing)
        return false;
    resp_add_error(reply,
                   "CLOCK this node's clock is %" PRIu64
                   " ms %s the median of its peers; allowed %d ms; nothing was written",
                   size_of(p->off_ms), side_of(p->off_ms), HLC_AHEAD_MAX_MS);
    return true;
}

void pulse_heard(struct pulse *p, const struct mail_beat *m, const struct pulse_now *now)
{
    if (m->has_watermark)
        watermarks_heard(&p->marks, m->node, m->watermark);
    if (!m->has_clock)
        return;
    clocks_heard(&p->clocks, m->node, m->clock_ahead_ms, now->steady_ms);
    if (!p->clocks.known || p->refusing) /* else it has time until the next tick */
        pulse_tick(p, now);
}

void pulse_grow(struct pulse *p, unsigned nodes)
{
    watermarks_grow(&p->marks, nodes);
    clocks_grow(&p->clocks, nodes);
}

void pulse_leave(struct pulse *p, unsigned node)
{
    watermarks_leave(&p->marks, node);
    clocks_forget(&p->clocks, node);
}

void pulse_replaced(struct pulse *p, unsigned node)
{
    watermarks_forget(&p->marks, node);
    clocks_forget(&p->clocks, node);
}

/* ---- watermarks -------------------------------------------------------------------------------
 */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Above every stamp given. Goes on with the time of which we know that it is right. */
static uint64_t bound(const struct pulse *p, struct hlc *clock, const struct pulse_now *now)
{
    if (!p->clocks.known && p->peers->n > 1)
        return clock->last + 1;
    int64_t wrong = p->refusing ? p->off_ms : 0;
    return hlc_next(clock, (now->wall_ms - (uint64_t)wrong) * 1000);
}

void pulse_publish(struct pulse *p, struct hlc *clock, uint64_t waiting,
                   const struct pulse_now *now)
{
    uint64_t lowest = waiting < UINT64_MAX ? waiting : bound(p, clock, now);
    lowest = least(lowest, __atomic_load_n(p->clock_kept, __ATOMIC_ACQUIRE) << 16);
    for (unsigned i = 0; i < p->peers->n; i++)
        if (p->peers->at[i])
            lowest = least(lowest, hint_log_lowest_stamp(p->peers->at[i]->log));
    if (peers_own(p->peers))
        lowest = least(lowest, hint_log_lowest_stamp(peers_own(p->peers)->log));
    const struct orphans *left = p->peers->orphans; /* they may be handed off yet */
    for (unsigned i = 0; left && i < left->n; i++)
        if (!orphan_is_gone(&left->at[i]))
            lowest = least(lowest, hint_log_lowest_stamp(left->at[i].log));
    __atomic_store_n(p->watermark, lowest, __ATOMIC_RELEASE);
}

uint64_t pulse_settled(const struct pulse *p)
{
    uint64_t own = __atomic_load_n(p->watermark, __ATOMIC_RELAXED);
    return watermarks_lowest(&p->marks, p->peers->self, own);
}

uint64_t pulse_others_settled(const struct pulse *p)
{
    return watermarks_lowest(&p->marks, p->peers->self, UINT64_MAX);
}

uint64_t pulse_forgettable(struct pulse *p, bool clock_trusted, const struct pulse_now *now)
{
    uint64_t below = pulse_settled(p);
    uint64_t life = p->life_ms + 2 * PULSE_MARGIN_MS;
    uint64_t aged = clock_trusted && now->steady_ms > life ? (now->steady_ms - life) << 16 : 0;
    below = below > aged ? below : aged;
    if (below > p->forgotten)
        p->forgotten = below;
    return p->forgotten;
}

bool pulse_too_old(const struct pulse *p, unsigned node, uint64_t stamp,
                   const struct pulse_now *now)
{
    uint64_t there = now->steady_ms + (uint64_t)clocks_of(&p->clocks, node);
    return stamp < p->forgotten && hlc_ms(stamp) + p->life_ms + PULSE_MARGIN_MS < there;
}
