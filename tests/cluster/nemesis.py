"""Faults of a cluster of namespaces (netns.py), all from one seed: what happens to whom, when, and for how long. Up to three at a time; what
they have done is undone in the end."""
import calendar
import dataclasses
import random
import re
import signal
import threading
import time

# what there is, and how often one is chosen among the others
NETWORK = {"part": 3, "part_one_way": 1, "cut": 3, "deafen": 2, "mute": 2, "separate": 2, "lose": 1}
NODES = {"kill": 4, "pause": 3}
STORES = {"kill_store": 3, "pause_store": 2}  # a redis-server
AT_ONCE = 3
GAP = (0.1, 1.5)    # s from one fault's begin to the next one's
LASTS = (0.3, 4.0)  # s


@dataclasses.dataclass
class Fault:
    at: float
    kind: str
    node: int
    lasts: float

    def __str__(self):
        return f"{self.at:.2f} {self.kind} {self.node + 1} for {self.lasts:.2f} s"

    def place(self):
        """What no two faults may do something to at the same time."""
        return ("store" if self.kind in STORES else "process", self.node) if self.kind not in NETWORK else (self.kind, self.node)


def plan(seed, seconds, kinds, nodes):
    """The faults, by time. kinds: of those above; each {kind: weight}."""
    dice = random.Random(f"faults {seed}")
    weights = {k: w for group in (NETWORK, NODES, STORES) for k, w in group.items() if k in kinds}
    faults, at = [], dice.uniform(0.2, 1.0)
    while weights and at < seconds - 0.3:
        kind, = dice.choices(list(weights), list(weights.values()))
        fault = Fault(at, kind, dice.randrange(nodes), min(dice.uniform(*LASTS), seconds - at))
        now = [f for f in faults if f.at + f.lasts > at]
        if len(now) < AT_ONCE and fault.place() not in [f.place() for f in now]:
            faults.append(fault)
        at += dice.uniform(*GAP)
    return faults


class Nemesis(threading.Thread):
    """Brings the faults over a NetCluster. As a context: they run; at its end all are over, and everything is started again."""

    def __init__(self, cluster, faults):
        super().__init__(daemon=True)
        self.cluster, self.faults = cluster, faults
        self.ends = []    # [time, node]: its process was ended
        self.broken = {}  # of faults of the network, the rules
        self.failed = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join()
        if self.failed:
            raise self.failed

    def run(self):
        try:
            self.run_faults()
        except BaseException as error:  # the test's thread raises it
            self.failed = error

    def run_faults(self):
        begun, events = time.monotonic(), []
        for f in self.faults:
            events += [(f.at, self.begin, f), (f.at + f.lasts, self.end, f)]
        for at, step, fault in sorted(events, key=lambda e: e[0]):
            time.sleep(max(0, begun + at - time.monotonic()))
            step(fault)

    def victim(self, fault):
        """What a fault of a process is for; it has to be alive until then."""
        one = (self.cluster.backends if fault.kind in STORES else self.cluster.nodes)[fault.node]
        assert one.process.poll() is None, f"{fault}: it had ended before, with {one.process.returncode}"
        return one

    def begin(self, fault):
        if fault.kind in NETWORK:
            self.break_network(fault)
        elif fault.kind in ("pause", "pause_store"):
            self.victim(fault).process.send_signal(signal.SIGSTOP)
        else:
            self.victim(fault).kill()
            if fault.kind == "kill":
                self.ends.append([time.monotonic(), fault.node])

    def end(self, fault):
        if fault.kind in NETWORK:
            net, mine = self.cluster.net, self.broken.pop((fault.kind, fault.node))
            net.broken = [r for r in net.broken if r not in mine]
            net.add_rules()
        elif fault.kind in ("pause", "pause_store"):
            self.victim(fault).process.send_signal(signal.SIGCONT)
        elif fault.kind == "kill":
            self.cluster.nodes[fault.node].start(wait=False)
        else:
            self.cluster.backends[fault.node].start()

    def break_network(self, fault):
        net, before = self.cluster.net, len(self.cluster.net.broken)
        {"part": net.part, "part_one_way": lambda: net.part_one_way(fault.node % 2),
         "cut": lambda: net.cut(fault.node), "deafen": lambda: net.deafen(fault.node), "mute": lambda: net.mute(fault.node),
         "separate": lambda: net.separate(fault.node, self.neighbour(fault.node)),
         "lose": lambda: net.lose(fault.node, 30)}[fault.kind]()
        self.broken[fault.kind, fault.node] = [f"{r} comment \"{fault.kind} {fault.node}\"" for r in net.broken[before:]]
        net.broken[before:] = self.broken[fault.kind, fault.node]
        net.add_rules()

    def neighbour(self, node):
        """The next one in its datacenter."""
        sites = self.cluster.net.sites
        others = [i for i, site in enumerate(sites) if site == sites[node] and i != node]
        return next((i for i in others if i > node), others[0])


def when_away(log, ends, until):
    """[from, until]: when the store of a node lacked something that it had coordinated, by its log and by when it was killed. Its node says
    itself when it is STANDBY no longer."""
    offset, events = time.time() - time.monotonic(), [(t, True) for t in ends]
    for stamp, text in re.findall(r"^(\S+Z) (?:notice|error) +(the store is down|this node: STANDBY -> NORMAL)", log, re.M):
        date, ms = stamp.rstrip("Z").split(".")
        seconds = calendar.timegm(time.strptime(date, "%Y-%m-%dT%H:%M:%S")) + int(ms) / 1000
        events.append((seconds - offset, text == "the store is down"))
    away, since = [], None
    for t, is_away in sorted(events):
        if is_away and since is None:
            since = t
        elif not is_away and since is not None:
            away.append([since - 0.1, t + 0.1])
            since = None
    return away + ([[since - 0.1, until]] if since is not None else [])
