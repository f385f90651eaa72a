#include "store/string_commands.h"

bool string_lifetime(struct string_call *c, const char *command, struct slice arg, uint64_t *out)
{
    int64_t at;
    if (!slice_to_i64(arg, &at)) {
        resp_add_error(c->reply, STRING_NOT_INTEGER);
        return false;
    }
    if (at <= 0) {
        resp_add_error(c->reply, "ERR invalid expire time in '%s' command", command);
        return false;
    }
    *out = (uint64_t)at;
    return true;
}

static bool is_lifetime(struct slice word)
{
    return slice_is(word, "EX") || slice_is(word, "PX") || slice_is(word, "EXAT") ||
           slice_is(word, "PXAT");
}

/* A wrong lifetime comes as the client has given it (command_class_of); of several the last one
 * counts. */
void string_getex(struct string_call *c)
{
    uint64_t expires = c->cell->expires;
    if (!c->cell->exists) {
        string_reply_value(c);
        return;
    }
    if (c->argc == 1 && slice_is(c->argv[0], "PERSIST")) {
        expires = 0;
    } else if (c->argc && c->argc % 2 == 0 && is_lifetime(c->argv[0])) {
        if (!string_lifetime(c, "getex", c->argv[c->argc - 1], &expires))
            return;
        if (!slice_is(c->argv[0], "PXAT")) {
            resp_add_error(c->reply, "ERR invalid expire time in 'getex' command");
            return;
        }
    } else if (c->argc != 0) {
        resp_add_error(c->reply, STRING_SYNTAX);
        return;
    }
    string_reply_value(c);
    if (expires != c->cell->expires) {
        c->cell->expires = expires;
        c->cell->effect = CELL_CHANGED;
    }
}

struct conditions {
    bool nx, xx, gt, lt;
};

static bool conditions_read(struct string_call *c, struct conditions *out)
{
    *out = (struct conditions){0};
    for (size_t i = 1; i < c->argc; i++) {
        struct slice a = c->argv[i];
        bool *which = slice_is(a, "NX")   ? &out->nx
                      : slice_is(a, "XX") ? &out->xx
                      : slice_is(a, "GT") ? &out->gt
                      : slice_is(a, "LT") ? &out->lt
                                          : NULL;
        if (!which) {
            resp_add_error(c->reply, "ERR Unsupported option %.*s", (int)a.len,
                           (const char *)a.ptr);
            return false;
        }
        *which = true;
    }
    if (out->nx && (out->xx || out->gt || out->lt)) {
        resp_add_error(c->reply,
                       "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (out->gt && out->lt) {
        resp_add_error(c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* A key without a lifetime has an endless one: nothing is greater, everything is less. */
static bool conditions_hold(const struct conditions *if_, uint64_t expires, uint64_t at)
{
    if ((if_->nx && expires != 0) || (if_->xx && expires == 0))
        return false;
    if (if_->gt && (expires == 0 || at <= expires))
        return false;
    return !(if_->lt && expires != 0 && at >= expires);
}

/* A time that has passed needs no case of its own: the key has lapsed then. */
void string_pexpireat(struct string_call *c)
{
    struct conditions conditions;
    int64_t when;
    if (!conditions_read(c, &conditions))
        return;
    if (!slice_to_i64(c->argv[0], &when)) {
        resp_add_error(c->reply, STRING_NOT_INTEGER);
        return;
    }
    uint64_t at = when > 0 ? (uint64_t)when : 1; /* 0 stands for never */
    if (!c->cell->exists || !conditions_hold(&conditions, c->cell->expires, at)) {
        resp_add_int(c->reply, 0);
        return;
    }
    c->cell->expires = at;
    c->cell->effect = CELL_CHANGED;
    resp_add_int(c->reply, 1);
}

void string_persist(struct string_call *c)
{
    bool had = c->cell->exists && c->cell->expires != 0;
    if (had) {
        c->cell->expires = 0;
        c->cell->effect = CELL_CHANGED;
    }
    resp_add_int(c->reply, had);
}

/* -2: no such key, -1: it has no lifetime. */
static void reply_lifetime(struct string_call *c, uint64_t since, uint64_t unit)
{
    const struct cell *cell = c->cell;
    if (!cell->exists || cell->expires == 0) {
        resp_add_int(c->reply, cell->exists ? -1 : -2);
        return;
    }
    uint64_t left = cell->expires > since ? cell->expires - since : 0;
    resp_add_int(c->reply, (int64_t)((left + unit / 2) / unit));
}

void string_ttl(struct string_call *c)
{
    reply_lifetime(c, c->cell->now, 1000);
}

void string_pttl(struct string_call *c)
{
    reply_lifetime(c, c->cell->now, 1);
}

void string_expiretime(struct string_call *c)
{
    reply_lifetime(c, 0, 1000);
}

void string_pexpiretime(struct string_call *c)
{
    reply_lifetime(c, 0, 1);
}
