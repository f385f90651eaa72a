/* request/repair: read repair (docs/read-repair.md). Where the replicas that a read asked differ,
 * its key is noted here; later, and slowly, what all replicas have of it is compared, and those
 * that are wrong get a copy of what is right:
 *
 *     note     the queue (request/repair_queue.h)
 *     copies   every replica, in all datacenters, says what it has and what that is worth
 *     decide   request/mend.h
 *     fetch    the one whose copy is passed on gives all of it
 *     mend     one replica after the other takes it, if nothing newer has touched the key there
 *
 * What isn't settled, because a write is on its way, is tried again some times. Each worker has
 * one; all of it is the worker's thread. */
#ifndef REQUEST_REPAIR_H
#define REQUEST_REPAIR_H

#include "request/copies.h"
#include "request/repair_queue.h"
#include "request/request.h"

struct repairs {
    struct requests *requests;
    struct copies *copies;
    struct repair_queue queue;
    struct slots live;
    bool stopped;
};

static inline bool repairs_enabled(const struct repairs *all)
{
    return CONFIG_LIVE(all->requests->config, read_repairs_enabled);
}
/* The replicas of this read differ. Nothing but a note is made, and none where it isn't enabled. */
void repairs_note(struct repairs *all, const struct command_spec *spec,
                  const struct resp_command *cmd);
/* Is there anything to do? Then repairs_tick wants to be called some tens of times a second. */
static inline bool repairs_busy(const struct repairs *all)
{
    return all->queue.n || all->live.used;
}
void repairs_tick(struct repairs *all, uint64_t now_ms);
/* A peer's answer to what was asked for a repair. */
void repairs_mail_read(struct repairs *all, uint16_t node, const struct read_item *it);
/* Before the store's reader ends: nothing is asked any more. */
void repairs_stop(struct repairs *all);
void repairs_fini(struct repairs *all);

#endif
