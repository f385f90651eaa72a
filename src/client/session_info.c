/* INFO: the fields that clients and dashboards read, with this server's figures. What isn't known
 * here (a Redis behind it knows it) isn't there. */
#include "client/session.h"
#include "core/address.h"
#include "core/clock.h"
#include <config.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static uint64_t resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned client_port(const struct config *c)
{
    struct address a;
    if (!address_parse(c->listen, 0, &a, NULL) || a.kind == ADDRESS_UNIX)
        return 0; /* as Redis on a unix socket */
    return a.port;
}

static void server(const struct client *c, struct buf *t)
{
    struct utsname os = {.sysname = ""};
    uint64_t up = (clock_mono_ms() - c->all->started_ms) / 1000;
    uname(&os);
    buf_printf(t,
               "redis_version:%s\r\ndynomited_version:%s\r\nredis_mode:standalone\r\n"
               "os:%s %s %s\r\narch_bits:64\r\nmultiplexing_api:epoll\r\nprocess_id:%d\r\n"
               "run_id:%s\r\ntcp_port:%u\r\nserver_time_usec:%" PRIu64 "\r\n"
               "uptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\nconfig_file:%s\r\n",
               SESSION_REDIS_VERSION, PACKAGE_VERSION, os.sysname, os.release, os.machine,
               (int)getpid(), c->all->me->id, client_port(c->all->config), clock_wall_us(), up,
               up / 86400, c->all->config->conf_file);
}

static void clients(const struct client *c, struct buf *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < c->all->nworkers; i++)
        n += STATS_LOAD(c->all->all_stats[i], connections);
    buf_printf(t,
               "connected_clients:%" PRIu64 "\r\nmaxclients:%" PRIu64
               "\r\nblocked_clients:0\r\ntracking_clients:0\r\n",
               n, session_max_clients(c->all->config));
}

/* As Redis writes it: 1.98M. */
static void human(struct buf *t, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGT";
    double n = (double)bytes;
    size_t unit = 0;
    for (; n >= 1024 && unit + 2 < sizeof units; unit++)
        n /= 1024;
    buf_printf(t, "%s:%.*f%c\r\n", name, unit ? 2 : 0, n, units[unit]);
}

/* What it has of the machine's memory is what it uses: nothing else is counted. */
static void memory(const struct client *c, struct buf *t)
{
    uint64_t used = resident_bytes();
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    (void)c;
    buf_printf(t, "used_memory:%" PRIu64 "\r\n", used);
    human(t, "used_memory_human", used);
    buf_printf(t, "used_memory_rss:%" PRIu64 "\r\n", used);
    human(t, "used_memory_rss_human", used);
    buf_printf(t, "total_system_memory:%" PRIu64 "\r\n", all);
    human(t, "total_system_memory_human", all);
    buf_add_str(t, "maxmemory:0\r\nmaxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n");
}

static void persistence(const struct client *c, struct buf *t)
{
    bool embedded = c->all->config->data_store == DATA_STORE_EMBEDDED;
    buf_printf(t, "loading:0\r\nasync_loading:0\r\naof_enabled:%d\r\n", embedded);
}

/* Of command i, over all workers. */
static uint64_t calls(const struct clients *all, size_t i, enum stats_result result)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < all->nworkers; w++)
        n += STATS_LOAD(all->all_stats[w], requests[i][result]);
    return n;
}

static void stats(const struct client *c, struct buf *t)
{
    uint64_t connections = 0, ok = 0, errors = 0;
    for (unsigned i = 0; i < c->all->nworkers; i++) {
        connections += STATS_LOAD(c->all->all_stats[i], connections_total);
        errors += STATS_LOAD(c->all->all_stats[i], unknown_commands);
    }
    for (size_t i = 0; i < STATS_COMMANDS_MAX; i++) {
        ok += calls(c->all, i, RESULT_OK);
        errors += calls(c->all, i, RESULT_ERROR);
    }
    buf_printf(t,
               "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64
               "\r\nevicted_keys:0\r\nevicted_clients:0\r\npubsub_channels:0\r\n"
               "pubsub_patterns:0\r\ntotal_error_replies:%" PRIu64 "\r\n",
               connections, ok + errors, errors);
}

static void replication(const struct client *c, struct buf *t)
{
    (void)c;
    buf_add_str(t, "role:master\r\nconnected_slaves:0\r\n");
}

static void cpu(const struct client *c, struct buf *t)
{
    struct rusage r;
    (void)c;
    if (getrusage(RUSAGE_SELF, &r) != 0)
        return;
    buf_printf(t, "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\n", (long)r.ru_stime.tv_sec,
               (long)r.ru_stime.tv_usec, (long)r.ru_utime.tv_sec, (long)r.ru_utime.tv_usec);
}

/* How long each took isn't counted by command: usec isn't there. */
static void commandstats(const struct client *c, struct buf *t)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    for (size_t i = 0; i < n && i < STATS_COMMANDS_MAX; i++) {
        uint64_t ok = calls(c->all, i, RESULT_OK), failed = calls(c->all, i, RESULT_ERROR);
        if (!ok && !failed)
            continue;
        buf_add_str(t, "cmdstat_");
        session_add_lower(t, table[i].name);
        buf_printf(t, ":calls=%" PRIu64 ",failed_calls=%" PRIu64 "\r\n", ok + failed, failed);
    }
}

static void cluster(const struct client *c, struct buf *t)
{
    (void)c;
    buf_add_str(t, "cluster_enabled:1\r\n");
}

static void keyspace(const struct client *c, struct buf *t)
{
    uint64_t keys = __atomic_load_n(&store_stats(c->all->requests->store)->keys, __ATOMIC_RELAXED);
    if (keys)
        buf_printf(t, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", keys);
}

static const struct section {
    const char *name, *title;
    bool by_default; /* told to who names no section */
    void (*add)(const struct client *c, struct buf *t);
} sections[] = {
    {"server", "Server", true, server},
    {"clients", "Clients", true, clients},
    {"memory", "Memory", true, memory},
    {"persistence", "Persistence", true, persistence},
    {"stats", "Stats", true, stats},
    {"replication", "Replication", true, replication},
    {"cpu", "CPU", true, cpu},
    {"commandstats", "Commandstats", false, commandstats},
    {"cluster", "Cluster", true, cluster},
    {"keyspace", "Keyspace", true, keyspace},
};

static bool wanted(const struct client *c, const struct section *s)
{
    bool is = c->cmd.argc == 1 && s->by_default;
    for (size_t i = 1; i < c->cmd.argc && !is; i++) {
        struct slice a = c->cmd.argv[i];
        is = slice_is(a, s->name) || slice_is(a, "all") || slice_is(a, "everything") ||
             (slice_is(a, "default") && s->by_default);
    }
    return is;
}

void session_info(struct client *c, struct buf *b)
{
    struct buf t = BUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (!wanted(c, &sections[i]))
            continue;
        buf_printf(&t, "%s# %s\r\n", t.len ? "\r\n" : "", sections[i].title);
        sections[i].add(c, &t);
    }
    resp_add_bulk(b, buf_slice(&t));
    buf_fini(&t);
}
