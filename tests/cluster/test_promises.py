"""Promises that need a story of their own: which write wins, where hints lie, who is let in."""
import glob
import os
import signal
import socket
import struct
import threading
import time

import linkpeer
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


def two_in_one_rack(directory, backend):
    """Two nodes that share a ring: the first one owns half of it, in front of the given redis."""
    ports = rig.free_ports(6)
    halves = ("0", "2147483648")
    nodes = []
    for i in range(2):
        flags = {"datacenter": "dc1", "rack": "r1", "tokens": halves[i], "gos-interval": "300",
                 "timeout": "3000", "dyn-seeds": f"127.0.0.1:{ports[4 - 3 * i]}:r1:dc1:{halves[1 - i]}"}
        if i == 0:
            flags.update({"data-store": "redis", "servers": backend.path + ":1"})
        nodes.append(rig.Node(directory, f"node{i + 1}", ports[3 * i:3 * i + 3], flags))
    return nodes


def test_promise_a_write_for_others_doesnt_wait_for_a_backend_that_is_gone(tmp_path):
    """A batch hangs at a redis that dies: what needs only other nodes goes on."""
    backend = rig.RedisServer(str(tmp_path), "node1")
    backend.start()
    a, b = two_in_one_rack(str(tmp_path), backend)
    try:
        a.start(wait=False)
        b.start()
        rig.wait_until(lambda: a.states_of_peers() == ["NORMAL"] == b.states_of_peers(), "both see each other")
        owner = {}
        for i in range(50):
            owner.setdefault(a.admin("key", f"k{i}")["replicas"][0]["address"], f"k{i}")
        mine, other = owner[f"127.0.0.1:{a.peer_port}"], owner[f"127.0.0.1:{b.peer_port}"]
        a.client().set(mine, "before")
        backend.process.send_signal(signal.SIGSTOP)
        hanging = threading.Thread(target=a.client().set, args=(mine, "x"))  # answered when its hint is on disk
        hanging.start()
        rig.wait_until(lambda: not a.metrics()["dynomite_backend_up"], "node 1 says that its redis is gone")
        hanging.join()
        for i in range(100):
            start = time.monotonic()
            a.client().set(other, i)
            assert time.monotonic() - start < 2
        assert b.client().get(other) == b"99"
    finally:
        for node in (a, b):
            if node.process:
                node.kill()
        backend.kill()


def renumber(path, seq):
    """Gives the one record of a segment, and the segment, another number."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    data[16:24] = struct.pack("<Q", seq)
    data[64:68] = struct.pack("<I", linkpeer.crc32c(data[:64]))
    data[72:80] = struct.pack("<Q", seq - 1)
    size = struct.unpack_from("<I", data, 80)[0]
    data[80 + 16:80 + 24] = struct.pack("<Q", seq)
    data[84:88] = struct.pack("<I", linkpeer.crc32c(data[88:80 + size]))
    os.unlink(path)
    with open(os.path.join(os.path.dirname(path), f"{seq:016x}.log"), "wb") as f:
        f.write(data)


def test_promise_numbers_that_run_out_go_on_higher():
    """The lower half of a log's numbers ends (4 thousand million writes): a new upper half is kept and used."""
    with rig.Cluster(2) as c:
        a, b = c.nodes
        b.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "node 2 is DOWN")
        a.client().set("k0", 0)
        a.stop()
        path, = glob.glob(os.path.join(a.directory, "hints", "*", "*.log"))
        with open(os.path.join(a.directory, "start"), encoding="ascii") as f:
            mark = int(f.read().split()[0])
        upper = mark + 100
        renumber(path, upper << 32 | 0xfffff000)
        a.start()
        assert a.pending() == 1

        def kept():
            with open(os.path.join(a.directory, "start"), encoding="ascii") as f:
                return int(f.read().split()[0]) == upper + 1

        def write_until_kept():
            a.client().incr("n")
            return kept()
        rig.wait_until(write_until_kept, "a new start mark is kept")
        for i in range(1, 20):
            a.client().set(f"k{i}", i)
        newest = max(glob.glob(os.path.join(a.directory, "hints", "*", "*.log")))
        assert int(os.path.basename(newest)[:16], 16) >> 32 == upper + 1
        b.start()
        c.wait_linked()
        c.wait_delivered()
        keys = [f"k{i}" for i in range(20)] + ["n"]
        assert rig.own_values(c, 0, keys) == rig.own_values(c, 1, keys)


def test_promise_a_store_that_was_away_isnt_read_before_it_has_all():
    """Node 3's redis dies and comes back; until the hints for it are in, reads go to the others."""
    with rig.Cluster(3, store="redis", flags={"hint-drain-rate": "15000"}) as c:
        a, _, d = c.nodes
        a.client().mset({f"k{i}": "old" for i in range(1000)})
        rig.wait_until(lambda: rig.own_values(c, 2, ["k999"])["k999"] == b"old", "node 3 has the old values")
        c.backends[2].kill()
        rig.wait_until(lambda: a.states_of_peers().count("DOWN") == 1, "node 3 is DOWN")
        for i in range(1000):
            a.client().set(f"k{i}", "new")
        c.backends[2].start()
        rig.wait_until(lambda: d.metrics()["dynomite_backend_up"], "node 3 has its redis again")
        reads = 0
        client = d.client()
        while a.pending():
            assert client.get(f"k{999 - reads % 1000}") == b"new"
            reads += 1
            assert d.state() == "STANDBY" or not a.pending()
        assert reads > 5, "the hints were in before anything could be read"
        c.wait_linked()


def links_broken(node):
    return node.log_text().count("-> DOWN")


@pytest.mark.by_itself
def test_promise_a_large_value_breaks_no_link():
    """100 MB, with heartbeats of 100 ms, to the other nodes and back from them. A link that isn't heard of for 300 ms is
    broken, which a checker and other tests on the same core come near to."""
    flags = {"gos-interval": "100", "read-consistency": "DC_QUORUM", "store-sync": "never", "timeout": "20000"}
    with rig.Cluster(3, flags=flags) as c:
        a = c.nodes[0]
        value = os.urandom(1 << 20) * 100
        a.client().set("big", value)
        a.client().set("behind", 1)
        rig.wait_until(lambda: len(set(rig.copies(a, "behind"))) == 1, "all have what came behind it", 60)
        assert a.client().get("big") == value
        assert [links_broken(n) for n in c.nodes] == [0, 0, 0]


def test_promise_peers_have_names():
    c = rig.Cluster(2)
    for n in c.nodes:
        n.flags["dyn-seeds"] = [s.replace("127.0.0.1", "localhost") for s in n.flags["dyn-seeds"]]
    with c:
        c.nodes[0].client().set("k", "v")
        rig.wait_until(lambda: rig.own_values(c, 1, ["k"])["k"] == b"v", "node 2 has it")


def test_promise_a_store_that_comes_later_hasnt_gone_back_in_time():
    """Node and redis were killed; the node is back first and knows no number yet."""
    with rig.Cluster(2, store="redis") as c:
        a, b = c.nodes
        a.client().set("k", "v")
        rig.wait_until(lambda: c.backends[1].client().get("k") == b"v", "node 2 has it")
        b.kill()
        c.backends[1].kill()

        def silent_for():
            return a.admin("peers")["peers"][0]["last_heard_ms"]
        rig.wait_until(lambda: silent_for() > 1000, "nothing was heard of node 2 for a second")
        b.start(wait=False)
        rig.wait_until(lambda: silent_for() < 500, "node 2 is linked without its store")
        c.backends[1].start()
        c.wait_linked()
        assert not a.admin("status")["peers"][0]["needs_repair"]
