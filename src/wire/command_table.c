#include "wire/command_table.h"

/* Redis 7.0's commands, sorted: name, number of arguments, keys (first, last, step), then what this
 * server makes of them. tests/unit/command-table.py compares names, numbers and keys with a running
 * redis-server; docs/commands.md shows the rest to users. */

#define EMBEDDED     COMMAND_EMBEDDED
#define SPLIT        COMMAND_SPLIT
#define UNDETERMINED COMMAND_UNDETERMINED
#define NODE_STORE   COMMAND_NODE_STORE
#define RECORD       COMMAND_RECORD

#define ROW_AS(how, class, reason, name, arity, first, last, step, flags, rule)                    \
    {                                                                                              \
        name, arity, first, last, step, COMMAND_##class, flags, reason, RULE_##rule, REPLY_##how   \
    }
#define ROW(...)          ROW_AS(EXACT, __VA_ARGS__)
#define READ(...)         ROW(READ, NULL, __VA_ARGS__)
#define READ_AS(how, ...) ROW_AS(how, READ, NULL, __VA_ARGS__)
#define OVERWRITE(...)    ROW(OVERWRITE, NULL, __VA_ARGS__)
#define CHANGE(...)       ROW(CHANGE, NULL, __VA_ARGS__)
#define LOCAL(...)        ROW(LOCAL, NULL, __VA_ARGS__)
#define REFUSED(name, arity, first, last, step, reason)                                            \
    ROW(REFUSED, reason, name, arity, first, last, step, 0, NONE)
/* Taken, but for some forms of it. */
#define PARTLY(...) PARTLY_AS(EXACT, __VA_ARGS__)
#define PARTLY_AS(how, name, arity, first, last, step, class, flags, rule, reason)                 \
    ROW_AS(how, class, reason, name, arity, first, last, step, flags, rule)

/* Why a command is refused, in words for whoever operates the application. */
#define UNSUPPORTED(name, why) "'" name "' isn't supported: " why
#define PLAIN(name)            "'" name "' isn't supported by this server"
#define BLOCKS(name)                                                                               \
    UNSUPPORTED(name, "it blocks, and all clients of a node share its connections to the store")
#define PUBSUB(name) UNSUPPORTED(name, "messages between clients aren't passed on to other nodes")
#define SCRIPT(name) UNSUPPORTED(name, "a script's effect can't be told from its arguments")
#define MOVABLE(name)                                                                              \
    UNSUPPORTED(name, "its keys don't stand at fixed places, so it can't be routed")
#define ONE_NODE(name)                                                                             \
    UNSUPPORTED(name, "it would act on the store of a single node; ask that store itself")
#define DATABASES(name) UNSUPPORTED(name, "there is only database 0")
#define CLUSTERED(name)                                                                            \
    UNSUPPORTED(name, "this isn't Redis Cluster, every node takes commands for every key")
#define PATTERNS(name)    "'" name "' isn't supported with a pattern that reads other keys"
#define COPY_DB(name)     "'" name "' isn't supported between databases: there is only database 0"
#define SUBCOMMANDS(name) "'" name "' isn't supported with a subcommand that names no key"

/* clang-format off */
static const struct command_spec table[] = {
    REFUSED(  "ACL",                 -2, 0, 0, 0,   ONE_NODE("ACL")),
    CHANGE(   "APPEND",              3,  1, 1, 1,   EMBEDDED, NONE),
    REFUSED(  "ASKING",              1,  0, 0, 0,   CLUSTERED("ASKING")),
    REFUSED(  "AUTH",                -2, 0, 0, 0,   PLAIN("AUTH")),
    REFUSED(  "BGREWRITEAOF",        1,  0, 0, 0,   ONE_NODE("BGREWRITEAOF")),
    REFUSED(  "BGSAVE",              -1, 0, 0, 0,   ONE_NODE("BGSAVE")),
    READ(     "BITCOUNT",            -2, 1, 1, 1,   0, NONE),
    CHANGE(   "BITFIELD",            -2, 1, 1, 1,   0, NONE),
    READ(     "BITFIELD_RO",         -2, 1, 1, 1,   0, NONE),
    OVERWRITE("BITOP",               -4, 2, -1, 1,  0, DESTINATION),
    READ(     "BITPOS",              -3, 1, 1, 1,   0, NONE),
    REFUSED(  "BLMOVE",              6,  1, 2, 1,   BLOCKS("BLMOVE")),
    REFUSED(  "BLMPOP",              -5, 0, 0, 0,   BLOCKS("BLMPOP")),
    REFUSED(  "BLPOP",               -3, 1, -2, 1,  BLOCKS("BLPOP")),
    REFUSED(  "BRPOP",               -3, 1, -2, 1,  BLOCKS("BRPOP")),
    REFUSED(  "BRPOPLPUSH",          4,  1, 2, 1,   BLOCKS("BRPOPLPUSH")),
    REFUSED(  "BZMPOP",              -5, 0, 0, 0,   BLOCKS("BZMPOP")),
    REFUSED(  "BZPOPMAX",            -3, 1, -2, 1,  BLOCKS("BZPOPMAX")),
    REFUSED(  "BZPOPMIN",            -3, 1, -2, 1,  BLOCKS("BZPOPMIN")),
    LOCAL(    "CLIENT",              -2, 0, 0, 0,   0, NONE),
    REFUSED(  "CLUSTER",             -2, 0, 0, 0,   CLUSTERED("CLUSTER")),
    LOCAL(    "COMMAND",             -1, 0, 0, 0,   0, NONE),
    REFUSED(  "CONFIG",              -2, 0, 0, 0,   ONE_NODE("CONFIG")),
    PARTLY(   "COPY",                -3, 1, 2, 1,   CHANGE, 0, COPY, COPY_DB("COPY")),
    LOCAL(    "DBSIZE",              1,  0, 0, 0,   NODE_STORE, NONE),
    REFUSED(  "DEBUG",               -2, 0, 0, 0,   ONE_NODE("DEBUG")),
    CHANGE(   "DECR",                2,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "DECRBY",              3,  1, 1, 1,   EMBEDDED, NONE),
    OVERWRITE("DEL",                 -2, 1, -1, 1,  EMBEDDED | SPLIT, NONE),
    LOCAL(    "DISCARD",             1,  0, 0, 0,   0, NONE),
    READ_AS(KIND, "DUMP", 2, 1, 1, 1, 0, NONE),
    LOCAL(    "ECHO",                2,  0, 0, 0,   0, NONE),
    CHANGE(   "EVAL",                -3, 0, 0, 0,   UNDETERMINED, EVAL),
    CHANGE(   "EVALSHA",             -3, 0, 0, 0,   UNDETERMINED, EVAL),
    READ(     "EVALSHA_RO",          -3, 0, 0, 0,   0, EVAL),
    READ(     "EVAL_RO",             -3, 0, 0, 0,   0, EVAL),
    LOCAL(    "EXEC",                1,  0, 0, 0,   0, NONE),
    READ(     "EXISTS",              -2, 1, -1, 1,  EMBEDDED | SPLIT, NONE),
    CHANGE(   "EXPIRE",              -3, 1, 1, 1,   EMBEDDED, EXPIRE),
    CHANGE(   "EXPIREAT",            -3, 1, 1, 1,   EMBEDDED, EXPIREAT),
    READ(     "EXPIRETIME",          2,  1, 1, 1,   EMBEDDED, NONE),
    REFUSED(  "FAILOVER",            -1, 0, 0, 0,   ONE_NODE("FAILOVER")),
    REFUSED(  "FCALL",               -3, 0, 0, 0,   SCRIPT("FCALL")),
    REFUSED(  "FCALL_RO",            -3, 0, 0, 0,   SCRIPT("FCALL_RO")),
    REFUSED(  "FLUSHALL",            -1, 0, 0, 0,   ONE_NODE("FLUSHALL")),
    REFUSED(  "FLUSHDB",             -1, 0, 0, 0,   ONE_NODE("FLUSHDB")),
    REFUSED(  "FUNCTION",            -2, 0, 0, 0,   SCRIPT("FUNCTION")),
    CHANGE(   "GEOADD",              -5, 1, 1, 1,   0, NONE),
    READ(     "GEODIST",             -4, 1, 1, 1,   0, NONE),
    READ(     "GEOHASH",             -2, 1, 1, 1,   0, NONE),
    READ(     "GEOPOS",              -2, 1, 1, 1,   0, NONE),
    CHANGE(   "GEORADIUS",           -6, 1, 1, 1,   0, GEORADIUS),
    CHANGE(   "GEORADIUSBYMEMBER",   -5, 1, 1, 1,   0, GEORADIUS),
    READ(     "GEORADIUSBYMEMBER_RO",-5, 1, 1, 1,   0, NONE),
    READ(     "GEORADIUS_RO",        -6, 1, 1, 1,   0, NONE),
    READ(     "GEOSEARCH",           -7, 1, 1, 1,   0, NONE),
    OVERWRITE("GEOSEARCHSTORE",      -8, 1, 2, 1,   0, DESTINATION),
    READ(     "GET",                 2,  1, 1, 1,   EMBEDDED, NONE),
    READ(     "GETBIT",              3,  1, 1, 1,   0, NONE),
    OVERWRITE("GETDEL",              2,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "GETEX",               -2, 1, 1, 1,   EMBEDDED, GETEX),
    READ(     "GETRANGE",            4,  1, 1, 1,   EMBEDDED, NONE),
    OVERWRITE("GETSET",              3,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "HDEL",                -3, 1, 1, 1,   0, NONE),
    LOCAL(    "HELLO",               -1, 0, 0, 0,   0, NONE),
    READ(     "HEXISTS",             3,  1, 1, 1,   0, NONE),
    READ(     "HGET",                3,  1, 1, 1,   0, NONE),
    READ_AS(PAIRS, "HGETALL", 2, 1, 1, 1, 0, NONE),
    CHANGE(   "HINCRBY",             4,  1, 1, 1,   0, NONE),
    CHANGE(   "HINCRBYFLOAT",        4,  1, 1, 1,   0, NONE),
    READ_AS(ELEMENTS, "HKEYS", 2, 1, 1, 1, 0, NONE),
    READ(     "HLEN",                2,  1, 1, 1,   0, NONE),
    READ(     "HMGET",               -3, 1, 1, 1,   0, NONE),
    CHANGE(   "HMSET",               -4, 1, 1, 1,   0, NONE),
    READ_AS(KIND, "HRANDFIELD", -2, 1, 1, 1, 0, NONE),
    READ_AS(KIND, "HSCAN", -3, 1, 1, 1, 0, NONE),
    CHANGE(   "HSET",                -4, 1, 1, 1,   0, NONE),
    CHANGE(   "HSETNX",              4,  1, 1, 1,   0, NONE),
    READ(     "HSTRLEN",             3,  1, 1, 1,   0, NONE),
    READ_AS(ELEMENTS, "HVALS", 2, 1, 1, 1, 0, NONE),
    CHANGE(   "INCR",                2,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "INCRBY",              3,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "INCRBYFLOAT",         3,  1, 1, 1,   EMBEDDED, NONE),
    LOCAL(    "INFO",                -1, 0, 0, 0,   0, NONE),
    REFUSED(  "KEYS",                2,  0, 0, 0,   PLAIN("KEYS")),
    REFUSED(  "LASTSAVE",            1,  0, 0, 0,   ONE_NODE("LASTSAVE")),
    REFUSED(  "LATENCY",             -2, 0, 0, 0,   ONE_NODE("LATENCY")),
    READ(     "LCS",                 -3, 1, 2, 1,   0, NONE),
    READ(     "LINDEX",              3,  1, 1, 1,   0, NONE),
    CHANGE(   "LINSERT",             5,  1, 1, 1,   0, NONE),
    READ(     "LLEN",                2,  1, 1, 1,   0, NONE),
    CHANGE(   "LMOVE",               5,  1, 2, 1,   0, NONE),
    REFUSED(  "LMPOP",               -4, 0, 0, 0,   MOVABLE("LMPOP")),
    REFUSED(  "LOLWUT",              -1, 0, 0, 0,   PLAIN("LOLWUT")),
    CHANGE(   "LPOP",                -2, 1, 1, 1,   0, NONE),
    READ(     "LPOS",                -3, 1, 1, 1,   0, NONE),
    CHANGE(   "LPUSH",               -3, 1, 1, 1,   0, NONE),
    CHANGE(   "LPUSHX",              -3, 1, 1, 1,   0, NONE),
    READ(     "LRANGE",              4,  1, 1, 1,   0, NONE),
    CHANGE(   "LREM",                4,  1, 1, 1,   0, NONE),
    CHANGE(   "LSET",                4,  1, 1, 1,   0, NONE),
    CHANGE(   "LTRIM",               4,  1, 1, 1,   0, NONE),
    PARTLY_AS(KIND, "MEMORY",              -2, 0, 0, 0,   READ, 0, SUBCOMMAND, SUBCOMMANDS("MEMORY")),
    READ(     "MGET",                -2, 1, -1, 1,  EMBEDDED | SPLIT, NONE),
    REFUSED(  "MIGRATE",             -6, 3, 3, 1,   ONE_NODE("MIGRATE")),
    REFUSED(  "MODULE",              -2, 0, 0, 0,   ONE_NODE("MODULE")),
    REFUSED(  "MONITOR",             1,  0, 0, 0,   ONE_NODE("MONITOR")),
    REFUSED(  "MOVE",                3,  1, 1, 1,   DATABASES("MOVE")),
    OVERWRITE("MSET",                -3, 1, -1, 2,  EMBEDDED | SPLIT, PAIRS),
    CHANGE(   "MSETNX",              -3, 1, -1, 2,  0, PAIRS),
    LOCAL(    "MULTI",               1,  0, 0, 0,   0, NONE),
    PARTLY_AS(KIND, "OBJECT",              -2, 0, 0, 0,   READ, 0, SUBCOMMAND, SUBCOMMANDS("OBJECT")),
    CHANGE(   "PERSIST",             2,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "PEXPIRE",             -3, 1, 1, 1,   EMBEDDED, PEXPIRE),
    CHANGE(   "PEXPIREAT",           -3, 1, 1, 1,   EMBEDDED, PEXPIREAT),
    READ(     "PEXPIRETIME",         2,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "PFADD",               -2, 1, 1, 1,   0, NONE),
    READ(     "PFCOUNT",             -2, 1, -1, 1,  0, NONE),
    REFUSED(  "PFDEBUG",             3,  2, 2, 1,   ONE_NODE("PFDEBUG")),
    CHANGE(   "PFMERGE",             -2, 1, -1, 1,  0, NONE),
    REFUSED(  "PFSELFTEST",          1,  0, 0, 0,   ONE_NODE("PFSELFTEST")),
    LOCAL(    "PING",                -1, 0, 0, 0,   0, NONE),
    OVERWRITE("PSETEX",              4,  1, 1, 1,   EMBEDDED, PSETEX),
    REFUSED(  "PSUBSCRIBE",          -2, 0, 0, 0,   PUBSUB("PSUBSCRIBE")),
    REFUSED(  "PSYNC",               -3, 0, 0, 0,   ONE_NODE("PSYNC")),
    READ_AS(MILLISECONDS, "PTTL", 2, 1, 1, 1, EMBEDDED, NONE),
    REFUSED(  "PUBLISH",             3,  0, 0, 0,   PUBSUB("PUBLISH")),
    REFUSED(  "PUBSUB",              -2, 0, 0, 0,   PUBSUB("PUBSUB")),
    REFUSED(  "PUNSUBSCRIBE",        -1, 0, 0, 0,   PUBSUB("PUNSUBSCRIBE")),
    LOCAL(    "QUIT",                -1, 0, 0, 0,   0, NONE),
    REFUSED(  "RANDOMKEY",           1,  0, 0, 0,   PLAIN("RANDOMKEY")),
    REFUSED(  "READONLY",            1,  0, 0, 0,   CLUSTERED("READONLY")),
    REFUSED(  "READWRITE",           1,  0, 0, 0,   CLUSTERED("READWRITE")),
    OVERWRITE("RENAME",              3,  1, 2, 1,   0, NONE),
    CHANGE(   "RENAMENX",            3,  1, 2, 1,   0, NONE),
    REFUSED(  "REPLCONF",            -1, 0, 0, 0,   ONE_NODE("REPLCONF")),
    REFUSED(  "REPLICAOF",           3,  0, 0, 0,   ONE_NODE("REPLICAOF")),
    REFUSED(  "RESET",               1,  0, 0, 0,   PLAIN("RESET")),
    CHANGE(   "RESTORE",             -4, 1, 1, 1,   0, RESTORE),
    REFUSED(  "RESTORE-ASKING",      -4, 1, 1, 1,   CLUSTERED("RESTORE-ASKING")),
    REFUSED(  "ROLE",                1,  0, 0, 0,   ONE_NODE("ROLE")),
    CHANGE(   "RPOP",                -2, 1, 1, 1,   0, NONE),
    CHANGE(   "RPOPLPUSH",           3,  1, 2, 1,   0, NONE),
    CHANGE(   "RPUSH",               -3, 1, 1, 1,   0, NONE),
    CHANGE(   "RPUSHX",              -3, 1, 1, 1,   0, NONE),
    CHANGE(   "SADD",                -3, 1, 1, 1,   0, NONE),
    REFUSED(  "SAVE",                1,  0, 0, 0,   ONE_NODE("SAVE")),
    LOCAL(    "SCAN",                -2, 0, 0, 0,   NODE_STORE, NONE),
    READ(     "SCARD",               2,  1, 1, 1,   0, NONE),
    REFUSED(  "SCRIPT",              -2, 0, 0, 0,   SCRIPT("SCRIPT")),
    READ_AS(ELEMENTS, "SDIFF", -2, 1, -1, 1, 0, NONE),
    OVERWRITE("SDIFFSTORE",          -3, 1, -1, 1,  0, DESTINATION),
    LOCAL(    "SELECT",              2,  0, 0, 0,   0, NONE),
    OVERWRITE("SET",                 -3, 1, 1, 1,   EMBEDDED, SET),
    CHANGE(   "SETBIT",              4,  1, 1, 1,   0, NONE),
    OVERWRITE("SETEX",               4,  1, 1, 1,   EMBEDDED, SETEX),
    CHANGE(   "SETNX",               3,  1, 1, 1,   EMBEDDED, NONE),
    CHANGE(   "SETRANGE",            4,  1, 1, 1,   EMBEDDED, NONE),
    REFUSED(  "SHUTDOWN",            -1, 0, 0, 0,   ONE_NODE("SHUTDOWN")),
    READ_AS(ELEMENTS, "SINTER", -2, 1, -1, 1, 0, NONE),
    REFUSED(  "SINTERCARD",          -3, 0, 0, 0,   MOVABLE("SINTERCARD")),
    OVERWRITE("SINTERSTORE",         -3, 1, -1, 1,  0, DESTINATION),
    READ(     "SISMEMBER",           3,  1, 1, 1,   0, NONE),
    REFUSED(  "SLAVEOF",             3,  0, 0, 0,   ONE_NODE("SLAVEOF")),
    REFUSED(  "SLOWLOG",             -2, 0, 0, 0,   ONE_NODE("SLOWLOG")),
    READ_AS(ELEMENTS, "SMEMBERS", 2, 1, 1, 1, 0, NONE),
    READ(     "SMISMEMBER",          -3, 1, 1, 1,   0, NONE),
    CHANGE(   "SMOVE",               4,  1, 2, 1,   0, NONE),
    PARTLY_AS(ELEMENTS, "SORT",                -2, 1, 1, 1,   CHANGE, 0, SORT, PATTERNS("SORT")),
    PARTLY_AS(ELEMENTS, "SORT_RO",             -2, 1, 1, 1,   READ, 0, SORT, PATTERNS("SORT_RO")),
    CHANGE(   "SPOP",                -2, 1, 1, 1,   UNDETERMINED, NONE),
    REFUSED(  "SPUBLISH",            3,  1, 1, 1,   PUBSUB("SPUBLISH")),
    READ_AS(KIND, "SRANDMEMBER", -2, 1, 1, 1, 0, NONE),
    CHANGE(   "SREM",                -3, 1, 1, 1,   0, NONE),
    READ_AS(KIND, "SSCAN", -3, 1, 1, 1, 0, NONE),
    REFUSED(  "SSUBSCRIBE",          -2, 1, -1, 1,  PUBSUB("SSUBSCRIBE")),
    READ(     "STRLEN",              2,  1, 1, 1,   EMBEDDED, NONE),
    REFUSED(  "SUBSCRIBE",           -2, 0, 0, 0,   PUBSUB("SUBSCRIBE")),
    READ(     "SUBSTR",              4,  1, 1, 1,   EMBEDDED, NONE),
    READ_AS(ELEMENTS, "SUNION", -2, 1, -1, 1, 0, NONE),
    OVERWRITE("SUNIONSTORE",         -3, 1, -1, 1,  0, DESTINATION),
    REFUSED(  "SUNSUBSCRIBE",        -1, 1, -1, 1,  PUBSUB("SUNSUBSCRIBE")),
    REFUSED(  "SWAPDB",              3,  0, 0, 0,   DATABASES("SWAPDB")),
    REFUSED(  "SYNC",                1,  0, 0, 0,   ONE_NODE("SYNC")),
    REFUSED(  "TIME",                1,  0, 0, 0,   PLAIN("TIME")),
    READ(     "TOUCH",               -2, 1, -1, 1,  EMBEDDED | SPLIT, NONE),
    CHANGE(   "TRANSACTION",         -3, 0, 0, 0,   EMBEDDED | RECORD, TRANSACTION),
    READ_AS(SECONDS, "TTL", 2, 1, 1, 1, EMBEDDED, NONE),
    READ(     "TYPE",                2,  1, 1, 1,   EMBEDDED, NONE),
    OVERWRITE("UNLINK",              -2, 1, -1, 1,  EMBEDDED | SPLIT, NONE),
    REFUSED(  "UNSUBSCRIBE",         -1, 0, 0, 0,   PUBSUB("UNSUBSCRIBE")),
    LOCAL(    "UNWATCH",             1,  0, 0, 0,   0, NONE),
    READ(     "VERSIONS",            -2, 1, -1, 1,  EMBEDDED | RECORD, NONE),
    REFUSED(  "WAIT",                3,  0, 0, 0,   BLOCKS("WAIT")),
    LOCAL(    "WATCH",               -2, 1, -1, 1,  0, NONE),
    CHANGE(   "XACK",                -4, 1, 1, 1,   0, NONE),
    CHANGE(   "XADD",                -5, 1, 1, 1,   0, XADD),
    CHANGE(   "XAUTOCLAIM",          -6, 1, 1, 1,   UNDETERMINED, NONE),
    CHANGE(   "XCLAIM",              -6, 1, 1, 1,   UNDETERMINED, XCLAIM),
    CHANGE(   "XDEL",                -3, 1, 1, 1,   0, NONE),
    PARTLY(   "XGROUP",              -2, 0, 0, 0,   CHANGE, 0, SUBCOMMAND, SUBCOMMANDS("XGROUP")),
    PARTLY_AS(KIND, "XINFO",               -2, 0, 0, 0,   READ, 0, SUBCOMMAND, SUBCOMMANDS("XINFO")),
    READ(     "XLEN",                2,  1, 1, 1,   0, NONE),
    READ_AS(KIND, "XPENDING", -3, 1, 1, 1, 0, NONE),
    READ(     "XRANGE",              -4, 1, 1, 1,   0, NONE),
    REFUSED(  "XREAD",               -4, 0, 0, 0,   MOVABLE("XREAD")),
    REFUSED(  "XREADGROUP",          -7, 0, 0, 0,   MOVABLE("XREADGROUP")),
    READ(     "XREVRANGE",           -4, 1, 1, 1,   0, NONE),
    CHANGE(   "XSETID",              -3, 1, 1, 1,   0, NONE),
    CHANGE(   "XTRIM",               -4, 1, 1, 1,   0, XTRIM),
    CHANGE(   "ZADD",                -4, 1, 1, 1,   0, NONE),
    READ(     "ZCARD",               2,  1, 1, 1,   0, NONE),
    READ(     "ZCOUNT",              4,  1, 1, 1,   0, NONE),
    REFUSED(  "ZDIFF",               -3, 0, 0, 0,   MOVABLE("ZDIFF")),
    REFUSED(  "ZDIFFSTORE",          -4, 1, 1, 1,   MOVABLE("ZDIFFSTORE")),
    CHANGE(   "ZINCRBY",             4,  1, 1, 1,   0, NONE),
    REFUSED(  "ZINTER",              -3, 0, 0, 0,   MOVABLE("ZINTER")),
    REFUSED(  "ZINTERCARD",          -3, 0, 0, 0,   MOVABLE("ZINTERCARD")),
    REFUSED(  "ZINTERSTORE",         -4, 1, 1, 1,   MOVABLE("ZINTERSTORE")),
    READ(     "ZLEXCOUNT",           4,  1, 1, 1,   0, NONE),
    REFUSED(  "ZMPOP",               -4, 0, 0, 0,   MOVABLE("ZMPOP")),
    READ(     "ZMSCORE",             -3, 1, 1, 1,   0, NONE),
    CHANGE(   "ZPOPMAX",             -2, 1, 1, 1,   0, NONE),
    CHANGE(   "ZPOPMIN",             -2, 1, 1, 1,   0, NONE),
    READ_AS(KIND, "ZRANDMEMBER", -2, 1, 1, 1, 0, NONE),
    READ(     "ZRANGE",              -4, 1, 1, 1,   0, NONE),
    READ(     "ZRANGEBYLEX",         -4, 1, 1, 1,   0, NONE),
    READ(     "ZRANGEBYSCORE",       -4, 1, 1, 1,   0, NONE),
    OVERWRITE("ZRANGESTORE",         -5, 1, 2, 1,   0, DESTINATION),
    READ(     "ZRANK",               3,  1, 1, 1,   0, NONE),
    CHANGE(   "ZREM",                -3, 1, 1, 1,   0, NONE),
    CHANGE(   "ZREMRANGEBYLEX",      4,  1, 1, 1,   0, NONE),
    CHANGE(   "ZREMRANGEBYRANK",     4,  1, 1, 1,   0, NONE),
    CHANGE(   "ZREMRANGEBYSCORE",    4,  1, 1, 1,   0, NONE),
    READ(     "ZREVRANGE",           -4, 1, 1, 1,   0, NONE),
    READ(     "ZREVRANGEBYLEX",      -4, 1, 1, 1,   0, NONE),
    READ(     "ZREVRANGEBYSCORE",    -4, 1, 1, 1,   0, NONE),
    READ(     "ZREVRANK",            3,  1, 1, 1,   0, NONE),
    READ_AS(KIND, "ZSCAN", -3, 1, 1, 1, 0, NONE),
    READ(     "ZSCORE",              3,  1, 1, 1,   0, NONE),
    REFUSED(  "ZUNION",              -3, 0, 0, 0,   MOVABLE("ZUNION")),
    REFUSED(  "ZUNIONSTORE",         -4, 1, 1, 1,   MOVABLE("ZUNIONSTORE")),
};

static const struct command_sub subs[] = {
    {"MEMORY", "DOCTOR", 2, 0},
    {"MEMORY", "HELP", 2, 0},
    {"MEMORY", "MALLOC-STATS", 2, 0},
    {"MEMORY", "PURGE", 2, 0},
    {"MEMORY", "STATS", 2, 0},
    {"MEMORY", "USAGE", -3, 2},
    {"OBJECT", "ENCODING", 3, 2},
    {"OBJECT", "FREQ", 3, 2},
    {"OBJECT", "HELP", 2, 0},
    {"OBJECT", "IDLETIME", 3, 2},
    {"OBJECT", "REFCOUNT", 3, 2},
    {"XGROUP", "CREATE", -5, 2},
    {"XGROUP", "CREATECONSUMER", 5, 2},
    {"XGROUP", "DELCONSUMER", 5, 2},
    {"XGROUP", "DESTROY", 4, 2},
    {"XGROUP", "HELP", 2, 0},
    {"XGROUP", "SETID", -5, 2},
    {"XINFO", "CONSUMERS", 4, 2},
    {"XINFO", "GROUPS", 3, 2},
    {"XINFO", "HELP", 2, 0},
    {"XINFO", "STREAM", -3, 2},
};
/* clang-format on */

const struct command_spec *command_table(size_t *n)
{
    *n = ARRAY_LEN(table);
    return table;
}

const struct command_sub *command_subs(size_t *n)
{
    *n = ARRAY_LEN(subs);
    return subs;
}
