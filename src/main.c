/* dynomited: flags -> configuration -> server -> wait for a signal; shutdown is the mirror. */
#include "config/config.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "server.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define STOP_SECONDS 9

/* jemalloc's (man 3 jemalloc): few arenas, and what is freed goes back to the system within a
 * second or two. */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:4,lg_tcache_max:12,"
                          "tcache_nslots_small_max:20";
/* NULL in a build for a sanitizer, which brings its own allocator. */
__attribute__((weak)) int mallctl(const char *name, void *old, size_t *old_len, void *new,
                                  size_t new_len);

enum { EXIT_OK = 0, EXIT_USAGE = 1, EXIT_START = 2 };

static int fail(const struct error *e)
{
    fprintf(stderr, "dynomited: %s\n", e->text);
    return EXIT_START;
}

/* Every thread inherits the mask: signals are only ever taken by sigtimedwait in main. */
static void block_signals(sigset_t *waited)
{
    sigemptyset(waited);
    sigaddset(waited, SIGTERM);
    sigaddset(waited, SIGINT);
    sigaddset(waited, SIGHUP);
    sigset_t all = *waited;
    sigaddset(&all, SIGPIPE);
    sigaddset(&all, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file too large is an error code */
}

/* As many descriptors as we may have: clients are the limit, not a default of 1024. */
static void raise_file_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* Threads of jemalloc's do it, so that an idle node does. They don't live through a fork. */
static void start_giving_memory_back(void)
{
    bool on = true;
    if (mallctl)
        (void)mallctl("background_thread", NULL, NULL, &on, sizeof on);
}

/* The parent waits until the child is up, so that the exit status tells. */
static bool daemonize(int *ready, struct error *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(e, "pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        return error_set(e, "fork: %s", strerror(errno));
    if (pid > 0) {
        char ok;
        close(fds[1]);
        ssize_t n = read(fds[0], &ok, 1);
        _exit(n == 1 ? EXIT_OK : EXIT_START);
    }
    close(fds[0]);
    *ready = fds[1];
    if (setsid() < 0)
        return error_set(e, "setsid: %s", strerror(errno));
    return true;
}

static bool tell_parent(int ready, bool has_log_file, struct error *e)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return error_set(e, "/dev/null: %s", strerror(errno));
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (has_log_file)
        dup2(null, STDERR_FILENO);
    close(null);
    ssize_t n = write(ready, "1", 1);
    close(ready);
    return n == 1 || error_set(e, "daemonize: %s", strerror(errno));
}

static bool write_pid_file(const char *path, struct error *e)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return error_set(e, "pid file %s: %s", path, strerror(errno));
    bool ok = fprintf(f, "%d\n", (int)getpid()) > 0;
    ok = fclose(f) == 0 && ok;
    return ok || error_set(e, "pid file %s: %s", path, strerror(errno));
}

static void on_alarm(int sig)
{
    static const char text[] = "dynomited: the stop took too long: ended as it is\n";
    (void)sig;
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(EXIT_OK);
}

/* A stop ends within 10 s whatever hangs (a resolver, a disk): nothing depends on how it ends, as a
 * kill -9 costs nothing that was answered. */
static void end_in_time(void)
{
    signal(SIGALRM, on_alarm);
    alarm(STOP_SECONDS);
}

/* What is configured, and by what. */
struct program {
    int argc;
    char **argv;
    struct config config;
};

static void reload(struct program *p)
{
    struct error e;
    if (log_reopen(&e))
        log_notice("log opened again");
    else
        log_error("%s", e.text);
    if (!config_reload(p->argc, p->argv, &p->config, &e))
        log_error("configuration not reloaded, nothing has changed: %s", e.text);
}

static void wait_for_stop(const sigset_t *waited, struct server *s, struct program *p)
{
    for (;;) {
        int sig = sigtimedwait(waited, NULL, &(struct timespec){.tv_sec = 1});
        server_tick(s);
        if (sig == SIGHUP) {
            reload(p);
            server_changed(s);
        } else if (sig > 0) {
            log_notice("signal %d: stopping", sig);
            end_in_time();
            return;
        }
    }
}

static int run(struct program *p)
{
    const struct config *c = &p->config;
    struct error e;
    sigset_t waited;
    int ready = -1;
    block_signals(&waited);
    raise_file_limit();
    if (c->daemonize && !daemonize(&ready, &e))
        return fail(&e);
    start_giving_memory_back();
    if (!log_open(c->output, (int)c->verbosity, c->log_format == LOG_FORMAT_JSON, &e))
        return fail(&e);
    rcu_start();
    struct server *s = server_start(&p->config, &e);
    if (!s)
        return fail(&e);
    if ((*c->pid_file && !write_pid_file(c->pid_file, &e)) ||
        (ready >= 0 && !tell_parent(ready, *c->output, &e)))
        return fail(&e);
    server_tick(s);
    wait_for_stop(&waited, s, p);
    server_stop(s);
    if (*c->pid_file)
        unlink(c->pid_file);
    rcu_stop();
    log_notice("stopped");
    log_close();
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct program p = {.argc = argc, .argv = argv};
    switch (config_load(argc, argv, &p.config, stdout, stderr)) {
    case CONFIG_EXIT_OK:
        return EXIT_OK;
    case CONFIG_EXIT_USAGE:
        return EXIT_USAGE;
    case CONFIG_RUN:
        break;
    }
    int status = run(&p);
    if (status == EXIT_OK)
        config_fini(&p.config);
    else
        _exit(status); /* threads may run: nothing of theirs is taken down under them */
    return status;
}
