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
    """Within it node 3 gets no writes, and what was kept for it is thrown away."""

    def __init__(self, cluster):
        self.cluster, self.victim = cluster, cluster.nodes[2]

    def __enter__(self):
        pause(self.victim)
        for n in self.cluster.nodes[:2]:
            rig.down(n)

    def __exit__(self, kind, value, trace):
        for n in self.cluster.nodes[:2]:
            n.admin("hints", "truncate", "all", "--yes")
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
    keys = [f"missed{i}" for i in range(20)]
    for k in keys:
        c.set(k, "old")
    c.set("never", "here")
    c.set("gone", "still here")
    c.set("lives", "old")
    rig.wait_until(lambda: all(equal(three, k) for k in ["never", "gone", "lives"] + keys), "all have all")
    at = int(time.time() * 1000) + 3600000
    with Missing(three):
        for k in keys:
            c.set(k, "new " + k)
        c.delete("gone")
        c.set("new", "x" * 100000)
        c.set("lives", "longer", pxat=at)
        c.incr("counter")
        c.incr("counter")
    before = repairs(three)
    # the delete first: its tombstones go when nobody can send anything older any more
    wrong = ["gone"] + keys + ["new", "lives"] + (["counter"] if not three.backends else [])
    assert not any(equal(three, k) for k in wrong)
    for k in wrong:
        t0=time.time()
        read_until(three, lambda c, k=k: c.get(k), lambda k=k: equal(three, k), f"{k} is the same everywhere")
        print(k, time.time()-t0, repairs(three))
    own = rig.own_values(three, 2, wrong) if three.backends else \
        {k: three.nodes[2].client().get(k) for k in wrong}
    for k in keys:
        assert own[k] == b"new " + k.encode()
    assert own["gone"] is None and own["new"] == b"x" * 100000 and own["lives"] == b"longer"
    assert three.nodes[2].client().pexpiretime("lives") == at if three.backends else \
        abs(three.nodes[2].client().pttl("lives") - (at - time.time() * 1000)) < 5000
    after = repairs(three)
    assert after["repaired"] - before["repaired"] >= len(wrong)
    assert after["failed"] == after["dropped"] == 0


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
        storm = Storm(cluster, seed, 60 if rig.LONG else 12)
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
