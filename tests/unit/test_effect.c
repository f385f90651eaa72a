/* What a command did, from what the store answered: a table of cases. Commands and replies are
 * written as lines of words: a command "SPOP k", a reply "$a" (a string), ":1", "$-1" (nil), "-ERR"
 * or "[ $a [ $b ] ]" (arrays). */
#include "core/mem.h"
#include "records.h"
#include "request/effect.h"
#include "store/redis_reply.h"
#include "unit.h"
#include <stdlib.h>

#define NOW 1700000000000

static char *next_word(char **at)
{
    char *word = *at;
    if (!word || !*word)
        return NULL;
    char *end = strchr(word, ' ');
    if (end)
        *end = '\0';
    *at = end ? end + 1 : NULL;
    return word;
}

static void add_reply(struct buf *out, char **at);

static void add_elements(struct buf *out, char **at)
{
    struct buf elements = BUF_INIT;
    size_t n = 0;
    while (*at && **at != ']') {
        add_reply(&elements, at);
        n++;
    }
    next_word(at);
    resp_add_array(out, n);
    buf_add(out, buf_head(&elements), elements.len);
    buf_fini(&elements);
}

static void add_reply(struct buf *out, char **at)
{
    char *word = next_word(at);
    if (strcmp(word, "[") == 0)
        add_elements(out, at);
    else if (strcmp(word, "$-1") == 0)
        resp_add_nil(out);
    else if (*word == '$')
        resp_add_bulk_str(out, word + 1);
    else
        buf_printf(out, "%s\r\n", word);
}

struct line {
    char *text;
    struct slice argv[32];
    struct resp_command cmd;
    const struct command_spec *spec;
};

static void line_make(struct line *l, const char *text)
{
    *l = (struct line){.text = mem_strdup(text)};
    l->cmd.argv = l->argv;
    char *at = l->text;
    for (char *word; (word = next_word(&at));)
        l->argv[l->cmd.argc++] = slice_str(word);
    l->spec = command_find(l->argv[0]);
    ck_assert_ptr_nonnull(l->spec);
}

/* Commands that stand one behind the other, as text: "SREM k a | SREM k b". */
static char *join(struct slice bytes, bool must_be_determined)
{
    struct buf text = BUF_INIT;
    struct resp_command cmd = {0};
    struct slice command;
    struct error e;
    while (effect_next(&bytes, &command, &cmd)) {
        buf_add_str(&text, text.len ? " | " : "");
        for (size_t i = 0; i < cmd.argc; i++) {
            buf_add_str(&text, i ? " " : "");
            buf_add(&text, cmd.argv[i].ptr, cmd.argv[i].len);
        }
        const struct command_spec *spec = command_find(cmd.argv[0]);
        ck_assert(spec && command_arity_ok(spec, &cmd, &e));
        ck_assert(!must_be_determined || !command_undetermined(spec, &cmd));
        ck_assert(must_be_determined || command_class_of(spec, &cmd) == COMMAND_READ);
    }
    ck_assert_uint_eq(bytes.len, 0);
    resp_command_fini(&cmd);
    buf_add(&text, "", 1);
    char *s = mem_strdup((const char *)buf_head(&text));
    buf_fini(&text);
    return s;
}

#define RANGE      "XRANGE k - + COUNT 1"
#define KEY(k)     "DUMP " k " | PEXPIRETIME " k " | PTTL " k
#define GONE       "$-1 :-2 :-2 "
#define NEVER(v)   "$" v " :-1 :-1 "
#define LIVES(v)   "$" v " :99 :5 "
#define CLAIM_NONE "9223372036854775807"

#define GROUPS(k) "XINFO GROUPS " k
/* XINFO GROUPS: another one, and g with so many consumers, how far it has come, and what it has
 * read ("$-1": that isn't known). */
#define GROUP(consumers, last, read)                                                               \
    "[ [ $name $f $consumers :9 $pending :0 $last-delivered-id $9-9 $entries-read :9 $lag :0 ] "   \
    "[ $name $g $consumers " consumers " $pending :0 $last-delivered-id $" last                    \
    " $entries-read " read " $lag :0 ] ] "
#define OLD_GROUP(last)  "[ [ $name $g $consumers :1 $pending :0 $last-delivered-id $" last " ] ] "
#define HISTORY(k, from) "XPENDING " k " g (" from " + 9223372036854775807 c"
#define ENTRY(id)        "[ $" id " [ $f $v ] ] "
#define GONE_ENTRY(id)   "[ $" id " $-1 ] "

static const struct {
    const char *command, *probes, *reply, *answers, *effect; /* effect NULL: a probe was refused */
    bool also_here;
} cases[] = {
    {"SPOP k x", "", "-ERR value is out of range, must be positive", "", "", false},

    {"XADD k 5-* f v", "", "$5-0", "", "XADD k 5-0 f v", false},
    {"XADD k 5-* f v g w", "", "$5-7", "", "XADD k 5-7 f v g w", false},
    {"XADD k NOMKSTREAM * f v", "", "$-1", "", "", false},
    {"XADD k NOMKSTREAM * f v", "", "$5-0", "", "XADD k 5-0 f v", false},
    {"XADD k * f v", "", "-WRONGTYPE", "", "", false},
    {"XADD k MAXLEN 10 * f v", "", "$5-0", "", "XADD k MAXLEN = 10 5-0 f v", false},
    {"XADD k minid = 10 * f v", "", "$5-0", "", "XADD k minid = 10 5-0 f v", false},
    {"XADD k MAXLEN ~ 10 * f v", RANGE, "$5-0", "[ [ $4-1 [ $f $v ] ] ] ",
     "XADD k MINID = 4-1 5-0 f v", false},
    {"XADD k MINID ~ 4 LIMIT 7 9-1 f v", RANGE, "$9-1", "[ [ $4-1 [ $f $v ] ] ] ",
     "XADD k MINID = 4-1 9-1 f v", false},
    {"XADD k MAXLEN ~ 0 * f v", RANGE, "$5-0", "[ ] ", "XADD k MAXLEN = 0 5-0 f v", false},
    {"XADD k MAXLEN ~ 0 * f v", RANGE, "$5-0", "-NOPERM ", NULL, false},

    {"MS k v C5 F3", "", "[ $HD $-1 ]", "", "MS k v F3", false},
    {"MS k v C5", "", "[ $EX $-1 ]", "", "", false},
    {"MS k v C5", "", "-SERVER_ERROR", "", "", false},
    {"MS k v c T1700000100", "", "[ $HD $-1 $c9 ]", "", "MS k v T1700000100", false},
    {"MS k v ME c", "", "[ $HD $-1 $c9 ]", "", "MS k v", false},
    {"MS k v ME c", "", "[ $NS $-1 ]", "", "", false},
    {"MS k v MA c", "", "[ $HD $-1 $c9 ]", "", "MS k v MA", false},
    {"MS k v I C281474976710661", "MG k E", "[ $HD $-1 ]", "[ $HD $cas=5 ] ", "MS k v", false},
    {"MS k v I C281474976710661", "MG k E", "[ $HD $-1 ]", "[ $HD $cas=6 ] ", "MS k v | MD k I",
     false},
    {"MS k v I C1", "MG k E", "[ $NF $-1 ]", "[ $EN $-1 ] ", "", false},
    {"MD k C5", "", "[ $HD $-1 ]", "", "MD k", false},
    {"MD k C5 I T1700000100", "", "[ $HD $-1 ]", "", "MD k I T1700000100", false},
    {"MD k C5", "", "[ $NF $-1 ]", "", "", false},
    {"MA k D5 MD v c", "", "[ $VA $7 $c3 ]", "", "MA k D5 MD", false},
    {"MA k N0 J5 C1", "", "[ $HD $-1 ]", "", "MA k N0 J5", false},
    {"MG k v c T1700000100", "", "[ $VA $x $c3 ]", "", "MG k T1700000100", false},
    {"MG k v c N1700000100 R1700000200", "", "[ $VA $x $c3 $W ]", "",
     "MG k N1700000100 R1700000200", false},
    {"MG k v c T1700000100", "", "[ $EN $-1 ]", "", "", false},

    {"XTRIM k MAXLEN ~ 10", RANGE, ":0", "[ [ $4-1 [ $f $v ] ] ] ", "", false},
    {"XTRIM k MAXLEN ~ 10", RANGE, ":3", "[ [ $4-1 [ $f $v ] ] ] ", "XTRIM k MINID = 4-1", false},
    {"XTRIM k MINID ~ 10 LIMIT 5", RANGE, ":3", "[ ] ", "XTRIM k MAXLEN = 0", false},
    {"XTRIM k MAXLEN ~ x", RANGE, "-ERR", "[ ] ", "", false},

    {"XCLAIM k g c 5 1-1 2 3-0 TIME 9", "",
     "[ [ $1-1 [ $f $v ] ] [ $2-0 [ $f $v ] ] [ $3-0 [ $f $v ] ] ]", "",
     "XCLAIM k g c 0 1-1 2-0 3-0 TIME 9 FORCE", false},
    {"XCLAIM k g c 5 1-1 2 3-0 RETRYCOUNT 4 JUSTID TIME 9", "", "[ $2-0 ]", "",
     "XCLAIM k g c 0 2-0 RETRYCOUNT 4 JUSTID TIME 9 FORCE | "
     "XCLAIM k g c " CLAIM_NONE " 1-1 3-0 JUSTID",
     false},
    {"XCLAIM k g c 5 1-1 LASTID 8-8 TIME 9", "", "[ ]", "",
     "XCLAIM k g c " CLAIM_NONE " 1-1 JUSTID LASTID 8-8", false},
    {"XCLAIM k g c 5 1-1 2-2 FORCE TIME 9", "", "[ $-1 [ $2-2 [ $f $v ] ] ]", "",
     "XCLAIM k g c 0 2-2 FORCE TIME 9 FORCE | XCLAIM k g c " CLAIM_NONE " 1-1 JUSTID", false},
    {"XCLAIM k g c 5 1-1 TIME 9", "", "-NOGROUP", "", "", false},

    {"XAUTOCLAIM k g c 5 0", "XPENDING k g 0 + 1000 c", "[ $0-0 [ ] [ ] ]", "[ ] ", "", true},
    {"XAUTOCLAIM k g c 5 (1-1 COUNT 2", "XPENDING k g (1-1 + 20 c",
     "[ $4-0 [ [ $2-0 [ $f $v ] ] [ $3-0 [ $f $v ] ] ] [ $2-5 $2-6 ] ]",
     "[ [ $1-9 $c :0 :7 ] [ $2-0 $c :0 :2 ] [ $2-9 $c :5 :1 ] [ $3-0 $c :0 :2 ] ] ",
     "XCLAIM k g c 0 2-0 3-0 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID | XACK k g 2-5 2-6",
     true},
    {"XAUTOCLAIM k g c 5 0 JUSTID", "XPENDING k g 0 + 1000 c", "[ $0-0 [ $2-0 $3-0 ] ]",
     "[ [ $2-0 $c :0 :2 ] [ $3-0 $c :0 :4 ] ] ",
     "XCLAIM k g c 0 2-0 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID | "
     "XCLAIM k g c 0 3-0 TIME 1700000000000 RETRYCOUNT 4 FORCE JUSTID",
     true},
    {"XAUTOCLAIM k g c 5 0", "XPENDING k g 0 + 1000 c", "-NOGROUP", "-NOGROUP ", "", true},
    {"XAUTOCLAIM k g c 5 0 COUNT 9223372036854775807", "XPENDING k g 0 + 9223372036854775807 c",
     "[ $0-0 [ $2-0 ] [ ] ]", "-NOPERM ", NULL, true},

    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"), "$-1",
     GROUP(":1", "3-0", ":3") GROUP(":1", "3-0", ":3"), "", true},
    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"), "-NOGROUP", "-ERR -ERR ",
     "", true},
    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"),
     "[ [ $k [ " ENTRY("1-1") ENTRY("2-0") "] ] ]",
     GROUP(":0", "0-0", ":0") GROUP(":1", "2-0", ":2"),
     "XCLAIM k g c 0 1-1 2-0 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID | "
     "XGROUP SETID k g 2-0 ENTRIESREAD 2",
     true},
    {"XREADGROUP NOACK GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"),
     "[ [ $k [ " ENTRY("1-1") "] ] ]", GROUP(":0", "0-0", "$-1") GROUP(":1", "1-1", "$-1"),
     "XGROUP CREATECONSUMER k g c | XGROUP SETID k g 1-1 ENTRIESREAD -1", true},
    {"XREADGROUP NOACK GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"),
     "[ [ $k [ " ENTRY("1-1") "] ] ]", GROUP(":1", "0-0", "$-1") GROUP(":1", "1-1", ":1"),
     "XGROUP SETID k g 1-1 ENTRIESREAD 1", true},
    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"),
     "[ [ $k [ " ENTRY("1-1") "] ] ]", OLD_GROUP("0-0") OLD_GROUP("1-1"),
     "XCLAIM k g c 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID | XGROUP SETID k g 1-1",
     true},
    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | " GROUPS("k"),
     "[ [ $k [ " ENTRY("1-1") "] ] ]", "-NOPERM -NOPERM ", NULL, true},
    {"XREADGROUP GROUP g c COUNT 5 STREAMS k 0-5",
     GROUPS("k") " | " GROUPS("k") " | XPENDING k g (0-5 + 5 c",
     "[ [ $k [ " ENTRY("1-1") GONE_ENTRY("2-0") ENTRY("3-0") ENTRY("4-0") "] ] ]",
     GROUP(":1", "9-0", ":9")
         GROUP(":1", "9-0",
               ":9") "[ [ $1-1 $c :0 :2 ] [ $2-0 $c :0 :1 ] [ $3-0 $c :0 :2 ] [ $4-0 $c :0 :7 ] ] ",
     "XCLAIM k g c 0 1-1 3-0 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID | "
     "XCLAIM k g c 0 4-0 TIME 1700000000000 RETRYCOUNT 7 FORCE JUSTID",
     true},
    {"XREADGROUP GROUP g c STREAMS k 5", GROUPS("k") " | " GROUPS("k") " | " HISTORY("k", "5"),
     "[ [ $k [ ] ] ]", GROUP(":1", "9-0", ":9") GROUP(":2", "9-0", ":9") "[ ] ",
     "XGROUP CREATECONSUMER k g c", true},
    {"XREADGROUP GROUP g c STREAMS k 0", GROUPS("k") " | " GROUPS("k") " | " HISTORY("k", "0"),
     "[ [ $k [ " ENTRY("1-1") "] ] ]", GROUP(":1", "9-0", ":9") GROUP(":1", "9-0", ":9") "-NOPERM ",
     NULL, true},
    /* several streams, of which some have nothing new; one of them twice */
    {"XREADGROUP COUNT -1 GROUP g c STREAMS j k k l > > 0 "
     "18446744073709551615-18446744073709551615",
     GROUPS("j") " | " GROUPS("k") " | " GROUPS("k") " | " GROUPS("l") " | " GROUPS(
         "j") " | " GROUPS("k") " | " GROUPS("k") " | " HISTORY("k", "0") " | " GROUPS("l"),
     "[ [ $k [ " ENTRY("1-1") "] ] [ $l [ " ENTRY("7-0") "] ] ]",
     GROUP(":1", "3-0", ":3") GROUP(":1", "9-0", ":9") GROUP(":1", "9-0", ":9")
         GROUP(":1", "6-0", ":6") GROUP(":1", "3-0", ":3") GROUP(":1", "9-0", ":9")
             GROUP(":1", "9-0", ":9") "[ [ $1-1 $c :0 :2 ] ] " GROUP(":1", "7-0", ":7"),
     "XCLAIM k g c 0 1-1 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID | "
     "XCLAIM l g c 0 7-0 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID | "
     "XGROUP SETID l g 7-0 ENTRIESREAD 7",
     true},

    {"EVAL s 0 a", "", ":1", "", "", false},
    {"FCALL f 1 a b", KEY("a") " | " KEY("a"), ":1", GONE NEVER("x"),
     "RESTORE a 0 x REPLACE ABSTTL", false},
    {"EVAL s 1 a b", KEY("a") " | " KEY("a"), ":1", GONE GONE, "", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), ":1", NEVER("x") NEVER("x"), "", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), ":1", GONE NEVER("x"), "RESTORE a 0 x REPLACE ABSTTL",
     false},
    {"EVALSHA s 1 a", KEY("a") " | " KEY("a"), "-ERR half", NEVER("x") NEVER("y"),
     "RESTORE a 0 y REPLACE ABSTTL", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), "$-1", NEVER("x") GONE, "DEL a", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), "$-1", NEVER("x") LIVES("x"),
     "RESTORE a 99 x REPLACE ABSTTL", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), "$-1", LIVES("x") LIVES("x"), "", false},
    {"EVAL s 2 a b", KEY("a") " | " KEY("b") " | " KEY("a") " | " KEY("b"), ":1",
     NEVER("x") NEVER("y") NEVER("x") GONE, "DEL b", false},
    {"EVAL s 2 a b", KEY("a") " | " KEY("b") " | " KEY("a") " | " KEY("b"), ":1",
     GONE NEVER("y") NEVER("x") LIVES("z"),
     "RESTORE a 0 x REPLACE ABSTTL | RESTORE b 99 z REPLACE ABSTTL", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), ":1", "$x -ERR :-1 $x -ERR :7 ",
     "RESTORE a 1700000000007 x REPLACE ABSTTL", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), ":1", "$-1 -ERR :-2 $-1 -ERR :-2 ", "", false},
    {"EVAL s 1 a", KEY("a") " | " KEY("a"), ":1", "-NOPERM :1 :1 -NOPERM :2 :2 ", NULL, false},
};

/* The answers to the probes, one after the other. */
static unsigned read_answers(const char *text, struct buf *bytes, struct slice answers[16])
{
    struct buf line = BUF_INIT;
    struct redis_array a;
    unsigned n = 0;
    buf_printf(&line, "[ %s]", text);
    buf_add(&line, "", 1);
    char *at = (char *)line.data;
    add_reply(bytes, &at);
    ck_assert(redis_array_open(buf_slice(bytes), &a));
    while (redis_array_next(&a, &answers[n]))
        n++;
    buf_fini(&line);
    return n;
}

START_TEST(test_case)
{
    struct line l;
    struct buf probes = BUF_INIT, reply = BUF_INIT, bytes = BUF_INIT, out = BUF_INIT;
    struct slice answers[16];
    const char *text = cases[_i].command;
    line_make(&l, text);
    struct effect_probes n = effect_probes(l.spec, &l.cmd, &probes);
    char *asked = join(buf_slice(&probes), false);
    ck_assert_msg(strcmp(asked, cases[_i].probes) == 0, "%s: asks %s", text, asked);
    ck_assert_uint_eq(read_answers(cases[_i].answers, &bytes, answers), n.before + n.behind);

    char *copy = mem_strdup(cases[_i].reply), *at = copy;
    add_reply(&reply, &at);
    struct effect_replies r = {
        .own = buf_slice(&reply), .before = answers, .behind = answers + n.before, .now_ms = NOW};
    struct effect did = effect_tell(l.spec, &l.cmd, &r, &out);
    ck_assert_msg(did.also_here == cases[_i].also_here, "%s: also here", text);
    if (cases[_i].effect) {
        char *found = join(buf_slice(&out), true);
        ck_assert_msg(strcmp(found, cases[_i].effect) == 0, "%s: did %s", text, found);
        int commands = *found ? 1 : 0;
        for (const char *p = found; (p = strstr(p, " | ")); p++)
            commands++;
        ck_assert_int_eq(did.n, commands);
        mem_free(found);
    } else {
        ck_assert_int_eq(did.n, -1);
    }
    mem_free(copy);
    mem_free(asked);
    mem_free(l.text);
    buf_fini(&probes);
    buf_fini(&reply);
    buf_fini(&bytes);
    buf_fini(&out);
}
END_TEST

/* Where the reply was lost. */
static const struct {
    const char *command, *probes, *answers, *effect;
    bool also_here;
} lost[] = {
    {"XADD k 5-* f v", "XRANGE k 5 5", "[ [ $5-0 [ $f $v $g $w ] ] [ $5-1 [ $f $v ] ] ] ",
     "XADD k 5-0 f v g w | XADD k 5-1 f v", false},
    {"XADD k 5-* f v", "XRANGE k 5 5", "[ ] ", "", false},
    {"XTRIM k MAXLEN ~ 5 LIMIT 9", RANGE, "[ [ $4-1 [ $f $v ] ] ] ", "XTRIM k MINID = 4-1", false},
    {"XCLAIM k g c 5 1-1 2 TIME 9", "XPENDING k g 1-1 1-1 1 c | XPENDING k g 2 2 1 c",
     "[ [ $1-1 $c :0 :7 ] ] [ ] ",
     "XCLAIM k g c 0 1-1 TIME 1700000000000 RETRYCOUNT 7 FORCE JUSTID", true},
    {"XAUTOCLAIM k g c 5 0", "XPENDING k g 0 + 1000 c", "[ [ $1-1 $c :0 :7 ] [ $2-1 $c :0 :7 ] ] ",
     "XCLAIM k g c 0 1-1 2-1 TIME 1700000000000 RETRYCOUNT 7 FORCE JUSTID", true},
    {"XAUTOCLAIM k g c 5 0", "XPENDING k g 0 + 1000 c", "-NOGROUP ", "", true},
    {"XREADGROUP GROUP g c STREAMS k l > 0",
     GROUPS("k") " | XPENDING k g - + 9223372036854775807 c | " GROUPS(
         "l") " | XPENDING l g - + 9223372036854775807 c",
     GROUP(":1", "3-0", ":3") "[ [ $1-1 $c :0 :7 ] [ $2-1 $c :0 :1 ] ] " GROUP(":1", "5-0",
                                                                               "$-1") "[ ] ",
     "XCLAIM k g c 0 1-1 TIME 1700000000000 RETRYCOUNT 7 FORCE JUSTID | "
     "XCLAIM k g c 0 2-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID | "
     "XGROUP SETID k g 3-0 ENTRIESREAD 3 | XGROUP CREATECONSUMER l g c | "
     "XGROUP SETID l g 5-0 ENTRIESREAD -1",
     true},
    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | XPENDING k g - + 9223372036854775807 c",
     "-ERR -NOGROUP ", "", true},
    {"XREADGROUP GROUP g c STREAMS k >", GROUPS("k") " | XPENDING k g - + 9223372036854775807 c",
     GROUP(":1", "3-0", ":3") "-NOPERM ", NULL, true},
    {"EVAL s 2 a b c", KEY("a") " | " KEY("b"), NEVER("x") GONE,
     "RESTORE a 0 x REPLACE ABSTTL | DEL b", false},
    {"EVAL s 1 a", KEY("a"), "-NOPERM :1 :1 ", NULL, false},
    {"MS k v C5", "MG k v f | MG k E", "[ $VA $w $f7 ] [ $HD $exp=-1 ] ", "MS k w F7 T0", false},
    {"MA k C5", "MG k v f | MG k E", "[ $VA $w $f0 ] [ $HD $exp=-100 ] ", "MS k w F0 T1700000100",
     false},
    {"MD k C5", "MG k v f | MG k E", "[ $EN $-1 ] [ $EN $-1 ] ", "", false},
    {"MD k C5", "MG k v f | MG k E", "-BACKEND [ $EN $-1 ] ", NULL, false},
};

START_TEST(test_lost)
{
    struct line l;
    struct buf probes = BUF_INIT, bytes = BUF_INIT, out = BUF_INIT;
    struct slice answers[16];
    line_make(&l, lost[_i].command);
    unsigned n = effect_recovery_probes(l.spec, &l.cmd, &probes);
    char *asked = join(buf_slice(&probes), false);
    ck_assert_str_eq(asked, lost[_i].probes);
    ck_assert_uint_eq(read_answers(lost[_i].answers, &bytes, answers), n);
    struct effect did = effect_recover(l.spec, &l.cmd, answers, NOW, &out);
    ck_assert(did.also_here == lost[_i].also_here);
    ck_assert((did.n < 0) == !lost[_i].effect);
    char *found = join(buf_slice(&out), true);
    ck_assert_str_eq(found, lost[_i].effect ? lost[_i].effect : "");
    mem_free(found);
    mem_free(asked);
    mem_free(l.text);
    buf_fini(&probes);
    buf_fini(&bytes);
    buf_fini(&out);
}
END_TEST

/* ---- what is chosen: the same commands one after the other, from one answer -------------------
 */

#define STREAM(last) "[ $length :1 $last-generated-id $" last " $entries-added :9 ]"

static const struct {
    const char *command, *question, *answer;
    unsigned more;
    const char *chosen[4]; /* "reply: commands"; "-": it must ask again */
} choices[] = {
    {"SPOP k", "SRANDMEMBER k 1", "[ $a ]", 0, {"$a: SREM k a", "-"}},
    {"SPOP k", "SRANDMEMBER k 1", "[ ]", 0, {"$-1: ", "$-1: "}},
    {"SPOP k", "SRANDMEMBER k 3", "[ $a $b ]", 2, {"$a: SREM k a", "$b: SREM k b", "$-1: "}},
    {"SPOP k 2",
     "SRANDMEMBER k 4",
     "[ $a $b $c ]",
     2,
     {"[ $a $b ]: SREM k a b", "[ $c ]: SREM k c", "[ ]: "}},
    {"SPOP k 2", "SRANDMEMBER k 3", "[ $a $b $c ]", 1, {"[ $a $b ]: SREM k a b", "-"}},
    {"SPOP k 0", "SRANDMEMBER k 0", "[ ]", 0, {"[ ]: "}},
    {"SPOP k", "SRANDMEMBER k 1", "-WRONGTYPE", 0, {"-WRONGTYPE: ", "-WRONGTYPE: "}},
    {"XADD k * f v",
     "XINFO STREAM k",
     STREAM("5-7"),
     9,
     {"$1700000000000-5: XADD k 1700000000000-5 f v",
      "$1700000000000-6: XADD k 1700000000000-6 f v"}},
    {"XADD k MAXLEN = 5 * f *",
     "XINFO STREAM k",
     STREAM("1800000000000-7"),
     0,
     {"$1800000000000-8: XADD k MAXLEN = 5 1800000000000-8 f *"}},
    {"XADD k * f v",
     "XINFO STREAM k",
     STREAM("1800000000000-18446744073709551615"),
     0,
     {"$1800000000001-0: XADD k 1800000000001-0 f v"}},
    {"XADD k * f v",
     "XINFO STREAM k",
     STREAM("18446744073709551615-18446744073709551615"),
     0,
     {"-ERR The stream has exhausted the last possible ID, unable to add more items: "}},
    {"XADD k * f v", "XINFO STREAM k", "-ERR", 0, {"$1700000000000-5: XADD k 1700000000000-5 f v"}},
    {"XADD k NOMKSTREAM * f v", "XINFO STREAM k", "-ERR", 0, {"$-1: ", "$-1: "}},
    {"XADD k NOMKSTREAM * f v",
     "XINFO STREAM k",
     STREAM("5-7"),
     0,
     {"$1700000000000-5: XADD k NOMKSTREAM 1700000000000-5 f v"}},
    {"XADD k * f v", "XINFO STREAM k", "-WRONGTYPE", 0, {"-WRONGTYPE: "}},
};

START_TEST(test_choice)
{
    struct line l;
    struct effect_pool pool;
    struct buf question = BUF_INIT, answer = BUF_INIT;
    line_make(&l, choices[_i].command);
    ck_assert(effect_is_chosen(l.spec, &l.cmd));
    effect_add_question(l.spec, &l.cmd, choices[_i].more, &question);
    char *asked = join(buf_slice(&question), false);
    ck_assert_str_eq(asked, choices[_i].question);
    char *copy = mem_strdup(choices[_i].answer), *at = copy;
    add_reply(&answer, &at);
    effect_pool_fill(&pool, l.spec, &l.cmd, choices[_i].more, buf_slice(&answer));
    buf_fini(&answer); /* the pool has its own */
    for (unsigned i = 0; i < 4 && choices[_i].chosen[i]; i++) {
        struct buf out = BUF_INIT, reply = BUF_INIT, want = BUF_INIT;
        int n = effect_choose(&pool, l.spec, &l.cmd, ((uint64_t)NOW << 16) + 5, &out, &reply);
        char *wanted = mem_strdup(choices[_i].chosen[i]), *colon = strstr(wanted, ": ");
        ck_assert_msg((n < 0) == !colon, "%s, %u: %d", choices[_i].command, i, n);
        if (colon) {
            char *found = join(buf_slice(&out), true);
            ck_assert_str_eq(found, colon + 2);
            ck_assert_int_eq(n, *found != '\0');
            *colon = '\0';
            at = wanted;
            if (*wanted == '-')
                resp_add_error(&want, "%s", wanted + 1);
            else
                add_reply(&want, &at);
            ck_assert(slice_eq(buf_slice(&reply), buf_slice(&want)));
            mem_free(found);
        }
        mem_free(wanted);
        buf_fini(&out);
        buf_fini(&reply);
        buf_fini(&want);
    }
    effect_pool_fini(&pool);
    mem_free(copy);
    mem_free(asked);
    mem_free(l.text);
    buf_fini(&question);
}
END_TEST

START_TEST(test_not_chosen)
{
    static const char *const lines[] = {"SPOP k -1",
                                        "SPOP k x",
                                        "SPOP k 1 2",
                                        "XADD k 5-* f v",
                                        "XADD k 5-5 f v",
                                        "XADD k MAXLEN ~ 5 LIMIT 7 * f v",
                                        "EVAL s 1 a",
                                        "XCLAIM k g c 0 1-1",
                                        "XADD k NOMKSTREAM",
                                        "XADD k * f",
                                        "XADD k *",
                                        "XADD k * f v g",
                                        "XADD k MAXLEN x * f v",
                                        "XADD k MAXLEN -1 * f v",
                                        "XADD k MINID 5 * f v",
                                        "XADD k MAXLEN = 5 LIMIT 3 * f v",
                                        "XADD k MAXLEN 5 MAXLEN 4 * f v"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct line l;
        line_make(&l, lines[i]);
        ck_assert_msg(!effect_is_chosen(l.spec, &l.cmd), "%s", lines[i]);
        mem_free(l.text);
    }
}
END_TEST

/* A large pop goes out as several commands, none of them large. */
START_TEST(test_many_are_several)
{
    struct line l;
    struct effect_pool pool;
    struct buf answer = BUF_INIT, reply = BUF_INIT, out = BUF_INIT;
    struct resp_command cmd = {0};
    struct slice command;
    char member[24];
    line_make(&l, "SPOP k 2500");
    resp_add_array(&answer, 2500);
    for (int i = 0; i < 2500; i++) {
        snprintf(member, sizeof member, "m%d", i);
        resp_add_bulk_str(&answer, member);
    }
    effect_pool_fill(&pool, l.spec, &l.cmd, 0, buf_slice(&answer));
    ck_assert_int_eq(effect_choose(&pool, l.spec, &l.cmd, ((uint64_t)NOW << 16) + 5, &out, &reply),
                     3);
    ck_assert(slice_eq(buf_slice(&reply), buf_slice(&answer)));
    struct slice left = buf_slice(&out);
    size_t members = 0;
    while (effect_next(&left, &command, &cmd)) {
        ck_assert_uint_le(cmd.argc, 1026);
        for (size_t i = 2; i < cmd.argc; i++, members++) {
            snprintf(member, sizeof member, "m%zu", members);
            ck_assert(slice_eq(cmd.argv[i], slice_str(member)));
        }
    }
    ck_assert_uint_eq(members, 2500);
    resp_command_fini(&cmd);
    mem_free(l.text);
    effect_pool_fini(&pool);
    buf_fini(&answer);
    buf_fini(&reply);
    buf_fini(&out);
}
END_TEST

/* ---- clients' transactions ------------------------------------------------------------------- */

#define WATCHED slice_str(VERSION)

/* What the others get: command lines with | between them, "" where they get nothing. */
static char *told(struct effect did, const struct buf *out)
{
    struct resp_command cmd = {0};
    struct buf lines = BUF_INIT;
    struct transaction t;
    struct error e;
    ck_assert_int_eq(did.n, out->len > 0);
    if (out->len) {
        ck_assert(resp_command_parse(buf_slice(out), &cmd));
        ck_assert_msg(transaction_ok(&cmd, &e), "%s", e.text);
        ck_assert(!transaction_undetermined(&cmd));
        for (transaction_open(&t, &cmd); transaction_next(&t);) {
            char *line = join(t.bytes, true);
            buf_printf(&lines, "%s%s", lines.len ? " | " : "", line);
            mem_free(line);
        }
        transaction_close(&t);
    }
    resp_command_fini(&cmd);
    buf_add(&lines, "", 1);
    char *text = mem_strdup((const char *)buf_head(&lines));
    buf_fini(&lines);
    return text;
}

static const struct {
    bool watched;
    const char *lines[4];
    const char *probes, *reply, *answers, *effect; /* effect NULL: it can't be told */
} transactions[] = {
    {true, {"SET a 1", "GET b", "INCR a"}, "", "[ +OK $x :2 ]", "", "SET a 1 | INCR a"},
    {true, {"SET a 1"}, "", "*-1", "", ""},
    {true, {"SET a 1"}, "", "-EXECABORT", "", ""},
    {true, {"GET a"}, "", "[ $x ]", "", ""},
    {true, {NULL}, "", "[ ]", "", ""},
    {false,
     {"SPOP a", "SET b 1", "GET c"},
     KEY("a") " | " KEY("b") " | " KEY("a") " | " KEY("b"),
     "[ $x +OK $-1 ]",
     NEVER("x") GONE GONE NEVER("y"),
     "DEL a | RESTORE b 0 y REPLACE ABSTTL"},
    {false,
     {"SPOP a", "SET b 1"},
     KEY("a") " | " KEY("b") " | " KEY("a") " | " KEY("b"),
     "[ $-1 +OK ]",
     GONE NEVER("y") GONE NEVER("y"),
     ""},
    {true, {"SPOP a"}, KEY("a") " | " KEY("a"), "*-1", NEVER("x") NEVER("x"), ""},
    {false, {"SPOP a"}, KEY("a") " | " KEY("a"), "[ $x ]", "-NOPERM :1 :1 -NOPERM :2 :2 ", NULL},
};

START_TEST(test_transaction)
{
    struct tx_record r;
    struct buf probes = BUF_INIT, reply = BUF_INIT, bytes = BUF_INIT, out = BUF_INIT;
    struct slice answers[16];
    const struct command_spec *spec = command_find(slice_str("TRANSACTION"));
    tx_record_make(&r, transactions[_i].watched ? WATCHED : slice_of("", 0), "a b c",
                   transactions[_i].lines);
    ck_assert(!effect_is_chosen(spec, &r.cmd));
    struct effect_probes n = effect_probes(spec, &r.cmd, &probes);
    char *asked = join(buf_slice(&probes), false);
    ck_assert_str_eq(asked, transactions[_i].probes);
    ck_assert_uint_eq(read_answers(transactions[_i].answers, &bytes, answers), n.before + n.behind);
    char *copy = mem_strdup(transactions[_i].reply), *at = copy;
    add_reply(&reply, &at);
    struct effect_replies replies = {
        .own = buf_slice(&reply), .before = answers, .behind = answers + n.before, .now_ms = NOW};
    struct effect did = effect_tell(spec, &r.cmd, &replies, &out);
    ck_assert_int_eq(did.as_it_ran, n.before == 0);
    if (transactions[_i].effect) {
        char *found = told(did, &out);
        ck_assert_str_eq(found, transactions[_i].effect);
        mem_free(found);
    } else {
        ck_assert_int_eq(did.n, -1);
    }
    mem_free(copy);
    mem_free(asked);
    tx_record_unmake(&r);
    buf_fini(&probes);
    buf_fini(&reply);
    buf_fini(&bytes);
    buf_fini(&out);
}
END_TEST

/* Its reply was lost: all that it may have written, in one record. */
START_TEST(test_lost_transaction)
{
    struct tx_record r;
    struct buf probes = BUF_INIT, bytes = BUF_INIT, out = BUF_INIT;
    struct slice answers[16];
    const struct command_spec *spec = command_find(slice_str("TRANSACTION"));
    tx_record_make(&r, WATCHED, "a b c", LINES("SET b 1", "GET c", "INCR a"));
    ck_assert_uint_eq(effect_recovery_probes(spec, &r.cmd, &probes), 6);
    char *asked = join(buf_slice(&probes), false);
    ck_assert_str_eq(asked, KEY("a") " | " KEY("b"));
    ck_assert_uint_eq(read_answers(NEVER("x") GONE, &bytes, answers), 6);
    struct effect did = effect_recover(spec, &r.cmd, answers, NOW, &out);
    char *found = told(did, &out);
    ck_assert_str_eq(found, "RESTORE a 0 x REPLACE ABSTTL | DEL b");
    mem_free(found);
    mem_free(asked);
    tx_record_unmake(&r);
    buf_fini(&probes);
    buf_fini(&bytes);
    buf_fini(&out);
}
END_TEST

static void add_cases(TCase *c)
{
    tcase_add_loop_test(c, test_transaction, 0, ARRAY_LEN(transactions));
    tcase_add_test(c, test_lost_transaction);
    tcase_add_loop_test(c, test_case, 0, ARRAY_LEN(cases));
    tcase_add_loop_test(c, test_lost, 0, ARRAY_LEN(lost));
    tcase_add_loop_test(c, test_choice, 0, ARRAY_LEN(choices));
    tcase_add_test(c, test_not_chosen);
    tcase_add_test(c, test_many_are_several);
}

int main(void)
{
    return unit_main("effect", add_cases);
}
