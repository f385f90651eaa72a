#include "gossip/swim.h"
#include "core/mem.h"
#include "gossip/swim_internal.h"
#include <stdlib.h>
#include <string.h>

#define GOODBYES 8u

/* ---- small things that all parts use -----------------------------------------------------------
 */

/* splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. */
uint64_t swim_random(struct swim *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t swim_random_to(struct swim *s, uint64_t bound)
{
    return swim_random(s) % bound;
}

uint32_t swim_pick(struct swim *s, uint32_t but)
{
    for (unsigned tries = 0; tries < 12 && s->m.n > 0; tries++) {
        const uint32_t number = s->m.order[swim_random_to(s, s->m.n)];
        const struct word *w = s->m.at[number].word;
        if (number != but && w != s->mine && word_state(w) != NODE_DOWN && w->said != NODE_RESET)
            return number;
    }
    return NOBODY;
}

uint32_t swim_number(const struct swim *s)
{
    return s->mine->seat->name->number;
}

void swim_healthier(struct swim *s)
{
    if (s->health)
        s->health--;
}

void swim_sicker(struct swim *s)
{
    if (s->health < HEALTH_MAX)
        s->health++;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool swim_lists(const struct swim *s, const struct seat *t)
{
    return s->nlisted && bsearch(&t->where, s->listed, s->nlisted, sizeof *s->listed, compare_u64);
}

/* ---- what others see ---------------------------------------------------------------------------
 */

void swim_view(const struct entry *e, const struct word *w, struct member *out)
{
    gossip_id_write(w->seat->name->id, out->id);
    out->incarnation = w->incarnation;
    out->said = (enum node_state)w->said;
    out->state = word_state(w);
    out->serves = w->serves;
    out->clock = e ? e->clock : 0;
    out->since_ms = e ? e->since : 0;
    out->place = &w->seat->place;
}

void swim_event(struct swim *s, enum swim_event_type type, const struct entry *e,
                const struct word *w, enum node_state before, const char *reason)
{
    struct member m;
    swim_view(e, w, &m);
    s->sink.event(s->sink.arg,
                  &(struct swim_event){.type = type,
                                       .m = &m,
                                       .before = before,
                                       .replaced = type == SWIM_STATE && word_is_buried(w),
                                       .reason = reason});
}

void swim_refuse(struct swim *s, const struct word *about, const char *reason)
{
    struct member m;
    if (about)
        swim_view(NULL, about, &m);
    s->sink.event(s->sink.arg, &(struct swim_event){
                                   .type = SWIM_REFUSED, .m = about ? &m : NULL, .reason = reason});
}

bool swim_is_settled(const struct swim *s)
{
    return s->settled;
}

const struct member *swim_self(const struct swim *s)
{
    struct swim *mine = (struct swim *)(uintptr_t)s;
    swim_view(members_at(&s->m, swim_number(s)), s->mine, &mine->self_view);
    mine->self_view.clock = s->clock;
    return &mine->self_view;
}

const struct member *swim_find(const struct swim *s, const char *id)
{
    struct swim *mine = (struct swim *)(uintptr_t)s;
    uint8_t bytes[GOSSIP_ID];
    if (!gossip_id_read(id, bytes))
        return NULL;
    if (memcmp(bytes, s->mine->seat->name->id, GOSSIP_ID) == 0)
        return swim_self(s);
    const struct entry *e = members_find(&s->m, bytes);
    if (!e)
        return NULL;
    struct member *out = &mine->view[mine->views++ % ARRAY_LEN(s->view)];
    swim_view(e, e->word, out);
    return out;
}

unsigned swim_count(const struct swim *s)
{
    return s->m.n + !s->settled;
}

void swim_each(const struct swim *s, bool (*fn)(void *arg, const struct member *m), void *arg)
{
    if (!s->settled && !fn(arg, swim_self(s)))
        return;
    for (uint32_t i = 0; i < s->m.n; i++) {
        const struct entry *e = &s->m.at[s->m.order[i]];
        struct member m;
        swim_view(e, e->word, &m);
        if (e->word == s->mine)
            m.clock = s->clock;
        if (!fn(arg, &m))
            return;
    }
}

/* ---- this node's own word ----------------------------------------------------------------------
 */

void swim_say(struct swim *s, uint64_t incarnation, enum node_state said, enum claim claim,
              bool serves)
{
    struct word *w = word_get(s->mine->seat, incarnation, said, claim, serves);
    word_unref(s->mine);
    s->mine = w;
    if (!s->settled)
        return;
    struct entry *e = members_at(&s->m, swim_number(s));
    const bool is_new = !e;
    e = members_put(&s->m, word_ref(w), s->now);
    spread_add(s, e, is_new);
}

void swim_set_state(struct swim *s, enum node_state state, uint64_t now)
{
    swim_tick(s, now);
    if (state != (enum node_state)s->mine->said && !s->stopped)
        swim_say(s, s->mine->incarnation + 1, state, CLAIM_NONE, s->mine->serves);
    if (!s->settled)
        s->first_state = state;
}

void swim_set_serves(struct swim *s, uint64_t now)
{
    swim_tick(s, now);
    if (!s->mine->serves && !s->stopped)
        swim_say(s, s->mine->incarnation + 1, (enum node_state)s->mine->said, CLAIM_NONE, true);
}

void swim_set_clock(struct swim *s, uint64_t stamp)
{
    s->clock = stamp;
}

void swim_stop(struct swim *s, uint64_t now)
{
    swim_tick(s, now);
    if (!s->settled || s->stopped)
        return;
    s->stopped = true;
    if (s->mine->said != NODE_RESET)
        swim_say(s, s->mine->incarnation + 1, (enum node_state)s->mine->said, CLAIM_STOPPED,
                 s->mine->serves);
    for (unsigned i = 0; i < GOODBYES; i++) {
        const uint32_t to = swim_pick(s, NOBODY);
        if (to == NOBODY)
            return;
        struct draft d;
        draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_NEWS, to);
        draft_add(&d, s->mine, (enum claim)s->mine->claim, s->clock, false);
        draft_send_to(s, &d, to);
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */

static void copy_listed(struct swim *s, const struct swim_options *o)
{
    s->nlisted = o->nlisted;
    if (!o->nlisted)
        return;
    s->listed = mem_calloc(o->nlisted, sizeof *s->listed);
    for (size_t i = 0; i < o->nlisted; i++)
        s->listed[i] = seat_where(&o->listed[i]);
    qsort(s->listed, s->nlisted, sizeof *s->listed, compare_u64);
}

static struct word *first_word(const struct swim_self *self)
{
    uint8_t id[GOSSIP_ID];
    if (!gossip_id_read(self->id, id))
        memset(id, 0, sizeof id);
    struct seat *seat = seat_get(id, &self->place);
    struct word *w = word_get(seat, self->incarnation, self->state, CLAIM_NONE, self->serves);
    seat_unref(seat);
    return w;
}

static struct swim *make(const struct swim_options *o, const struct swim_self *self,
                         const struct swim_sink *sink, uint64_t now)
{
    struct swim *s = MEM_NEW(struct swim);
    s->sink = *sink;
    s->cluster = mem_strdup(o->cluster);
    s->interval = o->interval_ms;
    s->random = o->seed;
    s->now = now;
    s->members_max = o->members_max;
    copy_listed(s, o);
    s->mine = first_word(self);
    s->first_state = self->state;
    s->seq = (uint32_t)swim_random(s);
    s->next_probe = now + swim_random_to(s, s->interval / 4 + 1);
    s->suspects_due = s->rumours_due = UINT64_MAX;
    return s;
}

struct swim *swim_new(const struct swim_options *o, const struct swim_self *self,
                      const struct swim_sink *sink, uint64_t now)
{
    struct swim *s = make(o, self, sink, now);
    if (self->settled) {
        s->settled = true;
        spread_add(s, members_put(&s->m, word_ref(s->mine), now), true);
    }
    return s;
}

struct swim *swim_new_like(const struct swim *model, const struct swim_options *o,
                           const struct swim_self *self, const struct swim_sink *sink, uint64_t now)
{
    struct swim *s = make(o, self, sink, now);
    s->settled = true;
    members_copy(&s->m, &model->m);
    members_put(&s->m, word_ref(s->mine), now);
    return s;
}

void swim_free(struct swim *s)
{
    if (!s)
        return;
    members_fini(&s->m);
    rumour_fini(s);
    join_fini(s);
    word_unref(s->mine);
    mem_free(s->listed);
    mem_free(s->concerns);
    mem_free(s->suspects);
    mem_free(s->cluster);
    mem_free(s);
}

/* ---- time --------------------------------------------------------------------------------------
 */

uint64_t swim_due(const struct swim *s)
{
    uint64_t due = s->now + s->interval;
    const uint64_t parts[] = {probe_due(s), join_due(s),
                              s->nsuspects ? s->suspects_due : UINT64_MAX,
                              s->nrumours ? s->rumours_due : UINT64_MAX,
                              s->news && s->settled ? s->next_spread : UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i] < due)
            due = parts[i];
    return due > s->now ? due : s->now + 1;
}

/* Time went by in which this process didn't run: what it waited for may have come, or lie in a
 * queue. So it waits anew, and asks what has happened. */
void swim_at(struct swim *s, uint64_t now)
{
    const uint64_t due = swim_due(s);
    if (now < s->now)
        return;
    s->now = now;
    if (now < due + s->interval / 4)
        return;
    swim_sicker(s);
    if (now < due + s->interval / 2)
        return;
    probe_forget(s);
    suspect_anew(s);
    s->next_probe = now;
    if (s->settled && !s->stopped)
        exchange_now(s);
}

void swim_tick(struct swim *s, uint64_t now)
{
    swim_at(s, now);
    if (s->stopped)
        return;
    join_tick(s);
    suspect_tick(s);
    probe_tick(s);
    rumour_tick(s);
    if (s->settled)
        spread_round(s);
}

void swim_contact(struct swim *s, const char *address, uint64_t now)
{
    swim_at(s, now);
    if (!s->stopped)
        join_contact(s, address);
}

void swim_doubt(struct swim *s, const char *id, uint64_t now)
{
    uint8_t bytes[GOSSIP_ID];
    swim_at(s, now);
    if (s->stopped || !s->settled || !gossip_id_read(id, bytes))
        return;
    const struct entry *e = members_find(&s->m, bytes);
    if (e && e->word != s->mine)
        probe_start(s, e->word->seat->name->number);
}
