#include "config/option.h"
#include "core/buf.h"
#include "core/mem.h"
#include <string.h>

const struct option *option_by_key(const char *key)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if (o->scope == OPTION_KEY && strcmp(o->name, key) == 0)
            return o;
    return NULL;
}

static bool is_flag_of(const struct option *o, const char *flag, size_t len)
{
    if (strlen(o->name) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (flag[i] != (o->name[i] == '_' ? '-' : o->name[i]))
            return false;
    return true;
}

const struct option *option_by_flag(const char *flag, size_t len)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if (is_flag_of(o, flag, len))
            return o;
    return NULL;
}

const struct option *option_by_letter(char letter)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if (o->letter == letter && letter)
            return o;
    return NULL;
}

char *option_flag(const struct option *o)
{
    char *flag = mem_printf("--%s", o->name);
    for (char *p = flag; *p; p++)
        if (*p == '_')
            *p = '-';
    return flag;
}

char *option_words(const struct option_word *words)
{
    struct buf b = BUF_INIT;
    for (const struct option_word *w = words; w->name; w++)
        if (w->use == WORD_NAME)
            buf_printf(&b, "%s%s", b.len ? ", " : "", *w->name ? w->name : "''");
    buf_add(&b, "", 1);
    char *out = mem_strdup((const char *)buf_head(&b));
    buf_fini(&b);
    return out;
}
