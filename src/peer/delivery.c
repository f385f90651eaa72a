#include "peer/delivery.h"
#include "core/mem.h"
#include "wire/frame.h"
#include <string.h>

#define MARKER_STEP (16u * 1024) /* an acknowledgement's bytes are known to within this */

void delivery_init(struct delivery *d, struct hint_peer *hints, size_t window)
{
    struct hint_log *log = hint_peer_log(hints);
    *d = (struct delivery){.hints = hints,
                           .log = log,
                           .window = window,
                           .upto = hint_log_appended(log).seq,
                           .heard = hint_log_acked(log).seq};
}

void delivery_fini(struct delivery *d)
{
    mem_free(d->markers);
    mem_free(d->passed);
}

void delivery_allow(struct delivery *d, uint64_t upto)
{
    d->upto = upto > d->upto ? upto : d->upto;
}

/* ---- what had expired --------------------------------------------------------------------------
 */

/* The run that `seq` stands in or before: an index, npassed if it stands behind all. */
static size_t find_run(const struct delivery *d, uint64_t seq)
{
    size_t low = 0, high = d->npassed;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (d->passed[mid].last < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void insert_run(struct delivery *d, size_t at, uint64_t seq)
{
    if (d->npassed == d->cap_passed) {
        d->cap_passed = d->cap_passed ? d->cap_passed * 2 : 16;
        d->passed = mem_realloc(d->passed, d->cap_passed * sizeof *d->passed);
    }
    memmove(d->passed + at + 1, d->passed + at, (d->npassed - at) * sizeof *d->passed);
    d->passed[at] = (struct delivery_run){seq, seq};
    d->npassed++;
}

/* After a break of the link the same record may be met again: it is counted once. */
static void pass_over(struct delivery *d, uint64_t seq, uint64_t *expired)
{
    size_t at = find_run(d, seq);
    d->sent = seq;
    if (at < d->npassed && d->passed[at].first <= seq)
        return;
    ++*expired;
    if (at && d->passed[at - 1].last + 1 == seq)
        d->passed[at - 1].last = seq;
    else
        insert_run(d, at, seq);
}

/* How many of the records up to `seq` were passed over; they are forgotten. */
static uint64_t take_passed(struct delivery *d, uint64_t seq)
{
    uint64_t n = 0;
    size_t gone = 0;
    if (d->npassed == 0)
        return 0;
    for (; gone < d->npassed && d->passed[gone].last <= seq; gone++)
        n += d->passed[gone].last - d->passed[gone].first + 1;
    if (gone < d->npassed && d->passed[gone].first <= seq) {
        n += seq - d->passed[gone].first + 1;
        d->passed[gone].first = seq + 1;
    }
    memmove(d->passed, d->passed + gone, (d->npassed - gone) * sizeof *d->passed);
    d->npassed -= gone;
    return n;
}

void delivery_forget_passed(struct delivery *d)
{
    d->npassed = 0;
}

/* The log lets go; what had expired of it isn't delivered. */
static void let_go(struct delivery *d, uint64_t seq)
{
    hint_peer_passed(d->hints, take_passed(d, seq));
    hint_peer_ack(d->hints, seq);
}

uint64_t delivery_drop(struct delivery *d, uint64_t upto)
{
    hint_peer_passed(d->hints, take_passed(d, upto));
    return hint_peer_drop(d->hints, upto);
}

/* ---- the cursors -------------------------------------------------------------------------------
 */

static void add_marker(struct delivery *d)
{
    struct delivery_marker m = {.seq = d->sent, .bytes = d->sent_bytes};
    if (d->nmarkers && d->sent_bytes - d->markers[d->nmarkers - 1].bytes < MARKER_STEP) {
        d->markers[d->nmarkers - 1].seq = d->sent;
        return;
    }
    if (d->nmarkers == d->cap_markers) {
        d->cap_markers = d->cap_markers ? d->cap_markers * 2 : 64;
        d->markers = mem_realloc(d->markers, d->cap_markers * sizeof *d->markers);
    }
    d->markers[d->nmarkers++] = m;
}

static void set_cursors(struct delivery *d, uint64_t sent, uint64_t told)
{
    d->sent = sent;
    d->told = told;
    d->nmarkers = 0;
    d->sent_bytes = d->acked_bytes = 0;
}

bool delivery_go_on_from(struct delivery *d, uint64_t applied)
{
    bool forward = applied >= d->heard;
    let_go(d, applied);
    uint64_t acked = hint_log_acked(d->log).seq; /* may lie above: what expired is gone, too */
    set_cursors(d, applied > acked ? applied : acked, applied);
    d->heard = applied;
    return forward;
}

uint64_t delivery_cut(struct delivery *d, uint64_t upto)
{
    uint64_t out = d->told < upto ? d->told : upto;
    d->sent = d->sent > upto ? d->sent : upto;
    return out;
}

void delivery_begin_anew(struct delivery *d)
{
    d->heard = 0;
}

void delivery_acked(struct delivery *d, uint64_t seq)
{
    size_t i = 0;
    let_go(d, seq);
    d->heard = seq > d->heard ? seq : d->heard;
    while (i < d->nmarkers && d->markers[i].seq <= seq)
        d->acked_bytes = d->markers[i++].bytes;
    if (i == 0)
        return;
    memmove(d->markers, d->markers + i, (d->nmarkers - i) * sizeof *d->markers);
    d->nmarkers -= i;
    if (d->nmarkers == 0)
        d->acked_bytes = d->sent_bytes;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static void add_skip(struct delivery *d, struct buf *out, uint64_t upto)
{
    frame_add_skip(out, d->told, upto);
    d->told = upto;
}

static void put_out(struct delivery *d, struct buf *out, uint64_t seq, struct slice bytes)
{
    if (d->told + 1 != seq)
        add_skip(d, out, seq - 1);
    buf_add(out, bytes.ptr, bytes.len);
    d->sent = d->told = seq;
    d->sent_bytes += bytes.len;
    add_marker(d);
}

enum delivery_stop delivery_pump(struct delivery *d, struct buf *out, size_t max,
                                 const struct delivery_now *now, uint64_t *expired)
{
    struct frame f;
    struct slice bytes;
    size_t window = now->pace && now->pace < d->window ? now->pace : d->window, before = out->len;
    while (out->len < max && d->sent_bytes - d->acked_bytes < window) {
        if (!hint_peer_next(d->hints, d->sent, &f, &bytes) || f.seq > d->upto) {
            if (d->told < d->upto)
                add_skip(d, out, d->upto);
            return DELIVERY_EMPTY;
        }
        if (f.deadline && f.deadline < now->steady_ms)
            pass_over(d, f.seq, expired);
        else if (out->len - before < now->allowed)
            put_out(d, out, f.seq, bytes);
        else
            return DELIVERY_RATE;
    }
    return DELIVERY_WINDOW;
}
