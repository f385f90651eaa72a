"""What a node answers itself: passwords, HELLO, CLIENT, COMMAND, INFO, CONFIG, CLUSTER. Redis 7.0 is the oracle
wherever the answer isn't about the server itself."""
import re

import pytest
import redis
import rig
from wire import Wire, command

WRONG = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("session")), "oracle")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def node():
    with rig.Cluster(1) as c:
        yield c.nodes[0]


def ids_away(reply):
    """The id of a connection is the server's own."""
    return re.sub(rb"\$2\r\nid\r\n:\d+\r\n", b"", reply)


# ---- passwords ----------------------------------------------------------------------------------------

# Each line on one connection after the other, to a server with the password `sesame`.
GUARDED = """
PING
GET k
NOSUCH x
GET
AUTH
AUTH a b c
CLIENT ID
COMMAND COUNT
HELLO
HELLO 2
HELLO 2 SETNAME me
HELLO x
HELLO 4
HELLO 2 AUTH default wrong
HELLO 2 AUTH other sesame
HELLO 2 AUTH default
GET k
AUTH wrong
AUTH sesam
AUTH sesame2
AUTH default wrong
AUTH Default sesame
AUTH other sesame
RESET
GET k
AUTH sesame
GET k
AUTH wrong
GET k
RESET
GET k
AUTH default sesame
CLIENT GETNAME
RESET
HELLO 2 AUTH default sesame SETNAME you
CLIENT GETNAME
GET k
HELLO 2 AUTH default wrong SETNAME they
CLIENT GETNAME
RESET
PING
QUIT
"""
OPEN = """
AUTH sesame
AUTH default sesame
AUTH default whatever
AUTH other sesame
HELLO 2 AUTH default x
HELLO 2 AUTH other x
HELLO 2 SETNAME a
CLIENT GETNAME
RESET
CLIENT GETNAME
AUTH
RESET x
"""


def same_answers(theirs, ours, lines):
    with Wire(theirs) as a, Wire(ours) as b:
        for line in lines.split("\n"):
            if line:
                assert ids_away(b.ask(*line.split())) == ids_away(a.ask(*line.split())), line


@pytest.fixture
def guarded(oracle):
    oracle.client().config_set("requirepass", "sesame")
    with rig.Cluster(1, flags={"requirepass": "sesame"}) as c:
        yield c.nodes[0]
    oracle.client(password="sesame").config_set("requirepass", "")


def test_session_password_is_asked_for_as_by_redis(oracle, guarded):
    same_answers(oracle.path, guarded.client_port, GUARDED)


def test_session_without_a_password_auth_is_answered_as_by_redis(oracle, node):
    same_answers(oracle.path, node.client_port, OPEN)


@pytest.mark.parametrize("data", [
    b"*11\r\n", b"*10\r\n$4\r\nPING\r\n", b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", b"*2\r\n$4\r\nAUTH\r\n$16384\r\n", b"*1048577\r\n",
    command("AUTH", "sesame") + command("MGET", *"abcdefghijklmn"), command("AUTH", "sesame") + command("SET", "k", "v" * 20000),
    command("SET", "k", "v" * 20000), command("RESET") + b"*11\r\n", b"PING " + b"x" * 20000 + b"\r\n"],
    ids=lambda data: repr(data[:40]))
def test_session_whom_nobody_knows_may_send_little(oracle, guarded, data):
    def say(where):
        with Wire(where) as w:
            w.send(data)
            w.socket.shutdown(1)
            return w.rest()
    assert say(guarded.client_port) == say(oracle.path)


def test_session_password_changes_while_the_node_runs(guarded):
    """By dyn-admin, and by the file at HUP; who is in stays in, who isn't needs the new one. It is in no log."""
    n = guarded
    with Wire(n.client_port) as known, Wire(n.client_port) as stranger:
        assert known.ask("AUTH", "sesame") == b"+OK\r\n" and stranger.ask("PING") == NOAUTH
        assert n.admin("config", "set", "requirepass", "barbara") == {}
        assert known.ask("PING") == b"+PONG\r\n"
        assert stranger.ask("AUTH", "sesame") == WRONG and stranger.ask("AUTH", "barbara") == b"+OK\r\n"
        assert n.admin("config", "get", "requirepass") == {"requirepass": "***"}
        assert "requirepass: *** -> *** (dyn-admin)" in n.log_text()
        assert n.admin("config", "set", "requirepass", "") == {}
        with Wire(n.client_port) as anybody:
            assert anybody.ask("PING") == b"+PONG\r\n"
            assert n.admin("config", "set", "requirepass", "third") == {}
            assert anybody.ask("PING") == b"+PONG\r\n"  # it came when there was none, as in Redis
            assert anybody.ask("RESET") == b"+RESET\r\n" and anybody.ask("PING") == NOAUTH
        done = n.admin_run("config", "set", "requirepass", "x" * 513)
        assert done.returncode == 1 and b"found 513 bytes; allowed at most 512" in done.stderr
        assert known.ask("PING") == b"+PONG\r\n"
    for word in ("sesame", "barbara", "third"):
        assert word not in n.log_text() and word not in n.admin_run("config", "dump").stdout.decode()


def test_session_clients_connect_with_a_password(guarded):
    n = guarded
    assert n.client(password="sesame").set("k", "v")
    assert n.client(username="default", password="sesame", client_name="me").client_getname() == "me"
    for wrong in ({"password": None}, {"password": "x"}, {"username": "other", "password": "sesame"}):
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
            n.client(**wrong).get("k")
