"""Random command lines over all types, the same for the same seed: what clients send, and what nobody would send on purpose.

GRAMMAR has a line per command, read from left to right:

    UPPER        the word itself, in random case          ?x    x or nothing
    lower        one argument: the method word_lower      *x    x none to three times
    (a|b|c)      one of them                              +x    x one to three times
    {a b}        a and then b                             "x"   x itself, whatever is in it
    2: ...       the line is taken twice as often

Which answers are random or belong to one server (SPOP's member, XADD's id) says test_oracle.py; a key that is different
afterwards is deleted before anything else looks at it (AFTER).

Lifetimes are long, or over, and never twice the same, so that the milliseconds between two servers decide nothing."""
import hashlib
import random

GRAMMAR = """
3: GET str
5: SET str val *(NX|XX|GET|KEEPTTL|{EX sec}|{PX msec}|{EXAT secat}|{PXAT msecat}|BAD)
2: SET str val
SETNX str val
SETEX str sec val
PSETEX str msec val
GETSET str val
GETDEL str
2: GETEX str *({EX sec}|{PX msec}|{EXAT secat}|{PXAT msecat}|PERSIST|NX)
APPEND str val
STRLEN str
INCR str
DECR str
INCRBY str num
DECRBY str num
INCRBYFLOAT str num
GETRANGE str span span
SUBSTR str span span
SETRANGE str offset val
2: MGET +str
MGET str str str str str str str str
2: MSET +{str val}
MSETNX +{str val}
LCS text text *(LEN|IDX|WITHMATCHLEN|{MINMATCHLEN int})
SET text short

2: DEL +any
UNLINK +any
EXISTS +any
TOUCH +any
TYPE any
2: EXPIRE any sec ?(NX|XX|GT|LT|ZZ) ?(GT|XX)
PEXPIRE any msec ?(NX|XX|GT|LT)
EXPIREAT any secat ?(NX|XX|GT|LT)
PEXPIREAT any msecat ?(NX|XX|GT|LT)
TTL any
PTTL any
EXPIRETIME any
PEXPIRETIME any
PERSIST any
RENAME pair
RENAMENX pair
COPY pair ?REPLACE ?{DB 0}
DUMP any
RESTORE (brief|str|any) 0 dump *(REPLACE|{IDLETIME int}|{FREQ int}|ABSTTL)
RESTORE (brief|str) msec dump REPLACE
OBJECT (ENCODING|REFCOUNT|FREQ|IDLETIME|NOPE) any
MEMORY USAGE any ?{SAMPLES int}
SORT any *({LIMIT idx idx}|ASC|DESC|ALPHA|{GET #})
SORT any ALPHA ?{STORE list}
SORT_RO any ?ALPHA *({GET #}|DESC)
SORT sorted *({LIMIT idx idx}|{GET pattern}|ASC|DESC|ALPHA)
SORT sorted BY weight *({LIMIT idx idx}|{GET pattern}|DESC)
SORT sorted BY nosort *{GET pattern}
SORT_RO sorted ?ALPHA *({GET pattern}|DESC)
RPUSH q1 num
SADD q2 +(1|2|3|10|-7|300)
LPOP q1
SPOP q2 1000
DBSIZE
KEYS match
SCAN 0 COUNT 1000 ?{MATCH match} ?{TYPE type}
SCAN cursor COUNT (1000|0|-1|x)
RANDOMKEY

3: LPUSH list +val
3: RPUSH list +val
LPUSHX list +val
RPUSHX list +val
2: LPOP list ?count
2: RPOP list ?count
LLEN list
LINDEX list idx
LINSERT list (BEFORE|AFTER|BAD) val val
LSET list idx val
2: LRANGE list idx idx
LREM list idx val
LTRIM list idx idx
LPOS list val *({RANK idx}|{COUNT count}|{MAXLEN count})
LMOVE list list (LEFT|RIGHT|BAD) (LEFT|RIGHT)
RPOPLPUSH list list
2: LMPOP keysoflist (LEFT|RIGHT|BAD) ?{COUNT count}

4: SADD set +mem
SADD set +(1|2|3|10|-7|300)
SREM set +mem
SCARD set
SISMEMBER set mem
SMISMEMBER set +mem
SMEMBERS set
SMOVE set set mem
SINTER +set
SUNION +set
SDIFF +set
SINTERSTORE set +set
SUNIONSTORE set +set
SDIFFSTORE set +set
SINTERCARD keysofset ?{LIMIT idx}
SRANDMEMBER set ?count
SPOP set ?count
SPOP set 1000
SSCAN set 0 ?{MATCH match} COUNT (1000|1000|1000|0|-1|x)

4: HSET hash +{mem val}
HMSET hash +{mem val}
HSETNX hash mem val
HGET hash mem
HMGET hash +mem
HGETALL hash
HDEL hash +mem
HEXISTS hash mem
HLEN hash
HSTRLEN hash mem
HKEYS hash
HVALS hash
HINCRBY hash mem num
HINCRBYFLOAT hash mem num
HRANDFIELD hash ?{count ?WITHVALUES}
HRANDFIELD hash 1000 WITHVALUES
HSCAN hash 0 ?{MATCH match} COUNT (1000|1000|1000|0|-1|x)

8: ZADD zset ?(NX|XX|GT|LT|CH) +{score mem}
4: ZADD zset *(NX|XX|GT|LT|CH) +{score mem}
ZADD zset ?(NX|XX|GT|LT|CH) INCR score mem
ZADD zset *(NX|XX|GT|LT|CH|INCR) +{score mem}
ZINCRBY zset score mem
ZREM zset +mem
ZSCORE zset mem
ZMSCORE zset +mem
ZCARD zset
ZCOUNT zset bound bound
ZLEXCOUNT level lex lex
ZRANK zset mem
ZREVRANK zset mem
2: ZRANGE zset idx idx ?REV ?WITHSCORES
ZRANGE zset bound bound BYSCORE ?REV ?{LIMIT idx idx} ?WITHSCORES
ZRANGE level lex lex BYLEX ?REV ?{LIMIT idx idx} ?WITHSCORES
ZRANGE zset idx idx *(REV|BYSCORE|WITHSCORES|{LIMIT idx idx})
ZRANGESTORE zset zset idx idx ?REV
ZRANGESTORE zset zset bound bound BYSCORE ?{LIMIT idx idx}
ZREVRANGE zset idx idx ?WITHSCORES
ZRANGEBYSCORE zset bound bound *(WITHSCORES|{LIMIT idx idx})
ZREVRANGEBYSCORE zset bound bound *(WITHSCORES|{LIMIT idx idx})
ZRANGEBYLEX level lex lex ?{LIMIT idx idx}
ZREVRANGEBYLEX level lex lex ?{LIMIT idx idx}
ZREMRANGEBYRANK zset idx idx
ZREMRANGEBYSCORE zset bound bound
ZREMRANGEBYLEX level lex lex
4: ZADD level ?(NX|XX|CH) +{0 mem}
ZREM level +mem
ZUNIONSTORE level 2 level level AGGREGATE MIN
DEL level
ZPOPMIN zset ?count
ZPOPMAX zset ?count
ZRANDMEMBER zset ?{count ?WITHSCORES}
ZRANDMEMBER zset 1000 WITHSCORES
ZSCAN zset 0 ?{MATCH match} COUNT (1000|1000|1000|0|-1|x)
ZUNION keysofzset ?{AGGREGATE (SUM|MIN|MAX|BAD)} ?WITHSCORES
ZUNION 2 zset zset WEIGHTS score score ?WITHSCORES
ZINTER keysofzset ?{AGGREGATE (SUM|MIN|MAX)} ?WITHSCORES
ZDIFF keysofzset ?WITHSCORES
ZUNIONSTORE zset keysofzset ?{AGGREGATE (SUM|MIN|MAX)}
ZINTERSTORE zset 2 zset set ?{WEIGHTS score score}
ZDIFFSTORE zset keysofzset
ZINTERCARD keysofzset ?{LIMIT idx}
ZMPOP keysofzset (MIN|MAX|BAD) ?{COUNT count}

3: GEOADD geo *(NX|XX|CH) +{lon lat town}
GEOPOS geo *town
GEODIST geo town town ?unit
GEOHASH geo *town
2: GEOSEARCH geo ({FROMMEMBER town}|{FROMLONLAT lon lat}) ({BYRADIUS radius unit}|{BYBOX radius radius unit}) *(ASC|DESC|WITHCOORD|WITHDIST|WITHHASH|{COUNT count ?ANY})
GEOSEARCHSTORE zset geo FROMLONLAT lon lat BYRADIUS radius unit *(STOREDIST|ASC|{COUNT count})
GEORADIUS geo lon lat radius unit *(ASC|DESC|WITHCOORD|WITHDIST|WITHHASH|{COUNT count}) ?({STORE zset}|{STOREDIST zset})
GEORADIUS_RO geo lon lat radius unit *(WITHCOORD|WITHDIST|{COUNT count ANY})
GEORADIUSBYMEMBER geo town radius unit *(ASC|WITHCOORD) ?{STORE zset}
GEORADIUSBYMEMBER_RO geo town radius unit *(WITHCOORD|WITHHASH|DESC)

2: SETBIT bits offset bit
GETBIT bits offset
BITCOUNT bits ?{span span ?(BYTE|BIT|BAD)}
BITPOS bits bit ?{span ?{span ?(BYTE|BIT)}}
BITOP (AND|OR|XOR|NOT|BAD) bits +bits
2: BITFIELD bits *({GET width place}|{SET width place num}|{INCRBY width place num}|{OVERFLOW (WRAP|SAT|FAIL|BAD)})
BITFIELD_RO bits *{GET width place}

2: PFADD hll *mem
PFCOUNT +hll
PFCOUNT any
PFMERGE hll *hll
DEL hll
COPY hll hll ?REPLACE
RENAME hll hll
EXPIRE hll sec

5: XADD stream ?NOMKSTREAM newid +{mem val}
XADD stream ?{(MAXLEN|MINID) ?= limit} newid +{mem val}
2: XADD brief ?NOMKSTREAM ?{(MAXLEN|MINID) ?= limit} "*" +{mem val}
XADD brief (MAXLEN|MINID) ~ limit newid +{mem val}
XTRIM brief (MAXLEN|MINID|BAD) ~ limit ?{LIMIT count}
XLEN stream
XRANGE stream from to ?{COUNT count}
XREVRANGE stream to from ?{COUNT count}
XDEL stream +id
XTRIM stream (MAXLEN|MINID|BAD) ?= limit ?{LIMIT count}
XSETID stream newid ?{ENTRIESADDED int} ?{MAXDELETEDID id}
4: XGROUP CREATE stream group (id|0|$) ?MKSTREAM ?{ENTRIESREAD (0|1|5|-1|x)}
XGROUP SETID stream group (id|$) ?{ENTRIESREAD (0|1|5|-1|x)}
XGROUP DESTROY stream group
XGROUP CREATECONSUMER stream group consumer
XGROUP DELCONSUMER stream group consumer
4: XREADGROUP GROUP group consumer ?{COUNT count} ?NOACK STREAMS stream (>|>|0|id)
XREADGROUP GROUP group consumer STREAMS stream stream > (>|0)
XREAD ?{COUNT count} STREAMS stream ($|0|id)
XREAD COUNT count STREAMS stream stream (0|id) (0|$)
XACK stream group +id
XPENDING stream group
XPENDING stream group ?{IDLE 0} from to count ?consumer
2: XCLAIM stream group consumer 0 +id *(JUSTID|FORCE|{RETRYCOUNT (0|1|5|-1|x)}|{IDLE 0})
2: XAUTOCLAIM stream group consumer 0 from ?{COUNT count} ?JUSTID
XINFO STREAM stream ?{FULL ?{COUNT count}}
XINFO GROUPS stream
XINFO CONSUMERS stream group

5: MULTI
MULTI x
EXEC
DISCARD
UNWATCH
WATCH +watched
SET watched fresh
APPEND watched fresh
GETSET watched fresh
GET watched

SCRIPT LOAD loaded
SCRIPT LOAD ("x x"|"")
SCRIPT EXISTS +sha
SCRIPT FLUSH ?(SYNC|ASYNC|x)
SCRIPT (NOPE|{LOAD}|{EXISTS})
2: EVALSHA sha 1 any +mem
EVALSHA_RO sha 1 any mem
2: FUNCTION LOAD ?REPLACE library
FUNCTION DELETE (lib1|lib2|none)
FUNCTION LIST ?{LIBRARYNAME (lib1|lib*|none)} ?WITHCODE
FUNCTION STATS
FUNCTION FLUSH ?(SYNC|ASYNC|x)
FUNCTION (NOPE|DUMP|{DELETE}|{LOAD}|{RESTORE x}|{LIST x})
2: FCALL (f1|f2|none) 1 any mem
FCALL_RO (f1|f2) 1 any mem
FLUSHALL ?(SYNC|ASYNC)
FLUSHDB x

EVAL script 1 any +mem
EVAL "return redis.sha1hex('x')" 0
EVAL_RO "return redis.call('getrange',KEYS[1],0,3)" 1 str
EVAL script count any

2: PING ?val
ECHO val
SELECT (0|00|-1|16|x|99999999999999999999)
2: HELLO (2|3)
HELLO ?(1|4|x)
HELLO (2|3) (SETNAME|FOO|{SETNAME plain}|{SETNAME val}|{AUTH default})
HELLO (2|3) AUTH (default|nope) plain ?(SETNAME|{SETNAME plain})
AUTH ?(default|nope) ?plain
RESET ?plain
CLIENT (ID|GETNAME|NOPE|TRACKINGINFO|GETREDIR|{GETNAME x}|{ID x}|{nope x}|{"" ""}|{SETNAME plain x}|SETNAME)
CLIENT (LIST|KILL|REPLY|NO-EVICT|UNBLOCK) (x|{ID x}|{TYPE x}|ON|{ID 99999}|{ID 0}|99999)
CLIENT (KILL|REPLY|NO-EVICT|UNBLOCK)
CLIENT SETNAME (plain|plain|val)
CLIENT SETINFO LIB-NAME plain
COMMAND (NOPE|{COUNT x}|{LIST x}|{LIST FILTERBY x}|{LIST FILTERBY ACLCAT nope}|GETKEYS|{GETKEYS PING}|{GETKEYS NOPE x}|{GETKEYS GET})
COMMAND INFO (get|set|mget|none) ?(append|none)
CONFIG (GET|NOPE|{GET maxmemory}|{GET none}|{GET none nothing})
ACL (WHOAMI|NOPE|{WHOAMI x})
ROLE ?x
TIME ?x
MODULE (LIST|NOPE|{LIST x})
MEMORY (NOPE|{USAGE}|{USAGE a SAMPLES}|{USAGE a SAMPLES -1})
XINFO (HELP|NOPE|{HELP x})
XGROUP (HELP|NOPE|{HELP x})
OBJECT (HELP|NOPE|{HELP x})
nope *val
CONFIG
OBJECT
XINFO
"""

# Of what is left of a key by these a server knows more than the other: it goes.
AFTER = {"SPOP": lambda words: words[1:2] if words[-1] != b"1000" else [],
         "XADD": lambda words: words[1:2] if b"*" in words or b"~" in words else [],
         "XTRIM": lambda words: words[1:2] if b"~" in words else [],
         "EVAL": lambda words: words[3:4] if len(words) > 1 and b"'*'" in words[1] else []}

# Spoiled by leaving out only: what they add is what was meant, and has an order.
KEPT = ("SADD", "ZADD", "ZUNIONSTORE", "GEOADD", "ZINCRBY", "XADD", "SPOP", "EVAL", "EVAL_RO", "SORT", "RENAME", "COPY", "XCLAIM", "COMMAND",
        "SCAN", "SSCAN", "HSCAN", "ZSCAN")

NUMBERS = [b"-0", b"+1", b"01", b" 1", b"1 ", b"1.5", b"1e3", b"0x10", b"inf", b"-inf", b"nan", b"", b"abc", b"9223372036854775807",
           b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809", b"9223372036854775806", b"4611686018427387904",
           b"99999999999999999999999999", b"18446744073709551615", b"1\x00", b"3.0", b".5", b"5.", b"1e400", b"1e-400", b"-.0", b"1e17",
           b"123456789.123456789", b"1e-5", b"0.1", b"-3.14159265358979", b"1.7976931348623157e308", b"5e-324"]
VALUES = [b"", b"v", b"hello world", b"\x00\x01\x02", b"\r\n", b"12", b"-7", b"3.25", b"9223372036854775807", b"x" * 300, b"y" * 5000,
          b"1e2", b"0", b" 5", b"-9223372036854775808", b"$-1\r\n", b"a", b"b"]
WRONG = NUMBERS + [v for v in VALUES if v != b"12"]  # a lifetime of 12 would end in between
# Without NUL, where SORT ALPHA ends.
MEMBERS = [b"a", b"b", b"c", b"d", b"e", b"f", b"1", b"2", b"3", b"", b"\xff\r\n", b"m" * 70, b"WITHSCORES", b"-5", b"\xc3\xa9"]
LIBRARIES = [b"#!lua name=lib1\nredis.register_function{function_name='f1',callback=function(k,a) return redis.call('type',k[1]) end,flags={'no-writes'}}",
             b"#!lua name=lib2\nredis.register_function('f2',function(k,a) return redis.call('append',k[1],a[1]) end)",
             b"#!lua name=lib1\nredis.register_function('f1',function(k,a) return {#k,a[1],false} end)", b"#!lua name=lib3\nx x", b"return 1", b"#!lua\n",
             b"#!lua name=lib1\n"]
# Loaded, never given to EVAL, which brings a script only to where it runs.
LOADED = [b"return {KEYS[1],#ARGV,false}", b"return redis.call('strlen',KEYS[1])", b"return redis.call('append',KEYS[1],ARGV[1])"]
SCRIPTS = [b"return redis.call('get',KEYS[1])", b"return redis.call('type',KEYS[1])", b"return {1,'a',{false,2.9},nil,3}", b"return redis.call('hgetall',KEYS[1])",
           b"return redis.pcall('lpush',KEYS[1],ARGV[1])", b"return redis.call('set',KEYS[1],ARGV[1])", b"return redis.call('nope')", b"return {err='MY own'}",
           b"return redis.error_reply('x')", b"return redis.status_reply('fine')", b"return #ARGV", b"return redis.call('sadd',KEYS[1],unpack(ARGV))",
           b"return redis.call('zadd',KEYS[1],1,ARGV[1])", b"return {redis.call('incr',KEYS[1]),KEYS,ARGV}", b"x x", b"return redis.call('xadd',KEYS[1],'*','f')",
           b"return tostring(1/3)", b"return false", b"return redis.call('zscore',KEYS[1],ARGV[1])", b"error('lua')", b""]


# What a transaction isn't made of: these cover the whole ring or change the connection, and the server takes more of CLIENT.
NOT_IN_MULTI = ("MULTI EXEC DISCARD WATCH DBSIZE KEYS SCAN RANDOMKEY FLUSHALL FLUSHDB SCRIPT FUNCTION SORT SORT_RO HELLO AUTH RESET CLIENT "
                "EVALSHA EVALSHA_RO FCALL FCALL_RO").split()
NOT_IN_MULTI_LINES = ("EVAL script count any", 'EVAL "return redis.sha1hex(\'x\')" 0', "XINFO (HELP|NOPE|{HELP x})", "XGROUP (HELP|NOPE|{HELP x})",
                      "OBJECT (HELP|NOPE|{HELP x})")  # have no key


class Keys:
    """Names by what is usually there."""
    STR = [b"", b"a", b"b", b"n1", b"n2", b"f", b"bin\x00\r\n\xff", b"k" * 494, b"k" * 495, b"k" * 520 + b"1", b"k" * 520 + b"2",
           b"\xc3\xa9", b"{tag}x", b" "]
    TEXT = [b"t1", b"t2"]
    LIST = [b"l1", b"l2", b"l3"]
    SET = [b"s1", b"s2", b"s3"]
    HASH = [b"h1", b"h2"]
    ZSET = [b"z1", b"z2", b"z3"]
    LEVEL = [b"level1", b"level2"]  # all have one score, else BYLEX depends on a skip list's dice; not in ANY
    GEO = [b"g1", b"g2"]
    BITS = [b"b1", b"b2"]
    WATCHED = [b"w1", b"w2"]  # nor these: a write that changes nothing counts as a change
    SORTED = [b"q1", b"q2"]  # nor these: SORT with a pattern, refused here, changes a sorted set's encoding
    HLL = [b"p1", b"p2", b"p3"]  # not in ANY: PFCOUNT, a read, keeps its result in the bytes of the store that it asks
    STREAM = [b"x1", b"x2"]
    BRIEF = b"x9"  # soon deleted: its last id is a server's own
    ANY = STR + TEXT + LIST + SET + HASH + ZSET + GEO + BITS + STREAM


# ---- reading the grammar ------------------------------------------------------------------------

def split(text):
    """Words, quoted words and brackets."""
    words, word, quoted = [], "", False
    for c in text:
        if c == '"':
            quoted = not quoted
            word += c
        elif not quoted and c in "(){}| ":
            words += [word] if word else []
            words += [c] if c != " " else []
            word = ""
        elif not quoted and not word and c in "?*+":
            words.append(c)
        else:
            word += c
    return words + ([word] if word else [])


def parse_sequence(tokens, ends):
    parts = []
    while tokens and tokens[0] not in ends:
        parts.append(parse_one(tokens))
    return ("all", parts)


def parse_one(tokens):
    token = tokens.pop(0)
    if token in "?*+" and tokens and tokens[0] not in ")|}" and token != "":
        return (token, parse_one(tokens))
    if token == "(":
        choices = [parse_sequence(tokens, ")|")]
        while tokens.pop(0) == "|":
            choices.append(parse_sequence(tokens, ")|"))
        return ("one", choices)
    if token == "{":
        inner = parse_sequence(tokens, "}")
        tokens.pop(0)
        return inner
    return ("word", token)


def parse_grammar(text):
    """[(name, weight, tree)]"""
    lines = []
    for line in filter(None, text.split("\n")):
        weight, colon, rest = line.partition(": ")
        if not colon or not weight.isdigit():
            weight, rest = "1", line
        tokens = split(rest)
        lines.append((tokens[0].upper(), int(weight), parse_sequence(tokens, ()), rest))
    return lines


# ---- making lines of it -------------------------------------------------------------------------

class Commands:
    """now: seconds, when the run began. dumps: payloads of DUMP. names: only these; None: all."""

    def __init__(self, seed, now, names=None, dumps=(), leave_out=()):
        self.r = random.Random(seed)
        self.now = now
        self.dumps = list(dumps) or [b"payload"]
        self.last, self.ids = 1, [b"0-1"]  # of the entries of streams
        rules = [rule for rule in parse_grammar(GRAMMAR) if (names is None or rule[0] in names) and rule[0] not in leave_out]
        self.rules = [rule for rule in rules for _ in range(rule[1])]
        self.in_multi = [rule for rule in self.rules if rule[0] not in NOT_IN_MULTI and rule[3] not in NOT_IN_MULTI_LINES]
        self.queue = []
        self.words_by_name = {word[5:]: getattr(self, word) for word in dir(self) if word.startswith("word_")}

    def next(self):
        """(name, words): name is what the generator means, words are what is sent."""
        if not self.queue:
            name, words = self.one(self.rules)
            if self.r.random() < 0.02:
                return "COMMAND", [b"COMMAND", self.r.choice((b"GETKEYS", b"GETKEYSANDFLAGS"))] + words
            made = self.transaction() if name == "MULTI" and len(words) == 1 else [(name, words)]
            for name, words in made:
                self.queue.append((name, words))
                if name in ("FLUSHALL", "FLUSHDB"):  # whether a key was there in between, nobody can tell afterwards
                    self.queue.append(("UNWATCH", [b"UNWATCH"]))
                self.queue += [("DEL", [b"DEL", key]) for key in AFTER.get(name, lambda words: [])(words)]
        return self.queue.pop(0)

    def transaction(self):
        """Maybe watching, maybe in vain."""
        made = []
        if self.r.random() < 0.4:
            made.append(("WATCH", [b"WATCH"] + self.r.choice((Keys.WATCHED, Keys.WATCHED[:1]))))
            made += [("SET", [b"SET", self.word_watched(), self.word_fresh()])] if self.r.random() < 0.3 else []
            made += [self.one(self.in_multi) for _ in range(self.r.choice((0, 0, 1, 2)))]
        made.append(("MULTI", [b"MULTI"]))
        made += [self.one(self.in_multi) for _ in range(self.r.choice((0, 1, 2, 3, 5)))]
        return made + [self.r.choice((("EXEC", [b"exec"]),) * 9 + (("DISCARD", [b"DISCARD"]), ("EXEC", [b"EXEC", b"x"])))]

    def one(self, rules):
        name, _, tree, _ = self.r.choice(rules)
        return name, self.spoil(name, self.words(tree, []))

    def words(self, tree, out):
        kind, what = tree
        r = self.r.random
        if kind == "all":
            for part in what:
                self.words(part, out)
        elif kind == "one":
            self.words(self.r.choice(what), out)
        elif kind == "word":
            if what in self.words_by_name:
                made = self.words_by_name[what]()
                out.extend(made if isinstance(made, list) else [made])
            else:
                out.append(self.literal(what))
        else:
            times = {"?": lambda: int(r() < 0.4), "*": lambda: self.r.choice((0, 0, 1, 1, 2, 3)), "+": lambda: self.r.choice((1, 1, 1, 2, 3))}[kind]()
            for _ in range(times):
                self.words(what, out)
        return out

    def literal(self, word):
        word = word.strip('"').encode() if '"' in word else word.encode()
        x = self.r.random()
        if x < 0.6 or not word.isupper():
            return word
        return word.lower() if x < 0.9 else bytes(c ^ 32 if self.r.random() < .5 and chr(c).isalpha() else c for c in word)

    def spoil(self, name, words):
        """Now and then a word too many, too few, or a wrong one."""
        x = self.r.random()
        if x < 0.03 and name not in ("COMMAND", "CLIENT"):  # as they are, they tell of the server
            return words[:-1] if len(words) > 1 else words + [self.word_val()]
        if name in KEPT:
            return words
        if x < 0.05:
            return words + [self.word_val()]
        if x < 0.07 and len(words) > 2:
            words[self.r.randrange(2, len(words))] = self.r.choice(WRONG)
        return words

    def key(self, of):
        return self.r.choice(of if self.r.random() < 0.97 else Keys.ANY)

    def word_any(self): return self.r.choice(Keys.ANY)
    def word_str(self): return self.key(Keys.STR)
    def word_text(self): return self.r.choice(Keys.TEXT)
    def word_list(self): return self.key(Keys.LIST)
    def word_set(self): return self.key(Keys.SET)
    def word_hash(self): return self.key(Keys.HASH)
    def word_zset(self): return self.key(Keys.ZSET)
    def word_level(self): return self.r.choice(Keys.LEVEL)
    def word_geo(self): return self.key(Keys.GEO)
    def word_bits(self): return self.key(Keys.BITS)
    def word_hll(self): return self.r.choice(Keys.HLL)
    def word_stream(self): return self.key(Keys.STREAM)
    def word_brief(self): return self.good((Keys.BRIEF,), Keys.ANY, 0.05)

    def word_pair(self):
        """Two keys of a type, else all would have any type."""
        of = self.r.choice((Keys.STR, Keys.LIST, Keys.SET, Keys.HASH, Keys.ZSET, Keys.STREAM, Keys.BITS, Keys.ANY))
        return [self.r.choice(of), self.r.choice(of)]

    def word_watched(self): return self.r.choice(Keys.WATCHED)

    def word_fresh(self):
        self.last += 1
        return b"fresh%d" % self.last

    def word_sorted(self): return self.r.choice(Keys.SORTED)

    def number_of_keys(self, of):
        keys = [self.key(of) for _ in range(self.r.choice((1, 1, 2, 2, 3)))]
        n = b"%d" % len(keys) if self.r.random() < 0.93 else self.r.choice((b"0", b"-1", b"x", b"1", b"9", b"9223372036854775807"))
        return [n] + keys

    def word_keysoflist(self): return self.number_of_keys(Keys.LIST)
    def word_keysofset(self): return self.number_of_keys(Keys.SET)
    def word_keysofzset(self): return self.number_of_keys(Keys.ZSET)

    def word_val(self):
        return self.r.randbytes(self.r.choice((1, 3, 20, 200))) if self.r.random() < 0.2 else self.r.choice(VALUES)

    def word_mem(self): return self.r.choice(MEMBERS)
    def word_town(self): return self.good((b"a", b"b", b"c", b"d"), MEMBERS)
    def word_short(self): return bytes(self.r.choices(b"abc", k=self.r.randrange(40)))
    def word_plain(self): return b"name%d" % self.r.randrange(9)

    def good(self, good, bad, odds=0.1):
        return self.r.choice(bad if self.r.random() < odds else good)

    def word_num(self): return self.good((b"0", b"1", b"-1", b"2", b"10", b"7", b"-3"), NUMBERS, 0.4)
    def word_int(self): return self.good((b"0", b"1", b"2", b"3", b"10", b"100"), NUMBERS)
    def word_idx(self): return self.good((b"0", b"1", b"-1", b"2", b"-2", b"5", b"-100", b"100"), NUMBERS)
    def word_count(self): return self.good((b"0", b"1", b"2", b"3", b"10", b"1", b"2"), (b"-1", b"-3", b"x", b"", b"9223372036854775808", b"1.0"))
    def word_span(self): return self.good((b"0", b"1", b"-1", b"2", b"5", b"-3", b"100", b"-100"), NUMBERS)
    def word_offset(self): return self.good((b"0", b"1", b"7", b"8", b"100", b"700"), (b"-1", b"x", b"4294967296", b"9223372036854775807"))
    def word_bit(self): return self.good((b"0", b"1"), (b"2", b"-1", b"x"))
    # Not -0, which is 0 in a listpack and not in a skip list: SORT makes one of the other.
    def word_score(self): return self.good((b"0", b"1", b"2", b"3", b"1.5", b"-1", b"inf", b"-inf", b"0.1", b"1e20"), [n for n in NUMBERS if n not in (b"-0", b"-.0")])
    def word_bound(self): return self.good((b"-inf", b"+inf", b"0", b"1", b"(1", b"2", b"(2", b"3", b"(-1"), NUMBERS + [b"(", b"[1", b"((1"])
    def word_lex(self): return self.good((b"-", b"+", b"[a", b"(a", b"[c", b"(d", b"[f"), (b"a", b"", b"[", b"(", b"--"))
    def word_match(self): return self.good((b"*", b"a*", b"?", b"[a-c]", b"\\*", b"*1", b"[^a]*"), (b"", b"[", b"\\", b"[a-"))
    def word_type(self): return self.good((b"string", b"list", b"set", b"hash", b"zset", b"stream"), (b"nope", b"", b"STRING"))
    def word_pattern(self): return self.r.choice((b"#", b"h1->*", b"t*", b"none_*", b"plain"))
    def word_weight(self): return self.r.choice((b"t*", b"h1->*", b"none_*"))
    def word_cursor(self): return self.good((b"0",), (b"x", b"", b" 0", b"1x", b"99999999999999999999999"), 0.5)
    def word_lon(self): return self.good((b"13.361389", b"15.087269", b"15", b"-0.5", b"2.35", b"179.9", b"0"), (b"180.5", b"x", b"-181", b"nan"))
    def word_lat(self): return self.good((b"38.115556", b"37.502669", b"37", b"51.5", b"48.85", b"-10", b"0"), (b"86", b"x", b"-86", b"inf"))
    def word_radius(self): return self.good((b"100", b"1000", b"200.5", b"10000", b"5000", b"3000", b"0"), (b"-1", b"x", b""))
    def word_unit(self): return self.good((b"m", b"km", b"ft", b"mi", b"KM"), (b"x", b""))
    def word_width(self): return self.good((b"u8", b"i8", b"u1", b"i5", b"u63", b"i64", b"u16"), (b"u64", b"i65", b"u0", b"x8", b"u", b""))
    def word_place(self): return self.good((b"0", b"1", b"8", b"#0", b"#1", b"#3", b"100"), (b"-1", b"#-1", b"x", b"#", b"4294967296", b"#4294967296"))
    def word_limit(self): return self.good((b"0", b"1", b"2", b"5", b"100"), (b"-1", b"x", b"3-1"))
    def word_group(self): return self.good((b"g",), (b"h", b""))
    def word_consumer(self): return self.r.choice((b"a", b"b"))
    def word_loaded(self): return self.r.choice(LOADED)
    def word_script(self): return self.r.choice(SCRIPTS)
    def word_library(self): return self.good(LIBRARIES[:2], LIBRARIES, 0.4)
    def word_sha(self): return self.good([hashlib.sha1(script).hexdigest().encode() for script in LOADED], (b"0" * 40, b"x", b""))
    def word_dump(self): return self.good(self.dumps, (b"", b"payload", self.dumps[0][:-1] + b"\x00"))

    def word_newid(self):
        self.last += self.r.choice((0, 1, 1, 1, 5))
        made = self.good((b"%d-1" % self.last, b"%d-1" % self.last, b"%d-%d" % (self.last, self.r.randrange(5)), b"%d-*" % self.last, b"%d" % self.last),
                         (b"0-0", b"0", b"x", b"1-x", b"-1", b"18446744073709551616-1", b"5-", b"", b"1-1"))
        self.ids = self.ids[-8:] + [made]
        return made

    def word_id(self): return self.good(self.ids, (b"x", b"", b"1-", b"-", b"1-2-3", b"18446744073709551616"), 0.05)

    def word_from(self): return self.good((b"-", self.word_id(), b"(%d-1" % self.last, b"0"), (b"+", b"(", b"(-", b"x"))
    def word_to(self): return self.good((b"+", self.word_id(), b"(%d-1" % self.last), (b"-", b"x", b"(+"))

    def lifetime(self, unit, absolute):
        """unit: milliseconds. Mostly a good one; never so near that it could end between two servers."""
        x = self.r.random()
        if x < 0.2:
            return self.r.choice([b"0", b"-1"] + NUMBERS)
        if absolute and x < 0.3:
            return b"%d" % self.r.randrange(1, self.now * 1000 // unit - 100 * 1000 // unit)
        far = self.r.randrange(1000 * 1000, 10 ** 10) // unit
        return b"%d" % (far + (self.now * 1000 // unit if absolute else 0))

    def word_sec(self): return self.lifetime(1000, False)
    def word_msec(self): return self.lifetime(1, False)
    def word_secat(self): return self.lifetime(1000, True)
    def word_msecat(self): return self.lifetime(1, True)
