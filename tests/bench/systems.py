"""What is measured: redis-server, twemproxy and dynomited, started on free ports of loopback; and how: redis-benchmark's
count, CPU time from /proc/PID/stat, memory from /proc/PID/status.

A system is what clients talk to: a port and the processes behind it, the one in front first. Use as context managers;
only processes that were started here are ended, by pid."""
import csv
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cluster"))
try:
    import rig  # noqa: E402
except ImportError as missing:
    sys.exit(f"bench: {missing}: ./tools/dev packages installs python3-redis; run it with /usr/bin/python3")

REQUESTS = int(os.environ.get("BENCH_REQUESTS", "100000"))
PATIENCE = int(os.environ.get("BENCH_SECONDS", "120"))  # of a row that doesn't end
DIRECTORY = os.environ.get("BENCH_DIR")  # where all data lies; None is the system's temporary directory
QUIET = 0.05  # share of the machine that others may have during a row
TICK = os.sysconf("SC_CLK_TCK")
os.environ["PATH"] += ":/usr/sbin"  # where nutcracker lies


class CannotMeasure(Exception):
    """The reason why a row has no figures."""


@dataclass(frozen=True)
class Work:
    """One line of redis-benchmark: command is set, get or mget (100 keys)."""
    command: str
    pipeline: int
    clients: int = 50
    size: int = 64
    keys: int = 100000
    requests: int = 0
    label: str = ""

    @property
    def name(self):
        return self.label or f"{self.command.upper()} P{self.pipeline}"

    @property
    def count(self):
        """Enough that ticks of 10 ms don't show."""
        n = self.requests or REQUESTS * (4 if self.pipeline > 1 else 1)
        return max(n - n % self.pipeline, self.clients * self.pipeline)

    def smaller(self, divisor):
        """The same with fewer requests, for systems that would take long."""
        return replace(self, requests=self.count // divisor, label=self.name)

    def arguments(self, port):
        base = ["redis-benchmark", "-p", str(port), "-c", str(self.clients), "-P", str(self.pipeline), "-d", str(self.size),
                "-r", str(self.keys), "-n", str(self.count), "--csv"]
        if self.command == "mget":
            return base + ["mget"] + ["key:__rand_int__"] * 100
        return base + ["-t", self.command]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def anonymous(pid):
    """RssAnon in bytes: mapped files are the page cache's."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:")) * 1024


class PeakMemory:
    """Samples RssAnon of a process from a thread of its own while the block runs."""

    def __init__(self, pid):
        self.pid, self.bytes = pid, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        while True:
            self.bytes = max(self.bytes, anonymous(self.pid))
            if self.ended.wait(0.005):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()


class System:
    """name: how tables call it; against: the name of the system that it is compared with."""

    def __init__(self, name, against=None):
        self.name, self.against = name, against
        self.port = 0
        self.processes = {}  # label -> pid; the first is the one in front
        self.directory = None
        self.children = []

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="dynbench.", dir=DIRECTORY)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for child in self.children:
            child.kill()
            child.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def spawn(self, *arguments):
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        rig.wait_until(lambda: child.poll() is not None or self.answers(), f"{self.name} answers")
        if child.poll() is not None:
            raise CannotMeasure(f"{arguments[0]} ended with {child.returncode}")
        return child.pid

    def answers(self):
        return rig.redis.Redis(port=self.port).get("x") is None

    @property
    def front(self):
        return next(iter(self.processes.values()))

    def start(self):
        raise NotImplementedError


class Redis(System):
    """redis-server that writes no snapshots. Its append-only file, if asked for, isn't rewritten while we look: that
    would be in its favour only."""

    def __init__(self, name="redis direct", sync=None, against=None):
        super().__init__(name, against)
        self.sync = sync

    def start(self):
        self.port, = rig.free_ports(1)
        log = ["--appendonly", "yes", "--appendfsync", self.sync, "--auto-aof-rewrite-percentage", "0"] if self.sync else []
        self.processes["redis"] = self.spawn("redis-server", "--port", str(self.port), "--save", "", "--dir", self.directory,
                                             *log)


class Twemproxy(System):
    def __init__(self, backend, against):
        super().__init__("twemproxy", against)
        self.backend = backend

    def start(self):
        self.port, stats = rig.free_ports(2)
        conf = os.path.join(self.directory, "nutcracker.yml")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"pool:\n  listen: 127.0.0.1:{self.port}\n  hash: murmur\n  redis: true\n"
                    f"  servers:\n   - 127.0.0.1:{self.backend.port}:1\n")
        self.processes["twemproxy"] = self.spawn("nutcracker", "-c", conf, "-s", str(stats))
        self.processes["redis"] = self.backend.front


class Dynomited(System):
    """A cluster of n, or of these places; clients talk to the first. backends: a Redis for each node; none: the embedded
    store. Flags are those of dynomited; what isn't given is its default."""

    def __init__(self, name, n=1, backends=(), flags=None, against=None, places=None):
        super().__init__(name, against)
        self.n, self.backends, self.flags, self.places = len(places or range(n)), backends, flags or {}, places
        self.cluster = None

    def start(self):
        self.cluster = rig.Cluster(self.n, directory=os.path.join(self.directory, "cluster"), places=self.places,
                                   flags={"gos-interval": "1000", **self.flags})
        for node, backend in zip(self.cluster.nodes, self.backends):
            node.flags.update({"data-store": "redis", "servers": f"127.0.0.1:{backend.port}:1"})
        os.makedirs(self.cluster.directory)
        self.cluster.__enter__()
        self.port = self.cluster.nodes[0].client_port
        self.note_processes()

    def note_processes(self):
        """To be called again when a node was started again."""
        names = ["dynomited"] if self.n == 1 else [node.name for node in self.cluster.nodes]
        self.processes = {name: node.process.pid for name, node in zip(names, self.cluster.nodes) if node.process}
        names = ["redis"] if self.n == 1 else [f"redis{i + 1}" for i in range(self.n)]
        self.processes.update({name: backend.front for name, backend in zip(names, self.backends)})

    def __exit__(self, *error):
        if self.cluster:
            self.cluster.end_all()
        super().__exit__(*error)


def fill(port, keys=100000, size=64):
    """Gives every key of redis-benchmark's -r a value."""
    value = b"x" * size
    with socket.create_connection(("127.0.0.1", port)) as s:
        replies = s.makefile("rb")
        for first in range(0, keys, 500):
            part = range(first, min(first + 500, keys))
            s.sendall(b"".join(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n" % (k, size, value) for k in part))
            for _ in part:
                reply = replies.readline()
                if reply != b"+OK\r\n":
                    raise CannotMeasure(f"filling the store: {reply.decode(errors='replace').strip() or 'hung up'}")


def settle(pids, window=0.1, deadline=60.0):
    """Waits until the processes have nothing left to do: no more than a tick each within the window. Returns how many
    seconds they had (0.0: they were done at once)."""
    began = since = time.monotonic()
    last = [cpu_seconds(pid) for pid in pids]
    while since - began < deadline:
        time.sleep(window)
        now = [cpu_seconds(pid) for pid in pids]
        if all(new - old < 1.5 / TICK for new, old in zip(now, last)):
            return since - began
        since, last = time.monotonic(), now
    raise CannotMeasure(f"still busy {deadline:.0f} s after the last reply")


def machine_seconds():
    """CPU time that this machine has given to programs, or that was taken from it, so far."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, kernel, _idle, _wait, _irq, _softirq, stolen = map(int, f.readline().split()[1:9])
    return (user + nice + kernel + stolen) / TICK


class Disturbance:
    """Around one row: `share` is what programs that have nothing to do with it had of the machine meanwhile."""

    def __init__(self, pids):
        self.pids, self.share = pids, 0.0

    def look(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = sum(map(cpu_seconds, self.pids)) + children.ru_utime + children.ru_stime + time.process_time()
        return time.monotonic(), machine_seconds() - ours

    def __enter__(self):
        self.began, self.foreign = self.look()
        return self

    def __exit__(self, *error):
        now, foreign = self.look()
        self.share = max(foreign - self.foreign, 0) / (now - self.began) / os.cpu_count()


class Repeats:
    """How often rows may still be measured again in this run: where the machine never gets quiet it is no use."""
    left = 20


def run_work(system, work):
    """run_once, up to three times until nothing else runs on the machine; the least disturbed counts. `foreign` is the
    share of the machine that something else had."""
    best = {}
    for attempt in range(3):
        with Disturbance(list(system.processes.values())) as other:
            figures = run_once(system, work)
        if not best or other.share < best["foreign"]:
            best = {**figures, "foreign": other.share}
        if best["foreign"] < QUIET or Repeats.left == 0:
            break
        Repeats.left -= attempt < 2
    return best


def run_once(system, work):
    """One row: requests a second, latency in ms, and CPU microseconds per request: `cpu` is the process in front, the
    others are `cpu.NAME`. What they still do after the last reply counts too; `after` is how many seconds of it."""
    before = {name: cpu_seconds(pid) for name, pid in system.processes.items()}
    try:
        done = subprocess.run(work.arguments(system.port), capture_output=True, text=True, timeout=PATIENCE, check=True)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"no end within {PATIENCE} s") from None
    except subprocess.CalledProcessError as error:
        raise CannotMeasure((error.stderr or error.stdout).strip()[-200:]) from None
    after = settle(system.processes.values())
    row = list(csv.DictReader(done.stdout.splitlines()))[0]
    figures = {"rate": float(row["rps"]), "p50": float(row["p50_latency_ms"]), "p99": float(row["p99_latency_ms"]),
               "after": after}
    for i, (name, pid) in enumerate(system.processes.items()):
        figures["cpu" if i == 0 else f"cpu.{name}"] = (cpu_seconds(pid) - before[name]) * 1e6 / work.count
    return figures


class Load:
    """The load generator: the build's if it is no older than load.c, else compiled here."""

    def __init__(self):
        source, self.program = os.path.join(HERE, "load.c"), os.path.join(rig.BUILD, "bench_load")
        if not os.path.exists(self.program) or os.path.getmtime(self.program) < os.path.getmtime(source):
            self.room = tempfile.TemporaryDirectory(prefix="dynbench.")
            self.program = os.path.join(self.room.name, "bench_load")
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-D_GNU_SOURCE", "-o", self.program, source], check=True)

    def run(self, *words):
        """What it prints: name -> value."""
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        if done.returncode:
            raise CannotMeasure(done.stderr.strip()[-200:])
        return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}

    def paced(self, port, rate, seconds=2, clients=50):
        """SETs at this rate whatever the answers do: latency in ms from the moment at which each was due."""
        return {"rate": rate, **self.run("paced", port, clients, int(rate), seconds)}

    def alone(self, port, count):
        """One client, one SET after the other."""
        return self.run("alone", port, count)

    @contextmanager
    def idle(self, port, clients):
        """Holds so many connections, each of which has had a PONG, during the block."""
        child = subprocess.Popen([self.program, "idle", str(port), str(clients)], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if child.stdout.readline() != "ready\n":
                raise CannotMeasure(child.stderr.read().strip())
            yield
        finally:
            child.communicate()
