/* COMMAND */
#include "client/session.h"
#include "core/mem.h"

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
    session_add_lower(&name, s->name);
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
        const struct command_spec *s = command_find(session_arg(c, i));
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
    else if (!session_arity_ok(of.argc, s->arity))
        resp_add_error(b, "ERR Invalid number of arguments specified for command");
    else {
        resp_add_array(b, n);
        for (size_t i = 0; i < n; i++)
            resp_add_bulk(b, of.argv[keys[i]]);
    }
    mem_free(keys);
}

void session_commands(struct client *c, struct buf *b)
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
        SESSION_SUBCOMMANDS(c, b, "COMMAND", subs);
}
