"""Every error of docs/errors.md, provoked. The first tests see to it that none is missing: neither there, nor here."""
import os
import re
import signal

import pytest
import rig
from test_io_errors import SHIM
from wire import Wire

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")

# What begins an error of docs/errors.md, and the test that provokes it: here, or FILE::TEST of this directory.
TESTED = {
    "ERR unknown command": "test_errors_of_a_command_line",
    "ERR wrong number of arguments": "test_errors_of_a_command_line",
    "ERR 'X' isn't supported": "test_errors_of_a_command_line",
    "ERR FLUSHALL isn't allowed": "test_ring.py::test_ring_flush_is_refused_until_it_is_allowed",
    "ERR more than N bytes of replies": "test_ring.py::test_ring_bounds",
    "ERR found a name of N bytes": "test_limits.py::test_limits_a_name_that_is_kept_has_a_bound",
    "ERR too much to watch": "test_transactions.py::test_what_may_be_watched_has_bounds",
    "NOPROTO": "test_errors_of_a_command_line",
    "OOM": "test_errors_of_a_full_store",
    "NOAUTH": "test_errors_of_a_password",
    "WRONGPASS": "test_errors_of_a_password",
    "NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM read)": "test_errors_where_replicas_are_away",
    "NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM write); nothing was written": "test_errors_where_replicas_are_away",
    "NOQUORUM 1 of 2 needed replicas answered (DC_QUORUM write); it took effect on some": "test_errors_where_replicas_fail_meanwhile",
    "NOHINT hint store is full (1073741824 bytes); it took effect on some": "test_errors_where_replicas_are_away",
    "NOHINT hint store is full (1073741824 bytes); nothing was written": "test_errors_of_a_node_that_is_no_replica",
    "CROSSSLOT": "test_errors_of_a_node_that_is_no_replica",
    "BACKEND": "test_errors_of_a_node_that_is_no_replica",
    "TIMEOUT no answer within 5000 ms; the write": "test_errors_of_silence",
    "TIMEOUT no answer within 5000 ms": "test_errors_of_silence",
    "EXECABORT": "test_transactions.py::test_what_isnt_possible_inside_says_why",
    "LOADING": "test_errors_of_a_start_that_takes_long",
    "CLOCK": "test_clock.py::test_clock_only_the_node_that_is_off_refuses",
}


def documented():
    with open(os.path.join(ROOT, "docs", "errors.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| `([^`]+)`", f.read(), re.M)
    assert len(rows) > 15
    return rows


def test_errors_each_that_is_documented_has_a_test():
    told = documented()
    for text in told:
        assert any(text.startswith(t) for t in TESTED), f"no test for {text}"
    for begin, test in TESTED.items():
        assert any(t.startswith(begin) for t in told), f"{begin} isn't in docs/errors.md"
        name = test.split("::")
        with open(os.path.join(os.path.dirname(__file__), name[0] if name[1:] else "test_errors.py"), encoding="utf-8") as f:
            body = re.search(rf"^def {name[-1]}\(.*?(?=^\S|\Z)", f.read(), re.M | re.S)
        assert body, test
        if not name[1:]:
            assert begin.split()[0] in body[0], f"{test} doesn't provoke {begin}"


# An error's text where the server writes it.
MADE = r'(?:(?:add_error|answer_error|error_set|settle_text)\(|fail\(c, spec,)[^";]*"-?([A-Z]{3,}) [a-zA-Z%]'


def test_errors_each_that_the_server_makes_is_documented():
    """The codes, that is: words in capitals that begin an error."""
    codes = set()
    for room in os.listdir(os.path.join(ROOT, "src")):
        path = os.path.join(ROOT, "src", room)
        for name in os.listdir(path) if os.path.isdir(path) else []:
            if name.endswith(".c"):
                with open(os.path.join(path, name), encoding="utf-8") as f:
                    codes |= set(re.findall(MADE, f.read()))
    codes -= {"ERR", "NOSCRIPT", "INFO"}  # Redis's own words, for a script that no store has; what the log says of a backend
    assert {"NOQUORUM", "TIMEOUT", "BACKEND", "CROSSSLOT", "NOHINT", "OOM"} <= codes
    assert {c for c in codes if not any(t.startswith(c + " ") for t in documented())} == set()


def expect(w, line, text):
    """The error is that line, whole; then the connection is as good as before."""
    got = w.ask(*line.split())
    assert re.fullmatch(b"-" + text.encode() + rb"\r\n", got), got
    again = w.ask("PING")
    assert again == b"+PONG\r\n" or again.startswith(b"-NOAUTH"), again


def test_errors_of_a_command_line():
    with rig.Cluster(1) as c, Wire(c.nodes[0].client_port) as w:
        expect(w, "NOSUCH a b", r"ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ?")
        expect(w, "GET", r"ERR wrong number of arguments for 'get' command")
        expect(w, "BLPOP q 0", r"ERR 'BLPOP' isn't supported: it blocks, .+")
        expect(w, "HELLO 4", r"NOPROTO unsupported protocol version")


def test_errors_of_a_full_store():
    with rig.Cluster(1, flags={"store-max-bytes": "1048576"}) as c, Wire(c.nodes[0].client_port) as w:
        expect(w, "SET big " + "x" * 2000000, r"OOM command not allowed: the embedded store is full \(1048576 bytes\).*")


def test_errors_of_a_password():
    with rig.Cluster(1, flags={"requirepass": "sesame"}) as c, Wire(c.nodes[0].client_port) as w:
        expect(w, "GET k", r"NOAUTH Authentication required\.")
        expect(w, "AUTH wrong", r"WRONGPASS invalid username-password pair or user is disabled\.")


QUORUM = {"write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM"}
COULD = r"(; in dc1: .+)?"  # who could answer, and who couldn't


def test_errors_where_replicas_are_away():
    with rig.Cluster(3, flags={**QUORUM, "sloppy-quorum": "false", "gos-interval": "100"}) as c:
        a, b, d = c.nodes
        b.kill()
        d.kill()
        rig.down(a, 2)
        with Wire(a.client_port) as w:
            expect(w, "GET k", r"NOQUORUM 1 of 2 needed replicas answered \(DC_QUORUM read\)" + COULD)
            expect(w, "SET k v", r"NOQUORUM 1 of 2 needed replicas answered \(DC_QUORUM write\); nothing was written" + COULD)
            a.admin("config", "set", "sloppy_quorum", "true")
            a.admin("config", "set", "hint_store_max_bytes", "100")
            expect(w, "SET k " + "v" * 1000, r"NOHINT hint store is full \(100 bytes\); it took effect on some")


def test_errors_where_replicas_fail_meanwhile():
    """They stop before they are asked, and count as down while their answers are awaited."""
    with rig.Cluster(3, flags={**QUORUM, "sloppy-quorum": "false", "gos-interval": "100", "timeout": "20000"}) as c:
        a, b, d = c.nodes
        with Wire(a.client_port) as w:
            for n in (b, d):
                rig.freeze(n.process)
            try:
                expect(w, "SET k v", r"NOQUORUM 1 of 2 needed replicas answered \(DC_QUORUM write\); it took effect on some" + COULD)
            finally:
                for n in (b, d):
                    n.process.send_signal(signal.SIGCONT)


def test_errors_of_silence():
    """They stop, and don't count as down for long."""
    with rig.Cluster(3, flags={**QUORUM, "gos-interval": "3000", "timeout": "500"}) as c:
        a, b, d = c.nodes
        for n in (b, d):
            rig.freeze(n.process)
        try:
            with Wire(a.client_port) as w:
                expect(w, "GET k", r"TIMEOUT no answer within 500 ms")
                expect(w, "SET k v", r"TIMEOUT no answer within 500 ms; the write may still take effect")
        finally:
            for n in (b, d):
                n.process.send_signal(signal.SIGCONT)


def test_errors_of_a_node_that_is_no_replica():
    """Two nodes share one rack; the other one is away, and nothing can be kept for it."""
    flags = {"gos-interval": "100", "hint-store-max-bytes": "100"}
    with rig.Cluster(places=[("dc1", "rack1", "0"), ("dc1", "rack1", "2147483648")], store="redis", flags=flags) as c:
        a, b = c.nodes
        address = a.admin("status")["node"]["address"]
        keys = {a.admin("key", f"k{i}")["replicas"][0]["address"] == address: f"k{i}" for i in range(50)}
        mine, theirs = keys[True], keys[False]
        with Wire(a.client_port) as w:
            expect(w, f"RENAME {mine} {theirs}", r"CROSSSLOT Keys in request don't hash to the same node")
            b.kill()
            rig.down(a, 1)
            expect(w, f"SET {theirs} " + "v" * 1000, r"NOHINT hint store is full \(100 bytes\); nothing was written")
            c.backends[0].kill()
            rig.wait_until(lambda: not a.metrics()["dynomite_backend_up"], "its store is gone")
            expect(w, f"GET {mine}", r"BACKEND .+")


def test_errors_of_a_start_that_takes_long(tmp_path, preloads):
    """LOADING from the second second on; the connection is a client's like others when the start is over, with what it
    had begun to say."""
    node = rig.Node(str(tmp_path), "slow", rig.free_ports(3), {"data-store": "redis", "servers": "127.0.0.1:1:1", "timeout": "300"})
    held = str(tmp_path / "held")
    plain = node.arguments
    node.arguments = lambda: ["env", f"LD_PRELOAD={SHIM}", f"SHIM_HOLD={held}", *plain()]
    with open(held, "w", encoding="ascii"):
        pass
    node.start(wait=False)
    try:
        rig.wait_until(lambda: node.alive() and "the start takes its time" in node.log_text(), "it says so")
        with Wire(node.client_port) as w, Wire(node.client_port) as half, Wire(node.client_port) as bad:
            for line in ("GET k", "PING", "SET k v"):
                assert re.fullmatch(rb"-LOADING this node is starting: .+\r\n", w.ask(*line.split()))
            half.send(b"*2\r\n$4\r\nECHO\r\n$3\r\nh")
            bad.send(b"*1\r\n$x\r\n")
            w.send(b"GET k\r\n" * 100)
            assert all(w.reply().startswith(b"-LOADING") for _ in range(100))
            os.unlink(held)
            rig.wait_until(lambda: node.client().ping(), "it is up")
            assert w.ask("PING") == b"+PONG\r\n"
            half.send(b"al\r\n")
            assert half.reply() == b"$3\r\nhal\r\n"
            assert bad.rest() == b"-ERR Protocol error: invalid bulk length\r\n"
    finally:
        if os.path.exists(held):
            os.unlink(held)
            rig.wait_until(lambda: node.client().ping(), "it is up")
        node.stop()
