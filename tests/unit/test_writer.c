/* A sender's window smaller than what an acknowledgement is known to, and
 * the writer over a store that is held, lost and found again. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "peer.h"
#include "peer/delivery.h"
#include "request/batch.h"
#include "request/pulse.h"
#include "request/replicate.h"
#include "request/writer.h"
#include "store/internal.h"
#include "unit.h"
#include "wire/frame.h"
#include <fcntl.h>
#include <unistd.h>

#define START   ((uint64_t)7 << 32)
#define SOON_MS 5000

static struct hint_peer *memory_log_from(uint64_t floor)
{
    return unit_hints(NULL, "peer", NULL, floor);
}

static struct hint_peer *memory_log(void)
{
    return memory_log_from(START);
}

static uint64_t put(struct hint_peer *l, size_t size)
{
    static char bytes[4000];
    struct frame f = {.kind = FRAME_WRITE, .stamp = 1 << 16, .payload = slice_of(bytes, size)};
    ck_assert_int_eq(hint_peer_append(l, &f, HINT_AS_HINT), HINT_PUT_STORED);
    return f.seq;
}

static void put_into(struct hint_log *l, size_t size)
{
    static char bytes[4000];
    struct frame f = {.kind = FRAME_WRITE, .stamp = 1 << 16, .payload = slice_of(bytes, size)};
    ck_assert_int_eq(hint_log_append(l, &f, false), HINT_APPENDED);
}

/* Everything is acknowledged, so what was written since has to go out. */
START_TEST(an_acknowledged_window_is_open)
{
    struct hint_peer *l = memory_log();
    struct delivery d;
    struct buf out = BUF_INIT;
    uint64_t expired = 0;
    struct delivery_now now = {.allowed = SIZE_MAX};
    delivery_init(&d, l, 1024); /* send_window: the smallest that is allowed */
    ck_assert(delivery_go_on_from(&d, START));
    delivery_allow(&d, put(l, 10));
    delivery_allow(&d, put(l, 2000));
    delivery_pump(&d, &out, 65536, &now, &expired);
    ck_assert_uint_eq(d.sent, START + 2);
    delivery_acked(&d, START + 2);
    delivery_allow(&d, put(l, 10));
    delivery_pump(&d, &out, 65536, &now, &expired);
    ck_assert_uint_eq(d.sent, START + 3);
    delivery_fini(&d);
    unit_hints_close(l);
    buf_fini(&out);
}
END_TEST

/* The memory of a burst goes when it's over, that of a steady load stays. */
START_TEST(a_batch_gives_back_what_a_burst_took)
{
    struct batch b = {0};
    for (int i = 0; i < 1000; i++)
        batch_add(&b);
    batch_tidy(&b); /* in use */
    ck_assert_uint_eq(b.n, 1000);
    batch_clear(&b);
    batch_tidy(&b); /* it was, just now */
    ck_assert_uint_ge(b.cap, 1000);
    for (int i = 0; i < 500; i++)
        batch_add(&b);
    batch_clear(&b);
    batch_tidy(&b);
    ck_assert_uint_ge(b.cap, 1000);
    batch_add(&b);
    batch_clear(&b);
    batch_tidy(&b);
    ck_assert_uint_eq(b.cap, 0);
    batch_add(&b);
    ck_assert_uint_eq(b.n, 1);
    batch_fini(&b);
}
END_TEST

/* What a link sent was taken out again (its store went away): its credit is still to be given. */
START_TEST(a_batch_keeps_what_credit_is_due_for)
{
    struct batch b = {0};
    for (int i = 0; i < 1000; i++)
        batch_add(&b);
    batch_clear(&b);
    batch_tidy(&b);
    struct mail_inbound *m = MEM_NEW(struct mail_inbound);
    m->frames = blob_new("x", m->size = 1);
    batch_keep(&b, m);
    batch_tidy(&b);
    ck_assert_uint_eq(b.ninbound, 1);
    batch_clear(&b);
    batch_tidy(&b);
    ck_assert_uint_eq(b.cap, 0);
}
END_TEST

/* A record that was whole when the log was opened, and is damaged when its turn comes. */
START_TEST(damage_after_the_open_is_counted)
{
    char dir[] = "/tmp/writer.XXXXXX", path[64];
    struct hint_log_report report;
    struct error e;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct hint_log_options o = {.dir = dir, .peer = "peer"};
    struct hint_log *l = hint_log_open(&o, START, &report, &e);
    for (int i = 0; i < 3; i++)
        put_into(l, 100);
    hint_log_close(l);
    l = hint_log_open(&o, START + ((uint64_t)1 << 32), &report, &e);
    ck_assert_uint_eq(report.records, 3);
    snprintf(path, sizeof path, "%s/%016llx.log", dir, (unsigned long long)START + 1);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "x", 1, 80 + (FRAME_HEAD + 100) + FRAME_HEAD + 50), 1);
    close(fd);
    hint_log_ack(l, START + 3);
    uint64_t damaged = hint_log_damaged(l);
    uint64_t pending = hint_log_appended(l).records - hint_log_acked(l).records;
    hint_log_close(l);
    ck_assert_uint_eq(pending, 0);
    ck_assert_uint_eq(damaged, 1);
}
END_TEST

/* ---- the writer over a store that does what the test says --------------------------------------
 */

static const char *const ids[] = {"11111111-1111-4111-8111-111111111111",
                                  "22222222-2222-4222-8222-222222222222"};
static const uint32_t zero[] = {0};
static char empty[] = "";
static struct config config = {.gos_interval = 60000,
                               .timeout = 60000,
                               .send_window = 4u << 20,
                               .hint_ttl_seconds = 86400,
                               .enable_hinted_handoff = true,
                               .hint_dir = empty};

enum told { NOTHING, FINISH, REFUSE, GO_DOWN, COME_BACK, BREAK };

struct held_store {
    struct store base;
    struct store_events events;
    uv_async_t async;
    struct store_batch *batch; /* at the store; atomic */
    int told;                  /* atomic, enum told */
    unsigned applied;          /* batches; atomic */
    uint64_t forgotten;        /* atomic */
    struct actor *writer;
    struct msg *with_done; /* mail that comes while a batch is finished */
    uint64_t last;         /* of every source */
};

static struct held_store *held(struct store *s)
{
    return container_of_(s, struct held_store, base);
}

static void finish(struct held_store *h, enum store_outcome outcome)
{
    struct store_batch *b = __atomic_exchange_n(&h->batch, NULL, __ATOMIC_ACQ_REL);
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++) {
        b->writes[i].outcome = outcome;
        b->writes[i].reply = slice_str("+OK\r\n");
    }
    h->events.done(h->events.arg, b);
    if (h->with_done)
        actor_send(h->writer, h->with_done);
    h->with_done = NULL;
}

static void on_told(uv_async_t *a)
{
    struct held_store *h = a->data;
    int told = __atomic_exchange_n(&h->told, NOTHING, __ATOMIC_ACQ_REL);
    if (told == GO_DOWN) {
        h->events.down(h->events.arg, "gone");
    } else if (told == FINISH || told == REFUSE) {
        finish(h, told == FINISH ? STORE_APPLIED : STORE_FULL);
    } else if (told == BREAK) {
        store_set_down(&h->base, "gone");
        h->events.down(h->events.arg, "gone");
        finish(h, STORE_UNKNOWN);
    } else if (told == COME_BACK) {
        finish(h, STORE_APPLIED);
        store_set_up(&h->base);
        h->events.up(h->events.arg);
    }
}

static void held_start(struct store *s, uv_loop_t *loop, const struct store_events *events)
{
    struct held_store *h = held(s);
    h->events = *events;
    h->async.data = h;
    uv_async_init(loop, &h->async, on_told);
    store_set_up(s);
    h->events.up(h->events.arg);
}

static void held_stop(struct store *s)
{
    uv_close((uv_handle_t *)&held(s)->async, NULL);
}

static uint64_t held_last(struct store *s, unsigned source, const char *id)
{
    (void)source;
    (void)id;
    return held(s)->last;
}

static void held_apply(struct store *s, struct store_batch *b)
{
    __atomic_store_n(&held(s)->batch, b, __ATOMIC_RELEASE);
    __atomic_fetch_add(&held(s)->applied, 1, __ATOMIC_RELEASE);
}

static void held_forget(struct store *s, uint64_t stamp)
{
    __atomic_store_n(&held(s)->forgotten, stamp, __ATOMIC_RELEASE);
}

static const struct store_ops held_ops = {.writer_start = held_start,
                                          .writer_stop = held_stop,
                                          .last = held_last,
                                          .apply = held_apply,
                                          .forget_below = held_forget};

static void free_message(struct msg *msg)
{
    if (msg->type == MAIL_WRITE) {
        mail_write_free(container_of_(msg, struct mail_write, msg));
        return;
    }
    if (msg->type == MAIL_LINK)
        buf_fini(&container_of_(msg, struct mail_link, msg)->frames);
    mem_free(msg);
}

static void free_mail(struct actor *a)
{
    for (struct msg *m; (m = mailbox_take(&a->mailbox));)
        free_message(m);
}

static const struct actor_ops bare_ops = {.name = "bare", .drop = free_message};

struct desk {
    struct actor worker, sender;
    struct identity me;
    struct topology *topology;
    struct peer peer, own;
    char log_name[NODE_ID_SIZE];
    struct peer *at[2];
    struct peers peers;
    struct held_store store;
    struct writer *writer;
    uint32_t trusted, state;
    uint64_t now, mark_wanted, watermark;
    uint64_t kept;    /* atomic, ms: the clock's bound for the next start */
    unsigned n_kept;  /* atomic: it was moved so often */
    unsigned n_added; /* atomic: peers that membership brought */
    int64_t clock_off;
};

static void nobody(void *arg, const struct topology *t)
{
    (void)arg;
    (void)t;
}

static void keep_clock(void *arg, uint64_t ms)
{
    struct desk *d = arg;
    __atomic_store_n(&d->kept, ms + 1000, __ATOMIC_RELEASE);
    __atomic_fetch_add(&d->n_kept, 1, __ATOMIC_RELEASE);
}

static bool count_new_peer(void *arg, const struct ring_node *n, struct error *e)
{
    struct desk *d = arg;
    __atomic_fetch_add(&d->n_added, 1, __ATOMIC_RELEASE);
    return error_set(e, "%s is only counted", n->address);
}

static void open_desk_with(struct desk *d, struct hint_peer *own)
{
    struct error e;
    memset(d, 0, sizeof *d);
    d->store.last = START;
    actor_init(&d->worker, &bare_ops, NULL);
    actor_init(&d->sender, &bare_ops, NULL);
    struct ring_node nodes[] = {
        {.address = "127.0.0.1:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "127.0.0.1:2", .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1}};
    memcpy(nodes[0].id, ids[0], NODE_ID_SIZE);
    memcpy(nodes[1].id, ids[1], NODE_ID_SIZE);
    d->topology = topology_new(nodes, 2, 0, &e);
    d->me = (struct identity){.start_mark = 7};
    memcpy(d->me.id, ids[0], NODE_ID_SIZE);
    d->peer = (struct peer){.node = 1, .log_name = d->log_name, .sender = &d->sender};
    unit_give_hints(&d->peer, memory_log());
    hint_peer_set_hinting(d->peer.hints, false);
    d->at[1] = &d->peer;
    d->own = (struct peer){.node = 0};
    if (own)
        unit_give_hints(&d->own, own);
    d->peers = (struct peers){.n = 2, .at = d->at, .own = own ? &d->own : NULL};
    store_base_init(&d->store.base, &held_ops);
    struct writer_options o = {.config = &config,
                               .me = &d->me,
                               .topology = &d->topology,
                               .peers = &d->peers,
                               .store = &d->store.base,
                               .mark_wanted = &d->mark_wanted,
                               .mark_kept = &d->me.start_mark,
                               .clock_trusted = &d->trusted,
                               .own_state = &d->state,
                               .clock_now = &d->now,
                               .watermark = &d->watermark,
                               .clock_off = &d->clock_off,
                               .clock_kept = &d->kept,
                               .keep_clock = keep_clock,
                               .met = nobody,
                               .add = count_new_peer,
                               .arg = d};
    d->kept = clock_wall_ms() + 5000;
    d->writer = writer_start(&o, &e);
    ck_assert_ptr_nonnull(d->writer);
    d->store.writer = writer_actor(d->writer);
}

static void open_desk(struct desk *d)
{
    open_desk_with(d, NULL);
}

static void close_desk(struct desk *d)
{
    writer_stop(d->writer);
    writer_join(d->writer);
    writer_free(d->writer);
    store_base_fini(&d->store.base);
    topology_free(d->topology);
    free_mail(&d->worker);
    free_mail(&d->sender);
}

static struct msg *a_write(struct desk *d, const char *key, const char *value, bool own)
{
    struct slice argv[] = {slice_str("SET"), slice_str(key), slice_str(value)};
    struct mail_write *m = mail_write_new(2);
    resp_add_command(&m->command, argv, 3);
    m->worker = &d->worker;
    m->nreplicas = own ? 2 : 1;
    m->replica[0].node = 1;
    m->replica[1].node = 0;
    return &m->msg;
}

static void tell(struct desk *d, enum told what)
{
    __atomic_store_n(&d->store.told, what, __ATOMIC_RELEASE);
    uv_async_send(&d->store.async);
}

/* Waits for a condition. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = clock_mono_ms() + SOON_MS;                                                 \
        while (!(condition) && clock_mono_ms() < end_)                                             \
            usleep(500);                                                                           \
        ck_assert_msg((condition), "in vain: %s", #condition);                                     \
    } while (0)

static unsigned batches(struct desk *d)
{
    return __atomic_load_n(&d->store.applied, __ATOMIC_ACQUIRE);
}

/* The value that the key's n-th record in the peer's log sets. */
static void check_value(struct desk *d, const char *key, unsigned n, const char *value)
{
    struct frame f;
    struct slice bytes;
    struct resp_command cmd = {0};
    uint64_t after = START;
    for (; hint_log_next(d->peer.log, after, &f, &bytes); after = f.seq) {
        ck_assert(resp_command_parse(f.payload, &cmd));
        if (!slice_eq(cmd.argv[1], slice_str(key)) || n-- > 0)
            continue;
        ck_assert_msg(slice_eq(cmd.argv[2], slice_str(value)), "found %.*s; wanted %s",
                      (int)cmd.argv[2].len, (const char *)cmd.argv[2].ptr, value);
        resp_command_fini(&cmd);
        return;
    }
    ck_abort_msg("it isn't there");
}

/* What has time must not make a peer that is well look as if it were behind. */
START_TEST(word_to_a_sender_leaves_its_window_open)
{
    static const char value[300];
    struct config c = config;
    struct actor sender;
    struct peer peer = {.node = 1, .sender = &sender};
    struct peer *at[] = {NULL, &peer};
    const struct peers peers = {.n = 2, .at = at};
    unit_give_hints(&peer, memory_log());
    hint_peer_set_hinting(peer.hints, false);
    struct replicate r;
    enum refusal why;
    c.send_window = 1024; /* the smallest that is allowed */
    actor_init(&sender, &bare_ops, NULL);
    replicate_init(&r, &c, &peers);
    for (int i = 0; i < 4; i++) {
        const struct replicate_write w = {.command = slice_of(value, sizeof value), .stamp = 1};
        uint64_t seq;
        ck_assert_int_eq(replicate_to(&r, 1, &w, &seq, &why), VERDICT_LOGGED);
        ck_assert_uint_eq(seq, hint_log_appended(peer.log).seq);
        ck_assert_msg(replicate_nudge(&r, NUDGE_URGENT), "write %d waits", i);
    }
    replicate_fini(&r);
    free_mail(&sender);
    unit_hints_close(peer.hints);
}
END_TEST

/* Two writes of one key that this node is no replica of. The first shares its batch with one of the
 * own store, which goes away meanwhile; the second comes after that. */
START_TEST(writes_of_one_key_keep_their_order_over_a_lost_store)
{
    struct desk d;
    open_desk(&d);
    struct actor *writer = writer_actor(d.writer);
    actor_send(writer, a_write(&d, "own", "0", true));
    UNTIL(batches(&d) == 1);
    actor_send(writer, a_write(&d, "own", "0", true));
    actor_send(writer, a_write(&d, "passing", "1", false));
    tell(&d, FINISH); /* what was sent before is gathered by then, or in the same turn */
    UNTIL(batches(&d) == 2);
    tell(&d, GO_DOWN);
    UNTIL(__atomic_load_n(&d.store.told, __ATOMIC_ACQUIRE) == NOTHING);
    actor_send(writer, a_write(&d, "passing", "2", false));
    UNTIL(hint_log_appended(d.peer.log).records >= 2);
    tell(&d, COME_BACK);
    UNTIL(hint_log_appended(d.peer.log).records == 4);
    close_desk(&d);
    check_value(&d, "passing", 0, "1");
    unit_hints_close(d.peer.hints);
}
END_TEST

static bool is_welcomed(struct desk *d, unsigned ms)
{
    uint64_t end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end) {
        struct msg *m = mailbox_take(&d->worker.mailbox);
        bool welcome =
            m && m->type == MAIL_LINK && container_of_(m, struct mail_link, msg)->welcome;
        if (m)
            free_message(m);
        else
            usleep(500);
        if (welcome)
            return true;
    }
    return false;
}

static void greet(struct desk *d, const char *id)
{
    struct mail_greet *m = MEM_NEW(struct mail_greet);
    m->msg.type = MAIL_GREET;
    m->link = (struct link_ref){.worker = &d->worker, .ticket = 5};
    m->node = 1;
    memcpy(m->id, id, NODE_ID_SIZE);
    m->start_mark = 7;
    m->wall_ms = clock_wall_ms();
    actor_send(writer_actor(d->writer), &m->msg);
}

static void wait_for_refusal(struct desk *d)
{
    bool refused = false;
    uint64_t end = clock_mono_ms() + SOON_MS;
    while (!refused && clock_mono_ms() < end) {
        struct msg *m = mailbox_take(&d->worker.mailbox);
        refused = m && m->type == MAIL_LINK && container_of_(m, struct mail_link, msg)->close;
        if (m)
            free_message(m);
        else
            usleep(500);
    }
    ck_assert(refused);
}

/* What was sent to the writer before is gathered: it has refused a stranger, which it does at once.
 */
static void wait_for_gathering(struct desk *d)
{
    greet(d, ids[0]);
    wait_for_refusal(d);
}

/* A write of the peer on its link, stamped so many ms ahead; the bytes of its frame. */
static size_t send_write_ahead(struct desk *d, uint64_t seq, uint64_t ahead_ms)
{
    struct slice argv[] = {slice_str("SET"), slice_str("k"), slice_str("v")};
    struct buf command = BUF_INIT, b = BUF_INIT;
    resp_add_command(&command, argv, 3);
    frame_add(&b, &(struct frame){.kind = FRAME_WRITE,
                                  .seq = seq,
                                  .stamp = (clock_wall_ms() + ahead_ms) << 16,
                                  .payload = buf_slice(&command)});
    struct mail_inbound *m = MEM_NEW(struct mail_inbound);
    m->msg.type = MAIL_INBOUND;
    m->link = (struct link_ref){.worker = &d->worker, .ticket = 5};
    m->node = 1;
    size_t size = m->size = b.len;
    m->frames = blob_new(buf_head(&b), b.len);
    actor_send(writer_actor(d->writer), &m->msg);
    buf_fini(&command);
    buf_fini(&b);
    return size;
}

static size_t send_write(struct desk *d, uint64_t seq)
{
    return send_write_ahead(d, seq, 0);
}

/* Several ticks, so that what must not move has had the time to. */
static void let_tick(void)
{
    uint64_t end = clock_mono_ms() + 350;
    while (clock_mono_ms() < end)
        usleep(5000);
}

static void tell_of_peer(struct desk *d, enum ring_role role, const uint32_t *token)
{
    struct ring_node n = {.role = role,
                          .address = "127.0.0.1:2",
                          .datacenter = "d",
                          .rack = "r2",
                          .tokens = token,
                          .ntokens = 1};
    memcpy(n.id, ids[1], NODE_ID_SIZE);
    actor_send(writer_actor(d->writer), &mail_member_new(&n, NODE_NORMAL, "the test")->msg);
}

/* Its writes are in a batch at a store that hangs, it leaves and is back at another place: where
 * its numbers go on is known when the batch is done. Else they would be applied twice. */
START_TEST(one_that_comes_back_waits_for_its_writes_at_the_store)
{
    static const uint32_t five[] = {5};
    struct desk d;
    open_desk(&d);
    greet(&d, ids[1]);
    ck_assert(is_welcomed(&d, SOON_MS));
    send_write(&d, START + 1);
    UNTIL(batches(&d) == 1);
    tell_of_peer(&d, RING_GONE, zero);
    UNTIL(PEER_LOAD(&d.peer, gone));
    __atomic_store_n(&d.peer.let_go, 1, __ATOMIC_RELEASE);
    tell_of_peer(&d, RING_MEMBER, five);
    wait_for_gathering(&d);
    let_tick();
    ck_assert_uint_eq(__atomic_load_n(&d.n_added, __ATOMIC_ACQUIRE), 0);
    tell(&d, FINISH);
    UNTIL(__atomic_load_n(&d.n_added, __ATOMIC_ACQUIRE) > 0);
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* What a full store makes the writer forget is dealt with: a link that was paused for want of
 * credit would stay so. */
START_TEST(credit_comes_back_for_what_is_forgotten)
{
    struct desk d;
    open_desk(&d);
    greet(&d, ids[1]);
    ck_assert(is_welcomed(&d, SOON_MS));
    size_t want = send_write(&d, START + 1), sum = 0;
    UNTIL(batches(&d) == 1);
    want += send_write(&d, START + 2);
    wait_for_gathering(&d);
    tell(&d, REFUSE);
    uint64_t end = clock_mono_ms() + 500; /* less than until the next attempt */
    while (sum < want && clock_mono_ms() < end) {
        struct msg *m = mailbox_take(&d.worker.mailbox);
        if (m && m->type == MAIL_LINK)
            sum += container_of_(m, struct mail_link, msg)->credit;
        if (m)
            free_message(m);
        else
            usleep(500);
    }
    close_desk(&d);
    unit_hints_close(d.peer.hints);
    ck_assert_uint_eq(sum, want);
}
END_TEST

/* A full batch is gathered whenever the one at the store is done, and mail keeps coming: a link
 * that greets is welcomed between two batches all the same. */
START_TEST(greetings_are_answered_under_load)
{
    struct desk d;
    open_desk(&d);
    struct actor *writer = writer_actor(d.writer);
    actor_send(writer, a_write(&d, "own", "0", true));
    UNTIL(batches(&d) == 1);
    for (int i = 0; i < 5000; i++)
        actor_send(writer, a_write(&d, "own", "0", true));
    greet(&d, ids[1]);
    wait_for_gathering(&d);
    d.store.with_done = a_write(&d, "own", "0", true);
    tell(&d, FINISH);
    UNTIL(batches(&d) == 2);
    ck_assert(is_welcomed(&d, 500));
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* ---- the own store as a replica ----------------------------------------------------------------
 */

static void start_own(struct desk *d)
{
    open_desk_with(d, memory_log());
    PEER_STORE(&d->peer, link_up, 1); /* nobody takes its place */
    UNTIL(__atomic_load_n(&d->state, __ATOMIC_ACQUIRE) == NODE_NORMAL);
}

static void end_own(struct desk *d)
{
    close_desk(d);
    peer_set_repair(&d->own, 0, "");
    unit_hints_close(d->peer.hints);
    unit_hints_close(d->own.hints);
}

static uint64_t own_pending(const struct desk *d)
{
    return hint_log_appended(d->own.log).records - hint_log_acked(d->own.log).records;
}

static struct store_batch *at_store(struct desk *d)
{
    return __atomic_load_n(&d->store.batch, __ATOMIC_ACQUIRE);
}

/* The next mail of this type to the worker or the sender. */
static struct msg *next_mail(struct actor *to, enum mail_type type)
{
    uint64_t end = clock_mono_ms() + SOON_MS;
    while (clock_mono_ms() < end) {
        struct msg *m = mailbox_take(&to->mailbox);
        if (m && m->type == (unsigned)type)
            return m;
        if (m)
            free_message(m);
        else
            usleep(500);
    }
    ck_abort_msg("no mail of type %d", (int)type);
    return NULL;
}

/* The writer's answer: what it says of the peer (replica 0) and the own store (1). */
static void check_answer(struct desk *d, enum verdict peer, enum verdict own)
{
    struct mail_write *m = container_of_(next_mail(&d->worker, MAIL_WRITE), struct mail_write, msg);
    ck_assert_int_eq(m->replica[0].verdict, peer);
    ck_assert_int_eq(m->replica[1].verdict, own);
    mail_write_free(m);
}

static void check_verdict(struct desk *d, enum verdict wanted)
{
    struct mail_verdicts *m =
        container_of_(next_mail(&d->worker, MAIL_VERDICTS), struct mail_verdicts, msg);
    ck_assert_uint_eq(m->n, 1);
    ck_assert_uint_eq(m->v[0].node, 0);
    ck_assert_int_eq(m->v[0].verdict, wanted);
    free_message(&m->msg);
}

/* The batch at the store: so many writes of this node from this number on. */
static void check_batch(struct desk *d, uint64_t first, size_t n)
{
    UNTIL(at_store(d));
    const struct store_batch *b = at_store(d);
    ck_assert_uint_eq(b->n, n);
    for (size_t i = 0; i < n; i++) {
        ck_assert(!b->writes[i].skip);
        ck_assert_uint_eq(b->writes[i].source, 0);
        ck_assert_uint_eq(b->writes[i].seq, first + i);
    }
}

static void finish_batch_until(struct desk *d, uint64_t pending)
{
    tell(d, FINISH);
    UNTIL(own_pending(d) == pending);
}

/* Both logs have it before the store has applied it. */
START_TEST(a_write_lies_in_all_logs_first)
{
    struct desk d;
    start_own(&d);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "v", true));
    check_batch(&d, START + 1, 1);
    ck_assert_uint_eq(hint_log_appended(d.peer.log).records, 1);
    ck_assert_uint_eq(own_pending(&d), 1);
    finish_batch_until(&d, 0);
    check_answer(&d, VERDICT_LOGGED, VERDICT_APPLIED);
    end_own(&d);
}
END_TEST

/* The memory that a write travels in is used again: what the writer said the last time (-CLOCK)
 * isn't said of this one, which is in the logs. */
START_TEST(an_answer_says_nothing_of_the_write_before)
{
    struct desk d;
    start_own(&d);
    struct msg *msg = a_write(&d, "k", "v", false); /* this node is no replica */
    container_of_(msg, struct mail_write, msg)->own_outcome = STORE_FAILED;
    actor_send(writer_actor(d.writer), msg);
    struct mail_write *m = container_of_(next_mail(&d.worker, MAIL_WRITE), struct mail_write, msg);
    ck_assert_int_eq(m->own_outcome, STORE_APPLIED);
    ck_assert_uint_eq(hint_log_appended(d.peer.log).records, 1);
    mail_write_free(m);
    end_own(&d);
}
END_TEST

/* A batch is lost with its connection, one of its two writes was applied: the workers are told what
 * the logs hold, and the other one is written when the store is back; so is what came meanwhile. */
START_TEST(what_a_lost_store_lacks_is_replayed)
{
    struct desk d;
    start_own(&d);
    struct actor *writer = writer_actor(d.writer);
    actor_send(writer, a_write(&d, "k", "0", true));
    check_batch(&d, START + 1, 1);
    actor_send(writer, a_write(&d, "k", "1", true));
    actor_send(writer, a_write(&d, "k", "2", true));
    wait_for_gathering(&d);
    finish_batch_until(&d, 2);
    check_batch(&d, START + 2, 2);
    free_mail(&d.sender);
    check_answer(&d, VERDICT_LOGGED, VERDICT_APPLIED);
    tell(&d, BREAK);
    check_answer(&d, VERDICT_LOGGED, VERDICT_NONE);
    check_answer(&d, VERDICT_LOGGED, VERDICT_NONE);
    struct mail_appended *m =
        container_of_(next_mail(&d.sender, MAIL_APPENDED), struct mail_appended, msg);
    ck_assert_uint_eq(m->n, 2); /* nobody had asked for the peer's word before */
    ck_assert_uint_eq(m->waiter[0].seq, START + 2);
    mem_free(m);
    UNTIL(__atomic_load_n(&d.state, __ATOMIC_ACQUIRE) == NODE_STANDBY);
    free_mail(&d.worker);
    actor_send(writer, a_write(&d, "k", "3", true));
    check_answer(&d, VERDICT_LOGGED, VERDICT_NONE);
    check_verdict(&d, VERDICT_KEPT); /* a log in memory */
    ck_assert_uint_eq(peer_hints(&d.own).bytes + peer_hints(&d.peer).bytes,
                      3 * (sizeof "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n0\r\n" - 1));
    d.store.last = START + 2;
    tell(&d, COME_BACK);
    check_batch(&d, START + 3, 2);
    ck_assert_int_eq(__atomic_load_n(&d.state, __ATOMIC_ACQUIRE), NODE_STANDBY);
    actor_send(writer, a_write(&d, "k", "4", true)); /* straight into the next batch */
    wait_for_gathering(&d);
    finish_batch_until(&d, 1);
    check_batch(&d, START + 5, 1);
    finish_batch_until(&d, 0);
    UNTIL(peers_own_is_current(&d.peers));
    struct hint_figures figures;
    hint_peer_figures(d.own.hints, &figures);
    ck_assert_uint_eq(figures.delivered, 3);
    ck_assert(!peer_needs_repair(&d.own));
    end_own(&d);
}
END_TEST

static size_t own_writes(const struct store_batch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->writes[i].source == 0;
    return n;
}

/* A peer that drains fills each batch by itself: the own log has a part in it all the same. */
START_TEST(replay_has_its_part_of_a_full_batch)
{
    struct desk d;
    start_own(&d);
    struct actor *writer = writer_actor(d.writer);
    tell(&d, BREAK);
    UNTIL(__atomic_load_n(&d.state, __ATOMIC_ACQUIRE) == NODE_STANDBY);
    for (int i = 0; i < 10000; i++)
        actor_send(writer, a_write(&d, "k", "0", true));
    UNTIL(own_pending(&d) == 10000);
    tell(&d, COME_BACK);
    UNTIL(at_store(&d));
    ck_assert_uint_gt(own_writes(at_store(&d)), 1000);
    greet(&d, ids[1]);
    wait_for_gathering(&d);
    tell(&d, FINISH);
    ck_assert(is_welcomed(&d, SOON_MS));
    UNTIL(at_store(&d));
    for (unsigned i = 1; i <= 5000; i++)
        send_write(&d, START + i);
    wait_for_gathering(&d);
    unsigned before = batches(&d);
    tell(&d, FINISH);
    UNTIL(batches(&d) > before);
    ck_assert_uint_gt(own_writes(at_store(&d)), 0);
    ck_assert_uint_lt(own_writes(at_store(&d)), at_store(&d)->n);
    end_own(&d);
}
END_TEST

/* A store without room keeps its log's order: nothing behind what it refuses is given to it. */
START_TEST(what_a_full_store_refuses_is_tried_again)
{
    struct desk d;
    start_own(&d);
    struct actor *writer = writer_actor(d.writer);
    actor_send(writer, a_write(&d, "k", "0", true));
    check_batch(&d, START + 1, 1);
    actor_send(writer, a_write(&d, "k", "1", true));
    wait_for_gathering(&d);
    tell(&d, REFUSE);
    check_answer(&d, VERDICT_LOGGED, VERDICT_NONE);
    check_answer(&d, VERDICT_LOGGED, VERDICT_NONE);
    ck_assert_ptr_null(at_store(&d));
    check_batch(&d, START + 1, 2); /* a second later */
    finish_batch_until(&d, 0);
    end_own(&d);
}
END_TEST

START_TEST(a_store_that_went_back_in_time_is_noticed)
{
    struct desk d;
    start_own(&d);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "0", true));
    check_batch(&d, START + 1, 1);
    finish_batch_until(&d, 0);
    tell(&d, BREAK);
    UNTIL(__atomic_load_n(&d.store.told, __ATOMIC_ACQUIRE) == NOTHING);
    tell(&d, COME_BACK); /* with what it had before */
    UNTIL(peer_needs_repair(&d.own));
    UNTIL(at_store(&d)); /* what nobody has any more is passed over */
    ck_assert_uint_eq(at_store(&d)->n, 1);
    ck_assert(at_store(&d)->writes[0].skip && at_store(&d)->writes[0].seq == START + 1);
    tell(&d, FINISH);
    UNTIL(!at_store(&d));
    actor_send(writer_actor(d.writer), a_write(&d, "k", "1", true));
    check_batch(&d, START + 2, 1);
    end_own(&d);
}
END_TEST

/* The own log's numbers run out like those of a peer's, also while the store is away. */
START_TEST(own_numbers_go_on_at_a_new_upper_half)
{
    struct desk d;
    open_desk_with(&d, memory_log_from(START + UINT32_MAX - 5));
    struct actor *writer = writer_actor(d.writer);
    UNTIL(at_store(&d)); /* a start: the numbers in between aren't used */
    ck_assert(at_store(&d)->n == 1 && at_store(&d)->writes[0].skip);
    tell(&d, FINISH);
    UNTIL(!at_store(&d));
    actor_send(writer, a_write(&d, "k", "0", true));
    check_batch(&d, START + UINT32_MAX - 4, 1);
    UNTIL(__atomic_load_n(&d.mark_wanted, __ATOMIC_ACQUIRE) == 8);
    __atomic_store_n(&d.me.start_mark, 8, __ATOMIC_RELEASE);
    finish_batch_until(&d, 0);
    tell(&d, BREAK);
    UNTIL(hint_log_appended(d.own.log).seq == (uint64_t)8 << 32);
    actor_send(writer, a_write(&d, "k", "1", true));
    UNTIL(own_pending(&d) == 1);
    d.store.last = START + UINT32_MAX - 4;
    tell(&d, COME_BACK);
    check_batch(&d, ((uint64_t)8 << 32) + 1, 1);
    finish_batch_until(&d, 0);
    ck_assert(!peer_needs_repair(&d.own));
    end_own(&d);
}
END_TEST

/* ---- heartbeats -------------------------------------------------------------------------------
 */

#define DAY_MS (86400 * (int64_t)1000)

static struct mail_beat *a_beat(void)
{
    struct mail_beat *m = MEM_NEW(struct mail_beat);
    m->msg.type = MAIL_BEAT;
    m->node = 1;
    return m;
}

static void beat(struct desk *d, uint64_t watermark)
{
    struct mail_beat *m = a_beat();
    m->has_watermark = true;
    m->watermark = watermark;
    actor_send(writer_actor(d->writer), &m->msg);
}

/* The peer's wall clock is so far ahead of ours. */
static void clock_beat(struct desk *d, int64_t ahead_ms)
{
    struct mail_beat *m = a_beat();
    m->has_clock = true;
    m->clock_ahead_ms = ahead_ms + (int64_t)(clock_wall_ms() - clock_steady_ms());
    actor_send(writer_actor(d->writer), &m->msg);
}

static uint64_t watermark(struct desk *d)
{
    return __atomic_load_n(&d->watermark, __ATOMIC_ACQUIRE);
}

static uint64_t forgotten(struct desk *d)
{
    return __atomic_load_n(&d->store.forgotten, __ATOMIC_ACQUIRE);
}

static uint64_t stamp_at_store(struct desk *d)
{
    return __atomic_load_n(&d->store.batch, __ATOMIC_ACQUIRE)->writes[0].stamp;
}

/* From its stamp until all have it, whether it lies at the store, in the log or both. */
START_TEST(the_watermark_stays_below_what_isnt_everywhere)
{
    struct desk d;
    open_desk(&d);
    clock_beat(&d, 0);
    UNTIL(watermark(&d) > (clock_wall_ms() - 1000) << 16);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "1", true));
    UNTIL(batches(&d) == 1);
    uint64_t stamp = stamp_at_store(&d);
    let_tick();
    ck_assert_uint_le(watermark(&d), stamp);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "2", true));
    tell(&d, FINISH);
    UNTIL(hint_log_appended(d.peer.log).records == 1 && batches(&d) == 2);
    uint64_t second = stamp_at_store(&d);
    let_tick();
    ck_assert_uint_eq(watermark(&d), stamp);
    hint_log_ack(d.peer.log, hint_log_appended(d.peer.log).seq);
    UNTIL(watermark(&d) == second);
    tell(&d, FINISH);
    UNTIL(hint_log_appended(d.peer.log).records == 2);
    let_tick();
    ck_assert_uint_eq(watermark(&d), second);
    hint_log_ack(d.peer.log, hint_log_appended(d.peer.log).seq);
    UNTIL(watermark(&d) > second);
    uint64_t promised = watermark(&d);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "3", true));
    UNTIL(batches(&d) == 3);
    ck_assert_uint_ge(stamp_at_store(&d), promised);
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* A peer's stamps may lie ahead of the bound from which the next start goes on: a higher one is
 * kept before such a stamp, or a watermark that high, is given. */
START_TEST(no_stamp_and_no_watermark_above_the_kept_bound)
{
    struct desk d;
    open_desk(&d);
    uint64_t bound = __atomic_load_n(&d.kept, __ATOMIC_ACQUIRE);
    greet(&d, ids[1]);
    ck_assert(is_welcomed(&d, SOON_MS));
    clock_beat(&d, 0);
    send_write_ahead(&d, START + 1, 8000);
    UNTIL(batches(&d) == 1);
    tell(&d, FINISH);
    let_tick();
    ck_assert_uint_gt(watermark(&d), (bound - 2000) << 16);
    ck_assert_uint_le(watermark(&d), bound << 16);
    ck_assert_uint_eq(__atomic_load_n(&d.n_kept, __ATOMIC_ACQUIRE), 0);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "1", true));
    actor_send(writer_actor(d.writer), a_write(&d, "k", "2", true));
    UNTIL(batches(&d) == 2);
    ck_assert_uint_ge(hlc_ms(stamp_at_store(&d)), bound);
    ck_assert_uint_gt(__atomic_load_n(&d.kept, __ATOMIC_ACQUIRE), hlc_ms(stamp_at_store(&d)));
    ck_assert_uint_eq(__atomic_load_n(&d.n_kept, __ATOMIC_ACQUIRE), 1);
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

START_TEST(what_all_members_have_passed_is_forgotten)
{
    struct desk d;
    open_desk(&d);
    clock_beat(&d, 0);
    let_tick();
    ck_assert_uint_eq(forgotten(&d), 0); /* the peer has said nothing yet */
    uint64_t low = (clock_wall_ms() - 5000) << 16;
    beat(&d, low);
    UNTIL(forgotten(&d) == low);
    beat(&d, UINT64_MAX);
    UNTIL(forgotten(&d) > low);
    ck_assert_uint_le(forgotten(&d), watermark(&d));
    beat(&d, low); /* it can't be taken back */
    let_tick();
    ck_assert_uint_gt(forgotten(&d), low);
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* A member that we don't hear may live, and go on making hints for us, each of which lives as long
 * as the first. */
START_TEST(a_member_that_is_away_may_hold_hints_yet)
{
    struct config c = config;
    struct peers peers = {.n = 3};
    struct pulse p;
    uint64_t start = clock_steady_ms(), mark = UINT64_MAX - 1;
    pulse_init(&p, &c, &peers);
    p.watermark = &mark;
    struct pulse_now now = {.wall_ms = start, .steady_ms = start};
    struct mail_beat m = {.node = 1, .has_watermark = true, .watermark = start << 16};
    pulse_heard(&p, &m, &now); /* the last that is heard of it */
    for (unsigned hours = 1; hours < 100; hours++) {
        now.wall_ms = now.steady_ms = start + hours * 3600000ull;
        m = (struct mail_beat){.node = 2, .has_watermark = true, .watermark = now.steady_ms << 16};
        pulse_heard(&p, &m, &now);
        uint64_t below = hlc_ms(pulse_forgettable(&p, true, &now));
        uint64_t oldest = now.steady_ms - DAY_MS; /* of its hints that haven't expired */
        ck_assert_msg(below <= (oldest > start ? oldest : start), "after %u hours", hours);
        ck_assert_uint_ge(below, oldest - 2 * PULSE_MARGIN_MS); /* it doesn't stay for ever */
    }
    pulse_fini(&p);
}
END_TEST

/* The next write that the worker gets back. */
static struct mail_write *answered(struct desk *d)
{
    uint64_t end = clock_mono_ms() + SOON_MS;
    while (clock_mono_ms() < end) {
        struct msg *m = mailbox_take(&d->worker.mailbox);
        if (m && m->type == MAIL_WRITE)
            return container_of_(m, struct mail_write, msg);
        if (m)
            free_message(m);
        else
            usleep(500);
    }
    ck_abort_msg("no answer");
    return NULL;
}

static void check_refused(struct desk *d, const char *text)
{
    actor_send(writer_actor(d->writer), a_write(d, "k", "1", true));
    struct mail_write *m = answered(d);
    ck_assert_int_eq(m->own_outcome, STORE_FAILED);
    buf_add(&m->own_reply, "", 1);
    const char *reply = (const char *)buf_head(&m->own_reply);
    ck_assert_msg(strstr(reply, text) != NULL, "%s", reply);
    ck_assert_ptr_nonnull(strstr(reply, "; allowed 10000 ms; nothing was written\r\n"));
    mail_write_free(m);
}

START_TEST(a_clock_that_is_off_refuses_writes)
{
    struct desk d;
    open_desk(&d);
    clock_beat(&d, -DAY_MS - 500);
    check_refused(&d, "-CLOCK this node's clock is 86400");
    check_refused(&d, " ms ahead of the median of its peers");
    UNTIL(__atomic_load_n(&d.clock_off, __ATOMIC_ACQUIRE) > DAY_MS - 1000);
    /* our watermark goes on with the peers' time, and takes no stamp to where the clock is */
    UNTIL(watermark(&d) > 0);
    let_tick();
    ck_assert_uint_lt(hlc_ms(watermark(&d)), clock_wall_ms() - DAY_MS / 2);
    clock_beat(&d, DAY_MS);
    check_refused(&d, " ms behind the median of its peers");
    ck_assert_uint_eq(batches(&d), 0);
    ck_assert_uint_eq(hint_log_appended(d.peer.log).records, 0);
    clock_beat(&d, 9000);
    actor_send(writer_actor(d.writer), a_write(&d, "k", "1", true));
    UNTIL(batches(&d) == 1);
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* Sends a write of the peer's, stamped so long ago; does it get into the store? */
static bool is_applied(struct desk *d, uint64_t seq, int64_t age_ms)
{
    struct slice argv[] = {slice_str("SET"), slice_str("k"), slice_str("v")};
    struct buf command = BUF_INIT, b = BUF_INIT;
    unsigned before = batches(d);
    resp_add_command(&command, argv, 3);
    frame_add(&b, &(struct frame){.kind = FRAME_WRITE,
                                  .seq = seq,
                                  .stamp = (clock_wall_ms() - (uint64_t)age_ms) << 16,
                                  .payload = buf_slice(&command)});
    struct mail_inbound *m = MEM_NEW(struct mail_inbound);
    m->msg.type = MAIL_INBOUND;
    m->link = (struct link_ref){.worker = &d->worker, .ticket = 5};
    m->node = 1;
    m->size = b.len;
    m->frames = blob_new(buf_head(&b), b.len);
    actor_send(writer_actor(d->writer), &m->msg);
    buf_fini(&command);
    buf_fini(&b);
    UNTIL(batches(d) == before + 1);
    bool skip = __atomic_load_n(&d->store.batch, __ATOMIC_ACQUIRE)->writes[0].skip;
    tell(d, FINISH);
    UNTIL(__atomic_load_n(&d->store.batch, __ATOMIC_ACQUIRE) == NULL);
    return !skip;
}

/* Hints live a day here, so that what is older by its own node's clock and may be forgotten is
 * refused. */
START_TEST(only_what_cant_be_judged_is_too_old)
{
    struct desk d;
    open_desk(&d);
    d.trusted = 1;
    greet(&d, ids[1]);
    ck_assert(is_welcomed(&d, SOON_MS));
    clock_beat(&d, 0);
    beat(&d, (clock_wall_ms() - 20 * 3600000) << 16);
    UNTIL(forgotten(&d) > (clock_wall_ms() - 21 * 3600000) << 16);
    ck_assert(is_applied(&d, START + 1, 0));
    ck_assert(is_applied(&d, START + 2, 24 * 3600000)); /* may be unguarded, but not expired */
    ck_assert(!is_applied(&d, START + 3, 26 * 3600000));
    ck_assert_uint_eq(PEER_LOAD(&d.peer, too_late), 1);
    clock_beat(&d, -2 * DAY_MS);
    ck_assert(is_applied(&d, START + 4, 2 * DAY_MS)); /* a live one of a clock that is behind */
    ck_assert(!is_applied(&d, START + 5, 4 * DAY_MS));
    ck_assert_uint_eq(PEER_LOAD(&d.peer, too_late), 2);
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* ---- a new node at another one's place --------------------------------------------------------
 */

static struct mail_replace *asked_to_replace(struct desk *d)
{
    uint64_t end = clock_mono_ms() + SOON_MS;
    while (clock_mono_ms() < end) {
        struct msg *m = mailbox_take(&d->sender.mailbox);
        if (m && m->type == MAIL_REPLACE)
            return container_of_(m, struct mail_replace, msg);
        if (m)
            free_message(m);
        else
            usleep(500);
    }
    ck_abort_msg("the sender isn't asked");
    return NULL;
}

static void say_replaced(struct desk *d, struct mail_replace *m, bool done)
{
    m->msg.type = MAIL_REPLACED;
    m->done = done;
    actor_send(writer_actor(d->writer), &m->msg);
}

static bool is_known(struct desk *d, const char *id)
{
    rcu_read_begin();
    bool is = strcmp(RCU_GET(d->topology)->nodes[1].id, id) == 0;
    rcu_read_end();
    return is;
}

START_TEST(a_newcomer_waits_for_the_log_and_is_welcomed)
{
    static const char newcomer[] = "33333333-3333-4333-8333-333333333333";
    struct desk d;
    open_desk(&d);
    greet(&d, newcomer);
    struct mail_replace *m = asked_to_replace(&d);
    ck_assert_str_eq(m->before, ids[1]);
    ck_assert_str_eq(m->id, newcomer);
    ck_assert(!is_welcomed(&d, 50));
    ck_assert(is_known(&d, ids[1]));
    say_replaced(&d, m, true);
    ck_assert(is_welcomed(&d, SOON_MS));
    ck_assert(is_known(&d, newcomer));
    ck_assert_str_eq(d.peer.log_name, newcomer);
    wait_for_gathering(&d); /* a third one is refused: this one is linked */
    ck_assert(is_known(&d, newcomer));
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

START_TEST(a_newcomer_without_the_log_is_refused)
{
    struct desk d;
    open_desk(&d);
    greet(&d, "33333333-3333-4333-8333-333333333333");
    say_replaced(&d, asked_to_replace(&d), false);
    wait_for_refusal(&d);
    ck_assert(is_known(&d, ids[1]));
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

/* Its last writes are at the store under its number: the newcomer's must not become that one. */
START_TEST(a_newcomer_waits_for_the_last_writes_of_the_one_before)
{
    struct desk d;
    open_desk(&d);
    greet(&d, ids[1]);
    ck_assert(is_welcomed(&d, SOON_MS));
    send_write(&d, START + 1);
    UNTIL(batches(&d) == 1);
    struct mail_link_gone *gone = MEM_NEW(struct mail_link_gone);
    gone->msg.type = MAIL_LINK_GONE;
    gone->link = (struct link_ref){.worker = &d.worker, .ticket = 5};
    gone->node = 1;
    actor_send(writer_actor(d.writer), &gone->msg);
    greet(&d, "33333333-3333-4333-8333-333333333333");
    wait_for_refusal(&d);
    tell(&d, FINISH);
    UNTIL(__atomic_load_n(&d.store.batch, __ATOMIC_ACQUIRE) == NULL);
    greet(&d, "33333333-3333-4333-8333-333333333333");
    say_replaced(&d, asked_to_replace(&d), true);
    ck_assert(is_welcomed(&d, SOON_MS));
    close_desk(&d);
    unit_hints_close(d.peer.hints);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, rcu_start, rcu_stop);
    tcase_set_timeout(c, 20);
    tcase_add_test(c, an_acknowledged_window_is_open);
    tcase_add_test(c, a_batch_gives_back_what_a_burst_took);
    tcase_add_test(c, a_batch_keeps_what_credit_is_due_for);
    tcase_add_test(c, word_to_a_sender_leaves_its_window_open);
    tcase_add_test(c, damage_after_the_open_is_counted);
    tcase_add_test(c, credit_comes_back_for_what_is_forgotten);
    tcase_add_test(c, greetings_are_answered_under_load);
    tcase_add_test(c, the_watermark_stays_below_what_isnt_everywhere);
    tcase_add_test(c, no_stamp_and_no_watermark_above_the_kept_bound);
    tcase_add_test(c, what_all_members_have_passed_is_forgotten);
    tcase_add_test(c, a_member_that_is_away_may_hold_hints_yet);
    tcase_add_test(c, a_clock_that_is_off_refuses_writes);
    tcase_add_test(c, only_what_cant_be_judged_is_too_old);
    tcase_add_test(c, a_newcomer_waits_for_the_log_and_is_welcomed);
    tcase_add_test(c, a_newcomer_without_the_log_is_refused);
    tcase_add_test(c, a_newcomer_waits_for_the_last_writes_of_the_one_before);
    tcase_add_test(c, writes_of_one_key_keep_their_order_over_a_lost_store);
    tcase_add_test(c, a_write_lies_in_all_logs_first);
    tcase_add_test(c, an_answer_says_nothing_of_the_write_before);
    tcase_add_test(c, what_a_lost_store_lacks_is_replayed);
    tcase_add_test(c, replay_has_its_part_of_a_full_batch);
    tcase_add_test(c, what_a_full_store_refuses_is_tried_again);
    tcase_add_test(c, a_store_that_went_back_in_time_is_noticed);
    tcase_add_test(c, own_numbers_go_on_at_a_new_upper_half);
    tcase_add_test(c, one_that_comes_back_waits_for_its_writes_at_the_store);
}

int main(void)
{
    return unit_main("writer", add_cases);
}
