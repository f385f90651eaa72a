#include "store/backend_side.h"
#include "core/mem.h"

static void on_reply(void *arg, const struct slice *reply)
{
    struct backend_question *q = arg;
    if (reply) {
        q->left--;
        q->answer(q, reply, NULL, true);
    } else {
        q->answer(q, NULL, "the connection to the backend broke", true);
    }
}

void backend_side_forget(struct backend_question *q)
{
    if (q->text)
        buf_fini(q->text);
    mem_free(q->text);
    q->text = NULL;
}

/* ---- waiting for the connection --------------------------------------------------------------
 */

static struct backend_question *take_parked(struct backend_side *s)
{
    struct backend_question *first = s->parked;
    s->parked = NULL;
    s->parked_end = &s->parked;
    return first;
}

static void park(struct backend_side *s, struct backend_question *q)
{
    q->next = NULL;
    *s->parked_end = q;
    s->parked_end = &q->next;
    backend_conn_hurry(s->conn);
}

static void drop_parked(struct backend_side *s, const char *why)
{
    for (struct backend_question *q = take_parked(s), *next; q; q = next) {
        next = q->next;
        backend_side_forget(q);
        q->answer(q, NULL, why, false);
    }
}

static void go_out(struct backend_side *s, struct backend_question *q)
{
    backend_conn_expect(s->conn, q->left, on_reply, q);
    backend_conn_flush_later(s->conn);
}

static void on_ready(void *owner)
{
    struct backend_side *s = owner;
    backend_conn_settled(s->conn);
    for (struct backend_question *q = take_parked(s), *next; q; q = next) {
        next = q->next;
        buf_add(backend_conn_out(s->conn), buf_head(q->text), q->text->len);
        backend_side_forget(q);
        go_out(s, q);
    }
}

static void on_lost(void *owner, const char *reason)
{
    drop_parked(owner, reason); /* the writing side says that the backend is gone */
}

/* ---- asking ---------------------------------------------------------------------------------- */

void backend_side_init(struct backend_side *s, struct backend *b, uv_loop_t *loop,
                       const struct backend_protocol *protocol)
{
    static const struct backend_conn_ops ops = {.ready = on_ready, .lost = on_lost};
    *s = (struct backend_side){.base.store = &b->base};
    s->parked_end = &s->parked;
    s->conn = backend_conn_new(loop, protocol, &b->address, &ops, s);
}

void backend_side_fini(struct backend_side *s)
{
    backend_conn_free(s->conn);
    drop_parked(s, "closed");
}

struct buf *backend_side_begin(struct backend_side *s, struct backend_question *q)
{
    q->text = NULL;
    if (backend_conn_ready(s->conn))
        return backend_conn_out(s->conn);
    if (store_is_up(s->base.store))
        return q->text = MEM_NEW(struct buf);
    q->answer(q, NULL, backend_conn_why(s->conn), false);
    return NULL;
}

void backend_side_ask(struct backend_side *s, struct backend_question *q, unsigned replies)
{
    q->left = replies;
    if (backend_conn_ready(s->conn))
        go_out(s, q);
    else
        park(s, q);
}
