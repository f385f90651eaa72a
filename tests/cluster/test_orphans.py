"""Hints of a node that the configuration doesn't name any more: kept, shown, handed off to who holds
its keys now, each once; or truncated.

Racks r1 (nodes 1 and 2) and r2 (nodes 3 and 4); node 4 goes, and its part of the ring becomes node 3's."""
import os
import random
import subprocess

import pytest
import rig
from test_racks import owners, tokens_of

Q = 1 << 30  # a quarter of the ring
PLACES = [("dc1", "r1", "0"), ("dc1", "r1", str(2 * Q)), ("dc1", "r2", "0"), ("dc1", "r2", str(2 * Q))]
KEYS = [f"key{i}" for i in range(200)]


@pytest.fixture(params=["embedded", "redis"])
def store(request):
    return request.param


def its_keys(keys=KEYS):
    """Those that node 4 holds, and with it one of nodes 1 and 2."""
    token = tokens_of(keys)
    return [k for k in keys if 3 in owners(PLACES, token[k])]


def address(node):
    return f"127.0.0.1:{node.peer_port}"


def id_of(node):
    return node.admin("status")["node"]["id"]


def count(node, keys, times=1):
    """Each key once, or more often; every one is answered."""
    pipe = node.client().pipeline(transaction=False)
    for _ in range(times):
        for k in keys:
            pipe.incr(k)
    assert len(pipe.execute()) == len(keys) * times


def forget(cluster, gone):
    """The others' configuration doesn't name it any more: a restart."""
    left = [n for n in cluster.nodes if n is not gone]
    for n in left:
        n.stop()
        n.flags["dyn-seeds"] = [s for s in n.flags["dyn-seeds"] if f":{gone.peer_port}:" not in s]
    for n in left:
        n.start(wait=False)
    for n in left:
        rig.wait_until(lambda n=n: n.alive() and n.client().ping(), f"{n.name} answers")
    rig.wait_until(lambda: all(n.state() == "NORMAL" and n.states_of_peers() == ["NORMAL"] * 2 for n in left),
                   "they see each other", 40)
    return left


def orphans(node):
    return [p for p in node.admin("hints")["peers"] if p["state"] == "orphaned"]


def kill_fourth(cluster):
    gone = cluster.nodes[3]
    gone_id = id_of(gone)
    gone.kill()
    for n in cluster.running():
        rig.wait_until(lambda n=n: n.states_of_peers().count("DOWN") == 1, f"{n.name} knows")
    return gone, gone_id


def values(cluster, index, keys):
    return {k: int(v or 0) for k, v in rig.own_values(cluster, index, keys).items()}


def delivered(nodes):
    for n in nodes:
        rig.wait_until(lambda n=n: n.pending() == 0, f"{n.name} has no hints")
        rig.wait_until(lambda n=n: all(p["behind_bytes"] == 0 for p in n.admin("peers")["peers"]), "all is there")


def test_orphans_are_kept_shown_and_handed_off(store):
    with rig.Cluster(places=PLACES, store=store, flags=rig.STATIC) as c:
        its = its_keys()
        for n in c.nodes[:3]:
            count(n, KEYS)
        delivered(c.nodes)
        gone, gone_id = kill_fourth(c)
        for n in c.running():
            count(n, KEYS, 2)
        for n in c.running():
            rig.wait_until(lambda n=n: n.pending() == 2 * len(its), "hints for its keys, and for no others")
        left = forget(c, gone)
        for n in left:
            shown = orphans(n)
            assert [(p["id"], p["address"], p["rack"], p["pending"]) for p in shown] == \
                [(gone_id, address(gone), "r2", 2 * len(its))]
            assert shown[0]["bytes"] == n.admin("hints")["totals"]["bytes"] > 0
            metrics = n.metrics()
            assert metrics[f'dynomite_hints_pending{{peer="{address(gone)}"}}'] == 2 * len(its)
            assert metrics[f'dynomite_hints_bytes{{peer="{address(gone)}"}}'] == shown[0]["bytes"]
            assert f'dynomite_hints_oldest_seconds{{peer="{address(gone)}"}}' in metrics
            assert n.pending() == 2 * len(its)
            assert f"{2 * len(its)} hints" in n.log_text() and "they are orphaned, and kept" in n.log_text()
        for n in left:
            assert n.admin("hints", "handoff", gone_id[:8]) == \
                {"handed": 2 * len(its), "dropped": 0, "expired": 0}
            assert not orphans(n)
            again = n.admin_run("hints", "handoff", gone_id)
            assert again.returncode == 1 and b"there is no peer" in again.stderr
        delivered(left)
        # node 3 held none of its keys before: what node 4 had has gone with it
        got = values(c, 2, KEYS)
        assert got == {k: 6 if k in its else 9 for k in KEYS}
        for i in (0, 1):  # these had them, and get nothing twice
            holder = values(c, i, KEYS) if c.backends else \
                {k: v for k, v in values(c, i, KEYS).items() if i in owners(PLACES, tokens_of([k])[k])}
            assert all(v in (0, 9) for v in holder.values()) and 9 in holder.values()
        for n in left:  # nothing comes back
            n.stop()
            n.start()
            assert n.pending() == 0 and not orphans(n)
            assert values(c, 2, KEYS) == got if n is c.nodes[2] else True


def test_orphans_heir_is_down(store):
    """What it should get waits for it as its hints do, over a restart of the one that handed it off."""
    with rig.Cluster(places=PLACES, store=store, flags=rig.STATIC) as c:
        its = its_keys()
        gone, gone_id = kill_fourth(c)
        count(c.nodes[0], its, 3)
        left = forget(c, gone)
        heir = c.nodes[2]
        heir.kill()
        first = left[0]
        rig.wait_until(lambda: first.states_of_peers().count("DOWN") == 1, "it is down")
        count(first, its)
        assert first.admin("hints", "handoff", address(gone))["handed"] == 3 * len(its)
        assert first.pending() == 4 * len(its)
        first.kill()
        first.start()
        assert first.pending() == 4 * len(its) and not orphans(first)
        heir.start()
        c.wait_linked()
        delivered(left)
        assert set(values(c, 2, its).values()) == {4}


def test_orphans_truncated():
    with rig.Cluster(places=PLACES, flags=rig.STATIC) as c:
        its = its_keys()
        gone, gone_id = kill_fourth(c)
        for n in c.nodes[:2]:
            count(n, its)
        left = forget(c, gone)
        assert left[0].admin_run("hints", "truncate", gone_id, stdin=subprocess.DEVNULL).returncode == 2
        assert len(orphans(left[0])) == 1
        told = left[0].admin("hints", "truncate", gone_id, "--yes")["peers"]
        assert [(p["id"], p["truncated"]) for p in told] == [(gone_id, len(its))]
        left[1].admin("hints", "truncate", "all", "--yes")
        for n in left:
            assert not orphans(n) and n.pending() == 0
            assert n.admin("hints")["totals"]["bytes"] == 0
        no = left[2].admin_run("hints", "handoff", address(left[0]))
        assert no.returncode == 1 and b"is configured" in no.stderr
        left[0].kill()
        left[0].start()
        assert not orphans(left[0])
        assert set(values(c, 2, its).values()) == {0}


def test_orphans_count_toward_the_cap():
    with rig.Cluster(places=PLACES, flags={**rig.STATIC, "hint-store-max-bytes": "4000"}) as c:
        its = its_keys()
        gone, _ = kill_fourth(c)
        first = c.nodes[0]
        pipe = first.client().pipeline(transaction=False)
        for i in range(60):
            pipe.set(its[i % len(its)], "x" * 100)
        pipe.execute(raise_on_error=False)
        held = first.admin("hints")["totals"]["bytes"]
        assert 2500 < held <= 2667  # half of the cap is shared, and each of three has its part of the other half
        left = forget(c, gone)
        assert first.admin("hints")["totals"]["bytes"] == held
        left[2].kill()
        rig.wait_until(lambda: first.states_of_peers().count("DOWN") == 1, "it is down")
        refused = first.admin("hints")["totals"]["rejected_over_capacity_total"]
        for _ in range(20):
            first.client().set(its[0], "y" * 100)
        totals = first.admin("hints")["totals"]
        assert held + 500 < totals["bytes"] <= held + 667 + 28 and totals["bytes"] <= 4000  # its part, and what is left
        assert totals["rejected_over_capacity_total"] > refused


def test_orphans_killed_in_the_middle_of_a_handoff(store):
    """kill -9 of the one that hands off at random moments, now and then of the heir too."""
    seed = int(os.environ.get("DYN_SEED", random.randrange(1 << 30)))
    rig.note(f"seed {seed}")
    dice = random.Random(seed)
    with rig.Cluster(places=PLACES, store=store, flags=rig.STATIC) as c:
        its = its_keys()
        gone, gone_id = kill_fourth(c)
        first, heir, times = c.nodes[0], c.nodes[2], 60
        count(first, its, times)
        count(heir, its, times)  # whose own orphan's heir is itself
        forget(c, gone)
        kills = 0
        for node in (first, heir):
            total = orphans(node)[0]["pending"]
            assert total == times * len(its)
            while orphans(node):
                stop_at = max(0, total - dice.randrange(1, 1500))
                asked = subprocess.Popen([os.path.join(rig.BUILD, "dyn-admin"), "-n",
                                          os.path.join(node.directory, "admin.sock"), "hints", "handoff", gone_id],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                rig.wait_until(lambda: sum(p["pending"] for p in orphans(node)) <= stop_at, "so far")
                node.kill()
                kills += 1
                asked.wait()
                if dice.random() < 0.3 and node is not heir:
                    heir.kill()
                    heir.start()
                node.start()
                total = max(1, sum(p["pending"] for p in orphans(node)))
        rig.note(f"{kills} kills")
        c.wait_linked()
        delivered(c.running())
        assert values(c, 2, its) == {k: 2 * times for k in its}
        mine = [k for k in its if 0 in owners(PLACES, tokens_of([k])[k])]
        assert values(c, 0, mine) == {k: 2 * times for k in mine}


def killed_at_sync(node, number, *command):
    """kill -9 at its next fdatasync but so many, during a command of dyn-admin."""
    if not os.path.exists("/usr/bin/strace"):
        pytest.skip("strace isn't installed")
    out = os.path.join(os.path.dirname(node.log), "strace.out")
    tracer = subprocess.Popen(["strace", "-f", "-q", "-e", "trace=fdatasync", "-e",
                               f"inject=fdatasync:signal=KILL:when={number}", "-o", out, "-p", str(node.process.pid)],
                              stderr=subprocess.PIPE)
    tasks = f"/proc/{node.process.pid}/task"

    def traced():
        if tracer.poll() is not None:
            pytest.skip("strace isn't allowed: " + tracer.stderr.read().decode())
        status = [open(f"{tasks}/{t}/status", encoding="ascii").read() for t in os.listdir(tasks)]
        return all(f"TracerPid:\t{tracer.pid}\n" in s for s in status)
    rig.wait_until(traced, "strace is attached")
    done = node.admin_run(*command)
    assert done.returncode == 3, "the node went away"
    node.process.wait()
    tracer.wait()
    node.ended()


def test_orphans_killed_before_it_is_acknowledged():
    """The logs of the heirs have a part of it then: that part is found, and not appended again."""
    with rig.Cluster(places=PLACES, flags=rig.STATIC) as c:
        its = its_keys()
        gone, gone_id = kill_fourth(c)
        first, times = c.nodes[0], 40
        count(first, its, times)
        forget(c, gone)
        parts = 0
        for number in (1, 2, 3):  # something else may be synced first, on a slow machine
            before = first.pending()
            killed_at_sync(first, number, "hints", "handoff", gone_id)
            first.start()
            assert first.pending() <= before and 0 < orphans(first)[0]["pending"] <= before
            parts += orphans(first)[0]["pending"] < before
        assert parts and "handed off" in first.log_text() and "without saying so" in first.log_text()
        assert first.admin("hints", "handoff", gone_id)["handed"] > 0
        c.wait_linked()
        delivered(c.running())
        assert values(c, 2, its) == {k: times for k in its}


def test_orphans_a_node_with_other_tokens_waits_outside():
    """It is let in when nothing lies here that was written for it at its old place."""
    with rig.Cluster(places=PLACES, flags=rig.STATIC) as c:
        its = its_keys()
        gone, gone_id = kill_fourth(c)
        first = c.nodes[0]
        count(first, its)
        for n in c.nodes:
            n.flags["dyn-seeds"] = [s.replace(f":r2:dc1:{2 * Q}", f":r2:dc1:{Q}") for s in n.flags["dyn-seeds"]]
        gone.flags["tokens"] = str(Q)
        for n in c.running():
            n.stop()
        for n in c.nodes:
            n.start(wait=False)
        rig.wait_until(lambda: "with other tokens, and" in first.log_text(), "it is refused", 30)
        assert f"{len(its)} hints for it are kept" in first.log_text()
        rig.wait_until(lambda: f"{len(its)} hints for it are kept" in gone.log_text(), "both say so", 30)
        figures = first.metrics()  # two of one address: the orphan goes by its id
        pending = [figures[f'dynomite_hints_pending{{peer="{who}"}}'] for who in (gone_id, address(gone))]
        assert pending == [len(its), 0]
        rig.wait_until(lambda: c.nodes[1].states_of_peers() == ["NORMAL"] * 3, "who has no hints lets it in", 30)
        down = [p for p in first.admin("status")["peers"] if p["state"] == "DOWN"]
        assert [p["address"] for p in down] == [address(gone)]
        assert first.admin("hints", "handoff", gone_id)["handed"] == len(its)
        rig.wait_until(lambda: first.states_of_peers() == ["NORMAL"] * 3, "it is let in", 30)
        delivered(c.running())
        now = PLACES[:3] + [("dc1", "r2", str(Q))]
        token = tokens_of(its)
        for i in (2, 3):
            keys = [k for k in its if i in owners(now, token[k])]
            assert keys and set(values(c, i, keys).values()) == {1}
        first.stop()  # its log comes under its id, where the mark of the orphan lies
        first.start()
        told = {p["id"]: p["needs_repair"] for p in first.admin("status")["peers"]}
        assert told[gone_id] and list(told.values()).count(True) == 1
        assert not [d for d in os.listdir(os.path.join(first.directory, "hints")) if d.startswith("new-")]


def test_orphans_a_node_was_away_for_too_long_and_comes_back_elsewhere():
    """Its window was closed when it was taken out of the configuration; with other tokens it is let in, over restarts."""
    with rig.Cluster(2, flags={**rig.STATIC, "hint-ttl-seconds": "1", "hint-drain-interval-ms": "50"}) as c:
        first, gone = c.nodes
        gone_id, seeds = id_of(gone), first.flags["dyn-seeds"]
        first.stop()  # its log comes under its id
        first.start()
        c.wait_linked()
        gone.kill()
        rig.wait_until(lambda: first.states_of_peers() == ["DOWN"], "it knows")
        assert first.client().set("k", "v")
        rig.wait_until(lambda: "longer than its hints live" in first.admin("status")["peers"][0]["note"], "it is closed")
        first.stop()
        del first.flags["dyn-seeds"]
        first.start()
        first.stop()
        for name in ("ring", "needs-repair.new"):  # as kills leave them, while files are removed, or made
            with open(os.path.join(first.directory, "hints", gone_id, name), "wb"):
                pass
        first.flags["dyn-seeds"] = [s.removesuffix(":0") + ":5" for s in seeds]
        gone.flags["tokens"] = "5"
        first.start(wait=False)
        gone.start(wait=False)
        c.wait_linked()
        first.stop()
        first.start()
        c.wait_linked()
        peer = first.admin("status")["peers"][0]
        assert (peer["id"], peer["needs_repair"], peer["note"]) == (gone_id, True, "")


def test_orphans_of_the_only_peer(store):
    """Who is left alone is the heir; what it was told itself in the meantime is newer."""
    places = [("dc1", "r1", "0"), ("dc1", "r1", str(2 * Q))]
    with rig.Cluster(places=places, store=store, flags=rig.STATIC) as c:
        token = tokens_of(KEYS)
        its = [k for k in KEYS if owners(places, token[k]) == {1}]
        first, gone = c.nodes
        gone_id = id_of(gone)
        gone.kill()
        rig.wait_until(lambda: first.states_of_peers() == ["DOWN"], "it knows")
        for k in its:
            assert first.client().set(k, "old")
        first.stop()
        del first.flags["dyn-seeds"]
        first.start()
        rig.wait_until(lambda: first.client().set("probe", "1"), "it takes writes", 40)
        assert [(p["id"], p["pending"]) for p in orphans(first)] == [(gone_id, len(its))]
        half = its[::2]
        for k in half:
            first.client().set(k, "new")
        assert first.admin("hints", "handoff", gone_id)["handed"] == len(its)
        assert dict(zip(its, first.client().mget(its))) == {k: b"new" if k in half else b"old" for k in its}
