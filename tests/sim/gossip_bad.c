#include "gossip_bad.h"
#include "proto/gossip.pb-c.h"
#include <stdio.h>
#include <string.h>

#define INVENTED 200

/* A message and all that it points to. */
struct bad {
    Gossip m;
    GossipMember from, members[INVENTED], *list[INVENTED];
    GossipPlace places[INVENTED];
    uint8_t ids[INVENTED + 1][16];
    char addresses[INVENTED + 1][32];
    uint32_t tokens[INVENTED][2];
    char cluster[8], dc[8], rack[8], own_address[32];
};

static void id_bytes(const char *id, uint8_t out[16])
{
    unsigned n = 0;
    for (; *id; id++) {
        if (*id == '-')
            continue;
        uint8_t digit = (uint8_t)(*id <= '9' ? *id - '0' : *id - 'a' + 10);
        out[n / 2] = (uint8_t)(n % 2 ? out[n / 2] | digit : digit << 4);
        n++;
    }
}

static void invent_id(struct chance *c, uint8_t out[16])
{
    for (unsigned i = 0; i < 16; i++)
        out[i] = (uint8_t)chance_below(c, 256);
    out[6] = (uint8_t)((out[6] & 15) | 0x40);
    out[8] = (uint8_t)((out[8] & 63) | 0x80);
}

static uint64_t mark_now(struct gossip_sim *g, unsigned node)
{
    return (net_wall(gossip_net(g), node) / NET_S) << 32;
}

static void invent_member(struct bad *b, struct chance *c, unsigned i, uint64_t incarnation)
{
    gossip_member__init(&b->members[i]);
    gossip_place__init(&b->places[i]);
    invent_id(c, b->ids[i]);
    snprintf(b->addresses[i], sizeof b->addresses[i], "10.250.%u.%u:8101",
             (unsigned)chance_below(c, 256), (unsigned)chance_below(c, 256));
    b->tokens[i][0] = (uint32_t)chance_below(c, UINT32_MAX);
    b->places[i].address = b->addresses[i];
    b->places[i].datacenter = b->dc;
    b->places[i].rack = b->rack;
    b->places[i].tokens = b->tokens[i];
    b->places[i].n_tokens = 1;
    b->members[i].id = (ProtobufCBinaryData){16, b->ids[i]};
    b->members[i].incarnation = incarnation;
    b->members[i].state = NODE_NORMAL;
    b->members[i].place_hash = chance_next(c);
    b->members[i].place = &b->places[i];
    b->list[i] = &b->members[i];
}

/* What is said of a member that there is. */
static void copy_member(struct gossip_sim *g, struct bad *b, unsigned i, unsigned node)
{
    struct chance *c = gossip_chance(g);
    const struct member *m = gossip_core(g, node) ? swim_self(gossip_core(g, node)) : NULL;
    invent_member(b, c, i, m ? m->incarnation : mark_now(g, node));
    id_bytes(gossip_id(g, node), b->ids[i]);
    snprintf(b->addresses[i], sizeof b->addresses[i], "%s", gossip_address(g, node));
    if (!m)
        return;
    snprintf(b->rack, sizeof b->rack, "%s", m->place->rack);
    b->tokens[i][0] = m->place->tokens[0];
}

static void begin(struct gossip_sim *g, struct bad *b, unsigned node)
{
    struct chance *c = gossip_chance(g);
    static const GossipType types[] = {GOSSIP_TYPE__GOSSIP_PING,    GOSSIP_TYPE__GOSSIP_ACK,
                                       GOSSIP_TYPE__GOSSIP_NEWS,    GOSSIP_TYPE__GOSSIP_CONTACT,
                                       GOSSIP_TYPE__GOSSIP_WELCOME, GOSSIP_TYPE__GOSSIP_WORDS};
    memset(b, 0, sizeof *b);
    strcpy(b->cluster, "sim");
    strcpy(b->dc, "dc");
    strcpy(b->rack, "r0");
    gossip__init(&b->m);
    b->m.cluster = b->cluster;
    b->m.type = types[chance_below(c, ARRAY_LEN(types))];
    b->m.has_seq = true;
    b->m.seq = (uint32_t)chance_below(c, UINT32_MAX);
    b->m.has_part = b->m.has_parts = b->m.type == GOSSIP_TYPE__GOSSIP_WELCOME;
    b->m.parts = 1;
    b->m.members = b->list;
    /* From nowhere. The last place is the sender's. */
    invent_member(b, c, INVENTED - 1, mark_now(g, node));
    b->from = b->members[INVENTED - 1];
    snprintf(b->own_address, sizeof b->own_address, "%s", b->addresses[INVENTED - 1]);
    b->m.from = &b->from;
    b->m.address = b->own_address;
}

static unsigned any_node(struct gossip_sim *g)
{
    return (unsigned)chance_below(gossip_chance(g), gossip_count(g));
}

static void shape_badly(struct bad *b, struct chance *c)
{
    GossipMember *m = b->list[0];
    switch (chance_below(c, 7)) {
    case 0:
        m->id.len = chance_below(c, 16);
        break;
    case 1:
        m->state = (uint32_t)chance_range(c, NODE_STATES, UINT32_MAX - 1);
        break;
    case 2:
        m->place->n_tokens = 0;
        break;
    case 3:
        b->tokens[0][0] = 7;
        b->tokens[0][1] = 7;
        m->place->n_tokens = 2;
        break;
    case 4:
        b->addresses[0][chance_below(c, 4)] = '\n';
        break;
    case 5:
        b->addresses[0][0] = '\0';
        break;
    default:
        m->has_claim = true;
        m->claim = (uint32_t)chance_below(c, UINT32_MAX);
    }
    b->m.type = (GossipType)chance_range(c, 1, 10);
}

void gossip_send_bad(struct gossip_sim *g, unsigned node, enum gossip_bad what)
{
    static struct bad bad; /* large */
    struct bad *b = &bad;
    struct chance *c = gossip_chance(g);
    unsigned about = any_node(g);
    begin(g, b, node);
    b->m.n_members = 1;
    copy_member(g, b, 0, about);
    switch (what) {
    case BAD_CLUSTER:
        strcpy(b->cluster, "other");
        b->from = b->members[0];
        b->members[0].incarnation += 5;
        b->members[0].state = NODE_RESET;
        break;
    case BAD_INVENTED:
        for (unsigned i = 0; i < INVENTED - 1; i++)
            invent_member(b, c, i, mark_now(g, node));
        b->m.n_members = INVENTED - 1;
        break;
    case BAD_INCARNATION:
        b->members[0].incarnation += chance_range(c, 1, 1000) << 52;
        break;
    case BAD_CLOCK:
        b->members[0].has_clock = true;
        b->members[0].clock = UINT64_MAX - chance_below(c, 1000);
        break;
    case BAD_TOKENS:
        invent_id(c, b->ids[0]);
        break;
    case BAD_SELF:
        copy_member(g, b, 0, node);
        b->from = b->members[0];
        b->m.n_members = 0;
        break;
    default:
        shape_badly(b, c);
    }
    gossip_inject(g, node, &b->m);
}
