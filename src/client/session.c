#include "client/session.h"
#include "core/clock.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int session_quoted(struct slice s)
{
    return (int)(s.len < 128 ? s.len : 128);
}

static bool answer(struct client *c, const struct command_spec *spec, struct buf *b)
{
    client_render_for(c, spec);
    struct call *call = call_new(c, spec, 0);
    call_reply(call, buf_slice(b));
    buf_fini(b);
    return true;
}

bool session_too_large(const struct client *c, struct buf *b)
{
    uint64_t max = c->all->config->client_output_max_bytes;
    if (b->len <= max)
        return false;
    buf_reset(b, 0);
    resp_add_error(b, "ERR more than %" PRIu64 " bytes of replies (client_output_max_bytes)", max);
    return true;
}

struct slice session_arg(const struct client *c, size_t i)
{
    return i < c->cmd.argc ? c->cmd.argv[i] : slice_of("", 0);
}

/* ---- PING ECHO QUIT SELECT ---------------------------------------------------------------
 */

static void do_ping(struct client *c, struct buf *b)
{
    if (c->cmd.argc > 2)
        resp_add_error(b, "ERR wrong number of arguments for 'ping' command");
    else if (c->cmd.argc == 2)
        resp_add_bulk(b, session_arg(c, 1));
    else
        resp_add_status(b, "PONG");
}

static void do_echo(struct client *c, struct buf *b)
{
    resp_add_bulk(b, session_arg(c, 1));
}

static void do_quit(struct client *c, struct buf *b)
{
    resp_add_status(b, "OK");
    c->closing = true;
}

static void do_select(struct client *c, struct buf *b)
{
    int64_t db;
    if (!slice_to_i64(session_arg(c, 1), &db))
        resp_add_error(b, "ERR value is not an integer or out of range");
    else if (db != 0)
        resp_add_error(b, "ERR DB index is out of range");
    else
        resp_add_status(b, "OK");
}

/* ---- subcommands
 * ---------------------------------------------------------------------------------
 */

bool session_arity_ok(size_t argc, int arity)
{
    return arity < 0 ? argc >= (size_t)-arity : argc == (size_t)arity;
}

void session_add_lower(struct buf *b, const char *name)
{
    for (; *name; name++) {
        char c = (char)tolower((unsigned char)*name);
        buf_add(b, &c, 1);
    }
}

void session_add_pair(struct buf *b, const char *key, const char *value)
{
    resp_add_bulk_str(b, key);
    resp_add_bulk_str(b, value);
}

static void add_help(struct buf *b, const char *container, const struct subcommand *subs, size_t n)
{
    char line[200];
    resp_add_array(b, n + 2);
    snprintf(line, sizeof line, "%s <subcommand> [<arg> ...]. Subcommands are:", container);
    resp_add_status(b, line);
    for (size_t i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%s%s", subs[i].name, subs[i].help);
        resp_add_status(b, line);
    }
    resp_add_status(b, "HELP -- This text.");
}

void session_subcommand(struct client *c, struct buf *b, const char *container,
                        const struct subcommand *subs, size_t n)
{
    struct slice name = session_arg(c, 1);
    struct buf full = BUF_INIT;
    bool help = slice_is(name, "HELP");
    const struct subcommand *s = NULL;
    for (size_t i = 0; i < n && !s; i++)
        if (slice_is(name, subs[i].name))
            s = &subs[i];
    if (!s && !help) {
        resp_add_error(b, "ERR unknown subcommand '%.*s'. Try %s HELP.", session_quoted(name),
                       (const char *)name.ptr, container);
        return;
    }
    if (!session_arity_ok(c->cmd.argc, help ? 2 : s->arity)) {
        session_add_lower(&full, container);
        buf_add_str(&full, "|");
        session_add_lower(&full, help ? "HELP" : s->name);
        resp_add_error(b, "ERR wrong number of arguments for '%.*s' command", (int)full.len,
                       (const char *)buf_head(&full));
        buf_fini(&full);
    } else if (help) {
        add_help(b, container, subs, n);
    } else if (s->run) {
        s->run(c, b);
    } else {
        resp_add_error(b, "ERR '%s %s' isn't supported in a transaction", container, s->name);
    }
}

/* ---- small ones -------------------------------------------------------------------------------
 */

static void do_time(struct client *c, struct buf *b)
{
    char text[24];
    uint64_t now = clock_wall_us();
    (void)c;
    resp_add_array(b, 2);
    snprintf(text, sizeof text, "%" PRIu64, now / 1000000);
    resp_add_bulk_str(b, text);
    snprintf(text, sizeof text, "%" PRIu64, now % 1000000);
    resp_add_bulk_str(b, text);
}

/* Every node takes writes. */
static void do_role(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_array(b, 3);
    resp_add_bulk_str(b, "master");
    resp_add_int(b, 0);
    resp_add_array(b, 0);
}

/* READONLY, READWRITE, ASKING: clients of Redis Cluster say so before commands that a node would
 * send elsewhere otherwise; this one never does. */
static void do_nothing(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_status(b, "OK");
}

static void do_lolwut(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_bulk_str(b, "Redis ver. " SESSION_REDIS_VERSION "\n");
}

static void module_list(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_array(b, 0);
}

static void do_module(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {{"LIST", 2, module_list, " -- There are none."}};
    SESSION_SUBCOMMANDS(c, b, "MODULE", subs);
}

static const struct session {
    const char *name;
    session_fn *run;
} sessions[] = {
    {"ACL", session_acl},
    {"ASKING", do_nothing},
    {"AUTH", session_auth},
    {"CLIENT", session_client},
    {"CLUSTER", session_cluster},
    {"COMMAND", session_commands},
    {"CONFIG", session_config},
    {"ECHO", do_echo},
    {"HELLO", session_hello},
    {"INFO", session_info},
    {"LOLWUT", do_lolwut},
    {"MODULE", do_module},
    {"PING", do_ping},
    {"QUIT", do_quit},
    {"READONLY", do_nothing},
    {"READWRITE", do_nothing},
    {"RESET", session_reset},
    {"ROLE", do_role},
    {"SELECT", do_select},
    {"TIME", do_time},
};

bool session_reply(struct client *c, const struct command_spec *spec, struct buf *b)
{
    for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
        if (strcmp(spec->name, sessions[i].name) == 0) {
            sessions[i].run(c, b);
            return true;
        }
    return false;
}

bool session_command(struct client *c, const struct command_spec *spec)
{
    struct buf b = BUF_INIT;
    if (session_ask_workers(c, spec))
        return true;
    if (!session_reply(c, spec, &b))
        reply_unknown(&b, &c->cmd);
    return answer(c, spec, &b);
}
