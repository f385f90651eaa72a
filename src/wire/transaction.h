/* wire/transaction: the record of a transaction (MULTI ... EXEC). It stands in logs and on links as
 * one command, so that it has one number, one stamp and one verdict, and each store applies all of
 * it or nothing:
 *
 *     TRANSACTION watches numkeys key ... command ...
 *
 *     watches   TRANSACTION_VERSION bytes for each of the first keys: what store/store.h's VERSIONS
 *               said of them at WATCH. Where one has another version by now, nothing of the
 *               transaction is done and its reply is `*-1`. Empty: none is watched
 *     key       each key of its commands, once
 *     command   one of its commands, RESP, as command_normalize leaves it
 *
 * Its reply is the array of its commands' replies. The row of the command table has the flag
 * COMMAND_RECORD: clients have no such command. Pure, any thread. */
#ifndef WIRE_TRANSACTION_H
#define WIRE_TRANSACTION_H

#include "wire/command.h"

#define TRANSACTION_VERSION 16u /* bytes of what a store says of a key at WATCH */

bool transaction_is(const struct command_spec *spec);

/* Appends a record. */
void transaction_add(struct buf *out, struct slice watches, const struct slice *keys, size_t nkeys,
                     const struct slice *commands, size_t ncommands);
/* Whatever a peer may send: are its parts what they should be, its commands known ones that read or
 * write, and do they name no other keys than the record does? */
bool transaction_ok(const struct resp_command *record, struct error *e) MUST_USE;

/* Of a record that is ok. */
size_t transaction_count(const struct resp_command *record); /* its commands */
struct slice transaction_watches(const struct resp_command *record);
struct slice transaction_key(const struct resp_command *record, size_t i);
/* Walks its commands; what one points to lies in the record.
 *     struct transaction t;
 *     for (transaction_open(&t, record); transaction_next(&t);) ... t.spec, t.cmd, t.bytes
 *     transaction_close(&t);
 * spec is NULL where it isn't a command: only in one that isn't ok. */
struct transaction {
    const struct resp_command *record;
    size_t next;        /* place in its argv */
    struct slice bytes; /* of the command */
    struct resp_command cmd;
    const struct command_spec *spec;
};
void transaction_open(struct transaction *t, const struct resp_command *record);
bool transaction_next(struct transaction *t) MUST_USE;
void transaction_close(struct transaction *t);

/* What command_class_of says of it: READ only where nothing in it writes and nothing is watched. */
enum command_class transaction_class(const struct resp_command *record);
/* Something is watched, or what one of its commands does its arguments don't tell. */
bool transaction_undetermined(const struct resp_command *record);
bool transaction_has_undetermined(const struct resp_command *record); /* the second of these */
/* The keys of its commands that write, each once: an array for the caller to mem_free. */
struct slice *transaction_written(const struct resp_command *record, size_t *n);
/* Appends the same without what it watches, and without the commands that only read: what the other
 * replicas get of one that has been done. Nothing, where none is left. */
void transaction_settled(const struct resp_command *record, struct buf *out);

#endif
