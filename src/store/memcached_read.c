/* The reading side of the memcached store, which at a node that is alone takes the clients' writes
 * as well. */
#include "core/mem.h"
#include "store/backend_side.h"
#include "store/memcached.h"

#define REPLY_KEEP (64u * 1024)

struct memcached_side {
    struct backend_side side;
    struct buf reply; /* the answer being read, as RESP */
};

/* One store_read on its way. */
struct asked {
    struct backend_question q;
    struct memcached_side *side;
    store_read_fn *fn;
    void *arg;
    struct stamp label; /* the key's, when the read was sent: see backend.h */
    bool write;
};

static void answer(struct asked *a, bool ok, struct slice reply)
{
    struct store_read_reply r = {
        .ok = ok, .reply = reply, .stamp = a->label.stamp, .tag = a->label.tag};
    a->fn(a->arg, &r);
    mem_free(a);
}

static void answer_down(struct asked *a, const char *why, bool sent)
{
    struct buf b = BUF_INIT;
    const char *effect = !a->write ? ""
                         : sent    ? "; the write may still take effect"
                                   : "; nothing was written";
    resp_add_error(&b, "BACKEND %s%s", why, effect);
    answer(a, false, buf_slice(&b));
    buf_fini(&b);
}

static void on_answer(struct backend_question *q, const struct slice *reply, const char *why,
                      bool sent)
{
    struct asked *a = (struct asked *)(void *)q;
    if (!reply) {
        answer_down(a, why, sent);
        return;
    }
    struct buf *b = &a->side->reply;
    buf_reset(b, REPLY_KEEP);
    if (slice_eq(*reply, slice_str("OK\r\n"))) /* flush_all */
        buf_add_str(b, "+OK\r\n");
    else
        memcached_decode(*reply, memcached_mark(memcached_of(a->side->side.base.store)), b);
    answer(a, true, buf_slice(b));
}

static void answer_invalid(struct asked *a, const char *text)
{
    struct buf b = BUF_INIT;
    resp_add_error(&b, "%s", text);
    answer(a, true, buf_slice(&b));
    buf_fini(&b);
}

/* False: nothing was appended, e says why. */
static bool encode(const struct memcached *m, const struct command_spec *spec,
                   const struct resp_command *cmd, struct buf *out, struct error *e)
{
    if (spec->flags & COMMAND_MEMCACHE)
        return memcached_encode(cmd, memcached_mark(m), out, e);
    if (!backend_is_flush(&(struct store_write){.spec = spec}))
        return error_set(e, "ERR a memcached can't run '%s'", spec->name);
    buf_add_str(out, "flush_all\r\n");
    return true;
}

void memcached_read(struct store_reader *reader, const struct command_spec *spec,
                    const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg)
{
    struct memcached_side *s = (struct memcached_side *)(void *)reader;
    struct memcached *m = memcached_of(reader->store);
    struct asked *a = MEM_NEW(struct asked);
    struct error e;
    *a = (struct asked){.q.answer = on_answer, .side = s, .fn = fn, .arg = arg};
    a->write = command_class_of(spec, cmd) != COMMAND_READ;
    struct buf *out = backend_side_begin(&s->side, &a->q);
    if (!out)
        return;
    if (!encode(m, spec, cmd, out, &e)) {
        backend_side_forget(&a->q);
        answer_invalid(a, e.text);
        return;
    }
    if (stamped && !a->write && !store_is_alone(reader->store))
        a->label = stamps_get(m->backend.stamps, stamps_hash(cmd->argv[1]));
    backend_side_ask(&s->side, &a->q, 1);
}

struct store_reader *memcached_reader_new(struct store *store, uv_loop_t *loop)
{
    struct memcached_side *s = MEM_NEW(struct memcached_side);
    backend_side_init(&s->side, &memcached_of(store)->backend, loop, &memcached_protocol);
    return &s->side.base;
}

void memcached_reader_free(struct store_reader *reader)
{
    struct memcached_side *s = (struct memcached_side *)(void *)reader;
    backend_side_fini(&s->side);
    buf_fini(&s->reply);
    mem_free(s);
}
