"""What the configuration promises, by behaviour: each option has its effect, each mistake its line and exit status."""
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import rig

DYNOMITED = os.path.join(rig.BUILD, "dynomited")


def run(*args, cwd=None, **options):
    return subprocess.run([DYNOMITED, *args], capture_output=True, text=True, timeout=30, check=False,
                          cwd=cwd, **options)


def free_addresses():
    ports = rig.free_ports(3)
    return [word for flag, port in zip(("--listen", "--dyn-listen", "--stats-listen"), ports)
            for word in (flag, f"127.0.0.1:{port}")]


class Alone:
    """One node without peers; `flags` as for rig.Node."""

    def __init__(self, directory, **flags):
        self.node = rig.Node(str(directory), "one", rig.free_ports(3),
                             {k.replace("_", "-"): v for k, v in flags.items()})

    def __enter__(self):
        try:
            return self.node.start()
        except BaseException:
            if self.node.process:
                self.node.kill()
            raise

    def __exit__(self, kind, value, trace):
        if self.node.process and kind is None:
            self.node.stop()
        elif self.node.process:
            self.node.kill()


# ---- usage: exit status 1 ---------------------------------------------------------------------

@pytest.mark.parametrize("args", [
    ["--frobnicate"], ["-z"], ["--timeout"], ["--timeout", "soon"], ["-c"], ["-c", "missing.yaml"],
    ["-c", "."], ["stray"], ["-D"], ["--describe-stats"], ["--servers", "127.0.0.1:1:1"], ["-v", "12"],
    ["--data-store", "redis"], ["--data-store", "memcache"],
    ["--data-store", "memcache", "--servers", "h:1:1", "--backend-password", "p"], ["--read-consistency", "ALL"],
    ["--secure-server-option", "all"], ["--requirepass", "x" * 513], ["--enable-gossip", "perhaps"],
    ["-t", "--frobnicate"], ["--data-store", "redis", "--servers", "h:1:1",
                                                 "--servers", "h:2:1"]], ids=" ".join)
def test_config_usage_is_exit_1(tmp_path, args):
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and ": found " in done.stderr and "; allowed " in done.stderr
    assert os.listdir(tmp_path) == []  # nothing was started


@pytest.mark.parametrize("text, line", [
    ("dyn_o_mite:\n  lissten: x\n", 2), ("dyn_o_mite:\n  timeout: soon\n", 2),
    ("dyn_o_mite:\n  timeout: 0\n", 2), ("a:\n  timeout: 5\nb:\n  timeout: 5\n", 3),
    ("a:\n  timeout: 5\n  rack: r\n  timeout: 6\n", 4), ("a:\n\ttimeout: 5\n", 2), ("", 1),
    ("a:\n  timeout: [1, 2]\n  lissten: x\n", 2), ("a:\n  secure_server_option: rack\n", 2),
    ("a:\n  servers:\n  - h:1:1\n", 3), ("a:\n  data_store: 0\n  servers: [h:1:1, h:2:1]\n", 3),
    (b"a: \xff\xfe\x00\x01", 1), (b"\x00\x01\x02\x7fELF", 1)])
def test_config_mistake_in_the_file_is_exit_1(tmp_path, text, line):
    (tmp_path / "c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for more in ([], ["-t"], ["--print-conf"]):
        done = run("-c", "c.yaml", *more, cwd=tmp_path)
        assert done.returncode == 1 and done.stdout == ""
        assert re.fullmatch(rf"c\.yaml:{line}: [^\n]+: found [^\n]+; allowed [^\n]+\n", done.stderr), done


def test_config_file_of_10_mb(tmp_path):
    (tmp_path / "c.yaml").write_text("a:\n" + "  # text\n" * (10 << 20 >> 3))
    done = run("-t", "-c", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "c.yaml: too large" in done.stderr and done.stderr.count("\n") == 1


def test_config_answers_are_exit_0(tmp_path):
    (tmp_path / "c.yaml").write_text("shop:\n  timeout: 7\n  mbuf_size: 1\n  dyn_seeds:\n  - h:1:r:d:5\n")
    done = run("-t", "-c", "c.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "configuration file c.yaml syntax is ok\n")
    assert done.stderr.count("\n") == 1 and "c.yaml:3: mbuf_size: warning" in done.stderr
    first = run("--print-conf", "-c", "c.yaml", "--rack", "r9", cwd=tmp_path)
    (tmp_path / "d.yaml").write_text(first.stdout)
    second = run("--print-conf", "-c", "d.yaml", cwd=tmp_path)
    assert first.returncode == 0 and (second.stdout, second.stderr) == (first.stdout, "")
    assert "timeout: 7" in first.stdout and "rack: 'r9'" in first.stdout
    for flag in ("-h", "--help"):
        assert run(flag).returncode == 0 and "--hint-drain-rate" in run(flag).stdout
    assert re.fullmatch(r"dynomited \d+\.\d+\.\d+\n", run("-V").stdout) and run("--version").returncode == 0


# ---- could not start: exit status 2 -----------------------------------------------------------

def expect_start_fails(done, *said):
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("dynomited: "), done.stderr
    for word in said:
        assert word in done.stderr


@pytest.mark.parametrize("option", ["listen", "dyn_listen", "stats_listen", "admin_listen"])
def test_config_port_taken(tmp_path, option):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        address = f"127.0.0.1:{s.getsockname()[1]}"
        done = run("--data-dir", "d", *free_addresses(), "--" + option.replace("_", "-"), address,
                   cwd=tmp_path)
        expect_start_fails(done, option + ": ", address, "in use")
        assert not [f for f in os.listdir(tmp_path / "d") if f.endswith(".mdb")]  # nothing was opened


def test_config_one_token_twice(tmp_path):
    done = run("--data-dir", "d", *free_addresses(), "--dyn-seeds", "127.0.0.1:9:localrack:localdc:0", cwd=tmp_path)
    expect_start_fails(done, "token 0 is found twice in rack localrack of localdc")


def test_config_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for args in (["--data-dir", "file"], ["--data-dir", "file/d"], ["--data-dir", "d", "-o", "no/log"],
                 ["--data-dir", "d", "--hint-dir", "file/h", "--dyn-seeds", "127.0.0.1:1:r2:localdc:0"]):
        done = run(*free_addresses(), *args, "-v", "3", cwd=tmp_path)
        expect_start_fails(done, args[-1] if "--hint-dir" not in args else "file/h")


def test_config_data_dir_of_somebody_else():
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    with tempfile.TemporaryDirectory(prefix="dynconfig.") as where:  # for its owner alone
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", DYNOMITED,
                               "--data-dir", where, *free_addresses()], capture_output=True, text=True,
                              timeout=30, check=False, cwd="/")
    if "failed to execute" in done.stderr:
        pytest.skip("the build directory isn't readable for others")
    expect_start_fails(done, where, "Permission denied")


def test_config_pid_file_that_cannot_be_written(tmp_path):
    done = run("--data-dir", "d", *free_addresses(), "-p", "no/pid", "-v", "3", cwd=tmp_path)
    expect_start_fails(done, "no/pid")


def test_config_damaged_store(tmp_path):
    with Alone(tmp_path) as n:
        for i in range(100):
            n.client().set(f"k{i}", "v" * 100)
    args = n.arguments() + ["-v", "3"]
    at = args.index("--output")
    del args[at:at + 2]
    files = [os.path.join(where, name) for where, _, names in os.walk(n.directory) for name in names
             if name.endswith(".mdb") and "lock" not in name]
    assert files
    for path in files:
        with open(path, "r+b") as f:
            f.write(b"\xa5" * 8192)
    done = subprocess.run(args, capture_output=True, text=True, timeout=30, check=False)
    expect_start_fails(done)


# ---- the process ------------------------------------------------------------------------------

def pid_of(path):
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def threads(pid):
    names = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
            names.append(f.read().strip())
    return names


def test_config_daemon(tmp_path):
    """-d returns when the node is up; relative paths are relative to where it was started."""
    addresses = free_addresses()
    (tmp_path / "c.yaml").write_text("a:\n  data_dir: d\n")
    done = run("-d", "-p", "d.pid", "-o", "d.log", "-c", "c.yaml", *addresses, cwd=tmp_path)
    pid = pid_of(tmp_path / "d.pid")
    try:
        assert done.returncode == 0 and done.stderr == "" and done.stdout == ""
        client = rig.redis.Redis(port=int(addresses[1].rsplit(":", 1)[1]), socket_timeout=10)
        assert client.ping() and is_running(pid)
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            assert b"dynomited" in f.read()
        assert os.getsid(pid) == pid
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            has_jemalloc = "libjemalloc" in f.read()  # a build for a sanitizer has its allocator
        assert not has_jemalloc or "jemalloc_bg_thd" in threads(pid)  # which gives memory back
        assert (tmp_path / "d" / "admin.sock").exists() and "is up" in (tmp_path / "d.log").read_text()
        again = run("-d", "-p", "other.pid", "-o", "d.log", "-c", "c.yaml", *free_addresses(),
                    cwd=tmp_path)
        assert again.returncode == 2 and "in use" in again.stderr  # the parent tells what the child met
        assert pid_of(tmp_path / "other.pid") is None
        os.rename(tmp_path / "d.log", tmp_path / "d.log.1")
        os.kill(pid, signal.SIGHUP)
        rig.wait_until(lambda: "opened again" in (tmp_path / "d.log").read_text(), "a new log is written")
    finally:
        if pid:
            os.kill(pid, signal.SIGTERM)
            rig.wait_until(lambda: not is_running(pid), "the daemon has ended", 12)
    assert not (tmp_path / "d.pid").exists() and not (tmp_path / "d" / "admin.sock").exists()
    assert "stopped" in (tmp_path / "d.log").read_text()


@pytest.mark.parametrize("level", [0, 11])
def test_config_verbosity(tmp_path, level):
    with Alone(tmp_path, verbosity=level) as n:
        n.client().set("k", "v")
    text = n.log_text()
    assert text == "" if level == 0 else "is up" in text


def test_config_log_format_json(tmp_path):
    """Also with what strangers put into messages."""
    with Alone(tmp_path, log_format="json", verbosity=11) as n:
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", n.peer_port)) as s:
                s.sendall(b"\x1e\0\0\0" + os.urandom(60))
        n.client().ping()
    lines = n.log_text().splitlines()
    assert len(lines) > 2
    for line in lines:
        entry = json.loads(line)
        assert set(entry) >= {"time", "level", "message"} and entry["time"].endswith("Z")


def test_config_term_with_clients_pipelines_and_a_dead_peer(tmp_path):
    """Exit 0 within 10 s, and what was answered is there after."""
    with rig.Cluster(3) as c:
        a, _, dead = c.nodes
        dead.kill()
        idle = [socket.create_connection(("127.0.0.1", a.client_port)) for _ in range(20)]
        idle[0].sendall(b"*3\r\n$3\r\nSET\r\n$1\r\n")  # half a command
        answered, stop = [], threading.Event()

        def write(k):
            client, i = a.client(), 0
            try:
                while not stop.is_set():
                    pipe = client.pipeline(transaction=False)
                    for j in range(50):
                        pipe.set(f"w{k}.{i}.{j}", i)
                    pipe.execute()
                    answered.extend(f"w{k}.{i}.{j}" for j in range(50))
                    i += 1
            except rig.redis.RedisError:
                pass
        threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        rig.wait_until(lambda: len(answered) > 2000, "writes are answered")
        start = time.monotonic()
        a.stop()
        took = time.monotonic() - start
        stop.set()
        for t in threads:
            t.join()
        for s in idle:
            s.close()
        assert took < 10
        a.start()
        client = a.client()
        for i in range(0, len(answered), 1000):
            assert None not in client.mget(answered[i:i + 1000])
        dead.start()


def test_config_term_with_what_never_ends():
    """A client that doesn't read, one in the middle of a command, peers that don't answer, half a request to HTTP."""
    flags = {"write-consistency": "DC_QUORUM", "sloppy-quorum": "false", "gos-interval": "3000", "timeout": "3000"}
    with rig.Cluster(3, flags=flags) as c:
        a, others = c.nodes[0], c.nodes[1:]
        a.client().set("fat", b"x" * (30 << 20))
        for n in others:
            rig.freeze(n.process)
        try:
            held = [socket.create_connection(("127.0.0.1", port), timeout=10) for port in
                    (a.client_port, a.client_port, a.client_port, a.http_port)]
            held.append(socket.socket(socket.AF_UNIX))
            held[4].connect(os.path.join(a.directory, "admin.sock"))
            for s, said in zip(held, (b"GET fat\r\n" * 5, b"SET k v\r\n" * 5, b"*2\r\n$3\r\n", b"GET /m",
                                      b"\x10\0")):
                s.sendall(said)
            assert held[0].recv(1, socket.MSG_PEEK) == b"$"
            rig.wait_until(lambda: a.client().get("k") == b"v", "the write is in flight")
            start = time.monotonic()
            a.stop()
            assert time.monotonic() - start < 10
            assert held[1].recv(100).startswith(b"-")  # the write in flight was answered
            for s in held:
                s.close()
        finally:
            for n in others:
                n.process.send_signal(signal.SIGCONT)


def test_config_int_stops_too(tmp_path):
    with Alone(tmp_path) as n:
        n.process.send_signal(signal.SIGINT)
        assert n.process.wait(timeout=12) == 0
        n.process.stderr.close()
        n.process = None


def test_config_warns_about_open_doors(tmp_path):
    """Once: a client port for everybody, and peers that nobody checks."""
    node = rig.Node(str(tmp_path), "one", rig.free_ports(3), {"dyn-seeds": "127.0.0.1:1:r2:localdc:0"})
    node.flags["listen"] = f"0.0.0.0:{node.client_port}"
    node.start()
    node.stop()
    warnings = [line for line in node.log_text().splitlines() if " warn " in line]
    assert sum("listen" in w and "password" in w for w in warnings) == 1
    assert sum("cluster_secret" in w for w in warnings) == 1
    for shut in ({"requirepass": "barbara", "cluster-secret": "sesame"}, {"requirepass": "", "listen": f"127.0.0.1:{node.client_port}"}):
        node.flags.update(shut)
        os.remove(node.log)
        node.start()
        node.stop()
        assert not any(w in node.log_text() for w in ("password", "cluster_secret"))


# ---- options, by what they do -----------------------------------------------------------------

def test_config_listen_on_a_unix_socket(tmp_path):
    path = str(tmp_path / "c.sock")
    node = rig.Node(str(tmp_path), "one", rig.free_ports(3), {"listen": path})
    client = rig.redis.Redis(unix_socket_path=path, socket_timeout=10)
    for _ in range(2):  # the second time over a stale socket
        node.start(wait=False)
        rig.wait_until(client.ping, "the node answers on its unix socket")
        assert client.set("k", "v") and client.get("k") == b"v"
        node.kill()
        assert os.path.exists(path)
    node.start(wait=False)
    rig.wait_until(client.ping, "the node answers on its unix socket")
    node.stop()
    assert not os.path.exists(path)


@pytest.mark.parametrize("option", ["listen", "dyn_listen", "stats_listen"])
def test_config_listen_on_ipv6(tmp_path, option):
    port = rig.free_ports(1)[0]
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", port))
    except OSError:
        pytest.skip("no IPv6 on loopback")
    node = rig.Node(str(tmp_path), "one", rig.free_ports(3), {option.replace("_", "-"): f"[::1]:{port}"})
    node.start(wait=False)
    try:
        rig.wait_until(lambda: socket.create_connection(("::1", port), timeout=5).close() or True,
                       f"{option} listens")
    finally:
        node.stop()


def test_config_advertise(tmp_path):
    with Alone(tmp_path, advertise="127.0.0.1:9", dyn_seeds=[]) as n:
        assert n.admin("status")["node"]["address"] == "127.0.0.1:9"


def test_config_workers(tmp_path):
    for want in (1, 3):
        (tmp_path / str(want)).mkdir()
        with Alone(tmp_path / str(want), workers=want) as n:
            def workers():
                count = 0
                for task in os.listdir(f"/proc/{n.process.pid}/task"):
                    with open(f"/proc/{n.process.pid}/task/{task}/comm", encoding="ascii") as f:
                        count += f.read().startswith("worker")
                return count
            rig.wait_until(lambda: workers() == want, f"{want} workers run", 10)


def test_config_hash_and_hash_tag(tmp_path):
    tool = os.path.join(rig.BUILD, "dyn-hash-tool")
    with Alone(tmp_path, hash="crc32a", hash_tag="{}") as n:
        want = subprocess.run([tool, "-H", "crc32a"], input="user1\nx{user1}y\n", text=True,
                              capture_output=True, check=True).stdout.split()
        tokens = [n.admin("key", k)["token"] for k in ("user1", "{user1}a", "b{user1}", "x{user1}y")]
        assert tokens == [int(want[0])] * 4 and want[0] != want[1]


def test_config_client_connections(tmp_path):
    with Alone(tmp_path, client_connections=3, workers=2) as n:
        rig.wait_until(lambda: n.metrics()["dynomite_client_connections"] == 0, "nobody is connected")
        held = [socket.create_connection(("127.0.0.1", n.client_port), timeout=10) for _ in range(3)]
        for s in held:
            s.sendall(b"PING\r\n")
            assert s.recv(100) == b"+PONG\r\n"
        with socket.create_connection(("127.0.0.1", n.client_port), timeout=10) as s:
            assert s.recv(100) == b"-ERR max number of clients reached\r\n" and s.recv(1) == b""
        held.pop().close()
        rig.wait_until(lambda: n.client().ping(), "there is room again")
        for s in held:
            s.close()


def test_config_store_max_bytes(tmp_path):
    with Alone(tmp_path, store_max_bytes=1 << 20) as n:
        client = n.client()
        with pytest.raises(rig.redis.ResponseError, match="OOM|out of memory"):
            for i in range(200):
                client.set(f"k{i}", b"x" * 20000)
        assert client.get("k0") == b"x" * 20000
        total = sum(os.path.getsize(os.path.join(where, f)) for where, _, files in os.walk(n.directory)
                    for f in files if f.endswith(".mdb"))
        assert total <= 2 << 20


def syncs(node, under, work):
    """How often files whose paths have `under` in them are synced while work() runs. (The file `start`, with the bound of
    the clock, is synced now and then, whatever the policy.)"""
    if not os.path.exists("/usr/bin/strace"):
        pytest.skip("strace isn't installed")
    out = os.path.join(os.path.dirname(node.log), "strace.out")
    tracer = subprocess.Popen(["strace", "-f", "-q", "-y", "-e", "trace=fdatasync,fsync,msync", "-o", out, "-p",
                               str(node.process.pid)], stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
    try:
        def traced():
            if tracer.poll() is not None:
                pytest.skip("strace isn't allowed: " + tracer.stderr.read().decode())
            with open(f"/proc/{node.process.pid}/status", encoding="ascii") as f:
                return "TracerPid:\t0\n" not in f.read()
        rig.wait_until(traced, "strace is attached")
        work()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(timeout=20)
        tracer.stderr.close()
    with open(out, encoding="utf-8") as f:
        return len(re.findall(rf"\b(?:msync\(|f(?:data)?sync\([0-9]+<[^>]*{under})", f.read()))


# one for each batch (always) or once a second (interval), and a few for the log's first file and a checkpoint, should
# one come (store/embedded.h)
@pytest.mark.parametrize("policy", ["always", "interval", "never"])
def test_config_store_sync(tmp_path, policy):
    with Alone(tmp_path, store_sync=policy) as n:
        client = n.client()

        def work():
            start = time.monotonic()
            for i in range(60):
                client.set("k", i)
            rig.wait_until(lambda: time.monotonic() - start > 2.2, "two seconds")
        count = syncs(n, "/store[.]", work)
    assert {"always": 60 <= count <= 66, "interval": 1 <= count <= 8, "never": count == 0}[policy], count


@pytest.mark.parametrize("policy", ["always", "interval", "never"])
def test_config_hint_sync(policy):
    with rig.Cluster(3, flags={"hint-sync": policy, "store-sync": "never"}) as c:
        a, _, dead = c.nodes
        dead.kill()
        rig.wait_until(lambda: "DOWN" in a.states_of_peers(), "node 3 is down")
        client = a.client()
        client.set("k", "warm")

        def work():
            start = time.monotonic()
            for i in range(60):
                client.set("k", i)
            rig.wait_until(lambda: time.monotonic() - start > 2.2, "two seconds")
        count = syncs(a, "/hints/", work)
    assert {"always": count >= 60, "interval": 1 <= count <= 20, "never": count == 0}[policy], count


@pytest.mark.parametrize("interval", [100, 1500])
def test_config_gos_interval(interval):
    """DOWN after three heartbeats that didn't come."""
    with rig.Cluster(2, flags={"gos-interval": str(interval)}) as c:
        a, b = c.nodes
        rig.freeze(b.process)
        try:
            start = time.monotonic()
            rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "the peer is down", 20)
            took = time.monotonic() - start
        finally:
            b.process.send_signal(signal.SIGCONT)
        assert 2 * interval / 1000 <= took < 5 * interval / 1000 + 1


@pytest.mark.parametrize("interval", [100, 2500])
def test_config_hint_drain_interval(interval):
    """How soon what is past its lifetime is swept; of a peer that is paused: one that is down gets no more hints then."""
    with rig.Cluster(2, flags={"hint-drain-interval-ms": str(interval), "hint-ttl-seconds": "1"}) as c:
        a, _ = c.nodes
        a.admin("hints", "pause", "all")
        took = []
        for i in range(3):
            start = time.monotonic()
            a.client().set("k", i)
            rig.wait_until(lambda: a.pending() == 1, "a hint is kept")
            rig.wait_until(lambda: a.pending() == 0, "it has expired")
            took.append(time.monotonic() - start)
        assert max(took) < 1.5 + interval / 1000 and min(took) >= 0.9
        if interval > 1000:
            assert max(took) > 1.7


def test_config_hint_drain_rate():
    with rig.Cluster(2, flags={"hint-drain-rate": "100000"}) as c:
        a, b = c.nodes
        b.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "the peer is down")
        for i in range(20):
            a.client().set(f"k{i}", b"x" * 10000)
        start = time.monotonic()
        b.start()
        c.wait_delivered()
        took = time.monotonic() - start
        assert 1.2 < took < 8  # 200 kB at 100 kB/s


def test_config_hint_dir(tmp_path):
    where = tmp_path / "hints"
    with rig.Cluster(2) as c:
        a, b = c.nodes
        a.stop()
        a.flags["hint-dir"] = str(where)
        a.start()
        b.kill()
        rig.wait_until(lambda: a.states_of_peers() == ["DOWN"], "the peer is down")
        a.client().set("k", b"needle" * 10)
        logs = [f for w, _, files in os.walk(where) for f in (os.path.join(w, x) for x in files)]
        assert any(b"needle" in open(f, "rb").read() for f in logs)
        assert not any(f.endswith(".log") for w, _, files in os.walk(os.path.join(a.directory, "hints"))
                       for f in files)
        b.start()


def test_config_send_window():
    """A live peer that is stopped for a moment counts as behind beyond the window."""
    with rig.Cluster(2, flags={"send-window": "20000", "gos-interval": "5000"}) as c:
        a, b = c.nodes
        rig.freeze(b.process)
        try:
            def write():
                client = a.client()
                for i in range(20):
                    client.set(f"k{i}", b"x" * 5000)
            thread = threading.Thread(target=write)
            thread.start()
            rig.wait_until(lambda: a.pending() > 0, "what lies beyond the window is a hint", 10)
            assert a.states_of_peers() == ["NORMAL"]
        finally:
            b.process.send_signal(signal.SIGCONT)
        thread.join()
        c.wait_delivered()


def test_config_backend_user_and_password(tmp_path):
    with rig.Cluster(1, store="redis") as c:
        n, backend = c.nodes[0], c.backends[0]
        admin = backend.client()
        admin.acl_setuser("app", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"])
        admin.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+other"],
                          keys=["*"], categories=["+@all"])
        n.stop()
        for flags, right in (({}, False), ({"backend-password": "wrong"}, False),
                             ({"backend-password": "other"}, True),
                             ({"backend-user": "app", "backend-password": "wrong"}, False),
                             ({"backend-user": "app", "backend-password": "secret"}, True)):
            for name in ("backend-user", "backend-password"):
                n.flags.pop(name, None)
            n.flags.update(flags)
            n.start()
            if right:
                rig.wait_until(lambda: n.client().set("k", "v"), f"{flags} serves")
                if "backend-user" in flags:
                    as_app = rig.redis.Redis(unix_socket_path=backend.path, username="app",
                                             password="secret")
                    assert "app" in {x["user"] for x in as_app.client_list()}
            else:
                with pytest.raises(rig.redis.ResponseError, match="BACKEND"):
                    n.client().set("k", "v")
            n.stop()
        n.flags.update({"backend-user": "app", "backend-password": "secret"})
        n.start()


def test_config_stamp_table_bytes():
    with rig.Cluster(1, store="redis", flags={"stamp-table-bytes": "1048576"}) as c:
        n = c.nodes[0]
        sizes = [os.path.getsize(os.path.join(n.directory, f)) for f in os.listdir(n.directory)
                 if "stamp" in f]
        assert len(sizes) == 1 and 1048576 <= sizes[0] < 2 * 1048576
