#include "peer/peer.h"
#include "core/clock.h"
#include "core/mem.h"
#include "peer/orphans.h"
#include <stdio.h>

const char *peer_reject_name(enum peer_reject r)
{
    static const char *const names[REJECT_REASONS] = {"window", "disabled", "dropped"};
    return names[r];
}

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

struct peer_hints peer_hints(const struct peer *p)
{
    struct hint_figures f;
    hint_peer_figures(p->hints, &f);
    return (struct peer_hints){.pending = f.pending,
                               .bytes = f.bytes,
                               .oldest_ms = f.oldest_ms ? above(clock_wall_ms(), f.oldest_ms) : 0};
}

uint64_t peer_behind(const struct peer *p)
{
    struct hint_position acked = hint_log_acked(p->log);
    return above(hint_log_appended(p->log).bytes, acked.bytes);
}

struct peer_shown peer_shown(const struct peer *p)
{
    enum node_state told = peer_member_state(p), link = peer_state(p);
    bool newer = PEER_LOAD(p, link_up) &&
                 (link == NODE_DOWN || (link == NODE_STANDBY && told == NODE_NORMAL));
    if (told == NODE_UNKNOWN || newer)
        return (struct peer_shown){link, PEER_LOAD(p, since_ms)};
    return (struct peer_shown){told, PEER_LOAD(p, member_since_ms)};
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

void peers_follow_caps(const struct peers *p, const struct config *c)
{
    hint_store_set_caps(p->store, CONFIG_LIVE(c, hint_store_max_bytes),
                        CONFIG_LIVE(c, hint_store_max_bytes_per_peer));
}

bool peers_own_is_current(const struct peers *p)
{
    const struct peer *own = peers_own(p);
    return !own || (!peer_hinting(own) && peer_hints(own).pending == 0);
}
