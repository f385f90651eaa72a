"""A node without peers in front of a Redis: its workers hand what clients ask for to Redis as it came and in
the order in which it came, past the writer."""
import socket
import threading

import pytest
import redis
import rig
from wire import Wire, command


@pytest.fixture
def alone():
    with rig.Cluster(1, store="redis") as c:
        yield c.nodes[0], c.backends[0]


def test_a_connection_keeps_its_order(alone):
    """Reads and writes of one pipeline, of one key and of many."""
    pipe = alone[0].client().pipeline(transaction=False)
    expected = []
    for i in range(500):
        for words, answer in ((("SET", "k", i), True), (("INCR", "n"), i + 1), (("GET", "k"), b"%d" % i),
                              (("MSET", "a", i, "b", i + 1), True), (("MGET", "a", "none", "b"),
                                                                     [b"%d" % i, None, b"%d" % (i + 1)]),
                              (("RPUSH", "l", i), 1), (("LPOP", "l"), b"%d" % i), (("DEL", "a", "b", "none"), 2),
                              (("MGET", "a", "b"), [None, None]), (("EXISTS", "k", "n", "k", "none"), 3)):
            pipe.execute_command(*words)
            expected.append(answer)
    assert pipe.execute() == expected


def test_what_isnt_determined_by_its_arguments_runs(alone):
    c = alone[0].client()
    c.sadd("s", 1, 2, 3)
    assert c.spop("s") in (b"1", b"2", b"3") and c.scard("s") == 2
    assert c.xadd("st", {"f": "v"})


def test_lifetimes_are_those_that_the_client_gave(alone):
    node, backend = alone
    node.client().set("k", "v", ex=100)
    assert 90 < backend.client().ttl("k") <= 100
    with pytest.raises(redis.ResponseError, match="invalid expire time in 'set' command"):
        node.client().execute_command("SET", "k", "v", "EX", 0)


def test_a_full_redis_says_so_itself(alone):
    node, backend = alone
    backend.client().config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="^OOM "):
        node.client().set("k", "v")
    backend.client().config_set("maxmemory", 0)
    assert node.client().set("k", "v")
    assert node.client().get("k") == b"v"


def test_a_read_only_redis_is_a_backend_that_cant_serve(alone):
    node, backend = alone
    backend.client().execute_command("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(redis.ResponseError, match="^BACKEND .*nothing was written"):
        node.client().set("k", "v")
    backend.client().execute_command("REPLICAOF", "NO", "ONE")
    rig.wait_until(lambda: node.client().set("k", "w"), "the node writes again")


def test_a_backend_that_isnt_fit_takes_no_writes(alone):
    """A replica may take writes, and loses them at its next resynchronization."""
    node, backend = alone
    own = backend.client()
    own.execute_command("REPLICAOF", "127.0.0.1", 1)
    own.config_set("replica-read-only", "no")
    own.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def said():
        try:
            return node.client().set("k", "v") and None
        except redis.ResponseError as error:
            return str(error) if "role" in str(error) else None
    rig.wait_until(said, "the node doesn't take its Redis for one that keeps writes")
    own.delete("k")
    for _ in range(50):
        with pytest.raises(redis.ResponseError, match="^BACKEND .*role.*; nothing was written"):
            node.client().set("k", "v")
    assert not own.exists("k")
    own.execute_command("REPLICAOF", "NO", "ONE")
    rig.wait_until(lambda: node.client().set("k", "w"), "the node writes again")


class Silent:
    """Takes connections and passes them on to a Redis, until told to swallow what comes and then to hang up."""

    def __init__(self, path, backend):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.backend = backend
        self.swallow = threading.Event()
        self.swallowed = threading.Event()
        self.links = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.backend)
            self.links.append((near, far))
            threading.Thread(target=self.pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, False), daemon=True).start()

    def pump(self, source, to, from_node):
        while True:
            try:
                data = source.recv(65536)
                if not data:
                    break
                if from_node and self.swallow.is_set():
                    if b"lost-key" in data:
                        self.swallowed.set()
                    continue
                to.sendall(data)
            except OSError:
                break

    def hang_up(self):
        self.swallow.clear()
        for pair in self.links:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.links = []


def test_a_write_that_a_connection_took_along_is_said_to_be_unsure(tmp_path):
    with rig.Cluster(1, store="redis", directory=str(tmp_path)) as c:
        node, backend = c.nodes[0], c.backends[0]
        node.stop()
        path = str(tmp_path / "between.sock")
        between = Silent(path, backend.path)
        node.flags["servers"] = path + ":1"
        node.start()
        client = node.client()
        rig.wait_until(lambda: client.set("k", "v"), "the node reaches its Redis")
        between.swallow.set()
        answers = []

        def ask():
            try:
                client.execute_command("INCR", "lost-key")
            except redis.ResponseError as error:
                answers.append(str(error))
        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        assert between.swallowed.wait(10)
        between.hang_up()
        asker.join(10)
        assert answers and answers[0].startswith("BACKEND ") and "may still take effect" in answers[0]
        rig.wait_until(lambda: node.client().set("k", "w"), "the node writes again")
        assert backend.client().get("lost-key") is None


def test_many_keys_wait_for_the_writes_before_them():
    """With peers, writes go through the writer and reads don't: a command of many keys waits for all of them."""
    with rig.Cluster(2, store="redis") as c:
        client = c.nodes[0].client()
        for i in range(200):
            pipe = client.pipeline(transaction=False)
            pipe.sadd("a", f"a{i}")
            pipe.sadd("b", f"b{i}")
            pipe.sunion("c", "a", "b")
            pipe.srem("b", f"b{i}")
            pipe.sunion("c", "a", "b")
            answers = pipe.execute()
            assert {b"a%d" % i, b"b%d" % i} <= set(answers[2]) and b"b%d" % i not in answers[4], i


def count_up(port, name, stop, sure, unsure, done):
    """Pipelines of INCR, each value looked at by GET and MGET behind it, until told to stop. A key whose value isn't
    known any more isn't used again."""
    generation = 0
    with Wire(port) as w:
        while not stop.is_set():
            key = f"{name}:{generation}"
            w.send((command("INCR", key) + command("GET", key) + command("MGET", key, "none")) * 50)
            for _ in range(50):
                up, got, many = w.reply(), w.reply(), w.reply()
                if up[:1] == b":":
                    sure[key] = sure.get(key, 0) + 1
                    done.append(key)
                elif up.endswith(b"; the write may still take effect\r\n"):
                    unsure[key] = unsure.get(key, 0) + 1
                else:
                    assert up.endswith(b"; nothing was written\r\n"), up
                if up[:1] == b":" and not unsure.get(key):
                    value = b"$%d\r\n%d\r\n" % (len(str(sure[key])), sure[key])
                    assert up == b":%d\r\n" % sure[key]
                    assert got == value or got.startswith(b"-BACKEND "), got
                    assert many == b"*2\r\n" + value + b"$-1\r\n" or many.startswith(b"-BACKEND "), many
            generation += 1


def test_what_is_said_of_writes_is_true_while_connections_break(alone):
    node, backend = alone
    stop, failed, told, done = threading.Event(), [], [], []

    def run(name):
        sure, unsure = {}, {}
        told.append((sure, unsure))
        try:
            count_up(node.client_port, name, stop, sure, unsure, done)
        except (AssertionError, OSError) as error:
            failed.append(repr(error))
    threads = [threading.Thread(target=run, args=(f"counter{i}",)) for i in range(4)]
    for t in threads:
        t.start()
    own = backend.client()
    for _ in range(20):
        own.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        before = len(done)
        rig.wait_until(lambda n=before: failed or len(done) > n + 100, "it goes on")
    stop.set()
    for t in threads:
        t.join(20)
    assert not failed, failed
    for sure, unsure in told:
        for key in set(sure) | set(unsure):
            low, value = sure.get(key, 0), int(own.get(key) or 0)
            assert low <= value <= low + unsure.get(key, 0), (key, low, value, unsure.get(key))
