/* FLUSHALL in Redis, with promise 4: what is newer than it stays, and what is older doesn't come
 * back. The second half is the stamp table's (store/stamps.h). The first: where nothing newer is
 * there, which is nearly always so, it is Redis's own FLUSHALL, and the same transaction puts our
 * numbers and the fence back. Else, as for a hint that comes late, the keys are looked through, and
 * those go whose last overwrite isn't known to be newer. A break on the way does no harm: its
 * number isn't moved before the end, and it is done again. */
#include "core/mem.h"
#include "store/redis.h"
#include "store/redis_script.h"
#include <inttypes.h>
#include <stdio.h>

#define PAGE "1000" /* keys looked at in one step */

static struct stamp stamp_of(const struct store_write *w)
{
    return (struct stamp){.stamp = w->stamp, .tag = w->tag};
}

bool redis_flush_is_due(const struct redis *r, size_t i)
{
    const struct store_write *w = &r->backend.batch->writes[i];
    return !w->skip && backend_is_flush(w) && !r->backend.writes[i].kept &&
           !backend_is_stopped(&r->backend, i) &&
           !stamps_is_flushed_later(r->backend.stamps, stamp_of(w));
}

bool redis_flush_goes_by_key(const struct redis *r, const struct store_write *w)
{
    return r->no_flushall || (!store_is_alone(&r->backend.base) && r->backend.newest >= w->stamp);
}

void redis_flush_note(struct redis *r, const struct store_write *w)
{
    stamps_flush(r->backend.stamps, stamp_of(w));
    touched_write_all(r->backend.touched, r->backend.batches);
}

/* ---- key by key ---------------------------------------------------------------------------------
 */

static void go_on(struct redis *r);

static void end(struct redis *r)
{
    r->walking = false;
    stamps_flush_done(r->backend.stamps);
    backend_settle(&r->backend, r->backend.pos, STORE_APPLIED, slice_str("+OK\r\n"));
    r->backend.writes[r->backend.pos].kept = true; /* only its number is still to be moved */
    redis_tx_advance(r);
}

static void refused(struct redis *r, struct slice error)
{
    r->walking = false;
    redis_tx_refused(r, error);
}

static void on_unlinked(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    if (!reply)
        return; /* the batch is given back */
    if (resp_reply_is_error(*reply))
        refused(r, *reply);
    else if (r->flush_cursor == 0)
        end(r);
    else
        go_on(r);
}

static bool is_victim(const struct redis *r, struct slice key)
{
    size_t n = sizeof STORE_HIDDEN_PREFIX - 1;
    if (key.len >= n && memcmp(key.ptr, STORE_HIDDEN_PREFIX, n) == 0)
        return false;
    return !stamps_outlives(r->backend.stamps, stamps_hash(key),
                            stamp_of(&r->backend.batch->writes[r->backend.pos]));
}

static void unlink_victims(struct redis *r, struct redis_array *keys)
{
    struct resp_command cmd = {.argv = mem_calloc(keys->left + 1, sizeof *cmd.argv), .argc = 1};
    struct slice element, key;
    cmd.argv[0] = slice_str("UNLINK");
    while (redis_array_next(keys, &element))
        if (resp_reply_bulk(element, &key) && is_victim(r, key))
            cmd.argv[cmd.argc++] = key;
    if (cmd.argc > 1) {
        redis_script_add(backend_conn_out(r->conn), r->fence, NULL, &cmd);
        backend_conn_expect(r->conn, 1, on_unlinked, r);
        backend_conn_flush(r->conn);
    } else if (r->flush_cursor == 0) {
        end(r);
    } else {
        go_on(r);
    }
    mem_free(cmd.argv);
}

static void on_page(void *arg, const struct slice *reply)
{
    struct redis *r = arg;
    struct redis_array outer, keys;
    struct slice element, cursor;
    int64_t next;
    if (!reply)
        return;
    if (resp_reply_is_error(*reply))
        refused(r, *reply);
    else if (redis_array_open(*reply, &outer) && redis_array_next(&outer, &element) &&
             resp_reply_bulk(element, &cursor) && slice_to_i64(cursor, &next) && next >= 0 &&
             redis_array_next(&outer, &element) && redis_array_open(element, &keys)) {
        r->flush_cursor = (uint64_t)next;
        unlink_victims(r, &keys);
    } else {
        backend_conn_break(r->conn, "SCAN doesn't answer as Redis's does");
    }
}

static void go_on(struct redis *r)
{
    char cursor[24];
    snprintf(cursor, sizeof cursor, "%" PRIu64, r->flush_cursor);
    const struct slice argv[4] = {slice_str("SCAN"), slice_str(cursor), slice_str("COUNT"),
                                  slice_str(PAGE)};
    resp_add_command(backend_conn_out(r->conn), argv, 4);
    backend_conn_expect(r->conn, 1, on_page, r);
    backend_conn_flush(r->conn);
}

/* ---- all at once --------------------------------------------------------------------------------
 */

/* Without another wish of the client's Redis frees the memory in the background: else a large one
 * would seem to hang. */
static void send_whole(struct redis *r, const struct resp_command *cmd)
{
    struct slice argv[2] = {cmd->argv[0], slice_str("ASYNC")};
    if (cmd->argc > 1)
        argv[1] = cmd->argv[1];
    redis_tx_send_alone(r, &(struct resp_command){.argv = argv, .argc = 2});
}

void redis_flush_send(struct redis *r)
{
    const struct store_write *w = &r->backend.batch->writes[r->backend.pos];
    bool by_key = redis_flush_goes_by_key(r, w);
    redis_flush_note(r, w);
    r->flush_cursor = 0;
    r->walking = by_key;
    if (by_key)
        go_on(r);
    else
        send_whole(r, w->cmd);
}
