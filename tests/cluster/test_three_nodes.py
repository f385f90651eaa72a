"""Three nodes, one in each rack: levels, states, refusals, caps."""
import os
import signal
import subprocess
import time

import pytest
import redis
import rig


def test_three_write_one_read_all():
    with rig.Cluster(3) as c:
        for i, n in enumerate(c.nodes):
            n.client().set(f"from{i}", "x" * i)
        for i in range(3):
            rig.wait_until(lambda i=i: len(set(rig.copies(c.nodes[0], f"from{i}"))) == 1,
                           "all replicas agree")
        for i in range(3):
            for n in c.nodes:
                assert n.client().get(f"from{i}") == b"x" * i


def test_three_quorum_needs_two_when_hints_dont_count():
    flags = {"write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM",
             "sloppy-quorum": "false"}
    with rig.Cluster(3, flags=flags) as c:
        a, b, d = c.nodes
        cl = a.client()
        assert cl.set("k", "1") and cl.get("k") == b"1"
        d.kill()
        rig.wait_until(lambda: a.states_of_peers().count("DOWN") == 1, "node 3 is DOWN")
        assert cl.set("k", "2") and cl.get("k") == b"2"
        b.kill()
        rig.wait_until(lambda: a.states_of_peers().count("DOWN") == 2, "node 2 is DOWN")
        where = r"; in dc1: rack1 could answer, rack2 rack3 couldn't$"
        with pytest.raises(redis.ResponseError, match=r"NOQUORUM 1 of 2 needed replicas answered "
                                                      r"\(DC_QUORUM write\); nothing was written" + where):
            cl.set("k", "3")
        with pytest.raises(redis.ResponseError, match=r"NOQUORUM 1 of 2 .*DC_QUORUM read\)" + where):
            cl.get("k")
        b.start()
        d.start()
        c.wait_linked()
        assert cl.get("k") == b"2"


def test_three_sloppy_quorum_takes_a_hint():
    with rig.Cluster(3, flags={"write-consistency": "DC_QUORUM"}) as c:
        a, b, d = c.nodes
        b.kill()
        d.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN", "DOWN"], "both are DOWN")
        assert a.client().set("k", "1") and a.client().incr("n") == 1
        assert a.pending() == 4
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        for i in range(3):
            assert rig.own_values(c, i, ["k", "n"]) == {"k": b"1", "n": b"1"}


def test_three_stopped_peer_is_down_and_comes_back():
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        d.process.send_signal(signal.SIGSTOP)
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "the silent peer is DOWN")
        start = time.monotonic()
        for i in range(200):
            a.client().set(f"k{i}", i)
        assert time.monotonic() - start < 5, "writes stall while a peer is stopped"
        d.process.send_signal(signal.SIGCONT)
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["k0", "k199"]) == {"k0": b"0", "k199": b"199"}


def test_three_hint_cap_holds_and_marks_repair():
    with rig.Cluster(3, flags={"hint-store-max-bytes": "20000"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        for i in range(50):
            assert a.client().set(f"k{i}", "x" * 1000), "a level that real replicas meet succeeds"
        hints = a.admin("hints")["totals"]
        assert hints["bytes"] <= 20000 and hints["rejected_over_capacity_total"] > 0
        rig.wait_until(lambda: any(p["needs_repair"] for p in a.admin("status")["peers"]),
                       "needs repair is shown")
        a.stop()
        a.start()
        assert any(p["needs_repair"] for p in a.admin("status")["peers"]), "the mark is kept"


def test_three_hint_lifetime():
    with rig.Cluster(3, flags={"hint-ttl-seconds": "2", "hint-drain-interval-ms": "100"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        a.client().set("k", "v")
        assert a.pending() == 1
        rig.wait_until(lambda: a.pending() == 0, "the hint expires")
        assert a.admin("hints")["totals"]["expired_total"] == 1
        d.start()
        c.wait_linked()
        a.client().set("after", "1")
        rig.wait_until(lambda: len(set(rig.copies(a, "after"))) == 1, "later writes go on")


def test_three_another_cluster_is_refused():
    with rig.Cluster(3) as c:
        other = c.nodes[2]
        other.stop()
        other.flags["pool-name"] = "somebody-else"
        other.start()
        rig.wait_until(lambda: "somebody-else" in c.nodes[0].log_text(), "node 1 says why")
        rig.wait_until(lambda: "allowed 'test'" in other.log_text() or "'somebody-else'" in
                       other.log_text(), "node 3 says why")
        assert "DOWN" in c.nodes[0].states_of_peers()


@pytest.mark.parametrize("secret,linked", [("s3cret", True), ("wrong", False), ("", False)])
def test_three_cluster_secret(secret, linked):
    with rig.Cluster(2, flags={"cluster-secret": "s3cret"}) as c:
        a, b = c.nodes
        b.stop()
        b.flags["cluster-secret"] = secret
        b.start()
        if linked:
            c.wait_linked()
            return
        rig.wait_until(lambda: "cluster_secret" in b.log_text() + a.log_text(), "it is said why")
        assert a.states_of_peers() == ["DOWN"] and b.states_of_peers() == ["DOWN"]


def test_three_copied_data_dir_is_refused():
    with rig.Cluster(2) as c:
        a, b = c.nodes
        b.stop()
        with open(os.path.join(a.directory, "node_id"), encoding="ascii") as f:
            stolen = f.read()
        with open(os.path.join(b.directory, "node_id"), "w", encoding="ascii") as f:
            f.write(stolen)
        b.start()
        rig.wait_until(lambda: "data_dir was copied" in a.log_text() + b.log_text(), "it is said")


def test_three_full_disk_under_hint_dir(tmp_path):
    """A tmpfs of 300 KB: writes go on while real replicas meet the level; repair is marked."""
    mount = subprocess.run(["unshare", "-rmn", "true"], capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip("no user namespaces here")
    small = tmp_path / "small"
    small.mkdir()
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        a.stop()
        a.flags["hint-dir"] = str(small)
        plain = a.arguments()
        script = f'mount -t tmpfs -o size=300k none {small} && exec "$@"'
        a.arguments = lambda: ["unshare", "-rm", "sh", "-c", script, "sh"] + plain
        a.start()
        c.wait_linked()
        d.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is DOWN")
        for i in range(600):
            assert a.client().set(f"k{i}", "x" * 1000)
        rig.wait_until(lambda: any(p["needs_repair"] for p in a.admin("status")["peers"]),
                       "needs repair is shown")
        metrics = a.metrics()
        assert sum(v for k, v in metrics.items() if "rejected" in k and "no_space" in k) > 0


def test_three_timeout_and_no_silence():
    """Node 1 has no replica's word but its own: a stopped majority can't hold a client for ever."""
    flags = {"write-consistency": "DC_QUORUM", "timeout": "700", "gos-interval": "2000"}
    with rig.Cluster(3, flags=flags) as c:
        a, b, d = c.nodes
        for n in (b, d):
            n.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(redis.ResponseError, match="TIMEOUT no answer within 700 ms; the write may"):
            a.client().set("k", "v")
        assert time.monotonic() - start < 5
        for n in (b, d):
            n.process.send_signal(signal.SIGCONT)
        c.wait_linked()
        c.wait_delivered()


@pytest.mark.parametrize("level", ["DC_QUORUM", "DC_ONE"])
def test_three_read_goes_on_to_the_next_replica(level):
    """A peer that has stopped answering and doesn't count as down yet (that takes longer here than a request may) costs a read a
    part of its time. At DC_ONE one asks that has another range."""
    flags = {"read-consistency": level, "timeout": "4000", "gos-interval": "3000"}
    places = [("dc1", f"rack{i}", "0") for i in (1, 2, 3)]
    if level == "DC_ONE":
        places += [("dc1", f"rack{i}", "2147483648") for i in (1, 2, 3)]
    with rig.Cluster(flags=flags, places=places) as c:
        asker = c.nodes[-1]
        keys = [f"k{i}" for i in range(50)]
        for k in keys:
            asker.client().set(k, "v")
        c.wait_delivered()
        for n in [n for n in c.nodes[:3] if n is not asker]:
            n.process.send_signal(signal.SIGSTOP)
            begun = time.monotonic()
            assert asker.client().mget(keys) == [b"v"] * 50
            took = time.monotonic() - begun
            rig.note(f"{took:.2f} s with {n.name} stopped")
            assert took < 2 and "DOWN" not in asker.states_of_peers()
            n.process.send_signal(signal.SIGCONT)
            rig.wait_until(lambda n=n: n.client().ping(), "it goes on")
