/* Seeds: what counts as one in a text and in a DNS answer, and where they are kept. */
#include "core/mem.h"
#include "gossip/seed_list.h"
#include "gossip/seeds.h"
#include "unit.h"
#include <arpa/inet.h>

/* "host:port/rack/dc/tokens", one behind the other, and "+N" for what was passed over. */
static char *shown(struct seed_list *l)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < l->n; i++) {
        const struct config_seed *s = &l->seed[i];
        char address[ADDRESS_TEXT_SIZE];
        buf_printf(&b, "%s%s", i ? " " : "", seed_address(s, address));
        if (s->ntokens)
            buf_printf(&b, "/%s/%s", s->rack, s->datacenter);
        for (size_t k = 0; k < s->ntokens; k++)
            buf_printf(&b, "%c%u", k ? ',' : '/', s->tokens[k]);
    }
    if (l->bad)
        buf_printf(&b, "%s+%zu", l->n ? " " : "", l->bad);
    buf_add(&b, "", 1);
    char *out = mem_strdup((const char *)buf_head(&b));
    buf_fini(&b);
    seed_list_fini(l);
    return out;
}

static void expect(struct seed_list *l, const char *wanted)
{
    char *got = shown(l);
    ck_assert_str_eq(got, wanted);
    mem_free(got);
}

static void expect_text(const char *text, const char *wanted)
{
    struct seed_list l = SEED_LIST_INIT;
    seed_list_add_text(&l, slice_str(text));
    expect(&l, wanted);
}

/* ---- texts ------------------------------------------------------------------------------------
 */

START_TEST(a_list_is_separated_by_bars_or_lines)
{
    expect_text("", "");
    expect_text("h:1:r:d:7", "h:1/r/d/7");
    expect_text("h:1:r:d:7|i:2:r:d:8", "h:1/r/d/7 i:2/r/d/8");
    expect_text("h:1:r:d:7\ni:2:r:d:8\n", "h:1/r/d/7 i:2/r/d/8");
    expect_text(" h:1:r:d:7 |\r\n\t i:2:r:d:8,9 \r\n||\n", "h:1/r/d/7 i:2/r/d/8,9");
    expect_text("[::1]:8101:r:d:0", "[::1]:8101/r/d/0");
    expect_text("ec2-54-145-17-101.compute-1.example.com:8101:pds--useast1e:us-east-1:1383429731",
                "ec2-54-145-17-101.compute-1.example.com:8101/pds--useast1e/us-east-1/1383429731");
}
END_TEST

START_TEST(what_is_no_entry_is_passed_over)
{
    static const char *const bad[] = {
        "v=spf1 -all",
        "h",
        "h:1",
        "h:1:r:d",
        "h:0:r:d:7",
        "h:65536:r:d:7",
        "h:x:r:d:7",
        ":1:r:d:7",
        "h:1::d:7",
        "h:1:r::7",
        "h:1:r:d:",
        "h:1:r:d:x",
        "h:1:r:d:-1",
        "h:1:r:d:4294967296",
        "h:1:r:d:7,7",
        "/run/s:1:r:d:7",
        "h:1:r r:d:7",
        "::1:1:r:d:7",
        "300.1.1.1:1:r:d:7",
        "h\x01:1:r:d:7",
        "h:1:r\x7f:d:7",
        "h:1:r\xc3\xa9:d:7",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *both = mem_printf("%s|good:1:r:d:7", bad[i]);
        expect_text(bad[i], "+1");
        expect_text(both, "good:1/r/d/7 +1");
        mem_free(both);
    }
}
END_TEST

START_TEST(the_first_bad_entry_is_shown)
{
    struct seed_list l = SEED_LIST_INIT;
    seed_list_add_text(&l, slice_str("h:1:r:d:7|one|two"));
    ck_assert_uint_eq(l.bad, 2);
    ck_assert_str_eq(l.first.text,
                     "found one; allowed host:port:rack:dc:tokens, tokens comma separated");
    seed_list_fini(&l);
    seed_list_add_text(&l, slice_of("h:1:r:d:7\0|", 11));
    ck_assert_str_eq(l.first.text, "found an entry with characters that aren't plain");
    expect(&l, "+1");
}
END_TEST

START_TEST(an_address_comes_once)
{
    expect_text("h:1:r:d:7|H:1:r2:d2:8|h:2:r:d:9", "h:1/r/d/7 h:2/r/d/9");
    struct seed_list l = SEED_LIST_INIT, two = SEED_LIST_INIT;
    seed_list_add_text(&l, slice_str("h:1:r:d:7"));
    seed_list_add_text(&two, slice_str("h:1:q:q:9|i:1:q:q:8,9"));
    seed_list_add_all(&l, &two);
    seed_list_fini(&two);
    expect(&l, "h:1/r/d/7 i:1/q/q/8,9");
}
END_TEST

/* `text` over and over until it has so many bytes. */
static char *repeated(const char *text, size_t len)
{
    char *out = mem_calloc(len + 1, 1);
    for (size_t i = 0; i < len; i++)
        out[i] = text[i % strlen(text)];
    return out;
}

START_TEST(sizes_are_bounded)
{
    struct seed_list l = SEED_LIST_INIT;
    char *tokens = repeated("1", SEED_TEXT_MAX), *text = mem_printf("h:1:r:d:%s|i:1:r:d:1", tokens);
    expect_text(text, "i:1/r/d/1 +1");
    text[SEED_TEXT_MAX] = '|'; /* now it isn't too long, and still no number */
    expect_text(text, "i:1/r/d/1 +2");
    mem_free(text);
    mem_free(tokens);
    for (unsigned i = 0; i < SEED_LIST_MAX + 3; i++) {
        char one[40];
        snprintf(one, sizeof one, "h:%u:r:d:7", i + 1);
        seed_list_add_text(&l, slice_str(one));
    }
    ck_assert_uint_eq(l.n, SEED_LIST_MAX);
    ck_assert_uint_eq(l.bad, 3);
    ck_assert_str_eq(l.first.text, "too many seeds");
    seed_list_add_text(&l, slice_str("h:1:r:d:7")); /* one that it has isn't too many */
    ck_assert_uint_eq(l.bad, 3);
    seed_list_fini(&l);
}
END_TEST

START_TEST(addresses_are_written_as_they_are_dialled)
{
    struct seed_list l = SEED_LIST_INIT;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};
    ck_assert_int_eq(inet_pton(AF_INET, "10.0.0.7", &v4.sin_addr), 1);
    ck_assert_int_eq(inet_pton(AF_INET6, "fd00::7", &v6.sin6_addr), 1);
    seed_list_add_address(&l, (struct sockaddr *)&v4, 8101);
    seed_list_add_address(&l, (struct sockaddr *)&v6, 8101);
    seed_list_add_address(&l, (struct sockaddr *)&v4, 8101);
    seed_list_add_address(&l, &other, 8101);
    expect(&l, "10.0.0.7:8101 [fd00::7]:8101 +1");
}
END_TEST

/* ---- DNS answers ------------------------------------------------------------------------------
 */

static void add_u16(struct buf *b, unsigned v)
{
    uint8_t two[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    buf_add(b, two, 2);
}

/* A header with so many answers, and the question s. IN TXT. */
static void answer_begin(struct buf *b, unsigned answers)
{
    static const uint16_t id_flags_and_questions[] = {77, 0x8180, 1};
    for (size_t i = 0; i < ARRAY_LEN(id_flags_and_questions); i++)
        add_u16(b, id_flags_and_questions[i]);
    add_u16(b, answers);
    add_u16(b, 0);
    add_u16(b, 0);
    buf_add(b, "\1s\0\0\x10\0\1", 7);
}

/* A record of the question's name. */
static void answer_add(struct buf *b, unsigned type, unsigned class, const void *data, size_t n)
{
    buf_add(b, "\xc0\x0c", 2);
    add_u16(b, type);
    add_u16(b, class);
    buf_add(b, "\0\0\0\x05", 4);
    add_u16(b, (unsigned)n);
    buf_add(b, data, n);
}

static void expect_packet(struct buf *b, const char *wanted)
{
    struct seed_list l = SEED_LIST_INIT;
    struct error e = {""};
    ck_assert_msg(seed_list_add_txt(&l, buf_head(b), b->len, &e), "%s", e.text);
    buf_fini(b);
    expect(&l, wanted);
}

START_TEST(txt_records_are_lists)
{
    struct buf b = BUF_INIT;
    answer_begin(&b, 3);
    answer_add(&b, 16, 1, "\x09h:1:r:d:7", 10);
    answer_add(&b, 16, 1, "\x13i:1:r:d:7|j:1:r:d:8", 20);
    answer_add(&b, 16, 1, "\x0bv=spf1 -all", 12);
    expect_packet(&b, "h:1/r/d/7 i:1/r/d/7 j:1/r/d/8 +1");
    answer_begin(&b, 1);
    answer_add(&b, 16, 1, "\x04h:1:\0\x05r:d:7", 12); /* one text in three strings */
    expect_packet(&b, "h:1/r/d/7");
    answer_begin(&b, 0);
    expect_packet(&b, "");
}
END_TEST

START_TEST(other_records_are_none)
{
    struct buf b = BUF_INIT;
    answer_begin(&b, 4);
    answer_add(&b, 5, 1, "\xc0\x0c", 2);        /* CNAME */
    answer_add(&b, 16, 3, "\x09h:1:r:d:7", 10); /* of class CH */
    answer_add(&b, 1, 1, "\x0a\0\0\1", 4);      /* A */
    answer_add(&b, 16, 1, "\x09i:1:r:d:7", 10);
    expect_packet(&b, "i:1/r/d/7");
}
END_TEST

static void expect_malformed(const uint8_t *p, size_t n)
{
    struct seed_list l = SEED_LIST_INIT;
    struct error e = {""};
    uint8_t *exact = mem_alloc(n + 1); /* so that a checker sees a byte too far */
    memcpy(exact + 1, p, n);
    ck_assert(!seed_list_add_txt(&l, exact + 1, n, &e));
    ck_assert_str_eq(e.text, "found a malformed answer of the name server");
    ck_assert_uint_eq(l.n, 0);
    mem_free(exact);
    seed_list_fini(&l);
}

START_TEST(a_malformed_packet_adds_nothing)
{
    struct buf b = BUF_INIT;
    answer_begin(&b, 2);
    answer_add(&b, 16, 1, "\x09h:1:r:d:7", 10);
    answer_add(&b, 16, 1, "\x09i:1:r:d:7", 10);
    for (size_t n = 0; n < b.len; n++)
        expect_malformed(buf_head(&b), n);
    buf_fini(&b);
    answer_begin(&b, 1); /* a string that is longer than its record */
    answer_add(&b, 16, 1, "\x0ah:1:r:d:7", 10);
    expect_malformed(buf_head(&b), b.len);
    buf_fini(&b);
}
END_TEST

/* No byte of a packet makes it read outside of it; most make it no answer or no seed. */
START_TEST(a_damaged_packet_is_survived)
{
    srand(unit_seed());
    for (int round = 0; round < 20000; round++) {
        struct buf b = BUF_INIT;
        struct seed_list l = SEED_LIST_INIT;
        answer_begin(&b, 2);
        answer_add(&b, 16, 1, "\x09h:1:r:d:7", 10);
        answer_add(&b, 16, 1, "\x04i:1:\5r:d:7", 11);
        for (int k = 0; k < 1 + rand() % 4; k++)
            b.data[b.off + (size_t)rand() % b.len] = (uint8_t)rand();
        (void)!seed_list_add_txt(&l, buf_head(&b), b.len, NULL);
        ck_assert_uint_le(l.n, 2);
        seed_list_fini(&l);
        buf_fini(&b);
    }
}
END_TEST

/* ---- the simple provider -----------------------------------------------------------------------
 */

struct seen {
    struct seeds *seeds;
    uv_loop_t *loop;
    unsigned lookups;
    struct buf text;
};

static void see(void *arg, const char *address, const struct config_seed *seed)
{
    struct seen *s = arg;
    buf_printf(&s->text, "%s/%s ", address, seed->rack);
}

/* In a hurry it looks again at once, then at its interval: two lookups come soon, and no third. */
static void on_found(void *arg)
{
    struct seen *s = arg;
    s->lookups++;
    seeds_each(s->seeds, see, s);
    if (s->lookups == 1) {
        seeds_hurry(s->seeds, false);
        seeds_hurry(s->seeds, true);
        return;
    }
    uv_stop(s->loop);
}

START_TEST(dyn_seeds_are_there_without_this_node)
{
    struct config c = {.dyn_listen = (char *)(uintptr_t) "h:1"};
    uv_loop_t loop;
    struct seen seen = {.loop = &loop};
    struct seed_list l = SEED_LIST_INIT;
    ck_assert(seeds_none(&c));
    seed_list_add_text(&l, slice_str("h:1:r:d:7|h:2:r2:d:7|i:1:r3:d:8"));
    c.seeds = l.seed;
    c.nseeds = l.n;
    ck_assert(!seeds_none(&c));
    uv_loop_init(&loop);
    seen.seeds = seeds_new(&loop, &c, on_found, &seen);
    uv_run(&loop, UV_RUN_DEFAULT);
    seeds_stop(seen.seeds);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    buf_add(&seen.text, "", 1);
    ck_assert_str_eq((const char *)buf_head(&seen.text), "h:2/r2 i:1/r3 h:2/r2 i:1/r3 ");
    ck_assert_uint_eq(seen.lookups, 2);
    buf_fini(&seen.text);
    seed_list_fini(&l);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_test(c, a_list_is_separated_by_bars_or_lines);
    tcase_add_test(c, what_is_no_entry_is_passed_over);
    tcase_add_test(c, the_first_bad_entry_is_shown);
    tcase_add_test(c, an_address_comes_once);
    tcase_add_test(c, sizes_are_bounded);
    tcase_add_test(c, addresses_are_written_as_they_are_dialled);
    tcase_add_test(c, txt_records_are_lists);
    tcase_add_test(c, other_records_are_none);
    tcase_add_test(c, a_malformed_packet_adds_nothing);
    tcase_add_test(c, a_damaged_packet_is_survived);
    tcase_add_test(c, dyn_seeds_are_there_without_this_node);
}

int main(void)
{
    return unit_main("seeds", add_cases);
}
