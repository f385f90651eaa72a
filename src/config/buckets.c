#include "config/buckets.h"
#include "core/mem.h"
#include <string.h>

static const struct bucket *at(const struct buckets *b, size_t place)
{
    return &b->bucket[b->sorted[place].bucket];
}

static bool begins_with(struct slice s, const struct bucket *p)
{
    return s.len >= p->len && memcmp(s.ptr, p->prefix, p->len) == 0;
}

/* As strings of bytes are ordered: < 0, 0, > 0. */
static int compare(const struct bucket *p, struct slice s)
{
    int c = memcmp(p->prefix, s.ptr, p->len < s.len ? p->len : s.len);
    return c ? c : (p->len > s.len) - (p->len < s.len);
}

/* How many prefixes aren't greater. */
static size_t places_up_to(const struct buckets *b, struct slice s)
{
    size_t low = 0, high = b->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(at(b, middle), s) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void find_parents(struct buckets *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct slice s = slice_of(at(b, i)->prefix, at(b, i)->len);
        size_t parent = i ? i - 1 : b->n;
        while (parent < b->n && !begins_with(s, at(b, parent)))
            parent = b->sorted[parent].parent;
        b->sorted[i].parent = (uint16_t)parent;
    }
}

bool buckets_add(struct buckets **all, struct slice prefix, enum consistency read,
                 enum consistency write)
{
    struct buckets *b = *all ? *all : MEM_NEW(struct buckets);
    *all = b;
    size_t place = places_up_to(b, prefix);
    if (b->n == BUCKETS_MAX || (place && compare(at(b, place - 1), prefix) == 0))
        return false;
    b->bucket = mem_realloc(b->bucket, (b->n + 1) * sizeof *b->bucket);
    b->sorted = mem_realloc(b->sorted, (b->n + 1) * sizeof *b->sorted);
    b->bucket[b->n] = (struct bucket){
        .prefix = mem_dup(prefix.ptr, prefix.len), .len = prefix.len, .read = read, .write = write};
    memmove(b->sorted + place + 1, b->sorted + place, (b->n - place) * sizeof *b->sorted);
    b->sorted[place].bucket = (uint16_t)b->n++;
    find_parents(b);
    return true;
}

const struct bucket *buckets_find(const struct buckets *b, struct slice key)
{
    size_t place = places_up_to(b, key);
    for (place = place ? place - 1 : b->n; place < b->n; place = b->sorted[place].parent)
        if (begins_with(key, at(b, place)))
            return at(b, place);
    return NULL;
}

void buckets_free(struct buckets *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        mem_free(b->bucket[i].prefix);
    if (b) {
        mem_free(b->bucket);
        mem_free(b->sorted);
    }
    mem_free(b);
}

void buckets_reclaim(struct rcu_head *head)
{
    buckets_free(container_of_(head, struct buckets, rcu));
}

/* ---- which level a key has ---------------------------------------------------------------------
 */

static enum consistency level_of_key(const struct config *c, struct slice key, bool write)
{
    rcu_read_begin();
    const struct buckets *all = RCU_GET(c->bucket_types);
    const struct bucket *b = all ? buckets_find(all, key) : NULL;
    enum consistency level = CONSISTENCY_DC_ONE;
    if (b)
        level = write ? b->write : b->read;
    rcu_read_end();
    if (b)
        return level;
    return write ? CONFIG_LIVE(c, write_consistency) : CONFIG_LIVE(c, read_consistency);
}

enum consistency config_bucket_read_level(const struct config *c, struct slice key)
{
    return level_of_key(c, key, false);
}

enum consistency config_bucket_write_level(const struct config *c, struct slice key)
{
    return level_of_key(c, key, true);
}
