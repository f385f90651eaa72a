/* The queue is a binary heap of (time, order of making): what happens at one time happens in the
 * order in which it was caused, so a run depends on nothing but its seed. */
#include "net.h"
#include "core/mem.h"
#include <assert.h>
#include <math.h>
#include <string.h>

#define NOBODY     UINT32_MAX
#define NEVER      UINT64_MAX
#define WALL_START 1700000000000000u /* us since 1970, at true time 0 */
#define FAR        1000000000000u    /* us: no alarm is set for later than this */

enum event_type {
    E_ALARM,
    E_TIMER,
    E_WAKE, /* a node goes on with what waits for it */
    E_DATAGRAM,
    /* what travels on a stream */
    E_OPENED,
    E_RECORD,
    E_CLOSED
};

struct event {
    struct event *next; /* at its node, or behind it on its stream */
    enum event_type type;
    uint32_t node; /* where it happens, or NOBODY */
    uint32_t life; /* of the node; another one makes it void */
    uint32_t from, stream;
    bool dropped;           /* on a stream: it is thrown away when its turn comes */
    uint64_t ready, resend; /* on a stream: not before; the pause if it is lost */
    net_fn *fn;
    void *arg;
    uint64_t value; /* E_ALARM: the time it is queued for */
    size_t size;
    unsigned char bytes[];
};

struct fifo {
    struct event *head, *tail;
};

struct node {
    struct net_handlers h;
    uint32_t area;
    uint32_t life; /* odd while it lives */
    bool lost, paused, wakes;
    bool rings; /* its alarm came and waits with the rest */
    struct fifo waiting;
    uint64_t us_each, busy_until;
    /* the monotonic clock: showed clock_base at true_base, goes ppm too fast */
    uint64_t true_base, clock_base, clock_first;
    int ppm;
    int64_t wall_off;
    uint64_t alarm, alarm_queued; /* by its clock; in true time */
};

struct road { /* between two areas */
    bool own; /* it has delays of its own */
    struct net_delay delay;
    double loss;
};

struct way { /* one direction of a stream, to end[i] */
    struct fifo travelling;
    size_t unread;
};

struct stream {
    uint32_t end[2], life[2]; /* life[1] is 0 until it is accepted */
    bool open[2];
    struct way to[2];
};

struct entry {
    uint64_t when, order;
    struct event *e;
};

struct net {
    struct net_options o;
    struct road roads[NET_AREAS][NET_AREAS];
    struct chance chance;
    uint64_t now, order, trace;
    struct entry *heap;
    size_t nheap, heap_cap;
    struct node *nodes;
    unsigned nnodes, nodes_cap;
    struct stream *streams;
    uint32_t nstreams, streams_cap;
    uint32_t oldest; /* streams below it are closed at both ends */
    uint64_t *cuts;  /* bits from * cuts_width + to; NULL: nothing is cut */
    unsigned cuts_width;
    struct net_traffic traffic;
};

static void dispatch(struct net *n, struct event *e);

/* ---- the heap ---------------------------------------------------------------------------------
 */

static bool comes_before(const struct entry *a, const struct entry *b)
{
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static void push(struct net *n, uint64_t when, struct event *e)
{
    if (n->nheap == n->heap_cap) {
        n->heap_cap = n->heap_cap ? n->heap_cap * 2 : 256;
        n->heap = mem_realloc(n->heap, n->heap_cap * sizeof *n->heap);
    }
    struct entry x = {when, n->order++, e};
    size_t i = n->nheap++;
    while (i > 0 && comes_before(&x, &n->heap[(i - 1) / 2])) {
        n->heap[i] = n->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    n->heap[i] = x;
}

static struct event *pop(struct net *n)
{
    struct event *e = n->heap[0].e;
    struct entry x = n->heap[--n->nheap];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < n->nheap) {
        if (child + 1 < n->nheap && comes_before(&n->heap[child + 1], &n->heap[child]))
            child++;
        if (!comes_before(&n->heap[child], &x))
            break;
        n->heap[i] = n->heap[child];
        i = child;
    }
    n->heap[i] = x;
    return e;
}

static struct event *event_new(const struct net *n, enum event_type type, uint32_t node,
                               size_t size)
{
    struct event *e = mem_alloc(sizeof *e + size);
    *e = (struct event){.type = type, .node = node, .size = size};
    if (node != NOBODY)
        e->life = n->nodes[node].life;
    return e;
}

static void fifo_add(struct fifo *f, struct event *e)
{
    e->next = NULL;
    if (f->tail)
        f->tail->next = e;
    else
        f->head = e;
    f->tail = e;
}

static struct event *fifo_take(struct fifo *f)
{
    struct event *e = f->head;
    f->head = e->next;
    if (!f->head)
        f->tail = NULL;
    return e;
}

static void fifo_drop(struct fifo *f)
{
    while (f->head)
        mem_free(fifo_take(f));
}

/* ---- making and unmaking ----------------------------------------------------------------------
 */

void net_set_options(struct net *n, const struct net_options *o)
{
    n->o = *o;
    if (!n->o.resend_min)
        n->o.resend_min = 200 * NET_MS;
    if (!n->o.resend_max)
        n->o.resend_max = 2 * NET_S;
}

const struct net_options *net_get_options(const struct net *n)
{
    return &n->o;
}

struct net *net_new(const struct net_options *o, uint64_t seed)
{
    struct net *n = MEM_NEW(struct net);
    net_set_options(n, o);
    chance_seed(&n->chance, seed);
    n->trace = seed;
    return n;
}

void net_free(struct net *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < n->nnodes; i++)
        fifo_drop(&n->nodes[i].waiting);
    /* The head of what travels on a stream lies in the heap too. */
    for (size_t i = 0; i < n->nheap; i++)
        if (n->heap[i].e->type < E_OPENED)
            mem_free(n->heap[i].e);
    for (uint32_t i = 0; i < n->nstreams; i++) {
        fifo_drop(&n->streams[i].to[0].travelling);
        fifo_drop(&n->streams[i].to[1].travelling);
    }
    mem_free(n->heap);
    mem_free(n->nodes);
    mem_free(n->streams);
    mem_free(n->cuts);
    mem_free(n);
}

struct chance *net_chance(struct net *n)
{
    return &n->chance;
}

/* ---- clocks and alarms ------------------------------------------------------------------------
 */

uint64_t net_now(const struct net *n)
{
    return n->now;
}

uint64_t net_clock(const struct net *n, unsigned node)
{
    const struct node *x = &n->nodes[node];
    uint64_t gone = n->now - x->true_base;
    return x->clock_base + gone + (uint64_t)((int64_t)gone * x->ppm / 1000000);
}

uint64_t net_wall(const struct net *n, unsigned node)
{
    const struct node *x = &n->nodes[node];
    return WALL_START + (uint64_t)((int64_t)(net_clock(n, node) - x->clock_first) + x->wall_off);
}

void net_set_drift(struct net *n, unsigned node, int ppm)
{
    assert(ppm > -1000000);
    struct node *x = &n->nodes[node];
    x->clock_base = net_clock(n, node);
    x->true_base = n->now;
    x->ppm = ppm;
    if (x->alarm != NEVER)
        net_alarm(n, node, x->alarm);
}

void net_set_wall(struct net *n, unsigned node, int64_t off_us)
{
    n->nodes[node].wall_off += (int64_t)(WALL_START + n->now - net_wall(n, node)) + off_us;
}

/* The true time at which the node's clock shows at least `clock`. */
static uint64_t true_time(const struct net *n, unsigned node, uint64_t clock)
{
    const struct node *x = &n->nodes[node];
    uint64_t shows = net_clock(n, node);
    if (clock <= shows)
        return n->now;
    uint64_t left = clock - shows < FAR ? clock - shows : FAR;
    uint64_t rate = (uint64_t)(1000000 + x->ppm);
    return n->now + (left * 1000000 + rate - 1) / rate;
}

static void queue_alarm(struct net *n, unsigned node, uint64_t when)
{
    struct event *e = event_new(n, E_ALARM, node, 0);
    e->value = n->nodes[node].alarm_queued = when;
    push(n, when, e);
}

void net_alarm(struct net *n, unsigned node, uint64_t clock_us)
{
    struct node *x = &n->nodes[node];
    x->alarm = clock_us;
    if (clock_us == NEVER || !net_lives(n, node))
        return;
    uint64_t when = true_time(n, node, clock_us);
    if (when < x->alarm_queued)
        queue_alarm(n, node, when);
}

/* An alarm that was queued: is it the one that counts, and is it time? */
static bool alarm_rings(struct net *n, const struct event *e)
{
    struct node *x = &n->nodes[e->node];
    if (e->value != x->alarm_queued)
        return false;
    x->alarm_queued = NEVER;
    if (x->alarm == NEVER || x->rings)
        return false;
    if (net_clock(n, e->node) < x->alarm) {
        queue_alarm(n, e->node, true_time(n, e->node, x->alarm));
        return false;
    }
    x->alarm = NEVER;
    x->rings = true;
    return true;
}

void net_timer(struct net *n, unsigned node, uint64_t at, net_fn *fn, void *arg, uint64_t value)
{
    struct event *e = event_new(n, E_TIMER, node, 0);
    e->fn = fn;
    e->arg = arg;
    e->value = value;
    push(n, at > n->now ? at : n->now, e);
}

void net_at(struct net *n, uint64_t at, net_fn *fn, void *arg, uint64_t value)
{
    net_timer(n, NOBODY, at, fn, arg, value);
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

static const struct road *own_road(const struct net *n, unsigned from, unsigned to)
{
    const struct road *r = &n->roads[n->nodes[from].area][n->nodes[to].area];
    return r->own ? r : NULL;
}

static bool is_lost(struct net *n, unsigned from, unsigned to)
{
    const struct road *r = own_road(n, from, to);
    return chance_of(&n->chance, r ? r->loss : n->o.loss);
}

static uint64_t draw_delay(struct net *n, unsigned from, unsigned to)
{
    const struct road *r = own_road(n, from, to);
    const struct net_delay *d = r ? &r->delay : &n->o.delay;
    if (d->type == NET_FIXED || d->max <= d->min)
        return d->min;
    if (d->type == NET_UNIFORM)
        return chance_range(&n->chance, d->min, d->max);
    double us = (double)d->min * pow(1 - chance_unit(&n->chance), -2.0 / 3);
    return us < (double)d->max ? (uint64_t)us : d->max;
}

static void send_one(struct net *n, unsigned from, unsigned to, const void *bytes, size_t size)
{
    struct event *e = event_new(n, E_DATAGRAM, to, size);
    e->from = from;
    if (size)
        memcpy(e->bytes, bytes, size);
    uint64_t delay = draw_delay(n, from, to);
    if (chance_of(&n->chance, n->o.late))
        delay += chance_below(&n->chance, n->o.late_by + 1);
    push(n, n->now + delay, e);
}

void net_send(struct net *n, unsigned from, unsigned to, const void *bytes, size_t size)
{
    if (!net_lives(n, from))
        return;
    n->traffic.sent++;
    n->traffic.bytes += size;
    if (!net_lives(n, to) || net_is_cut(n, from, to) || is_lost(n, from, to)) {
        n->traffic.lost++;
        return;
    }
    send_one(n, from, to, bytes, size);
    if (chance_of(&n->chance, n->o.doubled))
        send_one(n, from, to, bytes, size);
}

/* Streams. What travels in one direction is a queue; only its head is in the heap. */

static struct stream *find_stream(const struct net *n, uint32_t stream)
{
    assert(stream > 0 && stream <= n->nstreams);
    return &n->streams[stream - 1];
}

static unsigned end_of(const struct stream *s, unsigned node)
{
    assert(s->end[0] == node || s->end[1] == node);
    return s->end[0] == node ? 0 : 1;
}

/* They go when their turn comes: the head lies in the heap. */
static void drop_way(struct way *w)
{
    for (struct event *e = w->travelling.head; e; e = e->next)
        e->dropped = true;
}

static void travel(struct net *n, struct stream *s, uint32_t stream, unsigned to, struct event *e)
{
    e->from = s->end[!to];
    e->stream = stream;
    e->ready = n->now + draw_delay(n, s->end[!to], s->end[to]);
    e->resend = n->o.resend_min;
    s->to[to].unread += e->size;
    bool alone = !s->to[to].travelling.head;
    fifo_add(&s->to[to].travelling, e);
    if (alone)
        push(n, e->ready, e);
}

uint32_t net_open(struct net *n, unsigned from, unsigned to)
{
    assert(from != to && net_lives(n, from));
    if (n->nstreams == n->streams_cap) {
        n->streams_cap = n->streams_cap ? n->streams_cap * 2 : 64;
        n->streams = mem_realloc(n->streams, n->streams_cap * sizeof *n->streams);
    }
    struct stream *s = &n->streams[n->nstreams++];
    *s = (struct stream){.end = {from, to}, .life = {n->nodes[from].life, 0}, .open = {true, true}};
    travel(n, s, n->nstreams, 1, event_new(n, E_OPENED, to, 0));
    return n->nstreams;
}

bool net_write(struct net *n, uint32_t stream, unsigned from, const void *bytes, size_t size)
{
    struct stream *s = find_stream(n, stream);
    unsigned me = end_of(s, from);
    if (!s->open[me])
        return false;
    n->traffic.sent++;
    n->traffic.bytes += size;
    struct event *e = event_new(n, E_RECORD, s->end[!me], size);
    if (size)
        memcpy(e->bytes, bytes, size);
    travel(n, s, stream, !me, e);
    return true;
}

void net_close(struct net *n, uint32_t stream, unsigned from)
{
    struct stream *s = find_stream(n, stream);
    unsigned me = end_of(s, from);
    if (!s->open[me])
        return;
    s->open[me] = false;
    drop_way(&s->to[me]);
    if (s->open[!me])
        travel(n, s, stream, !me, event_new(n, E_CLOSED, s->end[!me], 0));
}

size_t net_unread(const struct net *n, uint32_t stream, unsigned from)
{
    const struct stream *s = find_stream(n, stream);
    return s->to[!end_of(s, from)].unread;
}

/* The head of one direction can't come now and tries again. */
static void come_later(struct net *n, struct event *e)
{
    n->traffic.lost++;
    push(n, n->now + e->resend, e);
    e->resend = e->resend * 2 < n->o.resend_max ? e->resend * 2 : n->o.resend_max;
}

/* A stream comes to its other end: accepted, refused where nobody listens, or (a lost machine) not
 * even that. False: it tries again. */
static bool knock(struct net *n, struct stream *s, const struct event *e)
{
    const struct node *x = &n->nodes[e->node];
    if (net_lives(n, e->node)) {
        s->life[1] = x->life;
        return true;
    }
    if (x->lost && s->open[0])
        return false;
    s->open[1] = false;
    if (s->open[0])
        travel(n, s, e->stream, 0, event_new(n, E_CLOSED, s->end[0], 0));
    return true;
}

/* The head of one direction has come. */
static void arrive(struct net *n, struct event *e)
{
    struct stream *s = find_stream(n, e->stream);
    unsigned to = end_of(s, e->node);
    struct way *w = &s->to[to];
    bool wanted = !e->dropped && s->open[to];
    if (wanted && (net_is_cut(n, e->from, e->node) || is_lost(n, e->from, e->node) ||
                   (e->type == E_OPENED && !knock(n, s, e)))) {
        come_later(n, e);
        return;
    }
    fifo_take(&w->travelling);
    if (w->travelling.head) {
        uint64_t ready = w->travelling.head->ready;
        push(n, ready > n->now ? ready : n->now, w->travelling.head);
    }
    if (wanted && s->open[to] && s->life[to] == n->nodes[e->node].life) {
        dispatch(n, e);
        return;
    }
    w->unread -= e->size;
    mem_free(e);
}

/* ---- nodes ------------------------------------------------------------------------------------
 */

unsigned net_add(struct net *n, const struct net_handlers *h)
{
    if (n->nnodes == n->nodes_cap) {
        n->nodes_cap = n->nodes_cap ? n->nodes_cap * 2 : 16;
        n->nodes = mem_realloc(n->nodes, n->nodes_cap * sizeof *n->nodes);
    }
    /* Monotonic clocks have nothing in common between nodes. */
    uint64_t first = chance_range(&n->chance, NET_S, 4000u * NET_S);
    n->nodes[n->nnodes] = (struct node){.h = *h,
                                        .true_base = n->now,
                                        .clock_base = first,
                                        .clock_first = first - n->now,
                                        .alarm = NEVER,
                                        .alarm_queued = NEVER};
    return n->nnodes++;
}

unsigned net_count(const struct net *n)
{
    return n->nnodes;
}

bool net_lives(const struct net *n, unsigned node)
{
    return n->nodes[node].life & 1;
}

bool net_is_paused(const struct net *n, unsigned node)
{
    return n->nodes[node].paused;
}

void net_start(struct net *n, unsigned node)
{
    struct node *x = &n->nodes[node];
    assert(!net_lives(n, node));
    x->life++;
    x->lost = x->paused = x->wakes = x->rings = false;
    x->busy_until = 0;
    net_note(n, 0x57a47 + node);
}

static void end_streams(struct net *n, unsigned node, bool told)
{
    for (uint32_t i = n->oldest; i < n->nstreams; i++) {
        struct stream *s = &n->streams[i];
        if (!s->open[0] && !s->open[1] && i == n->oldest)
            n->oldest++;
        if (s->end[0] != node && s->end[1] != node)
            continue;
        unsigned me = end_of(s, node);
        if (!s->open[me] || s->life[me] != n->nodes[node].life)
            continue;
        if (told) {
            net_close(n, i + 1, node);
        } else {
            s->open[me] = false;
            drop_way(&s->to[0]);
            drop_way(&s->to[1]);
        }
    }
}

static void end_life(struct net *n, unsigned node, bool told)
{
    struct node *x = &n->nodes[node];
    if (!net_lives(n, node))
        return;
    x->lost = !told;
    end_streams(n, node, told);
    x->life++;
    x->paused = false;
    x->alarm = x->alarm_queued = NEVER;
    fifo_drop(&x->waiting);
    net_note(n, 0xdead + node);
}

void net_kill(struct net *n, unsigned node)
{
    end_life(n, node, true);
}

void net_lose(struct net *n, unsigned node)
{
    end_life(n, node, false);
}

static void wake_at(struct net *n, unsigned node, uint64_t when)
{
    struct node *x = &n->nodes[node];
    if (x->wakes || !x->waiting.head)
        return;
    x->wakes = true;
    push(n, when > n->now ? when : n->now, event_new(n, E_WAKE, node, 0));
}

void net_pause(struct net *n, unsigned node)
{
    n->nodes[node].paused = net_lives(n, node);
}

void net_resume(struct net *n, unsigned node)
{
    struct node *x = &n->nodes[node];
    x->paused = false;
    wake_at(n, node, x->busy_until);
}

void net_slow(struct net *n, unsigned node, uint64_t us_each)
{
    n->nodes[node].us_each = us_each;
}

/* ---- areas ------------------------------------------------------------------------------------
 */

void net_set_area(struct net *n, unsigned node, unsigned area)
{
    assert(area < NET_AREAS);
    n->nodes[node].area = area;
}

void net_set_road(struct net *n, unsigned area, unsigned other, const struct net_delay *delay,
                  double loss)
{
    assert(area < NET_AREAS && other < NET_AREAS);
    struct road r = {.own = true, .delay = *delay, .loss = loss};
    n->roads[area][other] = n->roads[other][area] = r;
}

/* ---- cuts -------------------------------------------------------------------------------------
 */

static void make_cuts(struct net *n)
{
    if (n->cuts_width >= n->nnodes && n->cuts)
        return;
    unsigned width = (n->nnodes + 63) / 64 * 64;
    uint64_t *wider = mem_calloc((size_t)width * width / 64, sizeof *wider);
    for (unsigned i = 0; n->cuts && i < n->cuts_width; i++)
        memcpy(wider + (size_t)i * width / 64, n->cuts + (size_t)i * n->cuts_width / 64,
               n->cuts_width / 8);
    mem_free(n->cuts);
    n->cuts = wider;
    n->cuts_width = width;
}

void net_cut(struct net *n, unsigned from, unsigned to, bool cut)
{
    make_cuts(n);
    size_t bit = (size_t)from * n->cuts_width + to;
    uint64_t mask = UINT64_C(1) << (bit % 64);
    if (cut)
        n->cuts[bit / 64] |= mask;
    else
        n->cuts[bit / 64] &= ~mask;
}

void net_partition(struct net *n, const unsigned *group)
{
    for (unsigned i = 0; i < n->nnodes; i++)
        for (unsigned j = 0; j < n->nnodes; j++)
            if (group[i] != group[j])
                net_cut(n, i, j, true);
}

void net_heal(struct net *n)
{
    mem_free(n->cuts);
    n->cuts = NULL;
    n->cuts_width = 0;
}

bool net_is_cut(const struct net *n, unsigned from, unsigned to)
{
    if (!n->cuts || from >= n->cuts_width || to >= n->cuts_width)
        return false;
    size_t bit = (size_t)from * n->cuts_width + to;
    return n->cuts[bit / 64] >> (bit % 64) & 1;
}

/* ---- what happens -----------------------------------------------------------------------------
 */

struct net_traffic net_traffic(const struct net *n)
{
    return n->traffic;
}

uint64_t net_trace(const struct net *n)
{
    return n->trace;
}

void net_note(struct net *n, uint64_t value)
{
    uint64_t x = n->trace ^ value;
    n->trace = chance_mix(&x);
}

static void note_event(struct net *n, const struct event *e)
{
    net_note(n, n->now);
    net_note(n, (uint64_t)e->type << 32 | e->node);
    for (size_t at = 0; at < e->size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, e->bytes + at, e->size - at < 8 ? e->size - at : 8);
        net_note(n, word);
    }
}

static void happen_on_stream(struct net *n, const struct net_handlers *h, const struct event *e)
{
    struct stream *s = find_stream(n, e->stream);
    unsigned me = end_of(s, e->node);
    s->to[me].unread -= e->size;
    if (!s->open[me])
        return;
    if (e->type == E_OPENED && h->opened)
        h->opened(h->arg, e->node, e->from, e->stream);
    if (e->type == E_RECORD && h->record)
        h->record(h->arg, e->node, e->stream, e->bytes, e->size);
    if (e->type == E_CLOSED) {
        s->open[me] = false;
        drop_way(&s->to[!me]);
        if (h->closed)
            h->closed(h->arg, e->node, e->stream);
    }
}

static void happen(struct net *n, const struct event *e)
{
    struct net_handlers h = {0};
    if (e->node != NOBODY) {
        struct node *x = &n->nodes[e->node];
        h = x->h;
        x->busy_until = n->now + x->us_each;
        x->rings = x->rings && e->type != E_ALARM;
    }
    note_event(n, e);
    if (e->type == E_TIMER)
        e->fn(e->arg, e->value);
    else if (e->type == E_ALARM)
        h.alarm(h.arg, e->node);
    else if (e->type == E_DATAGRAM && h.datagram)
        h.datagram(h.arg, e->node, e->from, e->bytes, e->size);
    else if (e->type >= E_OPENED)
        happen_on_stream(n, &h, e);
}

/* At a node that is paused, busy, or has something that waits, it waits too. Takes e. */
static void dispatch(struct net *n, struct event *e)
{
    if (e->node != NOBODY) {
        struct node *x = &n->nodes[e->node];
        if (x->paused || x->waiting.head || x->busy_until > n->now) {
            fifo_add(&x->waiting, e);
            if (!x->paused)
                wake_at(n, e->node, x->busy_until);
            return;
        }
    }
    happen(n, e);
    mem_free(e);
}

static void wake(struct net *n, unsigned node)
{
    struct node *x = &n->nodes[node];
    x->wakes = false;
    if (x->paused || !x->waiting.head)
        return;
    struct event *e = fifo_take(&x->waiting);
    happen(n, e);
    mem_free(e);
    x = &n->nodes[node];
    if (!x->paused)
        wake_at(n, node, x->busy_until);
}

bool net_step(struct net *n, uint64_t until)
{
    if (!n->nheap || n->heap[0].when > until)
        return false;
    n->now = n->heap[0].when;
    struct event *e = pop(n);
    if (e->type >= E_OPENED) {
        arrive(n, e);
        return true;
    }
    bool is_void = e->node != NOBODY && e->life != n->nodes[e->node].life;
    if (is_void || (e->type == E_ALARM && !alarm_rings(n, e))) {
        mem_free(e);
    } else if (e->type == E_WAKE) {
        wake(n, e->node);
        mem_free(e);
    } else {
        dispatch(n, e);
    }
    return true;
}

void net_run(struct net *n, uint64_t until)
{
    while (net_step(n, until)) {
    }
    if (until > n->now)
        n->now = until;
}
