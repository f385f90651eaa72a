#include "config/load.h"
#include "core/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void load_init(struct load *l, struct config *c)
{
    memset(c, 0, sizeof *c);
    *l = (struct load){.config = c, .origin = mem_calloc(option_count, sizeof *l->origin)};
}

void load_fini(struct load *l)
{
    mem_free(l->origin);
    mem_free(l->problem);
    buf_fini(&l->warnings);
}

struct origin *load_origin(struct load *l, const struct option *o)
{
    return &l->origin[o - option_table];
}

/* --- messages ----------------------------------------------------------------------------------
 */

/* One line, whatever the user's values hold. */
static void flatten(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

/* `where` is owned. */
PRINTF_LIKE(3, 0)
static bool refuse(struct load *l, char *where, const char *fmt, va_list ap)
{
    char why[1024];
    vsnprintf(why, sizeof why, fmt, ap);
    mem_free(l->problem);
    l->problem = mem_printf("%s: %s", where, why);
    flatten(l->problem);
    mem_free(where);
    return false;
}

static char *where_in_file(struct load *l, size_t line, const char *key)
{
    return mem_printf("%s:%zu: %.100s", l->file, line, key);
}

/* What the user wrote; for a default the flag that would change it. */
static char *where_of(struct load *l, const struct option *o)
{
    const struct origin *at = load_origin(l, o);
    return at->source == SOURCE_FILE ? where_in_file(l, at->line, o->name) : option_flag(o);
}

bool load_refuse(struct load *l, const struct option *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    refuse(l, where_of(l, o), fmt, ap);
    va_end(ap);
    return false;
}

bool load_refuse_key(struct load *l, size_t line, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    refuse(l, where_in_file(l, line, key), fmt, ap);
    va_end(ap);
    return false;
}

bool load_refuse_flag(struct load *l, const char *flag, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    refuse(l, mem_printf("%.100s", flag), fmt, ap);
    va_end(ap);
    return false;
}

static void warn_ignored(struct load *l, const struct option *o)
{
    char *where = where_of(l, o);
    char *line = mem_printf("%s: warning: ignored; %s", where, o->help);
    flatten(line);
    buf_printf(&l->warnings, "%s\n", line);
    mem_free(line);
    mem_free(where);
}

/* --- values ------------------------------------------------------------------------------------
 */

void load_from(struct load *l, const struct option *o, enum source source, size_t line)
{
    struct origin *at = load_origin(l, o);
    if (o->type->ignored && at->source != source) {
        *at = (struct origin){source, line};
        warn_ignored(l, o);
    }
    if (o->type->is_list && o->type->clear && at->source != source)
        o->type->clear(o, l->config);
    *at = (struct origin){source, line};
}

bool load_add(struct load *l, const struct option *o, const char *text)
{
    struct error e;
    if (o->type->ignored || (o->type->is_list && !*text))
        return true;
    return o->type->add(o, text, l->config, &e) || load_refuse(l, o, "%s", e.text);
}

bool load_defaults(struct load *l)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++) {
        if (!o->fallback)
            continue;
        load_from(l, o, SOURCE_DEFAULT, 0);
        if (!load_add(l, o, o->fallback))
            return false;
    }
    return true;
}
