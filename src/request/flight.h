/* request/flight: one operation in flight, as the files that carry it see it. Internal to the room:
 *     request.c        its life: made, answered, timed out; the replicas of a key
 *     request_read.c   whom a read asks, and which answer counts
 *     request_hedge.c  whom else, since the first is slow
 *     request_write.c  a write's way to the writer, and what is known of it on each replica
 *     request_ring.c   a write for every node of the ring
 *     request_execute.c  a write that only one replica can run, here or at a peer
 * The worker's thread. */
#ifndef REQUEST_FLIGHT_H
#define REQUEST_FLIGHT_H

#include "request/hedge.h"
#include "request/plan.h"
#include "request/quorum.h"
#include "request/request.h"

/* Below it, in the same memory: its replicas' words. */
struct request {
    struct requests *rs;
    uint64_t ticket; /* 0: nobody was told it */
    uint64_t deadline_ms;
    struct request *older, *newer;
    request_done *done;
    void *arg;
    enum consistency level;
    bool write;
    unsigned n;     /* of a write its replicas and who joins, of a read the replicas that count */
    uint16_t *node; /* n */
    /* write */
    bool sloppy;       /* as it was when this began */
    unsigned replicas; /* so many of them, the first, are replicas */
    const char *blind;
    struct write_word *words; /* n */
    uint8_t *why;             /* n; enum refusal */
    bool everywhere; /* not answered before all replicas that are up have it, up to ask_on_ms */
    struct tellers *ring; /* it is for every node: which of them hold the same keys */
    struct carry *carry;  /* a peer runs it (request_execute.c) */
    struct blob *known;   /* its reply, where no replica gives it */
    bool effect;          /* the own store's reply is the only one: the others get what it did */
    bool unsure;          /* a sender has thrown away what a log had: it may have gone out before */
    /* read */
    const struct command_spec *spec;
    const struct resp_command *cmd; /* while request_read runs */
    struct blob *command;           /* for peers, and for later */
    uint64_t ask_on_ms;             /* one that hasn't answered by then isn't waited for alone */
    unsigned can, asked, answered;  /* the first so many may be asked; so many were; answers */
    unsigned groups;                /* of read_plan */
    bool one_decides;               /* the first answer is the answer */
    bool again;                     /* they differed, and will soon be asked again */
    struct read_word *reads;        /* n */
    bool own_asked, over;           /* the store answers to this memory: it stays until then */
    struct blob *own_failure;       /* what the own store said when it couldn't */
    struct hedge_wait hedge;
    bool may_hedge, hedged; /* a second may be asked early; it was: */
    uint16_t second;
};

/* In flight, until request_finish or request_free; n: its replicas. */
struct request *request_new(struct requests *rs, const struct operation *op, bool write,
                            unsigned n);
/* What others answer to: finds nobody once the request is over. */
uint64_t request_ticket(struct request *r);
void request_free(struct request *r);
/* Answers and frees. node: see struct request_result. */
void request_finish(struct request *r, struct slice reply, int node);
/* The reply is in the scratch buffer. */
void request_finish_error(struct request *r);
/* A write that took effect and whose reply nobody has: the blind one, or an error that says so. */
void request_finish_unsaid(struct request *r, int node);
/* Begin an error reply there. */
struct buf *request_scratch(struct requests *rs);
/* Of r->node those that have answered, or, `beforehand`, could. */
void request_fail_quorum(struct request *r, const struct shortfall *lacking, const bool *good,
                         bool beforehand, const char *second_half);
/* The replicas of a read have given different replies; the client has been answered. r is as it
 * was: its words, their replies, its command. */
void request_differs(const struct request *r);
void request_add_backend_error(struct requests *rs, const char *second_half);
/* A read asks one more, and is asked by whose answer it ends (both before that happens): whether to
 * hedge it. */
void request_hedge_ask(struct request *r, uint16_t node);
void request_hedge_answered(struct request *r, uint16_t node);
/* Asks the second one: request_read's part. */
void request_ask_second(struct request *r);
/* The replicas of a token as this node sees them now, nearest first; how many. */
unsigned request_view_replicas(const struct requests *rs, uint32_t token,
                               struct replica_view v[RING_REPLICAS_MAX]);
/* The same, and behind them those that join and get its writes. *nodes: how many that ring has. */
unsigned request_view_writes(const struct requests *rs, uint32_t token,
                             struct replica_view v[RING_WRITES_MAX], unsigned *nodes);
/* At a turn's end: those that needn't wait any more are asked. */
void requests_let_go(struct requests *rs);
/* Of a request that a peer runs: this node's earlier writes to its keys are in the logs. */
void request_carry_on(struct request *r);
void request_carry_free(struct request *r);
/* A write that was to be everywhere has waited long enough. */
void request_linger_no_more(struct request *r);
/* Of the writes' file, for writes to every node: may hints stand for replicas at all; where an
 * error says what became of it; the errors of refused hints; the mail, with room for n replicas, on
 * its way.
 */
bool request_hints_count(const struct config *c);
const char *request_took_effect(const struct request *r);
void request_fail_nohint(struct request *r);
struct mail_write *request_mail_with_room(struct mail_write *m, unsigned n);
void request_send_to_writer(struct request *r, struct mail_write *m, bool want_replies);
/* A word of one to every node has come. */
void request_weigh_ring(struct request *r);
/* Every node of the ring; at most RING_NODES_MAX. *nodes: as request_view_writes. */
unsigned request_view_ring(const struct requests *rs, struct replica_view v[RING_NODES_MAX],
                           unsigned *nodes);
/* Reads that have waited for long ask other replicas too. */
void requests_ask_on(struct requests *rs, uint64_t now_ms);
/* Of the mails that are kept for writes. */
void requests_free_spares(struct requests *rs);

#endif
