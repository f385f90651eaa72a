#include "hint/log.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/log_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_MIN (64u * 1024)
#define SEGMENT_MAX (16u * 1024 * 1024)
#define RUN_OUT     (UINT32_MAX - (1u << 24)) /* of a lower half: time for a new upper one */

/* ---- figures
 * ------------------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static struct hint_position load_position(const struct hint_position *p)
{
    return (struct hint_position){
        .seq = LOAD(p->seq), .records = LOAD(p->records), .bytes = LOAD(p->bytes)};
}

static void store_position(struct hint_position *p, struct hint_position v)
{
    STORE(p->records, v.records);
    STORE(p->bytes, v.bytes);
    STORE(p->seq, v.seq);
}

struct hint_position hint_log_appended(const struct hint_log *l)
{
    return load_position(&l->appended);
}

struct hint_position hint_log_acked(const struct hint_log *l)
{
    return load_position(&l->acked);
}

uint64_t hint_log_oldest_ms(const struct hint_log *l)
{
    uint64_t stamp = LOAD(l->oldest_stamp);
    return LOAD(l->acked.records) >= LOAD(l->appended.records) ? 0 : hlc_ms(stamp);
}

uint64_t hint_log_lowest_stamp(const struct hint_log *l)
{
    uint64_t oldest = LOAD(l->oldest_stamp);
    if (LOAD(l->acked.records) >= l->appended.records)
        return UINT64_MAX;
    bool dips = l->dip.seq > LOAD(l->acked.seq) && l->dip.lowest < oldest;
    return dips ? l->dip.lowest : oldest;
}

uint64_t hint_log_damaged(const struct hint_log *l)
{
    return LOAD(l->damaged);
}

const char *hint_log_error(const struct hint_log *l)
{
    return l->error.text;
}

const char *hint_log_peer(const struct hint_log *l)
{
    return l->peer;
}

uint64_t hint_log_lost(const struct hint_log *l)
{
    return l->lost;
}

/* ---- opening
 * ------------------------------------------------------------------------------------- */

static bool is_segment_name(const char *name)
{
    return strlen(name) == 20 && strspn(name, "0123456789abcdef") == 16 &&
           strcmp(name + 16, ".log") == 0;
}

static bool list_segments(const char *path, char ***names, size_t *n, struct error *e)
{
    DIR *d = opendir(path);
    if (!d)
        return error_set(e, "%s: %s", path, strerror(errno));
    struct dirent *entry;
    *names = NULL;
    *n = 0;
    while ((entry = readdir(d))) {
        if (!is_segment_name(entry->d_name))
            continue;
        *names = mem_realloc(*names, (*n + 1) * sizeof **names);
        (*names)[(*n)++] = mem_strdup(entry->d_name);
    }
    closedir(d);
    return true;
}

bool hint_log_exists(const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    struct error ignored;
    if (!list_segments(dir, &names, &n, &ignored))
        return false;
    for (size_t i = 0; i < n; i++)
        mem_free(names[i]);
    mem_free(names);
    return n > 0;
}

void hint_log_remove_files(const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    struct error ignored;
    if (!list_segments(dir, &names, &n, &ignored))
        return;
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);
        (void)unlink(path);
        mem_free(path);
        mem_free(names[i]);
    }
    mem_free(names);
}

bool hint_log_is_of(const char *dir, const char *peer)
{
    char **names = NULL, found[SEGMENT_PEER];
    size_t n = 0;
    struct error ignored;
    bool is = false;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (!list_segments(dir, &names, &n, &ignored))
        n = 0;
    for (size_t i = 0; i < n; i++) {
        is |= segment_peer_of_file(fd, names[i], found) && strcmp(found, peer) == 0;
        mem_free(names[i]);
    }
    mem_free(names);
    close(fd);
    return is;
}

static void note(struct hint_log_report *r, const char *text)
{
    if (!r->detail[0])
        snprintf(r->detail, sizeof r->detail, "%.*s", (int)sizeof r->detail - 1, text);
}

/* In the order of the numbers that their headers tell: after a power cut the name of a segment that
 * was used again may still be the old one. */
static int by_first(const void *a, const void *b)
{
    const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->named < y->named ? -1 : x->named > y->named;
}

struct opening {
    struct hint_log *l;
    struct hint_log_report *report;
    struct segment **all;
    size_t n;
    struct segment *last;
    uint64_t acked;
};

static void open_segment(struct opening *o, const char *name)
{
    struct segment *s;
    struct error e;
    uint64_t acked;
    char *peer = o->l->peer;
    switch (segment_open(o->l->dir, name, peer[0] ? peer : NULL, &s, &acked, &e)) {
    case SEGMENT_OPENED:
        if (!peer[0])
            segment_peer(s, peer);
        o->all[o->n++] = s;
        if (acked > o->acked && acked >= s->first)
            o->acked = acked;
        break;
    case SEGMENT_UNFILLED:
        break;
    case SEGMENT_STRANGE:
        o->report->missing++;
        note(o->report, e.text);
        break;
    }
}

/* Records mostly come in the order of their stamps, but a write that hung at the own store comes
 * later than its stamp. */
static void note_dip(struct hint_log *l, uint64_t seq, uint64_t stamp)
{
    bool goes_on = l->dip.seq > LOAD(l->acked.seq) && l->dip.lowest < stamp;
    l->dip.lowest = goes_on ? l->dip.lowest : stamp;
    l->dip.seq = seq;
}

/* Nothing is missing between them but what expired, or the step to another upper half. */
static bool follows(const struct segment *s, const struct segment *before)
{
    uint64_t last = before->last, gap_end = s->first - 1;
    return last >> 32 != s->first >> 32 || last == gap_end ||
           (last < gap_end && gap_end - last <= s->gone);
}

static void take_scan(struct opening *o, const struct segment *s, const struct segment_scan *scan)
{
    char text[128];
    struct hint_log_report *r = o->report;
    if (o->last && !follows(s, o->last) && s->first - 1 > o->acked) {
        r->missing++;
        snprintf(text, sizeof text, "numbers %" PRIx64 " to %" PRIx64 " are missing",
                 o->last->last + 1, s->first - 1);
        note(r, text);
    }
    if (scan->damaged || scan->torn) {
        snprintf(text, sizeof text, "segment %016" PRIx64 ": %" PRIu64 " damaged, %" PRIu64 " torn",
                 s->first, scan->damaged, scan->torn);
        note(r, text);
    }
    r->damaged += scan->damaged;
    r->torn_bytes += scan->torn;
    r->records += scan->records;
    r->bytes += scan->bytes;
    if (scan->records && !o->l->oldest_stamp)
        o->l->oldest_stamp = scan->oldest_stamp;
    if (scan->dips || (scan->records && scan->lowest_stamp < o->l->newest_stamp))
        note_dip(o->l, s->last, scan->lowest_stamp);
    if (scan->newest_stamp > o->l->newest_stamp)
        o->l->newest_stamp = scan->newest_stamp;
}

/* What holds nothing that is still owed goes: all acknowledged, or (copied back) read already. */
static void read_segment(struct opening *o, struct segment *s)
{
    struct segment_scan scan;
    /* what was acknowledged, or stands in the segment before (copied back), isn't owed by this one
     */
    uint64_t done = o->last && o->last->last > o->acked ? o->last->last : o->acked;
    segment_scan(s, done, &scan);
    bool empty = s->last < s->first, known = o->last && s->last <= o->last->last;
    s->records = scan.records;
    s->bytes = scan.bytes;
    if (!empty && !known) {
        take_scan(o, s, &scan);
        if (s->last > o->l->appended.seq)
            o->l->appended.seq = s->last;
    }
    if (empty || known || scan.records == 0) {
        segment_discard(s);
        return;
    }
    *(o->last ? &o->last->next : &o->l->head) = s;
    o->last = s;
}

static bool read_directory(struct hint_log *l, struct hint_log_report *report, struct error *e)
{
    char **names = NULL;
    size_t n = 0;
    if (!list_segments(l->o.dir, &names, &n, e))
        return false;
    struct opening o = {.l = l, .report = report, .all = mem_calloc(n + 1, sizeof *o.all)};
    for (size_t i = 0; i < n; i++) {
        open_segment(&o, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    qsort(o.all, o.n, sizeof *o.all, by_first);
    for (size_t i = 0; i < o.n; i++)
        read_segment(&o, o.all[i]);
    mem_free(o.all);
    l->tail = o.last;
    l->damaged = report->damaged + report->missing;
    l->appended.records = report->records;
    l->appended.bytes = report->bytes;
    l->acked.seq = o.acked;
    return true;
}

/* Everything before the oldest record found was acknowledged; without one, everything found was.
 * The number before the first one of a start is none that a peer can have: it may have the last one
 * of an earlier start, whose segments are gone. */
static void position_at_start(struct hint_log *l)
{
    uint64_t before = l->head ? l->head->first - 1 : l->appended.seq;
    if (l->acked.seq < before && (uint32_t)before != 0)
        l->acked.seq = before;
    l->ack.pos = l->read.pos = l->acked;
}

static void free_log(struct hint_log *l)
{
    if (l->dir >= 0)
        close(l->dir);
    mem_free(l->path);
    mem_free(l);
}

struct hint_log *hint_log_open(const struct hint_log_options *o, uint64_t floor,
                               struct hint_log_report *report, struct error *e)
{
    struct hint_log *l = MEM_NEW_ALIGNED(struct hint_log);
    memset(report, 0, sizeof *report);
    l->o = *o;
    l->o.dir = l->path = o->dir ? mem_strdup(o->dir) : NULL;
    l->o.segment_min = o->segment_min ? o->segment_min : SEGMENT_MIN;
    l->o.segment_max = o->segment_max ? o->segment_max : SEGMENT_MAX;
    l->dir = -1;
    if (!o->adopt)
        snprintf(l->peer, sizeof l->peer, "%s", o->peer);
    if (o->dir) {
        if (!dir_make(o->dir, e))
            goto fail;
        l->dir = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (l->dir < 0) {
            error_set(e, "%s: %s", o->dir, strerror(errno));
            goto fail;
        }
        if (!read_directory(l, report, e))
            goto fail;
    }
    if (!l->peer[0])
        snprintf(l->peer, sizeof l->peer, "%s", o->peer);
    position_at_start(l);
    if (floor > l->appended.seq)
        l->appended.seq = floor;
    l->floor = l->appended.seq;
    return l;
fail:
    free_log(l);
    return NULL;
}

void hint_log_renamed(struct hint_log *l, const char *dir)
{
    mem_free(l->path);
    l->o.dir = l->path = mem_strdup(dir);
}

static void free_deferred(struct rcu_head *head)
{
    free_log(container_of_(head, struct hint_log, rcu));
}

void hint_log_tune(struct hint_log *l, size_t segment_min, size_t limit)
{
    l->o.segment_min = segment_min;
    l->o.limit = limit;
}

void hint_log_close(struct hint_log *l)
{
    if (!l)
        return;
    for (struct segment *s = l->head, *next; s; s = next) {
        next = s->next;
        segment_close(s);
    }
    if (l->spare)
        segment_discard(l->spare);
    buf_fini(&l->read.window.bytes);
    buf_fini(&l->ack.window.bytes);
    if (l->dir >= 0)
        close(l->dir);
    l->dir = -1;
    rcu_defer(&l->rcu, free_deferred); /* others may be looking at its figures */
}

/* ---- the writer
 * ------------------------------------------------------------------------------------ */

static size_t wanted_size(const struct hint_log *l, size_t record)
{
    uint64_t behind = l->appended.bytes - LOAD(l->acked.bytes);
    size_t size = l->o.segment_min;
    while (size < l->o.segment_max && size < behind + record)
        size *= 2;
    size_t need = SEGMENT_HEAD + record;
    return size > need ? size : need;
}

static enum hint_append refused(enum segment_make rc)
{
    return rc == SEGMENT_NO_SPACE ? HINT_NO_SPACE : HINT_IO_ERROR;
}

static struct segment *use_spare(struct hint_log *l, uint64_t first, size_t size, size_t record)
{
    struct segment *old = RCU_SWAP(l->spare, NULL);
    if (!old)
        return NULL;
    if (old->size < SEGMENT_HEAD + record || old->size < size / 4 || !old->map) {
        segment_discard(old);
        return NULL;
    }
    return segment_recycle(old, l->peer, first);
}

static enum hint_append new_tail(struct hint_log *l, uint64_t first, size_t record, bool memory_ok)
{
    size_t size = wanted_size(l, record);
    struct segment *s = use_spare(l, first, size, record);
    enum segment_make rc = SEGMENT_MADE;
    if (!s && l->dir >= 0)
        rc = segment_create(l->dir, l->peer, first, size, &s, &l->error);
    else if (!s)
        rc = segment_create_memory(first, size, &s, &l->error);
    if (rc != SEGMENT_MADE && memory_ok && l->dir >= 0)
        rc = segment_create_memory(first, size, &s, &l->error);
    if (rc != SEGMENT_MADE)
        return refused(rc);
    if (s->fd >= 0)
        __atomic_store_n(&l->dir_dirty, 1, __ATOMIC_RELEASE);
    if (l->tail)
        RCU_SET(l->tail->next, s);
    else
        RCU_SET(l->head, s);
    l->tail = s;
    return HINT_APPENDED;
}

enum hint_append hint_log_append(struct hint_log *l, struct frame *f, bool memory_ok)
{
    size_t size = frame_size(f->payload.len);
    if (f->payload.len > FRAME_PAYLOAD_MAX)
        return HINT_TOO_LARGE;
    uint64_t owed = l->appended.bytes - LOAD(l->acked.bytes);
    if (l->o.limit && owed && owed + f->payload.len > l->o.limit) {
        error_set(&l->error, "%zu bytes wait for the peer; allowed at most %zu", (size_t)owed,
                  l->o.limit);
        return HINT_NO_SPACE;
    }
    f->seq = l->appended.seq + 1;
    struct segment *t = l->tail;
    bool to_disk = t && t->fd < 0 && l->dir >= 0 && !memory_ok;
    if (!t || t->found || to_disk || t->end + size > t->size || f->seq >> 32 != t->first >> 32) {
        enum hint_append rc = new_tail(l, f->seq, size, memory_ok);
        if (rc != HINT_APPENDED)
            return rc;
        t = l->tail;
    }
    if (t->end + size + sizeof(uint32_t) > t->touched)
        segment_touch(t, t->end + size + sizeof(uint32_t));
    uint8_t *to = t->map + t->end;
    frame_head(f, to);
    if (f->payload.len)
        memcpy(to + FRAME_HEAD, f->payload.ptr, f->payload.len);
    segment_end(t->map, t->size, t->end + size);
    if (l->appended.records == LOAD(l->acked.records))
        STORE(l->oldest_stamp, f->stamp);
    if (f->stamp < l->newest_stamp)
        note_dip(l, f->seq, f->stamp);
    else
        l->newest_stamp = f->stamp;
    segment_note_deadline(t, f->deadline);
    STORE(t->records, t->records + 1);
    STORE(t->bytes, t->bytes + f->payload.len);
    STORE(t->last, f->seq);
    STORE(t->end, t->end + size);
    store_position(&l->appended,
                   (struct hint_position){.seq = f->seq,
                                          .records = l->appended.records + 1,
                                          .bytes = l->appended.bytes + f->payload.len});
    return HINT_APPENDED;
}

bool hint_log_needs_floor(const struct hint_log *l)
{
    return (uint32_t)l->appended.seq > RUN_OUT;
}

void hint_log_set_floor(struct hint_log *l, uint64_t floor)
{
    if (floor > l->appended.seq)
        STORE(l->appended.seq, floor);
}

/* ---- the sender: cursors
 * ---------------------------------------------------------------------------- */

void log_enter(struct cursor *c, struct segment *s)
{
    c->seg = s;
    c->at = SEGMENT_HEAD;
    c->records = c->bytes = 0;
    c->prev = s ? s->first - 1 : 0;
}

/* What was appended to a segment, or could be read of it when the log was opened, and can't be any
 * more. */
static void count_lost_of_segment(struct hint_log *l, struct cursor *c)
{
    struct segment *s = c->seg;
    c->counted = larger(c->counted, s->last);
    c->unread = 0;
    if (c->records >= s->records)
        return;
    uint64_t lost = s->records - c->records;
    c->pos.records += lost;
    c->pos.bytes += s->bytes > c->bytes ? s->bytes - c->bytes : 0;
    c->records = s->records;
    c->bytes = s->bytes;
    if (c == &l->ack)
        l->lost += lost;
    if (s->last > l->gap_seen) {
        __atomic_fetch_add(&l->damaged, lost, __ATOMIC_RELAXED);
        l->gap_seen = s->last;
    }
}

/* Records that should stand before `seq`, in this segment or between it and the one before, and
 * don't: damaged since they were appended. What was found at open was counted without them, also
 * without those that a power cut took and the peer has. */
static uint64_t gap_before(const struct hint_log *l, const struct cursor *c, uint64_t seq)
{
    uint64_t from = larger(larger(c->pos.seq, c->counted), l->floor);
    if (!c->seg || c->seg->found || from >> 32 != seq >> 32 || from >= seq)
        return 0;
    uint64_t gap = seq - from - 1;
    /* of these, what expired with its segment was counted then */
    uint64_t between = from + 1 < c->seg->first ? c->seg->first - 1 - from : 0;
    return gap - (between < c->seg->gone ? between : c->seg->gone);
}

/* They had been counted as appended, with all the bytes that were passed over but their heads. */
static void count_lost(struct hint_log *l, struct cursor *c, uint64_t lost)
{
    uint64_t heads = lost * FRAME_HEAD;
    uint64_t bytes = lost && c->unread > heads ? c->unread - heads : 0;
    c->pos.records += lost;
    c->pos.bytes += bytes;
    c->records += lost;
    c->bytes += bytes;
    c->unread = 0;
    if (c == &l->ack)
        l->lost += lost;
}

static void step_over(struct hint_log *l, struct cursor *c, const struct frame *f,
                      struct slice bytes)
{
    count_lost(l, c, gap_before(l, c, f->seq));
    c->at += bytes.len;
    c->prev = f->seq;
    c->pos.seq = f->seq;
    c->pos.records++;
    c->pos.bytes += f->payload.len;
    c->records++;
    c->bytes += f->payload.len;
}

static void report_gap(struct hint_log *l, const struct cursor *c, uint64_t seq)
{
    uint64_t lost = gap_before(l, c, seq);
    if (lost && seq > l->gap_seen) {
        __atomic_fetch_add(&l->damaged, lost, __ATOMIC_RELAXED);
        l->gap_seen = seq;
    }
}

/* What expired before the cursor came to it: counted as gone then. */
static void pass_dead(struct hint_log *l, struct cursor *c, const struct frame *f,
                      struct slice bytes)
{
    report_gap(l, c, f->seq);
    step_over(l, c, f, bytes);
    if (c != &l->ack)
        return;
    c->seg->dead.records--;
    c->seg->dead.bytes -= f->payload.len;
    l->dead_records--;
    l->dead_bytes -= f->payload.len;
}

/* The dead that can't be read any more have been counted as lost by now, or will be. */
static void leave_segment(struct hint_log *l, struct cursor *c)
{
    if (c == &l->ack) {
        l->dead_records -= c->seg->dead.records;
        l->dead_bytes -= c->seg->dead.bytes;
        c->seg->dead.records = c->seg->dead.bytes = 0;
    }
    count_lost_of_segment(l, c);
}

/* The record behind the cursor, without moving past it. Records with numbers that were seen before
 * (a segment copied back from a backup, an acknowledged beginning) and dead ones are passed over.
 */
static bool peek(struct hint_log *l, struct cursor *c, struct frame *f, struct slice *bytes)
{
    if (!c->seg)
        log_enter(c, LOAD(l->head));
    while (c->seg) {
        /* next before end: once it is linked, end is final */
        struct segment *next = LOAD(c->seg->next);
        uint64_t end = LOAD(c->seg->end), from = c->at;
        while (c->at < end && segment_read(c->seg, &c->window, end, c->prev, check_needed(c->seg),
                                           &c->at, f, bytes)) {
            c->unread += c->at - from;
            if (f->seq > c->pos.seq && !segment_is_dead(c->seg, c->at, f))
                return true;
            if (f->seq > c->pos.seq) {
                pass_dead(l, c, f, *bytes);
            } else {
                c->at += bytes->len;
                c->prev = f->seq;
            }
            from = c->at;
        }
        if (!next)
            return false;
        leave_segment(l, c);
        log_enter(c, next);
    }
    return false;
}

/* With what it has stepped over of its segment: what isn't in that count is taken for lost. */
static void read_on_from_ack(struct hint_log *l)
{
    struct segment_window w = l->read.window; /* log_retire lets go of what it holds */
    l->read = l->ack;
    l->read.window = w;
}

bool hint_log_next(struct hint_log *l, uint64_t after, struct frame *head, struct slice *bytes)
{
    struct cursor *c = &l->read;
    if (after < c->pos.seq || c->pos.seq < l->ack.pos.seq) {
        /* going back, or left behind by what expired: from the acknowledged position on */
        read_on_from_ack(l);
    }
    while (peek(l, c, head, bytes)) {
        if (head->seq > after) {
            report_gap(l, c, head->seq);
            /* stays before it in `at`, so that a second call gives it again unless `after` moved */
            return true;
        }
        step_over(l, c, head, *bytes);
    }
    return false;
}

/* ---- the sender: acknowledging
 * --------------------------------------------------------------------- */

/* A record of 512 MB is a window of 512 MB. */
static void leave_window(struct segment_window *w, const struct segment *s)
{
    if (w->of != s)
        return;
    w->of = NULL;
    buf_fini(&w->bytes);
}

void log_retire(struct hint_log *l, struct segment *s, bool reusable)
{
    bool caught_up = LOAD(l->acked.records) == LOAD(l->appended.records);
    bool keep = reusable && s->map && !s->found && s->dir == l->dir &&
                s->size <= l->o.segment_max && (!caught_up || s->size == l->o.segment_min);
    leave_window(&l->read.window, s);
    leave_window(&l->ack.window, s);
    if (keep)
        s = RCU_SWAP(l->spare, s);
    if (s)
        segment_discard(s);
}

/* Frees from the front what holds nothing but acknowledged records; the tail stays. */
static void free_acked(struct hint_log *l)
{
    struct segment *s;
    while ((s = LOAD(l->head)) && LOAD(s->next) && LOAD(s->last) <= l->acked.seq) {
        struct segment *next = s->next;
        if (l->ack.seg == s) {
            leave_segment(l, &l->ack);
            log_enter(&l->ack, next);
        }
        if (l->read.seg == s)
            read_on_from_ack(l);
        RCU_SET(l->head, next);
        /* a start that finds the file knows that it is done with */
        segment_set_acked(s, l->acked.seq);
        log_retire(l, s, true);
    }
    if ((s = LOAD(l->head)))
        segment_set_acked(s, l->acked.seq);
}

void log_let_go(struct hint_log *l, const struct frame *oldest)
{
    struct hint_position gone = l->ack.pos;
    gone.records += l->dead_records;
    gone.bytes += l->dead_bytes;
    if (oldest)
        STORE(l->oldest_stamp, oldest->stamp);
    store_position(&l->acked, gone);
    free_acked(l);
}

bool log_oldest(struct hint_log *l, struct frame *f, struct slice *bytes)
{
    return peek(l, &l->ack, f, bytes);
}

void hint_log_ack(struct hint_log *l, uint64_t seq)
{
    struct frame f;
    struct slice bytes;
    bool more;
    uint64_t end = LOAD(l->appended.seq);
    seq = seq < end ? seq : end;
    if (seq <= l->acked.seq)
        return;
    while ((more = peek(l, &l->ack, &f, &bytes)) && f.seq <= seq)
        step_over(l, &l->ack, &f, bytes);
    if (!more && l->ack.seg && l->ack.seg->found)
        leave_segment(l, &l->ack);
    if (seq > l->ack.pos.seq) { /* the last ones are damaged, or a new upper half began */
        report_gap(l, &l->ack, seq + 1);
        count_lost(l, &l->ack, gap_before(l, &l->ack, seq + 1));
        l->ack.pos.seq = seq;
    }
    log_let_go(l, more ? &f : NULL);
}
