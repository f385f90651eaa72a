"""Commands whose effect only the store knows: one replica runs them, and all have the same."""
import os
import random
import re
import threading
import time

import pytest
import redis
import rig
from wire import Wire, command

SCRIPT = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', 10000000)
redis.call('RPUSH', KEYS[2], ARGV[1], redis.call('TIME')[2])
redis.call('HSET', KEYS[3], ARGV[1], math.random(1000000))
redis.call('SADD', KEYS[4], redis.call('TIME')[2])
redis.call('ZADD', KEYS[5], redis.call('TIME')[2], ARGV[1])
redis.call('XADD', KEYS[6], '*', 'f', ARGV[1])
redis.call('PEXPIRE', KEYS[2], 20000000)
redis.call('DEL', KEYS[7])
return redis.call('GET', KEYS[8])
"""


def strings(value):
    return [strings(v) for v in value] if isinstance(value, list) else value


def content(client, key):
    """A key of one Redis as it is: type, value, groups of a stream with their pending entries, expiry."""
    kind = client.type(key)
    read = {b"none": lambda: None, b"string": lambda: client.get(key), b"list": lambda: client.lrange(key, 0, -1),
            b"hash": lambda: client.hgetall(key), b"set": lambda: sorted(client.smembers(key)),
            b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
            b"stream": lambda: (client.execute_command("XRANGE", key, "-", "+"), pending(client, key))}
    return kind, read[kind](), client.execute_command("PEXPIRETIME", key)


def pending(client, key):
    """(group, consumer, id, when delivered, how often): of XINFO STREAM FULL, raw."""
    with Wire(client.connection_pool.connection_kwargs["path"]) as w:
        raw = w.ask("XINFO", "STREAM", key, "FULL", "COUNT", "0")
    groups = raw[raw.index(b"groups\r\n"):]
    seen = groups.find(b"seen-time")
    return groups if seen < 0 else b"".join(part.split(b"\r\n", 3)[-1] for part in groups.split(b"seen-time"))


def equal(c, *keys):
    """All stores have the same of these keys, at last."""
    equal_at(c.backends, *keys)


def equal_at(backends, *keys):
    unequal = {}

    def same():
        unequal.clear()
        for key in keys:
            found = [content(b.client(), key) for b in backends if b.process]
            if len({repr(f) for f in found}) > 1:
                unequal[key] = found
        return not unequal
    try:
        rig.wait_until(same, f"equal copies of {keys}")
    except AssertionError:
        for key, found in unequal.items():
            print(key, difference(found))
        raise


def difference(found):
    """Of copies of one key: of lists what only one has, of others all."""
    parts = [set(map(repr, value[0] if kind == b"stream" else value)) if isinstance(value, (list, tuple, dict)) else {repr(value)}
             for kind, value, _ in found]
    common = set.intersection(*parts)
    return [(kind, expires, len(part), sorted(part - common)[:10]) for (kind, _, expires), part in zip(found, parts)]


def linked(n=3, **flags):
    return rig.Cluster(n, store="redis", flags=flags)


@pytest.fixture(scope="module")
def cluster():
    with linked() as c:
        yield c


def flush(c):
    for b in c.backends:
        own = b.client()
        for key in own.scan_iter():
            if not key.startswith(b"__dynomited"):
                own.delete(key)


# ---- each of them ---------------------------------------------------------------------------------


def test_effects_of_sets_are_the_same_everywhere(cluster):
    a = cluster.nodes[0].client()
    a.sadd("set", *range(100))
    popped = [a.spop("set") for _ in range(10)] + a.spop("set", 20)
    assert len(set(popped)) == 30 and not set(popped) & a.smembers("set")
    assert a.execute_command("SPOP", "set", "0") == []
    equal(cluster, "set")
    assert len(a.spop("set", 1000)) == 70 and a.spop("set") is None and a.spop("set", 5) == []
    a.set("string", "x")
    for words, error in ((("SPOP", "string"), "WRONGTYPE"), (("SPOP", "set", "-1"), "out of range"), (("SPOP", "set", "1", "2"), "syntax")):
        with pytest.raises(redis.ResponseError, match=error):
            a.execute_command(*words)
    equal(cluster, "set", "string")


def test_effects_of_streams_are_the_same_everywhere(cluster):
    a = cluster.nodes[0].client()
    ids = [a.execute_command("XADD", "stream", "*", "n", i) for i in range(50)]
    assert ids == sorted(ids, key=lambda i: [int(x) for x in i.split(b"-")]) and len(set(ids)) == 50
    assert [i for i, _ in a.xrange("stream")] == ids
    assert a.execute_command("XADD", "stream", "99999999999999-*", "f", "v") == b"99999999999999-0"
    assert a.execute_command("XADD", "stream", "*", "f", "v") == b"99999999999999-1"
    assert a.execute_command("XADD", "none", "NOMKSTREAM", "*", "f", "v") is None
    for _ in range(250):
        a.execute_command("XADD", "capped", "MAXLEN", "~", "120", "*", "f", "v")
    assert a.xlen("capped") == 120
    for _ in range(250):
        a.execute_command("XADD", "lazy", "MAXLEN", "~", "120", "LIMIT", "100", "*", "f", "v")
    assert 120 <= a.xlen("lazy") < 250
    assert a.execute_command("XTRIM", "lazy", "MAXLEN", "~", "10", "LIMIT", "100") >= 0
    assert a.execute_command("XTRIM", "capped", "MAXLEN", "~", "10") == 110
    with pytest.raises(redis.ResponseError, match="exactly|syntax|WRONGTYPE|wrong number"):
        a.execute_command("XADD", "stream", "*", "f")
    equal(cluster, "stream", "none", "capped", "lazy")
    for key in ("stream", "capped", "lazy"):
        assert len(set(rig.copies(cluster.nodes[0], key))) == 1


def test_effects_of_claims_are_the_same_everywhere(cluster):
    a = cluster.nodes[0].client()
    for i in range(1, 6):
        a.execute_command("XADD", "jobs", f"{i}-0", "f", "v")
    a.execute_command("XGROUP", "CREATE", "jobs", "g", "0")
    assert [e[0] for e in a.execute_command("XCLAIM", "jobs", "g", "one", 0, *[f"{i}-0" for i in range(1, 6)], "FORCE")] == \
        [b"1-0", b"2-0", b"3-0", b"4-0", b"5-0"]
    equal(cluster, "jobs")
    a.xdel("jobs", "2-0")
    assert a.execute_command("XCLAIM", "jobs", "g", "two", 3600000, "1-0", "2-0", "JUSTID") == []
    equal(cluster, "jobs")
    with Wire(cluster.nodes[0].client_port) as w:
        assert w.ask("XCLAIM", "jobs", "g", "two", 0, "1-0", "3-0", "IDLE", 5000, "RETRYCOUNT", 7, "JUSTID") == b"*2\r\n$3\r\n1-0\r\n$3\r\n3-0\r\n"
    equal(cluster, "jobs")
    a.xdel("jobs", "4-0")
    got = a.execute_command("XAUTOCLAIM", "jobs", "g", "three", 1000, "0")
    assert [e[0] for e in got[1]] == [b"1-0", b"3-0"] and got[2] == [b"4-0"]
    equal(cluster, "jobs")
    got = a.execute_command("XAUTOCLAIM", "jobs", "g", "four", 0, "2", "COUNT", 10)
    assert [e[0] for e in got[1]] == [b"3-0", b"5-0"]
    equal(cluster, "jobs")
    with Wire(cluster.backends[1].path) as w:
        rows = w.ask("XPENDING", "jobs", "g", "-", "+", 10).split(b"\r\n")
    assert [(rows[i], rows[i + 2]) for i in (3, 10, 17)] == [(b"1-0", b"three"), (b"3-0", b"four"), (b"5-0", b"four")]
    with pytest.raises(redis.ResponseError, match="NOGROUP"):
        a.execute_command("XAUTOCLAIM", "jobs", "nosuch", "c", 0, "0")
    equal(cluster, "jobs")


def ids(reply):
    """Of the one stream in an answer of XREADGROUP."""
    return [e[0].decode() for e in reply[0][1]]


def read_group(client, *words):
    return client.execute_command("XREADGROUP", "GROUP", *words)


def test_effects_of_reading_in_a_group_are_the_same_everywhere(cluster):
    a = cluster.nodes[0].client()
    a.set_response_callback("XREADGROUP", lambda reply, **_: reply)
    for i in range(1, 8):
        a.execute_command("XADD", "{r}", f"{i}-0", "f", "v")
        a.execute_command("XADD", "{r}2", f"{i}-0", "f", "v")
    for key in ("{r}", "{r}2"):
        a.execute_command("XGROUP", "CREATE", key, "g", "0")
    assert ids(read_group(a, "g", "one", "COUNT", 2, "STREAMS", "{r}", ">")) == ["1-0", "2-0"]
    equal(cluster, "{r}")
    assert ids(read_group(a, "g", "two", "NOACK", "COUNT", 1, "STREAMS", "{r}", ">")) == ["3-0"]
    equal(cluster, "{r}")
    assert ids(read_group(a, "g", "two", "STREAMS", "{r}", "0")) == []
    assert ids(read_group(a, "g", "three", "STREAMS", "{r}", "5")) == []  # a consumer that nobody knew
    equal(cluster, "{r}")
    a.execute_command("XDEL", "{r}", "2-0")
    assert read_group(a, "g", "one", "STREAMS", "{r}", "0")[0][1][1] == [b"2-0", None]
    assert ids(read_group(a, "g", "one", "COUNT", 1, "STREAMS", "{r}", "0")) == ["1-0"]
    equal(cluster, "{r}")
    both = read_group(a, "g", "two", "COUNT", 2, "STREAMS", "{r}", "{r}2", ">", ">")
    assert [(k, [e[0] for e in entries]) for k, entries in both] == [(b"{r}", [b"4-0", b"5-0"]), (b"{r}2", [b"1-0", b"2-0"])]
    mixed = read_group(a, "g", "two", "STREAMS", "{r}2", "{r}", "1", ">")
    assert [(k, [e[0] for e in entries]) for k, entries in mixed] == [(b"{r}2", [b"2-0"]), (b"{r}", [b"6-0", b"7-0"])]
    assert read_group(a, "g", "four", "STREAMS", "{r}", ">") is None
    equal(cluster, "{r}", "{r}2")
    assert a.xack("{r}", "g", "4-0", "7-0") == 2
    for words, error in ((("g", "c", "STREAMS", "none", ">"), "NOGROUP"), (("nosuch", "c", "STREAMS", "{r}", ">"), "NOGROUP"),
                         (("g", "c", "STREAMS", "{r}", "$"), "meaningless"), (("g", "c", "STREAMS", "{r}", "x"), "Invalid stream ID"),
                         (("g", "c", "BLOCK", 0, "STREAMS", "{r}", ">"), "BLOCK")):
        with pytest.raises(redis.ResponseError, match=error):
            read_group(a, *words)
    equal(cluster, "{r}", "{r}2")
    # a deep pipeline of consumers and producers
    with Wire(cluster.nodes[0].client_port) as w:
        n = 200
        w.send(b"".join(command("XADD", "{r}", "*", "i", i) + command("XREADGROUP", "GROUP", "g", f"c{i % 5}", "COUNT", 1, "STREAMS", "{r}", ">") +
                        command("XREADGROUP", "GROUP", "g", f"c{i % 5}", "COUNT", 2, "STREAMS", "{r}", "7-1") for i in range(n)))
        answers = [w.reply() for _ in range(3 * n)]
    assert [a.split(b"\r\n")[1] for a in answers[0::3]] == [a.split(b"\r\n")[7] for a in answers[1::3]]
    equal(cluster, "{r}")


def test_effects_of_functions_are_the_same_everywhere(cluster):
    """Each Redis has its functions from its operator here."""
    library = """#!lua name=lib
    redis.register_function('add', function(keys, args) redis.call('RPUSH', keys[1], redis.call('TIME')[2]); return redis.call('INCRBY', keys[2], args[1]) end)
    redis.register_function{function_name='get', callback=function(keys, args) return redis.call('GET', keys[1]) end, flags={'no-writes'}}
    redis.register_function{function_name='sum', callback=function(keys, args) return args[1] + args[2] end, flags={'no-writes'}}"""
    for backend in cluster.backends:
        backend.client().execute_command("FUNCTION", "LOAD", "REPLACE", library)
    with Wire(cluster.nodes[0].client_port) as w:
        assert [w.ask("FCALL", "add", 2, "{f}l", "{f}n", i) for i in (1, 2)] == [b":1\r\n", b":3\r\n"]
        assert w.ask("FCALL_RO", "get", 1, "{f}n") == w.ask("FCALL", "get", 1, "{f}n") == b"$1\r\n3\r\n"
        assert w.ask("FCALL", "sum", 0, 1, 2) == w.ask("FCALL_RO", "sum", 0, 1, 2) == b":3\r\n"
        assert w.ask("FCALL", "add", 0, 1) == b"-ERR Can not execute a script with write flag using *_ro command.\r\n"
        assert w.ask("FCALL", "nosuch", 1, "k") == w.ask("FCALL", "nosuch", "x", "k") == b"-ERR Function not found\r\n"
        assert w.ask("FCALL", "get", "x", "k") == b"-ERR Bad number of keys provided\r\n"
        assert w.ask("FCALL", "get", 2, "k") == b"-ERR Number of keys can't be greater than number of args\r\n"
        assert w.ask("FCALL", "get", -1, "k") == b"-ERR Number of keys can't be negative\r\n"
    equal(cluster, "{f}l", "{f}n")
    assert len(set(rig.copies(cluster.nodes[0], "{f}l"))) == 1


def test_effects_of_scripts_are_the_same_everywhere(cluster):
    a = cluster.nodes[0].client()
    keys = [f"{{t}}{kind}" for kind in ("string", "list", "hash", "set", "zset", "stream", "gone", "read")]
    a.set(keys[6], "is here")
    a.set(keys[7], "only read", px=5000000)
    equal(cluster, *keys)
    assert a.eval(SCRIPT, 8, *keys, "1") == b"only read"
    assert a.eval(SCRIPT, 8, *keys, "2") == b"only read"
    equal(cluster, *keys)
    assert a.execute_command("EVAL_RO", "return redis.call('GET', KEYS[1])", 1, keys[0]) == b"2"
    assert not a.exists(keys[6]) and a.llen(keys[1]) == 4
    for key in keys[:3] + keys[4:]:
        assert len(set(rig.copies(cluster.nodes[0], key))) == 1
    # half way
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        a.eval("redis.call('SET', KEYS[1], 'half'); return redis.call('INCR', KEYS[2])", 2, keys[0], keys[1])
    assert a.get(keys[0]) == b"half"
    equal(cluster, *keys)
    # by its hash: where it isn't known, clients are told so
    script = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
    sha = cluster.backends[2].client().script_load("return 1")  # of another node alone
    with pytest.raises(redis.exceptions.NoScriptError):
        a.evalsha(sha, 1, "n")
    registered = a.register_script(script)
    assert a.eval(script, 1, "n", 3) == 3 and a.evalsha(registered.sha, 1, "n", 4) == 7
    equal(cluster, "n", *keys)


def test_effects_of_scripts_without_keys(cluster):
    a = cluster.nodes[0].client()
    assert a.eval("return ARGV[1] + 1", 0, 41) == 42
    with pytest.raises(redis.ResponseError, match="[Ww]rite commands are not allowed"):
        a.eval("return redis.call('SET', 'k', 'v')", 0)
    with pytest.raises(redis.exceptions.NoScriptError):
        a.evalsha("0" * 40, 0)


def test_effects_of_wrong_command_lines(cluster):
    with Wire(cluster.nodes[0].client_port) as w:
        assert w.ask("EVAL", "return 1", "2", "k") == b"-ERR Number of keys can't be greater than number of args\r\n"
        assert w.ask("EVAL", "return 1", "-1", "k") == b"-ERR Number of keys can't be negative\r\n"
        assert w.ask("EVALSHA", "x" * 40, "k", "k") == b"-ERR value is not an integer or out of range\r\n"
        assert w.ask("EVALSHA", "x", "k", "k") == b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
        assert w.ask("EVAL", "return 1", "1", "__dynomited:seq").startswith(b"-ERR keys that begin with")
        assert w.ask("EVAL", "this is no script", "1", "k").startswith(b"-ERR Error compiling script")
        assert w.ask("XCLAIM", "k", "g", "c", "x", "1-1").startswith(b"-")
        assert w.ask("PING") == b"+PONG\r\n"


# ---- order ------------------------------------------------------------------------------------------


def test_effects_keep_their_order_with_later_writes(cluster):
    """What follows in a pipeline sees what stood before it, and all replicas have it in that order."""
    n = 300
    with Wire(cluster.nodes[0].client_port) as w:
        lines = []
        for i in range(n):
            lines += [("SADD", "one", i), ("SPOP", "one"), ("SADD", "one", i), ("SPOP", "one", 5), ("RPUSH", "l", i),
                      ("EVAL", "redis.call('RPUSH', KEYS[1], 'x'); return redis.call('RPOPLPUSH', KEYS[1], KEYS[1])", 1, "l"),
                      ("RPUSH", "l", i), ("EVAL", "return redis.call('LPOP', KEYS[1])", 1, "l"), ("DEL", "l") if i % 50 == 0 else ("LLEN", "l"),
                      ("XADD", "log", "*", "i", i), ("XADD", "log", f"{9 * 10**15 + i}-*", "i", i), ("XADD", "log", "*", "i", i)]
        w.send(b"".join(command(*words) for words in lines))
        answers = [w.reply() for _ in lines]
    for i in range(n):
        part = answers[12 * i:12 * i + 12]
        value = b"$%d\r\n%d\r\n" % (len(str(i)), i)
        assert part[:4] == [b":1\r\n", value, b":1\r\n", b"*1\r\n" + value], i
        assert part[5] == b"$1\r\nx\r\n" and part[7][:1] == b"$" and not part[8].startswith(b"-")
    ids = [tuple(map(int, a.split(b"\r\n")[1].split(b"-"))) for a in answers if b"-" in a and a[:1] == b"$"]
    assert len(ids) == 3 * n and ids == sorted(set(ids))
    equal(cluster, "one", "l", "log")


def test_effects_of_many_connections_on_the_same_keys(cluster):
    """No member is popped twice, no id given twice, no increment lost."""
    cluster.nodes[0].client().sadd("many", *range(3000))
    popped, ids, errors = [], [], []

    def run(i):
        try:
            c = cluster.nodes[0].client()
            for _ in range(50):
                pipe = c.pipeline(transaction=False)
                pipe.spop("many")
                pipe.execute_command("XADD", "shared", "*", "i", i)
                pipe.eval("return redis.call('INCR', KEYS[1])", 1, "count")
                pipe.sadd("many", f"{i}-{_}")
                got = pipe.execute()
                popped.append(got[0])
                ids.append(got[1])
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert len(set(popped)) == 500 and len(set(ids)) == 500
    assert cluster.nodes[0].client().get("count") == b"500"
    equal(cluster, "many", "shared", "count")


# ---- elsewhere ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["DC_ONE", "DC_QUORUM"])
def test_effects_through_a_node_that_is_no_replica(level):
    places = [("dc1", "r1", "0"), ("dc1", "r1", "2147483648"), ("dc1", "r2", "0"), ("dc1", "r2", "2147483648")]
    with rig.Cluster(places=places, store="redis",
                     flags={"hash-tag": "{}", "write-consistency": level, "read-consistency": level}) as c:
        a = c.nodes[0]
        mine = a.admin("status")["node"]["address"]
        far = next(t for t in (f"{{{i}}}" for i in range(100)) if mine not in [r["address"] for r in a.admin("key", t)["replicas"]])
        near = next(t for t in (f"{{{i}}}" for i in range(100)) if mine in [r["address"] for r in a.admin("key", t)["replicas"]])
        cl = a.client()
        for i in range(30):   # a connection reads its own writes, and keeps their order
            cl.sadd(far + "s", i)
            assert cl.spop(far + "s") == b"%d" % i
            assert cl.execute_command("XADD", far + "x", "*", "f", i) and cl.xlen(far + "x") == i + 1
            assert cl.eval("redis.call('SET', KEYS[2], ARGV[1]); return redis.call('INCR', KEYS[1])", 2, far + "n", far + "v", i) == i + 1
            if i == 0:
                cl.execute_command("XGROUP", "CREATE", far + "x", "g", "0")
            with Wire(a.client_port) as w:
                assert w.ask("XREADGROUP", "GROUP", "g", "c", "STREAMS", far + "x", ">").count(b"f\r\n") == 1
                assert w.ask("XPENDING", far + "x", "g").startswith(b"*4\r\n:%d\r\n" % (i + 1))
            assert cl.get(far + "v") == b"%d" % i and cl.get(far + "n") == b"%d" % (i + 1)
        with Wire(a.client_port) as w:
            w.send(b"".join(command("EVAL", "return redis.call('APPEND', KEYS[1], ARGV[1])", 1, far + "a", "x") + command("APPEND", far + "a", "y") +
                            command("GET", far + "a") for _ in range(50)))
            answers = [w.reply() for _ in range(150)]
            assert answers[0::3] == [b":%d\r\n" % (2 * i + 1) for i in range(50)]
            assert answers[2::3] == [b"$%d\r\n%s\r\n" % (2 * i + 2, b"xy" * (i + 1)) for i in range(50)]
        with pytest.raises(redis.ResponseError, match="CROSSSLOT"):
            cl.eval("return 1", 2, far + "s", near + "s")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            cl.eval("return redis.call('INCR', KEYS[1])", 1, far + "x")
        keys = [far + k for k in "sxnva"]
        holders = [c.backends[1], c.backends[3]]
        equal_at(holders, *keys)  # not by their digests: a stream's has when each consumer was seen
        # where nobody is left who could run it
        c.nodes[1].kill()
        rig.down(a)
        if level == "DC_ONE":
            assert cl.execute_command("XADD", far + "x", "*", "f", "v")
            c.nodes[3].kill()
            rig.down(a, 2)
            with pytest.raises(redis.ResponseError, match="NOQUORUM .*nothing was written"):
                cl.spop(far + "s")
            c.nodes[3].start()
        c.nodes[1].start()
        c.wait_linked()
        c.wait_delivered()
        equal_at(holders, *keys)


class Consumer(threading.Thread):
    """Takes entries of a group through one node and acknowledges them, until told to stop. may_fail: what the node
    can't do is asked again, and what may have been delivered in an answer that didn't come is read once more."""

    def __init__(self, node, key, name, may_fail=False):
        super().__init__(daemon=True)
        self.node, self.key, self.name, self.may_fail = node, key, name, may_fail
        self.took, self.error, self.stop = [], None, False

    def failed(self, got):
        assert not got.startswith(b"-") or (self.may_fail and got.startswith((b"-BACKEND", b"-NOQUORUM", b"-TIMEOUT"))), got
        return got.startswith(b"-")

    def run(self):
        entries, unsure = [], False
        try:
            with Wire(self.node.client_port) as w:
                while entries or not self.stop:
                    if entries:
                        got = w.ask("XACK", self.key, "g", *entries)
                        if self.failed(got):
                            continue
                        assert self.may_fail or got == b":%d\r\n" % len(entries)
                        self.took += entries
                    got = w.ask("XREADGROUP", "GROUP", "g", self.name, "COUNT", 3, "STREAMS", self.key, "0" if unsure else ">")
                    if self.failed(got):
                        entries, unsure = [], True
                        continue
                    entries = got.split(b"\r\n")[7::8]
                    unsure = unsure and bool(entries)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


def test_effects_of_consumers_on_all_nodes_are_shared_out_once(cluster):
    """Wherever they are connected, one replica tells their group's consumers what is whose."""
    n, producer = 300, cluster.nodes[1].client()
    producer.execute_command("XGROUP", "CREATE", "work", "g", "0", "MKSTREAM")
    equal(cluster, "work")
    consumers = [Consumer(node, "work", f"{node.name}-{i}") for node in cluster.nodes for i in range(2)]
    for t in consumers:
        t.start()
    try:
        ids = [producer.execute_command("XADD", "work", "*", "f", "v") for _ in range(n)]
        rig.wait_until(lambda: sum(len(t.took) for t in consumers) >= n or any(t.error for t in consumers), "all is taken", 60)
    finally:
        for t in consumers:
            t.stop = True
        for t in consumers:
            t.join()
    assert not [t.error for t in consumers if t.error]
    took = [i for t in consumers for i in t.took]
    assert len(took) == len(set(took)), f"{len(took) - len(set(took))} of {n} entries were delivered twice"
    assert set(took) == set(ids)
    for backend in cluster.backends:
        with Wire(backend.path) as w:
            rig.wait_until(lambda w=w: w.ask("XPENDING", "work", "g").startswith(b"*4\r\n:0\r\n"), "nothing is pending")
    rig.note(f"through three nodes: {[len(t.took) for t in consumers]}")


@pytest.mark.parametrize("what", ["node", pytest.param("redis", marks=pytest.mark.slow)])
def test_effects_of_consumers_when_who_shares_out_is_killed(what):
    """Another replica takes over and gives it back. Every entry is delivered, what was acknowledged is so on all replicas."""
    with linked(timeout="24000", **{"gos-interval": "300"}) as c:
        producer = c.nodes[1].client()
        producer.execute_command("XGROUP", "CREATE", "work", "g", "0", "MKSTREAM")
        equal(c, "work")
        consumers = [Consumer(c.nodes[1 + i % 2], "work", f"c{i}", may_fail=True) for i in range(4)]
        victim = c.nodes[0] if what == "node" else c.backends[0]
        for t in consumers:
            t.start()
        taken = lambda: sum(len(t.took) for t in consumers)
        alive = lambda n: rig.wait_until(lambda: taken() >= n or any(t.error for t in consumers), f"{n} entries are taken", 60)

        def append():
            """Again while all that are left greet the one that is back: nothing was written then."""
            while True:
                try:
                    return producer.execute_command("XADD", "work", "*", "f", "v")
                except redis.ResponseError as error:
                    if "nothing was written" not in str(error):
                        raise

        add = lambda n: [append() for _ in range(n)]
        try:
            ids = add(50)
            alive(30)
            victim.kill()
            ids += add(50)
            alive(100)
            victim.start()
            ids += add(50)
            c.wait_linked()
            ids += add(20)
            alive(170)
        finally:
            for t in consumers:
                t.stop = True
            for t in consumers:
                t.join()
        assert not [t.error for t in consumers if t.error]
        took = [i for t in consumers for i in t.took]
        assert set(took) == set(ids)
        c.wait_linked()
        c.wait_delivered(40)
        equal(c, "work")
        rig.note(f"{what}: {len(took) - len(set(took))} of {len(ids)} entries were delivered twice")


def test_effects_level_that_cant_be_met_is_refused_beforehand():
    with linked(**{"write-consistency": "DC_SAFE_QUORUM", "gos-interval": "300"}) as c:
        a = c.nodes[0]
        a.client().sadd("s", 1, 2)
        for n in c.nodes[1:]:
            n.kill()
        rig.down(a, 2)
        for words in (("SPOP", "s"), ("XADD", "x", "*", "f", "v"), ("EVAL", "return redis.call('SET', KEYS[1], '1')", 1, "k")):
            with pytest.raises(redis.ResponseError, match="NOQUORUM .*nothing was written"):
                a.client().execute_command(*words)
        own = c.backends[0].client()
        assert own.scard("s") == 2 and not own.exists("x", "k")


def test_effects_reach_a_replica_that_was_down():
    with linked() as c:
        a = c.nodes[0].client()
        a.sadd("s", *range(50))
        equal(c, "s")
        c.nodes[2].kill()
        rig.down(c.nodes[0])
        popped = {a.spop("s") for _ in range(5)} | set(a.spop("s", 15))
        assert len(popped) == 20
        for i in range(20):
            a.execute_command("XADD", "x", "*", "f", i)
            a.eval("redis.call('SET', KEYS[1], ARGV[1], 'PX', 9000000); return redis.call('RPUSH', KEYS[2], ARGV[1])", 2, "{t}v", "{t}l", i)
        assert c.backends[2].client().scard("s") == 50
        c.nodes[2].start()
        c.wait_linked()
        c.wait_delivered()
        equal(c, "s", "x", "{t}v", "{t}l")
        # through that one, whose own store is away
        c.backends[2].kill()
        rig.wait_until(lambda: not c.nodes[2].metrics()["dynomite_backend_up"], "it is gone")
        d = c.nodes[2].client()
        assert d.spop("s") not in popped and d.execute_command("XADD", "x", "*", "f", "v")
        assert d.eval("return redis.call('RPUSH', KEYS[1], 'y')", 1, "{t}l") == 21 and d.llen("{t}l") == 21
        c.backends[2].start()
        c.wait_linked()
        c.wait_delivered()
        equal(c, "s", "x", "{t}v", "{t}l")


def test_effects_of_a_full_store_are_errors():
    with linked() as c:
        a, own = c.nodes[0].client(), c.backends[0].client()
        a.sadd("s", 1, 2, 3)
        a.set("k", "x")
        equal(c, "s", "k")
        own.config_set("maxmemory", "1mb")
        with pytest.raises(redis.ResponseError, match="OOM"):
            a.eval("return redis.call('SET', KEYS[1], 'y')", 1, "k")
        own.config_set("maxmemory", "0")
        c.wait_linked()
        rig.wait_until(lambda: a.eval("return redis.call('APPEND', KEYS[1], 'y')", 1, "k") == 2, "it takes them again")
        assert a.spop("s") in (b"1", b"2", b"3")
        equal(c, "s", "k")


def test_effects_of_a_node_that_gets_company():
    """Alone, all go to its Redis as they are. From the first peer on, the peer has the same."""
    c = rig.Cluster(2, store="redis", seeds=[[], [0]])
    a, b = c.nodes
    stop, errors = threading.Event(), []

    def work():
        with Wire(a.client_port) as w:
            i = 0
            while not stop.is_set() and not errors:
                i += 1
                w.send(command("SADD", "s", i) + command("SPOP", "s") + command("XADD", "x", "*", "i", i) +
                       command("EVAL", "return redis.call('INCR', KEYS[1])", 1, "n") + command("INCR", "n"))
                got = [w.reply() for _ in range(5)]
                if got[1].split(b"\r\n")[1] != b"%d" % i or got[3:] != [b":%d\r\n" % (2 * i - 1), b":%d\r\n" % (2 * i)] or got[2][:1] != b"$":
                    errors.append(got)

    try:
        for backend in c.backends:
            backend.start()
        a.start()
        rig.wait_until(lambda: a.client().set("before", 1), "node 1 serves")
        worker = threading.Thread(target=work)
        worker.start()
        rig.wait_until(lambda: c.backends[0].client().xlen("x") > 50, "work goes on")
        b.start(wait=False)
        rig.wait_until(lambda: "JOINING" in a.members().values(), "node 2 joins")
        seen = c.backends[0].client().xlen("x")
        rig.wait_until(lambda: c.backends[0].client().xlen("x") > seen + 100, "work goes on")
        stop.set()
        worker.join()
        assert not errors
        rig.wait_until(lambda: a.pending() == 0, "node 2 has what is for it")
        mine, other = (backend.client() for backend in c.backends)
        rig.wait_until(lambda: other.get("n") in (None, mine.get("n")), "scripts' keys are whole")
        ids = [i for i, _ in mine.xrange("x")]
        theirs = [i for i, _ in other.xrange("x")]
        assert len(theirs) >= 100 and theirs == ids[-len(theirs):], "no entry is missing from the first on"
        a.client().execute_command("EVAL", "return redis.call('INCR', KEYS[1])", 1, "n")
        equal(c, "n")
    finally:
        stop.set()
        c.end_all()


# ---- kills --------------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Pops, appends, runs scripts, through one node, one command at a time; remembers what was answered."""

    def __init__(self, node, name, seed, keys):
        super().__init__(daemon=True)
        self.node, self.name, self.dice, self.keys = node, name, random.Random(seed), keys
        self.popped, self.added, self.ran, self.errors, self.unsure = [], [], 0, [], 0
        self.delivered = []
        self.stop = False

    def run(self):
        while not self.stop:
            try:
                with Wire(self.node.client_port, timeout=30) as w:
                    while not self.stop:
                        self.step(w)
            except ConnectionRefusedError:
                time.sleep(0.05)
            except (OSError, AssertionError):
                self.unsure += 1
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(error)
                return

    def step(self, w):
        what = self.dice.choice(["pop", "pops", "add", "script", "set", "group"])
        words = {"pop": ("SPOP", self.keys["set"]), "pops": ("SPOP", self.keys["set"], 3), "add": ("XADD", self.keys["stream"], "*", "by", self.name),
                 "script": ("EVAL", "redis.call('RPUSH', KEYS[2], ARGV[1]); return redis.call('INCR', KEYS[1])", 2,
                            self.keys["count"], self.keys["list"], self.name),
                 "set": ("SET", self.keys["plain"], self.dice.random()),
                 "group": ("XREADGROUP", "GROUP", "g", self.name, "COUNT", 2, "STREAMS", self.keys["jobs"], self.dice.choice([">", ">", "5"]))}[what]
        got = w.ask(*words)
        if not got:
            raise OSError("closed")
        if got.startswith(b"-"):
            if not got.startswith((b"-BACKEND", b"-TIMEOUT", b"-NOQUORUM", b"-LOADING")):
                raise ValueError(f"{words}: {got}")
            self.unsure += b"may still take effect" in got or b"took effect" in got
        elif what == "pop" and got[:2] != b"$-":
            self.popped.append(got.split(b"\r\n")[1])
        elif what == "pops":
            self.popped += got.split(b"\r\n")[2::2]
        elif what == "add":
            self.added.append(got.split(b"\r\n")[1])
        elif what == "script":
            self.ran += 1
        elif what == "group" and words[-1] == ">" and got != b"*-1\r\n":
            self.delivered += got.split(b"\r\n")[7::8]


def killed(c, victim, start, clients, rounds, dice):
    for t in clients:
        t.start()
    try:
        for _ in range(rounds):
            before = sum(len(t.added) for t in clients)
            rig.wait_until(lambda b=before: sum(len(t.added) for t in clients) > b + 20 or any(t.errors for t in clients), "work goes on", 60)
            time.sleep(dice.random() * 0.05)
            victim()
            start()
    finally:
        for t in clients:
            t.stop = True
        for t in clients:
            t.join()
    for t in clients:
        assert not t.errors, t.errors
    c.wait_linked()
    c.wait_delivered(40)


def check(c, clients, keys):
    """Of one executor: nothing answered is missing, nothing popped twice."""
    equal(c, *keys.values())
    own = c.backends[0].client()
    popped = [m for t in clients for m in t.popped]
    assert len(popped) == len(set(popped)), "popped twice"
    assert not set(popped) & own.smembers(keys["set"]), "popped, and there again"
    ids = {i for i, _ in own.xrange(keys["stream"])}
    assert all(i in ids for t in clients for i in t.added), "an answered entry is missing"
    delivered = [i for t in clients for i in t.delivered]
    assert delivered and len(delivered) == len(set(delivered)), "delivered twice"
    with Wire(c.backends[0].path) as w:
        last = [int(i) for i in re.search(rb"last-delivered-id\r\n\$\d+\r\n(\d+)-(\d+)", w.ask("XINFO", "GROUPS", keys["jobs"])).groups()]
    assert all([int(x) for x in i.split(b"-")] <= last for i in delivered), "a group has gone back"
    ran, unsure = sum(t.ran for t in clients), sum(t.unsure for t in clients)
    count = int(own.get(keys["count"]) or 0)
    assert ran <= count <= ran + unsure and own.llen(keys["list"]) == count


@pytest.mark.parametrize("what", ["node", "redis"])
def test_effects_killed_in_the_middle(what):
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"seed {seed} (SEED={seed} replays)")
    dice = random.Random(seed)
    keys = {k: "{t}" + k for k in ("set", "stream", "count", "list", "plain", "jobs")}
    with linked(timeout="24000") as c:  # a quarter of it is what a slow machine may take to link again
        a = c.nodes[0]
        for i in range(0, 20000, 1000):
            a.client().sadd(keys["set"], *range(i, i + 1000))
        with Wire(a.client_port) as w:
            w.send(b"".join(command("XADD", keys["jobs"], f"{i}-1", "f", "v") for i in range(1, 5000)) + command("XGROUP", "CREATE", keys["jobs"], "g", "0"))
            assert [w.reply() for _ in range(5000)][-1] == b"+OK\r\n"
        clients = [Client(a, f"a{i}", dice.random(), keys) for i in range(4)]
        if what == "node":
            killed(c, a.kill, a.start, clients, 12 if rig.LONG else 4, dice)
        else:
            killed(c, c.backends[0].kill, c.backends[0].start, clients, 12 if rig.LONG else 4, dice)
        check(c, clients, keys)


def test_effects_that_never_pause_let_other_writes_through():
    """Through a node that is no replica: consumers that never stop, and a producer who is answered within its time."""
    places = [("dc1", "r1", "0"), ("dc1", "r1", "2147483648"), ("dc1", "r2", "0")]
    with rig.Cluster(places=places, store="redis", flags={"timeout": 1000}) as c:
        node, stop = c.nodes[0], threading.Event()
        own = node.admin("status")["node"]["address"]
        key = next(k for k in (f"q{i}" for i in range(100)) if own not in [r["address"] for r in node.admin("key", k)["replicas"]])

        def consume():
            with Wire(node.client_port) as w:
                while not stop.is_set():
                    w.send(command("SPOP", key) * 100)
                    for _ in range(100):
                        w.reply()

        consumers = [threading.Thread(target=consume) for _ in range(24)]
        for t in consumers:
            t.start()
        try:
            with Wire(node.client_port) as w:
                took = []
                for i in range(5):
                    start = time.monotonic()
                    assert w.ask("SADD", key, i) == b":1\r\n"
                    took.append(time.monotonic() - start)
        finally:
            stop.set()
            for t in consumers:
                t.join()
        rig.note(f"longest {max(took):.2f} s")
        assert max(took) < 1
