/* gossip/seed_source: the two lookups of seeds that block, each bounded in time and size: for a
 * thread that may wait. Any thread; they share nothing. */
#ifndef GOSSIP_SEED_SOURCE_H
#define GOSSIP_SEED_SOURCE_H

#include "gossip/seed_list.h"

/* The TXT records of `name`, by the system's name servers. A name without any is no failure. */
bool seed_source_txt(const char *name, struct seed_list *out, struct error *e) MUST_USE;

#define SEED_HTTP_MS  5000          /* for all of it */
#define SEED_HTTP_MAX (1024 * 1024) /* bytes of a body */
/* GET of http:// or https://: 200 and a list. No redirects, no proxy. Between seed_source_start and
 * _end. */
bool seed_source_http(const char *url, struct seed_list *out, struct error *e) MUST_USE;
bool seed_source_start(struct error *e) MUST_USE; /* counted; one thread */
void seed_source_end(void);

#endif
