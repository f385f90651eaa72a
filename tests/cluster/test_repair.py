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
    wrong = keys + ["gone", "new", "lives"] + (["counter"] if not three.backends else [])
    assert not any(equal(three, k) for k in wrong)
    for k in wrong:
        read_until(three, lambda c, k=k: c.get(k), lambda k=k: equal(three, k), f"{k} is the same everywhere")
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
