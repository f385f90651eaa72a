"""What hints must survive besides full and failing disks (test_faults.py, test_io_errors.py) and clocks (test_clock.py):
kills at seeded moments, segments that come and go, peers that answer nothing or die at once, caps, little memory.

Each client's write is one APPEND of a token to one of some keys, so that what is lost, applied twice or out of order is
seen in the value."""
import copy
import glob
import os
import random
import re
import resource
import shutil
import socket
import struct
import threading

import linkpeer as lp
import pytest
import redis
import rig
from test_faults import held_hints, peer_id, repair, segments, totals

KB = 1024
PAD = "." * 1000


class Tokens:
    """Appends through one node. What was answered is there once and in order; what got no answer at most once."""

    def __init__(self):
        self.keys = [f"t{i}" for i in range(20)]
        self.n = 0
        self.answered, self.unanswered = set(), set()

    def words(self):
        self.n += 1
        return "APPEND", self.keys[self.n % len(self.keys)], f"<{self.n}{PAD}>"

    def write(self, node, n, until=None):
        """n of them as one pipeline; `until`: called with the number of replies read so far, stops at True."""
        client = node.client()
        connection = client.connection_pool.get_connection("APPEND")
        sent = []
        for _ in range(n):
            words = self.words()
            sent.append(self.n)
            connection.send_packed_command(connection.pack_command(*words))
        self.unanswered.update(sent)
        for i, token in enumerate(sent):
            if until and until(i):
                break
            connection.read_response()
            self.unanswered.discard(token)
            self.answered.add(token)
        connection.disconnect()

    def found(self, cluster, index):
        values = rig.own_values(cluster, index, list(self.keys))
        return {k: [int(t) for t in re.findall(rb"<(\d+)", v or b"")] for k, v in values.items()}

    def check(self, cluster, index, lost=None):
        """lost: a set that takes what was answered and is missing; None: nothing may be."""
        tokens = []
        for got in self.found(cluster, index).values():
            assert got == sorted(set(got)), f"node {index + 1}: twice or out of order: {got}"
            tokens += got
        missing = self.answered - set(tokens)
        if lost is not None:
            lost |= missing
        else:
            assert not missing, f"node {index + 1} lacks {sorted(missing)}"
        assert not set(tokens) - self.answered - self.unanswered


def delivered(cluster):
    cluster.wait_linked()
    cluster.wait_delivered(60)


# ---- kills ------------------------------------------------------------------------------------------


@pytest.fixture(params=["embedded", "redis"])
def store(request):
    return request.param


def seeded():
    seed = int(os.environ.get("DYN_SEED", random.randrange(1 << 30)))
    rig.note(f"seed {seed} (DYN_SEED={seed} replays)")
    return random.Random(seed)


class Killing:
    """Node 1 sends, node 3 receives; one of them is killed while hints are stored or replayed."""

    def __init__(self, cluster, dice):
        self.cluster, self.dice = cluster, dice
        self.a, _, self.d = cluster.nodes
        self.tokens = Tokens()

    def away(self):
        if self.d.process:
            self.d.kill()
        rig.down(self.a)

    def storing(self, victim):
        """Killed when so many of the replies have come."""
        if victim is self.a:
            self.away()
        elif not self.d.process:
            self.d.start()
        n = self.dice.randrange(1, 60)
        at = self.dice.randrange(n)
        self.tokens.write(self.a, n, lambda i: i == at and (victim.kill() or victim is self.a))
        if not self.a.process:
            self.restart(self.a)

    def restart(self, node):
        node.start()
        rig.wait_until(lambda: node.metrics()["dynomite_backend_up"], f"{node.name}'s store is up")

    def replaying(self, victim):
        """Killed when so much has been delivered, a hair later."""
        self.away()
        self.tokens.write(self.a, 60)
        held = self.a.pending()
        left = self.dice.randrange(held)
        hair = threading.Event()
        self.d.start(wait=False)
        rig.wait_until(lambda: self.d.alive() and self.a.pending() <= left, "the replay has come that far")
        hair.wait(self.dice.random() / 50)
        victim.kill()
        self.restart(victim)


def test_survive_kills_at_seeded_moments(store):
    dice = seeded()
    rounds = 50 if rig.LONG else 8
    with rig.Cluster(3, store=store, flags={"hint-drain-rate": "400000", "hint-drain-interval-ms": "100"}) as c:
        k = Killing(c, dice)
        for _ in range(rounds):
            phase, victim = dice.choice([k.storing, k.replaying]), dice.choice([k.a, k.d])
            print(phase.__name__, victim.name)
            phase(victim)
        if not k.d.process:
            k.d.start()
        delivered(c)
        for i in range(3):
            k.tokens.check(c, i)
        rig.note(f"{len(k.tokens.answered)} writes answered and on all three, {len(k.tokens.unanswered)} unanswered")
        assert not repair(k.a)[peer_id(k.d)], re.findall(".*repair.*|.*damaged.*|.*missing.*", k.a.log_text())


def test_survive_a_sender_started_twice_marks_nobody():
    """All was acknowledged, then it starts and writes, and starts again, while the receiver is away: this lacks only what
    it gets now, and hasn't gone back in time."""
    tokens = Tokens()
    with rig.Cluster(3) as c:
        a, _, d = c.nodes
        tokens.write(a, 10)
        rig.wait_until(lambda: sum(map(len, tokens.found(c, 2).values())) == 10, "node 3 has them")
        d.kill()
        for _ in range(2):
            a.kill()
            a.start()
            tokens.write(a, 10)
        d.start()
        delivered(c)
        tokens.check(c, 2)
        assert not any(repair(a).values()), re.findall(".*needs repair.*", a.log_text())


# ---- segments that come and go ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def holding():
    """300 hints in several segments, and the tokens they append."""
    tokens = Tokens()
    with held_hints(lambda node: tokens.write(node, 300)) as fresh:
        yield lambda: (*fresh(), copy.deepcopy(tokens))


def start_all(cluster):
    for n in cluster.nodes:
        n.start(wait=False)
    delivered(cluster)


def numbers(path):
    """The numbers of the records in a segment, by their lengths."""
    with open(path, "rb") as f:
        data = f.read()
    at, found = 80, []
    while at + 40 <= len(data) and struct.unpack_from("<I", data, at)[0] >= 40:
        found.append(struct.unpack_from("<Q", data, at + 16)[0])
        at += struct.unpack_from("<I", data, at)[0]
    return found


def test_survive_missing_segment_in_the_middle(holding):
    """What was in it is lost, said, counted and marked; what lies behind it is delivered."""
    c, victim, tokens = holding()
    a = c.nodes[0]
    files = segments(a, victim)
    assert len(files) >= 3
    gone = numbers(files[1])
    os.unlink(files[1])
    start_all(c)
    lost = set()
    tokens.check(c, 2, lost)
    assert len(lost) == len(gone)
    assert f"numbers {gone[0]:x} to {gone[-1]:x} are missing" in a.log_text()
    rig.wait_until(lambda: repair(a)[victim], "needs repair is shown")
    assert totals(a)["damaged_total"] >= 1


def rewrite_first(path, first):
    """The segment says that it begins at `first`, and is named so."""
    with open(path, "r+b") as f:
        head = bytearray(f.read(64))
        struct.pack_into("<Q", head, 16, first)
        f.seek(0)
        f.write(bytes(head) + struct.pack("<I", lp.crc32c(bytes(head))))
    to = os.path.join(os.path.dirname(path), f"{first:016x}.log")
    os.rename(path, to)
    return to


@pytest.mark.parametrize("how", ["twice", "from its middle", "behind the next"])
def test_survive_overlapping_numbers(holding, how):
    """Two segments have the same records: each is delivered once, none is missing."""
    c, victim, tokens = holding()
    a = c.nodes[0]
    files = segments(a, victim)
    of = numbers(files[0])
    first = {"twice": of[0], "from its middle": of[len(of) // 2], "behind the next": numbers(files[1])[0] + 1}[how]
    shutil.copy(files[0], files[0] + ".copy")
    if how == "twice":  # another name for the same header
        os.rename(files[0] + ".copy", os.path.join(os.path.dirname(files[0]), f"{of[0] + 1:016x}.log"))
    else:
        rewrite_first(files[0] + ".copy", first)
    start_all(c)
    tokens.check(c, 2)
    assert not any(repair(a).values()) and totals(a)["damaged_total"] == 0


@pytest.mark.parametrize("when", ["delivered", "half delivered"])
def test_survive_segment_copied_back_from_a_backup(holding, when):
    """It was delivered and is there again: nothing of it is applied a second time, and it goes."""
    c, victim, tokens = holding()
    a, _, d = c.nodes
    backup = {path: open(path, "rb").read() for path in segments(a, victim)}
    if when == "half delivered":
        a.flags["hint-drain-rate"] = "100000"
    start_all(c) if when == "delivered" else [n.start(wait=False) for n in c.nodes]
    rig.wait_until(lambda: a.pending() < 200, "they are delivered")
    tokens.write(a, 10)
    a.flags.pop("hint-drain-rate", None)
    if when == "half delivered":
        a.kill()
    else:
        a.stop()
    for path, data in list(backup.items())[:-1]:
        with open(path, "wb") as f:
            f.write(data)
    a.start()
    delivered(c)
    for i in range(3):
        tokens.check(c, i)
    assert len({str(tokens.found(c, i)) for i in range(3)}) == 1
    a.stop()
    a.start()
    assert a.pending() == 0 and d.alive()


# ---- peers ----------------------------------------------------------------------------------------------


class Stranger:
    """Stands where node 3 was, and does with each connection what `play` says."""

    def __init__(self, node, play):
        self.server = socket.create_server(("127.0.0.1", node.peer_port))
        self.server.settimeout(0.2)
        self.held, self.over, self.play = [], False, play
        self.wrong = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            try:
                sock, _ = self.server.accept()
            except socket.timeout:
                continue
            self.held.append(sock)
            try:
                self.play(sock)
            except (lp.Ended, lp.Refused, OSError):
                pass
            except AssertionError as error:
                self.wrong = error
                return

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.over = True
        self.thread.join()
        for s in [*self.held, self.server]:
            s.close()
        assert not self.wrong, self.wrong


def welcomed(sock, node_id, applied):
    """Lets node 1 in and sends others away."""
    peer = lp.Link(sock, node_id)
    hello = lp.parse(peer.expect(lp.HELLO)[2])
    if hello[6] != b"rack1":
        raise lp.Ended()
    peer.send(lp.frame(lp.CHALLENGE, peer.answer_hello(hello)))
    peer.expect(lp.PROOF)
    peer.send(lp.frame(lp.WELCOME, lp.message((1, applied), (2, 2), (3, 1))))
    return peer


@pytest.mark.parametrize("how", ["nothing", "welcome"])
def test_survive_peer_that_accepts_and_never_answers(how):
    """Clients notice nothing, hints are kept, memory isn't taken; the real one gets them all."""
    tokens = Tokens()
    with rig.Cluster(3, flags={**rig.STATIC, "hint-drain-interval-ms": "100", "gos-interval": "200"}) as c:
        a, _, d = c.nodes
        victim = peer_id(d)
        d.kill()
        rig.down(a)
        before = a.memory()
        with Stranger(d, lambda s: how == "welcome" and welcomed(s, victim, 0)) as stranger:
            tokens.write(a, 500)
            rig.wait_until(lambda: len(stranger.held) > 3, "it is dialled, again and again")
            tokens.write(a, 500)
            rig.down(a)
            assert a.memory() <= before + 16 * KB * KB
        rig.down(a)
        assert a.pending() == len(tokens.answered)
        d.start()
        delivered(c)
        for i in range(3):
            tokens.check(c, i)
        assert how == "welcome" or not any(repair(a).values())  # the one that welcomed knew no number


@pytest.mark.parametrize("ack", [True, False], ids=["acknowledged", "unsaid"])
def test_survive_peer_that_dies_after_each_batch(ack):
    """It has applied some writes, says so, or doesn't come to it, and dies; it knows when it is back. Each write reaches
    it once, in order, and what it lacks stays a hint."""
    tokens, got = Tokens(), []
    dice = seeded()
    applied = 0

    def play(sock):
        nonlocal applied
        peer = welcomed(sock, victim, applied)
        for _ in range(dice.randrange(1, 40)):
            kind, seq, payload, _ = peer.expect(lp.WRITE, lp.SKIP)
            if kind == lp.WRITE:
                assert seq == applied + 1, (seq, applied)
                got.extend(int(t) for t in re.findall(rb"<(\d+)", payload))
            applied = seq
        if ack:
            peer.send(lp.frame(lp.ACK, seq=applied))
        peer.sock.close()

    with rig.Cluster(3, flags={**rig.STATIC, "hint-drain-interval-ms": "20"}) as c:
        a, _, d = c.nodes
        victim = peer_id(d)
        d.kill()
        rig.down(a)
        tokens.write(a, 300)
        with Stranger(d, play):
            rig.wait_until(lambda: len(got) >= 300, "all have come", 60)
            assert got == sorted(tokens.answered)
        rig.down(a)


# ---- caps and memory -----------------------------------------------------------------------------------


def on_disk(node, peer):
    """(bytes of its files, of the last of them)"""
    sizes = [os.path.getsize(p) for p in sorted(glob.glob(os.path.join(node.directory, "hints", peer, "*.log")))]
    return sum(sizes), sizes[-1]


def test_survive_caps_on_disk():
    """Of payload as many bytes as the cap allows; beside it 48 bytes a hint and one segment a peer."""
    cap = 3000000
    with rig.Cluster(3, flags={"hint-store-max-bytes": str(cap)}) as c:
        a, b, d = c.nodes
        for n in c.nodes:
            n.stop()
        for n in c.nodes:
            n.start(wait=False)
        c.wait_linked()
        b.kill()
        d.kill()
        rig.down(a, 2)
        client = a.client()
        pipe, refused = client.pipeline(transaction=False), 0
        for i in range(12000):
            pipe.set(f"k{i}", "x" * 100)
            if i % 1000 == 999:
                refused += sum(isinstance(r, redis.ResponseError) for r in pipe.execute(raise_on_error=False))
        hints = totals(a)
        assert cap * 0.99 < hints["bytes"] <= cap and hints["rejected_over_capacity_total"] > 0
        for n in (b, d):
            of = next(p for p in a.admin("hints")["peers"] if p["id"] == peer_id(n))
            size, last = on_disk(a, peer_id(n))
            assert of["bytes"] + 40 * of["pending"] < size + last
            assert size <= of["bytes"] + 48 * of["pending"] + max(last, 64 * KB)
        assert all(repair(a).values()), "and it is marked"
        b.start()
        d.start()
        delivered(c)
        assert totals(a)["bytes"] == 0


@pytest.mark.parametrize("megabytes,limit", [(96, 128), pytest.param(1024, 256, marks=pytest.mark.slow)])
def test_survive_more_hints_than_memory(megabytes, limit):
    """The process that holds them may have `limit` MB of data, stacks of its threads included, which with many cores are
    more; 64 MB must be left of it."""
    size, n = 100 * KB, megabytes * 10
    flags = {"store-sync": "never", "hint-store-max-bytes": "0", "workers": "1", "hint-sync": "never"}
    with rig.Cluster(3, flags=flags) as c:
        a, _, d = c.nodes
        d.kill()
        rig.down(a)
        if not a.memory():
            pytest.skip("a sanitizer needs more")
        idle = a.memory("VmData") - a.memory("RssAnon")  # stacks, mostly, that nobody touches
        allowed = max(idle + (64 << 20), limit << 20)
        resource.prlimit(a.process.pid, resource.RLIMIT_DATA, (allowed, allowed))
        client = a.client()
        most = 0
        for i in range(n):
            assert client.set(f"k{i % 50}", f"{i}:" + "x" * size) and client.incr("counter")
            most = max(most, a.memory()) if i % 50 == 0 else most
        assert a.pending() == 2 * n and totals(a)["bytes"] > megabytes * 1000 * KB
        d.start(wait=False)

        def empty():
            nonlocal most
            most = max(most, a.memory())
            return a.pending() == 0
        rig.wait_until(empty, "all is delivered", 300)
        rig.note(f"{megabytes} MB of hints: RssAnon up to {most >> 20} MB, VmData allowed {allowed >> 20} MB")
        c.wait_linked()
        values = rig.own_values(c, 2, [f"k{i}" for i in range(50)] + ["counter"])
        assert values.pop("counter") == b"%d" % n
        for i in range(n - 50, n):
            assert values[f"k{i % 50}"].startswith(b"%d:" % i)
        assert not any(repair(a).values())
