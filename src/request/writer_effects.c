#include "request/writer_effects.h"
#include "core/log.h"
#include "core/mem.h"
#include "request/writer_internal.h"
#include "ring/hash.h"
#include "store/stamps.h"
#include "wire/transaction.h"

#define RECOVER_MAX 64 /* lost ones in one batch */
#define SETTLE_MS   2000
#define TRIES_MAX   5   /* of one that breaks the store each time */
#define MORE_MAX    256 /* members asked for, beyond those that are wanted first */

#define UNKNOWN_TEXT                                                                               \
    "BACKEND the store behind this node broke while it ran this; it may still take effect"

/* One on its way, or (RECOVERED) one that was lost. */
struct effect_run {
    struct effect_run *next;
    enum { CHOSEN, RUN, RECOVERED } way;
    struct mail_write *m; /* not of RECOVERED */
    struct buf lost;      /* its command, of RECOVERED */
    struct resp_command cmd;
    const struct command_spec *spec;
    struct buf probes;
    struct effect_probes n;
    size_t more; /* CHOSEN: asked for beyond what it wants */
    size_t at;   /* in the batch: its first item */
    uint64_t stamp;
    unsigned tries;
};

static void run_free(struct effect_run *r)
{
    resp_command_fini(&r->cmd);
    buf_fini(&r->lost);
    buf_fini(&r->probes);
    mem_free(r);
}

static void add_run(struct effect_run **list, struct effect_run ***end, struct effect_run *r)
{
    if (!*list)
        *end = list;
    r->next = NULL;
    **end = r;
    *end = &r->next;
}

static struct effect_run *first_run(struct effect_run **list)
{
    struct effect_run *r = *list;
    if (r)
        *list = r->next;
    return r;
}

static void parse(struct effect_run *r, struct slice command)
{
    if (resp_command_parse(command, &r->cmd) && r->cmd.argc)
        r->spec = command_find(r->cmd.argv[0]);
}

/* ---- whose keys are whose ---------------------------------------------------------------------
 */

typedef bool bucket_fn(uint32_t *bucket);

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

/* For each key of a command until fn returns true. */
static bool each_key(uint32_t *buckets, const struct effect_run *r, bucket_fn *fn)
{
    size_t few[16], *keys = few;
    bool found = false;
    if (!r->spec)
        return false;
    if (r->cmd.argc > ARRAY_LEN(few))
        keys = mem_calloc(r->cmd.argc, sizeof *keys);
    size_t n = command_keys(r->spec, &r->cmd, keys, r->cmd.argc);
    for (size_t i = 0; i < n && !found; i++)
        found = fn(&buckets[stamps_hash(r->cmd.argv[keys[i]]) % EFFECT_CLAIMS]);
    if (keys != few)
        mem_free(keys);
    return found;
}

static void claim(struct effects *e, const struct effect_run *r)
{
    (void)each_key(e->claimed, r, put_in);
    if (r->way == CHOSEN)
        (void)each_key(e->chosen, r, put_in);
    e->n++;
}

static void let_go(struct effects *e, const struct effect_run *r)
{
    (void)each_key(e->claimed, r, take_out);
    if (r->way == CHOSEN)
        (void)each_key(e->chosen, r, take_out);
    e->n--;
}

static bool has_to_wait(struct effects *e, const struct effect_run *r, bool determined)
{
    return each_key(e->wanted, r, is_taken) ||
           each_key(determined ? e->claimed : e->chosen, r, is_taken);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void answer_error(struct mail_write *m, const char *text)
{
    buf_reset(&m->own_reply, 4096);
    resp_add_error(&m->own_reply, "%s", text);
    m->own_outcome = STORE_FAILED;
    writer_answer(m);
}

/* It did nothing, and so nobody has anything to do. */
static void answer_done(struct mail_write *m, struct slice reply)
{
    for (unsigned i = 0; i < m->nreplicas; i++)
        m->replica[i].verdict = VERDICT_APPLIED;
    m->own_outcome = STORE_APPLIED;
    buf_add(&m->own_reply, reply.ptr, reply.len);
    writer_answer(m);
}

/* ---- into the logs -----------------------------------------------------------------------------
 */

/* As a client's write that nobody waits for. */
static void run_here_too(struct writer *w, const struct replicate_write *write)
{
    enum refusal why;
    uint64_t seq;
    if (replicate_to_own(&w->replicate, write, &seq, &why) != VERDICT_LOGGED)
        return; /* it is replayed from there, or there is no room for it: the log has its mark */
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

/* ---- what is chosen ----------------------------------------------------------------------------
 */

/* What it shall do is known: all of it goes into the logs, the last command as the client's. */
static void log_chosen(struct writer *w, struct mail_write *m, int n, struct slice commands)
{
    struct resp_command cmd = {0};
    struct slice command = commands;
    while (n-- > 1 && effect_next(&commands, &command, &cmd)) {
        const struct replicate_write write = {
            .command = command, .stamp = writer_next_stamp(w), .tag = w->tag};
        pass_to_logs(w, m, &write);
        run_here_too(w, &write);
    }
    resp_command_fini(&cmd);
    m->effect = false;
    buf_reset(&m->command, 4096);
    buf_add(&m->command, commands.ptr, commands.len);
    writer_log(w, m);
}

/* False: the pool hasn't enough. */
static bool choose(struct writer *w, struct effect_pool *pool, const struct effect_run *r)
{
    struct mail_write *m = r->m;
    struct buf commands = BUF_INIT, reply = BUF_INIT;
    int n = effect_choose(pool, r->spec, &r->cmd, writer_next_stamp(w), &commands, &reply);
    if (n == 0) {
        answer_done(m, buf_slice(&reply));
    } else if (n > 0) {
        m->chosen = reply;
        reply = (struct buf)BUF_INIT;
        log_chosen(w, m, n, buf_slice(&commands));
    }
    buf_fini(&commands);
    buf_fini(&reply);
    return n >= 0;
}

static bool is_of_set(const struct effect_run *r)
{
    return strcmp(r->spec->name, "SPOP") == 0;
}

static struct effect_left *find_left(struct effects *e, const struct effect_run *r)
{
    for (unsigned i = 0; i < e->nleft; i++)
        if (e->left[i].set == is_of_set(r) && slice_eq(buf_slice(&e->left[i].key), r->cmd.argv[1]))
            return &e->left[i];
    return NULL;
}

static void drop_left(struct effects *e, struct effect_left *l)
{
    effect_pool_fini(&l->pool);
    buf_fini(&l->key);
    *l = e->left[--e->nleft];
    e->left[e->nleft] = (struct effect_left){.set = false};
}

/* Takes it. */
static void keep_left(struct effects *e, struct effect_left *l)
{
    if (e->nleft < EFFECT_POOLS && !l->pool.error.len) {
        e->left[e->nleft++] = *l;
        return;
    }
    effect_pool_fini(&l->pool);
    buf_fini(&l->key);
}

/* A write to any of these keys makes what was known of them old. */
static void outdate_left(struct effects *e, const struct effect_run *r)
{
    while (e->nleft && r->spec && r->spec->flags & COMMAND_RING)
        drop_left(e, e->left); /* FLUSHALL */
    size_t *keys = mem_calloc(r->cmd.argc + 1, sizeof *keys);
    size_t n = r->spec ? command_keys(r->spec, &r->cmd, keys, r->cmd.argc) : 0;
    for (size_t i = 0; i < n; i++)
        for (unsigned k = e->nleft; k-- > 0;)
            if (slice_eq(buf_slice(&e->left[k].key), r->cmd.argv[keys[i]]))
                drop_left(e, &e->left[k]);
    mem_free(keys);
}

/* It needn't ask: what the one before it has left is enough. */
static bool choose_of_left(struct writer *w, const struct effect_run *r)
{
    struct effect_left *l = find_left(&w->effects, r);
    if (!l)
        return false;
    if (choose(w, &l->pool, r))
        return true;
    drop_left(&w->effects, l);
    return false;
}

static void finish_chosen(struct writer *w, const struct batch *b, const struct effect_run *r)
{
    const struct store_write *s = b->items[r->at].at_store;
    struct effect_left l = {.set = is_of_set(r)};
    if (s->outcome != STORE_APPLIED) {
        answer_error(r->m, "BACKEND the store behind this node didn't answer; nothing was written");
        return;
    }
    buf_add(&l.key, r->cmd.argv[1].ptr, r->cmd.argv[1].len); /* choose gives the command away */
    effect_pool_fill(&l.pool, r->spec, &r->cmd, r->more, s->reply);
    if (!choose(w, &l.pool, r))
        answer_error(r->m, "BACKEND the store behind this node gave less than there is; nothing "
                           "was written");
    keep_left(&w->effects, &l);
}

/* ---- what comes --------------------------------------------------------------------------------
 */

static void wait_for_others(struct effects *e, struct mail_write *m)
{
    if (!e->waiting)
        e->waiting_end = &e->waiting;
    m->next = NULL;
    *e->waiting_end = m;
    e->waiting_end = &m->next;
    e->nwaiting++;
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

/* False: r isn't needed any more. */
static bool begin(struct writer *w, struct effect_run *r)
{
    struct effects *e = &w->effects;
    if (!runs_here(w) || !is_replica(w, r->m)) {
        answer_error(r->m, "BACKEND this node can't run it now; nothing was written");
        return false;
    }
    r->way = effect_is_chosen(r->spec, &r->cmd) ? CHOSEN : RUN;
    if (r->way == CHOSEN && choose_of_left(w, r))
        return false;
    if (r->way == RUN)
        r->n = effect_probes(r->spec, &r->cmd, &r->probes);
    outdate_left(e, r);
    add_run(&e->ready, &e->ready_end, r);
    claim(e, r);
    return true;
}

bool writer_effects_take(struct writer *w, struct mail_write *m)
{
    struct effects *e = &w->effects;
    if (!own_has_log(&w->own))
        return false; /* it is alone: an effect is a write like others */
    struct effect_run *r = MEM_NEW(struct effect_run);
    r->m = m;
    parse(r, buf_slice(&m->command));
    bool waits = has_to_wait(e, r, !m->effect), keep = false, taken = waits || m->effect;
    if (waits) {
        (void)each_key(e->wanted, r, put_in);
        wait_for_others(e, m);
    } else if (m->effect) {
        keep = begin(w, r);
    } else {
        outdate_left(e, r);
    }
    if (!keep)
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
    e->n -= e->nwaiting;
    e->nwaiting = 0;
    for (struct mail_write *next; m; m = next) {
        next = m->next;
        writer_write(w, m);
    }
}

void writer_effects_refuse(struct writer *w)
{
    struct effects *e = &w->effects;
    for (struct effect_run *r; (r = first_run(&e->ready));) {
        let_go(e, r);
        answer_error(r->m, "BACKEND the store behind this node went away; nothing was written");
        run_free(r);
    }
    if (!w->at_store && e->waiting)
        let_waiting_go_on(w);
}

/* ---- effects that nobody knows -----------------------------------------------------------------
 */

/* The same again may have been lost, too: once is enough. */
static void lose(struct writer *w, const struct slice *argv, size_t argc)
{
    struct effect_run *r = MEM_NEW(struct effect_run), **end = &w->effects.lost;
    resp_add_command(&r->lost, argv, argc);
    for (; *end; end = &(*end)->next) {
        if (!slice_eq(buf_slice(&(*end)->lost), buf_slice(&r->lost)))
            continue;
        run_free(r);
        return;
    }
    r->way = RECOVERED;
    parse(r, buf_slice(&r->lost));
    r->n.behind = effect_recovery_probes(r->spec, &r->cmd, &r->probes);
    *end = r;
}

/* Of a script each key by itself. */
static void lose_effect(struct writer *w, const struct command_spec *spec,
                        const struct resp_command *cmd)
{
    static const char script[] = "EVAL";
    size_t *keys = mem_calloc(cmd->argc, sizeof *keys);
    size_t n = command_keys(spec, cmd, keys, cmd->argc);
    bool is_script = command_is_script(spec);
    for (size_t i = 0; is_script && i < n; i++) {
        const struct slice one[] = {slice_str(script), slice_str(""), slice_str("1"),
                                    cmd->argv[keys[i]]};
        lose(w, one, ARRAY_LEN(one));
    }
    if (!is_script)
        lose(w, cmd->argv, cmd->argc);
    mem_free(keys);
    own_hold(&w->own);
    log_notice("the other replicas may lack what '%s' did: they will get it", spec->name);
}

/* The number of a memcached doesn't tell of what wasn't answered: all that the log has. */
void writer_effects_stand_at(struct writer *w, uint64_t seq)
{
    if (w->o.config->data_store == DATA_STORE_MEMCACHE)
        seq = hint_log_appended(w->own.peer->log).seq;
    if (seq <= hint_log_acked(w->own.peer->log).seq)
        return;
    own_hold(&w->own);
    w->effects.look_upto = seq;
}

/* Records of effects that the store has, or may have, and of which nobody knows whether the others
 * do. */
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
            lose_effect(w, spec, &cmd);
    }
    resp_command_fini(&cmd);
    e->look_upto = 0;
    if (!e->lost)
        own_release(&w->own);
}

/* ---- into a batch ------------------------------------------------------------------------------
 */

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

static void add_question(struct writer *w, struct batch *b, struct effect_run *r)
{
    size_t waiting = w->effects.nwaiting;
    r->more = waiting < MORE_MAX ? waiting : MORE_MAX;
    effect_add_question(r->spec, &r->cmd, r->more, &r->probes);
    struct slice question = buf_slice(&r->probes);
    add_probes(b, &question, 1);
}

/* False: the own log can't be written. */
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

static bool add_items(struct writer *w, struct batch *b, struct effect_run *r)
{
    r->at = b->n;
    r->stamp = writer_next_stamp(w);
    if (r->way == RUN)
        return add_command(w, b, r);
    add_question(w, b, r);
    return true;
}

/* A copy must hold what the others have: hints for this node, what peers have done for its clients
 * meanwhile, and what is on its way. */
static bool has_what_others_have(struct writer *w)
{
    struct effects *e = &w->effects;
    const uint32_t *carried = w->o.peers->carried;
    if (standby_state(&w->standby) != NODE_NORMAL ||
        (carried && __atomic_load_n(&carried[PEERS_ASKED], __ATOMIC_SEQ_CST)))
        return false;
    if (!e->settle_below) {
        e->settle_below = w->clock.last;
        e->settle_until_ms = clock_mono_ms() + SETTLE_MS;
    }
    if (pulse_others_settled(&w->pulse) < e->settle_below && clock_mono_ms() < e->settle_until_ms) {
        writer_want_beats(w);
        return false;
    }
    e->settle_below = 0;
    return true;
}

static void gather_lost(struct writer *w, struct batch *b)
{
    struct effects *e = &w->effects;
    if (!has_what_others_have(w))
        return;
    for (unsigned i = 0; i < RECOVER_MAX && e->lost; i++) {
        struct effect_run *r = first_run(&e->lost);
        struct slice probes = buf_slice(&r->probes);
        r->stamp = writer_next_stamp(w);
        r->at = b->n;
        r->tries++;
        add_probes(b, &probes, r->n.behind);
        add_run(&e->at_store, &e->at_store_end, r);
        claim(e, r);
    }
}

/* Meanwhile no peer is asked to run one. */
static void say_whether_it_recovers(struct writer *w)
{
    const struct effects *e = &w->effects;
    uint32_t *carried = w->o.peers->carried, recovers = w->own.held || e->lost;
    if (carried && recovers != __atomic_load_n(&carried[PEERS_RECOVERS], __ATOMIC_RELAXED))
        __atomic_store_n(&carried[PEERS_RECOVERS], recovers, __ATOMIC_SEQ_CST);
}

void writer_effects_gather(struct writer *w, struct batch *b)
{
    struct effects *e = &w->effects;
    look_for_lost(w);
    say_whether_it_recovers(w);
    if (!runs_here(w))
        return;
    for (struct effect_run *r; (r = first_run(&e->ready));) {
        if (add_items(w, b, r)) {
            add_run(&e->at_store, &e->at_store_end, r);
            continue;
        }
        let_go(e, r);
        answer_error(r->m, "NOHINT the own store's log can't be written; nothing was written");
        run_free(r);
    }
    if (e->lost)
        gather_lost(w, b);
}

/* ---- what it did, to the others ----------------------------------------------------------------
 */

static void note_key(struct writer *w, const struct command_spec *spec,
                     const struct resp_command *cmd, uint64_t stamp)
{
    size_t key;
    if (spec && command_overwritten(spec, cmd, &key, 1))
        store_note_overwrite(w->o.store, cmd->argv[key], stamp, w->tag);
}

/* Copies: each overwrites one key. */
static void note_overwritten(struct writer *w, const struct resp_command *cmd, uint64_t stamp)
{
    const struct command_spec *spec = command_find(cmd->argv[0]);
    struct transaction t;
    note_key(w, spec, cmd, stamp);
    if (!transaction_is(spec))
        return;
    for (transaction_open(&t, cmd); transaction_next(&t);)
        note_key(w, t.spec, &t.cmd, stamp);
    transaction_close(&t);
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
        if (!did->as_it_ran)
            note_overwritten(w, &cmd, r->stamp);
        if (did->also_here)
            run_here_too(w, &write);
    }
    resp_command_fini(&cmd);
    for (unsigned i = 0; i < m->nreplicas; i++)
        if (m->replica[i].node == w->self || did->n == 0)
            m->replica[i].verdict = VERDICT_APPLIED;
}

/* Nobody waits for it; who holds the key now may not be who held it then. */
static void pass_recovered(struct writer *w, const struct replicate_write *write, struct slice key)
{
    enum hash_kind hash;
    uint16_t nodes[RING_WRITES_MAX];
    unsigned joining;
    if (!hash_parse(w->o.config->hash, &hash))
        return;
    uint32_t token = hash_token(hash, hash_tagged(key, w->o.config->hash_tag));
    unsigned n = topology_writes(*w->o.topology, token, nodes, &joining);
    for (unsigned i = 0; i < n; i++) {
        enum refusal why;
        uint64_t seq;
        if (nodes[i] != w->self)
            (void)replicate_to(&w->replicate, nodes[i], write, &seq, &why);
    }
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
                "the store doesn't tell what a command did (may its user run DUMP?): the other "
                "replicas lack it");
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

/* The worker hears of it when its item is dealt with (writer_finish_logged). */
static void finish_effect(struct writer *w, const struct batch *b, struct effect_run *r)
{
    const struct store_write *s = b->items[r->at + r->n.before].at_store;
    struct mail_write *m = r->m;
    m->own_outcome = s->outcome;
    m->stamp = r->stamp;
    if (s->outcome == STORE_APPLIED && tell_others(w, b, r)) {
        buf_add(&m->own_reply, s->reply.ptr, s->reply.len);
    } else if (s->outcome == STORE_APPLIED || s->outcome == STORE_UNKNOWN) {
        m->own_outcome = STORE_UNKNOWN;
        resp_add_error(&m->own_reply, UNKNOWN_TEXT);
        /* the number of a memcached doesn't tell of what wasn't answered */
        if (s->outcome == STORE_APPLIED || (r->spec->flags & COMMAND_MEMCACHE))
            lose_effect(w, r->spec, &r->cmd);
    } else if (s->outcome == STORE_STALE) {
        m->own_outcome = STORE_FAILED;
        resp_add_error(&m->own_reply, "CLOCK the key was written by a node whose clock is ahead; "
                                      "nothing was written");
    } else {
        buf_add(&m->own_reply, s->reply.ptr, s->reply.len);
    }
}

static void pass_all_recovered(struct writer *w, struct effect_run *r, const struct effect *did,
                               struct slice commands)
{
    struct resp_command cmd = {0};
    struct slice command;
    size_t key;
    while (effect_next(&commands, &command, &cmd)) {
        const struct replicate_write write = {.command = command, .stamp = r->stamp, .tag = w->tag};
        if (command_keys(command_find(cmd.argv[0]), &cmd, &key, 1))
            pass_recovered(w, &write, cmd.argv[key]);
        note_overwritten(w, &cmd, r->stamp);
        if (did->also_here)
            run_here_too(w, &write);
    }
    resp_command_fini(&cmd);
}

/* False: again, later. */
static bool finish_recovered(struct writer *w, const struct batch *b, struct effect_run *r)
{
    struct slice *replies = mem_calloc(r->n.behind + 1, sizeof *replies);
    struct buf commands = BUF_INIT;
    bool answered = collect(b, r->at, r->n.behind, replies);
    struct effect did = {.n = -1};
    if (answered)
        did = effect_recover(r->spec, &r->cmd, replies, clock_wall_ms(), &commands);
    if (did.n >= 0)
        pass_all_recovered(w, r, &did, buf_slice(&commands));
    else if (answered || r->tries >= TRIES_MAX)
        own_mark_repair(&w->own, "what a command did couldn't be told to the others");
    buf_fini(&commands);
    mem_free(replies);
    return answered || r->tries >= TRIES_MAX;
}

void writer_effects_done(struct writer *w, const struct batch *b)
{
    struct effects *e = &w->effects;
    for (struct effect_run *r; (r = first_run(&e->at_store));) {
        let_go(e, r);
        if (r->way == CHOSEN) {
            finish_chosen(w, b, r);
        } else if (r->way == RUN) {
            finish_effect(w, b, r);
        } else if (!finish_recovered(w, b, r)) {
            r->next = e->lost;
            e->lost = r;
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
    say_whether_it_recovers(w);
    if (e->waiting)
        let_waiting_go_on(w);
    while (e->nleft)
        drop_left(e, &e->left[e->nleft - 1]);
}

void writer_effects_fini(struct writer *w)
{
    struct effects *e = &w->effects;
    for (struct effect_run *r; (r = first_run(&e->ready)); run_free(r))
        mail_write_free(r->m);
    for (struct effect_run *r; (r = first_run(&e->at_store)); run_free(r))
        if (r->way == CHOSEN)
            mail_write_free(r->m); /* else it is the batch's */
    for (struct effect_run *r; (r = first_run(&e->lost));)
        run_free(r);
    for (struct mail_write *m = e->waiting, *next; m; m = next) {
        next = m->next;
        mail_write_free(m);
    }
    while (e->nleft)
        drop_left(e, &e->left[e->nleft - 1]);
}
