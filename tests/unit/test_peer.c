/* The handshake without its I/O, and the verdicts that waiters get. */
#include "core/mem.h"
#include "peer/handshake.h"
#include "peer/waiters.h"
#include "unit.h"
#include "wire/frame.h"

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
    handshake_add_hello(&b, s, mine, 99);
    ck_assert(handshake_read_hello(payload(&b, FRAME_HELLO), &hello, &e));
    ck_assert_uint_eq(hello.hints_upto, 99);
    buf_reset(&b, 0);
    if (!handshake_check(r, at_r, &hello, &node, &e))
        no = "receiver";
    if (!no) {
        ck_assert_uint_eq(node, 0);
        handshake_add_challenge(&b, r, &hello, theirs);
        ck_assert(handshake_read_challenge(payload(&b, FRAME_CHALLENGE), &challenge, &e));
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
    struct identity a = who("id-a", "r1", ""), b = who("id-b", "r2", "");
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
    snprintf(a.id, sizeof a.id, "id-b"); /* a copied data_dir */
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

/* ---- waiters ------------------------------------------------------------------------------------
 */

static struct actor worker; /* only its mailbox is used */

static void add(struct waiters *w, uint64_t seq, bool late)
{
    waiters_add(
        w, &(struct mail_waiter){.seq = seq, .ticket = seq * 10, .worker = &worker, .late = late});
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
            snprintf(one, sizeof one, "%llu:%d%s ", (unsigned long long)v->v[i].ticket,
                     v->v[i].verdict, v->v[i].reply ? "r" : "");
            strcat(got, one);
            blob_unref(v->v[i].reply);
        }
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
    waiters_reply(&w, 3, 2, blob_new("+OK\r\n", 5));
    expect(&w, "20:5r ");
    waiters_settle(&w, 3, 2, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "10:5 ");
    waiters_settle_late(&w, 3, 5, VERDICT_DURABLE, REFUSAL_NONE);
    expect(&w, "40:3 ");
    waiters_settle(&w, 3, 9, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "30:5 50:5 ");
    waiters_settle(&w, 3, 9, VERDICT_APPLIED, REFUSAL_NONE);
    expect(&w, "");
    waiters_reply(&w, 3, 2, blob_new("+OK\r\n", 5)); /* nobody waits any more */
    expect(&w, "");
    ck_assert_uint_eq(w.n, 0);
    waiters_fini(&w);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, handshakes);
    tcase_add_test(c, malformed_greetings);
    tcase_add_test(c, verdicts_once_each_in_order);
}

int main(void)
{
    return unit_main("peer", add_cases);
}
