"""Bounds: clients that don't read, many keys, many commands, many clients, and memory that is given back.
DYN_LONG=1 for the full numbers."""
import os
import resource
import select
import signal
import socket
import time

import pytest
import rig
from test_client import FOUR, MB, bulk, p99, stays_calm
from wire import Wire, command

CAP = 4 * MB


def total(node, name):
    return node.metrics()["dynomite_" + name]


def cut_off(node):
    return total(node, "client_cut_off_total")


def rest_of(s):
    """How many bytes come before the other side has closed."""
    n = 0
    try:
        while part := s.recv(1 << 20):
            n += len(part)
    except ConnectionResetError:
        pass
    return n


# ---- clients that don't read ------------------------------------------------------------------------

@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_limits_a_hundred_slow_readers_hurt_nobody_and_are_cut_off(store):
    """Each asks for 64 MB and never reads."""
    n = 100
    with rig.Cluster(1, store=store, flags={"client-output-max-bytes": str(CAP), "timeout": "30000"}) as c:
        node = c.nodes[0]
        node.client().set("fat", os.urandom(MB))
        p99(node, 20)
        before, calm = node.memory(), p99(node)
        peak = []
        slow = [socket.create_connection(("127.0.0.1", node.client_port), timeout=20) for _ in range(n)]
        ids = []
        for s in slow:
            s.sendall(command("CLIENT", "ID"))
            ids.append(int(s.recv(100)[1:]))
        for s in slow:
            s.sendall(command("GET", "fat") * 64)
        stays_calm(node, calm)

        def all_gone():
            peak.append(node.memory() - before)
            return cut_off(node) == n
        rig.wait_until(all_gone, "all of them are cut off", 60)
        assert max(peak) < n * (CAP + 2 * MB) + 200 * MB, f"{max(peak) / MB:.0f} MB for {n} slow readers"
        for s in slow:
            assert rest_of(s) < 64 * MB  # what the system had taken, and the end
            s.close()
        lines = [line for line in node.log_text().splitlines() if "is cut off" in line]
        assert 1 <= len(lines) <= n
        who, why = lines[0].split("client ", 1)[1].split(" is cut off: ")
        number, address = who.split(" ")
        assert int(number) in ids and address.startswith("(127.0.0.1:")
        bytes_unread, _, limit = why.partition(" bytes of replies unread, client_output_max_bytes is ")
        assert int(bytes_unread) >= MB and limit == str(CAP)
        rig.wait_until(lambda: node.memory() - before < 40 * MB, "the memory is given back")
        assert node.client().ping()


def test_limits_who_reads_slowly_isnt_cut_off():
    """Sixteen times the cap, at the reader's speed; and one reply that is larger than the cap."""
    with rig.Cluster(1, flags={"client-output-max-bytes": str(CAP)}) as c:
        node = c.nodes[0]
        value = os.urandom(MB)
        node.client().mset({"fat": value, "fatter": value * 6})
        with Wire(node.client_port) as w:
            w.send(command("GET", "fat") * 64)
            got, want, begin = 0, 64 * len(bulk(value)), time.monotonic()
            while got < want:
                got += len(w.socket.recv(1 << 18))
                if time.monotonic() - begin < 4:  # longer than the node's patience
                    time.sleep(0.05)
            assert w.ask("GET", "fatter") == bulk(value * 6) and w.ask("PING") == b"+PONG\r\n"
        assert cut_off(node) == 0


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_limits_a_pipeline_that_is_read_when_all_is_sent(store):
    """Far more than the system's buffers and the megabytes of back-pressure, either way."""
    n, value = (50000 if rig.LONG else 15000), b"x" * 1500
    data = command("ECHO", value) + command("GET", "k")
    with rig.Cluster(1, store=store) as c, Wire(c.nodes[0].client_port, timeout=60) as w:
        assert w.ask("SET", "k", value * 2) == b"+OK\r\n"
        w.send(data * n)
        for _ in range(n):
            assert w.reply() == bulk(value) and w.reply() == bulk(value * 2)
        assert cut_off(c.nodes[0]) == 0


def test_limits_who_takes_nothing_at_all_is_cut_off_in_the_end():
    """A single reply, which may be larger than the cap, but nobody is there."""
    with rig.Cluster(1, flags={"timeout": "400"}) as c:
        node = c.nodes[0]
        node.client().set("fat", b"x" * 30 * MB)
        with Wire(node.client_port) as w:
            w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            begin = time.monotonic()
            w.send(command("GET", "fat"))
            rig.wait_until(lambda: cut_off(node) == 1, "it is cut off", 60)
            assert time.monotonic() - begin >= 12 * 0.4
            assert rest_of(w.socket) < 30 * MB
        assert "bytes of replies unread, none taken for 4800 ms (12 x timeout)" in node.log_text()


# ---- many keys, many commands ----------------------------------------------------------------------------

@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_limits_many_keys_and_many_commands(store):
    """10,000 keys in an MGET, 100,000 in MSET, EXISTS and DEL, 100,000 commands in a pipeline: over owners and nodes."""
    n = 100000 if rig.LONG or store == "embedded" else 10000
    flags = {"write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM", "timeout": "60000"}
    keys = [b"key:%d" % i for i in range(n)]
    with rig.Cluster(places=FOUR, store=store, flags=flags) as c:
        with Wire(c.nodes[0].client_port, timeout=100) as w, Wire(c.nodes[3].client_port, timeout=100) as other:
            assert w.ask("MSET", *[x for k in keys for x in (k, k)]) == b"+OK\r\n"
            some = keys[:10000]
            assert other.ask("MGET", *some) == b"*10000\r\n" + b"".join(map(bulk, some))
            assert other.ask("EXISTS", *keys) == b":%d\r\n" % n
            w.send(b"".join(command("GET", k) for k in keys))  # all of it before the first is read
            for k in keys:
                assert w.reply() == bulk(k)
            assert other.ask("DEL", *keys) == b":%d\r\n" % n and w.ask("MGET", *some) == b"*10000\r\n" + b"$-1\r\n" * 10000


# ---- many clients ---------------------------------------------------------------------------------------

IDLE_BYTES = 4096  # what an idle client may cost, whatever it did before; the kernel's part not counted


def may_open(n):
    """As many of n sockets as this process and the node may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(n + 500, hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(n + 500, hard), hard))
    return min(n, hard - 500)


def burst(node, socks, data, size):
    """All of them send at once, and read to the end."""
    poll = select.epoll()
    left = {}
    for s in socks:
        s.sendall(data)
        left[s.fileno()] = size
        poll.register(s.fileno(), select.EPOLLIN)
    by_fd = {s.fileno(): s for s in socks}
    peak = node.memory()
    while left:
        ready = poll.poll(30)
        assert ready, f"{len(left)} wait for their replies"
        for fd, _ in ready:
            got = len(by_fd[fd].recv(1 << 16))
            assert got, "closed"
            left[fd] -= got
            if left[fd] <= 0:
                assert left.pop(fd) == 0
                poll.unregister(fd)
        peak = max(peak, node.memory())
    poll.close()
    return peak


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_limits_many_clients_give_their_buffers_back(store):
    n = may_open(10000 if rig.LONG else 1500)
    value = b"v" * 2000
    data = (command("SET", "burst", value) + command("GET", "burst") * 3) * 5
    size = (5 + 3 * len(bulk(value))) * 5
    with rig.Cluster(1, store=store, flags={"timeout": "60000"}) as c:
        node = c.nodes[0]
        p99(node, 200)
        before = node.memory()
        socks = []
        try:
            for _ in range(n):
                socks.append(socket.create_connection(("127.0.0.1", node.client_port), timeout=60))
            rig.wait_until(lambda: total(node, "client_connections") >= n, "all are there")
            connected = node.memory()
            peak = burst(node, socks, data, size)
            burst(node, socks, data, size)
            if node.memory():
                rig.wait_until(lambda: (node.memory() - before) / n < IDLE_BYTES, f"an idle client costs {IDLE_BYTES} bytes at most", 30)
            after = node.memory()
            assert p99(node, 100) < 1
        finally:
            for s in socks:
                s.close()
        rig.note(f"{n} clients: {(connected - before) / n:.0f} bytes each before they said a word, {(peak - before) / n:.0f} "
                 f"in a burst of {len(data) + size} bytes, {(after - before) / n:.0f} afterwards")
        rig.wait_until(lambda: total(node, "client_connections") <= 1, "they are gone")


# ---- answers that come too late -----------------------------------------------------------------------

LATE = {"own": ("redis", 1, lambda c: c.backends[0].process), "peer": ("embedded", 2, lambda c: c.nodes[1].process)}


@pytest.mark.parametrize("who", LATE)
def test_limits_an_answer_that_comes_late_disturbs_no_later_one(who):
    """What has to answer is stopped; when it goes on, its answers to what has timed out come among those to other commands of the
    same connection."""
    store, n, process = LATE[who]
    flags = {"timeout": "500", "write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM", "gos-interval": "5000", "workers": "1"}
    values = {f"k{i}": f"value {i}" for i in range(40)}
    reads = b"".join(command("GET", k) for k in values)
    with rig.Cluster(n, store=store, flags=flags) as c, Wire(c.nodes[0].client_port) as w:
        victim, late = process(c), 0
        c.nodes[0].client().mset(values)
        for turn in range(4):
            rig.freeze(victim)
            try:
                w.send(reads + command("SET", "changing", turn) + command("INCR", "counter") + command("GET", "counter") + command("ECHO", turn))
                got = [w.reply() for _ in range(len(values) + 3)]
                assert w.reply() == bulk(b"%d" % turn)
            finally:
                victim.send_signal(signal.SIGCONT)
            late += sum(g.startswith(b"-TIMEOUT no answer within 500 ms") for g in got)
            right = 0
            while right < 3:  # an error is an answer to its own command, another one's value isn't
                w.send(reads + command("ECHO", "between") + command("GET", "none"))
                some = [w.reply() for _ in values]
                wrong = [(s, v) for s, v in zip(some, values.values()) if s != bulk(v.encode()) and s[:1] != b"-"]
                assert not wrong, wrong
                assert w.reply() == bulk(b"between") and w.reply()[:1] in b"-$"
                right += all(s[:1] == b"$" for s in some)
        assert late > 10, late
        rig.wait_until(lambda: w.ask("GET", "changing") == b"$1\r\n3\r\n", "the last write is there")
        assert 0 <= int(w.ask("GET", "counter").split(b"\r\n")[1]) <= 4
        w.send(b"".join(command("INCR", "after") for _ in range(100)))
        assert [w.reply() for _ in range(100)] == [b":%d\r\n" % i for i in range(1, 101)]


# ---- what is answered here, many times --------------------------------------------------------------

def test_limits_a_reply_doesnt_repeat_itself_without_end():
    """COMMAND's arguments, and the commands of a transaction, may ask for the same again and again."""
    too_much = b"-ERR more than %d bytes of replies (client_output_max_bytes)\r\n" % CAP
    with rig.Cluster(1, flags={"client-output-max-bytes": str(CAP)}) as c:
        node = c.nodes[0]
        with Wire(node.client_port) as w:
            assert w.ask("COMMAND", "INFO", *["set"] * 100).count(b"denyoom") == 100
            before = node.memory()
            assert w.ask("COMMAND", "INFO", *["set"] * 100000) == too_much
            assert w.ask("COMMAND", "DOCS", *["set"] * 100000) == too_much
            w.send(command("MULTI") + command("COMMAND") * 5000 + command("SET", "done", "1") + command("EXEC"))
            assert [w.reply() for _ in range(5002)] == [b"+OK\r\n"] + [b"+QUEUED\r\n"] * 5001
            got = w.reply()
            assert got.startswith(b"*5001\r\n*") and got.endswith(too_much + b"+OK\r\n")
            assert len(got) < CAP + 5001 * len(too_much)
            assert node.memory() - before < 4 * CAP
            assert w.ask("GET", "done") == b"$1\r\n1\r\n"


@pytest.mark.parametrize("last", [("GET", "small"), ("SET", "done", "1")], ids=["reads", "writes"])
def test_limits_a_transaction_answers_so_much_and_no_more(last):
    """The embedded store's; of a Redis behind the node it is that one's affair."""
    too_much = b"-ERR more than %d bytes of replies (client_output_max_bytes)\r\n" % CAP
    with rig.Cluster(1, flags={"client-output-max-bytes": str(CAP)}) as c:
        node = c.nodes[0]
        with Wire(node.client_port) as w:
            assert w.ask("SET", "fat", b"x" * MB) == w.ask("SET", "small", "1") == b"+OK\r\n"
            before = node.memory()
            w.send(command("MULTI") + command("GET", "fat") * 2 + command(*last) + command("EXEC"))
            assert [w.reply() for _ in range(4)][-1] == b"+QUEUED\r\n"
            assert len(w.reply()) > 2 * MB
            w.send(command("MULTI") + command("GET", "fat") * 600 + command(*last) + command("EXEC"))
            assert [w.reply() for _ in range(602)][-1] == b"+QUEUED\r\n"
            got = w.reply()
            assert got.startswith(b"*601\r\n$%d\r\n" % MB) and got.count(too_much) == 597 + (last[0] == "GET")
            assert got.endswith(too_much if last[0] == "GET" else b"+OK\r\n")
            assert node.memory() - before < 8 * CAP
        assert node.client().ping()


def test_limits_a_name_that_is_kept_has_a_bound():
    """HELLO, CLIENT SETNAME and SETINFO: what one connection leaves here, CLIENT LIST tells all others."""
    with rig.Cluster(1) as c, Wire(c.nodes[0].client_port) as w:
        most = "n" * 8192
        too_long = b"-ERR found a name of 8193 bytes; allowed at most 8192\r\n"
        for words in ("CLIENT", "SETNAME"), ("CLIENT", "SETINFO", "LIB-NAME"), ("CLIENT", "SETINFO", "LIB-VER"):
            assert w.ask(*words, most) == b"+OK\r\n" and w.ask(*words, most + "n") == too_long
        assert w.ask("HELLO", "2", "SETNAME", most + "n") == too_long
        assert w.ask("CLIENT", "GETNAME") == b"$8192\r\n" + most.encode() + b"\r\n"
        assert w.ask("CLIENT", "LIST").count(most.encode()) == 3


def test_limits_a_pattern_of_names_has_a_bound():
    """It is compared with hundreds of names: one of many megabytes would hold its worker up for minutes."""
    with rig.Cluster(1) as c, Wire(c.nodes[0].client_port) as w:
        for words in ("CONFIG", "GET"), ("COMMAND", "LIST", "FILTERBY", "PATTERN"):
            assert w.ask(*words, "*" * 1024) == w.ask(*words, "*") != b"*0\r\n"
            assert w.ask(*words, "*" * 1025) == b"*0\r\n"
