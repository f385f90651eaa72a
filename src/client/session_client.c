/* CLIENT */
#include "client/session.h"

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
    if (session_set_name(c, session_arg(c, 2), b))
        resp_add_status(b, "OK");
}

/* Libraries tell their name; there is no CLIENT LIST to show it in. */
static void client_setinfo(struct client *c, struct buf *b)
{
    struct slice what = session_arg(c, 2);
    const char *lower = slice_is(what, "LIB-NAME")  ? "lib-name"
                        : slice_is(what, "LIB-VER") ? "lib-ver"
                                                    : NULL;
    if (!lower)
        resp_add_error(b, "ERR Unrecognized option '%.*s'", session_quoted(what),
                       (const char *)what.ptr);
    else if (!session_valid_name(session_arg(c, 3)))
        resp_add_error(b, "ERR %s cannot contain spaces, newlines or special characters.", lower);
    else
        resp_add_status(b, "OK");
}

void session_client(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"GETNAME", 2, client_getname, " -- The name of this connection."},
        {"ID", 2, client_id, " -- The id of this connection."},
        {"SETINFO", 4, client_setinfo, " <LIB-NAME|LIB-VER> <value> -- Taken, not kept."},
        {"SETNAME", 3, client_setname, " <name> -- Give this connection a name."}};
    SESSION_SUBCOMMANDS(c, b, "CLIENT", subs);
}
