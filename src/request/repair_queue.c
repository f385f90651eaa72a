#include "request/repair_queue.h"
#include "core/mem.h"
#include <xxhash.h>

void repair_queue_fini(struct repair_queue *q)
{
    for (unsigned i = 0; i < q->n; i++)
        blob_unref(q->keys[i].key);
    mem_free(q->keys);
    *q = (struct repair_queue){0};
}

static bool holds(const struct repair_queue *q, uint64_t hash)
{
    for (unsigned i = 0; i < q->n; i++)
        if (q->keys[i].hash == hash)
            return true;
    return false;
}

static bool put(struct repair_queue *q, const struct repair_key *k)
{
    if (!q->keys)
        q->keys = mem_calloc(REPAIR_QUEUE, sizeof *q->keys);
    if (q->n == REPAIR_QUEUE)
        return false;
    q->keys[q->n++] = *k;
    return true;
}

bool repair_queue_note(struct repair_queue *q, struct slice key, uint64_t now_ms)
{
    uint64_t hash = XXH3_64bits(key.ptr, key.len);
    if (holds(q, hash))
        return true;
    if (q->n == REPAIR_QUEUE)
        return false;
    return put(q, &(struct repair_key){.key = blob_new(key.ptr, key.len),
                                       .hash = hash,
                                       .due_ms = now_ms + REPAIR_WAIT_MS});
}

bool repair_queue_again(struct repair_queue *q, struct blob *key, unsigned tries, uint64_t now_ms)
{
    struct repair_key k = {.key = key,
                           .hash = XXH3_64bits(key->data, key->len),
                           .due_ms = now_ms + ((uint64_t)REPAIR_WAIT_MS << tries),
                           .tries = tries};
    bool there = holds(q, k.hash);
    if (!there && put(q, &k))
        return true;
    blob_unref(key);
    return there;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void earn(struct repair_queue *q, uint64_t now_ms)
{
    uint64_t ms = q->credit_ms ? now_ms - q->credit_ms : REPAIR_BURST_MS;
    int64_t more = (int64_t)(ms < 3600000 ? ms : 3600000);
    q->credit_ms = now_ms;
    q->key_credit = least(q->key_credit + more * REPAIR_KEYS, REPAIR_BURST_MS * REPAIR_KEYS);
    q->byte_credit = least(q->byte_credit + more * (int64_t)(REPAIR_BYTES / 1000),
                           REPAIR_BURST_MS * (int64_t)(REPAIR_BYTES / 1000));
}

bool repair_queue_next(struct repair_queue *q, uint64_t now_ms, struct repair_key *out)
{
    unsigned first = 0;
    if (q->n == 0)
        return false;
    earn(q, now_ms);
    for (unsigned i = 1; i < q->n; i++)
        if (q->keys[i].due_ms < q->keys[first].due_ms)
            first = i;
    if (q->keys[first].due_ms > now_ms || q->key_credit < 1000 || q->byte_credit <= 0)
        return false;
    q->key_credit -= 1000;
    *out = q->keys[first];
    q->keys[first] = q->keys[--q->n];
    return true;
}

void repair_queue_spend(struct repair_queue *q, uint64_t bytes)
{
    int64_t spent = bytes < (uint64_t)REPAIR_DEBT ? (int64_t)bytes : REPAIR_DEBT;
    q->byte_credit = q->byte_credit - spent > -REPAIR_DEBT ? q->byte_credit - spent : -REPAIR_DEBT;
}
