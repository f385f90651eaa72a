#include "worker.h"
#include "core/alarm.h"
#include "core/clock.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/mem.h"
#include "request/batch.h"
#include "request/inspect.h"
#include "request/repair.h"
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS      20 /* while requests are in flight */
#define HOLD_TICK_MS 1  /* while one of them waits for acknowledgements */
#define IDLE_TICK_MS 250
#define LINK_TICK_MS 1000
#define DRAIN_MS     5000

struct worker {
    struct actor actor;
    struct worker_options o;
    struct listener client_port, peer_port;
    unsigned next; /* whose turn it is to get a socket */
    uv_timer_t tick;
    struct alarm hedge; /* rings when a read may have to be hedged */
    bool hedge_rang;
    uint64_t link_tick_ms, drain_until_ms;
    bool draining;
    struct mail_settle *settling; /* to be answered when no write is on its way past the writer */
    struct store_reader *reader;
    struct requests requests;
    struct receivers receivers;
    struct clients clients;
    struct inspections inspections;
    struct copies copies;
    struct repairs repairs;
};

/* ---- accepting --------------------------------------------------------------------------------
 */

static void deal(struct worker *w, int fd, bool peer)
{
    struct mail_client *m = MEM_NEW(struct mail_client);
    m->msg.type = MAIL_CLIENT;
    m->fd = fd;
    m->peer = peer;
    actor_send(&w->o.all[w->next++ % (peer ? w->o.n : w->o.serving)]->actor, &m->msg);
}

/* A node that is leaving tells new clients so, and goes on with those that it has. */
static bool is_leaving(const struct worker *w)
{
    uint32_t s = __atomic_load_n(w->o.own_member, __ATOMIC_ACQUIRE);
    return s == NODE_LEAVING || s == NODE_RESET;
}

static void on_client(void *arg, int fd)
{
    const struct worker *w = arg;
    bool memcache = w->o.config->data_store == DATA_STORE_MEMCACHE;
    char no[100];
    if (is_leaving(w)) {
        int n =
            snprintf(no, sizeof no, "%s this node is leaving the ring and takes no new clients\r\n",
                     memcache ? "SERVER_ERROR" : "-ERR");
        (void)!send(fd, no, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        return;
    }
    deal(arg, fd, false);
}

static void on_peer(void *arg, int fd)
{
    deal(arg, fd, true);
}

static void open_ports(struct worker *w)
{
    struct error e;
    if (w->o.client_fd >= 0 &&
        !listener_start(&w->client_port, &w->actor.loop, w->o.client_fd, on_client, w, &e))
        log_error("client port: %s", e.text);
    if (w->o.peer_fd >= 0 &&
        !listener_start(&w->peer_port, &w->actor.loop, w->o.peer_fd, on_peer, w, &e))
        log_error("peer port: %s", e.text);
}

/* ---- the actor ----------------------------------------------------------------------------------
 */

static void close_all(struct worker *w)
{
    clients_close(&w->clients);
    receivers_close(&w->receivers);
    uv_close((uv_handle_t *)&w->tick, NULL);
    alarm_close(&w->hedge);
}

static void on_tick(uv_timer_t *t);
static void on_hedge(void *arg);

static void tick_every(struct worker *w, uint64_t ms)
{
    if (uv_timer_get_repeat(&w->tick) == ms)
        return;
    uv_timer_start(&w->tick, on_tick, ms, ms);
}

/* Clients are answered what they asked before; then the actor ends itself. */
static void drain(struct worker *w, uint64_t now)
{
    if (clients_quiesce(&w->clients) || now >= w->drain_until_ms)
        actor_stop(&w->actor);
}

static void start_draining(struct worker *w)
{
    w->draining = true;
    w->drain_until_ms = clock_mono_ms() + DRAIN_MS;
    tick_every(w, TICK_MS);
    listener_stop(&w->client_port);
    listener_stop(&w->peer_port);
}

static void on_tick(uv_timer_t *t)
{
    struct worker *w = t->data;
    uint64_t now = clock_mono_ms();
    if (w->draining)
        drain(w, now);
    requests_tick(&w->requests, now);
    repairs_tick(&w->repairs, now);
    if (!w->requests.oldest && !w->draining && !repairs_busy(&w->repairs))
        tick_every(w, IDLE_TICK_MS);
    uint64_t since = now - w->link_tick_ms;
    if (since < LINK_TICK_MS)
        return;
    w->link_tick_ms = now;
    requests_rest(&w->requests);
    clients_tick(&w->clients, now);
    if (since < 2 * LINK_TICK_MS) /* else it was this thread that was away (a very large value) */
        receivers_tick(&w->receivers, now);
}

/* Four heartbeats, as its sender sends them. */
static unsigned link_silence_ms(const struct config *c)
{
    return 4 * (c->enable_gossip && c->gos_interval < BEAT_IDLE_MS ? BEAT_IDLE_MS
                                                                   : c->gos_interval) +
           1000;
}

/* What peers ask of more than the store. */
static bool serve(void *self, const struct frame *f, store_read_fn *fn, void *arg)
{
    struct worker *w = self;
    switch ((enum frame_kind)f->kind) {
    case FRAME_EXECUTE:
        request_serve_execute(&w->requests, f, fn, arg);
        return true;
    case FRAME_COPY:
    case FRAME_MEND:
        copies_serve(&w->copies, f, fn, arg);
        return true;
    default:
        return false;
    }
}

static void start(void *self)
{
    struct worker *w = self;
    const struct worker_options *o = &w->o;
    w->reader = store_reader_new(o->store, &w->actor.loop);
    w->requests = (struct requests){.worker = &w->actor,
                                    .writer = o->writer,
                                    .config = o->config,
                                    .topology = o->topology,
                                    .peers = o->peers,
                                    .store = o->store,
                                    .reader = w->reader,
                                    .own_state = o->own_state,
                                    .stats = o->stats[o->index],
                                    .serves = o->serves,
                                    .direct = peers_count(o->peers) == 1 &&
                                              store_takes_writes_anywhere(o->store)};
    if (!hash_parse(o->config->hash, &w->requests.hash))
        log_error("hash: found %s; allowed one that the configuration allows", o->config->hash);
    w->receivers = (struct receivers){.worker = &w->actor,
                                      .writer = o->writer,
                                      .gossip = o->gossip,
                                      .me = o->me,
                                      .topology = o->topology,
                                      .peers = o->peers,
                                      .reader = w->reader,
                                      .serve = serve,
                                      .server = w,
                                      .silence_ms = link_silence_ms(o->config)};
    w->clients = (struct clients){.worker = &w->actor,
                                  .config = o->config,
                                  .me = o->me,
                                  .requests = &w->requests,
                                  .stats = o->stats[o->index],
                                  .all_stats = o->stats,
                                  .nworkers = o->n,
                                  .next_worker = &o->all[(o->index + 1) % o->n]->actor,
                                  .started_ms = o->started_ms,
                                  .id_step = o->n,
                                  .id_offset = o->index};
    w->inspections = (struct inspections){.requests = &w->requests};
    w->copies = (struct copies){.worker = &w->actor,
                                .writer = o->writer,
                                .reader = w->reader,
                                .settled_below = o->settled_below};
    w->repairs = (struct repairs){.requests = &w->requests, .copies = &w->copies};
    w->requests.repairs = &w->repairs;
    uv_timer_init(&w->actor.loop, &w->tick);
    alarm_init(&w->hedge, &w->actor.loop, on_hedge, w);
    w->tick.data = w;
    tick_every(w, IDLE_TICK_MS);
    open_ports(w);
}

static void on_socket(struct worker *w, struct mail_client *m)
{
    if (w->draining)
        close(m->fd);
    else if (m->peer)
        receiver_accept(&w->receivers, m->fd);
    else
        client_accept(&w->clients, m->fd, &m->in);
    buf_fini(&m->in);
    mem_free(m);
}

static void on_reads(struct worker *w, struct mail_reads *m)
{
    struct read_item it;
    for (size_t at = 0; reads_next(m, &at, &it);) {
        switch ((enum frame_kind)it.kind) {
        case FRAME_INSPECT:
            inspect_mail_read(&w->inspections, m->node, &it);
            break;
        case FRAME_EXECUTE:
            request_mail_executed(&w->requests, m->node, &it);
            break;
        case FRAME_COPY:
        case FRAME_MEND:
            repairs_mail_read(&w->repairs, m->node, &it);
            break;
        default:
            request_mail_read(&w->requests, m->node, &it);
            break;
        }
    }
    reads_free(m);
}

static void receive(void *self, struct msg *msg)
{
    struct worker *w = self;
    switch ((enum mail_type)msg->type) {
    case MAIL_CLIENT:
        on_socket(w, container_of_(msg, struct mail_client, msg));
        break;
    case MAIL_CLIENTS:
        clients_mail(&w->clients, msg);
        break;
    case MAIL_WRITE:
        request_mail_write(&w->requests, container_of_(msg, struct mail_write, msg));
        break;
    case MAIL_VERDICTS:
        request_mail_verdicts(&w->requests, container_of_(msg, struct mail_verdicts, msg));
        break;
    case MAIL_READS:
        on_reads(w, container_of_(msg, struct mail_reads, msg));
        break;
    case MAIL_LINK:
        receiver_mail(&w->receivers, container_of_(msg, struct mail_link, msg));
        break;
    case MAIL_SETTLE:
        w->settling = container_of_(msg, struct mail_settle, msg);
        w->requests.direct = false;
        w->o.serving = w->o.n;
        break;
    case MAIL_DRAIN:
        start_draining(w);
        mem_free(msg);
        break;
    case MAIL_MEND:
        copies_mail_mend(&w->copies, container_of_(msg, struct mail_mend, msg));
        break;
    case MAIL_INSPECT:
        inspect_start(&w->inspections, container_of_(msg, struct mail_inspect, msg));
        break;
    default:
        log_error("worker: unexpected message %u", msg->type);
        mem_free(msg);
    }
}

static void answer_settled(struct worker *w)
{
    if (!w->settling || requests_settling(&w->requests))
        return;
    actor_send(w->settling->asker, &w->settling->msg);
    w->settling = NULL;
}

/* The answers that have come in the same turn are read first. */
static void on_hedge(void *arg)
{
    struct worker *w = arg;
    w->hedge_rang = true;
}

static void hedge(struct worker *w)
{
    if (w->hedge_rang)
        requests_hedge(&w->requests);
    w->hedge_rang = false;
}

static void set_hedge(struct worker *w)
{
    uint64_t due_us = requests_hedge_due(&w->requests);
    if (due_us != HEDGE_NEVER)
        alarm_set(&w->hedge, due_us);
}

static void turn_end(void *self)
{
    struct worker *w = self;
    hedge(w);
    clients_flush(&w->clients);
    receivers_flush(&w->receivers);
    requests_flush(&w->requests);
    answer_settled(w);
    set_hedge(w);
    bool holds = requests_hold_back(&w->requests);
    if (w->requests.oldest || w->clients.later || repairs_busy(&w->repairs))
        tick_every(w, holds ? HOLD_TICK_MS : TICK_MS);
}

static void stop(void *self)
{
    struct worker *w = self;
    repairs_stop(&w->repairs);
    store_reader_free(w->reader);
    requests_end(&w->requests);
    clients_stop(&w->clients);
    clients_flush(&w->clients);
    close_all(w);
}

static void end(void *self)
{
    struct worker *w = self;
    mem_free(w->settling);
    inspections_fini(&w->inspections);
    copies_fini(&w->copies);
    repairs_fini(&w->repairs);
    requests_fini(&w->requests);
    receivers_fini(&w->receivers);
}

static void drop(struct msg *msg)
{
    switch ((enum mail_type)msg->type) {
    case MAIL_CLIENT:
        close(container_of_(msg, struct mail_client, msg)->fd);
        buf_fini(&container_of_(msg, struct mail_client, msg)->in);
        break;
    case MAIL_CLIENTS:
        clients_mail_drop(msg);
        return;
    case MAIL_WRITE:
        mail_write_free(container_of_(msg, struct mail_write, msg));
        return;
    case MAIL_MEND:
        mail_mend_free(container_of_(msg, struct mail_mend, msg));
        return;
    case MAIL_VERDICTS:
        buf_fini(&container_of_(msg, struct mail_verdicts, msg)->replies);
        break;
    case MAIL_READS:
        reads_free(container_of_(msg, struct mail_reads, msg));
        return;
    case MAIL_LINK:
        buf_fini(&container_of_(msg, struct mail_link, msg)->frames);
        break;
    case MAIL_INSPECT:
        blob_unref(container_of_(msg, struct mail_inspect, msg)->key);
        break;
    default:
        break;
    }
    mem_free(msg);
}

static const struct actor_ops worker_ops = {.name = "worker",
                                            .start = start,
                                            .receive = receive,
                                            .turn_end = turn_end,
                                            .stop = stop,
                                            .end = end,
                                            .drop = drop};

struct worker *worker_new(void)
{
    struct worker *w = MEM_NEW_ALIGNED(struct worker);
    actor_init(&w->actor, &worker_ops, w);
    return w;
}

bool worker_start(struct worker *w, const struct worker_options *o, struct error *e)
{
    w->o = *o;
    return actor_start(&w->actor, e);
}

struct actor *worker_actor(struct worker *w)
{
    return &w->actor;
}

void worker_stop(struct worker *w)
{
    struct msg *m = MEM_NEW(struct msg);
    m->type = MAIL_DRAIN;
    actor_send(&w->actor, m);
}

void worker_join(struct worker *w)
{
    actor_join(&w->actor);
}

void worker_free(struct worker *w)
{
    actor_fini(&w->actor);
    mem_free(w);
}
