#include "data_os.h"
#include "admin/admin.h"
#include "core/actor.h"
#include "core/clock.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/stream.h"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#define WALL_BASE_US 1700000000000000ull
#define PORT_CLIENTS 20000
#define PORT_PEERS   10000

struct block { /* stands before each piece of memory */
    struct block *prev, *next;
    size_t size, back; /* back: bytes from the beginning of what malloc gave to the piece */
};

struct end { /* of a stream */
    struct stream *s;
    unsigned node; /* OS_NOBODY: there is none */
    uint8_t *held; /* came before it was wanted */
    size_t n, cap;
    bool over; /* the other end is gone */
};

struct door {
    void (*accepted)(void *arg, int fd);
    void *arg;
    uv_loop_t *loop;
};

static struct {
    struct net *net;
    struct chance chance;
    struct os_options o;
    unsigned node;
    bool show;
    struct block arena[OS_NODES_MAX + 1];
    uint64_t steady_off[OS_NODES_MAX + 1];
    struct rcu_head *deferred;
    struct end (*ends)[2]; /* by the stream's number */
    size_t cap_ends;
    struct door doors[OS_NODES_MAX][2]; /* for clients, for peers */
} os;

/* ---- memory: each node has its own, which ends with it ------------------------------------------
 */

static struct block shared = {.prev = &shared, .next = &shared};

static void *take(struct block *b, size_t size, size_t back)
{
    struct block *head = os.node == OS_SHARED ? &shared : &os.arena[os.node];
    *b = (struct block){.prev = head, .next = head->next, .size = size, .back = back};
    head->next->prev = b;
    head->next = b;
    return b + 1;
}

static void drop(struct block *b)
{
    b->prev->next = b->next;
    b->next->prev = b->prev;
}

static void out_of_memory(void)
{
    fprintf(stderr, "sim_data: out of memory\n");
    abort();
}

void *mem_alloc(size_t size)
{
    struct block *b = malloc(sizeof *b + (size ? size : 1));
    if (!b)
        out_of_memory();
    return take(b, size, sizeof *b);
}

void *mem_calloc(size_t n, size_t size)
{
    size_t bytes = n * size;
    struct block *b = calloc(1, sizeof *b + (bytes > 0 ? bytes : 1));
    if (!b)
        out_of_memory();
    return take(b, bytes, sizeof *b);
}

void *mem_realloc(void *old, size_t size)
{
    if (!old)
        return mem_alloc(size);
    const struct block *b = (struct block *)old - 1;
    size_t keep = b->size < size ? b->size : size;
    void *fresh = mem_alloc(size);
    memcpy(fresh, old, keep);
    mem_free(old);
    return fresh;
}

void *mem_dup(const void *src, size_t size)
{
    void *p = mem_alloc(size);
    if (size)
        memcpy(p, src, size);
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s) + 1);
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *out = mem_alloc((size_t)n + 1);
    vsnprintf(out, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return out;
}

void *mem_aligned(size_t align, size_t size)
{
    size_t back = align > sizeof(struct block) ? align : sizeof(struct block);
    void *raw = NULL;
    if (posix_memalign(&raw, align, back + (size ? size : 1)) != 0)
        out_of_memory();
    memset(raw, 0, back + size);
    return take((struct block *)(void *)((char *)raw + back) - 1, size, back);
}

void mem_free(void *p)
{
    if (!p)
        return;
    struct block *b = (struct block *)p - 1;
    drop(b);
    free((char *)p - b->back);
}

static void free_arena(unsigned node)
{
    struct block *head = &os.arena[node];
    while (head->next != head) {
        struct block *b = head->next;
        drop(b);
        free((char *)(b + 1) - b->back);
    }
}

/* ---- who runs; RCU: nobody reads at the end of what a node does ---------------------------------
 */

void rcu_start(void)
{
}
void rcu_stop(void)
{
}
void rcu_drain(void)
{
}
void rcu_thread_register(void)
{
}
void rcu_thread_unregister(void)
{
}
void rcu_read_begin(void)
{
}
void rcu_read_end(void)
{
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    if (os.node == OS_NOBODY) { /* no thread runs that could read it */
        fn(head);
        return;
    }
    head->func = fn;
    head->next.next = (struct cds_wfcq_node *)(void *)os.deferred;
    os.deferred = head;
}

static void run_deferred(void)
{
    while (os.deferred) {
        struct rcu_head *head = os.deferred;
        os.deferred = (struct rcu_head *)(void *)head->next.next;
        head->func(head);
    }
}

unsigned os_enter(unsigned node)
{
    unsigned before = os.node;
    os.node = node;
    return before;
}

void os_leave(unsigned before)
{
    if (before == OS_NOBODY)
        run_deferred();
    os.node = before;
}

unsigned os_current(void)
{
    return os.node;
}

struct chance *os_chance(void)
{
    return &os.chance;
}

struct net *os_net(void)
{
    return os.net;
}

/* ---- clocks, log, chances ----------------------------------------------------------------------
 */

uint64_t clock_mono_us(void)
{
    return os.node == OS_NOBODY ? net_now(os.net) : net_clock(os.net, os.node);
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

uint64_t clock_wall_us(void)
{
    return WALL_BASE_US + (os.node == OS_NOBODY ? net_now(os.net) : net_wall(os.net, os.node));
}

uint64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

uint64_t clock_steady_ms(void)
{
    if (!os.steady_off[os.node])
        os.steady_off[os.node] = clock_wall_ms() - clock_mono_ms();
    return clock_mono_ms() + os.steady_off[os.node];
}

uint64_t clock_steady_tick_ms(void)
{
    return clock_steady_ms();
}

uint64_t os_wall_ms(unsigned node)
{
    unsigned before = os.node;
    os.node = node;
    uint64_t ms = clock_wall_ms();
    os.node = before;
    return ms;
}

void os_show_log(bool show)
{
    os.show = show;
}

int log_verbosity(void)
{
    return LOG_LEVEL_INFO;
}

void log_set_verbosity(int verbosity)
{
    (void)verbosity;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    va_list ap;
    if (!os.show)
        return;
    va_start(ap, fmt);
    printf("%10.4f  n%u %u  ", (double)net_now(os.net) / 1e6, os.node, (unsigned)level);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

bool log_rate_ok(uint64_t *last_ms, uint64_t interval_ms)
{
    (void)last_ms, (void)interval_ms; /* what a seed does mustn't hang on the one before */
    return true;
}

/* In the place of libcrypto's: ids and challenges are the seed's, too. */
int RAND_bytes(unsigned char *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (unsigned char)chance_next(&os.chance);
    return 1;
}

/* ---- actors ------------------------------------------------------------------------------------
 */

static unsigned node_of(const uv_loop_t *loop)
{
    return (unsigned)(uintptr_t)loop->data;
}

static struct actor *actor_of(uv_loop_t *loop)
{
    return container_of_(loop, struct actor, loop);
}

static uint64_t soon(void)
{
    return net_now(os.net) + chance_below(&os.chance, os.o.hop_us + 1);
}

/* libuv's own fields serve: how many close callbacks are to come, and that the loop has ended. */
static unsigned *closing(uv_loop_t *loop)
{
    return &loop->active_handles;
}

static bool has_ended(const struct actor *a)
{
    return a->loop.stop_flag != 0;
}

static void turn(struct actor *a)
{
    if (has_ended(a))
        return;
    for (struct msg *m; (m = mailbox_take(&a->mailbox));)
        a->ops->receive(a->self, m);
    if (a->ops->turn_end)
        a->ops->turn_end(a->self);
    if (a->stop_wanted && !a->stopping) {
        a->stopping = true;
        a->ops->stop(a->self);
    }
}

static void on_turn(void *arg, uint64_t value)
{
    struct actor *a = arg;
    (void)value;
    unsigned before = os_enter(node_of(&a->loop));
    a->sleeping = 1;
    turn(a);
    os_leave(before);
}

static void ring(struct actor *a)
{
    if (!a->sleeping)
        return;
    a->sleeping = 0;
    net_timer(os.net, node_of(&a->loop), soon(), on_turn, a, 0);
}

void actor_init(struct actor *a, const struct actor_ops *ops, void *self)
{
    a->ops = ops;
    a->self = self;
    a->loop.data = (void *)(uintptr_t)os.node;
    mailbox_init(&a->mailbox);
}

/* Its mail waits until the first turn, as a thread's that has just begun. */
bool actor_start(struct actor *a, struct error *e)
{
    (void)e;
    a->ops->start(a->self);
    a->sleeping = 1;
    ring(a);
    return true;
}

void actor_send(struct actor *a, struct msg *m)
{
    mailbox_put(&a->mailbox, m);
    ring(a);
}

void actor_again(struct actor *a)
{
    ring(a);
}

void actor_stop(struct actor *a)
{
    a->stop_wanted = 1;
    ring(a);
}

/* What else happens in the world meanwhile, happens. */
void actor_join(struct actor *a)
{
    unsigned node = os.node;
    uint64_t end = net_now(os.net) + 60ull * NET_S;
    os.node = OS_NOBODY;
    while (!a->stopping || *closing(&a->loop))
        if (!net_step(os.net, end))
            abort(); /* it never ends */
    os.node = node;
    a->loop.stop_flag = 1;
    if (a->ops->end)
        a->ops->end(a->self);
}

void actor_fini(struct actor *a)
{
    for (struct msg *m; (m = mailbox_take(&a->mailbox));)
        a->ops->drop(m);
    mailbox_fini(&a->mailbox);
}

/* ---- libuv ------------------------------------------------------------------------------------
 */

#define ACTIVE 4u

/* What the network's event of a timer knows; the timer may be stopped, and gone, when it comes. */
struct armed {
    uv_timer_t *t; /* NULL: stopped since */
    unsigned node;
};

static struct armed *armed_of(const uv_timer_t *t)
{
    return t->heap_node[0];
}

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return clock_mono_ms();
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *t)
{
    void *data = t->data;
    memset(t, 0, sizeof *t);
    t->data = data;
    t->type = UV_TIMER;
    t->loop = loop;
    return 0;
}

static void on_timer(void *arg, uint64_t value);

static void arm(uv_timer_t *t, uint64_t ms)
{
    struct armed *a = MEM_NEW(struct armed);
    *a = (struct armed){.t = t, .node = node_of(t->loop)};
    t->heap_node[0] = a;
    net_timer(os.net, a->node, net_now(os.net) + ms * NET_MS + 1, on_timer, a, 0);
}

static void on_timer(void *arg, uint64_t value)
{
    struct armed *armed = arg;
    uv_timer_t *t = armed->t;
    (void)value;
    unsigned before = os_enter(armed->node);
    mem_free(armed);
    if (t) {
        struct actor *a = actor_of(t->loop);
        t->heap_node[0] = NULL;
        if (t->repeat)
            arm(t, t->repeat);
        else
            t->flags &= ~ACTIVE;
        t->timer_cb(t);
        turn(a);
    }
    os_leave(before);
}

int uv_timer_stop(uv_timer_t *t)
{
    t->flags &= ~ACTIVE;
    if (armed_of(t))
        armed_of(t)->t = NULL;
    t->heap_node[0] = NULL;
    return 0;
}

int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    (void)uv_timer_stop(t);
    t->timer_cb = cb;
    t->repeat = repeat;
    t->flags |= ACTIVE;
    arm(t, timeout);
    return 0;
}

uint64_t uv_timer_get_repeat(const uv_timer_t *t)
{
    return t->repeat;
}

int uv_is_active(const uv_handle_t *h)
{
    return (h->flags & ACTIVE) != 0;
}

/* core/alarm makes do with a timer. */
int timerfd_create(clockid_t clock, int flags)
{
    (void)clock;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

static void on_handle_closed(void *arg, uint64_t value)
{
    uv_handle_t *h = arg;
    uv_loop_t *loop = h->loop;
    (void)value;
    unsigned before = os_enter(node_of(loop));
    h->close_cb(h);
    --*closing(loop);
    os_leave(before);
}

void uv_close(uv_handle_t *h, uv_close_cb cb)
{
    if (h->type == UV_TIMER)
        (void)uv_timer_stop((uv_timer_t *)h);
    h->close_cb = cb;
    if (!cb)
        return;
    ++*closing(h->loop);
    net_timer(os.net, node_of(h->loop), net_now(os.net), on_handle_closed, h, 0);
}

static void on_work(void *arg, uint64_t value)
{
    uv_work_t *w = arg;
    (void)value;
    unsigned before = os_enter(node_of(w->loop));
    struct actor *a = actor_of(w->loop);
    w->work_cb(w);
    w->after_work_cb(w, 0);
    --*closing(w->loop);
    turn(a);
    os_leave(before);
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *w, uv_work_cb work, uv_after_work_cb after)
{
    w->loop = loop;
    w->work_cb = work;
    w->after_work_cb = after;
    ++*closing(loop); /* a loop that has work doesn't end */
    net_timer(os.net, node_of(loop), net_now(os.net) + chance_range(&os.chance, 50, 5000), on_work,
              w, 0);
    return 0;
}

/* ---- streams ----------------------------------------------------------------------------------
 */

static struct end *end_at(uint32_t stream, unsigned side)
{
    if (stream >= os.cap_ends) {
        size_t cap = stream + 256u;
        os.ends = realloc(os.ends, cap * sizeof *os.ends);
        if (!os.ends)
            out_of_memory();
        for (size_t i = os.cap_ends; i < cap; i++)
            for (unsigned k = 0; k < 2; k++)
                os.ends[i][k] = (struct end){.node = OS_NOBODY};
        os.cap_ends = cap;
    }
    return &os.ends[stream][side];
}

static struct end *end_of(uint32_t stream, unsigned node)
{
    for (unsigned side = 0; side < 2; side++)
        if (end_at(stream, side)->node == node)
            return end_at(stream, side);
    return NULL;
}

static void forget_end(struct end *e)
{
    free(e->held);
    *e = (struct end){.node = OS_NOBODY};
}

static uint32_t number_of(const struct stream *s)
{
    return (uint32_t)(s->fd - OS_STREAM_BASE);
}

static void attach(struct stream *s, uv_loop_t *loop, uint32_t stream, const struct stream_ops *ops,
                   void *owner)
{
    *s = (struct stream){.fd = OS_STREAM_BASE + (int)stream, .ops = ops, .owner = owner};
    s->poll.loop = loop;
    s->poll.data = s;
}

static void hold(struct end *e, const void *bytes, size_t n)
{
    if (e->n + n > e->cap) {
        e->cap = 2 * (e->n + n);
        e->held = realloc(e->held, e->cap);
        if (!e->held)
            out_of_memory();
    }
    memcpy(e->held + e->n, bytes, n);
    e->n += n;
}

/* The first byte that comes back is the other side's having accepted. */
static void finish_connect(struct end *e)
{
    struct stream *s = e->s;
    s->connecting = false;
    memmove(e->held, e->held + 1, --e->n);
    s->ops->on_connect(s);
}

/* What has come and is wanted; then the end, if it has come. */
static void deliver(uint32_t stream, unsigned node)
{
    struct end *e = end_of(stream, node);
    struct stream *s = e ? e->s : NULL;
    if (!s || s->paused)
        return;
    struct actor *a = actor_of(s->poll.loop);
    if (e->n && s->connecting)
        finish_connect(e);
    if (e->n && !s->closed) {
        buf_add(&s->in, e->held, e->n);
        e->n = 0;
        s->ops->on_data(s);
        if (!s->closed && s->in.len == 0)
            buf_fini(&s->in);
    }
    if (!s->closed && e->over && !s->half_end) {
        s->half_end = true;
        s->ops->on_end(s, s->connecting ? "connection refused" : STREAM_EOF);
    }
    turn(a);
}

static void on_deliver(void *arg, uint64_t value)
{
    unsigned node = (unsigned)(uintptr_t)arg, before = os_enter(node);
    deliver((uint32_t)value, node);
    os_leave(before);
}

static void deliver_soon(uint32_t stream)
{
    net_timer(os.net, os.node, soon(), on_deliver, (void *)(uintptr_t)os.node, stream);
}

bool stream_open(struct stream *s, uv_loop_t *loop, int fd, const struct stream_ops *ops,
                 void *owner, struct error *e)
{
    uint32_t stream = (uint32_t)(fd - OS_STREAM_BASE);
    struct end *end = end_of(stream, os.node);
    (void)e;
    assert(end);
    attach(s, loop, stream, ops, owner);
    end->s = s;
    (void)net_write(os.net, stream, os.node, "", 1);
    deliver_soon(stream);
    return true;
}

bool stream_connect(struct stream *s, uv_loop_t *loop, const struct sockaddr *to, socklen_t len,
                    const struct stream_ops *ops, void *owner, struct error *e)
{
    unsigned port = ntohs(((const struct sockaddr_in *)(const void *)to)->sin_port);
    unsigned node = port - PORT_PEERS;
    (void)len;
    if (node == os.node || node + 1 >= net_count(os.net))
        return error_set(e, "connection refused");
    uint32_t stream = net_open(os.net, os.node, node);
    attach(s, loop, stream, ops, owner);
    s->connecting = true;
    *end_at(stream, 0) = (struct end){.s = s, .node = os.node};
    return true;
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    deliver_soon(number_of(s));
}

static void on_room(void *arg, uint64_t value);

static void wait_for_room(struct stream *s)
{
    s->blocked = true;
    net_timer(os.net, os.node, net_now(os.net) + NET_MS, on_room, (void *)(uintptr_t)os.node,
              number_of(s));
}

/* Some bytes of `out`, cut anywhere; false: there is no room. */
static bool send_some(struct stream *s)
{
    size_t unread = net_unread(os.net, number_of(s), os.node);
    if (unread >= os.o.window)
        return false;
    size_t room = os.o.window - unread, n = s->out.len < room ? s->out.len : room;
    if (chance_of(&os.chance, 0.1))
        n = chance_range(&os.chance, 1, n);
    if (!net_write(os.net, number_of(s), os.node, buf_head(&s->out), n)) {
        s->broken = true;
        n = s->out.len; /* the reading side is told */
    }
    buf_eat(&s->out, n);
    return true;
}

void stream_flush(struct stream *s)
{
    bool waited = s->blocked;
    if (s->closed || s->connecting)
        return;
    s->blocked = false;
    while (s->out.len && send_some(s))
        ;
    if (!s->out.len)
        buf_reset(&s->out, 4096);
    else if (waited)
        s->blocked = true;
    else
        wait_for_room(s);
}

static void on_room(void *arg, uint64_t value)
{
    unsigned node = (unsigned)(uintptr_t)arg, before = os_enter(node);
    struct end *e = end_of((uint32_t)value, node);
    struct stream *s = e ? e->s : NULL;
    if (s && !s->closed) {
        struct actor *a = actor_of(s->poll.loop);
        size_t waiting = s->out.len;
        s->blocked = false;
        stream_flush(s);
        if (s->out.len < waiting && s->ops->on_progress)
            s->ops->on_progress(s);
        if (!s->closed && !s->blocked && s->ops->on_drain)
            s->ops->on_drain(s);
        turn(a);
    }
    os_leave(before);
}

static void on_closed(void *arg, uint64_t value)
{
    struct stream *s = arg;
    (void)value;
    unsigned before = os_enter(node_of(s->poll.loop));
    struct actor *a = actor_of(s->poll.loop);
    buf_fini(&s->in);
    buf_fini(&s->out);
    s->ops->on_closed(s);
    --*closing(&a->loop);
    turn(a);
    os_leave(before);
}

void os_close_stream(int fd)
{
    uint32_t stream = (uint32_t)(fd - OS_STREAM_BASE);
    struct end *e = end_of(stream, os.node);
    if (e)
        forget_end(e);
    net_close(os.net, stream, os.node);
}

void stream_close(struct stream *s)
{
    if (s->closed)
        return;
    s->closed = true;
    os_close_stream(s->fd);
    ++*closing(s->poll.loop);
    net_timer(os.net, os.node, net_now(os.net), on_closed, s, 0);
}

/* ---- listeners --------------------------------------------------------------------------------
 */

bool listener_bind(const char *address, int *fd, struct error *e)
{
    const char *port = strrchr(address, ':');
    (void)e;
    *fd = port && atoi(port + 1) >= PORT_CLIENTS ? 0 : 1; /* which door */
    return true;
}

bool listener_start(struct listener *l, uv_loop_t *loop, int fd,
                    void (*accepted)(void *arg, int fd), void *arg, struct error *e)
{
    (void)e;
    *l = (struct listener){.fd = fd, .open = true};
    os.doors[os.node][fd] = (struct door){.accepted = accepted, .arg = arg, .loop = loop};
    return true;
}

void listener_stop(struct listener *l)
{
    if (l->open)
        os.doors[os.node][l->fd].accepted = NULL;
    l->open = false;
}

/* ---- dyn-admin and HTTP aren't simulated -------------------------------------------------------
 */

struct admin *admin_bind(const struct config *c, struct error *e)
{
    static char none;
    (void)c, (void)e;
    return (struct admin *)(void *)&none;
}

bool admin_start(struct admin *a, const struct admin_sources *sources, struct error *e)
{
    (void)a, (void)sources, (void)e;
    return true;
}

void admin_stop(struct admin *a)
{
    (void)a;
}

void admin_join(struct admin *a)
{
    (void)a;
}

void admin_free(struct admin *a)
{
    (void)a;
}

/* ---- what the network brings -------------------------------------------------------------------
 */

static void on_opened(void *arg, unsigned node, unsigned from, uint32_t stream)
{
    struct door *d = &os.doors[node][from < net_count(os.net) - 1 ? 1 : 0];
    (void)arg;
    unsigned before = os_enter(node);
    if (d->accepted) {
        *end_at(stream, 1) = (struct end){.node = node};
        d->accepted(d->arg, OS_STREAM_BASE + (int)stream);
        turn(actor_of(d->loop));
    } else {
        net_close(os.net, stream, node);
    }
    os_leave(before);
}

static void on_record(void *arg, unsigned node, uint32_t stream, const void *bytes, size_t size)
{
    struct end *e = end_of(stream, node);
    (void)arg;
    if (!e)
        return;
    unsigned before = os_enter(node);
    hold(e, bytes, size);
    deliver(stream, node);
    os_leave(before);
}

static void on_over(void *arg, unsigned node, uint32_t stream)
{
    struct end *e = end_of(stream, node);
    (void)arg;
    if (!e)
        return;
    unsigned before = os_enter(node);
    e->over = true;
    deliver(stream, node);
    os_leave(before);
}

struct net_handlers os_handlers(void)
{
    return (struct net_handlers){.opened = on_opened, .record = on_record, .closed = on_over};
}

uint32_t os_some_link(void)
{
    uint32_t some = 0;
    unsigned seen = 0;
    for (uint32_t i = 1; i < os.cap_ends; i++)
        if (os.ends[i][0].s && os.ends[i][1].s && chance_below(&os.chance, ++seen) == 0)
            some = i;
    return some;
}

void os_break_stream(uint32_t stream)
{
    for (unsigned side = 0; side < 2; side++) {
        struct end *e = end_at(stream, side);
        if (e->node == OS_NOBODY)
            continue;
        unsigned before = os_enter(e->node), node = e->node;
        e->over = true;
        net_close(os.net, stream, node);
        deliver_soon(stream);
        os_leave(before);
    }
}

/* ---- lives ------------------------------------------------------------------------------------
 */

void os_boot(unsigned node)
{
    os.steady_off[node] = 0;
    memset(os.doors[node], 0, sizeof os.doors[node]);
}

void os_kill(unsigned node)
{
    assert(!os.deferred);
    for (uint32_t i = 0; i < os.cap_ends; i++)
        for (unsigned k = 0; k < 2; k++)
            if (os.ends[i][k].node == node)
                forget_end(&os.ends[i][k]);
    disk_close_all(node);
    free_arena(node);
    memset(os.doors[node], 0, sizeof os.doors[node]);
}

void os_lose_power(unsigned node)
{
    disk_lose_power(node);
}

void os_set_options(const struct os_options *o)
{
    os.o = *o;
}

void os_begin(struct net *net, uint64_t seed)
{
    bool show = os.show;
    memset(&os, 0, sizeof os);
    os.net = net;
    os.node = OS_NOBODY;
    os.show = show;
    os.o = (struct os_options){.hop_us = 50, .window = 65536};
    chance_seed(&os.chance, seed);
    srandom((unsigned)seed);
    for (unsigned i = 0; i <= OS_NODES_MAX; i++)
        os.arena[i].prev = os.arena[i].next = &os.arena[i];
    disk_begin();
}

void os_end(void)
{
    for (unsigned i = 0; i < OS_NODES_MAX; i++)
        os_kill(i);
    free(os.ends);
    free_arena(OS_NOBODY);
    disk_end();
}
