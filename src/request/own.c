#include "request/own.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "hint/mark.h"
#include <inttypes.h>

#define FILL_BYTES (1024u * 1024) /* of replayed records in one batch; one may have any size */

void own_init(struct own *o, const struct config *c, struct peer *p, const char *dir,
              uv_loop_t *loop)
{
    *o = (struct own){.peer = p, .config = c, .dir = dir, .loop = loop};
    if (!p)
        return;
    o->sent = o->heard = hint_log_acked(p->log).seq;
    o->work.data = o;
    PEER_STORE(p, state, (uint32_t)NODE_DOWN);
    PEER_STORE(p, since_ms, clock_wall_ms());
    if (!dir)
        return;
    o->mark = hint_mark_open(dir);
    if (hint_mark_since(o->mark))
        peer_set_repair(p, hint_mark_since(o->mark), hint_mark_reason(o->mark));
}

void own_fini(struct own *o)
{
    waiters_fini(&o->waiters);
    orders_fini(&o->waits);
    hint_mark_close(o->mark);
}

void own_mark_repair(struct own *o, const char *reason)
{
    struct error e;
    uint64_t now = clock_wall_ms();
    if (!peer_needs_repair(o->peer)) {
        log_warn("this node needs repair: %s", reason);
        peer_set_repair(o->peer, now, reason);
    }
    if (o->mark && !hint_mark_set(o->mark, now, reason, &e))
        log_error("needs-repair mark of this node: %s", e.text);
}

static bool clear_mark(struct own *o, struct error *e)
{
    if (o->mark && !hint_mark_clear(o->mark, e))
        return false;
    if (peer_needs_repair(o->peer))
        log_notice("this node is repaired: its mark is cleared");
    peer_set_repair(o->peer, 0, "");
    return true;
}

static void look_at_waits(struct own *o)
{
    orders_look(&o->waits, o->peer);
    orders_forget(&o->waits, clock_mono_ms());
}

void own_order(struct own *o, struct mail_order *m)
{
    struct error e;
    if (m->order == ORDER_REPAIRED) {
        order_answer(m, clear_mark(o, &e) ? NULL : e.text);
        return;
    }
    m->upto = hint_peer_end(o->peer->hints);
    orders_keep(&o->waits, m);
    look_at_waits(o);
}

/* ---- acknowledging ----------------------------------------------------------------------------
 */

static void acknowledge(struct own *o, uint64_t seq)
{
    o->ack_due = seq > o->ack_due ? seq : o->ack_due;
    if (o->syncing || o->held)
        return;
    hint_peer_ack(o->peer->hints, o->ack_due);
    o->ack_due = 0;
}

void own_hold(struct own *o)
{
    o->held = true;
}

void own_release(struct own *o)
{
    o->held = false;
    if (o->ack_due)
        acknowledge(o, o->ack_due);
}

void own_replied(struct own *o, uint64_t seq, struct slice reply)
{
    if (o->waiters.n)
        waiters_reply(&o->waiters, (uint16_t)o->peer->node, seq, seq, reply);
}

void own_applied(struct own *o, uint64_t seq, bool all)
{
    if (seq > o->heard) {
        o->heard = seq;
        acknowledge(o, seq);
    }
    waiters_settle(&o->waiters, (uint16_t)o->peer->node, o->heard, VERDICT_APPLIED, REFUSAL_NONE);
    if (!all)
        o->sent = o->heard;
}

void own_stands_at(struct own *o, uint64_t seq)
{
    char reason[160];
    snprintf(reason, sizeof reason,
             "its store has gone back in time: it has %" PRIx64 " and had applied %" PRIx64, seq,
             o->heard);
    if (seq < o->heard)
        own_mark_repair(o, reason);
    if (seq > hint_log_appended(o->peer->log).seq)
        hint_log_set_floor(o->peer->log, seq); /* numbers are never used twice */
    o->heard = o->sent = seq;
    acknowledge(o, seq);
}

/* ---- behind ------------------------------------------------------------------------------------
 */

static void drop_log(struct own *o)
{
    uint64_t n = hint_peer_drop(o->peer->hints, hint_log_appended(o->peer->log).seq);
    PEER_ADD(o->peer, rejected[REJECT_DROPPED], n);
    if (n)
        own_mark_repair(o, "its store went down and hinted handoff is off");
}

void own_go_behind(struct own *o)
{
    if (own_is_behind(o))
        return;
    hint_peer_set_hinting(o->peer->hints, true);
    if (!o->config->enable_hinted_handoff)
        drop_log(o);
}

bool own_wait(struct own *o, uint64_t seq, const struct mail_write *m)
{
    if (!o->config->enable_hinted_handoff)
        return false;
    waiters_add(
        &o->waiters,
        &(struct mail_waiter){.seq = seq, .ticket = m->ticket, .worker = m->worker, .hint = true});
    o->sync_wanted = true;
    return true;
}

/* ---- replay ------------------------------------------------------------------------------------
 */

static struct item *add_item(struct batch *b, uint64_t seq)
{
    struct item *it = batch_add(b);
    it->kind = ITEM_OWN;
    it->seq = seq;
    return it;
}

/* As a client's write, but that nobody waits for this mail. A record that isn't a write any more
 * only moves the number. */
static void add_record(struct batch *b, const struct frame *f)
{
    struct item *it = add_item(b, f->seq);
    it->stamp = f->stamp;
    it->tag = f->tag;
    it->order = mail_write_new(0);
    buf_add(&it->order->command, f->payload.ptr, f->payload.len);
    if (resp_command_parse(buf_slice(&it->order->command), &it->cmd) && it->cmd.argc)
        it->spec = command_find(it->cmd.argv[0]);
    if (it->spec && command_undetermined(it->spec, &it->cmd))
        it->spec = NULL;
    else if (!it->spec)
        log_error("a write of %zu bytes in the own log isn't one and is passed over",
                  f->payload.len);
}

static void pass_over(struct own *o, struct batch *b, uint64_t seq)
{
    add_item(b, seq);
    if (seq <= o->expired_upto)
        return;
    o->expired_upto = seq;
    hint_peer_passed(o->peer->hints, 1);
    own_mark_repair(o, "hints for it expired");
}

void own_fill(struct own *o, struct batch *b, size_t room, bool trusted)
{
    struct frame f;
    struct slice bytes;
    size_t taken = 0;
    if (!own_is_behind(o) || o->syncing)
        return;
    uint64_t now = trusted ? clock_steady_ms() : 0;
    while (b->n < room && taken < FILL_BYTES) {
        if (!hint_peer_next(o->peer->hints, o->sent, &f, &bytes)) {
            /* what lies behind is lost, or the step to a new upper half: the store passes it over
             */
            uint64_t end = hint_log_appended(o->peer->log).seq;
            if (o->sent < end)
                add_item(b, o->sent = end);
            hint_peer_set_hinting(o->peer->hints, false);
            return;
        }
        o->sent = f.seq;
        taken += bytes.len;
        if (f.deadline && f.deadline < now)
            pass_over(o, b, f.seq);
        else
            add_record(b, &f);
    }
}

/* ---- on disk -----------------------------------------------------------------------------------
 */

static void on_synced(struct own *o)
{
    bool always = CONFIG_LIVE(o->config, hint_sync) == SYNC_ALWAYS; /* it may have been, before */
    enum verdict v = always ? VERDICT_DURABLE : VERDICT_KEPT;
    enum refusal why = REFUSAL_NONE;
    if (!o->synced.ok) {
        log_limited(1000, LOG_LEVEL_ERROR, "hints: %s", o->synced.error.text);
        own_mark_repair(o, "hints could not be written to disk");
        o->unkept = o->synced.upto;
        v = VERDICT_REFUSED;
        why = REFUSAL_DISK;
    }
    waiters_settle(&o->waiters, (uint16_t)o->peer->node, o->unkept, VERDICT_REFUSED, REFUSAL_DISK);
    waiters_settle(&o->waiters, (uint16_t)o->peer->node, o->synced.upto, v, why);
}

static void sync_in_pool(uv_work_t *work)
{
    struct own *o = work->data;
    o->synced.ok = hint_log_sync_behind(o->peer->log, o->unkept, &o->synced.upto, &o->synced.error);
}

static void on_sync_end(uv_work_t *work, int status)
{
    struct own *o = work->data;
    (void)status;
    o->syncing = false;
    on_synced(o);
    if (o->ack_due)
        acknowledge(o, o->ack_due);
}

static void start_sync(struct own *o)
{
    o->sync_wanted = false;
    o->synced.upto = hint_log_appended(o->peer->log).seq;
    o->syncing = uv_queue_work(o->loop, &o->work, sync_in_pool, on_sync_end) == 0;
}

void own_turn_end(struct own *o)
{
    if (o->waits.n)
        look_at_waits(o);
    bool durable = o->dir && CONFIG_LIVE(o->config, hint_sync) == SYNC_ALWAYS;
    if (o->sync_wanted && !durable) {
        waiters_settle(&o->waiters, (uint16_t)o->peer->node, hint_log_appended(o->peer->log).seq,
                       VERDICT_KEPT, REFUSAL_NONE);
        o->sync_wanted = false;
    }
    if (o->sync_wanted && !o->syncing && own_is_behind(o))
        start_sync(o);
    waiters_flush(&o->waiters);
}

void own_tick(struct own *o, bool serving, bool trusted)
{
    struct error e;
    uint64_t damaged = hint_log_damaged(o->peer->log);
    if (damaged > o->damaged)
        own_mark_repair(o, "records for it were damaged on disk");
    o->damaged = damaged;
    if (o->mark && !hint_mark_keep(o->mark, &e))
        log_limited(60000, LOG_LEVEL_ERROR, "needs-repair mark: %s", e.text);
    if (o->syncing || serving)
        return;
    uint64_t now = trusted ? clock_steady_ms() : 0;
    if (now && hint_peer_expires(o->peer->hints, now, NULL)) /* on disk before they are gone */
        own_mark_repair(o, "hints for it expired");
    if (now && hint_peer_expire(o->peer->hints, now))
        own_mark_repair(o, "hints for it expired");
    if (o->dir && CONFIG_LIVE(o->config, hint_sync) == SYNC_INTERVAL && peer_hints(o->peer).pending)
        start_sync(o);
}
