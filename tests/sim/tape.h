/* sim/tape: what one node's core was told in a simulation, told again to a core of the same
 * beginning that is alone with the processor's caches, as it is in a server: its CPU time, without
 * what ten thousand others beside it cost. */
#ifndef SIM_TAPE_H
#define SIM_TAPE_H

#include "gossip/swim.h"

struct tape;
/* Begins with the core that swim_new_like makes of these; `send` of the sink isn't used. */
struct tape *tape_new(const struct swim *model, const struct swim_options *o,
                      const struct swim_self *self, uint64_t now_ms) MUST_USE;
void tape_free(struct tape *t); /* NULL is fine */

void tape_add_tick(struct tape *t, uint64_t now_ms);
void tape_add_contact(struct tape *t, const char *address, uint64_t now_ms);
/* A packed message; copied. */
void tape_add_message(struct tape *t, const void *bytes, size_t size, uint64_t now_ms,
                      uint64_t wall_ms);
/* What the core sent then; it has to send as much again. */
void tape_add_sent(struct tape *t);

/* Once: the CPU time of all of it, ns. Ends the process if the core does something else than it
 * did. */
double tape_play(struct tape *t);

#endif
