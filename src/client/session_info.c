/* INFO: the fields that clients and dashboards read, with this server's figures. */
#include "client/session.h"
#include "core/address.h"
#include "core/clock.h"
#include <config.h>
#include <inttypes.h>
#include <stdio.h>
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
    uint64_t up = (clock_mono_ms() - c->all->started_ms) / 1000;
    buf_printf(t,
               "redis_version:%s\r\ndynomited_version:%s\r\nredis_mode:standalone\r\n"
               "arch_bits:64\r\nprocess_id:%d\r\nrun_id:%s\r\ntcp_port:%u\r\n"
               "uptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\n",
               SESSION_REDIS_VERSION, PACKAGE_VERSION, (int)getpid(), c->all->me->id,
               client_port(c->all->config), up, up / 86400);
}

static void clients(const struct client *c, struct buf *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < c->all->nworkers; i++)
        n += STATS_LOAD(c->all->all_stats[i], connections);
    buf_printf(t, "connected_clients:%" PRIu64 "\r\nblocked_clients:0\r\n", n);
    if (c->all->config->client_connections)
        buf_printf(t, "maxclients:%u\r\n", c->all->config->client_connections);
}

static void memory(const struct client *c, struct buf *t)
{
    uint64_t n = resident_bytes();
    (void)c;
    buf_printf(t,
               "used_memory:%" PRIu64 "\r\nused_memory_human:%.2fM\r\nused_memory_rss:%" PRIu64
               "\r\nmaxmemory:0\r\n",
               n, (double)n / (1024 * 1024), n);
}

static void persistence(const struct client *c, struct buf *t)
{
    (void)c;
    buf_add_str(t, "loading:0\r\n");
}

static uint64_t sum_requests(const struct clients *all)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < all->nworkers; w++) {
        n += STATS_LOAD(all->all_stats[w], unknown_commands);
        for (unsigned i = 0; i < STATS_COMMANDS_MAX; i++)
            for (unsigned k = 0; k < RESULTS; k++)
                n += STATS_LOAD(all->all_stats[w], requests[i][k]);
    }
    return n;
}

static void stats(const struct client *c, struct buf *t)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < c->all->nworkers; i++)
        total += STATS_LOAD(c->all->all_stats[i], connections_total);
    buf_printf(t,
               "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64 "\r\n",
               total, sum_requests(c->all));
}

static void replication(const struct client *c, struct buf *t)
{
    (void)c;
    buf_add_str(t, "role:master\r\nconnected_slaves:0\r\n");
}

static void cluster(const struct client *c, struct buf *t)
{
    (void)c;
    buf_add_str(t, "cluster_enabled:0\r\n");
}

static void keyspace(const struct client *c, struct buf *t)
{
    uint64_t keys = __atomic_load_n(&store_stats(c->all->requests->store)->keys, __ATOMIC_RELAXED);
    if (keys)
        buf_printf(t, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", keys);
}

static const struct section {
    const char *name, *title;
    void (*add)(const struct client *c, struct buf *t);
} sections[] = {
    {"server", "Server", server},    {"clients", "Clients", clients},
    {"memory", "Memory", memory},    {"persistence", "Persistence", persistence},
    {"stats", "Stats", stats},       {"replication", "Replication", replication},
    {"cluster", "Cluster", cluster}, {"keyspace", "Keyspace", keyspace},
};

static bool wanted(const struct client *c, const char *section)
{
    bool is = c->cmd.argc == 1;
    for (size_t i = 1; i < c->cmd.argc && !is; i++) {
        struct slice a = c->cmd.argv[i];
        is = slice_is(a, section) || slice_is(a, "all") || slice_is(a, "default") ||
             slice_is(a, "everything");
    }
    return is;
}

void session_info(struct client *c, struct buf *b)
{
    struct buf t = BUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (!wanted(c, sections[i].name))
            continue;
        buf_printf(&t, "%s# %s\r\n", t.len ? "\r\n" : "", sections[i].title);
        sections[i].add(c, &t);
    }
    resp_add_bulk(b, buf_slice(&t));
    buf_fini(&t);
}
