/* store/string_commands: one function a command; strings.c has their table. */
#ifndef STORE_STRING_COMMANDS_H
#define STORE_STRING_COMMANDS_H

#include "store/strings.h"

struct string_call {
    struct cell *cell;
    const struct slice *argv; /* what stands behind the key */
    size_t argc;              /* at least what the table says */
    struct buf *reply;
    int64_t counted; /* out, for commands that sum over their keys instead of replying */
};
typedef void string_fn(struct string_call *c);

/* string_values.c */
string_fn string_get, string_put, string_set, string_setnx, string_getset, string_getdel,
    string_append, string_strlen, string_getrange, string_setrange, string_del, string_exists,
    string_type;
/* string_numbers.c */
string_fn string_incr, string_decr, string_incrby, string_decrby, string_incrbyfloat;
/* string_lifetimes.c */
string_fn string_getex, string_pexpireat, string_persist, string_ttl, string_pttl,
    string_expiretime, string_pexpiretime;

/* The cell's value, or nil. */
void string_reply_value(struct string_call *c);
/* A lifetime as SET PXAT and GETEX PXAT take it; false: the error is in the reply. */
bool string_lifetime(struct string_call *c, const char *command, struct slice arg, uint64_t *out);

#define STRING_NOT_INTEGER "ERR value is not an integer or out of range"
#define STRING_SYNTAX      "ERR syntax error"

#endif
