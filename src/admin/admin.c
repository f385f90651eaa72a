#include "admin/admin.h"
#include "admin/ask.h"
#include "admin/http.h"
#include "admin/live.h"
#include "admin/view.h"
#include "core/address.h"
#include "core/bytes.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/slots.h"
#include "core/stream.h"
#include "proto/admin.pb-c.h"
#include <string.h>
#include <unistd.h>

#define REQUEST_MAX  (1024u * 1024)
#define OUT_PAUSE    (1024u * 1024) /* replies unread: nothing more is answered before they leave */
#define SESSIONS_MAX 256
#define TIMEOUT_MS   10000

struct admin {
    struct actor actor;
    struct admin_sources sources;
    int admin_fd, http_fd;
    char *unix_path; /* to remove at the end; NULL: TCP */
    struct listener port, http_port;
    struct http *http;
    struct slots sessions, questions;
    struct ask ask;
    unsigned nsessions;
};

/* One dyn-admin connection. Requests are answered one after the other, in their order. */
struct session {
    struct admin *a;
    struct stream stream;
    uint64_t ticket;
    bool waiting; /* for a worker's answer to the request before */
};

/* A `key` that a worker was asked for. */
struct question {
    uint64_t session;
    struct blob *key;
};

/* ---- replies ------------------------------------------------------------------------------------
 */

static void send_reply(struct session *s, const AdminReply *r)
{
    size_t n = admin_reply__get_packed_size(r);
    uint8_t head[4];
    put32(head, (uint32_t)n);
    buf_add(&s->stream.out, head, sizeof head);
    admin_reply__pack(r, buf_reserve(&s->stream.out, n));
    buf_commit(&s->stream.out, n);
    stream_flush(&s->stream);
}

static void send_json(struct session *s, json_t *o)
{
    AdminReply r = ADMIN_REPLY__INIT;
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    r.ok = text != NULL;
    r.json = text;
    send_reply(s, &r);
    free(text);
}

/* One line, whatever the words of the request hold. */
static void send_reason(struct session *s, const char *reason)
{
    AdminReply r = ADMIN_REPLY__INIT;
    r.ok = false;
    r.reason = mem_strdup(reason);
    for (char *p = r.reason; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    send_reply(s, &r);
    mem_free(r.reason);
}

/* ---- requests
 * ------------------------------------------------------------------------------------ */

static void ask_key(struct session *s, const AdminRequest *q)
{
    struct admin *a = s->a;
    struct question *question = MEM_NEW(struct question);
    question->session = s->ticket;
    question->key = blob_new(q->key.data, q->key.len);
    struct mail_inspect *m = MEM_NEW(struct mail_inspect);
    m->msg.type = MAIL_INSPECT;
    m->asker = &a->actor;
    m->ticket = slots_put(&a->questions, question);
    m->key = blob_ref(question->key);
    s->waiting = true;
    actor_send(a->sources.worker, &m->msg);
}

static void on_data(struct stream *st);

static void on_inspected(struct admin *a, struct mail_inspected *m)
{
    struct question *q = slots_get(&a->questions, m->ticket);
    struct session *s = q ? slots_get(&a->sessions, q->session) : NULL;
    if (s && !s->stream.closed) {
        send_json(s, view_key(&a->sources, blob_slice(q->key), m));
        s->waiting = false;
        on_data(&s->stream);
    }
    if (q) {
        slots_drop(&a->questions, m->ticket);
        blob_unref(q->key);
        mem_free(q);
    }
    for (unsigned i = 0; i < m->n; i++)
        blob_unref(m->replica[i].reply);
    mem_free(m);
}

static void send_metrics(struct session *s)
{
    struct buf b = BUF_INIT;
    AdminReply r = ADMIN_REPLY__INIT;
    metrics_add(&s->a->sources, &b);
    buf_add(&b, "", 1);
    r.ok = true;
    r.text = (char *)(uintptr_t)buf_head(&b);
    send_reply(s, &r);
    buf_fini(&b);
}

static json_t *ping(const struct admin_sources *s)
{
    (void)s;
    return json_object();
}

static const struct view {
    const char *command;
    json_t *(*make)(const struct admin_sources *s);
} views[] = {{"status", view_status}, {"ping", ping},        {"ring", view_ring},
             {"peers", view_peers},   {"hints", view_hints}, {"stats", view_stats},
             {"state", view_state}};

static void config_command(struct session *s, const AdminRequest *q)
{
    struct error e;
    json_t *o = live_answer(&s->a->sources, q->argument, q->n_argument, &e);
    if (o)
        send_json(s, o);
    else
        send_reason(s, e.text);
}

static void ask_senders(struct session *s, const AdminRequest *q)
{
    struct error e;
    struct ask_request r = {.session = s->ticket,
                            .command = q->command,
                            .word = q->argument,
                            .n = q->n_argument,
                            .timeout_ms = q->has_timeout_ms ? q->timeout_ms : TIMEOUT_MS};
    s->waiting = true;
    if (ask_begin(&s->a->ask, &r, &e))
        return;
    s->waiting = false;
    send_reason(s, e.text);
}

static void on_asked(void *arg, uint64_t ticket, json_t *o, const char *reason)
{
    struct admin *a = arg;
    struct session *s = slots_get(&a->sessions, ticket);
    if (!s || s->stream.closed) {
        json_decref(o);
        return;
    }
    if (o)
        send_json(s, o);
    else
        send_reason(s, reason);
    s->waiting = false;
    on_data(&s->stream);
}

static void answer(struct session *s, const AdminRequest *q)
{
    for (size_t i = 0; i < ARRAY_LEN(views); i++)
        if (strcmp(q->command, views[i].command) == 0 && !q->n_argument) {
            send_json(s, views[i].make(&s->a->sources));
            return;
        }
    if (strcmp(q->command, "key") == 0) {
        ask_key(s, q);
    } else if (strcmp(q->command, "config") == 0) {
        config_command(s, q);
    } else if (q->n_argument || strcmp(q->command, "repaired") == 0) {
        ask_senders(s, q);
    } else if (strcmp(q->command, "metrics") == 0) {
        send_metrics(s);
    } else if (strcmp(q->command, "log-level") == 0 && q->has_level && q->level <= 11) {
        log_set_verbosity((int)q->level);
        __atomic_store_n(&s->a->sources.config->verbosity, q->level, __ATOMIC_RELAXED);
        send_json(s, json_object());
    } else {
        send_reason(s, "this node doesn't know the command");
    }
}

static void take_request(struct session *s, const uint8_t *packed, size_t n)
{
    AdminRequest *q = admin_request__unpack(NULL, n, packed);
    if (!q) {
        send_reason(s, "malformed request");
        stream_close(&s->stream); /* what follows is no request either */
        return;
    }
    answer(s, q);
    admin_request__free_unpacked(q, NULL);
}

/* Answers what `in` holds in full; false: no more now. */
static bool take_next(struct session *s)
{
    struct stream *st = &s->stream;
    if (st->closed || s->waiting || st->out.len >= OUT_PAUSE || st->in.len < 4)
        return false;
    const uint8_t *p = buf_head(&st->in);
    uint32_t n = get32(p);
    if (n > REQUEST_MAX) {
        log_limited(1000, LOG_LEVEL_WARN, "admin: a request of %u bytes; allowed at most %u", n,
                    REQUEST_MAX);
        stream_close(st);
        return false;
    }
    if (st->in.len < 4 + (size_t)n)
        return false;
    take_request(s, p + 4, n);
    buf_eat(&st->in, 4 + (size_t)n);
    return !st->closed;
}

static void on_data(struct stream *st)
{
    struct session *s = st->owner;
    while (take_next(s))
        ;
    if (st->closed)
        return;
    if (s->waiting || st->out.len >= OUT_PAUSE)
        stream_pause(st);
    else
        stream_resume(st);
}

static void on_end(struct stream *st, const char *reason)
{
    (void)reason;
    stream_close(st);
}

static void on_closed(struct stream *st)
{
    struct session *s = st->owner;
    slots_drop(&s->a->sessions, s->ticket);
    s->a->nsessions--;
    mem_free(s);
}

static const struct stream_ops session_ops = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_data, .on_closed = on_closed};

static void on_accept(void *arg, int fd)
{
    struct admin *a = arg;
    struct error e;
    if (a->nsessions == SESSIONS_MAX) {
        log_limited(1000, LOG_LEVEL_WARN, "admin: more than %d connections at once: refused",
                    SESSIONS_MAX);
        close(fd);
        return;
    }
    struct session *s = MEM_NEW(struct session);
    s->a = a;
    if (!stream_open(&s->stream, &a->actor.loop, fd, &session_ops, s, &e)) {
        mem_free(s);
        return;
    }
    s->ticket = slots_put(&a->sessions, s);
    a->nsessions++;
}

/* Here and not in libmicrohttpd, which spins when it finds no descriptor. */
static void on_http(void *arg, int fd)
{
    struct admin *a = arg;
    http_accept(a->http, fd);
}

/* ---- the actor
 * ------------------------------------------------------------------------------------- */

static void start(void *self)
{
    struct admin *a = self;
    struct error e;
    if (!listener_start(&a->port, &a->actor.loop, a->admin_fd, on_accept, a, &e))
        log_error("admin_listen: %s", e.text);
    ask_start(&a->ask, &a->actor, &a->sources, on_asked, a);
    a->http = http_start(&a->actor.loop, &a->sources, &e);
    if (!a->http || !listener_start(&a->http_port, &a->actor.loop, a->http_fd, on_http, a, &e))
        log_error("stats_listen: %s", e.text);
}

static void drop(struct msg *msg)
{
    if (msg->type == MAIL_ORDER) {
        mem_free(msg);
        return;
    }
    struct mail_inspected *m = container_of_(msg, struct mail_inspected, msg);
    for (unsigned i = 0; i < m->n; i++)
        blob_unref(m->replica[i].reply);
    mem_free(m);
}

static void receive(void *self, struct msg *msg)
{
    struct admin *a = self;
    if (msg->type == MAIL_ORDER)
        ask_take(&a->ask, container_of_(msg, struct mail_order, msg));
    else
        on_inspected(a, container_of_(msg, struct mail_inspected, msg));
}

static void stop(void *self)
{
    struct admin *a = self;
    uint32_t at = 0;
    listener_stop(&a->port);
    listener_stop(&a->http_port);
    http_stop(a->http);
    ask_stop(&a->ask);
    for (struct session *s; (s = slots_next(&a->sessions, &at));)
        stream_close(&s->stream);
}

static void end(void *self)
{
    struct admin *a = self;
    uint32_t at = 0;
    for (struct question *q; (q = slots_next(&a->questions, &at));) {
        blob_unref(q->key);
        mem_free(q);
    }
    ask_fini(&a->ask);
    slots_fini(&a->questions);
    slots_fini(&a->sessions);
}

static const struct actor_ops admin_ops = {
    .name = "admin", .start = start, .receive = receive, .stop = stop, .end = end, .drop = drop};

static bool bind_ports(struct admin *a, const struct config *c, struct error *e)
{
    struct error why;
    struct address address;
    char *path = *c->admin_listen ? mem_strdup(c->admin_listen)
                                  : mem_printf("%s%s/admin.sock",
                                               strchr(c->data_dir, '/') ? "" : "./", c->data_dir);
    bool ok = listener_bind(path, &a->admin_fd, &why);
    if (!ok)
        error_set(e, "admin_listen: %s", why.text);
    else if (address_parse(path, 0, &address, &why) && address.kind == ADDRESS_UNIX)
        a->unix_path = mem_strdup(path);
    mem_free(path);
    if (ok && !listener_bind(c->stats_listen, &a->http_fd, &why))
        ok = error_set(e, "stats_listen: %s", why.text);
    return ok;
}

struct admin *admin_bind(const struct config *c, struct error *e)
{
    struct admin *a = MEM_NEW_ALIGNED(struct admin);
    if (bind_ports(a, c, e))
        return a;
    mem_free(a);
    return NULL;
}

bool admin_start(struct admin *a, const struct admin_sources *sources, struct error *e)
{
    a->sources = *sources;
    actor_init(&a->actor, &admin_ops, a);
    return actor_start(&a->actor, e);
}

void admin_stop(struct admin *a)
{
    actor_stop(&a->actor);
}

void admin_join(struct admin *a)
{
    actor_join(&a->actor);
    if (a->unix_path)
        unlink(a->unix_path);
}

void admin_free(struct admin *a)
{
    actor_fini(&a->actor);
    mem_free(a->unix_path);
    mem_free(a);
}
