/* Two processes with one id: both are told, and who was there first stays. */
#include "gossip/swim_internal.h"
#include <stdio.h>
#include <string.h>

#define MOVE_ASKS 3u

/* Doubles write all the time; once an interval is enough to say so. */
bool twins_may_be_told(struct swim *s)
{
    if (s->now < s->twins_next)
        return false;
    s->twins_next = s->now + s->interval;
    return true;
}

void twins_tell(struct swim *s, const struct entry *e, const char *other)
{
    const char *known = e->word->seat->place.address;
    char reason[400];
    if (!twins_may_be_told(s))
        return;
    snprintf(reason, sizeof reason, "two processes claim its id, at %.150s and %.150s", known,
             other);
    swim_event(s, SWIM_TWICE, e, e->word, NODE_UNKNOWN, reason);
    struct draft d;
    draft_begin(s, &d, GOSSIP_TYPE__GOSSIP_NEWS, NOBODY);
    draft_target(&d, e->word->seat->name);
    d.m.has_twice = d.m.twice = true;
    d.m.target_address = (char *)(uintptr_t)other;
    draft_send(s, &d, known);
    d.m.target_address = (char *)(uintptr_t)known;
    draft_send(s, &d, other);
}

/* ---- a member that says that it is elsewhere now -----------------------------------------------
 */

static struct move *find_move(struct swim *s, uint32_t number)
{
    for (unsigned i = 0; i < s->nmoves; i++)
        if (s->moves[i].number == number)
            return &s->moves[i];
    return NULL;
}

static void ask_old(struct swim *s, struct move *v, const struct entry *e)
{
    v->answered = false;
    v->asked++;
    v->asked_at = s->now;
    learn_ask_itself(s, e->word, CLAIM_NONE);
}

/* A copied data directory has its owner's id, and starts later: its word would win. Who is there
 * stays, so a member that lives is believed to be elsewhere only when its old address is silent:
 * asked several times, since messages are lost. */
bool twins_moved(struct swim *s, const struct entry *e, const char *address)
{
    const struct word *w = e->word;
    const uint32_t number = w->seat->name->number;
    struct move *v = find_move(s, number);
    bool silent = v && !v->answered && s->now - v->asked_at >= s->interval / 2;
    if (word_state(w) == NODE_DOWN || w->said == NODE_RESET ||
        strcmp(address, w->seat->place.address) == 0 || (silent && v->asked >= MOVE_ASKS)) {
        if (v)
            *v = s->moves[--s->nmoves];
        return true;
    }
    if (v && v->answered) {
        twins_tell(s, e, address);
        v->asked = 0;
    }
    if (!v) {
        v = &s->moves[s->nmoves < MOVES_MAX ? s->nmoves++ : swim_random_to(s, MOVES_MAX)];
        *v = (struct move){.number = number};
    }
    if (!v->asked || silent || v->answered)
        ask_old(s, v, e);
    return false;
}

/* It is where it was. */
void twins_answered(struct swim *s, const struct entry *e)
{
    struct move *v = find_move(s, e->word->seat->name->number);
    if (v)
        v->answered = true;
}
