#include "hint/log.h"
#include "core/clock.h"
#include "core/datadir.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/segment.h"
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

#define LOAD(x)     __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/* A place between two records, and how to get on from there. The sender's. */
struct cursor {
    struct segment *seg;     /* NULL: before the first */
    uint64_t at;             /* offset of the next record */
    uint64_t prev;           /* the number before it in this segment; first - 1 at its start */
    uint64_t unread;         /* bytes passed over since the last record: damaged */
    uint64_t records, bytes; /* of this segment, stepped over */
    struct hint_position pos;
    struct segment_window window;
};

struct hint_log {
    struct hint_log_options o;
    int dir; /* -1: memory */
    char peer[SEGMENT_PEER];
    struct segment *head
        CACHE_ALIGNED;     /* the list, oldest first; moved by the sender, begun by the writer */
    struct segment *spare; /* atomic: an acknowledged segment for use again */
    unsigned dir_dirty;    /* atomic: a file was made or renamed */
    struct hint_position appended; /* the writer's; each field atomic, seq last */
    uint64_t oldest_ms;            /* atomic */
    uint64_t damaged;              /* atomic */
    /* the writer's */
    struct segment *tail;
    struct error error;
    /* the sender's */
    struct hint_position acked CACHE_ALIGNED;
    struct cursor read, ack;
    uint64_t gap_seen; /* damage up to here is reported */
};

/* ---- figures
 * ------------------------------------------------------------------------------------- */

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
    return LOAD(l->acked.records) >= LOAD(l->appended.records) ? 0 : LOAD(l->oldest_ms);
}

uint64_t hint_log_damaged(const struct hint_log *l)
{
    return LOAD(l->damaged);
}

const char *hint_log_error(const struct hint_log *l)
{
    return l->error.text;
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
    switch (segment_open(o->l->dir, name, o->l->peer, &s, &acked, &e)) {
    case SEGMENT_OPENED:
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

static void take_scan(struct opening *o, const struct segment *s, const struct segment_scan *scan)
{
    char text[128];
    struct hint_log_report *r = o->report;
    if (o->last && o->last->last != s->first - 1 && o->last->last >> 32 == s->first >> 32 &&
        s->first - 1 > o->acked) {
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
    if (scan->records && !o->l->oldest_ms)
        o->l->oldest_ms = hlc_ms(scan->oldest_stamp);
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

struct hint_log *hint_log_open(const struct hint_log_options *o, uint64_t floor,
                               struct hint_log_report *report, struct error *e)
{
    struct hint_log *l = MEM_NEW(struct hint_log);
    memset(report, 0, sizeof *report);
    l->o = *o;
    l->o.segment_min = o->segment_min ? o->segment_min : SEGMENT_MIN;
    l->o.segment_max = o->segment_max ? o->segment_max : SEGMENT_MAX;
    l->dir = -1;
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
    position_at_start(l);
    if (floor > l->appended.seq)
        l->appended.seq = floor;
    return l;
fail:
    if (l->dir >= 0)
        close(l->dir);
    mem_free(l);
    return NULL;
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
    if (l->dir >= 0)
        close(l->dir);
    buf_fini(&l->read.window.bytes);
    buf_fini(&l->ack.window.bytes);
    mem_free(l);
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
    uint8_t *to = t->map + t->end;
    frame_head(f, to);
    if (f->payload.len)
        memcpy(to + FRAME_HEAD, f->payload.ptr, f->payload.len);
    segment_end(t->map, t->size, t->end + size);
    if (l->appended.records == LOAD(l->acked.records))
        STORE(l->oldest_ms, hlc_ms(f->stamp));
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

static bool check_needed(const struct segment *s)
{
    return s->found || !s->map;
}

static void enter(struct cursor *c, struct segment *s)
{
    c->seg = s;
    c->at = SEGMENT_HEAD;
    c->records = c->bytes = 0;
    c->prev = s ? s->first - 1 : 0;
}

/* What could be read of a found segment when the log was opened and can't be any more. */
static void count_lost_of_found(struct hint_log *l, struct cursor *c)
{
    struct segment *s = c->seg;
    if (!s->found || c->records >= s->records)
        return;
    uint64_t lost = s->records - c->records;
    c->pos.records += lost;
    c->pos.bytes += s->bytes > c->bytes ? s->bytes - c->bytes : 0;
    c->records = s->records;
    c->bytes = s->bytes;
    if (s->last > l->gap_seen) {
        __atomic_fetch_add(&l->damaged, lost, __ATOMIC_RELAXED);
        l->gap_seen = s->last;
    }
}

/* The record behind the cursor, without moving past it. Records with numbers that were seen before
 * (a segment copied back from a backup, an acknowledged beginning) are passed over. */
static bool peek(struct hint_log *l, struct cursor *c, struct frame *f, struct slice *bytes)
{
    if (!c->seg)
        enter(c, LOAD(l->head));
    while (c->seg) {
        /* next before end: once it is linked, end is final */
        struct segment *next = LOAD(c->seg->next);
        uint64_t end = LOAD(c->seg->end), from = c->at;
        while (c->at < end && segment_read(c->seg, &c->window, end, c->prev, check_needed(c->seg),
                                           &c->at, f, bytes)) {
            c->unread += c->at - from;
            if (f->seq > c->pos.seq)
                return true;
            from = c->at += bytes->len;
            c->prev = f->seq;
        }
        if (!next)
            return false;
        c->unread += end - c->at;
        count_lost_of_found(l, c);
        enter(c, next);
    }
    return false;
}

/* Records that should stand before `seq` and don't: damaged since they were appended. What was
 * found at open was counted without them. */
static uint64_t gap_before(const struct cursor *c, uint64_t seq)
{
    if (!c->seg || c->seg->found || c->pos.seq >> 32 != seq >> 32)
        return 0;
    return seq - c->pos.seq - 1;
}

/* They had been counted as appended, with all the bytes that were passed over but their heads. */
static void count_lost(struct cursor *c, uint64_t lost)
{
    uint64_t heads = lost * FRAME_HEAD;
    c->pos.records += lost;
    c->pos.bytes += lost && c->unread > heads ? c->unread - heads : 0;
    c->unread = 0;
}

static void step_over(struct cursor *c, const struct frame *f, struct slice bytes)
{
    count_lost(c, gap_before(c, f->seq));
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
    uint64_t lost = gap_before(c, seq);
    if (lost && seq > l->gap_seen) {
        __atomic_fetch_add(&l->damaged, lost, __ATOMIC_RELAXED);
        l->gap_seen = seq;
    }
}

bool hint_log_next(struct hint_log *l, uint64_t after, struct frame *head, struct slice *bytes)
{
    struct cursor *c = &l->read;
    if (after < c->pos.seq || c->pos.seq < l->ack.pos.seq) {
        /* going back, or left behind by what expired: from the acknowledged position on */
        struct segment_window w = c->window;
        w.of = NULL;
        *c = l->ack;
        c->window = w;
    }
    while (peek(l, c, head, bytes)) {
        if (head->seq > after) {
            report_gap(l, c, head->seq);
            /* stays before it in `at`, so that a second call gives it again unless `after` moved */
            return true;
        }
        step_over(c, head, *bytes);
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

static void retire(struct hint_log *l, struct segment *s)
{
    bool caught_up = LOAD(l->acked.records) == LOAD(l->appended.records);
    bool keep = s->map && !s->found && s->fd >= 0 && s->size <= l->o.segment_max &&
                (!caught_up || s->size == l->o.segment_min);
    leave_window(&l->read.window, s);
    leave_window(&l->ack.window, s);
    segment_set_acked(s, l->acked.seq); /* a start that finds the file knows that it is done with */
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
        if (l->ack.seg == s)
            enter(&l->ack, next);
        if (l->read.seg == s) {
            enter(&l->read, next);
            if (l->read.pos.seq < l->ack.pos.seq)
                l->read.pos = l->ack.pos;
        }
        RCU_SET(l->head, next);
        retire(l, s);
    }
    if ((s = LOAD(l->head)))
        segment_set_acked(s, l->acked.seq);
}

static void publish_acked(struct hint_log *l, const struct frame *oldest)
{
    if (oldest)
        STORE(l->oldest_ms, hlc_ms(oldest->stamp));
    store_position(&l->acked, l->ack.pos);
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
        step_over(&l->ack, &f, bytes);
    if (!more && l->ack.seg)
        count_lost_of_found(l, &l->ack);
    if (seq > l->ack.pos.seq) { /* the last ones are damaged, or a new upper half began */
        report_gap(l, &l->ack, seq + 1);
        count_lost(&l->ack, gap_before(&l->ack, seq + 1));
        l->ack.pos.seq = seq;
    }
    publish_acked(l, more ? &f : NULL);
    free_acked(l);
}

uint64_t hint_log_expire(struct hint_log *l, uint64_t now_ms)
{
    struct frame f;
    struct slice bytes;
    uint64_t n = 0;
    bool more;
    while ((more = peek(l, &l->ack, &f, &bytes)) && f.deadline && f.deadline < now_ms) {
        step_over(&l->ack, &f, bytes);
        n++;
    }
    if (n == 0)
        return 0;
    publish_acked(l, more ? &f : NULL);
    free_acked(l);
    return n;
}

/* ---- the sender: syncing
 * ---------------------------------------------------------------------------- */

static bool sync_segment(struct hint_log *l, struct segment *s, struct error *e)
{
    uint64_t end = LOAD(s->end);
    if (s->synced >= end)
        return true;
    if (s->fd < 0)
        return error_set(e, "%s: no space: records for the peer are in memory only", l->o.dir);
    if (fdatasync(s->fd) < 0)
        return error_set(e, "%s: fdatasync: %s", l->o.dir, strerror(errno));
    s->synced = end;
    return true;
}

bool hint_log_sync(struct hint_log *l, uint64_t *synced, struct error *e)
{
    uint64_t upto = LOAD(l->appended.seq);
    if (l->dir < 0) {
        *synced = upto;
        return true;
    }
    for (struct segment *s = LOAD(l->head); s; s = LOAD(s->next)) {
        bool sealed = LOAD(s->next) != NULL;
        if (LOAD(s->last) > l->acked.seq && !sync_segment(l, s, e))
            return false;
        if (sealed && s != l->read.seg && s != l->ack.seg)
            segment_unmap(s);
    }
    if (__atomic_exchange_n(&l->dir_dirty, 0, __ATOMIC_ACQ_REL) && fsync(l->dir) < 0) {
        __atomic_store_n(&l->dir_dirty, 1, __ATOMIC_RELEASE);
        return error_set(e, "%s: fsync: %s", l->o.dir, strerror(errno));
    }
    *synced = upto;
    return true;
}
