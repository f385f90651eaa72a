"""The promises on real processes, at each pair of levels: 6 nodes in 2 datacenters of 3 racks, 20 clients, kills, pauses and partitions, all
from one seed, and a checker over the whole history of it (storm.py, nemesis.py, checker.py).

    in CI            two storms of some seconds, one over each store, at levels by the seed; and one of the damages below
    make check-faults   over each store each pair of levels for 15 s, three pairs by the seed for 15 s, one for each kind of keys (bucket_types), and
                        two pairs by the seed for 60 s; all damages

By the seed sloppy_quorum is true in a quarter of the storms at DC_ONE and DC_QUORUM, else false, and read_repairs_enabled in half of all. DYN_SEED=n replays a test's faults and what its
clients ask for (not the moments, which are the machine's); `storm.py` runs one storm by hand, `checker.py` checks a kept history again.

The damages are what the checker must find: dynomited_damaged (damage.c) breaks one promise each."""
import os
import random

import netns
import pytest
import rig
import storm
from history import COUNT, LEVELS, MIXED, ONE, OVER, QUORUM, SAFE

SEED = int(os.environ.get("DYN_SEED", random.randrange(1 << 30)))
STORES = ["embedded", "redis"]
PAIRS = [(read, write) for read in LEVELS for write in LEVELS]

pytestmark = pytest.mark.usefixtures("namespaces")


@pytest.fixture(scope="module")
def namespaces():
    netns.need()
    netns.need_taps()


def dice(*what):
    """The same for the same seed and test."""
    return random.Random(f"{SEED} {what}")


def survive(store, read, write, seconds, seed, buckets=None):
    rig.note(f"DYN_SEED={SEED}")
    sloppy = {read, write} <= {ONE, QUORUM} and dice(store, read, write).random() < 0.25
    plan = storm.Plan(store, read, write, seed, seconds, sloppy, buckets=buckets or {}, repairs=dice("repairs", store, read, write).random() < 0.5)
    wrong, history = storm.run(plan)
    assert not wrong, f"{len(wrong)} wrong: " + "\n".join(map(str, wrong[:10]))
    done = [o for o in history.ops if o.outcome == "ok"]
    assert len(done) > 20 * seconds, "there was nothing to check"


@pytest.mark.parametrize("store", STORES)
def test_history_short(store):
    read, write = dice(store).choice(PAIRS)
    survive(store, read, write, 5, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("read, write", PAIRS)
def test_history_pair(store, read, write):
    survive(store, read, write, 15, dice(store, read, write).randrange(1 << 30))


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_history_levels_by_prefix(store):
    pairs = dice("buckets", store).sample(PAIRS, 4)
    survive(store, *pairs[3], 15, SEED, dict(zip((OVER, COUNT, MIXED), pairs)))


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("n", [0, 1])
def test_history_long(store, n):
    read, write = dice("long", store).sample(PAIRS, 2)[n]
    survive(store, read, write, 60, SEED + n)


# ---- deliberate damage -----------------------------------------------------------------------------------------------

# what is broken -> levels, faults, and of what may be found that which counts
DAMAGES = {"stamps": (ONE, ("part", "separate"), {"lost", "unequal"}),
           "early": (ONE, ("kill",), {"lost"}),
           "down": (SAFE, ("cut",), {"stale"}),
           "numbers": (ONE, ("kill", "pause"), {"count"})}
SEEDS = 5    # until it is found
SECONDS = 4


@pytest.mark.parametrize("store, damage", [pytest.param(s, d, marks=[] if (s, d) == ("embedded", "early") else pytest.mark.slow)
                                           for s in STORES for d in DAMAGES])
def test_history_damage_is_found(store, damage):
    level, faults, expected = DAMAGES[damage]
    rig.note(f"DYN_SEED={SEED}")
    for i in range(SEEDS):
        plan = storm.Plan(store, level, level, SEED + i, SECONDS, faults=faults, program="dynomited_damaged",
                          environment={"DYNOMITED_DAMAGE": damage})
        found = [w for w in storm.run(plan)[0] if w.what in expected]
        if found:
            rig.note(f"{damage} is found after {i + 1} storms: {found[0]}")
            return
    pytest.fail(f"{damage} isn't found in {SEEDS} storms")
