/* What swim says of members becomes mail to the writer; what this node says of itself is kept. */
#include "core/clock.h"
#include "core/log.h"
#include "gossip/gossip_internal.h"
#include <stdio.h>
#include <string.h>

/* ---- what membership says becomes mail to the writer ------------------------------------------
 */

static enum ring_role role_of(const struct member *m)
{
    switch (m->said) {
    case NODE_JOINING:
        return RING_JOINING;
    case NODE_RESET:
        return RING_GONE;
    default:
        return RING_MEMBER;
    }
}

void gossip_tell_writer(const struct gossip *g, const struct member *m, const char *reason)
{
    struct ring_node n = {.role = role_of(m),
                          .address = m->place->address,
                          .datacenter = m->place->datacenter,
                          .rack = m->place->rack,
                          .tokens = m->place->tokens,
                          .ntokens = m->place->ntokens};
    memcpy(n.id, m->id, NODE_ID_SIZE);
    snprintf(n.version, sizeof n.version, "%s", m->place->version);
    struct mail_member *mail = mail_member_new(&n, m->state, reason);
    mail->incarnation = m->incarnation;
    actor_send(g->o.writer, &mail->msg);
}

/* ---- who has left ------------------------------------------------------------------------------
 */

struct succession {
    const struct gossip *g;
    const struct member *gone;
    bool inherited;
};

static struct ring_node place_in_ring(const struct member *m)
{
    return (struct ring_node){.datacenter = m->place->datacenter,
                              .rack = m->place->rack,
                              .tokens = m->place->tokens,
                              .ntokens = m->place->ntokens};
}

static bool find_heir(void *arg, const struct member *m)
{
    struct succession *s = arg;
    const struct ring_node a = place_in_ring(m), b = place_in_ring(s->gone);
    s->inherited =
        m->said != NODE_RESET && strcmp(m->id, s->gone->id) != 0 && ring_same_place(&a, &b);
    return !s->inherited;
}

static bool shares_token(const struct member_place *a, const struct member_place *b)
{
    if (strcmp(a->datacenter, b->datacenter) != 0 || strcmp(a->rack, b->rack) != 0)
        return false;
    size_t i = 0, k = 0; /* both are ascending */
    while (i < a->ntokens && k < b->ntokens && a->tokens[i] != b->tokens[k])
        a->tokens[i] < b->tokens[k] ? i++ : k++;
    return i < a->ntokens && k < b->ntokens;
}

/* It was told of when the ring couldn't take it yet. */
static bool tell_again(void *arg, const struct member *m)
{
    struct succession *s = arg;
    if (m->said != NODE_RESET && strcmp(m->id, s->gone->id) != 0 &&
        shares_token(m->place, s->gone->place))
        gossip_tell_writer(s->g, m, "a token of it is free");
    return true;
}

/* One whose place another node has now isn't gone for the writer: its log is the heir's, which gets
 * it when they meet. */
static void tell_gone(const struct gossip *g, const struct member *m, const char *reason)
{
    struct succession s = {.g = g, .gone = m};
    swim_each(g->swim, find_heir, &s);
    if (s.inherited)
        return;
    gossip_tell_writer(g, m, reason);
    swim_each(g->swim, tell_again, &s);
}

/* ---- events ------------------------------------------------------------------------------------
 */

struct ring_node gossip_own_place(const struct gossip *g)
{
    const struct identity *me = g->o.me;
    return (struct ring_node){.datacenter = me->datacenter,
                              .rack = me->rack,
                              .tokens = me->tokens,
                              .ntokens = me->ntokens};
}

void gossip_keep(struct gossip *g)
{
    struct error e;
    struct ring_node self = gossip_own_place(g);
    if (!keep_membership(g->o.config->data_dir, &self, &g->kept, &e))
        log_error("%s", e.text);
}

void gossip_show_own(struct gossip *g)
{
    enum node_state s = swim_self(g->swim)->state;
    bool own = s == NODE_JOINING || s == NODE_LEAVING || s == NODE_RESET;
    __atomic_store_n(g->o.own_member, (uint32_t)(own ? s : NODE_UNKNOWN), __ATOMIC_RELEASE);
}

static void on_settled(struct gossip *g, const struct member *self, const char *reason)
{
    log_notice("this node is a member of the ring: %s (%s)", node_state_name(self->state), reason);
    if (self->state == NODE_JOINING)
        log_notice("its tokens are new to a ring that serves: it gets writes and isn't read until "
                   "`dyn-admin state normal`");
    g->kept.settled = self->state != NODE_JOINING;
    gossip_keep(g);
    gossip_show_own(g);
    gossip_tell_writer(g, self, reason);
}

/* Its own word has changed without its doing: a member's dyn_seeds list its place. */
static void on_own_state(struct gossip *g, const struct member *self)
{
    bool in = self->state == NODE_NORMAL || self->state == NODE_STANDBY;
    if (in && !g->kept.settled) {
        g->kept.settled = true;
        gossip_keep(g);
    }
    gossip_show_own(g);
}

/* Another node owns its ranges: it must not answer from its own store. */
static void stay_out(struct gossip *g)
{
    struct member self = *swim_self(g->swim);
    self.state = self.said = NODE_JOINING;
    __atomic_store_n(g->o.own_member, (uint32_t)NODE_JOINING, __ATOMIC_RELEASE);
    gossip_tell_writer(g, &self, "its token belongs to another node");
}

void gossip_event(void *arg, const struct swim_event *e)
{
    struct gossip *g = arg;
    switch (e->type) {
    case SWIM_SETTLED:
        on_settled(g, e->m, e->reason);
        break;
    case SWIM_JOINED:
    case SWIM_STATE:
    case SWIM_PLACE:
        if (strcmp(e->m->id, g->o.me->id) == 0)
            on_own_state(g, e->m);
        if (e->m->said == NODE_RESET)
            tell_gone(g, e->m, e->reason);
        else
            gossip_tell_writer(g, e->m, e->reason);
        break;
    case SWIM_TAKEN:
        log_limited(10000, LOG_LEVEL_ERROR,
                    "this node doesn't join: node %s at %s lives in its rack: %s", e->m->id,
                    e->m->place->address, e->reason);
        stay_out(g);
        break;
    case SWIM_TWICE:
        GOSSIP_COUNT(g->o.figures, refused[GOSSIP_REFUSED_TWICE]);
        log_limited(10000, LOG_LEVEL_ERROR, "%s", e->reason);
        break;
    case SWIM_REFUSED:
        GOSSIP_COUNT(g->o.figures, refused[GOSSIP_REFUSED_CONTENT]);
        log_limited(10000, LOG_LEVEL_WARN, "gossip refused: %s", e->reason);
        break;
    case SWIM_FORGOTTEN:
        log_notice("node %s, which has left, is forgotten", e->m->id);
        break;
    }
}

void gossip_take_no_more(struct gossip *g)
{
    struct member self = *swim_self(g->swim);
    self.said = NODE_RESET;
    gossip_tell_writer(g, &self, "all its logs are delivered");
}

void gossip_say(struct gossip *g, enum node_state state)
{
    if (swim_self(g->swim)->state == state)
        return;
    swim_set_state(g->swim, state, clock_mono_ms());
    bool settled = state == NODE_NORMAL || state == NODE_STANDBY || state == NODE_LEAVING;
    if (settled != g->kept.settled && state != NODE_JOINING) {
        g->kept.settled = settled;
        gossip_keep(g);
    }
    gossip_show_own(g);
    gossip_tell_writer(g, swim_self(g->swim), "its own word");
}
