/* dyn-admin: looks after a node over its admin socket. Exit status: 0 done, 1 the node refused or
 * the wait ran out, 2 usage, 3 could not reach the node. */
#include "core/address.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "proto/admin.pb-c.h"
#include "status.h"
#include "table.h"
#include <config.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { DONE = 0, REFUSED = 1, USAGE = 2, UNREACHABLE = 3 };

#define REPLY_MAX    (64u * 1024 * 1024)
#define NODE_LATE_US 2000000

struct options {
    const char *node;
    bool json, yes;
    double timeout;
    char **words;
    int nwords;
};

static const char usage_text[] =
    "usage: dyn-admin [-n|--node ADDRESS] [-o table|json] [--timeout SECONDS] COMMAND\n"
    "  status ping ring peers key KEY stats metrics log-level N\n"
    "  hints [list]                      per peer: pending, bytes, oldest, state, rate, time left\n"
    "  hints pause|resume PEER or all    stop and restart delivery\n"
    "  hints drain PEER                  deliver now\n"
    "  hints truncate PEER or all        throw away; asks, unless --yes\n"
    "  hints handoff PEER                a departed peer's go to who holds the keys now\n"
    "  hints wait                        until every hint that exists now is delivered or expired\n"
    "  repaired PEER                     clears its needs-repair mark\n"
    "  state                             this node's\n"
    "  state standby|normal              out of reads, until told otherwise or restarted; back\n"
    "  state leaving                     out of the ring for good, when every log is delivered\n"
    "  config get NAME | set NAME VALUE | dump\n"
    "PEER: an id, a unique beginning of one, or an address\n"
    "ADDRESS: unix socket path or host:port; default $DYN_ADMIN_NODE, else ./data/admin.sock\n";

static int usage(const char *what, const char *found, const char *allowed)
{
    if (what)
        fprintf(stderr, "dyn-admin: %s: found '%s'; allowed %s\n", what, found, allowed);
    fputs(usage_text, stderr);
    return USAGE;
}

static bool misused(const char *what, const char *found, const char *allowed)
{
    usage(what, found, allowed);
    return false;
}

/* ---- the socket
 * ----------------------------------------------------------------------------------- */

/* What is left until the deadline, for the next call that may block. False: nothing. */
static bool arm(int fd, uint64_t deadline_us)
{
    uint64_t now = clock_mono_us(), left = deadline_us - now;
    struct timeval tv = {.tv_sec = (time_t)(left / 1000000),
                         .tv_usec = (suseconds_t)(left % 1000000)};
    if (now >= deadline_us) {
        errno = ETIMEDOUT;
        return false;
    }
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) == 0;
}

static int connect_to(const struct options *o, uint64_t deadline_us, struct error *e)
{
    struct address a;
    struct sockaddr_storage to;
    socklen_t len = 0;
    if (!address_parse(o->node, 0, &a, e) || !address_resolve(&a, &to, &len, e))
        return -1;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !arm(fd, deadline_us) || connect(fd, (struct sockaddr *)&to, len) < 0) {
        bool late = errno == EINPROGRESS || errno == EAGAIN;
        error_set(e, "%s: %s", o->node, strerror(late ? ETIMEDOUT : errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static bool transfer(int fd, uint64_t deadline_us, uint8_t *p, size_t n, bool out)
{
    while (n) {
        if (!arm(fd, deadline_us))
            return false;
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

/* NULL: errno says why. */
static AdminReply *ask(int fd, uint64_t deadline_us, const AdminRequest *q)
{
    size_t n = admin_request__get_packed_size(q);
    uint8_t *out = mem_alloc(4 + n), head[4];
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> (8 * i));
    admin_request__pack(q, out + 4);
    bool ok =
        transfer(fd, deadline_us, out, 4 + n, true) && transfer(fd, deadline_us, head, 4, false);
    mem_free(out);
    if (!ok)
        return NULL;
    uint32_t size = (uint32_t)(head[0] | head[1] << 8 | head[2] << 16) | (uint32_t)head[3] << 24;
    AdminReply *r = NULL;
    uint8_t *in = size <= REPLY_MAX ? mem_alloc(size) : NULL;
    if (!in || transfer(fd, deadline_us, in, size, false)) {
        r = in ? admin_reply__unpack(NULL, size, in) : NULL;
        errno = EPROTO;
    }
    mem_free(in);
    return r;
}

/* With -o json every answer is one object. */
static void print_json_text(const char *text)
{
    json_t *o = json_pack("{s:s}", "text", text);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static int print_reply(const struct options *o, const char *command, const AdminReply *r)
{
    if (!r->ok) {
        fprintf(stderr, "dyn-admin: %s\n", r->reason ? r->reason : "refused");
        return REFUSED;
    }
    if (r->text && !o->json)
        fputs(r->text, stdout);
    if (r->text && o->json)
        print_json_text(r->text);
    if (r->json && o->json)
        puts(r->json);
    if (r->json && !o->json) {
        json_t *v = json_loads(r->json, 0, NULL);
        if (strcmp(command, "status") == 0)
            status_print(v);
        else
            table_print(v);
        json_decref(v);
    }
    return fflush(stdout) == 0 ? DONE : REFUSED;
}

/* ---- commands
 * --------------------------------------------------------------------------------------- */

static const struct word {
    const char *command, *second;
    int arguments;       /* what stands behind these, as many words */
    const char *allowed; /* what they are */
} words[] = {
    {"status", NULL, 0, ""},
    {"ping", NULL, 0, ""},
    {"ring", NULL, 0, ""},
    {"peers", NULL, 0, ""},
    {"key", NULL, 1, "KEY"},
    {"hints", NULL, 0, "list, pause, resume, drain, truncate, handoff, wait"},
    {"hints", "list", 0, ""},
    {"hints", "pause", 1, "PEER or all"},
    {"hints", "resume", 1, "PEER or all"},
    {"hints", "drain", 1, "PEER"},
    {"hints", "truncate", 1, "PEER or all"},
    {"hints", "handoff", 1, "PEER"},
    {"hints", "wait", 0, ""},
    {"repaired", NULL, 1, "PEER"},
    {"state", NULL, 0, "standby, normal, leaving"},
    {"state", "standby", 0, ""},
    {"state", "normal", 0, ""},
    {"state", "leaving", 0, ""},
    {"config", NULL, -1, "get, set, dump"},
    {"config", "get", 1, "NAME"},
    {"config", "set", 2, "NAME VALUE"},
    {"config", "dump", 0, ""},
    {"stats", NULL, 0, ""},
    {"metrics", NULL, 0, ""},
    {"log-level", NULL, 1, "N"},
};

/* The row of the command and, where one is known, of its second word. NULL: none. */
static const struct word *find_word(const struct options *o)
{
    const struct word *found = NULL;
    for (const struct word *w = words; w < words + ARRAY_LEN(words); w++) {
        if (strcmp(w->command, o->words[0]) != 0)
            continue;
        if (!w->second)
            found = w;
        else if (o->nwords > 1 && strcmp(w->second, o->words[1]) == 0)
            return w;
    }
    return found;
}

static bool right_number(const struct options *o, const struct word *w)
{
    int first = w->second ? 2 : 1, given = o->nwords - first;
    if (given == w->arguments)
        return true;
    const char *found =
        given > w->arguments && o->nwords > first + w->arguments && w->arguments >= 0
            ? o->words[first + w->arguments]
        : w->arguments < 0 && given ? o->words[1]
                                    : "";
    return misused(w->second ? w->second : w->command, found,
                   *w->allowed ? w->allowed : "what stands below");
}

static bool is_key(const struct word *w)
{
    return strcmp(w->command, "key") == 0;
}

static bool take_key(char *text, AdminRequest *q)
{
    q->has_key = true;
    q->key = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    return true;
}

static bool take_level(const char *text, AdminRequest *q)
{
    int64_t level;
    if (!slice_to_i64(slice_str(text), &level) || level < 0 || level > 11)
        return misused("log-level", text, "0..11");
    q->has_level = true;
    q->level = (uint32_t)level;
    return true;
}

/* Hints can't be had again: somebody must mean it. */
static bool sure(const struct options *o, const struct word *w)
{
    char answer[16] = "";
    if (o->yes || !w->second || strcmp(w->second, "truncate") != 0)
        return true;
    if (!isatty(STDIN_FILENO))
        return misused("truncate", "no terminal to ask at", "--yes");
    fprintf(stderr, "Throw away the hints for %s? They can't be had again. [y/N] ", o->words[2]);
    if (fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y'))
        return true;
    fputs("dyn-admin: nothing was thrown away\n", stderr);
    return false;
}

static bool make_request(const struct options *o, AdminRequest *q)
{
    const struct word *w = find_word(o);
    if (!w)
        return misused("command", o->words[0], "one of those below");
    if (!right_number(o, w) || !sure(o, w))
        return false;
    q->command = o->words[0];
    q->has_timeout_ms = true;
    q->timeout_ms = (uint64_t)(o->timeout * 1000);
    if (is_key(w))
        return take_key(o->words[1], q);
    if (strcmp(w->command, "log-level") == 0)
        return take_level(o->words[1], q);
    if (w->second && strcmp(w->second, "list") == 0)
        return true;
    q->argument = o->words + 1;
    q->n_argument = (size_t)(o->nwords - 1);
    return true;
}

static int run(const struct options *o)
{
    AdminRequest q = ADMIN_REQUEST__INIT;
    struct error e;
    if (o->nwords == 0)
        return usage(NULL, NULL, NULL);
    if (!make_request(o, &q))
        return USAGE;
    uint64_t started = clock_mono_us(), deadline_us = started + (uint64_t)(o->timeout * 1e6);
    if (q.n_argument) /* the node says what it waits for when the time is up */
        deadline_us += NODE_LATE_US;
    int fd = connect_to(o, deadline_us, &e);
    if (fd < 0) {
        fprintf(stderr, "dyn-admin: %s\n", e.text);
        return UNREACHABLE;
    }
    AdminReply *r = ask(fd, deadline_us, &q);
    int why = errno;
    close(fd);
    if (!r) {
        fprintf(stderr, "dyn-admin: %s: %s\n", o->node, strerror(why));
        return why == ETIMEDOUT ? REFUSED : UNREACHABLE;
    }
    int status = print_reply(o, q.command, r);
    if (r->ok && strcmp(q.command, "ping") == 0 && !o->json)
        printf("%llu us\n", (unsigned long long)(clock_mono_us() - started));
    admin_reply__free_unpacked(r, NULL);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"node", required_argument, NULL, 'n'},
                                          {"output", required_argument, NULL, 'o'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"yes", no_argument, NULL, 'y'},
                                          {0}};
    const char *env = getenv("DYN_ADMIN_NODE");
    struct options o = {.node = env && *env ? env : "./data/admin.sock", .timeout = 10};
    char *end;
    argv[0] = (char[]){"dyn-admin"}; /* what getopt's messages begin with */
    for (int c; (c = getopt_long(argc, argv, "n:o:hV", longs, NULL)) != -1;) {
        switch (c) {
        case 'n':
            o.node = optarg;
            break;
        case 'o':
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "table") != 0)
                return usage("-o", optarg, "table, json");
            o.json = strcmp(optarg, "json") == 0;
            break;
        case 't':
            o.timeout = strtod(optarg, &end);
            if (*end || !(o.timeout >= 0.001 && o.timeout <= 1e6))
                return usage("--timeout", optarg, "seconds, 0.001 to 1000000");
            break;
        case 'y':
            o.yes = true;
            break;
        case 'h':
            fputs(usage_text, stdout);
            return DONE;
        case 'V':
            puts("dyn-admin " PACKAGE_VERSION);
            return DONE;
        default:
            return usage(NULL, NULL, NULL);
        }
    }
    o.words = argv + optind;
    o.nwords = argc - optind;
    return run(&o);
}
