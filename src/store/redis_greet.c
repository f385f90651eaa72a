/* What the writing side of the Redis store asks and says on each new connection:
 *
 *     INFO                     may it be our backend?
 *     HGET fence               who was here last
 *     MULTI HSET fence EXEC    older connections can't write from here on, this one can
 *     or a script              where Redis is full: own clients may still read and delete
 *     WATCH, HGETALL           the numbers
 *
 * Whatever is refused breaks the connection, with Redis's reason; the next attempt asks again. So a
 * Redis that is read-only, or can't save, or lacks its replicas keeps the store down until it is
 * healed. */
#include "core/clock.h"
#include "core/log.h"
#include "store/redis.h"
#include "store/redis_script.h"
#include <inttypes.h>

/* `what` and the text of an error reply. */
static void refuse(struct redis *r, const char *what, struct slice reply)
{
    char text[256];
    struct slice t = redis_text(reply);
    snprintf(text, sizeof text, "%s%.*s", what, (int)t.len, (const char *)t.ptr);
    backend_conn_break(r->conn, text);
}

static void on_numbers(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return;
    if (redis_numbers_load(&r->numbers, *reply))
        redis_go_up(r);
    else
        backend_conn_break(r->conn, "its key " REDIS_NUMBERS_KEY " isn't what this server wrote");
}

static void on_watch(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (reply && resp_reply_is_error(*reply))
        refuse(r, "WATCH is refused: ", *reply);
}

static void ask_numbers(struct redis *r)
{
    struct slice key = slice_str(REDIS_NUMBERS_KEY);
    redis_add_pair(r->conn, "WATCH", key);
    backend_conn_expect(r->conn, 1, on_watch, r);
    redis_add_pair(r->conn, "HGETALL", key);
    backend_conn_expect(r->conn, 1, on_numbers, r);
    backend_conn_flush(r->conn);
}

static void on_script(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return;
    if (!resp_reply_is_error(*reply))
        ask_numbers(r);
    else if (redis_fault_of(redis_text(*reply)) == REDIS_FAULT_STATE)
        refuse(r, "", *reply);
    else
        refuse(r, "it is full, and EVAL is refused: ", *reply);
}

/* MULTI, HSET, EXEC */
static void on_fence(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return;
    if (resp_reply_is_error(*reply) && !r->trouble[0]) {
        struct slice t = redis_text(*reply);
        snprintf(r->trouble, sizeof r->trouble, "%.*s", (int)t.len, (const char *)t.ptr);
    }
    if (++r->got < 3)
        return;
    if (!r->trouble[0]) {
        ask_numbers(r);
    } else if (redis_fault_of(slice_str(r->trouble)) == REDIS_FAULT_FULL) {
        log_limited(60000, LOG_LEVEL_WARN, "the backend is full: %s", r->trouble);
        redis_script_add_fence(backend_conn_out(r->conn), r->fence);
        backend_conn_expect(r->conn, 1, on_script, r);
        backend_conn_flush(r->conn);
    } else {
        backend_conn_break(r->conn, r->trouble);
    }
}

/* "<node id> <unique>": another node's name in it is worth a word. */
static void on_last_fence(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    struct slice was;
    if (!reply || !resp_reply_bulk(*reply, &was))
        return;
    const uint8_t *blank = was.len ? memchr(was.ptr, ' ', was.len) : NULL;
    struct slice id = slice_of(was.ptr, blank ? (size_t)(blank - was.ptr) : was.len);
    if (!slice_eq(id, slice_str(r->backend.self_id)))
        log_limited(10000, LOG_LEVEL_WARN,
                    "the backend was last used by node %.*s; each node needs one of its own",
                    (int)id.len, (const char *)id.ptr);
}

static void put_up_fence(struct redis *r)
{
    struct slice key = slice_str(REDIS_NUMBERS_KEY), field = slice_str(REDIS_FENCE_FIELD);
    struct buf *out = backend_conn_out(r->conn);
    snprintf(r->fence, sizeof r->fence, "%.64s %" PRIx64 ".%" PRIx64, r->backend.self_id,
             clock_wall_ms() * 1000 + clock_mono_us() % 1000, ++r->greetings);
    resp_add_command(out, (struct slice[]){slice_str("HGET"), key, field}, 3);
    backend_conn_expect(r->conn, 1, on_last_fence, r);
    r->got = 0;
    r->trouble[0] = 0;
    redis_add_word(r->conn, "MULTI");
    resp_add_command(out, (struct slice[]){slice_str("HSET"), key, field, slice_str(r->fence)}, 4);
    redis_add_word(r->conn, "EXEC");
    backend_conn_expect(r->conn, 3, on_fence, r);
    backend_conn_flush(r->conn);
}

static void on_info(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    struct error e;
    struct slice info;
    if (!reply)
        return;
    if (resp_reply_is_error(*reply)) {
        refuse(r, "", *reply);
        return;
    }
    if (!resp_reply_bulk(*reply, &info)) {
        backend_conn_break(r->conn, "INFO gives no answer");
        return;
    }
    if (!redis_info_ok(info, &e)) {
        backend_conn_break(r->conn, e.text);
        return;
    }
    if (redis_info_evicts(info))
        log_limited(
            60000, LOG_LEVEL_WARN,
            "the backend's maxmemory-policy may evict this server's own keys; noeviction is "
            "safe");
    put_up_fence(r);
}

void redis_greet(struct redis *r)
{
    redis_add_word(r->conn, "INFO");
    backend_conn_expect(r->conn, 1, on_info, r);
    backend_conn_flush(r->conn);
}
