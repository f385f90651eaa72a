"""Near and far: whom a node asks first, and what it shows of racks and datacenters."""
import os
import re
import sys
import time

import netns
import pytest
import rig
from redis_proxy import Gate
from wire import Wire, command

PLACES = [("dc1", "r2", "0"), ("dc2", "r1", "0"), ("dc1", "r1", "0"), ("dc1", "r2", "2147483648"), ("dc2", "r2", "0")]


def address(node):
    return f"127.0.0.1:{node.peer_port}"


def asked(node, key):
    """The addresses as it would ask them, and those that it wouldn't, with their states."""
    rows = node.admin("key", key)["replicas"]
    order = [r["asked"] for r in rows]
    assert order == sorted(order, reverse=True)  # those that it wouldn't ask stand last
    return [r["address"] for r in rows if r["asked"]], [(r["address"], r["state"]) for r in rows if not r["asked"]]


def check_order(c):
    """Own rack, own datacenter, the others; also when one of them is gone."""
    a, far1, rack1, a2, far2 = c.nodes
    key = next(f"k{i}" for i in range(100) if asked(a, f"k{i}")[0][0] == address(a2))
    a.client().set(key, "v")
    for node, first in ((a, [a2, rack1]), (rack1, [rack1, a2]), (a2, [a2, rack1]), (far1, [far1, far2]), (far2, [far2, far1])):
        order, others = asked(node, key)
        rest = [n for n in (far1, rack1, a2, far2) if n not in first]
        assert order[:2] == [address(n) for n in first] and others == []
        assert set(order[2:]) == {address(n) for n in rest}
    a2.kill()
    rig.wait_until(lambda: asked(a, key) == ([address(rack1)] + asked(a, key)[0][1:], [(address(a2), "DOWN")]),
                   "who is down is last")
    assert set(asked(a, key)[0][1:]) == {address(far1), address(far2)}
    assert a.client().get(key) == b"v"
    rack1.kill()
    rig.wait_until(lambda: [s for _, s in asked(a, key)[1]] == ["DOWN"] * 2, "two are down")
    assert a.client().get(key) == b"v"


def check_status(c):
    """By datacenter and rack, this node's own first, with a line for each datacenter."""
    a, far1, rack1, a2, far2 = c.nodes
    rig.wait_until(lambda: [a.members()[address(n)] for n in (rack1, a2)] == ["DOWN"] * 2, "it is told of both")
    status = {p["address"]: p for p in a.admin("status")["peers"]}
    text = a.admin_run("status").stdout.decode()
    lines = [line for line in text.splitlines() if re.match(r"datacenter dc|r\d ", line)]
    pending = sum(status[address(n)]["hints_pending"] for n in (rack1, a2))
    size = sum(status[address(n)]["hints_bytes"] for n in (rack1, a2))
    assert pending > 0
    assert lines[0] == f"datacenter dc1 (this node's): 1 of 3 nodes up, hints {pending} ({size} bytes)"
    assert [line.split()[0] for line in lines[1:4]] == ["r2", "r2", "r1"]
    assert lines[4] == "datacenter dc2: 2 of 2 nodes up, hints 0 (0 bytes)"
    assert [line.split()[0] for line in lines[5:]] == ["r1", "r2"]
    for node, at in ((rack1, 3), (far1, 5), (far2, 6)):
        row = lines[at].split()
        peer = status[address(node)]
        assert row[1:3] == [peer["id"], peer["address"]] and row[4] == peer["state"]
        assert row[6] == str(peer["hints_pending"])
    assert {lines[1].split()[2], lines[2].split()[2]} == {address(a), address(a2)}


def test_order_and_status_of_two_datacenters():
    with rig.Cluster(places=PLACES) as c:
        check_order(c)
        for i in range(20):
            c.nodes[0].client().set(f"more{i}", "v")
        check_status(c)


def test_the_nearer_datacenter_is_asked_first():
    """It is named behind the other one, which is 20 ms away."""
    netns.need()
    places = [("dc1", "r1", "0"), ("far", "r1", "0"), ("near", "r1", "0"), ("far", "r2", "0"), ("near", "r2", "0")]
    with netns.NetCluster(places=places, delay_ms=20, sites=[0, 1, 0, 1, 0]) as c:
        here, *others = [f"{c.host(i)}:8101" for i in range(5)]
        far, near = others[::2], others[1::2]
        rig.wait_until(lambda: asked(c.nodes[0], "k") == ([here, *near, *far], []), "round trips are known")
        assert asked(c.nodes[3], "k")[0][:2] == [far[1], far[0]]  # own rack, own datacenter
        c.nodes[2].kill()
        rig.wait_until(lambda: asked(c.nodes[0], "k") == ([here, near[1], *far], [(near[0], "DOWN")]), "who is down is last")
        c.nodes[4].kill()
        rig.wait_until(lambda: asked(c.nodes[0], "k")[0] == [here, *far], "the far ones are left")


# ---- hedged reads -----------------------------------------------------------------------------

TIMEOUT = 40
SILENCE = TIMEOUT / 8  # seconds after which others are asked in any case


def hedges(node):
    """How many there were, and how many of them the second replica answered; /stats and the metrics agree."""
    stats = node.admin("stats")
    m = node.metrics()
    assert m["dynomite_hedged_reads_total"] >= stats["hedged_reads"] >= stats["hedged_reads_won"]
    return m["dynomite_hedged_reads_total"], m["dynomite_hedged_reads_won_total"]


class Hedged:
    """Two nodes, each with a Redis; the first node's can be held up. Its one worker knows what is usual, and has credit."""
    WARM = 3000

    def __enter__(self):
        self.cluster = rig.Cluster(2, store="redis", flags={"workers": 1, "timeout": TIMEOUT * 1000})
        self.gate = None
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def start(self):
        c = self.cluster
        self.node, self.other = c.nodes
        c.backends[0].start()
        self.gate = Gate(os.path.join(c.directory, "gate.sock"), c.backends[0].path)
        self.node.flags["servers"] = self.gate.path + ":1"
        c.__enter__()
        self.other.client().set("k", "v")
        self.reads = 0
        with Wire(self.node.client_port) as w:
            rig.wait_until(lambda: w.ask("GET", "k") == b"$1\r\nv\r\n", "the value is there")
            for _ in range(self.WARM):
                self.read([w])

    def read(self, wires):
        """One read on each connection, all at once; how long they took."""
        start = time.monotonic()
        for w in wires:
            w.send(command("GET", "k"))
        self.reads += len(wires)
        assert [w.reply() for w in wires] == [b"$1\r\nv\r\n"] * len(wires)
        return time.monotonic() - start

    def wires(self, n):
        return [Wire(self.node.client_port, 2 * TIMEOUT) for _ in range(n)]

    def __exit__(self, *error):
        if self.gate:
            self.gate.close()
        self.cluster.__exit__(*error)


def test_a_slow_replica_is_hedged():
    """Three reads in a hundred meet the node's own Redis while it says nothing: the other one answers them."""
    with Hedged() as h:
        wires, took = h.wires(3), []
        before, _ = hedges(h.node)
        for _ in range(20):
            for _ in range(97):
                took.append(h.read(wires[:1]))
            h.gate.open.clear()
            took += 3 * [h.read(wires)]
            h.gate.open.set()
        p99 = sorted(took)[len(took) * 99 // 100]
        all_, won = hedges(h.node)
        rig.note(f"p99 {p99 * 1000:.1f} ms, longest {max(took) * 1000:.1f} ms, {all_} hedged, {won} won, of {h.reads} reads")
        assert p99 < SILENCE / 2 and won >= 50 and all_ - before >= 50
        assert all_ <= h.reads * 0.05


def test_hedges_are_few():
    """While a replica says nothing, as many are asked twice as credit was saved up for, and no more; the rest is
    answered too, and nothing is disturbed by what the slow one says in the end."""
    with Hedged() as h:
        wires = h.wires(300)
        h.gate.open.clear()
        for w in wires:
            w.send(command("GET", "k"))
        h.reads += len(wires)
        answered = rig.wait_until(lambda: hedges(h.node)[1] >= 50 and hedges(h.node), "the second one has answered")
        assert answered[0] <= h.reads * 0.05
        h.gate.open.set()
        assert [w.reply() for w in wires] == [b"$1\r\nv\r\n"] * len(wires)
        for _ in range(3):
            h.read(wires)
        all_, won = hedges(h.node)
        rig.note(f"{all_} hedged, {won} won, of {h.reads} reads")
        assert won <= all_ <= h.reads * 0.05


def test_a_hedge_does_not_miss_what_its_client_has_written():
    """Only the first node's own Redis has the writes: a client that made them isn't answered by another one."""
    with Hedged() as h, Wire(h.node.client_port, 2 * TIMEOUT) as writer:
        h.node.admin("hints", "pause", "all")
        keys = [f"mine{i}" for i in range(600)]  # more than are remembered one by one
        for key in keys:
            assert writer.ask("SET", key, "v") == b"+OK\r\n"
        h.gate.open.clear()
        for key in keys:
            writer.send(command("GET", key))
        others = h.wires(10)
        for _ in range(3):
            h.read(others)  # hedges are made
        writer.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            writer.socket.recv(1)
        writer.socket.settimeout(TIMEOUT)
        h.gate.open.set()
        assert [writer.reply() for _ in keys] == [b"$1\r\nv\r\n"] * len(keys)
        h.node.admin("hints", "resume", "all")
