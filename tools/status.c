#include "status.h"
#include "core/mem.h"
#include "table.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* Where this node is. */
static const char *own_datacenter, *own_rack;

/* The own one first, the others by name. */
static int by_name(const char *a, const char *b, const char *own)
{
    bool x = strcmp(a, own) == 0, y = strcmp(b, own) == 0;
    return x || y ? y - x : strcmp(a, b);
}

static int by_place(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    const char *dc = text(x, "datacenter");
    int order = by_name(dc, text(y, "datacenter"), own_datacenter);
    const char *rack = strcmp(dc, own_datacenter) == 0 ? own_rack : "";
    if (order == 0)
        order = by_name(text(x, "rack"), text(y, "rack"), rack);
    return order ? order : strcmp(text(x, "address"), text(y, "address"));
}

/* This node as one of the rows, with a peer's members; null where it has none of it. */
static json_t *own_row(const json_t *node)
{
    static const char *const members[] = {
        "id",    "address", "datacenter",    "rack",        "tokens",
        "state", "link",    "hints_pending", "hints_bytes", "needs_repair"};
    json_t *row = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_t *v = json_object_get(node, members[i]);
        json_object_set_new(row, members[i], v ? json_incref(v) : json_null());
    }
    return row;
}

/* The rack first, and no datacenter: it stands above. */
static json_t *shown_row(json_t *row)
{
    json_t *shown = json_object(), *v;
    const char *key;
    json_object_set(shown, "rack", json_object_get(row, "rack"));
    json_object_foreach(row, key, v) if (strcmp(key, "datacenter") != 0)
        json_object_set(shown, key, v);
    return shown;
}

static bool is_up(const json_t *row)
{
    static const char *const up[] = {"NORMAL", "STANDBY", "JOINING", "LEAVING"};
    const char *state = text(row, "state");
    bool found = false;
    for (size_t i = 0; i < sizeof up / sizeof *up; i++)
        found |= strcmp(state, up[i]) == 0;
    return found && !json_is_false(json_object_get(row, "link"));
}

static void print_datacenter(json_t *const *row, size_t n)
{
    json_t *rows = json_array();
    size_t up = 0;
    json_int_t pending = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        up += is_up(row[i]);
        pending += json_integer_value(json_object_get(row[i], "hints_pending"));
        bytes += json_integer_value(json_object_get(row[i], "hints_bytes"));
        json_array_append_new(rows, shown_row(row[i]));
    }
    const char *name = text(row[0], "datacenter");
    table_title("datacenter %s%s: %zu of %zu nodes up, hints %lld (%lld bytes)", name,
                strcmp(name, own_datacenter) == 0 ? " (this node's)" : "", up, n,
                (long long)pending, (long long)bytes);
    table_rows(rows);
    json_decref(rows);
}

void status_print(json_t *status)
{
    json_t *node = json_object_get(status, "node"), *peers = json_object_get(status, "peers");
    size_t n = json_array_size(peers) + 1;
    json_t **rows = mem_calloc(n, sizeof(json_t *));
    own_datacenter = text(node, "datacenter");
    own_rack = text(node, "rack");
    table_title("node");
    table_members(node, "  ");
    for (size_t i = 0; i + 1 < n; i++)
        rows[i] = json_incref(json_array_get(peers, i));
    rows[n - 1] = own_row(node);
    qsort(rows, n, sizeof(json_t *), by_place);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n; to++)
            if (strcmp(text(rows[from], "datacenter"), text(rows[to], "datacenter")) != 0)
                break;
        print_datacenter(rows + from, to - from);
    }
    for (size_t i = 0; i < n; i++)
        json_decref(rows[i]);
    mem_free(rows);
}
