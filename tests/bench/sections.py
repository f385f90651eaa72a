"""What is measured, one section for each part of the table of targets. A section starts its systems, lets them all stand
there, and measures them in turns: reference, subject, reference, subject ..., so that what else the machine does meets
all of them."""
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Callable

from report import Column
from systems import (DIRECTORY, CannotMeasure, Dynomited, PeakMemory, Redis, Twemproxy, Work, anonymous, cpu_seconds,
                     fill, rig, run_once, run_work, settle)

RATE = Column("requests/s", "rate", 0, spread=True)
CPU = Column("CPU µs/request", "cpu", 2, spread=True)
P50, P99 = Column("p50 ms", "p50", 3), Column("p99 ms", "p99", 3)
APPLIED = Column("writes/s on both nodes", "applied", 0, spread=True)
AFTER = Column("busy after, s", "after", 1)  # the last reply

P1, P16 = ("SET P1", "GET P1"), ("SET P16", "GET P16")
BASIC = [Work("set", 1), Work("get", 1), Work("set", 16), Work("get", 16)]


@dataclass(frozen=True)
class Section:
    number: int
    slug: str
    title: str
    run: Callable
    columns: tuple = (RATE, CPU, P50, P99)
    panels: tuple = ((RATE, P1), (RATE, P16), (CPU, P1), (CPU, P16))  # each: what, of which works

    @property
    def file(self):
        """The name of its results, without an ending."""
        return f"{self.number}-{self.slug}"


def take_turns(bench, slug, pairs):
    """Each (system, work), and again, as often as there are rounds."""
    for round_ in range(bench.rounds):
        for system, work in pairs:
            bench.measure(slug, system, work.name, round_, lambda s=system, w=work: run_work(s, w))


def front(bench):
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        systems = [redis, bench.start(stack, "front", Twemproxy(redis, "redis direct")),
                   stack.enter_context(Dynomited("dynomited", backends=[redis], against="redis direct"))]
        fill(redis.port)
        take_turns(bench, "front", [(s, w) for w in BASIC for s in systems if s])


def embedded(bench):
    with ExitStack() as stack:
        systems = [stack.enter_context(Redis()),
                   stack.enter_context(Dynomited("embedded", against="redis direct"))]
        for system in systems:
            fill(system.port)
        take_turns(bench, "embedded", [(s, w) for w in (Work("get", 1), Work("get", 16)) for s in systems])


def durable(bench):
    with ExitStack() as stack:
        pairs = []
        for redis, sync in ("everysec", "interval"), ("always", "always"):
            reference = stack.enter_context(Redis(f"redis, {redis}", sync=redis))
            subject = stack.enter_context(Dynomited(f"embedded, {sync}", flags={"store-sync": sync},
                                                             against=reference.name))
            pairs += [(reference, Work("set", 16)), (subject, Work("set", 16))]
        for system, _ in pairs:
            fill(system.port)
        take_turns(bench, "durable", pairs)


def three_on_redis(stack, name, **flags):
    """Three nodes, a bare redis-server behind each."""
    backends = [stack.enter_context(Redis(f"redis {i + 1} behind {name}")) for i in range(3)]
    return stack.enter_context(Dynomited(name, 3, backends, flags, against="redis direct"))


def three(bench):
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        clusters = [three_on_redis(stack, level,
                                   **{"read-consistency": level, "write-consistency": level})
                    for level in ("DC_ONE", "DC_QUORUM")]
        for system in [redis, *clusters]:
            fill(system.port)
        pairs = []
        take_turns(bench, "three", [(s, w) for w in BASIC for s in [redis, *clusters]])


def latency(bench):
    """Alone, one SET after the other; and at half of what the system was seen to do with 50 clients. Both in short turns:
    on which cores the scheduler puts the two sides makes more of a difference than anything else, and it decides anew each
    time."""
    full, turns = Work("set", 1), 4
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        systems = [redis, three_on_redis(stack, "three nodes")]
        for system in systems:
            fill(system.port)
        for round_ in range(bench.rounds):
            seen = {s: bench.measure("latency", s, "full load", round_, lambda s=s: run_work(s, full)) for s in systems}
            for turn in range(turns * round_, turns * (round_ + 1)):
                for system in systems:
                    bench.measure("latency", system, "alone", turn,
                                  lambda s=system: bench.load.alone(s.port, full.count // 5 // turns))
                for system in systems:
                    if seen[system]:
                        bench.measure("latency", system, "half load", turn,
                                      lambda s=system: bench.load.paced(s.port, seen[s]["rate"] / 2))


MEMORY = [Column("idle, MB", "idle", 2), Column("after the P16 runs, MB", "after", 1),
          Column("peak, 1,000 clients at P16, MB", "peak", 1), Column("10 s later, MB", "later", 2),
          Column("KB per idle client", "client", 1), Column("10 s later / idle", "later_share", 2)]
MB = 1e6


def memory_system(bench, stack, name, n, store):
    """None if it can't be started."""
    backends = [stack.enter_context(Redis(f"redis {i + 1} behind {name}")) for i in range(n)] if store else []
    if name == "twemproxy":
        return bench.start(stack, "memory", Twemproxy(backends[0], None))
    return bench.start(stack, "memory", Dynomited(name, n, backends))


def idle_memory(system):
    settle(system.processes.values())
    return anonymous(system.front)


def memory_of_clients(bench, system, clients=10000):
    idle = idle_memory(system)
    with bench.load.idle(system.port, clients):
        return {"client": (idle_memory(system) - idle) / clients / 1000}


def memory_of_runs(system):
    idle = idle_memory(system)
    for command in "set", "get":
        run_once(system, Work(command, 16))
    after = anonymous(system.front)
    with PeakMemory(system.front) as peak:
        for command in "set", "get":
            run_once(system, Work(command, 16, clients=1000))
    until = time.monotonic() + 10
    while (later := anonymous(system.front)) > idle * 1.2 and time.monotonic() < until:
        time.sleep(0.1)
    return {"idle": idle / MB, "after": after / MB, "peak": peak.bytes / MB, "later": later / MB,
            "later_share": later / idle}


def memory(bench):
    """RssAnon of the process in front. The idle clients come to a node of their own: what earlier clients left behind
    would hide what they take."""
    for name, n, store in (("twemproxy", 1, True), ("one node, redis", 1, True), ("one node, embedded", 1, False),
                           ("three nodes, redis", 3, True), ("three nodes, embedded", 3, False)):
        for figures in memory_of_runs, lambda s: memory_of_clients(bench, s):
            with ExitStack() as stack:
                system = memory_system(bench, stack, name, n, store)
                if system:
                    bench.measure("memory", system, "RssAnon", 0, lambda s=system, f=figures: f(s))


def shape_works():
    """By the size of their values; the first of a size is measured after the store was filled with it."""
    for size, name, divisor in (64, "64 B", 1), (1024, "1 KB", 2), (16384, "16 KB", 10):
        yield size, [replace(Work(command, 16, size=size, keys=10000).smaller(divisor), label=f"{command.upper()} {name}")
                     for command in ("set", "get")]
    yield 64, [replace(Work("mget", 1, keys=10000).smaller(5), label="MGET 100")] + [
        Work(command, 16, clients=1000, keys=10000, label=f"{command.upper()} c1000") for command in ("set", "get")]


def run_shape(system, work):
    figures = run_work(system, work)
    size = work.size * (100 if work.command == "mget" else 1)
    return {**figures, "byte": figures["cpu"] * 1000 / size}


def shapes(bench):
    with ExitStack() as stack:
        redis, behind = stack.enter_context(Redis()), stack.enter_context(Redis())
        systems = [redis,
                   stack.enter_context(Dynomited("one node, redis", backends=[behind], against="redis direct")),
                   stack.enter_context(Dynomited("one node, embedded", against="redis direct")),
                   three_on_redis(stack, "three nodes, redis")]
        for round_ in range(bench.rounds):
            for size, works in shape_works():
                for system in systems:
                    fill(system.port, 10000, size)
                for work in works:
                    for system in systems:
                        bench.measure("shapes", system, work.name, round_, lambda s=system, w=work: run_shape(s, w))


def down(bench):
    """One of three nodes is killed, comes back, and gets what was kept for it, each round."""
    with ExitStack() as stack:
        systems = [three_on_redis(stack, "redis behind each", **{"hint-sync": "always"}),
                   stack.enter_context(Dynomited("embedded", 3, flags={"hint-sync": "always"}))]
        for system in systems:
            system.against = None
            fill(system.port)
        for round_ in range(bench.rounds):
            for system in systems:
                one_round_down(bench, system, round_)


def one_round_down(bench, system, round_):
    work, (first, _, last) = Work("set", 16).smaller(2), system.cluster.nodes
    bench.measure("down", system, "all three up", round_, lambda: run_work(system, work))
    last.kill()
    rig.wait_until(lambda: "DOWN" in first.states_of_peers(), "the others know")
    system.note_processes()
    bench.measure("down", system, "one down", round_, lambda: {**run_work(system, work), "hints": first.pending()})
    last.start()
    system.cluster.wait_linked()
    system.cluster.wait_delivered(120)
    system.note_processes()


def applied_by_all(system, work):
    """Writes a second until every replica has them: what direct replication reaches."""
    figures = run_work(system, work)
    return {"applied": work.count / (work.count / figures["rate"] + figures["after"]), "cpu": figures["cpu"]}


def drained(first, hints):
    """Hints a second from the moment the peer is linked until none is left, and the coordinator's CPU for each."""
    rig.wait_until(lambda: "DOWN" not in first.states_of_peers(), "the peer is back", 30)
    cpu, began, left = cpu_seconds(first.process.pid), time.monotonic(), first.pending()
    deadline = began + 120
    while first.pending() and time.monotonic() < deadline:
        time.sleep(0.002)
    seconds = time.monotonic() - began
    if first.pending():
        raise CannotMeasure(f"{first.pending()} of {hints} hints left after 120 s")
    return {"applied": left / seconds, "hints": left, "cpu": (cpu_seconds(first.process.pid) - cpu) * 1e6 / left}


def delivery(bench):
    """The same writes twice: to a peer that is up, and as hints, to the peer when it is back."""
    work = Work("set", 16)
    with ExitStack() as stack:
        for name, redis in ("embedded", False), ("redis behind each", True):
            backends = [stack.enter_context(Redis(f"redis {i + 1} behind both")) for i in range(2)] if redis else []
            system = stack.enter_context(Dynomited(name, 2, backends, flags={"hint-sync": "always"}))
            fill(system.port)
            for round_ in range(bench.rounds):
                one_round_of_delivery(bench, system, work, round_)


def one_round_of_delivery(bench, system, work, round_):
    first, last = system.cluster.nodes
    bench.measure("delivery", system, "direct", round_, lambda: applied_by_all(system, work))
    last.kill()
    rig.wait_until(lambda: "DOWN" in first.states_of_peers(), "the other knows")
    system.note_processes()
    run_once(system, work)
    last.start(wait=False)
    bench.measure("delivery", system, "hints", round_, lambda: drained(first, work.count))
    system.cluster.wait_linked()
    system.note_processes()


PEERS, SECONDS = 100, 20


def peer_places():
    """50 racks with two nodes each (a ring has at most 64 racks)."""
    return [("dc1", f"rack{i // 2 + 1}", str(i % 2 * 2**31)) for i in range(PEERS)]


def start_hub(stack, directory):
    """One node that lists a hundred peers, each a real one that lists this node only."""
    places = [("dc1", "hub", "0")] + peer_places()
    ports = rig.free_ports(3 * len(places))
    seeds = [f"127.0.0.1:{ports[3 * i + 1]}:{rack}:{dc}:{tokens}" for i, (dc, rack, tokens) in enumerate(places)]
    nodes = []
    for i, (dc, rack, tokens) in enumerate(places):
        flags = {"datacenter": dc, "rack": rack, "tokens": tokens, "dyn-seeds": seeds[:1] if i else seeds[1:]}
        node = rig.Node(directory, f"node{i}", ports[3 * i:3 * i + 3], {**flags, "workers": "1"} if i else flags)
        nodes.append(node.start(wait=False))
        stack.callback(node.kill)
    hub = nodes[0]
    rig.wait_until(lambda: hub.alive() and hub.states_of_peers().count("NORMAL") == PEERS, f"{PEERS} peers are up", 120)
    return hub


def peers(bench):
    with ExitStack() as stack:
        alone = stack.enter_context(Dynomited("no peers"))
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="dynbench.", dir=DIRECTORY))
        hub = start_hub(stack, directory)
        pids = {"no peers": alone.front, f"{PEERS} peers": hub.process.pid}
        settle([alone.front])
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(SECONDS)
        core = {name: (cpu_seconds(pid) - before[name]) / SECONDS * 100 for name, pid in pids.items()}
        memory_ = {name: anonymous(pid) / MB for name, pid in pids.items()}
        with_, without = f"{PEERS} peers", "no peers"
        bench.rows.add("peers", without, "idle", 0, core=core[without], memory=memory_[without])
        bench.rows.add("peers", with_, "idle", 0, core=core[with_], memory=memory_[with_],
                       peer_core=(core[with_] - core[without]) / PEERS,
                       peer_memory=(memory_[with_] - memory_[without]) * 1000 / PEERS)


PLACES = [(dc, rack, "0") for dc in ("dc1", "dc2") for rack in ("r1", "r2", "r3")]


def datacenters(bench):
    """Every write goes to six nodes, whatever the level; what it waits for differs. No distance lies between the two: what is
    measured is work."""
    with ExitStack() as stack:
        systems = [stack.enter_context(Dynomited(level, against=None if level == "DC_ONE" else "DC_ONE", places=PLACES,
                                                 flags={"read-consistency": level, "write-consistency": level}))
                   for level in ("DC_ONE", "DC_QUORUM", "DC_SAFE_QUORUM", "DC_EACH_SAFE_QUORUM")]
        systems.append(stack.enter_context(Dynomited("DC_ONE, lz4", against="DC_ONE", places=PLACES,
                                                     flags={"dc-compression": "lz4"})))
        for system in systems:
            fill(system.port)
        take_turns(bench, "datacenters", [(s, w.smaller(2)) for w in BASIC for s in systems
                                          if "lz4" not in s.name or w.command == "set"])


LATENCY = ("alone", "half load")
SIZES = [tuple(f"{command} {size}" for size in ("64 B", "1 KB", "16 KB")) for command in ("SET", "GET")]
CLIENTS = ("SET 64 B", "SET c1000", "GET 64 B", "GET c1000")
PER_BYTE = Column("CPU ns/byte", "byte", 2)
PEER = (Column("% of a core", "core", 2), Column("RssAnon MB", "memory", 2),
        Column("% of a core per peer", "peer_core", 4), Column("KB per peer", "peer_memory", 1))

SECTIONS = [
    Section(1, "front", "One node in front of redis", front),
    Section(2, "embedded", "One node, embedded store", embedded),
    Section(3, "durable", "Embedded store, writes that reach the disk", durable, panels=((RATE, P16), (CPU, P16))),
    Section(4, "three", "Three nodes, redis behind each", three, columns=(RATE, CPU, P50, P99, AFTER)),
    Section(5, "latency", "Latency of SET DC_ONE, three nodes, redis behind each", latency,
            columns=(RATE, CPU, P50, P99, Column("p99.9 ms", "p999", 3), Column("load late by at most, ms", "late", 2)),
            panels=((P50, LATENCY), (P99, LATENCY))),
    Section(6, "memory", "Memory", memory, columns=tuple(MEMORY), panels=tuple((c, ("RssAnon",)) for c in MEMORY[:-1])),
    Section(7, "shapes", "Shapes: sizes of values, many keys, many clients", shapes, columns=(RATE, CPU, PER_BYTE, P50, P99),
            panels=((RATE, SIZES[0]), (RATE, SIZES[1]), (PER_BYTE, SIZES[0]), (PER_BYTE, (*SIZES[1], "MGET 100")),
                    (RATE, CLIENTS), (CPU, CLIENTS))),
    Section(8, "down", "One of three nodes down, hints on disk", down,
            columns=(RATE, CPU, P50, P99, AFTER, Column("hints then", "hints", 0)),
            panels=((RATE, ("all three up", "one down")), (CPU, ("all three up", "one down")))),
    Section(9, "peers", "Idle peers", peers, columns=PEER, panels=tuple((c, ("idle",)) for c in PEER)),
    Section(10, "delivery", "Delivery of hints, two nodes", delivery, columns=(APPLIED, CPU, Column("hints", "hints", 0)),
            panels=((APPLIED, ("direct", "hints")), (CPU, ("direct", "hints")))),
    Section(11, "datacenters", "Two datacenters of three racks, embedded", datacenters,
            columns=(RATE, CPU, P50, P99, AFTER)),
]
