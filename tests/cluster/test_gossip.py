"""Membership on real processes: joining by one seed, failures, restarts elsewhere, leaving."""
import os
import shutil
import socket
import threading
import time

import linkpeer
import pytest
import redis
import rig

Q = 2 ** 30


def address(node):
    return f"127.0.0.1:{node.peer_port}"


def sees(node, *others, state="NORMAL"):
    """Does the node see exactly these, in this state?"""
    return node.members() == {address(o): state for o in others}


def wait_all_see(nodes, deadline=20):
    for n in nodes:
        rig.wait_until(lambda n=n: n.state() == "NORMAL" and sees(n, *(o for o in nodes if o is not n))
                       and n.states_of_peers() == ["NORMAL"] * (len(nodes) - 1),
                       f"{n.name} sees the others", deadline)


def wait_settled(*nodes):
    """Not so after a restart: it is known then, and not said."""
    for n in nodes:
        rig.wait_until(lambda n=n: "this node is a member of the ring" in n.log_text(), f"{n.name} is in")


def one_seed(n, store="embedded", **flags):
    """The first node has no seeds, the others have it."""
    return rig.Cluster(n, store=store, flags={"gos-interval": "300", **flags}, seeds=[[]] + [[0]] * (n - 1))


def wait_up(node):
    rig.wait_until(lambda: node.alive() and node.client().ping(), f"{node.name} answers")


def start_backends(c):
    for backend in c.backends:
        backend.start()


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_gossip_three_nodes_by_one_seed(store):
    """Nodes 2 and 3 know only node 1, which knows nobody; a write through any is on all."""
    c = one_seed(3, store)
    try:
        start_backends(c)
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        for i, node in enumerate(c.nodes):
            node.client().set(f"k{i}", i)
        for node in c.nodes:
            rig.wait_until(lambda n=node: all(copy == rig.copies(n, f"k{i}")[0] and copy[0]
                                              for i in range(3) for copy in rig.copies(n, f"k{i}")),
                           "each write is on each node")
    finally:
        c.end_all()


def test_gossip_members_are_remembered():
    """Node 3 knows nodes 1 and 2 after its restart, though its only seed is gone; and its hints for it are kept."""
    c = one_seed(3)
    try:
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        a, b, d = c.nodes
        d.stop()
        a.kill()
        d.start()
        rig.wait_until(lambda: d.members().get(address(b)) == "NORMAL" and address(a) in d.members(),
                       "node 3 knows both")
        d.client().set("k", "v")
        rig.wait_until(lambda: d.pending() == 1, "the hint for node 1")
        a.start()
        wait_all_see(c.nodes)
        rig.wait_until(lambda: rig.copies(d, "k") == [rig.copies(d, "k")[0]] * 3, "delivered")
    finally:
        c.end_all()


def test_gossip_a_lost_node_is_replaced_at_another_address():
    """Of three, node 2 loses disk and address. The others hear of its successor before they meet it, and of the death:
    it has its place, and the hints of both."""
    c = one_seed(3)
    try:
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        a, b, d = c.nodes
        b.kill()
        for n in (a, d):
            rig.wait_until(lambda n=n: n.members()[address(b)] == "DOWN", "node 2 is DOWN")
            n.client().set(f"by-{n.name}", 1)
        shutil.rmtree(b.directory)
        os.makedirs(b.directory)
        b.client_port, b.peer_port, b.http_port = rig.free_ports(3)
        b.start()
        wait_all_see(c.nodes)
        for n in (a, d):
            rig.wait_until(lambda n=n: n.pending() == 0, "its hints are delivered")
            assert [copy[0] for copy in rig.copies(b, f"by-{n.name}")] == [True] * 3
    finally:
        c.end_all()


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_gossip_from_alone_to_two_without_a_restart(store):
    """A node that is alone takes writes of several clients while another joins; JOINING, since its ring serves."""
    c = one_seed(2, store)
    a, b = c.nodes
    try:
        start_backends(c)
        a.start()
        client = a.client()
        rig.wait_until(lambda: client.set("before", 1), "node 1 serves")
        b.start(wait=False)
        count = 0

        def write_until_it_joins():
            nonlocal count
            count += 1
            try:
                assert client.incr("n") == count
            except redis.RedisError as error:
                raise AssertionError(f"no write fails: {error}") from error
            return a.members().get(address(b)) == "JOINING"
        rig.wait_until(write_until_it_joins, "node 2 is JOINING")
        for _ in range(50):
            count += 1
            assert client.incr("n") == count
        rig.wait_until(lambda: b.state() == "JOINING", "node 2 is JOINING")
        rig.wait_until(lambda: b.client().get("n") == b"%d" % count, "it asks node 1")
        client.set("after", 2)
        wait_up(b)
        rig.wait_until(lambda: a.pending() == 0, "node 2 has what is for it")
        assert [r["address"] for r in a.admin("key", "after")["replicas"]] == [address(a)]
        for node in (a, b):
            joining = node.admin("key", "after")["joining"]
            assert [(r["address"], r["state"], r["asked"], r["exists"]) for r in joining] == [(address(b), "JOINING", False, True)]
        b.admin("state", "normal")
        wait_all_see(c.nodes)
        rig.wait_until(lambda: len(a.admin("key", "after")["replicas"]) == 2, "both are replicas")
        assert "joining" not in a.admin("key", "after")
        assert rig.copies(a, "after")[0] == rig.copies(a, "after")[1]
    finally:
        c.end_all()


def test_gossip_a_joining_node_counts_in_no_quorum():
    """With two of three members and a newcomer, DC_QUORUM needs two of the members' three."""
    c = rig.Cluster(4, flags={"read-consistency": "DC_QUORUM", "write-consistency": "DC_QUORUM"},
                    seeds=[[1, 2], [0, 2], [0, 1], [0]])
    try:
        for node in c.nodes[:3]:
            node.start()
        wait_all_see(c.nodes[:3])
        wait_settled(*c.nodes[:3])
        a, b, d, new = c.nodes
        a.client().set("k", 1)
        new.start()
        for n in c.nodes[:3]:
            rig.wait_until(lambda n=n: n.members().get(address(new)) == "JOINING", "it is known")
        d.kill()
        rig.wait_until(lambda: a.members()[address(d)] == "DOWN", "node 3 is DOWN")
        a.client().set("k", 2)
        assert b.client().get("k") == b"2" == new.client().get("k")
        b.kill()
        rig.wait_until(lambda: a.members()[address(b)] == "DOWN", "node 2 is DOWN")
        with pytest.raises(redis.ResponseError, match="NOQUORUM 1 of 2"):
            a.client().get("k")
    finally:
        c.end_all()


def test_gossip_a_taken_token_keeps_a_node_out():
    c = rig.Cluster(places=[("dc1", "r1", "0"), ("dc1", "r2", "0"), ("dc1", "r2", "0")],
                    seeds=[[1], [0], []])
    try:
        a, b, third = c.nodes
        third.flags["dyn-seeds"] = f"127.0.0.1:{a.peer_port}:r1:dc1:0"
        a.start()
        b.start()
        wait_all_see([a, b])
        wait_settled(a, b)
        rig.another_second()  # who has run for longer keeps the token
        third.start()
        rig.wait_until(lambda: "doesn't join" in third.log_text() and address(b) in third.log_text(),
                       "it says who has the token")
        a.client().set("k", "v")
        rig.wait_until(lambda: third.state() == "JOINING", "it isn't in the ring")
        with pytest.raises(redis.ResponseError, match="NOQUORUM"):  # and doesn't answer from its own store
            third.client().get("k")
        assert sees(a, b) and sees(b, a)
    finally:
        c.end_all()


def test_gossip_kill_stop_and_restart_elsewhere():
    """A killed node is DOWN for both others, one that stops says so; on a new address it is the same node."""
    c = one_seed(3)
    try:
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        a, b, d = c.nodes
        d.kill()
        for n in (a, b):
            rig.wait_until(lambda n=n: n.members()[address(d)] == "DOWN", "node 3 is DOWN", 10)
        a.client().set("k", 1)
        its_id = next(p["id"] for p in a.admin("status")["peers"] if p["address"] == address(d))
        d.client_port, d.peer_port, d.http_port = rig.free_ports(3)
        d.start()
        wait_all_see(c.nodes)
        assert next(p["id"] for p in a.admin("status")["peers"] if p["address"] == address(d)) == its_id
        rig.wait_until(lambda: a.pending() == 0 and rig.copies(d, "k") == [rig.copies(d, "k")[0]] * 3,
                       "it has its hints")
        b.stop()
        for n in (a, d):
            rig.wait_until(lambda n=n: n.members()[address(b)] == "DOWN", "node 2 is DOWN", 10)
        assert "own word" in a.log_text() or "says" in a.log_text()
    finally:
        c.end_all()


def test_gossip_leaving():
    """A node whose rack has no heir leaves, after all that it has is delivered; one with an heir mustn't."""
    c = rig.Cluster(places=[("dc1", "r1", "0"), ("dc1", "r2", "0"), ("dc1", "r3", "0"), ("dc1", "r3", str(2 * Q))])
    try:
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        wait_settled(*c.nodes)
        a, b, d, e = c.nodes
        done = d.admin_run("state", "leaving")
        assert done.returncode == 1 and address(e) in done.stderr.decode() and b"inherit" in done.stderr
        a.kill()
        b.client().set("k", "v")
        done = b.admin_run("--timeout", "1", "state", "leaving")
        assert done.returncode == 1 and address(a) in done.stderr.decode(), done
        with pytest.raises((redis.ConnectionError, redis.ResponseError)):
            b.client().ping()
        a.start()
        b.admin("state", "leaving")
        for n in (a, d, e):
            rig.wait_until(lambda n=n: n.members().get(address(b)) in (None, "RESET"), "node 2 has left")
            assert n.client().get("k") == b"v"
            assert address(b) not in [r["address"] for r in n.admin("key", "k")["replicas"]]
        b.stop()
        a.stop()
        a.start()
        rig.wait_until(lambda: a.members().get(address(d)) == "NORMAL", "node 1 is back")
        assert a.members().get(address(b)) in (None, "RESET"), "dyn_seeds doesn't bring it back"
        assert len(a.admin("key", "k")["replicas"]) == 2
    finally:
        c.end_all()


def test_gossip_leaving_after_another_that_was_owed_hints():
    """Node 2 left while node 1 held hints for it: nobody will take them, and they don't keep node 1 from leaving."""
    c = rig.Cluster(places=[("dc1", "r1", "0"), ("dc1", "r2", "0"), ("dc1", "r3", "0")])
    try:
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        wait_settled(*c.nodes)
        a, b, d = c.nodes
        a.admin("hints", "pause", address(b))
        client = a.client()
        client.set("k", "v")
        rig.wait_until(lambda: a.pending() == 1, "a hint for node 2")
        b.admin("state", "leaving")
        rig.wait_until(lambda: address(b) not in a.members(), "node 1 knows")
        count = client.incr("n")
        leaving = threading.Thread(target=lambda: a.admin("--timeout", "20", "state", "leaving"))
        leaving.start()
        with pytest.raises(redis.ResponseError, match="has left the ring; nothing was written"):
            while count < 200000:  # on a connection from before: up to the last moment
                assert client.incr("n") == count + 1
                count += 1
        leaving.join()
        rig.wait_until(lambda: address(a) not in d.members(), "node 1 has left")
        assert d.client().get("k") == b"v" and int(d.client().get("n")) == count
    finally:
        c.end_all()


def test_gossip_other_tokens_while_hints_lie_for_the_old_ones():
    """It is refused as long as they lie there, and taken when they are gone, without another word from it."""
    c = rig.Cluster(places=[("dc1", "r1", "0"), ("dc1", "r2", "0")], seeds=[[], [0]])
    a, b = c.nodes
    try:
        for node in c.nodes:
            node.start()
        wait_all_see(c.nodes)
        b.stop()
        a.client().set("k", "v")
        rig.wait_until(lambda: a.pending() == 1, "a hint")
        b.flags["tokens"] = str(Q)
        b.start(wait=False)
        rig.wait_until(lambda: "bytes lie here for the old one" in a.log_text(), "it is refused")
        a.admin("hints", "truncate", "--yes", address(b))
        rig.wait_until(lambda: a.members().get(address(b)) == "JOINING" and a.states_of_peers() == ["JOINING"],
                       "it is taken")
        a.client().set("k", "w")
        rig.wait_until(lambda: a.pending() == 0, "it has what is for it")
    finally:
        c.end_all()


def test_gossip_off_is_static():
    """enable_gossip: false: an unknown node is refused, as before."""
    c = rig.Cluster(3, flags={"enable-gossip": "false"}, seeds=[[1], [0], [0]])
    try:
        a, b, other = c.nodes
        a.start()
        b.start()
        wait_all_see([a, b])
        other.start()
        rig.wait_until(lambda: "isn't one of the places" in other.log_text() + a.log_text(), "it is refused")
        assert sees(a, b) and sees(b, a)
    finally:
        c.end_all()


def test_gossip_a_peer_without_it_has_heartbeats():
    """Where only one of two gossips, the other hears of its idle link, and doesn't take it for broken."""
    c = rig.Cluster(2, flags={"gos-interval": "200"})
    a, b = c.nodes
    b.flags = {**b.flags, **rig.STATIC}
    try:
        for node in c.nodes:
            node.start()
        for node in c.nodes:
            rig.wait_until(lambda n=node: n.states_of_peers() == ["NORMAL"], "linked")
        end = time.monotonic() + 4  # it gives up after 4 intervals and a second, and looks each second
        while time.monotonic() < end:
            assert "NORMAL -> DOWN" not in a.log_text()
            time.sleep(0.1)
    finally:
        c.end_all()


def test_gossip_of_strangers_is_refused():
    """Noise on the peers' port, and gossip of another cluster: both nodes go on, and say so."""
    c = rig.Cluster(2)
    with c:
        a, b = c.nodes
        for payload in (b"", b"\xff" * 100, os.urandom(5000), b"\x0a\x03abc"):
            with socket.create_connection(("127.0.0.1", a.peer_port), timeout=10) as s:
                s.sendall(linkpeer.frame(linkpeer.GOSSIP, payload))
                assert s.recv(4096), "it is told why"
        other = rig.Cluster(1, name="other")
        other.nodes[0].flags.update({"dyn-seeds": f"127.0.0.1:{a.peer_port}:rack1:dc1:0", "rack": "rack9"})
        try:
            other.nodes[0].start()
            rig.wait_until(lambda: "gossip refused" in a.log_text() and "other" in a.log_text(), "it says so")
        finally:
            other.end_all()
        assert sees(a, b) and sees(b, a)
        assert a.metrics()["dynomite_gossip_refused_total{reason=\"unreadable\"}"] >= 5
