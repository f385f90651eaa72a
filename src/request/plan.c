#include "request/plan.h"

/* Datacenters have indexes below this. */
static unsigned datacenters(enum consistency level, const struct replica_view *v, unsigned n)
{
    unsigned end = 1;
    for (unsigned i = 0; i < n && level == CONSISTENCY_DC_EACH_SAFE_QUORUM; i++)
        if (v[i].datacenter >= end)
            end = v[i].datacenter + 1u;
    return end;
}

/* ---- reads -----------------------------------------------------------------------------------
 */

/* Whom to read first. One of which membership says that it is down isn't read while others can be;
 * if its link is up, it is tried before the client gets an error: rumours travel, and are refuted
 * later. */
enum rank { READ_FIRST, READ_STANDBY, READ_LAST, READ_AWAY, READ_RANKS };

static enum rank rank_of(const struct replica_view *v)
{
    if (!v->up)
        return READ_AWAY;
    if (v->told_down)
        return READ_LAST;
    return v->normal && !v->told_standby ? READ_FIRST : READ_STANDBY;
}

/* In which order: by rank, and of each rank the own datacenter's first. */
enum { PLACES = 2 * READ_RANKS };

static unsigned place_of(enum consistency level, const struct replica_view *v)
{
    bool is_read = level == CONSISTENCY_DC_ONE || level_counts(level, v->datacenter);
    return v->joining || !is_read ? PLACES : 2 * rank_of(v) + (v->datacenter != 0);
}

static void put_in_order(struct read_plan *p, enum consistency level, const struct replica_view *v,
                         unsigned n)
{
    uint8_t place[RING_WRITES_MAX];
    unsigned used = 0;
    for (unsigned i = 0; i < n; i++) {
        place[i] = (uint8_t)place_of(level, &v[i]);
        used |= 1u << place[i];
    }
    p->n = p->first = p->can = 0;
    for (unsigned at = 0; at < PLACES; at++) {
        for (unsigned i = 0; i < n && (used & 1u << at); i++) {
            if (place[i] != at)
                continue;
            p->node[p->n] = v[i].node;
            p->group[p->n++] = level == CONSISTENCY_DC_ONE ? 0 : v[i].datacenter;
        }
        p->first = at < 2 * READ_STANDBY ? p->n : p->first;
        p->can = at < 2 * READ_AWAY ? p->n : p->can;
    }
}

/* Could this group's majority answer? One without replicas has nothing to say, but for the own. */
static bool group_can(enum consistency level, const struct read_plan *p, unsigned group,
                      struct shortfall *lacking)
{
    unsigned replicas = 0, can = 0;
    for (unsigned i = 0; i < p->n; i++) {
        replicas += p->group[i] == group;
        can += p->group[i] == group && i < p->can;
    }
    unsigned need = level_need(level, replicas);
    if (can >= need || (replicas == 0 && group > 0))
        return true;
    *lacking = (struct shortfall){.datacenter = group, .have = can, .need = need};
    return false;
}

bool plan_read(enum consistency level, const struct replica_view *v, unsigned n,
               struct read_plan *out, struct shortfall *lacking)
{
    out->groups = datacenters(level, v, n);
    put_in_order(out, level, v, n);
    for (unsigned group = 0; group < out->groups; group++)
        if (!group_can(level, out, group, lacking))
            return false;
    return true;
}

/* ---- writes ----------------------------------------------------------------------------------
 */

bool plan_applies(const struct replica_view *v)
{
    return v->up && !v->behind && (v->normal || v->own);
}

/* Of `hinted` replicas that would get a hint, those that may stand for one that applies it. */
static unsigned with_hints(enum consistency level, bool blind, unsigned real, unsigned hinted)
{
    if (level == CONSISTENCY_DC_ONE)
        return real ? real : (blind && hinted ? 1 : 0);
    return real ? real + hinted : 0;
}

static bool datacenter_can(enum consistency level, bool hints, bool blind,
                           const struct replica_view *v, unsigned n, struct shortfall *lacking)
{
    unsigned real = 0, replicas = 0;
    for (unsigned i = 0; i < n; i++) {
        bool counts = !v[i].joining && v[i].datacenter == lacking->datacenter;
        replicas += counts;
        real += counts && plan_applies(&v[i]);
    }
    lacking->have = real;
    lacking->need = level_need(level, replicas);
    return real >= lacking->need || (replicas == 0 && lacking->datacenter > 0) ||
           (hints && with_hints(level, blind, real, replicas - real) >= lacking->need);
}

bool plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                const struct replica_view *v, unsigned n, struct shortfall *lacking)
{
    bool hints = sloppy && hints_count && !level_is_safe(level);
    unsigned end = datacenters(level, v, n);
    *lacking = (struct shortfall){0};
    for (; lacking->datacenter < end; lacking->datacenter++)
        if (!datacenter_can(level, hints, blind, v, n, lacking))
            return false;
    return true;
}
