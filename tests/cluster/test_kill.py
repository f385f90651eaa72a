"""Promises under kill -9, on real processes: what was answered is on every replica, once, in order.

DYN_SEED=n replays one workload (not the moments of the kills, which are the machine's)."""
import os
import random
import threading
import time

import pytest
import redis
import rig

ERRORS = (redis.RedisError, OSError)


@pytest.fixture(params=["embedded", "redis"])
def store(request):
    return request.param


class Workload:
    """Mixed writes whose outcome is known: plain keys through any node, counters through any node,
    strings that grow through one node. What got no answer is left out of the comparison. One thread;
    several ones have a name each, which their keys begin with. pinned: each plain key through one node
    only, so that no clock decides."""

    def __init__(self, name="", pinned=False):
        seed = int(os.environ.get("DYN_SEED", random.randrange(1 << 30)))
        self.random = random.Random(f"{name}{seed}")
        self.name, self.pinned = name, pinned
        rig.note(f"seed {seed}")
        self.plain, self.grown = {}, {}
        self.answered, self.unanswered = {}, {}
        self.unsure = set()
        self.lock = threading.Lock()

    def one(self, clients, grower):
        kind = self.random.random()
        number = self.random.randrange(1000000)
        client = self.random.choice(clients)
        if kind < 0.5:
            if self.pinned:
                client = clients[number % 700 % len(clients)]
            self.write_plain(client, f"{self.name}plain{number % 700}", number)
        elif kind < 0.8:
            self.count(client, f"{self.name}counter{number % 100}")
        else:
            self.grow(grower, f"{self.name}grown{number % 100}", number)

    def write_plain(self, client, key, number):
        dice = number % 10
        try:
            if dice < 2:
                client.delete(key)
                value = None
            elif dice < 4:
                client.set(key, number, ex=100000)
                value = b"%d" % number
            else:
                client.set(key, number)
                value = b"%d" % number
            self.plain[key] = value
        except ERRORS:
            self.unsure.add(key)

    def count(self, client, key):
        try:
            client.incr(key)
            self.answered[key] = self.answered.get(key, 0) + 1
        except ERRORS:
            self.unanswered[key] = self.unanswered.get(key, 0) + 1

    def grow(self, client, key, number):
        old = self.grown.get(key, b"")
        try:
            if number % 20 == 0:
                client.delete(key)
                self.grown[key] = None
            elif number % 20 < 3 or old is None:
                client.set(key, number)
                self.grown[key] = b"%d" % number
            else:
                client.append(key, "+")
                self.grown[key] = (old or b"") + b"+"
        except ERRORS:
            self.unsure.add(key)

    def check(self, cluster):
        """Every node's own store, key by key."""
        sure = {k: v for k, v in {**self.plain, **self.grown}.items() if k not in self.unsure}
        counters = sorted(set(self.answered) | set(self.unanswered))
        rig.note(f"{len(sure)} keys and {len(counters)} counters compared on {len(cluster.nodes)} nodes, "
                 f"{len(self.unsure)} keys left out, {sum(self.unanswered.values())} increments unanswered")
        for i, node in enumerate(cluster.nodes):
            have = rig.own_values(cluster, i, sorted(sure) + counters)
            wrong = {k: (v, have[k]) for k, v in sure.items() if have[k] != v}
            assert not wrong, f"{node.name}: {len(wrong)} keys differ, e.g. {list(wrong.items())[:3]}"
            for k in counters:
                low = self.answered.get(k, 0)
                assert low <= int(have[k] or 0) <= low + self.unanswered.get(k, 0), (node.name, k)


def run(work, clients, grower, n):
    for _ in range(n):
        work.one(clients, grower)


def delivered_and_equal(cluster, work, deadline=40):
    cluster.wait_linked()
    cluster.wait_delivered(deadline)
    for one in work if isinstance(work, list) else [work]:
        one.check(cluster)


def load(nodes, grower, until, threads=4, name="", pinned=False):
    """Concurrent clients, each with a workload of its own, until the condition holds; the workloads."""
    works = [Workload(f"{name}t{i}.", pinned) for i in range(threads)]

    def client(work):
        clients, own_grower = [n.client() for n in nodes], grower.client()
        while not until():
            work.one(clients, own_grower)
    started = [threading.Thread(target=client, args=(w,)) for w in works]
    for t in started:
        t.start()
    for t in started:
        t.join()
    return works


def test_kill_one_of_three_while_writing(store):
    work = Workload()
    with rig.Cluster(3, store=store) as c:
        a, b, d = c.nodes
        run(work, [n.client() for n in c.nodes], a.client(), 1000)
        d.kill()
        run(work, [a.client(), b.client()], a.client(), 10000)
        assert not work.unsure and not work.unanswered, "a write failed while one of three was dead"
        assert a.pending() > 0 and b.pending() > 0
        start = time.monotonic()
        d.start()
        c.wait_delivered(20)
        assert time.monotonic() - start < 10
        delivered_and_equal(c, work)


def test_kill_receiver_killed_in_replay(store):
    work = Workload()
    with rig.Cluster(3, store=store, flags={"hint-drain-rate": "250000"}) as c:
        a, b, d = c.nodes
        d.kill()
        run(work, [a.client(), b.client()], a.client(), 10000)
        for _ in range(3):
            before = a.pending()
            d.start(wait=False)
            rig.wait_until(lambda: d.alive() and a.pending() < before - 50, "the replay has begun")
            d.kill()
        for node in (a, b):
            assert node.pending() > 0, "the replay was over before it could be broken"
        d.start()
        delivered_and_equal(c, work, 60)


def test_kill_sender_killed_in_replay(store):
    work = Workload()
    with rig.Cluster(3, store=store, flags={"hint-drain-rate": "250000"}) as c:
        a, b, d = c.nodes
        d.kill()
        run(work, [a.client(), b.client()], a.client(), 10000)
        before = a.pending()
        d.start(wait=False)
        rig.wait_until(lambda: d.alive() and a.pending() < before - 50, "the replay has begun")
        a.kill()
        a.start()
        delivered_and_equal(c, work, 60)


def test_kill_sender_killed_while_it_stores_hints(store):
    work = Workload()
    with rig.Cluster(3, store=store) as c:
        a, b, d = c.nodes
        d.kill()
        killer = threading.Timer(1.5, a.kill)
        killer.start()
        clients, grower = [a.client(), b.client()], b.client()
        while a.process:
            work.one(clients, grower)
        killer.join()
        run(work, [b.client()], b.client(), 500)
        a.start()
        d.start()
        delivered_and_equal(c, work)


@pytest.mark.parametrize("level", ["DC_ONE", "DC_QUORUM"])
def test_kill_healthy_coordinator_under_load(level, store):
    """Four clients write through all three nodes when one of these dies."""
    with rig.Cluster(3, store=store, flags={"write-consistency": level, "read-consistency": level}) as c:
        a, b, d = c.nodes
        killer = threading.Timer(2, a.kill)
        killer.start()
        works = load(c.nodes, b, lambda: a.process is None)
        killer.join()
        for work in works:
            assert sum(work.answered.values()) > 0, "there was no load"
            run(work, [b.client(), d.client()], b.client(), 250)
        a.start()
        delivered_and_equal(c, works)


def test_kill_all_and_start_again(store):
    work = Workload()
    with rig.Cluster(3, store=store) as c:
        a, b, d = c.nodes
        d.kill()
        run(work, [a.client(), b.client()], a.client(), 1500)
        a.kill()
        b.kill()
        for n in c.nodes:
            n.start(wait=False)
        delivered_and_equal(c, work)


def test_kill_any_node_again_and_again(store):
    """One after the other, at random moments, under load, each time before the hints of the last are delivered."""
    dice = random.Random(os.environ.get("DYN_SEED"))
    works = []
    with rig.Cluster(3, store=store) as c:
        for n in range(12 if rig.LONG else 3):
            victim = dice.choice(c.nodes)
            grower = dice.choice([x for x in c.nodes if x is not victim])
            killer = threading.Timer(dice.uniform(0.2, 1.5), victim.kill)
            killer.start()
            works += load(c.nodes, grower, lambda v=victim: v.process is None, 3, f"r{n}.", pinned=True)
            killer.join()
            victim.start()
        delivered_and_equal(c, works, 60)


def test_kill_backend_under_load():
    """A node whose redis dies says so: the others serve its clients, too, and it catches up."""
    work = Workload()
    with rig.Cluster(3, store="redis") as c:
        a, b, d = c.nodes
        run(work, [n.client() for n in c.nodes], a.client(), 500)
        c.backends[2].kill()
        rig.wait_until(lambda: a.states_of_peers().count("DOWN") == 1, "node 3 is DOWN")
        assert d.client().set("own", "x")
        assert d.client().get("plain1") == a.client().get("plain1"), "reads go to another replica"
        run(work, [a.client(), b.client()], a.client(), 2000)
        assert not work.unsure and not work.unanswered
        assert a.pending() > 0
        c.backends[2].start()
        delivered_and_equal(c, work)


def test_kill_backend_again_and_again():
    work = Workload()
    with rig.Cluster(3, store="redis") as c:
        a, b, d = c.nodes
        for _ in range(5):
            killer = threading.Timer(0.3, c.backends[1].kill)
            killer.start()
            clients, grower = [n.client() for n in c.nodes], a.client()
            while c.backends[1].process:
                work.one(clients, grower)
            killer.join()
            c.backends[1].start()
        delivered_and_equal(c, work)
