/* The configuration of a node that runs: shown, changed one option at a time, read again. */
#include "config/config.h"
#include "config/load.h"
#include "config/type.h"
#include "core/log.h"
#include "core/mem.h"
#include <string.h>

static bool is_shown(const struct option *o)
{
    return o->type->item && !o->type->ignored && !o->type->later;
}

/* ---- showing -----------------------------------------------------------------------------------
 */

static char *shown_item(const struct option *o, const struct config *c, size_t i)
{
    char *text = o->type->item(o, c, i);
    if (!o->secret || !*text)
        return text;
    mem_free(text);
    return mem_strdup("***");
}

static void show_option(const struct option *o, const struct config *c, config_show *show,
                        void *arg)
{
    size_t n = o->type->is_list ? o->type->items(o, c) : 1;
    char **item = mem_calloc(n + 1, sizeof *item);
    for (size_t i = 0; i < n; i++)
        item[i] = shown_item(o, c, i);
    show(arg, &(struct config_value){.name = o->name,
                                     .kind = o->type->kind,
                                     .list = o->type->is_list,
                                     .n = n,
                                     .item = item});
    for (size_t i = 0; i < n; i++)
        mem_free(item[i]);
    mem_free(item);
}

void config_dump(const struct config *c, config_show *show, void *arg)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if (is_shown(o))
            show_option(o, c, show, arg);
}

static const struct option *by_name(const char *name)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

static const struct option *find(const char *name, struct error *e)
{
    const struct option *o = by_name(name);
    if (o && is_shown(o))
        return o;
    if (o && o->type->ignored)
        error_set(e, "%s means nothing here: %s", o->name, o->help);
    else if (o && o->type->later)
        error_set(e, "%s is not supported yet", o->name);
    else
        error_set(e, "there is no option '%.100s'", name);
    return NULL;
}

bool config_get(const struct config *c, const char *name, config_show *show, void *arg,
                struct error *e)
{
    const struct option *o = find(name, e);
    if (o)
        show_option(o, c, show, arg);
    return o != NULL;
}

/* ---- changing ----------------------------------------------------------------------------------
 */

/* The value that `from` has becomes that of `to`, which other threads read. */
static void publish(const struct option *o, const struct config *from, struct config *to)
{
    if (o->type->scalar == sizeof(uint64_t))
        __atomic_store_n((uint64_t *)option_at(o, to), *(uint64_t *)option_at(o, from),
                         __ATOMIC_RELAXED);
    else if (o->type->scalar == sizeof(bool))
        __atomic_store_n((bool *)option_at(o, to), *(bool *)option_at(o, from), __ATOMIC_RELAXED);
    else
        __atomic_store_n((unsigned *)option_at(o, to), *(unsigned *)option_at(o, from),
                         __ATOMIC_RELAXED);
}

static void change(const struct option *o, const struct config *from, struct config *to,
                   const char *by)
{
    char *before = o->type->item(o, to, 0), *after = o->type->item(o, from, 0);
    publish(o, from, to);
    log_notice("%s: %s -> %s (%s)", o->name, before, after, by);
    mem_free(before);
    mem_free(after);
}

bool config_set(struct config *c, const char *name, const char *text, const char *by,
                struct error *e)
{
    const struct option *o = find(name, e);
    struct config scratch = {0};
    struct error why;
    if (!o)
        return false;
    if (!o->live)
        return error_set(e, "%s needs a restart", o->name);
    if (!o->type->add(o, text, &scratch, &why))
        return error_set(e, "%s: %.300s", o->name, why.text);
    change(o, &scratch, c, by);
    return true;
}

/* ---- reading again -----------------------------------------------------------------------------
 */

static bool same_item(const struct option *o, const struct config *a, const struct config *b,
                      size_t i)
{
    char *x = o->type->item(o, a, i), *y = o->type->item(o, b, i);
    bool same = strcmp(x, y) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

static bool same(const struct option *o, const struct config *a, const struct config *b)
{
    size_t n = o->type->is_list ? o->type->items(o, a) : 1;
    if (o->type->is_list && o->type->items(o, b) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!same_item(o, a, b, i))
            return false;
    return true;
}

/* What is a flag of this process didn't change, or was changed by a command of its own. */
static void apply(const struct config *fresh, struct config *c)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++) {
        if (!is_shown(o) || o->scope == OPTION_PROCESS || same(o, fresh, c))
            continue;
        if (o->live)
            change(o, fresh, c, "reloaded");
        else
            log_warn("%s has changed in the configuration: it needs a restart", o->name);
    }
}

bool config_reload(int argc, char **argv, struct config *c, struct error *e)
{
    struct load l;
    struct config fresh;
    load_init(&l, &fresh);
    bool ok = load_everything(&l, argc, argv);
    if (ok)
        apply(&fresh, c);
    else
        error_set(e, "%s", l.problem);
    config_fini(&fresh);
    load_fini(&l);
    return ok;
}
