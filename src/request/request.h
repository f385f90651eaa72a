/* request/request (request.c, request_read.c, request_write.c): one operation on one key (or on
 * keys that one owner holds together): asks the replicas that the plan names, counts their words,
 * answers once. Each worker has a `requests`, which owns all that are in flight there.
 *
 *     client --> request_read  --> own store, or senders --> replies --> quorum --> done
 *     client --> request_write --> writer --> verdicts of writer and senders --> quorum --> done
 *     client --> request_execute --> the same, or a peer does it and answers --> done
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
#include "request/hedge.h"
#include "request/stats.h"
#include "ring/hash.h"
#include "wire/frame.h"

struct request;
struct repairs;
struct requests {
    struct actor *worker, *writer;
    const struct config *config;
    struct topology *const *topology;
    const struct peers *peers;
    struct store *store;
    struct store_reader *reader;
    const uint32_t *own_state; /* atomic */
    struct stats *stats;
    uint32_t *serves;        /* see request/writer.h */
    struct repairs *repairs; /* who hears of replicas that differ; NULL: nobody */
    bool direct;             /* this node is alone and its store orders writes by itself */
    enum hash_kind hash;
    /* its own */
    struct slots live;
    struct request *oldest, *newest; /* in the order of their deadlines */
    struct mail_write *spare;
    unsigned nspare;
    bool quiet; /* nothing has begun since requests_rest was last called */
    struct buf scratch;
    struct mail_reads **asks; /* by node: reads that this turn has for peers */
    bool asking;
    struct request *held_back; /* writes that wait before a peer is asked to run them */
    uint64_t newest_stamp;     /* of writes of this worker's clients, also those that peers ran */
    unsigned ndirect;          /* writes on their way past the writer */
    unsigned again; /* reads whose replicas differed, and that will soon ask them again */
    struct hedges hedges;
    uint64_t turn_us; /* when this turn began, for hedges; 0: not looked at yet */
};

struct request_result {
    struct slice reply; /* RESP, valid during the call */
    int node;           /* of a write: a replica that has applied it; -1: none that is known */
    bool thin;          /* of a write: fewer than most replicas of this datacenter have, so far */
};
typedef void request_done(void *arg, const struct request_result *r);

struct operation {
    const struct command_spec *spec;
    const struct resp_command *cmd;
    enum consistency level;
    uint32_t token; /* of its key: request_token */
    int prefer;     /* of a read: ask this node first (it has this client's write); -1: no wish */
    int second;     /* where there is such a wish: one that has it too; -1: none is known */
    bool anchor; /* a majority may lack that write: its answer isn't outvoted, but by newer ones */
    bool only;   /* of a read: `prefer` is asked and nobody else, whatever the level says */
    bool everywhere; /* of a write: answered when all replicas that are up have it, unless that
                         takes long */
    request_done *done;
    void *arg;
};

void request_read(struct requests *rs, const struct operation *op);
/* Where the level is DC_ONE and this node's store is the first to ask and answers without waiting:
 * appends the reply to `out`; `done` and `arg` aren't used. False: it isn't so (or the store can't
 * serve), nothing was appended; go the other way. */
bool request_read_at_once(struct requests *rs, const struct operation *op, struct buf *out);

/* Asks the store of this one node, whatever it holds: a COMMAND_READ, or a COMMAND_LOCAL with
 * COMMAND_NODE_STORE. op: spec, cmd, done and arg. Where it doesn't answer, the reply is a
 * -NOQUORUM, -BACKEND or -TIMEOUT. */
void request_read_at(struct requests *rs, const struct operation *op, unsigned node);

/* The mail in which a write travels to the writer and back. Fill `command` with the normalized
 * write, then request_write, which takes the mail; or put it back. */
struct mail_write *requests_new_mail(struct requests *rs);
void requests_put_mail(struct requests *rs, struct mail_write *m);
/* spec and cmd: as the client gave it. */
void request_write(struct requests *rs, const struct operation *op, struct mail_write *m);

/* One for every node of the ring, with one stamp: FLUSHALL, whose level counts as it does for a
 * key, for all of them (op->level); or what makes scripts known, which all nodes that are up have
 * to take, and whose reply is this node's own, or the first error. Who is down gets a hint. op:
 * spec, cmd, level, done and arg. groups: of this ring; one reference goes to the request. */
struct tellers;
void request_write_ring(struct requests *rs, const struct operation *op, struct mail_write *m,
                        struct tellers *groups);

/* ---- A write whose effect its arguments don't tell (command_undetermined): one replica runs it,
 * and the others get what it did. One with COMMAND_SHARES_OUT that is determined goes there, too,
 * and is a write as any other there. */

/* Which node would: a replica in this datacenter whose store is up and lacks nothing, this one or
 * the nearest. -1: none. */
int request_executor(const struct requests *rs, uint32_t token);
/* The same for this very command: one that compares (it watches keys, or bears a cas) runs at the
 * first replica, and so does what has COMMAND_SHARES_OUT, but where that is this node and it can't.
 */
int request_runner(const struct requests *rs, const struct command_spec *spec,
                   const struct resp_command *cmd, uint32_t token);
/* What a peer runs meets this node's own writes to the same keys at no single place. So from
 * request_carry on no write to them may start in any worker (request_is_carried), and the peer is
 * asked when the replicas that are up have acknowledged what this node has written (or when that
 * takes long). NULL: another node is to run it by now. Whoever runs one here asks
 * request_is_carried when it knows that it is to: one of the two sees the other. */
struct carry;
struct carry *request_carry(struct requests *rs, const struct command_spec *spec,
                            const struct resp_command *cmd, uint32_t token, int node) MUST_USE;
void request_carry_drop(struct requests *rs, struct carry *c);
bool request_is_carried(const struct requests *rs, uint32_t token);
static inline bool requests_carry_any(const struct requests *rs)
{
    return rs->peers->carried &&
           __atomic_load_n(&rs->peers->carried[PEERS_CARRIED], __ATOMIC_SEQ_CST);
}
/* One that may not start yet says so each time it tries, and when it does start: meanwhile no new
 * one is carried (true), or those that never pause would keep it waiting for ever. */
void request_await_carried(struct requests *rs, uint32_t token, bool waits);
bool request_is_awaited(const struct requests *rs, uint32_t token);
/* While some wait for that. */
static inline bool requests_hold_back(const struct requests *rs)
{
    return rs->held_back != NULL;
}
/* node: the executor; this one: it is run here, else a peer is asked to (FRAME_EXECUTE), once: when
 * it doesn't answer, the effect is unknown. Takes the mail, as request_write, and c (NULL: it is to
 * run here, or nobody can). */
void request_execute(struct requests *rs, const struct operation *op, struct mail_write *m,
                     int node, struct carry *c);
/* A peer asks this node to run one: fn(arg, reply) once, now or later. */
void request_serve_execute(struct requests *rs, const struct frame *f, store_read_fn *fn,
                           void *arg);
/* The answer to what request_execute asked of a peer. */
void request_mail_executed(struct requests *rs, uint16_t node, const struct read_item *it);

/* This node is alone and its store orders writes by itself: what a connection asks for, reads and
 * writes, goes to the store as it came and in this order, past the writer (DESIGN.md section 3). */
static inline bool requests_direct(const struct requests *rs)
{
    return rs->direct;
}
/* It isn't alone any more. Until the last of those writes is done no other may start: it would come
 * to the store by another way, and overtake them. */
static inline bool requests_settling(const struct requests *rs)
{
    return !rs->direct && rs->ndirect;
}
void request_write_direct(struct requests *rs, const struct operation *op);

/* The one replica that decides where a comparison must be made at one place (WATCH, memcached's
 * cas): of those in this datacenter that are up and lack nothing the first by the name of its rack,
 * so that all nodes of the datacenter name the same one while they agree about who is up. -1: there
 * is none. */
int request_first_replica(const struct requests *rs, uint32_t token);
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
/* At each turn's end: when requests_hedge has something to do, as clock_mono_us tells time, or
 * HEDGE_NEVER. */
uint64_t requests_hedge_due(struct requests *rs);
/* Asks second replicas where the first are slower than usual. */
void requests_hedge(struct requests *rs);
/* Called once a second: what only a busy node needs is given back by one that is quiet. */
void requests_rest(struct requests *rs);
/* At the worker's stop, when the store's reader has ended: what is still in flight gets an error.
 */
void requests_end(struct requests *rs);
void requests_fini(struct requests *rs); /* after requests_end */

#endif
