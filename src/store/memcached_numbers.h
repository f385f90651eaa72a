/* store/memcached_numbers: for each sending node the number of its last write that the memcached
 * behind this node has answered, and that of the last one given to it. memcached has no
 * transactions, so they stand beside it: a file in data_dir, mapped shared, so that they survive
 * `kill -9`.
 *
 *     | head, 4096 | NUMBERS_MAX slots of 96: | id 64 | last | given | hash |
 *
 * last < number <= given: it was on its way when something broke. Whether it had its effect nobody
 * knows; the node that sent it does so again, and it is applied again (DESIGN.md section 7).
 *
 * The head says which memcached it was, and on which connection it was written to. One that has
 * started since is empty. The numbers count all the same: they say what has been applied, not what
 * is left of it. The writer's thread. */
#ifndef STORE_MEMCACHED_NUMBERS_H
#define STORE_MEMCACHED_NUMBERS_H

#include "core/address.h"
#include "store/store.h"

#define MEMCACHED_NUMBERS_MAX 8192u /* nodes, also those that are gone */
#define MEMCACHED_ID_MAX      64

struct memcached_number {
    char id[MEMCACHED_ID_MAX];
    uint64_t last, given;
    uint64_t hash; /* of the id, as stamps_hash */
    uint64_t unused;
};

/* A memcached's life. */
struct memcached_start {
    uint64_t pid, started; /* wall clock, seconds; 0, 0: none is known */
};

struct memcached_numbers {
    struct memcached_numbers_head *head; /* the mapping */
    struct memcached_number *all;
    uint32_t of_source[STORE_SOURCES_MAX]; /* index plus one; 0: not known */
};

bool memcached_numbers_open(struct memcached_numbers *m, const char *path,
                            struct error *e) MUST_USE;
void memcached_numbers_close(struct memcached_numbers *m); /* also one that isn't open */

/* Makes a source known; returns its number. */
uint64_t memcached_numbers_name(struct memcached_numbers *m, unsigned source, const char *id);
/* A source that is known. */
struct memcached_number *memcached_numbers_of(struct memcached_numbers *m, unsigned source);
/* Of the node whose id has this hash; 0 if there is none. */
uint64_t memcached_numbers_by_hash(const struct memcached_numbers *m, uint64_t hash);
/* It goes out. True: it has gone out before, and was never answered. */
bool memcached_numbers_give(struct memcached_numbers *m, unsigned source, uint64_t seq);
/* It has gone out and wasn't answered. */
bool memcached_numbers_is_open(struct memcached_numbers *m, unsigned source, uint64_t seq);
/* It is dealt with. 0: it has no number. */
void memcached_numbers_move(struct memcached_numbers *m, unsigned source, uint64_t seq);

/* A write has gone out and wasn't answered. */
bool memcached_numbers_in_flight(const struct memcached_numbers *m);

struct memcached_start memcached_numbers_start(const struct memcached_numbers *m);
void memcached_numbers_set_start(struct memcached_numbers *m, struct memcached_start s);

/* On which connection they went out last; NULL, and false: on one that has no name. */
void memcached_numbers_set_connection(struct memcached_numbers *m, const struct address *local);
bool memcached_numbers_connection(const struct memcached_numbers *m, struct address *out);

#endif
