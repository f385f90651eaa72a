#include "data_store.h"
#include "core/actor.h"
#include "core/clock.h"
#include "core/mem.h"
#include "data_commands.h"
#include "data_os.h"
#include "store/internal.h"
#include "store/strings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES_MAX 64

struct number {
    char id[40];
    uint64_t seq;
};

/* What outlives the process. */
struct shelf {
    struct data_cell cells[DATA_KEYS_MAX];
    struct number numbers[SOURCES_MAX];
    size_t n;
};

struct model {
    struct store base;
    unsigned node;
    bool external; /* behind a connection, which takes time and breaks */
    char self[40];
    struct store_events events;
    uv_loop_t *loop;
    char ids[STORE_SOURCES_MAX][40];
    struct store_batch *batch; /* at the store */
    bool effect;               /* it has had it */
    uint64_t batches;          /* those before it are done with */
    uint64_t full_until, up_at, read_at;
};

static struct shelf shelves[OS_NODES_MAX];
static struct model *running[OS_NODES_MAX];
static struct data_store_options options;

unsigned data_key_of(struct slice key)
{
    unsigned k = 0;
    for (size_t i = 1; i < key.len; i++)
        k = k * 10 + (unsigned)(key.ptr[i] - '0');
    return k % DATA_KEYS_MAX;
}

static void *checked(void *p)
{
    if (!p)
        abort();
    return p;
}

static struct actor *actor_of(const struct model *m)
{
    return container_of_(m->loop, struct actor, loop);
}

/* ---- one write ---------------------------------------------------------------------------------
 */

struct run {
    struct shelf *shelf;
    const struct store_write *w; /* NULL: a read */
    struct data_cell *cell;
    struct buf *scratch;
    bool dropped;
};

static bool open_cell(void *arg, struct slice key, struct cell *c)
{
    struct run *run = arg;
    run->cell = &run->shelf->cells[data_key_of(key)];
    c->exists = run->cell->exists;
    c->value = slice_of(run->cell->value ? run->cell->value : "", c->exists ? run->cell->len : 0);
    c->expires = 0;
    c->now = clock_wall_ms();
    return true;
}

static bool before(uint64_t a, uint16_t atag, uint64_t b, uint16_t btag)
{
    return a != b ? a < b : atag < btag;
}

/* What a mend brings may have been written up to its cut, if the copy doesn't say it better. */
static void keep_stamps_of_copy(struct data_cell *to, const struct store_write *w)
{
    struct store_stamp newest = w->mend->newest.time ? w->mend->newest : w->mend->upto;
    if (before(to->overwrite.time, to->overwrite.tag, w->stamp, w->tag)) {
        to->overwrite.time = w->stamp;
        to->overwrite.tag = w->tag;
    }
    if (before(to->newest.time, to->newest.tag, newest.time, newest.tag)) {
        to->newest.time = newest.time;
        to->newest.tag = newest.tag;
    }
}

static bool close_cell(void *arg, struct slice key, struct cell *c)
{
    struct run *run = arg;
    struct data_cell *to = run->cell;
    const struct store_write *w = run->w;
    (void)key;
    run->dropped = options.stamps && to->found &&
                   before(w->stamp, w->tag, to->overwrite.time, to->overwrite.tag);
    if (w->mend)
        run->dropped = to->found && before(w->mend->upto.time, w->mend->upto.tag, to->newest.time,
                                           to->newest.tag);
    if (run->dropped)
        return true;
    if (w->mend)
        keep_stamps_of_copy(to, w);
    else if (c->effect == CELL_OVERWRITTEN) {
        to->overwrite.time = w->stamp;
        to->overwrite.tag = w->tag;
    }
    if (!w->mend && (!to->found || before(to->newest.time, to->newest.tag, w->stamp, w->tag))) {
        to->newest.time = w->stamp;
        to->newest.tag = w->tag;
    }
    to->found = true;
    to->exists = c->exists;
    if (to->cap < c->value.len)
        to->value = checked(realloc(to->value, to->cap = 2 * c->value.len));
    if (c->value.len && (const char *)c->value.ptr != to->value)
        memmove(to->value, c->value.ptr, c->value.len);
    to->len = c->value.len;
    return true;
}

static uint64_t *number_of(unsigned node, const char *id)
{
    struct shelf *s = &shelves[node];
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->numbers[i].id, id) == 0)
            return &s->numbers[i].seq;
    if (s->n == SOURCES_MAX)
        abort();
    snprintf(s->numbers[s->n].id, sizeof s->numbers[0].id, "%s", id);
    return &s->numbers[s->n++].seq;
}

static bool run_command(struct run *run, const struct resp_command *cmd, struct buf *reply)
{
    const struct string_command *c = string_find(cmd->argv[0]);
    struct buf scratch = BUF_INIT;
    struct string_access access = {open_cell, close_cell, run, &scratch};
    bool ok = c ? string_run(c, cmd, &access, reply) : data_command_run(cmd, &access, reply);
    buf_fini(&scratch);
    return ok;
}

static void apply_write(struct model *m, struct store_write *w, struct buf *replies)
{
    struct run run = {.shelf = &shelves[m->node], .w = w};
    w->outcome = STORE_APPLIED;
    if (!w->skip && !run_command(&run, w->cmd, replies))
        resp_add_error(replies, "ERR the model has no such command");
    if (run.dropped)
        w->outcome = STORE_STALE;
    if (!w->skip)
        data_saw_write(m->node, w, run.dropped);
    if (w->seq)
        *number_of(m->node, w->source ? m->ids[w->source] : m->self) = w->seq;
}

/* ---- a batch -----------------------------------------------------------------------------------
 */

/* Behind a write that was refused, none of the same sender has its effect. */
static bool is_stopped(const struct model *m, const struct store_batch *b, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (b->writes[k].outcome == STORE_FULL && b->writes[k].source == b->writes[i].source &&
            (b->writes[i].source || m->external))
            return true;
    return false;
}

/* It stands among the writes. */
static bool is_question(const struct store_write *w)
{
    return !w->skip && w->spec->class_ == COMMAND_READ;
}

static void have_effect(struct model *m)
{
    struct store_batch *b = m->batch;
    bool full = net_now(os_net()) < m->full_until;
    size_t *at = mem_calloc(b->n + 1, sizeof *at);
    for (size_t i = 0; i < b->n; i++) {
        struct store_write *w = &b->writes[i];
        at[i] = b->replies.len;
        if (!is_question(w) &&
            (is_stopped(m, b, i) || (full && !w->skip && chance_of(os_chance(), 0.7)))) {
            w->outcome = STORE_FULL;
            resp_add_error(&b->replies, "OOM command not allowed: the model is full");
        } else {
            apply_write(m, w, &b->replies);
        }
    }
    at[b->n] = b->replies.len;
    for (size_t i = 0; i < b->n; i++)
        b->writes[i].reply = slice_of(buf_head(&b->replies) + at[i], at[i + 1] - at[i]);
    mem_free(at);
    m->effect = true;
}

static void finish(struct model *m, bool unknown)
{
    struct store_batch *b = m->batch;
    m->batch = NULL;
    m->batches++;
    for (size_t i = 0; unknown && i < b->n; i++) {
        b->writes[i].outcome = STORE_UNKNOWN;
        b->writes[i].reply = slice_of("", 0);
    }
    m->events.done(m->events.arg, b);
    actor_again(actor_of(m));
}

static void later(struct model *m, uint64_t us, net_fn *fn)
{
    net_timer(os_net(), m->node, net_now(os_net()) + us, fn, m, m->batches);
}

static void on_finish(void *arg, uint64_t which)
{
    struct model *m = arg;
    unsigned was = os_enter(m->node);
    if (m->batch && m->batches == which && store_is_up(&m->base))
        finish(m, false);
    os_leave(was);
}

static void on_effect(void *arg, uint64_t which)
{
    struct model *m = arg;
    unsigned was = os_enter(m->node);
    if (m->batch && m->batches == which && !m->effect && store_is_up(&m->base)) {
        have_effect(m);
        later(m, chance_below(os_chance(), options.slow_us + 1), on_finish);
    }
    os_leave(was);
}

static struct model *model_of(struct store *s)
{
    return container_of_(s, struct model, base);
}

/* One that stands inside the process answers at once, mostly. */
static void model_apply(struct store *s, struct store_batch *b)
{
    struct model *m = model_of(s);
    m->batch = b;
    m->effect = false;
    if (!m->external && chance_of(os_chance(), 0.8)) {
        have_effect(m);
        finish(m, false);
        return;
    }
    later(m, chance_below(os_chance(), options.slow_us + 1), on_effect);
}

/* ---- it comes and goes -------------------------------------------------------------------------
 */

static void on_lost(void *arg, uint64_t which)
{
    struct model *m = arg;
    unsigned was = os_enter(m->node);
    if (m->batch && m->batches == which) {
        if (!m->effect && chance_of(os_chance(), 0.5))
            have_effect(m); /* it had gone out */
        finish(m, true);
    }
    os_leave(was);
}

static void on_up(void *arg, uint64_t value)
{
    struct model *m = arg;
    (void)value;
    unsigned was = os_enter(m->node);
    if (!store_is_up(&m->base) && net_now(os_net()) >= m->up_at) {
        store_set_up(&m->base);
        m->events.up(m->events.arg);
        actor_again(actor_of(m));
    }
    os_leave(was);
}

void data_store_break(unsigned node, unsigned ms)
{
    struct model *m = running[node];
    if (!m || !m->external || !store_is_up(&m->base))
        return;
    unsigned was = os_enter(node);
    m->up_at = net_now(os_net()) + ms * NET_MS;
    store_set_down(&m->base, "connection reset");
    m->events.down(m->events.arg, "connection reset");
    actor_again(actor_of(m));
    later(m, chance_below(os_chance(), 10 * NET_MS), on_lost);
    later(m, ms * NET_MS + 20 * NET_MS, on_up);
    os_leave(was);
}

void data_store_fill(unsigned node, unsigned ms)
{
    if (running[node])
        running[node]->full_until = net_now(os_net()) + ms * NET_MS;
}

static void model_start(struct store *s, uv_loop_t *loop, const struct store_events *events)
{
    struct model *m = model_of(s);
    m->loop = loop;
    m->events = *events;
    if (m->external) {
        later(m, chance_below(os_chance(), 50 * NET_MS), on_up);
        return;
    }
    store_set_up(s);
    m->events.up(m->events.arg);
}

/* What is at the store may have its effect yet; nobody hears of it. */
static void model_stop(struct store *s)
{
    struct model *m = model_of(s);
    if (m->batch && !m->effect && store_is_up(s) && chance_of(os_chance(), 0.5))
        have_effect(m);
    m->batch = NULL;
}

static void model_close(struct store *s)
{
    struct model *m = model_of(s);
    store_base_fini(s);
    mem_free(m);
}

static uint64_t model_last(struct store *s, unsigned source, const char *id)
{
    struct model *m = model_of(s);
    snprintf(m->ids[source], sizeof m->ids[source], "%s", id);
    return *number_of(m->node, id);
}

static void model_forget(struct store *s, uint64_t stamp)
{
    struct shelf *shelf = &shelves[model_of(s)->node];
    for (unsigned k = 0; k < DATA_KEYS_MAX; k++)
        if (shelf->cells[k].overwrite.time < stamp)
            shelf->cells[k].overwrite.time = 0;
}

static void model_note_overwrite(struct store *s, struct slice key, uint64_t stamp, uint16_t tag)
{
    struct data_cell *c = &shelves[model_of(s)->node].cells[data_key_of(key)];
    c->found = true;
    c->overwrite.time = stamp;
    c->overwrite.tag = tag;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

struct asked;
struct reader {
    struct store_reader base;
    uv_loop_t *loop;
    struct asked *waiting;
};

struct asked {
    struct asked *next;
    struct reader *reader; /* NULL: it has ended, and so this was answered */
    struct model *m;
    struct buf reply;
    uint64_t stamp;
    uint16_t tag;
    store_read_fn *fn;
    store_copy_fn *copy_fn; /* a copy was asked for; its command is the reply */
    struct store_copy copy;
    void *arg;
    struct actor *actor;
};

static struct store_reader *reader_new(struct store *s, uv_loop_t *loop)
{
    struct reader *r = MEM_NEW(struct reader);
    r->base.store = s;
    r->loop = loop;
    return &r->base;
}

static void say(struct asked *a, bool ok)
{
    if (a->copy_fn) {
        a->copy.ok = ok;
        a->copy.command = buf_slice(&a->reply);
        a->copy_fn(a->arg, &a->copy);
        return;
    }
    struct store_read_reply out = {
        .ok = ok, .reply = buf_slice(&a->reply), .stamp = a->stamp, .tag = a->tag};
    if (!out.ok)
        out.reply = slice_str("-BACKEND connection reset\r\n");
    a->fn(a->arg, &out);
}

/* Who still waits hears that there will be no answer. */
static void reader_free(struct store_reader *reader)
{
    struct reader *r = container_of_(reader, struct reader, base);
    for (struct asked *a; (a = r->waiting);) {
        r->waiting = a->next;
        a->reader = NULL;
        say(a, false);
    }
    mem_free(r);
}

static void answer(struct asked *a)
{
    if (a->reader)
        say(a, store_is_up(&a->m->base));
    buf_fini(&a->reply);
    mem_free(a);
}

static void leave_line(struct asked *a)
{
    struct asked **at = &a->reader->waiting;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
}

static void on_answer(void *arg, uint64_t value)
{
    struct asked *a = arg;
    (void)value;
    unsigned was = os_enter(a->m->node);
    if (a->reader) {
        leave_line(a);
        actor_again(a->actor);
    }
    answer(a);
    os_leave(was);
}

static void answer_later(struct reader *r, struct asked *a)
{
    struct model *m = a->m;
    if (!m->external) {
        answer(a);
        return;
    }
    a->next = r->waiting;
    r->waiting = a;
    uint64_t at = net_now(os_net()) + chance_below(os_chance(), options.slow_us + 1);
    m->read_at = at > m->read_at ? at : m->read_at + 1;
    net_timer(os_net(), m->node, m->read_at, on_answer, a, 0);
}

static void model_read(struct store_reader *reader, const struct command_spec *spec,
                       const struct resp_command *cmd, bool stamped, store_read_fn *fn, void *arg)
{
    struct reader *r = container_of_(reader, struct reader, base);
    struct model *m = model_of(reader->store);
    struct asked *a = MEM_NEW(struct asked);
    struct run run = {.shelf = &shelves[m->node]};
    (void)spec, (void)stamped;
    *a = (struct asked){.reader = r, .m = m, .fn = fn, .arg = arg};
    a->actor = container_of_(r->loop, struct actor, loop);
    if (!run_command(&run, cmd, &a->reply))
        resp_add_error(&a->reply, "ERR the model has no such command");
    if (run.cell && m->external) { /* its table knows overwrites only */
        a->stamp = run.cell->overwrite.time;
        a->tag = run.cell->overwrite.tag;
    } else if (run.cell) {
        a->stamp = run.cell->newest.time;
        a->tag = run.cell->newest.tag;
    }
    answer_later(r, a);
}

/* As store/redis.c tells it, of changes only how new they may be, or as store/embedded.c. */
static void copy_cell(const struct model *m, const struct data_cell *cell, struct store_copy *c)
{
    struct slice value = slice_of(cell->value ? cell->value : "", cell->exists ? cell->len : 0);
    c->exists = cell->exists;
    c->overwrite = (struct store_stamp){cell->overwrite.time, cell->overwrite.tag};
    c->newest = (struct store_stamp){cell->newest.time, cell->newest.tag};
    c->newest_exact = !m->external;
    if (m->external && c->newest.time != c->overwrite.time)
        c->newest.tag = UINT16_MAX;
    c->bytes = value.len;
    if (c->exists) {
        c->digest = store_digest_string(value);
        c->weight = store_weight_string(value);
    }
}

static void add_copy_command(struct buf *b, struct slice key, const struct data_cell *cell)
{
    struct slice value = slice_of(cell->value ? cell->value : "", cell->len);
    struct slice argv[] = {slice_str(cell->exists ? "SET" : "DEL"), key, value};
    resp_add_command(b, argv, cell->exists ? 3 : 2);
}

static void model_copy(struct store_reader *reader, struct slice key, bool command,
                       store_copy_fn *fn, void *arg)
{
    struct reader *r = container_of_(reader, struct reader, base);
    struct model *m = model_of(reader->store);
    const struct data_cell *cell = &shelves[m->node].cells[data_key_of(key)];
    struct asked *a = MEM_NEW(struct asked);
    *a = (struct asked){.reader = r, .m = m, .copy_fn = fn, .arg = arg};
    a->actor = container_of_(r->loop, struct actor, loop);
    copy_cell(m, cell, &a->copy);
    if (command)
        add_copy_command(&a->reply, key, cell);
    answer_later(r, a);
}

static const struct store_ops inside_ops = {.answers_at_once = true,
                                            .close = model_close,
                                            .writer_start = model_start,
                                            .writer_stop = model_stop,
                                            .last = model_last,
                                            .apply = model_apply,
                                            .forget_below = model_forget,
                                            .reader_new = reader_new,
                                            .reader_free = reader_free,
                                            .read = model_read,
                                            .copy = model_copy};

static struct store_ops external_ops;

/* ---- life --------------------------------------------------------------------------------------
 */

static struct store *open_model(const struct store_options *o, bool external)
{
    struct model *m = MEM_NEW(struct model);
    m->node = os_current();
    m->external = external;
    snprintf(m->self, sizeof m->self, "%s", o->self_id);
    external_ops = inside_ops;
    external_ops.answers_at_once = false;
    external_ops.note_overwrite = model_note_overwrite;
    store_base_init(&m->base, external ? &external_ops : &inside_ops);
    running[m->node] = m;
    return &m->base;
}

/* In the place of the real ones. */
struct store *store_open_embedded(const struct store_options *o, struct error *e)
{
    (void)e;
    return open_model(o, false);
}

struct store *store_open_redis(const struct store_options *o, struct error *e)
{
    (void)e;
    return open_model(o, true);
}

const struct data_cell *data_store_cell(unsigned node, unsigned key)
{
    return &shelves[node].cells[key];
}

uint64_t data_store_number(unsigned node, const char *id)
{
    return *number_of(node, id);
}

void data_store_wipe(unsigned node)
{
    for (unsigned k = 0; k < DATA_KEYS_MAX; k++)
        free(shelves[node].cells[k].value);
    memset(&shelves[node], 0, sizeof shelves[node]);
    running[node] = NULL;
}

void data_store_killed(unsigned node)
{
    running[node] = NULL;
}

void data_store_begin(const struct data_store_options *o)
{
    options = *o;
    memset(running, 0, sizeof running);
}

void data_store_end(void)
{
    for (unsigned i = 0; i < OS_NODES_MAX; i++)
        data_store_wipe(i);
}
