/* Conversations between workers, writer and senders: the real sender talks to a peer that the test
 * plays; the real writer to a worker and a sender that are bare mailboxes. */
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "peer.h"
#include "peer/reads.h"
#include "peer/sender.h"
#include "request/request.h"
#include "request/writer.h"
#include "store/store.h"
#include "unit.h"
#include "wire/frame.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define START   ((uint64_t)7 << 32)
#define SOON_MS 1500

static const char *const ids[] = {"11111111-1111-4111-8111-111111111111",
                                  "22222222-2222-4222-8222-222222222222"};
static const uint32_t zero[] = {0}, half[] = {1u << 31};
static char empty[] = "", no_tag[] = "";

static struct config config = {.gos_interval = 60000,
                               .timeout = 60000,
                               .send_window = 4u << 20,
                               .hint_ttl_seconds = 86400,
                               .hint_drain_interval_ms = 60000,
                               .enable_hinted_handoff = true,
                               .sloppy_quorum = true,
                               .hint_dir = empty,
                               .hash_tag = no_tag};

/* ---- a mailbox without a thread ---------------------------------------------------------------
 */

static void free_message(struct msg *m)
{
    mem_free(m);
}

static const struct actor_ops bare_ops = {.name = "bare", .drop = free_message};

static struct msg *take(struct actor *a, unsigned ms)
{
    uint64_t end = clock_mono_ms() + ms;
    struct msg *m;
    while (!(m = mailbox_take(&a->mailbox)) && clock_mono_ms() < end)
        usleep(500);
    return m;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    rmdir(path);
}

static struct identity who(int i, const char *rack)
{
    struct identity me = {.start_mark = 7,
                          .cluster = "c",
                          .secret = "",
                          .address = "127.0.0.1:1",
                          .datacenter = "d",
                          .rack = rack,
                          .data_store = "embedded",
                          .tokens = zero,
                          .ntokens = 1};
    snprintf(me.id, sizeof me.id, "%s", ids[i]);
    return me;
}

static struct topology *two_nodes(const char *address)
{
    struct error e;
    struct ring_node nodes[] = {
        {.address = "127.0.0.1:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = address, .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1}};
    memcpy(nodes[0].id, ids[0], NODE_ID_SIZE);
    memcpy(nodes[1].id, ids[1], NODE_ID_SIZE);
    struct topology *t = topology_new(nodes, 2, 0, &e);
    ck_assert_ptr_nonnull(t);
    return t;
}

static void give_log(struct peer *p, const char *dir)
{
    unit_give_hints(p, unit_hints(dir, "peer", NULL, START));
}

/* ---- a disk that can be held ------------------------------------------------------------------
 */

static int syncs, may_end = INT_MAX; /* atomic: calls that began, and how many may return */

int fdatasync(int fd)
{
    uint64_t end = clock_mono_ms() + 4 * SOON_MS;
    int n = __atomic_fetch_add(&syncs, 1, __ATOMIC_SEQ_CST);
    (void)fd;
    while (__atomic_load_n(&may_end, __ATOMIC_SEQ_CST) <= n && clock_mono_ms() < end)
        usleep(500);
    return 0;
}

static void let_end(int n)
{
    __atomic_store_n(&may_end, n, __ATOMIC_SEQ_CST);
}

static int syncs_begun(void)
{
    return __atomic_load_n(&syncs, __ATOMIC_SEQ_CST);
}

static bool is_synced_after(int before)
{
    uint64_t end = clock_mono_ms() + SOON_MS;
    while (syncs_begun() == before && clock_mono_ms() < end)
        usleep(500);
    return syncs_begun() > before;
}

/* ---- a sender, and the peer at its other end --------------------------------------------------
 */

struct scene {
    struct actor worker, writer;
    struct identity me, them;
    struct topology *topology;
    struct peer peer;
    struct sender *sender;
    uint32_t trusted;
    uint64_t watermark;
    int port, link;
    struct buf in;
    size_t used; /* of it: the frame heard last */
    unsigned writes_heard;
};

static void say(struct scene *s, const struct buf *b)
{
    ck_assert_int_eq(send(s->link, buf_head(b), b->len, 0), (ssize_t)b->len);
}

static void say_frame(struct scene *s, struct frame f)
{
    struct buf b = BUF_INIT;
    frame_add(&b, &f);
    say(s, &b);
    buf_fini(&b);
}

static void say_state(struct scene *s, bool up)
{
    struct buf b = BUF_INIT;
    handshake_add_state(&b, START, NODE_NORMAL, up);
    say(s, &b);
    buf_fini(&b);
}

/* The next frame of this kind; others are passed over. Its payload is in s->in. */
static struct frame hear(struct scene *s, uint8_t kind)
{
    struct frame f;
    for (;;) {
        size_t size;
        buf_eat(&s->in, s->used);
        s->used = 0;
        if (frame_parse(buf_head(&s->in), s->in.len, HANDSHAKE_MAX, &f, &size) == FRAME_OK) {
            s->used = size;
            s->writes_heard += f.kind == FRAME_WRITE;
            if (f.kind == kind)
                return f;
            continue;
        }
        ssize_t n = recv(s->link, buf_reserve(&s->in, 65536), 65536, 0);
        ck_assert_int_gt(n, 0);
        buf_commit(&s->in, (size_t)n);
    }
}

static void shake_hands(struct scene *s)
{
    static struct greeting hello;
    struct error e;
    struct buf b = BUF_INIT;
    uint8_t challenge[CHALLENGE_SIZE];
    s->link = accept(s->port, NULL, NULL);
    ck_assert_int_ge(s->link, 0);
    ck_assert(handshake_read_hello(hear(s, FRAME_HELLO).payload, &hello, &e));
    handshake_challenge(challenge);
    handshake_add_challenge(&b, &s->them, &hello, challenge);
    say(s, &b);
    buf_reset(&b, 0);
    hear(s, FRAME_PROOF);
    handshake_add_welcome(&b, START, NODE_NORMAL, true);
    say(s, &b);
    buf_fini(&b);
    while (!PEER_LOAD(&s->peer, link_up))
        usleep(500);
}

static void open_scene_on(struct scene *s, const char *hint_dir)
{
    struct error e;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char address[64];
    memset(s, 0, sizeof *s);
    s->port = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s->port, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(s->port, 4), 0);
    ck_assert_int_eq(getsockname(s->port, (struct sockaddr *)&a, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(a.sin_port));
    actor_init(&s->worker, &bare_ops, NULL);
    actor_init(&s->writer, &bare_ops, NULL);
    s->me = who(0, "r1");
    s->them = who(1, "r2");
    s->topology = two_nodes(address);
    s->peer = (struct peer){.node = 1, .log_name = address};
    give_log(&s->peer, hint_dir);
    struct sender_options o = {.config = &config,
                               .me = &s->me,
                               .topology = &s->topology,
                               .peer = &s->peer,
                               .hint_dir = hint_dir,
                               .writer = &s->writer,
                               .clock_trusted = &s->trusted,
                               .watermark = &s->watermark};
    s->sender = sender_start(&o, &e);
    ck_assert_ptr_nonnull(s->sender);
    shake_hands(s);
}

static void open_scene(struct scene *s)
{
    open_scene_on(s, NULL);
}

static void close_scene(struct scene *s)
{
    sender_stop(s->sender);
    sender_join(s->sender);
    sender_free(s->sender);
    for (struct msg *m; (m = mailbox_take(&s->writer.mailbox));)
        mem_free(m);
    for (struct msg *m; (m = mailbox_take(&s->worker.mailbox));)
        reads_free(container_of_(m, struct mail_reads, msg)); /* that end with the sender */
    peer_set_repair(&s->peer, 0, "");
    unit_hints_close(s->peer.hints);
    topology_free(s->topology);
    buf_fini(&s->in);
    close(s->link);
    close(s->port);
}

static uint64_t append(struct scene *s)
{
    struct frame f = {.kind = FRAME_WRITE, .stamp = 1, .payload = slice_str("x")};
    ck_assert_int_eq(hint_peer_append(s->peer.hints, &f, HINT_AS_LIVE), HINT_PUT_STORED);
    return f.seq;
}

static void tell_appended(struct scene *s, uint64_t upto, const struct mail_waiter *w)
{
    struct mail_appended *m = mem_calloc(1, sizeof *m + sizeof m->waiter[0]);
    m->msg.type = MAIL_APPENDED;
    m->upto = upto;
    m->n = w != NULL;
    if (w)
        m->waiter[0] = *w;
    actor_send(s->peer.sender, &m->msg);
}

static void send_read(struct scene *s, uint64_t ticket)
{
    struct mail_reads *m = NULL;
    reads_add(&m, &s->worker, 1,
              &(struct read_item){.ticket = ticket, .kind = FRAME_READ, .bytes = slice_str("GET")});
    reads_send(&m, s->peer.sender);
}

static uint64_t ask(struct scene *s, uint64_t ticket)
{
    send_read(s, ticket);
    return hear(s, FRAME_READ).seq;
}

/* The writer publishes a record before it tells who waits for it. A sender that is awake for
 * another reason must not send it yet: the answer would be there before the waiter is. */
START_TEST(an_ack_before_its_waiter_gives_a_verdict)
{
    struct scene s;
    open_scene(&s);
    struct frame f = {.kind = FRAME_WRITE, .stamp = 1, .payload = slice_str("x")};
    ck_assert_int_eq(hint_peer_append(s.peer.hints, &f, HINT_AS_LIVE), HINT_PUT_STORED);
    ask(&s, 1); /* wakes the sender; what it sent before the read would have been heard */
    ck_assert_uint_eq(s.writes_heard, 0);
    tell_appended(&s, f.seq, &(struct mail_waiter){.seq = f.seq, .ticket = 9, .worker = &s.worker});
    ck_assert_uint_eq(hear(&s, FRAME_WRITE).seq, f.seq);
    say_frame(&s, (struct frame){.kind = FRAME_ACK, .seq = f.seq});
    struct msg *m = take(&s.worker, SOON_MS);
    struct mail_verdicts *v = m ? container_of_(m, struct mail_verdicts, msg) : NULL;
    bool ok = v && v->n == 1 && v->v[0].ticket == 9 && v->v[0].verdict == VERDICT_APPLIED;
    if (v)
        buf_fini(&v->replies);
    mem_free(v);
    close_scene(&s);
    ck_assert_msg(ok, "the write is applied and nobody is told");
}
END_TEST

/* A run of replies up to a number that was never given would settle what wasn't even sent. */
START_TEST(replies_to_what_was_never_sent_are_not_believed)
{
    struct scene s;
    struct actor asker;
    open_scene(&s);
    actor_init(&asker, &bare_ops, NULL);
    uint64_t seq = append(&s);
    struct mail_waiter w = {.seq = seq, .ticket = 9, .worker = &asker};
    tell_appended(&s, seq, &w);
    ck_assert_uint_eq(hear(&s, FRAME_WRITE).seq, seq);
    say_frame(&s, (struct frame){.kind = FRAME_READ_REPLY, .seq = UINT64_MAX});
    say_frame(&s, (struct frame){.kind = FRAME_REPLY, .seq = 0, .stamp = UINT64_MAX});
    say_frame(&s, (struct frame){.kind = FRAME_REPLY, .seq = seq - 1, .stamp = UINT64_MAX});
    say_frame(&s, (struct frame){.kind = FRAME_REPLY, .seq = UINT64_MAX, .stamp = UINT64_MAX});
    say_frame(&s, (struct frame){.kind = FRAME_REPLY, .seq = seq, .payload = slice_str("+OK")});
    struct msg *m = take(&asker, SOON_MS);
    struct mail_verdicts *v = m ? container_of_(m, struct mail_verdicts, msg) : NULL;
    bool ok = v && v->n == 1 && v->v[0].verdict == VERDICT_APPLIED &&
              slice_eq(mail_verdict_reply(v, &v->v[0]), slice_str("+OK"));
    if (v)
        buf_fini(&v->replies);
    mem_free(v);
    close_scene(&s);
    ck_assert_msg(ok, "it isn't its own reply");
}
END_TEST

struct answer {
    uint64_t ticket;
    bool failed;
    char text[64];
};

/* The worker's next mail: one answer to a read. */
static struct answer take_answer(struct scene *s)
{
    struct msg *msg = take(&s->worker, SOON_MS);
    ck_assert_ptr_nonnull(msg);
    struct mail_reads *m = container_of_(msg, struct mail_reads, msg);
    struct read_item it;
    size_t at = 0;
    ck_assert(reads_next(m, &at, &it));
    struct answer a = {.ticket = it.ticket, .failed = it.failed};
    snprintf(a.text, sizeof a.text, "%.*s", (int)it.bytes.len, (const char *)it.bytes.ptr);
    ck_assert(!reads_next(m, &at, &it));
    reads_free(m);
    return a;
}

/* A reply that comes after its read was given up must not answer another read. */
START_TEST(a_late_read_reply_answers_no_other_read)
{
    struct scene s;
    open_scene(&s);
    uint64_t first = ask(&s, 1);
    say_state(&s, false);
    struct answer failed = take_answer(&s);
    ck_assert_uint_eq(failed.ticket, 1);
    ck_assert(failed.failed);
    say_state(&s, true);
    while (peer_state(&s.peer) != NODE_NORMAL)
        usleep(500);
    uint64_t second = ask(&s, 2);
    say_frame(&s, (struct frame){.kind = FRAME_READ_REPLY,
                                 .seq = first,
                                 .payload = slice_str("$3\r\nold\r\n")});
    say_frame(&s, (struct frame){.kind = FRAME_READ_REPLY,
                                 .seq = second,
                                 .payload = slice_str("$3\r\nnew\r\n")});
    struct answer r = take_answer(&s);
    ck_assert_uint_eq(r.ticket, 2);
    bool right = strcmp(r.text, "$3\r\nnew\r\n") == 0;
    close_scene(&s);
    ck_assert_msg(right, "the second read got the first one's value");
}
END_TEST

/* Reads of one turn come in one message, and so do the answers; in another order, if the peer has
 * it so. */
START_TEST(reads_of_a_turn_travel_together)
{
    struct scene s;
    struct mail_reads *m = NULL;
    uint64_t id[3];
    open_scene(&s);
    for (uint64_t t = 1; t <= 3; t++)
        reads_add(&m, &s.worker, 1,
                  &(struct read_item){.ticket = t, .kind = FRAME_READ, .bytes = slice_str("GET")});
    reads_send(&m, s.peer.sender);
    ck_assert_ptr_null(m);
    for (int i = 0; i < 3; i++)
        id[i] = hear(&s, FRAME_READ).seq;
    struct buf b = BUF_INIT;
    frame_add(&b, &(struct frame){.kind = FRAME_READ_REPLY, .seq = id[2], .stamp = 30, .tag = 7});
    frame_add(&b, &(struct frame){.kind = FRAME_READ_REPLY, .seq = id[0], .flags = FRAME_FAILED});
    frame_add(&b, &(struct frame){.kind = FRAME_READ_REPLY, .seq = id[0]}); /* twice */
    say(&s, &b);
    buf_fini(&b);
    m = container_of_(take(&s.worker, SOON_MS), struct mail_reads, msg);
    struct read_item it;
    size_t at = 0;
    ck_assert_uint_eq(m->node, 1);
    ck_assert(reads_next(m, &at, &it));
    ck_assert_uint_eq(it.ticket, 3);
    ck_assert(!it.failed && it.stamp == 30 && it.tag == 7);
    ck_assert(reads_next(m, &at, &it));
    ck_assert_uint_eq(it.ticket, 1);
    ck_assert(it.failed);
    ck_assert(!reads_next(m, &at, &it));
    reads_free(m);
    say_state(&s, false);
    struct answer last = take_answer(&s);
    ck_assert(last.failed);
    ck_assert_uint_eq(last.ticket, 2);
    close_scene(&s);
}
END_TEST

/* The sender has dealt with all of it when it answers. */
static void go_down(struct scene *s)
{
    say_state(s, false);
    while (!peer_hinting(&s->peer))
        usleep(500);
    send_read(s, 1);
    ck_assert(take_answer(s).failed);
}

/* The writer saw a peer that was up, and its record came behind the sync that made hints of what
 * lay there. It is one, too. */
START_TEST(what_was_appended_as_a_peer_went_down_is_synced)
{
    struct scene s;
    char dir[] = "/tmp/actors.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_scene_on(&s, dir);
    go_down(&s);
    int before = syncs_begun();
    tell_appended(&s, append(&s), NULL);
    bool ok = is_synced_after(before);
    close_scene(&s);
    remove_dir(dir);
    ck_assert_msg(ok, "the hint isn't on disk");
}
END_TEST

/* Without hinted handoff a log is dropped when its peer goes down. Who waits for a record of it,
 * but becomes known only then, hears that, and not that it is kept. */
START_TEST(what_was_dropped_isnt_kept)
{
    struct scene s;
    struct actor asker;
    actor_init(&asker, &bare_ops, NULL);
    config.enable_hinted_handoff = false;
    open_scene(&s);
    struct mail_waiter w = {.seq = append(&s), .ticket = 9, .worker = &asker};
    go_down(&s);
    tell_appended(&s, w.seq, &w);
    struct msg *m = take(&asker, SOON_MS);
    struct mail_verdicts *v = m ? container_of_(m, struct mail_verdicts, msg) : NULL;
    bool ok = v && v->n == 1 && v->v[0].verdict == VERDICT_REFUSED &&
              v->v[0].why == REFUSAL_DISABLED && v->v[0].ticket == 9;
    mem_free(v);
    w.seq = append(&s); /* the writer saw the peer up */
    tell_appended(&s, w.seq, &w);
    m = take(&asker, SOON_MS);
    v = m ? container_of_(m, struct mail_verdicts, msg) : NULL;
    ok &= v && v->n == 1 && v->v[0].verdict == VERDICT_REFUSED;
    mem_free(v);
    uint64_t pending = peer_hints(&s.peer).pending;
    close_scene(&s);
    config.enable_hinted_handoff = true;
    ck_assert_msg(ok, "it is said to be kept");
    ck_assert_uint_eq(pending, 0);
}
END_TEST

/* Nor does an answer wait that a peer gave which is up, and behind, so that its hints are synced.
 */
START_TEST(answers_to_reads_dont_wait_for_the_disk)
{
    struct scene s;
    char dir[] = "/tmp/actors.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_scene_on(&s, dir);
    go_down(&s);
    struct mail_waiter w = {.ticket = 9, .worker = &s.writer, .hint = true};
    int before = syncs_begun();
    let_end(before);
    w.seq = append(&s);
    tell_appended(&s, w.seq, &w);
    ck_assert(is_synced_after(before));
    w.seq = append(&s); /* this and the read wait for the sender's next turn */
    tell_appended(&s, w.seq, &w);
    send_read(&s, 2);
    let_end(before + 1);
    struct msg *answer = take(&s.worker, SOON_MS);
    let_end(INT_MAX);
    if (answer)
        reads_free(container_of_(answer, struct mail_reads, msg));
    close_scene(&s);
    remove_dir(dir);
    ck_assert_msg(answer, "it waits for the disk");
}
END_TEST

/* One read that a peer never answers doesn't cost memory for each that it answers after it. */
START_TEST(an_unanswered_read_is_given_up)
{
    struct scene s;
    uint64_t unanswered, id = 0;
    open_scene(&s);
    unanswered = ask(&s, 1);
    const unsigned turn = 1u << 14;
    for (uint64_t asked = 1; asked < CARRIED_MAX; asked += turn) {
        struct mail_reads *m = NULL;
        struct buf b = BUF_INIT;
        for (unsigned i = 0; i < turn; i++)
            reads_add(&m, &s.worker, 1, &(struct read_item){.ticket = 2, .kind = FRAME_READ});
        reads_send(&m, s.peer.sender);
        for (unsigned i = 0; i < turn; i++) {
            id = hear(&s, FRAME_READ).seq;
            frame_add(&b, &(struct frame){.kind = FRAME_READ_REPLY, .seq = id});
        }
        say(&s, &b);
        buf_fini(&b);
    }
    ck_assert_uint_ge(id - unanswered, CARRIED_MAX);
    bool failed = false;
    for (struct msg *msg; !failed && (msg = take(&s.worker, SOON_MS));) {
        struct mail_reads *m = container_of_(msg, struct mail_reads, msg);
        struct read_item it;
        for (size_t at = 0; reads_next(m, &at, &it);)
            failed |= it.ticket == 1 && it.failed;
        reads_free(m);
    }
    close_scene(&s);
    ck_assert_msg(failed, "it waits for ever");
}
END_TEST

/* ---- the writer --------------------------------------------------------------------------------
 */

struct desk {
    struct actor worker, sender;
    struct identity me;
    struct topology *topology;
    struct peer peer;
    struct peer *at[2];
    struct peers peers;
    struct store *store;
    struct writer *writer;
    uint32_t trusted, state;
    uint64_t now, mark_wanted, watermark;
    int64_t clock_off;
    char dir[64];
};

static void nobody(void *arg, const struct topology *t)
{
    (void)arg;
    (void)t;
}

static const uint64_t far_ahead = UINT64_MAX >> 16; /* of all stamps */

static void open_desk(struct desk *d)
{
    struct error e;
    memset(d, 0, sizeof *d);
    snprintf(d->dir, sizeof d->dir, "/tmp/actors.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(d->dir));
    actor_init(&d->worker, &bare_ops, NULL);
    actor_init(&d->sender, &bare_ops, NULL);
    d->me = who(0, "r1");
    d->topology = two_nodes("127.0.0.1:2");
    d->peer = (struct peer){.node = 1, .sender = &d->sender};
    give_log(&d->peer, NULL);
    d->at[1] = &d->peer;
    d->peers = (struct peers){.n = 2, .at = d->at};
    struct store_options so = {
        .data_dir = d->dir, .self_id = ids[0], .sync = SYNC_NEVER, .max_bytes = 16u << 20};
    d->store = store_open_embedded(&so, &e);
    ck_assert_ptr_nonnull(d->store);
    struct writer_options o = {.config = &config,
                               .me = &d->me,
                               .topology = &d->topology,
                               .peers = &d->peers,
                               .store = d->store,
                               .mark_wanted = &d->mark_wanted,
                               .mark_kept = &d->me.start_mark,
                               .clock_trusted = &d->trusted,
                               .own_state = &d->state,
                               .clock_now = &d->now,
                               .watermark = &d->watermark,
                               .clock_off = &d->clock_off,
                               .clock_kept = &far_ahead,
                               .met = nobody};
    d->writer = writer_start(&o, &e);
    ck_assert_ptr_nonnull(d->writer);
}

static void close_desk(struct desk *d)
{
    writer_stop(d->writer);
    writer_join(d->writer);
    writer_free(d->writer);
    store_close(d->store);
    unit_hints_close(d->peer.hints);
    topology_free(d->topology);
    remove_dir(d->dir);
}

static void greet(struct desk *d, uint64_t hints_upto)
{
    struct mail_greet *m = MEM_NEW(struct mail_greet);
    m->msg.type = MAIL_GREET;
    m->link = (struct link_ref){.worker = &d->worker, .ticket = 5};
    m->node = 1;
    snprintf(m->id, sizeof m->id, "%s", ids[1]);
    m->start_mark = 7;
    m->hints_upto = hints_upto;
    m->wall_ms = clock_wall_ms();
    actor_send(writer_actor(d->writer), &m->msg);
}

/* The link's next mail: its first frame's kind (0: none), and its credit. NULL out: not asked. */
static bool link_mail(struct desk *d, uint8_t *kind, size_t *credit)
{
    struct msg *msg = take(&d->worker, SOON_MS);
    if (!msg)
        return false;
    struct mail_link *m = container_of_(msg, struct mail_link, msg);
    struct frame f = {0};
    size_t size;
    if (m->frames.len)
        ck_assert_int_eq(frame_parse(buf_head(&m->frames), m->frames.len, HANDSHAKE_MAX, &f, &size),
                         FRAME_OK);
    if (kind)
        *kind = f.kind;
    if (credit)
        *credit = m->credit;
    buf_fini(&m->frames);
    mem_free(m);
    return true;
}

/* A frame on the link; its size. */
static size_t send_write(struct desk *d, uint64_t seq)
{
    struct slice argv[] = {slice_str("SET"), slice_str("k"), slice_str("v")};
    struct buf command = BUF_INIT, b = BUF_INIT;
    resp_add_command(&command, argv, 3);
    frame_add(&b, &(struct frame){
                      .kind = FRAME_WRITE, .seq = seq, .stamp = 1, .payload = buf_slice(&command)});
    struct mail_inbound *m = MEM_NEW(struct mail_inbound);
    m->msg.type = MAIL_INBOUND;
    m->link = (struct link_ref){.worker = &d->worker, .ticket = 5};
    m->node = 1;
    m->size = b.len;
    m->frames = blob_new(buf_head(&b), b.len);
    actor_send(writer_actor(d->writer), &m->msg);
    size_t size = b.len;
    buf_fini(&command);
    buf_fini(&b);
    return size;
}

/* A sender waits for WELCOME and takes anything before it for a foreign protocol. */
START_TEST(welcome_is_the_first_word)
{
    struct desk d;
    open_desk(&d);
    uint8_t kind = 0;
    greet(&d, START + 10); /* it names hints: this node becomes STANDBY */
    ck_assert(link_mail(&d, &kind, NULL));
    close_desk(&d);
    ck_assert_msg(kind == FRAME_WELCOME, "frame kind %u comes before it", kind);
}
END_TEST

/* Frames of which nothing is taken are dealt with, too: else the link stays paused. */
START_TEST(credit_comes_back_for_what_isnt_taken)
{
    struct desk d;
    open_desk(&d);
    greet(&d, 0);
    uint8_t kind = 0;
    ck_assert(link_mail(&d, &kind, NULL));
    ck_assert_uint_eq(kind, FRAME_WELCOME);
    size_t want = send_write(&d, START + 100), credit = 0, sum = 0; /* a gap */
    while (sum < want && link_mail(&d, NULL, &credit))
        sum += credit;
    close_desk(&d);
    ck_assert_uint_eq(sum, want);
}
END_TEST

/* What a peer calls itself stands in data_dir/peers, where only a UUID can be read back: with
 * another the next start fails. */
START_TEST(a_node_id_is_a_uuid)
{
    static const char *const bad[] = {"", "two words", "a\nb", "not-a-uuid"};
    static struct greeting g;
    struct error e;
    unsigned node, taken = 0;
    struct topology *t = two_nodes("127.0.0.1:2");
    t->nodes[1].id[0] = 0; /* not met yet */
    struct identity me = who(0, "r1"), them = who(1, "r2");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t challenge[CHALLENGE_SIZE] = {0};
        struct buf b = BUF_INIT;
        struct frame f;
        size_t size;
        snprintf(them.id, sizeof them.id, "%s", bad[i]);
        handshake_add_hello(&b, &them, challenge, 0);
        ck_assert_int_eq(frame_parse(buf_head(&b), b.len, HANDSHAKE_MAX, &f, &size), FRAME_OK);
        taken += handshake_read_hello(f.payload, &g, &e) && handshake_check(&me, t, &g, &node, &e);
        buf_fini(&b);
    }
    topology_free(t);
    ck_assert_uint_eq(taken, 0);
}
END_TEST

/* ---- a request ---------------------------------------------------------------------------------
 */

static void keep_reply(void *arg, const struct request_result *r)
{
    snprintf(arg, 200, "%.*s", (int)r->reply.len, (const char *)r->reply.ptr);
}

/* The key's replicas are three other nodes: one log took the write, two refused it. */
static void refused_by_two(char reply[200])
{
    struct error e;
    struct actor worker, writer;
    struct ring_node nodes[] = {
        {.address = "a:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "b:1", .datacenter = "d", .rack = "r1", .tokens = half, .ntokens = 1},
        {.address = "c:1", .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1},
        {.address = "d:1", .datacenter = "d", .rack = "r3", .tokens = zero, .ntokens = 1}};
    struct topology *t = topology_new(nodes, 4, 0, &e);
    struct peer peer[4];
    struct peer *at[4] = {NULL};
    uint32_t own_state = NODE_NORMAL;
    for (unsigned i = 1; i < 4; i++) {
        peer[i] = (struct peer){.node = i, .link_up = 1, .state = NODE_NORMAL};
        give_log(&peer[i], NULL);
        hint_peer_set_hinting(peer[i].hints, false);
        at[i] = &peer[i];
    }
    struct peers peers = {.n = 4, .at = at};
    actor_init(&worker, &bare_ops, NULL);
    actor_init(&writer, &bare_ops, NULL);
    struct requests rs = {.worker = &worker,
                          .writer = &writer,
                          .config = &config,
                          .topology = &t,
                          .peers = &peers,
                          .own_state = &own_state,
                          .hash = HASH_MURMUR};
    char key[16] = "";
    for (int i = 0; i == 0 || request_token(&rs, slice_str(key)) - 1 >= 1u << 31; i++)
        snprintf(key, sizeof key, "k%d", i); /* until it is the second node's */
    struct slice argv[] = {slice_str("SET"), slice_str(key), slice_str("v")};
    struct resp_command cmd = {.argv = argv, .argc = 3};
    struct operation op = {.spec = command_find(argv[0]),
                           .cmd = &cmd,
                           .level = CONSISTENCY_DC_QUORUM,
                           .token = request_token(&rs, argv[1]),
                           .done = keep_reply,
                           .arg = reply};
    struct mail_write *m = requests_new_mail(&rs);
    buf_add_str(&m->command, "x");
    request_write(&rs, &op, m);
    ck_assert_ptr_eq(container_of_(take(&writer, 0), struct mail_write, msg), m);
    ck_assert_uint_eq(m->nreplicas, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_ne(m->replica[i].node, 0);
        m->replica[i].verdict = i ? VERDICT_REFUSED : VERDICT_NONE;
        m->replica[i].why = i ? REFUSAL_FULL : REFUSAL_NONE;
    }
    request_mail_write(&rs, m);
    requests_fini(&rs);
    for (unsigned i = 1; i < 4; i++)
        unit_hints_close(peer[i].hints);
    topology_free(t);
}

START_TEST(nothing_was_written_is_said_only_when_it_is_true)
{
    char reply[200] = "";
    refused_by_two(reply);
    ck_assert_msg(strncmp(reply, "-NOHINT", 7) == 0, "%s", reply);
    ck_assert_msg(strstr(reply, "it took effect on some"), "%s", reply);
}
END_TEST

/* A turn takes longer than a request may: what begins late in it has its time all the same. */
START_TEST(a_request_has_its_time_in_a_long_turn)
{
    struct error e;
    char reply[200] = "", key[16] = "";
    struct actor worker;
    struct ring_node nodes[] = {
        {.address = "a:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "b:1", .datacenter = "d", .rack = "r1", .tokens = half, .ntokens = 1}};
    struct topology *t = topology_new(nodes, 2, 0, &e);
    struct peer peer = {.node = 1, .link_up = 1, .state = NODE_NORMAL};
    struct peer *at[] = {NULL, &peer};
    struct peers peers = {.n = 2, .at = at};
    struct stats stats = {0};
    struct config c = config;
    give_log(&peer, NULL);
    c.timeout = 50;
    struct requests rs = {.worker = &worker,
                          .config = &c,
                          .topology = &t,
                          .peers = &peers,
                          .stats = &stats,
                          .hash = HASH_MURMUR};
    for (int i = 0; i == 0 || request_token(&rs, slice_str(key)) - 1 >= 1u << 31; i++)
        snprintf(key, sizeof key, "k%d", i); /* until it is the other node's */
    struct slice argv[] = {slice_str("GET"), slice_str(key)};
    struct resp_command cmd = {.argv = argv, .argc = 2};
    struct operation op = {.spec = command_find(argv[0]),
                           .cmd = &cmd,
                           .token = request_token(&rs, argv[1]),
                           .prefer = -1,
                           .done = keep_reply,
                           .arg = reply};
    actor_init(&worker, &bare_ops, NULL);
    ck_assert_int_eq(uv_loop_init(&worker.loop), 0); /* the turn begins */
    usleep(2 * c.timeout * 1000);
    request_read(&rs, &op);
    requests_tick(&rs, clock_mono_ms());
    bool lives = rs.oldest != NULL;
    requests_end(&rs);
    requests_fini(&rs);
    uv_loop_close(&worker.loop);
    unit_hints_close(peer.hints);
    topology_free(t);
    ck_assert_msg(lives, "%s", reply);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, rcu_start, rcu_stop);
    tcase_set_timeout(c, 20);
    tcase_add_test(c, an_ack_before_its_waiter_gives_a_verdict);
    tcase_add_test(c, a_late_read_reply_answers_no_other_read);
    tcase_add_test(c, reads_of_a_turn_travel_together);
    tcase_add_test(c, replies_to_what_was_never_sent_are_not_believed);
    tcase_add_test(c, an_unanswered_read_is_given_up);
    tcase_add_test(c, what_was_appended_as_a_peer_went_down_is_synced);
    tcase_add_test(c, what_was_dropped_isnt_kept);
    tcase_add_test(c, answers_to_reads_dont_wait_for_the_disk);
    tcase_add_test(c, welcome_is_the_first_word);
    tcase_add_test(c, credit_comes_back_for_what_isnt_taken);
    tcase_add_test(c, a_node_id_is_a_uuid);
    tcase_add_test(c, a_request_has_its_time_in_a_long_turn);
    tcase_add_test(c, nothing_was_written_is_said_only_when_it_is_true);
}

int main(void)
{
    return unit_main("actors", add_cases);
}
