#include "request/plan.h"

static unsigned count_local(const struct replica_view *v, unsigned n)
{
    unsigned local = 0;
    for (unsigned i = 0; i < n; i++)
        local += v[i].local;
    return local;
}

unsigned plan_need(enum consistency level, const struct replica_view *v, unsigned n)
{
    return level == CONSISTENCY_DC_ONE ? 1 : count_local(v, n) / 2 + 1;
}

/* Whom to read first. One of which membership says that it is down isn't read while others can be;
 * if its link is up, it is tried before the client gets an error: rumours travel, and are refuted
 * later. */
enum rank { READ_FIRST, READ_STANDBY, READ_LAST, READ_RANKS };

static enum rank rank_of(const struct replica_view *v)
{
    if (v->told_down)
        return READ_LAST;
    return v->normal && !v->told_standby ? READ_FIRST : READ_STANDBY;
}

static void add_candidates(struct read_plan *p, const struct replica_view *v, unsigned n,
                           bool local, enum rank rank)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].up && !v[i].joining && v[i].local == local && rank_of(&v[i]) == rank)
            p->order[p->n++] = v[i].node;
}

bool plan_read(enum consistency level, const struct replica_view *v, unsigned n,
               struct read_plan *out)
{
    out->n = 0;
    out->need = plan_need(level, v, n);
    for (enum rank rank = READ_FIRST; rank < READ_RANKS; rank++) {
        add_candidates(out, v, n, true, rank);
        if (level == CONSISTENCY_DC_ONE)
            add_candidates(out, v, n, false, rank);
        if (rank == READ_FIRST)
            out->first = out->n;
    }
    return out->n >= out->need;
}

bool plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                const struct replica_view *v, unsigned n, struct write_plan *out)
{
    unsigned real = 0, hinted = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!v[i].local)
            continue;
        if (v[i].up && !v[i].behind && (v[i].normal || v[i].own))
            real++;
        else
            hinted++;
    }
    if (!sloppy || !hints_count)
        hinted = 0;
    out->need = plan_need(level, v, n);
    if (level == CONSISTENCY_DC_ONE) {
        out->have = real ? real : (blind && hinted ? 1 : 0);
    } else {
        out->have = real ? real + hinted : 0;
        if (out->have < out->need)
            out->have = real;
    }
    return out->have >= out->need;
}
