"""A node that is lost for good, and the one that takes its place in the ring: a new data_dir, a new id."""
import os
import shutil

import pytest
import rig
from test_faults import repair


def wipe(node):
    """It comes back with nothing: no data, and another id."""
    shutil.rmtree(node.directory)


def id_of(node):
    return node.admin("status")["node"]["id"]


def peer_of(node, peer):
    """What the node says of this peer."""
    return next(p for p in node.admin("status")["peers"] if p["address"].endswith(f":{peer.peer_port}"))


def hint_logs(node):
    return sorted(name for name in os.listdir(os.path.join(node.directory, "hints")) if name != "ring")


def lose(cluster):
    """Node 3 is gone; nodes 1 and 2 have writes for it: counters and a list, whose order shows."""
    a, b, d = cluster.nodes
    d.kill()
    rig.wait_until(lambda: "DOWN" in a.states_of_peers() and "DOWN" in b.states_of_peers(), "node 3 is DOWN")
    for i in range(200):
        a.client().append("a", f"{i},")
        b.client().append("b", f"{i},")
        a.client().incr("n")
    rig.wait_until(lambda: a.pending() == 400 and b.pending() == 200, "they have hints for it")
    if cluster.backends:
        cluster.backends[2].kill()
        shutil.rmtree(cluster.backends[2].directory)
        cluster.backends[2].start()


VALUES = {"a": "".join(f"{i}," for i in range(200)).encode(), "n": b"200"}
VALUES["b"] = VALUES["a"]


def check_inherited(cluster, old):
    """Every hint once and in order; the others know what it lacks, and by what id it goes."""
    a, b, d = cluster.nodes
    cluster.wait_linked()
    cluster.wait_delivered()
    assert rig.own_values(cluster, 2, ["a", "b", "n"]) == {k: VALUES[k] for k in ("a", "b", "n")}
    for n in (a, b):
        peer = peer_of(n, d)
        assert peer["id"] == id_of(d) != old and peer["needs_repair"]
        assert f"node {id_of(d)} takes the place of node {old}" in n.log_text()
        assert id_of(d) in hint_logs(n) and old not in hint_logs(n)
        with open(os.path.join(n.directory, "peers"), encoding="ascii") as f:
            assert id_of(d) in f.read()
        with open(os.path.join(n.directory, "hints", id_of(d), "needs-repair"), encoding="ascii") as f:
            assert f"node {old} was replaced by node {id_of(d)}" in f.read()


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_replace_a_lost_node_gets_its_hints(store):
    with rig.Cluster(3, store=store) as c:
        a, b, d = c.nodes
        a.client().set("before", "1")
        rig.wait_until(lambda: len(set(rig.copies(a, "before"))) == 1, "all have it")
        old = id_of(d)
        lose(c)
        wipe(d)
        d.start()
        check_inherited(c, old)
        for n in c.nodes:
            assert n.client().incr("from" + n.name) == 1
        for n in c.nodes:
            rig.wait_until(lambda n=n: len(set(rig.copies(n, "from" + n.name))) == 1, "writes go all ways")
        a.kill()
        a.start()
        c.wait_linked()
        assert peer_of(a, d)["id"] == id_of(d) and peer_of(a, d)["needs_repair"]
        assert a.client().incr("from" + d.name) == 2
        rig.wait_until(lambda: len(set(rig.copies(a, "from" + d.name))) == 1, "numbers go on over a restart")


def test_replace_while_the_one_who_has_the_hints_is_away():
    """The place is taken when the new node meets a node that comes back with the hints."""
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        old = id_of(d)
        lose(c)
        a.kill()
        wipe(d)
        d.start()
        rig.wait_until(lambda: peer_of(b, d)["state"] == "NORMAL", "node 2 takes it")
        a.start()
        check_inherited(c, old)


def test_replace_again():
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        lose(c)
        wipe(d)
        d.start()
        c.wait_linked()
        c.wait_delivered()
        second = id_of(d)
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers() and "DOWN" in b.states_of_peers(), "node 3 is DOWN")
        a.client().set("k", "v")
        wipe(d)
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert id_of(d) in hint_logs(a) and second not in hint_logs(a)
        assert rig.own_values(c, 2, ["k", "n"]) == {"k": b"v", "n": None}


def test_replace_of_a_living_node_is_refused():
    """A second process with the place of node 3: both sides say why, and node 3 isn't disturbed."""
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        old = id_of(d)
        other = rig.Node(c.directory, "other", rig.free_ports(3), dict(d.flags))
        other.start()
        try:
            for n in (a, b):
                rig.wait_until(lambda n=n: "at a place that belongs to node" in n.log_text(),
                               f"{n.name} says it")
            rig.wait_until(lambda: "at a place that belongs to node" in other.log_text(),
                           "it hears why")
            assert not any(repair(a).values()) and peer_of(a, d)["id"] == old
            assert a.client().set("k", "v")
            rig.wait_until(lambda: d.client().get("k") == b"v", "node 3 goes on")
            assert other.states_of_peers() == ["DOWN", "DOWN"]
        finally:
            other.kill()


def test_replace_when_the_old_node_comes_back_it_is_refused():
    """Its data_dir was kept: it isn't the one any more whose log the others hold."""
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        d.kill()
        kept = d.directory + ".kept"
        os.rename(d.directory, kept)
        d.start()
        c.wait_linked()
        new = id_of(d)
        old = rig.Node(c.directory, "node3.kept", rig.free_ports(3), dict(d.flags))
        old.start()
        try:
            rig.wait_until(lambda: "at a place that belongs to node" in old.log_text(), "refused")
            assert peer_of(a, d)["id"] == new
        finally:
            old.kill()


@pytest.mark.parametrize("named", ["before", "after"])
def test_replace_killed_halfway_loses_no_hint(named):
    """The log has the new id's name, and the file peers still the old id; or the other way round."""
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        old = id_of(d)
        a.stop()
        a.start()  # its logs have the others' ids as names
        c.wait_linked()
        lose(c)
        a.kill()
        hints = os.path.join(a.directory, "hints")
        fresh = "0123abcd-1111-4111-8111-0123456789ab"
        if named == "before":
            os.rename(os.path.join(hints, old), os.path.join(hints, fresh))
        else:
            path = os.path.join(a.directory, "peers")
            with open(path, encoding="ascii") as f:
                text = f.read()
            with open(path, "w", encoding="ascii") as f:
                f.write(text.replace(old, fresh))
        a.start()
        assert a.pending() == 400
        wipe(d)
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["a", "b", "n"]) == {k: VALUES[k] for k in ("a", "b", "n")}
        assert hint_logs(a) == sorted([id_of(b), id_of(d)])
