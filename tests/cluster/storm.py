"""Clients, faults and the history of both: 6 nodes in 2 datacenters of 3 racks, each with a network of its own, 20 clients that read and
write through them, a Nemesis, and what lies on each node's own store when all is over.

storm.py STORE READ_LEVEL WRITE_LEVEL SEED SECONDS [repairs] [FAULT ...] runs one by hand (DYN_BUILD as for the tests)."""
import collections
import dataclasses
import itertools
import os
import random
import sys
import tempfile
import threading
import time

import checker
import nemesis
import netns
import redis
import rig
from history import COUNT, MIXED, OK, ONE, OVER, READ, REFUSED, SAFE, UNKNOWN, History, Op, kind_of, outcome_of_error
from wire import Wire

PLACES = [(dc, f"rack{i}", "0") for dc in ("dc1", "dc2") for i in (1, 2, 3)]
CLIENTS = 20
COUNTERS = 8
PACE = 1 / 25     # s between a client's requests, on average
TIMEOUT = 2000    # ms, `timeout`
PATIENCE = 4.0    # s, for an answer
DELAY = 2         # ms from datacenter to datacenter
COPIES = 60       # keys of which dyn-admin is asked, each time
SETTLED = 60.0    # s, for hints, and again for equal stores
EVERYTHING = (*nemesis.NETWORK, *nemesis.NODES, *nemesis.STORES)


@dataclasses.dataclass
class Plan:
    store: str
    read: str
    write: str
    seed: int
    seconds: float
    sloppy: bool = False
    faults: tuple = EVERYTHING
    program: str = "dynomited"
    environment: dict = dataclasses.field(default_factory=dict)
    buckets: dict = dataclasses.field(default_factory=dict)  # kind of keys -> (read level, write level), where it isn't the one above
    repairs: bool = False  # read_repairs_enabled during the storm
    gossip: str = "300"  # ms, gos_interval: after three to four of them a silent peer counts as down

    def __str__(self):
        return (f"{self.store}, reads {self.read}, writes {self.write}, {self.buckets or ''} sloppy_quorum {str(self.sloppy).lower()}, "
                f"read_repairs_enabled {str(self.repairs).lower()}, {self.seconds} s, seed {self.seed}")

    def levels(self, key):
        """(read level, write level)"""
        return self.buckets.get(kind_of(key), (self.read, self.write))

    def flags(self):
        buckets = {"bucket-types": [f"{k}:{read}:{write}" for k, (read, write) in self.buckets.items()]} if self.buckets else {}
        return {**buckets, "read-consistency": self.read, "write-consistency": self.write, "sloppy-quorum": str(self.sloppy).lower(),
                "gos-interval": self.gossip, "timeout": TIMEOUT,
                "read-repairs-enabled": str(self.repairs).lower()}

    def nemesis_plan(self):
        stores = () if self.store == "redis" else tuple(nemesis.STORES)
        return nemesis.plan(self.seed, self.seconds, [k for k in self.faults if k not in stores], len(PLACES))


# ---- clients --------------------------------------------------------------------------------------------------------

connections = itertools.count(1)


class Recent:
    """Keys that somebody has written lately, for others to read."""

    def __init__(self):
        self.keys = []

    def add(self, key):
        self.keys.append(key)

    def choose(self, dice):
        return dice.choice(self.keys[-100:]) if self.keys else None


class Client(threading.Thread):
    """One request after the other through one node; a broken connection is made anew. Each has two mixed keys of its own, and
    others when a write to one of these gets no answer."""

    def __init__(self, number, plan, cluster, recent):
        super().__init__(daemon=True)
        self.name, self.at = f"c{number}", number % len(PLACES)
        self.plan, self.path, self.recent = plan, cluster.nodes[self.at].socket_path(), recent
        self.dice = random.Random(f"{plan.seed} {self.name}")
        self.ending, self.ended = threading.Event(), False
        self.ops, self.wire, self.connection = [], None, 0
        self.number, self.mixed, self.lengths = itertools.count(), [], {}

    def run(self):
        while not self.ending.wait(self.dice.expovariate(1 / PACE)):
            if self.wire or self.connect():
                self.step()
        if self.wire:
            self.wire.close()
        self.ended = True

    def connect(self):
        try:
            self.wire = Wire(self.path, PATIENCE)
        except OSError:
            return False
        self.connection = next(connections)
        return True

    # ---- what it does

    def step(self):
        x = self.dice.random()
        if x < 0.3:
            self.read(self.dice.choice([self.hot, self.hot, self.counter, self.recent_key, self.recent_key, self.recent_key])())
        elif x < 0.5:
            self.write_once()
        elif x < 0.65:
            self.overwrite(self.hot())
        elif x < 0.8:
            self.write("INCR", self.counter())
        else:
            self.change(self.dice.randrange(2))

    def hot(self):
        """A key that many write: through any node, or through this one only."""
        k = self.dice.randrange(10)
        return f"{OVER}:any{k}" if k < 4 else f"{OVER}:through{self.at}.{k % 3}"

    def counter(self):
        return f"{COUNT}:{self.dice.randrange(COUNTERS)}"

    def recent_key(self):
        return self.recent.choose(self.dice)

    def fresh(self):
        return f"{self.name}.{next(self.number)}"

    def write_once(self):
        """A key that nobody else writes: whoever doesn't find it later has lost it."""
        key = f"{OVER}:once{self.fresh()}"
        self.write("SET", key, self.fresh())
        self.recent.add(key)
        if self.dice.random() < 0.3:
            self.read(key)

    def overwrite(self, key):
        if self.dice.random() < 0.2:
            self.write("DEL", key)
        else:
            self.write("SET", key, self.fresh())
        if self.dice.random() < 0.3:
            self.read(key)

    def change(self, i):
        """The value stays a number, so that all four commands may follow each other."""
        while len(self.mixed) <= i:
            self.mixed.append(f"{MIXED}:{self.fresh()}")
        key = self.mixed[i]
        words = self.dice.choice([["APPEND", key, str(self.dice.randint(1, 9))]] * 3 + [["INCR", key]] * 3 + [["DEL", key]] +
                                 [["SET", key, str(self.dice.randint(1, 99))]])
        length = self.lengths.get(key)
        if length is None or length > 15:  # with a stamp from the beginning, and a number to the end
            words = ["SET", key, str(self.dice.randint(1, 99))]
        op = self.write(*words)
        if op.outcome == UNKNOWN:
            self.mixed.pop(i)
        elif op.outcome == OK:
            self.lengths[key] = {"SET": 2, "DEL": 0}.get(words[0], (length or 0) + 1)
        self.recent.add(key)
        if self.wire and self.dice.random() < 0.3:
            self.read(key)

    # ---- how

    def read(self, key):
        if key and self.wire:
            self.ask(self.plan.levels(key)[0], READ, key)

    def write(self, *words):
        return self.ask(self.plan.levels(words[1])[1], *words)

    def ask(self, level, *words):
        op = Op(self.name, self.connection, self.at, level, list(words), time.monotonic())
        self.ops.append(op)
        try:
            reply = self.wire.ask(*words)
        except (OSError, AssertionError):
            reply = b""
        if reply.endswith(b"\r\n"):
            op.end = time.monotonic()
            self.take(op, reply[:-2].decode())
        else:  # it is closed, or too late
            self.wire.close()
            self.wire = None
        if op.outcome != OK and words[0] == READ:
            op.outcome = REFUSED
        return op

    @staticmethod
    def take(op, reply):
        if reply[0] == "-":
            op.outcome, op.answer = outcome_of_error(reply), reply[1:]
            return
        op.outcome = OK
        if reply[0] == ":":
            op.answer = int(reply[1:])
        elif reply[0] == "+":
            op.answer = reply[1:]
        elif reply != "$-1":
            op.answer = reply.split("\r\n", 1)[1]


# ---- one run --------------------------------------------------------------------------------------------------------


class StormNode(netns.NetNode):
    environment = {}

    def arguments(self):
        return ["env", *(f"{k}={v}" for k, v in self.environment.items()), *super().arguments()]


class StormCluster(netns.NetCluster):
    node_class = StormNode


class Storm:
    """run() is the storm; settle() brings what was owed; compare() looks at the stores. As a context: the cluster is there."""

    def __init__(self, plan):
        self.plan = plan
        self.cluster = StormCluster(places=PLACES, delay_ms=DELAY, store=plan.store, flags=plan.flags())
        for node in self.cluster.nodes:
            node.program, node.environment = plan.program, plan.environment
        self.history = History([dc for dc, _, _ in PLACES], plan.sloppy, plan.store)

    def __enter__(self):
        self.cluster.__enter__()
        return self

    def __exit__(self, *how):
        return self.cluster.__exit__(*how)

    def prime(self):
        """A counter is there everywhere before any fault: of copies without stamps that most replicas lack nobody knows whether they were deleted."""
        first = Client(0, self.plan, self.cluster, Recent())
        first.name = "prime"
        assert first.connect()
        keys = [f"{COUNT}:{i}" for i in range(COUNTERS)]
        for key in keys:
            first.write("INCR", key)
        first.wire.close()
        self.history.ops += first.ops
        rig.wait_until(lambda: all(r[0] for k in keys for r in rig.copies(self.cluster.nodes[0], k)), "the counters are everywhere")

    def run(self):
        self.prime()
        recent = Recent()
        clients = [Client(i, self.plan, self.cluster, recent) for i in range(CLIENTS)]
        for c in clients:
            c.start()
        with nemesis.Nemesis(self.cluster, self.plan.nemesis_plan()) as faults:
            time.sleep(self.plan.seconds)
        for c in clients:
            c.ending.set()
        for c in clients:
            c.join(60)
            assert c.ended, f"{c.name} hangs, or has failed"
            self.history.ops += c.ops
        self.history.ends = faults.ends

    def settle(self):
        for node in self.cluster.nodes:
            rig.wait_until(lambda n=node: n.alive() and n.client().ping(), f"{node.name} answers")
        self.cluster.wait_linked()
        for node in self.cluster.nodes:
            rig.wait_until(lambda n=node: n.admin_run("--timeout", "20", "hints", "wait").returncode == 0, f"{node.name} has no hints", SETTLED)
        for node in self.cluster.nodes:
            rig.wait_until(lambda n=node: not any(p["behind_bytes"] for p in n.admin("peers")["peers"]), f"{node.name} owes nothing", SETTLED)
        self.find_away()

    def find_away(self):
        """An embedded store is there as long as its node is."""
        for i, node in enumerate(self.cluster.nodes if self.plan.store == "redis" else []):
            ends = [t for t, n in self.history.ends if n == i]
            self.history.away += [[*w, i] for w in nemesis.when_away(node.log_text(), ends, time.monotonic())]

    def compare(self):
        """All that is wrong; the stores have some time to become equal."""
        self.set("bucket_types", "")
        self.look_until(lambda: not checker.check_final(self.history))
        if not checker.check_final(self.history):
            self.repair()
        return checker.check(self.history)

    def look_until(self, done):
        """What a node answers at DC_ONE is what it has itself."""
        self.set("read_consistency", ONE)
        end = time.monotonic() + (SETTLED if self.plan.program == "dynomited" else 1)
        while True:
            self.read_stores()
            if done() or time.monotonic() > end:
                return
            time.sleep(1)

    def repair(self):
        """A coordinator that is killed may leave a write without an answer on some replicas, for good: what differs is read through every node, since a
        majority that doesn't ask the one that differs doesn't know."""
        keys = sorted({k for k, v in self.history.final.items() if len(set(v)) > 1} | set(self.history.differing))
        self.set("read_repairs_enabled", "true")
        self.set("read_consistency", SAFE)
        end = time.monotonic() + SETTLED
        one, left = self.cluster.nodes[0], keys
        while left and time.monotonic() < end:
            for node in self.cluster.nodes:
                client = node.client()
                for key in left:
                    try:
                        client.get(key)
                    except redis.ResponseError:  # no majority agrees, as yet
                        pass
            left = [k for k in left if self.is_left(rig.copies(one, k))]
        self.history.repaired = True
        self.look_until(lambda: True)
        if keys:
            rig.note(f"storm: read repair made {len(keys) - len(left)} of {len(keys)} keys equal")

    @staticmethod
    def is_left(copies):
        return len(set(copies)) > 1 and not checker.is_undecided([exists or None for exists, *_ in copies])

    def set(self, option, value):
        for node in self.cluster.nodes:
            node.admin("config", "set", option, value)

    def read_stores(self):
        keys = sorted({o.key for o in self.history.ops if o.command != READ})
        values = [rig.own_values(self.cluster, i, keys) for i in range(len(PLACES))]
        for key in keys:
            self.history.final[key] = [v[key] and v[key].decode() for v in values]
        one = self.cluster.nodes[0]
        few = [k for k in keys if ":once" not in k]
        self.history.differing = [k for k in few[::1 + len(few) // COPIES] if len(set(rig.copies(one, k))) > 1]
        # Nothing here makes a log lose what it has: no cap, no expiry, no disk that fails.
        self.history.marked = sorted({p["address"] for n in self.cluster.nodes for p in n.admin("status")["peers"] if p["needs_repair"]})


def summary(history):
    """How much there was to check."""
    done = collections.Counter((kind_of(o.key), "read" if o.command == READ else "write", o.outcome) for o in history.ops)
    return ", ".join(f"{n} {kind} {what}s {outcome}" for (kind, what, outcome), n in sorted(done.items()))


def run(plan):
    """(all that is wrong, the history). When something is, the history is kept, and its path is said."""
    rig.note(f"storm: {plan}")
    with Storm(plan) as storm:
        storm.run()
        begun = time.monotonic()
        storm.settle()
        settled = time.monotonic()
        wrong = storm.compare()
        compared = time.monotonic()
    rig.note(f"storm: {summary(storm.history)}; {len(storm.history.ends)} kills; settled after {settled - begun:.1f} s, compared after "
             f"{compared - settled:.1f} s; {len(wrong)} wrong")
    if wrong and plan.program == "dynomited":
        fd, path = tempfile.mkstemp(prefix="dynhistory.", suffix=".json")
        os.close(fd)
        storm.history.dump(path)
        print(*plan.nemesis_plan(), f"the history is in {path}", *wrong[:20], sep="\n")
    return wrong, storm.history


if __name__ == "__main__":
    store, read, write, seed, seconds, *faults = sys.argv[1:]
    wrong, _ = run(Plan(store, read, write, int(seed), float(seconds), faults=tuple(f for f in faults if f != "repairs") or EVERYTHING,
                        repairs="repairs" in faults))
    sys.exit(bool(wrong))
