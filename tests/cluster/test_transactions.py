"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: byte for byte as a redis-server, and as one on all replicas."""
import random
import threading
import time

import pytest
import redis
import rig
from wire import Wire, command

EVERYWHERE = [("redis", 1), ("redis", 3), ("embedded", 1), ("embedded", 3)]


@pytest.fixture(scope="module", params=EVERYWHERE, ids=[f"{s}-{n}" for s, n in EVERYWHERE])
def cluster(request):
    store, n = request.param
    with rig.Cluster(n, store=store) as c:
        c.store = store
        yield c


@pytest.fixture(scope="module", params=["redis", "embedded"])
def three(request):
    with rig.Cluster(3, store=request.param) as c:
        c.store = request.param
        yield c


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("oracle")), "oracle")
    server.start()
    yield server
    server.kill()


# ---- byte for byte ----------------------------------------------------------------------------------

STORIES = """
MULTI | SET a 1 | INCR a | GET a | EXEC | GET a
MULTI | EXEC
MULTI | DISCARD | EXEC
EXEC
DISCARD
UNWATCH
MULTI | MULTI | SET a 1 | EXEC
MULTI | WATCH a | SET a 2 | EXEC | GET a
MULTI | SET a 1 | DISCARD | GET a
MULTI | SET a | SET a 1 | EXEC | GET a
MULTI | NOSUCH a | SET a 1 | EXEC | GET a
MULTI x
MULTI | EXEC x | SET a 3 | EXEC | GET a
EXEC x
WATCH
UNWATCH x
SET a x | MULTI | INCR a | APPEND a y | GET a | STRLEN a | EXEC | GET a
MULTI | SET a 1 EX 0 | SET a 1 FOO | EXPIRE a x | SET a 5 | EXEC | GET a
MULTI | SET a 1 EX 1000 | TTL a | PERSIST a | TTL a | EXEC
MULTI | MSET a 1 b 2 c 3 | DEL a b nokey | MGET a b c | EXISTS a b c c | UNLINK c | EXEC
MULTI | PING | ECHO hello | SELECT 0 | UNWATCH | CLIENT GETNAME | PING x | EXEC
MULTI | PING | SET a 1 | ECHO x | GET a | EXEC
MULTI | RESET | EXEC
WATCH a | MULTI | SET a 1 | EXEC | GET a
WATCH a | SET a 5 | MULTI | SET a 6 | EXEC | GET a
WATCH a b | SET b 5 | MULTI | EXEC | MULTI | SET a 6 | EXEC | GET a
WATCH a | UNWATCH | SET a 5 | MULTI | GET a | EXEC
WATCH a | SET a 5 | MULTI | DISCARD | MULTI | GET a | EXEC
WATCH a | WATCH a | GET a | MULTI | INCR a | INCR a | EXEC
WATCH a | MULTI | EXEC
WATCH a | MULTI | GET a | EXEC
WATCH a | MULTI | SET a | EXEC | SET a 7 | MULTI | GET a | EXEC
SET a 1 | WATCH a | DEL a | MULTI | SET a 2 | EXEC | GET a
WATCH a | RESET | SET a 3 | MULTI | GET a | EXEC
""".strip().splitlines()

REDIS_STORIES = """
MULTI | SET a 1 | LPUSH a 1 | INCR a | EXEC | GET a
MULTI | RPUSH l a b c | LRANGE l 0 -1 | LPOP l | EXEC | LRANGE l 0 -1
MULTI | HSET h f 1 g 2 | HINCRBY h f 5 | HGETALL h | EXEC
MULTI | SADD s a | SISMEMBER s a | SPOP s | SCARD s | EXEC
MULTI | XADD x 1-1 f v | XLEN x | XRANGE x - + | EXEC
MULTI | ZADD z 1 a 2 b | ZRANGE z 0 -1 WITHSCORES | ZINCRBY z 5 a | EXEC
MULTI | EVAL return{KEYS[1],redis.call('incr',KEYS[1])} 1 a | INCR a | EXEC | GET a
MULTI | EVAL return 1 a | GET a | EXEC
MULTI | OBJECT FOO a | EXEC
MULTI | SET a 1 | RENAME a b | GET b | COPY b c | EXEC | GET c
MULTI | MSETNX a 1 b 2 | MSETNX a 1 c 2 | EXEC
WATCH l | RPUSH l a | MULTI | RPUSH l b | EXEC | LRANGE l 0 -1
MULTI | SETBIT a 7 1 | GET a | SET a x | GETDEL a | EXEC
""".strip().splitlines()


def tell(wire, story):
    return [wire.ask(*line.split()) for line in story.split(" | ")]


def wipe(wire, store):
    del store
    for key in ("a", "b", "c", "l", "h", "s", "x", "z"):
        wire.ask("DEL", key)


def test_transactions_answer_as_redis_does(cluster, oracle):
    stories = STORIES + (REDIS_STORIES if cluster.store == "redis" else [])
    with Wire(oracle.path) as other:
        for i, story in enumerate(stories):
            with Wire(cluster.nodes[i % len(cluster.nodes)].client_port) as here:
                for wire in (here, other):
                    wipe(wire, cluster.store)
                assert tell(here, story) == tell(other, story), story


def test_transactions_come_pipelined(cluster, oracle):
    rng = random.Random(42)
    lines = []
    for i in range(150):
        lines.append("MULTI")
        for _ in range(rng.randrange(6)):
            key = rng.choice("abc")
            lines.append(rng.choice([f"SET {key} {i}", f"INCR {key}", f"APPEND {key} 1", f"GET {key}", f"DEL {key} b", "PING",
                                     f"SETRANGE {key} 2 x", f"GETDEL {key}", f"MGET a {key}", f"SET {key}" if rng.random() < 0.1 else f"STRLEN {key}"]))
        lines.append(rng.choice(["EXEC", "EXEC", "EXEC", "DISCARD"]))
        lines.append(f"GET {rng.choice('abc')}")
    replies = []
    for where in (oracle.path, cluster.nodes[0].client_port):
        with Wire(where) as wire:
            wipe(wire, cluster.store)
            wire.send(b"".join(command(*line.split()) for line in lines))
            replies.append([wire.reply() for _ in lines])
    for line, here, other in zip(lines, replies[1], replies[0]):
        assert here == other, line


def test_another_client_breaks_a_watch(cluster):
    for i, other in enumerate(cluster.nodes):
        key = f"watched{i}"
        with Wire(cluster.nodes[-1].client_port) as w, other.client() as o:
            o.set(key, "1")
            for node in cluster.nodes:
                rig.wait_until(lambda n=node: n.client().get(key) == b"1", "the key is there")
            assert w.ask("WATCH", key) == b"+OK\r\n"
            assert w.ask("GET", key) == b"$1\r\n1\r\n"
            o.set(key, "2")
            for node in cluster.nodes:  # what is on its way to the one who compares isn't seen there yet
                rig.wait_until(lambda n=node: n.client().get(key) == b"2", "it was written")
            w.ask("MULTI")
            w.ask("SET", key, "3")
            assert w.ask("EXEC") == b"*-1\r\n"
            assert o.get(key) == b"2"


def test_watching_what_lapses(cluster):
    with Wire(cluster.nodes[0].client_port) as w:
        w.ask("SET", "lapses", "1", "PX", "150")
        w.ask("WATCH", "lapses")
        assert w.ask("GET", "lapses") in (b"$1\r\n1\r\n", b"$-1\r\n")
        time.sleep(0.25)  # the key's lifetime
        w.ask("MULTI")
        w.ask("SET", "lapses", "2")
        assert w.ask("EXEC") == b"*-1\r\n"
        assert w.ask("GET", "lapses") == b"$-1\r\n"


def test_python_pipelines_and_helpers(cluster):
    client = cluster.nodes[0].client()
    client.delete("p", "q", "counter")
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("p", 1).incr("p").get("p").mset({"q": 1, "p": 7}).mget("p", "q").execute() == [True, 2, b"2", True, [b"7", b"1"]]
    with client.pipeline(transaction=True) as pipe, pytest.raises(redis.ResponseError, match="not an integer"):
        pipe.set("p", "x").incr("p").execute()

    def add(pipe):
        value = int(pipe.get("counter") or 0)
        pipe.multi()
        pipe.set("counter", value + 1)
    for _ in range(5):
        client.transaction(add, "counter")
    assert client.get("counter") == b"5"


def test_a_transaction_has_bounds(cluster):
    with Wire(cluster.nodes[0].client_port) as w:
        w.ask("SET", "kept", "1")
        w.ask("MULTI")
        line = command("SET", "kept", b"x" * (16 << 20))
        answers = set()
        for _ in range(40):
            w.send(line)
            answers.add(w.reply())
        assert b"+QUEUED\r\n" in answers
        assert any(a.startswith(b"-ERR the transaction is too large: more than 541065216 bytes") for a in answers), answers
        assert w.ask("EXEC") == b"-EXECABORT Transaction discarded because of previous errors.\r\n"
        assert w.ask("GET", "kept") == b"$1\r\n1\r\n"


def test_what_isnt_possible_inside_says_why(cluster):
    with Wire(cluster.nodes[0].client_port) as w:
        for words, why in ((("SCAN", "0"), b"whole ring"), (("SUBSCRIBE", "c"), b"messages between clients")):
            w.ask("MULTI")
            answer = w.ask(*words)
            assert answer.startswith(b"-ERR") and why in answer
            assert w.ask("EXEC").startswith(b"-EXECABORT")


def test_many_commands_in_one(cluster):
    with cluster.nodes[0].client() as c, c.pipeline(transaction=True) as pipe:
        for i in range(3000):
            pipe.set(f"many{i}", i)
        assert pipe.execute() == [True] * 3000
        for i in range(3000):
            pipe.get(f"many{i}")
        assert pipe.execute() == [b"%d" % i for i in range(3000)]


# ---- as one on all replicas -------------------------------------------------------------------------


def value_of(node, keys):
    """What one transaction of reads says of all of them: one value."""
    with Wire(node.client_port) as w:
        w.send(command("MULTI") + b"".join(command("GET", k) for k in keys) + command("EXEC"))
        replies = [w.reply() for _ in range(len(keys) + 2)]
    return replies[-1]


def sets(keys, value):
    return command("MULTI") + b"".join(command("SET", k, value) for k in keys) + command("EXEC")


def test_hints_bring_a_transaction_as_one(three):
    keys = [f"hinted{i}" for i in range(20)]
    a = three.nodes[0]
    three.nodes[2].kill()
    rig.down(a)
    with Wire(a.client_port) as w:
        for value in range(30):
            w.send(sets(keys, value) + command("MULTI") + command("INCR", "hinted-sum") + command("INCR", "hinted-sum") + command("EXEC"))
            for _ in range(len(keys) + 2 + 4):
                w.reply()
    assert a.pending() == 60
    seen = set()
    three.nodes[2].start(wait=False)
    rig.wait_until(lambda: three.nodes[2].alive() and three.nodes[2].client().ping(), "it is back")

    def delivered():
        reply = value_of(three.nodes[2], keys)
        seen.add(reply)
        return a.pending() == 0
    rig.wait_until(delivered, "the hints are delivered")
    three.wait_linked()
    for reply in seen:
        parts = reply.split(b"\r\n")[1:-1]
        assert len(set(zip(parts[::2], parts[1::2]))) == 1 or set(parts) == {b"$-1"} or reply[:1] == b"-", reply
    for node in three.nodes:
        assert node.client().get("hinted-sum") == b"60"


def test_watch_counts_exactly(three):
    """Many clients on all nodes increment one counter by WATCH, GET, MULTI, SET, EXEC."""
    each, errors, tries = 8, [], [0]
    three.nodes[0].client().set("exact", 0)
    for node in three.nodes:
        rig.wait_until(lambda n=node: n.client().get("exact") == b"0", "all have it")

    def increment(node):
        try:
            with Wire(node.client_port) as w:
                for _ in range(each):
                    while True:
                        tries[0] += 1
                        assert w.ask("WATCH", "exact") == b"+OK\r\n"
                        value = int(w.ask("GET", "exact").split(b"\r\n")[1])
                        w.send(command("MULTI") + command("SET", "exact", value + 1) + command("EXEC"))
                        reply = [w.reply() for _ in range(3)][-1]
                        if reply == b"*1\r\n+OK\r\n":
                            break
                        assert reply == b"*-1\r\n", reply
        except Exception as error:  # told by the main thread
            errors.append(error)
    threads = [threading.Thread(target=increment, args=(three.nodes[i % 3],)) for i in range(9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    for node in three.nodes:
        rig.wait_until(lambda n=node: n.client().get("exact") == b"%d" % (9 * each), f"9 x {each} were counted")
