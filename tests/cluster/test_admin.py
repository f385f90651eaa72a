"""dyn-admin, its protocol, HTTP and the metrics: the shapes that scripts and dashboards rely on."""
import collections
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

import rig

ADMIN = os.path.join(rig.BUILD, "dyn-admin")


@pytest.fixture(scope="module")
def cluster():
    with rig.Cluster(3) as c:
        yield c


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


def run(*words, env=None, cwd=None):
    clean = {k: v for k, v in os.environ.items() if k != "DYN_ADMIN_NODE"}
    return subprocess.run([ADMIN, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30, check=False, env={**clean, **(env or {})}, cwd=cwd)


def sock_of(node):
    return os.path.join(node.directory, "admin.sock")


# ---- the command line -------------------------------------------------------------------------

def test_admin_options_before_and_after_the_command(node):
    sock = sock_of(node)
    for words in (["-n", sock, "-o", "json", "status"], ["status", "-o", "json", "-n", sock],
                  ["--node", sock, "status", "-ojson"], [f"--node={sock}", "--timeout", "5", "-o",
                                                         "json", "status"],
                  ["status", "--timeout=5", "-n", sock, "-o", "table", "-o", "json"]):
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["node"]["state"] == "NORMAL" and done.stderr == ""


def test_admin_finds_its_node(node, tmp_path):
    """-n wins over $DYN_ADMIN_NODE, which wins over ./data/admin.sock."""
    (tmp_path / "data").symlink_to(node.directory)
    assert run("ping", cwd=tmp_path).returncode == 0
    assert run("ping", env={"DYN_ADMIN_NODE": sock_of(node)}).returncode == 0
    assert run("ping", cwd=tmp_path, env={"DYN_ADMIN_NODE": "/nonexistent"}).returncode == 3
    assert run("-n", sock_of(node), "ping", env={"DYN_ADMIN_NODE": "/nonexistent"}).returncode == 0
    done = run("ping", cwd="/")
    assert done.returncode == 3 and "./data/admin.sock" in done.stderr


USAGE = [[], ["frobnicate"], ["status", "more"], ["key"], ["key", "a", "b"], ["log-level"],
         ["log-level", "12"], ["log-level", "x"], ["log-level", "-1"], ["log-level", ""],
         ["log-level", " 5"], ["-o", "xml", "status"], ["--timeout", "0", "status"],
         ["--timeout", "x", "status"], ["--timeout", "nan", "status"], ["--timeout", "1e300", "status"],
         ["--timeout", "", "status"], ["-z"], ["--frobnicate", "status"], ["-n"], ["hints", "lis"],
         ["hints", "list", "x"],
         ["hints", "pause"], ["hints", "pause", "a", "b"], ["hints", "resume"], ["hints", "drain"],
         ["hints", "truncate"], ["hints", "truncate", "--yes"], ["hints", "wait", "all"], ["repaired"],
         ["repaired", "a", "b"], ["config"], ["config", "frob"], ["config", "get"], ["config", "dump", "x"],
         ["config", "set", "timeout"], ["config", "set", "timeout", "1", "2"],
         ["hints", "truncate", "all"],  # no terminal to ask at, and no --yes
         ["hints", "handoff"], ["state", "frob"], ["state", "standby", "x"], ["state", ""]]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_admin_usage_is_exit_2(node, words):
    done = run(*words, env={"DYN_ADMIN_NODE": sock_of(node)})
    assert done.returncode == 2 and done.stdout == "" and "usage: dyn-admin" in done.stderr
    if words and not words[0].startswith("-"):
        assert done.stderr.startswith("dyn-admin: "), done.stderr


def test_admin_help_and_version(node):
    assert run("--help").returncode == 0 and "usage:" in run("-h").stdout
    version = json.loads(run("-n", sock_of(node), "-o", "json", "status").stdout)["node"]["version"]
    assert run("--version").stdout == f"dyn-admin {version}\n"


@pytest.mark.parametrize("command", ["status", "ping", "ring", "peers", "hints", "hints list", "stats",
                                     "metrics", "key some", "log-level 5", "state"])
def test_admin_tables_are_lines_of_text(node, command):
    done = run("-n", sock_of(node), *command.split())
    assert done.returncode == 0 and done.stderr == ""
    if command != "log-level 5":
        assert done.stdout.endswith("\n") and "{\"" not in done.stdout
    for line in done.stdout.splitlines():
        assert len(line) < 200 and line == line.rstrip()


def test_admin_tables_show_everything_json_does(node):
    """status: every member and every peer, in one screen."""
    text = run("-n", sock_of(node), "status").stdout
    status = node.admin("status")
    assert len(text.splitlines()) < 24
    for part in [status["node"], *status["peers"]]:
        for value in (part["id"], part["address"], part["rack"], part["state"]):
            assert value in text


def test_admin_unreachable_is_exit_3(tmp_path):
    path = str(tmp_path / "s")
    for address in (path, f"127.0.0.1:{rig.free_ports(1)[0]}", "nonsense", "host.invalid:1", ""):
        done = run("-n", address, "ping")
        assert done.returncode == 3 and done.stderr.count("\n") == 1, (address, done)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    assert run("-n", path, "ping").returncode == 3  # a socket file that nobody listens on


def serve(path, reply):
    """A node that answers each connection with these bytes, one at a time, or not at all."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(8)

    def answer():
        held = []
        while True:
            try:
                s, _ = server.accept()
            except OSError:
                return
            held.append(s)
            for b in reply:
                try:
                    s.sendall(bytes([b]))
                except OSError:
                    break
                time.sleep(0.05)
    threading.Thread(target=answer, daemon=True).start()
    return server


@pytest.mark.parametrize("reply", [b"", b"\x09\0\0\0" + b"\x08" * 1000], ids=["silent", "dripping"])
def test_admin_timeout_is_for_the_whole_call(tmp_path, reply):
    server = serve(str(tmp_path / "s"), reply * 10)
    start = time.monotonic()
    done = run("-n", str(tmp_path / "s"), "--timeout", "0.4", "status")
    server.close()
    assert done.returncode == 1 and "timed out" in done.stderr and time.monotonic() - start < 5


@pytest.mark.parametrize("reply", [b"\xff\xff\xff\xff", b"\x02\0\0\0\xff\xff"], ids=["4GB", "junk"])
def test_admin_an_answer_that_is_none(tmp_path, reply):
    server = serve(str(tmp_path / "s"), reply)
    done = run("-n", str(tmp_path / "s"), "status")
    server.close()
    assert done.returncode == 3 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("tcp", [True, False])
def test_admin_listen(tmp_path, tcp):
    address = f"127.0.0.1:{rig.free_ports(1)[0]}" if tcp else str(tmp_path / "own.sock")
    n = rig.Node(str(tmp_path), "one", rig.free_ports(3), {"admin-listen": address}).start()
    try:
        assert json.loads(run("-n", address, "-o", "json", "status").stdout)["peers"] == []
        assert not os.path.exists(sock_of(n))
    finally:
        n.stop()
    assert not os.path.exists(address)


def test_admin_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    with rig.Cluster(1) as c:
        n = c.nodes[0]
        n.kill()
        assert os.path.exists(sock_of(n)) and n.admin_run("ping").returncode == 3
        n.start()
        assert n.admin_run("ping").returncode == 0
        ports = [f"127.0.0.1:{p}" for p in rig.free_ports(3)]
        done = subprocess.run(
            [n.arguments()[0], "--data-dir", str(tmp_path), "--admin-listen", sock_of(n), "--listen",
             ports[0], "--dyn-listen", ports[1], "--stats-listen", ports[2]],
            capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2 and "another process listens" in done.stderr
        assert n.admin_run("ping").returncode == 0


# ---- the shapes of -o json --------------------------------------------------------------------

PEER = {"id": str, "address": str, "datacenter": str, "rack": str, "tokens": list, "state": str,
        "hints_pending": int, "hints_bytes": int, "needs_repair": bool, "repair_reason": str, "note": str}
NODE = {"id": str, "version": str, "address": str, "datacenter": str, "rack": str, "tokens": list,
        "data_store": str, "state": str, "uptime_seconds": int}
HINTS = {"id": str, "address": str, "rack": str, "pending": int, "bytes": int, "oldest_seconds": int,
         "state": str, "rate": int, "seconds_left": int}
TOTALS = ("pending", "bytes", "max_bytes", "stored_total", "delivered_total", "expired_total",
          "rejected_over_capacity_total", "damaged_total", "truncated_total")
REPLICA = {"id": str, "address": str, "datacenter": str, "rack": str, "exists": bool, "type": str,
           "bytes": int, "stamp": int, "digest": str}
TOKEN = {"token": int, "id": str, "address": str, "datacenter": str, "rack": str, "share": float,
         "role": str}
STATES = {"UNKNOWN", "JOINING", "NORMAL", "STANDBY", "DOWN", "RESET", "LEAVING"}


def expect(shape, found):
    for name, kind in shape.items():
        assert type(found[name]) is kind, (name, found)


def test_admin_json_shapes(cluster, node):
    node.client().set("k", "value")
    ids = {n.admin("status")["node"]["id"] for n in cluster.nodes}
    status = node.admin("status")
    expect(NODE, status["node"])
    assert status["node"]["tokens"] == [0] and len(ids) == 3
    assert {p["id"] for p in status["peers"]} == ids - {status["node"]["id"]}
    for p in status["peers"]:
        expect(PEER, p)
        assert p["state"] in STATES
    for command in (["hints"], ["hints", "list"]):
        hints = node.admin(*command)
        assert {p["id"] for p in hints["peers"]} == ids - {status["node"]["id"]}
        for p in hints["peers"]:
            expect(HINTS, p)
            assert p["state"] in {"idle", "storing", "draining", "paused", "orphaned"}
        expect({name: int for name in TOTALS}, hints["totals"])
    key = node.admin("key", "k")
    assert key["key"] == "k" and type(key["token"]) is int
    assert {r["id"] for r in key["replicas"]} == ids
    for r in key["replicas"]:
        expect(REPLICA, r)
        assert r["exists"] is True and r["type"] == "string" and r["bytes"] == 5
    assert key["replicas"][0]["id"] == status["node"]["id"]  # itself is asked first
    assert len({r["digest"] for r in key["replicas"]}) == 1
    for r in node.admin("key", "absent")["replicas"]:
        expect(REPLICA, r)
        assert r["exists"] is False
    for t in node.admin("ring")["tokens"]:
        expect(TOKEN, t)
        assert t["role"] == "member"
    assert node.admin("state") == {"state": status["node"]["state"]}
    peers = node.admin("peers")["peers"]
    for p in peers:
        assert p["link"] is True and p["last_heard_ms"] < 60000 and p["behind_bytes"] == 0
    assert {p["id"] for p in peers} == ids - {status["node"]["id"]}
    assert node.admin("ping") == {} and node.admin("log-level", "5") == {}
    assert node.admin("metrics")["text"].startswith("# HELP dynomite_build_info")


def test_admin_key_takes_any_bytes(node):
    for key in (b"two words", b"\xff\x00\xfe".replace(b"\0", b"z"), "é".encode(), b"-n"):
        done = subprocess.run([ADMIN, "-n", sock_of(node), "-o", "json", "key", "--", key],
                              capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        node.client().set(key, "v")
        assert json.loads(done.stdout)["token"] == node.admin("key", "--", key)["token"]
        assert node.admin("key", "--", key)["replicas"][0]["exists"] is True


def test_admin_ring_shares_sum_to_one_in_each_rack():
    many = ",".join(str(7919 * i) for i in range(1000))
    seeds = ["127.0.0.1:1:rack1:dc1:1073741824", "127.0.0.1:2:rack2:dc1:7,9",
             f"127.0.0.1:3:rack3:dc2:{many}"]
    with rig.Cluster(1, flags={"tokens": "0,2147483648", "dyn-seeds": seeds}) as c:
        n = c.nodes[0]
        tokens = n.admin("ring")["tokens"]
        assert [t["token"] for t in tokens] == sorted(t["token"] for t in tokens)
        assert len(tokens) == 2 + 1 + 2 + 1000
        shares = collections.defaultdict(float)
        for t in tokens:
            shares[t["datacenter"], t["rack"]] += t["share"]
        assert len(shares) == 3 and all(abs(s - 1) < 1e-6 for s in shares.values())
        mine = {t["token"]: t["share"] for t in tokens if t["rack"] == "rack1"}
        assert mine == {0: 0.5, 1073741824: 0.25, 2147483648: 0.25}
        status = n.admin("status")
        assert status["node"]["tokens"] == [0, 2147483648]
        assert [p["id"] for p in status["peers"]] == ["", "", ""]  # never met
        assert {p["state"] for p in status["peers"]} <= {"DOWN", "UNKNOWN"}
        assert json.loads(n.http("/ring.json")) == n.admin("ring")


def test_admin_key_of_a_peer_that_is_away(cluster, node):
    with rig.Cluster(3) as c:
        a = c.nodes[0]
        a.client().set("k", "v")
        c.nodes[2].kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 1 sees that node 3 is down")
        start = time.monotonic()
        rows = a.admin("key", "k")["replicas"]
        assert time.monotonic() - start < 6
        assert sorted(str(r["exists"]) for r in rows) == ["None", "True", "True"]


# ---- the protocol -----------------------------------------------------------------------------

def connect(node):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sock_of(node))
    return s


def request(command, key=None):
    body = b"\x0a" + bytes([len(command)]) + command
    if key is not None:
        body += b"\x12" + bytes([len(key)]) + key
    return struct.pack("<I", len(body)) + body


def read_reply(f):
    n, = struct.unpack("<I", f.read(4))
    return f.read(n)


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def resident_mb(node):
    with open(f"/proc/{node.process.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_admin_garbage_breaks_nothing(node):
    before = descriptors(node)
    for i in range(50):
        with connect(node) as s:
            s.sendall(os.urandom(1 + i * 37))
    for junk in (b"\xff\xff\xff\xff", struct.pack("<I", 1 << 20 | 1), b"GET / HTTP/1.0\r\n\r\n"):
        with connect(node) as s:
            s.sendall(junk)
            assert s.recv(100) == b""  # closed
    for junk in (b"\0\0\0\0", b"\x02\0\0\0\xff\xff"):
        with connect(node) as s, s.makefile("rb") as f:
            s.sendall(junk)
            assert read_reply(f)[:2] == b"\x08\0"  # ok: false, with a reason
            assert f.read() == b""
    for unknown in (request(b"frobnicate"), request(b"log-level"), request(b"\xff\xfe")):
        with connect(node) as s, s.makefile("rb") as f:
            s.sendall(unknown + request(b"ping"))
            assert [read_reply(f)[:2] for _ in range(2)] == [b"\x08\0", b"\x08\1"]
    with connect(node) as s:
        s.sendall(request(b"status")[:-3])  # half a message
        assert node.admin("ping") == {}
    rig.wait_until(lambda: descriptors(node) <= before, "no descriptor is left over")


def test_admin_idle_connections_hurt_nobody(node):
    before = descriptors(node)
    idle = [connect(node) for _ in range(100)]
    for s in idle[::2]:
        s.sendall(b"\x10\0")
    assert node.admin("ping") == {}
    more = [connect(node) for _ in range(300)]  # beyond what it serves at once
    for s in idle + more:
        s.close()
    rig.wait_until(lambda: node.admin_run("ping").returncode == 0, "it answers again")
    rig.wait_until(lambda: descriptors(node) <= before, "no descriptor is left over")


def test_admin_answers_in_order(node):
    with connect(node) as s, s.makefile("rb") as f:
        s.sendall(request(b"key", b"a") + request(b"ping") + request(b"key", b"b") + request(b"status"))
        replies = [read_reply(f) for _ in range(4)]
    assert b'"key":"a"' in replies[0] and b"{}" in replies[1]
    assert b'"key":"b"' in replies[2] and b'"uptime_seconds"' in replies[3]


def test_admin_a_client_that_never_reads_costs_little(node):
    before = resident_mb(node)
    s = connect(node)
    s.setblocking(False)
    blocked = 0
    burst = request(b"metrics") * 10000
    while blocked < 20:
        try:
            s.send(burst)
        except BlockingIOError:
            blocked += 1
            assert node.admin("ping") == {}
    assert resident_mb(node) - before < 64
    s.close()
    assert node.admin("ping") == {}


# ---- HTTP -------------------------------------------------------------------------------------

def ask(node, method, path, body=None):
    c = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
    c.request(method, path, body)
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, r.headers, text


@pytest.mark.parametrize("path, kind", [
    ("/metrics", "text/plain; version=0.0.4"), ("/livez", "text/plain"), ("/readyz", "text/plain"),
    ("/stats", "application/json"), ("/ring.json", "application/json"),
    ("/cluster_describe", "application/json")])
def test_admin_http_pages(node, path, kind):
    status, headers, text = ask(node, "GET", path)
    assert status == 200 and headers["Content-Type"].startswith(kind) and text
    if kind == "application/json":
        json.loads(text)
    status, headers, text = ask(node, "HEAD", path)
    assert status == 200 and headers["Content-Type"].startswith(kind) and text == b""
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FROB"):
        status, headers, _ = ask(node, method, path, b"x" * 100000 if method in ("POST", "PUT") else None)
        assert status == 405 and "GET" in headers["Allow"], method


def test_admin_http_other_pages(node):
    for path in ("/", "/nonsense", "/metrics/", "//metrics", "/Metrics", "/%2e%2e/etc/passwd"):
        assert ask(node, "GET", path)[0] == 404, path
    assert ask(node, "GET", "/metrics?name=x")[0] == 200
    assert ask(node, "POST", "/nonsense")[0] == 405


def test_admin_http_survives_strangers(node):
    before = descriptors(node)
    idle = [socket.create_connection(("127.0.0.1", node.http_port)) for _ in range(100)]
    for s in idle[::2]:
        s.sendall(b"GET /metrics HT")
    for i in range(30):
        with socket.create_connection(("127.0.0.1", node.http_port)) as s:
            s.sendall(os.urandom(1 + i * 100))
    assert node.http("/livez") == "alive\n"
    for s in idle:
        s.close()
    rig.wait_until(lambda: descriptors(node) <= before, "no descriptor is left over")


def test_admin_ready_follows_the_backend():
    with rig.Cluster(1, store="redis") as c:
        n = c.nodes[0]
        rig.wait_until(lambda: ask(n, "GET", "/readyz")[0] == 200, "the node is ready")
        assert n.metrics()["dynomite_backend_up"] == 1
        c.backends[0].kill()
        rig.wait_until(lambda: ask(n, "GET", "/readyz")[0] == 503, "the node isn't ready")
        status, headers, reason = ask(n, "GET", "/readyz")
        assert status == 503 and len(reason.strip()) > 10
        assert headers["Content-Type"].startswith("text/plain")
        assert ask(n, "GET", "/livez")[0] == 200
        metrics = n.metrics()
        assert metrics["dynomite_backend_up"] == 0 and metrics["dynomite_backend_errors_total"] > 0
        c.backends[0].start()
        rig.wait_until(lambda: ask(n, "GET", "/readyz")[0] == 200, "the node is ready again")


def test_admin_standby_is_ready():
    with rig.Cluster(3, flags={"gos-interval": "1500"}) as c:
        n = c.nodes[0]
        n.kill()
        n.start()
        seen = set()
        rig.wait_until(lambda: seen.add((n.state(), ask(n, "GET", "/readyz")[0])) or
                       n.state() == "NORMAL", "the node is NORMAL", 30)
        assert ("STANDBY", 200) in seen and {code for _, code in seen} == {200}


# ---- metrics ----------------------------------------------------------------------------------

METRICS = {"build_info": {"version"}, "uptime_seconds": set(), "client_connections": set(),
           "requests_total": {"command", "result"}, "peer_up": {"peer", "rack", "datacenter"},
           "peer_behind_bytes": {"peer"}, "hints_pending": {"peer"}, "hints_bytes": {"peer"},
           "hints_oldest_seconds": {"peer"}, "hints_stored_total": {"peer"},
           "hints_delivered_total": {"peer"}, "hints_expired_total": {"peer"},
           "hints_rejected_total": {"peer", "reason"}, "hints_truncated_total": {"peer"},
           "hints_damaged_total": {"peer"}, "gossip_messages_total": {"type", "direction"},
           "gossip_bytes_total": {"direction"}, "gossip_refused_total": {"reason"}, "gossip_members": {"state"}, "hints_paused": {"peer"}, "needs_repair": {"peer"},
           "stale_dropped_total": set(), "unguarded_total": set(), "backend_up": set(),
           "backend_errors_total": set(), "request_duration_seconds_bucket": {"le"},
           "request_duration_seconds_sum": set(), "request_duration_seconds_count": set()}


def check_with_promtool(text):
    if not os.path.exists("/usr/bin/promtool"):
        pytest.skip("promtool isn't installed")
    done = subprocess.run(["/usr/bin/promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == "" and done.stdout == "", done


def of_peer(node, name, peer, **labels):
    found = [v for k, v in node.metrics().items()
             if k.startswith(f"dynomite_{name}{{") and f'peer="127.0.0.1:{peer.peer_port}"' in k and
             all(f'{label}="{value}"' in k for label, value in labels.items())]
    assert len(found) == 1, (name, found)
    return found[0]


def test_admin_metrics_names_and_labels(node):
    node.client().ping()
    found = collections.defaultdict(set)
    for name in node.metrics():
        base, _, labels = name.partition("{")
        found[base] |= {frozenset(re.findall(r'(\w+)="', labels))}
    for name, labels in METRICS.items():
        assert found["dynomite_" + name] == {frozenset(labels)}, name
    check_with_promtool(node.http("/metrics"))
    assert run("-n", sock_of(node), "metrics").stdout.startswith("# HELP dynomite_build_info")


def test_admin_names_are_escaped():
    """Racks and datacenters may have any name but blanks, ':' and '/'."""
    strange = 'a"b\\c{}=,é'
    seeds = [f"127.0.0.1:1:{strange}:{strange}:0"]
    with rig.Cluster(1, flags={"rack": "'\\\"", "dyn-seeds": seeds}) as c:
        n = c.nodes[0]
        check_with_promtool(n.http("/metrics"))
        peer = n.admin("status")["peers"][0]
        assert peer["rack"] == peer["datacenter"] == strange
        escaped = strange.replace("\\", "\\\\").replace('"', '\\"')
        assert f'peer_up{{peer="127.0.0.1:1",rack="{escaped}",datacenter="{escaped}"}} 0' in n.http("/metrics")


def test_admin_metrics_move():
    """A dead peer, under load: each figure moves when it should, and promtool takes every scrape."""
    with rig.Cluster(3) as c:
        a, _, dead = c.nodes
        client = a.client()
        before = a.metrics()
        client.set("k", "v")
        with pytest.raises(rig.redis.ResponseError):
            client.execute_command("INCR", "k")
        after = a.metrics()
        for result, command in (("ok", "SET"), ("error", "INCR")):
            name = f'dynomite_requests_total{{command="{command}",result="{result}"}}'
            assert after[name] == before.get(name, 0) + 1
        assert after["dynomite_client_connections"] >= 1
        assert after["dynomite_request_duration_seconds_count"] > \
            before["dynomite_request_duration_seconds_count"]
        buckets = [v for k, v in after.items() if "_seconds_bucket" in k]
        assert buckets == sorted(buckets)

        dead.kill()
        rig.wait_until(lambda: of_peer(a, "peer_up", dead) == 0, "node 3 is down")
        stop = threading.Event()

        def load():
            other = a.client()
            while not stop.is_set():
                other.set("loaded", "x")
        thread = threading.Thread(target=load)
        thread.start()
        for _ in range(10):
            check_with_promtool(a.http("/metrics"))
        stop.set()
        thread.join()
        for i in range(20):
            client.set(f"k{i}", "x" * 100)
        stored, pending = of_peer(a, "hints_stored_total", dead), of_peer(a, "hints_pending", dead)
        assert stored == pending >= 20 and of_peer(a, "hints_bytes", dead) > 2000
        assert of_peer(a, "peer_behind_bytes", dead) > 2000
        rig.wait_until(lambda: of_peer(a, "hints_oldest_seconds", dead) >= 1, "hints grow old")
        totals = a.admin("hints")["totals"]
        assert totals["stored_total"] == stored and totals["pending"] == pending
        assert of_peer(a, "hints_delivered_total", dead) == 0

        dead.start()
        c.wait_delivered()
        assert of_peer(a, "hints_delivered_total", dead) == stored == \
            a.admin("hints")["totals"]["delivered_total"]
        assert of_peer(a, "peer_up", dead) == 1 and of_peer(a, "hints_bytes", dead) == 0
        assert of_peer(a, "hints_oldest_seconds", dead) == of_peer(a, "needs_repair", dead) == 0


def test_admin_metrics_of_hints_that_are_gone():
    with rig.Cluster(3, flags={"hint-ttl-seconds": "1", "hint-store-max-bytes": "2000",
                               "hint-drain-interval-ms": "100"}) as c:
        a, _, dead = c.nodes
        client = a.client()
        dead.kill()
        rig.wait_until(lambda: of_peer(a, "peer_up", dead) == 0, "node 3 is down")
        for i in range(30):
            client.set(f"k{i}", "x" * 200)
        assert of_peer(a, "hints_rejected_total", dead, reason="over_capacity") > 0
        assert of_peer(a, "needs_repair", dead) == 1
        assert a.admin("hints")["totals"]["rejected_over_capacity_total"] == \
            of_peer(a, "hints_rejected_total", dead, reason="over_capacity")
        stored = of_peer(a, "hints_stored_total", dead)
        rig.wait_until(lambda: of_peer(a, "hints_expired_total", dead) == stored, "all have expired")
        assert of_peer(a, "hints_pending", dead) == 0
        assert a.admin("hints")["totals"]["expired_total"] == stored
        for _ in range(2):
            marked = [p["repair_reason"] for p in a.admin("status")["peers"] if p["needs_repair"]]
            assert marked == ["writes for it were refused: the hint store is full"]
            a.kill()
            a.start()


def test_admin_metrics_of_a_write_that_cannot_be_judged():
    """With a stamp table too small for what was overwritten since, a late write is applied and counted."""
    with rig.Cluster(3, store="redis", flags={"stamp-table-bytes": "4096"}) as c:
        a, b, d = c.nodes
        d.kill()
        rig.wait_until(lambda: of_peer(a, "peer_up", d) == 0, "node 3 is down")
        a.client().set("late", "v")
        a.kill()
        d.start()
        rig.wait_until(lambda: d.state() == "NORMAL" and b.pending() == 0, "node 3 is back")
        pipe = b.client().pipeline(transaction=False)
        for i in range(3000):
            pipe.set(f"k{i}", i)
        pipe.execute()
        rig.wait_until(lambda: c.backends[2].client().exists("k2999"), "node 3 has them")
        before = d.metrics()["dynomite_unguarded_total"]
        a.start()
        c.wait_delivered()
        assert d.metrics()["dynomite_unguarded_total"] > before
        assert c.backends[2].client().get("late") == b"v"
