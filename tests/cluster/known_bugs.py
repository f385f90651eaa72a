"""Promises that don't hold yet, each with its reason; not collected: pytest tests/cluster/known_bugs.py."""
import rig
from test_clock import DAY, TTL, Clock, pytestmark  # pylint: disable=unused-import
from test_clock_faults import has_all, hold_under_clocks
from test_faults import repair


def test_clock_two_days_behind_loses_no_answered_write():
    """too_old() in src/request/writer.c throws away what is stamped more than hint_ttl_seconds + 1 h ago, live
    writes too, and acknowledges them as applied. -CLOCK (a later issue) would refuse them at the coordinator;
    until then they are answered with OK and are on no other node, and no mark says so."""
    c = rig.Cluster(3)
    Clock(c.nodes[0], -2 * DAY)
    with c:
        a, b, _ = c.nodes
        assert a.client().set("k", "1")
        rig.wait_until(lambda: b.client().get("k") == b"1" or any(repair(a).values()), "it is there, or marked", 5)


def test_hints_dropped_as_old_by_a_receiver_a_day_ahead_are_marked():
    """The same too_old(): the clocks of sender and receiver jump a day forward, the receiver starts, finds that a peer
    agrees, and trusts its clock. It drops hints that the sender, whose monotonic clock tells better, holds to be young,
    and acknowledges them: the sender counts them as delivered, and no mark says that they are gone."""
    c = rig.Cluster(3, flags=TTL)
    a, _, d = c.nodes
    clocks = [Clock(n) for n in (a, d)]
    with c:
        hold_under_clocks(c)
        for clock in clocks:
            clock.set(DAY)
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert has_all(c, 2) or any(repair(a).values())
