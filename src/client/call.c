#include "client/call.h"
#include "core/clock.h"
#include "core/mem.h"

struct call *call_new(struct client *c, const struct command_spec *spec, size_t nparts)
{
    struct call *call = mem_calloc(1, sizeof *call + nparts * sizeof call->parts[0]);
    call->client = c;
    call->spec = spec;
    call->nparts = call->left = nparts;
    call->started_us = clock_mono_us();
    for (size_t i = 0; i < nparts; i++)
        call->parts[i].call = call;
    if (c->last_call)
        c->last_call->next = call;
    else
        c->first_call = call;
    c->last_call = call;
    c->ncalls++;
    return call;
}

static struct slice array_element(struct slice reply)
{
    /* "*1\r\n" and the element */
    return reply.len > 4 && reply.ptr[0] == '*' ? slice_of(reply.ptr + 4, reply.len - 4) : reply;
}

/* The first part that failed decides. */
static bool merge_error(struct call *call)
{
    for (size_t i = 0; i < call->nparts; i++) {
        struct slice reply = buf_slice(&call->parts[i].reply);
        if (!resp_reply_is_error(reply))
            continue;
        buf_add(&call->reply, reply.ptr, reply.len);
        return true;
    }
    return false;
}

static void merge(struct call *call)
{
    int64_t sum = 0, one;
    if (merge_error(call))
        return;
    switch (call->merge) {
    case MERGE_ONE:
        break;
    case MERGE_SUM:
        for (size_t i = 0; i < call->nparts; i++)
            if (resp_reply_int(buf_slice(&call->parts[i].reply), &one))
                sum += one;
        resp_add_int(&call->reply, sum);
        break;
    case MERGE_ARRAY:
        resp_add_array(&call->reply, call->nparts);
        for (size_t i = 0; i < call->nparts; i++) {
            struct slice element = array_element(buf_slice(&call->parts[i].reply));
            buf_add(&call->reply, element.ptr, element.len);
        }
        break;
    case MERGE_OK:
        resp_add_status(&call->reply, "OK");
        break;
    }
}

static void complete(struct call *call)
{
    call->done = true;
    for (size_t i = 0; i < call->nparts; i++)
        buf_fini(&call->parts[i].reply);
    if (call->client) {
        client_mark_dirty(call->client);
        return;
    }
    buf_fini(&call->reply);
    mem_free(call);
}

static void remember_write(struct client *c, uint32_t token, int node)
{
    if (node < 0)
        return;
    if (!c->recent) {
        c->recent = mem_calloc(RECENT, sizeof *c->recent);
        for (unsigned i = 0; i < RECENT; i++)
            c->recent[i].node = -1;
    }
    c->recent[token % RECENT] = (struct recent){.token = token, .node = node};
}

void call_part_done(void *arg, const struct request_result *r)
{
    struct part *p = arg;
    struct call *call = p->call;
    struct client *c = call->client;
    p->done = true;
    if (c) {
        (call->write ? c->writes : c->reads)[p->token % HAZARDS]--;
        if (call->write)
            remember_write(c, p->token, r->node);
    }
    if (call->merge == MERGE_ONE)
        buf_add(&call->reply, r->reply.ptr, r->reply.len);
    else
        buf_add(&p->reply, r->reply.ptr, r->reply.len);
    if (--call->left)
        return;
    if (call->merge != MERGE_ONE)
        merge(call);
    complete(call);
}

void call_reply(struct call *call, struct slice reply)
{
    buf_add(&call->reply, reply.ptr, reply.len);
    complete(call);
}
