/* How a connection to a Redis is spoken to (store/backend_conn.h). */
#include "store/redis.h"

static void add_ping(struct buf *out)
{
    resp_add_command(out, &(struct slice){(const uint8_t *)"PING", 4}, 1);
}

static bool add_auth(const struct backend_address *to, struct buf *out)
{
    bool has_user = to->user && *to->user, has_password = to->password && *to->password;
    struct slice argv[3] = {slice_str("AUTH")};
    size_t argc = 1;
    if (!has_user && !has_password)
        return false;
    if (has_user)
        argv[argc++] = slice_str(to->user);
    argv[argc++] = slice_str(has_password ? to->password : "");
    resp_add_command(out, argv, argc);
    return true;
}

static void add_info(struct buf *out)
{
    resp_add_command(out, &(struct slice){(const uint8_t *)"INFO", 4}, 1);
}

static bool too_old(struct slice reply, struct error *e)
{
    struct slice info;
    return resp_reply_bulk(reply, &info) && redis_info_too_old(info, e);
}

const struct backend_protocol redis_protocol = {.name = "Redis",
                                                .scan = resp_reply_scan,
                                                .is_error = resp_reply_is_error,
                                                .error_text = redis_text,
                                                .add_ping = add_ping,
                                                .add_greeting = add_auth,
                                                .add_version_question = add_info,
                                                .too_old = too_old};
