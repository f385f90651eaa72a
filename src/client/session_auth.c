/* Who the client is: AUTH, HELLO and RESET. There is one user, `default`, whose password is
 * requirepass. */
#include "client/multi.h"
#include "client/session.h"
#include "core/mem.h"

#define NAME_MAX_BYTES 8192u
#define WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

bool session_without_password(const struct command_spec *spec)
{
    static const char *const names[] = {"AUTH", "HELLO", "QUIT", "RESET"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(spec->name, names[i]) == 0)
            return true;
    return false;
}

/* Without a password any is right, as in Redis. */
static bool authenticate(struct client *c, struct slice user, struct slice password)
{
    const struct config *config = c->all->config;
    bool known = slice_eq(user, slice_str("default"));
    bool right = !config_needs_password(config) || config_password_is(config, password);
    if (known && right)
        c->authenticated = true;
    return known && right;
}

void session_auth(struct client *c, struct buf *b)
{
    bool named = c->cmd.argc == 3;
    if (c->cmd.argc > 3)
        resp_add_error(b, "ERR syntax error");
    else if (!named && !config_needs_password(c->all->config))
        resp_add_error(b, "ERR AUTH <password> called without any password configured for the "
                          "default user. Are you sure your configuration is correct?");
    else if (authenticate(c, named ? session_arg(c, 1) : slice_str("default"),
                          session_arg(c, named ? 2 : 1)))
        resp_add_status(b, "OK");
    else
        resp_add_error(b, WRONG_PASSWORD);
}

/* ---- HELLO ------------------------------------------------------------------------------------
 */

/* Names stay for as long as the connection does, and CLIENT LIST tells those of all. */
bool session_name_fits(struct slice s, struct buf *b)
{
    if (s.len > NAME_MAX_BYTES)
        resp_add_error(b, "ERR found a name of %zu bytes; allowed at most %u", s.len,
                       NAME_MAX_BYTES);
    return s.len <= NAME_MAX_BYTES;
}

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
    if (!session_name_fits(name, b))
        return false;
    mem_free(c->name);
    c->name = name.len ? mem_printf("%.*s", (int)name.len, (const char *)name.ptr) : NULL;
    return true;
}

/* The option at *i, which moves to its last argument. False: the error is appended. */
static bool hello_option(struct client *c, size_t *i, struct buf *b)
{
    struct slice option = session_arg(c, *i);
    size_t more = c->cmd.argc - 1 - *i;
    if (slice_is(option, "AUTH") && more >= 2) {
        bool right = authenticate(c, session_arg(c, *i + 1), session_arg(c, *i + 2));
        *i += 2;
        if (!right)
            resp_add_error(b, WRONG_PASSWORD);
        return right;
    }
    if (slice_is(option, "SETNAME") && more >= 1)
        return session_set_name(c, session_arg(c, ++*i), b);
    resp_add_error(b, "ERR Syntax error in HELLO option '%.*s'", session_quoted(option),
                   (const char *)option.ptr);
    return false;
}

static void add_greeting(const struct client *c, struct buf *b)
{
    resp_add_array(b, 14);
    session_add_pair(b, "server", "redis");
    session_add_pair(b, "version", SESSION_REDIS_VERSION);
    resp_add_bulk_str(b, "proto");
    resp_add_int(b, c->resp);
    resp_add_bulk_str(b, "id");
    resp_add_int(b, (int64_t)c->id);
    session_add_pair(b, "mode", "standalone");
    session_add_pair(b, "role", "master");
    resp_add_bulk_str(b, "modules");
    resp_add_array(b, 0);
}

void session_hello(struct client *c, struct buf *b)
{
    int64_t version = c->resp;
    if (c->cmd.argc > 1 && !slice_to_i64(session_arg(c, 1), &version)) {
        resp_add_error(b, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version < 2 || version > 3) {
        resp_add_error(b, "NOPROTO unsupported protocol version");
        return;
    }
    for (size_t i = 2; i < c->cmd.argc; i++)
        if (!hello_option(c, &i, b))
            return;
    if (client_must_authenticate(c)) {
        resp_add_error(b,
                       "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO AUTH <user> <pass> option can be used to "
                       "authenticate the client and select the RESP protocol version at the same "
                       "time");
        return;
    }
    c->resp = (uint8_t)version;
    add_greeting(c, b);
}

/* As a new connection has it. */
void session_reset(struct client *c, struct buf *b)
{
    client_discard(c);
    c->resp = 2;
    c->authenticated = !config_needs_password(c->all->config);
    c->mute = MUTE_NOTHING;
    mem_free(c->name);
    c->name = NULL;
    resp_add_status(b, "RESET");
}
