/* Connections for WATCH at a node that is alone: Redis's own WATCH belongs to a connection, and all
 * clients of a worker share one. So who watches gets one for himself until EXEC; it is kept for the
 * next one then. */
#include "core/mem.h"
#include "store/redis.h"
#include "wire/transaction.h"
#include <stdio.h>

#define IDLE_MAX 16 /* kept by a reading side */

struct redis_watch {
    struct store_watch base;
    struct redis_watches *all; /* NULL: its reading side has ended */
    struct redis_watch *next, *prev, *next_idle;
    struct redis *r;
    struct backend_conn *conn; /* NULL: broken, and so is what it watched */
    bool watches;
    /* what was asked */
    store_read_fn *fn; /* NULL: nothing */
    void *arg;
    struct buf question; /* until the connection stands */
    size_t left;         /* answers to come */
    bool block, sent;
    char refusal[256]; /* why a command of a transaction wasn't queued; "": all were */
};

static void answer(struct redis_watch *w, bool ok, struct slice reply)
{
    store_read_fn *fn = w->fn;
    w->fn = NULL;
    fn(w->arg, &(struct store_read_reply){.ok = ok, .reply = reply});
}

/* What it watched isn't any more: nothing has been done. But of an EXEC that was on its way nobody
 * knows. */
static void answer_broken(struct redis_watch *w, const char *why)
{
    struct buf b = BUF_INIT;
    if (w->block && !w->sent)
        buf_add_str(&b, "*-1\r\n");
    else
        resp_add_error(&b, "BACKEND %s%s", why,
                       w->block ? "; the write may still take effect" : "");
    answer(w, false, buf_slice(&b));
    buf_fini(&b);
}

static void answer_last(struct redis_watch *w, struct slice reply)
{
    struct buf b = BUF_INIT;
    if (!resp_reply_is_error(reply) || !w->refusal[0]) {
        answer(w, true, reply);
        return;
    }
    resp_add_error(&b, "EXECABORT Transaction discarded because of: %s", w->refusal);
    answer(w, true, buf_slice(&b));
    buf_fini(&b);
}

static void on_reply(void *arg, const struct slice *reply)
{
    struct redis_watch *w = arg;
    if (!reply) {
        if (w->fn)
            answer_broken(w, "the connection to the backend broke");
        return;
    }
    if (--w->left == 0)
        answer_last(w, *reply);
    else if (resp_reply_is_error(*reply) && !w->refusal[0])
        snprintf(w->refusal, sizeof w->refusal, "%.*s", (int)redis_text(*reply).len,
                 (const char *)redis_text(*reply).ptr);
}

static void send_question(struct redis_watch *w)
{
    buf_add(backend_conn_out(w->conn), buf_head(&w->question), w->question.len);
    buf_reset(&w->question, 0);
    w->sent = true;
    backend_conn_expect(w->conn, w->left, on_reply, w);
    backend_conn_flush(w->conn);
}

static void on_ready(void *owner)
{
    struct redis_watch *w = owner;
    backend_conn_settled(w->conn);
    if (w->question.len)
        send_question(w);
}

static void on_lost(void *owner, const char *reason)
{
    struct redis_watch *w = owner;
    struct backend_conn *conn = w->conn;
    w->conn = NULL;
    if (w->fn)
        answer_broken(w, reason);
    backend_conn_free(conn);
}

static const struct backend_conn_ops ops = {.ready = on_ready, .lost = on_lost};

/* ---- life -------------------------------------------------------------------------------------
 */

static struct redis_watch *take_idle(struct redis_watches *all)
{
    for (struct redis_watch *w; (w = all->idle);) {
        all->idle = w->next_idle;
        all->nidle--;
        if (w->conn)
            return w;
        *(w->prev ? &w->prev->next : &all->all) = w->next;
        if (w->next)
            w->next->prev = w->prev;
        mem_free(w);
    }
    return NULL;
}

struct store_watch *redis_watch_new(struct store_reader *reader)
{
    struct redis_watches *all = redis_reader_watches(reader);
    struct redis_watch *w = take_idle(all);
    if (w)
        return &w->base;
    w = MEM_NEW(struct redis_watch);
    w->base.ops = reader->store->ops;
    w->r = (struct redis *)(void *)reader->store;
    w->all = all;
    w->next = all->all;
    if (w->next)
        w->next->prev = w;
    all->all = w;
    w->conn = backend_conn_new(redis_reader_loop(reader), &redis_protocol, &w->r->backend.address,
                               &ops, w);
    return &w->base;
}

void redis_watch_run(struct store_watch *base, const struct command_spec *spec,
                     const struct resp_command *cmd, store_read_fn *fn, void *arg)
{
    struct redis_watch *w = (struct redis_watch *)(void *)base;
    w->fn = fn;
    w->arg = arg;
    w->block = transaction_is(spec);
    w->sent = false;
    w->refusal[0] = 0;
    if (!w->conn) {
        answer_broken(w, "the connection to the backend broke");
        return;
    }
    if (w->block) {
        w->left = redis_add_block(&w->question, cmd);
    } else {
        w->left = 1;
        resp_add_command(&w->question, cmd->argv, cmd->argc);
    }
    w->watches = !w->block;
    if (backend_conn_ready(w->conn))
        send_question(w);
}

static void unlink_watch(struct redis_watch *w)
{
    *(w->prev ? &w->prev->next : &w->all->all) = w->next;
    if (w->next)
        w->next->prev = w->prev;
}

static void on_unwatched(void *arg, const struct slice *reply)
{
    (void)arg;
    (void)reply;
}

void redis_watch_free(struct store_watch *base)
{
    struct redis_watch *w = (struct redis_watch *)(void *)base;
    bool keep =
        w->all && w->conn && !w->fn && backend_conn_ready(w->conn) && w->all->nidle < IDLE_MAX;
    if (keep) {
        if (w->watches) {
            redis_add_word(w->conn, "UNWATCH");
            backend_conn_expect(w->conn, 1, on_unwatched, w);
            backend_conn_flush(w->conn);
        }
        w->watches = false;
        w->next_idle = w->all->idle;
        w->all->idle = w;
        w->all->nidle++;
        return;
    }
    if (w->conn)
        backend_conn_free(w->conn);
    if (w->fn)
        answer_broken(w, "closed");
    if (w->all)
        unlink_watch(w);
    buf_fini(&w->question);
    mem_free(w);
}

void redis_watches_end(struct redis_watches *all)
{
    for (struct redis_watch *w = all->idle, *next; w; w = next) {
        next = w->next_idle;
        if (w->conn)
            backend_conn_free(w->conn);
        unlink_watch(w);
        mem_free(w);
    }
    for (struct redis_watch *w = all->all, *next; w; w = next) {
        struct backend_conn *conn = w->conn;
        bool unsent = w->fn && !w->sent; /* else the end of its connection is the answer, */
        next = w->next;                  /* and to whom it comes may give it back */
        w->conn = NULL;
        w->all = NULL;
        if (conn)
            backend_conn_free(conn);
        if (unsent)
            answer_broken(w, "closed");
    }
    *all = (struct redis_watches){.all = NULL};
}
