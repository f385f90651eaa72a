/* The command line: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, -abc. Names aren't abbreviated:
 * what is short for one flag today would be short for two tomorrow. */
#include "config/load.h"
#include "core/mem.h"
#include <string.h>

struct scan {
    struct load *load;
    char **next, **end;
    struct given *given; /* room for as many as there are bytes in the arguments */
    size_t n;
};

static bool keep(struct scan *s, const struct option *o, const char *text)
{
    char *flag = option_flag(o);
    bool ok = yaml_can_hold(text) ||
              load_refuse_flag(s->load, flag, "found bytes that aren't UTF-8; allowed UTF-8");
    mem_free(flag);
    if (ok)
        s->given[s->n++] = (struct given){o, text};
    return ok;
}

/* `text` is the value when it came with the flag, NULL when it is the next argument. */
static bool keep_value(struct scan *s, const struct option *o, const char *text)
{
    if (text)
        return keep(s, o, text);
    if (s->next < s->end)
        return keep(s, o, *s->next++);
    char *flag = option_flag(o);
    load_refuse_flag(s->load, flag, "found nothing behind it; allowed %s",
                     o->value ? o->value : "a value");
    mem_free(flag);
    return false;
}

static bool unknown(struct scan *s, const char *flag)
{
    return load_refuse_flag(s->load, flag, "found an unknown flag; allowed are those in --help");
}

static bool scan_long(struct scan *s, const char *arg)
{
    size_t len = strcspn(arg + 2, "=");
    const char *value = arg[2 + len] ? arg + 2 + len + 1 : NULL;
    const struct option *o = option_by_flag(arg + 2, len);
    if (!o)
        return unknown(s, arg);
    if (!o->type->is_switch)
        return keep_value(s, o, value);
    if (!value)
        return keep(s, o, "true");
    char *flag = option_flag(o);
    load_refuse_flag(s->load, flag, "found %.100s; allowed no value", *value ? value : "''");
    mem_free(flag);
    return false;
}

static bool scan_short(struct scan *s, const char *arg)
{
    for (const char *p = arg + 1; *p; p++) {
        const struct option *o = option_by_letter(*p);
        if (!o)
            return unknown(s, (char[]){'-', *p, 0});
        if (!o->type->is_switch)
            return keep_value(s, o, p[1] ? p + 1 : NULL);
        if (!keep(s, o, "true"))
            return false;
    }
    return true;
}

static bool scan_all(struct scan *s)
{
    while (s->next < s->end) {
        const char *arg = *s->next++;
        bool ok;
        if (arg[0] != '-' || !arg[1])
            ok = load_refuse_flag(s->load, "argument",
                                  "found %.100s; allowed are flags, see --help", *arg ? arg : "''");
        else
            ok = arg[1] == '-' ? scan_long(s, arg) : scan_short(s, arg);
        if (!ok)
            return false;
    }
    return true;
}

bool flags_scan(struct load *l, int argc, char **argv, struct given **out, size_t *n)
{
    size_t room = 0;
    for (int i = 1; i < argc; i++)
        room += strlen(argv[i]);
    struct scan s = {.load = l, .next = argv + (argc > 0), .end = argv + argc};
    s.given = mem_calloc(room, sizeof *s.given);
    bool ok = scan_all(&s);
    *out = s.given;
    *n = s.n;
    return ok;
}

bool flags_apply(struct load *l, const struct given *given, size_t n, bool of_process)
{
    for (const struct given *g = given; g < given + n; g++) {
        if ((g->option->scope == OPTION_PROCESS) != of_process)
            continue;
        load_from(l, g->option, SOURCE_FLAG, 0);
        if (!load_add(l, g->option, g->text))
            return false;
    }
    return true;
}
