/* request/handoff: the hints of a node that has left the ring go to the nodes that hold their keys
 * now and were no replica of them when they were made (ring/heirs.h), or are dropped. Part of the
 * writer, which is the consumer of an orphan's log and the producer of all others.
 *
 *     READ --> STORE --> APPEND --> SYNC --> (acknowledge) --> READ ...     one chunk
 *
 *     READ     the next records, and who gets them
 *     STORE    those that this node itself gets go to its store, when all other logs have room, as
 *              writes of a source of their own with the orphan's numbers: the store's number tells
 *              what it has
 *     APPEND   the rest goes into the logs of the peers that get it, with its stamp and deadline
 *     SYNC     their senders make it durable; they aren't told before the orphan's log is
 *              acknowledged, so that until then nothing of it leaves those logs
 *
 * Killed between APPEND and the acknowledgement, the next start finds what was appended: a stamp is
 * given to one write only. handoff_recover completes the chunk up to the last record that it finds
 * and acknowledges it, before any sender runs. So a hint reaches each heir once. Where to look
 * stands in the orphan's file `handoff`: each log's name and the number at which it ended when the
 * handoff began. After that start the handoff goes on when it is asked for again.
 *
 * One job at a time; the others wait. It waits also while the store is down, a peer that is up is
 * behind, or a log is at its cap. It ends, not done, where an heir has been down for so long that
 * nothing more is stored for it. */
#ifndef REQUEST_HANDOFF_H
#define REQUEST_HANDOFF_H

#include "config/config.h"
#include "peer/mail.h"
#include "peer/orphans.h"
#include "request/batch.h"
#include "request/replicate.h"

/* The item's node, and so the store's source, of what is handed to this node itself. */
#define HANDOFF_NODE (STORE_SOURCES_MAX - 2u)

struct handoff_options {
    const struct config *config;
    struct topology *const *topology;
    const struct peers *peers;
    struct orphans *orphans; /* NULL: none */
    struct store *store;
    struct replicate *replicate;
    struct actor *writer;
    const uint32_t *clock_trusted; /* atomic: hints may expire */
};
struct handoff;
struct handoff *handoff_new(const struct handoff_options *o);
void handoff_free(struct handoff *h);
bool handoff_is_busy(const struct handoff *h); /* with an orphan */

/* ---- the writer's thread --------------------------------------------------------------------- */
/* ORDER_HANDOFF or ORDER_TRUNCATE of an orphan; takes the message. */
void handoff_take(struct handoff *h, struct mail_order *m);
/* Once a turn: goes on. store_serves: what it adds to `gathering` will go to the store. True: it
 * wants another turn. */
bool handoff_turn(struct handoff *h, struct batch *gathering, bool store_serves);
void handoff_tick(struct handoff *h); /* now and then: expiry, and what had to wait */
/* The store has answered for an ITEM_HANDED. */
void handoff_applied(struct handoff *h, const struct store_write *w);
/* The store is gone: takes what is its own out of what was gathered. */
void handoff_forget(struct handoff *h, struct batch *gathering);
void handoff_synced(struct handoff *h, struct mail_sync *m); /* takes the message */

/* ---- the main thread, before the actors -------------------------------------------------------
 */
void handoff_recover(struct orphans *all, const struct config *c, const struct topology *now,
                     const struct peers *peers);
/* The file `handoff`. */
bool handoff_begin(const struct orphan *o, const struct topology *now, const struct peers *peers,
                   struct error *e) MUST_USE;
void handoff_end(const struct orphan *o);

#endif
