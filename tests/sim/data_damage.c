/* Where the simulator reaches into the servers, by the linker's --wrap: to see what a log refused
 * or a power cut took, and to break on purpose what the checks then must find. */
#include "client/recent.h"
#include "core/mem.h"
#include "data_commands.h"
#include "data_world.h"
#include "gossip/words.h"
#include "peer/delivery.h"
#include "request/effect.h"
#include "request/hedge.h"
#include "request/plan.h"
#include "request/pulse.h"
#include "request/quorum.h"
#include "request/replicate.h"
#include "request/sources.h"
#include "request/writer.h"
#include "wire/resp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer *__real_writer_start(const struct writer_options *o, struct error *e);
struct writer *__wrap_writer_start(const struct writer_options *o, struct error *e);
enum verdict __real_replicate_to(struct replicate *r, unsigned node,
                                 const struct replicate_write *w, uint64_t *seq, enum refusal *why);
enum verdict __wrap_replicate_to(struct replicate *r, unsigned node,
                                 const struct replicate_write *w, uint64_t *seq, enum refusal *why);
enum verdict __real_replicate_to_own(struct replicate *r, const struct replicate_write *w,
                                     uint64_t *seq, enum refusal *why);
enum verdict __wrap_replicate_to_own(struct replicate *r, const struct replicate_write *w,
                                     uint64_t *seq, enum refusal *why);
enum number_verdict __real_source_take(struct source *s, const struct frame *f);
enum number_verdict __wrap_source_take(struct source *s, const struct frame *f);
bool __real_delivery_go_on_from(struct delivery *d, uint64_t applied);
bool __wrap_delivery_go_on_from(struct delivery *d, uint64_t applied);
enum delivery_stop __real_delivery_pump(struct delivery *d, struct buf *out, size_t max,
                                        const struct delivery_now *now, uint64_t *expired);
enum delivery_stop __wrap_delivery_pump(struct delivery *d, struct buf *out, size_t max,
                                        const struct delivery_now *now, uint64_t *expired);
enum quorum_outcome __real_quorum_write(enum consistency level, bool sloppy, bool blind,
                                        const struct write_word *w, unsigned n,
                                        struct shortfall *lacking);
enum quorum_outcome __wrap_quorum_write(enum consistency level, bool sloppy, bool blind,
                                        const struct write_word *w, unsigned n,
                                        struct shortfall *lacking);
bool __real_plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                       const struct replica_view *v, unsigned n, struct shortfall *lacking);
bool __wrap_plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                       const struct replica_view *v, unsigned n, struct shortfall *lacking);
bool __real_hint_log_sync_behind(struct hint_log *l, uint64_t known, uint64_t *synced,
                                 struct error *e);
bool __wrap_hint_log_sync_behind(struct hint_log *l, uint64_t known, uint64_t *synced,
                                 struct error *e);

uint64_t __real_pulse_settled(const struct pulse *p);
uint64_t __wrap_pulse_settled(const struct pulse *p);

struct hint_store *__real_hint_store_open(const struct hint_store_options *o, struct error *e);
struct hint_store *__wrap_hint_store_open(const struct hint_store_options *o, struct error *e);
void __real_hint_peer_tune(struct hint_peer *p, size_t segment_min, size_t live_limit);
void __wrap_hint_peer_tune(struct hint_peer *p, size_t segment_min, size_t live_limit);
struct doorman *__wrap_doorman_start(int fd, bool memcache, struct error *e);
void __wrap_doorman_stop(struct doorman *d, void (*take)(void *arg, int fd, struct buf *in),
                         void *arg);

struct seat *__real_seat_get(const uint8_t id[GOSSIP_ID], const struct member_place *place);
struct seat *__wrap_seat_get(const uint8_t id[GOSSIP_ID], const struct member_place *place);
struct word *__real_word_get(struct seat *t, uint64_t incarnation, enum node_state said,
                             enum claim claim, bool serves);
struct word *__wrap_word_get(struct seat *t, uint64_t incarnation, enum node_state said,
                             enum claim claim, bool serves);

void __real_seat_unref(struct seat *t);
void __wrap_seat_unref(struct seat *t);
void __real_word_unref(struct word *w);
void __wrap_word_unref(struct word *w);

void __real_hedges_ask(struct hedges *h, struct hedge_wait *w, uint16_t node, bool may,
                       uint64_t now_us);
void __wrap_hedges_ask(struct hedges *h, struct hedge_wait *w, uint16_t node, bool may,
                       uint64_t now_us);
struct hedge_wait *__real_hedges_next(struct hedges *h, uint64_t now_us);
struct hedge_wait *__wrap_hedges_next(struct hedges *h, uint64_t now_us);

void __real_recent_note(struct recent *r, const struct requests *rs, uint32_t token,
                        const struct request_result *result);
void __wrap_recent_note(struct recent *r, const struct requests *rs, uint32_t token,
                        const struct request_result *result);

struct effect __real_effect_tell(const struct command_spec *spec, const struct resp_command *cmd,
                                 const struct effect_replies *r, struct buf *out);
struct effect __wrap_effect_tell(const struct command_spec *spec, const struct resp_command *cmd,
                                 const struct effect_replies *r, struct buf *out);
void __real_request_serve_execute(struct requests *rs, const struct frame *f, store_read_fn *fn,
                                  void *arg);
void __wrap_request_serve_execute(struct requests *rs, const struct frame *f, store_read_fn *fn,
                                  void *arg);

const char *data_damage_name(enum data_damage d)
{
    static const char *const names[] = {"none", "cut",    "numbers", "early",  "forget", "stamps",
                                        "sent", "quorum", "foreign", "effect", "own",    "down"};
    return names[d];
}

bool damage_wants_quorums(enum data_damage d)
{
    return d == DAMAGE_QUORUM || d == DAMAGE_FOREIGN || d == DAMAGE_DOWN;
}

/* ---- what was appended, and what a power cut takes of it ---------------------------------------
 */

struct logged {
    uint8_t node, peer;
    unsigned key;
    uint64_t seq;
};

static struct logged *appended;
static size_t nappended, cap_appended;
static uint64_t synced_upto[NODES_MAX][NODES_MAX];
static unsigned refused_in[NODES_MAX][NODES_MAX]; /* this life of the node; 0: never */

static unsigned key_of_command(struct slice command)
{
    struct resp_command cmd = {0};
    unsigned key = 0;
    if (resp_command_parse(command, &cmd) && cmd.argc > data_command_key(&cmd))
        key = data_key_of(cmd.argv[data_command_key(&cmd)]);
    resp_command_fini(&cmd);
    return key;
}

static void note_append(unsigned peer, uint64_t seq, struct slice command)
{
    if (nappended == cap_appended) {
        cap_appended = cap_appended ? 2 * cap_appended : 1024;
        appended = realloc(appended, cap_appended * sizeof *appended);
        if (!appended)
            abort();
    }
    appended[nappended++] = (struct logged){.node = (uint8_t)os_current(),
                                            .peer = (uint8_t)peer,
                                            .key = key_of_command(command),
                                            .seq = seq};
}

struct peer *damage_peer_of(unsigned node, unsigned peer)
{
    const struct node *x = &world.nodes[node];
    const struct topology *t = *x->topology;
    if (peer == node)
        return x->peers->own;
    for (unsigned i = 0; i < t->n; i++)
        if (world_node_at(node, i) == peer)
            return x->peers->at[i];
    return NULL;
}

bool __wrap_hint_log_sync_behind(struct hint_log *l, uint64_t known, uint64_t *synced,
                                 struct error *e)
{
    bool ok = __real_hint_log_sync_behind(l, known, synced, e);
    unsigned node = os_current();
    for (unsigned i = 0; ok && i < world.n; i++)
        if (damage_peer_of(node, i) && damage_peer_of(node, i)->log == l)
            synced_upto[node][i] = *synced;
    return ok;
}

static void keep_appended(bool (*keep)(const struct logged *a, void *arg), void *arg)
{
    size_t n = 0;
    for (size_t i = 0; i < nappended; i++)
        if (keep(&appended[i], arg))
            appended[n++] = appended[i];
    nappended = n;
}

static bool is_unacknowledged(const struct logged *a, void *arg)
{
    unsigned node = *(unsigned *)arg;
    return a->node != node || a->seq > hint_log_acked(damage_peer_of(node, a->peer)->log).seq;
}

static bool is_in_log(const struct peer *p, uint64_t seq)
{
    struct frame f;
    struct slice bytes;
    return hint_log_next(p->log, seq - 1, &f, &bytes) && f.seq == seq;
}

static bool has_arrived(const struct logged *a)
{
    return data_store_number(a->peer, world.nodes[a->node].id) >= a->seq;
}

/* What isn't there any more must have been applied, or not have been promised. */
static bool is_still_there(const struct logged *a, void *arg)
{
    unsigned node = *(unsigned *)arg;
    if (a->node != node || is_in_log(damage_peer_of(node, a->peer), a->seq))
        return true;
    if (has_arrived(a))
        return false;
    if (a->seq <= synced_upto[node][a->peer])
        world_wrong("node %u: a write of k%u for node %u that was on disk is gone", node, a->key,
                    a->peer);
    world.keys[a->key].repair = true;
    return false;
}

void damage_after_restart(unsigned node)
{
    keep_appended(is_still_there, &node);
}

/* ---- small segments: many of them, used again and again -----------------------------------------
 */

/* A start takes no time here: nobody comes meanwhile. */
struct doorman *__wrap_doorman_start(int fd, bool memcache, struct error *e)
{
    static char nobody;
    (void)fd, (void)memcache, (void)e;
    return (struct doorman *)(void *)&nobody;
}

void __wrap_doorman_stop(struct doorman *d, void (*take)(void *arg, int fd, struct buf *in),
                         void *arg)
{
    (void)d, (void)take, (void)arg;
}

struct hint_store *__wrap_hint_store_open(const struct hint_store_options *o, struct error *e)
{
    struct hint_store_options small = *o;
    small.segment_min = world.segment;
    small.segment_max = 4 * world.segment;
    return __real_hint_store_open(&small, e);
}

void __wrap_hint_peer_tune(struct hint_peer *p, size_t segment_min, size_t live_limit)
{
    (void)segment_min;
    __real_hint_peer_tune(p, world.segment, live_limit);
}

/* ---- the stamps' clock and the watermark never go back, also over restarts ----------------------
 */

static struct {
    uint64_t newest, before; /* stamp given; in earlier lives */
    uint64_t watermark;      /* the highest that was published */
} clocks[NODES_MAX];

static void look_at_watermark(unsigned node)
{
    uint64_t now = *world.nodes[node].watermark;
    clocks[node].watermark = now > clocks[node].watermark ? now : clocks[node].watermark;
}

static void look_at_stamp(uint64_t stamp)
{
    unsigned node = os_current();
    look_at_watermark(node);
    if (stamp <= clocks[node].before)
        world_wrong("node %u gives the stamp %llx, and gave %llx before it was killed", node,
                    (unsigned long long)stamp, (unsigned long long)clocks[node].before);
    if (stamp < clocks[node].watermark)
        world_wrong("node %u gives the stamp %llx below its watermark %llx", node,
                    (unsigned long long)stamp, (unsigned long long)clocks[node].watermark);
    if (stamp > clocks[node].newest)
        clocks[node].newest = stamp;
}

static void clock_before_kill(unsigned node)
{
    if (world.nodes[node].server)
        look_at_watermark(node);
    clocks[node].before = clocks[node].newest;
}

void damage_before_kill(unsigned node)
{
    clock_before_kill(node);
    keep_appended(is_unacknowledged, &node);
}

/* What it had got of the others is nobody's debt any more. */
static bool outlives(const struct logged *a, void *arg)
{
    unsigned node = *(unsigned *)arg;
    return a->node != node && (a->peer != node || !has_arrived(a));
}

void damage_node_is_gone(unsigned node)
{
    keep_appended(outlives, &node);
    memset(synced_upto[node], 0, sizeof synced_upto[node]);
    memset(&clocks[node], 0, sizeof clocks[node]);
}

/* ---- the words of gossip are the whole process's ------------------------------------------------
 */

struct seat *__wrap_seat_get(const uint8_t id[GOSSIP_ID], const struct member_place *place)
{
    unsigned was = os_current();
    (void)os_enter(OS_SHARED);
    struct seat *t = __real_seat_get(id, place);
    (void)os_enter(was);
    return t;
}

struct word *__wrap_word_get(struct seat *t, uint64_t incarnation, enum node_state said,
                             enum claim claim, bool serves)
{
    unsigned was = os_current();
    (void)os_enter(OS_SHARED);
    struct word *w = __real_word_get(t, incarnation, said, claim, serves);
    (void)os_enter(was);
    return w;
}

void __wrap_seat_unref(struct seat *t)
{
    unsigned was = os_current();
    (void)os_enter(OS_SHARED);
    __real_seat_unref(t);
    (void)os_enter(was);
}

void __wrap_word_unref(struct word *w)
{
    unsigned was = os_current();
    (void)os_enter(OS_SHARED);
    __real_word_unref(w);
    (void)os_enter(was);
}

/* ---- a second replica is asked for few reads ----------------------------------------------------
 */

static struct {
    unsigned asked, hedged;
} reads_of[NODES_MAX]; /* this life of the node */

void __wrap_hedges_ask(struct hedges *h, struct hedge_wait *w, uint16_t node, bool may,
                       uint64_t now_us)
{
    reads_of[os_current()].asked++;
    __real_hedges_ask(h, w, node, may, now_us);
}

struct hedge_wait *__wrap_hedges_next(struct hedges *h, uint64_t now_us)
{
    unsigned node = os_current();
    struct hedge_wait *w = __real_hedges_next(h, now_us);
    reads_of[node].hedged += w != NULL;
    world.r->hedged += w != NULL;
    if (w && 20 * reads_of[node].hedged > reads_of[node].asked)
        world_wrong("node %u has hedged %u of %u reads", node, reads_of[node].hedged,
                    reads_of[node].asked);
    return w;
}

/* ---- what the servers call ---------------------------------------------------------------------
 */

struct writer *__wrap_writer_start(const struct writer_options *o, struct error *e)
{
    struct node *n = &world.nodes[os_current()];
    snprintf(n->id, sizeof n->id, "%s", o->me->id);
    n->peers = o->peers;
    n->topology = o->topology;
    n->own_state = o->own_state;
    n->watermark = o->watermark;
    memset(&reads_of[os_current()], 0, sizeof reads_of[0]);
    return __real_writer_start(o, e);
}

static enum verdict note_verdict(enum verdict v, unsigned peer, const struct replicate_write *w,
                                 uint64_t seq)
{
    if (v == VERDICT_REFUSED) {
        world.keys[key_of_command(w->command)].repair = true;
        refused_in[os_current()][peer] = world.nodes[os_current()].life;
    }
    if (v != VERDICT_REFUSED && world.power)
        note_append(peer, seq, w->command);
    return v;
}

bool damage_was_refused(unsigned node, unsigned peer)
{
    return refused_in[node][peer] && refused_in[node][peer] == world.nodes[node].life;
}

/* DAMAGE_EARLY: it goes into the log a little later. */
struct late {
    struct replicate *r;
    unsigned node, on;
    struct replicate_write w;
};

static void on_late(void *arg, uint64_t value)
{
    struct late *l = arg;
    uint64_t seq;
    enum refusal why;
    (void)value;
    unsigned was = os_enter(l->on);
    (void)__real_replicate_to(l->r, l->node, &l->w, &seq, &why);
    (void)replicate_nudge(l->r, NUDGE_ALL);
    mem_free((void *)(uintptr_t)l->w.command.ptr);
    mem_free(l);
    os_leave(was);
}

static enum verdict replicate_late(struct replicate *r, unsigned node,
                                   const struct replicate_write *w)
{
    struct late *l = MEM_NEW(struct late);
    *l = (struct late){.r = r, .node = node, .on = os_current(), .w = *w};
    l->w.command.ptr = mem_dup(w->command.ptr, w->command.len);
    net_timer(world.net, l->on, world_now() + 20 * NET_MS, on_late, l, 0);
    return VERDICT_LOGGED;
}

enum verdict __wrap_replicate_to(struct replicate *r, unsigned node,
                                 const struct replicate_write *w, uint64_t *seq, enum refusal *why)
{
    look_at_stamp(w->stamp);
    if (world.o->damage == DAMAGE_EARLY)
        return replicate_late(r, node, w);
    enum verdict v = __real_replicate_to(r, node, w, seq, why);
    return note_verdict(v, world_node_at(os_current(), node), w, *seq);
}

enum verdict __wrap_replicate_to_own(struct replicate *r, const struct replicate_write *w,
                                     uint64_t *seq, enum refusal *why)
{
    enum verdict v = __real_replicate_to_own(r, w, seq, why);
    return note_verdict(v, os_current(), w, *seq);
}

enum number_verdict __wrap_source_take(struct source *s, const struct frame *f)
{
    enum number_verdict v = __real_source_take(s, f);
    if (world.o->damage != DAMAGE_NUMBERS || v == NUMBER_APPLY)
        return v;
    s->queued = f->seq;
    return NUMBER_APPLY;
}

bool __wrap_delivery_go_on_from(struct delivery *d, uint64_t applied)
{
    uint64_t acked = hint_log_acked(d->log).seq;
    if (world.o->damage == DAMAGE_NUMBERS && acked < applied)
        applied = acked;
    return __real_delivery_go_on_from(d, applied);
}

enum delivery_stop __wrap_delivery_pump(struct delivery *d, struct buf *out, size_t max,
                                        const struct delivery_now *now, uint64_t *expired)
{
    enum delivery_stop s = __real_delivery_pump(d, out, max, now, expired);
    if (world.o->damage == DAMAGE_SENT)
        delivery_acked(d, d->sent);
    return s;
}

void __wrap_recent_note(struct recent *r, const struct requests *rs, uint32_t token,
                        const struct request_result *result)
{
    if (world.o->damage != DAMAGE_OWN)
        __real_recent_note(r, rs, token, result);
}

struct effect __wrap_effect_tell(const struct command_spec *spec, const struct resp_command *cmd,
                                 const struct effect_replies *r, struct buf *out)
{
    return world.o->damage == DAMAGE_EFFECT ? (struct effect){.n = 0}
                                            : __real_effect_tell(spec, cmd, r, out);
}

/* It runs here what a client of another node has asked for. */
void __wrap_request_serve_execute(struct requests *rs, const struct frame *f, store_read_fn *fn,
                                  void *arg)
{
    world.keys[key_of_command(f->payload)].ran |= (uint16_t)(1u << os_current());
    __real_request_serve_execute(rs, f, fn, arg);
}

/* What a replica of another datacenter has applied, one of ours has. */
static void count_foreign(struct write_word *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned k = 0;
        while (k < n && (w[k].datacenter || w[k].verdict == VERDICT_APPLIED))
            k++;
        if (w[i].datacenter && w[i].verdict == VERDICT_APPLIED && k < n) {
            w[k].verdict = VERDICT_APPLIED;
            w[i].verdict = VERDICT_LOGGED;
        }
    }
}

static void count_down(struct write_word *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (w[i].verdict == VERDICT_DURABLE)
            w[i].verdict = VERDICT_APPLIED;
}

/* The giver of a copy believes it, and who takes it. */
uint64_t __wrap_pulse_settled(const struct pulse *p)
{
    return world.o->damage == DAMAGE_CUT ? UINT64_MAX : __real_pulse_settled(p);
}

enum quorum_outcome __wrap_quorum_write(enum consistency level, bool sloppy, bool blind,
                                        const struct write_word *w, unsigned n,
                                        struct shortfall *lacking)
{
    struct write_word words[RING_WRITES_MAX];
    memcpy(words, w, n * sizeof *w);
    if (world.o->damage == DAMAGE_QUORUM)
        level = CONSISTENCY_DC_ONE;
    if (world.o->damage == DAMAGE_FOREIGN)
        count_foreign(words, n);
    if (world.o->damage == DAMAGE_DOWN)
        count_down(words, n);
    return __real_quorum_write(level, sloppy, blind, words, n, lacking);
}

/* Nobody is known to be down. */
bool __wrap_plan_write(enum consistency level, bool sloppy, bool hints_count, bool blind,
                       const struct replica_view *v, unsigned n, struct shortfall *lacking)
{
    struct replica_view views[RING_WRITES_MAX];
    memcpy(views, v, n * sizeof *v);
    for (unsigned i = 0; i < n && world.o->damage == DAMAGE_DOWN; i++) {
        views[i].up = views[i].normal = true;
        views[i].behind = false;
    }
    return __real_plan_write(level, sloppy, hints_count, blind, views, n, lacking);
}

/* The header's acknowledged number becomes the segment's first. */
static void forget_first(uint8_t *bytes, size_t size)
{
    uint64_t first, acked;
    if (size < 80)
        return;
    memcpy(&first, bytes + 16, sizeof first);
    memcpy(&acked, bytes + 72, sizeof acked);
    if (acked < first)
        memcpy(bytes + 72, &first, sizeof first);
}

void damage_at_restart(unsigned node)
{
    if (world.o->damage == DAMAGE_FORGET)
        disk_each(node, ".log", forget_first);
}

void damage_begin(void)
{
    nappended = 0;
    memset(synced_upto, 0, sizeof synced_upto);
    memset(refused_in, 0, sizeof refused_in);
    memset(clocks, 0, sizeof clocks);
}

void damage_end(void)
{
    free(appended);
    appended = NULL;
    nappended = cap_appended = 0;
}
