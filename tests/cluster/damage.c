/* dynomited, broken on purpose: for tests/cluster/test_history.py, which must find it out. The
 * linker's --wrap leads calls of the library through here, so that what ships has no such places.
 * DYNOMITED_DAMAGE says what is broken:
 *
 *     stamps    a write that is older than what it meets is applied all the same
 *     early     a write is answered before it is in the logs of the other replicas; it gets there a
 *               little later, if the node lives
 *     down      a replica that is down counts as one that has applied the write
 *     numbers   a write that was applied before is applied again when it is sent again */
#include "damage.h"
#include "core/clock.h"
#include "core/mem.h"
#include "peer/delivery.h"
#include "request/flight.h"
#include "request/replicate.h"
#include "request/sources.h"
#include "store/stamps.h"
#include <stdlib.h>
#include <string.h>

#define LATE_MS 300

enum stamp_verdict __real_stamps_judge(const struct stamps *t, uint64_t hash, struct stamp s);
enum stamp_verdict __wrap_stamps_judge(const struct stamps *t, uint64_t hash, struct stamp s);
enum verdict __real_replicate_to(struct replicate *r, unsigned node,
                                 const struct replicate_write *w, uint64_t *seq, enum refusal *why);
enum verdict __wrap_replicate_to(struct replicate *r, unsigned node,
                                 const struct replicate_write *w, uint64_t *seq, enum refusal *why);
bool __real_replicate_nudge(struct replicate *r, enum nudge_whom whom);
bool __wrap_replicate_nudge(struct replicate *r, enum nudge_whom whom);
unsigned __real_request_view_writes(const struct requests *rs, uint32_t token,
                                    struct replica_view v[RING_WRITES_MAX], unsigned *nodes);
unsigned __wrap_request_view_writes(const struct requests *rs, uint32_t token,
                                    struct replica_view v[RING_WRITES_MAX], unsigned *nodes);
void __real_request_mail_verdicts(struct requests *rs, struct mail_verdicts *m);
void __wrap_request_mail_verdicts(struct requests *rs, struct mail_verdicts *m);
enum number_verdict __real_source_take(struct source *s, const struct frame *f);
enum number_verdict __wrap_source_take(struct source *s, const struct frame *f);
bool __real_delivery_go_on_from(struct delivery *d, uint64_t applied);
bool __wrap_delivery_go_on_from(struct delivery *d, uint64_t applied);

bool damaged(const char *what)
{
    const char *chosen = getenv("DYNOMITED_DAMAGE");
    return chosen && strcmp(chosen, what) == 0;
}

/* ---- stamps ------------------------------------------------------------------------------------
 */

enum stamp_verdict __wrap_stamps_judge(const struct stamps *t, uint64_t hash, struct stamp s)
{
    return damaged("stamps") ? STAMP_FRESH : __real_stamps_judge(t, hash, s);
}

/* ---- early: the writer's thread ----------------------------------------------------------------
 */

static struct late {
    struct late *next;
    struct replicate_write write;
    uint64_t due_ms;
    unsigned node;
} * first_late, **last_late = &first_late;

enum verdict __wrap_replicate_to(struct replicate *r, unsigned node,
                                 const struct replicate_write *w, uint64_t *seq, enum refusal *why)
{
    if (!damaged("early"))
        return __real_replicate_to(r, node, w, seq, why);
    struct late *l = MEM_NEW(struct late);
    *l = (struct late){.write = *w, .due_ms = clock_mono_ms() + LATE_MS, .node = node};
    l->write.command.ptr = mem_dup(w->command.ptr, w->command.len);
    *last_late = l;
    last_late = &l->next;
    *seq = 0;
    return VERDICT_LOGGED;
}

static void append_late(struct replicate *r)
{
    uint64_t now = clock_mono_ms();
    while (first_late && first_late->due_ms <= now) {
        struct late *l = first_late;
        uint64_t seq;
        enum refusal why;
        (void)__real_replicate_to(r, l->node, &l->write, &seq, &why);
        first_late = l->next;
        last_late = first_late ? last_late : &first_late;
        mem_free((void *)(uintptr_t)l->write.command.ptr);
        mem_free(l);
    }
}

/* At the end of each of the writer's turns, ten a second at least. */
bool __wrap_replicate_nudge(struct replicate *r, enum nudge_whom whom)
{
    append_late(r);
    return __real_replicate_nudge(r, whom);
}

/* ---- down --------------------------------------------------------------------------------------
 */

/* Before: everybody will apply it. */
unsigned __wrap_request_view_writes(const struct requests *rs, uint32_t token,
                                    struct replica_view v[RING_WRITES_MAX], unsigned *nodes)
{
    unsigned n = __real_request_view_writes(rs, token, v, nodes);
    for (unsigned i = 0; i < n && damaged("down"); i++) {
        v[i].up = v[i].normal = true;
        v[i].behind = false;
    }
    return n;
}

/* Afterwards: who has only a hint has applied it. */
void __wrap_request_mail_verdicts(struct requests *rs, struct mail_verdicts *m)
{
    for (size_t i = 0; i < m->n && damaged("down"); i++)
        if (m->v[i].verdict == VERDICT_DURABLE)
            m->v[i].verdict = VERDICT_APPLIED;
    __real_request_mail_verdicts(rs, m);
}

/* ---- numbers -----------------------------------------------------------------------------------
 */

enum number_verdict __wrap_source_take(struct source *s, const struct frame *f)
{
    enum number_verdict v = __real_source_take(s, f);
    if (v == NUMBER_APPLY || !damaged("numbers"))
        return v;
    s->queued = f->seq;
    return NUMBER_APPLY;
}

/* All that isn't acknowledged goes out again, whatever the other side says that it has. */
bool __wrap_delivery_go_on_from(struct delivery *d, uint64_t applied)
{
    uint64_t acked = hint_log_acked(d->log).seq;
    return __real_delivery_go_on_from(d, damaged("numbers") && acked < applied ? acked : applied);
}
