"""Client programs and libraries as people use them, with their defaults: against one node and three, before a Redis and with
the embedded store. node-redis and ioredis are installed from npm into the build directory, into clients/; where Node or its
registry isn't there, that is skipped and counted."""
import fcntl
import os
import re
import shutil
import subprocess
import threading

import pytest
import redis
import rig
from wire import Wire, command

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients")


class Where:
    """What is started once for the tests of this file: a name, its store, its nodes."""

    def __init__(self, name, store, cluster):
        self.name, self.store, self.cluster = name, store, cluster
        self.node = cluster.nodes[0]

    @property
    def port(self):
        return self.node.client_port

    def kill_and_restart(self):
        self.node.kill()
        self.node.start()


@pytest.fixture(scope="module", params=["redis-1", "redis-3", "embedded-1", "embedded-3"])
def where(request):
    store, n = request.param.split("-")
    flags = {"write-consistency": "DC_QUORUM", "read-consistency": "DC_QUORUM", "allow-flush": "true"} if n == "3" else {}
    with rig.Cluster(int(n), store=store, flags=flags) as c:
        yield Where(request.param, store, c)


def run(*words, deadline=60, **options):
    return subprocess.run([str(w) for w in words], capture_output=True, timeout=deadline, check=False, **options)


def output(*words, **options):
    done = run(*words, **options)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.decode()


# ---- redis-cli ---------------------------------------------------------------------------------------

def cli(where, *words, **options):
    return output("redis-cli", "-p", where.port, *words, **options)


def test_clients_redis_cli(where):
    assert cli(where, "SET", "cli:a", "1") == "OK\n" and cli(where, "GET", "cli:a") == "1\n"
    assert cli(where, "-3", "SET", "cli:b", "2") == "OK\n" and cli(where, "-3", "GET", "cli:b") == "2\n"
    assert cli(where, "GET", "cli:none") == "\n" and cli(where, "INCR", "cli:a") == "2\n"
    assert cli(where, "--no-auth-warning", "-x", "SET", "cli:stdin", input=b"from stdin") == "OK\n"
    assert cli(where, "-r", "5", "-i", "0.01", "PING") == "PONG\n" * 5
    assert cli(where, input=b"SET cli:lines 1\nINCR cli:lines\nGET cli:lines\n") == "OK\n2\n2\n"
    assert "ERR unknown command 'NOSUCH'" in cli(where, "NOSUCH")
    if where.store == "redis":
        cli(where, "HSET", "cli:h", "f", "v", "g", "w")
        assert cli(where, "-3", "--json", "HGETALL", "cli:h") == '{"f":"v","g":"w"}\n'
        assert cli(where, "EVAL", "return {KEYS[1],ARGV[1]}", "1", "cli:a", "x") == "cli:a\nx\n"


def test_clients_redis_cli_pipe(where):
    n = 5000
    data = b"".join(command("SET", f"pipe:{i}", i) for i in range(n))
    said = output("redis-cli", "-p", where.port, "--pipe", input=data)
    assert f"errors: 0, replies: {n}" in said
    assert where.node.client().mget("pipe:0", f"pipe:{n - 1}") == [b"0", b"%d" % (n - 1)]


def test_clients_redis_cli_looks_at_all_keys(where):
    c = where.node.client()
    keys = {f"look:{i}" for i in range(300)}
    c.mset({k: "x" * 50 for k in keys})
    told = cli(where, "--scan", "--pattern", "look:*").split()
    assert len(told) == 300 and set(told) == keys
    c.set("look:big", "y" * 5000)
    if where.store == "redis":
        c.rpush("look:list", *range(50))
    found = cli(where, "--bigkeys")
    assert "Biggest string found '\"look:big\"' has 5000 bytes" in found
    assert where.store == "embedded" or "Biggest   list found '\"look:list\"' has 50 items" in found
    assert int(re.search(r"Sampled (\d+) keys", found)[1]) == c.dbsize()


def test_clients_redis_cli_watches(where):
    said = cli(where, "--latency", "--raw", deadline=20).split()
    assert len(said) == 4 and float(said[0]) <= float(said[2]) <= float(said[1]) and int(said[3]) > 0
    stat = subprocess.Popen(["redis-cli", "-p", str(where.port), "--stat", "-i", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        lines = [stat.stdout.readline().decode() for _ in range(5)]
    finally:
        stat.kill()
        stat.communicate()
    assert "load" in lines[0] and "requests" in lines[1]
    assert re.match(r"\d+ +[\d.]+[KMG] +\d+ +\d+ +\d+ \(\+\d+\) +\d+", lines[3]), lines


# ---- redis-benchmark ---------------------------------------------------------------------------------

BENCHMARKS = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP", "ZADD",
              "ZPOPMIN", "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)", "LRANGE_300 (first 300 elements)",
              "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"]


@pytest.mark.parametrize("options", [[], ["-P", "16"], ["-3", "-P", "4", "-r", "100"]], ids=["", "P16", "RESP3"])
def test_clients_redis_benchmark(where, options):
    """Its whole default list; with the embedded store what that has."""
    wanted = BENCHMARKS
    if where.store == "embedded":
        options, wanted = options + ["-t", "ping,set,get,incr,mset"], BENCHMARKS[:5] + BENCHMARKS[-1:]
    done = run("redis-benchmark", "-p", where.port, "-n", 1000, "-c", 20, "--csv", *options, deadline=120)
    said = done.stdout.decode()
    assert done.returncode == 0 and "rror" not in said, (said, done.stderr)
    assert re.findall(r'^"(.*?)","[\d.]+"', said, re.M) == wanted, said


# ---- python3-redis -----------------------------------------------------------------------------------

def test_clients_python_redis(where):
    c = redis.Redis(port=where.port, decode_responses=True, socket_timeout=20)
    assert c.ping() and c.set("py:a", "é") and c.get("py:a") == "é" and c.get("py:none") is None
    assert c.mset({f"py:s{i}": i for i in range(200)})
    with c.pipeline(transaction=False) as p:
        for i in range(200):
            p.get(f"py:s{i}")
        assert p.execute() == [str(i) for i in range(200)]
    told = list(c.scan_iter(match="py:s*", count=50))
    assert len(told) == 200 and set(told) == {f"py:s{i}" for i in range(200)}
    assert c.set("py:nx", 1, nx=True, ex=100) and c.set("py:nx", 2, nx=True) is None and 0 < c.ttl("py:nx") <= 100
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        c.incr("py:a")
    assert c.info()["redis_version"] and c.client_id() and c.dbsize() > 200
    assert c.client_setname("py") and c.client_getname() == "py" and c.config_get("maxmemory")
    subscribed = c.pubsub()
    with pytest.raises(redis.ResponseError, match="'SUBSCRIBE' isn't supported: messages between clients aren't passed on"):
        subscribed.subscribe("channel")
        subscribed.get_message(timeout=20)
    with pytest.raises(redis.ResponseError, match="'PUBLISH' isn't supported: "):
        c.publish("channel", "x")


def test_clients_python_redis_types_and_scripts(where):
    if where.store == "embedded":
        with pytest.raises(redis.ResponseError, match="unknown command 'HSET'"):
            where.node.client().hset("py:h", "f", 1)
        return
    c = redis.Redis(port=where.port, decode_responses=True, socket_timeout=20)
    c.delete("py:h", "py:l", "py:z", "py:x")
    assert c.hset("py:h", mapping={"f": 1, "g": 2}) == 2 and c.hgetall("py:h") == {"f": "1", "g": "2"}
    assert c.rpush("py:l", 1, 2, 3) == 3 and c.lrange("py:l", 0, -1) == ["1", "2", "3"]
    assert c.zadd("py:z", {"m": 1.5}) == 1 and c.zrange("py:z", 0, -1, withscores=True) == [("m", 1.5)]
    assert c.xadd("py:x", {"a": "b"}) and len(c.xrange("py:x")) == 1
    script = c.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    c.set("py:n", 1)
    assert script(keys=["py:n"], args=[4]) == 5 and script(keys=["py:n"], args=[4]) == 9  # EVALSHA, and SCRIPT LOAD once
    with c.lock("py:lock", timeout=30) as lock:  # SET NX PX, and a script to let it go
        assert lock.owned() and not c.lock("py:lock", blocking_timeout=0.1).acquire()
    assert c.get("py:lock") is None


def test_clients_python_redis_transactions(where):
    c = redis.Redis(port=where.port, decode_responses=True, socket_timeout=20)
    c.delete("{py}:a", "{py}:b")
    with c.pipeline() as p:  # MULTI and EXEC
        p.set("{py}:a", 1).incr("{py}:a").get("{py}:a")
        assert p.execute() == [True, 2, "2"]

    def add(p):
        n = int(p.get("{py}:a"))
        p.multi()
        p.set("{py}:a", n + 1)
    for _ in range(3):
        assert c.transaction(add, "{py}:a") == [True]  # WATCH
    assert c.get("{py}:a") == "5"
    with c.pipeline() as p:
        p.watch("{py}:a")
        c.set("{py}:a", 10)
        p.multi()
        p.set("{py}:a", 11)
        with pytest.raises(redis.WatchError):
            p.execute()
    assert c.get("{py}:a") == "10"


def test_clients_python_redis_finds_its_way_back(where):
    c = redis.Redis(port=where.port, socket_timeout=20)
    assert c.set("py:back", 1)
    where.kill_and_restart()
    rig.wait_until(lambda: c.set("py:back", 2), "the same client gets on")
    assert c.get("py:back") == b"2"
    where.cluster.wait_linked()


def test_clients_the_greeting_of_redis_py_8(where):
    """What its version 8 sends on a new connection, by default and with a password; an error to MAINT_NOTIFICATIONS ("auto") and
    to SETINFO is passed over, all else must succeed. Each is awaited before the next."""
    with Wire(where.port) as w:
        hello = w.ask("HELLO", "3")
        assert hello.startswith(b"%7\r\n") and b"$5\r\nproto\r\n:3\r\n" in hello and b"$6\r\nserver\r\n$5\r\nredis\r\n" in hello
        assert re.fullmatch(rb"(-ERR [^\r\n]*|\+OK)\r\n", w.ask("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "internal-ip"))
        assert w.ask("CLIENT", "SETNAME", "app") == b"+OK\r\n"
        assert w.ask("CLIENT", "SETINFO", "LIB-NAME", "redis-py") == b"+OK\r\n"
        assert w.ask("CLIENT", "SETINFO", "LIB-VER", "8.0.0") == b"+OK\r\n"
        assert w.ask("SELECT", "0") == b"+OK\r\n" and w.ask("PING") == b"+PONG\r\n"
        assert w.ask("GET", "py8:none") == b"_\r\n" and w.ask("SET", "py8:k", "v") == b"+OK\r\n" and w.ask("GET", "py8:k") == b"$1\r\nv\r\n"
    with Wire(where.port) as w:  # all of them at once, as asynchronous clients do
        w.send(command("HELLO", "3") + command("CLIENT", "MAINT_NOTIFICATIONS", "ON") + command("CLIENT", "SETINFO", "LIB-NAME", "x") + command("PING"))
        assert w.reply().startswith(b"%7\r\n")
        assert w.reply()[:1] in b"-+" and w.reply() == b"+OK\r\n" and w.reply() == b"+PONG\r\n"


# ---- hiredis ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def hiredis(tmp_path_factory):
    program = str(tmp_path_factory.mktemp("hiredis") / "hiredis")
    libraries = run("pkg-config", "--cflags", "--libs", "hiredis", "libuv")
    assert libraries.returncode == 0, "libhiredis-dev is missing: tools/dev packages"
    built = run("cc", "-std=gnu11", "-O1", "-o", program, os.path.join(HERE, "hiredis.c"), *libraries.stdout.decode().split())
    assert built.returncode == 0, built.stderr.decode()
    return program


def test_clients_hiredis(where, hiredis):
    """One command at a time, pipelined, and asynchronously with libuv."""
    assert output(hiredis, where.port, where.store).startswith("hiredis ")


# ---- Node -------------------------------------------------------------------------------------------

# The versions of the clients that run there, and whether that Node is new enough.
NODES = [(20, "node20"), (18, "node18")]


def installed():
    """The directory in the build directory into which the lock file of this machine's Node was installed."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node or npm isn't there: node-redis and ioredis weren't tried")
    version = int(output("node", "--version").lstrip("v").split(".")[0])
    name = next((name for least, name in NODES if version >= least), None)
    if not name:
        pytest.skip(f"Node {version} is too old: node-redis and ioredis weren't tried")
    directory = os.path.join(rig.BUILD, "clients", name)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes run tests, too
        install(os.path.join(HERE, name), directory)
    for script in ("node-redis.js", "ioredis.js", "reconnects.js"):
        shutil.copy(os.path.join(HERE, script), directory + "/" + script + f".{os.getpid()}")
        os.replace(directory + "/" + script + f".{os.getpid()}", directory + "/" + script)
    return directory


def install(source, directory):
    """Exactly what the lock file says; again only when that has changed."""
    with open(os.path.join(source, "package-lock.json"), "rb") as f:
        wanted = f.read()
    done = os.path.join(directory, "node_modules", ".of-this-lock")
    if os.path.exists(done):
        with open(done, "rb") as f:
            if f.read() == wanted:
                return
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(os.path.join(source, name), directory)
    if run("npm", "ping", cwd=directory, deadline=120).returncode != 0:
        pytest.skip("npm's registry can't be reached: node-redis and ioredis weren't tried")
    said = run("npm", "ci", "--ignore-scripts", cwd=directory, deadline=300)
    assert said.returncode == 0, said.stderr.decode()
    with open(done, "wb") as f:
        f.write(wanted)


@pytest.fixture(scope="module")
def modules():
    return installed()


@pytest.mark.parametrize("name", ["node-redis", "ioredis"])
def test_clients_of_node(where, modules, name):
    """With its defaults: RESP3 from its version 6 on. The node is killed meanwhile."""
    app = subprocess.Popen(["node", name + ".js", str(where.port), where.store], cwd=modules, stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    alarm = threading.Timer(120, app.kill)
    alarm.start()
    try:
        said = app.stdout.readline()
        if said == "kill\n":
            where.kill_and_restart()
            where.cluster.wait_linked()
        out, errors = app.communicate("go on\n")
    finally:
        alarm.cancel()
        if app.poll() is None:
            app.kill()
            app.wait()
    assert said == "kill\n" and app.returncode == 0, (said, out, errors)
    assert out.startswith(name + " "), out
    rig.note(f"{out.strip()} against {where.name}")


@pytest.mark.parametrize("name", ["node18", "node20"])
def test_clients_lock_files_name_no_host(name):
    """And each package has its checksum."""
    with open(os.path.join(HERE, name, "package-lock.json"), encoding="utf-8") as f:
        text = f.read()
    assert "://" not in text and '"resolved"' not in text
    assert text.count('"integrity"') == text.count('"node_modules/') > 5
    with open(os.path.join(HERE, name, ".npmrc"), encoding="utf-8") as f:
        assert "omit-lockfile-registry-resolved=true\n" in f.read()
