/* Orphaned logs and their handoff: whose they are, each hint to each heir once, also when the
 * process dies at any step. The test plays the writer, its store and the senders. */
#include "core/datadir.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "peer.h"
#include "peer/keep.h"
#include "request/handoff.h"
#include "request/handoff_chunk.h"
#include "ring/hash.h"
#include "store/internal.h"
#include "unit.h"
#include "wire/transaction.h"
#include <sys/stat.h>
#include <unistd.h>

#define ID_ME "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B  "bbbbbbbb-0000-4000-8000-000000000002"
#define ID_C  "cccccccc-0000-4000-8000-000000000003"
#define ID_D  "dddddddd-0000-4000-8000-000000000004"
#define FLOOR ((uint64_t)7 << 32)
#define MANY  1300 /* more than two chunks */

static char root[] = "/tmp/test_handoff.XXXXXX";
static char empty[] = "", murmur[] = "murmur";
static const uint32_t t0[] = {0}, t100[] = {100};
static struct config config = {.send_window = 4u << 20,
                               .hint_ttl_seconds = 86400,
                               .enable_hinted_handoff = true,
                               .hint_dir = empty,
                               .hash = murmur,
                               .hash_tag = empty};
static uint32_t trusted = 1;

static void make_root(void)
{
    rcu_start();
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
    rcu_stop();
}

/* ---- rings: this node and D in rack r1, B in r2; C in r3 is new, D is gone
 * ------------------------
 */

static struct ring_node node(const char *id, const char *address, const char *rack,
                             const uint32_t *token)
{
    struct ring_node n = {
        .address = address, .datacenter = "d", .rack = rack, .tokens = token, .ntokens = 1};
    snprintf(n.id, sizeof n.id, "%s", id);
    return n;
}

static struct topology *ring(bool now)
{
    struct error e;
    struct ring_node nodes[] = {node(ID_ME, "h:1", "r1", t0), node(ID_B, "h:2", "r2", t0),
                                now ? node(ID_C, "h:3", "r3", t0) : node(ID_D, "h:4", "r1", t100)};
    struct topology *t = topology_new(nodes, 3, 0, &e);
    ck_assert_ptr_nonnull(t);
    return t;
}

static struct hint_store *open_store(void)
{
    struct error e;
    struct hint_store *s = hint_store_open(
        &(struct hint_store_options){
            .dir = root, .floor = FLOOR, .single_writer = true, .single_reader = true},
        &e);
    ck_assert_msg(s != NULL, "%s", s ? "" : e.text);
    return s;
}

static struct hint_peer *open_log(struct hint_store *s, const char *name, const struct ring_node *n)
{
    struct error e;
    char place[NODE_ID_SIZE];
    keep_new_name(n, place);
    struct hint_peer *p = hint_store_peer(s, name, place, &e);
    ck_assert_msg(p != NULL, "%s", p ? "" : e.text);
    return p;
}

static void close_store(struct hint_store *s)
{
    struct error e;
    ck_assert(hint_store_close(s, &e));
}

static void put(struct hint_peer *l, unsigned i, uint64_t deadline)
{
    char key[20];
    snprintf(key, sizeof key, "key%u", i);
    struct slice argv[] = {slice_str("INCR"), slice_str(key)};
    struct buf command = BUF_INIT;
    resp_add_command(&command, argv, 2);
    struct frame f = {.kind = FRAME_WRITE,
                      .flags = FRAME_WANT_REPLY,
                      .tag = 9,
                      .stamp = 1000 + i,
                      .deadline = deadline,
                      .payload = buf_slice(&command)};
    ck_assert_int_eq(hint_peer_append(l, &f, HINT_AS_HINT), HINT_PUT_STORED);
    buf_fini(&command);
}

/* The last run: it named D, and has n hints for it. */
static void leave_hints(unsigned n)
{
    struct error e;
    struct topology *then = ring(false);
    struct hint_store *s = open_store();
    struct hint_peer *l = open_log(s, ID_D, &then->nodes[2]);
    for (unsigned i = 0; i < n; i++)
        put(l, i, 0);
    close_store(s);
    ck_assert(orphans_keep_ring(root, then, &e));
    topology_free(then);
}

/* ---- a run ------------------------------------------------------------------------------------
 */

struct desk {
    struct topology *topology;
    struct actor admin, writer, senders[3];
    struct peer b, c, *at[3];
    struct peers peers;
    struct orphans orphans;
    struct replicate replicate;
    struct store store;
    struct batch gathering;
    struct handoff *handoff;
    uint64_t mark_wanted, mark_kept;
    bool serves;
};
/* What the store has, over all runs. */
static uint64_t store_has;
static unsigned applied[MANY];

static uint64_t last(struct store *s, unsigned source, const char *id)
{
    (void)s;
    ck_assert_uint_eq(source, HANDOFF_NODE + 1);
    ck_assert_str_eq(id, "handoff-" ID_D);
    return store_has;
}

static const struct store_ops store_ops = {.last = last};

static void free_message(struct msg *m)
{
    mem_free(m);
}
static const struct actor_ops bare = {.name = "bare", .drop = free_message};

static void open_desk(struct desk *d)
{
    struct error e;
    memset(d, 0, sizeof *d);
    d->topology = ring(true);
    d->serves = true;
    actor_init(&d->admin, &bare, NULL);
    actor_init(&d->writer, &bare, NULL);
    for (int i = 1; i < 3; i++)
        actor_init(&d->senders[i], &bare, NULL);
    d->b = (struct peer){.node = 1, .log_name = (char *)(uintptr_t)ID_B, .sender = &d->senders[1]};
    d->c = (struct peer){.node = 2, .log_name = (char *)(uintptr_t)ID_C, .sender = &d->senders[2]};
    struct hint_store *hints = open_store();
    unit_give_hints(&d->b, open_log(hints, ID_B, &d->topology->nodes[1]));
    unit_give_hints(&d->c, open_log(hints, ID_C, &d->topology->nodes[2]));
    d->at[1] = &d->b;
    d->at[2] = &d->c;
    d->peers = (struct peers){.n = 3, .at = d->at, .store = hints};
    ck_assert_msg(orphans_open(&d->orphans, hints, root, d->topology, &d->peers, &e), "%s", e.text);
    d->peers.orphans = &d->orphans;
    handoff_recover(&d->orphans, &config, d->topology, &d->peers);
    store_base_init(&d->store, &store_ops);
    replicate_init(&d->replicate, &config, &d->peers);
    d->replicate.mark_wanted = &d->mark_wanted;
    d->replicate.mark_kept = &d->mark_kept;
    struct handoff_options o = {.config = &config,
                                .topology = &d->topology,
                                .peers = &d->peers,
                                .orphans = &d->orphans,
                                .store = &d->store,
                                .replicate = &d->replicate,
                                .writer = &d->writer,
                                .clock_trusted = &trusted};
    d->handoff = handoff_new(&o);
}

static void empty_mailbox(struct actor *a)
{
    for (struct msg *m; (m = mailbox_take(&a->mailbox));)
        mem_free(m);
}

/* As after a kill: nothing is said to anybody. */
static void close_desk(struct desk *d)
{
    handoff_free(d->handoff);
    batch_fini(&d->gathering);
    replicate_fini(&d->replicate);
    store_base_fini(&d->store);
    orphans_close(&d->orphans);
    close_store(d->peers.store);
    for (int i = 1; i < 3; i++)
        empty_mailbox(&d->senders[i]);
    empty_mailbox(&d->admin);
    topology_free(d->topology);
}

static uint64_t hint_bytes(const struct desk *d)
{
    struct hint_totals t;
    hint_store_totals(d->peers.store, &t);
    return t.sum.bytes;
}

/* Its log goes with it. */
static uint64_t orphan_acked(const struct desk *d)
{
    const struct orphan *o = &d->orphans.at[0];
    return orphan_is_gone(o) ? UINT32_MAX : hint_log_acked(o->log).seq;
}

static void ask(struct desk *d, unsigned orphan, bool truncate)
{
    struct mail_order *m = MEM_NEW(struct mail_order);
    m->msg.type = MAIL_ORDER;
    m->asker = &d->admin;
    m->node = (uint16_t)(RING_NODES_MAX + orphan);
    m->order = truncate ? ORDER_TRUNCATE : ORDER_HANDOFF;
    handoff_take(d->handoff, m);
}

/* NULL: no answer yet. */
static struct mail_order *answer(struct desk *d)
{
    struct msg *m = mailbox_take(&d->admin.mailbox);
    return m ? container_of_(m, struct mail_order, msg) : NULL;
}

/* ---- one event after the other ------------------------------------------------------------------
 */

static bool sync_one(struct desk *d, bool ok)
{
    for (int i = 1; i < 3; i++)
        for (struct msg *m; (m = mailbox_take(&d->senders[i].mailbox));) {
            if (m->type != MAIL_SYNC) {
                mem_free(m);
                continue;
            }
            struct mail_sync *s = container_of_(m, struct mail_sync, msg);
            s->ok = ok;
            snprintf(s->why, sizeof s->why, "no disk");
            handoff_synced(d->handoff, s);
            return true;
        }
    return false;
}

/* The store does what was gathered, up to `upto` items of it. */
static bool apply(struct desk *d, size_t upto)
{
    struct batch *b = &d->gathering;
    if (!batch_for_store(b))
        return false;
    for (size_t i = 0; i < b->n; i++) {
        struct store_write *w = b->items[i].at_store;
        w->outcome = i < upto ? STORE_APPLIED : STORE_FULL;
        if (i < upto) {
            ck_assert_uint_gt(w->seq, store_has);
            store_has = w->seq;
            applied[w->stamp - 1000]++;
        }
        handoff_applied(d->handoff, w);
    }
    batch_clear(b);
    return true;
}

/* False: nothing happens any more. */
static bool event(struct desk *d)
{
    if (apply(d, SIZE_MAX) || sync_one(d, true))
        return true;
    uint64_t before =
        hint_log_appended(d->b.log).seq + hint_log_appended(d->c.log).seq + orphan_acked(d);
    handoff_tick(d->handoff);
    handoff_turn(d->handoff, &d->gathering, d->serves);
    return d->gathering.n || before != hint_log_appended(d->b.log).seq +
                                           hint_log_appended(d->c.log).seq + orphan_acked(d);
}

static void finish(struct desk *d)
{
    for (int i = 0; i < 1000 && event(d); i++)
        ;
}

/* How often each write lies in a log. */
static void count(struct hint_log *l, unsigned times[MANY])
{
    struct frame f;
    struct slice bytes;
    memset(times, 0, MANY * sizeof *times);
    for (uint64_t after = 0; hint_log_next(l, after, &f, &bytes); after = f.seq) {
        ck_assert_uint_eq(f.tag, 9);
        ck_assert_uint_eq(f.flags, 0);
        times[f.stamp - 1000]++;
    }
}

static void check_once(struct desk *d, unsigned n)
{
    unsigned b[MANY], c[MANY];
    count(d->b.log, b);
    count(d->c.log, c);
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_msg(b[i] == 0, "write %u is at B, which had it", i);
        ck_assert_msg(c[i] == (i < n), "write %u is at C %u times", i, c[i]);
        ck_assert_msg(applied[i] == (i < n), "write %u was applied %u times", i, applied[i]);
    }
}

static bool exists(const char *name)
{
    char path[200];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", root, name);
    return stat(path, &st) == 0;
}

/* ---- tests --------------------------------------------------------------------------------------
 */

START_TEST(an_orphan_is_known_and_counted)
{
    struct desk d;
    leave_hints(10);
    open_desk(&d);
    ck_assert_uint_eq(d.orphans.n, 1);
    const struct orphan *o = &d.orphans.at[0];
    ck_assert_str_eq(o->node.address, "h:4");
    ck_assert_str_eq(o->node.rack, "r1");
    ck_assert_str_eq(o->node.id, ID_D);
    ck_assert_uint_eq(orphan_hints(o).pending, 10);
    ck_assert_uint_eq(hint_bytes(&d), orphan_hints(o).bytes);
    struct error e;
    ck_assert(orphans_check(&d.orphans, ID_B, &e));
    ck_assert(!orphans_check(&d.orphans, ID_D, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "10 hints"));
    unsigned found;
    ck_assert_ptr_eq(orphans_find(&d.orphans, "dd", &found), o);
    ck_assert_uint_eq(found, 1);
    ck_assert_ptr_eq(orphans_find(&d.orphans, "h:4", &found), o);
    orphans_find(&d.orphans, "h:3", &found);
    ck_assert_uint_eq(found, 0);
    close_desk(&d);
    open_desk(&d); /* the ring of the last start doesn't name it any more: its own does */
    ck_assert_str_eq(d.orphans.at[0].node.address, "h:4");
    ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, 10);
    close_desk(&d);
}
END_TEST

START_TEST(each_hint_goes_once_to_each_heir)
{
    struct desk d;
    leave_hints(MANY);
    open_desk(&d);
    ask(&d, 0, false);
    finish(&d);
    struct mail_order *m = answer(&d);
    ck_assert_ptr_nonnull(m);
    ck_assert_msg(m->done, "%s", m->reason);
    ck_assert_uint_eq(m->records, MANY);
    ck_assert_uint_eq(m->dropped, 0);
    mem_free(m);
    check_once(&d, MANY);
    ck_assert(orphan_is_gone(&d.orphans.at[0]));
    ck_assert_uint_eq(hint_bytes(&d), hint_log_appended(d.c.log).bytes);
    ask(&d, 0, false);
    m = answer(&d);
    ck_assert(m && !m->done);
    mem_free(m);
    close_desk(&d);
    ck_assert(!exists(ID_D "/ring") && !exists(ID_D "/handoff"));
    ck_assert(exists(ID_D "/needs-repair")); /* should it come back */
    open_desk(&d);
    ck_assert_uint_eq(d.orphans.n, 0);
    check_once(&d, MANY);
    close_desk(&d);
}
END_TEST

/* Killed after k events, for every k there is; asked again; killed again. */
START_TEST(killed_at_each_step)
{
    for (int k = 0;; k++) {
        struct desk d;
        memset(applied, 0, sizeof applied);
        store_has = 0;
        leave_hints(MANY);
        for (int run = 0; run < 2; run++) {
            open_desk(&d);
            bool over = !d.orphans.n; /* killed before the last word */
            if (!over) {
                ask(&d, 0, false);
                for (int i = 0; i < k; i++)
                    event(&d);
                over = orphan_is_gone(&d.orphans.at[0]);
            }
            close_desk(&d);
            if (over && run == 0)
                return;
            if (over)
                break;
        }
        open_desk(&d);
        ck_assert(k == 0 || exists(ID_D "/needs-repair"));
        if (d.orphans.n) {
            ask(&d, 0, false);
            finish(&d);
            ck_assert_msg(orphan_is_gone(&d.orphans.at[0]), "k = %d", k);
        }
        check_once(&d, MANY);
        close_desk(&d);
        remove_root();
        make_root();
    }
}
END_TEST

/* Killed while it appends, after each record; the copies that a power cut took from the log of one
 * heir are made good. */
START_TEST(killed_while_it_appends)
{
    enum { N = 12 };
    for (unsigned cut = 0; cut <= N; cut++) {
        struct desk d;
        struct error e;
        leave_hints(N);
        open_desk(&d);
        struct handoff_chunk *c = MEM_NEW(struct handoff_chunk);
        const struct orphan *o = &d.orphans.at[0];
        ck_assert(handoff_chunk_read(c, o, o->heirs, &config, d.topology, 0));
        ck_assert(handoff_begin(o, d.topology, &d.peers, &e));
        for (unsigned i = 0; i < cut; i++) {
            struct frame f = handoff_frame(c, &c->record[i]);
            if (i != cut / 2) /* one is missing in the middle */
                ck_assert_int_eq(hint_peer_append(d.c.hints, &f, HINT_AS_LIVE), HINT_PUT_STORED);
        }
        handoff_chunk_fini(c);
        mem_free(c);
        close_desk(&d);
        open_desk(&d);
        unsigned times[MANY], done = cut == 1 || cut == 2 ? cut - 1 : cut;
        count(d.c.log, times);
        for (unsigned i = 0; i < N; i++)
            ck_assert_msg(times[i] == (i < done), "cut %u: write %u is there %u times", cut, i,
                          times[i]);
        if (done < N)
            ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, N - done);
        ck_assert(!exists(ID_D "/handoff"));
        close_desk(&d);
        remove_root();
        make_root();
    }
}
END_TEST

/* The store refuses a part: that part comes again, and nothing is in a log before. */
START_TEST(a_store_that_refuses)
{
    struct desk d;
    memset(applied, 0, sizeof applied);
    store_has = 0;
    leave_hints(20);
    open_desk(&d);
    d.serves = false;
    ask(&d, 0, false);
    ck_assert(!event(&d));
    d.serves = true;
    ck_assert(event(&d));
    ck_assert(apply(&d, 7));
    ck_assert(!event(&d)); /* not at once */
    ck_assert_uint_eq(hint_log_appended(d.c.log).records, 0);
    usleep(1100 * 1000);
    finish(&d);
    check_once(&d, 20);
    close_desk(&d);
}
END_TEST

/* The store goes away with the batch gathered: it is gathered again. */
START_TEST(a_store_that_goes_away)
{
    struct desk d;
    memset(applied, 0, sizeof applied);
    store_has = 0;
    leave_hints(20);
    open_desk(&d);
    ask(&d, 0, false);
    ck_assert(event(&d));
    ck_assert_uint_eq(d.gathering.n, 20);
    handoff_forget(d.handoff, &d.gathering);
    ck_assert_uint_eq(d.gathering.n, 0);
    finish(&d);
    check_once(&d, 20);
    close_desk(&d);
}
END_TEST

/* Until its log is acknowledged nobody is told of what was appended, nor of what came behind it. */
START_TEST(senders_are_told_last)
{
    struct desk d;
    struct msg *m;
    leave_hints(5);
    open_desk(&d);
    hint_peer_set_hinting(d.c.hints, false);
    ask(&d, 0, false);
    event(&d);
    apply(&d, SIZE_MAX);
    handoff_tick(d.handoff);
    handoff_turn(d.handoff, &d.gathering, true);
    const struct replicate_write w = {.command = slice_str("x"), .stamp = 1, .want_replies = true};
    uint64_t seq;
    enum refusal why;
    ck_assert_int_eq(replicate_to(&d.replicate, 2, &w, &seq, &why), VERDICT_LOGGED);
    ck_assert(replicate_nudge(&d.replicate, true));
    m = mailbox_take(&d.senders[2].mailbox);
    ck_assert_uint_eq(m->type, MAIL_SYNC);
    ck_assert_ptr_null(mailbox_take(&d.senders[2].mailbox));
    container_of_(m, struct mail_sync, msg)->ok = true;
    handoff_synced(d.handoff, container_of_(m, struct mail_sync, msg));
    ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, 0);
    replicate_nudge(&d.replicate, true);
    m = mailbox_take(&d.senders[2].mailbox);
    ck_assert_uint_eq(m->type, MAIL_APPENDED);
    ck_assert_uint_eq(container_of_(m, struct mail_appended, msg)->upto,
                      hint_log_appended(d.c.log).seq);
    mem_free(m);
    close_desk(&d);
}
END_TEST

/* A peer that is up isn't sent beyond its window. */
START_TEST(a_peer_that_is_behind_is_waited_for)
{
    struct desk d;
    struct config narrow = config;
    config.send_window = 4096;
    leave_hints(400);
    open_desk(&d);
    hint_peer_set_hinting(d.c.hints, false);
    put(d.c.hints, 1000, 0);
    put(d.b.hints, 1000, 0);
    store_has = 0;
    ask(&d, 0, false);
    finish(&d);
    ck_assert_uint_eq(hint_log_appended(d.c.log).records, 1);
    ck_assert_uint_eq(store_has, 0); /* nor is a part of it done: the next start may have another
                                        ring, in which the rest is for this node, too */
    hint_peer_ack(d.c.hints, hint_log_appended(d.c.log).seq);
    finish(&d);
    ck_assert_uint_eq(hint_log_appended(d.c.log).records, 401);
    close_desk(&d);
    config = narrow;
}
END_TEST

/* This node has it already, so it can't be taken back from the chunk: the other heir's log that
 * refuses it is marked. */
START_TEST(an_heir_that_misses_one_needs_repair)
{
    struct desk d;
    memset(applied, 0, sizeof applied);
    store_has = 0;
    leave_hints(5);
    open_desk(&d);
    hint_peer_tune(d.c.hints, 64 * 1024, 10); /* one larger one may lie alone */
    ask(&d, 0, false);
    event(&d);
    apply(&d, SIZE_MAX);
    handoff_tick(d.handoff);
    handoff_turn(d.handoff, &d.gathering, true);
    bool marked = false;
    struct mail_sync *sync = NULL;
    for (struct msg *m; (m = mailbox_take(&d.senders[2].mailbox));) {
        marked |= m->type == MAIL_REPAIR;
        if (m->type == MAIL_SYNC)
            sync = container_of_(m, struct mail_sync, msg);
        else
            mem_free(m);
    }
    ck_assert(marked);
    ck_assert_ptr_nonnull(sync);
    sync->ok = true;
    handoff_synced(d.handoff, sync);
    finish(&d);
    struct mail_order *m = answer(&d);
    ck_assert(m && !m->done);
    mem_free(m);
    close_desk(&d);
}
END_TEST

/* What would wait for ever ends, with the reason, so that the operator can do something else. */
START_TEST(an_heir_that_takes_no_hints_ends_it)
{
    struct desk d;
    memset(applied, 0, sizeof applied);
    store_has = 0;
    leave_hints(5);
    open_desk(&d);
    PEER_STORE(&d.c, closed, 1);
    ask(&d, 0, false);
    finish(&d);
    struct mail_order *m = answer(&d);
    ck_assert(m && !m->done);
    ck_assert_ptr_nonnull(strstr(m->reason, "has been down for longer than its hints live"));
    mem_free(m);
    ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, 5);
    PEER_STORE(&d.c, closed, 0);
    ask(&d, 0, false);
    finish(&d);
    check_once(&d, 5);
    close_desk(&d);
}
END_TEST

/* What can't be made durable isn't appended twice, and who asked hears of it. */
START_TEST(a_disk_that_fails)
{
    struct desk d;
    memset(applied, 0, sizeof applied);
    store_has = 0;
    leave_hints(MANY);
    open_desk(&d);
    ask(&d, 0, false);
    while (!sync_one(&d, false)) {
        apply(&d, SIZE_MAX);
        handoff_tick(d.handoff);
        handoff_turn(d.handoff, &d.gathering, true);
    }
    finish(&d);
    struct mail_order *m = answer(&d);
    ck_assert(m && !m->done);
    ck_assert_str_eq(m->reason, "no disk");
    ck_assert_uint_eq(m->records, HANDOFF_RECORDS);
    mem_free(m);
    ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, MANY - HANDOFF_RECORDS);
    ask(&d, 0, false);
    finish(&d);
    check_once(&d, MANY);
    close_desk(&d);
}
END_TEST

START_TEST(truncated)
{
    struct desk d;
    leave_hints(MANY);
    open_desk(&d);
    ask(&d, 0, true);
    event(&d);
    ask(&d, 0, true);  /* the same: told together */
    ask(&d, 0, false); /* too late */
    struct mail_order *m = answer(&d);
    ck_assert(m && !m->done && strstr(m->reason, "truncated"));
    mem_free(m);
    finish(&d);
    for (int i = 0; i < 2; i++) {
        m = answer(&d);
        ck_assert(m && m->done);
        ck_assert_uint_eq(m->dropped, MANY);
        mem_free(m);
    }
    ck_assert_uint_eq(hint_log_appended(d.c.log).records, 0);
    ck_assert(orphan_is_gone(&d.orphans.at[0]));
    close_desk(&d);
}
END_TEST

/* Nobody knows where it stood: kept and shown, and not handed off. */
START_TEST(an_unknown_place)
{
    struct desk d;
    char path[200];
    leave_hints(3);
    snprintf(path, sizeof path, "%s/ring", root);
    unlink(path);
    open_desk(&d);
    ck_assert_uint_eq(d.orphans.n, 1);
    ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, 3);
    ck_assert_str_eq(d.orphans.at[0].node.id, ID_D);
    ck_assert_str_eq(d.orphans.at[0].node.address, ID_D);
    ask(&d, 0, false);
    struct mail_order *m = answer(&d);
    ck_assert(m && !m->done && strstr(m->reason, "isn't known"));
    mem_free(m);
    ask(&d, 0, true);
    finish(&d);
    m = answer(&d);
    ck_assert(m && m->done);
    mem_free(m);
    close_desk(&d);
}
END_TEST

/* Past their lifetime they go, and so does the orphan. */
START_TEST(expired)
{
    struct desk d;
    leave_hints(0);
    struct topology *then = ring(false);
    struct hint_store *s = open_store();
    struct hint_peer *l = open_log(s, ID_D, &then->nodes[2]);
    for (unsigned i = 0; i < 5; i++)
        put(l, i, 1000);
    close_store(s);
    topology_free(then);
    open_desk(&d);
    ck_assert_uint_eq(orphan_hints(&d.orphans.at[0]).pending, 5);
    handoff_tick(d.handoff);
    ck_assert(orphan_is_gone(&d.orphans.at[0]));
    struct hint_totals totals;
    hint_store_totals(d.peers.store, &totals);
    ck_assert_uint_eq(totals.sum.expired, 5);
    close_desk(&d);
}
END_TEST

/* Where one node held all of the keys of a command, two may hold them now. */
START_TEST(keys_of_one_command_may_have_several_heirs)
{
    static const uint32_t low[] = {0x7fffffff}, high[] = {0xffffffff};
    struct error e;
    struct ring_node nodes[] = {node(ID_ME, "h:1", "r2", t0), node(ID_D, "h:4", "r1", t0),
                                node(ID_B, "h:2", "r1", low), node(ID_C, "h:3", "r1", high)};
    struct topology *then = topology_new(nodes, 2, 0, &e);
    nodes[1].role = RING_GONE;
    struct topology *now = topology_new(nodes, 4, 0, &e);
    struct heirs *heirs = heirs_new(then, 1, now);
    struct resp_command cmd = {0};
    struct buf one = BUF_INIT, record = BUF_INIT;
    struct slice keys[2] = {{.ptr = NULL}, {.ptr = NULL}};
    char names[200][8];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(names[i], sizeof names[i], "k%u", i);
        keys[hash_token(HASH_MURMUR, slice_str(names[i])) > low[0]] = slice_str(names[i]);
    }
    ck_assert(keys[0].ptr && keys[1].ptr);
    for (unsigned i = 0; i < 2; i++) {
        uint16_t heir[RING_NODES_MAX];
        struct slice argv[2] = {slice_str("INCR"), keys[i]};
        buf_reset(&one, SIZE_MAX);
        resp_add_command(&one, argv, 2);
        ck_assert_uint_eq(handoff_heirs(buf_slice(&one), &config, heirs, now, &cmd, heir), 1);
        ck_assert_uint_eq(heir[0], 2 + i);
    }
    struct slice command = buf_slice(&one);
    uint16_t heir[RING_NODES_MAX];
    transaction_add(&record, slice_of("", 0), keys, 2, &command, 1);
    ck_assert_uint_eq(handoff_heirs(buf_slice(&record), &config, heirs, now, &cmd, heir), 2);
    ck_assert_uint_eq(heir[0] + heir[1], 2 + 3);
    resp_command_fini(&cmd);
    buf_fini(&one);
    buf_fini(&record);
    heirs_free(heirs);
    topology_free(then);
    topology_free(now);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, keys_of_one_command_may_have_several_heirs);
    tcase_add_checked_fixture(c, make_root, remove_root);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, an_orphan_is_known_and_counted);
    tcase_add_test(c, each_hint_goes_once_to_each_heir);
    tcase_add_test(c, killed_at_each_step);
    tcase_add_test(c, killed_while_it_appends);
    tcase_add_test(c, a_store_that_refuses);
    tcase_add_test(c, a_store_that_goes_away);
    tcase_add_test(c, senders_are_told_last);
    tcase_add_test(c, a_peer_that_is_behind_is_waited_for);
    tcase_add_test(c, an_heir_that_takes_no_hints_ends_it);
    tcase_add_test(c, an_heir_that_misses_one_needs_repair);
    tcase_add_test(c, a_disk_that_fails);
    tcase_add_test(c, truncated);
    tcase_add_test(c, an_unknown_place);
    tcase_add_test(c, expired);
}

int main(void)
{
    return unit_main("handoff", add_cases);
}
