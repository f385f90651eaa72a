"""Wall clocks that jump: libfaketime under one node, its offset changed while the node runs. The monotonic
clock stays real."""
import glob
import os

import pytest
import rig

DAY, HOUR = 86400, 3600
LIBRARY = (glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") or [None])[0]
pytestmark = pytest.mark.skipif(not LIBRARY, reason="needs the package faketime")


class Clock:
    """The offset of one node's wall clock; the node must be started after this was made."""

    def __init__(self, node, offset=0):
        self.path = os.path.join(os.path.dirname(node.directory), node.name + ".clock")
        self.set(offset)
        node.program = "dynomited_glibc"  # jemalloc asks libfaketime for the time before that is ready to answer
        plain = node.arguments
        node.arguments = lambda: ["env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME_TIMESTAMP_FILE={self.path}",
                                  "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", *plain()]

    def set(self, seconds):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write(f"{seconds:+d}\n")
        os.rename(self.path + ".new", self.path)


def with_clock(cluster, offset=0):
    """Node 1 gets a clock of its own."""
    a = cluster.nodes[0]
    a.stop()
    clock = Clock(a, offset)
    a.start()
    cluster.wait_linked()
    return clock


def hold(cluster, n=100):
    """Node 3 is away; node 1 holds n hints for it."""
    a, _, d = cluster.nodes
    d.kill()
    rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
    for i in range(n):
        assert a.client().set(f"k{i}", i)
    assert a.pending() == n


def stamp_seconds(node, key):
    return (node.admin("key", key)["replicas"][0]["stamp"] >> 16) / 1000


def sweeps(node):
    """A few expiry sweeps have gone by: they come every 50 ms, and this takes longer."""
    end = node.admin("status")["node"]["uptime_seconds"] + 2
    rig.wait_until(lambda: node.admin("status")["node"]["uptime_seconds"] >= end, "sweeps go by")


def all_delivered(cluster, n=100):
    a, _, d = cluster.nodes
    d.start()
    cluster.wait_linked()
    cluster.wait_delivered()
    assert rig.own_values(cluster, 2, [f"k{i}" for i in range(n)]) == {f"k{i}": b"%d" % i for i in range(n)}
    assert a.admin("hints")["totals"]["expired_total"] == 0
    assert not any(p["needs_repair"] for p in a.admin("status")["peers"])


TTL = {"hint-ttl-seconds": "600", "hint-drain-interval-ms": "50"}


def test_clock_a_day_forward_expires_nothing():
    with rig.Cluster(3, flags=TTL) as c:
        clock, a = with_clock(c), c.nodes[0]
        hold(c)
        clock.set(DAY)
        a.client().set("jumped", "1")
        assert stamp_seconds(a, "jumped") - stamp_seconds(c.nodes[1], "k0") > DAY - 60, "the clock jumped"
        sweeps(a)
        assert a.pending() == 101
        all_delivered(c)


def test_clock_a_restart_a_day_ahead_expires_nothing():
    """Nothing expires until a peer agrees: node 2 runs, and doesn't."""
    with rig.Cluster(3, flags=TTL) as c:
        clock, a = with_clock(c), c.nodes[0]
        hold(c)
        a.stop()
        clock.set(DAY)
        a.start()
        rig.wait_until(lambda: "ms off a peer's" in a.log_text(), "node 1 says that its clock is off")
        sweeps(a)
        assert a.pending() == 100
        all_delivered(c)


def test_clock_set_right_after_a_restart_a_day_ahead_expires_nothing():
    """Deadlines are judged by the clock that the node started with, so that is the one that must agree."""
    with rig.Cluster(3, flags=TTL) as c:
        clock, (a, b, _) = with_clock(c), c.nodes
        hold(c)
        a.stop()
        clock.set(DAY)
        a.start()
        clock.set(0)
        b.stop()
        b.start()
        rig.wait_until(lambda: "NORMAL" in a.states_of_peers(), "they have met again")
        sweeps(a)
        assert a.pending() >= 100
        all_delivered(c)


def test_clock_an_hour_back_stamps_go_on():
    """What is written after the jump beats what was written before, also after a restart."""
    with rig.Cluster(3) as c:
        clock, (a, b, d) = with_clock(c), c.nodes
        a.client().set("k", "before")
        first = stamp_seconds(a, "k")
        clock.set(-HOUR)
        for i in range(50):
            assert a.client().set("k", f"after{i}") and a.client().incr("n") == i + 1
        assert stamp_seconds(a, "k") >= first
        a.kill()
        a.start()
        c.wait_linked()
        assert a.client().set("k", "restarted") and a.client().incr("n") == 51
        assert stamp_seconds(a, "k") >= first
        rig.wait_until(lambda: len(set(rig.copies(b, "k"))) == 1, "all agree")
        for i in range(3):
            assert rig.own_values(c, i, ["k", "n"]) == {"k": b"restarted", "n": b"51"}
        for n in (a, b, d):
            assert n.metrics()["dynomite_stale_dropped_total"] == 0
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        a.client().set("k", "hinted")
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["k"]) == {"k": b"hinted"}


def test_clock_a_restart_after_the_jump_expires_nothing():
    """What is kept is the clock that a jump doesn't move: the next start doesn't trust the one that jumped."""
    with rig.Cluster(3, flags=TTL) as c:
        clock, a = with_clock(c), c.nodes[0]
        hold(c)
        clock.set(DAY)
        sweeps(a)
        a.stop()
        a.start()
        sweeps(a)
        assert a.pending() == 100
        all_delivered(c)
