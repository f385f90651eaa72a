"""What dyn-admin does with a running node's hints and options: config, HUP, pause, drain, truncate, wait, repaired; the
window of a peer that is away for too long; and how hints are paced."""
import os
import pty
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid

import linkpeer as lp
import pytest
import rig


def address(node):
    return f"127.0.0.1:{node.peer_port}"


def refused(node, *words):
    """Exit status 1; the reason."""
    done = node.admin_run(*words)
    assert done.returncode == 1 and done.stdout == b"", (words, done)
    text = done.stderr.decode()
    assert text.startswith("dyn-admin: ") and text.count("\n") == 1, text
    return text[len("dyn-admin: "):-1]


def row(node, peer, command="status"):
    return next(p for p in node.admin(command)["peers"] if p["address"] == address(peer))


def totals(node):
    return node.admin("hints")["totals"]


def fill(node, n, size=1000, name="k"):
    pipe = node.client().pipeline(transaction=False)
    for i in range(n):
        pipe.set(f"{name}{i}", "x" * size)
    pipe.execute()


def metric(node, name, peer, **labels):
    found = [v for k, v in node.metrics().items()
             if k.startswith(f"dynomite_{name}{{") and f'peer="{address(peer)}"' in k and
             all(f'{label}="{value}"' in k for label, value in labels.items())]
    assert len(found) == 1, (name, found)
    return found[0]


def balance(node):
    """Every hint that was ever stored is where it can be, and in one place only."""
    t = totals(node)
    return t["stored_total"] - sum(t[name] for name in ("delivered_total", "expired_total", "truncated_total",
                                                        "pending"))


# ---- options --------------------------------------------------------------------------------------------


LIVE = {"hint_sync": "never", "hint_ttl_seconds": 77, "hint_store_max_bytes": 123456,
        "hint_store_max_bytes_per_peer": 1234, "hint_drain_rate": 99, "hint_drain_interval_ms": 55,
        "dc_compression": "lz4", "dc_rate": 5000, "sloppy_quorum": False, "read_repairs_enabled": True,
        "read_consistency": "DC_QUORUM", "write_consistency": "DC_SAFE_QUORUM", "allow_flush": True}


def shown(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_config_get_set_dump():
    with rig.Cluster(2, flags={"cluster-secret": "sesame"}) as c:
        a = c.nodes[0]
        before = a.admin("config", "dump")
        assert before["hint_drain_rate"] == 0 and before["tokens"] == [0] and before["sloppy_quorum"] is True
        assert before["hint_sync"] == "always" and before["cluster_secret"] == "***" and before["workers"] == 0
        assert "sesame" not in a.admin_run("config", "dump").stdout.decode()
        assert before["dyn_seeds"] == [address(c.nodes[1]) + ":rack2:dc1:0"] and before["pool_name"] == "test"
        for name, value in LIVE.items():
            assert a.admin("config", "set", name, shown(value)) == {}
            assert a.admin("config", "get", name) == {name: value}
            assert f"{name}: {shown(before[name])} -> {shown(value)} (dyn-admin)" in a.log_text()
        assert a.admin("config", "dump") == {**before, **LIVE}
        assert totals(a)["max_bytes"] == 123456
        for name in before.keys() - LIVE.keys() - {"bucket_types", "requirepass"}:  # live, too: a list, and a secret
            assert refused(a, "config", "set", name, "1") == f"{name} needs a restart"
        assert "found -1; allowed 0..9223372036854775807" in refused(a, "config", "set", "hint_drain_rate", "--", "-1")
        assert "allowed always, interval, never" in refused(a, "config", "set", "hint_sync", "x")
        for words in (["get", "frob"], ["set", "frob", "1"], ["get", ""], ["get", "hint-drain-rate"]):
            assert "there is no option" in refused(a, "config", *words)
        assert a.admin("config", "dump") == {**before, **LIVE}
        text = a.admin_run("config", "get", "hint_drain_rate").stdout.decode().split()
        assert text == ["hint_drain_rate", "99"]
        a.stop()
        a.start()
        c.wait_linked()
        assert a.admin("config", "dump") == before


def test_config_hup_reads_the_file_again(tmp_path):
    """What may change does, of the rest it says that it needs a restart; a flag wins; a broken file changes nothing."""
    conf = tmp_path / "c.yaml"
    conf.write_text("test:\n  hint_drain_rate: 5\n")
    with rig.Cluster(1, flags={"conf-file": str(conf), "hint-ttl-seconds": "50"}) as c:
        a = c.nodes[0]

        def hup(text):
            conf.write_text(text)
            at = len(a.log_text())
            a.process.send_signal(signal.SIGHUP)
            rig.wait_until(lambda: "log opened again" in a.log_text()[at:], "HUP is taken")
            a.process.send_signal(signal.SIGHUP)  # the second comes when the first is done
            rig.wait_until(lambda: a.log_text()[at:].count("log opened again") == 2, "HUP is taken again")
            return a.log_text()[at:]

        assert a.admin("config", "get", "hint_drain_rate") == {"hint_drain_rate": 5}
        said = hup("test:\n  hint_drain_rate: 6\n  hint_ttl_seconds: 9\n  timeout: 77\n")
        assert said.count("hint_drain_rate: 5 -> 6 (reloaded)") == 1
        assert "timeout has changed in the configuration: it needs a restart" in said and "hint_ttl" not in said
        now = a.admin("config", "dump")
        assert (now["hint_drain_rate"], now["hint_ttl_seconds"], now["timeout"]) == (6, 50, 5000)
        said = hup("test:\n  hint_drain_rate: 7\n  nonsense: 1\n")
        assert f"configuration not reloaded, nothing has changed: {conf}:3: nonsense: " in said
        assert a.admin("config", "dump") == now
        a.admin("config", "set", "hint_drain_rate", "8")
        assert "hint_drain_rate: 8 -> 6" in hup("test:\n  hint_drain_rate: 6\n")  # until the next HUP


def test_config_live_options_hold_at_once():
    """The caps, while a peer is down; and the interval of the sweep, also of one that was an hour."""
    with rig.Cluster(3, flags={"hint-drain-interval-ms": "3600000", "write-consistency": "DC_QUORUM"}) as c:
        a, b, d = c.nodes
        b.kill()
        d.kill()
        rig.down(a, 2)
        a.admin("config", "set", "hint_store_max_bytes_per_peer", "20000")
        with pytest.raises(rig.redis.ResponseError, match=r"NOHINT hint store is full for a replica \(20000 bytes\)"):
            for i in range(40):
                a.client().set(f"k{i}", "x" * 1000)
        assert 18000 < row(a, d, "hints")["bytes"] <= 20000
        assert metric(a, "hints_rejected_total", d, reason="over_capacity_peer") >= 1
        assert metric(a, "hints_rejected_total", d, reason="over_capacity") == 0
        assert totals(a)["rejected_over_capacity_total"] >= 2
        a.admin("config", "set", "hint_store_max_bytes_per_peer", "0")
        a.admin("config", "set", "hint_store_max_bytes", "50000")
        with pytest.raises(rig.redis.ResponseError, match=r"NOHINT hint store is full \(50000 bytes\)"):
            for i in range(40):
                a.client().set(f"k{i}", "x" * 1000)
        a.admin("config", "set", "hint_store_max_bytes", "0")
        a.admin("config", "set", "hint_ttl_seconds", "1")
        assert a.client().set("short", "1")
        stored = totals(a)["pending"]
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        d.kill()
        rig.down(a, 1)
        assert a.client().set("short", "2")
        a.admin("config", "set", "hint_drain_interval_ms", "50")
        rig.wait_until(lambda: totals(a)["expired_total"] == 1, "the sweep comes soon")
        assert stored and balance(a) == 0


# ---- who is meant ---------------------------------------------------------------------------------------


def test_hints_peer_words():
    cluster = rig.Cluster(3)
    for n, begins in zip(cluster.nodes, "abb"):
        os.makedirs(n.directory)
        with open(os.path.join(n.directory, "node_id"), "w", encoding="ascii") as f:
            f.write(begins + str(uuid.uuid4())[1:] + "\n")
    with cluster as c:
        a, b, d = c.nodes
        ids = {n: n.admin("status")["node"]["id"] for n in c.nodes}
        short = next(i for i in range(1, 37) if ids[b][:i] != ids[d][:i])
        for word in (ids[b], ids[b][:short], address(b)):
            a.admin("hints", "pause", word)
            assert row(a, b, "hints")["state"] == "paused" and row(a, d, "hints")["state"] == "idle"
            a.admin("hints", "resume", word)
            assert row(a, b, "hints")["state"] == "idle"
        for word in ("nobody", "", ids[b] + "x", "127.0.0.1"):
            assert refused(a, "hints", "pause", word) == f"there is no peer '{word}'"
        for word in (address(a), ids[a], "a"):
            assert refused(a, "hints", "truncate", word, "--yes") == f"'{word}' is this node; allowed are its peers"
        assert refused(a, "repaired", "two\nlines") == "there is no peer 'two?lines'"
        assert refused(a, "hints", "pause", "b") == "'b' may be any of 2 peers: give more of the id"
        for words in (["hints", "drain"], ["repaired"]):
            assert "allowed one peer" in refused(a, *words, "all")
        a.admin("hints", "pause", "all")
        assert {p["state"] for p in a.admin("hints")["peers"]} == {"paused"}
        a.admin("hints", "resume", "all")
        assert {p["state"] for p in a.admin("hints")["peers"]} == {"idle"}


# ---- pause and resume -----------------------------------------------------------------------------------


def test_hints_paused_peer_keeps_storing_and_gets_all_in_order():
    with rig.Cluster(3, flags={"write-consistency": "DC_QUORUM"}) as c:
        a, b, d = c.nodes
        client = a.client()
        client.append("text", "0,")
        rig.wait_until(lambda: metric(a, "peer_behind_bytes", d) == 0, "node 3 has it")
        a.admin("hints", "pause", address(d))
        for i in range(1, 300):
            client.append("text", f"{i},")
        assert row(a, d, "hints")["state"] == "paused" and row(a, d, "hints")["pending"] == 299
        assert metric(a, "hints_paused", d) == 1 and metric(a, "hints_stored_total", d) == 299
        assert row(a, d)["state"] == "NORMAL" and refused(a, "hints", "drain", address(d)).endswith("is paused")
        b.kill()  # a durable hint stands in for the one that is paused
        rig.down(a)
        assert client.append("text", "300,")
        b.start()
        c.wait_linked()
        assert metric(a, "hints_delivered_total", d) == 0
        a.kill()  # the pause isn't kept; the hints are
        a.start()
        c.wait_linked()
        c.wait_delivered()
        a.admin("hints", "pause", address(d))
        for i in range(301, 400):
            client.append("text", f"{i},")
        stop = threading.Event()

        def live():
            other, i = a.client(), 400
            while not stop.is_set():
                other.append("text", f"{i},")
                i += 1
        thread = threading.Thread(target=live)
        thread.start()
        a.admin("hints", "resume", address(d))
        a.admin("hints", "wait")
        stop.set()
        thread.join()
        c.wait_delivered()
        want = "".join(f"{i}," for i in range(len(client.get("text").decode().split(",")) - 1)).encode()
        assert client.get("text") == want
        rig.wait_until(lambda: rig.own_values(c, 2, ["text"])["text"] == want, "node 3 has all of it, once, in order")
        assert balance(a) == 0 and metric(a, "hints_paused", d) == 0


def test_hints_pause_needs_handoff():
    with rig.Cluster(2, flags={"enable-hinted-handoff": "false"}) as c:
        a, b = c.nodes
        assert refused(a, "hints", "pause", "all") == f"{address(b)}: hinted handoff is off"


# ---- truncate -------------------------------------------------------------------------------------------


def test_hints_truncate_of_a_peer_that_is_down():
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        d.kill()
        rig.down(a)
        fill(a, 100)
        assert refused(a, "hints", "truncate", "nobody", "--yes") == "there is no peer 'nobody'"
        assert row(a, d, "hints")["pending"] == 100
        done = a.admin("hints", "truncate", address(d), "--yes")
        assert [(p["address"], p["truncated"], p["bytes"] > 100000) for p in done["peers"]] == [(address(d), 100, True)]
        assert row(a, d, "hints")["pending"] == 0 and balance(a) == 0 and metric(a, "hints_truncated_total", d) == 100
        mark = row(a, d)
        assert mark["needs_repair"] and mark["repair_reason"] == "100 hints for it were truncated"
        assert abs(mark["repair_since_ms"] - time.time() * 1000) < 60000
        assert metric(a, "needs_repair", d) == 1 and metric(a, "needs_repair", b) == 0
        assert "100 hints for it were truncated" in a.admin_run("status").stdout.decode()
        fill(a, 10, name="later")
        a.kill()
        a.start()
        rig.wait_until(lambda: row(a, d)["state"] == "DOWN" and row(a, b)["state"] == "NORMAL", "node 1 is back")
        again = row(a, d)
        assert all(again[k] == mark[k] for k in ("needs_repair", "repair_reason", "repair_since_ms"))
        assert row(a, d, "hints")["pending"] == 10 and balance(a) == 0
        d.start()
        c.wait_linked()
        c.wait_delivered()
        values = rig.own_values(c, 2, [f"k{i}" for i in range(100)] + [f"later{i}" for i in range(10)])
        assert [k for k, v in values.items() if v] == [f"later{i}" for i in range(10)]
        assert row(a, d)["needs_repair"]
        assert a.admin("repaired", address(d)) == {} and a.admin("repaired", address(d)) == {}
        assert not row(a, d)["needs_repair"] and row(a, d)["repair_since_ms"] is None
        assert metric(a, "needs_repair", d) == 0
        a.kill()
        a.start()
        assert not row(a, d)["needs_repair"]
        assert a.admin("hints", "truncate", "all", "--yes")["peers"] and not row(a, d)["needs_repair"]  # of nothing


def test_hints_truncate_while_they_are_delivered():
    """Exact under load: what was on its way arrives and counts as delivered; the rest never does."""
    with rig.Cluster(3, flags={"hint-drain-rate": "300000"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        fill(a, 2000)
        d.start(wait=False)
        rig.wait_until(lambda: totals(a)["delivered_total"] > 50, "the delivery is under way")
        stop, written = threading.Event(), []

        def live():
            other = a.client()
            while not stop.is_set():
                other.set(f"live{len(written)}", "1")
                written.append(1)
        thread = threading.Thread(target=live)
        thread.start()
        done = a.admin("hints", "truncate", address(d), "--yes")["peers"][0]
        stop.set()
        thread.join()
        a.admin("config", "set", "hint_drain_rate", "0")
        c.wait_linked()
        c.wait_delivered()
        assert 0 < done["truncated"] and balance(a) == 0
        assert totals(a)["truncated_total"] == done["truncated"]
        values = rig.own_values(c, 2, [f"k{i}" for i in range(2000)] + [f"live{i}" for i in range(len(written))])
        have = [k for k, v in values.items() if v]
        there = sum(k.startswith("k") for k in have)
        assert have[:there] == [f"k{i}" for i in range(there)] and there < 2000
        missed = len(values) - len(have)
        assert missed == done["truncated"], (missed, done)
        mine = [k for k in have if k.startswith("live")]
        assert mine == [f"live{i}" for i in range(len(written) - len(mine), len(written))]  # what came after it
        assert "hints for it were truncated" in row(a, d)["repair_reason"]


def test_hints_truncate_asks_on_a_terminal():
    with rig.Cluster(2) as c:
        a, b = c.nodes
        b.kill()
        rig.down(a)
        fill(a, 10)
        for word, left in (("n", 10), ("", 10), ("y", 0)):
            near, far = pty.openpty()
            with os.fdopen(near, "wb", buffering=0) as terminal:
                terminal.write(word.encode() + b"\n")
                done = a.admin_run("hints", "truncate", "all", stdin=far)
                os.close(far)
            assert done.returncode == (0 if word == "y" else 2), done
            assert b"Throw away the hints for all?" in done.stderr and a.pending() == left
        done = a.admin_run("hints", "truncate", "all", stdin=subprocess.DEVNULL)
        assert done.returncode == 2 and b"--yes" in done.stderr


# ---- drain, wait, figures ---------------------------------------------------------------------------------


def test_hints_drain_says_why_not():
    with rig.Cluster(2) as c:
        a, b = c.nodes
        b.kill()
        rig.down(a)
        fill(a, 10)
        assert refused(a, "hints", "drain", address(b)).startswith(f"{address(b)}: it is down: ")
        b.start()
        a.admin("hints", "drain", address(b))
        c.wait_delivered()
        a.admin("hints", "drain", address(b))


def test_hints_wait_is_a_sync_point():
    with rig.Cluster(3, flags={"hint-drain-rate": "20000"}) as c:
        a, b, d = c.nodes
        a.admin("hints", "wait")
        d.kill()
        rig.down(a)
        fill(a, 300)
        done = a.admin_run("--timeout", "0.2", "hints", "wait")
        assert done.returncode == 1 and f"{address(d)}: 300 hints aren't delivered yet" in done.stderr.decode()
        assert address(b) not in done.stderr.decode()
        d.start()
        rig.wait_until(lambda: row(a, d, "hints")["state"] == "draining", "hints are delivered")
        waiting = subprocess.Popen([os.path.join(rig.BUILD, "dyn-admin"), "-n",
                                    os.path.join(a.directory, "admin.sock"), "--timeout", "60", "hints", "wait"])
        rig.wait_until(lambda: totals(a)["delivered_total"] > 20, "some are delivered")
        assert waiting.poll() is None and a.pending() > 0
        a.admin("config", "set", "hint_drain_rate", "0")
        assert waiting.wait(timeout=30) == 0
        assert totals(a)["delivered_total"] >= 300  # all that there were at the call
        assert rig.own_values(c, 2, ["k299"])["k299"] == b"x" * 1000
        d.kill()  # hints that expire are gone, too
        rig.down(a)
        a.admin("config", "set", "hint_ttl_seconds", "1")
        fill(a, 10)
        a.admin("--timeout", "20", "hints", "wait")
        assert totals(a)["expired_total"] == 10 and balance(a) == 0
        a.kill()  # a peer that a new start hasn't met yet, and for which there is nothing
        a.start(wait=False)
        rig.wait_until(lambda: a.admin_run("ping").returncode == 0, "node 1 is back")
        a.admin("--timeout", "20", "hints", "wait")


def test_hints_rate_and_time_left_and_never():
    """The rate changes under way; what is slower than the live traffic says that it never catches up."""
    with rig.Cluster(3, flags={"hint-drain-rate": "50000"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        fill(a, 1000)
        assert row(a, d, "hints")["rate"] == 0 and row(a, d, "hints")["seconds_left"] is None
        d.start(wait=False)

        def figures():
            r = row(a, d, "hints")
            return r if r["state"] == "draining" and r["rate"] else None
        rig.wait_until(lambda: figures() and 25000 < figures()["rate"] < 100000 and figures()["seconds_left"],
                       "50,000 bytes a second")
        r = figures()
        assert 0.3 < r["seconds_left"] * r["rate"] / (r["bytes"] + 40 * r["pending"]) < 3, r
        a.admin("config", "set", "hint_drain_rate", "200000")
        rig.wait_until(lambda: 120000 < figures()["rate"] < 300000, "200,000 bytes a second")
        assert row(a, d)["note"] == ""
        a.admin("config", "set", "hint_drain_rate", "10000")
        stop = threading.Event()

        def live():
            other = a.client()
            while not stop.is_set():
                other.set("live", "x" * 5000)
        thread = threading.Thread(target=live)
        thread.start()
        slow = "hint_drain_rate (10000 bytes/s) is below the rate of new writes"
        rig.wait_until(lambda: slow in row(a, d)["note"] and row(a, d, "hints")["seconds_left"] is None,
                       "it never catches up")
        assert "it will never catch up" in a.admin_run("status").stdout.decode()
        stop.set()
        thread.join()
        a.admin("config", "set", "hint_drain_rate", "0")
        c.wait_delivered()
        rig.wait_until(lambda: row(a, d, "hints")["rate"] == 0 and row(a, d)["note"] == "", "all is told")
        assert row(a, d, "hints")["seconds_left"] == 0


def test_hints_at_a_rate_hold_up_no_client():
    """What is written meanwhile keeps its order behind them, in the log: a client doesn't wait until they are through."""
    with rig.Cluster(places=[("dc1", "rack1", "0"), ("dc1", "rack1", "2147483648")],
                     flags={"hint-drain-rate": "20000", "timeout": "1000"}) as c:
        a, d = c.nodes
        client = a.client()
        a.admin("hints", "pause", "all")
        fill(a, 400)
        pending = a.pending()
        assert 100 < pending < 300  # those of which node 2 has the only copy
        a.admin("hints", "resume", "all")
        for i in range(400):
            assert client.set(f"k{i}", i)  # behind seconds of hints
        assert row(a, d)["state"] == "NORMAL" and row(a, d, "hints")["state"] == "draining"
        assert a.pending() > pending
        a.admin("config", "set", "hint_drain_rate", "0")
        a.admin("hints", "wait")
        assert client.mget([f"k{i}" for i in range(400)]) == [b"%d" % i for i in range(400)]
        rig.wait_until(lambda: row(a, d, "hints")["state"] == "idle", "it is live again")
        assert client.set("live", "1") and client.incr("k0") == 1 and client.incr("k1") == 2
        assert balance(a) == 0 and a.pending() == 0


def test_hints_delivery_begins_when_a_peer_comes_up():
    """No sweep and no heartbeat is waited for: each of them would come after the deadline of this test."""
    with rig.Cluster(3, flags={"hint-drain-interval-ms": "3600000", "gos-interval": "60000"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        for n in c.nodes[:2]:
            fill(n, 100)
        d.start()
        c.wait_delivered()
        assert totals(a)["delivered_total"] == 100


def test_hints_of_a_peer_that_is_slow_are_counted_once():
    """What was merely on its way when it fell behind became hints: stored, and delivered."""
    with rig.Cluster(3, flags={"send-window": "20000"}) as c:
        a, _, d = c.nodes
        rig.freeze(d.process)
        try:
            fill(a, 100)
            figures = [metric(a, f"hints_{name}", d) for name in ("stored_total", "pending", "delivered_total")]
        finally:
            d.process.send_signal(signal.SIGCONT)
        assert figures == [100, 100, 0]
        c.wait_linked()
        c.wait_delivered()
        assert balance(a) == 0 and metric(a, "hints_delivered_total", d) == 100


# ---- a peer that is away for too long ---------------------------------------------------------------------


def test_hints_window_closes_over_restarts_until_the_peer_is_back():
    with rig.Cluster(3, flags={"hint-ttl-seconds": "2", "hint-drain-interval-ms": "50",
                               "write-consistency": "DC_QUORUM"}) as c:
        a, b, d = c.nodes
        d.kill()
        rig.down(a)
        fill(a, 5, name="old")
        a.admin("config", "set", "hint_ttl_seconds", "3600")
        fill(a, 5, name="kept")
        rig.wait_until(lambda: totals(a)["expired_total"] == 5, "the oldest have expired")
        rig.wait_until(lambda: "longer than its hints live" in row(a, d)["note"], "the window is closed")
        mark = row(a, d)
        assert mark["needs_repair"] and mark["repair_reason"] == "hints for it expired"

        def closed(name):
            before = metric(a, "hints_rejected_total", d, reason="window"), row(a, d, "hints")["pending"]
            fill(a, 5, name=name)  # two real replicas: the level is met
            assert metric(a, "hints_rejected_total", d, reason="window") == before[0] + 5
            assert row(a, d, "hints")["pending"] == before[1] == 5
        closed("missed")
        a.kill()
        a.flags["hint-ttl-seconds"] = "3600"
        a.start()
        rig.wait_until(lambda: row(a, b)["state"] == "NORMAL" and row(a, d)["state"] == "DOWN", "node 1 is back")
        again = row(a, d)
        assert all(again[k] == mark[k] for k in ("needs_repair", "repair_reason", "repair_since_ms", "note"))
        closed("more")
        a.admin("repaired", address(d))
        assert not row(a, d)["needs_repair"]
        closed("again")  # it isn't whole as long as it is away
        rig.wait_until(lambda: row(a, d)["repair_reason"] == "it has been down for longer than its hints live",
                       "it is marked again")
        b.kill()
        rig.down(a, 2)
        a.admin("config", "set", "hint_ttl_seconds", "1")
        assert a.client().set("short", "1")  # a hint for node 2 stands in for it, until its window is closed, too
        rig.wait_until(lambda: row(a, b)["note"], "the window of node 2 is closed")
        with pytest.raises(rig.redis.ResponseError, match="NOHINT a replica has been down for longer than hints live"):
            a.client().set("none", "1")
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert row(a, d)["note"] == "" and row(a, d)["needs_repair"]
        assert a.client().set("new", "1")
        names = ["old0", "kept0", "missed0", "more0", "again0", "new"]
        rig.wait_until(lambda: [k for k, v in rig.own_values(c, 2, names).items() if v] == ["kept0", "new"],
                       "node 3 has what was kept, and what is new")
        d.kill()
        rig.down(a)
        a.kill()
        a.start()
        rig.wait_until(lambda: row(a, b)["state"] == "NORMAL", "node 1 is back")
        fill(a, 5, name="hint")
        assert row(a, d, "hints")["pending"] == 5 and row(a, d)["note"] == ""


def test_hints_that_expire_before_they_go_out_are_not_delivered():
    """Those that the delivery passes over count as expired, and only as that."""
    with rig.Cluster(3, flags={"hint-drain-interval-ms": "3600000"}) as c:
        a, _, d = c.nodes
        a.admin("hints", "pause", address(d))
        for i in range(10):
            a.admin("config", "set", "hint_ttl_seconds", "1" if i % 3 else "3600")
            fill(a, 7, name=f"{i}-")
        rig.wait_until(lambda: row(a, d, "hints")["oldest_seconds"] >= 3, "some have expired")
        assert totals(a)["pending"] == 70
        a.admin("hints", "resume", address(d))
        a.admin("hints", "wait")
        t = totals(a)
        assert (t["stored_total"], t["delivered_total"], t["expired_total"]) == (70, 28, 42), t
        mark = row(a, d)
        assert mark["needs_repair"] and mark["repair_reason"] == "hints for it expired" and mark["note"] == ""


# ---- the pace ---------------------------------------------------------------------------------------------


class SlowPeer:
    """Takes the place of a node and reads what node 1 sends; acknowledges and answers heartbeats when a test wants."""

    def __init__(self, cluster, a, d):
        with open(os.path.join(d.directory, "node_id"), encoding="ascii") as f:
            self.id = f.read().strip()
        with open(os.path.join(d.directory, "start"), encoding="ascii") as f:
            mark = int(f.read().split()[0])
        with socket.create_server(("127.0.0.1", d.peer_port)) as server:
            server.settimeout(15)
            with lp.Link.dial(a.peer_port, self.id, mark=mark).link():
                pass  # it dials back at once whoever greets it
            while True:
                self.link = lp.Link(server.accept()[0], self.id, mark=mark)
                hello = lp.parse(self.link.expect(lp.HELLO)[2])
                if hello[6] == b"rack1":
                    break
                self.link.sock.close()
        self.link.send(lp.frame(lp.CHALLENGE, self.link.answer_hello(hello)))
        self.link.expect(lp.PROOF)
        self.link.send(lp.frame(lp.WELCOME, lp.message((1, 0), (2, 3), (3, 1))))  # STANDBY
        self.last = self.waiting = 0  # number and bytes that aren't acknowledged

    def take(self):
        """The next frame: its kind; checksums aren't looked at, which would take too long here."""
        size, _, kind, _, _, _, seq, _, _ = struct.unpack("<IIBBHIQQQ", self.link.read(lp.HEAD))
        self.link.read(size - lp.HEAD)
        if kind in (lp.WRITE, lp.SKIP):
            self.last = seq
            self.waiting += size
        return kind, seq

    def acknowledge(self):
        self.link.send(lp.frame(lp.ACK, seq=self.last))
        self.waiting = 0

    def beats(self, n, late=0.0):
        """Answers n heartbeats, each so late; takes what comes in between."""
        while n:
            kind, seq = self.take()
            if kind == lp.BEAT:
                if late:
                    time.sleep(late)  # what a slow peer does
                self.link.send(lp.frame(lp.BEAT, seq=seq))
                n -= 1


def test_hints_go_slower_while_the_peer_answers_slowly():
    window = 1 << 19
    with rig.Cluster(3, flags={**rig.STATIC, "send-window": str(window), "gos-interval": "1000"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        fill(a, 600, 10000)
        peer = SlowPeer(c, a, d)

        def all_on_its_way(late=0.0):
            """The window is used in full, and no more than that."""
            for _ in range(40):
                if peer.waiting >= window - 40000:  # what is acknowledged is known to within 16 KB
                    break
                peer.beats(1, late)
            peer.beats(2, late)
            assert window - 40000 <= peer.waiting < window + 20000, peer.waiting
        with peer.link:
            all_on_its_way()
            peer.beats(3, late=0.1)
            peer.acknowledge()
            peer.beats(3, late=0.1)
            assert 0 < peer.waiting < 100000, peer.waiting  # 64 KB, and one more
            peer.beats(13)
            peer.acknowledge()
            all_on_its_way()  # it is fast again
            a.admin("config", "set", "hint_drain_rate", "10000000000")  # who sets a rate gets it
            peer.beats(3, late=0.1)
            peer.acknowledge()
            all_on_its_way(late=0.1)
        d.start()
        c.wait_linked()
        c.wait_delivered()


# ---- hinted handoff off for a while -----------------------------------------------------------------------


@pytest.mark.parametrize("flag, value", [("enable-hinted-handoff", "false"), ("hint-dir", "memory")])
def test_hints_left_behind_are_not_called_delivered(flag, value):
    """A start that keeps no hints on disk writes on above those that lie there; the peer never gets them."""
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        fill(a, 20)
        a.stop()
        a.flags = {**a.flags, flag: value}
        a.start()
        d.start()
        rig.wait_until(lambda: row(a, d)["state"] == "NORMAL", "node 3 is back")
        mark = row(a, d)
        assert mark["needs_repair"] and "20 hints" in mark["repair_reason"], mark
        assert rig.own_values(c, 2, ["k1"])["k1"] is None
        a.stop()
        del a.flags[flag]
        a.start()
        rig.wait_until(lambda: row(a, d)["state"] == "NORMAL", "node 3 is linked")
        rig.wait_until(lambda: a.pending() == 0, "nothing is pending")
        assert row(a, d)["needs_repair"]
