"""checker.py HISTORY.json: what a history (history.py) shows of broken promises. Pure; check() is the way in.

What is newer. Of two overwrites of a key the one with the higher stamp wins, everywhere and for ever. A history has no stamps, but it
bounds them: a write gets its stamp from its coordinator's clock between its start and its answer. Without an answer there is no such
end, but the coordinator's death is one, and so is the first time that somebody has read the value; without these, the write may
come whenever it likes. All nodes have the same machine's clock, with two exceptions. One coordinator's stamps grow with the order in
which it took the writes, whatever the clock does, also over its restarts. And a node that was killed stamps, when it is back, from a bound
that it kept before, up to LEAD ahead of the clock, and the others follow its stamps when they hear of them. So `a` is certainly older than
`b` if its stamp was given before b began, plus CLOCKS, and if a kill was before that, plus what is left of LEAD; within one node
without any plus. What isn't certainly older is allowed: a checker must not find what isn't there. (Keys that go through one node find what
these seconds hide.)

What must be seen. Two majorities of one datacenter meet. So a read must return what was acknowledged before it began, or something newer,
if a datacenter has a majority for both: its own for DC_QUORUM and DC_SAFE_QUORUM, all for DC_EACH_SAFE_QUORUM. Hints that count for
replicas take that away (DC_QUORUM with sloppy_quorum), as DC_ONE does. What a safe read has returned lies on a majority, too. At any level a
connection reads what it has written itself; the exception is a store that was away (`history.away`), after which nobody may have it.

Changes (INCR, APPEND) of several coordinators have no such order, so counters are checked by their bounds, and in the end exactly; of mixed keys
each copy's states follow each other, so that only a safe read's or an own write's state is known to be late enough."""
import bisect
import collections
import dataclasses
import math
import sys

from history import COUNT, EACH, MIXED, OK, ONE, OVER, QUORUM, READ, REFUSED, SAFE, UNKNOWN, History, kind_of

CLOCKS = 0.005  # s; one machine's clock, read by two processes
LEAD = 7.0      # s; src/server.c's CLOCK_BOUND_MS, and what restarts one after the other add
STRONG = (QUORUM, SAFE, EACH)
NOWHERE = frozenset()


@dataclasses.dataclass
class Wrong:
    """One broken promise. what: lost, stale, own (a connection doesn't read its own write), phantom (a value that was never
    written), count, unequal, order."""
    what: str
    key: str  # or a node
    text: str

    def __str__(self):
        return f"{self.what}: {self.key}: {self.text}"


def check(history):
    """All that is wrong."""
    return check_reads(history) + check_final(history)


def check_reads(history):
    return [w for k in keys_of(history) for w in k.check_reads()]


def check_final(history):
    marked = [Wrong("lost", node, "it needs repair") for node in history.marked]
    return marked + [w for k in keys_of(history) for w in k.check_final()]


def keys_of(history):
    facts = Facts(history)
    return [{OVER: Overwrites, COUNT: Counter, MIXED: Mixed}[kind_of(k)](facts, k, ops) for k, ops in facts.by_key.items()]


class Facts:
    """A history, in the order in which questions about it are answered."""

    def __init__(self, history):
        self.history = history
        self.by_key = collections.defaultdict(list)
        for op in sorted(history.ops, key=lambda o: o.start):
            self.by_key[op.key].append(op)
        self.ends = sorted(t for t, _ in history.ends)
        self.ends_of = collections.defaultdict(list)
        for t, node in sorted(history.ends):
            self.ends_of[node].append(t)
        self.everywhere = frozenset(history.datacenters)
        self.places = [frozenset([d]) for d in history.datacenters]

    def ahead(self, t):
        """The highest clock time that a stamp given before t can have."""
        i = bisect.bisect_left(self.ends, t)
        return max(t, self.ends[i - 1] + LEAD) if i else t

    def death(self, op):
        """When its coordinator ended next; never: inf."""
        ends = self.ends_of[op.node]
        i = bisect.bisect_left(ends, op.start)
        return ends[i] if i < len(ends) else math.inf

    def may_be_in_part(self, op):
        """Of a write without an answer: is it possible that only some replicas have it, for good? A node that takes a write gives
        it to its own store and to its logs one after the other, and may be killed in between."""
        return op.outcome == UNKNOWN and not is_stamped(op) and self.death(op) < math.inf

    def majorities(self, op):
        """The datacenters of which a majority has it, or has said it."""
        weak = self.history.sloppy and op.level == QUORUM and op.command != READ
        if op.level not in STRONG or weak:
            return NOWHERE
        return self.everywhere if op.level == EACH else self.places[op.node]

    def meet(self, a, b):
        return bool(self.majorities(a) & self.majorities(b))

    def is_own(self, write, read):
        """On one connection, and its coordinator's own store was there all the time."""
        away = (node == read.node and since <= read.end and until >= write.start for since, until, node in self.history.away)
        return write.connection == read.connection and not any(away)

    def must_see(self, read, write):
        """Why, or None."""
        if write.end >= read.start:
            return None
        if self.meet(read, write):
            return "stale"
        return "own" if self.is_own(write, read) else None


def is_stamped(op):
    """Is it known that its coordinator had taken it when it was answered?"""
    return op.outcome == OK or isinstance(op.answer, str) and "took effect on some" in op.answer


class Keys:
    """One key's ops, by start."""

    def __init__(self, facts, key, ops):
        self.facts, self.key = facts, key
        self.reads = [o for o in ops if o.command == READ and o.outcome == OK]
        self.writes = [o for o in ops if o.command != READ]
        self.done = [o for o in self.writes if o.outcome == OK]
        self.possible = [o for o in self.writes if o.outcome != REFUSED]

    def wrong(self, what, text):
        return Wrong(what, self.key, text)

    def final(self):
        return self.facts.history.final.get(self.key, [])

    def check_equal(self):
        found = self.final()
        if self.may_differ() and (not self.facts.history.repaired or is_undecided(found)):
            return []
        if len(set(found)) > 1:
            return [self.wrong("unequal", f"the nodes have {found}; {self.last()}")]
        if self.key in self.facts.history.differing:
            return [self.wrong("unequal", f"the copies differ in what their value {found[:1]} doesn't show")]
        return []

    def may_differ(self):
        """Is it allowed that the copies differ until read repair makes them equal?"""
        return any(self.facts.may_be_in_part(o) for o in self.writes)

    def last(self):
        return "the last writes: " + "; ".join(str(o) for o in self.writes[-4:])


class Overwrites(Keys):
    def __init__(self, facts, key, ops):
        super().__init__(facts, key, ops)
        self.by_value = {o.value: o for o in self.writes if o.value is not None}
        self.deletes = [o for o in self.possible if o.value is None]
        self.seen = {}  # value -> when it was first there, read by somebody
        for r in self.reads:
            if r.answer is not None:
                self.seen[r.answer] = min(r.end, self.seen.get(r.answer, math.inf))

    def stamped_by(self, write):
        """Its stamp was given before."""
        if is_stamped(write):
            return write.end
        return min(self.facts.death(write), self.seen.get(write.value, math.inf))

    def is_older(self, a, b):
        """Certainly."""
        given = self.stamped_by(a)
        if a.node == b.node:
            return given < b.start
        return self.facts.ahead(given) + CLOCKS < b.start

    def origins(self, value, before=math.inf):
        """The writes of which this value can be. None is what was there in the beginning."""
        if value is None:
            return [None] + [o for o in self.deletes if o.start < before]
        return [o for o in [self.by_value.get(value)] if o and o.start < before and o.outcome != REFUSED]

    def newer_than_all(self, origins, required):
        """Of those that are required, one that is certainly newer than the last of these writes, if each has such a one."""
        newer = None
        for origin in origins:
            newer = next((w for w in required if origin is None or self.is_older(origin, w)), None)
            if not newer:
                return None
        return newer

    def check_value(self, value, required, before, where):
        """required: (why, write)."""
        origins = self.origins(value, before)
        if not origins:
            known = self.by_value.get(value)
            return [self.wrong("phantom", f"{where}: {value!r}, " + (f"of {known}" if known else "which nobody wrote"))]
        newer = self.newer_than_all(origins, [w for _, w in required])
        if not newer:
            return []
        what = next(why for why, w in required if w is newer)
        return [self.wrong(what, f"{where}: {value!r}, of {origins[-1] or 'the beginning'}, which is older than {newer}")]

    def check_reads(self):
        wrong, ended = [], Ended(self)
        for read in self.reads:
            wrong += self.check_value(read.answer, ended.required(read), read.end, f"read by {read}")
        return wrong

    def check_final(self):
        """Every acknowledged write has reached every replica, whatever the level."""
        wrong, newest = [], {}
        for w in self.done:
            newest[w.node] = w
        required = [("lost", w) for w in newest.values()]
        for node, value in enumerate(self.final()):
            wrong += self.check_value(value, required, math.inf, f"in the end node {node + 1} has")
        return wrong + self.check_equal()

    def may_differ(self):
        """Only if one of them may be the newest."""
        in_part = [o for o in self.writes if self.facts.may_be_in_part(o)]
        return any(not self.newer_than_all([o], self.done) for o in in_part)


class Ended:
    """What has ended before a read begins: of all writes of one coordinator that lie on the same majorities the one that began last,
    since whatever is older than one of them is older than that one."""

    def __init__(self, keys):
        self.facts = keys.facts
        self.done = collections.deque(sorted(keys.done, key=lambda o: o.end))
        safe = [r for r in keys.reads if r.level in (SAFE, EACH) and r.answer in keys.by_value]
        self.told = collections.deque(sorted(((r, keys.by_value[r.answer]) for r in safe), key=lambda rw: rw[0].end))
        self.newest, self.own = {}, {}  # (coordinator, majorities) -> write; connection -> write

    def keep(self, newest, key, write):
        if key not in newest or newest[key].start < write.start:
            newest[key] = write

    def required(self, read):
        """[(why, write)]; called for one read after the other, by start."""
        while self.done and self.done[0].end < read.start:
            write = self.done.popleft()
            self.keep(self.newest, (write.node, self.facts.majorities(write)), write)
            self.keep(self.own, write.connection, write)
        while self.told and self.told[0][0].end < read.start:
            teller, write = self.told.popleft()
            self.keep(self.newest, (write.node, self.facts.majorities(teller)), write)
        found = [("stale", w) for (_, where), w in self.newest.items() if where & self.facts.majorities(read)]
        own = self.own.get(read.connection)
        return found + ([("own", own)] if own and self.facts.is_own(own, read) else [])


class Counter(Keys):
    def check_reads(self):
        wrong, starts = [], [o.start for o in self.possible]
        for op in self.reads + self.done:
            if op.answer is not None and not str(op.answer).isdigit():
                wrong.append(self.wrong("phantom", f"no number: {op}"))
                continue
            found, most = int(op.answer or 0), bisect.bisect_left(starts, op.end)
            if found > most:
                wrong.append(self.wrong("count", f"{found} after at most {most} increments: {op}"))
            wrong += self.check_own(op, found)
        return wrong

    def check_own(self, op, found):
        """At DC_ONE one store answers that has all increments of this connection. (Where several stores answer, none may have them all.)"""
        if op.level != ONE:
            return []
        least = sum(o.end < op.start and self.facts.is_own(o, op) for o in self.done) + (op.command != READ)
        if found < least:
            return [self.wrong("own", f"{found} after {least} increments of this connection: {op}")]
        return []

    def check_final(self):
        wrong = []
        least, most = len(self.done), len(self.possible)
        for node, value in enumerate(self.final()):
            number = int(value or 0) if value is None or value.isdigit() else math.inf
            if not least <= number <= most:
                wrong.append(self.wrong("lost" if number < least else "count",
                                        f"in the end node {node + 1} has {value}: {least} increments were answered, {most - least} weren't"))
        return wrong + self.check_equal()


class Mixed(Keys):
    """states[i]: after the first i of its writes."""

    def __init__(self, facts, key, ops):
        super().__init__(facts, key, ops)
        self.states = [None]
        for o in self.possible:
            self.states.append(after(o, self.states[-1]))

    def check_order(self):
        """What the history itself promises of such keys."""
        for a, b in zip(self.possible, self.possible[1:]):
            if a.end >= b.start or a.outcome != OK or (a.client, a.node) != (b.client, b.node):
                return [self.wrong("order", f"not one client's writes one after the other through one node: {a}; {b}")]
        return []

    def newest_to_see(self, read):
        """(its index among the writes, why); (-1, None): none."""
        for i in range(len(self.possible) - 1, -1, -1):
            write = self.possible[i]
            why = self.facts.must_see(read, write) if write.outcome == OK else None
            if why == "stale" and not self.is_told_apart(write, read):
                why = "own" if self.facts.is_own(write, read) else None
            if why:
                return i, why
        return -1, None

    def is_told_apart(self, write, read):
        """A majority that agrees has it. Where datacenters disagree the newer one's value counts, and beside Redis changes have no stamps."""
        if self.facts.history.store == "redis" and not self.facts.places[read.node] & self.facts.majorities(write):
            return False
        return read.level in (SAFE, EACH)

    def check_reads(self):
        wrong = self.check_order()
        for read in self.reads:
            i, why = self.newest_to_see(read)
            end = sum(o.start < read.end for o in self.possible)
            if read.answer in self.states[i + 1:end + 1]:
                continue
            if read.answer in self.states[:end + 1]:
                wrong.append(self.wrong(why, f"{read}, after {self.possible[i]}, which made it {self.states[i + 1]!r}"))
            else:
                wrong.append(self.wrong("phantom", f"{read}; it was {' or '.join(map(repr, self.states[i + 1:end + 1]))}"))
        return wrong

    def check_final(self):
        wrong = []
        last = self.possible[-1] if self.possible else None
        allowed = self.states[-2:] if last and last.outcome == UNKNOWN else self.states[-1:]
        for node, value in enumerate(self.final()):
            if value not in allowed:
                wrong.append(self.wrong("lost" if value in self.states else "phantom",
                                        f"in the end node {node + 1} has {value!r}, and not {' or '.join(map(repr, allowed))}; {self.last()}"))
        return wrong + self.check_equal()


def is_undecided(found):
    """Read repair never brings a key back that most don't have: it might have been deleted. So what a killed coordinator has left in part of a
    new key stays where it is."""
    return found.count(None) > len(found) / 2


def after(op, value):
    """What a write makes of a value (None: nothing there)."""
    if op.command == "DEL":
        return None
    if op.command == "APPEND":
        return (value or "") + op.value
    if op.command == "INCR":
        return str(int(value or 0) + 1)
    return op.value


if __name__ == "__main__":
    found = check(History.load(sys.argv[1]))
    print("\n".join(map(str, found)) or "nothing is wrong")
    sys.exit(bool(found))
