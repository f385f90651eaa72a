/* Two nodes whose lists differ, which the sums in their messages show, tell each other what the
 * other one lacks, in messages of bounded size, without a state between them:
 *
 *     A  SYNC: a sum for each of 64 buckets         ->
 *     <- DIGEST: ids and versions in those that differ                 B
 *     A  WORDS: what I have, and ids that I lack    ->
 *     <- WORDS: those                                                  B
 *
 * Places go along only for ids that the other one doesn't know at all, or when it asks. */
#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <string.h>

#define GAP_MAX   16u   /* intervals between two exchanges that changed nothing */
#define DIGEST_OF 4096u /* ids in one message, about */

/* ---- who begins --------------------------------------------------------------------------------
 */

void exchange_sums(struct swim *s, struct draft *d)
{
    d->m.n_sums = BUCKETS;
    d->m.sums = s->m.sums;
}

static void sync_with(struct swim *s, uint32_t to)
{
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_SYNC, to);
    exchange_sums(s, &d);
    draft_send_to(s, &d, to);
}

/* Once an interval at most, and less and less often when it's of no use: two that refuse each
 * other's words differ for long. */
void exchange_compare(struct swim *s, const Gossip *m, uint32_t from)
{
    if (!s->settled || !m->has_list || m->list == s->m.hash || m->type > GOSSIP_TYPE__GOSSIP_NEWS)
        return;
    if (s->sync_gap && s->now < s->next_sync)
        return;
    if (!s->sync_gap && s->now < s->last_sync + s->interval)
        return;
    s->sync_gap = s->sync_gap ? 2 * s->sync_gap : s->interval;
    if (s->sync_gap > GAP_MAX * s->interval)
        s->sync_gap = GAP_MAX * s->interval;
    s->last_sync = s->now;
    s->next_sync = s->now + s->sync_gap;
    sync_with(s, from);
}

void exchange_now(struct swim *s)
{
    for (int i = 0; i < 2; i++) {
        const uint32_t to = swim_pick(s, NOBODY);
        if (to != NOBODY)
            sync_with(s, to);
    }
}

/* ---- the digest --------------------------------------------------------------------------------
 */

static void send_digest(struct swim *s, uint64_t buckets, size_t n, const char *address,
                        uint32_t seq)
{
    uint8_t *ids = mem_alloc(n * GOSSIP_ID);
    uint64_t *versions = mem_alloc(n * sizeof *versions);
    size_t at = 0;
    for (uint32_t i = 0; i < s->m.n; i++) {
        const struct word *w = s->m.at[s->m.order[i]].word;
        if (w->said == NODE_RESET || !(buckets >> name_bucket(w->seat->name) & 1))
            continue;
        memcpy(ids + GOSSIP_ID * at, w->seat->name->id, GOSSIP_ID);
        versions[at++] = w->in.hash;
    }
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_DIGEST, NOBODY);
    d.m.has_seq = true;
    d.m.seq = seq;
    d.m.has_buckets = true;
    d.m.buckets = buckets;
    d.m.has_ids = true;
    d.m.ids = (ProtobufCBinaryData){.len = GOSSIP_ID * at, .data = ids};
    d.m.n_versions = at;
    d.m.versions = versions;
    draft_send(s, &d, address);
    mem_free(versions);
    mem_free(ids);
}

static void count_buckets(const struct swim *s, size_t count[BUCKETS])
{
    memset(count, 0, BUCKETS * sizeof *count);
    for (uint32_t i = 0; i < s->m.n; i++) {
        const struct word *w = s->m.at[s->m.order[i]].word;
        count[name_bucket(w->seat->name)] += w->said != NODE_RESET;
    }
}

void exchange_sync(struct swim *s, const Gossip *m)
{
    size_t count[BUCKETS], n = 0;
    uint64_t buckets = 0;
    if (m->n_sums != BUCKETS || !s->settled || memcmp(m->sums, s->m.sums, sizeof s->m.sums) == 0)
        return;
    count_buckets(s, count);
    for (unsigned b = 0; b < BUCKETS; b++) {
        if (m->sums[b] == s->m.sums[b])
            continue;
        buckets |= 1ull << b;
        n += count[b];
        if (n >= DIGEST_OF) {
            send_digest(s, buckets, n, m->address, m->seq);
            buckets = n = 0;
        }
    }
    if (buckets)
        send_digest(s, buckets, n, m->address, m->seq);
}

/* ---- what differs ------------------------------------------------------------------------------
 */

struct words {
    struct swim *s;
    const char *address;
    struct draft d;
    uint8_t wants[GOSSIP_ID * DRAFT_MEMBERS], asks[GOSSIP_ID * DRAFT_MEMBERS];
    size_t nwants, nasks;
};

static void words_begin(struct words *o)
{
    draft_begin(o->s, &o->d, GOSSIP_TYPE__GOSSIP_WORDS, NOBODY);
    o->nwants = o->nasks = 0;
}

static void words_send(struct words *o)
{
    if (!o->d.m.n_members && !o->nwants && !o->nasks)
        return;
    o->d.m.has_wants = o->nwants > 0;
    o->d.m.wants = (ProtobufCBinaryData){.len = GOSSIP_ID * o->nwants, .data = o->wants};
    o->d.m.has_asks = o->nasks > 0;
    o->d.m.asks = (ProtobufCBinaryData){.len = GOSSIP_ID * o->nasks, .data = o->asks};
    draft_send(o->s, &o->d, o->address);
    words_begin(o);
}

static void words_add(struct words *o, const struct entry *e, bool with_place)
{
    if (word_is_buried(e->word))
        return;
    draft_add(&o->d, e->word, (enum claim)e->word->claim, e->clock, with_place);
    if (draft_full(&o->d))
        words_send(o);
}

static void words_want(struct words *o, const uint8_t *id, bool with_place)
{
    if (with_place)
        memcpy(o->wants + GOSSIP_ID * o->nwants++, id, GOSSIP_ID);
    else
        memcpy(o->asks + GOSSIP_ID * o->nasks++, id, GOSSIP_ID);
    if (o->nwants == DRAFT_MEMBERS || o->nasks == DRAFT_MEMBERS)
        words_send(o);
}

void exchange_digest(struct swim *s, const Gossip *m, uint32_t from)
{
    if (from == NOBODY || !s->settled)
        return;
    uint8_t *named = mem_calloc(s->m.cap / 8 + 1, 1);
    struct words *o = mem_alloc(sizeof *o);
    o->s = s;
    o->address = m->address;
    words_begin(o);
    for (size_t i = 0; i < m->n_versions; i++) {
        const uint8_t *id = m->ids.data + GOSSIP_ID * i;
        const struct entry *e = members_find(&s->m, id);
        if (!e) {
            words_want(o, id, true);
            continue;
        }
        const uint32_t number = e->word->seat->name->number;
        named[number / 8] |= (uint8_t)(1u << number % 8);
        if (e->word->in.hash == m->versions[i])
            continue;
        words_add(o, e, false);
        words_want(o, id, false);
    }
    for (uint32_t i = 0; i < s->m.n; i++) {
        const uint32_t number = s->m.order[i];
        const struct entry *e = &s->m.at[number];
        if (e->word->said != NODE_RESET && m->buckets >> name_bucket(e->word->seat->name) & 1 &&
            !(named[number / 8] >> number % 8 & 1))
            words_add(o, e, true);
    }
    words_send(o);
    mem_free(o);
    mem_free(named);
}

/* ---- words -------------------------------------------------------------------------------------
 */

static void answer(struct words *o, ProtobufCBinaryData ids, bool with_place)
{
    for (size_t i = 0; i + GOSSIP_ID <= ids.len; i += GOSSIP_ID) {
        const struct entry *e = members_find(&o->s->m, ids.data + i);
        if (e)
            words_add(o, e, with_place);
    }
}

/* Takes what a message tells of others, and asks its sender for places that this node lacks. */
void exchange_members(struct swim *s, const Gossip *m, struct teller *t)
{
    for (size_t i = 0; i < m->n_members; i++)
        learn(s, m->members[i], t);
    if (!t->nwant)
        return;
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_WORDS, NOBODY);
    d.m.has_wants = true;
    d.m.wants = (ProtobufCBinaryData){.len = GOSSIP_ID * t->nwant, .data = t->want};
    draft_send(s, &d, m->address);
}

void exchange_words(struct swim *s, const Gossip *m, uint32_t from)
{
    if (from == NOBODY || (!m->has_wants && !m->has_asks))
        return;
    struct words *o = mem_alloc(sizeof *o);
    o->s = s;
    o->address = m->address;
    words_begin(o);
    answer(o, m->wants, true);
    answer(o, m->asks, false);
    words_send(o);
    mem_free(o);
}
