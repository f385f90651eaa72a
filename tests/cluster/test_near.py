"""Near and far: whom a node asks first, and what it shows of racks and datacenters."""
import re

import rig

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
    rig.wait_until(lambda: len(asked(a, key)[1]) == 2, "two are down")
    assert {s for _, s in asked(a, key)[1]} == {"DOWN"} and a.client().get(key) == b"v"


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
