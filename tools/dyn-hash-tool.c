/* dyn-hash-tool: keys in, ring tokens out, one a line. For whoever plans a ring or wants to know
 * where a key lives. Its options and output are those of Netflix's tool, with a choice of hash. */
#include "config.h"
#include "core/error.h"
#include "core/mem.h"
#include "ring/hash.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum exit_status { EXIT_DONE = 0, EXIT_IO = 1, EXIT_USAGE = 2 };

struct options {
    enum hash_kind kind;
    bool show_keys;
    const char *in, *out; /* file names; "-" is stdin or stdout */
};

static void list_hashes(FILE *out, const char *separator)
{
    for (unsigned i = 0; i < HASH_KINDS; i++)
        fprintf(out, "%s%s", separator, hash_name((enum hash_kind)i));
    fputc('\n', out);
}

static void print_help(void)
{
    fputs("Usage: dyn-hash-tool [-H NAME] [-k] [-i FILE] [-o FILE]\n"
          "\n"
          "Reads one key a line (the bytes up to the newline) and prints the ring token of each,\n"
          "one decimal number a line.\n"
          "\n"
          "  -H, --hash NAME       the hash, as in the configuration; default murmur\n"
          "  -k, --outputkey       print KEY:<key> on a line before each token\n"
          "  -i, --keyfile FILE    read the keys from FILE; default -, which is stdin\n"
          "  -o, --tokenfile FILE  write the tokens to FILE; default -, which is stdout\n"
          "  -h, --help            print this\n"
          "  -V, --version         print the version\n"
          "\n"
          "Exit status: 0 done, 1 a file can't be read or written, 2 usage.\n"
          "\n"
          "Hashes:",
          stdout);
    list_hashes(stdout, "\n  ");
}

static enum hash_kind parse_hash(const char *name)
{
    enum hash_kind kind;
    if (hash_parse(name, &kind))
        return kind;
    fprintf(stderr, "dyn-hash-tool: --hash: found %s; allowed:", name);
    list_hashes(stderr, " ");
    exit(EXIT_USAGE);
}

/* Everything was said on stdout; what counts now is that it got there. */
static NORETURN void exit_flushed(void)
{
    if (fflush(stdout) != 0) {
        fprintf(stderr, "dyn-hash-tool: can't write to stdout: %s\n", strerror(errno));
        exit(EXIT_IO);
    }
    exit(EXIT_DONE);
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option LONG[] = {{"hash", required_argument, NULL, 'H'},
                                         {"outputkey", no_argument, NULL, 'k'},
                                         {"keyfile", required_argument, NULL, 'i'},
                                         {"tokenfile", required_argument, NULL, 'o'},
                                         {"help", no_argument, NULL, 'h'},
                                         {"version", no_argument, NULL, 'V'},
                                         {NULL, 0, NULL, 0}};
    struct options o = {.kind = HASH_MURMUR, .in = "-", .out = "-"};
    int c;
    while ((c = getopt_long(argc, argv, "H:ki:o:hV", LONG, NULL)) != -1) {
        switch (c) {
        case 'H':
            o.kind = parse_hash(optarg);
            break;
        case 'k':
            o.show_keys = true;
            break;
        case 'i':
            o.in = optarg;
            break;
        case 'o':
            o.out = optarg;
            break;
        case 'h':
            print_help();
            exit_flushed();
        case 'V':
            puts("dyn-hash-tool " PACKAGE_VERSION);
            exit_flushed();
        default: /* getopt has said what is wrong */
            fputs("dyn-hash-tool --help lists the options\n", stderr);
            exit(EXIT_USAGE);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "dyn-hash-tool: found %s; allowed: options only, keys come from a file\n",
                argv[optind]);
        exit(EXIT_USAGE);
    }
    return o;
}

static bool is_std(const char *name)
{
    return strcmp(name, "-") == 0;
}

static FILE *open_input(const char *name, struct error *e)
{
    FILE *f = is_std(name) ? stdin : fopen(name, "re");
    if (!f)
        error_set(e, "can't read %s: %s", name, strerror(errno));
    return f;
}

/* Opening for output empties the file: never the one that we are about to read. */
static FILE *open_output(const char *name, FILE *in, struct error *e)
{
    if (is_std(name))
        return stdout;
    struct stat a, b;
    if (fstat(fileno(in), &a) == 0 && stat(name, &b) == 0 && S_ISREG(a.st_mode) &&
        a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
        error_set(e, "can't write %s: the keys are read from it", name);
        return NULL;
    }
    FILE *f = fopen(name, "we");
    if (!f)
        error_set(e, "can't write %s: %s", name, strerror(errno));
    return f;
}

static void write_token(const struct options *o, FILE *out, struct slice key)
{
    if (o->show_keys) {
        fputs("KEY:", out);
        fwrite(key.ptr, 1, key.len, out);
        fputc('\n', out);
    }
    fprintf(out, "%" PRIu32 "\n", hash_token(o->kind, key));
}

/* A write error ends the loop here and is reported by close_output. */
static bool hash_lines(const struct options *o, FILE *in, FILE *out, struct error *e)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while (!ferror(out) && (n = getline(&line, &cap, in)) > 0) {
        size_t len = (size_t)n;
        if (line[len - 1] == '\n')
            len--;
        write_token(o, out, slice_of(line, len));
    }
    int reason = errno;
    mem_free(line);
    if (!ferror(out) && !feof(in))
        return error_set(e, "can't read %s: %s", o->in, strerror(reason));
    return true;
}

static bool close_output(const struct options *o, FILE *out, struct error *e)
{
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return error_set(e, "can't write %s: %s", o->out, strerror(errno));
    return true;
}

static bool run(const struct options *o, struct error *e)
{
    FILE *in = open_input(o->in, e);
    if (!in)
        return false;
    FILE *out = open_output(o->out, in, e);
    bool ok = out && hash_lines(o, in, out, e);
    if (out && ok)
        ok = close_output(o, out, e);
    else if (out)
        fclose(out);
    fclose(in);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = parse_options(argc, argv);
    struct error e;
    if (run(&o, &e))
        return EXIT_DONE;
    fprintf(stderr, "dyn-hash-tool: %s\n", e.text);
    return EXIT_IO;
}
