#include "wire/transaction.h"
#include "core/mem.h"
#include "wire/command_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WATCHES 1u /* places in a record's argv */
#define COUNT   2u
#define KEYS    3u

bool transaction_is(const struct command_spec *spec)
{
    return spec && spec->rule == RULE_TRANSACTION;
}

/* ---- the record -------------------------------------------------------------------------------
 */

void transaction_add(struct buf *out, struct slice watches, const struct slice *keys, size_t nkeys,
                     const struct slice *commands, size_t ncommands)
{
    char number[24];
    snprintf(number, sizeof number, "%zu", nkeys);
    resp_add_array(out, KEYS + nkeys + ncommands);
    resp_add_bulk_str(out, "TRANSACTION");
    resp_add_bulk(out, watches);
    resp_add_bulk_str(out, number);
    for (size_t i = 0; i < nkeys; i++)
        resp_add_bulk(out, keys[i]);
    for (size_t i = 0; i < ncommands; i++)
        resp_add_bulk(out, commands[i]);
}

static size_t keys_of(const struct resp_command *record)
{
    int64_t n;
    size_t room = record->argc - KEYS;
    return slice_to_i64(record->argv[COUNT], &n) && n >= 0 && (uint64_t)n <= room ? (size_t)n : 0;
}

size_t transaction_count(const struct resp_command *record)
{
    return record->argc - KEYS - keys_of(record);
}

struct slice transaction_watches(const struct resp_command *record)
{
    return record->argv[WATCHES];
}

struct slice transaction_key(const struct resp_command *record, size_t i)
{
    return record->argv[KEYS + i];
}

void transaction_open(struct transaction *t, const struct resp_command *record)
{
    *t = (struct transaction){.record = record, .next = KEYS + keys_of(record)};
}

bool transaction_next(struct transaction *t)
{
    if (t->next >= t->record->argc)
        return false;
    t->bytes = t->record->argv[t->next++];
    t->spec = NULL;
    if (!resp_command_parse(t->bytes, &t->cmd))
        t->cmd.argc = 0;
    if (t->cmd.argc)
        t->spec = command_find(t->cmd.argv[0]);
    if (t->spec && (t->spec->flags & COMMAND_RECORD))
        t->spec = NULL; /* records don't stand in one another, however deep */
    return true;
}

void transaction_close(struct transaction *t)
{
    resp_command_fini(&t->cmd);
}

/* ---- keys -------------------------------------------------------------------------------------
 */

static int by_bytes(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->len ? memcmp(x->ptr, y->ptr, x->len) : 0;
}

typedef bool key_fn(void *arg, struct slice key);

/* For each key of the command that it stands at, until fn returns false. */
static bool each_key(const struct transaction *t, key_fn *fn, void *arg)
{
    size_t few[16], *keys = few;
    if (t->cmd.argc > ARRAY_LEN(few))
        keys = mem_alloc(t->cmd.argc * sizeof *keys);
    size_t n = command_keys(t->spec, &t->cmd, keys, t->cmd.argc);
    bool all = true;
    for (size_t i = 0; i < n && all; i++)
        all = fn(arg, t->cmd.argv[keys[i]]);
    if (keys != few)
        mem_free(keys);
    return all;
}

struct key_set {
    struct slice *keys;
    size_t n, cap;
};

static bool add_key(void *arg, struct slice key)
{
    struct key_set *s = arg;
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->keys = mem_realloc(s->keys, s->cap * sizeof *s->keys);
    }
    s->keys[s->n++] = key;
    return true;
}

static bool has_key(void *arg, struct slice key)
{
    const struct key_set *s = arg;
    return s->n && bsearch(&key, s->keys, s->n, sizeof key, by_bytes);
}

struct slice *transaction_written(const struct resp_command *record, size_t *n)
{
    struct key_set s = {0};
    struct transaction t;
    size_t once = 0;
    for (transaction_open(&t, record); transaction_next(&t);)
        if (t.spec && command_class_of(t.spec, &t.cmd) != COMMAND_READ)
            (void)each_key(&t, add_key, &s);
    transaction_close(&t);
    if (s.n)
        qsort(s.keys, s.n, sizeof *s.keys, by_bytes);
    for (size_t i = 0; i < s.n; i++)
        if (i == 0 || by_bytes(&s.keys[i], &s.keys[i - 1]) != 0)
            s.keys[once++] = s.keys[i];
    *n = once;
    return s.keys;
}

/* ---- what it is -------------------------------------------------------------------------------
 */

static bool command_ok(const struct transaction *t, struct key_set *named, struct error *e)
{
    if (!t->spec || (t->spec->flags & (COMMAND_RING | COMMAND_MEMCACHE)))
        return error_set(e, "ERR a transaction has a command that isn't known");
    if (!command_arity_ok(t->spec, &t->cmd, e))
        return false;
    if (command_class_of(t->spec, &t->cmd) >= COMMAND_LOCAL)
        return error_set(e, "ERR a transaction has a command that neither reads nor writes");
    return each_key(t, has_key, named) ||
           error_set(e, "ERR a transaction has a command with a key that it doesn't name");
}

bool transaction_ok(const struct resp_command *record, struct error *e)
{
    int64_t n;
    struct transaction t;
    struct key_set named = {0};
    bool ok = true;
    if (record->argc < KEYS || !slice_to_i64(record->argv[COUNT], &n) || n < 1 ||
        (uint64_t)n > record->argc - KEYS)
        return error_set(e, "ERR a transaction names no keys");
    size_t watched = record->argv[WATCHES].len;
    if (watched % TRANSACTION_VERSION || watched / TRANSACTION_VERSION > (uint64_t)n)
        return error_set(e, "ERR a transaction watches what it doesn't name");
    for (size_t i = 0; i < (size_t)n; i++)
        (void)add_key(&named, record->argv[KEYS + i]);
    qsort(named.keys, named.n, sizeof *named.keys, by_bytes);
    for (transaction_open(&t, record); ok && transaction_next(&t);)
        ok = command_ok(&t, &named, e);
    transaction_close(&t);
    mem_free(named.keys);
    return ok;
}

enum command_class transaction_class(const struct resp_command *record)
{
    struct transaction t;
    bool reads = record->argc >= KEYS && transaction_watches(record).len == 0;
    if (record->argc < KEYS)
        return COMMAND_REFUSED;
    for (transaction_open(&t, record); reads && transaction_next(&t);)
        reads = t.spec && command_class_of(t.spec, &t.cmd) == COMMAND_READ;
    transaction_close(&t);
    return reads ? COMMAND_READ : COMMAND_CHANGE;
}

bool transaction_has_undetermined(const struct resp_command *record)
{
    struct transaction t;
    bool has = false;
    for (transaction_open(&t, record); !has && transaction_next(&t);)
        has = t.spec && command_undetermined(t.spec, &t.cmd);
    transaction_close(&t);
    return has;
}

bool transaction_undetermined(const struct resp_command *record)
{
    return transaction_watches(record).len || transaction_has_undetermined(record);
}

void transaction_settled(const struct resp_command *record, struct buf *out)
{
    size_t nkeys = keys_of(record), n = 0;
    struct slice *commands = mem_calloc(transaction_count(record) + 1, sizeof *commands);
    struct transaction t;
    for (transaction_open(&t, record); transaction_next(&t);)
        if (t.spec && command_class_of(t.spec, &t.cmd) != COMMAND_READ)
            commands[n++] = t.bytes;
    transaction_close(&t);
    if (n)
        transaction_add(out, slice_of("", 0), record->argv + KEYS, nkeys, commands, n);
    mem_free(commands);
}
