#include "client/call.h"
#include "client/unread.h"
#include "core/mem.h"
#include <inttypes.h>
#include <string.h>

#define GUESS_MIN 8192u

/* The reply is nobody's to read. */
static void render_nothing(const struct call *call, struct slice reply, struct buf *out)
{
    (void)call;
    (void)reply;
    (void)out;
}

static void mute(struct client *c, struct call *call)
{
    buf_fini(&call->rendering.note);
    call->rendering = (struct rendering){.fn = render_nothing};
    if (c->mute == MUTE_TWO)
        c->mute = MUTE_NEXT;
    else if (c->mute == MUTE_NEXT)
        c->mute = MUTE_NOTHING;
}

struct call *call_new(struct client *c, const struct command_spec *spec, size_t nparts)
{
    struct call *call = mem_calloc(1, sizeof *call + nparts * sizeof call->parts[0]);
    call->client = c;
    call->spec = spec;
    call->nparts = call->left = nparts;
    call->started_us = c->all->now_us;
    call->max = c->all->config->client_output_max_bytes;
    call->rendering = c->rendering;
    c->rendering = (struct rendering){.fn = NULL};
    if (c->mute)
        mute(c, call);
    for (size_t i = 0; i < nparts; i++)
        call->parts[i].call = call;
    if (c->last_call)
        c->last_call->next = call;
    else
        c->first_call = call;
    c->last_call = call;
    if (!c->unwritten)
        c->unwritten = call;
    c->ncalls++;
    return call;
}

void call_is_write(struct call *call, size_t size)
{
    call->write = true;
    call->size = size;
    call->client->pending += size;
    call->client->all->pending += size;
}

bool call_too_large(const struct call *call)
{
    return call->nparts > 1 && call->bytes > call->max;
}

void call_free(struct call *call)
{
    buf_fini(&call->reply);
    buf_fini(&call->rendering.note);
    mem_free(call->tokens);
    mem_free(call);
}

void call_orphan(struct call *call)
{
    call->client->all->pending -= call->done ? 0 : call->size;
    call->client = NULL; /* frees itself with its last part */
    if (call->done)
        call_free(call);
}

#define NOTHING "; nothing was written"

static struct slice array_element(struct slice reply)
{
    /* "*1\r\n" and the element */
    return reply.len > 4 && reply.ptr[0] == '*' ? slice_of(reply.ptr + 4, reply.len - 4) : reply;
}

/* Where an error says that nothing was written; NULL: it doesn't. */
static const uint8_t *says_nothing(struct slice error)
{
    return memmem(error.ptr, error.len, NOTHING, sizeof NOTHING - 1);
}

/* Of the whole it isn't true that nothing was written, when another part was. */
static void add_error(struct buf *to, struct slice error, bool others)
{
    const uint8_t *at = others ? says_nothing(error) : NULL;
    if (!at) {
        buf_add(to, error.ptr, error.len);
        return;
    }
    size_t before = (size_t)(at - error.ptr), after = before + sizeof NOTHING - 1;
    buf_add(to, error.ptr, before);
    buf_add_str(to, "; it took effect on some");
    buf_add(to, error.ptr + after, error.len - after);
}

/* The first part that failed decides; where nothing succeeded, the first that may have been written
 * all the same. */
static bool merge_error(struct call *call)
{
    struct slice first = {0}, unsure = {0};
    bool some = false;
    for (size_t i = 0; i < call->nparts; i++) {
        struct slice reply = buf_slice(&call->parts[i].reply);
        bool failed = resp_reply_is_error(reply);
        some |= !failed;
        if (failed && !first.len)
            first = reply;
        if (failed && !unsure.len && !says_nothing(reply))
            unsure = reply;
    }
    if (first.len)
        add_error(&call->reply, some || !unsure.len ? first : unsure, some);
    return first.len;
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
    case MERGE_WHOLE:
        resp_add_array(&call->reply, call->nparts);
        for (size_t i = 0; i < call->nparts; i++)
            buf_add(&call->reply, buf_head(&call->parts[i].reply), call->parts[i].reply.len);
        break;
    case MERGE_OK:
        resp_add_status(&call->reply, "OK");
        break;
    }
}

/* What its client has to wait for as a whole can't grow without end: an error takes its place. */
static void refuse_reply(struct call *call, uint64_t max)
{
    buf_fini(&call->reply);
    resp_add_error(&call->reply,
                   "ERR more than %" PRIu64 " bytes of replies (client_output_max_bytes)%s", max,
                   call->write ? "; the write took effect" : "");
    call->failed = true;
}

/* A single reply of n bytes may have any size. */
static bool fits(const struct client *c, size_t n)
{
    size_t waiting = unread_bytes(c);
    return waiting <= client_pause_at(c) || waiting + n <= c->all->config->client_output_max_bytes;
}

static void settle_with_client(struct client *c, struct call *call, size_t n)
{
    c->guess = n > c->guess / 2 ? n : c->guess / 2;
    if (c->guess < GUESS_MIN)
        c->guess = GUESS_MIN;
    c->held += call->reply.len;
    c->pending -= call->size;
    c->all->pending -= call->size;
    client_mark_dirty(c);
}

static void render(const struct call *call, struct slice reply, struct buf *out)
{
    if (call->rendering.fn)
        call->rendering.fn(call, reply, out);
    else
        buf_add(out, reply.ptr, reply.len);
}

/* From the stores' words to its client's. */
static void render_whole(struct call *call)
{
    struct buf rendered = BUF_INIT;
    if (!call->rendering.fn || call_reads_the_same(call, buf_slice(&call->reply)))
        return;
    call->rendering.fn(call, buf_slice(&call->reply), &rendered);
    buf_fini(&call->reply);
    call->reply = rendered;
}

static void complete(struct call *call)
{
    call->done = true;
    for (size_t i = 0; i < call->nparts; i++)
        buf_fini(&call->parts[i].reply);
    if (!call->client) {
        call_free(call);
        return;
    }
    size_t n = call->reply.len;
    if (!fits(call->client, n))
        unread_cut_off(call->client);
    if (call->client->stream.closed)
        buf_fini(&call->reply); /* nobody reads it */
    else
        render_whole(call);
    settle_with_client(call->client, call, n);
}

/* The reply of a call that no unanswered one stands before goes straight to its client. */
static bool goes_straight(struct call *call, struct slice reply)
{
    struct client *c = call->client;
    bool can = c && !c->stream.closed && c->unwritten == call && call->merge == MERGE_ONE &&
               call->left == 0 && fits(c, reply.len);
    if (!can)
        return false;
    render(call, reply, &c->stream.out);
    c->unwritten = call->next;
    call->done = true;
    settle_with_client(c, call, reply.len);
    return true;
}

/* Parts that are too large together are dropped as they come. */
static void take_part(struct part *p, struct slice reply)
{
    struct call *call = p->call;
    call->bytes += reply.len;
    if (call->merge == MERGE_ONE)
        buf_add(&call->reply, reply.ptr, reply.len);
    else if (!call_too_large(call))
        buf_add(&p->reply, reply.ptr, reply.len);
}

static void count_part(struct in_flight *f, const struct call *call, uint32_t token, int by)
{
    f->bucket[token % HAZARDS] += (uint32_t)by;
    f->all += (uint32_t)by;
    if (call->wide)
        f->wide += (uint32_t)by;
}

static void count_in(struct call *call, uint32_t token, int by)
{
    struct client *c = call->client;
    count_part(call->write ? &c->writes : &c->reads, call, token, by);
    if (call->carried)
        count_part(&c->reads, call, token, by);
}

void call_part_starts(struct call *call, uint32_t token)
{
    count_in(call, token, 1);
}

/* A later read goes where the write was done. */
static void note_write(struct call *call, uint32_t token, const struct request_result *r)
{
    struct client *c = call->client;
    recent_note(&c->recent, c->all->requests, token, r);
    for (size_t i = 0; i < call->ntokens; i++)
        recent_note(&c->recent, c->all->requests, call->tokens[i], r);
}

void call_part_done(void *arg, const struct request_result *r)
{
    struct part *p = arg;
    struct call *call = p->call;
    if (call->client) {
        count_in(call, p->token, -1);
        if (call->write)
            note_write(call, p->token, r);
    }
    call->left--;
    if (goes_straight(call, r->reply)) {
        call->failed = resp_reply_is_error(r->reply);
        return;
    }
    take_part(p, r->reply);
    if (call->left)
        return;
    if (call_too_large(call))
        refuse_reply(call, call->max);
    else if (call->merge != MERGE_ONE)
        merge(call);
    call->failed = call->failed || resp_reply_is_error(buf_slice(&call->reply));
    complete(call);
}

void call_reply(struct call *call, struct slice reply)
{
    call->failed = resp_reply_is_error(reply);
    if (goes_straight(call, reply))
        return;
    buf_add(&call->reply, reply.ptr, reply.len);
    complete(call);
}
