/* The commands that a node answers itself: about the connection, the server, this node's store. */
#include "client/call.h"
#include "core/clock.h"
#include "core/mem.h"
#include <ctype.h>
#include <stdio.h>

/* How much of an argument an error quotes. */
static int quoted(struct slice s)
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

static struct slice arg(const struct client *c, size_t i)
{
    return i < c->cmd.argc ? c->cmd.argv[i] : slice_of("", 0);
}

/* ---- PING ECHO QUIT SELECT HELLO ---------------------------------------------------------------
 */

static void do_ping(struct client *c, struct buf *b)
{
    if (c->cmd.argc > 2)
        resp_add_error(b, "ERR wrong number of arguments for 'ping' command");
    else if (c->cmd.argc == 2)
        resp_add_bulk(b, arg(c, 1));
    else
        resp_add_status(b, "PONG");
}

static void do_echo(struct client *c, struct buf *b)
{
    resp_add_bulk(b, arg(c, 1));
}

static void do_quit(struct client *c, struct buf *b)
{
    resp_add_status(b, "OK");
    c->closing = true;
}

static void do_select(struct client *c, struct buf *b)
{
    int64_t db;
    if (!slice_to_i64(arg(c, 1), &db))
        resp_add_error(b, "ERR value is not an integer or out of range");
    else if (db != 0)
        resp_add_error(b, "ERR DB index is out of range");
    else
        resp_add_status(b, "OK");
}

static bool valid_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '!' || s.ptr[i] > '~')
            return false;
    return true;
}

static bool set_name(struct client *c, struct slice name, struct buf *b)
{
    if (!valid_name(name)) {
        resp_add_error(b,
                       "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    mem_free(c->name);
    c->name = name.len ? mem_printf("%.*s", (int)name.len, (const char *)name.ptr) : NULL;
    return true;
}

static void add_pair(struct buf *b, const char *key, const char *value)
{
    resp_add_bulk_str(b, key);
    resp_add_bulk_str(b, value);
}

static void do_hello(struct client *c, struct buf *b)
{
    int64_t version = c->resp;
    if (c->cmd.argc > 1 && !slice_to_i64(arg(c, 1), &version)) {
        resp_add_error(b, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version != 2 && version != 3) {
        resp_add_error(b, "NOPROTO unsupported protocol version");
        return;
    }
    for (size_t i = 2; i < c->cmd.argc; i++) {
        if (slice_is(arg(c, i), "SETNAME") && i + 1 < c->cmd.argc) {
            if (!set_name(c, arg(c, ++i), b))
                return;
        } else if (slice_is(arg(c, i), "AUTH") && i + 2 < c->cmd.argc) {
            resp_add_error(b, "ERR 'AUTH' isn't supported by this server");
            return;
        } else {
            resp_add_error(b, "ERR Syntax error in HELLO option '%.*s'", quoted(arg(c, i)),
                           (const char *)arg(c, i).ptr);
            return;
        }
    }
    c->resp = (uint8_t)version;
    resp_add_array(b, 14);
    add_pair(b, "server", "redis");
    add_pair(b, "version", SESSION_REDIS_VERSION);
    resp_add_bulk_str(b, "proto");
    resp_add_int(b, version);
    resp_add_bulk_str(b, "id");
    resp_add_int(b, (int64_t)c->id);
    add_pair(b, "mode", "standalone");
    add_pair(b, "role", "master");
    resp_add_bulk_str(b, "modules");
    resp_add_array(b, 0);
}

/* ---- CLIENT COMMAND: subcommands ---------------------------------------------------------------
 */

struct subcommand {
    const char *name;
    int arity; /* with both names; negative: at least */
    void (*run)(struct client *c, struct buf *b);
    const char *help; /* its arguments, what it does */
};

static bool arity_ok(size_t argc, int arity)
{
    return arity < 0 ? argc >= (size_t)-arity : argc == (size_t)arity;
}

static void add_lower(struct buf *b, const char *name)
{
    for (; *name; name++) {
        char c = (char)tolower((unsigned char)*name);
        buf_add(b, &c, 1);
    }
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

static void run_sub(struct client *c, struct buf *b, const char *container,
                    const struct subcommand *subs, size_t n)
{
    struct slice name = arg(c, 1);
    struct buf full = BUF_INIT;
    bool help = slice_is(name, "HELP");
    const struct subcommand *s = NULL;
    for (size_t i = 0; i < n && !s; i++)
        if (slice_is(name, subs[i].name))
            s = &subs[i];
    if (!s && !help) {
        resp_add_error(b, "ERR unknown subcommand '%.*s'. Try %s HELP.", quoted(name),
                       (const char *)name.ptr, container);
        return;
    }
    if (!arity_ok(c->cmd.argc, help ? 2 : s->arity)) {
        add_lower(&full, container);
        buf_add_str(&full, "|");
        add_lower(&full, help ? "HELP" : s->name);
        resp_add_error(b, "ERR wrong number of arguments for '%.*s' command", (int)full.len,
                       (const char *)buf_head(&full));
        buf_fini(&full);
    } else if (help) {
        add_help(b, container, subs, n);
    } else {
        s->run(c, b);
    }
}

/* ---- CLIENT
 * --------------------------------------------------------------------------------------- */

static void client_id(struct client *c, struct buf *b)
{
    resp_add_int(b, (int64_t)c->id);
}

static void client_getname(struct client *c, struct buf *b)
{
    if (c->name)
        resp_add_bulk_str(b, c->name);
    else
        resp_add_nil(b);
}

static void client_setname(struct client *c, struct buf *b)
{
    if (set_name(c, arg(c, 2), b))
        resp_add_status(b, "OK");
}

/* Libraries tell their name; there is no CLIENT LIST to show it in. */
static void client_setinfo(struct client *c, struct buf *b)
{
    struct slice what = arg(c, 2);
    const char *lower = slice_is(what, "LIB-NAME")  ? "lib-name"
                        : slice_is(what, "LIB-VER") ? "lib-ver"
                                                    : NULL;
    if (!lower)
        resp_add_error(b, "ERR Unrecognized option '%.*s'", quoted(what), (const char *)what.ptr);
    else if (!valid_name(arg(c, 3)))
        resp_add_error(b, "ERR %s cannot contain spaces, newlines or special characters.", lower);
    else
        resp_add_status(b, "OK");
}

static void do_client(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"GETNAME", 2, client_getname, " -- The name of this connection."},
        {"ID", 2, client_id, " -- The id of this connection."},
        {"SETINFO", 4, client_setinfo, " <LIB-NAME|LIB-VER> <value> -- Taken, not kept."},
        {"SETNAME", 3, client_setname, " <name> -- Give this connection a name."}};
    run_sub(c, b, "CLIENT", subs, ARRAY_LEN(subs));
}

/* ---- COMMAND
 * -------------------------------------------------------------------------------------- */

static bool served(const struct clients *all, const struct command_spec *s)
{
    if (s->class_ == COMMAND_REFUSED)
        return false;
    return s->class_ == COMMAND_LOCAL || all->config->data_store != DATA_STORE_EMBEDDED ||
           (s->flags & COMMAND_EMBEDDED);
}

static size_t count_served(const struct clients *all)
{
    size_t n, count = 0;
    const struct command_spec *t = command_table(&n);
    for (size_t i = 0; i < n; i++)
        count += served(all, &t[i]);
    return count;
}

static void add_command_name(struct buf *b, const struct command_spec *s)
{
    struct buf name = BUF_INIT;
    add_lower(&name, s->name);
    resp_add_bulk(b, buf_slice(&name));
    buf_fini(&name);
}

static void add_command_info(struct buf *b, const struct command_spec *s)
{
    bool write = s->class_ == COMMAND_OVERWRITE || s->class_ == COMMAND_CHANGE;
    resp_add_array(b, 6);
    add_command_name(b, s);
    resp_add_int(b, s->arity);
    resp_add_array(b, 1);
    resp_add_status(b, write ? "write" : "readonly");
    resp_add_int(b, s->first);
    resp_add_int(b, s->last);
    resp_add_int(b, s->step);
}

/* Everything that is served here, by `add`. */
static void list_commands(const struct clients *all, struct buf *b,
                          void (*add)(struct buf *b, const struct command_spec *s))
{
    size_t n;
    const struct command_spec *t = command_table(&n);
    resp_add_array(b, count_served(all));
    for (size_t i = 0; i < n; i++)
        if (served(all, &t[i]))
            add(b, &t[i]);
}

static void command_count(struct client *c, struct buf *b)
{
    resp_add_int(b, (int64_t)count_served(c->all));
}

static void command_info(struct client *c, struct buf *b)
{
    if (c->cmd.argc == 2) {
        list_commands(c->all, b, add_command_info);
        return;
    }
    resp_add_array(b, c->cmd.argc - 2);
    for (size_t i = 2; i < c->cmd.argc; i++) {
        const struct command_spec *s = command_find(arg(c, i));
        if (s && served(c->all, s))
            add_command_info(b, s);
        else
            buf_add_str(b, "*-1\r\n");
    }
}

/* No texts: redis-cli and others then show none. */
static void command_docs(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_array(b, 0);
}

static void command_list(struct client *c, struct buf *b)
{
    if (c->cmd.argc == 2)
        list_commands(c->all, b, add_command_name);
    else
        resp_add_error(b, "ERR syntax error");
}

static void command_getkeys(struct client *c, struct buf *b)
{
    struct resp_command of = {.argv = c->cmd.argv + 2, .argc = c->cmd.argc - 2};
    const struct command_spec *s = command_find(of.argv[0]);
    if (!s) {
        resp_add_error(b, "ERR Invalid command specified");
        return;
    }
    size_t *keys = mem_calloc(of.argc, sizeof *keys), n = command_keys(s, &of, keys, of.argc);
    if (n == 0 && s->first == 0)
        resp_add_error(b, "ERR The command has no key arguments");
    else if (!arity_ok(of.argc, s->arity))
        resp_add_error(b, "ERR Invalid number of arguments specified for command");
    else {
        resp_add_array(b, n);
        for (size_t i = 0; i < n; i++)
            resp_add_bulk(b, of.argv[keys[i]]);
    }
    mem_free(keys);
}

static void do_command(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"COUNT", 2, command_count, " -- How many commands there are."},
        {"DOCS", -2, command_docs, " [<command> ...] -- Nothing: there are no texts."},
        {"GETKEYS", -4, command_getkeys, " <command line> -- The keys in it."},
        {"INFO", -2, command_info, " [<command> ...] -- Arity, class, places of the keys."},
        {"LIST", -2, command_list, " -- Names."}};
    if (c->cmd.argc == 1)
        list_commands(c->all, b, add_command_info);
    else
        run_sub(c, b, "COMMAND", subs, ARRAY_LEN(subs));
}

/* ---- DBSIZE SCAN: this node's store
 * ---------------------------------------------------------------- */

static void on_store_reply(void *arg_, const struct store_read_reply *r)
{
    struct call *call = arg_;
    call_reply(call, r->reply);
}

static bool ask_store(struct client *c, const struct command_spec *spec)
{
    if (c->first_call)
        return false; /* the client's earlier writes count */
    struct call *call = call_new(c, spec, 0);
    store_read(c->all->requests->reader, spec, &c->cmd, on_store_reply, call);
    return true;
}

static const struct session {
    const char *name;
    void (*run)(struct client *c, struct buf *b);
} sessions[] = {{"PING", do_ping},       {"ECHO", do_echo},     {"QUIT", do_quit},
                {"SELECT", do_select},   {"HELLO", do_hello},   {"CLIENT", do_client},
                {"COMMAND", do_command}, {"INFO", session_info}};

bool session_command(struct client *c, const struct command_spec *spec)
{
    struct buf b = BUF_INIT;
    if (spec->flags & COMMAND_NODE_STORE)
        return ask_store(c, spec);
    for (size_t i = 0; i < ARRAY_LEN(sessions); i++) {
        if (!slice_is(c->cmd.argv[0], sessions[i].name))
            continue;
        sessions[i].run(c, &b);
        return answer(c, spec, &b);
    }
    reply_unknown(&b, &c->cmd);
    return answer(c, spec, &b);
}
