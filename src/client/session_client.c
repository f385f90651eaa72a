/* CLIENT, but for LIST and KILL (session_roll.c). */
#include "client/session.h"
#include "core/mem.h"

static void client_id(struct client *c, struct buf *b)
{
    resp_add_int(b, (int64_t)c->id);
}

static void client_info(struct client *c, struct buf *b)
{
    struct buf line = BUF_INIT;
    session_add_client(&line, c);
    buf_add_str(&line, "\n");
    resp_add_bulk(b, buf_slice(&line));
    buf_fini(&line);
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
    if (session_set_name(c, session_arg(c, 2), b))
        resp_add_status(b, "OK");
}

/* Redis 7.2's, which today's libraries send. */
static void client_setinfo(struct client *c, struct buf *b)
{
    struct slice what = session_arg(c, 2), value = session_arg(c, 3);
    bool name = slice_is(what, "LIB-NAME");
    char **to = name ? &c->lib_name : &c->lib_ver;
    if (!name && !slice_is(what, "LIB-VER")) {
        resp_add_error(b, "ERR Unrecognized option '%.*s'", session_quoted(what),
                       (const char *)what.ptr);
        return;
    }
    if (!session_valid_name(value)) {
        resp_add_error(b, "ERR %s cannot contain spaces, newlines or special characters.",
                       name ? "lib-name" : "lib-ver");
        return;
    }
    if (!session_name_fits(value, b))
        return;
    mem_free(*to);
    *to = value.len ? mem_printf("%.*s", (int)value.len, (const char *)value.ptr) : NULL;
    resp_add_status(b, "OK");
}

static void client_reply(struct client *c, struct buf *b)
{
    struct slice how = session_arg(c, 2);
    if (slice_is(how, "ON")) {
        c->mute = MUTE_NOTHING;
        resp_add_status(b, "OK");
    } else if (slice_is(how, "OFF")) {
        c->mute = MUTE_ALL;
    } else if (slice_is(how, "SKIP")) {
        if (c->mute != MUTE_ALL)
            c->mute = MUTE_TWO;
    } else {
        resp_add_error(b, "ERR syntax error");
    }
}

/* Nobody waits in a blocking command. */
static void client_unblock(struct client *c, struct buf *b)
{
    int64_t id;
    struct slice how = session_arg(c, 3);
    if (c->cmd.argc > 4)
        resp_add_error(
            b, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
            session_quoted(session_arg(c, 1)), (const char *)session_arg(c, 1).ptr);
    else if (c->cmd.argc == 4 && !slice_is(how, "TIMEOUT") && !slice_is(how, "ERROR"))
        resp_add_error(b, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    else if (!slice_to_i64(session_arg(c, 2), &id))
        resp_add_error(b, "ERR value is not an integer or out of range");
    else
        resp_add_int(b, 0);
}

/* No client is ever evicted for its buffers, so each is protected already. */
static void client_no_evict(struct client *c, struct buf *b)
{
    struct slice how = session_arg(c, 2);
    if (slice_is(how, "ON") || slice_is(how, "OFF"))
        resp_add_status(b, "OK");
    else
        resp_add_error(b, "ERR syntax error");
}

/* Redis 7.2's. The embedded store knows of no key when it was used last, so nothing is touched. */
static void client_no_touch(struct client *c, struct buf *b)
{
    struct slice how = session_arg(c, 2);
    if (slice_is(how, "OFF") ||
        (slice_is(how, "ON") && c->all->config->data_store == DATA_STORE_EMBEDDED))
        resp_add_status(b, "OK");
    else if (slice_is(how, "ON"))
        resp_add_error(b, "ERR 'CLIENT NO-TOUCH' isn't supported: all clients of a node share its "
                          "connections to the store");
    else
        resp_add_error(b, "ERR syntax error");
}

/* ---- tracking: it is off, and stays so --------------------------------------------------------
 */

static void client_tracking(struct client *c, struct buf *b)
{
    struct slice how = session_arg(c, 2);
    if (slice_is(how, "OFF"))
        resp_add_status(b, "OK");
    else if (slice_is(how, "ON"))
        resp_add_error(b, "ERR 'CLIENT TRACKING' isn't supported: keys are written through other "
                          "nodes, too, which tell nobody");
    else
        resp_add_error(b, "ERR syntax error");
}

static void client_trackinginfo(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_array(b, 6);
    resp_add_bulk_str(b, "flags");
    resp_add_array(b, 1);
    resp_add_bulk_str(b, "off");
    resp_add_bulk_str(b, "redirect");
    resp_add_int(b, -1);
    resp_add_bulk_str(b, "prefixes");
    resp_add_array(b, 0);
}

static void client_getredir(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_int(b, -1);
}

static void client_caching(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_error(b, "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                      "with OPTIN or OPTOUT mode enabled");
}

void session_client(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"CACHING", 3, client_caching, " (YES|NO) -- An error: there is no tracking."},
        {"GETNAME", 2, client_getname, " -- The name of this connection."},
        {"GETREDIR", 2, client_getredir, " -- -1: there is no tracking."},
        {"ID", 2, client_id, " -- The id of this connection."},
        {"INFO", 2, client_info, " -- This connection, as LIST shows it."},
        {"KILL", -3, NULL,
         " <ip:port> or ([ID <id>] [TYPE <type>] [ADDR <ip:port>] [LADDR <ip:port>] [USER <user>] "
         "[SKIPME (YES|NO)]) -- Close connections of this node."},
        {"LIST", -2, NULL, " [TYPE <type>|ID <id> ...] -- The connections of this node."},
        {"NO-EVICT", 3, client_no_evict, " (ON|OFF) -- Nothing: no connection is evicted."},
        {"NO-TOUCH", 3, client_no_touch, " (ON|OFF) -- ON with the embedded store only."},
        {"REPLY", 3, client_reply, " (ON|OFF|SKIP) -- Whether commands get replies."},
        {"SETINFO", 4, client_setinfo, " (LIB-NAME|LIB-VER) <value> -- What LIST shows of it."},
        {"SETNAME", 3, client_setname, " <name> -- Give this connection a name."},
        {"TRACKING", -3, client_tracking, " (ON|OFF) -- ON is refused."},
        {"TRACKINGINFO", 2, client_trackinginfo, " -- There is no tracking."},
        {"UNBLOCK", -3, client_unblock, " <id> [TIMEOUT|ERROR] -- 0: nobody is blocked."}};
    SESSION_SUBCOMMANDS(c, b, "CLIENT", subs);
}
