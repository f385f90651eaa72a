/* store/touched: what a store that has no place for stamps (store/redis.h) knows of keys beside the
 * stamp table: for each key, as far as its hash tells it from others,
 *
 *     changed    no change of it (INCR, APPEND, HSET, ...) with a higher stamp has been applied
 *     batch      no write of it is in a later batch
 *
 * An array of TOUCHED_SLOTS; a key whose slot another one shares is taken to be touched when that
 * one is, so what is told errs to the careful side, for read repair alone. Nothing of it survives
 * the process: all slots begin with `floor`, above which no earlier write may have been stamped.
 *
 * The writer notes a batch's writes before they go out, so whoever reads a value first and asks
 * here afterwards hears of everything that is in it. Any thread asks. */
#ifndef STORE_TOUCHED_H
#define STORE_TOUCHED_H

#include <stdint.h>

#define TOUCHED_SLOTS 65536u /* a power of two */

struct touched;

struct touched *touched_new(uint64_t floor);
void touched_free(struct touched *t); /* NULL is fine */
/* Writes were applied that nobody noted, none with a higher stamp. */
void touched_raise(struct touched *t, uint64_t floor);

/* A write of the key with this hash (stamps_hash) goes out in this batch. */
void touched_write(struct touched *t, uint64_t hash, uint64_t batch);
/* And it is a change. */
void touched_change(struct touched *t, uint64_t hash, uint64_t stamp);

/* All keys are written in this batch. */
void touched_write_all(struct touched *t, uint64_t batch);

uint64_t touched_changed(const struct touched *t, uint64_t hash);
uint64_t touched_batch(const struct touched *t, uint64_t hash);

#endif
