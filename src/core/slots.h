/* core/slots: names for things that may be gone when an answer for them arrives. A ticket names a
 * slot and its generation; a dropped slot's ticket finds nothing. One thread. */
#ifndef CORE_SLOTS_H
#define CORE_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct slots {
    struct slot {
        void *ptr;
        uint32_t generation, next_free;
    } * slot;
    uint32_t n, cap, free_head; /* free_head: index + 1, 0 = none */
    uint32_t used;
    uint32_t born; /* generation of a slot that is made now, less one */
};

void slots_fini(struct slots *s);                        /* the things themselves are the owner's */
uint64_t slots_put(struct slots *s, void *ptr);          /* never 0 */
void *slots_get(const struct slots *s, uint64_t ticket); /* NULL: dropped, or never given */
void slots_drop(struct slots *s, uint64_t ticket);
/* Gives back its memory, when it is empty and has grown large. Tickets given so far stay dropped.
 */
void slots_rest(struct slots *s);
/* Any used slot from index *at on, for walking all: NULL at the end. */
void *slots_next(const struct slots *s, uint32_t *at);

#endif
