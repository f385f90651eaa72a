"""One node: what a client and an operator see."""
import os
import signal
import socket
import subprocess

import pytest
import redis
import rig


@pytest.fixture(scope="module")
def node():
    with rig.Cluster(1) as c:
        yield c.nodes[0]


def raw(node, data, enough=lambda b: b.endswith(b"\r\n"), close=False):
    with socket.create_connection(("127.0.0.1", node.client_port), timeout=10) as s:
        s.sendall(data)
        if close:
            return b""
        got = b""
        while not enough(got):
            part = s.recv(65536)
            if not part:
                break
            got += part
        return got


def test_basic_strings(node):
    c = node.client()
    assert c.set("a", "1") and c.get("a") == b"1"
    assert c.set("a", "2", nx=True) is None and c.set("a", "3", xx=True)
    assert c.set("a", "4", get=True) == b"3"
    assert c.incr("n") == 1 and c.incrby("n", 41) == 42 and c.decr("n") == 41
    assert c.append("a", "56") == 3 and c.strlen("a") == 3 and c.getrange("a", 1, 2) == b"56"
    assert c.setrange("a", 1, "xx") == 3 and c.get("a") == b"4xx"
    assert c.mset({"m1": 1, "m2": 2}) and c.mget("m1", "nope", "m2") == [b"1", None, b"2"]
    assert c.exists("m1", "m1", "nope") == 2 and c.delete("m1", "m2", "nope") == 2
    assert c.expire("a", 100) and 98 <= c.ttl("a") <= 100 and c.persist("a") and c.ttl("a") == -1
    assert c.getdel("a") == b"4xx" and c.get("a") is None
    assert c.type("n") == b"string" and c.unlink("n") == 1
    assert c.set("t", "x", px=60000) and 0 < c.pttl("t") <= 60000


def test_basic_errors_are_redis_own(node):
    assert raw(node, b"NOPE a b\r\n") == \
        b"-ERR unknown command 'NOPE', with args beginning with: 'a' 'b' \r\n"
    assert raw(node, b"GET\r\n") == b"-ERR wrong number of arguments for 'get' command\r\n"
    assert raw(node, b"SET s abc\r\n") == b"+OK\r\n"
    assert raw(node, b"INCR s\r\n") == b"-ERR value is not an integer or out of range\r\n"
    assert raw(node, b"SET s v EX 0\r\n") == b"-ERR invalid expire time in 'set' command\r\n"
    assert raw(node, b"HELLO 4\r\n") == b"-NOPROTO unsupported protocol version\r\n"
    assert raw(node, b"BLPOP q 0\r\n").startswith(b"-ERR ")
    assert raw(node, b"SET __dynomited:x 1\r\n").startswith(b"-ERR ")


def test_basic_pipeline_in_order_any_split(node):
    n = 300
    data = b"".join(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%d\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
                    % (len(str(i)), i) for i in range(n))
    want = b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(n))
    with socket.create_connection(("127.0.0.1", node.client_port), timeout=20) as s:
        for i in range(0, len(data), 7):
            s.sendall(data[i:i + 7])
        got = b""
        while len(got) < len(want):
            got += s.recv(65536)
    assert got == want


def test_basic_large_value(node):
    big = os.urandom(20 * 1024 * 1024)
    c = node.client()
    assert c.set("big", big) and c.get("big") == big
    c.delete("big")


def test_basic_scan_and_dbsize(node):
    c = node.client()
    for k in c.scan_iter(count=100):
        c.delete(k)
    c.mset({f"s{i}": i for i in range(500)})
    assert c.dbsize() == 500 and {k for k in c.scan_iter(count=13)} == {b"s%d" % i for i in range(500)}


@pytest.mark.parametrize("junk", [b"*1\r\n$-5\r\n", b"*1\r\n$1000000000000\r\n", b"*-x\r\n",
                                  b"*1\r\nhello\r\n"])
def test_basic_protocol_errors_are_answered_and_closed(node, junk):
    got = raw(node, junk, enough=lambda b: False)
    assert got.startswith(b"-ERR Protocol error") and got.endswith(b"\r\n")
    assert node.client().ping()


def test_basic_half_request_and_garbage(node):
    raw(node, b"*2\r\n$3\r\nGET\r\n$100\r\nabc", close=True)
    try:
        raw(node, os.urandom(1 << 20) * 64, enough=lambda b: False)
    except OSError:
        pass  # closed under the flood: as good as an answer
    assert node.client().ping()


def test_basic_peer_port_survives_strangers(node):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 64, os.urandom(4096)):
        with socket.create_connection(("127.0.0.1", node.peer_port), timeout=10) as s:
            s.sendall(data)
            s.settimeout(10)
            try:
                while s.recv(4096):
                    pass
            except ConnectionError:
                pass
    assert node.client().ping()
    assert "refused" in node.log_text()


def test_basic_admin_and_http(node):
    status = node.admin("status")
    assert status["node"]["state"] == "NORMAL" and status["peers"] == []
    assert set(status["node"]) >= {"id", "version", "address", "datacenter", "rack", "tokens",
                                   "data_store", "state", "uptime_seconds"}
    assert node.admin("ping") == {}
    assert node.admin("ring")["tokens"][0]["share"] == 1.0
    node.client().set("k", "value")
    key = node.admin("key", "k")
    assert key["replicas"][0]["exists"] is True and key["replicas"][0]["bytes"] == 5
    assert node.admin_run("frobnicate").returncode == 2
    assert node.admin_run("-n", "/nonexistent/sock", "ping").returncode == 3
    assert node.http("/livez") and node.http("/readyz")
    assert node.metrics()["dynomite_backend_up"] == 1
    promtool = "/usr/bin/promtool"
    if os.path.exists(promtool):
        done = subprocess.run([promtool, "check", "metrics"], input=node.http("/metrics"), text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_basic_data_dir_is_locked(node):
    args = node.arguments()
    for option in ("--listen", "--dyn-listen", "--stats-listen"):
        args[args.index(option) + 1] = f"127.0.0.1:{rig.free_ports(1)[0]}"
    done = subprocess.run([a for a in args if a not in ("--output", node.log)], capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 2 and "in use by another process" in done.stderr
    assert done.stderr.count("\n") == 1


def test_basic_port_taken_is_exit_2(node, tmp_path):
    done = subprocess.run([node.arguments()[0], "--data-dir", str(tmp_path), "--listen",
                           f"127.0.0.1:{node.client_port}"], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 2 and done.stderr.startswith("dynomited: listen:")


def test_basic_unknown_option_is_exit_1(node):
    done = subprocess.run([node.arguments()[0], "--frobnicate", "1"], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_basic_two_nodes_with_one_token(tmp_path):
    args = [os.path.join(rig.BUILD, "dynomited"), "--data-dir", str(tmp_path), "--rack", "r1",
            "--tokens", "7", "--dyn-seeds", "127.0.0.1:9:r1:localdc:7"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and "token 7" in done.stderr


def test_basic_survives_kill_and_restart():
    with rig.Cluster(1) as c:
        n = c.nodes[0]
        for i in range(200):
            n.client().set(f"k{i}", i)
        n.kill()
        n.start()
        assert n.client().mget([f"k{i}" for i in range(200)]) == [b"%d" % i for i in range(200)]


def test_basic_no_file_descriptors_left():
    """Accepting pauses, nothing spins, those who wait are served later."""
    with rig.Cluster(1) as c:
        n = c.nodes[0]
        import resource
        resource.prlimit(n.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        socks = []
        for _ in range(80):
            s = socket.create_connection(("127.0.0.1", n.client_port), timeout=20)
            s.sendall(b"PING\r\n")
            socks.append(s)
        rig.wait_until(lambda: "accepting pauses" in n.log_text(), "the log says that accepting pauses")
        for s in socks[:70]:
            s.close()
        for s in socks[70:]:
            assert s.recv(100) == b"+PONG\r\n"
            s.close()
        assert n.client().ping()


def test_basic_flood_and_stall_hurt_nobody(node):
    """One client sends and never reads, one stops in the middle of a command."""
    flood = socket.create_connection(("127.0.0.1", node.client_port), timeout=10)
    stall = socket.create_connection(("127.0.0.1", node.client_port), timeout=10)
    c = node.client()
    c.set("fat", b"x" * 100000)
    stall.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nab")
    flood.setblocking(False)
    sent = 0
    try:
        for _ in range(20000):
            sent += flood.send(b"*2\r\n$3\r\nGET\r\n$3\r\nfat\r\n" * 10)
    except BlockingIOError:
        pass
    for i in range(100):
        assert c.set("calm", i) and c.get("calm") == b"%d" % i
    flood.close()
    stall.close()
    assert sent > 0 and node.client().ping()


def test_basic_term_finishes_and_exits_0():
    with rig.Cluster(1) as c:
        n = c.nodes[0]
        n.client().set("k", "v")
        n.stop()
        n.start()
        assert n.client().get("k") == b"v"


def test_basic_hup_reopens_the_log():
    with rig.Cluster(1) as c:
        n = c.nodes[0]
        os.rename(n.log, n.log + ".1")
        n.process.send_signal(signal.SIGHUP)
        rig.wait_until(lambda: os.path.exists(n.log) and "opened again" in n.log_text(),
                       "a new log file is written")
