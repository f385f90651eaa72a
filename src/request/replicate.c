#include "request/replicate.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "wire/frame.h"
#include <string.h>

void replicate_init(struct replicate *r, const struct config *c, const struct peers *peers)
{
    *r = (struct replicate){.config = c, .peers = peers};
    r->nudges = mem_calloc(peers->n, sizeof *r->nudges);
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
        if (!n->due)
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
    if (PEER_LOAD(p, repair_since_ms))
        return;
    struct mail_repair *m = MEM_NEW(struct mail_repair);
    m->msg.type = MAIL_REPAIR;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    actor_send(p->sender, &m->msg);
}

static enum refusal reject(struct peer *p, enum peer_reject why, enum refusal refusal,
                           const char *reason)
{
    PEER_ADD(p, rejected[why], 1);
    want_repair(p, reason);
    return refusal;
}

static enum refusal refuse_hint(struct replicate *r, struct peer *p, bool hinting, size_t size)
{
    const struct config *c = r->config;
    if (!c->enable_hinted_handoff)
        return hinting ? reject(p, REJECT_DISABLED, REFUSAL_DISABLED,
                                "writes for it were refused: hinted handoff is off")
                       : REFUSAL_NONE;
    uint64_t max = c->hint_store_max_bytes;
    if (max && peers_hint_bytes(r->peers) + size > max)
        return reject(p, REJECT_CAPACITY, REFUSAL_FULL,
                      "writes for it were refused: the hint store is full");
    return REFUSAL_NONE;
}

static void count_late(struct peer *p)
{
    struct hint_position end = hint_log_appended(p->log);
    PEER_STORE(p, late_bytes, end.bytes);
    PEER_STORE(p, late_records, end.records);
}

static uint64_t deadline(struct replicate *r)
{
    if (!r->now_ms)
        r->now_ms = clock_steady_ms();
    return r->now_ms + (uint64_t)r->config->hint_ttl_seconds * 1000;
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
    enum hint_append rc = hint_log_append(p->log, &f, !hint);
    if (rc != HINT_APPENDED) {
        log_limited(1000, LOG_LEVEL_ERROR, "log of peer %s: %s", p->log_name,
                    hint_log_error(p->log));
        *why = reject(p, rc == HINT_NO_SPACE ? REJECT_NO_SPACE : REJECT_IO_ERROR, REFUSAL_DISK,
                      "writes for it were refused: its log can't be written");
        return VERDICT_REFUSED;
    }
    *seq = f.seq;
    if (hint)
        PEER_ADD(p, stored, 1);
    return hint ? VERDICT_NONE : VERDICT_LOGGED;
}

enum verdict replicate_to(struct replicate *r, unsigned node, const struct replicate_write *w,
                          uint64_t *seq, enum refusal *why)
{
    struct peer *p = r->peers->at[node];
    bool hinting = __atomic_load_n(&p->hinting, __ATOMIC_SEQ_CST);
    bool late = !hinting && peer_behind(p) > r->config->send_window, hint = hinting || late;
    if (hint && (*why = refuse_hint(r, p, hinting, w->command.len)) != REFUSAL_NONE)
        return VERDICT_REFUSED;
    enum verdict v = append(r, p, w, hint, seq, why);
    if (v == VERDICT_REFUSED)
        return v;
    if (late)
        count_late(p);
    struct mail_waiter waiter = {
        .seq = *seq, .ticket = w->ticket, .worker = w->worker, .hint = hint};
    tell_sender(r, node, hint || w->want_replies ? &waiter : NULL);
    return v;
}

enum verdict replicate_to_own(struct replicate *r, const struct replicate_write *w, uint64_t *seq,
                              enum refusal *why)
{
    struct peer *p = r->peers->own;
    bool hint = PEER_LOAD(p, hinting);
    if (hint && (*why = refuse_hint(r, p, true, w->command.len)) != REFUSAL_NONE)
        return VERDICT_REFUSED;
    return append(r, p, w, hint, seq, why);
}

void replicate_await(struct replicate *r, unsigned node, const struct mail_waiter *waiter)
{
    tell_sender(r, node, waiter);
}
