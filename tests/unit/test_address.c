/* Addresses: what is one, what isn't, and that the text form reads back. */
#include "core/address.h"
#include "core/compiler.h"
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

START_TEST(accepts_and_reads_back)
{
    static const char *const good[] = {"127.0.0.1:8102",
                                       "localhost:1",
                                       "node-1.example_x:65535",
                                       "[::1]:8101",
                                       "[fe80::1%eth0]:9",
                                       "/run/x.sock",
                                       "./x.sock",
                                       "a/b:80"};
    const char *text = good[_i];
    struct address a, again;
    char out[ADDRESS_TEXT_SIZE];
    ck_assert(address_parse(text, 0, &a, NULL));
    address_format(&a, out, sizeof out);
    ck_assert_str_eq(out, text);
    ck_assert(address_parse(out, 0, &again, NULL));
    ck_assert_mem_eq(&a, &again, sizeof a);
    ck_assert_int_eq(a.kind, strchr(text, '/') ? ADDRESS_UNIX : ADDRESS_TCP);
}
END_TEST

START_TEST(refuses)
{
    static const char *const bad[] = {"",
                                      ":80",
                                      "host",
                                      "host:",
                                      "host:0",
                                      "host:65536",
                                      "host:-1",
                                      "host:1x",
                                      "host: 1",
                                      "host:+1",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[]:80",
                                      "[host]:80",
                                      "300.1.1.1:80",
                                      "1.2.3:80",
                                      "a b:80",
                                      "h:99999999999999999999",
                                      "[::1:80",
                                      "[:80"};
    struct address a;
    struct error e;
    ck_assert_msg(!address_parse(bad[_i], 0, &a, &e), "took %s", bad[_i]);
    ck_assert_ptr_nonnull(strstr(e.text, "; allowed host:port"));
}
END_TEST

START_TEST(takes_apart)
{
    struct address a;
    ck_assert(address_parse("[2001:db8::7]:8101", 0, &a, NULL));
    ck_assert_str_eq(a.host, "2001:db8::7");
    ck_assert_uint_eq(a.port, 8101);
}
END_TEST

START_TEST(flags_decide)
{
    struct address a;
    struct error e;
    ck_assert(address_parse("127.0.0.1:0", ADDRESS_PORT_ZERO, &a, NULL));
    ck_assert_uint_eq(a.port, 0);
    ck_assert(!address_parse("/x.sock", ADDRESS_TCP_ONLY, &a, &e));
    ck_assert_str_eq(e.text, "found /x.sock; allowed host:port or [ipv6]:port with port 1..65535");
    ck_assert(!address_parse("x", ADDRESS_PORT_ZERO, &a, &e));
    ck_assert_str_eq(e.text, "found x; allowed host:port or [ipv6]:port with port 0..65535, or a "
                             "unix socket path of at most 107 bytes");
}
END_TEST

START_TEST(lengths_end_where_they_should)
{
    struct address a;
    char text[400], out[ADDRESS_TEXT_SIZE];
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[107] = 0;
    ck_assert(address_parse(text, 0, &a, NULL));
    text[107] = 'a';
    text[108] = 0;
    ck_assert(!address_parse(text, 0, &a, NULL));

    memset(text, 'a', sizeof text);
    memcpy(text + 255, ":65535", 7);
    ck_assert(address_parse(text, 0, &a, NULL));
    address_format(&a, out, sizeof out);
    ck_assert_str_eq(out, text);
    memset(text, 'a', sizeof text);
    memcpy(text + 256, ":65535", 7);
    ck_assert(!address_parse(text, 0, &a, NULL));
}
END_TEST

static bool loopback(const char *text)
{
    struct address a;
    ck_assert(address_parse(text, 0, &a, NULL));
    return address_is_loopback(&a);
}

START_TEST(knows_loopback)
{
    ck_assert(loopback("127.0.0.1:1"));
    ck_assert(loopback("127.9.8.7:1"));
    ck_assert(loopback("[::1]:1"));
    ck_assert(loopback("LocalHost:1"));
    ck_assert(loopback("/x"));
    ck_assert(!loopback("0.0.0.0:1"));
    ck_assert(!loopback("128.0.0.1:1"));
    ck_assert(!loopback("[::]:1"));
    ck_assert(!loopback("example:1"));
}
END_TEST

static bool any(const char *text)
{
    struct address a;
    ck_assert(address_parse(text, 0, &a, NULL));
    return address_is_any(&a);
}

START_TEST(knows_what_cant_be_dialled)
{
    ck_assert(any("0.0.0.0:1"));
    ck_assert(any("[::]:1"));
    ck_assert(!any("127.0.0.1:1"));
    ck_assert(!any("[::1]:1"));
    ck_assert(!any("example:1"));
    ck_assert(!any("/x"));
}
END_TEST

START_TEST(resolves)
{
    struct address a;
    struct sockaddr_storage ss;
    socklen_t len;
    struct error e;
    ck_assert(address_parse("127.0.0.1:8102", 0, &a, NULL));
    ck_assert(address_resolve(&a, &ss, &len, &e));
    const struct sockaddr_in *in = (const void *)&ss;
    ck_assert_uint_eq(len, sizeof *in);
    ck_assert_int_eq(in->sin_family, AF_INET);
    ck_assert_uint_eq(ntohs(in->sin_port), 8102);
    ck_assert_uint_eq(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);

    ck_assert(address_parse("[::1]:9", 0, &a, NULL));
    ck_assert(address_resolve(&a, &ss, &len, &e));
    ck_assert_uint_eq(len, sizeof(struct sockaddr_in6));
    ck_assert_int_eq(ss.ss_family, AF_INET6);

    ck_assert(address_parse("/run/x.sock", 0, &a, NULL));
    ck_assert(address_resolve(&a, &ss, &len, &e));
    const struct sockaddr_un *un = (const void *)&ss;
    ck_assert_int_eq(un->sun_family, AF_UNIX);
    ck_assert_str_eq(un->sun_path, "/run/x.sock");
}
END_TEST

START_TEST(says_what_does_not_resolve)
{
    struct address a;
    struct sockaddr_storage ss;
    socklen_t len = 7;
    struct error e;
    /* a label of 64 characters can't be asked for, so no network is needed to fail */
    ck_assert(address_parse(
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid:1", 0, &a,
        NULL));
    ck_assert(!address_resolve(&a, &ss, &len, &e));
    ck_assert_int_eq(strncmp(e.text, a.host, strlen(a.host)), 0);
    ck_assert_uint_eq(len, 7);
}
END_TEST

START_TEST(a_host_alone_gets_the_port)
{
    static const struct {
        const char *text, *is; /* NULL: refused */
    } cases[] = {
        {"h", "h:7"},         {"h:9", "h:9"},         {"10.0.0.1", "10.0.0.1:7"},
        {"[::1]", "[::1]:7"}, {"[::1]:9", "[::1]:9"}, {"", NULL},
        {":9", NULL},         {"::1", NULL},          {"h:", NULL},
        {"h:0", NULL},        {"h:65536", NULL},      {"a b", NULL},
        {"/run/s", NULL},     {"[::1", NULL},         {"]", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address a;
        struct error e;
        char text[ADDRESS_TEXT_SIZE];
        bool ok = address_parse_host(cases[i].text, 7, &a, &e);
        ck_assert_msg(ok == (cases[i].is != NULL), "%s", cases[i].text);
        if (ok)
            address_format(&a, text, sizeof text);
        ck_assert_str_eq(ok ? text : "", ok ? cases[i].is : "");
        ck_assert(ok || strstr(e.text, "allowed host or host:port with port 1..65535"));
    }
}
END_TEST

START_TEST(this_machine_has_an_address_that_can_be_dialled)
{
    struct address here, there;
    struct error e;
    ck_assert(address_parse("127.0.0.1:9", 0, &there, &e));
    for (int i = 0; i < 2; i++) { /* nobody's route; one that stays on this machine */
        address_of_this_machine(i ? &there : NULL, 8101, &here);
        ck_assert_int_eq(here.kind, ADDRESS_TCP);
        ck_assert_uint_eq(here.port, 8101);
        ck_assert(address_is_number(&here) && !address_is_any(&here));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("address");
    TCase *t = tcase_create("address");
    tcase_add_loop_test(t, accepts_and_reads_back, 0, 8);
    tcase_add_loop_test(t, refuses, 0, 21);
    tcase_add_test(t, takes_apart);
    tcase_add_test(t, a_host_alone_gets_the_port);
    tcase_add_test(t, flags_decide);
    tcase_add_test(t, lengths_end_where_they_should);
    tcase_add_test(t, knows_loopback);
    tcase_add_test(t, knows_what_cant_be_dialled);
    tcase_add_test(t, resolves);
    tcase_add_test(t, says_what_does_not_resolve);
    tcase_add_test(t, this_machine_has_an_address_that_can_be_dialled);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
