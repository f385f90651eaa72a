"""Promises that don't hold yet, each with its reason; not collected: pytest tests/cluster/known_bugs.py."""
import rig
from test_clock import DAY, TTL, all_delivered, hold, pytestmark, sweeps, with_clock  # pylint: disable=unused-import


def test_clock_a_restart_after_the_jump_expires_nothing():
    """server_tick keeps the wall clock, jumped or not, as the last one kept; a restart then finds its clock
    near that and trusts it, although the peers disagree."""
    with rig.Cluster(3, flags=TTL) as c:
        clock, a = with_clock(c), c.nodes[0]
        hold(c)
        clock.set(DAY)
        sweeps(a)
        a.stop()
        a.start()
        sweeps(a)
        assert a.pending() == 100
        all_delivered(c)
