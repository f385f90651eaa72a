/* client/recent: which replicas have what a connection has written, so that it reads its own writes
 * (DESIGN.md section 8). The worker's thread.
 *
 * The last writes are known one by one, in a table by token: a replica that has acknowledged the
 * write. What the table has no room for is forgotten, but not without a trace: for each peer the
 * end of its log at that moment is kept. A peer that has acknowledged that much has all that was
 * forgotten, so a read of a key that isn't in the table goes to such a peer, or to this node if it
 * is a replica and its own store has all that this node has written. When none has got that far,
 * the read waits. */
#ifndef CLIENT_RECENT_H
#define CLIENT_RECENT_H

#include "request/request.h"

#define RECENT_SLOTS 256

struct recent { /* zeroed: nothing written */
    struct recent_slot {
        uint32_t token;
        int32_t node; /* -1: empty */
        bool thin;    /* a majority may lack it */
    } * slots;
    uint64_t *floors; /* by node; NULL: nothing forgotten */
    unsigned n;       /* of floors: nobody knows what newer peers have of it */
    bool thin;        /* some of what is forgotten was on no majority when it was answered */
};

enum { RECENT_ANY = -1, RECENT_WAIT = -2 };

/* What became of this connection's newest write of this token. */
void recent_note(struct recent *r, const struct requests *rs, uint32_t token,
                 const struct request_result *result);
/* Whom to ask first: a node, RECENT_ANY, or RECENT_WAIT: ask again soon. */
int recent_replica(struct recent *r, const struct requests *rs, uint32_t token);
/* Does this one have it? False: ask again soon. */
bool recent_has(struct recent *r, const struct requests *rs, uint32_t token, unsigned node);
/* If that one, `first`, is slow: another that has what the connection has written; -1: none is
 * known. */
int recent_second(const struct recent *r, const struct requests *rs, uint32_t token, int first);
/* May a majority of the replicas lack what the connection has written? */
bool recent_is_thin(struct recent *r, const struct requests *rs, uint32_t token);
/* Before a read of several keys, which live on the same replicas: where their writes were
 * acknowledged by different ones, it is forgotten by whom, so that for each of them recent_replica
 * names one that has them all. */
void recent_join(struct recent *r, const struct requests *rs, const struct resp_command *cmd,
                 const size_t *keys, size_t n);
/* It has written to keys that it can't name. */
void recent_note_all(struct recent *r, const struct requests *rs);
/* Before what is asked of the whole ring: have all nodes that are up what the connection has
 * written? */
bool recent_is_everywhere(struct recent *r, const struct requests *rs);
void recent_fini(struct recent *r);

#endif
