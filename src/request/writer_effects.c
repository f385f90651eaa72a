#include "core/log.h"
#include "core/mem.h"
#include "request/effect.h"
#include "request/writer_internal.h"
#include "ring/hash.h"
#include "store/stamps.h"

#define COPIES_MAX 64 /* keys copied in one batch */
#define TRIES_MAX  5  /* of a copy that breaks the store each time */

#define UNKNOWN_TEXT                                                                               \
    "BACKEND the store behind this node broke while it ran this; it may still take effect"

/* An effect on its way, or (m NULL) a key whose state is to be copied to the others. */
struct effect_run {
    struct effect_run *next;
    struct mail_write *m;
    struct resp_command cmd; /* of m */
    const struct command_spec *spec;
    struct buf key; /* of a copy */
    struct buf probes;
    struct effect_probes n;
    size_t at; /* in the batch: the first probe */
    uint64_t stamp;
    unsigned tries;
};

static void run_free(struct effect_run *r)
{
    resp_command_fini(&r->cmd);
    buf_fini(&r->key);
    buf_fini(&r->probes);
    mem_free(r);
}

static void add_run(struct effect_run **list, struct effect_run *r)
{
    while (*list)
        list = &(*list)->next;
    r->next = NULL;
    *list = r;
}

static struct effect_run *first_run(struct effect_run **list)
{
    struct effect_run *r = *list;
    if (r)
        *list = r->next;
    return r;
}

/* ---- whose keys are whose ---------------------------------------------------------------------
 */

typedef bool key_fn(uint32_t *bucket);

static bool put_in(uint32_t *bucket)
{
    ++*bucket;
    return false;
}

static bool take_out(uint32_t *bucket)
{
    --*bucket;
    return false;
}

static bool is_taken(uint32_t *bucket)
{
    return *bucket != 0;
}

static uint32_t *bucket_of(uint32_t *claims, struct slice key)
{
    return &claims[stamps_hash(key) % EFFECT_CLAIMS];
}

/* For each key of a command until fn returns true. */
static bool each_key(uint32_t *claims, const struct command_spec *spec,
                     const struct resp_command *cmd, key_fn *fn)
{
    size_t few[16], *keys = few;
    bool found = false;
    if (!spec)
        return false;
    if (cmd->argc > ARRAY_LEN(few))
        keys = mem_calloc(cmd->argc, sizeof *keys);
    size_t n = command_keys(spec, cmd, keys, cmd->argc);
    for (size_t i = 0; i < n && !found; i++)
        found = fn(bucket_of(claims, cmd->argv[keys[i]]));
    if (keys != few)
        mem_free(keys);
    return found;
}

static void claim(struct effects *e, const struct effect_run *r, key_fn *fn)
{
    if (r->m)
        (void)each_key(e->claimed, r->spec, &r->cmd, fn);
    else
        (void)fn(bucket_of(e->claimed, buf_slice(&r->key)));
}

/* ---- what comes -------------------------------------------------------------------------------
 */

static void answer_error(struct mail_write *m, const char *text)
{
    buf_reset(&m->own_reply, 4096);
    resp_add_error(&m->own_reply, "%s", text);
    m->own_outcome = STORE_FAILED;
    writer_answer(m);
}

static void wait_for_others(struct effects *e, struct mail_write *m)
{
    if (!e->waiting)
        e->waiting_end = &e->waiting;
    m->next = NULL;
    *e->waiting_end = m;
    e->waiting_end = &m->next;
    e->n++;
}

static bool runs_here(const struct writer *w)
{
    return writer_serving(w) && !own_is_behind(&w->own);
}

static bool is_replica(const struct writer *w, const struct mail_write *m)
{
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node == w->self)
            return true;
    return false;
}

static void make_ready(struct writer *w, struct mail_write *m, struct effect_run *r)
{
    struct effects *e = &w->effects;
    r->m = m;
    r->n = effect_probes(r->spec, &r->cmd, &r->probes);
    add_run(&e->ready, r);
    claim(e, r, put_in);
    e->n++;
}

bool writer_effects_take(struct writer *w, struct mail_write *m)
{
    struct effects *e = &w->effects;
    if (!own_has_log(&w->own))
        return false; /* it is alone: an effect is a write like others */
    struct effect_run *r = MEM_NEW(struct effect_run);
    if (resp_command_parse(buf_slice(&m->command), &r->cmd) && r->cmd.argc)
        r->spec = command_find(r->cmd.argv[0]);
    bool waits = each_key(e->wanted, r->spec, &r->cmd, is_taken) ||
                 (!m->effect && each_key(e->claimed, r->spec, &r->cmd, is_taken));
    if (waits) {
        (void)each_key(e->wanted, r->spec, &r->cmd, put_in);
        wait_for_others(e, m);
    } else if (m->effect && (!runs_here(w) || !is_replica(w, m))) {
        answer_error(m, "BACKEND this node can't run it now; nothing was written");
    } else if (m->effect) {
        make_ready(w, m, r);
        return true;
    }
    bool taken = waits || m->effect;
    run_free(r);
    return taken;
}

/* In the order in which they came; some will wait again. */
static void let_waiting_go_on(struct writer *w)
{
    struct effects *e = &w->effects;
    struct mail_write *m = e->waiting;
    e->waiting = NULL;
    memset(e->wanted, 0, sizeof e->wanted);
    for (struct mail_write *next; m; m = next) {
        next = m->next;
        e->n--;
        writer_write(w, m);
    }
}

void writer_effects_refuse(struct writer *w)
{
    struct effects *e = &w->effects;
    for (struct effect_run *r; (r = first_run(&e->ready));) {
        claim(e, r, take_out);
        e->n--;
        answer_error(r->m, "BACKEND the store behind this node went away; nothing was written");
        run_free(r);
    }
    if (!w->at_store && e->waiting)
        let_waiting_go_on(w);
}

/* ---- effects that nobody knows -----------------------------------------------------------------
 */

static void lose_key(struct effects *e, struct slice key)
{
    for (const struct effect_run *r = e->lost; r; r = r->next)
        if (slice_eq(buf_slice(&r->key), key))
            return;
    struct effect_run *r = MEM_NEW(struct effect_run);
    buf_add(&r->key, key.ptr, key.len);
    effect_add_key_probes(key, &r->probes);
    r->n.behind = EFFECT_KEY_PROBES;
    add_run(&e->lost, r);
}

static void lose_keys(struct writer *w, const struct command_spec *spec,
                      const struct resp_command *cmd)
{
    size_t *keys = mem_calloc(cmd->argc, sizeof *keys);
    size_t n = command_keys(spec, cmd, keys, cmd->argc);
    for (size_t i = 0; i < n; i++)
        lose_key(&w->effects, cmd->argv[keys[i]]);
    mem_free(keys);
    own_hold(&w->own);
    log_notice("what '%s' did isn't known to the other replicas: its keys will be copied",
               spec->name);
}

void writer_effects_stand_at(struct writer *w, uint64_t seq)
{
    if (seq <= hint_log_acked(w->own.peer->log).seq)
        return;
    own_hold(&w->own);
    w->effects.look_upto = seq;
}

/* Records of effects that the store has, and of which nobody knows whether the others do. */
static void look_for_lost(struct writer *w)
{
    struct effects *e = &w->effects;
    struct resp_command cmd = {0};
    struct frame f;
    struct slice bytes;
    if (!e->look_upto || w->own.syncing)
        return;
    uint64_t after = hint_log_acked(w->own.peer->log).seq;
    while (hint_peer_next(w->own.peer->hints, after, &f, &bytes) && f.seq <= e->look_upto) {
        after = f.seq;
        const struct command_spec *spec =
            resp_command_parse(f.payload, &cmd) && cmd.argc ? command_find(cmd.argv[0]) : NULL;
        if (spec && command_undetermined(spec, &cmd))
            lose_keys(w, spec, &cmd);
    }
    resp_command_fini(&cmd);
    e->look_upto = 0;
    if (!e->lost)
        own_release(&w->own);
}

/* ---- into a batch ------------------------------------------------------------------------------
 */

/* Their items are filled when all are there: they move while there come more. */
static void add_probes(struct batch *b, struct slice *bytes, unsigned n)
{
    struct slice command;
    for (unsigned i = 0; i < n; i++) {
        struct item *it = batch_add(b);
        it->kind = ITEM_PROBE;
        it->node = UINT16_MAX;
        if (effect_next(bytes, &command, &it->cmd))
            it->spec = command_find(it->cmd.argv[0]);
    }
}

static bool add_command(struct writer *w, struct batch *b, struct effect_run *r)
{
    struct mail_write *m = r->m;
    enum refusal why;
    uint64_t seq;
    const struct replicate_write write = {
        .command = buf_slice(&m->command), .stamp = r->stamp, .tag = w->tag};
    if (replicate_to_own(&w->replicate, &write, &seq, &why) != VERDICT_LOGGED)
        return false;
    struct slice probes = buf_slice(&r->probes);
    r->at = b->n;
    add_probes(b, &probes, r->n.before);
    struct item *it = batch_add(b);
    it->kind = ITEM_OWN;
    it->order = m;
    it->seq = seq;
    it->stamp = r->stamp;
    it->tag = w->tag;
    it->spec = r->spec;
    if (!resp_command_parse(buf_slice(&m->command), &it->cmd))
        log_error("a write that this node encoded can't be read back");
    add_probes(b, &probes, r->n.behind);
    return true;
}

static void gather_copies(struct writer *w, struct batch *b)
{
    struct effects *e = &w->effects;
    if (standby_state(&w->standby) != NODE_NORMAL)
        return; /* it may lack writes that the others have */
    for (unsigned i = 0; i < COPIES_MAX && e->lost; i++) {
        struct effect_run *r = first_run(&e->lost);
        struct slice probes = buf_slice(&r->probes);
        r->stamp = writer_next_stamp(w);
        r->at = b->n;
        r->tries++;
        add_probes(b, &probes, r->n.behind);
        add_run(&e->at_store, r);
        claim(e, r, put_in);
        e->n++;
    }
}

void writer_effects_gather(struct writer *w, struct batch *b)
{
    struct effects *e = &w->effects;
    look_for_lost(w);
    if (!runs_here(w))
        return;
    struct effect_run **end = &e->at_store;
    for (struct effect_run *r; (r = first_run(&e->ready));) {
        r->stamp = writer_next_stamp(w);
        if (add_command(w, b, r)) {
            r->next = NULL;
            *end = r;
            end = &r->next;
            continue;
        }
        claim(e, r, take_out);
        e->n--;
        answer_error(r->m, "NOHINT the own store's log can't be written; nothing was written");
        run_free(r);
    }
    if (e->lost)
        gather_copies(w, b);
}

/* ---- what it did, to the others ----------------------------------------------------------------
 */

static void note_overwritten(struct writer *w, const struct resp_command *cmd, uint64_t stamp)
{
    const struct command_spec *spec = command_find(cmd->argv[0]);
    size_t key;
    if (spec && command_overwritten(spec, cmd, &key, 1))
        store_note_overwrite(w->o.store, cmd->argv[key], stamp, w->tag);
}

/* As a client's write that nobody waits for. */
static void run_here_too(struct writer *w, const struct replicate_write *write)
{
    enum refusal why;
    uint64_t seq;
    if (replicate_to_own(&w->replicate, write, &seq, &why) != VERDICT_LOGGED)
        return; /* it is replayed from the log, or that is full: it differs by a time only */
    struct item *it = batch_add(w->gathering);
    it->kind = ITEM_OWN;
    it->seq = seq;
    it->stamp = write->stamp;
    it->tag = write->tag;
    it->order = mail_write_new(0);
    buf_add(&it->order->command, write->command.ptr, write->command.len);
    if (!resp_command_parse(buf_slice(&it->order->command), &it->cmd))
        log_error("a write that this node encoded can't be read back");
    it->spec = command_find(it->cmd.argv[0]);
}

/* One of several commands: the last one's verdict stands for all, since they are in order; but what
 * a log has refused of them, the replica lacks. */
static void pass_to_logs(struct writer *w, struct mail_write *m,
                         const struct replicate_write *write)
{
    for (unsigned i = 0; i < m->nreplicas; i++) {
        enum refusal why = REFUSAL_NONE;
        if (m->replica[i].node == w->self)
            continue;
        enum verdict v =
            replicate_to(&w->replicate, m->replica[i].node, write, &m->replica[i].seq, &why);
        if (m->replica[i].verdict == VERDICT_REFUSED)
            continue;
        m->replica[i].verdict = (uint8_t)v;
        m->replica[i].why = (uint8_t)why;
    }
    writer_pass_to_newer(w, m, write);
}

static void pass_effect(struct writer *w, struct effect_run *r, const struct effect *did,
                        struct slice commands)
{
    struct mail_write *m = r->m;
    struct resp_command cmd = {0};
    struct slice command;
    for (int left = did->n; effect_next(&commands, &command, &cmd); left--) {
        const struct replicate_write write = {.worker = left == 1 ? m->worker : NULL,
                                              .ticket = m->ticket,
                                              .want_replies = left == 1 && m->want_replies,
                                              .command = command,
                                              .stamp = r->stamp,
                                              .tag = w->tag};
        pass_to_logs(w, m, &write);
        note_overwritten(w, &cmd, r->stamp);
        if (did->also_here)
            run_here_too(w, &write);
    }
    resp_command_fini(&cmd);
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node == w->self || did->n == 0)
            m->replica[i].verdict = VERDICT_APPLIED;
}

/* ---- when the store has answered ---------------------------------------------------------------
 */

/* False: one of them has no answer. */
static bool collect(const struct batch *b, size_t at, unsigned n, struct slice *replies)
{
    for (unsigned i = 0; i < n; i++) {
        const struct store_write *s = b->items[at + i].at_store;
        if (s->outcome != STORE_APPLIED)
            return false;
        replies[i] = s->reply;
    }
    return true;
}

static void want_repair(struct writer *w, const struct mail_write *m)
{
    log_limited(1000, LOG_LEVEL_ERROR,
                "the store doesn't tell this node what a command did (may its user run DUMP?): the "
                "other replicas lack it");
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node != w->self)
            replicate_want_repair(&w->replicate, m->replica[i].node,
                                  "what a command did couldn't be told");
}

/* It has happened. False: it isn't known what. */
static bool tell_others(struct writer *w, const struct batch *b, struct effect_run *r)
{
    const struct store_write *s = b->items[r->at + r->n.before].at_store;
    struct slice *replies = mem_calloc(r->n.before + r->n.behind + 1, sizeof *replies);
    struct effect_replies answered = {.own = s->reply,
                                      .before = replies,
                                      .behind = replies + r->n.before,
                                      .now_ms = clock_wall_ms()};
    struct buf commands = BUF_INIT;
    bool known = collect(b, r->at, r->n.before, replies) &&
                 collect(b, r->at + r->n.before + 1, r->n.behind, replies + r->n.before);
    struct effect did = {.n = 0};
    if (known)
        did = effect_tell(r->spec, &r->cmd, &answered, &commands);
    if (did.n < 0) {
        want_repair(w, r->m);
        did.n = 0;
        buf_reset(&commands, 0);
    }
    if (known)
        pass_effect(w, r, &did, buf_slice(&commands));
    buf_fini(&commands);
    mem_free(replies);
    return known;
}

static void finish_effect(struct writer *w, const struct batch *b, struct effect_run *r)
{
    const struct store_write *s = b->items[r->at + r->n.before].at_store;
    struct mail_write *m = r->m;
    m->own_outcome = s->outcome;
    if (s->outcome == STORE_APPLIED && tell_others(w, b, r)) {
        buf_add(&m->own_reply, s->reply.ptr, s->reply.len);
    } else if (s->outcome == STORE_APPLIED || s->outcome == STORE_UNKNOWN) {
        m->own_outcome = STORE_UNKNOWN;
        resp_add_error(&m->own_reply, UNKNOWN_TEXT);
        if (s->outcome == STORE_APPLIED)
            lose_keys(w, r->spec, &r->cmd);
    } else if (s->outcome == STORE_STALE) {
        m->own_outcome = STORE_FAILED;
        resp_add_error(&m->own_reply, "CLOCK the key was written by a node whose clock is ahead; "
                                      "nothing was written");
    } else {
        buf_add(&m->own_reply, s->reply.ptr, s->reply.len);
    }
}

/* False: again, later. */
static bool finish_copy(struct writer *w, const struct batch *b, const struct effect_run *r)
{
    struct slice replies[EFFECT_KEY_PROBES];
    struct buf command = BUF_INIT;
    enum hash_kind hash;
    uint16_t nodes[RING_WRITES_MAX];
    unsigned joining;
    struct slice key = buf_slice(&r->key);
    if (!collect(b, r->at, EFFECT_KEY_PROBES, replies) && r->tries < TRIES_MAX)
        return false;
    bool can = r->tries <= TRIES_MAX && collect(b, r->at, EFFECT_KEY_PROBES, replies) &&
               effect_add_copy(key, replies, clock_wall_ms(), &command) &&
               hash_parse(w->o.config->hash, &hash);
    if (!can) {
        own_mark_repair(&w->own, "what a command did to a key couldn't be told to the others");
        return true;
    }
    uint32_t token = hash_token(hash, hash_tagged(key, w->o.config->hash_tag));
    unsigned n = topology_writes(*w->o.topology, token, nodes, &joining);
    const struct replicate_write write = {
        .command = buf_slice(&command), .stamp = r->stamp, .tag = w->tag};
    for (unsigned i = 0; i < n; i++) {
        enum refusal why;
        uint64_t seq;
        if (nodes[i] != w->self)
            (void)replicate_to(&w->replicate, nodes[i], &write, &seq, &why);
    }
    store_note_overwrite(w->o.store, key, r->stamp, w->tag);
    buf_fini(&command);
    return true;
}

void writer_effects_done(struct writer *w, const struct batch *b)
{
    struct effects *e = &w->effects;
    for (struct effect_run *r; (r = first_run(&e->at_store));) {
        claim(e, r, take_out);
        e->n--;
        if (r->m) {
            finish_effect(w, b, r);
        } else if (!finish_copy(w, b, r)) {
            add_run(&e->lost, r);
            continue;
        }
        run_free(r);
    }
}

void writer_effects_end(struct writer *w)
{
    struct effects *e = &w->effects;
    if (w->own.held && !e->lost && !e->look_upto)
        own_release(&w->own);
    if (e->waiting)
        let_waiting_go_on(w);
}

void writer_effects_fini(struct writer *w)
{
    struct effects *e = &w->effects;
    for (struct effect_run *r; (r = first_run(&e->ready)); run_free(r))
        mail_write_free(r->m);
    for (struct effect_run *r; (r = first_run(&e->at_store)); run_free(r))
        ; /* its mail is the batch's */
    for (struct effect_run *r; (r = first_run(&e->lost)); run_free(r))
        ;
    for (struct mail_write *m = e->waiting, *next; m; m = next) {
        next = m->next;
        mail_write_free(m);
    }
}
