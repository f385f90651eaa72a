"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: byte for byte as a redis-server, and as one on all replicas."""
import os
import random
import signal
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
    if cluster.store == "redis":  # the lock is released by a script
        with client.lock("lock", timeout=10):
            assert client.get("lock")
        assert client.get("lock") is None


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


# ---- whoever is killed ------------------------------------------------------------------------------


class Transfers(threading.Thread):
    """One client after the other sets all keys to the same new value, and increments its counter twice, in one
    transaction; notes what became of each."""

    def __init__(self, cluster, keys, counter):
        super().__init__()
        self.cluster, self.keys, self.counter = cluster, keys, counter
        self.over = threading.Event()
        self.done = self.unsure = 0
        self.error = None

    def run(self):
        value = 0
        while not self.over.is_set():
            node = self.cluster.nodes[value % 2]  # the third one is killed
            value += 1
            try:
                with Wire(node.client_port) as w:
                    w.send(command("MULTI") + b"".join(command("SET", k, f"{self.counter}.{value}") for k in self.keys) +
                           command("INCR", self.counter) + command("INCR", self.counter) + command("EXEC"))
                    reply = [w.reply() for _ in range(len(self.keys) + 4)][-1]
            except OSError:
                reply = b""
            if reply[:1] == b"*":
                self.done += 1
                if not reply.count(b"+OK\r\n") == len(self.keys):
                    self.error = reply
            elif b"nothing was written" not in reply:
                self.unsure += 1


class Watchers(threading.Thread):
    """Reads all keys in one transaction, of one store itself or of one node: there is never more than one value."""

    def __init__(self, where, keys):
        super().__init__()
        self.where, self.keys = where, keys
        self.over = threading.Event()
        self.seen, self.torn = set(), []

    def run(self):
        while not self.over.is_set():
            try:
                with Wire(self.where()) as w:
                    w.send(command("MULTI") + b"".join(command("GET", k) for k in self.keys) + command("EXEC"))
                    reply = [w.reply() for _ in range(len(self.keys) + 2)][-1]
            except OSError:
                time.sleep(0.01)
                continue
            if reply[:1] != b"*" or reply == b"*-1\r\n":
                continue
            values = reply.split(b"\r\n", 1)[1]
            parts = {values[i * len(values) // len(self.keys):(i + 1) * len(values) // len(self.keys)] for i in range(len(self.keys))}
            self.seen.add(values)
            if len(parts) > 1:
                self.torn.append(reply)


def run_while(cluster, what, rounds):
    """Transactions, and readers at every store, while `what` is done again and again."""
    keys, counters = [f"one{i}" for i in range(7)], ("count1", "count2")
    writers = [Transfers(cluster, keys, counter) for counter in counters]
    ports = [lambda n=n: n.client_port for n in cluster.nodes] if cluster.store == "embedded" else [lambda b=b: b.path for b in cluster.backends]
    readers = [Watchers(port, keys) for port in ports]
    for thread in writers + readers:
        thread.start()
    try:
        for _ in range(rounds):
            before = [w.done for w in writers]
            what()
            rig.wait_until(lambda: all(w.done > b for w, b in zip(writers, before)), "transactions go on", 30)
    finally:
        for w in writers:
            w.over.set()
        for w in writers:
            w.join()
    cluster.wait_linked()
    cluster.wait_delivered(40)
    for r in readers:
        r.over.set()
    for r in readers:
        r.join()
        assert r.seen and not r.torn, r.torn[:3]
    for w in writers:
        assert w.error is None
        values = set()

        def same():
            values.clear()
            values.update(n.client().get(w.counter) for n in cluster.nodes)
            return len(values) == 1
        rig.wait_until(same, "all have counted the same")
        count = int(values.pop())
        assert count % 2 == 0, "half a transaction"
        assert 2 * w.done <= count <= 2 * (w.done + w.unsure), (count, w.done, w.unsure)


def test_a_killed_replica_has_all_of_a_transaction_or_nothing(three):
    node = three.nodes[2]

    def kill():
        node.kill()
        node.start(wait=False)
        rig.wait_until(lambda: node.alive() and node.client().ping(), "it is back")
    run_while(three, kill, 2)


def test_a_killed_backend_has_all_of_a_transaction_or_nothing():
    with rig.Cluster(3, store="redis") as c:
        c.store = "redis"

        def kill():
            c.backends[2].kill()
            c.backends[2].start()
        run_while(c, kill, 2)


# ---- owners, levels, room ---------------------------------------------------------------------------


def test_keys_of_several_owners_are_refused():
    places = [("dc1", "rack1", "0"), ("dc1", "rack1", "2147483648"), ("dc1", "rack2", "0"), ("dc1", "rack2", "2147483648")]
    with rig.Cluster(places=places, flags={"hash-tag": "{}"}) as c, Wire(c.nodes[0].client_port) as w:
        replies = {}
        for i in range(20):
            w.ask("MULTI")
            w.ask("SET", f"apart{i}", "1")
            w.ask("SET", "apart", "1")
            replies[i] = w.ask("EXEC")
            assert replies[i] in (b"*2\r\n+OK\r\n+OK\r\n", b"-CROSSSLOT Keys in request don't hash to the same node\r\n")
        assert len(set(replies.values())) == 2
        refused = next(i for i in replies if replies[i][:1] == b"-")
        assert w.ask("GET", f"apart{refused}") == b"$-1\r\n"
        assert w.ask("WATCH", "apart", f"apart{refused}").startswith(b"-CROSSSLOT")
        assert w.ask("WATCH", "apart") == b"+OK\r\n" and w.ask("WATCH", f"apart{refused}").startswith(b"-CROSSSLOT")
        assert w.ask("UNWATCH") == b"+OK\r\n"
        for node in c.nodes:  # whoever owns them, whoever is asked
            with Wire(node.client_port) as any_:
                assert any_.ask("WATCH", "{t}1") == b"+OK\r\n"
                any_.ask("MULTI")
                any_.ask("SET", "{t}1", node.name)
                any_.ask("SET", "{t}2", node.name)
                any_.ask("MGET", "{t}1", "{t}2")
                name = b"$5\r\n%s\r\n" % node.name.encode()
                assert any_.ask("EXEC") == b"*3\r\n+OK\r\n+OK\r\n*2\r\n" + name + name
                any_.ask("MULTI")
                any_.ask("GET", "{t}1")
                any_.ask("GET", "{t}2")
                assert any_.ask("EXEC") == b"*2\r\n" + name + name


@pytest.mark.parametrize("store", ["redis", "embedded"])
def test_a_transaction_has_the_strictest_level_of_its_keys(store):
    flags = {"bucket-types": ["safe:DC_QUORUM:DC_SAFE_QUORUM"]}
    with rig.Cluster(3, store=store, flags=flags) as c, Wire(c.nodes[0].client_port) as w:
        def run(*lines):
            w.send(command("MULTI") + b"".join(command(*line.split()) for line in lines) + command("EXEC"))
            return [w.reply() for _ in range(len(lines) + 2)][-1]
        assert run("SET safe:a 1", "SET plain 1") == b"*2\r\n+OK\r\n+OK\r\n"
        assert run("GET safe:a", "GET plain") == b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"
        for node in c.nodes[1:]:
            node.kill()
        rig.down(c.nodes[0], 2)
        refused = run("SET plain 2", "SET safe:a 2")
        assert refused.startswith(b"-NOQUORUM 1 of 2 needed replicas answered (DC_SAFE_QUORUM write); nothing was written"), refused
        assert w.ask("GET", "plain") == b"$1\r\n1\r\n"
        assert run("GET plain", "GET safe:a").startswith(b"-NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM read)")
        assert run("SET plain 3", "GET plain") == b"*2\r\n+OK\r\n$1\r\n3\r\n"


def test_a_full_embedded_store_takes_all_or_nothing():
    with rig.Cluster(1, flags={"store-max-bytes": "2097152"}) as c, Wire(c.nodes[0].client_port) as w:
        value, taken = b"x" * 100000, 0
        for i in range(60):
            w.send(command("MULTI") + command("SET", "small", i) + command("SET", f"large{i}", value) + command("EXEC"))
            reply = [w.reply() for _ in range(4)][-1]
            if reply.startswith(b"-OOM"):
                break
            assert reply == b"*2\r\n+OK\r\n+OK\r\n"
            taken = i
        assert reply.startswith(b"-OOM command not allowed: the embedded store is full") and taken > 3
        assert w.ask("GET", "small") == b"$%d\r\n%d\r\n" % (len(str(taken)), taken)
        w.send(command("MULTI") + command("DEL", *[f"large{i}" for i in range(taken + 1)]) + command("SET", "small", "x") + command("EXEC"))
        assert [w.reply() for _ in range(4)][-1] == b"*2\r\n:%d\r\n+OK\r\n" % (taken + 1)


def test_a_full_redis_takes_all_or_nothing():
    with rig.Cluster(1, store="redis") as c, Wire(c.nodes[0].client_port) as w:
        w.ask("SET", "before", "1")
        c.backends[0].client().config_set("maxmemory", "1")
        w.send(command("MULTI") + command("DEL", "before") + command("SET", "a", "1") + command("EXEC"))
        reply = [w.reply() for _ in range(4)][-1]
        assert reply.startswith(b"-EXECABORT Transaction discarded because of: OOM command not allowed"), reply
        assert w.ask("GET", "before") == b"$1\r\n1\r\n"


def test_transactions_in_resp3(cluster, oracle):
    if cluster.store != "redis":
        pytest.skip("maps, sets and doubles are Redis's")
    stories = ["MULTI | HSET h f 1 | HGETALL h | GET nokey | DEL h nokey | PING | EXEC", "MULTI | SADD s a | SMEMBERS s | ZADD z 1.5 m | ZSCORE z m | EXEC",
               "WATCH a | SET a 1 | MULTI | GET a | EXEC", "MULTI | SET a | EXEC"]
    with Wire(cluster.nodes[0].client_port) as here, Wire(oracle.path) as other:
        for wire in (here, other):
            wire.ask("HELLO", "3")
        for story in stories:
            for wire in (here, other):
                wipe(wire, cluster.store)
            assert tell(here, story) == tell(other, story), story


# ---- effects that only the store knows --------------------------------------------------------------


def test_effects_inside_are_the_same_everywhere():
    with rig.Cluster(3, store="redis") as c:
        c.nodes[0].client().sadd("pool", *range(50))
        for round_, node in enumerate(c.nodes, 1):  # one coordinator after the other
            for i in range(4):
                with node.client().pipeline(transaction=True) as pipe:
                    popped, entry, _, _ = pipe.spop("pool").xadd("stream", {"n": i}).incr("popped").eval(
                        "return redis.call('SET', KEYS[1], redis.call('TIME')[2])", 1, "when").execute()
                    assert popped is not None and entry

            def same(want=4 * round_):
                found = [(b.client().smembers("pool"), b.client().xrange("stream"), b.client().get("popped"), b.client().get("when")) for b in c.backends]
                return found[0] == found[1] == found[2] and len(found[0][1]) == want and found[0][2] == b"%d" % want and len(found[0][0]) == 50 - want
            rig.wait_until(same, "all have the same")


def test_the_next_replica_compares_when_the_first_is_gone(three):
    key = "next"
    with Wire(three.nodes[2].client_port) as w:
        def add(value):
            w.send(command("MULTI") + command("SET", key, value) + command("EXEC"))
            return [w.reply() for _ in range(3)][-1]
        assert w.ask("WATCH", key) == b"+OK\r\n"
        assert w.ask("GET", key) == b"$-1\r\n" and add(1) == b"*1\r\n+OK\r\n"
        assert w.ask("WATCH", key) == b"+OK\r\n"
        assert w.ask("GET", key) == b"$1\r\n1\r\n"
        three.nodes[0].kill()  # the first one
        for node in three.nodes[1:]:
            rig.down(node)
        assert add(2) == b"*-1\r\n"
        assert w.ask("WATCH", key) == b"+OK\r\n"
        assert w.ask("GET", key) == b"$1\r\n1\r\n" and add(2) == b"*1\r\n+OK\r\n"
        three.nodes[0].start(wait=False)
        three.wait_linked()
        three.wait_delivered()
        for node in three.nodes:
            rig.wait_until(lambda n=node: n.client().get(key) == b"2", "all have it")
        assert w.ask("WATCH", key) == b"+OK\r\n"
        assert w.ask("GET", key) == b"$1\r\n2\r\n" and add(3) == b"*1\r\n+OK\r\n"


def test_what_may_be_watched_has_bounds(cluster):
    """The keys of one client don't hold up the others of its worker."""
    with Wire(cluster.nodes[0].client_port) as w, Wire(cluster.nodes[0].client_port) as other:
        keys = [f"{{many}}{i}" for i in range(10000)]
        too_much = b"-ERR too much to watch: more than 10000 keys or 270532608 bytes of them\r\n"
        assert w.ask("WATCH", *keys, "{many}x") == too_much
        assert w.ask("WATCH", *keys[5000:]) == w.ask("WATCH", *keys[:5000]) == b"+OK\r\n"
        if not (cluster.store == "redis" and len(cluster.nodes) == 1):  # it watches by itself
            assert w.ask("WATCH", "{many}x") == too_much
        assert other.ask("SET", keys[7], "1") == b"+OK\r\n"
        assert w.ask("MULTI") + w.ask("GET", keys[8]) + w.ask("EXEC") == b"+OK\r\n+QUEUED\r\n*-1\r\n"
        assert w.ask("WATCH", keys[8]) + w.ask("MULTI") + w.ask("GET", keys[8]) == b"+OK\r\n+OK\r\n+QUEUED\r\n"
        assert w.ask("EXEC") == b"*1\r\n$-1\r\n"


def test_a_node_ends_while_its_redis_holds_transactions_back():
    """Those that watch by connections of their own: EXEC gets an answer, whatever it is, and the end is clean."""
    with rig.Cluster(1, store="redis") as c:
        node, backend = c.nodes[0], c.backends[0]
        ws = [Wire(node.client_port) for _ in range(3)]
        for w in ws:
            assert w.ask("WATCH", "a") + w.ask("MULTI") + w.ask("INCR", "a") == b"+OK\r\n+OK\r\n+QUEUED\r\n"
        os.kill(backend.process.pid, signal.SIGSTOP)
        for w in ws:
            w.send(command("EXEC"))
        ws.append(Wire(node.client_port))
        assert ws[-1].ask("CLIENT", "ID").startswith(b":")
        try:
            node.stop()
        finally:
            os.kill(backend.process.pid, signal.SIGCONT)
        for w in ws:
            w.close()
