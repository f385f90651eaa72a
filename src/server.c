#include "server.h"
#include "admin/admin.h"
#include "client/doorman.h"
#include "core/address.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/listener.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/mem.h"
#include "gossip/gossip.h"
#include "hint/mark.h"
#include "peer/keep.h"
#include "peer/logs.h"
#include "peer/roster.h"
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
    struct gossip *gossip; /* NULL: enable_gossip is false */
    struct gossip_figures gossiped;
    unsigned nworkers;
    struct worker **workers;
    struct stats **stats;
    struct admin *admin;
    struct doorman *doorman; /* while it starts */
    uint32_t clock_trusted, own_state, own_member, serves;
    uint64_t clock_now, watermark, settled_below, started_ms;
    int64_t clock_off;
};

/* ---- who we are
 * ---------------------------------------------------------------------------------- */

/* Where peers find this node: who listens everywhere still has one address that can be dialled. */
static char *own_address(const struct config *c)
{
    struct address a, seed = {.kind = ADDRESS_TCP}, here;
    struct error ignored;
    char text[ADDRESS_TEXT_SIZE];
    if (c->advertise || !address_parse(c->dyn_listen, 0, &a, &ignored) || !address_is_any(&a))
        return mem_strdup(c->advertise ? c->advertise : c->dyn_listen);
    if (c->nseeds) {
        snprintf(seed.host, sizeof seed.host, "%s", c->seeds[0].host);
        seed.port = c->seeds[0].port;
    }
    address_of_this_machine(c->nseeds ? &seed : NULL, a.port, &here);
    address_format(&here, text, sizeof text);
    return mem_strdup(text);
}

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
    s->address = own_address(c);
    s->me.address = s->address;
    s->me.datacenter = c->datacenter;
    s->me.rack = c->rack;
    s->me.data_store = config_data_store(c);
    s->me.tokens = c->tokens;
    s->me.ntokens = c->ntokens;
    return true;
}

static bool load_ring(struct server *s, struct error *e)
{
    s->topology = roster_load(s->config, &s->me, e);
    return s->topology != NULL;
}

/* ---- store and logs
 * -------------------------------------------------------------------------------- */

/* Stamps of writes that an earlier run may have applied: its own lie below the bound that it kept,
 * peers' clocks may be ahead of it. */
static uint64_t highest_before(const struct server *s)
{
    return s->used_data_dir ? s->clock_floor + (2ull * HLC_AHEAD_MAX_MS << 16) : 0;
}

static bool open_store(struct server *s, struct error *e)
{
    const struct config *c = s->config;
    struct store_options o = {.data_dir = c->data_dir,
                              .self_id = s->me.id,
                              .sync = c->store_sync,
                              .max_bytes = c->store_max_bytes,
                              .replies_max = c->client_output_max_bytes,
                              .user = c->backend_user,
                              .password = c->backend_password,
                              .stamp_table_bytes = c->stamp_table_bytes,
                              .timeout_ms = c->timeout,
                              .clock_floor = highest_before(s),
                              /* a client of a node with peers outlives a Redis that hangs */
                              .company_timeout_ms = c->timeout / 2,
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
        s->store = c->data_store == DATA_STORE_REDIS ? store_open_redis(&o, e)
                                                     : store_open_memcached(&o, e);
    }
    return s->store != NULL;
}

static bool open_logs(struct server *s, struct error *e)
{
    s->logs = (struct logs){.config = s->config, .me = &s->me, .topology = s->topology};
    s->senders = mem_calloc(RING_NODES_MAX, sizeof *s->senders);
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
    if (!keep_peers(s->config->data_dir, t, &e) || !roster_keep(s->config, t, &e) ||
        !logs_keep_ring(&s->logs, t, &e))
        log_error("%s", e.text);
}

static struct sender *new_sender(struct server *s, struct peer *p, const char *address,
                                 struct error *e)
{
    struct sender_options o = {.config = s->config,
                               .me = &s->me,
                               .topology = &s->topology,
                               .peer = p,
                               .address = address,
                               .orphans = &s->logs.orphans,
                               .hint_dir = s->logs.dirs[p->node],
                               .writer = writer_actor(s->writer),
                               .clock_trusted = &s->clock_trusted,
                               .watermark = &s->watermark};
    return sender_start(&o, e);
}

/* The writer's thread: membership names a peer that isn't known. */
static bool on_new_peer(void *arg, const struct ring_node *n, struct error *e)
{
    struct server *s = arg;
    struct peer *p = logs_add(&s->logs, n, e);
    if (!p)
        return false;
    s->senders[p->node] = new_sender(s, p, n->address, e);
    if (!s->senders[p->node]) {
        logs_undo_add(&s->logs, p);
        return false;
    }
    peers_publish(&s->logs.peers, p->node + 1);
    return true;
}

static bool on_first_peer(void *arg, const char **dir, struct error *e)
{
    struct server *s = arg;
    bool ok = logs_add_own(&s->logs, s->topology, e);
    *dir = s->logs.dirs[s->logs.peers.self];
    return ok;
}

static unsigned settle_workers(void *arg)
{
    struct server *s = arg;
    for (unsigned i = 0; i < s->nworkers; i++) {
        struct mail_settle *m = MEM_NEW(struct mail_settle);
        m->msg.type = MAIL_SETTLE;
        m->asker = writer_actor(s->writer);
        actor_send(worker_actor(s->workers[i]), &m->msg);
    }
    return s->nworkers;
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
                               .settled_below = &s->settled_below,
                               .clock_off = &s->clock_off,
                               .clock_kept = &s->clock_kept,
                               .keep_clock = on_clock,
                               .met = on_met,
                               .add = on_new_peer,
                               .add_own = on_first_peer,
                               .settle = settle_workers,
                               .serves = &s->serves,
                               .arg = s};
    s->writer = writer_start(&o, e);
    return s->writer != NULL;
}

static bool start_senders(struct server *s, struct error *e)
{
    for (unsigned i = 0; i < peers_count(&s->logs.peers); i++) {
        if (i == s->logs.peers.self || PEER_LOAD(s->logs.peers.at[i], gone))
            continue;
        s->senders[i] = new_sender(s, s->logs.peers.at[i], NULL, e);
        if (!s->senders[i])
            return false;
    }
    return true;
}

static bool start_gossip(struct server *s, struct error *e)
{
    struct gossip_options o = {.config = s->config,
                               .me = &s->me,
                               .topology = &s->topology,
                               .peers = &s->logs.peers,
                               .writer = writer_actor(s->writer),
                               .own_state = &s->own_state,
                               .serves = &s->serves,
                               .clock_now = &s->clock_now,
                               .own_member = &s->own_member,
                               .figures = &s->gossiped};
    if (!s->config->enable_gossip)
        return true;
    s->gossip = gossip_start(&o, e);
    return s->gossip != NULL;
}

static struct actor *the_gossip(const struct server *s)
{
    return s->gossip ? gossip_actor(s->gossip) : NULL;
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
                              .gossip = the_gossip(s),
                              .figures = &s->gossiped,
                              .own_member = &s->own_member,
                              .own_state = &s->own_state,
                              .clock_off = &s->clock_off,
                              .started_ms = s->started_ms};
    return admin_start(s->admin, &o, e);
}

/* A Redis has one thread, which costs more a request than a worker in front of it: a second worker
 * would only halve what goes out together. Who asks for a number of workers gets them. */
static unsigned serving_workers(const struct server *s)
{
    bool alone = peers_count(&s->logs.peers) == 1 && s->config->data_store != DATA_STORE_EMBEDDED;
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
                                   .gossip = the_gossip(s),
                                   .own_member = &s->own_member,
                                   .own_state = &s->own_state,
                                   .stats = s->stats,
                                   .all = s->workers,
                                   .serving = serving_workers(s),
                                   .client_fd = k == 0 ? s->client_fd : -1,
                                   .peer_fd = k == 0 ? s->peer_fd : -1,
                                   .started_ms = s->started_ms,
                                   .serves = &s->serves,
                                   .settled_below = &s->settled_below};
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

/* Clients hear of a start that takes long. */
static bool start_doorman(struct server *s, struct error *e)
{
    bool memcache = s->config->data_store == DATA_STORE_MEMCACHE;
    s->doorman = doorman_start(s->client_fd, memcache, e);
    return s->doorman != NULL;
}

/* Who has come while the node started, with what it has said. */
static void deal_visitor(void *arg, int fd, struct buf *in)
{
    struct server *s = arg;
    struct mail_client *m = MEM_NEW(struct mail_client);
    m->msg.type = MAIL_CLIENT;
    m->fd = fd;
    m->in = *in;
    actor_send(worker_actor(s->workers[(unsigned)fd % serving_workers(s)]), &m->msg);
}

/* The doorman goes when the store is there, and who serves comes right behind. */
static bool open_door(struct server *s, struct error *e)
{
    doorman_stop(s->doorman, deal_visitor, s);
    s->doorman = NULL;
    return start_workers(s, e);
}

/* After the start: when it fails, stderr has one line, which says why. */
static void warn_of_open_doors(const struct server *s)
{
    const struct config *c = s->config;
    struct address a;
    struct error ignored;
    if (!*c->cluster_secret && c->nseeds)
        log_warn("cluster_secret is empty: peers are not authenticated");
    if (!config_needs_password(c) && address_parse(c->listen, 0, &a, &ignored) &&
        !address_is_loopback(&a))
        log_warn("listen: %s isn't loopback and clients need no password", c->listen);
    if (!c->advertise && address_parse(c->dyn_listen, 0, &a, &ignored) && address_is_any(&a))
        log_warn("dyn_listen: nobody can dial %s: peers are told %s; advertise tells them another",
                 c->dyn_listen, s->me.address);
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
    if (!load_identity(s, e) || !load_ring(s, e) || !bind_ports(s, e) || !start_doorman(s, e) ||
        !open_logs(s, e) || !open_store(s, e) || !start_writer(s, e) || !start_senders(s, e) ||
        !start_gossip(s, e) || !start_admin(s, e) || !open_door(s, e))
        return NULL; /* the process ends */
    warn_of_open_doors(s);
    log_notice("node %s is up: clients %s, peers %s, %s store, %u peers", s->me.id, c->listen,
               s->me.address, s->me.data_store, peers_count(&s->logs.peers) - 1);
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

/* Of peers that have left the ring: only the thread; somebody may yet send to its mailbox. */
static void join_ended_senders(struct server *s)
{
    unsigned n = peers_count(&s->logs.peers);
    for (unsigned i = 0; i < n; i++)
        if (s->senders[i] && sender_is_over(s->senders[i]))
            sender_join(s->senders[i]);
}

void server_tick(struct server *s)
{
    join_ended_senders(s);
    lock_take(&s->keeping);
    keep_wanted_mark(s);
    keep_clock(s);
    lock_give(&s->keeping);
}

struct actor *server_writer(struct server *s)
{
    return writer_actor(s->writer);
}

struct topology *const *server_ring(const struct server *s)
{
    return &s->topology;
}

const struct peers *server_peers(const struct server *s)
{
    return &s->logs.peers;
}

const struct identity *server_identity(const struct server *s)
{
    return &s->me;
}

const struct store *server_store(const struct server *s)
{
    return s->store;
}

bool server_serves(const struct server *s)
{
    return __atomic_load_n(&s->serves, __ATOMIC_ACQUIRE);
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

/* The other nodes are told; then clients go, while everything that they wait for still runs; then
 * who asks the workers; the writer applies what they left, the senders send it. Memory goes when no
 * thread is left that could send to it. */
static void stop_actors(struct server *s)
{
    if (s->gossip)
        gossip_stop(s->gossip);
    for (unsigned i = 0; i < s->nworkers; i++)
        worker_stop(s->workers[i]);
    for (unsigned i = 0; i < s->nworkers; i++)
        worker_join(s->workers[i]);
    admin_stop(s->admin);
    admin_join(s->admin);
    if (s->gossip)
        gossip_join(s->gossip);
    writer_stop(s->writer);
    writer_join(s->writer);
    for (unsigned i = 0; i < peers_count(&s->logs.peers); i++)
        if (s->senders[i])
            sender_stop(s->senders[i]);
    for (unsigned i = 0; i < peers_count(&s->logs.peers); i++)
        if (s->senders[i])
            sender_join(s->senders[i]);
    for (unsigned i = 0; i < peers_count(&s->logs.peers); i++)
        if (s->senders[i])
            sender_free(s->senders[i]);
    if (s->gossip)
        gossip_free(s->gossip);
    admin_free(s->admin); /* the senders and the gossip actor answer it */
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
