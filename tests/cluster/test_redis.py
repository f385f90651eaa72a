"""A Redis behind each node: pass-through, refusals, passwords, a backend that is full, can't serve, is
old or gone. tests/cluster/test_redis_fence.py breaks its connections."""
import os
import re
import signal
import subprocess
import threading
import urllib.error

import pytest
import redis
import rig
from redis_proxy import OldServer
from wire import Wire, command


@pytest.fixture(scope="module")
def cluster():
    with rig.Cluster(3, store="redis") as c:
        yield c


@pytest.fixture
def single():
    """One node; its Redis may be changed at will."""
    with rig.Cluster(1, store="redis") as c:
        rig.wait_until(lambda: c.nodes[0].client().set("old", "value"), "its Redis is linked")
        yield c.nodes[0], c.backends[0]


def not_ready(node):
    """The reason that /readyz gives with its 503, or None."""
    try:
        node.http("/readyz")
    except urllib.error.HTTPError as error:
        return error.read().decode() if error.code == 503 else None
    return None


def is_ready(node):
    return not_ready(node) is None and node.http("/readyz") is not None


def says_backend(node, text, *words):
    with pytest.raises(redis.ResponseError, match=f"^BACKEND .*{text}"):
        node.client().execute_command(*words)


def test_redis_types_are_replicated(cluster):
    a = cluster.nodes[0].client()
    a.hset("h", mapping={"f": 1, "g": 2})
    a.rpush("l", 1, 2, 3)
    a.zadd("z", {"x": 1})
    a.rename("l", "l2")
    assert a.execute_command("XADD", "st", "1-1", "f", "v") == b"1-1"
    for backend in cluster.backends:
        own = backend.client()
        rig.wait_until(lambda own=own: own.xlen("st") == 1, "the last write is everywhere")
        assert own.hgetall("h") == {b"f": b"1", b"g": b"2"} and own.lrange("l2", 0, -1) == [b"1", b"2", b"3"]
        assert own.zrange("z", 0, -1) == [b"x"] and not own.exists("l")


@pytest.mark.parametrize("words,reason", [
    (("BLPOP", "q", "0"), "blocks"), (("SUBSCRIBE", "c"), ""),
    (("SCRIPT", "KILL"), "single node"), (("FUNCTION", "KILL"), "single node"),
    (("COPY", "k", "other", "DB", "1"), "only database 0"), (("SORT", "l", "BY", "w_*"), "pattern"),
    (("SORT", "l", "GET", "w_*", "STORE", "m"), "pattern"), (("SORT_RO", "l", "GET", "w_*"), "pattern"),
    (("MEMORY", "DOCTOR"), "single node"), (("XREAD", "BLOCK", "0", "STREAMS", "k", "0"), "BLOCK")])
def test_redis_refused_with_a_reason(cluster, words, reason):
    c = cluster.nodes[0].client()
    with pytest.raises(redis.ResponseError, match=reason):
        c.execute_command(*words)
    assert c.ping()


def test_redis_what_only_its_arguments_make_a_read_is_read_from_peers():
    """Two of three replicas have to answer: at least one of them over a link."""
    with rig.Cluster(3, store="redis", flags={"read-consistency": "DC_QUORUM", "write-consistency": "DC_QUORUM"}) as c:
        client = c.nodes[0].client()
        client.set("k", "v")
        client.rpush("l", 2, 1)
        client.geoadd("g", (1, 1, "here"))
        with Wire(c.nodes[0].client_port) as w:
            assert w.ask("GETEX", "k") == b"$1\r\nv\r\n"
            assert w.ask("SORT", "l") == b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n"
            assert w.ask("GEORADIUS", "g", 1, 1, 5, "km") == b"*1\r\n$4\r\nhere\r\n"
            assert w.ask("GEORADIUSBYMEMBER", "g", "here", 5, "km") == b"*1\r\n$4\r\nhere\r\n"


@pytest.mark.parametrize("words", [
    ("SET", "__dynomited:seq", "1"), ("DEL", "k", "__dynomited:seq"), ("RENAME", "__dynomited:seq", "k"),
    ("RENAME", "k", "__dynomited:other"), ("COPY", "__dynomited:seq", "k"), ("HGETALL", "__dynomited:seq"),
    ("MSET", "k", "1", "__dynomited:seq", "2"), ("SUNIONSTORE", "k", "__dynomited:seq"),
    ("OBJECT", "ENCODING", "__dynomited:seq"), ("EXPIRE", "__dynomited:seq", "1")])
def test_redis_own_keys_are_refused(cluster, words):
    with pytest.raises(redis.ResponseError, match="server's own|same node"):
        cluster.nodes[0].client().execute_command(*words)
    assert cluster.backends[0].client().hlen("__dynomited:seq") > 0


def test_redis_own_keys_are_hidden(cluster):
    c = cluster.nodes[0].client()
    c.set("seen", 1)
    own = cluster.backends[0].client()
    assert own.exists("__dynomited:seq")
    for options in ({}, {"match": "*"}, {"match": "__dynomited*"}, {"count": 1000}, {"_type": "hash"}):
        assert b"__dynomited:seq" not in set(c.scan_iter(**options))
    assert b"seen" in set(c.scan_iter())
    assert c.dbsize() == own.dbsize() - 1


def test_redis_copies_differ_by_their_lifetime(cluster):
    a = cluster.nodes[0]
    a.client().set("lives", "v", px=100000000)
    rig.wait_until(lambda: len(set(rig.copies(a, "lives"))) == 1, "equal copies")
    digest = a.admin("key", "lives")["replicas"][0]["digest"]
    cluster.backends[1].client().pexpire("lives", 200000000)
    assert len(set(rig.copies(a, "lives"))) == 2
    cluster.backends[1].client().persist("lives")
    assert len(set(rig.copies(a, "lives"))) == 2
    a.client().persist("lives")
    rig.wait_until(lambda: len(set(rig.copies(a, "lives"))) == 1, "equal copies again")
    assert a.admin("key", "lives")["replicas"][0]["digest"] != digest


# ---- full -----------------------------------------------------------------------------------------


def test_redis_full_backend_stops_delivery_and_goes_on():
    with rig.Cluster(3, store="redis") as c:
        a, b, _ = c.nodes
        own = c.backends[0].client()
        a.client().set("kept", "x")
        own.config_set("maxmemory", "1mb")
        assert a.client().set("mine", "x"), "the other replicas take it"
        for i in range(20):
            assert b.client().incr("n") == i + 1
        rig.wait_until(lambda: "refuses writes: -OOM" in a.log_text(), "node 1 says why")
        assert a.admin("hints")["own"]["pending"] > 0
        own.config_set("maxmemory", "0")
        c.wait_linked()
        c.wait_delivered()
        assert own.get("n") == b"20" and own.get("mine") == b"x"


def test_redis_full_backend_can_be_emptied(single):
    node, backend = single
    c = node.client()
    pipe = c.pipeline(transaction=False)
    for i in range(100):
        pipe.set(f"k{i}", i)
    pipe.rpush("l", 1, 2, 3)
    pipe.execute()
    backend.client().config_set("maxmemory", "1mb")
    pipe = c.pipeline(transaction=False)
    for i in range(50):
        pipe.delete(f"k{i}")
    pipe.set("k", "v")
    pipe.lpop("l", 2)
    pipe.execute_command("LPOP", "none", 1)
    pipe.getdel("k99")
    pipe.hdel("k98", "f")
    pipe.expire("k97", 1000)
    answers = pipe.execute(raise_on_error=False)
    assert answers[:50] == [1] * 50
    assert str(answers[50]).startswith("OOM") and str(answers[54]).startswith("WRONGTYPE")
    assert [answers[i] for i in (51, 52, 53, 55)] == [[b"1", b"2"], None, b"99", True]
    assert c.get("k96") == b"96" and is_ready(node)
    # and from a start
    node.kill()
    node.start()
    rig.wait_until(lambda: is_ready(node), "it is up in front of a full one")
    assert c.delete("k96") == 1 and c.get("k95") == b"95"
    with pytest.raises(redis.ResponseError, match="OOM"):
        c.set("k", "v")
    backend.client().config_set("maxmemory", "0")
    assert c.set("k", "v")


# ---- its state ------------------------------------------------------------------------------------


def misconfigure(backend):
    """A save that fails: a directory stands where the file should go."""
    own = backend.client()
    os.makedirs(os.path.join(backend.directory, "dump.rdb"))
    own.config_set("save", "10000 1")
    own.bgsave()
    rig.wait_until(lambda: own.info("persistence")["rdb_last_bgsave_status"] == "err", "the save fails")


def save_again(backend):
    own = backend.client()
    os.rmdir(os.path.join(backend.directory, "dump.rdb"))
    own.bgsave()
    rig.wait_until(lambda: own.info("persistence")["rdb_last_bgsave_status"] == "ok", "the save works")


STATES = {
    "NOREPLICAS": (lambda b: b.client().config_set("min-replicas-to-write", 1),
                   lambda b: b.client().config_set("min-replicas-to-write", 0)),
    "READONLY": (lambda b: b.client().replicaof("127.0.0.1", "1"), lambda b: b.client().replicaof("NO", "ONE")),
    "MISCONF": (misconfigure, save_again),
}


@pytest.mark.parametrize("state", STATES)
def test_redis_state_is_said_and_heals(single, state):
    node, backend = single
    break_it, heal_it = STATES[state]
    break_it(backend)
    rig.wait_until(lambda: says_backend(node, state, "SET", "k", "v") or True, "the write that meets it says it")
    rig.wait_until(lambda: not_ready(node), "503")
    assert state in not_ready(node) or "role is slave" in not_ready(node)
    says_backend(node, "", "GET", "old")
    says_backend(node, "nothing was written", "SET", "k", "v")
    heal_it(backend)
    rig.wait_until(lambda: is_ready(node) and node.client().set("k", "v"), "it is back by itself")
    assert node.client().get("old") == b"value" and node.metrics()["dynomite_backend_errors_total"] > 0


def test_redis_state_takes_the_node_out_for_its_peers():
    with rig.Cluster(3, store="redis") as c:
        a, b, d = c.nodes
        own = c.backends[2].client()
        a.client().set("k", "v")
        own.replicaof("127.0.0.1", "1")
        for i in range(30):
            assert a.client().incr("n") == i + 1
        for node in (a, b):
            rig.wait_until(lambda n=node: "DOWN" in n.states_of_peers(), "node 3 is DOWN for its peers")
        assert a.pending() > 0
        assert d.client().get("k") == b"v", "reads go to another replica"
        own.replicaof("NO", "ONE")
        c.wait_linked()
        c.wait_delivered()
        assert own.get("n") == b"30"


class SlowLoader(rig.RedisServer):
    """Takes seconds to load what it has."""

    def start_slowly(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", self.directory, "--save", "",
             "--appendonly", "yes", "--logfile", "redis.log", "--key-load-delay", "3000",
             "--loading-process-events-interval-bytes", "1024"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def test_redis_that_hangs_when_the_node_stops():
    """What clients wait for is answered; nothing is closed without a word."""
    with rig.Cluster(2, store="redis", flags={"gos-interval": "1000", "timeout": "30000"}) as c:
        backend = c.backends[0].process.pid
        with Wire(c.nodes[0].client_port) as w:
            assert w.ask("SET", "k", "v") == b"+OK\r\n"
            os.kill(backend, signal.SIGSTOP)
            try:
                w.send(command("INCR", "n") + command("GET", "other") + command("MGET", "a", "b"))
                c.nodes[0].stop()
                answers = [w.reply() for _ in range(3)]
                assert answers[0] == b"-TIMEOUT this node stops; the write may still take effect\r\n"
                assert all(re.match(rb"-|\$|\*", a) for a in answers[1:]), answers
                assert w.reply() == b""
            finally:
                os.kill(backend, signal.SIGCONT)


def test_redis_loading(single):
    node, backend = single
    c = node.client()
    for i in range(0, 600, 100):
        c.mset({f"k{n}": "v" * 100 for n in range(i, i + 100)})
    backend.client().bgrewriteaof()
    rig.wait_until(lambda: not backend.client().info("persistence")["aof_rewrite_in_progress"], "one file")
    backend.kill()
    backend.__class__ = SlowLoader
    backend.start_slowly()
    rig.wait_until(lambda: "loading" in (not_ready(node) or ""), "503 while it loads")
    says_backend(node, "loading", "GET", "k1")
    rig.wait_until(lambda: is_ready(node), "it has loaded")
    assert c.get("k599") == b"v" * 100


# ---- users, passwords, addresses ------------------------------------------------------------------


def with_password(node, password, user=None):
    node.stop()
    node.flags["backend-password"] = password
    if user:
        node.flags["backend-user"] = user
    node.start()


def test_redis_password(single):
    node, backend = single
    backend.client().config_set("requirepass", "right")
    node.stop()
    node.start()
    rig.wait_until(lambda: "NOAUTH" in (not_ready(node) or ""), "the reason without a password")
    says_backend(node, "NOAUTH", "GET", "old")
    with_password(node, "wrong")
    rig.wait_until(lambda: "WRONGPASS" in (not_ready(node) or ""), "the reason of a wrong one")
    says_backend(node, "WRONGPASS", "SET", "k", "v")
    assert "right" not in node.log_text() and "wrong" not in not_ready(node).replace("WRONGPASS", "")
    own = redis.Redis(unix_socket_path=backend.path, password="right")
    own.config_set("requirepass", "wrong")
    rig.wait_until(lambda: is_ready(node) and node.client().set("k", "v"), "it is right now")
    assert node.client().get("old") == b"value"


def test_redis_user(single):
    node, backend = single
    own = backend.client()
    own.execute_command("ACL", "SETUSER", "dyn", "on", ">secret", "~*", "+@all", "-@dangerous", "+info", "-getdel")
    own.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-multi")
    with_password(node, "secret", "dyn")
    rig.wait_until(lambda: is_ready(node), "it is up")
    assert node.client().set("k", "v") and node.client().get("k") == b"v"
    assert b"user=dyn" in own.execute_command("CLIENT", "LIST")
    with pytest.raises(redis.ResponseError, match="NOPERM|permission"):
        node.client().getdel("k")   # its user may not: the command's own error
    assert node.client().incr("n") == 1 and is_ready(node)
    # few rights: some keys and the node's own
    own.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~app:*", "~__dynomited:*", "+@all", "-@dangerous", "+info")
    with_password(node, "secret", "few")
    rig.wait_until(lambda: is_ready(node), "it is up")
    assert node.client().set("app:k", "v") and node.client().get("app:k") == b"v" and node.client().incr("app:n") == 1
    for line in (["SET", "k", "v"], ["GET", "k"], ["MGET", "app:k", "k"]):
        with pytest.raises(redis.ResponseError, match="NOPERM|permission"):
            node.client().execute_command(*line)
    assert is_ready(node)
    with_password(node, "secret", "limited")
    rig.wait_until(lambda: "NOPERM" in (not_ready(node) or "") or "permission" in (not_ready(node) or ""),
                   "without MULTI it can't be our backend")


class TcpServer(rig.RedisServer):
    def __init__(self, directory, name, port):
        super().__init__(directory, name)
        self.port = port

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", "",
             "--logfile", "redis.log"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        rig.wait_until(self.client().ping, "redis-server answers")

    def client(self):
        return redis.Redis(port=self.port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_redis_over_tcp(host):
    c = rig.Cluster(1, store="redis")
    c.backends[0] = TcpServer(c.directory, "node1", rig.free_ports(1)[0])
    c.nodes[0].flags["servers"] = f"{host}:{c.backends[0].port}:1"
    with c:
        n = c.nodes[0]
        rig.wait_until(lambda: is_ready(n), "it is up")
        assert n.client().incr("n") == 1
        c.backends[0].kill()
        rig.wait_until(lambda: not_ready(n), "it is gone")
        c.backends[0].start()
        rig.wait_until(lambda: n.client().incr("n") == 1, "it is back, empty")


# ---- one that can't be it -------------------------------------------------------------------------


def test_redis_too_old_at_start(tmp_path):
    c = rig.Cluster(1, directory=str(tmp_path), store="redis")
    node = c.nodes[0]
    path = str(tmp_path / "old.sock")
    node.flags["servers"] = path + ":1"
    old = OldServer(path, "5.0.7")
    done = subprocess.run(node.arguments(), capture_output=True, timeout=20)
    old.close()
    assert done.returncode == 2
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1 and "5.0.7" in lines[0] and "6.2 or newer" in lines[0], lines


def test_redis_too_old_later():
    c = rig.Cluster(1, store="redis")
    path = os.path.join(c.directory, "old.sock")
    c.nodes[0].flags["servers"] = path + ":1"
    with c:
        n = c.nodes[0]
        assert not_ready(n)
        old = OldServer(path, "6.0.16")
        rig.wait_until(lambda: "6.0.16" in (not_ready(n) or ""), "it says what it found")
        says_backend(n, "its version is 6.0.16; allowed: 6.2 or newer", "GET", "k")
        assert n.client().ping()
        old.close()


def test_redis_eviction_is_warned_about():
    with rig.Cluster(1, store="redis") as c:
        n = c.nodes[0]
        assert "maxmemory-policy" not in n.log_text()
        n.stop()
        c.backends[0].client().config_set("maxmemory-policy", "volatile-lru")
        n.start()
        rig.wait_until(lambda: is_ready(n), "it is up")
        assert "maxmemory-policy" not in n.log_text(), "what has no lifetime isn't evicted"
        n.stop()
        c.backends[0].client().config_set("maxmemory-policy", "allkeys-lru")
        n.start()
        rig.wait_until(lambda: "maxmemory-policy" in n.log_text(), "it warns")


def test_redis_of_two_nodes():
    """Both say so, and nobody's log is flooded."""
    c = rig.Cluster(2, store="redis")
    c.nodes[1].flags["servers"] = c.nodes[0].flags["servers"]
    with c:
        stop = threading.Event()

        def write(node):
            client = node.client()
            while not stop.is_set():
                try:
                    client.incr("n")
                except redis.ResponseError:
                    pass

        threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in c.nodes]
        for t in threads:
            t.start()
        try:
            for n in c.nodes:
                rig.wait_until(lambda n=n: "second dynomited" in n.log_text(), "it meets the other's writes")
            rig.wait_until(lambda: any("each node needs one of its own" in n.log_text() for n in c.nodes), "a warning")
            for n in c.nodes:
                assert n.log_text().count("second dynomited") < 20
        finally:
            stop.set()
            for t in threads:
                t.join()


# ---- gone -----------------------------------------------------------------------------------------


def test_redis_unreachable_at_start():
    with rig.Cluster(1, store="redis") as c:
        n = c.nodes[0]
        n.stop()
        c.backends[0].kill()
        n.start()
        with pytest.raises(redis.ResponseError, match="BACKEND"):
            n.client().get("k")
        with pytest.raises(redis.ResponseError, match="BACKEND"):
            n.client().set("k", "v")
        with pytest.raises(OSError):
            n.http("/readyz")
        c.backends[0].start()
        rig.wait_until(lambda: n.http("/readyz") and n.client().set("k", "v"), "it is ready again")
