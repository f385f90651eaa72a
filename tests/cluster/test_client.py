"""What a client sees, byte by byte: Redis 7.0 is the oracle."""
import os
import random
import re
import socket
import time

import pytest
import redis
import rig
from wire import Commands, Wire, command

# ---- the same replies as Redis ------------------------------------------------------------------

TOLERANCE_MS = 2000  # TTL and PTTL: the servers get a command at different moments


def lifetime(name, words, reply):
    return reply[:1] == b":" and int(reply[1:]) > 0 and name in ("TTL", "PTTL")


# What differs on purpose: whether it applies to (generated name, words, Redis's reply, ours), and why.
DIFFERENCES = [
    ("an id of a connection is the server's own",
     lambda name, words, want, got: name == "HELLO" and re.sub(rb"id\r\n:\d+", b"id", want) == re.sub(rb"id\r\n:\d+", b"id", got)),
    ("an id of a connection is the server's own",
     lambda name, words, want, got: name == "CLIENT" and words[1:] == [b"ID"] and got[:1] == want[:1] == b":"),
    ("there are no passwords yet: refused, not taken without being looked at",
     lambda name, words, want, got: name == "HELLO" and b"AUTH" in words and got == b"-ERR 'AUTH' isn't supported by this server\r\n"),
    ("CLIENT SETINFO is Redis 7.2's; today's libraries send it",
     lambda name, words, want, got: name == "CLIENT" and words[1:2] == [b"SETINFO"] and want.startswith(b"-ERR unknown subcommand 'SETINFO'")),
    ("the table of commands is this server's: fewer, and without texts",
     lambda name, words, want, got: name == "COMMAND" and words[1:2] in ([], [b"COUNT"], [b"INFO"], [b"DOCS"], [b"LIST"]) and got[:1] == want[:1]),
    ("GETEX: a lifetime is checked before the key is looked at, so a wrong one is an error also where there is no key",
     lambda name, words, want, got: name == "GETEX" and want == b"$-1\r\n" and got[:5] == b"-ERR "),
    ("an error quotes at most 128 bytes of an argument",
     lambda name, words, want, got: got[:5] == b"-ERR " and len(os.path.commonprefix([want, got])) > 128),
    ("TTL and PTTL within the tolerance",
     lambda name, words, want, got: lifetime(name, words, want) and lifetime(name, words, got) and
     abs(int(want[1:]) - int(got[1:])) * (1000 if name == "TTL" else 1) <= TOLERANCE_MS),
]


def allowed(name, words, want, got):
    return want == got or any(holds(name, words, want, got) for _, holds in DIFFERENCES)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("oracle")), "oracle")
    server.start()
    yield server
    server.kill()


def short(words):
    return [w if len(w) < 80 else w[:80] + b"... %d bytes" % len(w) for w in words]


@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_client_random_commands_are_answered_as_by_redis(oracle, store):
    seed = int(os.environ.get("CLIENT_SEED", time.time()))
    count = int(os.environ.get("CLIENT_COMMANDS", 20000))
    print(f"CLIENT_SEED={seed}")
    oracle.client().flushall()
    with rig.Cluster(1, store=store) as c, Wire(oracle.path) as theirs, Wire(c.nodes[0].client_port) as ours:
        commands = Commands(seed, int(time.time()))
        for start in range(0, count, 50):
            batch = [commands.next() for _ in range(50)]
            data = b"".join(command(*words) for _, words in batch)
            theirs.send(data)
            ours.send(data)
            for i, (name, words) in enumerate(batch):
                want, got = theirs.reply(), ours.reply()
                assert allowed(name, words, want, got), \
                    f"CLIENT_SEED={seed}, command {start + i}: {short(words)}: Redis {want[:200]}, here {got[:200]}"
        rig.wait_until(lambda: c.nodes[0].client().dbsize() == oracle.client().dbsize(), "as many keys are left")


# ---- bytes: inline commands, protocol errors, ends ------------------------------------------------

K64 = 64 * 1024
SAME_BYTES = [
    b"\r\n", b"\r\n\r\nPING\r\n", b"\n\nPING\n", b"   \r\nPING\r\n", b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-5\r\nPING\r\n",
    b"*x\r\nPING\r\n", b"*\r\nPING\r\n", b"*1048576\r\n", b"*2147483648\r\nPING\r\n", b"*1000000000000\r\n",
    b"*99999999999999999999\r\n", b"*01\r\n$4\r\nPING\r\n", b"*1 \r\n", b"*+1\r\n$4\r\nPING\r\n", b"*1\r\nPING\r\n", b"*1\r\n:4\r\nPING\r\n",
    b"*1\r\n\xff\r\n", b"*1\r\n\r\nPING\r\n", b"*1\r\nx\r\n", b"*1\r\n$-1\r\nPING\r\n", b"*1\r\n$-5\r\n", b"*1\r\n$x\r\n", b"*1\r\n$\r\n",
    b"*1\r\n$1000000000000\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n$536870912\r\n", b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$ 4\r\nPING\r\n",
    b"*1\r\n$99999999999999999999\r\n", b"*" + b"1" * (K64 + 10), b"*1\r\n$" + b"1" * (K64 + 10), b"x" * (K64 + 10),
    b"x" * (K64 - 1) + b"\r\nPING\r\n", b'SET a "b\r\nPING\r\n', b"SET a 'b\r\nPING\r\n", b'SET a "b"c\r\nPING\r\n', b"SET a 'b'c\r\nPING\r\n",
    b'ECHO "a\\x41\\n\\r\\t\\b\\a\\\\\\"q\\xzz\\x4"\r\n', b"ECHO 'a\\'b\\n'\r\n", b'ECHO ""\r\n', b"ECHO ''\r\n", b'ECHO a"b"\r\n', b'"PING"\r\n',
    b"PING\r\r\n", b"PING\rPING\r\n", b"PING\n", b"PING \t \r\n", b"\tPING\r\n", b"ECHO a\x0bb\r\n", b"\x0bPING\r\n", b"*1\n$4\nPING\n",
    b"*1\r\n$0\r\n\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$100\r\nabc", b"*2\r\n$3\r\nGET", b"PING", b"*", b"$4\r\nPING\r\n", b"+OK\r\n", b":1\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\nx\r\n", b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
    b"QUIT\r\nPING\r\n"]

# What we do otherwise, and why.
OTHER_BYTES = [
    ("a million arguments are enough", b"*1048577\r\nPING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    ("told at the first wrong byte, not when a line's end has come", b"*1\r\n'x", b"-ERR Protocol error: expected '$', got '''\r\n"),
    ("the same", b"*1\r\n\x00", b"-ERR Protocol error: expected '$', got '\\x00'\r\n"),
    ("the limit of a line doesn't depend on how it comes in", b"x" * (K64 + 1) + b"\r\nPING\r\n",
     b"-ERR Protocol error: too big inline request\r\n"),
    ("a NUL in a line is a byte as others", b"ECHO a\x00b\r\nPING\r\n", b"$3\r\na\x00b\r\n+PONG\r\n"),
    ("a length that doesn't fit its bytes isn't somebody's next command", b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
     b"-ERR Protocol error: invalid bulk length\r\n"),
    ("the same", b"*1\r\n$3\r\nPING\r\nPING\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    ("the same", b"*1\r$4\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    ("HTTP is closed, but not without a word", b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n",
     b"-ERR Protocol error: this is the port for Redis clients, not for HTTP\r\n"),
    ("the same", b"hOST: x\r\nSET a b\r\n", b"-ERR Protocol error: this is the port for Redis clients, not for HTTP\r\n")]


@pytest.fixture(scope="module", params=["embedded", "redis"])
def node(request):
    with rig.Cluster(1, store=request.param) as c:
        yield c.nodes[0]


def say(where, data, pieces=1):
    """Sends the bytes, closes its sending side and returns all that is answered."""
    with Wire(where) as w:
        size = max(1, len(data) // pieces)
        try:
            for i in range(0, len(data), size):
                w.send(data[i:i + size])
            w.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed before it was told everything
        return w.rest()


def name_of(value):
    return repr(value[:40]) if isinstance(value, bytes) else ""


@pytest.mark.parametrize("data", SAME_BYTES, ids=name_of)
def test_client_bytes_are_answered_as_by_redis(oracle, node, data):
    want = say(oracle.path, data)
    assert say(node.client_port, data) == want
    if len(data) < 200:
        assert say(node.client_port, data, len(data)) == want


@pytest.mark.parametrize("why,data,want", OTHER_BYTES, ids=name_of)
def test_client_bytes_that_are_answered_otherwise(node, why, data, want):
    assert say(node.client_port, data) == want, why


def test_client_a_protocol_error_closes_the_connection(node):
    with Wire(node.client_port) as w:
        w.send(command("SET", "pe", "1") + b"*1\r\n$x\r\n" + command("SET", "pe", "2"))
        assert w.rest() == b"+OK\r\n-ERR Protocol error: invalid bulk length\r\n"  # ends although we don't close
    with Wire(node.client_port) as w:
        assert w.ask("GET", "pe") == b"$1\r\n1\r\n"


def test_client_all_that_was_asked_is_answered_before_a_half_closed_connection_ends(node):
    n = 5000
    data = b"".join(command("SET", f"h{i}", i) + command("GET", f"h{i}") for i in range(n))
    assert say(node.client_port, data + b"*2\r\n$3\r\nGET\r\n") == \
        b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(n))


def test_client_random_splits(oracle, node):
    seed = int(os.environ.get("CLIENT_SEED", time.time()))
    print(f"CLIENT_SEED={seed}")
    r = random.Random(seed)
    data = b"".join(r.choice([command("SET", f"s{i % 7}", "v" * r.randrange(200)), command("GET", f"s{i % 7}"),
                              b"GET s%d\r\n" % (i % 7), b"\r\n", command("STRLEN", f"s{i % 7}"), b"ECHO 'a b'\n"])
                    for i in range(1000))
    oracle.client().flushall()
    want = say(oracle.path, data)
    for size in (1, 2, 3, 0):
        node.client().delete(*[f"s{k}" for k in range(7)])
        with Wire(node.client_port) as w:
            at = 0
            while at < len(data):
                step = size or r.randrange(1, 400)
                w.send(data[at:at + step])
                at += step
            w.socket.shutdown(socket.SHUT_WR)
            assert w.rest() == want, f"CLIENT_SEED={seed}, pieces of {size or 'any'} bytes"
