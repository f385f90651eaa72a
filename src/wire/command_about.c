#include "wire/command_about.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    {"ACL", "", "", "", ""},
    {"ACL|CAT", SILENT, "", "", ""},
    {"ACL|DELUSER", ADMIN, "", "", ""},
    {"ACL|DRYRUN", ADMIN, "", "", ""},
    {"ACL|GENPASS", SILENT, "", "", ""},
    {"ACL|GETUSER", ADMIN, "", "", ""},
    {"ACL|HELP", STALE, "", "", ""},
    {"ACL|LIST", ADMIN, "", "", ""},
    {"ACL|LOAD", ADMIN, "", "", ""},
    {"ACL|LOG", ADMIN, "", "", ""},
    {"ACL|SAVE", ADMIN, "", "", ""},
    {"ACL|SETUSER", ADMIN, "", "", ""},
    {"ACL|USERS", ADMIN, "", "", ""},
    {"ACL|WHOAMI", SILENT, "", "", ""},
    {"APPEND", "write denyoom fast", "string", "", "RW insert@1"},
    {"ASKING", "fast", "connection", "", ""},
    {"AUTH", "noscript loading stale fast no_auth allow_busy", "connection", "", ""},
    {"BGREWRITEAOF", "admin noscript no_async_loading", "", "", ""},
    {"BGSAVE", "admin noscript no_async_loading", "", "", ""},
    {"BITCOUNT", "readonly", "bitmap", "", "RO access@1"},
    {"BITFIELD", "write denyoom", "bitmap", "", "RW access update variable_flags@1"},
    {"BITFIELD_RO", "readonly fast", "bitmap", "", "RO access@1"},
    {"BITOP", "write denyoom", "bitmap", "", "OW update@2; RO access@3..-1"},
    {"BITPOS", "readonly", "bitmap", "", "RO access@1"},
    {"BLMOVE", "write denyoom noscript blocking", "list", "", "RW access delete@1; RW insert@2"},
    {"BLMPOP", "write blocking movablekeys", "list", "", "RW access delete@2#"},
    {"BLPOP", "write noscript blocking", "list", "", "RW access delete@1..-2"},
    {"BRPOP", "write noscript blocking", "list", "", "RW access delete@1..-2"},
    {"BRPOPLPUSH", "write denyoom noscript blocking", "list", "", "RW access delete@1; RW insert@2"},
    {"BZMPOP", "write blocking movablekeys", "sortedset", "", "RW access delete@2#"},
    {"BZPOPMAX", "write noscript blocking fast", "sortedset", "", "RW access delete@1..-2"},
    {"BZPOPMIN", "write noscript blocking fast", "sortedset", "", "RW access delete@1..-2"},
    {"CLIENT", "", "", "", ""},
    {"CLIENT|CACHING", SILENT, "connection", "", ""},
    {"CLIENT|GETNAME", SILENT, "connection", "", ""},
    {"CLIENT|GETREDIR", SILENT, "connection", "", ""},
    {"CLIENT|HELP", STALE, "connection", "", ""},
    {"CLIENT|ID", SILENT, "connection", "", ""},
    {"CLIENT|INFO", SILENT, "connection", VARIES, ""},
    {"CLIENT|KILL", ADMIN, "connection", "", ""},
    {"CLIENT|LIST", ADMIN, "connection", VARIES, ""},
    {"CLIENT|NO-EVICT", ADMIN, "connection", "", ""},
    {"CLIENT|PAUSE", ADMIN, "connection", "", ""},
    {"CLIENT|REPLY", SILENT, "connection", "", ""},
    {"CLIENT|SETNAME", SILENT, "connection", "", ""},
    {"CLIENT|TRACKING", SILENT, "connection", "", ""},
    {"CLIENT|TRACKINGINFO", SILENT, "connection", "", ""},
    {"CLIENT|UNBLOCK", ADMIN, "connection", "", ""},
    {"CLIENT|UNPAUSE", ADMIN, "connection", "", ""},
    {"CLUSTER", "", "", "", ""},
    {"CLUSTER|ADDSLOTS", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|ADDSLOTSRANGE", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|BUMPEPOCH", "admin stale no_async_loading", "", VARIES, ""},
    {"CLUSTER|COUNT-FAILURE-REPORTS", "admin stale", "", VARIES, ""},
    {"CLUSTER|COUNTKEYSINSLOT", "stale", "", "", ""},
    {"CLUSTER|DELSLOTS", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|DELSLOTSRANGE", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|FAILOVER", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|FLUSHSLOTS", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|FORGET", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|GETKEYSINSLOT", "stale", "", VARIES, ""},
    {"CLUSTER|HELP", STALE, "", "", ""},
    {"CLUSTER|INFO", "stale", "", VARIES, ""},
    {"CLUSTER|KEYSLOT", "stale", "", "", ""},
    {"CLUSTER|LINKS", "stale", "", VARIES, ""},
    {"CLUSTER|MEET", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|MYID", "stale", "", "", ""},
    {"CLUSTER|NODES", "stale", "", VARIES, ""},
    {"CLUSTER|REPLICAS", "admin stale", "", VARIES, ""},
    {"CLUSTER|REPLICATE", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|RESET", "admin noscript stale", "", "", ""},
    {"CLUSTER|SAVECONFIG", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|SET-CONFIG-EPOCH", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|SETSLOT", "admin stale no_async_loading", "", "", ""},
    {"CLUSTER|SHARDS", "stale", "", VARIES, ""},
    {"CLUSTER|SLAVES", "admin stale", "", VARIES, ""},
    {"CLUSTER|SLOTS", "stale", "", VARIES, ""},
    {"COMMAND", STALE, "connection", ORDER, ""},
    {"COMMAND|COUNT", STALE, "connection", "", ""},
    {"COMMAND|DOCS", STALE, "connection", ORDER, ""},
    {"COMMAND|GETKEYS", STALE, "connection", "", ""},
    {"COMMAND|GETKEYSANDFLAGS", STALE, "connection", "", ""},
    {"COMMAND|HELP", STALE, "connection", "", ""},
    {"COMMAND|INFO", STALE, "connection", ORDER, ""},
    {"COMMAND|LIST", STALE, "connection", ORDER, ""},
    {"CONFIG", "", "", "", ""},
    {"CONFIG|GET", ADMIN, "", "", ""},
    {"CONFIG|HELP", STALE, "", "", ""},
    {"CONFIG|RESETSTAT", ADMIN, "", "", ""},
    {"CONFIG|REWRITE", ADMIN, "", "", ""},
    {"CONFIG|SET", ADMIN, "", NODES " " SUCCEED, ""},
    {"COPY", "write denyoom", "keyspace", "", "RO access@1; OW update@2"},
    {"DBSIZE", "readonly fast", "keyspace", SHARDS " response_policy:agg_sum", ""},
    {"DEBUG", ADMIN, "", "", ""},
    {"DECR", "write denyoom fast", "string", "", "RW access update@1"},
    {"DECRBY", "write denyoom fast", "string", "", "RW access update@1"},
    {"DEL", "write", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RM delete@1..-1"},
    {"DISCARD", "noscript loading stale fast allow_busy", "transaction", "", ""},
    {"DUMP", "readonly", "keyspace", VARIES, "RO access@1"},
    {"ECHO", "loading stale fast", "connection", "", ""},
    {"EVAL", "noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RW access update@2#"},
    {"EVALSHA", "noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RW access update@2#"},
    {"EVALSHA_RO", "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RO access@2#"},
    {"EVAL_RO", "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RO access@2#"},
    {"EXEC", "noscript loading stale skip_slowlog", "transaction", "", ""},
    {"EXISTS", "readonly fast", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RO@1..-1"},
    {"EXPIRE", "write fast", "keyspace", "", "RW update@1"},
    {"EXPIREAT", "write fast", "keyspace", "", "RW update@1"},
    {"EXPIRETIME", "readonly fast", "keyspace", "", "RO access@1"},
    {"FAILOVER", "admin noscript stale", "", "", ""},
    {"FCALL", "noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RW access update@2#"},
    {"FCALL_RO", "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", "scripting", "", "RO access@2#"},
    {"FLUSHALL", "write", "keyspace dangerous", SHARDS " " SUCCEED, ""},
    {"FLUSHDB", "write", "keyspace dangerous", SHARDS " " SUCCEED, ""},
    {"FUNCTION", "", "", "", ""},
    {"FUNCTION|DELETE", "write noscript", "scripting", SHARDS " " SUCCEED, ""},
    {"FUNCTION|DUMP", "noscript", "scripting", "", ""},
    {"FUNCTION|FLUSH", "write noscript", "scripting", SHARDS " " SUCCEED, ""},
    {"FUNCTION|HELP", STALE, "scripting", "", ""},
    {"FUNCTION|KILL", "noscript allow_busy", "scripting", SHARDS " response_policy:one_succeeded", ""},
    {"FUNCTION|LIST", "noscript", "scripting", ORDER, ""},
    {"FUNCTION|LOAD", "write denyoom noscript", "scripting", SHARDS " " SUCCEED, ""},
    {"FUNCTION|RESTORE", "write denyoom noscript", "scripting", SHARDS " " SUCCEED, ""},
    {"FUNCTION|STATS", "noscript allow_busy", "scripting", VARIES " " SHARDS " response_policy:special", ""},
    {"GEOADD", "write denyoom", "geo", "", "RW update@1"},
    {"GEODIST", "readonly", "geo", "", "RO access@1"},
    {"GEOHASH", "readonly", "geo", "", "RO access@1"},
    {"GEOPOS", "readonly", "geo", "", "RO access@1"},
    {"GEORADIUS", "write denyoom movablekeys", "geo", "", "RO access@1; OW update@STORE:6; OW update@STOREDIST:6"},
    {"GEORADIUSBYMEMBER", "write denyoom movablekeys", "geo", "", "RO access@1; OW update@STORE:5; OW update@STOREDIST:5"},
    {"GEORADIUSBYMEMBER_RO", "readonly", "geo", "", "RO access@1"},
    {"GEORADIUS_RO", "readonly", "geo", "", "RO access@1"},
    {"GEOSEARCH", "readonly", "geo", "", "RO access@1"},
    {"GEOSEARCHSTORE", "write denyoom", "geo", "", "OW update@1; RO access@2"},
    {"GET", "readonly fast", "string", "", "RO access@1"},
    {"GETBIT", "readonly fast", "bitmap", "", "RO access@1"},
    {"GETDEL", "write fast", "string", "", "RW access delete@1"},
    {"GETEX", "write fast", "string", "", "RW access update@1"},
    {"GETRANGE", "readonly", "string", "", "RO access@1"},
    {"GETSET", "write denyoom fast", "string", "", "RW access update@1"},
    {"HDEL", "write fast", "hash", "", "RW delete@1"},
    {"HELLO", "noscript loading stale fast no_auth allow_busy", "connection", "", ""},
    {"HEXISTS", "readonly fast", "hash", "", "RO@1"},
    {"HGET", "readonly fast", "hash", "", "RO access@1"},
    {"HGETALL", "readonly", "hash", ORDER, "RO access@1"},
    {"HINCRBY", "write denyoom fast", "hash", "", "RW access update@1"},
    {"HINCRBYFLOAT", "write denyoom fast", "hash", "", "RW access update@1"},
    {"HKEYS", "readonly", "hash", ORDER, "RO access@1"},
    {"HLEN", "readonly fast", "hash", "", "RO@1"},
    {"HMGET", "readonly fast", "hash", "", "RO access@1"},
    {"HMSET", "write denyoom fast", "hash", "", "RW update@1"},
    {"HRANDFIELD", "readonly", "hash", VARIES, "RO access@1"},
    {"HSCAN", "readonly", "hash", VARIES, "RO access@1"},
    {"HSET", "write denyoom fast", "hash", "", "RW update@1"},
    {"HSETNX", "write denyoom fast", "hash", "", "RW insert@1"},
    {"HSTRLEN", "readonly fast", "hash", "", "RO@1"},
    {"HVALS", "readonly", "hash", ORDER, "RO access@1"},
    {"INCR", "write denyoom fast", "string", "", "RW access update@1"},
    {"INCRBY", "write denyoom fast", "string", "", "RW access update@1"},
    {"INCRBYFLOAT", "write denyoom fast", "string", "", "RW access update@1"},
    {"INFO", STALE, "dangerous", VARIES " " SHARDS " response_policy:special", ""},
    {"KEYS", "readonly", "keyspace dangerous", SHARDS " " ORDER, ""},
    {"LASTSAVE", "loading stale fast", "admin dangerous", VARIES, ""},
    {"LATENCY", "", "", "", ""},
    {"LATENCY|DOCTOR", ADMIN, "", VARIES " " NODES " response_policy:special", ""},
    {"LATENCY|GRAPH", ADMIN, "", VARIES " " NODES " response_policy:special", ""},
    {"LATENCY|HELP", STALE, "", "", ""},
    {"LATENCY|HISTOGRAM", ADMIN, "", VARIES " " NODES " response_policy:special", ""},
    {"LATENCY|HISTORY", ADMIN, "", VARIES " " NODES " response_policy:special", ""},
    {"LATENCY|LATEST", ADMIN, "", VARIES " " NODES " response_policy:special", ""},
    {"LATENCY|RESET", ADMIN, "", NODES " " SUCCEED, ""},
    {"LCS", "readonly", "string", "", "RO access@1..1"},
    {"LINDEX", "readonly", "list", "", "RO access@1"},
    {"LINSERT", "write denyoom", "list", "", "RW insert@1"},
    {"LLEN", "readonly fast", "list", "", "RO@1"},
    {"LMOVE", "write denyoom", "list", "", "RW access delete@1; RW insert@2"},
    {"LMPOP", "write movablekeys", "list", "", "RW access delete@1#"},
    {"LOLWUT", "readonly fast", "", "", ""},
    {"LPOP", "write fast", "list", "", "RW access delete@1"},
    {"LPOS", "readonly", "list", "", "RO access@1"},
    {"LPUSH", "write denyoom fast", "list", "", "RW insert@1"},
    {"LPUSHX", "write denyoom fast", "list", "", "RW insert@1"},
    {"LRANGE", "readonly", "list", "", "RO access@1"},
    {"LREM", "write", "list", "", "RW delete@1"},
    {"LSET", "write denyoom", "list", "", "RW update@1"},
    {"LTRIM", "write", "list", "", "RW delete@1"},
    {"MEMORY", "", "", "", ""},
    {"MEMORY|DOCTOR", "", "", VARIES " " SHARDS " response_policy:special", ""},
    {"MEMORY|HELP", STALE, "", "", ""},
    {"MEMORY|MALLOC-STATS", "", "", VARIES " " SHARDS " response_policy:special", ""},
    {"MEMORY|PURGE", "", "", SHARDS " " SUCCEED, ""},
    {"MEMORY|STATS", "", "", VARIES " " SHARDS " response_policy:special", ""},
    {"MEMORY|USAGE", "readonly", "", "", "RO@2"},
    {"MGET", "readonly fast", "string", "request_policy:multi_shard", "RO access@1..-1"},
    {"MIGRATE", "write movablekeys", "keyspace dangerous", VARIES, "RW access delete@3; RW access delete incomplete@KEYS:-2..-1"},
    {"MODULE", "", "", "", ""},
    {"MODULE|HELP", STALE, "", "", ""},
    {"MODULE|LIST", "admin noscript", "", ORDER, ""},
    {"MODULE|LOAD", "admin noscript no_async_loading", "", "", ""},
    {"MODULE|LOADEX", "admin noscript no_async_loading", "", "", ""},
    {"MODULE|UNLOAD", "admin noscript no_async_loading", "", "", ""},
    {"MONITOR", ADMIN, "", "", ""},
    {"MOVE", "write fast", "keyspace", "", "RW access update@1"},
    {"MSET", "write denyoom", "string", "request_policy:multi_shard" " " SUCCEED, "OW update@1..-1/2"},
    {"MSETNX", "write denyoom", "string", "request_policy:multi_shard" " response_policy:agg_min", "OW insert@1..-1/2"},
    {"MULTI", "noscript loading stale fast allow_busy", "transaction", "", ""},
    {"OBJECT", "", "", "", ""},
    {"OBJECT|ENCODING", "readonly", "keyspace", VARIES, "RO@2"},
    {"OBJECT|FREQ", "readonly", "keyspace", VARIES, "RO@2"},
    {"OBJECT|HELP", STALE, "keyspace", "", ""},
    {"OBJECT|IDLETIME", "readonly", "keyspace", VARIES, "RO@2"},
    {"OBJECT|REFCOUNT", "readonly", "keyspace", VARIES, "RO@2"},
    {"PERSIST", "write fast", "keyspace", "", "RW update@1"},
    {"PEXPIRE", "write fast", "keyspace", "", "RW update@1"},
    {"PEXPIREAT", "write fast", "keyspace", "", "RW update@1"},
    {"PEXPIRETIME", "readonly fast", "keyspace", "", "RO access@1"},
    {"PFADD", "write denyoom fast", "hyperloglog", "", "RW insert@1"},
    {"PFCOUNT", "readonly", "hyperloglog", "", "RW access@1..-1"},
    {"PFDEBUG", "write denyoom admin", "hyperloglog", "", "RW access@2"},
    {"PFMERGE", "write denyoom", "hyperloglog", "", "RW access insert@1; RO access@2..-1"},
    {"PFSELFTEST", "admin", "hyperloglog", "", ""},
    {"PING", "fast", "connection", SHARDS " " SUCCEED, ""},
    {"PSETEX", "write denyoom", "string", "", "OW update@1"},
    {"PSUBSCRIBE", "pubsub noscript loading stale", "", "", ""},
    {"PSYNC", "admin noscript no_async_loading no_multi", "", "", ""},
    {"PTTL", "readonly fast", "keyspace", VARIES, "RO access@1"},
    {"PUBLISH", "pubsub loading stale fast", "", "", ""},
    {"PUBSUB", "", "", "", ""},
    {"PUBSUB|CHANNELS", "pubsub loading stale", "", "", ""},
    {"PUBSUB|HELP", STALE, "", "", ""},
    {"PUBSUB|NUMPAT", "pubsub loading stale", "", "", ""},
    {"PUBSUB|NUMSUB", "pubsub loading stale", "", "", ""},
    {"PUBSUB|SHARDCHANNELS", "pubsub loading stale", "", "", ""},
    {"PUBSUB|SHARDNUMSUB", "pubsub loading stale", "", "", ""},
    {"PUNSUBSCRIBE", "pubsub noscript loading stale", "", "", ""},
    {"QUIT", "noscript loading stale fast no_auth allow_busy", "connection", "", ""},
    {"RANDOMKEY", "readonly", "keyspace", SHARDS " " VARIES, ""},
    {"READONLY", "loading stale fast", "connection", "", ""},
    {"READWRITE", "loading stale fast", "connection", "", ""},
    {"RENAME", "write", "keyspace", "", "RW access delete@1; OW update@2"},
    {"RENAMENX", "write fast", "keyspace", "", "RW access delete@1; OW insert@2"},
    {"REPLCONF", "admin noscript loading stale allow_busy", "", "", ""},
    {"REPLICAOF", "admin noscript stale no_async_loading", "", "", ""},
    {"RESET", "noscript loading stale fast no_auth allow_busy", "connection", "", ""},
    {"RESTORE", "write denyoom", "keyspace dangerous", "", "OW update@1"},
    {"RESTORE-ASKING", "write denyoom asking", "keyspace dangerous", "", "OW update@1"},
    {"ROLE", "noscript loading stale fast", "admin dangerous", "", ""},
    {"RPOP", "write fast", "list", "", "RW access delete@1"},
    {"RPOPLPUSH", "write denyoom", "list", "", "RW access delete@1; RW insert@2"},
    {"RPUSH", "write denyoom fast", "list", "", "RW insert@1"},
    {"RPUSHX", "write denyoom fast", "list", "", "RW insert@1"},
    {"SADD", "write denyoom fast", "set", "", "RW insert@1"},
    {"SAVE", "admin noscript no_async_loading no_multi", "", "", ""},
    {"SCAN", "readonly", "keyspace", VARIES " request_policy:special", ""},
    {"SCARD", "readonly fast", "set", "", "RO@1"},
    {"SCRIPT", "", "", "", ""},
    {"SCRIPT|DEBUG", "noscript", "scripting", "", ""},
    {"SCRIPT|EXISTS", "noscript", "scripting", SHARDS " response_policy:agg_logical_and", ""},
    {"SCRIPT|FLUSH", "noscript", "scripting", NODES " " SUCCEED, ""},
    {"SCRIPT|HELP", STALE, "scripting", "", ""},
    {"SCRIPT|KILL", "noscript allow_busy", "scripting", SHARDS " response_policy:one_succeeded", ""},
    {"SCRIPT|LOAD", "noscript stale", "scripting", NODES " " SUCCEED, ""},
    {"SDIFF", "readonly", "set", ORDER, "RO access@1..-1"},
    {"SDIFFSTORE", "write denyoom", "set", "", "OW update@1; RO access@2..-1"},
    {"SELECT", "loading stale fast", "connection", "", ""},
    {"SET", "write denyoom", "string", "", "RW access update variable_flags@1"},
    {"SETBIT", "write denyoom", "bitmap", "", "RW access update@1"},
    {"SETEX", "write denyoom", "string", "", "OW update@1"},
    {"SETNX", "write denyoom fast", "string", "", "OW insert@1"},
    {"SETRANGE", "write denyoom", "string", "", "RW update@1"},
    {"SHUTDOWN", "admin noscript loading stale no_multi allow_busy", "", "", ""},
    {"SINTER", "readonly", "set", ORDER, "RO access@1..-1"},
    {"SINTERCARD", "readonly movablekeys", "set", "", "RO access@1#"},
    {"SINTERSTORE", "write denyoom", "set", "", "RW update@1; RO access@2..-1"},
    {"SISMEMBER", "readonly fast", "set", "", "RO@1"},
    {"SLAVEOF", "admin noscript stale no_async_loading", "", "", ""},
    {"SLOWLOG", "", "", "", ""},
    {"SLOWLOG|GET", "admin loading stale", "", NODES " " VARIES, ""},
    {"SLOWLOG|HELP", STALE, "", "", ""},
    {"SLOWLOG|LEN", "admin loading stale", "", NODES " response_policy:agg_sum" " " VARIES, ""},
    {"SLOWLOG|RESET", "admin loading stale", "", NODES " " SUCCEED, ""},
    {"SMEMBERS", "readonly", "set", ORDER, "RO access@1"},
    {"SMISMEMBER", "readonly fast", "set", "", "RO access@1"},
    {"SMOVE", "write fast", "set", "", "RW access delete@1; RW insert@2"},
    {"SORT", "write denyoom movablekeys", "set sortedset list dangerous", "", "RO access@1; RO access@?; OW update@?"},
    {"SORT_RO", "readonly movablekeys", "set sortedset list dangerous", "", "RO access@1; RO access@?"},
    {"SPOP", "write fast", "set", VARIES, "RW access delete@1"},
    {"SPUBLISH", "pubsub loading stale fast", "", "", "not_key@1"},
    {"SRANDMEMBER", "readonly", "set", VARIES, "RO access@1"},
    {"SREM", "write fast", "set", "", "RW delete@1"},
    {"SSCAN", "readonly", "set", VARIES, "RO access@1"},
    {"SSUBSCRIBE", "pubsub noscript loading stale", "", "", "not_key@1..-1"},
    {"STRLEN", "readonly fast", "string", "", "RO@1"},
    {"SUBSCRIBE", "pubsub noscript loading stale", "", "", ""},
    {"SUBSTR", "readonly", "string", "", "RO access@1"},
    {"SUNION", "readonly", "set", ORDER, "RO access@1..-1"},
    {"SUNIONSTORE", "write denyoom", "set", "", "OW update@1; RO access@2..-1"},
    {"SUNSUBSCRIBE", "pubsub noscript loading stale", "", "", "not_key@1..-1"},
    {"SWAPDB", "write fast", "keyspace dangerous", "", ""},
    {"SYNC", "admin noscript no_async_loading no_multi", "", "", ""},
    {"TIME", "loading stale fast", "", VARIES, ""},
    {"TOUCH", "readonly fast", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RO@1..-1"},
    {"TTL", "readonly fast", "keyspace", VARIES, "RO access@1"},
    {"TYPE", "readonly fast", "keyspace", "", "RO@1"},
    {"UNLINK", "write fast", "keyspace", "request_policy:multi_shard" " response_policy:agg_sum", "RM delete@1..-1"},
    {"UNSUBSCRIBE", "pubsub noscript loading stale", "", "", ""},
    {"UNWATCH", "noscript loading stale fast allow_busy", "transaction", "", ""},
    {"WAIT", "noscript", "connection", SHARDS " response_policy:agg_min", ""},
    {"WATCH", "noscript loading stale fast allow_busy", "transaction", "", "RO@1..-1"},
    {"XACK", "write fast", "stream", "", "RW update@1"},
    {"XADD", "write denyoom fast", "stream", VARIES, "RW update@1"},
    {"XAUTOCLAIM", "write fast", "stream", VARIES, "RW delete@1"},
    {"XCLAIM", "write fast", "stream", VARIES, "RW update@1"},
    {"XDEL", "write fast", "stream", "", "RW delete@1"},
    {"XGROUP", "", "", "", ""},
    {"XGROUP|CREATE", "write denyoom", "stream", "", "RW insert@2"},
    {"XGROUP|CREATECONSUMER", "write denyoom", "stream", "", "RW insert@2"},
    {"XGROUP|DELCONSUMER", "write", "stream", "", "RW delete@2"},
    {"XGROUP|DESTROY", "write", "stream", "", "RW delete@2"},
    {"XGROUP|HELP", STALE, "stream", "", ""},
    {"XGROUP|SETID", "write", "stream", "", "RW update@2"},
    {"XINFO", "", "", "", ""},
    {"XINFO|CONSUMERS", "readonly", "stream", VARIES, "RO access@2"},
    {"XINFO|GROUPS", "readonly", "stream", "", "RO access@2"},
    {"XINFO|HELP", STALE, "stream", "", ""},
    {"XINFO|STREAM", "readonly", "stream", "", "RO access@2"},
    {"XLEN", "readonly fast", "stream", "", "RO@1"},
    {"XPENDING", "readonly", "stream", VARIES, "RO access@1"},
    {"XRANGE", "readonly", "stream", "", "RO access@1"},
    {"XREAD", "readonly blocking movablekeys", "stream", "", "RO access@STREAMS:1..-1%2"},
    {"XREADGROUP", "write blocking movablekeys", "stream", "", "RO access@STREAMS:4..-1%2"},
    {"XREVRANGE", "readonly", "stream", "", "RO access@1"},
    {"XSETID", "write denyoom fast", "stream", "", "RW update@1"},
    {"XTRIM", "write", "stream", VARIES, "RW delete@1"},
    {"ZADD", "write denyoom fast", "sortedset", "", "RW update@1"},
    {"ZCARD", "readonly fast", "sortedset", "", "RO@1"},
    {"ZCOUNT", "readonly fast", "sortedset", "", "RO access@1"},
    {"ZDIFF", "readonly movablekeys", "sortedset", "", "RO access@1#"},
    {"ZDIFFSTORE", "write denyoom movablekeys", "sortedset", "", "OW update@1; RO access@2#"},
    {"ZINCRBY", "write denyoom fast", "sortedset", "", "RW access update@1"},
    {"ZINTER", "readonly movablekeys", "sortedset", "", "RO access@1#"},
    {"ZINTERCARD", "readonly movablekeys", "sortedset", "", "RO access@1#"},
    {"ZINTERSTORE", "write denyoom movablekeys", "sortedset", "", "OW update@1; RO access@2#"},
    {"ZLEXCOUNT", "readonly fast", "sortedset", "", "RO access@1"},
    {"ZMPOP", "write movablekeys", "sortedset", "", "RW access delete@1#"},
    {"ZMSCORE", "readonly fast", "sortedset", "", "RO access@1"},
    {"ZPOPMAX", "write fast", "sortedset", "", "RW access delete@1"},
    {"ZPOPMIN", "write fast", "sortedset", "", "RW access delete@1"},
    {"ZRANDMEMBER", "readonly", "sortedset", VARIES, "RO access@1"},
    {"ZRANGE", "readonly", "sortedset", "", "RO access@1"},
    {"ZRANGEBYLEX", "readonly", "sortedset", "", "RO access@1"},
    {"ZRANGEBYSCORE", "readonly", "sortedset", "", "RO access@1"},
    {"ZRANGESTORE", "write denyoom", "sortedset", "", "OW update@1; RO access@2"},
    {"ZRANK", "readonly fast", "sortedset", "", "RO access@1"},
    {"ZREM", "write fast", "sortedset", "", "RW delete@1"},
    {"ZREMRANGEBYLEX", "write", "sortedset", "", "RW delete@1"},
    {"ZREMRANGEBYRANK", "write", "sortedset", "", "RW delete@1"},
    {"ZREMRANGEBYSCORE", "write", "sortedset", "", "RW delete@1"},
    {"ZREVRANGE", "readonly", "sortedset", "", "RO access@1"},
    {"ZREVRANGEBYLEX", "readonly", "sortedset", "", "RO access@1"},
    {"ZREVRANGEBYSCORE", "readonly", "sortedset", "", "RO access@1"},
    {"ZREVRANK", "readonly fast", "sortedset", "", "RO access@1"},
    {"ZSCAN", "readonly", "sortedset", VARIES, "RO access@1"},
    {"ZSCORE", "readonly fast", "sortedset", "", "RO access@1"},
    {"ZUNION", "readonly movablekeys", "sortedset", "", "RO access@1#"},
    {"ZUNIONSTORE", "write denyoom movablekeys", "sortedset", "", "OW update@1; RO access@2#"},
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
    if (i < name->len)
        return other[i] ? toupper(name->ptr[i]) - other[i] : 1;
    return -(other[i] != '\0');
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
