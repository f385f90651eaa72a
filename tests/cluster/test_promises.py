"""Promises that need a story of their own: which write wins, where hints lie, who is let in."""
import glob
import os
import socket
import struct

import pytest
import redis
import rig


@pytest.mark.parametrize("store", ["embedded", "redis"])
@pytest.mark.parametrize("late", ["set", "append", "delete"])
def test_promise_old_never_beats_new(store, late):
    """A hint that comes late is older than what another node wrote meanwhile: it is dropped, and counted."""
    with rig.Cluster(3, store=store) as c:
        a, b, d = c.nodes
        a.client().set("k", "first")
        rig.wait_until(lambda: len(set(rig.copies(a, "k"))) == 1, "all have the first value")
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        old = a.client()
        {"set": lambda: old.set("k", "old"), "append": lambda: old.append("k", "old"),
         "delete": lambda: old.delete("k")}[late]()
        rig.wait_until(lambda: b.client().get("k") != b"first", "node 2 has the old write")
        a.kill()
        b.client().set("k", "new")
        d.start(wait=False)
        rig.wait_until(lambda: d.client().ping() and
                       rig.own_values(c, 2, ["k"])["k"] == b"new", "node 3 has the new value")
        a.start()
        c.wait_linked()
        c.wait_delivered()
        for i in range(3):
            assert rig.own_values(c, i, ["k"])["k"] == b"new"
        assert d.metrics()["dynomite_stale_dropped_total"] >= 1


def test_promise_memory_hints_are_delivered_but_dont_count():
    flags = {"hint-dir": "memory", "write-consistency": "DC_QUORUM"}
    with rig.Cluster(3, flags=flags) as c:
        a, b, d = c.nodes
        d.kill()
        rig.wait_until(lambda: a.states_of_peers().count("DOWN") == 1, "node 3 is DOWN")
        for i in range(300):
            a.client().set(f"k{i}", i)
        assert a.pending() == 300 and not os.path.exists(os.path.join(a.directory, "hints"))
        b.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN", "DOWN"], "both are DOWN")
        with pytest.raises(redis.ResponseError, match="NOQUORUM 1 of 2 .*nothing was written"):
            a.client().set("k0", "x")
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["k0", "k299"]) == {"k0": b"0", "k299": b"299"}


def test_promise_handoff_off_says_what_is_missing():
    with rig.Cluster(3, flags={"enable-hinted-handoff": "false"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        assert a.client().set("missed", "1")
        assert a.pending() == 0
        rig.wait_until(lambda: any(p["needs_repair"] for p in a.admin("status")["peers"]),
                       "needs repair is shown")
        d.start()
        c.wait_linked()
        a.client().set("later", "1")
        rig.wait_until(lambda: len(set(rig.copies(a, "later"))) == 1, "later writes go on")


def test_promise_a_new_id_at_a_taken_place_is_refused():
    with rig.Cluster(2) as c:
        a, b = c.nodes
        b.stop()
        os.unlink(os.path.join(b.directory, "node_id"))
        b.start()
        rig.wait_until(lambda: "belongs to node" in a.log_text(), "node 1 says why")
        rig.wait_until(lambda: "belongs to node" in b.log_text(), "node 2 is told why")
        assert a.states_of_peers() == ["DOWN"]


def test_promise_a_connection_reads_its_own_writes():
    """Also on a node that has just come back and is STANDBY, and in one pipeline."""
    with rig.Cluster(3) as c:
        d = c.nodes[2]
        c.nodes[0].client().set("own", "before")
        d.stop()
        for i in range(500):
            c.nodes[0].client().set(f"fill{i}", "x" * 100)
        d.start()
        client = d.client()
        for i in range(300):
            client.set("own", i)
            assert client.get("own") == b"%d" % i
        pipe = client.pipeline(transaction=False)
        for i in range(300):
            pipe.set("own", i).get("own")
        assert pipe.execute()[1::2] == [b"%d" % i for i in range(300)]


def test_promise_a_frame_of_4_gb_is_refused():
    with rig.Cluster(2) as c:
        n = c.nodes[0]
        with socket.create_connection(("127.0.0.1", n.peer_port), timeout=10) as s:
            s.sendall(struct.pack("<IIBBHI", 0xffffffff, 0, 10, 0, 0, 0) + bytes(64))
            s.settimeout(10)
            while s.recv(4096):
                pass
        assert "it doesn't speak the link protocol" in n.log_text()
        c.wait_linked()


def test_promise_a_damaged_record_costs_itself_alone():
    """A byte flipped in the log while the node is down: the records behind it are delivered, the loss is shown."""
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        for i in range(100):
            a.client().set(f"k{i}", "v")
        victim = a.admin("hints")["peers"]
        victim = next(p["id"] for p in victim if p["pending"])
        a.stop()
        path = max(glob.glob(os.path.join(a.directory, "hints", victim, "*.log")) or
                   glob.glob(os.path.join(a.directory, "hints", "*", "*.log")), key=os.path.getmtime)
        with open(path, "r+b") as f:
            data = f.read()
            at = data.index(b"k50\r\n")
            f.seek(at)
            f.write(b"K")
        a.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        values = rig.own_values(c, 2, [f"k{i}" for i in range(100)])
        assert [k for k, v in values.items() if v != b"v"] == ["k50"]
        status = {p["id"]: p["needs_repair"] for p in a.admin("status")["peers"]}
        assert status[victim] and sum(status.values()) == 1
        assert a.admin("hints")["totals"]["damaged_total"] == 1
