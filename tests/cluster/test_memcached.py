"""A memcached behind each node: what is replicated, what a hint brings, what is counted when something is killed, and
that a unique is compared at one place."""
import socket
import socketserver
import subprocess
import threading

import pytest
import rig

QUORUM = {"read-consistency": "DC_QUORUM", "write-consistency": "DC_QUORUM"}


class Raw:
    """One connection that speaks meta commands, to a node or to a memcached."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 15)
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.stream.close()
        self.socket.close()

    def ask(self, line, value=None):
        """(code, flags, value)"""
        self.socket.sendall(line.encode() + b"\r\n" + (b"" if value is None else value + b"\r\n"))
        words = self.stream.readline().decode().split()
        if not words or words[0].endswith("ERROR"):
            return words[0] if words else "", " ".join(words[1:]), None
        if words[0] != "VA":
            return words[0], words[1:], None
        found = self.stream.read(int(words[1]) + 2)[:-2]
        return "VA", words[2:], found

    def set(self, key, value, *flags):
        return self.ask(" ".join(["ms", key, str(len(value)), *flags]), value)[0]

    def get(self, key):
        return self.ask(f"mg {key} v")[2]

    def incr(self, key, by=1):
        return int(self.ask(f"ma {key} D{by} v")[2])

    def gets(self, key):
        code, flags, value = self.ask(f"mg {key} c v")
        return (flags[0][1:], value) if code == "VA" else (None, None)


def raw(server):
    return Raw(server.client_port if isinstance(server, rig.Node) else server.port)


def stored(backend, key):
    with raw(backend) as c:
        return c.get(key)


def number(backend, key):
    return int(stored(backend, key) or 0)


def ambiguous(node):
    return node.metrics()["dynomite_ambiguous_total"]


def test_memcached_replicates():
    """What is written through one node is on all three, with its flags and its lifetime."""
    with rig.Cluster(store="memcache", flags=QUORUM) as cluster:
        one, two, _ = [raw(n) for n in cluster.nodes]
        assert one.set("k", b"value", "F77", "T1000") == "HD"
        assert one.set("gone", b"x") == "HD"
        assert two.ask("md gone")[0] == "HD"
        assert one.set("n", b"5") == "HD"
        assert [two.incr("n"), one.incr("n", 10)] == [6, 16]
        assert two.set("k", b"!", "MA") == "HD"
        assert two.set("k", b"no", "ME") == "NS"
        assert one.set("", b"") != "HD"
        rig.wait_until(lambda: all(number(b, "n") == 16 and stored(b, "k") == b"value!" and stored(b, "gone") is None
                                   for b in cluster.backends), "all have it")
        for backend in cluster.backends:
            with raw(backend) as c:
                code, (flags, lifetime), _ = c.ask("mg k f t")
                assert (code, flags) == ("HD", "f77") and 900 < int(lifetime[1:]) <= 1010
        assert len(set(rig.copies(cluster.nodes[0], "k"))) == 1
        assert rig.copies(cluster.nodes[0], "k")[0][:3] == (True, "value", 6)
        assert {n.admin("status")["node"]["data_store"] for n in cluster.nodes} == {"memcache"}
        assert [ambiguous(n) for n in cluster.nodes] == [0, 0, 0]


def test_memcached_counts_exactly_while_nothing_breaks():
    """Three clients at three nodes at once."""
    with rig.Cluster(store="memcache") as cluster:
        clients = [raw(n) for n in cluster.nodes]
        assert clients[0].set("n", b"0") == "HD"
        rig.wait_until(lambda: all(stored(b, "n") == b"0" for b in cluster.backends), "all have it")
        threads = [threading.Thread(target=lambda c=c: [c.incr("n") for _ in range(300)]) for c in clients]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        rig.wait_until(lambda: all(number(b, "n") == 900 for b in cluster.backends), "all have counted to 900")
        assert sum(ambiguous(n) for n in cluster.nodes) == 0


def test_memcached_levels_and_hints():
    """A node is killed: quorums hold without it, it gets its hints in order when it is back. Two are: they don't."""
    with rig.Cluster(store="memcache", flags={**QUORUM, "sloppy-quorum": "false"}) as cluster:
        a, b, c = cluster.nodes
        with raw(a) as client:
            client.set("n", b"0")
            c.kill()
            rig.down(a)
            for i in range(200):
                assert client.set(f"k{i}", b"%d" % i) == "HD"
                assert client.set("last", b"%d" % i) == "HD"
                assert client.incr("n") == i + 1
            assert client.ask("md k7")[0] == "HD"
            b.kill()
            rig.down(a, 2)
            code, text, _ = client.ask("mg k1 v")
            assert code == "SERVER_ERROR" and text.startswith("NOQUORUM 1 of 2 "), text
            code, text, _ = client.ask("ms k1 1", b"x")
            assert code == "SERVER_ERROR" and "; nothing was written" in text, text
            b.start()
            c.start()
            cluster.wait_linked()
            cluster.wait_delivered()
        backend = cluster.backends[2]
        assert [stored(backend, f"k{i}") for i in (0, 1, 7, 199)] == [b"0", b"1", None, b"199"]
        assert (stored(backend, "last"), number(backend, "n")) == (b"199", 200)
        assert [ambiguous(a), ambiguous(b)] == [0, 0] and ambiguous(c) <= 1  # the first write, which two had


def test_memcached_old_hint_never_beats_a_newer_value():
    with rig.Cluster(store="memcache") as cluster:
        a, b, c = cluster.nodes
        ident = c.admin("status")["node"]["id"]
        a.admin("hints", "pause", ident)
        with raw(a) as one, raw(b) as two:
            assert one.set("k", b"old") == "HD" and one.ask("md l")[0] in ("HD", "NF")
            assert two.set("k", b"new") == "HD" and two.set("l", b"new") == "HD"
        rig.wait_until(lambda: stored(cluster.backends[2], "l") == b"new", "the new values are there")
        a.admin("hints", "resume", ident)
        cluster.wait_delivered()
        assert [stored(cluster.backends[2], k) for k in "kl"] == [b"new", b"new"]
        assert c.metrics()["dynomite_stale_dropped_total"] == 2


def test_memcached_flush():
    """All nodes are emptied, one that is away when it is back; what came before the flush doesn't come back, what came
    behind it is there."""
    with rig.Cluster(store="memcache", flags={"allow-flush": "true"}) as cluster:
        a, b, c = cluster.nodes
        with raw(a) as one, raw(b) as two:
            assert one.set("k", b"old") == "HD"
            rig.wait_until(lambda: stored(cluster.backends[2], "k") == b"old", "it is on the third")
            c.kill()
            rig.down(a)
            rig.down(b)
            assert one.set("l", b"old") == "HD"
            assert two.ask("flush_all")[0] == "OK"
            assert two.set("m", b"new") == "HD"
        c.start()
        cluster.wait_linked()
        cluster.wait_delivered()
        for backend in cluster.backends:
            assert [stored(backend, k) for k in "klm"] == [None, None, b"new"]


class Counting(threading.Thread):
    """Increments keys of its own through one node until it is told to stop; says how many were answered, and how many
    weren't."""

    def __init__(self, node, key):
        super().__init__(daemon=True)
        self.client, self.key = raw(node), key
        self.client.set(key, b"0")
        self.answered = self.unknown = 0
        self.ended = False

    def run(self):
        while not self.ended:
            try:
                code = self.client.ask(f"ma {self.key} v")[0]
            except OSError:
                code = ""
            self.answered += code == "VA"
            self.unknown += code != "VA"
            if not code:
                return

    def goes_on(self, n=100):
        before = self.answered
        rig.wait_until(lambda: self.answered >= before + n, f"{self.key} goes on")

    def stop(self):
        self.ended = True
        self.join()


def test_memcached_and_its_node_killed():
    """kill -9 of a node: what it was doing is done again and counted, so each replica has what was answered, and at most
    so many more. kill -9 of a memcached: clients don't notice, it comes back empty, and the node says so."""
    with rig.Cluster(store="memcache", flags=QUORUM) as cluster:
        a, _, c = cluster.nodes
        counting = Counting(a, "n")
        counting.start()
        again = 0
        for _ in range(3):
            counting.goes_on()
            again += ambiguous(c)
            c.kill()
            counting.goes_on()
            c.start()
            rig.wait_until(lambda: c.state() == "NORMAL", "it is NORMAL", 40)
        counting.goes_on()
        counting.stop()
        cluster.wait_linked()
        cluster.wait_delivered()
        assert counting.unknown == 0
        assert [number(b, "n") for b in cluster.backends[:2]] == [counting.answered] * 2
        again += ambiguous(c)
        assert counting.answered <= number(cluster.backends[2], "n") <= counting.answered + again
        assert not c.admin("status")["node"]["needs_repair"]

        counting = Counting(a, "m")
        counting.start()
        counting.goes_on()
        cluster.backends[2].kill()
        counting.goes_on()
        assert "dynomite_backend_up 0" in c.http("/metrics")
        with raw(c) as client:
            assert client.ask("mg k v")[0] == "EN"  # of the others
        cluster.backends[2].start()
        rig.wait_until(lambda: c.metrics()["dynomite_backend_up"], "its store is up")
        counting.goes_on()
        counting.stop()
        cluster.wait_linked()
        cluster.wait_delivered()
        assert [number(b, "m") for b in cluster.backends[:2]] == [counting.answered] * 2
        assert "has started anew and is empty" in c.log_text()
        rig.wait_until(lambda: c.admin("status")["node"]["needs_repair"], "it needs repair")
        c.admin("repaired", c.admin("status")["node"]["id"])
        assert not c.admin("status")["node"]["needs_repair"]


def test_memcached_whose_coordinator_is_killed():
    """Its own store catches up from its own log; all have what was answered, and perhaps the one that wasn't."""
    with rig.Cluster(store="memcache", flags=QUORUM) as cluster:
        a = cluster.nodes[0]
        counting = Counting(a, "n")
        counting.start()
        counting.goes_on(300)
        a.kill()
        counting.stop()
        assert counting.unknown == 1
        a.start()
        cluster.wait_linked()
        cluster.wait_delivered()
        n = [number(b, "n") for b in cluster.backends]
        assert counting.answered <= n[1] == n[2] <= counting.answered + 1
        assert n[1] <= n[0] <= n[1] + ambiguous(a)
        assert not a.admin("status")["node"]["needs_repair"]


def test_memcached_that_hangs():
    """What was sent to it is sent again, and counted: the counter is off by no more than that."""
    with rig.Cluster(store="memcache", flags={**QUORUM, "timeout": "1000"}) as cluster:
        a, _, c = cluster.nodes
        counting = Counting(a, "n")
        counting.start()
        counting.goes_on()
        rig.freeze(cluster.backends[2].process)
        rig.wait_until(lambda: not c.metrics()["dynomite_backend_up"], "its store is down")
        counting.goes_on()
        cluster.backends[2].process.send_signal(subprocess.signal.SIGCONT)
        rig.wait_until(lambda: c.metrics()["dynomite_backend_up"], "its store is up")
        counting.goes_on()
        counting.stop()
        cluster.wait_linked()
        cluster.wait_delivered()
        again = ambiguous(c)
        assert again > 0
        assert counting.answered <= number(cluster.backends[2], "n") <= counting.answered + again
        assert [number(b, "n") for b in cluster.backends[:2]] == [counting.answered] * 2
        assert not c.admin("status")["node"]["needs_repair"]  # it is the same one


def test_memcached_uniques():
    """A unique told by one node is compared through another; of those who compare the same one, one wins."""
    with rig.Cluster(store="memcache", flags=QUORUM) as cluster:
        one, two, three = [raw(n) for n in cluster.nodes]
        assert one.set("k", b"v") == "HD"
        unique, value = two.gets("k")
        assert value == b"v"
        assert three.set("k", b"w", "C" + unique) == "HD"
        assert one.set("k", b"x", "C" + unique) == "EX"
        assert one.set("no", b"x", "C" + unique) == "NF"
        assert two.ask(f"md k C{unique}")[0] == "EX"
        rig.wait_until(lambda: all(stored(b, "k") == b"w" for b in cluster.backends), "all have it")
        code, flags, _ = one.ask("ms k 1 c", b"y")
        assert code == "HD" and two.ask(f"md k {flags[0].upper()}")[0] == "HD"
        rig.wait_until(lambda: all(stored(b, "k") is None for b in cluster.backends), "it is gone everywhere")

        assert one.set("n", b"0") == "HD"

        def count(client):
            done = 0
            while done < 30:
                unique, value = client.gets("n")
                done += client.set("n", b"%d" % (int(value) + 1), "C" + unique) == "HD"

        threads = [threading.Thread(target=count, args=(c,)) for c in (one, two, three)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(40)
        rig.wait_until(lambda: [number(b, "n") for b in cluster.backends] == [90] * 3, "all have counted to 90")


def unread(backend):
    """Bytes that lie before a memcached on one connection, at most."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    return max((int(r[4].split(":")[1], 16) for r in rows if int(r[1].split(":")[1], 16) == backend.port), default=0)


def test_memcached_dies_with_a_cas():
    """Where a cas was on its way to a memcached that has lost everything, the others keep what they have."""
    with rig.Cluster(store="memcache", flags=QUORUM) as cluster:
        first, others = cluster.backends[0], cluster.backends[1:]
        one, two, _ = [raw(n) for n in cluster.nodes]
        assert one.set("k", b"v") == "HD"
        rig.wait_until(lambda: all(stored(b, "k") == b"v" for b in cluster.backends), "all have it")
        unique, _ = two.gets("k")
        rig.freeze(first.process)
        answers = []
        cas = threading.Thread(target=lambda: answers.append(one.ask(f"ms k 100 C{unique}", b"w" * 100)))
        cas.start()
        rig.wait_until(lambda: unread(first) > 100, "it lies before the memcached")
        first.kill()
        cas.join(30)
        assert answers[0][0] == "SERVER_ERROR" and "nothing was written" not in answers[0][1], answers
        first.start()
        node = cluster.nodes[0]
        rig.wait_until(lambda: node.metrics()["dynomite_backend_up"], "its store is up")
        assert "may lack what 'MS' did" in node.log_text()
        assert two.set("last", b"1") == "HD"
        cluster.wait_linked()
        cluster.wait_delivered()
        # what is lost is looked up before a command behind it runs
        rig.wait_until(lambda: one.ask(f"ms last 1 C{one.gets('last')[0]}", b"2")[0] == "HD", "a cas goes through",
                       40)
        rig.wait_until(lambda: all(stored(b, "last") == b"2" for b in others), "they have that")
        assert [stored(b, "k") for b in others] == [b"v"] * 2


def test_node_dies_with_a_cas():
    """Its memcached has done it, and nobody was told: the others get what there is."""
    with rig.Cluster(store="memcache", flags=QUORUM) as cluster:
        node, first = cluster.nodes[0], cluster.backends[0]
        with raw(cluster.nodes[1]) as two:
            assert two.set("k", b"v") == "HD"
            rig.wait_until(lambda: all(stored(b, "k") == b"v" for b in cluster.backends), "all have it")
            unique, _ = two.gets("k")
            rig.freeze(first.process)
            two.socket.sendall(f"ms k 100 C{unique}\r\n".encode() + b"w" * 100 + b"\r\n")
            rig.wait_until(lambda: unread(first) > 100, "it lies before the memcached")
            node.kill()
            first.process.send_signal(subprocess.signal.SIGCONT)
            rig.wait_until(lambda: stored(first, "k") == b"w" * 100, "it has it")
            node.start()
            rig.wait_until(lambda: all(stored(b, "k") == b"w" * 100 for b in cluster.backends), "all have it", 20)


def test_memcached_read_repair():
    """What one memcached has forgotten comes back when it is read."""
    with rig.Cluster(store="memcache", flags={**QUORUM, "read-repairs-enabled": "true"}) as cluster:
        with raw(cluster.nodes[0]) as c:
            for i in range(20):
                assert c.set(f"k{i}", b"v%d" % i, "F5", "T1000") == "HD"
            cluster.wait_delivered()
            rig.wait_until(lambda: all(stored(b, "k19") for b in cluster.backends), "all have them")
            with raw(cluster.backends[0]) as b:
                for i in range(20):
                    assert b.ask(f"md k{i}")[0] == "HD"

            def repaired():
                """As long as its stamp is known there and no more elsewhere, nothing is taken for newer: a miss."""
                assert all(c.get(f"k{i}") in (None, b"v%d" % i) for i in range(20))
                return all(stored(cluster.backends[0], f"k{i}") == b"v%d" % i for i in range(20))

            with raw(cluster.nodes[1]) as c:  # one that has written nothing
                rig.wait_until(repaired, "it has them again", 40)
                assert [c.get(f"k{i}") for i in range(20)] == [b"v%d" % i for i in range(20)]
        with raw(cluster.backends[0]) as b:
            _, (flags, lifetime), _ = b.ask("mg k3 f t")
            assert flags == "f5" and 900 < int(lifetime[1:]) <= 1010


class Impostor(socketserver.ThreadingTCPServer):
    """Answers each line with the same."""
    daemon_threads = True

    def __init__(self, answer):
        self.answer = answer
        super().__init__(("127.0.0.1", 0), Impostor.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            for _ in self.rfile:
                self.wfile.write(self.server.answer)
                self.wfile.flush()


def test_memcached_too_old_is_exit_2(tmp_path):
    with Impostor(b"VERSION 1.5.22\r\n") as server:
        node = rig.Node(str(tmp_path), "node", rig.free_ports(3),
                        {"data-store": "memcache", "servers": f"127.0.0.1:{server.server_address[1]}:1"})
        done = subprocess.run(node.arguments(), capture_output=True, timeout=30, check=False)
        server.shutdown()
    assert done.returncode == 2
    assert done.stderr.decode() == "dynomited: backend: its version is 1.5.22; allowed: 1.6 or newer\n"


@pytest.mark.parametrize("answer, why", [(b"-ERR unknown command\r\n", "doesn't know meta commands"),
                                         (b"CLIENT_ERROR unauthenticated\r\n", "unauthenticated")])
def test_memcached_that_is_none(tmp_path, answer, why):
    """The node runs, says why it isn't ready, and tells its clients."""
    with Impostor(answer) as server:
        node = rig.Node(str(tmp_path), "node", rig.free_ports(3),
                        {"data-store": "memcache", "servers": f"127.0.0.1:{server.server_address[1]}:1"})
        node.start()
        try:
            rig.wait_until(lambda: why in node.log_text(), "the log says why")
            with raw(node) as c:
                assert c.ask("mg k v")[1].startswith("BACKEND ")
            assert node.metrics()["dynomite_backend_up"] == 0
        finally:
            node.stop()
            server.shutdown()
