/* Is a message well formed? Nothing is taken of one that isn't. */
#include "gossip/swim_internal.h"
#include <string.h>

#define DAY_SECONDS (24u * 3600)
#define VERSION_MAX 31u

static bool is_text(const char *text, char lowest)
{
    const size_t n = strnlen(text, GOSSIP_TEXT_MAX + 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < (unsigned char)lowest || text[i] == 127)
            return false;
    return n && n <= GOSSIP_TEXT_MAX;
}

static bool is_address(const char *text)
{
    return is_text(text, '!');
}

static const char *check_place(const GossipPlace *p)
{
    if (!is_address(p->address) || !is_text(p->datacenter, ' ') || !is_text(p->rack, ' '))
        return "a place whose address, datacenter or rack isn't one";
    if (p->version && (!is_text(p->version, ' ') || strlen(p->version) > VERSION_MAX))
        return "a version that isn't one";
    if (!p->n_tokens || p->n_tokens > GOSSIP_TOKENS_MAX)
        return "a member with no tokens, or too many";
    for (size_t i = 1; i < p->n_tokens; i++)
        if (p->tokens[i - 1] >= p->tokens[i])
            return "a member's tokens aren't ascending";
    return NULL;
}

static const char *check_member(const GossipMember *m, uint64_t wall_ms)
{
    if (m->id.len != GOSSIP_ID)
        return "an id that isn't 16 bytes";
    if (m->incarnation >> 32 > wall_ms / 1000 + DAY_SECONDS)
        return "an incarnation from the far future";
    if (m->has_clock && m->clock >> 16 > wall_ms + DAY_SECONDS * 1000)
        return "a clock from the far future";
    if (m->state != NODE_JOINING && m->state != NODE_NORMAL && m->state != NODE_STANDBY &&
        m->state != NODE_LEAVING && m->state != NODE_RESET)
        return "a state that isn't one";
    if (m->claim >= CLAIMS)
        return "a claim that isn't one";
    if (m->n_by > CONFIRMERS_MAX)
        return "too many who suspect";
    return m->place ? check_place(m->place) : NULL;
}

static bool is_ids(bool has, ProtobufCBinaryData ids, size_t max)
{
    return !has || (ids.len % GOSSIP_ID == 0 && ids.len / GOSSIP_ID <= max);
}

static const char *check_shape(const struct swim *s, const Gossip *m)
{
    const size_t most = s->members_max;
    if (m->n_members > DRAFT_MEMBERS)
        return "more members than a message may have";
    if (m->n_sums && m->n_sums != BUCKETS)
        return "a digest of another shape";
    if (m->has_target && m->target.len != GOSSIP_ID)
        return "a target that isn't an id";
    if (!is_ids(m->has_ids, m->ids, most) || !is_ids(m->has_wants, m->wants, DRAFT_MEMBERS) ||
        !is_ids(m->has_asks, m->asks, DRAFT_MEMBERS))
        return "more ids than there can be members, or broken ones";
    if ((m->has_ids ? m->ids.len / GOSSIP_ID : 0) != m->n_versions)
        return "ids and versions that don't go together";
    if (m->has_target != (m->type == GOSSIP_TYPE__GOSSIP_ASK ||
                          m->type == GOSSIP_TYPE__GOSSIP_NACK || (m->has_twice && m->twice)) &&
        m->type != GOSSIP_TYPE__GOSSIP_ACK)
        return "a target where there is none to have, or none where one is needed";
    if (m->has_twice && m->twice && !(m->target_address && is_address(m->target_address)))
        return "a double without an address";
    if (m->type == GOSSIP_TYPE__GOSSIP_WELCOME &&
        (m->parts > 64 || (m->parts ? m->part >= m->parts : m->part)))
        return "a part of no whole";
    return NULL;
}

const char *check_message(const struct swim *s, const Gossip *m, uint64_t wall_ms)
{
    if (strcmp(m->cluster, s->cluster) != 0)
        return "it is of another cluster";
    if (m->type < GOSSIP_TYPE__GOSSIP_PING || m->type > GOSSIP_TYPE__GOSSIP_WORDS)
        return "a type that isn't one";
    if (!is_address(m->address))
        return "a sender without an address";
    const char *wrong = check_shape(s, m);
    if (!wrong)
        wrong = check_member(m->from, wall_ms);
    if (!wrong && m->from->claim == CLAIM_SUSPECT)
        wrong = "a sender that suspects itself";
    if (!wrong && m->from->place && strcmp(m->from->place->address, m->address) != 0)
        wrong = "a sender with two addresses";
    for (size_t i = 0; !wrong && i < m->n_members; i++)
        wrong = check_member(m->members[i], wall_ms);
    return wrong;
}
