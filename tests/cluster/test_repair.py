"""Read repair: where a quorum read finds that replicas differ, they are made equal; and nothing is lost by it."""
import os
import random
import signal
import threading
import time

import pytest
import redis
import rig

FLAGS = {"read-consistency": "DC_QUORUM", "read-repairs-enabled": "true"}
RESULTS = ("repaired", "equal", "undecided", "unsettled", "failed", "dropped")


def repairs(cluster):
    """What has become of the keys that were looked at, over all nodes."""
    total = dict.fromkeys(RESULTS, 0)
    for n in cluster.running():
        m = n.metrics()
        for r in RESULTS:
            total[r] += int(m[f'dynomite_read_repairs_total{{result="{r}"}}'])
    return total


def pause(node):
    node.process.send_signal(signal.SIGSTOP)


def go_on(node):
    node.process.send_signal(signal.SIGCONT)


class Missing:
    """Within it node 3 gets none of the writes that go through node 1, and what was kept for it is thrown away."""

    def __init__(self, cluster):
        self.cluster, self.victim = cluster, cluster.nodes[2]
        self.address = f"127.0.0.1:{self.victim.peer_port}"

    def has_no_link(self, node):
        node.client().set("probe", "x")  # a link that owes nothing isn't missed
        return [p["link"] for p in node.admin("status")["peers"] if p["address"] == self.address] == [False]

    def hints(self, node):
        return sum(p["pending"] for p in node.admin("hints")["peers"] if p["address"] == self.address)

    def __enter__(self):
        pause(self.victim)
        for n in self.cluster.nodes[:2]:
            rig.wait_until(lambda n=n: self.has_no_link(n), f"{n.name} has no link to {self.victim.name}")

    def __exit__(self, kind, value, trace):
        rig.wait_until(lambda: self.hints(self.cluster.nodes[0]), "what it misses is kept for it")
        for n in self.cluster.nodes[:2]:
            n.admin("hints", "truncate", self.address, "--yes")
        go_on(self.victim)
        self.cluster.wait_linked()


def equal(cluster, key):
    found = rig.copies(cluster.nodes[0], key)
    return len(found) == len(cluster.nodes) and len(set(found)) == 1


def read_until(cluster, read, done, what, node=2):
    """Reads through one node, by quorum, until the replicas are as they should be."""
    c = cluster.nodes[node].client()

    def go():
        read(c)
        return done()
    return rig.wait_until(go, what, 30)


@pytest.fixture(scope="module", params=["embedded", "redis"])
def three(request):
    with rig.Cluster(3, store=request.param, flags=FLAGS) as c:
        yield c


def test_repair_of_what_one_replica_missed(three):
    c = three.nodes[0].client()
    keys = [f"missed{i}" for i in range(6)]
    for k in keys:
        c.set(k, "old")
    c.set("never", "here")
    c.set("lives", "old")
    rig.wait_until(lambda: all(equal(three, k) for k in ["never", "lives"] + keys), "all have all")
    at = int(time.time() * 1000) + 3600000
    with Missing(three):
        for k in keys:
            c.set(k, "new " + k)
        c.set("new", "x" * 100000)
        c.set("lives", "longer", pxat=at)
        c.incr("counter")
        c.incr("counter")
    before = repairs(three)
    wrong = keys + ["new", "lives"] + (["counter"] if not three.backends else [])
    assert not any(equal(three, k) for k in wrong)
    for k in wrong:
        read_until(three, lambda c, k=k: c.get(k), lambda k=k: equal(three, k), f"{k} is the same everywhere")
    own = rig.own_values(three, 2, wrong) if three.backends else \
        {k: three.nodes[2].client().get(k) for k in wrong}
    for k in keys:
        assert own[k] == b"new " + k.encode()
    assert own["new"] == b"x" * 100000 and own["lives"] == b"longer"
    assert three.nodes[2].client().pexpiretime("lives") == at if three.backends else \
        abs(three.nodes[2].client().pttl("lives") - (at - time.time() * 1000)) < 5000
    after = repairs(three)
    assert after["repaired"] - before["repaired"] >= len(wrong)
    assert after["failed"] == after["dropped"] == 0


def fill(c, n):
    """Something of each type in a Redis; n makes a difference."""
    c.set("string", f"value {n}" * 1000)
    c.rpush("list", *range(10 + n))
    c.sadd("set", *(f"member {i}" for i in range(200 + n)))
    c.hset("hash", mapping={f"field {i}": i for i in range(200 + n)})
    c.zadd("zset", {f"member {i}": i / 7 for i in range(200 + n)})
    for i in range(1, 10 + n):
        c.xadd("stream", {"field": i}, id=f"{i}-1")
    if n == 0:
        c.xgroup_create("stream", "group", id="0")
        c.expire("hash", 10000)


TYPES = {"string": lambda c: c.get("string"), "list": lambda c: c.lrange("list", 0, -1),
         "set": lambda c: c.smembers("set"), "hash": lambda c: c.hgetall("hash"),
         "zset": lambda c: c.zrange("zset", 0, -1, withscores=True), "stream": lambda c: c.xrange("stream")}


def content(backend, key):
    c = backend.client()
    more = (c.xinfo_groups("stream"), c.xpending("stream", "group")) if key == "stream" else ()
    return TYPES[key](c), c.pexpiretime(key), more


def test_repair_of_every_type():
    """Most have it, no stamp tells. What one lacks or has too much of goes and comes, with lifetimes, groups and
    what is pending in them."""
    with rig.Cluster(3, store="redis", flags=FLAGS) as cluster:
        clients = [b.client() for b in cluster.backends]
        for c, n in zip(clients, (0, 0, 5)):
            fill(c, n)
        clients[0].xreadgroup("group", "me", {"stream": ">"}, count=3)
        clients[1].delete("stream")
        clients[1].restore("stream", 0, clients[0].dump("stream"))
        want = {k: content(cluster.backends[0], k) for k in TYPES}
        at = want["hash"][1]
        clients[1].pexpireat("hash", at)
        for k, read in TYPES.items():
            read_until(cluster, read, lambda k=k: content(cluster.backends[2], k) == want[k], f"{k} is repaired")
        for b in cluster.backends[:2]:
            assert {k: content(b, k) for k in TYPES} == want, "who was right stays as it was"
        found = repairs(cluster)
        assert found["repaired"] >= len(TYPES) and not found["undecided"] and not found["failed"]


def test_repair_without_stamps():
    """Values written past the servers: what most have wins, a key that most lack isn't brought back, and an absence
    deletes nothing."""
    with rig.Cluster(3, store="redis", flags=FLAGS) as cluster:
        clients = [b.client() for b in cluster.backends]
        for i, c in enumerate(clients):
            c.set("most", "wrong" if i == 2 else "right")
            if i == 2:
                c.set("one", "has it")
            else:
                c.set("two", "have it")
        read_until(cluster, lambda c: c.get("most"), lambda: clients[2].get("most") == b"right", "'most' is repaired")
        read_until(cluster, lambda c: c.get("two"), lambda: clients[2].get("two") == b"have it", "'two' is repaired")
        read_until(cluster, lambda c: c.get("one"), lambda: repairs(cluster)["undecided"], "'one' is undecided")
        assert [c.get("one") for c in clients] == [None, None, b"has it"]
        assert clients[0].get("two") == clients[1].get("two") == b"have it"


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_repair_while_a_member_is_away(store):
    """It may hold hints for any key, so that no watermark moves: only a key's last overwrite tells up to where a copy
    goes. A delete is passed on, though one replica has the key; a counter waits until the member is back."""
    with rig.Cluster(3, store=store, flags=FLAGS,
                     places=[("dc1", f"rack{i + 1}", "0") for i in range(3)] + [("dc1", "rack1", "2147483648")]) as cluster:
        away = cluster.nodes[3]
        # what this node has no part in: in its own rack node 1 has these keys
        own = {k for k in (f"key{i}" for i in range(60))
               if away.peer_port not in {int(r["address"].rsplit(":", 1)[1]) for r in cluster.nodes[0].admin("key", k)["replicas"]}}
        gone, changed, counter = sorted(own)[:3]
        c = cluster.nodes[0].client()
        for k in (gone, changed):
            c.set(k, "old")
        c.set(counter, 1)
        rig.wait_until(lambda: all(len(set(rig.copies(cluster.nodes[0], k))) == 1 for k in (gone, changed, counter)), "all have all")
        away.kill()
        for n in cluster.nodes[:3]:
            rig.down(n)
        victim = cluster.nodes[2]
        with Missing(cluster):
            c.delete(gone)
            c.set(changed, "new")
            c.incr(counter)
        same = lambda k: len(set(rig.copies(cluster.nodes[0], k))) == 1
        for k in (gone, changed):
            read_until(cluster, lambda c, k=k: c.get(k), lambda k=k: same(k), f"{k} is the same everywhere")
        assert victim.client().get(gone) is None and victim.client().get(changed) == b"new"
        read_until(cluster, lambda c: c.get(counter), lambda: repairs(cluster)["unsettled"], "the counter isn't settled")
        assert not same(counter)
        away.start()
        cluster.wait_linked()
        read_until(cluster, lambda c: c.get(counter), lambda: same(counter), "the counter is the same everywhere")
        assert victim.client().get(counter) == b"2"


def test_repair_only_where_it_is_wanted():
    """DC_ONE compares nothing, and with the option off nothing happens; it is live."""
    with rig.Cluster(3, store="redis", flags={"read-repairs-enabled": "true"}) as cluster:
        backends = [b.client() for b in cluster.backends]
        for i, b in enumerate(backends):
            b.set("k", "wrong" if i == 2 else "right")
        c = cluster.nodes[2].client()
        assert [c.get("k") for _ in range(50)] == [b"wrong"] * 50
        for n in cluster.nodes:
            n.admin("config", "set", "read_repairs_enabled", "false")
            n.admin("config", "set", "read_consistency", "DC_QUORUM")
        for _ in range(50):
            c.get("k")
        time.sleep(0.5)  # nothing is to happen in this time
        assert not any(repairs(cluster).values()) and backends[2].get("k") == b"wrong"
        for n in cluster.nodes:
            n.admin("config", "set", "read_repairs_enabled", "true")
        read_until(cluster, lambda c: c.get("k"), lambda: backends[2].get("k") == b"right", "it is repaired")
        assert '"repaired": 1' in cluster.nodes[2].http("/stats")


class Storm:
    """Writes through each node, of counters that all count and of keys that are one node's own, whose value is
    known; reads through each node, which note what differs; and node 3 that hears of others late, by their logs."""

    def __init__(self, cluster, seed, seconds):
        self.cluster, self.random = cluster, random.Random(seed)
        self.until = time.monotonic() + seconds
        self.counted = [dict.fromkeys(COUNTERS, 0) for _ in cluster.nodes]
        self.known = [{} for _ in cluster.nodes]
        self.said = []

    def write(self, i):
        r, c = random.Random(self.random.random()), self.cluster.nodes[i].client()
        counted, known = self.counted[i], self.known[i]
        while time.monotonic() < self.until:
            k = r.choice(COUNTERS)
            c.incr(k)
            counted[k] += 1
            k = f"own{i}:{r.randrange(6)}"
            what = r.randrange(8)
            if what == 0:
                known[k] = r.randrange(1000)
                c.set(k, known[k])
            elif what == 1:
                known.pop(k, None)
                c.delete(k)
            else:
                known[k] = known.get(k, 0) + 1
                c.incr(k)
            time.sleep(r.choice((0, 0.001, 0.01, 0.3)))

    def read(self, i):
        r, c = random.Random(self.random.random()), self.cluster.nodes[i].client()
        while time.monotonic() < self.until:
            c.get(r.choice(COUNTERS + [f"own{n}:{k}" for n in range(3) for k in range(6)]))
            time.sleep(0.002)

    def run(self, who, i):
        try:
            who(i)
        except Exception as error:  # pylint: disable=broad-except
            self.said.append(f"{who.__name__} {i}: {error!r}")

    def disturb(self):
        first, second, third = self.cluster.nodes
        while time.monotonic() < self.until:
            what = self.random.randrange(3)
            who = [[first], [second], [first, second]][self.random.randrange(3)]
            if what == 0:
                pause(third)
                time.sleep(self.random.uniform(0.1, 1.5))
                go_on(third)
            else:
                for n in who:
                    n.admin("hints", "pause", f"127.0.0.1:{third.peer_port}")
                time.sleep(self.random.uniform(0.3, 2))
                for n in who:
                    n.admin("hints", "resume", f"127.0.0.1:{third.peer_port}")
            time.sleep(self.random.uniform(0, 0.7))

    def rage(self):
        threads = [threading.Thread(target=self.run, args=(who, i))
                   for who in (self.write, self.read) for i in range(3)]
        for t in threads:
            t.start()
        try:
            self.disturb()
        finally:
            for t in threads:
                t.join()
        assert not self.said, self.said


COUNTERS = [f"counter{i}" for i in range(6)]


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_repair_counters_under_fire(store):
    seed = int(os.environ.get("DYN_SEED", random.randrange(1 << 32)))
    rig.note(f"DYN_SEED={seed}")
    with rig.Cluster(3, store=store, flags={**FLAGS, "timeout": "14000"}) as cluster:
        storm = Storm(cluster, seed, 60 if rig.LONG else 7)
        storm.rage()
        cluster.wait_delivered()
        want = {k: sum(c[k] for c in storm.counted) for k in COUNTERS}
        for known in storm.known:
            want.update(known)
        gone = [f"own{n}:{k}" for n in range(3) for k in range(6) if f"own{n}:{k}" not in want]
        for k in list(want) + gone:
            rig.wait_until(lambda k=k: equal(cluster, k), f"{k} is the same everywhere")
        for i in range(3):
            values = rig.own_values(cluster, i, list(want) + gone)
            wrong = {k: (values[k], want.get(k)) for k in values
                     if values[k] != (b"%d" % want[k] if k in want else None)}
            assert not wrong, f"{cluster.nodes[i].name}: (found, right): {wrong}"
        rig.note(f"{sum(want[k] for k in COUNTERS)} INCRs, {repairs(cluster)}")
