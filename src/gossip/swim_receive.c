/* A message comes in: who sent it, what it tells of others, and then what it asks. */
#include "gossip/swim_internal.h"
#include <string.h>

/* A message from a process that has this node's id. */
static void from_double(struct swim *s, const Gossip *m)
{
    if (strcmp(m->address, s->mine->seat->place.address) == 0) {
        join_mine(s, m);
        return;
    }
    learn_twin(s, m->address, m->from->incarnation);
    if (m->type == GOSSIP_TYPE__GOSSIP_PING || m->type == GOSSIP_TYPE__GOSSIP_CONTACT)
        probe_ping(s, m, NOBODY);
}

static void by_type(struct swim *s, const Gossip *m, uint32_t from)
{
    switch (m->type) {
    case GOSSIP_TYPE__GOSSIP_PING:
        probe_ping(s, m, from);
        break;
    case GOSSIP_TYPE__GOSSIP_ACK:
        probe_ack(s, m, from);
        break;
    case GOSSIP_TYPE__GOSSIP_ASK:
        probe_ask(s, m, from);
        break;
    case GOSSIP_TYPE__GOSSIP_NACK:
        probe_nack(s, m);
        break;
    case GOSSIP_TYPE__GOSSIP_CONTACT:
        join_contacted(s, m);
        break;
    case GOSSIP_TYPE__GOSSIP_WELCOME:
        join_welcome(s, m, from);
        break;
    case GOSSIP_TYPE__GOSSIP_SYNC:
        exchange_sync(s, m);
        break;
    case GOSSIP_TYPE__GOSSIP_DIGEST:
        exchange_digest(s, m, from);
        break;
    case GOSSIP_TYPE__GOSSIP_WORDS:
        exchange_words(s, m, from);
        break;
    default:
        break;
    }
}

static bool is_news(GossipType type)
{
    return type != GOSSIP_TYPE__GOSSIP_WORDS && type != GOSSIP_TYPE__GOSSIP_WELCOME;
}

/* A settled node's message. Strangers are asked to answer at their address before they are
 * members; what they tell of others isn't taken. */
static uint32_t from_settled(struct swim *s, const Gossip *m)
{
    struct entry *e = members_find(&s->m, m->from->id.data);
    if (!e && s->settled && m->from->state != NODE_RESET && !m->from->claim) {
        if (m->type != GOSSIP_TYPE__GOSSIP_ACK)
            rumour_wrote(s, m);
        else if (rumour_ack(s, m))
            e = members_find(&s->m, m->from->id.data);
    }
    if (!e)
        return NOBODY;
    const uint32_t from = e->word->seat->name->number;
    learn_from_sender(s, m, e);
    if (e->word->said == NODE_RESET && m->from->state != NODE_RESET)
        return NOBODY; /* it has left, or was replaced: nobody's member */
    if (m->listed)
        join_listed(s);
    if (m->type == GOSSIP_TYPE__GOSSIP_WELCOME)
        return from;
    struct teller t;
    teller_init(&t, from, is_news(m->type));
    exchange_members(s, m, &t);
    return from;
}

/* A stranger, who may be one that was replaced and has buried this node, is heard about this node
 * itself, but can't make it jump to an incarnation of his choice. */
static void hear_of_self(struct swim *s, const Gossip *m)
{
    for (size_t i = 0; i < m->n_members; i++)
        if (memcmp(m->members[i]->id.data, s->mine->seat->name->id, GOSSIP_ID) == 0 &&
            m->members[i]->incarnation == s->mine->incarnation)
            learn_of_self(s, m->members[i]);
}

static bool names_twins(struct swim *s, const Gossip *m)
{
    if (!m->has_twice || !m->twice)
        return false;
    if (memcmp(m->target.data, s->mine->seat->name->id, GOSSIP_ID) == 0 &&
        strcmp(m->target_address, s->mine->seat->place.address) != 0)
        learn_twin(s, m->target_address, 0);
    return true;
}

void swim_receive(struct swim *s, const Gossip *m, uint64_t now, uint64_t wall)
{
    swim_at(s, now);
    if (s->stopped)
        return;
    const char *wrong = check_message(s, m, wall);
    if (wrong) {
        swim_refuse(s, NULL, wrong);
        return;
    }
    if (memcmp(m->from->id.data, s->mine->seat->name->id, GOSSIP_ID) == 0) {
        from_double(s, m);
        return;
    }
    if (names_twins(s, m))
        return;
    const uint32_t from = m->unsettled ? NOBODY : from_settled(s, m);
    if (from == NOBODY)
        hear_of_self(s, m);
    by_type(s, m, from);
    if (from != NOBODY)
        exchange_compare(s, m, from);
}
