"""The four levels on real processes: in several datacenters, with replicas away, silent or of another opinion; errors word by
word; levels by key prefix, and changed while the nodes run."""
import os
import re
import signal
import threading
import time

import pytest
import redis
import rig

ONE, QUORUM, SAFE, EACH = LEVELS = ["DC_ONE", "DC_QUORUM", "DC_SAFE_QUORUM", "DC_EACH_SAFE_QUORUM"]


def set_levels(node, read=None, write=None, **others):
    for option, value in {"read_consistency": read, "write_consistency": write, **others}.items():
        if value is not None:
            node.admin("config", "set", option, value)


def refused(call, text):
    """The error, word by word."""
    with pytest.raises(redis.ResponseError, match="^" + re.escape(text) + "$"):
        call()


def away(c, nodes, *victims):
    """Kills them, and waits until the others know."""
    for v in victims:
        v.kill()
    for n in nodes:
        rig.down(n, len(c.nodes) - len(c.running()))


PLACES = [(dc, rack, "0") for dc in ("dc1", "dc2") for rack in ("r1", "r2", "r3")]


def test_levels_in_two_datacenters():
    flags = {"timeout": "3000", "gos-interval": "1000", "sloppy-quorum": "false"}
    with rig.Cluster(places=PLACES, flags=flags) as c:
        here, there = c.nodes[0], c.nodes[3]
        a, b = here.client(), there.client()

        # all are there: every pair of levels, changed while the node runs
        for read in LEVELS:
            for write in LEVELS:
                for node, client in ((here, a), (there, b)):
                    set_levels(node, read, write)
                    key = f"{node.name}-{read}-{write}"
                    assert client.set(key, write) and client.incr(key + "-n") == 1
                    assert client.get(key) == write.encode() and client.get(key + "-n") == b"1"
        set_levels(here, EACH, EACH)
        assert a.set("k", "1")
        set_levels(there, SAFE, SAFE)
        assert b.get("k") == b"1", "each datacenter has it on a majority"

        # one in each datacenter is silent, and isn't known to be: others are asked, there as here
        for n in (c.nodes[1], c.nodes[4]):
            rig.freeze(n.process)
        begun = time.monotonic()
        assert a.get("k") == b"1"
        took = time.monotonic() - begun
        for n in (c.nodes[1], c.nodes[4]):
            n.process.send_signal(signal.SIGCONT)
        rig.note(f"{took:.2f} s with one silent in each datacenter")
        assert took < 2
        c.wait_linked()

        # one of three is away there: nothing is lacking
        away(c, c.nodes[:5], c.nodes[5])
        assert a.set("k", "2") and a.get("k") == b"2"

        # two of three: what asks for a majority in each datacenter is refused, and nothing sent
        away(c, c.nodes[:4], c.nodes[4])
        where = "; in dc2: r1 could answer, r2 r3 couldn't"
        refused(lambda: a.set("k", "no"), "NOQUORUM 1 of 2 needed replicas answered (DC_EACH_SAFE_QUORUM write); "
                                          "nothing was written" + where)
        refused(lambda: a.get("k"), "NOQUORUM 1 of 2 needed replicas answered (DC_EACH_SAFE_QUORUM read)" + where)
        refused(lambda: a.mset({"k": "no", "l": "no"}), "NOQUORUM 1 of 2 needed replicas answered "
                                                         "(DC_EACH_SAFE_QUORUM write); nothing was written" + where)
        for level in (ONE, QUORUM, SAFE):
            set_levels(here, level, level)
            assert a.get("k") == b"2" and a.set("other", level) and a.get("other") == level.encode()

        # in that datacenter itself
        for level in (QUORUM, SAFE):
            set_levels(there, level, level)
            refused(lambda: b.set("k", "no"), f"NOQUORUM 1 of 2 needed replicas answered ({level} write); "
                                              "nothing was written" + where)
            refused(lambda: b.get("k"), f"NOQUORUM 1 of 2 needed replicas answered ({level} read)" + where)
        set_levels(there, ONE, ONE)
        assert b.get("k") == b"2" and b.set("k", "3") and b.get("k") == b"3"

        # a hint counts at DC_QUORUM, and never at the safe levels
        set_levels(there, write=QUORUM, sloppy_quorum="true")
        assert b.set("k", "4") and b.incr("n") == 1
        set_levels(there, write=SAFE)
        refused(lambda: b.incr("n"), "NOQUORUM 1 of 2 needed replicas answered (DC_SAFE_QUORUM write); "
                                     "nothing was written" + where)
        assert not here.admin("key", "no")["replicas"][0]["exists"]

        # all are back: the same everywhere
        c.nodes[4].start()
        c.nodes[5].start()
        c.wait_linked()
        c.wait_delivered()
        set_levels(here, EACH, EACH)
        for key, value in (("k", b"4"), ("n", b"1"), ("other", SAFE.encode())):
            rig.wait_until(lambda key=key: len(set(rig.copies(here, key))) == 1, f"{key} is the same everywhere")
            assert a.get(key) == value
        assert a.set("k", "5")


def test_levels_replicas_that_differ():
    """Values that were written past the nodes: who agrees with whom, by level; an order isn't a difference."""
    places = [("dc1", "r1", "0"), ("dc1", "r2", "0"), ("dc1", "r3", "0"), ("dc2", "r1", "0")]
    with rig.Cluster(places=places, store="redis") as c:
        node = c.nodes[0]
        client = node.client()

        def plant(key, *values):
            for backend, value in zip(c.backends, values):
                backend.client().set(key, value)

        set_levels(node, SAFE)
        plant("k", "a", "b", "b", "c")
        assert client.get("k") == b"b"
        plant("k", "a", "b", "a", "c")
        assert client.get("k") == b"a"
        plant("k", "a", "b", "c", "c")
        refused(lambda: client.get("k"), "NOQUORUM 1 of 2 needed replicas gave the same value (DC_SAFE_QUORUM read); "
                                         "in dc1: r1 r2 r3 answered")
        set_levels(node, QUORUM)
        assert client.get("k") == b"a", "a tie goes to the nearest"
        plant("k", "a", "b", "b", "c")
        assert client.get("k") == b"b", "what most gave"
        set_levels(node, EACH)
        assert client.get("k") == b"b", "its own datacenter's"
        c.backends[3].kill()
        rig.wait_until(lambda: "DOWN" in node.states_of_peers(), "the store there is away")
        refused(lambda: client.get("k"), "NOQUORUM 0 of 1 needed replicas answered (DC_EACH_SAFE_QUORUM read); "
                                         "in dc2: r1 couldn't answer")
        set_levels(node, ONE)
        assert client.get("k") == b"a"

        set_levels(node, SAFE)
        fields = {f"f{i}": f"v{i}" for i in range(20)}
        for i, backend in enumerate(c.backends[:3]):
            order = sorted(fields, key=lambda f, i=i: hash((i, f)))
            for f in order:
                backend.client().hset("h", f, fields[f])
                backend.client().sadd("s", f)
                backend.client().rpush("l", f)
            backend.client().expire("h", 1000 + i)
        assert client.hgetall("h") == {f.encode(): v.encode() for f, v in fields.items()}
        assert set(client.hkeys("h")) == {f.encode() for f in fields} and len(client.hvals("h")) == 20
        assert client.smembers("s") == {f.encode() for f in fields} == client.sunion("s")
        assert client.srandmember("s") and client.hrandfield("h") and 990 < client.ttl("h") <= 1002
        assert client.object("encoding", "h") and client.sscan("s")[1]
        refused(lambda: client.lrange("l", 0, -1), "NOQUORUM 1 of 2 needed replicas gave the same value "
                                                   "(DC_SAFE_QUORUM read); in dc1: r1 r2 r3 answered")
        for backend in c.backends[1:3]:
            backend.client().hset("h", "f0", "other")
        assert client.hget("h", "f0") == b"other" and client.hgetall("h")[b"f0"] == b"other"
        assert node.metrics()["dynomite_reads_differ_total"] >= 5


def test_levels_a_connection_reads_its_own_change():
    """A change (no stamp tells its age) that was answered at DC_ONE isn't outvoted by replicas that haven't got it yet; where
    they must agree with it they are asked until they have it, for a fifth of the time."""
    with rig.Cluster(3, store="redis", flags={"timeout": "4000"}) as c:
        node = c.nodes[0]
        client, other = node.client(), node.client()
        node.admin("hints", "pause", "all")
        assert client.incr("n") == 1 and client.append("s", "x") == 1
        set_levels(node, QUORUM)
        assert client.get("n") == b"1" and client.get("s") == b"x"
        assert other.get("n") is None, "another client's is what most have"
        set_levels(node, SAFE)
        begun = time.monotonic()
        refused(lambda: client.get("n"), "NOQUORUM 1 of 2 needed replicas gave the same value (DC_SAFE_QUORUM read); "
                                         "in dc1: rack1 rack2 rack3 answered")
        assert time.monotonic() - begun > 0.5
        pipe = client.pipeline(transaction=False)
        for _ in range(100):
            pipe.get("n")
        resume = threading.Timer(0.2, lambda: node.admin("hints", "resume", "all"))
        resume.start()
        assert pipe.execute() == [b"1"] * 100
        resume.join()
        c.wait_delivered()
        assert other.get("n") == b"1"
        for i in range(2, 200):  # at full speed
            assert client.incr("n") == i and client.get("n") == b"%d" % i


def test_levels_by_prefix():
    """bucket_types: from the file, by HUP, by dyn-admin; each part of a command has its own level, several keys the strictest."""
    with rig.Cluster(3, store="redis", flags={"hash-tag": "{}"}) as c:
        node = c.nodes[0]
        node.stop()
        node.flags["conf-file"] = os.path.join(c.directory, "node1.yaml")

        def configure(buckets):
            with open(node.flags["conf-file"], "w", encoding="ascii") as f:
                f.write(f"test:\n  sloppy_quorum: false\n  bucket_types: {buckets}\n")

        configure("['s:DC_SAFE_QUORUM:DC_QUORUM', 's:one::DC_ONE:DC_ONE']")
        node.start()
        c.wait_linked()
        client = node.client()
        assert client.mset({"s": 1, "s:one:k": 1, "k": 1, "s{k}": 1})
        away(c, [node], c.nodes[1], c.nodes[2])
        where = "; in dc1: rack1 could answer, rack2 rack3 couldn't"
        read = "NOQUORUM 1 of 2 needed replicas answered (DC_SAFE_QUORUM read)" + where
        write = "NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM write); nothing was written" + where
        for key in ("s", "s:", "s:on", "soup", "s{k}"):
            refused(lambda key=key: client.set(key, 2), write)
            refused(lambda key=key: client.get(key), read)
        for key in ("k", "", "S", "s:one:", "s:one:k"):
            assert client.set(key, 2) and client.get(key) == b"2"
        refused(lambda: client.mget("k", "s"), read)
        refused(lambda: client.mset({"k": 3, "s": 3}), write.replace("nothing was written", "it took effect on some"))
        assert client.get("k") == b"3"
        assert client.sadd("{k}1", "a") and client.sunion("{k}1", "{k}2") == {b"a"}
        refused(lambda: client.sunion("{k}1", "s{k}"), read)
        refused(lambda: client.rename("k", "s{k}"), write)

        assert node.admin("config", "get", "bucket_types") == {
            "bucket_types": ["s:DC_SAFE_QUORUM:DC_QUORUM", "s:one::DC_ONE:DC_ONE"]}
        configure("['k:DC_EACH_SAFE_QUORUM:DC_ONE']")
        node.process.send_signal(signal.SIGHUP)
        rig.wait_until(lambda: "bucket_types: s:DC_SAFE_QUORUM:DC_QUORUM, s:one::DC_ONE:DC_ONE -> "
                               "k:DC_EACH_SAFE_QUORUM:DC_ONE (reloaded)" in node.log_text(), "it is reloaded")
        assert client.set("s", 4) and client.get("s") == b"4" and client.set("k", 4)
        refused(lambda: client.get("k"), read.replace(SAFE, EACH))
        node.admin("config", "set", "bucket_types", "")
        assert client.get("k") == b"4" and node.admin("config", "dump")["bucket_types"] == []
        bad = node.admin_run("config", "set", "bucket_types", "k:DC_ONE:DC_TWO")
        assert bad.returncode == 1 and b"bucket_types: found k:DC_ONE:DC_TWO; allowed prefix:" in bad.stderr
        node.admin("config", "set", "bucket_types", "k:DC_ONE:DC_QUORUM,s:DC_QUORUM:DC_ONE")
        refused(lambda: client.set("k", 5), write)
        refused(lambda: client.get("s"), read.replace(SAFE, QUORUM))
        c.nodes[1].start()
        c.nodes[2].start()
        c.wait_linked()


def test_levels_in_three_datacenters():
    """Of different sizes, each token's replicas for themselves."""
    half = str(1 << 31)
    places = [("dc1", "r1", "0"), ("dc1", "r2", "0"), ("dc2", "r1", "0"), ("dc2", "r1", half), ("dc3", "r1", "5")]
    with rig.Cluster(places=places, flags={"read-consistency": EACH, "write-consistency": EACH}) as c:
        node = c.nodes[0]
        client = node.client()
        keys = [f"key{i}" for i in range(40)]
        for k in keys:
            assert client.set(k, "1") and client.get(k) == b"1"
        lower = c.nodes[3]  # tokens 1 .. half
        its = {k for k in keys if any(r["address"].endswith(f":{lower.peer_port}")
                                      for r in node.admin("key", k)["replicas"])}
        assert 0 < len(its) < 40
        away(c, [node], lower)
        for k in keys:
            if k in its:
                refused(lambda k=k: client.set(k, "2"),
                        "NOQUORUM 0 of 1 needed replicas answered (DC_EACH_SAFE_QUORUM write); nothing was written; "
                        "in dc2: r1 couldn't answer")
            else:
                assert client.set(k, "2") and client.get(k) == b"2"
        lower.start()
        c.wait_linked()
        for k in keys:
            assert client.get(k) == (b"1" if k in its else b"2")
