#include "store/strings.h"
#include "store/string_commands.h"
#include <ctype.h>

/* How a command's keys stand in its arguments, and what becomes of the cells. */
enum shape {
    ONE,   /* key ...: the command replies */
    SUM,   /* key key ...: each adds 1 or 0 to an integer */
    LIST,  /* key key ...: an array of replies */
    PAIRS, /* key value key value ...: +OK */
};

struct string_command {
    const char *name;
    enum shape shape;
    size_t least; /* arguments, the name included */
    string_fn *fn;
};

static const struct string_command table[] = {
    {"GET", ONE, 2, string_get},
    {"SET", ONE, 3, string_set},
    {"DEL", SUM, 2, string_del},
    {"MGET", LIST, 2, string_get},
    {"MSET", PAIRS, 3, string_put},
    {"INCR", ONE, 2, string_incr},
    {"DECR", ONE, 2, string_decr},
    {"INCRBY", ONE, 3, string_incrby},
    {"DECRBY", ONE, 3, string_decrby},
    {"INCRBYFLOAT", ONE, 3, string_incrbyfloat},
    {"SETNX", ONE, 3, string_setnx},
    {"GETSET", ONE, 3, string_getset},
    {"GETDEL", ONE, 2, string_getdel},
    {"GETEX", ONE, 2, string_getex},
    {"APPEND", ONE, 3, string_append},
    {"STRLEN", ONE, 2, string_strlen},
    {"GETRANGE", ONE, 4, string_getrange},
    {"SUBSTR", ONE, 4, string_getrange},
    {"SETRANGE", ONE, 4, string_setrange},
    {"UNLINK", SUM, 2, string_del},
    {"EXISTS", SUM, 2, string_exists},
    {"TOUCH", SUM, 2, string_exists},
    {"TYPE", ONE, 2, string_type},
    {"PEXPIREAT", ONE, 3, string_pexpireat},
    {"PERSIST", ONE, 2, string_persist},
    {"TTL", ONE, 2, string_ttl},
    {"PTTL", ONE, 2, string_pttl},
    {"EXPIRETIME", ONE, 2, string_expiretime},
    {"PEXPIRETIME", ONE, 2, string_pexpiretime},
};

const struct string_command *string_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (slice_is(name, table[i].name))
            return &table[i];
    return NULL;
}

bool string_is(const struct string_command *c, struct slice name)
{
    return slice_is(name, c->name);
}

static bool run_key(const struct string_command *c, const struct slice *argv, size_t argc,
                    const struct string_access *access, struct buf *reply, int64_t *sum)
{
    struct cell cell = {.scratch = access->scratch};
    buf_reset(access->scratch, SIZE_MAX);
    if (!access->open(access->arg, argv[0], &cell))
        return false;
    struct string_call call = {&cell, argv + 1, argc - 1, reply, 0};
    c->fn(&call);
    *sum += call.counted;
    return cell.effect == CELL_KEPT || access->close(access->arg, argv[0], &cell);
}

static void wrong_number(const struct string_command *c, struct buf *reply)
{
    char name[32];
    size_t i = 0;
    for (; c->name[i]; i++)
        name[i] = (char)tolower((unsigned char)c->name[i]);
    name[i] = '\0';
    resp_add_error(reply, "ERR wrong number of arguments for '%s' command", name);
}

bool string_run(const struct string_command *c, const struct resp_command *cmd,
                const struct string_access *access, struct buf *reply)
{
    size_t argc = cmd->argc, step = c->shape == PAIRS ? 2 : 1;
    int64_t sum = 0;
    if (argc < c->least || (c->shape == PAIRS && argc % 2 == 0)) {
        wrong_number(c, reply);
        return true;
    }
    if (c->shape == ONE)
        return run_key(c, cmd->argv + 1, argc - 1, access, reply, &sum);
    if (c->shape == LIST)
        resp_add_array(reply, argc - 1);
    for (size_t i = 1; i < argc; i += step)
        if (!run_key(c, cmd->argv + i, step, access, reply, &sum))
            return false;
    if (c->shape == SUM)
        resp_add_int(reply, sum);
    else if (c->shape == PAIRS)
        resp_add_status(reply, "OK");
    return true;
}
