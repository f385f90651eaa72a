/* request/request: one operation on one key (or on keys that one owner holds together): asks the
 * replicas that the plan names, counts their words, answers once. Each worker has a `requests`,
 * which owns all that are in flight there.
 *
 *     client --> request_read  --> own store, or senders --> replies --> quorum --> done
 *     client --> request_write --> writer --> verdicts of writer and senders --> quorum --> done
 *
 * `done` comes exactly once, in the worker's thread, possibly before the call returns; after
 * `timeout` ms at the latest. What comes later finds no request and is thrown away. */
#ifndef REQUEST_REQUEST_H
#define REQUEST_REQUEST_H

#include "config/config.h"
#include "core/slots.h"
#include "peer/mail.h"
#include "peer/peer.h"
#include "peer/reads.h"
#include "request/stats.h"
#include "ring/hash.h"

struct request;
struct requests {
    struct actor *worker, *writer;
    const struct config *config;
    struct topology *const *topology;
    const struct peers *peers;
    struct store *store;
    struct store_reader *reader;
    const uint32_t *own_state; /* atomic */
    struct stats *stats;
    enum hash_kind hash;
    /* its own */
    struct slots live;
    struct request *oldest, *newest; /* in the order of their deadlines */
    struct buf scratch;
    struct mail_reads **asks; /* by node: reads that this turn has for peers */
    bool asking;
};

struct request_result {
    struct slice reply; /* RESP, valid during the call */
    int node;           /* of a write: a replica that has applied it; -1: none that is known */
};
typedef void request_done(void *arg, const struct request_result *r);

struct operation {
    const struct command_spec *spec;
    const struct resp_command *cmd;
    struct slice key;
    int prefer; /* of a read: ask this node first (it has this client's write); -1: no wish */
    request_done *done;
    void *arg;
};

void request_read(struct requests *rs, const struct operation *op);
/* `command` is the normalized write; taken over. */
void request_write(struct requests *rs, const struct operation *op, struct blob *command);
/* Do the keys of this command live on the same replicas? */
bool request_same_owner(struct requests *rs, const struct resp_command *cmd, const size_t *keys,
                        size_t n);
uint32_t request_token(const struct requests *rs, struct slice key);

/* The worker hands in mail and time. */
void request_mail_write(struct requests *rs, struct mail_write *m);
void request_mail_verdicts(struct requests *rs, struct mail_verdicts *m);
void request_mail_read(struct requests *rs, uint16_t node, const struct read_item *it);
/* Asks a peer something; requests_flush, at the turn's end, sends what was asked. */
void requests_ask(struct requests *rs, uint16_t node, const struct read_item *it);
void requests_flush(struct requests *rs);
void requests_tick(struct requests *rs, uint64_t now_ms);
void requests_fini(struct requests *rs); /* drops what is left without calling done */

#endif
