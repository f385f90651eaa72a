"""Faults of disks, files and descriptors under real nodes, and what the options of the hint store promise."""
import contextlib
import glob
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest
import redis
import rig

KB = 1024



def peer_id(node):
    with open(os.path.join(node.directory, "node_id"), encoding="ascii") as f:
        return f.read().strip()


def repair(node):
    return {p["id"]: p["needs_repair"] for p in node.admin("status")["peers"]}


def totals(node):
    return node.admin("hints")["totals"]


def bytes_for(node, peer):
    return {p["id"]: p["bytes"] for p in node.admin("hints")["peers"]}[peer_id(peer)]


def refuses_to_start(node, *texts):
    """Exit status 2, one line that says why."""
    args = [a for a in node.arguments() if a not in ("--output", node.log)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("dynomited: ")]
    assert len(lines) == 1, done.stderr
    for text in texts:
        assert text in lines[0], lines[0]


# ---- damage in segments -----------------------------------------------------------------------------


def segments(node, peer):
    """The files of one peer's log, the oldest first."""
    found = glob.glob(os.path.join(node.directory, "hints", peer, "*.log"))
    assert found
    return sorted(found)


def records(data):
    """(offset, length) of each record behind the header, by their lengths."""
    at, out = 80, []
    while at + 40 <= len(data):
        size = struct.unpack_from("<I", data, at)[0]
        if size < 40:
            break
        out.append((at, size))
        at += size
    return out


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x40]))


KEYS = [f"key{i:03}" for i in range(200)]


@contextlib.contextmanager
def held_hints(write):
    """Node 1 holds what `write(node 1)` wrote as hints for node 3 and is stopped: data directories to start from, again
    and again."""
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        for n in c.nodes:
            n.stop()
        for n in c.nodes:  # logs now lie under their peers' ids
            n.start(wait=False)
        c.wait_linked()
        d.kill()
        rig.down(a)
        write(a)
        victim = peer_id(d)
        for n in c.running():
            n.stop()
        kept = c.directory + ".kept"
        shutil.copytree(c.directory, kept, ignore=shutil.ignore_patterns("*.sock"))

        def fresh():
            for n in c.running():
                n.kill()
            for n in c.nodes:
                shutil.rmtree(n.directory)
                shutil.copytree(os.path.join(kept, n.name), n.directory)
            return c, victim
        yield fresh
        shutil.rmtree(kept)


@pytest.fixture(scope="module")
def holding():
    """200 hints of one key each."""
    def write(node):
        for k in KEYS:
            node.client().set(k, "v" * 100)
    with held_hints(write) as fresh:
        yield fresh


def lost_keys(cluster):
    """Starts the three nodes; what node 3 lacks when everything is delivered."""
    a, b, d = cluster.nodes
    a.start()
    d.start()
    cluster.wait_linked()
    cluster.wait_delivered()
    values = rig.own_values(cluster, 2, KEYS)
    b.start()
    cluster.wait_linked()
    return [k for k in KEYS if values[k] != b"v" * 100]


HIT = {"length": 0, "length high": 2, "crc": 4, "kind": 8, "seq": 17}  # bytes into the record; else of the payload


@pytest.mark.parametrize("which", ["first", "middle", "last"])
@pytest.mark.parametrize("where", [*HIT, "payload"])
def test_fault_flipped_byte_costs_one_record(holding, where, which):
    c, victim = holding()
    path = segments(c.nodes[0], victim)[0]
    with open(path, "rb") as f:
        every = records(f.read())
    n = {"first": 0, "middle": 100, "last": len(every) - 1}[which]
    at, size = every[n]
    flip(path, at + HIT.get(where, size - 5))
    gone = lost_keys(c)
    assert gone == [KEYS[n]]
    a = c.nodes[0]
    if which == "last":
        # it looks like one that kill -9 broke off while it was written, which nobody was answered
        assert "bytes torn" in a.log_text()
        return
    assert "records damaged" in a.log_text()
    rig.wait_until(lambda: repair(a)[victim], "needs repair is shown")
    assert sum(repair(a).values()) == 1
    assert totals(a)["damaged_total"] == 1


def test_fault_torn_tail_is_cut_off(holding):
    """A kill in the middle of an append leaves one: nobody was answered, so nothing is marked."""
    c, victim = holding()
    path = segments(c.nodes[0], victim)[-1]
    with open(path, "r+b") as f:
        at, size = records(f.read())[-1]
        f.seek(at + size // 2)
        f.write(bytes(size - size // 2))
    assert lost_keys(c) == KEYS[-1:]
    a = c.nodes[0]
    assert "bytes torn" in a.log_text()
    assert a.client().set("after", "1")
    rig.wait_until(lambda: len(set(rig.copies(a, "after"))) == 1, "later writes go on")


@pytest.mark.parametrize("hit,reason", [("magic", "isn't one of ours"), ("version", "version 2 found; allowed up to 1"),
                                        ("header", "its header is damaged"), ("short", "bytes found; allowed at least")])
def test_fault_segment_that_cant_be_read_is_left_alone(holding, hit, reason):
    """Its records are lost for now, that is said, counted and marked; the file stays for a version that knows."""
    c, victim = holding()
    a = c.nodes[0]
    path = segments(a, victim)[0]
    with open(path, "r+b") as f:
        if hit == "version":
            f.seek(8)
            f.write(b"\x02")
        elif hit == "short":
            f.truncate(50)
    if hit in ("magic", "header"):
        flip(path, {"magic": 0, "header": 30}[hit])
    assert lost_keys(c) == KEYS
    assert reason in a.log_text()
    rig.wait_until(lambda: repair(a)[victim], "needs repair is shown")
    assert totals(a)["damaged_total"] >= 1
    assert os.path.exists(path)
    assert a.client().set("after", "1")
    rig.wait_until(lambda: len(set(rig.copies(a, "after"))) == 1, "later writes go on")


# ---- hint_dir ---------------------------------------------------------------------------------------


class SmallDisk:
    """A tmpfs in a namespace of its own, which outlives the nodes that are started in it."""

    def __init__(self, path, size, options=""):
        os.makedirs(path)
        self.path = str(path)
        script = f'mount -t tmpfs -o size={size}{options} none {path} && echo up && exec sleep 600'
        self.holder = subprocess.Popen(["unshare", "-rmn", "sh", "-c", script], stdout=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, text=True)
        if self.holder.stdout.readline() != "up\n":
            self.close()
            pytest.skip("no user namespaces here")

    def under(self, node):
        """The node's processes see it as hint_dir."""
        node.flags["hint-dir"] = os.path.join(self.path, "hints")
        plain = node.arguments
        node.arguments = lambda: ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials",
                                  *plain()]

    def outside(self, *names):
        """A path on it, as this process sees it."""
        return os.path.join(f"/proc/{self.holder.pid}/root", self.path.lstrip("/"), *names)

    def fill(self):
        with open(self.outside("filler"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4 * KB))
            except OSError:
                pass

    def empty(self):
        os.unlink(self.outside("filler"))

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()


def test_fault_full_disk_under_hint_dir(tmp_path):
    """Writes that real replicas can meet succeed and are counted as missed; what needs the hint is refused;
    with space, hints are kept again, and those from before are still there."""
    with SmallDisk(tmp_path / "small", "2m") as disk, rig.Cluster(3) as c:
        a, b, d = c.nodes
        a.stop()
        disk.under(a)
        a.start()
        c.wait_linked()
        d.kill()
        rig.down(a)
        for i in range(50):
            assert a.client().set(f"early{i}", "x" * 1000)
        disk.fill()
        n = 0
        while not a.metrics().get(no_space(d), 0):
            assert a.client().set(f"full{n}", "x" * 1000), "a level that real replicas meet succeeds"
            n += 1
            assert n < 3000
        rig.wait_until(lambda: repair(a)[peer_id(d)], "needs repair is shown")
        assert repair(a)[peer_id(b)] is False
        held = a.pending()
        assert held >= 50 + n - 1 - a.metrics()[no_space(d)] and a.alive()
        disk.empty()
        assert a.client().set("again", "1")
        assert a.pending() == held + 1, "with space, hints are kept again"
        d.start()
        c.wait_linked()
        c.wait_delivered()
        keys = [f"early{i}" for i in range(50)]
        assert rig.own_values(c, 2, keys + ["again"]) == {**{k: b"x" * 1000 for k in keys}, "again": b"1"}
        assert repair(a)[peer_id(d)], "the mark stays"


def no_space(peer):
    return f'dynomite_hints_rejected_total{{peer="127.0.0.1:{peer.peer_port}",reason="no_space"}}'


def test_fault_full_disk_marks_survive_a_restart(tmp_path):
    """The mark needs no space."""
    with SmallDisk(tmp_path / "small", "1m") as disk, rig.Cluster(3) as c:
        a, _, d = c.nodes
        a.stop()
        disk.under(a)
        a.start()
        c.wait_linked()
        d.kill()
        rig.down(a)
        disk.fill()
        for i in range(100):
            assert a.client().set(f"full{i}", "x" * 1000)
        rig.wait_until(lambda: repair(a)[peer_id(d)], "needs repair is shown")
        a.kill()
        a.start()
        assert repair(a)[peer_id(d)], "the mark is kept"


def test_fault_full_disk_refuses_what_needs_the_hint(tmp_path):
    with SmallDisk(tmp_path / "small", "1m") as disk, \
            rig.Cluster(3, flags={"write-consistency": "DC_QUORUM"}) as c:
        a, b, d = c.nodes
        a.stop()
        disk.under(a)
        a.start()
        c.wait_linked()
        b.kill()
        d.kill()
        rig.down(a, 2)
        assert a.client().set("k", "hinted")
        disk.fill()
        answers = []
        for i in range(300):
            try:
                a.client().set(f"k{i}", "x" * 1000)
            except redis.ResponseError as error:
                answers.append(str(error))
        assert answers and all(t.startswith("NOHINT") for t in answers), answers[:3]
        assert all("it took effect on some" in t or "nothing was written" in t for t in answers), answers[:3]
        disk.empty()
        assert a.client().set("k", "again")
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        for i in range(3):
            assert rig.own_values(c, i, ["k"]) == {"k": b"again"}


def test_fault_full_disk_doesnt_stop_live_peers(tmp_path):
    """A live peer's writes go through memory where the log finds no disk; nothing is lost, nothing marked."""
    with SmallDisk(tmp_path / "small", "1m") as disk, rig.Cluster(3) as c:
        a, b, d = c.nodes
        a.stop()
        disk.under(a)
        a.start()
        c.wait_linked()
        disk.fill()
        client = a.client()
        for i in range(2000):
            assert client.set(f"k{i % 500}", f"{i}" + "x" * 1000)
        for i in range(3):
            rig.wait_until(lambda i=i: rig.own_values(c, i, ["k499"])["k499"].startswith(b"1999"),
                           "each replica has the last write")
            values = rig.own_values(c, i, [f"k{k}" for k in range(500)])
            assert all(values[f"k{k}"].startswith(b"%dx" % (1500 + k)) for k in range(500))
        assert not any(repair(a).values())
        # the peer goes down: what it leaves is in memory, and that is said; then space comes back
        d.kill()
        rig.down(a)
        disk.empty()
        assert client.set("later", "1")
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["later"]) == {"later": b"1"}


def test_fault_hint_dir_that_cant_be_used(tmp_path):
    with rig.Cluster(2) as c:
        a = c.nodes[0]
        a.stop()
        blocked = tmp_path / "file"
        blocked.write_text("not a directory")
        a.flags["hint-dir"] = str(blocked)
        refuses_to_start(a, str(blocked), "ot a directory")
        a.flags["hint-dir"] = str(blocked / "below")
        refuses_to_start(a, str(blocked))
        with SmallDisk(tmp_path / "ro", "1m", ",ro") as disk:
            disk.under(a)
            refuses_to_start(a, disk.path, "Read-only")


# ---- files in data_dir ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name,content,texts", [
    ("node_id", "", ["node_id", "allowed a UUID"]),
    ("node_id", "0123456\n", ["node_id", "found '0123456'; allowed a UUID"]),
    ("node_id", "\0" * 37, ["node_id", "allowed a UUID"]),
    ("node_id", "x" * 5000, ["node_id", "4096 bytes"]),
    ("start", "", ["start", "it was cut off"]),
    ("start", "17", ["start", "it was cut off"]),
    ("start", "17\n", ["start", "found '17'; allowed two or three numbers"]),
    ("start", "abc def\n", ["start", "allowed two or three numbers"]),
    ("start", "1700000000 1700000", ["start", "it was cut off"]),
    ("start", "4294967295 1700000000000\n", ["start", "start mark 4294967296"]),
    ("start", "-5 1700000000000\n", ["start", "allowed two or three numbers"]),
    ("start", "99999999999999999999 1\n", ["start", "allowed two or three numbers"]),
    ("peers", "garbage\n", ["peers", "allowed id address datacenter rack tokens"]),
    ("peers", "%(id)s 127.0.0.1:1 dc1 rack2 0", ["peers", "it was cut off"]),
    ("peers", "%(id)s 127.0.0.1:1 dc1 rack2 0\n%(id)s\n", ["peers", "allowed id address"]),
    ("peers", "", ["peers", "it was cut off"]),
    ("peers", "\0\0\0\0\n", ["peers", "allowed id address"]),
])
def test_fault_damaged_file_in_data_dir(used, name, content, texts):
    """Exit status 2 and one line, and the file is as it was: nothing is guessed that others rely on."""
    path = os.path.join(used.directory, name)
    with open(path, "rb") as f:
        good = f.read()
    bad = (content % {"id": peer_id(used)} if "%" in content else content).encode()
    with open(path, "wb") as f:
        f.write(bad)
    try:
        refuses_to_start(used, *texts)
        with open(path, "rb") as f:
            assert f.read() == bad
    finally:
        with open(path, "wb") as f:
            f.write(good)


@pytest.fixture(scope="module")
def used():
    """A node that has met its peers and is stopped; afterwards it must start again."""
    with rig.Cluster(3) as c:
        a = c.nodes[0]
        a.client().set("k", "v")
        a.stop()
        yield a
        a.start()
        c.wait_linked()
        assert a.client().get("k") == b"v"


def test_fault_data_dir_of_another_process():
    """Exit status 2, one line with the pid; the one that has it isn't hurt."""
    with rig.Cluster(3) as c:
        a = c.nodes[0]
        again = rig.Node(c.directory, a.name, rig.free_ports(3), a.flags)
        refuses_to_start(again, "in use by another process", f"pid {a.process.pid}")
        assert a.client().set("k", "v")
        c.wait_linked()


def test_fault_data_dir_cloned_to_a_second_node():
    """With all its hints, at another address and at a place of its own: it is refused, it and others say so, and nothing
    of what it brings is applied. The original delivers its hints once."""
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        d.kill()
        rig.down(a)
        for _ in range(100):
            a.client().incr("n")
        a.stop()
        clone = rig.Node(c.directory, "clone", rig.free_ports(3), {
            **a.flags, "rack": "rack4", "dyn-seeds": [*a.flags["dyn-seeds"], f"127.0.0.1:{a.peer_port}:rack1:dc1:0"]})
        shutil.copytree(a.directory, clone.directory, ignore=shutil.ignore_patterns("*.sock"))
        a.start()
        rig.wait_until(lambda: "NORMAL" in a.states_of_peers(), "nodes 1 and 2 are linked")
        rig.wait_until(lambda: b.members()[f"127.0.0.1:{a.peer_port}"] in ("NORMAL", "STANDBY"), "node 2 has heard that it is back")
        clone.start()
        try:
            rig.wait_until(lambda: "data_dir was copied" in clone.log_text(), "the clone is told")
            rig.wait_until(lambda: "data_dir was copied" in a.log_text() + b.log_text(), "it is said")
            d.start()
            c.wait_linked()
            c.wait_delivered()
            assert a.client().incr("n") == 101
            for i in range(3):
                rig.wait_until(lambda i=i: rig.own_values(c, i, ["n"]) == {"n": b"101"}, "each counted once")
            assert not any(repair(a).values())
        finally:
            clone.stop()


def test_fault_one_token_twice_in_a_rack():
    """Node 4 is configured to node 2's place and nobody's seed list says so: it is refused, both say why."""
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        flags = {**b.flags, "dyn-seeds": [f"127.0.0.1:{a.peer_port}:rack1:dc1:0",
                                          f"127.0.0.1:{d.peer_port}:rack3:dc1:0"]}
        fourth = rig.Node(c.directory, "node4", rig.free_ports(3), flags)
        fourth.start()
        try:
            for n in (a, d):
                rig.wait_until(lambda n=n: peer_id(fourth) in n.log_text() and
                               "at a place that belongs to node" in n.log_text(), "it is said why")
            rig.wait_until(lambda: "at a place that belongs to node" in fourth.log_text(), "it is told why")
            rig.down(fourth, 2)
            c.wait_linked()
            assert a.client().set("k", "v")
        finally:
            fourth.stop()


# ---- descriptors ------------------------------------------------------------------------------------------


def cpu_seconds(node):
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("port", ["peer", "admin", "http"])
def test_fault_no_descriptors_left(port):
    """Whoever takes them: nothing spins; when some are back, links and all ports work."""
    with rig.Cluster(3) as c:
        a, b, _ = c.nodes
        used = len(os.listdir(f"/proc/{a.process.pid}/fd"))
        resource.prlimit(a.process.pid, resource.RLIMIT_NOFILE, (used + 20, used + 1000))
        b.kill()
        rig.down(a)
        socks = []
        for _ in range(80):
            s = socket.socket(socket.AF_UNIX if port == "admin" else socket.AF_INET)
            s.settimeout(5)
            s.connect(os.path.join(a.directory, "admin.sock") if port == "admin" else
                      ("127.0.0.1", a.peer_port if port == "peer" else a.http_port))
            socks.append(s)
        full = lambda: len(os.listdir(f"/proc/{a.process.pid}/fd")) >= used + 20
        if port != "peer":
            rig.wait_until(full, "no descriptor is left")
        before, start = cpu_seconds(a), time.monotonic()
        b.start(wait=False)
        rig.wait_until(lambda: b.client().ping() and time.monotonic() - start > 1, "node 2 is there")
        assert cpu_seconds(a) - before < 0.5 * (time.monotonic() - start), "it spins"
        for s in socks:
            s.close()
        c.wait_linked()
        c.wait_delivered()
        assert a.http("/readyz") and a.admin("ping") == {} and a.client().set("k", "v")


def test_fault_no_descriptors_for_hints():
    """A log that can't open a segment refuses, counts and marks; the write succeeds where replicas have it. With
    descriptors hints are kept again, behind those from before."""
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        client = a.client()
        d.kill()
        rig.down(a)
        assert client.set("early", "1") and a.pending() == 1
        used = len(os.listdir(f"/proc/{a.process.pid}/fd"))
        resource.prlimit(a.process.pid, resource.RLIMIT_NOFILE, (used + 5, used + 1000))
        held = [socket.create_connection(("127.0.0.1", a.client_port)) for _ in range(30)]
        rig.wait_until(lambda: "accepting pauses" in a.log_text(), "no descriptor is left")
        for i in range(300):
            assert client.set(f"k{i}", "x" * 1000)
        for s in held:
            s.close()
        rig.wait_until(lambda: repair(a)[peer_id(d)], "needs repair is shown")
        lost = a.metrics()[no_space(d).replace("no_space", "io_error")]
        assert lost > 0 and "Too many open files" in a.log_text()
        assert a.pending() == 301 - lost
        assert client.set("again", "1") and a.pending() == 302 - lost
        rig.wait_until(lambda: glob.glob(os.path.join(a.directory, "hints", "*", "needs-repair")),
                       "the mark, which had no descriptor either, is on disk")
        a.kill()
        a.start()
        assert repair(a)[peer_id(d)] and a.pending() == 302 - lost
        d.start()
        c.wait_linked()
        c.wait_delivered()
        values = rig.own_values(c, 2, ["early", "again"] + [f"k{i}" for i in range(300)])
        assert values["early"] == values["again"] == b"1"
        assert list(values.values()).count(None) == lost


# ---- the secret ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["different", ""])
def test_fault_cluster_secret_wrong_then_fixed(other):
    """Refused and both log why; with the right one it joins and gets its hints."""
    with rig.Cluster(3, flags={"cluster-secret": "s3cret"}) as c:
        a, _, d = c.nodes
        assert a.client().set("k", "1")
        d.stop()
        d.flags["cluster-secret"] = other
        d.start()
        for n in c.nodes:
            rig.wait_until(lambda n=n: "cluster_secret" in n.log_text().replace("cluster_secret is empty", ""),
                           f"{n.name} says why")
        rig.down(a)
        rig.down(d, 2)
        assert a.client().set("k", "2") and a.client().incr("n") == 1
        assert a.pending() == 2
        d.stop()
        d.flags["cluster-secret"] = "s3cret"
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["k", "n"]) == {"k": b"2", "n": b"1"}
        for n in c.nodes:
            assert "s3cret" not in n.log_text(), "a secret isn't logged"


# ---- options of the hint store --------------------------------------------------------------------------------


def test_fault_hints_expire_and_later_ones_are_delivered():
    """What expires is gone alone. A peer whose oldest hint expires while it is down gets nothing more until it is back."""
    with rig.Cluster(3, flags={"hint-ttl-seconds": "3", "hint-drain-interval-ms": "100"}) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        client = a.client()
        client.mset({f"old{i}": "1" for i in range(20)})
        a.admin("config", "set", "hint_ttl_seconds", "3600")
        client.mset({f"kept{i}": "1" for i in range(20)})
        assert a.pending() == 40
        rig.wait_until(lambda: a.pending() == 20, "the older ones expire")
        assert totals(a)["expired_total"] == 20
        rig.wait_until(lambda: repair(a)[peer_id(d)], "needs repair is shown")
        client.mset({f"missed{i}": "1" for i in range(20)})
        assert a.pending() == 20
        d.start()
        c.wait_linked()
        c.wait_delivered()
        client.set("new", "1")
        names = [f"{what}{i}" for what in ("old", "kept", "missed") for i in range(20)] + ["new"]
        rig.wait_until(lambda: rig.own_values(c, 2, ["new"])["new"] == b"1", "what is new arrives")
        values = rig.own_values(c, 2, names)
        assert [k for k, v in values.items() if v] == [f"kept{i}" for i in range(20)] + ["new"]
        assert totals(a)["delivered_total"] == 20


def test_fault_cap_over_all_peers_and_nohint():
    """The cap is one for all peers; at it a write that needs a hint is refused and has not happened."""
    flags = {"hint-store-max-bytes": "30000", "write-consistency": "DC_QUORUM"}
    with rig.Cluster(3, flags=flags) as c:
        a, b, d = c.nodes
        b.kill()
        d.kill()
        rig.down(a, 2)
        refused = 0
        for i in range(40):
            try:
                a.client().set(f"k{i}", "x" * 1000)
            except redis.ResponseError as error:
                assert str(error).startswith("NOHINT hint store is full (30000 bytes); "), error
                refused += 1
        hints = totals(a)
        assert 0 < refused < 40 and 28000 < hints["bytes"] <= 30000
        assert hints["rejected_over_capacity_total"] >= refused
        assert all(repair(a).values())
        b.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert totals(a)["bytes"] == 0 and a.client().set("k", "1")


def test_fault_drain_rate_is_kept():
    """5 MB at 2 MB/s."""
    rate = 2000000
    with rig.Cluster(3, flags={"hint-drain-rate": str(rate)}) as c:
        a, b, d = c.nodes
        d.kill()
        rig.down(a)
        pipe = a.client().pipeline(transaction=False)
        for i in range(500):
            pipe.set(f"k{i}", "x" * 10000)
        pipe.execute()
        total = bytes_for(a, d)
        assert total > 5000000
        start = time.monotonic()
        d.start(wait=False)
        rig.wait_until(lambda: bytes_for(a, d) == 0, "the hints are delivered")
        took = time.monotonic() - start
        print(f"{total} bytes in {took:.1f} s; allowed {rate} bytes/s")
        assert 0.8 * total / rate < took < 1.3 * total / rate + 3  # 3 s to come up
        c.wait_linked()
        c.wait_delivered()


@pytest.mark.parametrize("sync", ["interval", "never"])
def test_fault_hint_sync_less_than_always_doesnt_count(sync):
    """Kept and delivered, also after kill -9; but a sloppy quorum can't be met with them."""
    with rig.Cluster(3, flags={"hint-sync": sync, "write-consistency": "DC_QUORUM"}) as c:
        a, b, d = c.nodes
        d.kill()
        rig.down(a)
        for i in range(100):
            a.client().set(f"k{i}", i)
        b.kill()
        rig.down(a, 2)
        with pytest.raises(redis.ResponseError, match="NOQUORUM"):
            a.client().set("k0", "x")
        a.kill()
        for n in c.nodes:
            n.start(wait=False)
        c.wait_linked()
        c.wait_delivered()
        assert rig.own_values(c, 2, ["k0", "k99"]) == {"k0": b"0", "k99": b"99"}


def test_fault_slow_peer_counts_as_behind():
    """A peer that takes nothing for longer than send_window allows: what lies behind counts as hints."""
    with rig.Cluster(3, flags={"send-window": "200000", "gos-interval": "3000"}) as c:
        a, b, d = c.nodes
        rig.freeze(d.process)
        try:
            for i in range(400):
                assert a.client().set(f"k{i}", "x" * 1000)
            assert a.pending() > 100 and repair(a)[peer_id(d)] is False
        finally:
            d.process.send_signal(signal.SIGCONT)
        c.wait_linked()
        c.wait_delivered()
        values = rig.own_values(c, 2, [f"k{i}" for i in range(400)])
        assert all(v == b"x" * 1000 for v in values.values())


# ---- time -----------------------------------------------------------------------------------------------------


def test_fault_after_a_restart_the_last_write_still_wins():
    """A node that comes back begins its stamps above all it gave before, but not so far ahead that what
    others write after it looks older."""
    with rig.Cluster(3) as c:
        a, b, _ = c.nodes
        for n in range(6):
            a.client().set("k", f"a{n}")
            a.kill()
            a.start()
            c.wait_linked()
            assert a.client().set("k", f"again{n}")
            rig.wait_until(lambda n=n: rig.own_values(c, 1, ["k"])["k"] == b"again%d" % n, "node 2 has it")
            assert b.client().set("k", f"b{n}")
            for i in range(3):
                rig.wait_until(lambda i=i, n=n: rig.own_values(c, i, ["k"])["k"] == b"b%d" % n, "node 2's is the last")
        assert [n.metrics()["dynomite_stale_dropped_total"] for n in c.nodes] == [0, 0, 0]


def test_fault_http_waits_for_descriptors_without_spinning():
    """Accepting pauses on the port of the figures, too."""
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


def test_fault_hints_of_a_peer_whose_id_was_forgotten():
    """Without the file peers nobody knows the id: the log that lies under it is found by the place that it names."""
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        for n in c.nodes:
            n.stop()
        for n in c.nodes:  # logs now lie under their peers' ids
            n.start(wait=False)
        c.wait_linked()
        d.kill()
        rig.down(a)
        a.client().set("k", "1")
        a.stop()
        os.unlink(os.path.join(a.directory, "peers"))
        log = os.path.join(a.directory, "hints", peer_id(d), "*.log")
        held = glob.glob(log)
        assert held
        a.start()
        d.start()
        c.wait_linked()
        c.wait_delivered()
        assert "isn't configured" not in a.log_text()
        assert rig.own_values(c, 2, ["k"]) == {"k": b"1"}
