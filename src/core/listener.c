#include "core/listener.h"
#include "core/address.h"
#include "core/log.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG       1024
#define PAUSE_MS      100
#define ACCEPT_A_TURN 64

/* A socket file that nobody listens on is left over from a killed process. */
static bool remove_stale(const char *path, const struct sockaddr_storage *to, socklen_t len,
                         struct error *e)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return error_set(e, "%s: exists and isn't a socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(e, "%s: %s", path, strerror(errno));
    bool answers = connect(fd, (const struct sockaddr *)to, len) == 0;
    close(fd);
    if (answers)
        return error_set(e, "%s: another process listens here", path);
    if (unlink(path) < 0)
        return error_set(e, "%s: %s", path, strerror(errno));
    return true;
}

static bool bind_fd(int fd, const char *address, const struct sockaddr_storage *to, socklen_t len,
                    struct error *e)
{
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)to, len) < 0 || listen(fd, BACKLOG) < 0)
        return error_set(e, "%s: %s", address, strerror(errno));
    return true;
}

bool listener_bind(const char *text, int *out, struct error *e)
{
    struct address a;
    struct sockaddr_storage to;
    socklen_t len = 0;
    if (!address_parse(text, 0, &a, e) || !address_resolve(&a, &to, &len, e))
        return false;
    if (a.kind == ADDRESS_UNIX && !remove_stale(a.path, &to, len, e))
        return false;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(e, "%s: %s", text, strerror(errno));
    if (!bind_fd(fd, text, &to, len, e)) {
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

static void on_readable(uv_poll_t *h, int status, int events);

static void on_retry(uv_timer_t *t)
{
    struct listener *l = t->data;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void pause_accepting(struct listener *l)
{
    log_limited(1000, LOG_LEVEL_ERROR, "accept: %s; accepting pauses", strerror(errno));
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->retry, on_retry, PAUSE_MS, 0);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct listener *l = h->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_A_TURN && l->open; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->accepted(l->arg, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(l);
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

bool listener_start(struct listener *l, uv_loop_t *loop, int fd, void (*accepted)(void *, int),
                    void *arg, struct error *e)
{
    *l = (struct listener){.fd = fd, .accepted = accepted, .arg = arg};
    int rc = uv_poll_init(loop, &l->poll, fd);
    if (rc < 0)
        return error_set(e, "poll: %s", uv_strerror(rc));
    uv_timer_init(loop, &l->retry);
    l->poll.data = l->retry.data = l;
    l->open = true;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
    return true;
}

void listener_stop(struct listener *l)
{
    if (!l->open)
        return;
    l->open = false;
    uv_poll_stop(&l->poll);
    uv_close((uv_handle_t *)&l->poll, NULL);
    uv_close((uv_handle_t *)&l->retry, NULL);
    close(l->fd);
}
