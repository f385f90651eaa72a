/* The one table. Keys and flags keep the names that Netflix Dynomite gave them. */
#include "config/option.h"
#include <string.h>

static const struct option_word store_words[] = {
    {"embedded", DATA_STORE_EMBEDDED, WORD_NAME},
    {"redis", DATA_STORE_REDIS, WORD_NAME},
    {"2", DATA_STORE_EMBEDDED, WORD_ALSO},
    {"memcache", DATA_STORE_MEMCACHE, WORD_NAME},
    {"0", DATA_STORE_REDIS, WORD_ALSO},
    {"1", DATA_STORE_MEMCACHE, WORD_ALSO},
    {NULL, 0, WORD_NAME},
};

static const struct option_word consistency_words[] = {
    {"DC_ONE", CONSISTENCY_DC_ONE, WORD_NAME},
    {"DC_QUORUM", CONSISTENCY_DC_QUORUM, WORD_NAME},
    {"DC_SAFE_QUORUM", CONSISTENCY_DC_SAFE_QUORUM, WORD_NAME},
    {"DC_EACH_SAFE_QUORUM", CONSISTENCY_DC_EACH_SAFE_QUORUM, WORD_NAME},
    {NULL, 0, WORD_NAME},
};

static const struct option_word sync_words[] = {
    {"always", SYNC_ALWAYS, WORD_NAME},
    {"interval", SYNC_INTERVAL, WORD_NAME},
    {"never", SYNC_NEVER, WORD_NAME},
    {NULL, 0, WORD_NAME},
};

static const struct option_word compression_words[] = {
    {"none", DC_COMPRESSION_NONE, WORD_NAME},
    {"lz4", DC_COMPRESSION_LZ4, WORD_NAME},
    {NULL, 0, WORD_NAME},
};

static const struct option_word format_words[] = {
    {"text", LOG_FORMAT_TEXT, WORD_NAME},
    {"json", LOG_FORMAT_JSON, WORD_NAME},
    {NULL, 0, WORD_NAME},
};

static const struct option_word hash_words[] = {
    {"one_at_a_time", 0, WORD_NAME},
    {"md5", 0, WORD_NAME},
    {"crc16", 0, WORD_NAME},
    {"crc32", 0, WORD_NAME},
    {"crc32a", 0, WORD_NAME},
    {"fnv1_64", 0, WORD_NAME},
    {"fnv1a_64", 0, WORD_NAME},
    {"fnv1_32", 0, WORD_NAME},
    {"fnv1a_32", 0, WORD_NAME},
    {"hsieh", 0, WORD_NAME},
    {"murmur", 0, WORD_NAME},
    {"jenkins", 0, WORD_NAME},
    {"murmur3", 0, WORD_NAME},
    {"murmur3_x64_64", 0, WORD_NAME},
    {NULL, 0, WORD_NAME},
};

/* Of several words so far only one works. */
static const struct option_word only_none[] = {{"none", 0, WORD_NAME}, {NULL, 0, WORD_NAME}};

static const struct option_word provider_words[] = {
    {"simple_provider", SEED_PROVIDER_SIMPLE, WORD_NAME},
    {"dns_provider", SEED_PROVIDER_DNS, WORD_NAME},
    {"florida_provider", SEED_PROVIDER_FLORIDA, WORD_NAME},
    {NULL, 0, WORD_NAME},
};

/* The field's offset; doesn't compile when the field isn't of the type that the row's type fills
 * (an enum is an unsigned to both compilers). */
#define FIELD(ctype, member)                                                                       \
    .field = _Generic(((struct config *)0)->member, ctype : offsetof(struct config, member))
#define LIST(ctype, member) FIELD(ctype *, member), .count = offsetof(struct config, n##member)

#define PROCESS(key, short_, type_)                                                                \
    .name = key, .letter = short_, .scope = OPTION_PROCESS, .type = &type_
#define KEY(key, type_) .name = key, .scope = OPTION_KEY, .type = &type_

#define KIB           1024ull
#define GIB           (KIB * KIB * KIB)
#define BYTES_MAX     (uint64_t) INT64_MAX
#define MS_MAX        3600000u
#define TEN_YEARS_SEC 315360000u

const struct option option_table[] = {
    {PROCESS("help", 'h', type_switch), FIELD(bool, help), .help = "print this and exit"},
    {PROCESS("version", 'V', type_switch), FIELD(bool, version),
     .help = "print the version and exit"},
    {PROCESS("test_conf", 't', type_switch), FIELD(bool, test_conf),
     .help = "check the configuration and exit"},
    {PROCESS("print_conf", 0, type_switch), FIELD(bool, print_conf),
     .help = "print the effective configuration as YAML, with its passwords, and exit"},
    {PROCESS("daemonize", 'd', type_switch), FIELD(bool, daemonize),
     .help = "run in the background"},
    {PROCESS("verbosity", 'v', type_number), FIELD(unsigned, verbosity), .max = 11, .fallback = "5",
     .value = "N", .help = "0 is silent, 11 is everything"},
    {PROCESS("output", 'o', type_string), FIELD(char *, output), .fallback = "", .value = "FILE",
     .help = "the log; '' is stderr"},
    {PROCESS("conf_file", 'c', type_string), FIELD(char *, conf_file), .fallback = "",
     .value = "FILE", .help = "YAML with one pool; a flag wins over it"},
    {PROCESS("pid_file", 'p', type_string), FIELD(char *, pid_file), .fallback = "",
     .value = "FILE", .help = "where to write the process id"},

    {.name = "pool_name",
     .scope = OPTION_POOL,
     .type = &type_name,
     FIELD(char *, pool_name),
     .fallback = "dyn_o_mite",
     .value = "NAME",
     .help = "the cluster's name; in the file the name of the pool"},
    {KEY("listen", type_address), FIELD(char *, listen), .min = 1, .fallback = "127.0.0.1:8102",
     .value = "ADDRESS", .help = "clients: host:port, [v6]:port or a unix socket path"},
    {KEY("dyn_listen", type_address), FIELD(char *, dyn_listen), .min = 1,
     .flags = ADDRESS_TCP_ONLY, .fallback = "127.0.0.1:8101", .value = "ADDRESS",
     .help = "peers: host:port"},
    {KEY("advertise", type_address), FIELD(char *, advertise), .flags = ADDRESS_TCP_ONLY,
     .value = "ADDRESS", .help = "what peers should dial, if not dyn_listen"},
    {KEY("stats_listen", type_address), FIELD(char *, stats_listen), .min = 1,
     .flags = ADDRESS_TCP_ONLY, .fallback = "127.0.0.1:22222", .value = "ADDRESS",
     .help = "HTTP: metrics and health"},
    {KEY("admin_listen", type_address), FIELD(char *, admin_listen), .fallback = "",
     .value = "ADDRESS",
     .help = "dyn-admin: unix socket path or host:port; '' is admin.sock in data_dir"},
    {KEY("datacenter", type_name), FIELD(char *, datacenter), .fallback = "localdc",
     .value = "NAME", .help = "where this node stands"},
    {KEY("rack", type_name), FIELD(char *, rack), .fallback = "localrack", .value = "NAME",
     .help = "each rack holds one replica of every key"},
    {KEY("tokens", type_tokens), LIST(uint32_t, tokens), .fallback = "0", .value = "N[,N...]",
     .help = "this node's places on the ring of its rack"},
    {KEY("data_store", type_word), FIELD(unsigned, data_store), .words = store_words,
     .fallback = "embedded", .value = "NAME", .help = "what holds the data"},
    {KEY("servers", type_servers), LIST(struct address, servers), .value = "HOST:PORT:WEIGHT",
     .help = "the backend of redis and memcache, exactly one; or its unix socket path"},
    {KEY("backend_user", type_string), FIELD(char *, backend_user), .fallback = "", .value = "NAME",
     .help = "for the backend"},
    {KEY("backend_password", type_string), FIELD(char *, backend_password), .secret = true,
     .fallback = "", .value = "TEXT", .help = "for the backend"},
    {KEY("data_dir", type_string), FIELD(char *, data_dir), .min = 1, .fallback = "./data",
     .value = "DIR", .help = "node id, embedded store, logs; made if missing"},
    {KEY("cluster_secret", type_string), FIELD(char *, cluster_secret), .secret = true,
     .fallback = "", .value = "TEXT",
     .help = "shared by all nodes; '': peers are not authenticated"},
    {KEY("dyn_seeds", type_seeds), LIST(struct config_seed, seeds),
     .value = "HOST:PORT:RACK:DC:TOKENS", .help = "a peer; repeated for each"},
    {KEY("dyn_seed_provider", type_word), FIELD(unsigned, seed_provider), .words = provider_words,
     .fallback = "simple_provider", .value = "NAME",
     .help = "where seeds come from, besides dyn_seeds"},
    {KEY("seeds_name", type_host), FIELD(char *, seeds_name), .fallback = "",
     .value = "HOST[:PORT]",
     .help = "dns_provider: whose A, AAAA and TXT records; the port of peers, if not dyn_listen's"},
    {KEY("seeds_url", type_url), FIELD(char *, seeds_url),
     .fallback = "http://127.0.0.1:8080/REST/v1/admin/get_seeds", .value = "URL",
     .help = "florida_provider: where the list is"},
    {KEY("hash", type_choice), FIELD(char *, hash), .words = hash_words, .fallback = "murmur",
     .value = "NAME", .help = "key to token"},
    {KEY("hash_tag", type_hash_tag), FIELD(char *, hash_tag), .fallback = "", .value = "XY",
     .help = "two characters: only what stands between them is hashed"},
    {KEY("read_consistency", type_word), FIELD(unsigned, read_consistency), .live = true,
     .words = consistency_words, .fallback = "DC_ONE", .value = "LEVEL",
     .help = "who must have answered"},
    {KEY("write_consistency", type_word), FIELD(unsigned, write_consistency), .live = true,
     .words = consistency_words, .fallback = "DC_ONE", .value = "LEVEL",
     .help = "who must have applied it"},
    {KEY("bucket_types", type_buckets), FIELD(struct buckets *, bucket_types), .live = true,
     .words = consistency_words, .value = "PREFIX:LEVEL:LEVEL",
     .help = "levels of keys with this prefix, to read and to write; the longest counts"},
    {KEY("sloppy_quorum", type_bool), FIELD(bool, sloppy_quorum), .live = true, .fallback = "true",
     .value = "BOOL", .help = "a durable hint counts for a replica that is down"},
    {KEY("read_repairs_enabled", type_bool), FIELD(bool, read_repairs_enabled), .live = true,
     .fallback = "false", .value = "BOOL",
     .help = "where a read finds that replicas differ, they are made equal"},
    {KEY("allow_flush", type_bool), FIELD(bool, allow_flush), .live = true, .fallback = "false",
     .value = "BOOL", .help = "clients may use FLUSHALL and FLUSHDB, which empty the whole ring"},
    {KEY("requirepass", type_secret), FIELD(struct secret *, requirepass), .live = true,
     .secret = true, .fallback = "", .value = "TEXT",
     .help = "what clients must know; '': nothing"},
    {KEY("timeout", type_number), FIELD(unsigned, timeout), .min = 1, .max = MS_MAX,
     .fallback = "5000", .value = "MS", .help = "a client request, end to end"},
    {KEY("workers", type_number), FIELD(unsigned, workers), .max = 256, .fallback = "0",
     .value = "N", .help = "threads that serve clients; 0 is one per CPU"},
    {KEY("client_connections", type_number), FIELD(unsigned, client_connections), .max = 1000000,
     .fallback = "0", .value = "N", .help = "0 is no limit but the file limit"},
    {KEY("client_output_max_bytes", type_bytes), FIELD(uint64_t, client_output_max_bytes),
     .min = KIB, .max = BYTES_MAX, .fallback = "268435456", .value = "BYTES",
     .help = "of replies that a client doesn't read; then it is cut off"},
    {KEY("enable_gossip", type_bool), FIELD(bool, enable_gossip), .fallback = "true",
     .value = "BOOL", .help = "members tell each other who is there; false: dyn_seeds alone"},
    {KEY("gos_interval", type_number), FIELD(unsigned, gos_interval), .min = 10, .max = MS_MAX,
     .fallback = "1000", .value = "MS", .help = "heartbeat; a peer is DOWN after three without"},
    {KEY("enable_hinted_handoff", type_bool), FIELD(bool, enable_hinted_handoff),
     .fallback = "true", .value = "BOOL", .help = "keep writes for a peer that is down"},
    {KEY("hint_dir", type_string), FIELD(char *, hint_dir), .fallback = "", .value = "DIR",
     .help = "'' is hints in data_dir; memory is anonymous memory"},
    {KEY("hint_sync", type_word), FIELD(unsigned, hint_sync), .live = true, .words = sync_words,
     .fallback = "always", .value = "WHEN",
     .help = "when hints are forced to disk, interval is 1 s"},
    {KEY("hint_ttl_seconds", type_number), FIELD(unsigned, hint_ttl_seconds), .live = true,
     .min = 1, .max = TEN_YEARS_SEC, .fallback = "86400", .value = "SECONDS",
     .help = "a hint older than this is dropped and counted"},
    {KEY("hint_store_max_bytes", type_bytes), FIELD(uint64_t, hint_store_max_bytes), .live = true,
     .max = BYTES_MAX, .fallback = "1073741824", .value = "BYTES",
     .help = "hints of all peers together; 0 is no cap"},
    {KEY("hint_store_max_bytes_per_peer", type_bytes),
     FIELD(uint64_t, hint_store_max_bytes_per_peer), .live = true, .max = BYTES_MAX,
     .fallback = "0", .value = "BYTES", .help = "hints of one peer; 0 is no cap"},
    {KEY("hint_drain_rate", type_bytes), FIELD(uint64_t, hint_drain_rate), .live = true,
     .max = BYTES_MAX, .fallback = "0", .value = "BYTES/S",
     .help = "per peer; 0 is as fast as the peer takes it"},
    {KEY("hint_drain_interval_ms", type_number), FIELD(unsigned, hint_drain_interval_ms),
     .live = true, .min = 1, .max = MS_MAX, .fallback = "1000", .value = "MS",
     .help = "expiry sweep and retry"},
    {KEY("send_window", type_bytes), FIELD(uint64_t, send_window), .min = KIB, .max = 4 * GIB,
     .fallback = "4194304", .value = "BYTES",
     .help = "unacknowledged bytes above which a peer counts as behind"},
    {KEY("dc_compression", type_word), FIELD(unsigned, dc_compression), .live = true,
     .words = compression_words, .fallback = "none", .value = "NAME",
     .help = "of what goes to another datacenter"},
    {KEY("dc_rate", type_bytes), FIELD(uint64_t, dc_rate), .live = true, .max = BYTES_MAX,
     .fallback = "0", .value = "BYTES/S", .help = "per link between datacenters; 0 is no limit"},
    {KEY("stamp_table_bytes", type_bytes), FIELD(uint64_t, stamp_table_bytes), .min = 4 * KIB,
     .max = KIB * GIB, .fallback = "67108864", .value = "BYTES",
     .help = "redis: stamps of recent overwrites"},
    {KEY("secure_server_option", type_fixed), .words = only_none, .fallback = "none",
     .value = "NAME", .help = "which links are encrypted"},
    {KEY("store_sync", type_word), FIELD(unsigned, store_sync), .words = sync_words,
     .fallback = "always", .value = "WHEN",
     .help = "embedded: when it is forced to disk, interval is 1 s"},
    {KEY("store_max_bytes", type_bytes), FIELD(uint64_t, store_max_bytes), .min = 64 * KIB,
     .max = 64 * KIB * GIB, .fallback = "68719476736", .value = "BYTES",
     .help = "embedded: its file grows up to this"},
    {KEY("log_format", type_word), FIELD(unsigned, log_format), .words = format_words,
     .fallback = "text", .value = "NAME", .help = "of each line"},

    /* known, so that whoever sets one is told that it isn't a slip of the pen */
    {PROCESS("describe_stats", 'D', type_later_switch)},

    {PROCESS("gossip", 'g', type_ignored_switch), .help = "enable_gossip says it"},
    {PROCESS("admin_operation", 'x', type_ignored), .help = "dyn-admin does it"},
    {KEY("mbuf_size", type_ignored), .letter = 'm',
     .help = "buffers grow as they must, up to client_output_max_bytes"},
    {KEY("max_msgs", type_ignored), .letter = 'M',
     .help = "client_output_max_bytes and send_window bound what waits"},
    {KEY("preconnect", type_ignored), .help = "connections are opened at the start and kept"},
    {KEY("auto_eject_hosts", type_ignored),
     .help = "a peer's state follows its heartbeat, see gos_interval"},
    {KEY("server_retry_timeout", type_ignored),
     .help = "a lost connection is tried again after at most 2 s"},
    {KEY("server_failure_limit", type_ignored),
     .help = "a peer is DOWN after three heartbeats, see gos_interval"},
    {KEY("env", type_ignored), .help = "advertise says what peers dial"},
    {KEY("dyn_connections", type_ignored), .help = "each peer has one link"},
    {KEY("local_peer_connections", type_ignored), .help = "each peer has one link"},
    {KEY("remote_peer_connections", type_ignored), .help = "each peer has one link"},
    {KEY("datastore_connections", type_ignored), .help = "each of the workers has one"},
    {KEY("server_connections", type_ignored), .help = "each of the workers has one"},
};

const size_t option_count = ARRAY_LEN(option_table);

const char *consistency_name(enum consistency level)
{
    return consistency_words[level].name;
}
