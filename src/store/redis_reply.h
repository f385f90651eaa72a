/* store/redis_reply: reading what a Redis answers: elements of arrays, and whose fault an error is.
 * Pure, any thread. Replies are whole (wire/resp.h's scanner found their ends). */
#ifndef STORE_REDIS_REPLY_H
#define STORE_REDIS_REPLY_H

#include "core/buf.h"

/* Walks an array:
 *     struct redis_array a;
 *     if (redis_array_open(reply, &a))
 *         while (redis_array_next(&a, &element)) ... */
struct redis_array {
    struct slice rest; /* the elements not yet given */
    size_t left;       /* how many */
};
/* False: not an array, or nil. */
bool redis_array_open(struct slice reply, struct redis_array *a) MUST_USE;
bool redis_array_next(struct redis_array *a, struct slice *element) MUST_USE;

/* `*-1` or `$-1`. */
bool redis_is_nil(struct slice reply);
/* The text of an error or status, without its first character and its line end. */
struct slice redis_text(struct slice reply);

/* The error's first word, ASCII case ignored. */
bool redis_error_is(struct slice error_text, const char *word);

enum redis_fault {
    REDIS_FAULT_COMMAND, /* the command's own (WRONGTYPE, a bad argument): it counts as applied */
    REDIS_FAULT_FULL,    /* OOM */
    REDIS_FAULT_STATE,   /* the backend's: READONLY, LOADING, MISCONF, MASTERDOWN, NOAUTH, ... */
};
/* Also of "EXECABORT Transaction discarded because of: OOM ...": what was the matter at EXEC. */
enum redis_fault redis_fault_of(struct slice error_text);

/* A command's own fault that need not be the same on every Redis. */
enum redis_inability {
    REDIS_ABLE,
    REDIS_FORBIDDEN, /* NOPERM: its user may not */
    REDIS_UNKNOWN,   /* it has no such command or subcommand */
};
enum redis_inability redis_inability_of(struct slice error_text);

#endif
