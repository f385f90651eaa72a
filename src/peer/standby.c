#include "peer/standby.h"
#include "core/mem.h"

void standby_init(struct standby *s, unsigned nodes, bool used_data_dir, uint64_t gos_interval_ms,
                  uint64_t now_ms)
{
    *s = (struct standby){.state = NODE_NORMAL,
                          .greet_ms = 2 * gos_interval_ms,
                          .n = nodes,
                          .need = mem_calloc(RING_NODES_MAX, sizeof *s->need)};
    if (used_data_dir)
        standby_begin(s, now_ms);
}

void standby_begin(struct standby *s, uint64_t now_ms)
{
    if (s->n < 2)
        return; /* nobody could hold hints for us */
    s->state = NODE_STANDBY;
    s->began_ms = now_ms;
    s->greet_until_ms = now_ms + s->greet_ms;
}

void standby_fini(struct standby *s)
{
    mem_free(s->need);
}

void standby_greeted(struct standby *s, unsigned node, uint64_t upto, uint64_t applied,
                     uint64_t now_ms)
{
    s->need[node] = upto > applied ? upto : 0;
    if (s->need[node] && s->state == NODE_NORMAL) {
        s->began_ms = now_ms;
        s->greet_until_ms = now_ms;
    }
}

void standby_progress(struct standby *s, unsigned node, uint64_t applied)
{
    if (applied >= s->need[node])
        s->need[node] = 0;
}

void standby_order(struct standby *s, bool on)
{
    s->ordered = on;
}

enum node_state standby_state(const struct standby *s)
{
    return s->ordered ? NODE_STANDBY : s->state;
}

static bool lacking(const struct standby *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->need[i])
            return true;
    return false;
}

bool standby_decide(struct standby *s, uint64_t now_ms)
{
    enum node_state before = s->state;
    if (lacking(s))
        s->state = NODE_STANDBY;
    else if (now_ms >= s->greet_until_ms)
        s->state = NODE_NORMAL;
    if (s->state == NODE_STANDBY && now_ms >= s->began_ms + STANDBY_MAX_MS) {
        for (unsigned i = 0; i < s->n; i++)
            s->need[i] = 0;
        s->state = NODE_NORMAL;
    }
    return s->state != before;
}
