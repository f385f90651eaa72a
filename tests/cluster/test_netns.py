"""Faults of the network between five nodes in five racks of one datacenter, at DC_QUORUM: while one or two of them are cut off, lose
packets, stand still, are killed, stopped or moved, clients of the others see no error and are answered within `timeout`; afterwards
all stores are equal, and everything that was answered is in them, once."""
import collections
import functools
import itertools
import re
import signal
import threading
import time

import netns
import pytest
import redis
import rig

pytestmark = pytest.mark.usefixtures("namespaces")

SECONDS = 30 if rig.LONG else 6  # of each fault; a silent peer counts as down after three to four
PACE = 0.01                      # between a client's requests
TIMEOUT = 5.0                    # `timeout`, as it is by default
ERRORS = (redis.RedisError, OSError)
FLAGS = {"read-consistency": "DC_QUORUM", "write-consistency": "DC_QUORUM", "gos-interval": "1000"}


@pytest.fixture(scope="module")
def namespaces():
    netns.need()


# ---- clients --------------------------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Writes and reads through one node, one request after the other, and knows what was answered: keys of its own, a string
    that grows through this node only, counters and plain keys that all clients share."""

    def __init__(self, node):
        super().__init__(name=node.name, daemon=True)
        self.node, self.connection = node, node.client()
        self.ending = threading.Event()
        self.own, self.grown, self.counted = {}, 0, collections.Counter()  # what was answered
        self.shared = set()
        self.unsure = collections.Counter()  # key -> writes that got no answer, or an error
        self.answers, self.longest = 0, (0.0, "")
        self.errors, self.wrong = [], []

    def run(self):
        steps = itertools.cycle([self.write_own, self.count, self.grow, self.overwrite, self.read])
        for number, step in enumerate(steps):
            if self.ending.wait(PACE):
                return
            step(number // 5)

    def write_own(self, number):
        key, value = f"{self.name}:own{number % 20}", b"%d" % number
        if not self.write("SET", key, value):
            return
        self.own[key] = value
        found = self.ask("GET", key)
        if found not in (None, value):
            self.wrong.append(f"{key}: wrote {value}, read {found}")

    def count(self, number):
        key = f"counter{number % 5}"
        self.counted[key] += self.write("INCR", key)

    def grow(self, number):
        del number
        self.grown += self.write("APPEND", f"{self.name}:grown", "+")

    def overwrite(self, number):
        key = f"shared{number % 10}"
        if self.write("SET", key, f"{self.name}:{number}"):
            self.shared.add(key)

    def read(self, number):
        self.ask("GET", f"shared{number % 10}")

    def write(self, command, key, *args):
        """Was it answered?"""
        answered = self.ask(command, key, *args) is not None
        if not answered:
            self.unsure[key] += 1
        return answered

    def ask(self, *command):
        """The reply; None: an error, or there is nothing."""
        begun = time.monotonic()
        try:
            reply = self.connection.execute_command(*command)
            took = time.monotonic() - begun
            self.answers += 1
        except ERRORS as error:
            reply, took = None, time.monotonic() - begun
            self.errors.append(f"{command[0]} {command[1]} after {took:.2f} s: {error}")
            if isinstance(error, redis.ConnectionError):
                self.wait_for_node()
        self.longest = max(self.longest, (took, command[0]))
        return reply

    def wait_for_node(self):
        """Where it doesn't run, one request is without an answer and no more."""
        while not self.ending.wait(PACE):
            try:
                self.connection.ping()
                return
            except ERRORS:
                pass


class Load:
    """A client on each node; those of `victims` may see errors. As a context: they run, and have begun. killed: the victims are
    killed; a write that such a node took and didn't answer may be in its own store only."""

    def __init__(self, cluster, victims, killed):
        self.cluster, self.killed = cluster, killed
        self.clients = [Client(n) for n in cluster.nodes]
        self.healthy = [c for i, c in enumerate(self.clients) if i not in victims]
        self.compared = self.left_out = 0

    def __enter__(self):
        for c in self.clients:
            c.start()
        self.go_on(self.clients, 120)
        return self

    def go_on(self, clients=None, answers=30):
        """Waits for so many more answers."""
        wanted = {c: c.answers + answers for c in clients or self.healthy}
        rig.wait_until(lambda: all(c.answers >= n for c, n in wanted.items()), "clients are answered", 40)

    def __exit__(self, kind, value, trace):
        for c in self.clients:
            c.ending.set()
        for c in self.clients:
            c.join(40)
            assert not c.is_alive(), f"the client of {c.name} hangs"

    def check_answers(self, what):
        longest = max(c.longest for c in self.healthy)
        rig.note(f"{what}: {sum(c.answers for c in self.healthy)} answers of nodes without a fault, the longest took "
                 f"{longest[0]:.2f} s ({longest[1]})")
        for c in self.healthy:
            assert not c.errors, f"{len(c.errors)} errors at {c.name}, which has no fault: {c.errors[:5]}"
        for c in self.clients:
            assert not c.wrong, f"a client of {c.name} doesn't read its own writes: {c.wrong[:5]}"
        assert longest[0] < TIMEOUT

    def check_stores(self):
        begun = time.monotonic()
        self.cluster.wait_linked()
        self.cluster.wait_delivered(60)
        for n in self.cluster.nodes:  # what a socket still waits with is no hint
            rig.wait_until(lambda n=n: not any(p["behind_bytes"] for p in n.admin("peers")["peers"]), f"{n.name} owes nothing")
        settled = time.monotonic() - begun
        unsure = sum((c.unsure for c in self.clients), collections.Counter())
        for c in self.clients:
            for key, value in c.own.items():
                self.check(key, unsure[key], lambda found, key=key, value=value: unsure[key] or found == value)
            key = f"{c.name}:grown"
            self.check(key, unsure[key], lambda found, key=key, n=c.grown: n <= len(found) <= n + unsure[key])
        for key, n in sum((c.counted for c in self.clients), collections.Counter()).items():
            self.check(key, unsure[key], lambda found, key=key, n=n: n <= int(found) <= n + unsure[key])
        for key in set.union(*(c.shared for c in self.clients)):
            self.check(key, unsure[key], lambda found: found)
        rig.note(f"after {settled:.1f} s {self.compared} keys are equal on all nodes, {self.left_out} left out")

    def check(self, key, unsure, is_right):
        """The copies are equal, and the value is right."""
        if unsure and self.killed:
            self.left_out += 1
            return
        one = self.cluster.nodes[0]
        found = rig.copies(one, key)
        assert len(found) == len(self.clients) and len(set(found)) == 1 and found[0][0], (key, found)
        value = one.client().get(key)
        assert is_right(value), (key, value, unsure)
        self.compared += 1


def news(node):
    """What membership has said to this node: (address, state), the newest last."""
    return re.findall(r"notice member \S+ \(([0-9.]+:\d+)\): \S+ -> (\S+)", node.log_text())


def members(node):
    return dict(news(node))


def wait_members(cluster):
    """Everyone has heard of everyone."""
    for n in cluster.running():
        rig.wait_until(lambda n=n: list(members(n).values()).count("NORMAL") == len(cluster.nodes) - 1, "all are members")


def no_false_death(healthy):
    """None of them believed, at any time, that another is down. (One that loses 30 % of its packets may say so of them until they
    refute it: what counts there is that no client saw an error.)"""
    for n in healthy:
        for other in healthy:
            assert (other.flags["dyn-listen"], "DOWN") not in news(n), f"{other.name} was DOWN for {n.name}"


def pause(seconds):
    """The time that a fault lasts."""
    threading.Event().wait(seconds)


def under_load(what, victims, begin, end, seconds=SECONDS, killed=False, store="embedded"):
    """begin(cluster) brings the fault, end(cluster) takes it away."""
    with netns.NetCluster(5, store=store, flags=FLAGS) as cluster:
        with Load(cluster, victims, killed) as load:
            wait_members(cluster)
            begin(cluster)
            pause(seconds)
            load.go_on()
            end(cluster)
            load.go_on()
        load.check_answers(what)
        load.check_stores()
        if "lossy" not in what:
            no_false_death([c.node for c in load.healthy])


# ---- links ----------------------------------------------------------------------------------------------------------

CUT, DEAF, MUTE = netns.Network.cut, netns.Network.deafen, netns.Network.mute
LOSSY = functools.partial(netns.Network.lose, percent=30)
LINKS = {"cut": {1: CUT}, "two_cut": {1: CUT, 2: CUT}, "deaf": {1: DEAF}, "two_deaf": {1: DEAF, 2: DEAF}, "mute": {1: MUTE},
         "two_mute": {1: MUTE, 2: MUTE}, "deaf_and_mute": {1: DEAF, 2: MUTE}, "lossy": {1: LOSSY}, "two_lossy": {1: LOSSY, 2: LOSSY}}
SHORT = ["two_cut", "deaf_and_mute", "lossy", "two_lossy"]  # where there is little time


def break_links(cluster, fault):
    for i, what in LINKS[fault].items():
        what(cluster.net, i)


def long_but(names, short):
    return [n if n in short else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("fault", long_but(LINKS, SHORT))
def test_netns_links(fault):
    under_load(fault, LINKS[fault], lambda c: break_links(c, fault), lambda c: c.net.heal())


@pytest.mark.parametrize("fault", long_but(LINKS, ["two_lossy"]))
def test_netns_links_redis(fault):
    under_load(fault, LINKS[fault], lambda c: break_links(c, fault), lambda c: c.net.heal(), store="redis")


@pytest.mark.slow
def test_netns_separated():
    """Three pairs can't hear each other: no node is without a majority, so no client sees an error."""
    def separate(cluster):
        for i, k in ((0, 1), (1, 2), (3, 4)):
            cluster.net.separate(i, k)
    under_load("separated", [], separate, lambda c: c.net.heal())


@pytest.mark.slow
def test_netns_flapping():
    """Cut and healed, again and again, each for some heartbeats or some milliseconds."""
    def flap(cluster):
        end = time.monotonic() + SECONDS
        for seconds in itertools.cycle([0.05, 0.3, 1, 5, 1, 0.3]):
            for i in (1, 2):
                cluster.net.cut(i)
            pause(seconds)
            cluster.net.heal()
            if time.monotonic() > end:
                break
            pause(seconds)
    under_load("flapping", [1, 2], flap, lambda c: None, 0)


# ---- membership -----------------------------------------------------------------------------------------------------


def kill_or(fault):
    return {"killed": lambda cluster: cluster.nodes[1].kill(),
            "stopped": lambda cluster: cluster.nodes[1].process.send_signal(signal.SIGSTOP)}.get(
                fault, lambda cluster: break_links(cluster, fault))


def mend(cluster):
    cluster.net.heal()
    if not cluster.nodes[1].process:
        cluster.nodes[1].start()
    cluster.nodes[1].process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("fault", long_but(["cut", "deaf", "mute", "killed", "stopped"], ["cut"]))
def test_netns_idle(fault):
    """Links that carry nothing tell nothing; the members do, of the right node only, and agree again afterwards."""
    with netns.NetCluster(5, flags=FLAGS) as cluster:
        wait_members(cluster)
        healthy, gone = cluster.nodes[:1] + cluster.nodes[2:], cluster.nodes[1].flags["dyn-listen"]
        kill_or(fault)(cluster)
        begun = time.monotonic()
        for n in healthy:
            rig.wait_until(lambda n=n: "DOWN" in [p["state"] for p in n.admin("peers")["peers"] if p["address"] == gone],
                           f"{n.name} shows it as DOWN", 15)
        found = time.monotonic() - begun
        pause(5)
        assert all(members(n)[gone] == "DOWN" for n in healthy)
        mend(cluster)
        begun = time.monotonic()
        cluster.wait_linked()
        wait_members(cluster)
        rig.note(f"{fault}: shown as DOWN by all after {found:.1f} s; agreed again after {time.monotonic() - begun:.1f} s")
        assert found < 8 and time.monotonic() - begun < 15
        no_false_death(healthy)


# ---- processes ------------------------------------------------------------------------------------------------------


def for_each(victims, what):
    """what(node), for each of them."""
    return lambda cluster: [what(cluster.nodes[i]) for i in victims]


VICTIMS = pytest.mark.parametrize("victims", long_but([(1,), (1, 2)], [(1, 2)]), ids=["one", "two"])
STORES = pytest.mark.parametrize("store", long_but(["embedded", "redis"], ["embedded"]))


@VICTIMS
@STORES
def test_netns_stopped(victims, store):
    under_load(f"{len(victims)} stopped", victims, for_each(victims, lambda n: n.process.send_signal(signal.SIGSTOP)),
               for_each(victims, lambda n: n.process.send_signal(signal.SIGCONT)), store=store)


@VICTIMS
@STORES
def test_netns_killed(victims, store):
    under_load(f"{len(victims)} killed", victims, for_each(victims, rig.Node.kill), for_each(victims, rig.Node.start), 3,
               killed=True, store=store)


def test_netns_dying():
    """What is written while nobody knows yet that they are gone isn't lost with them."""
    victims = (1, 2)
    under_load("dying", victims, for_each(victims, lambda n: n.process.send_signal(signal.SIGSTOP)),
               for_each(victims, lambda n: [n.kill(), n.start()]), 2, killed=True)


def test_netns_clean_shutdown_announces_itself():
    """The others store hints as soon as it is gone: nothing waits for a heartbeat."""
    def end(cluster):
        cluster.nodes[1].stop()
        gone = time.monotonic()
        for n in cluster.running():
            rig.wait_until(lambda n=n: n.states_of_peers().count("DOWN") == 1 and n.pending(), "there are hints", 2)
        rig.note(f"hints at all others {time.monotonic() - gone:.2f} s after the process's end")
    under_load("clean shutdown", [1], end, lambda c: c.nodes[1].start(), 1)


@pytest.mark.slow
def test_netns_datacenters_apart():
    """Two datacenters, 50 ms from each other: the clients of each go on while nothing passes between them, at the speed of their own."""
    places = [(dc, f"rack{i}", "0") for dc in ("dc1", "dc2") for i in (1, 2)]
    with netns.NetCluster(places=places, delay_ms=50, flags=FLAGS) as cluster:
        trips = [(p["datacenter"], p["round_trip_us"]) for p in rig.wait_until(
            lambda: (lambda peers: all(p["round_trip_us"] for p in peers) and peers)(cluster.nodes[0].admin("peers")["peers"]),
            "round trips are known")]
        assert all((us >= 100000) == (dc == "dc2") for dc, us in trips), trips
        wait_members(cluster)
        with Load(cluster, [], False) as load:
            for _ in range(8):
                cluster.net.part()
                rig.wait_until(lambda: all(n.states_of_peers().count("DOWN") == 2 for n in cluster.nodes), "the others are DOWN")
                load.go_on()
                cluster.net.heal()
                rig.wait_until(lambda: all("DOWN" not in n.states_of_peers() for n in cluster.nodes), "the others are back")
        load.check_answers("two datacenters")
        load.check_stores()


def addresses(node):
    """Where this node finds its peers, by rack."""
    return {p["rack"]: p["address"] for p in node.admin("status")["peers"]}


def come_back_at(cluster, places):
    """{node: address}: they are killed, and come back there; all find them."""
    for i in places:
        cluster.nodes[i].kill()
    for i, address in places.items():
        cluster.move(i, address)
    for i in places:
        cluster.nodes[i].start()
    for n in cluster.nodes:
        wanted = {(f"rack{i + 1}", f"{address}:8101") for i, address in places.items() if cluster.nodes[i] is not n}
        rig.wait_until(lambda n=n, wanted=wanted: wanted <= addresses(n).items(), f"{n.name} finds them", 30)
    cluster.wait_linked()


def test_netns_restart_on_a_new_address():
    """It is the same node: all links to it are dialled anew, and what was kept for it is delivered."""
    under_load("new address", [1], lambda c: come_back_at(c, {1: "10.77.1.2"}), lambda c: None, 1, killed=True)


@pytest.mark.slow
def test_netns_restart_at_each_others_address():
    """Each comes back where the other was, which is also where its own seeds say that the other is."""
    under_load("swapped", [1, 2], lambda c: come_back_at(c, {1: c.host(2), 2: c.host(1)}), lambda c: None, 1, killed=True)
