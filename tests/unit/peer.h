/* A peer of a hint store of its own, for the suites of what stands above the store. */
#ifndef UNIT_PEER_H
#define UNIT_PEER_H

#include "peer/peer.h"
#include <check.h>

/* The log of a peer in `dir`, NULL: in memory. Numbers begin above `floor`. As in a server: one
 * thread appends, one takes. */
static inline struct hint_peer *unit_hints(const char *dir, const char *name, const char *header,
                                           uint64_t floor)
{
    struct error e;
    const struct hint_store_options o = {
        .dir = dir, .floor = floor, .single_writer = true, .single_reader = true};
    struct hint_store *s = hint_store_open(&o, &e);
    ck_assert_msg(s != NULL, "%s", s ? "" : e.text);
    struct hint_peer *p = hint_store_peer(s, name, header, &e);
    ck_assert_msg(p != NULL, "%s", p ? "" : e.text);
    return p;
}

static inline void unit_hints_close(struct hint_peer *p)
{
    struct error e;
    (void)hint_store_close(hint_peer_store(p), &e);
}

static inline void unit_give_hints(struct peer *p, struct hint_peer *hints)
{
    p->hints = hints;
    p->log = hint_peer_log(hints);
}

#endif
