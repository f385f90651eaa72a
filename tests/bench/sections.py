"""What is measured, one section for each part of the table of targets. A section starts its systems, lets them all stand
there, and measures them in turns: reference, subject, reference, subject ..., so that what else the machine does meets
all of them."""
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Callable

from report import Column
from systems import CannotMeasure, Dynomited, Redis, Twemproxy, Work, fill, run_work

RATE = Column("requests/s", "rate", 0, spread=True)
CPU = Column("CPU µs/request", "cpu", 2, spread=True)
P50, P99 = Column("p50 ms", "p50", 3), Column("p99 ms", "p99", 3)
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


def take_turns(bench, slug, pairs):
    """Each (system, work), and again, as often as there are rounds."""
    for round_ in range(bench.rounds):
        for system, work in pairs:
            bench.measure(slug, system, work.name, round_, lambda s=system, w=work: run_work(s, w))


def front(bench):
    with ExitStack() as stack:
        redis = bench.start(stack, "front", Redis())
        systems = [redis, bench.start(stack, "front", Twemproxy(redis, "redis direct")),
                   bench.start(stack, "front", Dynomited("dynomited", backends=[redis], against="redis direct"))]
        fill(redis.port)
        take_turns(bench, "front", [(s, w) for w in BASIC for s in systems if s])


def embedded(bench):
    with ExitStack() as stack:
        systems = [bench.start(stack, "embedded", Redis()),
                   bench.start(stack, "embedded", Dynomited("embedded", against="redis direct"))]
        for system in systems:
            fill(system.port)
        take_turns(bench, "embedded", [(s, w) for w in (Work("get", 1), Work("get", 16)) for s in systems])


def durable(bench):
    with ExitStack() as stack:
        pairs = []
        for redis, sync in ("everysec", "interval"), ("always", "always"):
            reference = bench.start(stack, "durable", Redis(f"redis, {redis}", sync=redis))
            subject = bench.start(stack, "durable", Dynomited(f"embedded, {sync}", flags={"store-sync": sync},
                                                             against=reference.name))
            pairs += [(reference, Work("set", 16)), (subject, Work("set", 16))]
        for system, _ in pairs:
            fill(system.port)
        take_turns(bench, "durable", pairs)


def three_on_redis(bench, stack, slug, name, **flags):
    """Three nodes, a bare redis-server behind each."""
    backends = [bench.start(stack, slug, Redis(f"redis {i + 1} behind {name}")) for i in range(3)]
    return bench.start(stack, slug, Dynomited(name, 3, backends, flags, against="redis direct"))


def three(bench):
    with ExitStack() as stack:
        redis = bench.start(stack, "three", Redis())
        clusters = [three_on_redis(bench, stack, "three", level,
                                   **{"read-consistency": level, "write-consistency": level})
                    for level in ("DC_ONE", "DC_QUORUM")]
        for system in [redis, *clusters]:
            fill(system.port)
        pairs = []
        take_turns(bench, "three", [(s, w) for w in BASIC for s in [redis, *clusters]])


SECTIONS = [
    Section(1, "front", "One node in front of redis", front),
    Section(2, "embedded", "One node, embedded store", embedded),
    Section(3, "durable", "Embedded store, writes that reach the disk", durable, panels=((RATE, P16), (CPU, P16))),
    Section(4, "three", "Three nodes, redis behind each", three, columns=(RATE, CPU, P50, P99, AFTER)),
]
