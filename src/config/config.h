/* Configuration: what a user says in the YAML file and in the flags, checked and typed. One table
 * (table.c) drives the keys, the flags, --help, the defaults, the checks and --print-conf; a new
 * option is a row there and a field here.
 *
 *     struct config c;
 *     switch (config_load(argc, argv, &c, stdout, stderr)) {
 *     case CONFIG_EXIT_OK:    return 0;
 *     case CONFIG_EXIT_USAGE: return 1;
 *     case CONFIG_RUN:        break;
 *     }
 *     ... run with c ...
 *     config_fini(&c);
 *
 * Loading is for the main thread, before others start; afterwards the struct is only read, from any
 * thread, and only config_set and config_reload change it: the options that are marked `live` in
 * the table (below: live), each by one atomic store. Threads read those by CONFIG_LIVE, each time
 * anew, and never by name. Strings and arrays belong to the struct. Strings are never NULL unless
 * it says so. bucket_types, which is live and a list, is a snapshot behind RCU. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "core/address.h"
#include "core/buf.h"
#include "core/compiler.h"
#include "core/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum data_store { DATA_STORE_EMBEDDED, DATA_STORE_REDIS, DATA_STORE_MEMCACHE };

/* From the weakest to the strictest. */
enum consistency {
    CONSISTENCY_DC_ONE,
    CONSISTENCY_DC_QUORUM,
    CONSISTENCY_DC_SAFE_QUORUM,
    CONSISTENCY_DC_EACH_SAFE_QUORUM
};
const char *consistency_name(enum consistency level); /* "DC_ONE" */

/* Where gossip learns whom to contact first (gossip/seeds.h). */
enum seed_provider { SEED_PROVIDER_SIMPLE, SEED_PROVIDER_DNS, SEED_PROVIDER_FLORIDA };

/* When what was written is forced to disk: before it is answered, every second, or when the kernel
 * likes. */
enum sync_policy { SYNC_ALWAYS, SYNC_INTERVAL, SYNC_NEVER };

enum dc_compression { DC_COMPRESSION_NONE, DC_COMPRESSION_LZ4 };

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct buckets;
struct secret;

struct config_seed {
    char *host; /* IPv6 without brackets */
    uint16_t port;
    char *rack, *datacenter;
    uint32_t *tokens; /* at least one, no two alike */
    size_t ntokens;
};
/* One host:port:rack:dc:tokens, as dyn_seeds has them; the caller's to config_seed_fini. Any
 * thread. */
bool config_seed_parse(const char *text, struct config_seed *out, struct error *e) MUST_USE;
void config_seed_fini(struct config_seed *s);

struct config {
    /* who this node is */
    char *pool_name; /* the cluster's name */
    char *datacenter, *rack;
    uint32_t *tokens; /* at least one, no two alike */
    size_t ntokens;

    /* where it listens; each is a text that address_parse accepts */
    char *listen;       /* clients: TCP or unix socket */
    char *dyn_listen;   /* peers: TCP */
    char *advertise;    /* what peers dial: TCP; NULL = dyn_listen */
    char *stats_listen; /* HTTP: TCP */
    char *admin_listen; /* TCP or unix socket; "" = admin.sock in data_dir */

    /* data */
    enum data_store data_store;
    struct address *servers; /* the backend: none with DATA_STORE_EMBEDDED, else one */
    size_t nservers;
    char *backend_user, *backend_password; /* "" = none */
    char *data_dir;
    enum sync_policy store_sync; /* embedded */
    uint64_t store_max_bytes;    /* embedded */
    uint64_t stamp_table_bytes;  /* redis */

    /* the cluster */
    char *cluster_secret; /* "" = peers aren't authenticated */
    struct config_seed *seeds;
    size_t nseeds;
    enum seed_provider seed_provider;
    char *seeds_name;      /* dns_provider: host or host:port, for address_parse_host; "" = none */
    char *seeds_url;       /* florida_provider: http:// or https:// */
    char *hash;            /* one of the 14 names, in lower case */
    char *hash_tag;        /* "" or two bytes */
    unsigned gos_interval; /* ms */
    bool enable_gossip;    /* nodes tell each other who is there; else dyn_seeds alone does */
    uint64_t send_window;  /* bytes */
    enum dc_compression dc_compression; /* live; links between datacenters */
    uint64_t dc_rate;                   /* live; bytes/s per such link, 0 = no limit */

    /* requests */
    enum consistency read_consistency, write_consistency; /* live: config_read_level */
    struct buckets *bucket_types;                         /* live; NULL: none. config/buckets.h */
    bool sloppy_quorum;                                   /* live */
    bool read_repairs_enabled;                            /* live */
    bool allow_flush;                                     /* live */
    struct secret *requirepass;  /* live; NULL: none. config_needs_password */
    unsigned timeout;            /* ms */
    unsigned workers;            /* 0 = one per CPU */
    unsigned client_connections; /* 0 = no limit but the file limit */
    uint64_t client_output_max_bytes;

    /* hints */
    bool enable_hinted_handoff;
    char *hint_dir;                /* "" = hints in data_dir; "memory" = anonymous memory */
    enum sync_policy hint_sync;    /* live */
    unsigned hint_ttl_seconds;     /* live */
    uint64_t hint_store_max_bytes; /* live; 0 = no cap */
    uint64_t hint_store_max_bytes_per_peer; /* live; 0 = no cap */
    uint64_t hint_drain_rate;               /* live; bytes/s per peer, 0 = no limit */
    unsigned hint_drain_interval_ms;        /* live */

    /* the process */
    enum log_format log_format;
    char *output;       /* log file, "" = stderr */
    char *pid_file;     /* "" = none */
    char *conf_file;    /* "" = none */
    unsigned verbosity; /* 0..11 */
    bool daemonize;
    bool help, version, test_conf, print_conf; /* false after CONFIG_RUN */
};

enum config_result {
    CONFIG_RUN,       /* `out` is filled and the caller's, config_fini frees it */
    CONFIG_EXIT_OK,   /* -h, -V, -t or --print-conf, done; nothing to free */
    CONFIG_EXIT_USAGE /* one line on err says what is wrong; nothing to free */
};

/* Reads the flags and the file they name; a flag wins over the file. Writes to `err` either one
 * line, the first mistake, as
 *     FILE:LINE: KEY: found VALUE; allowed ...      or      --FLAG: found VALUE; allowed ...
 * or a warning for each key of Netflix Dynomite that means nothing here. When several of -h, -V,
 * --print-conf and -t are given, the first of this order is done. Opens nothing but the file. */
enum config_result config_load(int argc, char **argv, struct config *out, FILE *outf,
                               FILE *err) MUST_USE;

/* ---- while the node runs; any thread -----------------------------------------------------------
 */

/* What a live option is now. */
#define CONFIG_LIVE(c, field) __atomic_load_n(&(c)->field, __ATOMIC_RELAXED)

/* The level for this key: that of its bucket (bucket_types), else what the two options say. Threads
 * that core/rcu.h knows. */
enum consistency config_bucket_read_level(const struct config *c, struct slice key);
enum consistency config_bucket_write_level(const struct config *c, struct slice key);
static inline enum consistency config_read_level(const struct config *c, struct slice key)
{
    return CONFIG_LIVE(c, bucket_types) ? config_bucket_read_level(c, key)
                                        : CONFIG_LIVE(c, read_consistency);
}
static inline enum consistency config_write_level(const struct config *c, struct slice key)
{
    return CONFIG_LIVE(c, bucket_types) ? config_bucket_write_level(c, key)
                                        : CONFIG_LIVE(c, write_consistency);
}

/* Must clients say a password? And is it this one? Threads that core/rcu.h knows. */
static inline bool config_needs_password(const struct config *c)
{
    return CONFIG_LIVE(c, requirepass) != NULL;
}
bool config_password_is(const struct config *c, struct slice given) MUST_USE;

/* One option as it is in force. The texts are the callee's for the time of the call. */
struct config_value {
    const char *name;
    enum config_kind { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_BOOL } kind; /* of each item */
    bool list;
    size_t n; /* items: 1 unless it is a list */
    char *const *item;
};
typedef void config_show(void *arg, const struct config_value *v);

/* All options that do something, in the order of the table; a secret that is set is shown as ***.
 * This, and what follows up to config_reload, in threads that core/rcu.h knows. */
void config_dump(const struct config *c, config_show *show, void *arg);
/* One of them. False: there is none of that name. */
bool config_get(const struct config *c, const char *name, config_show *show, void *arg,
                struct error *e) MUST_USE;
/* Changes a live option; `by` is for the log. False: unknown, needs a restart, or no value of its.
 * Lasts until the next config_set, config_reload or start. */
bool config_set(struct config *c, const char *name, const char *text, const char *by,
                struct error *e) MUST_USE;
/* Reads file and flags again (those that config_load had): what may change is changed, each change
 * is logged, and of the rest it says that it needs a restart. False: the first mistake; nothing has
 * changed. Main thread. */
bool config_reload(int argc, char **argv, struct config *c, struct error *e) MUST_USE;

/* YAML with every key, which loads as the same configuration; what is only a flag isn't in it.
 * Passwords and the cluster's secret stand in it as they are: without them it wouldn't be the
 * same configuration, and it is printed only when asked for. False: the file can't be written. */
bool config_print(const struct config *c, FILE *outf) MUST_USE;

/* As it is named in the configuration. */
const char *config_data_store(const struct config *c);
void config_fini(struct config *c); /* also of a zeroed one */

#endif
