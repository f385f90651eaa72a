#include "store/memtable.h"
#include "core/mem.h"
#include "store/wal.h"
#include <assert.h>
#include <stdio.h>

#define CHUNK_MAX                                                                                  \
    16384u /* so large that malloc maps it, and a table's memory goes back at once                 \
            */
#define CHUNK_MIN   1024u
#define ITEM_LEAST  64u  /* bytes of an item in the file, at least: of a record with its key */
#define ITEM_USUAL  128u /* for the number of buckets */
#define BUCKETS_MIN 256u
#define BUCKETS_MAX 65536u
#define ORDER_BITS  63u
/* With one entry a bucket on average, chance makes no chain of this length. */
#define CHAIN_MAX 128u

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* The last place stays NULL. */
static size_t chunks_of(const struct memtable *t)
{
    return t->file->size / ITEM_LEAST / t->chunk + 2;
}

struct memtable *memtable_new(struct segment *file)
{
    struct memtable *t = MEM_NEW(struct memtable);
    uint32_t buckets = BUCKETS_MIN;
    unsigned bits = 8;
    for (; buckets < BUCKETS_MAX && buckets * ITEM_USUAL < file->size; bits++)
        buckets *= 2;
    t->file = file;
    t->map = file->map;
    t->shift = ORDER_BITS - bits;
    t->buckets = mem_calloc(buckets, sizeof *t->buckets);
    t->chunk = file->size / ITEM_LEAST < CHUNK_MAX ? CHUNK_MIN : CHUNK_MAX;
    t->chunks = mem_calloc(chunks_of(t), sizeof(struct memtable_entry *));
    t->entries = 1; /* 0 is no entry */
    t->next_due = UINT64_MAX;
    return t;
}

static void on_quiet(struct rcu_head *head)
{
    struct memtable *t = container_of_(head, struct memtable, rcu);
    for (size_t i = 0; t->chunks[i]; i++)
        mem_free(t->chunks[i]);
    mem_free(t->chunks);
    mem_free(t->buckets);
    mem_free(t->undo);
    mem_free(t->numbers);
    __atomic_store_n(&t->quiet, true, __ATOMIC_RELEASE);
}

void memtable_drop(struct memtable *t)
{
    rcu_defer(&t->rcu, on_quiet);
}

static struct memtable_entry *entry_of(const struct memtable *t, uint32_t n)
{
    return &t->chunks[n / t->chunk][n % t->chunk];
}

static bool has_key(const struct memtable *t, uint32_t at, const struct record_key *key)
{
    return at && slice_eq(wal_item_at(t->map + at).key, slice_of(key->bytes, key->len));
}

static uint64_t order_of(const struct record_key *key)
{
    uint64_t order = 0;
    bool ok = record_order_read(slice_of(key->bytes, key->len), &order);
    assert(ok);
    (void)ok;
    return order;
}

static bool read_record(const struct memtable *t, uint32_t at, struct record *out)
{
    bool ok = record_read(wal_item_at(t->map + at).body, out);
    assert(ok);
    return ok;
}

bool memtable_get(const struct memtable *t, const struct record_key *key, struct record *out)
{
    uint64_t order = order_of(key);
    for (uint32_t n = load(&t->buckets[order >> t->shift]); n;) {
        const struct memtable_entry *e = entry_of(t, n);
        if (e->order > order)
            return false;
        uint32_t at = e->order == order ? load(&e->record) : 0;
        if (has_key(t, at, key))
            return read_record(t, at, out);
        n = load(&e->next);
    }
    return false;
}

/* ---- the writer ---------------------------------------------------------------------------- */
static uint32_t newest(const struct memtable_entry *e)
{
    return e->staged ? e->staged : e->record;
}

/* The key's entry, or 0; *link: where an entry of this order is linked in. An entry whose first
 * record was taken back has no key: it serves for any of its order. */
static uint32_t find(const struct memtable *t, const struct record_key *key, uint64_t order,
                     uint32_t **link, unsigned *steps)
{
    uint32_t unused = 0;
    *steps = 0;
    *link = &t->buckets[order >> t->shift];
    for (uint32_t n; (n = **link); ++*steps) {
        struct memtable_entry *e = entry_of(t, n);
        if (e->order > order)
            break;
        if (e->order == order) {
            if (has_key(t, newest(e), key))
                return n;
            if (!newest(e))
                unused = n;
        }
        *link = &e->next;
    }
    return unused;
}

bool memtable_get_staged(const struct memtable *t, const struct record_key *key, struct record *out)
{
    uint32_t *link;
    unsigned steps;
    uint32_t n = find(t, key, order_of(key), &link, &steps);
    return n && newest(entry_of(t, n)) && read_record(t, newest(entry_of(t, n)), out);
}

static uint32_t add_entry(struct memtable *t, uint64_t order, uint32_t *link)
{
    uint32_t n = t->entries++;
    if (!t->chunks[n / t->chunk])
        t->chunks[n / t->chunk] = mem_calloc(t->chunk, sizeof(struct memtable_entry));
    *entry_of(t, n) = (struct memtable_entry){.order = order, .next = *link};
    store(link, n);
    return n;
}

bool memtable_has_room(const struct memtable *t)
{
    return t->entries / t->chunk + 1 < chunks_of(t);
}

void memtable_stage(struct memtable *t, const struct record_key *key, size_t record)
{
    uint64_t order = order_of(key);
    uint32_t *link;
    unsigned steps;
    uint32_t n = find(t, key, order, &link, &steps);
    if (!n)
        n = add_entry(t, order, link);
    t->crowded |= steps > CHAIN_MAX;
    if (t->staged == t->undone_cap) {
        t->undone_cap = t->undone_cap ? 2 * t->undone_cap : 256;
        t->undo = mem_realloc(t->undo, t->undone_cap * sizeof *t->undo);
    }
    t->undo[t->staged++] = (struct memtable_undo){n, entry_of(t, n)->staged};
    entry_of(t, n)->staged = (uint32_t)record;
}

void memtable_rewind(struct memtable *t, size_t n)
{
    while (t->staged > n) {
        const struct memtable_undo *u = &t->undo[--t->staged];
        entry_of(t, u->entry)->staged = u->before;
    }
}

void memtable_publish(struct memtable *t)
{
    for (size_t i = 0; i < t->staged; i++) {
        struct memtable_entry *e = entry_of(t, t->undo[i].entry);
        if (e->staged)
            store(&e->record, e->staged);
        e->staged = 0;
    }
    t->staged = 0;
}

void memtable_set_number(struct memtable *t, const char *id, size_t id_len, uint64_t last)
{
    struct memtable_number *n = NULL;
    assert(id_len < sizeof n->id);
    for (size_t i = 0; i < t->n_numbers && !n; i++)
        if (strlen(t->numbers[i].id) == id_len && memcmp(t->numbers[i].id, id, id_len) == 0)
            n = &t->numbers[i];
    if (!n) {
        t->numbers = mem_realloc(t->numbers, (t->n_numbers + 1) * sizeof *t->numbers);
        n = &t->numbers[t->n_numbers++];
        *n = (struct memtable_number){.last = 0};
        memcpy(n->id, id, id_len);
    }
    n->last = last;
}

const uint64_t *memtable_number(const struct memtable *t, const char *id)
{
    for (size_t i = 0; i < t->n_numbers; i++)
        if (strcmp(t->numbers[i].id, id) == 0)
            return &t->numbers[i].last;
    return NULL;
}

/* ---- walking ------------------------------------------------------------------------------- */
/* From w->entry on, which may be 0, to the first that is published and not before `order`. */
static bool settle(struct memtable_walk *w, uint64_t order)
{
    const struct memtable *t = w->table;
    uint32_t last = (uint32_t)(RECORD_ORDER_MAX >> t->shift);
    for (;;) {
        if (!w->entry) {
            if (w->bucket == last)
                return false;
            w->entry = load(&t->buckets[++w->bucket]);
            continue;
        }
        const struct memtable_entry *e = entry_of(t, w->entry);
        uint32_t at = load(&e->record);
        if (at && e->order >= order) {
            struct wal_item item = wal_item_at(t->map + at);
            w->order = e->order;
            w->lmdb_key = item.key;
            w->bytes = item.body;
            return true;
        }
        w->entry = load(&e->next);
    }
}

bool memtable_walk_from(struct memtable_walk *w, const struct memtable *table, uint64_t order)
{
    *w = (struct memtable_walk){.table = table};
    if (!table || order > RECORD_ORDER_MAX)
        return false;
    w->bucket = (uint32_t)(order >> table->shift);
    w->entry = load(&table->buckets[w->bucket]);
    return settle(w, order);
}

bool memtable_walk_next(struct memtable_walk *w)
{
    w->entry = load(&entry_of(w->table, w->entry)->next);
    return settle(w, 0);
}
