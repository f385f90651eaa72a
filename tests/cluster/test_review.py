"""Faults found by reading."""
import rig


def test_review_a_standby_peer_gets_writes_without_handoff():
    """Off is for peers that are DOWN; one that is STANDBY takes writes."""
    with rig.Cluster(2, flags={"enable-hinted-handoff": "false", "gos-interval": "2000"}) as c:
        a, b = c.nodes
        b.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "node 2 is DOWN")
        b.start()
        rig.wait_until(lambda: a.states_of_peers() == ["STANDBY"], "node 2 is STANDBY")
        assert a.client().set("k", "1")
        assert a.states_of_peers() == ["STANDBY"]
        rig.wait_until(lambda: len(set(rig.copies(a, "k"))) == 1, "it has the write", 10)


def test_review_hints_expire_while_only_the_store_is_gone():
    """The node answers, its Redis doesn't: its hints live no longer than others."""
    with rig.Cluster(2, store="redis", flags={"hint-ttl-seconds": "2"}) as c:
        a, _ = c.nodes
        c.backends[1].kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "node 2 is DOWN")
        assert a.client().set("k", "1")
        assert a.pending() == 1
        rig.wait_until(lambda: a.pending() == 0, "the hint is expired", 10)
        c.backends[1].start()
