#include "gossip/words.h"
#include "core/bytes.h"
#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- a table of things that are kept once ------------------------------------------------------
 */

struct table {
    struct intern **slot;
    size_t n, cap;
};
static struct table names, seats, words, stakes;

static void table_grow(struct table *t)
{
    const size_t cap = t->cap ? 2 * t->cap : 16;
    struct intern **slot = mem_calloc(cap, sizeof *slot);
    for (size_t i = 0; i < t->cap; i++)
        while (t->slot[i]) {
            struct intern *in = t->slot[i];
            t->slot[i] = in->next;
            in->next = slot[in->hash & (cap - 1)];
            slot[in->hash & (cap - 1)] = in;
        }
    mem_free(t->slot);
    t->slot = slot;
    t->cap = cap;
}

static struct intern *table_chain(const struct table *t, uint64_t hash)
{
    return t->cap ? t->slot[hash & (t->cap - 1)] : NULL;
}

static void table_add(struct table *t, struct intern *in, uint64_t hash)
{
    if (t->n >= t->cap)
        table_grow(t);
    in->hash = hash;
    in->next = t->slot[hash & (t->cap - 1)];
    t->slot[hash & (t->cap - 1)] = in;
    t->n++;
}

static void table_del(struct table *t, struct intern *in)
{
    struct intern **at = &t->slot[in->hash & (t->cap - 1)];
    while (*at != in)
        at = &(*at)->next;
    *at = in->next;
    if (--t->n)
        return;
    mem_free(t->slot);
    *t = (struct table){0};
}

/* ---- ids and names -----------------------------------------------------------------------------
 */

static bool hex(char c, uint8_t *out)
{
    if (c >= '0' && c <= '9')
        *out = (uint8_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *out = (uint8_t)(c - 'a' + 10);
    else
        return false;
    return true;
}

bool gossip_id_read(const char *text, uint8_t out[GOSSIP_ID])
{
    uint8_t id[GOSSIP_ID];
    for (int i = 0; i < GOSSIP_ID; i++) {
        uint8_t high, low;
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return false;
        if (!hex(text[0], &high) || !hex(text[1], &low))
            return false;
        id[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    if (*text)
        return false;
    memcpy(out, id, GOSSIP_ID);
    return true;
}

void gossip_id_write(const uint8_t id[GOSSIP_ID], char out[NODE_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < GOSSIP_ID; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[id[i] >> 4];
        *out++ = digits[id[i] & 15];
    }
    *out = 0;
}

/* Numbers that are free again. */
static uint32_t *spare, spares, spares_cap, numbers;

static uint32_t number_take(void)
{
    return spares ? spare[--spares] : numbers++;
}

static void number_give(uint32_t number)
{
    if (spares == spares_cap) {
        spares_cap = spares_cap ? 2 * spares_cap : 16;
        spare = mem_realloc(spare, spares_cap * sizeof *spare);
    }
    spare[spares++] = number;
    if (names.n)
        return;
    mem_free(spare);
    spare = NULL;
    spares = spares_cap = numbers = 0;
}

static struct name *find_name(const uint8_t id[GOSSIP_ID], uint64_t hash)
{
    for (struct intern *in = table_chain(&names, hash); in; in = in->next) {
        struct name *name = container_of_(in, struct name, in);
        if (in->hash == hash && memcmp(name->id, id, GOSSIP_ID) == 0)
            return name;
    }
    return NULL;
}

const struct name *name_find(const uint8_t id[GOSSIP_ID])
{
    return find_name(id, XXH3_64bits(id, GOSSIP_ID));
}

static struct name *name_get(const uint8_t id[GOSSIP_ID])
{
    const uint64_t hash = XXH3_64bits(id, GOSSIP_ID);
    struct name *name = find_name(id, hash);
    if (!name) {
        name = MEM_NEW(struct name);
        name->number = number_take();
        memcpy(name->id, id, GOSSIP_ID);
        table_add(&names, &name->in, hash);
    }
    name->refs++;
    return name;
}

static void name_unref(struct name *name)
{
    if (--name->refs)
        return;
    table_del(&names, &name->in);
    number_give(name->number);
    mem_free(name);
}

/* ---- seats -------------------------------------------------------------------------------------
 */

static uint64_t hash_text(const char *s, uint64_t seed)
{
    return XXH64(s, strlen(s) + 1, seed);
}

static uint64_t hash_tokens(const struct member_place *place, uint64_t seed)
{
    for (size_t i = 0; i < place->ntokens; i++) {
        uint8_t bytes[4];
        put32(bytes, place->tokens[i]);
        seed = XXH64(bytes, sizeof bytes, seed);
    }
    return seed;
}

uint64_t seat_where(const struct member_place *place)
{
    return hash_tokens(place, hash_text(place->rack, hash_text(place->datacenter, 0)));
}

static const char *text(const char *may_be_null)
{
    return may_be_null ? may_be_null : "";
}

static bool same_place(const struct member_place *a, const struct member_place *b)
{
    return a->ntokens == b->ntokens && strcmp(a->address, b->address) == 0 &&
           strcmp(text(a->version), text(b->version)) == 0 &&
           strcmp(a->datacenter, b->datacenter) == 0 && strcmp(a->rack, b->rack) == 0 &&
           (a->ntokens == 0 || memcmp(a->tokens, b->tokens, a->ntokens * sizeof *a->tokens) == 0);
}

static uint64_t hash_stake(const struct member_place *place, uint32_t token)
{
    uint8_t bytes[4];
    put32(bytes, token);
    return XXH64(bytes, sizeof bytes, hash_text(place->rack, hash_text(place->datacenter, 1)));
}

static struct seat *seat_new(const uint8_t id[GOSSIP_ID], const struct member_place *place)
{
    struct seat *t = MEM_NEW(struct seat);
    t->name = name_get(id);
    t->place = (struct member_place){
        .address = mem_strdup(place->address),
        .datacenter = mem_strdup(place->datacenter),
        .rack = mem_strdup(place->rack),
        .tokens = mem_dup(place->tokens, place->ntokens * sizeof *place->tokens),
        .ntokens = place->ntokens,
        .version = mem_strdup(text(place->version)),
    };
    t->where = seat_where(place);
    t->stakes = mem_calloc(place->ntokens, sizeof *t->stakes);
    for (size_t i = 0; i < place->ntokens; i++) {
        t->stakes[i].seat = t;
        table_add(&stakes, &t->stakes[i].in, hash_stake(place, place->tokens[i]));
    }
    return t;
}

struct seat *seat_get(const uint8_t id[GOSSIP_ID], const struct member_place *place)
{
    const uint64_t at = hash_text(place->address, seat_where(place));
    const uint64_t hash = XXH64(id, GOSSIP_ID, hash_text(text(place->version), at));
    for (struct intern *in = table_chain(&seats, hash); in; in = in->next) {
        struct seat *t = container_of_(in, struct seat, in);
        if (in->hash == hash && memcmp(t->name->id, id, GOSSIP_ID) == 0 &&
            same_place(&t->place, place))
            return seat_ref(t);
    }
    struct seat *t = seat_new(id, place);
    table_add(&seats, &t->in, hash);
    return seat_ref(t);
}

struct seat *seat_ref(struct seat *t)
{
    t->refs++;
    return t;
}

void seat_unref(struct seat *t)
{
    if (!t || --t->refs)
        return;
    table_del(&seats, &t->in);
    for (size_t i = 0; i < t->place.ntokens; i++)
        table_del(&stakes, &t->stakes[i].in);
    mem_free(t->stakes);
    name_unref(t->name);
    mem_free((void *)(uintptr_t)t->place.address);
    mem_free((void *)(uintptr_t)t->place.datacenter);
    mem_free((void *)(uintptr_t)t->place.rack);
    mem_free((void *)(uintptr_t)t->place.tokens);
    mem_free((void *)(uintptr_t)t->place.version);
    mem_free(t);
}

static bool has_token(const struct member_place *place, uint32_t token)
{
    size_t low = 0, high = place->ntokens;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (place->tokens[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < place->ntokens && place->tokens[low] == token;
}

bool seat_rivals(const struct seat *t, bool (*fn)(void *arg, const struct seat *rival), void *arg)
{
    for (size_t i = 0; i < t->place.ntokens; i++)
        for (const struct intern *in = table_chain(&stakes, t->stakes[i].in.hash); in;
             in = in->next) {
            const struct seat *other = container_of_(in, struct stake, in)->seat;
            if (in->hash == t->stakes[i].in.hash && other->name != t->name &&
                has_token(&other->place, t->place.tokens[i]) &&
                strcmp(other->place.rack, t->place.rack) == 0 &&
                strcmp(other->place.datacenter, t->place.datacenter) == 0 && fn(arg, other))
                return true;
        }
    return false;
}

/* ---- words -------------------------------------------------------------------------------------
 */

static uint64_t hash_word(const struct seat *t, uint64_t incarnation, enum node_state said,
                          enum claim claim, bool serves)
{
    uint8_t bytes[12] = {0};
    put64(bytes, incarnation);
    bytes[8] = (uint8_t)said;
    bytes[9] = (uint8_t)claim;
    bytes[10] = serves;
    return XXH64(bytes, sizeof bytes, t->in.hash);
}

struct word *word_get(struct seat *t, uint64_t incarnation, enum node_state said, enum claim claim,
                      bool serves)
{
    const uint64_t hash = hash_word(t, incarnation, said, claim, serves);
    for (struct intern *in = table_chain(&words, hash); in; in = in->next) {
        struct word *w = container_of_(in, struct word, in);
        if (in->hash == hash && w->seat == t && w->incarnation == incarnation && w->said == said &&
            w->claim == claim && w->serves == serves)
            return word_ref(w);
    }
    struct word *w = MEM_NEW(struct word);
    w->seat = seat_ref(t);
    w->incarnation = incarnation;
    w->said = (uint8_t)said;
    w->claim = (uint8_t)claim;
    w->serves = serves;
    table_add(&words, &w->in, hash);
    return word_ref(w);
}

struct word *word_ref(struct word *w)
{
    w->refs++;
    return w;
}

void word_unref(struct word *w)
{
    if (!w || --w->refs)
        return;
    table_del(&words, &w->in);
    seat_unref(w->seat);
    mem_free(w);
}

bool word_beats(const struct word *a, const struct word *b)
{
    if (a->incarnation != b->incarnation)
        return a->incarnation > b->incarnation;
    if ((a->said == NODE_RESET) != (b->said == NODE_RESET))
        return a->said == NODE_RESET;
    if (a->claim != b->claim)
        return a->claim > b->claim;
    return a->in.hash > b->in.hash;
}
