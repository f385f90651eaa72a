"""Wall clocks that jump or are wrong: libfaketime under one node, its offset changed while the node runs. The
monotonic clock stays real. A node that is off its peers refuses its clients' writes."""
import glob
import os
import signal
import time

import pytest
import redis
import rig
from test_faults import repair

DAY, HOUR = 86400, 3600
STEADY = rig.STATIC  # heartbeats each interval also on links that owe nothing: news comes soon
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


def check_refused(node, offset):
    """With -CLOCK, which names how far it is off; it says so in status and in the log."""
    side = "behind" if offset < 0 else "ahead of"
    with pytest.raises(redis.ResponseError, match=rf"CLOCK this node's clock is \d+ ms {side} the median of its "
                                                  r"peers; allowed 10000 ms; nothing was written"):
        node.client().set("refused", "1")
    assert abs(node.admin("status")["node"]["clock_off_ms"] / 1000 - offset) < 5
    assert f"{side} the median of its peers; allowed 10000 ms: its clients' writes are refused" in node.log_text()


def check_taken(node, key):
    """The write is taken, and its stamp is of now."""
    assert node.client().set(key, "1")
    assert abs(stamp_seconds(node, key) - time.time()) < 10
    assert abs(node.admin("status")["node"]["clock_off_ms"]) < 5000


def is_taken(node):
    return rig.wait_until(lambda: node.client().set("taken", "1"), f"{node.name} takes writes")


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
        check_refused(a, DAY)
        sweeps(a)
        assert a.pending() == 100
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


def test_clock_a_few_seconds_back_stamps_go_on():
    """What is written after the jump beats what was written before, also after a restart."""
    with rig.Cluster(3) as c:
        clock, (a, b, d) = with_clock(c), c.nodes
        a.client().set("k", "before")
        first = stamp_seconds(a, "k")
        clock.set(-8)
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


@pytest.mark.parametrize("store,offset", [("embedded", -HOUR), ("embedded", DAY), ("redis", DAY)],
                         ids=["an hour back", "a day forward", "a day forward, redis"])
def test_clock_only_the_node_that_is_off_refuses(store, offset):
    """In a running cluster: reads go on, the others write, it recovers by itself and leaves no stamp behind."""
    with rig.Cluster(3, store=store) as c:
        clock, (a, b, d) = with_clock(c), c.nodes
        assert a.client().set("k", "1")
        clock.set(offset)
        check_refused(a, offset)
        assert a.client().get("k") == b"1"
        for n in (b, d):
            check_taken(n, "k" + n.name)
        rig.wait_until(lambda: a.client().get("k" + d.name) == b"1", "it gets what the others write")
        for _ in range(3):
            check_refused(a, offset)
        assert a.log_text().count("writes are refused") == 1, "it is said once"
        clock.set(0)
        is_taken(a)
        check_taken(a, "right")
        assert "its clients' writes are taken" in a.log_text()
        sweeps(a)
        a.kill()
        a.start()
        c.wait_linked()
        check_taken(a, "restarted")
        for n in c.nodes:
            totals = n.metrics()
            assert n.admin("hints")["totals"]["expired_total"] == 0 and not any(repair(n).values())
            assert totals["dynomite_stale_dropped_total"] == totals["dynomite_unguarded_total"] == 0


@pytest.mark.parametrize("offset", [-HOUR, DAY], ids=["an hour back", "a day forward"])
def test_clock_is_known_to_be_off_from_the_first_handshake(offset):
    with rig.Cluster(3) as c:
        clock, (a, b, _) = with_clock(c, offset), c.nodes
        check_refused(a, offset)
        check_taken(b, "other")
        clock.set(0)
        is_taken(a)
        check_taken(a, "right")


def test_clock_two_days_behind_loses_no_answered_write():
    """What is stamped before its tombstones' lives began is refused, or it is everywhere."""
    c = rig.Cluster(3)
    Clock(c.nodes[0], -2 * DAY)
    with c:
        check_refused(c.nodes[0], -2 * DAY)
        check_taken(c.nodes[1], "k")


def test_clock_two_days_behind_what_was_taken_alone_comes_through():
    """Before a peer was heard nothing is known, and writes are taken: their stamps are two days old, and live."""
    c = rig.Cluster(3)
    a, b, d = c.nodes
    clock = Clock(a, -2 * DAY)
    try:
        a.start()
        for i in range(20):
            assert a.client().set(f"k{i}", i)
        assert stamp_seconds(a, "k0") < time.time() - DAY
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        check_refused(a, -2 * DAY)
        for i in (1, 2):
            assert rig.own_values(c, i, [f"k{k}" for k in range(20)]) == {f"k{k}": b"%d" % k for k in range(20)}
        for n in c.nodes:
            assert n.admin("hints")["totals"]["expired_total"] == 0 and not any(repair(n).values())
        clock.set(0)
        is_taken(a)
        assert a.client().set("k0", "new")
        rig.wait_until(lambda: b.client().get("k0") == b"new", "the newer one wins")
    finally:
        c.end_all()


def test_clock_of_one_of_two_nobody_knows_who_is_right():
    """Neither may write; one that is alone again may."""
    with rig.Cluster(2, flags=STEADY) as c:
        clock, (a, b) = with_clock(c), c.nodes
        clock.set(HOUR)
        check_refused(a, HOUR)
        rig.wait_until(lambda: b.admin("status")["node"]["clock_off_ms"] < -10000, "node 2 knows it, too")
        check_refused(b, -HOUR)
        a.kill()
        is_taken(b)


@pytest.mark.slow
def test_clock_a_node_that_stood_still_isnt_off():
    """Its peers' words have lain in its sockets for longer than a clock may be off."""
    with rig.Cluster(3) as c:
        a = c.nodes[0]
        rig.freeze(a.process)
        end = time.monotonic() + 13
        rig.wait_until(lambda: time.monotonic() > end, "it stands still")
        a.process.send_signal(signal.SIGCONT)
        c.wait_linked()
        check_taken(a, "k")
        assert not any("writes are refused" in n.log_text() for n in c.nodes)


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_clock_what_needs_no_guard_is_forgotten(store):
    """With all members up next to nothing is remembered; with one away, what guards against its hints."""
    with rig.Cluster(3, store=store, flags=STEADY) as c:
        a, b, d = c.nodes
        for i in range(300):
            assert a.client().set(f"k{i}", i) and a.client().delete(f"k{i}")
        if store == "redis":
            for n in c.nodes:
                rig.wait_until(lambda n=n: n.metrics()["dynomite_stamps"] == 0, "its table is empty")
        else:
            rig.wait_until(lambda: all(r["stamp"] == 0 for r in a.admin("key", "k0")["replicas"]), "no tombstones")
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers() and "DOWN" in b.states_of_peers(), "node 3 is DOWN")
        for i in range(300):
            assert a.client().set(f"k{i}", "old")
            b.client().delete(f"k{i}")  # it may not have come to node 2 yet
        sweeps(a)
        if store == "redis":
            assert min(n.metrics()["dynomite_stamps"] for n in (a, b)) == 300
            b.kill()
            b.start()
            rig.wait_until(lambda: b.metrics()["dynomite_stamps"] == 300, "it survives kill -9")
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert set(rig.own_values(c, 2, [f"k{i}" for i in range(300)]).values()) == {None}
        if store == "redis":
            for n in c.nodes:
                rig.wait_until(lambda n=n: n.metrics()["dynomite_stamps"] == 0, "its table is empty again")
        for n in c.nodes:
            assert n.metrics()["dynomite_unguarded_total"] == 0
