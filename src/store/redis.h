/* store/redis: the struct that the two sides of the Redis store share. Internal to the room:
 * redis.c is the writing side, redis_read.c the reading side. */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include "store/internal.h"
#include "store/redis_conn.h"
#include "store/redis_info.h"
#include "store/redis_numbers.h"
#include "store/redis_reply.h"
#include "store/stamps.h"

struct redis {
    struct store base;
    struct redis_address address;
    const char *self_id;
    char *texts[5];        /* owns the strings of the two above */
    struct stamps *stamps; /* written by the writing side, read by all */
    /* the writing side's */
    struct store_events events;
    struct redis_conn *conn;
    struct redis_numbers numbers;
    bool numbers_known; /* read from this connection */
    bool going_up;      /* a batch is finished first, then `up` */
    struct store_batch *batch;
    size_t pos;  /* first write of the batch that isn't settled */
    bool single; /* each write alone: Redis refused to queue one */
    size_t tx_end, ntx, got;
    uint32_t *tx;     /* the writes that the transaction on its way holds */
    size_t *reply_at; /* by write: where its reply stands in the batch's buffer */
    size_t room;
    bool has_numbers, kept_reply;
    char queue_error[256];
    bool stopped[STORE_SOURCES_MAX]; /* senders one of whose writes failed in this batch */
};

struct store_reader *redis_reader_new(struct store *s, uv_loop_t *loop);
void redis_reader_free(struct store_reader *reader);
void redis_read(struct store_reader *reader, const struct command_spec *spec,
                const struct resp_command *cmd, store_read_fn *fn, void *arg);
void redis_inspect(struct store_reader *reader, struct slice key, store_read_fn *fn, void *arg);

#endif
