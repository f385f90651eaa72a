/* RESP2 or RESP3: a connection speaks RESP2 until its HELLO 3. All the others, the commands that a
 * node answers itself included, write RESP2; here their replies become what the client reads. */
#include "client/call.h"
#include "wire/resp3.h"

static void render_resp3(const struct call *call, struct slice reply, struct buf *out)
{
    resp3_add(call->rendering.how, reply, out);
}

void client_render_for(struct client *c, const struct command_spec *spec)
{
    buf_fini(&c->rendering.note);
    c->rendering = (struct rendering){.fn = NULL};
    if (c->resp == 3)
        c->rendering = (struct rendering){.fn = render_resp3,
                                          .how = spec ? resp3_shape(spec, &c->cmd) : RESP3_PLAIN};
}

bool call_reads_the_same(const struct call *call, struct slice reply)
{
    return call->rendering.fn == render_resp3 && resp3_same(call->rendering.how, reply);
}

bool client_can_rewrite(const struct client *c)
{
    return !c->rendering.fn || c->rendering.fn == render_resp3;
}

void client_rewrite(struct client *c, size_t at)
{
    struct buf *out = &c->stream.out, was = BUF_INIT;
    struct slice reply = slice_of(buf_head(out) + at, out->len - at);
    unsigned shape = c->rendering.how;
    if (!c->rendering.fn || resp3_same(shape, reply))
        return;
    bool null = slice_is(reply, "$-1\r\n"); /* the usual case takes no memory */
    if (!null)
        buf_add(&was, reply.ptr, reply.len);
    out->len = at;
    resp3_add(shape, null ? slice_str("$-1\r\n") : buf_slice(&was), out);
    buf_fini(&was);
}
