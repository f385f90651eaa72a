"""Every command that the store behind serves answers as Redis does and leaves the same on all replicas. Those of several keys: with a hash tag that puts their keys together each answers as Redis does and leaves the same
on all replicas, through every node; with keys of two owners it is -CROSSSLOT. Redis's own COMMAND says which there are."""
import os

import pytest
import rig
from test_effects import content
from wire import Wire, command

READ = "return{redis.call('GET',KEYS[1]),redis.call('SCARD',KEYS[2])}"
WRITE = "redis.call('APPEND',KEYS[1],'x');return{redis.call('GET',KEYS[1]),redis.call('RPUSH',KEYS[2],'y')}"
LIBRARY = f"""#!lua name=lib
redis.register_function('w', function(KEYS) {WRITE} end)
redis.register_function{{function_name='r', callback=function(KEYS) {READ} end, flags={{'no-writes'}}}}"""

# What there is beforehand. @key: a key.
SETUP = """
SET @s1 hello
SET @s2 yellow
PFADD @h1 a b c
PFADD @h2 c d
RPUSH @l1 3 1 2
RPUSH @l2 x
SADD @t1 1 2 3 4
SADD @t2 3 4 5
ZADD @z1 1 a 2 b 3 c
ZADD @z2 5 b 7 d
GEOADD @g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
XADD @x1 1-1 f v
XADD @x1 2-1 f v
XADD @x2 1-1 f v
XGROUP CREATE @x1 group 0
XGROUP CREATE @x2 group 0
"""

# What is asked then, one after the other. Each command of several keys that isn't split is here.
LINES = """
BITOP OR @d1 @s1 @s2
BITOP NOT @d2 @none
COPY @s1 @d3
COPY @s1 @d3
COPY @s2 @d3 REPLACE
EVAL WRITE 2 @s1 @l1
EVAL_RO READ 2 @s1 @t1
EVALSHA SHA_WRITE 2 @s1 @l1
EVALSHA_RO SHA_READ 2 @s1 @t1
FCALL w 2 @s1 @l2
FCALL r 2 @s1 @t1
FCALL_RO r 2 @s1 @t1
GEORADIUS @g 15 37 200 km STORE @d4
GEORADIUSBYMEMBER @g Palermo 300 km STOREDIST @d5
GEOSEARCHSTORE @d6 @g FROMLONLAT 15 37 BYRADIUS 200 km ASC
LCS @s1 @s2
LCS @s1 @s2 IDX MINMATCHLEN 2
LMOVE @l1 @l2 LEFT RIGHT
LMPOP 2 @none @l1 LEFT
LMPOP 3 @none @l1 @l2 RIGHT COUNT 2
LMPOP 2 @none @none2 LEFT
LMPOP 2 @none @s1 LEFT
LMPOP 2 @l1 @l2 LEFT COUNT 0
MSETNX @m1 1 @m2 2
MSETNX @m3 1 @m2 2
PFCOUNT @h1 @h2
PFCOUNT @h1
PFMERGE @h3 @h1 @h2
RENAME @d3 @d7
RENAME @none @d7
RENAMENX @d7 @d8
RENAMENX @d8 @d1
RPOPLPUSH @l2 @l1
SDIFF @t1 @t2
SDIFFSTORE @d9 @t1 @t2
SINTER @t1 @t2
SINTER @t1 @none
SINTERCARD 2 @t1 @t2
SINTERCARD 2 @t1 @t2 LIMIT 1
SINTERCARD 2 @t1 @s1
SINTERCARD 2 @t1 @t2 LIMIT -1
SINTERSTORE @d10 @t1 @t2
SMOVE @t1 @t2 1
SMOVE @t1 @t2 1
SORT @l2 ALPHA STORE @d11
SORT @t2 DESC
SORT_RO @t2 LIMIT 1 2
SUNION @t1 @t2
SUNIONSTORE @d12 @t1 @t2
XREAD STREAMS @x1 @x2 1 0
XREAD COUNT 1 STREAMS @x1 @x2 $ 0-0
XREAD STREAMS @x1 @none $ $
XREAD STREAMS @x1 @x2 0 >
XREAD STREAMS @x1 @x2 0 x
XREAD STREAMS @x1 @s1 0 0
XREADGROUP GROUP group one COUNT 1 STREAMS @x1 @x2 > >
XREADGROUP GROUP group one STREAMS @x1 @x2 0 >
XREADGROUP GROUP group two NOACK STREAMS @x2 @x1 > >
XREADGROUP GROUP group two STREAMS @x1 @none > >
ZDIFF 2 @z1 @z2
ZDIFF 2 @z1 @z2 WITHSCORES
ZDIFFSTORE @d13 2 @z1 @z2
ZINTER 2 @z1 @t1
ZINTER 2 @z1 @z2 WEIGHTS 2 0.5 AGGREGATE MAX WITHSCORES
ZINTERCARD 2 @z1 @z2
ZINTERSTORE @d14 2 @z1 @z2 AGGREGATE SUM
ZUNION 2 @z1 @z2
ZUNION 3 @z1 @z2 @t2 WITHSCORES
ZUNION 2 @z1 @z2 WEIGHTS 1
ZUNION 2 @z1 @s1
ZUNION 2 @z1 @z2 @t1
ZUNIONSTORE @d15 2 @z1 @z2 WEIGHTS 2 3
ZUNIONSTORE @z1 2 @z1 @z2
ZRANGESTORE @d16 @z1 0 1 REV
ZMPOP 2 @none @z2 MIN
ZMPOP 2 @z2 @z1 MAX COUNT 2
ZMPOP 2 @none @none2 MIN
ZMPOP 2 @none @z1 FIRST
"""
# And the others: of one key, or split over the owners of their keys. What depends on the time or on chance is asked so
# that it doesn't: EXPIRE is long ago, or of no key.
SINGLE = """
APPEND @b1 x
APPEND @b1 yz
SETBIT @b1 7 1
GETBIT @b1 7
BITCOUNT @b1
BITCOUNT @b1 0 5 BIT
BITPOS @b1 1
BITFIELD @b1 SET u8 0 200 INCRBY u8 0 100 GET i4 1
BITFIELD_RO @b1 GET u8 0
BITFIELD_RO @b1 SET u8 0 1
SET @i1 5
SET @i1 6 NX
SET @i1 7 XX GET
SETNX @i1 1
DECR @i1
DECRBY @i1 10
INCR @i1
INCRBY @i1 20
INCRBYFLOAT @i1 0.5
INCR @i1
GET @i1
GETSET @i1 9
GETEX @i1
GETEX @i1 PERSIST
GETEX @none EX 0
GETEX @i1 EX 0
GETRANGE @b1 0 1
SUBSTR @b1 1 2
SETRANGE @b1 2 abc
STRLEN @b1
MSET @m4 1 @m5 2
MGET @m4 @none @m5
EXISTS @m4 @none @m5 @m4
TOUCH @m4 @none
DEL @m4 @none
UNLINK @m5 @none
SETEX @e1 100000 v
PSETEX @e2 100000000 v
PERSIST @e1
PERSIST @e1
EXPIRE @none 5
EXPIRE @e1 -1
PEXPIRE @e2 -1 XX
EXPIREAT @none 5
PEXPIREAT @none 5
TTL @i1
PTTL @none
EXPIRETIME @i1
PEXPIRETIME @none
GETDEL @e2
TYPE @b1
DUMP @b1
RESTORE @b2 0 DUMPED
RESTORE @b2 0 DUMPED
RESTORE @b2 0 DUMPED REPLACE
HSET @o1 f 1 g 2
HSETNX @o1 f 2
HMSET @o1 h 3
HGET @o1 f
HMGET @o1 f x
HGETALL @o1
HKEYS @o1
HVALS @o1
HLEN @o1
HEXISTS @o1 f
HSTRLEN @o1 f
HINCRBY @o1 f 5
HINCRBYFLOAT @o1 f 0.5
HDEL @o1 g h x
HRANDFIELD @o1
HSCAN @o1 0
LPUSH @p1 a b
RPUSH @p1 c
LPUSHX @none a
RPUSHX @p1 d
LINSERT @p1 BEFORE a z
LSET @p1 0 first
LINDEX @p1 -1
LLEN @p1
LPOS @p1 a
LRANGE @p1 0 -1
LREM @p1 0 z
LTRIM @p1 0 2
LPOP @p1
LPOP @p1 2
RPOP @p1
RPOP @none 1
SADD @u1 7 8
SCARD @u1
SISMEMBER @u1 7
SMISMEMBER @u1 7 9
SMEMBERS @u1
SREM @u1 8
SRANDMEMBER @u1
SSCAN @u1 0
SPOP @u1
SPOP @u1
ZADD @y1 1 a 2 b 3 c 4 d 5 e
ZADD @y1 GT CH 9 a
ZCARD @y1
ZCOUNT @y1 2 3
ZINCRBY @y1 1.5 b
ZLEXCOUNT @y1 - +
ZMSCORE @y1 a x
ZRANGE @y1 0 -1 WITHSCORES
ZRANGEBYLEX @y1 - +
ZRANGEBYSCORE @y1 -inf 4 LIMIT 0 1
ZREVRANGE @y1 0 1
ZREVRANGEBYLEX @y1 + -
ZREVRANGEBYSCORE @y1 9 2
ZRANK @y1 c
ZREVRANK @y1 c
ZSCORE @y1 b
ZSCAN @y1 0
ZPOPMIN @y1
ZPOPMAX @y1
ZREM @y1 x
ZRANDMEMBER @none
ZREMRANGEBYLEX @y1 [zz +
ZREMRANGEBYRANK @y1 0 0
ZREMRANGEBYSCORE @y1 5 6
PFADD @h4 a
GEOADD @g2 13.361389 38.115556 Palermo
GEODIST @g Palermo Catania km
GEOHASH @g Palermo
GEOPOS @g Palermo none
GEORADIUS_RO @g 15 37 200 km
GEORADIUSBYMEMBER_RO @g Palermo 10 km
GEOSEARCH @g FROMMEMBER Palermo BYBOX 900 900 km ASC WITHDIST
XADD @x3 5-1 f v
XADD @x3 5-* f v
XADD @x3 4-1 f v
XADD @x3 NOMKSTREAM MAXLEN = 2 6-1 f v
XADD @none NOMKSTREAM * f v
XLEN @x3
XRANGE @x3 - +
XREVRANGE @x3 + - COUNT 1
XGROUP CREATE @x3 group 0
XGROUP CREATECONSUMER @x3 group one
XCLAIM @x3 group one 0 6-1 FORCE TIME 5 JUSTID
XAUTOCLAIM @x3 group two 100 0 COUNT 1 JUSTID
XPENDING @x3 group
XACK @x3 group 6-1 9-1
XGROUP SETID @x3 group 5-2 ENTRIESREAD 2
XGROUP DELCONSUMER @x3 group one
XINFO GROUPS @x3
XINFO CONSUMERS @x3 none
XINFO STREAM @x3
XDEL @x3 5-2
XTRIM @x3 MAXLEN 0
XSETID @x3 9-9
XGROUP DESTROY @x3 group
OBJECT ENCODING @b1
OBJECT REFCOUNT @b1
OBJECT FREQ @b1
OBJECT IDLETIME @none
MEMORY USAGE @m1
"""
WHOLE_RING = {"FLUSHALL", "FLUSHDB", "FUNCTION", "SCRIPT"}  # they name no key
ONE_KEY_ONLY = {"SORT_RO"}  # its keys don't stand at fixed places, but there is only one

FOUR = [("dc1", rack, token) for rack in ("rack1", "rack2") for token in ("0,1000000000", "2000000000,3000000000")]


def words_of(line, sha, tag, other=None):
    """other: the tag of all keys but the first."""
    words, tags = [], [tag]
    for word in line.split():
        if word[0] == "@":
            word = f"{{{tags[0]}}}{word[1:]}"
            tags = tags if other is None else [other]
        words.append({"READ": READ, "WRITE": WRITE, "SHA_READ": sha[0], "SHA_WRITE": sha[1]}.get(word, word))
    return words


def lines(text):
    return [line for line in text.split("\n") if line]


def prepare(server):
    own = server.client()
    own.execute_command("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    return [own.script_load(READ), own.script_load(WRITE)]


@pytest.fixture(scope="module")
def ring():
    flags = {"hash-tag": "{}", "write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM"}
    with rig.Cluster(places=FOUR, store="redis", flags=flags) as c:
        for backend in c.backends:
            sha = prepare(backend)
        yield c, sha


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("oracle")), "oracle")
    server.start()
    prepare(server)
    yield server
    server.kill()


def owner(c, tag):
    return [r["address"] for r in c.nodes[0].admin("key", f"{{{tag}}}")["replicas"]][0]


def dump_of(got):
    """The bytes in it, for RESTORE."""
    return got.split(b"\r\n", 1)[1][:-2]


def two_tags(c, name):
    """Of two owners."""
    first = name + "0"
    return first, next(t for t in (f"{name}{i}" for i in range(1, 100)) if owner(c, t) != owner(c, first))


def table():
    """Of docs/commands.md, which tests/unit/command-docs.sh compares with the server's."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "commands.md"), encoding="utf-8") as f:
        return [[cell.strip() for cell in line.split("|")] for line in f if line.startswith("| `")]


def test_commands_are_all_here(oracle):
    rows = table()
    taken = [r for r in rows if r[2] in ("read", "overwrite", "change")]
    served = {r[1].strip("`").lower() for r in taken if "keys may lie on any nodes" not in r[4]}
    many = set()
    with oracle.client() as own:
        own.set_response_callback("COMMAND", lambda reply, **_: reply)
        for name, _, flags, first, last, *_ in own.execute_command("COMMAND"):
            if first != last or b"movablekeys" in flags:
                many.add(name.decode())
    tested = {line.split()[0].lower() for line in lines(LINES)}
    assert len(many & served) > 35
    assert many & served <= tested, many & served - tested
    every = {r[1].strip("`").split(" ")[0] for r in taken} - WHOLE_RING
    tested = {line.split()[0] for line in lines(SETUP + LINES + SINGLE)}
    assert len(every) > 150 and every == tested, every ^ tested


def test_commands_answer_as_redis(ring, oracle):
    c, sha = ring
    for i, node in enumerate(c.nodes):
        tag, dump = two_tags(c, f"one{i}")[0], b""  # half of the nodes have no copy of it
        with Wire(node.client_port) as ours, Wire(oracle.path) as theirs:
            for line in lines(SETUP + LINES + SINGLE):
                words = [dump if w == "DUMPED" else w for w in words_of(line, sha, tag)]
                want, got = theirs.ask(*words), ours.ask(*words)
                assert got == want, f"{node.name}: {line}"
                dump = dump_of(got) if words[0] == "DUMP" else dump
        keys = {w for line in lines(SETUP + LINES + SINGLE) for w in words_of(line, sha, tag) if w.startswith(f"{{{tag}}}")}
        has_it = [b for n, b in zip(c.nodes, c.backends)
                  if n.admin("status")["node"]["address"] in [r["address"] for r in node.admin("key", f"{{{tag}}}")["replicas"]]]
        assert len(has_it) == 2
        for key in sorted(keys):
            def same(key=key):
                return repr(content(has_it[0].client(), key)) == repr(content(has_it[1].client(), key))
            rig.wait_until(same, f"{key} is the same on both replicas")
            if key.split("}")[1][0] not in "hx":  # counts that Redis keeps in the key; the times of groups
                assert repr(content(has_it[0].client(), key)) == repr(content(oracle.client(), key)), key


def test_commands_of_several_keys_of_two_owners_are_refused(ring):
    c, sha = ring
    first, second = two_tags(c, "two")
    several = [line for line in lines(LINES) if sum(w[0] == "@" for w in line.split()) > 1]
    for node in c.nodes:
        with Wire(node.client_port) as w:
            for line in lines(SETUP):
                w.send(command(*words_of(line, sha, first)) + command(*words_of(line, sha, second)))
                w.reply()
                w.reply()
            for line in several:
                for tags in ((first, second), (second, first)):
                    got = w.ask(*words_of(line, sha, *tags))
                    assert got == b"-CROSSSLOT Keys in request don't hash to the same node\r\n", (node.name, line, got)
            assert w.ask("PING") == b"+PONG\r\n"
    assert {line.split()[0] for line in lines(LINES)} - {line.split()[0] for line in several} == ONE_KEY_ONLY


def test_commands_that_only_tell_a_text_and_counts_that_change_nothing(ring, oracle):
    c, _ = ring
    tag = two_tags(c, "help")[0]
    with Wire(c.nodes[0].client_port) as ours, Wire(oracle.path) as theirs:
        for container in ("OBJECT", "XINFO", "XGROUP", "MEMORY"):
            assert ours.ask(container, "HELP") == theirs.ask(container, "help")
        key = f"{{{tag}}}h"
        for n in (20, 3000):
            assert ours.ask("PFADD", key, *range(n)) == theirs.ask("PFADD", key, *range(n)) == b":1\r\n"
            assert [ours.ask("PFCOUNT", key) for _ in range(2)] == [theirs.ask("PFCOUNT", key)] * 2
            rig.wait_until(lambda: len(set(rig.copies(c.nodes[0], key))) == 1, "equal copies")
        assert ours.ask("SET", key, "x") == theirs.ask("SET", key, "x")
        assert ours.ask("PFCOUNT", key) == theirs.ask("PFCOUNT", key)


ENDS = {"QUIT", "RESET", "CLIENT REPLY", "MULTI"}  # what comes behind is answered otherwise


def test_commands_that_a_node_answers_itself_are_there(ring):
    """None of them falls through to an answer for what isn't known."""
    c, _ = ring
    local = [row[1].strip("`") for row in table() if row[2] == "local"]
    containers = {name.split()[0] for name in local if " " in name}
    asked = [name for name in local if name not in containers and name not in ENDS]
    assert len(asked) > 40
    with Wire(c.nodes[0].client_port) as w:
        for name in asked:
            answers = [w.ask(*name.split(), *["1"] * n) for n in range(4)]
            assert not [got for got in answers if b"unknown command" in got or b"unknown subcommand '" in got or b"isn't supported" in got], name
            assert [got for got in answers if b"wrong number of arguments" not in got], name
        assert w.ask("PING") == b"+PONG\r\n"
