"""What a client sees, byte by byte: Redis 7.0 is the oracle."""
import os
import random
import re
import resource
import signal
import socket
import threading
import time

import pytest
import redis
import rig
from wire import Wire, command


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("oracle")), "oracle")
    server.start()
    yield server
    server.kill()


# ---- bytes: inline commands, protocol errors, ends ------------------------------------------------

K64 = 64 * 1024
SAME_BYTES = [
    b"\r\n", b"\r\n\r\nPING\r\n", b"\n\nPING\n", b"   \r\nPING\r\n", b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-5\r\nPING\r\n",
    b"*x\r\nPING\r\n", b"*\r\nPING\r\n", b"*1048576\r\n", b"*2147483648\r\nPING\r\n", b"*1000000000000\r\n",
    b"*99999999999999999999\r\n", b"*01\r\n$4\r\nPING\r\n", b"*1 \r\n", b"*+1\r\n$4\r\nPING\r\n", b"*1\r\nPING\r\n", b"*1\r\n:4\r\nPING\r\n",
    b"*1\r\n\xff\r\n", b"*1\r\n\r\nPING\r\n", b"*1\r\nx\r\n", b"*1\r\n$-1\r\nPING\r\n", b"*1\r\n$-5\r\n", b"*1\r\n$x\r\n", b"*1\r\n$\r\n",
    b"*1\r\n$1000000000000\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n$536870912\r\n", b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$ 4\r\nPING\r\n",
    b"*1\r\n$99999999999999999999\r\n", b"*" + b"1" * (K64 + 10), b"*1\r\n$" + b"1" * (K64 + 10), b"x" * (K64 + 10),
    b"x" * (K64 - 1) + b"\r\nPING\r\n", b'SET a "b\r\nPING\r\n', b"SET a 'b\r\nPING\r\n", b'SET a "b"c\r\nPING\r\n', b"SET a 'b'c\r\nPING\r\n",
    b'ECHO "a\\x41\\n\\r\\t\\b\\a\\\\\\"q\\xzz\\x4"\r\n', b"ECHO 'a\\'b\\n'\r\n", b'ECHO ""\r\n', b"ECHO ''\r\n", b'ECHO a"b"\r\n', b'"PING"\r\n',
    b"PING\r\r\n", b"PING\rPING\r\n", b"PING\n", b"PING \t \r\n", b"\tPING\r\n", b"ECHO a\x0bb\r\n", b"\x0bPING\r\n", b"*1\n$4\nPING\n",
    b"*1\r\n$0\r\n\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$100\r\nabc", b"*2\r\n$3\r\nGET", b"PING", b"*", b"$4\r\nPING\r\n", b"+OK\r\n", b":1\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\nx\r\n", b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
    b"QUIT\r\nPING\r\n"]

# What we do otherwise, and why.
OTHER_BYTES = [
    ("a million arguments are enough", b"*1048577\r\nPING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    ("told at the first wrong byte, not when a line's end has come", b"*1\r\n'x", b"-ERR Protocol error: expected '$', got '''\r\n"),
    ("the same", b"*1\r\n\x00", b"-ERR Protocol error: expected '$', got '\\x00'\r\n"),
    ("the limit of a line doesn't depend on how it comes in", b"x" * (K64 + 1) + b"\r\nPING\r\n",
     b"-ERR Protocol error: too big inline request\r\n"),
    ("a NUL in a line is a byte as others", b"ECHO a\x00b\r\nPING\r\n", b"$3\r\na\x00b\r\n+PONG\r\n"),
    ("a length that doesn't fit its bytes isn't somebody's next command", b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
     b"-ERR Protocol error: invalid bulk length\r\n"),
    ("the same", b"*1\r\n$3\r\nPING\r\nPING\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    ("the same", b"*1\r$4\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    ("HTTP is closed, but not without a word", b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n",
     b"-ERR Protocol error: this is the port for Redis clients, not for HTTP\r\n"),
    ("the same", b"hOST: x\r\nSET a b\r\n", b"-ERR Protocol error: this is the port for Redis clients, not for HTTP\r\n")]


@pytest.fixture(scope="module", params=["embedded", "redis"])
def node(request):
    with rig.Cluster(1, store=request.param) as c:
        yield c.nodes[0]


def say(where, data, pieces=1):
    """Sends the bytes, closes its sending side and returns all that is answered."""
    with Wire(where) as w:
        size = max(1, len(data) // pieces)
        try:
            for i in range(0, len(data), size):
                w.send(data[i:i + size])
            w.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed before it was told everything
        return w.rest()


def name_of(value):
    return repr(value[:40]) if isinstance(value, bytes) else ""


@pytest.mark.parametrize("data", SAME_BYTES, ids=name_of)
def test_client_bytes_are_answered_as_by_redis(oracle, node, data):
    want = say(oracle.path, data)
    assert say(node.client_port, data) == want
    if len(data) < 200:
        assert say(node.client_port, data, len(data)) == want


@pytest.mark.parametrize("why,data,want", OTHER_BYTES, ids=name_of)
def test_client_bytes_that_are_answered_otherwise(node, why, data, want):
    assert say(node.client_port, data) == want, why


def test_client_a_protocol_error_closes_the_connection(node):
    with Wire(node.client_port) as w:
        w.send(command("SET", "pe", "1") + b"*1\r\n$x\r\n" + command("SET", "pe", "2"))
        assert w.rest() == b"+OK\r\n-ERR Protocol error: invalid bulk length\r\n"  # ends although we don't close
    with Wire(node.client_port) as w:
        assert w.ask("GET", "pe") == b"$1\r\n1\r\n"


def test_client_all_that_was_asked_is_answered_before_a_half_closed_connection_ends(node):
    n = 5000
    data = b"".join(command("SET", f"h{i}", i) + command("GET", f"h{i}") for i in range(n))
    assert say(node.client_port, data + b"*2\r\n$3\r\nGET\r\n") == \
        b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(n))


def test_client_random_splits(oracle, node):
    seed = int(os.environ.get("CLIENT_SEED", time.time()))
    print(f"CLIENT_SEED={seed}")
    r = random.Random(seed)
    data = b"".join(r.choice([command("SET", f"s{i % 7}", "v" * r.randrange(200)), command("GET", f"s{i % 7}"),
                              b"GET s%d\r\n" % (i % 7), b"\r\n", command("STRLEN", f"s{i % 7}"), b"ECHO 'a b'\n"])
                    for i in range(1000))
    oracle.client().flushall()
    want = say(oracle.path, data)
    for size in (1, 2, 3, 0):
        node.client().delete(*[f"s{k}" for k in range(7)])
        with Wire(node.client_port) as w:
            at = 0
            while at < len(data):
                step = size or r.randrange(1, 400)
                w.send(data[at:at + step])
                at += step
            w.socket.shutdown(socket.SHUT_WR)
            assert w.rest() == want, f"CLIENT_SEED={seed}, pieces of {size or 'any'} bytes"


# ---- many keys, many owners ------------------------------------------------------------------------

FOUR = [("dc1", rack, token) for rack in ("rack1", "rack2") for token in ("0", "2147483648")]


def owners(node, key):
    return [r["address"] for r in node.admin("key", key)["replicas"]]


def keys_by_owner(node, n, prefix="key"):
    """n keys of either half of the ring."""
    halves = {}
    i = 0
    while len(halves) < 2 or min(map(len, halves.values())) < n:
        key = f"{prefix}{i}"
        halves.setdefault(owners(node, key)[0], []).append(key)
        i += 1
    return [half[:n] for half in halves.values()]


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_client_commands_of_many_keys_are_split_and_put_together(oracle, store):
    """Through each of four nodes, of which each has one half of the keys."""
    with rig.Cluster(places=FOUR, store=store, flags={"write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM"}) as c:
        low, high = keys_by_owner(c.nodes[0], 4)
        mixed = [k for pair in zip(low, high) for k in pair]
        lines = [["MSET"] + [w for i, k in enumerate(mixed) for w in (k, i)],
                 ["MGET"] + mixed + mixed[:3] + ["none"] + mixed[2:5],
                 ["MSET", low[0], "1", high[0], "2", low[0], "3", high[0], "4", low[0], "last"],
                 ["MGET", low[0], high[0], low[0]],
                 ["EXISTS", low[0], high[0], low[0], "none", high[1], "none"],
                 ["TOUCH", low[0], high[0], low[0], "none"],
                 ["DEL", low[0], high[0], low[0], "none", high[0]],
                 ["UNLINK", low[1], low[1], high[1], "none", low[1]],
                 ["MGET"] + mixed, ["DEL"] + mixed, ["EXISTS"] + mixed,
                 ["MSET", low[0], "1", high[0]], ["MGET"], ["DEL"], ["EXISTS"], ["UNLINK"], ["MSET"]]
        for node in c.nodes:
            with Wire(node.client_port) as ours, Wire(oracle.path) as theirs:
                for line in lines:
                    assert ours.ask(*line) == theirs.ask(*line), (node.name, line)


def test_client_a_part_that_fails_makes_one_clear_error():
    flags = {"write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM", "sloppy-quorum": "false", "gos-interval": "100"}
    with rig.Cluster(places=FOUR, flags=flags) as c:
        a = c.nodes[0]
        low, high = keys_by_owner(a, 2)
        with Wire(a.client_port) as w:
            assert w.ask("MSET", low[0], 1, high[0], 1) == b"+OK\r\n"
            other = [i for i in (1, 3) if c.nodes[i].admin("status")["node"]["address"] in owners(a, high[0]) + owners(a, low[0])]
            victim = c.nodes[other[0]]
            address = victim.admin("status")["node"]["address"]
            dead, alive = (high, low) if address in owners(a, high[0]) else (low, high)
            victim.kill()
            rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "it is DOWN")
            quorum = rb"-NOQUORUM 1 of 2 needed replicas answered \(DC_QUORUM (read|write)\)"
            where = rb"; in dc1: \w+ could answer, \w+ couldn't\r\n"
            assert re.fullmatch(quorum + where, w.ask("MGET", alive[0], dead[0], alive[0]))
            assert re.fullmatch(quorum + where, w.ask("EXISTS", dead[0], alive[0]))
            for line in (["MSET", alive[0], 2, dead[0], 2], ["MSET", dead[0], 2, alive[0], 2], ["DEL", dead[0], alive[0]],
                         ["UNLINK", alive[1], dead[1], alive[1]]):
                assert re.fullmatch(quorum + rb"; it took effect on some" + where, w.ask(*line)), line
            assert re.fullmatch(quorum + rb"; nothing was written" + where, w.ask("MSET", dead[0], 3, dead[1], 3))
            assert w.ask("MGET", alive[0], alive[0]) == b"*2\r\n$-1\r\n$-1\r\n" and w.ask("PING") == b"+PONG\r\n"


@pytest.mark.parametrize("level", ["DC_ONE", "DC_QUORUM"])
def test_client_a_deep_pipeline_over_all_owners_is_answered_in_order(level):
    """12,000 commands before the first reply is read."""
    n = 3000
    with rig.Cluster(places=FOUR[:3], flags={"write-consistency": level, "read-consistency": level}) as c:
        for node in c.nodes:
            key = f"{node.name}-%d"
            data = b"".join(command("SET", key % (i % 700), i) + command("GET", key % (i % 700)) + b"ECHO %d\r\n" % i +
                            command("MGET", key % (i % 700), key % ((i + 350) % 700)) for i in range(n))
            with Wire(node.client_port) as w:
                sender = threading.Thread(target=w.send, args=(data,))
                sender.start()
                last = {}
                for i in range(n):
                    last[i % 700] = b"$%d\r\n%d\r\n" % (len(str(i)), i)
                    assert w.reply() == b"+OK\r\n"
                    assert w.reply() == last[i % 700]
                    assert w.reply() == b"$%d\r\n%d\r\n" % (len(str(i)), i)
                    assert w.reply() == b"*2\r\n" + last[i % 700] + last.get((i + 350) % 700, b"$-1\r\n")
                sender.join()


# ---- a connection reads its own writes ---------------------------------------------------------------

def test_client_reads_its_own_writes_also_of_more_keys_than_it_remembers():
    """The coordinator has no copy; the replica that it would read from is stopped and lacks the writes, the other one
    has them."""
    with rig.Cluster(places=[("dc1", "rack1", "0"), ("dc1", "rack1", "2147483648"), ("dc1", "rack2", "0")], flags={"gos-interval": "3000"}) as c:
        a = c.nodes[0]
        mine = a.admin("status")["node"]["address"]
        keys, i = [], 0
        while len(keys) < 600:  # those of which node 1 has no copy
            part = [f"own{k}" for k in range(i, i + 50)]
            keys += [k for k in part if mine not in owners(a, k)]
            i += 50
        near = next(n for n in c.nodes if n.admin("status")["node"]["address"] == owners(a, keys[0])[0])
        assert near is c.nodes[1]
        with Wire(a.client_port) as w:
            assert w.ask("SET", keys[0], "warm") == b"+OK\r\n"
            rig.freeze(near.process)
            try:
                w.send(b"".join(command("SET", k, k) for k in keys))
                assert [w.reply() for _ in keys] == [b"+OK\r\n"] * len(keys)
                begin = time.monotonic()
                w.send(b"".join(command("GET", k) for k in keys) + command("MGET", *keys))
                assert [w.reply() for _ in keys] == [b"$%d\r\n%s\r\n" % (len(k), k.encode()) for k in keys]
                assert w.reply().count(b"own") == len(keys)
                assert time.monotonic() - begin < 2
            finally:
                os.kill(near.process.pid, signal.SIGCONT)


def test_client_reads_its_own_writes_of_several_keys_from_a_replica_that_has_them_all():
    """The coordinator has no copy. The replica that acknowledged the one key's write is stopped before the other's."""
    with rig.Cluster(places=[("dc1", "rack1", "0"), ("dc1", "rack1", "2147483648"), ("dc1", "rack2", "0")], store="redis",
                     flags={"gos-interval": "3000"}) as c:
        a, near, far = c.nodes
        mine = a.admin("status")["node"]["address"]
        none, one, two = [f"set{i}" for i in range(50) if mine not in owners(a, f"set{i}")][:3]
        with Wire(a.client_port) as w:
            rig.freeze(far.process)
            try:
                assert w.ask("SADD", one, "x") == b":1\r\n"
            finally:
                os.kill(far.process.pid, signal.SIGCONT)
            rig.wait_until(lambda: c.backends[2].client().exists(one), "the other replica has it too")
            rig.freeze(near.process)
            try:
                assert w.ask("SADD", two, "y") == b":1\r\n"
                begin = time.monotonic()
                w.send(command("SUNION", one, two) + command("SUNION", none, one, two) + command("SUNION", two, one))
                assert [sorted(w.reply().split(b"\r\n")[2::2]) for _ in range(3)] == [[b"x", b"y"]] * 3
                assert time.monotonic() - begin < 2
            finally:
                os.kill(near.process.pid, signal.SIGCONT)


def command_of_many_kinds(r):
    """Commands of one and of several keys; those of one command are kept together by their hash tag."""
    tag, v, w = r.choice(["{t0}", "{t1}", "{t2}"]), str(r.randrange(8)), str(r.randrange(8))
    a, b, c = (f"{tag}set{r.randrange(4)}" for _ in range(3))
    x, y = (f"{r.choice(['{t0}', '{t1}', '{t2}'])}str{r.randrange(4)}" for _ in range(2))
    return r.choice([
        ("SADD", a, v, w), ("SREM", a, v), ("SUNION", a, b, c), ("SDIFF", a, b), ("SUNIONSTORE", a, b, c), ("SDIFFSTORE", a, b, c),
        ("SMOVE", a, b, v), ("SCARD", a), ("COPY", a, b, "REPLACE"), ("SORT", a), ("SORT", a, "STORE", tag + "list"),
        ("LRANGE", tag + "list", "0", "-1"), ("SET", x, v), ("GET", x), ("GETEX", x), ("GETEX", x, "EX", "1000"), ("INCR", x), ("APPEND", x, v),
        ("MGET", x, y, x), ("MSET", x, v, y, w), ("DEL", x, y), ("EXISTS", x, y, x), ("RENAME", tag + "str0", tag + "str1"),
        ("LCS", tag + "str1", tag + "str2"), ("DEL", a, b),
        ("SPOP", a, "100"), ("SPOP", a, "x"), ("XADD", tag + "log", "*", "f", v), ("XLEN", tag + "log"), ("XADD", tag + "jobs", f"{v}-*", "f", w),
        ("XGROUP", "CREATE", tag + "jobs", "g", "0", "MKSTREAM"), ("XCLAIM", tag + "jobs", "g", v, "0", f"{v}-0", f"{w}-0", "FORCE"),
        ("XAUTOCLAIM", tag + "jobs", "g", v, "0", w, "COUNT", "3"), ("XRANGE", tag + "jobs", "-", "+"), ("DEL", tag + "jobs"),
        ("EVAL", "return redis.call('APPEND', KEYS[1], ARGV[1])", "1", x, v), ("EVAL", "return redis.call('INCR', KEYS[1])", "1", a),
        ("EVAL", "redis.call('SADD', KEYS[1], ARGV[1]) return redis.call('SUNIONSTORE', KEYS[2], KEYS[1], KEYS[2])", "2", a, b, v),
        ("EVAL", "return redis.call('DEL', KEYS[1], KEYS[2])", "2", a, c), ("EVAL_RO", "return redis.call('GET', KEYS[1])", "1", x),
        ("EVAL", "return 7", "0"), ("EVAL", "return 7", "9", a), ("EVALSHA", "0" * 40, "1", a)])


@pytest.mark.parametrize("places", [FOUR[:1], FOUR[:3], [FOUR[0], FOUR[2]]], ids=["alone", "not everywhere", "two copies"])
def test_client_pipelines_of_many_kinds_are_answered_as_by_redis(oracle, places):
    seed = int(os.environ.get("CLIENT_SEED", time.time()))
    print(f"CLIENT_SEED={seed}")
    r = random.Random(seed)
    oracle.client().flushall()
    with rig.Cluster(places=places, store="redis", flags={"hash-tag": "{}"}) as c, Wire(oracle.path) as theirs, \
            Wire(c.nodes[0].client_port) as ours:
        for _ in range(60):
            batch = [command_of_many_kinds(r) for _ in range(r.choice([1, 5, 50, 200]))]
            data = b"".join(command(*words) for words in batch)
            theirs.send(data)
            ours.send(data)
            for words in batch:
                want, got = theirs.reply(), ours.reply()
                if words[0] in ("SUNION", "SDIFF"):
                    want, got = sorted(want.split(b"\r\n")), sorted(got.split(b"\r\n"))
                if words[:3:2] == ("XADD", "*"):  # each has an id of its own
                    want, got = want[:1], got[:1]
                assert got == want, f"CLIENT_SEED={seed}: {words}"


# ---- what a node answers itself ------------------------------------------------------------------------

def info(node, *sections):
    with Wire(node.client_port) as w:
        text = w.ask("INFO", *sections).split(b"\r\n", 1)[1].decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line), text


def test_client_info_has_what_clients_read(node):
    node.client().set("info", 1)
    fields, text = info(node)
    assert fields["redis_version"].startswith("7.0.") and fields["redis_mode"] == "standalone" and fields["role"] == "master"
    assert fields["loading"] == "0" and fields["cluster_enabled"] == "1" and fields["maxmemory"] == "0"
    assert int(fields["process_id"]) == node.process.pid and int(fields["tcp_port"]) == node.client_port
    assert fields["run_id"] == node.admin("status")["node"]["id"]
    for number in ("uptime_in_seconds", "uptime_in_days", "used_memory", "connected_clients", "total_connections_received",
                   "total_commands_processed", "connected_slaves", "blocked_clients"):
        assert int(fields[number]) >= 0
    with Wire(node.client_port) as one, Wire(node.client_port) as two:
        assert one.ask("PING") == two.ask("PING") == b"+PONG\r\n"
        assert int(info(node)[0]["connected_clients"]) >= 3
    assert [s[2:] for s in text.split("\r\n") if s.startswith("# ")] == \
        ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Cluster", "Keyspace"]
    assert "# Server" in info(node, "server", "MEMORY")[1] and "# Stats" not in info(node, "server", "MEMORY")[1]
    assert info(node, "nosuch")[1].strip() == ""
    stats, text = info(node, "all")
    assert int(stats["cmdstat_set"].split(",")[0].split("=")[1]) > 0 and "cmdstat_get" not in info(node, "stats")[1]
    assert set(node.client().info("commandstats")["cmdstat_set"]) == {"calls", "failed_calls"}
    assert float(fields["used_cpu_user"]) > 0 and fields["maxmemory_policy"] == "noeviction" and int(fields["maxclients"]) > 0
    if node.flags.get("data-store") != "redis":
        assert re.fullmatch(rf"keys={node.client().dbsize()},expires=\d+,avg_ttl=\d+", fields["db0"])
    assert node.client().info()["redis_mode"] == "standalone"


# Some forms of commands that are taken otherwise.
REFUSED_FORMS = [
    ("XREAD BLOCK 0 STREAMS k 0", "'XREAD' isn't supported with BLOCK"), ("XREADGROUP GROUP g c BLOCK 9 STREAMS k >", "with BLOCK"),
    ("SORT l BY w_*", "with a pattern"), ("SORT l GET w_* STORE m", "with a pattern"), ("SORT_RO l GET w_*", "with a pattern"),
    ("COPY a b DB 1", "only database 0")]


def refused():
    """Name and reason of each that docs/commands.md calls refused (tests/unit/command-docs.sh compares it with the
    server's table)."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "commands.md"), encoding="utf-8") as f:
        rows = [[cell.strip() for cell in line.split("|")] for line in f if line.startswith("| `")]
    return [(row[1].strip("`"), row[4]) for row in rows if row[2] == "refused"]


def ask_with_enough(w, name):
    """The answer to a command line with as many arguments as it takes."""
    for n in range(8):
        got = w.ask(*name.split(), *["1"] * n)
        if b"wrong number of arguments" not in got:
            return got
    raise AssertionError(f"{name}: {got}")


def test_client_what_is_refused_says_why_and_the_connection_stays(node):
    with Wire(node.client_port) as w:
        assert len(refused()) > 40
        redis_behind = node.flags.get("data-store") == "redis"
        for name, why in refused():
            if " " in name and not redis_behind:
                continue
            assert re.fullmatch(rf"'{name}' isn't supported: .{{20,}}", why), f"{name}: {why} is no reason"
            assert ask_with_enough(w, name) == f"-ERR {why}\r\n".encode()
        if redis_behind:
            for line, why in REFUSED_FORMS:
                got = w.ask(*line.split())
                assert got.startswith(b"-ERR '" + line.split()[0].encode() + b"' isn't supported") and why.encode() in got, got
        for line, got in (("SELECT 1", b"-ERR DB index is out of range\r\n"), ("SELECT 0", b"+OK\r\n"),
                          ("HELLO 4", b"-NOPROTO unsupported protocol version\r\n"),
                          ("HELLO 4 AUTH default x", b"-NOPROTO unsupported protocol version\r\n"),
                          ("SET __dynomited:x 1", b"-ERR keys that begin with '__dynomited:' are the server's own\r\n")):
            assert w.ask(*line.split()) == got
        if not redis_behind:
            for line in ("HSET h f v", "LPUSH l x", "ZADD z 1 m", "SADD s m", "XADD x * a b", "BITCOUNT k", "OBJECT ENCODING k", "MSETNX a b", "DUMP k", "EVAL x 0",
                         "EVALSHA x 0"):
                assert w.ask(*line.split()).startswith(b"-ERR unknown command '" + line.split()[0].encode() + b"', with args beginning with: ")
        assert w.ask("PING") == b"+PONG\r\n" and w.ask("QUIT") == b"+OK\r\n" and w.rest() == b""


def test_client_hello_2_and_names(node):
    with Wire(node.client_port) as w:
        got = w.ask("HELLO", "2", "SETNAME", "tester")
        me = w.ask("CLIENT", "ID")
        assert got == (b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n" + me +
                       b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n")
        assert w.ask("CLIENT", "GETNAME") == b"$6\r\ntester\r\n" and w.ask("CLIENT", "SETNAME", "") == b"+OK\r\n"
        assert w.ask("CLIENT", "GETNAME") == b"$-1\r\n"
        assert w.ask("CLIENT", "SETINFO", "lib-name", "redis-py") == w.ask("client", "setinfo", "LIB-VER", "5.0") == b"+OK\r\n"
        assert w.ask("CLIENT", "SETINFO", "LIB-NAME", "a b") == b"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
        assert w.ask("CLIENT", "SETINFO", "COLOUR", "x") == b"-ERR Unrecognized option 'COLOUR'\r\n"
        count = int(w.ask("COMMAND", "COUNT")[1:])
        for all_of_them in (["COMMAND"], ["COMMAND", "INFO"]):
            assert w.ask(*all_of_them).startswith(b"*%d\r\n" % count)
        assert w.ask("COMMAND", "DOCS").startswith(b"*%d\r\n" % (2 * count))
        for container in ("CLIENT", "COMMAND"):
            assert w.ask(container, "HELP").startswith(b"*")
    ids = set()
    for _ in range(20):
        with Wire(node.client_port) as w:
            ids.add(w.ask("CLIENT", "ID"))
    assert len(ids) == 20


def scan(w, *options):
    """All that one loop of SCAN tells, and the number of calls."""
    cursor, told, calls = b"0", [], 0
    while calls == 0 or cursor != b"0":
        w.send(command("SCAN", cursor, *options))
        assert w.file.readline() == b"*2\r\n"
        cursor = w.reply().split(b"\r\n")[1]
        n = int(w.file.readline()[1:])
        told += [w.reply().split(b"\r\n")[1] for _ in range(n)]
        calls += 1
    return told, calls


def test_client_scan_tells_each_of_10000_keys_exactly_once(node):
    c = node.client()
    for k in list(c.scan_iter(count=1000)):
        c.delete(k)
    keys = {b"scan:%d" % i for i in range(10000)}
    for i in range(0, 10000, 1000):
        c.mset({f"scan:{k}": k for k in range(i, i + 1000)})
    assert c.dbsize() == 10000
    with Wire(node.client_port) as w:
        for options in ([], ["COUNT", 7], ["COUNT", 1000], ["COUNT", 100000], ["TYPE", "string"], ["MATCH", "*"]):
            told, calls = scan(w, *options)
            assert len(told) == 10000 and set(told) == keys, options
            assert "COUNT" not in options or calls <= 3 * max(1, 10000 // options[1]) + 3
        told, _ = scan(w, "MATCH", "scan:*77", "COUNT", 100)
        assert sorted(told) == sorted(k for k in keys if k.endswith(b"77"))
        told, _ = scan(w, "match", "scan:[0-3]?", "type", "STRING", "count", "500")
        assert sorted(told) == sorted(b"scan:%d" % i for i in range(10, 40))
        assert scan(w, "TYPE", "list")[0] == [] and scan(w, "MATCH", "nothing")[0] == []
        for wrong, text in ((["SCAN", "x"], b"-ERR invalid cursor\r\n"), (["SCAN", "0", "COUNT", "0"], b"-ERR syntax error\r\n"),
                            (["SCAN", "0", "COUNT", "x"], b"-ERR value is not an integer or out of range\r\n"),
                            (["SCAN", "0", "COUNT"], b"-ERR syntax error\r\n"), (["SCAN", "0", "FOO", "1"], b"-ERR syntax error\r\n")):
            assert w.ask(*wrong) == text
    for i in range(0, 10000, 1000):
        assert c.delete(*[f"scan:{k}" for k in range(i, i + 1000)]) == 1000
    assert c.dbsize() == 0


# ---- clients that flood, stall or are many ---------------------------------------------------------------

def cpu_seconds(node):
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def p99(node, n=300):
    """Seconds of one SET and one GET of a client that minds its own business."""
    took = []
    with Wire(node.client_port) as w:
        for i in range(n):
            begin = time.monotonic()
            assert w.ask("SET", "calm", i) == b"+OK\r\n" and w.ask("GET", "calm") == b"$%d\r\n%d\r\n" % (len(str(i)), i)
            took.append(time.monotonic() - begin)
    return sorted(took)[n * 99 // 100]


def stays_calm(node, before):
    """While somebody else floods: not held up by all of that. The best of three looks, since disk and cores are shared
    with other programs."""
    loaded = min(p99(node, 200) for _ in range(3))
    assert loaded < max(0.5, 10 * before), f"p99 {loaded * 1000:.1f} ms, {before * 1000:.1f} ms without the flood"


class Flood:
    """Clients that send the same over and over and never read, until nothing more is taken."""

    def __init__(self, node, data, clients):
        self.sockets = []
        self.sent = 0
        self.stop = False
        self.data = data
        self.left = [b""] * clients
        for _ in range(clients):
            s = socket.create_connection(("127.0.0.1", node.client_port), timeout=10)
            s.setblocking(False)
            self.sockets.append(s)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            moved = 0
            for i, s in enumerate(self.sockets):
                self.left[i] = self.left[i] or self.data
                try:
                    n = s.send(self.left[i])
                except BlockingIOError:
                    continue
                self.left[i] = self.left[i][n:]
                moved += n
            self.sent += moved
            if not moved:
                time.sleep(0.01)

    def end(self):
        self.stop = True
        self.thread.join()
        for s in self.sockets:
            s.close()


MB = 1 << 20


def test_client_a_pipeline_of_large_values_is_read_to_its_end(node):
    """More than client_output_max_bytes, but the client reads."""
    value = os.urandom(MB)
    node.client().set("fat", value)
    before = node.memory()
    with Wire(node.client_port) as w:
        w.send(command("GET", "fat") * 400)
        peak = 0
        for _ in range(400):
            assert w.reply() == b"$%d\r\n%s\r\n" % (MB, value)
            peak = max(peak, node.memory() - before)
    assert peak < 100 * MB, f"{peak / MB:.0f} MB"


def test_client_a_reply_over_the_limit_is_an_error():
    with rig.Cluster(1, flags={"client-output-max-bytes": "8388608"}) as c:
        n = c.nodes[0]
        value = b"x" * (3 * MB)
        with Wire(n.client_port) as w:
            assert w.ask("MSET", "a", value, "b", value, "c", value) == b"+OK\r\n"
            assert w.ask("MGET", "a", "b") == b"*2\r\n" + b"$%d\r\n%s\r\n" % (len(value), value) * 2
            assert w.ask("MGET", "a", "b", "c", "none") == b"-ERR more than 8388608 bytes of replies (client_output_max_bytes)\r\n"
            assert w.ask("SET", "d", value * 4) == b"+OK\r\n" and len(w.ask("GET", "d")) == 12 * MB + 13  # one value may be larger
            assert w.ask("PING") == b"+PONG\r\n"


def test_client_floods_of_writes_hurt_nobody(node):
    before, calm = node.memory(), p99(node)
    flood = Flood(node, command("SET", "flood", "x" * 1000) * 20, 2)
    try:
        rig.wait_until(lambda: flood.sent > 40 * MB, "40 MB are written", 60)
        stays_calm(node, calm)
    finally:
        flood.end()
    rig.wait_until(lambda: node.memory() - before < 30 * MB, "the memory is given back")


def test_client_a_thousand_idle_clients_cost_little(node):
    before = node.memory()
    socks = []
    try:
        for _ in range(1000):
            s = socket.create_connection(("127.0.0.1", node.client_port), timeout=10)
            s.sendall(b"PING\r\n")
            socks.append(s)
        for s in socks:
            assert s.recv(100) == b"+PONG\r\n"
        assert int(info(node)[0]["connected_clients"]) >= 1000
        assert node.memory() - before < 64 * MB
        used = cpu_seconds(node)
        assert p99(node, 100) < 1
        time.sleep(1)  # the time in which nothing happens
        assert cpu_seconds(node) - used < 0.5
    finally:
        for s in socks:
            s.close()
    rig.wait_until(lambda: int(info(node)[0]["connected_clients"]) < 10, "they are gone")


def test_client_without_file_descriptors_accepting_pauses_and_nothing_spins():
    with rig.Cluster(1) as c:
        n = c.nodes[0]
        resource.prlimit(n.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        with Wire(n.client_port) as old:
            assert old.ask("PING") == b"+PONG\r\n"
            waiting = [socket.create_connection(("127.0.0.1", n.client_port), timeout=20) for _ in range(100)]
            rig.wait_until(lambda: "accepting pauses" in n.log_text(), "accepting pauses")
            used, begin = cpu_seconds(n), time.monotonic()
            asked = 0
            while time.monotonic() - begin < 2:
                assert old.ask("SET", "k", asked) == b"+OK\r\n"
                asked += 1
                time.sleep(0.02)
            assert asked > 10 and cpu_seconds(n) - used < 0.6
            for s in waiting[:80]:
                s.close()
            for s in waiting[80:]:
                s.sendall(b"PING\r\n")
                assert s.recv(100) == b"+PONG\r\n"
                s.close()
            assert old.ask("GET", "k") == b"$%d\r\n%d\r\n" % (len(str(asked - 1)), asked - 1)


# ---- large values --------------------------------------------------------------------------------------

slow = pytest.mark.slow  # a minute and 3 GB: only with DYN_LONG=1


def bulk(value):
    return b"$%d\r\n%s\r\n" % (len(value), value)


def memory_is_back(nodes):
    for n in nodes:
        rig.wait_until(lambda n=n: n.memory() < 40 * MB, f"{n.name} gives the memory back")


@pytest.mark.parametrize("store", ["embedded", "redis"])
@pytest.mark.parametrize("size", [20, 100, pytest.param(512, marks=slow)])
def test_client_large_value_through_one_node(store, size):
    with rig.Cluster(1, store=store, flags={"timeout": "60000"}) as c:
        n = c.nodes[0]
        value = os.urandom(MB) * size
        with Wire(n.client_port, timeout=60) as w:
            assert w.ask("SET", "big", value) == b"+OK\r\n"
            assert w.ask("GET", "big") == bulk(value)
            assert w.ask("STRLEN", "big") == b":%d\r\n" % len(value)
            assert w.ask("GETRANGE", "big", MB - 3, MB + 3) == bulk(value[MB - 3:MB + 4])
            assert w.ask("APPEND", "big", "x" * MB) == (b":%d\r\n" % (len(value) + MB) if size < 512 else
                                                        b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n")
            assert w.ask("DEL", "big") == b":1\r\n"
            w.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (512 * MB + 1))
            assert w.rest() == b"-ERR Protocol error: invalid bulk length\r\n"
        assert n.memory("VmHWM") < (5 * size + 60) * MB  # a few copies on the way
        memory_is_back(c.nodes)


@pytest.mark.parametrize("store,size", [("embedded", 100), pytest.param("redis", 100, marks=slow), pytest.param("embedded", 512, marks=slow)])
def test_client_large_value_on_three_nodes_and_as_a_hint(store, size):
    """No link flaps on the way."""
    flags = {"timeout": "60000", "gos-interval": "1000", "write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM"}
    with rig.Cluster(3, store=store, flags=flags) as c:
        a, b, d = c.nodes
        value, later = os.urandom(MB) * size, os.urandom(MB) * size
        with Wire(a.client_port, timeout=100) as w, Wire(b.client_port, timeout=100) as w2:
            assert w.ask("SET", "big", value) == b"+OK\r\n" and w2.ask("GET", "big") == bulk(value)
            rig.wait_until(lambda: len(set(rig.copies(a, "big"))) == 1, "all have it", 60)
            assert "NORMAL -> DOWN" not in "".join(n.log_text() for n in c.nodes)
            d.kill()
            rig.wait_until(lambda: "DOWN" in a.states_of_peers() and "DOWN" in b.states_of_peers(), "node 3 is DOWN")
            assert w.ask("SET", "big", later) == b"+OK\r\n" and w.ask("SET", "small", "1") == b"+OK\r\n"
            hints = a.admin("hints")["totals"]
            assert hints["pending"] >= 2 and hints["bytes"] > size * MB
            d.start()
            rig.wait_until(lambda: a.pending() == 0 and d.state() == "NORMAL", "the hints are delivered", 60)
        with Wire(d.client_port, timeout=100) as w:
            assert w.ask("GET", "big") == bulk(later) and w.ask("GET", "small") == b"$1\r\n1\r\n"
        rig.wait_until(lambda: len(set(rig.copies(a, "big"))) == 1, "all have the same", 60)
        assert rig.copies(a, "big")[2][2] == size * MB
        memory_is_back(c.nodes)


def test_client_a_hint_that_cannot_be_kept_is_an_error():
    """A value above the cap of the hint store: never silence."""
    with rig.Cluster(3, flags={"hint-store-max-bytes": "1048576", "write-consistency": "DC_QUORUM", "gos-interval": "100"}) as c:
        a, b, d = c.nodes
        b.kill()
        d.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN", "DOWN"], "both are DOWN")
        with Wire(a.client_port) as w:
            assert w.ask("SET", "k", "x" * 2 * MB).startswith(b"-NOHINT hint store is full (1048576 bytes)")
            assert w.ask("SET", "k", "small") == b"+OK\r\n"
        assert all(p["needs_repair"] for p in a.admin("status")["peers"])
