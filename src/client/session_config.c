/* CONFIG GET: the parameters of Redis that clients and tools ask for, as they are true here. What
 * this server has of its own is dyn-admin's (config get). */
#include "client/session.h"
#include "core/address.h"
#include "store/glob.h"
#include <ctype.h>
#include <inttypes.h>
#include <sys/resource.h>

/* What dynomited has instead of an append-only file: a Redis behind it may have one, which is its
 * own affair. */
static bool is_embedded(const struct config *c)
{
    return c->data_store == DATA_STORE_EMBEDDED;
}

static void appendonly(const struct config *c, struct buf *t)
{
    buf_add_str(t, is_embedded(c) ? "yes" : "no");
}

static void appendfsync(const struct config *c, struct buf *t)
{
    static const char *const when[] = {
        [SYNC_ALWAYS] = "always", [SYNC_INTERVAL] = "everysec", [SYNC_NEVER] = "no"};
    buf_add_str(t, is_embedded(c) ? when[c->store_sync] : "no");
}

static bool listens(const struct config *c, struct address *a)
{
    return address_parse(c->listen, 0, a, NULL);
}

static void bind_(const struct config *c, struct buf *t)
{
    struct address a;
    if (listens(c, &a) && a.kind == ADDRESS_TCP)
        buf_add_str(t, a.host);
}

static void port(const struct config *c, struct buf *t)
{
    struct address a;
    buf_printf(t, "%u", listens(c, &a) && a.kind == ADDRESS_TCP ? a.port : 0);
}

static void unixsocket(const struct config *c, struct buf *t)
{
    struct address a;
    if (listens(c, &a) && a.kind == ADDRESS_UNIX)
        buf_add_str(t, a.path);
}

static void dir(const struct config *c, struct buf *t)
{
    buf_add_str(t, c->data_dir);
}

static void logfile(const struct config *c, struct buf *t)
{
    buf_add_str(t, c->output);
}

static void pidfile(const struct config *c, struct buf *t)
{
    buf_add_str(t, c->pid_file);
}

static void daemonize(const struct config *c, struct buf *t)
{
    buf_add_str(t, c->daemonize ? "yes" : "no");
}

static void maxclients(const struct config *c, struct buf *t)
{
    buf_printf(t, "%" PRIu64, session_max_clients(c));
}

static void requirepass(const struct config *c, struct buf *t)
{
    buf_add_str(t, config_needs_password(c) ? "***" : "");
}

static void output_limit(const struct config *c, struct buf *t)
{
    buf_printf(t, "normal %" PRIu64 " 0 0 slave 0 0 0 pubsub 0 0 0", c->client_output_max_bytes);
}

static void bulk_limit(const struct config *c, struct buf *t)
{
    (void)c;
    buf_printf(t, "%u", RESP_BULK_MAX);
}

static void query_limit(const struct config *c, struct buf *t)
{
    (void)c;
    buf_printf(t, "%u", RESP_COMMAND_MAX);
}

static const struct parameter {
    const char *name;
    const char *value; /* NULL: */
    void (*add)(const struct config *c, struct buf *t);
} parameters[] = {
    {"appendfsync", NULL, appendfsync},
    {"appendonly", NULL, appendonly},
    {"bind", NULL, bind_},
    {"client-output-buffer-limit", NULL, output_limit},
    {"client-query-buffer-limit", NULL, query_limit},
    {"cluster-enabled", "yes", NULL}, /* CLUSTER is answered */
    {"daemonize", NULL, daemonize},
    {"databases", "1", NULL},
    {"dir", NULL, dir},
    {"latency-monitor-threshold", "0", NULL}, /* there is none */
    {"logfile", NULL, logfile},
    {"maxclients", NULL, maxclients},
    {"maxmemory", "0", NULL},
    {"maxmemory-clients", "0", NULL},
    {"maxmemory-policy", "noeviction", NULL},
    {"notify-keyspace-events", "", NULL},
    {"pidfile", NULL, pidfile},
    {"port", NULL, port},
    {"proto-max-bulk-len", NULL, bulk_limit},
    {"replica-read-only", "no", NULL}, /* every node takes writes */
    {"requirepass", NULL, requirepass},
    {"save", "", NULL},
    {"slave-read-only", "no", NULL},
    {"slowlog-log-slower-than", "-1", NULL}, /* there is none */
    {"slowlog-max-len", "0", NULL},
    {"tcp-keepalive", "0", NULL},
    {"timeout", "0", NULL}, /* no connection is closed for being idle */
    {"unixsocket", NULL, unixsocket},
};

/* The file limit is one, too. */
uint64_t session_max_clients(const struct config *c)
{
    struct rlimit files;
    if (c->client_connections)
        return c->client_connections;
    return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
}

static bool matches(const struct parameter *p, struct slice wanted)
{
    struct buf pattern = BUF_INIT;
    if (wanted.len > SESSION_PATTERN_MAX)
        return false;
    for (size_t i = 0; i < wanted.len; i++) {
        uint8_t lower = (uint8_t)tolower(wanted.ptr[i]);
        buf_add(&pattern, &lower, 1);
    }
    bool match = glob_match(buf_slice(&pattern), slice_str(p->name));
    buf_fini(&pattern);
    return match;
}

/* By one of the patterns, so that none is told twice. */
static bool is_wanted(const struct client *c, const struct parameter *p)
{
    for (size_t i = 2; i < c->cmd.argc; i++)
        if (matches(p, c->cmd.argv[i]))
            return true;
    return false;
}

static void add_parameter(const struct config *c, const struct parameter *p, struct buf *b)
{
    struct buf text = BUF_INIT;
    if (p->value)
        buf_add_str(&text, p->value);
    else
        p->add(c, &text);
    resp_add_bulk_str(b, p->name);
    resp_add_bulk(b, buf_slice(&text));
    buf_fini(&text);
}

static void config_get_(struct client *c, struct buf *b)
{
    bool wanted[ARRAY_LEN(parameters)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
        n += wanted[i] = is_wanted(c, &parameters[i]);
    resp_add_array(b, 2 * n);
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
        if (wanted[i])
            add_parameter(c->all->config, &parameters[i], b);
}

void session_config(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"GET", -3, config_get_, " <pattern> ... -- Redis's parameters, as they are here."}};
    SESSION_SUBCOMMANDS(c, b, "CONFIG", subs);
}
