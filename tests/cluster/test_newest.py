"""Old never beats new, also across coordinators: nodes 1 and 2 both hold hints for node 3 for one key. They reach
it in either order, with a write through node 3 before the first, between them, behind both, or none: each replica
ends with the newest. One run has all of that, each case with a key of its own."""
import itertools
import time

import pytest
import rig

SOON = 300  # ms: over before anything is delivered
LATE = 1000000  # ms


def do_set(c, key, value):
    c.set(key, value)
    return value, False


def do_delete(c, key, _):
    c.delete(key)
    return None, False


def do_set_late(c, key, value):
    c.set(key, value, px=LATE)
    return value, True


def do_set_soon(c, key, value):
    c.set(key, value, px=SOON)
    return None, False


def do_set_then_expire(c, key, value):
    c.set(key, value)
    c.pexpire(key, LATE)
    return value, True


def do_set_then_expire_soon(c, key, value):
    c.set(key, value)
    c.pexpire(key, SOON)
    return None, False


def do_expire_soon(c, key, _):
    c.pexpire(key, SOON)
    return None, False


def do_expire_at_once(c, key, _):
    c.pexpire(key, -1)
    return None, False


def do_many(c, key, value):
    c.mset({key: value, "beside " + key: value})
    return value, False


OVERWRITES = [do_set, do_delete, do_set_late, do_set_soon, do_set_then_expire, do_set_then_expire_soon, do_many]
# EXPIRE changes what is there, so it may be the older one only (the README's "what converges")
PAIRS = [*itertools.product(OVERWRITES + [do_expire_soon, do_expire_at_once], OVERWRITES)]
WHEN = ["none", "before", "between", "behind"]


class Case:
    """Two hints for one key, the older one from `older`; when node 3 writes it itself."""

    def __init__(self, older, pair, when):
        self.older, self.pair, self.when = older, pair, when
        names = " then ".join(p.__name__[3:] for p in pair)
        self.key = f"{names}, {older} is older, direct: {when}"
        self.expected = None

    def write(self, clients, n):
        """The n-th of its two writes."""
        coordinator = self.older if n == 0 else 3 - self.older
        self.expected = self.pair[n](clients[coordinator], self.key, f"{n} of {coordinator}".encode())

    def write_directly(self, client):
        do = do_delete if len(self.key) % 3 == 0 else do_set
        self.expected = do(client, self.key, b"direct")


def owed(node, peer):
    return next(p["pending"] for p in node.admin("hints")["peers"] if p["address"].endswith(f":{peer.peer_port}"))


def agree(cluster, marker):
    """Nodes 1 and 2 have what the other has written."""
    nodes = cluster.nodes[:2]
    for i, node in enumerate(nodes):
        node.client().set(f"{marker}{i}", "1")
    for i, node in enumerate(nodes):
        rig.wait_until(lambda i=i, n=node: n.client().get(f"{marker}{1 - i}"), "what the other one wrote is here")


def found(cluster, index, cases):
    """key -> (value, has it a lifetime?), as the node's own store has it."""
    keys = [c.key for c in cases]
    values = rig.own_values(cluster, index, keys)
    client = cluster.backends[index].client() if cluster.backends else cluster.nodes[index].client()
    return {k: (values[k], client.pttl(k) > 0) for k in keys}


@pytest.mark.parametrize("store", ["embedded", "redis"])
@pytest.mark.parametrize("first", [1, 2])
def test_newest_wins_on_every_replica(store, first):
    """first: the coordinator whose hints are delivered first."""
    cases = [Case(*c) for c in itertools.product([1, 2], PAIRS, WHEN)]
    with rig.Cluster(3, store=store) as c:
        a, b, d = c.nodes
        clients = [None, a.client(), b.client()]
        for case in cases:
            a.client().set(case.key, "base")
        rig.wait_until(lambda: all(len(set(rig.copies(n, cases[-1].key))) == 1 for n in c.nodes), "all have the base")
        d.kill()
        for n in (a, b):
            rig.wait_until(lambda n=n: "DOWN" in n.states_of_peers(), "node 3 is DOWN")
        for n in range(2):
            for case in cases:
                case.write(clients, n)
            agree(c, f"marker{n}")
        written = time.monotonic()
        assert owed(a, d) >= len(cases) and owed(b, d) >= len(cases)
        a.stop()
        b.stop()
        rig.wait_until(lambda: time.monotonic() - written > SOON / 1000, "short lifetimes are over")
        d.start()
        rig.wait_until(lambda: d.metrics()["dynomite_backend_up"], "node 3's store is up")
        direct(cases, "before", d)
        for i in (first, 3 - first):
            node = c.nodes[i - 1]
            node.start()
            rig.wait_until(lambda n=node: owed(n, d) == 0, f"{node.name}'s hints are delivered")
            direct(cases, "between" if i == first else "behind", d)
        c.wait_linked()
        c.wait_delivered()
        expected = {case.key: case.expected for case in cases}
        for i in range(3):
            have = found(c, i, cases)
            wrong = {k: (v, have[k]) for k, v in expected.items() if have[k] != v}
            assert not wrong, f"node {i + 1}: {len(wrong)} of {len(cases)} (expected, found): {list(wrong.items())[:5]}"
        assert d.metrics()["dynomite_stale_dropped_total"] > len(cases) / 2


def direct(cases, when, node):
    client = node.client()
    for case in cases:
        if case.when == when:
            case.write_directly(client)
