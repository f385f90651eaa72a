#include "core/clock.h"
#include "request/flight.h"

#define TOGETHER_US 1000 /* those that become due within it cost one turn */

/* The clock is read once a turn. */
static uint64_t turn_us(struct requests *rs)
{
    if (!rs->turn_us)
        rs->turn_us = clock_mono_us();
    return rs->turn_us;
}

/* With one candidate there is nothing to choose from, at other levels nothing to be gained: they
 * wait for the slowest of those that they need. */
static bool concerns(const struct request *r)
{
    return r->level == CONSISTENCY_DC_ONE && r->can > 1;
}

void request_hedge_ask(struct request *r, uint16_t node)
{
    struct requests *rs = r->rs;
    if (r->asked == 2)
        r->second = node;
    if (r->asked > 1)
        hedges_over(&rs->hedges, &r->hedge);
    else if (concerns(r))
        hedges_ask(&rs->hedges, &r->hedge, node, r->may_hedge, turn_us(rs));
}

void request_hedge_answered(struct request *r, uint16_t node)
{
    struct requests *rs = r->rs;
    if (!concerns(r))
        return;
    if (node == r->hedge.node)
        hedges_answered(&rs->hedges, &r->hedge, turn_us(rs));
    else if (r->hedged && node == r->second)
        STATS_ADD(rs->stats, hedged_reads_won, 1);
}

uint64_t requests_hedge_due(struct requests *rs)
{
    uint64_t due = hedges_due(&rs->hedges);
    rs->turn_us = 0;
    return due == HEDGE_NEVER ? due : (due / TOGETHER_US + 1) * TOGETHER_US;
}

void requests_hedge(struct requests *rs)
{
    uint64_t now_us = rs->turn_us = clock_mono_us();
    for (struct hedge_wait *w; (w = hedges_next(&rs->hedges, now_us));) {
        struct request *r = container_of_(w, struct request, hedge);
        r->hedged = true;
        STATS_ADD(rs->stats, hedged_reads, 1);
        request_ask_second(r);
    }
}
