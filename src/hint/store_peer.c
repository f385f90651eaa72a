/* One peer of a store: what is put for it, taken, and counted.
 *
 * Three positions of its log, in records and bytes since it was opened, tell all: appended, gone
 * (acknowledged, lost or expired), and counted: up to where records were appended as hints, which
 * hold their share of the cap. The producer moves appended and counted, the consumer gone. What was
 * appended live below `counted`, or becomes hints when the peer goes down, is charged with the next
 * hint that is put. */
#include "core/mem.h"
#include "hint/store_internal.h"
#include <string.h>

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

char *peer_dir(const struct hint_store *s, const char *name)
{
    return s->dir ? mem_printf("%s/%s", s->dir, name) : NULL;
}

struct peer_name *peer_name_new(const char *text)
{
    size_t size = strlen(text) + 1;
    struct peer_name *n = mem_calloc(1, sizeof *n + size);
    memcpy(n->text, text, size);
    return n;
}

void peer_name_free(struct rcu_head *head)
{
    mem_free(container_of_(head, struct peer_name, rcu));
}

static bool open_log(struct hint_peer *p, const char *header, struct error *e)
{
    const struct hint_store_options *o = &p->store->o;
    const char *name = p->name->text;
    char *dir = peer_dir(p->store, name);
    p->log = hint_log_open(&(struct hint_log_options){.dir = dir,
                                                      .peer = header ? header : name,
                                                      .adopt = !header,
                                                      .segment_min = o->segment_min,
                                                      .segment_max = o->segment_max,
                                                      .limit = o->live_limit},
                           o->floor, &p->report, e);
    mem_free(dir);
    return p->log != NULL;
}

/* All that was found are hints. */
static void count_found(struct hint_peer *p)
{
    struct hint_position end = hint_log_appended(p->log);
    PUT(p->counted_seq, end.seq);
    PUT(p->counted_records, end.records);
    PUT(p->counted_bytes, end.bytes);
}

static void free_peer(struct hint_peer *p)
{
    lock_fini(&p->take);
    lock_fini(&p->segments);
    lock_fini(&p->sync_lock);
    mem_free(p->name);
    mem_free(p);
}

struct hint_peer *peer_open(struct hint_store *s, const char *name, const char *header,
                            struct error *e)
{
    struct hint_peer *p = MEM_NEW_ALIGNED(struct hint_peer);
    p->store = s;
    p->name = peer_name_new(name);
    p->hinting = 1;
    p->error = "";
    lock_init(&p->take);
    lock_init(&p->segments);
    lock_init(&p->sync_lock);
    if (!open_log(p, header, e)) {
        free_peer(p);
        return NULL;
    }
    count_found(p);
    return p;
}

bool peer_reopen(struct hint_peer *p, const char *header, struct error *e)
{
    struct hint_log *old = p->log;
    if (!open_log(p, header, e)) {
        p->log = old;
        return false;
    }
    hint_log_close(old);
    uint64_t charged = p->share.charged, found = hint_log_appended(p->log).bytes;
    count_found(p);
    if (found > charged) {
        share_force(&p->store->shares, &p->share, found - charged);
        share_charge(&p->share, found - charged);
    }
    share_give_back(&p->store->shares, &p->share, share_charged(&p->share), found);
    return true;
}

static void free_deferred(struct rcu_head *head)
{
    free_peer(container_of_(head, struct hint_peer, rcu));
}

void peer_close(struct hint_peer *p)
{
    hint_log_close(p->log);
    rcu_defer(&p->rcu, free_deferred);
}

void hint_peer_name(const struct hint_peer *p, char *out, size_t size)
{
    rcu_read_begin();
    const struct peer_name *n = RCU_GET(p->name);
    size_t len = strlen(n->text);
    len = len < size ? len : size - 1;
    memcpy(out, n->text, len);
    out[len] = 0;
    rcu_read_end();
}

const char *hint_peer_header(const struct hint_peer *p)
{
    return hint_log_peer(p->log);
}

void hint_peer_tune(struct hint_peer *p, size_t segment_min, size_t live_limit)
{
    hint_log_tune(p->log, segment_min, live_limit);
}

struct hint_log *hint_peer_log(struct hint_peer *p)
{
    return p->log;
}

struct hint_store *hint_peer_store(const struct hint_peer *p)
{
    return p->store;
}

const struct hint_log_report *hint_peer_report(const struct hint_peer *p)
{
    return &p->report;
}

/* ---- putting ----------------------------------------------------------------------------------
 */

const char *hint_put_name(enum hint_put r)
{
    static const char *const names[HINT_PUT_RESULTS] = {
        "stored",    "over_capacity", "over_capacity_peer", "zero_ttl", "empty",
        "too_large", "no_space",      "io_error",           "unsynced"};
    return names[r];
}

static enum hint_put reject(struct hint_peer *p, enum hint_put why, const char *text)
{
    (void)__atomic_fetch_add(&p->rejected[why], 1, __ATOMIC_RELAXED);
    p->error = text;
    return why;
}

static enum hint_put refused(struct hint_peer *p, enum hint_append rc)
{
    if (rc == HINT_APPENDED)
        return HINT_PUT_STORED;
    if (rc == HINT_TOO_LARGE)
        return reject(p, HINT_PUT_TOO_LARGE, "the payload is larger than a record may be");
    return reject(p, rc == HINT_NO_SPACE ? HINT_PUT_NO_SPACE : HINT_PUT_IO_ERROR,
                  hint_log_error(p->log));
}

/* It counts, and with it all that was appended live before it. */
static void count_hint(struct hint_peer *p, struct hint_position end, uint64_t size, uint64_t gone)
{
    uint64_t uncharged = above(end.bytes - size, larger(p->counted_bytes, gone));
    if (uncharged)
        share_force(&p->store->shares, &p->share, uncharged);
    PUT(p->counted_seq, end.seq);
    PUT(p->counted_records, end.records);
    PUT(p->counted_bytes, end.bytes);
    share_charge(&p->share, size + uncharged); /* last: see share_give_back */
    BUMP(p->stored, 1);
}

static enum hint_put append_hint(struct hint_peer *p, struct frame *f)
{
    struct hint_store *s = p->store;
    uint64_t size = f->payload.len, cap_peer = __atomic_load_n(&s->cap_peer, __ATOMIC_RELAXED);
    uint64_t gone = hint_log_acked(p->log).bytes;
    if (cap_peer && hint_log_appended(p->log).bytes - gone + size > cap_peer)
        return reject(p, HINT_PUT_OVER_PEER_CAP, "the peer's hints are at their cap");
    if (!share_take(&s->shares, &p->share, size))
        return reject(p, HINT_PUT_OVER_CAP, "the hint store is at its cap");
    enum hint_append rc = hint_log_append(p->log, f, false);
    if (rc != HINT_APPENDED) {
        share_undo(&s->shares, &p->share, size);
        return refused(p, rc);
    }
    count_hint(p, hint_log_appended(p->log), size, gone);
    return HINT_PUT_STORED;
}

static enum hint_put append_moved(struct hint_peer *p, struct frame *f)
{
    uint64_t gone = hint_log_acked(p->log).bytes;
    enum hint_put rc = refused(p, hint_log_append(p->log, f, false));
    if (rc != HINT_PUT_STORED)
        return rc;
    share_force(&p->store->shares, &p->share, f->payload.len);
    count_hint(p, hint_log_appended(p->log), f->payload.len, gone);
    return HINT_PUT_STORED;
}

static enum hint_put append_as(struct hint_peer *p, struct frame *f, enum hint_as as)
{
    if (as == HINT_AS_HINT)
        return append_hint(p, f);
    if (as == HINT_AS_MOVED)
        return append_moved(p, f);
    return refused(p, hint_log_append(p->log, f, true));
}

enum hint_put hint_peer_append(struct hint_peer *p, struct frame *f, enum hint_as as)
{
    bool locked = !p->store->o.single_writer;
    if (locked)
        spinlock_take(&p->put);
    enum hint_put rc = append_as(p, f, as);
    if (locked)
        spinlock_give(&p->put);
    return rc;
}

enum hint_as hint_peer_as(const struct hint_peer *p, uint64_t window)
{
    if (__atomic_load_n(&p->hinting, __ATOMIC_SEQ_CST))
        return HINT_AS_HINT;
    uint64_t gone = hint_log_acked(p->log).bytes;
    return above(hint_log_appended(p->log).bytes, gone) > window ? HINT_AS_HINT : HINT_AS_LIVE;
}

const char *hint_peer_error(const struct hint_peer *p)
{
    return p->error;
}

static bool syncs_on_disk(const struct hint_store *s)
{
    return s->dir && s->o.sync != HINT_SYNC_NEVER;
}

/* Who takes holds the peer as long as others look at what it takes, and these may put: a sync waits
 * only for what the log itself does. */
static void lock_segments(struct hint_peer *p)
{
    if (p->store->dir && !p->store->o.single_reader)
        lock_take(&p->segments);
}

static void unlock_segments(struct hint_peer *p)
{
    if (p->store->dir && !p->store->o.single_reader)
        lock_give(&p->segments);
}

static bool sync_once(struct hint_peer *p, struct hint_sync *job, struct error *e)
{
    lock_segments(p);
    hint_log_sync_begin(p->log, job);
    unlock_segments(p);
    bool ok = hint_log_sync_run(p->log, job, e);
    lock_segments(p);
    hint_log_sync_end(p->log, job, ok);
    unlock_segments(p);
    return ok;
}

/* One sync of many: commit_sync. */
static bool sync_all(void *arg, uint64_t *upto)
{
    struct hint_peer *p = arg;
    struct hint_sync job;
    struct error e;
    bool ok;
    do
        ok = sync_once(p, &job, &e);
    while (ok && job.more);
    *upto = job.upto;
    if (ok)
        return true;
    lock_take(&p->sync_lock);
    p->sync_error = e;
    lock_give(&p->sync_lock);
    return false;
}

bool peer_sync(struct hint_peer *p, uint64_t *synced, struct error *e)
{
    *synced = hint_log_appended(p->log).seq;
    if (!syncs_on_disk(p->store))
        return true;
    if (p->store->o.single_reader)
        return hint_log_sync(p->log, synced, e);
    if (commit_wait(&p->commit, *synced, sync_all, p))
        return true;
    lock_take(&p->sync_lock);
    *e = p->sync_error;
    lock_give(&p->sync_lock);
    return false;
}

bool hint_peer_sync(struct hint_peer *p, uint64_t *synced, struct error *e)
{
    return peer_sync(p, synced, e);
}

static enum hint_put refuse_at_once(const struct hint_store *s, size_t size, uint64_t ttl_ms)
{
    if (ttl_ms == 0)
        return HINT_PUT_ZERO_TTL;
    if (size == 0)
        return HINT_PUT_EMPTY;
    return size > s->record_max ? HINT_PUT_TOO_LARGE : HINT_PUT_STORED;
}

static enum hint_put append_now(struct hint_peer *p, struct frame *f, uint64_t ttl_ms)
{
    bool locked = !p->store->o.single_writer;
    uint64_t now_ms = clock_steady_tick_ms();
    f->deadline = ttl_ms < UINT64_MAX - 1 - now_ms ? now_ms + ttl_ms : UINT64_MAX - 1;
    if (locked)
        spinlock_take(&p->put);
    f->stamp = hlc_next(&p->clock, now_ms * 1000);
    enum hint_put rc = append_hint(p, f);
    if (locked)
        spinlock_give(&p->put);
    return rc;
}

enum hint_put hint_store_put(struct hint_peer *p, struct slice payload, uint64_t ttl_ms)
{
    const struct hint_store *s = p->store;
    enum hint_put rc = refuse_at_once(s, payload.len, ttl_ms);
    if (rc != HINT_PUT_STORED) {
        (void)__atomic_fetch_add(&p->rejected[rc], 1, __ATOMIC_RELAXED);
        return rc;
    }
    struct frame f = {.kind = FRAME_WRITE, .payload = payload};
    rc = append_now(p, &f, ttl_ms);
    if (rc == HINT_PUT_STORED && s->dir && s->o.sync == HINT_SYNC_ALWAYS && !s->o.single_reader &&
        !commit_wait(&p->commit, f.seq, sync_all, p))
        rc = HINT_PUT_UNSYNCED;
    return rc;
}

/* ---- taking -----------------------------------------------------------------------------------
 */

void hint_peer_hold(struct hint_peer *p)
{
    if (!p->store->o.single_reader)
        lock_take(&p->take);
}

void hint_peer_release(struct hint_peer *p)
{
    if (!p->store->o.single_reader)
        lock_give(&p->take);
}

bool hint_peer_hinting(const struct hint_peer *p)
{
    return __atomic_load_n(&p->hinting, __ATOMIC_SEQ_CST);
}

bool hint_peer_was_away(const struct hint_peer *p)
{
    return hint_peer_hinting(p) || GET(p->hint_records) > hint_log_acked(p->log).records;
}

/* Up to which record all counts as hints. */
static uint64_t hint_records(const struct hint_peer *p)
{
    if (hint_peer_hinting(p))
        return hint_log_appended(p->log).records;
    return larger(GET(p->hint_records), GET(p->counted_records));
}

/* What has gone gives back its share. */
static void give_back(struct hint_peer *p)
{
    uint64_t charged = share_charged(&p->share); /* first: see share_give_back */
    uint64_t held = above(GET(p->counted_bytes), hint_log_acked(p->log).bytes);
    share_give_back(&p->store->shares, &p->share, charged, held);
}

bool hint_peer_next(struct hint_peer *p, uint64_t after, struct frame *head, struct slice *bytes)
{
    lock_segments(p);
    bool more = hint_log_next(p->log, after, head, bytes);
    unlock_segments(p);
    return more;
}

static void ack_log(struct hint_peer *p, uint64_t seq)
{
    lock_segments(p);
    hint_log_ack(p->log, seq);
    unlock_segments(p);
}

/* Acknowledges; returns how many hints went by that and could be read. */
static uint64_t let_go(struct hint_peer *p, uint64_t seq)
{
    uint64_t before = hint_log_acked(p->log).records, lost = hint_log_lost(p->log);
    ack_log(p, seq);
    uint64_t after = hint_log_acked(p->log).records, upto = hint_records(p);
    lost = hint_log_lost(p->log) - lost;
    give_back(p);
    uint64_t gone = above(after < upto ? after : upto, before);
    lost = lost < gone ? lost : gone;
    BUMP(p->lost, lost);
    return gone - lost;
}

/* Of n records that go, those that were counted as expired before. */
static uint64_t take_passed(struct hint_peer *p, uint64_t n)
{
    n = n < p->passed ? n : p->passed;
    p->passed -= n;
    return n;
}

void hint_peer_ack(struct hint_peer *p, uint64_t seq)
{
    uint64_t n = let_go(p, seq);
    BUMP(p->delivered, n - take_passed(p, n));
}

void hint_peer_passed(struct hint_peer *p, uint64_t records)
{
    p->passed += records;
    BUMP(p->expired, records);
}

uint64_t hint_peer_end(const struct hint_peer *p)
{
    if (hint_peer_hinting(p))
        return hint_log_appended(p->log).seq;
    return larger(GET(p->hint_seq), GET(p->counted_seq));
}

uint64_t hint_peer_drop(struct hint_peer *p, uint64_t upto)
{
    uint64_t before = hint_log_acked(p->log).records;
    ack_log(p, upto);
    give_back(p);
    uint64_t n = above(hint_log_acked(p->log).records, before);
    n -= take_passed(p, n);
    BUMP(p->dropped, n);
    return n;
}

bool hint_peer_expires(struct hint_peer *p, uint64_t now_ms, bool *oldest)
{
    lock_segments(p);
    bool will = hint_log_expires(p->log, now_ms, oldest);
    unlock_segments(p);
    return will;
}

uint64_t hint_peer_expire(struct hint_peer *p, uint64_t now_ms)
{
    uint64_t before = hint_log_acked(p->log).records;
    lock_segments(p);
    uint64_t n = hint_log_expire(p->log, now_ms);
    unlock_segments(p);
    if (n == 0)
        return 0;
    BUMP(p->lost, above(hint_log_acked(p->log).records - before, n));
    BUMP(p->expired, n - take_passed(p, n));
    give_back(p);
    return n;
}

void hint_peer_set_hinting(struct hint_peer *p, bool hinting)
{
    if (hinting == hint_peer_hinting(p))
        return;
    if (hinting) {
        __atomic_store_n(&p->hinting, 1, __ATOMIC_SEQ_CST);
        return;
    }
    struct hint_position end = hint_log_appended(p->log);
    PUT(p->hint_seq, end.seq);
    PUT(p->hint_records, end.records);
    PUT(p->hint_bytes, end.bytes);
    __atomic_store_n(&p->hinting, 0, __ATOMIC_SEQ_CST);
}

#define TAKE_STEP (1u << 20) /* payload bytes after which what was taken is acknowledged */

static uint64_t take_held(struct hint_peer *p, hint_take_fn *fn, void *arg)
{
    struct frame f;
    struct slice bytes;
    uint64_t end = hint_log_appended(p->log).seq, after = hint_log_acked(p->log).seq;
    uint64_t n = 0, unacked = 0;
    while (hint_peer_next(p, after, &f, &bytes) && f.seq <= end && fn(arg, &f)) {
        after = f.seq;
        n++;
        unacked += f.payload.len;
        if (unacked < TAKE_STEP)
            continue;
        hint_peer_ack(p, after);
        unacked = 0;
    }
    hint_peer_ack(p, after);
    return n;
}

uint64_t hint_store_take(struct hint_peer *p, hint_take_fn *fn, void *arg)
{
    hint_peer_hold(p);
    (void)hint_peer_expire(p, clock_steady_ms());
    uint64_t n = take_held(p, fn, arg);
    hint_peer_release(p);
    return n;
}

/* ---- figures ----------------------------------------------------------------------------------
 */

/* So many hints there have been: at least `now`, and what was seen before. */
static uint64_t entered(struct hint_peer *p, uint64_t now)
{
    uint64_t most = GET(p->entered);
    while (most < now && !__atomic_compare_exchange_n(&p->entered, &most, now, true,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    return larger(most, now);
}

void hint_peer_figures(struct hint_peer *p, struct hint_figures *f)
{
    *f = (struct hint_figures){0};
    /* before what is pending: what goes meanwhile is missed then, and not seen twice */
    f->delivered = GET(p->delivered);
    f->expired = GET(p->expired);
    f->dropped = GET(p->dropped);
    f->lost = GET(p->lost);
    /* gone first: it only grows, so that a race shows too much and never a wrapped number */
    struct hint_position gone = hint_log_acked(p->log), end = hint_log_appended(p->log);
    uint64_t records = larger(GET(p->hint_records), GET(p->counted_records));
    uint64_t bytes = larger(GET(p->hint_bytes), GET(p->counted_bytes));
    bool hinting = hint_peer_hinting(p);
    f->pending = above(hinting ? end.records : records, gone.records);
    f->bytes = above(hinting ? end.bytes : bytes, gone.bytes);
    f->behind = above(end.bytes, gone.bytes);
    f->oldest_ms = f->pending ? hint_log_oldest_ms(p->log) : 0;
    f->stored = GET(p->stored);
    f->converted =
        above(entered(p, f->pending + f->delivered + f->expired + f->dropped + f->lost), f->stored);
    f->damaged = hint_log_damaged(p->log);
    for (unsigned i = 0; i < HINT_PUT_RESULTS; i++)
        f->rejected[i] = GET(p->rejected[i]);
    f->syncs = GET(p->commit.syncs);
}
