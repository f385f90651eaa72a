/* store/redis: the struct that the parts of the Redis store share. Internal to the room:
 *     redis.c         opening; the writing side's ups and downs
 *     redis_greet.c   what is asked and said on each new connection of the writing side
 *     redis_tx.c      a batch becomes transactions, or scripts where Redis is full
 *     redis_record.c  clients' transactions, which are writes of many commands; versions of keys
 *     redis_flush.c   FLUSHALL in it
 *     redis_read.c    the reading sides; redis_copy.c what read repair asks them
 *     redis_protocol.c how a connection to it is spoken to
 *     backend.h       the stamps of keys, and what of a batch is settled; read labels
 *     redis_watch.c   connections for WATCH, where a node is alone
 *
 * The fence. Bytes of an old connection may reach Redis after a new one has read the numbers: they
 * lie in a socket buffer, also of a process that was killed. A transaction among them would do once
 * more what the new connection does. So each transaction is sent under a WATCH of the numbers' key,
 * which has been acknowledged before, and each greeting changes that key before it reads it:
 *
 *     greeting:     HSET the fence (in MULTI)   WATCH   HGETALL
 *     transaction:  MULTI writes HSET EXEC  WATCH       the next one when WATCH is answered
 *
 * An EXEC of the old connection that comes before the HSET is seen by HGETALL; one that comes later
 * gives nil, and nothing behind it does anything. A nil on the living connection says that somebody
 * else has changed the numbers: the connection is broken and they are read anew. HSET comes first,
 * since one's own change breaks one's own WATCH; HGETALL last, so that what changes in between is
 * read, or breaks the WATCH, or both. Scripts (redis_script.h) look at the fence themselves. */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include "store/backend.h"
#include "store/redis_info.h"
#include "store/redis_numbers.h"
#include "store/redis_reply.h"

/* One command of the transaction on its way: a write, or one of those of which a write consists
 * that is a record of a transaction (wire/transaction.h). */
struct redis_queued {
    uint32_t write;    /* of the batch */
    const char *known; /* it isn't sent, for it is stale: its reply; NULL: it is */
    size_t reply_at;   /* its reply, in the batch's buffer; only when all have theirs */
};
struct redis {
    struct backend backend;
    /* A reading side has heard that Redis can't serve: the writing side looks after it. */
    uv_async_t doubt;
    bool doubt_open; /* atomic */
    /* all below is the writing side's: its connection */
    struct store_events events;
    struct backend_conn *conn;
    struct redis_numbers numbers;
    char fence[REDIS_ID_MAX + 40]; /* what this connection has put up */
    uint64_t greetings, fenced_ms; /* how many; when another one's fence was last met */
    bool quarrel;                  /* twice in a short time: the back-off goes on growing */
    char said[256];                /* the reason last logged while it didn't come up */
    bool numbers_known;            /* read from this connection */
    bool armed;                    /* its WATCH is acknowledged */
    uint64_t mends;                /* the number of the last mend */
    uint64_t epoch;        /* atomic: goes up where more may have changed than `touched` tells */
    bool no_flushall;      /* its user may not, or it has no such command */
    bool walking;          /* a flush goes key by key: */
    uint64_t flush_cursor; /* so far */
    bool full;             /* Redis is: the rest of the batch goes as scripts */
    /* what is on its way */
    size_t tx_end, got;
    struct redis_queued *tx; /* what the transaction holds, */
    size_t ntx, tx_room;
    size_t nsent, answered; /* how many of it were sent; before this one all have their word */
    bool has_numbers, any_kept;
    bool bare; /* MULTI was refused: what came behind it may have run by itself */
    const struct resp_command *script_cmd; /* NULL: numbers only */
    enum redis_fault fault;                /* the worst so far that isn't a write's own */
    char trouble[256];                     /* its text; "": none */
};

/* redis.c */
void redis_go_up(struct redis *r); /* greeted: numbers are known, WATCH is acknowledged */
/* redis_greet.c */
void redis_greet(struct redis *r);
/* redis_tx.c */
void redis_apply(struct store *s, struct store_batch *batch);
void redis_tx_advance(struct redis *r);
/* The write at `pos` as a transaction by itself, with all numbers and the fence. */
void redis_tx_send_alone(struct redis *r, const struct resp_command *cmd);
/* Redis can't go on with the write at `pos`: its error, also of a script that met another fence. */
void redis_tx_refused(struct redis *r, struct slice error);
/* redis_flush.c */
/* Does it come next in the batch, with a transaction by itself? */
bool redis_flush_is_due(const struct redis *r, size_t i);
/* It can't be had as one command: something in Redis is newer than it, or that isn't allowed. */
bool redis_flush_goes_by_key(const struct redis *r, const struct store_write *w);
/* It is going out: nothing older may come in any more. */
void redis_flush_note(struct redis *r, const struct store_write *w);
void redis_flush_send(struct redis *r); /* the one at `pos` */
/* The connection broke: the batch is the writer's again. */
void redis_tx_give_back(struct redis *r);
/* Notes what goes into the transaction. known: see struct redis_queued. */
void redis_queue(struct redis *r, size_t i, const char *known);
enum redis_due { REDIS_DUE_NOW, REDIS_DUE_NOT /* settled */, REDIS_DUE_LATER };
/* redis_record.c */
enum redis_due redis_record_due(struct redis *r, size_t i);
void redis_record_queue(struct redis *r, size_t i, struct buf *out);
/* What was sent of the record that begins at r->tx[k] is answered: its elements are the next ones
 * of EXEC's answer. Returns where the next write begins. */
size_t redis_record_answered(struct redis *r, size_t k, struct redis_array *exec);
/* From now on every version that WATCH was told is an old one: more has changed than writes tell.
 * The writing side. */
void redis_versions_end(struct redis *r);
void redis_versions(struct store_reader *reader, const struct resp_command *cmd, store_read_fn *fn,
                    void *arg);
/* redis_watch.c */
struct store_watch *redis_watch_new(struct store_reader *reader);
void redis_watch_run(struct store_watch *w, const struct command_spec *spec,
                     const struct resp_command *cmd, store_read_fn *fn, void *arg);
void redis_watch_free(struct store_watch *w);
struct redis_watches { /* of one reading side */
    struct redis_watch *all, *idle;
    unsigned nidle;
};
void redis_watches_end(struct redis_watches *all); /* their connections are closed */
struct redis_watches *redis_reader_watches(struct store_reader *reader);
uv_loop_t *redis_reader_loop(struct store_reader *reader);
/* redis_protocol.c */
extern const struct backend_protocol redis_protocol;
/* redis_read.c */
struct store_reader *redis_reader_new(struct store *s, uv_loop_t *loop);
void redis_reader_free(struct store_reader *reader);
void redis_read(struct store_reader *reader, const struct command_spec *spec,
                const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg);
/* MULTI, the commands of a record (wire/transaction.h), EXEC. Returns how many commands that is. */
unsigned redis_add_block(struct buf *out, const struct resp_command *record);
void redis_inspect(struct store_reader *reader, struct slice key, store_read_fn *fn, void *arg);
struct backend_conn *redis_reader_conn(struct store_reader *reader);
/* redis_copy.c */
void redis_copy(struct store_reader *reader, struct slice key, bool command, store_copy_fn *fn,
                void *arg);

static inline void redis_add_word(struct backend_conn *c, const char *word)
{
    struct slice s = slice_str(word);
    resp_add_command(backend_conn_out(c), &s, 1);
}
static inline void redis_add_pair(struct backend_conn *c, const char *word, struct slice arg)
{
    struct slice argv[2] = {slice_str(word), arg};
    resp_add_command(backend_conn_out(c), argv, 2);
}

#endif
