"""Promises that don't hold yet, each with its reason; not collected: pytest tests/cluster/known_bugs.py."""
import rig
from test_clock import DAY, Clock, pytestmark  # pylint: disable=unused-import
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
