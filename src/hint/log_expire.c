/* What has passed its deadline leaves a log, from wherever it lies. Of a segment three things are
 * known without reading it: the oldest deadline in it, the newest, and how many records it holds.
 *
 *     newest < now    all has expired: out of the list, and its file goes
 *     oldest >= now   nothing has: not touched
 *     in between      walked: what has expired is counted, and dead.before and dead.walked tell
 *                     everybody who reads that it is passed over; dead.oldest tells when to walk
 *                     the next time
 *
 * In one whose deadlines follow in order, as they do where all hints live equally long, a walk goes
 * from the last dead record to the first that lives. Nothing is rewritten for it (a record's CRC
 * covers its bytes); after a restart the dead of a segment that still has its file expire once
 * more. */
#include "core/mem.h"
#include "hint/log_internal.h"

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* ---- in between ------------------------------------------------------------------------------ */

static void count_dead(struct hint_log *l, struct segment *s, const struct frame *f)
{
    s->dead.records++;
    s->dead.bytes += f->payload.len;
    l->dead_records++;
    l->dead_bytes += f->payload.len;
}

/* Where a walk begins: behind what is acknowledged, or (new_only) behind the walk before. */
static uint64_t walk_start(const struct hint_log *l, const struct segment *s, bool new_only,
                           uint64_t *prev)
{
    uint64_t at = SEGMENT_HEAD;
    *prev = s->first - 1;
    if (l->ack.seg == s) {
        at = l->ack.at;
        *prev = l->ack.prev;
    }
    if (new_only && s->dead.walked > at) {
        at = s->dead.walked;
        *prev = s->dead.prev;
    }
    return at;
}

/* `known`: numbers up to this one are acknowledged, or stand in the segments before. */
static uint64_t walk(struct hint_log *l, struct segment *s, uint64_t now_ms, uint64_t known,
                     bool new_only)
{
    /* end before mixed: it is final for what lies before the end */
    uint64_t n = 0, end = LOAD(s->end), prev;
    bool mixed = LOAD(s->mixed);
    uint64_t at = walk_start(l, s, new_only || !mixed, &prev);
    uint64_t oldest = new_only && mixed ? s->dead.oldest : UINT64_MAX;
    struct frame f;
    struct slice bytes;
    l->walk.of = NULL;
    while (at < end && segment_read(s, &l->walk, end, prev, check_needed(s), &at, &f, &bytes)) {
        if (f.seq > known && f.deadline && !segment_is_dead(s, at, &f)) {
            if (f.deadline < now_ms) {
                count_dead(l, s, &f);
                n++;
            } else if (f.deadline < oldest) {
                oldest = f.deadline;
            }
        }
        if (!mixed && f.seq > known && (!f.deadline || f.deadline >= now_ms))
            break; /* what follows lives longer */
        at += bytes.len;
        prev = f.seq;
    }
    s->dead.before = now_ms;
    s->dead.walked = at < end ? at : end;
    s->dead.prev = prev;
    s->dead.oldest = oldest;
    return n;
}

static uint64_t look_through(struct hint_log *l, struct segment *s, uint64_t now_ms, uint64_t known)
{
    if (now_ms < s->dead.before) /* what has died stays dead */
        now_ms = s->dead.before;
    if (s->dead.walked == 0 || s->dead.oldest < now_ms)
        return walk(l, s, now_ms, known, false);
    bool ends_at_living = !LOAD(s->mixed) && s->dead.oldest != UINT64_MAX;
    if (LOAD(s->end) > s->dead.walked && !ends_at_living)
        return walk(l, s, now_ms, known, true);
    return 0;
}

/* ---- whole ----------------------------------------------------------------------------------- */

/* Counts all that is left of it as gone; returns how much of that wasn't before. */
static uint64_t count_whole(struct hint_log *l, struct segment *s)
{
    bool begun = l->ack.seg == s;
    uint64_t records = above(s->records, begun ? l->ack.records : 0);
    uint64_t bytes = above(s->bytes, begun ? l->ack.bytes : 0);
    uint64_t fresh = above(records, s->dead.records);
    l->ack.pos.records += records;
    l->ack.pos.bytes += bytes;
    l->dead_records -= s->dead.records;
    l->dead_bytes -= s->dead.bytes;
    return fresh;
}

static void move_cursor(struct cursor *c, const struct segment *s, struct segment *next)
{
    if (c->seg != s)
        return;
    log_enter(c, next);
    c->unread = 0;
}

static uint64_t drop_whole(struct hint_log *l, struct segment *prev, struct segment *s,
                           struct segment *next)
{
    uint64_t n = count_whole(l, s);
    bool front = l->ack.seg ? l->ack.seg == s : !prev;
    segment_add_gone(next, s); /* before the file goes: else a start would miss it */
    if (front && l->ack.pos.seq < s->last)
        l->ack.pos.seq = s->last;
    move_cursor(&l->ack, s, next);
    move_cursor(&l->read, s, next);
    if (prev)
        RCU_SET(prev->next, next);
    else
        RCU_SET(l->head, next);
    log_retire(l, s, s->fd < 0); /* a file would tell of hints that aren't there any more */
    return n;
}

/* ---- the log --------------------------------------------------------------------------------- */

static bool front_expires(struct hint_log *l, uint64_t now_ms)
{
    struct frame f;
    struct slice bytes;
    return log_oldest(l, &f, &bytes) && f.deadline && f.deadline < now_ms;
}

bool hint_log_expires(struct hint_log *l, uint64_t now_ms, bool *oldest)
{
    bool reached = !l->ack.seg, any = false, middle = false;
    for (struct segment *s = LOAD(l->head), *next; s; s = next) {
        next = LOAD(s->next);
        reached |= l->ack.seg == s;
        bool whole = reached && next && l->ack.seg != s && LOAD(s->newest) < now_ms;
        middle |= whole && s->records > s->dead.records;
        any |= reached && LOAD(s->oldest) < now_ms;
    }
    bool front = any && front_expires(l, now_ms);
    if (oldest)
        *oldest = front;
    return front || middle;
}

uint64_t hint_log_expire(struct hint_log *l, uint64_t now_ms)
{
    uint64_t n = 0, known = l->ack.pos.seq;
    bool reached = !l->ack.seg; /* segments before the ack cursor are done with */
    struct segment *prev = NULL;
    for (struct segment *s = LOAD(l->head), *next; s; s = next) {
        /* next before newest: once it is linked, nothing comes to this one any more */
        next = LOAD(s->next);
        uint64_t last = LOAD(s->last);
        reached |= l->ack.seg == s;
        bool whole = reached && next && LOAD(s->newest) < now_ms;
        if (whole)
            n += drop_whole(l, prev, s, next);
        else if (reached && LOAD(s->oldest) < now_ms)
            n += look_through(l, s, now_ms, known);
        known = last > known ? last : known;
        prev = whole ? prev : s;
    }
    buf_fini(&l->walk.bytes);
    l->walk.of = NULL;
    if (n == 0)
        return 0;
    struct frame f;
    struct slice bytes;
    bool more = log_oldest(l, &f, &bytes);
    log_let_go(l, more ? &f : NULL);
    return n;
}
