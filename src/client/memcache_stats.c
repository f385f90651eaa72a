/* `stats`: this node's figures under memcached's names, as far as it has them. */
#include "client/memcache.h"
#include "core/clock.h"
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

static void add(struct buf *out, const char *name, uint64_t v)
{
    buf_printf(out, "STAT %s %" PRIu64 "\r\n", name, v);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "STAT %s %s\r\n", name, text);
}

static void add_time(struct buf *out, const char *name, struct timeval t)
{
    buf_printf(out, "STAT %s %ld.%06ld\r\n", name, (long)t.tv_sec, (long)t.tv_usec);
}

static void process(const struct client *c, struct buf *out)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    add(out, "pid", (uint64_t)getpid());
    add(out, "uptime", (clock_mono_ms() - c->all->started_ms) / 1000);
    add(out, "time", clock_wall_ms() / 1000);
    add_text(out, "version", MEMCACHE_VERSION_TOLD);
    add(out, "pointer_size", 8 * sizeof(void *));
    add_time(out, "rusage_user", used.ru_utime);
    add_time(out, "rusage_system", used.ru_stime);
}

static uint64_t max_connections(const struct config *config)
{
    struct rlimit files;
    if (config->client_connections)
        return config->client_connections;
    getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur;
}

static void connections(const struct client *c, struct buf *out)
{
    const struct clients *all = c->all;
    uint64_t now = 0, total = 0;
    for (unsigned i = 0; i < all->nworkers; i++) {
        now += STATS_LOAD(all->all_stats[i], connections);
        total += STATS_LOAD(all->all_stats[i], connections_total);
    }
    add(out, "max_connections", max_connections(all->config));
    add(out, "curr_connections", now);
    add(out, "total_connections", total);
}

static void commands(const struct client *c, struct buf *out)
{
#define FIGURE_NAME(upper, lower) #lower,
    static const char *const names[] = {MEMCACHE_FIGURES(FIGURE_NAME)};
    for (unsigned f = 0; f < ARRAY_LEN(names); f++) {
        uint64_t n = 0;
        for (unsigned i = 0; i < c->all->nworkers; i++)
            n += STATS_LOAD(c->all->all_stats[i], memcache[f]);
        add(out, names[f], n);
    }
}

/* Of the memcached behind this node, as it told last. */
static void items(const struct client *c, struct buf *out)
{
    const struct store_stats *s = store_stats(c->all->requests->store);
    add(out, "bytes", __atomic_load_n(&s->bytes, __ATOMIC_RELAXED));
    add(out, "curr_items", __atomic_load_n(&s->keys, __ATOMIC_RELAXED));
}

static void general(const struct client *c, struct buf *out)
{
    process(c, out);
    connections(c, out);
    commands(c, out);
    add(out, "threads", c->all->nworkers);
    items(c, out);
}

static void settings(const struct client *c, struct buf *out)
{
    const struct config *config = c->all->config;
    struct address a;
    bool parsed = address_parse(config->listen, 0, &a, NULL), tcp = a.kind != ADDRESS_UNIX;
    add(out, "maxconns", max_connections(config));
    add(out, "tcpport", parsed && tcp ? a.port : 0);
    add(out, "udpport", 0);
    add_text(out, "domain_socket", parsed && !tcp ? config->listen : "NULL");
    add(out, "verbosity", memcache_verbosity(c->all));
    add(out, "num_threads", c->all->nworkers);
    add_text(out, "cas_enabled", "yes");
    add_text(out, "binding_protocol", "ascii");
    add_text(out, "auth_enabled_ascii", "no");
    add(out, "item_size_max", memcache_value_max(c->all));
    add_text(out, "flush_enabled", CONFIG_LIVE(config, allow_flush) ? "yes" : "no");
    add_text(out, "dump_enabled", "no");
}

/* Figures of one memcached's memory: this node has none of its own. */
static bool is_of_memory(struct slice what)
{
    static const char *const names[] = {"items", "slabs", "conns", "extstore"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(what, slice_str(names[i])))
            return true;
    return false;
}

/* NULL: it isn't refused. */
static const char *refusal(struct slice what)
{
    static const struct {
        const char *name, *why;
    } refused[] = {
        {"reset", "CLIENT_ERROR stats reset isn't supported: metrics count on these figures"},
        {"detail", "CLIENT_ERROR stats detail isn't supported; dyn-admin and HTTP tell more"},
        {"cachedump", "CLIENT_ERROR stats cachedump not allowed"},
        {"sizes_enable", "CLIENT_ERROR stats sizes are those of one memcached"},
        {"sizes_disable", "CLIENT_ERROR stats sizes are those of one memcached"}};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (slice_eq(what, slice_str(refused[i].name)))
            return refused[i].why;
    return NULL;
}

void memcache_stats(struct client *c, struct buf *out)
{
    const struct memcache_command *m = &c->memcache->cmd;
    struct slice what = m->nwords > 1 ? m->words[1] : slice_of("", 0);
    const char *why = refusal(what);
    if (what.len == 0)
        general(c, out);
    else if (slice_eq(what, slice_str("settings")))
        settings(c, out);
    else if (slice_eq(what, slice_str("sizes")))
        add_text(out, "sizes_status", "disabled");
    else if (!is_of_memory(what)) {
        buf_printf(out, "%s\r\n", why ? why : "ERROR");
        return;
    }
    buf_add_str(out, "END\r\n");
}
