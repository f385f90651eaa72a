#include "client/multi.h"
#include "client/session.h"
#include "core/clock.h"
#include "core/mem.h"
#include "store/redis_reply.h"
#include "wire/resp3.h"
#include "wire/transaction.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARG_BYTES   32u    /* that an argument takes beside its own: heads, at most */
#define WATCHES_MAX 10000u /* keys: a turn must not be spent on those of one client */

/* A command that is kept. */
struct queued {
    size_t size; /* of its bytes in `lines` */
    const struct command_spec *spec;
};

/* A key that is watched; its bytes stand in `watched`. */
struct watched {
    size_t at, len;
    uint8_t version[TRANSACTION_VERSION];
};

struct multi {
    bool open, aborted; /* between MULTI and EXEC; EXEC will be refused */
    struct buf lines;   /* commands, RESP, one behind the other */
    struct queued *queued;
    size_t n, cap;
    size_t bytes, args; /* what its record will have at most */

    struct buf watched;
    struct watched *watches;
    uint32_t *by_key; /* their places, by length and bytes */
    size_t nwatches, cap_watches;
    int node;                /* whose versions these are */
    uint64_t since_ms;       /* when that node's state last changed, */
    bool broken;             /* it is another one by now */
    struct store_watch *own; /* a lone Redis does the watching */
    struct call *waits;      /* a WATCH or an EXEC that nothing may overtake */

    /* EXEC, while it can't start yet */
    struct buf record, elements;
    bool made;
};

static struct multi *multi_of(struct client *c)
{
    if (!c->multi)
        c->multi = MEM_NEW(struct multi);
    return c->multi;
}

void client_discard(struct client *c)
{
    struct multi *m = c->multi;
    c->multi = NULL;
    if (!m)
        return;
    store_watch_free(m->own);
    buf_fini(&m->lines);
    buf_fini(&m->watched);
    buf_fini(&m->record);
    buf_fini(&m->elements);
    mem_free(m->queued);
    mem_free(m->watches);
    mem_free(m->by_key);
    mem_free(m);
}

bool multi_waits(const struct client *c)
{
    return c->multi && c->multi->waits;
}

void multi_abort(struct client *c)
{
    if (c->multi && c->multi->open)
        c->multi->aborted = true;
}

static bool reply_status(struct client *c, const struct command_spec *spec, const char *status)
{
    struct buf b = BUF_INIT;
    resp_add_status(&b, status);
    call_reply(call_new(c, spec, 0), buf_slice(&b));
    buf_fini(&b);
    return true;
}

/* ---- keeping ----------------------------------------------------------------------------------
 */

static bool is(const struct command_spec *spec, const char *name)
{
    return strcmp(spec->name, name) == 0;
}

bool multi_queues(const struct client *c, const struct command_spec *spec)
{
    static const char *const at_once[] = {"MULTI", "EXEC", "DISCARD", "WATCH", "QUIT", "RESET"};
    if (!c->multi || !c->multi->open)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(at_once); i++)
        if (is(spec, at_once[i]))
            return false;
    return true;
}

/* Why it can't be part of a transaction; NULL: it can. */
static const char *not_in_multi(const struct client *c, const struct command_spec *spec)
{
    size_t key;
    struct error fails;
    bool direct = requests_direct(c->all->requests);
    if (spec->flags & COMMAND_RING)
        return "ERR inside MULTI a command that covers the whole ring isn't supported";
    if (spec->class_ == COMMAND_LOCAL || !command_arity_ok(spec, &c->cmd, &fails))
        return NULL;
    if (command_keys(spec, &c->cmd, &key, 1))
        return NULL;
    if (!command_is_script(spec))
        return "ERR this command names no key and isn't supported";
    return direct ? NULL : "ERR inside MULTI a script without keys isn't supported";
}

/* A transaction is one command in the end, and has its bounds. */
static bool fits(const struct multi *m, const struct resp_command *cmd)
{
    return m->bytes <= RESP_COMMAND_MAX && m->args <= RESP_ARGS_MAX && cmd->argc <= RESP_ARGS_MAX;
}

static void count(struct multi *m, const struct resp_command *cmd)
{
    size_t bytes = 0;
    for (size_t i = 0; i < cmd->argc; i++)
        bytes += cmd->argv[i].len + ARG_BYTES;
    m->bytes += 2 * bytes; /* its keys stand in the record once more */
    m->args += 1 + cmd->argc;
}

void multi_queue(struct client *c, const struct command_spec *spec)
{
    struct multi *m = c->multi;
    const char *why = not_in_multi(c, spec);
    struct multi before = *m;
    char text[160];
    count(m, &c->cmd);
    if (!why && !fits(m, &c->cmd)) {
        snprintf(text, sizeof text,
                 "ERR the transaction is too large: more than %u bytes or %u arguments together",
                 RESP_COMMAND_MAX, RESP_ARGS_MAX);
        why = text;
    }
    if (why) {
        m->bytes = before.bytes;
        m->args = before.args;
        m->aborted = true;
        client_fail(c, spec, why);
        return;
    }
    size_t size = m->lines.len;
    resp_pass_command(&m->lines, &c->cmd);
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 16;
        m->queued = mem_realloc(m->queued, m->cap * sizeof *m->queued);
    }
    m->queued[m->n++] = (struct queued){.size = m->lines.len - size, .spec = spec};
    reply_status(c, spec, "QUEUED");
}

/* ---- the reply --------------------------------------------------------------------------------
 */

/* Of EXEC's reply: an element that was answered here, or one of which the store gives the parts. */
struct element {
    uint32_t parts; /* 0: its `len` bytes stand behind this */
    uint32_t merge; /* enum merge */
    uint32_t shape; /* in RESP3 */
    uint32_t len;
};

static void add_element(struct buf *to, struct element e, struct slice own)
{
    e.len = (uint32_t)own.len;
    buf_add(to, &e, sizeof e);
    buf_add(to, own.ptr, own.len);
}

static bool next_element(struct slice *from, struct element *e, struct slice *own)
{
    if (from->len < sizeof *e)
        return false;
    memcpy(e, from->ptr, sizeof *e);
    *own = slice_of(from->ptr + sizeof *e, e->len);
    *from = slice_of(own->ptr + e->len, from->len - sizeof *e - e->len);
    return true;
}

/* The reply of one command that went as several; the first error is that of all. */
static void merge_parts(const struct element *e, struct redis_array *a, struct buf *out)
{
    struct slice part, error = {.ptr = NULL};
    int64_t sum = 0, one;
    for (uint32_t i = 0; i < e->parts && redis_array_next(a, &part); i++) {
        if (resp_reply_is_error(part) && !error.ptr)
            error = part;
        sum += resp_reply_int(part, &one) ? one : 0;
    }
    if (error.ptr)
        buf_add(out, error.ptr, error.len);
    else if (e->merge == MERGE_SUM)
        resp_add_int(out, sum);
    else
        resp_add_status(out, "OK");
}

/* The next element of the reply, as RESP2 has it. */
static void add_next(const struct element *e, struct slice own, struct redis_array *a,
                     struct buf *out)
{
    struct slice one;
    if (e->parts == 0)
        buf_add(out, own.ptr, own.len);
    else if (e->merge != MERGE_ONE)
        merge_parts(e, a, out);
    else if (redis_array_next(a, &one))
        buf_add(out, one.ptr, one.len);
}

static size_t count_elements(struct slice elements)
{
    struct element e;
    struct slice own;
    size_t n = 0;
    while (next_element(&elements, &e, &own))
        n++;
    return n;
}

/* From the store's array to its client's. `how`: the version of the protocol. */
static void render_exec(const struct call *call, struct slice reply, struct buf *out)
{
    bool resp3 = call->rendering.how == 3;
    struct slice elements = buf_slice(&call->rendering.note), own;
    struct buf two = BUF_INIT;
    struct redis_array a;
    struct element e;
    if (!redis_array_open(reply, &a)) { /* an error, or nil */
        resp3 ? resp3_add(RESP3_PLAIN, reply, out) : buf_add(out, reply.ptr, reply.len);
        return;
    }
    resp_add_array(out, count_elements(elements));
    while (next_element(&elements, &e, &own)) {
        add_next(&e, own, &a, resp3 ? &two : out);
        if (resp3)
            resp3_add(e.shape, buf_slice(&two), out);
        buf_reset(&two, SIZE_MAX);
    }
    buf_fini(&two);
}

/* ---- the record -------------------------------------------------------------------------------
 */

struct making {
    struct client *c;
    struct multi *m;
    struct buf bytes; /* commands of the record, one behind the other */
    size_t *sizes;    /* of each */
    size_t n, cap;
    struct slice *keys; /* point into `lines` */
    size_t nkeys, cap_keys;
};

static void end_command(struct making *k, size_t before)
{
    if (k->n == k->cap) {
        k->cap = k->cap ? 2 * k->cap : 16;
        k->sizes = mem_realloc(k->sizes, k->cap * sizeof *k->sizes);
    }
    k->sizes[k->n++] = k->bytes.len - before;
}

static void note_keys(struct making *k, const struct command_spec *spec,
                      const struct resp_command *cmd)
{
    if (k->cap_keys - k->nkeys < cmd->argc) {
        k->cap_keys = 2 * k->cap_keys + cmd->argc;
        k->keys = mem_realloc(k->keys, k->cap_keys * sizeof *k->keys);
    }
    size_t *at = mem_alloc((cmd->argc + 1) * sizeof *at);
    size_t n = command_keys(spec, cmd, at, cmd->argc);
    for (size_t i = 0; i < n; i++)
        k->keys[k->nkeys++] = cmd->argv[at[i]];
    mem_free(at);
}

/* MSET and DEL are judged key by key where there are replicas. */
static bool falls_apart(const struct making *k, const struct command_spec *spec,
                        const struct resp_command *cmd)
{
    return (spec->flags & COMMAND_SPLIT) && command_class_of(spec, cmd) == COMMAND_OVERWRITE &&
           !requests_direct(k->c->all->requests);
}

static void make_parts(struct making *k, const struct command_spec *spec,
                       const struct resp_command *cmd, struct element e)
{
    bool mset = spec->step == 2;
    for (size_t i = 1; i < cmd->argc; i += mset ? 2 : 1) {
        struct slice argv[3] = {mset ? slice_str("SET") : cmd->argv[0], cmd->argv[i]};
        size_t before = k->bytes.len;
        if (mset)
            argv[2] = cmd->argv[i + 1];
        resp_add_command(&k->bytes, argv, mset ? 3 : 2);
        end_command(k, before);
        e.parts++;
    }
    e.merge = mset ? MERGE_OK : MERGE_SUM;
    add_element(&k->m->elements, e, slice_of("", 0));
}

/* It fails, and the others are run all the same. */
static void make_wrong(struct making *k, const char *error, struct element e)
{
    struct buf text = BUF_INIT;
    resp_add_error(&text, "%s", error);
    add_element(&k->m->elements, e, buf_slice(&text));
    buf_fini(&text);
}

static void make_one(struct making *k, const struct command_spec *spec,
                     const struct resp_command *cmd, struct element e)
{
    struct error error;
    size_t before = k->bytes.len;
    bool direct = requests_direct(k->c->all->requests);
    struct slice twice[3] = {slice_str("PFCOUNT")};
    struct resp_command counts = {.argv = twice, .argc = 3};
    if (!direct && is(spec, "PFCOUNT") && cmd->argc == 2) { /* of two keys it keeps nothing */
        twice[1] = twice[2] = cmd->argv[1];
        cmd = &counts;
    }
    bool as_it_is = direct || command_class_of(spec, cmd) == COMMAND_READ;
    if (as_it_is || command_normalize(spec, cmd, k->c->all->wall_ms, &k->bytes, &error)) {
        if (as_it_is)
            resp_pass_command(&k->bytes, cmd);
        end_command(k, before);
        e.parts = 1;
        note_keys(k, spec, cmd);
        add_element(&k->m->elements, e, slice_of("", 0));
    } else {
        k->bytes.len = before;
        make_wrong(k, error.text, e);
    }
}

/* What was answered here so far and this have room together; beyond that nothing is run. */
static void answer_local(struct making *k, const struct command_spec *spec, struct buf *b)
{
    struct client *c = k->c;
    uint64_t max = c->all->config->client_output_max_bytes;
    if (k->m->elements.len <= max && !session_reply(c, spec, b))
        resp_add_error(b, "ERR '%s' isn't supported inside MULTI", spec->name);
    if (k->m->elements.len + b->len <= max)
        return;
    buf_reset(b, 0);
    resp_add_error(b, "ERR more than %" PRIu64 " bytes of replies (client_output_max_bytes)", max);
}

/* This node answers it, now. */
static void make_local(struct making *k, const struct command_spec *spec, struct resp_command *cmd,
                       struct element e)
{
    struct client *c = k->c;
    struct buf b = BUF_INIT;
    struct resp_command exec = c->cmd;
    c->cmd = *cmd;
    if (is(spec, "UNWATCH"))
        resp_add_status(&b, "OK");
    else
        answer_local(k, spec, &b);
    c->cmd = exec;
    add_element(&k->m->elements, e, buf_slice(&b));
    buf_fini(&b);
}

static int by_bytes(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->len ? memcmp(x->ptr, y->ptr, x->len) : 0;
}

static struct slice watched_key(const struct multi *m, size_t i)
{
    return slice_of(buf_head(&m->watched) + m->watches[i].at, m->watches[i].len);
}

/* Where in by_key it stands, or would. */
static size_t place_by_key(const struct multi *m, struct slice key, bool *found)
{
    size_t from = 0, to = m->nwatches;
    *found = false;
    while (from < to && !*found) {
        size_t middle = from + (to - from) / 2;
        struct slice one = watched_key(m, m->by_key[middle]);
        int order = by_bytes(&one, &key);
        *found = order == 0;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return to;
}

static bool is_watched(const struct multi *m, struct slice key)
{
    bool found;
    (void)place_by_key(m, key, &found);
    return found;
}

/* Those that are watched in front, in their order, the others behind; each once. */
static size_t order_keys(struct making *k, struct slice **out)
{
    const struct multi *m = k->m;
    struct slice *keys = *out = mem_calloc(m->nwatches + k->nkeys + 1, sizeof *keys);
    size_t n = 0;
    for (; n < m->nwatches; n++)
        keys[n] = watched_key(m, n);
    if (k->nkeys)
        qsort(k->keys, k->nkeys, sizeof *k->keys, by_bytes);
    for (size_t i = 0; i < k->nkeys; i++)
        if ((i == 0 || by_bytes(&k->keys[i], &k->keys[i - 1]) != 0) && !is_watched(m, k->keys[i]))
            keys[n++] = k->keys[i];
    return n;
}

static void write_record(struct making *k)
{
    struct multi *m = k->m;
    struct buf versions = BUF_INIT;
    struct slice *keys, *commands = mem_calloc(k->n + 1, sizeof *commands);
    const uint8_t *at = buf_head(&k->bytes);
    size_t nkeys = order_keys(k, &keys);
    for (size_t i = 0; i < k->n; at += k->sizes[i++])
        commands[i] = slice_of(at, k->sizes[i]);
    for (size_t i = 0; i < m->nwatches; i++)
        buf_add(&versions, m->watches[i].version, sizeof m->watches[i].version);
    if (nkeys || k->n || m->own)
        transaction_add(&m->record, buf_slice(&versions), keys, nkeys, commands, k->n);
    buf_fini(&versions);
    mem_free(commands);
    mem_free(keys);
}

static void make_record(struct client *c)
{
    struct multi *m = c->multi;
    struct making k = {.c = c, .m = m, .bytes = BUF_INIT};
    struct resp_command cmd = {0};
    struct slice rest = buf_slice(&m->lines);
    for (size_t i = 0; i < m->n; i++) {
        struct slice line = slice_of(rest.ptr, m->queued[i].size);
        const struct command_spec *spec = m->queued[i].spec;
        rest = slice_of(rest.ptr + line.len, rest.len - line.len);
        if (!resp_command_parse(line, &cmd))
            continue; /* it was parsed before */
        struct element e = {.shape = resp3_shape(spec, &cmd)};
        struct error error;
        if (!command_arity_ok(spec, &cmd, &error)) {
            make_wrong(&k, error.text, e);
        } else if (spec->class_ == COMMAND_LOCAL) {
            make_local(&k, spec, &cmd, e);
        } else if (falls_apart(&k, spec, &cmd)) {
            note_keys(&k, spec, &cmd);
            make_parts(&k, spec, &cmd, e);
        } else {
            make_one(&k, spec, &cmd, e);
        }
    }
    resp_command_fini(&cmd);
    write_record(&k);
    m->made = true;
    buf_fini(&k.bytes);
    mem_free(k.sizes);
    mem_free(k.keys);
}

/* ---- EXEC -------------------------------------------------------------------------------------
 */

static void on_own_exec(void *arg, const struct store_read_reply *r)
{
    struct call *call = arg;
    struct client *c = call->client;
    if (c)
        client_discard(c);
    call_reply(call, r->reply);
}

/* By the connection that has watched. */
static bool run_own(struct client *c, const struct command_spec *spec,
                    const struct command_spec *record)
{
    if (c->first_call)
        return false; /* they go another way */
    c->multi->waits = call_new(c, spec, 0);
    store_watch_run(c->multi->own, record, &c->cmd, on_own_exec, c->multi->waits);
    return true;
}

/* When this node saw another state of it the last time: whatever was read since then may have come
 * from another one. */
static uint64_t multi_node_since(const struct requests *rs, int node)
{
    if (node < 0 || node == (int)rs->peers->self)
        return 0;
    return PEER_LOAD(rs->peers->at[node], since_ms);
}

/* Nothing is done: what was watched has changed, or who said so can't be asked any more. */
static bool has_lost_watch(struct client *c, const struct resp_command *record)
{
    struct multi *m = c->multi;
    const struct requests *rs = c->all->requests;
    if (m->own)
        return !requests_direct(rs);
    if (!m->nwatches || m->broken)
        return m->broken;
    return request_first_replica(rs, request_token(rs, record->argv[3])) != m->node ||
           multi_node_since(rs, m->node) != m->since_ms;
}

static bool run_record(struct client *c, const struct command_spec *spec)
{
    struct multi *m = c->multi;
    const struct command_spec *record = command_find(slice_str("TRANSACTION"));
    struct resp_command exec = c->cmd, cmd = {0};
    struct call *last = c->last_call;
    if (!resp_command_parse(buf_slice(&m->record), &cmd))
        return client_fail(c, spec, "ERR the transaction can't be encoded");
    bool lost = has_lost_watch(c, &cmd), started = true;
    c->cmd = cmd;
    c->cmd.size = m->record.len;
    if (lost)
        call_reply(call_new(c, spec, 0), slice_str("*-1\r\n"));
    else if (m->own)
        started = run_own(c, spec, record);
    else
        started = client_run_keys(c, record);
    if (c->last_call && c->last_call != last)
        c->last_call->spec = spec; /* what its client has called */
    cmd = c->cmd;
    c->cmd = exec;
    resp_command_fini(&cmd);
    return started;
}

static void set_rendering(struct client *c)
{
    buf_fini(&c->rendering.note);
    c->rendering =
        (struct rendering){.fn = render_exec, .how = c->resp, .note = c->multi->elements};
    c->multi->elements = (struct buf)BUF_INIT;
}

static void take_back_rendering(struct client *c)
{
    if (c->rendering.fn != render_exec)
        return;
    c->multi->elements = c->rendering.note;
    c->rendering = (struct rendering){.fn = NULL};
}

static bool exec(struct client *c, const struct command_spec *spec)
{
    struct multi *m = c->multi;
    if (!m || !m->open)
        return client_fail(c, spec, "ERR EXEC without MULTI");
    if (m->aborted) {
        client_discard(c);
        return client_fail(c, spec, "EXECABORT Transaction discarded because of previous errors.");
    }
    if (!m->made)
        make_record(c);
    set_rendering(c);
    if (m->record.len == 0) {
        call_reply(call_new(c, spec, 0), slice_str("*0\r\n"));
    } else if (!run_record(c, spec)) {
        take_back_rendering(c);
        return false;
    }
    if (c->multi && !c->multi->waits)
        client_discard(c);
    return true;
}

/* ---- WATCH ------------------------------------------------------------------------------------
 */

/* In the record: a key and its version. */
static size_t bytes_of_watch(size_t len)
{
    return len + ARG_BYTES + TRANSACTION_VERSION;
}

static void add_watch(struct multi *m, struct slice key)
{
    bool found;
    size_t place = place_by_key(m, key, &found);
    if (found)
        return;
    if (m->nwatches == m->cap_watches) {
        m->cap_watches = m->cap_watches ? 2 * m->cap_watches : 8;
        m->watches = mem_realloc(m->watches, m->cap_watches * sizeof *m->watches);
        m->by_key = mem_realloc(m->by_key, m->cap_watches * sizeof *m->by_key);
    }
    memmove(&m->by_key[place + 1], &m->by_key[place], (m->nwatches - place) * sizeof *m->by_key);
    m->by_key[place] = (uint32_t)m->nwatches;
    m->watches[m->nwatches++] = (struct watched){.at = m->watched.len, .len = key.len};
    buf_add(&m->watched, key.ptr, key.len);
    m->bytes += bytes_of_watch(key.len);
    m->args++;
}

/* Those of `cmd` that it doesn't watch yet. Returns how many it watched before. */
static size_t add_watches(struct multi *m, const struct resp_command *cmd)
{
    size_t before = m->nwatches;
    for (size_t i = 1; i < cmd->argc; i++)
        add_watch(m, cmd->argv[i]);
    return before;
}

static void drop_watches(struct multi *m, size_t from)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->nwatches; i++)
        if (m->by_key[i] < from)
            m->by_key[kept++] = m->by_key[i];
    for (size_t i = from; i < m->nwatches; i++, m->args--)
        m->bytes -= bytes_of_watch(m->watches[i].len);
    if (from < m->nwatches)
        m->watched.len = m->watches[from].at;
    m->nwatches = from;
}

/* The versions of the keys from `from` on. False: it isn't such an answer. */
static bool take_versions(struct multi *m, size_t from, struct slice reply)
{
    struct redis_array a;
    struct slice element, version;
    if (!redis_array_open(reply, &a) || a.left != m->nwatches - from)
        return false;
    for (size_t i = from; redis_array_next(&a, &element); i++) {
        if (!resp_reply_bulk(element, &version) || version.len != TRANSACTION_VERSION)
            return false;
        memcpy(m->watches[i].version, version.ptr, version.len);
    }
    return true;
}

struct watching {
    struct part *part;
    size_t from; /* the first key that is asked about */
};

static void on_versions(void *arg, const struct request_result *r)
{
    struct watching *w = arg;
    struct part *part = w->part;
    struct client *c = part->call->client;
    struct request_result result = *r;
    if (c && c->multi) {
        bool known = take_versions(c->multi, w->from, r->reply);
        c->multi->waits = NULL;
        if (known)
            result.reply = slice_str("+OK\r\n");
        else
            drop_watches(c->multi, w->from);
    }
    mem_free(w);
    call_part_done(part, &result);
}

static void on_own_watch(void *arg, const struct store_read_reply *r)
{
    struct call *call = arg;
    if (call->client && call->client->multi)
        call->client->multi->waits = NULL;
    call_reply(call, r->reply);
}

static bool watch_own(struct client *c, const struct command_spec *spec)
{
    struct multi *m = multi_of(c);
    if (c->first_call)
        return false; /* what it has written comes before */
    if (!m->own)
        m->own = store_watch_new(c->all->requests->reader);
    m->waits = call_new(c, spec, 0);
    store_watch_run(m->own, spec, &c->cmd, on_own_watch, m->waits);
    return true;
}

/* Keys of several owners have no single place to compare them at. */
static bool one_owner(struct client *c)
{
    struct requests *rs = c->all->requests;
    const struct multi *m = c->multi;
    size_t n = c->cmd.argc - 1, *keys = mem_alloc((n + 1) * sizeof *keys);
    struct slice pair[2] = {c->cmd.argv[1]};
    struct resp_command both = {.argv = pair, .argc = 2};
    for (size_t i = 0; i < n; i++)
        keys[i] = i + 1;
    bool same = request_same_owner(rs, &c->cmd, keys, n);
    mem_free(keys);
    if (!same || !m || m->nwatches == 0)
        return same;
    pair[1] = watched_key(m, 0);
    return request_same_owner(rs, &both, (const size_t[]){0, 1}, 2);
}

/* A command line with the keys from `from` on. */
static void add_question(const struct multi *m, size_t from, struct buf *out)
{
    resp_add_array(out, 1 + m->nwatches - from);
    resp_add_bulk_str(out, "VERSIONS");
    for (size_t i = from; i < m->nwatches; i++)
        resp_add_bulk(out, watched_key(m, i));
}

static void ask_versions(struct client *c, const struct command_spec *spec, uint32_t token,
                         size_t from)
{
    struct multi *m = c->multi;
    struct buf question = BUF_INIT;
    struct resp_command cmd = {0};
    struct call *call = call_new(c, spec, 1);
    struct watching *w = MEM_NEW(struct watching);
    *w = (struct watching){.part = &call->parts[0], .from = from};
    call->parts[0].token = token;
    call_part_starts(call, token);
    add_question(m, from, &question);
    m->waits = call;
    struct operation op = {.spec = command_find(slice_str("VERSIONS")),
                           .cmd = &cmd,
                           .token = token,
                           .prefer = m->node,
                           .second = -1,
                           .only = true,
                           .done = on_versions,
                           .arg = w};
    if (resp_command_parse(buf_slice(&question), &cmd))
        request_read(c->all->requests, &op);
    resp_command_fini(&cmd);
    buf_fini(&question);
}

/* That node hasn't all that the connection has written yet: later, but not for ever. */
static bool must_catch_up(struct client *c, int node)
{
    const struct requests *rs = c->all->requests;
    bool reached = true;
    for (size_t i = 1; i < c->cmd.argc && reached && node >= 0; i++)
        reached = recent_has(&c->recent, rs, request_token(rs, c->cmd.argv[i]), (unsigned)node);
    return !reached && client_lags(c);
}

/* Of what it is told once more it doesn't know yet that this is no more. */
static bool has_room_to_watch(const struct client *c)
{
    size_t bytes = c->multi ? c->multi->bytes : 0, n = c->multi ? c->multi->nwatches : 0;
    for (size_t i = 1; i < c->cmd.argc; i++)
        bytes += c->cmd.argv[i].len;
    return n + c->cmd.argc - 1 <= WATCHES_MAX && bytes <= RESP_COMMAND_MAX / 2;
}

static bool fail_watches(struct client *c, const struct command_spec *spec)
{
    char text[120];
    snprintf(text, sizeof text, "ERR too much to watch: more than %u keys or %u bytes of them",
             WATCHES_MAX, RESP_COMMAND_MAX / 2);
    return client_fail(c, spec, text);
}

static bool watch(struct client *c, const struct command_spec *spec)
{
    struct requests *rs = c->all->requests;
    if (c->multi && c->multi->open)
        return client_fail(c, spec, "ERR WATCH inside MULTI is not allowed");
    if (!has_room_to_watch(c))
        return fail_watches(c, spec);
    if (requests_direct(rs))
        return watch_own(c, spec);
    if (!one_owner(c))
        return client_fail(c, spec, "CROSSSLOT Keys in request don't hash to the same node");
    uint32_t token = request_token(rs, c->cmd.argv[1]);
    int node = request_first_replica(rs, token);
    if (c->first_call || must_catch_up(c, node))
        return false;
    struct multi *m = multi_of(c);
    if (m->own || (m->nwatches && (m->node != node || m->since_ms != multi_node_since(rs, node))))
        m->broken = true;
    size_t from = add_watches(m, &c->cmd);
    if (from == m->nwatches)
        return reply_status(c, spec, "OK");
    m->node = node;
    m->since_ms = multi_node_since(rs, node);
    ask_versions(c, spec, token, from);
    return true;
}

bool multi_reads_watched(struct client *c, const struct command_spec *spec)
{
    struct multi *m = c->multi;
    const struct requests *rs = c->all->requests;
    if (m->nwatches == 0 || m->broken || command_class_of(spec, &c->cmd) != COMMAND_READ)
        return false;
    size_t *keys = mem_alloc((c->cmd.argc + 1) * sizeof *keys);
    size_t n = command_keys(spec, &c->cmd, keys, c->cmd.argc);
    bool watched = false;
    for (size_t i = 0; i < n && !watched; i++)
        watched = is_watched(m, c->cmd.argv[keys[i]]);
    if (watched) /* else what it reads says nothing of what was watched */
        m->broken = request_first_replica(rs, request_token(rs, c->cmd.argv[keys[0]])) != m->node;
    mem_free(keys);
    return watched && !m->broken;
}

/* ---- the five ---------------------------------------------------------------------------------
 */

static bool multi(struct client *c, const struct command_spec *spec)
{
    if (c->multi && c->multi->open)
        return client_fail(c, spec, "ERR MULTI calls can not be nested");
    multi_of(c)->open = true;
    return reply_status(c, spec, "OK");
}

static bool discard(struct client *c, const struct command_spec *spec)
{
    if (!c->multi || !c->multi->open)
        return client_fail(c, spec, "ERR DISCARD without MULTI");
    client_discard(c);
    return reply_status(c, spec, "OK");
}

static bool unwatch(struct client *c, const struct command_spec *spec)
{
    client_discard(c); /* within MULTI it is kept, and does nothing at EXEC */
    return reply_status(c, spec, "OK");
}

static const struct {
    const char *name;
    bool (*run)(struct client *c, const struct command_spec *spec);
} five[] = {
    {"MULTI", multi}, {"EXEC", exec}, {"DISCARD", discard}, {"WATCH", watch}, {"UNWATCH", unwatch}};

static size_t place_of(const struct command_spec *spec)
{
    size_t i = 0;
    while (i < ARRAY_LEN(five) && !is(spec, five[i].name))
        i++;
    return i;
}

bool multi_is(const struct command_spec *spec)
{
    return spec->class_ == COMMAND_LOCAL && place_of(spec) < ARRAY_LEN(five);
}

bool multi_command(struct client *c, const struct command_spec *spec)
{
    return five[place_of(spec)].run(c, spec);
}

bool multi_wrong_arity(struct client *c, const struct command_spec *spec, const struct error *e)
{
    char text[sizeof e->text + 64];
    const char *why = strncmp(e->text, "ERR ", 4) == 0 ? e->text + 4 : e->text;
    if (!is(spec, "EXEC"))
        return false;
    client_discard(c);
    snprintf(text, sizeof text, "EXECABORT Transaction discarded because of: %s", why);
    return client_fail(c, spec, text);
}
