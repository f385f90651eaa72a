/* A write that one replica runs and the others get the effect of. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "hint/log.h"
#include "peer/inbound.h"
#include "request/flight.h"
#include "wire/transaction.h"
#include <string.h>

/* ---- who runs it -------------------------------------------------------------------------------
 */

/* It has all that is known to be written, so that what it does rests on that. */
static bool can_run(const struct replica_view *v)
{
    return v->datacenter == 0 && v->up && !v->behind && v->normal && !v->told_down &&
           !v->told_standby && !v->joining;
}

int request_executor(const struct requests *rs, uint32_t token)
{
    struct replica_view v[RING_REPLICAS_MAX];
    unsigned n = request_view_replicas(rs, token, v);
    int best = -1;
    for (unsigned i = 0; i < n; i++)
        if (can_run(&v[i]) && (best < 0 || v[i].own))
            best = v[i].node;
    return best;
}

/* What this node alone knows of it (how far its own log is behind) must not matter. */
static bool may_be_first(const struct replica_view *v)
{
    return v->datacenter == 0 && v->up && v->normal && !v->told_down && !v->told_standby;
}

int request_first_replica(const struct requests *rs, uint32_t token)
{
    struct replica_view v[RING_REPLICAS_MAX];
    unsigned n = request_view_replicas(rs, token, v);
    const char *first = NULL;
    int node = -1;
    rcu_read_begin();
    const struct topology *t = RCU_GET(*rs->topology);
    for (unsigned i = 0; i < n; i++) {
        const char *rack = t->nodes[v[i].node].rack;
        if (!may_be_first(&v[i]) || (first && strcmp(rack, first) > 0))
            continue;
        first = rack;
        node = v[i].node;
    }
    rcu_read_end();
    return node;
}

static bool watches(const struct command_spec *spec, const struct resp_command *cmd)
{
    return transaction_is(spec) && transaction_watches(cmd).len;
}

/* Where consumers of one group are connected to different nodes, one replica says what is whose. */
static int who_shares_out(const struct requests *rs, uint32_t token)
{
    int first = request_first_replica(rs, token), near = request_executor(rs, token);
    return first == (int)rs->peers->self ? near : first;
}

/* Who is the first one, the peer that asks may see otherwise for a moment: better that two share
 * out then than none. */
static bool runs_here(const struct requests *rs, const struct command_spec *spec,
                      const struct resp_command *cmd, uint32_t token)
{
    int node = spec->flags & COMMAND_SHARES_OUT ? request_executor(rs, token)
                                                : request_runner(rs, spec, cmd, token);
    return node == (int)rs->peers->self;
}

int request_runner(const struct requests *rs, const struct command_spec *spec,
                   const struct resp_command *cmd, uint32_t token)
{
    bool compares = watches(spec, cmd) || (spec->flags & COMMAND_MEMCACHE);
    if (spec->flags & COMMAND_SHARES_OUT)
        return who_shares_out(rs, token);
    return compares ? request_first_replica(rs, token) : request_executor(rs, token);
}

/* ---- at a peer ---------------------------------------------------------------------------------
 */

static void refuse(struct request *r)
{
    resp_add_error(
        request_scratch(r->rs),
        "NOQUORUM 0 of 1 needed replicas answered (%s write); nothing was written; it takes "
        "one in this datacenter that lacks no writes to run it",
        consistency_name(r->level));
    request_finish_error(r);
}

/* What has to have come about before the peer is asked. */
struct carry {
    struct request *next; /* of requests.held_back */
    bool held_back, asked;
    uint64_t until_ms;
    unsigned nowed;
    struct owed {
        uint16_t node;
        uint64_t seq;
    } owed[RING_REPLICAS_MAX]; /* of each replica's log, what stood there */
    size_t ntokens;
    uint32_t tokens[];
};

static void count_tokens(const struct requests *rs, const struct carry *c, int by)
{
    uint32_t *carried = rs->peers->carried;
    for (size_t i = 0; i < c->ntokens; i++)
        __atomic_fetch_add(&carried[c->tokens[i] % PEERS_CARRIED], (uint32_t)by, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&carried[PEERS_CARRIED], (uint32_t)by * (uint32_t)c->ntokens,
                       __ATOMIC_SEQ_CST);
}

static void count_asked(const struct requests *rs, int by)
{
    __atomic_fetch_add(&rs->peers->carried[PEERS_ASKED], (uint32_t)by, __ATOMIC_SEQ_CST);
}

bool request_is_carried(const struct requests *rs, uint32_t token)
{
    return __atomic_load_n(&rs->peers->carried[token % PEERS_CARRIED], __ATOMIC_SEQ_CST);
}

#define AWAITED_MS 100 /* who waits tries again at each tick; else it has gone */

void request_await_carried(struct requests *rs, uint32_t token, bool waits)
{
    uint32_t *at = &rs->peers->awaited[token % PEERS_CARRIED];
    if (waits || __atomic_load_n(at, __ATOMIC_RELAXED))
        __atomic_store_n(at, waits ? (uint32_t)clock_mono_ms() | 1 : 0, __ATOMIC_RELAXED);
}

bool request_is_awaited(const struct requests *rs, uint32_t token)
{
    uint32_t at = __atomic_load_n(&rs->peers->awaited[token % PEERS_CARRIED], __ATOMIC_RELAXED);
    return at && (uint32_t)clock_mono_ms() - at < AWAITED_MS;
}

void request_carry_drop(struct requests *rs, struct carry *c)
{
    count_tokens(rs, c, -1);
    mem_free(c);
}

struct carry *request_carry(struct requests *rs, const struct command_spec *spec,
                            const struct resp_command *cmd, uint32_t token, int node)
{
    size_t *keys = mem_calloc(cmd->argc, sizeof *keys);
    size_t n = command_keys(spec, cmd, keys, cmd->argc);
    struct carry *c = mem_calloc(1, sizeof *c + n * sizeof c->tokens[0]);
    for (size_t i = 0; i < n; i++)
        c->tokens[c->ntokens++] = request_token(rs, cmd->argv[keys[i]]);
    mem_free(keys);
    count_tokens(rs, c, 1);
    if (request_runner(rs, spec, cmd, token) == node)
        return c;
    request_carry_drop(rs, c);
    return NULL;
}

static struct request **place_of(struct request *r)
{
    struct request **p = &r->rs->held_back;
    while (*p != r)
        p = &(*p)->carry->next;
    return p;
}

void request_carry_free(struct request *r)
{
    if (r->carry->held_back)
        *place_of(r) = r->carry->next;
    if (r->carry->asked)
        count_asked(r->rs, -1);
    request_carry_drop(r->rs, r->carry);
}

/* It has said that it has them; or it is away, and gets them later. */
static bool has_its_due(const struct requests *rs, const struct owed *o)
{
    const struct peer *p =
        o->node == rs->peers->self ? peers_own(rs->peers) : rs->peers->at[o->node];
    if (o->node == rs->peers->self)
        return !store_is_up(rs->store) || hint_log_acked(p->log).seq >= o->seq;
    bool gossips = rs->config->enable_gossip;
    bool away = gossips ? peer_member_state(p) == NODE_DOWN : !PEER_LOAD(p, link_up);
    return away || hint_log_acked(p->log).seq >= o->seq;
}

static bool may_go(const struct request *r, uint64_t now_ms)
{
    const struct carry *c = r->carry;
    bool recovers = __atomic_load_n(&r->rs->peers->carried[PEERS_RECOVERS], __ATOMIC_SEQ_CST);
    bool due = !recovers;
    for (unsigned i = 0; i < c->nowed && due; i++)
        due = has_its_due(r->rs, &c->owed[i]);
    return due || now_ms >= (recovers ? r->deadline_ms - r->rs->config->timeout / 4 : c->until_ms);
}

static void ask(struct request *r)
{
    requests_ask(r->rs, r->node[0],
                 &(struct read_item){.ticket = request_ticket(r),
                                     .tag = (uint16_t)r->level,
                                     .kind = FRAME_EXECUTE,
                                     .bytes = blob_slice(r->command)});
}

void requests_let_go(struct requests *rs)
{
    uint64_t now_ms = clock_mono_ms();
    for (struct request **p = &rs->held_back, *r; (r = *p);) {
        if (!may_go(r, now_ms)) {
            p = &r->carry->next;
            continue;
        }
        r->carry->held_back = false;
        *p = r->carry->next;
        r->carry->asked = true;
        count_asked(rs, 1);
        ask(r);
    }
}

static void note_owed(struct request *r, uint32_t token)
{
    struct replica_view v[RING_REPLICAS_MAX];
    unsigned n = request_view_replicas(r->rs, token, v);
    struct carry *c = r->carry;
    for (unsigned i = 0; i < n; i++) {
        const struct peer *p = v[i].own ? peers_own(r->rs->peers) : r->rs->peers->at[v[i].node];
        if (!p)
            continue;
        struct hint_log *log = p->log;
        c->owed[c->nowed++] = (struct owed){v[i].node, hint_log_appended(log).seq};
    }
}

/* Writes of this node to its keys that came before it may be on their way to the writer, or wait
 * there: it follows them, and comes back. */
static void carry(struct requests *rs, const struct operation *op, struct mail_write *m, int node,
                  struct carry *c)
{
    struct request *r = request_new(rs, op, true, 1);
    r->node[0] = (uint16_t)node;
    r->command = blob_new(buf_head(&m->command), m->command.len);
    r->carry = c;
    m->barrier = true;
    m->worker = rs->worker;
    m->ticket = request_ticket(r);
    m->nreplicas = 0;
    actor_send(rs->writer, &m->msg);
}

void request_carry_on(struct request *r)
{
    struct requests *rs = r->rs;
    struct carry *c = r->carry;
    c->until_ms = clock_mono_ms() + rs->config->timeout / 4;
    note_owed(r, c->tokens[0]);
    c->held_back = true;
    c->next = rs->held_back;
    rs->held_back = r;
}

void request_execute(struct requests *rs, const struct operation *op, struct mail_write *m,
                     int node, struct carry *c)
{
    if (node == (int)rs->peers->self) {
        m->effect = command_undetermined(op->spec, op->cmd); /* XACK is a write as any other */
        request_write(rs, op, m);
        return;
    }
    if (c) {
        carry(rs, op, m, node, c);
        return;
    }
    refuse(request_new(rs, op, true, 1));
    requests_put_mail(rs, m);
}

/* What an error says of it stands before where it was (request_fail_quorum). */
static bool says(struct slice error, const char *part)
{
    return memmem(error.ptr, error.len, part, strlen(part)) != NULL;
}

void request_mail_executed(struct requests *rs, uint16_t node, const struct read_item *it)
{
    struct request *r = slots_get(&rs->live, it->ticket);
    /* one that our clock wouldn't follow would hide those of all later writes */
    bool near = hlc_ms(it->stamp) <= clock_wall_ms() + HLC_AHEAD_MAX_MS;
    if (near && it->stamp > rs->newest_stamp)
        rs->newest_stamp = it->stamp;
    if (!r)
        return;
    if (it->failed) {
        resp_add_error(request_scratch(rs), "BACKEND the node that was to run it can't be reached; "
                                            "the write may still take effect");
        request_finish_error(r);
        return;
    }
    bool nothing = resp_reply_is_error(it->bytes) && says(it->bytes, "; nothing was written");
    request_finish(r, it->bytes, nothing ? -1 : node);
}

/* ---- for a peer --------------------------------------------------------------------------------
 */

struct served {
    const struct requests *rs;
    store_read_fn *fn;
    void *arg;
};

static void on_served(void *arg, const struct request_result *result)
{
    struct served *s = arg;
    s->fn(s->arg, &(struct store_read_reply){
                      .ok = true, .reply = result->reply, .stamp = s->rs->newest_stamp});
    mem_free(s);
}

static void serve_error(struct served *s, struct slice error)
{
    on_served(s, &(struct request_result){.reply = error, .node = -1});
}

/* Are they its to run, all of them? */
static bool same_owner(struct requests *rs, const struct command_spec *spec,
                       const struct resp_command *cmd, uint32_t *token)
{
    size_t *keys = mem_calloc(cmd->argc, sizeof *keys);
    size_t n = command_keys(spec, cmd, keys, cmd->argc);
    bool same = n && request_same_owner(rs, cmd, keys, n);
    *token = n ? request_token(rs, cmd->argv[keys[0]]) : 0;
    mem_free(keys);
    return same;
}

static bool may_be_asked(const struct command_spec *spec, const struct resp_command *cmd)
{
    return inbound_is_undetermined(spec, cmd) ||
           (spec->flags & COMMAND_SHARES_OUT && inbound_is_write(spec, cmd));
}

static void run_for_peer(struct requests *rs, const struct frame *f, struct resp_command *cmd,
                         struct served *s)
{
    const struct command_spec *spec = NULL;
    struct operation op = {.cmd = cmd,
                           .level = (enum consistency)f->tag,
                           .everywhere = true,
                           .done = on_served,
                           .arg = s};
    if (resp_command_parse(f->payload, cmd) && cmd->argc)
        spec = op.spec = command_find(cmd->argv[0]);
    if (!spec || !may_be_asked(spec, cmd) || f->tag > CONSISTENCY_DC_EACH_SAFE_QUORUM) {
        serve_error(
            s, slice_str("-ERR this node doesn't run such a command; nothing was written\r\n"));
    } else if (!same_owner(rs, spec, cmd, &op.token) || !runs_here(rs, spec, cmd, op.token)) {
        struct buf *b = request_scratch(rs);
        if (spec && watches(spec, cmd)) { /* whoever watched has to begin anew */
            serve_error(s, slice_str("*-1\r\n"));
            return;
        }
        resp_add_error(
            b,
            "NOQUORUM 0 of 1 needed replicas answered (%s write); nothing was written; the "
            "one that was asked to run it can't any more",
            consistency_name(op.level));
        serve_error(s, buf_slice(b));
    } else {
        struct mail_write *m = requests_new_mail(rs);
        buf_add(&m->command, f->payload.ptr, f->payload.len);
        request_execute(rs, &op, m, (int)rs->peers->self, NULL);
    }
}

void request_serve_execute(struct requests *rs, const struct frame *f, store_read_fn *fn, void *arg)
{
    struct served *s = MEM_NEW(struct served);
    struct resp_command cmd = {0};
    *s = (struct served){.rs = rs, .fn = fn, .arg = arg};
    run_for_peer(rs, f, &cmd, s);
    resp_command_fini(&cmd);
}
