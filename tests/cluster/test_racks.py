"""Several nodes in a rack, several tokens a node, two datacenters: each key where it belongs."""
import bisect
import os
import subprocess

import pytest
import redis
import rig

Q = 1 << 30  # a quarter of the ring
EVEN = [("dc1", f"rack{r}", str(t)) for r in (1, 2, 3) for t in (0, 2 * Q)]
UNEVEN = [("dc1", "rack1", "77"),
          ("dc1", "rack2", f"{Q},{3 * Q}"), ("dc1", "rack2", f"{2 * Q},4294967295"),
          ("dc1", "rack3", "0,1,2"), ("dc1", "rack3", f"{Q // 2},{3 * Q + 5}"), ("dc1", "rack3", str(2 * Q - 1))]
KEYS = [f"key{i}" for i in range(300)]


def tokens_of(keys):
    done = subprocess.run([os.path.join(rig.BUILD, "dyn-hash-tool")], input="\n".join(keys) + "\n", text=True,
                          capture_output=True, check=True)
    return dict(zip(keys, map(int, done.stdout.split())))


def owners(places, token):
    """The rule: in each rack the node with the first token at or above the key's, wrapping round."""
    racks = {}
    for i, (dc, rack, tokens) in enumerate(places):
        racks.setdefault((dc, rack), []).extend((int(t), i) for t in tokens.split(","))
    found = set()
    for points in racks.values():
        points.sort()
        at = bisect.bisect_left(points, (token, -1))
        found.add(points[at % len(points)][1])
    return found


def stored(cluster):
    """How many keys each node's own store has."""
    return [n.client().info("keyspace").get("db0", {"keys": 0})["keys"] for n in cluster.nodes]


def held(want, n):
    """The same as it should be: of each of n nodes, so many keys whose owners are `want`."""
    return [sum(i in nodes for nodes in want) for i in range(n)]


def is_held_by(cluster, key, nodes):
    """All of these, which are its replicas, have it."""
    replicas = cluster.nodes[0].admin("key", key)["replicas"]
    return all(r["exists"] for r in replicas) and \
        {r["address"] for r in replicas} == {f"127.0.0.1:{cluster.nodes[i].peer_port}" for i in nodes}


def everywhere(cluster, key, size):
    """Each replica has the same copy, of so many bytes."""
    found = rig.copies(cluster.nodes[0], key)
    return len(found) == len(cluster.nodes) and {c[:3] for c in found} == {(True, "string", size)} and \
        len(set(found)) == 1


@pytest.fixture(scope="module", params=[EVEN, UNEVEN], ids=["2+2+2", "1+2+3"])
def racks(request):
    with rig.Cluster(places=request.param) as c:
        yield c


def test_racks_each_key_on_one_node_of_each_rack(racks):
    places, clients = racks.places, [n.client() for n in racks.nodes]
    for i, k in enumerate(KEYS):
        assert clients[i % len(clients)].set(k, i)
    token = tokens_of(KEYS)
    want = {k: owners(places, token[k]) for k in KEYS}
    assert {i for nodes in want.values() for i in nodes} == set(range(len(places))), "each node has some"
    rig.wait_until(lambda: stored(racks) == held(want.values(), len(places)), "each key is where it belongs, and only there")
    assert all(is_held_by(racks, k, want[k]) for k in KEYS[::20])
    for i, k in enumerate(KEYS):
        for c in clients:
            assert c.get(k) == b"%d" % i
    for k in KEYS[:8]:
        for n in (racks.nodes[0], racks.nodes[-1]):
            told = n.admin("key", k)
            assert told["token"] == token[k]
            assert {r["address"] for r in told["replicas"]} == {f"127.0.0.1:{racks.nodes[i].peer_port}"
                                                                for i in want[k]}
            assert all(r["exists"] for r in told["replicas"]) and len(set(rig.copies(n, k))) == 1
    for k in KEYS:
        clients[0].delete(k)
    rig.wait_until(lambda: not any(stored(racks)), "deletes arrive as well")


def test_racks_one_node_killed_and_back(racks):
    """Writes go on; hints are for its keys alone; it comes back complete."""
    places, victim = racks.places, len(racks.nodes) - 1
    dead = racks.nodes[victim]
    token = tokens_of(KEYS)
    its = [k for k in KEYS if victim in owners(places, token[k])]
    assert 0 < len(its) < len(KEYS)
    dead.kill()
    for n in racks.running():
        rig.wait_until(lambda n=n: n.states_of_peers().count("DOWN") == 1, f"{n.name} knows")
    clients = [n.client() for n in racks.running()]
    for i, k in enumerate(KEYS):
        assert clients[i % len(clients)].set(k, f"kill{i}") and clients[i % len(clients)].incr(f"n{k}") == 1
    counted = sum(1 for t in tokens_of([f"n{k}" for k in KEYS]).values() if victim in owners(places, t))
    rig.wait_until(lambda: sum(n.pending() for n in racks.running()) == len(its) + counted,
                   "hints for its keys, and for no others")
    for n in racks.running():
        assert {p["address"] for p in n.admin("hints")["peers"] if p["pending"]} <= {f"127.0.0.1:{dead.peer_port}"}
    for i, k in enumerate(KEYS):
        assert clients[i % len(clients)].get(k) == b"kill%d" % i
    dead.start()
    racks.wait_linked()
    racks.wait_delivered()
    values = rig.own_values(racks, victim, its)
    assert all(values[k] == b"kill%d" % KEYS.index(k) for k in its)
    assert stored(racks)[victim] == len(its) + counted
    for k in KEYS:
        clients[0].delete(k, f"n{k}")
    rig.wait_until(lambda: not any(stored(racks)), "all is deleted")


def test_racks_hash_tag_keeps_keys_together():
    with rig.Cluster(places=EVEN, flags={"hash-tag": "{}"}) as c:
        client = c.nodes[0].client()
        for tag in ("a", "b", "user:7", "zzz"):
            keys = [f"{{{tag}}}.{i}" for i in range(20)] + [f"x{{{tag}}}y"]
            for k in keys:
                client.set(k, "1")
            token = tokens_of([tag])[tag]
            want = owners(c.places, token)
            rig.wait_until(lambda: all(is_held_by(c, k, want) for k in keys[::7]), "they lie together")
            assert c.nodes[3].admin("key", keys[0])["token"] == token
        for k in ("{}empty", "{open", "no}tag{"):
            client.set(k, "1")
            token = tokens_of([k])[k]
            rig.wait_until(lambda: is_held_by(c, k, owners(c.places, token)), "no tag: the whole key counts")


@pytest.mark.parametrize("level", ["DC_ONE", "DC_QUORUM"])
def test_racks_two_datacenters(level):
    """Levels count the local datacenter; the other gets the writes too, and its hints when it is back."""
    places = [("dc1", "r1", "0"), ("dc1", "r2", "0"), ("dc1", "r3", "0"), ("dc2", "r1", "0"), ("dc2", "r2", "5")]
    flags = {"write-consistency": level, "read-consistency": level, "sloppy-quorum": "false"}
    with rig.Cluster(places=places, flags=flags) as c:
        near, far = c.nodes[:3], c.nodes[3:]
        assert near[0].client().set("k", "1") and far[0].client().set("f", "1")
        if level == "DC_QUORUM":
            assert near[1].client().get("k") == b"1", "two majorities meet"
        rig.wait_until(lambda: everywhere(c, "k", 1) and everywhere(c, "f", 1), "all five have both")
        for n in far:
            n.kill()
        rig.wait_until(lambda: near[0].states_of_peers().count("DOWN") == 2, "the other datacenter is DOWN")
        for i in range(50):
            assert near[i % 3].client().set(f"alone{i}", i) and near[0].client().incr("n") == i + 1
        assert near[0].client().get("k") == b"1"
        near[1].kill()
        near[2].kill()
        for n in far:
            n.start(wait=False)
        rig.wait_until(lambda: sorted(near[0].states_of_peers()) == ["DOWN", "DOWN", "NORMAL", "NORMAL"],
                       "two here are DOWN, the two far ones are back", 40)
        if level == "DC_QUORUM":  # far ones don't count
            with pytest.raises(redis.ResponseError, match="NOQUORUM 1 of 2 .*nothing was written"):
                near[0].client().set("k", "2")
            with pytest.raises(redis.ResponseError, match="NOQUORUM 1 of 2"):
                near[0].client().get("k")
        else:
            assert near[0].client().set("k", "2") and near[0].client().get("k") == b"2"
        near[1].start()
        near[2].start()
        c.wait_linked()
        c.wait_delivered()
        for i in range(50):
            assert everywhere(c, f"alone{i}", 1 if i < 10 else 2)
        assert everywhere(c, "n", 2) and [n.client().get("n") for n in c.nodes] == [b"50"] * 5
