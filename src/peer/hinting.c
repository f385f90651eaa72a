#include "peer/hinting.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <inttypes.h>
#include <string.h>

const char *hinting_address(const struct hinting *h, char out[300])
{
    rcu_read_begin();
    const struct topology *t = RCU_GET(*h->topology);
    snprintf(out, 300, "%s", t->nodes[h->peer->node].address);
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

/* ---- on disk, then the verdicts ----------------------------------------------------------------
 */

static enum verdict hint_verdict(const struct hinting *h)
{
    bool durable = h->dir && CONFIG_LIVE(h->config, hint_sync) == SYNC_ALWAYS;
    return durable ? VERDICT_DURABLE : VERDICT_KEPT;
}

/* Everything appended is a hint now: on disk, then the verdicts. */
static void sync_hints(struct hinting *h, bool hints_only)
{
    struct error e;
    uint64_t synced = hint_log_appended(h->peer->log).seq;
    enum verdict v = hint_verdict(h);
    enum refusal why = REFUSAL_NONE;
    if (v == VERDICT_DURABLE && !hint_log_sync(h->peer->log, &synced, &e)) {
        log_limited(1000, LOG_LEVEL_ERROR, "hints: %s", e.text);
        hinting_needs_repair(h, "hints could not be written to disk");
        v = VERDICT_REFUSED;
        why = REFUSAL_DISK;
    }
    if (hints_only)
        waiters_settle_hints(h->waiters, node_of(h), synced, v, why);
    else
        waiters_settle(h->waiters, node_of(h), synced, v, why);
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
    struct hint_position acked = hint_log_acked(h->peer->log);
    struct hint_position end = hint_log_appended(h->peer->log);
    waiters_settle(h->waiters, node_of(h), end.seq, VERDICT_REFUSED, REFUSAL_DISABLED);
    if (end.records == acked.records)
        return;
    PEER_ADD(h->peer, rejected[REJECT_DROPPED], end.records - acked.records);
    hint_log_ack(h->peer->log, end.seq);
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
    h->sync_wanted |= hints || PEER_LOAD(h->peer, hinting);
}

void hinting_turn_end(struct hinting *h)
{
    if (!h->sync_wanted)
        return;
    h->sync_wanted = false;
    if (PEER_LOAD(h->peer, hinting))
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

/* Up to where, in records and bytes, while the peer isn't hinting. */
static struct hint_position hinted(const struct hinting *h)
{
    const struct peer *p = h->peer;
    struct hint_position at = {.seq = PEER_LOAD(p, hinted_seq),
                               .records = PEER_LOAD(p, hinted_records),
                               .bytes = PEER_LOAD(p, hinted_bytes)};
    if (PEER_LOAD(p, late_records) > at.records)
        at = (struct hint_position){.seq = PEER_LOAD(p, late_seq),
                                    .records = PEER_LOAD(p, late_records),
                                    .bytes = PEER_LOAD(p, late_bytes)};
    return at;
}

uint64_t hinting_end(const struct hinting *h)
{
    return PEER_LOAD(h->peer, hinting) ? h->delivery->upto : hinted(h).seq;
}

bool hinting_was_away(const struct hinting *h)
{
    return PEER_LOAD(h->peer, hinting) ||
           PEER_LOAD(h->peer, hinted_records) > hint_log_acked(h->peer->log).records;
}

static void start_hinting(struct hinting *h)
{
    struct hint_position acked = hint_log_acked(h->peer->log), before = hinted(h);
    __atomic_store_n(&h->peer->hinting, 1, __ATOMIC_SEQ_CST);
    if (h->config->enable_hinted_handoff) {
        struct hint_position end = hint_log_appended(h->peer->log);
        uint64_t from = before.records > acked.records ? before.records : acked.records;
        PEER_ADD(h->peer, converted, end.records > from ? end.records - from : 0);
    }
    make_hints(h);
}

static void end_hinting(struct hinting *h)
{
    struct hint_position end = hint_log_appended(h->peer->log);
    PEER_STORE(h->peer, hinted_seq, end.seq);
    PEER_STORE(h->peer, hinted_records, end.records);
    PEER_STORE(h->peer, hinted_bytes, end.bytes);
    __atomic_store_n(&h->peer->hinting, 0, __ATOMIC_SEQ_CST);
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
    if (hinting && !PEER_LOAD(h->peer, hinting))
        start_hinting(h);
    else if (!hinting && PEER_LOAD(h->peer, hinting))
        end_hinting(h);
}

/* ---- delivered, expired, truncated -------------------------------------------------------------
 */

static void count_delivered(struct hinting *h, struct hint_position before)
{
    struct hint_position after = hint_log_acked(h->peer->log), upto = after;
    if (!PEER_LOAD(h->peer, hinting) && hinted(h).records < after.records)
        upto = hinted(h);
    uint64_t expired = delivery_passed(h->delivery, after.seq);
    uint64_t gone = upto.records > before.records ? upto.records - before.records : 0;
    if (gone > expired)
        PEER_ADD(h->peer, delivered, gone - expired);
}

void hinting_acked(struct hinting *h, uint64_t seq, struct hint_position before)
{
    count_delivered(h, before);
    waiters_settle(h->waiters, node_of(h), seq, VERDICT_APPLIED, REFUSAL_NONE);
}

void hinting_expired(struct hinting *h, uint64_t records)
{
    if (!records)
        return;
    PEER_ADD(h->peer, expired, records);
    hinting_needs_repair(h, "hints for it expired");
}

static void finish_cut(struct hinting *h)
{
    struct hint_position before = hint_log_acked(h->peer->log);
    char reason[100];
    waiters_settle(h->waiters, node_of(h), h->cut.upto, VERDICT_REFUSED, REFUSAL_TRUNCATED);
    hint_log_ack(h->peer->log, h->cut.upto);
    uint64_t expired = delivery_passed(h->delivery, h->cut.upto);
    struct hint_position after = hint_log_acked(h->peer->log);
    h->cut.open = false;
    h->cut_records = after.records - before.records;
    h->cut_records -= expired < h->cut_records ? expired : h->cut_records;
    h->cut_bytes = after.bytes - before.bytes;
    PEER_ADD(h->peer, truncated, h->cut_records);
    if (!h->cut_records)
        return;
    snprintf(reason, sizeof reason, "%" PRIu64 " hints for it were truncated", h->cut_records);
    hinting_needs_repair(h, reason);
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
    sync_hints(h, !PEER_LOAD(h->peer, hinting));
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
    struct hint_position before = hint_log_acked(h->peer->log);
    hint_log_ack(h->peer->log, h->cut.from);
    hinting_acked(h, h->cut.from, before);
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
    uint64_t n = hint_log_expire(h->peer->log, clock_steady_ms());
    uint64_t counted = delivery_passed(h->delivery, hint_log_acked(h->peer->log).seq);
    if (!n)
        return;
    hinting_expired(h, n > counted ? n - counted : 0);
    if (!up)
        close_window(h);
}

/* ---- life --------------------------------------------------------------------------------------
 */

void hinting_init(struct hinting *h, const char *dir)
{
    struct peer *p = h->peer;
    struct hint_position found = hint_log_appended(p->log);
    if (dir) {
        h->dir = mem_strdup(dir);
        load_mark(h);
    }
    PEER_STORE(p, hinting, 1);
    PEER_STORE(p, converted, found.records - hint_log_acked(p->log).records);
}

void hinting_fini(struct hinting *h)
{
    hint_mark_close(h->mark);
    mem_free(h->dir);
}
