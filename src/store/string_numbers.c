#include "store/string_commands.h"
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FLOAT_MAX_CHARS (5 * 1024) /* the longest text Redis reads or writes for a number */

static void become(struct string_call *c, const char *text, size_t len)
{
    struct cell *cell = c->cell;
    buf_add(cell->scratch, text, len);
    cell->value = buf_slice(cell->scratch);
    cell->exists = true;
    cell->effect = CELL_CHANGED;
}

static void add(struct string_call *c, int64_t by)
{
    int64_t old = 0, sum;
    if (c->cell->exists && !slice_to_i64(c->cell->value, &old)) {
        resp_add_error(c->reply, STRING_NOT_INTEGER);
        return;
    }
    if (__builtin_add_overflow(old, by, &sum)) {
        resp_add_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    char text[24];
    become(c, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)sum));
    resp_add_int(c->reply, sum);
}

void string_incr(struct string_call *c)
{
    add(c, 1);
}

void string_decr(struct string_call *c)
{
    add(c, -1);
}

void string_incrby(struct string_call *c)
{
    int64_t by;
    if (slice_to_i64(c->argv[0], &by))
        add(c, by);
    else
        resp_add_error(c->reply, STRING_NOT_INTEGER);
}

void string_decrby(struct string_call *c)
{
    int64_t by;
    if (!slice_to_i64(c->argv[0], &by))
        resp_add_error(c->reply, STRING_NOT_INTEGER);
    else if (by == INT64_MIN)
        resp_add_error(c->reply, "ERR decrement would overflow");
    else
        add(c, -by);
}

/* What strtold takes, but all of it, without a blank in front, and a number. */
static bool to_float(struct slice s, long double *out)
{
    char text[FLOAT_MAX_CHARS];
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    char *end;
    errno = 0;
    long double v = strtold(text, &end);
    if (isspace((unsigned char)text[0]) || end != text + s.len || isnan(v))
        return false;
    if (errno == ERANGE && (fabsl(v) > LDBL_MAX || fabsl(v) <= 0))
        return false;
    *out = v;
    return true;
}

/* As people write it: no exponent, no zeros at the end. */
static size_t float_text(long double v, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "%.17Lf", v);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    if (n == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        n = 1;
    }
    return n;
}

void string_incrbyfloat(struct string_call *c)
{
    long double old = 0, by;
    if ((c->cell->exists && !to_float(c->cell->value, &old)) || !to_float(c->argv[0], &by)) {
        resp_add_error(c->reply, "ERR value is not a valid float");
        return;
    }
    old += by;
    if (isnan(old) || isinf(old)) {
        resp_add_error(c->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[FLOAT_MAX_CHARS];
    become(c, text, float_text(old, text, sizeof text));
    resp_add_bulk(c->reply, c->cell->value);
}
