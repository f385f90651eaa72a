/* The handshake without its I/O, the verdicts that waiters get, reads that a link carries, and what
 * is said to a sender. */
#include "core/mem.h"
#include "peer/clocks.h"
#include "peer/handshake.h"
#include "peer/inbound.h"
#include "peer/reads.h"
#include "peer/waiters.h"
#include "peer/watermarks.h"
#include "request/sources.h"
#include "unit.h"
#include "wire/frame.h"

#define ID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"

static const uint32_t zero[] = {0};

static struct identity who(const char *id, const char *rack, const char *secret)
{
    struct identity me = {.start_mark = 7,
                          .cluster = "c",
                          .secret = secret,
                          .address = "127.0.0.1:1",
                          .datacenter = "d",
                          .rack = rack,
                          .data_store = "embedded",
                          .tokens = zero,
                          .ntokens = 1};
    snprintf(me.id, sizeof me.id, "%s", id);
    return me;
}

static struct topology *ring_of(unsigned self)
{
    struct error e;
    struct ring_node nodes[] = {
        {.address = "a:1", .datacenter = "d", .rack = "r1", .tokens = zero, .ntokens = 1},
        {.address = "b:1", .datacenter = "d", .rack = "r2", .tokens = zero, .ntokens = 1}};
    struct topology *t = topology_new(nodes, 2, self, &e);
    ck_assert_ptr_nonnull(t);
    return t;
}

static struct slice payload(struct buf *b, uint8_t kind)
{
    struct frame f;
    size_t size;
    ck_assert_int_eq(frame_parse(buf_head(b), b->len, HANDSHAKE_MAX, &f, &size), FRAME_OK);
    ck_assert_int_eq(f.kind, kind);
    ck_assert_uint_eq(size, b->len);
    return f.payload;
}

/* HELLO, CHALLENGE, PROOF between two identities; who says no? */
static const char *shake(const struct identity *s, const struct identity *r, char why[512])
{
    static struct greeting hello, challenge, proof;
    struct topology *at_s = ring_of(0), *at_r = ring_of(1);
    struct buf b = BUF_INIT;
    struct error e = {{0}};
    uint8_t mine[CHALLENGE_SIZE], theirs[CHALLENGE_SIZE];
    unsigned node;
    const char *no = NULL;
    handshake_challenge(mine);
    handshake_challenge(theirs);
    handshake_add_hello(&b, s, mine, 7ull << 32 | 99);
    ck_assert(handshake_read_hello(payload(&b, FRAME_HELLO), &hello, &e));
    ck_assert_uint_eq(hello.hints_upto, 7ull << 32 | 99);
    buf_reset(&b, 0);
    if (!handshake_check(r, at_r, &hello, &node, &e))
        no = "receiver";
    if (!no) {
        ck_assert_uint_eq(node, 0);
        handshake_add_challenge(&b, r, &hello, theirs);
        ck_assert(handshake_read_challenge(payload(&b, FRAME_CHALLENGE), &challenge, &e));
        ck_assert(challenge.unpacks);
        buf_reset(&b, 0);
        if (!handshake_check(s, at_s, &challenge, &node, &e) ||
            !handshake_proven(s, HANDSHAKE_RECEIVER, &challenge, challenge.id, mine,
                              challenge.challenge, &e))
            no = "sender";
    }
    if (!no) {
        handshake_add_proof(&b, s, challenge.id, mine, challenge.challenge);
        ck_assert(handshake_read_proof(payload(&b, FRAME_PROOF), &proof, &e));
        if (!handshake_proven(r, HANDSHAKE_SENDER, &proof, hello.id, theirs, hello.challenge, &e))
            no = "receiver";
    }
    snprintf(why, 512, "%s", e.text);
    buf_fini(&b);
    topology_free(at_s);
    topology_free(at_r);
    return no;
}

START_TEST(handshakes)
{
    char why[512];
    struct identity a = who(ID_A, "r1", ""), b = who(ID_B, "r2", "");
    ck_assert_ptr_null(shake(&a, &b, why));
    a.secret = b.secret = "s";
    ck_assert_ptr_null(shake(&a, &b, why));
    a.secret = "t";
    ck_assert_str_eq(shake(&a, &b, why), "sender");
    ck_assert_ptr_nonnull(strstr(why, "cluster_secret"));
    a.secret = "";
    ck_assert_str_eq(shake(&a, &b, why), "sender");
    a.secret = "s";
    b.secret = "";
    ck_assert_str_eq(shake(&a, &b, why), "sender");
    a.secret = "";
    a.cluster = "other";
    ck_assert_str_eq(shake(&a, &b, why), "receiver");
    ck_assert_ptr_nonnull(strstr(why, "'other' found; allowed 'c'"));
    a.cluster = "c";
    a.rack = "r9";
    ck_assert_str_eq(shake(&a, &b, why), "receiver");
    a.rack = "r1";
    snprintf(a.id, sizeof a.id, ID_B); /* a copied data_dir */
    ck_assert_str_eq(shake(&a, &b, why), "receiver");
    ck_assert_ptr_nonnull(strstr(why, "copied"));
}
END_TEST

START_TEST(malformed_greetings)
{
    static struct greeting g;
    struct error e;
    struct link_word w;
    unsigned seed = unit_seed();
    uint8_t junk[200];
    for (int i = 0; i < 20000; i++) {
        size_t n = (unsigned)rand_r(&seed) % sizeof junk;
        for (size_t k = 0; k < n; k++)
            junk[k] = (uint8_t)rand_r(&seed);
        struct slice s = slice_of(junk, n);
        ck_assert(!handshake_read_hello(s, &g, &e));
        (void)!handshake_read_challenge(s, &g, &e);
        (void)!handshake_read_proof(s, &g, &e);
        (void)!handshake_read_welcome(s, &w, &e);
        (void)!handshake_read_state(s, &w, &e);
    }
}
END_TEST

/* ---- what a peer may send -------------------------------------------------------------------- */

static bool hello_ok(const struct identity *me, uint64_t hints_upto, char why[512])
{
    static struct greeting g;
    static const uint8_t challenge[CHALLENGE_SIZE];
    struct buf b = BUF_INIT;
    struct error e = {{0}};
    handshake_add_hello(&b, me, challenge, hints_upto);
    bool ok = handshake_read_hello(payload(&b, FRAME_HELLO), &g, &e);
    snprintf(why, 512, "%s", e.text);
    buf_fini(&b);
    return ok;
}

START_TEST(greetings_with_nonsense)
{
    char why[512];
    struct identity a = who(ID_A, "r1", "");
    ck_assert(hello_ok(&a, 0, why));
    ck_assert(hello_ok(&a, (8ull << 32) - 1, why));
    ck_assert(!hello_ok(&a, 8ull << 32, why));
    ck_assert_ptr_nonnull(strstr(why, "hints up to 800000000 found, above its start mark 7"));
    a.start_mark = 1ull << 32;
    ck_assert(!hello_ok(&a, 0, why));
    ck_assert_ptr_nonnull(strstr(why, "start mark 4294967296 found; allowed at most 4294967295"));
    a = who("../../../../etc/a/very/bad/name/here", "r1", "");
    ck_assert(!hello_ok(&a, 0, why));
    ck_assert_ptr_nonnull(strstr(why, "allowed a UUID"));
    a = who("", "r1", "");
    ck_assert(!hello_ok(&a, 0, why));
}
END_TEST

static bool number_ok(uint8_t kind, uint64_t seq, const char *from, size_t n)
{
    struct error e = {{0}};
    struct frame f = {.kind = kind, .seq = seq, .payload = slice_of(from, n)};
    bool ok = inbound_number_ok(&f, 7, &e);
    ck_assert_int_eq(ok, e.text[0] == 0);
    return ok;
}

START_TEST(numbers_a_sender_can_have_given)
{
    static const char from_5[8] = {5}, from_huge[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
    ck_assert(number_ok(FRAME_WRITE, 1, "", 0));
    ck_assert(number_ok(FRAME_WRITE, (8ull << 32) - 1, "", 0));
    ck_assert(!number_ok(FRAME_WRITE, 8ull << 32, "", 0));
    ck_assert(!number_ok(FRAME_WRITE, UINT64_MAX, "", 0));
    ck_assert(number_ok(FRAME_SKIP, 6, from_5, 8));
    ck_assert(!number_ok(FRAME_SKIP, 5, from_5, 8));
    ck_assert(!number_ok(FRAME_SKIP, 6, from_huge, 8));
    ck_assert(!number_ok(FRAME_SKIP, 6, from_5, 7));
    ck_assert(!number_ok(FRAME_SKIP, 6, "", 0));
    ck_assert(!number_ok(FRAME_SKIP, 8ull << 32, from_5, 8));
}
END_TEST

static bool is_write(const char *line)
{
    struct resp_command cmd = {0};
    struct buf b = BUF_INIT;
    char copy[2000];
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (const char *p = line; *p; p++)
        n += *p == ' ';
    buf_printf(&b, "*%zu\r\n", n + 1);
    for (char *save, *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        buf_printf(&b, "$%zu\r\n%s\r\n", strlen(w), w);
    ck_assert(resp_command_parse(buf_slice(&b), &cmd));
    const struct command_spec *spec = command_find(cmd.argv[0]);
    ck_assert_ptr_nonnull(spec);
    bool yes = inbound_is_write(spec, &cmd);
    resp_command_fini(&cmd);
    buf_fini(&b);
    return yes;
}

START_TEST(writes_and_what_only_looks_like_one)
{
    static const char *const yes[] = {
        "SET k v",        "DEL k",          "INCR k",           "HSET h f v",
        "XADD s 1-1 f v", "GETEX k PXAT 1", "MSET a 1 b 2",     "SUNIONSTORE d a b",
        "FLUSHALL",       "SCRIPT LOAD x",  "FUNCTION DELETE l"};
    static const char *const no[] = {
        "GET k",
        "GETEX k",
        "SET k",
        "PING",
        "MULTI",
        "EXEC",
        "SCRIPT EXISTS x",
        "SCRIPT KILL",
        "DBSIZE",
        "SHUTDOWN",
        "BLPOP k 0",
        "SPOP s",
        "XADD s * f v",
        "SET __dynomited:seq 1",
        "DEL k __dynomited:seq",
        "SUNIONSTORE __dynomited:seq a b",
        "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 __dynomited:x 1"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        ck_assert_msg(is_write(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        ck_assert_msg(!is_write(no[i]), "%s", no[i]);
}
END_TEST

/* ---- waiters ------------------------------------------------------------------------------------
 */

static struct actor worker; /* only its mailbox is used */

static void add(struct waiters *w, uint64_t seq, bool late)
{
    waiters_add(
        w, &(struct mail_waiter){.seq = seq, .ticket = seq * 10, .worker = &worker, .hint = late});
}

static void expect(struct waiters *w, const char *text)
{
    char got[400] = "";
    waiters_flush(w);
    struct msg *m = mailbox_take(&worker.mailbox);
    if (m) {
        struct mail_verdicts *v = container_of_(m, struct mail_verdicts, msg);
        for (size_t i = 0; i < v->n; i++) {
            char one[40];
            struct slice reply = mail_verdict_reply(v, &v->v[i]);
            snprintf(one, sizeof one, "%llu:%d%.*s ", (unsigned long long)v->v[i].ticket,
                     v->v[i].verdict, (int)reply.len, (const char *)reply.ptr);
            strcat(got, one);
        }
        buf_fini(&v->replies);
        mem_free(v);
    }
    ck_assert_str_eq(got, text);
}

START_TEST(verdicts_once_each_in_order)
{
    struct waiters w = {0};
    mailbox_init(&worker.mailbox);
    for (uint64_t i = 1; i <= 5; i++)
        add(&w, i, i == 4);
    waiters_reply(&w, 3, 2, 2, slice_str("+OK"));
    expect(&w, "20:5+OK ");
    waiters_settle(&w, 3, 2, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "10:5 ");
    waiters_settle_hints(&w, 3, 5, VERDICT_DURABLE, REFUSAL_NONE);
    expect(&w, "40:3 ");
    waiters_settle(&w, 3, 9, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "30:5 50:5 ");
    waiters_settle(&w, 3, 9, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "");
    waiters_reply(&w, 3, 2, 2, slice_str("+OK")); /* nobody waits any more */
    expect(&w, "");
    ck_assert_uint_eq(w.n, 0);
    waiters_fini(&w);
}
END_TEST

START_TEST(one_reply_to_several_writes)
{
    struct waiters w = {0};
    mailbox_init(&worker.mailbox);
    for (uint64_t i = 1; i <= 6; i++)
        add(&w, i, false);
    waiters_reply(&w, 3, 2, 4, slice_str("+OK"));
    waiters_reply(&w, 3, 5, 5, slice_str(":7"));
    waiters_reply(&w, 3, 6, 6, slice_str("+OK"));
    ck_assert_uint_eq(w.out[0].mail->replies.len, 8); /* each that differs from the one before */
    expect(&w, "20:5+OK 30:5+OK 40:5+OK 50:5:7 60:5+OK ");
    waiters_settle(&w, 3, 6, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "10:5 ");
    waiters_fini(&w);
}
END_TEST

/* ---- what heartbeats tell ----------------------------------------------------------------------
 */

START_TEST(the_lowest_watermark_is_that_of_all_members)
{
    struct watermarks w;
    watermarks_init(&w, 4); /* this node is 1 */
    ck_assert_uint_eq(watermarks_lowest(&w, 1, 50), 0);
    watermarks_heard(&w, 0, 40);
    watermarks_heard(&w, 2, 30);
    ck_assert_uint_eq(watermarks_lowest(&w, 1, 50), 0);
    watermarks_heard(&w, 3, 60);
    ck_assert_uint_eq(watermarks_lowest(&w, 1, 50), 30);
    ck_assert_uint_eq(watermarks_lowest(&w, 1, 20), 20);
    watermarks_heard(&w, 2, 70);
    ck_assert_uint_eq(watermarks_lowest(&w, 1, 50), 40);
    watermarks_forget(&w, 3);
    ck_assert_uint_eq(watermarks_lowest(&w, 1, 50), 0);
    watermarks_fini(&w);
}
END_TEST

/* One wrong clock among three makes only its own node wrong. */
START_TEST(the_median_of_the_clocks)
{
    struct clocks c;
    const int64_t day = 86400000;
    clocks_init(&c, 6, 1000);
    clocks_settle(&c, 5000);
    ck_assert(!c.known);
    clocks_heard(&c, 0, day, 5000);
    clocks_settle(&c, 5000);
    ck_assert(c.known);
    ck_assert_int_eq(clocks_median(&c, 7), day);
    clocks_heard(&c, 1, 20, 5100);
    clocks_settle(&c, 5100);
    ck_assert_int_eq(clocks_median(&c, 7), 20);        /* we are right */
    ck_assert_int_eq(clocks_median(&c, day + 7), day); /* or the other one is */
    ck_assert_int_eq(clocks_median(&c, -day), 20);     /* neither is like us */
    ck_assert_int_eq(clocks_median(&c, 2 * day), day);
    clocks_heard(&c, 2, -30, 5200);
    clocks_settle(&c, 5200);
    ck_assert_int_eq(clocks_median(&c, day), 20);
    ck_assert_int_eq(clocks_median(&c, -day), 20);
    clocks_heard(&c, 0, day, 5300);
    clocks_settle(&c, 6150); /* 1 wasn't heard for too long */
    ck_assert_int_eq(clocks_median(&c, 0), -30);
    clocks_forget(&c, 2);
    clocks_settle(&c, 6150);
    ck_assert_int_eq(clocks_median(&c, 0), day);
    clocks_settle(&c, 6301);
    ck_assert(!c.known);
    ck_assert_int_eq(clocks_of(&c, 0), day);
    clocks_fini(&c);
}
END_TEST

/* ---- reads that a link carries ------------------------------------------------------------------
 */

START_TEST(carried_reads_are_found_by_id_once)
{
    struct carried c = {0};
    struct carried_read r;
    uint64_t id[200];
    for (uint64_t i = 0; i < 200; i++)
        id[i] = carried_put(&c, &(struct carried_read){.worker = &worker, .ticket = i});
    for (size_t i = 1; i < 200; i += 2) {
        ck_assert(carried_take(&c, id[i], &r));
        ck_assert_uint_eq(r.ticket, i);
        ck_assert(!carried_take(&c, id[i], &r));
    }
    ck_assert(!carried_take(&c, id[199] + 1, &r));
    for (size_t i = 0; i < 200; i += 2) {
        ck_assert(carried_pop(&c, &r));
        ck_assert_uint_eq(r.ticket, i);
    }
    ck_assert(!carried_pop(&c, &r));
    uint64_t fresh = carried_put(&c, &(struct carried_read){.worker = &worker, .ticket = 7});
    ck_assert_uint_gt(fresh, id[199]);
    ck_assert(!carried_take(&c, id[0], &r));
    ck_assert(carried_take(&c, fresh, &r));
    carried_fini(&c);
}
END_TEST

START_TEST(many_bytes_are_kept_without_a_copy)
{
    static uint8_t bytes[100000];
    struct mail_reads *m = NULL;
    struct read_item it;
    size_t at = 0;
    memset(bytes, 'x', sizeof bytes);
    reads_add(&m, &worker, 1, &(struct read_item){.ticket = 1, .bytes = slice_of(bytes, 10)});
    reads_add(&m, &worker, 1,
              &(struct read_item){.ticket = 2, .bytes = slice_of(bytes, sizeof bytes)});
    reads_add(&m, &worker, 1, &(struct read_item){.ticket = 3, .bytes = slice_of(bytes, 20)});
    struct blob *kept[3];
    for (uint64_t t = 1; t <= 3; t++) {
        ck_assert(reads_next(m, &at, &it));
        ck_assert_uint_eq(it.ticket, t);
        kept[t - 1] = read_item_keep(&it);
        if (t == 2)
            ck_assert_ptr_eq(kept[1]->data, it.bytes.ptr);
    }
    ck_assert(!reads_next(m, &at, &it));
    reads_free(m);
    static const size_t sizes[] = {10, sizeof bytes, 20};
    for (int i = 0; i < 3; i++) {
        ck_assert(slice_eq(blob_slice(kept[i]), slice_of(bytes, sizes[i])));
        blob_unref(kept[i]);
    }
}
END_TEST

/* ---- what is said to a sender -------------------------------------------------------------------
 */

#define WINDOW (4u << 20)

/* The frames that the link is given: kind:seq+more=payload. */
static void expect_said(struct sources *all, const char *text)
{
    char got[400] = "";
    sources_flush(all);
    struct msg *msg = mailbox_take(&worker.mailbox);
    struct mail_link *m = msg ? container_of_(msg, struct mail_link, msg) : NULL;
    while (m && m->frames.len) {
        struct frame f;
        size_t size;
        char one[60];
        ck_assert_int_eq(frame_parse(buf_head(&m->frames), m->frames.len, 1000, &f, &size),
                         FRAME_OK);
        snprintf(one, sizeof one, "%d:%llu+%llu=%.*s ", f.kind, (unsigned long long)f.seq,
                 (unsigned long long)f.stamp, (int)f.payload.len, (const char *)f.payload.ptr);
        strcat(got, one);
        buf_eat(&m->frames, size);
    }
    if (m)
        buf_fini(&m->frames);
    mem_free(m);
    ck_assert_str_eq(got, text);
}

/* Equal replies to writes that follow one another are one frame; none is given to a write that lies
 * between and asked for none, and each stands before the word that follows it. */
START_TEST(replies_go_out_in_runs)
{
    struct sources all;
    mailbox_init(&worker.mailbox);
    sources_init(&all, 1, WINDOW);
    struct source *s = &all.at[0];
    s->has_link = true;
    s->link.worker = &worker;
    for (uint64_t seq = 1; seq <= 3; seq++) {
        source_reply(s, seq, slice_str("+OK"));
        source_applied(s, seq);
    }
    expect_said(&all, "21:3+2=+OK 20:3+0= ");
    source_reply(s, 4, slice_str("+OK"));
    source_reply(s, 6, slice_str("+OK"));
    source_reply(s, 7, slice_str(":7"));
    source_stands_at(s, 7);
    ck_assert_int_eq(source_take(s, &(struct frame){.kind = FRAME_WRITE, .seq = 9}), NUMBER_GAP);
    source_reply(s, 8, slice_str(":7"));
    expect_said(&all, "21:4+0=+OK 21:6+0=+OK 21:7+0=:7 22:7+0= 21:8+0=:7 ");
    expect_said(&all, "");
    sources_fini(&all);
}
END_TEST

/* Where nobody waits for a reply, an acknowledgement is left until it is asked for, or until much
 * has gathered; a duplicate's isn't: its sender wants to know where it stands. */
START_TEST(acknowledgements_have_time_but_not_for_ever)
{
    struct sources all;
    mailbox_init(&worker.mailbox);
    sources_init(&all, 1, WINDOW);
    struct source *s = &all.at[0];
    s->has_link = true;
    s->link.worker = &worker;
    ck_assert(sources_flush(&all));
    source_stands_at(s, 0);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        ck_assert_int_eq(source_take(s, &(struct frame){.kind = FRAME_WRITE, .seq = seq}),
                         NUMBER_APPLY);
        source_applied(s, seq);
    }
    ck_assert(!sources_flush(&all));
    expect_said(&all, "");
    sources_acknowledge(&all);
    expect_said(&all, "20:2+0= ");
    ck_assert(sources_flush(&all));
    ck_assert_int_eq(source_take(s, &(struct frame){.kind = FRAME_WRITE, .seq = 1}),
                     NUMBER_DUPLICATE);
    expect_said(&all, "20:2+0= ");
    s->credit = 1;
    ck_assert_msg(!sources_flush(&all), "credit was given back at once; allowed later");
    s->credit = lazy_bytes(WINDOW);
    source_applied(s, 3);
    expect_said(&all, "20:3+0= ");
    ck_assert(sources_flush(&all));
    sources_fini(&all);
}
END_TEST

/* An acknowledgement that has time must not leave a sender standing before a full window. */
START_TEST(a_small_window_is_acknowledged_before_it_is_full)
{
    struct sources all;
    mailbox_init(&worker.mailbox);
    sources_init(&all, 1, 1024);
    struct source *s = &all.at[0];
    s->has_link = true;
    s->link.worker = &worker;
    s->credit = 600;
    source_applied(s, 3);
    expect_said(&all, "20:3+0= ");
    sources_fini(&all);
}
END_TEST

START_TEST(a_large_reply_leaves_no_memory)
{
    struct sources all;
    static const char large[100000];
    sources_init(&all, 1, WINDOW);
    source_reply(&all.at[0], 1, slice_of(large, sizeof large));
    ck_assert(sources_flush(&all)); /* there is no link: nobody is told */
    ck_assert_uint_le(all.at[0].run.reply.cap, 1000);
    ck_assert_uint_eq(all.at[0].out.cap, 0);
    sources_fini(&all);
}
END_TEST

START_TEST(membership_decides_what_is_shown)
{
    static const struct {
        enum node_state told, link;
        bool up;
        enum node_state shown;
    } cases[] = {
        {NODE_UNKNOWN, NODE_NORMAL, true, NODE_NORMAL},
        {NODE_UNKNOWN, NODE_DOWN, false, NODE_DOWN},
        {NODE_UNKNOWN, NODE_STANDBY, true, NODE_STANDBY},
        {NODE_NORMAL, NODE_NORMAL, true, NODE_NORMAL},
        {NODE_NORMAL, NODE_DOWN, false, NODE_NORMAL},
        {NODE_DOWN, NODE_NORMAL, true, NODE_DOWN},
        {NODE_STANDBY, NODE_NORMAL, true, NODE_STANDBY},
        {NODE_JOINING, NODE_NORMAL, true, NODE_JOINING},
        {NODE_LEAVING, NODE_STANDBY, true, NODE_LEAVING},
        {NODE_RESET, NODE_DOWN, false, NODE_RESET},
        /* its own word, newer */
        {NODE_NORMAL, NODE_STANDBY, true, NODE_STANDBY},
        {NODE_NORMAL, NODE_DOWN, true, NODE_DOWN},
        {NODE_JOINING, NODE_DOWN, true, NODE_DOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct peer p = {.state = cases[i].link,
                         .member_state = cases[i].told,
                         .link_up = cases[i].up,
                         .since_ms = 1,
                         .member_since_ms = 2};
        struct peer_shown got = peer_shown(&p);
        bool of_link = cases[i].told == NODE_UNKNOWN || i >= ARRAY_LEN(cases) - 3;
        ck_assert_msg(got.state == cases[i].shown, "case %zu: %s", i, node_state_name(got.state));
        ck_assert_uint_eq(got.since_ms, of_link ? 1 : 2);
    }
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, membership_decides_what_is_shown);
    tcase_add_test(c, handshakes);
    tcase_add_test(c, malformed_greetings);
    tcase_add_test(c, greetings_with_nonsense);
    tcase_add_test(c, numbers_a_sender_can_have_given);
    tcase_add_test(c, writes_and_what_only_looks_like_one);
    tcase_add_test(c, the_lowest_watermark_is_that_of_all_members);
    tcase_add_test(c, the_median_of_the_clocks);
    tcase_add_test(c, verdicts_once_each_in_order);
    tcase_add_test(c, one_reply_to_several_writes);
    tcase_add_test(c, carried_reads_are_found_by_id_once);
    tcase_add_test(c, many_bytes_are_kept_without_a_copy);
    tcase_add_test(c, replies_go_out_in_runs);
    tcase_add_test(c, acknowledgements_have_time_but_not_for_ever);
    tcase_add_test(c, a_small_window_is_acknowledged_before_it_is_full);
    tcase_add_test(c, a_large_reply_leaves_no_memory);
}

int main(void)
{
    return unit_main("peer", add_cases);
}
