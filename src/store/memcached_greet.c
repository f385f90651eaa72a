/* What the writing side of the memcached store asks on each new connection:
 *
 *     version              is it new enough?
 *     mn                   does it know meta commands?
 *     stats settings       how large may a value be?
 *     stats                which one is it: has it started anew?
 *     stats conns          is the connection before this one closed? until it is
 *
 * The last one because bytes of an old connection may reach memcached after a new one has begun to
 * do their work again: they lie in a socket buffer, also of a process that was killed, and
 * memcached has threads. So where writes were left on their way, nothing is sent before the old
 * connection is gone; over a unix socket, of which memcached doesn't say who its ends are, not for
 * QUIET_MS. */
#include "core/clock.h"
#include "core/log.h"
#include "store/memcached.h"
#include <inttypes.h>
#include <stdio.h>

#define LOOK_MS     20
#define QUIET_MS    250  /* a socket buffer's commands take it some milliseconds */
#define WAIT_MAX_MS 5000 /* what is open for longer is half a connection: its other end is gone */

/* Neither 0 nor that of another node or start, but by one chance in 65,535. */
static void set_mark(struct memcached *m, struct memcached_start start)
{
    char text[128];
    snprintf(text, sizeof text, "%s %" PRIu64 " %" PRIu64, m->backend.self_id, start.pid,
             start.started);
    uint32_t mark = (uint32_t)(stamps_hash(slice_str(text)) % UINT16_MAX) + 1;
    __atomic_store_n(&m->mark, mark, __ATOMIC_RELEASE);
}

/* Is it the one that was here before? */
static bool compare_start(struct memcached *m, struct memcached_start now)
{
    struct memcached_start was = memcached_numbers_start(&m->numbers);
    set_mark(m, now);
    if (was.pid == now.pid && was.started == now.started)
        return true;
    memcached_numbers_set_start(&m->numbers, now);
    if (was.pid == 0)
        return false;
    STORE_COUNT(m->backend.base.stats.emptied, 1);
    log_warn("the backend has started anew and is empty: what this node had is gone");
    return false;
}

static void unfit(struct memcached *m, const char *what, struct slice reply)
{
    char text[256];
    struct slice line = memcached_line(reply);
    snprintf(text, sizeof text, "%s%.*s", what, (int)(line.len < 200 ? line.len : 200),
             (const char *)line.ptr);
    backend_conn_break(m->conn, text);
}

static void show_figures(struct memcached *m, struct slice reply)
{
    struct slice text;
    uint64_t n;
    if (memcached_stat(reply, "curr_items", &text) && memcached_number(text, &n))
        STORE_SHOW(m->backend.base.stats.keys, n);
    if (memcached_stat(reply, "bytes", &text) && memcached_number(text, &n))
        STORE_SHOW(m->backend.base.stats.bytes, n);
}

/* ---- what an old connection may still do ------------------------------------------------------
 */

static void look_for_old(struct memcached *m);

static void end_wait(struct memcached *m)
{
    struct address self;
    bool named = backend_conn_local(m->conn, &self);
    memcached_numbers_set_connection(&m->numbers, named ? &self : NULL);
    memcached_go_up(m);
}

static void on_again(uv_timer_t *t)
{
    struct memcached *m = t->data;
    struct address old;
    if (memcached_numbers_connection(&m->numbers, &old))
        look_for_old(m);
    else
        end_wait(m);
}

static void on_connections(void *arg, const struct slice *reply)
{
    struct memcached *m = arg;
    struct address old;
    if (!reply)
        return;
    bool there = memcached_numbers_connection(&m->numbers, &old) &&
                 memcached_names_peer(*reply, old.host, old.port);
    if (!there)
        end_wait(m);
    else if (clock_mono_ms() < m->wait_until_ms)
        uv_timer_start(&m->again, on_again, LOOK_MS, 0);
    else
        end_wait(m);
}

static void look_for_old(struct memcached *m)
{
    buf_add_str(backend_conn_out(m->conn), "stats conns\r\n");
    backend_conn_expect(m->conn, 1, on_connections, m);
    backend_conn_flush(m->conn);
}

/* An earlier connection may have left writes on their way. Where it has a name, memcached says when
 * it is closed. */
static void wait_for_old(struct memcached *m, bool same_start)
{
    struct address old;
    m->wait_until_ms = clock_mono_ms() + WAIT_MAX_MS;
    if (!same_start || !memcached_numbers_in_flight(&m->numbers))
        end_wait(m);
    else if (memcached_numbers_connection(&m->numbers, &old))
        look_for_old(m);
    else
        uv_timer_start(&m->again, on_again, QUIET_MS, 0);
}

/* ---- the questions --------------------------------------------------------------------------- */

static void on_figures(void *arg, const struct slice *reply)
{
    if (reply)
        show_figures(arg, *reply);
}

void memcached_ask_figures(struct memcached *m)
{
    buf_add_str(backend_conn_out(m->conn), "stats\r\n");
    backend_conn_expect(m->conn, 1, on_figures, m);
    backend_conn_flush(m->conn);
}

static void on_stats(void *arg, const struct slice *reply)
{
    struct memcached *m = arg;
    struct memcached_start start;
    struct slice pid, time, uptime;
    uint64_t now, age;
    if (!reply)
        return;
    if (!memcached_stat(*reply, "pid", &pid) || !memcached_number(pid, &start.pid) ||
        !memcached_stat(*reply, "time", &time) || !memcached_number(time, &now) ||
        !memcached_stat(*reply, "uptime", &uptime) || !memcached_number(uptime, &age)) {
        unfit(m, "its stats don't say when it started: ", *reply);
        return;
    }
    start.started = now - age;
    show_figures(m, *reply);
    wait_for_old(m, compare_start(m, start));
}

static void on_settings(void *arg, const struct slice *reply)
{
    struct memcached *m = arg;
    struct slice max;
    uint64_t n;
    if (reply && memcached_stat(*reply, "item_size_max", &max) && memcached_number(max, &n))
        __atomic_store_n(&m->value_max, n, __ATOMIC_RELEASE);
}

static void on_noop(void *arg, const struct slice *reply)
{
    if (reply && !slice_eq(*reply, slice_str("MN\r\n")))
        unfit(arg, "it doesn't know meta commands: ", *reply);
}

static void on_version(void *arg, const struct slice *reply)
{
    struct memcached *m = arg;
    struct error e;
    if (reply && memcached_too_old(*reply, &e))
        backend_conn_break(m->conn, e.text);
    else if (reply && memcached_is_error(*reply))
        unfit(m, "", *reply);
}

void memcached_greet(void *owner)
{
    struct memcached *m = owner;
    static const struct {
        const char *text;
        backend_reply_fn *fn;
    } questions[] = {{"version\r\n", on_version},
                     {"mn\r\n", on_noop},
                     {"stats settings\r\n", on_settings},
                     {"stats\r\n", on_stats}};
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        buf_add_str(backend_conn_out(m->conn), questions[i].text);
        backend_conn_expect(m->conn, 1, questions[i].fn, m);
    }
    backend_conn_flush(m->conn);
}
