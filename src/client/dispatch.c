#include "client/dispatch.h"
#include "client/multi.h"
#include "client/ring.h"
#include "client/session.h"
#include "core/clock.h"
#include "core/mem.h"
#include "wire/transaction.h"
#include <string.h>

#define SNIPPET 128 /* bytes of arguments quoted in an error, as in Redis */

void reply_unknown(struct buf *out, const struct resp_command *cmd)
{
    struct buf args = BUF_INIT;
    for (size_t i = 1; i < cmd->argc && args.len < SNIPPET; i++) {
        size_t room = SNIPPET - args.len, n = cmd->argv[i].len < room ? cmd->argv[i].len : room;
        buf_printf(&args, "'%.*s' ", (int)n, (const char *)cmd->argv[i].ptr);
    }
    size_t n = cmd->argv[0].len < SNIPPET ? cmd->argv[0].len : SNIPPET;
    resp_add_error(out, "ERR unknown command '%.*s', with args beginning with: %.*s", (int)n,
                   (const char *)cmd->argv[0].ptr, (int)args.len, (const char *)buf_head(&args));
    buf_fini(&args);
}

bool client_fail(struct client *c, const struct command_spec *spec, const char *text)
{
    struct call *call = call_new(c, spec, 0);
    struct buf b = BUF_INIT;
    resp_add_error(&b, "%s", text);
    call_reply(call, buf_slice(&b));
    buf_fini(&b);
    return true;
}

static bool fail_unknown(struct client *c)
{
    struct call *call = call_new(c, NULL, 0);
    struct buf b = BUF_INIT;
    reply_unknown(&b, &c->cmd);
    call_reply(call, buf_slice(&b));
    buf_fini(&b);
    return true;
}

static bool fail_refused(struct client *c, const struct command_spec *spec)
{
    char text[300];
    snprintf(text, sizeof text, "ERR %s", command_refusal(spec, &c->cmd));
    return client_fail(c, spec, text);
}

/* A browser that was led here: what follows are lines of its request, and they must not run. */
static bool is_http(struct slice name)
{
    return slice_is(name, "POST") || slice_is(name, "Host:");
}

static bool fail_http(struct client *c)
{
    c->closing = true;
    return client_fail(c, NULL,
                       "ERR Protocol error: this is the port for Redis clients, not for HTTP");
}

static bool hidden(struct slice key)
{
    size_t n = sizeof STORE_HIDDEN_PREFIX - 1;
    return key.len >= n && memcmp(key.ptr, STORE_HIDDEN_PREFIX, n) == 0;
}

/* The client's earlier calls to these keys that this one must not overtake. Of a command with keys
 * of many tokens in one part only one token is known: it waits for all. */
static bool must_wait(const struct client *c, uint32_t token, bool write, bool wide)
{
    const struct in_flight *others = write ? &c->reads : &c->writes;
    return others->bucket[token % HAZARDS] || others->wide || (wide && others->all);
}

/* For a replica that has the client's earlier writes, but not for ever. */
bool client_lags(struct client *c)
{
    uint64_t now = clock_mono_ms();
    if (!c->lag_until)
        c->lag_until = now + c->all->config->timeout / 5;
    if (now >= c->lag_until)
        return false;
    return c->lagging = c->all->later = true;
}

/* No replica of this key is known to have them. */
static bool lags(struct client *c, uint32_t token)
{
    return recent_replica(&c->recent, c->all->requests, token) == RECENT_WAIT && client_lags(c);
}

/* The one that is to be asked. */
static bool first_lags(struct client *c, uint32_t token)
{
    int first = request_first_replica(c->all->requests, token);
    return first >= 0 && !recent_has(&c->recent, c->all->requests, token, (unsigned)first) &&
           client_lags(c);
}

static bool not_yet(struct client *c, uint32_t token, bool write, bool wide)
{
    return must_wait(c, token, write, wide) ||
           (!write && (c->at_first ? first_lags(c, token) : lags(c, token)));
}

/* A peer runs another client's write to one of these keys: its answer isn't awaited by the client.
 */
static bool meets_carried(struct client *c, const size_t *keys, size_t n)
{
    struct requests *rs = c->all->requests;
    bool meets = false;
    if (!rs->peers->carried)
        return false;
    for (size_t i = 0; requests_carry_any(rs) && i < n && !meets; i++)
        meets = request_is_carried(rs, request_token(rs, c->cmd.argv[keys[i]]));
    for (size_t i = 0; (meets || c->awaits) && i < n; i++)
        request_await_carried(rs, request_token(rs, c->cmd.argv[keys[i]]), meets);
    c->awaits = meets;
    if (meets)
        c->lagging = c->all->later = true;
    return meets;
}

/* Another write waits for what peers run of these keys: one more would come before it. */
static bool is_awaited(struct client *c, const size_t *keys, size_t n)
{
    const struct requests *rs = c->all->requests;
    bool awaited = false;
    for (size_t i = 0; i < n && !awaited; i++)
        awaited = request_is_awaited(rs, request_token(rs, c->cmd.argv[keys[i]]));
    if (awaited)
        c->lagging = c->all->later = true;
    return awaited;
}

/* The level of a command with these keys: the strictest of theirs. */
static enum consistency level_of(const struct client *c, const size_t *keys, size_t n, bool write)
{
    const struct config *config = c->all->config;
    enum consistency strictest = CONSISTENCY_DC_ONE;
    for (size_t i = 0; i < n; i++) {
        struct slice key = c->cmd.argv[keys[i]];
        enum consistency level =
            write ? config_write_level(config, key) : config_read_level(config, key);
        strictest = level > strictest ? level : strictest;
    }
    return strictest;
}

static void start_read(struct client *c, struct part *p, const struct command_spec *spec,
                       const struct resp_command *cmd, enum consistency level)
{
    int prefer = recent_replica(&c->recent, c->all->requests, p->token);
    call_part_starts(p->call, p->token);
    struct operation op = {.spec = spec,
                           .cmd = cmd,
                           .level = level,
                           .token = p->token,
                           .prefer = prefer == RECENT_WAIT ? RECENT_ANY : prefer,
                           .done = call_part_done,
                           .arg = p};
    op.second = op.prefer >= 0 ? recent_second(&c->recent, c->all->requests, p->token, prefer) : -1;
    op.anchor = op.prefer >= 0 && level != CONSISTENCY_DC_ONE &&
                recent_is_thin(&c->recent, c->all->requests, p->token);
    int first = c->at_first ? request_first_replica(c->all->requests, p->token) : -1;
    if (first >= 0) {
        op.prefer = first;
        op.second = -1;
        op.only = true;
    }
    request_read(c->all->requests, &op);
}

static void start_write(struct client *c, struct part *p, struct mail_write *m,
                        const struct command_spec *spec, const struct resp_command *cmd,
                        enum consistency level)
{
    call_part_starts(p->call, p->token);
    struct operation op = {.spec = spec,
                           .cmd = cmd,
                           .level = level,
                           .token = p->token,
                           .done = call_part_done,
                           .arg = p};
    request_write(c->all->requests, &op, m);
}

/* ---- one part ---------------------------------------------------------------------------------
 */

/* A read that needs no call: nothing stands before it, and the own store answers it. */
static bool read_at_once(struct client *c, const struct command_spec *spec, uint32_t token,
                         enum consistency level)
{
    if (c->multi || c->first_call || c->mute || !client_can_rewrite(c))
        return false;
    struct operation op = {.spec = spec,
                           .cmd = &c->cmd,
                           .level = level,
                           .token = token,
                           .prefer = recent_replica(&c->recent, c->all->requests, token)};
    size_t before = c->stream.out.len;
    if (!request_read_at_once(c->all->requests, &op, &c->stream.out))
        return false;
    client_count(c->all, spec, buf_head(&c->stream.out)[before] == '-');
    client_rewrite(c, before);
    c->answered_at_once++;
    client_mark_dirty(c);
    return true;
}

static bool run_read(struct client *c, const struct command_spec *spec, uint32_t token,
                     enum consistency level, bool wide)
{
    if (read_at_once(c, spec, token, level))
        return true;
    struct call *call = call_new(c, spec, 1);
    call->wide = wide;
    call->parts[0].token = token;
    start_read(c, &call->parts[0], spec, &c->cmd, level);
    return true;
}

/* All of what it writes is the connection's own: each key is read where it was done. */
static void keep_tokens(struct call *call, const struct resp_command *cmd, const size_t *keys,
                        size_t n)
{
    call->tokens = mem_calloc(n, sizeof *call->tokens);
    call->ntokens = n;
    for (size_t i = 0; i < n; i++)
        call->tokens[i] = request_token(call->client->all->requests, cmd->argv[keys[i]]);
}

static bool run_write(struct client *c, const struct command_spec *spec, const size_t *keys,
                      size_t n, enum consistency level)
{
    uint32_t token = request_token(c->all->requests, c->cmd.argv[keys[0]]);
    bool wide = n > 1;
    struct error e;
    struct mail_write *m = requests_new_mail(c->all->requests);
    if (!command_normalize(spec, &c->cmd, c->all->wall_ms, &m->command, &e)) {
        requests_put_mail(c->all->requests, m);
        return client_fail(c, spec, e.text);
    }
    struct call *call = call_new(c, spec, 1);
    call->wide = wide;
    call_is_write(call, c->cmd.size);
    call->parts[0].token = token;
    if (wide)
        keep_tokens(call, &c->cmd, keys, n);
    start_write(c, &call->parts[0], m, spec, &c->cmd, level);
    return true;
}

static bool run_whole(struct client *c, const struct command_spec *spec, const size_t *keys,
                      size_t n, bool write)
{
    uint32_t token = request_token(c->all->requests, c->cmd.argv[keys[0]]);
    bool wide = n > 1;
    if (not_yet(c, token, write, wide) || (write && meets_carried(c, keys, n)))
        return false;
    enum consistency level = level_of(c, keys, n, write);
    return write ? run_write(c, spec, keys, n, level) : run_read(c, spec, token, level, wide);
}

/* ---- writes that one replica runs --------------------------------------------------------------
 */

/* Its effect isn't in its arguments, or it belongs to those of which one replica for all nodes
 * keeps the order, and that is another one. */
static bool another_decides(const struct client *c, const struct command_spec *spec, size_t key)
{
    const struct requests *rs = c->all->requests;
    if (command_stays_undetermined(spec, &c->cmd))
        return true;
    if (!(spec->flags & COMMAND_SHARES_OUT))
        return false;
    int node = request_runner(rs, spec, &c->cmd, request_token(rs, c->cmd.argv[key]));
    return node >= 0 && node != (int)rs->peers->self;
}

/* One that another node runs doesn't go the way of this node's writes: it waits for the earlier
 * ones, too, and they for it. */
static bool run_effect(struct client *c, const struct command_spec *spec, const size_t *keys,
                       size_t n)
{
    struct requests *rs = c->all->requests;
    struct error e;
    uint32_t token = request_token(rs, c->cmd.argv[keys[0]]);
    int node = request_runner(rs, spec, &c->cmd, token);
    bool wide = n > 1, elsewhere = node >= 0 && node != (int)rs->peers->self;
    if (not_yet(c, token, true, wide) || (elsewhere && not_yet(c, token, false, wide)))
        return false;
    if (elsewhere ? is_awaited(c, keys, n) : meets_carried(c, keys, n))
        return false;
    struct mail_write *m = requests_new_mail(rs);
    if (!command_normalize(spec, &c->cmd, c->all->wall_ms, &m->command, &e)) {
        requests_put_mail(rs, m);
        return client_fail(c, spec, e.text);
    }
    struct carry *carry = elsewhere ? request_carry(rs, spec, &c->cmd, token, node) : NULL;
    if (elsewhere && !carry) {
        requests_put_mail(rs, m);
        c->lagging = c->all->later = true;
        return false;
    }
    struct call *call = call_new(c, spec, 1);
    call->wide = wide;
    call->carried = elsewhere;
    call_is_write(call, c->cmd.size);
    call->parts[0].token = token;
    if (wide)
        keep_tokens(call, &c->cmd, keys, n);
    call_part_starts(call, token);
    struct operation op = {.spec = spec,
                           .cmd = &c->cmd,
                           .level = level_of(c, keys, n, true),
                           .token = token,
                           .done = call_part_done,
                           .arg = &call->parts[0]};
    request_execute(rs, &op, m, node, carry);
    return true;
}

/* A script without keys has no owner, and nothing to tell others: it may read this node's store.
 * Texts (XINFO HELP) any store has. */
static void on_keyless(void *arg, const struct store_read_reply *r)
{
    call_reply(arg, r->reply);
}

static const struct command_spec *read_only_form(const struct command_spec *spec)
{
    char name[16];
    if (spec->class_ == COMMAND_READ || !command_is_script(spec))
        return spec;
    snprintf(name, sizeof name, "%s_RO", spec->name);
    return command_find(slice_str(name));
}

static bool run_keyless(struct client *c, const struct command_spec *spec)
{
    const struct command_spec *reading = read_only_form(spec);
    struct resp_command cmd = c->cmd;
    if (c->first_call)
        return false; /* the client's earlier writes count */
    struct call *call = call_new(c, spec, 0);
    cmd.whole = slice_of(NULL, 0);
    cmd.argv = mem_calloc(cmd.argc, sizeof *cmd.argv);
    memcpy(cmd.argv, c->cmd.argv, cmd.argc * sizeof *cmd.argv);
    cmd.argv[0] = slice_str(reading->name);
    store_read(c->all->requests->reader, reading, &cmd, on_keyless, call);
    mem_free(cmd.argv);
    return true;
}

/* Everything of this connection goes to the one store in the order in which it came. */
static bool run_direct(struct client *c, const struct command_spec *spec, bool write)
{
    struct call *call = call_new(c, spec, 1);
    if (write)
        call_is_write(call, c->cmd.size);
    call_part_starts(call, 0);
    struct operation op = {
        .spec = spec, .cmd = &c->cmd, .prefer = -1, .done = call_part_done, .arg = &call->parts[0]};
    if (write)
        request_write_direct(c->all->requests, &op);
    else
        request_read(c->all->requests, &op);
    return true;
}

/* ---- many parts ---------------------------------------------------------------------------------
 */

static enum merge merge_of(const struct command_spec *spec)
{
    if (spec->flags & COMMAND_MEMCACHE)
        return MERGE_WHOLE;
    if (strcmp(spec->name, "MGET") == 0)
        return MERGE_ARRAY;
    return strcmp(spec->name, "MSET") == 0 ? MERGE_OK : MERGE_SUM;
}

#define PART_ARGS 16

/* `NAME key`, for MSET `SET key value`, for memcached's commands `NAME key flag...`: what stands
 * behind the last key. */
static struct resp_command part_of(const struct resp_command *cmd, const struct command_spec *spec,
                                   size_t key, size_t last, struct slice argv[PART_ARGS])
{
    bool mset = spec->step == 2;
    size_t n = 0;
    argv[n++] = mset ? slice_str("SET") : cmd->argv[0];
    argv[n++] = cmd->argv[key];
    if (mset)
        argv[n++] = cmd->argv[key + 1];
    for (size_t i = last + 1; spec->flags & COMMAND_MEMCACHE && i < cmd->argc; i++)
        argv[n++] = cmd->argv[i];
    return (struct resp_command){.argv = argv, .argc = n};
}

static void start_part_write(struct client *c, struct part *p, const struct command_spec *spec,
                             const struct resp_command *one, enum consistency level)
{
    struct requests *rs = c->all->requests;
    struct error ignored;
    struct mail_write *m = requests_new_mail(rs);
    bool has_lifetime = spec->flags & COMMAND_MEMCACHE; /* and it is a number */
    if (!has_lifetime || !command_normalize(spec, one, c->all->wall_ms, &m->command, &ignored))
        resp_add_command(&m->command, one->argv, one->argc);
    start_write(c, p, m, spec, one, level);
}

/* Past the writer, as all others. */
static void start_part_direct(struct client *c, struct part *p, const struct command_spec *spec,
                              const struct resp_command *one)
{
    call_part_starts(p->call, p->token);
    struct operation op = {
        .spec = spec, .cmd = one, .prefer = -1, .done = call_part_done, .arg = p};
    request_write_direct(c->all->requests, &op);
}

static void start_part(struct client *c, struct part *p, const struct command_spec *spec,
                       size_t key, size_t last, bool write)
{
    struct slice argv[PART_ARGS];
    struct resp_command one = part_of(&c->cmd, spec, key, last, argv);
    enum consistency level = level_of(c, &key, 1, write);
    if (write && requests_direct(c->all->requests))
        start_part_direct(c, p, spec, &one);
    else if (write)
        start_part_write(c, p, command_find(argv[0]), &one, level);
    else
        start_read(c, p, spec, &one, level);
}

static bool run_split(struct client *c, const struct command_spec *spec, const size_t *keys,
                      size_t n, bool write)
{
    for (size_t i = 0; i < n && !requests_direct(c->all->requests); i++)
        if (not_yet(c, request_token(c->all->requests, c->cmd.argv[keys[i]]), write, false))
            return false;
    if (write && !requests_direct(c->all->requests) && meets_carried(c, keys, n))
        return false;
    struct call *call = call_new(c, spec, n);
    call->merge = merge_of(spec);
    if (write)
        call_is_write(call, c->cmd.size);
    for (size_t i = 0; i < n; i++)
        call->parts[i].token = request_token(c->all->requests, c->cmd.argv[keys[i]]);
    /* the last part's answer may free nothing: a call stays until its client has sent it */
    for (size_t i = 0; i < n; i++)
        start_part(c, &call->parts[i], spec, keys[i], keys[n - 1], write);
    return true;
}

/* ---- many parts that one replica each runs ------------------------------------------------------
 */

struct effect {
    uint32_t token;
    int node; /* that runs it */
    struct mail_write *m;
    struct carry *carry; /* NULL: this node does */
};

static bool runs_elsewhere(const struct client *c, const struct effect *e)
{
    return e->node >= 0 && e->node != (int)c->all->requests->peers->self;
}

/* False: it must wait. */
static bool may_take_effect(struct client *c, const struct effect *e, size_t key)
{
    bool elsewhere = runs_elsewhere(c, e);
    if (not_yet(c, e->token, true, false) || (elsewhere && not_yet(c, e->token, false, false)))
        return false;
    return elsewhere ? !is_awaited(c, &key, 1) : !meets_carried(c, &key, 1);
}

static void drop_effects(struct requests *rs, struct effect *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (e[i].carry)
            request_carry_drop(rs, e[i].carry);
        requests_put_mail(rs, e[i].m);
    }
}

/* What a part needs before any starts. False: another node is to run it by now. */
static bool prepare_effect(struct client *c, const struct command_spec *spec,
                           const struct resp_command *one, struct effect *e)
{
    struct requests *rs = c->all->requests;
    struct error ignored; /* its lifetime is a number */
    e->m = requests_new_mail(rs);
    if (!command_normalize(spec, one, c->all->wall_ms, &e->m->command, &ignored))
        resp_add_command(&e->m->command, one->argv, one->argc);
    if (runs_elsewhere(c, e))
        e->carry = request_carry(rs, spec, one, e->token, e->node);
    return e->carry || !runs_elsewhere(c, e);
}

static bool prepare_effects(struct client *c, const struct command_spec *spec, const size_t *keys,
                            size_t n, struct effect *e)
{
    struct requests *rs = c->all->requests;
    struct slice argv[PART_ARGS];
    for (size_t i = 0; i < n; i++) {
        struct resp_command one = part_of(&c->cmd, spec, keys[i], keys[n - 1], argv);
        e[i].token = request_token(rs, c->cmd.argv[keys[i]]);
        e[i].node = request_runner(rs, spec, &one, e[i].token);
        if (!may_take_effect(c, &e[i], keys[i]))
            return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct resp_command one = part_of(&c->cmd, spec, keys[i], keys[n - 1], argv);
        if (prepare_effect(c, spec, &one, &e[i]))
            continue;
        drop_effects(rs, e, i + 1);
        c->lagging = c->all->later = true;
        return false;
    }
    return true;
}

static void start_effect(struct client *c, struct part *p, const struct command_spec *spec,
                         size_t key, size_t last, const struct effect *e)
{
    struct slice argv[PART_ARGS];
    struct resp_command one = part_of(&c->cmd, spec, key, last, argv);
    struct operation op = {.spec = spec,
                           .cmd = &one,
                           .level = level_of(c, &key, 1, true),
                           .token = e->token,
                           .done = call_part_done,
                           .arg = p};
    call_part_starts(p->call, e->token);
    request_execute(c->all->requests, &op, e->m, e->node, e->carry);
}

/* gats of many keys. */
static bool run_effects(struct client *c, const struct command_spec *spec, const size_t *keys,
                        size_t n)
{
    struct effect *e = mem_calloc(n, sizeof *e);
    bool ready = prepare_effects(c, spec, keys, n, e);
    if (ready) {
        struct call *call = call_new(c, spec, n);
        call->merge = merge_of(spec);
        call_is_write(call, c->cmd.size);
        for (size_t i = 0; i < n; i++) {
            call->parts[i].token = e[i].token;
            call->carried |= runs_elsewhere(c, &e[i]);
        }
        for (size_t i = 0; i < n; i++)
            start_effect(c, &call->parts[i], spec, keys[i], keys[n - 1], &e[i]);
    }
    mem_free(e);
    return ready;
}

/* ---- the rules ----------------------------------------------------------------------------------
 */

/* A reply that is put together from many may be too large: their sizes are counted then. */
static bool keeps_parts(enum merge merge)
{
    return merge == MERGE_ARRAY || merge == MERGE_WHOLE;
}

bool dispatch_keys(struct client *c, const struct command_spec *spec, const size_t *keys, size_t n,
                   bool write)
{
    for (size_t i = 0; i < n; i++)
        if (hidden(c->cmd.argv[keys[i]]))
            return client_fail(
                c, spec, "ERR keys that begin with '" STORE_HIDDEN_PREFIX "' are the server's own");
    bool direct = requests_direct(c->all->requests);
    if (write && requests_settling(c->all->requests)) {
        c->lagging = c->all->later = true;
        return false;
    }
    bool split = n > 1 && (spec->flags & (COMMAND_SPLIT | COMMAND_MEMCACHE));
    if (direct && !(split && keeps_parts(merge_of(spec))))
        return run_direct(c, spec, write);
    if (split && write && c->at_first)
        return run_effects(c, spec, keys, n);
    if (split)
        return run_split(c, spec, keys, n, write);
    if (n > 1 && !request_same_owner(c->all->requests, &c->cmd, keys, n))
        return client_fail(c, spec, "CROSSSLOT Keys in request don't hash to the same node");
    if (write && another_decides(c, spec, keys[0]))
        return run_effect(c, spec, keys, n);
    if (n > 1 && !write)
        recent_join(&c->recent, c->all->requests, &c->cmd, keys, n);
    return run_whole(c, spec, keys, n, write);
}

static bool run_keys(struct client *c, const struct command_spec *spec, const size_t *keys,
                     size_t n)
{
    enum command_class class_ = command_class_of(spec, &c->cmd);
    return dispatch_keys(c, spec, keys, n, class_ == COMMAND_OVERWRITE || class_ == COMMAND_CHANGE);
}

/* Only scripts may, and HELP. */
static bool without_keys(struct client *c, const struct command_spec *spec)
{
    bool write = command_class_of(spec, &c->cmd) != COMMAND_READ;
    if (write && !command_is_script(spec) && !transaction_is(spec))
        return client_fail(c, spec, "ERR this command names no key and isn't supported");
    if (!requests_direct(c->all->requests))
        return run_keyless(c, spec);
    return run_direct(c, spec, write);
}

bool client_run_keys(struct client *c, const struct command_spec *spec)
{
    size_t few[16], *keys = few, max = c->cmd.argc;
    if (max > ARRAY_LEN(few))
        keys = mem_calloc(max, sizeof *keys);
    size_t n = command_keys(spec, &c->cmd, keys, max);
    bool done = n ? run_keys(c, spec, keys, n) : without_keys(c, spec);
    if (keys != few)
        mem_free(keys);
    return done;
}

/* True: it can't run, and its client has been told why. */
static bool refuse_command(struct client *c, const struct command_spec *spec)
{
    struct error e;
    bool embedded = c->all->config->data_store == DATA_STORE_EMBEDDED;
    if (!spec || (spec->flags & (COMMAND_MEMCACHE | COMMAND_RECORD)))
        return is_http(c->cmd.argv[0]) ? fail_http(c) : fail_unknown(c);
    if (embedded && spec->class_ < COMMAND_LOCAL && !(spec->flags & COMMAND_EMBEDDED))
        return fail_unknown(c);
    c->last = spec;
    bool queued = multi_queues(c, spec) && command_may_be_queued(spec, &c->cmd);
    if (!queued && !command_arity_ok(spec, &c->cmd, &e))
        return multi_wrong_arity(c, spec, &e) || client_fail(c, spec, e.text);
    if (client_must_authenticate(c) && !session_without_password(spec))
        return client_fail(c, spec, "NOAUTH Authentication required.");
    if (command_class_of(spec, &c->cmd) == COMMAND_REFUSED)
        return fail_refused(c, spec);
    return false;
}

static bool dispatch_command(struct client *c)
{
    const struct command_spec *spec = command_find(c->cmd.argv[0]);
    if (multi_waits(c))
        return false;
    if (c->resp == 3)
        client_render_for(c, spec);
    if (refuse_command(c, spec)) {
        multi_abort(c);
        return true;
    }
    if (multi_queues(c, spec)) {
        multi_queue(c, spec);
        return true;
    }
    c->at_first = false;
    if (multi_is(spec))
        return multi_command(c, spec);
    c->at_first = c->multi && multi_reads_watched(c, spec);
    if (spec->flags & COMMAND_RING)
        return ring_command(c, spec);
    return spec->class_ == COMMAND_LOCAL ? session_command(c, spec) : client_run_keys(c, spec);
}

static enum resp_status parse_command(struct client *c, struct error *e)
{
    const struct buf *in = &c->stream.in;
    c->parser.unknown_client = client_must_authenticate(c);
    enum resp_status rc = resp_request_parse(&c->parser, buf_head(in), in->len, &c->cmd, e);
    if (rc == RESP_MORE)
        c->stream.in_want = c->parser.want;
    return rc;
}

static void add_protocol_error(struct buf *out, const char *text)
{
    resp_add_error(out, "ERR %s", text);
}

const struct dialect dialect_resp = {
    .parse = parse_command, .dispatch = dispatch_command, .add_error = add_protocol_error};
