/* COMMAND: what this node serves, told as Redis 7.0 tells it. */
#include "client/session.h"
#include "core/mem.h"
#include "store/glob.h"
#include "wire/command_about.h"
#include "wire/command_syntax.h"
#include "wire/command_table.h"
#include <ctype.h>
#include <string.h>

static bool served(const struct clients *all, const struct command_spec *s)
{
    if (s->class_ == COMMAND_REFUSED || (s->flags & (COMMAND_MEMCACHE | COMMAND_RECORD)))
        return false;
    return s->class_ == COMMAND_LOCAL || all->config->data_store != DATA_STORE_EMBEDDED ||
           (s->flags & COMMAND_EMBEDDED);
}

/* The row of a subcommand; NULL: it is none. */
static const struct command_sub *sub_of(const struct command_about *about)
{
    size_t n, len = strcspn(about->name, "|");
    const struct command_sub *subs = command_subs(&n);
    for (size_t i = 0; about->name[len] && i < n; i++)
        if (strcmp(subs[i].name, about->name + len + 1) == 0 && strlen(subs[i].container) == len &&
            strncmp(subs[i].container, about->name, len) == 0)
            return &subs[i];
    return NULL;
}

static bool is_sub(const struct command_about *about)
{
    return strchr(about->name, '|') != NULL;
}

/* The row of a command, or of a subcommand's container; NULL: it isn't served here. */
static const struct command_spec *spec_of(const struct clients *all,
                                          const struct command_about *about)
{
    const struct command_spec *s = command_find(slice_of(about->name, strcspn(about->name, "|")));
    return s && served(all, s) ? s : NULL;
}

/* ---- INFO -------------------------------------------------------------------------------------
 */

static void add_name(struct buf *b, const struct command_about *about)
{
    struct buf name = BUF_INIT;
    session_add_lower(&name, about->name);
    resp_add_bulk(b, buf_slice(&name));
    buf_fini(&name);
}

typedef void add_word(struct buf *b, struct slice word);

static void add_words(struct buf *b, const char *words, add_word *add)
{
    size_t n = 0;
    const char *at = words;
    while (command_about_word(&at).len)
        n++;
    resp_add_array(b, n);
    for (at = words; n > 0; n--)
        add(b, command_about_word(&at));
}

static void add_status(struct buf *b, struct slice word)
{
    buf_printf(b, "+%.*s\r\n", (int)word.len, (const char *)word.ptr);
}

static void add_categories(struct buf *b, const struct command_about *about)
{
    size_t n = 0;
    for (const char *const *c = command_categories; *c; c++)
        n += command_about_is_in(about, *c);
    resp_add_array(b, n);
    for (const char *const *c = command_categories; *c; c++)
        if (command_about_is_in(about, *c))
            buf_printf(b, "+@%s\r\n", *c);
}

static void add_number(struct buf *b, const char *name, int64_t value)
{
    resp_add_bulk_str(b, name);
    resp_add_int(b, value);
}

static void add_spec_head(struct buf *b, const char *what, const char *type, size_t n)
{
    resp_add_bulk_str(b, what);
    resp_add_array(b, 4);
    session_add_pair(b, "type", type);
    resp_add_bulk_str(b, "spec");
    resp_add_array(b, 2 * n);
}

static void add_begin_search(struct buf *b, const struct command_keyspec *k)
{
    if (k->unknown) {
        add_spec_head(b, "begin_search", "unknown", 0);
    } else if (k->word.len) {
        add_spec_head(b, "begin_search", "keyword", 2);
        resp_add_bulk_str(b, "keyword");
        resp_add_bulk(b, k->word);
        add_number(b, "startfrom", k->begin);
    } else {
        add_spec_head(b, "begin_search", "index", 1);
        add_number(b, "index", k->begin);
    }
}

static void add_find_keys(struct buf *b, const struct command_keyspec *k)
{
    if (k->unknown) {
        add_spec_head(b, "find_keys", "unknown", 0);
    } else if (k->counted) {
        add_spec_head(b, "find_keys", "keynum", 3);
        add_number(b, "keynumidx", 0);
        add_number(b, "firstkey", 1);
        add_number(b, "keystep", k->step);
    } else {
        add_spec_head(b, "find_keys", "range", 3);
        add_number(b, "lastkey", k->last);
        add_number(b, "keystep", k->step);
        add_number(b, "limit", k->limit);
    }
}

static void add_keyspecs(struct buf *b, const struct command_about *about)
{
    struct command_keyspec k;
    size_t n = 0;
    for (const char *at = about->keys; command_keyspec_next(&at, &k);)
        n++;
    resp_add_array(b, n);
    for (const char *at = about->keys; command_keyspec_next(&at, &k);) {
        resp_add_array(b, 6);
        resp_add_bulk_str(b, "flags");
        add_words(b, k.flags, add_status);
        add_begin_search(b, &k);
        add_find_keys(b, &k);
    }
}

static void add_places(struct buf *b, int first, int last, int step)
{
    resp_add_int(b, first);
    resp_add_int(b, last);
    resp_add_int(b, step);
}

static void add_info(const struct clients *all, struct buf *b, const struct command_spec *s,
                     const struct command_about *about);

static void add_subs(const struct clients *all, struct buf *b, const struct command_spec *s,
                     const struct command_about *about)
{
    size_t n = 0, there = 0;
    const struct command_about *subs = is_sub(about) ? NULL : command_about_subs(about, &n);
    for (size_t i = 0; i < n; i++)
        there += spec_of(all, &subs[i]) != NULL;
    resp_add_array(b, there);
    for (size_t i = 0; i < n; i++)
        if (spec_of(all, &subs[i]))
            add_info(all, b, s, &subs[i]);
}

/* Ten elements, of which the last are its subcommands, told in the same way. */
static void add_info(const struct clients *all, struct buf *b, const struct command_spec *s,
                     const struct command_about *about)
{
    const struct command_sub *sub = sub_of(about);
    resp_add_array(b, 10);
    add_name(b, about);
    resp_add_int(b, sub ? sub->arity : s->arity);
    add_words(b, about->flags, add_status);
    if (sub)
        add_places(b, sub->key, sub->key, sub->key > 0);
    else
        add_places(b, s->first, s->last, s->step);
    add_categories(b, about);
    add_words(b, about->tips, resp_add_bulk);
    add_keyspecs(b, about);
    add_subs(all, b, s, about);
}

/* ---- which of them ----------------------------------------------------------------------------
 */

typedef bool is_wanted(const struct command_about *about, struct slice what);
typedef void add_command(const struct clients *all, struct buf *b, const struct command_spec *s,
                         const struct command_about *about);

/* Those that are served here and wanted, by `add`; returns how many. b NULL: only counts. */
static size_t each(const struct clients *all, struct buf *b, is_wanted *wanted, struct slice what,
                   add_command *add)
{
    size_t n, count = 0;
    const struct command_about *table = command_about_table(&n);
    for (size_t i = 0; i < n; i++) {
        const struct command_spec *s = spec_of(all, &table[i]);
        if (!s || !wanted(&table[i], what))
            continue;
        count++;
        if (b)
            add(all, b, s, &table[i]);
    }
    return count;
}

static void list(const struct clients *all, struct buf *b, is_wanted *wanted, struct slice what,
                 add_command *add)
{
    resp_add_array(b, each(all, NULL, wanted, what, add));
    each(all, b, wanted, what, add);
}

static bool is_command(const struct command_about *about, struct slice what)
{
    (void)what;
    return !is_sub(about);
}

static bool is_any(const struct command_about *about, struct slice what)
{
    (void)about;
    (void)what;
    return true;
}

static bool is_none(const struct command_about *about, struct slice what)
{
    (void)about;
    (void)what;
    return false;
}

static bool has_category(const struct command_about *about, struct slice what)
{
    for (const char *const *c = command_categories; *c; c++)
        if (slice_is(what, *c))
            return command_about_is_in(about, *c);
    return false;
}

static bool has_pattern(const struct command_about *about, struct slice what)
{
    struct buf pattern = BUF_INIT;
    if (what.len > SESSION_PATTERN_MAX)
        return false;
    for (size_t i = 0; i < what.len; i++) {
        uint8_t upper = (uint8_t)toupper(what.ptr[i]);
        buf_add(&pattern, &upper, 1);
    }
    bool has = glob_match(buf_slice(&pattern), slice_str(about->name));
    buf_fini(&pattern);
    return has;
}

static void only_name(const struct clients *all, struct buf *b, const struct command_spec *s,
                      const struct command_about *about)
{
    (void)all;
    (void)s;
    add_name(b, about);
}

static const struct slice nothing = {NULL, 0};

static void command_count(struct client *c, struct buf *b)
{
    resp_add_int(b, (int64_t)each(c->all, NULL, is_command, nothing, NULL));
}

static void command_info(struct client *c, struct buf *b)
{
    if (c->cmd.argc <= 2) {
        list(c->all, b, is_command, nothing, add_info);
        return;
    }
    resp_add_array(b, c->cmd.argc - 2);
    for (size_t i = 2; i < c->cmd.argc; i++) {
        const struct command_about *about = command_about_find(session_arg(c, i));
        const struct command_spec *s = about ? spec_of(c->all, about) : NULL;
        if (s)
            add_info(c->all, b, s, about);
        else
            resp_add_nil(b);
        if (session_too_large(c, b))
            return;
    }
}

bool session_list_category(struct client *c, struct slice category, struct buf *b)
{
    for (const char *const *name = command_categories; *name; name++)
        if (slice_is(category, *name)) {
            list(c->all, b, has_category, category, only_name);
            return true;
        }
    return false;
}

static void command_list(struct client *c, struct buf *b)
{
    static const struct {
        const char *name;
        is_wanted *wanted;
    } filters[] = {{"MODULE", is_none}, {"ACLCAT", has_category}, {"PATTERN", has_pattern}};
    if (c->cmd.argc == 2) {
        list(c->all, b, is_any, nothing, only_name);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        if (c->cmd.argc == 5 && slice_is(session_arg(c, 2), "FILTERBY") &&
            slice_is(session_arg(c, 3), filters[i].name)) {
            list(c->all, b, filters[i].wanted, session_arg(c, 4), only_name);
            return;
        }
    resp_add_error(b, "ERR syntax error");
}

/* ---- GETKEYS ----------------------------------------------------------------------------------
 */

/* A command line within this one. */
struct line {
    struct resp_command cmd;
    const struct command_spec *spec;
    const struct command_about *about; /* of the subcommand, where it names one */
};

static bool find_line(const struct client *c, struct line *l)
{
    struct buf name = BUF_INIT;
    *l = (struct line){.cmd = {.argv = c->cmd.argv + 2, .argc = c->cmd.argc - 2}};
    l->spec = command_find(l->cmd.argv[0]);
    l->about = l->spec ? command_about_find(l->cmd.argv[0]) : NULL;
    size_t subs = 0;
    if (l->about)
        command_about_subs(l->about, &subs);
    if (subs && l->cmd.argc > 1) {
        buf_add_str(&name, l->spec->name);
        buf_add_str(&name, "|");
        buf_add(&name, l->cmd.argv[1].ptr, l->cmd.argv[1].len);
        l->about = command_about_find(buf_slice(&name));
        buf_fini(&name);
    }
    return l->about != NULL;
}

/* Not: channels, which are told in the same way. */
static bool has_keys(const struct command_about *about)
{
    struct command_keyspec k;
    for (const char *at = about->keys; command_keyspec_next(&at, &k);)
        if (strncmp(k.flags, "not_key", 7) != 0)
            return true;
    return false;
}

static bool says(const struct resp_command *cmd, size_t from, const char *word)
{
    for (size_t i = from; i < cmd->argc; i++)
        if (slice_is(cmd->argv[i], word))
            return true;
    return false;
}

/* What is done to the key at this place. Where it depends on the arguments, the specification says
 * only what it may be. */
static const char *flags_at(const struct line *l, size_t place)
{
    struct command_keyspec k;
    size_t last;
    const struct resp_command *cmd = &l->cmd;
    if (strcmp(l->about->name, "SET") == 0)
        return says(cmd, 3, "GET") ? "RW access update" : "OW update";
    if (strcmp(l->about->name, "BITFIELD") == 0)
        return says(cmd, 2, "SET") || says(cmd, 2, "INCRBY") ? "RW access update" : "RO access";
    for (const char *at = l->about->keys; command_keyspec_next(&at, &k);) {
        size_t first = command_keyspec_keys(&k, cmd, &last);
        if (first && place >= first && place <= last && (place - first) % (size_t)k.step == 0)
            return k.flags;
    }
    return "OW update"; /* behind an option: STORE */
}

static void add_keys(struct buf *b, const struct line *l, const size_t *keys, size_t n, bool flags)
{
    resp_add_array(b, n);
    for (size_t i = 0; i < n; i++) {
        if (flags)
            resp_add_array(b, 2);
        resp_add_bulk(b, l->cmd.argv[keys[i]]);
        if (flags)
            add_words(b, flags_at(l, keys[i]), add_status);
    }
}

static bool has_flag(const struct command_about *about, const char *flag)
{
    return strstr(about->flags, flag) != NULL;
}

/* As Redis does: by the specifications; where there may be more behind an option, by its words. 0:
 * the command line is wrong. */
static size_t keys_of(const struct line *l, size_t *keys, size_t max)
{
    struct command_keyspec k;
    size_t n = 0, last;
    for (const char *at = l->about->keys; command_keyspec_next(&at, &k);) {
        size_t place = command_keyspec_keys(&k, &l->cmd, &last);
        if (k.unknown)
            return command_keys(l->spec, &l->cmd, keys, max);
        if (place == 0 && k.word.len)
            continue; /* that word isn't said */
        if (place == 0)
            return 0;
        for (; place <= last && n < max; place += (size_t)k.step)
            keys[n++] = place;
    }
    return n;
}

static void getkeys(struct client *c, struct buf *b, bool flags)
{
    struct line l;
    if (!find_line(c, &l)) {
        resp_add_error(b, "ERR Invalid command specified");
        return;
    }
    size_t max = l.cmd.argc;
    int arity = is_sub(l.about) ? sub_of(l.about)->arity : l.spec->arity;
    if (!has_keys(l.about)) {
        resp_add_error(b, "ERR The command has no key arguments");
        return;
    }
    if (!session_arity_ok(max, arity)) {
        resp_add_error(b, "ERR Invalid number of arguments specified for command");
        return;
    }
    size_t *keys = mem_calloc(max, sizeof *keys), n = keys_of(&l, keys, max);
    if (n || has_flag(l.about, "no_mandatory_keys"))
        add_keys(b, &l, keys, n, flags);
    else
        resp_add_error(b, "ERR Invalid arguments specified for command");
    mem_free(keys);
}

static void command_getkeys(struct client *c, struct buf *b)
{
    getkeys(c, b, false);
}

static void command_getkeysandflags(struct client *c, struct buf *b)
{
    getkeys(c, b, true);
}

/* ---- DOCS: what redis-cli makes its hints of ----------------------------------------------------
 */

static void add_argument_flags(struct buf *b, const struct command_argument *a)
{
    resp_add_bulk_str(b, "flags");
    resp_add_array(b, (size_t)a->optional + a->multiple + a->multiple_token);
    if (a->optional)
        resp_add_status(b, "optional");
    if (a->multiple)
        resp_add_status(b, "multiple");
    if (a->multiple_token)
        resp_add_status(b, "multiple_token");
}

static void add_arguments(struct buf *b, const char *list);

static void add_argument(struct buf *b, const struct command_argument *a)
{
    bool flags = a->optional || a->multiple;
    size_t n = 2 + (size_t)(a->keyspec >= 0) + a->has_token + flags + (a->inside != NULL);
    resp_add_array(b, 2 * n);
    resp_add_bulk_str(b, "name");
    resp_add_bulk(b, a->name);
    session_add_pair(b, "type", a->type);
    if (a->keyspec >= 0)
        add_number(b, "key_spec_index", a->keyspec);
    if (a->has_token) {
        resp_add_bulk_str(b, "token");
        resp_add_bulk(b, a->token);
    }
    if (flags)
        add_argument_flags(b, a);
    if (a->inside)
        add_arguments(b, a->inside);
}

static void add_arguments(struct buf *b, const char *list)
{
    struct command_argument a;
    size_t n = 0;
    for (const char *at = list; command_argument_next(&at, &a);)
        n++;
    resp_add_bulk_str(b, "arguments");
    resp_add_array(b, n);
    for (const char *at = list; command_argument_next(&at, &a);)
        add_argument(b, &a);
}

/* What this server makes of it. */
static const char *summary_of(const struct command_spec *s)
{
    switch (s->class_) {
    case COMMAND_READ:
        return "A read: answered by replicas of its keys.";
    case COMMAND_OVERWRITE:
        return "A write to all replicas of its keys; older ones are dropped there.";
    case COMMAND_CHANGE:
        return "A write to all replicas of its keys.";
    case COMMAND_LOCAL:
        return "Answered by the node that the client is connected to.";
    case COMMAND_REFUSED:
        break;
    }
    return "Refused.";
}

static void add_docs(const struct clients *all, struct buf *b, const struct command_spec *s,
                     const struct command_about *about)
{
    const struct command_syntax *syntax = command_syntax_find(about->name);
    size_t n = 0, there = 0;
    const struct command_about *subs = is_sub(about) ? NULL : command_about_subs(about, &n);
    for (size_t i = 0; i < n; i++)
        there += spec_of(all, &subs[i]) != NULL;
    add_name(b, about);
    resp_add_array(b, 2 * (3 + (size_t)(*syntax->arguments != '\0') + (there > 0)));
    session_add_pair(b, "summary", summary_of(s));
    session_add_pair(b, "since", syntax->since);
    session_add_pair(b, "group", syntax->group);
    if (*syntax->arguments)
        add_arguments(b, syntax->arguments);
    if (!there)
        return;
    resp_add_bulk_str(b, "subcommands");
    resp_add_array(b, 2 * there);
    for (size_t i = 0; i < n; i++)
        if (spec_of(all, &subs[i]))
            add_docs(all, b, s, &subs[i]);
}

static void command_docs(struct client *c, struct buf *b)
{
    size_t n = 0;
    struct buf all = BUF_INIT;
    if (c->cmd.argc == 2) {
        resp_add_array(b, 2 * each(c->all, NULL, is_command, nothing, add_docs));
        each(c->all, b, is_command, nothing, add_docs);
        return;
    }
    bool large = false;
    for (size_t i = 2; i < c->cmd.argc && !large; i++) {
        const struct command_about *about = command_about_find(session_arg(c, i));
        const struct command_spec *s = about ? spec_of(c->all, about) : NULL;
        if (!s)
            continue;
        add_docs(c->all, &all, s, about);
        large = session_too_large(c, &all);
        n++;
    }
    if (!large)
        resp_add_array(b, 2 * n);
    buf_add(b, buf_head(&all), all.len);
    buf_fini(&all);
}

void session_commands(struct client *c, struct buf *b)
{
    static const struct subcommand subs[] = {
        {"COUNT", 2, command_count, " -- How many commands there are."},
        {"DOCS", -2, command_docs,
         " [<command> ...] -- Their arguments, and what is made of them here."},
        {"GETKEYS", -4, command_getkeys, " <command line> -- The keys in it."},
        {"GETKEYSANDFLAGS", -4, command_getkeysandflags,
         " <command line> -- The keys in it, and what is done to each."},
        {"INFO", -2, command_info, " [<command> ...] -- What clients have to know of each."},
        {"LIST", -2, command_list,
         " [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)] -- Names."}};
    if (c->cmd.argc == 1)
        command_info(c, b);
    else
        SESSION_SUBCOMMANDS(c, b, "COMMAND", subs);
}
