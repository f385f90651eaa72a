#include "peer/peer.h"
#include "core/clock.h"
#include "core/mem.h"
#include "peer/orphans.h"
#include <stdio.h>

const char *peer_reject_name(enum peer_reject r)
{
    static const char *const names[REJECT_REASONS] = {
        "over_capacity", "over_capacity_peer", "window", "no_space",
        "io_error",      "disabled",           "dropped"};
    return names[r];
}

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct peer_hints count_hints(const struct peer *p)
{
    /* acked first: it only grows, so that a race shows too much and never a wrapped number */
    struct hint_position acked = hint_log_acked(p->log);
    struct hint_position appended = hint_log_appended(p->log);
    uint64_t records = larger(PEER_LOAD(p, hinted_records), PEER_LOAD(p, late_records));
    uint64_t bytes = larger(PEER_LOAD(p, hinted_bytes), PEER_LOAD(p, late_bytes));
    if (PEER_LOAD(p, hinting)) {
        records = appended.records;
        bytes = appended.bytes;
    }
    return (struct peer_hints){.pending = above(records, acked.records),
                               .bytes = above(bytes, acked.bytes)};
}

struct peer_hints peer_hints(const struct peer *p)
{
    struct peer_hints h = count_hints(p);
    uint64_t oldest = h.pending ? hint_log_oldest_ms(p->log) : 0;
    h.oldest_ms = oldest ? above(clock_wall_ms(), oldest) : 0;
    return h;
}

uint64_t peer_behind(const struct peer *p)
{
    struct hint_position acked = hint_log_acked(p->log);
    return above(hint_log_appended(p->log).bytes, acked.bytes);
}

const char *peer_hint_state(const struct peer *p)
{
    if (PEER_LOAD(p, paused))
        return "paused";
    if (peer_hints(p).pending == 0)
        return "idle";
    return PEER_LOAD(p, link_up) && peer_state(p) != NODE_DOWN ? "draining" : "storing";
}

static void reclaim_repair(struct rcu_head *head)
{
    mem_free(container_of_(head, struct peer_repair, rcu));
}

void peer_set_repair(struct peer *p, uint64_t since_ms, const char *reason)
{
    struct peer_repair *fresh = since_ms ? MEM_NEW(struct peer_repair) : NULL;
    if (fresh) {
        fresh->since_ms = since_ms;
        snprintf(fresh->reason, sizeof fresh->reason, "%s", reason);
    }
    struct peer_repair *old = RCU_SWAP(p->repair, fresh);
    if (old)
        rcu_defer(&old->rcu, reclaim_repair);
}

uint64_t peers_hint_bytes(const struct peers *p)
{
    uint64_t sum = orphans_hint_bytes(p->orphans);
    for (unsigned i = 0; i < p->n; i++)
        if (p->at[i])
            sum += count_hints(p->at[i]).bytes;
    return p->own ? sum + count_hints(p->own).bytes : sum;
}

bool peers_own_is_current(const struct peers *p)
{
    return !p->own || (!PEER_LOAD(p->own, hinting) && count_hints(p->own).pending == 0);
}
