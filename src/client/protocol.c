/* RESP2 or RESP3: a connection speaks RESP2 until its HELLO 3. All the others, the commands that a
 * node answers itself included, write RESP2; here their replies become what the client reads. */
#include "client/call.h"
#include "wire/resp3.h"

static void render_resp3(const struct call *call, struct slice reply, struct buf *out)
{
    resp3_add(call->rendering.how, reply, out);
}

static void render_exec(const struct call *call, struct slice reply, struct buf *out)
{
    struct slice shapes = buf_slice(&call->rendering.note);
    resp3_add_exec((const unsigned *)(const void *)shapes.ptr, shapes.len / sizeof(unsigned), reply,
                   out);
}

void protocol_render(struct client *c, const struct command_spec *spec)
{
    buf_fini(&c->rendering.note);
    c->rendering = (struct rendering){.fn = NULL};
    if (c->resp3)
        c->rendering = (struct rendering){.fn = render_resp3,
                                          .how = spec ? resp3_shape(spec, &c->cmd) : RESP3_PLAIN};
}

void protocol_set(struct client *c, int version)
{
    c->resp3 = version == 3;
    protocol_render(c, command_find(c->cmd.argv[0]));
}

void protocol_queued(struct buf *shapes, const struct command_spec *spec,
                     const struct resp_command *cmd)
{
    unsigned shape = resp3_shape(spec, cmd);
    buf_add(shapes, &shape, sizeof shape);
}

void protocol_render_exec(struct client *c, struct buf *shapes)
{
    protocol_render(c, NULL);
    if (!c->resp3) {
        buf_fini(shapes);
        return;
    }
    c->rendering.fn = render_exec;
    c->rendering.note = *shapes;
    *shapes = (struct buf)BUF_INIT;
}

bool protocol_same(const struct call *call, struct slice reply)
{
    return call->rendering.fn == render_resp3 && resp3_same(call->rendering.how, reply);
}

void protocol_rewrite(struct client *c, size_t at)
{
    struct buf *out = &c->stream.out, was = BUF_INIT;
    struct slice reply = slice_of(buf_head(out) + at, out->len - at);
    if (resp3_same(c->rendering.how, reply))
        return;
    bool null = slice_is(reply, "$-1\r\n");
    if (!null)
        buf_add(&was, reply.ptr, reply.len);
    out->len = at;
    resp3_add(c->rendering.how, null ? slice_str("$-1\r\n") : buf_slice(&was), out);
    buf_fini(&was);
}
