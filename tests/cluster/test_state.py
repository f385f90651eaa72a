"""dyn-admin state: an operator takes a node out of reads and back."""
import pytest
import rig

HALF = 2147483648


@pytest.fixture(scope="module", params=["true", "false"], ids=["gossip", "static"])
def cluster(request):
    """Node 1 and 2 share rack 1, node 3 has all of rack 2; each with a Redis, which tells whose value it is."""
    with rig.Cluster(store="redis", places=[("dc1", "r1", "0"), ("dc1", "r1", str(HALF)), ("dc1", "r2", "0")],
                     flags={"gos-interval": "300", "enable-gossip": request.param}) as c:
        yield c


def state(node, *words):
    return node.admin("state", *words)["state"]


def marked(cluster, owner):
    """A key of that node's range in rack 1, whose value is another one in each store that has it."""
    me = owner.admin("status")["node"]["id"]
    key = next(k for k in (f"key{i}" for i in range(1000))
               if me in {r["id"] for r in cluster.nodes[0].admin("key", k)["replicas"]})
    cluster.nodes[2].client().set(key, "v")
    cluster.wait_delivered()
    for i, backend in enumerate(cluster.backends):
        rig.wait_until(lambda b=backend, i=i: b.client().exists(key) or cluster.nodes[i] not in (owner, cluster.nodes[2]),
                       "the write arrives")
        if backend.client().exists(key):
            backend.client().set(key, f"of{i + 1}")
    return key


def sees(node, peer, wanted):
    rig.wait_until(lambda: {p["address"]: p["state"] for p in node.admin("status")["peers"]}
                   [f"127.0.0.1:{peer.peer_port}"] == wanted, f"{node.name} sees {peer.name} {wanted}")


def test_reads_avoid_a_node_that_is_standby_by_order(cluster):
    one, two, three = cluster.nodes
    key = marked(cluster, two)
    assert one.client().get(key) == b"of2"  # the nearest
    assert two.client().get(key) == b"of2"
    assert state(two, "standby") == "STANDBY" == state(two) == two.state()
    sees(one, two, "STANDBY")
    assert one.client().get(key) == b"of3"
    assert two.client().get(key) == b"of3"  # its own clients' reads too
    assert two.client().set(key, "w")  # it takes writes, and serves clients
    rig.wait_until(lambda: cluster.backends[1].client().get(key) == b"w", "it gets them")
    cluster.backends[1].client().set(key, "of2")
    assert state(two, "standby") == "STANDBY"  # twice is fine
    assert state(two, "normal") == "NORMAL" == two.state()
    sees(one, two, "NORMAL")
    assert one.client().get(key) == b"of2" and two.client().get(key) == b"of2"
    assert state(two, "normal") == "NORMAL"
    assert "STANDBY until `state normal` (dyn-admin)" in two.log_text()


def test_peers_tell_what_membership_says(cluster):
    one = cluster.nodes[0]
    told = one.flags["enable-gossip"] == "true"

    def right():
        peers = one.admin("peers")["peers"]
        return all(p["link"] and p["since_ms"] and isinstance(p["incarnation"], int) == told for p in peers)
    rig.wait_until(right, "all members are known")


def test_a_restart_ends_it(cluster):
    one, two, _ = cluster.nodes
    assert state(two, "standby") == "STANDBY"
    two.stop()
    two.start()
    cluster.wait_linked()  # NORMAL for all
    sees(one, two, "NORMAL")


def test_leaving_is_refused_with_the_reason(cluster):
    """Without gossip always, with it where a node of the rack would inherit."""
    two = cluster.nodes[1]
    why = b"leaving needs gossip" if two.flags["enable-gossip"] == "false" else b"inherit"
    done = two.admin_run("state", "leaving")
    assert done.returncode == 1 and done.stdout == b""
    assert why in done.stderr and done.stderr.count(b"\n") == 1
    assert two.state() == "NORMAL"
