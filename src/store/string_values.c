#include "store/string_commands.h"

void string_reply_value(struct string_call *c)
{
    if (c->cell->exists)
        resp_add_bulk(c->reply, c->cell->value);
    else
        resp_add_nil(c->reply);
}

static void overwrite(struct cell *cell, struct slice value, uint64_t expires)
{
    cell->exists = true;
    cell->value = value;
    cell->expires = expires;
    cell->effect = CELL_OVERWRITTEN;
}

/* Also of a key that isn't there: an older write that comes later must find the delete. */
static void erase(struct cell *cell)
{
    cell->exists = false;
    cell->value = slice_of(NULL, 0);
    cell->expires = 0;
    cell->effect = CELL_OVERWRITTEN;
}

void string_get(struct string_call *c)
{
    string_reply_value(c);
}

void string_put(struct string_call *c)
{
    overwrite(c->cell, c->argv[0], 0);
}

struct set_options {
    bool nx, xx, get, keep;
    uint64_t expires;
};

static bool set_options_read(struct string_call *c, struct set_options *o)
{
    bool ok = true;
    *o = (struct set_options){0};
    for (size_t i = 1; i < c->argc && ok; i++) {
        struct slice a = c->argv[i];
        if (slice_is(a, "NX"))
            o->nx = true;
        else if (slice_is(a, "XX"))
            o->xx = true;
        else if (slice_is(a, "GET"))
            o->get = true;
        else if (slice_is(a, "KEEPTTL"))
            o->keep = true;
        else if (slice_is(a, "PXAT") && i + 1 < c->argc) {
            if (!string_lifetime(c, "set", c->argv[++i], &o->expires))
                return false;
        } else
            ok = false;
    }
    ok = ok && !(o->nx && o->xx) && !(o->keep && o->expires);
    if (!ok)
        resp_add_error(c->reply, STRING_SYNTAX);
    return ok;
}

void string_set(struct string_call *c)
{
    struct set_options o;
    if (!set_options_read(c, &o))
        return;
    struct cell *cell = c->cell;
    bool refused = (o.nx && cell->exists) || (o.xx && !cell->exists);
    if (o.get)
        string_reply_value(c);
    else if (refused)
        resp_add_nil(c->reply);
    else
        resp_add_status(c->reply, "OK");
    if (!refused)
        overwrite(cell, c->argv[0], o.keep ? cell->expires : o.expires);
}

void string_setnx(struct string_call *c)
{
    resp_add_int(c->reply, !c->cell->exists);
    if (!c->cell->exists)
        overwrite(c->cell, c->argv[0], 0);
}

void string_getset(struct string_call *c)
{
    string_reply_value(c);
    overwrite(c->cell, c->argv[0], 0);
}

void string_getdel(struct string_call *c)
{
    string_reply_value(c);
    erase(c->cell);
}

void string_del(struct string_call *c)
{
    c->counted = c->cell->exists;
    erase(c->cell);
}

void string_exists(struct string_call *c)
{
    c->counted = c->cell->exists;
}

void string_type(struct string_call *c)
{
    resp_add_status(c->reply, c->cell->exists ? "string" : "none");
}

void string_strlen(struct string_call *c)
{
    resp_add_int(c->reply, (int64_t)c->cell->value.len);
}

static bool length_ok(struct string_call *c, uint64_t len)
{
    if (len <= STRING_MAX)
        return true;
    resp_add_error(c->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

void string_append(struct string_call *c)
{
    struct cell *cell = c->cell;
    if (!length_ok(c, (uint64_t)cell->value.len + c->argv[0].len))
        return;
    buf_add(cell->scratch, cell->value.ptr, cell->value.len);
    buf_add(cell->scratch, c->argv[0].ptr, c->argv[0].len);
    cell->value = buf_slice(cell->scratch);
    cell->exists = true;
    cell->effect = CELL_CHANGED;
    resp_add_int(c->reply, (int64_t)cell->value.len);
}

void string_getrange(struct string_call *c)
{
    int64_t start, end, len = (int64_t)c->cell->value.len;
    if (!slice_to_i64(c->argv[0], &start) || !slice_to_i64(c->argv[1], &end)) {
        resp_add_error(c->reply, STRING_NOT_INTEGER);
        return;
    }
    bool backwards = start < 0 && end < 0 && start > end;
    if (start < 0)
        start = start + len < 0 ? 0 : start + len;
    if (end < 0)
        end = end + len < 0 ? 0 : end + len;
    if (end >= len)
        end = len - 1;
    if (backwards || start > end)
        resp_add_bulk_str(c->reply, "");
    else
        resp_add_bulk(c->reply, slice_of(c->cell->value.ptr + start, (size_t)(end - start) + 1));
}

void string_setrange(struct string_call *c)
{
    struct cell *cell = c->cell;
    struct slice piece = c->argv[1];
    int64_t offset;
    if (!slice_to_i64(c->argv[0], &offset)) {
        resp_add_error(c->reply, STRING_NOT_INTEGER);
        return;
    }
    if (offset < 0) {
        resp_add_error(c->reply, "ERR offset is out of range");
        return;
    }
    if (piece.len == 0) {
        resp_add_int(c->reply, (int64_t)cell->value.len);
        return;
    }
    if (!length_ok(c, (uint64_t)offset + piece.len))
        return;
    size_t at = (size_t)offset, old = cell->value.len;
    size_t len = at + piece.len > old ? at + piece.len : old;
    uint8_t *fresh = buf_reserve(cell->scratch, len);
    if (old)
        memcpy(fresh, cell->value.ptr, old);
    if (at > old)
        memset(fresh + old, 0, at - old);
    memcpy(fresh + at, piece.ptr, piece.len);
    buf_commit(cell->scratch, len);
    cell->value = buf_slice(cell->scratch);
    cell->exists = true;
    cell->effect = CELL_CHANGED;
    resp_add_int(c->reply, (int64_t)len);
}
