/* store/record: how the embedded store writes one key down. Pure, any thread.
 *
 *     LMDB key   | order, 8 bytes | 'k' | the key                     |   up to RECORD_PLAIN_MAX
 *                | order, 8 bytes | 'h' | 128-bit XXH3 of the key     |   longer ones
 *     value      | 1 | type | tag, tag of newest | key length | overwrite | newest | expires
 *                | sweep | key, if it is long | value |
 *
 * `order` is the upper half of the key's 128-bit XXH3 less one bit, big-endian: it spreads the keys
 * evenly and gives SCAN a place that no insert and no delete moves. LMDB's keys end at 511 bytes,
 * and the sweeper's index puts 8 bytes of time before them. Numbers are in the machine's byte
 * order, as LMDB's own are: a store file doesn't move between architectures. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "core/buf.h"

#define RECORD_KEY_MAX   503u /* of an LMDB key, so that 8 more fit in front */
#define RECORD_PLAIN_MAX (RECORD_KEY_MAX - 9)
#define RECORD_ORDER_MAX (UINT64_MAX >> 1)

/* A write's place among all writes: the clock's stamp, then the tag of the node that stamped. */
struct stamp {
    uint64_t time;
    uint16_t tag;
};
static inline bool stamp_before(struct stamp a, struct stamp b)
{
    return a.time < b.time || (a.time == b.time && a.tag < b.tag);
}

enum record_type {
    RECORD_TOMBSTONE = 't', /* the key was deleted or has lapsed; only stamps are left */
    RECORD_STRING = 's',
    RECORD_GONE =
        'g', /* nothing, not even a tombstone: only in what lies before LMDB (store/memtable.h) */
};

#define RECORD_GUARDS (1ull << 63)

struct record {
    enum record_type type;
    struct stamp overwrite; /* of the last overwrite: what guards */
    struct stamp newest;    /* of the newest write that was applied */
    uint64_t expires;       /* wall ms; 0: never. In a tombstone: when the key lapsed, if it did */
    uint64_t sweep;   /* wall ms at which the sweeper must look: the place in its index; 0: never.
                         With RECORD_GUARDS: when no write from before these ms comes any more */
    struct slice key; /* empty when the LMDB key tells it */
    struct slice value;
};

size_t record_size(const struct record *r);
void record_write(const struct record *r, uint8_t *out); /* record_size bytes */
/* Slices point into `bytes`. False: not a record, the file is damaged. */
bool record_read(struct slice bytes, struct record *out) MUST_USE;
/* There and not lapsed at `now` (wall ms). */
static inline bool record_live(const struct record *r, uint64_t now)
{
    return r->type == RECORD_STRING && (r->expires == 0 || r->expires > now);
}

struct record_key {
    uint8_t bytes[RECORD_KEY_MAX];
    size_t len;
    bool hashed; /* the record has to hold the key */
};
void record_key_make(struct slice key, struct record_key *out);
/* The LMDB key at or behind which every key of this order and above stands; 8 bytes. */
void record_order_write(uint64_t order, uint8_t out[8]);
/* False: too short to be an LMDB key of ours. */
bool record_order_read(struct slice lmdb_key, uint64_t *order) MUST_USE;
/* The user's key of a record found under lmdb_key. */
struct slice record_user_key(struct slice lmdb_key, const struct record *r);

#endif
