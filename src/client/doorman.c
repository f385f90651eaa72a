#include "client/doorman.h"
#include "core/actor.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/stream.h"
#include "wire/memcache.h"
#include <fcntl.h>
#include <unistd.h>

#define PATIENCE_MS 1000u       /* before anybody is told */
#define IN_MAX      (64 * 1024) /* of a command that isn't whole: it is read by a worker, later */
#define OUT_MAX     (64 * 1024) /* of answers that aren't taken */

struct visitor {
    struct doorman *doorman;
    struct visitor *next, *prev;
    struct stream stream;
    struct resp_parser parser;
    struct resp_command cmd;
    struct memcache_parser memcache_parser;
    struct memcache_command memcache_cmd;
};

struct doorman {
    struct actor actor;
    bool memcache;
    uv_timer_t patience;
    struct listener port;
    int fd; /* until it listens */
    struct visitor *first;
    /* at the end */
    struct leaver {
        int fd;
        struct buf in;
    } * leavers;
    size_t nleavers;
};

/* ---- one connection ---------------------------------------------------------------------------
 */

#define LOADING "LOADING this node is starting: it reads its logs and its store"

/* A command, if it is there, and its answer. *size: bytes that it used up. */
static enum resp_status answer_redis(struct visitor *v, size_t *size)
{
    const struct buf *in = &v->stream.in;
    struct error e;
    enum resp_status rc = resp_request_parse(&v->parser, buf_head(in), in->len, &v->cmd, &e);
    if (rc == RESP_OK && v->cmd.argc)
        resp_add_error(&v->stream.out, LOADING);
    *size = v->cmd.size;
    return rc;
}

static enum resp_status answer_memcache(struct visitor *v, size_t *size)
{
    const struct buf *in = &v->stream.in;
    struct memcache_command *cmd = &v->memcache_cmd;
    struct error e;
    v->memcache_parser.value_max = IN_MAX;
    enum resp_status rc = memcache_parse(&v->memcache_parser, buf_head(in), in->len, cmd, &e);
    if (rc == RESP_OK && cmd->discard) /* what follows isn't whole, and never will be */
        return RESP_BAD;
    if (rc == RESP_OK && !memcache_is_silent(cmd))
        buf_add_str(&v->stream.out, "SERVER_ERROR " LOADING "\r\n");
    *size = cmd->size;
    return rc;
}

/* As many as there is room for answers. True: more wait for room. */
static bool answer(struct visitor *v)
{
    struct stream *s = &v->stream;
    while (s->in.len && s->out.len < OUT_MAX) {
        size_t size = 0;
        enum resp_status rc =
            v->doorman->memcache ? answer_memcache(v, &size) : answer_redis(v, &size);
        if (rc == RESP_BAD || (rc == RESP_MORE && s->in.len >= IN_MAX))
            stream_pause(s); /* a worker says what is wrong with it, or reads the rest */
        if (rc != RESP_OK)
            return false;
        buf_eat(&s->in, size);
    }
    return s->in.len > 0;
}

static void on_data(struct stream *s)
{
    bool more = true;
    while (more && s->out.len < OUT_MAX) {
        more = answer(s->owner);
        stream_flush(s);
    }
    if (more)
        stream_pause(s); /* until on_drain */
}

static void on_drain(struct stream *s)
{
    stream_resume(s);
    on_data(s);
}

static void on_end(struct stream *s, const char *reason)
{
    (void)reason;
    stream_close(s);
}

static void on_closed(struct stream *s)
{
    struct visitor *v = s->owner;
    *(v->prev ? &v->prev->next : &v->doorman->first) = v->next;
    if (v->next)
        v->next->prev = v->prev;
    resp_parser_fini(&v->parser);
    resp_command_fini(&v->cmd);
    memcache_command_fini(&v->memcache_cmd);
    mem_free(v);
}

static void on_client(void *arg, int fd)
{
    static const struct stream_ops ops = {
        .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_closed = on_closed};
    struct doorman *d = arg;
    struct error e;
    struct visitor *v = MEM_NEW(struct visitor);
    v->doorman = d;
    v->parser.bulk = -1;
    if (!stream_open(&v->stream, &d->actor.loop, fd, &ops, v, &e)) {
        log_limited(1000, LOG_LEVEL_WARN, "client: %s", e.text);
        mem_free(v);
        return;
    }
    v->next = d->first;
    if (d->first)
        d->first->prev = v;
    d->first = v;
}

/* Its socket lives on under another number, which is what the worker gets. */
static void leave(struct visitor *v)
{
    struct doorman *d = v->doorman;
    struct stream *s = &v->stream;
    if (s->closed)
        return;
    stream_flush(s);
    int fd = s->out.len ? -1 : fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) {
        d->leavers = mem_realloc(d->leavers, (d->nleavers + 1) * sizeof *d->leavers);
        struct leaver *l = &d->leavers[d->nleavers++];
        *l = (struct leaver){.fd = fd, .in = BUF_INIT};
        buf_add(&l->in, buf_head(&s->in), s->in.len);
    }
    stream_close(s);
}

/* ---- the actor --------------------------------------------------------------------------------
 */

static void on_patience(uv_timer_t *t)
{
    struct doorman *d = t->data;
    struct error e;
    if (!listener_start(&d->port, &d->actor.loop, d->fd, on_client, d, &e)) {
        log_error("client port: %s", e.text);
        return;
    }
    d->fd = -1;
    log_notice("the start takes its time: clients are told so until it is over");
}

static void start(void *self)
{
    struct doorman *d = self;
    uv_timer_init(&d->actor.loop, &d->patience);
    d->patience.data = d;
    uv_timer_start(&d->patience, on_patience, PATIENCE_MS, 0);
}

static void receive(void *self, struct msg *m)
{
    (void)self;
    mem_free(m); /* nobody sends it any */
}

static void stop(void *self)
{
    struct doorman *d = self;
    listener_stop(&d->port);
    uv_close((uv_handle_t *)&d->patience, NULL);
    for (struct visitor *v = d->first; v; v = v->next)
        leave(v);
}

static void drop(struct msg *m)
{
    mem_free(m);
}

static const struct actor_ops doorman_ops = {
    .name = "doorman", .start = start, .receive = receive, .stop = stop, .drop = drop};

struct doorman *doorman_start(int fd, bool memcache, struct error *e)
{
    struct doorman *d = MEM_NEW_ALIGNED(struct doorman);
    d->memcache = memcache;
    actor_init(&d->actor, &doorman_ops, d);
    d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (d->fd >= 0 && actor_start(&d->actor, e))
        return d;
    if (d->fd < 0)
        error_set(e, "client port: no file descriptor is left");
    else
        close(d->fd);
    return NULL; /* the process ends */
}

void doorman_stop(struct doorman *d, void (*take)(void *arg, int fd, struct buf *in), void *arg)
{
    if (!d)
        return;
    actor_stop(&d->actor);
    actor_join(&d->actor);
    for (size_t i = 0; i < d->nleavers; i++)
        take(arg, d->leavers[i].fd, &d->leavers[i].in);
    if (d->fd >= 0)
        close(d->fd);
    mem_free(d->leavers);
    actor_fini(&d->actor);
    mem_free(d);
}
