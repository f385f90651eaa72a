#include "table.h"
#include "core/mem.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LISTED     4 /* of a list inside a cell */
#define NAME_WIDTH 32

/* What a cell says; the caller frees. */
static char *cell(const json_t *v)
{
    if (json_is_string(v))
        return mem_strdup(*json_string_value(v) ? json_string_value(v) : "-");
    if (json_is_integer(v))
        return mem_printf("%lld", (long long)json_integer_value(v));
    if (json_is_real(v))
        return mem_printf("%.4f", json_real_value(v));
    if (json_is_boolean(v))
        return mem_strdup(json_is_true(v) ? "yes" : "no");
    if (!json_is_array(v))
        return mem_strdup("-");
    char *all = mem_strdup("");
    for (size_t i = 0; i < json_array_size(v); i++) {
        char *one = i < LISTED ? cell(json_array_get(v, i)) : mem_strdup("...");
        char *more = mem_printf("%s%s%s", all, i ? "," : "", one);
        mem_free(one);
        mem_free(all);
        all = more;
        if (i == LISTED)
            break;
    }
    return all;
}

/* What is too long for a column stands below the table, where there is something to say. */
static bool is_long(const char *key)
{
    return strcmp(key, "repair_reason") == 0 || strcmp(key, "repair_since_ms") == 0 ||
           strcmp(key, "note") == 0;
}

/* Columns that would make the line too long for a screen: -o json has them. */
static bool is_for_programs(const char *key)
{
    return strcmp(key, "dc_raw_bytes") == 0 || strcmp(key, "dc_sent_bytes") == 0;
}

static void print_repair(const json_t *row)
{
    const json_t *since = json_object_get(row, "repair_since_ms");
    char when[32] = "";
    time_t s = (time_t)(json_integer_value(since) / 1000);
    if (!json_is_integer(since))
        return;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&s));
    printf("%s needs repair since %s: %s\n", json_string_value(json_object_get(row, "address")),
           when, json_string_value(json_object_get(row, "repair_reason")));
}

static void print_long(const json_t *rows)
{
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *note = json_object_get(row, "note");
        print_repair(row);
        if (json_string_length(note))
            printf("%s: %s\n", json_string_value(json_object_get(row, "address")),
                   json_string_value(note));
    }
}

static int column_width(const json_t *rows, const char *key)
{
    size_t width = strlen(key), i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        char *text = cell(json_object_get(row, key));
        if (strlen(text) > width)
            width = strlen(text);
        mem_free(text);
    }
    return (int)width + 2;
}

static void print_row(const json_t *columns, const int *widths, const json_t *row)
{
    size_t c = 0, padding = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)columns, key, v)
    {
        size_t width = (size_t)widths[c++];
        if (is_long(key) || is_for_programs(key))
            continue;
        char *text = row ? cell(json_object_get(row, key)) : mem_strdup(key);
        printf("%*s%s", (int)padding, "", text);
        padding = width - strlen(text);
        mem_free(text);
    }
    putchar('\n');
}

void table_rows(const json_t *rows)
{
    const json_t *row, *columns = json_array_get(rows, 0);
    size_t i, c = 0;
    const char *key;
    json_t *v;
    if (!columns) {
        puts("(none)");
        return;
    }
    int *widths = mem_calloc(json_object_size(columns), sizeof *widths);
    json_object_foreach((json_t *)(uintptr_t)columns, key, v) widths[c++] = column_width(rows, key);
    print_row(columns, widths, NULL);
    json_array_foreach(rows, i, row) print_row(columns, widths, row);
    mem_free(widths);
    print_long(rows);
}

static bool is_table(const json_t *v)
{
    return json_is_array(v) && (json_array_size(v) == 0 || json_is_object(json_array_get(v, 0)));
}

static unsigned paragraphs; /* printed so far: an empty line stands between two */

void table_title(const char *format, ...)
{
    va_list args;
    if (paragraphs++)
        putchar('\n');
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* Single values first, then what has members of its own, under its name. */
void table_members(json_t *o, const char *indent)
{
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        if (json_is_object(v) || is_table(v) || is_long(key))
            continue;
        char *text = cell(v);
        printf("%s%-*s%s\n", indent, NAME_WIDTH - (int)strlen(indent), key, text);
        mem_free(text);
        paragraphs = paragraphs ? paragraphs : 1;
    }
    print_repair(o);
    json_object_foreach(o, key, v)
    {
        if (!json_is_object(v) && !is_table(v))
            continue;
        table_title("%s", key);
        if (json_is_object(v))
            table_members(v, "  ");
        else
            table_rows(v);
    }
}

void table_print(json_t *o)
{
    table_members(o, "");
}
