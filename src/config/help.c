#include "config/load.h"
#include "core/mem.h"
#include <string.h>

#define FLAG_COLUMN 44

static void print_words(const struct option *o, FILE *outf)
{
    char *words = option_words(o->words);
    fprintf(outf, ": %s", words);
    mem_free(words);
}

static void print_row(const struct option *o, FILE *outf)
{
    char letter[8] = "    ";
    char *flag = option_flag(o), *left;
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    left = mem_printf("  %s%s%s%s", letter, flag, o->value ? " " : "", o->value ? o->value : "");
    fprintf(outf, "%-*s%s%s", FLAG_COLUMN, left, strlen(left) < FLAG_COLUMN ? "" : " ", o->help);
    if (o->words && o->type != &type_fixed)
        print_words(o, outf);
    if (o->type == &type_fixed)
        fprintf(outf, " (only %s so far)", *o->fallback ? o->fallback : "''");
    else if (o->fallback && *o->fallback)
        fprintf(outf, " (default %s)", o->fallback);
    fputc('\n', outf);
    mem_free(left);
    mem_free(flag);
}

static void print_rows(bool of_process, FILE *outf)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++)
        if ((o->scope == OPTION_PROCESS) == of_process && !o->type->ignored && !o->type->later)
            print_row(o, outf);
}

static void print_ignored(FILE *outf)
{
    for (const struct option *o = option_table; o < option_table + option_count; o++) {
        if (!o->type->ignored)
            continue;
        char *flag = option_flag(o);
        fprintf(outf, "  %c%c%s %-24s %s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                o->letter ? "," : " ", flag, o->help);
        mem_free(flag);
    }
}

void help_print(FILE *outf)
{
    fputs("Usage: dynomited [FLAG]...\n\n", outf);
    print_rows(true, outf);
    fputs(
        "\nOf these --foo-bar is foo_bar: in the YAML file; a flag wins over the file. A list is\n"
        "a flag repeated. BOOL is true or false.\n\n",
        outf);
    print_rows(false, outf);
    fputs("\nFlags and keys of Netflix Dynomite that mean nothing here, each worth a warning:\n\n",
          outf);
    print_ignored(outf);
}
