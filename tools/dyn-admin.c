/* dyn-admin: looks after a node over its admin socket. Exit status: 0 done, 1 the node refused or
 * the wait ran out, 2 usage, 3 could not reach the node. */
#include "core/address.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "proto/admin.pb-c.h"
#include <config.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { DONE = 0, REFUSED = 1, USAGE = 2, UNREACHABLE = 3 };

#define REPLY_MAX (64u * 1024 * 1024)

struct options {
    const char *node;
    bool json;
    double timeout;
    char **words;
    int nwords;
};

static const char usage_text[] =
    "usage: dyn-admin [-n|--node ADDRESS] [-o table|json] [--timeout SECONDS] COMMAND\n"
    "  status ping ring peers key KEY hints [list] stats metrics log-level N\n"
    "ADDRESS: unix socket path or host:port; default $DYN_ADMIN_NODE, else ./data/admin.sock\n";

static int usage(const char *what, const char *found)
{
    if (what)
        fprintf(stderr, "dyn-admin: %s: found '%s'\n", what, found);
    fputs(usage_text, stderr);
    return USAGE;
}

/* ---- the socket
 * ----------------------------------------------------------------------------------- */

static int connect_to(const struct options *o, struct error *e)
{
    struct address a;
    struct sockaddr_storage to;
    socklen_t len = 0;
    if (!address_parse(o->node, 0, &a, e) || !address_resolve(&a, &to, &len, e))
        return -1;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval tv = {.tv_sec = (time_t)o->timeout,
                         .tv_usec = (suseconds_t)((o->timeout - (double)(time_t)o->timeout) * 1e6)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) < 0 ||
        connect(fd, (struct sockaddr *)&to, len) < 0) {
        error_set(e, "%s: %s", o->node, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static bool transfer(int fd, uint8_t *p, size_t n, bool out)
{
    while (n) {
        ssize_t k = out ? send(fd, p, n, MSG_NOSIGNAL) : recv(fd, p, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            errno = k == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
            return false;
        }
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static AdminReply *ask(int fd, const AdminRequest *q)
{
    size_t n = admin_request__get_packed_size(q);
    uint8_t *out = mem_alloc(4 + n), head[4];
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> (8 * i));
    admin_request__pack(q, out + 4);
    bool ok = transfer(fd, out, 4 + n, true) && transfer(fd, head, 4, false);
    mem_free(out);
    uint32_t size = (uint32_t)(head[0] | head[1] << 8 | head[2] << 16) | (uint32_t)head[3] << 24;
    if (!ok || size > REPLY_MAX)
        return NULL;
    uint8_t *in = mem_alloc(size);
    AdminReply *r = transfer(fd, in, size, false) ? admin_reply__unpack(NULL, size, in) : NULL;
    mem_free(in);
    return r;
}

/* ---- tables
 * --------------------------------------------------------------------------------------- */

static void print_cell(const json_t *v, int width)
{
    char text[64];
    if (json_is_string(v)) {
        printf("%-*s", width, json_string_value(v));
        return;
    }
    if (json_is_integer(v))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(text, sizeof text, "%.4f", json_real_value(v));
    else if (json_is_boolean(v))
        snprintf(text, sizeof text, "%s", json_is_true(v) ? "yes" : "no");
    else if (json_is_array(v))
        snprintf(text, sizeof text, "%lld%s", (long long)json_integer_value(json_array_get(v, 0)),
                 json_array_size(v) > 1 ? ",..." : "");
    else
        snprintf(text, sizeof text, "-");
    printf("%-*s", width, text);
}

static int width_of(const char *column)
{
    if (strcmp(column, "id") == 0)
        return 38;
    if (strcmp(column, "address") == 0)
        return 24;
    if (strcmp(column, "stamp") == 0)
        return 22;
    return strlen(column) < 12 ? 14 : (int)strlen(column) + 2;
}

/* An array of flat objects; the first one's members are the columns. */
static void print_rows(const json_t *rows)
{
    const json_t *row, *first = json_array_get(rows, 0);
    size_t i;
    const char *key;
    json_t *v;
    if (!first) {
        puts("(none)");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)first, key, v) printf("%-*s", width_of(key), key);
    putchar('\n');
    json_array_foreach(rows, i, row)
    {
        json_object_foreach((json_t *)(uintptr_t)first, key, v)
            print_cell(json_object_get(row, key), width_of(key));
        putchar('\n');
    }
}

static void print_table(json_t *o)
{
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        if (json_is_array(v)) {
            printf("\n%s\n", key);
            print_rows(v);
        } else if (json_is_object(v)) {
            printf("%s\n", key);
            const char *inner;
            json_t *w;
            json_object_foreach(v, inner, w)
            {
                printf("  %-32s", inner);
                print_cell(w, 0);
                putchar('\n');
            }
        } else {
            printf("%-34s", key);
            print_cell(v, 0);
            putchar('\n');
        }
    }
}

static int print_reply(const struct options *o, const AdminReply *r)
{
    if (!r->ok) {
        fprintf(stderr, "dyn-admin: %s\n", r->reason ? r->reason : "refused");
        return REFUSED;
    }
    if (r->text)
        fputs(r->text, stdout);
    if (r->json && o->json)
        puts(r->json);
    if (r->json && !o->json) {
        json_t *v = json_loads(r->json, 0, NULL);
        print_table(v);
        json_decref(v);
    }
    return fflush(stdout) == 0 ? DONE : REFUSED;
}

/* ---- commands
 * --------------------------------------------------------------------------------------- */

static const struct word {
    const char *command;
    int arguments;
} words[] = {{"status", 0}, {"ping", 0},  {"ring", 0},    {"peers", 0},    {"key", 1},
             {"hints", 0},  {"stats", 0}, {"metrics", 0}, {"log-level", 1}};

static bool make_request(const struct options *o, AdminRequest *q)
{
    int n = o->nwords;
    if (n == 2 && strcmp(o->words[0], "hints") == 0 && strcmp(o->words[1], "list") == 0)
        n = 1;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i].command, o->words[0]) != 0 || words[i].arguments != n - 1)
            continue;
        q->command = o->words[0];
        if (strcmp(q->command, "key") == 0) {
            q->has_key = true;
            q->key = (ProtobufCBinaryData){strlen(o->words[1]), (uint8_t *)o->words[1]};
        } else if (words[i].arguments) {
            char *end;
            q->has_level = true;
            q->level = (uint32_t)strtoul(o->words[1], &end, 10);
            return *o->words[1] && !*end && q->level <= 11;
        }
        return true;
    }
    return false;
}

static int run(const struct options *o)
{
    AdminRequest q = ADMIN_REQUEST__INIT;
    struct error e;
    if (o->nwords == 0)
        return usage(NULL, NULL);
    if (!make_request(o, &q))
        return usage("command", o->words[0]);
    int fd = connect_to(o, &e);
    if (fd < 0) {
        fprintf(stderr, "dyn-admin: %s\n", e.text);
        return UNREACHABLE;
    }
    uint64_t started = clock_mono_us();
    AdminReply *r = ask(fd, &q);
    close(fd);
    if (!r) {
        bool late = errno == ETIMEDOUT;
        fprintf(stderr, "dyn-admin: %s: %s\n", o->node, strerror(errno));
        return late ? REFUSED : UNREACHABLE;
    }
    int status = print_reply(o, r);
    if (r->ok && strcmp(q.command, "ping") == 0 && !o->json)
        printf("%llu us\n", (unsigned long long)(clock_mono_us() - started));
    admin_reply__free_unpacked(r, NULL);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"node", required_argument, NULL, 'n'},    {"output", required_argument, NULL, 'o'},
        {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {0}};
    const char *env = getenv("DYN_ADMIN_NODE");
    struct options o = {.node = env && *env ? env : "./data/admin.sock", .timeout = 10};
    char *end;
    for (int c; (c = getopt_long(argc, argv, "n:o:hV", longs, NULL)) != -1;) {
        switch (c) {
        case 'n':
            o.node = optarg;
            break;
        case 'o':
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "table") != 0)
                return usage("-o: allowed table, json", optarg);
            o.json = strcmp(optarg, "json") == 0;
            break;
        case 't':
            o.timeout = strtod(optarg, &end);
            if (*end || !(o.timeout > 0))
                return usage("--timeout: allowed seconds above 0", optarg);
            break;
        case 'h':
            fputs(usage_text, stdout);
            return DONE;
        case 'V':
            puts("dyn-admin " PACKAGE_VERSION);
            return DONE;
        default:
            return usage(NULL, NULL);
        }
    }
    o.words = argv + optind;
    o.nwords = argc - optind;
    return run(&o);
}
