/* What a node keeps about itself and its peers, and the needs-repair mark: read back, kept over
 * restarts, and refused with the reason when somebody damaged it. */
#include "core/clock.h"
#include "core/datadir.h"
#include "core/mem.h"
#include "hint/mark.h"
#include "peer/keep.h"
#include "unit.h"
#include <inttypes.h>
#include <unistd.h>

#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"
#define ID_C "cccccccc-0000-4000-8000-000000000003"

static char root[] = "/tmp/test_keep.XXXXXX";

static void make_root(void)
{
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *content, size_t n)
{
    struct error e;
    char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    ck_assert(file_replace(path, slice_of(content, n), &e));
}

static void expect_reason(const struct error *e, const char *file, const char *reason)
{
    ck_assert_msg(strstr(e->text, file) && strstr(e->text, reason) && !strchr(e->text, '\n'),
                  "%s; wanted %s", e->text, reason);
}

/* ---- the id -------------------------------------------------------------------------------------
 */

START_TEST(id_is_made_once)
{
    struct error e;
    char first[NODE_ID_SIZE], again[NODE_ID_SIZE];
    bool used = true;
    ck_assert(keep_load_id(root, first, &used, &e));
    ck_assert(!used);
    ck_assert(keep_is_id(first));
    ck_assert_int_eq(first[14], '4'); /* version */
    ck_assert(keep_load_id(root, again, &used, &e));
    ck_assert(used);
    ck_assert_str_eq(first, again);
    remove_root();
    make_root();
    ck_assert(keep_load_id(root, again, &used, &e));
    ck_assert(!used);
    ck_assert_str_ne(first, again);
}
END_TEST

START_TEST(id_damaged)
{
    static const char *const bad[] = {"",
                                      "\n",
                                      "short\n",
                                      ID_B "x\n",
                                      " " ID_B "\n",
                                      "BBBBBBBB-0000-4000-8000-00000000000Z\n",
                                      "../../../../../../../../../../../e/\n"};
    struct error e;
    char id[NODE_ID_SIZE] = "untouched";
    bool used = false;
    put("node_id", bad[_i], strlen(bad[_i]));
    ck_assert_msg(!keep_load_id(root, id, &used, &e), "took %s", bad[_i]);
    expect_reason(&e, "/node_id: found '", "allowed a UUID");
    ck_assert_str_eq(id, "untouched");
    put("node_id", ID_B, strlen(ID_B)); /* written by hand, without an end of line */
    ck_assert(keep_load_id(root, id, &used, &e));
    ck_assert_str_eq(id, ID_B);
}
END_TEST

/* ---- start mark and clock
 * -------------------------------------------------------------------------
 */

START_TEST(marks_grow_and_the_clock_is_kept)
{
    struct error e;
    uint64_t mark = 0, last, wall = clock_wall_ms();
    struct keep_start was = {.clock_ms = 7};
    ck_assert(keep_next_start(root, 0, &was, &mark, &e));
    ck_assert_uint_ge(mark, wall / 1000);
    ck_assert_uint_eq(was.clock_ms + was.mark + was.seen_ms, 0);
    last = mark;
    /* killed before it kept anything: the bound covers what it may have stamped meanwhile */
    ck_assert(keep_next_start(root, 0, &was, &mark, &e));
    ck_assert_uint_gt(mark, last);
    ck_assert_uint_gt(was.clock_ms, wall);
    ck_assert_uint_le(was.clock_ms, clock_wall_ms() + 10000); /* peers follow no further */
    was = (struct keep_start){.mark = mark, .clock_ms = wall + 3600000, .seen_ms = 99};
    ck_assert(keep_start(root, &was, &e)); /* the wall clock went back since */
    last = mark;
    for (int i = 0; i < 20; i++) {
        uint64_t before = was.clock_ms;
        ck_assert(keep_next_start(root, 0, &was, &mark, &e));
        ck_assert_uint_eq(mark, last + 1);
        ck_assert_uint_ge(was.clock_ms, wall + 3600000);
        ck_assert(i == 0 || was.clock_ms > before); /* each run has room of its own to count in */
        ck_assert_uint_eq(was.seen_ms, 99);
        last = mark;
    }
    ck_assert(keep_next_start(root, mark + 7, &was, &last, &e));
    ck_assert_uint_eq(last, mark + 7);
    ck_assert_uint_le(was.clock_ms, wall + 3600000 + 20 * 1000);
}
END_TEST

static const struct {
    const char *text, *reason;
} bad_starts[] = {{"", "cut off"},
                  {"12", "cut off"},
                  {"12 34", "cut off"},
                  {"12\n", "found '12'; allowed two or three numbers"},
                  {"12 \n", "allowed two or three numbers"},
                  {" 12 34\n", "allowed two or three numbers"},
                  {"-1 34\n", "allowed two or three numbers"},
                  {"12 -34\n", "allowed two or three numbers"},
                  {"12 34 56 78\n", "allowed two or three numbers"},
                  {"12 34 x\n", "allowed two or three numbers"},
                  {"12 34 \n", "allowed two or three numbers"},
                  {"1e3 34\n", "allowed two or three numbers"},
                  {"99999999999999999999 34\n", "allowed two or three numbers"},
                  {"4294967295 34\n", "start mark 4294967296 found; allowed at most 4294967295"}};

START_TEST(start_damaged)
{
    struct error e;
    uint64_t mark = 1;
    struct keep_start was = {.mark = 2};
    put("start", bad_starts[_i].text, strlen(bad_starts[_i].text));
    ck_assert_msg(!keep_next_start(root, 0, &was, &mark, &e), "took %s", bad_starts[_i].text);
    expect_reason(&e, "/start: ", bad_starts[_i].reason);
    ck_assert_uint_eq(mark, 1);
    ck_assert_uint_eq(was.mark, 2);
}
END_TEST

/* ---- peers
 * ------------------------------------------------------------------------------------------
 */

static const uint32_t one[] = {7}, two[] = {1, 4294967295u};

static void places(struct ring_node out[4])
{
    out[0] = (struct ring_node){
        .address = "a:1", .datacenter = "d", .rack = "r1", .tokens = one, .ntokens = 1};
    out[1] = (struct ring_node){
        .address = "b:1", .datacenter = "d", .rack = "r2", .tokens = two, .ntokens = 2};
    out[2] = (struct ring_node){
        .address = "c:1", .datacenter = "my dc", .rack = "r 3", .tokens = one, .ntokens = 1};
    out[3] = (struct ring_node){
        .address = "e:1", .datacenter = "d", .rack = "r4", .tokens = one, .ntokens = 1};
}

START_TEST(peers_are_found_by_their_places)
{
    struct error e;
    struct ring_node nodes[4];
    places(nodes);
    ck_assert(keep_load_peers(root, nodes, 4, 0, &e)); /* no file: nobody met */
    ck_assert_str_eq(nodes[1].id, "");
    memcpy(nodes[1].id, ID_B, sizeof ID_B);
    memcpy(nodes[2].id, ID_C, sizeof ID_C);
    struct topology *t = topology_new(nodes, 4, 0, &e);
    ck_assert(keep_peers(root, t, &e));
    topology_free(t);

    places(nodes);
    nodes[1].address = "elsewhere:9"; /* addresses change */
    ck_assert(keep_load_peers(root, nodes, 4, 0, &e));
    ck_assert_str_eq(nodes[0].id, "");
    ck_assert_str_eq(nodes[1].id, ID_B);
    ck_assert_str_eq(nodes[2].id, ID_C); /* blanks in names are no ends of words */
    ck_assert_str_eq(nodes[3].id, "");

    places(nodes);
    nodes[1].tokens = one; /* another place */
    nodes[1].ntokens = 1;
    ck_assert(keep_load_peers(root, nodes, 4, 0, &e));
    ck_assert_str_eq(nodes[1].id, "");
}
END_TEST

/* A node that the configuration doesn't name for a while is the same when it does again. */
START_TEST(peers_that_have_left_are_remembered)
{
    struct error e;
    struct ring_node nodes[4];
    places(nodes);
    memcpy(nodes[1].id, ID_B, sizeof ID_B);
    memcpy(nodes[2].id, ID_C, sizeof ID_C);
    struct topology *t = topology_new(nodes, 4, 0, &e);
    ck_assert(keep_peers(root, t, &e));
    topology_free(t);
    nodes[2] = nodes[3]; /* C isn't there */
    t = topology_new(nodes, 3, 0, &e);
    ck_assert(keep_peers(root, t, &e));
    topology_free(t);
    places(nodes);
    ck_assert(keep_load_peers(root, nodes, 4, 0, &e));
    ck_assert_str_eq(nodes[1].id, ID_B);
    ck_assert_str_eq(nodes[2].id, ID_C);
    memcpy(nodes[2].id, ID_B, sizeof ID_B); /* B moves to C's place: one line for each */
    nodes[1].id[0] = 0;
    t = topology_new(nodes, 4, 0, &e);
    ck_assert(keep_peers(root, t, &e));
    topology_free(t);
    places(nodes);
    ck_assert(keep_load_peers(root, nodes, 4, 0, &e));
    ck_assert_str_eq(nodes[1].id, "");
    ck_assert_str_eq(nodes[2].id, ID_B);
}
END_TEST

START_TEST(a_ring_is_read_back)
{
    struct error e;
    char path[100];
    struct ring_node nodes[4];
    struct topology *t, *back;
    snprintf(path, sizeof path, "%s/ring", root);
    ck_assert(keep_load_ring(path, &back, &e));
    ck_assert_ptr_null(back);
    places(nodes);
    memcpy(nodes[1].id, ID_B, sizeof ID_B);
    t = topology_new(nodes, 4, 0, &e);
    ck_assert(keep_ring(path, t, &e));
    ck_assert(keep_ring(path, t, &e));
    ck_assert_msg(keep_load_ring(path, &back, &e), "%s", e.text);
    ck_assert_uint_eq(back->n, 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_str_eq(back->nodes[i].id, t->nodes[i].id);
        ck_assert_str_eq(back->nodes[i].address, t->nodes[i].address);
        ck_assert_int_eq(topology_find_place(back, t->nodes[i].datacenter, t->nodes[i].rack,
                                             t->nodes[i].tokens, t->nodes[i].ntokens),
                         (int)i);
    }
    topology_free(t);
    topology_free(back);
}
END_TEST

START_TEST(a_damaged_ring_is_refused)
{
    static const char *const bad[] = {"",
                                      "-\ta:1\td\tr",
                                      "\n",
                                      "-\ta:1\td\tr\n",
                                      "x\ta:1\td\tr\t1\n",
                                      "-\ta:1\td\tr\t1,x\n",
                                      "-\ta:1\td\tr\t4294967296\n",
                                      "-\ta:1\td\tr\t1\n-\tb:1\td\tr\t1\n"};
    struct error e;
    char path[100];
    struct topology *t;
    snprintf(path, sizeof path, "%s/ring", root);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put("ring", bad[i], strlen(bad[i]));
        ck_assert_msg(!keep_load_ring(path, &t, &e), "took %zu", i);
        expect_reason(&e, "/ring: ", "");
        ck_assert_ptr_null(t);
    }
}
END_TEST

#define LINE ID_B " b:1 d r2 1,4294967295"
static const struct {
    const char *text;
    size_t n;
    const char *reason;
} bad_peers[] = {{"", 0, "cut off"},
                 {LINE, sizeof LINE - 1, "cut off"},
                 {LINE "\n" ID_C, sizeof LINE + sizeof ID_C - 1, "cut off"},
                 {"garbage\n", 8, "found 'garbage'; allowed id address datacenter rack tokens"},
                 {ID_B "\n", sizeof ID_B, "allowed id address"},
                 {ID_B " b:1\n", sizeof ID_B + 4, "allowed id address"},
                 {"../../etc/x b:1 d r2 1\n", 23, "allowed id address"},
                 {LINE "\n\0\n", sizeof LINE + 2, "a NUL byte"}};

START_TEST(peers_damaged)
{
    struct error e;
    struct ring_node nodes[4];
    places(nodes);
    put("peers", bad_peers[_i].text, bad_peers[_i].n);
    ck_assert_msg(!keep_load_peers(root, nodes, 4, 0, &e), "took %s", bad_peers[_i].text);
    expect_reason(&e, "/peers: ", bad_peers[_i].reason);
}
END_TEST

START_TEST(names_of_logs_of_places_never_met)
{
    char a[NODE_ID_SIZE], b[NODE_ID_SIZE];
    struct ring_node nodes[4];
    places(nodes);
    keep_new_name(&nodes[1], a);
    ck_assert_uint_eq(strlen(a), 4 + 16);
    ck_assert_int_eq(strncmp(a, "new-", 4), 0);
    keep_new_name(&nodes[1], b);
    ck_assert_str_eq(a, b);
    for (int i = 0; i < 4; i++) {
        keep_new_name(&nodes[i], b);
        ck_assert_int_eq(strcmp(a, b) == 0, i == 1);
    }
}
END_TEST

/* ---- the mark
 * ---------------------------------------------------------------------------------------
 */

START_TEST(mark_stays_with_its_first_reason)
{
    struct error e;
    struct buf b = BUF_INIT;
    char path[200];
    struct hint_mark *m = hint_mark_open(root);
    ck_assert_uint_eq(hint_mark_since(m), 0);
    ck_assert(hint_mark_set(m, 1000, "hints for it expired", &e));
    ck_assert(hint_mark_set(m, 2000, "another", &e));
    ck_assert_uint_eq(hint_mark_since(m), 1000);
    hint_mark_close(m);
    m = hint_mark_open(root);
    ck_assert_uint_eq(hint_mark_since(m), 1000);
    hint_mark_close(m);
    snprintf(path, sizeof path, "%s/needs-repair", root);
    ck_assert(file_read(path, 100, &b, NULL, &e));
    ck_assert(slice_eq(buf_slice(&b), slice_str("1000 hints for it expired\n")));
    buf_fini(&b);
    hint_mark_close(NULL);
}
END_TEST

START_TEST(mark_that_cant_be_read_is_one)
{
    static const char *const damaged[] = {"", "\n", "nonsense", "-"};
    put("needs-repair", damaged[_i], strlen(damaged[_i]));
    struct hint_mark *m = hint_mark_open(root);
    ck_assert_uint_ne(hint_mark_since(m), 0);
    hint_mark_close(m);
}
END_TEST

START_TEST(mark_without_a_disk_holds_and_is_tried_again)
{
    struct error e;
    char gone[200];
    snprintf(gone, sizeof gone, "%s/gone", root);
    struct hint_mark *m = hint_mark_open(gone);
    ck_assert_uint_eq(hint_mark_since(m), 0);
    ck_assert(!hint_mark_set(m, 1000, "why", &e));
    ck_assert_ptr_nonnull(strstr(e.text, "needs-repair"));
    ck_assert_uint_eq(hint_mark_since(m), 1000);
    (void)!hint_mark_keep(m, &e); /* still none */
    ck_assert(dir_make(gone, &e));
    (void)!hint_mark_keep(m, &e);
    (void)!hint_mark_keep(m, &e);
    hint_mark_close(m);
    m = hint_mark_open(gone);
    ck_assert_uint_eq(hint_mark_since(m), 1000);
    (void)!hint_mark_keep(m, &e);
    hint_mark_close(m);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_checked_fixture(c, make_root, remove_root);
    tcase_add_test(c, id_is_made_once);
    tcase_add_loop_test(c, id_damaged, 0, 7);
    tcase_add_test(c, marks_grow_and_the_clock_is_kept);
    tcase_add_loop_test(c, start_damaged, 0, ARRAY_LEN(bad_starts));
    tcase_add_test(c, peers_are_found_by_their_places);
    tcase_add_test(c, peers_that_have_left_are_remembered);
    tcase_add_test(c, a_ring_is_read_back);
    tcase_add_test(c, a_damaged_ring_is_refused);
    tcase_add_loop_test(c, peers_damaged, 0, ARRAY_LEN(bad_peers));
    tcase_add_test(c, names_of_logs_of_places_never_met);
    tcase_add_test(c, mark_stays_with_its_first_reason);
    tcase_add_loop_test(c, mark_that_cant_be_read_is_one, 0, 4);
    tcase_add_test(c, mark_without_a_disk_holds_and_is_tried_again);
}

int main(void)
{
    return unit_main("keep", add_cases);
}
