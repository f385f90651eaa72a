/* gossip/seeds: whom to ask first. Besides dyn_seeds, which are always among them, there are those
 * that a provider knows:
 *
 *     simple_provider    none
 *     dns_provider       seeds_name: its A and AAAA records, with the port of seeds_name or else of
 *                        dyn_listen; and its TXT records, whose texts are entries as in dyn_seeds
 *     florida_provider   seeds_url: a list of such entries, separated by '|' (HTTP GET)
 *
 *     s = seeds_new(loop, config, found, arg);      looks at once
 *     seeds_each(s, contact, arg);                  those that are known now
 *     seeds_hurry(s, false);                        in: an interval is enough from now on
 *     seeds_stop(s);
 *
 * Looking never blocks the loop and never ends: every second while it is in a hurry, else every
 * SEEDS_INTERVAL_MS. What can't be looked up is logged when the reason changes; until it can be
 * again, what was found last stays. The thread of the loop. */
#ifndef GOSSIP_SEEDS_H
#define GOSSIP_SEEDS_H

#include "config/config.h"
#include "gossip/seed_list.h"
#include <uv.h>

#define SEEDS_INTERVAL_MS 30000 /* as in Netflix Dynomite */
#define SEEDS_HURRY_MS    1000  /* from the end of one lookup to the next */

struct seeds;
/* A lookup has ended, well or not; what seeds_each gives may be new. May call everything but
 * seeds_stop. */
typedef void seeds_found(void *arg);

/* It is in a hurry. The configuration must outlive it; `found` may be NULL. */
struct seeds *seeds_new(uv_loop_t *loop, const struct config *c, seeds_found *found, void *arg);
/* Each seed: where it is (host:port), and what the source says of its place (no tokens: nothing).
 * This node's own address isn't among them, as far as it can be told. */
void seeds_each(const struct seeds *s,
                void (*fn)(void *arg, const char *address, const struct config_seed *seed),
                void *arg);
/* Turning it on looks at once. */
void seeds_hurry(struct seeds *s, bool on);
/* Nothing is called any more. Closes its handles and frees itself when what is under way has ended,
 * which takes some seconds where a name server is silent. */
void seeds_stop(struct seeds *s);

/* There is nobody to ask, and never will be. */
bool seeds_none(const struct config *c);

#endif
