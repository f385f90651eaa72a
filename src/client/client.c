#include "client/client.h"
#include "client/call.h"
#include "client/multi.h"
#include "client/ring.h"
#include "client/unread.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <string.h>
#include <unistd.h>

#define CALLS_MAX   1024                   /* of one client in flight: others come between them */
#define IN_PAUSE    (1u * 1024 * 1024)     /* commands unread while stalled */
#define IN_UNREAD   (8u * 1024 * 1024)     /* the same while its replies are unread */
#define REPLY_ROOM  (16u * 1024 * 1024)    /* for the replies that one client waits for */
#define WRITE_ROOM  (8u * 1024 * 1024)     /* for the writes that it waits for */
#define DIRECT_ROOM (64u * 1024)           /* the same where all wait in one line at a Redis */
#define ALL_ROOM    (256ull * 1024 * 1024) /* for the writes that a worker's clients wait for */

void client_mark_dirty(struct client *c)
{
    if (c->is_dirty)
        return;
    c->is_dirty = true;
    c->next_dirty = c->all->dirty;
    c->all->dirty = c;
}

/* ---- replies
 * ------------------------------------------------------------------------------------- */

void client_count(struct clients *all, const struct command_spec *spec, bool error)
{
    size_t n;
    const struct command_spec *table = command_table(&n);
    if (spec && (size_t)(spec - table) < STATS_COMMANDS_MAX)
        STATS_ADD(all->stats, requests[spec - table][error ? RESULT_ERROR : RESULT_OK], 1);
    else
        STATS_ADD(all->stats, unknown_commands, 1);
}

static void write_reply(struct client *c, struct call *call)
{
    c->held -= call->reply.len;
    if (c->stream.out.len == 0 && call->reply.len > OUT_PAUSE) {
        struct buf empty = c->stream.out; /* a large one isn't copied */
        c->stream.out = call->reply;
        call->reply = empty;
    } else {
        buf_add(&c->stream.out, buf_head(&call->reply), call->reply.len);
    }
}

static void send_replies(struct client *c)
{
    for (; c->unwritten && c->unwritten->done; c->unwritten = c->unwritten->next)
        write_reply(c, c->unwritten);
    if (c->first_call == c->unwritten)
        return;
    c->all->now_us = clock_mono_us();
    while (c->first_call != c->unwritten) {
        struct call *call = c->first_call;
        c->first_call = call->next;
        c->ncalls--;
        client_count(c->all, call->spec, call->failed);
        histogram_add(&c->all->stats->duration, c->all->now_us - call->started_us, 1);
        call_free(call);
    }
    if (!c->first_call)
        c->last_call = NULL;
}

/* Reads that took no call: how long the commands that came together took together. */
static void count_at_once(struct client *c, uint64_t since_us)
{
    if (!c->answered_at_once)
        return;
    c->all->now_us = clock_mono_us();
    histogram_add(&c->all->stats->duration, c->all->now_us - since_us, c->answered_at_once);
    c->answered_at_once = 0;
}

/* ---- commands
 * ------------------------------------------------------------------------------------- */

static void protocol_error(struct client *c, const char *text)
{
    struct call *call = call_new(c, NULL, 0);
    struct buf b = BUF_INIT;
    c->dialect->add_error(&b, text);
    call_reply(call, buf_slice(&b));
    buf_fini(&b);
    c->closing = true;
}

/* How large a reply will be isn't known when its command starts: the ones before tell what to
 * expect, and a new connection starts with one at a time. A client that has nothing in flight may
 * always start something, so that all get on. */
static bool has_room(const struct client *c)
{
    size_t unsent = unread_piles_up(c) ? 0 : c->stream.out.len;
    if (c->ncalls == 0)
        return true;
    size_t writes = requests_direct(c->all->requests) ? DIRECT_ROOM : WRITE_ROOM;
    return c->held + unsent + (c->ncalls + 1) * c->guess <= REPLY_ROOM && c->pending < writes &&
           c->all->pending < ALL_ROOM;
}

static bool reads_enough(const struct client *c)
{
    return c->stream.out.len < client_pause_at(c) ||
           (unread_piles_up(c) && unread_bytes(c) < c->all->config->client_output_max_bytes);
}

static bool may_run(const struct client *c)
{
    return !c->closing && !c->stream.closed && !c->solo && c->ncalls < CALLS_MAX &&
           reads_enough(c) && has_room(c);
}

/* As many commands as may run now. */
static void run_commands(struct client *c)
{
    struct stream *st = &c->stream;
    struct error e;
    c->stalled = c->lagging = false;
    if (!st->in.len)
        return;
    c->all->now_us = clock_mono_us();
    c->all->wall_ms = clock_wall_ms();
    uint64_t since_us = c->all->now_us;
    c->used_us = since_us;
    while (st->in.len && may_run(c)) {
        enum resp_status rc = c->dialect->parse(c, &e);
        if (rc == RESP_BAD) {
            protocol_error(c, e.text);
            break;
        }
        if (rc == RESP_MORE)
            break;
        st->in_want = 0;
        if (c->cmd.argc && !c->dialect->dispatch(c)) {
            c->stalled = true; /* parsed again when something has finished */
            break;
        }
        c->lag_until = 0;
        buf_eat(&st->in, c->cmd.size);
        if (c->first_call && c->first_call->done)
            send_replies(c);
    }
    count_at_once(c, since_us);
    c->full = st->in.len && !may_run(c);
    if (c->closing)
        buf_eat(&st->in, st->in.len);
}

static void hold_or_resume(struct client *c)
{
    size_t most = reads_enough(c) ? IN_PAUSE : IN_UNREAD;
    bool hold = c->closing || ((c->stalled || !may_run(c)) && c->stream.in.len >= most);
    if (hold && !c->stream.paused)
        stream_pause(&c->stream);
    else if (!hold && c->stream.paused)
        stream_resume(&c->stream);
}

void client_look_again(struct client *c)
{
    c->again = c->all->later = true;
    actor_again(c->all->worker);
}

/* Commands were left because the replies filled the buffer, and the socket has taken them all: no
 * event will come. */
static void go_on_later(struct client *c)
{
    c->again = false;
    if (c->full && c->stream.in.len && may_run(c))
        client_look_again(c);
}

static void settle(struct client *c)
{
    do {
        send_replies(c);
        run_commands(c);
    } while (c->first_call && c->first_call->done);
    stream_flush(&c->stream);
    if (c->ended && c->stream.broken) {
        stream_close(&c->stream);
        return;
    }
    go_on_later(c);
    unread_settle(c);
    bool over =
        c->closing || (c->ended && !c->lagging && !c->again); /* half a command at most is left */
    if (over && !c->first_call && c->stream.out.len == 0)
        stream_close(&c->stream);
    if (!c->stream.closed)
        hold_or_resume(c);
}

/* Nothing tells that a replica has caught up: it is looked at again in each turn. */
static void wake_later(struct clients *all)
{
    for (struct client *c = all->later ? all->first : NULL; c; c = c->next)
        if (c->lagging || c->again)
            client_mark_dirty(c);
    all->later = false;
}

static void settle_dirty(struct clients *all)
{
    while (all->dirty) {
        struct client *c = all->dirty;
        all->dirty = c->next_dirty;
        c->is_dirty = false;
        if (!c->stream.closed)
            settle(c);
    }
}

void clients_flush(struct clients *all)
{
    unread_turn(all);
    wake_later(all);
    settle_dirty(all);
    if (!all->walks)
        return;
    ring_walks_go_on(all);
    settle_dirty(all);
}

/* ---- the connection
 * -------------------------------------------------------------------------------- */

static void on_data(struct stream *st)
{
    struct client *c = st->owner;
    if (!c->stalled)
        run_commands(c);
    client_mark_dirty(c);
}

static void on_end(struct stream *st, const char *reason)
{
    struct client *c = st->owner;
    if (c->ended || strcmp(reason, STREAM_EOF) != 0) {
        stream_close(st); /* clients come and go */
        return;
    }
    c->ended = true; /* it may wait for answers */
    client_mark_dirty(c);
}

static void on_drain(struct stream *st)
{
    client_mark_dirty(st->owner);
}

static void unlink_dirty(struct client *c)
{
    if (!c->is_dirty)
        return;
    struct client **at = &c->all->dirty;
    while (*at != c)
        at = &(*at)->next_dirty;
    *at = c->next_dirty;
}

static void drop_calls(struct client *c)
{
    for (struct call *call = c->first_call, *next; call; call = next) {
        next = call->next;
        call_orphan(call);
    }
}

static void on_closed(struct stream *st)
{
    struct client *c = st->owner;
    unlink_dirty(c);
    unread_gone(c);
    drop_calls(c);
    *(c->prev ? &c->prev->next : &c->all->first) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    STATS_ADD(c->all->stats, connections, (uint64_t)-1);
    resp_parser_fini(&c->parser);
    resp_command_fini(&c->cmd);
    buf_fini(&c->rendering.note);
    client_discard(c);
    recent_fini(&c->recent);
    if (c->dialect->close)
        c->dialect->close(c);
    mem_free(c->name);
    mem_free(c->lib_name);
    mem_free(c->lib_ver);
    mem_free(c);
}

static const struct stream_ops client_ops = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_closed = on_closed};

static uint64_t connected(const struct clients *all)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < all->nworkers; i++)
        n += STATS_LOAD(all->all_stats[i], connections);
    return n;
}

static const struct dialect *dialect_of(const struct config *config)
{
    return config->data_store == DATA_STORE_MEMCACHE ? &dialect_memcache : &dialect_resp;
}

static void refuse(const struct dialect *dialect, int fd)
{
    struct buf b = BUF_INIT;
    dialect->add_error(&b, "max number of clients reached");
    ssize_t n = write(fd, buf_head(&b), b.len);
    (void)n; /* a courtesy */
    buf_fini(&b);
    close(fd);
}

void client_accept(struct clients *all, int fd, struct buf *in)
{
    struct error e;
    unsigned max = all->config->client_connections;
    if (max && connected(all) >= max) {
        refuse(dialect_of(all->config), fd);
        return;
    }
    struct client *c = MEM_NEW(struct client);
    c->all = all;
    c->dialect = dialect_of(all->config);
    c->resp = 2;
    c->authenticated = !config_needs_password(all->config);
    c->parser.bulk = -1;
    c->guess = REPLY_ROOM / 2;
    if (!stream_open(&c->stream, &all->worker->loop, fd, &client_ops, c, &e)) {
        log_limited(1000, LOG_LEVEL_WARN, "client: %s", e.text);
        mem_free(c);
        return;
    }
    if (c->dialect->open)
        c->dialect->open(c);
    c->since_us = c->used_us = clock_mono_us();
    c->id = ++all->last_id * all->id_step + all->id_offset;
    c->next = all->first;
    if (all->first)
        all->first->prev = c;
    all->first = c;
    STATS_ADD(all->stats, connections, 1);
    STATS_ADD(all->stats, connections_total, 1);
    if (!in->len)
        return;
    buf_add(&c->stream.in, buf_head(in), in->len);
    buf_fini(in);
    client_mark_dirty(c);
}

bool clients_quiesce(struct clients *all)
{
    bool quiet = true;
    for (struct client *c = all->first; c; c = c->next) {
        if (c->stream.closed)
            continue;
        c->closing = true;
        client_mark_dirty(c);
        quiet = false;
    }
    clients_flush(all);
    return quiet;
}

void clients_stop(struct clients *all)
{
    ring_walks_end(all);
}

void clients_close(struct clients *all)
{
    ring_walks_end(all);
    for (struct client *c = all->first; c; c = c->next)
        stream_close(&c->stream);
}
