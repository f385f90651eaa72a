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


def same_answers(theirs, ours, lines, protocol=2):
    with Wire(theirs) as a, Wire(ours) as b:
        for line in [f"HELLO {protocol}"] * (protocol > 2) + lines.split("\n"):
            if line:
                assert ids_away(b.ask(*line.split())) == ids_away(a.ask(*line.split())), line


@pytest.fixture
def guarded(oracle):
    oracle.client().config_set("requirepass", "sesame")
    with rig.Cluster(1, flags={"requirepass": "sesame"}) as c:
        yield c.nodes[0]
    oracle.client(password="sesame").config_set("requirepass", "")


@pytest.mark.parametrize("version", [2, 3])
def test_session_password_is_asked_for_as_by_redis(oracle, guarded, version):
    same_answers(oracle.path, guarded.client_port, GUARDED.replace("HELLO 2", f"HELLO {version}"))


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


# ---- CLIENT --------------------------------------------------------------------------------------------

# Without a word about connections or the server, so that Redis's answers are ours.
CLIENT = """
CLIENT
CLIENT ID x
CLIENT GETNAME
CLIENT SETNAME
CLIENT SETNAME a b
CLIENT SETNAME \xff
CLIENT SETNAME name
CLIENT GETNAME
CLIENT GETNAME x
CLIENT INFO x
CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip
CLIENT NOSUCH
CLIENT LIST x
CLIENT LIST TYPE
CLIENT LIST TYPE nobody
CLIENT LIST TYPE normal x
CLIENT LIST TYPE master
CLIENT LIST TYPE replica
CLIENT LIST TYPE slave
CLIENT LIST TYPE pubsub
CLIENT LIST ID
CLIENT LIST ID x
CLIENT LIST ID 999999999 999999998
CLIENT KILL
CLIENT KILL 127.0.0.1:1
CLIENT KILL ID
CLIENT KILL ID 0 TYPE normal
CLIENT KILL ID x
CLIENT KILL ID 0
CLIENT KILL ID 999999999
CLIENT KILL ADDR 127.0.0.1:1
CLIENT KILL ADDR
CLIENT KILL ADDR a LADDR
CLIENT KILL LADDR 127.0.0.1:1
CLIENT KILL TYPE nobody
CLIENT KILL TYPE pubsub
CLIENT KILL USER nobody
CLIENT KILL USER default ID 999999999
CLIENT KILL SKIPME maybe
CLIENT KILL SKIPME yes ID 999999999
CLIENT KILL NOSUCH x
CLIENT REPLY
CLIENT REPLY ON
CLIENT REPLY MAYBE
CLIENT UNBLOCK
CLIENT UNBLOCK 999999999
CLIENT UNBLOCK x
CLIENT UNBLOCK 999999999 TIMEOUT
CLIENT UNBLOCK 999999999 ERROR
CLIENT UNBLOCK 999999999 OTHER
CLIENT NO-EVICT
CLIENT NO-EVICT ON
CLIENT NO-EVICT off
CLIENT NO-EVICT maybe
CLIENT TRACKING
CLIENT TRACKING OFF
CLIENT TRACKING maybe
CLIENT TRACKINGINFO
CLIENT TRACKINGINFO x
CLIENT GETREDIR
CLIENT CACHING
CLIENT CACHING yes
"""


@pytest.mark.parametrize("protocol", [2, 3])
def test_session_client_is_answered_as_by_redis(oracle, node, protocol):
    same_answers(oracle.path, node.client_port, CLIENT, protocol)


def test_session_client_replies_are_left_out_as_by_redis(oracle, node):
    data = b"".join(command(*line.split()) for line in """
PING
CLIENT REPLY SKIP
PING
ECHO first
CLIENT REPLY SKIP
CLIENT REPLY SKIP
PING
ECHO second
CLIENT REPLY OFF
PING
SET muted 1
GET muted
CLIENT REPLY SKIP
CLIENT ID
NOSUCH
CLIENT REPLY ON
GET muted
CLIENT REPLY OFF
ECHO third
RESET
ECHO last
CLIENT REPLY SKIP
MGET muted muted
DEL muted
QUIT
""".split("\n") if line)
    answers = []
    for where in (oracle.path, node.client_port):
        with Wire(where) as w:
            w.send(data)
            answers.append(w.rest())
    assert answers[0] == answers[1] and answers[0].startswith(b"+PONG\r\n$5\r\nfirst\r\n")


def lines(reply):
    """CLIENT LIST as a list of dictionaries."""
    return [dict(f.split("=", 1) for f in line.split(" ")) for line in reply.split(b"\r\n", 1)[1].decode().strip().split("\n")]


def open_clients(node, n):
    """So many that each worker has some."""
    wires = [Wire(node.client_port) for _ in range(n)]
    for i, w in enumerate(wires):
        assert w.ask("CLIENT", "SETNAME", f"many{i}") == b"+OK\r\n"
    return wires


def test_session_client_list_tells_of_all_workers_clients():
    with rig.Cluster(1, flags={"workers": "4"}) as c:
        n = c.nodes[0]
        wires = open_clients(n, 12)
        try:
            w = wires[0]
            assert w.ask("CLIENT", "SETINFO", "LIB-NAME", "mylib") == b"+OK\r\n"
            assert w.ask("CLIENT", "SETINFO", "LIB-VER", "1.2") == b"+OK\r\n"
            me = lines(w.ask("CLIENT", "INFO"))[0]
            found = {line["name"]: line for line in lines(w.ask("CLIENT", "LIST"))}
            assert {f"many{i}" for i in range(12)} <= set(found) and found["many0"]["id"] == me["id"]
            assert me["lib-name"] == "mylib" and me["lib-ver"] == "1.2" and me["resp"] == "2" and me["cmd"] == "client"
            assert me["addr"] == "127.0.0.1:%d" % w.socket.getsockname()[1] and me["laddr"] == f"127.0.0.1:{n.client_port}"
            assert me["user"] == "default" and me["flags"] == "N" and me["db"] == "0" and int(me["age"]) < 60
            assert len({line["id"] for line in found.values()}) == len(found)
            some = [found["many3"]["id"], found["many7"]["id"], "99999"]
            assert {line["name"] for line in lines(w.ask("CLIENT", "LIST", "ID", *some))} == {"many3", "many7"}
            assert len(n.client().client_list()) >= 13 and n.client().client_info()["name"] == ""
            # of whichever worker: by id, by address; oneself last, and only when asked to
            assert w.ask("CLIENT", "KILL", "ID", found["many5"]["id"]) == b":1\r\n" and wires[5].rest() == b""
            assert w.ask("CLIENT", "KILL", found["many6"]["addr"]) == b"+OK\r\n" and wires[6].rest() == b""
            assert w.ask("CLIENT", "KILL", found["many6"]["addr"]) == b"-ERR No such client\r\n"
            assert w.ask("CLIENT", "KILL", "ID", me["id"]) == b":0\r\n"
            assert w.ask("CLIENT", "KILL", "LADDR", me["laddr"], "ADDR", found["many8"]["addr"]) == b":1\r\n" and wires[8].rest() == b""
            left = len(lines(w.ask("CLIENT", "LIST", "TYPE", "normal")))
            assert w.ask("CLIENT", "KILL", "TYPE", "normal") == b":%d\r\n" % (left - 1) and wires[1].rest() == b""
            w.send(command("CLIENT", "KILL", "SKIPME", "no", "ID", me["id"]) + command("PING"))
            assert w.rest() == b":1\r\n"
        finally:
            for w in wires:
                w.close()
        assert n.client().ping()


def test_session_client_that_is_refused_says_why(node):
    with Wire(node.client_port) as w:
        for line in ("PAUSE 100", "UNPAUSE", "TRACKING ON"):
            got = w.ask("CLIENT", *line.split())
            assert re.match(rb"-ERR 'CLIENT [A-Z]+' isn't supported: .+", got), got
        assert w.ask("CLIENT", "NO-TOUCH", "ON") == w.ask("CLIENT", "NO-TOUCH", "OFF") == b"+OK\r\n"
        assert w.ask("CLIENT", "NO-TOUCH", "x") == b"-ERR syntax error\r\n"


# ---- COMMAND ---------------------------------------------------------------------------------------------

def parsed(raw):
    """A reply as nested lists; what isn't one keeps its type: b"+OK"."""
    def one(at):
        end = raw.index(b"\r\n", at)
        head, at = raw[at:end], end + 2
        if head[:1] == b"$" and head != b"$-1":
            n = int(head[1:])
            return b"$" + raw[at:at + n], at + n + 2
        if head[:1] != b"*" or head == b"*-1":
            return head, at
        items = []
        for _ in range(int(head[1:])):
            item, at = one(at)
            items.append(item)
        return items, at
    return one(0)[0]


def as_told(info):
    """COMMAND INFO of one command, without what has no order and without Redis's remarks on key specifications."""
    if not isinstance(info, list):
        return info
    specs = [spec[2:] if spec[0] == b"$notes" else spec for spec in info[8]]
    return info[:8] + [specs, sorted(as_told(sub) for sub in info[9])]


def names(reply):
    return {item[1:].decode() for item in reply}


@pytest.fixture(scope="module")
def redis_node():
    with rig.Cluster(1, store="redis") as c:
        yield c.nodes[0]


def test_session_command_info_is_that_of_redis(oracle, redis_node):
    with Wire(oracle.path) as theirs, Wire(redis_node.client_port) as ours:
        everything = {i[0]: i for i in map(as_told, parsed(theirs.ask("COMMAND")))}
        served = {i[0]: i for i in map(as_told, parsed(ours.ask("COMMAND")))}
        assert len(served) > 150 and set(served) <= set(everything)
        for name, told in served.items():
            assert told == everything[name]
        assert ours.ask("COMMAND", "COUNT") == b":%d\r\n" % len(served)
        assert parsed(ours.ask("COMMAND", "INFO")) == parsed(ours.ask("COMMAND"))
        some = ["get", "GET", "nosuch", "client|list", "CLIENT|ID", "client|nosuch", "xread|", "", "SORT", "memory|usage"]
        want = [as_told(i) for i in parsed(theirs.ask("COMMAND", "INFO", *some))]
        assert [as_told(i) for i in parsed(ours.ask("COMMAND", "INFO", *some))] == want
        for line in ("LIST", "LIST FILTERBY ACLCAT read", "LIST FILTERBY ACLCAT SCRIPTING", "LIST FILTERBY ACLCAT dangerous", "LIST FILTERBY ACLCAT slow",
                     "LIST FILTERBY ACLCAT nosuch", "LIST FILTERBY PATTERN x*", "LIST FILTERBY PATTERN CLIENT*", "list filterby pattern [gs]et",
                     "LIST FILTERBY MODULE m"):
            all_of_them = names(parsed(theirs.ask("COMMAND", *line.split())))
            want = {n for n in all_of_them if b"$" + n.split("|")[0].encode() in served}
            assert names(parsed(ours.ask("COMMAND", *line.split()))) == want, line


GETKEYS = """
GET k
MGET a b c
MSET a 1 b 2
SET k v
SET k v GET
SET k v EX 10 get
BITFIELD k GET u8 0
BITFIELD k SET u8 0 1
RENAME a b
SINTERSTORE a b c
SUNION a b
SORT k
SORT k GET x STORE y
GEORADIUS k 1 2 3 m STORE y
GEORADIUS k 1 2 3 m STORE
GEORADIUS k 1 2 3 m store y STORE z
GEORADIUS k 1 2 3 m STOREDIST y STORE z
GEORADIUSBYMEMBER k m 3 KM store y STORE z
GEORADIUSBYMEMBER k m 3 KM
XREAD COUNT 2 STREAMS a b 0 0
XREAD COUNT 2 a b 0 0
XREADGROUP GROUP g c STREAMS a >
ZUNIONSTORE d 2 a b WEIGHTS 1 2
ZUNION 2 a b
ZUNION 3 a b
ZUNION 0 a
LMPOP 1 a LEFT
SORT k STORE x STORE y
BITOP AND a b c
EVAL s 2 a b c
EVAL s 0
EVAL_RO s 1 a
EVALSHA s 1 a
LMOVE a b LEFT RIGHT
COPY a b
XGROUP CREATE k g 0
XADD k * a b
OBJECT ENCODING k
OBJECT
OBJECT NOSUCH k
OBJECT ENCODING
MEMORY USAGE k
PING x
NOSUCH k
GET
GET a b
MSET a
DEL
CLIENT ID
CONFIG GET x
PFCOUNT a b
ZADD z 1 m
RESTORE k 0 x
EXPIRE k 1
LCS a b
"""


def test_session_command_getkeys_is_answered_as_by_redis(oracle, redis_node):
    lines_ = "\n".join(f"COMMAND {how} {line}" for line in GETKEYS.split("\n") if line for how in ("GETKEYS", "GETKEYSANDFLAGS"))
    same_answers(oracle.path, redis_node.client_port, lines_ + """
COMMAND NOSUCH
COMMAND COUNT x
COMMAND LIST x
COMMAND LIST FILTERBY
COMMAND LIST FILTERBY ACLCAT
COMMAND LIST FILTERBY MODULE
COMMAND LIST FILTERBY PATTERN
COMMAND LIST FILTERBY nosuch x
COMMAND LIST FILTERBY ACLCAT read x
COMMAND GETKEYS
COMMAND INFO nosuch
""")


# ---- CONFIG, ACL, and what is small ---------------------------------------------------------------------

SMALL = """
ROLE
ROLE x
TIME x
MODULE LIST
MODULE LIST x
MODULE
MODULE NOSUCH
LOLWUT
LOLWUT VERSION 9
ACL WHOAMI
ACL WHOAMI x
ACL USERS
ACL LIST
ACL GETUSER default
ACL GETUSER nobody
ACL GETUSER
ACL CAT
ACL CAT nosuch
ACL NOSUCH
ACL
CONFIG
CONFIG GET
CONFIG GET nosuch
CONFIG GET nosuch? other
CONFIG GET maxmemory
CONFIG GET maxmemory-POLIC?
CONFIG GET maxmemory maxmemory
CONFIG GET save
CONFIG GET timeout
CONFIG GET proto-max-bulk-len
CONFIG GET client-query-buffer-limit?
CONFIG GET maxmemory-clients
CONFIG GET notify-keyspace-events
CONFIG GET latency-monitor-threshold
CONFIG GET requirepass
CONFIG SET maxmemory
CONFIG REWRITE x
CONFIG RESETSTAT x
CONFIG NOSUCH
"""


@pytest.mark.parametrize("protocol", [2, 3])
def test_session_small_ones_are_answered_as_by_redis(oracle, node, protocol):
    same_answers(oracle.path, node.client_port, SMALL, protocol)


def test_session_acl_tells_of_the_one_user(oracle, guarded):
    with Wire(oracle.path) as theirs, Wire(guarded.client_port) as ours:
        assert theirs.ask("AUTH", "sesame") == ours.ask("AUTH", "sesame") == b"+OK\r\n"
        for category in ("read", "SCRIPTING", "connection"):
            assert names(parsed(ours.ask("ACL", "CAT", category))) <= names(parsed(theirs.ask("ACL", "CAT", category)))
        assert {"get", "mget", "ttl"} <= names(parsed(ours.ask("ACL", "CAT", "read")))
        told = [ours.ask("ACL", "LIST"), ours.ask("ACL", "GETUSER", "default"), ours.ask("CONFIG", "GET", "*")]
        assert b"nopass" not in told[0] + told[1] and b"sesame" not in b"".join(told)
        assert parsed(told[2])[1::2][parsed(told[2])[::2].index(b"$requirepass")] == b"$***"


def test_session_config_get_is_true(tmp_path):
    flags = {"client-connections": "77", "client-output-max-bytes": "8388608", "store-sync": "interval", "requirepass": ""}
    with rig.Cluster(1, flags=flags) as c:
        n = c.nodes[0]
        got = n.client().config_get("*")
        assert got == {**got, "maxclients": "77", "appendonly": "yes", "appendfsync": "everysec", "databases": "1", "port": str(n.client_port),
                       "bind": "127.0.0.1", "dir": n.directory, "logfile": n.log, "maxmemory": "0", "maxmemory-policy": "noeviction", "save": "",
                       "client-output-buffer-limit": "normal 8388608 0 0 slave 0 0 0 pubsub 0 0 0", "requirepass": "", "unixsocket": "",
                       "replica-read-only": "no", "cluster-enabled": "yes", "daemonize": "no"}
        assert n.client().info("clients")["maxclients"] == 77
        with Wire(n.client_port) as w:
            assert w.ask("CONFIG", "GET", "max*", "save", "maxc*", "MAXMEMORY").startswith(b"*10\r\n")
            for line, way in (("SET maxmemory 1", b"dyn-admin config set"), ("REWRITE", b"dyn-admin config set"), ("RESETSTAT", b"take")):
                got = w.ask("CONFIG", *line.split())
                assert got.startswith(b"-ERR 'CONFIG %s' isn't supported: " % line.split()[0].encode()) and way in got


def test_session_time_is_now(node):
    import time
    before = time.time()
    seconds, micros = node.client().time()
    assert before - 1 <= seconds + micros / 1e6 <= time.time() + 1 and 0 <= micros < 1000000


# ---- CLUSTER ----------------------------------------------------------------------------------------------

CLUSTER = """
CLUSTER
CLUSTER NOSUCH
CLUSTER KEYSLOT
CLUSTER KEYSLOT foo
CLUSTER KEYSLOT {foo}bar
CLUSTER KEYSLOT foo{}bar
CLUSTER KEYSLOT foo{bar
CLUSTER KEYSLOT foo{{bar}}zap
CLUSTER KEYSLOT {}{a}
CLUSTER KEYSLOT 123456789
CLUSTER KEYSLOT a b
CLUSTER REPLICAS
CLUSTER REPLICAS nobody
CLUSTER SLAVES nobody
CLUSTER MYID x
CLUSTER SLOTS x
CLUSTER INFO x
CLUSTER NODES x
CLUSTER SHARDS x
READONLY
READWRITE
ASKING
READONLY x
"""


@pytest.fixture(scope="module")
def cluster_oracle(tmp_path_factory):
    server = rig.RedisServer(str(tmp_path_factory.mktemp("session")), "clustered")
    server.start(["--cluster-enabled", "yes", "--port", str(rig.free_ports(1)[0]), "--cluster-port", str(rig.free_ports(1)[0])])
    yield server
    server.kill()


def test_session_cluster_is_answered_as_by_redis(cluster_oracle, node):
    same_answers(cluster_oracle.path, node.client_port, CLUSTER)
    with Wire(cluster_oracle.path) as theirs, Wire(node.client_port) as ours:
        for key in ("", "a", "x" * 300, "b\0\xff", "{" * 5, "}{", "{a}{b}"):
            assert ours.ask("CLUSTER", "KEYSLOT", key) == theirs.ask("CLUSTER", "KEYSLOT", key)


def shape(reply):
    """Its types: what stands in it is the server's own."""
    return [shape(r) for r in reply] if isinstance(reply, list) else reply[:1]


def test_session_cluster_has_the_shape_of_redis(cluster_oracle, node):
    cluster_oracle.client().execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    with Wire(cluster_oracle.path) as theirs, Wire(node.client_port) as ours:
        for line in ("CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER MYID", "CLUSTER NODES", "CLUSTER INFO", "INFO cluster"):
            want, got = parsed(theirs.ask(*line.split())), parsed(ours.ask(*line.split()))
            assert shape(got) == shape(want), line
        me = parsed(ours.ask("CLUSTER", "MYID"))[1:]
        assert re.fullmatch(rb"[0-9a-f]{40}", me) and me.startswith(node.admin("status")["node"]["id"].replace("-", "").encode())
        assert parsed(ours.ask("CLUSTER", "SLOTS")) == [[b":0", b":16383", [b"$127.0.0.1", b":%d" % node.client_port, b"$" + me, []]]]
        assert ours.ask("CLUSTER", "NODES").split(b"\r\n")[1] == \
            b"%s 127.0.0.1:%d@%d myself,master - 0 0 0 connected 0-16383\n" % (me, node.client_port, node.peer_port)
        assert ours.ask("CLUSTER", "REPLICAS", me) == b"*0\r\n"
        got = dict(line.split(":") for line in parsed(ours.ask("CLUSTER", "INFO"))[1:].decode().split("\r\n") if line)
        assert got["cluster_state"] == "ok" and got["cluster_slots_ok"] == "16384" and got["cluster_known_nodes"] == "1"
        for line in ("GETKEYSINSLOT 1 1", "COUNTKEYSINSLOT 1", "MEET 127.0.0.1 1", "RESET", "FAILOVER"):
            assert b"isn't supported: " in ours.ask("CLUSTER", *line.split())


def test_session_cluster_names_the_members():
    with rig.Cluster(3) as c:
        a, b, d = c.nodes
        def told():
            text = a.client().execute_command("CLUSTER NODES")
            return {at: line["flags"] + " " + ("connected" if line["connected"] else "disconnected") for at, line in text.items()}
        rig.wait_until(lambda: told() == {f"127.0.0.1:{a.client_port}": "myself,master connected", "127.0.0.1:0": "master,noaddr connected"},
                       "both are connected")
        raw = a.client().connection_pool.get_connection("_")
        raw.send_command("CLUSTER", "NODES")
        ids = {line.split()[0] for line in raw.read_response().decode().splitlines()}
        assert ids == {n.admin("status")["node"]["id"].replace("-", "") + "0" * 8 for n in c.nodes}
        assert b"cluster_known_nodes:3" in parsed(Wire(a.client_port).ask("CLUSTER", "INFO"))
        b.kill()
        d.kill()
        rig.down(a, 2)
        assert told()["127.0.0.1:0"] == "master,fail,noaddr disconnected"


def test_session_clients_of_a_cluster_work(node):
    """Every node takes every key."""
    from redis.cluster import RedisCluster
    c = RedisCluster(host="127.0.0.1", port=node.client_port)
    for i in range(50):
        assert c.set(f"rc{i}", i)
    assert [int(c.get(f"rc{i}")) for i in range(50)] == list(range(50))
    assert c.delete("rc1") == 1 and len(c.get_nodes()) == 1
    c.close()


def test_session_redis_cli_looks_at_the_cluster(node):
    import subprocess
    def cli(*words):
        return subprocess.run(["redis-cli", *words], capture_output=True, timeout=30, check=True).stdout.decode()
    where = f"127.0.0.1:{node.client_port}"
    assert f"{where} (" in cli("--cluster", "info", where) and "16384 slots" in cli("--cluster", "info", where)
    assert "[OK] All 16384 slots covered" in cli("--cluster", "check", where)
    assert cli("-c", "-p", str(node.client_port), "set", "cli", "1").strip() == "OK"


WORDS = {b"$complexity", b"$history", b"$doc_flags", b"$deprecated_since", b"$replaced_by", b"$summary"}  # texts, and what changed when


def documented(docs, argument=False):
    """COMMAND DOCS of one command, or of one argument, as a dictionary without Redis's texts."""
    told = {k: v for k, v in zip(docs[::2], docs[1::2]) if k not in WORDS and not (argument and k == b"$since")}
    if b"$arguments" in told:
        told[b"$arguments"] = [documented(a, True) for a in told[b"$arguments"]]
    if b"$subcommands" in told:
        told[b"$subcommands"] = {k: documented(v) for k, v in zip(told[b"$subcommands"][::2], told[b"$subcommands"][1::2])}
    return told


def test_session_command_docs_tell_the_arguments_as_redis_does(oracle, redis_node):
    with Wire(oracle.path) as theirs, Wire(redis_node.client_port) as ours:
        everything = parsed(theirs.ask("COMMAND", "DOCS"))
        everything = {k: documented(v) for k, v in zip(everything[::2], everything[1::2])}
        served = parsed(ours.ask("COMMAND", "DOCS"))
        assert len(served) == 2 * int(ours.ask("COMMAND", "COUNT")[1:])
        for name, docs in zip(served[::2], served[1::2]):
            told, want = documented(docs), everything[name]
            subs = told.pop(b"$subcommands", {})
            assert subs == {k: v for k, v in want.pop(b"$subcommands", {}).items() if k in subs}
            assert told == want, name
        assert parsed(ours.ask("COMMAND", "DOCS", "nosuch")) == []
        assert parsed(ours.ask("COMMAND", "DOCS", "GET", "nosuch", "client|id"))[::2] == [b"$get", b"$client|id"]


def test_session_redis_cli_gives_hints(redis_node):
    """It takes them from COMMAND DOCS."""
    import subprocess
    cli = subprocess.run(["redis-cli", "-p", str(redis_node.client_port)], input=b"HELP SET\n", capture_output=True, timeout=30, check=True)
    assert b"key value [NX|XX] [GET] [EX seconds|" in cli.stdout, cli
