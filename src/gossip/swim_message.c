#include "gossip/swim_internal.h"

#define MEMBER_BYTES 96u /* about, without a place */

static void fill_place(GossipPlace *out, const struct member_place *place)
{
    gossip_place__init(out);
    out->address = (char *)(uintptr_t)place->address;
    out->datacenter = (char *)(uintptr_t)place->datacenter;
    out->rack = (char *)(uintptr_t)place->rack;
    out->n_tokens = place->ntokens;
    out->tokens = (uint32_t *)(uintptr_t)place->tokens;
    out->version = *place->version ? (char *)(uintptr_t)place->version : NULL;
}

static void fill_member(GossipMember *out, const struct word *w, enum claim claim, uint64_t clock)
{
    gossip_member__init(out);
    out->id = (ProtobufCBinaryData){.len = GOSSIP_ID, .data = w->seat->name->id};
    out->incarnation = w->incarnation;
    out->state = w->said;
    out->has_serves = out->serves = w->serves;
    out->has_claim = claim != CLAIM_NONE;
    out->claim = claim;
    out->place_hash = w->seat->in.hash;
    out->has_clock = clock != 0;
    out->clock = clock;
}

/* What `to` should hear of itself: that it is suspected or dead, so that it says that it isn't. */
static void tell_itself(struct swim *s, struct draft *d, uint32_t to)
{
    const struct entry *e = members_at(&s->m, to);
    const struct concern *c = e ? concern_find(s, e) : NULL;
    if (c && c->suspected)
        draft_add(d, e->word, CLAIM_SUSPECT, 0, false);
    else if (e && word_state(e->word) == NODE_DOWN)
        draft_add(d, e->word, (enum claim)e->word->claim, 0, false);
    if (e && e->word->said == NODE_JOINING && swim_lists(s, e->word->seat))
        d->m.has_listed = d->m.listed = true;
}

void draft_begin(struct swim *s, struct draft *d, GossipType type, uint32_t to)
{
    gossip__init(&d->m);
    d->bytes = 0;
    d->m.cluster = s->cluster;
    d->m.type = type;
    d->m.from = &d->from;
    d->m.address = (char *)(uintptr_t)s->mine->seat->place.address;
    d->m.members = d->ptr;
    d->m.has_unsettled = d->m.unsettled = !s->settled;
    d->m.has_list = true;
    d->m.list = s->m.hash;
    fill_member(&d->from, s->mine, (enum claim)s->mine->claim, s->clock);
    if (to != NOBODY)
        tell_itself(s, d, to);
}

void draft_show(struct swim *s, struct draft *d)
{
    fill_place(&d->from_place, &s->mine->seat->place);
    d->from.place = &d->from_place;
}

bool draft_full(const struct draft *d)
{
    return d->m.n_members == DRAFT_MEMBERS || d->bytes >= DRAFT_BYTES;
}

void draft_add(struct draft *d, const struct word *w, enum claim claim, uint64_t clock,
               bool with_place)
{
    const size_t i = d->m.n_members++;
    fill_member(&d->member[i], w, claim, clock);
    d->ptr[i] = &d->member[i];
    d->bytes += MEMBER_BYTES;
    if (!with_place)
        return;
    fill_place(&d->place[i], &w->seat->place);
    d->member[i].place = &d->place[i];
    d->bytes += 4 * w->seat->place.ntokens;
}

void draft_target(struct draft *d, const struct name *name)
{
    d->m.has_target = true;
    d->m.target = (ProtobufCBinaryData){.len = GOSSIP_ID, .data = (uint8_t *)(uintptr_t)name->id};
}

void draft_send(struct swim *s, struct draft *d, const char *address)
{
    s->sink.send(s->sink.arg, address, &d->m);
}

void draft_send_to(struct swim *s, struct draft *d, uint32_t number)
{
    const struct entry *e = members_at(&s->m, number);
    if (e)
        draft_send(s, d, e->word->seat->place.address);
}
