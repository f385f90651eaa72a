/* wire/command_table: the constants behind wire/command.h, and what only the files of the command
 * table need of them. */
#ifndef WIRE_COMMAND_TABLE_H
#define WIRE_COMMAND_TABLE_H

#include "wire/command.h"

/* What the row of a command leaves open and its arguments decide. */
enum command_rule {
    RULE_NONE,         /* the row says all */
    RULE_SET,          /* NX and XX make it a change; lifetimes */
    RULE_SETEX,        /* lifetime in seconds */
    RULE_PSETEX,       /* lifetime in milliseconds */
    RULE_PAIRS,        /* key, value, key, value: arguments in pairs */
    RULE_GETEX,        /* a read without options or with a wrong lifetime; lifetimes */
    RULE_EXPIRE,       /* these four: lifetimes */
    RULE_PEXPIRE,      /* */
    RULE_EXPIREAT,     /* */
    RULE_PEXPIREAT,    /* */
    RULE_RESTORE,      /* an overwrite with REPLACE; lifetime */
    RULE_XADD,         /* undetermined with * as the id, or with ~ */
    RULE_XTRIM,        /* undetermined with ~ */
    RULE_XCLAIM,       /* undetermined, unless it claims all of its entries or none; lifetimes */
    RULE_EVAL,         /* its second argument says how many keys follow */
    RULE_FCALL,        /* the same, and the store tells what is wrong with it */
    RULE_POP,          /* these three: its first argument says how many keys follow */
    RULE_CARD,         /* */
    RULE_ZSETS,        /* */
    RULE_ZSETS_STORE,  /* overwrites its first key, reads as many as the second argument says */
    RULE_BLOCKING_POP, /* refused; its second argument says how many keys follow */
    RULE_MIGRATE,      /* refused; its keys are one, or stand behind KEYS */
    RULE_XREAD,        /* keys and as many ids stand behind STREAMS; BLOCK is refused */
    RULE_SORT,         /* STORE names one more key; patterns are refused */
    RULE_GEORADIUS,    /* STORE and STOREDIST name one more key */
    RULE_COPY,         /* an overwrite with REPLACE; other databases are refused */
    RULE_SUBCOMMAND,   /* the subcommand says where the key is */
    RULE_DESTINATION,  /* overwrites its first key, reads the others */
    RULE_TRANSACTION,  /* wire/transaction.h: as EVAL, and its commands say the rest */
    RULE_LIBRARY,      /* SCRIPT, FUNCTION: the subcommand says whether it changes what there is */
};

/* Every subcommand of Redis 7.0. */
struct command_sub {
    const char *container, *name; /* upper case */
    int arity;                    /* with both names; negative: at least */
    int key;                      /* place of its key; 0: none */
    const char *refusal;          /* NULL: as the container's row says */
};
const struct command_sub *command_subs(size_t *n);
/* NULL: no such subcommand. */
const struct command_sub *command_find_sub(const struct command_spec *spec,
                                           const struct resp_command *cmd);

/* The argument that says how many keys follow; 0: none. */
size_t command_count_at(const struct command_spec *spec);
/* The key behind SORT's STORE, of which the last one counts as in Redis; 0: none. Tells whether
 * there is a pattern that reads other keys. */
size_t command_sort_destination(const struct resp_command *cmd, bool *pattern);
/* The key behind STORE or STOREDIST; 0: none. */
size_t command_georadius_destination(const struct resp_command *cmd);
/* A GETEX without options, or with a lifetime that is wrong at any time: what it says depends on
 * whether there is a key, and it changes nothing. */
bool command_getex_only_reads(const struct command_spec *spec, const struct resp_command *cmd);

#endif
