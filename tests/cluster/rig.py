"""Real dynomited processes on loopback, for tests and for the demo.

Ports are picked free; nothing sleeps as synchronisation: wait_until waits for a condition with a
deadline. Only processes that were started here are ended, by pid."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import redis

LONG = bool(os.environ.get("DYN_LONG"))  # make check-faults: the numbers of writes that take their time
STATIC = {"enable-gossip": "false"}  # the configuration alone says who is there: who it doesn't name has left
NOTES = []  # what tests have counted; conftest.py shows it at the end

BUILD = os.environ.get("DYN_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))


def note(text):
    """Says it in the output of the test, and once more at the end of the run, where it is seen."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit("::", 1)[-1].split(" ")[0]
    NOTES.append(f"{test}: {text}")
    print(text)


BLOCK = 200  # ports
BLOCKS = range(10000, 32600, BLOCK)  # below the ports that the system gives to connections
held = []  # sockets on the first port of each block: no other process that runs tests takes from it


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def hold_block():
    """The ports of a block that nobody holds; it is ours up to the end of this process."""
    for base in random.sample(BLOCKS, len(BLOCKS)):
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", base))
        except OSError:
            s.close()
            continue
        held.append(s)
        return range(base + 1, base + BLOCK)
    raise AssertionError(f"no port between {BLOCKS.start} and {BLOCKS.stop} is free")


def every_port():
    """One free port after the other, none of them twice, since a node that is stopped still owns its ports."""
    while True:
        yield from filter(is_free, hold_block())


unused = every_port()


def free_ports(n):
    return [next(unused) for _ in range(n)]


def freeze(process):
    """SIGSTOP, and no thread of it runs any more: the signal alone leaves the others some time."""
    process.send_signal(signal.SIGSTOP)

    def stopped():
        states = []
        for task in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{task}/stat", encoding="utf-8") as f:
                states.append(f.read().rsplit(")", 1)[1].split()[0])
        return set(states) == {"T"}
    wait_until(stopped, "all threads are stopped")


def another_second():
    """Whoever starts afterwards has a later start mark than who runs already: marks are seconds."""
    began = int(time.time())
    wait_until(lambda: int(time.time()) > began, "the next second")


def wait_until(condition, what, deadline=20.0):
    """Polls condition() until it is true; an AssertionError names what was waited for."""
    end = time.monotonic() + deadline
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, redis.RedisError, subprocess.CalledProcessError, ValueError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"not within {deadline} s: {what} (last: {last!r})")


def down(node, n=1):
    wait_until(lambda: node.states_of_peers().count("DOWN") == n, f"{n} peers are DOWN")


class Node:
    """One dynomited. flags: option name -> value (or a list of values)."""
    stderr = subprocess.PIPE
    program = "dynomited"

    def __init__(self, directory, name, ports, flags):
        self.directory = os.path.join(directory, name)
        self.name = name
        self.client_port, self.peer_port, self.http_port = ports
        self.flags = flags
        self.process = None
        self.log = os.path.join(directory, name + ".log")

    def arguments(self):
        args = [os.path.join(BUILD, self.program), "--output", self.log]
        base = {"data-dir": self.directory, "listen": f"127.0.0.1:{self.client_port}",
                "dyn-listen": f"127.0.0.1:{self.peer_port}",
                "stats-listen": f"127.0.0.1:{self.http_port}"}
        for key, value in {**base, **self.flags}.items():
            for one in value if isinstance(value, list) else [value]:
                args += ["--" + key, str(one)]
        return args

    def start(self, wait=True):
        assert self.process is None
        self.process = subprocess.Popen(self.arguments(), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.stderr)
        if wait:
            wait_until(lambda: self.alive() and self.answers(), f"{self.name} answers")
        return self

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: "
                                 f"{self.process.stderr.read().decode()} {self.log_text()[-3000:]}")
        return True

    def answers(self):
        """Its clients, in their protocol."""
        if self.flags.get("data-store") != "memcache":
            return self.client().ping()
        with socket.create_connection(("127.0.0.1", self.client_port), 5) as s:
            s.sendall(b"mn\r\n")
            return s.recv(9) == b"MN\r\n"

    def client(self, **options):
        options.setdefault("password", self.flags.get("requirepass"))
        return redis.Redis(port=self.client_port, socket_timeout=15, **options)

    def ended(self):
        """What it said on stderr; a checker's word fails the test."""
        process, self.process = self.process, None
        if not process.stderr:
            return ""
        text = process.stderr.read().decode(errors="replace")
        process.stderr.close()
        assert "Sanitizer" not in text, text
        return text

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.ended()

    def stop(self):
        """TERM; the exit status must be 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=15)
        text = self.ended()
        assert code == 0, f"{self.name}: exit status {code}: {text} {self.log_text()[-3000:]}"

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def admin_run(self, *words, **options):
        return subprocess.run([os.path.join(BUILD, "dyn-admin"), "-n",
                               os.path.join(self.directory, "admin.sock"), *words],
                              capture_output=True, timeout=30, **options)

    def admin(self, *words):
        done = self.admin_run("-o", "json", *words, check=True)
        return json.loads(done.stdout)

    def pending(self):
        return self.admin("hints")["totals"]["pending"]

    def http(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as r:
            return r.read().decode()

    def metrics(self):
        values = {}
        for line in self.http("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                assert name not in values, f"{name} twice"
                values[name] = float(value)
        return values

    def memory(self, field="RssAnon"):
        """Bytes of its process; 0 under a sanitizer, whose memory isn't the program's."""
        with open(f"/proc/{self.process.pid}/maps", encoding="ascii") as f:
            if any("libasan" in line or "libtsan" in line for line in f):
                return 0
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(field + ":")) * 1024

    def state(self):
        return self.admin("status")["node"]["state"]

    def members(self):
        """What membership says of each peer: address -> state."""
        return {p["address"]: p["state"] for p in self.admin("status")["peers"]}

    def states_of_peers(self):
        """The states, and DOWN where the link is: there writes become hints."""
        return [p["state"] if p["link"] else "DOWN" for p in self.admin("status")["peers"]]


class RedisServer:
    """One redis-server on a unix socket, that keeps what it answered."""

    def __init__(self, directory, name):
        self.directory = os.path.join(directory, name + ".redis")
        self.path = os.path.join(self.directory, "redis.sock")
        self.process = None

    def start(self, options=()):
        os.makedirs(self.directory, exist_ok=True)
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", self.directory,
             "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--logfile", "redis.log",
             "--enable-debug-command", "local", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(self.client().ping, "redis-server answers")

    def client(self, **options):
        return redis.Redis(unix_socket_path=self.path, **options)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None


class Memcached:
    """One memcached, that keeps nothing."""

    def __init__(self):
        self.port = free_ports(1)[0]
        self.path = f"127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "1", "-m", "64", *user],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: not is_free(self.port), "memcached listens")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None


class Cluster:
    """n racks with one node each, one datacenter, or the given places: (datacenter, rack, tokens) of each
    node. Use as a context manager. store: embedded, or redis or memcache (each node then has a server of
    its own, in .backends). seeds: of each node the indexes of those in its dyn_seeds; None: all others."""
    node_class = Node

    def __init__(self, n=3, directory=None, flags=None, name="test", store="embedded", places=None, seeds=None):
        self.places = places or [("dc1", f"rack{i + 1}", "0") for i in range(n)]
        n = len(self.places)
        self.directory = directory or tempfile.mkdtemp(prefix="dyncluster.")
        self.keep = directory is not None
        ports = self.ports()
        self.nodes, self.backends = [], []
        for i in range(n):
            named = [f"{self.host(k)}:{ports[k][1]}:{rack}:{dc}:{tokens}"
                     for k, (dc, rack, tokens) in enumerate(self.places)
                     if k != i and (seeds is None or k in seeds[i])]
            datacenter, rack, tokens = self.places[i]
            mine = {"pool-name": name, "datacenter": datacenter, "rack": rack, "tokens": tokens,
                    "gos-interval": "300", **(flags or {})}
            if named:
                mine["dyn-seeds"] = named
            if store == "redis":
                self.backends.append(RedisServer(self.directory, f"node{i + 1}"))
                mine.update({"data-store": "redis", "servers": self.backends[i].path + ":1"})
            if store == "memcache":
                self.backends.append(Memcached())
                mine.update({"data-store": "memcache", "servers": self.backends[i].path + ":1"})
            self.nodes.append(self.node_class(self.directory, f"node{i + 1}", ports[i], mine))

    def host(self, i):
        """Where peers dial node i."""
        del i
        return "127.0.0.1"

    def ports(self):
        """Of each node three: clients, peers, HTTP."""
        free = free_ports(3 * len(self.places))
        return [free[3 * i:3 * i + 3] for i in range(len(self.places))]

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.end_all()
            raise
        return self

    def start(self):
        for backend in self.backends:
            backend.start()
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            wait_until(lambda n=node: n.alive() and n.answers(), f"{node.name} answers")
        for node, backend in zip(self.nodes, self.backends):
            if node.flags["servers"] == backend.path + ":1":
                wait_until(lambda n=node: n.metrics()["dynomite_backend_up"], f"{node.name}'s store is up")
        self.wait_linked()

    def running(self):
        return [n for n in self.nodes if n.process]

    def wait_linked(self):
        """Every running node sees every other running node as NORMAL, and has a link to it."""
        live = len(self.running())
        for node in self.running():
            wait_until(lambda n=node: n.state() == "NORMAL" and
                       n.states_of_peers().count("NORMAL") == live - 1,
                       f"{node.name} sees {live - 1} NORMAL peers", 40)

    def wait_delivered(self, deadline=20.0):
        for node in self.running():
            wait_until(lambda n=node: n.pending() == 0, f"{node.name} has no hints", deadline)

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                for node in self.running():
                    node.stop()
        finally:
            self.end_all()
            if not self.keep:
                shutil.rmtree(self.directory, ignore_errors=True)

    def end_all(self):
        """Every process, also when one of them has something to say. What they logged is shown when a test fails."""
        said = []
        if sys.exc_info()[0]:
            for node in self.nodes:
                if os.path.exists(node.log):
                    print(f"--- {node.name}\n{node.log_text()[-4000:]}")
        for node in self.running():
            try:
                node.kill()
            except AssertionError as error:
                said.append(error)
        for backend in self.backends:
            if backend.process:
                backend.kill()
        if said:
            raise said[0]



def copies(node, key):
    """What each replica has of the key, without what may differ."""
    return [(r["exists"], r["type"], r["bytes"], r["digest"])
            for r in node.admin("key", key)["replicas"]]


def own_values(cluster, index, keys):
    """The values that one node has in its own store: read at DC_ONE through itself once it is NORMAL."""
    if cluster.backends:
        return dict(zip(keys, cluster.backends[index].client().mget(keys)))
    node = cluster.nodes[index]
    wait_until(lambda: node.state() == "NORMAL", f"{node.name} is NORMAL", 40)
    c = node.client()
    values = {}
    for i in range(0, len(keys), 500):
        part = keys[i:i + 500]
        values.update(zip(part, c.mget(part)))
    return values
