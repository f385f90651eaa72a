/* The commands that a node answers itself: about the connection, the server, this node's store. */
#include "client/call.h"
#include "core/clock.h"
#include "core/mem.h"
#include <config.h>
#include <ctype.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#define REDIS_VERSION "7.0.15" /* whose commands and errors we speak */

static bool answer(struct client *c, const struct command_spec *spec, struct buf *b)
{
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
    int64_t version = 2;
    if (c->cmd.argc > 1 && !slice_to_i64(arg(c, 1), &version)) {
        resp_add_error(b, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version != 2) {
        resp_add_error(b, "NOPROTO unsupported protocol version");
        return;
    }
    for (size_t i = 2; i < c->cmd.argc; i++) {
        if (slice_is(arg(c, i), "SETNAME") && i + 1 < c->cmd.argc) {
            if (!set_name(c, arg(c, ++i), b))
                return;
        } else {
            resp_add_error(b, "ERR Syntax error in HELLO option '%.*s'",
                           (int)(arg(c, i).len < 64 ? arg(c, i).len : 64),
                           (const char *)arg(c, i).ptr);
            return;
        }
    }
    resp_add_array(b, 14);
    add_pair(b, "server", "redis");
    add_pair(b, "version", REDIS_VERSION);
    resp_add_bulk_str(b, "proto");
    resp_add_int(b, 2);
    resp_add_bulk_str(b, "id");
    resp_add_int(b, (int64_t)c->id);
    add_pair(b, "mode", "standalone");
    add_pair(b, "role", "master");
    resp_add_bulk_str(b, "modules");
    resp_add_array(b, 0);
}

/* ---- CLIENT
 * --------------------------------------------------------------------------------------- */

static void do_client(struct client *c, struct buf *b)
{
    struct slice sub = arg(c, 1);
    size_t argc = c->cmd.argc;
    if (slice_is(sub, "ID") && argc == 2)
        resp_add_int(b, (int64_t)c->id);
    else if (slice_is(sub, "GETNAME") && argc == 2)
        c->name ? resp_add_bulk_str(b, c->name) : resp_add_nil(b);
    else if (slice_is(sub, "SETNAME") && argc == 3) {
        if (set_name(c, arg(c, 2), b))
            resp_add_status(b, "OK");
    } else if (slice_is(sub, "SETINFO") && argc == 4) {
        if (slice_is(arg(c, 2), "LIB-NAME") || slice_is(arg(c, 2), "LIB-VER"))
            resp_add_status(b, "OK");
        else
            resp_add_error(b, "ERR Unrecognized option '%.*s'",
                           (int)(arg(c, 2).len < 64 ? arg(c, 2).len : 64),
                           (const char *)arg(c, 2).ptr);
    } else
        resp_add_error(b,
                       "ERR Unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT "
                       "HELP.",
                       (int)(sub.len < 64 ? sub.len : 64), (const char *)sub.ptr);
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

static void add_command_info(struct buf *b, const struct command_spec *s)
{
    char name[64];
    size_t n = 0;
    for (; s->name[n] && n + 1 < sizeof name; n++)
        name[n] = (char)tolower((unsigned char)s->name[n]);
    name[n] = 0;
    resp_add_array(b, 6);
    resp_add_bulk_str(b, name);
    resp_add_int(b, s->arity);
    resp_add_array(b, 1);
    resp_add_status(b, s->class_ == COMMAND_OVERWRITE || s->class_ == COMMAND_CHANGE ? "write"
                                                                                     : "readonly");
    resp_add_int(b, s->first);
    resp_add_int(b, s->last);
    resp_add_int(b, s->step);
}

static void list_commands(const struct clients *all, struct buf *b, bool infos)
{
    size_t n, count = 0;
    const struct command_spec *t = command_table(&n);
    for (size_t i = 0; i < n; i++)
        count += served(all, &t[i]);
    if (!infos) {
        resp_add_int(b, (int64_t)count);
        return;
    }
    resp_add_array(b, count);
    for (size_t i = 0; i < n; i++)
        if (served(all, &t[i]))
            add_command_info(b, &t[i]);
}

static void do_command(struct client *c, struct buf *b)
{
    struct slice sub = arg(c, 1);
    if (c->cmd.argc == 1) {
        list_commands(c->all, b, true);
    } else if (slice_is(sub, "COUNT") && c->cmd.argc == 2) {
        list_commands(c->all, b, false);
    } else if (slice_is(sub, "DOCS")) {
        resp_add_array(b, 0);
    } else if (slice_is(sub, "INFO")) {
        resp_add_array(b, c->cmd.argc - 2);
        for (size_t i = 2; i < c->cmd.argc; i++) {
            const struct command_spec *s = command_find(arg(c, i));
            if (s && served(c->all, s))
                add_command_info(b, s);
            else
                buf_add_str(b, "*-1\r\n");
        }
    } else {
        resp_add_error(b, "ERR unknown subcommand '%.*s'. Try COMMAND HELP.",
                       (int)(sub.len < 64 ? sub.len : 64), (const char *)sub.ptr);
    }
}

/* ---- INFO
 * ------------------------------------------------------------------------------------------ */

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static uint64_t sum_requests(const struct clients *all)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < all->nworkers; w++)
        for (unsigned i = 0; i < STATS_COMMANDS_MAX; i++)
            for (unsigned k = 0; k < RESULTS; k++)
                n += STATS_LOAD(all->all_stats[w], requests[i][k]);
    return n;
}

static void info_server(const struct client *c, struct buf *t)
{
    uint64_t up = (clock_mono_ms() - c->all->started_ms) / 1000;
    buf_printf(t,
               "# Server\r\nredis_version:%s\r\ndynomited_version:%s\r\nredis_mode:standalone\r\n"
               "arch_bits:64\r\nprocess_id:%d\r\nrun_id:%s\r\nuptime_in_seconds:%" PRIu64
               "\r\nuptime_in_days:%" PRIu64 "\r\n\r\n",
               REDIS_VERSION, PACKAGE_VERSION, (int)getpid(), c->all->me->id, up, up / 86400);
}

static void info_clients(const struct client *c, struct buf *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < c->all->nworkers; i++)
        n += STATS_LOAD(c->all->all_stats[i], connections);
    buf_printf(t, "# Clients\r\nconnected_clients:%" PRIu64 "\r\nblocked_clients:0\r\n\r\n", n);
}

static void info_memory(struct buf *t)
{
    long kb = resident_kb();
    buf_printf(t, "# Memory\r\nused_memory:%ld\r\nused_memory_rss:%ld\r\nmaxmemory:0\r\n\r\n",
               kb * 1024, kb * 1024);
}

static void info_stats(const struct client *c, struct buf *t)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < c->all->nworkers; i++)
        total += STATS_LOAD(c->all->all_stats[i], connections_total);
    buf_printf(t,
               "# Stats\r\ntotal_connections_received:%" PRIu64
               "\r\ntotal_commands_processed:%" PRIu64 "\r\n\r\n",
               total, sum_requests(c->all));
}

static void info_keyspace(const struct client *c, struct buf *t)
{
    uint64_t keys = __atomic_load_n(&store_stats(c->all->requests->store)->keys, __ATOMIC_RELAXED);
    buf_add_str(t, "# Keyspace\r\n");
    if (keys)
        buf_printf(t, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", keys);
}

static void do_info(struct client *c, struct buf *b)
{
    struct buf t = BUF_INIT;
    struct slice want = arg(c, 1);
    bool all = c->cmd.argc == 1 || slice_is(want, "all") || slice_is(want, "default") ||
               slice_is(want, "everything");
    if (all || slice_is(want, "server"))
        info_server(c, &t);
    if (all || slice_is(want, "clients"))
        info_clients(c, &t);
    if (all || slice_is(want, "memory"))
        info_memory(&t);
    if (all || slice_is(want, "persistence"))
        buf_add_str(&t, "# Persistence\r\nloading:0\r\n\r\n");
    if (all || slice_is(want, "stats"))
        info_stats(c, &t);
    if (all || slice_is(want, "replication"))
        buf_add_str(&t, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n");
    if (all || slice_is(want, "cluster"))
        buf_add_str(&t, "# Cluster\r\ncluster_enabled:0\r\n\r\n");
    if (all || slice_is(want, "keyspace"))
        info_keyspace(c, &t);
    resp_add_bulk(b, buf_slice(&t));
    buf_fini(&t);
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
} sessions[] = {{"PING", do_ping},       {"ECHO", do_echo},   {"QUIT", do_quit},
                {"SELECT", do_select},   {"HELLO", do_hello}, {"CLIENT", do_client},
                {"COMMAND", do_command}, {"INFO", do_info}};

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
