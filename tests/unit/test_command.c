/* The command table: what is found, where the keys are, what a command line is to replication, and
 * what its replicas get. tests/unit/command-table.py compares the rest with a redis-server. */
#include "core/mem.h"
#include "wire/command.h"
#include "wire/command_table.h"
#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW 1700000000000

/* A command line given as words with single blanks between. Each word lies in a block of its own of
 * exactly its size, so that the address sanitizer sees a byte read too far. */
struct line {
    struct resp_command cmd;
    const struct command_spec *spec;
};

static struct line line_make(const char *text)
{
    struct line l = {0};
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " ");
        l.cmd.argv = mem_realloc(l.cmd.argv, (l.cmd.argc + 1) * sizeof *l.cmd.argv);
        l.cmd.argv[l.cmd.argc++] = slice_of(mem_dup(p, n), n);
        p += n;
        p += *p == ' ';
    }
    l.spec = command_find(l.cmd.argv[0]);
    ck_assert_msg(l.spec != NULL, "%s: unknown", text);
    return l;
}

static void line_free(struct line *l)
{
    for (size_t i = 0; i < l->cmd.argc; i++)
        mem_free((void *)(uintptr_t)l->cmd.argv[i].ptr);
    resp_command_fini(&l->cmd);
}

/* ---- finding -------------------------------------------------------------------------------- */

START_TEST(test_find_every_row_in_any_case)
{
    size_t n;
    const struct command_spec *t = command_table(&n);
    ck_assert_uint_gt(n, 200);
    for (size_t i = 0; i < n; i++) {
        char *name = mem_strdup(t[i].name);
        ck_assert_ptr_eq(command_find(slice_str(name)), &t[i]);
        for (size_t c = 0; c < strlen(name); c += 2)
            name[c] = (char)tolower(name[c]);
        ck_assert_ptr_eq(command_find(slice_str(name)), &t[i]);
        mem_free(name);
    }
}
END_TEST

START_TEST(test_find_nothing)
{
    ck_assert_ptr_null(command_find(slice_of(NULL, 0)));
    ck_assert_ptr_null(command_find(slice_str("GE")));
    ck_assert_ptr_null(command_find(slice_str("GETT")));
    ck_assert_ptr_null(command_find(slice_str("HEXPIRE")));
    ck_assert_ptr_null(command_find(slice_str("a name that is longer than all the others are")));
    ck_assert_ptr_null(command_find(slice_of("GET\0X", 5)));
    ck_assert_ptr_null(command_find(slice_of("GET\0", 4)));
}
END_TEST

START_TEST(test_rows_are_complete)
{
    size_t n;
    const struct command_spec *t = command_table(&n);
    for (size_t i = 0; i < n; i++) {
        const struct command_spec *c = &t[i];
        bool refused = c->class_ == COMMAND_REFUSED;
        bool partly = c->rule == RULE_SORT || c->rule == RULE_COPY || c->rule == RULE_XREAD;
        ck_assert_msg((c->refusal != NULL) == (refused || partly), "%s: reason", c->name);
        ck_assert_msg(!refused || c->flags == 0, "%s: flags of a refused one", c->name);
        ck_assert_msg(!c->refusal || strstr(c->refusal, c->name) == c->refusal + 1,
                      "%s: the reason doesn't name it", c->name);
        ck_assert_msg((c->class_ == COMMAND_LOCAL) == (c->first == 0) || refused ||
                          c->rule == RULE_SUBCOMMAND || c->rule == RULE_XREAD ||
                          command_count_at(c) || (c->flags & COMMAND_RING) ||
                          strcmp(c->name, "WATCH") == 0,
                      "%s: keys", c->name);
    }
}
END_TEST

START_TEST(test_subcommands_are_complete)
{
    size_t n;
    const struct command_sub *s = command_subs(&n);
    for (size_t i = 0; i < n; i++) {
        const struct command_spec *c = command_find(slice_str(s[i].container));
        ck_assert_ptr_nonnull(c);
        ck_assert_msg(!s[i].refusal || strstr(s[i].refusal, c->name) == s[i].refusal + 1,
                      "%s %s: the reason doesn't name it", c->name, s[i].name);
        ck_assert_msg(s[i].refusal || s[i].key || c->class_ == COMMAND_LOCAL ||
                          c->class_ == COMMAND_REFUSED || c->flags & COMMAND_RING ||
                          strcmp(s[i].name, "HELP") == 0,
                      "%s %s: neither a key nor a reason", c->name, s[i].name);
        ck_assert_msg(!s[i].key || c->rule == RULE_SUBCOMMAND, "%s: its keys", c->name);
    }
}
END_TEST

/* The commands with a flag, in the order of the table, with blanks around each. */
static char *names_with(unsigned flag)
{
    struct buf names = BUF_INIT;
    size_t n;
    const struct command_spec *t = command_table(&n);
    for (size_t i = 0; i < n; i++)
        if (t[i].flags & flag)
            buf_printf(&names, "%s ", t[i].name);
    buf_add(&names, "", 1);
    char *text = mem_strdup((const char *)buf_head(&names));
    buf_fini(&names);
    return text;
}

START_TEST(test_flags)
{
    static const struct {
        unsigned flag;
        const char *names;
    } sets[] = {
        {COMMAND_EMBEDDED,
         "APPEND DECR DECRBY DEL EXISTS EXPIRE EXPIREAT EXPIRETIME FLUSHALL FLUSHDB GET GETDEL "
         "GETEX GETRANGE "
         "GETSET INCR INCRBY INCRBYFLOAT MGET MSET PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PSETEX "
         "PTTL SET SETEX SETNX SETRANGE STRLEN SUBSTR TOUCH TRANSACTION TTL TYPE UNLINK VERSIONS "},
        {COMMAND_RECORD, "TRANSACTION VERSIONS "},
        {COMMAND_SPLIT, "DEL EXISTS MGET MSET TOUCH UNLINK "},
        {COMMAND_NODE_STORE, "DBSIZE KEYS RANDOMKEY SCAN "},
        {COMMAND_MEMCACHE, "MA MD MG MN MS STATS VERBOSITY VERSION "},
        {COMMAND_SHARES_OUT, "XACK XAUTOCLAIM XCLAIM XREADGROUP "},
        {COMMAND_UNDETERMINED, "EVAL EVALSHA FCALL SPOP XAUTOCLAIM XCLAIM XREADGROUP "},
    };
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        char *found = names_with(sets[i].flag);
        ck_assert_str_eq(found, sets[i].names);
        mem_free(found);
    }
}
END_TEST

/* ---- number of arguments -------------------------------------------------------------------- */

#define HASH "0123456789012345678901234567890123456789"
#define UNBALANCED                                                                                 \
    "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
#define OF_GROUPS(option)                                                                          \
    "ERR The " option " option is only supported by XREADGROUP. You called XREAD instead."

static const struct {
    const char *line, *error; /* NULL: fine */
} arities[] = {
    {"GET k", NULL},
    {"get", "ERR wrong number of arguments for 'get' command"},
    {"GET k k", "ERR wrong number of arguments for 'get' command"},
    {"MSET a 1", NULL},
    {"MSET a", "ERR wrong number of arguments for 'mset' command"},
    {"MSET a 1 b", "ERR wrong number of arguments for 'mset' command"},
    {"MSET a 1 b 2", NULL},
    {"MSETNX a 1 b", "ERR wrong number of arguments for 'msetnx' command"},
    {"DEL", "ERR wrong number of arguments for 'del' command"},
    {"DEL a b c", NULL},
    {"PING", NULL},
    {"GEORADIUSBYMEMBER_RO k", "ERR wrong number of arguments for 'georadiusbymember_ro' command"},
    {"OBJECT", "ERR wrong number of arguments for 'object' command"},
    {"object encoding", "ERR wrong number of arguments for 'object|encoding' command"},
    {"OBJECT encoding k", NULL},
    {"OBJECT HELP", NULL},
    {"OBJECT nonsense k", "ERR unknown subcommand 'nonsense'. Try OBJECT HELP."},
    {"FUNCTION NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try FUNCTION HELP."},
    {"XGROUP CREATECONSUMER k g",
     "ERR wrong number of arguments for 'xgroup|createconsumer' command"},
    {"XGROUP CREATE k g $ MKSTREAM", NULL},
    {"EVAL", "ERR wrong number of arguments for 'eval' command"},
    {"EVAL s", "ERR wrong number of arguments for 'eval' command"},
    {"EVAL s 0", NULL},
    {"EVAL s 2 k l a", NULL},
    {"eval s 2 k", "ERR Number of keys can't be greater than number of args"},
    {"EVALSHA s -1 k", "NOSCRIPT No matching script. Please use EVAL."},
    {"EVALSHA " HASH " -1 k", "ERR Number of keys can't be negative"},
    {"EVAL_RO s x k", "ERR value is not an integer or out of range"},
    {"EVALSHA_RO s 0", "NOSCRIPT No matching script. Please use EVAL."},
    {"EVALSHA_RO " HASH " 9223372036854775807 k",
     "ERR Number of keys can't be greater than number of args"},
    {"EVALSHA_RO " HASH " 9223372036854775808 k", "ERR value is not an integer or out of range"},
    {"FCALL f x k", NULL}, /* the store says whether there is f, or else what is wrong with x */
    {"FCALL f 2 k", NULL},
    {"SINTERCARD x k", "ERR numkeys should be greater than 0"},
    {"SINTERCARD 0 k", "ERR numkeys should be greater than 0"},
    {"SINTERCARD 2 k", "ERR Number of keys can't be greater than number of args"},
    {"SINTERCARD 1 k LIMIT", NULL},
    {"LMPOP x k LEFT", "ERR numkeys should be greater than 0"},
    {"LMPOP 9223372036854775807 k LEFT", "ERR syntax error"},
    {"LMPOP 2 k LEFT", "ERR syntax error"},
    {"LMPOP 2 k LEFT LEFT", NULL},
    {"ZMPOP -1 k MIN", "ERR numkeys should be greater than 0"},
    {"ZMPOP 1 k MIN what", NULL},
    {"ZUNION x k", "ERR value is not an integer or out of range"},
    {"zinter 0 k", "ERR at least 1 input key is needed for 'zinter' command"},
    {"ZDIFF 2 k", "ERR syntax error"},
    {"ZINTERCARD 9223372036854775807 k", "ERR syntax error"},
    {"ZUNIONSTORE d 0 k", "ERR at least 1 input key is needed for 'zunionstore' command"},
    {"ZUNIONSTORE d 2 k", "ERR syntax error"},
    {"ZUNIONSTORE d 1", "ERR wrong number of arguments for 'zunionstore' command"},
    {"ZINTERSTORE d 2 k k WEIGHTS", NULL},
    {"BLMPOP 0 x k LEFT", NULL}, /* refused, whatever it says */
    {"XREAD STREAMS k", "ERR wrong number of arguments for 'xread' command"},
    {"XREAD STREAMS k 0", NULL},
    {"XREAD STREAMS k j 0", UNBALANCED},
    {"XREAD COUNT x STREAMS k 0", "ERR value is not an integer or out of range"},
    {"XREAD COUNT 1 STREAMS", "ERR syntax error"},
    {"XREAD COUNT 1 COUNT 2", "ERR syntax error"},
    {"XREAD what STREAMS k 0", "ERR syntax error"},
    {"XREAD BLOCK x STREAMS k 0", NULL},
    {"XREAD GROUP g c STREAMS k 0", OF_GROUPS("GROUP")},
    {"XREAD COUNT 5 NOACK STREAMS k j 0", OF_GROUPS("NOACK")},
    {"XREADGROUP GROUP g c STREAMS k >", NULL},
    {"XREADGROUP NOACK GROUP g c STREAMS STREAMS >", NULL},
    {"XREADGROUP GROUP g c STREAMS k j >", UNBALANCED},
    {"XREADGROUP COUNT 1 NOACK STREAMS k >", "ERR Missing GROUP option for XREADGROUP"},
    {"XREADGROUP COUNT 1 GROUP g c STREAMS", "ERR syntax error"},
    {"COMMAND", NULL},
    {"ACL NOPE", "ERR unknown subcommand 'NOPE'. Try ACL HELP."},
    {"CONFIG nope", "ERR unknown subcommand 'nope'. Try CONFIG HELP."},
    {"CLIENT SETINFO LIB-NAME x", NULL}, /* of 7.2 */
};

START_TEST(test_arity)
{
    struct line l = line_make(arities[_i].line);
    struct error e = {""};
    ck_assert(command_arity_ok(l.spec, &l.cmd, &e) == !arities[_i].error);
    ck_assert_str_eq(e.text, arities[_i].error ? arities[_i].error : "");
    line_free(&l);
}
END_TEST

/* What Redis looks at before EXEC, and what it says only then. */
START_TEST(test_queued)
{
    static const struct {
        const char *line;
        bool may;
    } lines[] = {
        {"GET k", true},          {"GET", false},           {"GET k k", false},
        {"ZUNION 0 k", true},     {"ZUNION x k", true},     {"ZUNION 9 k", true},
        {"EVAL s 3 k", true},     {"MSET k v k", true},     {"XREAD STREAMS k j 0", true},
        {"OBJECT NOPE k", false}, {"OBJECT FREQ", false},   {"ACL NOPE", false},
        {"CONFIG GET", false},    {"XGROUP CREATE", false}, {"COMMAND", true},
        {"EVAL s", false},        {"CLIENT NOPE", true}, /* it has more than Redis 7.0's */
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct line l = line_make(lines[i].line);
        ck_assert_msg(command_may_be_queued(l.spec, &l.cmd) == lines[i].may, "%s", lines[i].line);
        line_free(&l);
    }
}
END_TEST

START_TEST(test_long_subcommand_is_cut)
{
    char text[600] = "OBJECT ";
    memset(text + 7, 'x', sizeof text - 8);
    struct line l = line_make(text);
    struct error e;
    ck_assert(!command_arity_ok(l.spec, &l.cmd, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "xxx'. Try OBJECT HELP."));
    line_free(&l);
}
END_TEST

/* ---- keys, class, what is overwritten, blind replies ------------------------------------------
 */

#define R COMMAND_READ
#define O COMMAND_OVERWRITE
#define C COMMAND_CHANGE
#define L COMMAND_LOCAL
#define X COMMAND_REFUSED

static const struct {
    const char *line;
    enum command_class class_;
    const char *keys, *overwritten; /* places in the line; NULL: the same as keys */
    bool undetermined, blind;
} kinds[] = {
    {"GET k", R, "1", "", false, false},
    {"MGET a b c", R, "1 2 3", "", false, false},
    {"EXISTS a b", R, "1 2", "", false, false},
    {"TOUCH a", R, "1", "", false, false},
    {"PFCOUNT a b", R, "1 2", "", false, false},
    {"SRANDMEMBER k", R, "1", "", false, false},
    {"LCS a b", R, "1 2", "", false, false},
    {"DUMP k", R, "1", "", false, false},
    {"OBJECT FREQ k", R, "2", "", false, false},
    {"object encoding k", R, "2", "", false, false},
    {"OBJECT HELP", R, "", "", false, false},
    {"MEMORY USAGE k", R, "2", "", false, false},
    {"MEMORY DOCTOR", X, "", "", false, false},
    {"MEMORY HELP", R, "", "", false, false},
    {"XINFO STREAM k FULL", R, "2", "", false, false},
    {"XINFO HELP", R, "", "", false, false},
    {"XGROUP CREATE k g $", C, "2", "", false, false},
    {"XGROUP HELP", R, "", "", false, false},

    {"SET k v", O, "1", NULL, false, true},
    {"set k v px 5 keepttl", O, "1", NULL, false, true},
    {"SET k v KEEPTTL", O, "1", NULL, false, true},
    {"SET k v GET", O, "1", NULL, false, false},
    {"SET k v NX", C, "1", "", false, false},
    {"SET k v EX 5 xx", C, "1", "", false, false},
    {"SET k v GET NX", C, "1", "", false, false},
    {"SET NX XX", O, "1", NULL, false, true},
    {"SETEX k 1 v", O, "1", NULL, false, true},
    {"PSETEX k 1 v", O, "1", NULL, false, true},
    {"SETNX k v", C, "1", "", false, false},
    {"MSET a 1 b 2", O, "1 3", NULL, false, true},
    {"MSETNX a 1 b 2", C, "1 3", "", false, false},
    {"DEL a b", O, "1 2", NULL, false, false},
    {"UNLINK a", O, "1", NULL, false, false},
    {"GETSET k v", O, "1", NULL, false, false},
    {"GETDEL k", O, "1", NULL, false, false},
    {"GETEX k", R, "1", "", false, false},
    {"GETEX k EX 5", C, "1", "", false, false},
    {"GETEX k PERSIST", C, "1", "", false, false},
    {"GETEX k PXAT 0", R, "1", "", false, false}, /* what is wrong with it may be all it does */
    {"GETEX k EX x", R, "1", "", false, false},
    {"GETEX k EX 5 EX -5", R, "1", "", false, false},
    {"GETEX k EX 9223372036854775", R, "1", "", false, false},
    {"GETEX k PX 9223370336854775807", C, "1", "", false, false},
    {"GETEX k EX 0 PERSIST", C, "1", "", false, false},
    {"INCR k", C, "1", "", false, false},
    {"APPEND k v", C, "1", "", false, false},
    {"EXPIRE k 5", C, "1", "", false, false},
    {"HSET k f v", C, "1", "", false, false},
    {"PFMERGE d a b", C, "1 2 3", "", false, false},
    {"LMOVE a b LEFT LEFT", C, "1 2", "", false, false},
    {"SMOVE a b m", C, "1 2", "", false, false},

    {"RESTORE k 0 x", C, "1", "", false, false},
    {"RESTORE k 0 x replace", O, "1", NULL, false, false},
    {"RENAME a b", O, "1 2", NULL, false, false},
    {"RENAMENX a b", C, "1 2", "", false, false},
    {"COPY a b", C, "1 2", "", false, false},
    {"COPY a b REPLACE", O, "1 2", "2", false, false},
    {"COPY a b DB 0 REPLACE", O, "1 2", "2", false, false},
    {"COPY a b DB 1", X, "1 2", "", false, false},
    {"COPY a b DB x", C, "1 2", "", false, false},
    {"BITOP AND d a b", O, "2 3 4", "2", false, false},
    {"SUNIONSTORE d a b", O, "1 2 3", "1", false, false},
    {"SINTERSTORE d a", O, "1 2", "1", false, false},
    {"SDIFFSTORE d a", O, "1 2", "1", false, false},
    {"ZRANGESTORE d s 0 -1", O, "1 2", "1", false, false},
    {"GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m", O, "1 2", "1", false, false},
    {"GEORADIUS k 1 1 1 m ASC", R, "1", "", false, false},
    {"GEORADIUS k 1 1 1 m STORE d", O, "1 7", "7", false, false},
    {"GEORADIUS k 1 1 1 m STORE", R, "1", "", false, false},
    {"GEORADIUSBYMEMBER k m 1 m STOREDIST d", O, "1 6", "6", false, false},
    {"GEORADIUSBYMEMBER k store 1 m", R, "1", "", false, false},
    {"GEORADIUSBYMEMBER_RO k m 1 m", R, "1", "", false, false},
    {"SORT k", R, "1", "", false, false},
    {"SORT k LIMIT 0 STORE ASC", R, "1", "", false, false},
    {"SORT k STORE d", O, "1 3", "3", false, false},
    {"SORT k BY nosort GET # STORE d", O, "1 7", "7", false, false},
    {"SORT k STORE c STORE d", O, "1 5", "5", false, false},
    {"SORT k BY w_*", X, "1", "", false, false},
    {"SORT k GET # GET o_*->f", X, "1", "", false, false},
    {"SORT_RO k GET o_*", X, "1", "", false, false},
    {"SORT_RO k DESC", R, "1", "", false, false},

    {"SPOP k", C, "1", "", true, false},
    {"XCLAIM k g c 0 1-1", C, "1", "", true, false},
    {"XCLAIM k g c 0 1-1 2-1 TIME 5 FORCE", C, "1", "", false, false},
    {"XCLAIM k g c 0 1-1 2-1 force time 5 JUSTID", C, "1", "", false, false},
    {"XCLAIM k g c 1 1-1 2-1 TIME 5 FORCE", C, "1", "", true, false},
    {"XCLAIM k g c 0 1-1 2-1 IDLE 5 FORCE", C, "1", "", true, false},
    {"XCLAIM k g c 0 1-1 2-1 TIME 5", C, "1", "", true, false},
    {"XCLAIM k g c 9223372036854775807 1-1 JUSTID", C, "1", "", false, false},
    {"XAUTOCLAIM k g c 0 0", C, "1", "", true, false},
    {"XADD k * f v", C, "1", "", true, false},
    {"XADD k 1-1 f v", C, "1", "", false, false},
    {"XADD k 1-1 f *", C, "1", "", false, false},
    {"XADD k 5-* f v", C, "1", "", true, false},
    {"XADD k NOMKSTREAM * f v", C, "1", "", true, false},
    {"XADD k NOMKSTREAM 5 f v", C, "1", "", false, false},
    {"XADD k MAXLEN 10 * f v", C, "1", "", true, false},
    {"XADD k MAXLEN 10 1 f v", C, "1", "", false, false},
    {"XADD k maxlen = 10 1 f v", C, "1", "", false, false},
    {"XADD k MAXLEN = 10 * f v", C, "1", "", true, false},
    {"XADD k MINID ~ 10 1 f v", C, "1", "", true, false},
    {"XADD k MAXLEN ~ 10 LIMIT 5 1 f v", C, "1", "", true, false},
    {"XADD k MAXLEN 10 LIMIT 5 * f v", C, "1", "", true, false},
    {"XADD k MAXLEN 10 LIMIT", C, "1", "", false, false},
    {"XTRIM k MAXLEN 10", C, "1", "", false, false},
    {"XTRIM k MAXLEN = 10", C, "1", "", false, false},
    {"XTRIM k MAXLEN ~ 10", C, "1", "", true, false},

    {"PING", L, "", "", false, false},
    {"SCAN 0", L, "", "", false, false},
    {"BLPOP a b 0", X, "1 2", "", false, false},
    {"WATCH k", L, "1", "", false, false},
    {"EVAL x 0", C, "", "", true, false},
    {"EVAL x 2 a b c", C, "3 4", "", true, false},
    {"EVALSHA " HASH " 1 a b c", C, "3", "", true, false},
    {"EVAL_RO x 1 a b c", R, "3", "", false, false},
    {"EVALSHA_RO " HASH " 3 a b c", R, "3 4 5", "", false, false},
    {"FCALL f 1 a b", C, "3", "", true, false},
    {"FCALL f 0 a b", C, "", "", true, false},
    {"FCALL f 3 a b", C, "", "", true, false},
    {"FCALL_RO f 2 a b", R, "3 4", "", false, false},

    {"ZUNION 2 a b WITHSCORES", R, "2 3", "", false, false},
    {"ZDIFF 1 a", R, "2", "", false, false},
    {"ZINTER 2 a b", R, "2 3", "", false, false},
    {"ZINTERCARD 2 a b LIMIT 1", R, "2 3", "", false, false},
    {"SINTERCARD 1 a", R, "2", "", false, false},
    {"LMPOP 2 a b LEFT", C, "2 3", "", false, false},
    {"ZMPOP 1 a MIN COUNT 2", C, "2", "", false, false},
    {"ZUNIONSTORE d 1 a", O, "1 3", "1", false, false},
    {"ZINTERSTORE d 2 d b WEIGHTS 1 2", O, "1 3 4", "1", false, false},
    {"ZDIFFSTORE d 2 a b", O, "1 3 4", "1", false, false},
    {"BLMPOP 0 2 a b LEFT", X, "3 4", "", false, false},
    {"BZMPOP 0 1 a MIN", X, "3", "", false, false},
    {"MIGRATE h 1 k 0 5", X, "3", "", false, false},
    {"MIGRATE h 1  0 5 AUTH keys AUTH2 keys keys COPY KEYS a b", X, "13 14", "", false, false},
    {"MIGRATE h 1  0 5 AUTH2 keys", X, "", "", false, false},

    {"XREAD STREAMS k 0", R, "2", "", false, false},
    {"xread count 1 streams a b 0 $", R, "4 5", "", false, false},
    {"XREAD BLOCK 0 STREAMS k 0", X, "4", "", false, false},
    {"XREAD COUNT 1 BLOCK 0 STREAMS k 0", X, "6", "", false, false},
    {"XREADGROUP GROUP streams c STREAMS a b > 0", C, "5 6", "", true, false},
    {"XREADGROUP NOACK COUNT 3 GROUP g block STREAMS k >", C, "8", "", true, false},
    {"XREADGROUP GROUP g c BLOCK 5 STREAMS k >", X, "7", "", true, false},
    {"FLUSHALL", O, "", "", false, true},
    {"FLUSHDB ASYNC", O, "", "", false, true},
    {"SCRIPT LOAD x", C, "", "", false, false},
    {"script exists x y", R, "", "", false, false},
    {"SCRIPT KILL", X, "", "", false, false},
    {"FUNCTION LOAD REPLACE x", C, "", "", false, false},
    {"FUNCTION DUMP", R, "", "", false, false},
};

typedef size_t keys_fn(const struct command_spec *, const struct resp_command *, size_t *, size_t);

static void check_places(const struct line *l, keys_fn *keys, const char *text, const char *places)
{
    size_t indexes[16];
    char found[64] = "";
    size_t n = keys(l->spec, &l->cmd, indexes, ARRAY_LEN(indexes));
    for (size_t i = 0, at = 0; i < n; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%zu", i ? " " : "", indexes[i]);
    ck_assert_msg(strcmp(found, places) == 0, "%s: places %s, not %s", text, found, places);
}

START_TEST(test_kind)
{
    const char *text = kinds[_i].line;
    struct line l = line_make(text);
    struct error e;
    ck_assert_msg(command_class_of(l.spec, &l.cmd) == kinds[_i].class_, "%s: class %d", text,
                  (int)command_class_of(l.spec, &l.cmd));
    ck_assert_msg(kinds[_i].class_ != X || command_refusal(l.spec, &l.cmd), "%s: no reason", text);
    ck_assert_msg(command_arity_ok(l.spec, &l.cmd, &e), "%s: %s", text, e.text);
    check_places(&l, command_keys, text, kinds[_i].keys);
    check_places(&l, command_overwritten, text,
                 kinds[_i].overwritten ? kinds[_i].overwritten : kinds[_i].keys);
    ck_assert_msg(command_undetermined(l.spec, &l.cmd) == kinds[_i].undetermined, "%s", text);
    const char *blind = command_blind_reply(l.spec, &l.cmd);
    ck_assert_msg((blind != NULL) == kinds[_i].blind, "%s: blind reply", text);
    if (blind)
        ck_assert_str_eq(blind, "+OK\r\n");
    line_free(&l);
}
END_TEST

START_TEST(test_more_keys_than_room)
{
    struct line l = line_make("DEL a b c d");
    size_t indexes[3] = {0, 0, 99};
    ck_assert_uint_eq(command_keys(l.spec, &l.cmd, indexes, 2), 4);
    ck_assert_uint_eq(command_keys(l.spec, &l.cmd, NULL, 0), 4);
    ck_assert_uint_eq(indexes[1], 2);
    ck_assert_uint_eq(indexes[2], 99);
    line_free(&l);
}
END_TEST

/* ---- lifetimes ------------------------------------------------------------------------------ */

#define EXPIRE_ERROR(name) "-ERR invalid expire time in '" name "' command"
#define NOT_AN_INTEGER     "-ERR value is not an integer or out of range"
#define SYNTAX             "-ERR syntax error"
#define MAX                "9223372036854775807"
/* the largest number of seconds, and of milliseconds from NOW */
#define SECONDS_MAX  "9223372036854775"
#define FROM_NOW_MAX "9223370336854775807"

static const struct {
    const char *line, *result; /* -...: the error */
} normal[] = {
    {"set k v", "set k v"},
    {"SET k v KEEPTTL", "SET k v KEEPTTL"},
    {"SET k v NX GET", "SET k v NX GET"},
    {"SET k v EX 10", "SET k v PXAT 1700000010000"},
    {"set k v px 10", "SET k v PXAT 1700000000010"},
    {"SET k v EXAT 10", "SET k v PXAT 10000"},
    {"SET k v PXAT 10", "SET k v PXAT 10"},
    {"SET k v xx EX 10 GET", "SET k v XX GET PXAT 1700000010000"},
    {"SET k v PX 10 NX", "SET k v NX PXAT 1700000000010"},
    {"SET k v EX 10 EX 20", "SET k v PXAT 1700000020000"},
    {"SET k v EXAT " SECONDS_MAX, "SET k v PXAT " SECONDS_MAX "000"},
    {"SET k v PXAT " MAX, "SET k v PXAT " MAX},
    {"SET k v PX " FROM_NOW_MAX, "SET k v PXAT " MAX},
    {"SET k v PX 9223370336854775808", EXPIRE_ERROR("set")},
    {"SET k v EX " SECONDS_MAX, EXPIRE_ERROR("set")},
    {"SET k v EXAT 9223372036854776", EXPIRE_ERROR("set")},
    {"SET k v EX 0", EXPIRE_ERROR("set")},
    {"SET k v PXAT -1", EXPIRE_ERROR("set")},
    {"SET k v EX 1x", NOT_AN_INTEGER},
    {"SET k v EX 9223372036854775808", NOT_AN_INTEGER},
    {"SET k v EX", SYNTAX},
    {"SET k v EX 10 PX 10", SYNTAX},
    {"SET k v EX 10 KEEPTTL", SYNTAX},
    {"SET k v KEEPTTL EX 10", SYNTAX},
    {"SET k v NX XX", SYNTAX},
    {"SET k v XX NX", SYNTAX},
    {"SET k v PERSIST", SYNTAX},
    {"SET k v GT", SYNTAX},

    {"SETEX k 10 v", "SET k v PXAT 1700000010000"},
    {"psetex k 10 v", "SET k v PXAT 1700000000010"},
    {"SETEX k 0 v", EXPIRE_ERROR("setex")},
    {"SETEX k -1 v", EXPIRE_ERROR("setex")},
    {"PSETEX k " MAX " v", EXPIRE_ERROR("psetex")},
    {"SETEX k ten v", NOT_AN_INTEGER},

    {"GETEX k", "GETEX k"},
    {"GETEX k PERSIST", "GETEX k PERSIST"},
    {"GETEX k PERSIST persist", "GETEX k PERSIST"},
    {"GETEX k EX 10", "GETEX k PXAT 1700000010000"},
    {"GETEX k PX 10", "GETEX k PXAT 1700000000010"},
    {"GETEX k EXAT 10", "GETEX k PXAT 10000"},
    {"GETEX k PXAT 10", "GETEX k PXAT 10"},
    {"GETEX k PXAT 0", EXPIRE_ERROR("getex")},
    {"GETEX k EX 10 PERSIST", SYNTAX},
    {"GETEX k PERSIST EX 10", SYNTAX},
    {"GETEX k NX", SYNTAX},

    {"EXPIRE k 10", "PEXPIREAT k 1700000010000"},
    {"pexpire k 10 gt", "PEXPIREAT k 1700000000010 GT"},
    {"EXPIREAT k 10 LT XX", "PEXPIREAT k 10000 XX LT"},
    {"PEXPIREAT k 10 NX", "PEXPIREAT k 10 NX"},
    {"EXPIRE k -10", "PEXPIREAT k 1699999990000"},
    {"EXPIRE k 0", "PEXPIREAT k 1700000000000"},
    {"PEXPIREAT k -5", "PEXPIREAT k -5"},
    {"EXPIREAT k " SECONDS_MAX, "PEXPIREAT k " SECONDS_MAX "000"},
    {"EXPIREAT k -" SECONDS_MAX, "PEXPIREAT k -" SECONDS_MAX "000"},
    {"EXPIRE k " SECONDS_MAX, EXPIRE_ERROR("expire")},
    {"EXPIREAT k 9223372036854776", EXPIRE_ERROR("expireat")},
    {"EXPIREAT k -9223372036854776", EXPIRE_ERROR("expireat")},
    {"PEXPIRE k " FROM_NOW_MAX, "PEXPIREAT k " MAX},
    {"PEXPIRE k " MAX, EXPIRE_ERROR("pexpire")},
    {"PEXPIRE k x", NOT_AN_INTEGER},
    {"EXPIRE k x FOO", "-ERR Unsupported option FOO"},
    {"EXPIRE k 1 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
    {"EXPIRE k 1 LT GT", "-ERR GT and LT options at the same time are not compatible"},

    {"RESTORE k 0 x", "RESTORE k 0 x"},
    {"RESTORE k 10 x", "RESTORE k 1700000000010 x ABSTTL"},
    {"restore k 10 x idletime 7 replace", "RESTORE k 1700000000010 x REPLACE ABSTTL IDLETIME 7"},
    {"RESTORE k 10 x FREQ 255", "RESTORE k 1700000000010 x ABSTTL FREQ 255"},
    {"RESTORE k 10 x ABSTTL", "RESTORE k 10 x ABSTTL"},
    {"RESTORE k 0 x IDLETIME replace", NOT_AN_INTEGER},
    {"RESTORE k -1 x REPLACE", "-ERR Invalid TTL value, must be >= 0"},
    {"RESTORE k x y REPLACE", NOT_AN_INTEGER},
    {"RESTORE k -1 x", "RESTORE k -1 x"}, /* the store says BUSYKEY first */
    {"RESTORE k " MAX " x", "RESTORE k 1 x ABSTTL"},
    {"RESTORE k 10 x FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255"},
    {"RESTORE k 10 x IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0"},
    {"RESTORE k 10 x IDLETIME 1 FREQ 1", SYNTAX},
    {"RESTORE k 10 x FREQ", SYNTAX},
    {"RESTORE k 10 x KEEPTTL", SYNTAX},

    {"XCLAIM k g c 9 1-1", "XCLAIM k g c 9 1-1 TIME 1700000000000"},
    {"xclaim k g c 9 1-1 IDLE 10 FORCE", "xclaim k g c 9 1-1 IDLE 10 FORCE TIME 1699999999990"},
    {"XCLAIM k g c 9 1-1 TIME 7", "XCLAIM k g c 9 1-1 TIME 7"},
    {"XCLAIM k g c 9 1-1 TIME 7 idle 10", "XCLAIM k g c 9 1-1 TIME 7 idle 10 TIME 1699999999990"},
    {"XCLAIM k g c 9 1-1 IDLE 7 TIME 8", "XCLAIM k g c 9 1-1 IDLE 7 TIME 8"},
    {"XCLAIM k g c 9 1-1 IDLE -7", "XCLAIM k g c 9 1-1 IDLE -7 TIME 1700000000000"},
    {"XCLAIM k g c 9 1-1 IDLE x", "XCLAIM k g c 9 1-1 IDLE x"},
    {"XCLAIM k g c 0 1-1 retrycount", "XCLAIM k g c 0 1-1 retrycount"},
    {"XCLAIM k g c 0 1-1 IDLE x FORCE", "XCLAIM k g c 0 1-1 IDLE x FORCE"},
    {"XCLAIM k g c 0 1-1 FORCE", "XCLAIM k g c 0 1-1 FORCE TIME 1700000000000"},

    {"XADD k * f v", "XADD k * f v"},
    {"XADD k NOMKSTREAM maxlen ~ 5 * f ~", "XADD k NOMKSTREAM maxlen = 5 * f ~"},
    {"XADD k MINID ~ 5 7-7 f v", "XADD k MINID = 5 7-7 f v"},
    {"XADD k MAXLEN ~ 5 LIMIT 10 * f v", "XADD k MAXLEN ~ 5 LIMIT 10 * f v"},
    {"XADD k MAXLEN 5 * f v", "XADD k MAXLEN 5 * f v"},
    {"XADD k MAXLEN ~ 5", "XADD k MAXLEN ~ 5"},
    {"XTRIM k MAXLEN ~ 5", "XTRIM k MAXLEN = 5"},
    {"XTRIM k MINID ~ 5 LIMIT 7", "XTRIM k MINID ~ 5 LIMIT 7"},
    {"XTRIM k MAXLEN 5", "XTRIM k MAXLEN 5"},

    {"INCRBY k x", "INCRBY k x"},
    {"DEL a b", "DEL a b"},
};

/* The words of a command, with blanks between; the caller frees. */
static char *join(struct slice resp)
{
    struct resp_command cmd = {0};
    ck_assert(resp_command_parse(resp, &cmd));
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < cmd.argc; i++) {
        buf_add_str(&text, i ? " " : "");
        buf_add(&text, cmd.argv[i].ptr, cmd.argv[i].len);
    }
    buf_add(&text, "", 1);
    char *s = mem_strdup((const char *)buf_head(&text));
    buf_fini(&text);
    resp_command_fini(&cmd);
    return s;
}

START_TEST(test_normalize)
{
    struct line l = line_make(normal[_i].line);
    struct buf out = BUF_INIT;
    struct error e;
    bool ok = command_normalize(l.spec, &l.cmd, NOW, &out, &e);
    struct resp_command made = {0};
    if (ok) {
        ck_assert(resp_command_parse(buf_slice(&out), &made));
        ck_assert(command_undetermined(command_find(made.argv[0]), &made) ==
                  command_stays_undetermined(l.spec, &l.cmd));
    }
    resp_command_fini(&made);
    char *found = ok ? join(buf_slice(&out)) : mem_printf("-%s", e.text);
    ck_assert_msg(strcmp(found, normal[_i].result) == 0, "%s: %s", normal[_i].line, found);
    ck_assert(ok || out.len == 0);
    mem_free(found);
    buf_fini(&out);
    line_free(&l);
}
END_TEST

/* ---- memcached's ---------------------------------------------------------------------------- */

static const struct {
    const char *line, *result; /* normalized; NULL: as it is */
    enum command_class class_;
    bool undetermined, blind;
} memcache[] = {
    {"MG k v f", NULL, COMMAND_READ, false, false},
    {"MG k v c", NULL, COMMAND_READ, false, false},
    {"MG k t h l", NULL, COMMAND_READ, false, false},
    {"MG k v T100", "MG k v T1700000100", COMMAND_CHANGE, false, false},
    {"MG k v c T100", "MG k v c T1700000100", COMMAND_CHANGE, true, false},
    {"MG k N0 R2592000", "MG k N0 R1702592000", COMMAND_CHANGE, false, false},
    {"MG k R2592001", NULL, COMMAND_CHANGE, false, false},
    {"MG k T-5", "MG k T-1", COMMAND_CHANGE, false, false},
    {"MG k T", "-CLIENT_ERROR bad token in command line format", COMMAND_CHANGE, false, false},
    {"MG k v Tq", "-CLIENT_ERROR bad token in command line format", COMMAND_CHANGE, false, false},
    {"MG k T99999999999999999999", "-CLIENT_ERROR bad token in command line format", COMMAND_CHANGE,
     false, false},
    {"MS k T100", NULL, COMMAND_OVERWRITE, false, true}, /* that is its value */
    {"MS k v T0100 F5", "MS k v T1700000100 F5", COMMAND_OVERWRITE, false, true},
    {"MS k v MS", NULL, COMMAND_OVERWRITE, false, true},
    {"MS k v MA", NULL, COMMAND_CHANGE, false, false},
    {"MS k v ME T1", "MS k v ME T1700000001", COMMAND_CHANGE, false, false},
    {"MS k v C5", NULL, COMMAND_OVERWRITE, true, false},
    {"MS k v c", NULL, COMMAND_OVERWRITE, true, false},
    {"MD k", NULL, COMMAND_OVERWRITE, false, false},
    {"MD k C5", NULL, COMMAND_OVERWRITE, true, false},
    {"MD k I T30", "MD k I T1700000030", COMMAND_CHANGE, false, false},
    {"MA k D5 v", NULL, COMMAND_CHANGE, false, false},
    {"MA k MD N60 J3", "MA k MD N1700000060 J3", COMMAND_CHANGE, false, false},
    {"MA k C3", NULL, COMMAND_CHANGE, true, false},
};

START_TEST(test_memcache)
{
    struct line l = line_make(memcache[_i].line);
    struct buf out = BUF_INIT;
    struct error e;
    const char *expected = memcache[_i].result ? memcache[_i].result : memcache[_i].line;
    size_t keys[2];
    ck_assert(command_class_of(l.spec, &l.cmd) == memcache[_i].class_);
    ck_assert(command_undetermined(l.spec, &l.cmd) == memcache[_i].undetermined);
    ck_assert(command_stays_undetermined(l.spec, &l.cmd) == memcache[_i].undetermined);
    ck_assert((command_blind_reply(l.spec, &l.cmd) != NULL) == memcache[_i].blind);
    ck_assert_uint_eq(command_keys(l.spec, &l.cmd, keys, 2), 1);
    ck_assert_uint_eq(keys[0], 1);
    bool overwrites = memcache[_i].class_ == COMMAND_OVERWRITE;
    ck_assert_uint_eq(command_overwritten(l.spec, &l.cmd, keys, 2), overwrites);
    bool ok = command_normalize(l.spec, &l.cmd, NOW, &out, &e);
    char *found = ok ? join(buf_slice(&out)) : mem_printf("-%s", e.text);
    ck_assert_str_eq(found, expected);
    ck_assert(ok || out.len == 0);
    mem_free(found);
    buf_fini(&out);
    line_free(&l);
}
END_TEST

START_TEST(test_normalize_appends_any_bytes)
{
    struct slice argv[] = {slice_str("SETEX"), slice_of("\0k\r\n", 4), slice_str("1"),
                           slice_of("", 0)};
    struct resp_command cmd = {.argv = argv, .argc = ARRAY_LEN(argv)};
    struct buf out = BUF_INIT;
    struct error e;
    buf_add_str(&out, "before");
    ck_assert(command_normalize(command_find(argv[0]), &cmd, NOW, &out, &e));
    static const char expected[] = "before*5\r\n$3\r\nSET\r\n$4\r\n\0k\r\n\r\n$0\r\n\r\n"
                                   "$4\r\nPXAT\r\n$13\r\n1700000001000\r\n";
    ck_assert_uint_eq(out.len, sizeof expected - 1);
    ck_assert_mem_eq(buf_head(&out), expected, out.len);
    buf_fini(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("command");
    TCase *table = tcase_create("table");
    tcase_add_test(table, test_find_every_row_in_any_case);
    tcase_add_test(table, test_find_nothing);
    tcase_add_test(table, test_rows_are_complete);
    tcase_add_test(table, test_subcommands_are_complete);
    tcase_add_test(table, test_flags);
    suite_add_tcase(s, table);
    TCase *lines = tcase_create("lines");
    tcase_add_loop_test(lines, test_arity, 0, ARRAY_LEN(arities));
    tcase_add_test(lines, test_queued);
    tcase_add_test(lines, test_long_subcommand_is_cut);
    tcase_add_loop_test(lines, test_kind, 0, ARRAY_LEN(kinds));
    tcase_add_test(lines, test_more_keys_than_room);
    tcase_add_loop_test(lines, test_normalize, 0, ARRAY_LEN(normal));
    tcase_add_loop_test(lines, test_memcache, 0, ARRAY_LEN(memcache));
    tcase_add_test(lines, test_normalize_appends_any_bytes);
    suite_add_tcase(s, lines);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
