"""A disk that answers EIO, under the hints and under the embedded store: shim_io.c makes it. Nothing that was answered
is lost or applied twice, and what the disk refused is said, counted and marked."""
import os

import pytest
import redis
import rig
from test_faults import peer_id, repair, totals

SHIM = os.path.join(rig.BUILD, "shim_io.so")


class Disk:
    """The disk of one node; the node must be started after this was made."""

    def __init__(self, node):
        self.control = os.path.join(os.path.dirname(node.directory), node.name + ".disk")
        plain = node.arguments
        node.arguments = lambda: ["env", f"LD_PRELOAD={SHIM}", f"SHIM_CONTROL={self.control}", *plain()]

    def fail(self, call, part, skip=0, times=1000000):
        with open(self.control + ".new", "w", encoding="ascii") as f:
            f.write(f"{call} {part} {skip} {times}\n")
        os.rename(self.control + ".new", self.control)

    def mend(self):
        os.unlink(self.control)

    def failed(self):
        """What has failed so far: a line each."""
        try:
            with open(self.control + ".failed", encoding="utf-8") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []


def with_disk(cluster):
    """Node 1 gets a disk of its own."""
    a = cluster.nodes[0]
    if a.memory() == 0:
        pytest.skip("a sanitizer's runtime must come before any other library")
    a.stop()
    disk = Disk(a)
    a.start()
    cluster.wait_linked()
    return disk


def write(client, name, n):
    """Large enough that segments are full soon."""
    for i in range(n):
        assert client.set(f"{name}{i}", "x" * 1000) and client.incr("counter")


def values_of(cluster, index, names, n):
    values = rig.own_values(cluster, index, [f"{name}{i}" for name in names for i in range(n)] + ["counter"])
    counter = int(values.pop("counter"))
    return counter, [k for k, v in values.items() if v != b"x" * 1000]


def io_errors(node):
    return sum(v for k, v in node.metrics().items()
               if k.startswith("dynomite_hints_rejected_total") and 'reason="io_error"' in k)


@pytest.mark.parametrize("call", ["fallocate", "fdatasync", "fsync", "rename"])
def test_io_error_under_hints(call):
    """While node 3 is away. A level that real replicas meet succeeds; what couldn't be made safe is marked, what had no
    place is counted besides; the rest is delivered, also after kill -9."""
    with rig.Cluster(3) as c:
        disk, (a, b, d) = with_disk(c), c.nodes
        client = a.client()
        d.kill()
        rig.down(a)
        write(client, "early", 100)
        disk.fail(call, "/hints/")
        write(client, "bad", 200)
        if call == "rename":  # of a segment for use again: of the log for node 2, which is up
            rig.wait_until(lambda: write(client, "bad", 200) or disk.failed(), "a segment is used again")
        lost = io_errors(a)
        disk.mend()
        write(client, "late", 100)
        held = a.pending()
        assert (lost > 0) == (call == "fallocate")
        if call in ("fallocate", "fdatasync", "fsync"):
            assert disk.failed() and "Input/output error" in a.log_text()
            rig.wait_until(lambda: repair(a)[peer_id(d)], "needs repair is shown")
        else:
            assert not any(repair(a).values())
        assert not repair(a)[peer_id(b)]
        a.kill()
        a.start()
        assert a.pending() == held
        d.start()
        c.wait_linked()
        c.wait_delivered()
        answered = int(client.get("counter"))
        counter, missing = values_of(c, 2, ["early", "bad", "late"], 100)
        assert not [k for k in missing if not k.startswith("bad")]
        assert len(missing) <= lost and answered - lost <= counter <= answered
        assert values_of(c, 1, ["early", "bad", "late"], 100) == (answered, [])
        assert all(line.startswith(call + " ") for line in disk.failed()) and disk.failed()


def test_io_error_on_the_acknowledged_number():
    """It stands in the segment's header; a sender that was killed in the replay then begins too early, and the receiver
    knows better."""
    with rig.Cluster(3, flags={"hint-drain-rate": "300000"}) as c:
        disk, (a, _, d) = with_disk(c), c.nodes
        d.kill()
        rig.down(a)
        write(a.client(), "k", 500)
        held = a.pending()
        disk.fail("pwrite", "/hints/")
        d.start(wait=False)
        rig.wait_until(lambda: disk.failed() and a.pending() < held - 200, "the replay has come some way")
        a.kill()
        assert rig.wait_until(d.client().ping, "node 3 answers")
        a.start()
        c.wait_linked()
        c.wait_delivered()
        assert values_of(c, 2, ["k"], 500) == (500, [])


def test_io_error_is_no_durable_hint():
    """Where the level needs the hint, the client is told; with the disk mended it goes on."""
    with rig.Cluster(3, flags={"write-consistency": "DC_QUORUM"}) as c:
        disk, (a, b, d) = with_disk(c), c.nodes
        d.kill()
        rig.down(a)
        client = a.client()
        write(client, "early", 20)
        disk.fail("fdatasync", "/hints/")
        for i in range(20):
            assert client.set(f"two{i}", "1"), "two real replicas are a quorum"
        c2 = a.client()
        b.kill()
        rig.down(a, 2)
        for i in range(20):
            with pytest.raises(redis.ResponseError, match="NOHINT"):
                c2.set(f"k{i}", "1")
        disk.mend()
        assert c2.set("again", "1")
        assert all(repair(a).values())
        a.kill()
        for n in c.nodes:
            n.start(wait=False)
        c.wait_linked()
        c.wait_delivered()
        for i in (1, 2):
            assert rig.own_values(c, i, ["again"]) == {"again": b"1"}
        assert values_of(c, 2, ["early"], 20) == (20, [])
        assert totals(a)["damaged_total"] == 0


def test_io_error_under_the_embedded_store():
    """Its log can't be synced: the node says so on its links, its clients are told, the others keep what it misses. It is
    back when the disk is, with everything, once."""
    with rig.Cluster(3) as c:
        disk, (a, b, _) = with_disk(c), c.nodes
        write(b.client(), "early", 20)
        c.wait_delivered()
        disk.fail("fdatasync", "/store.wal/")
        told = 0
        client = a.client()
        for i in range(20):
            try:
                client.set(f"refused{i}", "1")
            except redis.ResponseError as error:
                assert str(error).startswith("BACKEND"), error
                told += 1
        assert told and disk.failed() and "Input/output error" in a.log_text()
        write(b.client(), "bad", 20)
        disk.mend()
        rig.wait_until(lambda: client.set("again", "1"), "node 1 writes again")
        c.wait_linked()
        c.wait_delivered()
        for i in range(3):
            assert values_of(c, i, ["early", "bad"], 20) == (40, [])
            rig.wait_until(lambda i=i: rig.own_values(c, i, ["again"]) == {"again": b"1"}, "all have the last write")
