/* The batches at the own store, and the store that comes and goes. */
#include "core/log.h"
#include "request/writer_internal.h"
#include <string.h>

#define RETRY_MS 1000                   /* a store that refused is asked again */
#define OWN_PART (WRITER_BATCH_MAX / 4) /* of a batch, at least, is the own log's when replayed */

/* ---- the store
 * ------------------------------------------------------------------------------------ */

/* A batch without work for the store is done at once. */
static void on_store_done(void *arg, struct store_batch *sb);

/* A batch waits for a store that is gone. What was gathered since needs no store (give_back,
 * on_inbound): it doesn't wait; or nothing is left in it and only its memory goes. */
static void pass_gathered(struct writer *w)
{
    struct batch *b = w->gathering;
    for (size_t i = 0; i < b->n; i++)
        writer_finish_own(w, &b->items[i]);
    writer_give_credit(w, b);
    batch_clear(b);
}

void writer_submit(struct writer *w)
{
    struct batch *b = w->gathering;
    if (own_has_log(&w->own) && !w->at_store && writer_serving(w))
        own_fill(&w->own, b,
                 b->n < WRITER_BATCH_MAX - OWN_PART ? WRITER_BATCH_MAX : b->n + OWN_PART,
                 __atomic_load_n(w->o.clock_trusted, __ATOMIC_RELAXED));
    if (b->n == 0 || (w->at_store && !w->store_up))
        pass_gathered(w);
    if (own_has_log(&w->own) && !w->at_store)
        writer_effects_gather(w, b);
    if (w->at_store || b->n == 0)
        return;
    writer_answer_greetings(w);
    w->at_store = b;
    w->given_us = clock_mono_us();
    w->gathering = b == &w->batches[0] ? &w->batches[1] : &w->batches[0];
    if (batch_for_store(b))
        store_apply(w->o.store, &b->store);
    else
        on_store_done(w, &b->store);
}

static void start_refusing(struct writer *w)
{
    log_limited(1000, LOG_LEVEL_ERROR, "the store refuses writes: %s", w->refusal);
    for (unsigned i = 0; i < w->sources.n; i++)
        writer_forget_gathered(w, i);
    writer_announce(w);
}

static bool leave_gathered(void *arg, struct item *it)
{
    struct writer *w = arg;
    if (it->kind != ITEM_OWN)
        return false;
    struct mail_write *m = it->order;
    it->order = NULL;
    if (m && m->worker)
        writer_leave_to_log(w, m);
    else if (m)
        mail_write_free(m);
    return true;
}

/* The own store doesn't take what it is given: the log has it, and what is gathered, too. */
static void go_behind(struct writer *w)
{
    own_go_behind(&w->own);
    batch_remove(w->gathering, leave_gathered, w);
    writer_effects_refuse(w);
    writer_decide_state(
        w); /* before anybody can be told that a write is done without the own store */
}

/* How far the own store has come, before the workers hear of it. False: some of it failed. */
static bool note_own_progress(struct writer *w, const struct batch *b, bool *took)
{
    uint64_t last = 0;
    bool all = true;
    for (size_t i = 0; i < b->n; i++) {
        const struct item *it = &b->items[i];
        if (it->kind != ITEM_OWN)
            continue;
        if (!writer_has_effect(it->at_store->outcome)) {
            writer_note_refusal(w, it->at_store);
            all = false;
            continue;
        }
        last = it->seq;
        if (it->order && !it->order->worker)
            own_replied(&w->own, it->seq, it->at_store->reply);
    }
    *took |= last != 0;
    own_applied(&w->own, last, all);
    return all;
}

static void finish_all_logged(struct writer *w, struct batch *b, bool *took)
{
    bool all = note_own_progress(w, b, took);
    if (!all)
        own_go_behind(&w->own);
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].kind == ITEM_OWN)
            writer_finish_logged(w, &b->items[i]);
    if (!all)
        go_behind(w);
}

static void on_retry(uv_timer_t *t);

static void on_store_done(void *arg, struct store_batch *sb)
{
    struct writer *w = arg;
    struct batch *b = w->at_store;
    bool was_refusing = w->refusing, took = false;
    (void)sb;
    if (own_has_log(&w->own)) {
        writer_effects_done(w, b);
        finish_all_logged(w, b, &took);
    }
    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        if (it->kind == ITEM_OWN && it->order)
            writer_finish_own(w, it);
        else if (it->kind == ITEM_MEND)
            writer_finish_mend(it);
        else if (it->kind == ITEM_HANDED)
            handoff_applied(w->handoff, it->at_store);
        else if (it->kind == ITEM_WRITE || it->kind == ITEM_SKIP)
            took |= writer_finish_inbound(w, it);
    }
    w->at_store = NULL;
    writer_give_credit(w, b);
    batch_clear(b);
    for (unsigned i = 0; i < w->sources.n; i++)
        standby_progress(&w->standby, i, writer_source(w, i)->applied);
    if (w->refusing && !was_refusing) {
        start_refusing(w);
        uv_timer_start(&w->retry, on_retry, RETRY_MS, 0);
    } else if (w->greetings_due && !w->refusing && took) {
        writer_ask_for_greetings(w);
    }
    writer_effects_end(w);
    replicate_nudge(&w->replicate, NUDGE_DUE);
}

/* Gathered writes of clients that need the own store can't be had now. */
static bool give_back(void *arg, struct item *it)
{
    (void)arg;
    if (it->kind != ITEM_OWN || it->passing)
        return false;
    it->order->own_down = true;
    writer_answer(it->order);
    it->order = NULL;
    return true;
}

static void on_store_up(void *arg)
{
    struct writer *w = arg;
    w->store_up = true;
    w->refusing = false;
    const struct topology *t = *w->o.topology;
    for (unsigned i = 0; i < t->n; i++) {
        const char *id = t->nodes[i].id;
        if (i != w->self && *id)
            source_stands_at(writer_source(w, i), store_last(w->o.store, i + 1, id));
    }
    uint64_t own = store_last(w->o.store, 0, w->o.me->id);
    if (own_has_log(&w->own)) {
        writer_effects_stand_at(w, own);
        own_stands_at(&w->own, own);
    } else if (own > w->own_seq) {
        w->own_seq = own;
    }
    log_notice("the store is up");
    if (w->greetings_due)
        writer_ask_for_greetings(w);
    writer_decide_state(w);
    writer_announce(w);
}

static void on_store_down(void *arg, const char *reason)
{
    struct writer *w = arg;
    w->greetings_due = true;
    if (!w->store_up)
        return;
    w->store_up = false;
    log_error("the store is down: %s", reason);
    for (unsigned i = 0; i < w->sources.n; i++)
        writer_forget_gathered(w, i);
    if (own_has_log(&w->own))
        go_behind(w);
    else
        batch_remove(w->gathering, give_back, NULL);
    writer_give_up_mends(w);
    handoff_forget(w->handoff, w->gathering);
    for (size_t i = 0; w->at_store && i < w->at_store->n; i++)
        if (w->at_store->items[i].passing)
            writer_finish_own(w, &w->at_store->items[i]);
    writer_announce(w);
}

static void on_retry(uv_timer_t *t)
{
    struct writer *w = t->data;
    if (!w->refusing || !w->store_up)
        return;
    w->refusing = false;
    standby_begin(&w->standby, clock_mono_ms()); /* not read until it is known what it lacks */
    writer_decide_state(w);
    writer_announce(w);
}

/* ---- life
 * ----------------------------------------------------------------------------------------- */

void writer_start_store(struct writer *w)
{
    const struct store_events events = {
        .up = on_store_up, .down = on_store_down, .done = on_store_done, .arg = w};
    uv_timer_init(&w->actor.loop, &w->retry);
    w->retry.data = w;
    store_writer_start(w->o.store, &w->actor.loop, &events);
}

void writer_stop_store(struct writer *w)
{
    store_writer_stop(w->o.store);
    uv_close((uv_handle_t *)&w->retry, NULL);
}
