/* store/strings: what the string commands of Redis 7.0 do to a key, as the embedded store runs
 * them. Pure: a command sees each of its keys as a cell, replies, and says what it did to it; where
 * cells come from and go to is the caller's. Replies and errors are byte-equal to Redis 7.0's.
 *
 *     const struct string_command *c = string_find(cmd->argv[0]);
 *     string_run(c, cmd, &access, reply);
 *         for each key:  access.open(arg, key, &cell)  the command  access.close(arg, key, &cell)
 */
#ifndef STORE_STRINGS_H
#define STORE_STRINGS_H

#include "wire/resp.h"

#define STRING_MAX RESP_BULK_MAX

enum cell_effect {
    CELL_KEPT,       /* nothing to write down */
    CELL_CHANGED,    /* from what it was */
    CELL_OVERWRITTEN /* whatever it was */
};

/* One key. open fills all but effect and scratch. */
struct cell {
    bool exists;
    struct slice value;
    uint64_t expires; /* wall ms; 0: never */
    uint64_t now;     /* wall ms, by which lifetimes are told */
    enum cell_effect effect;
    struct buf *scratch; /* where a command builds a new value */
};

/* Both return false when the store can't: the command stops there, its reply means nothing. */
struct string_access {
    bool (*open)(void *arg, struct slice key, struct cell *c);
    bool (*close)(void *arg, struct slice key, struct cell *c); /* only where effect isn't KEPT */
    void *arg;
    struct buf *scratch; /* reset per key */
};

struct string_command;
/* NULL: not a string command. Case doesn't matter. */
const struct string_command *string_find(struct slice name);
bool string_is(const struct string_command *c, struct slice name);
/* Appends one reply. */
bool string_run(const struct string_command *c, const struct resp_command *cmd,
                const struct string_access *access, struct buf *reply) MUST_USE;

#endif
