#include "server.h"
#include "admin/admin.h"
#include "core/address.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/listener.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/mem.h"
#include "hint/mark.h"
#include "peer/keep.h"
#include "peer/logs.h"
#include "peer/sender.h"
#include "request/handoff.h"
#include "request/writer.h"
#include "worker.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLOCK_BOUND_MS 5000 /* how far ahead the kept bound lies: peers must follow it */
#define CLOCK_STEP_MS  1000 /* how far it is moved when stamps have come to it */
#define CLOCK_NEAR_MS  (3600ull * 1000)

struct server {
    struct config *config;
    int lock_fd, client_fd, peer_fd;
    struct identity me;
    char *address;
    bool used_data_dir;
    uint64_t clock_floor;
    struct lock keeping; /* of data_dir/start: the main thread, and the writer */
    struct keep_start kept;
    uint64_t mark_wanted, mark_kept, clock_kept; /* see request/writer.h */
    struct topology *topology;
    struct store *store;
    struct logs logs;
    struct sender **senders;
    struct writer *writer;
    unsigned nworkers;
    struct worker **workers;
    struct stats **stats;
    struct admin *admin;
    uint32_t clock_trusted, own_state;
    uint64_t clock_now, watermark, started_ms;
    int64_t clock_off;
};

/* ---- who we are
 * ---------------------------------------------------------------------------------- */

static bool load_identity(struct server *s, struct error *e)
{
    const struct config *c = s->config;
    struct keep_start last;
    if (!datadir_lock(c->data_dir, &s->lock_fd, e) ||
        !keep_load_id(c->data_dir, s->me.id, &s->used_data_dir, e) ||
        !keep_next_start(c->data_dir, 0, &last, &s->me.start_mark, e))
        return false;
    s->kept = last;
    s->kept.mark = s->mark_kept = s->me.start_mark;
    s->clock_kept = last.clock_ms;
    s->clock_floor = s->clock_now = last.clock_ms << 16;
    uint64_t now = clock_steady_ms(), seen = last.seen_ms ? last.seen_ms : last.clock_ms;
    uint64_t apart = now > seen ? now - seen : seen - now;
    s->clock_trusted = seen == 0 || apart < CLOCK_NEAR_MS;
    s->me.cluster = c->pool_name;
    s->me.secret = c->cluster_secret;
    s->address = mem_strdup(c->advertise ? c->advertise : c->dyn_listen);
    s->me.address = s->address;
    s->me.datacenter = c->datacenter;
    s->me.rack = c->rack;
    s->me.data_store = c->data_store == DATA_STORE_EMBEDDED ? "embedded" : "redis";
    s->me.tokens = c->tokens;
    s->me.ntokens = c->ntokens;
    return true;
}

static char *seed_address(const struct config_seed *seed)
{
    bool v6 = strchr(seed->host, ':') != NULL;
    return mem_printf(v6 ? "[%s]:%u" : "%s:%u", seed->host, seed->port);
}

/* This node first, then the seeds as configured. */
static bool build_topology(struct server *s, struct error *e)
{
    const struct config *c = s->config;
    unsigned n = (unsigned)c->nseeds + 1;
    struct ring_node *nodes = mem_calloc(n, sizeof *nodes);
    nodes[0] = (struct ring_node){.address = s->me.address,
                                  .datacenter = c->datacenter,
                                  .rack = c->rack,
                                  .tokens = c->tokens,
                                  .ntokens = c->ntokens};
    memcpy(nodes[0].id, s->me.id, NODE_ID_SIZE);
    for (unsigned i = 1; i < n; i++) {
        const struct config_seed *seed = &c->seeds[i - 1];
        nodes[i] = (struct ring_node){.address = seed_address(seed),
                                      .datacenter = seed->datacenter,
                                      .rack = seed->rack,
                                      .tokens = seed->tokens,
                                      .ntokens = seed->ntokens};
    }
    bool ok = keep_load_peers(c->data_dir, nodes, n, 0, e);
    s->topology = ok ? topology_new(nodes, n, 0, e) : NULL;
    for (unsigned i = 1; i < n; i++)
        mem_free((void *)(uintptr_t)nodes[i].address);
    mem_free(nodes);
    return s->topology != NULL;
}

/* ---- store and logs
 * -------------------------------------------------------------------------------- */

static bool open_store(struct server *s, struct error *e)
{
    const struct config *c = s->config;
    struct store_options o = {.data_dir = c->data_dir,
                              .self_id = s->me.id,
                              .sync = c->store_sync,
                              .max_bytes = c->store_max_bytes,
                              .user = c->backend_user,
                              .password = c->backend_password,
                              .stamp_table_bytes = c->stamp_table_bytes,
                              /* a client of a node with peers outlives a Redis that hangs */
                              .timeout_ms = s->topology->n > 1 ? c->timeout / 2 : c->timeout,
                              .alone =
                                  s->topology->n == 1 && !s->logs.orphans.n && !s->logs.peers.own};
    if (c->data_store == DATA_STORE_EMBEDDED) {
        s->store = store_open_embedded(&o, e);
    } else {
        const struct address *a = &c->servers[0];
        if (a->kind == ADDRESS_UNIX) {
            o.unix_path = a->path;
        } else {
            o.host = a->host;
            o.port = a->port;
        }
        s->store = store_open_redis(&o, e);
    }
    return s->store != NULL;
}

static bool open_logs(struct server *s, struct error *e)
{
    s->logs = (struct logs){.config = s->config, .me = &s->me, .topology = s->topology};
    s->senders = mem_calloc(s->topology->n, sizeof *s->senders);
    if (!logs_open(&s->logs, e))
        return false;
    handoff_recover(&s->logs.orphans, s->config, s->topology, &s->logs.peers);
    return true;
}

/* ---- actors
 * --------------------------------------------------------------------------------------- */

static void on_met(void *arg, const struct topology *t)
{
    struct server *s = arg;
    struct error e;
    if (!keep_peers(s->config->data_dir, t, &e) || !logs_keep_ring(&s->logs, t, &e))
        log_error("%s", e.text);
}

/* A bound that the disk doesn't take is used all the same, and tried again at the next tick. */
static void keep_bound(struct server *s, uint64_t ms)
{
    struct keep_start next = s->kept;
    struct error e;
    next.clock_ms = ms;
    if (__atomic_load_n(&s->clock_trusted, __ATOMIC_RELAXED))
        next.seen_ms = clock_steady_ms();
    if (keep_start(s->config->data_dir, &next, &e))
        s->kept = next;
    else
        log_error("%s", e.text);
    __atomic_store_n(&s->clock_kept, ms, __ATOMIC_RELEASE);
}

static void on_clock(void *arg, uint64_t ms)
{
    struct server *s = arg;
    lock_take(&s->keeping);
    if (ms >= s->clock_kept) /* else the main thread was faster */
        keep_bound(s, ms + CLOCK_STEP_MS);
    lock_give(&s->keeping);
}

static void prepare_workers(struct server *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    s->nworkers = s->config->workers ? s->config->workers : (unsigned)(cpus > 0 ? cpus : 1);
    s->workers = mem_calloc(s->nworkers, sizeof *s->workers);
    s->stats = mem_calloc(s->nworkers, sizeof *s->stats);
    for (unsigned i = 0; i < s->nworkers; i++) {
        s->workers[i] = worker_new();
        s->stats[i] = MEM_NEW(struct stats);
    }
}

static bool start_writer(struct server *s, struct error *e)
{
    struct writer_options o = {.config = s->config,
                               .me = &s->me,
                               .topology = &s->topology,
                               .peers = &s->logs.peers,
                               .orphans = &s->logs.orphans,
                               .own_hint_dir = s->logs.dirs[s->logs.peers.self],
                               .store = s->store,
                               .used_data_dir = s->used_data_dir,
                               .clock_floor = s->clock_floor,
                               .mark_wanted = &s->mark_wanted,
                               .mark_kept = &s->mark_kept,
                               .clock_trusted = &s->clock_trusted,
                               .own_state = &s->own_state,
                               .clock_now = &s->clock_now,
                               .watermark = &s->watermark,
                               .clock_off = &s->clock_off,
                               .clock_kept = &s->clock_kept,
                               .keep_clock = on_clock,
                               .met = on_met,
                               .arg = s};
    s->writer = writer_start(&o, e);
    return s->writer != NULL;
}

static bool start_senders(struct server *s, struct error *e)
{
    for (unsigned i = 0; i < s->logs.peers.n; i++) {
        if (i == s->logs.peers.self)
            continue;
        struct sender_options o = {.config = s->config,
                                   .me = &s->me,
                                   .topology = &s->topology,
                                   .peer = s->logs.peers.at[i],
                                   .orphans = &s->logs.orphans,
                                   .hint_dir = s->logs.dirs[i],
                                   .writer = writer_actor(s->writer),
                                   .clock_trusted = &s->clock_trusted,
                                   .watermark = &s->watermark};
        s->senders[i] = sender_start(&o, e);
        if (!s->senders[i])
            return false;
    }
    return true;
}

static bool start_admin(struct server *s, struct error *e)
{
    struct admin_sources o = {.config = s->config,
                              .me = &s->me,
                              .topology = &s->topology,
                              .peers = &s->logs.peers,
                              .store = s->store,
                              .stats = s->stats,
                              .nworkers = s->nworkers,
                              .worker = worker_actor(s->workers[0]),
                              .writer = writer_actor(s->writer),
                              .own_state = &s->own_state,
                              .clock_off = &s->clock_off,
                              .started_ms = s->started_ms};
    return admin_start(s->admin, &o, e);
}

/* A Redis has one thread, which costs more a request than a worker in front of it: a second worker
 * would only halve what goes out together. Who asks for a number of workers gets them. */
static unsigned serving_workers(const struct server *s)
{
    bool alone = s->logs.peers.n == 1 && s->config->data_store != DATA_STORE_EMBEDDED;
    return alone && !s->config->workers ? 1 : s->nworkers;
}

static bool start_workers(struct server *s, struct error *e)
{
    for (unsigned k = s->nworkers; k-- > 0;) { /* the first, which deals, last */
        struct worker_options o = {.index = k,
                                   .n = s->nworkers,
                                   .config = s->config,
                                   .me = &s->me,
                                   .topology = &s->topology,
                                   .peers = &s->logs.peers,
                                   .store = s->store,
                                   .writer = writer_actor(s->writer),
                                   .own_state = &s->own_state,
                                   .stats = s->stats,
                                   .all = s->workers,
                                   .serving = serving_workers(s),
                                   .client_fd = k == 0 ? s->client_fd : -1,
                                   .peer_fd = k == 0 ? s->peer_fd : -1,
                                   .started_ms = s->started_ms};
        if (!worker_start(s->workers[k], &o, e))
            return false;
    }
    return true;
}

static bool bind_ports(struct server *s, struct error *e)
{
    struct error why;
    if (!listener_bind(s->config->listen, &s->client_fd, &why))
        return error_set(e, "listen: %s", why.text);
    if (!listener_bind(s->config->dyn_listen, &s->peer_fd, &why))
        return error_set(e, "dyn_listen: %s", why.text);
    s->admin = admin_bind(s->config, e);
    return s->admin != NULL;
}

/* After the start: when it fails, stderr has one line, which says why. */
static void warn_of_open_doors(const struct config *c)
{
    struct address a;
    struct error ignored;
    if (!*c->cluster_secret && c->nseeds)
        log_warn("cluster_secret is empty: peers are not authenticated");
    if (address_parse(c->listen, 0, &a, &ignored) && !address_is_loopback(&a))
        log_warn("listen: %s isn't loopback and clients need no password", c->listen);
}

struct server *server_start(struct config *c, struct error *e)
{
    struct server *s = MEM_NEW(struct server);
    s->config = c;
    lock_init(&s->keeping);
    s->lock_fd = s->client_fd = s->peer_fd = -1;
    s->started_ms = clock_mono_ms();
    prepare_workers(s);
    /* the writer needs the senders' mailboxes and they its; each takes mail from the moment it is
     * started, and nothing writes before a worker runs */
    if (!load_identity(s, e) || !build_topology(s, e) || !bind_ports(s, e) || !open_logs(s, e) ||
        !open_store(s, e) || !start_writer(s, e) || !start_senders(s, e) || !start_admin(s, e) ||
        !start_workers(s, e))
        return NULL; /* the process ends */
    warn_of_open_doors(c);
    log_notice("node %s is up: clients %s, peers %s, %s store, %u peers", s->me.id, c->listen,
               s->me.address, s->me.data_store, s->logs.peers.n - 1);
    return s;
}

/* The writer's numbers run out: a new upper half, kept before it is used. */
static void keep_wanted_mark(struct server *s)
{
    uint64_t wanted = __atomic_load_n(&s->mark_wanted, __ATOMIC_ACQUIRE), mark;
    struct keep_start ignored;
    struct error e;
    if (wanted <= s->kept.mark)
        return;
    if (!keep_next_start(s->config->data_dir, wanted, &ignored, &mark, &e)) {
        log_error("%s", e.text);
        return;
    }
    s->kept.mark = mark;
    __atomic_store_n(&s->mark_kept, mark, __ATOMIC_RELEASE);
}

/* The time that stamps go with: where the peers' clocks show that the wall clock is off, none goes
 * with it. */
static uint64_t stamping_ms(const struct server *s)
{
    int64_t off = __atomic_load_n(&s->clock_off, __ATOMIC_ACQUIRE);
    bool right = off <= HLC_AHEAD_MAX_MS && off >= -HLC_AHEAD_MAX_MS;
    return clock_wall_ms() - (right ? 0 : (uint64_t)off);
}

static void keep_clock(struct server *s)
{
    uint64_t now = stamping_ms(s), hlc = __atomic_load_n(&s->clock_now, __ATOMIC_RELAXED) >> 16;
    /* stamps go with the clock, or, where that is behind, count on from the last one: slowly, so
     * that restarts one after the other don't carry them away from the peers' */
    uint64_t by_wall = now + CLOCK_BOUND_MS, by_count = hlc + KEEP_COUNT_MS;
    uint64_t bound = by_wall > by_count ? by_wall : by_count;
    bool holds = now + CLOCK_BOUND_MS / 2 <= s->kept.clock_ms && hlc < s->kept.clock_ms;
    bool far = s->kept.clock_ms > bound + CLOCK_BOUND_MS; /* of a clock that was wrong, unused */
    if (!holds || far)
        keep_bound(s, bound);
}

void server_changed(struct server *s)
{
    peers_follow_caps(&s->logs.peers, s->config);
}

void server_tick(struct server *s)
{
    lock_take(&s->keeping);
    keep_wanted_mark(s);
    keep_clock(s);
    lock_give(&s->keeping);
}

static void free_workers(struct server *s)
{
    for (unsigned i = 0; i < s->nworkers; i++) {
        worker_free(s->workers[i]);
        mem_free(s->stats[i]);
    }
    mem_free(s->workers);
    mem_free(s->stats);
}

/* Clients go first, while everything that they wait for still runs; then who asks the workers; the
 * writer applies what they left, the senders send it. Memory goes when no thread is left that could
 * send to it. */
static void stop_actors(struct server *s)
{
    for (unsigned i = 0; i < s->nworkers; i++)
        worker_stop(s->workers[i]);
    for (unsigned i = 0; i < s->nworkers; i++)
        worker_join(s->workers[i]);
    admin_stop(s->admin);
    admin_join(s->admin);
    writer_stop(s->writer);
    writer_join(s->writer);
    for (unsigned i = 0; i < s->logs.peers.n; i++)
        if (s->senders[i])
            sender_stop(s->senders[i]);
    for (unsigned i = 0; i < s->logs.peers.n; i++)
        if (s->senders[i])
            sender_join(s->senders[i]);
    for (unsigned i = 0; i < s->logs.peers.n; i++)
        if (s->senders[i])
            sender_free(s->senders[i]);
    admin_free(s->admin); /* the senders answer it */
    writer_free(s->writer);
    free_workers(s);
}

void server_stop(struct server *s)
{
    stop_actors(s);
    store_close(s->store);
    logs_close(&s->logs);
    mem_free(s->senders);
    topology_free(s->topology);
    struct address a;
    struct error ignored;
    if (address_parse(s->config->listen, 0, &a, &ignored) && a.kind == ADDRESS_UNIX)
        unlink(a.path);
    mem_free(s->address);
    close(s->lock_fd);
    lock_fini(&s->keeping);
    mem_free(s);
}
