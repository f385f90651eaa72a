/* A configuration while it is put together: defaults first, then the file, then the flags. Each
 * value remembers where it came from, for messages and so that a stronger source replaces the
 * list of a weaker one. Private to this room. */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/option.h"
#include "core/buf.h"

enum source { SOURCE_NONE, SOURCE_DEFAULT, SOURCE_FILE, SOURCE_FLAG };

struct origin {
    enum source source;
    size_t line; /* SOURCE_FILE: from 1 */
};

struct load {
    struct config *config;
    const char *file;      /* as the user named it */
    struct origin *origin; /* one per row of option_table */
    struct buf warnings;   /* lines; shown only when there is no problem */
    char *problem;         /* the first mistake, a line without newline; NULL: none so far */
};

void load_init(struct load *l, struct config *c);
void load_fini(struct load *l); /* leaves the config alone */

/* The next values of `o` come from there. */
void load_from(struct load *l, const struct option *o, enum source source, size_t line);
/* Takes one value, or for a list one item. False: l->problem says why. */
bool load_add(struct load *l, const struct option *o, const char *text) MUST_USE;
bool load_defaults(struct load *l) MUST_USE;
struct origin *load_origin(struct load *l, const struct option *o);

/* All three set l->problem and return false. The text goes on after "NAME: ", where NAME is what
 * the user wrote, with the file and the line before it when it came from there. */
bool load_refuse(struct load *l, const struct option *o, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool load_refuse_key(struct load *l, size_t line, const char *key, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
bool load_refuse_flag(struct load *l, const char *flag, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* yaml.c: reads l->file. */
bool yaml_load(struct load *l) MUST_USE;
/* Valid UTF-8: what the file can't hold isn't taken from a flag either. */
bool yaml_can_hold(const char *text);

/* flags.c: what the command line says, in its order. */
struct given {
    const struct option *option;
    const char *text; /* borrowed from argv */
};
/* The caller frees *out, also after a failure. */
bool flags_scan(struct load *l, int argc, char **argv, struct given **out, size_t *n) MUST_USE;
/* Takes those of the process, or the others. */
bool flags_apply(struct load *l, const struct given *given, size_t n, bool of_process) MUST_USE;

/* config.c: why an option can't be given with this data_store; NULL: it can. */
const char *config_not_with(const struct option *o, enum data_store store);
/* config.c: defaults, then the file that the flags name, then the flags. False: l->problem. */
bool load_everything(struct load *l, int argc, char **argv) MUST_USE;

/* help.c */
void help_print(FILE *outf);

#endif
