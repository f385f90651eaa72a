#include "core/actor.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define TURN_MAIL_MAX 4096 /* messages in one turn, so that sockets get their turn too */

static void close_own_handles(struct actor *a)
{
    uv_close((uv_handle_t *)&a->bell, NULL);
    uv_close((uv_handle_t *)&a->before_poll, NULL);
    uv_close((uv_handle_t *)&a->after_poll, NULL);
    uv_close((uv_handle_t *)&a->busy, NULL);
}

static void noop_idle(uv_idle_t *h)
{
    (void)h; /* its being active is what keeps the loop from sleeping */
}

static void read_mail(struct actor *a)
{
    for (int i = 0; i < TURN_MAIL_MAX; i++) {
        struct msg *m = mailbox_take(&a->mailbox);
        if (!m)
            return;
        a->ops->receive(a->self, m);
    }
}

static void check_stop(struct actor *a)
{
    if (a->stopping || !__atomic_load_n(&a->stop_wanted, __ATOMIC_ACQUIRE))
        return;
    a->stopping = true;
    a->ops->stop(a->self);
    close_own_handles(a);
}

/* The end of a turn: mail, turn_end, then the word "I sleep" and a last look. */
static void on_before_poll(uv_prepare_t *h)
{
    struct actor *a = h->data;
    read_mail(a);
    if (a->ops->turn_end)
        a->ops->turn_end(a->self);
    check_stop(a);
    if (a->stopping)
        return;
    /* a full barrier: the word first, then the look; a sender's enqueue (an exchange) is its own */
    (void)__atomic_exchange_n(&a->sleeping, 1, __ATOMIC_SEQ_CST);
    bool mail = !mailbox_empty(&a->mailbox) || __atomic_load_n(&a->stop_wanted, __ATOMIC_SEQ_CST);
    if (!mail)
        return;
    __atomic_store_n(&a->sleeping, 0, __ATOMIC_RELAXED);
    if (!uv_is_active((uv_handle_t *)&a->busy))
        uv_idle_start(&a->busy, noop_idle); /* the poll looks, and doesn't wait */
}

static void on_after_poll(uv_check_t *h)
{
    struct actor *a = h->data;
    __atomic_store_n(&a->sleeping, 0, __ATOMIC_RELAXED);
    if (uv_is_active((uv_handle_t *)&a->busy) && mailbox_empty(&a->mailbox))
        uv_idle_stop(&a->busy);
}

/* The mail is read before the next poll. */
static void on_bell(uv_poll_t *h, int status, int events)
{
    char rings[16];
    const struct actor *a = h->data;
    (void)status;
    (void)events;
    ssize_t n = read(a->bell_fd[0], rings, sizeof rings);
    (void)n; /* nothing there: it has been read */
}

static void *run(void *arg)
{
    struct actor *a = arg;
    pthread_setname_np(pthread_self(), a->ops->name);
    rcu_thread_register();
    a->ops->start(a->self);
    uv_sem_post(&a->started);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    if (a->ops->end)
        a->ops->end(a->self);
    rcu_thread_unregister();
    return NULL;
}

void actor_init(struct actor *a, const struct actor_ops *ops, void *self)
{
    a->ops = ops;
    a->self = self;
    mailbox_init(&a->mailbox);
}

static bool start_thread(struct actor *a, struct error *e)
{
    const struct actor_ops *ops = a->ops;
    int rc;
    if (pipe2(a->bell_fd, O_NONBLOCK | O_CLOEXEC) < 0)
        return error_set(e, "wake-up of %s: %s", ops->name, strerror(errno));
    rc = uv_poll_init(&a->loop, &a->bell, a->bell_fd[0]);
    if (rc == 0)
        rc = uv_poll_start(&a->bell, UV_READABLE, on_bell);
    if (rc < 0)
        return error_set(e, "wake-up of %s: %s", ops->name, uv_strerror(rc));
    uv_prepare_init(&a->loop, &a->before_poll);
    uv_check_init(&a->loop, &a->after_poll);
    uv_idle_init(&a->loop, &a->busy);
    a->before_poll.data = a->after_poll.data = a->bell.data = a;
    uv_prepare_start(&a->before_poll, on_before_poll);
    uv_check_start(&a->after_poll, on_after_poll);
    rc = uv_sem_init(&a->started, 0);
    if (rc < 0)
        return error_set(e, "start of %s: %s", ops->name, uv_strerror(rc));
    rc = pthread_create(&a->thread, NULL, run, a);
    if (rc == 0)
        uv_sem_wait(&a->started);
    uv_sem_destroy(&a->started);
    if (rc != 0)
        return error_set(e, "thread %s: %s", ops->name, strerror(rc));
    return true;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* It may be tried again and again while there is no room for a thread. */
static void undo_start(struct actor *a)
{
    uv_walk(&a->loop, close_handle, NULL);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&a->loop);
    for (size_t i = 0; i < ARRAY_LEN(a->bell_fd); i++)
        if (a->bell_fd[i] >= 0)
            close(a->bell_fd[i]);
}

bool actor_start(struct actor *a, struct error *e)
{
    int rc = uv_loop_init(&a->loop);
    if (rc < 0)
        return error_set(e, "event loop of %s: %s", a->ops->name, uv_strerror(rc));
    a->bell_fd[0] = a->bell_fd[1] = -1;
    if (start_thread(a, e))
        return true;
    undo_start(a);
    return false;
}

static void ring(struct actor *a)
{
    ssize_t n;
    do
        n = write(a->bell_fd[1], "", 1);
    while (n < 0 && errno == EINTR); /* a full pipe rings too */
}

/* Through a pipe and not an eventfd (uv_async): the kernel takes a write into a pipe as a word that
 * the writer is about to sleep, and lets the reader run where it ran; an eventfd's reader is sent
 * to another core, which has to be woken. For a lone client's SET that is 40 us against 90. */
static void wake(struct actor *a)
{
    if (__atomic_load_n(&a->sleeping, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&a->sleeping, 0, __ATOMIC_SEQ_CST))
        ring(a);
}

void actor_send(struct actor *a, struct msg *m)
{
    mailbox_put(&a->mailbox, m);
    wake(a);
}

void actor_stop(struct actor *a)
{
    __atomic_store_n(&a->stop_wanted, 1, __ATOMIC_SEQ_CST);
    wake(a);
}

void actor_join(struct actor *a)
{
    int rc = pthread_join(a->thread, NULL);
    assert(rc == 0);
    (void)rc;
}

void actor_fini(struct actor *a)
{
    for (struct msg *m; (m = mailbox_take(&a->mailbox));)
        a->ops->drop(m);
    mailbox_fini(&a->mailbox);
    close(a->bell_fd[0]);
    close(a->bell_fd[1]);
    int rc = uv_loop_close(&a->loop);
    if (rc < 0)
        log_error("%s: a handle was left open at the end: %s", a->ops->name, uv_strerror(rc));
}

void actor_again(struct actor *a)
{
    if (!a->stopping && !uv_is_active((uv_handle_t *)&a->busy))
        uv_idle_start(&a->busy, noop_idle);
}
