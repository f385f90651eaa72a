"""memcached's clients: memccapable, pymemcache, and lines compared with a bare memcached."""
import os
import re
import signal
import socket
import subprocess

import pytest
import rig
from memcache_commands import Server, compare, compare_uniques
from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheServerError
from test_io_errors import SHIM

COUNT = 100000 if rig.LONG else 20000
SMALL = {"stamp-table-bytes": "1048576"}  # less to write to the disk
FLUSH = {**SMALL, "allow-flush": "true"}


@pytest.fixture(scope="module")
def alone():
    with rig.Cluster(1, store="memcache", flags=FLUSH) as c:
        yield c.nodes[0]


@pytest.fixture(scope="module")
def trio():
    with rig.Cluster(3, store="memcache", flags=FLUSH) as c:
        yield c


@pytest.fixture
def bare():
    memcached = rig.Memcached()
    memcached.start()
    yield memcached
    memcached.kill()


def seed():
    value = int(os.environ.get("DYN_SEED") or int.from_bytes(os.urandom(3), "big"))
    print(f"DYN_SEED={value} replays")
    return value


def ask(node, *commands):
    """Its answers to what is sent at once."""
    server = Server(node.client_port)
    try:
        return server.ask(commands)
    finally:
        server.close()


def refused(node, data):
    """All that it says before it closes."""
    with socket.create_connection(("127.0.0.1", node.client_port), 10) as s:
        s.sendall(data)
        return b"".join(iter(lambda: s.recv(4096), b""))


# ---- as a bare memcached answers


def test_memcache_answers_as_a_memcached(alone, bare):
    rig.note(f"{compare(alone.client_port, bare.port, seed(), COUNT)} answers are those of a memcached")


def test_memcache_answers_as_a_memcached_in_a_cluster(trio, bare):
    n = compare(trio.nodes[0].client_port, bare.port, seed(), COUNT // 4, alone=False)
    rig.note(f"{n} answers of three nodes are those of a memcached")


def test_memcache_answers_as_a_memcached_through_who_has_half(bare):
    """Two racks of two nodes. Keys of one get are split over their owners, at a level that compares what they say."""
    places = [("dc1", rack, tokens) for rack in ("rack1", "rack2") for tokens in ("0", "2147483648")]
    levels = {"read-consistency": "DC_QUORUM", "write-consistency": "DC_QUORUM"}
    with rig.Cluster(places=places, store="memcache", flags={**SMALL, **levels}) as c:
        n = compare(c.nodes[3].client_port, bare.port, seed(), COUNT // 4, alone=False)
        rig.note(f"{n} answers of four nodes are those of a memcached")


def test_memcache_uniques_as_in_a_memcached(alone, bare):
    assert compare_uniques(alone.client_port, bare.port, seed(), 300) > 300


def test_memcache_uniques_as_in_a_memcached_in_a_cluster(trio, bare):
    """Through a node that asks another one for them."""
    assert compare_uniques(trio.nodes[2].client_port, bare.port, seed(), 100) > 100


# ---- real clients


def memccapable(node):
    done = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(node.client_port), "-a", "-t", "10"],
                          capture_output=True, text=True, timeout=60, check=False)
    return re.findall(r"^(ascii .*?)\s*\[pass\]", done.stdout, re.M), done.stdout + done.stderr


@pytest.mark.parametrize("nodes", ["alone", "trio"])
def test_memccapable(nodes, request):
    given = request.getfixturevalue(nodes)
    passed, said = memccapable(given if nodes == "alone" else given.nodes[1])
    assert len(passed) == 27 and "All tests passed" in said, said


def test_pymemcache(trio):
    c, other = (Client(("127.0.0.1", n.client_port), timeout=10) for n in trio.nodes[:2])
    assert c.set("a", "1") and c.get("a") == b"1" and c.incr("a", 5) == 6 and c.decr("a", 1) == 5
    value, unique = c.gets("a")
    assert value == b"5" and c.cas("a", "9", unique) and not c.cas("a", "10", unique)
    assert c.cas("nokey", "1", unique) is None
    assert c.set_many({"x": "1", "y": "2"}) == [] and c.get_many(["x", "y", "z"]) == {"x": b"1", "y": b"2"}
    assert {k: v for k, (v, _) in c.gets_many(["x", "y", "z"]).items()} == {"x": b"1", "y": b"2"}
    assert not c.add("x", "5", noreply=False) and not c.replace("q", "1", noreply=False)
    assert c.append("x", "z", noreply=False) and c.prepend("x", "b", noreply=False) and c.get("x") == b"b1z"
    assert c.touch("y", 100, noreply=False) and not c.touch("q", 100, noreply=False)
    assert c.delete("x", noreply=False) and not c.delete("x", noreply=False) and c.get("x") is None
    assert c.version() == b"1.6.18" and c.stats()[b"cmd_set"] > 0
    c.set("many", "0", noreply=True)
    for i in range(100):
        c.incr("many", 1, noreply=True)
    assert c.get("many") == b"100"
    assert c.set("k" * 250, b"\0\r\n" * 1000) and c.get("k" * 250) == b"\0\r\n" * 1000
    rig.wait_until(lambda: other.get("many") == b"100", "the other node has it")
    c.close()
    other.close()


def test_pymemcache_over_all_nodes(trio):
    c = HashClient([("127.0.0.1", n.client_port) for n in trio.nodes], timeout=10)
    keys = {f"hash{i}": str(i) for i in range(200)}
    assert c.set_many(keys) == [] and c.get_many(keys) == {k: v.encode() for k, v in keys.items()}
    c.close()


# ---- what is particular to a ring


def test_memcache_reads_its_own_writes(trio):
    """Through a node that isn't asked first for uniques, everything in one pipeline."""
    for node in trio.nodes:
        lines, want = [], []
        for i in range(200):
            key = b"own%d" % (i % 17)
            lines += [b"set %s 0 0 %d\r\n%d\r\n" % (key, len(str(i)), i), b"get %s\r\n" % key]
            want += [b"STORED\r\nVALUE %s 0 %d\r\n%d\r\nEND\r\n" % (key, len(str(i)), i)]
            if i % 10 == 0:
                lines.append(b"gets %s\r\n" % key)
                want.append(b"VALUE %s 0 %d #\r\n%d\r\nEND\r\n" % (key, len(str(i)), i))
        got = re.sub(rb"(VALUE \S+ \d+ \d+) \d+\r\n", rb"\1 #\r\n", ask(node, *lines))
        assert got == b"".join(want)


def unique_of(node, key):
    return ask(node, b"gets %s\r\n" % key).split(b"\r\n", 1)[0].split()[4]


def test_memcache_uniques_are_the_same_through_every_node(trio):
    """A unique from one node is good for a cas through another; who comes second has lost."""
    a, b, c = trio.nodes
    for i in range(20):
        key = b"shared%d" % i
        assert ask(a, b"set %s 0 0 1\r\n1\r\n" % key) == b"STORED\r\n"
        for node in (b, c):  # who has just been told, sees it
            rig.wait_until(lambda n=node, k=key: ask(n, b"get %s\r\n" % k).startswith(b"VALUE"), "it is there")
        assert unique_of(a, key) == unique_of(b, key) == unique_of(c, key)
        first = b"cas %s 0 0 1 %s\r\n2\r\n" % (key, unique_of(b, key))
        assert ask(c, first) == b"STORED\r\n" and ask(a, first) == b"EXISTS\r\n"
        for node in trio.nodes:
            rig.wait_until(lambda n=node, k=key: ask(n, b"get %s\r\n" % k) == b"VALUE %s 0 1\r\n2\r\nEND\r\n" % k,
                           "all have it")
    assert ask(b, b"cas none 0 0 1 %s\r\n2\r\n" % unique_of(b, b"shared0")) == b"NOT_FOUND\r\n"


def test_memcache_gets_of_many_keys_that_touches(trio):
    ask(trio.nodes[0], *(b"set touched%d 0 0 1\r\n%d\r\n" % (i, i) for i in range(5)))
    keys = b" ".join(b"touched%d" % i for i in range(5))
    for node in trio.nodes:
        rig.wait_until(lambda n=node: ask(n, b"get %s\r\n" % keys).count(b"VALUE") == 5, "they are there")
        got = ask(node, b"gats 100 %s none\r\n" % keys)
        assert got == ask(trio.nodes[1], b"gets %s none\r\n" % keys)
        assert re.sub(rb" \d+\r\n(\d)", rb" #\r\n\1", got) == b"".join(
            b"VALUE touched%d 0 1 #\r\n%d\r\n" % (i, i) for i in range(5)) + b"END\r\n"
        left = int(ask(node, b"mg touched3 t\r\n").split(b"t")[1])
        assert 90 < left <= 101
        assert ask(node, b"gats 0 touched1 touched1\r\n").count(b"VALUE touched1 0 1 ") == 2


# ---- errors, in its words


def test_memcache_errors_are_server_errors():
    flags = {"read-consistency": "DC_QUORUM", "write-consistency": "DC_SAFE_QUORUM", "timeout": "2000", **SMALL, **rig.STATIC}
    with rig.Cluster(3, store="memcache", flags=flags) as c:
        node = c.nodes[0]
        assert ask(node, b"set a 0 0 1\r\n1\r\n") == b"STORED\r\n"
        for backend in c.backends[1:]:
            backend.kill()
        rig.wait_until(lambda: ask(node, b"get a\r\n").startswith(b"SERVER_ERROR NOQUORUM 1 of 2 needed replicas"), "no quorum")
        got = ask(node, b"get a b\r\n", b"mg a v q O7\r\n", b"set a 0 0 1\r\n1\r\n", b"set a 0 0 1 noreply\r\n1\r\n",
                  b"incr a 1 noreply\r\n", b"ms a 1 q\r\n1\r\n", b"mn\r\n").split(b"\r\n")
        assert [line[:21] for line in got[:4]] == [b"SERVER_ERROR NOQUORUM"] * 4 and got[4:] == [b"MN", b""]
        assert b"; nothing was written; " in got[2]
        with pytest.raises(MemcacheServerError, match="NOQUORUM"):
            Client(("127.0.0.1", node.client_port), timeout=10).get("a")


def test_memcache_without_its_memcached():
    with rig.Cluster(1, store="memcache", flags=SMALL) as c:
        node = c.nodes[0]
        c.backends[0].kill()
        rig.wait_until(lambda: ask(node, b"get a\r\n").startswith(b"SERVER_ERROR BACKEND "), "it is missed")
        assert ask(node, b"set a 0 0 1\r\nx\r\n").startswith(b"SERVER_ERROR BACKEND ")
        c.backends[0].start()
        rig.wait_until(lambda: ask(node, b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n", "it is back")


def test_memcache_late_answers_disturb_nobody():
    """What comes after its timeout isn't taken for the answer of what was asked next on that connection."""
    with rig.Cluster(1, store="memcache", flags={**SMALL, "timeout": "400"}) as c:
        server, memcached = Server(c.nodes[0].client_port), c.backends[0].process
        assert server.ask([b"set a 0 0 5\r\nfirst\r\n", b"set b 0 0 6\r\nsecond\r\n"]) == b"STORED\r\n" * 2
        rig.freeze(memcached)
        try:
            got = server.ask([b"get a\r\n", b"mg a v q\r\n", b"get a b\r\n", b"get a\r\n"]).split(b"\r\n")
        finally:
            memcached.send_signal(signal.SIGCONT)
        assert len(got) == 5 and all(re.match(rb"SERVER_ERROR (TIMEOUT|BACKEND) ", line) for line in got[:4]), got
        rig.wait_until(lambda: server.ask([b"get b\r\n"]) == b"VALUE b 0 6\r\nsecond\r\nEND\r\n", "it is back")
        assert server.ask([b"get b a\r\n", b"mn\r\n"]) == b"VALUE b 0 6\r\nsecond\r\nVALUE a 0 5\r\nfirst\r\nEND\r\nMN\r\n"
        server.close()


def test_memcache_start_that_takes_long(tmp_path, preloads):
    """Each command is told so, in its protocol; what was half there goes on when the start is over."""
    flags = {"data-store": "memcache", "servers": "127.0.0.1:1:1", "timeout": "300", **SMALL}
    node = rig.Node(str(tmp_path), "slow", rig.free_ports(3), flags)
    held = str(tmp_path / "held")
    plain = node.arguments
    node.arguments = lambda: ["env", f"LD_PRELOAD={SHIM}", f"SHIM_HOLD={held}", *plain()]
    with open(held, "w", encoding="ascii"):
        pass
    node.start(wait=False)
    try:
        rig.wait_until(lambda: node.alive() and os.path.exists(node.log) and "the start takes its time" in node.log_text(), "it says so")
        with socket.create_connection(("127.0.0.1", node.client_port), 10) as s, \
                socket.create_connection(("127.0.0.1", node.client_port), 10) as large, s.makefile("rb") as f:
            s.sendall(b"set a 0 0 9\r\nget b c\r\n\r\nmg a q\r\nset a 0 0 1 noreply\r\nx\r\nnonsense\r\nset a 0 0 8\r\nhalf")
            for _ in range(3):
                assert re.fullmatch(rb"SERVER_ERROR LOADING this node is starting: .*\r\n", f.readline())
            large.sendall(b"set a 0 0 3000000\r\n" + b"x" * 100000)
            os.unlink(held)
            rig.wait_until(node.answers, "it is up")
            s.sendall(b"half\r\nmn\r\n")
            assert f.readline().startswith(b"SERVER_ERROR BACKEND ") and f.readline() == b"MN\r\n"
            large.sendall(b"x" * 2900000 + b"\r\nquit\r\n")
            got = b"".join(iter(lambda: large.recv(4096), b""))
            assert re.fullmatch(rb"SERVER_ERROR BACKEND .*\r\n", got)
    finally:
        if os.path.exists(held):
            os.unlink(held)
            rig.wait_until(node.answers, "it is up")
        node.stop()


def test_memcache_lines_that_end_a_connection(alone):
    assert refused(alone, b"delete " + b"k" * 2100) == b"CLIENT_ERROR line too long\r\n"
    assert refused(alone, b"\x80\x0b" + bytes(22)) == b"CLIENT_ERROR the binary protocol isn't spoken here\r\n"
    assert refused(alone, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"CLIENT_ERROR this is the port for memcached")
    assert refused(alone, b"mn\r\nquit\r\nmn\r\n") == b"MN\r\n"


def test_memcache_what_is_about_one_memcached_is_refused(alone):
    for line in b"watch", b"shutdown", b"lru_crawler enable", b"slabs automove 1", b"cache_memlimit 10", b"lru tune 1 2":
        assert re.fullmatch(rb"CLIENT_ERROR \w+ is about one memcached; .*\r\n", ask(alone, line + b"\r\n"))


def test_memcache_large_values(alone):
    """What is too large is thrown away, and what it was to replace with it; it takes no memory meanwhile."""
    large = b"x" * (40 << 20)
    assert ask(alone, b"set big 0 0 1000000\r\n" + large[:1000000] + b"\r\n", b"mg big s\r\n") == b"STORED\r\nHD s1000000\r\n"
    before = alone.memory()
    too_large = b"SERVER_ERROR object too large for cache\r\n"
    assert ask(alone, b"set big 0 0 %d\r\n" % len(large) + large + b"\r\n", b"get big\r\n") == too_large + b"END\r\n"
    assert ask(alone, b"add big 0 0 %d noreply\r\n" % len(large) + large + b"\r\n", b"mn\r\n") == b"MN\r\n"
    assert alone.memory() < before + (16 << 20)


def test_memcache_many_keys_in_one_get(trio):
    node = trio.nodes[2]
    keys = [b"one-of-many-%05d" % i for i in range(10000)]
    ask(node, *(b"set %s 0 0 5 noreply\r\n%s\r\n" % (k, k[-5:]) for k in keys[::2]))
    got = ask(node, b"get " + b" ".join(keys) + b"\r\n")
    assert got == b"".join(b"VALUE %s 0 5\r\n%s\r\n" % (k, k[-5:]) for k in keys[::2]) + b"END\r\n"


def test_memcache_replies_that_are_too_large_together():
    with rig.Cluster(1, store="memcache", flags={**SMALL, "client-output-max-bytes": "1500000"}) as c:
        node = c.nodes[0]
        ask(node, *(b"set big%d 0 0 600000\r\n%s\r\n" % (i, b"x" * 600000) for i in range(3)))
        assert len(ask(node, b"get big0 big1\r\n")) > 1200000
        assert ask(node, b"get big0 big1 big2\r\n", b"mn\r\n") == (
            b"SERVER_ERROR more than 1500000 bytes of replies (client_output_max_bytes)\r\nMN\r\n")


def test_memcache_stats_count(alone):
    def stats():
        lines = ask(alone, b"stats\r\n").decode().split("\r\n")
        assert lines[-2:] == ["END", ""]
        return {k: v for _, k, v in (line.split(" ", 2) for line in lines[:-2])}

    before = stats()
    ask(alone, b"set counted 0 0 1\r\n1\r\n", b"get counted no-such-key\r\n", b"incr counted 1\r\n", b"delete counted\r\n",
        b"touch counted 1\r\n", b"cas counted 0 0 1 5\r\n1\r\n")
    after = stats()
    grown = {k: int(after[k]) - int(before[k]) for k in after if after[k].isdigit() and after[k] != before[k]}
    ours = {k: v for k, v in grown.items() if k.startswith(("cmd", "get", "incr", "delete", "touch", "cas"))}
    assert ours == {"cmd_set": 2, "cmd_get": 2, "get_hits": 1, "get_misses": 1, "incr_hits": 1, "delete_hits": 1,
                    "cmd_touch": 1, "touch_misses": 1, "cas_misses": 1}
    assert int(after["pid"]) == alone.process.pid and after["version"] == "1.6.18"
    ask(alone, b"set an-item 0 0 1\r\n1\r\n")
    rig.wait_until(lambda: int(stats()["curr_items"]) > 0 and int(stats()["bytes"]) > 0, "its memcached tells of its items")
    assert ask(alone, b"stats items\r\n", b"stats slabs\r\n") == b"END\r\nEND\r\n"
    assert b"STAT flush_enabled yes\r\n" in ask(alone, b"stats settings\r\n")
    assert ask(alone, b"stats reset\r\n").startswith(b"CLIENT_ERROR stats reset isn't supported")


def test_memcache_verbosity_is_that_of_the_log(alone):
    for level, told in (b"4", b"4"), (b"100", b"6"), (b"0", b"0"):
        got = ask(alone, b"verbosity %s\r\n" % level, b"stats settings\r\n")
        assert got.startswith(b"OK\r\n") and b"STAT verbosity %s\r\n" % told in got


def test_memcache_has_no_room_for_another(bare):
    del bare
    with rig.Cluster(1, store="memcache", flags={"client-connections": "2", **SMALL}) as c:
        port = c.nodes[0].client_port
        first = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        for s in first:
            s.sendall(b"mn\r\n")
            assert s.recv(10) == b"MN\r\n"
        assert refused(c.nodes[0], b"") == b"CLIENT_ERROR max number of clients reached\r\n"
        for s in first:
            s.close()


# ---- flush_all


def test_memcache_flush_all(trio):
    a, b, c = trio.nodes
    ask(a, *(b"set flushed%d 0 0 1\r\n1\r\n" % i for i in range(50)))
    assert ask(b, b"flush_all\r\n") == b"OK\r\n"
    for node in (a, b, c):
        rig.wait_until(lambda n=node: ask(n, *(b"get flushed%d\r\n" % i for i in range(50))) == b"END\r\n" * 50, "all are gone")
    assert ask(a, b"set flushed1 0 0 1\r\n2\r\n", b"get flushed1\r\n").endswith(b"2\r\nEND\r\n")
    assert ask(c, b"flush_all 0 noreply\r\n", b"mn\r\n") == b"MN\r\n"
    assert ask(c, b"flush_all 10\r\n").startswith(b"CLIENT_ERROR flush_all with a delay isn't supported")


def test_memcache_flush_all_must_be_allowed():
    with rig.Cluster(1, store="memcache", flags=SMALL) as c:
        got = ask(c.nodes[0], b"set a 0 0 1\r\n1\r\n", b"flush_all\r\n", b"flush_all noreply\r\n", b"get a\r\n").split(b"\r\n")
        assert got[1].startswith(b"CLIENT_ERROR flush_all not allowed") and got[2] == b"VALUE a 0 1"
