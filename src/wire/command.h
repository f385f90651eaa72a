/* wire/command: what the server knows about each command of Redis 7.0: how many arguments, where
 * its keys are, what it does to them. One constant table (Redis 7.0's `COMMAND` output is its
 * source for names, arity and key positions; the class is ours). Pure, any thread. */
#ifndef WIRE_COMMAND_H
#define WIRE_COMMAND_H

#include "core/buf.h"
#include "core/error.h"
#include "wire/reply.h"
#include "wire/resp.h"

/* What replication has to know (DESIGN.md section 2). The first three are the store's affair. */
enum command_class {
    COMMAND_READ,      /* runs on one or more replicas, changes nothing */
    COMMAND_OVERWRITE, /* the key's value afterwards doesn't depend on what it was: SET, DEL, ... */
    COMMAND_CHANGE,    /* it does: INCR, APPEND, HSET, EXPIRE, ... */
    COMMAND_LOCAL,     /* answered by the node that the client is connected to: PING, INFO, ... */
    COMMAND_REFUSED,   /* known and refused; `refusal` says why */
};

enum command_flags {
    COMMAND_EMBEDDED = 1, /* the embedded store has it */
    COMMAND_SPLIT = 2, /* MGET MSET DEL UNLINK EXISTS TOUCH: falls apart into one command a key */
    COMMAND_UNDETERMINED = 4, /* its effect isn't in its arguments: SPOP, XADD *, ... */
    COMMAND_NODE_STORE = 8, /* a COMMAND_LOCAL that asks this node's store: DBSIZE SCAN KEYS ... */
    COMMAND_MEMCACHE = 16,  /* of memcached's protocol, and of no other: wire/memcache_command.h */
    COMMAND_RECORD = 32,    /* nodes say it to one another and to their stores; clients have no such
                               command */
    COMMAND_RING = 256,     /* names no key: it covers the whole ring (client/ring.h) */
    COMMAND_SHARES_OUT = 1024, /* XREADGROUP, XCLAIM, XAUTOCLAIM, XACK: what one consumer gets, no
                                  other does: one replica of the datacenter coordinates them all */
};

struct command_spec {
    const char *name;      /* upper case */
    int arity;             /* with the name; negative: at least */
    int first, last, step; /* keys as in Redis; 0: none. last -1: to the end */
    enum command_class class_;
    unsigned flags;
    /* Why it is refused, or some forms of it: SORT ... BY pattern, COPY ... DB 1. See
     * command_refusal. */
    const char *refusal;
    unsigned rule;              /* what its arguments decide; only for the files of this table */
    enum reply_compare compare; /* of a read: how the replies of equal replicas may differ */
};

/* NULL: unknown to Redis 7.0 as well. Case doesn't matter. */
const struct command_spec *command_find(struct slice name);
/* The whole table, for COMMAND and for tests. */
const struct command_spec *command_table(size_t *n);

/* False: Redis's own error text for a wrong number of arguments ("ERR wrong number of ..."), or a
 * number of keys that doesn't fit them, or options of XREAD that don't tell its keys. */
bool command_arity_ok(const struct command_spec *spec, const struct resp_command *cmd,
                      struct error *e) MUST_USE;
/* Between MULTI and EXEC Redis only looks at the number of arguments, and whether there is such a
 * subcommand; what else command_arity_ok objects to is its reply at EXEC. */
bool command_may_be_queued(const struct command_spec *spec, const struct resp_command *cmd);
/* Like first/last/step, but for this command line (some commands need a look at their arguments:
 * XADD with * is undetermined, with an id it isn't; SET with GET, GETEX without options is a read;
 * SORT without STORE; OBJECT/XGROUP/... whose keys stand behind a subcommand). Calls key(arg,
 * index) for each key, returns their number. index is its place in argv. */
size_t command_keys(const struct command_spec *spec, const struct resp_command *cmd,
                    size_t *indexes, size_t max);
/* The class and the flags of this command line, where they depend on its arguments. */
enum command_class command_class_of(const struct command_spec *spec,
                                    const struct resp_command *cmd);
/* The error text behind "ERR " where command_class_of says COMMAND_REFUSED. */
const char *command_refusal(const struct command_spec *spec, const struct resp_command *cmd);
/* EVAL, EVALSHA, FCALL, and their forms that only read. */
bool command_is_script(const struct command_spec *spec);
bool command_undetermined(const struct command_spec *spec, const struct resp_command *cmd);
/* Also when command_normalize is through with it. */
bool command_stays_undetermined(const struct command_spec *spec, const struct resp_command *cmd);
#define COMMAND_CLAIM_NONE                                                                         \
    "9223372036854775807" /* as the min-idle-time of XCLAIM: nothing has been idle for so long */
/* Where an XADD has what; 0: nowhere. */
struct xadd_parts {
    size_t trim, threshold; /* MAXLEN or MINID, and its value */
    bool about;             /* with ~ in between */
    size_t id;
};
void command_xadd_parts(const struct resp_command *cmd, struct xadd_parts *p);
/* Where an XREAD or XREADGROUP has what; 0: nowhere. False: its keys can't be told. */
struct xread_parts {
    size_t group; /* its name; the consumer's stands behind it */
    size_t count, block;
    bool noack;
    size_t first, n; /* so many keys; as many ids behind them */
};
bool command_xread_parts(const struct resp_command *cmd, struct xread_parts *p);
/* Those of its keys that a COMMAND_OVERWRITE overwrites, and so the ones whose stamp it sets:
 * SUNIONSTORE only reads the others. As command_keys; 0 for all other classes. */
size_t command_overwritten(const struct command_spec *spec, const struct resp_command *cmd,
                           size_t *indexes, size_t max);

/* Rewrites a write so that it means the same on every replica at any time: lifetimes become
 * absolute (SET EX|PX|EXAT -> PXAT, SETEX/PSETEX -> SET PXAT, EXPIRE/PEXPIRE/EXPIREAT -> PEXPIREAT,
 * GETEX EX -> PXAT, RESTORE ttl -> ABSTTL, XCLAIM IDLE -> TIME), and what is trimmed to about
 * so much (~ without LIMIT) is trimmed exactly. Appends the resulting RESP command
 * to `out` in any case (unchanged commands are re-encoded as an array). False with Redis's error
 * text when an argument is wrong ("ERR invalid expire time in 'set' command", "ERR value is not an
 * integer or out of range", "ERR syntax error"). now_ms: wall clock. */
bool command_normalize(const struct command_spec *spec, const struct resp_command *cmd,
                       uint64_t now_ms, struct buf *out, struct error *e) MUST_USE;

/* The reply of a write when nobody has it to give, because only a hint could be kept: +OK for SET
 * (without NX XX GET) and MSET. NULL: the reply depends on the data. */
const char *command_blind_reply(const struct command_spec *spec, const struct resp_command *cmd);

#endif
