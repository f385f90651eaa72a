"""The node's own store as a replica: its Redis is killed, paused, full or set back under a node that goes on."""
import glob
import os
import random
import shutil
import signal
import threading

import pytest
import redis
import rig

KEYS = 20


def seeded():
    seed = int(os.environ.get("DYN_SEED", random.randrange(1 << 30)))
    rig.note(f"seed {seed} (DYN_SEED={seed} replays the workload)")
    return random.Random(seed)


class Client(threading.Thread):
    """Writes through one node, keys of its own, so that each reply is known beforehand; reads what it wrote. Every error
    counts."""

    def __init__(self, node, name, dice):
        super().__init__(daemon=True)
        self.client, self.name = node.client(), name
        self.dice = random.Random(dice.random())
        self.values, self.counters, self.lists = {}, {}, {}
        self.error = None
        self.ended = False
        self.done = 0

    def run(self):
        try:
            while not self.ended:
                self.one()
                self.done += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def expect(self, found, wanted, what):
        assert found == wanted, f"{what} of {self.name}: {found!r} instead of {wanted!r}"

    def one(self):
        c, i = self.client, self.dice.randrange(KEYS)
        value, counter, items = f"{self.name}v{i}", f"{self.name}c{i}", f"{self.name}l{i}"
        self.values[value] = b"%d" % self.done
        c.set(value, self.values[value])
        self.counters[counter] = self.counters.get(counter, 0) + 1
        self.expect(c.incr(counter), self.counters[counter], "INCR")
        self.lists.setdefault(items, []).insert(0, b"%d" % self.done)
        self.expect(c.lpush(items, self.done), len(self.lists[items]), "LPUSH")
        self.expect(c.get(value), self.values[value], "GET")
        self.expect(int(c.get(counter)), self.counters[counter], "GET")

    def check(self, own, where):
        for key, value in self.values.items():
            assert own.get(key) == value, f"{key} at {where}: {own.get(key)} instead of {value}"
        for key, n in self.counters.items():
            assert int(own.get(key) or 0) == n, f"{key} at {where}: {own.get(key)} instead of {n}"
        for key, items in self.lists.items():
            assert own.lrange(key, 0, -1) == items, f"{key} at {where}"


def id_of(node):
    return node.admin("status")["node"]["id"]


def own(node):
    return node.admin("hints")["own"]


def needs_repair(node):
    return node.admin("status")["node"]["needs_repair"]


class Load:
    """Clients at some nodes while the body runs; then everything is everywhere, once."""

    def __init__(self, cluster, dice, each=2, nodes=None):
        self.cluster = cluster
        self.clients = [Client(n, f"{n.name}.{i}.", dice) for n in nodes or cluster.nodes for i in range(each)]

    def __enter__(self):
        for c in self.clients:
            c.start()
        return self

    def goes_on(self, n=10):
        """Each client makes n rounds more, or says what is wrong."""
        before = [c.done for c in self.clients]
        rig.wait_until(lambda: any(c.error for c in self.clients) or
                       all(c.done >= b + n for c, b in zip(self.clients, before)), "the clients go on", 40)
        for c in self.clients:
            if c.error:
                raise c.error

    def __exit__(self, kind, value, trace):
        for c in self.clients:
            c.ended = True
        for c in self.clients:
            c.join()
            if c.error and kind is None:
                raise c.error

    def check(self):
        self.cluster.wait_linked()
        self.cluster.wait_delivered(40)
        for node, backend in zip(self.cluster.nodes, self.cluster.backends):
            for c in self.clients:
                c.check(backend.client(), node.name)
            assert not needs_repair(node), node.log_text()[-2000:]


def test_own_redis_killed_again_and_again():
    """kill -9 of a redis-server under load, with appendonly and appendfsync always, also before it has caught up: no
    client sees an error, what was answered is on all three nodes, once."""
    dice = seeded()
    with rig.Cluster(3, store="redis") as c:
        with Load(c, dice) as load:
            for _ in range(25 if rig.LONG else 3):
                victim = dice.choice(c.backends)
                for _ in range(dice.randrange(1, 5)):
                    load.goes_on(dice.randrange(1, 20))
                    victim.kill()
                    load.goes_on(dice.randrange(0, 20))
                    victim.start()
                c.wait_linked()
        rig.note(f"{sum(x.done for x in load.clients)} rounds")
        load.check()


def test_own_redis_paused():
    """SIGSTOP: it neither answers nor breaks its connections. Who waits for it is answered by others, in time."""
    dice = seeded()
    with rig.Cluster(3, store="redis", flags={"timeout": "2000"}) as c:
        with Load(c, dice) as load:
            for _ in range(8 if rig.LONG else 2):
                load.goes_on()
                victim = dice.choice(c.backends).process.pid
                os.kill(victim, signal.SIGSTOP)
                try:
                    load.goes_on(5)
                finally:
                    os.kill(victim, signal.SIGCONT)
                load.goes_on()
        load.check()


@pytest.mark.parametrize("level", ["DC_ONE", "DC_QUORUM"])
def test_own_log_is_replayed_after_the_node_was_killed(level):
    """kill -9 of the node while its Redis is away: what it has answered lies in its log."""
    dice = seeded()
    with rig.Cluster(3, store="redis", flags={"write-consistency": level, "read-consistency": level}) as c:
        a = c.nodes[0]
        with Load(c, dice, nodes=[a]) as load:
            load.goes_on()
            c.backends[0].kill()
            load.goes_on(100)
        pending = own(a)["pending"]
        assert pending >= 300 and own(a)["state"] == "storing" and own(a)["bytes"] > 0
        assert a.pending() >= pending, "the totals have them, too"
        a.kill()
        a.start()
        assert own(a)["pending"] == pending
        c.backends[0].start()
        load.check()
        assert own(a) == {"pending": 0, "bytes": 0, "oldest_seconds": 0, "state": "idle"}


def test_own_redis_alone_in_its_datacenter():
    """Nobody near has the data: a write whose reply is known without them is kept, another one isn't made."""
    with rig.Cluster(store="redis", places=[("dc1", "r1", "0"), ("dc2", "r1", "0")],
                     flags={"timeout": "20000"}) as c:  # a fifth of it a read waits for its own write
        a, b = c.nodes
        a.client().set("k", "old")
        rig.wait_until(lambda: b.client().get("k") == b"old", "it is there")
        c.backends[0].kill()
        client = a.client()  # one connection: it reads its own writes
        rig.wait_until(lambda: client.set("k", "new"), "kept")
        assert client.get("k") == b"new", "its own write, read far away"
        with pytest.raises(redis.ResponseError, match="^BACKEND .*; nothing was written"):
            a.client().incr("n")
        c.backends[0].start()
        c.wait_linked()
        c.wait_delivered()
        for backend in c.backends:
            assert backend.client().get("k") == b"new" and backend.client().get("n") is None


def test_own_redis_counts_at_quorum():
    """A durable hint for the own store stands for it where hints count."""
    flags = {"write-consistency": "DC_QUORUM", "read-consistency": "DC_ONE"}
    with rig.Cluster(3, store="redis", flags=flags) as c:
        a = c.nodes[0]
        c.backends[0].kill()
        c.nodes[1].kill()
        rig.wait_until(lambda: a.states_of_peers().count("DOWN") == 1, "node 2 is DOWN")
        assert a.client().incr("n") == 1 and own(a)["pending"] == 1
        a.stop()
        a.flags["sloppy-quorum"] = "false"
        a.start()
        rig.wait_until(lambda: a.states_of_peers().count("NORMAL") == 1, "node 3 is linked")
        with pytest.raises(redis.ResponseError, match="^NOQUORUM 1 of 2 .*; nothing was written"):
            a.client().incr("n")
        c.nodes[1].start()
        rig.wait_until(lambda: a.states_of_peers().count("NORMAL") == 2, "node 2 is linked")
        assert a.client().incr("n") == 2, "a majority without the own store"
        c.backends[0].start()
        c.wait_linked()
        c.wait_delivered()
        assert [backend.client().get("n") for backend in c.backends] == [b"2"] * 3


def test_own_redis_full_under_load():
    """No client at DC_ONE hears of it; when there is room again it has everything."""
    dice = seeded()
    with rig.Cluster(3, store="redis") as c:
        a, full = c.nodes[0], c.backends[0].client()
        with Load(c, dice) as load:
            for _ in range(3):
                load.goes_on()
                full.config_set("maxmemory", "100kb")
                load.goes_on(30)
                rig.wait_until(lambda: own(a)["pending"] > 0, "its own log has what it refuses")
                full.config_set("maxmemory", "0")
        load.check()


def test_own_redis_gone_back_in_time():
    """Restored without its newest writes: said, marked, and nothing is applied twice."""
    with rig.Cluster(3, store="redis") as c:
        a, backend = c.nodes[0], c.backends[0]
        for i in range(50):
            assert a.client().incr("n") == i + 1
        rig.wait_until(lambda: c.backends[2].client().get("n") == b"50", "they are everywhere")
        backend.kill()
        backup = backend.directory + ".backup"
        shutil.copytree(backend.directory, backup, ignore=shutil.ignore_patterns("*.sock"))
        backend.start()
        c.wait_linked()
        for i in range(50):
            a.client().incr("m")
        assert not needs_repair(a)
        backend.kill()
        shutil.rmtree(backend.directory)
        os.rename(backup, backend.directory)
        backend.start()
        c.wait_linked()
        assert needs_repair(a) and "gone back in time" in a.log_text()
        assert a.client().incr("n") == 51
        assert backend.client().get("n") == b"51" and backend.client().get("m") is None
        a.kill()
        a.start()
        assert needs_repair(a), "the mark is kept"
        assert a.log_text().count("gone back in time") == 1


def test_own_log_respects_the_cap():
    """What has no room is missed by the own store, which is told; clients are served by the others."""
    with rig.Cluster(3, store="redis", flags={"hint-store-max-bytes": "20000"}) as c:
        a = c.nodes[0]
        c.backends[0].kill()
        for i in range(100):
            assert a.client().set(f"k{i}", "v" * 1000)
        h = a.admin("hints")
        assert 0 < h["own"]["bytes"] <= 20000 and h["totals"]["rejected_over_capacity_total"] > 0
        told = a.admin("status")["node"]
        assert told["needs_repair"] and told["repair_since_ms"]
        assert told["repair_reason"] == "writes for it were refused: the hint store is full"
        assert "needs repair since" in a.admin_run("status").stdout.decode()
        figures = a.metrics()
        peer = f'peer="127.0.0.1:{a.peer_port}"'
        assert figures[f'dynomite_hints_rejected_total{{{peer},reason="over_capacity"}}'] == \
            h["totals"]["rejected_over_capacity_total"]
        assert figures[f"dynomite_needs_repair{{{peer}}}"] == 1
        assert figures[f"dynomite_hints_pending{{{peer}}}"] == h["own"]["pending"] == h["totals"]["pending"]
        late = a.admin_run("--timeout", "0.2", "hints", "wait")
        assert late.returncode == 1 and f"127.0.0.1:{a.peer_port}: {h['own']['pending']} hints" in late.stderr.decode()
        c.backends[0].start()
        c.wait_linked()
        a.admin("--timeout", "20", "hints", "wait")
        assert own(a)["pending"] == 0
        assert 0 < c.backends[0].client().dbsize() < 100
        assert a.client().set("k99", "x") and c.backends[0].client().get("k99") == b"x"
        a.kill()
        a.start()
        assert a.admin("status")["node"]["repair_since_ms"] == told["repair_since_ms"], "the mark is kept"
        a.admin("repaired", told["id"])
        assert not needs_repair(a) and a.metrics()[f"dynomite_needs_repair{{{peer}}}"] == 0
        a.kill()
        a.start()
        assert not needs_repair(a)


@pytest.mark.parametrize("flags", [{"hint-dir": "memory"}, {"hint-sync": "interval"}])
def test_own_hints_that_a_power_cut_can_take(flags):
    """They are kept and replayed, but count for nothing."""
    dice = seeded()
    with rig.Cluster(3, store="redis", flags=flags) as c:
        with Load(c, dice) as load:
            load.goes_on()
            c.backends[0].kill()
            load.goes_on(20)
            c.backends[0].start()
            load.goes_on()
        load.check()


def test_own_store_without_handoff():
    """Nothing is kept for it: clients are served by the others, and it needs repair."""
    with rig.Cluster(3, store="redis", flags={"enable-hinted-handoff": "false"}) as c:
        a = c.nodes[0]
        a.client().set("before", "x")
        c.backends[0].kill()
        for i in range(20):
            assert a.client().incr("n") == i + 1
        assert own(a)["pending"] == 0 and needs_repair(a)
        c.backends[0].start()
        c.wait_linked()
        assert a.client().set("after", "x")
        assert c.backends[0].client().mget("before", "n", "after") == [b"x", None, b"x"]


def test_own_log_damaged_record_costs_itself_alone():
    with rig.Cluster(3, store="redis") as c:
        a = c.nodes[0]
        c.backends[0].kill()
        for i in range(100):
            assert a.client().set(f"k{i}", "v")
        log, = glob.glob(os.path.join(a.directory, "hints", a.admin("status")["node"]["id"], "*.log"))
        a.stop()
        with open(log, "r+b") as f:
            f.seek(f.read().index(b"k50\r\n"))
            f.write(b"K")
        a.start()
        c.backends[0].start()
        c.wait_linked()
        c.wait_delivered()
        own_keys = c.backends[0].client()
        assert [i for i in range(100) if own_keys.get(f"k{i}") != b"v"] == [50]
        rig.wait_until(lambda: needs_repair(a), "the loss is told")
        assert a.client().set("k50", "v") and own_keys.get("k50") == b"v", "what follows goes on"


def test_own_hints_expire():
    with rig.Cluster(3, store="redis", flags={"hint-ttl-seconds": "1"}) as c:
        a = c.nodes[0]
        c.backends[0].kill()
        for i in range(10):
            assert a.client().set(f"k{i}", "v")
        rig.wait_until(lambda: own(a)["pending"] == 0 and needs_repair(a), "they expire, and that is told")
        assert a.admin("hints")["totals"]["expired_total"] == 10
        c.backends[0].start()
        c.wait_linked()
        assert a.client().set("k", "v") and c.backends[0].client().keys("k*") == [b"k"]


def test_own_log_of_a_node_that_is_alone_now():
    """Its last peer leaves the configuration while its Redis is away: what was answered is written, before what comes
    after, and then nothing is left of the log."""
    with rig.Cluster(2, store="redis", flags=rig.STATIC) as c:
        a, b = c.nodes
        c.backends[0].kill()
        rig.wait_until(lambda: a.state() == "STANDBY", "it knows")
        assert a.client().set("k", "1") and a.client().incr("n") == 1
        rig.wait_until(lambda: own(a)["pending"] == 2, "they are hints for the own store")
        b.stop()
        a.kill()
        del a.flags["dyn-seeds"]
        c.backends[0].start()
        a.start()
        rig.wait_until(lambda: c.backends[0].client().mget("k", "n") == [b"1", b"1"], "the log is replayed")
        assert a.client().set("k", "2") and a.client().incr("n") == 2
        assert c.backends[0].client().mget("k", "n") == [b"2", b"2"]
        rig.wait_until(lambda: a.state() == "NORMAL" and a.pending() == 0, "nothing is left")
        a.stop()
        a.start()
        assert id_of(a) not in os.listdir(os.path.join(a.directory, "hints"))
        rig.wait_until(lambda: a.metrics()["dynomite_backend_up"], "it has its redis")
        assert a.client().incr("n") == 3
