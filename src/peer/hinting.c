#include "peer/hinting.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "peer/orphans.h"
#include <inttypes.h>
#include <string.h>

const char *hinting_address(const struct hinting *h, char out[300])
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*h->topology);
    bool named = h->peer->node < t->n; /* else it is about to be */
    snprintf(out, 300, "%s", named ? t->nodes[h->peer->node].address : h->peer->log_name);
    rcu_read_end();
    return out;
}

static uint16_t node_of(const struct hinting *h)
{
    return (uint16_t)h->peer->node;
}

/* ---- needs repair ------------------------------------------------------------------------------
 */

void hinting_needs_repair(struct hinting *h, const char *reason)
{
    char address[300];
    struct error e;
    uint64_t now = clock_wall_ms();
    if (!h->peer->repair) {
        log_warn("peer %s needs repair: %s", hinting_address(h, address), reason);
        peer_set_repair(h->peer, now, reason);
    }
    if (h->mark && !hint_mark_set(h->mark, now, reason, &e))
        log_error("needs-repair mark of peer %s: %s", hinting_address(h, address), e.text);
}

bool hinting_repaired(struct hinting *h, struct error *e)
{
    char address[300];
    if (h->mark && !hint_mark_clear(h->mark, e))
        return false;
    if (h->peer->repair)
        log_notice("peer %s is repaired: its mark is cleared", hinting_address(h, address));
    peer_set_repair(h->peer, 0, "");
    return true;
}

static void load_mark(struct hinting *h)
{
    h->mark = hint_mark_open(h->dir);
    if (hint_mark_since(h->mark))
        peer_set_repair(h->peer, hint_mark_since(h->mark), hint_mark_reason(h->mark));
    PEER_STORE(h->peer, closed, hint_mark_is_closed(h->mark));
}

bool hinting_rename(struct hinting *h, const char *id, struct error *e)
{
    char *slash = h->dir ? strrchr(h->dir, '/') : NULL;
    char *dir = slash ? mem_printf("%.*s/%s", (int)(slash - h->dir), h->dir, id) : NULL;
    bool same = dir && strcmp(h->dir, dir) == 0;
    if (dir && !same && !hint_log_exists(dir)) { /* what an orphan of that id has left */
        orphan_unlink_files(dir);
        hint_mark_remove(dir);
    }
    bool ok = same || hint_peer_rename(h->peer->hints, id, e);
    if (!ok || !dir) {
        mem_free(dir);
        return ok;
    }
    hint_mark_move(h->mark, dir);
    mem_free(h->dir);
    h->dir = dir;
    return true;
}

/* ---- on disk, then the verdicts ----------------------------------------------------------------
 */

static enum verdict hint_verdict(const struct hinting *h)
{
    bool durable = h->dir && CONFIG_LIVE(h->config, hint_sync) == SYNC_ALWAYS;
    return durable ? VERDICT_DURABLE : VERDICT_KEPT;
}

static void settle(struct hinting *h, bool hints_only, uint64_t upto, enum verdict v,
                   enum refusal why)
{
    if (hints_only)
        waiters_settle_hints(h->waiters, node_of(h), upto, v, why);
    else
        waiters_settle(h->waiters, node_of(h), upto, v, why);
}

/* Everything appended is a hint now: on disk, then the verdicts. */
static void sync_hints(struct hinting *h, bool hints_only)
{
    struct error e;
    uint64_t synced = hint_log_appended(h->peer->log).seq;
    enum verdict v = hint_verdict(h);
    enum refusal why = REFUSAL_NONE;
    if (v == VERDICT_DURABLE && !hint_log_sync_behind(h->peer->log, h->unkept, &synced, &e)) {
        h->unkept = synced;
        log_limited(1000, LOG_LEVEL_ERROR, "hints: %s", e.text);
        hinting_needs_repair(h, "hints could not be written to disk");
        v = VERDICT_REFUSED;
        why = REFUSAL_DISK;
    }
    /* who began to wait after that was found out */
    settle(h, hints_only, h->unkept, VERDICT_REFUSED, REFUSAL_DISK);
    settle(h, hints_only, synced, v, why);
}

bool hinting_sync(struct hinting *h, struct error *e)
{
    uint64_t synced;
    if (hint_verdict(h) != VERDICT_DURABLE || hint_log_sync(h->peer->log, &synced, e))
        return true;
    hinting_needs_repair(h, "hints could not be written to disk");
    return false;
}

static void drop_log(struct hinting *h)
{
    uint64_t end = hint_log_appended(h->peer->log).seq;
    waiters_settle(h->waiters, node_of(h), end, VERDICT_REFUSED, REFUSAL_DISABLED);
    uint64_t n = hint_peer_drop(h->peer->hints, end);
    PEER_ADD(h->peer, rejected[REJECT_DROPPED], n);
    if (n)
        hinting_needs_repair(h, "it went down and hinted handoff is off");
}

/* All that is appended counts as hints now, or is dropped where none are kept. */
static void make_hints(struct hinting *h)
{
    if (h->config->enable_hinted_handoff)
        sync_hints(h, false);
    else
        drop_log(h);
}

void hinting_appended(struct hinting *h, bool hints)
{
    /* others of a peer that is up wait for its acknowledgement, not for the disk */
    h->sync_wanted |= hints || peer_hinting(h->peer);
}

void hinting_turn_end(struct hinting *h)
{
    if (!h->sync_wanted)
        return;
    h->sync_wanted = false;
    if (peer_hinting(h->peer))
        make_hints(h);
    else
        sync_hints(h, true);
}

void hinting_flush(struct hinting *h)
{
    struct error e;
    uint64_t synced;
    if (!h->dir || CONFIG_LIVE(h->config, hint_sync) != SYNC_INTERVAL ||
        !peer_hints(h->peer).pending || hint_log_sync(h->peer->log, &synced, &e))
        return;
    log_limited(1000, LOG_LEVEL_ERROR, "hints: %s", e.text);
    hinting_needs_repair(h, "hints could not be written to disk");
}

/* ---- what counts as a hint ---------------------------------------------------------------------
 */

uint64_t hinting_end(const struct hinting *h)
{
    return peer_hinting(h->peer) ? h->delivery->upto : hint_peer_end(h->peer->hints);
}

bool hinting_was_away(const struct hinting *h)
{
    return hint_peer_was_away(h->peer->hints);
}

static void start_hinting(struct hinting *h)
{
    hint_peer_set_hinting(h->peer->hints, true);
    make_hints(h);
}

static void close_window(struct hinting *h)
{
    char address[300];
    struct error e;
    if (PEER_LOAD(h->peer, closed))
        return;
    PEER_STORE(h->peer, closed, 1);
    log_warn("peer %s has been down for longer than its hints live: nothing more is stored for it "
             "until it is back",
             hinting_address(h, address));
    if (h->mark && !hint_mark_close_window(h->mark, true, &e))
        log_error("window of peer %s: %s", hinting_address(h, address), e.text);
}

static void open_window(struct hinting *h)
{
    char address[300];
    struct error e;
    if (!PEER_LOAD(h->peer, closed))
        return;
    log_notice("peer %s is back: writes are stored for it again", hinting_address(h, address));
    if (h->mark && !hint_mark_close_window(h->mark, false, &e))
        log_error("window of peer %s: %s", hinting_address(h, address), e.text);
    PEER_STORE(h->peer, closed, 0);
}

void hinting_follow(struct hinting *h, enum node_state state, bool up)
{
    bool hinting = h->config->enable_hinted_handoff
                       ? state != NODE_NORMAL || PEER_LOAD(h->peer, paused) || h->held
                       : state == NODE_DOWN;
    if (up)
        open_window(h);
    if (hinting && !peer_hinting(h->peer))
        start_hinting(h);
    else if (!hinting)
        hint_peer_set_hinting(h->peer->hints, false);
}

/* ---- delivered, expired, truncated -------------------------------------------------------------
 */

void hinting_acked(struct hinting *h, uint64_t seq)
{
    waiters_settle(h->waiters, node_of(h), seq, VERDICT_APPLIED, REFUSAL_NONE);
}

void hinting_expired(struct hinting *h, uint64_t records)
{
    if (records)
        hinting_needs_repair(h, "hints for it expired");
}

/* The mark is on disk before they are gone. */
static void mark_cut(struct hinting *h)
{
    struct frame f;
    struct slice bytes;
    char reason[100], count[32] = "";
    uint64_t after = hint_log_acked(h->peer->log).seq;
    if (!hint_peer_next(h->peer->hints, after, &f, &bytes) || f.seq > h->cut.upto)
        return;
    if (h->cut.upto == hint_peer_end(h->peer->hints)) /* else some come after */
        snprintf(count, sizeof count, "%" PRIu64 " ", peer_hints(h->peer).pending);
    snprintf(reason, sizeof reason, "%shints for it were truncated", count);
    hinting_needs_repair(h, reason);
}

static void finish_cut(struct hinting *h)
{
    uint64_t before = hint_log_acked(h->peer->log).bytes;
    mark_cut(h);
    waiters_settle(h->waiters, node_of(h), h->cut.upto, VERDICT_REFUSED, REFUSAL_TRUNCATED);
    h->cut_records = delivery_drop(h->delivery, h->cut.upto);
    h->cut_bytes = hint_log_acked(h->peer->log).bytes - before;
    h->cut.open = false;
}

bool hinting_truncate(struct hinting *h, bool up)
{
    uint64_t acked = hint_log_acked(h->peer->log).seq, upto = hinting_end(h);
    if (upto > h->delivery->upto) /* who waits for the rest isn't known yet */
        upto = h->delivery->upto;
    h->cut_records = h->cut_bytes = 0;
    if (!h->cut.open && upto <= acked)
        return true;
    /* those that have their verdict keep it */
    sync_hints(h, !peer_hinting(h->peer));
    uint64_t out = delivery_cut(h->delivery, upto);
    if (!h->cut.open)
        h->cut.from = out;
    h->cut.upto = upto;
    h->cut.open = up && h->cut.from > acked;
    if (!h->cut.open)
        finish_cut(h);
    return !h->cut.open;
}

bool hinting_before_ack(struct hinting *h, uint64_t seq)
{
    if (!h->cut.open || seq < h->cut.from)
        return false;
    delivery_acked(h->delivery, h->cut.from);
    hinting_acked(h, h->cut.from);
    finish_cut(h);
    return true;
}

bool hinting_lost(struct hinting *h)
{
    if (!h->cut.open)
        return false;
    finish_cut(h);
    return true;
}

/* ---- now and then ------------------------------------------------------------------------------
 */

static void check_damage(struct hinting *h)
{
    uint64_t damaged = hint_log_damaged(h->peer->log);
    if (damaged > h->damaged)
        hinting_needs_repair(h, "records for it were damaged on disk");
    h->damaged = damaged;
}

void hinting_sweep(struct hinting *h, bool idle, bool up)
{
    struct error e;
    check_damage(h);
    if (h->mark && !hint_mark_keep(h->mark, &e))
        log_limited(60000, LOG_LEVEL_ERROR, "needs-repair mark: %s", e.text);
    if (!idle || h->cut.open || !__atomic_load_n(h->clock_trusted, __ATOMIC_RELAXED))
        return; /* a peer that is up gets its hints; the delivery passes over what expired */
    uint64_t now = clock_steady_ms();
    bool oldest = false;
    if (hint_peer_expires(h->peer->hints, now, &oldest)) /* on disk before they are gone */
        hinting_needs_repair(h, "hints for it expired");
    if (oldest && !up)
        close_window(h);
    if (!hint_peer_expire(h->peer->hints, now))
        return;
    delivery_forget_passed(h->delivery);
    hinting_needs_repair(h, "hints for it expired");
}

/* ---- life --------------------------------------------------------------------------------------
 */

void hinting_init(struct hinting *h, const char *dir)
{
    if (!dir)
        return;
    h->dir = mem_strdup(dir);
    load_mark(h);
}

void hinting_fini(struct hinting *h)
{
    hint_mark_close(h->mark);
    mem_free(h->dir);
}
