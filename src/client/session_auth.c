/* Who the client is. */
#include "client/session.h"
#include "core/mem.h"

bool session_valid_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '!' || s.ptr[i] > '~')
            return false;
    return true;
}

bool session_set_name(struct client *c, struct slice name, struct buf *b)
{
    if (!session_valid_name(name)) {
        resp_add_error(b,
                       "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    mem_free(c->name);
    c->name = name.len ? mem_printf("%.*s", (int)name.len, (const char *)name.ptr) : NULL;
    return true;
}

void session_hello(struct client *c, struct buf *b)
{
    int64_t version = 2;
    if (c->cmd.argc > 1 && !slice_to_i64(session_arg(c, 1), &version)) {
        resp_add_error(b, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version != 2) {
        resp_add_error(b, "NOPROTO unsupported protocol version");
        return;
    }
    for (size_t i = 2; i < c->cmd.argc; i++) {
        if (slice_is(session_arg(c, i), "SETNAME") && i + 1 < c->cmd.argc) {
            if (!session_set_name(c, session_arg(c, ++i), b))
                return;
        } else if (slice_is(session_arg(c, i), "AUTH") && i + 2 < c->cmd.argc) {
            resp_add_error(b, "ERR 'AUTH' isn't supported by this server");
            return;
        } else {
            resp_add_error(b, "ERR Syntax error in HELLO option '%.*s'",
                           session_quoted(session_arg(c, i)), (const char *)session_arg(c, i).ptr);
            return;
        }
    }
    resp_add_array(b, 14);
    session_add_pair(b, "server", "redis");
    session_add_pair(b, "version", SESSION_REDIS_VERSION);
    resp_add_bulk_str(b, "proto");
    resp_add_int(b, 2);
    resp_add_bulk_str(b, "id");
    resp_add_int(b, (int64_t)c->id);
    session_add_pair(b, "mode", "standalone");
    session_add_pair(b, "role", "master");
    resp_add_bulk_str(b, "modules");
    resp_add_array(b, 0);
}
