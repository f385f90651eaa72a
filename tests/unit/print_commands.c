/* The command table for the scripts beside this file, which compare it with Redis and with the
 * documentation.
 *
 *     print_commands table             name, arity, first, last, step, a line each
 *     print_commands subcommands       container|name, arity, key
 *     print_commands keys              of each line of words on stdin: its keys, or "!" and the
 *                                      error text
 *     print_commands markdown          the table of docs/commands.md
 *     print_commands normalize MS ...  a command line at the time MS: what the replicas get, an
 *                                      argument a line, or the error text
 */
#include "core/mem.h"
#include "wire/command_table.h"
#include <stdio.h>
#include <stdlib.h>

static void print_table(void)
{
    size_t n;
    const struct command_spec *t = command_table(&n);
    for (size_t i = 0; i < n; i++)
        if (!(t[i].flags & (COMMAND_MEMCACHE | COMMAND_RECORD)))
            printf("%s %d %d %d %d\n", t[i].name, t[i].arity, t[i].first, t[i].last, t[i].step);
}

static void print_subcommands(void)
{
    size_t n;
    const struct command_sub *s = command_subs(&n);
    for (size_t i = 0; i < n; i++)
        printf("%s|%s %d %d\n", s[i].container, s[i].name, s[i].arity, s[i].key);
}

static const char *const classes[] = {
    [COMMAND_READ] = "read",   [COMMAND_OVERWRITE] = "overwrite", [COMMAND_CHANGE] = "change",
    [COMMAND_LOCAL] = "local", [COMMAND_REFUSED] = "refused",
};

static size_t split(char *line, struct slice *words, size_t max)
{
    size_t n = 0;
    for (char *at = line, *end; n < max; at = end + 1) {
        end = at + strcspn(at, " \n");
        words[n++] = slice_of(at, (size_t)(end - at));
        if (*end != ' ')
            break;
    }
    return n;
}

static void print_keys(void)
{
    static char line[4096];
    struct slice words[64];
    struct error e;
    while (fgets(line, sizeof line, stdin)) {
        struct resp_command cmd = {.argv = words, .argc = split(line, words, ARRAY_LEN(words))};
        const struct command_spec *spec = command_find(cmd.argv[0]);
        size_t keys[ARRAY_LEN(words)], n = 0;
        if (!spec || !command_arity_ok(spec, &cmd, &e))
            printf("!%s", spec ? e.text : "unknown");
        else
            n = command_keys(spec, &cmd, keys, ARRAY_LEN(keys));
        for (size_t i = 0; i < n; i++)
            printf("%s%.*s", i ? " " : "", (int)words[keys[i]].len,
                   (const char *)words[keys[i]].ptr);
        putchar('\n');
    }
}

/* What users have to know about a row beyond its class. */
static void print_remarks(const struct command_spec *c)
{
    static const char *const by_rule[] = {
        [RULE_SET] = "change with `NX` or `XX`",
        [RULE_GETEX] = "read without options",
        [RULE_RESTORE] = "overwrite with `REPLACE`",
        [RULE_XADD] = "undetermined with `*` in its id, or `~` and `LIMIT`",
        [RULE_XTRIM] = "undetermined with `~` and `LIMIT`",
        [RULE_XCLAIM] = "not where it claims all (`0`, `FORCE`, `TIME`) or none",
        [RULE_EVAL] = "see above",
        [RULE_FCALL] = "see above",
        [RULE_ZSETS_STORE] = "overwrites its first key, reads the others",
        [RULE_SORT] = "overwrite with `STORE`, else read",
        [RULE_GEORADIUS] = "overwrite with `STORE` or `STOREDIST`, else read",
        [RULE_COPY] = "overwrite with `REPLACE`",
        [RULE_DESTINATION] = "overwrites its first key, reads the others",
    };
    const char *between = "";
    const char *rule =
        c->rule < ARRAY_LEN(by_rule) && c->class_ != COMMAND_READ ? by_rule[c->rule] : NULL;
    const char *const remarks[] = {
        rule,
        c->flags & COMMAND_SPLIT ? "keys may lie on any nodes" : NULL,
        c->flags & COMMAND_UNDETERMINED ? "undetermined" : NULL,
        c->refusal,
    };
    for (size_t i = 0; i < ARRAY_LEN(remarks); i++) {
        if (!remarks[i])
            continue;
        printf("%s%s", between, remarks[i]);
        between = "; ";
    }
}

static void print_sub(const struct command_spec *c, const struct command_sub *s)
{
    struct slice line[] = {slice_str(c->name), slice_str(s->name)};
    struct resp_command cmd = {.argv = line, .argc = 2};
    enum command_class class_ = command_class_of(c, &cmd);
    printf("| `%s %s` | %s | %s | %s |\n", c->name, s->name, classes[class_],
           class_ == COMMAND_LOCAL ? "yes" : "", s->refusal ? s->refusal : "");
}

/* Where they aren't all refused with their container. */
static void print_subs(const struct command_spec *c)
{
    size_t n;
    const struct command_sub *s = command_subs(&n);
    for (size_t i = 0; i < n && c->class_ != COMMAND_REFUSED; i++)
        if (strcmp(s[i].container, c->name) == 0)
            print_sub(c, &s[i]);
}

static void print_markdown(void)
{
    size_t n;
    const struct command_spec *t = command_table(&n);
    puts("| command | class | embedded | remarks |\n|---|---|---|---|");
    for (size_t i = 0; i < n; i++) {
        if (t[i].flags & (COMMAND_MEMCACHE | COMMAND_RECORD))
            continue;
        bool embedded = t[i].flags & COMMAND_EMBEDDED || t[i].class_ == COMMAND_LOCAL;
        printf("| `%s` | %s | %s | ", t[i].name, classes[t[i].class_], embedded ? "yes" : "");
        print_remarks(&t[i]);
        puts(" |");
        print_subs(&t[i]);
    }
}

/* Behind the checks that the server makes before it. */
static bool normalize(uint64_t now_ms, const struct resp_command *cmd, struct buf *out,
                      struct error *e)
{
    const struct command_spec *spec = command_find(cmd->argv[0]);
    if (!spec)
        return error_set(e, "unknown command");
    return command_arity_ok(spec, cmd, e) && command_normalize(spec, cmd, now_ms, out, e);
}

static void print_normalized(const char *now, char **words, size_t n)
{
    struct resp_command cmd = {.argv = mem_calloc(n, sizeof(struct slice)), .argc = n, .cap = n};
    for (size_t i = 0; i < n; i++)
        cmd.argv[i] = slice_str(words[i]);
    struct buf out = BUF_INIT;
    struct error e;
    struct resp_command made = {0};
    if (!normalize(strtoull(now, NULL, 10), &cmd, &out, &e))
        puts(e.text);
    else if (!resp_command_parse(buf_slice(&out), &made))
        abort();
    for (size_t i = 0; i < made.argc; i++)
        printf("%.*s\n", (int)made.argv[i].len, (const char *)made.argv[i].ptr);
    resp_command_fini(&made);
    resp_command_fini(&cmd);
    buf_fini(&out);
}

int main(int argc, char **argv)
{
    struct slice what = slice_str(argc > 1 ? argv[1] : "");
    if (argc == 2 && slice_is(what, "table"))
        print_table();
    else if (argc == 2 && slice_is(what, "subcommands"))
        print_subcommands();
    else if (argc == 2 && slice_is(what, "keys"))
        print_keys();
    else if (argc == 2 && slice_is(what, "markdown"))
        print_markdown();
    else if (argc > 3 && slice_is(what, "normalize"))
        print_normalized(argv[2], argv + 3, (size_t)(argc - 3));
    else
        return 2;
    return 0;
}
