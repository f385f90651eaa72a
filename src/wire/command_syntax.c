#include "wire/command_syntax.h"
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct command_syntax table[] = {
    {"ACL", "6.0.0", "server", ""},
    {"ACL|CAT", "6.0.0", "server", "categoryname,string?"},
    {"ACL|DELUSER", "6.0.0", "server", "username,string*"},
    {"ACL|DRYRUN", "7.0.0", "server", "username,string command,string arg,string?*"},
    {"ACL|GENPASS", "6.0.0", "server", "bits,integer?"},
    {"ACL|GETUSER", "6.0.0", "server", "username,string"},
    {"ACL|HELP", "6.0.0", "server", ""},
    {"ACL|LIST", "6.0.0", "server", ""},
    {"ACL|LOAD", "6.0.0", "server", ""},
    {"ACL|LOG", "6.0.0", "server", "operation,oneof?(count,integer reset,token=RESET)"},
    {"ACL|SAVE", "6.0.0", "server", ""},
    {"ACL|SETUSER", "6.0.0", "server", "username,string rule,string?*"},
    {"ACL|USERS", "6.0.0", "server", ""},
    {"ACL|WHOAMI", "6.0.0", "server", ""},
    {"APPEND", "2.0.0", "string", "key,key@0 value,string"},
    {"ASKING", "3.0.0", "cluster", ""},
    {"AUTH", "1.0.0", "connection", "username,string? password,string"},
    {"BGREWRITEAOF", "1.0.0", "server", ""},
    {"BGSAVE", "1.0.0", "server", "schedule,token?=SCHEDULE"},
    {"BITCOUNT", "2.6.0", "bitmap",
     "key,key@0 index,block?(start,integer end,integer index_unit,oneof?(byte,token=BYTE bit,token=BIT))"},
    {"BITFIELD", "3.2.0", "bitmap",
     "key,key@0 operation,oneof?*(encoding_offset,block=GET(encoding,string offset,integer) "
     "write,block(wrap_sat_fail,oneof?=OVERFLOW(wrap,token=WRAP sat,token=SAT fail,token=FAIL) "
     "write_operation,oneof(encoding_offset_value,block=SET(encoding,string offset,integer value,integer) "
     "encoding_offset_increment,block=INCRBY(encoding,string offset,integer increment,integer))))"},
    {"BITFIELD_RO", "6.0.0", "bitmap", "key,key@0 encoding_offset,block?*+=GET(encoding,string offset,integer)"},
    {"BITOP", "2.6.0", "bitmap", "operation,string destkey,key@0 key,key@1*"},
    {"BITPOS", "2.8.7", "bitmap",
     "key,key@0 bit,integer index,block?(start,integer end_index,block?(end,integer "
     "index_unit,oneof?(byte,token=BYTE bit,token=BIT)))"},
    {"BLMOVE", "6.2.0", "list",
     "source,key@0 destination,key@1 wherefrom,oneof(left,token=LEFT right,token=RIGHT) "
     "whereto,oneof(left,token=LEFT right,token=RIGHT) timeout,double"},
    {"BLMPOP", "7.0.0", "list",
     "timeout,double numkeys,integer key,key@0* where,oneof(left,token=LEFT right,token=RIGHT) "
     "count,integer?=COUNT"},
    {"BLPOP", "2.0.0", "list", "key,key@0* timeout,double"},
    {"BRPOP", "2.0.0", "list", "key,key@0* timeout,double"},
    {"BRPOPLPUSH", "2.2.0", "list", "source,key@0 destination,key@1 timeout,double"},
    {"BZMPOP", "7.0.0", "sorted-set",
     "timeout,double numkeys,integer key,key@0* where,oneof(min,token=MIN max,token=MAX) count,integer?=COUNT"},
    {"BZPOPMAX", "5.0.0", "sorted-set", "key,key@0* timeout,double"},
    {"BZPOPMIN", "5.0.0", "sorted-set", "key,key@0* timeout,double"},
    {"CLIENT", "2.4.0", "connection", ""},
    {"CLIENT|CACHING", "6.0.0", "connection", "mode,oneof(yes,token=YES no,token=NO)"},
    {"CLIENT|GETNAME", "2.6.9", "connection", ""},
    {"CLIENT|GETREDIR", "6.0.0", "connection", ""},
    {"CLIENT|HELP", "5.0.0", "connection", ""},
    {"CLIENT|ID", "5.0.0", "connection", ""},
    {"CLIENT|INFO", "6.2.0", "connection", ""},
    {"CLIENT|KILL", "2.4.0", "connection",
     "filter,oneof(ip:port,string new-format,oneof*(client-id,integer?=ID "
     "normal_master_slave_pubsub,oneof?=TYPE(normal,token=NORMAL master,token=MASTER slave,token=SLAVE "
     "replica,token=REPLICA pubsub,token=PUBSUB) username,string?=USER ip:port,string?=ADDR "
     "ip:port,string?=LADDR yes/no,string?=SKIPME))"},
    {"CLIENT|LIST", "2.4.0", "connection",
     "normal_master_replica_pubsub,oneof?=TYPE(normal,token=NORMAL master,token=MASTER replica,token=REPLICA "
     "pubsub,token=PUBSUB) id,block?=ID(client-id,integer*)"},
    {"CLIENT|NO-EVICT", "7.0.0", "connection", "enabled,oneof(on,token=ON off,token=OFF)"},
    {"CLIENT|PAUSE", "2.9.50", "connection", "timeout,integer mode,oneof?(write,token=WRITE all,token=ALL)"},
    {"CLIENT|REPLY", "3.2.0", "connection", "on_off_skip,oneof(on,token=ON off,token=OFF skip,token=SKIP)"},
    {"CLIENT|SETNAME", "2.6.9", "connection", "connection-name,string"},
    {"CLIENT|TRACKING", "6.0.0", "connection",
     "status,oneof(on,token=ON off,token=OFF) client-id,integer?=REDIRECT prefix,string?*+=PREFIX "
     "bcast,token?=BCAST optin,token?=OPTIN optout,token?=OPTOUT noloop,token?=NOLOOP"},
    {"CLIENT|TRACKINGINFO", "6.2.0", "connection", ""},
    {"CLIENT|UNBLOCK", "5.0.0", "connection", "client-id,integer timeout_error,oneof?(timeout,token=TIMEOUT error,token=ERROR)"},
    {"CLIENT|UNPAUSE", "6.2.0", "connection", ""},
    {"CLUSTER", "3.0.0", "cluster", ""},
    {"CLUSTER|ADDSLOTS", "3.0.0", "cluster", "slot,integer*"},
    {"CLUSTER|ADDSLOTSRANGE", "7.0.0", "cluster", "start-slot_end-slot,block*(start-slot,integer end-slot,integer)"},
    {"CLUSTER|BUMPEPOCH", "3.0.0", "cluster", ""},
    {"CLUSTER|COUNT-FAILURE-REPORTS", "3.0.0", "cluster", "node-id,string"},
    {"CLUSTER|COUNTKEYSINSLOT", "3.0.0", "cluster", "slot,integer"},
    {"CLUSTER|DELSLOTS", "3.0.0", "cluster", "slot,integer*"},
    {"CLUSTER|DELSLOTSRANGE", "7.0.0", "cluster", "start-slot_end-slot,block*(start-slot,integer end-slot,integer)"},
    {"CLUSTER|FAILOVER", "3.0.0", "cluster", "options,oneof?(force,token=FORCE takeover,token=TAKEOVER)"},
    {"CLUSTER|FLUSHSLOTS", "3.0.0", "cluster", ""},
    {"CLUSTER|FORGET", "3.0.0", "cluster", "node-id,string"},
    {"CLUSTER|GETKEYSINSLOT", "3.0.0", "cluster", "slot,integer count,integer"},
    {"CLUSTER|HELP", "5.0.0", "cluster", ""},
    {"CLUSTER|INFO", "3.0.0", "cluster", ""},
    {"CLUSTER|KEYSLOT", "3.0.0", "cluster", "key,string"},
    {"CLUSTER|LINKS", "7.0.0", "cluster", ""},
    {"CLUSTER|MEET", "3.0.0", "cluster", "ip,string port,integer cluster_bus_port,integer?"},
    {"CLUSTER|MYID", "3.0.0", "cluster", ""},
    {"CLUSTER|NODES", "3.0.0", "cluster", ""},
    {"CLUSTER|REPLICAS", "5.0.0", "cluster", "node-id,string"},
    {"CLUSTER|REPLICATE", "3.0.0", "cluster", "node-id,string"},
    {"CLUSTER|RESET", "3.0.0", "cluster", "hard_soft,oneof?(hard,token=HARD soft,token=SOFT)"},
    {"CLUSTER|SAVECONFIG", "3.0.0", "cluster", ""},
    {"CLUSTER|SET-CONFIG-EPOCH", "3.0.0", "cluster", "config-epoch,integer"},
    {"CLUSTER|SETSLOT", "3.0.0", "cluster",
     "slot,integer subcommand,oneof(node-id,string=IMPORTING node-id,string=MIGRATING node-id,string=NODE "
     "stable,token=STABLE)"},
    {"CLUSTER|SHARDS", "7.0.0", "cluster", ""},
    {"CLUSTER|SLAVES", "3.0.0", "cluster", "node-id,string"},
    {"CLUSTER|SLOTS", "3.0.0", "cluster", ""},
    {"COMMAND", "2.8.13", "server", ""},
    {"COMMAND|COUNT", "2.8.13", "server", ""},
    {"COMMAND|DOCS", "7.0.0", "server", "command-name,string?*"},
    {"COMMAND|GETKEYS", "2.8.13", "server", ""},
    {"COMMAND|GETKEYSANDFLAGS", "7.0.0", "server", ""},
    {"COMMAND|HELP", "5.0.0", "server", ""},
    {"COMMAND|INFO", "2.8.13", "server", "command-name,string?*"},
    {"COMMAND|LIST", "7.0.0", "server",
     "filterby,oneof?=FILTERBY(module-name,string=MODULE category,string=ACLCAT pattern,pattern=PATTERN)"},
    {"CONFIG", "2.0.0", "server", ""},
    {"CONFIG|GET", "2.0.0", "server", "parameter,block*(parameter,string)"},
    {"CONFIG|HELP", "5.0.0", "server", ""},
    {"CONFIG|RESETSTAT", "2.0.0", "server", ""},
    {"CONFIG|REWRITE", "2.8.0", "server", ""},
    {"CONFIG|SET", "2.0.0", "server", "parameter_value,block*(parameter,string value,string)"},
    {"COPY", "6.2.0", "generic", "source,key@0 destination,key@1 destination-db,integer?=DB replace,token?=REPLACE"},
    {"DBSIZE", "1.0.0", "server", ""},
    {"DEBUG", "1.0.0", "server", ""},
    {"DECR", "1.0.0", "string", "key,key@0"},
    {"DECRBY", "1.0.0", "string", "key,key@0 decrement,integer"},
    {"DEL", "1.0.0", "generic", "key,key@0*"},
    {"DISCARD", "2.0.0", "transactions", ""},
    {"DUMP", "2.6.0", "generic", "key,key@0"},
    {"ECHO", "1.0.0", "connection", "message,string"},
    {"EVAL", "2.6.0", "scripting", "script,string numkeys,integer key,key@0?* arg,string?*"},
    {"EVALSHA", "2.6.0", "scripting", "sha1,string numkeys,integer key,key@0?* arg,string?*"},
    {"EVALSHA_RO", "7.0.0", "scripting", "sha1,string numkeys,integer key,key@0?* arg,string?*"},
    {"EVAL_RO", "7.0.0", "scripting", "script,string numkeys,integer key,key@0?* arg,string?*"},
    {"EXEC", "1.2.0", "transactions", ""},
    {"EXISTS", "1.0.0", "generic", "key,key@0*"},
    {"EXPIRE", "1.0.0", "generic",
     "key,key@0 seconds,integer condition,oneof?(nx,token=NX xx,token=XX gt,token=GT lt,token=LT)"},
    {"EXPIREAT", "1.2.0", "generic",
     "key,key@0 unix-time-seconds,unix-time condition,oneof?(nx,token=NX xx,token=XX gt,token=GT lt,token=LT)"},
    {"EXPIRETIME", "7.0.0", "generic", "key,key@0"},
    {"FAILOVER", "6.2.0", "server",
     "target,block?=TO(host,string port,integer force,token?=FORCE) abort,token?=ABORT "
     "milliseconds,integer?=TIMEOUT"},
    {"FCALL", "7.0.0", "scripting", "function,string numkeys,integer key,key@0?* arg,string?*"},
    {"FCALL_RO", "7.0.0", "scripting", "function,string numkeys,integer key,key@0?* arg,string?*"},
    {"FLUSHALL", "1.0.0", "server", "async,oneof?(async,token=ASYNC sync,token=SYNC)"},
    {"FLUSHDB", "1.0.0", "server", "async,oneof?(async,token=ASYNC sync,token=SYNC)"},
    {"FUNCTION", "7.0.0", "scripting", ""},
    {"FUNCTION|DELETE", "7.0.0", "scripting", "library-name,string"},
    {"FUNCTION|DUMP", "7.0.0", "scripting", ""},
    {"FUNCTION|FLUSH", "7.0.0", "scripting", "async,oneof?(async,token=ASYNC sync,token=SYNC)"},
    {"FUNCTION|HELP", "7.0.0", "scripting", ""},
    {"FUNCTION|KILL", "7.0.0", "scripting", ""},
    {"FUNCTION|LIST", "7.0.0", "scripting", "library-name-pattern,string?=LIBRARYNAME withcode,token?=WITHCODE"},
    {"FUNCTION|LOAD", "7.0.0", "scripting", "replace,token?=REPLACE function-code,string"},
    {"FUNCTION|RESTORE", "7.0.0", "scripting",
     "serialized-value,string policy,oneof?(flush,token=FLUSH append,token=APPEND replace,token=REPLACE)"},
    {"FUNCTION|STATS", "7.0.0", "scripting", ""},
    {"GEOADD", "3.2.0", "geo",
     "key,key@0 condition,oneof?(nx,token=NX xx,token=XX) change,token?=CH "
     "longitude_latitude_member,block*(longitude,double latitude,double member,string)"},
    {"GEODIST", "3.2.0", "geo",
     "key,key@0 member1,string member2,string unit,oneof?(m,token=M km,token=KM ft,token=FT mi,token=MI)"},
    {"GEOHASH", "3.2.0", "geo", "key,key@0 member,string*"},
    {"GEOPOS", "3.2.0", "geo", "key,key@0 member,string*"},
    {"GEORADIUS", "3.2.0", "geo",
     "key,key@0 longitude,double latitude,double radius,double unit,oneof(m,token=M km,token=KM ft,token=FT "
     "mi,token=MI) withcoord,token?=WITHCOORD withdist,token?=WITHDIST withhash,token?=WITHHASH "
     "count,block?(count,integer=COUNT any,token?=ANY) order,oneof?(asc,token=ASC desc,token=DESC) "
     "key,key@1?=STORE key,key@2?=STOREDIST"},
    {"GEORADIUSBYMEMBER", "3.2.0", "geo",
     "key,key@0 member,string radius,double unit,oneof(m,token=M km,token=KM ft,token=FT mi,token=MI) "
     "withcoord,token?=WITHCOORD withdist,token?=WITHDIST withhash,token?=WITHHASH "
     "count,block?(count,integer=COUNT any,token?=ANY) order,oneof?(asc,token=ASC desc,token=DESC) "
     "key,key@1?=STORE key,key@2?=STOREDIST"},
    {"GEORADIUSBYMEMBER_RO", "3.2.10", "geo",
     "key,key@0 member,string radius,double unit,oneof(m,token=M km,token=KM ft,token=FT mi,token=MI) "
     "withcoord,token?=WITHCOORD withdist,token?=WITHDIST withhash,token?=WITHHASH "
     "count,block?(count,integer=COUNT any,token?=ANY) order,oneof?(asc,token=ASC desc,token=DESC)"},
    {"GEORADIUS_RO", "3.2.10", "geo",
     "key,key@0 longitude,double latitude,double radius,double unit,oneof(m,token=M km,token=KM ft,token=FT "
     "mi,token=MI) withcoord,token?=WITHCOORD withdist,token?=WITHDIST withhash,token?=WITHHASH "
     "count,block?(count,integer=COUNT any,token?=ANY) order,oneof?(asc,token=ASC desc,token=DESC)"},
    {"GEOSEARCH", "6.2.0", "geo",
     "key,key@0 from,oneof(member,string=FROMMEMBER longitude_latitude,block=FROMLONLAT(longitude,double "
     "latitude,double)) by,oneof(circle,block(radius,double=BYRADIUS unit,oneof(m,token=M km,token=KM "
     "ft,token=FT mi,token=MI)) box,block(width,double=BYBOX height,double unit,oneof(m,token=M km,token=KM "
     "ft,token=FT mi,token=MI))) order,oneof?(asc,token=ASC desc,token=DESC) count,block?(count,integer=COUNT "
     "any,token?=ANY) withcoord,token?=WITHCOORD withdist,token?=WITHDIST withhash,token?=WITHHASH"},
    {"GEOSEARCHSTORE", "6.2.0", "geo",
     "destination,key@0 source,key@1 from,oneof(member,string=FROMMEMBER "
     "longitude_latitude,block=FROMLONLAT(longitude,double latitude,double)) "
     "by,oneof(circle,block(radius,double=BYRADIUS unit,oneof(m,token=M km,token=KM ft,token=FT mi,token=MI)) "
     "box,block(width,double=BYBOX height,double unit,oneof(m,token=M km,token=KM ft,token=FT mi,token=MI))) "
     "order,oneof?(asc,token=ASC desc,token=DESC) count,block?(count,integer=COUNT any,token?=ANY) "
     "storedist,token?=STOREDIST"},
    {"GET", "1.0.0", "string", "key,key@0"},
    {"GETBIT", "2.2.0", "bitmap", "key,key@0 offset,integer"},
    {"GETDEL", "6.2.0", "string", "key,key@0"},
    {"GETEX", "6.2.0", "string",
     "key,key@0 expiration,oneof?(seconds,integer=EX milliseconds,integer=PX unix-time-seconds,unix-time=EXAT "
     "unix-time-milliseconds,unix-time=PXAT persist,token=PERSIST)"},
    {"GETRANGE", "2.4.0", "string", "key,key@0 start,integer end,integer"},
    {"GETSET", "1.0.0", "string", "key,key@0 value,string"},
    {"HDEL", "2.0.0", "hash", "key,key@0 field,string*"},
    {"HELLO", "6.0.0", "connection",
     "arguments,block?(protover,integer username_password,block?=AUTH(username,string password,string) "
     "clientname,string?=SETNAME)"},
    {"HEXISTS", "2.0.0", "hash", "key,key@0 field,string"},
    {"HGET", "2.0.0", "hash", "key,key@0 field,string"},
    {"HGETALL", "2.0.0", "hash", "key,key@0"},
    {"HINCRBY", "2.0.0", "hash", "key,key@0 field,string increment,integer"},
    {"HINCRBYFLOAT", "2.6.0", "hash", "key,key@0 field,string increment,double"},
    {"HKEYS", "2.0.0", "hash", "key,key@0"},
    {"HLEN", "2.0.0", "hash", "key,key@0"},
    {"HMGET", "2.0.0", "hash", "key,key@0 field,string*"},
    {"HMSET", "2.0.0", "hash", "key,key@0 field_value,block*(field,string value,string)"},
    {"HRANDFIELD", "6.2.0", "hash", "key,key@0 options,block?(count,integer withvalues,token?=WITHVALUES)"},
    {"HSCAN", "2.8.0", "hash", "key,key@0 cursor,integer pattern,pattern?=MATCH count,integer?=COUNT"},
    {"HSET", "2.0.0", "hash", "key,key@0 field_value,block*(field,string value,string)"},
    {"HSETNX", "2.0.0", "hash", "key,key@0 field,string value,string"},
    {"HSTRLEN", "3.2.0", "hash", "key,key@0 field,string"},
    {"HVALS", "2.0.0", "hash", "key,key@0"},
    {"INCR", "1.0.0", "string", "key,key@0"},
    {"INCRBY", "1.0.0", "string", "key,key@0 increment,integer"},
    {"INCRBYFLOAT", "2.6.0", "string", "key,key@0 increment,double"},
    {"INFO", "1.0.0", "server", "section,string?*"},
    {"KEYS", "1.0.0", "generic", "pattern,pattern"},
    {"LASTSAVE", "1.0.0", "server", ""},
    {"LATENCY", "2.8.13", "server", ""},
    {"LATENCY|DOCTOR", "2.8.13", "server", ""},
    {"LATENCY|GRAPH", "2.8.13", "server", "event,string"},
    {"LATENCY|HELP", "2.8.13", "server", ""},
    {"LATENCY|HISTOGRAM", "7.0.0", "server", "command,string?*"},
    {"LATENCY|HISTORY", "2.8.13", "server", "event,string"},
    {"LATENCY|LATEST", "2.8.13", "server", ""},
    {"LATENCY|RESET", "2.8.13", "server", "event,string?*"},
    {"LCS", "7.0.0", "string",
     "key1,key@0 key2,key@0 len,token?=LEN idx,token?=IDX len,integer?=MINMATCHLEN "
     "withmatchlen,token?=WITHMATCHLEN"},
    {"LINDEX", "1.0.0", "list", "key,key@0 index,integer"},
    {"LINSERT", "2.2.0", "list", "key,key@0 where,oneof(before,token=BEFORE after,token=AFTER) pivot,string element,string"},
    {"LLEN", "1.0.0", "list", "key,key@0"},
    {"LMOVE", "6.2.0", "list",
     "source,key@0 destination,key@1 wherefrom,oneof(left,token=LEFT right,token=RIGHT) "
     "whereto,oneof(left,token=LEFT right,token=RIGHT)"},
    {"LMPOP", "7.0.0", "list",
     "numkeys,integer key,key@0* where,oneof(left,token=LEFT right,token=RIGHT) count,integer?=COUNT"},
    {"LOLWUT", "5.0.0", "server", "version,integer?=VERSION"},
    {"LPOP", "1.0.0", "list", "key,key@0 count,integer?"},
    {"LPOS", "6.0.6", "list",
     "key,key@0 element,string rank,integer?=RANK num-matches,integer?=COUNT len,integer?=MAXLEN"},
    {"LPUSH", "1.0.0", "list", "key,key@0 element,string*"},
    {"LPUSHX", "2.2.0", "list", "key,key@0 element,string*"},
    {"LRANGE", "1.0.0", "list", "key,key@0 start,integer stop,integer"},
    {"LREM", "1.0.0", "list", "key,key@0 count,integer element,string"},
    {"LSET", "1.0.0", "list", "key,key@0 index,integer element,string"},
    {"LTRIM", "1.0.0", "list", "key,key@0 start,integer stop,integer"},
    {"MEMORY", "4.0.0", "server", ""},
    {"MEMORY|DOCTOR", "4.0.0", "server", ""},
    {"MEMORY|HELP", "4.0.0", "server", ""},
    {"MEMORY|MALLOC-STATS", "4.0.0", "server", ""},
    {"MEMORY|PURGE", "4.0.0", "server", ""},
    {"MEMORY|STATS", "4.0.0", "server", ""},
    {"MEMORY|USAGE", "4.0.0", "server", "key,key@0 count,integer?=SAMPLES"},
    {"MGET", "1.0.0", "string", "key,key@0*"},
    {"MIGRATE", "2.6.0", "generic",
     "host,string port,integer key_or_empty_string,oneof(key,key@0 empty_string,token=) destination-db,integer "
     "timeout,integer copy,token?=COPY replace,token?=REPLACE authentication,oneof?(password,string?=AUTH "
     "username_password,block?=AUTH2(username,string password,string)) key,key@1?*=KEYS"},
    {"MODULE", "4.0.0", "server", ""},
    {"MODULE|HELP", "5.0.0", "server", ""},
    {"MODULE|LIST", "4.0.0", "server", ""},
    {"MODULE|LOAD", "4.0.0", "server", "path,string arg,string?*"},
    {"MODULE|LOADEX", "7.0.0", "server",
     "path,string configs,block?*+=CONFIG(name,string value,string) args,block?*=ARGS(arg,string)"},
    {"MODULE|UNLOAD", "4.0.0", "server", "name,string"},
    {"MONITOR", "1.0.0", "server", ""},
    {"MOVE", "1.0.0", "generic", "key,key@0 db,integer"},
    {"MSET", "1.0.1", "string", "key_value,block*(key,key@0 value,string)"},
    {"MSETNX", "1.0.1", "string", "key_value,block*(key,key@0 value,string)"},
    {"MULTI", "1.2.0", "transactions", ""},
    {"OBJECT", "2.2.3", "generic", ""},
    {"OBJECT|ENCODING", "2.2.3", "generic", "key,key@0"},
    {"OBJECT|FREQ", "4.0.0", "generic", "key,key@0"},
    {"OBJECT|HELP", "6.2.0", "generic", ""},
    {"OBJECT|IDLETIME", "2.2.3", "generic", "key,key@0"},
    {"OBJECT|REFCOUNT", "2.2.3", "generic", "key,key@0"},
    {"PERSIST", "2.2.0", "generic", "key,key@0"},
    {"PEXPIRE", "2.6.0", "generic",
     "key,key@0 milliseconds,integer condition,oneof?(nx,token=NX xx,token=XX gt,token=GT lt,token=LT)"},
    {"PEXPIREAT", "2.6.0", "generic",
     "key,key@0 unix-time-milliseconds,unix-time condition,oneof?(nx,token=NX xx,token=XX gt,token=GT "
     "lt,token=LT)"},
    {"PEXPIRETIME", "7.0.0", "generic", "key,key@0"},
    {"PFADD", "2.8.9", "hyperloglog", "key,key@0 element,string?*"},
    {"PFCOUNT", "2.8.9", "hyperloglog", "key,key@0*"},
    {"PFDEBUG", "2.8.9", "hyperloglog", "subcommand,string key,key@0"},
    {"PFMERGE", "2.8.9", "hyperloglog", "destkey,key@0 sourcekey,key@1*"},
    {"PFSELFTEST", "2.8.9", "hyperloglog", ""},
    {"PING", "1.0.0", "connection", "message,string?"},
    {"PSETEX", "2.6.0", "string", "key,key@0 milliseconds,integer value,string"},
    {"PSUBSCRIBE", "2.0.0", "pubsub", "pattern,block*(pattern,pattern)"},
    {"PSYNC", "2.8.0", "server", "replicationid,string offset,integer"},
    {"PTTL", "2.6.0", "generic", "key,key@0"},
    {"PUBLISH", "2.0.0", "pubsub", "channel,string message,string"},
    {"PUBSUB", "2.8.0", "pubsub", ""},
    {"PUBSUB|CHANNELS", "2.8.0", "pubsub", "pattern,pattern?"},
    {"PUBSUB|HELP", "6.2.0", "pubsub", ""},
    {"PUBSUB|NUMPAT", "2.8.0", "pubsub", ""},
    {"PUBSUB|NUMSUB", "2.8.0", "pubsub", "channel,string?*"},
    {"PUBSUB|SHARDCHANNELS", "7.0.0", "pubsub", "pattern,pattern?"},
    {"PUBSUB|SHARDNUMSUB", "7.0.0", "pubsub", "shardchannel,string?*"},
    {"PUNSUBSCRIBE", "2.0.0", "pubsub", "pattern,pattern?*"},
    {"QUIT", "1.0.0", "connection", ""},
    {"RANDOMKEY", "1.0.0", "generic", ""},
    {"READONLY", "3.0.0", "cluster", ""},
    {"READWRITE", "3.0.0", "cluster", ""},
    {"RENAME", "1.0.0", "generic", "key,key@0 newkey,key@1"},
    {"RENAMENX", "1.0.0", "generic", "key,key@0 newkey,key@1"},
    {"REPLCONF", "3.0.0", "server", ""},
    {"REPLICAOF", "5.0.0", "server",
     "args,oneof(host-port,block(host,string port,integer) no-one,block(no,token=NO one,token=ONE))"},
    {"RESET", "6.2.0", "connection", ""},
    {"RESTORE", "2.6.0", "generic",
     "key,key@0 ttl,integer serialized-value,string replace,token?=REPLACE absttl,token?=ABSTTL "
     "seconds,integer?=IDLETIME frequency,integer?=FREQ"},
    {"RESTORE-ASKING", "3.0.0", "server",
     "key,key@0 ttl,integer serialized-value,string replace,token?=REPLACE absttl,token?=ABSTTL "
     "seconds,integer?=IDLETIME frequency,integer?=FREQ"},
    {"ROLE", "2.8.12", "server", ""},
    {"RPOP", "1.0.0", "list", "key,key@0 count,integer?"},
    {"RPOPLPUSH", "1.2.0", "list", "source,key@0 destination,key@1"},
    {"RPUSH", "1.0.0", "list", "key,key@0 element,string*"},
    {"RPUSHX", "2.2.0", "list", "key,key@0 element,string*"},
    {"SADD", "1.0.0", "set", "key,key@0 member,string*"},
    {"SAVE", "1.0.0", "server", ""},
    {"SCAN", "2.8.0", "generic", "cursor,integer pattern,pattern?=MATCH count,integer?=COUNT type,string?=TYPE"},
    {"SCARD", "1.0.0", "set", "key,key@0"},
    {"SCRIPT", "2.6.0", "scripting", ""},
    {"SCRIPT|DEBUG", "3.2.0", "scripting", "mode,oneof(yes,token=YES sync,token=SYNC no,token=NO)"},
    {"SCRIPT|EXISTS", "2.6.0", "scripting", "sha1,string*"},
    {"SCRIPT|FLUSH", "2.6.0", "scripting", "async,oneof?(async,token=ASYNC sync,token=SYNC)"},
    {"SCRIPT|HELP", "5.0.0", "scripting", ""},
    {"SCRIPT|KILL", "2.6.0", "scripting", ""},
    {"SCRIPT|LOAD", "2.6.0", "scripting", "script,string"},
    {"SDIFF", "1.0.0", "set", "key,key@0*"},
    {"SDIFFSTORE", "1.0.0", "set", "destination,key@0 key,key@1*"},
    {"SELECT", "1.0.0", "connection", "index,integer"},
    {"SET", "1.0.0", "string",
     "key,key@0 value,string condition,oneof?(nx,token=NX xx,token=XX) get,token?=GET "
     "expiration,oneof?(seconds,integer=EX milliseconds,integer=PX unix-time-seconds,unix-time=EXAT "
     "unix-time-milliseconds,unix-time=PXAT keepttl,token=KEEPTTL)"},
    {"SETBIT", "2.2.0", "bitmap", "key,key@0 offset,integer value,integer"},
    {"SETEX", "2.0.0", "string", "key,key@0 seconds,integer value,string"},
    {"SETNX", "1.0.0", "string", "key,key@0 value,string"},
    {"SETRANGE", "2.2.0", "string", "key,key@0 offset,integer value,string"},
    {"SHUTDOWN", "1.0.0", "server",
     "nosave_save,oneof?(nosave,token=NOSAVE save,token=SAVE) now,token?=NOW force,token?=FORCE "
     "abort,token?=ABORT"},
    {"SINTER", "1.0.0", "set", "key,key@0*"},
    {"SINTERCARD", "7.0.0", "set", "numkeys,integer key,key@0* limit,integer?=LIMIT"},
    {"SINTERSTORE", "1.0.0", "set", "destination,key@0 key,key@1*"},
    {"SISMEMBER", "1.0.0", "set", "key,key@0 member,string"},
    {"SLAVEOF", "1.0.0", "server",
     "args,oneof(host-port,block(host,string port,integer) no-one,block(no,token=NO one,token=ONE))"},
    {"SLOWLOG", "2.2.12", "server", ""},
    {"SLOWLOG|GET", "2.2.12", "server", "count,integer?"},
    {"SLOWLOG|HELP", "6.2.0", "server", ""},
    {"SLOWLOG|LEN", "2.2.12", "server", ""},
    {"SLOWLOG|RESET", "2.2.12", "server", ""},
    {"SMEMBERS", "1.0.0", "set", "key,key@0"},
    {"SMISMEMBER", "6.2.0", "set", "key,key@0 member,string*"},
    {"SMOVE", "1.0.0", "set", "source,key@0 destination,key@1 member,string"},
    {"SORT", "1.0.0", "generic",
     "key,key@0 pattern,pattern@1?=BY offset_count,block?=LIMIT(offset,integer count,integer) "
     "pattern,pattern@1?*+=GET order,oneof?(asc,token=ASC desc,token=DESC) sorting,token?=ALPHA "
     "destination,key@2?=STORE"},
    {"SORT_RO", "7.0.0", "generic",
     "key,key@0 pattern,pattern@1?=BY offset_count,block?=LIMIT(offset,integer count,integer) "
     "pattern,pattern@1?*+=GET order,oneof?(asc,token=ASC desc,token=DESC) sorting,token?=ALPHA"},
    {"SPOP", "1.0.0", "set", "key,key@0 count,integer?"},
    {"SPUBLISH", "7.0.0", "pubsub", "shardchannel,string message,string"},
    {"SRANDMEMBER", "1.0.0", "set", "key,key@0 count,integer?"},
    {"SREM", "1.0.0", "set", "key,key@0 member,string*"},
    {"SSCAN", "2.8.0", "set", "key,key@0 cursor,integer pattern,pattern?=MATCH count,integer?=COUNT"},
    {"SSUBSCRIBE", "7.0.0", "pubsub", "shardchannel,string*"},
    {"STRLEN", "2.2.0", "string", "key,key@0"},
    {"SUBSCRIBE", "2.0.0", "pubsub", "channel,string*"},
    {"SUBSTR", "1.0.0", "string", "key,key@0 start,integer end,integer"},
    {"SUNION", "1.0.0", "set", "key,key@0*"},
    {"SUNIONSTORE", "1.0.0", "set", "destination,key@0 key,key@1*"},
    {"SUNSUBSCRIBE", "7.0.0", "pubsub", "shardchannel,string?*"},
    {"SWAPDB", "4.0.0", "server", "index1,integer index2,integer"},
    {"SYNC", "1.0.0", "server", ""},
    {"TIME", "2.6.0", "server", ""},
    {"TOUCH", "3.2.1", "generic", "key,key@0*"},
    {"TTL", "1.0.0", "generic", "key,key@0"},
    {"TYPE", "1.0.0", "generic", "key,key@0"},
    {"UNLINK", "4.0.0", "generic", "key,key@0*"},
    {"UNSUBSCRIBE", "2.0.0", "pubsub", "channel,string?*"},
    {"UNWATCH", "2.2.0", "transactions", ""},
    {"WAIT", "3.0.0", "generic", "numreplicas,integer timeout,integer"},
    {"WATCH", "2.2.0", "transactions", "key,key@0*"},
    {"XACK", "5.0.0", "stream", "key,key@0 group,string id,string*"},
    {"XADD", "5.0.0", "stream",
     "key,key@0 nomkstream,token?=NOMKSTREAM trim,block?(strategy,oneof(maxlen,token=MAXLEN minid,token=MINID) "
     "operator,oneof?(equal,token== approximately,token=~) threshold,string count,integer?=LIMIT) "
     "id_or_auto,oneof(auto_id,token=* id,string) field_value,block*(field,string value,string)"},
    {"XAUTOCLAIM", "6.2.0", "stream",
     "key,key@0 group,string consumer,string min-idle-time,string start,string count,integer?=COUNT "
     "justid,token?=JUSTID"},
    {"XCLAIM", "5.0.0", "stream",
     "key,key@0 group,string consumer,string min-idle-time,string id,string* ms,integer?=IDLE "
     "unix-time-milliseconds,unix-time?=TIME count,integer?=RETRYCOUNT force,token?=FORCE justid,token?=JUSTID "
     "id,string?=LASTID"},
    {"XDEL", "5.0.0", "stream", "key,key@0 id,string*"},
    {"XGROUP", "5.0.0", "stream", ""},
    {"XGROUP|CREATE", "5.0.0", "stream",
     "key,key@0 groupname,string id,oneof(id,string new_id,token=$) mkstream,token?=MKSTREAM "
     "entries_read,integer?=ENTRIESREAD"},
    {"XGROUP|CREATECONSUMER", "6.2.0", "stream", "key,key@0 groupname,string consumername,string"},
    {"XGROUP|DELCONSUMER", "5.0.0", "stream", "key,key@0 groupname,string consumername,string"},
    {"XGROUP|DESTROY", "5.0.0", "stream", "key,key@0 groupname,string"},
    {"XGROUP|HELP", "5.0.0", "stream", ""},
    {"XGROUP|SETID", "5.0.0", "stream",
     "key,key@0 groupname,string id,oneof(id,string new_id,token=$) entries_read,integer?=ENTRIESREAD"},
    {"XINFO", "5.0.0", "stream", ""},
    {"XINFO|CONSUMERS", "5.0.0", "stream", "key,key@0 groupname,string"},
    {"XINFO|GROUPS", "5.0.0", "stream", "key,key@0"},
    {"XINFO|HELP", "5.0.0", "stream", ""},
    {"XINFO|STREAM", "5.0.0", "stream", "key,key@0 full,block?=FULL(count,integer?=COUNT)"},
    {"XLEN", "5.0.0", "stream", "key,key@0"},
    {"XPENDING", "5.0.0", "stream",
     "key,key@0 group,string filters,block?(min-idle-time,integer?=IDLE start,string end,string count,integer "
     "consumer,string?)"},
    {"XRANGE", "5.0.0", "stream", "key,key@0 start,string end,string count,integer?=COUNT"},
    {"XREAD", "5.0.0", "stream",
     "count,integer?=COUNT milliseconds,integer?=BLOCK streams,block=STREAMS(key,key@0* id,string*)"},
    {"XREADGROUP", "5.0.0", "stream",
     "group_consumer,block=GROUP(group,string consumer,string) count,integer?=COUNT milliseconds,integer?=BLOCK "
     "noack,token?=NOACK streams,block=STREAMS(key,key@0* id,string*)"},
    {"XREVRANGE", "5.0.0", "stream", "key,key@0 end,string start,string count,integer?=COUNT"},
    {"XSETID", "5.0.0", "stream",
     "key,key@0 last-id,string entries_added,integer?=ENTRIESADDED max_deleted_entry_id,string?=MAXDELETEDID"},
    {"XTRIM", "5.0.0", "stream",
     "key,key@0 trim,block(strategy,oneof(maxlen,token=MAXLEN minid,token=MINID) operator,oneof?(equal,token== "
     "approximately,token=~) threshold,string count,integer?=LIMIT)"},
    {"ZADD", "1.2.0", "sorted-set",
     "key,key@0 condition,oneof?(nx,token=NX xx,token=XX) comparison,oneof?(gt,token=GT lt,token=LT) "
     "change,token?=CH increment,token?=INCR score_member,block*(score,double member,string)"},
    {"ZCARD", "1.2.0", "sorted-set", "key,key@0"},
    {"ZCOUNT", "2.0.0", "sorted-set", "key,key@0 min,double max,double"},
    {"ZDIFF", "6.2.0", "sorted-set", "numkeys,integer key,key@0* withscores,token?=WITHSCORES"},
    {"ZDIFFSTORE", "6.2.0", "sorted-set", "destination,key@0 numkeys,integer key,key@1*"},
    {"ZINCRBY", "1.2.0", "sorted-set", "key,key@0 increment,integer member,string"},
    {"ZINTER", "6.2.0", "sorted-set",
     "numkeys,integer key,key@0* weight,integer?*=WEIGHTS aggregate,oneof?=AGGREGATE(sum,token=SUM "
     "min,token=MIN max,token=MAX) withscores,token?=WITHSCORES"},
    {"ZINTERCARD", "7.0.0", "sorted-set", "numkeys,integer key,key@0* limit,integer?=LIMIT"},
    {"ZINTERSTORE", "2.0.0", "sorted-set",
     "destination,key@0 numkeys,integer key,key@1* weight,integer?*=WEIGHTS "
     "aggregate,oneof?=AGGREGATE(sum,token=SUM min,token=MIN max,token=MAX)"},
    {"ZLEXCOUNT", "2.8.9", "sorted-set", "key,key@0 min,string max,string"},
    {"ZMPOP", "7.0.0", "sorted-set", "numkeys,integer key,key@0* where,oneof(min,token=MIN max,token=MAX) count,integer?=COUNT"},
    {"ZMSCORE", "6.2.0", "sorted-set", "key,key@0 member,string*"},
    {"ZPOPMAX", "5.0.0", "sorted-set", "key,key@0 count,integer?"},
    {"ZPOPMIN", "5.0.0", "sorted-set", "key,key@0 count,integer?"},
    {"ZRANDMEMBER", "6.2.0", "sorted-set", "key,key@0 options,block?(count,integer withscores,token?=WITHSCORES)"},
    {"ZRANGE", "1.2.0", "sorted-set",
     "key,key@0 start,string stop,string sortby,oneof?(byscore,token=BYSCORE bylex,token=BYLEX) rev,token?=REV "
     "offset_count,block?=LIMIT(offset,integer count,integer) withscores,token?=WITHSCORES"},
    {"ZRANGEBYLEX", "2.8.9", "sorted-set", "key,key@0 min,string max,string offset_count,block?=LIMIT(offset,integer count,integer)"},
    {"ZRANGEBYSCORE", "1.0.5", "sorted-set",
     "key,key@0 min,double max,double withscores,token?=WITHSCORES offset_count,block?=LIMIT(offset,integer "
     "count,integer)"},
    {"ZRANGESTORE", "6.2.0", "sorted-set",
     "dst,key@0 src,key@1 min,string max,string sortby,oneof?(byscore,token=BYSCORE bylex,token=BYLEX) "
     "rev,token?=REV offset_count,block?=LIMIT(offset,integer count,integer)"},
    {"ZRANK", "2.0.0", "sorted-set", "key,key@0 member,string"},
    {"ZREM", "1.2.0", "sorted-set", "key,key@0 member,string*"},
    {"ZREMRANGEBYLEX", "2.8.9", "sorted-set", "key,key@0 min,string max,string"},
    {"ZREMRANGEBYRANK", "2.0.0", "sorted-set", "key,key@0 start,integer stop,integer"},
    {"ZREMRANGEBYSCORE", "1.2.0", "sorted-set", "key,key@0 min,double max,double"},
    {"ZREVRANGE", "1.2.0", "sorted-set", "key,key@0 start,integer stop,integer withscores,token?=WITHSCORES"},
    {"ZREVRANGEBYLEX", "2.8.9", "sorted-set", "key,key@0 max,string min,string offset_count,block?=LIMIT(offset,integer count,integer)"},
    {"ZREVRANGEBYSCORE", "2.2.0", "sorted-set",
     "key,key@0 max,double min,double withscores,token?=WITHSCORES offset_count,block?=LIMIT(offset,integer "
     "count,integer)"},
    {"ZREVRANK", "2.0.0", "sorted-set", "key,key@0 member,string"},
    {"ZSCAN", "2.8.0", "sorted-set", "key,key@0 cursor,integer pattern,pattern?=MATCH count,integer?=COUNT"},
    {"ZSCORE", "1.2.0", "sorted-set", "key,key@0 member,string"},
    {"ZUNION", "6.2.0", "sorted-set",
     "numkeys,integer key,key@0* weight,integer?*=WEIGHTS aggregate,oneof?=AGGREGATE(sum,token=SUM "
     "min,token=MIN max,token=MAX) withscores,token?=WITHSCORES"},
    {"ZUNIONSTORE", "2.0.0", "sorted-set",
     "destination,key@0 numkeys,integer key,key@1* weight,integer?*=WEIGHTS "
     "aggregate,oneof?=AGGREGATE(sum,token=SUM min,token=MIN max,token=MAX)"},
};
/* clang-format on */

static int compare(const void *name, const void *row)
{
    return strcmp(name, ((const struct command_syntax *)row)->name);
}

const struct command_syntax *command_syntax_find(const char *name)
{
    return bsearch(name, table, ARRAY_LEN(table), sizeof *table, compare);
}

/* What Redis calls it: the same word, but for one. */
static const char *take_type(const char **at)
{
    static const char *const types[] = {"string",  "key",       "integer", "double",
                                        "pattern", "unix-time", "oneof",   "block"};
    size_t len = strcspn(*at, "@?*+=() ");
    const char *type = *at;
    *at += len;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strlen(types[i]) == len && strncmp(types[i], type, len) == 0)
            return types[i];
    return "pure-token";
}

static bool takes(const char **at, char mark)
{
    bool there = **at == mark;
    *at += there;
    return there;
}

/* Behind the parenthesis that closes the one at `at`. */
static const char *skip(const char *at)
{
    size_t depth = 0;
    do {
        depth += *at == '(';
        depth -= *at == ')';
        at++;
    } while (depth);
    return at;
}

bool command_argument_next(const char **at, struct command_argument *a)
{
    *at += strspn(*at, " ");
    if (!**at || **at == ')')
        return false;
    size_t len = strcspn(*at, ",");
    *a = (struct command_argument){.name = slice_of(*at, len), .keyspec = -1};
    *at += len + 1;
    a->type = take_type(at);
    if (takes(at, '@')) {
        char *end;
        a->keyspec = (int)strtol(*at, &end, 10);
        *at = end;
    }
    a->optional = takes(at, '?');
    a->multiple = takes(at, '*');
    a->multiple_token = takes(at, '+');
    a->has_token = takes(at, '=');
    if (a->has_token) {
        len = strcspn(*at, "() ");
        a->token = slice_of(*at, len);
        *at += len;
    }
    if (**at == '(') {
        a->inside = *at + 1;
        *at = skip(*at);
    }
    return true;
}
