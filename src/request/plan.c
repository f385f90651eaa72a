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

static void add_candidates(struct read_plan *p, const struct replica_view *v, unsigned n,
                           bool local, bool normal)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].up && !v[i].told_down && !v[i].joining && v[i].local == local &&
            (v[i].normal && !v[i].told_standby) == normal)
            p->order[p->n++] = v[i].node;
}

bool plan_read(enum consistency level, const struct replica_view *v, unsigned n,
               struct read_plan *out)
{
    bool anywhere = level == CONSISTENCY_DC_ONE;
    out->n = 0;
    out->need = plan_need(level, v, n);
    add_candidates(out, v, n, true, true);
    if (anywhere)
        add_candidates(out, v, n, false, true);
    add_candidates(out, v, n, true, false);
    if (anywhere)
        add_candidates(out, v, n, false, false);
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
