/* The store that is a memcached: opening it, and the ups and downs of its writing side, which is
 * one connection. What it asks on each new one:
 *
 *     mn                   does it know meta commands?
 *     stats settings       how large may a value be?
 *     stats                which one is it: has it started anew?
 */
#include "store/memcached.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <stdio.h>
#include <string.h>

#define VERSION_MAJOR 1
#define VERSION_MINOR 6

#define FIGURES_MS 10000

#define VALUE_MAX_DEFAULT (1024u * 1024) /* of memcached, unless it is told another */

/* ---- how it is spoken to -------------------------------------------------------------------- */

static void add_ping(struct buf *out)
{
    buf_add_str(out, "mn\r\n");
}

static bool add_greeting(const struct backend_address *to, struct buf *out)
{
    (void)to; /* it has no password that a client could say */
    (void)out;
    return false;
}

static void add_version_question(struct buf *out)
{
    buf_add_str(out, "version\r\n");
}

/* VERSION 1.6.18 */
bool memcached_too_old(struct slice reply, struct error *e)
{
    unsigned major, minor;
    char text[64];
    struct slice line = memcached_line(reply);
    snprintf(text, sizeof text, "%.*s", (int)line.len, (const char *)line.ptr);
    if (sscanf(text, "VERSION %u.%u", &major, &minor) != 2 || major > VERSION_MAJOR ||
        (major == VERSION_MAJOR && minor >= VERSION_MINOR))
        return false;
    return !error_set(e, "its version is %s; allowed: %u.%u or newer", text + sizeof "VERSION",
                      VERSION_MAJOR, VERSION_MINOR);
}

const struct backend_protocol memcached_protocol = {.name = "memcached",
                                                    .scan = memcached_scan,
                                                    .is_error = memcached_is_error,
                                                    .error_text = memcached_line,
                                                    .add_ping = add_ping,
                                                    .add_greeting = add_greeting,
                                                    .add_version_question = add_version_question,
                                                    .too_old = memcached_too_old};

/* ---- up ------------------------------------------------------------------------------------- */

static bool by_number(void *arg, const struct stamp_intent *in)
{
    struct memcached *m = arg;
    return in->seq <= memcached_numbers_by_hash(&m->numbers, in->source);
}

void memcached_go_up(struct memcached *m)
{
    m->up = true;
    m->said[0] = 0;
    backend_conn_settled(m->conn);
    stamps_settle(m->backend.stamps, by_number, m);
    backend_stamps_settled(&m->backend);
    store_set_up(&m->backend.base);
    m->events.up(m->events.arg);
}

/* ---- down ----------------------------------------------------------------------------------- */

static void on_lost(void *owner, const char *reason)
{
    struct memcached *m = owner;
    bool was_up = m->up;
    m->up = false;
    uv_timer_stop(&m->again);
    STORE_COUNT(m->backend.base.stats.errors, 1);
    if (!was_up && strcmp(m->said, reason) != 0)
        log_warn("the backend can't be used: %s", reason); /* else the writer says it */
    snprintf(m->said, sizeof m->said, "%s", reason);
    store_set_down(&m->backend.base, reason);
    m->events.down(m->events.arg, reason);
    memcached_give_back(m);
}

/* ---- the writing side ----------------------------------------------------------------------- */

static void writer_start(struct store *s, uv_loop_t *loop, const struct store_events *events)
{
    static const struct backend_conn_ops ops = {.ready = memcached_greet, .lost = on_lost};
    struct memcached *m = memcached_of(s);
    char mends[MEMCACHED_ID_MAX + 1];
    m->events = *events;
    memcached_numbers_name(&m->numbers, 0, m->backend.self_id);
    snprintf(mends, sizeof mends, "%.*s/mends", (int)(sizeof mends - sizeof "/mends"),
             m->backend.self_id);
    (void)memcached_numbers_name(&m->numbers, STORE_SOURCE_MENDS, mends);
    m->mends = memcached_numbers_of(&m->numbers, STORE_SOURCE_MENDS)->given;
    uv_timer_init(loop, &m->again);
    m->again.data = m;
    m->conn = backend_conn_new(loop, &memcached_protocol, &m->backend.address, &ops, m);
}

static void writer_stop(struct store *s)
{
    backend_conn_free(memcached_of(s)->conn);
    uv_close((uv_handle_t *)&memcached_of(s)->again, NULL);
}

/* Some times a second: now and then, how full it is. */
static void forget_below(struct store *s, uint64_t stamp)
{
    struct memcached *m = memcached_of(s);
    uint64_t now = clock_mono_ms();
    backend_forget_below(s, stamp);
    if (m->up && now - m->asked_ms >= FIGURES_MS) {
        m->asked_ms = now;
        memcached_ask_figures(m);
    }
}

static uint64_t last(struct store *s, unsigned source, const char *node_id)
{
    return memcached_numbers_name(&memcached_of(s)->numbers, source, node_id);
}

static uint64_t value_max(const struct store *s)
{
    uint64_t told =
        __atomic_load_n(&((const struct memcached *)(const void *)s)->value_max, __ATOMIC_ACQUIRE);
    return told ? told : VALUE_MAX_DEFAULT;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void close_memcached(struct store *s)
{
    struct memcached *m = memcached_of(s);
    memcached_numbers_close(&m->numbers);
    backend_fini(&m->backend);
    buf_fini(&m->reply);
    mem_free(m->sent);
    mem_free(m);
}

static const struct store_ops memcached_ops = {.close = close_memcached,
                                               .writer_start = writer_start,
                                               .writer_stop = writer_stop,
                                               .last = last,
                                               .apply = memcached_apply,
                                               .forget_below = forget_below,
                                               .note_overwrite = backend_note_overwrite,
                                               .reader_new = memcached_reader_new,
                                               .reader_free = memcached_reader_free,
                                               .read = memcached_read,
                                               .inspect = memcached_inspect,
                                               .copy = memcached_copy,
                                               .gets_company = backend_gets_company,
                                               .value_max = value_max};

struct store *store_open_memcached(const struct store_options *o, struct error *e)
{
    struct memcached *m = MEM_NEW(struct memcached);
    char *path = mem_printf("%s/numbers", o->data_dir);
    bool ok = backend_init(&m->backend, &memcached_ops, &memcached_protocol, o, e) &&
              memcached_numbers_open(&m->numbers, path, e);
    mem_free(path);
    if (ok)
        return &m->backend.base;
    close_memcached(&m->backend.base);
    return NULL;
}
