#include "request/replicate.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "wire/frame.h"
#include <string.h>

void replicate_init(struct replicate *r, const struct config *c, const struct peers *peers)
{
    *r = (struct replicate){.config = c, .peers = peers};
    r->nudges = mem_calloc(RING_NODES_MAX, sizeof *r->nudges);
}

void replicate_fini(struct replicate *r)
{
    for (unsigned i = 0; i < r->peers->n; i++)
        mem_free(r->nudges[i].mail);
    mem_free(r->nudges);
}

/* ---- word to the senders ----------------------------------------------------------------------
 */

static void tell_sender(struct replicate *r, unsigned node, const struct mail_waiter *waiter)
{
    struct mail_appended *m = r->nudges[node].mail;
    r->nudges[node].due = true;
    if (!waiter)
        return;
    if (!m || (m->n & (m->n - 1)) == 0) { /* room doubles at each power of two */
        size_t n = m ? m->n : 0;
        m = mem_realloc(m, sizeof *m + (n ? 2 * n : 1) * sizeof m->waiter[0]);
        m->n = n;
        r->nudges[node].mail = m;
    }
    m->waiter[m->n++] = *waiter;
}

/* The lower half of a log's numbers is nearly used up: it goes on at a new upper half, which the
 * main thread keeps first. */
void replicate_renew_numbers(struct replicate *r, struct hint_log *log)
{
    if (!hint_log_needs_floor(log))
        return;
    uint64_t upper = hint_log_appended(log).seq >> 32;
    uint64_t kept = __atomic_load_n(r->mark_kept, __ATOMIC_ACQUIRE);
    if (kept > upper)
        hint_log_set_floor(log, kept << 32);
    else
        __atomic_store_n(r->mark_wanted, upper + 1, __ATOMIC_RELEASE);
}

static bool has_time(const struct replicate *r, const struct nudge *n, enum nudge_whom whom,
                     uint64_t bytes, uint64_t now_us)
{
    bool lately = whom == NUDGE_URGENT || now_us - n->last_us < REPLICATE_LAZY_US;
    return whom != NUDGE_ALL && !n->mail && lately &&
           bytes - n->last_bytes < lazy_bytes(r->config->send_window);
}

static void tell(struct peer *p, struct nudge *n, uint64_t now_us)
{
    struct mail_appended *m = n->mail ? n->mail : MEM_NEW(struct mail_appended);
    struct hint_position end = hint_log_appended(p->log);
    m->msg.type = MAIL_APPENDED;
    m->upto = end.seq;
    *n = (struct nudge){.last_us = now_us, .last_bytes = end.bytes};
    actor_send(p->sender, &m->msg);
}

bool replicate_nudge(struct replicate *r, enum nudge_whom whom)
{
    uint64_t now_us = 0;
    bool none_left = true;
    r->now_ms = 0;
    for (unsigned i = 0; i < r->peers->n; i++) {
        struct nudge *n = &r->nudges[i];
        if (!n->due || n->held)
            continue;
        struct peer *p = r->peers->at[i];
        now_us = now_us ? now_us : clock_mono_us();
        replicate_renew_numbers(r, p->log);
        if (has_time(r, n, whom, hint_log_appended(p->log).bytes, now_us))
            none_left = false;
        else
            tell(p, n, now_us);
    }
    return none_left;
}

static void want_repair(struct peer *p, const char *reason)
{
    if (peer_needs_repair(p))
        return;
    struct mail_repair *m = MEM_NEW(struct mail_repair);
    m->msg.type = MAIL_REPAIR;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    actor_send(p->sender, &m->msg);
}

void replicate_want_repair(struct replicate *r, unsigned node, const char *reason)
{
    want_repair(r->peers->at[node], reason);
}

static enum refusal reject(struct peer *p, enum peer_reject why, enum refusal refusal,
                           const char *reason)
{
    PEER_ADD(p, rejected[why], 1);
    want_repair(p, reason);
    return refusal;
}

/* Are hints kept for it at all? */
static enum refusal refuse_hint(const struct replicate *r, struct peer *p, bool hinting)
{
    if (!r->config->enable_hinted_handoff)
        return hinting ? reject(p, REJECT_DISABLED, REFUSAL_DISABLED,
                                "writes for it were refused: hinted handoff is off")
                       : REFUSAL_NONE;
    if (hinting && PEER_LOAD(p, closed))
        return reject(p, REJECT_WINDOW, REFUSAL_WINDOW,
                      "it has been down for longer than its hints live");
    return REFUSAL_NONE;
}

/* What the store, which counts it, says. */
static enum refusal refused_by_store(struct peer *p, enum hint_put rc)
{
    if (rc == HINT_PUT_OVER_CAP) {
        want_repair(p, "writes for it were refused: the hint store is full");
        return REFUSAL_FULL;
    }
    if (rc == HINT_PUT_OVER_PEER_CAP) {
        want_repair(p, "writes for it were refused: its part of the hint store is full");
        return REFUSAL_FULL_PEER;
    }
    log_limited(1000, LOG_LEVEL_ERROR, "log of peer %s: %s", p->log_name,
                hint_peer_error(p->hints));
    want_repair(p, "writes for it were refused: its log can't be written");
    return REFUSAL_DISK;
}

static uint64_t deadline(struct replicate *r)
{
    if (!r->now_ms)
        r->now_ms = clock_steady_ms();
    return r->now_ms + (uint64_t)CONFIG_LIVE(r->config, hint_ttl_seconds) * 1000;
}

/* VERDICT_NONE: it is there, as a hint. */
static enum verdict append(struct replicate *r, struct peer *p, const struct replicate_write *w,
                           bool hint, uint64_t *seq, enum refusal *why)
{
    struct frame f = {.kind = FRAME_WRITE,
                      .flags = w->want_replies ? FRAME_WANT_REPLY : 0,
                      .tag = w->tag,
                      .stamp = w->stamp,
                      .deadline = deadline(r),
                      .payload = w->command};
    enum hint_put rc = hint_peer_append(p->hints, &f, hint ? HINT_AS_HINT : HINT_AS_LIVE);
    if (rc != HINT_PUT_STORED) {
        *why = refused_by_store(p, rc);
        return VERDICT_REFUSED;
    }
    *seq = f.seq;
    return hint ? VERDICT_NONE : VERDICT_LOGGED;
}

enum verdict replicate_to(struct replicate *r, unsigned node, const struct replicate_write *w,
                          uint64_t *seq, enum refusal *why)
{
    struct peer *p = r->peers->at[node];
    if (PEER_LOAD(p, gone))
        return VERDICT_KEPT;
    bool hint = hint_peer_as(p->hints, r->config->send_window) == HINT_AS_HINT;
    if (hint && (*why = refuse_hint(r, p, peer_hinting(p))) != REFUSAL_NONE)
        return VERDICT_REFUSED;
    enum verdict v = append(r, p, w, hint, seq, why);
    if (v == VERDICT_REFUSED)
        return v;
    struct mail_waiter waiter = {
        .seq = *seq, .ticket = w->ticket, .worker = w->worker, .hint = hint};
    tell_sender(r, node, w->worker && (hint || w->want_replies) ? &waiter : NULL);
    return v;
}

enum verdict replicate_to_own(struct replicate *r, const struct replicate_write *w, uint64_t *seq,
                              enum refusal *why)
{
    struct peer *p = peers_own(r->peers);
    bool hint = peer_hinting(p);
    if (hint && (*why = refuse_hint(r, p, true)) != REFUSAL_NONE)
        return VERDICT_REFUSED;
    return append(r, p, w, hint, seq, why);
}

void replicate_await(struct replicate *r, unsigned node, const struct mail_waiter *waiter)
{
    tell_sender(r, node, waiter);
}

enum hint_put replicate_hand(struct replicate *r, unsigned node, const struct frame *f,
                             bool memory_ok)
{
    struct frame copy = *f;
    r->nudges[node].held = true;
    enum hint_put rc = hint_peer_append(r->peers->at[node]->hints, &copy,
                                        memory_ok ? HINT_AS_LIVE : HINT_AS_MOVED);
    r->nudges[node].due |= rc == HINT_PUT_STORED;
    if (rc != HINT_PUT_STORED && memory_ok) /* it won't be handed again: others have it */
        want_repair(r->peers->at[node],
                    "a hint that was handed off to it is lost: its log refused it");
    return rc;
}

void replicate_release(struct replicate *r, unsigned node)
{
    r->nudges[node].held = false;
}
