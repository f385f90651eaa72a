#include "store/touched.h"
#include "core/mem.h"

/* Zeroed memory is all that one needs that is quiet: the floor stands apart. */
struct touched {
    uint64_t floor, all_batch; /* atomic, as all below */
    struct {
        uint64_t changed, batch;
    } slot[TOUCHED_SLOTS];
};

#define LOAD(p)     __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

static uint32_t slot_of(uint64_t hash)
{
    return (uint32_t)(hash >> 16) % TOUCHED_SLOTS;
}

struct touched *touched_new(uint64_t floor)
{
    struct touched *t = MEM_NEW(struct touched);
    t->floor = floor;
    return t;
}

void touched_free(struct touched *t)
{
    mem_free(t);
}

void touched_raise(struct touched *t, uint64_t floor)
{
    if (floor > t->floor)
        STORE(t->floor, floor);
}

void touched_write(struct touched *t, uint64_t hash, uint64_t batch)
{
    STORE(t->slot[slot_of(hash)].batch, batch);
}

void touched_change(struct touched *t, uint64_t hash, uint64_t stamp)
{
    uint32_t i = slot_of(hash);
    if (stamp > t->slot[i].changed)
        STORE(t->slot[i].changed, stamp);
}

uint64_t touched_changed(const struct touched *t, uint64_t hash)
{
    uint64_t changed = LOAD(t->slot[slot_of(hash)].changed), floor = LOAD(t->floor);
    return changed > floor ? changed : floor;
}

void touched_write_all(struct touched *t, uint64_t batch)
{
    STORE(t->all_batch, batch);
}

uint64_t touched_batch(const struct touched *t, uint64_t hash)
{
    uint64_t batch = LOAD(t->slot[slot_of(hash)].batch), all = LOAD(t->all_batch);
    return batch > all ? batch : all;
}
