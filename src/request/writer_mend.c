/* Read repair at the writer: a copy that another replica has takes the place of the one in the own
 * store, if nothing has touched the key that the copy doesn't know of; the store looks, in the
 * transaction in which it has its effect. A mend has no number and stands in no log: if the store
 * is lost meanwhile, it is lost, and its sender is told. */
#include "core/mem.h"
#include "peer/inbound.h"
#include "request/mend.h"
#include "request/writer_internal.h"
#include "wire/memcache_command.h"

#define BEATS_EVERY_MS 250

static void answer(struct mail_mend *m, enum mend_result result)
{
    m->result = result;
    actor_send(m->worker, &m->msg);
}

/* What a store gives for a copy (store_copy), and nothing else: a peer may say anything. */
static bool is_mend(const struct item *it)
{
    const struct resp_command *c = &it->cmd;
    if (!it->spec || !inbound_is_write(it->spec, c) ||
        command_class_of(it->spec, c) != COMMAND_OVERWRITE)
        return false;
    if (slice_is(c->argv[0], "RESTORE"))
        return c->argc == 6 && slice_is(c->argv[4], "REPLACE") && slice_is(c->argv[5], "ABSTTL");
    if (slice_is(c->argv[0], "SET"))
        return c->argc == 3 || (c->argc == 5 && slice_is(c->argv[3], "PXAT"));
    if (slice_is(c->argv[0], "MS"))
        return c->argc >= 3 && c->argc <= 5 && !memcache_names_unique(c);
    return (slice_is(c->argv[0], "DEL") || slice_is(c->argv[0], "MD")) && c->argc == 2;
}

/* A member that this node knows, and the giver of the copy doesn't, may have a write on its way to
 * the giver that is here already. */
static bool is_settled_here(const struct writer *w, const struct mail_mend *m)
{
    return !mend_is_by_watermarks(m->mend.upto, m->overwrite) ||
           m->mend.upto.time < pulse_settled(&w->pulse);
}

void writer_mend(struct writer *w, struct mail_mend *m)
{
    if (!writer_serving(w)) {
        answer(m, MEND_FAILED);
        return;
    }
    if (!is_settled_here(w, m)) {
        writer_want_beats(w);
        answer(m, MEND_NEWER);
        return;
    }
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_MEND;
    it->node = STORE_SOURCE_MENDS - 1;
    it->stamp = m->overwrite.time;
    it->tag = m->overwrite.tag;
    it->mend = m;
    if (resp_command_parse(blob_slice(m->command), &it->cmd) && it->cmd.argc)
        it->spec = command_find(it->cmd.argv[0]);
    if (is_mend(it)) {
        /* this node's next write of the key must be newer, as behind any write that came */
        hlc_follow(&w->clock, m->overwrite.time, w->now.wall_ms);
        return;
    }
    it->mend = NULL;
    w->gathering->n--;
    answer(m, MEND_FAILED);
}

void writer_finish_mend(struct item *it)
{
    struct mail_mend *m = it->mend;
    const struct store_write *at_store = it->at_store;
    bool applied = at_store->outcome == STORE_APPLIED && !resp_reply_is_error(at_store->reply);
    it->mend = NULL;
    answer(m, applied ? MEND_APPLIED : at_store->outcome == STORE_STALE ? MEND_NEWER : MEND_FAILED);
}

static bool give_up(void *arg, struct item *it)
{
    (void)arg;
    if (it->kind != ITEM_MEND)
        return false;
    answer(it->mend, MEND_FAILED);
    it->mend = NULL;
    return true;
}

void writer_give_up_mends(struct writer *w)
{
    batch_remove(w->gathering, give_up, NULL);
}

void writer_want_beats(struct writer *w)
{
    if (w->now.steady_ms - w->beats_wanted_ms < BEATS_EVERY_MS)
        return;
    w->beats_wanted_ms = w->now.steady_ms;
    for (unsigned i = 0; i < w->sources.n; i++)
        source_want_beat(writer_source(w, i));
}
