/* ACL: there is one user, `default`, who may do everything, and whose password is requirepass. */
#include "client/session.h"
#include "wire/command_about.h"
#include <string.h>

static void acl_whoami(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_bulk_str(b, "default");
}

static void acl_users(struct client *c, struct buf *b)
{
    (void)c;
    resp_add_array(b, 1);
    resp_add_bulk_str(b, "default");
}

/* The password isn't shown, nor its digest. */
static void acl_list(struct client *c, struct buf *b)
{
    bool password = config_needs_password(c->all->config);
    resp_add_array(b, 1);
    resp_add_bulk_str(b, password ? "user default on ~* &* +@all"
                                  : "user default on nopass ~* &* +@all");
}

static void acl_getuser(struct client *c, struct buf *b)
{
    bool password = config_needs_password(c->all->config);
    if (!slice_eq(session_arg(c, 2), slice_str("default"))) {
        resp_add_nil(b);
        return;
    }
    resp_add_array(b, 12);
    resp_add_bulk_str(b, "flags");
    resp_add_array(b, password ? 1 : 2);
    resp_add_bulk_str(b, "on");
    if (!password)
        resp_add_bulk_str(b, "nopass");
    resp_add_bulk_str(b, "passwords");
    resp_add_array(b, 0);
    session_add_pair(b, "commands", "+@all");
    session_add_pair(b, "keys", "~*");
    session_add_pair(b, "channels", "&*");
    resp_add_bulk_str(b, "selectors");
    resp_add_array(b, 0);
}

static void acl_cat(struct client *c, struct buf *b)
{
    size_t n = 0;
    struct slice category = session_arg(c, 2);
    if (c->cmd.argc > 3) {
        resp_add_error(b, "ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL "
                          "HELP.");
        return;
    }
    if (c->cmd.argc == 3) {
        if (!session_list_category(c, category, b))
            resp_add_error(b, "ERR Unknown category '%.*s'", session_quoted(category),
                           (const char *)category.ptr);
        return;
    }
    while (command_categories[n])
        n++;
    resp_add_array(b, n);
    for (const char *const *name = command_categories; *name; name++)
        resp_add_bulk_str(b, *name);
}

void session_acl(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"CAT", -2, acl_cat, " [<category>] -- Categories, or the commands of one."},
        {"GETUSER", 3, acl_getuser, " <user> -- What it may."},
        {"LIST", 2, acl_list, " -- The users, as a configuration would have them."},
        {"USERS", 2, acl_users, " -- There is one."},
        {"WHOAMI", 2, acl_whoami, " -- That one."}};
    SESSION_SUBCOMMANDS(c, b, "ACL", subs);
}
