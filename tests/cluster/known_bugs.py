"""Promises that don't hold yet, each with its reason; not collected: pytest tests/cluster/known_bugs.py."""
import os
import resource
import socket
import time

import rig
from test_clock import DAY, TTL, Clock, all_delivered, hold, pytestmark, sweeps, with_clock  # pylint: disable=unused-import
from test_faults import cpu_seconds, down, repair


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


def test_http_waits_for_descriptors_without_spinning():
    """src/admin/http.c lets libmicrohttpd accept. Where that finds no descriptor and has no connection yet, it
    tries again without end (its own message: "Will try busy waiting"). core/listener and MHD_add_connection
    would pause, as the other ports do."""
    with rig.Cluster(1) as c:
        a = c.nodes[0]
        used = len(os.listdir(f"/proc/{a.process.pid}/fd"))
        resource.prlimit(a.process.pid, resource.RLIMIT_NOFILE, (used + 10, used + 1000))
        held = [socket.create_connection(("127.0.0.1", a.client_port)) for _ in range(30)]
        rig.wait_until(lambda: "accepting pauses" in a.log_text(), "no descriptor is left")
        with socket.create_connection(("127.0.0.1", a.http_port)) as waiting:
            before, start = cpu_seconds(a), time.monotonic()
            rig.wait_until(lambda: time.monotonic() - start > 1, "a second")
            used = (cpu_seconds(a) - before) / (time.monotonic() - start)
            for s in held:
                s.close()
            waiting.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert waiting.recv(100).startswith(b"HTTP/1.1 200")
        assert used < 0.2, f"{used:.2f} of a CPU"


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


def test_hints_of_a_peer_that_is_known_no_more():
    """name_log() in src/server.c: without the file peers (or with another rack or tokens for that seed) the log
    is looked for under the place's name; the one under the id stays where it is, with its hints, and neither
    a log line nor a figure tells."""
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        for n in c.nodes:
            n.stop()
        for n in c.nodes:  # logs now lie under their peers' ids
            n.start(wait=False)
        c.wait_linked()
        d.kill()
        down(a)
        a.client().set("k", "1")
        a.stop()
        os.unlink(os.path.join(a.directory, "peers"))
        a.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["k"]) == {"k": b"1"} or any(repair(a).values()) or "orphan" in a.log_text()
