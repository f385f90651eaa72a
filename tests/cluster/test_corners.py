"""States that a node is seldom in: STANDBY without handoff, a store that is gone behind a living link, ..."""
import os
import signal
import subprocess
import sys

import redis
import rig


def test_corner_a_standby_peer_gets_writes_without_handoff():
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


def test_corner_hints_expire_while_only_the_store_is_gone():
    """The node answers, its Redis doesn't: its hints live no longer than others."""
    with rig.Cluster(2, store="redis", flags={"hint-ttl-seconds": "2"}) as c:
        a, _ = c.nodes
        c.backends[1].kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "node 2 is DOWN")
        assert a.client().set("k", "1")
        assert a.pending() == 1
        rig.wait_until(lambda: a.pending() == 0, "the hint is expired", 10)
        c.backends[1].start()


def test_corner_an_unknown_effect_is_not_said_to_be_none():
    """Handoff is off, and the link breaks while the only replica has the write in its socket."""
    places = [("dc1", "rack1", "0"), ("dc1", "rack1", "2147483648")]
    with rig.Cluster(places=places, flags={"enable-hinted-handoff": "false"}) as c:
        a, b = c.nodes
        key = next(k for k in (f"k{i}" for i in range(100))
                   if [r["id"] for r in a.admin("key", k)["replicas"]] == [b.admin("status")["node"]["id"]])
        rig.freeze(b.process)
        try:
            a.client().set(key, "1")
            answer = ""
        except redis.ResponseError as error:
            answer = str(error)
        os.kill(b.process.pid, signal.SIGCONT)
        c.wait_linked()
        assert answer and not (b.client().get(key) == b"1" and "nothing was written" in answer), answer


def test_corner_a_replica_that_may_not_write_says_so():
    """Its Redis refuses the command to this user: that is no fault of the write's. It holds up nothing (where no
    replica's user may run it, a client's slip would stop them all), and the loss is told."""
    with rig.Cluster(2, store="redis") as c:
        a, b = c.nodes
        c.backends[1].client().execute_command("ACL", "SETUSER", "default", "-append")
        assert a.client().append("k", "x") == 1
        rig.wait_until(lambda: b.admin("status")["node"]["needs_repair"], "its loss is told", 5)
        assert not a.admin("status")["node"]["needs_repair"] and "NOPERM" in b.log_text()
        c.backends[1].client().execute_command("ACL", "SETUSER", "default", "+append")
        assert a.client().append("k", "y") == 2
        rig.wait_until(lambda: c.backends[1].client().get("k") == b"y", "what follows goes on")


RESOLVER = """
import os, socket, subprocess, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
p = subprocess.Popen(sys.argv[1:])
s.recv(512)
p.terminate()
start = time.monotonic()
code = p.wait(60)
print(code, time.monotonic() - start)
"""


def test_corner_term_while_a_name_is_looked_up(tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\n")
    ports = rig.free_ports(3)
    node = rig.Node(str(tmp_path), "node1", ports, {"dyn-seeds": "nowhere.example:8101:r2:localdc:0"})
    inside = f"ip link set lo up; mount --bind {conf} /etc/resolv.conf; exec \"$@\""
    done = subprocess.run(["unshare", "-rmn", "sh", "-c", inside, "sh", sys.executable, "-c", RESOLVER,
                           *node.arguments()], capture_output=True, timeout=100, check=True)
    code, took = done.stdout.split()
    assert code == b"0" and float(took) < 10, done.stdout
