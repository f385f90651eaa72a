/* The configuration: every option by file, by flag and by default; every kind of mistake with its
 * exact line; the example in conf/; and that no file crashes the reader. */
#include "config/buckets.h"
#include "config/config.h"
#include "config/secret.h"
#include "core/buf.h"
#include "core/mem.h"
#include <check.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ARGS 16

/* One start: the file's text, the arguments, and what came out. */
struct run {
    enum config_result result;
    struct config c;
    char *out, *err;
};

static void write_file(const void *text, size_t len)
{
    FILE *f = fopen("t.yaml", "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    fclose(f);
}

static struct run run_argv(int argc, char **argv)
{
    struct run r = {.result = CONFIG_RUN};
    size_t nout, nerr;
    FILE *out = open_memstream(&r.out, &nout), *err = open_memstream(&r.err, &nerr);
    r.result = config_load(argc, argv, &r.c, out, err);
    fclose(out);
    fclose(err);
    return r;
}

/* Arguments end with NULL. */
static struct run run_flags(const char *first, ...)
{
    char *argv[MAX_ARGS + 1] = {mem_strdup("dynomited")};
    int argc = 1;
    va_list ap;
    va_start(ap, first);
    for (const char *a = first; a; a = va_arg(ap, const char *)) {
        ck_assert_int_lt(argc, MAX_ARGS);
        argv[argc++] = mem_strdup(a);
    }
    va_end(ap);
    struct run r = run_argv(argc, argv);
    for (int i = 0; i < argc; i++)
        mem_free(argv[i]);
    return r;
}

static struct run run_yaml(const char *text)
{
    write_file(text, strlen(text));
    return run_flags("-c", "t.yaml", NULL);
}

/* A pool of one line. */
static struct run run_key(const char *line)
{
    char *text = mem_printf("dyn_o_mite:\n  %s\n", line);
    struct run r = run_yaml(text);
    mem_free(text);
    return r;
}

static void done(struct run *r)
{
    if (r->result == CONFIG_RUN)
        config_fini(&r->c);
    free(r->out);
    free(r->err);
}

static char *printed(const struct config *c)
{
    char *text;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    ck_assert(config_print(c, f));
    fclose(f);
    return text;
}

/* --- the options -------------------------------------------------------------------------------
 */

/* What each key may be set to, and how --print-conf shows it. `with` is what it needs besides. */
static const struct {
    const char *key, *value, *shown, *fallback;
    const char *with;
} keys[] = {
    {"listen", "0.0.0.0:7000", "'0.0.0.0:7000'", "'127.0.0.1:8102'", NULL},
    {"listen", "/run/d.sock", "'/run/d.sock'", "'127.0.0.1:8102'", NULL},
    {"dyn_listen", "\"[::1]:7001\"", "'[::1]:7001'", "'127.0.0.1:8101'", NULL},
    {"advertise", "10.0.0.5:8101", "'10.0.0.5:8101'", "''", NULL},
    {"stats_listen", "localhost:7002", "'localhost:7002'", "'127.0.0.1:22222'", NULL},
    {"admin_listen", "./a/admin.sock", "'./a/admin.sock'", "''", NULL},
    {"datacenter", "dc1", "'dc1'", "'localdc'", NULL},
    {"rack", "r1", "'r1'", "'localrack'", NULL},
    {"tokens", "'1383429731'", "[1383429731]", "[0]", NULL},
    {"tokens", "1, 4294967295", "[1, 4294967295]", "[0]", NULL},
    {"data_store", "redis", "redis", "embedded", "servers: [\"h:1:1\"]"},
    {"data_store", "0", "redis", "embedded", "servers: [\"h:1:1\"]"},
    {"data_store", "2", "embedded", "embedded", NULL},
    {"servers", "127.0.0.1:6379:1", "['127.0.0.1:6379:1']", "[]", "data_store: redis"},
    {"servers", "\"[::1]:6379:9\"", "['[::1]:6379:1']", "[]", "data_store: redis"},
    {"servers", "/run/redis.sock", "['/run/redis.sock:1']", "[]", "data_store: redis"},
    {"servers", "/run/redis.sock:1", "['/run/redis.sock:1']", "[]", "data_store: redis"},
    {"backend_user", "u", "'u'", "''", "backend_password: p"},
    {"backend_password", "p'q", "'p''q'", "''", NULL},
    {"data_dir", "/srv/d", "'/srv/d'", "'./data'", NULL},
    {"cluster_secret", "sesame", "'sesame'", "''", NULL},
    {"requirepass", "p'q", "'p''q'", "''", NULL},
    {"dyn_seeds", "127.0.0.1:8201:r2:dc1:0", "['127.0.0.1:8201:r2:dc1:0']", "[]", NULL},
    {"dyn_seeds", "\"[::1]:8201:r2:dc1:0,7\"", "['[::1]:8201:r2:dc1:0,7']", "[]", NULL},
    {"dyn_seed_provider", "dns_provider", "dns_provider", "simple_provider", "seeds_name: s"},
    {"dyn_seed_provider", "florida_provider", "florida_provider", "simple_provider", NULL},
    {"seeds_name", "_dynomite.example.com", "'_dynomite.example.com'", "''", NULL},
    {"seeds_name", "s:8201", "'s:8201'", "''", NULL},
    {"seeds_url", "https://seeds/list?a=b", "'https://seeds/list?a=b'",
     "'http://127.0.0.1:8080/REST/v1/admin/get_seeds'", NULL},
    {"hash", "murmur3_x64_64", "murmur3_x64_64", "murmur", NULL},
    {"hash_tag", "'{}'", "'{}'", "''", NULL},
    {"read_consistency", "dc_quorum", "DC_QUORUM", "DC_ONE", NULL},
    {"write_consistency", "DC_Quorum", "DC_QUORUM", "DC_ONE", NULL},
    {"read_consistency", "DC_SAFE_QUORUM", "DC_SAFE_QUORUM", "DC_ONE", NULL},
    {"write_consistency", "dc_each_safe_quorum", "DC_EACH_SAFE_QUORUM", "DC_ONE", NULL},
    {"bucket_types", "'a:dc_quorum:DC_ONE'", "['a:DC_QUORUM:DC_ONE']", "[]", NULL},
    {"bucket_types", "\"a:b:DC_ONE:DC_EACH_SAFE_QUORUM, x,y:DC_ONE:DC_ONE\"",
     "['a:b:DC_ONE:DC_EACH_SAFE_QUORUM', 'x,y:DC_ONE:DC_ONE']", "[]", NULL},
    {"sloppy_quorum", "off", "false", "true", NULL},
    {"read_repairs_enabled", "yes", "true", "false", NULL},
    {"allow_flush", "true", "true", "false", NULL},
    {"timeout", "1", "1", "5000", NULL},
    {"workers", "256", "256", "0", NULL},
    {"client_connections", "1000", "1000", "0", NULL},
    {"client_output_max_bytes", "1048576", "1048576", "268435456", NULL},
    {"enable_gossip", "no", "false", "true", NULL},
    {"gos_interval", "100", "100", "1000", NULL},
    {"enable_hinted_handoff", "no", "false", "true", NULL},
    {"hint_dir", "memory", "'memory'", "''", NULL},
    {"hint_sync", "interval", "interval", "always", NULL},
    {"hint_sync", "never", "never", "always", NULL},
    {"hint_ttl_seconds", "5", "5", "86400", NULL},
    {"hint_store_max_bytes", "0", "0", "1073741824", NULL},
    {"hint_store_max_bytes_per_peer", "5", "5", "0", NULL},
    {"hint_store_max_bytes", "9223372036854775807", "9223372036854775807", "1073741824", NULL},
    {"hint_drain_rate", "1000000", "1000000", "0", NULL},
    {"hint_drain_interval_ms", "50", "50", "1000", NULL},
    {"send_window", "65536", "65536", "4194304", NULL},
    {"dc_compression", "lz4", "lz4", "none", NULL},
    {"dc_rate", "5000000", "5000000", "0", NULL},
    {"stamp_table_bytes", "1048576", "1048576", "67108864", NULL},
    {"secure_server_option", "none", "none", "none", NULL},
    {"store_sync", "never", "never", "always", NULL},
    {"store_max_bytes", "1048576", "1048576", "68719476736", NULL},
    {"log_format", "json", "json", "text", NULL},
};

static char *shown_line(const char *key, const char *shown)
{
    return mem_printf("\n  %s: %s\n", key, shown);
}

static void expect_shown(const struct config *c, const char *key, const char *shown)
{
    char *all = printed(c), *line = shown_line(key, shown);
    ck_assert_msg(strstr(all, line) != NULL, "%s isn't in %s", line, all);
    mem_free(line);
    free(all);
}

START_TEST(key_has_its_default)
{
    struct run r = run_flags(NULL, NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_str_eq(r.err, "");
    expect_shown(&r.c, keys[_i].key, keys[_i].fallback);
    done(&r);
}
END_TEST

START_TEST(key_works_in_the_file)
{
    char *text = mem_printf("dyn_o_mite:\n  %s: %s\n  %s\n", keys[_i].key, keys[_i].value,
                            keys[_i].with ? keys[_i].with : "");
    struct run r = run_yaml(text);
    ck_assert_msg(r.result == CONFIG_RUN, "%s%s", text, r.err);
    ck_assert_str_eq(r.err, "");
    expect_shown(&r.c, keys[_i].key, keys[_i].shown);
    mem_free(text);
    done(&r);
}
END_TEST

/* The value as a shell would hand it over. */
static char *unquoted(const char *value)
{
    size_t len = strlen(value);
    if (value[0] != '"' && value[0] != '\'')
        return mem_strdup(value);
    char *out = mem_strdup(value + 1);
    out[len - 2] = 0;
    return out;
}

START_TEST(key_works_as_a_flag)
{
    char *flag = mem_printf("--%s", keys[_i].key), *value = unquoted(keys[_i].value);
    for (char *p = flag; *p; p++)
        *p = *p == '_' ? '-' : *p;
    char *joined = mem_printf("%s=%s", flag, value);
    char *text = mem_printf("p:\n  %s\n", keys[_i].with ? keys[_i].with : "");
    write_file(text, strlen(text));
    struct run r = run_flags("-c", "t.yaml", flag, value, NULL);
    ck_assert_msg(r.result == CONFIG_RUN, "%s", r.err);
    expect_shown(&r.c, keys[_i].key, keys[_i].shown);
    done(&r);
    r = run_flags(joined, "-c", "t.yaml", NULL);
    ck_assert_msg(r.result == CONFIG_RUN, "%s", r.err);
    expect_shown(&r.c, keys[_i].key, keys[_i].shown);
    done(&r);
    mem_free(text);
    mem_free(joined);
    mem_free(value);
    mem_free(flag);
}
END_TEST

START_TEST(every_printed_key_is_tested)
{
    struct run r = run_flags(NULL, NULL);
    char *all = printed(&r.c), *save, *line = strtok_r(all, "\n", &save);
    ck_assert_str_eq(line, "dyn_o_mite:");
    for (line = strtok_r(NULL, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            known |= strncmp(line + 2, keys[i].key, strlen(keys[i].key)) == 0 &&
                     line[2 + strlen(keys[i].key)] == ':';
        ck_assert_msg(known, "%s", line);
    }
    free(all);
    done(&r);
}
END_TEST

START_TEST(fields_hold_what_the_file_says)
{
    struct run r = run_yaml("shop:\n"
                            "  listen: /tmp/x.sock\n"
                            "  tokens: [1, '2', \"3,4\"]\n"
                            "  data_store: redis\n"
                            "  servers:\n"
                            "  - 10.0.0.1:6380:1\n"
                            "  backend_password: pw\n"
                            "  backend_user: me\n"
                            "  dyn_seeds:\n"
                            "  - h1:8101:r2:dc1:5,6\n"
                            "  - '[::1]:8102:r3:dc2:7'\n"
                            "  read_consistency: DC_QUORUM\n"
                            "  sloppy_quorum: false\n"
                            "  hint_sync: never\n"
                            "  send_window: 5000\n"
                            "  log_format: json\n"
                            "  workers: 3\n");
    const struct config *c = &r.c;
    ck_assert_msg(r.result == CONFIG_RUN, "%s", r.err);
    ck_assert_str_eq(c->pool_name, "shop");
    ck_assert_str_eq(c->listen, "/tmp/x.sock");
    ck_assert_ptr_null(c->advertise);
    ck_assert_uint_eq(c->ntokens, 4);
    ck_assert_uint_eq(c->tokens[0], 1);
    ck_assert_uint_eq(c->tokens[3], 4);
    ck_assert_int_eq(c->data_store, DATA_STORE_REDIS);
    ck_assert_uint_eq(c->nservers, 1);
    ck_assert_str_eq(c->servers[0].host, "10.0.0.1");
    ck_assert_uint_eq(c->servers[0].port, 6380);
    ck_assert_str_eq(c->backend_user, "me");
    ck_assert_uint_eq(c->nseeds, 2);
    ck_assert_str_eq(c->seeds[0].host, "h1");
    ck_assert_uint_eq(c->seeds[0].port, 8101);
    ck_assert_str_eq(c->seeds[0].rack, "r2");
    ck_assert_str_eq(c->seeds[0].datacenter, "dc1");
    ck_assert_uint_eq(c->seeds[0].ntokens, 2);
    ck_assert_uint_eq(c->seeds[0].tokens[1], 6);
    ck_assert_str_eq(c->seeds[1].host, "::1");
    ck_assert_int_eq(c->read_consistency, CONSISTENCY_DC_QUORUM);
    ck_assert_int_eq(c->write_consistency, CONSISTENCY_DC_ONE);
    ck_assert(!c->sloppy_quorum);
    ck_assert_int_eq(c->hint_sync, SYNC_NEVER);
    ck_assert_int_eq(c->store_sync, SYNC_ALWAYS);
    ck_assert_uint_eq(c->send_window, 5000);
    ck_assert_int_eq(c->log_format, LOG_FORMAT_JSON);
    ck_assert_uint_eq(c->workers, 3);
    done(&r);
}
END_TEST

START_TEST(all_hashes_are_known)
{
    static const char *const names[] = {
        "one_at_a_time", "md5",      "crc16", "crc32",  "crc32a",  "fnv1_64", "fnv1a_64",
        "fnv1_32",       "fnv1a_32", "hsieh", "murmur", "jenkins", "murmur3", "murmur3_x64_64"};
    struct run r = run_flags("--hash", names[_i], NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_str_eq(r.c.hash, names[_i]);
    done(&r);
}
END_TEST

START_TEST(booleans)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"TRUE", true},
                 {"false", false}, {"no", false}, {"off", false}, {"Off", false}};
    struct run r = run_flags("--enable-hinted-handoff", words[_i].text, NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_int_eq(r.c.enable_hinted_handoff, words[_i].value);
    done(&r);
}
END_TEST

START_TEST(process_flags)
{
    struct run r = run_flags("-dv11", "-o", "a.log", "-p", "a.pid", NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert(r.c.daemonize);
    ck_assert_uint_eq(r.c.verbosity, 11);
    ck_assert_str_eq(r.c.output, "a.log");
    ck_assert_str_eq(r.c.pid_file, "a.pid");
    done(&r);
    r = run_flags("--verbosity=0", "--output=b", "--pid-file=c", NULL);
    ck_assert(!r.c.daemonize);
    ck_assert_uint_eq(r.c.verbosity, 0);
    ck_assert_str_eq(r.c.output, "b");
    ck_assert_str_eq(r.c.pid_file, "c");
    done(&r);
    r = run_flags(NULL, NULL);
    ck_assert_uint_eq(r.c.verbosity, 5);
    ck_assert_str_eq(r.c.output, "");
    ck_assert_str_eq(r.c.pid_file, "");
    ck_assert_str_eq(r.c.conf_file, "");
    done(&r);
}
END_TEST

/* --- precedence --------------------------------------------------------------------------------
 */

START_TEST(a_flag_wins_wherever_it_stands)
{
    write_file("a:\n  timeout: 1\n  rack: x\n", 26);
    struct run r = run_flags("--timeout", "7", "-c", "t.yaml", "--pool-name", "b", NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_uint_eq(r.c.timeout, 7);
    ck_assert_str_eq(r.c.rack, "x");
    ck_assert_str_eq(r.c.pool_name, "b");
    done(&r);
}
END_TEST

START_TEST(a_list_of_flags_replaces_the_list_of_the_file)
{
    const char *text = "a:\n  tokens: [1, 2]\n  dyn_seeds: ['h:1:r:d:1']\n";
    write_file(text, strlen(text));
    struct run r = run_flags("-c", "t.yaml", "--tokens", "8", "--tokens", "9", "--dyn-seeds",
                             "g:1:r:d:2", "--dyn-seeds=i:1:r:d:3", NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_uint_eq(r.c.ntokens, 2);
    ck_assert_uint_eq(r.c.tokens[0], 8);
    ck_assert_uint_eq(r.c.nseeds, 2);
    ck_assert_str_eq(r.c.seeds[0].host, "g");
    done(&r);
}
END_TEST

START_TEST(the_last_of_two_flags_wins)
{
    struct run r = run_flags("--timeout=1", "--timeout=2", "-v1", "-v2", NULL);
    ck_assert_uint_eq(r.c.timeout, 2);
    ck_assert_uint_eq(r.c.verbosity, 2);
    done(&r);
}
END_TEST

START_TEST(an_empty_pool_is_all_defaults)
{
    struct run plain = run_flags(NULL, NULL), r = run_yaml("dyn_o_mite:\n");
    char *a = printed(&plain.c), *b = printed(&r.c);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    done(&plain);
    done(&r);
}
END_TEST

START_TEST(an_empty_value_is_an_empty_text_or_list)
{
    struct run r = run_yaml("p:\n  cluster_secret:\n  dyn_seeds:\n  servers: []\n");
    ck_assert_msg(r.result == CONFIG_RUN, "%s", r.err);
    ck_assert_str_eq(r.c.cluster_secret, "");
    ck_assert_uint_eq(r.c.nseeds, 0);
    done(&r);
}
END_TEST

/* --- mistakes in the file ----------------------------------------------------------------------
 */

#define LATER           "(anything else is not supported yet)"
#define ADDRESS_ALLOWED "allowed host:port or [ipv6]:port with port 1..65535"
#define NAME_ALLOWED    "allowed a name of 1..255 characters without blanks, ':' and '/'"
#define TOKENS_ALLOWED  "allowed 0..4294967295, comma separated, each once, at most 1024"
#define SEED_ALLOWED    "allowed host:port:rack:dc:tokens, tokens comma separated"
#define HOST_ALLOWED    "allowed host or host:port with port 1..65535"
#define URL_ALLOWED     "allowed a URL that begins with http:// or https://"
#define LEVELS          "DC_ONE, DC_QUORUM, DC_SAFE_QUORUM, DC_EACH_SAFE_QUORUM"
#define BUCKET_ALLOWED                                                                             \
    "allowed prefix:read level:write level, the prefix of 1..255 bytes, the levels from " LEVELS
#define UNKNOWN "found an unknown key; allowed are those in --help"

/* A line in a pool, and what is said of it after "t.yaml:". */
static const struct {
    const char *yaml, *said;
} mistakes[] = {
    {"lisen: a:1", "2: lisen: " UNKNOWN},
    {"Listen: a:1", "2: Listen: " UNKNOWN},
    {"pem_key_file: x", "2: pem_key_file: " UNKNOWN},
    {"verbosity: 5", "2: verbosity: found a flag; allowed on the command line, as --verbosity"},
    {"pool_name: x", "2: pool_name: found a flag; allowed on the command line, as --pool-name"},
    {"rack: a\n  timeout: 5x", "3: timeout: found 5x; allowed 1..3600000"},
    {"timeout: -1", "2: timeout: found -1; allowed 1..3600000"},
    {"timeout: +1", "2: timeout: found +1; allowed 1..3600000"},
    {"timeout: 0x10", "2: timeout: found 0x10; allowed 1..3600000"},
    {"timeout: 010", "2: timeout: found 010; allowed 1..3600000"},
    {"timeout: 1.5", "2: timeout: found 1.5; allowed 1..3600000"},
    {"timeout: ' 1'", "2: timeout: found  1; allowed 1..3600000"},
    {"timeout: 0", "2: timeout: found 0; allowed 1..3600000"},
    {"timeout:", "2: timeout: found ''; allowed 1..3600000"},
    {"timeout: 18446744073709551617", "2: timeout: found 18446744073709551617; allowed 1..3600000"},
    {"timeout: [1]", "2: timeout: found a list; allowed a single value"},
    {"timeout: {a: 1}", "2: timeout: found a mapping; allowed a single value"},
    {"timeout: 1\n  rack: a\n  timeout: 2", "4: timeout: found a second time; allowed once"},
    {"\"a\\nb\": 1", "2: a?b: " UNKNOWN},
    {"rack: \"a\\nb\"", "2: rack: found a?b; " NAME_ALLOWED},
    {"rack: \"a\\0b\"", "2: rack: found a NUL byte; allowed text"},
    {"\"a\\0b\": 1", "2: key: found a NUL byte; allowed a name"},
    {"? [a]\n  : 1", "2: key: found a list; allowed a name"},
    {"rack: a b", "2: rack: found a b; " NAME_ALLOWED},
    {"rack: ''", "2: rack: found ''; " NAME_ALLOWED},
    {"datacenter: a:b", "2: datacenter: found a:b; " NAME_ALLOWED},
    {"hint_store_max_bytes: 9223372036854775808",
     "2: hint_store_max_bytes: found 9223372036854775808; allowed 0..9223372036854775807"},
    {"workers: 257", "2: workers: found 257; allowed 0..256"},
    {"sloppy_quorum: maybe", "2: sloppy_quorum: found maybe; allowed true, false"},
    {"sloppy_quorum: 1", "2: sloppy_quorum: found 1; allowed true, false"},
    {"hint_sync: sometimes", "2: hint_sync: found sometimes; allowed always, interval, never"},
    {"log_format: xml", "2: log_format: found xml; allowed text, json"},
    {"hash: sha1",
     "2: hash: found sha1; allowed one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, "
     "fnv1_32, fnv1a_32, hsieh, murmur, jenkins, murmur3, murmur3_x64_64"},
    {"hash_tag: '{'", "2: hash_tag: found {; allowed '' or two characters, as {}"},
    {"data_dir: ''", "2: data_dir: found ''; allowed a text that isn't empty"},
    {"listen: 127.0.0.1",
     "2: listen: found 127.0.0.1; " ADDRESS_ALLOWED ", or a unix socket path of at most 107 bytes"},
    {"listen: ''",
     "2: listen: found ''; " ADDRESS_ALLOWED ", or a unix socket path of at most 107 bytes"},
    {"dyn_listen: /x.sock", "2: dyn_listen: found /x.sock; " ADDRESS_ALLOWED},
    {"dyn_listen: h:0", "2: dyn_listen: found h:0; " ADDRESS_ALLOWED},
    {"advertise: h:65536", "2: advertise: found h:65536; " ADDRESS_ALLOWED},
    {"stats_listen: h", "2: stats_listen: found h; " ADDRESS_ALLOWED},
    {"tokens: '4294967296'", "2: tokens: found 4294967296; " TOKENS_ALLOWED},
    {"tokens: '-1'", "2: tokens: found -1; " TOKENS_ALLOWED},
    {"tokens: '1,,2'", "2: tokens: found 1,,2; " TOKENS_ALLOWED},
    {"tokens: '1,2,1'", "2: tokens: found 1,2,1; " TOKENS_ALLOWED},
    {"tokens:\n  - 1\n  - 1", "4: tokens: found 1; " TOKENS_ALLOWED},
    {"tokens:\n  - 1\n  - [2]", "4: tokens: found a list; allowed a single value"},
    {"tokens: {1: 2}", "2: tokens: found a mapping; allowed a single value"},
    {"tokens: []", "2: tokens: found none; allowed one or more"},
    {"dyn_seeds: [h:1:r:d]", "2: dyn_seeds: found h:1:r:d; " SEED_ALLOWED},
    {"dyn_seeds: [h:0:r:d:1]", "2: dyn_seeds: found h:0:r:d:1; " SEED_ALLOWED},
    {"dyn_seeds: [h:1::d:1]", "2: dyn_seeds: found h:1::d:1; " SEED_ALLOWED},
    {"dyn_seeds: [h:1:r::1]", "2: dyn_seeds: found h:1:r::1; " SEED_ALLOWED},
    {"dyn_seeds: ['h:1:r:d:']", "2: dyn_seeds: found h:1:r:d:; " SEED_ALLOWED},
    {"dyn_seeds: ['h:1:r:d:7,x']", "2: dyn_seeds: found h:1:r:d:7,x; " SEED_ALLOWED},
    {"dyn_seeds: ['/s:1:r:d:7']", "2: dyn_seeds: found /s:1:r:d:7; " SEED_ALLOWED},
    {"dyn_seeds:\n  - h:1:r:d:1\n  - nonsense", "4: dyn_seeds: found nonsense; " SEED_ALLOWED},
    {"dyn_seed_provider: dns_provider",
     "2: dyn_seed_provider: found dns_provider; allowed with a seeds_name"},
    {"dyn_seed_provider: florida_provider\n  enable_gossip: false",
     "2: dyn_seed_provider: found florida_provider; allowed simple_provider with enable_gossip: "
     "false"},
    {"dyn_seeds: ['h:1:r:d:7']\n  advertise: '[::]:8101'",
     "3: advertise: found [::]:8101, which no peer can dial; allowed an address that they can"},
    {"dyn_seed_provider: dns",
     "2: dyn_seed_provider: found dns; allowed simple_provider, dns_provider, florida_provider"},
    {"seeds_name: s:0", "2: seeds_name: found s:0; " HOST_ALLOWED},
    {"seeds_name: a b", "2: seeds_name: found a b; " HOST_ALLOWED},
    {"seeds_name: ':8101'", "2: seeds_name: found :8101; " HOST_ALLOWED},
    {"seeds_name: '::1'", "2: seeds_name: found ::1; " HOST_ALLOWED},
    {"seeds_name: /run/s", "2: seeds_name: found /run/s; " HOST_ALLOWED},
    {"seeds_url: ''", "2: seeds_url: found ''; " URL_ALLOWED},
    {"seeds_url: seeds:8080/list", "2: seeds_url: found seeds:8080/list; " URL_ALLOWED},
    {"seeds_url: file:///etc/seeds", "2: seeds_url: found file:///etc/seeds; " URL_ALLOWED},
    {"seeds_url: http:///list", "2: seeds_url: found http:///list; " URL_ALLOWED},
    {"seeds_url: http://a b", "2: seeds_url: found http://a b; " URL_ALLOWED},
    {"servers: [h:1:1]", "2: servers: found 1; allowed none with data_store embedded"},
    {"data_store: redis\n  servers: [h:1:1, h:2:1]",
     "3: servers: found 2; allowed exactly one with data_store redis"},
    {"data_store: redis\n  servers: [h:1]",
     "3: servers: found h:1; allowed host:port:weight or a unix socket path"},
    {"data_store: redis\n  servers: [h:1:0]",
     "3: servers: found h:1:0; allowed host:port:weight or a unix socket path"},
    {"data_store: redis\n  servers: [h:x:1]",
     "3: servers: found h:x:1; allowed host:port:weight or a unix socket path"},
    {"servers: []\n  data_store: memcache",
     "2: servers: found 0; allowed exactly one with data_store memcache"},
    {"data_store: 1\n  servers: [h:1:1, h:2:1]",
     "3: servers: found 2; allowed exactly one with data_store memcache"},
    {"data_store: memcache\n  servers: [h:1:1]\n  requirepass: p",
     "4: requirepass: found a text; allowed '' with data_store memcache, whose protocol has no "
     "password"},
    {"data_store: memcache\n  servers: [h:1:1]\n  backend_password: p",
     "4: backend_password: found a text; allowed '' with data_store memcache, whose protocol has "
     "no "
     "password"},
    {"data_store: memcache\n  servers: [h:1:1]\n  backend_user: u\n  backend_password: p",
     "4: backend_user: found a text; allowed '' with data_store memcache, whose protocol has no "
     "password"},
    {"backend_user: joe", "2: backend_user: found joe; allowed with a backend_password"},
    /* what doesn't work yet */
    {"data_store: 3", "2: data_store: found 3; allowed embedded, redis, memcache"},
    {"write_consistency: ALL", "2: write_consistency: found ALL; allowed " LEVELS},
    {"bucket_types: x", "2: bucket_types: found x; " BUCKET_ALLOWED},
    {"bucket_types: [a:DC_ONE]", "2: bucket_types: found a:DC_ONE; " BUCKET_ALLOWED},
    {"bucket_types: ['a:DC_ONE:']", "2: bucket_types: found a:DC_ONE:; " BUCKET_ALLOWED},
    {"bucket_types: ['a:ALL:DC_ONE']", "2: bucket_types: found a:ALL:DC_ONE; " BUCKET_ALLOWED},
    {"bucket_types: [':DC_ONE:DC_ONE']", "2: bucket_types: found :DC_ONE:DC_ONE; " BUCKET_ALLOWED},
    {"bucket_types: ['DC_ONE:DC_ONE']", "2: bucket_types: found DC_ONE:DC_ONE; " BUCKET_ALLOWED},
    {"bucket_types: ['a:DC_ONE:DC_ONE,']", "2: bucket_types: found ''; " BUCKET_ALLOWED},
    {"bucket_types: ['a:DC_ONE:DC_ONE', 'b:DC_ONE:DC_ONE', 'a:DC_QUORUM:DC_ONE']",
     "2: bucket_types: found a:DC_QUORUM:DC_ONE, of a prefix that has levels already; allowed each "
     "prefix once"},
    {"secure_server_option: datacenter",
     "2: secure_server_option: found datacenter; allowed none " LATER},
};

static void expect_error(struct run *r, const char *prefix, const char *said)
{
    char *line = mem_printf("%s%s\n", prefix, said);
    ck_assert_str_eq(r->err, line);
    ck_assert_int_eq(r->result, CONFIG_EXIT_USAGE);
    ck_assert_str_eq(r->out, "");
    mem_free(line);
    done(r);
}

START_TEST(mistake_in_the_file)
{
    struct run r = run_key(mistakes[_i].yaml);
    expect_error(&r, "t.yaml:", mistakes[_i].said);
}
END_TEST

static const struct {
    const char *text, *said;
} documents[] = {
    {"", "1: pool: found none; allowed one, as dyn_o_mite:"},
    {"# nothing\n", "1: pool: found none; allowed one, as dyn_o_mite:"},
    {"{}\n", "1: pool: found none; allowed one, as dyn_o_mite:"},
    {"\n\njust text\n", "3: pool: found none; allowed one, as dyn_o_mite:"},
    {"- a\n", "1: pool: found none; allowed one, as dyn_o_mite:"},
    {"a:\n  timeout: 1\nb:\n  timeout: 2\n", "3: pool: found a second one; allowed one"},
    {"a: 5\n", "1: a: found a single value; allowed a mapping of keys"},
    {"a:\n  - x\n", "2: a: found a list; allowed a mapping of keys"},
    {"a b:\n", "1: pool_name: found a b; " NAME_ALLOWED},
    {"[a]: 5\n", "1: pool_name: found a list; allowed a single value"},
    {"a:\n  timeout: 1\n---\nb:\n", "4: pool: found a second document; allowed one"},
    {"a:\n  timeout: [1\n",
     "3: yaml: found a mistake: did not find expected ',' or ']'; allowed YAML"},
    {"a:\n  x: 1\n y: 2\n", "3: yaml: found a mistake: did not find expected key; allowed YAML"},
    {"a:\n\ttimeout: 1\n", "2: yaml: found a mistake: found character that cannot start any token; "
                           "allowed YAML"},
    {"a: *b\n", "1: yaml: found a mistake: found undefined alias; allowed YAML"},
    {"a: \xff\n", "1: yaml: found a mistake: invalid leading UTF-8 octet; allowed YAML"},
};

START_TEST(mistake_in_the_document)
{
    struct run r = run_yaml(documents[_i].text);
    expect_error(&r, "t.yaml:", documents[_i].said);
}
END_TEST

START_TEST(only_the_first_mistake_is_told)
{
    struct run r = run_yaml("p:\n  mbuf_size: 1\n  timeout: a\n  timeout: b\n  nonsense: 1\n");
    expect_error(&r, "t.yaml:", "3: timeout: found a; allowed 1..3600000");
}
END_TEST

START_TEST(a_long_value_is_cut)
{
    char line[3000] = "rack: ";
    memset(line + 6, 'x', sizeof line - 7);
    line[700] = ' ';
    struct run r = run_key(line);
    ck_assert_uint_lt(strlen(r.err), 250);
    ck_assert_ptr_nonnull(strstr(r.err, "xxx; " NAME_ALLOWED "\n"));
    done(&r);
}
END_TEST

/* --- mistakes in the flags ---------------------------------------------------------------------
 */

#define UNKNOWN_FLAG "found an unknown flag; allowed are those in --help"

static const struct {
    const char *a, *b, *said;
} flag_mistakes[] = {
    {"--nonsense", NULL, "--nonsense: " UNKNOWN_FLAG},
    {"--nonsense=1", NULL, "--nonsense=1: " UNKNOWN_FLAG},
    {"--liste", "h:1", "--liste: " UNKNOWN_FLAG},
    {"--hash_tag", "{}", "--hash_tag: " UNKNOWN_FLAG},
    {"--", NULL, "--: " UNKNOWN_FLAG},
    {"-z", NULL, "-z: " UNKNOWN_FLAG},
    {"-dz", NULL, "-z: " UNKNOWN_FLAG},
    {"conf.yaml", NULL, "argument: found conf.yaml; allowed are flags, see --help"},
    {"-", NULL, "argument: found -; allowed are flags, see --help"},
    {"", NULL, "argument: found ''; allowed are flags, see --help"},
    {"--timeout", NULL, "--timeout: found nothing behind it; allowed MS"},
    {"-c", NULL, "--conf-file: found nothing behind it; allowed FILE"},
    {"-x", NULL, "--admin-operation: found nothing behind it; allowed a value"},
    {"--timeout", "never", "--timeout: found never; allowed 1..3600000"},
    {"--timeout=", NULL, "--timeout: found ''; allowed 1..3600000"},
    {"--verbosity", "12", "--verbosity: found 12; allowed 0..11"},
    {"-v-1", NULL, "--verbosity: found -1; allowed 0..11"},
    {"--daemonize=yes", NULL, "--daemonize: found yes; allowed no value"},
    {"--daemonize=", NULL, "--daemonize: found ''; allowed no value"},
    {"--rack", "a\nb", "--rack: found a?b; " NAME_ALLOWED},
    {"--rack", "\xff", "--rack: found bytes that aren't UTF-8; allowed UTF-8"},
    {"--pool-name", "", "--pool-name: found ''; " NAME_ALLOWED},
    {"--tokens", "", "--tokens: found none; allowed one or more"},
    {"--data-store", "redis", "--servers: found 0; allowed exactly one with data_store redis"},
    {"--servers", "h:1:1", "--servers: found 1; allowed none with data_store embedded"},
    {"-D", NULL,
     "--describe-stats: found the flag; allowed is going without, it is not supported yet"},
    {"-c", "missing.yaml",
     "--conf-file: found missing.yaml: No such file or directory; allowed a "
     "readable file of at most 1048576 bytes"},
    {"-c", ".",
     "--conf-file: found .: Is a directory; allowed a readable file of at most 1048576 "
     "bytes"},
};

START_TEST(mistake_in_the_flags)
{
    struct run r = run_flags(flag_mistakes[_i].a, flag_mistakes[_i].b, NULL);
    expect_error(&r, "", flag_mistakes[_i].said);
}
END_TEST

START_TEST(too_many_tokens)
{
    struct buf b = BUF_INIT;
    for (int i = 0; i < 1024; i++)
        buf_printf(&b, "%s%d", i ? "," : "", i);
    buf_add(&b, "", 1);
    struct run r = run_flags("--tokens", buf_head(&b), NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_uint_eq(r.c.ntokens, 1024);
    done(&r);
    r = run_flags("--tokens", buf_head(&b), "--tokens", "1024", NULL);
    expect_error(&r, "--tokens: found 1024; ", TOKENS_ALLOWED);
    buf_fini(&b);
}
END_TEST

START_TEST(a_file_too_large)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, "a:\n#");
    memset(buf_reserve(&b, 1 << 20), 'x', 1 << 20);
    buf_commit(&b, 1 << 20);
    write_file(buf_head(&b), b.len);
    struct run r = run_flags("-c", "t.yaml", NULL);
    expect_error(&r, "--conf-file: found t.yaml: too large; ",
                 "allowed a readable file of at most 1048576 bytes");
    buf_fini(&b);
}
END_TEST

/* --- Netflix Dynomite's configurations ---------------------------------------------------------
 */

START_TEST(keys_that_mean_nothing_are_warned_about)
{
    struct run r = run_yaml("dyn_o_mite:\n"
                            "  mbuf_size: 16384\n"
                            "  max_msgs: 300000\n"
                            "  preconnect: true\n"
                            "  auto_eject_hosts: false\n"
                            "  server_retry_timeout: 2000\n"
                            "  server_failure_limit: 2\n"
                            "  env: aws\n"
                            "  dyn_connections: 100\n"
                            "  local_peer_connections: 3\n"
                            "  remote_peer_connections: 3\n"
                            "  datastore_connections: 3\n"
                            "  server_connections: 1\n");
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_str_eq(
        r.err,
        "t.yaml:2: mbuf_size: warning: ignored; buffers grow as they must, up to "
        "client_output_max_bytes\n"
        "t.yaml:3: max_msgs: warning: ignored; client_output_max_bytes and send_window bound what "
        "waits\n"
        "t.yaml:4: preconnect: warning: ignored; connections are opened at the start and kept\n"
        "t.yaml:5: auto_eject_hosts: warning: ignored; a peer's state follows its heartbeat, see "
        "gos_interval\n"
        "t.yaml:6: server_retry_timeout: warning: ignored; a lost connection is tried again after "
        "at most 2 s\n"
        "t.yaml:7: server_failure_limit: warning: ignored; a peer is DOWN after three heartbeats, "
        "see gos_interval\n"
        "t.yaml:8: env: warning: ignored; advertise says what peers dial\n"
        "t.yaml:9: dyn_connections: warning: ignored; each peer has one link\n"
        "t.yaml:10: local_peer_connections: warning: ignored; each peer has one link\n"
        "t.yaml:11: remote_peer_connections: warning: ignored; each peer has one link\n"
        "t.yaml:12: datastore_connections: warning: ignored; each of the workers has one\n"
        "t.yaml:13: server_connections: warning: ignored; each of the workers has one\n");
    done(&r);
}
END_TEST

START_TEST(flags_that_mean_nothing_are_warned_about)
{
    struct run r = run_flags("-g", "-x", "1", "-m", "16384", "-M2000", "-m1", NULL);
    ck_assert_int_eq(r.result, CONFIG_RUN);
    ck_assert_str_eq(r.err,
                     "--gossip: warning: ignored; enable_gossip says it\n"
                     "--admin-operation: warning: ignored; dyn-admin does it\n"
                     "--mbuf-size: warning: ignored; buffers grow as they must, up to "
                     "client_output_max_bytes\n"
                     "--max-msgs: warning: ignored; client_output_max_bytes and send_window bound "
                     "what waits\n");
    done(&r);
}
END_TEST

/* The shape of the sample for a rack of three, as users have it. */
START_TEST(a_file_for_netflix_dynomite_loads)
{
    struct run r = run_yaml("dyn_o_mite:\n"
                            "  datacenter: dc\n"
                            "  rack: rack1\n"
                            "  dyn_listen: 127.0.0.1:8101\n"
                            "  dyn_seeds:\n"
                            "  - 127.0.0.2:8101:rack2:dc:1383429731\n"
                            "  - 127.0.0.3:8101:rack3:dc:1383429731\n"
                            "  listen: 127.0.0.1:8102\n"
                            "  servers:\n"
                            "  - 127.0.0.1:22121:1\n"
                            "  tokens: '1383429731'\n"
                            "  dyn_seed_provider: simple_provider\n"
                            "  data_store: 0\n"
                            "  read_consistency : DC_QUORUM\n"
                            "  write_consistency : DC_QUORUM\n"
                            "  stats_listen: 0.0.0.0:22221\n");
    ck_assert_msg(r.result == CONFIG_RUN, "%s", r.err);
    ck_assert_str_eq(r.err, "");
    ck_assert_uint_eq(r.c.nseeds, 2);
    ck_assert_uint_eq(r.c.seeds[1].tokens[0], 1383429731);
    ck_assert_uint_eq(r.c.servers[0].port, 22121);
    done(&r);
}
END_TEST

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* --- while it runs -----------------------------------------------------------------------------
 */

/* "name=item,item;" of each option that is shown. */
static void collect(void *arg, const struct config_value *v)
{
    struct buf *b = arg;
    buf_printf(b, "%s=", v->name);
    for (size_t i = 0; i < v->n; i++)
        buf_printf(b, "%s%s", i ? "," : "", v->item[i]);
    buf_add_str(b, ";");
}

static char *dumped(const struct config *c)
{
    struct buf b = BUF_INIT;
    config_dump(c, collect, &b);
    buf_add(&b, "", 1);
    char *text = mem_strdup((const char *)buf_head(&b));
    buf_fini(&b);
    return text;
}

START_TEST(dump_shows_all_but_secrets)
{
    struct run r =
        run_flags("--cluster-secret", "sesame", "--requirepass", "sesame", "--tokens", "1,2", NULL);
    char *text = dumped(&r.c);
    ck_assert_ptr_nonnull(strstr(text, ";cluster_secret=***;"));
    ck_assert_ptr_nonnull(strstr(text, ";backend_password=;"));
    ck_assert_ptr_null(strstr(text, "sesame"));
    ck_assert_ptr_nonnull(strstr(text, ";tokens=1,2;"));
    ck_assert_ptr_nonnull(strstr(text, ";hint_sync=always;"));
    ck_assert_ptr_null(strstr(text, "mbuf_size"));
    ck_assert_ptr_nonnull(strstr(text, ";requirepass=***;"));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *name = mem_printf(";%s=", keys[i].key);
        ck_assert_msg(strstr(text, name) != NULL, "%s", name);
        mem_free(name);
    }
    mem_free(text);
    done(&r);
}
END_TEST

START_TEST(no_password_where_the_protocol_has_none)
{
    struct run r = run_flags("--data-store", "memcache", "--servers", "h:1:1", NULL);
    struct error e;
    ck_assert(!config_set(&r.c, "requirepass", "sesame", "test", &e));
    ck_assert_str_eq(e.text,
                     "requirepass: found a text; allowed '' with data_store memcache, whose "
                     "protocol has no password");
    ck_assert(config_set(&r.c, "requirepass", "", "test", &e));
    ck_assert(!config_needs_password(&r.c));
    done(&r);
}
END_TEST

/* Also while it changes under those that compare; a text that is longer, shorter or of other case
 * isn't it. */
START_TEST(password)
{
    struct run r = run_flags(NULL, NULL);
    struct error e;
    ck_assert(!config_needs_password(&r.c) && !config_password_is(&r.c, slice_str("")));
    ck_assert(config_set(&r.c, "requirepass", "sesame", "test", &e));
    ck_assert(config_needs_password(&r.c) && config_password_is(&r.c, slice_str("sesame")));
    static const char *const wrong[] = {"", "s", "sesam", "sesame ", "Sesame", "sesamf"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert(!config_password_is(&r.c, slice_str(wrong[i])));
    ck_assert(!config_password_is(&r.c, slice_of("sesame\0", 7)));
    char long_text[SECRET_MAX + 2];
    memset(long_text, 'x', sizeof long_text);
    long_text[SECRET_MAX + 1] = '\0';
    ck_assert(!config_set(&r.c, "requirepass", long_text, "test", &e));
    ck_assert_str_eq(e.text, "requirepass: found 513 bytes; allowed at most 512");
    ck_assert(config_password_is(&r.c, slice_str("sesame")));
    long_text[SECRET_MAX] = '\0';
    ck_assert(config_set(&r.c, "requirepass", long_text, "test", &e));
    ck_assert(config_password_is(&r.c, slice_str(long_text)));
    ck_assert(!config_password_is(&r.c, slice_str("sesame")));
    ck_assert(config_set(&r.c, "requirepass", "", "test", &e));
    ck_assert(!config_needs_password(&r.c) && !config_password_is(&r.c, slice_str("")));
    done(&r);
}
END_TEST

static const char *const live[] = {"read_consistency",
                                   "write_consistency",
                                   "bucket_types",
                                   "sloppy_quorum",
                                   "allow_flush",
                                   "read_repairs_enabled",
                                   "hint_sync",
                                   "hint_ttl_seconds",
                                   "hint_store_max_bytes",
                                   "hint_store_max_bytes_per_peer",
                                   "hint_drain_rate",
                                   "hint_drain_interval_ms",
                                   "dc_compression",
                                   "dc_rate",
                                   "requirepass"};

static bool is_live(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(live); i++)
        if (strcmp(live[i], key) == 0)
            return true;
    return false;
}

/* Each key: what may change does, the rest says that it needs a restart and changes nothing. */
START_TEST(set_of_each_key)
{
    struct run r = run_flags(NULL, NULL);
    struct error e;
    const char *key = keys[_i].key;
    char *value = unquoted(keys[_i].value);
    bool ok = config_set(&r.c, key, value, "test", &e);
    ck_assert_int_eq(ok, is_live(key));
    if (!ok) {
        char *reason = mem_printf("%s needs a restart", key);
        ck_assert_str_eq(e.text, reason);
        mem_free(reason);
    }
    expect_shown(&r.c, key, ok ? keys[_i].shown : keys[_i].fallback);
    mem_free(value);
    done(&r);
}
END_TEST

START_TEST(set_is_checked)
{
    static const struct {
        const char *name, *text, *reason;
    } wrong[] = {
        {"hint_ttl_seconds", "0", "hint_ttl_seconds: found 0; allowed 1..315360000"},
        {"hint_drain_rate", "-1", "hint_drain_rate: found -1; allowed 0..9223372036854775807"},
        {"hint_drain_rate", "", "hint_drain_rate: found ''; allowed 0..9223372036854775807"},
        {"sloppy_quorum", "perhaps", "sloppy_quorum: found perhaps; allowed true, false"},
        {"bucket_types", "a:DC_ONE:DC_ONE,b:DC_ONE:ONE",
         "bucket_types: found b:DC_ONE:ONE; " BUCKET_ALLOWED},
        {"hint_sync", "often", "hint_sync: found often; allowed always, interval, never"},
        {"dc_compression", "zip", "dc_compression: found zip; allowed none, lz4"},
        {"dc_rate", "-1", "dc_rate: found -1; allowed 0..9223372036854775807"},
        {"nonsense", "1", "there is no option 'nonsense'"},
        {"hint-drain-rate", "1", "there is no option 'hint-drain-rate'"},
        {"", "1", "there is no option ''"},
        {"allow_flush", "1", "allow_flush: found 1; allowed true, false"},
        {"preconnect", "1",
         "preconnect means nothing here: connections are opened at the start and kept"},
        {"daemonize", "true", "there is no option 'daemonize'"},
    };
    struct run r = run_flags(NULL, NULL);
    struct error e;
    char *before = printed(&r.c);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert(!config_set(&r.c, wrong[i].name, wrong[i].text, "test", &e));
        ck_assert_str_eq(e.text, wrong[i].reason);
    }
    char *after = printed(&r.c);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    done(&r);
}
END_TEST

/* Of n prefixes p0, p1, ... */
static char *many_buckets(unsigned n)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < n; i++)
        buf_printf(&b, "%sp%u:DC_ONE:DC_ONE", i ? "," : "", i);
    char *text = mem_printf("%.*s", (int)b.len, (const char *)buf_head(&b));
    buf_fini(&b);
    return text;
}

START_TEST(buckets_are_bounded)
{
    struct run r = run_flags(NULL, NULL);
    struct error e;
    char *most = many_buckets(BUCKETS_MAX), *more = many_buckets(BUCKETS_MAX + 1);
    char prefix[BUCKET_PREFIX_MAX + 2];
    memset(prefix, 'x', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = 0;
    char *fits = mem_printf("%s:DC_ONE:DC_ONE", prefix + 1);
    char *longer = mem_printf("%s:DC_ONE:DC_ONE", prefix);
    ck_assert(config_set(&r.c, "bucket_types", fits, "test", &e));
    ck_assert(!config_set(&r.c, "bucket_types", longer, "test", &e));
    ck_assert_ptr_nonnull(strstr(e.text, "; " BUCKET_ALLOWED));
    ck_assert_uint_eq(r.c.bucket_types->n, 1);
    ck_assert(config_set(&r.c, "bucket_types", most, "test", &e));
    ck_assert_uint_eq(r.c.bucket_types->n, BUCKETS_MAX);
    ck_assert(!config_set(&r.c, "bucket_types", more, "test", &e));
    ck_assert_str_eq(e.text, "bucket_types: found more than 1024; allowed at most 1024");
    char *commas = mem_calloc(1, 1 << 20);
    memset(commas, ',', (1 << 20) - 1);
    ck_assert(!config_set(&r.c, "bucket_types", commas, "test", &e)); /* and quickly */
    ck_assert_uint_eq(r.c.bucket_types->n, BUCKETS_MAX);
    ck_assert(config_set(&r.c, "bucket_types", "", "test", &e));
    ck_assert_ptr_null(r.c.bucket_types);
    mem_free(commas);
    mem_free(most);
    mem_free(more);
    mem_free(fits);
    mem_free(longer);
    done(&r);
}
END_TEST

START_TEST(the_longest_prefix_counts)
{
    static const struct {
        const char *key;
        enum consistency read, write;
    } cases[] = {
        {"", CONSISTENCY_DC_ONE, CONSISTENCY_DC_ONE},
        {"b", CONSISTENCY_DC_ONE, CONSISTENCY_DC_ONE},
        {"u", CONSISTENCY_DC_QUORUM, CONSISTENCY_DC_ONE},
        {"us", CONSISTENCY_DC_QUORUM, CONSISTENCY_DC_ONE},
        {"user:", CONSISTENCY_DC_SAFE_QUORUM, CONSISTENCY_DC_QUORUM},
        {"user:a", CONSISTENCY_DC_SAFE_QUORUM, CONSISTENCY_DC_QUORUM},
        {"user:x:1", CONSISTENCY_DC_EACH_SAFE_QUORUM, CONSISTENCY_DC_SAFE_QUORUM},
        {"user:y", CONSISTENCY_DC_SAFE_QUORUM, CONSISTENCY_DC_QUORUM},
        {"user:\xff", CONSISTENCY_DC_SAFE_QUORUM, CONSISTENCY_DC_QUORUM},
        {"user;", CONSISTENCY_DC_QUORUM, CONSISTENCY_DC_ONE},
        {"v", CONSISTENCY_DC_ONE, CONSISTENCY_DC_ONE},
        {"{u}ser:", CONSISTENCY_DC_ONE, CONSISTENCY_DC_ONE},
    };
    struct run r =
        run_flags("--bucket-types", "user:x:DC_EACH_SAFE_QUORUM:DC_SAFE_QUORUM", "--bucket-types",
                  "u:DC_QUORUM:DC_ONE", "--bucket-types", "user::DC_SAFE_QUORUM:DC_QUORUM", NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice key = slice_str(cases[i].key);
        ck_assert_msg(config_read_level(&r.c, key) == cases[i].read, "%s", cases[i].key);
        ck_assert_msg(config_write_level(&r.c, key) == cases[i].write, "%s", cases[i].key);
    }
    done(&r);
}
END_TEST

/* Prefixes of a small alphabet, in any order, against looking at each of them. */
START_TEST(prefixes_are_found_as_by_looking_at_each)
{
    uint32_t state = (uint32_t)_i + 1;
    struct buckets *b = NULL;
    for (unsigned i = 0; i < 60; i++) {
        char text[5] = "";
        size_t len = 1 + random_next(&state) % 4;
        for (size_t k = 0; k < len; k++)
            text[k] = (char)('a' + random_next(&state) % 3);
        bool there = false;
        for (size_t k = 0; b && k < b->n; k++)
            there |= b->bucket[k].len == len && memcmp(b->bucket[k].prefix, text, len) == 0;
        ck_assert(buckets_add(&b, slice_of(text, len), 0, 0) == !there);
    }
    for (unsigned i = 0; i < 500; i++) {
        char key[6];
        size_t len = random_next(&state) % 7;
        const struct bucket *best = NULL;
        for (size_t k = 0; k < len; k++)
            key[k] = (char)('a' + random_next(&state) % 4);
        for (size_t k = 0; k < b->n; k++)
            if (b->bucket[k].len <= len &&
                memcmp(key, b->bucket[k].prefix, b->bucket[k].len) == 0 &&
                (!best || b->bucket[k].len > best->len))
                best = &b->bucket[k];
        ck_assert_ptr_eq(buckets_find(b, slice_of(key, len)), best);
    }
    buckets_free(b);
}
END_TEST

START_TEST(reload_changes_what_may_change)
{
    static const char first[] = "p:\n  hint_drain_rate: 5\n";
    static const char broken[] = "p:\n  hint_drain_rate: 7\n  nonsense: 1\n";
    write_file(first, sizeof first - 1);
    char *argv[] = {mem_strdup("dynomited"), mem_strdup("-c"), mem_strdup("t.yaml"),
                    mem_strdup("--hint-ttl-seconds"), mem_strdup("7")};
    struct run r = run_argv(ARRAY_LEN(argv), argv);
    struct error e;
    ck_assert_uint_eq(r.c.hint_drain_rate, 5);
    static const char text[] =
        "p:\n  hint_drain_rate: 6\n  hint_ttl_seconds: 8\n  timeout: 9\n"
        "  hint_sync: never\n  sloppy_quorum: no\n  read_consistency: DC_QUORUM\n"
        "  bucket_types: ['a:DC_ONE:DC_QUORUM']\n";
    write_file(text, sizeof text - 1);
    ck_assert(config_reload(ARRAY_LEN(argv), argv, &r.c, &e));
    ck_assert_uint_eq(r.c.hint_drain_rate, 6);
    ck_assert_uint_eq(r.c.hint_ttl_seconds, 7); /* a flag wins */
    ck_assert_uint_eq(r.c.timeout, 5000);       /* needs a restart */
    ck_assert_int_eq(r.c.hint_sync, SYNC_NEVER);
    ck_assert(!r.c.sloppy_quorum);
    ck_assert_int_eq(config_read_level(&r.c, slice_str("b")), CONSISTENCY_DC_QUORUM);
    ck_assert_int_eq(config_read_level(&r.c, slice_str("a")), CONSISTENCY_DC_ONE);
    ck_assert_int_eq(config_write_level(&r.c, slice_str("a")), CONSISTENCY_DC_QUORUM);
    write_file(broken, sizeof broken - 1);
    ck_assert(!config_reload(ARRAY_LEN(argv), argv, &r.c, &e));
    ck_assert_str_eq(e.text,
                     "t.yaml:3: nonsense: found an unknown key; allowed are those in --help");
    ck_assert_uint_eq(r.c.hint_drain_rate, 6);
    ck_assert_int_eq(remove("t.yaml"), 0);
    ck_assert(!config_reload(ARRAY_LEN(argv), argv, &r.c, &e));
    ck_assert_uint_eq(r.c.hint_drain_rate, 6);
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        mem_free(argv[i]);
    done(&r);
}
END_TEST

/* --- -h -V -t --print-conf ---------------------------------------------------------------------
 */

START_TEST(help_names_every_flag)
{
    struct run r = run_flags("-h", NULL);
    ck_assert_int_eq(r.result, CONFIG_EXIT_OK);
    ck_assert_str_eq(r.err, "");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *flag = mem_printf("--%s ", keys[i].key);
        for (char *p = flag; *p; p++)
            *p = *p == '_' ? '-' : *p;
        ck_assert_msg(strstr(r.out, flag) != NULL, "%s", flag);
        mem_free(flag);
    }
    ck_assert_ptr_nonnull(strstr(r.out, "  -v, --verbosity N"));
    ck_assert_ptr_nonnull(strstr(r.out, "(default 5)"));
    ck_assert_ptr_nonnull(strstr(r.out, "(only none so far)"));
    ck_assert_ptr_nonnull(strstr(r.out, ": " LEVELS " (default DC_ONE)"));
    done(&r);
}
END_TEST

START_TEST(version_is_told)
{
    struct run r = run_flags("--version", "--nothing-behind-it", NULL);
    ck_assert_int_eq(r.result, CONFIG_EXIT_USAGE); /* a mistake is one wherever it stands */
    done(&r);
    r = run_flags("-V", NULL);
    ck_assert_int_eq(r.result, CONFIG_EXIT_OK);
    ck_assert_int_eq(strncmp(r.out, "dynomited ", 10), 0);
    done(&r);
}
END_TEST

START_TEST(test_conf_says_ok)
{
    write_file("a:\n", 3);
    struct run r = run_flags("-t", "-c", "t.yaml", NULL);
    ck_assert_int_eq(r.result, CONFIG_EXIT_OK);
    ck_assert_str_eq(r.out, "configuration file t.yaml syntax is ok\n");
    ck_assert_str_eq(r.err, "");
    done(&r);
    r = run_flags("-t", NULL);
    ck_assert_int_eq(r.result, CONFIG_EXIT_OK);
    ck_assert_str_eq(r.out, "configuration is ok\n");
    done(&r);
    write_file("a: 1\n", 5);
    r = run_flags("-t", "-c", "t.yaml", NULL);
    expect_error(&r, "t.yaml:1: a: ", "found a single value; allowed a mapping of keys");
}
END_TEST

START_TEST(print_conf_reads_back)
{
    struct run r =
        run_flags("--print-conf", "--pool-name", "true", "--cluster-secret",
                  "a'b\"c\\d \n\t\x01 e: #\xc3\xa9\xe2\x80\xa8", "--tokens", "5,6", "--dyn-seeds",
                  "[::1]:1:r:d:1,2", "--dyn-seeds", "h:1:r:d:3", "--hash-tag", "{}", NULL);
    ck_assert_int_eq(r.result, CONFIG_EXIT_OK);
    write_file(r.out, strlen(r.out));
    struct run again = run_flags("-c", "t.yaml", NULL);
    ck_assert_msg(again.result == CONFIG_RUN, "%s%s", r.out, again.err);
    ck_assert_str_eq(again.c.pool_name, "true");
    ck_assert_str_eq(again.c.cluster_secret, "a'b\"c\\d \n\t\x01 e: #\xc3\xa9\xe2\x80\xa8");
    ck_assert_uint_eq(again.c.nseeds, 2);
    char *text = printed(&again.c);
    ck_assert_str_eq(text, r.out);
    free(text);
    done(&again);
    done(&r);
}
END_TEST

START_TEST(print_conf_says_when_it_cannot)
{
    struct run r = run_flags(NULL, NULL);
    FILE *full = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(full);
    ck_assert(!config_print(&r.c, full));
    fclose(full);
    done(&r);
}
END_TEST

START_TEST(the_example_is_the_defaults)
{
    struct run plain = run_flags(NULL, NULL), r = run_flags("-c", CONF_EXAMPLE, NULL);
    ck_assert_msg(r.result == CONFIG_RUN, "%s", r.err);
    ck_assert_str_eq(r.err, "");
    char *a = printed(&plain.c), *b = printed(&r.c);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    done(&plain);
    done(&r);
}
END_TEST

START_TEST(the_example_names_every_key)
{
    FILE *f = fopen(CONF_EXAMPLE, "r");
    ck_assert_ptr_nonnull(f);
    char text[16384];
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *plain = mem_printf("\n  %s:", keys[i].key);
        char *comment = mem_printf("\n  # %s:", keys[i].key);
        ck_assert_msg(strstr(text, plain) || strstr(text, comment), "%s", keys[i].key);
        mem_free(plain);
        mem_free(comment);
    }
}
END_TEST

START_TEST(names_of_levels)
{
    ck_assert_str_eq(consistency_name(CONSISTENCY_DC_ONE), "DC_ONE");
    ck_assert_str_eq(consistency_name(CONSISTENCY_DC_QUORUM), "DC_QUORUM");
    ck_assert_str_eq(consistency_name(CONSISTENCY_DC_SAFE_QUORUM), "DC_SAFE_QUORUM");
    ck_assert_str_eq(consistency_name(CONSISTENCY_DC_EACH_SAFE_QUORUM), "DC_EACH_SAFE_QUORUM");
}
END_TEST

/* --- garbage -----------------------------------------------------------------------------------
 */

/* One line or none, and a result: whatever the bytes are. */
static void expect_sane(const void *text, size_t len)
{
    write_file(text, len);
    struct run r = run_flags("-c", "t.yaml", NULL);
    const char *newline = strchr(r.err, '\n');
    if (r.result == CONFIG_EXIT_USAGE)
        ck_assert(newline && !newline[1] && strstr(r.err, ": found ") &&
                  strstr(r.err, "; allowed "));
    else
        ck_assert_int_eq(r.result, CONFIG_RUN);
    done(&r);
}

START_TEST(random_bytes_are_refused_in_one_line)
{
    uint32_t state = (uint32_t)_i;
    char text[512];
    size_t len = random_next(&state) % sizeof text;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)random_next(&state);
    expect_sane(text, len);
}
END_TEST

/* Pieces that mean something, in an order that doesn't. */
START_TEST(random_pieces_are_refused_in_one_line)
{
    static const char *const pieces[] = {
        "dyn_o_mite", ":",     " ",         "\n", "\n  ",      "- ",        "[",
        "]",          "{",     "}",         ",",  "'",         "\"",        "&a",
        "*a",         "|",     ">",         "#",  "? ",        "!!",        "%",
        "---\n",      "...\n", "tokens",    "1",  "dyn_seeds", "h:1:r:d:1", "servers",
        "timeout",    "\\",    "mbuf_size", "\t", "~",         "<<",        "\xc3\xa9",
        "data_store", "redis"};
    uint32_t state = (uint32_t)_i + 77777;
    struct buf b = BUF_INIT;
    if (_i % 2)
        buf_add_str(&b, "dyn_o_mite:\n  ");
    for (uint32_t n = random_next(&state) % 40; n; n--)
        buf_add_str(&b, pieces[random_next(&state) % ARRAY_LEN(pieces)]);
    expect_sane(buf_head(&b), b.len);
    buf_fini(&b);
}
END_TEST

/* The example with bytes changed or cut off. */
START_TEST(damaged_files_are_refused_in_one_line)
{
    uint32_t state = (uint32_t)_i + 1234;
    FILE *f = fopen(CONF_EXAMPLE, "r");
    ck_assert_ptr_nonnull(f);
    char text[16384];
    size_t len = fread(text, 1, sizeof text, f);
    fclose(f);
    for (int n = 0; n < 3; n++)
        text[random_next(&state) % len] = (char)(random_next(&state) % 128);
    expect_sane(text, _i % 4 ? len : random_next(&state) % len);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    struct buf b = BUF_INIT;
    buf_add_str(&b, "a: ");
    for (int i = 0; i < 20000; i++)
        buf_add_str(&b, _i ? "{a: " : "[");
    expect_sane(buf_head(&b), b.len);
    buf_fini(&b);
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return t;
}

static Suite *suite(void)
{
    Suite *s = suite_create("config");
    TCase *t = add_case(s, "options");
    tcase_add_loop_test(t, key_has_its_default, 0, (int)ARRAY_LEN(keys));
    tcase_add_loop_test(t, key_works_in_the_file, 0, (int)ARRAY_LEN(keys));
    tcase_add_loop_test(t, key_works_as_a_flag, 0, (int)ARRAY_LEN(keys));
    tcase_add_test(t, every_printed_key_is_tested);
    tcase_add_test(t, fields_hold_what_the_file_says);
    tcase_add_loop_test(t, all_hashes_are_known, 0, 14);
    tcase_add_loop_test(t, booleans, 0, 8);
    tcase_add_test(t, process_flags);
    tcase_add_test(t, names_of_levels);

    t = add_case(s, "precedence");
    tcase_add_test(t, a_flag_wins_wherever_it_stands);
    tcase_add_test(t, a_list_of_flags_replaces_the_list_of_the_file);
    tcase_add_test(t, the_last_of_two_flags_wins);
    tcase_add_test(t, an_empty_pool_is_all_defaults);
    tcase_add_test(t, an_empty_value_is_an_empty_text_or_list);

    t = add_case(s, "mistakes");
    tcase_add_loop_test(t, mistake_in_the_file, 0, (int)ARRAY_LEN(mistakes));
    tcase_add_loop_test(t, mistake_in_the_document, 0, (int)ARRAY_LEN(documents));
    tcase_add_loop_test(t, mistake_in_the_flags, 0, (int)ARRAY_LEN(flag_mistakes));
    tcase_add_test(t, only_the_first_mistake_is_told);
    tcase_add_test(t, a_long_value_is_cut);
    tcase_add_test(t, too_many_tokens);
    tcase_add_test(t, a_file_too_large);

    t = add_case(s, "netflix");
    tcase_add_test(t, keys_that_mean_nothing_are_warned_about);
    tcase_add_test(t, flags_that_mean_nothing_are_warned_about);
    tcase_add_test(t, a_file_for_netflix_dynomite_loads);

    t = add_case(s, "answers");
    tcase_add_checked_fixture(t, rcu_start, rcu_stop);
    tcase_add_test(t, help_names_every_flag);
    tcase_add_test(t, version_is_told);
    tcase_add_test(t, test_conf_says_ok);
    tcase_add_test(t, dump_shows_all_but_secrets);
    tcase_add_test(t, no_password_where_the_protocol_has_none);
    tcase_add_test(t, password);
    tcase_add_loop_test(t, set_of_each_key, 0, (int)ARRAY_LEN(keys));
    tcase_add_test(t, set_is_checked);
    tcase_add_test(t, buckets_are_bounded);
    tcase_add_test(t, the_longest_prefix_counts);
    tcase_add_loop_test(t, prefixes_are_found_as_by_looking_at_each, 0, 20);
    tcase_add_test(t, reload_changes_what_may_change);
    tcase_add_test(t, print_conf_reads_back);
    tcase_add_test(t, print_conf_says_when_it_cannot);
    tcase_add_test(t, the_example_is_the_defaults);
    tcase_add_test(t, the_example_names_every_key);

    t = add_case(s, "garbage");
    tcase_add_loop_test(t, random_bytes_are_refused_in_one_line, 0, 300);
    tcase_add_loop_test(t, random_pieces_are_refused_in_one_line, 0, 600);
    tcase_add_loop_test(t, damaged_files_are_refused_in_one_line, 0, 300);
    tcase_add_loop_test(t, deep_nesting_is_refused, 0, 2);
    return s;
}

int main(void)
{
    char dir[] = "/tmp/test_config.XXXXXX";
    if (!mkdtemp(dir) || chdir(dir) != 0)
        return EXIT_FAILURE;
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    unlink("t.yaml");
    if (chdir("/") != 0 || rmdir(dir) != 0)
        return EXIT_FAILURE;
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
