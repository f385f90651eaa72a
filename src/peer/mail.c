#include "peer/mail.h"
#include "core/clock.h"
#include "core/mem.h"
#include <stdio.h>

void mail_clock(struct actor *writer, unsigned node, uint64_t wall_ms, uint64_t took_ms)
{
    if (wall_ms == 0 || took_ms > MAIL_CLOCK_LATE_MS)
        return;
    struct mail_beat *m = MEM_NEW(struct mail_beat);
    m->msg.type = MAIL_BEAT;
    m->node = (uint16_t)node;
    m->has_clock = true;
    m->clock_ahead_ms = (int64_t)(wall_ms - clock_steady_ms());
    actor_send(writer, &m->msg);
}

struct mail_member *mail_member_new(const struct ring_node *n, enum node_state state,
                                    const char *reason)
{
    struct mail_member *m = MEM_NEW(struct mail_member);
    m->msg.type = MAIL_MEMBER;
    m->node = *n;
    m->node.address = mem_strdup(n->address);
    m->node.datacenter = mem_strdup(n->datacenter);
    m->node.rack = mem_strdup(n->rack);
    m->node.tokens = mem_dup(n->tokens, n->ntokens * sizeof *n->tokens);
    m->state = state;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    return m;
}

void mail_member_free(struct mail_member *m)
{
    if (!m)
        return;
    mem_free((void *)(uintptr_t)m->node.address);
    mem_free((void *)(uintptr_t)m->node.datacenter);
    mem_free((void *)(uintptr_t)m->node.rack);
    mem_free((void *)(uintptr_t)m->node.tokens);
    mem_free(m);
}
