/* The configuration of a node that runs: shown, changed one option at a time, read again. */
#include "config/config.h"
#include "config/load.h"
#include "config/type.h"
#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
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
    rcu_read_begin(); /* a live list is a snapshot */
    size_t n = o->type->is_list ? o->type->items(o, c) : 1;
    char **item = mem_calloc(n + 1, sizeof *item);
    for (size_t i = 0; i < n; i++)
        item[i] = shown_item(o, c, i);
    rcu_read_end();
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
static void publish(const struct option *o, struct config *from, struct config *to)
{
    if (o->type->publish)
        o->type->publish(from, to);
    else if (o->type->scalar == sizeof(uint64_t))
        __atomic_store_n((uint64_t *)option_at(o, to), *(uint64_t *)option_at(o, from),
                         __ATOMIC_RELAXED);
    else if (o->type->scalar == sizeof(bool))
        __atomic_store_n((bool *)option_at(o, to), *(bool *)option_at(o, from), __ATOMIC_RELAXED);
    else
        __atomic_store_n((unsigned *)option_at(o, to), *(unsigned *)option_at(o, from),
                         __ATOMIC_RELAXED);
}

/* For the log: a value, or all of a list; the caller frees. */
static char *text_of(const struct option *o, const struct config *c)
{
    struct buf b = BUF_INIT;
    rcu_read_begin();
    size_t n = o->type->is_list ? o->type->items(o, c) : 1;
    for (size_t i = 0; i < n; i++) {
        char *item = shown_item(o, c, i);
        buf_printf(&b, "%s%s", i ? ", " : "", item);
        mem_free(item);
    }
    rcu_read_end();
    char *text = n ? mem_printf("%.*s", (int)b.len, (const char *)buf_head(&b)) : mem_strdup("[]");
    buf_fini(&b);
    return text;
}

/* Takes the value out of `from`. */
static void change(const struct option *o, struct config *from, struct config *to, const char *by)
{
    char *before = text_of(o, to), *after = text_of(o, from);
    publish(o, from, to);
    log_notice("%s: %.200s -> %.200s (%s)", o->name, before, after, by);
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
    const char *clash = *text ? config_not_with(o, c->data_store) : NULL;
    if (clash)
        return error_set(e, "%s: %s", o->name, clash);
    bool ok = (o->type->is_list && !*text) || o->type->add(o, text, &scratch, &why);
    if (ok)
        change(o, &scratch, c, by);
    else
        error_set(e, "%s: %.300s", o->name, why.text);
    if (o->type->clear)
        o->type->clear(o, &scratch);
    return ok;
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
    rcu_read_begin();
    size_t n = o->type->is_list ? o->type->items(o, a) : 1;
    bool same = !o->type->is_list || o->type->items(o, b) == n;
    for (size_t i = 0; i < n && same; i++)
        same = same_item(o, a, b, i);
    rcu_read_end();
    return same;
}

/* What is a flag of this process didn't change, or was changed by a command of its own. */
static void apply(struct config *fresh, struct config *c)
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
