"""Links between datacenters: what they carry compressed, and how fast; and a datacenter that is cut off, for as long as it takes."""
import os
import re
import socket
import struct
import threading
import time

import linkpeer as lp
import netns
import pytest
import redis
import rig

KB, MB = 1 << 10, 1 << 20
FOUR = [("dc1", "rack1", "0"), ("dc1", "rack2", "0"), ("dc2", "rack1", "0"), ("dc2", "rack2", "0")]
TWO = [("dc1", "rack1", "0"), ("dc2", "rack1", "0")]


def carried(node):
    """Of each peer, by datacenter and rack: bytes of writes that went to it, and what they took on the link."""
    return {(p["datacenter"], p["rack"]): (p["dc_raw_bytes"], p["dc_sent_bytes"]) for p in node.admin("peers")["peers"]}


def since(node, before):
    """What has been carried since then."""
    return {peer: (raw - before[peer][0], sent - before[peer][1]) for peer, (raw, sent) in carried(node).items()}


def owes_nothing(node):
    return not node.pending() and not any(p["behind_bytes"] for p in node.admin("peers")["peers"])


def settle(cluster, deadline=60):
    for n in cluster.running():
        rig.wait_until(lambda n=n: owes_nothing(n), f"{n.name} owes nothing", deadline)


def write(node, values):
    p = node.client().pipeline(transaction=False)
    for key, value in values.items():
        p.set(key, value)
    assert all(p.execute())


def plain(prefix, n=300):
    """Values that shrink."""
    return {f"{prefix}{i}": b"the quick brown fox %d " % i * 80 for i in range(n)}


def noise(prefix, n=300, size=2000):
    """Values that don't."""
    return {f"{prefix}{i}": os.urandom(size) for i in range(n)}


# ---- compression ----------------------------------------------------------------------------------------------------


def test_links_compressed_and_bare_are_equal():
    """One node compresses what it sends to the other datacenter, the others don't; it changes its mind and back."""
    with rig.Cluster(places=FOUR) as cluster:
        a, b = cluster.nodes[:2]
        a.admin("config", "set", "dc_compression", "lz4")
        expected = {}

        def round_of(prefix, make):
            before = {n: carried(n) for n in (a, b)}
            for n in (a, b):
                values = make(f"{prefix}-{n.name}-")
                write(n, values)
                expected.update({k.encode(): v for k, v in values.items()})
            settle(cluster)
            return [since(n, before[n]) for n in (a, b)]

        for mine, of_b in [round_of("plain", plain)]:
            for rack in ("rack1", "rack2"):
                raw, sent = mine["dc2", rack]
                assert raw > 300 * 1500 and sent < raw / 3, mine
                assert of_b["dc2", rack][0] == of_b["dc2", rack][1] > 300 * 1500, of_b
            assert mine["dc1", "rack2"] == of_b["dc1", "rack1"] == (0, 0)
            rig.note(f"{raw} bytes of writes took {sent} on the link")
        for mine, _ in [round_of("noise", noise)]:
            raw, sent = mine["dc2", "rack1"]
            assert 300 * 2000 < sent <= raw, mine
        a.admin("config", "set", "dc_compression", "none")
        for mine, _ in [round_of("bare", plain)]:
            assert all(raw == sent for raw, sent in mine.values()), mine
        peer = f'{{peer="127.0.0.1:{cluster.nodes[2].peer_port}"}}'
        figures = a.metrics()
        assert (figures["dynomite_dc_raw_bytes_total" + peer], figures["dynomite_dc_sent_bytes_total" + peer]) == carried(a)["dc2", "rack1"]
        for i in range(4):
            assert rig.own_values(cluster, i, list(expected)) == expected, f"node {i + 1}"


@pytest.mark.parametrize("size", [40 * MB, pytest.param(512 * MB, marks=pytest.mark.slow)], ids=["40 MB", "512 MB"])
@pytest.mark.parametrize("make", [lambda n: b"0123456789abcdef" * (n // 16), lambda n: os.urandom(MB) * (n // MB)], ids=["shrinks", "doesn't"])
def test_links_large_values(size, make):
    """As one record; and the memory that it took is given back. (The noise repeats, but too far away for LZ4.)"""
    with rig.Cluster(places=TWO, flags={"dc-compression": "lz4", "timeout": "60000", "store-sync": "interval"}) as cluster:
        a, b = cluster.nodes
        write(a, plain("small"))
        settle(cluster)
        before = [n.memory() for n in cluster.nodes]
        value = make(size)
        assert a.client(socket_connect_timeout=60).execute_command("SET", "large", value)
        settle(cluster, 120)
        assert b.client().strlen("large") == size and b.client().getrange("large", size - 100, -1) == value[-100:]
        for n, was in zip(cluster.nodes, before):
            rig.wait_until(lambda n=n, was=was: n.memory() <= was + 40 * MB, f"{n.name} gives its memory back", 30)
        raw, sent = carried(a)["dc2", "rack1"]
        assert raw > size and (sent < raw / 20) == (value[:16] == value[16:32]), (raw, sent)
        for i in range(2):
            assert rig.own_values(cluster, i, ["small7"]) == {"small7": plain("small")["small7"]}


class Place:
    """A node, and the place of one in the other datacenter, which the test takes."""

    def __init__(self, cluster):
        self.cluster, (self.a, self.b) = cluster, cluster.nodes
        with open(os.path.join(self.b.directory, "node_id"), encoding="ascii") as f:
            self.who = {"node_id": f.read().strip(), "datacenter": "dc2", "rack": "rack1"}
        self.b.stop()

    def dial(self):
        with open(os.path.join(self.b.directory, "start"), encoding="ascii") as f:
            return lp.Link.dial(self.a.peer_port, mark=int(f.read().split()[0]), **self.who).link()

    def answer(self, server, **more):
        """Lets in the node, which says hello."""
        sock, _ = server.accept()
        peer = lp.Link(sock, **self.who)
        peer.send(lp.frame(lp.CHALLENGE, peer.answer_hello(lp.parse(peer.expect(lp.HELLO)[2]), **more)))
        peer.expect(lp.PROOF)
        peer.send(lp.frame(lp.WELCOME, lp.message((1, 0), (2, 2), (3, 1))))
        return peer


@pytest.fixture(name="place", scope="module")
def the_place():
    with rig.Cluster(places=TWO, flags={**rig.STATIC, "dc-compression": "lz4"}) as cluster:
        p = Place(cluster)
        yield p
        p.b.start()
        cluster.wait_linked()
        settle(cluster)
        key = {"back": b"1"}
        write(p.b, key)
        rig.wait_until(lambda: rig.own_values(cluster, 0, ["back"]) == key, "node 1 has what node 2 writes")


def frames_of(data):
    while data:
        size, = struct.unpack("<I", data[:4])
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("unpacks", [True, False])
def test_links_packed_for_who_understands_it(place, unpacks):
    """A node of before doesn't say that it does."""
    values = plain(f"for{unpacks}-", 50)
    found, kinds = {}, set()
    with socket.create_server(("127.0.0.1", place.b.peer_port)) as server:
        server.settimeout(15)
        with place.answer(server, **({"f11": 1} if unpacks else {})) as peer:
            write(place.a, values)
            while not values.keys() <= found.keys():
                kind, _, payload, _ = peer.expect(lp.WRITE, lp.PACKED)
                kinds.add(kind)
                bare = frames_of(lp.unlz4(payload[4:])) if kind == lp.PACKED else [lp.frame(kind, payload)]
                for one in bare:
                    assert struct.unpack("<I", one[4:8])[0] == lp.crc32c(one[8:])
                    if one[8] == lp.WRITE:
                        words = one[lp.HEAD:].split(b"\r\n")
                        found[words[4].decode()] = words[6]
    assert {k: found[k] for k in values} == values
    assert (lp.PACKED in kinds) == unpacks


def test_links_packed_frames_are_taken(place):
    with place.dial() as peer:
        first = peer.numbers()
        writes = [lp.frame(lp.WRITE, lp.resp("SET", f"taken{i}", i), seq=first + i, stamp=lp.stamp_now()) for i in range(5)]
        skip = lp.frame(lp.SKIP, struct.pack("<Q", first + 4), seq=first + 99)
        last = lp.frame(lp.WRITE, lp.resp("SET", "taken5", 5), seq=first + 100, stamp=lp.stamp_now())
        peer.send(lp.packed(*writes[:4]), writes[4], lp.packed(skip, last))
        peer.acked(first + 100)
    keys = [f"taken{i}" for i in range(6)]
    assert rig.own_values(place.cluster, 0, keys) == {k: b"%d" % i for i, k in enumerate(keys)}


def bad_packs():
    write_ = lp.frame(lp.WRITE, lp.resp("SET", "bad", 1), seq=1)
    block = lp.lz4(write_)
    yield "nested", lp.packed(lp.packed(write_)), "holds one of kind 4; allowed 1 and 2"
    yield "read", lp.packed(lp.frame(lp.READ, lp.resp("GET", "k"))), "holds one of kind 30; allowed 1 and 2"
    yield "torn", lp.packed(write_[:-1]), "what isn't a whole frame at byte 0"
    yield "empty", lp.frame(lp.PACKED), "says it holds 0 "
    yield "4 GB", lp.frame(lp.PACKED, struct.pack("<I", 0xffffffff) + block), "says it holds 4294967295 "
    yield "500 MB", lp.frame(lp.PACKED, struct.pack("<I", 500 * MB) + block), "says it holds 524288000 "
    yield "more", lp.frame(lp.PACKED, struct.pack("<I", len(write_) + 1) + block), "doesn't unpack"
    yield "less", lp.frame(lp.PACKED, struct.pack("<I", len(write_) - 1) + block), "doesn't unpack"
    yield "broken", lp.frame(lp.PACKED, struct.pack("<I", len(write_)) + b"\x1f" + b"\xff" * 100), "doesn't unpack"
    yield "number", lp.packed(lp.frame(lp.WRITE, lp.resp("SET", "bad", 1), seq=1 << 63)), "above its start mark"
    yield "checksum", lp.packed(write_[:-1] + b"x"), "a wrong checksum at byte 0"


@pytest.mark.parametrize("frame,reason", [pytest.param(f, r, id=n) for n, f, r in bad_packs()])
def test_links_bad_packed_frames_end_the_link(place, frame, reason):
    with place.dial() as peer:
        peer.send(frame)
        with pytest.raises(lp.Refused, match=re.escape(reason)):
            peer.acked(1 << 62)
    assert place.a.client().get("bad") is None


# ---- the rate -------------------------------------------------------------------------------------------------------


def wire_bytes(cluster):
    """What has gone from the first datacenter to the second, as the wire between them counts it."""
    line = next(t for t in cluster.net.hub.run("cat", "/proc/net/dev").splitlines() if t.strip().startswith("tap0:"))
    return int(line.split(":")[1].split()[8])


def processor_seconds(node):
    with open(f"/proc/{node.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(name="namespaces", scope="module")
def the_namespaces():
    netns.need()
    netns.need_taps()


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_links_rate_holds(compression):
    """What is above it waits in the log, becomes hints behind send_window, and spins nobody; the own datacenter doesn't notice."""
    rate = 200000
    flags = {"dc-compression": compression, "dc-rate": str(rate), "send-window": "262144", "write-consistency": "DC_QUORUM"}
    with netns.NetCluster(places=FOUR, delay_ms=50, flags=flags) as cluster:
        a, b = cluster.nodes[:2]
        values = {**noise("noise", 200), **plain("plain", 200)}
        begun, on_wire, busy = time.monotonic(), wire_bytes(cluster), processor_seconds(a)
        write(a, values)
        answered = time.monotonic() - begun
        most, asked = 0, rig.copies(a, "noise0")  # heartbeats and questions aren't held up
        assert len(asked) == 4 and not owes_nothing(a), asked
        while not owes_nothing(a):
            most = max(most, a.pending())
            assert a.states_of_peers() == ["NORMAL"] * 3
            seconds, bytes_ = time.monotonic() - begun, wire_bytes(cluster) - on_wire
            assert bytes_ < 2 * 1.15 * rate * (seconds + 0.1) + 50 * KB, f"{bytes_} bytes in {seconds:.2f} s"
            assert b.client().get("noise1") == values["noise1"]  # it has long been there
        seconds, busy = time.monotonic() - begun, processor_seconds(a) - busy
        raw, sent = carried(a)["dc2", "rack1"]
        rig.note(f"{compression}: answered after {answered:.2f} s; {raw} bytes, {sent} on each link, took {seconds:.1f} s at "
                 f"{rate} bytes/s; {most} hints at most; {busy:.2f} s of processor time")
        assert seconds > 0.9 * (sent / rate - 0.1) and busy < seconds / 2
        assert most > 100 and answered < seconds / 2
        for i in range(4):
            assert rig.own_values(cluster, i, list(values)) == values
        a.admin("config", "set", "dc_rate", "10000")
        rig.wait_until(lambda: write(a, noise("slow", 50, 1000)) or "dc_rate (10000 bytes/s) is below the rate of new writes" in
                       " ".join(p["note"] for p in a.admin("status")["peers"]), "status says so")
        a.admin("config", "set", "dc_rate", "0")
        write(a, noise("more", 300, 16000))
        settle(cluster, 20)  # it would take 24 s


# ---- a datacenter that is cut off -----------------------------------------------------------------------------------


SIX = [(dc, f"rack{i}", "0") for dc in ("dc1", "dc2") for i in (1, 2, 3)]
SIZE = 1000  # of a value
by_itself_if_long = pytest.mark.by_itself if rig.LONG else lambda test: test  # then it has a deadline


class Writer(threading.Thread):
    """Writes, and reads what it wrote, through one node; knows what was answered, and how long each answer took."""

    def __init__(self, node, pace, keys=""):
        super().__init__(name=node.name + keys, daemon=True)
        self.node, self.connection, self.pace = node, node.client(), pace
        self.ending = threading.Event()
        self.values, self.counted, self.errors, self.took = {}, 0, [], []

    def run(self):
        number = 0
        while not self.ending.wait(self.pace):
            number += 1
            key = f"{self.name}:{number % 5000}"
            value = os.urandom(SIZE)
            if self.ask("SET", key, value):
                self.values[key] = value
            if number % 5 == 0 and self.ask("GET", key) != self.values.get(key):
                self.errors.append(f"{key}: read something else than was written")
            if number % 10 == 0 and self.ask("INCR", "counter"):
                self.counted += 1

    def ask(self, *command):
        begun = time.monotonic()
        try:
            return self.connection.execute_command(*command)
        except (redis.RedisError, OSError) as error:
            self.errors.append(f"{command[0]} {command[1]}: {error}")
            return None
        finally:
            self.took.append(time.monotonic() - begun)


def started(writers):
    for w in writers:
        w.start()
    return writers


def end(writers):
    for w in writers:
        w.ending.set()
        w.join()


class Phases:
    """How long answers took in each part of a test."""

    def __init__(self, writers):
        self.writers, self.begun = writers, [0] * len(writers)

    def wait(self, answers):
        rig.wait_until(lambda: all(len(w.took) > answers for w in self.writers), "they write", 60)

    def end(self, name):
        took = sorted(t for w, n in zip(self.writers, self.begun) for t in w.took[n:])
        self.begun = [len(w.took) for w in self.writers]
        at = [1000 * took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.99, 1)]
        return f"{name}: {len(took)} answers, p50 {at[0]:.2f} ms, p99 {at[1]:.1f} ms, longest {at[2]:.0f} ms"


def kill_by_turns(nodes, every, ending):
    """One of them each so many seconds; it is started again at once."""
    count = 0
    due = time.monotonic()
    while not ending.wait(max(0, due - time.monotonic())):
        nodes[count % len(nodes)].kill()
        nodes[count % len(nodes)].start()
        count, due = count + 1, due + every
    return count


def hint_seconds(nodes, rate):
    """How long the hints of the fullest link need at its rate, and their number."""
    peers = [p for n in nodes for p in n.admin("hints")["peers"]]
    return max(p["bytes"] + p["pending"] * lp.HEAD for p in peers) / rate, sum(p["pending"] for p in peers)


def compare(cluster, writers):
    """What was answered is on all nodes, once."""
    expected = {k: v for w in writers for k, v in w.values.items()}
    expected["counter"] = b"%d" % sum(w.counted for w in writers)
    for i, n in enumerate(cluster.nodes):
        n.admin("config", "set", "read_consistency", "DC_ONE")  # what it reads is its own copy
        found = rig.own_values(cluster, i, list(expected))
        wrong = [k for k, v in expected.items() if found[k] != v]
        assert not wrong, f"{n.name}: {len(wrong)} of {len(expected)} keys differ: {wrong[:5]}"
    return len(expected)


@pytest.mark.usefixtures("namespaces")
@by_itself_if_long
@pytest.mark.parametrize("store,kills", [
    pytest.param("embedded", False, marks=pytest.mark.slow), ("embedded", True), pytest.param("redis", True, marks=pytest.mark.slow)],
    ids=["embedded", "embedded-killed", "redis-killed"])
def test_links_datacenter_cut_off(store, kills):
    """Its hints collect and are delivered at the links' rate, in the time that this takes; clients of the other one don't notice."""
    cut_for, rate, kill_every, slack = (120, 200000, 5, 0) if rig.LONG else (3, 80000, 1.5, 10)
    flags = {"dc-rate": str(rate), "read-consistency": "DC_QUORUM", "write-consistency": "DC_QUORUM",
             "hint-drain-interval-ms": "100", "store-sync": "interval"}
    with netns.NetCluster(places=SIX, delay_ms=50, flags=flags, store=store) as cluster:
        here, there = cluster.nodes[:3], cluster.nodes[3:]
        writers = started([Writer(n, 0.01) for n in here])
        phases, said = Phases(writers), []
        phases.wait(2000 if rig.LONG else 100)
        said.append(phases.end("before"))
        cluster.net.part()
        cut = time.monotonic()
        rig.wait_until(lambda: all(n.states_of_peers().count("DOWN") == 3 for n in here), "the others are DOWN", 30)
        threading.Event().wait(max(0, cut_for - (time.monotonic() - cut)))
        said.append(phases.end("cut off"))
        for w in writers:
            w.pace = 0.05
        needed, hints = hint_seconds(here, rate)
        cluster.net.heal()
        healed = time.monotonic()
        ending, killer = threading.Event(), None
        if kills:
            killer = threading.Thread(target=lambda: said.append(f"{kill_by_turns(there, kill_every, ending)} kills"))
            killer.start()
        try:
            rig.wait_until(lambda: all(n.pending() == 0 for n in here), "all hints are delivered", 60 + 3 * needed)
            said.append(phases.end("delivering"))
        finally:
            ending.set()
            if killer:
                killer.join()
            end(writers)
        settle(cluster)
        took = time.monotonic() - healed
        cluster.wait_linked()
        later = started([Writer(n, 0.01, "later") for n in here])
        phases = Phases(later)
        phases.wait(2000 if rig.LONG else 100)
        said.append(phases.end("after"))
        end(later)
        settle(cluster)
        keys = compare(cluster, writers + later)
        rig.note(f"{store}: cut off for {cut_for} s: {hints} hints, which need {needed:.1f} s at {rate} bytes/s, were there "
                 f"{took:.1f} s after the cut; {keys} keys are equal; {'; '.join(said)}")
        for w in writers + later:
            assert not w.errors, f"{len(w.errors)} errors at {w.name}: {w.errors[:5]}"
        assert took <= 1.5 * needed + slack
