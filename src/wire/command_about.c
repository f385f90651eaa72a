#include "wire/command_about.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Name, flags, categories, tips, keys; of a subcommand its number of arguments. */
#define ABOUT(name, flags, group, tips, keys)                                                      \
    {                                                                                              \
        name, flags, group, tips, keys, 0                                                          \
    }
#define SUB(name, arity, flags, group, tips, keys)                                                 \
    {                                                                                              \
        name, flags, group, tips, keys, arity                                                      \
    }

/* What several of them have. */
#define STALE   "loading stale"
#define ADMIN   "admin noscript " STALE
#define SILENT  "noscript " STALE
#define VARIES  "nondeterministic_output"
#define ORDER   "nondeterministic_output_order"
#define SHARDS  "request_policy:all_shards"
#define NODES   "request_policy:all_nodes"
#define SUCCEED "response_policy:all_succeeded"

/* clang-format off */
static const struct command_about table[] = {
    ABOUT("ACL", "", "", "", ""),
    SUB("ACL|CAT", -2, SILENT, "", "", ""),
    SUB("ACL|DELUSER", -3, ADMIN, "", "", ""),
    SUB("ACL|DRYRUN", -4, ADMIN, "", "", ""),
    SUB("ACL|GENPASS", -2, SILENT, "", "", ""),
    SUB("ACL|GETUSER", 3, ADMIN, "", "", ""),
    SUB("ACL|HELP", 2, STALE, "", "", ""),
    SUB("ACL|LIST", 2, ADMIN, "", "", ""),
    SUB("ACL|LOAD", 2, ADMIN, "", "", ""),
    SUB("ACL|LOG", -2, ADMIN, "", "", ""),
    SUB("ACL|SAVE", 2, ADMIN, "", "", ""),
    SUB("ACL|SETUSER", -3, ADMIN, "", "", ""),
    SUB("ACL|USERS", 2, ADMIN, "", "", ""),
    SUB("ACL|WHOAMI", 2, SILENT, "", "", ""),
    ABOUT("APPEND", "write denyoom fast", "string", "", "RW insert@1"),
    ABOUT("ASKING", "fast", "connection", "", ""),
    ABOUT("AUTH", "noscript loading stale fast no_auth allow_busy", "connection", "", ""),
    ABOUT("BGREWRITEAOF", "admin noscript no_async_loading", "", "", ""),
    ABOUT("BGSAVE", "admin noscript no_async_loading", "", "", ""),
    ABOUT("BITCOUNT", "readonly", "bitmap", "", "RO access@1"),
    ABOUT("BITFIELD", "write denyoom", "bitmap", "", "RW access update variable_flags@1"),
    ABOUT("BITFIELD_RO", "readonly fast", "bitmap", "", "RO access@1"),
    ABOUT("BITOP", "write denyoom", "bitmap", "", "OW update@2; RO access@3..-1"),
    ABOUT("BITPOS", "readonly", "bitmap", "", "RO access@1"),
    ABOUT("BLMOVE", "write denyoom noscript blocking", "list", "", "RW access delete@1; RW insert@2"),
    ABOUT("BLMPOP", "write blocking movablekeys", "list", "", "RW access delete@2#"),
    ABOUT("BLPOP", "write noscript blocking", "list", "", "RW access delete@1..-2"),
    ABOUT("BRPOP", "write noscript blocking", "list", "", "RW access delete@1..-2"),
    ABOUT("BRPOPLPUSH", "write denyoom noscript blocking", "list", "", "RW access delete@1; RW insert@2"),
    ABOUT("BZMPOP", "write blocking movablekeys", "sortedset", "", "RW access delete@2#"),
    ABOUT("BZPOPMAX", "write noscript blocking fast", "sortedset", "", "RW access delete@1..-2"),
    ABOUT("BZPOPMIN", "write noscript blocking fast", "sortedset", "", "RW access delete@1..-2"),
    ABOUT("CLIENT", "", "", "", ""),
    SUB("CLIENT|CACHING", 3, SILENT, "connection", "", ""),
    SUB("CLIENT|GETNAME", 2, SILENT, "connection", "", ""),
    SUB("CLIENT|GETREDIR", 2, SILENT, "connection", "", ""),
    SUB("CLIENT|HELP", 2, STALE, "connection", "", ""),
    SUB("CLIENT|ID", 2, SILENT, "connection", "", ""),
    SUB("CLIENT|INFO", 2, SILENT, "connection", VARIES, ""),
    SUB("CLIENT|KILL", -3, ADMIN, "connection", "", ""),
    SUB("CLIENT|LIST", -2, ADMIN, "connection", VARIES, ""),
    SUB("CLIENT|NO-EVICT", 3, ADMIN, "connection", "", ""),
    SUB("CLIENT|PAUSE", -3, ADMIN, "connection", "", ""),
    SUB("CLIENT|REPLY", 3, SILENT, "connection", "", ""),
    SUB("CLIENT|SETNAME", 3, SILENT, "connection", "", ""),
    SUB("CLIENT|TRACKING", -3, SILENT, "connection", "", ""),
    SUB("CLIENT|TRACKINGINFO", 2, SILENT, "connection", "", ""),
    SUB("CLIENT|UNBLOCK", -3, ADMIN, "connection", "", ""),
    SUB("CLIENT|UNPAUSE", 2, ADMIN, "connection", "", ""),
    ABOUT("CLUSTER", "", "", "", ""),
    SUB("CLUSTER|ADDSLOTS", -3, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|ADDSLOTSRANGE", -4, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|BUMPEPOCH", 2, "admin stale no_async_loading", "", VARIES, ""),
    SUB("CLUSTER|COUNT-FAILURE-REPORTS", 3, "admin stale", "", VARIES, ""),
    SUB("CLUSTER|COUNTKEYSINSLOT", 3, "stale", "", "", ""),
    SUB("CLUSTER|DELSLOTS", -3, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|DELSLOTSRANGE", -4, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|FAILOVER", -2, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|FLUSHSLOTS", 2, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|FORGET", 3, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|GETKEYSINSLOT", 4, "stale", "", VARIES, ""),
    SUB("CLUSTER|HELP", 2, STALE, "", "", ""),
    SUB("CLUSTER|INFO", 2, "stale", "", VARIES, ""),
    SUB("CLUSTER|KEYSLOT", 3, "stale", "", "", ""),
    SUB("CLUSTER|LINKS", 2, "stale", "", VARIES, ""),
    SUB("CLUSTER|MEET", -4, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|MYID", 2, "stale", "", "", ""),
    SUB("CLUSTER|NODES", 2, "stale", "", VARIES, ""),
    SUB("CLUSTER|REPLICAS", 3, "admin stale", "", VARIES, ""),
    SUB("CLUSTER|REPLICATE", 3, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|RESET", -2, "admin noscript stale", "", "", ""),
    SUB("CLUSTER|SAVECONFIG", 2, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|SET-CONFIG-EPOCH", 3, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|SETSLOT", -4, "admin stale no_async_loading", "", "", ""),
    SUB("CLUSTER|SHARDS", 2, "stale", "", VARIES, ""),
    SUB("CLUSTER|SLAVES", 3, "admin stale", "", VARIES, ""),
    SUB("CLUSTER|SLOTS", 2, "stale", "", VARIES, ""),
    ABOUT("COMMAND", STALE, "connection", ORDER, ""),
    SUB("COMMAND|COUNT", 2, STALE, "connection", "", ""),
    SUB("COMMAND|DOCS", -2, STALE, "connection", ORDER, ""),
    SUB("COMMAND|GETKEYS", -4, STALE, "connection", "", ""),
    SUB("COMMAND|GETKEYSANDFLAGS", -4, STALE, "connection", "", ""),
    SUB("COMMAND|HELP", 2, STALE, "connection", "", ""),
    SUB("COMMAND|INFO", -2, STALE, "connection", ORDER, ""),
    SUB("COMMAND|LIST", -2, STALE, "connection", ORDER, ""),
    ABOUT("CONFIG", "", "", "", ""),
    SUB("CONFIG|GET", -3, ADMIN, "", "", ""),
    SUB("CONFIG|HELP", 2, STALE, "", "", ""),
    SUB("CONFIG|RESETSTAT", 2, ADMIN, "", "", ""),
    SUB("CONFIG|REWRITE", 2, ADMIN, "", "", ""),
    SUB("CONFIG|SET", -4, ADMIN, "", NODES " " SUCCEED, ""),
    ABOUT("COPY", "write denyoom", "keyspace", "", "RO access@1; OW update@2"),
    ABOUT("DBSIZE", "readonly fast", "keyspace", SHARDS " response_policy:agg_sum", ""),
    ABOUT("DEBUG", ADMIN, "", "", ""),
    ABOUT("DECR", "write denyoom fast", "string", "", "RW access update@1"),
    ABOUT("DECRBY", "write denyoom fast", "string", "", "RW access update@1"),
    ABOUT("DEL", "write", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RM delete@1..-1"),
    ABOUT("DISCARD", "noscript loading stale fast allow_busy", "transaction", "", ""),
    ABOUT("DUMP", "readonly", "keyspace", VARIES, "RO access@1"),
    ABOUT("ECHO", "loading stale fast", "connection", "", ""),
    ABOUT("EVAL", "noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RW access update@2#"),
    ABOUT("EVALSHA", "noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RW access update@2#"),
    ABOUT("EVALSHA_RO", "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RO access@2#"),
    ABOUT("EVAL_RO", "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RO access@2#"),
    ABOUT("EXEC", "noscript loading stale skip_slowlog", "transaction", "", ""),
    ABOUT("EXISTS", "readonly fast", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RO@1..-1"),
    ABOUT("EXPIRE", "write fast", "keyspace", "", "RW update@1"),
    ABOUT("EXPIREAT", "write fast", "keyspace", "", "RW update@1"),
    ABOUT("EXPIRETIME", "readonly fast", "keyspace", "", "RO access@1"),
    ABOUT("FAILOVER", "admin noscript stale", "", "", ""),
    ABOUT("FCALL", "noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RW access update@2#"),
    ABOUT("FCALL_RO", "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RO access@2#"),
    ABOUT("FLUSHALL", "write", "keyspace dangerous", SHARDS " " SUCCEED, ""),
    ABOUT("FLUSHDB", "write", "keyspace dangerous", SHARDS " " SUCCEED, ""),
    ABOUT("FUNCTION", "", "", "", ""),
    SUB("FUNCTION|DELETE", 3, "write noscript", "scripting", SHARDS " " SUCCEED, ""),
    SUB("FUNCTION|DUMP", 2, "noscript", "scripting", "", ""),
    SUB("FUNCTION|FLUSH", -2, "write noscript", "scripting", SHARDS " " SUCCEED, ""),
    SUB("FUNCTION|HELP", 2, STALE, "scripting", "", ""),
    SUB("FUNCTION|KILL", 2, "noscript allow_busy", "scripting", SHARDS " response_policy:one_succeeded", ""),
    SUB("FUNCTION|LIST", -2, "noscript", "scripting", ORDER, ""),
    SUB("FUNCTION|LOAD", -3, "write denyoom noscript", "scripting", SHARDS " " SUCCEED, ""),
    SUB("FUNCTION|RESTORE", -3, "write denyoom noscript", "scripting", SHARDS " " SUCCEED, ""),
    SUB("FUNCTION|STATS", 2, "noscript allow_busy", "scripting", VARIES " " SHARDS " response_policy:special", ""),
    ABOUT("GEOADD", "write denyoom", "geo", "", "RW update@1"),
    ABOUT("GEODIST", "readonly", "geo", "", "RO access@1"),
    ABOUT("GEOHASH", "readonly", "geo", "", "RO access@1"),
    ABOUT("GEOPOS", "readonly", "geo", "", "RO access@1"),
    ABOUT("GEORADIUS", "write denyoom movablekeys", "geo", "", "RO access@1; OW update@STORE:6; OW update@STOREDIST:6"),
    ABOUT("GEORADIUSBYMEMBER", "write denyoom movablekeys", "geo", "", "RO access@1; OW update@STORE:5; OW update@STOREDIST:5"),
    ABOUT("GEORADIUSBYMEMBER_RO", "readonly", "geo", "", "RO access@1"),
    ABOUT("GEORADIUS_RO", "readonly", "geo", "", "RO access@1"),
    ABOUT("GEOSEARCH", "readonly", "geo", "", "RO access@1"),
    ABOUT("GEOSEARCHSTORE", "write denyoom", "geo", "", "OW update@1; RO access@2"),
    ABOUT("GET", "readonly fast", "string", "", "RO access@1"),
    ABOUT("GETBIT", "readonly fast", "bitmap", "", "RO access@1"),
    ABOUT("GETDEL", "write fast", "string", "", "RW access delete@1"),
    ABOUT("GETEX", "write fast", "string", "", "RW access update@1"),
    ABOUT("GETRANGE", "readonly", "string", "", "RO access@1"),
    ABOUT("GETSET", "write denyoom fast", "string", "", "RW access update@1"),
    ABOUT("HDEL", "write fast", "hash", "", "RW delete@1"),
    ABOUT("HELLO", "noscript loading stale fast no_auth allow_busy", "connection", "", ""),
    ABOUT("HEXISTS", "readonly fast", "hash", "", "RO@1"),
    ABOUT("HGET", "readonly fast", "hash", "", "RO access@1"),
    ABOUT("HGETALL", "readonly", "hash", ORDER, "RO access@1"),
    ABOUT("HINCRBY", "write denyoom fast", "hash", "", "RW access update@1"),
    ABOUT("HINCRBYFLOAT", "write denyoom fast", "hash", "", "RW access update@1"),
    ABOUT("HKEYS", "readonly", "hash", ORDER, "RO access@1"),
    ABOUT("HLEN", "readonly fast", "hash", "", "RO@1"),
    ABOUT("HMGET", "readonly fast", "hash", "", "RO access@1"),
    ABOUT("HMSET", "write denyoom fast", "hash", "", "RW update@1"),
    ABOUT("HRANDFIELD", "readonly", "hash", VARIES, "RO access@1"),
    ABOUT("HSCAN", "readonly", "hash", VARIES, "RO access@1"),
    ABOUT("HSET", "write denyoom fast", "hash", "", "RW update@1"),
    ABOUT("HSETNX", "write denyoom fast", "hash", "", "RW insert@1"),
    ABOUT("HSTRLEN", "readonly fast", "hash", "", "RO@1"),
    ABOUT("HVALS", "readonly", "hash", ORDER, "RO access@1"),
    ABOUT("INCR", "write denyoom fast", "string", "", "RW access update@1"),
    ABOUT("INCRBY", "write denyoom fast", "string", "", "RW access update@1"),
    ABOUT("INCRBYFLOAT", "write denyoom fast", "string", "", "RW access update@1"),
    ABOUT("INFO", STALE, "dangerous", VARIES " " SHARDS " response_policy:special", ""),
    ABOUT("KEYS", "readonly", "keyspace dangerous", SHARDS " " ORDER, ""),
    ABOUT("LASTSAVE", "loading stale fast", "admin dangerous", VARIES, ""),
    ABOUT("LATENCY", "", "", "", ""),
    SUB("LATENCY|DOCTOR", 2, ADMIN, "", VARIES " " NODES " response_policy:special", ""),
    SUB("LATENCY|GRAPH", 3, ADMIN, "", VARIES " " NODES " response_policy:special", ""),
    SUB("LATENCY|HELP", 2, STALE, "", "", ""),
    SUB("LATENCY|HISTOGRAM", -2, ADMIN, "", VARIES " " NODES " response_policy:special", ""),
    SUB("LATENCY|HISTORY", 3, ADMIN, "", VARIES " " NODES " response_policy:special", ""),
    SUB("LATENCY|LATEST", 2, ADMIN, "", VARIES " " NODES " response_policy:special", ""),
    SUB("LATENCY|RESET", -2, ADMIN, "", NODES " " SUCCEED, ""),
    ABOUT("LCS", "readonly", "string", "", "RO access@1..1"),
    ABOUT("LINDEX", "readonly", "list", "", "RO access@1"),
    ABOUT("LINSERT", "write denyoom", "list", "", "RW insert@1"),
    ABOUT("LLEN", "readonly fast", "list", "", "RO@1"),
    ABOUT("LMOVE", "write denyoom", "list", "", "RW access delete@1; RW insert@2"),
    ABOUT("LMPOP", "write movablekeys", "list", "", "RW access delete@1#"),
    ABOUT("LOLWUT", "readonly fast", "", "", ""),
    ABOUT("LPOP", "write fast", "list", "", "RW access delete@1"),
    ABOUT("LPOS", "readonly", "list", "", "RO access@1"),
    ABOUT("LPUSH", "write denyoom fast", "list", "", "RW insert@1"),
    ABOUT("LPUSHX", "write denyoom fast", "list", "", "RW insert@1"),
    ABOUT("LRANGE", "readonly", "list", "", "RO access@1"),
    ABOUT("LREM", "write", "list", "", "RW delete@1"),
    ABOUT("LSET", "write denyoom", "list", "", "RW update@1"),
    ABOUT("LTRIM", "write", "list", "", "RW delete@1"),
    ABOUT("MEMORY", "", "", "", ""),
    SUB("MEMORY|DOCTOR", 2, "", "", VARIES " " SHARDS " response_policy:special", ""),
    SUB("MEMORY|HELP", 2, STALE, "", "", ""),
    SUB("MEMORY|MALLOC-STATS", 2, "", "", VARIES " " SHARDS " response_policy:special", ""),
    SUB("MEMORY|PURGE", 2, "", "", SHARDS " " SUCCEED, ""),
    SUB("MEMORY|STATS", 2, "", "", VARIES " " SHARDS " response_policy:special", ""),
    SUB("MEMORY|USAGE", -3, "readonly", "", "", "RO@2"),
    ABOUT("MGET", "readonly fast", "string", "request_policy:multi_shard", "RO access@1..-1"),
    ABOUT("MIGRATE", "write movablekeys", "keyspace dangerous", VARIES, "RW access delete@3; RW access delete incomplete@KEYS:-2..-1"),
    ABOUT("MODULE", "", "", "", ""),
    SUB("MODULE|HELP", 2, STALE, "", "", ""),
    SUB("MODULE|LIST", 2, "admin noscript", "", ORDER, ""),
    SUB("MODULE|LOAD", -3, "admin noscript no_async_loading", "", "", ""),
    SUB("MODULE|LOADEX", -3, "admin noscript no_async_loading", "", "", ""),
    SUB("MODULE|UNLOAD", 3, "admin noscript no_async_loading", "", "", ""),
    ABOUT("MONITOR", ADMIN, "", "", ""),
    ABOUT("MOVE", "write fast", "keyspace", "", "RW access update@1"),
    ABOUT("MSET", "write denyoom", "string", "request_policy:multi_shard" " " SUCCEED, "OW update@1..-1/2"),
    ABOUT("MSETNX", "write denyoom", "string", "request_policy:multi_shard" " response_policy:agg_min", "OW insert@1..-1/2"),
    ABOUT("MULTI", "noscript loading stale fast allow_busy", "transaction", "", ""),
    ABOUT("OBJECT", "", "", "", ""),
    SUB("OBJECT|ENCODING", 3, "readonly", "keyspace", VARIES, "RO@2"),
    SUB("OBJECT|FREQ", 3, "readonly", "keyspace", VARIES, "RO@2"),
    SUB("OBJECT|HELP", 2, STALE, "keyspace", "", ""),
    SUB("OBJECT|IDLETIME", 3, "readonly", "keyspace", VARIES, "RO@2"),
    SUB("OBJECT|REFCOUNT", 3, "readonly", "keyspace", VARIES, "RO@2"),
    ABOUT("PERSIST", "write fast", "keyspace", "", "RW update@1"),
    ABOUT("PEXPIRE", "write fast", "keyspace", "", "RW update@1"),
    ABOUT("PEXPIREAT", "write fast", "keyspace", "", "RW update@1"),
    ABOUT("PEXPIRETIME", "readonly fast", "keyspace", "", "RO access@1"),
    ABOUT("PFADD", "write denyoom fast", "hyperloglog", "", "RW insert@1"),
    ABOUT("PFCOUNT", "readonly", "hyperloglog", "", "RW access@1..-1"),
    ABOUT("PFDEBUG", "write denyoom admin", "hyperloglog", "", "RW access@2"),
    ABOUT("PFMERGE", "write denyoom", "hyperloglog", "", "RW access insert@1; RO access@2..-1"),
    ABOUT("PFSELFTEST", "admin", "hyperloglog", "", ""),
    ABOUT("PING", "fast", "connection", SHARDS " " SUCCEED, ""),
    ABOUT("PSETEX", "write denyoom", "string", "", "OW update@1"),
    ABOUT("PSUBSCRIBE", "pubsub noscript loading stale", "", "", ""),
    ABOUT("PSYNC", "admin noscript no_async_loading no_multi", "", "", ""),
    ABOUT("PTTL", "readonly fast", "keyspace", VARIES, "RO access@1"),
    ABOUT("PUBLISH", "pubsub loading stale fast", "", "", ""),
    ABOUT("PUBSUB", "", "", "", ""),
    SUB("PUBSUB|CHANNELS", -2, "pubsub loading stale", "", "", ""),
    SUB("PUBSUB|HELP", 2, STALE, "", "", ""),
    SUB("PUBSUB|NUMPAT", 2, "pubsub loading stale", "", "", ""),
    SUB("PUBSUB|NUMSUB", -2, "pubsub loading stale", "", "", ""),
    SUB("PUBSUB|SHARDCHANNELS", -2, "pubsub loading stale", "", "", ""),
    SUB("PUBSUB|SHARDNUMSUB", -2, "pubsub loading stale", "", "", ""),
    ABOUT("PUNSUBSCRIBE", "pubsub noscript loading stale", "", "", ""),
    ABOUT("QUIT", "noscript loading stale fast no_auth allow_busy", "connection", "", ""),
    ABOUT("RANDOMKEY", "readonly", "keyspace", SHARDS " " VARIES, ""),
    ABOUT("READONLY", "loading stale fast", "connection", "", ""),
    ABOUT("READWRITE", "loading stale fast", "connection", "", ""),
    ABOUT("RENAME", "write", "keyspace", "", "RW access delete@1; OW update@2"),
    ABOUT("RENAMENX", "write fast", "keyspace", "", "RW access delete@1; OW insert@2"),
    ABOUT("REPLCONF", "admin noscript loading stale allow_busy", "", "", ""),
    ABOUT("REPLICAOF", "admin noscript stale no_async_loading", "", "", ""),
    ABOUT("RESET", "noscript loading stale fast no_auth allow_busy", "connection", "", ""),
    ABOUT("RESTORE", "write denyoom", "keyspace dangerous", "", "OW update@1"),
    ABOUT("RESTORE-ASKING", "write denyoom asking", "keyspace dangerous", "", "OW update@1"),
    ABOUT("ROLE", "noscript loading stale fast", "admin dangerous", "", ""),
    ABOUT("RPOP", "write fast", "list", "", "RW access delete@1"),
    ABOUT("RPOPLPUSH", "write denyoom", "list", "", "RW access delete@1; RW insert@2"),
    ABOUT("RPUSH", "write denyoom fast", "list", "", "RW insert@1"),
    ABOUT("RPUSHX", "write denyoom fast", "list", "", "RW insert@1"),
    ABOUT("SADD", "write denyoom fast", "set", "", "RW insert@1"),
    ABOUT("SAVE", "admin noscript no_async_loading no_multi", "", "", ""),
    ABOUT("SCAN", "readonly", "keyspace", VARIES " request_policy:special", ""),
    ABOUT("SCARD", "readonly fast", "set", "", "RO@1"),
    ABOUT("SCRIPT", "", "", "", ""),
    SUB("SCRIPT|DEBUG", 3, "noscript", "scripting", "", ""),
    SUB("SCRIPT|EXISTS", -3, "noscript", "scripting", SHARDS " response_policy:agg_logical_and", ""),
    SUB("SCRIPT|FLUSH", -2, "noscript", "scripting", NODES " " SUCCEED, ""),
    SUB("SCRIPT|HELP", 2, STALE, "scripting", "", ""),
    SUB("SCRIPT|KILL", 2, "noscript allow_busy", "scripting", SHARDS " response_policy:one_succeeded", ""),
    SUB("SCRIPT|LOAD", 3, "noscript stale", "scripting", NODES " " SUCCEED, ""),
    ABOUT("SDIFF", "readonly", "set", ORDER, "RO access@1..-1"),
    ABOUT("SDIFFSTORE", "write denyoom", "set", "", "OW update@1; RO access@2..-1"),
    ABOUT("SELECT", "loading stale fast", "connection", "", ""),
    ABOUT("SET", "write denyoom", "string", "", "RW access update variable_flags@1"),
    ABOUT("SETBIT", "write denyoom", "bitmap", "", "RW access update@1"),
    ABOUT("SETEX", "write denyoom", "string", "", "OW update@1"),
    ABOUT("SETNX", "write denyoom fast", "string", "", "OW insert@1"),
    ABOUT("SETRANGE", "write denyoom", "string", "", "RW update@1"),
    ABOUT("SHUTDOWN", "admin noscript loading stale no_multi allow_busy", "", "", ""),
    ABOUT("SINTER", "readonly", "set", ORDER, "RO access@1..-1"),
    ABOUT("SINTERCARD", "readonly movablekeys", "set", "", "RO access@1#"),
    ABOUT("SINTERSTORE", "write denyoom", "set", "", "RW update@1; RO access@2..-1"),
    ABOUT("SISMEMBER", "readonly fast", "set", "", "RO@1"),
    ABOUT("SLAVEOF", "admin noscript stale no_async_loading", "", "", ""),
    ABOUT("SLOWLOG", "", "", "", ""),
    SUB("SLOWLOG|GET", -2, "admin loading stale", "", NODES " " VARIES, ""),
    SUB("SLOWLOG|HELP", 2, STALE, "", "", ""),
    SUB("SLOWLOG|LEN", 2, "admin loading stale", "", NODES " response_policy:agg_sum" " " VARIES, ""),
    SUB("SLOWLOG|RESET", 2, "admin loading stale", "", NODES " " SUCCEED, ""),
    ABOUT("SMEMBERS", "readonly", "set", ORDER, "RO access@1"),
    ABOUT("SMISMEMBER", "readonly fast", "set", "", "RO access@1"),
    ABOUT("SMOVE", "write fast", "set", "", "RW access delete@1; RW insert@2"),
    ABOUT("SORT", "write denyoom movablekeys", "set sortedset list dangerous", "", "RO access@1; RO access@?; OW update@?"),
    ABOUT("SORT_RO", "readonly movablekeys", "set sortedset list dangerous", "", "RO access@1; RO access@?"),
    ABOUT("SPOP", "write fast", "set", VARIES, "RW access delete@1"),
    ABOUT("SPUBLISH", "pubsub loading stale fast", "", "", "not_key@1"),
    ABOUT("SRANDMEMBER", "readonly", "set", VARIES, "RO access@1"),
    ABOUT("SREM", "write fast", "set", "", "RW delete@1"),
    ABOUT("SSCAN", "readonly", "set", VARIES, "RO access@1"),
    ABOUT("SSUBSCRIBE", "pubsub noscript loading stale", "", "", "not_key@1..-1"),
    ABOUT("STRLEN", "readonly fast", "string", "", "RO@1"),
    ABOUT("SUBSCRIBE", "pubsub noscript loading stale", "", "", ""),
    ABOUT("SUBSTR", "readonly", "string", "", "RO access@1"),
    ABOUT("SUNION", "readonly", "set", ORDER, "RO access@1..-1"),
    ABOUT("SUNIONSTORE", "write denyoom", "set", "", "OW update@1; RO access@2..-1"),
    ABOUT("SUNSUBSCRIBE", "pubsub noscript loading stale", "", "", "not_key@1..-1"),
    ABOUT("SWAPDB", "write fast", "keyspace dangerous", "", ""),
    ABOUT("SYNC", "admin noscript no_async_loading no_multi", "", "", ""),
    ABOUT("TIME", "loading stale fast", "", VARIES, ""),
    ABOUT("TOUCH", "readonly fast", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RO@1..-1"),
    ABOUT("TTL", "readonly fast", "keyspace", VARIES, "RO access@1"),
    ABOUT("TYPE", "readonly fast", "keyspace", "", "RO@1"),
    ABOUT("UNLINK", "write fast", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RM delete@1..-1"),
    ABOUT("UNSUBSCRIBE", "pubsub noscript loading stale", "", "", ""),
    ABOUT("UNWATCH", "noscript loading stale fast allow_busy", "transaction", "", ""),
    ABOUT("WAIT", "noscript", "connection", SHARDS " response_policy:agg_min", ""),
    ABOUT("WATCH", "noscript loading stale fast allow_busy", "transaction", "", "RO@1..-1"),
    ABOUT("XACK", "write fast", "stream", "", "RW update@1"),
    ABOUT("XADD", "write denyoom fast", "stream", VARIES, "RW update@1"),
    ABOUT("XAUTOCLAIM", "write fast", "stream", VARIES, "RW delete@1"),
    ABOUT("XCLAIM", "write fast", "stream", VARIES, "RW update@1"),
    ABOUT("XDEL", "write fast", "stream", "", "RW delete@1"),
    ABOUT("XGROUP", "", "", "", ""),
    SUB("XGROUP|CREATE", -5, "write denyoom", "stream", "", "RW insert@2"),
    SUB("XGROUP|CREATECONSUMER", 5, "write denyoom", "stream", "", "RW insert@2"),
    SUB("XGROUP|DELCONSUMER", 5, "write", "stream", "", "RW delete@2"),
    SUB("XGROUP|DESTROY", 4, "write", "stream", "", "RW delete@2"),
    SUB("XGROUP|HELP", 2, STALE, "stream", "", ""),
    SUB("XGROUP|SETID", -5, "write", "stream", "", "RW update@2"),
    ABOUT("XINFO", "", "", "", ""),
    SUB("XINFO|CONSUMERS", 4, "readonly", "stream", VARIES, "RO access@2"),
    SUB("XINFO|GROUPS", 3, "readonly", "stream", "", "RO access@2"),
    SUB("XINFO|HELP", 2, STALE, "stream", "", ""),
    SUB("XINFO|STREAM", -3, "readonly", "stream", "", "RO access@2"),
    ABOUT("XLEN", "readonly fast", "stream", "", "RO@1"),
    ABOUT("XPENDING", "readonly", "stream", VARIES, "RO access@1"),
    ABOUT("XRANGE", "readonly", "stream", "", "RO access@1"),
    ABOUT("XREAD", "readonly blocking movablekeys", "stream", "", "RO access@STREAMS:1..-1%2"),
    ABOUT("XREADGROUP", "write blocking movablekeys", "stream", "", "RO access@STREAMS:4..-1%2"),
    ABOUT("XREVRANGE", "readonly", "stream", "", "RO access@1"),
    ABOUT("XSETID", "write denyoom fast", "stream", "", "RW update@1"),
    ABOUT("XTRIM", "write", "stream", VARIES, "RW delete@1"),
    ABOUT("ZADD", "write denyoom fast", "sortedset", "", "RW update@1"),
    ABOUT("ZCARD", "readonly fast", "sortedset", "", "RO@1"),
    ABOUT("ZCOUNT", "readonly fast", "sortedset", "", "RO access@1"),
    ABOUT("ZDIFF", "readonly movablekeys", "sortedset", "", "RO access@1#"),
    ABOUT("ZDIFFSTORE", "write denyoom movablekeys", "sortedset", "", "OW update@1; RO access@2#"),
    ABOUT("ZINCRBY", "write denyoom fast", "sortedset", "", "RW access update@1"),
    ABOUT("ZINTER", "readonly movablekeys", "sortedset", "", "RO access@1#"),
    ABOUT("ZINTERCARD", "readonly movablekeys", "sortedset", "", "RO access@1#"),
    ABOUT("ZINTERSTORE", "write denyoom movablekeys", "sortedset", "", "OW update@1; RO access@2#"),
    ABOUT("ZLEXCOUNT", "readonly fast", "sortedset", "", "RO access@1"),
    ABOUT("ZMPOP", "write movablekeys", "sortedset", "", "RW access delete@1#"),
    ABOUT("ZMSCORE", "readonly fast", "sortedset", "", "RO access@1"),
    ABOUT("ZPOPMAX", "write fast", "sortedset", "", "RW access delete@1"),
    ABOUT("ZPOPMIN", "write fast", "sortedset", "", "RW access delete@1"),
    ABOUT("ZRANDMEMBER", "readonly", "sortedset", VARIES, "RO access@1"),
    ABOUT("ZRANGE", "readonly", "sortedset", "", "RO access@1"),
    ABOUT("ZRANGEBYLEX", "readonly", "sortedset", "", "RO access@1"),
    ABOUT("ZRANGEBYSCORE", "readonly", "sortedset", "", "RO access@1"),
    ABOUT("ZRANGESTORE", "write denyoom", "sortedset", "", "OW update@1; RO access@2"),
    ABOUT("ZRANK", "readonly fast", "sortedset", "", "RO access@1"),
    ABOUT("ZREM", "write fast", "sortedset", "", "RW delete@1"),
    ABOUT("ZREMRANGEBYLEX", "write", "sortedset", "", "RW delete@1"),
    ABOUT("ZREMRANGEBYRANK", "write", "sortedset", "", "RW delete@1"),
    ABOUT("ZREMRANGEBYSCORE", "write", "sortedset", "", "RW delete@1"),
    ABOUT("ZREVRANGE", "readonly", "sortedset", "", "RO access@1"),
    ABOUT("ZREVRANGEBYLEX", "readonly", "sortedset", "", "RO access@1"),
    ABOUT("ZREVRANGEBYSCORE", "readonly", "sortedset", "", "RO access@1"),
    ABOUT("ZREVRANK", "readonly fast", "sortedset", "", "RO access@1"),
    ABOUT("ZSCAN", "readonly", "sortedset", VARIES, "RO access@1"),
    ABOUT("ZSCORE", "readonly fast", "sortedset", "", "RO access@1"),
    ABOUT("ZUNION", "readonly movablekeys", "sortedset", "", "RO access@1#"),
    ABOUT("ZUNIONSTORE", "write denyoom movablekeys", "sortedset", "", "OW update@1; RO access@2#"),
};
/* clang-format on */

const char *const command_categories[] = {
    "keyspace", "read",        "write",      "set",         "sortedset", "list",  "hash", "string",
    "bitmap",   "hyperloglog", "geo",        "stream",      "pubsub",    "admin", "fast", "slow",
    "blocking", "dangerous",   "connection", "transaction", "scripting", NULL};

const struct command_about *command_about_table(size_t *n)
{
    *n = ARRAY_LEN(table);
    return table;
}

/* As the table is sorted: by bytes, of names in upper case. */
static int compare(const void *key, const void *row)
{
    const struct slice *name = key;
    const char *other = ((const struct command_about *)row)->name;
    size_t i = 0;
    while (i < name->len && other[i] && toupper(name->ptr[i]) == other[i])
        i++;
    return (i < name->len ? toupper(name->ptr[i]) : 0) - other[i];
}

const struct command_about *command_about_find(struct slice name)
{
    if (name.len == 0)
        return NULL;
    return bsearch(&name, table, ARRAY_LEN(table), sizeof *table, compare);
}

const struct command_about *command_about_subs(const struct command_about *a, size_t *n)
{
    size_t len = strlen(a->name);
    const struct command_about *first = NULL;
    *n = 0;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strncmp(table[i].name, a->name, len) == 0 && table[i].name[len] == '|') {
            first = first ? first : &table[i];
            ++*n;
        }
    return first;
}

/* ---- words ------------------------------------------------------------------------------------
 */

struct slice command_about_word(const char **at)
{
    const char *word = *at + strspn(*at, " ");
    size_t len = strcspn(word, " @");
    *at = word + len;
    return slice_of(word, len);
}

static bool has_word(const char *words, const char *word)
{
    for (struct slice w = command_about_word(&words); w.len; w = command_about_word(&words))
        if (slice_eq(w, slice_str(word)))
            return true;
    return false;
}

/* Redis's setImplicitACLCategories, told in words: the flags say most of them. */
static bool is_implied(const struct command_about *a, const char *category)
{
    bool fast = has_word(a->flags, "fast"), admin = has_word(a->flags, "admin");
    if (strcmp(category, "read") == 0)
        return has_word(a->flags, "readonly") && !has_word(a->group, "scripting");
    if (strcmp(category, "slow") == 0)
        return !fast;
    if (strcmp(category, "dangerous") == 0 && admin)
        return true;
    static const char *const by_flag[] = {"write", "admin", "pubsub", "fast", "blocking"};
    for (size_t i = 0; i < ARRAY_LEN(by_flag); i++)
        if (strcmp(category, by_flag[i]) == 0)
            return has_word(a->flags, category);
    return false;
}

bool command_about_is_in(const struct command_about *a, const char *category)
{
    return is_implied(a, category) || has_word(a->group, category);
}

/* ---- key specifications ------------------------------------------------------------------------
 */

static int number(const char **at)
{
    char *end;
    long n = strtol(*at, &end, 10);
    *at = end;
    return (int)n;
}

static bool takes(const char **at, const char *mark)
{
    size_t len = strlen(mark);
    bool there = strncmp(*at, mark, len) == 0;
    *at += there ? len : 0;
    return there;
}

bool command_keyspec_next(const char **at, struct command_keyspec *k)
{
    *at += strspn(*at, "; ");
    if (!**at)
        return false;
    *k = (struct command_keyspec){.flags = *at, .step = 1};
    *at = strchr(*at, '@') + 1;
    k->unknown = takes(at, "?");
    if (k->unknown)
        return true;
    size_t len = strcspn(*at, ":;");
    if ((*at)[len] == ':') {
        k->word = slice_of(*at, len);
        *at += len + 1;
    }
    k->begin = number(at);
    k->counted = takes(at, "#");
    k->last = takes(at, "..") ? number(at) : 0;
    k->step = takes(at, "/") ? number(at) : 1;
    k->limit = takes(at, "%") ? number(at) : 0;
    return true;
}

/* Where the keys begin; 0: the word isn't there. */
static size_t first_of(const struct command_keyspec *k, const struct resp_command *cmd)
{
    if (!k->word.len)
        return (size_t)k->begin;
    bool back = k->begin < 0;
    size_t n = cmd->argc, i = back ? n - (size_t)-k->begin : (size_t)k->begin;
    for (; i > 0 && i + 1 < n; i += back ? (size_t)-1 : 1) {
        struct slice a = cmd->argv[i];
        if (a.len == k->word.len &&
            strncasecmp((const char *)a.ptr, (const char *)k->word.ptr, a.len) == 0)
            return i + 1;
    }
    return 0;
}

size_t command_keyspec_keys(const struct command_keyspec *k, const struct resp_command *cmd,
                            size_t *last)
{
    size_t first = k->unknown ? 0 : first_of(k, cmd), n = cmd->argc;
    int64_t count, end;
    if (first == 0 || first >= n)
        return 0;
    if (k->counted) {
        if (!slice_to_i64(cmd->argv[first], &count) || count < 1 || count >= (int64_t)(n - first))
            return 0;
        *last = first + (size_t)count;
        return first + 1;
    }
    if (k->last >= 0)
        end = (int64_t)first + k->last;
    else if (k->limit)
        end = (int64_t)first + (int64_t)(n - first) / k->limit + k->last;
    else
        end = (int64_t)n + k->last;
    if (end < (int64_t)first)
        return 0;
    *last = (size_t)end < n ? (size_t)end : n - 1;
    return first;
}
