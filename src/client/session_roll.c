/* CLIENT LIST and CLIENT KILL. Each worker knows its own clients only, so the question goes round
 * all of them, and each adds what it has:
 *
 *     the asker's worker -> the next one -> ... -> the asker's worker: the reply */
#include "client/session.h"
#include "core/address.h"
#include "core/clock.h"
#include "core/mem.h"
#include <inttypes.h>

#define IDS_MAX 10000 /* that one command may name */

struct roll {
    struct msg msg;
    struct actor *asker; /* the worker */
    struct call *call;   /* that worker's */
    uint64_t self;       /* the client that asks */
    bool kill, skip_self, one_address;
    bool nobody;        /* of a type that no client of ours has */
    char *addr, *laddr; /* NULL: any */
    uint64_t *ids;      /* nids of them; 0: any */
    size_t nids;
    /* found so far */
    struct buf lines;
    uint64_t killed;
};

static void roll_free(struct roll *r)
{
    mem_free(r->addr);
    mem_free(r->laddr);
    mem_free(r->ids);
    buf_fini(&r->lines);
    mem_free(r);
}

/* ---- one client --------------------------------------------------------------------------------
 */

/* As Redis writes it: a unix socket is that of the server, with port 0. */
static void address_text(const struct client *c, bool other, char out[ADDRESS_TEXT_SIZE])
{
    struct address a;
    address_of_socket(c->stream.fd, other, &a);
    if (a.kind == ADDRESS_UNIX)
        snprintf(out, ADDRESS_TEXT_SIZE, "%s:0", c->all->config->listen);
    else
        address_format(&a, out, ADDRESS_TEXT_SIZE);
}

static void add_flags(struct buf *b, const struct client *c, const char *addr)
{
    bool on_unix = strcmp(addr + strlen(addr) - 2, ":0") == 0;
    buf_printf(b, " flags=%s%s%s", c->closing ? "c" : "", on_unix ? "U" : "",
               c->closing || on_unix ? "" : "N");
}

void session_add_client(struct buf *b, const struct client *c)
{
    char addr[ADDRESS_TEXT_SIZE], laddr[ADDRESS_TEXT_SIZE];
    uint64_t now = c->all->now_us > c->used_us ? c->all->now_us : c->used_us;
    const struct stream *s = &c->stream;
    address_text(c, true, addr);
    address_text(c, false, laddr);
    buf_printf(b, "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRIu64 " idle=%" PRIu64,
               c->id, addr, laddr, s->fd, c->name ? c->name : "", (now - c->since_us) / 1000000,
               (now - c->used_us) / 1000000);
    add_flags(b, c, addr);
    size_t arguments = c->cmd.cap * sizeof *c->cmd.argv, unsent = s->out.cap + c->held;
    buf_printf(b,
               " db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=0 "
               "rbs=%zu obl=%zu oll=%zu omem=%zu tot-mem=%zu events=%s cmd=",
               s->in.len, s->in.cap - s->in.len, arguments, s->out.cap, s->out.len, c->ncalls,
               unsent, sizeof *c + arguments + s->in.cap + unsent + c->pending,
               s->paused ? "w" : "r");
    session_add_lower(b, c->last ? c->last->name : "NULL");
    buf_printf(b, " user=default redir=-1 resp=%u lib-name=%s lib-ver=%s", c->resp,
               c->lib_name ? c->lib_name : "", c->lib_ver ? c->lib_ver : "");
}

static bool has_id(const struct roll *r, uint64_t id)
{
    for (size_t i = 0; i < r->nids; i++)
        if (r->ids[i] == id)
            return true;
    return r->nids == 0;
}

static bool has_address(const char *wanted, const struct client *c, bool other)
{
    char text[ADDRESS_TEXT_SIZE];
    if (!wanted)
        return true;
    address_text(c, other, text);
    return strcmp(text, wanted) == 0;
}

static bool is_meant(const struct roll *r, const struct client *c)
{
    return !c->stream.closed && !r->nobody && has_id(r, c->id) && has_address(r->addr, c, true) &&
           has_address(r->laddr, c, false) && !(r->kill && r->skip_self && c->id == r->self);
}

/* Who asks for its own end is told of it before. */
static void kill_client(struct roll *r, struct client *c)
{
    r->killed++;
    if (c->id == r->self)
        c->closing = true;
    else
        stream_close(&c->stream);
}

static void add_own(struct roll *r, struct clients *all)
{
    for (struct client *c = all->first, *next; c; c = next) {
        next = c->next;
        if (!is_meant(r, c))
            continue;
        if (r->kill) {
            kill_client(r, c);
        } else {
            session_add_client(&r->lines, c);
            buf_add_str(&r->lines, "\n");
        }
    }
}

/* ---- the way round -----------------------------------------------------------------------------
 */

static void answer(struct roll *r)
{
    struct buf b = BUF_INIT;
    if (!r->kill)
        resp_add_bulk(&b, buf_slice(&r->lines));
    else if (!r->one_address)
        resp_add_int(&b, (int64_t)r->killed);
    else if (r->killed)
        resp_add_status(&b, "OK");
    else
        resp_add_error(&b, "ERR No such client");
    call_reply(r->call, buf_slice(&b));
    buf_fini(&b);
    roll_free(r);
}

void clients_mail(struct clients *all, struct msg *m)
{
    struct roll *r = container_of_(m, struct roll, msg);
    if (r->asker == all->worker) {
        answer(r);
        return;
    }
    all->now_us = clock_mono_us();
    add_own(r, all);
    actor_send(all->next_worker, &r->msg);
}

/* Its client has gone, and so nobody else has the call. */
void clients_mail_drop(struct msg *m)
{
    struct roll *r = container_of_(m, struct roll, msg);
    call_free(r->call);
    roll_free(r);
}

/* ---- what is asked -----------------------------------------------------------------------------
 */

static bool take_type(struct roll *r, struct slice type, struct error *e)
{
    static const char *const types[] = {"normal", "master", "replica", "slave", "pubsub"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (slice_is(type, types[i])) {
            r->nobody = i > 0;
            return true;
        }
    return error_set(e, "ERR Unknown client type '%.*s'", session_quoted(type),
                     (const char *)type.ptr);
}

static char *text_of(struct slice s)
{
    return mem_printf("%.*s", (int)(s.len < ADDRESS_TEXT_SIZE ? s.len : ADDRESS_TEXT_SIZE),
                      (const char *)s.ptr);
}

static void set_text(char **to, struct slice s)
{
    mem_free(*to);
    *to = text_of(s);
}

static bool take_ids(struct roll *r, const struct client *c, struct error *e)
{
    size_t n = c->cmd.argc - 3;
    if (n > IDS_MAX)
        return error_set(e, "ERR found %zu ids; allowed at most %d", n, IDS_MAX);
    r->ids = mem_calloc(n, sizeof *r->ids);
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        if (!slice_to_i64(session_arg(c, 3 + i), &id))
            return error_set(e, "ERR Invalid client ID");
        r->ids[r->nids++] = (uint64_t)id;
    }
    return true;
}

static bool parse_list(struct roll *r, const struct client *c, struct error *e)
{
    size_t argc = c->cmd.argc;
    if (argc == 4 && slice_is(session_arg(c, 2), "TYPE"))
        return take_type(r, session_arg(c, 3), e);
    if (argc > 3 && slice_is(session_arg(c, 2), "ID"))
        return take_ids(r, c, e);
    return argc == 2 || error_set(e, "ERR syntax error");
}

static bool take_id(struct roll *r, struct slice text, struct error *e)
{
    int64_t id;
    if (!slice_to_i64(text, &id) || id < 1)
        return error_set(e, "ERR client-id should be greater than 0");
    mem_free(r->ids);
    r->ids = mem_calloc(1, sizeof *r->ids);
    r->ids[0] = (uint64_t)id;
    r->nids = 1;
    return true;
}

static bool take_skipme(struct roll *r, struct slice how, struct error *e)
{
    r->skip_self = slice_is(how, "YES");
    return r->skip_self || slice_is(how, "NO") || error_set(e, "ERR syntax error");
}

static bool take_filter(struct roll *r, struct slice name, struct slice value, struct error *e)
{
    if (slice_is(name, "ID"))
        return take_id(r, value, e);
    if (slice_is(name, "TYPE"))
        return take_type(r, value, e);
    if (slice_is(name, "SKIPME"))
        return take_skipme(r, value, e);
    if (slice_is(name, "ADDR"))
        set_text(&r->addr, value);
    else if (slice_is(name, "LADDR"))
        set_text(&r->laddr, value);
    else if (!slice_is(name, "USER"))
        return error_set(e, "ERR syntax error");
    else if (!slice_eq(value, slice_str("default")))
        return error_set(e, "ERR No such user '%.*s'", session_quoted(value),
                         (const char *)value.ptr);
    return true;
}

static bool parse_kill(struct roll *r, const struct client *c, struct error *e)
{
    r->kill = true;
    r->one_address = c->cmd.argc == 3;
    r->skip_self = !r->one_address;
    if (r->one_address)
        r->addr = text_of(session_arg(c, 2));
    for (size_t i = 2; i < c->cmd.argc && !r->one_address; i += 2)
        if (i + 1 == c->cmd.argc)
            return error_set(e, "ERR syntax error");
        else if (!take_filter(r, session_arg(c, i), session_arg(c, i + 1), e))
            return false;
    return true;
}

static void start(struct client *c, const struct command_spec *spec, struct roll *r)
{
    r->asker = c->all->worker;
    r->self = c->id;
    add_own(r, c->all);
    r->call = call_new(c, spec, 0);
    actor_send(c->all->next_worker, &r->msg);
}

bool session_ask_workers(struct client *c, const struct command_spec *spec)
{
    bool list = slice_is(session_arg(c, 1), "LIST");
    bool asks = list || (slice_is(session_arg(c, 1), "KILL") && c->cmd.argc > 2);
    struct error e;
    struct buf b = BUF_INIT;
    if (!asks || strcmp(spec->name, "CLIENT") != 0)
        return false;
    struct roll *r = MEM_NEW(struct roll);
    r->msg.type = MAIL_CLIENTS;
    if (list ? parse_list(r, c, &e) : parse_kill(r, c, &e)) {
        start(c, spec, r);
        return true;
    }
    roll_free(r);
    resp_add_error(&b, "%s", e.text);
    call_reply(call_new(c, spec, 0), buf_slice(&b));
    buf_fini(&b);
    return true;
}
