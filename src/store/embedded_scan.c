#include "store/embedded.h"
#include "store/glob.h"
#include <stdio.h>

#define SCAN_COUNT 10 /* keys a call, when it doesn't say */
#define SCAN_SLACK 10 /* records looked at for each of them, at most: tombstones and misses */

/* The cursor is a place in the order of record_key_make: all keys below it have been told. Keys
 * don't move in it, so what stays for the whole scan is told exactly once. */
struct scan {
    uint64_t cursor;
    bool match, none; /* none: the type is one that no key has */
    struct slice pattern;
    uint64_t count;
    uint64_t now;
};

static bool parse_cursor(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

/* NULL: understood; else the error. */
static const char *parse(const struct resp_command *cmd, struct scan *s)
{
    if (!parse_cursor(cmd->argv[1], &s->cursor))
        return "ERR invalid cursor";
    for (size_t i = 2; i < cmd->argc; i += 2) {
        struct slice option = cmd->argv[i];
        int64_t n;
        if (i + 1 == cmd->argc)
            return "ERR syntax error";
        struct slice value = cmd->argv[i + 1];
        if (slice_is(option, "COUNT")) {
            if (!slice_to_i64(value, &n))
                return "ERR value is not an integer or out of range";
            if (n < 1)
                return "ERR syntax error";
            s->count = (uint64_t)n;
        } else if (slice_is(option, "MATCH")) {
            s->match = true;
            s->pattern = value;
        } else if (slice_is(option, "TYPE")) {
            s->none = !slice_is(value, "string");
        } else {
            return "ERR syntax error";
        }
    }
    return NULL;
}

static bool wanted(const struct scan *s, const struct record *r, struct slice key)
{
    return record_live(r, s->now) && !s->none && (!s->match || glob_match(s->pattern, key));
}

/* From the cursor on, into `keys`; ends between two places of the order, never within one. */
static int collect(struct embedded_reader *r, struct scan *s, struct buf *keys, size_t *found)
{
    uint8_t start[8] = {0}; /* gcc -O0 would warn */
    MDB_cursor *c;
    MDB_val k = mdb_val_of(start, sizeof start), v;
    struct embedded *store = container_of_(r->base.store, struct embedded, base);
    uint64_t looked = 0, last = 0, order = 0;
    int rc = mdb_cursor_open(r->txn, store->keys, &c);
    if (rc != 0)
        return rc;
    record_order_write(s->cursor, start);
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0;
         rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct slice at = slice_of(k.mv_data, k.mv_size);
        struct record record;
        if (!record_order_read(at, &order) ||
            !record_read(slice_of(v.mv_data, v.mv_size), &record)) {
            rc = MDB_CORRUPTED;
            break;
        }
        if (order != last && (*found >= s->count || looked / SCAN_SLACK >= s->count))
            break;
        struct slice key = record_user_key(at, &record);
        if (wanted(s, &record, key)) {
            resp_add_bulk(keys, key);
            ++*found;
        }
        looked++;
        last = order;
    }
    s->cursor = rc == 0 ? order : 0;
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int embedded_scan(struct embedded_reader *r, const struct resp_command *cmd, uint64_t now,
                  struct buf *reply)
{
    struct scan s = {.count = SCAN_COUNT, .now = now};
    struct buf keys = BUF_INIT;
    size_t found = 0;
    char cursor[24];
    const char *wrong =
        cmd->argc < 2 ? "ERR wrong number of arguments for 'scan' command" : parse(cmd, &s);
    if (wrong) {
        resp_add_error(reply, "%s", wrong);
        return 0;
    }
    int rc = collect(r, &s, &keys, &found);
    snprintf(cursor, sizeof cursor, "%llu", (unsigned long long)s.cursor);
    resp_add_array(reply, 2);
    resp_add_bulk_str(reply, cursor);
    resp_add_array(reply, found);
    buf_add(reply, buf_head(&keys), keys.len);
    buf_fini(&keys);
    return rc;
}
