"""What bad input gets, on every port: a clear error, and nothing lost that had been answered."""
import os
import select
import socket
import struct

import linkpeer as lp
import pytest
import rig

MB = 1 << 20
NOBODY = "00000000-0000-4000-8000-000000000000"
FEW = 0.5  # seconds to look whether something more comes


class Place:
    """Two real nodes, and the third one's place, which a test may take: its process is stopped, its id
    known. `back` starts it again and looks whether it is still believed."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.a, self.b, self.d = cluster.nodes
        with open(os.path.join(self.d.directory, "node_id"), encoding="ascii") as f:
            self.id = f.read().strip()
        self.count = 0
        self.d.stop()

    def mark(self):
        with open(os.path.join(self.d.directory, "start"), encoding="ascii") as f:
            return int(f.read().split()[0])

    def dial(self, **who):
        who.setdefault("mark", self.mark())
        who.setdefault("node_id", self.id)
        return lp.Link.dial(self.a.peer_port, **who)

    def good(self):
        """The two real nodes serve clients and replicate to each other."""
        self.count += 1
        key = f"good{self.count}"
        assert self.b.client().set(key, self.count)
        rig.wait_until(lambda: self.a.client().get(key) == b"%d" % self.count, "node 1 has node 2's write")

    def back(self, *held):
        """The real node 3 takes its place again: it gets what it missed (the keys `held`, which are 1),
        and what it writes counts."""
        missed = [f"missed{self.count}", *held]
        assert self.a.client().set(missed[0], "1")
        self.d.start()
        self.cluster.wait_linked()
        self.cluster.wait_delivered()
        assert rig.own_values(self.cluster, 2, missed) == {k: b"1" for k in missed}
        key = f"back{self.count}"
        assert self.d.client().set(key, "1")
        for i in range(2):
            rig.wait_until(lambda i=i: rig.own_values(self.cluster, i, [key])[key] == b"1",
                           f"node {i + 1} has what node 3 writes")
        self.d.stop()


@pytest.fixture(scope="module")
def place():
    with rig.Cluster(3, flags=rig.STATIC) as c:
        p = Place(c)
        yield p
        p.good()
        p.back()


@pytest.fixture(scope="module")
def node(place):
    return place.a


def resident_mb(n):
    return n.memory("VmRSS") / 1048576


def connect(n, port):
    if port == "admin":
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(n.directory, "admin.sock"))
    else:
        s = socket.create_connection(("127.0.0.1", {"client": n.client_port, "peer": n.peer_port,
                                                    "http": n.http_port}[port]))
    s.settimeout(10)
    return s


# ---- every port: floods and halves ----------------------------------------------------------------


def flood(s, data, total):
    """Sends until `total`, the other side closes or takes no more; never reads. Bytes sent."""
    sent = 0
    s.setblocking(False)
    try:
        while sent < total and select.select([], [s], [], FEW)[1]:
            sent += s.send(data)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize("what", ["random", "zeros", "ones", "lines"])
@pytest.mark.parametrize("port", ["client", "peer", "admin", "http"])
def test_bad_input_garbage(place, node, port, what):
    """64 MB of it, and its sender never reads: the port stays open for others and memory bounded."""
    data = {"random": os.urandom(MB), "zeros": bytes(MB), "ones": b"\xff" * MB,
            "lines": b"NOPE\r\n" * (MB // 6)}[what]
    before = resident_mb(node)
    with connect(node, port) as s:
        flood(s, data, 64 * MB)
        assert resident_mb(node) < before + 100
        with connect(node, port):
            pass
        place.good()
        assert node.admin("ping") == {} and node.http("/livez")


@pytest.mark.parametrize("port,half", [
    ("client", b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$100\r\nabc"),
    ("peer", lp.frame(lp.HELLO, b"x" * 100)[:60]),
    ("admin", struct.pack("<I", 100) + b"\n\x06status"),
    ("http", b"GET /met")])
def test_bad_input_half_a_request_and_a_closed_socket(place, node, port, half):
    for reset in (False, True):
        s = connect(node, port)
        s.sendall(half)
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    place.good()
    assert node.client().get("half") is None
    assert node.admin("ping") == {} and node.http("/livez")


def test_bad_input_admin_request_too_large(place, node):
    quiet(place)
    for size in (0xffffffff, 0x80000000, MB + 1):
        with connect(node, "admin") as s:
            s.sendall(struct.pack("<I", size) + b"x" * 100)
            assert s.recv(100) == b""
    assert "admin: a request of 4294967295 bytes; allowed at most 1048576" in node.log_text()


def test_bad_input_http_methods_and_paths(node):
    for request, status in [(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405"),
                            (b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
                            (b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n", b"414")]:
        with connect(node, "http") as s:
            s.sendall(request)
            got = s.recv(4096)
            assert got.startswith(b"HTTP/1.1 " + status), (request[:40], got[:60])
    assert node.http("/livez")


# ---- the handshake ----------------------------------------------------------------------------------


def said(place, reason):
    """Node 1 has logged it. It logs one refusal a second, so this is for one of a kind."""
    rig.wait_until(lambda: reason in place.a.log_text(), f"node 1 logs: {reason}", 5)


def quiet(place):
    """Waits until the last line is so old that the next refusal is logged."""
    last = place.a.log_text().splitlines()[-1][:23]
    rig.wait_until(lambda: lp.now_text(-1.1) > last, "a second without a refusal")


@pytest.mark.parametrize("who,reason", [
    ({"cluster": "elsewhere"}, "cluster 'elsewhere' found; allowed 'test'"),
    ({"cluster": "x\n2026-01-01T00:00:00.000Z notice forged"}, "cluster 'x"),
    ({"protocol": 2}, "protocol version 2 found; allowed 1"),
    ({"tokens": [1]}, "with other tokens"), ({"tokens": []}, "with other tokens"),
    ({"rack": "rack2"}, "with other tokens"), ({"rack": "rack9"}, "with other tokens"),
    ({"rack": "rack9", "node_id": NOBODY}, "isn't one of the places"),
    ({"rack": "rack1", "node_id": NOBODY}, "isn't one of the places"),
    ({"datacenter": "dc9"}, "with other tokens"),
    ({"tokens": list(range(5000))}, "5000 tokens; allowed at most 4096"),
    ({"cluster": "c" * 400}, "cluster name of 400 bytes; allowed at most 255"),
    ({"node_id": "i" * 400}, "node id of 400 bytes; allowed at most"),
    ({"node_id": "not an id"}, "allowed a UUID"),
    ({"node_id": ""}, "allowed a UUID"),
    ({"challenge": b"short"}, "challenge of 5 bytes; allowed 32"),
    ({"mark": 1 << 32}, "start mark 4294967296"),
])
def test_bad_input_greeting_is_refused_with_the_reason(place, who, reason):
    challenge = who.pop("challenge", None)
    with place.dial(**who) as peer:
        if challenge:
            peer.challenge = challenge
        with pytest.raises(lp.Refused) as no:
            peer.link()
        assert reason in str(no.value)
    assert not any(line.startswith("2026-01-01") for line in place.a.log_text().splitlines())
    place.good()


def test_bad_input_the_receivers_own_id(place):
    with open(os.path.join(place.a.directory, "node_id"), encoding="ascii") as f:
        mine = f.read().strip()
    quiet(place)
    with place.dial(node_id=mine) as peer, pytest.raises(lp.Refused, match="data_dir was copied"):
        peer.link()
    said(place, "data_dir was copied")
    place.good()


def test_bad_input_proof_where_nobody_has_a_secret(place):
    with place.dial(secret="s") as peer, pytest.raises(lp.Refused, match="this node has none"):
        peer.link()
    place.good()


# ---- the secret -------------------------------------------------------------------------------------


SECRET = "s3cret"


@pytest.fixture(scope="module")
def secret_place():
    with rig.Cluster(3, flags={**rig.STATIC, "cluster-secret": SECRET}) as c:
        p = Place(c)
        yield p
        p.good()
        p.back()


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + " ", SECRET.upper()])
def test_bad_input_a_peer_without_the_secret(secret_place, secret):
    p = secret_place
    quiet(p)
    before = p.a.log_text().count("cluster_secret doesn't match")
    with p.dial(secret=secret) as peer, pytest.raises(lp.Refused, match="cluster_secret doesn't match"):
        peer.link()
    assert p.a.log_text().count("cluster_secret doesn't match") == before + 1
    p.good()


@pytest.mark.parametrize("forge", ["replayed", "reflected", "other id", "short", "long", "none"])
def test_bad_input_forged_proofs(secret_place, forge):
    """What was a proof elsewhere is none here."""
    p = secret_place
    with p.dial(secret=SECRET).link() as good:
        old = good.proof()
    with p.dial(secret=SECRET) as peer:
        peer.challenge = good.challenge
        peer.greet()
        right = peer.proof()
        proof = {"replayed": old, "reflected": peer.theirs[9], "short": right[:-1], "long": right + b"x", "none": b"",
                 "other id": peer.prove("sender", NOBODY, peer.theirs[3].decode(), peer.challenge,
                                        peer.theirs[8])}[forge]
        peer.send(lp.frame(lp.PROOF, lp.message((1, proof))))
        with pytest.raises(lp.Refused, match="cluster_secret doesn't match|proof of 33 bytes"):
            peer.expect(lp.WELCOME)
    p.dial(secret=SECRET).link().sock.close()
    p.good()


@pytest.mark.parametrize("secret", ["", "wrong", SECRET])
def test_bad_input_whoever_answers_must_prove_it_too(secret_place, secret):
    """A node gives neither its proof nor a write to somebody who can't."""
    p = secret_place
    with listen(p) as server:
        with dialled_by_a(p, server, secret=secret) as peer:
            peer.send(lp.frame(lp.CHALLENGE, peer.answer_hello(peer.hello_seen)))
            if secret == SECRET:
                proof = lp.parse(peer.expect(lp.PROOF)[2])[1]
                assert proof == peer.prove("sender", peer.hello_seen[3].decode(), peer.id, peer.hello_seen[9],
                                           peer.challenge)
                return
            with pytest.raises(lp.Refused, match="cluster_secret doesn't match"):
                peer.expect(lp.PROOF)
    said(p, "cluster_secret doesn't match")
    p.good()


# ---- frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"\xff" * 64, os.urandom(2000), b"\x08" + b"\x80" * 30,
                                     b"\x12\xff\xff\xff\xff\x0f", bytes(60000)],
                         ids=["none", "ones", "random", "varint", "length", "zeros"])
def test_bad_input_malformed_greetings_and_proofs(place, payload):
    with place.dial() as peer:
        peer.send(lp.frame(lp.HELLO, payload))
        with pytest.raises(lp.Refused, match="handshake: "):
            peer.expect(lp.CHALLENGE)
    with place.dial() as peer:
        peer.greet()
        peer.send(lp.frame(lp.PROOF, payload))
        with pytest.raises(lp.Refused, match="handshake: malformed proof|this node has none|proof of"):
            peer.expect(lp.WELCOME)
            peer.expect(lp.WELCOME)
    place.good()


def test_bad_input_any_kind_before_the_handshake(place):
    for kind in [k for k in range(256) if k not in (lp.HELLO, lp.REFUSE)]:
        with place.dial() as peer:
            peer.send(lp.frame(kind, b"x" * 8, seq=kind))
            why = "doesn't gossip" if kind == lp.GOSSIP else "a frame that doesn't belong here"
            with pytest.raises(lp.Refused, match=why):
                peer.receive()
    with place.dial() as peer, pytest.raises(lp.Ended):
        peer.send(lp.frame(lp.REFUSE, b"\xff\xff"))
        peer.receive()
    place.good()


def test_bad_input_any_kind_after_the_handshake(place):
    allowed = (lp.WRITE, lp.SKIP, lp.PACKED, lp.READ, lp.INSPECT, lp.EXECUTE, lp.COPY, lp.MEND, lp.BEAT, lp.REFUSE)
    for kind in [k for k in range(256) if k not in allowed][::9] + [lp.HELLO, lp.PROOF, lp.WELCOME, lp.ACK]:
        with place.dial().link() as peer:
            peer.send(lp.frame(kind, b"x" * 8, seq=kind))
            with pytest.raises(lp.Refused, match="a frame that doesn't belong here"):
                peer.expect(-1)
    place.good()


def test_bad_input_what_peers_are_not_asked_to_execute(place):
    commands = [b"", b"\xff" * 8, b"PING\r\n", lp.resp("SET", "k", "v"), lp.resp("GET", "k"), lp.resp("SPOP"), lp.resp("SPOP", "__dynomited:seq"),
                lp.resp("NONSENSE", "k"), lp.resp("EVAL", "return 1", "99999999999", "k")]
    with place.dial().link() as peer:
        for i, command in enumerate(commands):
            for level in (0, 3, 4, 0xffff):
                peer.send(lp.frame(lp.EXECUTE, command, seq=10 * i + level % 10, tag=level))
                answer = peer.expect(lp.READ_REPLY)
                assert answer[2].startswith(b"-"), (command, level, answer)
    place.good()


@pytest.mark.parametrize("broken,reason", [
    (struct.pack("<IIBBHIQQQ", 0xffffffff, 0, 1, 0, 0, 0, 1, 1, 1), "doesn't speak the link protocol"),
    (struct.pack("<IIBBHIQQQ", 39, 0, 1, 0, 0, 0, 1, 1, 1), "doesn't speak the link protocol"),
    (lp.frame(lp.BEAT)[:-1] + b"\x01", "wrong checksum")], ids=["4 GB", "39 bytes", "checksum"])
def test_bad_input_broken_frames_after_the_handshake(place, broken, reason):
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "before", "1")
        peer.acked(first)
        quiet(place)
        peer.send(broken)
        with pytest.raises(lp.Refused, match=reason):
            peer.expect(-1)
    assert place.a.client().get("before") == b"1"
    said(place, reason)
    place.good()


def test_bad_input_half_a_write_after_the_handshake(place):
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "half", "whole")
        peer.acked(first)
        peer.send(lp.frame(lp.WRITE, lp.resp("SET", "half", "cut"), seq=first + 1,
                           stamp=lp.stamp_now())[:-3])
    with place.dial().link() as peer:
        assert peer.applied == first
    assert place.a.client().get("half") == b"whole"
    place.good()


def test_bad_input_a_copy_of_a_live_id(place):
    """The one that started later stays; both are told."""
    with place.dial().link() as live:
        with place.dial(mark=place.mark() - 1) as copy:
            with pytest.raises(lp.Refused, match="data_dir was copied"):
                copy.link()
        said(place, "data_dir was copied")
        first = live.numbers()
        live.write(first, "SET", "live", "1")
        live.acked(first)
        with place.dial(mark=place.mark() + 1).link():
            with pytest.raises(lp.Refused, match="started later"):
                live.expect(-1)
    place.good()


# ---- numbers ------------------------------------------------------------------------------------------


def test_bad_input_numbers_with_holes(place):
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "n1", "1")
        peer.write(first + 2, "SET", "n3", "1")
        peer.write(first + 5, "SET", "n6", "1")
        assert peer.expect(lp.REWIND)[1] == first
        assert place.a.client().mget("n1", "n3", "n6") == [b"1", None, None]
        for i in range(1, 6):
            peer.write(first + i, "SET", f"n{i + 1}", "2")
        peer.acked(first + 5)
        assert place.a.client().mget("n1", "n3", "n6") == [b"1", b"2", b"2"]
    place.good()


def test_bad_input_old_numbers_have_no_second_effect(place):
    place.a.client().delete("counted")
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "INCR", "counted")
        peer.acked(first)
        for seq in (first, first - 1, 1, 0):
            peer.write(seq, "INCR", "counted")
            assert peer.expect(lp.ACK)[1] == first
        peer.skip(first - 5, first - 1)
        assert peer.expect(lp.ACK)[1] == first
        peer.write(first + 1, "INCR", "counted")
        peer.acked(first + 1)
        assert place.a.client().get("counted") == b"2"
    place.good()


@pytest.mark.parametrize("seq", [lp.U64, 1 << 63, "next mark"])
@pytest.mark.parametrize("kind", ["write", "skip"])
def test_bad_input_numbers_that_the_sender_cant_have_given(place, kind, seq):
    """Were one of them believed, everything that the real node sends later would look old."""
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "sane", "1")
        peer.acked(first)
        seq = (peer.mark + 1 << 32) + 1 if seq == "next mark" else seq
        quiet(place)
        if kind == "skip":
            peer.skip(first, seq)
        else:
            peer.write(seq, "SET", "insane", "1")
        with pytest.raises(lp.Refused, match="above its start mark"):
            peer.expect(-1)
    said(place, f"number {seq:x} found, above its start mark")
    with place.dial().link() as peer:
        assert peer.applied == first
    assert place.a.client().mget("sane", "insane") == [b"1", None]
    place.good()


@pytest.mark.parametrize("payload", [b"", b"1234567", b"123456789", struct.pack("<Q", lp.U64)],
                         ids=["none", "7 bytes", "9 bytes", "backwards"])
def test_bad_input_skips_that_make_no_sense(place, payload):
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "skipped", "1")
        peer.acked(first)
        peer.send(lp.frame(lp.SKIP, payload, seq=first + 10))
        with pytest.raises(lp.Refused, match="a skip of"):
            peer.expect(-1)
    with place.dial().link() as peer:
        assert peer.applied == first, "its number wasn't taken"
    place.good()


def test_bad_input_a_skip_from_the_future_asks_back(place):
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "s", "1")
        peer.skip(first + 3, first + 10)
        assert peer.expect(lp.REWIND)[1] == first
        peer.skip(first - 3, first + 10)
        peer.write(first + 11, "SET", "s", "2")
        peer.acked(first + 11)
    assert place.a.client().get("s") == b"2"
    place.good()


# ---- writes -------------------------------------------------------------------------------------------


def test_bad_input_a_stamp_from_the_future_doesnt_move_the_clock(place):
    hour = 3600 * 1000
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "future", "1", stamp=lp.stamp_now(hour))
        peer.write(first + 1, "SET", "far", "1", stamp=lp.U64)
        peer.acked(first + 1)
    c = place.a.client()
    assert c.mget("future", "far") == [b"1", b"1"], "it is applied all the same"
    for key in ("now", "other"):
        c.set(key, "1")
        stamp = place.a.admin("key", key)["replicas"][0]["stamp"]
        assert abs((stamp >> 16) - (lp.stamp_now() >> 16)) < 10000, "the clock followed"
    place.good()


def test_bad_input_a_deadline_in_the_past_is_the_senders_business(place):
    with place.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "late", "1", deadline=1)
        peer.acked(first)
    assert place.a.client().get("late") == b"1"


ITS_OWN_FAULT = [lp.resp("SET", "kept", "2", "NOPE")]  # an error that the command causes: applied, like any


@pytest.mark.parametrize("payload", [b"", b"junk", b"*1\r\n$-5\r\n", b"*2\r\n$3\r\nSET\r\n", b"*0\r\n",
                                     lp.resp("FROBNICATE", "k"), lp.resp("GET", "kept"),
                                     lp.resp("PING"), lp.resp("MULTI"), lp.resp("SHUTDOWN"),
                                     lp.resp("BLPOP", "kept", "0"), lp.resp("SPOP", "kept"),
                                     lp.resp("SCRIPT", "KILL"), lp.resp("DBSIZE"), lp.resp("SET", "kept"),
                                     lp.resp("SET", "__dynomited:seq", "1"),
                                     lp.resp("DEL", "kept", "__dynomited:seq"),
                                     lp.resp("SET", "kept", "2", "NOPE")],
                         ids=lambda p: p if isinstance(p, str) else p.decode().replace("\r\n", " "))
@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_bad_input_what_isnt_a_write_is_passed_over(place, redis_place, store, payload):
    """It has no effect, it is said, and the writes before and behind it have theirs."""
    p = place if store == "embedded" else redis_place
    before = p.a.log_text().count("passed over")
    with p.dial().link() as peer:
        first = peer.numbers()
        peer.write(first, "SET", "kept", "1")
        peer.send(lp.frame(lp.WRITE, payload, seq=first + 1, stamp=lp.stamp_now(), flags=lp.WANT_REPLY))
        peer.write(first + 2, "SET", "behind", first)
        peer.acked(first + 2)
    assert p.a.log_text().count("passed over") == before + (payload not in ITS_OWN_FAULT)
    assert p.a.client().mget("kept", "behind") == [b"1", b"%d" % first]
    p.good()


@pytest.fixture(scope="module")
def redis_place():
    with rig.Cluster(3, store="redis", flags=rig.STATIC) as c:
        p = Place(c)
        yield p
        for backend in c.backends:
            assert backend.client().ping()
        p.good()
        p.back()


# ---- storms -------------------------------------------------------------------------------------------


def test_bad_input_a_storm_of_reads_and_wanted_replies_never_read(place):
    """The link is closed before what it doesn't take fills the memory."""
    a = place.a
    a.client().set("fat", "x" * 100000)
    before = resident_mb(a)
    with place.dial().link() as peer:
        first = peer.numbers()
        reads = b"".join(lp.frame(lp.READ, lp.resp("GET", "fat"), seq=i) for i in range(1, 100))
        flood(peer.sock, reads, 4 * MB)
        assert resident_mb(a) < before + 250
        place.good()
    rig.wait_until(lambda: resident_mb(a) < before + 150, "the memory is given back")
    with place.dial().link() as peer:
        writes = b"".join(lp.frame(lp.WRITE, lp.resp("GETSET", "fat", "y" * 1000), seq=first + i,
                                   stamp=lp.stamp_now(), flags=lp.WANT_REPLY) for i in range(3000))
        flood(peer.sock, writes, len(writes))
        place.good()
    a.client().delete("fat")
    place.good()


def test_bad_input_a_wrong_promise_of_hints_ends(place):
    """A peer that says it holds hints up to a number it can't have: refused, not STANDBY for half a minute."""
    with place.dial(hints_upto=lp.U64) as peer, pytest.raises(lp.Refused, match="above its start mark"):
        peer.link()
    assert place.a.state() == "NORMAL"
    place.good()


# ---- the other direction: it answers where node 1 dials -----------------------------------------------


def listen(place):
    server = socket.create_server(("127.0.0.1", place.d.peer_port))
    server.settimeout(15)
    return server


def accept(place, server, **who):
    sock, _ = server.accept()
    return lp.Link(sock, who.pop("node_id", place.id), **who)


def dialled_by_a(place, server, **who):
    """The link of node 1; node 2 dials too and is sent away."""
    with place.dial(secret=place.a.flags.get("cluster-secret", "")).link():
        pass  # it dials back at once whoever greets it
    while True:
        peer = accept(place, server, **who)
        hello = lp.parse(peer.expect(lp.HELLO)[2])
        if hello[6] == b"rack1":
            peer.hello_seen = hello
            return peer
        peer.sock.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(64), os.urandom(4096),
                                    b"-ERR unknown command\r\n" + bytes(40),
                                    struct.pack("<II", 0xffffffff, 0) + bytes(64),
                                    lp.frame(lp.CHALLENGE, b"\xff" * 30), lp.frame(lp.WELCOME),
                                    lp.frame(lp.ACK, seq=1)],
                         ids=["http", "random", "redis", "4 GB", "challenge", "welcome", "ack"])
def test_bad_input_whoever_answers_where_the_peer_should_be(place, answer):
    with listen(place) as server:
        peer = dialled_by_a(place, server)
        with peer:
            peer.send(answer)
            with pytest.raises((lp.Refused, lp.Ended)):
                while True:
                    peer.receive()
    assert place.a.states_of_peers().count("DOWN") == 1
    place.good()


def test_bad_input_a_new_id_at_the_place_of_a_linked_node_is_refused(place):
    """Whether it greets or answers."""
    with place.dial() as linked, place.dial(node_id=NOBODY) as other:
        linked.link()
        with pytest.raises(lp.Refused, match="at a place that belongs to node"):
            other.link()
    with listen(place) as server, dialled_by_a(place, server, node_id=NOBODY) as other:
        with place.dial() as linked:
            linked.link()
            other.send(lp.frame(lp.CHALLENGE, other.answer_hello(other.hello_seen)))
            with pytest.raises(lp.Refused, match="at a place that belongs to node"):
                other.expect(lp.PROOF)
    place.good()


@pytest.mark.parametrize("who,reason", [
    ({"cluster": "elsewhere"}, "cluster 'elsewhere' found; allowed 'test'"),
    ({"protocol": 9}, "protocol version 9 found; allowed 1"),
    ({"tokens": [5]}, "with other tokens")])
def test_bad_input_answers_of_somebody_else_are_refused(place, who, reason):
    with listen(place) as server:
        with dialled_by_a(place, server, **who) as peer:
            peer.send(lp.frame(lp.CHALLENGE, peer.answer_hello(peer.hello_seen)))
            with pytest.raises(lp.Refused) as no:
                peer.expect(lp.PROOF)
            assert reason in str(no.value)
    said(place, reason)
    place.good()


def welcomed(place, server, applied=None, state=2):
    """Node 1's sender is let in; its log for the place begins at its first frame."""
    peer = dialled_by_a(place, server)
    peer.send(lp.frame(lp.CHALLENGE, peer.answer_hello(peer.hello_seen)))
    peer.expect(lp.PROOF)
    if applied is None:
        applied = 0
    peer.send(lp.frame(lp.WELCOME, lp.message((1, applied), (2, state), (3, 1))))
    return peer


@pytest.mark.parametrize("lie", ["ack", "welcome", "rewind", "state"])
def test_bad_input_acknowledging_what_was_never_sent(place, lie):
    """Nothing that is held for the peer may go because somebody says a large number."""
    place.a.client().set(f"held-{lie}", "1")
    held = place.a.pending()
    assert held > 0
    with listen(place) as server:
        with welcomed(place, server, lp.U64 if lie == "welcome" else None) as peer:
            if lie == "ack":
                peer.send(lp.frame(lp.ACK, seq=lp.U64))
            elif lie == "rewind":
                peer.send(lp.frame(lp.REWIND, seq=lp.U64))
            elif lie == "state":
                peer.send(lp.frame(lp.STATE, lp.message((1, 2), (2, 0), (3, lp.U64))),
                          lp.frame(lp.STATE, lp.message((1, 2), (2, 1), (3, lp.U64))))
            with pytest.raises((lp.Refused, lp.Ended)):
                while True:
                    peer.receive()
    said(place, "never sent")
    assert place.a.pending() >= held
    place.good()
    place.back(f"held-{lie}")


def test_bad_input_replies_that_nobody_waits_for(place):
    with listen(place) as server:
        with welcomed(place, server) as peer:
            for seq in (0, 1, lp.U64):
                peer.send(lp.frame(lp.REPLY, b"+OK\r\n", seq=seq), lp.frame(lp.REPLY, b"", seq=seq),
                          lp.frame(lp.READ_REPLY, b"$1\r\nx\r\n", seq=seq), lp.frame(lp.BEAT, seq=seq))
            peer.send(lp.frame(lp.STATE, lp.message((1, 77), (2, 1), (3, 0))))
            with pytest.raises((lp.Refused, lp.Ended)):
                while True:
                    peer.receive()
    said(place, "node state 77")
    place.good()


def mend(command, stamp, tag=1, upto=None):
    """A LinkMend: a copy whose cut is its last overwrite, or the given one."""
    return lp.message((1, command), (2, stamp), (3, tag), (4, 0), (5, 0), (6, upto or stamp), (7, tag))


def test_bad_mends(place):
    """A copy is SET, DEL or RESTORE as a store gives it, of a client's key; anything else isn't taken, and the link
    goes on."""
    now = lp.stamp_now()
    keep = [("SET", "mend", "kept"), ("SET", "mend:lives", "kept", "PXAT", "4000000000000")]
    refused = [lp.resp(*words) for words in [
        ("SET", "__dynomited:seq", "1"), ("DEL", "__dynomited:seq"), ("DEL", "mend", "mend:lives"), ("SET", "mend", "x", "NX"),
        ("SET", "mend", "x", "EX", "1"), ("SET", "mend", "x", "PXAT"), ("SET", "mend", "x", "KEEPTTL", "x"), ("APPEND", "mend", "x"),
        ("INCR", "mend"), ("GETDEL", "mend"), ("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1"), ("GET", "mend"), ("EVAL", "x", "0"),
        ("RESTORE", "mend", "0", "x"), ("RESTORE", "mend", "0", "x", "ABSTTL", "REPLACE"), ("RESTORE", "mend", "0", "x", "REPLACE", "ABSTTL"),
        ("RENAME", "mend", "mend:lives"), ("MSET", "mend", "x"), ()]]
    refused += [b"", b"*", b"*1\r\n", b"*3\r\n$3\r\nSET\r\n$4\r\nmend\r\n$9999\r\nx\r\n", b"SET mend x\r\n", os.urandom(100)]
    with place.dial().link() as link:
        def ask(kind, payload, tag=0):
            link.count = getattr(link, "count", 0) + 1
            link.send(lp.frame(kind, payload, seq=link.count, tag=tag))
            _, seq, reply, flags = link.expect(lp.READ_REPLY)
            assert seq == link.count
            return reply, flags
        for words in keep:
            assert ask(lp.MEND, mend(lp.resp(*words), now)) == (b"+OK\r\n", 0)
        for command in refused:
            reply, flags = ask(lp.MEND, mend(command, now + 1))
            assert reply.startswith(b"-ERR"), (command, reply, flags)
        for payload in (b"", b"\xff", os.urandom(50), lp.message((1, lp.resp("DEL", "mend")))):
            assert ask(lp.MEND, payload)[0].startswith(b"-ERR"), payload
        assert ask(lp.MEND, mend(lp.resp("SET", "mend", "x"), now, 1, (1 << 64) - 1))[0] == b"+NEWER\r\n", "nobody knows so much"
        assert ask(lp.COPY, b"__dynomited:seq")[1] == lp.FAILED
        for key in (b"", b"mend", os.urandom(1000), b"x" * 100000):
            reply, flags = ask(lp.COPY, key, 0xffff)
            copy = lp.parse(reply)
            assert flags == 0 and copy[1] == (key == b"mend") and copy[14].startswith(b"*")
    assert place.a.client().mget("mend", "mend:lives") == [b"kept", b"kept"]
    place.good()
