/* A write that one replica runs and the others get the effect of. */
#include "core/mem.h"
#include "peer/inbound.h"
#include "request/flight.h"

/* ---- who runs it -------------------------------------------------------------------------------
 */

/* It has all that is known to be written, so that what it does rests on that. */
static bool can_run(const struct replica_view *v)
{
    return v->local && v->up && !v->behind && v->normal && !v->told_down && !v->told_standby &&
           !v->joining;
}

int request_executor(const struct requests *rs, uint32_t token, int prefer)
{
    struct replica_view v[RING_REPLICAS_MAX];
    unsigned n = request_view_replicas(rs, token, v);
    int best = -1;
    for (unsigned i = 0; i < n; i++) {
        if (!can_run(&v[i]))
            continue;
        if (v[i].node == prefer)
            return prefer;
        if (best < 0 || v[i].own)
            best = v[i].node;
    }
    return best;
}

/* ---- at a peer ---------------------------------------------------------------------------------
 */

static void refuse(struct request *r)
{
    resp_add_error(request_scratch(r->rs),
                   "NOQUORUM 0 of 1 needed replicas can run it (%s write): it takes one in this "
                   "datacenter that lacks no writes; nothing was written",
                   consistency_name(r->level));
    request_finish_error(r);
}

void request_execute(struct requests *rs, const struct operation *op, struct mail_write *m)
{
    int node = request_executor(rs, op->token, op->prefer);
    if (node == (int)rs->peers->self) {
        m->effect = true;
        request_write(rs, op, m);
        return;
    }
    struct request *r = request_new(rs, op, op->level, true, 1);
    if (node < 0) {
        refuse(r);
    } else {
        r->node[0] = (uint16_t)node;
        requests_ask(rs, r->node[0],
                     &(struct read_item){.ticket = request_ticket(r),
                                         .tag = (uint16_t)op->level,
                                         .kind = FRAME_EXECUTE,
                                         .bytes = buf_slice(&m->command)});
    }
    requests_put_mail(rs, m);
}

static bool ends_with(struct slice text, const char *end)
{
    size_t n = strlen(end);
    return text.len >= n && memcmp(text.ptr + text.len - n, end, n) == 0;
}

void request_mail_executed(struct requests *rs, uint16_t node, const struct read_item *it)
{
    struct request *r = slots_get(&rs->live, it->ticket);
    if (!r)
        return;
    if (it->failed) {
        resp_add_error(request_scratch(rs), "BACKEND the node that was to run it can't be reached; "
                                            "the write may still take effect");
        request_finish_error(r);
        return;
    }
    bool nothing =
        resp_reply_is_error(it->bytes) && ends_with(it->bytes, "; nothing was written\r\n");
    request_finish(r, it->bytes, nothing ? -1 : node);
}

/* ---- for a peer --------------------------------------------------------------------------------
 */

struct served {
    store_read_fn *fn;
    void *arg;
};

static void on_served(void *arg, const struct request_result *result)
{
    struct served *s = arg;
    s->fn(s->arg, &(struct store_read_reply){.ok = true, .reply = result->reply});
    mem_free(s);
}

static void serve_error(struct served *s, const char *error)
{
    on_served(s, &(struct request_result){.reply = slice_str(error), .node = -1});
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

static void run_for_peer(struct requests *rs, const struct frame *f, struct resp_command *cmd,
                         struct served *s)
{
    const struct command_spec *spec = NULL;
    struct operation op = {.cmd = cmd,
                           .level = (enum consistency)f->tag,
                           .prefer = (int)rs->peers->self,
                           .done = on_served,
                           .arg = s};
    if (resp_command_parse(f->payload, cmd) && cmd->argc)
        spec = op.spec = command_find(cmd->argv[0]);
    if (!spec || !inbound_is_undetermined(spec, cmd) || f->tag > CONSISTENCY_DC_EACH_SAFE_QUORUM) {
        serve_error(s, "-ERR this node doesn't run such a command; nothing was written\r\n");
    } else if (!same_owner(rs, spec, cmd, &op.token) ||
               request_executor(rs, op.token, op.prefer) != op.prefer) {
        serve_error(s,
                    "-NOQUORUM the replica that was to run it can't now; nothing was written\r\n");
    } else {
        struct mail_write *m = requests_new_mail(rs);
        buf_add(&m->command, f->payload.ptr, f->payload.len);
        request_execute(rs, &op, m);
    }
}

void request_serve_execute(struct requests *rs, const struct frame *f, store_read_fn *fn, void *arg)
{
    struct served *s = MEM_NEW(struct served);
    struct resp_command cmd = {0};
    *s = (struct served){.fn = fn, .arg = arg};
    run_for_peer(rs, f, &cmd, s);
    resp_command_fini(&cmd);
}
