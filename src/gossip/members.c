#include "gossip/members.h"
#include "core/mem.h"
#include <string.h>

void members_fini(struct members *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        word_unref(m->at[m->order[i]].word);
    mem_free(m->at);
    mem_free(m->order);
    memset(m, 0, sizeof *m);
}

void members_copy(struct members *m, const struct members *from)
{
    *m = *from;
    m->at = mem_dup(from->at, from->cap * sizeof *m->at);
    m->order = mem_dup(from->order, from->order_cap * sizeof *m->order);
    m->turn = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        struct entry *e = &m->at[m->order[i]];
        word_ref(e->word);
        e->probed = 0;
        e->concern = 0;
    }
}

struct entry *members_at(const struct members *m, uint32_t number)
{
    return number < m->cap && m->at[number].word ? &m->at[number] : NULL;
}

struct entry *members_find(const struct members *m, const uint8_t id[GOSSIP_ID])
{
    const struct name *name = name_find(id);
    return name ? members_at(m, name->number) : NULL;
}

/* Takes the word into the sums, or (sign -1) out of them. Who has left isn't in: tombstones go at
 * another time on each node. */
static void count(struct members *m, const struct word *w, int sign)
{
    if (w->said == NODE_RESET) {
        m->left += (unsigned)sign;
        return;
    }
    const uint64_t hash = sign > 0 ? w->in.hash : 0 - w->in.hash;
    m->hash += hash;
    m->sums[name_bucket(w->seat->name)] += hash;
    if (word_state(w) == NODE_DOWN)
        m->downs += (unsigned)sign;
}

static struct entry *room_for(struct members *m, uint32_t number)
{
    if (number >= m->cap) {
        const uint32_t cap = number + number / 4 + 8;
        m->at = mem_realloc(m->at, cap * sizeof *m->at);
        memset(m->at + m->cap, 0, (cap - m->cap) * sizeof *m->at);
        m->cap = cap;
    }
    return &m->at[number];
}

struct entry *members_put(struct members *m, struct word *w, uint64_t now)
{
    const uint32_t number = w->seat->name->number;
    struct entry *e = room_for(m, number);
    if (e->word) {
        if (word_state(e->word) != word_state(w))
            e->since = now & ((1ull << 44) - 1);
        if (e->word->seat != w->seat)
            e->placed = (uint32_t)now;
        count(m, e->word, -1);
        word_unref(e->word);
    } else {
        *e = (struct entry){.since = now & ((1ull << 44) - 1), .placed = (uint32_t)now};
        if (m->n == m->order_cap) {
            m->order_cap = m->order_cap ? 2 * m->order_cap : 8;
            m->order = mem_realloc(m->order, m->order_cap * sizeof *m->order);
        }
        m->order[m->n++] = number;
    }
    e->word = w;
    count(m, w, 1);
    return e;
}

void members_drop(struct members *m, uint32_t i)
{
    struct entry *e = &m->at[m->order[i]];
    count(m, e->word, -1);
    word_unref(e->word);
    *e = (struct entry){0};
    if (i <
        m->turn) /* the last one of this pass takes its place, and the last one of all that one's */
        m->order[i] = m->order[--m->turn], i = m->turn;
    m->order[i] = m->order[--m->n];
}

uint32_t members_next(struct members *m, uint64_t random)
{
    if (m->turn >= m->n)
        m->turn = 0;
    const uint32_t i = m->turn++;
    const uint32_t j = i + (uint32_t)(random % (m->n - i));
    const uint32_t number = m->order[j];
    m->order[j] = m->order[i];
    m->order[i] = number;
    return i;
}
