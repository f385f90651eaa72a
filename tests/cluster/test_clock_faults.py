"""Hints survive wall clocks that jump an hour back or a day forward, at the sender, at the receiver or at both, while they
run and over a restart: nothing expires early, nothing is dropped as old, nothing is applied twice. What a node whose clock
is off refuses its clients isn't asked here: all writes are made before the jump."""
import pytest
import rig
from test_clock import DAY, HOUR, TTL, Clock, pytestmark, sweeps  # pylint: disable=unused-import
from test_faults import repair

N = 50
BACK, FORWARD = -HOUR, DAY
CASES = [("sender", jump, restart, "embedded") for jump in (BACK, FORWARD) for restart in (False, True)]
CASES += [("receiver", jump, restart, store) for jump in (BACK, FORWARD) for restart in (False, True)
          for store in ("embedded", "redis")]
CASES += [("both", BACK, restart, "embedded") for restart in (False, True)]
# not the store's name: libfaketime and a sanitizer's runtime don't go together (tools/dev picks tests by their names)
IDS = [f"{where} {'back' if jump < 0 else 'forward'} {'restarted' if restart else 'running'} {store[0]}"
       for where, jump, restart, store in CASES]


def hold_under_clocks(cluster):
    """Node 3 is away; node 1 holds two hints for each of N keys, one of them an overwrite of what node 3 has."""
    a, _, d = cluster.nodes
    for i in range(N):
        assert a.client().set(f"k{i}", "old")
    cluster.wait_delivered()
    rig.wait_until(lambda: rig.own_values(cluster, 2, [f"k{N - 1}"])[f"k{N - 1}"] == b"old", "node 3 has the old ones")
    d.kill()
    rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
    for i in range(N):
        assert a.client().set(f"k{i}", i) and a.client().incr("n") == i + 1
    assert a.pending() == 2 * N


def has_all(cluster, index):
    values = rig.own_values(cluster, index, [f"k{i}" for i in range(N)] + ["n"])
    return values == {**{f"k{i}": b"%d" % i for i in range(N)}, "n": b"%d" % N}


# running nodes go by the monotonic clock whatever the wall does: one of these in CI, all in check-faults
LONG = [i for i, case in enumerate(CASES) if not case[2] and case != ("receiver", FORWARD, False, "redis")]


@pytest.mark.parametrize("where,jump,restart,store",
                         [pytest.param(*case, marks=pytest.mark.slow if i in LONG else ()) for i, case in enumerate(CASES)],
                         ids=IDS)
def test_clock_jumps_cost_no_hint(where, jump, restart, store):
    c = rig.Cluster(3, flags={**TTL, "hint-drain-rate": "2500"}, store=store)
    a, b, d = c.nodes
    clocks = {n: Clock(n) for n in (a, d)}
    jumping = {"sender": [a], "receiver": [d], "both": [a, d]}[where]
    with c:
        hold_under_clocks(c)
        if d in jumping and not restart:
            d.start(wait=False)
            rig.wait_until(lambda: d.alive() and 0 < a.pending() < 2 * N, "the delivery is under way")
        for n in jumping:
            clocks[n].set(jump)
        if a in jumping and restart:
            a.stop()
            a.start()
        if not d.process:
            sweeps(a)
            assert a.pending() == 2 * N, "nothing expires early"
            d.start()
        c.wait_linked()
        c.wait_delivered()
        assert has_all(c, 2), "nothing is dropped as old"
        assert a.admin("hints")["totals"]["expired_total"] == 0
        assert not any(p["needs_repair"] for p in a.admin("status")["peers"])
        assert [n.metrics()["dynomite_stale_dropped_total"] for n in (b, d)] == [0, 0]


def test_clock_fault_hints_dropped_as_old_by_a_receiver_are_marked():
    """The clocks of sender and receiver jump a day forward; the receiver starts, finds that a peer agrees, and trusts its
    clock. It takes hints for too old that the sender, whose monotonic clock tells better, holds to be young: it says so."""
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
