/* request/handoff_chunk: the next records of an orphan's log, copied out of it, and for each the
 * nodes that get it. Whoever is the log's consumer. */
#ifndef REQUEST_HANDOFF_CHUNK_H
#define REQUEST_HANDOFF_CHUNK_H

#include "config/config.h"
#include "peer/orphans.h"

#define HANDOFF_RECORDS 512u
#define HANDOFF_BYTES   (256u * 1024) /* of payload; one record may have any size */

struct handoff_record {
    struct frame frame;        /* its payload: NULL; see handoff_payload */
    size_t at, len;            /* of the payload, in `bytes` */
    unsigned first, n;         /* its heirs */
    uint64_t expired, dropped; /* of the chunk, before it */
};
struct handoff_heir {
    uint16_t node;
    bool done; /* it has this record; for who looks at what lies there */
};

struct handoff_chunk {
    struct buf bytes;
    struct handoff_record record[HANDOFF_RECORDS];
    size_t n;
    struct handoff_heir *heir; /* of all records, in their order */
    size_t n_heirs, cap_heirs;
    uint64_t upto;    /* everything up to this number is in here, or counted below */
    uint64_t expired; /* passed over */
    uint64_t dropped; /* nobody holds its key now who didn't before */
};

/* The heirs of a record: those of all of its keys (RING_NODES_MAX at most). cmd: the caller's to
 * free. */
unsigned handoff_heirs(struct slice payload, const struct config *c, const struct heirs *heirs,
                       const struct topology *now, struct resp_command *cmd, uint16_t *out);
/* What comes behind the acknowledged position. False: nothing does. steady_ms: deadlines before it
 * have passed; 0: none has. `heirs` NULL: everything is dropped. */
bool handoff_chunk_read(struct handoff_chunk *c, const struct orphan *o, const struct heirs *heirs,
                        const struct config *config, const struct topology *now,
                        uint64_t steady_ms);
/* The record as it goes into another log; valid until the next read. */
struct frame handoff_frame(const struct handoff_chunk *c, const struct handoff_record *r);
/* Leaves nothing from the i-th record on. */
void handoff_chunk_cut(struct handoff_chunk *c, size_t i);
void handoff_chunk_fini(struct handoff_chunk *c);

#endif
