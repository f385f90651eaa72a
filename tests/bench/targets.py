"""All targets of the data path in one table, and the judgement: measured, wanted, met or missed by how much.

A figure says how it is computed from the measured rows: for each round by itself, so that what the machine did
meanwhile is the same on both sides; the median of the rounds counts."""
import statistics
from dataclasses import dataclass


class Plain:
    """A metric as it was measured."""

    def __init__(self, metric, system, work):
        self.metric, self.system, self.work = metric, system, work

    def series(self, rows, section):
        return rows.series(section, self.metric, self.system, self.work)

    def level(self, _rows, _section, limit):
        """Where the limit lies on the axis of the metric."""
        return limit


class Compared(Plain):
    """The same metric of two rows, (system, work) each, of one round."""

    def __init__(self, metric, subject, reference, scale=1.0):
        super().__init__(metric, *subject)
        self.reference, self.scale = reference, scale

    def series(self, rows, section):
        of, base = super().series(rows, section), rows.series(section, self.metric, *self.reference)
        return {r: self.compare(of[r], base[r]) for r in of if base.get(r)}

    def level(self, rows, section, limit):
        base = rows.median(section, self.metric, *self.reference)
        return self.uncompare(limit, base) if base else None


class Ratio(Compared):
    def compare(self, of, base):
        return of / base * self.scale

    def uncompare(self, limit, base):
        return limit * base / self.scale


class Above(Compared):
    def compare(self, of, base):
        return (of - base) * self.scale

    def uncompare(self, limit, base):
        return base + limit / self.scale


@dataclass(frozen=True)
class Target:
    section: str
    words: str
    limit: float
    unit: str
    figure: Plain
    at_most: bool = True

    @property
    def wanted(self):
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g} {self.unit}"


@dataclass(frozen=True)
class Verdict:
    target: Target
    measured: float = None  # None: not measured
    low: float = None
    high: float = None
    margin: float = None  # share of the limit by which it is met; below 0: missed

    @property
    def met(self):
        return self.margin is not None and self.margin >= 0


def judge(rows, target):
    values = target.figure.series(rows, target.section).values()
    if not values:
        return Verdict(target)
    measured = statistics.median(values)
    margin = (target.limit - measured) / target.limit * (1 if target.at_most else -1)
    return Verdict(target, measured, min(values), max(values), margin)


def judge_all(rows, sections):
    return [judge(rows, t) for t in TARGETS if t.section in sections]


def exit_status(verdicts):
    """What isn't measured isn't met."""
    return 0 if verdicts and all(v.met for v in verdicts) else 1


def at_most(section, words, limit, unit, figure):
    return Target(section, words, limit, unit, figure)


def at_least(section, words, limit, unit, figure):
    return Target(section, words, limit, unit, figure, at_most=False)


def front():
    def cpu(work, limit):
        return at_most("front", f"one node in front of redis, {work}: CPU per request", limit, "x twemproxy's",
                       Ratio("cpu", ("dynomited", work), ("twemproxy", work)))

    def rate(work):
        return at_least("front", f"one node in front of redis, {work}: throughput", 0.75, "x redis direct",
                        Ratio("rate", ("dynomited", work), ("redis direct", work)))

    return [cpu("GET P16", 0.8), cpu("SET P16", 1.0), rate("GET P16"), rate("SET P16"),
            cpu("GET P1", 1.0), cpu("SET P1", 1.1)]


def embedded():
    for work in "GET P16", "GET P1":
        rows = ("embedded", work), ("redis direct", work)
        yield at_least("embedded", f"one node, embedded, {work}: throughput", 1.0, "x redis direct",
                       Ratio("rate", *rows))
        yield at_most("embedded", f"one node, embedded, {work}: CPU per request", 1.0, "x redis-server's",
                      Ratio("cpu", *rows))


def durable():
    for sync, redis in ("interval", "everysec"), ("always", "always"):
        yield at_least("durable", f"one node, embedded, SET P16, store_sync {sync}: throughput", 0.8,
                       f"x redis-server's, appendfsync {redis}",
                       Ratio("rate", (f"embedded, {sync}", "SET P16"), (f"redis, {redis}", "SET P16")))


def three():
    one, quorum, redis = "DC_ONE", "DC_QUORUM", "redis direct"
    yield at_most("three", "three nodes, redis behind each, SET DC_ONE P16: CPU of the coordinator", 6, "µs/request",
                  Plain("cpu", one, "SET P16"))
    for node in "node2", "node3":
        yield at_most("three", f"the same: CPU of {node}", 3, "µs/request", Plain(f"cpu.{node}", one, "SET P16"))
    yield at_least("three", "the same: throughput", 0.18, "x redis direct",
                   Ratio("rate", (one, "SET P16"), (redis, "SET P16")))
    for command, limit in ("SET", 0.8), ("GET", 0.6):
        for work in f"{command} P16", f"{command} P1":
            yield at_least("three", f"DC_QUORUM, same cluster, {work}: throughput", limit, "x DC_ONE's",
                           Ratio("rate", (quorum, work), (one, work)))


def latency():
    yield at_most("latency", "three nodes, SET DC_ONE, one client, P1: p50", 40, "µs above redis direct",
                  Above("p50", ("three nodes", "alone"), ("redis direct", "alone"), scale=1000))
    yield at_most("latency", "the same at half load: p99", 2, "x redis direct's",
                  Ratio("p99", ("three nodes", "half load"), ("redis direct", "half load")))


def memory():
    for system in "one node, redis", "one node, embedded", "three nodes, redis", "three nodes, embedded":
        for words, metric, limit, unit in (
                ("idle", "idle", 6, "MB"), ("after the P16 runs", "after", 40, "MB"),
                ("an idle client, of 10,000", "client", 20, "KB"), ("peak with 1,000 clients at P16", "peak", 120, "MB"),
                ("10 s after that", "later_share", 1.2, "x idle")):
            yield at_most("memory", f"memory, {system}: {words}", limit, unit, Plain(metric, system, "RssAnon"))


def shapes():
    for system in "one node, redis", "one node, embedded", "three nodes, redis":
        for small, large in (("SET 64 B", "SET 1 KB"), ("SET 1 KB", "SET 16 KB"), ("GET 64 B", "GET 1 KB"),
                             ("GET 1 KB", "GET 16 KB"), ("GET 64 B", "MGET 100")):
            yield at_most("shapes", f"{system}, {large}: CPU per byte", 1, f"x that of {small}",
                          Ratio("byte", (system, large), (system, small)))
        for command in "SET", "GET":
            yield at_least("shapes", f"{system}, {command} P16, 1,000 clients: throughput", 0.9, "x that of 50",
                           Ratio("rate", (system, f"{command} c1000"), (system, f"{command} 64 B")))


def down():
    yield at_least("down", "one of three nodes down, redis behind each, SET DC_ONE P16: throughput", 0.7, "x all three up",
                   Ratio("rate", ("redis behind each", "one down"), ("redis behind each", "all three up")))


def peers():
    yield at_most("peers", "an idle peer, of 100: CPU", 0.1, "% of a core", Plain("peer_core", "100 peers", "idle"))
    yield at_most("peers", "an idle peer, of 100: memory", 200, "KB", Plain("peer_memory", "100 peers", "idle"))


def delivery():
    for system in "embedded", "redis behind each":
        yield at_least("delivery", f"two nodes, {system}, delivery of hints: writes applied a second", 0.7, "x direct ones",
                       Ratio("applied", (system, "hints"), (system, "direct")))


TARGETS = [*front(), *embedded(), *durable(), *three(), *latency(), *memory(), *shapes(), *down(), *peers(),
           *delivery()]
